//! Section B: transport, credentials, media types (RFC 7644 sections 2, 3.1, 3.8; RFC 6750).

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{PATCH, Stage, USER, at, body, id, q, stage, stages};

/// A request with this Authorization header, or none.
async fn asked(s: &Stage, auth: &str) -> crate::support::Reply {
    let headers = [("authorization", auth)];
    s.raw("GET", &format!("{}/Users", s.base), if auth.is_empty() { &[] } else { &headers }, b"").await
}

#[tokio::test]
async fn c051_c052_c058_without_credentials_there_is_a_challenge_and_no_more() {
    let s = stage().await;
    let reply = asked(&s, "").await;
    reply.refused(401, "");
    let challenge = reply.header("www-authenticate");
    assert!(challenge.starts_with("Bearer ") && challenge.contains("realm="), "{challenge}");
    assert!(!challenge.contains("error"), "{challenge}");
    assert_eq!(reply.header("content-type"), "application/scim+json");
}

#[tokio::test]
async fn c051_c053_c058_a_bad_an_expired_and_a_revoked_key_are_invalid_tokens() {
    for s in &stages().await {
        let invalid = async |auth: &str| {
            let reply = asked(s, auth).await;
            reply.refused(401, "");
            let challenge = reply.header("www-authenticate");
            assert!(challenge.contains("realm=") && challenge.contains("error=\"invalid_token\""), "{challenge}");
        };
        invalid("Bearer nonsense").await;
        invalid(&s.key[..s.key.len() - 1]).await;
        let dies = s.new_key(&s.instance, json!({"expires_at": "2026-01-01T01:00:00Z"})).await;
        asked(s, &dies).await.expect(200);
        s.clock.advance(Duration::from_secs(3_601));
        invalid(&dies).await;
        let made =
            s.admin("POST", &format!("/instances/{}/keys", s.instance), Some(json!({}))).await.expect(201).json();
        let revoked = format!("Bearer {}", made["key"].as_str().unwrap());
        asked(s, &revoked).await.expect(200);
        let key = format!("/instances/{}/keys/{}", s.instance, made["id"].as_str().unwrap());
        assert!(s.admin("DELETE", &key, None).await.status.is_success());
        invalid(&revoked).await;
    }
}

#[tokio::test]
async fn c054_c058_c059_a_key_that_may_only_read_is_told_its_scope() {
    for s in &stages().await {
        let ada = s.named("ada").await;
        let reader = s.new_key(&s.instance, json!({"scopes": ["scim:read"]})).await;
        asked(s, &reader).await.expect(200);
        let headers = [("authorization", reader.as_str()), ("content-type", "application/scim+json")];
        for (method, path) in
            [("POST", "/Users".to_owned()), ("PUT", at(&ada)), ("PATCH", at(&ada)), ("DELETE", at(&ada))]
        {
            let body = body(USER, json!({"userName": "x"})).to_string();
            let reply = s.raw(method, &format!("{}{path}", s.base), &headers, body.as_bytes()).await;
            reply.refused(403, "");
            let challenge = reply.header("www-authenticate");
            assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
        }
        assert_eq!(s.read(&at(&ada)).await["userName"], "ada");
    }
}

#[tokio::test]
async fn c055_credentials_in_two_ways_are_a_bad_request() {
    let s = stage().await;
    let token = s.key.strip_prefix("Bearer ").unwrap();
    let path = format!("{}/Users", s.base);
    let with_query = format!("{path}?access_token={token}");
    for (path, headers) in [
        (&path, vec![("authorization", s.key.as_str()), ("authorization", s.key.as_str())]),
        (&with_query, vec![("authorization", s.key.as_str())]),
    ] {
        let reply = s.raw("GET", path, &headers, b"").await;
        reply.refused_as(400, &["", "invalidSyntax", "invalidValue"]);
        assert!(reply.header("www-authenticate").contains("error=\"invalid_request\""), "{:?}", reply.headers);
    }
}

