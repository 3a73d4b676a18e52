//! Signing in and out, and what a session is good for.

use std::time::Duration;

use gateway::config::Overrides;
use serde_json::json;
use tempfile::TempDir;

use crate::browser::{Browser, Gateway, TOKEN, escaped, taken};

const HOUR: Duration = Duration::from_secs(3_600);

fn session(browser: &Browser) -> (String, String) {
    let cookies = browser.cookies.lock().unwrap();
    let found = cookies.iter().find(|(name, _)| name.contains("scimgate") && !name.ends_with("theme"));
    found.map(|(name, value)| (name.clone(), value.clone())).unwrap()
}

#[tokio::test]
async fn one_signs_in_goes_where_one_was_going_and_signs_out() {
    let gateway = Gateway::start().await;
    let browser = gateway.browser();
    let sent = browser.get("/console/settings?x=1").await.expect(303);
    let to = sent.header("location").to_owned();
    assert_eq!(to, format!("/console/sign-in?next={}", escaped("/console/settings?x=1")));
    let form = browser.get(&to).await.expect(200).form("/console/sign-in");
    let inside = browser.submit(&form, &[("token", TOKEN)]).await.expect(303);
    assert_eq!(inside.header("location"), "/console/settings?x=1");
    let cookie = inside.header("set-cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(browser.is_in().await);

    let (name, value) = session(&browser);
    let form = browser.get("/console").await.form("/console/sign-out");
    let out = browser.submit(&form, &[]).await.expect(303);
    assert_eq!(out.header("location"), "/console/sign-in?ended=out");
    assert!(browser.cookies.lock().unwrap().is_empty());
    browser.cookies.lock().unwrap().insert(name, value);
    assert!(!browser.is_in().await, "the cookie of an ended session was kept by somebody");
}

#[tokio::test]
async fn wrong_tokens_are_refused_in_words_that_help() {
    let gateway = Gateway::furnished().await;
    let instances = gateway.admin("GET", "/instances", None).await.expect(200).json();
    let path = format!("/instances/{}/keys", instances["items"][0]["id"].as_str().unwrap());
    let key = gateway.admin("POST", &path, None).await.expect(201).json()["key"].as_str().unwrap().to_owned();
    let long = "x".repeat(10_000);
    for (token, words) in [
        ("", "Enter the admin token"),
        ("guess-7f3a", "That token was not accepted"),
        (long.as_str(), "That token was not accepted"),
        (key.as_str(), "That is the key of an instance"),
    ] {
        let reply = gateway.browser().post("/console/sign-in", &[("token", token)]).await.expect(422);
        assert!(reply.words().contains(words), "{}", reply.words());
        assert!(reply.text().contains("<title>Error: Sign in"));
        assert!(!reply.headers.contains_key("set-cookie"));
        assert!(token.is_empty() || !reply.text().contains(token), "what was entered is not sent back");
    }
}

#[tokio::test]
async fn over_https_the_cookie_is_bound_to_host_and_transport() {
    let settings = Overrides { public_url: Some("https://gw.example.com".to_owned()), ..Overrides::default() };
    let gateway = Gateway::configured(TempDir::new().unwrap(), settings).await;
    let browser = gateway.owner().await;
    assert_eq!(session(&browser).0, "__Host-scimgate");
    let again = gateway.browser().post("/console/sign-in", &[("token", TOKEN)]).await.expect(303);
    assert!(again.header("set-cookie").contains("; Secure"));
    assert!(browser.get("/console").await.header("strict-transport-security").starts_with("max-age="));
}

#[tokio::test]
async fn a_session_ends_unused_after_two_hours_and_anyway_after_twelve() {
    let gateway = Gateway::start().await;
    let (idle, busy, live) = (gateway.owner().await, gateway.owner().await, gateway.owner().await);
    for _ in 0..11 {
        gateway.clock.advance(HOUR);
        assert!(busy.is_in().await);
        let _ = live.send("GET", "/console", &[("x-live", "1")], String::new()).await;
    }
    assert!(!idle.is_in().await);
    assert!(!live.is_in().await, "a page that renews itself kept the session alive");
    gateway.clock.advance(HOUR);
    assert!(!busy.is_in().await);
    let lost = busy.post("/console/theme", &[("theme", "dark")]).await.expect(303);
    assert_eq!(lost.header("location"), "/console/sign-in?ended=1");
    assert!(busy.get(lost.header("location")).await.expect(200).words().contains("Your session has ended"));
}

#[tokio::test]
async fn a_session_ends_with_its_member_and_with_its_role() {
    let gateway = Gateway::start().await;
    let (browser, id, token) = gateway.member("Ada", "admin").await;
    assert!(browser.is_in().await);
    gateway.admin("PATCH", &format!("/members/{id}"), Some(json!({"role": "viewer"}))).await.expect(200);
    assert!(!browser.is_in().await, "the session had another role");
    browser.sign_in(&token).await;
    assert!(browser.get("/console").await.words().contains("Viewer"));
    gateway.admin("DELETE", &format!("/members/{id}"), None).await.expect(204);
    assert!(!browser.is_in().await);
    browser.post("/console/sign-in", &[("token", &token)]).await.expect(422);

    let (_, token) =
        gateway.token(json!({"name": "Grace", "role": "viewer", "expires_at": "2026-01-01T01:00:00Z"})).await;
    let browser = gateway.browser();
    browser.sign_in(&token).await;
    gateway.clock.advance(HOUR);
    assert!(!browser.is_in().await, "the token has expired");
}

#[tokio::test]
async fn sessions_of_the_first_token_end_with_it() {
    let gateway = Gateway::start().await;
    let before = session(&gateway.owner().await);
    let folder = taken(gateway);
    let same = Gateway::configured(folder, Overrides::default()).await;
    let browser = same.browser();
    browser.cookies.lock().unwrap().insert(before.0.clone(), before.1.clone());
    assert!(browser.is_in().await, "a restart ends no session");
    let other = Overrides { admin_token: Some("another-token".to_owned().into()), ..Overrides::default() };
    drop(browser);
    let gateway = Gateway::configured(taken(same), other).await;
    let browser = gateway.browser();
    browser.cookies.lock().unwrap().insert(before.0, before.1);
    assert!(!browser.is_in().await);
    browser.post("/console/sign-in", &[("token", TOKEN)]).await.expect(422);
    browser.sign_in("another-token").await;
}

#[tokio::test]
async fn a_session_opens_no_api_and_no_token_opens_a_page() {
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    let (_, text) = session(&browser);
    browser.get("/admin/v1/whoami").await.expect(401);
    for auth in [format!("Bearer {text}"), text.clone()] {
        gateway.admin_as(&auth, "GET", "/whoami", None).await.expect(401);
    }
    let fresh = gateway.browser();
    let header = format!("Bearer {TOKEN}");
    let sent = fresh.send("GET", "/console", &[("authorization", &header)], String::new()).await.expect(303);
    assert!(sent.header("location").starts_with("/console/sign-in"));
    for name in ["scimgate_plain_http", "__Host-scimgate"] {
        for value in [TOKEN, "", "x", &"0".repeat(43)] {
            fresh.cookies.lock().unwrap().insert(name.to_owned(), value.to_owned());
            assert!(!fresh.is_in().await, "{name}={value}");
        }
    }
}

#[tokio::test]
async fn a_form_of_another_site_or_session_changes_nothing() {
    let gateway = Gateway::start().await;
    let (browser, other) = (gateway.owner().await, gateway.owner().await);
    let (right, wrong) = (browser.csrf().await, other.csrf().await);
    assert_ne!(right, wrong);
    let fields = |csrf: &'static str| [("name", "Eve"), ("role", "owner"), ("csrf", csrf)];
    let to = "/console/settings/members";
    for csrf in ["", "0000"] {
        assert!(browser.post(to, &fields(csrf)).await.expect(403).words().contains("out of date"));
    }
    let full = |csrf: &str| format!("name=Eve&role=owner&lives=30&csrf={csrf}");
    browser.send("POST", to, &[], full(&wrong)).await.expect(403);
    browser.send("POST", to, &[], "name=Eve&role=owner".to_owned()).await.expect(403);
    for headers in [
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site")],
        [("origin", "https://evil.example")],
        [("origin", "http://127.0.0.1:9")],
        [("origin", "null")],
    ] {
        let reply = browser.send("POST", to, &headers, full(&right)).await.expect(403);
        assert!(reply.words().contains("another site"), "{headers:?}: {}", reply.words());
        let token = format!("token={TOKEN}");
        gateway.browser().send("POST", "/console/sign-in", &headers, token).await.expect(403);
    }
    let kind = [("content-type", "application/json")];
    browser.send("POST", to, &kind, json!({"csrf": right}).to_string()).await.expect(400);
    let members = gateway.admin("GET", "/members", None).await.expect(200).json();
    assert_eq!(members["items"], json!([]));

    let origin = [("origin", "http://127.0.0.1:8080")];
    browser.send("POST", to, &origin, full(&right)).await.expect(200);
}

#[tokio::test]
async fn a_link_of_another_site_does_not_ask_for_the_token_again() {
    let gateway = Gateway::start().await;
    let browser = gateway.browser();
    let reply = browser.send("GET", "/console/settings", &[("sec-fetch-site", "cross-site")], String::new()).await;
    let reply = reply.expect(200);
    assert!(reply.text().contains("http-equiv=\"refresh\" content=\"0;url=/console/settings\""), "{}", reply.text());
    browser.send("GET", "/console/settings", &[("sec-fetch-site", "same-origin")], String::new()).await.expect(303);
}

#[tokio::test]
async fn failed_attempts_wait_and_lock_nobody_out_who_cannot_have_guessed() {
    let gateway = Gateway::start().await;
    let (_, ours) = gateway.token(json!({"name": "Ada", "role": "viewer"})).await;
    let browser = gateway.browser();
    for _ in 0..5 {
        browser.post("/console/sign-in", &[("token", "guess")]).await.expect(422);
    }
    let wait = browser.post("/console/sign-in", &[("token", TOKEN)]).await.expect(429);
    assert!(wait.words().contains("Too many failed attempts. Wait 30 s"), "{}", wait.words());
    assert_eq!(wait.header("retry-after"), "30");
    gateway.browser().sign_in(&ours).await;
    for _ in 0..6 {
        browser.post("/console/sign-in", &[("token", "guess")]).await;
    }
    gateway.clock.advance(HOUR);
    browser.sign_in(TOKEN).await;
}
