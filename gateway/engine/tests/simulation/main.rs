//! The engine in a world that goes wrong: thousands of invented stories, each told by a seed, with the
//! invariants of docs/guarantees.md checked after every step. A story that breaks one is told again, step by
//! step, by `cargo run --release -p engine --example simulate -- --seed SEED --verbose`.

#![allow(missing_docs, unreachable_pub, reason = "the simulation is shared with an example, and is nobody's interface")]

mod world;

use world::check::caught;
use world::{Options, Report, Sabotage, play};

/// Stories of the short run.
const STORIES: u64 = 2_000;

#[test]
fn whatever_goes_wrong_nothing_is_lost_and_nothing_doubled() {
    let mut all = Report::default();
    for seed in 0..STORIES {
        match play(seed, Options::default()) {
            Ok(report) => all.add(&report),
            Err(broken) => panic!("seed {seed}: {}", broken.what),
        }
    }
    eprintln!("{STORIES} stories: {all:?}");
    assert!(all.acknowledged > 0 && all.faults > 0 && all.crashes > 0 && all.freezes > 0);
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in [1, 7, 42] {
        let tell = || play(seed, Options { verbose: true, ..Options::default() }).map(|report| report.trace);
        assert_eq!(tell().ok(), tell().ok());
    }
}

/// A simulation that cannot fail shows nothing: every wrong piece of glue has to be caught.
#[test]
fn every_sabotage_is_caught() {
    for sabotage in Sabotage::ALL {
        let Some((seed, what)) = caught(sabotage, 4_000) else { panic!("{sabotage:?} was never caught") };
        eprintln!("{sabotage:?} is caught by seed {seed}: {what}");
    }
}
