//! Hand-over links: made by an admin, used by somebody without an account.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::browser::{Browser, Gateway, HOSTILE};
use crate::common::{Reply, USER, databases, send};

async fn instance(gateway: &Gateway, name: &str) -> String {
    let body = json!({"name": name, "connector": "buildkite", "settings": {"org": "acme"}, "secrets": {"token": "canary-secret"}, "mode": "paused"});
    gateway.admin("POST", "/instances", Some(body)).await.expect(201).json()["id"].as_str().unwrap().to_owned()
}

/// Makes a link by the console; its path.
async fn link(browser: &Browser, id: &str, fields: &[(&str, &str)]) -> String {
    let page = format!("/console/instances/{id}/hand-over");
    let form = browser.get(&page).await.expect(200).form(&page);
    let made = browser.submit(&form, fields).await.expect(200).words();
    let url = made.split_whitespace().find(|word| word.contains("/console/hand-over/")).map(str::to_owned);
    let url = url.unwrap_or_else(|| panic!("no link: {made}"));
    url[url.find("/console/").unwrap()..].to_owned()
}

fn key_in(reply: &Reply) -> Option<String> {
    reply.words().split_whitespace().find(|word| word.starts_with("scg_i_")).map(str::to_owned)
}

async fn scim(gateway: &Gateway, id: &str, key: &str, method: &str, body: Option<Value>) -> Reply {
    let request = Request::builder().method(method).uri(format!("/i/{id}/scim/v2/Users"));
    let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
    send(&gateway.router, request.header("authorization", format!("Bearer {key}")).body(body).unwrap()).await
}

