//! Rate limits and quotas under an advancing clock.

use super::*;

fn header(reply: &Reply, name: &str) -> String {
    reply.headers.get(name).map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
}

fn rate_headers(reply: &Reply) -> usize {
    reply.headers.keys().filter(|name| name.as_str().starts_with("ratelimit")).count()
}

#[test]
fn without_limits_nothing_is_counted_or_announced() {
    let mut sim = Sim::new(Limits::None);
    for n in 0..300 {
        let body = json!({"emails": [format!("p{n}@corp.example")]});
        let reply = sim.call("POST /v2/organizations/acme/invitations", &body);
        assert_eq!((reply.status, rate_headers(&reply)), (201, 0));
    }
    let reply = sim.call("POST /graphql", &json!({"query": "{organization(slug:\"acme\"){invitations{edges{node{teams{edges{node{team{members{count}}}}}}}}}}"}));
    assert_eq!((reply.status, rate_headers(&reply)), (200, 0));
    assert!(reply.body.get("errors").is_none());
    check(
        &mut sim,
        &[(
            "GET /v2/organizations/acme/rate_limit",
            json!(null),
            200,
            json!({"scopes": {"rest": {"limit": 200, "current": 0, "enforced": false}, "graphql": {"limit": 20000}}}),
        )],
    );
}

#[test]
fn the_rest_window_of_the_user_closes_first() {
    let mut sim = Sim::new(Limits::Real);
    for n in 1..=50u32 {
        let reply = sim.call("GET /v2/user", &json!(null));
        assert_eq!(reply.status, 200);
        for (name, value) in [
            ("ratelimit-scope", "rest".to_owned()),
            ("ratelimit-limit", "200".to_owned()),
            ("ratelimit-remaining", (200 - n).to_string()),
            ("ratelimit-reset", "60".to_owned()),
            ("ratelimit-user-scope", "rest_user".to_owned()),
            ("ratelimit-user-limit", "50".to_owned()),
            ("ratelimit-user-remaining", (50 - n).to_string()),
            ("ratelimit-user-reset", "60".to_owned()),
        ] {
            assert_eq!(header(&reply, name), value, "{name} of call {n}");
        }
        assert_eq!(reply.headers.contains_key("ratelimit-user-warning"), n == 50);
        assert!(!reply.headers.contains_key("ratelimit-warning"));
    }
    sim.wait(18);
    let reply = sim.call("GET /v2/user", &json!(null));
    assert_eq!(reply.status, 429);
    assert_eq!(
        reply.body,
        json!({"message": "You have exceeded your API rate limit. Please wait 42 seconds before making more requests.", "scope": "rest_user", "limit": 50, "current": 51, "reset": 42})
    );
    assert_eq!(header(&reply, "ratelimit-user-remaining"), "0");
    assert!(!reply.headers.contains_key("retry-after"));
    sim.wait(41);
    assert_eq!(sim.call("GET /v2/user", &json!(null)).status, 429);
    sim.wait(1);
    let reply = sim.call("GET /v2/organizations/acme/rate_limit", &json!(null));
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.body["scopes"]["rest"],
        json!({"limit": 200, "current": 1, "reset": 60, "reset_at": "2026-01-02T03:06:05.000Z", "enforced": true})
    );
}

#[test]
fn the_rest_window_of_the_organisation_counts_refused_calls() {
    let mut sim = Sim::new(Limits::Real);
    let mut scopes = Vec::new();
    for _ in 0..201 {
        scopes.push(sim.call("GET /v2/user", &json!(null)).body["scope"].clone());
    }
    assert_eq!(scopes[49], json!(null));
    assert_eq!(scopes[50], json!("rest_user"));
    assert_eq!(scopes[199], json!("rest_user"));
    assert_eq!(scopes[200], json!("rest"));
}

#[test]
fn graphql_points_are_spent_by_what_comes_back() {
    let mut sim = Sim::new(Limits::Real);
    sim.target.load(499, 0, sim.now);
    let query = json!({"query": "{organization(slug:\"acme\"){members(first:500){edges{node{uuid}}}}}"});
    let mut left: i64 = 5000;
    while left > 0 {
        let reply = sim.call("POST /v1", &query);
        assert_eq!(reply.status, 200);
        assert_eq!(header(&reply, "ratelimit-complexity-requested"), "503");
        assert_eq!(header(&reply, "ratelimit-complexity-actual"), "503");
        left -= 503;
        assert_eq!(header(&reply, "ratelimit-user-remaining"), left.max(0).to_string());
        assert_eq!(header(&reply, "ratelimit-user-limit"), "5000");
        assert_eq!(header(&reply, "ratelimit-limit"), "20000");
    }
    sim.wait(113);
    let reply = sim.call("POST /graphql", &query);
    assert_eq!(reply.status, 429);
    assert_eq!(
        reply.body,
        json!({"errors": [{"message": "You have exceeded your per-user limit of 5000 complexity points. Please try again in 187 seconds."}]})
    );
    assert_eq!(header(&reply, "ratelimit-user-reset"), "187");
    sim.wait(187);
    assert_eq!(sim.call("POST /graphql", &query).status, 200);
}

#[test]
fn one_query_may_request_50000_points() {
    let mut sim = Sim::new(Limits::Real);
    let query = "{organization(slug:\"acme\"){teams(first:500){edges{node{members(first:100){edges{node{role}}}}}}}}";
    // 1 + 1 + 1 + 500 * (1 + 1 + 1 + 100)
    assert_eq!(
        sim.graphql(query, &json!(null)),
        json!({"errors": [{"message": "Query has complexity of 51503, which exceeds max complexity of 50000"}]})
    );
    let mut free = Sim::new(Limits::None);
    assert!(free.graphql(query, &json!(null)).get("errors").is_none());
}

#[test]
fn quotas_hold_with_real_limits() {
    let mut sim = Sim::new(Limits::Real);
    let invite = |from: usize, to: usize| {
        let emails: Vec<String> = (from..to).map(|n| format!("p{n}@corp.example")).collect();
        json!({"emails": emails})
    };
    let post = "POST /v2/organizations/acme/invitations";
    check(
        &mut sim,
        &[
            (post, invite(0, 21), 422, json!({"message": "~20 pending invitations"})),
            (post, invite(0, 20), 201, json!(vec![json!({}); 20])),
            (post, invite(20, 21), 422, json!({"message": "~20 pending invitations"})),
        ],
    );
    sim.accept(Some("p0@corp.example"), None);
    check(&mut sim, &[(post, invite(20, 21), 201, json!([{}]))]);
    sim.target.load(0, 249, sim.now);
    check(
        &mut sim,
        &[
            ("POST /v2/organizations/acme/teams", team_body("The 250th"), 201, json!({})),
            ("POST /v2/organizations/acme/teams", team_body("The 251st"), 422, json!({"message": "~250 teams"})),
        ],
    );
    sim.set(json!({"everyone": true}));
    assert_eq!(
        outline(&sim)["groups"].as_array().unwrap().len(),
        251,
        "the vendor's own team is made in spite of the quota"
    );
}

#[test]
fn a_configured_rate_is_refused_in_the_vendors_form() {
    let sim = Sim::new(Limits::PerSecond(5));
    for (wait, reset) in [(1, "1"), (1000, "1"), (1001, "2")] {
        let response = sim.target.too_many(std::time::Duration::from_millis(wait), sim.now);
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["ratelimit-reset"], reset);
        assert_eq!(response.headers()["ratelimit-remaining"], "0");
        let body: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(body["limit"], 5);
        assert_eq!(body["scope"], "rest");
    }
}
