//! What is peculiar to targets that invite by a manifest, against their simulators: HCP Terraform and Cloudflare.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use connector_sdk::kit::World;
use connector_sdk::{
    AccountRef, Accounts, Created, Cx, Fault, FaultKind, Followed, GroupCreated, GroupWant, Membership, Person,
    RemoteId, Retry,
};
use contract::Built;
use serde_json::{Value, json};
use simulators::Limits;

fn built(target: &str, settings: &Value, knobs: &Value) -> Built {
    contract::build_with(target, Limits::None, settings, false, |_| Vec::new(), knobs).unwrap()
}

fn cx(built: &Built) -> Cx<'_> {
    Cx::new(built.sim.as_ref(), built.sim.now())
}

fn people(built: &Built) -> &dyn Accounts {
    built.connector.accounts().unwrap()
}

async fn ada(built: &Built) -> Person {
    built.sim.person("ada").await.unwrap()
}

async fn create(built: &Built) -> Result<Created, Fault> {
    people(built).create(&cx(built), &ada(built).await).await
}

async fn state(built: &Built) -> Value {
    built.sim.control("GET", "/_sim/state", Value::Null).await.unwrap()
}

#[tokio::test]
async fn what_keeps_an_invitation_from_being_sent_waits_for_somebody() {
    for (target, settings, knobs, code) in [
        ("terraform", json!({}), json!({ "seats": 0 }), "seat"),
        ("terraform", json!({ "team": null }), json!({}), "team"),
        ("cloudflare", json!({ "invite": "accepted" }), json!({}), "plan"),
    ] {
        let built = built(target, &settings, &knobs);
        let answer = create(&built).await;
        assert!(matches!(&answer, Ok(Created::ActionRequired(need)) if need.code == code), "{target}: {answer:?}");
        assert_eq!(state(&built).await["invitations"], json!([]), "{target}");
    }
}

#[tokio::test]
async fn an_invitation_names_the_teams_of_the_person_each_once() {
    let built = built("terraform", &json!({}), &json!({}));
    let groups = built.connector.groups().unwrap();
    let GroupCreated::Done(group) = groups.create(&cx(&built), &GroupWant::named("R&D (EU)")).await.unwrap() else {
        unreachable!("a new group")
    };
    let mut who = ada(&built).await;
    who.groups = vec![group.id.clone(), built_team(&built)];
    let Created::Invited(invited) = people(&built).create(&cx(&built), &who).await.unwrap() else {
        unreachable!("a new person")
    };
    let state = state(&built).await;
    assert_eq!(state["groups"][0]["name"], "R_x26_D___x28_EU_x29_");
    assert_eq!(state["groups"][0]["members"][0]["email"], "ada@kit.example");
    let listed = groups.members(&cx(&built), &group.id, None).await.unwrap().items;
    assert!(listed[0].pending, "{listed:?}");
    // Further teams wait until the person is a member.
    let at = AccountRef::Invite { id: invited.invite_id.unwrap(), email: None, login: None };
    let added = groups.change_members(&cx(&built), &group.id, std::slice::from_ref(&at), &[]).await.remove(0);
    assert_eq!(added.unwrap_err().kind, FaultKind::Refused);
    let left = groups.change_members(&cx(&built), &group.id, &[], &[at]).await.remove(0);
    assert_eq!(left, Ok(Membership::Absent));
}

/// The id of the team that the simulator offers for everybody.
fn built_team(built: &Built) -> connector_sdk::RemoteId {
    let offer = built.sim.simulator.offer(contract::BASE);
    connector_sdk::RemoteId::new(offer["settings"]["team"].as_str().unwrap())
}

#[tokio::test]
async fn a_plan_without_teams_is_told_by_the_probe() {
    let built = built("terraform", &json!({}), &json!({ "free": true }));
    let probe = built.connector.probe(&cx(&built)).await.unwrap();
    let wrong: Vec<&str> = probe.checks.iter().filter(|check| !check.ok).map(|check| check.name.as_str()).collect();
    assert_eq!(wrong, ["manage teams"]);
    assert_eq!(probe.identity.as_deref(), Some("org-SimulatedAcme0001"));
}

