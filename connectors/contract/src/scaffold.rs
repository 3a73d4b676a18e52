//! Lays down a new connector in a checkout: what `scimgate connector new` does.
//!
//! The files are templates in this package, so that they travel in the binary; a test lays one down, compiles
//! it and plays it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A connector could not be laid down. Nothing was written, unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// The name cannot be one.
    #[error("{0:?} cannot be the name of a connector: {1}.")]
    Name(String, &'static str),
    /// The title cannot be one.
    #[error("The title {0:?} cannot stand in the source: leave out quotes, backslashes, braces and line breaks.")]
    Title(String),
    /// There is one of that name.
    #[error("There is a {0:?} already: {1}. Choose another name.")]
    Taken(String, String),
    /// The folder is no checkout.
    #[error("{0} is no checkout of scimgate: {1} is not there. Name one with --dir.")]
    NoCheckout(PathBuf, &'static str),
    /// A file has another form than this version expects.
    #[error(
        "{0} has another form than this version of scimgate expects: {1} was not found. Is the checkout of the same version?"
    )]
    Form(String, &'static str),
    /// A file could not be read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
}

/// What is laid down: each path below the checkout, with its whole text.
type Files = Vec<(PathBuf, String)>;

const LIB: &str = "connectors/src/lib.rs";
const SIMULATORS: &str = "connectors/simulators/src/lib.rs";
const SUBJECTS: &str = "connectors/contract/src/subjects.rs";

const CONNECTOR: [(&str, &str); 7] = [
    ("mod.rs", include_str!("../templates/connector/mod.rs")),
    ("about.rs", include_str!("../templates/connector/about.rs")),
    ("settings.rs", include_str!("../templates/connector/settings.rs")),
    ("client.rs", include_str!("../templates/connector/client.rs")),
    ("accounts.rs", include_str!("../templates/connector/accounts.rs")),
    ("groups.rs", include_str!("../templates/connector/groups.rs")),
    ("README.md", include_str!("../templates/connector/README.md")),
];
const SIMULATOR: &str = include_str!("../templates/simulator/mod.rs");
/// The function that says what is not written yet. It stands apart, because it goes once all is.
const UNWRITTEN: &str = include_str!("../templates/connector/unwritten.rs");

/// Words that Rust keeps for itself, and names that would be confusing.
const KEPT: [&str; 45] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "unsafe", "use",
];

/// That a name can be a connector's: small letters, digits and underscores, a letter first, no word of Rust's.
///
/// # Errors
/// [`ScaffoldError::Name`], with what is wrong.
pub fn check_name(name: &str) -> Result<(), ScaffoldError> {
    let wrong = |why| Err(ScaffoldError::Name(name.chars().take(60).collect(), why));
    if !(2..=30).contains(&name.len()) {
        return wrong("it has from 2 to 30 characters");
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return wrong("it begins with a small letter");
    }
    if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
        return wrong("it is made of small letters, digits and underscores");
    }
    if KEPT.contains(&name) || ["where", "while", "yield", "virtual", "unsized", "typeof", "builtin"].contains(&name) {
        return wrong("Rust keeps this word for itself");
    }
    Ok(())
}

/// `lunch_box` as `LunchBox`.
fn kind(name: &str) -> String {
    name.split('_')
        .filter_map(|part| {
            let mut letters = part.chars();
            letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
        })
        .collect()
}

/// Everything that a new connector is, for a checkout: its own files, and those that name it, changed.
///
/// # Errors
/// A name or title that cannot be one or is taken; a folder that is no checkout of this version.
pub fn plan(checkout: &Path, name: &str, title: Option<&str>) -> Result<Files, ScaffoldError> {
    check_name(name)?;
    let kind = kind(name);
    let title = title.map_or_else(|| kind.clone(), str::to_owned);
    if title.trim().is_empty() || title.contains(['"', '\\', '{', '}']) || title.chars().any(char::is_control) {
        return Err(ScaffoldError::Title(title));
    }
    let read = |path: &'static str| -> Result<String, ScaffoldError> {
        match fs::read_to_string(checkout.join(path)) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(ScaffoldError::NoCheckout(checkout.to_owned(), path))
            }
            Err(error) => Err(ScaffoldError::Io(checkout.join(path), error)),
        }
    };
    let (lib, simulators, subjects) = (read(LIB)?, read(SIMULATORS)?, read(SUBJECTS)?);
    let folder = PathBuf::from("connectors/src").join(name);
    let simulator = PathBuf::from("connectors/simulators/src").join(name);
    for taken in [&folder, &simulator, &folder.with_extension("rs"), &simulator.with_extension("rs")] {
        if checkout.join(taken).exists() {
            return Err(ScaffoldError::Taken(name.to_owned(), format!("{} is there", taken.display())));
        }
    }
    if simulators.contains(&format!("\"{name}\"")) || connectors::builtin().iter().any(|entry| entry.name == name) {
        return Err(ScaffoldError::Taken(name.to_owned(), "it is in the catalogue".to_owned()));
    }
    let fill = |text: &str| {
        let text = text.replace("@unwritten@", UNWRITTEN.trim_end());
        text.replace("@name@", name).replace("@Kind@", &kind).replace("@Title@", &title)
    };
    let mut files: Files = CONNECTOR.iter().map(|(file, text)| (folder.join(file), fill(text))).collect();
    files.push((simulator.join("mod.rs"), fill(SIMULATOR)));
    files.push((LIB.into(), {
        let text = module(LIB, &lib, name)?;
        listed(LIB, &text, "fn builtin()", "vec![", &format!("Entry::of::<{name}::{kind}>()"))?
    }));
    files.push((SIMULATORS.into(), {
        let text = module(SIMULATORS, &simulators, name)?;
        let text = listed(SIMULATORS, &text, "fn names()", "&[", &format!("\"{name}\""))?;
        let arm = format!("\"{name}\" => Some(Box::new({name}::{kind}::new(limits))),\n        ");
        before(SIMULATORS, &text, "fn target(", "_ => None", &arm)?
    }));
    files.push((
        SUBJECTS.into(),
        listed(SUBJECTS, &subjects, "fn subjects()", "vec![", &format!("Subject::of(\"{name}\")"))?,
    ));
    Ok(files)
}

