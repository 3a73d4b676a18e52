//! REST: members and invitations.

use super::*;

const ORG: &str = "/v2/organizations/acme";

#[test]
fn members_are_read_changed_and_removed() {
    let mut sim = Sim::new(Limits::None);
    let ada = sim.person("ada@corp.example");
    let bob = sim.person("bob@corp.example");
    sim.saved.insert("ada".into(), ada);
    sim.saved.insert("bob".into(), bob);
    let none = || json!(null);
    check(
        &mut sim,
        &[
            ("GET /v2/user", none(), 200, json!({"id": "@me", "graphql_id": "~VXNlci0tL"})),
            ("GET /v2/organizations", none(), 200, json!([{"slug": "acme"}])),
            ("GET /v2/organizations/acme", none(), 200, json!({"id": "@org", "slug": "acme"})),
            ("GET /v2/organizations/other", none(), 404, json!({"message": "No organization found"})),
            (
                "GET /v2/organizations/acme/members",
                none(),
                200,
                json!([
                    {"id": "<me>", "role": "admin"},
                    {"id": "<ada>", "name": "ada", "email": "ada@corp.example", "role": "member", "sso_mode": "required"},
                    {"id": "<bob>"},
                ]),
            ),
            ("GET /v2/organizations/acme/members/<ada>", none(), 200, json!({"id": "<ada>"})),
            (
                "GET /v2/organizations/acme/members/nobody",
                none(),
                404,
                json!({"message": "No organization member found"}),
            ),
            ("GET /v2/organizations/acme/members/<org>", none(), 404, json!({})),
            (
                "PATCH /v2/organizations/acme/members/<ada>",
                json!({"role": "admin", "sso_mode": "optional"}),
                200,
                json!({"role": "admin", "sso_mode": "optional"}),
            ),
            (
                "PATCH /v2/organizations/acme/members/<ada>",
                json!({"role": "member"}),
                200,
                json!({"role": "member", "sso_mode": "optional"}),
            ),
            ("PATCH /v2/organizations/acme/members/<ada>", json!({}), 422, json!({"message": "~At least one"})),
            ("PATCH /v2/organizations/acme/members/<ada>", json!({"role": "owner"}), 422, json!({"message": "~role"})),
            (
                "PATCH /v2/organizations/acme/members/<ada>",
                json!({"sso_mode": 1}),
                422,
                json!({"message": "~sso_mode"}),
            ),
            ("PATCH /v2/organizations/acme/members/<ada>", json!([1]), 400, json!({"message": "~JSON object"})),
            (
                "PATCH /v2/organizations/acme/members/<me>",
                json!({"role": "member"}),
                403,
                json!({"message": "~your own"}),
            ),
            ("DELETE /v2/organizations/acme/members/<me>", none(), 403, json!({"message": "~yourself"})),
            ("DELETE /v2/organizations/acme/members/<bob>", none(), 204, none()),
            (
                "DELETE /v2/organizations/acme/members/<bob>",
                none(),
                404,
                json!({"message": "No organization member found"}),
            ),
        ],
    );
    assert_eq!(outline(&sim)["accounts"], json!(["ada ada@corp.example member"]));
}

#[test]
fn one_administrator_remains() {
    let mut sim = Sim::new(Limits::None);
    let ada = sim.person("ada@corp.example");
    sim.saved.insert("ada".into(), ada);
    sim.set(json!({"machine_admin_counts": false}));
    let member = "PATCH /v2/organizations/acme/members/<ada>";
    check(
        &mut sim,
        &[
            (member, json!({"role": "admin"}), 200, json!({})),
            (member, json!({"role": "member"}), 422, json!({"message": "~administrator"})),
            ("DELETE /v2/organizations/acme/members/<ada>", json!(null), 422, json!({"message": "~administrator"})),
        ],
    );
    sim.set(json!({"machine_admin_counts": true}));
    check(&mut sim, &[("DELETE /v2/organizations/acme/members/<ada>", json!(null), 204, json!(null))]);
}

#[test]
fn a_returning_person_is_the_same_user() {
    let mut sim = Sim::new(Limits::None);
    let first = sim.person("ada@corp.example");
    let team = sim.team("Core");
    let add = format!("POST {ORG}/teams/{team}/members/");
    assert_eq!(sim.call(&add, &json!({"user_id": first, "role": "member"})).status, 201);
    assert_eq!(outline(&sim)["groups"], json!(["Core: ada"]));
    let member = format!("DELETE {ORG}/members/{first}");
    assert_eq!(sim.call(&member, &json!(null)).status, 204);
    assert_eq!(outline(&sim), json!({"accounts": [], "invitations": [], "groups": ["Core: "]}));
    assert_eq!(sim.call(&add, &json!({"user_id": first, "role": "member"})).status, 422);
    assert_eq!(sim.person("ADA@corp.example"), first);
    assert_eq!(outline(&sim)["groups"], json!(["Core: "]));
}

