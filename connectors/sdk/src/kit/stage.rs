//! What a case plays on: the subject, a transport that records and makes trouble, and the ledger
//! of everything the connector said.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::account::{Account, AccountRef, Found, Person};
use crate::connector::{Accounts, Groups, PageToken};
use crate::desk::Desk;
use crate::fault::{Effect, Fault, FaultKind};
use crate::group::{GroupWant, Member, RemoteGroup};
use crate::id::{InviteId, RemoteId};
use crate::kit::{Calls, RateLimit, Subject};
use crate::outcome::{Created, GroupCreated, Membership};
use crate::traits::{Kind, Traits};
use crate::transport::{Call, Cx, Repeat, Reply, Step, Transport, Work};

/// Pages after which a listing counts as endless.
const MOST_PAGES: usize = 300;

/// Which calls an order strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Any,
    Writes,
}

/// What an order does to a call.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Nothing is sent, and the connection fails.
    DropBefore,
    /// The work is done, and the answer is lost.
    DropAfter,
    /// Nothing is sent, and this comes back.
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// The work is done; the answer keeps its status and headers, but has this body.
    Garble(String),
}

impl Act {
    pub(super) fn status(status: u16, body: &str) -> Self {
        Self::Answer { status, headers: Vec::new(), body: body.to_owned() }
    }

    pub(super) fn limit(limit: &RateLimit) -> Self {
        Self::Answer { status: limit.status, headers: limit.headers.clone(), body: limit.body.clone() }
    }
}

struct Order {
    which: Which,
    act: Act,
    times: usize,
}

/// One call that the connector made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) name: &'static str,
    pub(super) write: bool,
    /// Whether an order struck it.
    pub(super) struck: bool,
}

struct Recorder {
    subject: Subject,
    order: Mutex<Option<Order>>,
    sent: Mutex<Vec<Sent>>,
    said: Mutex<Vec<String>>,
    /// Calls of which no rule of the tariff speaks.
    unpriced: Mutex<Vec<String>>,
    /// The calls, held against those that are declared.
    calls: Mutex<Calls>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recorder {
    /// The act of the order that strikes this call, used up by one.
    fn strike(&self, write: bool) -> Option<Act> {
        let mut slot = held(&self.order);
        let order = slot.as_mut()?;
        let hit = match order.which {
            Which::Any => true,
            Which::Writes => write,
        };
        if !hit {
            return None;
        }
        let act = order.act.clone();
        order.times -= 1;
        if order.times == 0 {
            *slot = None;
        }
        Some(act)
    }
}

#[async_trait]
impl Transport for Recorder {
    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        let write = call.repeat != Repeat::Read;
        held(&self.said).push(format!("{call:?}"));
        let traits = self.subject.connector.traits();
        if traits.tariff.price(&call).is_none() {
            held(&self.unpriced).push(format!("{:?}: {} {}", call.name, call.method, call.url.path()));
        }
        let path = || call.url.path().to_owned();
        held(&self.calls).note(call.name, call.method.as_str(), path, |declared| declared.covers(&call));
        let act = self.strike(write);
        held(&self.sent).push(Sent { name: call.name, write, struck: act.is_some() });
        let reply = match act {
            None => self.subject.transport.send(call).await,
            Some(Act::DropBefore) => Err(Fault::new(FaultKind::Unavailable, "The target could not be reached.")),
            Some(Act::DropAfter) => {
                self.subject.transport.send(call).await?;
                Err(Fault::new(FaultKind::Unavailable, "The connection was lost before the answer came.")
                    .effect(Effect::Unknown))
            }
            Some(Act::Answer { status, headers, body }) => Ok(self.reply(status, &headers, body)),
            Some(Act::Garble(body)) => {
                let mut reply = self.subject.transport.send(call).await?;
                reply.body = Bytes::from(body);
                Ok(reply)
            }
        };
        if let Ok(reply) = &reply {
            // Called for every answer, as the gateway does; it must bear them all.
            let readings = self.subject.connector.read_limits(reply);
            let throttled = self.subject.connector.throttled(reply);
            held(&self.said).push(format!("{readings:?} {throttled:?}"));
        }
        reply
    }

    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Fault> {
        self.subject.transport.addresses(host, port).await
    }

    fn allows_plain(&self) -> bool {
        self.subject.transport.allows_plain()
    }

    async fn file(&self, name: &str) -> Result<PathBuf, Fault> {
        self.subject.transport.file(name).await
    }

    fn desk(&self) -> Option<&dyn Desk> {
        self.subject.transport.desk()
    }

