//! How an instance stands: how much of its work is in which state, and for how long the oldest of each
//! has been open. Nothing waits for ever without showing up here.

use engine::Lane;
use engine::coalesce::WorkState;
use engine::needs;
use serde_json::{Map, Value, json};

use super::time;
use crate::service::App;
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError};

/// How long a person who left may keep access until the gateway calls it late, in seconds: the first
/// objective of the service.
const LATE_AFTER: i64 = 300;

/// Since when, for people and for programs.
fn age(count: i64, since: Option<i64>, now: i64) -> Map<String, Value> {
    let seconds = since.map(|since| now.saturating_sub(since).max(0) / 1_000_000);
    let mut item = Map::new();
    item.insert("count".into(), json!(count));
    item.insert("oldest_since".into(), json!(since.map(time)));
    item.insert("oldest_seconds".into(), json!(seconds));
    item
}

impl App {
    /// The work of an instance by state, its oldest deprovision, what it needs of people, and its parked
    /// memberships.
    ///
    /// # Errors
    /// The store's.
    pub async fn status(&self, instance: &Instance) -> Result<Value, StoreError> {
        let now = self.clock.micros();
        let reader = self.store.reader();
        let rows = reader
            .all(
                "SELECT state, COUNT(*) AS n, MIN(since) AS since FROM work WHERE instance_seq = $1 GROUP BY state",
                vals![instance.seq],
            )
            .await?;
        let mut work = Map::new();
        for state in WorkState::ALL {
            let (mut n, mut since) = (0, None);
            for row in &rows {
                if row.col::<String>("state")? == state.as_str() {
                    (n, since) = (row.col("n")?, row.col("since")?);
                }
            }
            work.insert(state.as_str().into(), age(n, since, now).into());
        }
        let rows = reader
            .all(
                "SELECT need, state, COUNT(*) AS n, MIN(since) AS since FROM work WHERE instance_seq = $1 AND state IN ('needs','waiting') AND need IS NOT NULL \
                 GROUP BY need, state ORDER BY need, state",
                vals![instance.seq],
            )
            .await?;
        let mut reasons = Vec::with_capacity(rows.len());
        for row in &rows {
            let code: String = row.col("need")?;
            let word = needs::find(&code);
            let mut item = age(row.col("n")?, row.col("since")?, now);
            item.insert("state".into(), json!(row.col::<String>("state")?));
            item.insert("meaning".into(), json!(word.map(|word| word.meaning)));
            item.insert("exit".into(), json!(word.map(|word| word.exit)));
            item.insert("code".into(), json!(code));
            reasons.push(Value::Object(item));
        }
        let parked = reader
            .one(
                "SELECT COUNT(*) AS n, MIN(m.parked_at) AS since FROM member m JOIN resource g ON g.seq = m.group_seq WHERE g.instance_seq = $1 AND m.state = 'parked'",
                vals![instance.seq],
            )
            .await?;
        let parked = match parked {
            Some(row) => age(row.col("n")?, row.col("since")?, now),
            None => age(0, None, now),
        };
        let proposed = reader
            .one(
                "SELECT COUNT(*) AS n FROM link l JOIN resource r ON r.seq = l.resource_seq WHERE r.instance_seq = $1 AND l.state = 'proposed'",
                vals![instance.seq],
            )
            .await?
            .map_or(Ok(0), |row| row.col::<i64>("n"))?;
        Ok(json!({
            "instance": instance.id,
            "mode": instance.mode,
            "work": work,
            "deprovisions": self.deprovisions(instance, now).await?,
            "reasons": reasons,
            "parked_memberships": parked,
            "proposed_links": proposed,
        }))
    }

    /// The people who have lost their access here and may still have it at the target.
    async fn deprovisions(&self, instance: &Instance, now: i64) -> Result<Value, StoreError> {
        let reader = self.store.reader();
        // The lane stands in the text: only so does SQLite use the index of its rows.
        let lane = Lane::Deprovision.number();
        let row = reader
            .one(
                &format!(
                    "SELECT COUNT(*) AS n, MIN(since) AS since FROM work WHERE instance_seq = $1 AND lane = {lane}"
                ),
                vals![instance.seq],
            )
            .await?;
        let (n, since): (i64, Option<i64>) = match row {
            Some(row) => (row.col("n")?, row.col("since")?),
            None => (0, None),
        };
        let mut item = age(n, since, now);
        let late = since.is_some_and(|since| now.saturating_sub(since) > LATE_AFTER * 1_000_000);
        item.insert("late_after_seconds".into(), json!(LATE_AFTER));
        item.insert("late".into(), json!(late));
        let oldest = reader
            .one(
                &format!(
                    "SELECT r.id, r.name, w.state, w.need, w.reason FROM work w JOIN resource r ON r.seq = w.resource_seq \
                     WHERE w.instance_seq = $1 AND w.lane = {lane} ORDER BY w.since, w.resource_seq LIMIT 1"
                ),
                vals![instance.seq],
            )
            .await?;
        let oldest = match oldest {
            Some(row) => json!({
                "id": row.col::<String>("id")?,
                "name": row.col::<String>("name")?,
                "state": row.col::<String>("state")?,
                "need": row.col::<Option<String>>("need")?,
                "reason": row.col::<Option<String>>("reason")?,
            }),
            None => Value::Null,
        };
        item.insert("oldest".into(), oldest);
        Ok(Value::Object(item))
    }
}
