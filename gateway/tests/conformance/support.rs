//! A gateway in process with one instance, and short words for what tests do with it.

use std::fmt::Write;

use axum::Router;
use axum::body::Body;
use gateway::clock::Clock;
use gateway::config::Overrides;
use gateway::service::App;
use http::{Method, Request};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

pub(crate) use crate::common::{ADMIN, GROUP, PATCH, Reply, SEARCH, USER};
use crate::common::{config, databases, send};

pub(crate) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// An extension that tests declare.
pub(crate) const ACME: &str = "urn:example:params:scim:schemas:extension:acme:2.0:User";
pub(crate) const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
pub(crate) const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// A gateway and one instance of it.
pub(crate) struct Stage {
    pub(crate) clock: Clock,
    /// The path of the instance's SCIM base.
    pub(crate) base: String,
    pub(crate) instance: String,
    /// The value of an Authorization header.
    pub(crate) key: String,
    pub(crate) folder: TempDir,
    router: Router,
}

impl Reply {
    /// A SCIM Error with this status and `scimType` (empty: none).
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, scim_type: &str) {
        self.refused_as(status, &[scim_type]);
    }

    /// The same where several keywords are right.
    #[track_caller]
    pub(crate) fn refused_as(&self, status: u16, scim_types: &[&str]) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        let body = self.json();
        assert_eq!(body["schemas"], json!([ERROR]), "{body}");
        assert_eq!(body["status"], status.to_string(), "{body}");
        assert!(body["detail"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
        let kind = body.get("scimType").map_or("", |kind| kind.as_str().unwrap());
        assert!(scim_types.contains(&kind), "{kind:?} and not one of {scim_types:?}: {body}");
    }
}

/// A database on the PostgreSQL server, where the test run offers one. It serves all tests of a run, as tenants of one
/// gateway are served.
async fn postgres() -> Option<String> {
    static MADE: OnceCell<Option<String>> = OnceCell::const_new();
    let make = async || {
        let url = databases().pop()?.make().await?;
        let folder = TempDir::new().unwrap();
        let config = config(folder.path(), Some(&url), Overrides::default());
        App::build(config, Clock::system()).await.unwrap().store.clone().close().await;
        Some(url)
    };
    MADE.get_or_init(make).await.clone()
}

/// An instance on SQLite.
pub(crate) async fn stage() -> Stage {
    stage_with(json!({})).await
}

/// An instance on SQLite, with members added to the body that makes it.
pub(crate) async fn stage_with(extra: Value) -> Stage {
    Stage::start(None, extra).await
}

/// An instance that takes the RFCs to the letter.
pub(crate) async fn strict() -> Stage {
    stage_with(json!({"policy": {"strict": true}})).await
}

/// An instance on each database.
pub(crate) async fn stages() -> Vec<Stage> {
    stages_with(json!({})).await
}

/// The same, with members added to the body that makes them.
pub(crate) async fn stages_with(extra: Value) -> Vec<Stage> {
    let mut all = vec![stage_with(extra.clone()).await];
    if let Some(url) = postgres().await {
        all.push(Stage::start(Some(&url), extra).await);
    }
    all
}

/// A declaration of attributes of the extension [`ACME`], from what differs: `{"name": …, "type": …}`.
pub(crate) fn acme(attributes: Value) -> Value {
    let mut all = attributes.as_array().unwrap().clone();
    for attribute in &mut all {
        attribute["resource_type"] = json!("User");
        attribute["schema"] = json!(ACME);
    }
    json!({"schema": {"attributes": all}})
}

/// A path with a query, percent-encoded.
pub(crate) fn q(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut out = path.to_owned();
    for (n, (name, value)) in pairs.iter().enumerate() {
        out.push(if n == 0 { '?' } else { '&' });
        out.push_str(name);
        out.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() {
                out.push(char::from(byte));
            } else {
                write!(out, "%{byte:02X}").unwrap();
            }
        }
    }
    out
}

/// A resource's body: `schemas` put before what differs, with the extensions that it uses.
pub(crate) fn body(schema: &str, rest: Value) -> Value {
    let mut out = Map::new();
    let mut schemas = vec![json!(schema)];
    schemas.extend(rest.as_object().unwrap().keys().filter(|key| key.starts_with("urn:")).map(|key| json!(key)));
    out.insert("schemas".into(), schemas.into());
    out.extend(rest.as_object().unwrap().clone());
    Value::Object(out)
}

