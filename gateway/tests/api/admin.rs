//! The admin side.

use serde_json::{Value, json};

use crate::support::{GROUP, Gateway, Instance, SEARCH, USER};

#[tokio::test]
async fn keys_are_scoped_rotated_and_revoked() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let keys = format!("/instances/{}/keys", to.id);
    let read =
        gateway.admin("POST", &keys, Some(json!({"scopes": ["scim:read"], "name": "r"}))).await.expect(201).json();
    let reader = Instance {
        key: read["key"].as_str().unwrap().to_owned(),
        key_id: String::new(),
        id: to.id.clone(),
        base: to.base.clone(),
    };
    gateway.scim(&reader, "GET", "/Users", None).await.expect(200);
    gateway.scim(&reader, "POST", "/.search", Some(json!({"schemas": [SEARCH]}))).await.expect(200);
    let refused =
        gateway.scim(&reader, "POST", "/Users", Some(json!({"schemas": [USER], "userName": "a"}))).await.expect(403);
    assert!(refused.header("www-authenticate").contains("insufficient_scope"));

    let listed = gateway.admin("GET", &keys, None).await.expect(200).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains("scg_i_"), "{listed}");

    let rotate = format!("{keys}/{}/rotate", to.key_id);
    let next = gateway.admin("POST", &rotate, Some(json!({"overlap_seconds": 60}))).await.expect(201).json();
    gateway.scim(&to, "GET", "/Users", None).await.expect(200);
    gateway.clock.advance(std::time::Duration::from_secs(61));
    gateway.scim(&to, "GET", "/Users", None).await.expect(401);
    gateway.admin("POST", &rotate, None).await.expect(409);
    let fresh = Instance {
        key: next["key"].as_str().unwrap().to_owned(),
        key_id: next["id"].as_str().unwrap().to_owned(),
        id: to.id.clone(),
        base: to.base.clone(),
    };
    gateway.scim(&fresh, "GET", "/Users", None).await.expect(200);
    gateway.admin("DELETE", &format!("{keys}/{}", fresh.key_id), None).await.expect(204);
    gateway.scim(&fresh, "GET", "/Users", None).await.expect(401);
    gateway.admin("DELETE", &format!("{keys}/nonesuch"), None).await.expect(404);

    for (body, field) in [
        (json!({"scopes": ["all"]}), "scopes"),
        (json!({"scopes": []}), "scopes"),
        (json!({"expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
        (json!({"expires_at": "soon"}), "expires_at"),
        (json!({"nmae": "x"}), "nmae"),
    ] {
        assert_eq!(gateway.admin("POST", &keys, Some(body)).await.expect(400).json()["field"], field);
    }
    let short =
        gateway.admin("POST", &keys, Some(json!({"expires_at": "2026-01-01T00:02:00Z"}))).await.expect(201).json();
    let short = Instance {
        key: short["key"].as_str().unwrap().to_owned(),
        key_id: String::new(),
        id: to.id.clone(),
        base: to.base.clone(),
    };
    gateway.scim(&short, "GET", "/Users", None).await.expect(200);
    gateway.clock.advance(std::time::Duration::from_secs(60));
    gateway.scim(&short, "GET", "/Users", None).await.expect(401);
}

#[tokio::test]
async fn every_admin_route_asks_for_the_admin_token() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let description = gateway.admin("GET", "/openapi.json", None).await.expect(200).json();
    let mut routes: Vec<(String, String)> = vec![
        ("get".into(), "/openapi.json".into()),
        ("get".into(), "/nonesuch".into()),
        ("put".into(), "/instances".into()),
        ("get".into(), "".into()),
    ];
    for (path, verbs) in description["paths"].as_object().unwrap() {
        for verb in verbs.as_object().unwrap().keys() {
            routes.push((
                verb.clone(),
                path.replace("{id}", &to.id)
                    .replace("{key}", &to.key_id)
                    .replace("{run}", "rn_1")
                    .replace("{operation}", "op_1"),
            ));
        }
    }
    assert!(routes.len() > 20, "{routes:?}");
    for (verb, path) in &routes {
        for auth in
            ["", "Bearer ", "Bearer wrong", "admin-token-for-tests", "Basic YTphZG1pbi10b2tlbi1mb3ItdGVzdHM=", &to.key]
        {
            let reply = gateway.call(&verb.to_uppercase(), &format!("/admin/v1{path}"), auth, Some(json!({}))).await;
            assert_eq!(reply.status, 401, "{verb} {path} {auth:.12}");
            assert_eq!(reply.header("content-type"), "application/problem+json", "{verb} {path}");
            assert!(reply.header("www-authenticate").starts_with("Bearer"), "{verb} {path}");
        }
    }
    gateway.admin("GET", &format!("/instances/{}", to.id), None).await.expect(200);
}

#[tokio::test]
async fn admin_errors_are_problems() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let good = json!({"name": "A", "connector": "buildkite", "settings": {"org": "acme"}, "secrets": {"token": "canary-secret"}, "mode": "paused"});
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        Some(body)
    };
    for (body, field) in [
        (with("name", json!(" ")), "name"),
        (with("name", json!(7)), "name"),
        (with("connector", json!("nonesuch")), "connector"),
        (with("settings", json!({})), "org"),
        (with("settings", json!({"org": "acme", "colour": "red"})), "colour"),
        (with("settings", json!({"org": "acme", "token": "canary-secret"})), "token"),
        (with("settings", json!("canary-secret")), "settings"),
        (with("secrets", json!({})), "token"),
        (with("secrets", json!("canary-secret")), "secrets"),
        (with("mode", json!("asleep")), "mode"),
        (with("policy", json!({"adopt": "always"})), "policy.adopt"),
        (with("extra", json!(1)), "extra"),
        (Some(json!({"name": "A"})), "connector"),
    ] {
        let reply = gateway.admin("POST", "/instances", body).await.expect(400);
        assert_eq!(reply.json()["field"], field, "{}", reply.json());
        assert_eq!(reply.header("content-type"), "application/problem+json");
        assert!(!reply.json().to_string().contains("canary-secret"));
    }
    let at = format!("/instances/{}", to.id);
    for (method, path, status) in [
        ("GET", "/nonesuch".to_owned(), 404),
        ("POST", "/instances".to_owned(), 400),
        ("PUT", "/instances".to_owned(), 405),
        ("GET", "/instances/in_00000000000000000000".to_owned(), 404),
        ("GET", "/instances/%ff".to_owned(), 404),
        ("GET", "/instances?limit=x".to_owned(), 400),
        ("GET", "/instances?limit=0".to_owned(), 400),
        ("GET", "/instances?cursor=!!".to_owned(), 400),
        ("GET", "/instances?colour=red".to_owned(), 400),
        ("GET", format!("{at}/operations?state=odd"), 400),
        ("GET", format!("{at}/operations?since=odd"), 400),
        ("GET", format!("{at}/work?state=odd"), 400),
        ("GET", format!("{at}/why"), 400),
        ("GET", format!("{at}/why?resource=nobody"), 404),
        ("GET", format!("{at}/why?resource=nobody&at=odd"), 400),
        ("GET", format!("{at}/operations?until=odd"), 400),
        ("GET", format!("{at}/operations/op_1"), 404),
        ("GET", format!("{at}/operations/export?state=odd"), 400),
        ("GET", format!("{at}/operations/export?after=!!"), 400),
        ("GET", "/audit/export?since=odd".to_owned(), 400),
        ("GET", "/search".to_owned(), 400),
        ("GET", "/search?q=%20".to_owned(), 400),
        ("GET", "/search?q=a&limit=0".to_owned(), 400),
        ("GET", format!("{at}/rejected?cursor=MQ"), 400),
        ("POST", format!("{at}/erase"), 400),
        ("GET", format!("{at}/runs/rn_1"), 404),
        ("GET", "/operations/op_1".to_owned(), 404),
        ("POST", "/operations/op_1/retry".to_owned(), 404),
        ("POST", format!("{at}/import"), 409),
        ("POST", format!("{at}/reconcile"), 409),
        ("POST", format!("{at}/probe"), 409),
    ] {
        let reply = gateway.admin(method, &path, None).await;
        assert_eq!(reply.status.as_u16(), status, "{method} {path}: {}", String::from_utf8_lossy(&reply.bytes));
        assert_eq!(reply.header("content-type"), "application/problem+json", "{method} {path}");
        assert_eq!(reply.json()["status"], status, "{method} {path}");
        assert_eq!(status == 405, !reply.header("allow").is_empty(), "{method} {path}");
    }
    let outside = gateway.call("GET", "/nonesuch", "", None).await.expect(404);
    assert_eq!(outside.header("content-type"), "application/problem+json");
    gateway.call("GET", "/healthz", "", None).await.expect(200);
    gateway.call("GET", "/readyz", "", None).await.expect(200);
}

