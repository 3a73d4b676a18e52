//! One bucket: how full it is, and when it has room.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use connector_sdk::{Bucket, Reading, Window};
use engine::Lane;
use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use jiff::Timestamp;

use super::{BucketRow, BucketView};
use crate::clock::Clock;

/// The furthest that a reading of a short window is believed.
const FURTHEST_MEMORY: Duration = Duration::from_secs(3600);
/// The furthest that a reading of a long window is believed: a day, and an hour for clocks.
const FURTHEST_ROW: Duration = Duration::from_secs(25 * 3600);
/// Two readings whose windows end this close together, by a share of the window's length, speak of one
/// window: seconds are rounded, and answers are under way for different times.
const SAME_WINDOW: u32 = 20;

/// When a bucket has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// From this time on; now, if it is not later than now.
    At(Timestamp),
    /// When a call that is under way ends.
    AfterACall,
}

pub(super) struct Fill {
    spec: Bucket,
    clock: Clock,
    /// The units of a window: the vendor's, or what the target said last.
    units: Option<u32>,
    /// Short windows: what was charged when, within the last window; and the sum.
    log: VecDeque<(Timestamp, u32)>,
    logged: u32,
    pacer: Option<Pacer>,
    /// Long windows: what was charged since the window began, and its end.
    used: u32,
    ends: Option<Timestamp>,
    /// The earliest next start, where calls need a gap.
    next: Timestamp,
    calls_under_way: u32,
    units_under_way: u32,
    told: Option<Told>,
}

/// What the target said of the window that ends at `until`, less what was charged since.
struct Told {
    limit: Option<u32>,
    left: u32,
    until: Timestamp,
}

impl Fill {
    pub(super) fn new(spec: Bucket, clock: &Clock) -> Self {
        let units = spec.units;
        let mut fill = Self {
            spec,
            clock: clock.clone(),
            units: None,
            log: VecDeque::new(),
            logged: 0,
            pacer: None,
            used: 0,
            ends: None,
            next: Timestamp::MIN,
            calls_under_way: 0,
            units_under_way: 0,
            told: None,
        };
        fill.set_units(units);
        fill
    }

