//! First contact, refused requests, and outcomes over time.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use serde_json::{Value, json};

use crate::browser::{Browser, Gateway};
use crate::common::{Reply, USER, databases, send};
use crate::live::Live;

const PAUSED: &str = r#"{"connector": "buildkite", "settings": {"org": "acme"}, "secrets": {"token": "canary-secret"}, "mode": "paused"}"#;

struct Made {
    instance: String,
    key_id: String,
    key: String,
}

async fn instance(gateway: &Gateway, name: &str) -> Made {
    let mut body: Value = serde_json::from_str(PAUSED).unwrap();
    body["name"] = json!(name);
    let made = gateway.admin("POST", "/instances", Some(body)).await.expect(201).json();
    let instance = made["id"].as_str().unwrap().to_owned();
    let key = gateway.admin("POST", &format!("/instances/{instance}/keys"), Some(json!({}))).await.expect(201).json();
    let text = |field: &str| key[field].as_str().unwrap().to_owned();
    Made { instance, key_id: text("id"), key: text("key") }
}

/// A request from somewhere, with this header or without one.
async fn call(gateway: &Gateway, instance: &str, auth: Option<&str>, method: &str, body: Value) -> Reply {
    let mut request = Request::builder().method(method).uri(format!("/i/{instance}/scim/v2/Users"));
    if let Some(auth) = auth {
        request = request.header("authorization", auth);
    }
    let from: SocketAddr = "203.0.113.9:4711".parse().unwrap();
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    send(&gateway.router, request.extension(ConnectInfo(from)).body(body).unwrap()).await
}

