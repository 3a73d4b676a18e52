//! One run over one resource: claim, plan, write the attempt down, call, settle, plan again, until
//! nothing is left or something has to wait. The claim's transaction already plans and writes the
//! first attempt, and each settlement the next one, so a step costs one commit.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{Effect, Fault, FaultKind, Need};
use engine::Lane;
use engine::coalesce::WorkState;
use engine::operation::{Closed, OpenOp, close_settled};
use engine::retry::InDoubt;
use engine::work::{self, Claim, Ending};
use jiff::Timestamp;
use serde_json::Value;

use super::attempts::{Attempted, begin_attempts, end_attempt, end_attempts};
use super::brake::{self, Held};
use super::desk;
use super::group::{self, GroupCall, GroupDone};
use super::ledger::Ledger;
use super::person::{self, PersonCall, PersonDone};
use super::waiters::Settlement;
use super::{doubt, lease};
use crate::service::accept::{Ends, close_operation_items};
use crate::service::types::Instance;
use crate::store::{Hint, Rows, Sql, StoreError, Tx, Unit};

/// The resource of a run, as the transaction that planned saw it.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) seq: i64,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) doc: scim::Document,
    pub(super) active: bool,
    pub(super) managed: bool,
    pub(super) deleted: bool,
    pub(super) settled_rev: i64,
    /// The revision that this run brings to the target.
    pub(super) rev: i64,
    pub(super) lane: Lane,
    pub(super) tries: i64,
    pub(super) since: i64,
    /// Looks at a write in doubt that told nothing.
    pub(super) looks: i64,
    /// Runs in a row that broke.
    pub(super) panics: i64,
    /// When the step was planned, in microseconds: its answer tells of nothing younger.
    pub(super) asked: i64,
    /// The step that was settled just now was a look at a write in doubt.
    pub(super) looked: bool,
    /// It was about memberships, not about the resource itself.
    pub(super) of_members: bool,
}

impl Subject {
    /// What decides what follows the run.
    fn claim(&self) -> Claim {
        let count = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
        Claim {
            lane: self.lane,
            tries: count(self.tries),
            looks: count(self.looks),
            panics: count(self.panics),
            since: Timestamp::from_microsecond(self.since).unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }
}

/// What a run does next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Person(Box<PersonCall>),
    Group(Box<GroupCall>),
}

impl Step {
    /// Whether it finds out what became of a write in doubt.
    fn looks_at_a_doubt(&self) -> bool {
        match self {
            Self::Person(call) => matches!(**call, PersonCall::Look { doubt: true, .. }),
            Self::Group(call) => {
                matches!(
                    **call,
                    GroupCall::Look { .. } | GroupCall::Read { doubt: true, .. } | GroupCall::LookMembers { .. }
                )
            }
        }
    }

    /// Whether it is about memberships, not about the group itself.
    fn is_of_members(&self) -> bool {
        match self {
            Self::Person(_) => false,
            Self::Group(call) => matches!(**call, GroupCall::Members { .. } | GroupCall::LookMembers { .. }),
        }
    }
}

/// A step that is written down and may be sent.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) subject: Subject,
    pub(super) step: Step,
    /// The rows of attempts in flight; reads have none.
    pub(super) attempts: Vec<i64>,
}

/// What came of a step.
pub(super) enum Done {
    Person(Result<PersonDone, Fault>),
    Group(GroupDone),
}

impl Done {
    /// The fault in it that says most about the target.
    pub(super) fn fault(&self) -> Option<Fault> {
        match self {
            Self::Person(result) => result.as_ref().err().cloned(),
            Self::Group(done) => done.fault(),
        }
    }
}

/// What a transaction left to do.
#[derive(Debug)]
pub(super) enum After {
    /// Send this.
    Next(Box<Job>),
    /// The run is over.
    Over { rev: i64, settlement: Settlement },
    /// The claim was not got, or is another's now: nothing was written.
    Lost,
}

