//! Comparing with the target: runs that list what it holds, tie what belongs together, and take up
//! what changed behind our back. Imported accounts become rows that nobody manages (DECISIONS 1);
//! absence needs a complete listing and a confirming read (DECISIONS 22).
//!
//! A run is a row; the replica that drives the instance carries it out ([`walk`]). It writes nothing at the
//! target itself: what it repairs becomes ordinary work ([`repair`]).

mod compare;
mod decide;
mod finish;
mod look;
mod members;
mod progress;
mod repair;
mod sweep;
mod table;
mod verify;
mod walk;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{Cx, DriverKey, Fault};
use engine::Lane;
use futures_util::FutureExt;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::driver::Shared;
use crate::service::App;
use crate::service::directory::time;
use crate::service::records::{AdminError, Slice, audit};
use crate::service::types::{Instance, Mode};
use crate::store::entity::run;
use crate::store::{Hint, Priority, Rows, Sql, StoreError, Tx, Unit};
use crate::transport::Recorder;
use progress::{Counts, Place};
use walk::{Walk, goes_on_later};

/// Pages of one listing at most; more is a listing that goes in circles.
const MOST_PAGES: usize = 20_000;
/// How long a run may last: it goes last, so on a busy target its calls wait long for their turn.
const RUN_PATIENCE: std::time::Duration = std::time::Duration::from_secs(12 * 3600);
/// How old the end of a run may be that is gone on with, in microseconds: pages move meanwhile.
const GOES_STALE: i64 = 3_600_000_000;
/// When a run that failed (the target was down) is tried again, in microseconds.
const FAILED_AGAIN: i64 = 15 * 60 * 1_000_000;
/// How long a run waits for the driver to follow what became of invitations.
const FOLLOW_PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// Why a run is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunKind {
    /// To know the accounts and groups that are there.
    Import,
    /// To find what differs.
    Reconcile,
    /// To look at one person's account.
    Look,
}

impl RunKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Reconcile => "reconcile",
            Self::Look => "look",
        }
    }

    fn parse(word: &str) -> Self {
        match word {
            "import" => Self::Import,
            "look" => Self::Look,
            _ => Self::Reconcile,
        }
    }
}

impl App {
    /// Starts a run; its id, or none while one runs. One that a fault ended a short time ago goes on where
    /// it was.
    ///
    /// # Errors
    /// The instance is paused or disabled (conflict): nothing is sent to its target; it was deleted; the store's.
    pub async fn start_run(
        &self,
        instance: &Instance,
        kind: RunKind,
        actor: &str,
    ) -> Result<Option<String>, AdminError> {
        // As it is now: another replica may have paused it a moment ago.
        self.instances.invalidate(instance.seq);
        let instance = self.instances.by_seq(instance.seq).await?;
        let instance = instance.ok_or_else(|| AdminError::NotFound("The instance was deleted.".to_owned()))?;
        Self::refuse_silent(&instance)?;
        let start = Start::new(&instance, kind, actor);
        let started = self.store.write(Priority::Request, start).await?;
        if started.is_some() {
            self.driver.wake();
        }
        Ok(started)
    }

    /// A run, as the admin API shows it.
    ///
    /// # Errors
    /// The store's.
    pub async fn run(&self, instance: &Instance, run_id: &str) -> Result<Option<Value>, StoreError> {
        let found = run::Entity::find()
            .filter(run::Column::Id.eq(run_id))
            .filter(run::Column::InstanceSeq.eq(instance.seq))
            .one(self.store.reader())
            .await?;
        Ok(found.as_ref().map(shown))
    }

    /// The runs of an instance before row `before`, newest first; looks at one person are not among them.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_runs(&self, instance: &Instance, before: i64, limit: i64) -> Result<Slice, StoreError> {
        let rows = run::Entity::find()
            .filter(run::Column::InstanceSeq.eq(instance.seq))
            .filter(run::Column::Seq.lt(before))
            .filter(run::Column::Kind.ne("look"))
            .order_by_desc(run::Column::Seq)
            .limit(u64::try_from(limit + 1).unwrap_or(1))
            .all(self.store.reader())
            .await?;
        let size = usize::try_from(limit).unwrap_or(0);
        let page = rows.get(..size.min(rows.len())).unwrap_or_default();
        let next = page.last().filter(|_| rows.len() > size).map(|last| last.seq);
        Ok(Slice { items: page.iter().map(shown).collect(), next })
    }
}

