//! The contract kit over every connector that has a simulator. One alone: `scimgate connector check NAME`.

#![allow(clippy::print_stdout, reason = "the report is for people who run it")]

use contract::{check, subjects};

#[tokio::test]
async fn every_connector_keeps_the_contract() {
    let mut broken = Vec::new();
    for subject in subjects() {
        let report = subject.play().await.expect("it is built for its simulator");
        println!("{}\n{report}\n", subject.title());
        assert!(!report.passed.is_empty(), "{}: nothing was played", subject.title());
        if let Some(next) = check::next(&report) {
            let (promise, file, why) = (next.promise, next.file, next.verdict.why().to_owned());
            broken.push(format!(
                "{}: {} promises are broken. Next, in {file}: {promise}: {why}",
                subject.title(),
                report.failed.len()
            ));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
}

/// Whatever is built in is played.
#[test]
fn every_connector_is_played() {
    let played: Vec<&str> = subjects().iter().map(|subject| subject.connector).collect();
    let left: Vec<&str> =
        connectors::builtin().iter().map(|entry| entry.name).filter(|name| !played.contains(name)).collect();
    assert_eq!(left, [] as [&str; 0], "add a line to connectors/contract/src/subjects.rs");
}

fn plain_limits(_: Timestamp) -> Vec<RateLimit> {
    Vec::new()
}

#[tokio::test]
async fn jupyterhub_keeps_the_contract() {
    let report = play("jupyterhub", json!({}), false, plain_limits).await;
    judge("jupyterhub", &report);
}
