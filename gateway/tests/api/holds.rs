//! What the brake holds, as the admin API shows and decides it; and alerts at a real receiver.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use simulators::{Limits, Simulator};
use tokio_util::sync::CancellationToken;

use crate::support::{Gateway, Instance};

/// Somebody who is told of alerts: what came, and what is answered next (204 when nothing is said).
#[derive(Clone, Default)]
struct Receiver {
    got: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl Receiver {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/alerts", listener.local_addr().unwrap());
        let this = self.clone();
        let route = post(move |headers: HeaderMap, body: Bytes| async move {
            this.got.lock().unwrap().push((headers, String::from_utf8(body.to_vec()).unwrap()));
            let status = this.answers.lock().unwrap().pop_front().unwrap_or(204);
            StatusCode::from_u16(status).unwrap()
        });
        let router = Router::new().route("/alerts", route);
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn answer(&self, answers: &[u16]) {
        self.answers.lock().unwrap().extend(answers);
    }

    /// What was told so far, each once. A message whose delivery is not yet on record when the clock jumps comes again
    /// under its id, as it should.
    fn told(&self, secret: &str) -> Vec<String> {
        let mut seen = HashSet::new();
        self.messages(secret)
            .into_iter()
            .filter(|(id, _)| seen.insert(id.clone()))
            .map(|(_, message)| message["type"].as_str().unwrap().to_owned())
            .collect()
    }

    /// What came so far: id and body, each with a signature that its secret makes.
    fn messages(&self, secret: &str) -> Vec<(String, Value)> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap());
        let got = self.got.lock().unwrap();
        got.iter()
            .map(|(headers, body)| {
                let header = |name: &str| headers.get(name).unwrap().to_str().unwrap();
                let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
                let signature = STANDARD.decode(header("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
                hmac::verify(&key, format!("{id}.{at}.{body}").as_bytes(), &signature).unwrap();
                (id.to_owned(), serde_json::from_str(body).unwrap())
            })
            .collect()
    }
}

/// The driver of a gateway, while it is held.
struct Driving(CancellationToken);

impl Driving {
    fn begin(gateway: &Gateway) -> Self {
        let stop = CancellationToken::new();
        let (driver, token) = (gateway.app.driver.clone(), stop.clone());
        tokio::spawn(async move { driver.start(token).await });
        Self(stop)
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Lets time pass until something is so.
async fn until(gateway: &Gateway, what: &str, mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..4_000 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        gateway.clock.advance(Duration::from_millis(100));
    }
    panic!("waited in vain for {what}");
}

async fn webhook(gateway: &Gateway, url: &str, events: Value) -> (String, String) {
    let mut body = json!({"url": url});
    if !events.is_null() {
        body["events"] = events;
    }
    let made = gateway.admin("POST", "/alert-webhooks", Some(body)).await.expect(201).json();
    (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
}

/// An instance with so many accounts at a simulated target, whom nobody manages yet.
async fn target(gateway: &Gateway, many: usize, policy: Value) -> (Simulator, Instance, Vec<String>) {
    let sim = Simulator::new(
        simulators::target("buildkite", Limits::None).unwrap(),
        Limits::None,
        simulators::Clock::system(),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(simulators::serve(sim.clone(), listener, std::future::pending()));
    let load =
        Request::post("/_sim/load").body(Bytes::from(json!({"accounts": many, "groups": 0}).to_string())).unwrap();
    assert!(sim.handle(load).await.unwrap().status().is_success());
    let offer = sim.offer(&base);
    let body = json!({"name": "Acme", "connector": offer["connector"], "settings": offer["settings"], "secrets": offer["secrets"], "mode": "enabled", "policy": policy});
    let made = gateway.admin("POST", "/instances", Some(body)).await.expect(201).json();
    let id = made["id"].as_str().unwrap().to_owned();
    let key = gateway.admin("POST", &format!("/instances/{id}/keys"), None).await.expect(201).json();
    let instance = Instance {
        base: format!("/i/{id}/scim/v2"),
        key: format!("Bearer {}", key["key"].as_str().unwrap()),
        key_id: key["id"].as_str().unwrap().to_owned(),
        id,
    };
    let path = format!("/instances/{}/users?limit=500", instance.id);
    let mut users = Vec::new();
    until(gateway, "the import", async || {
        let found = gateway.admin("GET", &path, None).await.expect(200).json();
        users = found["items"].as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap().to_owned()).collect();
        users.len() == many
    })
    .await;
    (sim, instance, users)
}

async fn deactivate(gateway: &Gateway, to: &Instance, user: &str) {
    let body = json!({"schemas": [crate::support::PATCH], "Operations": [{"op": "replace", "path": "active", "value": false}]});
    gateway.scim(to, "PATCH", &format!("/Users/{user}"), Some(body)).await.expect(200);
}

async fn state(sim: &Simulator) -> Value {
    let reply = sim.handle(Request::get("/_sim/state").body(Bytes::new()).unwrap()).await.unwrap();
    serde_json::from_slice(reply.body()).unwrap()
}

async fn accounts(sim: &Simulator) -> usize {
    state(sim).await["accounts"].as_array().unwrap().len()
}

/// Waits until the open hold has so many items.
async fn held(gateway: &Gateway, many: i64) -> Value {
    let mut found = Value::Null;
    until(gateway, "the hold", async || {
        let holds = gateway.admin("GET", "/holds?state=open", None).await.expect(200).json();
        found = holds["items"].get(0).cloned().unwrap_or_default();
        found["count"]["total"] == many
    })
    .await;
    let path = format!("/holds/{}", found["id"].as_str().unwrap());
    gateway.admin("GET", &path, None).await.expect(200).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_are_listed_paged_and_decided_by_their_list() {
    for gateway in Gateway::everywhere().await {
        let _driving = Driving::begin(&gateway);
        let policy = json!({"brake": {"accounts": 2, "percent": 0}});
        let (sim, to, users) = target(&gateway, 7, policy).await;
        for user in &users {
            deactivate(&gateway, &to, user).await;
        }
        let hold = held(&gateway, 5).await;
        let path = format!("/holds/{}", hold["id"].as_str().unwrap());
        let (mut people, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = gateway.admin("GET", &format!("{path}?limit=2&cursor={cursor}"), None).await.expect(200).json();
            assert_eq!(page["list_hash"], hold["list_hash"]);
            people.extend(
                page["items"].as_array().unwrap().iter().map(|item| item["person"]["id"].as_str().unwrap().to_owned()),
            );
            match page["next"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        people.sort();
        people.dedup();
        assert_eq!(people.len(), 5);

        for (body, status) in [
            (json!({}), 400),
            (json!({"list_hash": 7}), 400),
            (json!({"list_hash": "x", "why": "y"}), 400),
            (json!({"list_hash": "0000"}), 409),
            (json!({"list_hash": hold["list_hash"], "comment": "x".repeat(2_001)}), 400),
        ] {
            gateway.admin("POST", &format!("{path}/allow"), Some(body)).await.expect(status);
        }
        assert_eq!(accounts(&sim).await, 5, "nothing was decided");
        gateway.admin("GET", "/holds?state=held", None).await.expect(400);
        gateway.admin("GET", "/holds/h_none", None).await.expect(404);
        gateway.admin("GET", &format!("{path}?cursor=x"), None).await.expect(400);
        gateway.admin("POST", "/holds/h_none/allow", Some(json!({"list_hash": "x"}))).await.expect(404);

        let body = json!({"list_hash": hold["list_hash"], "comment": "meant"});
        let decided = gateway.admin("POST", &format!("{path}/allow"), Some(body.clone())).await.expect(200).json();
        assert_eq!((&decided["state"], &decided["decided_by"]), (&json!("allowed"), &json!("admin")));
        gateway.admin("POST", &format!("{path}/discard"), Some(body)).await.expect(409);
        until(&gateway, "the removals", async || accounts(&sim).await == 0).await;
        let audit = gateway.admin("GET", "/audit?limit=500", None).await.expect(200).json();
        let acts: Vec<&Value> =
            audit["items"].as_array().unwrap().iter().filter(|row| row["act"] == "hold.allow").collect();
        assert_eq!((acts.len(), &acts[0]["detail"]["comment"]), (1, &json!("meant")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_told_reminded_of_and_allowed_after_its_time_where_the_policy_says_so() {
    for gateway in Gateway::everywhere().await {
        let receiver = Receiver::default();
        let (_, secret) = webhook(&gateway, &receiver.start().await, json!(["hold.opened", "hold.reminder"])).await;
        let _driving = Driving::begin(&gateway);
        let policy = json!({"brake": {"accounts": 0, "percent": 0, "on_timeout": "allow", "timeout_hours": 4}});
        let (sim, to, users) = target(&gateway, 1, policy).await;
        deactivate(&gateway, &to, &users[0]).await;
        let hold = held(&gateway, 1).await;
        assert!(hold["allowed_at"].is_string(), "{hold}");
        until(&gateway, "the alert", async || !receiver.messages(&secret).is_empty()).await;
        let (_, told) = receiver.messages(&secret).remove(0);
        assert_eq!((&told["type"], &told["data"]["hold"]), (&json!("hold.opened"), &hold["id"]));
        assert_eq!(told["data"]["count"]["deprovision"], 1);
        assert!(!told.to_string().contains("load0000"), "nothing personal: {told}");

        gateway.clock.advance(Duration::from_secs(3_600));
        until(&gateway, "the reminder", async || receiver.told(&secret).len() > 1).await;
        gateway.clock.advance(Duration::from_secs(2 * 3_600));
        assert_eq!(accounts(&sim).await, 1);
        gateway.clock.advance(Duration::from_secs(3_600));
        until(&gateway, "the time-out", async || accounts(&sim).await == 0).await;
        let path = format!("/holds/{}", hold["id"].as_str().unwrap());
        let decided = gateway.admin("GET", &path, None).await.expect(200).json();
        assert_eq!((&decided["state"], &decided["decided_by"]), (&json!("allowed"), &json!("timeout")));
        // Four hours lie between the first reminder and the second, which therefore was not sent before the end.
        assert_eq!(receiver.told(&secret), ["hold.opened", "hold.reminder"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_a_leaver_waited_for_a_turn_of_their_own() {
    for gateway in Gateway::everywhere().await {
        let _driving = Driving::begin(&gateway);
        let (sim, to, users) = target(&gateway, 1, json!({"brake": false})).await;
        let faults = |method: &str, faults: Value| {
            Request::builder().method(method).uri("/_sim/faults").body(Bytes::from(faults.to_string())).unwrap()
        };
        let away = json!([{"match": {}, "times": 1_000_000, "do": {"status": 503}}]);
        assert!(sim.handle(faults("POST", away)).await.unwrap().status().is_success());
        deactivate(&gateway, &to, &users[0]).await;
        let calls = async || {
            let reply = sim.handle(Request::get("/_sim/calls").body(Bytes::new()).unwrap()).await.unwrap();
            serde_json::from_slice::<Value>(reply.body()).unwrap().as_array().unwrap().len()
        };
        // Tried so often in vain that the next turn is many minutes away. The clock goes in steps that a lease survives.
        for _ in 0..10 {
            let before = calls().await;
            until(&gateway, "another try", async || {
                gateway.clock.advance(Duration::from_millis(900));
                calls().await > before
            })
            .await;
        }
        assert!(sim.handle(faults("DELETE", Value::Null)).await.unwrap().status().is_success());
        // Somebody else's call finds the target back.
        gateway.user(&to, "new@example.com").await;
        until(&gateway, "the invitation", async || state(&sim).await["invitations"] != json!([])).await;
        let back = gateway.clock.now();
        until(&gateway, "the removal", async || accounts(&sim).await == 0).await;
        let waited = gateway.clock.now().duration_since(back);
        assert!(waited < jiff::SignedDuration::from_secs(180), "{waited:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_arrive_signed_at_least_once_under_one_id_and_after_a_restart() {
    for gateway in Gateway::everywhere().await {
        let receiver = Receiver::default();
        let url = receiver.start().await;
        let (id, secret) = webhook(&gateway, &url, Value::Null).await;
        // Somebody who still has access, because the instance is paused.
        let to = gateway.instance("paused", json!({})).await;
        let ada = gateway.user(&to, "ada@example.com").await;
        deactivate(&gateway, &to, &ada).await;
        receiver.answer(&[503]);
        let driving = Driving::begin(&gateway);
        gateway.clock.advance(Duration::from_secs(301));
        until(&gateway, "the first attempt", async || !receiver.messages(&secret).is_empty()).await;
        until(&gateway, "its failure's record", async || {
            gateway.admin("GET", "/alert-webhooks", None).await.expect(200).json()["items"][0]["last_error"].is_string()
        })
        .await;
        drop(driving);
        let _driving = Driving::begin(&gateway);
        until(&gateway, "the second attempt", async || receiver.messages(&secret).len() >= 2).await;
        let got = receiver.messages(&secret);
        assert_eq!(got[0], got[1], "the same message under the same id");
        assert_eq!((&got[0].1["type"], &got[0].1["data"]["people"]), (&json!("deprovision.overdue"), &json!(1)));
        assert_eq!(got[0].1["data"]["instance"]["id"], to.id.as_str());

        let tested = gateway.admin("POST", &format!("/alert-webhooks/{id}/test"), None).await.expect(202).json();
        let got = || {
            let mut messages = receiver.messages(&secret).into_iter();
            messages.find_map(|(id, body)| (tested["message"] == *id).then_some(body))
        };
        until(&gateway, "the test", async || got().is_some()).await;
        assert_eq!(got().unwrap()["type"], "test");
        until(&gateway, "its record", async || {
            let shown = gateway.admin("GET", &format!("/alert-webhooks/{id}"), None).await.expect(200).json();
            shown["delivered"] == 2 && shown["pending"] == 0 && shown["last_error"].is_null()
        })
        .await;

        // Who says that it is gone is not asked again until somebody tries it out.
        receiver.answer(&[410]);
        gateway.admin("POST", &format!("/alert-webhooks/{id}/test"), None).await.expect(202);
        until(&gateway, "its end", async || {
            gateway.admin("GET", &format!("/alert-webhooks/{id}"), None).await.expect(200).json()["disabled_at"]
                .is_string()
        })
        .await;
    }
}

/// The target is down: who has people waiting is told after five minutes, and that a comparison came to nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_down_and_a_run_that_failed_are_told() {
    for gateway in Gateway::everywhere().await {
        let receiver = Receiver::default();
        let (_, secret) = webhook(&gateway, &receiver.start().await, json!(["breaker.open", "run.failed"])).await;
        let _driving = Driving::begin(&gateway);
        let (sim, to, users) = target(&gateway, 6, json!({"brake": false})).await;
        let away = json!([{"match": {}, "times": 1_000_000, "do": {"status": 503}}]);
        let faults = |method: &str, faults: Value| {
            Request::builder().method(method).uri("/_sim/faults").body(Bytes::from(faults.to_string())).unwrap()
        };
        assert!(sim.handle(faults("POST", away)).await.unwrap().status().is_success());
        let down = gateway.clock.now();
        for user in &users {
            deactivate(&gateway, &to, user).await;
        }
        until(&gateway, "the alert", async || {
            gateway.clock.advance(Duration::from_millis(200));
            receiver.told(&secret).contains(&"breaker.open".to_owned())
        })
        .await;
        assert!(gateway.clock.now().duration_since(down) > jiff::SignedDuration::from_mins(5), "an outage of a moment");
        let message =
            |kind: &str| receiver.messages(&secret).into_iter().find(|(_, it)| it["type"] == *kind).unwrap().1;
        assert_eq!(message("breaker.open")["data"]["instance"]["id"], to.id.as_str());

        let run = gateway.admin("POST", &format!("/instances/{}/reconcile", to.id), None).await.expect(202).json();
        until(&gateway, "the other alert", async || receiver.told(&secret).contains(&"run.failed".to_owned())).await;
        let told = message("run.failed");
        assert_eq!((told["data"]["kind"].is_string(), &told["data"]["instance"]["id"]), (true, &json!(to.id)));
        let path = format!("/instances/{}/runs/{}", to.id, told["data"]["run"].as_str().unwrap());
        let ended = gateway.admin("GET", &path, None).await.expect(200).json();
        assert_eq!((&ended["state"], ended["error"].is_string()), (&json!("failed"), true), "{ended} after {run}");

        assert!(sim.handle(faults("DELETE", Value::Null)).await.unwrap().status().is_success());
        until(&gateway, "the removals", async || accounts(&sim).await == 0).await;
        // One is told once, for as long as it lasts.
        let told = receiver.told(&secret);
        assert_eq!(told.iter().filter(|kind| *kind == "breaker.open").count(), 1, "{told:?}");
    }
}

#[tokio::test]
async fn alert_webhooks_are_made_shown_without_secret_and_deleted() {
    let gateway = Gateway::start().await;
    for (body, field) in [
        (json!({"url": "no url"}), "url"),
        (json!({"url": "ftp://example.com/x"}), "url"),
        (json!({"url": "https://example.com/x#y"}), "url"),
        (json!({"url": "https://example.com/x", "events": []}), "events"),
        (json!({"url": "https://example.com/x", "events": ["hold"]}), "events"),
        (json!({"url": "https://example.com/x", "secret": "mine"}), "secret"),
        (json!({}), "url"),
    ] {
        let refused = gateway.admin("POST", "/alert-webhooks", Some(body.clone())).await.expect(400).json();
        assert_eq!(refused["field"], field, "{body}: {refused}");
    }
    let (id, secret) = webhook(&gateway, "https://example.com/x", json!(["run.failed"])).await;
    let shown = gateway.admin("GET", &format!("/alert-webhooks/{id}"), None).await.expect(200).json();
    assert_eq!((&shown["events"], shown.get("secret")), (&json!(["run.failed"]), None));
    let audit = gateway.admin("GET", "/audit?limit=500", None).await.expect(200).json().to_string();
    assert!(!audit.contains(secret.trim_start_matches("whsec_")), "the audit holds no secret");
    gateway.admin("DELETE", &format!("/alert-webhooks/{id}"), None).await.expect(204);
    for (method, path) in [("GET", ""), ("DELETE", ""), ("POST", "/test")] {
        gateway.admin(method, &format!("/alert-webhooks/{id}{path}"), None).await.expect(404);
    }
    for _ in 0..16 {
        webhook(&gateway, "https://example.com/x", Value::Null).await;
    }
    gateway.admin("POST", "/alert-webhooks", Some(json!({"url": "https://example.com/x"}))).await.expect(409);
}
