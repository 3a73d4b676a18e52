//! The checks of a probe.

use connector_sdk::{Fault, FaultKind, ProbeCheck};

/// What a check came to.
pub(crate) fn check(name: impl Into<String>, ok: bool, detail: impl Into<String>) -> ProbeCheck {
    ProbeCheck { name: name.into(), ok, detail: detail.into() }
}

/// A fault as a check that is not ok.
///
/// # Errors
/// The fault: it says nothing of the credential, so the probe did not come through.
pub(crate) fn as_check(name: &str, fault: Fault) -> Result<ProbeCheck, Fault> {
    match fault.kind {
        FaultKind::Credential | FaultKind::Permission | FaultKind::Refused | FaultKind::NotFound => {
            Ok(check(name, false, fault.message))
        }
        _ => Err(fault),
    }
}
