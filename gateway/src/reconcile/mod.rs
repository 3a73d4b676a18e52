//! Comparing with the target: runs that list what it holds, tie what belongs together, and take up
//! what changed behind our back. Imported accounts become rows that nobody manages (DECISIONS 1);
//! absence needs a complete listing and a confirming read (DECISIONS 22).
//!
//! A run is a row; the replica that drives the instance carries it out. It writes nothing at the target.

mod sweep;
mod verify;

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{Accounts, Cx, DriverKey, Fault, FaultKind, Groups, RemoteId};
use engine::Lane;
use futures_util::FutureExt;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::driver::{Missing, Shared, can_create};
use crate::service::App;
use crate::service::directory::time;
use crate::service::types::{Instance, Mode};
use crate::store::entity::run;
use crate::store::{Hint, Priority, Rows, Sql, StoreError, Tx, Unit};
use crate::transport::Recorder;
use sweep::{
    Marked, SweepAccounts, SweepGroups, Vanished, clear_marks, marked_groups, present_members, rematch, unseen,
};

/// Pages of one listing at most; more is a listing that goes in circles.
const MOST_PAGES: usize = 20_000;
/// How long a run may last: it goes last, so on a busy target its calls wait long for their turn.
const RUN_PATIENCE: std::time::Duration = std::time::Duration::from_secs(12 * 3600);
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
}

impl RunKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Reconcile => "reconcile",
        }
    }
}

/// What a run counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) accounts: u64,
    pub(crate) invitations: u64,
    pub(crate) groups: u64,
    pub(crate) imported: u64,
    pub(crate) followed: u64,
    pub(crate) vanished: u64,
    pub(crate) looked: u64,
}

impl Counts {
    fn to_json(self) -> Value {
        json!({
            "accounts": self.accounts, "invitations": self.invitations, "groups": self.groups, "imported": self.imported,
            "followed": self.followed, "vanished": self.vanished, "looked": self.looked,
        })
    }
}

impl App {
    /// Starts a run; its id, or none while one runs.
    ///
    /// # Errors
    /// The store's.
    pub async fn start_run(
        &self,
        instance: &Instance,
        kind: RunKind,
        actor: &str,
    ) -> Result<Option<String>, StoreError> {
        let id = format!("rn_{}", Uuid::now_v7().simple());
        let start = Start {
            instance_seq: instance.seq,
            instance_id: instance.id.clone(),
            id: id.clone(),
            kind,
            actor: actor.to_owned(),
        };
        let started = self.store.write(Priority::Request, start).await?;
        if started {
            self.driver.wake();
        }
        Ok(started.then_some(id))
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
        let Some(run) = found else { return Ok(None) };
        let counts: Value = serde_json::from_str(&run.counts).unwrap_or_default();
        Ok(Some(json!({
            "id": run.id,
            "kind": run.kind,
            "state": run.state,
            "complete": run.complete == 1,
            "counts": counts,
            "error": run.error,
            "started_at": time(run.started_at),
            "ended_at": run.ended_at.map(time),
        })))
    }
}

struct Start {
    instance_seq: i64,
    instance_id: String,
    id: String,
    kind: RunKind,
    actor: String,
}

