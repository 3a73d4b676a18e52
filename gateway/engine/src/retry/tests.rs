use super::*;
use proptest::prelude::*;

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

const NOW: i64 = 1_700_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time in range")
}

const REPEATS: [Repeatable; 3] = [Repeatable::Idempotent, Repeatable::Verifiable, Repeatable::Neither];

fn tries(failing: u32, looks: u32, open_for: i64) -> Tries {
    Tries { failing, looks, since: at(NOW - open_for) }
}

/// Seconds until the next try, or the code and the seconds until the next look.
fn ask(fault: &Fault, lane: Lane, tries: Tries) -> (Option<&'static str>, i64) {
    ask_in_doubt(fault, lane, tries, None)
}

fn ask_in_doubt(fault: &Fault, lane: Lane, tries: Tries, doubt: Option<InDoubt>) -> (Option<&'static str>, i64) {
    match after_fault(fault, lane, tries, doubt, at(NOW), 7) {
        Next::At(then) => (None, then.as_second() - NOW),
        Next::Need { code, look_at } => (Some(code), look_at.as_second() - NOW),
    }
}

fn check(fault: &Fault, lane: Lane, tries: Tries, want: (Option<&str>, i64)) {
    assert_eq!(ask(fault, lane, tries), want, "{fault:?} {lane:?} {tries:?}");
}

#[test]
fn what_needs_a_person_is_named_and_looked_at_again() {
    for (kind, code, look) in [
        (FaultKind::Credential, "credential", 300),
        (FaultKind::Permission, "permission", 3_600),
        (FaultKind::Refused, "refused", 3_600),
        (FaultKind::NameTaken, "name_taken", 3_600),
        (FaultKind::NotFound, "not_found", 3_600),
        (FaultKind::Protected, "protected", 3_600),
    ] {
        for lane in Lane::ALL {
            check(&Fault::new(kind, "m"), lane, tries(0, 0, 0), (Some(code), look));
        }
    }
    let seats = Fault::new(FaultKind::Quota, "m").retry(Retry::AfterOperator);
    check(&seats, Lane::Grant, tries(0, 0, 0), (Some("quota"), 3_600));
    let address = Fault::new(FaultKind::NotSent, "m").retry(Retry::Never);
    check(&address, Lane::Grant, tries(0, 0, 0), (Some("not_sent"), 3_600));
}

#[test]
fn what_the_target_asks_for_is_respected_within_reason() {
    for (asked, want) in
        [(NOW + 77, 77), (NOW, 1), (NOW - 1_000_000, 1), (NOW + 86_400, 86_400), (NOW + 1_000_000_000, 86_400)]
    {
        for kind in [FaultKind::RateLimited, FaultKind::Unavailable, FaultKind::Quota] {
            let fault = Fault::new(kind, "m").retry(Retry::NotBefore(at(asked)));
            for lane in Lane::ALL {
                check(&fault, lane, tries(3, 0, 0), (None, want));
            }
        }
    }
}

#[test]
fn a_quota_without_a_date_waits_an_hour_and_is_no_failure() {
    let fault = Fault::new(FaultKind::Quota, "m");
    check(&fault, Lane::Grant, tries(9_999, 0, 9_999_999), (None, 3_600));
    assert!(!counts_as_failing(FaultKind::Quota));
    assert!(!counts_as_failing(FaultKind::RateLimited));
    assert!(counts_as_failing(FaultKind::Unavailable));
}

#[test]
fn grants_give_up_after_a_day_of_failures_and_losses_never() {
    let down = Fault::new(FaultKind::Unavailable, "m");
    for lane in [Lane::Grant, Lane::Bulk, Lane::Reconcile] {
        check(&down, lane, tries(500, 0, 86_400), (Some("failing"), 3_600));
        assert_eq!(ask(&down, lane, tries(500, 0, 86_399)).0, None);
        // A day went by, but it was spent waiting for something else.
        assert_eq!(ask(&down, lane, tries(2, 0, 9_999_999)).0, None);
    }
    for lane in [Lane::Deprovision, Lane::Removal] {
        let (code, wait) = ask(&down, lane, tries(u32::MAX, 0, NOW));
        assert_eq!(code, None);
        assert!(wait <= 900, "{wait}");
    }
    let limited = Fault::new(FaultKind::RateLimited, "m");
    assert_eq!(ask(&limited, Lane::Grant, tries(500, 0, 9_999_999)).0, None);
}

#[test]
fn an_unknown_outcome_is_looked_at_by_the_schedule() {
    let down = Fault::new(FaultKind::Unavailable, "m");
    let doubt = Some(InDoubt { repeat: Repeatable::Verifiable, looked: true });
    let looked = |fault: &Fault, lane, looks| ask_in_doubt(fault, lane, tries(0, looks, 0), doubt);
    for (looks, wait) in (1..).zip([60, 300, 1_800, 7_200, 43_200]) {
        assert_eq!(looked(&down, Lane::Grant, looks), (None, wait));
        assert_eq!(looked(&down, Lane::Deprovision, looks), (None, wait.min(900)));
    }
    for looks in [6, 7, u32::MAX] {
        assert_eq!(looked(&down, Lane::Grant, looks), (Some("outcome_unknown"), 3_600));
        assert_eq!(looked(&down, Lane::Deprovision, looks), (None, 900));
    }
    let asked = down.retry(Retry::NotBefore(at(NOW + 90)));
    assert_eq!(looked(&asked, Lane::Grant, 1), (None, 90));
    assert_eq!(looked(&asked, Lane::Grant, 2), (None, 300));
    // The target's ordinary pace is no look that told nothing.
    let limited = Fault::new(FaultKind::RateLimited, "m").retry(Retry::NotBefore(at(NOW + 9)));
    assert_eq!(looked(&limited, Lane::Grant, 6), (None, 9));
}

