//! Buildkite's limits: what is declared, what the headers say, and when a 429 ends.
//!
//! REST counts calls per organisation (shared by all its tokens) and per user; GraphQL counts
//! complexity points likewise. `RateLimit-*` speaks of the organisation, `RateLimit-User-*` of the
//! user, and `…-Reset` is **seconds to go**, not an epoch.
//! (buildkite.com/docs/apis/rest-api/limits, buildkite.com/docs/apis/graphql/graphql-resource-limits)

use std::time::Duration;

use connector_sdk::rates::{self, Headers, Reset};
use connector_sdk::{Bucket, Pace, Reading, Reply, Rule, StepCost, Tariff};
use jiff::Timestamp;
use serde::Deserialize;

/// REST calls of the whole organisation.
pub(super) const REST_ORG: &str = "rest_org";
/// REST calls of the token's user.
pub(super) const REST_USER: &str = "rest_user";
/// GraphQL points of the whole organisation.
pub(super) const GRAPHQL_ORG: &str = "graphql_org";
/// GraphQL points of the token's user.
pub(super) const GRAPHQL_USER: &str = "graphql_user";

/// Pending invitations of the organisation.
pub(super) const PENDING: &str = "pending_invitations";

/// What a GraphQL call of ours costs at most, in points.
const QUERY_POINTS: u32 = 10;

/// The buckets of a pace.
pub(super) fn buckets(pace: Pace) -> Vec<Bucket> {
    const MINUTE: Duration = Duration::from_secs(60);
    const FIVE_MINUTES: Duration = Duration::from_secs(300);
    let documented = [
        (REST_ORG, "REST calls of the organisation, 200 a minute (apis/rest-api/limits)", 200, MINUTE),
        (REST_USER, "REST calls of the token's user, 50 a minute (apis/rest-api/limits)", 50, MINUTE),
        (
            GRAPHQL_USER,
            "GraphQL points of the token's user, 5,000 in five minutes (apis/graphql/graphql-resource-limits)",
            5_000,
            FIVE_MINUTES,
        ),
        (
            GRAPHQL_ORG,
            "GraphQL points of the organisation, 20,000 in five minutes (apis/graphql/graphql-resource-limits)",
            20_000,
            FIVE_MINUTES,
        ),
    ];
    documented
        .into_iter()
        .map(|(name, title, units, per)| match pace {
            Pace::Documented => Bucket::new(name, title, units, per),
            Pace::Headers => Bucket::unknown(name, title),
        })
        .map(|bucket| match bucket.name {
            // The vendor names no bound; this keeps a burst from tripping its abuse guards.
            REST_USER | GRAPHQL_USER => bucket.at_once(4),
            _ => bucket,
        })
        .chain((pace == Pace::Documented).then(|| {
            Bucket::standing(
                PENDING,
                "Pending invitations of the organisation, 20 at a time by default (platform/limits)",
                20,
            )
        }))
        .collect()
}

/// What calls cost of them.
pub(super) fn tariff() -> Tariff {
    Tariff::new([
        Rule::any().any_graphql().charge(GRAPHQL_USER, QUERY_POINTS).charge(GRAPHQL_ORG, QUERY_POINTS),
        Rule::any().charge(REST_ORG, 1).charge(REST_USER, 1),
    ])
}

/// What the engine's steps cost, looks beforehand included.
pub(super) fn costs(pace: Pace) -> Vec<StepCost> {
    let rest = |name, calls| StepCost::new(name, calls).charge(REST_ORG, calls).charge(REST_USER, calls);
    let asks = |name, calls| {
        let cost = StepCost::new(name, calls + 1).charge(REST_ORG, calls).charge(REST_USER, calls);
        cost.charge(GRAPHQL_USER, QUERY_POINTS).charge(GRAPHQL_ORG, QUERY_POINTS)
    };
    // Who is there already is asked only where an invitation is refused.
    let create = rest("create", 1);
    vec![
        if pace == Pace::Documented { create.charge(PENDING, 1) } else { create },
        // Who has an address is a question of GraphQL's.
        asks("look", 0),
        rest("update", 2),
        rest("remove", 1),
        rest("revoke", 1),
        rest("add_member", 1),
        rest("remove_member", 1),
        asks("create_group", 0),
        rest("update_group", 2),
        rest("remove_group", 1),
    ]
}