fn shown(run: &run::Model) -> Value {
    let counts: Value = serde_json::from_str(&run.counts).unwrap_or_default();
    let place: Option<Place> = run.page.as_ref().and_then(|text| serde_json::from_str(text).ok());
    json!({
        "id": run.id,
        "kind": run.kind,
        "state": run.state,
        "phase": place.filter(|_| run.state != "done").map(|place| place.phase.as_str()),
        "complete": run.complete == 1,
        "counts": counts,
        "error": run.error,
        "started_at": time(run.started_at),
        "ended_at": run.ended_at.map(time),
    })
}

struct Start {
    instance_seq: i64,
    instance_id: String,
    id: String,
    kind: RunKind,
    actor: String,
    /// The one person it looks at.
    only: Option<i64>,
}

impl Start {
    fn new(instance: &Instance, kind: RunKind, actor: &str) -> Self {
        Self {
            instance_seq: instance.seq,
            instance_id: instance.id.clone(),
            id: format!("rn_{}", Uuid::now_v7().simple()),
            kind,
            actor: actor.to_owned(),
            only: None,
        }
    }

    /// Has the last run go on, if it is of this kind and a fault ended it: what it listed is not so old
    /// yet that it were better to begin anew.
    async fn resume(&self, tx: &Tx<'_>) -> Result<Option<String>, StoreError> {
        let row = tx
            .conn
            .one(
                "UPDATE run SET state = 'running', error = NULL, ended_at = NULL WHERE seq = (SELECT MAX(seq) FROM run WHERE instance_seq = $1 AND kind <> 'look') \
                 AND state = 'failed' AND kind = $2 AND page IS NOT NULL AND ended_at > $3 \
                 AND NOT EXISTS (SELECT 1 FROM run o WHERE o.instance_seq = $1 AND o.state = 'running') RETURNING id",
                vals![self.instance_seq, self.kind.as_str(), tx.now - GOES_STALE],
            )
            .await?;
        row.map(|row| row.col("id")).transpose()
    }
}

#[async_trait]
impl Unit for Start {
    type Out = Option<String>;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Option<String>, StoreError> {
        let resumed = self.resume(tx).await?;
        let (id, act) = match resumed {
            Some(id) => (id, "resume"),
            None => {
                let made = tx
                    .conn
                    .run(
                        "INSERT INTO run (seq, id, instance_seq, kind, state, page, complete, counts, error, started_at, ended_at) \
                         VALUES ($1,$2,$3,$4,'running',$6,0,'{}',NULL,$5,NULL) ON CONFLICT DO NOTHING",
                        vals![
                            tx.seq()?,
                            self.id.as_str(),
                            self.instance_seq,
                            self.kind.as_str(),
                            tx.now,
                            self.only.map(|person| Place::of(person).text())
                        ],
                    )
                    .await?;
                if made == 0 {
                    return Ok(None);
                }
                (self.id.clone(), "start")
            }
        };
        tx.hint(Hint::Leases);
        let act = format!("{}.{act}", self.kind.as_str());
        audit(tx, &self.actor, &act, &self.instance_id, &json!({})).await?;
        Ok(Some(id))
    }
}

/// Starts the runs that are due by schedule.
pub(crate) async fn schedule(shared: &Shared, instances: &[Arc<Instance>]) -> Result<(), StoreError> {
    for instance in instances {
        let hours = i64::from(instance.policy.reconcile_every_hours);
        let row = shared
            .store
            .reader()
            .one(
                "SELECT started_at, ended_at, state, kind FROM run WHERE instance_seq = $1 AND kind <> 'look' ORDER BY seq DESC LIMIT 1",
                vals![instance.seq],
            )
            .await?;
        let (last, failed) = match row {
            Some(row) if row.col::<String>("state")? == "failed" => {
                let ended = row.col::<Option<i64>>("ended_at")?.unwrap_or(row.col("started_at")?);
                (ended, Some(row.col::<String>("kind")?))
            }
            Some(row) => (row.col::<i64>("started_at")?, None),
            None => (0, None),
        };
        let rest = match failed {
            Some(_) => FAILED_AGAIN,
            None if instance.verifying_since.is_some() => 0,
            None => hours * 3_600_000_000,
        };
        if shared.clock.micros() - last >= rest {
            let kind = match failed {
                Some(kind) => RunKind::parse(&kind),
                None if last == 0 => RunKind::Import,
                None => RunKind::Reconcile,
            };
            shared.store.write(Priority::Background, Start::new(instance, kind, "schedule")).await?;
        }
    }
    Ok(())
}

/// The runs that are to be carried out: (run, instance, driver key).
pub(crate) async fn open_runs(shared: &Shared) -> Result<Vec<(i64, i64, DriverKey)>, StoreError> {
    let rows = shared
        .store
        .reader()
        .all("SELECT r.seq, r.instance_seq, i.driver_key FROM run r JOIN instance i ON i.seq = r.instance_seq WHERE r.state = 'running' ORDER BY r.seq", vals![])
        .await?;
    let run = |row: &sea_orm::QueryResult| {
        Ok((row.col("seq")?, row.col("instance_seq")?, DriverKey::new(row.col::<String>("driver_key")?)))
    };
    rows.iter().map(run).collect()
}

