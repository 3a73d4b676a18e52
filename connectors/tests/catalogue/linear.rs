//! Linear: refusals in disguise, milliseconds, suspension instead of deletion, key prefixes.

use connector_sdk::{
    AccountChange, AccountStatus, Cx, Effect, FaultKind, Followed, GroupCreated, GroupWant, Removed, Retry,
};
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulators::Limits;

use crate::played::{Played, Stage, accepted, built, now, person, reply};

fn linear() -> std::sync::Arc<dyn connector_sdk::Connector> {
    built("linear", json!({ "workspace": "acme" }), &[("token", "lin_api_x")])
}

fn error(kind: &str, message: &str) -> Value {
    json!({ "data": null, "errors": [{ "message": message, "extensions": { "type": kind } }] })
}

#[tokio::test]
async fn each_kind_of_error_is_understood_whatever_its_status() {
    for (status, body, kind, retry) in [
        (200, error("authentication error", "no"), FaultKind::Credential, Retry::AfterOperator),
        (400, error("authentication error", "no"), FaultKind::Credential, Retry::AfterOperator),
        (401, json!({}), FaultKind::Credential, Retry::AfterOperator),
        (200, error("forbidden", "no"), FaultKind::Permission, Retry::AfterOperator),
        (403, error("forbidden", "no"), FaultKind::Permission, Retry::AfterOperator),
        (200, error("lock timeout", "no"), FaultKind::Unavailable, Retry::Soon),
        (200, error("internal error", "no"), FaultKind::Unavailable, Retry::Soon),
        (400, error("invalid input", "no"), FaultKind::Refused, Retry::Never),
        (404, json!({ "message": "no such page" }), FaultKind::Malformed, Retry::Soon),
        (200, json!({ "data": { "users": 7 } }), FaultKind::Malformed, Retry::Soon),
    ] {
        let target = Played::new([(status, vec![], body.clone())]);
        let connector = linear();
        let fault = connector.accounts().unwrap().list(&Cx::new(&target, now()), None).await.unwrap_err();
        assert_eq!((fault.kind, fault.retry, fault.effect), (kind, retry, Effect::None), "{status} {body}");
    }
}

#[tokio::test]
async fn a_400_that_is_a_rate_limit_ends_when_the_milliseconds_say() {
    let in_millis = |seconds: i64| (now().as_millisecond() + seconds * 1_000).to_string();
    for (headers, seconds) in [
        (vec![("x-ratelimit-requests-remaining", "0".to_owned()), ("x-ratelimit-requests-reset", in_millis(42))], 42),
        (
            vec![
                ("x-ratelimit-endpoint-requests-remaining", "0".to_owned()),
                ("x-ratelimit-endpoint-requests-reset", in_millis(77)),
            ],
            77,
        ),
        (vec![("retry-after", "9".to_owned())], 9),
        // What is left over is no reason to wait for its end.
        (vec![("x-ratelimit-requests-remaining", "5".to_owned()), ("x-ratelimit-requests-reset", in_millis(900))], 60),
        (vec![], 60),
    ] {
        let answer = (400, headers, error("ratelimited", "Rate limit exceeded"));
        let until = now() + SignedDuration::from_secs(seconds);
        assert_eq!(linear().throttled(&reply(answer.clone())), Some(until));
        let target = Played::new([answer]);
        let connector = linear();
        let fault = connector.groups().unwrap().create(&Cx::new(&target, now()), &GroupWant::named("X")).await;
        let fault = fault.unwrap_err();
        assert_eq!((fault.kind, fault.retry), (FaultKind::RateLimited, Retry::NotBefore(until)));
        assert_eq!(target.calls().len(), 1);
    }
    let plain = (400, vec![], error("invalid input", "no"));
    assert_eq!(linear().throttled(&reply(plain)), None);
    let readings = linear().read_limits(&reply((
        200,
        vec![
            ("x-ratelimit-complexity-limit", "250000".to_owned()),
            ("x-ratelimit-complexity-remaining", "249000".to_owned()),
            ("x-ratelimit-complexity-reset", in_millis(14)),
        ],
        json!({}),
    )));
    assert_eq!(readings.len(), 1);
    assert_eq!((readings[0].bucket, readings[0].limit, readings[0].remaining), ("complexity", Some(250_000), 249_000));
    assert_eq!(readings[0].resets_at, now() + SignedDuration::from_secs(14));
}

#[tokio::test]
async fn a_mutation_that_answers_data_beside_an_error_may_have_happened() {
    let there = json!({ "data": { "users": { "nodes": [] },
        "organizationInvites": { "nodes": [], "pageInfo": { "hasNextPage": false, "endCursor": null } } } });
    let mut half = error("forbidden", "no");
    half["data"] = json!({ "organizationInviteCreate": {} });
    let target = Played::new([(200, vec![], there), (200, vec![], half)]);
    let connector = linear();
    let asked = connector.accounts().unwrap().create(&Cx::new(&target, now()), &person("ada@corp.example")).await;
    assert_eq!(asked.unwrap_err().effect, Effect::Unknown);
}

