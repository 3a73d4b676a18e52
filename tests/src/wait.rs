//! Waiting for a condition. The only place in the tests that lets time pass.

use std::time::{Duration, Instant};

/// Between two looks.
const STEP: Duration = Duration::from_millis(20);

/// Looks until `look` answers `Some`, and gives that back.
///
/// The bound is there so that a defect ends the run; it is not a measure: choose it ten times what
/// the slowest machine would need.
///
/// # Panics
/// When the bound has passed; says `what` was waited for.
pub async fn wait_until<T>(what: &str, bound: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < bound, "waited {} s in vain until {what}", bound.as_secs());
        tokio::time::sleep(STEP).await;
    }
}
