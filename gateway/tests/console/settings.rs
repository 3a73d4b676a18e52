//! What is set once and stands: who is told of alerts, what is declared of schemas, who is told of changes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::post;
use http::StatusCode;
use serde_json::{Value, json};

use crate::browser::{Browser, Form, Gateway, HOSTILE};
use crate::common::{Reply, USER, databases, send};
use crate::live::Live;

const ALERTS: &str = "/console/settings/alerts";

#[track_caller]
fn says(page: &Reply, words: &[&str]) {
    let said = page.words();
    for word in words {
        assert!(said.contains(word), "{word} is not in: {said}");
    }
}

/// A form without what stands in one of its fields: boxes that were ticked are not any more.
fn without(form: &Form, field: &str) -> Form {
    let mut form = form.clone();
    form.fields.retain(|(name, _)| name != field);
    form
}

/// What a Viewer sees there: the page, and no form that is sent below it.
async fn seen_by_a_viewer(browser: &Browser, page: &str, forms: &[&str]) {
    let reply = browser.get(page).await.expect(200);
    assert!(reply.forms().iter().all(|form| !form.action.starts_with(page)), "{:?}", reply.forms());
    let csrf = browser.csrf().await;
    for form in forms {
        browser.post(form, &[("csrf", &csrf)]).await.expect(403);
    }
}

/// An instance that calls nobody, with its key.
async fn instance(gateway: &Gateway) -> (String, String) {
    let body = json!({"name": "Acme", "connector": "buildkite", "settings": {"org": "acme"}, "secrets": {"token": "canary-secret"}, "mode": "paused"});
    let made = gateway.admin("POST", "/instances", Some(body)).await.expect(201).json();
    let id = made["id"].as_str().unwrap().to_owned();
    let key = gateway.admin("POST", &format!("/instances/{id}/keys"), Some(json!({}))).await.expect(201).json();
    (id, format!("Bearer {}", key["key"].as_str().unwrap()))
}

async fn push(gateway: &Gateway, (id, key): &(String, String), body: Value) -> Reply {
    let request = http::Request::builder().method("POST").uri(format!("/i/{id}/scim/v2/Users"));
    let request = request.header("authorization", key).body(axum::body::Body::from(body.to_string())).unwrap();
    send(&gateway.router, request).await
}

