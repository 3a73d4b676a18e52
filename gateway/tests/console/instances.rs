//! Setting up an instance, its keys, its settings: as a person does it, page by page.

use serde_json::{Value, json};
use simulators::{Limits, Simulator};

use crate::browser::{Browser, Form, Gateway};
use crate::common::Reply;

/// A target that is simulated, for as long as the test lives: what an instance of it needs.
async fn buildkite() -> Value {
    let limits = Limits::default();
    let sim = Simulator::new(simulators::target("buildkite", limits).unwrap(), limits, simulators::Clock::system());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let offer = sim.offer(&format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(simulators::serve(sim, listener, std::future::pending()));
    offer
}

/// What fills in the form of an instance of that target.
fn filled(offer: &Value) -> Vec<(String, String)> {
    let mut fields = vec![("name".to_owned(), "Builds".to_owned())];
    for part in ["settings", "secrets"] {
        for (name, value) in offer[part].as_object().unwrap() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            fields.push((format!("settings.{name}"), text));
        }
    }
    fields
}

async fn submit(browser: &Browser, form: &Form, fill: &[(String, String)]) -> Reply {
    let fill: Vec<(&str, &str)> = fill.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    browser.submit(form, &fill).await
}

/// The instance of an address: `/console/instances/ID/setup/check`.
fn id_of(reply: &Reply) -> String {
    reply.header("location").split('/').nth(3).unwrap().to_owned()
}

/// A form among those that are sent to one address, by a field of it.
fn form_with(reply: &Reply, action: &str, field: (&str, &str)) -> Form {
    let has =
        |form: &&Form| form.action == action && form.fields.iter().any(|(k, v)| (k.as_str(), v.as_str()) == field);
    reply.forms().iter().find(has).cloned().unwrap_or_else(|| panic!("{action} {field:?}: {:?}", reply.forms()))
}

#[tokio::test]
async fn an_instance_is_set_up_from_nothing_to_enabled() {
    let offer = buildkite().await;
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    let home = browser.get("/console").await.expect(200);
    assert!(home.links().contains(&"/console/instances/new".to_owned()), "{:?}", home.links());

    let cards = browser.get("/console/instances/new?q=buildk").await.expect(200);
    assert!(cards.links().contains(&"/console/instances/new?connector=buildkite".to_owned()));
    assert!(!cards.words().contains("GitLab") && cards.words().contains("Not possible:"));
    assert!(browser.get("/console/instances/new?q=nonesuch").await.words().contains("Build your own"));

    let page = browser.get("/console/instances/new?connector=buildkite").await.expect(200);
    let made = submit(&browser, &page.form("/console/instances/new"), &filled(&offer)).await.expect(303);
    let id = id_of(&made);
    let root = format!("/console/instances/{id}");
    let shown = gateway.admin("GET", &format!("/instances/{id}"), None).await.json();
    assert_eq!((&shown["mode"], &shown["name"]), (&json!("disabled"), &json!("Builds")));

    // The check asks the target when it is told to, and its page can be loaded again.
    let check = format!("{root}/setup/check");
    let before = browser.get(&check).await.expect(200);
    assert!(before.words().contains("Not checked yet"), "{}", before.words());
    let asked = browser.submit(&before.form(&format!("{root}/probe")), &[]).await.expect(303);
    assert_eq!(asked.header("location"), check);
    for _ in 0..2 {
        let after = browser.get(&check).await.expect(200);
        assert!(
            after.words().contains("The credential works") && after.words().contains("Check again"),
            "{}",
            after.words()
        );
    }

    let policy = format!("{root}/setup/policy");
    let form = browser.get(&policy).await.expect(200).form(&policy);
    let wrong = browser.submit(&form, &[("policy.percent", "many")]).await.expect(422);
    assert!(wrong.words().contains("must be a whole number") && wrong.text().contains("href=\"#f-policy-percent\""));
    let next = browser
        .submit(&form, &[("policy.accounts", "3"), ("policy.protected", "root@example.com\r\n")])
        .await
        .expect(303);
    assert_eq!(next.header("location"), format!("{root}/setup/preview"));
    let stored = gateway.admin("GET", &format!("/instances/{id}"), None).await.json();
    assert_eq!(
        (&stored["policy"]["brake"]["accounts"], &stored["policy"]["protected"]),
        (&json!(3), &json!(["root@example.com"]))
    );

    // Reading the target lets the instance rehearse, and begins an import.
    let preview = format!("{root}/setup/preview");
    let form = browser.get(&preview).await.expect(200).form(&preview);
    browser.submit(&form, &[]).await.expect(303);
    assert!(browser.get(&preview).await.expect(200).words().contains("Accounts listed"));
    assert_eq!(gateway.admin("GET", &format!("/instances/{id}"), None).await.json()["mode"], "rehearse");

    // What was accepted after the plan was shown makes it stale.
    let review = format!("{root}/setup/review");
    let page = browser.get(&review).await.expect(200);
    for word in ["Organisation", "more than 3 people", "It works", "Nothing is planned"] {
        assert!(page.words().contains(word), "{word}: {}", page.words());
    }
    let stale =
        browser.submit(&form_with(&page, &review, ("mode", "enabled")), &[("plan_digest", "0123")]).await.expect(422);
    assert!(stale.words().contains("The plan has changed"), "{}", stale.words());
    let enabled = browser.submit(&form_with(&stale, &review, ("mode", "enabled")), &[]).await.expect(303);
    assert_eq!(enabled.header("location"), format!("{root}/connect"));
    let done = browser.get(&format!("{root}/connect")).await.expect(200);
    assert!(done.words().contains("Builds is enabled") && done.text().contains(&format!("/i/{id}/scim/v2")));
    assert_eq!(gateway.admin("GET", &format!("/instances/{id}"), None).await.json()["mode"], "enabled");
}

