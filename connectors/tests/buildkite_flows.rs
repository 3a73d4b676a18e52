//! The Buildkite connector against its simulator, where the vendor's own rules bite.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use connector_sdk::kit::World;
use connector_sdk::{
    AccountRef, Created, Cx, Effect, FaultKind, Followed, GroupCreated, GroupWant, Membership, Person, Removed, Retry,
};
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulators::Limits;
use support::{Built, build};

fn organisation(limits: Limits, settings: Value) -> Built {
    build("buildkite", limits, &settings, false, |_| Vec::new())
}

impl Built {
    fn cx(&self) -> Cx<'_> {
        Cx::new(self.sim.as_ref(), self.sim.now())
    }

    async fn set(&self, knobs: Value) {
        self.sim.control("POST", "/_sim/set", knobs).await.unwrap();
    }

    async fn create(&self, who: &Person) -> Result<Created, connector_sdk::Fault> {
        self.connector.accounts().unwrap().create(&self.cx(), who).await
    }

    async fn calls(&self) -> Vec<String> {
        let calls = self.sim.control("GET", "/_sim/calls", Value::Null).await.unwrap();
        let calls = calls.as_array().unwrap().iter();
        calls.map(|call| format!("{} {}", call["method"].as_str().unwrap(), call["path"].as_str().unwrap())).collect()
    }
}

#[tokio::test]
async fn the_twenty_first_invitation_waits_and_goes_out_later() {
    let acme = organisation(Limits::Real, json!({}));
    for number in 0..20 {
        let who = acme.sim.person(&format!("person{number}")).await.unwrap();
        assert!(matches!(acme.create(&who).await, Ok(Created::Invited(_))));
        acme.sim.clock.advance(SignedDuration::from_secs(3));
    }
    let late = acme.sim.person("late").await.unwrap();
    match acme.create(&late).await {
        Ok(Created::Waiting { until: None, .. }) => {}
        other => panic!("{other:?}"),
    }
    let first = acme.sim.person("person0").await.unwrap();
    acme.sim.accept(&first, None).await.unwrap();
    assert!(matches!(acme.create(&late).await, Ok(Created::Invited(_))));
}

#[tokio::test]
async fn the_real_limit_is_heard_and_ends() {
    let acme = organisation(Limits::Real, json!({}));
    let groups = acme.connector.groups().unwrap();
    let until = loop {
        match groups.list(&acme.cx(), None).await {
            Ok(_) => assert!(acme.calls().await.len() < 100),
            Err(fault) => {
                assert_eq!(fault.kind, FaultKind::RateLimited);
                match fault.retry {
                    Retry::NotBefore(until) => break until,
                    other => panic!("{other:?}"),
                }
            }
        }
    };
    assert!(until > acme.sim.now());
    acme.sim.clock.advance(until.duration_since(acme.sim.now()));
    groups.list(&acme.cx(), None).await.unwrap();
}

#[tokio::test]
async fn teams_of_an_invitation_take_effect_with_its_acceptance() {
    let acme = organisation(Limits::None, json!({}));
    let groups = acme.connector.groups().unwrap();
    let team = match groups.create(&acme.cx(), &GroupWant::named("Platform")).await {
        Ok(GroupCreated::Done(team)) => team,
        other => panic!("{other:?}"),
    };
    let mut ada = acme.sim.person("ada").await.unwrap();
    ada.groups = vec![team.id.clone()];
    let invite = match acme.create(&ada).await {
        Ok(Created::Invited(account)) => account,
        other => panic!("{other:?}"),
    };
    assert!(groups.members(&acme.cx(), &team.id, None).await.unwrap().items.is_empty());
    // Accepted with an account of another address: the invitation still names it.
    acme.sim.accept(&ada, Some("lovelace")).await.unwrap();
    let accounts = acme.connector.accounts().unwrap();
    let id = invite.invite_id.clone().unwrap();
    let account = match accounts.follow(&acme.cx(), &id, &ada).await {
        Ok(Followed::Accepted { account, .. }) => account,
        other => panic!("{other:?}"),
    };
    assert_eq!(account.email.as_deref(), Some("lovelace@other.example"));
    let members = groups.members(&acme.cx(), &team.id, None).await.unwrap().items;
    let at = AccountRef::Account { id: account.remote_id.unwrap(), login: None };
    assert!(members.iter().any(|member| member.account == at), "{members:?}");
    // The old invitation is no way to remove the member, and says so.
    let fault = accounts.remove(&acme.cx(), &invite_ref(&invite)).await.unwrap_err();
    assert_eq!((fault.kind, fault.retry), (FaultKind::NotFound, Retry::Soon));
    assert_eq!(accounts.remove(&acme.cx(), &at).await, Ok(Removed::Done));
    let left = groups.change_members(&acme.cx(), &team.id, std::slice::from_ref(&at), &[]).await;
    assert!(matches!(left.as_slice(), [Err(fault)] if fault.kind == FaultKind::Refused), "{left:?}");
    let gone = groups.change_members(&acme.cx(), &team.id, &[], &[at]).await;
    assert_eq!(gone, [Ok(Membership::Absent)]);
}

