//! Changes that overtake, cancel or collide with each other.

use std::sync::Arc;

use gateway::reconcile::RunKind;
use gateway::service::types::{Failure, Mode, Precondition};
use serde_json::{Value, json};

use crate::rig::{databases, emails, everywhere, rig, rig_with};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_before_it_is_sent_costs_no_call() {
    for (db, target) in everywhere() {
        let mut rig = rig(&db, target, json!({})).await;
        let ada = rig.user("ada@example.com").await;
        rig.control("POST", "/_sim/accept", json!({})).await;
        rig.reconcile().await;
        let group = rig.post("Group", json!({"displayName": "Eng"})).await.unwrap().stored.id;
        rig.quiet().await;
        let before = rig.writes().await;
        rig.set_mode(Mode::Paused).await;
        let eve = rig.user("eve@example.com").await;
        rig.delete("User", &eve).await;
        rig.patch("Group", &group, json!([{"op": "add", "path": "members", "value": [{"value": ada}]}])).await.unwrap();
        rig.patch("Group", &group, json!([{"op": "remove", "path": "members", "value": [{"value": ada}]}]))
            .await
            .unwrap();
        rig.patch("User", &ada, json!([{"op": "replace", "path": "active", "value": false}])).await.unwrap();
        rig.patch("User", &ada, json!([{"op": "replace", "path": "active", "value": true}])).await.unwrap();
        assert_eq!(rig.writes().await, before, "{target}: paused means that nothing is sent");
        rig.set_mode(Mode::Enabled).await;
        rig.quiet().await;
        assert_eq!(rig.writes().await, before, "{target}: nothing was left to send");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_and_create_again_keeps_the_account() {
    for (db, target) in everywhere() {
        let mut rig = rig(&db, target, json!({})).await;
        let first = rig.user("ada@example.com").await;
        rig.control("POST", "/_sim/accept", json!({})).await;
        rig.reconcile().await;
        rig.quiet().await;
        let before = rig.writes().await;
        rig.set_mode(Mode::Paused).await;
        rig.delete("User", &first).await;
        let second = rig.user("ada@example.com").await;
        assert_ne!(first, second, "an id is never used again");
        rig.set_mode(Mode::Enabled).await;
        rig.quiet().await;
        assert_eq!(rig.writes().await, before, "{target}");
        assert_eq!(rig.state().await["accounts"].as_array().unwrap().len(), 1, "{target}");
        rig.delete("User", &second).await;
        rig.wait("her removal", async || rig.state().await["accounts"].as_array().unwrap().is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaver_does_not_stay_by_an_invitation_accepted_meanwhile() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, json!({})).await;
        let eve = rig.user("eve@example.com").await;
        rig.control("POST", "/_sim/accept", json!({"email": "eve@example.com", "login": "mallory"})).await;
        rig.patch("User", &eve, json!([{"op": "replace", "path": "active", "value": false}])).await.unwrap();
        rig.wait("her removal", async || rig.state().await["accounts"].as_array().unwrap().is_empty()).await;
        rig.quiet().await;
    }
}

/// Neither of the two transactions saw the other, and the membership waited for the next change.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_was_parked_while_another_transaction_linked_them() {
    for (db, target) in everywhere() {
        let crate::rig::Db::Postgres(_) = db else { continue };
        let rig = rig(&db, target, json!({})).await;
        let ada = rig.user("ada@example.com").await;
        rig.quiet().await;
        let link = sea_orm::Database::connect(rig.database.as_deref().unwrap()).await.unwrap();
        let other = sea_orm::TransactionTrait::begin(&link).await.unwrap();
        let locked = format!("SELECT seq FROM resource WHERE id = '{ada}' FOR UPDATE");
        sea_orm::ConnectionTrait::execute_unprepared(&other, &locked).await.unwrap();
        let group = json!({"displayName": "Eng", "members": [{"value": ada}]});
        rig.post("Group", group).await.unwrap();
        rig.wait("her to be waited for", async || {
            rig.open_work().await == [("waiting".to_owned(), "member".to_owned())]
        })
        .await;
        other.commit().await.unwrap();
        link.close().await.unwrap();
        rig.quiet().await;
        rig.control("POST", "/_sim/accept", json!({})).await;
        rig.reconcile().await;
        rig.wait("her to be a member", async || {
            rig.state().await["groups"][0]["members"].as_array().is_some_and(|members| members.len() == 1)
        })
        .await;
        rig.quiet().await;
    }
}

/// The other way round: the link came while the group's run was about to end, which nobody waited for.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_was_linked_while_its_membership_was_parked() {
    for (db, target) in everywhere() {
        let crate::rig::Db::Postgres(_) = db else { continue };
        let rig = rig(&db, target, json!({})).await;
        let ada = rig.user("ada@example.com").await;
        let group = json!({"displayName": "Eng", "members": [{"value": ada}]});
        let group = rig.post("Group", group).await.unwrap().stored.id;
        rig.quiet().await;
        let link = sea_orm::Database::connect(rig.database.as_deref().unwrap()).await.unwrap();
        let run = async |on: &sea_orm::DatabaseConnection, text: &str| {
            sea_orm::ConnectionTrait::execute_unprepared(on, text).await.unwrap();
        };
        // What a run of the group leaves to do, and is bringing to rest.
        run(&link, "UPDATE member SET state = 'todo', reason = NULL").await;
        let other = sea_orm::TransactionTrait::begin(&link).await.unwrap();
        for text in [
            format!("SELECT seq FROM resource WHERE id = '{group}' FOR UPDATE"),
            "UPDATE member SET state = 'parked', reason = 'invited'".to_owned(),
        ] {
            sea_orm::ConnectionTrait::execute_unprepared(&other, &text).await.unwrap();
        }
        rig.control("POST", "/_sim/accept", json!({})).await;
        rig.app.start_run(&rig.instance, RunKind::Reconcile, "test").await.unwrap();
        let waiting = sea_orm::Statement::from_string(
            sea_orm::DbBackend::Postgres,
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%SELECT group_seq FROM member%'",
        );
        rig.wait("her run to wait for the group's", async || {
            sea_orm::ConnectionTrait::query_one_raw(&link, waiting.clone()).await.unwrap().is_some()
        })
        .await;
        other.commit().await.unwrap();
        link.close().await.unwrap();
        rig.wait("her to be a member", async || {
            let state = rig.state().await;
            state["groups"][0]["members"].as_array().is_some_and(|members| members.len() == 1)
        })
        .await;
        rig.quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_address_takes_the_invitation_back_and_invites_again() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, json!({})).await;
        let ada = rig.user("ada@example.com").await;
        let change =
            json!([{"op": "replace", "path": "emails", "value": [{"value": "lovelace@example.com", "primary": true}]}]);
        rig.patch("User", &ada, change).await.unwrap();
        rig.quiet().await;
        assert_eq!(emails(&rig.state().await, "invitations"), ["lovelace@example.com"], "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_equal_creates_at_once_are_one_account_and_one_answer() {
    for (db, target) in everywhere() {
        let rig = Arc::new(rig(&db, target, json!({})).await);
        let mut tasks = Vec::new();
        for _ in 0..10 {
            let rig = rig.clone();
            tasks.push(tokio::spawn(async move {
                rig.post("User", json!({"userName": "ada@example.com", "emails": [{"value": "ada@example.com"}]})).await
            }));
        }
        let mut ids = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                Ok(written) => ids.push(written.stored.id),
                Err(Failure::Scim(error)) => assert_eq!(error.status, 409),
                Err(error) => panic!("{error}"),
            }
        }
        ids.dedup();
        assert_eq!(ids.len(), 1, "{target}");
        rig.quiet().await;
        assert_eq!(rig.state().await["invitations"].as_array().unwrap().len(), 1, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_parallel_patches_of_one_group_lose_nobody() {
    for (db, target) in everywhere() {
        let rig = Arc::new(rig(&db, target, json!({})).await);
        let mut people = Vec::new();
        for n in 0..50 {
            people.push(rig.user(&format!("p{n}@example.com")).await);
        }
        rig.control("POST", "/_sim/accept", json!({})).await;
        rig.reconcile().await;
        let group = rig.post("Group", json!({"displayName": "All"})).await.unwrap().stored;
        let mut tasks = Vec::new();
        for person in people {
            let (rig, group) = (rig.clone(), group.id.clone());
            tasks.push(tokio::spawn(async move {
                rig.patch("Group", &group, json!([{"op": "Add", "path": "members", "value": [{"value": person}]}]))
                    .await
                    .unwrap();
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(rig.app.members_of(group.seq).await.unwrap().len(), 50);
        rig.wait("fifty team members", async || {
            rig.state().await["groups"][0]["members"].as_array().unwrap().len() == 50
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_with_one_version_one_wins() {
    for db in databases() {
        let mut rig = rig(&db, "github", json!({})).await;
        rig.set_mode(Mode::Paused).await;
        let ada = rig.user("ada@example.com").await;
        let body = |title: &str| json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "replace", "path": "title", "value": title}]});
        let registry = rig.instance.registry.clone();
        let rt = registry.user().unwrap();
        let (mut one, mut two) = (scim::Quirks::lenient(), scim::Quirks::lenient());
        let caller = rig.caller();
        let (a, b) = tokio::join!(
            rig.app.patch(&rig.instance, &caller, rt, &ada, body("a"), Precondition::Versions(vec![1]), &mut one),
            rig.app.patch(&rig.instance, &caller, rt, &ada, body("b"), Precondition::Versions(vec![1]), &mut two),
        );
        assert_eq!(usize::from(a.is_ok()) + usize::from(b.is_ok()), 1);
        let lost = if a.is_ok() { b } else { a };
        assert!(matches!(lost, Err(Failure::Scim(error)) if error.status == 412));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_credential_is_not_the_clients_trouble_and_work_goes_on_when_it_lives_again() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, json!({})).await;
        let ada = rig.user("ada@example.com").await;
        rig.control("POST", "/_sim/set", json!({"token": "revoked"})).await;
        rig.patch("User", &ada, json!([{"op": "replace", "path": "active", "value": false}])).await.unwrap();
        rig.wait("the need", async || rig.open_work().await.iter().any(|(_, need)| need == "credential")).await;
        rig.control("POST", "/_sim/set", json!({"token": "valid"})).await;
        // An admin's act (a new credential, a retry) or the next automatic look takes it up.
        let operations = rig.app.list_operations(&rig.instance, &Default::default(), i64::MAX, 1).await.unwrap();
        rig.app
            .retry_operation("admin", operations.items[0]["id"].as_str().unwrap())
            .await
            .map_err(|error| format!("{error:?}"))
            .unwrap();
        rig.wait("the removal", async || rig.state().await["invitations"] == Value::Array(Vec::new())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_membership_granted_while_its_person_was_leaving_is_taken_back() {
    for db in databases() {
        let rig = rig_with(&db, "github", json!({"answer_within_ms": 0}), json!({"mode": "teams_only"})).await;
        rig.control("POST", "/_sim/set", json!({"members": [{"login": "countess", "email": "ada@example.com"}]})).await;
        let ada = rig.user("ada@example.com").await;
        let group = rig.post("Group", json!({"displayName": "Eng"})).await.unwrap().stored.id;
        rig.quiet().await;
        let fault = json!([{"match": {"method": "PUT", "path": "memberships"}, "times": 1, "do": {"delay_ms": 300}}]);
        rig.control("POST", "/_sim/faults", fault).await;
        rig.patch("Group", &group, json!([{"op": "add", "path": "members", "value": [{"value": ada}]}])).await.unwrap();
        rig.wait("the grant under way", async || rig.calls().await.to_string().contains("\"method\":\"PUT\"")).await;
        rig.patch("User", &ada, json!([{"op": "replace", "path": "active", "value": false}])).await.unwrap();
        rig.quiet().await;
        assert_eq!(rig.state().await["groups"][0]["members"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaver_is_not_invited_again_by_a_team_grant_that_was_late() {
    for db in databases() {
        let rig = rig(&db, "github", json!({"answer_within_ms": 0})).await;
        let eve = rig.user("eve@example.com").await;
        rig.quiet().await;
        rig.control("POST", "/_sim/accept", json!({})).await;
        rig.reconcile().await;
        let group = rig.post("Group", json!({"displayName": "Eng"})).await.unwrap().stored.id;
        rig.quiet().await;
        let fault =
            json!([{"match": {"method": "PUT", "path": "team/.*memberships"}, "times": 1, "do": {"delay_ms": 700}}]);
        rig.control("POST", "/_sim/faults", fault).await;
        rig.patch("Group", &group, json!([{"op": "add", "path": "members", "value": [{"value": eve}]}])).await.unwrap();
        rig.wait("the grant under way", async || rig.calls().await.to_string().contains("\"method\":\"PUT\"")).await;
        rig.patch("User", &eve, json!([{"op": "replace", "path": "active", "value": false}])).await.unwrap();
        rig.quiet().await;
        let state = rig.state().await;
        assert_eq!((&state["accounts"], &state["invitations"]), (&json!([]), &json!([])), "{}", rig.calls().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_grant_brought_a_leaver_back_who_had_been_created_again() {
    for db in databases() {
        let mut rig = rig(&db, "github", json!({"answer_within_ms": 0})).await;
        let eve = rig.user("eve@example.com").await;
        rig.quiet().await;
        rig.control("POST", "/_sim/accept", json!({})).await;
        rig.reconcile().await;
        let group = rig.post("Group", json!({"displayName": "Eng"})).await.unwrap().stored.id;
        rig.quiet().await;
        let fault =
            json!([{"match": {"method": "PUT", "path": "team/.*memberships"}, "times": 1, "do": {"delay_ms": 2000}}]);
        rig.control("POST", "/_sim/faults", fault).await;
        rig.patch("Group", &group, json!([{"op": "add", "path": "members", "value": [{"value": eve}]}])).await.unwrap();
        rig.wait("the grant under way", async || rig.calls().await.to_string().contains("\"method\":\"PUT\"")).await;
        rig.set_mode(Mode::Paused).await;
        rig.delete("User", &eve).await;
        let again = json!({"userName": "eve@example.com", "active": false, "emails": [{"value": "eve@example.com"}]});
        rig.post("User", again).await.unwrap();
        rig.set_mode(Mode::Enabled).await;
        rig.quiet().await;
        let state = rig.state().await;
        assert_eq!((&state["accounts"], &state["invitations"]), (&json!([]), &json!([])), "{}", rig.calls().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_taken_back_without_an_answer_is_no_invitation_accepted_by_somebody() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, json!({})).await;
        let eve = rig.user("eve@example.com").await;
        let lost = json!([{"match": {"method": "DELETE", "path": "/invitations/"}, "do": {"drop": "after"}}]);
        rig.control("POST", "/_sim/faults", lost).await;
        rig.patch("User", &eve, json!([{"op": "replace", "path": "active", "value": false}])).await.unwrap();
        rig.quiet().await;
        assert!(emails(&rig.state().await, "invitations").is_empty(), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_that_outlived_its_removal_counted_as_taken_back_for_ever() {
    for db in databases() {
        let rig = rig_with(&db, "github", json!({}), json!({"identity": "manual"})).await;
        let ada = rig.user("ada@example.com").await;
        let lost =
            json!([{"match": {"method": "DELETE", "path": "/invitations/"}, "times": 1000, "do": {"drop": "before"}}]);
        rig.control("POST", "/_sim/faults", lost).await;
        rig.patch("User", &ada, json!([{"op": "replace", "path": "active", "value": false}])).await.unwrap();
        // She is wanted again before her invitation is taken back, which is seen to be there still.
        rig.patch("User", &ada, json!([{"op": "replace", "path": "active", "value": true}])).await.unwrap();
        rig.quiet().await;
        assert_eq!(emails(&rig.state().await, "invitations"), ["ada@example.com"]);
        rig.control("POST", "/_sim/accept", json!({})).await;
        rig.app.start_run(&rig.instance, RunKind::Reconcile, "test").await.unwrap();
        rig.wait("somebody to be asked whose account it is", async || {
            rig.open_work().await == [("needs".to_owned(), "identity".to_owned())]
        })
        .await;
        let invited = rig
            .calls()
            .await
            .as_array()
            .unwrap()
            .iter()
            .filter(|call| call["method"] == "POST" && call["path"] == "/orgs/acme/invitations")
            .count();
        assert_eq!(invited, 1, "nobody is invited a second time who has accepted");
    }
}
