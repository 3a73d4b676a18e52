//! The catalogue, and building a connector by a manifest.

use crate::browser::Gateway;
use crate::common::desk::{Desk, MANIFEST, TOKEN};

const BUILD: &str = "/console/catalogue/build";

#[tokio::test]
async fn a_manifest_is_checked_previewed_saved_and_tried() {
    let desk = Desk::open().await;
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    let form = browser.get(BUILD).await.expect(200).form(BUILD);

    let wrong = MANIFEST.replace("method = \"GET\"\npath = \"/me\"", "method = \"FETCH\"\npath = \"/me\"");
    assert_ne!(wrong, MANIFEST);
    let line = 1 + wrong.lines().position(|line| line.contains("FETCH")).unwrap();
    let refused = browser.submit(&form, &[("text", &wrong)]).await.expect(422);
    assert!(
        refused.words().contains("probe.method") && refused.words().contains(&format!(" {line} ")),
        "{}",
        refused.words()
    );
    let sent = MANIFEST.replace('\n', "\r\n");
    let checked = browser.submit(&form, &[("text", &sent)]).await.expect(200);
    assert!(
        checked.words().contains("It is sound.") && checked.words().contains("accounts.create"),
        "{}",
        checked.words()
    );
    let preview = browser.submit(&form, &[("text", &sent), ("act", "preview")]).await.expect(200);
    assert!(
        preview.words().contains("/people?email=") && preview.words().contains("authorization : ***"),
        "{}",
        preview.words()
    );
    assert_eq!(desk.calls(), Vec::<String>::new());
    assert!(gateway.admin("GET", "/manifests/desk", None).await.status == 404);

    let saved = browser.submit(&form, &[("text", &sent), ("act", "save")]).await.expect(303);
    assert_eq!(saved.header("location"), "/console/catalogue/desk");
    let kept = gateway.admin("GET", "/manifests/desk/1", None).await.expect(200).json();
    assert_eq!(kept["text"], MANIFEST, "line ends of a browser are not the manifest's");
    let page = browser.get("/console/catalogue/desk").await.expect(200);
    assert!(page.words().contains("Version 1 of desk is saved") && page.words().contains("For new instances"));
    let other = MANIFEST.replace("The name on the door.", "A name.");
    let clash = browser.submit(&form, &[("text", &other), ("act", "save")]).await.expect(422);
    assert!(clash.words().contains("another version"), "{}", clash.words());
    assert!(browser.get(&format!("{BUILD}?from=desk")).await.expect(200).text().contains("name on the door"));

    // Without the tick it reads; with it a person and a group come and go.
    let page = format!("{BUILD}/test");
    let form = browser.get(&format!("{page}?manifest=desk&version=1")).await.expect(200).form(&page);
    let lacking = browser.submit(&form, &[("settings.url", &desk.url)]).await.expect(422);
    assert!(lacking.text().contains("href=\"#f-settings-token\""));
    let fill = [("settings.url", desk.url.as_str()), ("settings.token", TOKEN)];
    let read = browser.submit(&form, &fill).await.expect(200);
    assert!(read.words().contains("Every step passed") && !read.text().contains(TOKEN), "{}", read.words());
    assert!(desk.writes().is_empty(), "{:?}", desk.writes());
    let wrote =
        browser.submit(&form, &[fill[0], fill[1], ("writes", "1"), ("email", "tester@example.com")]).await.expect(200);
    assert!(wrote.words().contains("Every step passed"), "{}", wrote.words());
    assert!(!desk.writes().is_empty() && desk.people().is_empty());

    let delete = "/console/catalogue/desk/versions/1/delete";
    browser.submit(&browser.get(delete).await.expect(200).form(delete), &[]).await.expect(303);
    browser.get("/console/catalogue/desk").await.expect(404);
}

#[tokio::test]
async fn the_blank_manifest_is_sound_and_built_in_ones_can_be_copied() {
    let gateway = Gateway::start().await;
    let browser = gateway.owner().await;
    let blank = include_str!("../../src/console/templates/manifest.toml");
    let form = browser.get(BUILD).await.form(BUILD);
    let checked = browser.submit(&form, &[("text", blank)]).await.expect(200);
    assert!(checked.words().contains("It is sound."), "{}", checked.words());
    for (file, text) in connectors::MANIFESTS {
        let copy = browser.get(&format!("{BUILD}?from={}", file.trim_end_matches(".toml"))).await.expect(200);
        assert!(copy.words().contains(text.lines().find(|line| line.starts_with("title")).unwrap()), "{file}");
    }
    assert!(browser.get(&format!("{BUILD}?from=github")).await.expect(200).words().contains("That connector is code"));
    browser.get(&format!("{BUILD}?from=nonesuch")).await.expect(200);
}

#[tokio::test]
async fn every_connector_has_a_page_that_says_what_it_cannot() {
    let gateway = Gateway::start().await;
    let (viewer, _, _) = gateway.member("Ada", "viewer").await;
    for entry in connectors::builtin() {
        let page = viewer.get(&format!("/console/catalogue/{}", entry.name)).await.expect(200);
        for setting in &entry.settings {
            assert!(page.words().contains(setting.title), "{}: {}", entry.name, setting.title);
        }
        // Of some the settings are statements of their own, which no sample stands for.
        let told =
            page.words().contains("With its usual settings") || page.words().contains("It depends on its settings");
        assert!(told, "{}: what it can do is not told", entry.name);
        assert!(page.words().contains("With its usual settings") || entry.name != "github", "github can be told");
        assert!(!page.links().iter().any(|link| link.contains("/new")), "{}", entry.name);
    }
    assert!(viewer.get(BUILD).await.expect(200).forms().iter().all(|form| form.action != BUILD));
    viewer.get("/console/instances/new").await.expect(403);
}
