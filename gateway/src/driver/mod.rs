//! The driver turns work into calls. Besides reconcile it is the only caller of connectors.
//!
//! Per driver key one replica drives, by a lease ([`lease`], [`keeper`]). There a [`pump`] takes due
//! work, best lane first, and starts a [`run`] per resource; what a run may send is written down before
//! it is sent. Requests wait for their settlement here ([`Handle::settle`]), but only where the driver can start
//! in time (DECISIONS 8): an identity provider is never kept waiting by a slow target.

mod accounts;
mod alerts;
mod attempts;
mod brake;
mod choose;
pub(crate) mod desk;
pub(crate) mod doubt;
mod forecast;
mod group;
mod health;
mod invitations;
mod keeper;
pub(crate) mod late;
mod lease;
mod ledger;
pub(crate) mod links;
mod outbox;
mod person;
mod preview;
mod pump;
mod purger;
mod run;
pub mod trial;
mod waiters;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use connector_sdk::{Charge, Connector, Cx, DriverKey, Fault, FaultKind, Probe, Transport};
use engine::Lane;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub(crate) use accounts::{AccountRow, document_of, gone, link, linked, observe, status_word};
pub use forecast::Forecast;
pub use health::Degraded;
pub(crate) use health::look_at_credential;
pub(crate) use invitations::Missing;
pub use lease::HOUSEKEEPING;
pub(crate) use ledger::move_rows;
pub(crate) use person::{Facts, can_create, judge};
pub(crate) use preview::preview;
pub use waiters::Settlement;

use crate::clock::Clock;
use crate::config::{Config, Retention};
use crate::limits::{self, BucketRow, Budget, Budgets};
use crate::reconcile;
use crate::service::events::Events;
use crate::service::instances::Instances;
use crate::service::types::{Instance, Mode};
use crate::store::{Hint, Priority, Rows, Sql, Store, StoreError, Unit};
use crate::transport::{Http, Recorder, Wire};
use waiters::Waiters;

/// How often a waiting request and an idle pump look at the store, in case a hint was lost.
const POLL: Duration = Duration::from_millis(250);
/// How long a call may wait for its budget before its work is put down again.
pub(crate) const BUDGET_PATIENCE: Duration = Duration::from_secs(15);
/// How much longer than a call a lease must last for the call to be sent.
const MARGIN: Duration = Duration::from_secs(1);
/// How often an idle replica looks for runs to carry out.
const SUPERVISE: Duration = Duration::from_secs(1);
/// How long a replica hears no hint, though each sends one every [`lease::RENEW`], until it connects anew.
const SILENCE: Duration = Duration::from_secs(12);
/// How long a piece of work takes under a driver key whose runs this replica has not seen.
const TYPICAL: Duration = Duration::from_millis(25);
/// How often it is looked for runs that are due by schedule.
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
    /// Rung when there may be a new run.
    supervisor: Notify,
    /// Rung when leases may have changed.
    keeper: Notify,
    owner: String,
    invitation_look: Duration,
    retention: Retention,
    events: Arc<Events>,
    /// The leases that this replica holds, by name.
    tenures: Mutex<HashMap<String, keeper::Tenure>>,
}

impl Handle {
    /// A driver over a store. It drives once [`Handle::start`] runs.
    pub fn new(store: Store, instances: Instances, http: Http, config: &Config, events: Arc<Events>) -> Self {
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
            keeper: Notify::new(),
            owner: Uuid::new_v4().to_string(),
            invitation_look: config.invitation_look,
            retention: config.retention,
            events,
            tenures: Mutex::default(),
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
        let wire = self.0.plain_wire(instance, Lane::Grant, BUDGET_PATIENCE, &record).await;
        let Ok(Some(wire)) = wire else {
            return Err(unusable("The gateway's database is not available. Try again."));
        };
        connector.probe(&Cx::new(&wire.asked(), self.0.clock.now())).await
    }

    /// The driver keys whose target does not answer this replica, and since when. For alerts.
    pub fn opened_since(&self) -> Vec<(DriverKey, Timestamp)> {
        self.0.budgets.opened_since()
    }

    /// The instances whose credential the target does not accept. For alerts and the admin.
    ///
    /// # Errors
    /// The store's.
    pub async fn degraded(&self) -> Result<Vec<Degraded>, StoreError> {
        self.0.degraded().await
    }