#[tokio::test]
async fn instances_are_changed_and_deleted_under_rules() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let at = format!("/instances/{}", to.id);
    let shown = gateway.admin("GET", &at, None).await.expect(200).json();
    assert_eq!(
        (&shown["secrets"], &shown["mode"], &shown["config_rev"]),
        (&json!(["token"]), &json!("paused"), &json!(1))
    );
    assert!(!shown.to_string().contains("canary-secret"));

    let moved = json!({"settings": {"api_url": "https://evil.example.com"}});
    assert_eq!(gateway.admin("PATCH", &at, Some(moved)).await.expect(400).json()["field"], "token");
    let moved = json!({"settings": {"api_url": "https://api.example.com"}, "secrets": {"token": "other"}});
    let shown = gateway.admin("PATCH", &at, Some(moved)).await.expect(200).json();
    assert_eq!((&shown["settings"]["api_url"], &shown["config_rev"]), (&json!("https://api.example.com"), &json!(2)));
    let shown = gateway
        .admin("PATCH", &at, Some(json!({"name": "New", "policy": {"list_unmanaged": true, "dialect": "okta"}})))
        .await
        .expect(200)
        .json();
    assert_eq!((&shown["name"], &shown["policy"]["dialect"]), (&json!("New"), &json!("okta")));
    let shown = gateway.admin("PATCH", &at, Some(json!({"policy": {"dialect": null}}))).await.expect(200).json();
    assert_eq!((&shown["policy"]["dialect"], &shown["policy"]["list_unmanaged"]), (&json!("auto"), &json!(true)));

    let id = gateway.user(&to, "a@example.com").await;
    gateway.admin("PATCH", &at, Some(json!({"mode": "disabled"}))).await.expect(200);
    gateway.scim(&to, "GET", "/Users", None).await.expect(503);
    gateway.admin("PATCH", &at, Some(json!({"mode": "paused"}))).await.expect(200);
    gateway.scim(&to, "DELETE", &format!("/Users/{id}"), None).await.expect(204);
    gateway.admin("DELETE", &at, None).await.expect(409);
    gateway.admin("DELETE", &format!("{at}?force=true"), None).await.expect(204);
    gateway.admin("GET", &at, None).await.expect(404);
    gateway.scim(&to, "GET", "/Users", None).await.expect(401);

    let acts = gateway.admin("GET", "/audit?limit=3", None).await.expect(200).json();
    assert_eq!((&acts["items"][0]["act"], acts["items"].as_array().unwrap().len()), (&json!("instance.delete"), 3));
    let next = acts["next"].as_str().unwrap();
    let older = gateway.admin("GET", &format!("/audit?cursor={next}"), None).await.expect(200).json();
    assert_eq!(older["next"], Value::Null);
    assert!(older["items"].as_array().unwrap().iter().any(|act| act["act"] == "instance.create"), "{older}");
    assert!(!older.to_string().contains("canary-secret"));
}

