//! The simulators' time: invitations, tokens and rate windows expire by it.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// The time of a simulator, which a test can move forward. Clones share it.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Mutex<Source>>);

#[derive(Clone, Copy, Debug)]
enum Source {
    /// The machine's time plus what was added.
    System(SignedDuration),
    /// Stands still until it is moved.
    Manual(Timestamp),
}

impl Clock {
    /// The machine's time.
    pub fn system() -> Self {
        Self(Arc::new(Mutex::new(Source::System(SignedDuration::ZERO))))
    }

    /// A time that stands still until [`Clock::advance`].
    pub fn manual(start: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Source::Manual(start))))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Source::System(ahead) => machine().saturating_add(ahead).unwrap_or(Timestamp::MAX),
            Source::Manual(now) => now,
        }
    }

    /// Moves the time forward; it stops at the end of time.
    pub fn advance(&self, by: SignedDuration) {
        let mut source = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *source = match *source {
            Source::System(ahead) => Source::System(ahead.saturating_add(by)),
            Source::Manual(now) => Source::Manual(now.saturating_add(by).unwrap_or(Timestamp::MAX)),
        };
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the injected clock of the simulators")]
fn machine() -> Timestamp {
    Timestamp::now()
}
