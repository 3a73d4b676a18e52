//! Answers that came late, and calls that reached the target after what overtook them. Each test is named after what
//! went wrong.

use futures_util::future::join_all;
use gateway::service::types::Mode;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use simulators::Limits;

use crate::rig::{Db, Rig, databases, emails, rig, rig_of};
use crate::worse::HEARD;

/// For how long the target takes over what is overtaken.
const SLOW: u64 = 2_000;

async fn faults(rig: &Rig, faults: Value) {
    rig.control("POST", "/_sim/faults", faults).await;
}

/// Somebody who accepted her invitation, and a group without members.
async fn ada_and_a_group(rig: &Rig) -> (String, String) {
    let ada = rig.user("ada@example.com").await;
    rig.quiet().await;
    rig.control("POST", "/_sim/accept", json!({})).await;
    rig.reconcile().await;
    let group = rig.post("Group", json!({"displayName": "Eng"})).await.unwrap().stored.id;
    rig.quiet().await;
    (ada, group)
}

fn add(id: &str) -> Value {
    json!([{"op": "add", "path": "members", "value": [{"value": id}]}])
}

fn active(active: bool) -> Value {
    json!([{"op": "replace", "path": "active", "value": active}])
}

fn name(name: &str) -> Value {
    json!([{"op": "replace", "path": "displayName", "value": name}])
}

/// How many calls of that kind have arrived, and how many of them are answered.
async fn calls(rig: &Rig, method: &str, part: &str) -> (usize, usize) {
    let calls = rig.calls().await;
    let is = |call: &&Value| call["method"] == method && call["path"].as_str().is_some_and(|path| path.contains(part));
    let all: Vec<&Value> = calls.as_array().unwrap().iter().filter(is).collect();
    (all.len(), all.iter().filter(|call| call["status"] != 0).count())
}