#[tokio::test]
async fn the_record_tells_what_was_asked_and_where_it_stands() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let ada = gateway.user(&to, "ada@example.com").await;
    let bob = gateway.user(&to, "bob@example.com").await;
    let group = json!({"schemas": [GROUP], "displayName": "Ops", "members": [{"value": ada}]});
    gateway.scim(&to, "POST", "/Groups", Some(group)).await.expect(201);
    let at = format!("/instances/{}", to.id);

    let users = gateway.admin("GET", &format!("{at}/users?limit=1"), None).await.expect(200).json();
    assert_eq!(
        users["items"][0],
        json!({"id": ada, "userName": "ada@example.com", "active": true, "managed": true, "externalId": null, "link": null, "sync": "todo"})
    );
    let next = users["next"].as_str().unwrap();
    let users = gateway.admin("GET", &format!("{at}/users?limit=1&cursor={next}"), None).await.expect(200).json();
    assert_eq!((&users["items"][0]["id"], &users["next"]), (&json!(bob), &Value::Null));
    let groups = gateway.admin("GET", &format!("{at}/groups"), None).await.expect(200).json();
    assert_eq!(
        (&groups["items"][0]["displayName"], &groups["items"][0]["members"]["wanted"]),
        (&json!("Ops"), &json!(1))
    );

    let operations = gateway
        .admin("GET", &format!("{at}/operations?resource=ADA@example.com&state=open&since=2025-01-01T00:00:00Z"), None)
        .await
        .expect(200)
        .json();
    let operation = &operations["items"][0];
    assert_eq!(operations["items"].as_array().unwrap().len(), 1, "{operations}");
    assert_eq!(
        (&operation["verb"], &operation["resource"]["id"], &operation["actor"]),
        (&json!("create"), &json!(ada), &json!(format!("key:{}", to.key_id)))
    );
    let path = format!("/operations/{}", operation["id"].as_str().unwrap());
    assert_eq!(gateway.admin("GET", &path, None).await.expect(200).json()["instance"], to.id);
    gateway.admin("POST", &format!("{path}/retry"), None).await.expect(202);
    assert_eq!(
        gateway.admin("GET", &format!("{at}/operations?resource=nobody"), None).await.expect(200).json()["items"],
        json!([])
    );
    assert_eq!(
        gateway.admin("GET", &format!("{at}/work?state=todo"), None).await.expect(200).json()["items"]
            .as_array()
            .unwrap()
            .len(),
        3
    );

    for word in [ada.as_str(), "ada@example.com"] {
        let why = gateway.admin("GET", &format!("{at}/why?resource={word}"), None).await.expect(200).json();
        assert_eq!((&why["resource"]["id"], &why["operations"][0]["verb"]), (&json!(ada), &json!("create")), "{why}");
        assert_eq!(why["memberships"][0]["group"]["displayName"], "Ops", "{why}");
    }
    let connectors = gateway.admin("GET", "/connectors", None).await.expect(200).json();
    assert!(connectors.as_array().unwrap().iter().any(|entry| entry["name"] == "github"));
    gateway.admin("GET", "/budgets", None).await.expect(200);
    gateway.app.store.ping().await.unwrap();
}
