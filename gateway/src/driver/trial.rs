//! A connector is tried at its target before an instance is made with it.
//!
//! Without leave to write, everything is read that the connector can read: the credential, listings, one account, one
//! group. With it, a person and a group are made under a name that says what they are, used, and taken away again,
//! whatever happens between. Each call goes the way that every call goes ([`crate::transport`]), within its guards and
//! the target's budget, and is told. Nothing of it touches the store.

mod writes;

use std::sync::Arc;
use std::time::Duration;

use connector_sdk::{
    Account, Accounts, Connector, Cx, Effect, Fault, Groups, Member, Page, Person, RemoteGroup, Traits,
};
use engine::Lane;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{BUDGET_PATIENCE, Handle, StoreError};
use crate::clock::Clock;
use crate::keys::fill_random;
use crate::limits::{Budget, Budgets};
use crate::transport::{CallRecord, Http, Recorder, Wire};

/// How long a trial may begin further steps; taking away what it made is not bound by it.
const LONGEST: Duration = Duration::from_secs(90);
/// How many items of a listing are shown.
const SHOWN: usize = 3;

/// What a trial may do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whether a person and a group are made and taken away again.
    pub allow_writes: bool,
    /// SCIM attributes that the person shall have, beside or in place of the ones made up here.
    pub person: Map<String, Value>,
    /// What the person and the group are recognised by.
    pub label: String,
}

/// A new label: `scimgate-test-` and eight letters.
pub fn label() -> String {
    let mut bytes = [0_u8; 8];
    fill_random(&mut bytes);
    let letters: String = bytes.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
    format!("scimgate-test-{letters}")
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should.
    Ok,
    /// Not as it should.
    Failed,
    /// It was not begun.
    Skipped,
}

/// One step of a trial.
#[derive(Clone, Debug, Serialize)]
pub struct TrialStep {
    /// What was done: `list accounts`.
    pub step: String,
    /// Whether it writes at the target.
    pub writes: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found, or what is wrong and what to do.
    pub detail: String,
    /// The calls that it made.
    pub calls: Vec<CallRecord>,
}

/// What a trial found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether no step failed.
    pub ok: bool,
    /// Whom the credential speaks for, if the target says.
    pub identity: Option<String>,
    /// What the connector can do with these settings.
    pub traits: Traits,
    /// The steps, in their order.
    pub steps: Vec<TrialStep>,
    /// What was made and could not be taken away; a person has to.
    pub left_behind: Vec<String>,
}

impl Handle {
    /// Tries a connector. It goes on to its end, also where nobody waits for it any more: what it made has to go.
    ///
    /// # Errors
    /// The store's, before anything is sent.
    pub async fn try_out(&self, connector: Arc<dyn Connector>, plan: Plan) -> Result<Report, StoreError> {
        let budget = self.0.budget_of(&connector).await?;
        let trial = Trial::new(self.0.http.clone(), self.0.clock.clone(), budget, connector);
        let task = tokio::spawn(trial.run(plan));
        task.await.map_err(|error| {
            tracing::error!(%error, "trying a connector made the gateway panic");
            StoreError::Other("a trial ended badly".to_owned())
        })
    }
}

/// Tries a connector without a gateway: with a budget of its own.
pub async fn alone(http: Http, clock: Clock, connector: Arc<dyn Connector>, plan: Plan) -> Report {
    let traits = connector.traits();
    let budget = Budgets::new(clock.clone()).get(&traits.driver_key, &traits.buckets);
    Trial::new(http, clock, budget, connector).run(plan).await
}

/// A trial under way.
struct Trial {
    http: Http,
    clock: Clock,
    budget: Arc<Budget>,
    connector: Arc<dyn Connector>,
    until: Timestamp,
    steps: Vec<TrialStep>,
    left_behind: Vec<String>,
}

/// The way to the target for one step.
struct Way {
    wire: Wire,
    record: Arc<Recorder>,
    now: Timestamp,
}

impl Way {
    fn cx(&self) -> Cx<'_> {
        Cx::new(&self.wire, self.now)
    }
}

impl Trial {
    fn new(http: Http, clock: Clock, budget: Arc<Budget>, connector: Arc<dyn Connector>) -> Self {
        let until = clock.now().checked_add(LONGEST).unwrap_or(Timestamp::MAX);
        Self { http, clock, budget, connector, until, steps: Vec::new(), left_behind: Vec::new() }
    }

    async fn run(mut self, plan: Plan) -> Report {
        let connector = Arc::clone(&self.connector);
        let way = self.way(Lane::Grant);
        let identity = match connector.probe(&way.cx()).await {
            Ok(probe) => {
                let words: Vec<String> =
                    probe.checks.iter().map(|check| format!("{}: {}", check.name, check.detail)).collect();
                let detail = if words.is_empty() { "nothing is checked".to_owned() } else { words.join(" ") };
                self.tell("probe", false, &way, probe.ok(), detail);
                probe.identity
            }
            Err(fault) => {
                self.tell("probe", false, &way, false, words_of(&fault));
                None
            }
        };
        if let Some(accounts) = connector.accounts() {
            self.read_accounts(accounts, identity.as_deref()).await;
        }
        if let Some(groups) = connector.groups() {
            self.read_groups(groups).await;
        }
        if plan.allow_writes {
            self.write(&*connector, &plan).await;
        }
        Report {
            ok: self.left_behind.is_empty() && self.steps.iter().all(|step| step.outcome != Outcome::Failed),
            identity,
            traits: connector.traits().clone(),
            steps: self.steps,
            left_behind: self.left_behind,
        }
    }

