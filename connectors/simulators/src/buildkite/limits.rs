//! The vendor's rate limits: fixed windows that open with the first call.
//!
//! REST: 200 requests a minute for the organisation and 50 for the user.
//! GraphQL: 20,000 points of actual complexity in five minutes for the
//! organisation, 5,000 for the user, and 50,000 requested by one query
//! (Buildkite documentation, REST rate limits and GraphQL resource limits).

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::errors::reply;
use super::ids::stamp;

/// The most complexity that one GraphQL query may request.
pub(super) const QUERY_COMPLEXITY: u64 = 50_000;

/// One fixed window of a limit.
#[derive(Debug, Clone)]
pub(super) struct Window {
    scope: &'static str,
    limit: u64,
    seconds: i64,
    used: u64,
    opened: Option<Timestamp>,
}

impl Window {
    fn new(scope: &'static str, limit: u64, seconds: i64) -> Self {
        Self { scope, limit, seconds, used: 0, opened: None }
    }

    /// Starts a new window where the last one is over.
    fn roll(&mut self, now: Timestamp) {
        let over = match self.opened {
            None => true,
            Some(opened) => {
                let age = now.duration_since(opened);
                age.is_negative() || age >= SignedDuration::from_secs(self.seconds)
            }
        };
        if over {
            self.opened = Some(now);
            self.used = 0;
        }
    }

    /// Whole seconds until the window ends, rounded up, never 0.
    fn reset(&self, now: Timestamp) -> i64 {
        let Some(opened) = self.opened else {
            return self.seconds;
        };
        let millis = now.duration_since(opened).as_millis();
        let left = i128::from(self.seconds) * 1000 - millis;
        i64::try_from((left + 999) / 1000).unwrap_or(self.seconds).clamp(1, self.seconds)
    }

    fn remaining(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    fn status(&self, now: Timestamp, enforced: bool) -> Value {
        let reset = self.reset(now);
        json!({
            "limit": self.limit,
            "current": self.used,
            "reset": reset,
            "reset_at": stamp(now.saturating_add(SignedDuration::from_secs(reset)).unwrap_or(now)),
            "enforced": enforced,
        })
    }
}

/// The four windows of one organisation and one user.
#[derive(Debug)]
pub(super) struct Meter {
    enforced: bool,
    rest: Window,
    rest_user: Window,
    graphql: Window,
    graphql_user: Window,
}

impl Meter {
    pub(super) fn new(enforced: bool) -> Self {
        Self {
            enforced,
            rest: Window::new("rest", 200, 60),
            rest_user: Window::new("rest_user", 50, 60),
            graphql: Window::new("graphql", 20_000, 300),
            graphql_user: Window::new("graphql_user", 5_000, 300),
        }
    }

    /// Whether limits and quotas are the vendor's own.
    pub(super) fn enforced(&self) -> bool {
        self.enforced
    }

    /// Counts one REST request; the 429 where a window is spent. Refused
    /// requests count too: the vendor's sample shows 55 of 50 used.
    pub(super) fn take_rest(&mut self, now: Timestamp) -> Option<Response<Bytes>> {
        if !self.enforced {
            return None;
        }
        for window in [&mut self.rest, &mut self.rest_user] {
            window.roll(now);
            window.used = window.used.saturating_add(1);
        }
        [&self.rest, &self.rest_user]
            .into_iter()
            .find(|window| window.used > window.limit)
            .map(|window| rest_429(window.scope, window.limit, window.used, window.reset(now)))
    }

    /// The headers of a REST reply.
    pub(super) fn rest_headers(&self, response: &mut Response<Bytes>, now: Timestamp) {
        if !self.enforced {
            return;
        }
        for (prefix, window) in [("", &self.rest), ("user-", &self.rest_user)] {
            set(response, &format!("ratelimit-{prefix}scope"), window.scope.to_owned());
            window_headers(response, prefix, window, now);
            if window.remaining() == 0 {
                set(
                    response,
                    &format!("ratelimit-{prefix}warning"),
                    format!("The {} limit of {} requests is used up", window.scope, window.limit),
                );
            }
        }
    }

