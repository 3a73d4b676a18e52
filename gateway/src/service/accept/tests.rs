//! The row of work, kept by SQL and by the engine, side by side.

use std::sync::Arc;

use async_trait::async_trait;
use engine::Lane;
use engine::coalesce::{WorkRow, WorkState, upsert};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;

use super::{Create, upsert_work};
use crate::clock::Clock;
use crate::service::clients::Spoken;
use crate::service::fixture::instance;
use crate::service::types::{Caller, Failure, Instance};
use crate::store::tests::places;
use crate::store::{Priority, Rows, Sql, Store, StoreError, Tx, Unit};

const RESOURCES: usize = 200;
const STEPS: usize = 16;

/// What happens to the work of one resource.
#[derive(Clone, Debug)]
enum Step {
    /// A change is accepted.
    Accept { lane: Lane, newer: i64 },
    /// A driver takes the row, or puts it down.
    Drive { state: WorkState, later: i64, tries: u32, need: bool },
    /// The work is done.
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let drive = (0_usize..WorkState::ALL.len(), 0_i64..1_000, any::<u32>(), any::<bool>());
    prop_oneof![
        4 => (0_i16..5, -1_i64..3).prop_map(|(lane, newer)| Step::Accept { lane: Lane::from_number(lane), newer }),
        3 => drive.prop_map(|(state, later, tries, need)| Step::Drive { state: WorkState::ALL[state], later, tries, need }),
        1 => Just(Step::Settle),
    ]
}

/// One step of every resource.
#[derive(Clone)]
struct Play {
    instance: Arc<Instance>,
    rows: Vec<Option<WorkRow>>,
    steps: Vec<Step>,
}

#[async_trait]
impl Unit for Play {
    type Out = Vec<Option<WorkRow>>;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Self::Out, StoreError> {
        let mut after = Vec::with_capacity(self.rows.len());
        for ((resource, row), step) in (1_i64..).zip(&self.rows).zip(&self.steps) {
            after.push(match (step, row) {
                (Step::Accept { lane, newer }, row) => {
                    let rev = row.as_ref().map_or(1, |row| row.rev + newer);
                    upsert_work(tx, &self.instance, resource, *lane, rev, None).await?;
                    Some(upsert(row.as_ref(), *lane, rev, tx.now))
                }
                (Step::Drive { state, later, tries, need }, Some(row)) => {
                    // A claim leaves the words of the last attempt where they are.
                    let need = *need || matches!(state, WorkState::Waiting | WorkState::Needs);
                    let row = WorkRow {
                        state: *state,
                        due_at: tx.now + later,
                        need: need.then(|| "quota".to_owned()),
                        tries: *tries,
                        looks: *tries,
                        panics: *tries,
                        ..row.clone()
                    };
                    drive(tx, resource, &row).await?;
                    Some(row)
                }
                (Step::Drive { .. } | Step::Settle, _) => {
                    tx.conn.run("DELETE FROM work WHERE resource_seq = $1", vals![resource]).await?;
                    None
                }
            });
        }
        Ok(after)
    }
}

async fn drive(tx: &Tx<'_>, resource: i64, row: &WorkRow) -> Result<(), StoreError> {
    let hold = (row.state == WorkState::Held).then_some(1_i64);
    let epoch = (row.state == WorkState::Running).then_some(1_i64);
    tx.conn
        .run(
            "UPDATE work SET state = $2, due_at = $3, need = $4, reason = $4, tries = $5, looks = $5, panics = $5, hold_seq = $6, claim_epoch = $7 WHERE resource_seq = $1",
            vals![resource, row.state.as_str(), row.due_at, row.need.clone(), i64::from(row.tries), hold, epoch],
        )
        .await?;
    Ok(())
}

/// An instance, so many resources that work is about, and a hold for what is held.
struct Furnish(usize);

#[async_trait]
impl Unit for Furnish {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let instance = "INSERT INTO instance (seq, id, name, connector, mode, settings, policy, config_rev, driver_key, created_at) \
             VALUES (1, 'in_1', 'Acme', 'buildkite', 'paused', '{}', '{}', 1, 'k', 0)";
        tx.conn.run(instance, vals![]).await?;
        let hold =
            "INSERT INTO hold (seq, id, instance_seq, state, remind_at, opened_at) VALUES (1, 'h', 1, 'open', 0, 0)";
        tx.conn.run(hold, vals![]).await?;
        for resource in (1_i64..).take(self.0) {
            tx.conn
                .run(
                    "INSERT INTO resource (seq, instance_seq, kind, id, name, name_key, name_slot, active, doc, managed, listed, version, rev, settled_rev, created_at, modified_at) \
                     VALUES ($1, 1, 'User', $2, $2, $2, 0, 1, '{}', 1, 1, 1, 1, 0, 0, 0)",
                    vals![resource, format!("u{resource}")],
                )
                .await?;
        }
        Ok(())
    }
}

