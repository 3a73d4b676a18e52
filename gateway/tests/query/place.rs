//! A gateway in process on either database, and one paused instance of it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use futures_util::{StreamExt, stream};
use gateway::clock::Clock;
use gateway::config::Overrides;
use gateway::service::App;
use http::Request;
use serde_json::{Value, json};

use crate::common::{ADMIN, Reply, config, databases, send};
pub(crate) use crate::common::{GROUP, PATCH, SEARCH, USER};

pub(crate) struct Place {
    router: Router,
    pub(crate) clock: Clock,
    pub(crate) base: String,
    key: String,
    _app: Arc<App>,
    _folder: tempfile::TempDir,
}

impl Reply {
    /// A 400 with this keyword.
    #[track_caller]
    pub(crate) fn refused(self, scim_type: &str) {
        let error = self.expect(400).json();
        assert_eq!(error["scimType"], scim_type, "{error}");
    }
}

/// A place on every database.
pub(crate) async fn places() -> Vec<Place> {
    let mut all = Vec::new();
    for db in databases() {
        all.push(Place::open(db.make().await.as_deref()).await);
    }
    all
}

impl Place {
    async fn open(database: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let app = App::build(config(folder.path(), database, Overrides::default()), clock.clone()).await.unwrap();
        app.ensure_admin_token().await.unwrap();
        let router = gateway::scim_api::router(app.clone()).merge(gateway::admin_api::router(app.clone()));
        let mut place = Self { router, clock, base: String::new(), key: String::new(), _app: app, _folder: folder };
        (place.base, place.key) = place.instance().await;
        place
    }

    /// Another instance: its SCIM base path, and a key.
    pub(crate) async fn instance(&self) -> (String, String) {
        let body = json!({"name": "Acme", "connector": "buildkite", "settings": {"org": "acme"}, "secrets": {"token": "t"}, "mode": "paused"});
        let made = self.call("POST", "/admin/v1/instances", ADMIN, Some(body)).await.expect(201).json();
        let id = made["id"].as_str().unwrap();
        let key = self.call("POST", &format!("/admin/v1/instances/{id}/keys"), ADMIN, None).await.expect(201).json();
        (format!("/i/{id}/scim/v2"), format!("Bearer {}", key["key"].as_str().unwrap()))
    }

    pub(crate) async fn call(&self, method: &str, path: &str, auth: &str, body: Option<Value>) -> Reply {
        let request = Request::builder().method(method).uri(path).header("authorization", auth);
        let request = match body {
            None => request.body(Body::empty()),
            Some(value) => request.header("content-type", "application/json").body(Body::from(value.to_string())),
        };
        send(&self.router, request.unwrap()).await
    }

    pub(crate) async fn scim(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.call(method, &format!("{}{path}", self.base), &self.key, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.scim("GET", path, None).await
    }

    /// A list, at a path and query.
    #[track_caller]
    pub(crate) fn list(&self, path: &str) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        async move {
            let reply = self.get(path).await;
            assert_eq!(reply.status, 200, "{path} at {at}: {}", String::from_utf8_lossy(&reply.bytes));
            reply.json()
        }
    }

    pub(crate) async fn create(&self, path: &str, body: Value) -> String {
        self.scim("POST", path, Some(body)).await.expect(201).json()["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn user(&self, name: &str) -> String {
        let body = json!({"schemas": [USER], "userName": name, "emails": [{"value": name, "type": "work"}]});
        self.create("/Users", body).await
    }

    /// So many users, oldest first. Many are made several at a time, so that their names follow in any order.
    pub(crate) async fn users(&self, count: usize) -> Vec<String> {
        let made = stream::iter(0..count).map(|n| async move { self.user(&format!("user{n:05}@example.com")).await });
        if count <= 100 {
            return made.buffered(1).collect().await;
        }
        assert_eq!(made.buffered(32).count().await, count);
        let mut all = Vec::new();
        while all.len() < count {
            let path = format!("/Users?attributes=id&count=1000&startIndex={}", all.len() + 1);
            all.extend(ids(&self.list(&path).await));
        }
        all
    }

    pub(crate) async fn group(&self, name: &str, members: &[String]) -> String {
        self.create("/Groups", group(name, members)).await
    }
}

pub(crate) fn group(name: &str, members: &[String]) -> Value {
    let members: Vec<Value> = members.iter().map(|id| json!({"value": id})).collect();
    json!({"schemas": [GROUP], "displayName": name, "members": members})
}

/// The ids of a list.
pub(crate) fn ids(list: &Value) -> Vec<String> {
    list["Resources"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}
