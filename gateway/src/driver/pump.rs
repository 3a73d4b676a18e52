//! One driver key's pump: takes due work, best lane first, and runs it, so many at a time. A few
//! slots are kept for work that takes access away, so that a leaver never queues behind joiners.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use connector_sdk::{Cx, DriverKey, Fault, FaultKind, Retry};
use engine::Lane;
use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::choose::{Chosen, Flying, Room, due, leavers_are_due};
use super::desk;
use super::lease::{is_held, name_of};
use super::ledger::Ledger;
use super::run::{After, Begin, Done, Job, Settle, Step, put_away};
use super::{BUDGET_PATIENCE, POLL, Settlement, Shared};
use crate::limits::Budget;
use crate::service::types::Instance;
use crate::store::{Priority, StoreError};
use crate::transport::Recorder;

/// Runs at once per driver key.
const SLOTS: usize = 8;
/// More slots, for work that takes access away.
const RESERVED: usize = 2;
/// A change that starts within this time is taken to start at once.
const AT_ONCE: Duration = Duration::from_millis(100);
/// Requests that wait at once for changes that do not.
const PATIENT: usize = 4;
/// How long a target without a Retry-After is left alone after it said "too many".
const DEFAULT_REST: Duration = Duration::from_secs(60);

/// What a pump is like at the moment, for predictions.
#[derive(Default)]
pub(crate) struct Gauge {
    waiting: [AtomicI64; 5],
    /// The mean time of a run, in microseconds.
    run_micros: AtomicU64,
    /// Counts the times that the rows of long windows became another's: at each take-over.
    terms: AtomicU64,
    /// Of which of those terms the rows were read.
    pub(super) rows: tokio::sync::Mutex<u64>,
    /// Rung when there may be new work; its value means nothing.
    bell: watch::Sender<u64>,
    /// Requests that wait for a settlement.
    seated: AtomicUsize,
}

