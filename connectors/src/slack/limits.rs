//! Slack's limits: each method has a tier, counted per app and workspace. There are no headers but
//! `Retry-After` of a 429 (docs.slack.dev/apis/web-api/rate-limits).

use std::time::Duration;

use connector_sdk::rates;
use connector_sdk::{Bucket, Pace, Reply, Rule, StepCost, Tariff};
use http::StatusCode;
use jiff::Timestamp;

/// A method: the call's name, the method's, and what its tier allows a minute at least.
type Method = (&'static str, &'static str, u32);

/// Who is the token.
pub(super) const WHO: Method = ("get own user", "auth.test", 100);
/// Everybody.
pub(super) const LIST_USERS: Method = ("list users", "users.list", 20);
/// Who has an address.
pub(super) const FIND_USER: Method = ("find user by e-mail", "users.lookupByEmail", 50);
/// One person.
pub(super) const GET_USER: Method = ("get user", "users.info", 100);
/// All user groups, with who is in them.
pub(super) const LIST: Method = ("list user groups", "usergroups.list", 20);
/// A new user group.
pub(super) const CREATE: Method = ("create user group", "usergroups.create", 20);
/// A user group's name and handle.
pub(super) const UPDATE: Method = ("rename user group", "usergroups.update", 20);
/// Brings a user group back.
pub(super) const ENABLE: Method = ("enable user group", "usergroups.enable", 20);
/// Puts a user group away.
pub(super) const DISABLE: Method = ("disable user group", "usergroups.disable", 20);
/// All members of a user group.
pub(super) const MEMBERS: Method = ("set user group members", "usergroups.users.update", 20);

const ALL: [Method; 10] = [WHO, LIST_USERS, FIND_USER, GET_USER, LIST, CREATE, UPDATE, ENABLE, DISABLE, MEMBERS];

/// A bucket for each method.
pub(super) fn buckets(pace: Pace) -> Vec<Bucket> {
    let title = "Calls of this method by the app in the workspace (docs.slack.dev/apis/web-api/rate-limits)";
    ALL.into_iter()
        .map(|(_, method, units)| match pace {
            Pace::Documented => Bucket::new(method, title, units, Duration::from_secs(60)),
            Pace::Headers => Bucket::unknown(method, title),
        })
        .collect()
}

/// Each call is charged to its method.
pub(super) fn tariff() -> Tariff {
    Tariff::new(ALL.into_iter().map(|(name, method, _)| Rule::any().named(&[name]).charge(method, 1)))
}

/// What the engine's steps cost, looks beforehand included.
pub(super) fn costs() -> Vec<StepCost> {
    let step = |name, methods: &[Method]| {
        let calls = u32::try_from(methods.len()).unwrap_or(u32::MAX);
        methods.iter().fold(StepCost::new(name, calls), |cost, (_, method, _)| cost.charge(method, 1))
    };
    vec![
        step("look", &[FIND_USER]),
        step("add_member", &[LIST, MEMBERS]),
        step("remove_member", &[LIST, MEMBERS]),
        step("create_group", &[LIST, CREATE]),
        step("update_group", &[LIST, UPDATE]),
        step("remove_group", &[LIST, UPDATE, DISABLE]),
    ]
}

/// Whether an answer says "too many calls", and until when nothing is to be sent. It is a 429; a body
/// that says so with status 200 is believed, too.
pub(super) fn throttled(reply: &Reply) -> Option<Timestamp> {
    let told = reply.status == StatusCode::TOO_MANY_REQUESTS
        || (reply.status.is_success() && reply.body.len() < 200 && says_so(&reply.body));
    told.then(|| rates::retry_after(reply).unwrap_or_else(|| rates::after(reply.at, rates::USUAL_WAIT)))
}

fn says_so(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body)
        .is_ok_and(|body| matches!(body["error"].as_str(), Some("ratelimited" | "rate_limited")))
}
