//! Taking back what the target refused while the client still waits (DECISIONS 9). Both compare and
//! set on the revision: had another change come in between, nothing is taken back.

use std::sync::Arc;

use async_trait::async_trait;
use scim::fold::fold_name;

use super::record::{Ends, close_operation_items, index, tally, unindex};
use super::text;
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
        if !clear_refused_work(tx, seq, self.stored.rev).await? {
            return Ok(false);
        }
        let gone = tx
            .conn
            .run(
                "UPDATE resource SET deleted_at = $3, rev = rev + 1, settled_rev = rev + 1 WHERE seq = $1 AND rev = $2 AND deleted_at IS NULL",
                vals![seq, self.stored.rev, tx.now],
            )
            .await?;
        if gone == 0 {
            return Err(StoreError::Busy(
                "the resource changed while its refusal was recorded".to_owned(),
            ));
        }
        unindex(tx, seq).await?;
        tally(tx, self.instance.seq, &self.stored.kind, seq, -1).await?;
        tx.conn
            .run("DELETE FROM member WHERE group_seq = $1", vals![seq])
            .await?;
        fail_operations(tx, seq, &self.reason).await?;
        Ok(true)
    }
}

/// Takes a refused update back: the document is what it was.
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
        if !self.before.managed || !clear_refused_work(tx, seq, self.rev).await? {
            return Ok(false);
        }
        let document = serde_json::to_string(&self.before.doc)
            .map_err(|error| StoreError::Other(error.to_string()))?;
        let back = tx
            .conn
            .run(
                "UPDATE resource SET name = $3, name_key = $4, external_id = $5, active = $6, doc = $7, version = version + 1, rev = rev + 1, \
                 settled_rev = rev + 1, modified_at = $8 WHERE seq = $1 AND rev = $2 AND deleted_at IS NULL",
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
            return Err(StoreError::Busy(
                "the resource changed while its refusal was recorded".to_owned(),
            ));
        }
        unindex(tx, seq).await?;
        index(tx, self.instance.seq, seq, &self.before.doc).await?;
        fail_operations(tx, seq, &self.reason).await?;
        Ok(true)
    }
}

/// Deletes the work of that revision if it stands refused; false if it moved on.
async fn clear_refused_work(tx: &Tx<'_>, resource: i64, rev: i64) -> Result<bool, StoreError> {
    let gone = tx
        .conn
        .run(
            "DELETE FROM work WHERE resource_seq = $1 AND rev = $2 AND state = 'needs'",
            vals![resource, rev],
        )
        .await?;
    Ok(gone > 0)
}

async fn fail_operations(tx: &Tx<'_>, resource: i64, reason: &str) -> Result<(), StoreError> {
    for row in tx
        .conn
        .all(
            "SELECT seq, open_items FROM operation WHERE resource_seq = $1 AND state = 'open'",
            vals![resource],
        )
        .await?
    {
        close_operation_items(
            tx,
            row.col("seq")?,
            Ends {
                failed: row.col("open_items")?,
                ..Ends::default()
            },
            Some(reason),
        )
        .await?;
    }
    Ok(())
}