/// Carries one run out and records its end. A run whose process died goes on where it was.
pub(crate) async fn carry_out(shared: &Arc<Shared>, run: i64, instance_seq: i64, key: &DriverKey) {
    let outcome = match shared.instances.by_seq(instance_seq).await {
        Ok(Some(instance)) => {
            let work = AssertUnwindSafe(execute(shared, &instance, run)).catch_unwind().await;
            work.unwrap_or_else(|_| {
                tracing::error!(run, "a run panicked");
                Err(Stop::Words("The gateway made a mistake during this run; its log tells more.".to_owned()))
            })
        }
        Ok(None) => Err(Stop::Words("The instance is gone.".to_owned())),
        Err(error) => Err(Stop::Store(error)),
    };
    let end = match outcome {
        Ok(complete) => End { run, state: "done", complete, keeps_place: false, error: None },
        Err(Stop::Fault(fault)) => {
            tracing::info!(run, kind = ?fault.kind, context = %fault.context, "a run ended early");
            let keeps_place = goes_on_later(&fault);
            End { run, state: "failed", complete: false, keeps_place, error: Some(fault.message) }
        }
        Err(Stop::Words(words)) => {
            End { run, state: "failed", complete: false, keeps_place: false, error: Some(words) }
        }
        Err(Stop::Store(error)) => {
            tracing::warn!(run, %error, "a run ended early");
            let words = "The gateway's database failed meanwhile. Start the run again.".to_owned();
            End { run, state: "failed", complete: false, keeps_place: true, error: Some(words) }
        }
    };
    if let Err(error) = shared.write_leased_key(key, Priority::Background, end).await {
        tracing::warn!(run, %error, "the end of a run could not be stored");
    }
}

struct End {
    run: i64,
    state: &'static str,
    complete: bool,
    /// Whether another run goes on where this one was.
    keeps_place: bool,
    error: Option<String>,
}

#[async_trait]
impl Unit for End {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        tx.conn
            .run(
                "UPDATE run SET state = $2, complete = $3, error = $4, ended_at = $5, page = CASE WHEN $6 = 1 THEN page END WHERE seq = $1",
                vals![
                    self.run,
                    self.state,
                    i16::from(self.complete),
                    self.error.clone(),
                    tx.now,
                    i64::from(self.keeps_place)
                ],
            )
            .await?;
        Ok(())
    }
}

/// Why a run ends early.
enum Stop {
    Fault(Fault),
    Words(String),
    Store(StoreError),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

async fn execute(shared: &Arc<Shared>, instance: &Arc<Instance>, run: i64) -> Result<bool, Stop> {
    if instance.mode == Mode::Paused || instance.mode == Mode::Disabled {
        return Err(Stop::Words(
            "The instance is paused or disabled: nothing is sent to the target. Enable it first.".to_owned(),
        ));
    }
    let record = Arc::new(Recorder::default());
    let (connector, wire) =
        match (&instance.connector, shared.wire(instance, Lane::Reconcile, RUN_PATIENCE, &record).await?) {
            (Ok(connector), Some(wire)) => (connector, wire),
            (Err(why), _) => return Err(Stop::Words(why.clone())),
            _ => {
                return Err(Stop::Words("The connector of this instance cannot be used.".to_owned()));
            }
        };
    let row = shared
        .store
        .reader()
        .one("SELECT id, kind, page, counts, started_at FROM run WHERE seq = $1", vals![run])
        .await?
        .ok_or_else(|| StoreError::damaged("a run without a row"))?;
    // A place that this version cannot read is the beginning.
    let place: Option<Place> = row.col::<Option<String>>("page")?.and_then(|text| serde_json::from_str(&text).ok());
    let counts: Option<Counts> = place.as_ref().and(serde_json::from_str(&row.col::<String>("counts")?).ok());
    let cx = Cx::new(wire.as_ref(), shared.clock.now());
    let id: String = row.col("id")?;
    let mut walk = Walk {
        shared,
        instance,
        connector: connector.as_ref(),
        cx: &cx,
        record: record.as_ref(),
        run,
        id: &id,
        kind: RunKind::parse(&row.col::<String>("kind")?),
        began: row.col("started_at")?,
        place: place.unwrap_or_default(),
        counts: counts.unwrap_or_default(),
    };
    let complete = walk.go().await?;
    if walk.kind == RunKind::Look {
        return Ok(complete);
    }
    verify::links(shared, instance, run, connector.as_ref(), &cx).await?;
    Ok(complete)
}
