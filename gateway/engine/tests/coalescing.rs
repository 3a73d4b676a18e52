//! Changes that come before the driver does are one piece of work: whatever came in between, the target ends
//! as if each had been brought to it, and is sent no more calls than the way from where it was to where it
//! shall be takes. What was sent already is never coalesced away.

#![allow(clippy::panic, reason = "a test reports by failing")]

use std::collections::{BTreeMap, VecDeque};

use connector_sdk::{
    AccountChange, AccountRef, AccountStatus, DriverKey, Kind, Person, RemoteId, RoleTrait, Suspend, Traits,
};
use engine::Lane;
use engine::coalesce::{WorkRow, WorkState, lane_of_person_change, upsert};
use engine::membership::{Have, Link, MemberStep, MemberView, member_step};
use engine::operation::{Closed, OpenOp, close_settled};
use engine::person::{AccountView, PersonStep, PersonView, Wanted, next_step};
use engine::work::{Ending, after_run, claim, claimed, rest};
use jiff::Timestamp;
use proptest::prelude::*;

/// An account at the target: whether it has access, and its role.
type Account = Option<(bool, &'static str)>;

const ROLES: [&str; 2] = ["member", "admin"];

/// What the directory wants of one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    active: bool,
    deleted: bool,
    role: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Active(bool),
    Role(&'static str),
    Delete,
}

impl Wish {
    /// What is deleted stays so; a new row would be another person's.
    fn after(self, change: Change) -> Self {
        match change {
            _ if self.deleted => self,
            Change::Active(active) => Self { active, ..self },
            Change::Role(role) => Self { role, ..self },
            Change::Delete => Self { deleted: true, ..self },
        }
    }

    fn access(self) -> bool {
        self.active && !self.deleted
    }

    /// Whether the target is as wanted.
    fn is_met_by(self, account: Account) -> bool {
        match account {
            _ if self.access() => account == Some((true, self.role)),
            Some((active, _)) => !active && !self.deleted,
            None => true,
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => any::<bool>().prop_map(Change::Active),
        3 => (0..2_usize).prop_map(|role| Change::Role(ROLES[role])),
        1 => Just(Change::Delete),
    ]
}

fn traits(suspend: Suspend) -> Traits {
    let mut traits = Traits::new(Kind::UserAndGroup, DriverKey::new("k"));
    traits.suspend = suspend;
    traits.writable = vec!["roles"];
    traits.roles = ROLES.map(|value| RoleTrait { value, privileged: false }).to_vec();
    traits.default_role = Some(ROLES[0]);
    traits
}

fn step(wish: Wish, account: Account, traits: &Traits) -> PersonStep {
    let mut person = Person::named("ada@x.org");
    person.role = Some(wish.role.to_owned());
    next_step(&PersonView {
        wanted: if wish.access() { Wanted::Access } else { Wanted::NoAccess { delete: wish.deleted } },
        person: &person,
        account: account.map(|(active, role)| AccountView {
            reference: AccountRef::Account { id: RemoteId::new("a1"), login: None },
            status: if active { AccountStatus::Active } else { AccountStatus::Suspended },
            role: Some(role.to_owned()),
            email: None,
            login: None,
            protected: false,
            expires_at: None,
            profile: None,
        }),
        doubt: None,
        traits,
        can_create: true,
        followed_up: false,
        protected_by_policy: false,
        invites_sent: 0,
        now: Timestamp::UNIX_EPOCH,
    })
}

/// What the target is after a call; `None` if the step is none.
fn obey(step: &PersonStep, account: Account, wish: Wish) -> Option<Account> {
    let role = |change: &AccountChange| ROLES.into_iter().find(|role| change.role.as_deref() == Some(role));
    match (step, account) {
        (PersonStep::Create, None) => Some(Some((true, wish.role))),
        (PersonStep::Update(change), Some((active, old))) => Some(Some((active, role(change).unwrap_or(old)))),
        (PersonStep::Suspend, Some((true, role))) => Some(Some((false, role))),
        (PersonStep::Restore, Some((false, role))) => Some(Some((true, role))),
        (PersonStep::Remove(_), Some(_)) => Some(None),
        (PersonStep::Settled, _) => None,
        (step, account) => panic!("{step:?} at {account:?}"),
    }
}

/// Drives to the end; how many calls that took.
fn drive(wish: Wish, account: &mut Account, traits: &Traits) -> usize {
    let mut calls = 0;
    while let Some(next) = obey(&step(wish, *account, traits), *account, wish) {
        *account = next;
        calls += 1;
        assert!(calls < 10, "{wish:?} at {account:?} does not end");
    }
    calls
}

/// The fewest calls from here to a state that meets the wish, found without the engine: by trying all calls
/// that there are.
fn fewest(wish: Wish, from: Account, suspend: Suspend) -> usize {
    let mut seen: BTreeMap<Account, usize> = BTreeMap::from([(from, 0)]);
    let mut queue = VecDeque::from([from]);
    while let Some(at) = queue.pop_front() {
        let so_far = seen[&at];
        if wish.is_met_by(at) {
            return so_far;
        }
        let mut next: Vec<Account> = Vec::new();
        match at {
            None => next.push(Some((true, wish.role))),
            Some((active, role)) => {
                next.push(None);
                next.extend(ROLES.iter().filter(|_| active).map(|role| Some((true, *role))));
                if suspend == Suspend::Native {
                    next.push(Some((!active, role)));
                }
            }
        }
        for state in next {
            seen.entry(state).or_insert_with(|| {
                queue.push_back(state);
                so_far + 1
            });
        }
    }
    panic!("no way from {from:?} to {wish:?}");
}

fn start() -> impl Strategy<Value = (Wish, Account, Suspend)> {
    (any::<bool>(), 0..2_usize, any::<bool>()).prop_map(|(active, role, native)| {
        let suspend = if native { Suspend::Native } else { Suspend::Removes };
        let wish = Wish { active, deleted: false, role: ROLES[role] };
        let account = match (active, native) {
            (true, _) => Some((true, ROLES[role])),
            (false, true) => Some((false, ROLES[role])),
            (false, false) => None,
        };
        (wish, account, suspend)
    })
}

/// What a driver that takes its turn now and then does about changes: claim, call, settle.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Change(Change),
    Claim,
    Call,
    Settle,
    PutDown,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        change().prop_map(Turn::Change),
        Just(Turn::Claim),
        Just(Turn::Call),
        Just(Turn::Settle),
        Just(Turn::PutDown)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn changes_at_once_end_as_one_by_one_and_cost_no_more_than_the_way(
        (wish, account, suspend) in start(),
        changes in prop::collection::vec(change(), 0..12),
    ) {
        let traits = traits(suspend);
        let (mut one_by_one, mut each) = (account, 0);
        let mut last = wish;
        for change in &changes {
            last = last.after(*change);
            each += drive(last, &mut one_by_one, &traits);
        }
        let mut at_once = account;
        let calls = drive(last, &mut at_once, &traits);
        prop_assert!(last.is_met_by(at_once) && last.is_met_by(one_by_one), "{last:?}: {at_once:?}, {one_by_one:?}");
        if last.access() {
            prop_assert_eq!(at_once, one_by_one);
        }
        prop_assert_eq!(calls, fewest(last, account, suspend));
        prop_assert!(calls <= each || each == 0 && calls == 0);
    }

    #[test]
    fn what_was_sent_is_never_coalesced_away(
        (wish, account, suspend) in start(),
        turns in prop::collection::vec(turn(), 1..60),
    ) {
        let traits = traits(suspend);
        let (mut wish, mut target) = (wish, account);
        let (mut rev, mut now) = (1, 0);
        let mut work: Option<WorkRow> = None;
        // A run: the revision and the wish that it planned for, and its call, while that is not sent.
        let mut run: Option<(i64, Wish, Option<PersonStep>)> = None;
        let plan = |rev: i64, wish: Wish, target: Account| {
            let next = step(wish, target, &traits);
            (rev, wish, (next != PersonStep::Settled).then_some(next))
        };
        let end = [Turn::Call, Turn::Settle, Turn::Claim].repeat(8);
        for turn in turns.into_iter().chain(end) {
            now += 1;
            match turn {
                Turn::Change(change) => {
                    let next = wish.after(change);
                    if next != wish {
                        rev += 1;
                        let lane = lane_of_person_change(next.access(), wish.access());
                        work = Some(upsert(work.as_ref(), lane, rev, now));
                        wish = next;
                    }
                }
                Turn::Claim if run.is_none() => {
                    if let Some(row) = work.as_ref().and_then(|row| claim(row, now)) {
                        run = Some(plan(row.rev, wish, target));
                        work = Some(row);
                    }
                }
                // The call that was planned is made, whatever was asked for meanwhile.
                Turn::Call => {
                    if let Some((_, planned, call)) = &mut run
                        && let Some(sent) = call.take()
                    {
                        let before = target;
                        target = obey(&sent, target, *planned).expect("a call");
                        prop_assert_ne!(before, target, "a call that was sent has its effect");
                        let way = |from| fewest(*planned, from, suspend);
                        prop_assert_eq!(way(target) + 1, way(before), "{:?} is not on the way", sent);
                    }
                }
                // What was asked meanwhile is planned for as well: the run brings it along.
                Turn::Settle => {
                    if let (Some((_, _, None)), Some(row)) = (&run, work.as_ref()) {
                        let next = plan(row.rev, wish, target);
                        if next.2.is_some() {
                            run = Some(next);
                        } else {
                            work = after_run(row, row.rev, None, now);
                            run = None;
                        }
                    }
                }
                // The driver stops between two steps.
                Turn::PutDown => {
                    if let (Some((planned, _, None)), Some(row)) = (&run, work.as_ref()) {
                        let stamp = Timestamp::from_microsecond(now).expect("a small number");
                        let rest = rest(&claimed(row), &Ending::PutDown, stamp, 1);
                        work = after_run(row, *planned, rest, now);
                        run = None;
                    }
                }
                Turn::Claim => {}
            }
            let running = work.as_ref().is_some_and(|row| row.state == WorkState::Running);
            prop_assert_eq!(running, run.is_some());
            if work.is_none() {
                prop_assert!(wish.is_met_by(target), "{wish:?} is not met by {target:?}, and nothing is left to do");
            }
        }
        prop_assert!(work.is_none(), "{work:?} is left");
        prop_assert!(wish.is_met_by(target));
    }

    #[test]
    fn memberships_at_once_end_as_one_by_one_with_one_call_at_most(
        has in any::<bool>(),
        changes in prop::collection::vec((any::<bool>(), any::<bool>()), 0..10),
    ) {
        let view = |want, user_wanted, have| MemberView {
            want,
            have,
            user_wanted,
            link: Link::Active,
            removal_takes_memberships: false,
            pending_members: false,
            group_ready: true,
        };
        let go = |want: bool, user: bool, have: &mut Have| {
            let mut calls = 0;
            for _ in 0..4 {
                match member_step(&view(want, user, *have)) {
                    MemberStep::Add => *have = Have::Yes,
                    MemberStep::Remove => *have = Have::No,
                    _ => break,
                }
                calls += 1;
            }
            calls
        };
        let first = if has { Have::Yes } else { Have::No };
        let (mut one_by_one, mut each) = (first, 0);
        let (mut want, mut user) = (has, true);
        for (change_user, to) in changes {
            if change_user { user = to } else { want = to }
            each += go(want, user, &mut one_by_one);
        }
        let mut at_once = first;
        let calls = go(want, user, &mut at_once);
        prop_assert_eq!(at_once, one_by_one);
        prop_assert_eq!(at_once == Have::Yes, want && user);
        prop_assert_eq!(calls, usize::from(at_once != first), "added and removed again is none");
        prop_assert!(calls <= each);
    }

    /// The operations of a batch end as those of one-by-one do, but for what was overwritten.
    #[test]
    fn of_operations_that_settle_at_once_only_overwritten_ones_end_otherwise(
        ops in prop::collection::vec(prop::collection::vec(0..4_usize, 1..3), 1..12),
    ) {
        const PATHS: [&str; 4] = ["active", "roles", "displayName", "emails"];
        let ops: Vec<OpenOp> = ops
            .iter()
            .zip(1..)
            .map(|(paths, rev)| OpenOp {
                seq: rev,
                rev,
                paths: paths.iter().map(|path| PATHS[*path].to_owned()).collect(),
                deletes: false,
            })
            .collect();
        let last = ops.len() as i64;
        let at_once = close_settled(&ops, last);
        prop_assert_eq!(at_once.len(), ops.len(), "none stays open");
        for (op, (seq, closed)) in ops.iter().zip(&at_once) {
            prop_assert_eq!(op.seq, *seq);
            let alone = close_settled(std::slice::from_ref(op), op.rev);
            prop_assert_eq!(alone, vec![(op.seq, Closed::Applied)]);
            let later = |path: &String| ops.iter().any(|other| other.seq > op.seq && other.paths.contains(path));
            prop_assert_eq!(*closed == Closed::Superseded, op.paths.iter().all(later));
        }
    }
}

#[test]
fn a_deprovision_that_is_coalesced_keeps_its_lane() {
    let row = upsert(None, Lane::Grant, 1, 0);
    let row = upsert(Some(&row), Lane::Deprovision, 2, 1);
    let row = upsert(Some(&row), Lane::Grant, 3, 2);
    assert_eq!(row.lane, Lane::Deprovision);
}
