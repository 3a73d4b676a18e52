//! Sentry: one id from the invitation on, roles that must not cost teams, invitations that end, and who may do what.

use connector_sdk::{
    AccountChange, Created, Evidence, Fault, FaultKind, Followed, GroupCreated, GroupWant, Membership, RemoteGroup,
    Removed, Retry,
};
use jiff::SignedDuration;
use serde_json::json;
use simulators::Limits;

use crate::played::{Stage, accepted, person};

async fn team(stage: &Stage, name: &str) -> RemoteGroup {
    let groups = stage.connector.groups().unwrap();
    match groups.create(&stage.cx(), &GroupWant::named(name)).await.unwrap() {
        GroupCreated::Done(group) => group,
        other => panic!("{other:?}"),
    }
}

fn invited(created: Result<Created, Fault>) -> connector_sdk::Account {
    match created {
        Ok(Created::Invited(account)) => account,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_invitation_is_in_teams_before_it_is_accepted_and_keeps_its_id() {
    let stage = Stage::new("sentry", Limits::None, json!({}));
    let groups = stage.connector.groups().unwrap();
    let backend = team(&stage, "Backend").await;
    assert_eq!(groups.members(&stage.cx(), &backend.id, None).await.unwrap().items, []);
    let ada = person("ada@corp.example");
    let invite = invited(stage.create(&ada).await);
    let at = invite.reference().unwrap();
    let added = groups.change_members(&stage.cx(), &backend.id, std::slice::from_ref(&at), &[]).await.remove(0);
    assert_eq!(added.unwrap(), Membership::Pending);
    assert!(groups.members(&stage.cx(), &backend.id, None).await.unwrap().items[0].pending);
    stage.control("POST", "/_sim/accept", json!({ "login": "somebody" })).await;
    let accounts = stage.connector.accounts().unwrap();
    let invite = invite.invite_id.unwrap();
    match accounts.follow(&stage.cx(), &invite, &ada).await.unwrap() {
        Followed::Accepted { account, evidence: Evidence::SameId } => {
            assert_eq!(account.remote_id.unwrap().as_str(), invite.as_str());
            assert_eq!(account.email.as_deref(), Some("somebody@elsewhere.example"));
        }
        other => panic!("{other:?}"),
    }
    assert!(!groups.members(&stage.cx(), &backend.id, None).await.unwrap().items[0].pending);
}

#[tokio::test]
async fn a_change_of_the_role_leaves_the_teams() {
    let stage = Stage::new("sentry", Limits::None, json!({}));
    let groups = stage.connector.groups().unwrap();
    let (backend, ops) = (team(&stage, "Backend").await, team(&stage, "Ops").await);
    let ada = accepted(&stage, "ada@corp.example").await;
    for group in [&backend, &ops] {
        groups.change_members(&stage.cx(), &group.id, std::slice::from_ref(&ada), &[]).await.remove(0).unwrap();
    }
    let mut change = AccountChange::default();
    change.role = Some("manager".to_owned());
    stage.connector.accounts().unwrap().update(&stage.cx(), &ada, &change).await.unwrap();
    let state = stage.state().await;
    assert_eq!(state["accounts"][0]["role"], "manager");
    for group in state["groups"].as_array().unwrap() {
        assert_eq!(group["members"].as_array().unwrap().len(), 1, "{group}");
    }
}

#[tokio::test]
async fn an_invitation_whose_time_is_over_makes_room_for_the_next() {
    let stage = Stage::new("sentry", Limits::None, json!({}));
    let ada = person("ada@corp.example");
    let first = invited(stage.create(&ada).await).invite_id.unwrap();
    stage.control("POST", "/_sim/clock", json!({ "advance_seconds": 31 * 86_400 })).await;
    let accounts = stage.connector.accounts().unwrap();
    assert!(matches!(accounts.follow(&stage.cx(), &first, &ada).await.unwrap(), Followed::Ended(_)));
    let second = invited(stage.create(&ada).await).invite_id.unwrap();
    assert_ne!(first, second);
    assert_eq!(stage.state().await["invitations"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_hundred_invitations_a_day_and_then_it_waits() {
    let stage = Stage::new("sentry", Limits::Real, json!({}));
    for n in 0..100 {
        invited(stage.create(&person(&format!("p{n}@corp.example"))).await);
        if n % 15 == 14 {
            stage.sim.clock.advance(SignedDuration::from_secs(1));
        }
    }
    stage.sim.clock.advance(SignedDuration::from_secs(1));
    let late = person("late@corp.example");
    match stage.create(&late).await.unwrap() {
        Created::Waiting { until: Some(_), .. } => {}
        other => panic!("{other:?}"),
    }
    stage.sim.clock.advance(SignedDuration::from_hours(25));
    invited(stage.create(&late).await);
}

#[tokio::test]
async fn a_request_for_a_team_is_no_membership() {
    let stage = Stage::new("sentry", Limits::None, json!({}));
    let backend = team(&stage, "Backend").await;
    let ada = accepted(&stage, "ada@corp.example").await;
    stage.set(json!({ "scopes": ["org:read", "member:read", "member:admin"] })).await;
    let groups = stage.connector.groups().unwrap();
    let fault = groups.change_members(&stage.cx(), &backend.id, &[ada], &[]).await.remove(0).unwrap_err();
    assert_eq!(fault.retry, Retry::AfterOperator);
    assert!(fault.message.contains("waits for an owner"), "{fault}");
    let probe = stage.connector.probe(&stage.cx()).await.unwrap();
    let amiss: Vec<_> = probe.checks.iter().filter(|check| !check.ok).map(|check| check.name.as_str()).collect();
    assert_eq!(amiss, ["teams: admin"]);
}

#[tokio::test]
async fn a_role_without_teams_is_told_as_that() {
    let stage = Stage::new("sentry", Limits::None, json!({ "default_role": "billing" }));
    let backend = team(&stage, "Backend").await;
    let ada = accepted(&stage, "ada@corp.example").await;
    let groups = stage.connector.groups().unwrap();
    let fault = groups.change_members(&stage.cx(), &backend.id, &[ada], &[]).await.remove(0).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    assert!(fault.message.contains("another role"), "{fault}");
}

#[tokio::test]
async fn what_sentrys_scim_keeps_is_left_to_it() {
    let stage = Stage::new("sentry", Limits::None, json!({}));
    let backend = team(&stage, "Backend").await;
    let ada = accepted(&stage, "ada@corp.example").await;
    stage.set(json!({ "managed": ["ada@corp.example", "Backend"] })).await;
    let accounts = stage.connector.accounts().unwrap();
    let fault = accounts.remove(&stage.cx(), &ada).await.unwrap_err();
    assert_eq!(fault.retry, Retry::AfterOperator);
    let groups = stage.connector.groups().unwrap();
    assert!(groups.get(&stage.cx(), &backend.id).await.unwrap().unwrap().protected);
    let fault = groups.change_members(&stage.cx(), &backend.id, &[ada], &[]).await.remove(0).unwrap_err();
    assert_eq!(fault.retry, Retry::AfterOperator);
}

#[tokio::test]
async fn a_team_is_renamed_for_people_too_and_a_clash_is_told() {
    let stage = Stage::new("sentry", Limits::None, json!({}));
    let groups = stage.connector.groups().unwrap();
    let (backend, _) = (team(&stage, "Backend").await, team(&stage, "Ops Team").await);
    let mut change = connector_sdk::GroupChange::default();
    change.name = Some("Core Services".to_owned());
    groups.update(&stage.cx(), &backend.id, &change).await.unwrap();
    let read = groups.get(&stage.cx(), &backend.id).await.unwrap().unwrap();
    assert_eq!((read.name.as_str(), read.slug.as_deref()), ("Core Services", Some("core-services")));
    change.name = Some("Ops-Team".to_owned());
    let fault = groups.update(&stage.cx(), &backend.id, &change).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NameTaken);
    assert_eq!(groups.remove(&stage.cx(), &backend.id).await.unwrap(), Removed::Done);
}

#[tokio::test]
async fn a_plan_that_lets_nobody_be_invited_waits_for_a_person() {
    let stage = Stage::new("sentry", Limits::None, json!({}));
    stage.set(json!({ "invites": false })).await;
    let created = stage.create(&person("ada@corp.example")).await.unwrap();
    assert!(matches!(created, Created::ActionRequired(ref need) if need.code == "plan"), "{created:?}");
}