    async fn perform(&self, step: Step, work: Work<'_>) -> Result<(), Fault> {
        let write = step.repeat != Repeat::Read;
        held(&self.said).push(format!("{step:?}"));
        let known = &self.subject.connector.traits().buckets;
        if step.charges.iter().any(|charge| known.iter().all(|bucket| bucket.name != charge.bucket)) {
            held(&self.unpriced).push(format!("{:?}: charges a bucket that is not declared", step.name));
        }
        let object = || step.object.clone();
        held(&self.calls).note(step.name, step.protocol, object, |declared| declared.covers_step(&step));
        let act = self.strike(write);
        held(&self.sent).push(Sent { name: step.name, write, struck: act.is_some() });
        match act {
            None => self.subject.transport.perform(step, work).await,
            Some(Act::DropAfter) => {
                self.subject.transport.perform(step, work).await?;
                Err(Fault::new(FaultKind::Unavailable, "The connection was lost before the answer came.")
                    .effect(if write { Effect::Unknown } else { Effect::None }))
            }
            // The forms of HTTP are not this protocol's: cases that order them do not apply to it.
            Some(Act::DropBefore | Act::Answer { .. } | Act::Garble(_)) => {
                Err(Fault::new(FaultKind::Unavailable, "The target could not be reached."))
            }
        }
    }
}

impl Recorder {
    fn reply(&self, status: u16, headers: &[(&'static str, String)], body: String) -> Reply {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                map.insert(HeaderName::from_static(name), value);
            }
        }
        Reply::new(
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            map,
            Bytes::from(body),
            self.subject.world.now(),
        )
    }
}

/// What a case plays on.
pub(super) struct Stage {
    recorder: Recorder,
}

/// A failure in words, with what was seen.
pub(super) fn against<T>(promise: &str, seen: impl Debug) -> Result<T, String> {
    Err(format!("{promise}; seen: {seen:?}"))
}

impl Stage {
    /// That every call was charged by the tariff, whose buckets and steps' are declared.
    pub(super) fn all_charged(&self) -> Result<(), String> {
        let traits = self.traits();
        let known: Vec<&str> = traits.buckets.iter().map(|bucket| bucket.name).collect();
        let steps = traits.costs.iter().flat_map(|cost| cost.charges.iter().map(|charge| charge.bucket));
        if let Some(bucket) = traits.tariff.buckets().chain(steps).find(|bucket| !known.contains(bucket)) {
            return against("a tariff charges declared buckets", bucket);
        }
        let unpriced = held(&self.recorder.unpriced);
        if unpriced.is_empty() { Ok(()) } else { against("every call is charged by the tariff", &*unpriced) }
    }

    /// Adds the calls of this case to those of the run.
    pub(super) fn calls(&self, all: &mut Calls) {
        all.merge(&held(&self.recorder.calls));
    }

    pub(super) fn new(subject: Subject) -> Self {
        let calls = Calls { declared: subject.calls.clone(), ..Calls::default() };
        Self {
            recorder: Recorder {
                subject,
                order: Mutex::new(None),
                sent: Mutex::new(Vec::new()),
                said: Mutex::new(Vec::new()),
                unpriced: Mutex::new(Vec::new()),
                calls: Mutex::new(calls),
            },
        }
    }

    pub(super) fn subject(&self) -> &Subject {
        &self.recorder.subject
    }

    pub(super) fn traits(&self) -> &Traits {
        self.subject().connector.traits()
    }

