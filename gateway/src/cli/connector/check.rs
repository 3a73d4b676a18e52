//! `scimgate connector check`.

use clap::Args;
use clap::builder::BoolishValueParser;
use contract::check::{self, Row, Verdict};
use serde_json::Value;

use super::super::body::pair;
use super::super::exit::{Done, Exit, Stop};
use super::super::out::Out;
use super::super::table::{Table, column};

/// `scimgate connector check NAME`.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Which connector
    pub(super) name: String,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Show every column on a terminal
    #[arg(long)]
    pub(super) wide: bool,
    /// Against the real target: reads only, and prints every call
    #[arg(long)]
    pub(super) live: bool,
    /// A setting; also SCIMGATE_CHECK_ and its name in capitals
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, requires = "live")]
    pub(super) set: Vec<(String, String)>,
    /// A credential: NAME=@FILE, NAME=@- for standard input, or the value; also SCIMGATE_CHECK_ and its name
    #[arg(long, value_name = "NAME=@FILE", value_parser = pair, requires = "live")]
    pub(super) secret: Vec<(String, String)>,
    /// Also make a group of its own, and with --person a person; both are removed again, whatever happens
    #[arg(long, requires = "live")]
    pub(super) allow_writes: bool,
    /// The address of the person to make: a mailbox of yours, for an invitation may go there
    #[arg(long, value_name = "ADDRESS", requires = "allow_writes")]
    pub(super) person: Option<String>,
    /// Do not ask before writing
    #[arg(long, requires = "allow_writes")]
    pub(super) yes: bool,
    /// With --live: let the target have a private address, and plain http
    #[arg(long, env = "SCIMGATE_ALLOW_PRIVATE_TARGETS", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    pub(super) allow_private_targets: Option<bool>,
}

impl Check {
    pub(super) async fn run(self) -> Done {
        let entry = super::entry(&self.name)?;
        if self.live {
            return super::live::run(self, entry).await;
        }
        let out = Out::new(self.json, self.wide);
        let subjects: Vec<_> =
            contract::subjects().into_iter().filter(|subject| subject.connector == self.name).collect();
        if subjects.is_empty() {
            return Err(Stop::new(
                Exit::NotFound,
                format!("{} has no simulated target to be checked with. With credentials: --live", self.name),
            ));
        }
        let mut kept = true;
        let mut documents = Vec::new();
        for subject in subjects {
            let report = subject.play().await.map_err(|error| Stop::failed(error.to_string()))?;
            kept &= report.failed.is_empty();
            if self.json {
                documents.push(check::document(subject.connector, subject.way, &report));
                continue;
            }
            out.line(&subject.title())?;
            out.table(&table(&check::rows(&report)), "")?;
            out.line(&format!(
                "{} kept, {} broken, {} skipped",
                report.passed.len(),
                report.failed.len(),
                report.skipped.len()
            ))?;
            if !report.unmade.is_empty() {
                out.line(&format!("declared, and made by no case: {}", report.unmade.join(", ")))?;
            }
            if let Some(next) = check::next(&report) {
                let place = next.place(subject.connector);
                out.hint(&format!("Next, in {place}: {}: {}", next.promise, next.verdict.why()));
            }
            out.line("")?;
        }
        if self.json {
            out.document(&Value::Array(documents))?;
        }
        Ok(if kept { Exit::Ok } else { Exit::Failed })
    }
}

/// Promises and verdicts; what was seen of a broken one is long, so its first words stand in the table.
pub(super) fn table(rows: &[Row]) -> Table {
    const MOST: usize = 200;
    let mut table = Table::new([column("VERDICT"), column("PROMISE"), column("FILE").rank(2), column("WHY").rank(1)]);
    for row in rows {
        let why: String = row.verdict.why().chars().take(MOST).collect();
        let file = if matches!(row.verdict, Verdict::Broken(_)) { row.file } else { "" };
        table.row([row.verdict.word(), row.promise.as_str(), file, why.as_str()]);
    }
    table
}
