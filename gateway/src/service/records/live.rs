//! What happens, as it happens, for those who watch: a look at the store every so often, and what is new since the last.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{App, parsed, time};
use crate::store::{Rows, Sql, StoreError};

/// Operations that one look tells at most; the next one goes on.
const MOST: usize = 100;
/// Open operations whose end one watcher waits for at most; the oldest are forgotten.
const FOLLOWED: usize = 500;
/// Young operations that one watcher remembers to have been told of at most; with more, one that is late may be missed.
const YOUNG: usize = 5_000;

/// Where a watcher stands.
#[derive(Debug, Default)]
pub struct Watch {
    /// Behind this row nothing is missed; it is the newest, or one before it while replicas may still commit.
    sure: i64,
    /// What was told behind that.
    told: BTreeSet<i64>,
    open: BTreeSet<i64>,
    work: Value,
    runs: Value,
    holds: Value,
}

/// One thing that happened.
#[derive(Debug)]
pub struct Seen {
    /// From where a watcher goes on who lost the connection behind this.
    pub place: Option<i64>,
    /// `operation`, `closed`, `work`, `runs`, `holds`.
    pub kind: &'static str,
    /// What.
    pub data: Value,
}

impl App {
    /// Begins to watch: behind a place that was told before, else from now on. What a replica commits late, behind a
    /// number that was told, is told when it is there.
    ///
    /// # Errors
    /// The store's.
    pub async fn watch(&self, after: Option<i64>) -> Result<Watch, StoreError> {
        let newest = self.store.reader().one("SELECT MAX(seq) AS seq FROM operation", vals![]).await?;
        let newest = newest.map_or(Ok(None), |row| row.col::<Option<i64>>("seq"))?.unwrap_or(0);
        let after = after.map_or(newest, |after| after.clamp(0, newest));
        let settled = self.settled_until();
        let sure = "SELECT seq FROM operation WHERE seq <= $1 AND at <= $2 ORDER BY seq DESC LIMIT 1";
        let sure = self.store.reader().one(sure, vals![after, settled]).await?;
        let sure = sure.map_or(Ok(0), |row| row.col("seq"))?;
        let mut watch = Watch { sure, ..Watch::default() };
        for (seq, _) in self.young(sure, after).await? {
            watch.told.insert(seq);
        }
        Ok(watch)
    }

    /// Numbers and times of the operations between two rows, as many as a watcher remembers.
    async fn young(&self, behind: i64, until: i64) -> Result<Vec<(i64, i64)>, StoreError> {
        let text = format!("SELECT seq, at FROM operation WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT {YOUNG}");
        let rows = self.store.reader().all(&text, vals![behind, until]).await?;
        rows.iter().map(|row| Ok((row.col("seq")?, row.col("at")?))).collect()
    }

