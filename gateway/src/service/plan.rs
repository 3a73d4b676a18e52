//! The plan of an instance: everything that its open work would send, in numbers over all of it and step
//! by step in pages. A rehearsing instance is enabled by naming the plan's digest (DECISIONS 15).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::App;
use super::records::{AdminError, Slice};
use super::types::Instance;
use crate::driver::preview;
use crate::store::{Rows, Sql, StoreError};

/// What is said to who would enable a rehearsing instance by another plan than the one that holds.
pub(crate) const STALE: &str = "The plan is not the one that would be carried out: something was accepted or found since. Fetch GET /admin/v1/instances/{id}/plan again (scimgate plan), look at it, and name its digest as plan_digest.";
/// What is said to who names none.
const NEEDED: &str = "The instance has been rehearsing: nothing of what it accepted has been sent. Fetch GET /admin/v1/instances/{id}/plan (scimgate plan), look at what would happen, and enable it with that plan's digest as plan_digest.";

/// Pieces of work read at a time.
const PAGE: i64 = 500;
/// Warnings that a plan lists; more are counted.
const WARNINGS: usize = 50;
/// How long a plan is kept for those who leaf through it. A change makes it new at once; what only time
/// changes (an invitation's end) is seen after this.
const KEPT: Duration = Duration::from_secs(10);

/// Plans made a moment ago, by instance.
pub(crate) type Plans = Cache<i64, Arc<Whole>>;

/// A place to keep plans.
pub(crate) fn plans() -> Plans {
    Cache::builder().max_capacity(100).time_to_live(KEPT).build()
}

/// What is true of the whole of a plan.
#[derive(Debug)]
pub(crate) struct Whole {
    /// What it was made of.
    made_of: [i64; 5],
    digest: String,
    resources: u64,
    counts: BTreeMap<&'static str, u64>,
    acts: BTreeMap<&'static str, u64>,
    warnings: Vec<Value>,
    warned: u64,
}

/// A plan as the API shows it.
pub struct Plan {
    /// A page of what would be sent.
    pub steps: Slice,
    /// Stands for the whole plan.
    pub digest: String,
    /// Numbers over the whole plan.
    pub totals: Value,
    /// What an admin should know first, and how much more there is.
    pub warnings: Value,
    /// How many calls it takes, and about how long.
    pub forecast: Value,
}

impl App {
    /// The plan of an instance, with the steps of the work behind row `after`.
    ///
    /// # Errors
    /// The store's.
    pub async fn plan(&self, instance: &Instance, after: i64, limit: i64) -> Result<Plan, StoreError> {
        let whole = self.whole_plan(instance).await?;
        let reader = self.store.reader();
        let mut page = preview(reader, instance, after, limit + 1, self.clock.micros()).await?;
        let more = i64::try_from(page.len()).unwrap_or(i64::MAX) > limit;
        page.truncate(usize::try_from(limit).unwrap_or(0));
        let next = page.last().filter(|_| more).map(|last| last.seq);
        let forecast = self.driver.forecast(instance, &whole.acts);
        Ok(Plan {
            steps: Slice { items: page.into_iter().map(|one| one.shown).collect(), next },
            digest: whole.digest.clone(),
            totals: json!({"resources": whole.resources, "steps": whole.counts}),
            warnings: json!({"count": whole.warned, "items": whole.warnings}),
            forecast: forecast.to_json(),
        })
    }

    /// Whether a digest is that of the present plan; the last operation that the plan knows of.
    ///
    /// # Errors
    /// None was named, or the plan is another (conflict); the store's.
    pub(crate) async fn check_plan(&self, instance: &Instance, digest: Option<&str>) -> Result<i64, AdminError> {
        let Some(digest) = digest else { return Err(AdminError::Conflict(NEEDED.to_owned())) };
        self.plans.invalidate(&instance.seq);
        let whole = self.whole_plan(instance).await?;
        if whole.digest != digest {
            return Err(AdminError::Conflict(STALE.to_owned()));
        }
        let [last, ..] = whole.made_of;
        Ok(last)
    }

