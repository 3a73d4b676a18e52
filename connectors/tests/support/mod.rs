//! A connector with its simulated target.

use std::sync::Arc;

use connector_sdk::Connector;
use connector_sdk::kit::RateLimit;
#[allow(unused_imports, reason = "not every test needs it")]
pub(crate) use contract::BASE;
pub(crate) use contract::Sim;
use jiff::Timestamp;
use serde_json::Value;
use simulators::Limits;

/// A connector and its simulated target.
pub(crate) struct Built {
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) sim: Arc<Sim>,
}

/// Builds a connector from the simulator's offer, with these settings on top.
pub(crate) fn build(
    target: &str,
    limits: Limits,
    settings: &Value,
    handles: bool,
    rate_limits: fn(Timestamp) -> Vec<RateLimit>,
) -> Built {
    let built = contract::build(target, limits, settings, handles, rate_limits);
    let built = built.expect("a simulated target of a built-in connector");
    Built { connector: built.connector, sim: built.sim }
}
