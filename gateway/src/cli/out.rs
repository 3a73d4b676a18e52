//! Where a command's words go: data to standard output, everything else to standard error.

use std::io::{IsTerminal, Write};

use jiff::Timestamp;
use serde_json::Value;

use super::exit::Stop;
use super::table::{Look, Table, plain};
use super::times;
use crate::clock::Clock;

/// The width that tables keep to on a terminal.
const WIDTH: usize = 80;

/// How a command prints.
#[derive(Clone, Copy, Debug)]
pub(super) struct Out {
    /// Whether it prints the admin API's JSON.
    pub(super) json: bool,
    look: Look,
    now: Option<Timestamp>,
}

impl Out {
    /// Prints JSON or for people; `wide` keeps every column.
    pub(super) fn new(json: bool, wide: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self {
            json,
            look: match (terminal, wide) {
                (false, _) => Look::Tabs,
                (true, false) => Look::Aligned(WIDTH),
                (true, true) => Look::Aligned(usize::MAX),
            },
            // Programs get times as they are.
            now: terminal.then(|| Clock::system().now()),
        }
    }

    /// A line of data.
    ///
    /// # Errors
    /// Standard output is closed.
    pub(super) fn line(&self, text: &str) -> Result<(), Stop> {
        data(&format!("{text}\n"))
    }

    /// A JSON document.
    ///
    /// # Errors
    /// Standard output is closed.
    pub(super) fn document(&self, value: &Value) -> Result<(), Stop> {
        // Pretty only for eyes: programs read either.
        let text = if self.now.is_some() { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
        self.line(&text.map_err(|error| Stop::failed(error.to_string()))?)
    }

    /// A table; where it is empty, a word about it goes to standard error.
    ///
    /// # Errors
    /// Standard output is closed.
    pub(super) fn table(&self, table: &Table, empty: &str) -> Result<(), Stop> {
        if table.is_empty() {
            self.hint(empty);
        }
        data(&table.render(self.look))
    }

    /// A time as the reader wants it: from now for people, unchanged for programs.
    pub(super) fn time(&self, text: &str) -> String {
        self.now.map_or_else(|| text.to_owned(), |now| times::relative(text, now))
    }

    /// A word for the person beside the data.
    pub(super) fn hint(&self, text: &str) {
        note(text);
    }

    pub(super) fn warn_of_visible_token(&self) {
        let visible = std::env::args_os().any(|arg| {
            let arg = arg.to_string_lossy();
            arg == "--admin-token" || arg.starts_with("--admin-token=")
        });
        if visible && std::io::stderr().is_terminal() {
            note(
                "Warning: others on this machine see a token on the command line. Use SCIMGATE_ADMIN_TOKEN or --admin-token-file.",
            );
        }
    }
}

/// Writes data.
///
/// # Errors
/// Standard output is closed or full.
pub(super) fn data(text: &str) -> Result<(), Stop> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| Stop::output(&error))
}

/// A line for the person, on standard error. Control characters do not pass: parts of it come from
/// outside.
pub(super) fn note(text: &str) {
    let lines: Vec<String> = text.lines().map(plain).collect();
    // Where standard error is closed nobody reads it.
    let _ = writeln!(std::io::stderr().lock(), "{}", lines.join("\n"));
}

/// A yes from the person, by `ask`ing; `None` if there is nobody at a terminal.
pub(super) fn ask(question: &str) -> Option<String> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return None;
    }
    let mut err = std::io::stderr().lock();
    write!(err, "{} ", plain(question)).and_then(|()| err.flush()).ok()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).ok()?;
    Some(line.trim().to_owned())
}
