//! Members and invitations.

use serde_json::{Value, json};
use simulators::Limits;

use crate::support::Hub;

fn hub() -> Hub {
    Hub::new(Limits::None)
}

const NONE: Value = Value::Null;

fn invalid(message: &str) -> Value {
    json!({
        "message": "Validation Failed",
        "errors": [{ "resource": "OrganizationInvitation", "code": "unprocessable",
                     "field": "data", "message": message }],
    })
}

#[test]
fn a_new_one_holds_only_the_credentials_own_account() {
    let hub = hub();
    assert_eq!(hub.state(), json!({ "accounts": [], "invitations": [], "groups": [] }));
    hub.check(&[
        ("GET /orgs/acme/members", NONE, 200, json!([{ "login": "acme-scim-bot" }])),
        ("GET /user", NONE, 200, json!({ "login": "acme-scim-bot" })),
        ("GET /user/memberships/orgs/acme", NONE, 200, json!({ "state": "active", "role": "admin" })),
        ("GET /orgs/acme", NONE, 200, json!({ "login": "acme", "type": "Organization" })),
        ("GET /orgs/other", NONE, 404, json!({ "message": "Not Found" })),
        ("GET /organizations/4242/members", NONE, 200, NONE),
    ]);
}

#[test]
fn an_email_invitation_is_tied_to_nobody_until_it_is_accepted() {
    let hub = hub();
    let invite = json!({ "email": "Ada.Byron@corp.example", "role": "direct_member" });
    hub.check(&[
        (
            "POST /orgs/acme/invitations",
            invite.clone(),
            201,
            json!({ "id": 77, "login": null, "email": "Ada.Byron@corp.example",
                    "role": "direct_member", "failed_at": null, "team_count": 0,
                    "created_at": "2026-03-01T12:00:00Z",
                    "inviter": { "login": "acme-scim-bot" } }),
        ),
        (
            "POST /orgs/acme/invitations",
            invite.clone(),
            422,
            invalid("Invitee was already invited to this organization"),
        ),
        ("GET /orgs/acme/members?role=member", NONE, 200, json!([])),
        ("GET /orgs/acme/memberships/ada-byron", NONE, 404, NONE),
        ("GET /orgs/acme/invitations", NONE, 200, json!([{ "id": 77 }])),
        ("GET /orgs/acme/invitations?role=admin", NONE, 200, json!([])),
        ("GET /orgs/acme/invitations?invitation_source=scim", NONE, 200, json!([])),
        (
            "POST /_sim/accept",
            json!({ "email": "ada.byron@corp.example" }),
            200,
            json!({ "accepted": [{ "id": "9002", "login": "Ada-Byron" }], "refused": [] }),
        ),
        ("GET /orgs/acme/invitations", NONE, 200, json!([])),
        (
            "GET /orgs/acme/memberships/ada-byron",
            NONE,
            200,
            json!({ "state": "active", "role": "member",
                    "user": { "id": 9002, "login": "Ada-Byron" } }),
        ),
        ("GET /users/ada-byron", NONE, 200, json!({ "email": null, "name": null })),
        ("POST /orgs/acme/invitations", invite, 422, invalid("Invitee is already a part of this organization")),
    ]);
    assert_eq!(
        hub.state()["accounts"],
        json!([{ "id": "9002", "login": "Ada-Byron", "email": "Ada.Byron@corp.example",
                 "active": true, "role": "member" }])
    );
}

#[test]
fn an_invitation_is_accepted_by_an_account_with_another_login() {
    let hub = hub();
    hub.check(&[
        ("POST /orgs/acme/invitations", json!({ "email": "ada@corp.example" }), 201, NONE),
        ("POST /orgs/acme/invitations", json!({ "email": "bob@corp.example" }), 201, NONE),
        (
            "POST /_sim/accept",
            json!({ "email": "ada@corp.example", "login": "countess" }),
            200,
            json!({ "accepted": [{ "login": "countess", "email": "ada@corp.example" }] }),
        ),
        ("GET /orgs/acme/members/countess", NONE, 204, NONE),
        ("GET /orgs/acme/members/ada", NONE, 404, NONE),
        // The same account cannot join twice.
        (
            "POST /_sim/accept",
            json!({ "email": "bob@corp.example", "login": "countess" }),
            200,
            json!({ "accepted": [], "refused": [{ "id": "78" }] }),
        ),
        ("POST /_sim/accept", NONE, 200, json!({ "accepted": [{ "login": "bob" }] })),
    ]);
}

