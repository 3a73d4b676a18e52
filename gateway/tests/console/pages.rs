//! What holds of every page, whoever wrote it: the pages are found by following links.

use std::collections::{BTreeSet, VecDeque};

use serde_json::json;

use crate::browser::{Browser, Gateway, HOSTILE};
use crate::common::Reply;

/// The largest page.
const LARGEST: usize = 100_000;
/// Pages that one walk looks at.
const MOST: usize = 400;

fn check_headers(path: &str, reply: &Reply) {
    let policy = reply.header("content-security-policy");
    assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{path}: {policy}");
    for (name, value) in
        [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("referrer-policy", "same-origin")]
    {
        assert_eq!(reply.header(name), value, "{path}");
    }
    assert!(!reply.header("x-request-id").is_empty(), "{path}");
    if !path.contains("/assets/") {
        assert_eq!(reply.header("cache-control"), "no-store", "{path}");
    }
}

/// What every page has, and none.
fn check_page(path: &str, reply: &Reply) {
    check_headers(path, reply);
    let text = reply.text();
    assert!(text.len() < LARGEST, "{path}: {} bytes", text.len());
    assert!(text.starts_with("<!DOCTYPE html><html lang=\"en\""), "{path}");
    assert!(
        !text.contains(HOSTILE) && !text.contains("<img") && !text.contains('\u{202e}'),
        "{path}: markup of a name"
    );
    assert!(!text.contains("canary-secret"), "{path}: a secret");
    let tags = reply.tags();
    let count = |name: &str| tags.iter().filter(|tag| tag.name == name).count();
    assert_eq!((count("h1"), count("title"), count("main")), (1, 1, 1), "{path}");
    assert!(text.contains(" \u{b7} scimgate</title>"), "{path}");
    assert_eq!(count("style"), 0, "{path}: an inline style");
    let mut ids = BTreeSet::new();
    let mut level = 0;
    for tag in &tags {
        assert!(tag.name != "script" || tag.get("src").is_some(), "{path}: an inline script");
        for (name, value) in &tag.attributes {
            assert!(name != "style" && !name.starts_with("on"), "{path}: {tag:?}");
            assert!(!value.starts_with("javascript:"), "{path}: {tag:?}");
            if name == "id" {
                assert!(ids.insert(value.clone()), "{path}: two elements are called {value}");
            }
        }
        if let Some(found) = tag.name.strip_prefix('h').and_then(|n| n.parse::<u8>().ok()) {
            assert!(found <= level + 1, "{path}: h{found} after h{level}");
            level = found;
        }
        if tag.name == "table" {
            assert!(
                count("caption") >= count("table") && count("th") > 0,
                "{path}: a table without caption or headings"
            );
        }
        if tag.name == "form" {
            let action = tag.get("action").unwrap_or_default();
            assert!(action.starts_with("/console"), "{path}: {tag:?}");
            assert!(matches!(tag.get("method"), Some("post" | "get")), "{path}: {tag:?}");
        }
    }
    for tag in &tags {
        let label = matches!(tag.name.as_str(), "input" | "select" | "textarea")
            && !matches!(tag.get("type"), Some("hidden" | "submit"))
            && tag.get("aria-label").is_none();
        if label {
            let id = tag.get("id").unwrap_or_else(|| panic!("{path}: {tag:?} has no id"));
            let labelled = tags.iter().any(|one| one.name == "label" && one.get("for") == Some(id));
            assert!(labelled, "{path}: {tag:?} has no label");
        }
        if let Some(there) = tag.get("href").and_then(|to| to.strip_prefix('#')) {
            assert!(ids.contains(there), "{path}: nothing is called {there}");
        }
        for list in ["aria-describedby", "aria-labelledby"] {
            for id in tag.get(list).unwrap_or_default().split_whitespace() {
                assert!(ids.contains(id), "{path}: nothing is called {id}");
            }
        }
    }
    for form in reply.forms().iter().filter(|form| form.method == "post" && form.action != "/console/sign-in") {
        assert!(form.fields.iter().any(|(name, value)| name == "csrf" && !value.is_empty()), "{path}: {form:?}");
    }
}

/// Follows every link from Home on; the paths of the pages that were found.
async fn walk(browser: &Browser, each: impl Fn(&str, &Reply)) -> BTreeSet<String> {
    let mut seen: BTreeSet<String> = BTreeSet::from(["/console".to_owned()]);
    let mut ahead = VecDeque::from(["/console".to_owned()]);
    while let Some(path) = ahead.pop_front() {
        let reply = browser.get(&path).await;
        assert!(reply.status == 200 || reply.status == 303, "{path}: {} {}", reply.status, reply.words());
        check_headers(&path, &reply);
        if !reply.header("content-type").starts_with("text/html") {
            continue;
        }
        check_page(&path, &reply);
        each(&path, &reply);
        for link in reply.links() {
            let ours = link == "/console" || link.starts_with("/console/") || link.starts_with("/console?");
            if ours && seen.len() < MOST && seen.insert(link.clone()) {
                ahead.push_back(link);
            }
        }
    }
    assert!(seen.len() < MOST, "there is more than was looked at");
    seen
}

#[tokio::test]
async fn every_page_is_sound_for_an_owner() {
    let gateway = Gateway::furnished().await;
    gateway.token(json!({"name": "x <b>", "role": "admin"})).await;
    let pages = walk(&gateway.owner().await, |_, _| {}).await;
    for path in ["/console", "/console/settings", "/console/settings/members/new", "/console/audit"] {
        assert!(pages.contains(path), "{path} is linked from nowhere: {pages:?}");
    }
}

