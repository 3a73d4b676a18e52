//! Budgets: what one target API allows, kept per driver key and shared by every instance behind it
//! (DECISIONS 25 and 26).
//!
//! A call starts when every bucket it charges has room and no better lane waits for the same room.
//! A short window holds by counting what was charged within it and is spread by governor; a long
//! one counts from its first charge to its end; both follow what the target says. A block (a
//! Retry-After) stops everything. Waiting costs a timer for the first in line and nothing for the
//! rest; a waiter that is dropped was never charged.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use connector_sdk::{Bucket, Charge, DriverKey, Reading};
use engine::Lane;
use jiff::Timestamp;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::telemetry::names;

mod breaker;
mod fill;
mod pace;
#[cfg(test)]
mod properties;
mod retries;
#[cfg(test)]
mod tests;
mod view;

pub use breaker::{Breaker, BreakerView, FAILURES_TO_OPEN, FIRST_WAIT, LONGEST_WAIT, Pass};
use fill::{Fill, Room, later, until};
use pace::Pace;
use retries::Retries;
pub use view::{BucketView, BudgetView, WaitingView};

/// The name under which [`Budget::rows`] gives the block of the whole driver key.
pub const WHOLE_KEY: &str = "*";
/// The name of the row that says until when the breaker rests, for predictions elsewhere.
pub const BREAKER: &str = "*breaker";
/// The name of the row of the learned pace.
const PACE: &str = "*pace";

const SHORTEST_BLOCK: Duration = Duration::from_secs(1);
const LONGEST_BLOCK: Duration = Duration::from_secs(3600);
/// How long a call is taken to last while none has been seen.
const FIRST_TYPICAL: Duration = Duration::from_millis(200);

/// A call cannot start in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotBefore {
    /// From when on trying again makes sense.
    pub at: Timestamp,
    /// The bucket that has no room; [`WHOLE_KEY`] if the target asked us to stop altogether.
    pub bucket: &'static str,
}

/// What the store keeps of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketRow {
    /// The bucket's name, or [`WHOLE_KEY`].
    pub name: String,
    /// Units used in the window.
    pub used: u32,
    /// The window's end, if one has begun.
    pub window_ends_at: Option<Timestamp>,
    /// Until when nothing may be charged.
    pub blocked_until: Option<Timestamp>,
}

/// A long window that is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The bucket.
    pub bucket: &'static str,
    /// What it is, for the admin.
    pub title: &'static str,
    /// From when on there is room.
    pub until: Timestamp,
}

/// Every budget of this process.
pub struct Budgets {
    clock: Clock,
    by_key: Mutex<HashMap<DriverKey, Arc<Budget>>>,
}

impl Budgets {
    /// None yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, by_key: Mutex::default() }
    }

    /// The budget of a driver key, made if it is new. The buckets are those of the connector's
    /// traits; a changed declaration is followed, and what was charged stays.
    pub fn get(&self, key: &DriverKey, buckets: &[Bucket]) -> Arc<Budget> {
        let mut by_key = lock(&self.by_key);
        let budget =
            by_key.entry(key.clone()).or_insert_with(|| Arc::new(Budget::new(key.clone(), self.clock.clone())));
        budget.declare(buckets);
        Arc::clone(budget)
    }

    /// The budget of a driver key, if it has been used.
    pub fn known(&self, key: &DriverKey) -> Option<Arc<Budget>> {
        lock(&self.by_key).get(key).cloned()
    }

    /// The driver keys whose target does not answer, and since when; by key.
    pub fn opened_since(&self) -> Vec<(DriverKey, Timestamp)> {
        let budgets: Vec<_> = lock(&self.by_key).values().cloned().collect();
        let mut open: Vec<_> =
            budgets.iter().filter_map(|budget| Some((budget.key().clone(), budget.opened_since()?))).collect();
        open.sort();
        open
    }

    /// Every budget as the admin API shows it, by driver key.
    pub fn snapshot(&self) -> Vec<BudgetView> {
        let budgets: Vec<_> = lock(&self.by_key).values().cloned().collect();
        let mut views: Vec<_> = budgets.iter().map(|budget| budget.snapshot()).collect();
        views.sort_by(|a, b| a.driver_key.cmp(&b.driver_key));
        views
    }
}

/// The budget of one driver key.
pub struct Budget {
    key: DriverKey,
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    fills: Vec<Fill>,
    blocked_until: Option<Timestamp>,
    /// By lane, then by arrival.
    waiters: BTreeMap<(Lane, u64), Waiter>,
    arrivals: u64,
    /// How long a call lasts, smoothed.
    typical: Duration,
    breaker: Breaker,
    pace: Pace,
    retries: Retries,
}