/// How a plan ends without a call.
pub(super) enum Verdict {
    /// Send this.
    Call(Step, Vec<Attempted>),
    /// The target agrees.
    Settled,
    /// Wait for a time; not a failure.
    Wait { code: &'static str, reason: String, until: Timestamp },
    /// A person has to act.
    Need { need: Need, refused: Option<FaultKind> },
    /// A call failed.
    Failed(Box<Fault>),
    /// The brake holds it until an admin decides.
    Held(Held),
}

/// Claims a resource's work and plans the first step.
pub(super) struct Begin {
    pub(super) instance: Arc<Instance>,
    pub(super) resource: i64,
    pub(super) epoch: i64,
    pub(super) ledger: Option<Ledger>,
}

#[async_trait]
impl Unit for Begin {
    type Out = After;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<After, StoreError> {
        // The resource is locked before its work, here as where changes are accepted: two that take
        // the same locks in another order would wait for each other.
        let mut subject = load(tx, self.resource).await?;
        if !is_current(tx, &self.instance).await? {
            return Ok(After::Lost);
        }
        let name = lease::name_of(&self.instance.driver_key);
        let claimed = tx
            .conn
            .one(
                &format!(
                    "UPDATE work SET state = 'running', claim_rev = rev, claim_epoch = $2 WHERE resource_seq = $1 AND state IN ('todo','waiting','needs') \
                     AND due_at <= $3 AND EXISTS (SELECT 1 FROM lease WHERE name = $4 AND epoch = $2 AND until_at > {}) \
                     AND NOT EXISTS (SELECT 1 FROM work w WHERE w.resource_seq = work.after_seq) \
                     RETURNING rev, lane, tries, since, looks, panics",
                    tx.conn.clock_or("$3")
                ),
                vals![self.resource, self.epoch, tx.now, name],
            )
            .await?;
        let Some(claim) = claimed else {
            return Ok(After::Lost);
        };
        subject.rev = claim.col("rev")?;
        subject.lane = Lane::from_number(claim.col("lane")?);
        subject.tries = claim.col("tries")?;
        subject.since = claim.col("since")?;
        subject.looks = claim.col("looks")?;
        subject.panics = claim.col("panics")?;
        let mut verdict = plan(tx, &self.instance, &subject).await?;
        if let Some(ledger) = &self.ledger {
            verdict = ledger.hold(tx, &self.instance, &subject, verdict).await?;
        }
        let after = conclude(tx, &self.instance, subject, verdict, self.epoch).await?;
        if let Some(ledger) = &self.ledger {
            ledger.write(tx, &self.instance, &after, false).await?;
        }
        Ok(told(tx, self.resource, after))
    }
}

/// Settles a step and plans the next.
pub(super) struct Settle {
    pub(super) instance: Arc<Instance>,
    pub(super) job: Job,
    pub(super) done: Option<Done>,
    pub(super) calls: Value,
    pub(super) epoch: i64,
    /// How many steps this run has made.
    pub(super) steps: usize,
    /// The driver stops: what was sent is recorded, and nothing more is sent.
    pub(super) stopping: bool,
    pub(super) ledger: Option<Ledger>,
}

/// Steps of one run before something must be wrong.
const MOST_STEPS: usize = 20;
/// How long a run that goes in circles rests.
const CIRCLE_REST: i64 = 60_000_000;

#[async_trait]
impl Unit for Settle {
    type Out = After;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<After, StoreError> {
        let mut fresh = load(tx, self.job.subject.seq).await?;
        let held = tx
            .conn
            .run(
                "UPDATE work SET claim_epoch = $2 WHERE resource_seq = $1 AND state = 'running' AND claim_epoch = $2 \
                 AND EXISTS (SELECT 1 FROM lease WHERE name = $3 AND epoch = $2)",
                vals![self.job.subject.seq, self.epoch, lease::name_of(&self.instance.driver_key)],
            )
            .await?;
        let Some(done) = &self.done else {
            return Ok(After::Lost);
        };
        if held == 0 {
            self.record_alone(tx, done).await?;
            return Ok(After::Lost);
        }
        let Job { subject, step, attempts } = &self.job;
        let first = match (step, done) {
            (Step::Person(call), Done::Person(result)) => {
                end_attempts(
                    tx,
                    &self.instance,
                    subject,
                    attempts,
                    call.word(),
                    result.as_ref().err(),
                    &self.calls,
                    self.epoch,
                )
                .await?;
                match result {
                    Ok(done) => person::apply(tx, &self.instance, subject, call, done).await?,
                    Err(fault) => person::apply_fault(tx, subject, call, fault).await?,
                }
            }
            (Step::Group(call), Done::Group(done)) => {
                group::apply(tx, &self.instance, subject, call, done, attempts, &self.calls, self.epoch).await?
            }
            _ => return Err(StoreError::damaged("a run whose step and outcome differ")),
        };
        let first = if desk::is_by_hand(&self.instance) {
            desk::heard(tx, &self.job, done).await?;
            // A refusal was heard: it stands if it is about what is wanted now, which the plan knows.
            first.filter(|verdict| !matches!(verdict, Verdict::Failed(fault) if fault.kind == FaultKind::Refused))
        } else {
            first
        };
        (fresh.rev, fresh.lane, fresh.tries, fresh.since) = (subject.rev, subject.lane, subject.tries, subject.since);
        (fresh.looks, fresh.panics, fresh.looked) = (subject.looks, subject.panics, step.looks_at_a_doubt());
        fresh.of_members = step.is_of_members();
        if let Some(row) = tx.conn.one("SELECT rev, lane FROM work WHERE resource_seq = $1", vals![subject.seq]).await?
        {
            // What was asked meanwhile is planned for as well: this run brings it along.
            fresh.rev = row.col("rev")?;
            fresh.lane = Lane::from_number(row.col("lane")?);
            tx.conn.run("UPDATE work SET claim_rev = rev WHERE resource_seq = $1", vals![subject.seq]).await?;
        }
        let verdict = match first {
            Some(verdict) => verdict,
            None if self.steps >= MOST_STEPS && !matches!(step, Step::Group(_)) => Verdict::Wait {
                code: "circle",
                reason: "The target keeps changing back. Looking again in a minute.".to_owned(),
                until: Timestamp::from_microsecond(tx.now + CIRCLE_REST).unwrap_or(Timestamp::MAX),
            },
            None => plan(tx, &self.instance, &fresh).await?,
        };
        if matches!(verdict, Verdict::Call(..)) && (self.stopping || !is_current(tx, &self.instance).await?) {
            return Ok(told(tx, fresh.seq, put_down(tx, &fresh).await?));
        }
        let resource = fresh.seq;
        let verdict = match &self.ledger {
            Some(ledger) => ledger.hold(tx, &self.instance, &fresh, verdict).await?,
            None => verdict,
        };
        let after = conclude(tx, &self.instance, fresh, verdict, self.epoch).await?;
        if let Some(ledger) = &self.ledger {
            ledger.write(tx, &self.instance, &after, true).await?;
        }
        Ok(told(tx, resource, after))
    }
}

impl Settle {
    /// The work went away under the run (its instance was deleted): what was sent is still recorded,
    /// under a lease that is ours.
    async fn record_alone(&self, tx: &Tx<'_>, done: &Done) -> Result<(), StoreError> {
        let subject = &self.job.subject;
        let name = lease::name_of(&self.instance.driver_key);
        let left = tx.conn.one("SELECT 1 AS one FROM work WHERE resource_seq = $1", vals![subject.seq]).await?;
        if left.is_some() || !lease::is_held(tx, &name, self.epoch).await? {
            return Ok(());
        }
        for (at, attempt) in self.job.attempts.iter().enumerate() {
            let fault = match done {
                Done::Person(result) => result.as_ref().err().cloned(),
                Done::Group(GroupDone::Members(answers)) => {
                    answers.get(at).and_then(|answer| answer.as_ref().err()).cloned()
                }
                Done::Group(done) => done.fault(),
            };
            end_attempt(tx, *attempt, fault.as_ref(), &self.calls).await?;
        }
        Ok(())
    }
}

/// Tells other replicas, where a request may wait for it, that a run is over.
fn told(tx: &Tx<'_>, resource: i64, after: After) -> After {
    if matches!(after, After::Over { .. }) {
        tx.hint(Hint::Settled(resource));
    }
    after
}

/// Whether the instance is enabled and configured as the run was told. A paused one is sent nothing,
/// and under another configuration the next step is planned again (DECISIONS 15, 28).
async fn is_current(tx: &Tx<'_>, instance: &Instance) -> Result<bool, StoreError> {
    let row = tx
        .conn
        .one(
            "SELECT 1 AS one FROM instance WHERE seq = $1 AND config_rev = $2 AND mode = 'enabled' AND verify_since IS NULL AND deleted_at IS NULL",
            vals![instance.seq, instance.config_rev],
        )
        .await?;
    Ok(row.is_some())
}

/// Ends a run between two steps; the work is due at once.
async fn put_down(tx: &Tx<'_>, subject: &Subject) -> Result<After, StoreError> {
    lay(tx, subject, &Ending::PutDown, "").await?;
    Ok(After::Over { rev: subject.rev, settlement: Settlement::Later })
}

async fn load(tx: &Tx<'_>, resource: i64) -> Result<Subject, StoreError> {
    let row = tx
        .conn
        .one(
            &format!("SELECT seq, kind, name, doc, active, managed, deleted_at, settled_rev, rev FROM resource WHERE seq = $1{}", tx.conn.for_update()),
            vals![resource],
        )
        .await?
        .ok_or_else(|| StoreError::damaged("work without a resource"))?;
    Ok(Subject {
        seq: resource,
        kind: row.col("kind")?,
        name: row.col("name")?,
        doc: serde_json::from_str(&row.col::<String>("doc")?)
            .map_err(|error| StoreError::damaged(format!("resource.doc: {error}")))?,
        active: row.col::<i16>("active")? == 1,
        managed: row.col::<i16>("managed")? == 1,
        deleted: row.col::<Option<i64>>("deleted_at")?.is_some(),
        settled_rev: row.col("settled_rev")?,
        rev: row.col("rev")?,
        lane: Lane::Grant,
        tries: 0,
        since: tx.now,
        looks: 0,
        panics: 0,
        asked: tx.now,
        looked: false,
        of_members: false,
    })
}

async fn plan(tx: &Tx<'_>, instance: &Instance, subject: &Subject) -> Result<Verdict, StoreError> {
    let connector = match &instance.connector {
        Ok(connector) => connector,
        Err(why) => {
            return Ok(Verdict::Need { need: Need::new("connector", why.clone()), refused: None });
        }
    };
    if let Some(answered) = desk::before(tx, instance, subject).await? {
        return Ok(answered);
    }
    match subject.kind.as_str() {
        "User" => person::plan(tx, instance, connector.as_ref(), subject).await,
        "Group" => group::plan(tx, instance, connector.as_ref(), subject).await,
        // Resource types without a counterpart at the target live in the directory only.
        _ => Ok(Verdict::Settled),
    }
}

/// Ends a transaction: writes the next attempts down, or the end of the run.
async fn conclude(
    tx: &Tx<'_>,
    instance: &Instance,
    mut subject: Subject,
    verdict: Verdict,
    epoch: i64,
) -> Result<After, StoreError> {
    let rev = subject.rev;
    let (mut verdict, answered) = desk::align(tx, instance, &subject, verdict).await?;
    if !answered {
        verdict = brake::check(tx, instance, &subject, verdict).await?;
    }
    match verdict {
        Verdict::Held(held) => {
            held.stage(tx, &subject).await?;
            Ok(After::Over { rev, settlement: Settlement::Later })
        }
        Verdict::Call(step, planned) => {
            let attempts = begin_attempts(tx, instance, &subject, planned, epoch).await?;
            subject.asked = tx.now;
            Ok(After::Next(Box::new(Job { subject, step, attempts })))
        }
        Verdict::Settled => {
            settle_operations(tx, &subject).await?;
            tx.conn
                .run(
                    "DELETE FROM work WHERE resource_seq = $1 AND claim_epoch = $2 AND rev = $3",
                    vals![subject.seq, epoch, rev],
                )
                .await?;
            Ok(After::Over { rev, settlement: Settlement::Done })
        }
        Verdict::Wait { code, reason, until } => {
            lay(tx, &subject, &Ending::Wait { code, until }, &reason).await?;
            Ok(After::Over { rev, settlement: Settlement::Later })
        }
        Verdict::Need { need, refused } => {
            lay(tx, &subject, &Ending::Need { code: &need.code }, &need.message).await?;
            let settlement = match refused {
                Some(kind) => Settlement::Refused { kind, message: need.message },
                None => Settlement::Later,
            };
            Ok(After::Over { rev, settlement })
        }
        Verdict::Failed(fault) => fail(tx, instance, subject, *fault).await,
    }
}

/// After a fault: when it is tried again, or who has to act.
async fn fail(tx: &Tx<'_>, instance: &Instance, subject: Subject, fault: Fault) -> Result<After, StoreError> {
    let doubt = match &instance.connector {
        Ok(connector) => doubt::open(tx, connector.traits(), &subject).await?,
        Err(_) => None,
    };
    let doubt = doubt.map(|repeat| InDoubt { repeat, looked: subject.looked });
    let state = lay(tx, &subject, &Ending::Fault { fault: &fault, doubt }, &fault.message).await?;
    let for_good = state == WorkState::Needs && fault.retry == connector_sdk::Retry::Never;
    let settlement = if for_good && fault.effect == Effect::None {
        Settlement::Refused { kind: fault.kind, message: fault.message }
    } else {
        Settlement::Later
    };
    Ok(After::Over { rev: subject.rev, settlement })
}

/// Puts the work down as [`engine::work::rest`] says, for a reason. A change that came meanwhile makes
/// it due at once. What waits for this work to end says so of itself.
async fn lay(tx: &Tx<'_>, subject: &Subject, ending: &Ending<'_>, reason: &str) -> Result<WorkState, StoreError> {
    let now = Timestamp::from_microsecond(tx.now).unwrap_or(Timestamp::UNIX_EPOCH);
    let claim = subject.claim();
    let Some(rest) = work::rest(&claim, ending, now, work::seed(subject.seq, claim.tries)) else {
        return Err(StoreError::damaged("a run that settled is put down"));
    };
    let need = rest.need.as_deref();
    tx.conn
        .run(
            "UPDATE work SET state = CASE WHEN rev > $7 THEN 'todo' ELSE $2 END, due_at = CASE WHEN rev > $7 THEN $8 ELSE $5 END, \
             need = $3, reason = $4, tries = $6, looks = $9, panics = $10, claim_rev = NULL, claim_epoch = NULL WHERE resource_seq = $1",
            vals![
                subject.seq,
                rest.state.as_str(),
                need.map(str::to_owned),
                need.map(|_| reason.to_owned()),
                rest.due_at.as_microsecond(),
                i64::from(rest.tries),
                subject.rev,
                tx.now,
                i64::from(rest.looks),
                i64::from(rest.panics)
            ],
        )
        .await?;
    if rest.state == WorkState::Needs {
        let why = format!(
            "The removal of a deleted \"{}\" has to end first, and it needs somebody ({}): {reason}",
            subject.name,
            need.unwrap_or_default()
        );
        tx.conn
            .run(
                "UPDATE work SET state = 'waiting', need = 'twin', reason = $2 WHERE after_seq = $1 AND state IN ('todo','waiting')",
                vals![subject.seq, why],
            )
            .await?;
    }
    Ok(rest.state)
}

/// Puts a run away that could not be carried out or recorded: it panicked or met a damaged row
/// (`broke`), or the store would not take it. What it was sending is in doubt. It reads nothing of the
/// resource but its number, since a row of it may be what is damaged.
pub(super) async fn put_away(tx: &Tx<'_>, resource: i64, epoch: i64, broke: bool) -> Result<(), StoreError> {
    let which = "resource_seq = $1 AND ((claim_epoch = $2 AND state = 'running') OR (state IN ('todo','waiting','needs') AND due_at <= $3))";
    let row = tx
        .conn
        .one(
            &format!("SELECT lane, rev, tries, since, looks, panics FROM work WHERE {which}"),
            vals![resource, epoch, tx.now],
        )
        .await?;
    let Some(row) = row else { return Ok(()) };
    let count =
        |name: &str| -> Result<u32, StoreError> { Ok(u32::try_from(row.col::<i64>(name)?).unwrap_or(u32::MAX)) };
    let claim = Claim {
        lane: Lane::from_number(row.col("lane")?),
        tries: count("tries")?,
        looks: count("looks")?,
        panics: count("panics")?,
        since: Timestamp::from_microsecond(row.col("since")?).unwrap_or(Timestamp::UNIX_EPOCH),
    };
    let (ending, reason) = match broke {
        true => {
            (Ending::Broken, "The gateway failed while working on this. Its log has more; everything else goes on.")
        }
        false => {
            (Ending::Unrecorded, "The gateway could not record what it did for this; it tries again. Its log has more.")
        }
    };
    let now = Timestamp::from_microsecond(tx.now).unwrap_or(Timestamp::UNIX_EPOCH);
    let Some(rest) = work::rest(&claim, &ending, now, work::seed(resource, claim.tries)) else {
        return Ok(());
    };
    let mut values =
        vals![resource, epoch, tx.now, rest.state.as_str(), rest.need.as_deref().map(str::to_owned), reason];
    values.extend(vals![
        rest.due_at.as_microsecond(),
        i64::from(rest.tries),
        i64::from(rest.looks),
        i64::from(rest.panics)
    ]);
    tx.conn
        .run(
            &format!(
                "UPDATE work SET state = $4, need = $5, reason = $6, due_at = $7, tries = $8, looks = $9, panics = $10, \
                 claim_rev = NULL, claim_epoch = NULL WHERE {which}"
            ),
            values,
        )
        .await?;
    tx.conn
        .run(
            "UPDATE attempt SET state = 'unknown', ended_at = $2 WHERE resource_seq = $1 AND state = 'sending'",
            vals![resource, tx.now],
        )
        .await?;
    Ok(())
}

/// The resource agrees up to a revision: its operations end, superseded where later ones overwrote
/// all they wrote.
async fn settle_operations(tx: &Tx<'_>, subject: &Subject) -> Result<(), StoreError> {
    if subject.settled_rev >= subject.rev {
        return Ok(());
    }
    let rows = tx
        .conn
        .all(
            "SELECT seq, rev, verb, changes FROM operation WHERE resource_seq = $1 AND state = 'open' AND rev > $2 AND rev <= $3",
            vals![subject.seq, subject.settled_rev, subject.rev],
        )
        .await?;
    let mut open = Vec::with_capacity(rows.len());
    for row in &rows {
        let changes: Value = serde_json::from_str(&row.col::<String>("changes")?).unwrap_or_default();
        let paths = changes
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|change| change["path"].as_str().map(str::to_owned))
            .collect();
        let deletes = row.col::<String>("verb")? == "delete";
        open.push(OpenOp { seq: row.col("seq")?, rev: row.col("rev")?, paths, deletes });
    }
    for (operation, closed) in close_settled(&open, subject.rev) {
        let ends = match closed {
            Closed::Applied => Ends { applied: 1, ..Ends::default() },
            Closed::Superseded => Ends { superseded: 1, ..Ends::default() },
        };
        close_operation_items(tx, operation, ends, None).await?;
    }
    tx.conn
        .run(
            "UPDATE resource SET settled_rev = $2 WHERE seq = $1 AND settled_rev < $2",
            vals![subject.seq, subject.rev],
        )
        .await?;
    Ok(())
}
