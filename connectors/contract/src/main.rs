//! `cargo run -p contract -- NAME`: the contract kit over one connector, without compiling the gateway.
//! `scimgate connector check NAME` does the same and more. `cargo run -p contract -- --docs` writes the pages, as
//! `scimgate connector docs` does.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks")]

use std::path::Path;
use std::process::ExitCode;

use contract::{check, pages, subjects};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(name) = std::env::args().nth(1) else {
        eprintln!("Say which connector: cargo run -p contract -- NAME");
        return ExitCode::from(2);
    };
    if name == "--docs" {
        return docs().await;
    }
    let mut whole = true;
    let mut played = false;
    for subject in subjects().into_iter().filter(|one| one.connector == name) {
        played = true;
        match subject.play().await {
            Ok(report) => {
                println!("{}\n{report}", subject.title());
                if let Some(next) = check::next(&report) {
                    whole = false;
                    println!("Next, in {}: {}: {}", next.place(&name), next.promise, next.verdict.why());
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

async fn docs() -> ExitCode {
    let written = match pages::pages(Path::new(".")).await {
        Ok((pages, _)) => pages.iter().try_for_each(|(name, text)| {
            println!("docs/connectors/{name}");
            std::fs::write(Path::new("docs/connectors").join(name), text).map_err(|error| error.to_string())
        }),
        Err(error) => Err(error.to_string()),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
