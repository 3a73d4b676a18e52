//! The record as lines of JSON (NDJSON), oldest first: read page by page, so that an export of any size fits into memory,
//! and each line with a cursor, so that one that broke off goes on.
//!
//! Replicas do not commit in the order of the numbers that they give out. Behind young rows a cursor therefore goes on
//! where everything is settled: what follows may come again, but nothing is missed.

use std::time::Duration;

use serde_json::{Value, json};

use super::operations::{OPERATION, operation};
use super::why::attempt;
use super::{App, OperationFilter, parsed, time};
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError};

/// Operations, or acts, that are read at a time.
const PAGE: i64 = 100;
/// Attempts that one line holds at most; more are counted.
const MOST_ATTEMPTS: usize = 500;
/// How old a row is when every transaction with a number before it has ended: longer than a block of numbers is given out
/// and a transaction may live, which the store bounds for those that say nothing, with room for those that work.
const SETTLED: Duration = Duration::from_secs(60);

/// A place in the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Behind this row; 0 is the beginning.
    pub row: i64,
    /// Behind this row, too, nothing is missed that was not committed yet. It is the row itself, or one before it.
    pub sure: i64,
}

impl Place {
    /// Behind a row; 0 is the beginning.
    pub fn behind(row: i64) -> Self {
        Self { row, sure: row }
    }

    /// Behind the next row, which was made at this time.
    fn then(self, row: i64, at: i64, settled: i64) -> Self {
        Self { row, sure: if at <= settled { row } else { self.sure } }
    }
}

/// Some lines of an export.
#[derive(Debug, Default)]
pub struct Chunk {
    /// What each line holds, with the place behind it.
    pub lines: Vec<(Place, Value)>,
    /// Whether there is more.
    pub more: bool,
}

/// Which operations to export, and from where on.
#[derive(Clone, Debug, Default)]
pub struct Exported {
    /// Which.
    pub filter: OperationFilter,
    /// From where on.
    pub after: Place,
}

/// Which acts of admins to export, and from where on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Audited {
    /// Done at or after, in microseconds.
    pub since: Option<i64>,
    /// Done before, in microseconds.
    pub until: Option<i64>,
    /// From where on.
    pub after: Place,
}

impl App {
    /// The next operations of an export, oldest first, each with its attempts.
    ///
    /// # Errors
    /// The store's.
    pub async fn export_operations(&self, instance: &Instance, which: &Exported) -> Result<Chunk, StoreError> {
        let Some((condition, mut values)) = self.condition(instance, &which.filter).await? else {
            return Ok(Chunk::default());
        };
        values.extend(vals![which.after.row, PAGE + 1]);
        let text = format!(
            "SELECT {OPERATION} FROM operation o LEFT JOIN resource r ON r.seq = o.resource_seq WHERE {condition} \
             AND o.seq > ${} ORDER BY o.seq LIMIT ${}",
            values.len() - 1,
            values.len()
        );
        let rows = self.store.reader().all(&text, values).await?;
        let page = usize::try_from(PAGE).unwrap_or(usize::MAX);
        let mut chunk = Chunk { lines: Vec::with_capacity(rows.len()), more: rows.len() > page };
        let (mut place, settled) = (which.after, self.settled_until());
        for row in rows.iter().take(page) {
            let seq: i64 = row.col("seq")?;
            let mut item = operation(row)?;
            item["instance"] = json!(instance.id);
            let (attempts, left_out) = self.attempts_sent(seq).await?;
            item["attempts"] = json!(attempts);
            item["attempts_left_out"] = json!(left_out);
            place = place.then(seq, row.col("at")?, settled);
            chunk.lines.push((place, item));
        }
        Ok(chunk)
    }

    async fn attempts_sent(&self, operation: i64) -> Result<(Vec<Value>, bool), StoreError> {
        let rows = self
            .store
            .reader()
            .all(
                "SELECT * FROM attempt WHERE op_seq = $1 ORDER BY seq LIMIT $2",
                vals![operation, i64::try_from(MOST_ATTEMPTS + 1).unwrap_or(i64::MAX)],
            )
            .await?;
        let attempts = rows.iter().take(MOST_ATTEMPTS).map(attempt).collect::<Result<_, _>>()?;
        Ok((attempts, rows.len() > MOST_ATTEMPTS))
    }

    /// The next acts of an export, oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn export_audit(&self, which: &Audited) -> Result<Chunk, StoreError> {
        let rows = self
            .store
            .reader()
            .all(
                "SELECT seq, actor, act, target, detail, at FROM audit WHERE seq > $1 AND at >= $2 AND at < $3 ORDER BY seq LIMIT $4",
                vals![which.after.row, which.since.unwrap_or(i64::MIN), which.until.unwrap_or(i64::MAX), PAGE + 1],
            )
            .await?;
        let page = usize::try_from(PAGE).unwrap_or(usize::MAX);
        let mut chunk = Chunk { lines: Vec::with_capacity(rows.len()), more: rows.len() > page };
        let (mut place, settled) = (which.after, self.settled_until());
        for row in rows.iter().take(page) {
            let item = json!({
                "actor": row.col::<String>("actor")?,
                "act": row.col::<String>("act")?,
                "target": row.col::<String>("target")?,
                "detail": parsed(row.col("detail")?),
                "at": time(row.col("at")?),
            });
            place = place.then(row.col("seq")?, row.col("at")?, settled);
            chunk.lines.push((place, item));
        }
        Ok(chunk)
    }

    /// Rows made until then, in microseconds, have none before them that is still to be committed. A database of one's own
    /// commits in the order of its numbers.
    pub(super) fn settled_until(&self) -> i64 {
        if !self.store.is_shared() {
            return i64::MAX;
        }
        self.clock.now().checked_sub(SETTLED).map_or(i64::MIN, |at| at.as_microsecond())
    }
}
