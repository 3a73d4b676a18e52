//! The docs name no command and no flag that is not there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::Cli;

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = vec![root.join("README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// What a page shows as a command of `scimgate`: in backticks, or in a line of its own.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for paragraph in text.split("\n\n") {
        let block = paragraph.lines().filter(|line| line.starts_with("    ")).map(|line| line.trim().to_owned());
        let joined = paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let spans = joined.split('`').skip(1).step_by(2).map(str::to_owned);
        for code in block.chain(spans) {
            // Variables may stand before it; what begins a second command is the shell's.
            let Some(at) = code.find("scimgate ") else { continue };
            let before = code[..at].trim_end();
            if before.is_empty() || before.ends_with("$(") || before.split(' ').all(|word| word.contains('=')) {
                let rest = &code[at + "scimgate ".len()..];
                found.push(rest.split([')', '>', '<', ';', '&', '#']).next().unwrap_or_default().trim().to_owned());
            }
        }
    }
    found
}

/// What of a command is not there.
fn wrong(line: &str) -> Option<String> {
    // What is quoted is a value.
    let bare: String = line.split(['"', '\'']).step_by(2).collect::<Vec<_>>().join(" ");
    let mut root = Cli::command();
    root.build();
    let mut here = &root;
    for word in bare.replace("\\|", "|").split_whitespace().take_while(|word| *word != "|") {
        if let Some(flag) = word.strip_prefix("--") {
            let flag = flag.split(['=', '|', ']', '[', ',']).next().unwrap_or_default();
            let known = here.get_arguments().any(|one| one.get_long() == Some(flag));
            if !known && !["help", "version"].contains(&flag) {
                return Some(format!("{} has no --{flag}", here.get_name()));
            }
        } else if here.has_subcommands() {
            // `list|show` names two.
            for name in word.split('|').filter(|name| !name.starts_with('[')) {
                if here.find_subcommand(name).is_none() {
                    return Some(format!("{} has no {name}", here.get_name()));
                }
            }
            here = here.find_subcommand(word)?;
        }
    }
    None
}

#[test]
fn every_command_and_flag_that_the_docs_name_is_there() {
    let mut seen = BTreeSet::new();
    let mut bad = Vec::new();
    for page in pages() {
        for line in commands(&std::fs::read_to_string(&page).unwrap()) {
            if let Some(problem) = wrong(&line) {
                bad.push(format!("{}: `scimgate {line}`: {problem}", page.display()));
            }
            seen.insert(line);
        }
    }
    assert_eq!(bad, [] as [String; 0]);
    assert!(seen.len() > 60, "only {} commands were found", seen.len());
    assert_eq!(wrong("key rotate acme KEY --overlap 24h"), None);
    assert_eq!(wrong("instance list|show"), None);
    assert!(wrong("keys rotate").is_some() && wrong("key turn").is_some() && wrong("key list --all-of-them").is_some());
}
