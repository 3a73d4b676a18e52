//! What answers say of limits: how much is left, when it comes back, and when a refused call may be
//! repeated. Every target has its own words for it; this reads all of them in one way.
//!
//! | dialect | who |
//! |---|---|
//! | epoch seconds | GitHub, Sentry, GitLab |
//! | epoch milliseconds | Linear |
//! | seconds left | Buildkite, PagerDuty, Datadog |
//! | a date (RFC 3339, or RFC 9110 section 5.6.7) | some proxies and gateways |
//! | `RateLimit` and `RateLimit-Policy` as structured fields | the IETF's draft "RateLimit header fields for HTTP" |
//! | `Retry-After` (RFC 9110 section 10.2.3) | everybody, Slack and Cloudflare nothing else |
//!
//! What is told as a point in time is told by the target's clock. Its answers carry that clock
//! (`Date`), so a clock that is off, theirs or ours, costs nothing: only the distance counts.

use jiff::fmt::{rfc2822, strtime};
use jiff::{SignedDuration, Timestamp};

use crate::limits::Reading;
use crate::transport::Reply;

/// The least that a refusal is waited out, in seconds.
pub const SHORTEST_WAIT: i64 = 1;
/// The longest that a refusal is waited out before it is tried whether the target meant it, in
/// seconds.
pub const LONGEST_WAIT: i64 = 3_600;
/// What a refusal that says no time is taken for, in seconds.
pub const USUAL_WAIT: i64 = 60;
/// No window of any vendor's is longer, in seconds.
const LONGEST_WINDOW: i64 = 31 * 86_400;

/// How a header tells when a window ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Seconds since 1970.
    EpochSeconds,
    /// Milliseconds since 1970.
    EpochMillis,
    /// Seconds to go.
    SecondsLeft,
    /// A date: RFC 3339, or as HTTP writes dates.
    Date,
}

impl Reset {
    /// When the window ends, by our clock; `None` for what is no such time.
    pub fn read(self, text: &str, reply: &Reply) -> Option<Timestamp> {
        let text = text.trim();
        match self {
            // Some send fractions.
            Self::SecondsLeft => {
                let seconds: f64 = text.parse().ok().filter(|seconds: &f64| seconds.is_finite())?;
                #[allow(clippy::cast_possible_truncation, reason = "clamped")]
                Some(after(reply.at, seconds.ceil().clamp(0.0, LONGEST_WINDOW as f64) as i64))
            }
            Self::EpochSeconds => Some(reply.ours(Timestamp::from_second(text.parse().ok()?).ok()?)),
            Self::EpochMillis => Some(reply.ours(Timestamp::from_millisecond(text.parse().ok()?).ok()?)),
            Self::Date => Some(reply.ours(text.parse().ok().or_else(|| http_date(text))?)),
        }
    }
}

/// The three headers in which a target tells of one bucket.
#[derive(Clone, Copy, Debug)]
pub struct Headers {
    /// Units of a window; may be missing in answers.
    pub limit: &'static str,
    /// Units left.
    pub remaining: &'static str,
    /// When the window ends.
    pub reset: &'static str,
    /// How it is told.
    pub dialect: Reset,
}

impl Headers {
    /// What an answer says of a bucket; `None` where it says nothing that can be understood.
    pub fn read(&self, bucket: &'static str, reply: &Reply) -> Option<Reading> {
        Some(Reading {
            bucket,
            limit: reply.header(self.limit).and_then(units).filter(|limit| *limit > 0),
            remaining: units(reply.header(self.remaining)?)?,
            resets_at: self.dialect.read(reply.header(self.reset)?, reply)?,
        })
    }
}

/// A count of units: what is below nothing is nothing, and what is beyond counting is the most.
fn units(text: &str) -> Option<u32> {
    // A list has one number per window; the first is the one that counts (`100, 100;w=60`).
    let text = text.split([',', ';']).next().unwrap_or_default().trim();
    let number: i64 = text.parse().ok()?;
    Some(u32::try_from(number.max(0)).unwrap_or(u32::MAX))
}

/// What `RateLimit` and `RateLimit-Policy` say (structured fields, RFC 9651): lists of policies with
/// `q` units per `w` seconds, of which `r` are left for `t` seconds. The older form, members `limit`,
/// `remaining` and `reset` of one policy, is read as the policy `default`. `bucket` names the bucket
/// of a policy; what it does not know is left out.
pub fn structured(reply: &Reply, bucket: impl Fn(&str) -> Option<&'static str>) -> Vec<Reading> {
    let Some(field) = reply.header("ratelimit") else {
        return Vec::new();
    };
    let policies = reply.header("ratelimit-policy").map(items).unwrap_or_default();
    let members = items(field);
    let bare = |name: &str| members.iter().find(|item| item.name == name).and_then(|item| item.value);
    if let (Some(remaining), Some(reset)) = (bare("remaining"), bare("reset")) {
        return bucket("default")
            .map(|bucket| Reading {
                bucket,
                limit: bare("limit").and_then(positive),
                remaining: count(remaining),
                resets_at: after(reply.at, reset.min(LONGEST_WINDOW)),
            })
            .into_iter()
            .collect();
    }
    members
        .iter()
        .filter_map(|item| {
            let policy = policies.iter().find(|policy| policy.name == item.name);
            let window = policy.and_then(|policy| policy.parameter("w"));
            Some(Reading {
                bucket: bucket(&item.name)?,
                limit: policy.and_then(|policy| policy.parameter("q")).and_then(positive),
                remaining: count(item.parameter("r")?),
                // Without `t` the units come back within the policy's window at the latest.
                resets_at: after(reply.at, item.parameter("t").or(window)?.min(LONGEST_WINDOW)),
            })
        })
        .collect()
}

