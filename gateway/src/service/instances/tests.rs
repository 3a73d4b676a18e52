//! What the rules about instances protect, looked at through the store.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::clock::Clock;
use crate::store::{Tx, Unit};

/// Runs statements as they are.
struct Run(Vec<String>);

#[async_trait]
impl Unit for Run {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        for text in &self.0 {
            tx.conn.run(text, vals![]).await?;
        }
        Ok(())
    }
}

struct Fixture {
    app: Arc<App>,
    instance: Arc<Instance>,
    _folder: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let app = App::for_tests(folder.path(), clock).await.unwrap();
        let instance = app.create_instance("admin", new("acme")).await.unwrap();
        Self { app, instance, _folder: folder }
    }

    async fn sql(&self, texts: &[&str]) {
        let texts = texts.iter().map(|text| text.replace(":i", &self.instance.seq.to_string())).collect();
        self.app.store.write(Priority::Request, Run(texts)).await.unwrap();
    }

    async fn number(&self, text: &str) -> i64 {
        let text = text.replace(":i", &self.instance.seq.to_string());
        self.app.store.reader().one(&text, vals![]).await.unwrap().unwrap().col("n").unwrap()
    }

    async fn change(&mut self, change: InstanceChange) -> Result<(), AdminError> {
        self.instance = self.app.update_instance("admin", &self.instance, change).await?;
        Ok(())
    }
}

fn new(org: &str) -> NewInstance {
    NewInstance {
        name: "Acme".to_owned(),
        connector: "buildkite".to_owned(),
        connector_version: None,
        settings: json!({"org": org}),
        secrets: [("token".to_owned(), SecretString::from("canary-secret".to_owned()))].into(),
        mode: Mode::Paused,
        policy: Value::Null,
        schema: Value::Null,
    }
}

fn moved(org: &str) -> InstanceChange {
    InstanceChange {
        settings: json!({"org": org}).as_object().cloned(),
        secrets: [("token".to_owned(), Some(SecretString::from("other".to_owned())))].into(),
        ..InstanceChange::default()
    }
}

const USER: &str = "INSERT INTO resource (seq, instance_seq, kind, id, name, name_key, name_slot, external_id, active, doc, managed, listed, version, rev, \
     settled_rev, created_at, modified_at) VALUES (9001, :i, 'User', 'u1', 'ada', 'ada', 9001, NULL, 1, '{}', 0, 0, 1, 1, 1, 1, 1)";
const WORK: &str = "INSERT INTO work (resource_seq, instance_seq, driver_key, lane, rev, state, due_at, need, tries, since) VALUES (9001, :i, 'x', 0, 1, 'needs', 9, 'credential', 4, 1)";

#[tokio::test]
async fn an_identity_setting_is_fixed_once_an_account_is_linked() {
    let mut fixture = Fixture::new().await;
    fixture.change(moved("other")).await.unwrap();
    fixture
        .sql(&[
            USER,
            "INSERT INTO account (seq, instance_seq, kind, remote_id, status, protected, ours, doc, invites) VALUES (9002, :i, 'User', 'r1', 'active', 0, 0, '{}', 0)",
            "INSERT INTO link (seq, resource_seq, account_seq, state, evidence, opened_at) VALUES (9003, 9001, 9002, 'live', '{}', 1)",
        ])
        .await;
    assert!(matches!(fixture.change(moved("third")).await, Err(AdminError::Conflict(_))));
    assert_eq!(fixture.instance.settings["org"], "other");
    let tuning =
        InstanceChange { settings: json!({"pace": "headers"}).as_object().cloned(), ..InstanceChange::default() };
    fixture.change(tuning).await.unwrap();
}

#[tokio::test]
async fn a_change_makes_work_that_waits_for_a_person_due() {
    let mut fixture = Fixture::new().await;
    fixture.sql(&[USER, WORK]).await;
    let secrets = [("token".to_owned(), Some(SecretString::from("new".to_owned())))].into();
    fixture.change(InstanceChange { secrets, ..InstanceChange::default() }).await.unwrap();
    let key = fixture.instance.driver_key.as_str().to_owned();
    assert_eq!(fixture.number(&format!("SELECT COUNT(*) AS n FROM work WHERE state = 'todo' AND tries = 0 AND need IS NULL AND driver_key = '{key}'")).await, 1);
}

#[tokio::test]
async fn a_change_made_on_an_old_reading_is_refused() {
    let mut fixture = Fixture::new().await;
    let old = Arc::clone(&fixture.instance);
    let named = |name: &str| InstanceChange { name: Some(name.to_owned()), ..InstanceChange::default() };
    fixture.change(named("B")).await.unwrap();
    assert!(matches!(fixture.app.update_instance("admin", &old, named("C")).await, Err(AdminError::Conflict(_))));
}

