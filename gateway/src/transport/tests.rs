use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use connector_sdk::{Accounts, Bucket, Cx, DriverKey, Groups, Kind, Probe, Reading, Traits};
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::*;
use crate::limits::Budgets;

mod steps;

/// A connector that only reads the header `left`.
struct Reads(Traits);

#[async_trait]
impl Connector for Reads {
    fn traits(&self) -> &Traits {
        &self.0
    }

    async fn probe(&self, _: &Cx<'_>) -> Result<Probe, Fault> {
        Err(Fault::new(FaultKind::Refused, "not probed here"))
    }

    fn accounts(&self) -> Option<&dyn Accounts> {
        None
    }

    fn groups(&self) -> Option<&dyn Groups> {
        None
    }

    fn read_limits(&self, reply: &Reply) -> Vec<Reading> {
        let left = reply.header("left").and_then(|left| left.parse().ok());
        let resets_at = reply.at + Duration::from_secs(60);
        left.map(|remaining| Reading { bucket: "b", limit: None, remaining, resets_at }).into_iter().collect()
    }
}

/// What the fake target does after it has read a request's header.
#[derive(Clone, Copy, Debug)]
enum Does {
    Answers(&'static str),
    AnswersAndLies(usize),
    Floods,
    Drops,
    DropsInTheBody,
    Hangs,
    HangsInTheBody,
    /// A byte now and then, for ever.
    Drips,
}

struct Target {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Target {
    async fn start(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let _ = play(stream, does, &seen).await;
                });
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn call(&self, method: Method) -> Call {
        let url = format!("http://{}/people/1?token=qu3ry", self.address);
        Call::new("look", method, Url::parse(&url).unwrap())
    }
}

async fn play(mut stream: TcpStream, does: Does, seen: &AtomicUsize) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut part = [0; 1024];
        let read = stream.read(&mut part).await?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&part[..read]);
    }
    seen.fetch_add(1, Ordering::SeqCst);
    let long = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
    match does {
        Does::Answers(answer) => stream.write_all(answer.as_bytes()).await,
        Does::AnswersAndLies(length) => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&vec![b'x'; length]).await
        }
        Does::Floods => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            loop {
                stream.write_all(format!("1000\r\n{}\r\n", "x".repeat(0x1000)).as_bytes()).await?;
            }
        }
        Does::Drops => Ok(()),
        Does::DropsInTheBody => stream.write_all(long.as_bytes()).await,
        Does::Hangs => std::future::pending().await,
        Does::HangsInTheBody => {
            stream.write_all(long.as_bytes()).await?;
            std::future::pending().await
        }
        Does::Drips => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await?;
            loop {
                stream.write_all(b" ").await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

struct Setup {
    http: Http,
    budget: Arc<Budget>,
    clock: Clock,
    record: Arc<Recorder>,
}

impl Setup {
    fn new(allow_private: bool, lookup: Lookup) -> Self {
        Self::with_timeout(allow_private, lookup, Duration::from_secs(30))
    }

    fn with_timeout(allow_private: bool, lookup: Lookup, call_timeout: Duration) -> Self {
        let clock = Clock::system();
        let options = HttpOptions { allow_private, call_timeout, max_answer_bytes: 50_000, ..HttpOptions::default() };
        let http = Http::with_lookup(options, clock.clone(), lookup).unwrap();
        let budgets = Budgets::new(clock.clone());
        let budget = budgets.get(&DriverKey::new("t"), &[Bucket::unknown("b", "A bucket")]);
        Self { http, budget, clock, record: Arc::default() }
    }

    fn local() -> Self {
        Self::new(true, system_lookup())
    }

    fn wire(&self) -> Wire {
        let traits = Traits::new(Kind::User, DriverKey::new("t"));
        Wire::new(
            self.http.clone(),
            Arc::new(Reads(traits)),
            Arc::clone(&self.budget),
            Lane::Grant,
            self.clock.now() + Duration::from_secs(5),
            Arc::clone(&self.record),
        )
    }

    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        self.wire().send(call).await
    }
}

/// As `Setup::local`, but with little patience for a target that hangs.
fn hasty(does: Does) -> Setup {
    let hangs = matches!(does, Does::Hangs | Does::HangsInTheBody | Does::Drips);
    let patience = Duration::from_millis(if hangs { 300 } else { 30_000 });
    Setup::with_timeout(true, system_lookup(), patience)
}

