//! A life of people and groups at a simulated target, in this process.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use connector_sdk::{
    Account, AccountChange, AccountRef, Accounts, Call, Connector, Created, Cx, Effect, Fault, FaultKind, GroupChange,
    GroupCreated, GroupWant, Groups, PageToken, Person, RemoteId, Reply, Secrets, Suspend, Transport,
};
use http::{Method, Request};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::{Value, json};
use simulators::{Clock, Limits, Simulator};
use tests::Recorder;
use url::Url;

/// Where the simulators believe they are.
pub(crate) const BASE: &str = "http://target.test";

/// A simulator in this process, and the way to it.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) sim: Simulator,
    pub(crate) clock: Clock,
    /// What passes between two calls. Two seconds keep the pace that vendors ask for.
    pub(crate) step: SignedDuration,
}

impl Target {
    pub(crate) fn new(name: &str, limits: Limits) -> Self {
        let start: Timestamp = "2026-01-05T08:00:00Z".parse().expect("it is a time");
        let clock = Clock::manual(start);
        let target = simulators::target(name, limits).unwrap_or_else(|| panic!("there is no simulated {name}"));
        Self { sim: Simulator::new(target, limits, clock.clone()), clock, step: SignedDuration::from_secs(2) }
    }

    async fn call(&self, request: Request<Bytes>) -> (u16, Value) {
        let answer = self.sim.handle(request).await.unwrap_or_else(|error| panic!("{error}"));
        let body = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
        (answer.status().as_u16(), body)
    }

    /// One call of the control API.
    pub(crate) async fn control(&self, path: &str, body: Value) {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{BASE}/_sim/{path}"))
            .header("content-type", "application/json")
            .body(Bytes::from(body.to_string()))
            .expect("it is a request");
        let (status, answer) = self.call(request).await;
        assert!(status < 300, "_sim/{path}: {status} {answer}");
    }
}

#[async_trait]
impl Transport for Target {
    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        self.clock.advance(self.step);
        let mut request = Request::builder().method(call.method).uri(call.url.as_str());
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let authority = call.url.authority().to_owned();
        let request = request
            .header("host", authority)
            .header("user-agent", "scimgate-tests")
            .body(call.body)
            .map_err(|error| Fault::new(FaultKind::NotSent, "No request.").context(error.to_string()))?;
        match self.sim.handle(request).await {
            Ok(answer) => {
                let (parts, body) = answer.into_parts();
                Ok(Reply::new(parts.status, parts.headers, body, self.clock.now()))
            }
            Err(dropped) => Err(Fault::new(FaultKind::Unavailable, "The target closed the connection.")
                .effect(Effect::Unknown)
                .context(dropped.to_string())),
        }
    }
}

/// What an offer of the simulator makes: the connector and the paths its API lies under.
pub(crate) fn connector(offer: &Value, change: &Value) -> (Arc<dyn Connector>, Vec<String>) {
    let mut settings = offer["settings"].clone();
    for (name, value) in change.as_object().into_iter().flatten() {
        settings[name] = value.clone();
    }
    let secrets = offer["secrets"].as_object().into_iter().flatten();
    let secrets = Secrets::new(secrets.map(|(name, secret)| {
        let secret = secret.as_str().unwrap_or_default();
        (name.clone(), SecretString::from(secret))
    }));
    let bases = settings
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.ends_with("api_url"))
        .filter_map(|(_, url)| Url::parse(url.as_str()?).ok())
        .map(|url| url.path().to_owned())
        .collect();
    let name = offer["connector"].as_str().unwrap_or_default();
    let entry = connectors::builtin()
        .into_iter()
        .find(|entry| entry.name == name)
        .unwrap_or_else(|| panic!("there is no connector {name}"));
    match entry.build(&settings, &secrets) {
        Ok(connector) => (connector, bases),
        Err(error) => panic!("the offer of {name} is refused: {error}"),
    }
}

/// A life of people and groups at a target: everything the driver and reconcile may ask of a
/// connector, in an order that meets each state. What the connector concludes is the contract
/// kit's matter; here only what it sends and gets counts.
pub(crate) struct Story<'a> {
    pub(crate) connector: &'a dyn Connector,
    pub(crate) wire: &'a Recorder<Target>,
    pub(crate) target: &'a Target,
}

