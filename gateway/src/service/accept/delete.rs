//! DELETE: a tombstone now, the account's removal by the driver.

use std::sync::Arc;

use async_trait::async_trait;
use engine::Lane;
use scim::{Quirks, ScimError};
use serde_json::json;

use super::change::{find, protected};
use super::claims::disclaim;
use super::record::{Ends, Record, close_operation_items, is_protected, tally, unindex, upsert_work};
use super::{Accepted, type_of};
use crate::service::events::{self, Left};
use crate::service::types::{Caller, Failure, Instance, Precondition};
use crate::store::{Rows, Sql, StoreError, Tx, Unit};

/// Deletes a resource.
pub(in crate::service) struct Delete {
    pub(in crate::service) instance: Arc<Instance>,
    pub(in crate::service) caller: Caller,
    pub(in crate::service) kind: String,
    pub(in crate::service) id: String,
    pub(in crate::service) condition: Precondition,
}

#[async_trait]
impl Unit for Delete {
    type Out = Accepted;
    type Err = Failure;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Accepted, Failure> {
        let before = find(tx, &self.instance, &self.kind, &self.id).await?;
        if !self.condition.holds(before.version) {
            return Err(ScimError::precondition_failed(format!(
                "{} {} is not at the version that the request asks for. Read it again.",
                self.kind, self.id
            ))
            .into());
        }
        if before.managed && self.kind == "User" && is_protected(tx, &self.instance, before.seq, &before.name).await? {
            return Err(protected(&before.name).into());
        }
        let listed = tx
            .conn
            .one("SELECT listed FROM resource WHERE seq = $1", vals![before.seq])
            .await?
            .map_or(Ok(0), |row| row.col::<i16>("listed"))?;
        let mut after = before.clone();
        after.rev += 1;
        tx.conn
            .run(
                "UPDATE resource SET deleted_at = $2, rev = $3, modified_at = $2 WHERE seq = $1",
                vals![before.seq, tx.now, after.rev],
            )
            .await?;
        unindex(tx, before.seq).await?;
        disclaim(tx, before.seq).await?;
        if listed == 1 {
            tally(tx, self.instance.seq, &self.kind, before.seq, -1).await?;
        }
        let left = if self.kind == "User" { leave_groups(tx, &self.instance, before.seq).await? } else { Vec::new() };
        // An account that nobody manages is hidden, and the target is not touched (DECISIONS 1).
        // So is what lives in the directory alone.
        let driven = before.managed && type_of(&self.instance, &self.kind)?.is_core();
        let items = i64::from(driven);
        let operation = Record {
            instance: &self.instance,
            resource_seq: before.seq,
            caller: &self.caller,
            verb: "delete",
            rev: after.rev,
            changes: json!([]),
            quirks: Vec::new(),
            items,
        }
        .write(tx)
        .await?;
        let lane = if self.kind == "User" { Lane::Deprovision } else { Lane::Removal };
        if driven {
            upsert_work(tx, &self.instance, before.seq, lane, after.rev, None).await?;
        }
        events::deleted(tx, &self.instance, &self.caller, &before, operation, left).await?;
        Ok(Accepted {
            stored: after,
            operation: Some(operation),
            items,
            lane,
            before: Some(before),
            quirks: Quirks::default(),
            groups: 0,
        })
    }
}

/// A deleted person disappears from every group (RFC 7643 section 4.2). Rows that the target
/// may have stay until it has let go of them; the groups' entity tags change.
///
/// Answers which groups these were, for those who are told of it.
pub(super) async fn leave_groups(tx: &Tx<'_>, instance: &Instance, user: i64) -> Result<Vec<Left>, StoreError> {
    // In one order everywhere: two leavers with the same groups would wait for each other.
    let groups = tx
        .conn
        .all(
            &format!(
                "SELECT r.seq AS group_seq, r.rev FROM resource r WHERE r.seq IN (SELECT group_seq FROM member WHERE user_seq = $1) ORDER BY r.seq{}",
                tx.conn.for_update()
            ),
            vals![user],
        )
        .await?;
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    // Behind the lock: their versions are told.
    let left = events::leaving(tx, instance, user).await?;
    tx.conn
        .run(
            "UPDATE resource SET version = version + 1, modified_at = $2 WHERE deleted_at IS NULL AND seq IN (SELECT group_seq FROM member WHERE user_seq = $1 AND want = 1)",
            vals![user, tx.now],
        )
        .await?;
    // What was still to be done for these memberships is overwritten.
    let open = tx
        .conn
        .all(
            "SELECT op_seq, COUNT(*) AS n FROM member WHERE user_seq = $1 AND state = 'todo' AND op_seq IS NOT NULL GROUP BY op_seq ORDER BY op_seq",
            vals![user],
        )
        .await?;
    for row in &open {
        close_operation_items(tx, row.col("op_seq")?, Ends { superseded: row.col("n")?, ..Ends::default() }, None)
            .await?;
    }
    tx.conn
        .run(
            "UPDATE member SET want = 0, state = 'todo', reason = NULL, op_seq = NULL, parked_at = NULL WHERE user_seq = $1",
            vals![user],
        )
        .await?;
    for row in &groups {
        upsert_work(tx, instance, row.col("group_seq")?, Lane::Removal, row.col("rev")?, None).await?;
    }
    Ok(left)
}
