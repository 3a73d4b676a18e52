//! Taking back what the target refused while the client still waits (DECISIONS 9). Both compare and
//! set on the revision: had another change come in between, nothing is taken back.

use std::sync::Arc;

use async_trait::async_trait;
use scim::fold::fold_name;

use engine::Lane;

use super::change::wake_groups;
use super::claims::{claims_of, disclaim, is_claimed, own};
use super::delete::leave_groups;
use super::record::{Ends, close_operation_items, index, tally, unindex, upsert_work};
use super::{text, type_of};
use crate::service::events;
use crate::service::types::{Instance, Stored};
use crate::store::{Rows, Sql, StoreError, Tx, Unit};

/// Takes a refused create back: the name is free again, the operation failed.
pub(in crate::service) struct Retract {
    pub(in crate::service) instance: Arc<Instance>,
    pub(in crate::service) stored: Stored,
    pub(in crate::service) reason: String,
}

#[async_trait]
impl Unit for Retract {
    type Out = bool;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<bool, StoreError> {
        let seq = self.stored.seq;
        lock(tx, seq).await?;
        if !clear_refused_work(tx, seq, self.stored.rev).await? {
            return Ok(false);
        }
        let gone = tx
            .conn
            .run(
                "UPDATE resource SET deleted_at = $3, rev = rev + 1 WHERE seq = $1 AND rev = $2 AND deleted_at IS NULL",
                vals![seq, self.stored.rev, tx.now],
            )
            .await?;
        if gone == 0 {
            return Err(StoreError::Busy("the resource changed while its refusal was recorded".to_owned()));
        }
        unindex(tx, seq).await?;
        disclaim(tx, seq).await?;
        tally(tx, self.instance.seq, &self.stored.kind, seq, -1).await?;
        tx.conn.run("DELETE FROM member WHERE group_seq = $1", vals![seq]).await?;
        // Groups may have the person by now, by the same request or another.
        let left = leave_groups(tx, &self.instance, seq).await?;
        events::retracted(tx, &self.instance, &self.stored, left).await?;
        fail_operations(tx, seq, self.stored.rev, &self.reason).await?;
        crate::driver::links::end_proposals(tx, seq).await?;
        self.leave_nothing_behind(tx).await?;
        Ok(true)
    }
}

impl Retract {
    /// A later step may have been refused than the one that made the account: what we made goes
    /// again, and an account that was there before is nobody's again.
    async fn leave_nothing_behind(&self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let seq = self.stored.seq;
        let Some(row) = tx
            .conn
            .one(
                "SELECT l.seq, CASE WHEN a.ours = 1 OR l.opened_at < r.created_at THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END AS to_go \
                 FROM link l JOIN account a ON a.seq = l.account_seq JOIN resource r ON r.seq = l.resource_seq \
                 WHERE l.resource_seq = $1 AND l.state = 'live'",
                vals![seq],
            )
            .await?
        else {
            return Ok(());
        };
        // Ours, or taken over from one that was deleted: the end of its access was acknowledged.
        if row.col::<i64>("to_go")? == 1 {
            return upsert_work(tx, &self.instance, seq, Lane::Deprovision, self.stored.rev + 1, None).await;
        }
        tx.conn
            .run(
                "UPDATE link SET state = 'closed', closed_at = $2 WHERE seq = $1",
                vals![row.col::<i64>("seq")?, tx.now],
            )
            .await?;
        Ok(())
    }
}

/// Takes a refused update back: the document is what it was. The driver goes over it again, because
/// part of the refused change, or an earlier one that went with it, may or may not be at the target.
pub(in crate::service) struct Revert {
    pub(in crate::service) instance: Arc<Instance>,
    pub(in crate::service) before: Stored,
    pub(in crate::service) rev: i64,
    pub(in crate::service) reason: String,
}

