//! What an answer says beside its data: limits, waits, and GitHub's words of a refusal.
//! Source: docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api

use std::time::Duration;

use connector_sdk::rates::{self, Headers, Reset};
use connector_sdk::tariff::READS;
use connector_sdk::{Bucket, Fault, FaultKind, Pace, Reading, Reply, Retry, Rule, StepCost, Tariff};
use jiff::Timestamp;
use serde_json::Value;

use super::wire::Refusal;

/// The buckets of one credential.
pub(crate) fn buckets(pace: Pace) -> Vec<Bucket> {
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

/// What calls cost of them (docs.github.com: Rate limits for the REST API, Calculating points for the
/// secondary rate limit).
pub(super) fn tariff(pace: Pace) -> Tariff {
    // The App itself asks for these; the installation's limits don't count them.
    let free = Rule::any().named(&["find installation", "make installation token"]);
    if pace == Pace::Headers {
        return Tariff::new([free, Rule::any().charge("primary", 1)]);
    }
    let write = || Rule::any().charge("primary", 1).charge("writes", 1);
    let content = || write().charge("content_minute", 1).charge("content_hour", 1);
    Tariff::new([
        free,
        Rule::any().any_graphql().charge("graphql", 1).charge("reads", 1),
        Rule::any().method(&READS).charge("primary", 1).charge("reads", 1),
        content().charge("invitations", 1).method(&["POST"]).path("orgs/*/invitations"),
        // The same call changes a role; it is the name that tells the two apart.
        content().charge("invitations", 1).named(&["invite by login"]),
        content().method(&["POST"]).path("orgs/*/teams"),
        write(),
    ])
}

/// What the engine's steps cost, looks beforehand included.
pub(super) fn costs(pace: Pace) -> Vec<StepCost> {
    let step = |name, reads: u32, content: bool| match pace {
        Pace::Headers => StepCost::new(name, reads + 1).charge("primary", reads + 1),
        Pace::Documented => {
            let cost = StepCost::new(name, reads + 1);
            let cost = cost.charge("primary", reads + 1).charge("reads", reads).charge("writes", 1);
            if content { cost.charge("content_minute", 1).charge("content_hour", 1) } else { cost }
        }
    };
    let look = StepCost::new("look", 1).charge("primary", 1);
    let create = step("create", 1, true);
    let create = if pace == Pace::Documented { create.charge("invitations", 1) } else { create };
    vec![
        create,
        if pace == Pace::Documented { look.charge("reads", 1) } else { look },
        step("update", 2, false),
        step("remove", 2, false),
        step("revoke", 0, false),
        step("add_member", 1, false),
        step("remove_member", 1, false),
        step("create_group", 1, true),
        step("tidy_group", 1, false),
        step("update_group", 0, false),
        step("remove_group", 0, false),
    ]
}

/// How GitHub tells of a bucket.
const HEADERS: Headers = Headers {
    limit: "x-ratelimit-limit",
    remaining: "x-ratelimit-remaining",
    reset: "x-ratelimit-reset",
    dialect: Reset::EpochSeconds,
};

/// What the headers say of the buckets.
pub(super) fn limits(pace: Pace, reply: &Reply) -> Vec<Reading> {
    let bucket = match (reply.header("x-ratelimit-resource").unwrap_or("core"), pace) {
        ("core", _) => "primary",
        ("graphql", Pace::Documented) => "graphql",
        _ => return Vec::new(),
    };
    HEADERS.read(bucket, reply).into_iter().collect()
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

/// Whether an answer stops the whole credential: a rate limit in any of its forms, GraphQL's, which
/// comes with status 200, included.
pub(crate) fn throttled(reply: &Reply) -> Option<Timestamp> {
    const SAID: [&[u8]; 2] = [b"\"RATE_LIMITED\"", b"\"RATE_LIMIT\""];
    let in_graphql = reply.status.is_success()
        && reply.header("x-ratelimit-resource") == Some("graphql")
        && reply.header("x-ratelimit-remaining").is_some_and(|left| left.trim() == "0")
        && SAID.iter().any(|word| reply.body.windows(word.len()).any(|part| part == *word));
    if in_graphql { waits(reply) } else { limited(reply) }
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
        .then(|| rates::after(reply.at, rates::USUAL_WAIT))
    })
}

/// The wait that the headers ask for: `Retry-After`, else the end of a window of which nothing is left,
/// and a second for rounding.
pub(super) fn waits(reply: &Reply) -> Option<Timestamp> {
    rates::retry_after(reply).or_else(|| {
        let reading = HEADERS.read("primary", reply).filter(|reading| reading.remaining == 0)?;
        Some(rates::patient(reply, rates::after(reading.resets_at, 1)))
    })
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
