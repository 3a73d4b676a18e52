//! A pace learned from refusals, for targets that say "too many" and nothing else.
//!
//! The first refusal sets the time between calls by the rate that was just refused; every further
//! one lengthens it, every call that passes shortens it a little, and a quiet minute forgets it. So
//! a limit that nobody told us costs a refusal now and then, and not a storm of them.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use super::BucketRow;
use super::fill::{later, until};

/// The window in which the refused rate is measured.
const MEASURE: Duration = Duration::from_secs(1);
/// Of the refused rate, the share to go on with.
const FIRST_SHARE: f64 = 0.6;
/// By how much a further refusal lengthens the gap.
const LENGTHEN: f64 = 1.4;
/// By how much each call shortens it.
const SHORTEN: f64 = 0.998;
/// Refusals closer together than this are one: calls under way at the same time.
const SAME: Duration = Duration::from_secs(2);
/// How long without a refusal until the pace is forgotten.
const FORGET: Duration = Duration::from_secs(60);
/// The longest gap.
const LONGEST: Duration = Duration::from_secs(10);

/// The pace of one driver key.
#[derive(Debug, Default)]
pub(super) struct Pace {
    starts: VecDeque<Timestamp>,
    gap: Option<Duration>,
    next: Option<Timestamp>,
    refused: Option<Timestamp>,
}

impl Pace {
    /// When the call with so many before it may start.
    pub(super) fn at(&self, now: Timestamp, before: u32) -> Timestamp {
        match self.gap {
            Some(gap) => later(self.next.unwrap_or(now).max(now), gap.saturating_mul(before)),
            None => now,
        }
    }

    /// How long until the call with so many before it may start.
    pub(super) fn predict(&self, now: Timestamp, before: u32) -> Duration {
        until(now, self.at(now, before))
    }

    /// The time between calls, if one was learned.
    pub(super) fn gap(&self) -> Option<Duration> {
        self.gap
    }

    /// A call starts.
    pub(super) fn start(&mut self, now: Timestamp) {
        while self.starts.front().is_some_and(|at| until(*at, now) > MEASURE) {
            self.starts.pop_front();
        }
        self.starts.push_back(now);
        if self.refused.is_some_and(|at| until(at, now) > FORGET) {
            (self.gap, self.next, self.refused) = (None, None, None);
        }
        if let Some(gap) = &mut self.gap {
            self.next = Some(later(self.next.unwrap_or(now).max(now), *gap));
            *gap = gap.mul_f64(SHORTEN);
        }
    }

    /// What the store keeps of it: the gap in microseconds, and until when it is not forgotten.
    pub(super) fn row(&self, name: &str) -> Option<BucketRow> {
        Some(BucketRow {
            name: name.to_owned(),
            used: u32::try_from(self.gap?.as_micros()).unwrap_or(u32::MAX),
            window_ends_at: Some(later(self.refused?, FORGET)),
            blocked_until: None,
        })
    }

    /// Takes over what another learned.
    pub(super) fn load(&mut self, row: &BucketRow, now: Timestamp) {
        let Some(refused) = row.window_ends_at.and_then(|ends| ends.checked_sub(FORGET).ok()) else {
            return;
        };
        if until(refused, now) > FORGET || self.refused.is_some_and(|own| own >= refused) {
            return;
        }
        let gap = Duration::from_micros(u64::from(row.used)).min(LONGEST);
        (self.gap, self.next, self.refused) = (Some(gap), Some(later(now, gap)), Some(refused));
    }

    /// The target refused a call.
    pub(super) fn refuse(&mut self, now: Timestamp) {
        if self.refused.replace(now).is_some_and(|at| until(at, now) < SAME) {
            return;
        }
        let gap = match self.gap {
            Some(gap) => gap.mul_f64(LENGTHEN),
            None => {
                let starts = self.starts.iter().filter(|at| until(**at, now) <= MEASURE).count().max(1);
                #[allow(clippy::cast_precision_loss, reason = "a count of calls within a second")]
                MEASURE.div_f64((starts as f64 * FIRST_SHARE).max(0.1))
            }
        };
        self.gap = Some(gap.min(LONGEST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays callers that are as fast as they may be against a target with a token bucket; answers
    /// (calls passed, calls refused) within so many seconds.
    fn play(per_second: u32, seconds: i64) -> (u32, u32) {
        let start = Timestamp::UNIX_EPOCH;
        let end = later(start, Duration::from_secs(u64::try_from(seconds).unwrap()));
        let mut pace = Pace::default();
        let mut tokens = f64::from(per_second);
        let (mut now, mut passed, mut refused) = (start, 0, 0);
        let mut blocked = start;
        while now < end {
            let may = pace.at(now, 0).max(blocked);
            let next = may.max(later(now, Duration::from_millis(5)));
            tokens = (tokens + until(now, next).as_secs_f64() * f64::from(per_second)).min(f64::from(per_second));
            now = next;
            pace.start(now);
            if tokens >= 1.0 {
                tokens -= 1.0;
                passed += 1;
            } else {
                refused += 1;
                pace.refuse(now);
                blocked = later(now, Duration::from_secs(1));
            }
        }
        (passed, refused)
    }

    #[test]
    fn a_limit_nobody_told_costs_few_refusals_and_little_time() {
        for (per_second, seconds) in [(20, 60), (5, 120), (50, 60)] {
            let (passed, refused) = play(per_second, seconds);
            let most = per_second * u32::try_from(seconds).unwrap();
            assert!(refused * 50 < passed, "{per_second}/s: {refused} refused of {passed}");
            assert!(passed * 2 > most, "{per_second}/s: only {passed} of {most}");
        }
    }

    #[test]
    fn without_refusals_there_is_no_pace() {
        let mut pace = Pace::default();
        for n in 0..1000 {
            pace.start(later(Timestamp::UNIX_EPOCH, Duration::from_millis(n)));
        }
        assert_eq!(pace.predict(later(Timestamp::UNIX_EPOCH, Duration::from_secs(1)), 1000), Duration::ZERO);
    }
}