#[tokio::test]
async fn what_is_wrong_is_said_at_its_field_and_no_secret_comes_back() {
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    let form = browser.get("/console/instances/new?connector=buildkite").await.form("/console/instances/new");
    let fill =
        [("name", ""), ("settings.org", "acme"), ("settings.token", "canary-secret"), ("settings.api_url", "no url")];
    let refused = browser.submit(&form, &fill).await.expect(422);
    assert!(!refused.text().contains("canary-secret"));
    assert!(refused.text().contains("<title>Error: "));
    assert!(refused.text().contains("href=\"#f-name\"") && refused.text().contains("value=\"acme\""));
    assert!(refused.words().contains("What you entered is not shown; enter it again."), "{}", refused.words());
    // What only the service can judge is said at its field as well, and its group is open.
    let refused = browser
        .submit(&form, &[("settings.org", "acme"), ("settings.token", "canary-secret"), ("settings.api_url", "no url")])
        .await
        .expect(422);
    assert!(
        refused.text().contains("href=\"#f-settings-api-url\"")
            && refused.text().contains("<details class=\"more\" open>"),
        "{}",
        refused.words()
    );
    // Everything that is lacking is said at once.
    let refused = browser.submit(&form, &[]).await.expect(422);
    assert!(
        refused.text().contains("href=\"#f-settings-org\"") && refused.text().contains("href=\"#f-settings-token\"")
    );
    assert_eq!(gateway.admin("GET", "/instances", None).await.json()["items"], json!([]));
    browser.get("/console/instances/new?connector=nonesuch").await.expect(404);
}

