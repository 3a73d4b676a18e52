//! `scimgate connectors`. It needs no gateway: the connectors are built in.

use clap::Args;
use serde_json::{Value, json};

use super::client::{Client, text};
use super::exit::{Done, Exit, Stop};
use super::out::Out;
use super::table::{Table, column};

/// `scimgate connectors [NAME]`.
#[derive(Debug, Args)]
pub(super) struct Connectors {
    /// A connector: shows its settings, attributes and limits
    name: Option<String>,
    /// Print JSON, in the form of the admin API
    #[arg(long)]
    json: bool,
    /// Show every column on a terminal
    #[arg(long)]
    wide: bool,
}