    pub(super) fn name(&self) -> &'static str {
        self.spec.name
    }

    /// Follows a changed declaration; what was charged stays.
    pub(super) fn declare(&mut self, spec: &Bucket) {
        if *spec != self.spec {
            self.spec = spec.clone();
            self.set_units(spec.units);
        }
    }

    fn set_units(&mut self, units: Option<u32>) {
        self.units = units;
        self.pacer = match (self.spec.window, units) {
            (Window::Memory, Some(units)) => Pacer::new(units, self.spec.per, &self.clock),
            _ => None,
        };
    }

    /// Drops what is over, and what a clock that was set back left in the future.
    pub(super) fn settle(&mut self, now: Timestamp) {
        if self.log.back().is_some_and(|(at, _)| *at > now) {
            self.log.iter_mut().for_each(|(at, _)| *at = (*at).min(now));
            self.set_units(self.units);
        }
        while let Some((at, units)) = self.log.front().copied() {
            if later(at, self.spec.per) > now {
                break;
            }
            self.log.pop_front();
            self.logged = self.logged.saturating_sub(units);
        }
        self.next = self.next.min(later(now, self.spec.gap));
        if self.ends.is_some_and(|ends| ends <= now) {
            self.ends = None;
            self.used = 0;
        }
        self.ends = self.ends.map(|ends| ends.min(later(now, self.spec.per.max(FURTHEST_ROW))));
        if self.told.as_ref().is_some_and(|told| told.until <= now) {
            self.told = None;
        }
    }

    /// When a call of so many units could start, if `held` units go to calls before it. Call
    /// [`Fill::settle`] first.
    pub(super) fn room(&self, now: Timestamp, units: u32, held: u32, lane: Lane) -> Room {
        let mut at = self.next;
        if let Some(limit) = self.units {
            let share = share(limit, lane);
            let need = units.saturating_add(held).min(share);
            at = at.max(match self.spec.window {
                Window::Memory => self.logged_room(now, need, share),
                Window::Row if self.used.saturating_add(need) > share => self.ends.unwrap_or(now),
                // How much there is at the target is counted before a call is planned, not here.
                Window::Row | Window::Standing => now,
            });
        }
        if let Some(pacer) = &self.pacer {
            at = at.max(pacer.earliest(now, units));
        }
        if let Some(told) = &self.told {
            let reserve = told.limit.map_or(0, |limit| limit - share(limit, lane));
            // With all of the window left, even a call larger than the share may go.
            let most = told.limit.map_or(u32::MAX, |limit| share(limit, lane)).max(1);
            let need = units.saturating_add(held).clamp(u32::from(units > 0), most);
            if told.left.saturating_sub(reserve) < need {
                at = at.max(told.until);
            }
        }
        let full = self.spec.at_once > 0 && self.calls_under_way >= self.spec.at_once;
        if full && at <= now { Room::AfterACall } else { Room::At(at) }
    }

    fn logged_room(&self, now: Timestamp, need: u32, share: u32) -> Timestamp {
        let mut logged = self.logged;
        if logged.saturating_add(need) <= share {
            return now;
        }
        for (at, units) in &self.log {
            logged = logged.saturating_sub(*units);
            if logged.saturating_add(need) <= share {
                return later(*at, self.spec.per);
            }
        }
        now
    }

    /// Charges a call that starts now.
    pub(super) fn debit(&mut self, now: Timestamp, units: u32) {
        self.calls_under_way = self.calls_under_way.saturating_add(1);
        self.units_under_way = self.units_under_way.saturating_add(units);
        self.next = later(now, self.spec.gap);
        if let Some(told) = &mut self.told {
            told.left = told.left.saturating_sub(units);
        }
        if self.units.is_none() || units == 0 {
            return;
        }
        match self.spec.window {
            Window::Memory => {
                self.log.push_back((now, units));
                self.logged = self.logged.saturating_add(units);
                if let Some(pacer) = &self.pacer {
                    pacer.charge(units);
                }
            }
            Window::Row => {
                self.used = self.used.saturating_add(units);
                self.ends.get_or_insert(later(now, self.spec.per));
            }
            Window::Standing => self.used = self.used.saturating_add(units),
        }
    }

    /// How much there is at the target now, of what is capped there.
    pub(super) fn stand(&mut self, used: u32) {
        if self.spec.window == Window::Standing {
            self.used = used;
        }
    }

    /// From when on a long window has room for one more, where that is not before `patience` ends.
    pub(super) fn closed_until(&self, now: Timestamp, lane: Lane, patience: Duration) -> Option<Timestamp> {
        match self.room(now, 1, 0, lane) {
            Room::At(at) if self.spec.window == Window::Row && at > later(now, patience) => Some(at),
            _ => None,
        }
    }

    pub(super) fn spec(&self) -> &Bucket {
        &self.spec
    }

    /// A call ended.
    pub(super) fn release(&mut self, units: u32) {
        self.calls_under_way = self.calls_under_way.saturating_sub(1);
        self.units_under_way = self.units_under_way.saturating_sub(units);
    }

    /// Corrects by what the target said. Within one window it only ever takes away: answers
    /// overtake each other, and calls under way are not in them yet.
    pub(super) fn observe(&mut self, reading: &Reading, now: Timestamp) {
        let furthest = match self.spec.window {
            Window::Memory => FURTHEST_MEMORY,
            Window::Row | Window::Standing => FURTHEST_ROW,
        };
        if reading.resets_at <= now && reading.remaining > 0 {
            return;
        }
        let until = reading.resets_at.clamp(later(now, Duration::from_secs(1)), later(now, furthest));
        let limit = reading.limit.filter(|limit| *limit > 0);
        let left = match &self.told {
            Some(told) if close(told.until, until, self.spec.per) => told.left.min(reading.remaining),
            _ => reading.remaining.saturating_sub(self.units_under_way),
        };
        self.told = Some(Told { limit, left, until });
        if let (Some(units), Some(limit)) = (self.units, limit) {
            if units != limit {
                self.set_units(Some(limit));
            }
            if self.spec.window == Window::Row {
                let used = limit.saturating_sub(reading.remaining);
                self.used = match self.ends {
                    Some(ends) if close(ends, until, self.spec.per) => self.used.max(used),
                    _ => used.saturating_add(self.units_under_way),
                };
                self.ends = Some(until);
            }
        }
    }

    /// How long until a call could start that has `ahead` calls like it before it, each of `units`; an
    /// estimate, from what is known now. `typical` is how long a call takes.
    pub(super) fn predict(&self, now: Timestamp, units: u32, lane: Lane, ahead: u32, typical: Duration) -> Duration {
        let need = u64::from(units).saturating_mul(u64::from(ahead) + 1);
        // Calls that need a gap, or of which few may be under way: one after the other.
        let slots = self.spec.at_once;
        let pace = if slots > 0 { self.spec.gap.max(typical / slots) } else { self.spec.gap };
        let mut wait = until(now, self.next).saturating_add(pace.saturating_mul(ahead));
        if slots > 0 && self.calls_under_way >= slots {
            wait = wait.max(typical / slots).saturating_add(pace.saturating_mul(ahead));
        }
        if let (Some(limit), true) = (self.units, self.spec.window != Window::Standing) {
            wait = wait.max(self.windows(now, need, share(limit, lane).max(1), limit));
        }
        if let Some(told) = &self.told {
            let reserve = told.limit.map_or(0, |limit| limit - share(limit, lane));
            let left = u64::from(told.left.saturating_sub(reserve));
            if left < need {
                let first = until(now, told.until);
                // What comes in a window after this one is known where its size is.
                let more = match (told.limit, self.units) {
                    (Some(limit), None) => (need - left - 1) / u64::from(share(limit, lane).max(1)),
                    _ => 0,
                };
                wait = wait.max(first.saturating_add(times(self.spec.per, more)));
            }
        }
        wait
    }

    /// How long until a window has room for the last of so many units.
    fn windows(&self, now: Timestamp, need: u64, share: u32, limit: u32) -> Duration {
        let used = match self.spec.window {
            Window::Memory => self.logged,
            Window::Row | Window::Standing => self.used,
        };
        let excess = need.saturating_sub(u64::from(share.saturating_sub(used)));
        let mut wait = Duration::ZERO;
        if self.spec.window == Window::Memory {
            if excess > 0 {
                // The window slides: what was charged frees room one by one, and then a window's
                // worth with each window.
                let freed = u32::try_from(excess.min(u64::from(self.logged))).unwrap_or(u32::MAX);
                wait = if freed > 0 { until(now, self.freed(now, freed)) } else { Duration::ZERO };
                let beyond = excess.saturating_sub(u64::from(freed));
                wait = wait.saturating_add(part(self.spec.per, beyond, share));
            }
            if let Some(pacer) = &self.pacer {
                let burst = u32::try_from(need).unwrap_or(u32::MAX).min(pacer.burst.get());
                let paced = part(self.spec.per, need - u64::from(burst), limit.max(1));
                wait = wait.max(until(now, pacer.earliest(now, burst)).saturating_add(paced));
            }
        } else if excess > 0 {
            let first = self.ends.map_or(self.spec.per, |ends| until(now, ends));
            wait = first.saturating_add(times(self.spec.per, (excess - 1) / u64::from(share)));
        }
        wait
    }

    /// When so many of the units that are charged now are free again.
    fn freed(&self, now: Timestamp, units: u32) -> Timestamp {
        let mut free = 0_u32;
        for (at, charged) in &self.log {
            free = free.saturating_add(*charged);
            if free >= units {
                return later(*at, self.spec.per);
            }
        }
        now
    }

    /// Until when the target said that nothing is left.
    pub(super) fn exhausted_until(&self) -> Option<Timestamp> {
        self.told.as_ref().filter(|told| told.left == 0).map(|told| told.until)
    }

    pub(super) fn view(&self) -> BucketView {
        let told = self.told.as_ref();
        let used = match self.spec.window {
            Window::Memory => self.logged,
            Window::Row | Window::Standing => self.used,
        };
        let limit = self.units.or_else(|| told.and_then(|told| told.limit));
        let by_count = self.units.map(|units| units.saturating_sub(used));
        let remaining = match (by_count, told.map(|told| told.left)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        BucketView {
            name: self.spec.name,
            title: self.spec.title,
            limit,
            used: self
                .units
                .map_or_else(|| limit.zip(remaining).map(|(limit, left)| limit.saturating_sub(left)), |_| Some(used)),
            remaining,
            window_ends_at: match self.spec.window {
                Window::Memory => {
                    told.map(|told| told.until).or_else(|| self.log.front().map(|(at, _)| later(*at, self.spec.per)))
                }
                Window::Row => self.ends.or_else(|| told.map(|told| told.until)),
                Window::Standing => None,
            },
            blocked_until: self.exhausted_until(),
            under_way: self.calls_under_way,
        }
    }

    /// What the store keeps of it: long windows, and any that the target said is used up.
    pub(super) fn row(&self) -> Option<BucketRow> {
        let blocked_until = self.exhausted_until();
        (self.spec.window == Window::Row || blocked_until.is_some()).then(|| BucketRow {
            name: self.spec.name.to_owned(),
            used: self.used,
            window_ends_at: self.ends,
            blocked_until,
        })
    }

    /// A short window, as one whose every charge was its newest; and the gap that calls need. Nothing
    /// where [`Fill::row`] gives a row.
    pub(super) fn short_row(&self) -> Option<BucketRow> {
        if self.spec.window != Window::Memory || self.exhausted_until().is_some() {
            return None;
        }
        let gap =
            Some(self.next).filter(|next| *next > Timestamp::MIN).and_then(|next| next.checked_sub(self.spec.gap).ok());
        let newest = self.log.back().map(|(at, _)| *at).max(gap)?;
        Some(BucketRow {
            name: self.spec.name.to_owned(),
            used: self.logged,
            window_ends_at: Some(later(newest, self.spec.per)),
            blocked_until: None,
        })
    }

    fn load_short(&mut self, row: &BucketRow, now: Timestamp) {
        let newest = row.window_ends_at.and_then(|ends| ends.checked_sub(self.spec.per).ok());
        let Some(newest) = newest.map(|at| at.min(now)) else {
            return;
        };
        self.next = self.next.max(later(newest, self.spec.gap));
        let known = self.log.back().is_some_and(|(at, _)| *at >= newest);
        if !known && row.used > 0 && later(newest, self.spec.per) > now {
            self.log.push_back((newest, row.used));
            self.logged = self.logged.saturating_add(row.used);
            if let Some(pacer) = &self.pacer {
                pacer.charge(row.used);
            }
        }
    }

    /// Takes over what the store kept.
    pub(super) fn load(&mut self, row: &BucketRow, now: Timestamp) {
        if self.spec.window == Window::Memory {
            self.load_short(row, now);
        }
        if self.spec.window == Window::Row && row.window_ends_at.is_some_and(|ends| ends > now) {
            self.used = self.used.max(row.used);
            self.ends = self.ends.max(row.window_ends_at);
        }
        if let Some(until) = row.blocked_until.filter(|until| *until > now) {
            self.told = Some(Told { limit: None, left: 0, until });
        }
        self.settle(now);
    }
}

