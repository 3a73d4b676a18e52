//! The offer, the token and its scopes.

use super::*;

#[test]
fn the_offer_is_ready_to_use() {
    for (limits, pace) in [(Limits::None, "headers"), (Limits::Real, "documented"), (Limits::PerSecond(5), "headers")] {
        let target = Buildkite::new(limits);
        let offer = target.offer("http://127.0.0.1:9/");
        assert_eq!(offer.connector, "buildkite");
        assert_eq!(
            offer.settings,
            json!({"org": "acme", "api_url": "http://127.0.0.1:9/v2", "graphql_url": "http://127.0.0.1:9/graphql", "pace": pace})
        );
        assert!(offer.secrets["token"].as_str().unwrap().starts_with("bkua_sim"));
    }
}

#[test]
fn only_the_bearer_token_opens_the_api() {
    let mut sim = Sim::new(Limits::None);
    let token = sim.token.clone();
    let cases = [
        (None, 401),
        (Some(format!("Bearer {token}")), 200),
        (Some(format!("bearer {token}")), 200),
        (Some(format!("Basic {token}")), 401),
        (Some(format!("Bearer {token}x")), 401),
        (Some(token.clone()), 401),
    ];
    for (given, status) in cases {
        let headers: Vec<(&str, &str)> = given.iter().map(|g| ("authorization", g.as_str())).collect();
        let reply = sim.send("GET /v2/user", &headers, Vec::new());
        assert_eq!(reply.status, status, "{given:?}");
        assert_eq!(reply.body.get("message").is_some(), status == 401);
        let query = br#"{"query":"{viewer{id}}"}"#.to_vec();
        assert_eq!(sim.send("POST /graphql", &headers, query).status, status);
    }
    sim.set(json!({"token": "revoked"}));
    check(&mut sim, &[("GET /v2/user", json!(null), 401, json!({"message": "~Authentication required"}))]);
    sim.set(json!({"token": "valid"}));
    check(&mut sim, &[("GET /v2/user", json!(null), 200, json!({"name": "gateway"}))]);
}

#[test]
fn each_call_needs_its_scope() {
    let id = "0190aaaa-0000-4000-8000-000000000003";
    let cases = [
        ("GET /v2/user", "read_user"),
        ("GET /v2/organizations/acme/rate_limit", "read_accounts"),
        ("GET /v2/organizations/acme", "read_organizations"),
        ("GET /v2/organizations/acme/members", "read_organizations"),
        ("PATCH /v2/organizations/acme/members/ID", "write_organizations"),
        ("DELETE /v2/organizations/acme/members/ID", "write_organizations"),
        ("GET /v2/organizations/acme/invitations", "read_organization_invitations"),
        ("POST /v2/organizations/acme/invitations", "write_organization_invitations"),
        ("DELETE /v2/organizations/acme/invitations/ID", "write_organization_invitations"),
        ("GET /v2/organizations/acme/teams", "read_teams"),
        ("GET /v2/organizations/acme/teams/ID/members", "read_teams"),
        ("POST /v2/organizations/acme/teams", "write_teams"),
        ("PATCH /v2/organizations/acme/teams/ID", "write_teams"),
        ("DELETE /v2/organizations/acme/teams/ID/members/ID", "write_teams"),
        ("POST /graphql", "graphql"),
    ];
    for (call, scope) in cases {
        let call = call.replace("ID", id);
        let mut sim = Sim::new(Limits::None);
        sim.set(json!({"scopes": []}));
        assert_eq!(sim.call(&call, &json!({})).status, 403, "{call}");
        sim.set(json!({"scopes": [scope]}));
        assert_ne!(sim.call(&call, &json!({})).status, 403, "{call}");
        check(&mut sim, &[("GET /v2/access-token", json!(null), 200, json!({"uuid": "@u", "scopes": [scope]}))]);
    }
}