async fn links(gateway: &Gateway, id: &str) -> Vec<Value> {
    let listed = gateway.admin("GET", &format!("/instances/{id}/handovers"), None).await.expect(200).json();
    listed["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn who_has_a_link_and_no_account_makes_one_key_with_the_steps_of_their_provider() {
    for db in databases() {
        let gateway = Gateway::on(&db).await;
        let id = instance(&gateway, HOSTILE).await;
        let admin = gateway.owner().await;
        let path = link(&admin, &id, &[("guide", "entra"), ("hours", "72")]).await;
        let secret = path.rsplit('/').next().unwrap().to_owned();

        // Looked at by a mail scanner, and then by a person: neither uses it up.
        let guest = gateway.browser();
        guest.get(&path).await.expect(200);
        let page = guest.get(&path).await.expect(200);
        assert!(page.words().contains("Provisioning") && page.words().contains(&format!("/i/{id}/scim/v2")));
        assert!(!page.text().contains("<img"), "a hostile name stays a text");
        assert_eq!(page.header("cache-control"), "no-store");
        assert!(key_in(&page).is_none());
        let inside = guest.get(&format!("/console/instances/{id}")).await.expect(303);
        assert!(inside.header("location").starts_with("/console/sign-in"), "it opens nothing else");

        let form = page.form(&path);
        let wrong = guest.submit(&form, &[("name", &"x".repeat(300))]).await.expect(422);
        assert!(key_in(&wrong).is_none() && wrong.text().contains("href=\"#f-name\""), "{}", wrong.words());
        let made = guest.submit(&form, &[("name", "Directory team")]).await.expect(200);
        let key = key_in(&made).unwrap_or_else(|| panic!("{}", made.words()));
        assert!(made.words().matches(&key).count() > 1, "the steps have it filled in");

        // Once, whatever is sent again.
        for reply in [guest.submit(&form, &[]).await.expect(410), guest.get(&path).await.expect(410)] {
            assert!(reply.words().contains("This link is used") && !reply.text().contains(&key), "{}", reply.words());
        }
        let keys = gateway.admin("GET", &format!("/instances/{id}/keys"), None).await.expect(200).json();
        let keys = keys["items"].as_array().unwrap();
        assert_eq!((keys.len(), &keys[0]["name"], &keys[0]["scopes"]), (1, &json!("Directory team"), &json!(["scim"])));
        assert!(keys[0]["expires_at"].as_str().unwrap().starts_with("2027-01-01"), "{keys:?}");
        let sent = json!({"schemas": [USER], "userName": "ada@example.com"});
        scim(&gateway, &id, &key, "POST", Some(sent)).await.expect(201);

        let listed = links(&gateway, &id).await;
        assert_eq!((listed.len(), &listed[0]["state"], &listed[0]["key"]), (1, &json!("used"), &keys[0]["id"]));
        assert!(listed[0]["opened_at"].is_string() && listed[0].get("url").is_none());
        let audit = gateway.admin("GET", "/audit?limit=500", None).await.expect(200).json();
        let acts: Vec<(&str, &str)> = audit["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (row["act"].as_str().unwrap(), row["actor"].as_str().unwrap()))
            .collect();
        let maker = format!("handover:{}", listed[0]["id"].as_str().unwrap());
        assert!(
            acts.contains(&("handover.create", "admin")) && acts.contains(&("key.create", maker.as_str())),
            "{acts:?}"
        );
        assert!(!audit.to_string().contains(&secret), "the record does not hold the link");
        // A link opens neither the admin API nor SCIM.
        scim(&gateway, &id, &secret, "GET", None).await.expect(401);
        gateway.admin_as(&format!("Bearer {secret}"), "GET", "/instances", None).await.expect(401);
    }
}

#[tokio::test]
async fn a_link_ends_by_time_by_an_admin_and_with_its_instance() {
    let gateway = Gateway::start().await;
    let id = instance(&gateway, "Acme").await;
    let admin = gateway.owner().await;
    let guest = gateway.browser();

    let short = link(&admin, &id, &[("hours", "24")]).await;
    let form = guest.get(&format!("{short}?idp=okta")).await.expect(200).form(&short);
    gateway.clock.advance(Duration::from_secs(24 * 3_600 + 1));
    let late = guest.submit(&form, &[]).await.expect(410);
    assert!(late.words().contains("This link is over"), "{}", late.words());

    let admin = gateway.owner().await;
    let taken = link(&admin, &id, &[]).await;
    let listed = links(&gateway, &id).await;
    let open: Vec<&Value> = listed.iter().filter(|link| link["state"] == "open").collect();
    assert_eq!((listed.len(), open.len()), (2, 1));
    let ask = format!("/console/instances/{id}/hand-over/{}/revoke", open[0]["id"].as_str().unwrap());
    let form = admin.get(&ask).await.expect(200).form(&ask);
    admin.submit(&form, &[]).await.expect(303);
    assert!(guest.get(&taken).await.expect(410).words().contains("taken back"));
    admin.get(&ask).await.expect(404);

    let last = link(&admin, &id, &[]).await;
    gateway.admin("DELETE", &format!("/instances/{id}?force=true"), None).await.expect(204);
    guest.get(&last).await.expect(404);
    let (start, end) = last.split_at(last.len() - 1);
    for strange in [
        format!("{start}{}", if end == "0" { "1" } else { "0" }),
        format!("{last}0"),
        "/console/hand-over/x".to_owned(),
    ] {
        guest.get(&strange).await.expect(404);
    }
}

#[tokio::test]
async fn viewers_make_no_links_and_nobody_makes_too_many_or_strange_ones() {
    let gateway = Gateway::start().await;
    let id = instance(&gateway, "Acme").await;
    let (viewer, _, token) = gateway.member("Vera", "viewer").await;
    let page = format!("/console/instances/{id}/hand-over");
    assert!(viewer.get(&page).await.expect(200).words().contains("You are a Viewer"));
    let path = format!("/instances/{id}/handovers");
    gateway.admin_as(&format!("Bearer {token}"), "POST", &path, Some(json!({}))).await.expect(403);
    for body in [json!({"hours": 0}), json!({"hours": 337}), json!({"guide": "nonesuch"}), json!({"days": 1})] {
        gateway.admin("POST", &path, Some(body)).await.expect(400);
    }
    for _ in 0..20 {
        let made = gateway.admin("POST", &path, Some(json!({"hours": 1}))).await.expect(201).json();
        assert!(made["url"].as_str().unwrap().contains("/console/hand-over/scg_h_"), "{made}");
    }
    let full = gateway.admin("POST", &path, None).await.expect(409).json();
    assert!(full["detail"].as_str().unwrap().contains("Take one back"), "{full}");
    // A form that is sent twice makes one link.
    gateway.clock.advance(Duration::from_secs(3_601));
    let admin = gateway.owner().await;
    let form = admin.get(&page).await.expect(200).form(&page);
    admin.submit(&form, &[]).await.expect(200);
    admin.submit(&form, &[]).await.expect(303);
    assert_eq!(links(&gateway, &id).await.len(), 21);
}
