use tokio::task::JoinHandle;

use super::*;

const START: i64 = 1_800_000_000;

pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(START * 1000 + millis).unwrap()
}

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn bucket(units: u32, per: u64) -> Bucket {
    Bucket::new("b", "A bucket", units, secs(per))
}

const ONE: [Charge; 1] = [Charge { bucket: "b", units: 1 }];

pub(super) struct World {
    pub(super) clock: Clock,
    pub(super) budget: Arc<Budget>,
    log: Arc<Mutex<Vec<(Timestamp, &'static str)>>>,
}

impl World {
    pub(super) fn new(buckets: &[Bucket]) -> Self {
        let clock = Clock::manual(at(0));
        let budget = Budgets::new(clock.clone()).get(&DriverKey::new("key"), buckets);
        Self { clock, budget, log: Arc::default() }
    }

    /// Starts a call that logs its start and ends `lasts` milliseconds later.
    fn call(&self, name: &'static str, lane: Lane, charges: &[Charge], lasts: u64) -> JoinHandle<()> {
        let (clock, budget, log) = (self.clock.clone(), Arc::clone(&self.budget), Arc::clone(&self.log));
        let charges = charges.to_vec();
        tokio::spawn(async move {
            let permit = budget.acquire(&charges, lane, Timestamp::MAX).await.unwrap();
            lock(&log).push((clock.now(), name));
            clock.sleep(Duration::from_millis(lasts)).await;
            drop(permit);
        })
    }

    /// Lets every task come to rest.
    pub(super) async fn rest(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }

    /// Moves the clock in small steps, so that everything happens at its time.
    async fn pass(&self, millis: u64) {
        self.rest().await;
        for _ in 0..millis / 50 {
            self.clock.advance(Duration::from_millis(50));
            self.rest().await;
        }
    }

    fn started(&self) -> Vec<(i64, &'static str)> {
        let log = lock(&self.log);
        log.iter().map(|(when, name)| (when.as_millisecond() - START * 1000, *name)).collect()
    }

    async fn refused(&self, lane: Lane, give_up: i64) -> Option<(i64, &'static str)> {
        match self.budget.acquire(&ONE, lane, at(give_up)).await {
            Ok(permit) => {
                drop(permit);
                None
            }
            Err(not) => Some((not.at.as_millisecond() - START * 1000, not.bucket)),
        }
    }
}

#[tokio::test]
async fn better_lanes_overtake_every_waiting_call() {
    let world = World::new(&[bucket(100, 60).gap(secs(1)).at_once(1)]);
    let order = [
        ("first", Lane::Reconcile),
        ("r", Lane::Reconcile),
        ("b", Lane::Bulk),
        ("g1", Lane::Grant),
        ("g2", Lane::Grant),
        ("m", Lane::Removal),
        ("d", Lane::Deprovision),
    ];
    for (name, lane) in order {
        world.call(name, lane, &ONE, 10);
        world.rest().await;
    }
    world.pass(7000).await;
    let names: Vec<_> = world.started().into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["first", "d", "m", "g1", "g2", "b", "r"]);
    let times: Vec<_> = world.started().into_iter().map(|(time, _)| time).collect();
    assert_eq!(times, [0, 1000, 2000, 3000, 4000, 5000, 6000]);
}

#[tokio::test]
async fn a_short_window_never_holds_more_than_its_units_and_is_used_up() {
    let world = World::new(&[bucket(8, 10)]);
    for _ in 0..24 {
        world.call("x", Lane::Grant, &ONE, 0);
    }
    world.pass(30_000).await;
    let times: Vec<_> = world.started().into_iter().map(|(time, _)| time).collect();
    assert_eq!(times.len(), 24, "{times:?}");
    assert_eq!(times.iter().filter(|time| **time == 0).count(), 4, "half may go at once");
    for first in &times {
        let within = times.iter().filter(|time| (*first..first + 10_000).contains(*time)).count();
        assert!(within <= 8, "{within} from {first}: {times:?}");
    }
    assert!(times[23] <= 25_000, "the limit is not made use of: {times:?}");
}

