//! Moving an instance to another version of its manifest.

use serde_json::{Value, json};

use crate::browser::{Browser, Gateway};
use crate::common::desk::{Desk, MANIFEST, TOKEN, manifest};
use crate::common::{Reply, databases};

#[track_caller]
fn says(page: &Reply, words: &[&str]) {
    let said = page.words();
    for word in words {
        assert!(said.contains(word), "{word} is not in: {said}");
    }
}

/// The version that the instance holds to, and its settings.
async fn stands(gateway: &Gateway, id: &str) -> (String, Value) {
    let shown = gateway.admin("GET", &format!("/instances/{id}"), None).await.expect(200).json();
    (shown["connector_version"].as_str().unwrap().to_owned(), shown["settings"].clone())
}

/// The page of a move, and what is sent from it.
async fn look(browser: &Browser, page: &str, to: &str) -> Reply {
    browser.get(&format!("{page}?to={to}")).await.expect(200)
}

#[tokio::test]
async fn an_instance_is_moved_once_what_changes_was_shown() {
    for db in databases() {
        let desk = Desk::open().await;
        let gateway = Gateway::on(&db).await;
        let browser = gateway.owner().await;
        let floor = "[[settings]]\nname = \"floor\"\ntitle = \"Floor\"\nhelp = \"Which floor.\"\nrequired = true\n\n[[secrets]]";
        let elsewhere =
            manifest("4", "base_url = \"{{ settings.url }}\"", "base_url = \"https://elsewhere.example.com\"");
        let second =
            manifest("2", "name = \"{{ person.display_name", "team = \"night\", name = \"{{ person.display_name");
        let third = manifest("3", "[[secrets]]", floor);
        for text in [MANIFEST, &second, &third, &elsewhere] {
            let body = json!({"format": "toml", "text": text});
            gateway.admin("POST", "/manifests", Some(body)).await.expect(201);
        }
        let body = json!({"name": "The desk", "connector": "desk", "connector_version": "1", "settings": {"url": desk.url}, "secrets": {"token": TOKEN}, "mode": "paused"});
        let made = gateway.admin("POST", "/instances", Some(body)).await.expect(201).json();
        let id = made["id"].as_str().unwrap();
        let settings = format!("/console/instances/{id}/settings");
        let page = format!("{settings}/version");
        says(
            &browser.get(&settings).await.expect(200),
            &["It holds to version 1 of the manifest desk", "new instances get 4"],
        );
        let list = browser.get(&page).await.expect(200);
        says(&list, &["This instance", "For new instances", "What would change with version 2"]);
        assert!(list.links().contains(&format!("{page}?to=2")), "{:?}", list.links());

        // One that fits is moved to from the page that says what changes.
        let two = look(&browser, &page, "2").await;
        says(&two, &["What changes", "Version 1 2", "Nothing was changed yet.", "Move to version 2"]);
        assert_eq!(stands(&gateway, id).await.0, "1", "a look changes nothing");
        let form = two.form(&page);
        let moved = browser.submit(&form, &[]).await.expect(303);
        says(&browser.get(moved.header("location")).await.expect(200), &["moved from version 1 to 2"]);
        assert_eq!(stands(&gateway, id).await.0, "2");
        // Sent again, it speaks of an instance that is not any more.
        says(&browser.submit(&form, &[]).await.expect(422), &["Somebody else changed this instance"]);

        // One that asks for more is filled in, shown, and only then moved to.
        let three = look(&browser, &page, "3").await;
        says(&three, &["do not fit this version", "floor", "Show what changes"]);
        let form = three.form(&page);
        let lacking = browser.submit(&form, &[]).await.expect(422);
        assert!(lacking.text().contains("href=\"#f-settings-floor\""), "{}", lacking.text());
        let shown = browser.submit(&form, &[("settings.floor", "7")]).await.expect(200);
        says(&shown, &["New settings", "Settings that are required now", "Move to version 3"]);
        assert_eq!(stands(&gateway, id).await.0, "2");
        // Whoever makes up what was shown is shown it.
        browser.submit(&form, &[("settings.floor", "7"), ("shown", "made-up")]).await.expect(200);
        browser.submit(&shown.form(&page), &[]).await.expect(303);
        assert_eq!(stands(&gateway, id).await, ("3".to_owned(), json!({"url": desk.url, "floor": "7"})));

        // Back again: what the older one has no place for goes.
        let back = look(&browser, &page, "1").await;
        says(&back, &["Settings that go floor"]);
        browser.submit(&back.form(&page), &[]).await.expect(303);
        assert_eq!(stands(&gateway, id).await, ("1".to_owned(), json!({"url": desk.url})));

        // No version carries the credential to another target.
        let four = look(&browser, &page, "4").await;
        says(&four, &["do not fit this version", "must be given again"]);
        assert!(four.text().contains("href=\"#f-settings-token\""), "{}", four.text());
        let refused = browser.submit(&four.form(&page), &[]).await.expect(422);
        assert!(refused.text().contains("href=\"#f-settings-token\"") && !refused.text().contains(TOKEN));
        assert_eq!(stands(&gateway, id).await.0, "1");

        browser.get(&format!("{page}?to=9")).await.expect(404);
        let (viewer, _, _) = gateway.member("Vera", "viewer").await;
        let seen = viewer.get(&page).await.expect(200);
        assert!(!seen.text().contains("?to="), "{}", seen.text());
        viewer.get(&format!("{page}?to=2")).await.expect(403);
        let csrf = viewer.csrf().await;
        viewer.post(&page, &[("csrf", &csrf), ("to", "2")]).await.expect(403);
        says(&browser.get("/console/audit").await, &["Moved an instance to another version"]);
    }
}

#[tokio::test]
async fn a_connector_that_is_built_in_has_no_versions() {
    let gateway = Gateway::furnished().await;
    let browser = gateway.owner().await;
    let all = gateway.admin("GET", "/instances", None).await.json();
    let settings = format!("/console/instances/{}/settings", all["items"][0]["id"].as_str().unwrap());
    assert!(!browser.get(&settings).await.expect(200).text().contains("/settings/version"));
    says(&browser.get(&format!("{settings}/version")).await.expect(400), &["is built in"]);
}