#[test]
fn a_local_part_that_is_taken_gets_another_login() {
    let hub = hub();
    hub.set(&json!({ "members": [{ "login": "ada", "email": "ada@other.example" }] }));
    hub.check(&[
        ("POST /orgs/acme/invitations", json!({ "email": "ada@corp.example" }), 201, NONE),
        ("POST /_sim/accept", NONE, 200, json!({ "accepted": [{ "login": "ada-2" }] })),
    ]);
}

#[test]
fn what_an_invitation_may_not_be() {
    let hub = hub();
    for (body, message) in [
        (json!({}), "Exactly one of `email` and `invitee_id` must be given"),
        (
            json!({ "email": "a@b.example", "invitee_id": 9001 }),
            "Exactly one of `email` and `invitee_id` must be given",
        ),
        (json!({ "email": "nobody" }), "Email is not a valid address"),
        (json!({ "invitee_id": 1 }), "Invitee could not be found"),
        (json!({ "invitee_id": 9001 }), "Invitee is already a part of this organization"),
        (json!({ "email": "a@b.example", "team_ids": [99] }), "`team_ids` names a team that could not be found"),
        (
            json!({ "email": "a@b.example", "role": "reinstate" }),
            "Invitee was never a member of this organization and cannot be reinstated",
        ),
    ] {
        hub.check(&[("POST /orgs/acme/invitations", body, 422, invalid(message))]);
    }
    let role = json!({ "email": "a@b.example", "role": "king" });
    hub.check(&[
        ("POST /orgs/acme/invitations", role, 422, json!({ "errors": [{ "field": "role" }] })),
        ("POST /orgs/acme/invitations", json!([]), 400, NONE),
        ("DELETE /orgs/acme/invitations/77", NONE, 404, NONE),
    ]);
}

#[test]
fn an_invitation_fails_after_seven_days() {
    let hub = hub();
    let week = 7 * 24 * 3600;
    hub.check(&[
        ("POST /orgs/acme/invitations", json!({ "email": "ada@corp.example" }), 201, NONE),
        ("PUT /orgs/acme/memberships/bob", NONE, 200, json!({ "state": "pending" })),
    ]);
    hub.advance(week - 1);
    hub.check(&[("GET /orgs/acme/invitations", NONE, 200, json!([{ "id": 77 }, { "id": 78 }]))]);
    hub.advance(1);
    hub.check(&[
        ("GET /orgs/acme/invitations", NONE, 200, json!([])),
        (
            "GET /orgs/acme/failed_invitations",
            NONE,
            200,
            json!([
                { "id": 77, "email": "ada@corp.example", "failed_at": "2026-03-08T12:00:00Z",
                  "failed_reason": "Invitation expired. User did not accept this invite for 7 days." },
                { "id": 78, "login": "bob" },
            ]),
        ),
        // A failed invitation is no membership.
        ("DELETE /orgs/acme/memberships/bob", NONE, 404, NONE),
        ("POST /_sim/accept", NONE, 200, json!({ "accepted": [] })),
        ("POST /orgs/acme/invitations", json!({ "email": "ada@corp.example" }), 201, NONE),
    ]);
}

#[test]
fn an_invitation_can_be_taken_back_or_declined() {
    let hub = hub();
    hub.check(&[
        ("POST /orgs/acme/invitations", json!({ "email": "ada@corp.example" }), 201, NONE),
        ("DELETE /orgs/acme/invitations/77", NONE, 204, NONE),
        ("DELETE /orgs/acme/invitations/77", NONE, 404, NONE),
        ("POST /orgs/acme/invitations", json!({ "email": "bob@corp.example" }), 201, NONE),
        ("POST /_sim/set", json!({ "decline": "bob@corp.example" }), 200, NONE),
        ("GET /orgs/acme/invitations", NONE, 200, json!([])),
        ("GET /orgs/acme/failed_invitations", NONE, 200, json!([])),
    ]);
}

