//! What a pump runs next: due work of enabled instances, best lane first, and within a lane the
//! instances of a driver key in turn, so that one instance's backlog is nobody else's.

use std::collections::HashMap;

use connector_sdk::DriverKey;
use engine::Lane;
use jiff::Timestamp;

use super::{POLL, Shared};
use crate::store::{Priority, Rows, Sql, StoreError, Tx, Unit};

/// Work rows read at a time.
const READ: i64 = 64;
/// The same, of each instance where several share a driver key.
const READ_EACH: i64 = 10;

/// What a pump has room for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Any,
    Urgent,
    None,
}

/// What runs: by resource, of which instance and in which lane.
pub(super) type Flying = HashMap<i64, (i64, Lane)>;

/// A piece of work that may run now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    pub(super) resource: i64,
    pub(super) instance: i64,
    pub(super) lane: Lane,
    /// Whether it failed before.
    pub(super) repeats: bool,
    /// Whether the instance's credential is dead, and this looks whether it lives again.
    pub(super) looks: bool,
    due_at: i64,
}

pub(super) struct Due {
    pub(super) work: Vec<Chosen>,
    pub(super) next_due: Option<Timestamp>,
}

impl Due {
    fn nothing(next_due: Option<Timestamp>) -> Self {
        Self { work: Vec::new(), next_due }
    }
}

/// An instance whose work may run.
struct Served {
    seq: i64,
    /// Its credential is dead; a look is due.
    looks: bool,
}

/// Due work, without what runs already. Nothing while the target asked to be left alone; deprovisions
/// alone where only their probe of a target that is down is due.
pub(super) async fn due(shared: &Shared, key: &DriverKey, flying: &Flying, room: Room) -> Result<Due, StoreError> {
    let now = shared.clock.micros();
    if !shared.held_key(key).is_some_and(|held| shared.may_send(key, held.epoch)) {
        return Ok(Due::nothing(shared.clock.now().checked_add(POLL).ok()));
    }
    let budget = shared.budgets.known(key);
    let rests = |lane| budget.as_ref().and_then(|budget| budget.rests(lane));
    let resting = rests(Lane::Reconcile);
    if let Some(until) = rests(Lane::Deprovision) {
        return Ok(Due::nothing(Some(resting.map_or(until, |other| other.min(until)))));
    }
    let room = if resting.is_some() && room == Room::Any { Room::Urgent } else { room };
    if room == Room::None {
        return Ok(Due::nothing(None));
    }
    let (served, next_look) = served(shared, key, now).await?;
    let last = if room == Room::Urgent { Lane::Deprovision } else { Lane::Reconcile };
    // A fifth of what is asked may be repetitions; who leaves waits for no such share.
    let repeats = budget.as_ref().is_none_or(|budget| budget.may_repeat());
    let query = Query { now, last, repeats };
    let mut found = query.read(shared, &served, READ).await?;
    if served.len() > 1 && i64::try_from(found.len()).unwrap_or(i64::MAX) >= READ {
        // More than was read: some instance may not have been seen at all.
        found.clear();
        for one in &served {
            found.extend(query.read(shared, std::slice::from_ref(one), READ_EACH).await?);
        }
    }
    let none = found.is_empty();
    let work = in_turn(found, flying);
    let next_due = if none {
        let row = shared
            .store
            .driving()
            .one(
                "SELECT MIN(due_at) AS due FROM work WHERE driver_key = $1 AND lane <= $3 AND state IN ('todo','waiting','needs') AND due_at > $2",
                vals![key.as_str(), now, last.number()],
            )
            .await?;
        row.map_or(Ok(None), |row| row.col::<Option<i64>>("due"))?.and_then(|due| Timestamp::from_microsecond(due).ok())
    } else {
        None
    };
    let next_look = next_look.and_then(|at| Timestamp::from_microsecond(at).ok());
    Ok(Due { work, next_due: [next_due, resting, next_look].into_iter().flatten().min() })
}

/// Has what takes access away tried now that waited for a target to be back. A call whose outcome nobody knows waits on: it
/// may still arrive.
pub(super) async fn leavers_are_due(shared: &Shared, key: &DriverKey) -> Result<(), StoreError> {
    struct Due {
        key: DriverKey,
    }

    #[async_trait::async_trait]
    impl Unit for Due {
        type Out = ();
        type Err = StoreError;

        async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
            tx.conn
                .run(
                    "UPDATE work SET due_at = $2 WHERE driver_key = $1 AND lane <= $3 AND state = 'waiting' AND need = 'unavailable' AND due_at > $2 \
                     AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.resource_seq = work.resource_seq AND a.state = 'unknown')",
                    vals![self.key.as_str(), tx.now, Lane::Removal.number()],
                )
                .await?;
            Ok(())
        }
    }

    shared.store.write(Priority::Driver, Due { key: key.clone() }).await
}

