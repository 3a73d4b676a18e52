//! A gateway in process, and one instance of it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use gateway::clock::Clock;
use gateway::config::Overrides;
use gateway::service::App;
use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use crate::common::{ADMIN, GROUP, PATCH, Reply, SEARCH, USER};
use crate::common::{config, databases, send};

pub(crate) struct Gateway {
    pub(crate) app: Arc<App>,
    pub(crate) router: Router,
    pub(crate) clock: Clock,
    pub(crate) folder: TempDir,
}

pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) base: String,
    pub(crate) key: String,
    pub(crate) key_id: String,
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        Self::configured(Overrides::default()).await
    }

    /// One gateway on each database.
    pub(crate) async fn everywhere() -> Vec<Self> {
        let mut all = Vec::new();
        for db in databases() {
            all.push(Self::on(db.make().await.as_deref(), Overrides::default()).await);
        }
        all
    }

    /// A gateway with settings of its own.
    pub(crate) async fn configured(settings: Overrides) -> Self {
        Self::on(None, settings).await
    }

    async fn on(database: Option<&str>, settings: Overrides) -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let app = App::build(config(folder.path(), database, settings), clock.clone()).await.unwrap();
        app.ensure_admin_token().await.unwrap();
        let router = gateway::scim_api::router(app.clone()).merge(gateway::admin_api::router(app.clone()));
        Self { app, router, clock, folder }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        send(&self.router, request).await
    }

    pub(crate) async fn call(&self, method: &str, path: &str, auth: &str, body: Option<Value>) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if !auth.is_empty() {
            request = request.header("authorization", auth);
        }
        let body = match body {
            None => Body::empty(),
            Some(value) => {
                request = request.header("content-type", "application/json");
                Body::from(value.to_string())
            }
        };
        self.send(request.body(body).unwrap()).await
    }

    pub(crate) async fn admin(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.call(method, &format!("/admin/v1{path}"), ADMIN, body).await
    }

    pub(crate) async fn instance(&self, mode: &str, policy: Value) -> Instance {
        let body = json!({"name": "Acme", "connector": "buildkite", "settings": {"org": "acme"}, "secrets": {"token": "canary-secret"}, "mode": mode, "policy": policy});
        let made = self.admin("POST", "/instances", Some(body)).await.expect(201).json();
        let id = made["id"].as_str().unwrap().to_owned();
        assert_eq!(made["scim_base_url"], format!("http://127.0.0.1:8080/i/{id}/scim/v2"));
        let key = self.admin("POST", &format!("/instances/{id}/keys"), None).await.expect(201).json();
        Instance {
            base: format!("/i/{id}/scim/v2"),
            id,
            key: format!("Bearer {}", key["key"].as_str().unwrap()),
            key_id: key["id"].as_str().unwrap().to_owned(),
        }
    }

    pub(crate) async fn scim(&self, to: &Instance, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.call(method, &format!("{}{path}", to.base), &to.key, body).await
    }

    /// A key of an instance, made as the admin API is told.
    pub(crate) async fn key(&self, to: &Instance, new: Value) -> Instance {
        let key = self.admin("POST", &format!("/instances/{}/keys", to.id), Some(new)).await.expect(201).json();
        Instance {
            id: to.id.clone(),
            base: to.base.clone(),
            key: format!("Bearer {}", key["key"].as_str().unwrap()),
            key_id: key["id"].as_str().unwrap().to_owned(),
        }
    }

    /// A request with headers of its own; they may replace the key.
    pub(crate) async fn ask(
        &self,
        to: &Instance,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", to.base));
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", &to.key);
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).unwrap()).await
    }

    pub(crate) async fn user(&self, to: &Instance, name: &str) -> String {
        let body = json!({"schemas": [USER], "userName": name, "emails": [{"value": name, "type": "work"}]});
        self.scim(to, "POST", "/Users", Some(body)).await.expect(201).json()["id"].as_str().unwrap().to_owned()
    }
}