struct Waiter {
    charges: Vec<(usize, u32)>,
    wake: Arc<Notify>,
    verdict: Verdict,
}

/// What a waiter is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    next: Next,
    /// From when on its own buckets have room.
    at: Timestamp,
    bucket: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It starts.
    Go,
    /// It waits for a time.
    Sleep(Timestamp),
    /// It waits to be told: a better waiter goes first, or a call under way must end.
    Told,
}

/// Whether better waiters have a claim on a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Taken {
    /// None.
    Free,
    /// One that cannot use it before it has to wait for something else; until then.
    Until(Timestamp),
    /// One that is served first, and by that gives the next one its turn.
    Turn,
}

impl Budget {
    fn new(key: DriverKey, clock: Clock) -> Self {
        let state = State {
            fills: Vec::new(),
            blocked_until: None,
            waiters: BTreeMap::new(),
            arrivals: 0,
            typical: FIRST_TYPICAL,
            breaker: Breaker::default(),
            pace: Pace::default(),
            retries: Retries::default(),
        };
        Self { key, clock, state: Mutex::new(state) }
    }

    /// What the limits follow.
    pub fn key(&self) -> &DriverKey {
        &self.key
    }

    fn declare(&self, buckets: &[Bucket]) {
        let mut state = lock(&self.state);
        for bucket in buckets {
            match state.fills.iter_mut().find(|fill| fill.name() == bucket.name) {
                Some(fill) => fill.declare(bucket),
                None => state.fills.push(Fill::new(bucket.clone(), &self.clock)),
            }
        }
        state.survey(self.clock.now());
    }

    /// Waits until the call may start, and charges it. Better lanes go first among those who wait;
    /// within a lane, who came first. Give the permit back (drop it) when the call has ended.
    ///
    /// Dropping the future before it is done charges nothing and lets the next one go.
    ///
    /// # Errors
    /// [`NotBefore`], at once if it is certain that the call cannot start by `give_up_at`, else then.
    pub async fn acquire(
        self: &Arc<Self>,
        charges: &[Charge],
        lane: Lane,
        give_up_at: Timestamp,
    ) -> Result<Permit, NotBefore> {
        let came = self.clock.now();
        let place = self.enqueue(charges, lane);
        let result = loop {
            let sleep_until = match self.step(&place, give_up_at) {
                Step::Go(permit) => break Ok(permit),
                Step::Refused(not_before) => break Err(not_before),
                Step::Wait(until) => until,
            };
            tokio::select! {
                () = place.wake.notified() => {}
                () = self.clock.sleep_until(sleep_until) => {}
            }
        };
        let waited = until(came, self.clock.now()).as_secs_f64();
        metrics::histogram!(names::BUDGET_WAIT_SECONDS, "lane" => lane_name(lane)).record(waited);
        result
    }

    fn enqueue(self: &Arc<Self>, charges: &[Charge], lane: Lane) -> Place {
        let mut state = lock(&self.state);
        let now = self.clock.now();
        let charges = state.resolve(&self.key, charges);
        let key = (lane, state.arrivals);
        state.arrivals += 1;
        let wake = Arc::new(Notify::new());
        let verdict = Verdict { next: Next::Told, at: now, bucket: WHOLE_KEY };
        state.waiters.insert(key, Waiter { charges, wake: Arc::clone(&wake), verdict });
        Place { budget: Arc::clone(self), key, wake }
    }

    fn step(self: &Arc<Self>, place: &Place, give_up_at: Timestamp) -> Step {
        let mut state = lock(&self.state);
        let now = self.clock.now();
        state.survey(now);
        let Some(verdict) = state.waiters.get(&place.key).map(|waiter| waiter.verdict) else {
            return Step::Refused(NotBefore { at: now, bucket: WHOLE_KEY });
        };
        let in_time = now <= give_up_at;
        if verdict.next == Next::Go && in_time {
            let waiter = state.waiters.remove(&place.key);
            let charges = waiter.map(|waiter| waiter.charges).unwrap_or_default();
            for (bucket, units) in &charges {
                state.fills[*bucket].debit(now, *units);
            }
            state.pace.start(now);
            state.survey(now);
            return Step::Go(Permit { budget: Arc::clone(self), charges, started: now });
        }
        if verdict.at > give_up_at || now >= give_up_at {
            let soon = later(now, state.typical.max(Duration::from_millis(100)));
            let at = match verdict.next {
                Next::Sleep(wake) => verdict.at.max(wake),
                Next::Go | Next::Told => verdict.at.max(soon),
            };
            state.waiters.remove(&place.key);
            state.survey(now);
            return Step::Refused(NotBefore { at, bucket: verdict.bucket });
        }
        match verdict.next {
            Next::Sleep(wake) => Step::Wait(wake.min(give_up_at)),
            Next::Go | Next::Told => Step::Wait(give_up_at),
        }
    }

