//! The contract kit over every built-in connector, against its simulator.

#![allow(clippy::print_stdout, reason = "the report is for people who run it")]

mod support;

use std::sync::Arc;

use connector_sdk::Transport;
use connector_sdk::kit::{self, RateLimit, Report, Subject};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulators::Limits;

/// Plays the kit over a target, with these settings on top of the simulator's offer.
async fn play(
    target: &'static str,
    settings: Value,
    handles: bool,
    rate_limits: fn(Timestamp) -> Vec<RateLimit>,
) -> Report {
    let settings = &settings;
    kit::run(|| async move {
        let built = support::build(target, Limits::None, settings, handles, rate_limits);
        Subject {
            connector: built.connector,
            transport: Arc::clone(&built.sim) as Arc<dyn Transport>,
            world: built.sim,
            secrets: built.secrets,
        }
    })
    .await
}

fn judge(what: &str, report: &Report) {
    println!("{what}\n{report}\n");
    assert!(report.failed.is_empty(), "{what} breaks the contract:\n{report}");
    assert!(!report.passed.is_empty(), "{what}: nothing was played");
}

fn buildkite_limits(_: Timestamp) -> Vec<RateLimit> {
    vec![
        RateLimit {
            name: "Buildkite's 429 for the user",
            status: 429,
            headers: vec![
                ("ratelimit-scope", "rest".to_owned()),
                ("ratelimit-limit", "200".to_owned()),
                ("ratelimit-remaining", "120".to_owned()),
                ("ratelimit-reset", "9".to_owned()),
                ("ratelimit-user-scope", "rest_user".to_owned()),
                ("ratelimit-user-limit", "50".to_owned()),
                ("ratelimit-user-remaining", "0".to_owned()),
                ("ratelimit-user-reset", "42".to_owned()),
            ],
            body: r#"{"message":"You have exceeded your API rate limit. Please wait 42 seconds before making more requests.","scope":"rest_user","limit":50,"current":55,"reset":42}"#.to_owned(),
            seconds: 42,
        },
        RateLimit {
            name: "Buildkite's GraphQL 429",
            status: 429,
            headers: Vec::new(),
            body: r#"{"errors":[{"message":"You have exceeded your per-user limit of 5000 complexity points. Please try again in 187 seconds."}]}"#.to_owned(),
            seconds: 187,
        },
    ]
}

fn github_limits(now: Timestamp) -> Vec<RateLimit> {
    let reset = now + SignedDuration::from_secs(600);
    let primary = |name, status| RateLimit {
        name,
        status,
        headers: vec![
            ("x-ratelimit-limit", "5000".to_owned()),
            ("x-ratelimit-remaining", "0".to_owned()),
            ("x-ratelimit-reset", reset.as_second().to_string()),
            ("x-ratelimit-resource", "core".to_owned()),
        ],
        body: r#"{"message":"API rate limit exceeded for user ID 1."}"#.to_owned(),
        seconds: 600,
    };
    vec![
        primary("GitHub's primary limit, 403", 403),
        primary("GitHub's primary limit, 429", 429),
        RateLimit {
            name: "GitHub's secondary limit with retry-after",
            status: 403,
            headers: vec![("retry-after", "73".to_owned())],
            body: r#"{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}"#.to_owned(),
            seconds: 73,
        },
        RateLimit {
            name: "GitHub's secondary limit without retry-after",
            status: 403,
            headers: Vec::new(),
            body: r#"{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}"#.to_owned(),
            seconds: 60,
        },
    ]
}

fn linear_limits(now: Timestamp) -> Vec<RateLimit> {
    let body = |code: &str| {
        json!({ "errors": [{ "message": "Rate limit exceeded", "extensions": { "type": "ratelimited", "code": code } }] })
            .to_string()
    };
    let reset = |seconds: i64| (now.as_millisecond() + seconds * 1_000).to_string();
    let requests = |seconds| {
        vec![("x-ratelimit-requests-remaining", "0".to_owned()), ("x-ratelimit-requests-reset", reset(seconds))]
    };
    let form = |name, status, headers, seconds| RateLimit { name, status, headers, body: body("RATELIMITED"), seconds };
    vec![
        form("Linear's 400 that is a rate limit", 400, requests(90), 90),
        form("Linear's 429", 429, requests(120), 120),
        form("Linear's 200 with an error that is a rate limit", 200, Vec::new(), 60),
        form(
            "Linear's complexity, used up for longer than the requests",
            400,
            [
                requests(30),
                vec![
                    ("x-ratelimit-complexity-remaining", "0".to_owned()),
                    ("x-ratelimit-complexity-reset", reset(200)),
                ],
            ]
            .concat(),
            200,
        ),
    ]
}

#[tokio::test]
async fn linear_keeps_the_contract() {
    let report = play("linear", json!({}), false, linear_limits).await;
    judge("linear", &report);
}

#[tokio::test]
async fn buildkite_keeps_the_contract() {
    let report = play("buildkite", json!({}), false, buildkite_limits).await;
    judge("buildkite", &report);
}

#[tokio::test]
async fn github_with_saml_keeps_the_contract() {
    let report = play("github", json!({ "identity": "saml" }), false, github_limits).await;
    judge("github, identity saml", &report);
}

#[tokio::test]
async fn github_with_handles_keeps_the_contract() {
    let settings = json!({ "identity": "handle", "handle_attribute": "userName" });
    let report = play("github", settings, true, github_limits).await;
    judge("github, identity handle", &report);
}

#[tokio::test]
async fn github_teams_only_keeps_the_contract() {
    let settings = json!({ "mode": "teams_only", "identity": "handle" });
    let report = play("github", settings, true, github_limits).await;
    judge("github, teams only", &report);
}
