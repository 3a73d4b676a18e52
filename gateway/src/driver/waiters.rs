//! Requests that wait for the driver to settle what they asked for (DECISIONS 8).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use connector_sdk::FaultKind;
use tokio::sync::{Notify, oneshot};

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
type Waiting = HashMap<i64, Vec<Waiter>>;

struct Waiter {
    rev: i64,
    told: oneshot::Sender<Settlement>,
    look: Arc<Notify>,
}

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
    /// Waits for a revision of a resource: to be told what became of it, or to look at the store.
    pub(super) fn register(&self, resource: i64, rev: i64) -> (oneshot::Receiver<Settlement>, Arc<Notify>) {
        let (told, receiver) = oneshot::channel();
        let look = Arc::new(Notify::new());
        self.lock().entry(resource).or_default().push(Waiter { rev, told, look: look.clone() });
        (receiver, look)
    }

    /// Has those who wait for a resource look at the store: another replica put its work down.
    pub(super) fn nudge(&self, resource: i64) {
        for waiter in self.lock().get(&resource).into_iter().flatten() {
            waiter.look.notify_one();
        }
    }

    /// Has everybody who waits look at the store.
    pub(super) fn nudge_all(&self) {
        for waiter in self.lock().values().flatten() {
            waiter.look.notify_one();
        }
    }

    /// Tells everyone who waits for a revision up to this one. Requests that went away are dropped.
    pub(super) fn tell(&self, resource: i64, rev: i64, settlement: &Settlement) {
        let mut waiting = self.lock();
        if let Some(list) = waiting.get_mut(&resource) {
            let all = std::mem::take(list);
            for waiter in all {
                if waiter.rev <= rev {
                    let _ = waiter.told.send(settlement.clone());
                } else if !waiter.told.is_closed() {
                    list.push(waiter);
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
            list.retain(|waiter| !waiter.told.is_closed());
            if list.is_empty() {
                waiting.remove(&resource);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