    /// Corrects the buckets by what the target said. Give the answered call's permit back first,
    /// so that it is not taken for one that the target has not counted yet.
    pub fn observe(&self, readings: &[Reading]) {
        if readings.is_empty() {
            return;
        }
        let mut state = lock(&self.state);
        let now = self.clock.now();
        for reading in readings {
            if let Some(fill) = state.fills.iter_mut().find(|fill| fill.name() == reading.bucket) {
                fill.settle(now);
                fill.observe(reading, now);
            }
        }
        state.survey(now);
    }

    /// Stops every call of the driver key, reads included, until then; at least a second and at
    /// most an hour. A block that is in force is never shortened.
    pub fn block(&self, until: Timestamp) {
        let mut state = lock(&self.state);
        let now = self.clock.now();
        let until = until.clamp(later(now, SHORTEST_BLOCK), later(now, LONGEST_BLOCK));
        state.blocked_until = state.blocked_until.max(Some(until));
        state.survey(now);
    }

    /// The target said "too many": stops like [`Budget::block`], and learns a pace for after.
    pub fn push_back(&self, until: Timestamp) {
        let now = self.clock.now();
        lock(&self.state).pace.refuse(now);
        self.block(until);
    }

    /// Until when every call is stopped.
    pub fn blocked_until(&self) -> Option<Timestamp> {
        let mut state = lock(&self.state);
        state.settle(self.clock.now());
        state.blocked_until
    }

    /// How long until such a call could start that has `ahead` calls of equal or better lanes
    /// before it. An estimate: those are taken to cost the same, and nothing else to be asked for.
    /// What the target caps at a time ([`Window::Standing`]) is not in it: that ends with people.
    pub fn predict(&self, charges: &[Charge], lane: Lane, ahead: usize) -> Duration {
        let mut state = lock(&self.state);
        let now = self.clock.now();
        state.settle(now);
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        let block = state.blocked_until.map_or(Duration::ZERO, |until_then| until(now, until_then));
        let rest = state.breaker.rests(now, lane).map_or(Duration::ZERO, |probe| until(now, probe));
        // Pace and windows hold from the end of the wait on: nothing is charged during it.
        let wait = block.max(rest);
        let from = later(now, wait);
        let paced = wait.saturating_add(state.pace.predict(from, ahead));
        state
            .resolve(&self.key, charges)
            .into_iter()
            .map(|(at, units)| wait.saturating_add(state.fills[at].predict(from, units, lane, ahead, state.typical)))
            .fold(paced, Duration::max)
    }

    /// How long a call takes, smoothed.
    pub fn typical(&self) -> Duration {
        lock(&self.state).typical
    }

    /// Until when nothing of a lane is to be begun: the target asked to be left alone, or is down and
    /// the lane's next probe is not due.
    pub fn rests(&self, lane: Lane) -> Option<Timestamp> {
        let mut state = lock(&self.state);
        let now = self.clock.now();
        state.settle(now);
        state.blocked_until.max(state.breaker.rests(now, lane))
    }

    /// Since when the breaker is open: the target does not answer. For alerts.
    pub fn opened_since(&self) -> Option<Timestamp> {
        lock(&self.state).breaker.opened_since()
    }

    /// Whether a run that failed before may be repeated now.
    pub fn may_repeat(&self) -> bool {
        lock(&self.state).retries.may(self.clock.now())
    }

    /// A run starts; `repeats` if it failed before.
    pub fn run_starts(&self, repeats: bool) {
        lock(&self.state).retries.start(self.clock.now(), repeats);
    }

    /// A run that failed before was answered.
    pub fn repetition_answered(&self) {
        lock(&self.state).retries.answered();
    }

    /// How much there is at the target now of what a [`Window::Standing`] bucket caps.
    pub fn stand(&self, bucket: &str, used: u32) {
        let mut state = lock(&self.state);
        if let Some(fill) = state.fills.iter_mut().find(|fill| fill.name() == bucket) {
            fill.stand(used);
        }
    }

