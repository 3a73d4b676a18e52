//! Outcomes over time: how many operations were applied and how many failed, by the hour or by the day.

use serde_json::{Value, json};

use super::{App, time};
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError};

/// Ends that are counted at most, the newest: what was before them is said to be uncounted.
const MOST: i64 = 50_000;
/// An hour, in microseconds.
const HOUR: i64 = 3_600_000_000;

/// Which span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Span {
    /// 24 hours, by the hour.
    #[default]
    Day,
    /// 7 days, by the day.
    Week,
}

impl Span {
    /// The word that the API and addresses use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    /// The span of such a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Day, Self::Week].into_iter().find(|span| span.as_str() == word)
    }

    /// How many parts, and how long each is in microseconds.
    fn parts(self) -> (usize, i64) {
        match self {
            Self::Day => (24, HOUR),
            Self::Week => (7, 24 * HOUR),
        }
    }
}

impl App {
    /// How many operations were applied and failed in each part of a span that ends now, the oldest first; of one instance
    /// or of all. `complete` is false where there were so many that only the newest were counted: `counted` says so of each
    /// part. Parts begin at whole hours or days of UTC.
    ///
    /// # Errors
    /// The store's.
    pub async fn activity(&self, instance: Option<&Instance>, span: Span) -> Result<Value, StoreError> {
        self.activity_of(instance, span, MOST).await
    }

    async fn activity_of(&self, instance: Option<&Instance>, span: Span, most: i64) -> Result<Value, StoreError> {
        let (parts, length) = span.parts();
        let now = self.clock.micros();
        let from = now - now.rem_euclid(length) - length * (i64::try_from(parts).unwrap_or(1) - 1);
        // The newest of all instances, whichever is asked for: so it is bounded by what is read, not by what is found.
        let text = "SELECT (s.closed_at - $1) / $2 AS part, s.state, s.instance_seq, COUNT(*) AS n, MIN(s.closed_at) AS first FROM ( \
             SELECT closed_at, state, instance_seq FROM operation WHERE closed_at >= $1 ORDER BY closed_at DESC LIMIT $3) s \
             GROUP BY (s.closed_at - $1) / $2, s.state, s.instance_seq";
        let mut counts = vec![(0_i64, 0_i64); parts];
        let (mut all, mut first) = (0_i64, i64::MAX);
        for row in &self.store.reader().all(text, vals![from, length, most]).await? {
            let n: i64 = row.col("n")?;
            all += n;
            first = first.min(row.col("first")?);
            if instance.is_some_and(|instance| row.col::<i64>("instance_seq").is_ok_and(|seq| seq != instance.seq)) {
                continue;
            }
            let part = usize::try_from(row.col::<i64>("part")?).unwrap_or(0).min(parts - 1);
            let Some(count) = counts.get_mut(part) else { continue };
            match row.col::<String>("state")?.as_str() {
                "applied" => count.0 += n,
                "failed" => count.1 += n,
                _ => {}
            }
        }
        let whole = all < most;
        let items: Vec<Value> = counts
            .into_iter()
            .zip(0_i64..)
            .map(|((applied, failed), part)| {
                let at = from + part * length;
                json!({"at": time(at), "applied": applied, "failed": failed, "counted": whole || at >= first})
            })
            .collect();
        Ok(json!({
            "span": span.as_str(), "from": time(from), "to": time(now), "part_seconds": length / 1_000_000, "complete": whole, "items": items,
        }))
    }
}
