//! Slack: `ok` false with status 200, groups that may not be empty, groups that are never deleted.

use connector_sdk::{
    AccountRef, Cx, Effect, FaultKind, GroupChange, GroupCreated, GroupWant, Groups, Membership, RemoteId, Removed,
    Retry,
};
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulators::Limits;

use crate::played::{Played, Stage, built, now, person, reply};

fn slack() -> std::sync::Arc<dyn connector_sdk::Connector> {
    built("slack", json!({ "team_id": "T0ACME0001" }), &[("token", "xoxb-1")])
}

/// A user group with the first of two loaded people in it.
async fn cast(stage: &Stage) -> (RemoteId, Vec<AccountRef>) {
    stage.control("POST", "/_sim/load", json!({ "accounts": 2, "groups": 0 })).await;
    let mut people = Vec::new();
    for n in 0..2 {
        let who = person(&format!("load000{n}@example.com"));
        let found = stage.connector.accounts().unwrap().find(&stage.cx(), &who).await.unwrap();
        people.push(found[0].account.reference().unwrap());
    }
    let groups = stage.connector.groups().unwrap();
    let GroupCreated::Done(group) = groups.create(&stage.cx(), &GroupWant::named("Platform")).await.unwrap() else {
        panic!("it is new")
    };
    let answer = groups.change_members(&stage.cx(), &group.id, &people[..1], &[]).await.remove(0);
    assert_eq!(answer.unwrap(), Membership::Present);
    stage.calls();
    (group.id, people)
}

async fn at_target(stage: &Stage) -> (Value, usize) {
    let group = stage.state().await["groups"][0].clone();
    (group["enabled"].clone(), group["members"].as_array().map_or(0, Vec::len))
}

async fn size(groups: &dyn Groups, stage: &Stage, id: &RemoteId) -> usize {
    groups.members(&stage.cx(), id, None).await.unwrap().items.len()
}

#[tokio::test]
async fn each_word_of_slacks_is_understood() {
    for (error, kind, retry, effect) in [
        ("invalid_auth", FaultKind::Credential, Retry::AfterOperator, Effect::None),
        ("account_inactive", FaultKind::Credential, Retry::AfterOperator, Effect::None),
        ("missing_scope", FaultKind::Permission, Retry::AfterOperator, Effect::None),
        ("paid_teams_only", FaultKind::Permission, Retry::AfterOperator, Effect::None),
        ("fatal_error", FaultKind::Unavailable, Retry::Soon, Effect::Unknown),
        ("invalid_name", FaultKind::Refused, Retry::Never, Effect::None),
    ] {
        let none = (200, vec![], json!({ "ok": true, "usergroups": [] }));
        let target = Played::new([none, (200, vec![], json!({ "ok": false, "error": error }))]);
        let connector = slack();
        let fault = connector.groups().unwrap().create(&Cx::new(&target, now()), &GroupWant::named("X")).await;
        let fault = fault.unwrap_err();
        assert_eq!((fault.kind, fault.retry, fault.effect), (kind, retry, effect), "{error}");
    }
}

#[tokio::test]
async fn a_rate_limit_is_a_429_and_ends_when_retry_after_says() {
    let body = json!({ "ok": false, "error": "ratelimited" });
    for (status, headers, seconds) in
        [(429, vec![("retry-after", "30".to_owned())], 30), (429, vec![], 60), (200, vec![], 60)]
    {
        let until = now() + SignedDuration::from_secs(seconds);
        assert_eq!(slack().throttled(&reply((status, headers, body.clone()))), Some(until));
    }
    assert_eq!(slack().throttled(&reply((200, vec![], json!({ "ok": true })))), None);
}

#[tokio::test]
async fn taking_the_last_member_out_disables_the_group_and_adding_brings_it_back() {
    let stage = Stage::new("slack", Limits::None, json!({}));
    let (id, people) = cast(&stage).await;
    let groups = stage.connector.groups().unwrap();
    let out = groups.change_members(&stage.cx(), &id, &[], &people[..1]).await.remove(0);
    assert_eq!(out.unwrap(), Membership::Absent);
    assert_eq!(stage.calls(), ["list user groups", "disable user group"]);
    assert_eq!(at_target(&stage).await, (json!(false), 0));
    // It is an empty group and not a removed one.
    assert_eq!(groups.get(&stage.cx(), &id).await.unwrap().unwrap().name, "Platform");
    assert_eq!(size(groups, &stage, &id).await, 0);
    // Who was in it last does not come back with it.
    let back = groups.change_members(&stage.cx(), &id, &people[1..], &[]).await.remove(0);
    assert_eq!(back.unwrap(), Membership::Present);
    assert_eq!(at_target(&stage).await, (json!(true), 1));
    let members = groups.members(&stage.cx(), &id, None).await.unwrap().items;
    let AccountRef::Account { id: wanted, .. } = &people[1] else { panic!("an account") };
    assert!(matches!(&members[0].account, AccountRef::Account { id, .. } if id == wanted));
}

