//! What once went wrong, a test each.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::{Browser, Gateway, TOKEN};
use crate::common::{Reply, USER, send};
use crate::live::Live;

async fn instance(gateway: &Gateway, mode: &str) -> String {
    let body = json!({"name": "Acme", "connector": "buildkite", "settings": {"org": "acme"}, "secrets": {"token": "canary-secret"}, "mode": mode});
    gateway.admin("POST", "/instances", Some(body)).await.expect(201).json()["id"].as_str().unwrap().to_owned()
}

/// Does something to the gateway's database behind its back.
async fn sql(folder: &TempDir, text: &str) {
    let path = folder.path().join("scimgate.db");
    assert!(path.exists(), "{}", path.display());
    let link = sea_orm::Database::connect(format!("sqlite://{}", path.display())).await.unwrap();
    link.execute_unprepared(text).await.unwrap();
    link.close().await.unwrap();
}

fn says(reply: &Reply, words: &str) {
    assert!(reply.words().contains(words), "{words:?} is not in: {}", reply.words());
}

#[tokio::test]
async fn a_draft_was_compared_and_was_none_afterwards() {
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    let id = instance(&gateway, "disabled").await;
    let act = format!("/console/instances/{id}/plan/compare");
    let page = browser.get(&format!("/console/instances/{id}/plan")).await.expect(200);
    assert!(page.forms().iter().all(|form| form.action != act), "a button that must not be pressed");
    let csrf = browser.csrf().await;
    browser.post(&act, &[("csrf", &csrf)]).await.expect(409);
    browser.post(&format!("/console/instances/{id}/runs"), &[("csrf", &csrf), ("kind", "import")]).await.expect(409);
    gateway.admin("POST", &format!("/instances/{id}/reconcile"), None).await.expect(409);
    let runs = gateway.admin("GET", &format!("/instances/{id}/runs"), None).await.expect(200).json();
    assert_eq!(runs["items"], json!([]));
    says(&browser.get(&format!("/console/instances/{id}")).await.expect(200), "This instance is being set up.");
}

#[tokio::test]
async fn the_form_of_a_stranger_was_read_to_its_end() {
    let gateway = Gateway::start().await;
    // It never ends, so an answer shows that nobody waited for it.
    let endless = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request = Request::post("/console/theme").header("content-type", "application/x-www-form-urlencoded");
    let reply = tokio::time::timeout(Duration::from_secs(20), send(&gateway.router, request.body(endless).unwrap()));
    assert_eq!(reply.await.unwrap().expect(303).header("location"), "/console/sign-in?ended=1");
    let browser = gateway.browser();
    browser.post("/console/sign-in", &[("token", TOKEN), ("next", &"x".repeat(20_000))]).await.expect(413);
    browser.sign_in(TOKEN).await;
}

/// An instance whose target is people, and its key.
async fn desk(live: &Live) -> (String, String) {
    let body = json!({"name": "Payroll", "connector": "manual", "settings": {"app": "Payroll", "assignee": "Office"}, "secrets": {}, "mode": "enabled"});
    let made = live.gateway.admin("POST", "/instances", Some(body)).await.expect(201).json();
    let id = made["id"].as_str().unwrap().to_owned();
    let key = live.gateway.admin("POST", &format!("/instances/{id}/keys"), None).await.expect(201).json();
    (id, format!("Bearer {}", key["key"].as_str().unwrap()))
}

async fn push(live: &Live, (id, key): &(String, String), name: &str) {
    let body = json!({"schemas": [USER], "userName": name, "displayName": "Ada", "emails": [{"value": name, "primary": true}]});
    let request = Request::post(format!("/i/{id}/scim/v2/Users")).header("authorization", key);
    send(&live.gateway.router, request.body(Body::from(body.to_string())).unwrap()).await.expect(201);
}

/// The page of the open task about somebody.
async fn task(live: &Live, browser: &Browser, about: &str) -> String {
    live.wait("a task", async || browser.get("/console/tasks").await.words().contains(about)).await;
    let links = browser.get("/console/tasks").await.links();
    for link in links.iter().filter(|link| link.starts_with("/console/tasks/")) {
        if browser.get(link).await.expect(200).words().contains(about) {
            return link.clone();
        }
    }
    panic!("no task about {about}: {links:?}");
}

