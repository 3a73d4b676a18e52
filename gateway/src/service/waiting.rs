//! What waits, as metrics: how much work there is, and whether somebody who should have lost access
//! still has it. Totals only; nothing here grows with the number of people.

use std::collections::HashSet;

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
        self.age_deprovisions(store).await?;
        let parked = store.reader().one("SELECT COUNT(*) AS n FROM member WHERE state = 'parked'", vals![]).await?;
        let parked = parked.map_or(Ok(0), |row| row.col::<i64>("n"))?;
        metrics::gauge!(names::PARKED_MEMBERSHIPS_ROWS).set(number(parked));
        Ok(())
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

    async fn age_deprovisions(&mut self, store: &Store) -> Result<(), StoreError> {
        // The lane stands in the text: only so does SQLite use the index of its rows.
        let lane = Lane::Deprovision.number();
        let text = format!(
            "SELECT i.id, MIN(w.since) AS since FROM instance i LEFT JOIN work w ON w.instance_seq = i.seq AND w.lane = {lane} \
             WHERE i.deleted_at IS NULL GROUP BY i.id"
        );
        let rows = store.reader().all(&text, vals![]).await?;
        let now = store.clock().micros();
        let mut gone = std::mem::take(&mut self.shown);
        for row in &rows {
            let (id, since): (String, Option<i64>) = (row.col("id")?, row.col("since")?);
            let age = since.map_or(0, |since| now.saturating_sub(since).max(0));
            metrics::gauge!(names::OLDEST_DEPROVISION_SECONDS, "instance" => id.clone()).set(number(age / 1_000_000));
            gone.remove(&id);
            self.shown.insert(id);
        }
        for id in gone {
            metrics::gauge!(names::OLDEST_DEPROVISION_SECONDS, "instance" => id).set(0.0);
        }
        Ok(())
    }
}

/// A count as a metric holds it.
#[allow(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn number(count: i64) -> f64 {
    count as f64
}
