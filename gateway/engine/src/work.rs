//! The states of a piece of work, and all that moves it from one to another (DECISIONS 16). The driver
//! writes what these functions say; a simulation plays with the very same ones.
//!
//! ```text
//!   (none) --change--> todo --claim--> running --settled--> (none)
//!                       ^                |
//!                       |                +--> todo      put down, or a newer change came
//!                       +--- due, change, retry, answer ---- waiting, needs
//!                       +--- allow ---- held
//! ```
//!
//! A row that is not `running` is claimed once it is due, whatever its state is: `waiting` and `needs`
//! only say what for. Nothing stays without a time at which it is looked at again.

use std::borrow::Cow;

use connector_sdk::Fault;
use jiff::{SignedDuration, Timestamp};

use crate::coalesce::{WorkRow, WorkState};
use crate::lane::Lane;
use crate::retry::{self, InDoubt, Next, Tries, after, after_fault, counts_as_failing, look_at};

/// How often a run may panic or meet a damaged row before a person has to look.
pub const MOST_PANICS: u32 = 3;
/// How long work rests after a run that panicked.
const PANIC_REST: SignedDuration = SignedDuration::from_mins(1);
/// The longest rest of work whose settlement could not be stored.
const STORE_REST: SignedDuration = SignedDuration::from_mins(5);

/// A piece of work in a driver's hands: what decides what follows the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its lane.
    pub lane: Lane,
    /// Failing attempts before this run, since the newest change.
    pub tries: u32,
    /// Looks at a write in doubt that told nothing.
    pub looks: u32,
    /// Runs in a row that panicked or met a damaged row.
    pub panics: u32,
    /// Since when the resource has not been settled.
    pub since: Timestamp,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum Ending<'a> {
    /// The target agrees.
    Settled,
    /// It was stopped between two steps; nothing failed.
    PutDown,
    /// Something passes by itself at that time.
    Wait {
        /// A stable word for what is waited for.
        code: &'a str,
        /// When.
        until: Timestamp,
    },
    /// A person has to act.
    Need {
        /// A stable word for what they have to do.
        code: &'a str,
    },
    /// A call failed.
    Fault {
        /// How.
        fault: &'a Fault,
        /// The write whose outcome is not known, that call or an earlier one.
        doubt: Option<InDoubt>,
    },
    /// The run panicked, or met a row that is damaged.
    Broken,
    /// What it did could not be stored.
    Unrecorded,
}

/// Where the work stands after a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// `todo`, `waiting` or `needs`.
    pub state: WorkState,
    /// What it waits for or needs; set on `waiting` and `needs`.
    pub need: Option<Cow<'static, str>>,
    /// When it is claimed again.
    pub due_at: Timestamp,
    /// Failing attempts from now on.
    pub tries: u32,
    /// Looks that told nothing from now on.
    pub looks: u32,
    /// Broken runs in a row from now on.
    pub panics: u32,
}

/// Where the work stands after a run that ended so; `None` if nothing is left to do. `seed` spreads
/// retries ([`seed`]).
pub fn rest(claim: &Claim, ending: &Ending<'_>, now: Timestamp, seed: u64) -> Option<Rest> {
    let calm = |state, need: Option<&str>, due_at| Rest {
        state,
        need: need.map(|word| Cow::Owned(word.to_owned())),
        due_at,
        tries: claim.tries,
        looks: 0,
        panics: 0,
    };
    match ending {
        Ending::Settled => None,
        Ending::PutDown => Some(Rest { looks: claim.looks, ..calm(WorkState::Todo, None, now) }),
        Ending::Wait { code, until } => {
            Some(Rest { looks: claim.looks, ..calm(WorkState::Waiting, Some(code), (*until).max(now)) })
        }
        Ending::Need { code } => {
            Some(Rest { looks: claim.looks, ..calm(WorkState::Needs, Some(code), look_at(code, now)) })
        }
        Ending::Fault { fault, doubt } => Some(after_failure(claim, fault, *doubt, now, seed)),
        Ending::Broken => {
            let panics = claim.panics.saturating_add(1);
            let (state, need, due_at) = if panics < MOST_PANICS {
                (WorkState::Waiting, "panic", after(now, PANIC_REST))
            } else {
                (WorkState::Needs, "poison", look_at("poison", now))
            };
            Some(Rest { looks: claim.looks, panics, ..calm(state, Some(need), due_at) })
        }
        Ending::Unrecorded => {
            // The first rest is short: most often the database asked for a repetition too often.
            let due_at = after(now, retry::backoff(claim.tries.saturating_add(1), STORE_REST, seed));
            let tries = claim.tries.saturating_add(1);
            Some(Rest {
                tries,
                looks: claim.looks,
                panics: claim.panics,
                ..calm(WorkState::Waiting, Some("store"), due_at)
            })
        }
    }
}

