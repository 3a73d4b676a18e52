//! A browser as far as the console needs one: cookies, links, forms; no script.

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::Router;
use axum::body::Body;
use gateway::clock::Clock;
use gateway::config::Overrides;
use gateway::service::App;
use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::common::{ADMIN, Db, Reply, USER, config, send};

pub(crate) const TOKEN: &str = "admin-token-for-tests";
/// A name as a hostile directory would have it: markup, quotes, a change of the text's direction, nothing to see.
pub(crate) const HOSTILE: &str = "<img src=x onerror=\"alert(1)\">\u{202e}&'\u{200b}gro.live";

pub(crate) struct Gateway {
    pub(crate) router: Router,
    pub(crate) clock: Clock,
    pub(crate) folder: TempDir,
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        Self::configured(TempDir::new().unwrap(), Overrides::default()).await
    }

    pub(crate) async fn configured(folder: TempDir, settings: Overrides) -> Self {
        Self::at(Clock::manual("2026-01-01T00:00:00Z".parse().unwrap()), folder, None, settings).await
    }

    /// On one of the databases.
    pub(crate) async fn on(db: &Db) -> Self {
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        Self::at(clock, TempDir::new().unwrap(), db.make().await.as_deref(), Overrides::default()).await
    }

    /// One by this clock, on a database of PostgreSQL or a file in the folder.
    pub(crate) async fn at(clock: Clock, folder: TempDir, database: Option<&str>, settings: Overrides) -> Self {
        let token = settings.admin_token.clone();
        let mut config = config(folder.path(), database, settings);
        if token.is_some() {
            config.admin_token = token;
        }
        let app = App::build(config, clock.clone()).await.unwrap();
        app.ensure_admin_token().await.unwrap();
        Self { router: gateway::app::router(&app), clock, folder }
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser { router: self.router.clone(), cookies: Mutex::default() }
    }

    /// A browser that is signed in with the first token.
    pub(crate) async fn owner(&self) -> Browser {
        let browser = self.browser();
        browser.sign_in(TOKEN).await;
        browser
    }

    /// A browser that is signed in as a new member, with the member's id and token.
    pub(crate) async fn member(&self, name: &str, role: &str) -> (Browser, String, String) {
        let (id, token) = self.token(json!({"name": name, "role": role})).await;
        let browser = self.browser();
        browser.sign_in(&token).await;
        (browser, id, token)
    }

    /// A new member: id and token.
    pub(crate) async fn token(&self, new: Value) -> (String, String) {
        let made = self.admin("POST", "/members", Some(new)).await.expect(201).json();
        (made["id"].as_str().unwrap().to_owned(), made["token"].as_str().unwrap().to_owned())
    }

    pub(crate) async fn admin(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.admin_as(ADMIN, method, path, body).await
    }

    pub(crate) async fn admin_as(&self, auth: &str, method: &str, path: &str, body: Option<Value>) -> Reply {
        let request = Request::builder().method(method).uri(format!("/admin/v1{path}")).header("authorization", auth);
        let request = match body {
            None => request.body(Body::empty()),
            Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
        };
        send(&self.router, request.unwrap()).await
    }

    /// Something of every kind, with hostile names: an instance with its key, people, and what they left on record.
    pub(crate) async fn furnished() -> Self {
        let gateway = Self::start().await;
        for name in ["Acme", HOSTILE] {
            let body = json!({"name": name, "connector": "buildkite", "settings": {"org": "acme"}, "secrets": {"token": "canary-secret"}, "mode": "paused"});
            let made = gateway.admin("POST", "/instances", Some(body)).await.expect(201).json();
            let id = made["id"].as_str().unwrap();
            let key = gateway.admin("POST", &format!("/instances/{id}/keys"), Some(json!({"name": HOSTILE}))).await;
            let key = format!("Bearer {}", key.expect(201).json()["key"].as_str().unwrap());
            for who in ["ada@example.com".to_owned(), HOSTILE.to_owned(), "x".repeat(3_000)] {
                let body = json!({"schemas": [USER], "userName": who, "displayName": HOSTILE});
                let request = Request::builder().method("POST").uri(format!("/i/{id}/scim/v2/Users"));
                let request = request.header("authorization", &key).body(Body::from(body.to_string())).unwrap();
                send(&gateway.router, request).await.expect(201);
            }
        }
        gateway
    }
}

pub(crate) struct Browser {
    router: Router,
    pub(crate) cookies: Mutex<BTreeMap<String, String>>,
}

