//! Ways in which access was kept, given or lost that nobody asked for. Each test is named after what
//! went wrong.

use gateway::service::directory::Start;
use gateway::service::types::{Failure, Mode};
use scim::list::ListRequest;
use serde_json::{Value, json};

use crate::rig::{Rig, databases, emails, everywhere, rig, rig_with};

/// People who accepted their invitations.
async fn people(rig: &Rig, names: &[&str]) -> Vec<String> {
    let mut ids = Vec::new();
    for name in names {
        ids.push(rig.user(name).await);
    }
    rig.quiet().await;
    rig.control("POST", "/_sim/accept", json!({})).await;
    rig.reconcile().await;
    rig.quiet().await;
    ids
}

async fn group(rig: &Rig, name: &str, members: &[&String]) -> String {
    let members: Vec<Value> = members.iter().map(|id| json!({"value": id})).collect();
    let id = rig.post("Group", json!({"displayName": name, "members": members})).await.unwrap().stored.id;
    rig.quiet().await;
    id
}

async fn faults(rig: &Rig, faults: Value) {
    rig.control("POST", "/_sim/faults", faults).await;
}

fn add(ids: &[&String]) -> Value {
    let members: Vec<Value> = ids.iter().map(|id| json!({"value": id})).collect();
    json!([{"op": "add", "path": "members", "value": members}])
}

fn remove(id: &str) -> Value {
    json!([{"op": "remove", "path": format!("members[value eq \"{id}\"]")}])
}

/// How many members the target's only group has.
async fn at_target(rig: &Rig) -> usize {
    let state = rig.state().await;
    assert_eq!(state["groups"].as_array().unwrap().len(), 1, "{state}");
    state["groups"][0]["members"].as_array().unwrap().len()
}

