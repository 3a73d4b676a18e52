//! One run over one resource: claim, plan, write the attempt down, call, settle, plan again, until
//! nothing is left or something has to wait. The claim's transaction already plans and writes the
//! first attempt, and each settlement the next one, so a step costs one commit.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{Effect, Fault, FaultKind, Need};
use engine::Lane;
use engine::operation::{Closed, OpenOp, close_settled};
use engine::retry::{Next, Tries, after_fault, counts_as_failing};
use jiff::Timestamp;
use serde_json::Value;

use super::group::{self, GroupCall, GroupDone};
use super::lease;
use super::ledger::Ledger;
use super::person::{self, PersonCall, PersonDone};
use super::waiters::Settlement;
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
}

/// What a run does next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Person(Box<PersonCall>),
    Group(Box<GroupCall>),
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
}

/// An attempt to write down before it is sent.
pub(super) struct Attempted {
    pub(super) item: i64,
    pub(super) step: &'static str,
    pub(super) operation: Option<i64>,
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
                     RETURNING rev, lane, tries, since",
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
/// Marks an attempt that repeats a call whose outcome was in doubt.
const DOUBT: &str = "doubt";
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
        if held == 0 {
            return Ok(After::Lost);
        }
        let Some(done) = &self.done else {
            return Ok(After::Lost);
        };
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
        (fresh.rev, fresh.lane, fresh.tries, fresh.since) = (subject.rev, subject.lane, subject.tries, subject.since);
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
            "SELECT 1 AS one FROM instance WHERE seq = $1 AND config_rev = $2 AND mode = 'enabled' AND deleted_at IS NULL",
            vals![instance.seq, instance.config_rev],
        )
        .await?;
    Ok(row.is_some())
}

/// Ends a run between two steps; the work is due at once.
async fn put_down(tx: &Tx<'_>, subject: &Subject) -> Result<After, StoreError> {
    tx.conn
        .run(
            "UPDATE work SET state = 'todo', due_at = $2, need = NULL, reason = NULL, claim_rev = NULL, claim_epoch = NULL WHERE resource_seq = $1",
            vals![subject.seq, tx.now],
        )
        .await?;
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
    })
}

async fn plan(tx: &Tx<'_>, instance: &Instance, subject: &Subject) -> Result<Verdict, StoreError> {
    let connector = match &instance.connector {
        Ok(connector) => connector,
        Err(why) => {
            return Ok(Verdict::Need { need: Need::new("connector", why.clone()), refused: None });
        }
    };
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
    subject: Subject,
    verdict: Verdict,
    epoch: i64,
) -> Result<After, StoreError> {
    let rev = subject.rev;
    match verdict {
        Verdict::Call(step, planned) => {
            let mut attempts = Vec::with_capacity(planned.len());
            for attempt in planned {
                // A doubt about a call that may be repeated ends with its repetition, if that succeeds.
                let doubts = tx
                    .conn
                    .run(
                        "UPDATE attempt SET state = 'resolved' WHERE resource_seq = $1 AND item_seq = $2 AND state = 'unknown'",
                        vals![subject.seq, attempt.item],
                    )
                    .await?;
                let seq = tx.seq()?;
                tx.conn
                    .run(
                        "INSERT INTO attempt (seq, instance_seq, resource_seq, item_seq, op_seq, step, marker, epoch, config_rev, state, fault, calls, started_at, ended_at) \
                         VALUES ($1,$2,$3,$4,$5,$6,$10,$7,$8,'sending',NULL,NULL,$9,NULL)",
                        vals![seq, instance.seq, subject.seq, attempt.item, attempt.operation, attempt.step, epoch, instance.config_rev, tx.now, (doubts > 0).then_some(DOUBT)],
                    )
                    .await?;
                attempts.push(seq);
            }
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
            rest(tx, &subject, "waiting", code, &reason, until.as_microsecond(), subject.tries).await?;
            Ok(After::Over { rev, settlement: Settlement::Later })
        }
        Verdict::Need { need, refused } => {
            // Looked at again every hour by itself (DECISIONS 17).
            rest(tx, &subject, "needs", &need.code, &need.message, tx.now + 3_600_000_000, subject.tries).await?;
            let settlement = match refused {
                Some(kind) => Settlement::Refused { kind, message: need.message },
                None => Settlement::Later,
            };
            Ok(After::Over { rev, settlement })
        }
        Verdict::Failed(fault) => fail(tx, subject, *fault).await,
    }
}

