//! Datadog's limits. The vendor publishes which endpoints are limited and that limits are per
//! organisation, but few numbers: every answer of a limited endpoint tells its own
//! (docs.datadoghq.com/api/latest/rate-limits).

use std::time::Duration;

use connector_sdk::rates::{self, Headers, Reset};
use connector_sdk::{Bucket, Pace, Reading, Reply, Rule, StepCost, Tariff};
use jiff::Timestamp;

/// Calls of the organisation.
const CALLS: &str = "calls";

/// The bucket of a pace.
pub(super) fn buckets(pace: Pace) -> Vec<Bucket> {
    let title = "Calls of the organisation's user and team API; the headers tell how many (docs.datadoghq.com/api/latest/rate-limits)";
    let bucket = match pace {
        // No number is published; five a second is below every limit that the headers are known to tell.
        Pace::Documented => Bucket::new(CALLS, title, 300, Duration::from_secs(60)),
        Pace::Headers => Bucket::unknown(CALLS, title),
    };
    vec![bucket.at_once(4)]
}

/// What calls cost of it.
pub(super) fn tariff() -> Tariff {
    Tariff::new([Rule::any().charge(CALLS, 1)])
}

/// What the engine's steps cost, looks beforehand included.
pub(super) fn costs() -> Vec<StepCost> {
    [
        ("create", 3),
        ("look", 1),
        ("update", 4),
        ("remove", 2),
        ("add_member", 1),
        ("remove_member", 1),
        ("create_group", 2),
        ("update_group", 2),
        ("remove_group", 1),
    ]
    .into_iter()
    .map(|(name, calls)| StepCost::new(name, calls).charge(CALLS, calls))
    .collect()
}

/// The limit of the endpoint that answered.
const OF_CALLS: Headers = Headers {
    limit: "x-ratelimit-limit",
    remaining: "x-ratelimit-remaining",
    reset: "x-ratelimit-reset",
    dialect: Reset::SecondsLeft,
};

/// What an answer's headers say of the bucket.
pub(super) fn readings(reply: &Reply) -> Vec<Reading> {
    OF_CALLS.read(CALLS, reply).into_iter().collect()
}

/// When a refused call may be sent again.
pub(super) fn not_before(reply: &Reply) -> Timestamp {
    let reset = reply.header("x-ratelimit-reset").and_then(|text| Reset::SecondsLeft.read(text, reply));
    let latest = reset.into_iter().chain(rates::retry_after(reply)).max();
    latest.map_or_else(|| rates::after(reply.at, rates::USUAL_WAIT), |until| rates::patient(reply, until))
}
