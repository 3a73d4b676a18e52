//! The check of a real target, against simulated ones: it finds what is wrong and leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::future::{pending, ready};
use std::sync::Arc;

use connector_sdk::kit::live::{self, Found, Line, Own};
use connector_sdk::kit::{self, World};
use connector_sdk::{Person, Transport};
use contract::{Built, Sim, subjects};
use serde_json::{Value, json};

fn subject(built: Built) -> (kit::Subject, Arc<Sim>) {
    let sim = Arc::clone(&built.sim);
    let subject = kit::Subject {
        connector: built.connector,
        transport: Arc::clone(&built.sim) as Arc<dyn Transport>,
        world: built.sim,
        secrets: built.secrets,
        calls: built.calls,
    };
    (subject, sim)
}

fn broken(lines: &[Line]) -> Vec<&Line> {
    lines.iter().filter(|line| matches!(line.found, Found::Broken(_))).collect()
}

async fn state(sim: &Sim) -> Value {
    sim.control("GET", "/_sim/state", Value::Null).await.unwrap()
}

/// The state without what the target keeps of whatever is removed there: an account that may not come in any more, a
/// group that is disabled.
async fn left(sim: &Sim, before: &Value) -> Value {
    let mut now = state(sim).await;
    for (list, switch) in [("accounts", "active"), ("groups", "enabled")] {
        let known: Vec<Value> = before[list].as_array().into_iter().flatten().map(|one| one["id"].clone()).collect();
        if let Some(all) = now[list].as_array_mut() {
            all.retain(|one| one[switch] != false || known.contains(&one["id"]));
        }
    }
    now
}

async fn own(sim: &Sim) -> Own {
    Own { group: "scimgate check 4711".to_owned(), person: Some(sim.person("check").await.unwrap()) }
}

#[tokio::test]
async fn every_connector_passes_and_leaves_its_target_as_it_was() {
    for played in subjects() {
        let (reads, sim) = subject(played.build().unwrap());
        sim.control("POST", "/_sim/load", json!({ "accounts": 3, "groups": 2 })).await.unwrap();
        let before = state(&sim).await;
        let lines = live::read(reads.clone(), &Person::named("nobody@check.example")).await;
        assert!(broken(&lines).is_empty(), "{}: {:?}", played.title(), broken(&lines));
        let lines = live::write(reads, &own(&sim).await, pending()).await;
        assert!(broken(&lines).is_empty(), "{}: {:?}", played.title(), broken(&lines));
        assert!(lines.iter().any(|line| matches!(line.found, Found::Kept(_))));
        assert_eq!(left(&sim, &before).await, before, "{}", played.title());
    }
}

/// Whichever call fails on the way, and whether it was done or not, what was made is removed.
#[tokio::test]
async fn a_check_that_fails_removes_what_it_made() {
    for played in subjects() {
        let mut noticed = 0;
        for fault in [json!({ "drop": "after" }), json!({ "drop": "before" }), json!({ "status": 500 })] {
            for (method, pass) in ["POST", "PUT", "PATCH", "DELETE"].into_iter().flat_map(|m| [(m, 0), (m, 1), (m, 2)])
            {
                let (writes, sim) = subject(played.build().unwrap());
                let own = own(&sim).await;
                let before = state(&sim).await;
                let calm = json!({ "match": { "method": method }, "times": pass, "do": { "delay_ms": 0 } });
                let faulty = json!({ "match": { "method": method }, "do": fault });
                let faults = if pass == 0 { json!([faulty]) } else { json!([calm, faulty]) };
                sim.control("POST", "/_sim/faults", faults).await.unwrap();
                let lines = live::write(writes, &own, pending()).await;
                noticed += broken(&lines).len();
                assert_eq!(left(&sim, &before).await, before, "{} {method} {pass} {fault}: {lines:?}", played.title());
            }
        }
        // Where every call is a POST there are nine of them.
        assert!(noticed > 2, "{}: {noticed} faults were noticed", played.title());
    }
}

#[tokio::test]
async fn a_check_that_is_stopped_says_so() {
    let (writes, sim) = subject(subjects().remove(0).build().unwrap());
    let own = own(&sim).await;
    let before = state(&sim).await;
    // The simulator answers without waiting, so a delay gives the stop its chance.
    sim.control("POST", "/_sim/faults", json!([{ "match": { "method": "POST" }, "do": { "delay_ms": 1 } }]))
        .await
        .unwrap();
    let lines = live::write(writes, &own, ready(())).await;
    assert!(lines.iter().any(|line| line.promise == "the_check_came_to_its_end"), "{lines:?}");
    assert_eq!(state(&sim).await, before);
}

/// A group of the check's name that is somebody else's is not touched.
#[tokio::test]
async fn what_is_there_already_is_left_alone() {
    let (writes, sim) = subject(subjects().remove(0).build().unwrap());
    sim.control("POST", "/_sim/load", json!({ "accounts": 0, "groups": 1 })).await.unwrap();
    let before = state(&sim).await;
    let name = before["groups"][0]["name"].as_str().unwrap().to_owned();
    let lines = live::write(writes, &Own { group: name, person: None }, pending()).await;
    assert!(matches!(&lines[0].found, Found::Broken(why) if why.contains("not touched")), "{lines:?}");
    assert_eq!(state(&sim).await, before);
}