#[test]
fn invitations_are_all_or_nothing() {
    let mut sim = Sim::new(Limits::None);
    let team = sim.team("Core");
    sim.person("ada@corp.example");
    sim.saved.insert("team".into(), team);
    let post = "POST /v2/organizations/acme/invitations";
    let bad = |emails: Value, more: Value, message: &str| {
        let mut body = json!({"emails": emails});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        (post, body, 422, json!({"message": format!("~{message}")}))
    };
    check(
        &mut sim,
        &[
            bad(json!([]), json!({}), "blank"),
            bad(json!("x@y.z"), json!({}), "array"),
            bad(json!([1]), json!({}), "array"),
            bad(json!(["new@corp.example", "nonsense"]), json!({}), "invalid"),
            bad(json!(["new@corp.example", "a@b@c"]), json!({}), "invalid"),
            bad(json!(["new@corp.example", "@b"]), json!({}), "invalid"),
            bad(json!(["new@corp.example", "a b@c.d"]), json!({}), "invalid"),
            bad(json!(["new@corp.example", "Ada@Corp.example"]), json!({}), "already a member"),
            bad(json!(["new@corp.example"]), json!({"role": "owner"}), "role"),
            bad(json!(["new@corp.example"]), json!({"sso_mode": "maybe"}), "sso_mode"),
            bad(json!(["new@corp.example"]), json!({"teams": {}}), "Teams"),
            bad(json!(["new@corp.example"]), json!({"teams": [{"id": "x", "role": "member"}]}), "Teams"),
            bad(json!(["new@corp.example"]), json!({"teams": [{"id": "<team>"}]}), "Teams"),
            bad(
                json!(["new@corp.example"]),
                json!({"teams": [{"id": "0190aaaa-0000-4000-8000-000000000003", "role": "member"}]}),
                "does not exist",
            ),
            bad(
                json!(["new@corp.example"]),
                json!({"teams": [{"id": "<team>", "role": "member"}, {"id": "<team>", "role": "maintainer"}]}),
                "more than once",
            ),
        ],
    );
    assert_eq!(outline(&sim)["invitations"], json!([]));
    check(
        &mut sim,
        &[(
            post,
            json!({"emails": ["Bob@corp.example", "bob@CORP.example", "cy@corp.example"], "role": "admin", "teams": [{"id": "<team>", "role": "maintainer"}]}),
            201,
            json!([
                {
                    "id": "@bob", "email": "Bob@corp.example", "state": "pending", "role": "admin", "sso_mode": "required",
                    "url": "~http://127.0.0.1:9/v2/organizations/acme/invitations/", "created_at": "2026-01-02T03:04:05.000Z",
                    "created_by": {"email": "gateway@acme.example"},
                    "teams": [{"id": "<team>", "slug": "core", "role": "maintainer"}],
                    "accepted_at": null, "accepted_by": null, "revoked_at": null, "revoked_by": null, "expired_at": null,
                },
                {"email": "cy@corp.example"},
            ]),
        )],
    );
    let one = "GET /v2/organizations/acme/invitations/<bob>";
    check(&mut sim, &[(one, json!(null), 200, json!({"id": "<bob>", "state": "pending"}))]);
    sim.wait(60);
    sim.accept(Some("bob@corp.example"), None);
    check(
        &mut sim,
        &[
            (
                one,
                json!(null),
                200,
                json!({"state": "accepted", "accepted_at": "2026-01-02T03:05:05.000Z", "accepted_by": {"name": "Bob", "email": "Bob@corp.example"}, "revoked_at": null}),
            ),
            (
                "DELETE /v2/organizations/acme/invitations/<bob>",
                json!(null),
                422,
                json!({"message": "~already been accepted"}),
            ),
            (
                "GET /v2/organizations/acme/invitations/nope",
                json!(null),
                404,
                json!({"message": "No organization invitation found"}),
            ),
        ],
    );
    assert_eq!(
        outline(&sim),
        json!({
            "accounts": ["ada ada@corp.example member", "Bob Bob@corp.example admin"],
            "invitations": ["cy@corp.example"],
            "groups": ["Core: Bob"],
        })
    );
}

#[test]
fn a_pending_address_is_refused_or_mailed_again() {
    let mut sim = Sim::new(Limits::None);
    let post = "POST /v2/organizations/acme/invitations";
    let ada = || json!({"emails": ["ada@corp.example"]});
    check(
        &mut sim,
        &[
            (post, ada(), 201, json!([{"id": "@first"}])),
            (post, ada(), 422, json!({"message": "~already been invited"})),
        ],
    );
    sim.set(json!({"pending_duplicate": "resend"}));
    check(&mut sim, &[(post, ada(), 201, json!([{"id": "<first>"}]))]);
    assert_eq!(outline(&sim)["invitations"], json!(["ada@corp.example"]));
}

