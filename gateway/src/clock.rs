//! Time, injected. Nothing else in the gateway reads a clock, so that tests decide what time it is
//! and the engine's decisions can be replayed.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

/// A clock: the system's, or one that a test moves.
#[derive(Clone)]
pub struct Clock(Arc<Source>);

enum Source {
    System,
    Manual(watch::Sender<Timestamp>),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Arc::new(Source::System))
    }

    /// A clock that stands still until [`Clock::advance`].
    pub fn manual(start: Timestamp) -> Self {
        Self(Arc::new(Source::Manual(watch::Sender::new(start))))
    }

    /// The time.
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the system's clock")]
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            Source::System => Timestamp::now(),
            Source::Manual(at) => *at.borrow(),
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
            Source::System => {
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