    async fn read_accounts(&mut self, accounts: &dyn Accounts, identity: Option<&str>) {
        let way = self.way(Lane::Grant);
        let first = self.page("list accounts", &way, accounts.list(&way.cx(), None).await, account_words);
        let Some(first) = first else { return };
        if let Some(own) = first.items.iter().find(|account| !account.protected && speaks_for(account, identity)) {
            let detail = format!(
                "The credential's own account is not protected: {}. The gateway could suspend or remove it. A manifest's `protected` compares what names an account with `own`, which is a text.",
                account_words(own)
            );
            self.wrong("list accounts", &detail);
        }
        if let Some(next) = &first.next
            && self.may_go_on("list accounts, second page")
        {
            let way = self.way(Lane::Grant);
            let second = accounts.list(&way.cx(), Some(next)).await;
            let second = self.page("list accounts, second page", &way, second, account_words);
            let ids = |page: &Page<Account>| -> Vec<_> {
                page.items.iter().filter_map(|item| item.remote_id.clone()).collect()
            };
            if let Some(second) = second
                && !second.items.is_empty()
                && ids(&first) == ids(&second)
            {
                self.wrong(
                    "list accounts, second page",
                    "It has the same accounts as the first: the paging does not go on.",
                );
            }
        }
        if !self.may_go_on("list invitations") {
            return;
        }
        let way = self.way(Lane::Grant);
        let invited = accounts.invitations(&way.cx(), None).await;
        self.page("list invitations", &way, invited, account_words);
        let Some(account) = first.items.first() else {
            self.skipped("read an account", "No account was listed.");
            return;
        };
        if let Some(at) = account.reference()
            && self.may_go_on("read an account")
        {
            let way = self.way(Lane::Grant);
            match accounts.get(&way.cx(), &at).await {
                Ok(Some(read)) if read.remote_id == account.remote_id => {
                    self.tell("read an account", false, &way, true, account_words(&read));
                }
                Ok(Some(read)) => {
                    let detail =
                        format!("Another account came back than the one that was asked for: {}.", account_words(&read));
                    self.tell("read an account", false, &way, false, detail);
                }
                Ok(None) => self.tell(
                    "read an account",
                    false,
                    &way,
                    false,
                    "An account that was listed is not found by its id.",
                ),
                Err(fault) => self.tell("read an account", false, &way, false, words_of(&fault)),
            }
        }
        let Some(email) = account.email.clone() else {
            self.skipped("find an account", "The target shows no e-mail of it.");
            return;
        };
        if !self.may_go_on("find an account") {
            return;
        }
        let mut who = Person::named(email.clone());
        who.email = Some(email);
        let way = self.way(Lane::Grant);
        match accounts.find(&way.cx(), &who).await {
            Ok(found) => {
                let there = found.iter().any(|one| one.account.remote_id == account.remote_id);
                let detail = if there {
                    format!("{} found by the e-mail", found.len())
                } else {
                    "An account that was listed is not found by its e-mail: a person who has an account would get a second one.".to_owned()
                };
                self.tell("find an account", false, &way, there, detail);
            }
            Err(fault) => self.tell("find an account", false, &way, false, words_of(&fault)),
        }
    }

    async fn read_groups(&mut self, groups: &dyn Groups) {
        if !self.may_go_on("list groups") {
            return;
        }
        let way = self.way(Lane::Grant);
        let first = self.page("list groups", &way, groups.list(&way.cx(), None).await, group_words);
        let Some(first) = first else { return };
        let Some(group) = first.items.first() else {
            self.skipped("find a group", "No group was listed.");
            return;
        };
        if self.may_go_on("find a group") {
            let way = self.way(Lane::Grant);
            match groups.find(&way.cx(), &group.name).await {
                Ok(found) => {
                    let there = found.iter().any(|one| one.id == group.id);
                    let detail =
                        if there { "found by its name" } else { "A group that was listed is not found by its name." };
                    self.tell("find a group", false, &way, there, detail);
                }
                Err(fault) => self.tell("find a group", false, &way, false, words_of(&fault)),
            }
        }
        if self.may_go_on("read a group") {
            let way = self.way(Lane::Grant);
            match groups.get(&way.cx(), &group.id).await {
                Ok(Some(read)) if read.id == group.id => {
                    self.tell("read a group", false, &way, true, group_words(&read))
                }
                Ok(_) => {
                    self.tell("read a group", false, &way, false, "A group that was listed is not found by its id.")
                }
                Err(fault) => self.tell("read a group", false, &way, false, words_of(&fault)),
            }
        }
        if self.may_go_on("list members") {
            let way = self.way(Lane::Grant);
            let members = groups.members(&way.cx(), &group.id, None).await;
            self.page("list members", &way, members, member_words);
        }
    }