async fn paused(gateway: &Gateway) -> String {
    let body = json!({"name": "Acme", "connector": "buildkite", "settings": {"org": "acme"}, "secrets": {"token": "canary-secret"}, "mode": "paused"});
    gateway.admin("POST", "/instances", Some(body)).await.expect(201).json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn settings_are_edited_and_another_target_asks_for_the_credential_again() {
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    let id = paused(&gateway).await;
    let page = format!("/console/instances/{id}/settings");
    let send = format!("{page}/connection");
    let form = browser.get(&page).await.expect(200).form(&send);
    assert!(!browser.get(&page).await.text().contains("canary-secret"));
    let refused = browser.submit(&form, &[("settings.org", "other")]).await.expect(422);
    assert!(refused.text().contains("href=\"#f-settings-token\""), "{}", refused.words());
    browser
        .submit(&form, &[("settings.org", "other"), ("settings.token", "canary-secret"), ("name", "Other")])
        .await
        .expect(303);
    let shown = gateway.admin("GET", &format!("/instances/{id}"), None).await.json();
    assert_eq!((&shown["name"], &shown["settings"]["org"]), (&json!("Other"), &json!("other")));
    // The page that was loaded before does not write over it.
    let stale = browser.submit(&form, &[("name", "Third")]).await.expect(422);
    assert!(stale.words().contains("Somebody else changed this instance"), "{}", stale.words());
    assert_eq!(gateway.admin("GET", &format!("/instances/{id}"), None).await.json()["name"], "Other");
    let policy = browser.get(&page).await.form(&format!("{page}/policy"));
    browser.submit(&policy, &[("policy.repair", "none")]).await.expect(303);
    let shown = gateway.admin("GET", &format!("/instances/{id}"), None).await.json();
    assert_eq!((&shown["policy"]["repair"], &shown["policy"]["brake"]["accounts"]), (&json!("none"), &json!(10)));
}

/// The key that a page shows, if it shows one.
fn key_in(reply: &Reply) -> Option<String> {
    let words = reply.words();
    words.split_whitespace().find(|word| word.starts_with("scg_") && word.len() > 30).map(str::to_owned)
}

#[tokio::test]
async fn a_key_is_shown_once_and_a_form_that_is_sent_again_makes_none() {
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    let id = paused(&gateway).await;
    let count = async || {
        gateway.admin("GET", &format!("/instances/{id}/keys"), None).await.json()["items"].as_array().unwrap().len()
    };
    for (n, page) in [format!("/console/instances/{id}/keys/new"), format!("/console/instances/{id}/connect")]
        .into_iter()
        .enumerate()
    {
        let form = browser.get(&page).await.expect(200).form(&page);
        let wrong = browser.submit(&form, &[("expires", "x")]).await.expect(422);
        assert!(key_in(&wrong).is_none() && wrong.text().contains("href=\"#f-expires\""));
        let made = browser.submit(&form, &[("name", "Entra"), ("expires", "90")]).await.expect(200);
        let key = key_in(&made).unwrap_or_else(|| panic!("{}", made.words()));
        assert_eq!(made.header("cache-control"), "no-store");
        assert_eq!(count().await, n + 1);
        let again = browser.submit(&form, &[("name", "Entra"), ("expires", "90")]).await.expect(200);
        assert!(key_in(&again).is_none() && again.words().contains("cannot be shown again"), "{}", again.words());
        assert_eq!(count().await, n + 1);
        for path in [&page, &format!("/console/instances/{id}/keys")] {
            assert!(!browser.get(path).await.expect(200).text().contains(&key), "{path}");
        }
    }
}

#[tokio::test]
async fn keys_are_rotated_and_revoked() {
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    let id = paused(&gateway).await;
    let made = gateway.admin("POST", &format!("/instances/{id}/keys"), Some(json!({"name": "Okta"}))).await.json();
    let old = made["id"].as_str().unwrap();
    let root = format!("/console/instances/{id}/keys");
    let form = browser.get(&format!("{root}/{old}/rotate")).await.expect(200).form(&format!("{root}/{old}/rotate"));
    assert!(form.fields.contains(&("overlap".to_owned(), "86400".to_owned())), "{form:?}");
    let rotated = browser.submit(&form, &[]).await.expect(200);
    assert!(key_in(&rotated).is_some() && rotated.words().contains("The old key ends"));
    assert!(key_in(&browser.submit(&form, &[]).await.expect(200)).is_none());
    let keys = gateway.admin("GET", &format!("/instances/{id}/keys"), None).await.json()["items"].clone();
    let keys = keys.as_array().unwrap();
    assert_eq!(keys.len(), 2);
    let ends = keys.iter().find(|key| key["id"] == old).unwrap()["expires_at"].as_str().unwrap();
    assert!(ends.starts_with("2026-01-02T00:00:00"), "{ends}");
    let new = keys.iter().find(|key| key["id"] != old).unwrap()["id"].as_str().unwrap();
    let ask = browser.get(&format!("{root}/{new}/revoke")).await.expect(200);
    assert!(ask.words().contains("gets 401 from the next call on"));
    browser.submit(&ask.form(&format!("{root}/{new}/revoke")), &[]).await.expect(303);
    let keys = gateway.admin("GET", &format!("/instances/{id}/keys"), None).await.json()["items"].clone();
    assert_eq!(keys.as_array().unwrap().iter().find(|key| key["id"] == new).unwrap()["active"], false);
    browser.get(&format!("{root}/nonesuch/revoke")).await.expect(404);
}

#[tokio::test]
async fn an_instance_is_paused_disabled_and_deleted() {
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    let id = paused(&gateway).await;
    let root = format!("/console/instances/{id}");
    let mode = async || gateway.admin("GET", &format!("/instances/{id}"), None).await.json()["mode"].clone();
    let page = browser.get(&root).await.expect(200);
    browser.submit(&form_with(&page, &format!("{root}/mode"), ("mode", "enabled")), &[]).await.expect(303);
    assert_eq!(mode().await, "enabled");
    let page = browser.get(&root).await.expect(200);
    let run = browser.submit(&page.form(&format!("{root}/runs")), &[("kind", "import")]).await.expect(303);
    let run = browser.get(run.header("location")).await.expect(200);
    assert!(run.words().contains("runs already") && run.words().contains("Waiting to begin"), "{}", run.words());
    browser.submit(&form_with(&page, &format!("{root}/mode"), ("mode", "paused")), &[]).await.expect(303);
    // Nothing is sent to the target of a paused instance, this check neither.
    let csrf = browser.csrf().await;
    browser.post(&format!("{root}/probe"), &[("csrf", &csrf)]).await.expect(409);
    let ask = browser.get(&format!("{root}/disable")).await.expect(200);
    browser.submit(&ask.form(&format!("{root}/mode")), &[]).await.expect(303);
    assert_eq!(mode().await, "disabled");
    let ask = browser.get(&format!("{root}/delete")).await.expect(200).form(&format!("{root}/delete"));
    assert!(browser.submit(&ask, &[("again", "acme")]).await.expect(422).words().contains("nothing was changed"));
    let (admin, _, _) = gateway.member("Bob", "admin").await;
    admin.get(&format!("{root}/delete")).await.expect(403);
    browser.submit(&ask, &[("again", "Acme")]).await.expect(303);
    browser.get(&root).await.expect(404);
}

#[tokio::test]
async fn the_list_is_what_its_address_says() {
    let gateway = Gateway::furnished().await;
    let browser = gateway.owner().await;
    let hits = async |query: &str| browser.get(&format!("/console/instances?{query}")).await.expect(200).words();
    assert!(hits("").await.contains("2 instances"));
    assert!(hits("q=acme&mode=paused").await.contains("1 instance"));
    let none = hits("mode=enabled").await;
    assert!(none.contains("No instance matches") && none.contains("Clear filters"), "{none}");
}

#[tokio::test]
async fn every_guide_has_the_address_of_the_instance() {
    let gateway = Gateway::furnished().await;
    let (viewer, _, _) = gateway.member("Ada", "viewer").await;
    let id = gateway.admin("GET", "/instances", None).await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    for guide in gateway::guides::all() {
        let page = viewer.get(&format!("/console/instances/{id}/connect?idp={}", guide.id)).await.expect(200);
        let text = page.text();
        assert!(
            text.contains(&format!("/i/{id}/scim/v2")) && !text.contains("{base_url}") && !text.contains("{key}"),
            "{}",
            guide.id
        );
        assert!(page.words().contains(&guide.checked), "{}", guide.id);
        let file = viewer.get(&format!("/console/instances/{id}/connect/guide.md?idp={}", guide.id)).await.expect(200);
        assert!(
            file.header("content-type").starts_with("text/markdown")
                && file.text().contains(&format!("/i/{id}/scim/v2"))
        );
    }
    viewer.get(&format!("/console/instances/{id}/connect/guide.md?idp=nonesuch")).await.expect(404);
}
