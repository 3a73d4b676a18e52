//! How long an instance's queue is, known cheaply: counted in the store at most once a second, so that
//! every replica sees the same queue, and by what this replica adds in between.

use std::sync::atomic::{AtomicI64, Ordering};

use engine::Lane;
use scim::ScimError;

use crate::store::{Rows, Sql, Store, StoreError};

/// More grants than this are a backlog: they go behind other instances' (DECISIONS 26).
const LONG: i64 = 100;
/// How long a count is good for, in microseconds, and how much longer per row that was counted: a
/// million rows are not counted every second.
const FRESH: i64 = 1_000_000;
const FRESH_PER_ROW: i64 = 20;

/// An instance's queue. It outlives changes of the instance's configuration.
#[derive(Debug, Default)]
pub struct Queue {
    /// Work that is open.
    open: AtomicI64,
    /// Grants that wait for their turn.
    grants: AtomicI64,
    counted_at: AtomicI64,
}

impl Queue {
    /// The lane of a change: a grant behind a long backlog goes with the bulk.
    pub fn lane(&self, lane: Lane) -> Lane {
        let behind = lane == Lane::Grant && self.grants.load(Ordering::Relaxed) > LONG;
        if behind { Lane::Bulk } else { lane }
    }

    /// One more piece of work, in that lane.
    pub(crate) fn added(&self, lane: Lane) {
        self.open.fetch_add(1, Ordering::Relaxed);
        if matches!(lane, Lane::Grant | Lane::Bulk) {
            self.grants.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lets a change in, unless the queue is full. Who leaves or loses something is always let in.
    ///
    /// # Errors
    /// 503, which says so.
    pub fn admit(&self, lane: Lane, most: i64) -> Result<(), ScimError> {
        if matches!(lane, Lane::Deprovision | Lane::Removal) || self.open.load(Ordering::Relaxed) < most {
            return Ok(());
        }
        Err(ScimError::unavailable(format!(
            "The target is behind: {most} changes of this instance wait for it, the most that are kept. This one was not stored; send it again later. Deactivations and removals are accepted all the while."
        )))
    }

    /// Counts, where the last count is too old. `most` is where counting may end.
    ///
    /// # Errors
    /// The store's; the last count stays.
    pub(crate) async fn count(&self, store: &Store, instance: i64, most: i64) -> Result<(), StoreError> {
        let now = store.clock().micros();
        let counted = self.counted_at.load(Ordering::Relaxed);
        let open = self.open.load(Ordering::Relaxed).clamp(0, most);
        // Nobody is kept out by what has been done meanwhile.
        let good = if open < most { FRESH } else { 0 } + open * FRESH_PER_ROW;
        if (counted..counted + good).contains(&now) {
            return Ok(());
        }
        // One request counts; the others go on with the last count.
        if self.counted_at.compare_exchange(counted, now, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return Ok(());
        }
        let row = store
            .reader()
            .one(
                "SELECT (SELECT COUNT(*) FROM (SELECT 1 AS one FROM work WHERE instance_seq = $1 LIMIT $2) AS open_work) AS open_work, \
                 (SELECT COUNT(*) FROM (SELECT 1 AS one FROM work WHERE instance_seq = $1 AND lane IN (2,3) \
                 AND state IN ('todo','waiting','needs') AND state = 'todo' AND due_at <= $3 LIMIT $4) AS waiting) AS grants",
                vals![instance, most, now, LONG + 1],
            )
            .await?;
        if let Some(row) = row {
            self.open.store(row.col("open_work")?, Ordering::Relaxed);
            self.grants.store(row.col("grants")?, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_keeps_joiners_out_and_lets_leavers_in() {
        let queue = Queue::default();
        for n in 0..150 {
            assert_eq!(queue.lane(Lane::Grant), if n > LONG { Lane::Bulk } else { Lane::Grant }, "{n}");
            assert_eq!(queue.lane(Lane::Removal), Lane::Removal);
            queue.added(Lane::Grant);
        }
        for lane in Lane::ALL {
            let full = queue.admit(lane, 150).is_err();
            assert_eq!(full, !matches!(lane, Lane::Deprovision | Lane::Removal), "{lane:?}");
            assert!(queue.admit(lane, 151).is_ok());
        }
    }
}