    /// The long windows that have no room for a lane for longer than `patience`: what charges them is
    /// not to be begun.
    pub fn closed(&self, lane: Lane, patience: Duration) -> Vec<Closed> {
        let mut state = lock(&self.state);
        let now = self.clock.now();
        state.settle(now);
        let closed = state.fills.iter().filter_map(|fill| {
            let until = fill.closed_until(now, lane, patience)?;
            Some(Closed { bucket: fill.name(), title: fill.spec().title, until })
        });
        closed.collect()
    }

    /// Asks the breaker for leave to send a call.
    ///
    /// # Errors
    /// The time from which asking again makes sense.
    pub fn ask_breaker(&self, lane: Lane) -> Result<Pass, Timestamp> {
        lock(&self.state).breaker.ask(self.clock.now(), lane)
    }

    /// Whether a call that was let through a while ago may still be sent.
    ///
    /// # Errors
    /// The time from which asking again makes sense: the breaker has opened in between.
    pub fn still_closed(&self, pass: &Pass, lane: Lane) -> Result<(), Timestamp> {
        let state = lock(&self.state);
        match (pass, state.breaker.opened_since()) {
            (Pass::Through, Some(_)) => {
                let now = self.clock.now();
                Err(state.breaker.rests(now, lane).unwrap_or(now))
            }
            _ => Ok(()),
        }
    }

    /// Tells the breaker how a call went; see [`Breaker::report`].
    pub fn report_to_breaker(&self, pass: Pass, up: bool, jitter: f64) -> bool {
        lock(&self.state).breaker.report(self.clock.now(), pass, up, jitter)
    }

    /// Hands a pass of the breaker back unused.
    pub fn abandon_breaker(&self, pass: Pass) {
        lock(&self.state).breaker.abandon(pass);
    }

    /// What the admin API shows.
    pub fn snapshot(&self) -> BudgetView {
        let mut state = lock(&self.state);
        state.settle(self.clock.now());
        let waiting = Lane::ALL
            .into_iter()
            .map(|lane| WaitingView { lane, calls: state.waiters.range((lane, 0)..=(lane, u64::MAX)).count() });
        BudgetView {
            driver_key: self.key.clone(),
            blocked_until: state.blocked_until,
            buckets: state.fills.iter().map(Fill::view).collect(),
            waiting: waiting.filter(|lane| lane.calls > 0).collect(),
            breaker: state.breaker.view(),
            pace_ms: state.pace.gap().map(|gap| u64::try_from(gap.as_millis()).unwrap_or(u64::MAX)),
            retries_left: {
                let now = self.clock.now();
                state.retries.left(now)
            },
        }
    }

    /// What the store keeps, so that a take-over or a restart does not begin with full windows.
    pub fn rows(&self) -> Vec<BucketRow> {
        let mut state = lock(&self.state);
        state.settle(self.clock.now());
        let whole = state.blocked_until.map(|until| BucketRow {
            name: WHOLE_KEY.to_owned(),
            used: 0,
            window_ends_at: None,
            blocked_until: Some(until),
        });
        state.fills.iter().filter_map(Fill::row).chain(whole).collect()
    }

    /// The same and what is otherwise kept in memory: short windows, the learned pace, and until when
    /// the breaker rests. For who drives next, and for predictions elsewhere.
    pub fn all_rows(&self) -> Vec<BucketRow> {
        let mut rows = self.rows();
        let state = lock(&self.state);
        rows.extend(state.fills.iter().filter_map(Fill::short_row));
        rows.extend(state.pace.row(PACE));
        let rests = state.breaker.view().next_probe_at;
        rows.extend(rests.map(|until| BucketRow {
            name: BREAKER.to_owned(),
            used: 0,
            window_ends_at: None,
            blocked_until: Some(until),
        }));
        rows
    }

    /// Takes over what the store kept. Rows of buckets that are no longer declared are left out.
    pub fn load(&self, rows: &[BucketRow]) {
        let mut state = lock(&self.state);
        let now = self.clock.now();
        for row in rows {
            if row.name == WHOLE_KEY {
                state.blocked_until = state.blocked_until.max(row.blocked_until);
            } else if row.name == BREAKER {
                if let Some(probe_at) = row.blocked_until {
                    state.breaker.resume(now, probe_at);
                }
            } else if row.name == PACE {
                state.pace.load(row, now);
            } else if let Some(fill) = state.fills.iter_mut().find(|fill| fill.name() == row.name) {
                fill.load(row, now);
            }
        }
        state.survey(now);
    }

    fn end(&self, charges: &[(usize, u32)], started: Timestamp) {
        let mut state = lock(&self.state);
        let now = self.clock.now();
        for (bucket, units) in charges {
            state.fills[*bucket].release(*units);
        }
        state.typical = (state.typical * 7 + until(started, now).min(Duration::from_secs(60))) / 8;
        state.survey(now);
    }
}

