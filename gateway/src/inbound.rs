//! Limits on what clients may send: so many requests per API key. Off unless configured (DECISIONS 35).
//!
//! Each process counts for itself. Only requests with a good key count: a wrong one is refused before
//! it costs anything, and cannot be guessed (256 bits), so failed attempts are not counted by address.
//! Behind a proxy all addresses would be one, and a stranger could lock everybody out.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use jiff::Timestamp;
use moka::sync::Cache;

use crate::clock::Clock;

/// The most requests per unit that can be asked for.
const MOST: u32 = 1_000_000;
/// A clock that was set back by more than this many microseconds starts all limits anew.
const SET_BACK: i64 = 1_000_000;
/// The longest unit; who was idle so long has everything again.
const LONGEST: Duration = Duration::from_secs(3600);

/// So many requests per unit of time: all at once or evenly, they come back evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    requests: NonZeroU32,
    unit: char,
}

/// A text that is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be a number from 1 to {MOST} and a unit: 50/s, 600/m or 10000/h")]
pub struct BadRate;

impl Rate {
    /// In seconds.
    fn window(self) -> u32 {
        match self.unit {
            's' => 1,
            'm' => 60,
            _ => 3600,
        }
    }

    fn quota(self) -> Option<Quota> {
        let every = Duration::from_secs(self.window().into()) / self.requests.get();
        Quota::with_period(every).map(|quota| quota.allow_burst(self.requests))
    }
}

impl FromStr for Rate {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, BadRate> {
        let (number, unit) = text.split_once('/').ok_or(BadRate)?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BadRate);
        }
        let requests = number.parse().ok().filter(|n: &NonZeroU32| n.get() <= MOST).ok_or(BadRate)?;
        let unit = match unit {
            "s" => 's',
            "m" => 'm',
            "h" => 'h',
            _ => return Err(BadRate),
        };
        Ok(Self { requests, unit })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.requests, self.unit)
    }
}

/// Where a key stands, for the headers of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Requests in a window.
    pub limit: u32,
    /// The window, in seconds.
    pub window: u32,
    /// Requests that could be sent now.
    pub left: u32,
    /// Seconds until all of them could, rounded up.
    pub full_in: u64,
    /// Set if the request is over the limit: seconds until one may come, rounded up.
    pub retry_in: Option<u64>,
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Since, StateInformationMiddleware>;

/// The limits of the keys that were used lately.
pub struct Inbound {
    clock: Clock,
    by_default: Option<Rate>,
    keys: Cache<String, Arc<Limiter>>,
    last: AtomicI64,
}

impl Inbound {
    /// No requests counted yet; keys without a limit of their own have this one.
    pub fn new(clock: Clock, by_default: Option<Rate>) -> Self {
        Self {
            clock,
            by_default,
            keys: Cache::builder().max_capacity(100_000).time_to_idle(LONGEST).build(),
            last: AtomicI64::new(i64::MIN),
        }
    }

    /// Counts a request of a key. None: no limit is set.
    pub fn count(&self, key_id: &str, own: Option<Rate>) -> Option<Standing> {
        let rate = own.or(self.by_default)?;
        let quota = rate.quota()?;
        let now = self.clock.now();
        let last = self.last.fetch_max(now.as_microsecond(), Ordering::Relaxed);
        if now.as_microsecond() < last.saturating_sub(SET_BACK) {
            self.last.store(now.as_microsecond(), Ordering::Relaxed);
            self.keys.invalidate_all();
        }
        let limiter = self.keys.get_with_by_ref(key_id, || {
            let since = Since { clock: self.clock.clone(), start: now };
            Arc::new(RateLimiter::direct_with_clock(quota, since).with_middleware::<StateInformationMiddleware>())
        });
        let (left, retry_in) = match limiter.check() {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(not_until) => (0, Some(seconds(not_until.wait_time_from(limiter.clock().now())).max(1))),
        };
        let missing = rate.requests.get().saturating_sub(left);
        Some(Standing {
            limit: rate.requests.get(),
            window: rate.window(),
            left,
            full_in: seconds(quota.replenish_interval().saturating_mul(missing)),
            retry_in,
        })
    }
}

/// Rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// governor's time: what has passed since the limiter was made, by the injected clock.
#[derive(Clone)]
struct Since {
    clock: Clock,
    start: Timestamp,
}

impl GovernorClock for Since {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::try_from(self.clock.now().duration_since(self.start)).unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        for text in ["1/s", "50/s", "600/m", "1000000/h"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        for text in
            ["", "50", "50/", "/s", "0/s", "-1/s", "+1/s", "1.5/s", "50/d", "1000001/s", "50/s ", "99999999999/s"]
        {
            assert_eq!(text.parse::<Rate>(), Err(BadRate), "{text:?}");
        }
    }

    #[test]
    fn what_is_used_up_comes_back_evenly() {
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let inbound = Inbound::new(clock.clone(), Some("60/m".parse().unwrap()));
        let count = |key: &str| inbound.count(key, None).unwrap();
        for left in (0..60).rev() {
            let want = Standing { limit: 60, window: 60, left, full_in: 60 - u64::from(left), retry_in: None };
            assert_eq!(count("a"), want);
        }
        assert_eq!(count("a"), Standing { limit: 60, window: 60, left: 0, full_in: 60, retry_in: Some(1) });
        assert_eq!(count("b").left, 59, "keys do not share");
        assert_eq!(inbound.count("c", Some("1/h".parse().unwrap())).unwrap().left, 0);
        assert_eq!(inbound.count("c", Some("1/h".parse().unwrap())).unwrap().retry_in, Some(3600));
        clock.advance(Duration::from_millis(2500));
        assert_eq!((count("a").left, count("a").left, count("a").retry_in), (1, 0, Some(1)));
        clock.advance(Duration::from_secs(3600));
        assert_eq!(count("a").left, 59);
        assert_eq!(Inbound::new(clock, None).count("a", None), None);
    }
}
