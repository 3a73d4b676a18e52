//! The control API and the faults, over a real socket.

#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use simulators::{Clock, Limits, Simulator, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Served {
    address: std::net::SocketAddr,
    token: String,
    stop: oneshot::Sender<()>,
    done: JoinHandle<std::io::Result<()>>,
}

async fn served() -> Served {
    let clock = Clock::manual("2026-03-01T12:00:00Z".parse::<Timestamp>().unwrap());
    let target = simulators::target("github", Limits::None).unwrap();
    let simulator = Simulator::new(target, Limits::None, clock);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let offer = simulator.offer(&format!("http://{address}"));
    let (stop, stopped) = oneshot::channel::<()>();
    let done = tokio::spawn(serve(simulator, listener, async {
        stopped.await.unwrap();
    }));
    Served { address, token: offer["secrets"]["token"].as_str().unwrap().to_owned(), stop, done }
}

impl Served {
    /// A connection on which this call was sent.
    async fn open(&self, call: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{call} HTTP/1.1\r\nHost: {}\r\nUser-Agent: test\r\nAuthorization: Bearer {}\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Everything that comes back; nothing if the connection was cut.
    async fn bytes(&self, call: &str, body: &str) -> Vec<u8> {
        let mut stream = self.open(call, body).await;
        let mut answer = Vec::new();
        // A reset is as good as an end.
        let _ = stream.read_to_end(&mut answer).await;
        answer
    }

    /// Looks at the ledger until it holds a call of this status.
    async fn until(&self, status: u16) {
        let seen = async { while self.calls().await.iter().all(|call| call.3 != status) {} };
        let waited = tokio::time::timeout(Duration::from_secs(30), seen).await;
        waited.unwrap();
    }

    async fn send(&self, call: &str, body: &str) -> (u16, String) {
        let answer = String::from_utf8(self.bytes(call, body).await).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    async fn json(&self, call: &str, body: &Value) -> Value {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.send(call, &text).await;
        assert_eq!(status, 200, "{call}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    async fn calls(&self) -> Vec<(u64, String, String, u16)> {
        let calls = self.json("GET /_sim/calls", &Value::Null).await;
        let calls = calls.as_array().unwrap().iter();
        calls
            .map(|call| {
                assert!(call["at"].as_str().unwrap().parse::<Timestamp>().is_ok());
                (
                    call["n"].as_u64().unwrap(),
                    call["method"].as_str().unwrap().to_owned(),
                    call["path"].as_str().unwrap().to_owned(),
                    call["status"].as_u64().unwrap().try_into().unwrap(),
                )
            })
            .collect()
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.done.await.unwrap().unwrap();
        assert!(TcpStream::connect(self.address).await.is_err());
    }
}

const INVITE: &str = "POST /orgs/acme/invitations";

#[tokio::test]
async fn a_drop_before_does_nothing_and_a_drop_after_does_the_work() {
    let sim = served().await;
    let faults = json!([
        { "match": { "method": "post", "path": "/invitations$" }, "times": 1, "do": { "drop": "before" } },
        { "match": { "method": "POST", "path": "invitations" }, "times": 1, "do": { "drop": "after" } },
    ]);
    sim.json("POST /_sim/faults", &faults).await;
    let ada = r#"{"email":"ada@corp.example"}"#;
    assert_eq!(sim.bytes(INVITE, ada).await, b"");
    let state = sim.json("GET /_sim/state", &Value::Null).await;
    assert_eq!(state["invitations"], json!([]));
    assert_eq!(sim.bytes(INVITE, ada).await, b"");
    let state = sim.json("GET /_sim/state", &Value::Null).await;
    assert_eq!(state["invitations"], json!([{ "id": "77", "email": "ada@corp.example", "login": null }]));
    assert_eq!(sim.send(INVITE, ada).await.0, 422);
    let path = "/orgs/acme/invitations".to_owned();
    assert_eq!(
        sim.calls().await,
        [
            (1, "POST".to_owned(), path.clone(), 0),
            (2, "POST".to_owned(), path.clone(), 201),
            (3, "POST".to_owned(), path, 422),
        ]
    );
    sim.end().await;
}

#[tokio::test]
async fn the_first_fault_with_times_left_acts() {
    let sim = served().await;
    let faults = json!([
        { "match": { "path": "members" }, "times": 2, "do": { "status": 500, "body": "boom" } },
        { "match": { "method": "GET", "path": "page=2" }, "times": 1,
          "do": { "status": 429, "headers": { "Retry-After": 7 }, "body": { "message": "slow" } } },
        { "do": { "status": 503 } },
    ]);
    sim.json("POST /_sim/faults", &faults).await;
    let page = "GET /orgs/acme/members?page=2";
    assert_eq!(sim.send(page, "").await, (500, "boom".to_owned()));
    assert_eq!(sim.send(page, "").await, (500, "boom".to_owned()));
    let answer = String::from_utf8(sim.bytes(page, "").await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 429"));
    assert!(answer.contains("retry-after: 7"));
    assert!(answer.contains("content-type: application/json"));
    assert!(answer.ends_with(r#"{"message":"slow"}"#));
    let left = sim.json("GET /_sim/faults", &Value::Null).await;
    assert_eq!(left, json!([{ "do": { "status": 503 }, "times": 1 }]));
    assert_eq!(sim.send(page, "").await.0, 503);
    assert_eq!(sim.send(page, "").await.0, 200);
    // The control API itself is neither faulted nor counted.
    sim.json("POST /_sim/faults", &json!([{ "times": 9, "do": { "drop": "before" } }])).await;
    assert_eq!(sim.calls().await.len(), 5);
    sim.json("DELETE /_sim/faults", &Value::Null).await;
    assert_eq!(sim.send(page, "").await.0, 200);
    let later = sim.json("GET /_sim/calls?after=5", &Value::Null).await;
    assert_eq!(later[0]["n"], 6);
    sim.end().await;
}

#[tokio::test]
async fn a_delayed_call_is_done_though_its_client_has_left() {
    let sim = served().await;
    let slow = json!([{ "match": { "path": "." }, "times": 2, "do": { "delay_ms": 50 } }]);
    sim.json("POST /_sim/faults", &slow).await;
    let started = tokio::time::Instant::now();
    assert_eq!(sim.send("GET /user", "").await.0, 200);
    assert!(started.elapsed() >= Duration::from_millis(50));
    let ada = r#"{"email":"ada@corp.example"}"#;
    let client = sim.open(INVITE, ada).await;
    sim.until(0).await;
    drop(client);
    sim.until(201).await;
    let state = sim.json("GET /_sim/state", &Value::Null).await;
    assert_eq!(state["invitations"][0]["email"], "ada@corp.example");
    sim.end().await;
}

#[tokio::test]
async fn a_malformed_order_says_what_is_wrong() {
    let sim = served().await;
    for (call, body, says) in [
        ("POST /_sim/faults", "{}", "JSON list"),
        ("POST /_sim/faults", r#"[{"do":{"drop":"now"}}]"#, "fault 0: `do.drop` is"),
        ("POST /_sim/faults", r#"[{"do":{}}]"#, "fault 0: `do` must be one of"),
        ("POST /_sim/faults", r#"[{"do":{"status":100}}]"#, "from 200 to 999"),
        ("POST /_sim/faults", r#"[{"do":{"status":500,"delay_ms":1}}]"#, "one of"),
        ("POST /_sim/faults", r#"[{"do":{"delay_ms":9999999}}]"#, "at most"),
        ("POST /_sim/faults", r#"[{"match":{"path":"("},"do":{"status":500}}]"#, "match.path"),
        ("POST /_sim/faults", r#"[{"match":{"method":"A B"},"do":{"status":500}}]"#, "method"),
        ("POST /_sim/faults", r#"[{"times":0,"do":{"status":500}}]"#, "at least 1"),
        ("POST /_sim/faults", r#"[{"tims":1,"do":{"status":500}}]"#, "unknown field `tims`"),
        ("POST /_sim/accept", r#"{"mail":"x"}"#, "unknown field `mail`"),
        ("POST /_sim/load", r#"{"accounts":-1}"#, "the body is wrong"),
        ("POST /_sim/load", r#"{"accounts":99999999}"#, "at most"),
        ("POST /_sim/load", "", "the body is wrong"),
        ("POST /_sim/clock", r#"{"advance_seconds":-1}"#, "time only goes forward"),
        ("POST /_sim/set", r#"{"colour":1}"#, "unknown field `colour`"),
        ("GET /_sim/calls?before=1", "", "there is `after`"),
    ] {
        let (status, text) = sim.send(call, body).await;
        assert_eq!(status, 400, "{call} {body}");
        assert!(text.contains(says), "{call} {body}: {text}");
    }
    assert_eq!(sim.send("GET /_sim/other", "").await.0, 404);
    assert_eq!(sim.send("PUT /_sim/state", "").await.0, 405);
    // A list with one bad fault adds none.
    let half = r#"[{"do":{"status":500}},{"do":{}}]"#;
    assert_eq!(sim.send("POST /_sim/faults", half).await.0, 400);
    assert_eq!(sim.json("GET /_sim/faults", &Value::Null).await, json!([]));
    assert_eq!(sim.calls().await, []);
    sim.end().await;
}

#[tokio::test]
async fn time_goes_forward_on_order() {
    let sim = served().await;
    sim.send(INVITE, r#"{"email":"ada@corp.example"}"#).await;
    let week = json!({ "advance_seconds": 7 * 24 * 3600 });
    let now = sim.json("POST /_sim/clock", &week).await;
    assert_eq!(now["now"], "2026-03-08T12:00:00Z");
    let (_, failed) = sim.send("GET /orgs/acme/failed_invitations", "").await;
    assert!(failed.contains("ada@corp.example"), "{failed}");
    sim.end().await;
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let sim = served().await;
    let huge = "x".repeat((1 << 20) + 1);
    assert_eq!(sim.send("POST /graphql", &huge).await.0, 413);
    assert_eq!(sim.send("POST /_sim/set", &huge).await.0, 413);
    assert_eq!(sim.send("GET /user", "").await.0, 200);
    sim.end().await;
}
