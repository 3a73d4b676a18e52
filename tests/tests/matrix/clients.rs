//! What clients do to their requests: they leave before the answer, and they repeat themselves.

use std::collections::BTreeSet;

use http::Method;
use serde_json::json;
use tests::{Db, Gateway, Scim, Sim, databases, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::stage::{BOUND, called, emails, settled, succeeded, user};

/// Sends a POST of a user over a socket of its own and does not read the answer.
async fn ask(scim: &Scim, email: &str) -> TcpStream {
    let rest = scim.base.strip_prefix("http://").unwrap_or(&scim.base);
    let (host, path) = rest.split_once('/').expect("a base URL has a path");
    let body = user(email).to_string();
    let mut stream = TcpStream::connect(host).await.expect("the gateway listens");
    let head = format!(
        "POST /{path}/Users HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\ncontent-type: application/scim+json\r\ncontent-length: {}\r\n\r\n",
        scim.key,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("the gateway reads");
    stream.write_all(body.as_bytes()).await.expect("the gateway reads");
    stream
}

/// A client that gives up is not answered, and repeats: whichever moment it left at, there is one account.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_answer_finds_its_work_done_once() {
    for db in databases() {
        let sim = Sim::start("github").await;
        let gateway = Gateway::start(db).await;
        let admin = gateway.admin();
        let instance = admin.connect(&sim, json!({"answer_within_ms": 5_000})).await;
        admin.imported(&instance.id).await;
        let scim = &instance.scim;
        // At once: the request may not even have been read.
        let early: Vec<String> = (0..20).map(|n| format!("early{n:02}@example.com")).collect();
        for email in &early {
            drop(ask(scim, email).await);
        }
        // While the target is at it: the request waits for its settlement.
        let invites =
            json!([{"match": {"method": "POST", "path": "invitations$"}, "times": 1, "do": {"delay_ms": 1_000}}]);
        wait_until("the early ones are done", BOUND, async || {
            admin.work(&instance.id, "").await.is_empty().then_some(())
        })
        .await;
        sim.fault(invites).await;
        let before = sim.calls().await.len();
        let waiting = ask(scim, "late@example.com").await;
        wait_until("the target is at it", BOUND, async || {
            let calls = sim.calls().await;
            calls.iter().skip(before).any(|call| call["method"] == "POST" && call["status"] == 0).then_some(())
        })
        .await;
        drop(waiting);
        called(&sim, "the target has done it", 1, |call| {
            call["method"] == "POST" && succeeded(call) && call["n"].as_u64() > u64::try_from(before).ok()
        })
        .await;

        // The client comes back and says the same again.
        let mut all = early.clone();
        all.push("late@example.com".to_owned());
        all.sort();
        for email in &all {
            let again = scim.call(Method::POST, "/Users", Some(&user(email))).await;
            assert!(matches!(again.status, 201 | 409), "{db:?}: {} {}", again.status, again.text);
            let found = scim.get(&format!("/Users?filter=userName%20eq%20%22{email}%22")).await;
            assert_eq!(found["totalResults"], 1, "{db:?}: {found}");
        }
        settled(&admin, &instance.id).await;
        assert_eq!(emails(&sim.state().await, "invitations"), all, "{db:?}");
        let calls = sim.calls().await;
        let made = calls
            .iter()
            .filter(|call| call["method"] == "POST" && succeeded(call))
            .filter(|call| call["path"].as_str().is_some_and(|path| path.ends_with("/invitations")));
        assert_eq!(made.count(), all.len(), "{db:?}: nobody was invited twice");
    }
}

/// Ten times the same request at the same moment, over ten connections.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_post_ten_times_at_once_makes_one_account() {
    const TIMES: usize = 10;
    for (db, target) in databases().into_iter().flat_map(|db: Db| [(db, "github"), (db, "buildkite")]) {
        let sim = Sim::start(target).await;
        let gateway = Gateway::start(db).await;
        let admin = gateway.admin();
        let instance = admin.connect(&sim, json!({})).await;
        admin.imported(&instance.id).await;
        let barrier = std::sync::Arc::new(Barrier::new(TIMES));
        let mut posts = JoinSet::new();
        for _ in 0..TIMES {
            let (scim, barrier) = (instance.scim.clone(), barrier.clone());
            posts.spawn(async move {
                let whole = ask(&scim, "ada@example.com");
                barrier.wait().await;
                let mut stream = whole.await;
                let mut answer = Vec::new();
                let mut part = [0; 4096];
                // One answer, on a connection that stays open: until its status and id can be read.
                loop {
                    let read = stream.read(&mut part).await.expect("an answer comes");
                    answer.extend_from_slice(&part[..read]);
                    let text = String::from_utf8_lossy(&answer).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    if let Ok(body) = serde_json::from_str::<serde_json::Value>(body) {
                        let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
                        return (status, body["id"].as_str().unwrap_or_default().to_owned());
                    }
                    assert!(read > 0, "the answer broke off: {text}");
                }
            });
        }
        let answers = posts.join_all().await;
        let made: BTreeSet<&str> =
            answers.iter().filter(|(status, _)| status == "201").map(|(_, id)| id.as_str()).collect();
        assert_eq!(made.len(), 1, "{target} on {db:?}: {answers:?}");
        assert!(
            answers.iter().all(|(status, _)| status == "201" || status == "409"),
            "{target} on {db:?}: {answers:?}"
        );
        settled(&admin, &instance.id).await;
        assert_eq!(emails(&sim.state().await, "invitations"), ["ada@example.com"], "{target} on {db:?}");
    }
}
