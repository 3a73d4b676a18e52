//! Prepared statements that a change of the schema left behind. While replicas are upgraded one by one, a newer one
//! may change a column under the statements of an older one; PostgreSQL then refuses those for as long as their
//! connection lives. So the first refusal ends all connections that were made before it.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// When the last refusal was seen.
static SEEN: Mutex<Option<Instant>> = Mutex::new(None);

/// Notes a refusal.
pub(super) fn seen() {
    *SEEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
}

/// Whether a connection that is so old may have prepared its statements before the last refusal.
pub(super) fn is_stale(age: Duration) -> bool {
    let seen = *SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    seen.is_some_and(|at| at.elapsed() <= age)
}