/// What a lane may use of a window. A tenth (at least one unit) of every window of ten and more is
/// kept for deprovisions.
fn share(units: u32, lane: Lane) -> u32 {
    if lane == Lane::Deprovision || units < 10 { units } else { units - (units / 10).max(1) }
}

pub(super) fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// So many times a time.
fn times(per: Duration, n: u64) -> Duration {
    per.saturating_mul(u32::try_from(n).unwrap_or(u32::MAX))
}

/// The part of a window that so many of its units take.
fn part(per: Duration, units: u64, of: u32) -> Duration {
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    let parts = units as f64 / f64::from(of.max(1));
    Duration::try_from_secs_f64(per.as_secs_f64() * parts).unwrap_or(Duration::MAX)
}

/// How long from `now` until then; nothing if it is past.
pub(super) fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default()
}

/// Whether two ends of windows of that length are the end of one.
fn close(a: Timestamp, b: Timestamp, per: Duration) -> bool {
    a.duration_since(b).unsigned_abs() <= (per / SAME_WINDOW).clamp(Duration::from_secs(2), Duration::from_secs(60))
}

/// Spreads the calls of a short window: half of it may go at once, the rest at an even pace.
struct Pacer {
    governor: RateLimiter<NotKeyed, Arrival, Since, NoOpMiddleware<Duration>>,
    arrival: Arrival,
    burst: NonZeroU32,
    start: Timestamp,
}