/// The organisation's buckets, as answers tell of them.
const OF_ORG: Headers = Headers {
    limit: "ratelimit-limit",
    remaining: "ratelimit-remaining",
    reset: "ratelimit-reset",
    dialect: Reset::SecondsLeft,
};
/// The user's.
const OF_USER: Headers = Headers {
    limit: "ratelimit-user-limit",
    remaining: "ratelimit-user-remaining",
    reset: "ratelimit-user-reset",
    dialect: Reset::SecondsLeft,
};

/// What an answer's headers say of the buckets.
pub(super) fn readings(reply: &Reply) -> Vec<Reading> {
    let graphql = is_graphql(reply);
    [(OF_ORG, if graphql { GRAPHQL_ORG } else { REST_ORG }), (OF_USER, if graphql { GRAPHQL_USER } else { REST_USER })]
        .into_iter()
        .filter_map(|(headers, bucket)| headers.read(bucket, reply))
        .collect()
}

/// Which API answered: the scope header says so, else only GraphQL tells complexities.
fn is_graphql(reply: &Reply) -> bool {
    match (reply.header("ratelimit-scope"), reply.header("ratelimit-user-scope")) {
        (Some(scope), _) | (None, Some(scope)) => scope.trim().to_ascii_lowercase().starts_with("graphql"),
        (None, None) => {
            reply.header("ratelimit-complexity-requested").is_some()
                || reply.header("ratelimit-complexity-actual").is_some()
        }
    }
}

/// When a refused call may be sent again: the latest of all that the answer says. Both buckets can
/// be empty at once, and waiting for the one that refills first earns another 429.
pub(super) fn not_before(reply: &Reply) -> Timestamp {
    #[derive(Deserialize)]
    struct Body {
        reset: Option<serde_json::Value>,
        message: Option<String>,
        #[serde(default)]
        errors: Vec<Error>,
    }
    #[derive(Deserialize)]
    struct Error {
        message: Option<String>,
    }
    let exhausted =
        readings(reply).into_iter().filter(|reading| reading.remaining == 0).map(|reading| reading.resets_at);
    let retry_after = rates::retry_after(reply);
    let body = serde_json::from_slice::<Body>(&reply.body).ok();
    let told = body.as_ref().and_then(|body| {
        let number = match body.reset.as_ref()? {
            serde_json::Value::Number(number) => number.as_i64(),
            serde_json::Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.map(|seconds| later(reply, seconds))
    });
    let in_words = body.iter().flat_map(|body| {
        body.message
            .iter()
            .chain(body.errors.iter().filter_map(|error| error.message.as_ref()))
            .filter_map(|message| seconds_in(message))
            .map(|seconds| later(reply, seconds))
    });
    let latest = exhausted.chain(retry_after).chain(told).chain(in_words).max();
    latest.map_or_else(|| rates::after(reply.at, rates::USUAL_WAIT), |until| rates::patient(reply, until))
}

/// The number before the word `seconds` in a message ("Please try again in 187 seconds.").
pub(super) fn seconds_in(message: &str) -> Option<i64> {
    let mut before: Option<i64> = None;
    for word in message.split_whitespace() {
        if word.to_ascii_lowercase().starts_with("second") && before.is_some() {
            return before;
        }
        before = word.parse().ok();
    }
    None
}

/// That many seconds after an answer, within reason.
pub(super) fn later(reply: &Reply, seconds: i64) -> Timestamp {
    rates::patient(reply, rates::after(reply.at, seconds.clamp(0, rates::LONGEST_WAIT)))
}
