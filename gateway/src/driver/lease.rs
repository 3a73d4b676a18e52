//! Who drives what: a lease per driver key, and one for the gateway's own housekeeping (DECISIONS 19
//! and 25). Every claim and settlement names the lease's epoch and fails under a newer one, so a
//! process that was frozen and wakes up changes nothing. Times are the database's, what is left of a
//! lease is measured by the monotonic clock. On SQLite the file lock proves that any former holder is
//! dead.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use connector_sdk::DriverKey;

use crate::clock::{Clock, Mark};
use crate::store::{Hint, Rows, Sql, StoreError, Tx, Unit};

/// The lease of what the gateway does once, whichever replica: starting scheduled runs, and whatever
/// else is of no driver key.
pub const HOUSEKEEPING: &str = "housekeeping";
/// How long a lease lasts.
pub(super) const LENGTH: Duration = Duration::from_secs(15);
/// How often it is renewed.
pub(super) const RENEW: Duration = Duration::from_secs(3);

/// [`LENGTH`] as the store counts.
const MICROS: i64 = 15_000_000;
/// How long the row of a replica that is gone stays.
const REMEMBER: i64 = 3_600_000_000;
/// The lease that versions before this one took for all driver keys. While one of them holds it this
/// one drives nothing; then it is retired, so that none of them drives any more.
const FORMER: &str = "driver";
/// When a retired lease is free again.
const NEVER: i64 = i64::MAX;

/// The name of a driver key's lease.
pub(super) fn name_of(key: &DriverKey) -> String {
    format!("key:{key}")
}

/// A lease that is held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// The epoch: no two holders of any lease have the same.
    pub(super) epoch: i64,
    /// A time before it was last renewed.
    pub(super) since: Mark,
}

impl Held {
    /// How long it lasts at least.
    pub(super) fn left(&self, clock: &Clock) -> Duration {
        LENGTH.saturating_sub(clock.since(self.since))
    }
}

/// Says that this replica lives, renews its leases, and reads what there is to share out.
pub(super) struct Beat {
    pub(super) owner: String,
    /// Whether other replicas may be there.
    pub(super) shared: bool,
    /// Whether this one is ending: then it counts no more.
    pub(super) leaving: bool,
}

/// What a beat found.
#[derive(Debug)]
pub(super) struct Seen {
    /// The database's time.
    pub(super) now: i64,
    /// The leases that were renewed: by name, the epoch.
    pub(super) mine: HashMap<String, i64>,
    /// The leases that somebody should hold.
    pub(super) wanted: BTreeSet<String>,
    /// Those of other replicas that last, and until when.
    pub(super) others: HashMap<String, i64>,
    /// How many replicas live, and which of them this one is, the oldest being 0.
    pub(super) replicas: usize,
    pub(super) rank: usize,
    /// Whether a version from before leases by driver key drives.
    pub(super) former: Option<i64>,
}

#[async_trait]
impl Unit for Beat {
    type Out = Seen;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Seen, StoreError> {
        let clock = tx.conn.clock_or("CAST($1 AS BIGINT)");
        let asked = if self.shared { vec![] } else { vals![tx.now] };
        let row = tx.conn.one(&format!("SELECT {clock} AS now"), asked).await?;
        let now: i64 = row.ok_or_else(|| StoreError::damaged("no time"))?.col("now")?;
        let (replicas, rank) = if self.shared { self.live(tx, now).await? } else { (1, 0) };
        let rows = tx
            .conn
            .all(
                "UPDATE lease SET until_at = $2 WHERE owner = $1 RETURNING name, epoch",
                vals![self.owner.as_str(), now + MICROS],
            )
            .await?;
        let mut mine = HashMap::new();
        for row in &rows {
            mine.insert(row.col("name")?, row.col("epoch")?);
        }
        let former = retire(tx, now, self.shared).await?;
        if self.shared {
            // What a replica that froze within a transaction committed after its lease was taken over.
            free_orphans(tx).await?;
            tx.hint(Hint::Beat);
        }
        let wanted = wanted(tx).await?;
        let others = match self.shared {
            true => tx
                .conn
                .all(
                    "SELECT name, until_at FROM lease WHERE until_at > $1 AND owner <> $2 AND name <> $3",
                    vals![now, self.owner.as_str(), FORMER],
                )
                .await?
                .iter()
                .map(|row| Ok((row.col("name")?, row.col("until_at")?)))
                .collect::<Result<_, StoreError>>()?,
            false => HashMap::new(),
        };
        Ok(Seen { now, mine, wanted, others, replicas, rank, former })
    }
}

