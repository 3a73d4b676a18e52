//! Trying a connector at its target before there is an instance.

use std::sync::Arc;

use connector_sdk::Connector;
use gateway::driver::trial::{self, Outcome, Plan, Report};
use serde_json::{Map, Value, json};

use crate::rig::{Rig, databases, rig};

impl Rig {
    fn connector(&self) -> Arc<dyn Connector> {
        self.instance.connector.as_ref().map(Arc::clone).map_err(Clone::clone).unwrap()
    }

    async fn try_out(&self, plan: Plan) -> Report {
        self.app.driver.try_out(self.connector(), plan).await.unwrap()
    }

    /// What is at the target, in an order of its own.
    async fn holds(&self) -> Value {
        let state = self.state().await;
        json!([state["accounts"], state["invitations"], state["groups"]])
    }
}

fn plan(allow_writes: bool) -> Plan {
    Plan { allow_writes, person: Map::new(), label: trial::label() }
}

#[track_caller]
fn outcome(report: &Report, step: &str) -> Outcome {
    let found = report.steps.iter().find(|one| one.step == step);
    found.unwrap_or_else(|| panic!("{step} is not among {:#?}", report.steps)).outcome
}

fn failed(report: &Report) -> Vec<String> {
    let failed = report.steps.iter().filter(|step| step.outcome == Outcome::Failed);
    failed.map(|step| format!("{}: {}", step.step, step.detail)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_leave_a_trial_reads_and_writes_nothing() {
    for target in ["github", "buildkite"] {
        let db = databases().remove(0);
        let rig = rig(&db, target, json!({})).await;
        rig.control("POST", "/_sim/load", json!({"accounts": 3, "groups": 2})).await;
        let before = rig.holds().await;
        let report = rig.try_out(plan(false)).await;
        assert_eq!(failed(&report), [] as [String; 0], "{target}");
        assert!(report.ok && report.identity.is_some() && report.left_behind.is_empty(), "{report:?}");
        for step in [
            "probe",
            "list accounts",
            "list invitations",
            "read an account",
            "list groups",
            "find a group",
            "list members",
        ] {
            assert_eq!(outcome(&report, step), Outcome::Ok, "{target}: {step}");
        }
        assert!(report.steps.iter().all(|step| !step.writes), "{target}");
        assert!(
            report.steps.iter().filter(|step| !step.calls.is_empty()).count() > 4,
            "each call is told: {report:#?}"
        );
        assert_eq!(rig.holds().await, before, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trial_makes_it_takes_away_again() {
    for target in ["github", "buildkite"] {
        let db = databases().remove(0);
        let rig = rig(&db, target, json!({})).await;
        let before = rig.holds().await;
        let report = rig.try_out(plan(true)).await;
        assert_eq!(failed(&report), [] as [String; 0], "{target}");
        for step in [
            "create a person",
            "create the same person again",
            "remove the person",
            "create a group",
            "rename the group",
            "name the group as before",
            "delete the group",
            "look whether the person is gone",
        ] {
            assert_eq!(outcome(&report, step), Outcome::Ok, "{target}: {step}");
        }
        assert_eq!(rig.holds().await, before, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_away_is_told() {
    let db = databases().remove(0);
    let rig = rig(&db, "buildkite", json!({})).await;
    rig.control(
        "POST",
        "/_sim/faults",
        json!([{"match": {"method": "DELETE", "path": "."}, "times": 100, "do": {"status": 500, "body": "no"}}]),
    )
    .await;
    let report = rig.try_out(plan(true)).await;
    let left = rig.holds().await.to_string().contains("scimgate-test-");
    assert_eq!(left, !report.left_behind.is_empty(), "{report:#?}");
    assert_eq!(report.ok, !left);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_was_there_before_is_left_alone() {
    let db = databases().remove(0);
    let rig = rig(&db, "buildkite", json!({})).await;
    rig.control("POST", "/_sim/load", json!({"accounts": 1, "groups": 0})).await;
    let before = rig.holds().await;
    let person = json!({"userName": "load0000@example.com", "emails": [{"value": "load0000@example.com"}]});
    let person = person.as_object().unwrap().clone();
    let report = rig.try_out(Plan { person, ..plan(true) }).await;
    assert_eq!(outcome(&report, "look for the person"), Outcome::Failed);
    assert!(!report.ok && !report.steps.iter().any(|step| step.step == "create a person"));
    assert_eq!(rig.holds().await, before);
}

/// The admin's client hung up in the midst of it, and an account stayed at the target for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_trial_ends_though_nobody_waits_for_it_any_more() {
    let db = databases().remove(0);
    let rig = rig(&db, "buildkite", json!({})).await;
    let before = rig.holds().await;
    rig.control("POST", "/_sim/faults", json!([{"match": {"path": "."}, "times": 200, "do": {"delay_ms": 20}}])).await;
    let driver = rig.app.driver.clone();
    let connector = rig.connector();
    let waiting = tokio::spawn(async move { driver.try_out(connector, plan(true)).await });
    rig.wait("the person to be there", async || rig.holds().await.to_string().contains("scimgate-test-")).await;
    waiting.abort();
    rig.wait("the target to be as it was", async || rig.holds().await == before).await;
}