/// What the table holds, and whether what goes with a state went with it.
async fn stored(store: &Store) -> Vec<Option<WorkRow>> {
    let text =
        "SELECT resource_seq, lane, rev, state, due_at, need, reason, hold_seq, tries, looks, panics, since FROM work";
    let mut rows = vec![None; RESOURCES];
    for row in store.reader().all(text, vals![]).await.unwrap() {
        let state = WorkState::parse(&row.col::<String>("state").unwrap()).unwrap();
        let need: Option<String> = row.col("need").unwrap();
        assert_eq!(row.col::<Option<String>>("reason").unwrap(), need, "a reason without its need");
        assert!(row.col::<Option<i64>>("hold_seq").unwrap().is_some() || state != WorkState::Held);
        let at = usize::try_from(row.col::<i64>("resource_seq").unwrap() - 1).unwrap();
        rows[at] = Some(WorkRow {
            lane: Lane::from_number(row.col("lane").unwrap()),
            rev: row.col("rev").unwrap(),
            state,
            due_at: row.col("due_at").unwrap(),
            need,
            tries: row.col::<i64>("tries").unwrap().try_into().unwrap(),
            looks: row.col::<i64>("looks").unwrap().try_into().unwrap(),
            panics: row.col::<i64>("panics").unwrap().try_into().unwrap(),
            since: row.col("since").unwrap(),
        });
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statement_and_the_engine_keep_the_same_row_of_work() {
    let plays = prop::collection::vec(prop::collection::vec(step(), STEPS), RESOURCES);
    let plays = plays.new_tree(&mut TestRunner::deterministic()).unwrap().current();
    for place in places().await {
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let store = Store::open(&place.database, clock.clone()).await.unwrap();
        store.write(Priority::Request, Furnish(RESOURCES)).await.unwrap();
        let mut rows = vec![None; RESOURCES];
        for at in 0..STEPS {
            clock.advance(std::time::Duration::from_micros(700));
            let steps = plays.iter().map(|play| play[at].clone()).collect();
            let play = Play { instance: instance(1), rows: rows.clone(), steps };
            rows = store.write(Priority::Request, play).await.unwrap();
            for ((stored, row), play) in stored(&store).await.iter().zip(&rows).zip(&plays) {
                assert_eq!(stored, row, "after {:?}", &play[..=at]);
            }
        }
    }
}

/// A unit that is rolled back the first time, as PostgreSQL may ask for at any moment.
struct Again(Arc<tokio::sync::Mutex<(Create, u32)>>);

#[async_trait]
impl Unit for Again {
    type Out = usize;
    type Err = Failure;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<usize, Failure> {
        let mut held = self.0.lock().await;
        let (unit, runs) = &mut *held;
        let accepted = unit.run(tx).await?;
        *runs += 1;
        if *runs == 1 { Err(StoreError::Busy("again".to_owned()).into()) } else { Ok(accepted.groups) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_the_database_repeats_keeps_the_groups_of_the_user() {
    // The wait before a repetition is by the clock, so it has to go.
    for place in places().await {
        let store = Store::open(&place.database, Clock::system()).await.unwrap();
        store.write(Priority::Request, Furnish(0)).await.unwrap();
        let policy = serde_json::from_value(json!({"groups_via_users": true})).unwrap();
        let instance = Arc::new(Instance { policy, ..Arc::into_inner(instance(1)).unwrap() });
        let create = |kind: &str, mut body: serde_json::Value| {
            body["schemas"] = json!([instance.registry.resource_type(kind).unwrap().schema.id]);
            let mut quirks = scim::Quirks::lenient();
            let parsed = scim::resource::create(instance.registry.resource_type(kind).unwrap(), body, &mut quirks);
            let spoken = Spoken::named(&instance.policy);
            let caller = Caller {
                actor: "key:test".to_owned(),
                request_id: None,
                spoken,
                wait_until: None,
                later: None,
                own: false,
            };
            Create { instance: instance.clone(), caller, kind: kind.to_owned(), parsed: parsed.unwrap(), quirks }
        };
        let group = store.write(Priority::Request, create("Group", json!({"displayName": "ops"}))).await.unwrap();
        let user = create("User", json!({"userName": "ada", "groups": [{"value": group.stored.id}]}));
        let unit = Arc::new(tokio::sync::Mutex::new((user, 0)));
        let mut groups = store.write(Priority::Request, Again(unit.clone())).await;
        if groups.is_err() {
            groups = store.write(Priority::Request, Again(unit)).await;
        }
        assert_eq!(groups.unwrap(), 1);
    }
}