impl Beat {
    /// Keeps this replica's row. The number of replicas that live, and the rank of this one.
    async fn live(&self, tx: &Tx<'_>, now: i64) -> Result<(usize, usize), StoreError> {
        if self.leaving {
            tx.conn.run("DELETE FROM replica WHERE id = $1", vals![self.owner.as_str()]).await?;
        } else {
            let known = tx
                .conn
                .run("UPDATE replica SET until_at = $2 WHERE id = $1", vals![self.owner.as_str(), now + MICROS])
                .await?;
            if known == 0 {
                tx.conn
                    .run(
                        "INSERT INTO replica (id, started_at, until_at) VALUES ($1,$2,$3) ON CONFLICT DO NOTHING",
                        vals![self.owner.as_str(), now, now + MICROS],
                    )
                    .await?;
                tx.hint(Hint::Leases);
            }
        }
        tx.conn.run("DELETE FROM replica WHERE until_at < $1", vals![now - REMEMBER]).await?;
        let rows =
            tx.conn.all("SELECT id FROM replica WHERE until_at >= $1 ORDER BY started_at, id", vals![now]).await?;
        let mut rank = 0;
        for (place, row) in rows.iter().enumerate() {
            if row.col::<String>("id")? == self.owner {
                rank = place;
            }
        }
        Ok((rows.len(), rank))
    }
}

/// The leases that somebody should hold: of driver keys that have enabled instances or open runs, of
/// those under which something is claimed, and the housekeeping's.
async fn wanted(tx: &Tx<'_>) -> Result<BTreeSet<String>, StoreError> {
    let keys = tx
        .conn
        .all(
            "SELECT DISTINCT driver_key FROM instance WHERE (deleted_at IS NULL AND mode = 'enabled') \
             OR seq IN (SELECT instance_seq FROM run WHERE state = 'running')",
            vals![],
        )
        .await?;
    let claimed = tx
        .conn
        .all(
            "SELECT name FROM lease WHERE name <> $1 AND epoch IN (SELECT claim_epoch FROM work WHERE state = 'running')",
            vals![FORMER],
        )
        .await?;
    let mut wanted = BTreeSet::from([HOUSEKEEPING.to_owned()]);
    for row in &keys {
        wanted.insert(name_of(&DriverKey::new(row.col::<String>("driver_key")?)));
    }
    for row in &claimed {
        wanted.insert(row.col("name")?);
    }
    Ok(wanted)
}

/// Ends the time of one lease for all, once nobody holds it. Until when somebody does.
async fn retire(tx: &Tx<'_>, now: i64, shared: bool) -> Result<Option<i64>, StoreError> {
    let row = tx.conn.one("SELECT until_at, epoch FROM lease WHERE name = $1", vals![FORMER]).await?;
    let (until, epoch) = match row {
        Some(row) => (row.col::<i64>("until_at")?, row.col::<i64>("epoch")?),
        None => (0, 0),
    };
    if until == NEVER {
        return Ok(None);
    }
    if shared && until > now {
        return Ok(Some(until));
    }
    let retired = tx
        .conn
        .run(
            "INSERT INTO lease (name, owner, epoch, until_at) VALUES ($1,'',0,$2) \
             ON CONFLICT (name) DO UPDATE SET owner = '', epoch = 0, until_at = excluded.until_at \
             WHERE lease.until_at = $3",
            vals![FORMER, NEVER, until],
        )
        .await?;
    if retired == 0 {
        // Taken in between.
        return Ok(Some(now + MICROS));
    }
    tx.conn.run("UPDATE counter SET next = $1 WHERE name = 'epoch' AND next <= $2", vals![epoch + 1, epoch]).await?;
    free_orphans(tx).await?;
    Ok(None)
}

