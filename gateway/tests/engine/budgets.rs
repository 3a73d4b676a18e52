//! What the target's limits, outages and credentials mean for the work: who goes first, what is kept
//! back, and what is never held up by somebody else's trouble.

use std::sync::Arc;

use gateway::service::instances::{InstanceChange, NewInstance};
use gateway::service::records::AdminError;
use gateway::service::types::{Failure, Instance, Mode};
use serde_json::{Value, json};
use simulators::{Limits, Simulator};
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, databases, emails, rig, rig_under, rig_with};

async fn faults(rig: &Rig, faults: Value) {
    rig.control("POST", "/_sim/faults", faults).await;
}

async fn calm(rig: &Rig) {
    rig.control("DELETE", "/_sim/faults", Value::Null).await;
}

/// A person who accepted the invitation.
async fn member(rig: &Rig, name: &str) -> String {
    let id = rig.user(name).await;
    rig.quiet().await;
    rig.control("POST", "/_sim/accept", json!({})).await;
    rig.reconcile().await;
    rig.quiet().await;
    id
}

fn off() -> Value {
    json!([{"op": "replace", "path": "active", "value": false}])
}

/// Many posts at once, as a client's full push sends them.
async fn push(rig: &Arc<Rig>, people: usize) {
    let mut posts = tokio::task::JoinSet::new();
    for n in 0..people {
        let rig = rig.clone();
        posts.spawn(async move { rig.user(&format!("new{n:05}@example.com")).await });
        if posts.len() >= 16 {
            posts.join_next().await.unwrap().unwrap();
        }
    }
    while posts.join_next().await.is_some() {}
}

