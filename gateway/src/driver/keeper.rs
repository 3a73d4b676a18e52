//! Which leases this replica holds: it takes its share of those that are free, carries out what each
//! is about, and hands over what is another's. Shares follow the number of replicas that live, so
//! driver keys spread by themselves when a replica starts, ends or dies.

use std::sync::Arc;
use std::time::Duration;

use connector_sdk::DriverKey;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::lease::{self, Beat, GiveUp, HOUSEKEEPING, Held, LENGTH, RENEW, Seen, Take};
use super::{Shared, pump, supervise};
use crate::clock::Mark;
use crate::store::{Priority, StoreError, Unit};

/// How long after a lease of another ended it is tried to be had.
const AFTER_END: i64 = 20_000;
/// How long the store may take over a lease until this replica looks again whether it still drives.
const PATIENCE: Duration = Duration::from_secs(5);

/// A lease that this replica holds, and what runs under it.
pub(super) struct Tenure {
    pub(super) held: Held,
    /// Cancelled when nothing more is to be begun under it.
    pub(super) stop: CancellationToken,
    /// What runs under it. It is given up when they have ended.
    pub(super) tasks: TaskTracker,
    /// Another replica's now: its tasks end, and there is nothing to give up.
    lost: bool,
}

/// Keeps this replica's leases until `stop`, then hands them over.
pub(super) async fn keep(shared: &Arc<Shared>, stop: &CancellationToken) {
    let mut reported = 0;
    while !stop.is_cancelled() {
        let wait = beat(shared, false).await;
        let holds = shared.tenures().values().filter(|tenure| !tenure.lost).count();
        if holds != reported && shared.store.is_shared() {
            tracing::info!(leases = holds, "this replica's share of the driving changed");
            reported = holds;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = shared.keeper.notified() => {}
            () = shared.clock.sleep(wait) => {}
        }
    }
    for tenure in shared.tenures().values() {
        leave(shared, tenure);
    }
    loop {
        // Leases whose runs have not ended yet are renewed until they have.
        let wait = beat(shared, true).await;
        if shared.tenures().is_empty() {
            return;
        }
        tokio::select! {
            () = shared.keeper.notified() => {}
            () = shared.clock.sleep(wait) => {}
        }
    }
}

/// Renews what is held, takes what this replica's share still lacks, and hands over what is beyond
/// it. How long until it is to be done again.
async fn beat(shared: &Arc<Shared>, leaving: bool) -> Duration {
    let asked = shared.clock.mark();
    let owner = shared.owner.clone();
    let seen = match patiently(shared, Beat { owner, shared: shared.store.is_shared(), leaving }).await {
        Ok(seen) => seen,
        Err(error) => {
            tracing::warn!(%error, "leases could not be renewed");
            for (name, tenure) in shared.tenures().iter_mut() {
                if shared.store.is_shared() && tenure.held.left(&shared.clock).is_zero() {
                    lose(shared, name, tenure);
                }
            }
            bury(shared).await;
            return RENEW / 3;
        }
    };
    shared.store.follow_clock(seen.now, asked);
    shared.store.set_alone(seen.replicas <= 1 && seen.rank == 0 && !leaving);
    for (name, epoch) in renewed(shared, &seen, asked) {
        give_up(shared, &name, epoch).await;
    }
    bury(shared).await;
    if !leaving {
        share(shared, &seen).await;
    }
    // The end of another's lease is waited for to the moment, so that a dead replica's driver keys
    // rest no longer than the lease lasts.
    let next_end = seen.others.values().copied().chain(seen.former).min();
    let until_end = next_end.and_then(|end| u64::try_from(end - seen.now + AFTER_END).ok()).map(Duration::from_micros);
    until_end.map_or(RENEW, |wait| wait.min(RENEW))
}

/// Notes which leases were renewed, and which are lost. Answers those that are this replica's without
/// its knowledge: it did not hear that it got them, or stopped driving while it could not renew them.
/// What was begun under such an epoch is only freed by the next one.
fn renewed(shared: &Arc<Shared>, seen: &Seen, asked: Mark) -> Vec<(String, i64)> {
    let mut tenures = shared.tenures();
    for (name, tenure) in tenures.iter_mut() {
        if seen.mine.get(name) == Some(&tenure.held.epoch) {
            tenure.held.since = asked;
        } else if !tenure.lost {
            lose(shared, name, tenure);
        }
    }
    let unknown = seen.mine.iter().filter(|(name, _)| !tenures.contains_key(*name));
    unknown.map(|(name, epoch)| (name.clone(), *epoch)).collect()
}

