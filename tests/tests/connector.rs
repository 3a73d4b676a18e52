//! `scimgate connector`: the binary holds a connector against its contract, and against a target over the wire.

#![expect(clippy::panic, reason = "a test reports by failing")]

use serde_json::{Value, json};
use tests::process;
use tests::sim::Sim;

/// The last line of a command's output, as JSON.
fn document(out: &str) -> Value {
    serde_json::from_str(out.trim()).unwrap_or_else(|error| panic!("{error}: {out}"))
}

#[tokio::test]
async fn a_connector_is_checked_against_its_simulated_target() {
    let ended = process::run(&["connector", "check", "buildkite", "--json"], &[]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.error);
    let ways = document(&ended.out);
    assert_eq!(ways[0]["ok"], true);
    let promises = ways[0]["promises"].as_array().expect("there are promises");
    assert!(promises.len() > 40, "{}", promises.len());
    assert!(
        promises.iter().any(|one| one["promise"] == "creating twice answers already there" && one["verdict"] == "kept")
    );
    let ended = process::run(&["connector", "check", "nothing"], &[]).await;
    assert_eq!(ended.code, Some(3), "{}", ended.error);
    assert!(ended.error.contains("github"), "{}", ended.error);
}

#[tokio::test]
async fn a_check_of_a_real_target_reads_writes_when_told_and_leaves_nothing() {
    let sim = Sim::start("buildkite").await;
    let offer = sim.instance("check");
    let mut env = vec![("SCIMGATE_ALLOW_PRIVATE_TARGETS".to_owned(), "true".to_owned())];
    for part in ["settings", "secrets"] {
        for (name, value) in offer[part].as_object().expect("an object") {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            env.push((format!("SCIMGATE_CHECK_{}", name.to_uppercase()), text));
        }
    }
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    sim.load(3, 2).await;
    let before = sim.state().await;

    let ended = process::run(&["connector", "check", "buildkite", "--live", "--json"], &env).await;
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.error);
    assert!(ended.error.contains("GET 127.0.0.1/v2/organizations/"), "every call is said: {}", ended.error);
    assert!(!ended.error.contains("DELETE "), "nothing is written: {}", ended.error);
    let token = offer["secrets"]["token"].as_str().expect("a token");
    assert!(!ended.error.contains(token) && !ended.out.contains(token), "the token is not shown");

    // Nobody is there to be asked, and nobody said yes.
    let writes = ["connector", "check", "buildkite", "--live", "--allow-writes", "--person", "check@kit.example"];
    let ended = process::run(&writes, &env).await;
    assert_eq!(ended.code, Some(5), "{}", ended.error);
    assert_eq!(sim.state().await, before);

    let ended = process::run(&[&writes[..], &["--yes", "--json"]].concat(), &env).await;
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.error);
    let lines = document(&ended.out);
    for promise in ["a group is made found renamed and removed", "a person is made found and removed"] {
        let line = lines["promises"].as_array().into_iter().flatten().find(|one| one["promise"] == promise);
        assert_eq!(line.map(|line| &line["verdict"]), Some(&json!("kept")), "{lines}");
    }
    assert_eq!(sim.state().await, before, "what was made is removed");
}

#[tokio::test]
async fn a_name_that_cannot_be_one_lays_nothing_down() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let dir = folder.path().display().to_string();
    for (name, word) in [("Lunch", "small letter"), ("type", "Rust"), ("lunch", "no checkout")] {
        let ended = process::run(&["connector", "new", name, "--dir", &dir], &[]).await;
        assert_eq!(ended.code, Some(2), "{name}: {}", ended.error);
        assert!(ended.error.contains(word), "{name}: {}", ended.error);
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 0);
}