/// The enabled instances of a driver key whose credential lives or is due to be looked at; and when the
/// next look at another is.
async fn served(shared: &Shared, key: &DriverKey, now: i64) -> Result<(Vec<Served>, Option<i64>), StoreError> {
    let rows = shared
        .store
        .driving()
        .all(
            "SELECT seq, degraded_since, look_at FROM instance WHERE driver_key = $1 AND mode = 'enabled' AND verify_since IS NULL AND deleted_at IS NULL ORDER BY seq",
            vals![key.as_str()],
        )
        .await?;
    let mut served = Vec::with_capacity(rows.len());
    let mut next_look: Option<i64> = None;
    for row in &rows {
        let degraded = row.col::<Option<i64>>("degraded_since")?.is_some();
        let look_at = row.col::<Option<i64>>("look_at")?.unwrap_or(0);
        if degraded && look_at > now {
            next_look = Some(next_look.map_or(look_at, |at| at.min(look_at)));
        } else {
            served.push(Served { seq: row.col("seq")?, looks: degraded });
        }
    }
    Ok((served, next_look))
}

struct Query {
    now: i64,
    last: Lane,
    repeats: bool,
}

impl Query {
    async fn read(&self, shared: &Shared, served: &[Served], limit: i64) -> Result<Vec<Chosen>, StoreError> {
        if served.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = served.iter().map(|one| one.seq.to_string()).collect();
        let ids = ids.join(",");
        let fresh = if self.repeats { "" } else { " AND (w.tries = 0 OR w.lane = 0)" };
        let rows = shared
            .store
            .driving()
            .all(
                &format!(
                    "SELECT w.resource_seq, w.instance_seq, w.lane, w.due_at, w.tries FROM work w \
                     WHERE w.instance_seq IN ({ids}) AND w.state IN ('todo','waiting','needs') AND w.due_at <= $1 AND w.lane <= $3{fresh} \
                     AND NOT EXISTS (SELECT 1 FROM work b WHERE b.resource_seq = w.after_seq) \
                     ORDER BY w.lane, w.due_at LIMIT $2"
                ),
                vals![self.now, limit, self.last.number()],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let instance: i64 = row.col("instance_seq")?;
                Ok(Chosen {
                    resource: row.col("resource_seq")?,
                    instance,
                    lane: Lane::from_number(row.col("lane")?),
                    repeats: row.col::<i64>("tries")? > 0,
                    looks: served.iter().any(|one| one.seq == instance && one.looks),
                    due_at: row.col("due_at")?,
                })
            })
            .collect()
    }
}

/// Best lane first; within a lane the first of each instance, then the second of each. What runs
/// already counts as an instance's turn.
fn in_turn(mut found: Vec<Chosen>, flying: &Flying) -> Vec<Chosen> {
    found.retain(|one| !flying.contains_key(&one.resource));
    found.sort_by_key(|one| (one.lane, one.due_at, one.resource));
    let mut turns: HashMap<(i64, Lane), usize> = HashMap::new();
    for (instance, lane) in flying.values() {
        *turns.entry((*instance, *lane)).or_default() += 1;
    }
    let mut placed: Vec<(usize, Chosen)> = found
        .into_iter()
        .map(|one| {
            let turn = turns.entry((one.instance, one.lane)).or_default();
            *turn += 1;
            (*turn, one)
        })
        .collect();
    placed.sort_by_key(|(turn, one)| (one.lane, *turn, one.due_at));
    placed.into_iter().map(|(_, one)| one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(resource: i64, instance: i64, lane: Lane, due_at: i64) -> Chosen {
        Chosen { resource, instance, lane, repeats: false, looks: false, due_at }
    }

    fn order(found: Vec<Chosen>, flying: &Flying) -> Vec<i64> {
        in_turn(found, flying).into_iter().map(|one| one.resource).collect()
    }

    #[test]
    fn an_instances_backlog_is_not_its_neighbours() {
        let mut found: Vec<Chosen> = (0..6).map(|n| one(n, 1, Lane::Bulk, n)).collect();
        found.push(one(10, 2, Lane::Bulk, 100));
        found.push(one(11, 2, Lane::Bulk, 101));
        found.push(one(20, 1, Lane::Deprovision, 500));
        assert_eq!(order(found.clone(), &Flying::new()), [20, 0, 10, 1, 11, 2, 3, 4, 5]);
        // Two of the first instance run already: the other has its turn.
        let flying = Flying::from([(0, (1, Lane::Bulk)), (1, (1, Lane::Bulk))]);
        assert_eq!(order(found, &flying), [20, 10, 11, 2, 3, 4, 5]);
    }
}
