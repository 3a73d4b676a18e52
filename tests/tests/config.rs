//! The files in `config/` are what they say: examples that work.

#![expect(clippy::panic, reason = "a test reports by failing")]

use connector_sdk::Secrets;
use secrecy::SecretString;
use serde_json::Value;
use tests::workspace;

fn example(name: &str) -> Value {
    let path = workspace().join("config").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[track_caller]
fn check_instance(name: &str) {
    let body = example(name);
    let entry = connectors::builtin()
        .into_iter()
        .find(|entry| body["connector"] == entry.name)
        .unwrap_or_else(|| panic!("{name}: no connector {}", body["connector"]));
    let secrets = body["secrets"].as_object().into_iter().flatten();
    let secrets = Secrets::new(secrets.map(|(name, secret)| {
        let secret = secret.as_str().unwrap_or_default();
        (name.clone(), SecretString::from(secret))
    }));
    if let Err(error) = entry.build(&body["settings"], &secrets) {
        panic!("{name}: {error}");
    }
    // An example that somebody sends unread must not change anything at the target.
    assert_eq!(body["mode"], "rehearse", "{name}");
}

#[test]
fn example_instances_are_accepted_by_their_connectors() {
    check_instance("example-github.json");
    check_instance("example-buildkite.json");
}
