//! What tests of the service begin with: a gateway on each database, an instance of no connector, rows by statement.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::DriverKey;
use engine::policy::Policy;
use serde_json::json;

use super::App;
use super::types::{Instance, Mode};
use crate::clock::Clock;
use crate::config::{Config, Database, Overrides};
use crate::store::tests::places;
use crate::store::{Sql, StoreError, Tx, Unit};

/// An instance of that row, whose connector cannot be used.
pub(super) fn instance(seq: i64) -> Arc<Instance> {
    Arc::new(Instance {
        seq,
        id: format!("in_{seq}"),
        name: "Acme".to_owned(),
        connector_name: "buildkite".to_owned(),
        connector_version: None,
        mode: Mode::Paused,
        settings: json!({}),
        policy: Policy::default(),
        config_rev: 1,
        driver_key: DriverKey::new("k"),
        created_at: 0,
        verifying_since: None,
        has_streams: false,
        rehearsed: false,
        declared: json!({}),
        registry: Arc::new(scim::Registry::core()),
        schema_problem: None,
        queue: Arc::default(),
        connector: Err("none is needed here".to_owned()),
    })
}

/// A gateway on each database, and what keeps it alive.
pub(super) async fn apps() -> Vec<(Arc<App>, tempfile::TempDir)> {
    let mut apps = Vec::new();
    for place in places().await {
        let folder = tempfile::tempdir().unwrap();
        let database_url = match &place.database {
            Database::Postgres(url) => Some(url.clone()),
            Database::Sqlite(_) => None,
        };
        let overrides = Overrides {
            data_dir: Some(folder.path().to_owned()),
            database_url,
            master_key: Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned().into()),
            ..Overrides::default()
        };
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        apps.push((App::build(Config::load(overrides).unwrap(), clock).await.unwrap(), folder));
    }
    apps
}

/// Statements of one transaction.
pub(super) struct Statements(pub(super) Vec<String>);

#[async_trait]
impl Unit for Statements {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        for text in &self.0 {
            tx.conn.run(text, vals![]).await.unwrap_or_else(|error| panic!("{text}: {error}"));
        }
        Ok(())
    }
}
