//! The retry budget of one driver key: how many of the runs that start may be repetitions of ones that
//! failed. The driver is the only layer that repeats, so what is bounded here is bounded altogether: a
//! target in trouble gets at most a fifth more than was asked of it, whatever failed before.
//!
//! A repetition that the target answers gives back what it took and as much again, so that a backlog
//! that an outage left behind goes on at full speed a moment after the outage.

use std::time::Duration;

use jiff::Timestamp;

use super::fill::until;

/// What every run that is no repetition adds.
const PER_RUN: f64 = 0.2;
/// The most that is saved up.
const MOST: f64 = 10.0;
/// One repetition is always let through after so much time, so that nothing waits for ever for others
/// to be asked for.
const FLOOR: Duration = Duration::from_secs(10);

/// The retry budget.
#[derive(Debug)]
pub(super) struct Retries {
    left: f64,
    since: Option<Timestamp>,
}

impl Default for Retries {
    fn default() -> Self {
        Self { left: MOST, since: None }
    }
}

impl Retries {
    fn settle(&mut self, now: Timestamp) {
        let passed = self.since.map_or(Duration::ZERO, |since| until(since, now));
        self.left = (self.left + passed.as_secs_f64() / FLOOR.as_secs_f64()).min(MOST);
        self.since = Some(now);
    }

    /// Whether a repetition may start.
    pub(super) fn may(&mut self, now: Timestamp) -> bool {
        self.settle(now);
        self.left >= 1.0
    }

    /// A run starts.
    pub(super) fn start(&mut self, now: Timestamp, repeats: bool) {
        self.settle(now);
        self.left = if repeats { (self.left - 1.0).max(0.0) } else { (self.left + PER_RUN).min(MOST) };
    }

    /// A repetition was answered.
    pub(super) fn answered(&mut self) {
        self.left = (self.left + 2.0).min(MOST);
    }

    /// How many repetitions could start.
    pub(super) fn left(&mut self, now: Timestamp) -> u32 {
        self.settle(now);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to ten")]
        let left = self.left as u32;
        left
    }
}

#[cfg(test)]
mod tests {
    use super::super::fill::later;
    use super::*;

    /// Plays a target that fails for so many seconds while so many new runs a second are asked for, and
    /// whoever failed is willing to come again at once. Calls that it got.
    fn burst(seconds: u64, per_second: u64) -> (u64, u64) {
        let mut retries = Retries::default();
        let (mut offered, mut calls, mut failed) = (0, 0, 0_u64);
        for step in 0..seconds * 100 {
            let now = later(Timestamp::UNIX_EPOCH, Duration::from_millis(step * 10));
            if (step * per_second) / 100 != ((step + 1) * per_second) / 100 {
                retries.start(now, false);
                (offered, calls, failed) = (offered + 1, calls + 1, failed + 1);
            }
            while failed > 0 && retries.may(now) {
                retries.start(now, true);
                calls += 1;
            }
        }
        (offered, calls)
    }

    #[test]
    fn a_target_that_fails_gets_a_fifth_more_than_was_asked_and_a_floor() {
        for (seconds, per_second) in [(30, 10), (30, 50), (300, 1), (3600, 1)] {
            let (offered, calls) = burst(seconds, per_second);
            let floor = 10 + seconds / 10;
            assert!(calls <= offered + offered / 5 + floor, "{seconds} s, {per_second}/s: {calls} of {offered}");
            assert!(calls > offered, "nothing was ever repeated");
        }
    }

    #[test]
    fn after_an_outage_the_backlog_goes_on_at_once() {
        let mut retries = Retries::default();
        let now = Timestamp::UNIX_EPOCH;
        while retries.may(now) {
            retries.start(now, true);
        }
        let now = later(now, FLOOR);
        let mut waves = 0;
        let mut done = 0;
        while done < 100 {
            let wave = u64::from(retries.left(now).min(8));
            assert!(wave > 0, "it came to a stop after {done}");
            (0..wave).for_each(|_| retries.start(now, true));
            (0..wave).for_each(|_| retries.answered());
            done += wave;
            waves += 1;
        }
        assert!(waves < 20, "{waves}");
    }
}
