//! Whole binaries in a world that goes wrong: killed, frozen, ended, their database cut off, their disk full,
//! their target lying and stalling, while identity providers push fifty changes a second. Then it is quiet,
//! and three ledgers are compared: what was acknowledged, what the directory holds, what the target did.
//!
//! `SCIMGATE_CHAOS_LOOPS` says how many blows there are (docs/testing.md), `SCIMGATE_TEST_SEED` which.

#![allow(clippy::panic, clippy::print_stderr, reason = "test code: it fails by panicking, and says what it saw")]

mod client;
mod ledgers;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::env::setting;
use tests::postgres::{Postgres, is_root};
use tests::{Database, Db, Dice, Gateway, Scim, Sim, wait_until};
use tokio::task::{JoinSet, LocalSet};

use client::{Book, CLIENTS, Doors, client};
use ledgers::{compare, most_in_a_second};

/// Bounds are for defects, not for measuring.
pub(crate) const BOUND: Duration = Duration::from_secs(180);
/// What everything gets done within once it is quiet: the longest wait after a lost look is 5 minutes.
const QUIET: Duration = Duration::from_secs(420);
/// Calls a second that the target takes, which nobody told the gateway.
const LIMIT: usize = 60;

fn loops(short: u64) -> u64 {
    setting("SCIMGATE_CHAOS_LOOPS").and_then(|text| text.parse().ok()).unwrap_or(short)
}

fn seed() -> u64 {
    let told = setting("SCIMGATE_TEST_SEED").and_then(|text| text.parse().ok());
    let seed = told.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    eprintln!("SCIMGATE_TEST_SEED={seed}");
    seed
}

/// A small file system of its own, to be filled; `None` where this process may not make one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn make() -> Option<Self> {
        let folder = tempfile::tempdir().ok().filter(|_| is_root())?;
        let made = Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"]).arg(folder.path()).status();
        made.is_ok_and(|status| status.success()).then_some(Self(folder))
    }

    fn filler(&self) -> std::path::PathBuf {
        self.0.path().join("filler")
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let Ok(mut file) = std::fs::File::create(self.filler()) else { return };
        let block = vec![0_u8; 64 * 1024];
        for size in [block.len(), 512, 1] {
            while std::io::Write::write_all(&mut file, &block[..size]).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).ok();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(self.0.path()).status().ok();
    }
}

/// What can be struck.
struct Stage {
    replicas: Vec<Gateway>,
    sim: Sim,
    disk: Option<SmallDisk>,
    server: Option<Postgres>,
    struck: std::collections::BTreeMap<&'static str, u32>,
}

impl Stage {
    /// One blow.
    async fn strike(&mut self, dice: &mut Dice) {
        let faults = dice.roll(4);
        for _ in 0..faults {
            let what = match dice.roll(6) {
                0 => json!({"status": 429, "headers": {"retry-after": "1"}}),
                1 => json!({"status": 503}),
                2 => json!({"drop": "before"}),
                3 => json!({"drop": "after"}),
                _ => json!({"delay_ms": 200 + dice.roll(3_000)}),
            };
            self.sim.fault(json!([{"match": {"path": "."}, "times": 1 + dice.roll(4), "do": what}])).await;
        }
        let place = usize::try_from(dice.roll(self.replicas.len() as u64)).expect("a place of a list");
        let pause = Duration::from_millis(50 + dice.roll(1_500));
        let what = match dice.roll(10) {
            0 if self.disk.is_some() => "disk full",
            0 if self.server.is_some() => "database crash",
            1 | 2 => "freeze",
            3 => "end",
            _ => "kill",
        };
        *self.struck.entry(what).or_default() += 1;
        let replica = &mut self.replicas[place];
        match what {
            "disk full" => {
                if let Some(disk) = &self.disk {
                    disk.fill();
                    tokio::time::sleep(pause).await;
                    disk.free();
                }
                // What it cannot write to any more it may have given up: then it is started anew.
                if !replica.alive() {
                    replica.restart().await;
                }
            }
            "database crash" => {
                if let Some(server) = &self.server {
                    server.crash();
                }
            }
            "freeze" => {
                replica.freeze().await;
                // On a shared database also for longer than a lease lasts.
                let long = self.server.is_some() && dice.roll(2) == 0;
                tokio::time::sleep(if long { Duration::from_secs(17) } else { pause }).await;
                replica.thaw().await;
            }
            "end" => {
                replica.terminate().await;
                replica.restart().await;
            }
            _ => {
                replica.kill().await;
                replica.restart().await;
            }
        }
    }
}