#[tokio::test]
async fn the_last_tenth_is_kept_for_deprovisions() {
    let world = World::new(&[bucket(20, 3600)]);
    for _ in 0..18 {
        assert_eq!(world.refused(Lane::Grant, 0).await, None);
    }
    assert_eq!(world.refused(Lane::Removal, 1000).await, Some((3_600_000, "b")));
    assert_eq!(world.refused(Lane::Deprovision, 0).await, None);
    assert_eq!(world.refused(Lane::Deprovision, 0).await, None);
    assert_eq!(world.refused(Lane::Deprovision, 0).await, Some((3_600_000, "b")));
    world.clock.advance(secs(3600));
    assert_eq!(world.refused(Lane::Grant, 3_600_000).await, None);
}

#[tokio::test]
async fn calls_at_once_are_bounded_and_the_next_starts_when_one_ends() {
    let world = World::new(&[Bucket::unknown("b", "A bucket").at_once(2)]);
    for lasts in [500, 1000, 100, 100] {
        world.call("x", Lane::Grant, &ONE, lasts);
        world.rest().await;
    }
    world.pass(1200).await;
    let times: Vec<_> = world.started().into_iter().map(|(time, _)| time).collect();
    assert_eq!(times, [0, 0, 500, 600]);
}

#[tokio::test]
async fn a_block_stops_everything_and_is_clamped() {
    for (asked, kept) in [(-5000, 1000), (0, 1000), (30_000, 30_000), (10_i64.pow(9), 3_600_000)] {
        let world = World::new(&[bucket(100, 60)]);
        world.budget.block(at(asked));
        assert_eq!(world.budget.blocked_until(), Some(at(kept)));
        world.budget.block(at(500));
        assert_eq!(world.budget.blocked_until(), Some(at(kept)), "a block was shortened");
        assert_eq!(world.refused(Lane::Deprovision, 900).await, Some((kept, WHOLE_KEY)));
        let free = world.budget.acquire(&[], Lane::Reconcile, at(900)).await;
        assert!(free.is_err(), "a call that costs nothing went");
        world.clock.advance(Duration::from_millis(kept.unsigned_abs()));
        assert_eq!(world.budget.blocked_until(), None);
        assert_eq!(world.refused(Lane::Reconcile, kept).await, None);
    }
}

#[tokio::test]
async fn a_block_that_comes_while_calls_wait_holds_them_in_order() {
    let world = World::new(&[bucket(100, 60).gap(secs(1))]);
    for (name, lane) in [("0", Lane::Grant), ("g", Lane::Grant), ("d", Lane::Deprovision)] {
        world.call(name, lane, &ONE, 0);
        world.rest().await;
    }
    world.budget.block(at(5000));
    world.pass(7000).await;
    assert_eq!(world.started(), [(0, "0"), (5000, "d"), (6000, "g")]);
}

fn reading(remaining: u32, resets: i64, limit: Option<u32>) -> [Reading; 1] {
    [Reading { bucket: "b", limit, remaining, resets_at: at(resets) }]
}

#[tokio::test]
async fn nothing_goes_before_the_reset_once_the_target_says_none_are_left() {
    let hour = 3_600_000;
    for (declared, resets, from) in [
        (Bucket::unknown("b", "x"), 30_000, 30_000),
        (Bucket::unknown("b", "x"), -30_000, 1000),
        (Bucket::unknown("b", "x"), 9 * hour, hour),
        (bucket(100, 60), 10_000, 10_000),
        (bucket(100, 60), i64::from(u32::MAX), hour),
        (bucket(100, 3600), 20 * hour, 20 * hour),
        (bucket(100, 86_400), 90 * hour, 25 * hour),
    ] {
        let world = World::new(&[declared]);
        world.budget.observe(&reading(0, resets, Some(100)));
        assert_eq!(world.refused(Lane::Deprovision, 10).await, Some((from, "b")), "{resets}");
        world.clock.advance(Duration::from_millis(from.unsigned_abs()));
        assert_eq!(world.refused(Lane::Deprovision, from).await, None, "{resets}");
    }
}

#[tokio::test]
async fn what_is_left_is_counted_down_between_readings_and_never_up_within_a_window() {
    let world = World::new(&[Bucket::unknown("b", "A bucket")]);
    world.budget.observe(&reading(3, 60_000, None));
    assert_eq!(world.refused(Lane::Grant, 0).await, None);
    // An answer that was overtaken, its reset rounded another way.
    world.budget.observe(&reading(3, 61_000, None));
    assert_eq!(world.refused(Lane::Grant, 0).await, None);
    assert_eq!(world.refused(Lane::Grant, 0).await, None);
    assert_eq!(world.refused(Lane::Grant, 0).await, Some((61_000, "b")));
    // A new window.
    world.budget.observe(&reading(1, 120_000, None));
    assert_eq!(world.refused(Lane::Grant, 0).await, None);
    assert_eq!(world.refused(Lane::Grant, 0).await, Some((120_000, "b")));
}

