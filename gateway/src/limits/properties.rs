//! Whatever happens, no bound is exceeded and every call starts in the end.

use std::sync::atomic::{AtomicU32, Ordering};

use connector_sdk::Window;
use proptest::prelude::*;

use super::tests::{World, bucket, secs};
use super::*;

#[derive(Clone, Debug)]
struct Op {
    lane: Lane,
    units: u32,
    lasts: u64,
    then: u64,
    abort: bool,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = (0..5_usize, 1..5_u32, 0..3000_u64, 0..4000_u64, prop::bool::weighted(0.2))
        .prop_map(|(lane, units, lasts, then, abort)| Op { lane: Lane::ALL[lane], units, lasts, then, abort });
    prop::collection::vec(op, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_interleaving_exceeds_the_bounds(
        ops in ops(),
        units in 4..20_u32,
        per in 1..30_u64,
        gap in 0..500_u64,
        at_once in 0..4_u32,
        row in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let gap = Duration::from_millis(gap);
            let mut spec = bucket(units, per).gap(gap).at_once(at_once);
            spec.window = if row { Window::Row } else { Window::Memory };
            let world = World::new(&[spec]);
            let starts: Arc<Mutex<Vec<(Timestamp, u32)>>> = Arc::default();
            let under_way = Arc::new(AtomicU32::new(0));
            let mut tasks = Vec::new();
            for op in ops {
                let (budget, clock) = (Arc::clone(&world.budget), world.clock.clone());
                let (starts, under_way) = (Arc::clone(&starts), Arc::clone(&under_way));
                let charges = [Charge { bucket: "b", units: op.units }];
                let task = tokio::spawn(async move {
                    let permit = budget.acquire(&charges, op.lane, Timestamp::MAX).await.unwrap();
                    lock(&starts).push((clock.now(), op.units));
                    let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                    assert!(at_once == 0 || now <= at_once, "{now} at once");
                    let _gone = scopeguard(under_way);
                    clock.sleep(Duration::from_millis(op.lasts)).await;
                    drop(permit);
                });
                tokio::task::yield_now().await;
                if op.abort { task.abort(); } else { tasks.push(task); }
                world.clock.advance(Duration::from_millis(op.then));
                tokio::task::yield_now().await;
            }
            let mut patience = 0;
            while tasks.iter().any(|task| !task.is_finished()) {
                world.clock.advance(Duration::from_millis(250));
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
                patience += 1;
                assert!(patience < 50_000, "a call never started");
            }
            for task in tasks {
                task.await.unwrap();
            }
            let starts = lock(&starts).clone();
            let per = secs(per);
            let mut row_begins: Option<(Timestamp, u32)> = None;
            for (n, (first, cost)) in starts.iter().enumerate() {
                if row {
                    let (begins, used) = match row_begins {
                        Some((begins, used)) if *first < later(begins, per) => (begins, used + cost),
                        _ => (*first, *cost),
                    };
                    assert!(used <= units, "{used} in a long window");
                    row_begins = Some((begins, used));
                } else {
                    let sum: u32 = starts[n..].iter().take_while(|(time, _)| *time < later(*first, per)).map(|(_, cost)| cost).sum();
                    assert!(sum <= units, "{sum} of {units} within {per:?}");
                }
                if let Some((next, _)) = starts.get(n + 1) {
                    assert!(*next >= later(*first, gap), "a gap is too short");
                }
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// What is predicted for the last of many calls is what it takes, within a factor of two and two
    /// seconds.
    #[test]
    fn a_prediction_comes_true(
        calls in 1..60_usize,
        units in 4..40_u32,
        per in 1..40_u64,
        gap in prop_oneof![Just(0_u64), 50..400_u64],
        at_once in 0..4_u32,
        row in any::<bool>(),
        blocked in prop_oneof![Just(0_i64), 1..60_i64],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (predicted, took) = runtime.block_on(async {
            let mut spec = bucket(units, per).gap(Duration::from_millis(gap)).at_once(at_once);
            spec.window = if row { Window::Row } else { Window::Memory };
            let world = World::new(&[spec]);
            if blocked > 0 {
                world.budget.block(super::tests::at(blocked * 1000));
            }
            let charges = [Charge { bucket: "b", units: 1 }];
            let predicted = world.budget.predict(&charges, Lane::Grant, calls - 1);
            let begun = world.clock.now();
            let last: Arc<Mutex<Timestamp>> = Arc::new(Mutex::new(begun));
            let mut tasks = Vec::new();
            for _ in 0..calls {
                let (budget, clock, last) = (Arc::clone(&world.budget), world.clock.clone(), Arc::clone(&last));
                tasks.push(tokio::spawn(async move {
                    let permit = budget.acquire(&charges, Lane::Grant, Timestamp::MAX).await.unwrap();
                    let now = clock.now();
                    {
                        let mut last = lock(&last);
                        *last = (*last).max(now);
                    }
                    clock.sleep(FIRST_TYPICAL).await;
                    drop(permit);
                }));
            }
            let mut patience = 0;
            while tasks.iter().any(|task| !task.is_finished()) {
                for _ in 0..8 {
                    tokio::task::yield_now().await;
                }
                world.clock.advance(Duration::from_millis(100));
                patience += 1;
                assert!(patience < 100_000, "a call never started");
            }
            let last = *lock(&last);
            (predicted.as_secs_f64(), fill::until(begun, last).as_secs_f64())
        });
        prop_assert!(took <= predicted * 2.0 + 2.0 && predicted <= took * 2.0 + 2.0, "predicted {predicted} s, took {took} s");
    }
}

/// Counts down when the call ends, however it ends.
fn scopeguard(count: Arc<AtomicU32>) -> impl Drop {
    struct Guard(Arc<AtomicU32>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    Guard(count)
}