#[tokio::test]
async fn listing_unmanaged_rows_keeps_the_totals() {
    let mut fixture = Fixture::new().await;
    fixture.sql(&[USER]).await;
    for (flag, total) in [(true, 1), (true, 1), (false, 0), (true, 1)] {
        let policy = json!({"list_unmanaged": flag}).as_object().cloned();
        fixture.change(InstanceChange { policy, ..InstanceChange::default() }).await.unwrap();
        assert_eq!(
            fixture.number("SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) AS n FROM tally WHERE instance_seq = :i").await,
            total
        );
        assert_eq!(fixture.number("SELECT CAST(listed AS BIGINT) AS n FROM resource WHERE seq = 9001").await, total);
    }
}

#[tokio::test]
async fn a_credential_that_was_moved_here_is_not_used() {
    let fixture = Fixture::new().await;
    let other = fixture.app.create_instance("admin", new("acme")).await.unwrap();
    fixture.sql(&[&format!("UPDATE sealed SET ciphertext = (SELECT ciphertext FROM sealed WHERE instance_seq = {}) WHERE instance_seq = :i", other.seq)]).await;
    let cache = Instances::new(fixture.app.store.clone(), fixture.app.ring.clone(), fixture.app.catalogue.clone());
    let read = cache.by_seq(fixture.instance.seq).await.unwrap().unwrap();
    let words = read.connector.as_ref().err().unwrap();
    assert!(words.contains("token") && !words.contains("canary-secret"), "{words}");
    assert!(cache.by_seq(other.seq).await.unwrap().unwrap().connector.is_ok());
}

#[tokio::test]
async fn no_credential_stands_in_the_database_as_it_was_given() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.number("SELECT COUNT(*) AS n FROM sealed WHERE ciphertext LIKE '%canary%'").await, 0);
    assert_eq!(
        fixture
            .number("SELECT COUNT(*) AS n FROM instance WHERE settings LIKE '%canary%' OR driver_key LIKE '%canary%'")
            .await,
        0
    );
    assert_eq!(
        fixture
            .number("SELECT COUNT(*) AS n FROM audit WHERE act = 'instance.create' AND detail NOT LIKE '%canary%'")
            .await,
        1
    );
}

#[tokio::test]
async fn an_instance_is_not_deleted_while_people_have_to_lose_access() {
    let fixture = Fixture::new().await;
    fixture.sql(&[USER, WORK]).await;
    assert!(matches!(
        fixture.app.delete_instance("admin", &fixture.instance, false).await,
        Err(AdminError::Conflict(_))
    ));
    fixture.app.delete_instance("admin", &fixture.instance, true).await.unwrap();
    assert_eq!(fixture.number("SELECT COUNT(*) AS n FROM work").await, 0);
    assert_eq!(fixture.number("SELECT COUNT(*) AS n FROM sealed").await, 0);
    assert!(fixture.app.instances.get(&fixture.instance.id).await.unwrap().is_none());
}

#[test]
fn ids_have_the_form_that_is_looked_up() {
    for _ in 0..100 {
        let id = new_id();
        assert!(is_id(&id), "{id}");
    }
    for wrong in [
        "",
        "in_",
        "in_0000000000000000000",
        "in_000000000000000000000",
        "xx_00000000000000000000",
        "in_0000000000000000000é",
    ] {
        assert!(!is_id(wrong), "{wrong}");
    }
}

/// A later version may bring an attribute of a declared name: the instance goes on without the declarations and says so.
#[tokio::test]
async fn declarations_that_cannot_be_used_any_more_are_reported_and_harm_nothing() {
    let fixture = Fixture::new().await;
    fixture
        .sql(&[r#"UPDATE instance SET declared = '{"attributes":[{"resource_type":"User","name":"title"}]}', config_rev = 9 WHERE seq = :i"#])
        .await;
    fixture.app.instances.invalidate(fixture.instance.seq);
    let instance = fixture.app.instances.by_seq(fixture.instance.seq).await.unwrap().unwrap();
    assert_eq!(*instance.registry, scim::Registry::core());
    let problem = instance.schema_problem.clone().unwrap();
    assert!(problem.contains("schema.attributes[0].name"), "{problem}");
    // Taken away, the problem is gone.
    let change = InstanceChange { schema: Some(Value::Null), ..InstanceChange::default() };
    let mended = fixture.app.update_instance("admin", &instance, change).await.unwrap();
    assert!(mended.schema_problem.is_none());
}

#[test]
fn every_connectors_extensions_make_schemas() {
    for entry in connectors::builtin() {
        let registry =
            schema::registry(Some(&entry), &json!({})).unwrap_or_else(|error| panic!("{}: {error}", entry.name));
        for extension in schema::describe_extensions(&entry) {
            let announced = registry.schema(extension["urn"].as_str().unwrap()).unwrap();
            assert!(
                !announced.attributes.is_empty()
                    && announced.attributes.len() == extension["attributes"].as_array().unwrap().len()
            );
        }
    }
}