#[tokio::test]
async fn every_page_is_sound_for_a_viewer_and_holds_no_form_that_writes() {
    let gateway = Gateway::furnished().await;
    let (viewer, _, _) = gateway.member("Ada", "viewer").await;
    let pages = walk(&viewer, |path, reply| {
        for form in reply.forms().iter().filter(|form| form.method != "get") {
            let own = ["/console/theme", "/console/sign-out"].contains(&form.action.as_str());
            assert!(own, "{path}: {form:?}");
        }
    })
    .await;
    assert!(pages.len() > 3, "{pages:?}");
    // Whatever an Owner's forms are sent to refuses a Viewer.
    let owner = gateway.owner().await;
    let csrf = viewer.csrf().await;
    let forms = std::sync::Mutex::new(BTreeSet::new());
    walk(&owner, |_, reply| {
        let posts = reply.forms().into_iter().filter(|form| form.method == "post").map(|form| form.action);
        forms.lock().unwrap().extend(posts);
    })
    .await;
    let forms = forms.into_inner().unwrap();
    assert!(forms.len() > 2, "{forms:?}");
    for action in forms.iter().filter(|action| !["/console/theme", "/console/sign-out"].contains(&action.as_str())) {
        let reply = viewer.post(action, &[("csrf", &csrf)]).await.expect(403);
        assert!(reply.words().contains("You are signed in as Viewer"), "{action}: {}", reply.words());
        check_page(action, &reply);
    }
}

#[tokio::test]
async fn a_new_gateway_shows_how_to_begin() {
    let gateway = Gateway::start().await;
    let home = gateway.owner().await.get("/console").await.expect(200);
    check_page("/console", &home);
    assert!(home.words().contains("Create an instance") && home.words().contains("scimgate demo"));
    let (viewer, _, _) = gateway.member("Ada", "viewer").await;
    assert!(viewer.get("/console").await.words().contains("Admins here create instances"));
}

#[tokio::test]
async fn home_names_what_needs_somebody() {
    let gateway = Gateway::furnished().await;
    let browser = gateway.owner().await;
    let calm = browser.get("/console").await.expect(200).words();
    assert!(calm.contains("Nothing needs you") && calm.contains("Nobody who left waits"), "{calm}");
    let instances = gateway.admin("GET", "/overview", None).await.expect(200).json()["instances"].clone();
    assert_eq!((&instances[0]["pending"], &instances[0]["mode"]), (&json!(3), &json!("paused")));
}

#[tokio::test]
async fn what_is_not_there_is_a_page_too() {
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    for (path, status) in [
        ("/console/nonesuch", 404),
        ("/console/settings/members/nonesuch", 404),
        ("/console/%00", 404),
        ("/console/settings/members?before=x", 400),
        ("/console/theme", 405),
    ] {
        let reply = browser.get(path).await;
        assert_eq!(reply.status, status, "{path}");
        check_page(path, &reply);
        assert!(reply.words().contains("Reference"), "{path}");
    }
    check_page("sign-in", &gateway.browser().get("/console/sign-in").await.expect(200));
    let sent = gateway.browser().get("/console/nonesuch").await.expect(303);
    check_headers("303", &sent);
    let large = format!("csrf={}&x={}", browser.csrf().await, "y".repeat(5 << 20));
    check_page("413", &browser.send("POST", "/console/theme", &[], large).await.expect(413));
}

#[tokio::test]
async fn who_opens_the_gateways_address_in_a_browser_is_led_to_the_console() {
    let gateway = Gateway::start().await;
    let browser = gateway.browser();
    let led = browser.send("GET", "/", &[("accept", "text/html,*/*")], String::new()).await.expect(303);
    assert_eq!(led.header("location"), "/console");
    assert_eq!(browser.get("/console/").await.expect(303).header("location"), "/console");
    assert_eq!(browser.get("/").await.expect(404).header("content-type"), "application/problem+json");
}

#[tokio::test]
async fn files_are_kept_for_a_year_and_pages_never() {
    let gateway = Gateway::start().await;
    let browser = gateway.browser();
    let page = browser.get("/console/sign-in").await.expect(200);
    let mut files = 0;
    for tag in page.tags() {
        let Some(path) = tag.get("href").or(tag.get("src")).filter(|path| path.contains("/assets/")) else { continue };
        let reply = browser.get(path).await.expect(200);
        assert!(reply.header("cache-control").contains("immutable"), "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert!(reply.bytes.len() < 40_000, "{path}");
        let (before, file) = path.rsplit_once('/').unwrap();
        let (folder, _) = before.rsplit_once('/').unwrap();
        let older = browser.get(&format!("{folder}/000000000000/{file}")).await.expect(200);
        assert_eq!(older.header("cache-control"), "no-cache");
        files += 1;
    }
    assert_eq!(files, 3);
    browser.get("/console/assets/x/nonesuch.js").await.expect(404);
}

#[tokio::test]
async fn the_chosen_theme_is_in_the_page() {
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    assert!(!browser.get("/console").await.text().contains("data-theme"));
    let form = browser.get("/console/settings").await.form("/console/theme");
    let back = browser.submit(&form, &[("theme", "dark")]).await.expect(303);
    assert_eq!(back.header("location"), "/console/settings");
    assert!(browser.get("/console").await.text().contains("<html lang=\"en\" data-theme=\"dark\">"));
    browser.submit(&form, &[("theme", "system"), ("back", "//evil.example")]).await.expect(303);
    assert!(!browser.get("/console").await.text().contains("data-theme=\"dark\""));
}