#[tokio::test]
async fn what_was_lost_on_the_way_is_told_by_kind_and_effect() {
    for (does, kind) in [
        (Does::Drops, FaultKind::Unavailable),
        (Does::DropsInTheBody, FaultKind::Unavailable),
        (Does::Hangs, FaultKind::Timeout),
        (Does::HangsInTheBody, FaultKind::Timeout),
        (Does::Drips, FaultKind::Timeout),
        (Does::Floods, FaultKind::Malformed),
        (Does::AnswersAndLies(50_001), FaultKind::Malformed),
        (Does::Answers("garbage\r\n\r\n"), FaultKind::Unavailable),
    ] {
        for (method, effect) in [(Method::GET, Effect::None), (Method::POST, Effect::Unknown)] {
            let target = Target::start(does).await;
            let fault = hasty(does).send(target.call(method)).await.unwrap_err();
            assert_eq!((fault.kind, fault.effect), (kind, effect), "{does:?}: {fault:?}");
            assert!(fault.message.contains("127.0.0.1") && fault.context.contains("look"), "{fault:?}");
            assert_eq!(target.requests(), 1, "{does:?} was repeated");
        }
    }
}

#[tokio::test]
async fn a_target_that_refuses_the_connection_has_no_effect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = Url::parse(&format!("http://{address}/")).unwrap();
    let fault = Setup::local().send(Call::new("x", Method::POST, url)).await.unwrap_err();
    assert_eq!((fault.kind, fault.effect), (FaultKind::Unavailable, Effect::None), "{fault:?}");
}

#[tokio::test]
async fn any_status_is_a_reply_and_redirects_are_not_followed() {
    let other = Target::start(Does::Drops).await;
    let location = format!("HTTP/1.1 302 Found\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n", other.address);
    let answers: [(&'static str, u16); 4] = [
        ("HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}", 404),
        ("HTTP/1.1 503 Away\r\ncontent-length: 0\r\n\r\n", 503),
        (Box::leak(location.into_boxed_str()), 302),
    ];
    for (answer, status) in answers {
        let target = Target::start(Does::Answers(answer)).await;
        let reply = Setup::local().send(target.call(Method::GET)).await.unwrap();
        assert_eq!(reply.status.as_u16(), status);
    }
    assert_eq!(other.requests(), 0);
}

#[tokio::test]
async fn an_answer_up_to_the_cap_is_whole() {
    let target = Target::start(Does::AnswersAndLies(50_000)).await;
    let reply = Setup::local().send(target.call(Method::GET)).await.unwrap();
    assert_eq!(reply.body.len(), 50_000);
}

#[tokio::test]
async fn private_addresses_are_refused_and_cost_nothing() {
    let setup = Setup::new(false, system_lookup());
    for url in ["https://127.0.0.1/", "https://0x7f.1/", "https://localhost/", "http://example.com/"] {
        let call = Call::new("x", Method::POST, Url::parse(url).unwrap()).charge("b", 1);
        let fault = setup.send(call).await.unwrap_err();
        assert_eq!((fault.kind, fault.retry, fault.effect), (FaultKind::NotSent, Retry::AfterOperator, Effect::None));
        assert!(fault.message.contains("SCIMGATE_ALLOW_PRIVATE_TARGETS"), "{fault:?}");
    }
    let (records, _) = setup.record.take();
    assert!(records.len() == 4 && records.iter().all(|record| record.fault == Some(FaultKind::NotSent)));
}

#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_is_refused() {
    let target = Target::start(Does::Drops).await;
    for found in ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1"] {
        let address = SocketAddr::new(found.parse().unwrap(), target.address.port());
        let setup = Setup::new(false, Arc::new(move |_| Box::pin(async move { Ok(vec![address]) })));
        let url = Url::parse(&format!("https://target.example:{}/", target.address.port())).unwrap();
        let fault = setup.send(Call::new("x", Method::POST, url)).await.unwrap_err();
        assert_eq!((fault.kind, fault.effect), (FaultKind::NotSent, Effect::None), "{found}: {fault:?}");
    }
    assert_eq!(target.requests(), 0);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_an_outage() {
    let lookup: Lookup = Arc::new(|_| Box::pin(async { Err(std::io::Error::other("no such name")) }));
    let url = Url::parse("https://target.example/").unwrap();
    let fault = Setup::new(false, lookup).send(Call::new("x", Method::POST, url)).await.unwrap_err();
    assert_eq!((fault.kind, fault.effect), (FaultKind::Unavailable, Effect::None), "{fault:?}");
    assert!(fault.message.contains("no such name"), "{fault:?}");
}

#[tokio::test]
async fn five_outages_open_the_breaker_and_the_next_call_is_not_sent() {
    for answer in ["", "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"] {
        let target = Target::start(Does::Answers(answer)).await;
        let setup = Setup::local();
        for _ in 0..5 {
            let _ = setup.send(target.call(Method::GET)).await;
        }
        let fault = setup.send(target.call(Method::POST)).await.unwrap_err();
        assert_eq!((fault.kind, fault.effect), (FaultKind::NotSent, Effect::None));
        assert!(matches!(fault.retry, Retry::NotBefore(at) if at > setup.clock.now()));
        assert_eq!(target.requests(), 5);
        assert_eq!(setup.budget.snapshot().breaker.state, "open");
    }
}

