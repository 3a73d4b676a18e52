//! Every page of the console, by the rules of axe-core and by our own: light and dark, wide and narrow, with what people see
//! after a while, with hostile names, and where nothing is there or something is wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};
use tests::browser::{Browser, NARROW, WIDE, installed};
use tests::workspace;

use crate::stage::{Company, Demo, FORMULA, calm, further, hostile, sign_in};

/// Pages of one kind that are looked at.
const OF_A_KIND: usize = 2;

/// What axe-core looks for: WCAG 2.2, level AA, and what is good practice.
fn options() -> Value {
    json!({
        "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
        "resultTypes": ["violations"],
        "preload": false,
    })
}

/// What is wrong with the page that is open, as text: wide in light and narrow in dark, or `all` four.
async fn wrong(browser: &Browser, axe: &str, all: bool) -> Vec<String> {
    browser.eval(axe).await;
    let mut found = BTreeSet::new();
    let count = browser.eval("document.images.length + document.querySelectorAll('main script').length").await;
    if count != 0 {
        found.insert("an element was made of a text".to_owned());
    }
    // A set of colours has its own contrasts, a width its own layout; two see each of them.
    let ways = [(WIDE, false), (NARROW, true), (NARROW, false), (WIDE, true)];
    for (size, dark) in ways.into_iter().take(if all { 4 } else { 2 }) {
        browser.size(size).await;
        browser.dark(dark).await;
        let light = if dark { "dark" } else { "light" };
        // The two that were not looked at in full differ in colours alone.
        let full = dark == (size == NARROW);
        let options = if full {
            options()
        } else {
            json!({"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}, "resultTypes": ["violations"], "preload": false})
        };
        let script = format!(
            "axe.run(document, {options}).then((r) => r.violations.flatMap((v) => v.nodes.map((n) =>
                v.id + ' (' + v.impact + '): ' + n.target.join(' ') + ': ' + (n.any.concat(n.all, n.none)[0]?.message ?? v.help))))"
        );
        for one in browser.eval(&script).await.as_array().into_iter().flatten() {
            found.insert(format!("{} px, {light}: {}", size.0, one.as_str().unwrap_or_default()));
        }
        let over = browser
            .eval(
                "(() => {
                    const most = document.documentElement.clientWidth;
                    const out = [...document.querySelectorAll('main *')].filter((one) => {
                        if (one.closest('.scroll, pre, .tabs, .hush, svg') || !one.getClientRects().length) return false;
                        const card = one.closest('.card');
                        const edge = Math.min(most, card ? card.getBoundingClientRect().right : most);
                        return one.getBoundingClientRect().right > edge + 1;
                    }).slice(0, 3).map((one) => one.outerHTML.slice(0, 120));
                    return document.documentElement.scrollWidth > most ? out.concat('the whole page') : out;
                })()",
            )
            .await;
        if over != json!([]) {
            found.insert(format!("{} px: sticks out at the side: {over}", size.0));
        }
    }
    browser.size(WIDE).await;
    browser.dark(false).await;
    found.into_iter().collect()
}

/// An address without what differs between pages of a kind.
fn kind(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<&str> = path
        .split('/')
        .scan("", |before, part| {
            let old = std::mem::replace(before, part);
            let named = matches!(
                old,
                "instances"
                    | "people"
                    | "groups"
                    | "operations"
                    | "holds"
                    | "keys"
                    | "runs"
                    | "members"
                    | "versions"
                    | "tasks"
                    | "alerts"
                    | "streams"
                    | "hand-over"
            );
            Some(
                if (named && !matches!(part, "new" | "decided" | "rejected" | "retry" | "export.ndjson" | "export.csv"))
                    || (old == "catalogue" && part != "build")
                {
                    "{}"
                } else {
                    part
                },
            )
        })
        .collect();
    let fields: Vec<&str> = query
        .split('&')
        .filter_map(|pair| pair.split('=').next())
        .filter(|name| matches!(*name, "idp" | "q" | "tab"))
        .collect();
    format!("{} {}", parts.join("/"), fields.join(" ")).trim_end().to_owned()
}

