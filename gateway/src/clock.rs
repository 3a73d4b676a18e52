//! Time, injected. Nothing else in the gateway reads a clock, so that tests decide what time it is
//! and the engine's decisions can be replayed.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

/// A clock: the system's, or one that a test moves.
#[derive(Clone)]
pub struct Clock(Arc<Source>);

enum Source {
    System {
        /// By how much the host's clock is taken to be ahead; nothing but in tests.
        ahead: RwLock<SignedDuration>,
        /// The host's clock, as it was last read; between two readings the monotonic one counts.
        own: RwLock<Followed>,
        /// The clock that is followed in place of the host's.
        followed: RwLock<Option<Followed>>,
    },
    Manual(watch::Sender<Timestamp>),
}

/// What a clock said, and when by the host's monotonic clock.
struct Followed {
    said: Timestamp,
    at: Instant,
}

impl Followed {
    fn now(&self) -> Timestamp {
        self.said.checked_add(self.at.elapsed()).unwrap_or(Timestamp::MAX)
    }
}

/// By how much the host's clock may go back to be followed at once.
const SLIGHTLY: SignedDuration = SignedDuration::from_secs(1);

/// A point in time to measure from.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    at: Instant,
    wall: Timestamp,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::skewed(SignedDuration::ZERO)
    }

    /// The system's clock on a host whose clock is so much ahead, or behind.
    pub fn skewed(ahead: SignedDuration) -> Self {
        let own = Followed { said: host(ahead), at: Instant::now() };
        Self(Arc::new(Source::System { ahead: RwLock::new(ahead), own: RwLock::new(own), followed: RwLock::default() }))
    }

    /// A clock that stands still until [`Clock::advance`].
    pub fn manual(start: Timestamp) -> Self {
        Self(Arc::new(Source::Manual(watch::Sender::new(start))))
    }

    /// The time: the followed clock's where one is followed, else the host's.
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            Source::System { followed, own, .. } => match &*followed.read().unwrap_or_else(PoisonError::into_inner) {
                Some(followed) => followed.now(),
                None => own.read().unwrap_or_else(PoisonError::into_inner).now(),
            },
            Source::Manual(at) => *at.borrow(),
        }
    }

    /// The time as the host has it, whether it is followed or not.
    fn host(&self) -> Timestamp {
        match &*self.0 {
            Source::System { ahead, .. } => host(*ahead.read().unwrap_or_else(PoisonError::into_inner)),
            Source::Manual(at) => *at.borrow(),
        }
    }

    /// Reads the host's clock. Where it was set forward, or the host slept, this one goes along. Where it was set back,
    /// this one does not: what is due would wait for as long, leavers as well. It goes on at half its pace until the
    /// host's has caught up, and answers how far it is ahead. Call it every few seconds.
    pub fn keep_up(&self) -> Option<Duration> {
        let Source::System { own, .. } = &*self.0 else {
            return None;
        };
        let host = self.host();
        let mut own = own.write().unwrap_or_else(PoisonError::into_inner);
        let (ours, at) = (own.now(), Instant::now());
        let ahead = ours.duration_since(host);
        if ahead <= SLIGHTLY {
            *own = Followed { said: host, at };
            return None;
        }
        let ahead = ahead.unsigned_abs();
        let slower = ahead.min(at.duration_since(own.at) / 2);
        *own = Followed { said: ours.checked_sub(slower).unwrap_or(ours), at };
        Some(ahead)
    }

    /// Sets the host's clock, as this one sees it, forward or back; nothing but in tests.
    pub fn jump(&self, by: SignedDuration) {
        if let Source::System { ahead, .. } = &*self.0 {
            let mut ahead = ahead.write().unwrap_or_else(PoisonError::into_inner);
            *ahead = ahead.saturating_add(by);
        }
    }

    /// Follows another clock, which was asked at `asked` and said `said`: the time goes on from
    /// there, whatever becomes of the host's clock. A difference that the way there and back explains
    /// changes nothing. A manual clock follows none.
    pub fn follow(&self, said: Timestamp, asked: Mark) {
        let Source::System { followed, .. } = &*self.0 else {
            return;
        };
        let ours = self.now();
        let at = Instant::now();
        let latest = said.checked_add(at.duration_since(asked.at)).unwrap_or(said);
        let time = ours.clamp(said, latest);
        let mut followed = followed.write().unwrap_or_else(PoisonError::into_inner);
        if followed.is_none() || time != ours {
            *followed = Some(Followed { said: time, at });
        }
    }

    /// A point in time to measure from with [`Clock::since`].
    pub fn mark(&self) -> Mark {
        Mark { at: Instant::now(), wall: self.host() }
    }

    /// How much time has passed since then, at least: by the monotonic clock, which nobody sets, or by
    /// the host's, which goes on while a virtual machine stands still; whichever says more.
    pub fn since(&self, mark: Mark) -> Duration {
        let wall = Duration::try_from(self.host().duration_since(mark.wall)).unwrap_or_default();
        match &*self.0 {
            Source::System { .. } => mark.at.elapsed().max(wall),
            Source::Manual(_) => wall,
        }
    }

    /// The time in microseconds since 1970, as the store keeps it.
    pub fn micros(&self) -> i64 {
        self.now().as_microsecond()
    }

    /// Moves a manual clock forward; the system's clock stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(at) = &*self.0 {
            at.send_modify(|now| *now = now.checked_add(by).unwrap_or(Timestamp::MAX));
        }
    }

    /// Waits until that time. On a manual clock it waits for [`Clock::advance`].
    pub async fn sleep_until(&self, due: Timestamp) {
        match &*self.0 {
            Source::System { .. } => {
                if let Ok(wait) = Duration::try_from(due.duration_since(self.now())) {
                    tokio::time::sleep(wait).await;
                }
            }
            Source::Manual(at) => {
                let mut changes = at.subscribe();
                // The sender lives in self, so waiting cannot fail.
                let _ = changes.wait_for(|now| *now >= due).await;
            }
        }
    }

    /// Waits that long.
    pub async fn sleep(&self, wait: Duration) {
        self.sleep_until(self.now().checked_add(wait).unwrap_or(Timestamp::MAX)).await;
    }
}

