//! The breaker of one driver key: after repeated outages it stops calls, and lets single ones
//! through to see whether the target is back. A state machine without a clock: the caller says what
//! time it is and brings the randomness.

use std::time::Duration;

use engine::Lane;
use jiff::Timestamp;
use serde::Serialize;

/// Outages in a row that open the breaker.
pub const FAILURES_TO_OPEN: u32 = 5;
/// The wait before the first probe, and between two probes by deprovisions.
pub const FIRST_WAIT: Duration = Duration::from_secs(5);
/// The longest wait between two probes.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Leave to send one call. Hand it back with [`Breaker::report`] or [`Breaker::abandon`].
#[derive(Debug, PartialEq, Eq)]
pub enum Pass {
    /// The breaker is closed.
    Through,
    /// The breaker is open and this call finds out whether it may close.
    Probe,
    /// The same, for a deprovision, which does not wait for the doubled time.
    UrgentProbe,
    /// A person asks whether the target is there, and is told by a call, whatever the breaker says. If it is, the breaker
    /// closes.
    Asked,
}

/// The breaker.
#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: Timestamp,
    wait: Duration,
    probe_at: Timestamp,
    urgent_at: Timestamp,
    probing: bool,
    probing_urgently: bool,
}

/// What the admin API shows of a breaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BreakerView {
    /// `closed`, `open`, or `half_open` while a probe is under way.
    pub state: &'static str,
    /// Outages in a row.
    pub failures: u32,
    /// Since when it is open.
    pub since: Option<Timestamp>,
    /// When the next probe may go.
    pub next_probe_at: Option<Timestamp>,
}

impl Breaker {
    /// Until when there is no leave for a lane; `None` if asking now would get one. Deprovisions probe
    /// by a cadence of their own.
    pub fn rests(&self, now: Timestamp, lane: Lane) -> Option<Timestamp> {
        let open = self.open.as_ref()?;
        if now >= open.probe_at && !open.probing {
            return None;
        }
        let soon = later(now, Duration::from_secs(1));
        if lane == Lane::Deprovision {
            let free = now >= open.urgent_at && !open.probing_urgently;
            return (!free).then(|| open.urgent_at.max(soon));
        }
        Some(open.probe_at.max(soon))
    }

    /// Asks for leave to send a call.
    ///
    /// # Errors
    /// The time from which asking again makes sense.
    pub fn ask(&mut self, now: Timestamp, lane: Lane) -> Result<Pass, Timestamp> {
        if let Some(at) = self.rests(now, lane) {
            return Err(at);
        }
        let Some(open) = &mut self.open else {
            return Ok(Pass::Through);
        };
        if now >= open.probe_at && !open.probing {
            open.probing = true;
            return Ok(Pass::Probe);
        }
        open.probing_urgently = true;
        Ok(Pass::UrgentProbe)
    }

    /// Since when it is open.
    pub fn opened_since(&self) -> Option<Timestamp> {
        self.open.as_ref().map(|open| open.since)
    }

    /// Goes on from where another replica's was: open, with the next probe then.
    pub fn resume(&mut self, now: Timestamp, probe_at: Timestamp) {
        if self.open.is_none() && probe_at > now {
            let probe_at = probe_at.min(later(now, LONGEST_WAIT));
            let (wait, urgent_at) = (FIRST_WAIT, later(now, FIRST_WAIT).min(probe_at));
            self.failures = FAILURES_TO_OPEN;
            self.open = Some(Open { since: now, wait, probe_at, urgent_at, probing: false, probing_urgently: false });
        }
    }

    /// Tells how a call went: `up` unless the target was unavailable or did not answer in time.
    /// `jitter` is random, from 0 to 1: it makes waits up to a quarter longer, so that replicas do
    /// not probe together. Answers whether the breaker has just opened.
    pub fn report(&mut self, now: Timestamp, pass: Pass, up: bool, jitter: f64) -> bool {
        if up {
            self.failures = 0;
            self.open = None;
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        let wait = match &self.open {
            None if self.failures >= FAILURES_TO_OPEN => FIRST_WAIT,
            None => return false,
            Some(open) => match pass {
                Pass::Probe => (open.wait * 2).min(LONGEST_WAIT),
                Pass::UrgentProbe => open.wait,
                // It was sent before the breaker opened, or beside its probes, and says nothing new.
                Pass::Through | Pass::Asked => return false,
            },
        };
        let next = later(now, wait.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0));
        let urgent_at = later(now, FIRST_WAIT);
        match &mut self.open {
            None => {
                self.open =
                    Some(Open { since: now, wait, probe_at: next, urgent_at, probing: false, probing_urgently: false });
                true
            }
            Some(open) => {
                open.urgent_at = urgent_at;
                if pass == Pass::Probe {
                    open.wait = wait;
                    open.probe_at = next;
                    open.probing = false;
                } else {
                    open.probing_urgently = false;
                }
                false
            }
        }
    }