#[tokio::test]
async fn c056_a_key_in_the_url_opens_nothing_and_answers_are_not_stored() {
    let s = stage().await;
    let token = s.key.strip_prefix("Bearer ").unwrap();
    for name in ["access_token", "token", "key"] {
        let reply = s.raw("GET", &format!("{}/Users?{name}={token}", s.base), &[], b"").await;
        assert!(matches!(reply.status.as_u16(), 400 | 401), "{name}: {}", reply.status);
        assert!(!reply.text().contains(token));
    }
    let ada = s.named("ada").await;
    for path in ["/Users".to_owned(), at(&ada), at("nobody"), "/ServiceProviderConfig".to_owned()] {
        let stored = s.get(&path).await.header("cache-control").to_owned();
        assert!(stored.contains("no-store") || stored.contains("private"), "{path}: {stored}");
    }
}

#[tokio::test]
async fn c057_the_name_of_the_scheme_has_no_case() {
    let s = stage().await;
    let token = s.key.strip_prefix("Bearer ").unwrap();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        asked(&s, &format!("{scheme} {token}")).await.expect(200);
    }
}

#[tokio::test]
async fn c059_c153_another_tenants_resources_are_not_there() {
    for s in &stages().await {
        let ada = s.named("ada").await;
        let group = id(&s.group("Ops", &[&ada]).await);
        let (_, base, key) = s.another(json!({})).await;
        let headers = [("authorization", key.as_str()), ("content-type", "application/scim+json")];
        let put = body(USER, json!({"userName": "mallory"})).to_string();
        let patch =
            json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "userName", "value": "mallory"}]})
                .to_string();
        for (method, body) in [("GET", ""), ("PUT", put.as_str()), ("PATCH", patch.as_str()), ("DELETE", "")] {
            s.raw(method, &format!("{base}/Users/{ada}"), &headers, body.as_bytes()).await.refused(404, "");
        }
        // The other's URL with one's own key: whether there is such an instance is not told.
        s.raw("GET", &format!("{}/Users/{ada}", s.base), &headers, b"").await.refused(401, "");
        // The name that is taken here is free there, and nothing of here is counted or found there.
        s.raw("POST", &format!("{base}/Users"), &headers, body_of("ada").as_bytes()).await.expect(201);
        let list = s.raw("GET", &format!("{base}/Users"), &headers, b"").await.expect(200).json();
        assert_eq!(list["totalResults"], 1);
        let by_id = q(&format!("{base}/Users"), &[("filter", &format!("id eq \"{ada}\""))]);
        assert_eq!(s.raw("GET", &by_id, &headers, b"").await.expect(200).json()["totalResults"], 0);
        let foreign = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "G", "members": [{"value": ada}]});
        s.raw("POST", &format!("{base}/Groups"), &headers, foreign.to_string().as_bytes())
            .await
            .refused(400, "invalidValue");
        assert_eq!(s.read(&at(&ada)).await["groups"][0]["value"], json!(group));
    }
}

fn body_of(name: &str) -> String {
    body(USER, json!({"userName": name})).to_string()
}

#[tokio::test]
async fn c060_c061_media_types_are_agreed_on() {
    let s = stage().await;
    let path = at(&s.named("ada").await);
    for (accept, want) in [
        ("", "application/scim+json"),
        ("application/scim+json", "application/scim+json"),
        ("application/scim+json;charset=utf-8", "application/scim+json"),
        ("application/json", "application/json"),
        ("application/json; charset=utf-8", "application/json"),
        ("*/*", "application/scim+json"),
        ("application/*;q=0.8", "application/scim+json"),
        ("text/html, application/json;q=0.9, */*;q=0.1", ""),
        ("application/json;q=0.2, application/scim+json;q=0.9", "application/scim+json"),
        ("application/json;q=0.9, application/scim+json;q=0", "application/json"),
    ] {
        let headers = [("accept", accept)];
        let reply = s.send("GET", &path, if accept.is_empty() { &[] } else { &headers }, None).await.expect(200);
        let kind = reply.header("content-type").split(';').next().unwrap().trim();
        let right = if want.is_empty() { kind.starts_with("application/") } else { kind == want };
        assert!(right, "{accept}: {kind}");
        assert_eq!(reply.json()["userName"], "ada");
    }
    let odd = s.send("GET", &path, &[("accept", "image/png")], None).await;
    assert!(odd.status == 406 || (odd.status == 200 && odd.header("content-type") == "application/scim+json"));
    let error = s.send("GET", "/Users/nobody", &[("accept", "application/json")], None).await.expect(404);
    assert_eq!(error.header("content-type"), "application/json");
}

