use std::collections::BTreeSet;

use connector_sdk::{Effect, FaultKind, Repeatable, Retry};
use proptest::prelude::*;

use super::*;
use crate::coalesce::upsert;
use crate::needs;

const NOW: i64 = 1_700_000_000_000_000;
const KINDS: [FaultKind; 13] = [
    FaultKind::RateLimited,
    FaultKind::Quota,
    FaultKind::Unavailable,
    FaultKind::Timeout,
    FaultKind::Credential,
    FaultKind::Permission,
    FaultKind::Refused,
    FaultKind::Incomplete,
    FaultKind::NameTaken,
    FaultKind::NotFound,
    FaultKind::Protected,
    FaultKind::Malformed,
    FaultKind::NotSent,
];
const REPEATS: [Repeatable; 3] = [Repeatable::Idempotent, Repeatable::Verifiable, Repeatable::Neither];

fn moment(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).expect("a time in range")
}

fn row(state: WorkState) -> WorkRow {
    let need = matches!(state, WorkState::Waiting | WorkState::Needs).then(|| "quota".to_owned());
    let (lane, rev, due_at, since) = (Lane::Grant, 7, NOW, NOW - 1_000_000);
    WorkRow { lane, rev, state, due_at, need, tries: 1, looks: 1, panics: 1, since }
}

/// Every state of a row, and no row at all, with all that one event may make of it.
fn moves(from: Option<WorkState>) -> BTreeSet<(&'static str, Option<&'static str>)> {
    let word = |row: Option<&WorkRow>| row.map(|row| row.state.as_str());
    let mut seen = BTreeSet::new();
    let before = from.map(row);
    seen.insert(("change", word(Some(&upsert(before.as_ref(), Lane::Grant, 8, NOW)))));
    let Some(before) = before else {
        return seen;
    };
    seen.insert(("claim", word(claim(&before, NOW).as_ref().or(Some(&before)))));
    seen.insert(("retry", word(Some(&retried(&before, NOW)))));
    seen.insert(("orphan", word(Some(&orphaned(&before, NOW)))));
    if before.state == WorkState::Running {
        let fault = Fault::new(FaultKind::Unavailable, "m");
        let refused = Fault::new(FaultKind::Refused, "m");
        for ending in [
            Ending::Settled,
            Ending::PutDown,
            Ending::Wait { code: "quota", until: moment(NOW + 1) },
            Ending::Need { code: "seat" },
            Ending::Fault { fault: &fault, doubt: None },
            Ending::Fault { fault: &refused, doubt: None },
            Ending::Broken,
            Ending::Unrecorded,
        ] {
            let rest = rest(&claimed(&before), &ending, moment(NOW), 1);
            for rev in [7, 6] {
                seen.insert(("end", word(after_run(&before, rev, rest.clone(), NOW).as_ref())));
            }
        }
    }
    seen
}

#[test]
fn the_table_of_states_is_this_and_every_state_has_an_exit() {
    let table: Vec<(Option<&str>, BTreeSet<_>)> = std::iter::once(None)
        .chain(WorkState::ALL.map(Some))
        .map(|state| (state.map(WorkState::as_str), moves(state)))
        .collect();
    let stays = |state| {
        BTreeSet::from([
            ("change", Some("todo")),
            ("claim", Some(state)),
            ("retry", Some("todo")),
            ("orphan", Some(state)),
        ])
    };
    let waits = |state| {
        let mut set: BTreeSet<(&str, Option<&str>)> = stays(state);
        set.remove(&("claim", Some(state)));
        set.insert(("claim", Some("running")));
        set
    };
    let ends = [None, Some("todo"), Some("waiting"), Some("needs")].map(|to| ("end", to));
    let mut running = BTreeSet::from(ends);
    running.extend([
        ("change", Some("running")),
        ("claim", Some("running")),
        ("retry", Some("running")),
        ("orphan", Some("todo")),
    ]);
    let held = BTreeSet::from([
        ("change", Some("todo")),
        ("claim", Some("held")),
        ("retry", Some("held")),
        ("orphan", Some("held")),
    ]);
    let want = vec![
        (None, BTreeSet::from([("change", Some("todo"))])),
        (Some("todo"), waits("todo")),
        (Some("running"), running),
        (Some("waiting"), waits("waiting")),
        (Some("held"), held),
        (Some("needs"), waits("needs")),
    ];
    assert_eq!(table, want);
    // Whatever the state, some chain of events ends in no work.
    for start in WorkState::ALL {
        let mut reached = BTreeSet::from([Some(start.as_str())]);
        loop {
            let next: BTreeSet<_> = table
                .iter()
                .filter(|(state, _)| reached.contains(state))
                .flat_map(|(_, moves)| moves.iter().map(|(_, to)| *to))
                .chain(reached.iter().copied())
                .collect();
            if next == reached {
                break;
            }
            reached = next;
        }
        assert!(reached.contains(&None), "{start:?} has no exit: {reached:?}");
    }
}

