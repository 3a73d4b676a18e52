//! The traits a target is spoken through.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::about::About;
use crate::account::{Account, AccountChange, AccountRef, Found, Person};
use crate::extension::Extension;
use crate::fault::{Fault, FaultKind};
use crate::group::{GroupChange, GroupWant, Member, RemoteGroup};
use crate::id::{InviteId, RemoteId};
use crate::limits::Reading;
use crate::outcome::{Created, Followed, GroupCreated, GroupUpdated, Membership, Removed, Updated};
use crate::rates;
use crate::settings::{Describe, Secrets, Setting, SettingsError};
use crate::traits::{Kind, Traits};
use crate::transport::{Cx, Reply};

/// Where a listing goes on. Opaque to all but the connector that made it; storable, so that a run
/// can be resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageToken(pub String);

/// One page of a listing.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where it goes on; `None` at the end.
    pub next: Option<PageToken>,
    /// False where the target says, or may have, left something out: absence then proves nothing
    /// (DECISIONS 22).
    pub complete: bool,
}

impl<T> Page<T> {
    /// The last page of a complete listing.
    pub fn last(items: Vec<T>) -> Self {
        Self { items, next: None, complete: true }
    }
}

/// One line of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeCheck {
    /// What was checked: `credential`, `members: write`.
    pub name: String,
    /// Whether it is as needed.
    pub ok: bool,
    /// For the admin: what was found and, if it is not ok, what to do.
    pub detail: String,
}

/// What a probe of the credential found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Whom the credential speaks for, as the target names it; compared when a credential is changed.
    pub identity: Option<String>,
    /// The checks.
    pub checks: Vec<ProbeCheck>,
}

impl Probe {
    /// Whether every check is as needed.
    pub fn ok(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }
}

/// One target behind one instance, built from its settings. It holds no state but caches that can
/// be lost at any time (a token with its end).
#[async_trait]
pub trait Connector: Send + Sync {
    /// What it can do.
    fn traits(&self) -> &Traits;

    /// Checks the credential and its permissions. Writes nothing.
    ///
    /// A dead credential is a check that is not ok, not a fault; a fault means that nothing could
    /// be found out (target down, rate limit).
    async fn probe(&self, cx: &Cx<'_>) -> Result<Probe, Fault>;

    /// People, if the target has them.
    fn accounts(&self) -> Option<&dyn Accounts>;

    /// Groups, if the target has them.
    fn groups(&self) -> Option<&dyn Groups>;

    /// What an answer's headers say of the buckets. Called for every answer, failed ones included.
    fn read_limits(&self, reply: &Reply) -> Vec<Reading> {
        let _ = reply;
        Vec::new()
    }

    /// Whether an answer says "too many calls", and until when nothing is to be sent. Called for
    /// every answer, whoever asked, so that the whole driver key stops at once. The default hears a
    /// plain 429; override it for disguises (a 403, a GraphQL error).
    fn throttled(&self, reply: &Reply) -> Option<Timestamp> {
        (reply.status == http::StatusCode::TOO_MANY_REQUESTS)
            .then(|| rates::retry_after(reply).unwrap_or_else(|| rates::after(reply.at, rates::USUAL_WAIT)))
    }
}

/// People at the target.
///
/// Contract of every method: no retry, no sleep; a 429 or its disguises is
/// [`FaultKind::RateLimited`] with [`crate::Retry::NotBefore`] where the target says when; a dead
/// credential is [`FaultKind::Credential`], `AfterOperator`; a lost answer to a write is
/// [`crate::Effect::Unknown`], and [`Traits::repeats`] says what may follow it; no secret stands in a
/// message or context.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// One page of the accounts that have access or are suspended; no pending invitations.
    ///
    /// Paging is complete: an account that is there from the first page to the last is listed.
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault>;

    /// One page of the pending invitations. Targets without invitations have none.
    async fn invitations(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        let _ = (cx, page);
        Ok(Page::last(Vec::new()))
    }