/// Plays, and compares.
async fn play(name: &str, mut stage: Stage, blows: u64, seed: u64) {
    let started = Instant::now();
    let mut dice = Dice::new(seed);
    let admin = stage.replicas[0].admin();
    let made = admin.connect(&stage.sim, json!({"answer_within_ms": 100, "brake": false})).await;
    let doors = stage.replicas.iter();
    let doors = doors.map(|it| Scim::new(&format!("{}/i/{}/scim/v2", it.url, made.id), &made.scim.key)).collect();
    let mut doors = Doors { doors, groups: Vec::new() };
    let book = Arc::new(Book::default());
    doors.found(&mut dice, &book, 3).await;
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        let dice = Dice::new(dice.roll(u64::MAX));
        clients.spawn_local(client(n, doors.clone(), book.clone(), dice));
    }
    for blow in 0..blows {
        // So many more answers.
        let until = book.acknowledged.load(Ordering::Relaxed) + usize::try_from(1 + dice.roll(30)).unwrap_or(1);
        wait_until(&format!("{name}: a round has passed"), BOUND, async || {
            (book.acknowledged.load(Ordering::Relaxed) >= until).then_some(())
        })
        .await;
        if blow % 5 == 0 {
            stage.sim.accept(json!({})).await;
        }
        stage.strike(&mut dice).await;
    }
    book.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        if let Err(error) = ended {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    let active = started.elapsed();
    // Quiet.
    stage.sim.heal().await;
    let quiet = Instant::now();
    for replica in &mut stage.replicas {
        assert!(replica.alive(), "{name}: a replica ended by itself:\n{}", replica.log());
    }
    let admin = stage.replicas[0].admin();
    let context = format!("{name}, SCIMGATE_TEST_SEED={seed}");
    let settled = async || {
        let Some(left) = admin.left_over(&made.id, QUIET).await else { return };
        let story = story(&context, &stage.sim.calls().await, &stage.replicas);
        panic!("left to do after {} s: {left:#}\n{story}", QUIET.as_secs());
    };
    settled().await;
    let converged = quiet.elapsed();
    stage.sim.accept(json!({})).await;
    admin.run(&made.id, "reconcile").await;
    settled().await;

    let people = book.read();
    let verdict = compare(&people, &doors.groups, &doors.doors[0], &stage.sim).await;
    let calls = stage.sim.calls().await;
    let refused = calls.iter().filter(|call| call["status"] == 429).count();
    let most = most_in_a_second(&calls);
    eprintln!(
        "{context}: {blows} blows {:?} in {:.0} s; acknowledged {}, lost {}, doubled {}; {} people, {} requests sent again, \
         converged in {:.1} s; {} calls, at most {most} taken in a second, {refused} refused",
        stage.struck,
        active.as_secs_f64(),
        book.acknowledged.load(Ordering::Relaxed),
        verdict.lost.len(),
        verdict.doubled.len(),
        people.len(),
        book.repeated.load(Ordering::Relaxed),
        converged.as_secs_f64(),
        calls.len(),
    );
    assert!(
        verdict.lost.is_empty() && verdict.doubled.is_empty(),
        "{verdict:#?}\n{}",
        story(&context, &calls, &stage.replicas)
    );
    assert!(refused * 4 < calls.len(), "{context}: {refused} of {} calls were refused", calls.len());
}

/// What went before: the target's last calls, and what the replicas logged last.
fn story(context: &str, calls: &[Value], replicas: &[Gateway]) -> String {
    let last = calls.iter().rev().take(300).rev().map(line).collect::<Vec<_>>().join("\n");
    let logs = replicas.iter().map(Gateway::log).collect::<Vec<_>>().join("\n--\n");
    format!("{context}\n{last}\n{logs}")
}

fn line(call: &Value) -> String {
    format!("{} {} {} {}", call["at"], call["method"], call["path"], call["status"])
}

#[tokio::test]
async fn one_gateway_on_sqlite_loses_and_doubles_nothing() {
    let seed = seed();
    let disk = SmallDisk::make();
    if disk.is_none() {
        eprintln!("skipped: disk full (no small file system can be mounted here)");
    }
    let place = disk.as_ref().map_or_else(std::env::temp_dir, |disk| disk.0.path().to_owned());
    let sim = Sim::start_with("github", &format!("{LIMIT}/s")).await;
    let gateway = Gateway::start_on(Db::Sqlite.fresh().await, Path::new(&place), &[]).await;
    let stage = Stage { replicas: vec![gateway], sim, disk, server: None, struck: Default::default() };
    LocalSet::new().run_until(play("SQLite", stage, loops(12), seed)).await;
}

#[tokio::test]
async fn three_gateways_on_postgresql_lose_and_double_nothing() {
    let Some(server) = Postgres::start() else {
        eprintln!("skipped: PostgreSQL (no initdb found)");
        return;
    };
    let seed = seed();
    let sim = Sim::start_with("buildkite", &format!("{LIMIT}/s")).await;
    let first = Gateway::start_on(Database::at(server.url()), &std::env::temp_dir(), &[]).await;
    let (second, third) = (first.beside().await, first.beside().await);
    let stage = Stage {
        replicas: vec![first, second, third],
        sim,
        disk: None,
        server: Some(server),
        struck: Default::default(),
    };
    LocalSet::new().run_until(play("PostgreSQL", stage, loops(8), seed)).await;
}
