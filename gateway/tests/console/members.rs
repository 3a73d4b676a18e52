//! Roles: what each may do in the admin API and in the console, and how the record names them.

use serde_json::json;

use crate::browser::{Gateway, HOSTILE};

#[tokio::test]
async fn every_write_of_the_admin_api_is_refused_to_a_viewer() {
    let gateway = Gateway::furnished().await;
    let (_, token) = gateway.token(json!({"name": "Ada", "role": "viewer"})).await;
    let auth = format!("Bearer {token}");
    let who = gateway.admin_as(&auth, "GET", "/whoami", None).await.expect(200).json();
    assert_eq!((&who["name"], &who["role"], &who["actor"]), (&json!("Ada"), &json!("viewer"), &json!("admin:Ada")));
    let description = gateway.admin_as(&auth, "GET", "/openapi.json", None).await.expect(200).json();
    let mut writes = 0;
    for (path, verbs) in description["paths"].as_object().unwrap() {
        for verb in verbs.as_object().unwrap().keys().filter(|verb| *verb != "get") {
            let path = path.replace(['{', '}'], "");
            let reply = gateway.admin_as(&auth, &verb.to_uppercase(), &path, Some(json!({}))).await.expect(403);
            assert_eq!(reply.header("content-type"), "application/problem+json");
            assert!(reply.json()["detail"].as_str().unwrap().contains("needs the role"));
            writes += 1;
        }
    }
    assert!(writes > 30, "{writes}");
    for path in ["/instances", "/attention", "/overview", "/members", "/budgets", "/connectors"] {
        gateway.admin_as(&auth, "GET", path, None).await.expect(200);
    }
    gateway.admin_as(&auth, "GET", "/audit/export", None).await.expect(403);
    assert_eq!(gateway.admin_as(&auth, "GET", "/audit", None).await.expect(200).json()["items"], json!([]));
}

#[tokio::test]
async fn only_owners_change_members_and_delete_instances() {
    let gateway = Gateway::furnished().await;
    let (_, token) = gateway.token(json!({"name": "Ada", "role": "admin"})).await;
    let auth = format!("Bearer {token}");
    let instances = gateway.admin_as(&auth, "GET", "/instances", None).await.expect(200).json();
    let id = instances["items"][0]["id"].as_str().unwrap().to_owned();
    gateway.admin_as(&auth, "PATCH", &format!("/instances/{id}"), Some(json!({"name": "Acme 2"}))).await.expect(200);
    gateway.admin_as(&auth, "DELETE", &format!("/instances/{id}?force=true"), None).await.expect(403);
    gateway.admin_as(&auth, "POST", "/members", Some(json!({"name": "Eve", "role": "owner"}))).await.expect(403);
    gateway.admin_as(&auth, "GET", "/audit/export", None).await.expect(200);
    let audit = gateway.admin("GET", "/audit", None).await.expect(200).json();
    let (first, second) = (&audit["items"][0], &audit["items"][1]);
    assert_eq!((&first["actor"], &first["act"]), (&json!("admin:Ada"), &json!("instance.update")));
    assert_eq!(
        (&second["actor"], &second["act"], &second["target"]),
        (&json!("admin"), &json!("member.create"), &json!("Ada"))
    );

    let (_, owner) = gateway.token(json!({"name": "Grace", "role": "owner"})).await;
    let owner = format!("Bearer {owner}");
    let made = gateway.admin_as(&owner, "POST", "/members", Some(json!({"name": "Linus", "role": "viewer"}))).await;
    assert_eq!(made.expect(201).json()["created_by"], "admin:Grace");
    gateway.admin_as(&owner, "DELETE", &format!("/instances/{id}?force=true"), None).await.expect(204);
}

