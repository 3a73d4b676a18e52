//! What an answer says beside its data: limits, waits, and GitHub's words of a refusal.
//! Source: docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api

use std::time::Duration;

use connector_sdk::{Bucket, Fault, FaultKind, Pace, Reading, Reply, Retry};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::wire::Refusal;

/// The longest wait that an answer can ask for.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(24);

/// The buckets of one credential.
pub(super) fn buckets(pace: Pace) -> Vec<Bucket> {
    let minute = Duration::from_secs(60);
    let hour = Duration::from_secs(3600);
    match pace {
        Pace::Headers => {
            vec![Bucket::unknown("primary", "Requests an hour, as GitHub's headers say").at_once(8)]
        }
        Pace::Documented => vec![
            Bucket::new("primary", "5,000 REST requests an hour (docs.github.com: Rate limits for the REST API)", 5000, hour),
            Bucket::new("graphql", "5,000 GraphQL points an hour (docs.github.com: Rate limits for the GraphQL API)", 5000, hour),
            Bucket::new("reads", "900 points a minute, a read costs 1 (docs.github.com: About secondary rate limits)", 900, minute).at_once(10),
            Bucket::new("writes", "900 points a minute, a write costs 5; one after the other, a second apart (docs.github.com: Best practices for using the REST API)", 180, minute)
                .gap(Duration::from_secs(1))
                .at_once(1),
            Bucket::new("content_minute", "80 content-creating requests a minute (docs.github.com: About secondary rate limits)", 80, minute),
            Bucket::new("content_hour", "500 content-creating requests an hour (docs.github.com: About secondary rate limits)", 500, hour),
            Bucket::new("invitations", "500 invitations a day, 50 for organisations younger than a month on the free plan (docs.github.com: Set organization membership for a user)", 500, Duration::from_secs(86_400)),
        ],
    }
}
/// What the headers say of the buckets.
pub(super) fn limits(pace: Pace, reply: &Reply) -> Vec<Reading> {
    let number = |name: &str| reply.header(name)?.trim().parse::<i64>().ok();
    let bucket = match (reply.header("x-ratelimit-resource").unwrap_or("core"), pace) {
        ("core", _) => "primary",
        ("graphql", Pace::Documented) => "graphql",
        _ => return Vec::new(),
    };
    let (Some(remaining), Some(reset)) =
        (number("x-ratelimit-remaining"), number("x-ratelimit-reset").and_then(|at| Timestamp::from_second(at).ok()))
    else {
        return Vec::new();
    };
    vec![Reading {
        bucket,
        limit: number("x-ratelimit-limit").and_then(|limit| u32::try_from(limit).ok()),
        remaining: u32::try_from(remaining.max(0)).unwrap_or(u32::MAX),
        resets_at: reset.min(latest(reply.at)),
    }]
}

/// GitHub says that single sign-on kept some organisations' objects out of this answer.
pub(super) fn partial(reply: &Reply) -> bool {
    reply.header("x-github-sso").is_some_and(|value| value.trim_start().starts_with("partial-results"))
}

pub(super) fn rate_limited(until: Timestamp, context: String) -> Fault {
    Fault::new(FaultKind::RateLimited, "GitHub's rate limit is reached. Calls go on when it ends; nothing is lost.")
        .retry(Retry::NotBefore(until))
        .context(context)
}

/// Whether an answer is a rate limit, and when it ends. GitHub says 403 or 429 for both of its
/// limits, and 403 for a missing right too: headers and words tell them apart.
pub(super) fn limited(reply: &Reply) -> Option<Timestamp> {
    let status = reply.status.as_u16();
    if !matches!(status, 403 | 429) {
        return None;
    }
    waits(reply).or_else(|| {
        let said = refusal_of(reply).message.to_ascii_lowercase();
        (status == 429
            || said.contains("secondary rate limit")
            || said.contains("rate limit exceeded")
            || said.contains("abuse detection"))
        .then(|| later(reply.at, 60))
    })
}

