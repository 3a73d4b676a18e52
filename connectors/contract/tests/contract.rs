//! The contract kit over every connector of the catalogue, and the pages that tell what it saw.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test, whose report is for people")]

use std::path::Path;

use contract::{PLAYED_FOR_REAL, check, pages, subjects};

#[tokio::test]
async fn every_connector_keeps_the_contract_and_its_page_is_fresh() {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (pages, played) = pages::pages(&checkout).await.unwrap();
    let mut broken = Vec::new();
    for (subject, report) in &played {
        println!("{}\n{report}\n", subject.title());
        assert!(!report.passed.is_empty(), "{}: nothing was played", subject.title());
        if let Some(next) = check::next(report) {
            let (title, count) = (subject.title(), report.failed.len());
            broken.push(format!("{title} breaks {count}; {}: {}: {}", next.file, next.promise, next.verdict.why()));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n\n"));
    let stale: Vec<&str> = pages
        .iter()
        .filter(|(name, text)| {
            std::fs::read_to_string(checkout.join("docs/connectors").join(name)).ok().as_ref() != Some(text)
        })
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(stale, [] as [&str; 0], "these are stale; write them with: cargo run -p contract -- --docs");
}

/// Whatever is built in is played.
#[test]
fn every_connector_is_played() {
    let mut played: Vec<&str> = subjects().iter().map(|subject| subject.connector).collect();
    for (connector, tests) in PLAYED_FOR_REAL {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(tests);
        let files = std::fs::read_dir(folder).unwrap();
        let texts = files.filter_map(|file| std::fs::read_to_string(file.unwrap().path()).ok());
        assert!(texts.collect::<String>().contains("kit::run("), "{tests} plays no kit");
        played.push(connector);
    }
    let left: Vec<&str> =
        connectors::builtin().iter().map(|entry| entry.name).filter(|name| !played.contains(name)).collect();
    assert_eq!(left, [] as [&str; 0], "add a line to connectors/contract/src/subjects.rs");
}

/// What a page says that nobody declares would be lost, so each connector fills what people look for.
#[test]
fn every_connector_says_what_its_page_needs() {
    for entry in connectors::builtin() {
        let about = &entry.about;
        assert!(!about.summary.is_empty(), "{} has no summary", entry.name);
        assert!(!about.needs.is_empty(), "{} says nothing of what it needs", entry.name);
        assert!(!about.calls.is_empty(), "{} declares no call", entry.name);
        assert!(!about.sources.is_empty(), "{} names no source", entry.name);
        for call in &about.calls {
            assert!(!call.purpose.is_empty(), "{}: {} has no purpose", entry.name, call.name);
        }
    }
}