#[tokio::test]
async fn who_rejected_an_invitation_can_be_invited_again() {
    let built = built("cloudflare", &json!({}), &json!({}));
    let Created::Invited(first) = create(&built).await.unwrap() else { unreachable!("a new person") };
    built.sim.control("POST", "/_sim/set", json!({ "rejected": "ada@kit.example" })).await.unwrap();
    let id = first.invite_id.clone().unwrap();
    let followed = people(&built).follow(&cx(&built), &id, &ada(&built).await).await.unwrap();
    assert!(matches!(followed, Followed::Ended(_)), "{followed:?}");
    let Created::Invited(second) = create(&built).await.unwrap() else { unreachable!("invited again") };
    assert_ne!(second.invite_id, first.invite_id);
    assert_eq!(state(&built).await["invitations"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn who_is_added_directly_is_a_member_at_once() {
    let built = built("cloudflare", &json!({ "invite": "accepted" }), &json!({ "direct_add": true }));
    assert!(matches!(create(&built).await.unwrap(), Created::Done(_)));
    assert_eq!(state(&built).await["accounts"][0]["email"], "ada@kit.example");
}

#[tokio::test]
async fn a_bad_token_is_told_from_a_missing_permission() {
    for (knobs, settings, kind) in [
        (json!({ "token": "revoked" }), json!({}), FaultKind::Credential),
        (json!({ "token": "garbled" }), json!({}), FaultKind::Credential),
        (json!({}), json!({ "account": "01a7362d577a6c3019a474fd6f485800" }), FaultKind::Permission),
    ] {
        let built = built("cloudflare", &settings, &knobs);
        let fault = people(&built).list(&cx(&built), None).await.unwrap_err();
        assert_eq!((fault.kind, fault.retry), (kind, Retry::AfterOperator), "{knobs}");
    }
}

/// What a second's worth of calls leaves, as answers tell it.
#[tokio::test]
async fn what_is_left_is_read_of_every_answer() {
    for (target, bucket, limit) in [("terraform", "api", 30), ("cloudflare", "api", 1200)] {
        let built = contract::build(target, Limits::Real, &json!({}), false, |_| Vec::new()).unwrap();
        let heard = Heard(&built, std::sync::Mutex::new(Vec::new()));
        people(&built).list(&Cx::new(&heard, built.sim.now()), None).await.unwrap();
        let readings = heard.1.into_inner().unwrap();
        assert_eq!(readings[0].bucket, bucket, "{target}");
        assert_eq!(readings[0].remaining, limit - 1, "{target}: {readings:?}");
    }
}

/// A transport that keeps what the connector reads of each answer.
struct Heard<'a>(&'a Built, std::sync::Mutex<Vec<connector_sdk::Reading>>);

#[async_trait::async_trait]
impl connector_sdk::Transport for Heard<'_> {
    async fn send(&self, call: connector_sdk::Call) -> Result<connector_sdk::Reply, Fault> {
        let reply = self.0.sim.send(call).await?;
        self.1.lock().unwrap().extend(self.0.connector.read_limits(&reply));
        Ok(reply)
    }
}

#[tokio::test]
async fn a_token_that_may_change_nothing_removed_everybody_on_paper() {
    let built = built("terraform", &json!({}), &json!({}));
    built.sim.control("POST", "/_sim/load", json!({ "accounts": 1, "groups": 1 })).await.unwrap();
    let groups = built.connector.groups().unwrap();
    let before = state(&built).await;
    let id = |list: &str| RemoteId::new(before[list][0]["id"].as_str().unwrap());
    let (group, at) = (id("groups"), AccountRef::Account { id: id("accounts"), login: None });
    let one = std::slice::from_ref(&at);
    assert_eq!(groups.change_members(&cx(&built), &group, one, &[]).await, [Ok(Membership::Present)]);
    built.sim.control("POST", "/_sim/set", json!({ "read_only": true })).await.unwrap();
    let answers = [
        people(&built).remove(&cx(&built), &at).await.map(|_| ()),
        groups.change_members(&cx(&built), &group, &[], one).await.remove(0).map(|_| ()),
        groups.change_members(&cx(&built), &group, one, &[]).await.remove(0).map(|_| ()),
        groups.remove(&cx(&built), &group).await.map(|_| ()),
    ];
    for answer in answers {
        assert_eq!(answer.unwrap_err().kind, FaultKind::Permission);
    }
}

#[tokio::test]
async fn the_team_of_the_owners_could_be_taken_over_by_a_pushed_group_of_its_name() {
    let built = built("terraform", &json!({}), &json!({}));
    let found = built.connector.groups().unwrap().find(&cx(&built), "owners").await.unwrap();
    assert!(found.iter().all(|group| group.protected) && found.len() == 1, "{found:?}");
}