/// A request's place among those that wait for a settlement. Dropping it frees it.
pub(super) struct Seat(Arc<Gauge>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.seated.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gauge {
    /// Lets a request wait whose change could start after so long. Where the target's limits hold
    /// changes back, only a few wait: else a client that pushes over many connections would be
    /// answered at the target's pace, however short each wait is.
    pub(super) fn seat(self: &Arc<Self>, start: Duration) -> Option<Seat> {
        let seat = Seat(self.clone());
        let before = self.seated.fetch_add(1, Ordering::Relaxed);
        (start <= AT_ONCE || before < PATIENT).then_some(seat)
    }

    /// Says that there may be new work.
    pub(super) fn ring(&self) {
        self.bell.send_modify(|rung| *rung = rung.wrapping_add(1));
    }

    /// One more piece of work waits.
    pub(super) fn count(&self, lane: Lane) {
        self.waiting[lane as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn uncount(&self, lane: Lane) {
        // A count may be missed (another replica's, a restart's), so it never falls below zero.
        let _ =
            self.waiting[lane as usize].fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some((n - 1).max(0)));
    }

    fn set(&self, counts: [i64; 5]) {
        for (slot, count) in self.waiting.iter().zip(counts) {
            slot.store(count, Ordering::Relaxed);
        }
    }

    /// How much work goes before a new one in that lane.
    pub(super) fn ahead(&self, lane: Lane) -> usize {
        let sum: i64 = self.waiting.iter().take(lane as usize + 1).map(|count| count.load(Ordering::Relaxed)).sum();
        usize::try_from(sum).unwrap_or(0)
    }

    /// How long so much work takes, by what runs took lately.
    pub(super) fn queueing(&self, ahead: usize) -> Duration {
        let micros = self.run_micros.load(Ordering::Relaxed).saturating_mul(ahead as u64);
        Duration::from_micros(micros / SLOTS as u64)
    }

    fn took(&self, time: Duration) {
        let new = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let old = self.run_micros.load(Ordering::Relaxed);
        self.run_micros
            .store(if old == 0 { new } else { old.saturating_mul(7).saturating_add(new) / 8 }, Ordering::Relaxed);
    }

    /// The rows of long windows are those of this term; the first is 1, so that they are read at first use.
    pub(super) fn terms(&self) -> u64 {
        self.terms.load(Ordering::Relaxed) + 1
    }

    /// Has the rows of long windows read once more.
    pub(super) fn read_rows_again(&self) {
        self.terms.fetch_add(1, Ordering::Relaxed);
    }
}

/// Pumps one driver key until stopped; then lets what runs finish.
pub(super) async fn pump(shared: Arc<Shared>, key: DriverKey, stop: CancellationToken) {
    let gauge = shared.gauge(&key);
    let mut bell = gauge.bell.subscribe();
    let mut runs: JoinSet<()> = JoinSet::new();
    let mut flying = Flying::new();
    let mut started: HashMap<Id, (i64, Lane)> = HashMap::new();
    let mut ordinary = 0_usize;
    let mut down = false;
    while !stop.is_cancelled() {
        // Marked as seen before the look, so that a ring during it is not lost.
        bell.mark_unchanged();
        let mut next_due = None;
        let open = shared.budgets.known(&key).is_some_and(|budget| budget.opened_since().is_some());
        if down && !open {
            // Whichever call found the target back: who leaves does not wait for a turn of their own.
            if let Err(error) = leavers_are_due(&shared, &key).await {
                tracing::warn!(%error, "work could not be made due after an outage; it is due by itself later");
            }
        }
        down = open;
        let room = if ordinary < SLOTS {
            Room::Any
        } else if flying.len() < SLOTS + RESERVED {
            Room::Urgent
        } else {
            Room::None
        };
        match due(&shared, &key, &flying, room).await {
            Ok(found) => {
                for one in found.work {
                    let Chosen { resource, lane, .. } = one;
                    let urgent = lane == Lane::Deprovision;
                    let room = if urgent { flying.len() < SLOTS + RESERVED } else { ordinary < SLOTS };
                    // Whether a credential lives again is found out by one.
                    let looked = one.looks && flying.values().any(|(instance, _)| *instance == one.instance);
                    if !room || looked {
                        continue;
                    }
                    let instance = match shared.instances.by_seq(one.instance).await {
                        Ok(Some(instance)) if instance.driver_key == key => instance,
                        Ok(Some(instance)) => {
                            // It moved to another driver key, or what is known of it is old.
                            shared.instances.invalidate(instance.seq);
                            continue;
                        }
                        Ok(None) => continue,
                        Err(error) => {
                            tracing::warn!(%error, "an instance could not be read");
                            continue;
                        }
                    };
                    let budget = match shared.budget(&instance).await {
                        Ok(budget) => budget,
                        Err(error) => {
                            tracing::warn!(%error, "what is used of the target's limits could not be read");
                            continue;
                        }
                    };
                    if let Some(budget) = &budget {
                        // Whether a target is there again is found out by one of each kind.
                        let probed = budget.opened_since().is_some()
                            && if urgent { flying.len() > ordinary } else { ordinary > 0 };
                        if probed || budget.rests(lane).is_some() {
                            continue;
                        }
                        budget.run_starts(one.repeats && !urgent);
                    }
                    flying.insert(resource, (one.instance, lane));
                    ordinary += usize::from(!urgent);
                    let (shared, stop) = (shared.clone(), stop.clone());
                    let task = runs.spawn(async move { guarded(&shared, instance, budget, one, &stop).await });
                    started.insert(task.id(), (resource, lane));
                }
                next_due = found.next_due;
            }
            Err(error) => tracing::warn!(%error, "due work could not be read"),
        }
        if flying.is_empty() {
            // Nothing waits that could run: what was counted is gone or not due.
            gauge.set([0; 5]);
        }
        let nap = shared
            .clock
            .now()
            .checked_add(if flying.is_empty() { Duration::from_secs(1) } else { POLL * 4 })
            .unwrap_or(Timestamp::MAX);
        let nap = next_due.map_or(nap, |due| nap.min(due));
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            Some(ended) = runs.join_next_with_id(), if !runs.is_empty() => {
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(error) => error.id(),
                };
                if let Some((resource, lane)) = started.remove(&id) {
                    flying.remove(&resource);
                    ordinary -= usize::from(lane != Lane::Deprovision);
                    gauge.uncount(lane);
                }
            }
            _ = bell.changed() => {}
            () = shared.clock.sleep_until(nap) => {}
        }
    }
    while runs.join_next().await.is_some() {}
}

