//! The driver turns work into calls. Besides reconcile it is the only caller of connectors.
//!
//! One process drives, by a lease ([`lease`]). Per driver key one [`pump`] takes due work, best lane
//! first, and starts a [`run`] per resource; what a run may send is written down before it is sent.
//! Requests wait for their settlement here ([`Handle::settle`]), but only where the driver can start
//! in time (DECISIONS 8): an identity provider is never kept waiting by a slow target.

mod accounts;
mod doubt;
mod group;
mod invitations;
mod lease;
mod outbox;
mod person;
mod pump;
mod run;
mod waiters;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use connector_sdk::{Charge, Cx, DriverKey, Fault, FaultKind, Probe, Transport};
use engine::Lane;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub(crate) use accounts::{AccountRow, gone, linked, observe};
pub(crate) use invitations::Missing;
pub(crate) use person::can_create;
pub use waiters::Settlement;

use crate::clock::Clock;
use crate::limits::{BucketRow, Budget, Budgets};
use crate::reconcile;
use crate::service::events::Events;
use crate::service::instances::Instances;
use crate::service::types::{Instance, Mode};
use crate::store::{Priority, Rows, Sql, Store, StoreError, Tx, Unit};
use crate::transport::{Http, Recorder, Wire};
use waiters::Waiters;

/// How often a waiting request and an idle pump look at the store, in case a hint was lost.
const POLL: Duration = Duration::from_millis(250);
/// How long a call may wait for its budget before its work is put down again.
pub(crate) const BUDGET_PATIENCE: Duration = Duration::from_secs(15);
/// How often an idle supervisor looks for driver keys it does not pump yet.
const SUPERVISE: Duration = Duration::from_secs(1);
/// How often it looks for runs that are due by schedule.
const SCHEDULE: Duration = Duration::from_secs(30);

/// The way to the driver, for the rest of the gateway. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) instances: Instances,
    http: Http,
    budgets: Budgets,
    waiters: Waiters,
    pumps: Mutex<HashMap<DriverKey, Arc<pump::Gauge>>>,
    supervisor: Notify,
    owner: String,
    invitation_look: Duration,
    events: Arc<Events>,
    /// The epoch while the lease is held.
    epoch: watch::Sender<Option<lease::Held>>,
}

impl Handle {
    /// A driver over a store. It drives once [`Handle::start`] runs.
    pub fn new(store: Store, instances: Instances, http: Http, invitation_look: Duration, events: Arc<Events>) -> Self {
        let clock = store.clock().clone();
        Self(Arc::new(Shared {
            budgets: Budgets::new(clock.clone()),
            store,
            clock,
            instances,
            http,
            waiters: Waiters::default(),
            pumps: Mutex::default(),
            supervisor: Notify::new(),
            owner: Uuid::new_v4().to_string(),
            invitation_look,
            events,
            epoch: watch::Sender::new(None),
        }))
    }

    /// Says that there may be new work, anywhere, or a run or an instance.
    pub fn wake(&self) {
        self.0.ring();
    }

    /// Says that there is new work of one instance.
    pub fn wake_for(&self, instance: &Instance) {
        self.gauge(instance).ring();
    }

    /// Checks an instance's credential and permissions at the target. Writes nothing there.
    ///
    /// # Errors
    /// Nothing could be found out: target down, rate limit, a connector that cannot be used.
    pub async fn probe(&self, instance: &Instance) -> Result<Probe, Fault> {
        let unusable = |words: &str| Fault::new(FaultKind::NotSent, words);
        let connector = instance.connector.as_ref().map_err(|why| unusable(why))?;
        let record = Arc::new(Recorder::default());
        let wire = self.0.wire(instance, Lane::Grant, BUDGET_PATIENCE, &record).await;
        let Ok(Some(wire)) = wire else {
            return Err(unusable("The gateway's database is not available. Try again."));
        };
        connector.probe(&Cx::new(wire.as_ref(), self.0.clock.now())).await
    }

    /// What the budgets of this process look like, for the admin.
    pub fn budgets(&self) -> serde_json::Value {
        serde_json::to_value(self.0.budgets.snapshot()).unwrap_or_default()
    }

    /// Whether this process drives.
    pub fn drives(&self) -> bool {
        self.0.epoch.borrow().is_some()
    }

