//! How a gateway starts, or says why it does not; what it tells about what waits.

use std::time::Duration;

use gateway::clock::Clock;
use gateway::service::{App, StartError};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::{Gateway, PATCH};

const BOUND: Duration = Duration::from_secs(20);

/// Starts a gateway on a folder and ends it again.
async fn set_up(folder: &std::path::Path) {
    let app = App::for_tests(folder, Clock::system()).await.unwrap();
    app.store.clone().close().await;
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm"))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_database_whose_key_file_is_missing_is_refused_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    set_up(folder.path()).await;
    assert_eq!(names(folder.path()), ["master.key", "scimgate.db", "scimgate.lock"]);
    std::fs::remove_file(folder.path().join("master.key")).unwrap();
    std::fs::remove_file(folder.path().join("scimgate.lock")).unwrap();
    let refused = App::for_tests(folder.path(), Clock::system()).await.err().unwrap();
    let words = refused.to_string();
    assert!(words.contains("master.key") && words.contains("SCIMGATE_MASTER_KEY"), "{words}");
    assert_eq!(names(folder.path()), ["scimgate.db"]);
}

#[tokio::test]
async fn another_databases_key_file_is_refused_in_whole_sentences() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    set_up(folder.path()).await;
    set_up(other.path()).await;
    std::fs::copy(other.path().join("master.key"), folder.path().join("master.key")).unwrap();
    let refused = App::for_tests(folder.path(), Clock::system()).await.err().unwrap();
    assert!(matches!(refused, StartError::WrongKey(_)), "{refused}");
    let words = refused.to_string();
    assert!(!words.contains("..") && !words.contains(".:"), "{words}");
}

/// The value of a metric, once `/metrics` has it.
async fn metric(gateway: &Gateway, name: &str) -> String {
    let look = async {
        loop {
            let page = gateway.call("GET", "/metrics", "", None).await;
            let page = String::from_utf8(page.bytes).unwrap();
            if let Some(line) = page.lines().find_map(|line| line.strip_prefix(name)) {
                return line.trim().to_owned();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, look).await.unwrap_or_else(|_| panic!("{name} is not shown"))
}

#[tokio::test]
async fn the_age_of_an_open_deprovision_is_a_metric() {
    let gateway = Gateway::start().await;
    let (busy, idle) = (gateway.instance("paused", json!({})).await, gateway.instance("paused", json!({})).await);
    let id = gateway.user(&busy, "ada@example.com").await;
    gateway.user(&idle, "bob@example.com").await;
    let body = json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "active", "value": false}]});
    gateway.scim(&busy, "PATCH", &format!("/Users/{id}"), Some(body)).await.expect(200);
    gateway.clock.advance(Duration::from_secs(90));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(gateway::app::run(gateway.app.clone(), listener, stop.clone()));
    let age = |id: &str| format!("scimgate_oldest_deprovision_seconds{{instance=\"{id}\"}}");
    assert_eq!(metric(&gateway, &age(&busy.id)).await, "90");
    assert_eq!(metric(&gateway, &age(&idle.id)).await, "0");
    assert_eq!(metric(&gateway, "scimgate_work_rows{state=\"todo\"}").await, "2");
    assert_eq!(metric(&gateway, "scimgate_parked_memberships_rows").await, "0");
    stop.cancel();
    tokio::time::timeout(BOUND, running).await.unwrap().unwrap().unwrap();
}
