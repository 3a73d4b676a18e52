//! Limits, errors and settings.

use bytes::Bytes;
use connector_sdk::{Cx, Effect, Entry, FaultKind, GroupWant, Reply, Retry, Secrets};
use connectors::buildkite::Buildkite;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::SignedDuration;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::script::*;

#[tokio::test]
async fn a_429_ends_at_the_latest_time_that_is_told() {
    type Headers = Vec<(&'static str, &'static str)>;
    let cases: Vec<(Headers, Value, i64)> = vec![
        // The user's bucket is empty, the organisation's is not.
        (
            vec![
                ("ratelimit-remaining", "12"),
                ("ratelimit-reset", "5"),
                ("ratelimit-user-remaining", "0"),
                ("ratelimit-user-reset", "42"),
            ],
            json!({}),
            42,
        ),
        (
            vec![
                ("ratelimit-remaining", "0"),
                ("ratelimit-reset", "50"),
                ("ratelimit-user-remaining", "0"),
                ("ratelimit-user-reset", "42"),
            ],
            json!({}),
            50,
        ),
        (vec![], json!({ "message": "Please wait", "scope": "rest_user", "reset": 33 }), 33),
        (vec![], json!({ "errors": [{ "message": "Please try again in 187 seconds." }] }), 187),
        (vec![("retry-after", "7")], Value::Null, 7),
        (vec![], Value::Null, 60),
        (vec![("ratelimit-remaining", "0"), ("ratelimit-reset", "99999999999")], Value::Null, 3_600),
    ];
    for (headers, body, seconds) in cases {
        let limited = Answer { headers, ..answer(429, body) };
        let (connector, script) = stage(vec![("GET /teams", vec![limited])]);
        let cx = Cx::new(&script, now());
        let fault = connector.groups().unwrap().list(&cx, None).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::RateLimited);
        assert_eq!(fault.retry, Retry::NotBefore(now() + SignedDuration::from_secs(seconds)));
        assert_eq!(script.calls().len(), 1);
    }
}

#[test]
fn headers_fill_the_buckets_they_speak_of() {
    let connector = connector_of(json!({ "org": "acme" }));
    let read = |headers: &[(&'static str, &'static str)]| -> Vec<(&'static str, u32, i64)> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        let reply = Reply::new(StatusCode::OK, map, Bytes::new(), now());
        connector
            .read_limits(&reply)
            .into_iter()
            .map(|r| (r.bucket, r.remaining, (r.resets_at - now()).get_seconds()))
            .collect()
    };
    assert_eq!(
        read(&[
            ("ratelimit-scope", "rest"),
            ("ratelimit-limit", "200"),
            ("ratelimit-remaining", "187"),
            ("ratelimit-reset", "31"),
            ("ratelimit-user-limit", "50"),
            ("ratelimit-user-remaining", "9"),
            ("ratelimit-user-reset", "12"),
        ]),
        [("rest_org", 187, 31), ("rest_user", 9, 12)]
    );
    assert_eq!(
        read(&[
            ("ratelimit-complexity-actual", "4"),
            ("ratelimit-user-remaining", "4990"),
            ("ratelimit-user-reset", "250"),
        ]),
        [("graphql_user", 4990, 250)]
    );
    assert_eq!(read(&[("ratelimit-remaining", "x")]), []);
}

#[tokio::test]
async fn graphql_errors_come_with_status_200() {
    let said = |message: &str, data: Value| answer(200, json!({ "errors": [{ "message": message }], "data": data }));
    let cases = [
        (
            said(
                "You have exceeded your per-user limit of 5000 complexity points. Please try again in 187 seconds.",
                Value::Null,
            ),
            FaultKind::RateLimited,
            Effect::None,
        ),
        (
            said("Query has complexity of 251503, which exceeds max complexity of 50000", Value::Null),
            FaultKind::Refused,
            Effect::None,
        ),
        (said("No organization found", json!({ "teamCreate": null })), FaultKind::NotFound, Effect::None),
        (said("You don't have permission to do this", Value::Null), FaultKind::Permission, Effect::None),
        (said("Something odd", json!({ "teamCreate": {} })), FaultKind::Refused, Effect::Unknown),
        (answer(500, json!({ "message": "not found" })), FaultKind::Unavailable, Effect::Unknown),
        (answer(200, json!({ "data": null })), FaultKind::Malformed, Effect::Unknown),
        (
            answer(200, json!({ "data": { "teamCreate": { "teamEdge": { "node": { "name": "x" } } } } })),
            FaultKind::Malformed,
            Effect::Unknown,
        ),
    ];
    for (answered, kind, effect) in cases {
        let (connector, script) = stage(vec![(GRAPHQL, vec![answered])]);
        let cx = Cx::new(&script, now());
        let groups = connector.groups().unwrap();
        let fault = groups.create(&cx, &GroupWant::named("Platform")).await.unwrap_err();
        assert_eq!((fault.kind, fault.effect), (kind, effect), "{fault:?}");
    }
}

#[tokio::test]
async fn a_target_that_echoes_the_token_does_not_spread_it() {
    let echoed = answer(403, json!({ "message": format!("{TOKEN}\u{1b}[31m may not") }));
    let (connector, script) = stage(vec![("GET /teams", vec![echoed])]);
    let cx = Cx::new(&script, now());
    let fault = connector.groups().unwrap().list(&cx, None).await.unwrap_err();
    assert!(!format!("{fault:?}").contains(TOKEN));
    assert!(fault.message.contains("[redacted]") && !fault.message.contains('\u{1b}'));
}

#[test]
fn settings_are_checked_and_the_key_follows_the_organisation() {
    let build = |settings: Value, token: &str| {
        let secrets = Secrets::new([("token".to_owned(), SecretString::from(token))]);
        Entry::of::<Buildkite>().build(&settings, &secrets)
    };
    let bad = [
        (json!({}), TOKEN, "org"),
        (json!({ "org": "a/b" }), TOKEN, "org"),
        (json!({ "org": "" }), TOKEN, "org"),
        (json!({ "org": "acme", "api_url": "ftp://x" }), TOKEN, "api_url"),
        (json!({ "org": "acme", "api_url": "https://x/?a=b" }), TOKEN, "api_url"),
        (json!({ "org": "acme", "sso_mode": "perhaps" }), TOKEN, "sso_mode"),
        (json!({ "org": "acme", "token": "x" }), TOKEN, "token"),
        (json!({ "org": "acme" }), "a b", "token"),
        (json!({ "org": "acme" }), " ", "token"),
    ];
    for (settings, token, field) in bad {
        let error = build(settings, token).err().unwrap();
        assert_eq!(error.field, field, "{error}");
    }
    let key = |settings: Value| build(settings, TOKEN).unwrap().traits().driver_key.to_string();
    assert_eq!(key(json!({ "org": "Acme" })), "buildkite:api.buildkite.com:443:acme");
    assert_eq!(key(json!({ "org": "acme", "api_url": "http://127.0.0.1:8123/v2/" })), "buildkite:127.0.0.1:8123:acme");
    let headers = build(json!({ "org": "acme", "pace": "headers" }), TOKEN).unwrap();
    assert!(headers.traits().buckets.iter().all(|bucket| bucket.units.is_none()));
}
