//! GitHub's rate limits: the primary one by the hour, the secondary ones by the minute.

use std::collections::VecDeque;
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::errors::Reply;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// Calls an hour, of REST and (as points) of GraphQL.
const PRIMARY: u32 = 5000;
/// REST points a minute: a read is 1, a write 5.
const REST_POINTS: u32 = 900;
/// GraphQL points a minute.
const GRAPHQL_POINTS: u32 = 2000;
/// Calls that create content, a minute and an hour.
const CREATE_MINUTE: usize = 80;
const CREATE_HOUR: usize = 500;
/// Without a `retry-after`, clients wait a minute; so does one that is told.
const SECONDARY_MESSAGE: &str = "You have exceeded a secondary rate limit. Please wait a few \
                                 minutes before you try again.";

/// How refusals look; GitHub uses both statuses, and leaves `retry-after` out at times.
#[derive(Debug)]
pub(super) struct RateStyle {
    pub(super) status: StatusCode,
    pub(super) secondary: bool,
    pub(super) retry_after: bool,
}

impl Default for RateStyle {
    fn default() -> Self {
        Self { status: StatusCode::FORBIDDEN, secondary: true, retry_after: true }
    }
}

/// What a call is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Core,
    GraphQl,
    /// Asking for the limits, and an app's own calls with its JWT.
    Free,
}

impl Resource {
    pub(super) fn of(path: &str) -> Self {
        match path.trim_end_matches('/') {
            "/graphql" => Resource::GraphQl,
            "/rate_limit" => Resource::Free,
            path if path == "/app" || path.starts_with("/app/") => Resource::Free,
            _ => Resource::Core,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Resource::Core => "core",
            Resource::GraphQl => "graphql",
            Resource::Free => "none",
        }
    }
}

/// A window that begins with its first call.
#[derive(Debug, Default)]
struct Hour {
    used: u32,
    reset: Option<Timestamp>,
}

impl Hour {
    fn used(&self, now: Timestamp) -> u32 {
        match self.reset {
            Some(reset) if now < reset => self.used,
            _ => 0,
        }
    }

    fn reset(&self, now: Timestamp) -> Timestamp {
        self.reset.filter(|reset| now < *reset).unwrap_or_else(|| later(now, HOUR))
    }

    fn add(&mut self, now: Timestamp) {
        self.used = self.used(now) + 1;
        self.reset = Some(self.reset(now));
    }

    fn shown(&self, now: Timestamp) -> Value {
        let used = self.used(now);
        json!({
            "limit": PRIMARY,
            "used": used,
            "remaining": PRIMARY.saturating_sub(used),
            "reset": reset_seconds(self.reset(now)),
        })
    }
}

/// The points of the last minute.
#[derive(Debug, Default)]
struct Points {
    spent: VecDeque<(Timestamp, u32)>,
    sum: u32,
}

impl Points {
    fn forget(&mut self, now: Timestamp) {
        while let Some(&(at, points)) = self.spent.front()
            && later(at, MINUTE) <= now
        {
            self.sum -= points;
            self.spent.pop_front();
        }
    }

    /// How long until `points` fit under `most`; `None` if they do now.
    fn wait(&mut self, points: u32, most: u32, now: Timestamp) -> Option<Duration> {
        self.forget(now);
        let mut over = (self.sum + points).checked_sub(most).filter(|o| *o > 0)?;
        for &(at, points) in &self.spent {
            if points >= over {
                return Some(between(now, later(at, MINUTE)));
            }
            over -= points;
        }
        Some(Duration::from_secs(60))
    }

    fn add(&mut self, points: u32, now: Timestamp) {
        self.spent.push_back((now, points));
        self.sum += points;
    }
}

#[derive(Debug, Default)]
pub(super) struct Meter {
    core: Hour,
    graphql: Hour,
    rest_points: Points,
    graphql_points: Points,
    /// When content was created, in the last hour.
    created: VecDeque<Timestamp>,
}

