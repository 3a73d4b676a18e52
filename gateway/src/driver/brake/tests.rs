//! The count in the store against one in memory, on every database.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;
use crate::clock::Clock;
use crate::store::tests::places;
use crate::store::{Priority, Store, Unit};

struct Ask {
    scope: i64,
    limits: Limits,
    person: i64,
}

#[async_trait]
impl Unit for Ask {
    type Out = bool;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<bool, StoreError> {
        let mut tally = Tally::open(tx, self.scope, &self.limits, self.scope, Effect::Deprovision).await?;
        tally.admit_all(tx, &[self.person]).await
    }
}

/// Gives an instance so many accounts that nobody manages.
struct Accounts(i64, i64);

#[async_trait]
impl Unit for Accounts {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        for n in 0..self.1 {
            tx.conn
                .run(
                    "INSERT INTO account (seq, instance_seq, kind, remote_id, status, protected, ours, doc, invites) VALUES ($1,$2,'User',$3,'active',0,0,'{}',0)",
                    vals![tx.seq()?, self.0, format!("a{n}")],
                )
                .await?;
        }
        Ok(())
    }
}

async fn ask(store: &Store, scope: i64, limits: &Limits, person: i64) -> bool {
    store.write(Priority::Driver, Ask { scope, limits: limits.clone(), person }).await.unwrap()
}

/// Plays one sequence of leavers, each so many minutes after the one before.
async fn play(store: &Store, clock: &Clock, scope: i64, limits: &Limits, size: i64, asked: &[(i64, u64)]) {
    store.write(Priority::Driver, Accounts(scope, size)).await.unwrap();
    let mut sent: BTreeMap<i64, i64> = BTreeMap::new();
    for (person, minutes) in asked {
        clock.advance(Duration::from_secs(minutes * 60));
        let now = clock.micros();
        sent.retain(|_, at| *at > now - limits.window());
        // Who was counted and has no account any more is of the size as well: here nobody has a link.
        let size = u64::try_from(size).unwrap() + sent.len() as u64;
        let want = sent.contains_key(person) || (sent.len() as u64) < limits.most(size);
        let got = ask(store, scope, limits, *person).await;
        // A size that was measured a moment ago, or a larger one within the window, may let more pass,
        // but never more than the limit of the largest size there was.
        assert!(got || !want, "{person} at {now}: {} sent, {limits:?}", sent.len());
        if got {
            sent.insert(*person, now);
        }
        let largest = size.max(u64::try_from(asked.len()).unwrap());
        assert!(sent.len() as u64 <= limits.most(largest + sent.len() as u64), "{} sent, {limits:?}", sent.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_counts_what_a_window_in_memory_counts() {
    let sequences = prop::collection::vec(
        (
            0_u32..8,
            prop_oneof![Just(0_u32), 0_u32..=50],
            0_i64..60,
            prop::collection::vec((0_i64..25, 0_u64..30), 1..60),
        ),
        12,
    );
    let mut runner = TestRunner::deterministic();
    for place in places().await {
        let clock = Clock::manual(Timestamp::from_second(1_800_000_000).unwrap());
        let store = Store::open(&place.database, clock.clone()).await.unwrap();
        let plays = sequences.new_tree(&mut runner).unwrap().current();
        for (scope, (accounts, percent, size, asked)) in (900_001_i64..).zip(plays) {
            let limits = Limits { accounts, percent, ..Limits::default() };
            play(&store, &clock, scope, &limits, size, &asked).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_no_more_than_the_limit_pass() {
    for place in places().await {
        let store = Store::open(&place.database, Clock::system()).await.unwrap();
        let limits = Limits { accounts: 7, percent: 0, ..Limits::default() };
        let asked = (0..40).map(|person| ask(&store, 900_100, &limits, person));
        let passed = futures_util::future::join_all(asked).await.into_iter().filter(|may| *may).count();
        assert_eq!(passed, 7);
        let again = (0..40).map(|person| ask(&store, 900_100, &limits, person));
        let passed = futures_util::future::join_all(again).await.into_iter().filter(|may| *may).count();
        assert_eq!(passed, 7, "who was counted passes again, nobody else does");
    }
}
