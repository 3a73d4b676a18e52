//! The pace: what the admin says, and what answers say of limits.

use std::time::Duration;

use connector_sdk::rates::{self, Headers, Reset};
use connector_sdk::{Bucket, Reading, Reply, Rule, StepCost, Tariff};

/// The one bucket.
pub(super) const CALLS: &str = "calls";

/// The most calls that are under way at once: SCIM servers tell of no bound, and bulk pushes find it.
const AT_ONCE: u32 = 4;

/// The bucket of a server.
pub(super) fn buckets(calls_per_minute: Option<u32>) -> Vec<Bucket> {
    let bucket = match calls_per_minute {
        Some(calls) => {
            Bucket::new(CALLS, "Calls a minute, by the setting calls_per_minute", calls, Duration::from_secs(60))
        }
        None => Bucket::unknown(CALLS, "Calls, as the server's headers say"),
    };
    vec![bucket.at_once(AT_ONCE)]
}

/// What calls cost.
pub(super) fn tariff() -> Tariff {
    Tariff::new([Rule::any().named(&["get token"]), Rule::any().charge(CALLS, 1)])
}

/// What the engine's steps cost, looks beforehand included.
pub(super) fn costs(patch: bool) -> Vec<StepCost> {
    let step = |name, calls| StepCost::new(name, calls).charge(CALLS, calls);
    let reading = if patch { 1 } else { 2 };
    vec![
        step("create", 1),
        step("look", 1),
        step("update", 2),
        step("suspend", reading),
        step("restore", reading),
        step("remove", 1),
        step("add_member", reading),
        step("remove_member", reading),
        step("create_group", 2),
        step("update_group", 3),
        step("remove_group", 1),
    ]
}

/// What the headers say. `X-RateLimit-Reset` is an epoch for some and seconds left for others: nothing but its size
/// tells which.
pub(super) fn readings(reply: &Reply) -> Vec<Reading> {
    let told = rates::structured(reply, |_| Some(CALLS));
    if !told.is_empty() {
        return told;
    }
    ["x-ratelimit", "x-rate-limit", "ratelimit"]
        .iter()
        .find_map(|prefix| {
            let (limit, remaining, reset) = match *prefix {
                "x-ratelimit" => ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
                "x-rate-limit" => ("x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"),
                _ => ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
            };
            let epoch = reply.header(reset)?.trim().parse::<f64>().is_ok_and(|number| number > 1.0e9);
            let dialect = if epoch { Reset::EpochSeconds } else { Reset::SecondsLeft };
            Headers { limit, remaining, reset, dialect }.read(CALLS, reply)
        })
        .into_iter()
        .collect()
}
