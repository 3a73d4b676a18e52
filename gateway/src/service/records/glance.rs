//! All instances at a glance: what waits and fails in each, how long the oldest leaver has waited, who was heard of when.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::time;
use crate::service::App;
use crate::service::types::{Instance, Mode};
use crate::store::{Rows, Sql, StoreError};

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

/// Which instances are shown.
#[derive(Clone, Debug, Default)]
pub struct Glance {
    /// Whose name or target has this in it, or whose id it is.
    pub text: Option<String>,
    /// Only in this mode.
    pub mode: Option<Mode>,
    /// Only those that need somebody, or only those that do not.
    pub trouble: Option<bool>,
    /// Behind the place that `next` gave.
    pub after: Option<String>,
    /// How many at most.
    pub limit: usize,
}

impl Glance {
    fn fits(&self, instance: &Instance, rank: u8) -> bool {
        let text = self.text.as_ref().is_none_or(|word| {
            let word = word.to_lowercase();
            instance.name.to_lowercase().contains(&word)
                || instance.connector_name.contains(&word)
                || instance.id.to_lowercase() == word
        });
        text && self.mode.is_none_or(|mode| mode == instance.mode)
            && self.trouble.is_none_or(|trouble| trouble == (rank < WELL))
    }
}

/// The rank of an instance that needs nobody. Before it go those that have work for somebody (1), and first those that cannot
/// do anything (0).
const WELL: u8 = 2;

impl App {
    /// Instances with their mode, what waits (`pending`, `held`), what needs somebody (`needs`), how much drifted, when their
    /// keys were last used, and since when the credential is refused: a page of them, those in trouble first, then by name.
    /// `total` is how many fit, `next` the place that the next page begins behind. And the oldest deprovision of all that is
    /// not done.
    ///
    /// # Errors
    /// The store's.
    pub async fn glance(&self, which: &Glance) -> Result<Value, StoreError> {
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
        let degraded: HashMap<String, i64> =
            self.driver.degraded().await?.into_iter().map(|one| (one.instance, one.since)).collect();
        let none = Counted::default();
        let mut found: Vec<((u8, String, i64), Arc<Instance>)> = Vec::new();
        for instance in self.instances.all().await? {
            let counted = all.get(&instance.seq).unwrap_or(&none);
            let rank = match instance.connector.is_err() || degraded.contains_key(&instance.id) {
                true => 0,
                false if counted.held + counted.needs > 0 => 1,
                false => WELL,
            };
            if which.fits(&instance, rank) {
                found.push(((rank, instance.name.to_lowercase(), instance.seq), instance));
            }
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        let total = found.len();
        let behind = which.after.as_deref().and_then(|place| place.split_once('.'));
        let behind = behind.and_then(|(rank, seq)| Some((rank.parse::<u8>().ok()?, seq.parse::<i64>().ok()?)));
        let from = match behind {
            None => 0,
            // Where it stood: its rank may be another by now, and what was deleted begins its rank anew.
            Some((rank, seq)) => {
                let name = found.iter().find(|(key, _)| key.2 == seq).map(|(key, _)| key.1.clone());
                let place = name.map_or((rank, String::new(), 0), |name| (rank, name, seq));
                found.partition_point(|(key, _)| *key <= place)
            }
        };
        let shown = found.get(from..(from + which.limit).min(total)).unwrap_or_default();
        let next = shown.last().filter(|_| from + shown.len() < total);
        let next = next.map(|((rank, _, seq), _)| format!("{rank}.{seq}"));

        let drift = "SELECT instance_seq, COUNT(*) AS n FROM drift WHERE action <> 'dismissed' AND class <> 'unmanaged' GROUP BY instance_seq";
        for row in &reader.all(drift, vals![]).await? {
            all.entry(row.col("instance_seq")?).or_default().drift = row.col("n")?;
        }
        let used = "SELECT instance_seq, MAX(last_used_at) AS used FROM api_key GROUP BY instance_seq";
        for row in &reader.all(used, vals![]).await? {
            all.entry(row.col("instance_seq")?).or_default().used = row.col("used")?;
        }
        let mut items = Vec::with_capacity(shown.len());
        for (_, instance) in shown {
            let counted = all.get(&instance.seq).unwrap_or(&none);
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
                "degraded_since": degraded.get(&instance.id).map(|since| time(*since)),
                "problem": instance.connector.as_ref().err(),
            }));
        }
        Ok(json!({
            "instances": items,
            "total": total,
            "next": next,
            "oldest_deprovision": self.oldest_deprovision().await?,
            "last_applied_at": self.last_applied().await?,
        }))
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