impl State {
    /// The places of the charged buckets, each once.
    fn resolve(&self, key: &DriverKey, charges: &[Charge]) -> Vec<(usize, u32)> {
        let mut resolved: Vec<(usize, u32)> = Vec::with_capacity(charges.len());
        for charge in charges {
            let Some(at) = self.fills.iter().position(|fill| fill.name() == charge.bucket) else {
                tracing::error!(driver_key = %key, bucket = charge.bucket, "a call charges a bucket that its connector does not declare");
                continue;
            };
            match resolved.iter_mut().find(|(known, _)| *known == at) {
                Some((_, units)) => *units = units.saturating_add(charge.units),
                None => resolved.push((at, charge.units)),
            }
        }
        resolved
    }

    fn settle(&mut self, now: Timestamp) {
        self.fills.iter_mut().for_each(|fill| fill.settle(now));
        // A clock that was set back must not turn an hour into two.
        self.blocked_until =
            self.blocked_until.filter(|until| *until > now).map(|until| until.min(later(now, LONGEST_BLOCK)));
    }

    /// Judges every waiter, best first, and wakes those whose verdict changed.
    fn survey(&mut self, now: Timestamp) {
        self.settle(now);
        let Self { fills, waiters, blocked_until, pace, .. } = self;
        // Whom a bucket goes to first, and units of it that better waiters will want.
        let mut taken = vec![Taken::Free; fills.len()];
        let mut held = vec![0_u32; fills.len()];
        for (before, ((lane, _), waiter)) in (0_u32..).zip(waiters.iter_mut()) {
            let mut at = blocked_until.unwrap_or(now).max(pace.at(now, before));
            let mut bucket = WHOLE_KEY;
            let mut line = Taken::Free;
            let mut short = Vec::new();
            for (place, units) in &waiter.charges {
                let room = fills[*place].room(now, *units, held[*place], *lane);
                let free = matches!(room, Room::At(time) if time <= now);
                if let Room::At(time) = room
                    && time > at
                {
                    at = time;
                    bucket = fills[*place].name();
                }
                if !free {
                    short.push((*place, room));
                }
                if at <= now && (!free || taken[*place] != Taken::Free) {
                    bucket = fills[*place].name();
                }
                line = line.max(taken[*place]);
            }
            let full = short.iter().any(|(_, room)| *room == Room::AfterACall);
            let next = match line {
                Taken::Turn => Next::Told,
                _ if full && at <= now => Next::Told,
                Taken::Until(free) => Next::Sleep(free.max(at)),
                Taken::Free if at > now => Next::Sleep(at),
                Taken::Free => Next::Go,
            };
            for (place, room) in short {
                // A waiter that needs longer for another bucket leaves this one to others as soon
                // as it has room; one that will take it then is told of by itself.
                let until = match room {
                    Room::At(time) if time < at || line != Taken::Free => Taken::Until(time),
                    _ => Taken::Turn,
                };
                taken[place] = taken[place].max(until);
            }
            for (place, units) in &waiter.charges {
                if next == Next::Go {
                    taken[*place] = Taken::Turn;
                }
                held[*place] = held[*place].saturating_add(*units);
            }
            let verdict = Verdict { next, at, bucket };
            // Verdicts without a timer differ only in what they would say on giving up.
            let quiet = next == Next::Told && waiter.verdict.next == Next::Told;
            if waiter.verdict != verdict && !quiet {
                waiter.wake.notify_one();
            }
            waiter.verdict = verdict;
        }
    }
}

enum Step {
    Go(Permit),
    Refused(NotBefore),
    Wait(Timestamp),
}

/// A place in the queue; leaving it lets the next one go.
struct Place {
    budget: Arc<Budget>,
    key: (Lane, u64),
    wake: Arc<Notify>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = lock(&self.budget.state);
        if state.waiters.remove(&self.key).is_some() {
            state.survey(self.budget.clock.now());
        }
    }
}

/// Leave to have one call under way. Drop it when the call has ended.
#[must_use]
pub struct Permit {
    budget: Arc<Budget>,
    charges: Vec<(usize, u32)>,
    started: Timestamp,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.end(&self.charges, self.started);
    }
}

/// A panic elsewhere leaves the numbers as they were, which is fit for use.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Deprovision => "deprovision",
        Lane::Removal => "removal",
        Lane::Grant => "grant",
        Lane::Bulk => "bulk",
        Lane::Reconcile => "reconcile",
    }
}
