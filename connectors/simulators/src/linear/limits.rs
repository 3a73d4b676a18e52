//! The vendor's rate limits: two leaky buckets an hour, of requests and of complexity
//! (linear.app/developers/rate-limiting). A refusal is HTTP 400 with the code `RATELIMITED`.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use jiff::Timestamp;
use serde_json::json;

use super::reply;

/// The most complexity of one query, in points.
const MOST: u64 = 10_000;

/// A leaky bucket: what was taken comes back at a constant rate.
#[derive(Debug)]
struct Bucket {
    /// As its headers name it.
    name: &'static str,
    limit: f64,
    left: f64,
    seen: Option<Timestamp>,
}

impl Bucket {
    fn new(name: &'static str, limit: f64) -> Self {
        Self { name, limit, left: limit, seen: None }
    }

    fn refill(&mut self, now: Timestamp) {
        if let Some(seen) = self.seen {
            let passed = now.duration_since(seen).as_secs_f64().max(0.0);
            self.left = (self.left + passed * self.limit / 3_600.0).min(self.limit);
        }
        self.seen = Some(now);
    }

    /// When it is full again, in milliseconds since 1970.
    fn full_at(&self, now: Timestamp) -> i64 {
        let seconds = (self.limit - self.left) * 3_600.0 / self.limit;
        let wait = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
        now.as_millisecond().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The buckets of the key's user.
#[derive(Debug)]
pub(super) struct Meter {
    enforced: bool,
    requests: Bucket,
    complexity: Bucket,
}

impl Meter {
    pub(super) fn new(enforced: bool) -> Self {
        Self { enforced, requests: Bucket::new("requests", 2_500.0), complexity: Bucket::new("complexity", 250_000.0) }
    }

    /// Takes a request of that complexity in points; the refusal where there is no room.
    pub(super) fn take(&mut self, points: u64, now: Timestamp) -> Option<Response<Bytes>> {
        if !self.enforced {
            return None;
        }
        self.requests.refill(now);
        self.complexity.refill(now);
        if points > MOST {
            return Some(reply(
                StatusCode::BAD_REQUEST,
                &json!({ "errors": [{
                    "message": "Query too complex",
                    "extensions": { "type": "invalid input", "code": "INPUT_ERROR", "userError": true,
                        "userPresentableMessage": format!("The query has a complexity of {points}, the most is {MOST}.") },
                }] }),
            ));
        }
        #[allow(clippy::cast_precision_loss, reason = "at most ten thousand")]
        let points = points as f64;
        if self.requests.left < 1.0 || self.complexity.left < points {
            return Some(limited());
        }
        self.requests.left -= 1.0;
        self.complexity.left -= points;
        None
    }

    /// The headers of an answer.
    pub(super) fn headers(&self, response: &mut Response<Bytes>, points: u64, now: Timestamp) {
        if !self.enforced {
            return;
        }
        set(response, "x-complexity", points.to_string());
        for bucket in [&self.requests, &self.complexity] {
            let head = format!("x-ratelimit-{}", bucket.name);
            set(response, &format!("{head}-limit"), format!("{:.0}", bucket.limit));
            set(response, &format!("{head}-remaining"), format!("{:.0}", bucket.left.floor()));
            set(response, &format!("{head}-reset"), bucket.full_at(now).to_string());
        }
    }
}

fn limited() -> Response<Bytes> {
    reply(
        StatusCode::BAD_REQUEST,
        &json!({ "errors": [{
            "message": "Rate limit exceeded",
            "extensions": { "type": "ratelimited", "code": "RATELIMITED", "statusCode": 429, "userError": true,
                "userPresentableMessage": "Rate limit exceeded. Please slow down." },
        }] }),
    )
}

/// The refusal for a configured rate of calls.
pub(super) fn paced(per_second: u32, wait: Duration, now: Timestamp) -> Response<Bytes> {
    let mut response = limited();
    let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX).max(1);
    set(&mut response, "x-ratelimit-requests-limit", per_second.to_string());
    set(&mut response, "x-ratelimit-requests-remaining", "0".to_owned());
    set(&mut response, "x-ratelimit-requests-reset", now.as_millisecond().saturating_add(millis).to_string());
    response
}

/// Sets a header; names and values here are always plain ASCII of our own.
fn set(response: &mut Response<Bytes>, name: &str, value: String) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        response.headers_mut().insert(name, value);
    }
}