/// Takes a lease if it is free, or (`force`) its holder is known to be dead; answers its epoch.
pub(super) struct Take {
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) force: bool,
}

#[async_trait]
impl Unit for Take {
    type Out = Option<i64>;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Option<i64>, StoreError> {
        tx.conn
            .run(
                "INSERT INTO lease (name, owner, epoch, until_at) VALUES ($1, '', 0, 0) ON CONFLICT DO NOTHING",
                vals![self.name.as_str()],
            )
            .await?;
        let now = tx.conn.clock_or("CAST($3 AS BIGINT)");
        let free = if self.force { String::new() } else { format!(" AND until_at < {now}") };
        let mut values = vals![self.name.as_str(), self.owner.as_str()];
        if self.force {
            values.push(tx.now.into());
        }
        let taken = tx
            .conn
            .run(&format!("UPDATE lease SET owner = $2, until_at = {now} + {MICROS} WHERE name = $1{free}"), values)
            .await?;
        if taken == 0 {
            return Ok(None);
        }
        let row =
            tx.conn.one("UPDATE counter SET next = next + 1 WHERE name = 'epoch' RETURNING next", vals![]).await?;
        let epoch: i64 = row.ok_or_else(|| StoreError::damaged("counter epoch"))?.col("next")?;
        tx.conn.run("UPDATE lease SET epoch = $2 WHERE name = $1", vals![self.name.as_str(), epoch]).await?;
        free_orphans(tx).await?;
        Ok(Some(epoch))
    }
}

/// What is claimed or being sent under an epoch that no lease has any more is a former holder's: its
/// work is to do again, and what it was sending may or may not have happened. Work first: that waits
/// for settlements under way, and what they began to send is seen then.
async fn free_orphans(tx: &Tx<'_>) -> Result<(), StoreError> {
    tx.conn
        .run(
            "UPDATE work SET state = 'todo', due_at = $1, claim_rev = NULL, claim_epoch = NULL WHERE state = 'running' \
             AND NOT EXISTS (SELECT 1 FROM lease WHERE lease.epoch = work.claim_epoch)",
            vals![tx.now],
        )
        .await?;
    // Both conditions on the state: together they are what the index of open attempts is made for.
    tx.conn
        .run(
            "UPDATE attempt SET state = 'unknown', ended_at = $1 WHERE state IN ('sending','unknown') AND state = 'sending' \
             AND NOT EXISTS (SELECT 1 FROM lease WHERE lease.epoch = attempt.epoch)",
            vals![tx.now],
        )
        .await?;
    Ok(())
}

/// Gives a lease up, so that another replica need not wait for its end.
pub(super) struct GiveUp {
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) epoch: i64,
}

#[async_trait]
impl Unit for GiveUp {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        tx.conn
            .run(
                "UPDATE lease SET owner = '', until_at = 0 WHERE name = $1 AND owner = $2 AND epoch = $3",
                vals![self.name.as_str(), self.owner.as_str(), self.epoch],
            )
            .await?;
        tx.hint(Hint::Leases);
        Ok(())
    }
}

/// A unit that is only run while a lease is held under this epoch.
pub(super) struct Leased<U> {
    pub(super) name: String,
    pub(super) epoch: i64,
    pub(super) unit: U,
}

#[async_trait]
impl<U: Unit<Err = StoreError>> Unit for Leased<U> {
    type Out = U::Out;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<U::Out, StoreError> {
        if !is_held(tx, &self.name, self.epoch).await? {
            return Err(StoreError::Unavailable(format!("the lease {} is another replica's now", self.name)));
        }
        self.unit.run(tx).await
    }
}

/// Whether a lease is held under this epoch.
pub(super) async fn is_held(tx: &Tx<'_>, name: &str, epoch: i64) -> Result<bool, StoreError> {
    let row = tx.conn.one("SELECT 1 AS one FROM lease WHERE name = $1 AND epoch = $2", vals![name, epoch]).await?;
    Ok(row.is_some())
}