    /// Waits until a revision is settled, at most `within`, and not at all if the driver cannot start
    /// in that time.
    pub async fn settle(
        &self,
        instance: &Instance,
        resource: i64,
        rev: i64,
        lane: Lane,
        within: Duration,
    ) -> Settlement {
        let deadline = self.0.clock.now().checked_add(within).unwrap_or(Timestamp::MAX);
        let gauge = self.gauge(instance);
        let seat = self
            .predict(instance, lane, within)
            .filter(|start| instance.mode == Mode::Enabled && *start < within)
            .and_then(|start| gauge.seat(start));
        let Some(_seat) = seat else {
            gauge.count(lane);
            self.wake_for(instance);
            return Settlement::Later;
        };
        // Dropped after the answer's receiver, also where the client went away.
        let _place = waiters::Place { waiters: &self.0.waiters, resource };
        let mut answer = self.0.waiters.register(resource, rev);
        gauge.count(lane);
        self.wake_for(instance);
        loop {
            let poll = self.0.clock.now().checked_add(POLL).unwrap_or(deadline).min(deadline);
            tokio::select! {
                told = &mut answer => return told.unwrap_or(Settlement::Later),
                () = self.0.clock.sleep_until(poll) => {}
            }
            match self.look(resource, rev).await {
                Ok(Some(settlement)) => return settlement,
                Ok(None) if self.0.clock.now() < deadline => {}
                _ => return Settlement::Later,
            }
        }
    }

    /// What the store says of a revision: the truth, where a hint was lost or another replica drives.
    async fn look(&self, resource: i64, rev: i64) -> Result<Option<Settlement>, StoreError> {
        let row = self
            .0
            .store
            .reader()
            .one(
                "SELECT r.settled_rev, w.state, w.rev, w.need, w.reason FROM resource r LEFT JOIN work w ON w.resource_seq = r.seq WHERE r.seq = $1",
                vals![resource],
            )
            .await?;
        let Some(row) = row else {
            return Ok(Some(Settlement::Later));
        };
        if row.col::<i64>("settled_rev")? >= rev {
            return Ok(Some(Settlement::Done));
        }
        Ok(match row.col::<Option<String>>("state")?.as_deref() {
            Some("todo" | "running") => None,
            Some("needs") if row.col::<Option<i64>>("rev")? == Some(rev) => {
                let code = row.col::<Option<String>>("need")?.unwrap_or_default();
                let message = row.col::<Option<String>>("reason")?.unwrap_or_default();
                Some(match refusal_of(&code) {
                    Some(kind) => Settlement::Refused { kind, message },
                    None => Settlement::Later,
                })
            }
            _ => Some(Settlement::Later),
        })
    }

    /// When a change in that lane could start; `None` if nobody can say.
    fn predict(&self, instance: &Instance, lane: Lane, within: Duration) -> Option<Duration> {
        let connector = instance.connector.as_ref().ok()?;
        let budget = self.0.budgets.get(&instance.driver_key, &connector.traits().buckets);
        if budget.snapshot().breaker.state != "closed" {
            return None;
        }
        if let Some(until) = budget.blocked_until() {
            let wait = Duration::try_from(until.duration_since(self.0.clock.now())).unwrap_or(Duration::ZERO);
            if wait > within {
                return None;
            }
        }
        let gauge = self.gauge(instance);
        let ahead = gauge.ahead(lane);
        // What a write is spaced by (GitHub: a second apart) tells when one more could start.
        let spaced = connector.traits().buckets.iter().filter(|bucket| !bucket.gap.is_zero());
        let charges: Vec<Charge> = spaced.map(|bucket| Charge { bucket: bucket.name, units: 1 }).collect();
        Some(gauge.queueing(ahead).max(budget.predict(&charges, lane, ahead)))
    }

    fn gauge(&self, instance: &Instance) -> Arc<pump::Gauge> {
        self.0.gauge(&instance.driver_key)
    }

