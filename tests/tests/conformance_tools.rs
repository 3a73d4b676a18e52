//! The conformance tools of others, run as programs against the real binary: scim2-tester (`scim test` of scim2-cli)
//! and scim-sanity. Each has an empty instance of its own, in front of each simulated target.
//!
//! A tool passes when it did what it is known to do and found nothing: the least number of checks is asserted, so a
//! tool that stopped half-way, or skipped what the gateway offers, fails.

#![expect(clippy::panic, reason = "a test reports by failing")]

use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use tests::admin::Instance;
use tests::env::setting;
use tests::{Db, Gateway, Sim};
use tokio::process::Command;

/// A tool takes some seconds; the bound is for a machine that compiles beside it.
const BOUND: Duration = Duration::from_secs(300);
/// What scim2-tester 0.5 checks of a service with users and groups: discovery, and for both kinds creation, look-ups,
/// attributes, search, replacement, deletion and a PATCH of every attribute by every operation.
const TESTER_CHECKS: usize = 120;
/// What scim-sanity 0.7 checks of one.
const SANITY_CHECKS: u64 = 28;

/// Where a tool is; says that the test was skipped where nobody installed them.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn tool(name: &str) -> Option<PathBuf> {
    let Some(folder) = setting("SCIMGATE_TEST_TOOLS") else {
        eprintln!("skipped: {name}: no SCIMGATE_TEST_TOOLS, which tests/run sets");
        return None;
    };
    let path = PathBuf::from(folder).join(name);
    assert!(path.is_file(), "SCIMGATE_TEST_TOOLS has no {name}");
    Some(path)
}

async fn ended(mut command: Command) -> Output {
    command.env("NO_COLOR", "1").env("COLUMNS", "200").kill_on_drop(true);
    tokio::time::timeout(BOUND, command.output())
        .await
        .unwrap_or_else(|_| panic!("{command:?} was not over within {} s", BOUND.as_secs()))
        .unwrap_or_else(|error| panic!("could not start {command:?}: {error}"))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

struct World {
    gateway: Gateway,
    // Ends with the world.
    _sim: Sim,
    instance: Instance,
}

async fn world(target: &str, policy: Value) -> World {
    let gateway = Gateway::start(Db::Sqlite).await;
    let sim = Sim::start(target).await;
    let admin = gateway.admin();
    let instance = admin.connect(&sim, policy).await;
    admin.imported(&instance.id).await;
    World { gateway, _sim: sim, instance }
}

/// `scim test`: a line `STATUS check` for each check, its reason below.
async fn scim2_tester(title: &str, world: &World) {
    let Some(scim) = tool("scim") else { return };
    let mut command = Command::new(scim);
    command
        .args(["--url", &world.instance.scim.base, "test"])
        .env("SCIM_CLI_HEADERS", format!("Authorization: Bearer {}", world.instance.scim.key));
    let output = ended(command).await;
    let text = said(&output);
    let statuses = ["SUCCESS", "COMPLIANT", "ACCEPTABLE", "DEVIATION", "ERROR", "CRITICAL", "SKIPPED"];
    let checks: Vec<&str> =
        text.lines().filter(|line| statuses.iter().any(|status| line.starts_with(&format!("{status} ")))).collect();
    let others: Vec<_> = checks.iter().filter(|line| !line.starts_with("SUCCESS ")).collect();
    assert!(
        output.status.success() && others.is_empty() && checks.len() >= TESTER_CHECKS,
        "scim2-tester, {title}: {} checks, {} of them no success\n{text}\n{}",
        checks.len(),
        others.len(),
        world.gateway.log()
    );
    for check in [
        "object_creation",
        "object_query",
        "object_query_without_id",
        "object_query_with_attributes",
        "object_list_with_attributes",
        "search_with_attributes",
        "object_replacement",
        "object_deletion",
        "check_add_attribute",
        "check_remove_attribute",
        "check_replace_attribute",
    ] {
        let times = checks.iter().filter(|line| line.ends_with(check)).count();
        assert!(
            times >= 2,
            "scim2-tester, {title}: {check} ran {times} times, wanted it for users and for groups\n{text}"
        );
    }
}

async fn scim_sanity(title: &str, world: &World) {
    let Some(sanity) = tool("scim-sanity") else { return };
    let mut command = Command::new(sanity);
    command.args(["probe", &world.instance.scim.base, "--token", &world.instance.scim.key]);
    command.args(["--strict", "--json-output", "--i-accept-side-effects"]);
    let output = ended(command).await;
    let text = said(&output);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let count = |name: &str| report["summary"][name].as_u64().unwrap_or(u64::MAX);
    let wrong = ["failed", "errors", "warnings"].map(count);
    assert!(
        output.status.success() && wrong == [0, 0, 0] && count("passed") >= SANITY_CHECKS && count("passed") < u64::MAX,
        "scim-sanity, {title}\n{text}\n{}",
        world.gateway.log()
    );
    // Kinds of a draft that the gateway does not have, and nothing else, may be left out.
    for result in report["results"].as_array().into_iter().flatten().filter(|result| result["status"] == "skip") {
        let name = result["name"].as_str().unwrap_or_default();
        assert!(name.starts_with("Agent"), "scim-sanity, {title}: skipped {name}\n{text}");
    }
}

#[tokio::test]
async fn scim2_tester_finds_nothing() {
    for target in ["github", "buildkite"] {
        scim2_tester(target, &world(target, json!({})).await).await;
    }
}

/// Neither tool passes under `strict`: scim2-tester fills language tags, time zones and countries with any text, and
/// scim-sanity adds the member `fake-member-id` and wants it accepted, which is the leniency `foreign_member`.
#[tokio::test]
async fn scim_sanity_finds_nothing() {
    for target in ["github", "buildkite"] {
        scim_sanity(target, &world(target, json!({})).await).await;
    }
}
