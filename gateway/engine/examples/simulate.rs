//! Tells stories of the simulation: many, or one step by step.
//!
//!     cargo run --release -p engine --example simulate -- --seeds 10000 --from 0
//!     cargo run --release -p engine --example simulate -- --seed 42 --verbose
//!     cargo run --release -p engine --example simulate -- --seeds 10000 --sabotage ForgetRepeated

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::large_enum_variant,
    dead_code,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    reason = "a program of the tests"
)]

#[path = "../tests/simulation/world/mod.rs"]
mod world;

use std::process::ExitCode;
use std::time::Instant;

use world::{Options, Report, Sabotage, play};

/// What the command line says.
struct Asked {
    seeds: u64,
    from: u64,
    seed: Option<u64>,
    verbose: bool,
    sabotage: Option<Sabotage>,
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked { seeds: 10_000, from: 0, seed: None, verbose: false, sabotage: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().ok_or_else(|| format!("{word} needs a number"))?;
            value.parse::<u64>().map_err(|_| format!("{word} {value}: not a number"))
        };
        match word.as_str() {
            "--seeds" => asked.seeds = number()?,
            "--from" => asked.from = number()?,
            "--seed" => asked.seed = Some(number()?),
            "--verbose" => asked.verbose = true,
            "--sabotage" => {
                let name = words.next().unwrap_or_default();
                let known = Sabotage::ALL.into_iter().find(|one| format!("{one:?}") == name);
                asked.sabotage = Some(known.ok_or_else(|| format!("no sabotage: {name}; {:?}", Sabotage::ALL))?);
            }
            _ => return Err(format!("unknown: {word}; known: --seeds N --from S --seed X --verbose --sabotage NAME")),
        }
    }
    Ok(asked)
}

fn main() -> ExitCode {
    let asked = match asked() {
        Ok(asked) => asked,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let seeds = asked.seed.map_or(asked.from..asked.from.saturating_add(asked.seeds), |seed| seed..seed + 1);
    let options = Options { verbose: asked.verbose && asked.seed.is_some(), sabotage: asked.sabotage };
    let (started, mut all, mut broken) = (Instant::now(), Report::default(), 0_u32);
    for seed in seeds.clone() {
        let report = match play(seed, options) {
            Ok(report) => report,
            Err(one) => {
                broken += 1;
                println!("seed {seed}: {}", one.what);
                one.report
            }
        };
        for line in &report.trace {
            println!("{line}");
        }
        all.add(&report);
    }
    println!(
        "{} seeds in {:.1} s: {} events, {} changes acknowledged, {} writes at the target, {} lost or refused calls, \
         {} crashes, {} freezes, {} in need of a person at the end, {broken} stories broken",
        seeds.end - seeds.start,
        started.elapsed().as_secs_f64(),
        all.events,
        all.acknowledged,
        all.calls,
        all.faults,
        all.crashes,
        all.freezes,
        all.needs
    );
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
