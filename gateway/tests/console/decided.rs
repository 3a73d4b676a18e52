//! What people decide about one person, or about all of a list: erasing, linking by hand, trying again.

use serde_json::json;

use crate::common::{Reply, databases};
use crate::live::Live;

#[track_caller]
fn says(page: &Reply, words: &[&str]) {
    let said = page.words();
    for word in words {
        assert!(said.contains(word), "{word} is not in: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_without_access_is_erased_once_the_name_was_typed() {
    for db in databases() {
        let live = Live::start_on(&db, json!({"answer_within_ms": 0})).await;
        let browser = live.owner().await;
        let ada = live.user("ada@example.com", "Ada Lovelace").await;
        live.quiet().await;
        let person = live.page(&format!("/people/{ada}"));
        let erase = format!("{person}/erase");
        assert!(browser.get(&person).await.expect(200).links().contains(&erase));
        let active = browser.get(&erase).await.expect(200);
        says(&active, &["It cannot be erased now.", "Deactivate or delete them in the identity provider first"]);
        assert!(active.forms().iter().all(|form| form.action != erase), "{:?}", active.forms());
        let csrf = browser.csrf().await;
        let name = ("again", "ada@example.com");
        browser.post(&erase, &[("csrf", &csrf), name]).await.expect(422);

        live.active(&ada, false).await;
        live.quiet().await;
        let asked = browser.get(&erase).await.expect(200);
        says(&asked, &["cannot be brought back", "Nothing changes at the target", "The person is deleted by it."]);
        let form = asked.form(&erase);
        let (viewer, _, _) = live.gateway.member("Vera", "viewer").await;
        viewer.get(&erase).await.expect(403);
        assert!(!viewer.get(&person).await.expect(200).text().contains("/erase"));
        let theirs = viewer.csrf().await;
        viewer.post(&erase, &[("csrf", &theirs), name]).await.expect(403);
        let wrong = browser.submit(&form, &[("again", "ada")]).await.expect(422);
        assert!(wrong.text().contains("href=\"#f-again\""), "{}", wrong.text());
        assert!(browser.get(&person).await.text().contains("Lovelace"));

        let gone = browser.submit(&form, &[name]).await.expect(303);
        let shown = browser.get(gone.header("location")).await.expect(200);
        says(&shown, &["The data is erased.", "The data of this person was erased", "Deleted", "erased-"]);
        for path in [person.clone(), live.page("/people"), live.page("/operations"), "/console/audit".to_owned()] {
            let text = browser.get(&path).await.expect(200).text();
            assert!(!text.contains("ada@example.com") && !text.contains("Lovelace"), "{path}: {text}");
        }
        says(&browser.get("/console/audit").await, &["Erased a person's data"]);
        // Whoever sends it again: who was to be erased has another name now.
        browser.submit(&form, &[name]).await.expect(422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_nothing_proposes_is_linked_by_hand() {
    for db in databases() {
        let live = Live::start_on(&db, json!({"adopt": "never", "answer_within_ms": 0})).await;
        let browser = live.owner().await;
        live.control("/_sim/load", json!({"accounts": 2, "groups": 0})).await;
        let links = async |query: &str| live.admin("GET", &format!("/links{query}"), None).await["items"].clone();
        let one = live.user("load0000@example.com", "One").await;
        let two = live.user("load0001@example.com", "Two").await;
        live.wait("two proposals", async || links("?state=proposed").await.as_array().unwrap().len() == 2).await;
        let proposed = links("?state=proposed").await;
        let of =
            |id: &str| proposed.as_array().unwrap().iter().find(|link| link["resource"]["id"] == id).unwrap().clone();
        let remote = of(&one)["account"]["remote_id"].as_str().unwrap().to_owned();

        let person = live.page(&format!("/people/{one}"));
        let link = format!("{person}/link");
        let page = browser.get(&person).await.expect(200);
        assert!(page.links().contains(&link), "{:?}", page.links());
        let asked = browser.get(&link).await.expect(200);
        says(&asked, &["Link an account by hand", "is this account at the target"]);
        let form = asked.form(&link);
        for (entered, words) in [("", "is required"), ("nobody", "knows no account or group of that id")] {
            let refused = browser.submit(&form, &[("remote_id", entered)]).await.expect(422);
            assert!(refused.text().contains("href=\"#f-remote-id\""), "{}", refused.text());
            says(&refused, &[words]);
        }
        let (viewer, _, _) = live.gateway.member("Vera", "viewer").await;
        viewer.get(&link).await.expect(403);
        assert!(!viewer.get(&person).await.expect(200).links().contains(&link));
        let done = browser.submit(&form, &[("remote_id", &remote)]).await.expect(303);
        assert_eq!(done.header("location"), person);
        live.wait("the link", async || {
            let live = links("?state=live").await;
            live.as_array()
                .unwrap()
                .iter()
                .any(|link| link["resource"]["id"] == one.as_str() && link["evidence"] == "admin")
        })
        .await;
        // Of somebody else it is not to be had, and the page says whose it is.
        let other = live.page(&format!("/people/{two}/link"));
        let taken =
            browser.submit(&browser.get(&other).await.form(&other), &[("remote_id", &remote)]).await.expect(422);
        says(&taken, &["load0000@example.com"]);
        says(&browser.get("/console/audit").await, &["Linked an account"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_list_shows_is_tried_again_all_at_once() {
    for db in databases() {
        let live = Live::start_on(&db, json!({"adopt": "never", "answer_within_ms": 0})).await;
        let browser = live.owner().await;
        live.control("/_sim/load", json!({"accounts": 3, "groups": 0})).await;
        for n in 0..3 {
            live.user(&format!("load000{n}@example.com"), "Load").await;
        }
        let resting = async || live.work().await == ["needs"; 3];
        live.wait("three needs", resting).await;
        let dry = live.admin("POST", "/retry", Some(json!({"dry_run": true}))).await;
        assert_eq!((&dry["retried"], &dry["more"]), (&json!(3), &json!(false)), "{dry}");
        assert!(resting().await, "counting tries nothing");
        let wrong = format!("/instances/{}/retry", live.instance);
        for (body, field) in [(json!({"state": "held"}), "state"), (json!({"kind": "Robot"}), "kind")] {
            assert_eq!(live.gateway.admin("POST", &wrong, Some(body)).await.expect(400).json()["field"], field);
        }
        let groups = live.admin("POST", "/retry", Some(json!({"kind": "Group"}))).await;
        assert_eq!(groups["retried"], 0, "{groups}");

        // The list that is narrowed down is the one that is tried.
        let list = live.page("/people");
        assert!(!browser.get(&list).await.expect(200).text().contains("/people/retry"));
        let narrowed = browser.get(&format!("{list}?q=load0001&state=needs")).await.expect(200);
        let retry = narrowed.links().into_iter().find(|link| link.contains("/people/retry")).unwrap();
        let asked = browser.get(&retry).await.expect(200);
        says(&asked, &["Retry 1 person?", "whose name begins with load0001", "What is held stays held."]);
        let form = asked.form(&format!("{list}/retry"));
        let done = browser.submit(&form, &[]).await.expect(303);
        says(&browser.get(done.header("location")).await.expect(200), &["1 person is tried again now."]);
        live.wait("it to come to rest", resting).await;

        // Over all instances, and over what is pending: who needs somebody is not among them.
        let every = browser.get("/console/people/retry?state=needs").await.expect(200);
        says(&every, &["Retry 3 people?"]);
        browser.submit(&every.form("/console/people/retry"), &[]).await.expect(303);
        live.wait("all to come to rest", resting).await;
        says(&browser.get("/console/people/retry?state=pending").await.expect(200), &["Nothing to retry"]);
        says(&browser.get("/console/groups/retry?state=needs").await.expect(200), &["Nothing to retry"]);
        let csrf = browser.csrf().await;
        browser.post("/console/people/retry", &[("csrf", &csrf), ("state", "held")]).await.expect(400);

        let (viewer, _, _) = live.gateway.member("Vera", "viewer").await;
        viewer.get("/console/people/retry?state=needs").await.expect(403);
        assert!(!viewer.get("/console/people?state=needs").await.expect(200).text().contains("/people/retry"));
        let audit = browser.get("/console/audit").await;
        says(&audit, &["Retried what waits", "by_name"]);
        assert!(!audit.text().contains("load0001"), "who was searched for is nobody the audit has to know");
    }
}
