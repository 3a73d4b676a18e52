//! Linear's limits: what is declared, what the headers say, and how a refusal is told.
//!
//! Two leaky buckets an hour, both per user: requests, and complexity points (a property 0.1, an
//! object 1, a connection as often as `first` says). `X-RateLimit-*-Reset` is **milliseconds** since
//! 1970. A refusal comes as HTTP **400** with the code `RATELIMITED`; 429 is seen as well.
//! (linear.app/developers/rate-limiting)

use std::time::Duration;

use connector_sdk::rates::{self, Headers, Reset};
use connector_sdk::{Bucket, Pace, Reading, Reply, Rule, StepCost, Tariff};
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;

/// Requests of the key's user.
const REQUESTS: &str = "requests";
/// Complexity points of the key's user.
const POINTS: &str = "complexity";

/// What a page of a hundred people, invitations, teams or members costs at most, in points.
const PAGE: u32 = 370;
/// What a call about one object costs at most.
const ONE: u32 = 10;
/// What the look by e-mail costs: a few people, and a page of invitations.
const LOOK: u32 = 300;
/// What the look for a team by its name costs.
const NAME: u32 = 30;

/// The buckets of a pace.
pub(super) fn buckets(pace: Pace) -> Vec<Bucket> {
    const HOUR: Duration = Duration::from_secs(3_600);
    [
        (REQUESTS, "Requests of the key's user, 2,500 an hour (linear.app/developers/rate-limiting)", 2_500),
        (POINTS, "Complexity points of the key's user, 250,000 an hour (linear.app/developers/rate-limiting)", 250_000),
    ]
    .into_iter()
    .map(|(name, title, units)| match pace {
        Pace::Documented => Bucket::new(name, title, units, HOUR),
        Pace::Headers => Bucket::unknown(name, title),
    })
    // The vendor names no bound; this keeps a burst from tripping its guards.
    .map(|bucket| if bucket.name == REQUESTS { bucket.at_once(4) } else { bucket })
    .collect()
}

/// What calls cost of them.
pub(super) fn tariff() -> Tariff {
    let price = |rule: Rule, points| rule.charge(REQUESTS, 1).charge(POINTS, points);
    Tariff::new([
        price(Rule::any().named(&["list users", "list invitations", "list teams", "list team members"]), PAGE),
        price(Rule::any().named(&["find by e-mail"]), LOOK),
        price(Rule::any().named(&["find teams by name", "get team and namesakes"]), NAME),
        price(Rule::any(), ONE),
    ])
}

/// What the engine's steps cost, looks beforehand included.
pub(super) fn costs() -> Vec<StepCost> {
    let step = |name, calls, points| StepCost::new(name, calls).charge(REQUESTS, calls).charge(POINTS, points);
    vec![
        step("create", 2, LOOK + ONE),
        step("look", 1, LOOK),
        step("update", 3, 3 * ONE),
        step("remove", 2, 2 * ONE),
        step("revoke", 2, 2 * ONE),
        step("add_member", 1, ONE),
        step("remove_member", 2, 2 * ONE),
        step("create_group", 2, NAME + ONE),
        step("tidy_group", 3, 3 * ONE),
        step("update_group", 2, NAME + ONE),
        step("remove_group", 2, 2 * ONE),
    ]
}

/// The requests, as answers tell of them.
const OF_REQUESTS: Headers = Headers {
    limit: "x-ratelimit-requests-limit",
    remaining: "x-ratelimit-requests-remaining",
    reset: "x-ratelimit-requests-reset",
    dialect: Reset::EpochMillis,
};
/// The complexity.
const OF_POINTS: Headers = Headers {
    limit: "x-ratelimit-complexity-limit",
    remaining: "x-ratelimit-complexity-remaining",
    reset: "x-ratelimit-complexity-reset",
    dialect: Reset::EpochMillis,
};
/// One operation's own limit, of which no bucket is kept: no call of ours is known to have one.
const OF_ENDPOINT: Headers = Headers {
    limit: "x-ratelimit-endpoint-requests-limit",
    remaining: "x-ratelimit-endpoint-requests-remaining",
    reset: "x-ratelimit-endpoint-requests-reset",
    dialect: Reset::EpochMillis,
};

/// What an answer's headers say of the buckets.
pub(super) fn readings(reply: &Reply) -> Vec<Reading> {
    [(OF_REQUESTS, REQUESTS), (OF_POINTS, POINTS)]
        .into_iter()
        .filter_map(|(headers, bucket)| headers.read(bucket, reply))
        .collect()
}

/// When a refused call may be sent again: the latest of all that the answer says.
fn not_before(reply: &Reply) -> Timestamp {
    let exhausted = [OF_REQUESTS, OF_POINTS, OF_ENDPOINT]
        .into_iter()
        .filter_map(|headers| headers.read(REQUESTS, reply))
        .filter(|reading| reading.remaining == 0)
        .map(|reading| reading.resets_at);
    let latest = exhausted.chain(rates::retry_after(reply)).max();
    latest.map_or_else(|| rates::after(reply.at, rates::USUAL_WAIT), |until| rates::patient(reply, until))
}

/// Whether an answer says "too many calls", and until when nothing is to be sent.
pub(super) fn throttled(reply: &Reply) -> Option<Timestamp> {
    let told = match reply.status {
        StatusCode::TOO_MANY_REQUESTS => true,
        // A long answer is data: it is not read twice for this.
        StatusCode::BAD_REQUEST | StatusCode::OK | StatusCode::FORBIDDEN if reply.body.len() <= 16_384 => {
            limited_in_words(&reply.body)
        }
        _ => false,
    };
    told.then(|| not_before(reply))
}

fn limited_in_words(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        errors: Vec<Problem>,
    }
    serde_json::from_slice::<Body>(body).is_ok_and(|body| body.errors.iter().any(Problem::limited))
}

/// A member of `errors`.
#[derive(Deserialize)]
pub(super) struct Problem {
    /// For developers.
    #[serde(default)]
    pub(super) message: String,
    /// What it is.
    #[serde(default)]
    pub(super) extensions: Extensions,
}

/// What Linear adds to an error.
#[derive(Default, Deserialize)]
pub(super) struct Extensions {
    /// `RATELIMITED`, `AUTHENTICATION_ERROR`, ….
    pub(super) code: Option<String>,
    /// `ratelimited`, `invalid input`, `forbidden`, … (the vendor's SDK, error.ts).
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    /// For people.
    #[serde(rename = "userPresentableMessage")]
    pub(super) presentable: Option<String>,
}

impl Problem {
    /// Whether its code or type is one of these, without case, blanks and underscores.
    pub(super) fn is(&self, words: &[&str]) -> bool {
        let plain = |text: &String| text.to_ascii_lowercase().replace(['_', ' '], "");
        [&self.extensions.code, &self.extensions.kind]
            .into_iter()
            .flatten()
            .any(|told| words.contains(&plain(told).as_str()))
    }

    fn limited(&self) -> bool {
        self.is(&["ratelimited"])
    }
}