impl Stage {
    async fn start(database: Option<&str>, extra: Value) -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let app = App::build(config(folder.path(), database, Overrides::default()), clock.clone()).await.unwrap();
        app.ensure_admin_token().await.unwrap();
        let router = gateway::scim_api::router(app.clone()).merge(gateway::admin_api::router(app));
        let mut stage =
            Self { clock, base: String::new(), instance: String::new(), key: String::new(), folder, router };
        (stage.instance, stage.base, stage.key) = stage.another(extra).await;
        stage
    }

    /// One more instance of the same gateway: its id, base path and key.
    pub(crate) async fn another(&self, extra: Value) -> (String, String, String) {
        let made = self.admin("POST", "/instances", Some(Self::declaration(extra))).await.expect(201).json();
        let id = made["id"].as_str().unwrap().to_owned();
        let key = self.new_key(&id, json!({})).await;
        (id.clone(), format!("/i/{id}/scim/v2"), key)
    }

    /// What makes an instance.
    pub(crate) fn declaration(extra: Value) -> Value {
        let mut body = json!({"name": "Acme", "connector": "buildkite", "settings": {"org": "acme"}, "secrets": {"token": "canary-secret"}, "mode": "paused"});
        for (name, value) in extra.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    }

    /// A key of an instance, as the value of a header.
    pub(crate) async fn new_key(&self, instance: &str, body: Value) -> String {
        let key = self.admin("POST", &format!("/instances/{instance}/keys"), Some(body)).await.expect(201).json();
        format!("Bearer {}", key["key"].as_str().unwrap())
    }

    pub(crate) async fn admin(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let headers = [("authorization", ADMIN), ("content-type", "application/json")];
        self.raw(method, &format!("/admin/v1{path}"), &headers, &bytes).await
    }

    /// A request as it is given, credentials included.
    pub(crate) async fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(&self.router, request.body(Body::from(body.to_vec())).unwrap()).await
    }

    /// A request with the key of the instance and headers besides.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Reply {
        let mut all = vec![("authorization", self.key.as_str())];
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            all.push(("content-type", "application/scim+json"));
        }
        all.extend_from_slice(headers);
        let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        self.raw(method, &format!("{}{path}", self.base), &all, &bytes).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], None).await
    }

    pub(crate) async fn read(&self, path: &str) -> Value {
        self.get(path).await.expect(200).json()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, &[], Some(&body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.send("PUT", path, &[], Some(&body)).await
    }

    /// PATCH with these operations.
    pub(crate) async fn patch(&self, path: &str, operations: Value) -> Reply {
        self.send("PATCH", path, &[], Some(&json!({"schemas": [PATCH], "Operations": operations}))).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, &[], None).await
    }

    /// Creates a user from what differs.
    pub(crate) async fn user(&self, rest: Value) -> Value {
        self.post("/Users", body(USER, rest)).await.expect(201).json()
    }

    /// Creates a user that has a name only; its id.
    pub(crate) async fn named(&self, name: &str) -> String {
        id(&self.user(json!({"userName": name})).await)
    }

    /// Creates a group; the answer.
    pub(crate) async fn group(&self, name: &str, members: &[&str]) -> Value {
        let members: Vec<Value> = members.iter().map(|id| json!({"value": id})).collect();
        let body = json!({"schemas": [GROUP], "displayName": name, "members": members});
        self.post("/Groups", body).await.expect(201).json()
    }

    /// The names of what a filter finds, in order of the alphabet.
    pub(crate) async fn found(&self, endpoint: &str, filter: &str) -> Vec<String> {
        let reply = self.get(&q(endpoint, &[("filter", filter)])).await;
        assert_eq!(reply.status, 200, "{filter}: {}", reply.text());
        let list = reply.json();
        assert_eq!(list["totalResults"], list["Resources"].as_array().map_or(0, Vec::len), "{filter}: {list}");
        let mut names = names(&list);
        names.sort();
        names
    }
}

/// The names of a list's resources, in its order.
pub(crate) fn names(list: &Value) -> Vec<String> {
    let name = |item: &Value| {
        item.get("userName").or(item.get("displayName")).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    list["Resources"].as_array().map(|items| items.iter().map(name).collect()).unwrap_or_default()
}

pub(crate) fn id(resource: &Value) -> String {
    resource["id"].as_str().unwrap_or_else(|| panic!("no id: {resource}")).to_owned()
}

/// The path of a user.
pub(crate) fn at(id: &str) -> String {
    format!("/Users/{id}")
}

/// The path of an address below the instance, from its absolute form.
pub(crate) fn below(stage: &Stage, address: &str) -> String {
    let (_, path) = address.split_once(&stage.base).unwrap_or_else(|| panic!("{address} is not below the base"));
    path.to_owned()
}