    /// Drives until the token is cancelled, then finishes what is under way and gives the lease up.
    pub async fn start(&self, stop: CancellationToken) {
        let shared = self.0.clone();
        let mut held: Option<lease::Held> = None;
        let mut pumping: Option<(CancellationToken, TaskTracker)> = None;
        while !stop.is_cancelled() {
            let take = lease::Take {
                owner: shared.owner.clone(),
                held: held.map(|held| held.epoch),
                force: !shared.store.is_shared(),
            };
            match shared.store.write(Priority::Driver, take).await {
                Ok(now) => {
                    if now.is_none() && held.is_some() {
                        tracing::warn!("the driver's lease is another replica's now; this one stops driving");
                    }
                    held = now;
                }
                Err(error) => {
                    tracing::warn!(%error, "the driver's lease could not be renewed");
                    held = held.filter(|held| held.until > shared.clock.micros());
                }
            }
            shared.epoch.send_replace(held);
            match (held, &pumping) {
                (Some(_), None) => {
                    let token = stop.child_token();
                    let tasks = TaskTracker::new();
                    tasks.spawn(supervise(shared.clone(), token.clone(), tasks.clone()));
                    pumping = Some((token, tasks));
                }
                (None, Some((token, tasks))) => {
                    token.cancel();
                    tasks.close();
                    tasks.wait().await;
                    pumping = None;
                }
                _ => {}
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = shared.clock.sleep(lease::RENEW) => {}
            }
        }
        if let Some((token, tasks)) = pumping {
            token.cancel();
            tasks.close();
            tasks.wait().await;
        }
        if let Some(held) = held
            && let Err(error) = lease::give_up(&shared.store, &shared.owner, held.epoch).await
        {
            tracing::warn!(%error, "the driver's lease could not be given up; another replica waits for its end");
        }
        shared.epoch.send_replace(None);
    }
}

/// The refusal that a need tells of, for a request that was not told itself.
fn refusal_of(code: &str) -> Option<FaultKind> {
    match code {
        "name_taken" | "conflict" | "adopt" => Some(FaultKind::NameTaken),
        "refused" | "not_found" => Some(FaultKind::Refused),
        _ => None,
    }
}

impl Shared {
    /// Says that there may be new work, anywhere, or a run or an instance.
    pub(crate) fn ring(&self) {
        for gauge in self.pumps.lock().unwrap_or_else(PoisonError::into_inner).values() {
            gauge.ring();
        }
        self.supervisor.notify_one();
    }

    fn gauge(&self, key: &DriverKey) -> Arc<pump::Gauge> {
        self.pumps.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone()
    }

    /// The budget of an instance; its long windows are read back from the store at first use.
    pub(crate) async fn budget(&self, instance: &Instance) -> Result<Option<Arc<Budget>>, StoreError> {
        let Ok(connector) = &instance.connector else {
            return Ok(None);
        };
        let budget = self.budgets.get(&instance.driver_key, &connector.traits().buckets);
        let gauge = self.gauge(&instance.driver_key);
        if gauge.needs_rows() {
            let rows = self
                .store
                .reader()
                .all(
                    "SELECT name, used, window_ends_at, blocked_until FROM bucket WHERE driver_key = $1",
                    vals![instance.driver_key.as_str()],
                )
                .await?;
            let rows: Vec<BucketRow> = rows.iter().map(read_bucket).collect::<Result<_, _>>()?;
            budget.load(&rows);
        }
        Ok(Some(budget))
    }

    /// Until when a target is left alone: it said so, or it is down and the next probe is not due.
    /// Work stays where it is meanwhile, so that an outage costs no writes.
    fn resting(&self, key: &DriverKey) -> Option<Timestamp> {
        let view = self.budgets.view(key)?;
        let now = self.clock.now();
        let probe = if view.breaker.state == "open" { view.breaker.next_probe_at } else { None };
        view.blocked_until.into_iter().chain(probe).filter(|at| *at > now).max()
    }

    /// A way to the target; `patience` is how long its calls may wait for their budget, all in all.
    pub(crate) async fn wire(
        &self,
        instance: &Instance,
        lane: Lane,
        patience: Duration,
        record: &Arc<Recorder>,
    ) -> Result<Option<Box<dyn Transport>>, StoreError> {
        let wire = self.plain_wire(instance, lane, patience, record).await?;
        Ok(wire.map(|wire| Box::new(wire) as Box<dyn Transport>))
    }

