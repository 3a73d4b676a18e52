//! What a request costs, against a bare axum + SQLite row server on the same machine in the same
//! run. Compare the ratios: absolute numbers say more about the machine than about the gateway.
//!
//!     cargo bench -p gateway --bench throughput
//!     cargo bench -p gateway --bench throughput -- --users 1000 --seconds 2
//!     cargo bench -p gateway --bench throughput -- --users 1000000
//!     cargo bench -p gateway --bench throughput -- --pages --users 100000
//!
//! Everything runs in one process over real loopback HTTP: the servers, the load client (16
//! keep-alive connections), and the simulated target (no limits, no delay). SQLite is on disk in
//! the build folder with `synchronous=FULL`, so a commit is a real one. Ends with an error if an
//! answer is wrong; asserts nothing about time.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark's output is its purpose")]

mod bare;
mod load;
mod pages;
mod past;
mod place;

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use gateway::config::LogFormat;
use http::Method;
use serde_json::json;

use load::{Load, Outcome, Shot};
use place::{Mode, Place};

/// What to measure.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// Users in the directory before a measurement. The paused instance's are put into its database; those of the
    /// enabled one are created by requests, so it is left out above twenty thousand
    #[arg(long, default_value_t = 10_000)]
    users: usize,
    /// Seconds of a case at most
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Keep-alive connections
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Measure the console's pages instead, with accounts and a week of operations
    #[arg(long)]
    pages: bool,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Users beside those of the large group; writes that need a fresh user take one each.
    fn extra(&self) -> usize {
        (self.users / 2).clamp(100, 10_000)
    }

    /// Members of the large group.
    fn large(&self) -> usize {
        self.users.min(10_000)
    }

    /// Members of the huge group.
    fn huge(&self) -> usize {
        self.users.min(50_000)
    }

    /// Groups of ten members.
    fn small_groups(&self) -> usize {
        (self.users / 10).clamp(1, if self.pages { 2_000 } else { 200 })
    }

    /// One request after the other.
    fn one_by_one(&self) -> Load {
        Load { connections: 1, ..self.load(usize::MAX) }
    }

    fn load(&self, requests: usize) -> Load {
        Load { connections: self.connections, requests, bound: Some(Duration::from_secs(self.seconds)) }
    }
}

/// Users that an enabled instance is filled with at most.
const MOST_CREATED: usize = 20_000;

