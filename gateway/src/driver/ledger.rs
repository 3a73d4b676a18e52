//! What is used of hour and day windows is written with what uses it: a step's cost in the transaction
//! that writes its attempt, the true fill in the one that records its answer. So a replica that dies
//! leaves its successor no window that looks emptier than it is.
//!
//! It also keeps back what a long window has no room for, before anything is written down or sent.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector_sdk::{Charge, DriverKey, Traits, Window};
use jiff::Timestamp;

use super::BUDGET_PATIENCE;
use super::group::GroupCall;
use super::run::{After, Step, Subject, Verdict};
use crate::limits::{BucketRow, Budget};
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError, Tx, Unit};

/// How long what waits for something to end at the target waits if nobody tells that it did.
const STANDING_WAIT: i64 = 3_600_000_000;

/// The budget of a run.
#[derive(Clone)]
pub(super) struct Ledger {
    pub(super) budget: Arc<Budget>,
    /// Whether all that another replica should know is written: the target pushes back or is down.
    pub(super) everything: bool,
}

impl Ledger {
    /// Keeps a step back that charges a window without room: it waits, with the time from which it may
    /// go on, and no attempt is written. That is nobody's failure (DECISIONS 17).
    pub(super) async fn hold(
        &self,
        tx: &Tx<'_>,
        instance: &Instance,
        subject: &Subject,
        verdict: Verdict,
    ) -> Result<Verdict, StoreError> {
        let (Verdict::Call(step, _), Ok(connector)) = (&verdict, &instance.connector) else {
            return Ok(verdict);
        };
        let traits = connector.traits();
        let charges = cost(traits, step);
        let closed = self.budget.closed(subject.lane, BUDGET_PATIENCE);
        let longest = closed
            .iter()
            .filter(|window| charges.iter().any(|charge| charge.bucket == window.bucket))
            .max_by_key(|window| window.until);
        if let Some(window) = longest {
            return Ok(Verdict::Wait {
                code: "quota",
                reason: format!(
                    "A limit of the target is used up: {}. This goes on by itself when there is room again.",
                    window.title
                ),
                until: window.until,
            });
        }
        for bucket in traits.buckets.iter().filter(|bucket| bucket.window == Window::Standing) {
            let Some(most) = bucket.units.filter(|_| charges.iter().any(|charge| charge.bucket == bucket.name)) else {
                continue;
            };
            let there = pending(tx, &instance.driver_key, subject.seq, most).await?;
            self.budget.stand(bucket.name, there);
            if there >= most {
                return Ok(Verdict::Wait {
                    code: "quota",
                    reason: format!(
                        "There are as many as the target allows at a time: {}. This goes on when one of them ends.",
                        bucket.title
                    ),
                    until: Timestamp::from_microsecond(tx.now + STANDING_WAIT).unwrap_or(Timestamp::MAX),
                });
            }
        }
        Ok(verdict)
    }

    /// Writes what the next step will use, if there is one; and the fill as it is, after an answer.
    pub(super) async fn write(
        &self,
        tx: &Tx<'_>,
        instance: &Instance,
        after: &After,
        answered: bool,
    ) -> Result<(), StoreError> {
        let Ok(connector) = &instance.connector else {
            return Ok(());
        };
        let traits = connector.traits();
        let mut rows = if self.everything { self.budget.all_rows() } else { self.budget.rows() };
        let charges = match after {
            After::Next(job) => cost(traits, &job.step),
            After::Over { .. } | After::Lost => Vec::new(),
        };
        let mut charged = Vec::new();
        for charge in &charges {
            let long = traits.buckets.iter().find(|bucket| bucket.name == charge.bucket);
            let Some(long) = long.filter(|bucket| bucket.window == Window::Row) else {
                continue;
            };
            let row = match rows.iter_mut().position(|row| row.name == charge.bucket) {
                Some(at) => &mut rows[at],
                None => continue,
            };
            row.used = row.used.saturating_add(charge.units);
            row.window_ends_at = row.window_ends_at.or_else(|| later(tx.now, long.per));
            charged.push(charge.bucket);
        }
        if !answered {
            rows.retain(|row| charged.contains(&row.name.as_str()));
        }
        // Always in one order: several runs of a key write the same rows.
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        keep(tx, &instance.driver_key, &rows).await
    }
}

fn later(now: i64, by: Duration) -> Option<Timestamp> {
    Timestamp::from_microsecond(now).ok()?.checked_add(by).ok()
}

/// What a step costs by the connector's declaration.
fn cost(traits: &Traits, step: &Step) -> Vec<Charge> {
    match step {
        Step::Person(call) => traits
            .cost(match call.word() {
                "suspend" | "restore" => "update",
                word => word,
            })
            .to_vec(),
        Step::Group(call) => match call.as_ref() {
            GroupCall::Members { changes, .. } => changes
                .iter()
                .flat_map(|change| traits.cost(if change.add { "add_member" } else { "remove_member" }))
                .copied()
                .collect(),
            GroupCall::Create { .. } => traits.cost("create_group").to_vec(),
            GroupCall::Rename { .. } => traits.cost("update_group").to_vec(),
            GroupCall::Remove { .. } => traits.cost("remove_group").to_vec(),
            GroupCall::Look { .. }
            | GroupCall::Tidy { .. }
            | GroupCall::Read { .. }
            | GroupCall::LookMembers { .. } => Vec::new(),
        },
    }
}

