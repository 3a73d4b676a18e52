//! Teams and who is in them.

use serde_json::{Value, json};
use simulators::Limits;

use crate::support::Hub;

const NONE: Value = Value::Null;

fn hub() -> Hub {
    let hub = Hub::new(Limits::None);
    hub.check(&[(
        "POST /orgs/acme/teams",
        json!({ "name": "Platform Eng", "privacy": "closed", "description": "managed" }),
        201,
        json!({ "id": 12, "slug": "platform-eng", "privacy": "closed", "description": "managed",
                "members_count": 1, "parent": null, "organization": { "login": "acme" } }),
    )]);
    hub
}

#[test]
fn the_account_that_makes_a_team_maintains_it() {
    let hub = hub();
    hub.check(&[
        (
            "GET /orgs/acme/teams/platform-eng/members",
            NONE,
            200,
            json!([{ "login": "acme-scim-bot", "role": "maintainer", "inherited": false }]),
        ),
        ("DELETE /orgs/acme/teams/platform-eng/memberships/acme-scim-bot", NONE, 204, NONE),
        ("GET /orgs/acme/teams/platform-eng/members", NONE, 200, json!([])),
        ("DELETE /orgs/acme/teams/platform-eng/memberships/acme-scim-bot", NONE, 404, NONE),
    ]);
}

#[test]
fn a_slug_follows_the_name() {
    let hub = hub();
    let taken = json!({
        "message": "Validation Failed",
        "errors": [{ "code": "already_exists", "field": "name",
                     "message": "Name must be unique for this org" }],
    });
    hub.check(&[
        ("POST /orgs/acme/teams", json!({ "name": "PLATFORM ENG" }), 422, taken.clone()),
        // Another name, the same slug.
        ("POST /orgs/acme/teams", json!({ "name": "platform.eng" }), 422, taken.clone()),
        ("POST /orgs/acme/teams", json!({ "name": "Ops" }), 201, json!({ "privacy": "secret" })),
        ("PATCH /orgs/acme/teams/ops", json!({ "name": "Platform  Eng!" }), 422, taken),
        (
            "PATCH /orgs/acme/teams/platform-eng",
            json!({ "name": "Core" }),
            200,
            json!({ "id": 12, "slug": "core", "description": "managed" }),
        ),
        ("GET /orgs/acme/teams/platform-eng", NONE, 404, NONE),
        ("GET /organizations/4242/team/12", NONE, 200, json!({ "name": "Core" })),
        ("GET /teams/12", NONE, 200, json!({ "name": "Core" })),
        (
            "PATCH /organizations/4242/team/12",
            json!({ "description": null }),
            200,
            json!({ "name": "Core", "description": null }),
        ),
        ("POST /orgs/acme/teams", json!({ "name": "日本" }), 201, json!({ "slug": "team-14" })),
        ("POST /orgs/acme/teams", json!({}), 422, json!({ "errors": [{ "code": "missing_field" }] })),
        ("POST /orgs/acme/teams", json!({ "name": "x", "privacy": "open" }), 422, NONE),
        ("GET /organizations/4242/team/99", NONE, 404, NONE),
        ("DELETE /organizations/4242/team/12", NONE, 204, NONE),
        ("GET /organizations/4242/team/12", NONE, 404, NONE),
        ("GET /orgs/acme/teams", NONE, 200, json!([{ "name": "Ops" }, { "name": "日本" }])),
    ]);
}

#[test]
fn someone_new_is_invited_and_joins_with_the_organisation() {
    let hub = hub();
    let path = "/organizations/4242/team/12/memberships/ada";
    hub.check(&[
        (&format!("PUT {path}"), json!({ "role": "member" }), 200, json!({ "role": "member", "state": "pending" })),
        (&format!("PUT {path}"), NONE, 200, json!({ "state": "pending" })),
        ("GET /orgs/acme/memberships/ada", NONE, 200, json!({ "state": "pending" })),
        ("GET /orgs/acme/teams/platform-eng/invitations", NONE, 200, json!([{ "login": "ada", "team_count": 1 }])),
        ("GET /orgs/acme/invitations/77/teams", NONE, 200, json!([{ "id": 12 }])),
        ("GET /orgs/acme/teams/platform-eng/members?role=member", NONE, 200, json!([])),
        // Leaving the team before that does not take the invitation back.
        (&format!("DELETE {path}"), NONE, 204, NONE),
        (&format!("GET {path}"), NONE, 404, NONE),
        ("GET /orgs/acme/memberships/ada", NONE, 200, json!({ "state": "pending" })),
        (&format!("PUT {path}"), NONE, 200, json!({ "state": "pending" })),
        ("POST /_sim/accept", NONE, 200, NONE),
        (&format!("GET {path}"), NONE, 200, json!({ "role": "member", "state": "active" })),
        (
            &format!("PUT {path}"),
            json!({ "role": "maintainer" }),
            200,
            json!({ "role": "maintainer", "state": "active" }),
        ),
        ("DELETE /orgs/acme/memberships/ada", NONE, 204, NONE),
        (&format!("GET {path}"), NONE, 404, NONE),
        ("PUT /organizations/4242/team/12/memberships/-", NONE, 404, NONE),
        (&format!("PUT {path}"), json!({ "role": "owner" }), 422, NONE),
    ]);
}

