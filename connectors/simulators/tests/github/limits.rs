//! Rate limits, under a clock that stands still.

use serde_json::{Value, json};
use simulators::Limits;

use crate::support::Hub;

const NONE: Value = Value::Null;

fn secondary(hub: &Hub, call: &str, body: &Value, status: u16, wait: Option<&str>) {
    let answer = hub.send(call, body);
    assert_eq!(answer.status, status, "{answer:?}");
    let said = answer.body["message"].as_str().unwrap();
    assert!(said.starts_with("You have exceeded a secondary rate limit"), "{said}");
    assert_eq!(answer.header("retry-after"), wait);
}

#[test]
fn the_primary_limit_is_by_the_hour() {
    let hub = Hub::new(Limits::Real);
    hub.set(&json!({ "secondary": false }));
    let first = hub.get("/user");
    let reset = (hub.now().as_second() + 3600).to_string();
    for (name, value) in [
        ("x-ratelimit-limit", "5000"),
        ("x-ratelimit-remaining", "4999"),
        ("x-ratelimit-used", "1"),
        ("x-ratelimit-resource", "core"),
        ("x-ratelimit-reset", reset.as_str()),
    ] {
        assert_eq!(first.header(name), Some(value));
    }
    for _ in 1..5000 {
        assert_eq!(hub.get("/user").status, 200);
    }
    for status in [403, 429] {
        hub.set(&json!({ "rate_status": status }));
        let over = hub.get("/user");
        assert_eq!(over.status, status);
        assert_eq!(over.header("x-ratelimit-remaining"), Some("0"));
        assert_eq!(over.header("x-ratelimit-reset"), Some(reset.as_str()));
    }
    // GraphQL has its own, and asking is free.
    hub.check(&[
        ("POST /graphql", json!({ "query": "{viewer{login}}" }), 200, NONE),
        (
            "GET /rate_limit",
            NONE,
            200,
            json!({ "rate": { "remaining": 0 },
                 "resources": { "graphql": { "used": 1 }, "core": { "used": 5000 } } }),
        ),
    ]);
    hub.advance(3599);
    assert_eq!(hub.get("/user").status, 429);
    hub.advance(1);
    assert_eq!(hub.get("/user").status, 200);
}

#[test]
fn content_is_created_eighty_times_a_minute() {
    let hub = Hub::new(Limits::Real);
    for n in 0..80 {
        let body = json!({ "email": format!("p{n}@corp.example") });
        assert_eq!(hub.send("POST /orgs/acme/invitations", &body).status, 201, "{n}");
        if n == 39 {
            hub.advance(20);
        }
    }
    let body = json!({ "email": "more@corp.example" });
    secondary(&hub, "POST /orgs/acme/invitations", &body, 403, Some("40"));
    assert_eq!(hub.get("/user").status, 200);
    hub.set(&json!({ "rate_status": 429, "retry_after": false }));
    secondary(&hub, "POST /orgs/acme/invitations", &body, 429, None);
    hub.advance(40);
    assert_eq!(hub.send("POST /orgs/acme/invitations", &body).status, 201);
}

#[test]
fn content_is_created_five_hundred_times_an_hour() {
    let hub = Hub::new(Limits::Real);
    for n in 0..500 {
        let call = format!("PUT /orgs/acme/memberships/p{n}");
        assert_eq!(hub.send(&call, &NONE).status, 200, "{n}");
        hub.advance(1);
    }
    secondary(&hub, "PUT /orgs/acme/memberships/more", &NONE, 403, Some("3100"));
}

#[test]
fn points_by_the_minute() {
    let hub = Hub::new(Limits::Real);
    for n in 0..900 {
        assert_eq!(hub.get("/user").status, 200, "{n}");
    }
    secondary(&hub, "GET /user", &NONE, 403, Some("60"));
    hub.advance(60);
    // A write is worth five.
    for n in 0..180 {
        assert_eq!(hub.send(&format!("DELETE /orgs/acme/invitations/{n}"), &NONE).status, 404);
    }
    secondary(&hub, "GET /user", &NONE, 403, Some("60"));
}

#[test]
fn invitations_have_a_daily_quota() {
    let hub = Hub::new(Limits::Real);
    hub.set(&json!({ "secondary": false }));
    for n in 0..500 {
        let body = json!({ "email": format!("p{n}@corp.example") });
        assert_eq!(hub.send("POST /orgs/acme/invitations", &body).status, 201, "{n}");
    }
    let over = json!({ "errors": [{ "message": "Over invitation rate limit" }] });
    let more = json!({ "email": "more@corp.example" });
    hub.check(&[
        ("POST /orgs/acme/invitations", more.clone(), 422, over.clone()),
        ("PUT /orgs/acme/memberships/more", NONE, 422, over),
    ]);
    assert_eq!(hub.send("POST /orgs/acme/invitations", &more).header("retry-after"), None);
    hub.advance(24 * 3600);
    hub.check(&[("POST /orgs/acme/invitations", more, 201, NONE)]);
}

#[test]
fn calls_a_second() {
    let hub = Hub::new(Limits::PerSecond(4));
    for _ in 0..4 {
        assert_eq!(hub.get("/user").status, 200);
    }
    secondary(&hub, "GET /user", &NONE, 429, Some("1"));
    hub.clock.advance(jiff::SignedDuration::from_millis(250));
    assert_eq!(hub.get("/user").status, 200);
    assert_eq!(hub.get("/user").status, 429);
    hub.advance(100);
    let through = (0..10).filter(|_| hub.get("/user").status == 200).count();
    assert_eq!(through, 4);
}

#[test]
fn what_is_offered_follows_the_limits() {
    for (limits, pace) in [(Limits::None, "headers"), (Limits::Real, "documented"), (Limits::PerSecond(5), "headers")] {
        let offer = Hub::new(limits).simulator.offer("http://localhost:1");
        assert_eq!(offer["settings"]["pace"], pace);
        assert_eq!(offer["settings"]["api_url"], "http://localhost:1");
        assert_eq!(offer["target"], "github");
    }
    for (text, limits) in [
        ("none", Some(Limits::None)),
        ("real", Some(Limits::Real)),
        ("5/s", Some(Limits::PerSecond(5))),
        ("0/s", None),
        ("-1/s", None),
        ("5", None),
        ("", None),
    ] {
        assert_eq!(text.parse().ok(), limits, "{text}");
    }
}