    /// What the budgets of this process look like, for the admin.
    pub fn budgets(&self) -> serde_json::Value {
        serde_json::to_value(self.0.budgets.snapshot()).unwrap_or_default()
    }

    /// Whether this replica drives anything: it holds a lease.
    pub fn drives(&self) -> bool {
        !self.leases().is_empty()
    }

    /// Whether this replica holds the lease of that name, such as [`HOUSEKEEPING`], and is not about to
    /// hand it over.
    pub fn holds(&self, name: &str) -> bool {
        self.0.held(name).is_some()
    }

    /// The names of the leases that this replica holds, sorted.
    pub fn leases(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.tenures().keys().cloned().collect();
        names.retain(|name| self.holds(name));
        names.sort();
        names
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
        let here = self.0.held_key(&instance.driver_key).is_some();
        let predicted =
            if here { self.predict(instance, lane, within) } else { self.predict_elsewhere(instance, lane).await };
        let seat = predicted
            .filter(|start| instance.mode == Mode::Enabled && instance.verifying_since.is_none() && *start < within)
            .and_then(|start| gauge.seat(start));
        if here {
            gauge.count(lane);
        }
        let Some(_seat) = seat else {
            self.wake_for(instance);
            return Settlement::Later;
        };
        // Dropped after the answer's receiver, also where the client went away.
        let _place = waiters::Place { waiters: &self.0.waiters, resource };
        let (mut answer, look) = self.0.waiters.register(resource, rev);
        self.wake_for(instance);
        loop {
            let poll = self.0.clock.now().checked_add(POLL).unwrap_or(deadline).min(deadline);
            tokio::select! {
                told = &mut answer => return told.unwrap_or(Settlement::Later),
                () = look.notified() => {}
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

    /// The same where another replica drives: by the backlog and the blocks that the store shows.
    async fn predict_elsewhere(&self, instance: &Instance, lane: Lane) -> Option<Duration> {
        let connector = instance.connector.as_ref().ok()?;
        let now = self.0.clock.now();
        let row = self
            .0
            .store
            .reader()
            .one(
                "SELECT (SELECT MAX(blocked_until) FROM bucket WHERE driver_key = $1 AND name IN ($4,$5)) AS blocked, \
                 (SELECT COUNT(*) FROM (SELECT 1 AS one FROM work WHERE driver_key = $1 AND lane <= $2 AND state IN ('todo','waiting','needs') \
                 AND due_at <= $3 LIMIT 64) AS due) AS ahead",
                vals![instance.driver_key.as_str(), lane.number(), now.as_microsecond(), limits::WHOLE_KEY, limits::BREAKER],
            )
            .await
            .ok()??;
        let blocked = row.col::<Option<i64>>("blocked").ok()?.unwrap_or(0).saturating_sub(now.as_microsecond());
        // The work that asks is among them.
        let ahead = usize::try_from(row.col::<i64>("ahead").ok()?.saturating_sub(1)).unwrap_or(0);
        let budget = self.0.budgets.get(&instance.driver_key, &connector.traits().buckets);
        let spaced = connector.traits().buckets.iter().filter(|bucket| !bucket.gap.is_zero());
        let charges: Vec<Charge> = spaced.map(|bucket| Charge { bucket: bucket.name, units: 1 }).collect();
        let queue = TYPICAL.saturating_mul(u32::try_from(ahead).unwrap_or(u32::MAX));
        let blocked = Duration::from_micros(u64::try_from(blocked).unwrap_or(0));
        Some(blocked.max(queue).max(budget.predict(&charges, lane, ahead)))
    }

    fn gauge(&self, instance: &Instance) -> Arc<pump::Gauge> {
        self.0.gauge(&instance.driver_key)
    }

    /// Drives what this replica's leases are about until the token is cancelled, then finishes what is
    /// under way and hands the leases over.
    pub async fn start(&self, stop: CancellationToken) {
        let shared = self.0.clone();
        let ended = CancellationToken::new();
        let tasks = TaskTracker::new();
        let listening = {
            let (shared, ended) = (shared.clone(), ended.clone());
            async move {
                tokio::select! {
                    () = ended.cancelled() => {}
                    () = shared.store.listen(SILENCE, |hint| shared.hear(hint)) => {}
                }
            }
        };
        tasks.spawn(listening);
        tasks.spawn(tend(shared.clone(), stop.clone()));
        tasks.spawn(invitations::look_out(shared.clone(), stop.clone()));
        tasks.spawn(alerts::watch(shared.clone(), stop.clone()));
        keeper::keep(&shared, &stop).await;
        ended.cancel();
        tasks.close();
        tasks.wait().await;
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
        self.keeper.notify_one();
    }

    /// Acts on what another replica said, or this one itself.
    fn hear(&self, hint: Hint) {
        match hint {
            Hint::Work(key) => {
                let key = DriverKey::new(key);
                if self.held_key(&key).is_some() {
                    self.gauge(&key).ring();
                }
            }
            Hint::Settled(resource) => self.waiters.nudge(resource),
            Hint::Instance(seq) => self.instances.invalidate(seq),
            Hint::Leases => {
                self.keeper.notify_one();
                self.supervisor.notify_one();
            }
            Hint::Beat => {}
            Hint::Anything => {
                self.ring();
                self.waiters.nudge_all();
            }
        }
    }

    fn tenures(&self) -> MutexGuard<'_, HashMap<String, keeper::Tenure>> {
        self.tenures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lease, if this replica holds it and may begin something under it.
    fn held(&self, name: &str) -> Option<lease::Held> {
        let tenures = self.tenures();
        tenures.get(name).filter(|tenure| !tenure.stop.is_cancelled()).map(|tenure| tenure.held)
    }

    /// A driver key's lease.
    fn held_key(&self, key: &DriverKey) -> Option<lease::Held> {
        self.held(&lease::name_of(key))
    }

    /// Whether a call may be sent under a driver key's lease.
    fn may_send(&self, key: &DriverKey, epoch: i64) -> bool {
        self.may_call(&lease::name_of(key), epoch)
    }

    /// Whether a call may be sent under a lease: it lasts longer than a call may take (DECISIONS 19). On an
    /// embedded database no other can take it.
    fn may_call(&self, name: &str, epoch: i64) -> bool {
        self.held(name).is_some_and(|held| {
            held.epoch == epoch
                && (!self.store.is_shared() || held.left(&self.clock) > self.http.call_timeout() + MARGIN)
        })
    }

    /// Stores what is only true while this replica drives an instance.
    ///
    /// # Errors
    /// The unit's; another replica drives it now, and nothing was stored.
    pub(crate) async fn write_leased<U: Unit<Err = StoreError>>(
        &self,
        instance: &Instance,
        priority: Priority,
        unit: U,
    ) -> Result<U::Out, StoreError> {
        self.write_leased_key(&instance.driver_key, priority, unit).await
    }

    /// The same by driver key.
    ///
    /// # Errors
    /// As [`Shared::write_leased`].
    pub(crate) async fn write_leased_key<U: Unit<Err = StoreError>>(
        &self,
        key: &DriverKey,
        priority: Priority,
        unit: U,
    ) -> Result<U::Out, StoreError> {
        let Some(held) = self.held_key(key) else {
            return Err(StoreError::Unavailable("another replica drives this now".to_owned()));
        };
        let leased = lease::Leased { name: lease::name_of(key), epoch: held.epoch, unit };
        self.store.write(priority, leased).await
    }

    fn gauge(&self, key: &DriverKey) -> Arc<pump::Gauge> {
        self.pumps.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone()
    }

    /// The budget of an instance; its long windows are read back from the store at first use.
    pub(crate) async fn budget(&self, instance: &Instance) -> Result<Option<Arc<Budget>>, StoreError> {
        match &instance.connector {
            Ok(connector) => self.budget_under(&instance.driver_key, connector).await.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// The budget of a connector that no instance has.
    async fn budget_of(&self, connector: &Arc<dyn Connector>) -> Result<Arc<Budget>, StoreError> {
        self.budget_under(&connector.traits().driver_key, connector).await
    }

    async fn budget_under(&self, key: &DriverKey, connector: &Arc<dyn Connector>) -> Result<Arc<Budget>, StoreError> {
        let budget = self.budgets.get(key, &connector.traits().buckets);
        let gauge = self.gauge(key);
        // Whoever comes meanwhile waits: without its rows a window would look empty.
        let mut read = gauge.rows.lock().await;
        if *read != gauge.terms() {
            let term = gauge.terms();
            let rows = self
                .store
                .reader()
                .all(
                    "SELECT name, used, window_ends_at, blocked_until FROM bucket WHERE driver_key = $1",
                    vals![key.as_str()],
                )
                .await?;
            let rows: Vec<BucketRow> = rows.iter().map(ledger::read_bucket).collect::<Result<_, _>>()?;
            budget.load(&rows);
            *read = term;
        }
        Ok(budget)
    }

    /// A way to the target, while this replica drives it; `patience` is how long its calls may wait for
    /// their budget, all in all.
    pub(crate) async fn wire(
        self: &Arc<Self>,
        instance: &Instance,
        lane: Lane,
        patience: Duration,
        record: &Arc<Recorder>,
    ) -> Result<Option<Box<dyn Transport>>, StoreError> {
        let Some(held) = self.held_key(&instance.driver_key) else {
            return Err(StoreError::Unavailable("another replica drives this instance now".to_owned()));
        };
        let wire = self.plain_wire(instance, lane, patience, record).await?;
        let fence = pump::fence(self, &instance.driver_key, held.epoch);
        Ok(wire.map(|wire| Box::new(wire.fenced(fence)) as Box<dyn Transport>))
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
        let wire = Wire::new(self.http.clone(), connector.clone(), budget, lane, give_up, record.clone());
        Ok(Some(match connector.traits().by_hand {
            true => wire.at(desk::reading(&self.store, instance.seq)),
            false => wire,
        }))
    }

    /// Keeps the fill of hour and day windows; where the target pushes back or is down, all that
    /// another replica should know of it. Not while the lease is being handed over: that keeps all.
    pub(crate) async fn keep_rows(&self, instance: &Instance, pushed_back: bool) -> Result<(), StoreError> {
        let Some(budget) = self.budget(instance).await? else {
            return Ok(());
        };
        let rows = if pushed_back { budget.all_rows() } else { budget.rows() };
        if rows.is_empty() || self.held_key(&instance.driver_key).is_none() {
            return Ok(());
        }
        self.write_leased(instance, Priority::Driver, ledger::KeepRows { key: instance.driver_key.clone(), rows }).await
    }

    /// Keeps all that the next holder of a driver key's lease should know of its limits.
    async fn hand_over_budget(&self, key: &DriverKey) -> Result<(), StoreError> {
        let Some(budget) = self.budgets.known(key).filter(|_| self.store.is_shared()) else {
            return Ok(());
        };
        let rows = budget.all_rows();
        if rows.is_empty() {
            return Ok(());
        }
        self.store.write(Priority::Driver, ledger::KeepRows { key: key.clone(), rows }).await
    }
}

/// What the gateway does once, whichever replica: under the lease [`HOUSEKEEPING`].
async fn supervise(shared: Arc<Shared>, stop: CancellationToken, tasks: TaskTracker, epoch: i64) {
    tasks.spawn(outbox::deliver(shared.clone(), stop.clone(), epoch));
    tasks.spawn(purger::keep(shared.clone(), stop.clone(), epoch));
    tasks.spawn(alerts::deliver(shared.clone(), stop.clone(), epoch));
    while !stop.is_cancelled() {
        match shared.instances.all_reading().await {
            Ok(instances) => {
                if let Err(error) = reconcile::schedule(&shared, &instances).await {
                    tracing::warn!(%error, "scheduled runs could not be started");
                }
                shared.supervisor.notify_one();
            }
            Err(error) => tracing::warn!(%error, "the list of instances could not be read"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = shared.clock.sleep(SCHEDULE) => {}
        }
    }
}

/// Carries out the runs of the driver keys whose leases this replica holds.
async fn tend(shared: Arc<Shared>, stop: CancellationToken) {
    let mut running: HashMap<i64, JoinHandle<()>> = HashMap::new();
    while !stop.is_cancelled() {
        running.retain(|_, task| !task.is_finished());
        match reconcile::open_runs(&shared).await {
            Ok(runs) => {
                for (run, instance, key) in runs {
                    let tenures = shared.tenures();
                    let Some(tenure) = tenures.get(&lease::name_of(&key)).filter(|one| !one.stop.is_cancelled()) else {
                        continue;
                    };
                    running.entry(run).or_insert_with(|| {
                        let (shared, stop) = (shared.clone(), tenure.stop.clone());
                        tenure.tasks.spawn(async move {
                            tokio::select! {
                                biased;
                                () = stop.cancelled() => {}
                                () = reconcile::carry_out(&shared, run, instance, &key) => {}
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