/// A form of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) method: String,
    pub(crate) action: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Browser {
    /// One request, as a browser sends it from a page of the console; what it is answered, redirections not followed.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: String) -> Reply {
        let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:8080");
        let cookies: Vec<String> = self.cookies.lock().unwrap().iter().map(|(k, v)| format!("{k}={v}")).collect();
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        if method == "POST" && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let reply = send(&self.router, request.body(Body::from(body)).unwrap()).await;
        let mut cookies = self.cookies.lock().unwrap();
        for set in reply.headers.get_all("set-cookie") {
            let text = set.to_str().unwrap();
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            if text.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        reply
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], String::new()).await
    }

    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.post_from("same-origin", path, fields).await
    }

    pub(crate) async fn post_from(&self, site: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send("POST", path, &[("sec-fetch-site", site)], body).await
    }

    /// Sends a form of a page with some fields filled in.
    pub(crate) async fn submit(&self, form: &Form, fill: &[(&str, &str)]) -> Reply {
        let mut fields: Vec<(&str, &str)> = form
            .fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| !fill.iter().any(|(filled, _)| filled == name))
            .collect();
        fields.extend(fill);
        self.post(&form.action, &fields).await
    }

    pub(crate) async fn sign_in(&self, token: &str) {
        let reply = self.post("/console/sign-in", &[("token", token), ("next", "/console")]).await.expect(303);
        assert_eq!(reply.header("location"), "/console");
    }

    /// Whether the browser has a session that lives.
    pub(crate) async fn is_in(&self) -> bool {
        self.get("/console").await.status == 200
    }

    /// The form token of the session.
    pub(crate) async fn csrf(&self) -> String {
        let forms = self.get("/console").await.expect(200).forms();
        let field = forms.iter().flat_map(|form| &form.fields).find(|(name, _)| name == "csrf");
        field.unwrap().1.clone()
    }
}

/// One tag of a page.
#[derive(Debug)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
}

impl Tag {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

fn decoded(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&")
}

/// The opening tags of a page, in their order.
fn tags(html: &str) -> Vec<Tag> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let mut tag = Tag { name: rest[..end].to_lowercase(), attributes: Vec::new() };
        rest = rest[end..].trim_start();
        while !rest.starts_with(['>']) && !rest.is_empty() {
            let end = rest.find(['=', ' ', '>']).unwrap_or(rest.len());
            let name = rest[..end].to_lowercase();
            rest = &rest[end..];
            let mut value = String::new();
            if let Some(after) = rest.strip_prefix("=\"") {
                let close = after.find('"').unwrap_or_else(|| panic!("an attribute without an end: {name}"));
                value = decoded(&after[..close]);
                rest = &after[close + 1..];
            }
            tag.attributes.push((name, value));
            rest = rest.trim_start();
        }
        found.push(tag);
    }
    found
}

impl Reply {
    pub(crate) fn tags(&self) -> Vec<Tag> {
        tags(&self.text())
    }

    /// The text without markup.
    pub(crate) fn words(&self) -> String {
        let html = self.text();
        let mut out = String::new();
        let mut inside = false;
        for c in html.chars() {
            match c {
                '<' => inside = true,
                '>' => {
                    inside = false;
                    out.push(' ');
                }
                c if !inside => out.push(c),
                _ => {}
            }
        }
        decoded(&out.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// Where the links lead.
    pub(crate) fn links(&self) -> Vec<String> {
        self.tags().iter().filter(|tag| tag.name == "a").filter_map(|tag| tag.get("href")).map(str::to_owned).collect()
    }

    /// The forms, with what stands in their fields.
    pub(crate) fn forms(&self) -> Vec<Form> {
        let mut forms: Vec<Form> = Vec::new();
        for tag in self.tags() {
            let text = |name: &str| tag.get(name).unwrap_or_default().to_owned();
            match tag.name.as_str() {
                "form" => forms.push(Form { method: text("method"), action: text("action"), fields: Vec::new() }),
                "input" | "textarea" => {
                    let off = matches!(tag.get("type"), Some("radio" | "checkbox")) && tag.get("checked").is_none();
                    if let Some(form) = forms.last_mut().filter(|_| !off && tag.get("name").is_some()) {
                        form.fields.push((text("name"), text("value")));
                    }
                }
                _ => {}
            }
        }
        forms
    }

    /// The form that is sent there.
    #[track_caller]
    pub(crate) fn form(&self, action: &str) -> Form {
        let forms = self.forms();
        let found = forms.iter().find(|form| form.action == action);
        found.cloned().unwrap_or_else(|| panic!("no form is sent to {action}: {forms:?}"))
    }
}

/// A text as it stands in a query.
pub(crate) fn escaped(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

/// Kept so that the folder lives as long as its gateway.
pub(crate) fn taken(gateway: Gateway) -> TempDir {
    gateway.folder
}
