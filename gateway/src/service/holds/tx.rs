//! The transactions of holds: the decision, and what follows from it in portions.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use engine::Lane;
use serde_json::json;

use super::{AdminError, OPEN, list_hash, no_hold};
use crate::service::accept::{Ends, close_operation_items, upsert_work};
use crate::service::directory::time;
use crate::service::records::audit;
use crate::service::types::Instance;
use crate::service::waivers;
use crate::store::{Rows, Sql, StoreError, Tx, Unit};

/// Rows that one transaction releases at most.
const PORTION: i64 = 200;
/// Why operations end whose effect was discarded.
const DISCARDED: &str = "An admin discarded the hold that it was in: what the target has stays until the identity provider asks for this again.";

/// Decides a hold. What it held is released afterwards, by [`Release`].
pub(crate) struct Decide {
    pub(crate) actor: String,
    pub(crate) id: String,
    pub(crate) allow: bool,
    /// The list that was read; none where nobody read one, as after a time-out.
    pub(crate) list_hash: Option<String>,
    pub(crate) comment: Option<String>,
}

/// A hold that was decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decided {
    pub(crate) seq: i64,
    pub(crate) instance: i64,
}

#[async_trait]
impl Unit for Decide {
    type Out = Decided;
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Decided, AdminError> {
        // Whoever adds to the hold locks it, too: the list is whole.
        let row = tx
            .conn
            .one(
                &format!(
                    "SELECT seq, instance_seq, state, decided_by, decided_at FROM hold WHERE id = $1{}",
                    tx.conn.for_update()
                ),
                vals![self.id.as_str()],
            )
            .await?
            .ok_or_else(no_hold)?;
        let (seq, state): (i64, String) = (row.col("seq")?, row.col("state")?);
        if state != "open" {
            return Err(AdminError::Conflict(format!(
                "This hold was {state} by {} at {}. Nothing was changed.",
                row.col::<Option<String>>("decided_by")?.unwrap_or_default(),
                row.col::<Option<i64>>("decided_at")?.map(time).unwrap_or_default()
            )));
        }
        let (hash, items) = list_hash(tx.conn, seq, "open").await?;
        if self.list_hash.as_ref().is_some_and(|read| *read != hash) {
            return Err(AdminError::Conflict(format!(
                "The list of this hold is not the one you read: it has {items} items now. Nothing was changed. Read it again and decide about those."
            )));
        }
        tx.conn
            .run(
                &format!("INSERT INTO hold_item (hold_seq, resource_seq, item_seq, effect, rev) SELECT CAST($1 AS BIGINT), i.resource_seq, i.item_seq, i.effect, i.rev FROM ({OPEN}) i"),
                vals![seq],
            )
            .await?;
        let word = if self.allow { "allowed" } else { "discarded" };
        tx.conn
            .run(
                "UPDATE hold SET state = $2, decided_by = $3, decided_at = $4, comment = $5 WHERE seq = $1",
                vals![seq, word, self.actor.as_str(), tx.now, self.comment.clone()],
            )
            .await?;
        let act = if self.allow { "hold.allow" } else { "hold.discard" };
        let detail = json!({"items": items, "list_hash": hash, "comment": self.comment});
        audit(tx, &self.actor, act, &self.id, &detail).await?;
        Ok(Decided { seq, instance: row.col("instance_seq")? })
    }
}

/// Releases a portion of what a decided hold still holds: to do, or given up. Answers how many; with
/// none left it is done. Doing it again does no harm.
pub(crate) struct Release {
    pub(crate) hold: i64,
    pub(crate) instance: Arc<Instance>,
    pub(crate) allow: bool,
}

#[async_trait]
impl Unit for Release {
    type Out = usize;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<usize, StoreError> {
        let whole = self.work(tx).await?;
        if whole > 0 {
            return Ok(whole);
        }
        self.members(tx).await
    }
}

impl Release {
    async fn work(&self, tx: &Tx<'_>) -> Result<usize, StoreError> {
        let rows = tx
            .conn
            .all(
                "SELECT resource_seq FROM work WHERE hold_seq = $1 AND state = 'held' ORDER BY resource_seq LIMIT $2",
                vals![self.hold, PORTION],
            )
            .await?;
        let resources: Vec<i64> = rows.iter().map(|row| row.col("resource_seq")).collect::<Result<_, _>>()?;
        if resources.is_empty() {
            return Ok(0);
        }
        lock(tx, &resources).await?;
        for resource in &resources {
            if self.allow {
                // hold_seq stays: what was allowed is not counted once more.
                tx.conn
                    .run(
                        "UPDATE work SET state = 'todo', due_at = $3, need = NULL, reason = NULL, tries = 0 WHERE resource_seq = $1 AND hold_seq = $2 AND state = 'held'",
                        vals![*resource, self.hold, tx.now],
                    )
                    .await?;
                continue;
            }
            let gone = tx
                .conn
                .one(
                    "DELETE FROM work WHERE resource_seq = $1 AND hold_seq = $2 AND state = 'held' RETURNING rev",
                    vals![*resource, self.hold],
                )
                .await?;
            if let Some(row) = gone {
                waivers::write(tx, *resource, 0, row.col("rev")?, DISCARDED).await?;
                withdraw_all(tx, *resource, DISCARDED).await?;
            }
        }
        Ok(resources.len())
    }