#[test]
fn a_lost_write_is_looked_at_or_repeated_at_once_and_later_by_the_backoff() {
    let lost = Fault::new(FaultKind::Timeout, "m");
    for repeat in [Repeatable::Idempotent, Repeatable::Verifiable] {
        let doubt = Some(InDoubt { repeat, looked: false });
        for lane in Lane::ALL {
            assert_eq!(ask_in_doubt(&lost, lane, tries(0, 0, 0), doubt), (None, 0));
            let (need, wait) = ask_in_doubt(&lost, lane, tries(12, 0, 0), doubt);
            assert!(need.is_none() && wait > 0, "{need:?} {wait}");
        }
        let long = tries(500, 0, 86_400);
        assert_eq!(ask_in_doubt(&lost, Lane::Grant, long, doubt), (Some("outcome_unknown"), 3_600));
        assert_eq!(ask_in_doubt(&lost, Lane::Deprovision, long, doubt).0, None);
    }
    let doubt = Some(InDoubt { repeat: Repeatable::Neither, looked: false });
    for lane in Lane::ALL {
        assert_eq!(ask_in_doubt(&lost, lane, tries(0, 0, 0), doubt), (Some("outcome_unknown"), 3_600));
    }
}

#[test]
fn retries_of_neighbours_spread() {
    let down = Fault::new(FaultKind::Unavailable, "m");
    let mut waits: Vec<i64> = (0..200u64)
        .map(|seed| match after_fault(&down, Lane::Grant, tries(12, 0, 0), None, at(NOW), seed) {
            Next::At(then) => then.as_second() - NOW,
            Next::Need { .. } => panic!("gives up"),
        })
        .collect();
    waits.sort_unstable();
    assert!(waits[20] < 60 && waits[180] > 240, "{waits:?}");
    waits.dedup();
    assert!(waits.len() > 100, "{waits:?}");
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        Just(Timestamp::MIN),
        Just(Timestamp::MAX),
        Just(Timestamp::UNIX_EPOCH),
        (Timestamp::MIN.as_second()..=Timestamp::MAX.as_second()).prop_map(at),
        (NOW - 200_000..NOW + 200_000).prop_map(at),
    ]
}

fn count() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..40, any::<u32>(), Just(u32::MAX)]
}

fn any_fault() -> impl Strategy<Value = Fault> {
    (0..KINDS.len(), 0..4usize, time(), any::<bool>()).prop_map(|(kind, retry, then, unknown)| {
        let retry = [Retry::Never, Retry::Soon, Retry::NotBefore(then), Retry::AfterOperator][retry];
        let effect = if unknown { Effect::Unknown } else { Effect::None };
        Fault::new(KINDS[kind], "m").retry(retry).effect(effect)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn every_fault_has_an_answer_within_bounds(
        fault in any_fault(), lane in 0i16..5, failing in count(), looks in count(),
        since in time(), now in time(), seed: u64, repeat in prop::option::of(0..3usize), looked: bool,
    ) {
        let lane = Lane::from_number(lane);
        let tries = Tries { failing, looks, since };
        let doubt = repeat.map(|at| InDoubt { repeat: REPEATS[at], looked });
        let neither = doubt.is_some_and(|doubt| doubt.repeat == Repeatable::Neither);
        let next = after_fault(&fault, lane, tries, doubt, now, seed);
        prop_assert_eq!(next, after_fault(&fault, lane, tries, doubt, now, seed));
        let (then, need) = match next {
            Next::At(then) => (then, None),
            Next::Need { code, look_at } => (look_at, Some(code)),
        };
        prop_assert!(then >= now);
        prop_assert!(then.duration_since(now) <= ASKED_MAX);
        let takes_access = matches!(lane, Lane::Deprovision | Lane::Removal);
        if takes_access {
            // Without end: nothing but a person's part stops it.
            prop_assert!(need != Some("failing") && (neither || need != Some("outcome_unknown")));
            let asked = matches!(fault.retry, Retry::NotBefore(_));
            if need.is_none() && !asked {
                prop_assert!(then.duration_since(now) <= LOSS_CAP);
            }
        }
        if let (Some(_), Retry::Soon | Retry::NotBefore(_)) = (need, fault.retry) {
            prop_assert!(matches!(need, Some("failing" | "outcome_unknown")));
        }
        if let (None, Retry::NotBefore(asked)) = (need, fault.retry) {
            prop_assert!(then >= asked.min(after(now, ASKED_MAX)));
        }
    }

    #[test]
    fn the_bound_of_the_backoff_grows_to_its_cap(failing in count(), seed: u64) {
        for cap in [GRANT_CAP, LOSS_CAP] {
            let wait = backoff(failing, cap, seed);
            prop_assert!(wait >= FLOOR && wait <= cap);
            if let Some(bound) = 1i64.checked_shl(failing).filter(|_| failing < 20) {
                prop_assert!(wait <= SignedDuration::from_secs(bound));
            }
        }
    }
}
