//! Variables whose names are not the gateway's own.

/// A variable of the environment by its name: what a connector is checked with (`SCIMGATE_CHECK_…`) is named by
/// the connector's settings, so no flag can be declared for it.
#[expect(clippy::disallowed_methods, reason = "this is the configuration's own room")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