#[tokio::test]
async fn tasks_for_people_had_no_page() {
    let live = Live::start(json!({})).await;
    let browser = live.owner().await;
    let tasks = "/console/tasks".to_owned();
    assert!(!browser.get("/console").await.expect(200).links().contains(&tasks), "nobody does anything by hand");
    let to = desk(&live).await;
    says(&browser.get(&tasks).await.expect(200), "No task is here");
    push(&live, &to, "ada@example.com").await;
    let path = task(&live, &browser, "ada@example.com").await;
    assert!(browser.get("/console").await.expect(200).links().contains(&tasks));
    let page = browser.get(&path).await.expect(200);
    says(&page, "Office");
    let (viewer, _, _) = live.gateway.member("Vera", "viewer").await;
    assert!(viewer.get(&path).await.expect(200).forms().iter().all(|form| !form.action.contains("/tasks/")));

    // Whose turn it is, on the page of the person.
    let person = page.links().into_iter().find(|link| link.contains("/people/")).unwrap();
    says(&browser.get(&person).await.expect(200), "Whose turn: whoever does the task");

    // Overdue, it is on Home, which leads to it.
    sql(&live.gateway.folder, "UPDATE task SET due_at = 1").await;
    let home = browser.get("/console").await.expect(200);
    says(&home, "1 task is overdue");
    says(&home, "Turn of: whoever does the task");
    let way = home.links().into_iter().find(|link| link.starts_with("/console/tasks?")).unwrap();
    assert!(browser.get(&way).await.expect(200).links().contains(&path), "{way}");

    let refuse = page.form(&format!("{path}/refuse"));
    says(&browser.submit(&refuse, &[]).await.expect(422), "whoever asked has to know why");
    let done = page.form(&format!("{path}/done"));
    browser.submit(&done, &[("account_id", "17"), ("done_comment", "seat 17")]).await.expect(303);
    let closed = browser.get(&path).await.expect(200);
    for words in ["Done", "seat 17", "17"] {
        says(&closed, words);
    }
    says(&browser.submit(&done, &[]).await.expect(422), "Nothing was changed by this.");

    push(&live, &to, "bob@example.com").await;
    let path = task(&live, &browser, "bob@example.com").await;
    let refuse = browser.get(&path).await.form(&format!("{path}/refuse"));
    browser.submit(&refuse, &[("refuse_comment", "no licence left")]).await.expect(303);
    let refused = browser.get("/console/tasks?state=refused").await.expect(200);
    assert!(refused.links().contains(&path), "{:?}", refused.links());
    says(&browser.get("/console/audit").await.expect(200), "task");

    // Accounts that are there already.
    let enter = format!("/console/instances/{}/accounts", to.0);
    let form = browser.get(&enter).await.expect(200).form(&enter);
    let wrong = browser.submit(&form, &[("accounts", "eve@example.com\n; 5")]).await.expect(422);
    says(&wrong, "entry 2: user name");
    let entered = browser.submit(&form, &[("accounts", "eve@example.com; 5; ; Eve\n\nmax@example.com")]).await;
    says(&browser.get(entered.expect(303).header("location")).await.expect(200), "2 accounts are new on record");
    browser.get(&live.page("/accounts")).await.expect(404);
}

#[tokio::test]
async fn who_was_deleted_and_keeps_access_was_in_no_list() {
    let live = Live::start(json!({})).await;
    let browser = live.owner().await;
    let id = live.member("leaver@example.com", "Lea").await;
    live.admin("PATCH", "", Some(json!({"mode": "paused"}))).await;
    live.scim("DELETE", &format!("/Users/{id}"), Value::Null).await.expect(204);
    for state in ["leaving", "pending"] {
        let list = browser.get(&live.page(&format!("/people?state={state}"))).await.expect(200);
        says(&list, "leaver@example.com");
        says(&list, "No, removed");
        assert!(list.links().contains(&live.page(&format!("/people/{id}"))), "{:?}", list.links());
    }
    let all = browser.get(&live.page("/people")).await.expect(200);
    assert!(!all.words().contains("leaver@example.com"), "{}", all.words());
}