#[async_trait]
impl Unit for Revert {
    type Out = bool;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<bool, StoreError> {
        let seq = self.before.seq;
        lock(tx, seq).await?;
        let rt = type_of(&self.instance, &self.before.kind)?;
        let taken =
            self.name_is_taken(tx).await? || is_claimed(tx, self.instance.seq, rt, seq, &self.before.doc).await?;
        if !self.before.managed || taken || !clear_refused_work(tx, seq, self.rev).await? {
            return Ok(false);
        }
        let refused = events::standing(tx, &self.instance, seq).await?;
        let was_active = tx
            .conn
            .one("SELECT active FROM resource WHERE seq = $1", vals![seq])
            .await?
            .map_or(Ok(0), |row| row.col::<i16>("active"))?
            == 1;
        let document = serde_json::to_string(&self.before.doc).map_err(|error| StoreError::Other(error.to_string()))?;
        let back = tx
            .conn
            .run(
                "UPDATE resource SET name = $3, name_key = $4, external_id = $5, active = $6, doc = $7, version = version + 1, rev = rev + 1, \
                 modified_at = $8 WHERE seq = $1 AND rev = $2 AND deleted_at IS NULL",
                vals![
                    seq,
                    self.rev,
                    self.before.name.as_str(),
                    fold_name(&self.before.name),
                    text(&self.before.doc, "externalId").map(str::to_owned),
                    i16::from(self.before.active),
                    document,
                    tx.now
                ],
            )
            .await?;
        if back == 0 {
            return Err(StoreError::Busy("the resource changed while its refusal was recorded".to_owned()));
        }
        unindex(tx, seq).await?;
        index(tx, self.instance.seq, seq, &self.before.doc).await?;
        disclaim(tx, seq).await?;
        for claim in claims_of(rt, &self.before.doc) {
            if own(tx, self.instance.seq, rt, seq, &claim).await?.is_some() {
                return Err(StoreError::Busy("a unique value was taken while a refusal was recorded".to_owned()));
            }
        }
        events::reverted(tx, &self.instance, refused, &self.before).await?;
        fail_operations(tx, seq, self.rev, &self.reason).await?;
        if self.before.kind == "User" && was_active != self.before.active {
            wake_groups(tx, &self.instance, seq, self.before.active).await?;
        }
        let lane = if self.before.active { Lane::Grant } else { Lane::Deprovision };
        upsert_work(tx, &self.instance, seq, lane, self.rev + 1, None).await?;
        Ok(true)
    }
}

impl Revert {
    /// Whether somebody took the former name meanwhile: then there is no way back to it.
    async fn name_is_taken(&self, tx: &Tx<'_>) -> Result<bool, StoreError> {
        let row = tx
            .conn
            .one(
                "SELECT seq FROM resource WHERE instance_seq = $1 AND kind = $2 AND name_key = $3 AND name_slot = 0 AND deleted_at IS NULL AND seq <> $4",
                vals![self.instance.seq, self.before.kind.as_str(), fold_name(&self.before.name), self.before.seq],
            )
            .await?;
        Ok(row.is_some())
    }
}

/// Locks the resource before its work, as every writer does.
async fn lock(tx: &Tx<'_>, resource: i64) -> Result<(), StoreError> {
    tx.conn.one(&format!("SELECT seq FROM resource WHERE seq = $1{}", tx.conn.for_update()), vals![resource]).await?;
    Ok(())
}

/// Deletes the work of that revision if it stands refused; false if it moved on.
async fn clear_refused_work(tx: &Tx<'_>, resource: i64, rev: i64) -> Result<bool, StoreError> {
    let gone = tx
        .conn
        .run("DELETE FROM work WHERE resource_seq = $1 AND rev = $2 AND state = 'needs'", vals![resource, rev])
        .await?;
    Ok(gone > 0)
}

/// Only the refused change failed: ones before it are wanted still.
async fn fail_operations(tx: &Tx<'_>, resource: i64, rev: i64, reason: &str) -> Result<(), StoreError> {
    for row in tx
        .conn
        .all(
            "SELECT seq, open_items FROM operation WHERE resource_seq = $1 AND rev = $2 AND state = 'open'",
            vals![resource, rev],
        )
        .await?
    {
        close_operation_items(
            tx,
            row.col("seq")?,
            Ends { failed: row.col("open_items")?, ..Ends::default() },
            Some(reason),
        )
        .await?;
    }
    Ok(())
}