fn invite_ref(account: &connector_sdk::Account) -> AccountRef {
    account.reference().unwrap()
}

#[tokio::test]
async fn what_the_organisation_demands_is_told_to_the_admin() {
    let cases = [
        (json!({ "sso": true }), json!({}), "sso_mode"),
        (json!({ "sso": true }), json!({ "sso_mode": "required" }), "invited"),
        (json!({ "users_limit": 1 }), json!({}), "seat"),
        (json!({}), json!({}), "invited"),
    ];
    for (knobs, settings, wanted) in cases {
        let acme = organisation(Limits::None, settings);
        acme.set(knobs).await;
        let ada = acme.sim.person("ada").await.unwrap();
        let said = match acme.create(&ada).await {
            Ok(Created::Invited(_)) => "invited".to_owned(),
            Ok(Created::ActionRequired(need)) => need.code,
            other => format!("{other:?}"),
        };
        assert_eq!(said, wanted);
    }
}

#[tokio::test]
async fn a_connection_lost_by_the_target_is_unknown_and_found_once() {
    let acme = organisation(Limits::None, json!({}));
    let ada = acme.sim.person("ada").await.unwrap();
    let faults =
        json!([{ "match": { "method": "POST", "path": "/invitations$" }, "times": 1, "do": { "drop": "after" } }]);
    acme.sim.control("POST", "/_sim/faults", faults).await.unwrap();
    let fault = acme.create(&ada).await.unwrap_err();
    assert_eq!(fault.effect, Effect::Unknown);
    let accounts = acme.connector.accounts().unwrap();
    assert_eq!(accounts.find(&acme.cx(), &ada).await.unwrap().len(), 1);
    assert!(matches!(acme.create(&ada).await, Ok(Created::AlreadyThere(_))));
}

#[tokio::test]
async fn the_happy_path_of_an_invitation_is_one_call() {
    let acme = organisation(Limits::None, json!({}));
    let ada = acme.sim.person("ada").await.unwrap();
    acme.create(&ada).await.unwrap();
    assert_eq!(acme.calls().await, ["POST /v2/organizations/acme/invitations"]);
}

#[tokio::test]
async fn a_probe_names_what_is_missing() {
    let acme = organisation(Limits::None, json!({}));
    acme.set(json!({ "scopes": ["read_user", "read_organizations", "read_teams", "write_teams", "graphql"] })).await;
    let probe = acme.connector.probe(&acme.cx()).await.unwrap();
    let missing: Vec<&str> = probe.checks.iter().filter(|check| !check.ok).map(|check| check.name.as_str()).collect();
    assert_eq!(
        missing,
        [
            "scope write_organizations",
            "scope read_organization_invitations",
            "scope write_organization_invitations",
            "invitations: read",
        ]
    );
    let other = organisation(Limits::None, json!({ "org": "elsewhere" }));
    let probe = other.connector.probe(&other.cx()).await.unwrap();
    assert!(probe.checks.iter().any(|check| check.name == "organization" && !check.ok));
    // Nothing of another organisation looks gone.
    let at =
        AccountRef::Account { id: connector_sdk::RemoteId::new("0190aaaa-0000-4000-8000-000000000001"), login: None };
    let accounts = other.connector.accounts().unwrap();
    assert_eq!(accounts.remove(&other.cx(), &at).await.unwrap_err().kind, FaultKind::Permission);
}