#[tokio::test]
async fn c060_c062_bodies_are_json_under_either_name() {
    let s = stage().await;
    let post = async |kind: &str, name: &str| {
        s.send("POST", "/Users", &[("content-type", kind)], Some(&body(USER, json!({"userName": name})))).await
    };
    for (n, kind) in [
        "application/scim+json",
        "application/json",
        "application/scim+json; charset=utf-8",
        "Application/SCIM+JSON;charset=\"UTF-8\"",
        "application/json;v=1",
    ]
    .iter()
    .enumerate()
    {
        post(kind, &format!("u{n}")).await.expect(201);
    }
    for kind in
        ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
    {
        post(kind, "w").await.refused(415, "");
    }
}

#[tokio::test]
async fn c063_text_is_utf_8_and_comes_back_byte_for_byte() {
    for s in &stages().await {
        let headers = [("authorization", s.key.as_str()), ("content-type", "application/scim+json")];
        for bytes in [&b"{\"userName\":\"\xff\"}"[..], b"{\"userName\":\"\xc3\x28\"}", b"\xfe\xff\x00{\x00}"] {
            s.raw("POST", &format!("{}/Users", s.base), &headers, bytes).await.refused(400, "invalidSyntax");
        }
        for (n, text) in [
            "\u{e9}",
            "e\u{301}",
            "\u{1f469}\u{200d}\u{1f680}",
            "\u{5c71}\u{7530}",
            "\u{202e}abc",
            "\\ \" / \u{8} \u{1}",
            "\u{feff}x",
        ]
        .iter()
        .enumerate()
        {
            let made =
                s.user(json!({"userName": format!("u{n}"), "displayName": text, "name": {"familyName": text}})).await;
            let read = s.read(&at(&id(&made))).await;
            assert_eq!((&read["displayName"], &read["name"]["familyName"]), (&json!(text), &json!(text)), "{text:?}");
        }
    }
}

#[tokio::test]
async fn c064_a_bad_body_is_a_bad_request_and_never_a_fault() {
    for s in &stages().await {
        let one = at(&s.named("ada").await);
        let headers = [("authorization", s.key.as_str()), ("content-type", "application/scim+json")];
        for text in [
            "",
            "{",
            "{]",
            "nul",
            "{\"a\":}",
            "{\"userName\" \"a\"}",
            "{} {}",
            "'a'",
            "{\"a\":01}",
            "{\"a\":\"\n\"}",
            "{\"userName\":\"a\",\"username\":\"b\"}",
        ] {
            for (method, path) in [("POST", "/Users"), ("PUT", &one), ("PATCH", &one), ("POST", "/.search")] {
                let reply = s.raw(method, &format!("{}{path}", s.base), &headers, text.as_bytes()).await;
                reply.refused(400, "invalidSyntax");
            }
        }
        let odd: [Value; 12] = [
            json!([]),
            json!("x"),
            json!(7),
            json!(null),
            json!({}),
            json!({"schemas": {}}),
            json!({"schemas": [USER], "userName": {}}),
            json!({"schemas": [USER], "userName": ["a", "b"]}),
            json!({"schemas": [USER], "userName": "b", "name": "x"}),
            json!({"schemas": [USER], "userName": "b", "emails": 7}),
            json!({"schemas": [USER], "userName": "b", "emails": [[{"value": "x"}, {"value": "y"}]]}),
            json!({"schemas": [USER], "userName": "b", "active": {}}),
        ];
        for body in odd {
            for (method, path) in [("POST", "/Users"), ("PUT", one.as_str())] {
                let reply = s.send(method, path, &[], Some(&body)).await;
                reply.refused_as(400, &["invalidSyntax", "invalidValue"]);
            }
        }
        assert_eq!(s.read("/Users").await["totalResults"], 1);
    }
}

#[tokio::test]
async fn c065_c188_an_unknown_version_is_refused() {
    let s = stage().await;
    s.get("/Users").await.expect(200);
    let root = s.base.strip_suffix("/v2").unwrap();
    for version in ["v1", "v3", "v2.1", "V22", "2", ""] {
        let reply = s.raw("GET", &format!("{root}/{version}/Users"), &[("authorization", s.key.as_str())], b"").await;
        reply.refused_as(404, &[""]);
    }
}