/// Writes what was planned; says what was written.
///
/// # Errors
/// A file that cannot be written; those before it are there then.
pub fn write(checkout: &Path, files: &Files) -> Result<Vec<PathBuf>, ScaffoldError> {
    for (path, text) in files {
        let whole = checkout.join(path);
        let done = whole.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&whole, text));
        done.map_err(|error| ScaffoldError::Io(whole, error))?;
    }
    Ok(files.iter().map(|(path, _)| path.clone()).collect())
}

fn form(file: &str, what: &'static str) -> ScaffoldError {
    ScaffoldError::Form(file.to_owned(), what)
}

/// Adds `pub mod name;` where it belongs among the others.
fn module(file: &str, text: &str, name: &str) -> Result<String, ScaffoldError> {
    let line = format!("pub mod {name};");
    let mods = text.lines().enumerate().filter(|(_, line)| line.starts_with("pub mod ") || line.starts_with("mod "));
    let word = |line: &str| line.trim_start_matches("pub ").to_owned();
    let place = mods.clone().find(|(_, known)| word(known) > word(&line)).map(|(at, _)| at);
    let place = place.or_else(|| mods.last().map(|(at, _)| at + 1)).ok_or_else(|| form(file, "the list of modules"))?;
    let mut lines: Vec<&str> = text.lines().collect();
    lines.insert(place, &line);
    Ok(lines.join("\n") + "\n")
}

/// Adds an item at the end of the list that begins with `open` after `anchor`.
fn listed(file: &str, text: &str, anchor: &'static str, open: &str, item: &str) -> Result<String, ScaffoldError> {
    let start = text.find(anchor).ok_or_else(|| form(file, anchor))?;
    let inside = start + text[start..].find(open).ok_or_else(|| form(file, anchor))? + open.len();
    let mut depth = 1_usize;
    let end = text[inside..].char_indices().find_map(|(at, c)| {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(inside + at)
    });
    let end = end.ok_or_else(|| form(file, anchor))?;
    let (list, after) = (text[inside..end].trim_end(), &text[end..]);
    let comma = if list.is_empty() || list.ends_with(',') { "" } else { "," };
    let (gap, close) = if list.contains('\n') { ("\n        ", ",\n    ") } else { (" ", "") };
    let gap = if list.is_empty() { "" } else { gap };
    Ok(format!("{}{list}{comma}{gap}{item}{close}{after}", &text[..inside]))
}

/// Puts a text before `place` after `anchor`.
fn before(file: &str, text: &str, anchor: &'static str, place: &str, item: &str) -> Result<String, ScaffoldError> {
    let start = text.find(anchor).ok_or_else(|| form(file, anchor))?;
    let at = start + text[start..].find(place).ok_or_else(|| form(file, anchor))?;
    Ok(format!("{}{item}{}", &text[..at], &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_one_are_refused() {
        for name in [
            "",
            "x",
            "Lunch",
            "9lunch",
            "lunch-box",
            "lunch box",
            "../lunch",
            "type",
            "yield",
            "lünch",
            &"a".repeat(31),
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
        for name in ["lunch", "lunch_box", "s3"] {
            check_name(name).unwrap();
        }
    }

    #[test]
    fn lists_get_one_item_more_whatever_their_form() {
        for (before, after) in [
            ("fn f() { vec![A, B] }", "fn f() { vec![A, B, C] }"),
            ("fn f() { vec![] }", "fn f() { vec![C] }"),
            (
                "fn f() {\n    vec![\n        A(&[1]),\n        B,\n    ]\n}",
                "fn f() {\n    vec![\n        A(&[1]),\n        B,\n        C,\n    ]\n}",
            ),
        ] {
            assert_eq!(listed("x", before, "fn f()", "vec![", "C").unwrap(), after);
        }
        assert!(listed("x", "fn g() { vec![] }", "fn f()", "vec![", "C").is_err());
    }

    #[test]
    fn a_taken_name_a_strange_title_and_a_strange_folder_write_nothing() {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for name in ["github", "buildkite"] {
            assert!(matches!(plan(&checkout, name, None), Err(ScaffoldError::Taken(..))), "{name}");
        }
        assert!(matches!(plan(&checkout, "lunch", Some("a \"b\"")), Err(ScaffoldError::Title(_))));
        assert!(matches!(plan(Path::new("/nowhere"), "lunch", None), Err(ScaffoldError::NoCheckout(..))));
        assert_eq!(plan(&checkout, "lunch", None).unwrap().len(), CONNECTOR.len() + 4);
    }
}