/// How many invitations are pending, or perhaps just being sent, under a driver key; counted up to
/// `most`.
async fn pending(tx: &Tx<'_>, key: &DriverKey, but: i64, most: u32) -> Result<u32, StoreError> {
    let row = tx
        .conn
        .one(
            "SELECT (SELECT COUNT(*) FROM (SELECT 1 AS one FROM account a JOIN instance i ON i.seq = a.instance_seq \
             WHERE i.driver_key = $1 AND i.deleted_at IS NULL AND a.status = 'invited' LIMIT $2) AS known) \
             + (SELECT COUNT(*) FROM attempt t JOIN instance i ON i.seq = t.instance_seq \
             WHERE i.driver_key = $1 AND i.deleted_at IS NULL AND t.state IN ('sending','unknown') AND t.item_seq = 0 AND t.step = 'create' \
             AND t.resource_seq <> $3 AND EXISTS (SELECT 1 FROM resource r WHERE r.seq = t.resource_seq AND r.kind = 'User')) AS n",
            vals![key.as_str(), i64::from(most), but],
        )
        .await?;
    Ok(u32::try_from(row.map_or(Ok(0), |row| row.col::<i64>("n"))?).unwrap_or(u32::MAX))
}

/// Lets so many go on of those who wait for room at the target.
pub(super) struct WakeWaiting {
    pub(super) key: DriverKey,
    pub(super) room: u32,
}

#[async_trait]
impl Unit for WakeWaiting {
    type Out = u64;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<u64, StoreError> {
        tx.conn
            .run(
                "UPDATE work SET due_at = $2 WHERE state = 'waiting' AND need = 'quota' AND due_at > $2 AND resource_seq IN \
                 (SELECT resource_seq FROM work WHERE driver_key = $1 AND state = 'waiting' AND need = 'quota' AND due_at > $2 \
                 ORDER BY lane, since, resource_seq LIMIT $3)",
                vals![self.key.as_str(), tx.now, i64::from(self.room)],
            )
            .await
    }
}

/// Writes rows of a driver key's budget.
pub(super) struct KeepRows {
    pub(super) key: DriverKey,
    pub(super) rows: Vec<BucketRow>,
}

#[async_trait]
impl Unit for KeepRows {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        self.rows.sort_by(|a, b| a.name.cmp(&b.name));
        keep(tx, &self.key, &self.rows).await
    }
}

/// Several runs write the same rows, not always in the order in which they read the fill: within one
/// window the fuller one stays, and so does the later end of a block. The names that begin with `*` are
/// no windows but what was learned last.
async fn keep(tx: &Tx<'_>, key: &DriverKey, rows: &[BucketRow]) -> Result<(), StoreError> {
    for row in rows {
        tx.conn
            .run(
                "INSERT INTO bucket (driver_key, name, used, window_ends_at, blocked_until) VALUES ($1,$2,$3,$4,$5) \
                 ON CONFLICT (driver_key, name) DO UPDATE SET \
                 used = CASE WHEN bucket.name NOT LIKE '*%' AND bucket.window_ends_at = excluded.window_ends_at AND bucket.used > excluded.used \
                   THEN bucket.used ELSE excluded.used END, \
                 window_ends_at = excluded.window_ends_at, \
                 blocked_until = CASE WHEN bucket.blocked_until > excluded.blocked_until THEN bucket.blocked_until ELSE excluded.blocked_until END",
                vals![
                    key.as_str(),
                    row.name.as_str(),
                    i64::from(row.used),
                    row.window_ends_at.map_or(0, Timestamp::as_microsecond),
                    row.blocked_until.map_or(0, Timestamp::as_microsecond)
                ],
            )
            .await?;
    }
    Ok(())
}

/// A driver key's rows moved to another, whose limits are the same: the credential was replaced by
/// another of the same identity.
pub(crate) async fn move_rows(tx: &Tx<'_>, from: &str, to: &str) -> Result<(), StoreError> {
    tx.conn
        .run(
            "INSERT INTO bucket (driver_key, name, used, window_ends_at, blocked_until) \
             SELECT $2, name, used, window_ends_at, blocked_until FROM bucket WHERE driver_key = $1 \
             ON CONFLICT (driver_key, name) DO NOTHING",
            vals![from, to],
        )
        .await?;
    Ok(())
}

pub(super) fn read_bucket(row: &sea_orm::QueryResult) -> Result<BucketRow, StoreError> {
    let time = |micros: i64| Timestamp::from_microsecond(micros).ok().filter(|_| micros > 0);
    Ok(BucketRow {
        name: row.col("name")?,
        used: row.col::<i64>("used")?.try_into().unwrap_or(u32::MAX),
        window_ends_at: time(row.col("window_ends_at")?),
        blocked_until: time(row.col("blocked_until")?),
    })
}