#[test]
fn a_membership_by_login_is_pending_then_active() {
    let hub = hub();
    hub.check(&[
        (
            "PUT /orgs/acme/memberships/ada",
            json!({ "role": "member" }),
            200,
            json!({ "state": "pending", "role": "member", "user": { "login": "ada" } }),
        ),
        (
            "PUT /orgs/acme/memberships/ada",
            json!({ "role": "admin" }),
            200,
            json!({ "state": "pending", "role": "admin" }),
        ),
        ("GET /orgs/acme/memberships/ada", NONE, 200, json!({ "state": "pending" })),
        ("GET /orgs/acme/members/ada", NONE, 404, NONE),
        ("GET /orgs/acme/invitations", NONE, 200, json!([{ "login": "ada", "email": null }])),
        // This call is about active members: the invitation stays.
        ("DELETE /orgs/acme/members/ada", NONE, 204, NONE),
        ("GET /orgs/acme/memberships/ada", NONE, 200, json!({ "state": "pending" })),
        ("POST /_sim/accept", json!({ "login": "ada" }), 200, json!({ "accepted": [{ "login": "ada" }] })),
        ("GET /orgs/acme/memberships/ada", NONE, 200, json!({ "state": "active", "role": "admin" })),
        ("GET /orgs/acme/members?role=admin", NONE, 200, json!([{ "login": "acme-scim-bot" }, { "login": "ada" }])),
        (
            "PUT /orgs/acme/memberships/ada",
            json!({ "role": "member" }),
            200,
            json!({ "state": "active", "role": "member" }),
        ),
        ("DELETE /orgs/acme/memberships/ada", NONE, 204, NONE),
        ("DELETE /orgs/acme/memberships/ada", NONE, 404, NONE),
        ("PUT /orgs/acme/memberships/bob", NONE, 200, json!({ "state": "pending" })),
        ("DELETE /orgs/acme/memberships/bob", NONE, 204, NONE),
        ("GET /orgs/acme/invitations", NONE, 200, json!([])),
        ("PUT /orgs/acme/memberships/bob", json!({ "role": "king" }), 422, NONE),
        ("GET /orgs/acme/members?role=king", NONE, 422, NONE),
        ("GET /orgs/acme/members?filter=2fa_disabled", NONE, 200, json!([])),
    ]);
}

#[test]
fn the_last_owner_stays() {
    let hub = hub();
    hub.check(&[
        ("DELETE /orgs/acme/memberships/acme-scim-bot", NONE, 403, NONE),
        ("DELETE /orgs/acme/members/acme-scim-bot", NONE, 403, NONE),
        ("PUT /orgs/acme/memberships/acme-scim-bot", json!({ "role": "member" }), 403, NONE),
    ]);
    hub.set(&json!({ "members": [{ "login": "root", "role": "admin" }] }));
    hub.check(&[
        ("DELETE /orgs/acme/memberships/root", NONE, 204, NONE),
        ("DELETE /orgs/acme/memberships/acme-scim-bot", NONE, 403, NONE),
    ]);
}

#[test]
fn logins_that_do_not_exist_are_404() {
    let hub = hub();
    hub.check(&[
        ("PUT /orgs/acme/memberships/-bad-", NONE, 404, NONE),
        ("PUT /orgs/acme/memberships/a%20b", NONE, 404, NONE),
        ("PUT /orgs/acme/memberships/a%zzb", NONE, 404, NONE),
        ("GET /users/a--b", NONE, 404, NONE),
    ]);
    hub.set(&json!({ "any_login": false, "users": [{ "login": "ada", "email": "a@x.example" }] }));
    hub.check(&[
        ("PUT /orgs/acme/memberships/bob", NONE, 404, NONE),
        ("GET /users/bob", NONE, 404, NONE),
        ("PUT /orgs/acme/memberships/ADA", NONE, 200, json!({ "user": { "login": "ada" } })),
        // The address is verified on an account that was invited already.
        (
            "POST /orgs/acme/invitations",
            json!({ "email": "A@x.example" }),
            422,
            invalid("Invitee was already invited to this organization"),
        ),
    ]);
}

