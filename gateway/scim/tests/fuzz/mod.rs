//! Fuzzing on stable Rust: entry points, inputs from a seed, and the run.
//!
//! Half of the inputs follow the grammars, half are kept seeds that are spoilt. The same number gives the same inputs on
//! every machine, so a finding is named by its seed; what found something is kept in `seeds/`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

mod chance;
mod grammar;
mod targets;

use chance::Chance;
use targets::{Ground, TARGETS, Target};

/// The stack of the thread that reads: a quarter of what a server's thread has. What recurses on its input overflows
/// it, which aborts the process.
const STACK: usize = 512 << 10;

/// What one target's run came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Which.
    pub(crate) target: &'static str,
    /// How many inputs.
    pub(crate) inputs: u64,
    /// How many of them were accepted.
    pub(crate) accepted: u64,
    /// The longest that one took, and which.
    pub(crate) slowest: (Duration, String),
    /// Inputs that broke something, with what was said.
    pub(crate) findings: Vec<String>,
}

/// Runs so many inputs through every target, all kept seeds first.
///
/// # Panics
/// If the thread cannot be started.
pub(crate) fn run(inputs: u64, seed: u64) -> Vec<Outcome> {
    std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || TARGETS.iter().map(|target| one(target, inputs, seed)).collect())
        .expect("a thread can be started")
        .join()
        .expect("findings are caught")
}

fn one(target: &Target, inputs: u64, seed: u64) -> Outcome {
    let ground = Ground::default();
    let seeds: Vec<&str> = target.seeds.lines().filter(|line| !line.is_empty()).collect();
    let mut outcome = Outcome {
        target: target.name,
        inputs: 0,
        accepted: 0,
        slowest: (Duration::ZERO, String::new()),
        findings: Vec::new(),
    };
    for text in &seeds {
        try_one(target, &ground, text, &mut outcome);
    }
    let mut chance = Chance::new(seed ^ target.name.bytes().fold(0, |sum, byte| sum * 31 + u64::from(byte)));
    while outcome.inputs < inputs && outcome.findings.len() < 10 {
        let text = match chance.below(8) {
            0..3 => (target.make)(&mut chance),
            3 => {
                let text = (target.make)(&mut chance);
                let other = chance.of(&seeds).to_owned();
                chance.spoil(&text, target.words, &other)
            }
            _ => {
                let (text, other) = (chance.of(&seeds), chance.of(&seeds));
                chance.spoil(text, target.words, other)
            }
        };
        try_one(target, &ground, &text, &mut outcome);
    }
    outcome
}

fn try_one(target: &Target, ground: &Ground, text: &str, outcome: &mut Outcome) {
    outcome.inputs += 1;
    let mut took = Duration::MAX;
    // What seems slow is done again: the machine may have been elsewhere.
    for _ in 0..4 {
        let start = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(|| (target.run)(ground, text)));
        let first = took == Duration::MAX;
        took = took.min(start.elapsed());
        match ended {
            Ok(accepted) => outcome.accepted += u64::from(accepted && first),
            Err(said) => {
                let said = said.downcast_ref::<String>().map_or("a panic", String::as_str);
                outcome.findings.push(format!("{}: {text:?}: {said}", target.name));
                return;
            }
        }
        if took <= outcome.slowest.0 {
            return;
        }
    }
    outcome.slowest = (took, text.to_owned());
}