/// One line of the table.
struct Line {
    what: String,
    against: Against,
    outcome: Outcome,
    drained: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Against {
    Reads,
    Writes,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    gateway::telemetry::start_log("error", LogFormat::Text)?;
    if options.pages {
        return pages::measure(&options).await;
    }
    println!(
        "{} connections, {} users, at most {} s a case, SQLite synchronous=FULL",
        options.connections, options.users, options.seconds
    );

    let bare = bare::Server::start(options.users).await?;
    let read = bare.reads(&options).await?;
    let write = bare.writes(&options).await?;
    bare.stop().await;
    println!("\nbare axum + SQLite");
    heads();
    print(
        &Line { what: "read one row".into(), against: Against::Reads, outcome: read.clone(), drained: None },
        &read,
        &write,
    );
    print(
        &Line {
            what: "insert one row, commits grouped".into(),
            against: Against::Writes,
            outcome: write.clone(),
            drained: None,
        },
        &read,
        &write,
    );

    for (mode, title) in [
        (Mode::Paused, "gateway, instance paused: the store's cost alone"),
        (Mode::Enabled, "gateway, simulated target without delay"),
    ] {
        if mode == Mode::Enabled && options.users > MOST_CREATED {
            println!("\n{title}: left out, creating {} users at the target takes too long", options.users);
            continue;
        }
        let place = Place::open(mode).await?;
        let idle = resident()?;
        let people = match mode {
            Mode::Paused => place.seed(&options).await?,
            Mode::Enabled => place.fill(&options).await?,
        };
        println!("\n{title}");
        heads();
        for line in cases(&options, &place, &people).await? {
            print(&line, &read, &write);
        }
        println!(
            "memory (VmRSS of the whole process, client and simulator included): {idle} MB when empty, {} MB now",
            resident()?
        );
        place.close().await;
    }
    Ok(())
}

async fn cases(options: &Options, place: &Place, people: &place::People) -> Result<Vec<Line>> {
    let reads = options.load(usize::MAX);
    let writes = options.load(options.extra());
    let seeded = people.users.len();
    let mut lines = Vec::new();

    let ids = people.users.clone();
    let shot = move |n: usize| Shot::get(format!("/Users/{}", ids[spread(n, ids.len())]));
    lines.push(place.reads("GET by id", &reads, shot).await?);

    let users = options.users;
    let shot = move |n: usize| {
        Shot::get(format!("/Users?filter=userName%20eq%20%22{}%22", place::user_name(spread(n, users))))
    };
    lines.push(place.reads("filter userName eq", &reads, shot).await?);

    let shot = move |n: usize| {
        Shot::get(format!("/Users?filter=emails.value%20eq%20%22{}%22", place::user_name(spread(n, users))))
    };
    lines.push(place.reads("filter emails.value eq", &reads, shot).await?);

    let shot = |_| Shot::get("/Users?filter=active%20eq%20true&count=100".to_owned());
    lines.push(place.reads("filter active eq true, first 100", &reads, shot).await?);

    let pages = (seeded / 100).max(1);
    let shot = move |n: usize| Shot::get(format!("/Users?startIndex={}&count=100", 1 + 100 * (n % pages)));
    lines.push(place.reads("list of 100", &reads, shot).await?);

    for (what, path) in [("cursor", "/Users?"), ("cursor, active eq true", "/Users?filter=active%20eq%20true")] {
        let first = Shot::get(format!("{path}&count=100&cursor="));
        lines.push(place.reads(&format!("{what}, first 100"), &reads, move |_| first.clone()).await?);
        let deep = place.cursor_within(path, options.users / 2).await?;
        let deep = Shot::get(format!("{path}&count=100&cursor={deep}"));
        let what = format!("{what}, 100 behind {}", options.users / 2);
        lines.push(place.reads(&what, &reads, move |_| deep.clone()).await?);
    }

    if let Some(huge) = &people.huge {
        let (members, size) = (&people.users[..options.huge()], options.huge());
        let get = Shot::get(format!("/Groups/{huge}"));
        lines.push(place.reads(&format!("GET of {size} members"), &reads, move |_| get.clone()).await?);
        let get = Shot::get(format!("/Groups/{huge}?excludedAttributes=members"));
        lines.push(place.reads("the same without its members", &reads, move |_| get.clone()).await?);
        let put = |members: &[String]| {
            Shot::write(Method::PUT, format!("/Groups/{huge}?attributes=id"), &place::group("Huge", members), &[200])
        };
        // One leaves and comes back: what is compared is fifty thousand, what changes is one.
        let puts = [put(&members[1..]), put(members)];
        let shot = move |n: usize| puts[n % 2].clone();
        lines.push(place.writes(&format!("PUT of {size} members, one changes"), &options.one_by_one(), shot).await?);
        let puts = [put(&[]), put(members)];
        let shot = move |n: usize| puts[n % 2].clone();
        lines.push(place.writes(&format!("PUT of none, PUT of {size}"), &options.one_by_one(), shot).await?);
    }

    // Users of their own, so that the number of the ones before stays as it is said.
    let shot = move |n: usize| Shot::write(Method::POST, "/Users".into(), &place::user(place::BEYOND + n), &[201]);
    lines.push(place.writes("create", &writes, shot).await?);

    let (groups, extra) = (people.small.clone(), people.users[options.users..].to_vec());
    let shot = move |n: usize| add(&groups[n % groups.len()], &extra[n % extra.len()]);
    lines.push(place.writes("add one member to a group of 10", &writes, shot).await?);

    let (group, extra) = (people.large.clone(), people.users[options.users..].to_vec());
    let shot = move |n: usize| add(&group, &extra[n % extra.len()]);
    lines.push(place.writes(&format!("add one member to a group of {}", options.large()), &writes, shot).await?);

    let ids = people.users.clone();
    let off = json!({"schemas": [place::PATCH], "Operations": [{"op": "replace", "path": "active", "value": false}]});
    let shot = move |n: usize| Shot::write(Method::PATCH, format!("/Users/{}", ids[n % ids.len()]), &off, &[200]);
    lines.push(place.writes("deactivate", &writes, shot).await?);
    Ok(lines)
}

fn add(group: &str, user: &str) -> Shot {
    let body = json!({"schemas": [place::PATCH], "Operations": [{"op": "add", "path": "members", "value": [{"value": user}]}]});
    Shot::write(Method::PATCH, format!("/Groups/{group}"), &body, &[200, 204])
}

impl Place {
    async fn reads(
        &self,
        what: &str,
        load: &Load,
        shot: impl Fn(usize) -> Shot + Send + Sync + 'static,
    ) -> Result<Line> {
        let outcome = self.shoot(load, shot).await.with_context(|| what.to_owned())?;
        Ok(Line { what: what.to_owned(), against: Against::Reads, outcome, drained: None })
    }

    async fn writes(
        &self,
        what: &str,
        load: &Load,
        shot: impl Fn(usize) -> Shot + Send + Sync + 'static,
    ) -> Result<Line> {
        let outcome = self.shoot(load, shot).await.with_context(|| what.to_owned())?;
        let drained = self.drained().await?;
        Ok(Line { what: what.to_owned(), against: Against::Writes, outcome, drained })
    }
}

/// Visits all of `0..of` in an order that no cache foresees.
fn spread(n: usize, of: usize) -> usize {
    n.wrapping_mul(7_919) % of
}

fn heads() {
    println!(
        "{:<38} {:>9} {:>10} {:>9} {:>9} {:>11} {:>9}",
        "", "requests", "per second", "p50 ms", "p99 ms", "bare / this", "drain s"
    );
}

fn print(line: &Line, read: &Outcome, write: &Outcome) {
    let bare = if line.against == Against::Reads { read } else { write };
    println!(
        "{:<38} {:>9} {:>10.0} {:>9.2} {:>9.2} {:>10.2}x {:>9}",
        line.what,
        line.outcome.requests(),
        line.outcome.rate(),
        line.outcome.percentile(50),
        line.outcome.percentile(99),
        bare.rate() / line.outcome.rate(),
        line.drained.map_or_else(|| "-".to_owned(), |drained| format!("{:.2}", drained.as_secs_f64())),
    );
}

/// Memory of this process that is in RAM, in MB.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes / 1024)
}