fn after_failure(claim: &Claim, fault: &Fault, doubt: Option<InDoubt>, now: Timestamp, seed: u64) -> Rest {
    let counts = counts_as_failing(fault.kind);
    let looks = match doubt {
        Some(InDoubt { looked: true, .. }) => claim.looks.saturating_add(u32::from(counts)),
        // What was lost just now has not been looked at.
        Some(InDoubt { looked: false, .. }) | None => 0,
    };
    let tries = Tries { failing: claim.tries, looks, since: claim.since };
    let (state, need, due_at) = match after_fault(fault, claim.lane, tries, doubt, now, seed) {
        Next::At(at) => (WorkState::Waiting, retry::wait_word(fault.kind), at),
        Next::Need { code, look_at } => (WorkState::Needs, code, look_at),
    };
    let tries = claim.tries.saturating_add(u32::from(counts));
    Rest { state, need: Some(Cow::Borrowed(need)), due_at, tries, looks, panics: 0 }
}

/// A number that spreads the retries of one resource, and those of neighbours.
pub fn seed(resource: i64, tries: u32) -> u64 {
    resource.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(u64::from(tries))
}

/// The row in a driver's hands, if its turn has come: due, not claimed, and not held.
///
/// The store says the rest: the claim is made under the lease, and not while the work of a deleted twin
/// is still there.
pub fn claim(row: &WorkRow, now: i64) -> Option<WorkRow> {
    match row.state {
        WorkState::Todo | WorkState::Waiting | WorkState::Needs if row.due_at <= now => {
            Some(WorkRow { state: WorkState::Running, ..row.clone() })
        }
        _ => None,
    }
}

/// What the driver knows of a claimed row.
pub fn claimed(row: &WorkRow) -> Claim {
    let since = Timestamp::from_microsecond(row.since).unwrap_or(Timestamp::UNIX_EPOCH);
    Claim { lane: row.lane, tries: row.tries, looks: row.looks, panics: row.panics, since }
}

/// The row after a run that had claimed revision `rev` of it; `None` if nothing is left to do.
///
/// A change that came meanwhile is not lost: the row is due at once, with what the run learned.
pub fn after_run(row: &WorkRow, rev: i64, rest: Option<Rest>, now: i64) -> Option<WorkRow> {
    let newer = row.rev > rev;
    match rest {
        None if newer => Some(WorkRow { state: WorkState::Todo, due_at: now, need: None, ..row.clone() }),
        None => None,
        Some(rest) => Some(WorkRow {
            state: if newer { WorkState::Todo } else { rest.state },
            due_at: if newer { now } else { rest.due_at.as_microsecond() },
            need: if newer { None } else { rest.need.map(Cow::into_owned) },
            tries: rest.tries,
            looks: rest.looks,
            panics: rest.panics,
            ..row.clone()
        }),
    }
}

/// The row whose driver died or lost its lease: to do again. What it was sending is in doubt from then
/// on, and that is looked into first.
pub fn orphaned(row: &WorkRow, now: i64) -> WorkRow {
    match row.state {
        WorkState::Running => WorkRow { state: WorkState::Todo, due_at: now, ..row.clone() },
        _ => row.clone(),
    }
}

/// The row after an admin asked for another try, answered what became of a write, or changed the
/// instance: due at once, with fresh tries. What runs goes on, and what is held stays so: only the
/// hold's decision frees it.
pub fn retried(row: &WorkRow, now: i64) -> WorkRow {
    match row.state {
        WorkState::Todo | WorkState::Waiting | WorkState::Needs => {
            WorkRow { state: WorkState::Todo, due_at: now, need: None, tries: 0, looks: 0, panics: 0, ..row.clone() }
        }
        WorkState::Running | WorkState::Held => row.clone(),
    }
}

#[cfg(test)]
mod tests;