#[async_trait]
impl Unit for Start {
    type Out = bool;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<bool, StoreError> {
        let made = tx
            .conn
            .run(
                "INSERT INTO run (seq, id, instance_seq, kind, state, page, complete, counts, error, started_at, ended_at) \
                 VALUES ($1,$2,$3,$4,'running',NULL,0,'{}',NULL,$5,NULL) ON CONFLICT DO NOTHING",
                vals![tx.seq()?, self.id.as_str(), self.instance_seq, self.kind.as_str(), tx.now],
            )
            .await?;
        if made == 1 {
            tx.hint(Hint::Leases);
            tx.conn
                .run(
                    "INSERT INTO audit (seq, actor, act, target, detail, at) VALUES ($1,$2,$3,$4,'{}',$5)",
                    vals![
                        tx.seq()?,
                        self.actor.as_str(),
                        format!("{}.start", self.kind.as_str()),
                        self.instance_id.as_str(),
                        tx.now
                    ],
                )
                .await?;
        }
        Ok(made == 1)
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
                "SELECT started_at, state FROM run WHERE instance_seq = $1 ORDER BY seq DESC LIMIT 1",
                vals![instance.seq],
            )
            .await?;
        let (last, failed) = match row {
            Some(row) => (row.col::<i64>("started_at")?, row.col::<String>("state")? == "failed"),
            None => (0, false),
        };
        let rest = match failed {
            true => FAILED_AGAIN,
            false if instance.verifying_since.is_some() => 0,
            false => hours * 3_600_000_000,
        };
        if shared.clock.micros() - last >= rest {
            let kind = if last == 0 { RunKind::Import } else { RunKind::Reconcile };
            let id = format!("rn_{}", Uuid::now_v7().simple());
            let start = Start {
                instance_seq: instance.seq,
                instance_id: instance.id.clone(),
                id,
                kind,
                actor: "schedule".to_owned(),
            };
            shared.store.write(Priority::Background, start).await?;
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

/// Carries one run out and records its end.
pub(crate) async fn carry_out(shared: &Arc<Shared>, run: i64, instance_seq: i64, key: &DriverKey) {
    let mut counts = Counts::default();
    let outcome = match shared.instances.by_seq(instance_seq).await {
        Ok(Some(instance)) => {
            let work = AssertUnwindSafe(execute(shared, &instance, run, &mut counts)).catch_unwind().await;
            work.unwrap_or_else(|_| {
                tracing::error!(run, "a run panicked");
                Err(Stop::Words("The gateway made a mistake during this run; its log tells more.".to_owned()))
            })
        }
        Ok(None) => Err(Stop::Words("The instance is gone.".to_owned())),
        Err(error) => Err(Stop::Store(error)),
    };
    let (state, complete, error) = match outcome {
        Ok(complete) => ("done", complete, None),
        Err(Stop::Fault(fault)) => {
            tracing::info!(run, kind = ?fault.kind, context = %fault.context, "a run ended early");
            ("failed", false, Some(fault.message))
        }
        Err(Stop::Words(words)) => ("failed", false, Some(words)),
        Err(Stop::Store(error)) => {
            tracing::warn!(run, %error, "a run ended early");
            ("failed", false, Some("The gateway's database failed meanwhile. Start the run again.".to_owned()))
        }
    };
    let end = End { run, state, complete, counts, error };
    if let Err(error) = shared.write_leased_key(key, Priority::Background, end).await {
        tracing::warn!(run, %error, "the end of a run could not be stored");
    }
}

struct End {
    run: i64,
    state: &'static str,
    complete: bool,
    counts: Counts,
    error: Option<String>,
}

#[async_trait]
impl Unit for End {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        tx.conn
            .run(
                "UPDATE run SET state = $2, complete = $3, counts = $4, error = $5, ended_at = $6 WHERE seq = $1",
                vals![
                    self.run,
                    self.state,
                    i16::from(self.complete),
                    self.counts.to_json().to_string(),
                    self.error.clone(),
                    tx.now
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

async fn execute(shared: &Arc<Shared>, instance: &Arc<Instance>, run: i64, counts: &mut Counts) -> Result<bool, Stop> {
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
    let cx = Cx::new(wire.as_ref(), shared.clock.now());
    let mut complete = true;
    if let Some(accounts) = connector.accounts() {
        complete &= invitations(shared, instance, run, accounts, &cx, counts).await?;
        complete &= sweep_accounts(shared, instance, run, accounts, &cx, counts).await?;
    }
    if let Some(groups) = connector.groups() {
        complete &= sweep_groups(shared, instance, run, groups, &cx, counts).await?;
        look_at_marked(shared, instance, groups, &cx, counts).await?;
    }
    if !can_create(connector.as_ref()) {
        rematch(shared, instance).await?;
    }
    clear_marks(shared, instance).await?;
    verify::links(shared, instance, run, connector.as_ref(), &cx, counts).await?;
    shared.ring();
    Ok(complete)
}

/// Lists the pending invitations and has the ones that are gone followed, before accounts are
/// listed: an accepted one is then tied to its account already, and not imported as a stranger.
async fn invitations(
    shared: &Arc<Shared>,
    instance: &Arc<Instance>,
    run: i64,
    accounts: &dyn Accounts,
    cx: &Cx<'_>,
    counts: &mut Counts,
) -> Result<bool, Stop> {
    let before = shared.clock.micros();
    let mut listed = HashSet::new();
    let mut page = None;
    let mut complete = true;
    for _ in 0..MOST_PAGES {
        let got = accounts.invitations(cx, page.as_ref()).await?;
        complete &= got.complete;
        counts.invitations += got.items.len() as u64;
        listed
            .extend(got.items.iter().filter_map(|account| account.invite_id.as_ref().map(|id| id.as_str().to_owned())));
        let sweep = SweepAccounts { instance: instance.clone(), run, accounts: got.items, started: before };
        counts.imported += shared.write_leased(instance, Priority::Background, sweep).await?;
        match got.next {
            Some(next) => page = Some(next),
            None => {
                if complete {
                    let missing = Missing { instance: instance.clone(), listed, before };
                    let found = shared.write_leased(instance, Priority::Driver, missing).await?;
                    counts.followed += found as u64;
                    if found > 0 {
                        shared.ring();
                        wait_for_follows(shared, instance).await?;
                    }
                }
                return Ok(complete);
            }
        }
    }
    Err(endless("invitations"))
}

fn endless(what: &str) -> Stop {
    Stop::Fault(
        Fault::new(FaultKind::Malformed, format!("The target's list of {what} has no end.")).context("too many pages"),
    )
}

/// Waits, not for ever, until the driver has followed what was marked.
async fn wait_for_follows(shared: &Shared, instance: &Instance) -> Result<(), StoreError> {
    let until = shared.clock.now().checked_add(FOLLOW_PATIENCE).unwrap_or(jiff::Timestamp::MAX);
    while shared.clock.now() < until {
        let open = shared
            .store
            .reader()
            .one(
                "SELECT 1 AS one FROM work w JOIN link l ON l.resource_seq = w.resource_seq AND l.state = 'live' JOIN account a ON a.seq = l.account_seq \
                 WHERE w.instance_seq = $1 AND a.status = 'invited' AND w.state IN ('todo','running') LIMIT 1",
                vals![instance.seq],
            )
            .await?;
        if open.is_none() {
            return Ok(());
        }
        shared.clock.sleep(std::time::Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn sweep_accounts(
    shared: &Arc<Shared>,
    instance: &Arc<Instance>,
    run: i64,
    accounts: &dyn Accounts,
    cx: &Cx<'_>,
    counts: &mut Counts,
) -> Result<bool, Stop> {
    let started = shared.clock.micros();
    let mut complete = true;
    let mut page = None;
    for _ in 0..MOST_PAGES {
        let got = accounts.list(cx, page.as_ref()).await?;
        complete &= got.complete;
        counts.accounts += got.items.len() as u64;
        for chunk in got.items.chunks(100) {
            let sweep = SweepAccounts { instance: instance.clone(), run, accounts: chunk.to_vec(), started };
            counts.imported += shared.write_leased(instance, Priority::Background, sweep).await?;
        }
        match got.next {
            Some(next) => page = Some(next),
            None => {
                if complete {
                    confirm_vanished(shared, instance, run, started, accounts, cx, counts).await?;
                }
                return Ok(complete);
            }
        }
    }
    Err(endless("accounts"))
}

/// Accounts that a complete listing did not show are read once more before they count as gone.
async fn confirm_vanished(
    shared: &Arc<Shared>,
    instance: &Arc<Instance>,
    run: i64,
    started: i64,
    accounts: &dyn Accounts,
    cx: &Cx<'_>,
    counts: &mut Counts,
) -> Result<(), Stop> {
    for account in unseen(shared, instance, run, started).await? {
        let Some(at) = account.reference() else {
            continue;
        };
        if accounts.get(cx, &at).await?.is_none() {
            shared.write_leased(instance, Priority::Background, Vanished { account: account.seq }).await?;
            counts.vanished += 1;
        }
    }
    Ok(())
}

async fn sweep_groups(
    shared: &Arc<Shared>,
    instance: &Arc<Instance>,
    run: i64,
    groups: &dyn Groups,
    cx: &Cx<'_>,
    counts: &mut Counts,
) -> Result<bool, Stop> {
    let mut complete = true;
    let mut page = None;
    for _ in 0..MOST_PAGES {
        let got = groups.list(cx, page.as_ref()).await?;
        complete &= got.complete;
        counts.groups += got.items.len() as u64;
        for chunk in got.items.chunks(100) {
            let sweep = SweepGroups { instance: instance.clone(), run, groups: chunk.to_vec() };
            counts.imported += shared.write_leased(instance, Priority::Background, sweep).await?;
        }
        match got.next {
            Some(next) => page = Some(next),
            None => return Ok(complete),
        }
    }
    Err(endless("groups"))
}

/// Groups whose client asked again for what is wanted already ("push now"): their members are read,
/// and memberships that are missing are made again (DECISIONS 12).
async fn look_at_marked(
    shared: &Arc<Shared>,
    instance: &Arc<Instance>,
    groups: &dyn Groups,
    cx: &Cx<'_>,
    counts: &mut Counts,
) -> Result<(), Stop> {
    for (resource, remote) in marked_groups(shared, instance).await? {
        let present = match present_members(groups, cx, &RemoteId::new(remote)).await {
            Ok(Some(present)) => present,
            Ok(None) => continue,
            Err(fault) if fault.kind == FaultKind::NotFound => HashSet::new(),
            Err(fault) => return Err(fault.into()),
        };
        counts.looked += 1;
        shared
            .write_leased(instance, Priority::Background, Marked { instance: instance.clone(), resource, present })
            .await?;
    }
    Ok(())
}
