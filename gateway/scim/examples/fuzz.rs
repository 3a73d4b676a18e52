//! Fuzzes every reader of the protocol from a seed: `--inputs N` (for each target), `--seed S`.
//!
//! Prints per target how many inputs there were and which was the slowest; ends with an error if one broke something.

#![allow(clippy::print_stdout, reason = "a program of the command line")]
#![allow(clippy::panic, reason = "a finding is a panic")]

#[path = "../tests/fuzz/mod.rs"]
mod fuzz;

use std::process::ExitCode;

fn main() -> ExitCode {
    let (mut inputs, mut seed) = (100_000, 1);
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let number = args.next().and_then(|text| text.replace('_', "").parse::<u64>().ok());
        match (name.as_str(), number) {
            ("--inputs", Some(n)) => inputs = n,
            ("--seed", Some(n)) => seed = n,
            _ => {
                println!("usage: fuzz [--inputs N] [--seed S]");
                return ExitCode::from(2);
            }
        }
    }
    // A finding is caught and told below; the hook would tell it twice.
    std::panic::set_hook(Box::new(|_| {}));
    let mut broken = false;
    for outcome in fuzz::run(inputs, seed) {
        let (took, text) = &outcome.slowest;
        let start: String = text.chars().take(120).collect();
        println!(
            "{}: {} inputs, {} accepted, {} findings, slowest {took:?} ({} bytes: {start})",
            outcome.target,
            outcome.inputs,
            outcome.accepted,
            outcome.findings.len(),
            text.len()
        );
        for finding in &outcome.findings {
            println!("  {}", finding.chars().take(4_000).collect::<String>());
        }
        broken |= !outcome.findings.is_empty();
    }
    if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