#[tokio::test]
async fn a_webhook_is_added_tested_and_removed_by_the_pages() {
    for db in databases() {
        let gateway = Gateway::on(&db).await;
        let browser = gateway.owner().await;
        assert!(browser.get("/console/settings").await.expect(200).links().contains(&ALERTS.to_owned()));
        says(&browser.get(ALERTS).await.expect(200), &["Nobody is told", "Add the first webhook"]);
        let new = format!("{ALERTS}/new");
        let form = browser.get(&new).await.expect(200).form(&new);
        assert_eq!(form.fields.iter().filter(|(name, _)| name == "events").count(), 8, "all are ticked");
        let url = "https://hooks.example.com/scimgate";
        let nowhere = browser.submit(&form, &[("url", "hooks.example.com")]).await.expect(422);
        assert!(nowhere.text().contains("href=\"#f-url\""), "{}", nowhere.text());
        let nothing = browser.submit(&without(&form, "events"), &[("url", url)]).await.expect(422);
        assert!(nothing.text().contains("href=\"#f-events\"") && nothing.text().contains(url), "{}", nothing.text());

        let few = without(&form, "events");
        let few = [("url", url), ("events", "hold.opened"), ("events", "credential.dead")].into_iter().fold(
            few,
            |mut form, (name, value)| {
                form.fields.retain(|(field, _)| field != name || name == "events");
                form.fields.push((name.to_owned(), value.to_owned()));
                form
            },
        );
        let made = browser.submit(&few, &[]).await.expect(200);
        let at = made.text().find("whsec_").unwrap();
        let secret = made.text()[at..].split('<').next().unwrap().to_owned();
        // Sent again, as a reload does: no second one, and no secret.
        let again = browser.submit(&few, &[]).await.expect(422);
        assert!(!again.text().contains("whsec_"), "{}", again.text());
        let all = gateway.admin("GET", "/alert-webhooks", None).await.expect(200).json()["items"].clone();
        assert_eq!(all.as_array().unwrap().len(), 1, "{all}");
        assert_eq!(all[0]["events"], json!(["credential.dead", "hold.opened"]));

        let list = browser.get(ALERTS).await.expect(200);
        says(&list, &[url, "Not used yet", "2 of 8 kinds"]);
        let page = format!("{ALERTS}/{}", all[0]["id"].as_str().unwrap());
        assert!(list.links().contains(&page), "{:?}", list.links());
        let shown = browser.get(&page).await.expect(200);
        says(&shown, &["A hold was opened", "The target refuses the credential", "hold.opened"]);
        assert!(!shown.text().contains(&secret) && !list.text().contains(&secret));
        let test = browser.submit(&shown.form(&format!("{page}/test")), &[]).await.expect(303);
        says(&browser.get(test.header("location")).await.expect(200), &["A test message is on its way", "On its way"]);

        let (viewer, _, _) = gateway.member("Vera", "viewer").await;
        let acts = [new.as_str(), &format!("{page}/test"), &format!("{page}/remove")];
        seen_by_a_viewer(&viewer, &page, &acts).await;
        viewer.get(&new).await.expect(403);

        let remove = format!("{page}/remove");
        let asked = browser.get(&remove).await.expect(200);
        says(&asked, &["is told of nothing from now on", "1 message that waits for it is thrown away", "the only one"]);
        let gone = browser.submit(&asked.form(&remove), &[]).await.expect(303);
        says(&browser.get(gone.header("location")).await.expect(200), &["The webhook is removed.", "Nobody is told"]);
        browser.get(&page).await.expect(404);
        browser.submit(&asked.form(&remove), &[]).await.expect(303);
        let audit = browser.get("/console/audit").await.expect(200);
        says(&audit, &["Added an alert webhook", "Tested an alert webhook", "Removed an alert webhook"]);
        assert!(!audit.text().contains(&secret));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_whose_receiver_is_gone_says_so_and_is_switched_on_by_a_test() {
    let live = Live::start(json!({})).await;
    let browser = live.owner().await;
    let answers = Arc::new(Mutex::new(VecDeque::from([503, 410])));
    let queue = Arc::clone(&answers);
    let receive =
        post(move || async move { StatusCode::from_u16(queue.lock().unwrap().pop_front().unwrap_or(204)).unwrap() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/hook", receive)).await });
    let made = live.gateway.admin("POST", "/alert-webhooks", Some(json!({"url": url}))).await.expect(201).json();
    let page = format!("{ALERTS}/{}", made["id"].as_str().unwrap());
    for words in [
        ["Does not arrive", "The last message was not taken"],
        ["Switched off", "It is switched off"],
        ["Arrives", "Last delivered"],
    ] {
        let form = browser.get(&page).await.expect(200).form(&format!("{page}/test"));
        browser.submit(&form, &[]).await.expect(303);
        live.wait(words[0], async || browser.get(&page).await.words().contains(words[0])).await;
        says(&browser.get(&page).await, &words);
    }
}

#[tokio::test]
async fn declarations_are_seen_changed_and_removed_by_the_page() {
    for db in databases() {
        let gateway = Gateway::on(&db).await;
        let browser = gateway.owner().await;
        let acme = instance(&gateway).await;
        let root = format!("/console/instances/{}/settings", acme.0);
        let page = format!("{root}/schemas");
        let overview = browser.get(&root).await.expect(200);
        says(&overview, &["this instance declares nothing"]);
        assert!(overview.links().contains(&page), "{:?}", overview.links());
        let first = browser.get(&page).await.expect(200);
        says(&first, &["Nothing is declared"]);
        let form = first.form(&page);
        let declared =
            async || gateway.admin("GET", &format!("/instances/{}", acme.0), None).await.json()["schema"].clone();
        for (wrong, words) in [
            ("{", "line 1"),
            ("[]", "must be an object"),
            (r#"{"nonsense": []}"#, "nonsense"),
            (
                r#"{"attributes": [{"resource_type": "User", "schema": "core", "name": "badge", "type": "strong"}]}"#,
                "attributes[0].type",
            ),
        ] {
            let refused = browser.submit(&form, &[("schema", wrong)]).await.expect(422);
            assert!(refused.text().contains("href=\"#f-schema\""), "{}", refused.text());
            says(&refused, &[words]);
        }
        assert_eq!(declared().await, json!({}));

        let badge =
            r#"{"resource_type": "User", "schema": "core", "name": "badge", "type": "string", "uniqueness": "server"}"#;
        let device = r#"{"name": "Device", "endpoint": "Devices", "schema": {"id": "urn:example:Device", "name": "Device", "attributes": [{"name": "serial", "type": "string"}]}}"#;
        let both = format!(r#"{{"schema": {{"attributes": [{badge}], "resource_types": [{device}]}}}}"#);
        let saved = browser.submit(&form, &[("schema", &both)]).await.expect(303);
        let shown = browser.get(saved.header("location")).await.expect(200);
        says(&shown, &["Saved: 1 attribute, 1 resource type.", "badge", "uniqueness server", "/ Devices"]);
        // What somebody else changed meanwhile is not written over.
        let late = browser.submit(&form, &[("schema", "{}")]).await.expect(422);
        says(&late, &["Somebody else changed this instance"]);

        let ada = json!({"schemas": [USER], "userName": "ada@example.com", "badge": "b-7"});
        push(&gateway, &acme, ada).await.expect(201);
        let form = browser.get(&page).await.form(&page);
        let number = format!(r#"{{"attributes": [{}]}}"#, badge.replace("\"string\"", "\"integer\""));
        let unfit = browser.submit(&form, &[("schema", &number)]).await.expect(422);
        assert!(unfit.text().contains("href=\"#f-schema\""), "{}", unfit.text());
        let one = format!(r#"{{"attributes": [{badge}]}}"#);
        browser.submit(&form, &[("schema", &one)]).await.expect(303);
        assert!(declared().await.get("resource_types").is_none(), "what is left out is taken away");

        let (viewer, _, _) = gateway.member("Vera", "viewer").await;
        let remove = format!("{page}/remove");
        seen_by_a_viewer(&viewer, &page, &[&page, &remove]).await;
        says(&viewer.get(&page).await, &["badge", "As JSON"]);
        viewer.get(&remove).await.expect(403);

        let asked = browser.get(&remove).await.expect(200);
        says(&asked, &["This instance declares 1 attribute.", "stay stored, and are no longer shown"]);
        let gone = browser.submit(&asked.form(&remove), &[]).await.expect(303);
        says(&browser.get(gone.header("location")).await, &["The declarations are removed.", "Nothing is declared"]);
        assert_eq!(declared().await, json!({}));
        browser.get(&remove).await.expect(303);
        says(&browser.get("/console/audit").await, &["Changed an instance"]);
    }
}

#[tokio::test]
async fn a_stream_is_added_changed_paused_and_removed_by_the_pages() {
    for db in databases() {
        let gateway = Gateway::on(&db).await;
        let browser = gateway.owner().await;
        let acme = instance(&gateway).await;
        let root = format!("/console/instances/{}/settings", acme.0);
        let streams = format!("{root}/streams");
        says(&browser.get(&root).await.expect(200), &["it has no event stream"]);
        says(&browser.get(&streams).await.expect(200), &["Nobody is told", "Add the first stream"]);
        let new = format!("{streams}/new");
        let form = browser.get(&new).await.expect(200).form(&new);
        for (fill, field) in [
            (vec![("name", ""), ("delivery", "poll")], "f-name"),
            (vec![("name", "SIEM"), ("delivery", "push")], "f-endpoint-url"),
            (vec![("name", "SIEM"), ("delivery", "poll"), ("authorization", "Bearer canary")], "f-authorization"),
        ] {
            let refused = browser.submit(&form, &fill).await.expect(422);
            assert!(refused.text().contains(&format!("href=\"#{field}\"")), "{field}: {}", refused.text());
            assert!(!refused.text().contains("canary"));
        }
        let nothing = browser.submit(&without(&form, "events"), &[("name", "SIEM")]).await.expect(422);
        assert!(nothing.text().contains("href=\"#f-events\""), "{}", nothing.text());

        let fill = [
            ("name", HOSTILE),
            ("delivery", "push"),
            ("endpoint_url", "https://siem.example.com/in"),
            ("authorization", "Bearer canary"),
        ];
        let made = browser.submit(&form, &fill).await.expect(303);
        let page = made.header("location").to_owned();
        browser.submit(&form, &fill).await.expect(422);
        assert_eq!(browser.get(&streams).await.links().iter().filter(|link| **link == page).count(), 1);
        let shown = browser.get(&page).await.expect(200);
        says(
            &shown,
            &["Push: scimgate sends", "Nothing taken yet", "with an authorization", "which attributes changed"],
        );
        assert!(!shown.text().contains("canary") && !shown.text().contains(HOSTILE));

        // Another address asks for the authorization again, or whoever changes it would learn it.
        let change = format!("{page}/change");
        let edit = browser.get(&change).await.expect(200).form(&change);
        let elsewhere = [("endpoint_url", "https://other.example.com/in")];
        let refused = browser.submit(&edit, &elsewhere).await.expect(422);
        assert!(refused.text().contains("href=\"#f-authorization\""), "{}", refused.text());
        browser.submit(&edit, &[("name", "SIEM"), ("payload", "full")]).await.expect(303);
        let id = page.rsplit('/').next().unwrap().to_owned();
        let stands =
            async || gateway.admin("GET", &format!("/instances/{}/event-streams/{id}", acme.0), None).await.json();
        let now = stands().await;
        assert_eq!(
            (&now["name"], &now["payload"], &now["has_authorization"]),
            (&json!("SIEM"), &json!("full"), &json!(true))
        );
        assert_eq!(now["endpoint_url"], "https://siem.example.com/in");
        browser.submit(&edit, &[("name", "SIEM"), ("payload", "full"), ("forget", "1")]).await.expect(303);
        assert_eq!(stands().await["has_authorization"], false);

        let ada = json!({"schemas": [USER], "userName": "ada@example.com"});
        push(&gateway, &acme, ada).await.expect(201);
        let pause = browser.get(&page).await.form(&page);
        browser.submit(&pause, &[]).await.expect(303);
        says(&browser.get(&page).await, &["It is paused.", "1 event waits now"]);
        assert_eq!(stands().await["paused"], true);
        let resume = browser.get(&page).await.form(&page);
        assert!(resume.fields.contains(&("pause".to_owned(), "no".to_owned())), "{resume:?}");
        browser.submit(&resume, &[]).await.expect(303);
        assert_eq!(stands().await["paused"], false);
        let test = format!("{page}/test");
        let tested = browser.submit(&browser.get(&page).await.form(&test), &[]).await.expect(303);
        says(&browser.get(tested.header("location")).await, &["A test event"]);

        let (viewer, _, _) = gateway.member("Vera", "viewer").await;
        let remove = format!("{page}/remove");
        seen_by_a_viewer(&viewer, &page, &[&new, &page, &change, &test, &remove]).await;
        for path in [&new, &change, &remove] {
            viewer.get(path).await.expect(403);
        }

        let asked = browser.get(&remove).await.expect(200);
        says(&asked, &["Remove the stream SIEM?", "2 events that wait are thrown away", "the only one"]);
        browser.submit(&asked.form(&remove), &[]).await.expect(303);
        says(&browser.get(&streams).await, &["The stream is removed.", "Nobody is told"]);
        let audit = browser.get("/console/audit").await;
        says(
            &audit,
            &["Added an event stream", "Changed an event stream", "Tested an event stream", "Removed an event stream"],
        );

        // A poll has its address, and asks for none.
        let form = browser.get(&new).await.form(&new);
        let made = browser.submit(&form, &[("name", "Poller"), ("delivery", "poll")]).await.expect(303);
        let poll = browser.get(made.header("location")).await.expect(200);
        says(&poll, &["Poll: the receiver asks", "/Events/es_", "Created, Changed"]);
        let change = format!("{}/change", made.header("location"));
        let edit = browser.get(&change).await.expect(200);
        assert!(!edit.text().contains("f-endpoint-url"), "{}", edit.text());
        browser.submit(&edit.form(&change), &[("name", "Poller 2")]).await.expect(303);
    }
}

#[tokio::test]
async fn how_requests_are_understood_is_set_by_the_page() {
    let gateway = Gateway::furnished().await;
    let browser = gateway.owner().await;
    let all = gateway.admin("GET", "/instances", None).await.json();
    let id = all["items"][0]["id"].as_str().unwrap().to_owned();
    let page = format!("/console/instances/{id}/settings");
    let action = format!("{page}/policy");
    let policy = async || gateway.admin("GET", &format!("/instances/{id}"), None).await.json()["policy"].clone();
    let form = browser.get(&page).await.expect(200).form(&action);
    for (field, wrong, marked) in [
        ("policy.quirks_off", "no_such_leniency", "f-policy-quirks-off"),
        ("policy.put_without_active", "maybe", "f-policy-put-without-active"),
        ("policy.max_open_work", "0", "f-policy-max-open-work"),
    ] {
        let refused = browser.submit(&form, &[(field, wrong)]).await.expect(422);
        assert!(refused.text().contains(&format!("href=\"#{marked}\"")), "{field}: {}", refused.words());
    }
    let fill = [
        ("policy.put_without_active", "false"),
        ("policy.put_without_members", "keep"),
        ("policy.groups_via_users", "true"),
        ("policy.quirks_off", "capitalised_op\r\nscim1_urn"),
        ("policy.max_open_work", "5000"),
        ("policy.strict", "1"),
    ];
    browser.submit(&form, &fill).await.expect(303);
    let now = policy().await;
    assert_eq!(now["quirks_off"], json!(["capitalised_op", "scim1_urn"]), "{now}");
    assert_eq!(
        (&now["strict"], &now["max_open_work"], &now["groups_via_users"]),
        (&json!(true), &json!(5_000), &json!(true))
    );
    assert_eq!((&now["put_without_active"], &now["put_without_members"]), (&json!("false"), &json!("keep")));
    // As it is stored, it is sent again unchanged; emptied, the dialect has it.
    let form = browser.get(&page).await.form(&action);
    assert!(form.fields.contains(&("policy.strict".to_owned(), "1".to_owned())), "{form:?}");
    let fill = [
        ("policy.put_without_active", ""),
        ("policy.groups_via_users", ""),
        ("policy.max_open_work", ""),
        ("policy.quirks_off", ""),
    ];
    browser.submit(&form, &fill).await.expect(303);
    let now = policy().await;
    for gone in ["put_without_active", "groups_via_users", "max_open_work"] {
        assert!(now.get(gone).is_none(), "{gone}: {now}");
    }
    assert_eq!((&now["quirks_off"], &now["put_without_members"]), (&json!([]), &json!("keep")));
}

#[tokio::test]
async fn a_key_of_a_person_and_one_with_its_own_limit_are_made_by_the_page() {
    let gateway = Gateway::furnished().await;
    let browser = gateway.owner().await;
    let all = gateway.admin("GET", "/instances", None).await.json();
    let id = all["items"][0]["id"].as_str().unwrap().to_owned();
    let users = gateway.admin("GET", &format!("/instances/{id}/users"), None).await.json();
    let ada = users["items"][0]["id"].as_str().unwrap();
    let new = format!("/console/instances/{id}/keys/new");
    let page = || async { browser.get(&new).await.expect(200).form(&new) };
    for (field, wrong, marked) in [("rate", "fast", "f-rate"), ("person", "nobody", "f-person")] {
        let refused = browser.submit(&page().await, &[(field, wrong)]).await.expect(422);
        assert!(refused.text().contains(&format!("href=\"#{marked}\"")), "{field}: {}", refused.words());
    }
    browser.submit(&page().await, &[("name", "slow"), ("rate", "600/m")]).await.expect(200);
    browser.submit(&page().await, &[("name", "ada"), ("person", ada), ("scope", "scim")]).await.expect(200);
    let keys = gateway.admin("GET", &format!("/instances/{id}/keys"), None).await.json();
    let of = |name: &str| keys["items"].as_array().unwrap().iter().find(|key| key["name"] == name).unwrap().clone();
    assert_eq!(of("slow")["rate_limit"], "600/m", "{keys}");
    assert_eq!((&of("ada")["person"], &of("ada")["scopes"]), (&json!(ada), &json!(["me"])), "{keys}");
}
