//! How one instance stands: what waits and since when, what is held or needs somebody, who was heard of.

use engine::Lane;
use serde_json::{Value, json};

use super::{App, time};
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError};

/// People and groups are counted so far; what is more is "more than".
const MOST: i64 = 10_000;
/// Rows that are looked at for the first that settled.
const LOOKED: i64 = 100;
/// How far back failures are counted, in microseconds.
const DAY: i64 = 24 * 3_600 * 1_000_000;
/// How long a person who left may keep access, in seconds.
const LATE_AFTER: i64 = 300;

impl App {
    /// How an instance stands: `lanes` with what waits in each and since when, `needs` by cause, `oldest_deprovision`,
    /// `holds`, `drift`, `failed` in the last day, how many `people` and `groups` (counted up to a bound, `more` beyond it),
    /// what was ever settled, its keys and when they were last used, and since when the credential is refused.
    ///
    /// # Errors
    /// The store's.
    pub async fn standing(&self, instance: &Instance) -> Result<Value, StoreError> {
        let (reader, seq) = (self.store.reader(), instance.seq);
        let now = self.clock.micros();
        let mut lanes: Vec<Value> = Lane::ALL
            .into_iter()
            .map(|lane| json!({"lane": lane, "pending": 0, "held": 0, "needs": 0, "since": null}))
            .collect();
        let waiting = "SELECT lane, state, COUNT(*) AS n, MIN(since) AS since FROM work WHERE instance_seq = $1 GROUP BY lane, state";
        for row in &reader.all(waiting, vals![seq]).await? {
            let lane = usize::try_from(Lane::from_number(row.col("lane")?).number()).unwrap_or(0);
            let state: String = row.col("state")?;
            let word = if state == "held" || state == "needs" { state.as_str() } else { "pending" };
            let since = json!(time(row.col("since")?));
            let Some(one) = lanes.get_mut(lane) else { continue };
            one[word] = json!(one[word].as_i64().unwrap_or(0) + row.col::<i64>("n")?);
            // Times of one form: the smaller text is the earlier.
            if one["since"].as_str().is_none_or(|known| since.as_str().is_some_and(|text| text < known)) {
                one["since"] = since;
            }
        }
        let mut needs = Vec::new();
        let causes = "SELECT need, COUNT(*) AS n, MIN(since) AS since, MIN(reason) AS reason FROM work WHERE instance_seq = $1 AND state = 'needs' \
             GROUP BY need ORDER BY n DESC, need LIMIT 10";
        for row in &reader.all(causes, vals![seq]).await? {
            needs.push(json!({
                "code": row.col::<Option<String>>("need")?,
                "count": row.col::<i64>("n")?,
                "since": time(row.col("since")?),
                "message": row.col::<Option<String>>("reason")?,
            }));
        }
        let leaver = "SELECT w.since, r.id, r.name FROM work w JOIN resource r ON r.seq = w.resource_seq WHERE w.instance_seq = $1 AND w.lane = 0 \
             ORDER BY w.since LIMIT 1";
        let leaver = match reader.one(leaver, vals![seq]).await? {
            None => Value::Null,
            Some(row) => {
                let since: i64 = row.col("since")?;
                let seconds = (now - since).max(0) / 1_000_000;
                json!({
                    "id": row.col::<String>("id")?, "name": row.col::<String>("name")?, "since": time(since), "seconds": seconds,
                    "late_after_seconds": LATE_AFTER, "late": seconds > LATE_AFTER,
                })
            }
        };
        let keys = "SELECT COUNT(*) AS n, MAX(last_used_at) AS used FROM api_key WHERE instance_seq = $1 AND (not_after IS NULL OR not_after > $2)";
        let (keys, used) = match reader.one(keys, vals![seq, now]).await? {
            None => (0, None),
            Some(row) => (row.col::<i64>("n")?, row.col::<Option<i64>>("used")?),
        };
        let drift = "SELECT COUNT(*) AS n FROM drift WHERE instance_seq = $1 AND action <> 'dismissed' AND class <> 'unmanaged'";
        let holds = "SELECT COUNT(*) AS n FROM hold WHERE instance_seq = $1 AND state = 'open'";
        let failed = "SELECT COUNT(*) AS n FROM (SELECT 1 AS one FROM operation WHERE instance_seq = $1 AND state = 'failed' AND seq > 0 AND at >= $2 LIMIT 1001) AS few";
        let accounts = "SELECT COUNT(*) AS n FROM (SELECT 1 AS one FROM account WHERE instance_seq = $1 AND kind = 'User' AND status <> 'gone' LIMIT $2) AS few";
        let degraded = self.driver.degraded().await?.into_iter().find(|one| one.instance == instance.id);
        Ok(json!({
            "lanes": lanes,
            "needs": needs,
            "oldest_deprovision": leaver,
            "holds": self.number(holds, vals![seq]).await?,
            "drift": self.number(drift, vals![seq]).await?,
            "failed": self.number(failed, vals![seq, now - DAY]).await?,
            "people": self.counted(seq, "User").await?,
            "groups": self.counted(seq, "Group").await?,
            "accounts": bounded(self.number(accounts, vals![seq, MOST + 1]).await?),
            "settled": {"people": self.some_settled(seq, "User").await?, "groups": self.some_settled(seq, "Group").await?},
            "keys": {"live": keys, "last_used_at": used.map(time)},
            "degraded": degraded.map(|one| json!({"since": time(one.since), "why": one.why})),
            "verifying_since": instance.verifying_since.map(time),
        }))
    }

    async fn number(&self, text: &str, values: Vec<sea_orm::Value>) -> Result<i64, StoreError> {
        let row = self.store.reader().one(text, values).await?;
        row.map_or(Ok(0), |row| row.col("n"))
    }

    async fn counted(&self, seq: i64, kind: &str) -> Result<Value, StoreError> {
        let text = "SELECT COUNT(*) AS n FROM (SELECT 1 AS one FROM resource WHERE instance_seq = $1 AND kind = $2 AND managed = 1 AND deleted_at IS NULL LIMIT $3) AS few";
        Ok(bounded(self.number(text, vals![seq, kind, MOST + 1]).await?))
    }

    /// Whether anyone among the first was ever brought to the target.
    async fn some_settled(&self, seq: i64, kind: &str) -> Result<bool, StoreError> {
        let text = "SELECT COUNT(*) AS n FROM (SELECT settled_rev FROM resource WHERE instance_seq = $1 AND kind = $2 AND managed = 1 AND deleted_at IS NULL \
             LIMIT $3) AS few WHERE settled_rev > 0";
        Ok(self.number(text, vals![seq, kind, LOOKED]).await? > 0)
    }
}

fn bounded(n: i64) -> Value {
    json!({"count": n.min(MOST), "more": n > MOST})
}