/// After a fault: when it is tried again, or who has to act.
async fn fail(tx: &Tx<'_>, subject: Subject, fault: Fault) -> Result<After, StoreError> {
    let now = Timestamp::from_microsecond(tx.now).unwrap_or(Timestamp::UNIX_EPOCH);
    let looks = tx
        .conn
        .one(
            "SELECT COUNT(*) AS n FROM attempt WHERE resource_seq = $1 AND step = 'look' AND state <> 'done' AND started_at >= $2",
            vals![subject.seq, subject.since],
        )
        .await?
        .map_or(Ok(0), |row| row.col::<i64>("n"))?;
    let tries = Tries {
        failing: u32::try_from(subject.tries).unwrap_or(u32::MAX),
        unknown_looks: u32::try_from(looks).unwrap_or(u32::MAX),
        since: Timestamp::from_microsecond(subject.since).unwrap_or(now),
    };
    let failing = subject.tries + i64::from(counts_as_failing(fault.kind));
    let seed = u64::try_from(subject.seq)
        .unwrap_or(0)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(u64::try_from(subject.tries).unwrap_or(0));
    let settlement = match after_fault(&fault, subject.lane, tries, now, seed) {
        Next::At(at) => {
            rest(tx, &subject, "waiting", fault_word(&fault), &fault.message, at.as_microsecond(), failing).await?;
            Settlement::Later
        }
        Next::Need { code, look_at } => {
            rest(tx, &subject, "needs", code, &fault.message, look_at.as_microsecond(), failing).await?;
            if fault.retry == connector_sdk::Retry::Never && fault.effect == Effect::None {
                Settlement::Refused { kind: fault.kind, message: fault.message }
            } else {
                Settlement::Later
            }
        }
    };
    Ok(After::Over { rev: subject.rev, settlement })
}

fn fault_word(fault: &Fault) -> &'static str {
    match fault.kind {
        FaultKind::RateLimited => "rate_limited",
        FaultKind::Quota => "quota",
        FaultKind::Timeout => "timeout",
        FaultKind::Credential => "credential",
        FaultKind::Permission => "permission",
        FaultKind::Malformed => "malformed",
        _ => "unavailable",
    }
}

/// Puts the work down until a time. A change that came meanwhile makes it due at once.
async fn rest(
    tx: &Tx<'_>,
    subject: &Subject,
    state: &str,
    code: &str,
    reason: &str,
    due: i64,
    tries: i64,
) -> Result<(), StoreError> {
    tx.conn
        .run(
            "UPDATE work SET state = CASE WHEN rev > $7 THEN 'todo' ELSE $2 END, due_at = CASE WHEN rev > $7 THEN $8 ELSE $5 END, \
             need = $3, reason = $4, tries = $6, claim_rev = NULL, claim_epoch = NULL WHERE resource_seq = $1",
            vals![subject.seq, state, code, reason, due, tries, subject.rev, tx.now],
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
            "SELECT seq, rev, changes FROM operation WHERE resource_seq = $1 AND state = 'open' AND rev > $2 AND rev <= $3",
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
        open.push(OpenOp { seq: row.col("seq")?, rev: row.col("rev")?, paths });
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

/// Ends attempts in flight, or records a read after the fact.
#[allow(clippy::too_many_arguments, reason = "one row's columns")]
pub(super) async fn end_attempts(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    attempts: &[i64],
    step: &'static str,
    fault: Option<&Fault>,
    calls: &Value,
    epoch: i64,
) -> Result<(), StoreError> {
    let state = attempt_state(fault);
    let text = fault.map(|fault| serde_json::to_string(fault).unwrap_or_default());
    if attempts.is_empty() {
        // A read was not written ahead. In doubt it leaves no doubt of its own.
        let state = if state == "unknown" { "not_sent" } else { state };
        tx.conn
            .run(
                "INSERT INTO attempt (seq, instance_seq, resource_seq, item_seq, op_seq, step, marker, epoch, config_rev, state, fault, calls, started_at, ended_at) \
                 VALUES ($1,$2,$3,0,NULL,$4,NULL,$5,$6,$7,$8,$9,$10,$10)",
                vals![tx.seq()?, instance.seq, subject.seq, step, epoch, instance.config_rev, state, text, calls.to_string(), tx.now],
            )
            .await?;
        return Ok(());
    }
    for attempt in attempts {
        end_attempt(tx, *attempt, fault, calls).await?;
    }
    Ok(())
}

/// Ends one attempt in flight. One that repeated a call in doubt and did not succeed leaves the doubt.
pub(super) async fn end_attempt(
    tx: &Tx<'_>,
    attempt: i64,
    fault: Option<&Fault>,
    calls: &Value,
) -> Result<(), StoreError> {
    let text = fault.map(|fault| serde_json::to_string(fault).unwrap_or_default());
    tx.conn
        .run(
            "UPDATE attempt SET state = CASE WHEN marker = $6 AND $2 <> 'done' THEN 'unknown' ELSE $2 END, fault = $3, calls = $4, ended_at = $5 WHERE seq = $1",
            vals![attempt, attempt_state(fault), text, calls.to_string(), tx.now, DOUBT],
        )
        .await?;
    Ok(())
}

/// The state of an attempt that ended so.
pub(super) fn attempt_state(fault: Option<&Fault>) -> &'static str {
    match fault {
        None => "done",
        Some(fault) if fault.effect == Effect::Unknown => "unknown",
        Some(fault) if matches!(fault.kind, FaultKind::NotSent | FaultKind::RateLimited | FaultKind::Unavailable) => {
            "not_sent"
        }
        Some(_) => "refused",
    }
}
