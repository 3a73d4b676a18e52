//! All instances at a glance: what waits and fails in each, how long the oldest leaver has waited, who was heard of when.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::time;
use crate::service::App;
use crate::store::{Rows, Sql, StoreError};

/// Instances that are shown at most.
const MOST: i64 = 500;
/// How long a person who left may keep access, in seconds.
const LATE_AFTER: i64 = 300;

/// What is counted of one instance.
#[derive(Default)]
struct Counted {
    pending: i64,
    held: i64,
    needs: i64,
    drift: i64,
    used: Option<i64>,
}

impl App {
    /// Every instance with its mode, what waits (`pending`, `held`), what needs somebody (`needs`), how much drifted, when its
    /// keys were last used, and since when its credential is refused; and the oldest deprovision of all that is not done.
    ///
    /// # Errors
    /// The store's.
    pub async fn glance(&self) -> Result<Value, StoreError> {
        let reader = self.store.reader();
        let mut all: HashMap<i64, Counted> = HashMap::new();
        let rows = reader
            .all("SELECT instance_seq, state, COUNT(*) AS n FROM work GROUP BY instance_seq, state", vals![])
            .await?;
        for row in &rows {
            let (one, n) = (all.entry(row.col("instance_seq")?).or_default(), row.col::<i64>("n")?);
            match row.col::<String>("state")?.as_str() {
                "held" => one.held += n,
                "needs" => one.needs += n,
                _ => one.pending += n,
            }
        }
        let drift = "SELECT instance_seq, COUNT(*) AS n FROM drift WHERE action <> 'dismissed' AND class <> 'unmanaged' GROUP BY instance_seq";
        for row in &reader.all(drift, vals![]).await? {
            all.entry(row.col("instance_seq")?).or_default().drift = row.col("n")?;
        }
        let used = "SELECT instance_seq, MAX(last_used_at) AS used FROM api_key GROUP BY instance_seq";
        for row in &reader.all(used, vals![]).await? {
            all.entry(row.col("instance_seq")?).or_default().used = row.col("used")?;
        }
        let degraded = self.driver.degraded().await?;
        let mut items = Vec::new();
        for instance in self.instances.page(0, MOST).await? {
            let none = Counted::default();
            let counted = all.get(&instance.seq).unwrap_or(&none);
            let dead = degraded.iter().find(|one| one.instance == instance.id);
            items.push(json!({
                "id": instance.id,
                "name": instance.name,
                "connector": instance.connector_name,
                "mode": instance.mode,
                "pending": counted.pending,
                "held": counted.held,
                "needs": counted.needs,
                "drift": counted.drift,
                "last_seen_at": counted.used.map(time),
                "degraded_since": dead.map(|one| time(one.since)),
                "problem": instance.connector.as_ref().err(),
            }));
        }
        Ok(
            json!({"instances": items, "oldest_deprovision": self.oldest_deprovision().await?, "last_applied_at": self.last_applied().await?}),
        )
    }

    /// The person who has waited longest to lose access.
    async fn oldest_deprovision(&self) -> Result<Value, StoreError> {
        let row = self
            .store
            .reader()
            .one(
                "SELECT w.since, w.state, r.id, r.kind, r.name, i.id AS instance_id, i.name AS instance_name FROM work w \
                 JOIN resource r ON r.seq = w.resource_seq JOIN instance i ON i.seq = w.instance_seq \
                 WHERE w.lane = 0 AND i.deleted_at IS NULL ORDER BY w.since, w.resource_seq LIMIT 1",
                vals![],
            )
            .await?;
        let Some(row) = row else { return Ok(Value::Null) };
        let since: i64 = row.col("since")?;
        let seconds = (self.clock.micros() - since).max(0) / 1_000_000;
        let mut item = Map::new();
        item.insert("since".into(), json!(time(since)));
        item.insert("seconds".into(), json!(seconds));
        item.insert("late_after_seconds".into(), json!(LATE_AFTER));
        item.insert("late".into(), json!(seconds > LATE_AFTER));
        item.insert("state".into(), json!(row.col::<String>("state")?));
        item.insert("id".into(), json!(row.col::<String>("id")?));
        item.insert("kind".into(), json!(row.col::<String>("kind")?));
        item.insert("name".into(), json!(row.col::<String>("name")?));
        let instance = json!({"id": row.col::<String>("instance_id")?, "name": row.col::<String>("instance_name")?});
        item.insert("instance".into(), instance);
        Ok(Value::Object(item))
    }

    /// When the newest of the applied operations was applied.
    async fn last_applied(&self) -> Result<Option<String>, StoreError> {
        let text = "SELECT closed_at FROM operation WHERE state = 'applied' ORDER BY seq DESC LIMIT 1";
        let row = self.store.reader().one(text, vals![]).await?;
        Ok(row.map(|row| row.col::<Option<i64>>("closed_at")).transpose()?.flatten().map(time))
    }
}