/// One member of a structured list: a name, perhaps with a number (`limit=100`), and its parameters.
struct Item {
    name: String,
    value: Option<i64>,
    parameters: Vec<(String, i64)>,
}

impl Item {
    fn parameter(&self, name: &str) -> Option<i64> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }
}

/// The members of a list. What is no number is left out: no parameter that counts is anything else.
fn items(field: &str) -> Vec<Item> {
    split(field, ',')
        .into_iter()
        .map(|member| {
            let mut parts = split(member, ';').into_iter();
            let (name, value) = pair(parts.next().unwrap_or_default());
            let parameters = parts.filter_map(|part| {
                let (name, value) = pair(part);
                Some((name, value?))
            });
            Item { name, value, parameters: parameters.collect() }
        })
        .collect()
}

fn pair(text: &str) -> (String, Option<i64>) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let name = name.trim().trim_matches('"').to_ascii_lowercase();
    (name, value.trim().parse().ok().filter(|number| *number >= 0))
}

/// Splits where the separator stands outside of quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
    .collect()
}

fn count(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn positive(number: i64) -> Option<u32> {
    (number > 0).then(|| count(number))
}

/// `Retry-After`: seconds, or a date by the target's clock. Never less than [`SHORTEST_WAIT`] nor more
/// than [`LONGEST_WAIT`] away; `None` where there is none that can be understood.
pub fn retry_after(reply: &Reply) -> Option<Timestamp> {
    let text = reply.header("retry-after")?.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let until = match text.parse::<i64>() {
        Ok(seconds) if digits => after(reply.at, seconds.min(LONGEST_WINDOW)),
        // A number beyond all numbers is still one.
        _ if digits => after(reply.at, LONGEST_WAIT),
        _ => reply.ours(http_date(text)?),
    };
    Some(patient(reply, until))
}

/// A time to wait for, made sane: from [`SHORTEST_WAIT`] to [`LONGEST_WAIT`] after the answer.
pub fn patient(reply: &Reply, until: Timestamp) -> Timestamp {
    until.clamp(after(reply.at, SHORTEST_WAIT), after(reply.at, LONGEST_WAIT))
}

/// That many seconds later.
pub fn after(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// A date as HTTP writes it: IMF-fixdate, or one of the two obsolete forms that every recipient must
/// accept (RFC 9110 section 5.6.7).
pub fn http_date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(zoned) = rfc2822::parse(text) {
        return Some(zoned.timestamp());
    }
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"].into_iter().find_map(|form| {
        let civil = strtime::parse(form, text).ok()?.to_datetime().ok()?;
        Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    })
}

impl Reply {
    /// When the target sent it, by its own clock (`Date`); `None` where it does not say.
    pub fn date(&self) -> Option<Timestamp> {
        http_date(self.header("date")?)
    }