#[tokio::test]
async fn a_form_that_was_overtaken_was_saved_when_sent_once_more() {
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    let id = instance(&gateway, "disabled").await;
    let root = format!("/console/instances/{id}");
    let forms = [
        (format!("{root}/settings"), format!("{root}/settings/connection"), ("name", "Mine")),
        (format!("{root}/settings"), format!("{root}/settings/policy"), ("policy.repair", "none")),
        (format!("{root}/setup/policy"), format!("{root}/setup/policy"), ("policy.repair", "none")),
    ];
    for (page, act, field) in forms {
        let form = browser.get(&page).await.expect(200).form(&act);
        let theirs = json!({"name": "Theirs", "policy": {"reconcile_every_hours": 7}});
        gateway.admin("PATCH", &format!("/instances/{id}"), Some(theirs)).await.expect(200);
        let stale = browser.submit(&form, &[field]).await.expect(422);
        says(&stale, "Somebody else changed this instance");
        says(&stale, "As it is stored now");
        let again = stale.form(&act);
        says(&browser.submit(&again, &[field]).await.expect(422), "Somebody else changed this instance");
        let kept = gateway.admin("GET", &format!("/instances/{id}"), None).await.json();
        assert_eq!((&kept["name"], &kept["policy"]["reconcile_every_hours"]), (&json!("Theirs"), &json!(7)), "{act}");
        let fresh = browser.get(&page).await.expect(200).form(&act);
        browser.submit(&fresh, &[field]).await.expect(303);
    }
    let review = format!("{root}/setup/review");
    let form = browser.get(&review).await.expect(200).form(&review);
    gateway.admin("PATCH", &format!("/instances/{id}"), Some(json!({"name": "Other"}))).await.expect(200);
    says(&browser.submit(&form, &[]).await.expect(422), "Somebody else changed this instance");
    assert_eq!(gateway.admin("GET", &format!("/instances/{id}"), None).await.json()["mode"], "disabled");
}

#[tokio::test]
async fn no_page_was_shown_where_the_use_of_a_session_could_not_be_written() {
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    let trigger = "CREATE TRIGGER full BEFORE UPDATE ON console_session BEGIN SELECT RAISE(ABORT, 'no space'); END";
    sql(&gateway.folder, trigger).await;
    gateway.clock.advance(Duration::from_secs(600));
    browser.get("/console").await.expect(200);
}

#[tokio::test]
async fn a_credential_that_was_never_asked_about_was_shown_as_good() {
    let live = Live::start(json!({})).await;
    let browser = live.owner().await;
    let page = live.page("/probe");
    let good = "The credential works";
    browser.submit(&browser.get(&page).await.expect(200).form(&page), &[]).await.expect(303);
    says(&browser.get(&page).await.expect(200), good);
    live.admin("PATCH", "", Some(json!({"name": "Another name"}))).await;
    says(&browser.get(&page).await.expect(200), good);
    // As another replica changes it: this process hears of the new revision only.
    sql(&live.gateway.folder, "UPDATE instance SET config_rev = config_rev + 1").await;
    live.wait("the change to be seen", async || browser.get(&page).await.words().contains("Not checked yet")).await;
    assert!(browser.get(&page).await.forms().iter().any(|form| form.action == page), "it can be asked again");
    let setup = browser.get(&live.page("/setup/check")).await.expect(200);
    says(&setup, "Continue without a check");
}

#[tokio::test]
async fn any_refusal_to_enable_was_told_as_a_changed_plan() {
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    let id = instance(&gateway, "rehearse").await;
    let plan = format!("/console/instances/{id}/plan");
    // The page draws the form with a plan; whoever sends it may have had one.
    let mut form = browser.get(&plan).await.expect(200).form(&format!("{plan}/compare"));
    form.action = format!("{plan}/enable");
    let other = "the plan is another one than you read";
    says(&browser.submit(&form, &[("digest", "0000")]).await.expect(422), other);
    let none = browser.submit(&form, &[("digest", "")]).await.expect(422);
    assert!(!none.words().contains(other), "{}", none.words());
    says(&none, "The instance has been rehearsing");
}

