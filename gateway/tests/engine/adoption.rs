//! Whose account is it: imports, adoption, protection (DECISIONS 1 to 7, 13).

use gateway::service::directory::Start;
use gateway::service::types::Failure;
use scim::ScimType;
use scim::list::ListRequest;
use serde_json::{Value, json};

use crate::rig::{Rig, databases, everywhere, rig};

async fn found(rig: &Rig, kind: &str, filter: &str) -> Vec<String> {
    let pairs = if filter.is_empty() { vec![] } else { vec![("filter".to_owned(), filter.to_owned())] };
    let request = ListRequest::from_query(&pairs, &mut scim::Quirks::lenient()).unwrap();
    let registry = rig.instance.registry.clone();
    let rt = registry.resource_type(kind).unwrap();
    let found = rig.app.query(&rig.instance, rt, &request, &Start::Index(1), 1_000).await.unwrap();
    assert!(found.total >= Some(found.items.len() as u64));
    found.items.into_iter().map(|item| item.id).collect()
}

async fn with_accounts(db: &crate::rig::Db, target: &str, policy: Value) -> Rig {
    let rig = rig(db, target, policy).await;
    rig.control("POST", "/_sim/load", json!({"accounts": 3, "groups": 1})).await;
    rig.reconcile().await;
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_account_is_found_not_listed_and_adopted_by_the_first_write() {
    for (db, target) in everywhere() {
        let rig = with_accounts(&db, target, json!({})).await;
        let before = rig.writes().await;
        assert_eq!(found(&rig, "User", "").await, Vec::<String>::new(), "{target}: not in lists");
        let ids = found(&rig, "User", r#"userName eq "LOAD0001@example.com""#).await;
        assert_eq!(ids.len(), 1, "{target}: an exact look-up finds it");
        let refused = rig.post("User", json!({"userName": "load0001@example.com"})).await;
        assert!(
            matches!(refused, Err(Failure::Scim(error)) if error.scim_type == Some(ScimType::Uniqueness)),
            "{target}: a create is told that it exists"
        );

        rig.patch("User", &ids[0], json!([{"op": "replace", "path": "displayName", "value": "Load One"}]))
            .await
            .unwrap();
        rig.quiet().await;
        assert_eq!(found(&rig, "User", "").await, ids, "{target}: adopted, so it is listed");
        assert_eq!(rig.writes().await, before, "{target}: adoption writes nothing at the target");

        rig.patch("User", &ids[0], json!([{"op": "replace", "path": "active", "value": false}])).await.unwrap();
        rig.wait("the leaver's removal", async || rig.state().await["accounts"].as_array().unwrap().len() == 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_an_unmanaged_row_hides_it_and_never_touches_the_target() {
    for db in databases() {
        let rig = with_accounts(&db, "github", json!({"list_unmanaged": true})).await;
        assert_eq!(found(&rig, "User", "").await.len(), 3);
        let ids = found(&rig, "User", r#"userName eq "load0002@example.com""#).await;
        rig.delete("User", &ids[0]).await;
        rig.reconcile().await;
        assert_eq!(found(&rig, "User", "").await.len(), 2, "a later import does not bring it back");
        assert_eq!(rig.state().await["accounts"].as_array().unwrap().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_adopted_look_ups_are_blind_and_a_create_is_a_conflict() {
    for db in databases() {
        let rig = with_accounts(&db, "github", json!({"adopt": "never"})).await;
        assert_eq!(found(&rig, "User", r#"userName eq "load0001@example.com""#).await.len(), 0);
        let refused = rig.post("User", json!({"userName": "load0001@example.com"})).await;
        assert!(matches!(refused, Err(Failure::Scim(error)) if error.status == 409));
        assert_eq!(rig.state().await["accounts"].as_array().unwrap().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_made_behind_our_back_is_taken_up_and_not_doubled() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, json!({})).await;
        rig.control("POST", "/_sim/load", json!({"accounts": 1, "groups": 0})).await;
        // Not imported yet: the create finds out at the target.
        let written = rig
            .post("User", json!({"userName": "load0000@example.com", "emails": [{"value": "load0000@example.com"}]}))
            .await
            .unwrap();
        assert!(written.settled, "{target}");
        let state = rig.state().await;
        assert_eq!(
            (state["accounts"].as_array().unwrap().len(), state["invitations"].as_array().unwrap().len()),
            (1, 0),
            "{target}"
        );
        rig.delete("User", &written.stored.id).await;
        rig.wait("its removal", async || rig.state().await["accounts"].as_array().unwrap().is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_group_does_not_inherit_a_team_of_that_name() {
    for (db, target) in everywhere() {
        let rig = with_accounts(&db, target, json!({})).await;
        let name = rig.state().await["groups"][0]["name"].as_str().unwrap().to_owned();
        let refused = rig.post("Group", json!({"displayName": name})).await;
        assert!(
            matches!(&refused, Err(Failure::Scim(error)) if error.status == 409 && error.detail.contains(&name)),
            "{target}: {refused:?}"
        );
        assert_eq!(rig.state().await["groups"].as_array().unwrap().len(), 1);
    }
    for (db, target) in everywhere() {
        let rig = with_accounts(&db, target, json!({"adopt_groups": "by_name"})).await;
        let name = rig.state().await["groups"][0]["name"].as_str().unwrap().to_owned();
        let ids = found(&rig, "Group", &format!("displayName eq \"{name}\"")).await;
        assert_eq!(ids.len(), 1, "{target}");
        rig.patch("Group", &ids[0], json!([{"op": "replace", "path": "externalId", "value": "x"}])).await.unwrap();
        rig.delete("Group", &ids[0]).await;
        rig.quiet().await;
        assert_eq!(
            rig.state().await["groups"].as_array().unwrap().len(),
            1,
            "{target}: an adopted group is let go of, not deleted"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_person_keeps_access_and_the_client_is_told() {
    for db in databases() {
        let rig = with_accounts(&db, "buildkite", json!({"protected": ["load0001@example.com"]})).await;
        let id = found(&rig, "User", r#"userName eq "load0001@example.com""#).await.remove(0);
        rig.patch("User", &id, json!([{"op": "replace", "path": "title", "value": "x"}])).await.unwrap();
        let refused = rig.patch("User", &id, json!([{"op": "replace", "path": "active", "value": false}])).await;
        assert!(
            matches!(&refused, Err(Failure::Scim(error)) if error.scim_type == Some(ScimType::Mutability)),
            "{refused:?}"
        );
        assert_eq!(rig.state().await["accounts"].as_array().unwrap().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_vanished_is_noticed_and_made_anew_only_when_asked() {
    for db in databases() {
        let rig = with_accounts(&db, "github", json!({})).await;
        let id = found(&rig, "User", r#"userName eq "load0001@example.com""#).await.remove(0);
        rig.patch("User", &id, json!([{"op": "replace", "path": "title", "value": "x"}])).await.unwrap();
        rig.control("POST", "/_sim/set", json!({"leave": "load0001"})).await;
        rig.reconcile().await;
        rig.quiet().await;
        assert_eq!(rig.state().await["invitations"], json!([]), "restoring access is not for us to decide");
        rig.patch("User", &id, json!([{"op": "replace", "path": "title", "value": "y"}])).await.unwrap();
        rig.wait("an invitation", async || rig.state().await["invitations"].as_array().unwrap().len() == 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_created_again_takes_the_live_link_and_the_old_work_ends_superseded() {
    for (db, target) in everywhere() {
        let mut rig = with_accounts(&db, target, json!({})).await;
        let old = found(&rig, "User", r#"userName eq "load0001@example.com""#).await.remove(0);
        rig.patch("User", &old, json!([{"op": "replace", "path": "title", "value": "x"}])).await.unwrap();
        rig.quiet().await;
        let before = rig.writes().await;
        rig.set_mode(gateway::service::types::Mode::Paused).await;
        rig.delete("User", &old).await;
        let body = json!({"userName": "Load0001@Example.com", "emails": [{"value": "load0001@example.com"}]});
        let new = rig.post("User", body).await.unwrap().stored.id;
        assert_ne!(new, old, "{target}: always a new id");
        rig.set_mode(gateway::service::types::Mode::Enabled).await;
        rig.quiet().await;
        assert_eq!(rig.writes().await, before, "{target}: nothing had to be sent");
        let users = rig.app.list_users(&rig.instance, 0, 100).await.unwrap().items;
        let user = users.iter().find(|user| user["id"] == *new).unwrap();
        assert_eq!(user["link"]["status"], "active", "{target}: {user}");
        let operations =
            rig.app.list_operations(&rig.instance, &Default::default(), i64::MAX, 100).await.unwrap().items;
        let deletion = operations.iter().find(|one| one["verb"] == "delete").unwrap();
        assert_eq!(deletion["state"], "superseded", "{target}: {deletion}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_keeps_the_account_whoever_has_the_new_name_at_the_target() {
    for (db, target) in everywhere() {
        let rig = with_accounts(&db, target, json!({})).await;
        let id = found(&rig, "User", r#"userName eq "load0001@example.com""#).await.remove(0);
        rig.patch("User", &id, json!([{"op": "replace", "path": "title", "value": "x"}])).await.unwrap();
        rig.quiet().await;
        let linked = async || {
            let users = rig.app.list_users(&rig.instance, 0, 100).await.unwrap().items;
            users.iter().find(|user| user["id"] == *id).unwrap()["link"]["remote_id"].clone()
        };
        let (before, writes) = (linked().await, rig.writes().await);
        // load0002 is somebody else's account at the target.
        rig.patch("User", &id, json!([{"op": "replace", "path": "userName", "value": "load0002@example.com"}]))
            .await
            .unwrap();
        rig.quiet().await;
        rig.reconcile().await;
        rig.quiet().await;
        assert_eq!((linked().await, rig.writes().await), (before, writes), "{target}");
        rig.delete("User", &id).await;
        rig.wait("their own account's end", async || rig.state().await["accounts"].as_array().unwrap().len() == 2)
            .await;
        let left = crate::rig::emails(&rig.state().await, "accounts");
        if target == "buildkite" {
            assert_eq!(left, ["load0000@example.com", "load0002@example.com"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_absorbs_the_unmanaged_row_of_their_account() {
    for db in databases() {
        let rig = with_accounts(&db, "buildkite", json!({"list_unmanaged": true})).await;
        let twin = found(&rig, "User", r#"userName eq "load0001@example.com""#).await.remove(0);
        let body = json!({"userName": "ada", "emails": [{"value": "load0001@example.com", "primary": true}]});
        let ada = rig.post("User", body).await.unwrap().stored.id;
        rig.quiet().await;
        let listed = found(&rig, "User", "").await;
        assert!(listed.contains(&ada) && !listed.contains(&twin), "{listed:?}");
        assert_eq!((listed.len(), rig.state().await["invitations"].as_array().unwrap().len()), (3, 0));
        rig.reconcile().await;
        assert_eq!(found(&rig, "User", "").await.len(), 3, "a later import does not bring it back");
        let audit = rig.app.list_audit(i64::MAX, 100, None).await.unwrap().items;
        assert!(audit.iter().any(|row| row["act"] == "account.adopt" && row["target"] == *ada), "{audit:?}");

        // The account is Ada's now: somebody else who claims it is a conflict, and both are named.
        let body = json!({"userName": "eve", "emails": [{"value": "load0001@example.com", "primary": true}]});
        let refused = rig.post("User", body).await;
        assert!(
            matches!(&refused, Err(Failure::Scim(error)) if error.detail.contains("\"ada\"") && error.detail.contains("\"eve\"")),
            "{refused:?}"
        );
    }
}

/// What the account that was linked before is a member of, the one that takes its place is not.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_linked_by_hand_was_taken_for_a_member_because_the_former_one_was() {
    for (db, target) in everywhere() {
        let rig = with_accounts(&db, target, json!({})).await;
        let id = found(&rig, "User", r#"userName eq "load0001@example.com""#).await.remove(0);
        rig.patch("User", &id, json!([{"op": "replace", "path": "title", "value": "x"}])).await.unwrap();
        rig.post("Group", json!({"displayName": "Eng", "members": [{"value": id}]})).await.unwrap();
        rig.quiet().await;
        let members = async || {
            let state = rig.state().await;
            let eng = state["groups"].as_array().unwrap().iter().find(|group| group["name"] == "Eng").cloned();
            eng.unwrap()["members"].to_string()
        };
        let before = members().await;
        let users = rig.app.list_users(&rig.instance, 0, 100).await.unwrap().items;
        let other = users.iter().find(|user| user["userName"] == "load0002@example.com").unwrap();
        let remote = other["link"]["remote_id"].as_str().unwrap();
        rig.app.set_link("admin", &rig.instance, &id, remote).await.map_err(|error| format!("{error:?}")).unwrap();
        rig.quiet().await;
        let after = members().await;
        assert_ne!(before, after, "{target}: the account that is theirs now is put into the group");
        let shown = rig.app.list_users(&rig.instance, 0, 100).await.unwrap().items;
        let user = shown.iter().find(|user| user["id"] == *id).unwrap();
        assert_eq!(user["link"]["remote_id"], remote, "{target}");
        assert!(
            after.contains(&remote.to_lowercase()) || after.contains("load0002"),
            "{target}: {after}, not {remote}"
        );
    }
}