impl Story<'_> {
    fn cx(&self) -> Cx<'_> {
        Cx::new(self.wire, self.target.clock.now())
    }

    pub(crate) async fn play(&self) {
        self.sane(self.connector.probe(&self.cx()).await);
        let mut people = Vec::new();
        if let Some(accounts) = self.connector.accounts() {
            people = self.invite(accounts).await;
            if people.is_empty() {
                people = self.meet(accounts).await;
            }
        }
        if let Some(groups) = self.connector.groups() {
            self.groups(groups, &people).await;
        }
        self.target.control("load", json!({"accounts": 130, "groups": 110})).await;
        if let Some(accounts) = self.connector.accounts() {
            self.list_all(accounts).await;
            self.remove(accounts, &people).await;
        }
        if let Some(groups) = self.connector.groups() {
            self.list_groups(groups).await;
        }
    }

    /// An answer that could not be understood would mean that the two sides differ.
    #[track_caller]
    fn sane<T>(&self, result: Result<T, Fault>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(fault) if fault.kind == FaultKind::Malformed => panic!("{fault:?}"),
            Err(_) => None,
        }
    }

    async fn invite(&self, accounts: &dyn Accounts) -> Vec<(Person, AccountRef)> {
        let mut invited = Vec::new();
        for name in ["ada", "bob", "cyd"] {
            let mut person = Person::named(name);
            person.email = Some(format!("{name}@example.com"));
            self.sane(accounts.find(&self.cx(), &person).await);
            let made = self.sane(accounts.create(&self.cx(), &person).await);
            // Once more, as after an answer that was lost.
            self.sane(accounts.create(&self.cx(), &person).await);
            let (Some(Created::Invited(account)) | Some(Created::Done(account))) = made else {
                continue;
            };
            let at = account.reference().expect("an invitation has an id");
            self.sane(accounts.get(&self.cx(), &at).await);
            self.follow(accounts, &person, &at).await;
            invited.push((person, at));
        }
        self.list_all(accounts).await;
        // Cyd's is taken back; the others accept.
        let Some((_, cyd)) = invited.pop() else {
            return Vec::new();
        };
        self.sane(accounts.remove(&self.cx(), &cyd).await);
        self.sane(accounts.remove(&self.cx(), &cyd).await);
        self.target.control("accept", json!({})).await;
        let mut people = Vec::new();
        for (person, at) in invited {
            self.follow(accounts, &person, &at).await;
            let found = self.sane(accounts.find(&self.cx(), &person).await);
            for one in found.into_iter().flatten() {
                if let Some(at) = one.account.reference() {
                    self.sane(accounts.get(&self.cx(), &at).await);
                    people.push((person.clone(), at));
                }
            }
            self.sane(accounts.create(&self.cx(), &person).await);
        }
        for (_, at) in &people {
            for role in &self.connector.traits().roles {
                let mut change = AccountChange::default();
                change.role = Some(role.value.to_owned());
                self.sane(accounts.update(&self.cx(), at, &change).await);
            }
            if self.connector.traits().writable.contains(&"displayName") {
                let mut change = AccountChange::default();
                change.display_name = Some("A New Name".to_owned());
                self.sane(accounts.update(&self.cx(), at, &change).await);
            }
            if self.connector.traits().suspend == Suspend::Native {
                for active in [false, false, true, true] {
                    self.sane(accounts.set_active(&self.cx(), at, active).await);
                }
            }
        }
        people
    }

    /// Where nobody is invited, people who are there already.
    async fn meet(&self, accounts: &dyn Accounts) -> Vec<(Person, AccountRef)> {
        self.target.control("load", json!({"accounts": 2, "groups": 0})).await;
        let mut people = Vec::new();
        for name in ["load0000", "load0001"] {
            let mut person = Person::named(name);
            person.email = Some(format!("{name}@example.com"));
            let found = self.sane(accounts.find(&self.cx(), &person).await);
            let found = found.into_iter().flatten();
            people.extend(found.filter_map(|one| Some((person.clone(), one.account.reference()?))));
        }
        people
    }

    async fn follow(&self, accounts: &dyn Accounts, person: &Person, at: &AccountRef) {
        if let AccountRef::Invite { id, .. } = at {
            self.sane(accounts.follow(&self.cx(), id, person).await);
        }
    }

    async fn list_all(&self, accounts: &dyn Accounts) {
        let mut seen: Vec<Account> = Vec::new();
        for invitations in [false, true] {
            let mut page: Option<PageToken> = None;
            for _ in 0..20 {
                let got = if invitations {
                    accounts.invitations(&self.cx(), page.as_ref()).await
                } else {
                    accounts.list(&self.cx(), page.as_ref()).await
                };
                let Some(got) = self.sane(got) else { break };
                seen.extend(got.items);
                page = got.next;
                if page.is_none() {
                    break;
                }
            }
        }
    }

    async fn remove(&self, accounts: &dyn Accounts, people: &[(Person, AccountRef)]) {
        for (_, at) in people {
            self.sane(accounts.remove(&self.cx(), at).await);
            self.sane(accounts.remove(&self.cx(), at).await);
            self.sane(accounts.get(&self.cx(), at).await);
            let mut change = AccountChange::default();
            change.role = self.connector.traits().default_role.map(str::to_owned);
            self.sane(accounts.update(&self.cx(), at, &change).await);
        }
    }

    async fn groups(&self, groups: &dyn Groups, people: &[(Person, AccountRef)]) {
        let mut ids = Vec::new();
        for name in ["Platform Eng", "Tools & Ops"] {
            self.sane(groups.find(&self.cx(), name).await);
            let want = GroupWant::named(name);
            let made = self.sane(groups.create(&self.cx(), &want).await);
            self.sane(groups.create(&self.cx(), &want).await);
            let (Some(GroupCreated::Done(group)) | Some(GroupCreated::AlreadyThere(group))) = made else {
                panic!("{name} was not created: {made:?}")
            };
            self.sane(groups.tidy(&self.cx(), &group.id).await);
            self.sane(groups.get(&self.cx(), &group.id).await);
            ids.push(group.id);
        }
        let refs: Vec<_> = people.iter().map(|(_, at)| at.clone()).collect();
        let step = self.connector.traits().members_per_call.max(1);
        for id in &ids {
            self.members(groups, id).await;
            for _twice in 0..2 {
                for part in refs.chunks(step) {
                    for one in groups.change_members(&self.cx(), id, part, &[]).await {
                        self.sane(one);
                    }
                }
            }
            self.members(groups, id).await;
        }
        for _twice in 0..2 {
            for part in refs.chunks(step) {
                for one in groups.change_members(&self.cx(), &ids[0], &[], part).await {
                    self.sane(one);
                }
            }
        }
        // To a new name, to the same, and to one that is taken.
        for name in ["Platform", "Platform", "Tools & Ops"] {
            let mut change = GroupChange::default();
            change.name = Some(name.to_owned());
            self.sane(groups.update(&self.cx(), &ids[0], &change).await);
        }
        self.sane(groups.remove(&self.cx(), &ids[0]).await);
        self.sane(groups.remove(&self.cx(), &ids[0]).await);
        self.sane(groups.get(&self.cx(), &ids[0]).await);
        self.members(groups, &ids[0]).await;
        for at in &refs {
            for one in groups.change_members(&self.cx(), &ids[0], std::slice::from_ref(at), &[]).await {
                self.sane(one);
            }
        }
    }

    async fn members(&self, groups: &dyn Groups, id: &RemoteId) {
        let mut page: Option<PageToken> = None;
        for _ in 0..20 {
            let got = groups.members(&self.cx(), id, page.as_ref()).await;
            let Some(got) = self.sane(got) else { return };
            page = got.next;
            if page.is_none() {
                return;
            }
        }
    }

    async fn list_groups(&self, groups: &dyn Groups) {
        let mut page: Option<PageToken> = None;
        for _ in 0..20 {
            let Some(got) = self.sane(groups.list(&self.cx(), page.as_ref()).await) else {
                return;
            };
            page = got.next;
            if page.is_none() {
                return;
            }
        }
    }
}
