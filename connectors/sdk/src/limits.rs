//! What a target's API allows, as data. The gateway paces by it; connectors only declare, charge
//! and read.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The setting `pace`, common to all connectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// The vendor's published limits, corrected by what the target says.
    #[default]
    Documented,
    /// Only what the target says.
    Headers,
}

/// Where a bucket's fill is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// In memory, empty at take-over: for windows of a minute or less.
    Memory,
    /// In a row, debited with the attempt: for hours and days.
    Row,
    /// Nowhere: it is how much there is at the target now (pending invitations). It does not come
    /// back with time but when something ends there, so it is counted before it is charged.
    Standing,
}

/// One limit of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Bucket {
    /// Its stable name, used in [`Charge`] and [`Reading`].
    pub name: &'static str,
    /// For the admin, with the vendor's page it comes from.
    pub title: &'static str,
    /// How many units a window allows; `None`: unknown until the target says (pace `headers`).
    pub units: Option<u32>,
    /// The window.
    pub per: Duration,
    /// The least time between two charged calls.
    pub gap: Duration,
    /// How many charged calls may be under way at once; 0: no bound.
    pub at_once: u32,
    /// Where its fill is kept.
    pub window: Window,
}

impl Bucket {
    /// A bucket of `units` per `per`, in memory up to a minute, else in a row.
    pub fn new(name: &'static str, title: &'static str, units: u32, per: Duration) -> Self {
        let window = if per <= Duration::from_secs(60) { Window::Memory } else { Window::Row };
        Self { name, title, units: Some(units), per, gap: Duration::ZERO, at_once: 0, window }
    }

    /// A bucket that only the target's headers fill.
    pub fn unknown(name: &'static str, title: &'static str) -> Self {
        Self { units: None, ..Self::new(name, title, 0, Duration::from_secs(60)) }
    }

    /// A cap on how much there may be at a time, such as pending invitations.
    pub fn standing(name: &'static str, title: &'static str, units: u32) -> Self {
        Self { window: Window::Standing, ..Self::new(name, title, units, Duration::ZERO) }
    }

    /// Sets the least time between two charged calls.
    pub fn gap(mut self, gap: Duration) -> Self {
        self.gap = gap;
        self
    }

    /// Sets how many charged calls may be under way at once.
    pub fn at_once(mut self, calls: u32) -> Self {
        self.at_once = calls;
        self
    }
}

/// What one call costs in one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The bucket's name.
    pub bucket: &'static str,
    /// Units.
    pub units: u32,
}

/// What an answer's headers say of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The bucket's name.
    pub bucket: &'static str,
    /// The limit of the window, where told.
    pub limit: Option<u32>,
    /// Units left in the window.
    pub remaining: u32,
    /// When the window ends.
    pub resets_at: Timestamp,
}
