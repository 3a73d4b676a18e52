//! The start on a restored database (DECISIONS 33). The copy is older than the world: what was acknowledged after it was
//! made is not in it, and what it has still to do may have been done. So everything that was enabled is paused, whatever
//! may have been created is looked for before it is created, and once an admin enables an instance again its links are
//! looked at ([`crate::reconcile`]) before anything is written at its target.

use async_trait::async_trait;
use serde_json::json;

use super::records::audit;
use crate::store::backup::MARK;
use crate::store::{Priority, Rows, Sql, Store, StoreError, Tx, Unit};

/// Resources whose doubts are written in one transaction.
const BATCH: i64 = 2_000;
/// Versions of resources that the copy does not know may have been told to clients; none of them is told again.
const LATER: i64 = 1_000_000;

/// Takes note that a database was restored, if it was. How many instances are affected.
///
/// # Errors
/// The store's; then the next start does it again.
pub(crate) async fn notice(store: &Store) -> Result<Option<u64>, StoreError> {
    if store.setting(MARK).await?.is_none() {
        return Ok(None);
    }
    while store.write(Priority::Background, Doubt).await? > 0 {}
    store.write(Priority::Background, Pause).await
}

/// Makes due what is to be done at once and seems to lie ahead: the host's clock was set back while no gateway ran.
///
/// # Errors
/// The store's.
pub(crate) async fn make_due(store: &Store) -> Result<(), StoreError> {
    let late = "SELECT 1 AS one FROM work WHERE state = 'todo' AND due_at > $1 LIMIT 1";
    if store.reader().one(late, vals![store.clock().micros()]).await?.is_some() {
        store.write(Priority::Background, Due).await?;
    }
    Ok(())
}

struct Due;

#[async_trait]
impl Unit for Due {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        tx.conn.run("UPDATE work SET due_at = $1 WHERE state = 'todo' AND due_at > $1", vals![tx.now]).await.map(drop)
    }
}

/// Marks a database that was restored by its own means, such as `pg_restore`, so that the next start takes note.
pub(crate) struct Mark;

#[async_trait]
impl Unit for Mark {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        tx.require_alone().await?;
        tx.conn
            .run(
                "INSERT INTO setting (name, value) VALUES ($1,$2) ON CONFLICT (name) DO NOTHING",
                vals![MARK, tx.now.to_string()],
            )
            .await?;
        Ok(())
    }
}

/// Notes for work whose resource has no account yet that its creation may have been sent: it is looked for first. How
/// many were noted; none once all are.
struct Doubt;

#[async_trait]
impl Unit for Doubt {
    type Out = usize;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<usize, StoreError> {
        let rows = tx
            .conn
            .all(
                "SELECT w.resource_seq, w.instance_seq FROM work w JOIN resource r ON r.seq = w.resource_seq \
                 WHERE r.kind IN ('User','Group') \
                 AND NOT EXISTS (SELECT 1 FROM link l WHERE l.resource_seq = w.resource_seq AND l.state = 'live') \
                 AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.resource_seq = w.resource_seq AND a.item_seq = 0 AND a.state IN ('sending','unknown')) \
                 ORDER BY w.resource_seq LIMIT $1",
                vals![BATCH],
            )
            .await?;
        for row in &rows {
            tx.conn
                .run(
                    "INSERT INTO attempt (seq, instance_seq, resource_seq, item_seq, op_seq, step, marker, epoch, config_rev, state, fault, calls, started_at, ended_at) \
                     VALUES ($1,$2,$3,0,NULL,'create','restored',0,0,'unknown',NULL,NULL,$4,$4)",
                    vals![tx.seq()?, row.col::<i64>("instance_seq")?, row.col::<i64>("resource_seq")?, tx.now],
                )
                .await?;
        }
        Ok(rows.len())
    }
}

/// Pauses every instance that was enabled, and takes the mark away. None if another replica did.
struct Pause;

#[async_trait]
impl Unit for Pause {
    type Out = Option<u64>;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Option<u64>, StoreError> {
        let mark = tx.conn.one("DELETE FROM setting WHERE name = $1 RETURNING value", vals![MARK]).await?;
        let Some(mark) = mark else { return Ok(None) };
        let made_at: String = mark.col("value")?;
        let instances = tx
            .conn
            .run(
                "UPDATE instance SET verify_since = $1, config_rev = config_rev + 1, \
                 mode = CASE WHEN mode = 'enabled' THEN 'paused' ELSE mode END WHERE deleted_at IS NULL",
                vals![tx.now],
            )
            .await?;
        for text in [
            "UPDATE work SET state = 'todo', due_at = $1, claim_rev = NULL, claim_epoch = NULL WHERE state = 'running'",
            "UPDATE attempt SET state = 'unknown', ended_at = $1 WHERE state IN ('sending','unknown') AND state = 'sending'",
            "UPDATE run SET state = 'failed', error = 'The database was restored meanwhile.', ended_at = $1 WHERE state = 'running'",
        ] {
            tx.conn.run(text, vals![tx.now]).await?;
        }
        // Who was signed in when the copy was made is not signed in now.
        tx.conn.run("DELETE FROM console_session", vals![]).await?;
        tx.conn.run("UPDATE resource SET version = version + $1", vals![LATER]).await?;
        audit(
            tx,
            "restore",
            "database.restored",
            "database",
            &json!({"copy_made_at": made_at, "instances": instances}),
        )
        .await?;
        Ok(Some(instances))
    }
}