impl Meter {
    /// Counts one call, or refuses it.
    pub(super) fn charge(
        &mut self,
        resource: Resource,
        method: &Method,
        now: Timestamp,
        style: &RateStyle,
    ) -> Result<(), Reply> {
        let hour = match resource {
            Resource::Core => &self.core,
            Resource::GraphQl => &self.graphql,
            Resource::Free => return Ok(()),
        };
        if hour.used(now) >= PRIMARY {
            return Err(Reply::error(style.status, "API rate limit exceeded for user ID 9001."));
        }
        let creates = resource == Resource::Core && [Method::POST, Method::PUT, Method::PATCH].contains(method);
        if style.secondary
            && let Some(wait) = self.secondary_wait(resource, method, creates, now)
        {
            return Err(secondary(style.status, style.retry_after.then_some(wait)));
        }
        if creates {
            self.created.push_back(now);
        }
        match resource {
            Resource::Core => {
                self.core.add(now);
                self.rest_points.add(points(method), now);
            }
            Resource::GraphQl => {
                self.graphql.add(now);
                // Only queries are served.
                self.graphql_points.add(1, now);
            }
            Resource::Free => {}
        }
        Ok(())
    }

    fn secondary_wait(
        &mut self,
        resource: Resource,
        method: &Method,
        creates: bool,
        now: Timestamp,
    ) -> Option<Duration> {
        let by_points = match resource {
            Resource::Core => self.rest_points.wait(points(method), REST_POINTS, now),
            Resource::GraphQl => self.graphql_points.wait(1, GRAPHQL_POINTS, now),
            Resource::Free => None,
        };
        while self.created.front().is_some_and(|at| later(*at, HOUR) <= now) {
            self.created.pop_front();
        }
        let mut by_content = None;
        if creates {
            for (most, window) in [(CREATE_MINUTE, MINUTE), (CREATE_HOUR, HOUR)] {
                let full = self.created.len().checked_sub(most);
                let oldest = full.and_then(|i| self.created.get(i));
                if let Some(free) = oldest.map(|at| later(*at, window)).filter(|t| *t > now) {
                    by_content = by_content.max(Some(between(now, free)));
                }
            }
        }
        by_points.max(by_content)
    }

    /// An answer "not modified" was free after all.
    pub(super) fn refund(&mut self, resource: Resource) {
        let hour = match resource {
            Resource::Core => &mut self.core,
            Resource::GraphQl => &mut self.graphql,
            Resource::Free => return,
        };
        hour.used = hour.used.saturating_sub(1);
    }

    /// The `x-ratelimit-…` headers.
    pub(super) fn headers(&self, resource: Resource, now: Timestamp) -> [(&'static str, String); 5] {
        let hour = match resource {
            Resource::Core | Resource::Free => &self.core,
            Resource::GraphQl => &self.graphql,
        };
        let used = hour.used(now);
        [
            ("x-ratelimit-limit", PRIMARY.to_string()),
            ("x-ratelimit-remaining", PRIMARY.saturating_sub(used).to_string()),
            ("x-ratelimit-used", used.to_string()),
            ("x-ratelimit-reset", reset_seconds(hour.reset(now)).to_string()),
            ("x-ratelimit-resource", resource.name().to_owned()),
        ]
    }

    /// `GET /rate_limit`. Search is not served, but its limit is part of the answer.
    pub(super) fn overview(&self, now: Timestamp) -> Value {
        let search = json!({
            "limit": 30,
            "used": 0,
            "remaining": 30,
            "reset": reset_seconds(later(now, MINUTE)),
        });
        json!({
            "resources": {
                "core": self.core.shown(now),
                "graphql": self.graphql.shown(now),
                "search": search,
            },
            "rate": self.core.shown(now),
        })
    }
}

/// A refusal by a secondary limit.
pub(super) fn secondary(status: StatusCode, wait: Option<Duration>) -> Reply {
    let reply = Reply::error(status, SECONDARY_MESSAGE);
    match wait {
        Some(wait) => {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            reply.with("retry-after", seconds.max(1).to_string())
        }
        None => reply,
    }
}

fn points(method: &Method) -> u32 {
    if [Method::GET, Method::HEAD, Method::OPTIONS].contains(method) { 1 } else { 5 }
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

fn between(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(now.duration_until(then)).unwrap_or_default()
}

/// In whole seconds, and not before the end.
fn reset_seconds(at: Timestamp) -> i64 {
    at.as_second() + i64::from(at.subsec_nanosecond() > 0)
}
