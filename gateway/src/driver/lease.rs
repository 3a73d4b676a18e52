//! Who drives: one process at a time, by a lease with an epoch (DECISIONS 19). Every claim and
//! settlement names the epoch and fails under a newer one, so a process that was frozen and wakes
//! up changes nothing. On SQLite the file lock proves that any former holder is dead.

use async_trait::async_trait;

use crate::store::{Priority, Rows, Sql, Store, StoreError, Tx, Unit};

/// The one lease of this build; later one per driver key, in the same table.
pub(super) const NAME: &str = "driver";
/// How long a lease lasts, in microseconds.
pub(super) const LENGTH: i64 = 15_000_000;
/// How often it is renewed.
pub(super) const RENEW: std::time::Duration = std::time::Duration::from_secs(3);

/// A lease that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The epoch; grows with every change of holder.
    pub(super) epoch: i64,
    /// Until when, in microseconds.
    pub(super) until: i64,
}

/// Takes the lease if it is free, ours, or (`force`) its holder is known to be dead; renews it if it
/// is ours under that epoch.
pub(super) struct Take {
    pub(super) owner: String,
    pub(super) held: Option<i64>,
    pub(super) force: bool,
}

#[async_trait]
impl Unit for Take {
    type Out = Option<Held>;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Option<Held>, StoreError> {
        let until = tx.now + LENGTH;
        if let Some(epoch) = self.held {
            let renewed = tx
                .conn
                .run(
                    "UPDATE lease SET until_at = $3 WHERE name = $1 AND owner = $2 AND epoch = $4",
                    vals![NAME, self.owner.as_str(), until, epoch],
                )
                .await?;
            return Ok((renewed == 1).then_some(Held { epoch, until }));
        }
        tx.conn
            .run(
                "INSERT INTO lease (name, owner, epoch, until_at) VALUES ($1, '', 0, 0) ON CONFLICT DO NOTHING",
                vals![NAME],
            )
            .await?;
        let condition = if self.force { "" } else { " AND until_at < $4" };
        let mut values = vals![NAME, self.owner.as_str(), until];
        if !self.force {
            values.push(tx.now.into());
        }
        let row = tx
            .conn
            .one(&format!("UPDATE lease SET owner = $2, epoch = epoch + 1, until_at = $3 WHERE name = $1{condition} RETURNING epoch"), values)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let epoch: i64 = row.col("epoch")?;
        // What the former holder was sending may or may not have happened: look before repeating.
        tx.conn
            .run("UPDATE attempt SET state = 'unknown', ended_at = $1 WHERE state = 'sending'", vals![tx.now])
            .await?;
        tx.conn
            .run("UPDATE work SET state = 'todo', due_at = $1, claim_rev = NULL, claim_epoch = NULL WHERE state = 'running'", vals![tx.now])
            .await?;
        Ok(Some(Held { epoch, until }))
    }
}

/// Gives the lease up at a clean end, so that another replica need not wait for its expiry.
pub(super) async fn give_up(store: &Store, owner: &str, epoch: i64) -> Result<(), StoreError> {
    struct GiveUp(String, i64);

    #[async_trait]
    impl Unit for GiveUp {
        type Out = ();
        type Err = StoreError;

        async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
            tx.conn
                .run(
                    "UPDATE lease SET until_at = 0 WHERE name = $1 AND owner = $2 AND epoch = $3",
                    vals![NAME, self.0.as_str(), self.1],
                )
                .await?;
            Ok(())
        }
    }

    store.write(Priority::Driver, GiveUp(owner.to_owned(), epoch)).await
}