#[tokio::test]
async fn calls_under_way_are_taken_off_a_new_windows_reading() {
    let world = World::new(&[Bucket::unknown("b", "A bucket")]);
    let permit = world.budget.acquire(&ONE, Lane::Grant, at(0)).await.unwrap();
    world.budget.observe(&reading(1, 60_000, None));
    assert_eq!(world.refused(Lane::Grant, 0).await, Some((60_000, "b")));
    drop(permit);
    assert_eq!(world.refused(Lane::Grant, 0).await, Some((60_000, "b")));
}

#[tokio::test]
async fn a_long_window_follows_the_targets_count_and_limit() {
    let world = World::new(&[bucket(5000, 3600)]);
    assert_eq!(world.refused(Lane::Grant, 0).await, None);
    world.budget.observe(&reading(14_000, 1_200_000, Some(15_000)));
    let view = world.budget.snapshot().buckets.remove(0);
    assert_eq!((view.limit, view.used, view.remaining), (Some(15_000), Some(1000), Some(14_000)));
    assert_eq!(view.window_ends_at, Some(at(1_200_000)));
}

#[tokio::test]
async fn rows_carry_long_windows_and_blocks_over_a_restart() {
    let day = bucket(50, 86_400);
    let before = World::new(std::slice::from_ref(&day));
    for _ in 0..45 {
        assert_eq!(before.refused(Lane::Grant, 0).await, None);
    }
    before.budget.block(at(60_000));
    let rows = before.budget.rows();
    let after = World::new(&[day]);
    after.budget.load(&rows);
    assert_eq!(after.budget.rows(), rows);
    assert_eq!(after.budget.blocked_until(), Some(at(60_000)));
    after.clock.advance(secs(60));
    assert_eq!(after.refused(Lane::Grant, 60_000).await, Some((86_400_000, "b")));
    assert_eq!(after.refused(Lane::Deprovision, 60_000).await, None);
    after.clock.advance(secs(86_400));
    after.budget.load(&rows);
    assert_eq!(after.refused(Lane::Grant, 90_000_000).await, None, "an old row blocked");
}

#[tokio::test]
async fn a_short_windows_exhaustion_is_kept_as_a_row() {
    let world = World::new(&[Bucket::unknown("b", "A bucket")]);
    assert_eq!(world.budget.rows(), []);
    world.budget.observe(&reading(0, 1_800_000, None));
    let rows = world.budget.rows();
    let after = World::new(&[Bucket::unknown("b", "A bucket")]);
    after.budget.load(&rows);
    assert_eq!(after.refused(Lane::Deprovision, 0).await, Some((1_800_000, "b")));
}

#[tokio::test]
async fn a_dropped_waiter_costs_nothing_and_lets_the_next_go() {
    let world = World::new(&[bucket(100, 60).gap(secs(1)).at_once(1)]);
    let held = world.budget.acquire(&ONE, Lane::Grant, at(0)).await.unwrap();
    let dropped = world.call("dropped", Lane::Deprovision, &ONE, 0);
    world.rest().await;
    world.call("next", Lane::Grant, &ONE, 0);
    world.pass(1500).await;
    dropped.abort();
    world.rest().await;
    drop(held);
    world.rest().await;
    assert_eq!(world.started(), [(1500, "next")]);
    let view = world.budget.snapshot();
    assert_eq!((view.buckets[0].used, view.buckets[0].under_way), (Some(2), 0));
    assert_eq!(view.waiting, []);
}

#[tokio::test]
async fn a_waiter_gives_up_in_time_and_says_when_to_come_back() {
    let world = World::new(&[Bucket::unknown("b", "A bucket").at_once(1)]);
    let held = world.budget.acquire(&ONE, Lane::Grant, at(0)).await.unwrap();
    let budget = Arc::clone(&world.budget);
    let waiter = tokio::spawn(async move { budget.acquire(&ONE, Lane::Grant, at(1000)).await.err() });
    world.pass(950).await;
    assert!(!waiter.is_finished());
    world.pass(50).await;
    let not_before = waiter.await.unwrap().unwrap();
    assert!(not_before.at > at(1000) && not_before.bucket == "b", "{not_before:?}");
    drop(held);
    assert_eq!(world.refused(Lane::Grant, 1000).await, None);
}

