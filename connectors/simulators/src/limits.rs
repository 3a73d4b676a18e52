//! How much a simulator lets through.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;

/// What a simulated target enforces (`--limits`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limits {
    /// No rate limit, no quota, no rate headers.
    #[default]
    None,
    /// The vendor's own.
    Real,
    /// So many calls a second, then the vendor's "too many".
    PerSecond(u32),
}

impl Limits {
    /// The `pace` setting that an offer names (DESIGN section 5).
    pub fn pace(self) -> &'static str {
        match self {
            Limits::Real => "documented",
            Limits::None | Limits::PerSecond(_) => "headers",
        }
    }
}

/// Not `none`, `real` or `N/s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsError(String);

impl std::fmt::Display for LimitsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "limits are `none`, `real`, or calls a second such as `5/s`, not `{}`", self.0)
    }
}

impl std::error::Error for LimitsError {}

impl FromStr for Limits {
    type Err = LimitsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Limits::None),
            "real" => Ok(Limits::Real),
            _ => text
                .strip_suffix("/s")
                .and_then(|n| n.parse().ok())
                .filter(|&n| n > 0)
                .map(Limits::PerSecond)
                .ok_or_else(|| LimitsError(text.chars().take(40).collect())),
        }
    }
}

/// A token bucket: a burst of `per_second`, refilled evenly over a second.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    /// Nanoseconds that one call is worth.
    each: i128,
    /// Nanoseconds of calls that may be owed at once.
    depth: i128,
    /// When all that was taken will have been refilled.
    full_at: i128,
}

impl Bucket {
    pub(crate) fn new(per_second: u32) -> Self {
        let n = i128::from(per_second.max(1));
        let each = 1_000_000_000 / n;
        Self { each, depth: each * n, full_at: i128::MIN }
    }

    /// Takes one token, or says how long to wait for it.
    pub(crate) fn take(&mut self, now: Timestamp) -> Result<(), Duration> {
        let now = now.as_nanosecond();
        let after = self.full_at.max(now) + self.each;
        let over = after - now - self.depth;
        if over > 0 {
            return Err(Duration::from_nanos(u64::try_from(over).unwrap_or(u64::MAX)));
        }
        self.full_at = after;
        Ok(())
    }
}