    async fn plain_wire(
        &self,
        instance: &Instance,
        lane: Lane,
        patience: Duration,
        record: &Arc<Recorder>,
    ) -> Result<Option<Wire>, StoreError> {
        let (Ok(connector), Some(budget)) = (&instance.connector, self.budget(instance).await?) else {
            return Ok(None);
        };
        let give_up = self.clock.now().checked_add(patience).unwrap_or(Timestamp::MAX);
        Ok(Some(Wire::new(self.http.clone(), connector.clone(), budget, lane, give_up, record.clone())))
    }

    /// Keeps the fill of hour and day windows.
    pub(crate) async fn keep_rows(&self, instance: &Instance) -> Result<(), StoreError> {
        let Some(budget) = self.budget(instance).await? else {
            return Ok(());
        };
        let rows = budget.rows();
        if rows.is_empty() {
            return Ok(());
        }
        self.store.write(Priority::Driver, KeepRows { key: instance.driver_key.clone(), rows }).await
    }
}

fn read_bucket(row: &sea_orm::QueryResult) -> Result<BucketRow, StoreError> {
    let time = |micros: i64| Timestamp::from_microsecond(micros).ok().filter(|_| micros > 0);
    Ok(BucketRow {
        name: row.col("name")?,
        used: row.col::<i64>("used")?.try_into().unwrap_or(u32::MAX),
        window_ends_at: time(row.col("window_ends_at")?),
        blocked_until: time(row.col("blocked_until")?),
    })
}

struct KeepRows {
    key: DriverKey,
    rows: Vec<BucketRow>,
}

#[async_trait]
impl Unit for KeepRows {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        for row in &self.rows {
            tx.conn
                .run(
                    "INSERT INTO bucket (driver_key, name, used, window_ends_at, blocked_until) VALUES ($1,$2,$3,$4,$5) \
                     ON CONFLICT (driver_key, name) DO UPDATE SET used = excluded.used, window_ends_at = excluded.window_ends_at, blocked_until = excluded.blocked_until",
                    vals![
                        self.key.as_str(),
                        row.name.as_str(),
                        i64::from(row.used),
                        row.window_ends_at.map_or(0, Timestamp::as_microsecond),
                        row.blocked_until.map_or(0, Timestamp::as_microsecond)
                    ],
                )
                .await?;
        }
        Ok(())
    }
}

/// Runs one pump per driver key that enabled instances have, the runs that are asked for or due, and
/// one look-out for invitations.
async fn supervise(shared: Arc<Shared>, stop: CancellationToken, tasks: TaskTracker) {
    tasks.spawn(invitations::look_out(shared.clone(), stop.clone()));
    tasks.spawn(outbox::deliver(shared.clone(), stop.clone()));
    let mut pumping: HashSet<DriverKey> = HashSet::new();
    let mut running: HashMap<i64, JoinHandle<()>> = HashMap::new();
    let mut schedule_at = shared.clock.now();
    while !stop.is_cancelled() {
        match shared.instances.all_enabled().await {
            Ok(instances) => {
                for instance in &instances {
                    if pumping.insert(instance.driver_key.clone()) {
                        tasks.spawn(pump::pump(shared.clone(), instance.driver_key.clone(), stop.clone()));
                    }
                }
                if shared.clock.now() >= schedule_at {
                    schedule_at = shared.clock.now().checked_add(SCHEDULE).unwrap_or(Timestamp::MAX);
                    if let Err(error) = reconcile::schedule(&shared, &instances).await {
                        tracing::warn!(%error, "scheduled runs could not be started");
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "the list of instances could not be read"),
        }
        running.retain(|_, task| !task.is_finished());
        match reconcile::open_runs(&shared).await {
            Ok(runs) => {
                for (run, instance) in runs {
                    running.entry(run).or_insert_with(|| {
                        let shared = shared.clone();
                        let stop = stop.clone();
                        tasks.spawn(async move {
                            tokio::select! {
                                () = stop.cancelled() => {}
                                () = reconcile::carry_out(&shared, run, instance) => {}
                            }
                        })
                    });
                }
            }
            Err(error) => tracing::warn!(%error, "runs could not be read"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = shared.supervisor.notified() => {}
            () = shared.clock.sleep(SUPERVISE) => {}
        }
    }
}