    pub(super) fn cx(&self) -> Cx<'_> {
        Cx::new(&self.recorder, self.subject().world.now())
    }

    pub(super) fn accounts(&self) -> Result<&dyn Accounts, String> {
        self.subject().connector.accounts().ok_or_else(|| "the connector serves accounts and has none".to_owned())
    }

    pub(super) fn groups(&self) -> Result<&dyn Groups, String> {
        self.subject().connector.groups().ok_or_else(|| "the connector serves groups and has none".to_owned())
    }

    /// Makes trouble for the next `times` calls of a kind.
    pub(super) fn order(&self, which: Which, act: Act, times: usize) {
        *held(&self.recorder.order) = Some(Order { which, act, times });
    }

    /// Takes the trouble back; says whether any of it is left.
    pub(super) fn calm(&self) -> bool {
        held(&self.recorder.order).take().is_some()
    }

    /// Forgets the calls so far.
    pub(super) fn forget(&self) {
        held(&self.recorder.sent).clear();
    }

    /// The calls since the last [`Stage::forget`].
    pub(super) fn sent(&self) -> Vec<Sent> {
        held(&self.recorder.sent).clone()
    }

    /// Keeps what the connector said, for [`Stage::no_leak`].
    pub(super) fn hear<T: Debug>(&self, said: Result<T, Fault>) -> Result<T, Fault> {
        let mut all = held(&self.recorder.said);
        match &said {
            Ok(value) => all.push(format!("{value:?}")),
            Err(fault) => {
                all.push(format!("{fault:?}"));
                all.push(fault.to_string());
                all.push(json!(fault).to_string());
            }
        }
        drop(all);
        said
    }

    /// That no secret stands in anything that was said or shown.
    pub(super) fn no_leak(&self) -> Result<(), String> {
        let said = held(&self.recorder.said);
        for secret in &self.subject().secrets {
            if secret.is_empty() {
                return Err("the subject names an empty secret".to_owned());
            }
            if let Some(text) = said.iter().find(|text| text.contains(secret)) {
                return Err(format!(
                    "a secret stands in what was shown: {}",
                    text.replace(secret.as_str(), "[the secret]")
                ));
            }
        }
        Ok(())
    }

    pub(super) async fn state(&self) -> Result<Value, String> {
        self.subject().world.control("GET", "/_sim/state", Value::Null).await
    }

    pub(super) async fn load(&self, accounts: usize, groups: usize) -> Result<(), String> {
        let body = json!({ "accounts": accounts, "groups": groups });
        self.subject().world.control("POST", "/_sim/load", body).await.map(|_| ())
    }

    pub(super) async fn person(&self, name: &str) -> Result<Person, String> {
        self.subject().world.person(name).await
    }

    /// The accounts and invitations of that person at the target.
    pub(super) async fn at_target(&self, who: &Person) -> Result<Vec<Value>, String> {
        let state = self.state().await?;
        let entries = ["accounts", "invitations"].into_iter().filter_map(|list| state[list].as_array()).flatten();
        Ok(entries.filter(|entry| self.subject().world.is(who, entry)).cloned().collect())
    }

    /// The groups of that name at the target, without case.
    pub(super) async fn groups_at_target(&self, name: &str) -> Result<Vec<Value>, String> {
        let state = self.state().await?;
        let groups = state["groups"].as_array().into_iter().flatten();
        Ok(groups.filter(|group| self.subject().world.is_group(name, group)).cloned().collect())
    }

    pub(super) async fn create(&self, who: &Person) -> Result<Created, Fault> {
        match self.accounts() {
            Ok(accounts) => self.hear(accounts.create(&self.cx(), who).await),
            Err(why) => Err(Fault::new(FaultKind::Refused, why)),
        }
    }

    /// Creates a person; anything but a new account or invitation is a failure.
    pub(super) async fn created(&self, who: &Person) -> Result<Account, String> {
        match self.create(who).await {
            Ok(Created::Done(account) | Created::Invited(account)) => Ok(account),
            other => against("a new person is created or invited", other),
        }
    }

    pub(super) async fn find(&self, who: &Person) -> Result<Vec<Found>, String> {
        self.hear(self.accounts()?.find(&self.cx(), who).await).or_else(|fault| against("find answers", fault))
    }

    /// Every account, page by page, as often as it is listed.
    pub(super) async fn everyone(&self) -> Result<Vec<Account>, String> {
        let mut all = Vec::new();
        let mut page: Option<PageToken> = None;
        for _ in 0..MOST_PAGES {
            let listed = self
                .hear(self.accounts()?.list(&self.cx(), page.as_ref()).await)
                .or_else(|fault| against("the accounts are listed", fault))?;
            all.extend(listed.items);
            page = listed.next;
            if page.is_none() {
                return Ok(all);
            }
        }
        Err("the listing of accounts does not end".to_owned())
    }

    pub(super) async fn pending(&self) -> Result<Vec<Account>, String> {
        let mut all = Vec::new();
        let mut page: Option<PageToken> = None;
        for _ in 0..MOST_PAGES {
            let listed = self
                .hear(self.accounts()?.invitations(&self.cx(), page.as_ref()).await)
                .or_else(|fault| against("the invitations are listed", fault))?;
            all.extend(listed.items);
            page = listed.next;
            if page.is_none() {
                return Ok(all);
            }
        }
        Err("the listing of invitations does not end".to_owned())
    }

    pub(super) async fn all_groups(&self) -> Result<Vec<RemoteGroup>, String> {
        let mut all = Vec::new();
        let mut page: Option<PageToken> = None;
        for _ in 0..MOST_PAGES {
            let listed = self
                .hear(self.groups()?.list(&self.cx(), page.as_ref()).await)
                .or_else(|fault| against("the groups are listed", fault))?;
            all.extend(listed.items);
            page = listed.next;
            if page.is_none() {
                return Ok(all);
            }
        }
        Err("the listing of groups does not end".to_owned())
    }

    pub(super) async fn members(&self, id: &RemoteId) -> Result<Vec<Member>, String> {
        let mut all = Vec::new();
        let mut page: Option<PageToken> = None;
        for _ in 0..MOST_PAGES {
            let listed = self
                .hear(self.groups()?.members(&self.cx(), id, page.as_ref()).await)
                .or_else(|fault| against("the members are listed", fault))?;
            all.extend(listed.items);
            page = listed.next;
            if page.is_none() {
                return Ok(all);
            }
        }
        Err("the listing of members does not end".to_owned())
    }

    /// That many accounts that are there and may be touched.
    pub(super) async fn people(&self, count: usize) -> Result<Vec<Account>, String> {
        self.load(count, 0).await?;
        let all = self.everyone().await?;
        let free: Vec<Account> = all.into_iter().filter(|account| !account.protected).take(count).collect();
        if free.len() < count {
            return against("loaded accounts are listed", free.len());
        }
        Ok(free)
    }

    pub(super) async fn create_group(&self, name: &str) -> Result<GroupCreated, Fault> {
        match self.groups() {
            Ok(groups) => self.hear(groups.create(&self.cx(), &GroupWant::named(name)).await),
            Err(why) => Err(Fault::new(FaultKind::Refused, why)),
        }
    }

    /// Creates a group and makes it ready.
    pub(super) async fn group(&self, name: &str) -> Result<RemoteGroup, String> {
        let group = match self.create_group(name).await {
            Ok(GroupCreated::Done(group)) => group,
            other => return against("a new group is created", other),
        };
        if self.traits().tidy_created_groups {
            self.hear(self.groups()?.tidy(&self.cx(), &group.id).await)
                .or_else(|fault| against("a new group is made ready", fault))?;
        }
        Ok(group)
    }

    /// Changes members in portions that the connector takes, and gives one answer each.
    pub(super) async fn change(
        &self,
        id: &RemoteId,
        add: &[AccountRef],
        remove: &[AccountRef],
    ) -> Result<Vec<Result<Membership, Fault>>, String> {
        let portion = self.traits().members_per_call.max(1);
        let mut answers = Vec::new();
        for (add, remove) in
            add.chunks(portion).map(|some| (some, &[][..])).chain(remove.chunks(portion).map(|some| (&[][..], some)))
        {
            let some = self.groups()?.change_members(&self.cx(), id, add, remove).await;
            if some.len() != add.len() + remove.len() {
                return against("one answer per change of members", some);
            }
            for answer in some {
                answers.push(self.hear(answer));
            }
        }
        Ok(answers)
    }
}