/// Her account is gone while a membership is on its way to it, which brings her back.
async fn overtaken(rig: &Rig, ada: &str, group: &str) {
    faults(rig, json!([{"match": {"method": "PUT", "path": "/memberships/"}, "times": 1, "do": {"delay_ms": SLOW}}]))
        .await;
    rig.patch("Group", group, add(ada)).await.unwrap();
    rig.wait("the membership on its way", async || calls(rig, "PUT", "/memberships/").await == (1, 0)).await;
    rig.patch("User", ada, active(false)).await.unwrap();
    rig.wait("her removal", async || emails(&rig.state().await, "accounts").is_empty()).await;
    assert_eq!(calls(rig, "PUT", "/memberships/").await, (1, 0), "the membership came too early to show anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_to_a_former_account_gave_a_leaver_access_who_had_been_invited_again_meanwhile() {
    for db in databases() {
        let rig = rig(&db, "github", json!({"answer_within_ms": 0})).await;
        let (ada, group) = ada_and_a_group(&rig).await;
        overtaken(&rig, &ada, &group).await;
        rig.patch("User", &ada, active(true)).await.unwrap();
        rig.wait("her new invitation", async || emails(&rig.state().await, "invitations") == ["ada@example.com"]).await;
        assert_eq!(calls(&rig, "PUT", "/memberships/").await, (1, 0), "the membership came before her invitation");
        rig.wait("the membership", async || calls(&rig, "PUT", "/memberships/").await.1 == 1).await;
        rig.quiet().await;
        assert_eq!(
            rig.state().await["invitations"].as_array().unwrap().len(),
            2,
            "GitHub invites who is put into a team"
        );
        rig.patch("User", &ada, active(false)).await.unwrap();
        rig.quiet().await;
        let state = rig.state().await;
        assert_eq!((&state["accounts"], &state["invitations"]), (&json!([]), &json!([])), "{}", rig.calls().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaver_kept_the_access_that_a_grant_in_doubt_gave_because_its_group_was_deleted() {
    for db in databases() {
        let rig = rig(&db, "github", json!({"answer_within_ms": 0, "on_group_delete": "delete"})).await;
        let (ada, group) = ada_and_a_group(&rig).await;
        let busy = json!({"status": 429, "headers": {"retry-after": "3"}});
        faults(
            &rig,
            json!([
                {"match": {"method": "PUT", "path": "/memberships/"}, "times": 1, "do": {"drop": "before"}},
                {"match": {"method": "PUT", "path": "/memberships/"}, "times": 1, "do": busy},
                {"match": {"method": "DELETE", "path": "/team/[0-9]+$"}, "times": 1, "do": {"delay_ms": SLOW}},
            ]),
        )
        .await;
        rig.patch("Group", &group, add(&ada)).await.unwrap();
        rig.wait("the repetition's refusal", async || calls(&rig, "PUT", "/memberships/").await == (2, 1)).await;
        rig.wait("its record", async || rig.open_work().await.iter().all(|(state, _)| state != "running")).await;
        rig.delete("Group", &group).await;
        rig.delete("User", &ada).await;
        rig.wait("her removal", async || emails(&rig.state().await, "accounts").is_empty()).await;
        // What nobody heard of reaches the target only now.
        rig.as_somebody_else("PUT", "/orgs/acme/teams/eng/memberships/ada").await;
        assert_eq!(rig.state().await["invitations"].as_array().unwrap().len(), 1);
        rig.quiet().await;
        let state = rig.state().await;
        assert_eq!((&state["groups"], &state["invitations"]), (&json!([]), &json!([])), "{}", rig.calls().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_created_again_twice_stayed_in_a_group_whose_refused_removal_nobody_remembered() {
    for db in databases() {
        let mut rig = rig(&db, "github", json!({"answer_within_ms": 0})).await;
        let (ada, group) = ada_and_a_group(&rig).await;
        rig.patch("Group", &group, add(&ada)).await.unwrap();
        rig.quiet().await;
        let slow =
            json!({"match": {"method": "DELETE", "path": "/memberships/ada"}, "times": 1, "do": {"delay_ms": SLOW}});
        faults(&rig, json!([slow])).await;
        let remove = json!([{"op": "remove", "path": format!("members[value eq \"{ada}\"]")}]);
        rig.patch("Group", &group, remove).await.unwrap();
        rig.wait("the removal on its way", async || calls(&rig, "DELETE", "/memberships/ada").await == (1, 0)).await;
        rig.set_mode(Mode::Paused).await;
        rig.delete("User", &ada).await;
        let second = rig.user("ada@example.com").await;
        rig.control("POST", "/_sim/set", json!({"scopes": ["read:org"]})).await;
        assert_eq!(calls(&rig, "DELETE", "/memberships/ada").await, (1, 0), "the removal came too early");
        rig.wait("its refusal", async || calls(&rig, "DELETE", "/memberships/ada").await == (1, 1)).await;
        rig.wait("its record", async || rig.open_work().await.iter().all(|(state, _)| state != "running")).await;
        rig.control("POST", "/_sim/set", json!({"scopes": ["admin:org"]})).await;
        rig.delete("User", &second).await;
        rig.user("ada@example.com").await;
        rig.set_mode(Mode::Enabled).await;
        rig.quiet_at_once().await;
        let state = rig.state().await;
        assert_eq!(state["groups"][0]["members"], json!([]), "{}", rig.calls().await);
        assert_eq!(state["accounts"].as_array().unwrap().len(), 1, "{state}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_whose_answer_was_lost_stayed_open_beside_the_one_to_the_new_address() {
    for db in databases() {
        let rig = rig(&db, "github", json!({"answer_within_ms": 0})).await;
        let busy = json!({"status": 429, "headers": {"retry-after": "3"}});
        faults(
            &rig,
            json!([
                {"match": {"method": "POST", "path": "invitations$"}, "times": 1, "do": {"drop": "after"}},
                {"match": {"method": "GET"}, "times": 1, "do": busy},
            ]),
        )
        .await;
        let ada = rig.user("ada@example.com").await;
        rig.wait("the look's refusal", async || {
            rig.calls().await.as_array().unwrap().iter().any(|call| call["status"] == 429)
        })
        .await;
        let address =
            json!([{"op": "replace", "path": "emails", "value": [{"value": "ada@example.org", "primary": true}]}]);
        rig.patch("User", &ada, address).await.unwrap();
        rig.quiet().await;
        assert_eq!(emails(&rig.state().await, "invitations"), ["ada@example.org"], "{}", rig.calls().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_kept_the_name_of_a_renaming_in_doubt_that_was_taken_back() {
    for db in databases() {
        let rig = rig(&db, "github", json!({"answer_within_ms": 0})).await;
        let (_, group) = ada_and_a_group(&rig).await;
        let busy = json!({"status": 429, "headers": {"retry-after": "3"}});
        faults(
            &rig,
            json!([
                {"match": {"method": "PATCH"}, "times": 1, "do": {"drop": "after"}},
                {"match": {"path": "/team"}, "times": 1, "do": busy},
            ]),
        )
        .await;
        rig.patch("Group", &group, name("Engineers")).await.unwrap();
        rig.wait("the next call's refusal", async || {
            rig.calls().await.as_array().unwrap().iter().any(|call| call["status"] == 429)
        })
        .await;
        assert_eq!(rig.state().await["groups"][0]["name"], "Engineers");
        rig.patch("Group", &group, name("Eng")).await.unwrap();
        rig.quiet().await;
        assert_eq!(rig.state().await["groups"][0]["name"], "Eng", "{}", rig.calls().await);
    }
}

/// Ada has an account, which is to be removed, and somebody of that name and with her address is to have one: both at once.
async fn another_with_her_address(rig: &mut Rig, name: &str, slow: Value) {
    let ada = rig.user("ada@example.com").await;
    rig.quiet().await;
    rig.control("POST", "/_sim/accept", json!({})).await;
    rig.reconcile().await;
    rig.set_mode(Mode::Paused).await;
    rig.delete("User", &ada).await;
    rig.post("User", json!({"userName": name, "emails": [{"value": "ada@example.com"}]})).await.unwrap();
    faults(rig, slow).await;
    rig.set_mode(Mode::Enabled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_was_refused_for_an_account_whose_removal_was_on_its_way() {
    for db in databases() {
        let mut rig = rig(&db, "github", json!({"answer_within_ms": 0})).await;
        let slow = json!([{"match": {"method": "DELETE", "path": "/members"}, "times": 1, "do": {"delay_ms": SLOW}}]);
        another_with_her_address(&mut rig, "lovelace@example.com", slow).await;
        rig.wait("the wait for her removal", async || {
            rig.open_work().await.contains(&("waiting".to_owned(), "twin".to_owned()))
        })
        .await;
        rig.quiet().await;
        let state = rig.state().await;
        assert_eq!(emails(&state, "accounts"), Vec::<String>::new(), "{}", rig.calls().await);
        assert_eq!(emails(&state, "invitations"), ["ada@example.com"], "{}", rig.calls().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_was_tied_to_an_account_that_a_removal_had_taken_before_its_answer_was_read() {
    for db in databases() {
        let mut rig =
            rig_of(&db, "github", "github-verifiable", json!({"answer_within_ms": 0}), json!({}), Limits::None).await;
        let slow = json!([{"match": {"method": "DELETE", "path": "/members"}, "times": 1, "do": {"delay_ms": SLOW}}]);
        another_with_her_address(&mut rig, "late@example.com", slow).await;
        rig.wait("her removal, and its record", async || {
            emails(&rig.state().await, "accounts").is_empty() && rig.open_work().await.len() == 1
        })
        .await;
        HEARD.add_permits(1);
        rig.quiet().await;
        assert_eq!(emails(&rig.state().await, "invitations"), ["ada@example.com"], "{}", rig.calls().await);
    }
}

/// The target may still be at a removal whose sender died, and comes to its end while the person is wanted again.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_whose_sender_died_took_the_access_of_who_had_come_back() {
    let play = async |db: &Db| {
        let rig =
            rig_of(db, "github", "github-verifiable", json!({"answer_within_ms": 0}), json!({}), Limits::None).await;
        let ada = rig.user("ada@example.com").await;
        rig.quiet().await;
        rig.control("POST", "/_sim/accept", json!({"email": "ada@example.com", "login": "dies"})).await;
        rig.reconcile().await;
        rig.quiet().await;
        rig.patch("User", &ada, active(false)).await.unwrap();
        let panicked = ("waiting".to_owned(), "panic".to_owned());
        rig.wait("the sender's death", async || rig.open_work().await == [panicked.clone()]).await;
        rig.patch("User", &ada, active(true)).await.unwrap();
        let waits = ("waiting".to_owned(), "outcome_unknown".to_owned());
        rig.wait("the wait for its end", async || rig.open_work().await == [waits.clone()]).await;
        rig.as_somebody_else("DELETE", "/orgs/acme/memberships/dies").await;
        rig.quiet().await;
        let state = rig.state().await;
        assert_eq!(emails(&state, "invitations"), ["ada@example.com"], "{state}: {}", rig.calls().await);
    };
    join_all(databases().iter().map(play)).await;
}

/// Her account was taken over from whom it might have been brought back for, and it was not: nothing in doubt is hers.
#[tokio::test(flavor = "multi_thread")]
async fn who_took_over_an_account_that_might_be_back_was_held_for_having_it_without_a_look() {
    for db in databases() {
        let rig = rig(&db, "github", json!({})).await;
        // Only PostgreSQL lets somebody else write.
        let Some(url) = rig.database.as_deref() else { continue };
        let (ada, _) = ada_and_a_group(&rig).await;
        let other = sea_orm::Database::connect(url).await.unwrap();
        let text = "UPDATE link SET evidence = 'late_grant' WHERE state = 'live' AND resource_seq IN (SELECT seq FROM resource WHERE kind = 'User')";
        assert!(other.execute_unprepared(text).await.unwrap().rows_affected() > 0);
        rig.as_somebody_else("DELETE", "/orgs/acme/memberships/ada").await;
        let title = json!([{"op": "replace", "path": "title", "value": "Countess"}]);
        rig.patch("User", &ada, title).await.unwrap();
        rig.quiet().await;
        assert_eq!(emails(&rig.state().await, "invitations"), ["ada@example.com"], "{}", rig.calls().await);
    }
}