    /// Hands a pass back unused: the call was not sent, or nobody waited for its end.
    pub fn abandon(&mut self, pass: Pass) {
        if let Some(open) = &mut self.open {
            match pass {
                Pass::Through | Pass::Asked => {}
                Pass::Probe => open.probing = false,
                Pass::UrgentProbe => open.probing_urgently = false,
            }
        }
    }

    /// What the admin API shows.
    pub fn view(&self) -> BreakerView {
        let state = match &self.open {
            None => "closed",
            Some(open) if open.probing || open.probing_urgently => "half_open",
            Some(_) => "open",
        };
        BreakerView {
            state,
            failures: self.failures,
            since: self.open.as_ref().map(|open| open.since),
            next_probe_at: self.open.as_ref().map(|open| open.probe_at),
        }
    }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        for n in 1..=FAILURES_TO_OPEN {
            let pass = breaker.ask(at(0), Lane::Grant).unwrap();
            assert_eq!(pass, Pass::Through);
            assert_eq!(breaker.report(at(0), pass, false, 0.0), n == FAILURES_TO_OPEN);
        }
        breaker
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_a_success_between_does_not() {
        let mut breaker = Breaker::default();
        for n in 0..20 {
            let pass = breaker.ask(at(0), Lane::Grant).unwrap();
            breaker.report(at(0), pass, n % 5 == 4, 0.0);
        }
        assert_eq!(breaker.view().state, "closed");
        assert_eq!(opened().view().state, "open");
        assert_eq!(opened().ask(at(0), Lane::Grant), Err(at(5)));
    }

    #[test]
    fn probes_come_after_5_10_20_40_60_60_seconds() {
        let mut breaker = opened();
        let mut now = 0;
        for wait in [5, 10, 20, 40, 60, 60] {
            assert_eq!(breaker.ask(at(now + wait - 1), Lane::Grant), Err(at(now + wait)));
            now += wait;
            assert_eq!(breaker.ask(at(now), Lane::Grant), Ok(Pass::Probe));
            assert_eq!(breaker.view().state, "half_open");
            assert!(breaker.ask(at(now), Lane::Grant).is_err(), "two probes at once");
            breaker.report(at(now), Pass::Probe, false, 0.0);
        }
        assert_eq!(breaker.view().since, Some(at(0)));
    }

    #[test]
    fn jitter_only_lengthens() {
        let mut breaker = opened();
        assert_eq!(breaker.ask(at(5), Lane::Grant), Ok(Pass::Probe));
        breaker.report(at(5), Pass::Probe, false, 1.0);
        assert_eq!(breaker.view().next_probe_at, Some(later(at(5), Duration::from_millis(12_500))));
    }

    #[test]
    fn one_success_closes_it() {
        for pass in [Pass::Probe, Pass::UrgentProbe, Pass::Through] {
            let mut breaker = opened();
            breaker.report(at(1), pass, true, 0.0);
            assert_eq!(breaker.view(), Breaker::default().view());
            assert_eq!(breaker.ask(at(1), Lane::Bulk), Ok(Pass::Through));
        }
    }

    #[test]
    fn deprovisions_probe_every_five_seconds_however_long_the_others_wait() {
        let mut breaker = opened();
        for now in [5, 15, 35] {
            assert_eq!(breaker.ask(at(now), Lane::Grant), Ok(Pass::Probe));
            breaker.report(at(now), Pass::Probe, false, 0.0);
        }
        for now in [40, 45, 50] {
            assert_eq!(breaker.ask(at(now - 1), Lane::Deprovision), Err(at(now)));
            assert_eq!(breaker.ask(at(now), Lane::Deprovision), Ok(Pass::UrgentProbe));
            assert!(breaker.ask(at(now), Lane::Deprovision).is_err(), "two probes at once");
            breaker.report(at(now), Pass::UrgentProbe, false, 0.0);
            assert_eq!(breaker.ask(at(now), Lane::Grant), Err(at(75)));
        }
    }

    #[test]
    fn an_abandoned_probe_leaves_room_for_the_next() {
        let mut breaker = opened();
        let pass = breaker.ask(at(5), Lane::Grant).unwrap();
        breaker.abandon(pass);
        assert_eq!(breaker.view().state, "open");
        assert_eq!(breaker.ask(at(5), Lane::Grant), Ok(Pass::Probe));
    }

    #[test]
    fn what_a_person_asks_is_sent_while_it_is_open_and_only_an_answer_counts() {
        let mut breaker = opened();
        let before = breaker.view();
        breaker.report(at(1), Pass::Asked, false, 0.0);
        assert_eq!(breaker.view(), BreakerView { failures: before.failures + 1, ..before });
        breaker.report(at(2), Pass::Asked, true, 0.0);
        assert_eq!(breaker.view().state, "closed");
    }

    #[test]
    fn a_late_failure_of_an_earlier_call_does_not_lengthen_the_wait() {
        let mut breaker = opened();
        breaker.report(at(4), Pass::Through, false, 1.0);
        assert_eq!(breaker.ask(at(5), Lane::Grant), Ok(Pass::Probe));
    }
}
