//! The one row of work per resource (DECISIONS 16): changes that come before the driver does are
//! one piece of work, however many there were.

use serde::{Deserialize, Serialize};

use crate::lane::Lane;

/// Where a piece of work stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkState {
    /// To be done as soon as its turn comes.
    Todo,
    /// A driver has it.
    Running,
    /// To be done at a later time, for a reason that passes by itself.
    Waiting,
    /// Staged by the brake until an admin decides.
    Held,
    /// A person has to act; looked at again by itself now and then.
    Needs,
}

impl WorkState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Todo, Self::Running, Self::Waiting, Self::Held, Self::Needs];

    /// The word that the store and the API use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Todo => "todo",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Needs => "needs",
        }
    }

    /// The state of such a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// The row of work of one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkRow {
    /// The best lane of anything in it.
    pub lane: Lane,
    /// The newest accepted revision that it covers.
    pub rev: i64,
    /// Where it stands.
    pub state: WorkState,
    /// When its turn may come; on `needs` the next automatic look, on `held` the reminder.
    /// Microseconds since 1970.
    pub due_at: i64,
    /// Why it waits or what it needs; set on `waiting` and `needs`.
    pub need: Option<String>,
    /// Failing attempts since the newest change.
    pub tries: u32,
    /// Looks at a write in doubt that told nothing, since the newest change.
    pub looks: u32,
    /// Runs in a row that panicked or met a damaged row.
    pub panics: u32,
    /// When the resource stopped being settled. Microseconds since 1970.
    pub since: i64,
}

/// The row after a change of revision `rev` was accepted at `now` (microseconds since 1970).
///
/// Work that a driver has stays with it: the driver sees at its finish that `rev` has moved on, and
/// the row becomes `todo` then. Anything else is due at once with fresh tries, also what was held or
/// needed a person: the driver judges the new wish anew (DECISIONS 10). A lane is never lost, and
/// `since` tells for how long the resource has not been settled, whatever came in between.
pub fn upsert(existing: Option<&WorkRow>, lane: Lane, rev: i64, now: i64) -> WorkRow {
    let Some(row) = existing else {
        return WorkRow {
            lane,
            rev,
            state: WorkState::Todo,
            due_at: now,
            need: None,
            tries: 0,
            looks: 0,
            panics: 0,
            since: now,
        };
    };
    let running = row.state == WorkState::Running;
    WorkRow {
        lane: row.lane.min(lane),
        rev: row.rev.max(rev),
        state: if running { WorkState::Running } else { WorkState::Todo },
        due_at: if running { row.due_at } else { now },
        need: None,
        tries: 0,
        looks: 0,
        panics: 0,
        since: row.since,
    }
}

/// The lane of a change to a person (DECISIONS 26). Whatever ends without access goes first, also
/// where the directory held none before: what the target has may lag behind.
pub fn lane_of_person_change(wanted_access: bool, was_access: bool) -> Lane {
    match (wanted_access, was_access) {
        (false, true | false) => Lane::Deprovision,
        (true, true | false) => Lane::Grant,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row() -> impl Strategy<Value = WorkRow> {
        (0i16..5, 0i64..100, 0usize..5, 0i64..1_000, any::<u32>(), 0i64..1_000).prop_map(
            |(lane, rev, state, due_at, tries, since)| {
                let state = WorkState::ALL[state];
                let need = matches!(state, WorkState::Waiting | WorkState::Needs).then(|| "quota".to_owned());
                WorkRow {
                    lane: Lane::from_number(lane),
                    rev,
                    state,
                    due_at,
                    need,
                    tries,
                    looks: tries,
                    panics: 1,
                    since,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn many_changes_leave_the_row_that_the_last_one_alone_would(
            start in prop::option::of(row()),
            changes in prop::collection::vec((0i16..5, 1i64..4, 0i64..1_000), 1..30),
        ) {
            let (mut rev, mut now) = (start.as_ref().map_or(0, |row| row.rev), 1_000);
            let first = now + changes[0].2;
            let mut one_by_one = start.clone();
            let mut best = Lane::Reconcile;
            for (lane, step, wait) in changes {
                rev += step;
                now += wait;
                best = best.min(Lane::from_number(lane));
                one_by_one = Some(upsert(one_by_one.as_ref(), Lane::from_number(lane), rev, now));
            }
            let mut at_once = upsert(start.as_ref(), best, rev, now);
            if start.is_none() {
                at_once.since = first;
            }
            prop_assert_eq!(one_by_one, Some(at_once));
        }

        #[test]
        fn a_change_never_loses_urgency_age_revision_or_the_running_driver(
            start in row(), lane in 0i16..5, rev in 0i64..200, now in 0i64..2_000,
        ) {
            let lane = Lane::from_number(lane);
            let next = upsert(Some(&start), lane, rev, now);
            prop_assert!(next.lane <= start.lane && next.lane <= lane);
            prop_assert!(next.rev >= start.rev && next.rev >= rev);
            prop_assert_eq!(next.since, start.since);
            prop_assert_eq!((next.tries, next.looks, next.panics), (0, 0, 0));
            prop_assert_eq!(next.state == WorkState::Running, start.state == WorkState::Running);
            if next.state == WorkState::Todo {
                prop_assert_eq!(next.due_at, now);
                prop_assert_eq!(&next.need, &None);
            }
            prop_assert_eq!(upsert(Some(&next), lane, rev, now), next);
        }
    }

    #[test]
    fn words_of_states_read_back() {
        for state in WorkState::ALL {
            assert_eq!(WorkState::parse(state.as_str()), Some(state));
        }
        assert_eq!(WorkState::parse("Todo"), None);
    }

    #[test]
    fn losing_access_goes_first() {
        assert_eq!(lane_of_person_change(false, true), Lane::Deprovision);
        assert_eq!(lane_of_person_change(false, false), Lane::Deprovision);
        assert_eq!(lane_of_person_change(true, false), Lane::Grant);
        assert_eq!(lane_of_person_change(true, true), Lane::Grant);
    }
}
