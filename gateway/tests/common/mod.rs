//! What the test programs of this package share: the databases to test on, and answers of a router.

#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod desk;

use axum::Router;
use axum::body::Body;
use gateway::config::{Config, Overrides};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

pub(crate) const ADMIN: &str = "Bearer admin-token-for-tests";
pub(crate) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub(crate) const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub(crate) const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
pub(crate) const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
const MASTER_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// The databases to test on.
#[derive(Clone)]
pub(crate) enum Db {
    /// A file in the gateway's folder.
    Sqlite,
    /// A PostgreSQL server, by its URL.
    Postgres(String),
}

/// SQLite always, PostgreSQL where the test run offers a server.
#[allow(clippy::disallowed_methods, reason = "the test run says by environment where its database server is")]
pub(crate) fn databases() -> Vec<Db> {
    let mut all = vec![Db::Sqlite];
    match std::env::var("SCIMGATE_TEST_POSTGRES") {
        Ok(server) => all.push(Db::Postgres(server)),
        Err(_) => eprintln!("skipped: PostgreSQL (SCIMGATE_TEST_POSTGRES is not set)"),
    }
    all
}

impl Db {
    /// A database of its own: its URL, or none for a file in the gateway's folder.
    pub(crate) async fn make(&self) -> Option<String> {
        let Self::Postgres(server) = self else { return None };
        let name = format!("gateway_{}", uuid::Uuid::new_v4().simple());
        let link = sea_orm::Database::connect(server.as_str()).await.unwrap();
        sea_orm::ConnectionTrait::execute_unprepared(&link, &format!("CREATE DATABASE {name}")).await.unwrap();
        link.close().await.unwrap();
        let mut url = url::Url::parse(server).unwrap();
        url.set_path(&name);
        Some(url.to_string())
    }
}

/// The configuration of a gateway whose admin token is [`ADMIN`]'s.
pub(crate) fn config(folder: &std::path::Path, database: Option<&str>, further: Overrides) -> Config {
    let all = Overrides {
        data_dir: Some(folder.to_owned()),
        admin_token: Some("admin-token-for-tests".to_owned().into()),
        allow_private_targets: Some(true),
        database_url: database.map(|url| url.to_owned().into()),
        master_key: database.map(|_| MASTER_KEY.to_owned().into()),
        ..further
    };
    Config::load(all).unwrap()
}

/// What a router answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

/// Sends a request to a router and reads the whole answer.
pub(crate) async fn send(router: &Router, request: Request<Body>) -> Reply {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Reply { status: parts.status, headers: parts.headers, bytes: body.collect().await.unwrap().to_bytes().to_vec() }
}

impl Reply {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }
}
