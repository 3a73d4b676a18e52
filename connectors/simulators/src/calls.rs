//! The ledger: every call of the target's own API, oldest first.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::Serialize;

/// So many calls are kept; beyond that the oldest go, so that a long soak has a bounded memory.
const KEPT: usize = 1_000_000;

/// One call, as `GET /_sim/calls` shows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Call {
    /// Its number, from 1.
    pub(crate) n: u64,
    pub(crate) method: String,
    /// Path and query as sent.
    pub(crate) path: String,
    /// The answer's status; 0 while there is none, and for ever if the connection was dropped
    /// before the work.
    pub(crate) status: u16,
    /// When it arrived.
    pub(crate) at: Timestamp,
}

#[derive(Debug, Default)]
pub(crate) struct Calls {
    kept: VecDeque<Call>,
    arrived: u64,
}

impl Calls {
    /// Notes an arrival and gives its number.
    pub(crate) fn arrive(&mut self, method: &str, path: &str, at: Timestamp) -> u64 {
        self.arrived += 1;
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Call {
            n: self.arrived,
            method: method.to_owned(),
            path: path.to_owned(),
            status: 0,
            at,
        });
        self.arrived
    }

    /// Notes how call `n` was answered.
    pub(crate) fn answered(&mut self, n: u64, status: u16) {
        let first = self.kept.front().map_or(n, |call| call.n);
        let index = n.checked_sub(first).and_then(|i| usize::try_from(i).ok());
        if let Some(call) = index.and_then(|i| self.kept.get_mut(i)) {
            call.status = status;
        }
    }

    /// The calls after number `after`.
    pub(crate) fn after(&self, after: u64) -> impl Iterator<Item = &Call> {
        self.kept.iter().filter(move |call| call.n > after)
    }
}
