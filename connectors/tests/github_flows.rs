//! The GitHub connector against the simulated GitHub, in process: whole stories, and what is true
//! at the target after them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails fails its test")]

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use connector_sdk::{
    AccountChange, AccountRef, Call, Connector, Created, Cx, Effect, Ended, Evidence, Fault, FaultKind, Followed,
    GroupChange, GroupCreated, GroupUpdated, GroupWant, InviteId, Membership, Page, PageToken, Person, RemoteId,
    Removed, Reply, Retry, Secrets, Transport, Updated,
};
use http::{Method, Request};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::{Value, json};
use simulators::{Clock, Limits, Simulator};

const BASE: &str = "http://127.0.0.1:4242";

/// A simulated GitHub, a connector built from its offer, and the way between the two.
struct Stage {
    sim: Simulator,
    clock: Clock,
    connector: Arc<dyn Connector>,
}

struct Wire(Simulator, Clock);

#[async_trait]
impl Transport for Wire {
    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        let mut request = Request::builder().method(call.method).uri(call.url.as_str());
        *request.headers_mut().unwrap() = call.headers;
        let answer = self
            .0
            .handle(request.body(call.body).unwrap())
            .await
            .map_err(|_| Fault::new(FaultKind::Unavailable, "connection lost").effect(Effect::Unknown))?;
        let (parts, body) = answer.into_parts();
        Ok(Reply::new(parts.status, parts.headers, body, self.1.now()))
    }
}

impl Stage {
    /// With these settings on top of the offered ones.
    async fn new(extra: Value) -> Self {
        Self::with(extra, Limits::None, json!({})).await
    }

    async fn with(extra: Value, limits: Limits, knobs: Value) -> Self {
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let target = simulators::target("github", limits).unwrap();
        let sim = Simulator::new(target, limits, clock.clone());
        sim_call(&sim, "POST", "/_sim/set", knobs).await;
        let offer = sim.offer(BASE);
        let mut settings = offer["settings"].clone();
        for (key, value) in extra.as_object().unwrap() {
            settings[key] = value.clone();
        }
        let secrets = offer["secrets"].as_object().unwrap();
        let secrets = Secrets::new(secrets.iter().map(|(name, value)| {
            let value = SecretString::from(value.as_str().unwrap().to_owned());
            (name.clone(), value)
        }));
        let entries = connectors::builtin();
        let entry = entries.iter().find(|entry| entry.name == "github").unwrap();
        let connector = entry.build(&settings, &secrets).unwrap();
        Self { sim, clock, connector }
    }

