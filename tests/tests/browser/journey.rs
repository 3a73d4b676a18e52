//! What the console is for, done as a person does it: from the printed token to a batch that is discarded.

use http::Method;
use serde_json::{Value, json};
use tests::browser::{Browser, installed};
use tests::{Scim, Sim, wait_until};

use crate::stage::{Demo, PEOPLE, calm, person, push, sign_in};

/// How long what the gateway does by itself may take.
const BOUND: std::time::Duration = std::time::Duration::from_secs(60);

/// Reads a page again until it says this.
async fn until_says(browser: &Browser, url: &str, words: &str) -> String {
    wait_until(&format!("{url} says {words:?}"), BOUND, async || {
        browser.open(url).await;
        let all = browser.words().await;
        all.contains(words).then_some(all)
    })
    .await
}

#[track_caller]
fn says(page: &str, words: &[&str]) {
    for word in words {
        assert!(page.contains(word), "{word:?} is not on the page: {page}");
    }
}

/// Who is at the target, by address.
async fn there(sim: &Sim) -> Vec<String> {
    let state = sim.state().await;
    let accounts = state["accounts"].as_array().into_iter().flatten();
    accounts.filter_map(|one| one["email"].as_str()).map(str::to_owned).collect()
}

/// Makes an instance by the wizard; answers its address in the console.
async fn wizard(browser: &Browser, offer: &Value) -> String {
    browser.follow("Instances").await;
    browser.follow("Create instance").await;
    browser.follow("Buildkite").await;
    // What is lacking is said beside its field, and focused.
    browser.follow("Save and check the credential").await;
    assert_eq!(browser.status().await, 422);
    assert_eq!(browser.eval("document.activeElement.id").await, "errors");
    says(&browser.words().await, &["There is a problem", "is required"]);
    browser.fill("Name", "Buildkite acme").await;
    for part in ["settings", "secrets"] {
        for (name, value) in offer[part].as_object().expect("what an instance is made with is an object") {
            browser.fill(&format!("settings.{name}"), value.as_str().expect("a setting is text")).await;
        }
    }
    browser.follow("Save and check the credential").await;
    browser.follow("Check the credential").await;
    browser.follow("Continue").await;
    // Nobody may leave unseen.
    browser.fill("People who may lose access within the window", "0").await;
    browser.fill("Or this share of all, in percent", "0").await;
    browser.follow("Save and continue").await;
    browser.follow("Read the target").await;
    let here = browser.address().await;
    until_says(browser, &here, "Accounts at the target").await;
    browser.follow("Continue").await;
    browser.follow("Enable").await;
    let address = browser.address().await;
    let (before, _) = address.split_once("/connect").unwrap_or_else(|| panic!("{address} is not where one connects"));
    before.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_printed_token_to_a_batch_that_is_discarded() {
    let Some((program, _)) = installed("from_the_printed_token_to_a_batch_that_is_discarded") else { return };
    let (demo, sim) = tokio::join!(Demo::start(), Sim::start("buildkite"));
    let browser = Browser::start(&program).await;

    // The token that was printed.
    browser.open(&demo.console("")).await;
    browser.fill("Admin token", "scg_a_wrong").await;
    browser.follow("Sign in").await;
    says(&browser.words().await, &["That token was not accepted"]);
    calm(&browser, "a wrong token", &[&browser.address().await]);
    sign_in(&browser, &demo, &demo.token).await;

    // An instance by the wizard, and a person with exactly the values that it shows.
    let home = wizard(&browser, &sim.instance("")).await;
    let base = browser.text_of("document.getElementById('base-url').value").await;
    browser.fill("Name of the key", "Entra 2026").await;
    browser.follow("Create key").await;
    let key = browser.text_of("document.querySelector('.secret output').textContent").await;
    says(&browser.words().await, &["Your new key", "I have stored it"]);
    let scim = Scim::new(&base, &key);
    let (ada, _) = PEOPLE[0];
    let mut people = vec![push(&scim, &person(ada, "Ada Lovelace")).await];
    browser.follow("I have stored it").await;
    until_says(&browser, &format!("{home}/connect"), "Entra 2026 was last used").await;

    // Found by the search box, which "/" leads to; and why she is there.
    browser.eval("document.activeElement.blur()").await;
    browser.key("/", "/").await;
    assert_eq!(browser.eval("document.activeElement.id").await, "search");
    browser.call("Input.insertText", json!({"text": ada})).await;
    browser.enter().await;
    if browser.address().await.contains("/search") {
        says(&browser.words().await, &[ada]);
        browser.follow(ada).await;
    }
    let page = browser.address().await;
    assert!(page.starts_with(&format!("{home}/people/{}", people[0])), "{page}");
    until_says(&browser, &page, "Applied").await;
    browser.eval("document.querySelectorAll('main details').forEach((one) => { one.open = true })").await;
    says(
        &browser.words().await,
        &[
            "Entra 2026",
            "asked to create ada@acme.example. Done in",
            "Asked",
            "Understood",
            "userName becomes",
            "Decided",
            "Steps at the target",
            "Did",
            "POST /v2/organizations/acme/invitations \u{2192} 201",
            "Checked",
        ],
    );

    // Another key in place of the first: both work for a day, then the first ends.
    browser.open(&format!("{home}/keys")).await;
    browser.follow("Rotate").await;
    browser.follow("Make the new key").await;
    let words = browser.words().await;
    says(&words, &["Your new key", "The old key ends"]);
    let second = browser.text_of("document.querySelector('.secret output').textContent").await;
    assert_ne!(second, key);
    for working in [&key, &second] {
        Scim::new(&base, working).call(Method::GET, "/Users?count=1", None).await.expect(200);
    }
    browser.open(&format!("{home}/keys")).await;
    says(&browser.words().await, &["Ends soon", "in 23 h"]);
    browser.follow("Rotate").await;
    browser.click("Not at all: the old key stops now").await;
    browser.follow("Make the new key").await;
    says(&browser.words().await, &["The old key has stopped."]);
    let third = browser.text_of("document.querySelector('.secret output').textContent").await;
    let scim = Scim::new(&base, &third);
    scim.call(Method::GET, "/Users?count=1", None).await.expect(200);

    // Everybody is deactivated at once: the brake holds it, a person discards it, and nobody is removed.
    for (user_name, display) in &PEOPLE[1..6] {
        people.push(push(&scim, &person(user_name, display)).await);
    }
    let admin = demo.admin();
    let id = home.rsplit('/').next().unwrap_or_default();
    admin.settled(id).await;
    sim.accept(json!({})).await;
    admin.run(id, "reconcile").await;
    let before = there(&sim).await;
    for (user_name, _) in &PEOPLE[..6] {
        assert!(before.iter().any(|one| one == user_name), "{user_name} is not among {before:?}");
    }
    let writes = sim.writes().await.len();
    for one in &people {
        scim.set_active(one, false).await;
    }
    until_says(&browser, &demo.console("/holds"), "6 changes").await;
    browser.follow("6 changes").await;
    says(&browser.words().await, &["6 changes held at Buildkite acme", ada, "loses access", "nobody loses anything"]);
    browser.fill("Comment", "The directory was empty for a minute").await;
    browser.follow("Discard 6 changes").await;
    says(&browser.words().await, &["Discarded by", "The directory was empty for a minute"]);
    browser.open(&demo.console("/holds?state=open")).await;
    says(&browser.words().await, &["No hold is in this state"]);
    admin.run(id, "reconcile").await;
    assert_eq!(there(&sim).await, before, "the target lost somebody");
    assert_eq!(sim.writes().await[writes..], [""; 0], "something was sent for what was discarded");
    until_says(&browser, &format!("{home}/people/{}", people[0]), "Kept by decision").await;

    // A connector without code: what is wrong is told, the requests are shown, it is kept.
    browser.open(&demo.console("/catalogue/build")).await;
    let manifest = browser.text_of("document.getElementsByName('text')[0].value").await;
    browser.fill("Manifest", "manifest = 1").await;
    browser.follow("Preview its requests").await;
    says(&browser.words().await, &["There is a problem", "What is wrong"]);
    let own = manifest.replace("name = \"example\"", "name = \"intranet\"").replace("\"Example\"", "\"Intranet\"");
    browser.fill("Manifest", &own).await;
    browser.follow("Preview its requests").await;
    says(&browser.words().await, &["What it would send", "Nothing was sent", "GET", "/people", "POST", "***"]);
    browser.follow("Save").await;
    says(&browser.words().await, &["Version 1 of intranet is saved", "Intranet"]);
    browser.open(&demo.console("/instances/new")).await;
    browser.follow("Intranet").await;
    says(&browser.words().await, &["Settings for Intranet", "Address", "It is sent as a bearer token."]);

    // Forms that said what is wrong came with a status that the browser logs.
    let forms = [demo.console("/instances/new"), demo.console("/catalogue/build")];
    calm(&browser, "the journey", &[&forms[0], &forms[1]]);
    browser.click("admin").await;
    browser.follow("Sign out").await;
    browser.end().await;
}