/// One run. What makes it panic, a defect of ours or of a connector, costs this resource its turn and
/// nobody else's; after a few times it waits for a person.
async fn guarded(
    shared: &Arc<Shared>,
    instance: Arc<Instance>,
    budget: Option<Arc<Budget>>,
    chosen: Chosen,
    stop: &CancellationToken,
) {
    let resource = chosen.resource;
    let key = instance.driver_key.clone();
    let epoch = shared.held_key(&key).map(|held| held.epoch);
    let run = AssertUnwindSafe(drive(shared, instance.clone(), budget, chosen, stop)).catch_unwind();
    let (Err(_), Some(epoch)) = (run.await, epoch) else {
        return;
    };
    tracing::error!(instance = %instance.id, resource, "a run of the driver panicked; it is tried again in a minute, and three times at most");
    shared.waiters.tell(resource, i64::MAX, &Settlement::Later);
    while AssertUnwindSafe(free_claim(shared, &key, resource, epoch, true)).catch_unwind().await.is_err() {
        // A claim that nobody frees lasts as long as the lease: what panics now may not later. Once the lease is given
        // up, whoever takes it frees what was left.
        if shared.held_key(&key).is_none_or(|held| held.epoch != epoch) {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.clock.sleep(Duration::from_secs(60)) => {}
        }
    }
}

/// One run, from claim to end.
async fn drive(
    shared: &Arc<Shared>,
    instance: Arc<Instance>,
    budget: Option<Arc<Budget>>,
    chosen: Chosen,
    stop: &CancellationToken,
) {
    let resource = chosen.resource;
    let ledger = |everything| budget.clone().map(|budget| Ledger { budget, everything });
    let Some(held) = shared.held_key(&instance.driver_key) else {
        return;
    };
    let started = shared.clock.now();
    let begin = Begin { instance: instance.clone(), resource, epoch: held.epoch, ledger: ledger(false) };
    let mut after = shared.store.write(Priority::Driver, begin).await;
    let mut steps = 0;
    loop {
        match after {
            Ok(After::Next(job)) => {
                steps += 1;
                let (done, calls) = send(shared, &instance, &job, held.epoch, stop).await;
                let fault = done.fault();
                let pushed_back = fault.as_ref().is_some_and(|fault| fault.kind == FaultKind::RateLimited);
                let down = budget.as_ref().is_some_and(|budget| budget.opened_since().is_some());
                if let Some(budget) = budget.as_ref().filter(|_| chosen.repeats && steps == 1)
                    && !fault.as_ref().is_some_and(|fault| counts_as_outage(fault.kind))
                {
                    budget.repetition_answered();
                }
                let settle = Settle {
                    instance: instance.clone(),
                    job: *job,
                    done: Some(done),
                    calls,
                    epoch: held.epoch,
                    steps,
                    stopping: stop.is_cancelled(),
                    ledger: ledger(pushed_back || down),
                };
                after = shared.store.write(Priority::Driver, settle).await;
                shared.hear_of_credential(&instance, fault.as_ref(), chosen.looks).await;
            }
            Ok(After::Over { rev, settlement }) => {
                let gauge = shared.gauge(&instance.driver_key);
                gauge.took(Duration::try_from(shared.clock.now().duration_since(started)).unwrap_or(Duration::ZERO));
                if settlement != Settlement::Done {
                    tracing::info!(instance = %instance.id, resource, rev, outcome = ?Outcome(&settlement), "work put down");
                }
                shared.waiters.tell(resource, rev, &settlement);
                return;
            }
            Ok(After::Lost) => {
                // Perhaps the instance was changed by another replica: read it anew.
                shared.instances.invalidate(instance.seq);
                return;
            }
            Err(error) => {
                // What was sent stands in the attempt row; the claim is freed by the next holder of
                // the lease or here, as unknown.
                tracing::error!(%error, instance = %instance.id, resource, "a settlement could not be stored");
                shared.waiters.tell(resource, i64::MAX, &Settlement::Later);
                free_claim(shared, &instance.driver_key, resource, held.epoch, !error.passes()).await;
                return;
            }
        }
    }
}

/// A settlement without the words that may name a person.
struct Outcome<'a>(&'a Settlement);

impl std::fmt::Debug for Outcome<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Settlement::Done => f.write_str("done"),
            Settlement::Later => f.write_str("later"),
            Settlement::Refused { kind, .. } => write!(f, "refused {kind:?}"),
        }
    }
}

