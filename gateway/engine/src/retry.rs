//! When a failed call is tried again, and when a person has to act instead (DECISIONS 17, 18).
//!
//! Total: any fault, any time, any count has an answer, and no answer lies in the past.

use connector_sdk::{Effect, Fault, FaultKind, Repeatable, Retry};
use jiff::{SignedDuration, Timestamp};

use crate::lane::Lane;

/// The first backoff's upper bound.
const BASE: SignedDuration = SignedDuration::from_secs(1);
/// The least wait of a backoff: a call that fails at once must not spin.
const FLOOR: SignedDuration = SignedDuration::from_millis(200);
/// The longest backoff of what gives access.
const GRANT_CAP: SignedDuration = SignedDuration::from_mins(5);
/// The longest wait of what takes access away.
const LOSS_CAP: SignedDuration = SignedDuration::from_mins(15);
/// The least and the longest wait that a target may ask for.
const ASKED_MIN: SignedDuration = SignedDuration::from_secs(1);
const ASKED_MAX: SignedDuration = SignedDuration::from_hours(24);
/// How long a used-up quota is left alone where the target does not say.
const QUOTA_WAIT: SignedDuration = SignedDuration::from_hours(1);
/// Until when a grant is tried before it becomes a person's business: this long, and at least so
/// many failing attempts. The count keeps a wait that was nobody's failure (a quota, a pause) from
/// being taken for a day of failures.
const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(24);
const GIVE_UP_TRIES: u32 = 20;
/// The need of work whose outcome nobody could find out.
pub const OUTCOME_UNKNOWN: &str = "outcome_unknown";
/// How often what needs a person is looked at by itself.
const NEED_LOOK: SignedDuration = SignedDuration::from_hours(1);
/// The same for a dead credential, which stops a whole target.
const CREDENTIAL_LOOK: SignedDuration = SignedDuration::from_mins(5);
/// The waits between looks while an outcome is not known.
const LOOKS: [SignedDuration; 6] = [
    // At once, as soon as a call is lost.
    SignedDuration::ZERO,
    SignedDuration::from_mins(1),
    SignedDuration::from_mins(5),
    SignedDuration::from_mins(30),
    SignedDuration::from_hours(2),
    SignedDuration::from_hours(12),
];

/// What came before a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tries {
    /// Attempts before this one that failed and count ([`counts_as_failing`]), since the newest change.
    pub failing: u32,
    /// Looks that did not settle the outcome in doubt, this one included if it was one.
    pub looks: u32,
    /// Since when the work has been open.
    pub since: Timestamp,
}

/// A write whose outcome is not known when a fault comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InDoubt {
    /// What may follow that write.
    pub repeat: Repeatable,
    /// Whether the call that failed was the look at what became of it.
    pub looked: bool,
}

/// What follows a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again at that time; where the outcome is in doubt, look.
    At(Timestamp),
    /// A person has to act.
    Need {
        /// A stable word for programs.
        code: &'static str,
        /// When it is looked at again by itself.
        look_at: Timestamp,
    },
}

/// Whether a fault is a failing attempt. Limits and quotas are the target's ordinary pace, and what was
/// not sent was not attempted: they stop the clock (DECISIONS 17).
pub fn counts_as_failing(kind: FaultKind) -> bool {
    !matches!(kind, FaultKind::RateLimited | FaultKind::Quota | FaultKind::NotSent | FaultKind::Awaiting)
}

