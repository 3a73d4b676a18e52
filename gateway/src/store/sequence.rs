//! Sequence numbers, taken from `counter` in blocks.
//!
//! A block is taken in a transaction of its own before a unit begins, never within one: a block
//! taken in a transaction that rolls back would be given out twice.
//!
//! Lists, exports and whoever watches go by these numbers. Of replicas each gives out its own block, so a block is given
//! out for a short while only: a replica that was quiet would otherwise come back with numbers that everybody has read past.

use std::sync::Mutex;
use std::time::Duration;

use sea_orm::ConnectionTrait;

use super::error::StoreError;
use super::sql::{Rows, Sql};

/// How many numbers are taken at a time.
const BLOCK: i64 = 20_000;
/// How many a unit finds at least; units that need more are split (batches of 500 rows).
const RESERVE: i64 = 8_000;

/// How long a block is given out where other replicas give out theirs.
const FRESH: Duration = Duration::from_secs(5);

/// Numbers that are ours to give out: the current block and the one after it.
#[derive(Default)]
pub(super) struct Sequences {
    blocks: Mutex<Vec<(i64, i64)>>,
    /// Until when they may be given out, in microseconds, where that ends.
    until: Option<Mutex<i64>>,
}

impl Sequences {
    /// Numbers of a database that other replicas use too.
    pub(super) fn shared() -> Self {
        Self { until: Some(Mutex::new(i64::MIN)), ..Self::default() }
    }

    /// Makes sure that a unit that begins at `now` finds enough numbers.
    pub(super) async fn ensure<C: ConnectionTrait + Send>(&self, connection: &C, now: i64) -> Result<(), StoreError> {
        let stale = self.until.as_ref().is_some_and(|until| *held(until) < now);
        if self.plenty() && !stale {
            return Ok(());
        }
        let row = connection
            .one("UPDATE counter SET next = next + $1 WHERE name = 'seq' RETURNING next", vals![BLOCK])
            .await?
            .ok_or_else(|| StoreError::damaged("counter"))?;
        let end: i64 = row.col("next")?;
        let mut blocks = held(&self.blocks);
        if stale {
            // Units under way go on in the new block.
            blocks.clear();
        }
        blocks.push((end - BLOCK, end));
        if let Some(until) = &self.until {
            *held(until) = now.saturating_add(i64::try_from(FRESH.as_micros()).unwrap_or(i64::MAX));
        }
        Ok(())
    }

    /// Whether one more unit finds enough numbers.
    pub(super) fn plenty(&self) -> bool {
        held(&self.blocks).iter().map(|(next, end)| end - next).sum::<i64>() >= RESERVE
    }

    /// The next number.
    pub(super) fn next(&self) -> Result<i64, StoreError> {
        let mut blocks = held(&self.blocks);
        while let Some((next, end)) = blocks.first_mut() {
            if next < end {
                *next += 1;
                return Ok(*next - 1);
            }
            blocks.remove(0);
        }
        Err(StoreError::Busy("a unit used more sequence numbers than were reserved".to_owned()))
    }
}

fn held<T>(lock: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
