//! A gateway in process, and one instance of it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use gateway::clock::Clock;
use gateway::service::App;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

pub(crate) const ADMIN: &str = "Bearer admin-token-for-tests";
pub(crate) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub(crate) const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub(crate) const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
pub(crate) const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

pub(crate) struct Gateway {
    pub(crate) app: Arc<App>,
    pub(crate) router: Router,
    pub(crate) clock: Clock,
    _folder: TempDir,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.bytes)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.bytes));
        self
    }
}

pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) base: String,
    pub(crate) key: String,
    pub(crate) key_id: String,
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let app = App::for_tests(folder.path(), clock.clone()).await.unwrap();
        app.ensure_admin_token().await.unwrap();
        let router = gateway::scim_api::router(app.clone()).merge(gateway::admin_api::router(app.clone()));
        Self { app, router, clock, _folder: folder }
    }

    /// One gateway per database: SQLite always, PostgreSQL where the test run offers a server.
    #[allow(clippy::disallowed_methods, reason = "the test run says by environment where its database server is")]
    pub(crate) async fn everywhere() -> Vec<Self> {
        let mut all = vec![Self::start().await];
        match std::env::var("SCIMGATE_TEST_POSTGRES") {
            Ok(url) => all.push(Self::start_on_postgres(&url).await),
            Err(_) => eprintln!("skipped: PostgreSQL (SCIMGATE_TEST_POSTGRES is not set)"),
        }
        all
    }

    async fn start_on_postgres(server: &str) -> Self {
        let name = format!("api_{}", uuid::Uuid::new_v4().simple());
        let connection = sea_orm::Database::connect(server).await.unwrap();
        sea_orm::ConnectionTrait::execute_unprepared(&connection, &format!("CREATE DATABASE {name}")).await.unwrap();
        let mut url = url::Url::parse(server).unwrap();
        url.set_path(&name);
        let folder = TempDir::new().unwrap();
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let overrides = gateway::config::Overrides {
            data_dir: Some(folder.path().to_owned()),
            admin_token: Some("admin-token-for-tests".to_owned().into()),
            allow_private_targets: Some(true),
            database_url: Some(url.to_string().into()),
            master_key: Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned().into()),
            ..gateway::config::Overrides::default()
        };
        let app = App::build(gateway::config::Config::load(overrides).unwrap(), clock.clone()).await.unwrap();
        app.ensure_admin_token().await.unwrap();
        let router = gateway::scim_api::router(app.clone()).merge(gateway::admin_api::router(app.clone()));
        Self { app, router, clock, _folder: folder }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Reply { status: parts.status, headers: parts.headers, bytes: body.collect().await.unwrap().to_bytes().to_vec() }
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

    pub(crate) async fn user(&self, to: &Instance, name: &str) -> String {
        let body = json!({"schemas": [USER], "userName": name, "emails": [{"value": name, "type": "work"}]});
        self.scim(to, "POST", "/Users", Some(body)).await.expect(201).json()["id"].as_str().unwrap().to_owned()
    }
}