    /// What is new since the last look.
    ///
    /// # Errors
    /// The store's.
    pub async fn look(&self, watch: &mut Watch) -> Result<Vec<Seen>, StoreError> {
        let reader = self.store.reader();
        let columns = "o.seq, o.id, o.verb, o.state, o.actor, o.at, o.closed_at, o.reason, i.id AS instance_id, r.id AS resource_id, r.kind AS resource_kind \
             FROM operation o LEFT JOIN instance i ON i.seq = o.instance_seq LEFT JOIN resource r ON r.seq = o.resource_seq";
        let mut seen = Vec::new();
        let told = |row: &sea_orm::QueryResult| -> Result<Value, StoreError> {
            Ok(json!({
                "id": row.col::<String>("id")?,
                "verb": row.col::<String>("verb")?,
                "state": row.col::<String>("state")?,
                "actor": row.col::<String>("actor")?,
                "reason": row.col::<Option<String>>("reason")?,
                "instance": row.col::<Option<String>>("instance_id")?,
                "resource": {"id": row.col::<Option<String>>("resource_id")?, "kind": row.col::<Option<String>>("resource_kind")?},
                "at": time(row.col("at")?),
                "closed_at": row.col::<Option<i64>>("closed_at")?.map(time),
            }))
        };
        if !watch.open.is_empty() {
            let open: Vec<String> = watch.open.iter().map(i64::to_string).collect();
            let text =
                format!("SELECT {columns} WHERE o.seq IN ({}) AND o.state <> 'open' ORDER BY o.seq", open.join(","));
            for row in &reader.all(&text, vals![]).await? {
                watch.open.remove(&row.col("seq")?);
                seen.push(Seen { place: None, kind: "closed", data: told(row)? });
            }
        }
        let settled = self.settled_until();
        let young = self.young(watch.sure, i64::MAX).await?;
        let new: Vec<String> = young
            .iter()
            .map(|(seq, _)| *seq)
            .filter(|seq| !watch.told.contains(seq))
            .take(MOST)
            .map(|seq| seq.to_string())
            .collect();
        if !new.is_empty() {
            let text = format!("SELECT {columns} WHERE o.seq IN ({}) ORDER BY o.seq", new.join(","));
            for row in &reader.all(&text, vals![]).await? {
                let seq: i64 = row.col("seq")?;
                if row.col::<String>("state")? == "open" {
                    watch.open.insert(seq);
                    if watch.open.len() > FOLLOWED {
                        watch.open.pop_first();
                    }
                }
                watch.told.insert(seq);
                seen.push(Seen { place: watch.told.last().copied(), kind: "operation", data: told(row)? });
            }
        }
        // What is settled, and was told with all that stands before it, need not be remembered.
        let told_of = young.iter().take_while(|(seq, _)| watch.told.contains(seq)).enumerate();
        let kept = |place: usize| watch.told.len() - place;
        if let Some((_, (seq, _))) = told_of.filter(|(n, (_, at))| *at <= settled || kept(*n) > YOUNG / 2).last() {
            watch.sure = *seq;
            watch.told = watch.told.split_off(&(seq + 1));
        }
        for (kind, now) in
            [("work", self.work_now().await?), ("runs", self.runs_now().await?), ("holds", self.holds_now().await?)]
        {
            let last = match kind {
                "work" => &mut watch.work,
                "runs" => &mut watch.runs,
                _ => &mut watch.holds,
            };
            if *last != now {
                last.clone_from(&now);
                seen.push(Seen { place: None, kind, data: now });
            }
        }
        Ok(seen)
    }

    /// How much work is in which state, by instance.
    async fn work_now(&self) -> Result<Value, StoreError> {
        let rows = self
            .store
            .reader()
            .all(
                "SELECT i.id, g.state, g.n FROM (SELECT instance_seq, state, CAST(COUNT(*) AS BIGINT) AS n FROM work GROUP BY instance_seq, state) g \
                 JOIN instance i ON i.seq = g.instance_seq ORDER BY i.seq, g.state",
                vals![],
            )
            .await?;
        let mut work = json!({});
        for row in &rows {
            work[row.col::<String>("id")?][row.col::<String>("state")?] = json!(row.col::<i64>("n")?);
        }
        Ok(work)
    }

    /// The newest run of each instance.
    async fn runs_now(&self) -> Result<Value, StoreError> {
        let rows = self
            .store
            .reader()
            .all(
                "SELECT i.id, u.id AS run_id, u.kind, u.state, u.counts FROM instance i JOIN run u ON u.seq = (SELECT MAX(seq) FROM run WHERE instance_seq = i.seq) \
                 WHERE i.deleted_at IS NULL ORDER BY i.seq",
                vals![],
            )
            .await?;
        let mut runs = json!({});
        for row in &rows {
            runs[row.col::<String>("id")?] = json!({
                "id": row.col::<String>("run_id")?, "kind": row.col::<String>("kind")?, "state": row.col::<String>("state")?,
                "counts": parsed(row.col("counts")?),
            });
        }
        Ok(runs)
    }

    /// Holds that nobody has decided on.
    async fn holds_now(&self) -> Result<Value, StoreError> {
        let text = "SELECT h.id, i.id AS instance_id, h.opened_at FROM hold h JOIN instance i ON i.seq = h.instance_seq WHERE h.state = 'open' ORDER BY h.seq";
        let mut holds = Vec::new();
        for row in &self.store.reader().all(text, vals![]).await? {
            holds.push(json!({"id": row.col::<String>("id")?, "instance": row.col::<String>("instance_id")?, "opened_at": time(row.col("opened_at")?)}));
        }
        Ok(Value::Array(holds))
    }
}
