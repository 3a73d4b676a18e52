//! REST: teams and their members.

use super::*;

#[test]
fn teams_are_made_read_changed_and_deleted() {
    let mut sim = Sim::new(Limits::None);
    let teams = "POST /v2/organizations/acme/teams";
    let without = |name: &str| {
        let mut body = team_body("T");
        body.as_object_mut().unwrap().remove(name);
        (teams, body, 422, json!({"message": format!("Validation failed: {name} is missing")}))
    };
    let with = |name: &str, value: Value| {
        let mut body = team_body("T");
        body[name] = value;
        (teams, body, 422, json!({"message": "~Validation failed: "}))
    };
    check(
        &mut sim,
        &[
            without("name"),
            without("description"),
            without("default_member_role"),
            without("members_can_destroy_packages"),
            with("name", json!("  ")),
            with("name", json!(7)),
            with("name", json!("!!!")),
            with("privacy", json!("open")),
            with("is_default_team", json!("yes")),
            with("default_member_role", json!("boss")),
            (teams, team_body("Core Team!"), 201, json!({"name": "Core Team!", "is_default_team": false})),
            (teams, team_body("core team"), 422, json!({"message": "Validation failed: Name has already been taken"})),
            (
                "GET /v2/organizations/acme/teams",
                json!(null),
                200,
                json!([{"id": "@core", "graphql_id": "~VGVhbS0tL", "name": "Core Team!", "slug": "core-team", "description": "d", "privacy": "secret", "default": false, "created_by": {"name": "gateway"}}]),
            ),
            ("GET /v2/organizations/acme/teams/<core>", json!(null), 200, json!({"id": "<core>"})),
            ("GET /v2/organizations/acme/teams/x", json!(null), 404, json!({"message": "No team found"})),
            (
                "PATCH /v2/organizations/acme/teams/<core>",
                json!({"name": "Kernel", "is_default_team": true, "privacy": "visible"}),
                200,
                json!({"name": "Kernel"}),
            ),
            (
                "GET /v2/organizations/acme/teams/<core>",
                json!(null),
                200,
                json!({"name": "Kernel", "slug": "kernel", "default": true, "privacy": "visible", "description": "d"}),
            ),
            (teams, team_body("Core Team"), 201, json!({})),
            (
                "PATCH /v2/organizations/acme/teams/<core>",
                json!({"name": "CORE TEAM"}),
                422,
                json!({"message": "~taken"}),
            ),
            ("PATCH /v2/organizations/acme/teams/<core>", json!({"name": "kernel"}), 200, json!({})),
            ("DELETE /v2/organizations/acme/teams/<core>", json!(null), 204, json!(null)),
            ("DELETE /v2/organizations/acme/teams/<core>", json!(null), 404, json!({"message": "No team found"})),
            (teams, team_body("Kernel"), 201, json!({})),
        ],
    );
    let reply = sim.call(teams, &team_body("No Id"));
    assert!(reply.body.get("id").is_none());
    sim.set(json!({"create_team_returns_id": true}));
    check(&mut sim, &[(teams, team_body("With Id"), 201, json!({"id": "@id", "slug": "with-id"}))]);
}

#[test]
fn team_members_come_and_go() {
    let mut sim = Sim::new(Limits::None);
    let (ada, bob, team) = (sim.person("ada@corp.example"), sim.person("bob@corp.example"), sim.team("Core"));
    for (name, value) in [("ada", ada), ("bob", bob), ("team", team)] {
        sim.saved.insert(name.into(), value);
    }
    sim.team("Other");
    let members = "POST /v2/organizations/acme/teams/<team>/members/";
    let one = |method: &str| format!("{method} /v2/organizations/acme/teams/<team>/members/<ada>");
    let (get, patch, delete) = (one("GET"), one("PATCH"), one("DELETE"));
    check(
        &mut sim,
        &[
            (members, json!({"user_id": "<ada>"}), 422, json!({"message": "~Role"})),
            (members, json!({"user_id": "<ada>", "role": "boss"}), 422, json!({"message": "~role"})),
            (members, json!({"user_id": "<team>", "role": "member"}), 422, json!({"message": "~User must exist"})),
            (members, json!({"role": "member"}), 422, json!({"message": "~User must exist"})),
            (
                members,
                json!({"user_id": "<ada>", "role": "member"}),
                201,
                json!({"user_id": "<ada>", "user_name": "ada", "role": "member", "created_at": "2026-01-02T03:04:05.000Z"}),
            ),
            (
                members,
                json!({"user_id": "<ada>", "role": "member"}),
                422,
                json!({"message": "~already been added to this team"}),
            ),
            (get.as_str(), json!(null), 200, json!({"role": "member"})),
            (patch.as_str(), json!({"role": "maintainer"}), 200, json!({"role": "maintainer"})),
            (patch.as_str(), json!({}), 422, json!({})),
            (
                "GET /v2/organizations/acme/teams/<team>/members",
                json!(null),
                200,
                json!([{"user_id": "<ada>", "role": "maintainer"}]),
            ),
            ("GET /v2/organizations/acme/teams?user_id=<ada>", json!(null), 200, json!([{"name": "Core"}])),
            ("GET /v2/organizations/acme/teams?user_id=<bob>", json!(null), 200, json!([])),
            (delete.as_str(), json!(null), 204, json!(null)),
            (delete.as_str(), json!(null), 404, json!({"message": "No team member found"})),
            (get.as_str(), json!(null), 404, json!({"message": "No team member found"})),
        ],
    );
}

#[test]
fn new_members_join_the_default_teams() {
    let mut sim = Sim::new(Limits::None);
    sim.person("ada@corp.example");
    sim.set(json!({"everyone": true}));
    sim.set(json!({"everyone": true}));
    assert_eq!(outline(&sim)["groups"], json!(["Everyone: ada"]));
    sim.person("bob@corp.example");
    assert_eq!(outline(&sim)["groups"], json!(["Everyone: ada,bob"]));
}

#[test]
fn teams_depend_on_plan_and_switch() {
    let mut sim = Sim::new(Limits::None);
    sim.set(json!({"plan_teams": false, "teams_enabled": false}));
    let enable = "POST /v2/organizations/acme/teams/enable";
    let list = "GET /v2/organizations/acme/teams";
    check(
        &mut sim,
        &[
            (enable, json!(null), 403, json!({"message": "~Your plan doesn't include team permissions"})),
            (list, json!(null), 403, json!({})),
        ],
    );
    sim.set(json!({"plan_teams": true}));
    check(
        &mut sim,
        &[
            (list, json!(null), 403, json!({"message": "~not been enabled"})),
            (enable, json!(null), 204, json!(null)),
            (enable, json!(null), 204, json!(null)),
            (list, json!(null), 200, json!([{"name": "Everyone", "default": true}])),
        ],
    );
}