#[test]
fn an_email_invitation_brings_its_teams() {
    let hub = hub();
    hub.check(&[
        (
            "POST /orgs/acme/invitations",
            json!({ "email": "ada@corp.example", "team_ids": [12] }),
            201,
            json!({ "team_count": 1 }),
        ),
        ("GET /orgs/acme/teams/platform-eng/invitations", NONE, 200, json!([{ "email": "ada@corp.example" }])),
        ("POST /_sim/accept", NONE, 200, NONE),
        ("GET /orgs/acme/teams/platform-eng/memberships/ada", NONE, 200, json!({ "state": "active" })),
    ]);
    assert_eq!(
        hub.state()["groups"],
        json!([{ "id": "12", "name": "Platform Eng",
                 "members": [{ "id": "9002", "login": "ada", "email": "ada@corp.example" }] }])
    );
}

#[test]
fn an_owner_maintains_every_team() {
    let hub = hub();
    hub.set(&json!({ "members": [{ "login": "root", "role": "admin" }, { "login": "ada" }] }));
    hub.check(&[
        (
            "PUT /orgs/acme/teams/platform-eng/memberships/root",
            json!({ "role": "member" }),
            200,
            json!({ "role": "maintainer" }),
        ),
        ("PUT /orgs/acme/teams/platform-eng/memberships/ada", NONE, 200, json!({ "role": "member" })),
        ("PUT /orgs/acme/memberships/ada", json!({ "role": "admin" }), 200, NONE),
        ("GET /orgs/acme/teams/platform-eng/memberships/ada", NONE, 200, json!({ "role": "maintainer" })),
        ("GET /orgs/acme/teams/platform-eng/members?role=member", NONE, 200, json!([])),
    ]);
}

#[test]
fn members_of_child_teams_are_inherited() {
    let hub = hub();
    hub.set(&json!({ "members": [{ "login": "ada" }, { "login": "bob" }] }));
    hub.check(&[
        (
            "POST /orgs/acme/teams",
            json!({ "name": "Child", "parent_team_id": 12 }),
            201,
            json!({ "id": 13, "privacy": "closed", "parent": { "id": 12 } }),
        ),
        (
            "POST /orgs/acme/teams",
            json!({ "name": "Grandchild", "parent_team_slug": "child" }),
            201,
            json!({ "id": 14 }),
        ),
        ("PUT /orgs/acme/teams/grandchild/memberships/ada", NONE, 200, NONE),
        ("PUT /orgs/acme/teams/platform-eng/memberships/bob", NONE, 200, NONE),
        (
            "GET /orgs/acme/teams/platform-eng/members?role=member",
            NONE,
            200,
            json!([{ "login": "ada", "inherited": true }, { "login": "bob", "inherited": false }]),
        ),
        ("GET /orgs/acme/teams/platform-eng/memberships/ada", NONE, 200, json!({ "state": "active" })),
        // Only a direct membership can be ended.
        ("DELETE /orgs/acme/teams/platform-eng/memberships/ada", NONE, 404, NONE),
        ("GET /orgs/acme/teams/platform-eng/teams", NONE, 200, json!([{ "id": 13 }])),
        ("PATCH /orgs/acme/teams/platform-eng", json!({ "parent_team_id": 14 }), 422, NONE),
        ("PATCH /orgs/acme/teams/platform-eng", json!({ "privacy": "secret" }), 422, NONE),
        ("PATCH /orgs/acme/teams/grandchild", json!({ "parent_team_id": null }), 200, json!({ "parent": null })),
        ("GET /orgs/acme/teams/platform-eng/members?role=member", NONE, 200, json!([{ "login": "bob" }])),
        ("DELETE /orgs/acme/teams/platform-eng", NONE, 204, NONE),
        ("GET /orgs/acme/teams", NONE, 200, json!([{ "id": 14 }])),
        ("POST /orgs/acme/teams", json!({ "name": "S" }), 201, json!({ "id": 15 })),
        ("POST /orgs/acme/teams", json!({ "name": "T", "parent_team_id": 15 }), 422, NONE),
        ("POST /orgs/acme/teams", json!({ "name": "T", "parent_team_id": 99 }), 422, NONE),
    ]);
}
