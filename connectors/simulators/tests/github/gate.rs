//! What every call goes through.

use serde_json::{Value, json};
use simulators::Limits;

use crate::support::Hub;

const NONE: Value = Value::Null;

#[test]
fn headers_that_a_call_must_have() {
    let hub = Hub::new(Limits::None);
    let bearer = format!("Bearer {}", hub.token);
    let token = format!("token {}", hub.token);
    let agent = ("user-agent", "test");
    for (headers, status, message) in [
        (vec![("authorization", bearer.as_str())], 403, "Request forbidden"),
        (vec![agent], 401, "Requires authentication"),
        (vec![agent, ("authorization", "Bearer ghp_other")], 401, "Bad credentials"),
        (vec![agent, ("authorization", "Basic eDp5")], 401, "Bad credentials"),
        (vec![agent, ("authorization", "Bearer ghs_other")], 401, "Bad credentials"),
        (vec![agent, ("authorization", bearer.as_str())], 200, ""),
        (vec![agent, ("authorization", token.as_str())], 200, ""),
        (vec![agent, ("authorization", bearer.as_str()), ("x-github-api-version", "2026-03-10")], 200, ""),
        (vec![agent, ("authorization", bearer.as_str()), ("x-github-api-version", "1999-01-01")], 400, "The version"),
    ] {
        let answer = hub.raw("GET /orgs/acme/members", &headers, &NONE);
        assert_eq!(answer.status, status, "{headers:?}");
        let said = answer.body["message"].as_str().unwrap_or_default();
        assert!(said.starts_with(message), "{headers:?}: {said}");
        assert!(answer.header("x-github-request-id").is_some());
    }
    let answer = hub.get("/versions");
    assert_eq!(answer.body, json!(["2022-11-28", "2026-03-10"]));
    assert_eq!(answer.header("x-oauth-scopes"), Some("admin:org"));
    assert_eq!(answer.header("x-ratelimit-limit"), None);
    assert_eq!(hub.get("/nothing").status, 404);
}

#[test]
fn a_dead_credential() {
    let hub = Hub::new(Limits::None);
    hub.set(&json!({ "token": "revoked" }));
    hub.check(&[("GET /orgs/acme/members", NONE, 401, json!({ "message": "Bad credentials" }))]);
    hub.set(&json!({ "token": "valid" }));
    hub.check(&[("GET /orgs/acme/members", NONE, 200, NONE)]);
}

#[test]
fn single_sign_on() {
    let hub = Hub::new(Limits::None);
    hub.set(&json!({ "sso": "required" }));
    let refused = hub.get("/orgs/acme/members");
    assert_eq!(refused.status, 403);
    assert!(refused.header("x-github-sso").unwrap().starts_with("required; url="));
    assert_eq!(hub.get("/user").status, 200);
    hub.set(&json!({ "sso": "partial", "members": [{ "login": "ada" }] }));
    let partial = hub.get("/orgs/acme/members");
    assert_eq!(partial.body.as_array().unwrap().len(), 1);
    assert_eq!(partial.header("x-github-sso"), Some("partial-results; organizations=4242"));
    hub.set(&json!({ "sso": "authorized" }));
    assert_eq!(hub.get("/orgs/acme/members").body.as_array().unwrap().len(), 2);
}

#[test]
fn callers_of_lower_standing() {
    let hub = Hub::new(Limits::None);
    hub.set(&json!({ "members": [{ "login": "ada" }], "caller": "outsider" }));
    let away = hub.get("/orgs/acme/members/ada");
    assert_eq!(away.status, 302);
    assert_eq!(away.header("location"), Some("http://hub.test/orgs/acme/public_members/ada"));
    hub.check(&[
        ("GET /orgs/acme/members", NONE, 200, json!([])),
        ("GET /orgs/acme/memberships/ada", NONE, 403, NONE),
        ("GET /orgs/acme/public_members/ada", NONE, 404, NONE),
    ]);
    hub.set(&json!({ "caller": "member" }));
    hub.check(&[
        ("GET /orgs/acme/members/ada", NONE, 204, NONE),
        ("GET /orgs/acme/invitations", NONE, 404, NONE),
        ("PUT /orgs/acme/memberships/bob", NONE, 403, NONE),
        ("POST /orgs/acme/invitations", json!({ "email": "b@x.example" }), 404, NONE),
    ]);
    hub.set(&json!({ "caller": "owner", "scopes": ["read:org"] }));
    hub.check(&[
        ("GET /orgs/acme/members/ada", NONE, 204, NONE),
        ("POST /orgs/acme/invitations", json!({ "email": "b@x.example" }), 404, NONE),
        ("DELETE /orgs/acme/memberships/ada", NONE, 403, NONE),
    ]);
    assert_eq!(hub.get("/user").header("x-oauth-scopes"), Some("read:org"));
}

#[test]
fn what_is_not_modified_is_not_sent_again() {
    let hub = Hub::new(Limits::Real);
    let first = hub.get("/orgs/acme/members");
    let used = |a: &crate::support::Answer| a.header("x-ratelimit-used").unwrap().to_owned();
    let bearer = format!("Bearer {}", hub.token);
    let again = |tag: &str| {
        let headers =
            [("user-agent", "test"), ("authorization", bearer.as_str()), ("if-none-match", tag), ("host", "hub.test")];
        hub.raw("GET /orgs/acme/members", &headers, &NONE)
    };
    let tag = first.header("etag").unwrap();
    let second = again(tag);
    assert_eq!((second.status, used(&second)), (304, used(&first)));
    hub.set(&json!({ "members": [{ "login": "ada" }] }));
    let third = again(tag);
    assert_eq!((third.status, used(&third).as_str()), (200, "2"));
}

#[test]
fn knobs_that_do_not_exist_change_nothing() {
    let hub = Hub::new(Limits::None);
    for (what, says) in [
        (json!({ "sseats": 1 }), "unknown field `sseats`"),
        (json!({ "seats": "x" }), "invalid type"),
        (json!({ "sso": "maybe" }), "unknown variant"),
        (json!({ "rate_status": 500 }), "403 or 429"),
        (json!({ "users": [{ "login": "a b" }] }), "not a valid login"),
        (json!({ "members": [{ "login": "a", "teams": ["x"] }] }), "no team's slug"),
        (json!({ "seats": 1, "leave": "nobody" }), "no member's login"),
        (json!({ "decline": "nobody" }), "neither"),
        (json!([]), "invalid"),
    ] {
        let answer = hub.raw("POST /_sim/set", &[], &what);
        assert_eq!(answer.status, 400, "{what}");
        assert!(answer.text.contains(says), "{what}: {}", answer.text);
    }
    hub.check(&[("PUT /orgs/acme/memberships/ada", NONE, 200, NONE)]);
}