/// The wait that the headers ask for.
pub(super) fn waits(reply: &Reply) -> Option<Timestamp> {
    retry_after(reply).or_else(|| {
        if reply.header("x-ratelimit-remaining")?.trim() != "0" {
            return None;
        }
        let reset: i64 = reply.header("x-ratelimit-reset")?.trim().parse().ok()?;
        let reset = Timestamp::from_second(reset.checked_add(1)?).ok()?;
        Some(reset.clamp(later(reply.at, 1), latest(reply.at)))
    })
}

/// `Retry-After`, in seconds or as a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(reply: &Reply) -> Option<Timestamp> {
    let value = reply.header("retry-after")?.trim();
    let until = match value.parse::<i64>() {
        Ok(seconds) => later(reply.at, seconds.clamp(1, LONGEST_WAIT.as_secs())),
        Err(_) => jiff::fmt::rfc2822::parse(value).ok()?.timestamp(),
    };
    Some(until.clamp(later(reply.at, 1), latest(reply.at)))
}

/// That many seconds later; the end of time where there is no later.
pub(super) fn later(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

fn latest(at: Timestamp) -> Timestamp {
    later(at, LONGEST_WAIT.as_secs())
}

/// The body of a refusal; empty if it is none.
pub(super) fn refusal_of(reply: &Reply) -> Refusal {
    serde_json::from_slice(&reply.body).unwrap_or_default()
}

/// What GitHub says in a refusal, for an admin: the detail of each error, else the message.
pub(super) fn words(reply: &Reply) -> String {
    let refusal = refusal_of(reply);
    let details: Vec<String> = refusal
        .errors
        .iter()
        .take(3)
        .filter_map(|error| match error {
            Value::String(text) => Some(text.clone()),
            Value::Object(fields) => {
                let text = |name: &str| fields.get(name).and_then(Value::as_str);
                text("message").map(str::to_owned).or_else(|| Some(format!("{} {}", text("field")?, text("code")?)))
            }
            _ => None,
        })
        .collect();
    if details.is_empty() { tidy(&refusal.message) } else { tidy(&details.join("; ")) }
}

/// Whether a refusal holds one of these error codes or, in any of its texts, one of these words.
pub(super) fn says(reply: &Reply, codes: &[&str], parts: &[&str]) -> bool {
    let refusal = refusal_of(reply);
    let mut texts = vec![refusal.message.to_ascii_lowercase()];
    for error in &refusal.errors {
        match error {
            Value::String(text) => texts.push(text.to_ascii_lowercase()),
            Value::Object(fields) => {
                if fields.get("code").and_then(Value::as_str).is_some_and(|code| codes.contains(&code)) {
                    return true;
                }
                if let Some(text) = fields.get("message").and_then(Value::as_str) {
                    texts.push(text.to_ascii_lowercase());
                }
            }
            _ => {}
        }
    }
    texts.iter().any(|text| parts.iter().any(|part| text.contains(part)))
}

/// A remote text made fit for a message: one line, of bounded length, without a closing stop and
/// without anything that may be a credential.
pub(super) fn tidy(text: &str) -> String {
    let mut line = String::new();
    let mut word = String::new();
    // Bounded before all else; a word cut here is as long as the bound and is left out below.
    for c in text.chars().take(2000).chain([' ']) {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') {
            word.push(c);
            continue;
        }
        line.push_str(if is_credential(&word) { "[left out]" } else { &word });
        word.clear();
        line.push(if c.is_control() { ' ' } else { c });
    }
    let line: String = line.trim().chars().take(300).collect();
    line.trim().trim_end_matches('.').to_owned()
}

/// Whether a word looks like a token: by GitHub's prefixes, or long with letters and digits, as
/// older tokens and hashes are.
fn is_credential(word: &str) -> bool {
    const PREFIXES: [&str; 7] = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "eyJ"];
    PREFIXES.iter().any(|prefix| word.starts_with(prefix))
        || word.len() >= 30
            && word.bytes().any(|byte| byte.is_ascii_digit())
            && word.bytes().any(|byte| byte.is_ascii_alphabetic())
}