#[test]
fn single_sign_on_wants_its_mode_named() {
    let mut sim = Sim::new(Limits::None);
    sim.set(json!({"sso": true}));
    let post = "POST /v2/organizations/acme/invitations";
    check(
        &mut sim,
        &[
            (post, json!({"emails": ["a@b.c"]}), 422, json!({"message": "~SSO mode"})),
            (post, json!({"emails": ["a@b.c"], "sso_mode": "optional"}), 201, json!([{"sso_mode": "optional"}])),
        ],
    );
}

#[test]
fn invitations_end_by_revocation_and_by_time() {
    let mut sim = Sim::new(Limits::None);
    let post = "POST /v2/organizations/acme/invitations";
    check(
        &mut sim,
        &[
            (post, json!({"emails": ["a@b.c"]}), 201, json!([{"id": "@a"}])),
            (post, json!({"emails": ["b@b.c"]}), 201, json!([{"id": "@b"}])),
            ("DELETE /v2/organizations/acme/invitations/<a>", json!(null), 204, json!(null)),
            (
                "DELETE /v2/organizations/acme/invitations/<a>",
                json!(null),
                422,
                json!({"message": "~already been revoked"}),
            ),
            (
                "GET /v2/organizations/acme/invitations/<a>",
                json!(null),
                200,
                json!({"state": "revoked", "revoked_by": {"name": "gateway"}}),
            ),
        ],
    );
    sim.wait(14 * 86_400 - 1);
    check(&mut sim, &[("GET /v2/organizations/acme/invitations/<b>", json!(null), 200, json!({"state": "pending"}))]);
    sim.wait(1);
    check(
        &mut sim,
        &[
            (
                "GET /v2/organizations/acme/invitations/<b>",
                json!(null),
                200,
                json!({"state": "expired", "expired_at": "2026-01-16T03:04:05.000Z"}),
            ),
            (
                "DELETE /v2/organizations/acme/invitations/<b>",
                json!(null),
                422,
                json!({"message": "~already been expired"}),
            ),
            ("GET /v2/organizations/acme/invitations", json!(null), 200, json!({"items": []})),
            (post, json!({"emails": ["b@b.c"]}), 201, json!([{"id": "@c"}])),
        ],
    );
    assert_eq!(sim.accept(Some("a@b.c"), None), json!({"accepted": []}));
    sim.set(json!({"invitation_days": 1}));
    sim.wait(86_400);
    check(&mut sim, &[("GET /v2/organizations/acme/invitations/<c>", json!(null), 200, json!({"state": "expired"}))]);
}

#[test]
fn acceptance_may_come_from_another_account() {
    let mut sim = Sim::new(Limits::None);
    let post = "POST /v2/organizations/acme/invitations";
    check(
        &mut sim,
        &[(post, json!({"emails": ["ada@corp.example", "bob@corp.example"]}), 201, json!([{"id": "@ada"}, {}]))],
    );
    sim.accept(Some("Ada@corp.example"), Some("lovelace"));
    check(
        &mut sim,
        &[
            (
                "GET /v2/organizations/acme/invitations/<ada>",
                json!(null),
                200,
                json!({"email": "ada@corp.example", "accepted_by": {"id": "@user", "email": "lovelace@other.example"}}),
            ),
            ("GET /v2/organizations/acme/members/<user>", json!(null), 200, json!({"email": "lovelace@other.example"})),
        ],
    );
    sim.accept(None, None);
    assert_eq!(
        outline(&sim),
        json!({"accounts": ["lovelace lovelace@other.example member", "bob bob@corp.example member"], "invitations": [], "groups": []})
    );
}

#[test]
fn the_user_limit_counts_invitations() {
    let mut sim = Sim::new(Limits::None);
    sim.set(json!({"users_limit": 3}));
    let post = "POST /v2/organizations/acme/invitations";
    check(
        &mut sim,
        &[
            (post, json!({"emails": ["a@b.c", "b@b.c", "c@b.c"]}), 422, json!({"message": "~user limit"})),
            (post, json!({"emails": ["a@b.c", "b@b.c"]}), 201, json!([{}, {}])),
            (post, json!({"emails": ["c@b.c"]}), 422, json!({"message": "~user limit"})),
        ],
    );
    sim.set(json!({"users_limit": null}));
    check(&mut sim, &[(post, json!({"emails": ["c@b.c"]}), 201, json!([{}]))]);
}
