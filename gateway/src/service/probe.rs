//! Asking a target whether an instance's credential is good. What was found is kept in memory for a while, so that a page
//! can show it again without asking again.

use std::sync::Arc;
use std::time::Duration;

use connector_sdk::ProbeCheck;
use jiff::Timestamp;
use moka::sync::Cache;

use super::App;
use super::records::AdminError;
use super::types::{Instance, Mode};

/// How long what was found is shown.
const KEPT: Duration = Duration::from_secs(24 * 3_600);

/// What a probe found.
#[derive(Clone)]
pub(crate) struct Probed {
    /// When the target was asked.
    pub(crate) at: Timestamp,
    /// Whether every check is as needed.
    pub(crate) ok: bool,
    /// Whom the credential speaks for, if the target says.
    pub(crate) identity: Option<String>,
    /// The checks.
    pub(crate) checks: Vec<ProbeCheck>,
    /// The configuration that was probed; every change of it gives it another number.
    config_rev: i64,
}

/// What was found last, by instance.
pub(crate) struct Probes(Cache<i64, Arc<Probed>>);

impl Default for Probes {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(1_000).time_to_live(KEPT).build())
    }
}

impl Probes {
    /// A change of the instance that took the next `config_rev` left settings and credential as they were: what was found
    /// with `old` holds on.
    pub(crate) fn keep(&self, old: &Instance) {
        if let Some(found) = self.0.get(&old.seq).filter(|found| found.config_rev == old.config_rev) {
            self.0.insert(old.seq, Arc::new(Probed { config_rev: old.config_rev + 1, ..Probed::clone(&found) }));
        }
    }
}

impl App {
    /// Checks an instance's credential and its permissions at the target. Writes nothing there.
    ///
    /// # Errors
    /// The instance sends nothing in its mode (conflict). One that was never on may be asked: it is being set up. The
    /// store's.
    pub(crate) async fn probe(&self, instance: &Instance) -> Result<Arc<Probed>, AdminError> {
        if !self.is_draft(instance).await? {
            Self::refuse_silent(instance)?;
        }
        let found = self.driver.probe(instance).await;
        let at = self.clock.now();
        let (ok, identity, checks) = match found {
            Ok(probe) => (probe.ok(), probe.identity, probe.checks),
            // Nothing could be found out; the admin is told why, like of any other check.
            Err(fault) => {
                (false, None, vec![ProbeCheck { name: "target".to_owned(), ok: false, detail: fault.message }])
            }
        };
        let probed = Arc::new(Probed { at, ok, identity, checks, config_rev: instance.config_rev });
        self.probes.0.insert(instance.seq, Arc::clone(&probed));
        Ok(probed)
    }

    /// What this process found when it asked last, if that was with the present settings and credential. A change that
    /// another process made, or that came while the target was asked, leaves nothing to show.
    pub(crate) fn last_probe(&self, instance: &Instance) -> Option<Arc<Probed>> {
        self.probes.0.get(&instance.seq).filter(|one| one.config_rev == instance.config_rev)
    }

    /// Whether an instance is being set up: it is disabled and was never imported.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn is_draft(&self, instance: &Instance) -> Result<bool, AdminError> {
        Ok(instance.mode == Mode::Disabled && !self.has_runs(instance.seq).await?)
    }

    /// Refuses what would be sent in a mode in which nothing at all is (DECISIONS 15).
    ///
    /// # Errors
    /// The instance is paused or disabled (conflict).
    pub(crate) fn refuse_silent(instance: &Instance) -> Result<(), AdminError> {
        if matches!(instance.mode, Mode::Paused | Mode::Disabled) {
            return Err(AdminError::Conflict(format!(
                "The instance is {}: nothing is sent to its target. Set its mode to enabled or rehearse first.",
                instance.mode.as_str()
            )));
        }
        Ok(())
    }
}
