//! A dead credential is an instance's trouble, not each person's: the instance is marked, one piece of
//! its work looks every five minutes whether the credential lives again, and the rest waits where it is.
//! Deprovisions are kept like everything else; they look first, being first in every queue.

use async_trait::async_trait;
use connector_sdk::{Fault, FaultKind};

use super::Shared;
use crate::service::types::Instance;
use crate::store::{Priority, Rows, Sql, StoreError, Tx, Unit};
use crate::telemetry::names;

/// How long between two looks, in microseconds (DECISIONS 17).
const LOOK: i64 = 300_000_000;

/// An instance whose credential the target does not accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded {
    /// The instance's public id.
    pub instance: String,
    /// Since when, in microseconds.
    pub since: i64,
    /// What to do, for the admin.
    pub why: String,
    /// When it is looked at again, in microseconds.
    pub look_at: i64,
}

impl Shared {
    /// Marks or unmarks an instance by what a call of it came to. `degraded`: whether it was marked.
    pub(crate) async fn hear_of_credential(&self, instance: &Instance, fault: Option<&Fault>, degraded: bool) {
        let dead = fault.filter(|fault| fault.kind == FaultKind::Credential);
        // Only what the target said tells: a call that was not sent, or lost, tells nothing.
        let silent = fault.is_some_and(|fault| {
            matches!(
                fault.kind,
                FaultKind::NotSent | FaultKind::Unavailable | FaultKind::Timeout | FaultKind::RateLimited
            )
        });
        let unit = match dead {
            Some(fault) => {
                Mark { seq: instance.seq, config_rev: instance.config_rev, why: Some(fault.message.clone()) }
            }
            None if degraded && !silent => Mark { seq: instance.seq, config_rev: instance.config_rev, why: None },
            None => return,
        };
        let marked = unit.why.is_some();
        match self.store.write(Priority::Driver, unit).await {
            Ok(()) => {
                metrics::gauge!(names::DEGRADED_INSTANCES_ROWS, "instance" => instance.id.clone())
                    .set(f64::from(u8::from(marked)));
                if marked && !degraded {
                    tracing::error!(instance = %instance.id, "the target no longer accepts the instance's credential");
                }
                if !marked {
                    tracing::info!(instance = %instance.id, "the target accepts the instance's credential again");
                    self.gauge(&instance.driver_key).ring();
                }
            }
            Err(error) => tracing::warn!(%error, instance = %instance.id, "the credential's state could not be stored"),
        }
    }

    /// The instances whose credential is dead, oldest trouble first; for alerts and the admin.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn degraded(&self) -> Result<Vec<Degraded>, StoreError> {
        let rows = self
            .store
            .reader()
            .all(
                "SELECT id, degraded_since, degraded_why, look_at FROM instance WHERE degraded_since IS NOT NULL AND deleted_at IS NULL \
                 ORDER BY degraded_since, seq",
                vals![],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Degraded {
                    instance: row.col("id")?,
                    since: row.col("degraded_since")?,
                    why: row.col::<Option<String>>("degraded_why")?.unwrap_or_default(),
                    look_at: row.col::<Option<i64>>("look_at")?.unwrap_or(0),
                })
            })
            .collect()
    }
}

/// Has an instance whose credential is dead looked at now: somebody says that it may live again.
///
/// # Errors
/// The store's.
pub(crate) async fn look_at_credential(tx: &Tx<'_>, instance: i64) -> Result<(), StoreError> {
    tx.conn
        .run(
            "UPDATE instance SET look_at = $2 WHERE seq = $1 AND degraded_since IS NOT NULL AND look_at > $2",
            vals![instance, tx.now],
        )
        .await?;
    Ok(())
}

/// Marks an instance, or takes the mark away and lets what waited for it go on.
struct Mark {
    seq: i64,
    config_rev: i64,
    why: Option<String>,
}

#[async_trait]
impl Unit for Mark {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        if let Some(why) = &self.why {
            // Under another configuration it was another credential.
            tx.conn
                .run(
                    "UPDATE instance SET degraded_since = COALESCE(degraded_since, $2), degraded_why = $3, look_at = $4 \
                     WHERE seq = $1 AND config_rev = $5 AND deleted_at IS NULL",
                    vals![self.seq, tx.now, why.as_str(), tx.now + LOOK, self.config_rev],
                )
                .await?;
            return Ok(());
        }
        // Work before its instance, as whoever takes up work that waits for a credential does.
        tx.conn
            .run(
                "UPDATE work SET state = 'todo', due_at = $2, need = NULL, reason = NULL, tries = 0 \
                 WHERE instance_seq = $1 AND state = 'needs' AND need = 'credential' AND EXISTS (SELECT 1 FROM instance i WHERE i.seq = $1 AND i.config_rev = $3)",
                vals![self.seq, tx.now, self.config_rev],
            )
            .await?;
        tx.conn
            .run(
                "UPDATE instance SET degraded_since = NULL, degraded_why = NULL, look_at = NULL WHERE seq = $1 AND config_rev = $2",
                vals![self.seq, self.config_rev],
            )
            .await?;
        Ok(())
    }
}
