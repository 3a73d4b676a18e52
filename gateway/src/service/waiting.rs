//! What waits, as metrics: how much work there is, and whether somebody who should have lost access
//! still has it. Totals only; nothing here grows with the number of people.

use std::collections::{HashMap, HashSet};

use engine::Lane;
use engine::coalesce::WorkState;

use crate::store::{Rows, Sql, Store, StoreError};
use crate::telemetry::names;

/// Counts what waits. It remembers what it showed, so that what is gone is shown as nothing.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    shown: HashSet<String>,
}

impl Waiting {
    /// Counts, and sets the metrics.
    ///
    /// # Errors
    /// The store does not answer; the metrics not yet set stay as they were.
    pub(crate) async fn count(&mut self, store: &Store) -> Result<(), StoreError> {
        self.count_work(store).await?;
        let mut seen = HashSet::new();
        self.age_deprovisions(store, &mut seen).await?;
        age_work(store, &seen).await?;
        age_parked(store, &seen).await?;
        count_tasks(store, &seen).await?;
        self.forget(seen);
        let parked = store.reader().one("SELECT COUNT(*) AS n FROM member WHERE state = 'parked'", vals![]).await?;
        let parked = parked.map_or(Ok(0), |row| row.col::<i64>("n"))?;
        metrics::gauge!(names::PARKED_MEMBERSHIPS_ROWS).set(number(parked));
        Ok(())
    }

    /// What is gone is shown as nothing.
    fn forget(&mut self, seen: HashSet<String>) {
        for id in self.shown.difference(&seen) {
            metrics::gauge!(names::OLDEST_DEPROVISION_SECONDS, "instance" => id.clone()).set(0.0);
            metrics::gauge!(names::OLDEST_PARKED_SECONDS, "instance" => id.clone()).set(0.0);
            metrics::gauge!(names::TASKS_OPEN_ROWS, "instance" => id.clone()).set(0.0);
            metrics::gauge!(names::TASKS_OVERDUE_ROWS, "instance" => id.clone()).set(0.0);
            for state in WorkState::ALL {
                metrics::gauge!(names::OLDEST_WORK_SECONDS, "instance" => id.clone(), "state" => state.as_str())
                    .set(0.0);
            }
        }
        self.shown = seen;
    }

    async fn count_work(&self, store: &Store) -> Result<(), StoreError> {
        let rows = store.reader().all("SELECT state, COUNT(*) AS n FROM work GROUP BY state", vals![]).await?;
        let mut counted = Vec::with_capacity(rows.len());
        for row in &rows {
            counted.push((row.col::<String>("state")?, row.col::<i64>("n")?));
        }
        for state in WorkState::ALL {
            let rows = counted.iter().find(|(name, _)| name == state.as_str()).map_or(0, |(_, rows)| *rows);
            metrics::gauge!(names::WORK_ROWS, "state" => state.as_str()).set(number(rows));
        }
        Ok(())
    }

    async fn age_deprovisions(&self, store: &Store, seen: &mut HashSet<String>) -> Result<(), StoreError> {
        // The lane stands in the text: only so does SQLite use the index of its rows.
        let lane = Lane::Deprovision.number();
        let text = format!(
            "SELECT i.id, MIN(w.since) AS since FROM instance i LEFT JOIN work w ON w.instance_seq = i.seq AND w.lane = {lane} \
             WHERE i.deleted_at IS NULL GROUP BY i.id"
        );
        let rows = store.reader().all(&text, vals![]).await?;
        for row in &rows {
            let (id, since): (String, Option<i64>) = (row.col("id")?, row.col("since")?);
            metrics::gauge!(names::OLDEST_DEPROVISION_SECONDS, "instance" => id.clone()).set(age(store, since));
            seen.insert(id);
        }
        Ok(())
    }
}

/// How long the oldest work of each state has been open. The index of work by instance, state and age
/// answers this.
async fn age_work(store: &Store, seen: &HashSet<String>) -> Result<(), StoreError> {
    let text = "SELECT i.id, w.state, MIN(w.since) AS since FROM work w JOIN instance i ON i.seq = w.instance_seq GROUP BY i.id, w.state";
    let mut oldest: HashMap<(String, String), i64> = HashMap::new();
    for row in &store.reader().all(text, vals![]).await? {
        oldest.insert((row.col("id")?, row.col("state")?), row.col("since")?);
    }
    for id in seen {
        for state in WorkState::ALL {
            let since = oldest.get(&(id.clone(), state.as_str().to_owned())).copied();
            metrics::gauge!(names::OLDEST_WORK_SECONDS, "instance" => id.clone(), "state" => state.as_str())
                .set(age(store, since));
        }
    }
    Ok(())
}

async fn age_parked(store: &Store, seen: &HashSet<String>) -> Result<(), StoreError> {
    let text = "SELECT i.id, MIN(m.parked_at) AS since FROM member m JOIN resource g ON g.seq = m.group_seq JOIN instance i ON i.seq = g.instance_seq \
         WHERE m.state = 'parked' GROUP BY i.id";
    let mut oldest: HashMap<String, Option<i64>> = HashMap::new();
    for row in &store.reader().all(text, vals![]).await? {
        oldest.insert(row.col("id")?, row.col("since")?);
    }
    for id in seen {
        let since = oldest.get(id).copied().flatten();
        metrics::gauge!(names::OLDEST_PARKED_SECONDS, "instance" => id.clone()).set(age(store, since));
    }
    Ok(())
}

/// Tasks for people, and those whose time is over.
async fn count_tasks(store: &Store, seen: &HashSet<String>) -> Result<(), StoreError> {
    let text = "SELECT i.id, COUNT(*) AS n, CAST(SUM(CASE WHEN t.due_at < $1 THEN 1 ELSE 0 END) AS BIGINT) AS late FROM task t JOIN instance i ON i.seq = t.instance_seq \
         WHERE t.state = 'open' GROUP BY i.id";
    let mut counted: HashMap<String, (i64, i64)> = HashMap::new();
    for row in &store.reader().all(text, vals![store.clock().micros()]).await? {
        counted.insert(row.col("id")?, (row.col("n")?, row.col("late")?));
    }
    for id in seen {
        let (open, late) = counted.get(id).copied().unwrap_or_default();
        metrics::gauge!(names::TASKS_OPEN_ROWS, "instance" => id.clone()).set(number(open));
        metrics::gauge!(names::TASKS_OVERDUE_ROWS, "instance" => id.clone()).set(number(late));
    }
    Ok(())
}

/// Seconds since then; 0 without.
fn age(store: &Store, since: Option<i64>) -> f64 {
    number(since.map_or(0, |since| store.clock().micros().saturating_sub(since).max(0)) / 1_000_000)
}

/// A count as a metric holds it.
#[allow(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn number(count: i64) -> f64 {
    count as f64
}