#[test]
fn a_login_changes_and_the_id_stays() {
    let hub = hub();
    hub.set(&json!({ "members": [{ "login": "ada" }] }));
    hub.set(&json!({ "rename": { "from": "ada", "to": "countess" } }));
    hub.check(&[
        ("GET /user/9002", NONE, 200, json!({ "login": "countess" })),
        ("GET /users/ada", NONE, 404, NONE),
        ("GET /orgs/acme/memberships/ada", NONE, 404, NONE),
        ("PUT /orgs/acme/memberships/ada", NONE, 404, NONE),
        ("GET /orgs/acme/memberships/countess", NONE, 200, json!({ "user": { "id": 9002 } })),
        ("GET /user/1", NONE, 404, NONE),
        ("POST /_sim/set", json!({ "rename": { "from": "ada", "to": "x" } }), 400, NONE),
        ("POST /_sim/set", json!({ "rename": { "from": "countess", "to": "acme-scim-bot" } }), 400, NONE),
    ]);
}

#[test]
fn pending_invitations_take_seats() {
    let hub = hub();
    hub.set(&json!({ "seats": 2 }));
    let full = json!({
        "message": "You must purchase at least one more seat to add this user as a member.",
        "errors": [{ "field": "user", "code": "no_seat" }],
    });
    hub.check(&[
        ("POST /orgs/acme/invitations", json!({ "email": "ada@corp.example" }), 201, NONE),
        ("POST /orgs/acme/invitations", json!({ "email": "bob@corp.example" }), 422, full.clone()),
        ("PUT /orgs/acme/memberships/bob", NONE, 422, full),
        ("DELETE /orgs/acme/invitations/77", NONE, 204, NONE),
        ("PUT /orgs/acme/memberships/bob", NONE, 200, NONE),
    ]);
    hub.set(&json!({ "seats": null }));
    hub.check(&[("PUT /orgs/acme/memberships/carl", NONE, 200, NONE)]);
}

#[test]
fn a_reinstated_member_has_role_and_teams_again() {
    let hub = hub();
    hub.check(&[("POST /orgs/acme/teams", json!({ "name": "Eng" }), 201, json!({ "id": 12 }))]);
    hub.set(&json!({ "members": [{ "login": "ada", "email": "ada@corp.example",
                                   "role": "admin", "teams": ["eng"] }] }));
    hub.check(&[
        ("DELETE /orgs/acme/memberships/ada", NONE, 204, NONE),
        ("GET /orgs/acme/teams/eng/memberships/ada", NONE, 404, NONE),
        (
            "POST /orgs/acme/invitations",
            json!({ "invitee_id": 9002, "role": "reinstate" }),
            201,
            json!({ "login": "ada", "role": "reinstate" }),
        ),
        ("POST /_sim/accept", NONE, 200, json!({ "accepted": [{ "login": "ada" }] })),
        ("GET /orgs/acme/memberships/ada", NONE, 200, json!({ "role": "admin" })),
        ("GET /orgs/acme/teams/eng/memberships/ada", NONE, 200, json!({ "state": "active" })),
    ]);
}

#[test]
fn listings_lag_behind() {
    let hub = hub();
    hub.set(&json!({ "lag_seconds": 5, "members": [{ "login": "ada" }] }));
    hub.check(&[
        ("DELETE /orgs/acme/memberships/ada", NONE, 204, NONE),
        ("GET /orgs/acme/members", NONE, 200, json!([{}, { "login": "ada" }])),
        ("GET /orgs/acme/memberships/ada", NONE, 404, NONE),
        ("POST /orgs/acme/teams", json!({ "name": "Eng" }), 201, NONE),
        ("GET /orgs/acme/teams/eng", NONE, 200, NONE),
        ("GET /orgs/acme/teams/eng/members", NONE, 404, NONE),
    ]);
    hub.advance(5);
    hub.check(&[
        ("GET /orgs/acme/members", NONE, 200, json!([{ "login": "acme-scim-bot" }])),
        ("GET /orgs/acme/teams/eng/members", NONE, 200, json!([{ "login": "acme-scim-bot" }])),
    ]);
}

#[test]
fn load_makes_active_members_with_addresses() {
    let hub = hub();
    hub.check(&[
        ("POST /_sim/load", json!({ "accounts": 3, "groups": 2 }), 200, NONE),
        ("POST /_sim/load", json!({ "accounts": 1 }), 200, NONE),
    ]);
    let state = hub.state();
    let emails: Vec<_> = state["accounts"].as_array().unwrap().iter().map(|a| &a["email"]).collect();
    assert_eq!(
        emails,
        ["load0000@example.com", "load0001@example.com", "load0002@example.com", "load0003@example.com"]
    );
    assert_eq!(state["groups"][1]["name"], "load0001");
}
