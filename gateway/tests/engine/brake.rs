//! The brake (DECISIONS 24): what is over the limit is held, decided by its list, and leaves by itself
//! when it is taken back.

use gateway::service::records::AdminError;
use gateway::service::types::{Failure, Mode};
use scim::ScimType;
use serde_json::{Value, json};

use crate::rig::{Db, Rig, databases, everywhere, rig, rig_with};

/// A brake that trips beyond three.
fn three() -> Value {
    json!({"brake": {"accounts": 3, "percent": 0, "window_minutes": 60}})
}

/// So many people who are at the target and managed; their ids.
async fn people(rig: &Rig, many: usize) -> Vec<String> {
    rig.control("POST", "/_sim/load", json!({"accounts": many, "groups": 0})).await;
    rig.reconcile().await;
    let mut ids = Vec::new();
    for at in 0..many {
        let name = format!("load{at:04}@example.com");
        let users = rig.app.list_users(&rig.instance, 0, 500).await.unwrap().items;
        let id = users.iter().find(|user| user["userName"] == *name).unwrap()["id"].as_str().unwrap().to_owned();
        rig.patch("User", &id, json!([{"op": "replace", "path": "title", "value": "x"}])).await.unwrap();
        ids.push(id);
    }
    rig.quiet().await;
    ids
}

async fn active(rig: &Rig, id: &str, active: bool) {
    rig.patch("User", id, json!([{"op": "replace", "path": "active", "value": active}])).await.unwrap();
}

/// How many accounts the target has that may come in.
async fn at_target(rig: &Rig) -> usize {
    let state = rig.state().await;
    state["accounts"].as_array().unwrap().iter().filter(|account| account["active"] != false).count()
}

async fn members_at_target(rig: &Rig) -> usize {
    rig.state().await["groups"][0]["members"].as_array().map_or(0, Vec::len)
}

/// The open hold, with its items.
async fn open_hold(rig: &Rig) -> Option<Value> {
    let holds = rig.app.list_holds(Some("open"), i64::MAX, 10).await.unwrap().items;
    assert!(holds.len() < 2, "an instance has one open hold at most: {holds:?}");
    let id = holds.first()?["id"].as_str()?.to_owned();
    Some(hold(rig, &id).await)
}

async fn hold(rig: &Rig, id: &str) -> Value {
    rig.app.hold(id, (i64::MIN, 0), 500).await.map_err(|error| format!("{error:?}")).unwrap().0
}

/// Waits until so many items are held, and nothing else is on its way.
async fn held(rig: &Rig, many: usize) -> Value {
    rig.wait("the hold", async || {
        let count = open_hold(rig).await.map_or(0, |hold| hold["items"].as_array().unwrap().len());
        let resting = rig.open_work().await.iter().all(|(state, _)| state == "held");
        count == many && resting
    })
    .await;
    open_hold(rig).await.unwrap()
}

async fn decide(rig: &Rig, hold: &Value, allow: bool) -> Result<Value, AdminError> {
    let (id, hash) = (hold["id"].as_str().unwrap(), hold["list_hash"].as_str().unwrap());
    rig.app.decide_hold("admin", id, allow, hash, Some("seen".to_owned())).await
}

async fn operations(rig: &Rig, state: &str) -> Vec<Value> {
    let filter = gateway::service::records::OperationFilter { state: Some(state.to_owned()), ..Default::default() };
    rig.app.list_operations(&rig.instance, &filter, i64::MAX, 500).await.unwrap().items
}