    async fn members(&self, tx: &Tx<'_>) -> Result<usize, StoreError> {
        let rows = tx
            .conn
            .all(
                "SELECT group_seq, user_seq FROM member WHERE hold_seq = $1 AND held = 1 ORDER BY group_seq, user_seq LIMIT $2",
                vals![self.hold, PORTION],
            )
            .await?;
        let mut groups: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for row in &rows {
            groups.entry(row.col("group_seq")?).or_default().push(row.col("user_seq")?);
        }
        lock(tx, &groups.keys().copied().collect::<Vec<_>>()).await?;
        for (group, users) in groups {
            if self.allow {
                self.free(tx, group, &users).await?;
            } else {
                self.give_up(tx, group, &users).await?;
            }
        }
        Ok(rows.len())
    }

    async fn free(&self, tx: &Tx<'_>, group: i64, users: &[i64]) -> Result<(), StoreError> {
        let text = format!(
            "UPDATE member SET held = 0 WHERE group_seq = $1 AND hold_seq = $2 AND held = 1 AND user_seq IN (SELECT CAST(e.v AS BIGINT) FROM {} e)",
            tx.conn.each(3)
        );
        tx.conn.run(&text, vals![group, self.hold, json!(users).to_string()]).await?;
        let rev = tx
            .conn
            .one("SELECT rev FROM resource WHERE seq = $1", vals![group])
            .await?
            .map_or(Ok(0), |row| row.col("rev"))?;
        upsert_work(tx, &self.instance, group, Lane::Removal, rev, None).await
    }

    async fn give_up(&self, tx: &Tx<'_>, group: i64, users: &[i64]) -> Result<(), StoreError> {
        let mut ends: BTreeMap<i64, i64> = BTreeMap::new();
        for user in users {
            // op_seq stays: the waiver is about the wish that this operation brought.
            let row = tx
                .conn
                .one(
                    "UPDATE member SET held = 0, hold_seq = NULL, state = CASE WHEN state = 'todo' THEN 'refused' ELSE state END, \
                     reason = CASE WHEN state = 'todo' THEN $4 ELSE reason END \
                     WHERE group_seq = $1 AND user_seq = $2 AND hold_seq = $3 AND held = 1 RETURNING op_seq, state",
                    vals![group, *user, self.hold, DISCARDED],
                )
                .await?;
            let Some(row) = row else { continue };
            let operation: Option<i64> = row.col("op_seq")?;
            if row.col::<String>("state")? == "refused" {
                waivers::write(tx, group, *user, operation.unwrap_or(0), DISCARDED).await?;
                *ends.entry(operation.unwrap_or(0)).or_default() += 1;
            }
        }
        for (operation, withdrawn) in ends {
            close_operation_items(tx, operation, Ends { withdrawn, ..Ends::default() }, Some(DISCARDED)).await?;
        }
        Ok(())
    }
}

/// Locks resources before what belongs to them, in one order.
async fn lock(tx: &Tx<'_>, resources: &[i64]) -> Result<(), StoreError> {
    let lock = tx.conn.for_update();
    if !lock.is_empty() && !resources.is_empty() {
        let text = format!(
            "SELECT seq FROM resource WHERE seq IN (SELECT CAST(e.v AS BIGINT) FROM {} e) ORDER BY seq{lock}",
            tx.conn.each(1)
        );
        tx.conn.all(&text, vals![json!(resources).to_string()]).await?;
    }
    Ok(())
}

/// Ends the open operations of a resource as withdrawn; their ids.
pub(crate) async fn withdraw_all(tx: &Tx<'_>, resource: i64, reason: &str) -> Result<Vec<String>, StoreError> {
    let open = tx
        .conn
        .all(
            "SELECT seq, id, open_items FROM operation WHERE resource_seq = $1 AND state = 'open' ORDER BY seq",
            vals![resource],
        )
        .await?;
    let mut ids = Vec::with_capacity(open.len());
    for row in &open {
        let ends = Ends { withdrawn: row.col("open_items")?, ..Ends::default() };
        close_operation_items(tx, row.col("seq")?, ends, Some(reason)).await?;
        ids.push(row.col("id")?);
    }
    Ok(ids)
}
