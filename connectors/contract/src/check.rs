//! What a run of the kit came to, promise by promise.

use connector_sdk::kit::{self, Report};
use serde_json::{Value, json};

/// What became of one promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Kept.
    Kept,
    /// It does not apply or could not be played, and why.
    Skipped(String),
    /// Broken, and what was seen.
    Broken(String),
}

impl Verdict {
    /// A word for tables and programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Skipped(_) => "skipped",
            Self::Broken(_) => "BROKEN",
        }
    }

    /// Why it was skipped, or what was seen.
    pub fn why(&self) -> &str {
        match self {
            Self::Kept => "",
            Self::Skipped(why) | Self::Broken(why) => why,
        }
    }
}

/// One promise, where it is kept, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The promise, as a sentence.
    pub promise: String,
    /// The file of the connector's folder.
    pub file: &'static str,
    /// What became of it.
    pub verdict: Verdict,
}

impl Row {
    /// Where the promise is kept by a connector: a file of its folder, or its manifest.
    pub fn place(&self, connector: &str) -> String {
        let file = format!("{connector}.toml");
        if connectors::MANIFESTS.iter().any(|(name, _)| *name == file) {
            return format!("config/connectors/{file}");
        }
        self.file.to_owned()
    }
}

/// A promise's name as a sentence.
pub fn sentence(name: &str) -> String {
    name.replace('_', " ")
}

/// Every promise of the contract in the kit's order, with what the report says of it.
pub fn rows(report: &Report) -> Vec<Row> {
    let of = |name: &str| -> Option<Verdict> {
        let told =
            |list: &[(&'static str, String)]| list.iter().find(|(one, _)| *one == name).map(|(_, why)| why.clone());
        if report.passed.contains(&name) {
            return Some(Verdict::Kept);
        }
        told(&report.skipped).map(Verdict::Skipped).or_else(|| told(&report.failed).map(Verdict::Broken))
    };
    kit::promises()
        .into_iter()
        .map(|(name, file)| Row {
            promise: sentence(name),
            file,
            verdict: of(name).unwrap_or_else(|| Verdict::Broken("it was not played".to_owned())),
        })
        .collect()
}

/// What to write next: the first promise that is broken, with its file and what was seen.
pub fn next(report: &Report) -> Option<Row> {
    rows(report).into_iter().find(|row| matches!(row.verdict, Verdict::Broken(_)))
}

/// The run as JSON.
pub fn document(connector: &str, way: &str, report: &Report) -> Value {
    json!({
        "connector": connector,
        "way": way,
        "ok": report.failed.is_empty(),
        "promises": rows(report).iter().map(|row| json!({
            "promise": row.promise,
            "file": row.file,
            "verdict": row.verdict.word().to_lowercase(),
            "why": (!row.verdict.why().is_empty()).then(|| row.verdict.why()),
        })).collect::<Vec<_>>(),
        "calls_that_no_case_made": report.unmade,
    })
}