async fn leavers(db: &Db, target: &str, many: usize) -> (Rig, Vec<String>) {
    let rig = rig(db, target, three()).await;
    let ids = people(&rig, many).await;
    for id in &ids {
        active(&rig, id, false).await;
    }
    (rig, ids)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_beyond_the_limit_is_held_until_the_list_is_allowed() {
    for (db, target) in everywhere() {
        let (rig, ids) = leavers(&db, target, 8).await;
        let hold = held(&rig, 5).await;
        assert_eq!(at_target(&rig).await, 5, "{target}: three went");
        assert_eq!(hold["count"], json!({"deprovision": 5, "total": 5}), "{target}");
        assert_eq!(hold["why"]["limit"], 3, "{target}");
        assert_eq!(hold["items"][0]["effect"], "deprovision");
        assert_eq!(hold["items"][0]["operation"]["actor"], "key:test");
        // The directory has accepted all of it.
        let users = rig.app.list_users(&rig.instance, 0, 500).await.unwrap().items;
        assert!(users.iter().all(|user| user["active"] == false), "{target}");

        // Somebody else joins the batch: the list that was read is not the list any more.
        let late = rig.user("late@example.com").await;
        rig.wait("the invitation", async || rig.open_work().await.iter().all(|(state, _)| state == "held")).await;
        rig.control("POST", "/_sim/accept", json!({})).await;
        rig.reconcile().await;
        active(&rig, &late, false).await;
        let now = held(&rig, 6).await;
        assert_ne!(now["list_hash"], hold["list_hash"]);
        let stale = decide(&rig, &hold, true).await;
        assert!(matches!(&stale, Err(AdminError::Conflict(why)) if why.contains("6 items")), "{stale:?}");
        assert_eq!(at_target(&rig).await, 6, "{target}: nothing was done");

        let allowed = decide(&rig, &now, true).await.unwrap();
        assert_eq!((&allowed["state"], &allowed["count"]["total"]), (&json!("allowed"), &json!(6)), "{target}");
        rig.quiet().await;
        assert_eq!(at_target(&rig).await, 0, "{target}: what was allowed is not held again");
        assert!(operations(&rig, "withdrawn").await.is_empty());
        let again = decide(&rig, &now, false).await;
        assert!(matches!(&again, Err(AdminError::Conflict(why)) if why.contains("allowed by admin")), "{again:?}");
        let record = self::hold(&rig, now["id"].as_str().unwrap()).await;
        assert_eq!(record["items"].as_array().unwrap().len(), 6, "the list as it was decided is kept");
        assert_eq!(record["comment"], "seen");
        assert_eq!(ids.len(), 8);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_discarded_stays_at_the_target_until_it_is_asked_for_again() {
    for (db, target) in everywhere() {
        let (rig, ids) = leavers(&db, target, 5).await;
        let hold = held(&rig, 2).await;
        let kept: Vec<String> = hold["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["person"]["id"].as_str().unwrap().to_owned())
            .collect();
        assert!(kept.iter().all(|id| ids.contains(id)));
        decide(&rig, &hold, false).await.unwrap();
        rig.quiet().await;
        assert_eq!(at_target(&rig).await, 2, "{target}");
        let withdrawn = operations(&rig, "withdrawn").await;
        assert_eq!(withdrawn.len(), 2, "{target}");
        assert!(withdrawn.iter().all(|one| one["reason"].as_str().unwrap().contains("discarded")), "{withdrawn:?}");
        let users = rig.app.list_users(&rig.instance, 0, 500).await.unwrap().items;
        assert_eq!(users.iter().filter(|user| user["sync"] == "waived").count(), 2, "{target}: never a silent success");
        rig.reconcile().await;
        rig.quiet().await;
        assert_eq!(at_target(&rig).await, 2, "{target}: a comparison repairs nothing of it");

        // The identity provider says the same again: it is asked about again.
        active(&rig, &kept[0], false).await;
        let again = held(&rig, 1).await;
        assert_ne!(again["id"], hold["id"]);
        decide(&rig, &again, true).await.unwrap();
        rig.quiet().await;
        assert_eq!(at_target(&rig).await, 1, "{target}");
    }
}

/// Where a leaver keeps the account, what they lose is memberships.
#[tokio::test(flavor = "multi_thread")]
async fn a_leavers_discarded_removal_was_not_asked_again_by_the_same_deactivation() {
    for db in databases() {
        let rig = rig_with(&db, "github", three(), json!({"mode": "teams_only"})).await;
        let ids = people(&rig, 6).await;
        let members: Vec<Value> = ids.iter().map(|id| json!({"value": id})).collect();
        rig.post("Group", json!({"displayName": "Eng", "members": members})).await.unwrap();
        rig.quiet().await;
        assert_eq!(members_at_target(&rig).await, 6);
        for id in &ids {
            active(&rig, id, false).await;
        }
        let hold = held(&rig, 3).await;
        assert_eq!(hold["count"], json!({"remove_member": 3, "total": 3}));
        decide(&rig, &hold, false).await.unwrap();
        rig.quiet().await;
        assert_eq!(members_at_target(&rig).await, 3);

        let kept = hold["items"][0]["person"]["id"].as_str().unwrap();
        active(&rig, kept, false).await;
        let again = held(&rig, 1).await;
        assert_eq!(again["items"][0]["person"]["id"], kept);
        decide(&rig, &again, true).await.unwrap();
        rig.quiet().await;
        assert_eq!(members_at_target(&rig).await, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_identity_provider_takes_back_leaves_the_hold() {
    for (db, target) in everywhere() {
        let (rig, _) = leavers(&db, target, 5).await;
        let hold = held(&rig, 2).await;
        let kept: Vec<&str> =
            hold["items"].as_array().unwrap().iter().map(|item| item["person"]["id"].as_str().unwrap()).collect();
        active(&rig, kept[0], true).await;
        let less = held(&rig, 1).await;
        assert_ne!(less["list_hash"], hold["list_hash"], "{target}");
        // A change that takes nothing back leaves it where it is.
        rig.patch("User", kept[1], json!([{"op": "replace", "path": "title", "value": "y"}])).await.unwrap();
        let same = held(&rig, 1).await;
        assert_eq!(same["id"], hold["id"], "{target}");
        active(&rig, kept[1], true).await;
        rig.wait("the empty hold's end", async || open_hold(&rig).await.is_none()).await;
        let ended = self::hold(&rig, hold["id"].as_str().unwrap()).await;
        assert_eq!((&ended["state"], &ended["decided_by"]), (&json!("discarded"), &json!("system")), "{target}");
        rig.quiet().await;
        assert_eq!(at_target(&rig).await, 2, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn removals_beyond_the_limit_are_held_and_the_groups_additions_go_on() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, three()).await;
        let ids = people(&rig, 9).await;
        let members: Vec<Value> = ids[..8].iter().map(|id| json!({"value": id})).collect();
        let group = rig.post("Group", json!({"displayName": "Eng", "members": members})).await.unwrap().stored;
        rig.quiet().await;
        assert_eq!(members_at_target(&rig).await, 8, "{target}");
        let edit = json!([
            {"op": "remove", "path": "members"},
            {"op": "add", "path": "members", "value": [{"value": ids[8]}]},
        ]);
        rig.patch("Group", &group.id, edit).await.unwrap();
        let hold = held(&rig, 5).await;
        assert_eq!(hold["count"], json!({"remove_member": 5, "total": 5}), "{target}");
        assert_eq!(hold["items"][0]["group"]["name"], "Eng");
        assert_eq!(members_at_target(&rig).await, 6, "{target}: three left, one came");
        assert_eq!(rig.app.members_of(group.seq).await.unwrap().len(), 1, "{target}: the directory has what is wanted");

        // One is wanted again; the rest is given up, then one of them asked for again.
        let back = hold["items"][0]["person"]["id"].as_str().unwrap();
        rig.patch("Group", &group.id, json!([{"op": "add", "path": "members", "value": [{"value": back}]}]))
            .await
            .unwrap();
        let less = held(&rig, 4).await;
        decide(&rig, &less, false).await.unwrap();
        rig.quiet().await;
        assert_eq!(members_at_target(&rig).await, 6, "{target}");
        let removal = operations(&rig, "withdrawn").await;
        assert_eq!((removal.len(), &removal[0]["withdrawn"]), (1, &json!(4)), "{target}: {removal:?}");
        let once_more = less["items"][0]["person"]["id"].as_str().unwrap();
        let path = format!("members[value eq \"{once_more}\"]");
        rig.patch("Group", &group.id, json!([{"op": "remove", "path": path}])).await.unwrap();
        let again = held(&rig, 1).await;
        decide(&rig, &again, true).await.unwrap();
        rig.quiet().await;
        assert_eq!(members_at_target(&rig).await, 5, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_group_counts_its_members() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, three()).await;
        let ids = people(&rig, 4).await;
        let group = |name: &str, ids: &[String]| {
            let members: Vec<Value> = ids.iter().map(|id| json!({"value": id})).collect();
            json!({"displayName": name, "members": members})
        };
        let small = rig.post("Group", group("Small", &ids[..3])).await.unwrap().stored;
        let large = rig.post("Group", group("Large", &ids)).await.unwrap().stored;
        rig.quiet().await;
        rig.delete("Group", &small.id).await;
        rig.quiet().await;
        rig.delete("Group", &large.id).await;
        let hold = held(&rig, 1).await;
        assert_eq!(
            (&hold["items"][0]["effect"], &hold["items"][0]["people"]),
            (&json!("delete_group"), &json!(4)),
            "{target}"
        );
        assert_eq!(rig.state().await["groups"].as_array().unwrap().len(), 1, "{target}");
        decide(&rig, &hold, true).await.unwrap();
        rig.quiet().await;
        assert_eq!(rig.state().await["groups"], json!([]), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_share_is_of_all_accounts_that_are_known() {
    for db in databases() {
        let policy = json!({"brake": {"accounts": 1, "percent": 10, "window_minutes": 60}});
        let rig = rig(&db, "buildkite", policy).await;
        let ids = people(&rig, 6).await;
        // 35 more, whom nobody manages: ten per cent of 41 are four.
        rig.control("POST", "/_sim/load", json!({"accounts": 41, "groups": 0})).await;
        rig.reconcile().await;
        let before = at_target(&rig).await;
        for id in &ids {
            active(&rig, id, false).await;
        }
        held(&rig, ids.len() - before / 10).await;
        assert_eq!(at_target(&rig).await, before - before / 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn persons_are_counted_and_not_attempts_and_exempt_ones_are_not() {
    for db in databases() {
        let policy = json!({"brake": {"accounts": 2, "percent": 0, "exempt": {"people": ["LOAD0003@example.com"]}}});
        let rig = rig(&db, "github", policy).await;
        let ids = people(&rig, 4).await;
        rig.control(
            "POST",
            "/_sim/faults",
            json!([{"match": {"method": "DELETE", "path": ""}, "times": 3, "do": {"status": 500}}]),
        )
        .await;
        active(&rig, &ids[0], false).await;
        rig.quiet().await;
        active(&rig, &ids[3], false).await;
        active(&rig, &ids[1], false).await;
        rig.quiet().await;
        assert_eq!(at_target(&rig).await, 1);
        assert!(open_hold(&rig).await.is_none());
        active(&rig, &ids[2], false).await;
        held(&rig, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_invitation_is_taken_back_without_asking() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, three()).await;
        let mut ids = Vec::new();
        for at in 0..5 {
            ids.push(rig.user(&format!("new{at}@example.com")).await);
        }
        rig.quiet().await;
        for id in &ids {
            rig.delete("User", id).await;
        }
        rig.quiet().await;
        assert_eq!(rig.state().await["invitations"], json!([]), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_with_a_hold_is_paused_and_deleted() {
    for db in databases() {
        let (mut rig, _) = leavers(&db, "buildkite", 5).await;
        let hold = held(&rig, 2).await;
        rig.set_mode(Mode::Paused).await;
        decide(&rig, &hold, true).await.unwrap();
        assert_eq!(at_target(&rig).await, 2, "paused: nothing is sent");
        rig.set_mode(Mode::Enabled).await;
        rig.quiet().await;
        assert_eq!(at_target(&rig).await, 0);

        let (rig, _) = leavers(&db, "buildkite", 5).await;
        let hold = held(&rig, 2).await;
        let refused = rig.app.delete_instance("admin", &rig.instance, false).await;
        assert!(matches!(refused, Err(AdminError::Conflict(_))), "{refused:?}");
        rig.app.delete_instance("admin", &rig.instance, true).await.unwrap();
        assert_eq!(self::hold(&rig, hold["id"].as_str().unwrap()).await["state"], "discarded");
        assert!(open_hold(&rig).await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_leaver_who_is_created_again_keeps_the_account() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, json!({"brake": {"accounts": 0, "percent": 0}})).await;
        let ids = people(&rig, 1).await;
        rig.delete("User", &ids[0]).await;
        held(&rig, 1).await;
        rig.post("User", json!({"userName": "load0000@example.com", "emails": [{"value": "load0000@example.com"}]}))
            .await
            .unwrap();
        rig.quiet().await;
        assert_eq!(at_target(&rig).await, 1, "{target}");
        let superseded = operations(&rig, "superseded").await;
        assert!(superseded.iter().any(|one| one["verb"] == "delete"), "{target}: {superseded:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_person_is_dismissed_and_nothing_else() {
    for db in databases() {
        let rig = rig(&db, "github", json!({})).await;
        let body = json!({"userName": "nobody"});
        let stored = rig.post("User", body).await.unwrap().stored;
        rig.wait("a need", async || rig.open_work().await.iter().any(|(state, _)| state == "needs")).await;
        let open = operations(&rig, "open").await;
        let id = open[0]["id"].as_str().unwrap();
        let dismissed = rig.app.dismiss_operation("admin", id).await.unwrap();
        assert_eq!(dismissed["withdrawn"], json!([id]));
        rig.quiet().await;
        assert_eq!(operations(&rig, "withdrawn").await.len(), 1);
        let again = rig.app.dismiss_operation("admin", id).await;
        assert!(matches!(&again, Err(AdminError::Conflict(why)) if why.contains("withdrawn")), "{again:?}");
        let unknown = rig.app.dismiss_operation("admin", "op_x").await;
        assert!(matches!(unknown, Err(AdminError::NotFound(_))), "{unknown:?}");
        // A later write is driven again and gets its own result (DECISIONS 10).
        rig.patch(
            "User",
            &stored.id,
            json!([{"op": "add", "path": "emails", "value": [{"value": "ada@example.com"}]}]),
        )
        .await
        .unwrap();
        rig.quiet().await;
        assert_eq!(rig.state().await["invitations"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_member_stays_in_the_group_and_the_client_is_told() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, json!({"protected": ["load0001@example.com"]})).await;
        let ids = people(&rig, 3).await;
        let members: Vec<Value> = ids.iter().map(|id| json!({"value": id})).collect();
        let group = rig.post("Group", json!({"displayName": "Eng", "members": members})).await.unwrap().stored;
        rig.quiet().await;
        for edit in [
            json!([{"op": "remove", "path": format!("members[value eq \"{}\"]", ids[1])}]),
            json!([{"op": "remove", "path": "members"}]),
            json!([{"op": "replace", "path": "members", "value": [{"value": ids[0]}]}]),
        ] {
            let refused = rig.patch("Group", &group.id, edit.clone()).await;
            assert!(
                matches!(&refused, Err(Failure::Scim(error)) if error.scim_type == Some(ScimType::Mutability) && error.detail.contains("protected")),
                "{target} {edit}: {refused:?}"
            );
        }
        rig.patch("Group", &group.id, json!([{"op": "remove", "path": format!("members[value eq \"{}\"]", ids[0])}]))
            .await
            .unwrap();
        rig.quiet().await;
        assert_eq!(members_at_target(&rig).await, 2, "{target}");
    }
}