#[tokio::test]
async fn members_are_checked_and_their_tokens_end() {
    let gateway = Gateway::start().await;
    let (id, token) = gateway.token(json!({"name": " Ada ", "role": "viewer"})).await;
    let shown = gateway.admin("GET", &format!("/members/{id}"), None).await.expect(200).json();
    assert_eq!((&shown["name"], &shown["role"], shown.get("token")), (&json!("Ada"), &json!("viewer"), None));
    for (body, field) in [
        (json!({"name": " ", "role": "viewer"}), "name"),
        (json!({"name": "ADMIN", "role": "viewer"}), "name"),
        (json!({"name": "x".repeat(101), "role": "viewer"}), "name"),
        (json!({"name": "B", "role": "king"}), "role"),
        (json!({"name": "B"}), "role"),
        (json!({"name": "B", "role": "viewer", "expires_at": "2025-01-01T00:00:00Z"}), "expires_at"),
        (json!({"name": "B", "role": "viewer", "email": "b@example.com"}), "email"),
    ] {
        assert_eq!(gateway.admin("POST", "/members", Some(body)).await.expect(400).json()["field"], field);
    }
    gateway.admin("POST", "/members", Some(json!({"name": "ADA", "role": "viewer"}))).await.expect(409);
    let auth = format!("Bearer {token}");
    gateway.admin_as(&auth, "GET", "/whoami", None).await.expect(200);
    gateway.admin("DELETE", &format!("/members/{id}"), None).await.expect(204);
    gateway.admin_as(&auth, "GET", "/whoami", None).await.expect(401);
    for (method, status) in [("GET", 404), ("DELETE", 404)] {
        gateway.admin(method, &format!("/members/{id}"), None).await.expect(status);
    }
    // The audit knows members by their names: who comes later is not taken for who was here.
    let again = gateway.admin("POST", "/members", Some(json!({"name": "Ada", "role": "viewer"}))).await.expect(409);
    assert!(again.text().contains("was a member"), "{}", again.text());
}

#[tokio::test]
async fn an_owner_adds_changes_and_removes_a_member_by_the_pages() {
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    let here = "/console/settings/members";
    let form = browser.get(&format!("{here}/new")).await.expect(200).form(here);
    let refused = browser.submit(&form, &[("name", ""), ("role", "viewer"), ("lives", "30")]).await.expect(422);
    assert!(refused.text().contains("<title>Error: "));
    assert!(refused.text().contains("href=\"#f-name\"") && refused.text().contains("id=\"f-name\""));
    let made = browser.submit(&form, &[("name", HOSTILE), ("role", "admin"), ("lives", "30")]).await.expect(200);
    let at = made.text().find("scg_a_").unwrap();
    let token = made.text()[at..].split('<').next().unwrap().to_owned();
    assert_eq!(made.header("cache-control"), "no-store");
    // Sent again, as a reload does: no second token.
    let again = browser.submit(&form, &[("name", HOSTILE), ("role", "admin"), ("lives", "30")]).await.expect(422);
    assert!(!again.text().contains("scg_a_") && again.words().contains("already"), "{}", again.words());
    assert!(!browser.get(here).await.text().contains("scg_a_"));

    let member = gateway.browser();
    member.sign_in(&token).await;
    assert!(!member.get(here).await.expect(200).text().contains("/new\""), "an Admin adds no member");
    assert!(member.get(&format!("{here}/new")).await.expect(403).words().contains("needs the role Owner"));

    let id = gateway.admin("GET", "/members", None).await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    let page = format!("{here}/{id}");
    let form = browser.get(&page).await.expect(200).form(&page);
    let changed = browser.submit(&form, &[("role", "viewer")]).await.expect(303);
    let shown = browser.get(changed.header("location")).await.expect(200);
    assert!(shown.words().contains("is a Viewer now"), "{}", shown.words());
    assert!(!browser.get(&page).await.words().contains("is a Viewer now"), "a note is shown once");
    assert!(!member.is_in().await);

    let remove = format!("{page}/remove");
    let form = browser.get(&remove).await.expect(200).form(&remove);
    let removed = browser.submit(&form, &[]).await.expect(303);
    assert_eq!(removed.header("location"), here);
    assert!(browser.get(here).await.words().contains("is removed"));
    browser.get(&page).await.expect(404);
    let audit = browser.get("/console/audit").await.expect(200).words();
    for words in ["Added a member", "Changed a member's role", "Removed a member", "Signed in"] {
        assert!(audit.contains(words), "{words}: {audit}");
    }
    let lines = browser.get("/console/audit/export.ndjson").await.expect(200);
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
    assert!(lines.text().lines().count() >= 4);
}