/// The host's time, taken to be so much ahead.
#[allow(clippy::disallowed_methods, reason = "this is the one place that reads the system's clock")]
fn host(ahead: SignedDuration) -> Timestamp {
    Timestamp::now().checked_add(ahead).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    /// Whether the clock is as far from the host's as that, within a second.
    fn is_off_by(clock: &Clock, by: SignedDuration) -> bool {
        let off = clock.now().duration_since(Clock::system().now());
        (off - by).abs() < SignedDuration::from_secs(1)
    }

    #[test]
    fn a_clock_that_follows_another_no_longer_minds_its_hosts() {
        for ahead in [HOUR, -HOUR, SignedDuration::ZERO] {
            let clock = Clock::skewed(ahead);
            assert!(is_off_by(&clock, ahead));
            let asked = clock.mark();
            clock.follow(Clock::system().now(), asked);
            assert!(is_off_by(&clock, SignedDuration::ZERO), "{ahead}");
            assert!(clock.since(asked) < Duration::from_secs(60));
        }
    }

    #[test]
    fn a_hosts_clock_that_is_set_back_makes_nothing_wait_and_is_caught_up_with() {
        let clock = Clock::system();
        let before = clock.now();
        clock.jump(-HOUR);
        for _ in 0..3 {
            assert!(clock.keep_up().is_some_and(|ahead| ahead > Duration::from_secs(3_500)));
            assert!(clock.now() >= before - SignedDuration::from_millis(100), "time went back");
        }
        // Set back what was set forward: the hour is not lost, and not waited for.
        clock.jump(HOUR);
        assert_eq!(clock.keep_up(), None);
        assert!(is_off_by(&clock, SignedDuration::ZERO));
        clock.jump(HOUR);
        assert_eq!(clock.keep_up(), None, "a host that slept is followed at once");
        assert!(is_off_by(&clock, HOUR));
        clock.jump(-HOUR);
        assert!(clock.keep_up().is_some());
        assert!(is_off_by(&clock, HOUR));
    }

    #[test]
    fn what_the_way_to_the_other_clock_explains_changes_nothing() {
        let clock = Clock::system();
        let asked = clock.mark();
        clock.follow(clock.now(), asked);
        let before = clock.now();
        // Asked a minute ago by its own account: the answer may be that old.
        let early = Mark { at: asked.at.checked_sub(Duration::from_secs(60)).unwrap(), ..asked };
        clock.follow(before.checked_sub(Duration::from_secs(30)).unwrap(), early);
        assert!(clock.now() >= before, "a clock that need not be set back is not");
    }
}