    /// Goes through all open work, a page at a time. The cost is that of the backlog, and of reads only.
    async fn whole_plan(&self, instance: &Instance) -> Result<Arc<Whole>, StoreError> {
        let made_of = self.made_of(instance).await?;
        if let Some(known) = self.plans.get(&instance.seq).filter(|known| known.made_of == made_of) {
            return Ok(known);
        }
        let mut whole = Whole {
            made_of,
            digest: String::new(),
            resources: 0,
            counts: BTreeMap::new(),
            acts: BTreeMap::new(),
            warnings: Vec::new(),
            warned: 0,
        };
        let now = self.clock.micros();
        let mut hash = Sha256::new();
        let mut after = 0;
        loop {
            let page = preview(self.store.reader(), instance, after, PAGE, now).await?;
            let full = i64::try_from(page.len()).unwrap_or(i64::MAX) == PAGE;
            for one in page {
                after = one.seq;
                whole.resources += 1;
                hash.update(one.canon.as_bytes());
                hash.update(b"\n");
                for (word, count) in one.counts {
                    *whole.counts.entry(word).or_default() += count;
                }
                for (act, count) in one.acts {
                    *whole.acts.entry(act).or_default() += count;
                }
                for (code, message) in one.warnings {
                    whole.warned += 1;
                    if whole.warnings.len() < WARNINGS {
                        let resource = one.shown["resource"].clone();
                        whole.warnings.push(json!({"code": code, "message": message, "resource": resource}));
                    }
                }
            }
            if !full {
                break;
            }
        }
        if let Some(message) = self.brake_would_hold(instance, &whole.counts).await? {
            whole.warned += 1;
            whole.warnings.insert(0, json!({"code": "brake", "message": message, "resource": null}));
            whole.warnings.truncate(WARNINGS);
        }
        let digest = hash.finalize();
        whole.digest = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let whole = Arc::new(whole);
        self.plans.insert(instance.seq, Arc::clone(&whole));
        Ok(whole)
    }

    /// What an admin is told if so many people would lose their access that the brake holds the rest.
    async fn brake_would_hold(
        &self,
        instance: &Instance,
        counts: &BTreeMap<&'static str, u64>,
    ) -> Result<Option<String>, StoreError> {
        let leave = ["remove", "suspend"].iter().filter_map(|word| counts.get(word)).sum::<u64>();
        let Some(limits) = instance.policy.brake.limits().filter(|limits| leave > limits.most(0)) else {
            return Ok(None);
        };
        let row = self
            .store
            .reader()
            .one(
                "SELECT COUNT(*) AS n FROM account WHERE instance_seq = $1 AND kind = 'User' AND status <> 'gone'",
                vals![instance.seq],
            )
            .await?;
        let size = row.map_or(Ok(0), |row| row.col::<i64>("n"))?;
        let most = limits.most(u64::try_from(size).unwrap_or(0));
        Ok((leave > most).then(|| {
            format!(
                "{leave} people would lose their access, and the brake lets {most} pass in {} minutes: the rest is held until an admin allows or discards it.",
                limits.window_minutes
            )
        }))
    }

    /// What changes whenever a plan may: accepted changes, open work, runs, attempts, settings.
    async fn made_of(&self, instance: &Instance) -> Result<[i64; 5], StoreError> {
        let row = self
            .store
            .reader()
            .one(
                "SELECT (SELECT COALESCE(MAX(seq), 0) FROM operation WHERE instance_seq = $1) AS operation, \
                 (SELECT COUNT(*) FROM work WHERE instance_seq = $1) AS works, \
                 (SELECT CAST(COALESCE(SUM(rev + claim), 0) AS BIGINT) FROM (SELECT rev, COALESCE(claim_epoch, 0) AS claim FROM work WHERE instance_seq = $1) AS open) AS revs, \
                 (SELECT COALESCE(MAX(CASE WHEN ended_at IS NULL THEN seq + 1 ELSE seq END), 0) FROM run WHERE instance_seq = $1) AS run",
                vals![instance.seq],
            )
            .await?
            .ok_or_else(|| StoreError::damaged("no row of aggregates"))?;
        Ok([row.col("operation")?, row.col("works")?, row.col("revs")?, row.col("run")?, instance.config_rev])
    }
}
