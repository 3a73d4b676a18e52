//! What becomes of versions of manifests with time.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Format, ManifestText};
use crate::clock::Clock;
use crate::service::App;
use crate::service::instances::NewInstance;
use crate::service::records::{AdminError, keep_time};
use crate::service::types::Mode;
use crate::store::{Priority, Rows, Sql};

const MANIFEST: &str = include_str!("../../../tests/common/desk.toml");
const DAY: u64 = 86_400;

async fn upload(app: &App, version: &str) {
    let text = MANIFEST.replace("version = \"1\"", &format!("version = {version:?}"));
    let given = ManifestText { text: Some(text), format: Some(Format::Toml), ..ManifestText::default() };
    assert!(app.upload_manifest("admin", given).await.unwrap().new);
}

async fn versions(app: &App) -> Vec<String> {
    let rows = app.store.reader().all("SELECT version FROM manifest ORDER BY version", vals![]).await.unwrap();
    rows.iter().map(|row| row.col("version").unwrap()).collect()
}

async fn purge(app: &App) {
    let write = |unit| app.store.write(Priority::Background, unit);
    keep_time(&app.config.retention, write).await.unwrap();
}

#[tokio::test]
async fn deleted_versions_go_once_their_time_is_over_and_held_ones_never() {
    let folder = TempDir::new().unwrap();
    let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
    let app: Arc<App> = App::for_tests(folder.path(), clock.clone()).await.unwrap();
    for version in ["1", "2", "3"] {
        upload(&app, version).await;
    }
    let new = NewInstance {
        name: "x".to_owned(),
        connector: "desk".to_owned(),
        connector_version: Some("2".to_owned()),
        settings: json!({"url": "http://127.0.0.1:1"}),
        secrets: [("token".to_owned(), "t".to_owned().into())].into(),
        mode: Mode::Paused,
        policy: Value::Null,
        schema: Value::Null,
    };
    let instance = app.create_instance("admin", new).await.unwrap();
    app.delete_manifest("admin", "desk", Some("1")).await.unwrap();
    assert!(matches!(app.delete_manifest("admin", "desk", Some("2")).await, Err(AdminError::Conflict(_))));
    clock.advance(Duration::from_secs(89 * DAY));
    purge(&app).await;
    assert_eq!(versions(&app).await, ["1", "2", "3"]);
    clock.advance(Duration::from_secs(2 * DAY));
    purge(&app).await;
    assert_eq!(versions(&app).await, ["2", "3"]);
    // Its instance goes, and then it may go as well.
    app.delete_instance("admin", &instance, false).await.unwrap();
    app.delete_manifest("admin", "desk", None).await.unwrap();
    clock.advance(Duration::from_secs(91 * DAY));
    purge(&app).await;
    assert_eq!(versions(&app).await, [] as [String; 0]);
}