/// Puts work down that could not be claimed or settled, for longer each time: a defect must not spin,
/// nor keep others from their turn. What `broke` at a panic or a damaged row waits for a person after a
/// few times.
async fn free_claim(shared: &Shared, key: &DriverKey, resource: i64, epoch: i64, broke: bool) {
    #[derive(Clone)]
    struct Free {
        lease: String,
        resource: i64,
        epoch: i64,
        broke: bool,
    }

    #[async_trait::async_trait]
    impl crate::store::Unit for Free {
        type Out = ();
        type Err = StoreError;

        async fn run(&mut self, tx: &crate::store::Tx<'_>) -> Result<(), StoreError> {
            if !is_held(tx, &self.lease, self.epoch).await? {
                return Ok(());
            }
            put_away(tx, self.resource, self.epoch, self.broke).await
        }
    }

    let free = Free { lease: name_of(key), resource, epoch, broke };
    while shared.store.write(Priority::Driver, free.clone()).await.is_err() {
        // The store is away; the claim must not outlive its return. The lease ends this loop.
        if shared.held_key(key).is_none_or(|held| held.epoch != epoch) {
            return;
        }
        shared.clock.sleep(Duration::from_secs(1)).await;
    }
}

/// Sends one step.
async fn send(
    shared: &Arc<Shared>,
    instance: &Arc<Instance>,
    job: &Job,
    epoch: i64,
    stop: &CancellationToken,
) -> (Done, serde_json::Value) {
    let record = Arc::new(Recorder::default());
    let lane = job.subject.lane;
    let wire = match shared.plain_wire(instance, lane, BUDGET_PATIENCE, &record).await {
        Ok(Some(wire)) if shared.may_send(&instance.driver_key, epoch) => {
            let wire = wire.fenced(fence(shared, &instance.driver_key, epoch)).until(stop.clone());
            match desk::is_by_hand(instance) {
                true => wire.at(desk::asking(&shared.store, instance, (name_of(&instance.driver_key), epoch), job)),
                false => wire,
            }
        }
        _ => {
            let fault = Fault::new(FaultKind::NotSent, "The gateway could not send this now; it tries again.")
                .context("no wire or no lease");
            return (undone(job, fault), serde_json::Value::Null);
        }
    };
    let Ok(connector) = &instance.connector else {
        return (
            undone(job, Fault::new(FaultKind::NotSent, "The connector of this instance cannot be used.")),
            serde_json::Value::Null,
        );
    };
    let cx = Cx::new(&wire, shared.clock.now());
    let done = match &job.step {
        Step::Person(call) => Done::Person(call.send(connector.as_ref(), &cx).await),
        Step::Group(call) => Done::Group(call.send(connector.as_ref(), &cx).await),
    };
    // The transport hears of most refusals itself; some targets say it in words that only the connector
    // understands.
    if let Some(fault) = done.fault().filter(|fault| fault.kind == FaultKind::RateLimited)
        && let Ok(Some(budget)) = shared.budget(instance).await
    {
        let until = match fault.retry {
            Retry::NotBefore(at) => at,
            _ => shared.clock.now().checked_add(DEFAULT_REST).unwrap_or(Timestamp::MAX),
        };
        budget.push_back(until);
    }
    let (calls, left_out) = record.take();
    (done, serde_json::json!({"calls": calls, "left_out": left_out}))
}

/// Whether a fault says that the target is in trouble, so that repeating made it worse.
fn counts_as_outage(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::Unavailable | FaultKind::Timeout | FaultKind::Malformed | FaultKind::NotSent)
}

/// Whether a call may still be sent, to be asked before each: a step may be of many, and wait for each.
pub(super) fn fence(shared: &Arc<Shared>, key: &DriverKey, epoch: i64) -> impl Fn() -> bool + Send + Sync + 'static {
    let (shared, key) = (shared.clone(), key.clone());
    move || shared.may_send(&key, epoch)
}

fn undone(job: &Job, fault: Fault) -> Done {
    match &job.step {
        Step::Person(_) => Done::Person(Err(fault)),
        Step::Group(call) => Done::Group(call.undone(fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_over_many_connections_is_not_answered_at_the_targets_pace() {
        let gauge = Arc::new(Gauge::default());
        let held_back = AT_ONCE * 2;
        let seats: Vec<Seat> = (0..100).filter_map(|_| gauge.seat(held_back)).collect();
        assert_eq!(seats.len(), PATIENT);
        assert!(gauge.seat(Duration::ZERO).is_some(), "what starts at once may always be waited for");
        drop(seats);
        assert!(gauge.seat(held_back).is_some(), "a seat that was left is free");
    }
}