async fn statuses(rig: &Rig) -> Vec<u64> {
    rig.calls().await.as_array().unwrap().iter().filter_map(|call| call["status"].as_u64()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaver_behind_a_backlog_waits_for_none_of_it() {
    for db in databases() {
        let rig = rig_under(&db, "github", json!({"answer_within_ms": 0}), json!({}), Limits::PerSecond(20)).await;
        let rig = Arc::new(rig);
        let eve = member(&rig, "eve@example.com").await;
        faults(&rig, json!([{"match": {}, "times": 1_000_000, "do": {"delay_ms": 50}}])).await;
        push(&rig, 400).await;
        let before = statuses(&rig).await.len();
        rig.patch("User", &eve, off()).await.unwrap();
        rig.wait("her removal", async || rig.state().await["accounts"] == json!([])).await;
        // At twenty calls a second these are five seconds of the target's time, by its own count.
        let calls = statuses(&rig).await.len() - before;
        assert!(calls <= 100, "{calls} calls went before the leaver's");
        assert!(rig.open_work().await.len() > 100, "there was a backlog");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_retry_after_the_leaver_is_first() {
    for db in databases() {
        let rig = rig(&db, "github", json!({"answer_within_ms": 0})).await;
        let rig = Arc::new(rig);
        let eve = member(&rig, "eve@example.com").await;
        faults(&rig, json!([{"match": {"path": "invitations"}, "times": 1, "do": {"status": 429, "headers": {"retry-after": "2"}}}])).await;
        push(&rig, 40).await;
        rig.wait("the refusal", async || statuses(&rig).await.contains(&429)).await;
        rig.patch("User", &eve, off()).await.unwrap();
        rig.wait("her removal", async || rig.state().await["accounts"] == json!([])).await;
        let writes = rig.writes().await;
        let refused = writes.iter().position(|call| call.ends_with("429")).unwrap();
        let removed = writes.iter().position(|call| call.starts_with("DELETE")).unwrap();
        // What was under way when the refusal came may have ended; nothing was begun in between.
        let between = removed - refused - 1;
        assert!(between <= 8, "{between} writes went before the leaver's: {writes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_no_storm_and_everything_arrives_after_it() {
    for db in databases() {
        let rig = Arc::new(rig(&db, "github", json!({"answer_within_ms": 0})).await);
        faults(&rig, json!([{"match": {}, "times": 1_000_000, "do": {"status": 503}}])).await;
        push(&rig, 40).await;
        rig.wait("the breaker", async || !rig.app.driver.opened_since().is_empty()).await;
        // The first probe comes after five seconds.
        let at_first = statuses(&rig).await.len();
        rig.wait("a probe", async || statuses(&rig).await.len() > at_first).await;
        let failed = statuses(&rig).await.iter().filter(|status| **status == 503).count();
        assert!(failed <= 48, "{failed} calls for 40 people");
        assert_eq!(rig.app.driver.budgets()[0]["breaker"]["failures"].as_u64().map(|n| n >= 5), Some(true));
        calm(&rig).await;
        rig.wait("the end of the outage", async || rig.app.driver.opened_since().is_empty()).await;
        rig.quiet().await;
        assert_eq!(emails(&rig.state().await, "invitations").len(), 40);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_credential_is_looked_at_by_one_and_a_new_one_makes_all_due() {
    for db in databases() {
        let rig = Arc::new(rig(&db, "github", json!({"answer_within_ms": 0})).await);
        let eve = member(&rig, "eve@example.com").await;
        rig.control("POST", "/_sim/set", json!({"token": "revoked"})).await;
        push(&rig, 40).await;
        rig.patch("User", &eve, off()).await.unwrap();
        rig.wait("the mark", async || !rig.app.driver.degraded().await.unwrap().is_empty()).await;
        let marked = rig.app.driver.degraded().await.unwrap().remove(0);
        assert_eq!(marked.instance, rig.instance.id);
        assert!(marked.look_at - marked.since >= 299_000_000, "looked at every five minutes");
        assert!(!marked.why.is_empty());
        let dead = statuses(&rig).await.iter().filter(|status| **status == 401).count();
        assert!(dead <= 20, "{dead} calls with a dead credential for 41 pieces of work");
        assert!(rig.open_work().await.len() >= 40, "nothing was dropped");
        // A credential that the target refuses is not taken.
        let change = || InstanceChange { secrets: secrets(&rig), ..InstanceChange::default() };
        let refused = rig.app.update_instance("admin", &rig.instance, change()).await;
        assert!(matches!(&refused, Err(AdminError::Invalid { field, .. }) if field == "token"), "{:?}", refused.err());
        rig.control("POST", "/_sim/set", json!({"token": "valid"})).await;
        rig.app.update_instance("admin", &rig.instance, change()).await.map_err(|error| error.to_string()).unwrap();
        assert!(rig.app.driver.degraded().await.unwrap().is_empty());
        rig.quiet().await;
        let state = rig.state().await;
        assert_eq!((emails(&state, "invitations").len(), emails(&state, "accounts").len()), (40, 0));
    }
}

/// The credential that the simulator offers, as a change of it.
fn secrets(rig: &Rig) -> std::collections::BTreeMap<String, Option<secrecy::SecretString>> {
    let offer = rig.sim.offer("http://127.0.0.1:1");
    let offered = offer["secrets"].as_object().unwrap();
    offered.iter().map(|(name, value)| (name.clone(), Some(value.as_str().unwrap().to_owned().into()))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_credential_is_taken_untried_only_where_that_is_asked_for() {
    for db in databases() {
        let rig = rig(&db, "github", json!({})).await;
        faults(&rig, json!([{"match": {}, "times": 1_000_000, "do": {"status": 503}}])).await;
        let change = |force| InstanceChange { secrets: secrets(&rig), force, ..InstanceChange::default() };
        let refused = rig.app.update_instance("admin", &rig.instance, change(false)).await;
        let Err(AdminError::Conflict(words)) = refused else { panic!("{:?}", refused.err()) };
        assert!(words.contains("force=true") && words.contains("The old one stays"), "{words}");
        let taken = rig.app.update_instance("admin", &rig.instance, change(true)).await;
        assert!(taken.is_ok_and(|now| now.config_rev > rig.instance.config_rev));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_identity_under_the_same_limits_is_refused() {
    for db in databases() {
        let rig = rig(&db, "buildkite", json!({})).await;
        let change = |force| InstanceChange { secrets: secrets(&rig), force, ..InstanceChange::default() };
        let same = rig.app.update_instance("admin", &rig.instance, change(false)).await;
        let now = same.map_err(|error| error.to_string()).unwrap();
        // The same token, but it speaks for somebody else from now on.
        let other =
            json!({"id": "0190ffff-0000-4000-8000-000000000001", "name": "Other", "email": "other@example.com"});
        let role = json!({"role": "admin"});
        faults(
            &rig,
            json!([
                {"match": {"path": "/user$"}, "times": 10, "do": {"status": 200, "body": other}},
                {"match": {"path": "/members/0190ffff"}, "times": 10, "do": {"status": 200, "body": role}},
            ]),
        )
        .await;
        let refused = rig.app.update_instance("admin", &now, change(false)).await;
        let Err(AdminError::Conflict(words)) = refused else { panic!("{:?}", refused.err()) };
        assert!(words.contains("another identity"), "{words}");
        assert!(rig.app.update_instance("admin", &now, change(true)).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_keeps_joiners_out_and_lets_leavers_in() {
    for db in databases() {
        let mut rig = rig(&db, "github", json!({"answer_within_ms": 0, "max_open_work": 5})).await;
        let eve = member(&rig, "eve@example.com").await;
        rig.set_mode(Mode::Paused).await;
        for n in 0..5 {
            rig.user(&format!("p{n}@example.com")).await;
        }
        let late =
            rig.post("User", json!({"userName": "late@example.com", "emails": [{"value": "late@example.com"}]})).await;
        let Err(Failure::Scim(error)) = late else { panic!("a joiner was let into a full queue") };
        assert_eq!(error.status, 503);
        assert!(rig.patch("User", &eve, off()).await.unwrap().changed);
        rig.set_mode(Mode::Enabled).await;
        rig.quiet().await;
        let state = rig.state().await;
        assert_eq!((emails(&state, "invitations").len(), emails(&state, "accounts").len()), (5, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_backlog_goes_with_the_bulk() {
    for db in databases() {
        let mut rig = rig(&db, "github", json!({"answer_within_ms": 0})).await;
        rig.set_mode(Mode::Paused).await;
        for n in 0..120 {
            rig.user(&format!("p{n:03}@example.com")).await;
        }
        let lanes: Vec<Value> = rig.app.list_work(&rig.instance, None, 0, 1000).await.unwrap().items;
        let bulk = lanes.iter().filter(|row| row["lane"] == "bulk").count();
        assert!((10..=40).contains(&bulk), "{bulk} of 120");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_hangs_slows_nobody_else() {
    for db in databases() {
        let rig = rig(&db, "github", json!({"answer_within_ms": 0})).await;
        faults(&rig, json!([{"match": {}, "times": 1_000_000, "do": {"delay_ms": 20_000}}])).await;
        let (other, sim, _stop) = second(&rig, "buildkite").await;
        for n in 0..12 {
            rig.user(&format!("slow{n}@example.com")).await;
        }
        for n in 0..20 {
            let name = format!("quick{n}@example.com");
            let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name, "emails": [{"value": name, "primary": true}]});
            let registry = other.registry.clone();
            let rt = registry.resource_type("User").unwrap();
            let written = rig.app.create(&other, &rig.caller(), rt, body, &mut scim::Quirks::lenient()).await.unwrap();
            assert!(written.settled, "{name} waited for another's target");
        }
        let state = sim.handle(http::Request::get("/_sim/state").body(bytes::Bytes::new()).unwrap()).await.unwrap();
        let state: Value = serde_json::from_slice(state.body()).unwrap();
        assert_eq!(emails(&state, "invitations").len(), 20);
    }
}

/// One more instance in the same gateway, at a target of its own.
async fn second(rig: &Rig, target: &str) -> (Arc<Instance>, Simulator, tokio_util::sync::DropGuard) {
    let sim =
        Simulator::new(simulators::target(target, Limits::None).unwrap(), Limits::None, simulators::Clock::system());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let offer = sim.offer(&format!("http://{}", listener.local_addr().unwrap()));
    let stop = CancellationToken::new();
    tokio::spawn(simulators::serve(sim.clone(), listener, stop.clone().cancelled_owned()));
    let offered = offer["secrets"].as_object().unwrap();
    let new = NewInstance {
        name: "second".to_owned(),
        connector: offer["connector"].as_str().unwrap().to_owned(),
        connector_version: None,
        settings: offer["settings"].clone(),
        secrets: offered
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned().into()))
            .collect(),
        mode: Mode::Enabled,
        policy: json!({"answer_within_ms": 10_000}),
        schema: Value::Null,
    };
    let instance = rig.app.create_instance("admin", new).await.map_err(|error| format!("{error:?}")).unwrap();
    rig.wait("its import", async || {
        let id = rig.app.start_run(&instance, gateway::reconcile::RunKind::Reconcile, "test").await.unwrap();
        id.is_some()
    })
    .await;
    (instance, sim, stop.drop_guard())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_on_pending_invitations_is_waited_for_without_a_call() {
    for db in databases() {
        let rig = rig_with(&db, "buildkite", json!({"answer_within_ms": 0}), json!({"pace": "documented"})).await;
        let offer = rig.sim.offer("http://127.0.0.1:1");
        let (org, token) = (offer["settings"]["org"].as_str().unwrap(), offer["secrets"]["token"].as_str().unwrap());
        let people: Vec<String> = (0..20).map(|n| format!("foreign{n}@example.com")).collect();
        let request = http::Request::post(format!("/v2/organizations/{org}/invitations"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(bytes::Bytes::from(json!({"emails": people, "role": "member", "sso_mode": "required"}).to_string()))
            .unwrap();
        assert_eq!(rig.sim.handle(request).await.unwrap().status(), 201);
        rig.reconcile().await;
        let writes = rig.writes().await.len();
        rig.user("ada@example.com").await;
        rig.wait("the wait", async || {
            rig.open_work().await.iter().any(|row| *row == ("waiting".to_owned(), "quota".to_owned()))
        })
        .await;
        assert_eq!(rig.writes().await.len(), writes, "nothing was sent that could only be refused");
        assert_eq!(
            rig.app.driver.budgets()[0]["buckets"]
                .as_array()
                .unwrap()
                .iter()
                .find(|b| b["name"] == "pending_invitations")
                .map(|b| b["used"].clone()),
            Some(json!(20))
        );
    }
}