fn any_row() -> impl Strategy<Value = WorkRow> {
    (0i16..5, 0i64..20, 0..5usize, -2_000_000i64..2_000_000, 0u32..40, 0u32..9, 0u32..5, 0i64..200_000_000_000)
        .prop_map(|(lane, rev, state, due, tries, looks, panics, age)| WorkRow {
            lane: Lane::from_number(lane),
            rev,
            due_at: NOW + due,
            tries,
            looks,
            panics,
            since: NOW - age,
            ..row(WorkState::ALL[state])
        })
}

/// An ending that owns what it tells of.
#[derive(Clone, Debug)]
enum Owned {
    Settled,
    PutDown,
    Wait(i64),
    Need(&'static str),
    Fault(Fault, Option<InDoubt>),
    Broken,
    Unrecorded,
}

impl Owned {
    fn ending(&self) -> Ending<'_> {
        match self {
            Self::Settled => Ending::Settled,
            Self::PutDown => Ending::PutDown,
            Self::Wait(at) => Ending::Wait { code: "quota", until: moment(*at) },
            Self::Need(code) => Ending::Need { code },
            Self::Fault(fault, doubt) => Ending::Fault { fault, doubt: *doubt },
            Self::Broken => Ending::Broken,
            Self::Unrecorded => Ending::Unrecorded,
        }
    }
}

fn any_fault() -> impl Strategy<Value = Fault> {
    (0..KINDS.len(), 0..4usize, -10_000_000i64..200_000_000_000, any::<bool>()).prop_map(
        |(kind, retry, then, unknown)| {
            let then = Retry::NotBefore(moment(NOW + then));
            let retry = [Retry::Never, Retry::Soon, then, Retry::AfterOperator][retry];
            let effect = if unknown { Effect::Unknown } else { Effect::None };
            Fault::new(KINDS[kind], "m").retry(retry).effect(effect)
        },
    )
}

fn any_doubt() -> impl Strategy<Value = Option<InDoubt>> {
    prop::option::of((0..3usize, any::<bool>()).prop_map(|(at, looked)| InDoubt { repeat: REPEATS[at], looked }))
}

