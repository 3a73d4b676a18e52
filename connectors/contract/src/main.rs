//! `cargo run -p contract -- NAME`: the contract kit over one connector, without compiling the gateway.
//! `scimgate connector check NAME` does the same and more.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks")]

use std::process::ExitCode;

use contract::{check, subjects};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(name) = std::env::args().nth(1) else {
        eprintln!("Say which connector: cargo run -p contract -- NAME");
        return ExitCode::from(2);
    };
    let mut whole = true;
    let mut played = false;
    for subject in subjects().into_iter().filter(|one| one.connector == name) {
        played = true;
        match subject.play().await {
            Ok(report) => {
                println!("{}\n{report}", subject.title());
                if let Some(next) = check::next(&report) {
                    whole = false;
                    println!("Next, in {}: {}: {}", next.file, next.promise, next.verdict.why());
                }
            }
            Err(error) => {
                whole = false;
                eprintln!("{}: {error}", subject.title());
            }
        }
    }
    if !played {
        eprintln!("No connector {name:?} is in connectors/contract/src/subjects.rs.");
        return ExitCode::from(3);
    }
    if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