#[tokio::test]
async fn a_call_waits_for_every_bucket_and_holds_up_no_call_of_another() {
    let world = World::new(&[
        Bucket::unknown("slow", "x").gap(secs(10)),
        Bucket::unknown("fast", "x").gap(Duration::from_millis(100)),
    ]);
    let both = [Charge { bucket: "slow", units: 1 }, Charge { bucket: "fast", units: 1 }];
    for name in ["s1", "s2"] {
        world.call(name, Lane::Deprovision, &both, 0);
        world.rest().await;
    }
    for name in ["f1", "f2"] {
        world.call(name, Lane::Reconcile, &both[1..], 0);
        world.rest().await;
    }
    world.pass(10_500).await;
    assert_eq!(world.started(), [(0, "s1"), (100, "f1"), (200, "f2"), (10_000, "s2")]);
}

#[tokio::test]
async fn a_call_dearer_than_the_window_still_goes() {
    let world = World::new(&[bucket(5, 10)]);
    let dear = [Charge { bucket: "b", units: 50 }];
    world.call("a", Lane::Grant, &dear, 0);
    world.call("b", Lane::Grant, &dear, 0);
    world.pass(130_000).await;
    assert_eq!(world.started().len(), 2);
}

#[tokio::test]
async fn predictions() {
    let minute = World::new(&[bucket(60, 60)]);
    assert_eq!(minute.budget.predict(&ONE, Lane::Grant, 0), secs(0));
    assert_eq!(minute.budget.predict(&ONE, Lane::Grant, 29), secs(0));
    assert_eq!(minute.budget.predict(&ONE, Lane::Grant, 39), secs(10));
    assert!(minute.budget.predict(&ONE, Lane::Grant, 599) >= secs(500));
    minute.budget.block(at(40_000));
    assert_eq!(minute.budget.predict(&ONE, Lane::Deprovision, 0), secs(40));

    let gap = World::new(&[bucket(1000, 60).gap(secs(1))]);
    assert_eq!(gap.budget.predict(&ONE, Lane::Grant, 5), secs(5));
    assert_eq!(gap.refused(Lane::Grant, 0).await, None);
    assert_eq!(gap.budget.predict(&ONE, Lane::Grant, 5), secs(6));

    let day = World::new(&[bucket(50, 86_400)]);
    assert_eq!(day.budget.predict(&ONE, Lane::Grant, 44), secs(0));
    assert_eq!(day.budget.predict(&ONE, Lane::Grant, 45), secs(86_400));
    assert_eq!(day.budget.predict(&ONE, Lane::Deprovision, 45), secs(0));
    assert!(day.budget.predict(&ONE, Lane::Grant, usize::MAX) > secs(86_400));

    let serial = World::new(&[Bucket::unknown("b", "x").at_once(1)]);
    let held = serial.budget.acquire(&ONE, Lane::Grant, at(0)).await.unwrap();
    assert!(serial.budget.predict(&ONE, Lane::Grant, 3) > Duration::from_millis(400));
    drop(held);
}

#[tokio::test]
async fn a_clock_set_back_an_hour_stops_nothing_for_an_hour() {
    // The manual clock only goes forward, so the fill is asked with an earlier time.
    let clock = Clock::manual(at(0));
    let mut fill = fill::Fill::new(bucket(2, 60).gap(secs(1)), &clock);
    for _ in 0..2 {
        fill.debit(at(3_600_000), 1);
        fill.release(1);
    }
    fill.settle(at(0));
    assert!(matches!(fill.room(at(0), 1, 0, Lane::Grant), Room::At(time) if time <= at(60_000)));
}

#[tokio::test]
async fn a_changed_declaration_keeps_what_was_charged() {
    let clock = Clock::manual(at(0));
    let budgets = Budgets::new(clock.clone());
    let key = DriverKey::new("key");
    let budget = budgets.get(&key, &[bucket(50, 3600)]);
    drop(budget.acquire(&ONE, Lane::Grant, at(0)).await.unwrap());
    let again = budgets.get(&key, &[bucket(60, 3600)]);
    assert!(Arc::ptr_eq(&budget, &again));
    let view = budgets.snapshot().remove(0).buckets.remove(0);
    assert_eq!((view.limit, view.used), (Some(60), Some(1)));
    assert!(!Arc::ptr_eq(&budget, &budgets.get(&DriverKey::new("other"), &[])));
}

