//! A GitHub App in place of a token.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use simulators::Limits;

use crate::support::Hub;

const NONE: Value = Value::Null;

/// A JWT of these claims by the app's key.
fn jwt(hub: &Hub, claims: &Value) -> String {
    hub.set(&json!({ "auth": "app" }));
    let offer = hub.simulator.offer("http://localhost");
    assert_eq!(offer["settings"]["app_id"], "31337");
    let pem = offer["secrets"]["private_key"].as_str().unwrap();
    let key = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), claims, &key).unwrap()
}

fn claims(hub: &Hub, iat: i64, exp: i64, iss: Value) -> Value {
    let now = hub.now().as_second();
    json!({ "iat": now + iat, "exp": now + exp, "iss": iss })
}

fn app() -> Hub {
    let mut hub = Hub::new(Limits::None);
    hub.token = jwt(&hub, &claims(&hub, -60, 540, json!("31337")));
    hub
}

#[test]
fn an_installation_token_lives_an_hour() {
    let mut hub = app();
    hub.check(&[
        ("GET /app", NONE, 200, json!({ "id": 31337 })),
        (
            "GET /orgs/acme/installation",
            NONE,
            200,
            json!({ "id": 555, "account": { "login": "acme" }, "suspended_at": null }),
        ),
        ("GET /orgs/other/installation", NONE, 404, NONE),
        ("GET /app/installations", NONE, 200, json!([{ "id": 555 }])),
        ("GET /orgs/acme/members", NONE, 401, NONE),
        ("POST /app/installations/1/access_tokens", NONE, 404, NONE),
        ("POST /app/installations/555/access_tokens", json!({ "permissions": { "contents": "write" } }), 422, NONE),
    ]);
    let made = hub.send("POST /app/installations/555/access_tokens", &NONE);
    assert_eq!(made.status, 201);
    assert_eq!(made.body["expires_at"], "2026-03-01T13:00:00Z");
    assert_eq!(made.body["permissions"]["members"], "write");
    hub.token = made.body["token"].as_str().unwrap().to_owned();
    assert!(hub.token.starts_with("ghs_"));
    hub.check(&[
        ("GET /orgs/acme/members", NONE, 200, NONE),
        ("GET /user", NONE, 403, NONE),
        // No account makes this team, so nobody maintains it.
        ("POST /orgs/acme/teams", json!({ "name": "Eng" }), 201, json!({ "members_count": 0 })),
        ("GET /orgs/acme/installation", NONE, 401, NONE),
    ]);
    assert_eq!(hub.get("/orgs/acme/members").header("x-oauth-scopes"), None);
    hub.advance(3599);
    assert_eq!(hub.get("/orgs/acme/members").status, 200);
    hub.advance(1);
    assert_eq!(hub.get("/orgs/acme/members").status, 401);
}

#[test]
fn a_narrowed_token_only_reads() {
    let mut hub = app();
    let narrow = json!({ "permissions": { "members": "read" } });
    let made = hub.send("POST /app/installations/555/access_tokens", &narrow);
    hub.token = made.body["token"].as_str().unwrap().to_owned();
    hub.check(&[
        ("GET /orgs/acme/members", NONE, 200, NONE),
        ("GET /orgs/acme/invitations", NONE, 200, NONE),
        ("PUT /orgs/acme/memberships/ada", NONE, 403, json!({ "message": "Resource not accessible by integration" })),
    ]);
}

#[test]
fn a_suspended_installation() {
    let hub = app();
    hub.set(&json!({ "installation": "suspended" }));
    hub.check(&[("POST /app/installations/555/access_tokens", NONE, 403, NONE)]);
}

#[test]
fn a_jwt_that_does_not_hold() {
    let mut hub = Hub::new(Limits::None);
    for (iat, exp, iss, status) in [
        (-60, 540, json!(31337), 200),
        (-60, 600, json!("Iv23liSimulated00001"), 200),
        (0, 601, json!("31337"), 401),
        (-600, 0, json!("31337"), 401),
        (61, 500, json!("31337"), 401),
        (-60, 540, json!("1"), 404),
        (-60, 540, json!(null), 404),
    ] {
        let claims = claims(&hub, iat, exp, iss);
        hub.token = jwt(&hub, &claims);
        assert_eq!(hub.get("/app").status, status, "{claims}");
    }
    let good = claims(&hub, -60, 540, json!("31337"));
    let signed = jwt(&hub, &good);
    let (content, signature) = signed.rsplit_once('.').unwrap();
    let other = claims(&hub, -60, 541, json!("31337"));
    let other = jwt(&hub, &other);
    let (other, _) = other.rsplit_once('.').unwrap();
    let secret = EncodingKey::from_secret(b"secret");
    let symmetric = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &good, &secret).unwrap();
    for token in [format!("{other}.{signature}"), format!("{content}."), "a.b.c".to_owned(), symmetric] {
        hub.token = token;
        hub.check(&[("GET /app", NONE, 401, json!({ "message": "A JSON web token could not be decoded" }))]);
    }
}
