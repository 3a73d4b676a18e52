//! Sequence numbers, taken from `counter` in blocks.
//!
//! A block is taken in a transaction of its own before a unit begins, never within one: a block
//! taken in a transaction that rolls back would be given out twice.

use std::sync::Mutex;

use sea_orm::ConnectionTrait;

use super::error::StoreError;
use super::sql::{Rows, Sql};

/// How many numbers are taken at a time.
const BLOCK: i64 = 20_000;
/// How many a unit finds at least; units that need more are split (batches of 500 rows).
const RESERVE: i64 = 8_000;

/// Numbers that are ours to give out: the current block and the one after it.
#[derive(Default)]
pub(super) struct Sequences(Mutex<Vec<(i64, i64)>>);

impl Sequences {
    /// Makes sure that a unit finds enough numbers.
    pub(super) async fn ensure<C: ConnectionTrait + Send>(&self, connection: &C) -> Result<(), StoreError> {
        if self.plenty() {
            return Ok(());
        }
        let row = connection
            .one("UPDATE counter SET next = next + $1 WHERE name = 'seq' RETURNING next", vals![BLOCK])
            .await?
            .ok_or_else(|| StoreError::damaged("counter"))?;
        let end: i64 = row.col("next")?;
        self.blocks().push((end - BLOCK, end));
        Ok(())
    }

    /// Whether one more unit finds enough numbers.
    pub(super) fn plenty(&self) -> bool {
        self.blocks().iter().map(|(next, end)| end - next).sum::<i64>() >= RESERVE
    }

    /// The next number.
    pub(super) fn next(&self) -> Result<i64, StoreError> {
        let mut blocks = self.blocks();
        while let Some((next, end)) = blocks.first_mut() {
            if next < end {
                *next += 1;
                return Ok(*next - 1);
            }
            blocks.remove(0);
        }
        Err(StoreError::Busy("a unit used more sequence numbers than were reserved".to_owned()))
    }

    fn blocks(&self) -> std::sync::MutexGuard<'_, Vec<(i64, i64)>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