/// What follows a fault of work in a lane. `doubt` is the write whose outcome is not known, this one or
/// an earlier one. `seed` is any number that differs between pieces of work; it spreads their retries
/// (full jitter).
///
/// What takes access away ([`Lane::Deprovision`], [`Lane::Removal`]) never gives up: faults that may
/// pass are retried without end, at most 15 minutes apart unless the target itself asks for longer.
/// Grants wait at most 5 minutes, and become `failing` after 24 hours.
///
/// After a lost write the look comes at once, and by the backoff where one write after the other is lost,
/// as a repetition does. A look that came through and told nothing is repeated by a
/// schedule (1 min, 5 min, 30 min, 2 h, 12 h) and then becomes a person's business; one that did not
/// come through is repeated as any call to a target that is away, so that its return is noticed. A call that may neither be
/// repeated nor looked at is theirs at once, whatever it takes away.
pub fn after_fault(fault: &Fault, lane: Lane, tries: Tries, doubt: Option<InDoubt>, now: Timestamp, seed: u64) -> Next {
    let takes_access = takes_access(lane);
    let asked = match fault.retry {
        Retry::NotBefore(at) => Some(at.max(after(now, ASKED_MIN)).min(after(now, ASKED_MAX))),
        Retry::Never | Retry::Soon | Retry::AfterOperator => None,
    };
    let not_before = |at: Timestamp| asked.map_or(at, |asked| asked.max(at));
    let cap = if takes_access { LOSS_CAP } else { GRANT_CAP };
    let failed_long = counts_as_failing(fault.kind)
        && tries.failing >= GIVE_UP_TRIES
        && now.duration_since(tries.since) >= GIVE_UP_AFTER
        && !takes_access;

    if doubt.is_some_and(|doubt| doubt.repeat == Repeatable::Neither) {
        return need(OUTCOME_UNKNOWN, now);
    }
    if fault.retry == Retry::AfterOperator {
        return need(operator_code(fault.kind), now);
    }
    if doubt.is_some_and(|doubt| doubt.looked) && told_nothing(fault) {
        let looks = usize::try_from(tries.looks).unwrap_or(usize::MAX);
        return match LOOKS.get(looks) {
            Some(wait) => Next::At(not_before(after(now, if takes_access { (*wait).min(LOSS_CAP) } else { *wait }))),
            None if takes_access => Next::At(not_before(after(now, LOSS_CAP))),
            None => need(OUTCOME_UNKNOWN, now),
        };
    }
    if failed_long && (doubt.is_some() || fault.effect == Effect::Unknown) && fault.retry != Retry::Never {
        return need(OUTCOME_UNKNOWN, now);
    }
    let repeats = doubt.is_some_and(|doubt| doubt.repeat == Repeatable::Idempotent);
    if fault.effect == Effect::Unknown && tries.failing == 0 && !repeats {
        return Next::At(not_before(now));
    }
    if fault.retry == Retry::Never {
        return need(final_code(fault.kind), now);
    }
    if fault.kind == FaultKind::Quota {
        let wait = if takes_access { LOSS_CAP } else { QUOTA_WAIT };
        return Next::At(asked.unwrap_or_else(|| after(now, wait)));
    }
    if failed_long {
        return Next::Need { code: "failing", look_at: not_before(after(now, NEED_LOOK)) };
    }
    Next::At(asked.unwrap_or_else(|| after(now, backoff(tries.failing, cap, seed))))
}

/// Whether a look in doubt came through and did not tell: the target answered with something else than
/// what was asked.
pub fn told_nothing(fault: &Fault) -> bool {
    fault.retry != Retry::Never
        && !matches!(
            fault.kind,
            FaultKind::RateLimited
                | FaultKind::Quota
                | FaultKind::Unavailable
                | FaultKind::Timeout
                | FaultKind::NotSent
                | FaultKind::Awaiting
        )
}

/// Whether work in that lane takes access away, and so is never given up for failing.
pub fn takes_access(lane: Lane) -> bool {
    matches!(lane, Lane::Deprovision | Lane::Removal)
}

/// When work that needs a person is looked at again by itself.
pub fn look_at(code: &str, now: Timestamp) -> Timestamp {
    after(now, if code == "credential" { CREDENTIAL_LOOK } else { NEED_LOOK })
}

/// The word for what is waited for after a fault that may pass.
pub fn wait_word(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::RateLimited => "rate_limited",
        FaultKind::Quota => "quota",
        FaultKind::Timeout => "timeout",
        FaultKind::Credential => "credential",
        FaultKind::Permission => "permission",
        FaultKind::Malformed => "malformed",
        FaultKind::Awaiting => "person",
        _ => "unavailable",
    }
}

fn need(code: &'static str, now: Timestamp) -> Next {
    Next::Need { code, look_at: look_at(code, now) }
}

fn operator_code(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Credential => "credential",
        FaultKind::Permission => "permission",
        other => final_code(other),
    }
}

fn final_code(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Credential => "credential",
        FaultKind::Permission => "permission",
        FaultKind::NameTaken => "name_taken",
        FaultKind::NotFound => "not_found",
        FaultKind::Protected => "protected",
        FaultKind::Quota => "quota",
        FaultKind::NotSent => "not_sent",
        FaultKind::Incomplete => "incomplete",
        _ => "refused",
    }
}

/// A random wait of at most `min(cap, 1 s * 2^failing)`.
pub(crate) fn backoff(failing: u32, cap: SignedDuration, seed: u64) -> SignedDuration {
    let bound = BASE.checked_mul(1_i32.checked_shl(failing.min(20)).unwrap_or(i32::MAX)).unwrap_or(cap).min(cap);
    let bound = u64::try_from(bound.as_millis()).unwrap_or(0);
    let drawn = mix(seed ^ u64::from(failing).rotate_left(32)) % (bound + 1);
    SignedDuration::from_millis(i64::try_from(drawn).unwrap_or(0)).max(FLOOR)
}

/// Spreads a number's bits evenly (the finalizer of splitmix64), so that seeds in a row, as sequence
/// numbers are, draw unrelated waits.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(crate) fn after(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