/// How many leases each of so many replicas should hold, the oldest first: as equal as can be, and
/// all of them together.
pub(super) fn share(leases: usize, replicas: usize, rank: usize) -> usize {
    let replicas = replicas.max(1);
    leases / replicas + usize::from(rank < leases % replicas)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Priority, Store};

    struct Statement(String);

    #[async_trait]
    impl Unit for Statement {
        type Out = ();
        type Err = StoreError;

        async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
            tx.conn.run(&self.0, vals![]).await.map(drop)
        }
    }

    async fn beat(store: &Store, owner: &str) -> Seen {
        let beat = Beat { owner: owner.to_owned(), shared: store.is_shared(), leaving: false };
        store.write(Priority::Driver, beat).await.unwrap()
    }

    async fn take(store: &Store, owner: &str) -> Option<i64> {
        let take = Take { name: "key:k".to_owned(), owner: owner.to_owned(), force: !store.is_shared() };
        store.write(Priority::Driver, take).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_lease_is_one_replicas_and_each_holder_has_an_epoch_of_its_own() {
        for place in crate::store::tests::places().await {
            let store = Store::open(&place.database, Clock::system()).await.unwrap();
            let seen = beat(&store, "a").await;
            assert!(seen.former.is_none() && seen.wanted.contains(HOUSEKEEPING));
            let first = take(&store, "a").await.unwrap();
            if store.is_shared() {
                assert_eq!(take(&store, "b").await, None, "a lease that lasts is not taken");
                assert_eq!(beat(&store, "b").await.others.len(), 1);
            }
            assert_eq!(beat(&store, "a").await.mine["key:k"], first);
            let give_up = GiveUp { name: "key:k".to_owned(), owner: "a".to_owned(), epoch: first };
            store.write(Priority::Driver, give_up).await.unwrap();
            assert!(beat(&store, "a").await.mine.is_empty());
            let second = take(&store, "b").await.unwrap();
            assert!(second > first);
            let stale =
                Leased { name: "key:k".to_owned(), epoch: first, unit: Statement("DELETE FROM lease".to_owned()) };
            assert!(store.write(Priority::Driver, stale).await.is_err(), "a former holder stores nothing");
            assert_eq!(beat(&store, "b").await.mine["key:k"], second);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn while_an_older_version_drives_by_its_one_lease_this_one_does_not() {
        for place in crate::store::tests::places().await {
            let clock = Clock::system();
            let store = Store::open(&place.database, clock.clone()).await.unwrap();
            let until = clock.micros() + 2_000_000;
            let held = format!("INSERT INTO lease (name, owner, epoch, until_at) VALUES ('driver', 'old', 7, {until})");
            store.write(Priority::Driver, Statement(held)).await.unwrap();
            let seen = beat(&store, "a").await;
            assert_eq!(seen.former, store.is_shared().then_some(until));
            while beat(&store, "a").await.former.is_some() {
                clock.sleep(Duration::from_millis(50)).await;
            }
            assert!(clock.micros() >= until || !store.is_shared());
            // From now on no older version takes it, and no epoch of theirs is given again.
            let row = store.reader().one("SELECT until_at FROM lease WHERE name = 'driver'", vals![]).await.unwrap();
            assert_eq!(row.unwrap().col::<i64>("until_at").unwrap(), NEVER);
            assert!(take(&store, "a").await.unwrap() > 7);
            assert!(beat(&store, "a").await.others.is_empty());
        }
    }

    #[test]
    fn shares_are_equal_and_leave_nothing_over() {
        for leases in 0..40 {
            for replicas in 1..8 {
                let shares: Vec<usize> = (0..replicas).map(|rank| share(leases, replicas, rank)).collect();
                assert_eq!(shares.iter().sum::<usize>(), leases);
                assert!(shares[0] - shares[replicas - 1] <= 1, "{shares:?}");
            }
        }
    }
}