    /// The way to the target for the next step.
    fn way(&self, lane: Lane) -> Way {
        let now = self.clock.now();
        let record = Arc::new(Recorder::default());
        let give_up = now.checked_add(BUDGET_PATIENCE).unwrap_or(Timestamp::MAX);
        let wire = Wire::new(
            self.http.clone(),
            Arc::clone(&self.connector),
            Arc::clone(&self.budget),
            lane,
            give_up,
            Arc::clone(&record),
        );
        Way { wire, record, now }
    }

    /// Whether another step may begin.
    fn may_go_on(&mut self, step: &str) -> bool {
        let may = self.clock.now() < self.until;
        if !may {
            self.skipped(step, "The trial took too long already; the target is slow, or its limits are low.");
        }
        may
    }

    /// Writes down how a step ended.
    fn tell(&mut self, step: &str, writes: bool, way: &Way, ok: bool, detail: impl Into<String>) {
        let outcome = if ok { Outcome::Ok } else { Outcome::Failed };
        let (calls, _) = way.record.take();
        self.steps.push(TrialStep { step: step.to_owned(), writes, outcome, detail: detail.into(), calls });
    }

    /// Something is wrong with what a step found, which is only seen later.
    fn wrong(&mut self, step: &str, detail: &str) {
        if let Some(told) = self.steps.iter_mut().rev().find(|told| told.step == step) {
            told.outcome = Outcome::Failed;
            detail.clone_into(&mut told.detail);
        }
    }

    fn skipped(&mut self, step: &str, why: &str) {
        let (step, detail) = (step.to_owned(), why.to_owned());
        self.steps.push(TrialStep { step, writes: false, outcome: Outcome::Skipped, detail, calls: Vec::new() });
    }

    /// Tells what a page of a listing holds.
    fn page<T>(
        &mut self,
        step: &str,
        way: &Way,
        page: Result<Page<T>, Fault>,
        words: impl Fn(&T) -> String,
    ) -> Option<Page<T>> {
        match page {
            Ok(page) => {
                let mut detail = format!("{} on this page", page.items.len());
                detail.push_str(if page.next.is_some() { ", and there are more" } else { ", the last" });
                if !page.complete {
                    detail.push_str("; the listing may leave some out");
                }
                let shown: Vec<String> = page.items.iter().take(SHOWN).map(words).collect();
                if !shown.is_empty() {
                    detail.push_str(&format!(": {}", shown.join("; ")));
                }
                self.tell(step, false, way, true, detail);
                Some(page)
            }
            Err(fault) => {
                self.tell(step, false, way, false, words_of(&fault));
                None
            }
        }
    }
}

/// A fault in words for who writes a manifest: both of its messages, for neither holds a secret.
fn words_of(fault: &Fault) -> String {
    let mut words = fault.message.clone();
    if fault.effect == Effect::Unknown {
        words.push_str(" It is not known whether it happened.");
    }
    if !fault.context.is_empty() {
        words.push_str(&format!(" ({})", fault.context));
    }
    words
}

/// Whether an account is that for which the credential speaks.
fn speaks_for(account: &Account, identity: Option<&str>) -> bool {
    let id = account.remote_id.as_ref().map(connector_sdk::RemoteId::as_str);
    let names = [id, account.login.as_deref(), account.email.as_deref()];
    identity.is_some_and(|own| names.into_iter().flatten().any(|name| name.eq_ignore_ascii_case(own)))
}

/// An account as the connector understood it, so that wrong paths in a manifest are seen.
fn account_words(account: &Account) -> String {
    let id = account.remote_id.as_ref().map(|id| id.as_str().to_owned());
    let invite = account.invite_id.as_ref().map(|id| format!("invitation {id}"));
    let mut words = id.or(invite).unwrap_or_else(|| "no id".to_owned());
    let status = serde_json::to_value(account.status).unwrap_or_default();
    words.push_str(&format!(" {}", status.as_str().unwrap_or_default()));
    for (name, value) in [
        ("e-mail", &account.email),
        ("login", &account.login),
        ("name", &account.display_name),
        ("role", &account.role),
    ] {
        if let Some(value) = value {
            words.push_str(&format!(", {name} {value}"));
        }
    }
    if account.protected {
        words.push_str(", protected");
    }
    words
}

fn group_words(group: &RemoteGroup) -> String {
    format!("{} \"{}\"{}", group.id, group.name, if group.protected { ", protected" } else { "" })
}

fn member_words(member: &Member) -> String {
    match &member.account {
        connector_sdk::AccountRef::Account { id, .. } => id.as_str().to_owned(),
        connector_sdk::AccountRef::Invite { id, .. } => format!("invitation {id}"),
    }
}