#[tokio::test]
async fn a_personal_key_stands_alone_and_a_token_of_oauth_is_a_bearer() {
    let stage = Stage::new("linear", Limits::None, json!({}));
    assert!(stage.connector.probe(&stage.cx()).await.unwrap().ok());
    // The simulator takes the personal key without `Bearer` only, as the vendor does.
    let oauth = built(
        "linear",
        json!({ "workspace": "acme", "graphql_url": "http://127.0.0.1:9/graphql" }),
        &[("token", "lin_oauth_x")],
    );
    let probe = oauth.probe(&stage.cx()).await.unwrap();
    assert!(!probe.ok());
}

#[tokio::test]
async fn who_is_deleted_is_suspended_and_comes_back_with_the_same_account() {
    let stage = Stage::new("linear", Limits::None, json!({}));
    let accounts = stage.connector.accounts().unwrap();
    let ada = accepted(&stage, "ada@corp.example").await;
    assert_eq!(accounts.remove(&stage.cx(), &ada).await.unwrap(), Removed::Done);
    assert_eq!(stage.state().await["accounts"][0]["active"], false);
    let found = match stage.create(&person("Ada@Corp.example")).await.unwrap() {
        connector_sdk::Created::AlreadyThere(found) => found.account,
        other => panic!("{other:?}"),
    };
    assert_eq!(found.status, AccountStatus::Suspended);
    assert_eq!(found.reference().unwrap(), ada);
    accounts.set_active(&stage.cx(), &ada, true).await.unwrap();
    assert_eq!(stage.state().await["accounts"][0]["active"], true);
}

#[tokio::test]
async fn a_full_plan_is_for_a_person_to_resolve() {
    let stage = Stage::new("linear", Limits::None, json!({}));
    stage.set(json!({ "seats": 1 })).await;
    match stage.create(&person("ada@corp.example")).await.unwrap() {
        connector_sdk::Created::ActionRequired(need) => assert_eq!(need.code, "seat"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_invitation_that_another_account_accepted_is_followed_to_it() {
    let stage = Stage::new("linear", Limits::None, json!({}));
    let who = person("ada@corp.example");
    let invited = match stage.create(&who).await.unwrap() {
        connector_sdk::Created::Invited(account) => account.invite_id.unwrap(),
        other => panic!("{other:?}"),
    };
    stage.control("POST", "/_sim/accept", json!({ "email": "ada@corp.example", "login": "lovelace" })).await;
    match stage.connector.accounts().unwrap().follow(&stage.cx(), &invited, &who).await.unwrap() {
        Followed::Accepted { account, .. } => assert_eq!(account.email.as_deref(), Some("lovelace@elsewhere.example")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn names_are_written_and_the_last_owner_is_left_alone() {
    let stage = Stage::new("linear", Limits::None, json!({}));
    let accounts = stage.connector.accounts().unwrap();
    let ada = accepted(&stage, "ada@corp.example").await;
    let mut change = AccountChange::default();
    change.display_name = Some("Ada Lovelace".to_owned());
    accounts.update(&stage.cx(), &ada, &change).await.unwrap();
    assert_eq!(stage.state().await["accounts"][0]["name"], "Ada Lovelace");
    change.role = Some("emperor".to_owned());
    let fault = accounts.update(&stage.cx(), &ada, &change).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
}

#[tokio::test]
async fn the_probe_names_what_is_amiss() {
    for (knobs, settings, check) in [
        (json!({ "role": "user" }), json!({}), "role"),
        (json!({ "scim": true }), json!({}), "no other provisioning"),
        (json!({}), json!({ "workspace": "other" }), "workspace"),
        (json!({ "token": "revoked" }), json!({}), "credential"),
    ] {
        let stage = Stage::new("linear", Limits::None, settings);
        stage.set(knobs).await;
        let probe = stage.connector.probe(&stage.cx()).await.unwrap();
        let amiss: Vec<_> = probe.checks.iter().filter(|check| !check.ok).map(|check| check.name.as_str()).collect();
        assert_eq!(amiss, [check]);
    }
}

#[tokio::test]
async fn a_team_of_linears_own_scim_is_protected() {
    let stage = Stage::new("linear", Limits::None, json!({}));
    let groups = stage.connector.groups().unwrap();
    let GroupCreated::Done(team) = groups.create(&stage.cx(), &GroupWant::named("Ops")).await.unwrap() else {
        panic!("it is new")
    };
    assert!(!team.protected);
    stage.set(json!({ "scim_team": "Ops" })).await;
    assert!(groups.get(&stage.cx(), &team.id).await.unwrap().unwrap().protected);
}

#[tokio::test]
async fn the_vendors_limits_are_told_in_headers_and_refuse_with_400() {
    let stage = Stage::new("linear", Limits::Real, json!({}));
    let accounts = stage.connector.accounts().unwrap();
    let mut last = None;
    for _ in 0..3_000 {
        if let Err(fault) = accounts.find(&stage.cx(), &person("nobody@corp.example")).await {
            last = Some(fault);
            break;
        }
    }
    let fault = last.expect("an hour's requests are used up");
    assert_eq!(fault.kind, FaultKind::RateLimited);
    assert!(matches!(fault.retry, Retry::NotBefore(until) if until > stage.sim.clock.now()));
    let sent = stage.calls().len();
    assert!(sent > 800 && sent <= 2_501, "{sent}");
    // What the connector declares is not less than what the vendor counts: the gateway stops before it.
    let declared = stage.connector.traits().cost("look").iter().find(|charge| charge.bucket == "complexity").unwrap();
    assert!((sent - 1) * declared.units as usize >= 250_000, "{sent} looks of {declared:?}");
}
