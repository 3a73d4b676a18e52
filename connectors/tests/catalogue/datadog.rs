//! Datadog: two calls for one creation, a 403 of two meanings, disabling instead of deleting, roles.

use connector_sdk::{
    AccountChange, AccountStatus, Created, Cx, Effect, FaultKind, GroupCreated, GroupWant, Membership, Removed, Retry,
};
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulators::Limits;

use crate::played::{Played, Stage, accepted, built, now, person, reply};

const KEYS: [(&str, &str); 2] = [("api_key", "k"), ("app_key", "a")];

fn errors(words: &str) -> Value {
    json!({ "errors": [words] })
}

#[tokio::test]
async fn a_403_is_the_keys_or_a_permission_and_a_look_tells() {
    for (own, kind) in [(200, FaultKind::Permission), (403, FaultKind::Credential)] {
        let me = if own == 200 { json!({ "data": { "id": "u1" } }) } else { errors("Forbidden") };
        let target = Played::new([(403, vec![], errors("Forbidden")), (own, vec![], me)]);
        let connector = built("datadog", json!({ "groups": "roles" }), &KEYS);
        let fault = connector.groups().unwrap().list(&Cx::new(&target, now()), None).await.unwrap_err();
        assert_eq!((fault.kind, fault.retry), (kind, Retry::AfterOperator));
        assert_eq!(target.calls(), ["list roles", "get own user"]);
    }
}

#[tokio::test]
async fn a_429_ends_when_the_seconds_say() {
    let connector = built("datadog", json!({}), &KEYS);
    for (headers, seconds) in [
        (vec![("x-ratelimit-reset", "37".to_owned())], 37),
        (vec![("x-ratelimit-reset", "5".to_owned()), ("retry-after", "9".to_owned())], 9),
        (vec![], 60),
    ] {
        let until = now() + SignedDuration::from_secs(seconds);
        assert_eq!(connector.throttled(&reply((429, headers, errors("slow")))), Some(until));
    }
    let read = connector.read_limits(&reply((
        200,
        vec![
            ("x-ratelimit-limit", "600".to_owned()),
            ("x-ratelimit-remaining", "599".to_owned()),
            ("x-ratelimit-reset", "12".to_owned()),
        ],
        json!({}),
    )));
    assert_eq!((read[0].bucket, read[0].limit, read[0].remaining), ("calls", Some(600), 599));
}

#[tokio::test]
async fn a_creation_is_a_user_with_a_role_and_a_mail() {
    for (settings, mails) in [(json!({}), 1), (json!({ "send_invitations": false }), 0)] {
        let stage = Stage::new("datadog", Limits::None, settings);
        let mut ada = person("ada@corp.example");
        ada.display_name = Some("Ada <Countess> Lovelace".to_owned());
        assert!(matches!(stage.create(&ada).await.unwrap(), Created::Done(_)));
        let account = stage.state().await["accounts"][0].clone();
        assert_eq!(account["role"], "Datadog Standard Role");
        assert_eq!((account["mails"].as_u64(), &account["name"]), (Some(mails), &json!("Ada Countess Lovelace")));
    }
}

#[tokio::test]
async fn a_person_whose_creation_had_no_answer_gets_the_mail_with_the_repetition() {
    let stage = Stage::new("datadog", Limits::None, json!({}));
    let ada = person("ada@corp.example");
    let fault = json!([{ "match": { "method": "POST", "path": "/users$" }, "times": 1, "do": { "drop": "after" } }]);
    stage.control("POST", "/_sim/faults", fault).await;
    assert_eq!(stage.create(&ada).await.unwrap_err().effect, Effect::Unknown);
    assert_eq!(stage.state().await["accounts"][0]["mails"], 0);
    for _ in 0..2 {
        assert!(matches!(stage.create(&ada).await.unwrap(), Created::AlreadyThere(_)));
        assert_eq!(stage.state().await["accounts"][0]["mails"], 1);
    }
}

#[tokio::test]
async fn a_mail_that_could_not_be_sent_is_sent_with_the_repetition() {
    let stage = Stage::new("datadog", Limits::None, json!({}));
    let ada = person("ada@corp.example");
    let fault =
        json!([{ "match": { "path": "/user_invitations" }, "times": 1, "do": { "status": 503, "body": "down" } }]);
    stage.control("POST", "/_sim/faults", fault).await;
    let fault = stage.create(&ada).await.unwrap_err();
    assert_eq!((fault.kind, fault.effect), (FaultKind::Unavailable, Effect::Unknown));
    assert!(matches!(stage.create(&ada).await.unwrap(), Created::AlreadyThere(_)));
    assert_eq!(stage.state().await["accounts"][0]["mails"], 1);
}

#[tokio::test]
async fn who_is_deleted_is_disabled_and_comes_back_with_the_same_user() {
    let stage = Stage::new("datadog", Limits::None, json!({}));
    let accounts = stage.connector.accounts().unwrap();
    let ada = accepted(&stage, "ada@corp.example").await;
    assert_eq!(accounts.remove(&stage.cx(), &ada).await.unwrap(), Removed::Done);
    assert_eq!(stage.state().await["accounts"][0]["status"], "Disabled");
    match stage.create(&person("ada@corp.example")).await.unwrap() {
        Created::AlreadyThere(found) => {
            assert_eq!(found.account.status, AccountStatus::Suspended);
            assert_eq!(found.account.reference().unwrap(), ada);
        }
        other => panic!("{other:?}"),
    }
    accounts.set_active(&stage.cx(), &ada, true).await.unwrap();
    assert_eq!(stage.state().await["accounts"][0]["status"], "Active");
}