/// Waits until a page says all that; what is put on record beside a request comes a moment later.
async fn told(gateway: &Gateway, browser: &Browser, path: &str, all: &[&str]) -> Reply {
    let mut words = String::new();
    for _ in 0..1_000 {
        let page = browser.get(path).await.expect(200);
        words = page.words();
        if all.iter().all(|one| words.contains(one)) {
            return page;
        }
        gateway.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{path} does not say {all:?}: {words}");
}

#[tokio::test]
async fn a_call_that_no_key_lets_in_is_shown_to_whoever_sets_the_identity_provider_up() {
    for db in databases() {
        let gateway = Gateway::on(&db).await;
        let (own, other) = (instance(&gateway, "Acme").await, instance(&gateway, "Other").await);
        let revoked = format!("/instances/{}/keys/{}", own.instance, own.key_id);
        gateway.admin("DELETE", &revoked, None).await;
        let browser = gateway.owner().await;
        let home = format!("/console/instances/{}", own.instance);
        assert!(!browser.get(&home).await.expect(200).words().contains("no key lets in"));
        let (mine, theirs) = (format!("Bearer {}", own.key), format!("Bearer {}", other.key));
        let cases: [(Option<&str>, &str); 4] = [
            (None, "No key was sent."),
            (Some("Bearer canary-of-a-key"), "What was sent is not a key of scimgate."),
            (Some(&theirs), "The key belongs to another instance."),
            (Some(&mine), "The key was revoked or ran out"),
        ];
        for (auth, why) in cases {
            call(&gateway, &own.instance, auth, "GET", Value::Null).await.expect(401);
            for path in [home.clone(), format!("{home}/connect"), format!("{home}/rejected")] {
                let says = ["A request that no key lets in came from 203.0.113.9", why];
                let text = told(&gateway, &browser, &path, &says).await.text();
                assert!(
                    !text.contains("canary-of") && !text.contains(&own.key) && !text.contains(&other.key),
                    "{path}"
                );
            }
        }
        // One row, however many came; and no instance is told of another's.
        let path = format!("/instances/{}/rejected", own.instance);
        let all = gateway.admin("GET", &path, None).await.expect(200).json();
        assert_eq!((&all["items"], &all["stranger"]["count"]), (&json!([]), &json!(4)), "{all}");
        assert_eq!((&all["stranger"]["origin"], &all["stranger"]["key"]), (&json!("203.0.113.9"), &json!(own.key_id)));
        let none = gateway.admin("GET", &format!("/instances/{}/rejected", other.instance), None).await.json();
        assert_eq!(none["stranger"], Value::Null);
        // Where there is no such instance the answer is the same, and nothing is kept.
        let nobody = call(&gateway, "in_nonesuch", Some(&theirs), "GET", Value::Null).await.expect(401);
        let somebody = call(&gateway, &own.instance, Some(&theirs), "GET", Value::Null).await.expect(401);
        assert_eq!(nobody.text(), somebody.text());
    }
}

#[tokio::test]
async fn refused_requests_stand_on_a_page_with_the_reason() {
    for db in databases() {
        let gateway = Gateway::on(&db).await;
        let own = instance(&gateway, "Acme").await;
        let browser = gateway.owner().await;
        let root = format!("/console/instances/{}", own.instance);
        let empty = browser.get(&format!("{root}/rejected")).await.expect(200);
        assert!(empty.words().contains("Nothing was refused"), "{}", empty.words());
        let bad = json!({"schemas": [USER], "userName": "", "title": "canary-title"});
        let key = format!("Bearer {}", own.key);
        for _ in 0..3 {
            call(&gateway, &own.instance, Some(&key), "POST", bad.clone()).await.expect(400);
        }
        let there = format!("{root}/rejected");
        let page = told(&gateway, &browser, &there, &["POST /Users", "400", "invalidValue", "Shape of the body"]).await;
        assert!(!page.text().contains("canary"), "{}", page.words());
        for path in [root.clone(), format!("{root}/operations")] {
            assert!(browser.get(&path).await.expect(200).links().contains(&there), "{path}");
        }
        browser.get(&format!("{there}?before=nonsense")).await.expect(400);
        let (viewer, _, _) = gateway.member("Vera", "viewer").await;
        viewer.get(&there).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_are_drawn_and_told_in_a_table() {
    for db in databases() {
        let live = Live::start_on(&db, json!({})).await;
        let browser = live.owner().await;
        live.user("ada@example.com", "Ada").await;
        live.quiet().await;
        for path in ["/console".to_owned(), live.page("")] {
            for span in ["", "?span=week", "?span=nonsense"] {
                let page = browser.get(&format!("{path}{span}")).await.expect(200);
                let words = page.words();
                assert!(words.contains("1 change applied and 0 failed in the last"), "{words}");
                let rows = if span == "?span=week" { 7 } else { 24 };
                let tags = page.tags();
                assert_eq!(tags.iter().filter(|tag| tag.get("class") == Some("applied")).count(), 1);
                let chart = page.text();
                let chart = chart.split("Show the numbers").nth(1).unwrap().split("</table>").next().unwrap();
                assert_eq!(chart.matches("<th scope=\"row\"").count(), rows, "{span}");
            }
        }
        let read = async |query: &str| live.gateway.admin("GET", &format!("/activity{query}"), None).await;
        for query in ["", "?span=week", &format!("?instance={}", live.instance)] {
            let said = read(query).await.expect(200).json();
            let sum: i64 = said["items"].as_array().unwrap().iter().map(|one| one["applied"].as_i64().unwrap()).sum();
            assert_eq!((sum, &said["complete"]), (1, &json!(true)), "{query}: {said}");
        }
        read("?span=year").await.expect(400);
        read("?instance=nonesuch").await.expect(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_is_compared_with_the_target() {
    for db in databases() {
        let live = Live::start_on(&db, json!({})).await;
        let browser = live.owner().await;
        let ada = live.member("ada@example.com", "Ada").await;
        let eve = live.user("eve@example.com", "Eve").await;
        live.quiet().await;
        let (page, act) = (live.page(&format!("/people/{ada}")), live.page(&format!("/people/{ada}/compare")));
        let runs = live.admin("GET", "/runs", None).await["items"].as_array().unwrap().len();
        live.control("/_sim/set", json!({"leave": "ada@example.com"})).await;
        let form = browser.get(&page).await.expect(200).form(&act);
        browser.submit(&form, &[]).await.expect(303);
        live.wait("the look", async || {
            let drift = live.admin("GET", "/drift", None).await;
            drift["items"].as_array().unwrap().iter().any(|one| one["class"] == "vanished")
        })
        .await;
        let seen = browser.get(&page).await.expect(200);
        assert!(seen.words().contains("lost the account there"), "{}", seen.words());
        // It is no comparison of the instance: neither in the list of them, nor does it put the next one off.
        assert_eq!(live.admin("GET", "/runs", None).await["items"].as_array().unwrap().len(), runs);
        let path = format!("/instances/{}/compare", live.instance);
        let compare = async |who: &str| live.gateway.admin("POST", &path, Some(json!({"resource": who}))).await;
        live.wait("the look to end", async || {
            compare("ada@example.com").await.expect(409).text().contains("No account of this person")
        })
        .await;
        assert!(compare(&eve).await.expect(409).text().contains("has not accepted yet"));
        compare("nobody").await.expect(404);
        // Nobody else was judged.
        let drift = live.admin("GET", "/drift", None).await;
        let others = drift["items"].as_array().unwrap().iter().filter(|one| one["class"] == "vanished").count();
        assert_eq!(others, 1, "{drift}");
        let (viewer, _, _) = live.gateway.member("Vera", "viewer").await;
        let csrf = viewer.csrf().await;
        viewer.post(&act, &[("csrf", &csrf)]).await.expect(403);
    }
}