#[tokio::test]
async fn a_removed_group_frees_its_name_also_when_it_was_empty() {
    for emptied in [false, true] {
        let stage = Stage::new("slack", Limits::None, json!({}));
        let (id, people) = cast(&stage).await;
        let groups = stage.connector.groups().unwrap();
        if emptied {
            groups.change_members(&stage.cx(), &id, &[], &people[..1]).await.remove(0).unwrap();
        }
        assert_eq!(groups.remove(&stage.cx(), &id).await.unwrap(), Removed::Done);
        assert_eq!(groups.get(&stage.cx(), &id).await.unwrap(), None);
        let there = stage.state().await["groups"][0].clone();
        assert_eq!(
            (&there["enabled"], there["name"].as_str()),
            (&json!(false), Some(&*format!("Platform (removed {id})")))
        );
        match groups.create(&stage.cx(), &GroupWant::named("Platform")).await.unwrap() {
            GroupCreated::Done(new) => assert_ne!(new.id, id),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_empty_group_is_renamed_and_stays_empty() {
    let stage = Stage::new("slack", Limits::None, json!({}));
    let (id, people) = cast(&stage).await;
    let groups = stage.connector.groups().unwrap();
    groups.change_members(&stage.cx(), &id, &[], &people[..1]).await.remove(0).unwrap();
    let mut change = GroupChange::default();
    change.name = Some("Engine".to_owned());
    groups.update(&stage.cx(), &id, &change).await.unwrap();
    assert_eq!(groups.get(&stage.cx(), &id).await.unwrap().unwrap().name, "Engine");
    assert_eq!(at_target(&stage).await, (json!(false), 0));
}

#[tokio::test]
async fn one_who_is_refused_keeps_nobody_out() {
    let stage = Stage::new("slack", Limits::None, json!({}));
    let (id, people) = cast(&stage).await;
    let gone = AccountRef::Account { id: RemoteId::new("U0NOBODY01"), login: None };
    let add = [gone, people[1].clone()];
    let groups = stage.connector.groups().unwrap();
    let answers = groups.change_members(&stage.cx(), &id, &add, &people[..1]).await;
    assert_eq!(answers[0].as_ref().unwrap_err().kind, FaultKind::Refused);
    assert_eq!(answers[1..], [Ok(Membership::Present), Ok(Membership::Absent)]);
    assert_eq!(at_target(&stage).await, (json!(true), 1));
}

#[tokio::test]
async fn many_changes_cost_one_call() {
    let stage = Stage::new("slack", Limits::None, json!({}));
    let (id, people) = cast(&stage).await;
    let groups = stage.connector.groups().unwrap();
    groups.change_members(&stage.cx(), &id, &people, &[]).await;
    assert_eq!(stage.calls(), ["list user groups", "set user group members"]);
    groups.change_members(&stage.cx(), &id, &people, &[]).await;
    assert_eq!(stage.calls(), ["list user groups"]);
}

#[tokio::test]
async fn people_are_found_and_never_made() {
    let stage = Stage::new("slack", Limits::None, json!({}));
    let (_, _) = cast(&stage).await;
    let fault = stage.create(&person("ada@corp.example")).await.unwrap_err();
    assert!(fault.message.contains("SCIM"), "{fault}");
    stage.set(json!({ "deactivate": "load0000@example.com" })).await;
    let accounts = stage.connector.accounts().unwrap();
    assert_eq!(accounts.find(&stage.cx(), &person("load0000@example.com")).await.unwrap(), []);
}

#[tokio::test]
async fn the_probe_names_what_is_amiss() {
    for (knobs, settings, amiss) in [
        (json!({ "plan": "free" }), json!({}), "user groups: read"),
        (json!({}), json!({ "team_id": "T0OTHER001" }), "workspace"),
        (json!({ "token": "revoked" }), json!({}), "credential"),
    ] {
        let stage = Stage::new("slack", Limits::None, settings);
        stage.set(knobs).await;
        let probe = stage.connector.probe(&stage.cx()).await.unwrap();
        let found: Vec<_> = probe.checks.iter().filter(|check| !check.ok).map(|check| check.name.as_str()).collect();
        assert_eq!(found, [amiss]);
    }
}
