//! `scimgate connector`: for whoever writes one. It needs no gateway.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use contract::scaffold::{self, ScaffoldError};

use super::exit::{Done, Exit, Stop};
use super::out::{Out, note};

mod check;
mod docs;
mod live;

/// `scimgate connector`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lay down a new connector with a simulator in a checkout; docs/connectors/writing.md goes on from there
    New(New),
    /// Hold a connector against its contract: with its simulated target, or with --live the real one
    Check(Box<check::Check>),
    /// Write the pages of docs/connectors from what the connectors declare and a run of the contract kit
    Docs(docs::Docs),
}

#[derive(Debug, Args)]
struct New {
    /// Its name: small letters, digits and underscores
    name: String,
    /// Its name for people
    #[arg(long, value_name = "T")]
    title: Option<String>,
    /// The checkout
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    dir: PathBuf,
}

impl Command {
    pub(super) async fn run(self) -> Done {
        match self.verb {
            Verb::New(new) => new.run(),
            Verb::Check(check) => check.run().await,
            Verb::Docs(docs) => docs.run().await,
        }
    }
}

impl New {
    fn run(self) -> Done {
        let files = scaffold::plan(&self.dir, &self.name, self.title.as_deref()).map_err(stop)?;
        let out = Out::new(false, false);
        for path in scaffold::write(&self.dir, &files).map_err(stop)? {
            out.line(&path.display().to_string())?;
        }
        note(&format!(
            "Next: cargo fmt --all, then cargo run -p contract -- {}: it says what to write. docs/connectors/writing.md walks through it.",
            self.name
        ));
        Ok(Exit::Ok)
    }
}

fn stop(error: ScaffoldError) -> Stop {
    match error {
        ScaffoldError::Io(..) => Stop::failed(error.to_string()),
        _ => Stop::usage(error.to_string()),
    }
}

/// The entry of a connector that is built in.
fn entry(name: &str) -> Result<connector_sdk::Entry, Stop> {
    let all = connectors::builtin();
    let names: Vec<&str> = all.iter().map(|entry| entry.name).collect();
    let names = names.join(", ");
    all.into_iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| Stop::new(Exit::NotFound, format!("There is no connector {name:?}. There are: {names}.")))
}
