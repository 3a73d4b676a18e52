//! The docs name no command and no flag that is not there.

use std::collections::{BTreeMap, BTreeSet};
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

fn page(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(path)).unwrap()
}

/// The names in the first column of the tables of a page.
fn rows(page: &str) -> BTreeSet<&str> {
    let name = |line: &str| line.strip_prefix("| `").and_then(|rest| rest.split_once('`')).map(|(name, _)| name.len());
    page.lines().filter_map(|line| name(line).map(|len| &line[3..3 + len])).collect()
}

#[test]
fn the_page_on_settings_has_every_setting_and_every_field_of_the_policy() {
    let page = page("configuration.md");
    let rows = rows(&page);
    let mut root = Cli::command();
    root.build();
    let serve = root.find_subcommand("serve").unwrap();
    let settings = serve.get_arguments().filter_map(|one| one.get_long()).map(|name| name.replace('-', "_"));
    let of_file = settings.filter(|name| !["config", "ready_json", "help"].contains(&name.as_str()));
    let mut policy = engine::policy::Policy::default();
    (policy.put_without_active, policy.put_without_members) = (Some(Default::default()), Some(Default::default()));
    (policy.groups_via_users, policy.max_open_work) = (Some(true), Some(1));
    let policy = serde_json::to_value(policy).unwrap();
    let fields = policy.as_object().unwrap().keys().cloned();
    let missing: Vec<_> = of_file.chain(fields).filter(|name| !rows.contains(name.as_str())).collect();
    assert_eq!(missing, [] as [String; 0]);
}

#[test]
fn the_page_on_monitoring_has_every_metric_and_no_other() {
    let page = page("operations/monitoring.md");
    let names = |text: &str, before: &str| -> BTreeSet<String> {
        let name = |c: char| c.is_ascii_lowercase() || c == '_';
        let ends = |rest: &str| rest.split(|c| !name(c)).next().unwrap_or_default().to_owned();
        text.split(before).skip(1).map(ends).collect()
    };
    let there = names(include_str!("../telemetry.rs"), "&str = \"scimgate_");
    assert!(there.len() > 20, "{there:?}");
    assert_eq!(names(&page, "scimgate_"), there);
}

#[test]
fn the_page_on_monitoring_has_every_value_of_surface_and_reason() {
    let page = page("operations/monitoring.md");
    let row = |metric: &str| page.lines().find(|line| line.starts_with(&format!("| `{metric}`"))).unwrap_or_default();
    let code = [
        include_str!("../admin_api/mod.rs"),
        include_str!("../scim_api/mod.rs"),
        include_str!("../console/guard.rs"),
        include_str!("../console/session.rs"),
    ];
    for (label, row) in
        [("surface", row("scimgate_http_requests_total")), ("reason", row("scimgate_rejected_requests_total"))]
    {
        let before = format!("\"{label}\" => \"");
        let values: BTreeSet<&str> = code
            .iter()
            .flat_map(|text| text.split(&before).skip(1))
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(values.len() > 2, "{label}: {values:?}");
        for value in values {
            assert!(row.contains(&format!("`{value}`")), "{label} may be {value}: {row}");
        }
    }
}

#[test]
fn the_readme_has_every_command() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let root = Cli::command();
    let lacks: Vec<&str> = root
        .get_subcommands()
        .map(|one| one.get_name())
        .filter(|name| {
            *name != "help" && !readme.lines().any(|line| line.starts_with("| `") && line.contains(&format!("`{name}")))
        })
        .collect();
    assert_eq!(lacks, [] as [&str; 0]);
}

#[test]
fn the_page_on_the_admin_api_has_every_call_and_no_other() {
    let page = page("admin-api.md");
    let described = serde_json::to_value(crate::admin_api::openapi()).unwrap();
    let mut calls_of_code = BTreeMap::new();
    for (path, calls) in described["paths"].as_object().unwrap() {
        for (method, call) in calls.as_object().unwrap() {
            let words: Vec<_> = call["summary"].as_str().unwrap_or_default().split_whitespace().collect();
            calls_of_code.insert(format!("`{} {path}`", method.to_uppercase()), words.join(" "));
        }
    }
    assert!(calls_of_code.len() > 50, "only {} calls were found", calls_of_code.len());
    let of_page: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .filter(|cell| cell.starts_with('`'))
        .collect();
    let lacks: Vec<_> = calls_of_code
        .iter()
        .filter(|(call, _)| !of_page.contains(call.as_str()))
        .map(|(call, words)| format!("| {call} | {words} |"))
        .collect();
    let beyond: Vec<_> = of_page.iter().filter(|call| !calls_of_code.contains_key(**call)).collect();
    assert!(lacks.is_empty() && beyond.is_empty(), "docs/admin-api.md lacks {lacks:#?}, and has {beyond:#?}");
}
