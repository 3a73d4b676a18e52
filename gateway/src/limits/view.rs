//! Budgets as the admin API shows them.

use connector_sdk::DriverKey;
use engine::Lane;
use jiff::Timestamp;
use serde::Serialize;

use super::BreakerView;

/// A bucket, as the admin API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BucketView {
    /// Its name.
    pub name: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Units of a window; absent until the target told.
    pub limit: Option<u32>,
    /// Units used in this window, where known.
    pub used: Option<u32>,
    /// Units left in this window, where known.
    pub remaining: Option<u32>,
    /// When the window ends; a short one frees its oldest charge then.
    pub window_ends_at: Option<Timestamp>,
    /// Until when the target says nothing is left.
    pub blocked_until: Option<Timestamp>,
    /// Calls under way.
    pub under_way: u32,
}

/// How many calls of a lane wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WaitingView {
    /// The lane.
    pub lane: Lane,
    /// The calls.
    pub calls: usize,
}

/// A budget, as `GET /budgets` gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BudgetView {
    /// What the limits follow.
    pub driver_key: DriverKey,
    /// Until when the target asked us to stop altogether.
    pub blocked_until: Option<Timestamp>,
    /// The buckets.
    pub buckets: Vec<BucketView>,
    /// Who waits, best lane first; lanes without waiters are left out.
    pub waiting: Vec<WaitingView>,
    /// The breaker.
    pub breaker: BreakerView,
    /// The least time between two calls, in milliseconds, learned from refusals; none is learned while
    /// the target refuses nothing.
    pub pace_ms: Option<u64>,
    /// How many runs that failed may be repeated right away.
    pub retries_left: u32,
}