fn any_ending() -> impl Strategy<Value = Owned> {
    prop_oneof![
        Just(Owned::Settled),
        Just(Owned::PutDown),
        (NOW - 5..NOW + 5_000_000).prop_map(Owned::Wait),
        prop::sample::select(vec!["seat", "credential", "link"]).prop_map(Owned::Need),
        (any_fault(), any_doubt()).prop_map(|(fault, doubt)| Owned::Fault(fault, doubt)),
        Just(Owned::Broken),
        Just(Owned::Unrecorded),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_run_leaves_a_row_that_says_what_it_is_about_and_when_it_goes_on(
        row in any_row(), ending in any_ending(), newer in any::<bool>(), number: u64,
    ) {
        let mut row = WorkRow { state: WorkState::Running, ..row };
        let claim = claimed(&row);
        let rest = rest(&claim, &ending.ending(), moment(NOW), number);
        prop_assert_eq!(rest.is_none(), matches!(ending, Owned::Settled));
        if let Some(rest) = &rest {
            prop_assert!(matches!(rest.state, WorkState::Todo | WorkState::Waiting | WorkState::Needs));
            prop_assert_eq!(rest.need.is_some(), rest.state != WorkState::Todo, "what the schema asks for");
            prop_assert!(rest.due_at >= moment(NOW));
            prop_assert!(rest.due_at <= moment(NOW + 86_400_000_000), "nothing waits longer than a day for a look");
            prop_assert!(rest.tries >= claim.tries);
            if let Some(need) = &rest.need {
                prop_assert!(needs::find(need).is_some(), "{} is not in the table of needs", need);
            }
        }
        let rev = row.rev;
        row.rev += i64::from(newer);
        let after = after_run(&row, rev, rest.clone(), NOW);
        match after {
            None => prop_assert!(rest.is_none() && !newer),
            Some(after) => {
                prop_assert!(after.state != WorkState::Running);
                prop_assert_eq!(after.since, row.since, "its age is not forgotten");
                prop_assert_eq!(after.lane, row.lane);
                if newer {
                    prop_assert_eq!((after.state, after.due_at, after.need), (WorkState::Todo, NOW, None));
                }
            }
        }
    }

    #[test]
    fn access_is_taken_away_within_a_quarter_of_an_hour_of_whatever_passes(
        lane in 0i16..2, tries in 0u32..5_000, looks in 0u32..50, age in 0i64..9_000_000_000_000,
        fault in any_fault(), doubt in any_doubt(), number: u64,
    ) {
        let claim = Claim { lane: Lane::from_number(lane), tries, looks, panics: 0, since: moment(NOW - age) };
        let Some(rest) = rest(&claim, &Ending::Fault { fault: &fault, doubt }, moment(NOW), number) else {
            return Err(TestCaseError::fail("a fault settles nothing"));
        };
        let asked = matches!(fault.retry, Retry::NotBefore(_));
        let need = rest.need.as_deref();
        prop_assert_ne!(need, Some("failing"), "given up");
        if doubt.is_none_or(|doubt| doubt.repeat != Repeatable::Neither) {
            prop_assert_ne!(need, Some("outcome_unknown"), "given up though it may be repeated");
        }
        if rest.state == WorkState::Waiting && !asked {
            prop_assert!(rest.due_at <= moment(NOW + 900_000_000), "{rest:?}");
        }
        // What needs a person is looked at at least hourly, unless the target itself said when.
        if rest.state == WorkState::Needs {
            prop_assert!(rest.due_at <= moment(NOW + 3_600_000_000));
        }
    }

    #[test]
    fn what_can_neither_be_repeated_nor_looked_at_is_a_persons(fault in any_fault(), lane in 0i16..5, looked: bool) {
        let claim = claimed(&WorkRow { lane: Lane::from_number(lane), ..row(WorkState::Running) });
        let doubt = Some(InDoubt { repeat: Repeatable::Neither, looked });
        let rest = rest(&claim, &Ending::Fault { fault: &fault, doubt }, moment(NOW), 1);
        let need = rest.and_then(|rest| rest.need);
        prop_assert_eq!(need.as_deref(), Some("outcome_unknown"));
    }
}

#[test]
fn a_lost_write_is_looked_at_by_the_schedule_and_then_asked_about() {
    let fault = Fault::new(FaultKind::Unavailable, "m");
    let mut claim = claimed(&WorkRow { tries: 0, looks: 0, ..row(WorkState::Running) });
    let lost = fault.clone().effect(Effect::Unknown);
    let doubt = |looked| Some(InDoubt { repeat: Repeatable::Verifiable, looked });
    let mut now = moment(NOW);
    let mut waits = Vec::new();
    let first = rest(&claim, &Ending::Fault { fault: &lost, doubt: doubt(false) }, now, 1).unwrap();
    assert_eq!((first.state, first.due_at), (WorkState::Waiting, now), "looked at at once");
    (claim.tries, claim.looks) = (first.tries, first.looks);
    let needs = loop {
        let rest = rest(&claim, &Ending::Fault { fault: &fault, doubt: doubt(true) }, now, 1).unwrap();
        (claim.tries, claim.looks) = (rest.tries, rest.looks);
        if rest.state == WorkState::Needs {
            break rest;
        }
        waits.push(rest.due_at.duration_since(now).as_secs());
        now = rest.due_at;
    };
    assert_eq!(waits, [60, 300, 1_800, 7_200, 43_200]);
    assert_eq!(needs.need.as_deref(), Some("outcome_unknown"));
}

#[test]
fn a_write_that_is_lost_again_and_again_is_not_sent_in_a_tight_circle() {
    let lost = Fault::new(FaultKind::Malformed, "m");
    for repeat in [Repeatable::Idempotent, Repeatable::Verifiable] {
        let mut claim = claimed(&WorkRow { tries: 0, looks: 0, ..row(WorkState::Running) });
        let mut now = moment(NOW);
        let mut sent = 0;
        while now < moment(NOW + 3_600_000_000) {
            let doubt = Some(InDoubt { repeat, looked: false });
            let rest = rest(&claim, &Ending::Fault { fault: &lost, doubt }, now, sent).unwrap();
            (claim.tries, claim.looks) = (rest.tries, rest.looks);
            now = rest.due_at;
            sent += 1;
        }
        assert!((10..80).contains(&sent), "{repeat:?}: {sent} calls in an hour");
    }
}

#[test]
fn what_breaks_a_run_is_parked_after_a_few() {
    let mut claim = claimed(&WorkRow { panics: 0, ..row(WorkState::Running) });
    let mut seen = Vec::new();
    for _ in 0..4 {
        let rest = rest(&claim, &Ending::Broken, moment(NOW), 1).unwrap();
        claim.panics = rest.panics;
        seen.push(rest.need.unwrap().into_owned());
    }
    assert_eq!(seen, ["panic", "panic", "poison", "poison"]);
    // A run that ends as it should is no step towards that.
    let calm = rest(&claim, &Ending::Need { code: "seat" }, moment(NOW), 1).unwrap();
    assert_eq!(calm.panics, 0);
}