    /// The 429 where GraphQL points are spent. A query that is let through may
    /// overdraw the window by its own cost, since that is known only afterwards.
    pub(super) fn check_graphql(&mut self, now: Timestamp) -> Option<Response<Bytes>> {
        if !self.enforced {
            return None;
        }
        self.graphql.roll(now);
        self.graphql_user.roll(now);
        let message = if self.graphql.remaining() == 0 {
            format!(
                "Your organization has exceeded the limit of {} complexity points. Please try again in {} seconds.",
                self.graphql.limit,
                self.graphql.reset(now)
            )
        } else if self.graphql_user.remaining() == 0 {
            format!(
                "You have exceeded your per-user limit of {} complexity points. Please try again in {} seconds.",
                self.graphql_user.limit,
                self.graphql_user.reset(now)
            )
        } else {
            return None;
        };
        Some(reply(StatusCode::TOO_MANY_REQUESTS, &json!({ "errors": [{ "message": message }] })))
    }

    /// Debits the points of a query that ran.
    pub(super) fn spend_graphql(&mut self, points: u64) {
        if self.enforced {
            self.graphql.used = self.graphql.used.saturating_add(points);
            self.graphql_user.used = self.graphql_user.used.saturating_add(points);
        }
    }

    /// The headers of a GraphQL reply; complexity only where a query was read.
    pub(super) fn graphql_headers(
        &self,
        response: &mut Response<Bytes>,
        complexity: Option<(u64, u64)>,
        now: Timestamp,
    ) {
        if !self.enforced {
            return;
        }
        window_headers(response, "", &self.graphql, now);
        window_headers(response, "user-", &self.graphql_user, now);
        if let Some((requested, actual)) = complexity {
            set(response, "ratelimit-complexity-requested", requested.to_string());
            set(response, "ratelimit-complexity-actual", actual.to_string());
        }
    }

    /// The body of `GET /v2/organizations/{org}/rate_limit`.
    pub(super) fn status(&mut self, now: Timestamp) -> Value {
        self.rest.roll(now);
        self.graphql.roll(now);
        json!({ "scopes": {
            "rest": self.rest.status(now, self.enforced),
            "graphql": self.graphql.status(now, self.enforced),
        } })
    }
}

/// The 429 of the REST API.
fn rest_429(scope: &str, limit: u64, current: u64, reset: i64) -> Response<Bytes> {
    reply(
        StatusCode::TOO_MANY_REQUESTS,
        &json!({
            "message": format!("You have exceeded your API rate limit. Please wait {reset} seconds before making more requests."),
            "scope": scope,
            "limit": limit,
            "current": current,
            "reset": reset,
        }),
    )
}

/// The 429 for a configured rate of `per_second` calls, in the REST form.
pub(super) fn paced_429(per_second: u32, wait: Duration) -> Response<Bytes> {
    let whole = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX - 1);
    let reset = (whole + i64::from(wait.subsec_nanos() > 0)).max(1);
    let limit = u64::from(per_second);
    let mut response = rest_429("rest", limit, limit.saturating_add(1), reset);
    set(&mut response, "ratelimit-scope", "rest".to_owned());
    set(&mut response, "ratelimit-limit", limit.to_string());
    set(&mut response, "ratelimit-remaining", "0".to_owned());
    set(&mut response, "ratelimit-reset", reset.to_string());
    response
}

fn window_headers(response: &mut Response<Bytes>, prefix: &str, window: &Window, now: Timestamp) {
    let values = [
        ("limit", window.limit.to_string()),
        ("remaining", window.remaining().to_string()),
        ("reset", window.reset(now).to_string()),
    ];
    for (name, value) in values {
        set(response, &format!("ratelimit-{prefix}{name}"), value);
    }
}

/// Sets a header; names and values here are always plain ASCII of our own.
fn set(response: &mut Response<Bytes>, name: &str, value: String) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        response.headers_mut().insert(name, value);
    }
}