/// The pages that the console's source routes to, by kind.
fn routed() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let folder = workspace().join("gateway/src/console");
    for entry in std::fs::read_dir(folder).expect("the console's source is there") {
        let path = entry.expect("a readable folder").path();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        if path.extension().is_none_or(|ext| ext != "rs") {
            continue;
        }
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        for part in code.split(".route(").skip(1) {
            let part = part.trim_start();
            let Some((route, rest)) = part.strip_prefix('"').and_then(|part| part.split_once('"')) else { continue };
            if rest.trim_start_matches([',', ' ', '\n']).starts_with("get(") {
                found.insert(format!("/console{}", route.trim_end_matches('/')));
            }
        }
    }
    found
}

/// A route with its names emptied: `/instances/{id}` and `/instances/{}` are one.
fn emptied(route: &str) -> String {
    let parts: Vec<&str> = route.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect();
    parts.join("/")
}

/// Where a browser does not go: files, and what acts by being opened.
fn is_file(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or(path);
    [".csv", ".ndjson", ".md", ".json", ".txt", ".svg"].iter().any(|end| path.ends_with(end))
        || path.contains("/assets/")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_used_by_everybody_and_shows_hostile_names_as_text() {
    let test = "every_page_can_be_used_by_everybody_and_shows_hostile_names_as_text";
    let Some((program, axe)) = installed(test) else { return };
    let demo = Demo::start().await;
    let company = Company::settle(&demo).await;
    let instance = hostile(&demo).await;
    let further = further(&demo, &company.id).await;
    let browser = Browser::start(&program).await;
    let mut wrongs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut note = |path: &str, found: Vec<String>| {
        if !found.is_empty() {
            wrongs.entry(path.to_owned()).or_default().extend(found);
        }
    };

    browser.open(&demo.console("/sign-in")).await;
    note("/console/sign-in", wrong(&browser, &axe, false).await);
    sign_in(&browser, &demo, &demo.token).await;

    let root = format!("/instances/{}", company.id);
    let bad = format!("/instances/{instance}");
    // What no link leads to from where one begins: pages of the setup, of errors, of what is empty.
    let mut errors = Vec::new();
    let mut todo: VecDeque<String> = [
        bad.clone(),
        root.clone(),
        String::new(),
        format!("{bad}/people"),
        format!("{bad}/groups"),
        format!("{root}/setup/check"),
        format!("{root}/setup/policy"),
        format!("{root}/setup/preview"),
        format!("{root}/setup/review"),
        format!("{root}/connect?idp=entra"),
        format!("{bad}/connect?idp=okta"),
        format!("{root}/people/{}", company.people[0]),
        format!("{root}/groups/{}", company.group),
        format!("{root}/disable"),
        format!("{root}/delete"),
        format!("{root}/settings/schemas"),
        format!("{bad}/settings/schemas"),
        format!("{root}/settings/schemas/remove"),
        format!("{root}/settings/streams"),
        format!("{root}/settings/streams/new"),
        format!("{root}/settings/streams/{}", company.stream),
        format!("{root}/settings/streams/{}/change", company.stream),
        format!("{bad}/settings/streams"),
        "/settings/alerts".to_owned(),
        "/settings/alerts/new".to_owned(),
        format!("{root}/people/{}/link", company.people[0]),
        format!("{root}/groups/{}/link", company.group),
        format!("{root}/people/{}/erase", company.people[0]),
        format!("{root}/people/retry?state=needs"),
        format!("{root}/groups/retry?state=needs"),
        "/people/retry?state=needs".to_owned(),
        "/groups/retry?state=needs".to_owned(),
        format!("/holds/{}", company.hold),
        "/search?q=ada".to_owned(),
        "/search?q=nobody-is-called-so".to_owned(),
        "/people?q=nobody-is-called-so".to_owned(),
        "/instances/new".to_owned(),
        "/instances/new?q=nothing-is-called-so".to_owned(),
        "/instances/new?connector=github".to_owned(),
        "/catalogue/build?from=pagerduty".to_owned(),
        "/settings/members/new".to_owned(),
    ]
    .into_iter()
    .chain(further)
    .map(|path| format!("/console{path}"))
    .collect();
    for path in ["/nowhere", "/instances/in_none", "/holds/h_none", "/operations/op_none"] {
        errors.push(demo.console(path));
        todo.push_back(format!("/console{path}"));
    }
    let named = todo.iter().cloned().collect::<BTreeSet<_>>();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    while let Some(path) = todo.pop_front() {
        let of = kind(&path);
        let before = kinds.entry(of).or_default();
        if !seen.insert(path.clone()) || is_file(&path) || (*before >= OF_A_KIND && !named.contains(&path)) {
            continue;
        }
        *before += 1;
        let url = format!("{}{path}", demo.url);
        let status = browser.open(&url).await;
        assert!(status == 200 || errors.contains(&url), "{path}: {status}: {}", browser.words().await);
        let links =
            browser.eval("[...document.querySelectorAll('a[href]')].map((one) => one.getAttribute('href'))").await;
        for link in links.as_array().into_iter().flatten().filter_map(Value::as_str) {
            let link = link.split('#').next().unwrap_or(link);
            if link.starts_with("/console") {
                todo.push_back(link.to_owned());
            }
        }
        note(&path, wrong(&browser, &axe, seen.len() == 1).await);
        let known: Vec<&str> = errors.iter().map(String::as_str).collect();
        calm(&browser, &path, &known);
    }

    // A new page is looked at as soon as it is routed to.
    let visited: BTreeSet<String> =
        kinds.keys().map(|kind| emptied(kind.split(' ').next().unwrap_or_default())).collect();
    let missed: Vec<String> = routed()
        .into_iter()
        .filter(|route| !is_file(route) && !visited.contains(&emptied(route)))
        // The first was looked at above, before anybody was signed in; the way to a provider and back are no pages here.
        .filter(|route| !route.starts_with("/console/sign-in"))
        .collect();

    // Forms that say what is wrong, and a list that was not there.
    for (path, label) in [
        ("/instances/new?connector=buildkite", "Save and check the credential"),
        ("/settings/members/new", "Make the token"),
        ("/settings/alerts/new", "Add the webhook"),
        (&*format!("{root}/settings/streams/new"), "Add the stream"),
        (&*format!("{root}/people/{}/link", company.people[0]), "Link it"),
    ] {
        browser.open(&demo.console(path)).await;
        browser.follow(label).await;
        note(&format!("{path}, sent empty"), wrong(&browser, &axe, false).await);
    }

    // What is downloaded is opened by spreadsheets and programs: a formula is text there, a line an object.
    for (path, kind) in [
        ("/operations/export.ndjson", "ndjson"),
        ("/audit/export.ndjson", "ndjson"),
        (&*format!("/holds/{}/list.csv", company.hold), "csv"),
        (&*format!("{root}/people/{}/why.ndjson", company.people[0]), "ndjson"),
    ] {
        let script = format!("fetch({}).then(async (r) => [r.status, await r.text()])", json!(demo.console(path)));
        let got = browser.eval(&script).await;
        assert_eq!(got[0], 200, "{path}");
        let text = got[1].as_str().unwrap_or_default();
        assert!(text.lines().count() > 1, "{path}: {text}");
        match kind {
            "csv" => {
                for cell in text.lines().flat_map(|line| line.split(',')) {
                    let inside = cell.trim_start_matches('"');
                    assert!(!inside.starts_with(['=', '+', '@', '\t']), "{path}: a spreadsheet would run {cell}");
                }
            }
            _ => {
                for line in text.lines() {
                    let read: Value =
                        serde_json::from_str(line).unwrap_or_else(|error| panic!("{path}: {error}: {line}"));
                    assert!(read.is_object(), "{path}: {line}");
                }
            }
        }
        if path.contains("operations") {
            assert!(text.contains("HYPERLINK"), "{path}: {FORMULA} was never in it");
        }
    }
    let sent = ["/instances/new", "/settings/members", "/settings/alerts/new"].map(|path| demo.console(path));
    let below = ["settings/streams/new".to_owned(), format!("people/{}/link", company.people[0])];
    let below = below.map(|path| demo.console(&format!("{root}/{path}")));
    let known: Vec<&str> = sent.iter().chain(&below).map(String::as_str).collect();
    calm(&browser, "the end", &known);
    browser.end().await;
    drop(company.sim);
    let looked: usize = kinds.values().sum();
    assert!(missed.is_empty(), "nobody looked at {missed:#?}");
    assert!(wrongs.is_empty(), "{} of {looked} pages: {wrongs:#?}", wrongs.len());
}