impl Pacer {
    fn new(units: u32, per: Duration, clock: &Clock) -> Option<Self> {
        let burst = NonZeroU32::new(units.div_ceil(2))?;
        let quota = Quota::with_period(per / units)?.allow_burst(burst);
        let start = clock.now();
        let arrival = Arrival::default();
        let since = Since { clock: clock.clone(), start };
        Some(Self { governor: RateLimiter::new(quota, arrival.clone(), since), arrival, burst, start })
    }

    /// When so many units may go. governor can only ask and take in one, and a call that another
    /// bucket refuses must not be charged here, so its state is put back.
    fn earliest(&self, now: Timestamp, units: u32) -> Timestamp {
        let before = self.arrival.get();
        let answer = self.check(units);
        self.arrival.set(before);
        answer.unwrap_or(now)
    }

    fn charge(&self, units: u32) {
        self.check(units);
    }

    /// Takes the units; if they may not go yet, answers when.
    fn check(&self, units: u32) -> Option<Timestamp> {
        let units = NonZeroU32::new(units.min(self.burst.get()))?;
        match self.governor.check_n(units) {
            Ok(Err(not_until)) => Some(later(self.start, not_until.earliest_possible())),
            Ok(Ok(())) | Err(_) => None,
        }
    }
}

/// governor's time: what has passed since the pacer was made, by the injected clock.
#[derive(Clone)]
struct Since {
    clock: Clock,
    start: Timestamp,
}

impl GovernorClock for Since {
    type Instant = Duration;

    fn now(&self) -> Duration {
        until(self.start, self.clock.now())
    }
}

/// governor's state (the theoretical arrival time), readable and writable.
#[derive(Clone, Default)]
struct Arrival(std::sync::Arc<Mutex<Option<Nanos>>>);

impl Arrival {
    fn get(&self) -> Option<Nanos> {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn set(&self, at: Option<Nanos>) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = at;
    }
}

impl StateStore for Arrival {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut at = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (answer, next) = f(*at)?;
        *at = Some(next);
        Ok(answer)
    }
}
