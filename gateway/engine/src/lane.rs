//! Lanes: who goes first within one target's budget (DECISIONS 26).

use serde::{Deserialize, Serialize};

/// A priority within a budget. Lower numbers go first; work that changes keeps its best lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum Lane {
    /// A person loses access. Overtakes everything and is retried without end.
    Deprovision = 0,
    /// A person loses a membership.
    Removal = 1,
    /// A person gains something.
    Grant = 2,
    /// Grants of an instance with a long backlog.
    Bulk = 3,
    /// Comparing with the target.
    Reconcile = 4,
}

impl Lane {
    /// Every lane, first to last.
    pub const ALL: [Self; 5] = [Self::Deprovision, Self::Removal, Self::Grant, Self::Bulk, Self::Reconcile];

    /// The number that the store keeps.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// The lane of a stored number; an unknown one is the last.
    pub fn from_number(number: i16) -> Self {
        Self::ALL.into_iter().find(|lane| lane.number() == number).unwrap_or(Self::Reconcile)
    }
}