async fn retry_newest(rig: &Rig) {
    let operations = rig.app.list_operations(&rig.instance, &Default::default(), i64::MAX, 1).await.unwrap();
    let id = operations.items[0]["id"].as_str().unwrap().to_owned();
    rig.app.retry_operation("admin", &id).await.map_err(|error| format!("{error:?}")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaver_created_again_stayed_in_their_teams() {
    for (db, target) in everywhere() {
        let mut rig = rig(&db, target, json!({})).await;
        let ada = people(&rig, &["ada@example.com"]).await.remove(0);
        group(&rig, "Admins", &[&ada]).await;
        assert_eq!(at_target(&rig).await, 1, "{target}");
        rig.set_mode(Mode::Paused).await;
        rig.delete("User", &ada).await;
        rig.user("ada@example.com").await;
        rig.set_mode(Mode::Enabled).await;
        rig.quiet().await;
        assert_eq!(at_target(&rig).await, 0, "{target}: the new person was put into no team");
        assert_eq!(rig.state().await["accounts"].as_array().unwrap().len(), 1, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_deleted_group_stayed_in_the_one_created_again() {
    for (db, target) in everywhere() {
        let mut rig = rig(&db, target, json!({"on_group_delete": "delete"})).await;
        let both = people(&rig, &["ada@example.com", "eve@example.com"]).await;
        let first = group(&rig, "Eng", &[&both[0], &both[1]]).await;
        assert_eq!(at_target(&rig).await, 2, "{target}");
        rig.set_mode(Mode::Paused).await;
        rig.delete("Group", &first).await;
        let body = json!({"displayName": "Eng", "members": [{"value": both[0]}]});
        let second = rig.post("Group", body).await.unwrap().stored;
        rig.set_mode(Mode::Enabled).await;
        rig.quiet().await;
        assert_eq!(at_target(&rig).await, 1, "{target}");
        assert_eq!(rig.app.members_of(second.seq).await.unwrap().len(), 1, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leavers_kept_their_accounts_because_a_joiner_had_the_same_external_id() {
    for (db, target) in everywhere() {
        let mut rig = rig(&db, target, json!({})).await;
        let mut ids = Vec::new();
        for name in ["bob@example.com", "carl@example.com"] {
            let body = json!({"userName": name, "externalId": "staff", "emails": [{"value": name}]});
            ids.push(rig.post("User", body).await.unwrap().stored.id);
        }
        rig.control("POST", "/_sim/accept", json!({})).await;
        rig.reconcile().await;
        rig.quiet().await;
        rig.set_mode(Mode::Paused).await;
        for id in &ids {
            rig.delete("User", id).await;
        }
        let dave =
            json!({"userName": "dave@example.com", "externalId": "staff", "emails": [{"value": "dave@example.com"}]});
        rig.post("User", dave).await.unwrap();
        rig.set_mode(Mode::Enabled).await;
        rig.quiet().await;
        let state = rig.state().await;
        assert_eq!(state["accounts"], json!([]), "{target}");
        assert_eq!(emails(&state, "invitations"), ["dave@example.com"], "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_rename_was_lost_with_the_refused_one_after_it() {
    for db in databases() {
        let rig = rig(&db, "github", json!({})).await;
        let id = group(&rig, "One", &[]).await;
        let rename = |name: &str| json!([{"op": "replace", "path": "displayName", "value": name}]);
        faults(
            &rig,
            json!([
                {"match": {"method": "PATCH"}, "times": 1, "do": {"status": 500}},
                {"match": {"method": "PATCH"}, "times": 1, "do": {"status": 422, "body": {"message": "no such name"}}}
            ]),
        )
        .await;
        let first = rig.patch("Group", &id, rename("Two")).await.unwrap();
        assert!(!first.settled);
        let second = rig.patch("Group", &id, rename("Three")).await;
        assert!(matches!(&second, Err(Failure::Scim(_))), "{second:?}");
        rig.quiet().await;
        assert_eq!(rig.state().await["groups"][0]["name"], "Two");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_rename_left_members_to_do_for_ever() {
    for db in databases() {
        let rig = rig(&db, "github", json!({})).await;
        let both = people(&rig, &["ada@example.com", "eve@example.com"]).await;
        let id = group(&rig, "Eng", &[&both[0]]).await;
        faults(&rig, json!([{"match": {"method": "PATCH"}, "times": 1, "do": {"status": 422, "body": {"message": "no such name"}}}])).await;
        let change = json!([
            {"op": "replace", "path": "displayName", "value": "Engineers"},
            {"op": "add", "path": "members", "value": [{"value": both[1]}]}
        ]);
        let refused = rig.patch("Group", &id, change).await;
        assert!(matches!(&refused, Err(Failure::Scim(_))), "{refused:?}");
        rig.quiet().await;
        assert_eq!(at_target(&rig).await, 2, "who is shown as a member is one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_target_refuses_kept_people_in_the_team() {
    for db in databases() {
        let rig = rig(&db, "github", json!({"answer_within_ms": 0})).await;
        let ada = people(&rig, &["ada@example.com"]).await.remove(0);
        let id = group(&rig, "Eng", &[&ada]).await;
        faults(&rig, json!([{"match": {"method": "PATCH"}, "times": 1000, "do": {"status": 422, "body": {"message": "no such name"}}}])).await;
        rig.patch("Group", &id, json!([{"op": "replace", "path": "displayName", "value": "Engineers"}])).await.unwrap();
        rig.wait("the need", async || rig.open_work().await.iter().any(|(state, _)| state == "needs")).await;
        rig.patch("Group", &id, remove(&ada)).await.unwrap();
        rig.wait("her removal", async || at_target(&rig).await == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_create_left_its_group_at_the_target() {
    for db in databases() {
        let rig = rig(&db, "github", json!({"on_group_delete": "delete"})).await;
        // The team is made; that the credential's own account leaves it again is refused.
        faults(
            &rig,
            json!([{"match": {"method": "DELETE"}, "times": 1, "do": {"status": 422, "body": {"message": "no"}}}]),
        )
        .await;
        let refused = rig.post("Group", json!({"displayName": "Eng"})).await;
        assert!(matches!(&refused, Err(Failure::Scim(_))), "{refused:?} {}", rig.calls().await);
        rig.quiet().await;
        assert_eq!(rig.state().await["groups"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_did_not_stop_what_was_under_way() {
    for db in databases() {
        let mut rig = rig(&db, "github", json!({"answer_within_ms": 0})).await;
        let names: Vec<String> = (0..20).map(|n| format!("p{n}@example.com")).collect();
        let ids = people(&rig, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let id = group(&rig, "Eng", &[]).await;
        faults(&rig, json!([{"match": {"method": "PUT"}, "times": 8, "do": {"delay_ms": 60}}])).await;
        let before = rig.writes().await.len();
        rig.patch("Group", &id, add(&ids.iter().collect::<Vec<_>>())).await.unwrap();
        rig.wait("the first call", async || rig.calls().await.to_string().contains("\"method\":\"PUT\"")).await;
        rig.set_mode(Mode::Paused).await;
        rig.wait("the run's end", async || rig.open_work().await.iter().all(|(state, _)| state != "running")).await;
        assert!(rig.writes().await.len() - before <= 8, "one step is what was under way");
        rig.set_mode(Mode::Enabled).await;
        rig.quiet().await;
        assert_eq!(at_target(&rig).await, 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_declined_was_invited_again_by_itself_and_not_by_the_admin() {
    for db in databases() {
        let mut rig = rig(&db, "github", json!({})).await;
        rig.user("ada@example.com").await;
        let id: u64 = rig.state().await["invitations"][0]["id"].as_str().unwrap().parse().unwrap();
        let failed = json!([{"id": id, "login": null, "email": "ada@example.com", "role": "direct_member", "failed_reason": "Invitee declined."}]);
        faults(
            &rig,
            json!([{"match": {"path": "failed_invitations"}, "times": 1, "do": {"status": 200, "body": failed}}]),
        )
        .await;
        rig.control("POST", "/_sim/set", json!({"decline": "ada@example.com"})).await;
        rig.reconcile().await;
        let needs = async |rig: &Rig| {
            rig.open_work().await.iter().any(|(state, need)| state == "needs" && need == "invitation")
        };
        rig.wait("the need", async || needs(&rig).await).await;
        // A look by itself: a change of the instance brings one at once, as the hour does.
        rig.set_mode(Mode::Paused).await;
        rig.set_mode(Mode::Enabled).await;
        rig.wait("the look", async || needs(&rig).await).await;
        assert_eq!(rig.state().await["invitations"], json!([]));
        retry_newest(&rig).await;
        rig.wait("another invitation", async || emails(&rig.state().await, "invitations") == ["ada@example.com"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_membership_was_not_tried_again_when_asked_for_again() {
    for db in databases() {
        let rig = rig(&db, "github", json!({})).await;
        let ada = people(&rig, &["ada@example.com"]).await.remove(0);
        let id = group(&rig, "Eng", &[]).await;
        faults(
            &rig,
            json!([{"match": {"method": "PUT"}, "times": 1, "do": {"status": 422, "body": {"message": "no"}}}]),
        )
        .await;
        rig.patch("Group", &id, add(&[&ada])).await.unwrap();
        rig.quiet().await;
        assert_eq!(at_target(&rig).await, 0);
        let again = rig.patch("Group", &id, add(&[&ada])).await.unwrap();
        assert!(again.changed);
        rig.quiet().await;
        assert_eq!(at_target(&rig).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_membership_whose_answer_was_lost_survived_its_removal() {
    for db in databases() {
        let rig = rig(&db, "github", json!({"answer_within_ms": 0})).await;
        let ada = people(&rig, &["ada@example.com"]).await.remove(0);
        let id = group(&rig, "Eng", &[]).await;
        faults(
            &rig,
            json!([
                {"match": {"method": "PUT"}, "times": 1, "do": {"drop": "after"}},
                {"match": {"method": "PUT"}, "times": 1, "do": {"status": 429, "headers": {"retry-after": "2"}}}
            ]),
        )
        .await;
        rig.patch("Group", &id, add(&[&ada])).await.unwrap();
        rig.wait("the refusal of the repetition", async || rig.writes().await.iter().any(|call| call.ends_with("429")))
            .await;
        rig.wait("its record", async || rig.open_work().await.iter().all(|(state, _)| state != "running")).await;
        rig.patch("Group", &id, remove(&ada)).await.unwrap();
        rig.quiet().await;
        assert_eq!(at_target(&rig).await, 0, "{}", rig.calls().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memberships_of_an_imported_twin_were_lost_with_it() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, json!({})).await;
        rig.control("POST", "/_sim/load", json!({"accounts": 1, "groups": 0})).await;
        rig.reconcile().await;
        let filter = vec![("filter".to_owned(), r#"userName eq "load0000@example.com""#.to_owned())];
        let request = ListRequest::from_query(&filter, &mut scim::Quirks::lenient()).unwrap();
        let registry = rig.instance.registry.clone();
        let user = registry.user().unwrap();
        let twin = rig.app.query(&rig.instance, user, &request, &Start::Index(1), 1).await.unwrap().items.remove(0);
        let eng =
            rig.post("Group", json!({"displayName": "Eng", "members": [{"value": twin.id}]})).await.unwrap().stored;
        rig.quiet().await;
        assert_eq!(at_target(&rig).await, 1, "{target}");
        let body = json!({"userName": "countess", "emails": [{"value": "load0000@example.com", "primary": true}]});
        let ada = rig.post("User", body).await.unwrap().stored;
        rig.quiet().await;
        let members = rig.app.members_of(eng.seq).await.unwrap();
        assert_eq!(members.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), [ada.id.as_str()], "{target}");
        assert_eq!(at_target(&rig).await, 1, "{target}");
        rig.patch("Group", &eng.id, remove(&ada.id)).await.unwrap();
        rig.quiet().await;
        assert_eq!(at_target(&rig).await, 0, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_came_back_under_another_name_was_a_conflict_with_their_deleted_self() {
    for db in databases() {
        let rig = rig_with(&db, "github", json!({}), json!({"mode": "teams_only"})).await;
        rig.control("POST", "/_sim/set", json!({"members": [{"login": "countess", "email": "ada@example.com"}]})).await;
        let first = rig.user("ada@example.com").await;
        rig.quiet().await;
        rig.delete("User", &first).await;
        rig.quiet().await;
        let body = json!({"userName": "ada.lovelace", "emails": [{"value": "ada@example.com", "primary": true}]});
        let second = rig.post("User", body).await.unwrap().stored.id;
        group(&rig, "Eng", &[&second]).await;
        assert_eq!(at_target(&rig).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaver_whose_removal_was_refused_was_made_active_again() {
    for db in databases() {
        let rig = rig(&db, "github", json!({})).await;
        let eve = people(&rig, &["eve@example.com"]).await.remove(0);
        faults(
            &rig,
            json!([{"match": {"method": "DELETE"}, "times": 1, "do": {"status": 422, "body": {"message": "no"}}}]),
        )
        .await;
        let left = rig.patch("User", &eve, json!([{"op": "replace", "path": "active", "value": false}])).await.unwrap();
        assert!(!left.settled && !left.stored.active);
        assert_eq!(rig.open_work().await.len(), 1, "it stays visible");
        retry_newest(&rig).await;
        rig.quiet().await;
        assert_eq!(rig.state().await["accounts"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_came_back_before_they_were_gone_stayed_in_a_group_they_had_been_taken_out_of() {
    for db in databases() {
        let rig = rig(&db, "github", json!({})).await;
        let eve = people(&rig, &["eve@example.com"]).await.remove(0);
        let id = group(&rig, "Admins", &[&eve]).await;
        assert_eq!(at_target(&rig).await, 1);
        let refusal = json!({"status": 422, "body": {"message": "no"}});
        faults(&rig, json!([{"match": {"method": "DELETE"}, "times": 1, "do": refusal}])).await;
        let active = |active: bool| json!([{"op": "replace", "path": "active", "value": active}]);
        let left = rig.patch("User", &eve, active(false)).await.unwrap();
        assert!(!left.settled);
        rig.patch("Group", &id, remove(&eve)).await.unwrap();
        rig.wait("the group at rest", async || rig.open_work().await.len() == 1).await;
        rig.patch("User", &eve, active(true)).await.unwrap();
        rig.quiet().await;
        assert_eq!(at_target(&rig).await, 0, "{}", rig.calls().await);
        assert_eq!(rig.state().await["accounts"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_whose_creation_was_in_doubt_outlived_its_deletion() {
    for db in databases() {
        let rig = rig(&db, "github", json!({"answer_within_ms": 0, "on_group_delete": "delete"})).await;
        faults(
            &rig,
            json!([
                {"match": {"method": "POST", "path": "teams$"}, "times": 1, "do": {"drop": "after"}},
                {"match": {"method": "GET"}, "times": 1, "do": {"status": 500}}
            ]),
        )
        .await;
        let id = rig.post("Group", json!({"displayName": "Eng"})).await.unwrap().stored.id;
        rig.wait("the lost answer", async || rig.state().await["groups"].as_array().unwrap().len() == 1).await;
        rig.delete("Group", &id).await;
        rig.quiet().await;
        assert_eq!(rig.state().await["groups"], json!([]), "{}", rig.calls().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_gave_a_pushed_group_the_rights_of_a_team_that_was_there() {
    for db in databases() {
        let rig = rig(&db, "github", json!({"answer_within_ms": 0, "on_group_delete": "delete"})).await;
        rig.control("POST", "/_sim/load", json!({"accounts": 0, "groups": 1})).await;
        rig.reconcile().await;
        let name = rig.state().await["groups"][0]["name"].as_str().unwrap().to_owned();
        faults(&rig, json!([{"match": {"method": "POST", "path": "teams$"}, "times": 1, "do": {"drop": "before"}}]))
            .await;
        let id = rig.post("Group", json!({"displayName": name})).await.unwrap().stored.id;
        rig.wait("the need", async || rig.open_work().await.iter().any(|(_, need)| need == "name_taken")).await;
        rig.delete("Group", &id).await;
        rig.quiet().await;
        assert_eq!(rig.state().await["groups"].as_array().unwrap().len(), 1, "it is not ours to delete");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memberships_that_kept_failing_kept_the_rest_of_the_group_waiting() {
    for db in databases() {
        let rig = rig(&db, "github", json!({"answer_within_ms": 0})).await;
        let names: Vec<String> = (0..12).map(|n| format!("p{n:02}@example.com")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let people = people(&rig, &names).await;
        let all: Vec<&String> = people.iter().collect();
        // The first eight fail for a reason that passes; the other four must not wait for them.
        let path = "team/.*/memberships/p0[0-7]";
        faults(&rig, json!([{"match": {"method": "PUT", "path": path}, "times": 1_000_000, "do": {"status": 200, "body": "<html>"}}]))
            .await;
        let id = rig.post("Group", json!({"displayName": "Eng"})).await.unwrap().stored.id;
        rig.patch("Group", &id, add(&all)).await.unwrap();
        rig.wait("the four", async || {
            rig.state().await["groups"][0]["members"].as_array().is_some_and(|m| m.len() == 4)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_what_is_wanted_already_did_not_take_up_what_needed_somebody() {
    for db in databases() {
        let rig = rig(&db, "github", json!({"answer_within_ms": 0})).await;
        let ada = rig.user("ada@example.com").await;
        rig.quiet().await;
        rig.control("POST", "/_sim/set", json!({"token": "revoked"})).await;
        let off = json!([{"op": "replace", "path": "active", "value": false}]);
        rig.patch("User", &ada, off.clone()).await.unwrap();
        rig.wait("the need", async || rig.open_work().await.iter().any(|(state, _)| state == "needs")).await;
        rig.control("POST", "/_sim/set", json!({"token": "valid"})).await;
        let again = rig.patch("User", &ada, off).await.unwrap();
        assert!(!again.changed);
        rig.wait("her removal", async || rig.state().await["invitations"] == json!([])).await;
    }
}