#[tokio::test]
async fn a_setup_that_was_sent_twice_made_two_instances() {
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    let page = browser.get("/console/instances/new?connector=buildkite").await.expect(200);
    let form = page.form("/console/instances/new");
    let fill = [("name", "Acme"), ("settings.org", "acme"), ("settings.token", "canary-secret")];
    let (first, second) = tokio::join!(browser.submit(&form, &fill), browser.submit(&form, &fill));
    let third = browser.submit(&form, &fill).await;
    let to = first.expect(303).header("location").to_owned();
    assert_eq!((second.expect(303).header("location"), third.expect(303).header("location")), (&*to, &*to));
    let all = gateway.admin("GET", "/instances", None).await.expect(200).json();
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_nul_in_an_address_or_a_form_was_trouble_of_the_database() {
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    let id = instance(&gateway, "paused").await;
    for path in [
        "/console/instances/in%00".to_owned(),
        "/console/holds/h_%00".to_owned(),
        "/console/tasks/t_%00".to_owned(),
        format!("/console/instances/{id}/people/a%00b"),
        "/console/search?q=a%00b".to_owned(),
    ] {
        browser.get(&path).await.expect(404);
    }
    for path in ["/instances/in%00", "/operations/op%00", "/operations?key=%00"] {
        assert!(gateway.admin("GET", path, None).await.status.is_client_error(), "{path}");
    }
    let form = browser.get("/console/settings/members/new").await.expect(200).form("/console/settings/members");
    browser.submit(&form, &[("name", "Ad\0a"), ("role", "viewer"), ("lives", "30")]).await.expect(200);
    assert_eq!(gateway.admin("GET", "/members", None).await.json()["items"][0]["name"], "Ada");
}

#[tokio::test]
async fn what_only_owners_may_was_never_tried_as_an_admin() {
    let gateway = Gateway::start().await;
    let id = instance(&gateway, "paused").await;
    let (victim, _) = gateway.token(json!({"name": "Vic", "role": "viewer"})).await;
    let (admin, _, _) = gateway.member("Bob", "admin").await;
    let csrf = admin.csrf().await;
    let members = "/console/settings/members";
    for (path, field, value) in [
        (members.to_owned(), "name", "Eve"),
        (format!("{members}/{victim}"), "role", "owner"),
        (format!("{members}/{victim}/remove"), "again", "Vic"),
        (format!("/console/instances/{id}/delete"), "again", "Acme"),
    ] {
        admin.post(&path, &[("csrf", &csrf), (field, value), ("role", "owner"), ("lives", "30")]).await.expect(403);
    }
    let all = gateway.admin("GET", "/members", None).await.expect(200).json();
    let names: Vec<&str> = all["items"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["Bob", "Vic"]);
    assert!(all["items"].as_array().unwrap().iter().all(|one| one["role"] != "owner"), "{all}");
    gateway.admin("GET", &format!("/instances/{id}"), None).await.expect(200);

    let (viewer, _, _) = gateway.member("Vera", "viewer").await;
    for path in [
        "/console/audit/export.ndjson".to_owned(),
        "/console/operations/export.ndjson".to_owned(),
        format!("/console/instances/{id}/operations/export.ndjson"),
        "/console/holds/h_none/list.csv".to_owned(),
    ] {
        viewer.get(&path).await.expect(403);
    }
}

#[tokio::test]
async fn a_key_that_was_rotated_just_now_was_to_end_since_thirteen_days() {
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    let id = instance(&gateway, "paused").await;
    let path = format!("/instances/{id}/keys");
    let made = gateway.admin("POST", &path, Some(json!({"name": "Okta"}))).await.expect(201).json();
    let old = made["id"].as_str().unwrap();
    sql(&gateway.folder, &format!("UPDATE api_key SET last_used_at = created_at WHERE key_id = '{old}'")).await;
    let overlap = Some(json!({"overlap_seconds": 86_400}));
    gateway.admin("POST", &format!("{path}/{old}/rotate"), overlap).await.expect(201);
    let home = browser.get("/console").await.expect(200).words();
    let told = home.split_once("Ends soon").map_or("", |(_, rest)| rest);
    assert!(told.contains("until") && told.contains("in 2") && !told.contains("days ago"), "{home}");
    let item = gateway.admin("GET", "/attention", None).await.expect(200).json()["items"][0].clone();
    assert_eq!(item["kind"], "key", "{item}");
    assert!(item["age_seconds"].as_i64().is_some_and(|age| age < 600), "{item}");
}

#[tokio::test]
async fn a_second_instance_of_one_name_left_commands_without_either() {
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    let first = instance(&gateway, "paused").await;
    let form = browser.get("/console/instances/new?connector=buildkite").await.form("/console/instances/new");
    let fill = [("name", "Acme"), ("settings.org", "acme"), ("settings.token", "canary-secret")];
    let refused = browser.submit(&form, &fill).await.expect(422);
    says(&refused, &format!("is the name of another instance ({first}) already"));
    assert!(refused.text().contains("href=\"#f-name\""));
    browser.submit(&form, &[("name", "Acme 2"), fill[1], fill[2]]).await.expect(303);
    let path = format!("/console/instances/{first}/settings");
    let form = browser.get(&path).await.expect(200).form(&format!("{path}/connection"));
    says(&browser.submit(&form, &[("name", "Acme 2")]).await.expect(422), "is the name of another instance");
    browser.submit(&form, &[("name", "Acme 3")]).await.expect(303);
    // Of one that is deleted the name is free.
    gateway.admin("DELETE", &format!("/instances/{first}?force=true"), None).await;
    let form = browser.get("/console/instances/new?connector=buildkite").await.form("/console/instances/new");
    browser.submit(&form, &[("name", "Acme 3"), fill[1], fill[2]]).await.expect(303);
}

#[tokio::test]
async fn the_steps_of_a_provider_were_on_a_page_without_the_new_key() {
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    let id = instance(&gateway, "paused").await;
    let page = format!("/console/instances/{id}/connect");
    let chosen = browser.get(&format!("{page}?idp=okta")).await.expect(200);
    assert_eq!(chosen.text().matches("value=\"okta\" selected").count(), 2, "in the form of the key, too");
    let form = chosen.form(&page);
    let made = browser.submit(&form, &[("guide", "entra")]).await.expect(200);
    let text = made.text();
    let key = text.split("id=\"secret\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap().trim().to_owned();
    assert!(key.starts_with("scg_"), "{key}");
    says(&made, "Secret Token");
    assert!(text.matches(&key).count() > 2, "the steps lack the key: {}", made.words());
    assert!(!made.words().contains("Show the steps"), "a choice that loses the key: {}", made.words());
    assert!(!browser.get(&format!("{page}?idp=entra")).await.expect(200).text().contains(&key));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_that_was_accepted_was_told_as_an_account_that_is_gone() {
    let live = Live::start(json!({})).await;
    let browser = live.owner().await;
    let ada = live.member("ada@example.com", "Ada").await;
    let texts = async || {
        let why = live.admin("GET", &format!("/why?resource={ada}"), None).await;
        let chain: Vec<String> =
            why["chain"].as_array().unwrap().iter().map(|one| one["text"].as_str().unwrap().to_owned()).collect();
        chain
    };
    let told = texts().await;
    assert_eq!(told.iter().filter(|text| text.contains("The invitation was accepted")).count(), 1, "{told:?}");
    assert!(!told.iter().any(|text| text.contains("gone") || text.contains("No longer tied")), "{told:?}");
    live.active(&ada, false).await;
    live.quiet().await;
    let told = texts().await;
    assert!(told.iter().any(|text| text == "The account is gone from the target."), "{told:?}");
    let page = browser.get(&live.page(&format!("/people/{ada}"))).await.expect(200);
    let seen = page.words();
    let seen = seen.split_once("Account last seen").map_or("", |(_, rest)| rest).trim_start();
    assert!(!seen.starts_with("not yet") && !seen.is_empty(), "{seen}");
    assert!(!page.words().contains("The target has it so"), "{}", page.words());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_below_a_doubled_address_looked_right_among_the_refused() {
    let live = Live::start(json!({})).await;
    let browser = live.owner().await;
    live.scim("GET", "/scim/v2/Users?filter=canary", Value::Null).await.expect(404);
    let path = live.page("/rejected");
    let whole = format!("GET /i/{}/scim/v2/scim/v2/Users", live.instance);
    live.wait("the refusal", async || browser.get(&path).await.words().contains("404")).await;
    let page = browser.get(&path).await.expect(200).words();
    assert!(page.contains(&whole) && !page.contains("canary"), "{page}");
}
