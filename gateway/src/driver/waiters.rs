//! Requests that wait for the driver to settle what they asked for (DECISIONS 8).

use std::collections::HashMap;
use std::sync::Mutex;

use connector_sdk::FaultKind;
use tokio::sync::oneshot;

/// What became of a revision, as far as its client should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The target agrees.
    Done,
    /// It goes on later: accepted and converging.
    Later,
    /// The target refused it for good.
    Refused {
        /// Why.
        kind: FaultKind,
        /// For the admin of the identity provider.
        message: String,
    },
}

/// The waiting requests of this process, by resource.
#[derive(Default)]
pub(super) struct Waiters(Mutex<Waiting>);

/// By resource: the revision waited for, and the way to tell.
type Waiting = HashMap<i64, Vec<(i64, oneshot::Sender<Settlement>)>>;

/// A request's place among those who wait, given back however it ends.
pub(super) struct Place<'a> {
    pub(super) waiters: &'a Waiters,
    pub(super) resource: i64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiters.sweep(self.resource);
    }
}

impl Waiters {
    /// Waits for a revision of a resource.
    pub(super) fn register(&self, resource: i64, rev: i64) -> oneshot::Receiver<Settlement> {
        let (sender, receiver) = oneshot::channel();
        self.lock().entry(resource).or_default().push((rev, sender));
        receiver
    }

    /// Tells everyone who waits for a revision up to this one. Requests that went away are dropped.
    pub(super) fn tell(&self, resource: i64, rev: i64, settlement: &Settlement) {
        let mut waiting = self.lock();
        if let Some(list) = waiting.get_mut(&resource) {
            let all = std::mem::take(list);
            for (wanted, sender) in all {
                if wanted <= rev {
                    let _ = sender.send(settlement.clone());
                } else if !sender.is_closed() {
                    list.push((wanted, sender));
                }
            }
            if list.is_empty() {
                waiting.remove(&resource);
            }
        }
    }

    /// Forgets requests that stopped waiting.
    fn sweep(&self, resource: i64) {
        let mut waiting = self.lock();
        if let Some(list) = waiting.get_mut(&resource) {
            list.retain(|(_, sender)| !sender.is_closed());
            if list.is_empty() {
                waiting.remove(&resource);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