/// How an account is named, or a failure.
pub(super) fn reference(account: &Account) -> Result<AccountRef, String> {
    account.reference().ok_or_else(|| format!("the account has neither id: {account:?}"))
}

/// The id of an invitation, or a failure.
pub(super) fn invite_id(account: &Account) -> Result<InviteId, String> {
    account.invite_id.clone().ok_or_else(|| format!("the invitation has no id: {account:?}"))
}

pub(super) fn creates_accounts(traits: &Traits) -> Result<(), &'static str> {
    match traits.kind {
        Kind::Group => Err("it serves groups only"),
        _ => Ok(()),
    }
}

pub(super) fn invites(traits: &Traits) -> Result<(), &'static str> {
    creates_accounts(traits)?;
    if traits.invites { Ok(()) } else { Err("it does not invite") }
}

pub(super) fn serves_groups(traits: &Traits) -> Result<(), &'static str> {
    match traits.kind {
        Kind::User => Err("it serves accounts only"),
        _ => Ok(()),
    }
}

/// Cases that play HTTP answers.
pub(super) fn speaks_http(traits: &Traits) -> Result<(), &'static str> {
    if traits.speaks_http { Ok(()) } else { Err("it speaks no HTTP: there is no such answer") }
}

pub(super) fn creates_accounts_by_http(traits: &Traits) -> Result<(), &'static str> {
    speaks_http(traits)?;
    creates_accounts(traits)
}

pub(super) fn serves_groups_by_http(traits: &Traits) -> Result<(), &'static str> {
    speaks_http(traits)?;
    serves_groups(traits)
}

pub(super) fn always(_: &Traits) -> Result<(), &'static str> {
    Ok(())
}
