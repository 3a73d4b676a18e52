//! A new credential (DECISIONS 28). It is tried at the target before the old one goes: the old secret
//! stays until the probe passes.
//!
//! Of the same identity, it takes the old one's place, and what was used of the limits stays used. Of
//! another identity, it is taken where the limits follow the identity: what runs under the old driver
//! key ends, and the rest moves to the new one, under a lease of its own. Where both share a driver key
//! another identity is refused unless it is asked for.

use std::sync::Arc;

use connector_sdk::{Connector, FaultKind, Probe};
use serde_json::{Value, json};

use super::{AdminError, App, Instance, InstanceChange, Mode};
use crate::driver::move_rows;
use crate::store::{Rows, Sql, StoreError, Tx};

/// What became of a change of the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rotation {
    /// The credential stays.
    None,
    /// A new one, which was not tried: nothing may be sent to the target, or the admin forced it.
    Untried,
    /// A new one that the target accepts.
    Tried {
        /// Whom it speaks for, if the target says.
        identity: Option<String>,
        /// Whether that is whom the old one spoke for.
        same: bool,
    },
}

impl App {
    /// Tries a new credential.
    ///
    /// # Errors
    /// A field that the target refuses; a conflict where it cannot be reached, or where the credential
    /// is another identity's and both would share one budget. Neither with `force`.
    pub(super) async fn rotate(
        &self,
        old: &Arc<Instance>,
        mode: Mode,
        connector: Arc<dyn Connector>,
        change: &InstanceChange,
    ) -> Result<Rotation, AdminError> {
        // In these modes nothing at all is sent to the target (DECISIONS 15).
        if matches!(mode, Mode::Paused | Mode::Disabled) {
            return Ok(Rotation::Untried);
        }
        let driver_key = connector.traits().driver_key.clone();
        let candidate = Instance {
            seq: old.seq,
            id: old.id.clone(),
            name: old.name.clone(),
            connector_name: old.connector_name.clone(),
            connector_version: old.connector_version.clone(),
            mode,
            settings: old.settings.clone(),
            policy: old.policy.clone(),
            config_rev: old.config_rev,
            driver_key: driver_key.clone(),
            created_at: old.created_at,
            has_streams: old.has_streams,
            declared: old.declared.clone(),
            registry: Arc::clone(&old.registry),
            schema_problem: old.schema_problem.clone(),
            queue: Arc::clone(&old.queue),
            rehearsed: old.rehearsed,
            verifying_since: old.verifying_since,
            connector: Ok(connector),
        };
        let probe = match self.driver.probe(&candidate).await {
            Ok(probe) => probe,
            Err(_) if change.force => return Ok(Rotation::Untried),
            Err(fault) => {
                let why = match fault.kind {
                    FaultKind::RateLimited | FaultKind::NotSent => "the target's limits leave no room for it now",
                    _ => "the target could not be asked",
                };
                return Err(AdminError::Conflict(format!(
                    "The new credential was not taken, because {why}: {} The old one stays. Try again later, or with force=true take the new one untried.",
                    fault.message
                )));
            }
        };
        if !probe.ok() && !change.force {
            let field = change.secrets.keys().next().map_or("secrets", String::as_str);
            return Err(AdminError::invalid(
                field,
                format!("is not as good as it has to be: {} The old one stays.", failing(&probe)),
            ));
        }
        if !probe.ok() {
            return Ok(Rotation::Untried);
        }
        let before = self.identity_of(old).await?;
        let same = before.is_some() && before == probe.identity;
        if let (Some(before), Some(now)) = (&before, &probe.identity)
            && before != now
            && driver_key == old.driver_key
            && !change.force
        {
            return Err(AdminError::Conflict(format!(
                "The new credential is another identity's: it speaks for {now}, the old one spoke for {before}. What the target protects and counts follows the identity. The old one stays. If this is meant, repeat the change with force=true."
            )));
        }
        Ok(Rotation::Tried { identity: probe.identity, same })
    }

    /// Whom an instance's credential speaks for: as it was found out before, else by asking.
    async fn identity_of(&self, instance: &Instance) -> Result<Option<String>, StoreError> {
        let row = self.store.reader().one("SELECT identity FROM instance WHERE seq = $1", vals![instance.seq]).await?;
        if let Some(known) = row.map_or(Ok(None), |row| row.col::<Option<String>>("identity"))? {
            return Ok(Some(known));
        }
        // A dead one no longer tells; then nobody knows.
        Ok(self.driver.probe(instance).await.ok().and_then(|probe| probe.identity))
    }
}

/// What failed, in words.
fn failing(probe: &Probe) -> String {
    let failed: Vec<&str> = probe.checks.iter().filter(|check| !check.ok).map(|check| check.detail.as_str()).collect();
    failed.join(" ")
}

impl Rotation {
    /// Writes what the new credential means.
    pub(super) async fn store(&self, tx: &Tx<'_>, seq: i64, from: &str, to: &str) -> Result<(), StoreError> {
        let identity = match self {
            Self::None => return Ok(()),
            Self::Untried => None,
            Self::Tried { identity, same } => {
                if *same && from != to {
                    move_rows(tx, from, to).await?;
                }
                identity.clone()
            }
        };
        tx.conn
            .run(
                "UPDATE instance SET identity = $2, degraded_since = NULL, degraded_why = NULL, look_at = NULL WHERE seq = $1",
                vals![seq, identity],
            )
            .await?;
        Ok(())
    }

    /// For the audit.
    pub(super) fn detail(&self) -> Option<Value> {
        match self {
            Self::None => None,
            Self::Untried => Some(json!("untried")),
            Self::Tried { same: true, .. } => Some(json!("same identity")),
            Self::Tried { .. } => Some(json!("another identity, or it is not known whose the old one was")),
        }
    }
}