    /// Looks for the accounts and invitations that may be this person's: none, one or many, each
    /// with its evidence. It guesses nothing.
    async fn find(&self, cx: &Cx<'_>, who: &Person) -> Result<Vec<Found>, Fault>;

    /// Reads one account or invitation; `None` if it is not there.
    async fn get(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Option<Account>, Fault>;

    /// Creates or invites a person.
    ///
    /// - Creating one who is there answers [`Created::AlreadyThere`] and changes nothing.
    /// - A lost answer makes no duplicate: after `Effect::Unknown`, `find` sees what happened.
    /// - A used-up quota answers `Waiting`; a missing seat or identity `ActionRequired`.
    async fn create(&self, cx: &Cx<'_>, want: &Person) -> Result<Created, Fault>;

    /// Changes an account. Doing it twice is the same as once.
    ///
    /// Where calls go by login, login -> id is checked first, and another id answers `OtherAccount`.
    async fn update(&self, cx: &Cx<'_>, at: &AccountRef, change: &AccountChange) -> Result<Updated, Fault>;

    /// Suspends or restores an account; only called where [`Traits::suspend`] is `Native`.
    async fn set_active(&self, cx: &Cx<'_>, at: &AccountRef, active: bool) -> Result<Updated, Fault> {
        let _ = (cx, at, active);
        Err(Fault::new(FaultKind::Refused, "This target cannot suspend accounts."))
    }

    /// Removes an account from the organisation, or takes an invitation back.
    ///
    /// - Removing one who is not there answers [`Removed::AlreadyGone`]; so does removing a suspended
    ///   one where [`Traits::removal`] is `Suspended`.
    /// - A protected account is [`FaultKind::Protected`].
    async fn remove(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Removed, Fault>;

    /// Finds out what became of an invitation. `who` is the person it was sent for; an account is
    /// only named with evidence.
    async fn follow(&self, cx: &Cx<'_>, invite: &InviteId, who: &Person) -> Result<Followed, Fault> {
        let _ = (cx, invite, who);
        Err(Fault::new(FaultKind::Refused, "This target has no invitations."))
    }
}

/// Pages that a look for a member reads before it gives up.
const MOST_PAGES: usize = 1_000;

/// Whether a group's members, as the target lists them, include somebody. `None`: the listing was not complete, so that
/// they are not in it says nothing. It is what a 404 for a member is believed by.
///
/// # Errors
/// Those of [`Groups::members`].
pub async fn lists_member(
    groups: &dyn Groups,
    cx: &Cx<'_>,
    group: &RemoteId,
    who: &AccountRef,
) -> Result<Option<bool>, Fault> {
    let (mut page, mut complete): (Option<PageToken>, bool) = (None, true);
    for _ in 0..MOST_PAGES {
        let listed = groups.members(cx, group, page.as_ref()).await?;
        if listed.items.iter().any(|member| member.account.id() == who.id()) {
            return Ok(Some(true));
        }
        complete &= listed.complete;
        page = listed.next;
        if page.is_none() {
            return Ok(complete.then_some(false));
        }
    }
    Ok(None)
}

/// Groups at the target. The general contract is that of [`Accounts`].
#[async_trait]
pub trait Groups: Send + Sync {
    /// One page of the groups. Paging is complete.
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<RemoteGroup>, Fault>;

    /// The groups of that name, compared as the target compares names.
    async fn find(&self, cx: &Cx<'_>, name: &str) -> Result<Vec<RemoteGroup>, Fault>;

    /// Reads one group; `None` if it is not there.
    async fn get(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault>;

    /// Creates a group. One of that name that is there answers `AlreadyThere` and changes nothing;
    /// a name that only clashes (a slug) is [`FaultKind::NameTaken`].
    async fn create(&self, cx: &Cx<'_>, want: &GroupWant) -> Result<GroupCreated, Fault>;

    /// Makes a group we created ready: the credential's own account leaves it, where the target put
    /// it in. Doing it twice is the same as once.
    async fn tidy(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<(), Fault> {
        let _ = (cx, id);
        Ok(())
    }

    /// Changes a group, by its id. Doing it twice is the same as once.
    async fn update(&self, cx: &Cx<'_>, id: &RemoteId, change: &GroupChange) -> Result<GroupUpdated, Fault>;

    /// Deletes a group. One that is not there answers `AlreadyGone`.
    async fn remove(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Removed, Fault>;

    /// One page of a group's members, pending and inherited ones marked. A group that is not there
    /// is [`FaultKind::NotFound`].
    async fn members(&self, cx: &Cx<'_>, id: &RemoteId, page: Option<&PageToken>) -> Result<Page<Member>, Fault>;

    /// Adds and removes members; at most [`Traits::members_per_call`] in all. The answer has one
    /// entry per change, additions first, in order.
    ///
    /// Adding a member who is one answers `Present`, removing one who is not `Absent`. A group that
    /// is not there is [`FaultKind::NotFound`] in each entry.
    async fn change_members(
        &self,
        cx: &Cx<'_>,
        id: &RemoteId,
        add: &[AccountRef],
        remove: &[AccountRef],
    ) -> Vec<Result<Membership, Fault>>;
}

/// A kind of connector: what the catalogue lists and an instance is built from.
pub trait ConnectorKind: Send + Sync + 'static {
    /// Its name in the API: `github`.
    const NAME: &'static str;
    /// Its name for people.
    const TITLE: &'static str;
    /// Which resources it serves at most.
    const KIND: Kind;
    /// Its settings.
    type Settings: DeserializeOwned + Describe;

    /// Builds a connector.
    ///
    /// # Errors
    /// Settings that contradict each other or a credential that cannot be one; names the field.
    fn build(settings: Self::Settings, secrets: &Secrets) -> Result<Arc<dyn Connector>, SettingsError>;

    /// SCIM attributes that reach the target, with what they do there.
    fn attributes() -> Vec<(&'static str, &'static str)>;

    /// Attributes of the target's own, beside those of RFC 7643. Only what the connector really uses.
    fn extensions() -> Vec<Extension> {
        Vec::new()
    }

    /// The vendor's limits, in words, each with the page it comes from.
    fn limits() -> Vec<&'static str>;

    /// What its page says. Every call is named; the contract kit holds those that were made against it.
    fn about() -> About;
}

/// How an entry builds its connector. What checks the settings is [`crate::settings::check`], before.
pub type Build = dyn Fn(&Value, &Secrets) -> Result<Arc<dyn Connector>, SettingsError> + Send + Sync;

/// One entry of the catalogue: a [`ConnectorKind`] without its type.
#[derive(Clone)]
pub struct Entry {
    /// [`ConnectorKind::NAME`].
    pub name: &'static str,
    /// [`ConnectorKind::TITLE`].
    pub title: &'static str,
    /// [`ConnectorKind::KIND`].
    pub kind: Kind,
    /// Every setting and credential.
    pub settings: Vec<Setting>,
    /// [`ConnectorKind::attributes`].
    pub attributes: Vec<(&'static str, &'static str)>,
    /// [`ConnectorKind::extensions`].
    pub extensions: Vec<Extension>,
    /// [`ConnectorKind::limits`].
    pub limits: Vec<&'static str>,
    /// [`ConnectorKind::about`].
    pub about: About,
    build: Arc<Build>,
}

impl Entry {
    /// The entry of a kind.
    pub fn of<K: ConnectorKind>() -> Self {
        Self {
            name: K::NAME,
            title: K::TITLE,
            kind: K::KIND,
            settings: K::Settings::describe(),
            attributes: K::attributes(),
            extensions: K::extensions(),
            limits: K::limits(),
            about: K::about(),
            build: Arc::new(|settings, secrets| K::build(crate::settings::read(settings)?, secrets)),
        }
    }

    /// An entry that is made of data, such as a manifest: of a kind, with these settings, built so.
    pub fn new(name: &'static str, title: &'static str, kind: Kind, settings: Vec<Setting>, build: Arc<Build>) -> Self {
        let (attributes, extensions, limits) = (Vec::new(), Vec::new(), Vec::new());
        Self { name, title, kind, settings, attributes, extensions, limits, about: About::default(), build }
    }

    /// Checks the settings and builds a connector.
    ///
    /// # Errors
    /// As [`crate::settings::check`], [`crate::settings::read`] and [`ConnectorKind::build`].
    pub fn build(&self, settings: &Value, secrets: &Secrets) -> Result<Arc<dyn Connector>, SettingsError> {
        crate::settings::check(&self.settings, settings, secrets)?;
        (self.build)(settings, secrets)
    }
}
