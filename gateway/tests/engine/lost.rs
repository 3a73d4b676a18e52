//! Writes that nobody hears the end of: the connection breaks before the target did the work, or after.

use serde_json::{Value, json};

use crate::rig::{Rig, emails, everywhere, rig};

/// One write: what it is called, how the target is told, and what has to be so once it is done.
struct Write {
    what: &'static str,
    method: &'static str,
    path: &'static str,
}

/// In the order in which they are played.
fn writes(target: &str) -> [Write; 8] {
    let write = |what, method, path| Write { what, method, path };
    match target {
        "github" => [
            write("invite", "POST", "/orgs/acme/invitations$"),
            write("take an invitation back", "DELETE", "/invitations/"),
            write("make a group", "POST", "/teams$"),
            write("add a member", "PUT", "/team/.*/memberships/"),
            write("take a member out", "DELETE", "/team/.*/memberships/"),
            write("rename a group", "PATCH", "/team/[0-9]+$"),
            write("delete a group", "DELETE", "/team/[0-9]+$"),
            write("remove a person", "DELETE", "/orgs/acme/memberships/"),
        ],
        _ => [
            write("invite", "POST", "/invitations$"),
            write("take an invitation back", "DELETE", "/invitations/"),
            write("make a group", "POST", "graphql$"),
            write("add a member", "POST", "/members/$"),
            write("take a member out", "DELETE", "/teams/.*/members/"),
            write("rename a group", "PATCH", "/teams/[^/]+$"),
            write("delete a group", "DELETE", "/teams/[^/]+$"),
            write("remove a person", "DELETE", "/acme/members/"),
        ],
    }
}

fn group(state: &Value) -> Value {
    let groups = state["groups"].as_array().unwrap();
    assert!(groups.len() <= 1, "a second group: {state}");
    groups.first().cloned().unwrap_or_default()
}

fn edit(op: &str, id: &str) -> Value {
    match op {
        "add" => json!([{"op": "add", "path": "members", "value": [{"value": id}]}]),
        _ => json!([{"op": "remove", "path": format!("members[value eq \"{id}\"]")}]),
    }
}

/// Plays every write with its connection broken, and looks at the target after each.
async fn play(rig: &Rig, target: &str, when: &str) {
    let ada = rig.user("ada@example.com").await;
    rig.quiet().await;
    rig.control("POST", "/_sim/accept", json!({"email": "ada@example.com", "login": "ada"})).await;
    rig.reconcile().await;
    rig.quiet().await;
    let (mut eve, mut eng) = (String::new(), String::new());
    for write in writes(target) {
        let context = format!("{target}, dropped {when}: {}", write.what);
        let fault = json!([{"match": {"method": write.method, "path": write.path}, "do": {"drop": when}}]);
        rig.control("POST", "/_sim/faults", fault).await;
        let before = rig.calls().await.as_array().unwrap().len();
        match write.what {
            "invite" => eve = rig.user("eve@example.com").await,
            "take an invitation back" => rig.delete("User", &eve).await,
            "make a group" => eng = rig.post("Group", json!({"displayName": "Eng"})).await.unwrap().stored.id,
            "add a member" => drop(rig.patch("Group", &eng, edit("add", &ada)).await.unwrap()),
            "take a member out" => drop(rig.patch("Group", &eng, edit("remove", &ada)).await.unwrap()),
            "rename a group" => {
                let name = json!([{"op": "replace", "path": "displayName", "value": "Engineers"}]);
                drop(rig.patch("Group", &eng, name).await.unwrap());
            }
            "delete a group" => rig.delete("Group", &eng).await,
            _ => rig.delete("User", &ada).await,
        }
        rig.wait(&format!("the end of {context}"), async || rig.open_work().await.is_empty()).await;
        rig.quiet().await;
        let waiting = rig.control("GET", "/_sim/faults", Value::Null).await;
        assert_eq!(waiting, json!([]), "{context}: no call was struck, so nothing was shown");
        let state = rig.state().await;
        match write.what {
            "invite" => assert_eq!(emails(&state, "invitations"), ["eve@example.com"], "{context}"),
            "take an invitation back" => assert!(emails(&state, "invitations").is_empty(), "{context}"),
            "make a group" => assert_eq!(group(&state)["name"], "Eng", "{context}"),
            "add a member" => assert_eq!(group(&state)["members"].as_array().unwrap().len(), 1, "{context}"),
            "take a member out" => assert_eq!(group(&state)["members"], json!([]), "{context}"),
            "rename a group" => assert_eq!(group(&state)["name"], "Engineers", "{context}"),
            "delete a group" => assert_eq!(state["groups"], json!([]), "{context}"),
            _ => assert!(emails(&state, "accounts").is_empty(), "{context}"),
        }
        // Done at the target and not heard: looked at, not sent again where that would make a second one.
        let calls = rig.calls().await;
        let sent = calls.as_array().unwrap().iter().skip(before).filter(|call| {
            call["method"] == write.method
                && call["path"].as_str().is_some_and(|path| path.ends_with("/invitations") || path.ends_with("/teams"))
        });
        if when == "after" && matches!(write.what, "invite" | "make a group") {
            assert!(sent.count() <= 1, "{context}: sent twice: {calls}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_whose_connection_broke_after_the_work_was_done_is_done_once() {
    for (db, target) in everywhere() {
        play(&rig(&db, target, json!({"answer_within_ms": 0})).await, target, "after").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_whose_connection_broke_before_the_work_was_done_is_done_in_the_end() {
    for (db, target) in everywhere() {
        play(&rig(&db, target, json!({"answer_within_ms": 0})).await, target, "before").await;
    }
}