#[tokio::test]
async fn headers_correct_the_budget_and_a_full_one_keeps_calls_back() {
    let target = Target::start(Does::Answers("HTTP/1.1 200 OK\r\nleft: 0\r\ncontent-length: 0\r\n\r\n")).await;
    let setup = Setup::local();
    setup.send(target.call(Method::GET).charge("b", 1)).await.unwrap();
    let fault = setup.send(target.call(Method::GET).charge("b", 1)).await.unwrap_err();
    assert_eq!((fault.kind, fault.effect), (FaultKind::NotSent, Effect::None));
    assert!(matches!(fault.retry, Retry::NotBefore(at) if at > setup.clock.now()));
    assert!(fault.context.contains("(b)"), "{fault:?}");
    assert_eq!(target.requests(), 1);
    setup.send(target.call(Method::GET)).await.unwrap();
}

#[tokio::test]
async fn a_block_keeps_every_call_back() {
    let target = Target::start(Does::Answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let setup = Setup::local();
    setup.budget.block(setup.clock.now() + Duration::from_secs(30));
    assert!(setup.send(target.call(Method::GET)).await.is_err());
    assert_eq!(target.requests(), 0);
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_gives_its_permit_and_probe_back() {
    let target = Target::start(Does::Hangs).await;
    let setup = Setup::local();
    let call = target.call(Method::GET).charge("b", 1);
    let gone = tokio::time::timeout(Duration::from_millis(100), setup.send(call)).await;
    assert!(gone.is_err());
    assert_eq!(setup.budget.snapshot().buckets[0].under_way, 0);
    assert_eq!(setup.budget.snapshot().breaker.failures, 0);
}

#[tokio::test]
async fn records_and_faults_hold_no_secret() {
    for does in [Does::Answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), Does::Drops, Does::Hangs] {
        let target = Target::start(does).await;
        let setup = hasty(does);
        let call =
            target.call(Method::POST).authorization("Bearer h3ader").json(&serde_json::json!({"password": "b0dy"}));
        let result = setup.send(call).await;
        let (records, left_out) = setup.record.take();
        assert_eq!((records.len(), left_out), (1, 0));
        assert_eq!(records[0].path, "/people/1");
        assert_eq!(records[0].host, target.address.to_string());
        assert_eq!(records[0].fault, result.as_ref().err().map(|fault| fault.kind));
        assert_eq!(records[0].status, result.as_ref().ok().map(|reply| reply.status.as_u16()));
        let text = format!("{:?} {records:?}", result.err());
        for secret in ["h3ader", "b0dy", "qu3ry"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test]
async fn what_is_no_json_is_an_answer_that_cannot_be_understood() {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let deep = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{deep}", deep.len());
    let answers: [&'static str; 6] = [
        // Nobody asked for compression: such a body is not unpacked, so none can grow.
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\n\x1f\x08\x08\x00\x00",
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 4\r\n\r\n{\"a\"",
        "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        Box::leak(deep.into_boxed_str()),
    ];
    for answer in answers {
        for (method, effect) in [(Method::GET, Effect::Unknown), (Method::POST, Effect::Unknown)] {
            let target = Target::start(Does::Answers(answer)).await;
            let reply = Setup::local().send(target.call(method)).await.unwrap();
            let fault = reply.json::<serde_json::Value>().unwrap_err();
            assert_eq!((fault.kind, fault.effect), (FaultKind::Malformed, effect), "{answer:.60}: {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_target_without_a_good_certificate_is_an_outage_and_is_told_nothing() {
    // What answers in plain text where TLS is spoken has no certificate at all.
    let target = Target::start(Does::Answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let url = Url::parse(&format!("https://{}/", target.address)).unwrap();
    let setup = Setup::local();
    for _ in 0..5 {
        let call = Call::new("x", Method::POST, url.clone()).authorization("Bearer h3ader");
        let fault = setup.send(call).await.unwrap_err();
        assert_eq!((fault.kind, fault.effect), (FaultKind::Unavailable, Effect::None), "{fault:?}");
    }
    assert_eq!(target.requests(), 0, "the request was seen");
    assert_eq!(setup.budget.snapshot().breaker.state, "open");
}

#[tokio::test]
async fn too_many_stops_the_whole_key_whoever_asked() {
    let target =
        Target::start(Does::Answers("HTTP/1.1 429 Slow\r\nretry-after: 20\r\ncontent-length: 0\r\n\r\n")).await;
    let setup = Setup::local();
    setup.send(target.call(Method::GET)).await.unwrap();
    let until = setup.budget.blocked_until().unwrap();
    let left = until.duration_since(setup.clock.now()).as_secs();
    assert!((17..=20).contains(&left), "{left}");
    assert_eq!(setup.send(target.call(Method::GET)).await.unwrap_err().kind, FaultKind::NotSent);
    assert_eq!(target.requests(), 1);
}