#[tokio::test]
async fn the_mail_of_one_who_never_signed_in_is_cancelled_with_the_removal() {
    let stage = Stage::new("datadog", Limits::None, json!({}));
    let Created::Done(account) = stage.create(&person("ada@corp.example")).await.unwrap() else { panic!("she is new") };
    let at = account.reference().unwrap();
    stage.connector.accounts().unwrap().remove(&stage.cx(), &at).await.unwrap();
    let there = stage.state().await["accounts"][0].clone();
    assert_eq!((&there["status"], &there["mails"]), (&json!("Disabled"), &json!(0)));
}

#[tokio::test]
async fn a_user_whom_datadog_hides_is_said_to_be_there_in_words() {
    for duplicate in [400, 409] {
        let stage = Stage::new("datadog", Limits::None, json!({}));
        let ada = person("ada@corp.example");
        let Created::Done(account) = stage.create(&ada).await.unwrap() else { panic!("she is new") };
        let accounts = stage.connector.accounts().unwrap();
        accounts.remove(&stage.cx(), &account.reference().unwrap()).await.unwrap();
        stage.set(json!({ "hide_unverified": true, "duplicate": duplicate })).await;
        let fault = stage.create(&ada).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Refused);
        assert!(fault.message.contains("does not show a user with that address"), "{fault}");
    }
}

#[tokio::test]
async fn a_role_takes_the_place_of_the_one_before() {
    let stage = Stage::new("datadog", Limits::None, json!({}));
    let accounts = stage.connector.accounts().unwrap();
    let ada = accepted(&stage, "ada@corp.example").await;
    let mut change = AccountChange::default();
    for role in ["Datadog Admin Role", "Datadog Read Only Role", "Datadog Standard Role"] {
        change.role = Some(role.to_owned());
        accounts.update(&stage.cx(), &ada, &change).await.unwrap();
        assert_eq!(accounts.get(&stage.cx(), &ada).await.unwrap().unwrap().role.as_deref(), Some(role));
        assert_eq!(stage.state().await["accounts"][0]["role"], role);
    }
    change.role = Some("Chief".to_owned());
    assert_eq!(accounts.update(&stage.cx(), &ada, &change).await.unwrap_err().kind, FaultKind::Refused);
}

#[tokio::test]
async fn what_saml_gives_is_marked_and_a_handle_of_two_names_is_a_clash() {
    let stage = Stage::new("datadog", Limits::None, json!({}));
    let groups = stage.connector.groups().unwrap();
    let ada = accepted(&stage, "ada@corp.example").await;
    let GroupCreated::Done(team) = groups.create(&stage.cx(), &GroupWant::named("Tools & Ops")).await.unwrap() else {
        panic!("it is new")
    };
    let clash = groups.create(&stage.cx(), &GroupWant::named("Tools Ops")).await.unwrap_err();
    assert_eq!(clash.kind, FaultKind::NameTaken);
    stage.set(json!({ "saml_member": { "email": "ada@corp.example", "team": "Tools & Ops" } })).await;
    let members = groups.members(&stage.cx(), &team.id, None).await.unwrap().items;
    assert!(members[0].inherited);
    let out = groups.change_members(&stage.cx(), &team.id, &[], std::slice::from_ref(&ada)).await.remove(0);
    assert_eq!(out.unwrap_err().kind, FaultKind::Permission);
    stage.set(json!({ "managed_team": "Tools & Ops" })).await;
    assert!(groups.get(&stage.cx(), &team.id).await.unwrap().unwrap().protected);
}

#[tokio::test]
async fn groups_can_be_roles() {
    let stage = Stage::new("datadog", Limits::None, json!({ "groups": "roles" }));
    let groups = stage.connector.groups().unwrap();
    let ada = accepted(&stage, "ada@corp.example").await;
    let admin = groups.find(&stage.cx(), "datadog admin role").await.unwrap().remove(0);
    let one = std::slice::from_ref(&ada);
    let in_it = groups.change_members(&stage.cx(), &admin.id, one, &[]).await.remove(0);
    assert_eq!(in_it.unwrap(), Membership::Present);
    assert_eq!(stage.state().await["accounts"][0]["role"], "Datadog Admin Role");
    assert!(!stage.connector.traits().writable.contains(&"roles"));
    let fault = groups.remove(&stage.cx(), &admin.id).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
}

#[tokio::test]
async fn the_probe_names_what_is_amiss() {
    for (knobs, settings, amiss) in [
        (json!({ "forbid": ["team"] }), json!({}), vec!["teams: read"]),
        (json!({ "forbid": ["roles"] }), json!({}), vec!["default role"]),
        (json!({}), json!({ "default_role": "No Such Role" }), vec!["default role"]),
        (json!({ "token": "revoked" }), json!({}), vec!["credential"]),
    ] {
        let stage = Stage::new("datadog", Limits::None, settings);
        stage.set(knobs).await;
        let probe = stage.connector.probe(&stage.cx()).await.unwrap();
        let found: Vec<_> = probe.checks.iter().filter(|check| !check.ok).map(|check| check.name.as_str()).collect();
        assert_eq!(found, amiss);
    }
}
