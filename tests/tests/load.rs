//! A large push against a target that takes few calls a second and tells nobody.

#![allow(clippy::panic, clippy::print_stderr, reason = "test code: helpers fail the test, and say what was measured")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tests::scim::USER;
use tests::{Admin, Db, Gateway, Scim, Sim, databases, wait_until};
use tokio::task::JoinSet;

/// Connections of the client.
const CONNECTIONS: usize = 16;
/// Bounds are for defects, not for measuring.
const BOUND: Duration = Duration::from_secs(600);

fn email(n: usize) -> String {
    format!("p{n:04}@example.com")
}

/// Creates so many people over a few connections that stay open; answers their ids.
async fn push(scim: &Scim, people: usize) -> HashMap<usize, String> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        // A client of its own has a connection of its own.
        let scim = Scim::new(&scim.base, &scim.key);
        let next = next.clone();
        connections.spawn(async move {
            let mut made = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= people {
                    return made;
                }
                let body = json!({"schemas": [USER], "userName": email(n), "active": true, "emails": [{"value": email(n), "primary": true}]});
                let made_one = scim.call(Method::POST, "/Users", Some(&body)).await.expect(201);
                made.push((n, made_one["id"].as_str().expect("a user has an id").to_owned()));
            }
        });
    }
    connections.join_all().await.into_iter().flatten().collect()
}

fn invites(call: &Value) -> bool {
    call["method"] == "POST"
        && call["status"].as_u64().is_some_and(|status| (200..300).contains(&status))
        && call["path"].as_str().is_some_and(|path| path.ends_with("/invitations"))
}

fn takes_back(call: &Value) -> bool {
    call["method"] == "DELETE" && call["status"].as_u64().is_some_and(|status| (200..300).contains(&status))
}

async fn invited(sim: &Sim) -> Vec<String> {
    let state = sim.state().await;
    let all = state["invitations"].as_array().cloned().unwrap_or_default();
    let mut emails: Vec<_> = all.iter().map(|one| one["email"].as_str().unwrap_or_default().to_owned()).collect();
    emails.sort();
    emails
}

/// Waits until nothing is left to do. Looks seldom enough not to be a load itself.
async fn settled(admin: &Admin, instance: &str) {
    wait_until("all is applied", BOUND, async || {
        let empty = async |path: String| {
            let page = admin.get(&path).await;
            page["items"].as_array().is_some_and(Vec::is_empty)
        };
        (empty(format!("/instances/{instance}/work?limit=1")).await
            && empty(format!("/instances/{instance}/operations?state=open&limit=1")).await)
            .then_some(())
    })
    .await;
}

async fn flood(target: &str, db: Db, people: usize) {
    let sim = Sim::start_with(target, "20/s").await;
    let gateway = Gateway::start(db).await;
    let admin = gateway.admin();
    let instance = admin.connect(&sim, Value::Null).await;
    let scim = &instance.scim;

    let start = Instant::now();
    let ids = push(scim, people).await;
    let acknowledged = start.elapsed();
    assert_eq!(ids.len(), people, "every one was acknowledged");
    let applied = invited(&sim).await.len();
    assert!(
        applied < people / 2,
        "{applied} of {people} were applied before the last was acknowledged: no backlog, no test"
    );

    wait_until("a tenth is applied", BOUND, async || (invited(&sim).await.len() >= people / 10).then_some(())).await;
    let there = invited(&sim).await;
    let leaver = (0..people).find(|n| there.contains(&email(*n))).expect("somebody was invited");
    scim.set_active(&ids[&leaver], false).await;
    settled(&admin, &instance.id).await;
    let all = start.elapsed();

    let calls = sim.calls().await;
    let made = calls.iter().filter(|call| invites(call)).count();
    let refused = calls.iter().filter(|call| call["status"] == 429).count();
    let removal = calls.iter().position(takes_back).expect("the leaver's invitation was taken back");
    let later = calls.iter().skip(removal).filter(|call| invites(call)).count();
    eprintln!(
        "{target} on {db:?}: {people} acknowledged in {acknowledged:.1?}, applied in {all:.1?}; {} calls, {refused} of them refused; {later} invitations after the leaver's removal",
        calls.len()
    );

    let wanted: Vec<_> = (0..people).filter(|n| *n != leaver).map(email).collect();
    assert_eq!(invited(&sim).await, wanted);
    assert_eq!(made, people, "each was invited once");
    assert_eq!(calls.iter().filter(|call| takes_back(call)).count(), 1);
    assert!(later >= people / 2, "only {later} invitations came after the leaver's removal");
    assert!(refused * 20 < calls.len(), "{refused} of {} calls were refused", calls.len());
    // One call each, and some for looking: a backlog is no reason to ask for more.
    assert!(calls.len() < people + people / 5, "{} calls for {people} people", calls.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_users_in_one_push_against_github() {
    flood("github", Db::Sqlite, 1_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_users_in_one_push_against_buildkite() {
    // On the other database, where there is one.
    let db = databases().pop().unwrap_or(Db::Sqlite);
    flood("buildkite", db, 1_000).await;
}