#[tokio::test]
async fn the_view_is_json() {
    let world = World::new(&[bucket(10, 60).gap(secs(1))]);
    world.call("a", Lane::Grant, &ONE, 5000);
    world.call("b", Lane::Removal, &ONE, 0);
    world.rest().await;
    let json = serde_json::to_value(world.budget.snapshot()).unwrap();
    assert_eq!(json["buckets"][0]["used"], 1);
    assert_eq!(json["buckets"][0]["under_way"], 1);
    assert_eq!(json["waiting"], serde_json::json!([{"lane": "removal", "calls": 1}]).to_owned());
    assert_eq!(json["breaker"]["state"], "closed");
}

#[tokio::test]
async fn what_is_taken_over_is_no_emptier_than_it_was() {
    let before = World::new(&[bucket(50, 86_400)]);
    for _ in 0..5 {
        let pass = before.budget.ask_breaker(Lane::Grant).unwrap();
        before.budget.report_to_breaker(pass, false, 0.0);
    }
    assert_eq!(before.budget.opened_since(), Some(at(0)));
    let after = World::new(&[bucket(50, 86_400)]);
    after.budget.load(&before.budget.all_rows());
    assert_eq!(after.budget.rests(Lane::Grant), Some(at(5000)), "the breaker rests on");
    assert!(after.budget.rests(Lane::Deprovision).is_some());
    after.clock.advance(secs(5));
    assert_eq!(after.budget.rests(Lane::Grant), None);
    assert_eq!(after.budget.ask_breaker(Lane::Grant), Ok(Pass::Probe));
}

#[tokio::test]
async fn leavers_probe_a_target_that_is_down_by_their_own_cadence() {
    let world = World::new(&[bucket(100, 60)]);
    let mut now = 0;
    for _ in 0..5 {
        let pass = world.budget.ask_breaker(Lane::Grant).unwrap();
        world.budget.report_to_breaker(pass, false, 0.0);
    }
    for wait in [5, 10, 20] {
        world.clock.advance(secs(wait));
        now += i64::try_from(wait).unwrap();
        let pass = world.budget.ask_breaker(Lane::Grant).unwrap();
        world.budget.report_to_breaker(pass, false, 0.0);
    }
    assert_eq!(world.budget.rests(Lane::Grant), Some(at((now + 40) * 1000)));
    assert_eq!(world.budget.rests(Lane::Deprovision), Some(at((now + 5) * 1000)));
}

#[tokio::test]
async fn a_call_that_waited_while_the_breaker_opened_is_not_sent() {
    let world = World::new(&[bucket(100, 60)]);
    let waited = world.budget.ask_breaker(Lane::Grant).unwrap();
    assert_eq!(world.budget.still_closed(&waited, Lane::Grant), Ok(()));
    for _ in 0..5 {
        let pass = world.budget.ask_breaker(Lane::Grant).unwrap();
        world.budget.report_to_breaker(pass, false, 0.0);
    }
    assert_eq!(world.budget.still_closed(&waited, Lane::Grant), Err(at(5000)));
    world.budget.abandon_breaker(waited);
}

#[tokio::test]
async fn a_day_without_room_is_known_before_anything_is_begun() {
    let world = World::new(&[bucket(50, 86_400), Bucket::standing("there", "x", 3)]);
    assert_eq!(world.budget.closed(Lane::Grant, secs(15)), []);
    for _ in 0..45 {
        assert_eq!(world.refused(Lane::Grant, 0).await, None);
    }
    let closed = world.budget.closed(Lane::Grant, secs(15));
    assert_eq!(closed.iter().map(|one| (one.bucket, one.until)).collect::<Vec<_>>(), [("b", at(86_400_000))]);
    assert_eq!(world.budget.closed(Lane::Deprovision, secs(15)), []);
    // How much there is at the target stops no call: it is asked before one is planned.
    world.budget.stand("there", 3);
    let full = [Charge { bucket: "there", units: 1 }];
    assert!(world.budget.acquire(&full, Lane::Grant, at(0)).await.is_ok());
    assert_eq!(world.budget.snapshot().buckets[1].remaining, Some(0));
    world.clock.advance(secs(86_400));
    assert_eq!(world.budget.snapshot().buckets[1].used, Some(4), "time alone ends nothing there");
}