    fn wire(&self) -> Wire {
        Wire(self.sim.clone(), self.clock.clone())
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn sim(&self, method: &str, path: &str, body: Value) -> Value {
        sim_call(&self.sim, method, path, body).await
    }

    async fn set(&self, what: Value) {
        self.sim("POST", "/_sim/set", what).await;
    }

    async fn state(&self) -> Value {
        self.sim("GET", "/_sim/state", Value::Null).await
    }

    /// The target's own calls so far, as `METHOD path`.
    async fn calls(&self) -> Vec<String> {
        let calls = self.sim("GET", "/_sim/calls", Value::Null).await;
        let line = |call: &Value| format!("{} {}", call["method"].as_str().unwrap(), call["path"].as_str().unwrap());
        calls.as_array().unwrap().iter().map(line).collect()
    }

    async fn create(&self, who: &Person) -> Result<Created, Fault> {
        let wire = self.wire();
        self.connector.accounts().unwrap().create(&Cx::new(&wire, self.now()), who).await
    }

    async fn follow(&self, id: &InviteId, who: &Person) -> Followed {
        let wire = self.wire();
        self.connector.accounts().unwrap().follow(&Cx::new(&wire, self.now()), id, who).await.unwrap()
    }

    async fn remove(&self, at: &AccountRef) -> Result<Removed, Fault> {
        let wire = self.wire();
        self.connector.accounts().unwrap().remove(&Cx::new(&wire, self.now()), at).await
    }

    async fn team(&self, name: &str) -> RemoteId {
        let wire = self.wire();
        let cx = Cx::new(&wire, self.now());
        let groups = self.connector.groups().unwrap();
        let created = groups.create(&cx, &GroupWant::named(name)).await.unwrap();
        let GroupCreated::Done(group) = created else { panic!("{created:?}") };
        groups.tidy(&cx, &group.id).await.unwrap();
        groups.tidy(&cx, &group.id).await.unwrap();
        group.id
    }

    async fn change(
        &self,
        team: &RemoteId,
        add: &[AccountRef],
        remove: &[AccountRef],
    ) -> Vec<Result<Membership, Fault>> {
        let wire = self.wire();
        self.connector.groups().unwrap().change_members(&Cx::new(&wire, self.now()), team, add, remove).await
    }
}

async fn sim_call(sim: &Simulator, method: &str, path: &str, body: Value) -> Value {
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .uri(format!("{BASE}{path}"))
        .header("content-type", "application/json")
        .body(body)
        .unwrap();
    let answer = sim.handle(request).await.unwrap();
    assert!(answer.status().is_success(), "{path}: {:?}", answer.body());
    serde_json::from_slice(answer.body()).unwrap_or(Value::Null)
}

fn ada() -> Person {
    let mut person = Person::named("ada@corp.example");
    person.email = Some("ada@corp.example".to_owned());
    person
}

fn invited(created: Result<Created, Fault>) -> InviteId {
    match created {
        Ok(Created::Invited(account)) => account.invite_id.unwrap(),
        other => panic!("{other:?}"),
    }
}

fn names(list: &Value, field: &str) -> Vec<String> {
    let text = |one: &Value| one[field].as_str().unwrap_or_default().to_owned();
    list.as_array().unwrap().iter().map(text).collect()
}

#[tokio::test]
async fn an_email_invitation_becomes_the_account_that_the_source_names() {
    async fn check(identity: &str, evidence: Option<Evidence>) {
        let stage = Stage::new(json!({ "identity": identity })).await;
        let team = stage.team("Platform").await;
        let mut who = ada();
        who.groups = vec![team];
        let id = invited(stage.create(&who).await);
        assert!(matches!(stage.follow(&id, &who).await, Followed::Pending(_)));
        // Another login than the address suggests.
        stage.sim("POST", "/_sim/accept", json!({"email": "ada@corp.example", "login": "octo-ada"})).await;
        match (stage.follow(&id, &who).await, evidence) {
            (Followed::Accepted { account, evidence }, Some(wanted)) => {
                assert_eq!(evidence, wanted, "{identity}");
                assert_eq!(account.login.as_deref(), Some("octo-ada"));
                assert!(!account.protected);
                let at = account.reference().unwrap();
                assert_eq!(stage.remove(&at).await, Ok(Removed::Done));
                assert_eq!(stage.remove(&at).await, Ok(Removed::AlreadyGone));
                assert_eq!(stage.state().await["accounts"], json!([]));
            }
            (Followed::Unclear(need), None) => assert_eq!(need.code, "identity"),
            other => panic!("{identity}: {other:?}"),
        }
    }
    check("saml", Some(Evidence::SamlIdentity)).await;
    check("verified_domain", Some(Evidence::VerifiedEmail)).await;
    check("manual", None).await;
}

#[tokio::test]
async fn inviting_twice_finds_the_first_invitation_and_the_member() {
    let stage = Stage::new(json!({})).await;
    let id = invited(stage.create(&ada()).await);
    let again = stage.create(&ada()).await;
    assert!(
        matches!(&again, Ok(Created::AlreadyThere(found)) if found.account.invite_id.as_ref() == Some(&id)),
        "{again:?}"
    );
    assert_eq!(names(&stage.state().await["invitations"], "email"), ["ada@corp.example"]);
    stage.sim("POST", "/_sim/accept", json!({})).await;
    let member = stage.create(&ada()).await;
    assert!(
        matches!(&member, Ok(Created::AlreadyThere(found)) if found.account.remote_id.is_some() && found.evidence == Evidence::SamlIdentity),
        "{member:?}"
    );
    assert_eq!(stage.state().await["accounts"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_lost_answer_to_an_invitation_is_found_again() {
    let stage = Stage::new(json!({})).await;
    let fault = json!([{"match": {"method": "POST", "path": "/invitations"}, "times": 1, "do": {"drop": "after"}}]);
    stage.sim("POST", "/_sim/faults", fault).await;
    assert_eq!(stage.create(&ada()).await.unwrap_err().effect, Effect::Unknown);
    let wire = stage.wire();
    let found = stage.connector.accounts().unwrap().find(&Cx::new(&wire, stage.now()), &ada()).await.unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].account.invite_id.is_some());
}

#[tokio::test]
async fn an_invitation_expires_or_is_taken_back() {
    let stage = Stage::new(json!({})).await;
    let id = invited(stage.create(&ada()).await);
    let at = AccountRef::Invite { id: id.clone(), email: None, login: None };
    assert_eq!(stage.remove(&at).await, Ok(Removed::Done));
    assert_eq!(stage.remove(&at).await, Ok(Removed::AlreadyGone));
    let id = invited(stage.create(&ada()).await);
    stage.clock.advance(SignedDuration::from_hours(7 * 24 + 1));
    assert_eq!(stage.follow(&id, &ada()).await, Followed::Ended(Ended::Expired));
}

#[tokio::test]
async fn taking_an_accepted_invitation_back_is_not_reported_as_a_removal() {
    let stage = Stage::new(json!({})).await;
    let id = invited(stage.create(&ada()).await);
    stage.sim("POST", "/_sim/accept", json!({})).await;
    let at = AccountRef::Invite { id, email: ada().email, login: None };
    let fault = stage.remove(&at).await.unwrap_err();
    assert_eq!((fault.kind, fault.retry), (FaultKind::NotFound, Retry::Soon));
    assert_eq!(stage.state().await["accounts"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_person_invited_by_login_can_be_put_into_a_team_at_once() {
    let stage = Stage::new(json!({"identity": "handle"})).await;
    let team = stage.team("Platform").await;
    let who = Person::named("octo-ada");
    let created = stage.create(&who).await.unwrap();
    let Created::Invited(account) = created else { panic!("{created:?}") };
    let pending = account.reference().unwrap();
    assert_eq!(stage.change(&team, std::slice::from_ref(&pending), &[]).await, [Ok(Membership::Pending)]);
    stage.sim("POST", "/_sim/accept", json!({})).await;
    let followed = stage.follow(account.invite_id.as_ref().unwrap(), &who).await;
    let Followed::Accepted { account, evidence: Evidence::Login } = followed else { panic!("{followed:?}") };
    let member = account.reference().unwrap();
    assert_eq!(stage.change(&team, std::slice::from_ref(&member), &[]).await, [Ok(Membership::Present)]);
    let state = stage.state().await;
    assert_eq!(names(&state["groups"][0]["members"], "login"), ["octo-ada"]);
    for _ in 0..2 {
        assert_eq!(stage.change(&team, &[], std::slice::from_ref(&member)).await, [Ok(Membership::Absent)]);
    }
}

#[tokio::test]
async fn a_renamed_account_is_found_by_its_number_and_a_taken_login_is_left_alone() {
    let stage = Stage::new(json!({})).await;
    stage.set(json!({"members": [{"login": "ada", "email": "ada@corp.example"}]})).await;
    let id = stage.state().await["accounts"][0]["id"].as_str().unwrap().to_owned();
    let at = AccountRef::Account { id: RemoteId::new(id), login: Some("ada".to_owned()) };
    stage.set(json!({"rename": {"from": "ada", "to": "ada-l"}})).await;
    stage.set(json!({"members": [{"login": "ada"}]})).await;
    let wire = stage.wire();
    let cx = Cx::new(&wire, stage.now());
    let accounts = stage.connector.accounts().unwrap();
    let now = accounts.get(&cx, &at).await.unwrap().unwrap();
    assert_eq!(now.login.as_deref(), Some("ada-l"));
    let mut change = AccountChange::default();
    change.role = Some("admin".to_owned());
    assert!(
        matches!(accounts.update(&cx, &at, &change).await, Ok(Updated::Done(account)) if account.role.as_deref() == Some("admin"))
    );
    assert_eq!(stage.remove(&at).await, Ok(Removed::Done));
    assert_eq!(names(&stage.state().await["accounts"], "login"), ["ada"]);
}

#[tokio::test]
async fn the_credentials_own_account_is_protected() {
    let stage = Stage::new(json!({})).await;
    let wire = stage.wire();
    let cx = Cx::new(&wire, stage.now());
    let page = stage.connector.accounts().unwrap().list(&cx, None).await.unwrap();
    assert_eq!(page.items.len(), 1);
    assert!(page.items[0].protected);
    let fault = stage.remove(&page.items[0].reference().unwrap()).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Protected);
}

async fn all<T, F>(mut page: impl FnMut(Option<PageToken>) -> F) -> Vec<T>
where
    F: Future<Output = Result<Page<T>, Fault>>,
{
    let mut items = Vec::new();
    let mut next = None;
    loop {
        let got = page(next).await.unwrap();
        assert!(got.complete);
        items.extend(got.items);
        next = got.next;
        if next.is_none() {
            return items;
        }
    }
}

#[tokio::test]
async fn listings_hold_everyone_with_role_and_address() {
    for identity in ["saml", "verified_domain", "handle"] {
        let stage = Stage::new(json!({ "identity": identity })).await;
        stage.sim("POST", "/_sim/load", json!({"accounts": 250, "groups": 120})).await;
        stage
            .set(
                json!({"members": [{"login": "boss", "role": "admin"}, {"login": "zoe", "email": "zoe@corp.example"}]}),
            )
            .await;
        let wire = stage.wire();
        let cx = Cx::new(&wire, stage.now());
        let accounts = stage.connector.accounts().unwrap();
        let people = all(|page| async move { accounts.list(&cx, page.as_ref()).await }).await;
        assert_eq!(people.len(), 253, "{identity}");
        let owners = people.iter().filter(|one| one.role.as_deref() == Some("admin"));
        assert_eq!(owners.count(), 2, "{identity}");
        assert_eq!(people.iter().filter(|one| one.protected).count(), 1, "{identity}");
        let load = people.iter().find(|one| one.login.as_deref() == Some("load0007")).unwrap();
        let email = (identity == "verified_domain").then_some("load0007@example.com");
        if identity != "saml" {
            assert_eq!(load.email.as_deref(), email, "{identity}");
        }
        assert_eq!(load.email_verified, email.is_some(), "{identity}");
        let zoe = people.iter().find(|one| one.login.as_deref() == Some("zoe"));
        let shown = (identity != "handle").then_some("zoe@corp.example");
        assert_eq!(zoe.unwrap().email.as_deref(), shown, "{identity}");
        let calls = stage.calls().await.len();
        assert!(calls <= 3 + 2 * 3, "{identity}: {calls} calls");
        let groups = stage.connector.groups().unwrap();
        let teams = all(|page| async move { groups.list(&cx, page.as_ref()).await }).await;
        assert_eq!(teams.len(), 120);
    }
}

#[tokio::test]
async fn a_team_is_made_found_renamed_and_deleted() {
    let stage = Stage::new(json!({})).await;
    let id = stage.team("Platform Eng").await;
    assert_eq!(stage.state().await["groups"][0]["members"], json!([]), "the credential left");
    let wire = stage.wire();
    let cx = Cx::new(&wire, stage.now());
    let groups = stage.connector.groups().unwrap();
    let again = groups.create(&cx, &GroupWant::named("platform eng")).await;
    assert!(matches!(again, Ok(GroupCreated::AlreadyThere(group)) if group.id == id));
    let clash = groups.create(&cx, &GroupWant::named("Platform-Eng")).await.unwrap_err();
    assert_eq!(clash.kind, FaultKind::NameTaken);
    let mut change = GroupChange::default();
    change.name = Some("Plattform".to_owned());
    for _ in 0..2 {
        let got = groups.update(&cx, &id, &change).await;
        assert!(matches!(got, Ok(GroupUpdated::Done(group)) if group.id == id && group.name == "Plattform"));
    }
    assert!(groups.find(&cx, "Platform Eng").await.unwrap().is_empty());
    assert_eq!(groups.find(&cx, "plattform").await.unwrap().len(), 1);
    assert_eq!(groups.remove(&cx, &id).await, Ok(Removed::Done));
    assert_eq!(groups.remove(&cx, &id).await, Ok(Removed::AlreadyGone));
    assert_eq!(groups.get(&cx, &id).await, Ok(None));
    assert_eq!(groups.update(&cx, &id, &change).await, Ok(GroupUpdated::AlreadyGone));
    assert_eq!(groups.members(&cx, &id, None).await.unwrap_err().kind, FaultKind::NotFound);
    let nobody = AccountRef::Account { id: RemoteId::new("999999"), login: None };
    let out = stage.change(&id, &[], &[nobody]).await;
    assert!(matches!(&out[..], [Err(fault)] if fault.kind == FaultKind::NotFound));
}

#[tokio::test]
async fn an_app_makes_its_own_tokens() {
    let stage = Stage::with(json!({}), Limits::None, json!({"auth": "app"})).await;
    assert!(!stage.connector.traits().tidy_created_groups);
    let wire = stage.wire();
    let probe = stage.connector.probe(&Cx::new(&wire, stage.now())).await.unwrap();
    assert!(probe.ok(), "{probe:?}");
    invited(stage.create(&ada()).await);
    let minted = |calls: Vec<String>| calls.iter().filter(|call| call.contains("access_tokens")).count();
    assert_eq!(minted(stage.calls().await), 1, "one token serves many calls");
    stage.clock.advance(SignedDuration::from_mins(61));
    let mut bob = Person::named("bob@corp.example");
    bob.email = Some(bob.user_name.clone());
    invited(stage.create(&bob).await);
    assert_eq!(minted(stage.calls().await), 2);
    // A token that dies early is renewed within the call; one that is dead when new is a fault.
    let dead = |times: u32| json!([{"match": {"path": "/orgs/acme/invitations"}, "times": times, "do": {"status": 401, "body": {"message": "Bad credentials"}}}]);
    stage.sim("POST", "/_sim/faults", dead(1)).await;
    let got = stage.create(&bob).await;
    assert!(matches!(got, Ok(Created::AlreadyThere(_))), "{got:?}");
    assert_eq!(minted(stage.calls().await), 3);
    stage.sim("POST", "/_sim/faults", dead(2)).await;
    assert_eq!(stage.create(&bob).await.unwrap_err().kind, FaultKind::Credential);
    stage.set(json!({"installation": "suspended"})).await;
    let fault = stage.create(&bob).await.unwrap_err();
    assert_eq!((fault.kind, fault.retry, fault.effect), (FaultKind::Credential, Retry::AfterOperator, Effect::None));
}

#[tokio::test]
async fn trouble_with_the_credential_is_told_apart() {
    async fn check(knobs: Value, kind: FaultKind, bad: &[&str]) {
        let stage = Stage::with(json!({}), Limits::None, knobs.clone()).await;
        assert_eq!(stage.create(&ada()).await.unwrap_err().kind, kind, "{knobs}");
        let wire = stage.wire();
        let probe = stage.connector.probe(&Cx::new(&wire, stage.now())).await.unwrap();
        let got: Vec<&str> = probe.checks.iter().filter(|c| !c.ok).map(|c| c.name.as_str()).collect();
        for name in bad {
            assert!(got.contains(name), "{knobs}: {probe:?}");
        }
    }
    check(json!({"token": "revoked"}), FaultKind::Credential, &["credential"]).await;
    check(json!({"sso": "required"}), FaultKind::Credential, &["organisation"]).await;
    check(json!({"scopes": ["read:org"]}), FaultKind::Permission, &["scopes"]).await;
    check(json!({"caller": "member"}), FaultKind::Permission, &["owner"]).await;
    let stage = Stage::with(json!({}), Limits::None, json!({"saml": false})).await;
    let wire = stage.wire();
    let probe = stage.connector.probe(&Cx::new(&wire, stage.now())).await.unwrap();
    assert!(!probe.ok());
    let stage = Stage::with(json!({}), Limits::None, json!({"sso": "partial"})).await;
    let page = stage.connector.accounts().unwrap().list(&Cx::new(&wire, stage.now()), None).await.unwrap();
    assert!(page.complete, "another stage's wire has no single sign-on");
    let wire = stage.wire();
    let page = stage.connector.accounts().unwrap().list(&Cx::new(&wire, stage.now()), None).await.unwrap();
    assert!(!page.complete);
}

#[tokio::test]
async fn seats_and_the_real_limits_hold() {
    let stage = Stage::with(json!({}), Limits::None, json!({"seats": 1})).await;
    let got = stage.create(&ada()).await;
    assert!(matches!(&got, Ok(Created::ActionRequired(need)) if need.code == "seat"), "{got:?}");
    // Without pacing the vendor's limits strike; each strike is a wait, and nothing else.
    let stage = Stage::with(json!({"pace": "documented"}), Limits::Real, json!({})).await;
    let mut waited = 0;
    for n in 0..100 {
        let mut who = Person::named(format!("p{n}@corp.example"));
        who.email = Some(who.user_name.clone());
        match stage.create(&who).await {
            Ok(Created::Invited(_)) => {}
            Err(fault) => {
                assert_eq!(fault.kind, FaultKind::RateLimited);
                assert!(matches!(fault.retry, Retry::NotBefore(at) if at > stage.now()));
                waited += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(waited > 0);
}
