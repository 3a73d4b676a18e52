//! A small description, and calls that keep to it or not.

use super::*;

fn description() -> OpenApi {
    OpenApi::new(json!({
        "openapi": "3.0.3",
        "paths": {
            "/orgs/{org}/teams/{slug}": {
                "parameters": [{"$ref": "#/components/parameters/org"}],
                "get": {
                    "description": "Also at `GET /organizations/{org_id}/team/{team_id}`.",
                    "responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/team"}}}}}
                },
                "delete": {"responses": {"204": {"description": "gone"}}}
            },
            "/orgs/{org}/teams/{slug}/members": {
                "get": {"responses": {"204": {"description": "none"}}}
            },
            "/orgs/{org}/teams/{slug}/repos": {
                "get": {"responses": {"204": {"description": "none"}}}
            },
            "/orgs/{org}/teams/default": {
                "get": {"responses": {"204": {"description": "none"}}}
            },
            "/orgs/{org}/invitations": {
                "get": {
                    "parameters": [
                        {"name": "role", "in": "query", "schema": {"type": "string", "enum": ["all", "admin"]}},
                        {"name": "page", "in": "query", "schema": {"type": "integer"}},
                        {"name": "for", "in": "query", "required": true, "schema": {"type": "string"}}
                    ],
                    "responses": {"200": {"content": {"application/json": {"schema": {"type": "array", "items": {"type": "string", "format": "date-time"}}}}}}
                },
                "post": {
                    "requestBody": {"required": true, "content": {"application/json": {"schema": {
                        "type": "object", "required": ["email"],
                        "properties": {"email": {"type": "string"}, "role": {"type": "string", "enum": ["admin", "member"]}, "team_ids": {"type": "array", "items": {"type": "integer"}}}
                    }}}},
                    "responses": {
                        "201": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/team"}}}},
                        "422": {"description": "refused"}
                    }
                }
            }
        },
        "components": {
            "examples": {"team": {"value": {"members_url": "https://api.test/organizations/1/team/1/members{/member}"}}},
            "parameters": {"org": {"name": "org", "in": "path", "required": true, "schema": {"type": "string"}}},
            "schemas": {
                "basic-error": {"type": "object", "properties": {"message": {"type": "string"}, "status": {"type": "string"}}},
                "team": {
                    "type": "object", "required": ["id", "parent"],
                    "properties": {
                        "id": {"type": "integer"},
                        "name": {"type": "string", "nullable": true},
                        "privacy": {"type": "string", "enum": ["secret", "closed"], "nullable": true},
                        "parent": {"nullable": true, "allOf": [{"$ref": "#/components/schemas/team"}]}
                    }
                }
            }
        }
    }))
}

/// A call as `METHOD path`, its body, and its answer.
#[track_caller]
fn check(call: &str, request: Value, status: u16, reply: Value, fault: Option<&str>) {
    let (method, path) = call.split_once(' ').unwrap();
    let faults = description().check(&Exchange {
        name: String::new(),
        method: method.to_owned(),
        path: path.to_owned(),
        request,
        status,
        reply,
    });
    match fault {
        None => assert_eq!(faults, [] as [String; 0]),
        Some(part) => {
            assert!(faults.iter().any(|fault| fault.contains(part)), "wanted a fault with {part:?}, got {faults:?}")
        }
    }
}

#[test]
fn paths_and_methods_are_described() {
    let team = json!({"id": 1, "parent": null});
    check("GET /orgs/a/teams/b", Value::Null, 200, team.clone(), None);
    check("GET /organizations/1/team/2", Value::Null, 200, team.clone(), None);
    check("GET /orgs/a/teams/default", Value::Null, 204, Value::Null, None);
    check("GET /organizations/1/team/2/members", Value::Null, 204, Value::Null, None);
    for call in [
        "GET /organizations/1/team/2/repos",
        "PUT /orgs/a/teams/b",
        "GET /orgs/a/teams/b/c",
        "GET /orgs//teams/b",
        "DELETE /organizations/1/team/2",
        "GET /org/a/teams/b",
        "HEAD /orgs/a/teams/b",
    ] {
        check(call, Value::Null, 200, team.clone(), Some("no such call"));
    }
}

#[test]
fn queries_are_described() {
    let none = || json!([]);
    check("GET /orgs/a/invitations?for=x&role=all&page=2", Value::Null, 200, none(), None);
    check("GET /orgs/a/invitations?role=all", Value::Null, 200, none(), Some("query for: is required"));
    check("GET /orgs/a/invitations?for=x&role=owner", Value::Null, 200, none(), Some("query role"));
    check("GET /orgs/a/invitations?for=x&page=two", Value::Null, 200, none(), Some("query page"));
    check("GET /orgs/a/invitations?for=x&count=2", Value::Null, 200, none(), Some("query count: is not described"));
}

#[test]
fn requests_are_valid_and_name_nothing_unknown() {
    let call = "POST /orgs/a/invitations";
    let made = || json!({"id": 1, "parent": null});
    check(call, json!({"email": "a", "role": "admin", "team_ids": [1]}), 201, made(), None);
    check(call, json!({"role": "admin"}), 201, made(), Some("email"));
    check(call, json!({"email": "a", "role": "owner"}), 201, made(), Some("request/role"));
    check(call, json!({"email": "a", "team_ids": ["1"]}), 201, made(), Some("request/team_ids/0"));
    check(call, json!({"email": "a", "teams": [1]}), 201, made(), Some("request.teams"));
    check(call, Value::Null, 201, made(), Some("a body is required"));
    check("GET /orgs/a/teams/b", json!({}), 200, made(), Some("takes no body"));
}

#[test]
fn replies_are_described_and_valid() {
    let call = "GET /orgs/a/teams/b";
    let get = |reply: Value, fault| check(call, Value::Null, 200, reply, fault);
    get(json!({"id": 1, "parent": {"id": 2, "parent": null}, "name": null, "privacy": null, "more": 1}), None);
    get(json!({"id": "1", "parent": null}), Some("reply 200/id"));
    get(json!({"parent": null}), Some("id"));
    get(json!({"id": 1, "parent": {"id": 2}}), Some("reply 200/parent"));
    get(json!({"id": 1, "parent": null, "privacy": "open"}), Some("reply 200/privacy"));
    get(Value::Null, Some("reply 200"));
    check("DELETE /orgs/a/teams/b", Value::Null, 204, json!({}), Some("has no body"));
    check("DELETE /orgs/a/teams/b", Value::Null, 200, Value::Null, Some("is not described"));
    check("GET /orgs/a/invitations?for=x", Value::Null, 200, json!(["yesterday"]), Some("date-time"));
}

#[test]
fn errors_have_a_message_wherever_they_come() {
    let call = "GET /orgs/a/teams/b";
    let no = || json!({"message": "no"});
    check(call, Value::Null, 401, no(), None);
    check(call, Value::Null, 429, no(), None);
    check(call, Value::Null, 403, json!({"error": "no"}), Some("has a message"));
    check(call, Value::Null, 403, json!({"message": "no", "status": 403}), Some("status"));
    check(call, Value::Null, 409, no(), Some("is not described"));
    check(call, Value::Null, 502, no(), Some("is not described"));
    check("POST /orgs/a/invitations", json!({"email": "a"}), 422, no(), None);
}
