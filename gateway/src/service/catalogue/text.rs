//! The text of a manifest, read.

use std::sync::{Arc, OnceLock};

use connector_sdk::Entry;
use declarative::Manifest;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use declarative::Problem;

/// The longest text of a manifest, in bytes. The largest real one is a tenth of it.
pub const MAX_TEXT: usize = 256 * 1024;
/// The longest name and version: both stand in URLs.
const MAX_WORD: usize = 64;
/// Names that are paths of the admin API.
const RESERVED: [&str; 4] = ["check", "preview", "schema", "test"];

/// How a manifest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// TOML.
    Toml,
    /// YAML, of which JSON is a part.
    Yaml,
}

impl Format {
    /// The word that the store and the API use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Toml => "toml",
            Self::Yaml => "yaml",
        }
    }

    /// What a text looks like: TOML where the first line that says something is a table or an assignment.
    pub fn guess(text: &str) -> Self {
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let line = line.unwrap_or_default();
        let at = |c| line.find(c).unwrap_or(usize::MAX);
        if line.starts_with('[') || at('=') < at(':') { Self::Toml } else { Self::Yaml }
    }

    /// The format of a word, of a file's extension, or of a media type without its parameters.
    pub fn of(word: &str) -> Option<Self> {
        let word = word.trim().to_ascii_lowercase();
        let word = word.strip_prefix("application/").or_else(|| word.strip_prefix("text/")).unwrap_or(&word);
        match word.strip_prefix("x-").unwrap_or(word) {
            "toml" => Some(Self::Toml),
            "yaml" | "yml" | "json" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// A manifest that was read and found sound, with its text.
pub struct Text {
    manifest: Manifest,
    format: Format,
    text: String,
    digest: String,
    /// Made at first use: it keeps its names for as long as the process lives.
    entry: OnceLock<Result<Arc<Entry>, Problem>>,
}

impl Text {
    /// Reads a manifest.
    ///
    /// # Errors
    /// Everything that is wrong with it; at least one problem.
    pub fn read(text: &str, format: Format) -> Result<Self, Vec<Problem>> {
        if text.len() > MAX_TEXT {
            let message = format!("is {} bytes long; a manifest has at most {MAX_TEXT}", text.len());
            return Err(vec![Problem { line: None, field: "text".to_owned(), message }]);
        }
        let written = match format {
            Format::Toml => declarative::Format::Toml,
            Format::Yaml => declarative::Format::Yaml,
        };
        let manifest = Manifest::parse(text, written)?;
        let digest = digest_of(text);
        let read = Self { manifest, format, text: text.to_owned(), digest, entry: OnceLock::new() };
        let problems: Vec<Problem> = [("name", read.name_problem()), ("version", read.version_problem())]
            .into_iter()
            .filter_map(|(field, problem)| Some(Problem::of(&read, field, problem?)))
            .collect();
        if problems.is_empty() { Ok(read) } else { Err(problems) }
    }

    /// The connector's name.
    pub fn name(&self) -> &str {
        self.manifest.name()
    }

    /// Its version.
    pub fn version(&self) -> &str {
        self.manifest.version()
    }

    /// How it is written.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 of the text, in hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What it was read as.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The connector.
    ///
    /// # Errors
    /// This process keeps too many names of manifests.
    pub fn entry(&self) -> Result<Arc<Entry>, Problem> {
        self.entry.get_or_init(|| self.manifest.entry().map(Arc::new)).clone()
    }

    fn name_problem(&self) -> Option<String> {
        let name = self.name();
        let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        let rest = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
        if !first || !rest || name.len() > MAX_WORD {
            return Some(format!(
                "must be 1 to {MAX_WORD} lower-case letters, digits, - and _, a letter first: it stands in URLs"
            ));
        }
        RESERVED.contains(&name).then(|| format!("{name:?} is a path of the admin API; choose another name"))
    }

    fn version_problem(&self) -> Option<String> {
        let version = self.version();
        let fits = version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte));
        // A path that is one or two dots means another place.
        let dots = version.bytes().all(|byte| byte == b'.');
        (version.is_empty() || version.len() > MAX_WORD || !fits || dots)
            .then(|| format!("must be 1 to {MAX_WORD} letters, digits, dots, +, - and _, such as \"1.0\""))
    }
}

/// Problems of this crate's own.
pub(super) trait Own {
    /// What is wrong with a field at the top of a text, with its line.
    fn of(text: &Text, field: &str, message: impl Into<String>) -> Self;
}

impl Own for Problem {
    fn of(text: &Text, field: &str, message: impl Into<String>) -> Self {
        let begins = |line: &str| {
            let line = line.trim_start().trim_start_matches(['"', '\'']);
            line.strip_prefix(field)
                .is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(['=', ':']))
        };
        let line = text.text.lines().position(begins).and_then(|at| u32::try_from(at + 1).ok());
        Self { line, field: field.to_owned(), message: message.into() }
    }
}

/// SHA-256 of a text, in hex.
pub fn digest_of(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Problems as the admin API and the shell show them.
pub fn problems_json(problems: &[Problem]) -> Vec<Value> {
    problems
        .iter()
        .map(|problem| json!({"line": problem.line, "field": problem.field, "message": problem.message}))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_word_extension_and_media_type() {
        for (word, format) in [
            ("toml", Some(Format::Toml)),
            ("application/toml", Some(Format::Toml)),
            ("text/x-toml", Some(Format::Toml)),
            ("yml", Some(Format::Yaml)),
            ("Application/YAML", Some(Format::Yaml)),
            ("application/x-yaml", Some(Format::Yaml)),
            ("application/xml", None),
            ("text/plain", None),
            ("", None),
        ] {
            assert_eq!(Format::of(word), format, "{word}");
        }
    }

    #[test]
    fn a_text_tells_how_it_is_written() {
        for (text, format) in [
            ("\n# a: b\nname = \"a:b\"\n", Format::Toml),
            ("[auth]\n", Format::Toml),
            ("name: a = b\n", Format::Yaml),
            ("---\nname: x\n", Format::Yaml),
            ("{\"name\": \"x\"}", Format::Yaml),
            ("", Format::Yaml),
        ] {
            assert_eq!(Format::guess(text), format, "{text}");
        }
    }
}
