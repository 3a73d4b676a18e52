//! The ordinary way, and what it costs at the target.

use gateway::service::types::Failure;
use scim::ScimType;
use serde_json::json;

use crate::rig::{databases, emails, everywhere, rig, rig_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_becomes_invitation_member_team_member_and_is_gone() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, json!({})).await;
        let ada = rig.user("ada@example.com").await;
        let state = rig.state().await;
        assert_eq!(emails(&state, "invitations"), ["ada@example.com"], "{target}: {}", rig.calls().await);

        let group = rig
            .post("Group", json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Platform", "members": [{"value": ada}]}))
            .await
            .unwrap();
        assert!(group.settled, "{target}: a parked membership leaves nothing open");
        let state = rig.state().await;
        assert_eq!(state["groups"][0]["name"], "Platform", "{target}");
        assert_eq!(state["groups"][0]["members"], json!([]), "{target}: not before she accepts");

        rig.control("POST", "/_sim/accept", json!({"email": "ada@example.com", "login": "countess"})).await;
        rig.reconcile().await;
        rig.wait("team membership", async || {
            rig.state().await["groups"][0]["members"].as_array().is_some_and(|members| members.len() == 1)
        })
        .await;

        rig.patch("User", &ada, json!([{"op": "replace", "path": "active", "value": false}])).await.unwrap();
        rig.wait("her removal", async || rig.state().await["accounts"].as_array().unwrap().is_empty()).await;

        // Reactivation invites again and restores the membership.
        rig.patch("User", &ada, json!([{"op": "replace", "path": "active", "value": true}])).await.unwrap();
        assert_eq!(emails(&rig.state().await, "invitations"), ["ada@example.com"], "{target}");
        rig.control("POST", "/_sim/accept", json!({})).await;
        rig.reconcile().await;
        rig.wait("restored membership", async || {
            rig.state().await["groups"][0]["members"].as_array().is_some_and(|members| members.len() == 1)
        })
        .await;

        rig.delete("Group", &group.stored.id).await;
        rig.delete("User", &ada).await;
        rig.wait("an empty target", async || {
            let state = rig.state().await;
            ["accounts", "invitations", "groups"].iter().all(|list| state[*list].as_array().unwrap().is_empty())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn adding_and_removing_costs_what_it_changes() {
    for db in databases() {
        let rig = rig(&db, "github", json!({})).await;
        let mut people = Vec::new();
        for name in ["a@example.com", "b@example.com"] {
            people.push(rig.user(name).await);
        }
        rig.control("POST", "/_sim/accept", json!({})).await;
        rig.reconcile().await;
        let group = rig
            .post("Group", json!({"displayName": "Eng", "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"]}))
            .await
            .unwrap()
            .stored
            .id;
        let before = rig.writes().await.len();
        let added = rig
            .patch(
                "Group",
                &group,
                json!([{"op": "add", "path": "members", "value": [{"value": people[0]}, {"value": people[1]}]}]),
            )
            .await
            .unwrap();
        assert!(added.settled && added.changed);
        assert_eq!(rig.writes().await.len(), before + 2, "{:?}", rig.writes().await);
        let again = rig
            .patch("Group", &group, json!([{"op": "add", "path": "members", "value": [{"value": people[0]}]}]))
            .await
            .unwrap();
        assert!(!again.changed);
        let removed = rig
            .patch("Group", &group, json!([{"op": "remove", "path": format!("members[value eq \"{}\"]", people[0])}]))
            .await
            .unwrap();
        assert!(removed.settled);
        let writes = rig.writes().await;
        assert_eq!(writes.len(), before + 3, "{writes:?}");
        assert_eq!(rig.state().await["groups"][0]["members"].as_array().unwrap().len(), 1);
        let nobody = "3b1f2c4d-0000-4000-8000-00000000beef";
        let unknown =
            rig.patch("Group", &group, json!([{"op": "add", "path": "members", "value": [{"value": nobody}]}])).await;
        assert!(matches!(unknown, Err(Failure::Scim(error)) if error.status == 400 && error.detail.contains(nobody)));
        let foreign =
            rig.patch("Group", &group, json!([{"op": "add", "path": "members", "value": [{"value": "bob"}]}])).await;
        assert!(foreign.is_ok_and(|written| !written.changed), "what is no id of ours names nobody");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_create_leaves_nothing_behind() {
    for db in databases() {
        let rig = rig(&db, "github", json!({})).await;
        rig.control(
            "POST",
            "/_sim/faults",
            json!([{"match": {"method": "POST", "path": "invitations$"}, "times": 1,
                "do": {"status": 422, "body": {"message": "Validation Failed"}}}]),
        )
        .await;
        let person = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": "ned", "emails": [{"value": "n@example.com"}],
        });
        let refused = rig.post("User", person.clone()).await;
        let Err(Failure::Scim(error)) = refused else { panic!("{refused:?}") };
        assert_eq!((error.status, error.scim_type), (400, Some(ScimType::InvalidValue)), "{error:?}");
        // The name is free again.
        let again = rig.post("User", person).await;
        assert!(again.is_ok(), "{again:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_without_an_address_is_kept_until_it_comes() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, json!({})).await;
        let person = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ned"});
        let kept = rig.post("User", person).await.unwrap();
        assert!(!kept.settled, "{target}");
        assert_eq!(rig.state().await["invitations"], json!([]), "{target}");
        let id = kept.stored.id.clone();
        let address = json!([{"op": "add", "path": "emails", "value": [{"value": "n@example.com"}]}]);
        assert!(rig.patch("User", &id, address).await.unwrap().settled, "{target}");
        assert_eq!(rig.state().await["invitations"][0]["email"], "n@example.com", "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_makes_no_second_invitation() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, json!({})).await;
        rig.control(
            "POST",
            "/_sim/faults",
            json!([{"match": {"method": "POST", "path": "invitations$"}, "times": 1, "do": {"drop": "after"}}]),
        )
        .await;
        rig.user("ada@example.com").await;
        rig.wait("one invitation", async || rig.state().await["invitations"].as_array().unwrap().len() == 1).await;
        rig.reconcile().await;
        let sent =
            rig.writes().await.iter().filter(|call| call.starts_with("POST") && call.contains("invitations")).count();
        assert_eq!(sent, 1, "{target}: {:?}", rig.writes().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn teams_alone_follow_people_who_are_there_by_other_means() {
    for db in databases() {
        let rig = rig_with(&db, "github", json!({}), json!({"mode": "teams_only"})).await;
        let group = rig.post("Group", json!({"displayName": "Eng"})).await.unwrap().stored;
        // Nobody of that name is at GitHub: the user operations succeed all the same.
        let ada = rig.user("ada@example.com").await;
        rig.patch("Group", &group.id, json!([{"op": "add", "path": "members", "value": [{"value": ada}]}]))
            .await
            .unwrap();
        rig.quiet().await;
        assert_eq!(emails(&rig.state().await, "invitations"), Vec::<String>::new());

        rig.control("POST", "/_sim/set", json!({"members": [{"login": "countess", "email": "ada@example.com"}]})).await;
        rig.reconcile().await;
        rig.wait("her team membership", async || {
            rig.state().await["groups"][0]["members"].as_array().unwrap().len() == 1
        })
        .await;

        rig.patch("User", &ada, json!([{"op": "replace", "path": "active", "value": false}])).await.unwrap();
        rig.wait("the end of it", async || rig.state().await["groups"][0]["members"].as_array().unwrap().is_empty())
            .await;
        assert_eq!(
            rig.state().await["accounts"].as_array().unwrap().len(),
            1,
            "the organisation's members are not ours"
        );
        rig.quiet().await;
        rig.patch("User", &ada, json!([{"op": "replace", "path": "active", "value": true}])).await.unwrap();
        rig.wait("her return", async || rig.state().await["groups"][0]["members"].as_array().unwrap().len() == 1).await;
        rig.delete("User", &ada).await;
        rig.wait("her leaving", async || rig.state().await["groups"][0]["members"].as_array().unwrap().is_empty())
            .await;
        rig.quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_down_costs_the_client_nothing_and_gets_everything_later() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, json!({"answer_within_ms": 300})).await;
        rig.control(
            "POST",
            "/_sim/faults",
            json!([{"match": {"path": ".*"}, "times": 1_000_000, "do": {"status": 503}}]),
        )
        .await;
        let ada = rig.user("ada@example.com").await;
        let group = rig.post("Group", json!({"displayName": "Eng", "members": [{"value": ada}]})).await.unwrap();
        assert!(!group.settled);
        rig.control("DELETE", "/_sim/faults", serde_json::Value::Null).await;
        rig.wait("both", async || {
            let state = rig.state().await;
            state["groups"].as_array().unwrap().len() == 1 && state["invitations"].as_array().unwrap().len() == 1
        })
        .await;
        rig.quiet().await;
    }
}

/// GitHub's own extension: a person is invited by the login that it holds.
#[tokio::test(flavor = "multi_thread")]
async fn an_attribute_of_the_connector_reaches_it() {
    const LOGIN: &str = "urn:scimgate:params:scim:schemas:extension:github:2.0:User";
    for db in databases() {
        let settings = json!({"identity": "handle", "handle_attribute": format!("{LOGIN}:login")});
        let rig = rig_with(&db, "github", json!({}), settings).await;
        rig.control("POST", "/_sim/set", json!({"any_login": true})).await;
        let core = "urn:ietf:params:scim:schemas:core:2.0:User";
        let ada = json!({"schemas": [core, LOGIN], "userName": "ada@example.com", LOGIN: {"login": "countess"}});
        rig.post("User", ada).await.unwrap();
        let writes = rig.writes().await;
        assert!(writes.iter().any(|call| call.contains("/memberships/countess 200")), "{writes:?}");
        let bob = rig.post("User", json!({"schemas": [core], "userName": "bob@example.com"})).await.unwrap();
        let login = json!([{"op": "add", "path": format!("{LOGIN}:login"), "value": "bob"}]);
        assert!(!bob.settled && rig.patch("User", &bob.stored.id, login).await.unwrap().settled);
    }
}