    /// A time of the target's clock as ours has it: as far from the answer as the target says it is.
    pub fn ours(&self, theirs: Timestamp) -> Timestamp {
        let by = self.date().unwrap_or(self.at);
        self.at.checked_add(theirs.duration_since(by)).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

    use super::*;

    /// 2026-01-01T00:00:00Z.
    const NOW: i64 = 1_767_225_600;

    fn reply(headers: &[(&'static str, &str)]) -> Reply {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        Reply::new(StatusCode::TOO_MANY_REQUESTS, map, Bytes::new(), Timestamp::from_second(NOW).unwrap())
    }

    fn wait(until: Option<Timestamp>) -> Option<i64> {
        until.map(|until| until.as_second() - NOW)
    }

    #[test]
    fn retry_after_in_every_form_is_clamped_and_garbage_says_nothing() {
        for (text, want) in [
            ("17", Some(17)),
            (" 17 ", Some(17)),
            ("0", Some(1)),
            ("1000000000", Some(3600)),
            ("99999999999999999999999", Some(3600)),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
            ("5, 6", None),
            ("Thu, 01 Jan 2026 00:00:30 GMT", Some(30)),
            ("Thursday, 01-Jan-26 00:00:30 GMT", Some(30)),
            ("Thu Jan  1 00:00:30 2026", Some(30)),
            ("Thu, 01 Jan 2015 00:00:30 GMT", Some(1)),
            ("Thu, 01 Jan 2099 00:00:30 GMT", Some(3600)),
        ] {
            assert_eq!(wait(retry_after(&reply(&[("retry-after", text)]))), want, "{text:?}");
        }
        assert_eq!(retry_after(&reply(&[])), None);
    }

    #[test]
    fn a_clock_that_is_off_changes_no_distance() {
        // The target's clock is two hours ahead of ours, or behind.
        for (date, told, epoch) in [
            ("Thu, 01 Jan 2026 02:00:00 GMT", "Thu, 01 Jan 2026 02:00:40 GMT", NOW + 7240),
            ("Wed, 31 Dec 2025 22:00:00 GMT", "Wed, 31 Dec 2025 22:00:40 GMT", NOW - 7160),
        ] {
            let answer = reply(&[("date", date), ("retry-after", told)]);
            assert_eq!(wait(retry_after(&answer)), Some(40));
            assert_eq!(wait(Reset::EpochSeconds.read(&epoch.to_string(), &answer)), Some(40));
            assert_eq!(wait(Reset::EpochMillis.read(&format!("{epoch}000"), &answer)), Some(40));
            assert_eq!(wait(Reset::Date.read(told, &answer)), Some(40));
            assert_eq!(wait(Reset::SecondsLeft.read("40", &answer)), Some(40));
        }
    }

    #[test]
    fn every_dialect_reads_its_own_and_refuses_what_is_none() {
        let answer = reply(&[]);
        for (dialect, text, want) in [
            (Reset::EpochSeconds, "1767225690", Some(90)),
            (Reset::EpochSeconds, "1767225000", Some(-600)),
            (Reset::EpochSeconds, "99999999999999", None),
            (Reset::EpochSeconds, "2026-01-01T00:01:30Z", None),
            (Reset::EpochMillis, "1767225690000", Some(90)),
            (Reset::SecondsLeft, "42", Some(42)),
            (Reset::SecondsLeft, "41.2", Some(42)),
            (Reset::SecondsLeft, "-7", Some(0)),
            (Reset::SecondsLeft, "1767225690", Some(LONGEST_WINDOW)),
            (Reset::SecondsLeft, "NaN", None),
            (Reset::SecondsLeft, "inf", None),
            (Reset::Date, "2026-01-01T00:01:30Z", Some(90)),
            (Reset::Date, "2026-01-01T01:01:30+01:00", Some(90)),
            (Reset::Date, "Thu, 01 Jan 2026 00:01:30 GMT", Some(90)),
            (Reset::Date, "tomorrow", None),
        ] {
            assert_eq!(wait(dialect.read(text, &answer)), want, "{dialect:?} {text:?}");
        }
    }

    #[test]
    fn three_headers_are_a_reading() {
        let names =
            Headers { limit: "x-limit", remaining: "x-remaining", reset: "x-reset", dialect: Reset::SecondsLeft };
        let read = |limit: &str, remaining: &str, reset: &str| {
            let answer = reply(&[("x-limit", limit), ("x-remaining", remaining), ("x-reset", reset)]);
            names.read("b", &answer).map(|reading| (reading.limit, reading.remaining, wait(Some(reading.resets_at))))
        };
        assert_eq!(read("100", "7", "9"), Some((Some(100), 7, Some(9))));
        assert_eq!(read("100, 100;w=60", "7", "9"), Some((Some(100), 7, Some(9))));
        assert_eq!(read("0", "-3", "9"), Some((None, 0, Some(9))));
        assert_eq!(read("x", "99999999999", "9"), Some((None, u32::MAX, Some(9))));
        assert_eq!(read("100", "x", "9"), None);
        assert_eq!(read("100", "7", "x"), None);
        assert!(names.read("b", &reply(&[("x-remaining", "7")])).is_none());
    }

    #[test]
    fn structured_fields_name_their_policies() {
        let bucket = |policy: &str| match policy {
            "default" => Some("all"),
            "burst" => Some("burst"),
            _ => None,
        };
        let read = |limit: &str, policy: &str| -> Vec<(&str, Option<u32>, u32, Option<i64>)> {
            let answer = reply(&[("ratelimit", limit), ("ratelimit-policy", policy)]);
            structured(&answer, bucket)
                .into_iter()
                .map(|reading| (reading.bucket, reading.limit, reading.remaining, wait(Some(reading.resets_at))))
                .collect()
        };
        let policy = r#""burst";q=100;w=60, "default";q=1000;w=3600;pk=:YQ==:"#;
        assert_eq!(read(r#""default";r=50;t=30"#, policy), [("all", Some(1000), 50, Some(30))]);
        assert_eq!(
            read(r#""burst";r=0;t=7,"default";r=50"#, policy),
            [("burst", Some(100), 0, Some(7)), ("all", Some(1000), 50, Some(3600))]
        );
        assert_eq!(read("limit=100, remaining=50, reset=5", ""), [("all", Some(100), 50, Some(5))]);
        assert_eq!(read(r#""other";r=5;t=5"#, policy), []);
        assert_eq!(read(r#""a;b,c";r=5;t=5, "default";r=1;t=1"#, policy), [("all", Some(1000), 1, Some(1))]);
        for odd in ["", ";;;", ",", "\"", "r=", r#""default";r=-1;t=3"#, r#""default";r=x"#, "default=1"] {
            assert_eq!(read(odd, odd), [], "{odd:?}");
        }
    }
}