/// Takes and hands over, so that this replica holds its share.
async fn share(shared: &Arc<Shared>, seen: &Seen) {
    let quota = lease::share(seen.wanted.len(), seen.replicas, seen.rank);
    let mut holds = 0;
    {
        let tenures = shared.tenures();
        let mut names: Vec<&String> = tenures.keys().collect();
        names.sort();
        for name in names {
            let tenure = &tenures[name];
            if tenure.lost || tenure.stop.is_cancelled() {
                continue;
            }
            if seen.wanted.contains(name) && holds < quota {
                holds += 1;
            } else {
                leave(shared, tenure);
            }
        }
    }
    if seen.former.is_some() {
        return;
    }
    for name in &seen.wanted {
        if holds >= quota {
            return;
        }
        if seen.others.contains_key(name) || shared.tenures().contains_key(name) {
            continue;
        }
        let asked = shared.clock.mark();
        let take = Take { name: name.clone(), owner: shared.owner.clone(), force: !shared.store.is_shared() };
        match patiently(shared, take).await {
            Ok(Some(epoch)) => {
                begin(shared, name.clone(), Held { epoch, since: asked });
                holds += 1;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, lease = %name, "a lease could not be taken"),
        }
    }
}

/// Starts what a lease is about.
fn begin(shared: &Arc<Shared>, name: String, held: Held) {
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    tracing::debug!(lease = %name, epoch = held.epoch, "taken");
    let tenure = Tenure { held, stop: stop.clone(), tasks: tasks.clone(), lost: false };
    shared.tenures().insert(name.clone(), tenure);
    if let Some(key) = name.strip_prefix("key:") {
        let key = DriverKey::new(key);
        // What another replica used of the limits meanwhile stands in the store.
        shared.gauge(&key).read_rows_again();
        tasks.spawn(pump::pump(shared.clone(), key, stop));
    } else if name == HOUSEKEEPING {
        tasks.spawn(supervise(shared.clone(), stop, tasks.clone(), held.epoch));
    }
    shared.supervisor.notify_one();
}

/// Begins nothing more under a lease. It is given up when what runs has ended.
fn leave(shared: &Arc<Shared>, tenure: &Tenure) {
    if tenure.tasks.is_closed() {
        return;
    }
    tenure.stop.cancel();
    tenure.tasks.close();
    let (shared, tasks) = (shared.clone(), tenure.tasks.clone());
    tokio::spawn(async move {
        tasks.wait().await;
        shared.keeper.notify_one();
    });
}

fn lose(shared: &Arc<Shared>, name: &str, tenure: &mut Tenure) {
    if !tenure.lost {
        tracing::warn!(lease = %name, "the lease is another replica's now, or ran out; this one stops driving under it");
        tenure.lost = true;
        leave(shared, tenure);
    }
}

/// Gives up the leases under which nothing runs any more.
async fn bury(shared: &Arc<Shared>) {
    let ended: Vec<(String, i64, bool)> = {
        let tenures = shared.tenures();
        let ended = tenures.iter().filter(|(_, tenure)| tenure.tasks.is_closed() && tenure.tasks.is_empty());
        ended.map(|(name, tenure)| (name.clone(), tenure.held.epoch, tenure.lost)).collect()
    };
    for (name, epoch, lost) in ended {
        if !lost {
            if let Some(key) = name.strip_prefix("key:")
                && let Err(error) = shared.hand_over_budget(&DriverKey::new(key)).await
            {
                tracing::warn!(%error, lease = %name, "what is used of the target's limits could not be handed over");
            }
            give_up(shared, &name, epoch).await;
        }
        shared.tenures().remove(&name);
    }
}

async fn give_up(shared: &Shared, name: &str, epoch: i64) {
    let unit = GiveUp { name: name.to_owned(), owner: shared.owner.clone(), epoch };
    if let Err(error) = patiently(shared, unit).await {
        tracing::warn!(%error, lease = %name, "a lease could not be given up; it ends by itself");
    }
}

/// A write that is not waited for for ever: a replica whose database hangs must notice that its leases
/// end.
async fn patiently<U: Unit<Err = StoreError>>(shared: &Shared, unit: U) -> Result<U::Out, StoreError> {
    let patience = if shared.store.is_shared() { PATIENCE } else { LENGTH * 8 };
    tokio::select! {
        done = shared.store.write(Priority::Driver, unit) => done,
        () = shared.clock.sleep(patience) => Err(StoreError::Unavailable("the database took too long".to_owned())),
    }
}
