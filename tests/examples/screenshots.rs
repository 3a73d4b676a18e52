//! Pictures of every page of the console, taken of `scimgate demo` and an instance that was in use for a while:
//!
//!     cargo run -p tests --example screenshots -- docs/screenshots
//!
//! Needs Chromium, a built `scimgate`, and for good letters Inter (on Debian: chromium, fonts-inter). `png` as a second argument makes larger files that lose nothing.

#![expect(clippy::panic, reason = "what goes wrong here ends it")]

use std::path::{Path, PathBuf};

use http::Method;
use serde_json::{Value, json};
use tests::Browser;
use tests::browser::{NARROW, Size, WIDE, program};

#[allow(dead_code, reason = "the tests of the console use the rest")]
#[path = "../tests/browser/stage.rs"]
mod stage;

use stage::{Company, Demo, sign_in};

/// The highest picture, in CSS pixels.
const MOST: u32 = 1_250;

struct Camera<'a> {
    browser: &'a Browser,
    folder: PathBuf,
    format: String,
}

impl Camera<'_> {
    async fn take(&self, name: &str) {
        // A field with the focus has a frame, which nobody looks for in a picture.
        self.browser.eval("document.activeElement?.blur(); scrollTo(0, 0)").await;
        let picture = self.browser.picture(MOST, &self.format).await;
        let file = self.folder.join(format!("{name}.{}", self.format));
        std::fs::write(&file, picture).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    async fn open(&self, url: &str, name: &str) {
        self.browser.open(url).await;
        self.take(name).await;
    }

    /// The same page in other circumstances.
    async fn again(&self, name: &str, size: Size, dark: bool) {
        self.browser.size(size).await;
        self.browser.dark(dark).await;
        self.take(name).await;
        self.browser.size(WIDE).await;
        self.browser.dark(false).await;
    }
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().unwrap_or_else(|| "docs/screenshots".to_owned()));
    let format = args.next().unwrap_or_else(|| "webp".to_owned());
    std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let chromium = program().expect("Chromium is installed: on Debian, the package chromium");
    let demo = Demo::start().await;
    let company = Company::settle(&demo).await;
    let browser = Browser::start(&chromium).await;
    let camera = Camera { browser: &browser, folder: Path::new(&folder).to_owned(), format };
    let at = |path: &str| demo.console(path);

    camera.open(&at("/sign-in"), "sign-in").await;
    sign_in(&browser, &demo, &demo.token).await;

    // The wizard, with a target that is there: the second simulated Buildkite stays as it is.
    let root = format!("/instances/{}", company.id);
    camera.open(&at("/instances/new"), "wizard-target").await;
    camera.open(&at("/instances/new?connector=buildkite"), "wizard-settings").await;
    browser.fill("Name", "Buildkite trial").await;
    let offer = company.sim.instance("");
    for part in ["settings", "secrets"] {
        for (name, value) in offer[part].as_object().into_iter().flatten() {
            browser.fill(&format!("settings.{name}"), value.as_str().unwrap_or_default()).await;
        }
    }
    browser.follow("Save and check the credential").await;
    browser.follow("Check the credential").await;
    camera.take("wizard-credential").await;
    browser.follow("Continue").await;
    camera.take("wizard-policies").await;
    browser.follow("Save and continue").await;
    browser.follow("Read the target").await;
    let here = browser.address().await;
    tests::wait_until("the target was read", std::time::Duration::from_secs(60), async || {
        browser.open(&here).await;
        browser.words().await.contains("Accounts at the target").then_some(())
    })
    .await;
    camera.take("wizard-preview").await;
    browser.follow("Continue").await;
    camera.take("wizard-review").await;

    for (path, name) in [
        ("", "home"),
        ("/instances", "instances"),
        (&*root, "instance"),
        (&*format!("{root}/connect?idp=entra"), "connect"),
        (&*format!("{root}/people"), "people"),
        (&*format!("{root}/groups"), "groups"),
        (&*format!("{root}/groups/{}", company.group), "group"),
        ("/operations", "operations"),
        ("/holds", "holds"),
        (&*format!("/holds/{}", company.hold), "hold"),
        (&*format!("{root}/plan"), "plan"),
        (&*format!("{root}/budget"), "budget"),
        (&*format!("{root}/keys"), "keys"),
        (&*format!("{root}/runs"), "runs"),
        (&*format!("{root}/settings"), "instance-settings"),
        (&*format!("{root}/settings/schemas"), "schemas"),
        (&*format!("{root}/settings/streams"), "streams"),
        ("/catalogue", "catalogue"),
        ("/catalogue/github", "connector"),
        ("/settings", "settings"),
        ("/settings/members", "members"),
        ("/settings/alerts", "alerts"),
        ("/audit", "audit"),
        ("/search?q=a", "search"),
        ("/nowhere", "not-found"),
    ] {
        camera.open(&at(path), name).await;
        if matches!(name, "home" | "hold" | "operations") {
            camera.again(&format!("{name}-narrow"), NARROW, false).await;
        }
        if matches!(name, "home" | "instance" | "hold") {
            camera.again(&format!("{name}-dark"), WIDE, true).await;
        }
    }

    // A person, with the newest change told in full.
    browser.open(&at(&format!("{root}/people/{}", company.people[0]))).await;
    let newest = browser.eval("document.querySelectorAll('main li details.more').forEach((one, n) => { one.open = n === 0 }); [...document.querySelectorAll('main a')].map((one) => one.getAttribute('href')).find((one) => one.startsWith('/console/operations/'))").await;
    camera.take("person").await;
    camera.again("person-narrow", NARROW, false).await;
    camera.again("person-dark", WIDE, true).await;
    if let Value::String(operation) = newest {
        camera.open(&format!("{}{operation}", demo.url), "operation").await;
    }
    browser.open(&at(&format!("{root}/keys"))).await;
    browser.follow("Rotate").await;
    camera.take("key-rotation").await;

    let link = demo
        .admin()
        .call(Method::POST, &format!("{root}/handovers"), Some(json!({"guide": "entra"})))
        .await
        .expect(201);
    camera.open(link["url"].as_str().unwrap_or_else(|| panic!("no link: {link}")), "handed-over").await;
    camera.open(&at(&format!("{root}/hand-over")), "hand-over").await;

    browser.open(&at("/catalogue/build")).await;
    browser.follow("Preview its requests").await;
    camera.take("builder").await;
    browser.end().await;
}
