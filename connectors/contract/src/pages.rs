//! The pages of docs/connectors: what a connector declares, in the words of a reference, and what the contract kit
//! saw. `scimgate connector docs` writes them; a test keeps them fresh.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use connector_sdk::kit::{self, Report};
use connector_sdk::{Class, Entry, Kind, Repeatable, SettingKind, Suspend, Traits};
use serde_json::Value;

use crate::check::{Verdict, rows, sentence};
use crate::sim::BuildError;
use crate::subjects::{PLAYED_FOR_REAL, Subject, subjects};

/// The connector whose target is people: there is no server to start.
const BY_HAND: &str = "manual";

const MARK: &str =
    "<!-- Written by `scimgate connector docs` from what the connectors declare. Change it there, not here. -->";

/// A page: its file name and its text.
pub type PageText = (String, String);

/// Every page. `checkout` is where the connectors' own README.md are.
///
/// # Errors
/// A connector that cannot be built for its simulated target.
pub async fn pages(checkout: &Path) -> Result<(Vec<PageText>, Vec<(Subject, Report)>), BuildError> {
    let mut played = Vec::new();
    for subject in subjects() {
        let report = subject.play().await?;
        played.push((subject, report));
    }
    let entries = connectors::builtin();
    let mut all = vec![("README.md".to_owned(), catalogue(&entries, &played))];
    for entry in &entries {
        let more = std::fs::read_to_string(checkout.join("connectors/src").join(entry.name).join("README.md"));
        let ways: Vec<(&Subject, &Report)> =
            played.iter().filter(|(subject, _)| subject.connector == entry.name).map(|(s, r)| (s, r)).collect();
        all.push((format!("{}.md", entry.name), page(entry, &ways, more.ok().as_deref())?));
    }
    Ok((all, played))
}

/// One cell of a table: no bars, no line breaks.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn table(out: &mut String, heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let _ = writeln!(out, "| {} |", heads.join(" | "));
    let _ = writeln!(out, "|{}", "---|".repeat(heads.len()));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|text| cell(text)).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    out.push('\n');
}

fn list(out: &mut String, head: &str, items: &[&str]) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(out, "## {head}\n");
    for item in items {
        let _ = writeln!(out, "- {item}");
    }
    out.push('\n');
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "people",
        Kind::Group => "groups",
        Kind::UserAndGroup => "people and groups",
    }
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

fn page(entry: &Entry, ways: &[(&Subject, &Report)], more: Option<&str>) -> Result<String, BuildError> {
    let mut out = format!("# {}\n\n{MARK}\n\n", entry.title);
    if !entry.about.summary.is_empty() {
        let _ = writeln!(out, "{}\n", entry.about.summary);
    }
    let _ = writeln!(out, "Connector `{}`, for {}.\n", entry.name, kind(entry.kind));
    list(&mut out, "What it needs", &entry.about.needs);
    out.push_str("## Settings\n\n");
    let settings = entry.settings.iter().map(|setting| {
        let takes = match &setting.kind {
            SettingKind::Text => "text".to_owned(),
            SettingKind::Url => "URL".to_owned(),
            SettingKind::Flag => "true or false".to_owned(),
            SettingKind::Number => "whole number".to_owned(),
            SettingKind::Choice { values } => {
                values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
            }
        };
        let class = match setting.class {
            Class::Identity => "identity: fixed once something is linked",
            Class::Credential => "credential: sealed, never shown",
            Class::Tuning => "tuning",
        };
        let default = match (setting.required, setting.default) {
            (true, _) => "required".to_owned(),
            (false, Some(value)) => format!("`{value}`"),
            (false, None) => String::new(),
        };
        vec![format!("`{}`", setting.name), setting.help.to_owned(), takes, class.to_owned(), default]
    });
    table(&mut out, &["setting", "what it does", "takes", "class", "default"], settings);
    attributes(&mut out, entry);
    abilities(&mut out, entry, ways)?;
    list(&mut out, "What it cannot do", &entry.about.cannot);
    if !entry.about.calls.is_empty() {
        out.push_str("## Calls\n\nEvery call that it makes.\n\n");
        let calls = entry.about.calls.iter().map(|call| {
            vec![call.name.to_owned(), format!("`{} {}`", call.method, call.path), call.purpose.to_owned()]
        });
        table(&mut out, &["call", "request", "what for"], calls);
    }
    list(&mut out, "Limits", &entry.limits);
    list(&mut out, "Not confirmed", &entry.about.unverified);
    list(&mut out, "Sources", &entry.about.sources);
    contract(&mut out, entry, ways);
    if let Some(more) = more.map(str::trim).filter(|more| !more.is_empty()) {
        out.push_str("## More\n\n");
        out.push_str(&closing(more));
        out.push('\n');
    }
    Ok(out.trim_end().to_owned() + "\n")
}

fn attributes(out: &mut String, entry: &Entry) {
    if entry.attributes.is_empty() && entry.extensions.is_empty() {
        return;
    }
    out.push_str("## Attributes\n\nWhat reaches the target. All else that an identity provider sends stays in the directory.\n\n");
    if !entry.attributes.is_empty() {
        let rows = entry.attributes.iter().map(|(name, effect)| vec![format!("`{name}`"), (*effect).to_owned()]);
        table(out, &["attribute", "at the target"], rows);
    }
    for extension in &entry.extensions {
        let _ = writeln!(
            out,
            "{}: `urn:scimgate:params:scim:schemas:extension:{}:2.0:{}`\n",
            extension.description, entry.name, extension.resource_type
        );
        let described: Vec<Value> = serde_json::from_str(extension.attributes).unwrap_or_default();
        let text = |attribute: &Value, name: &str| attribute[name].as_str().unwrap_or_default().to_owned();
        let rows = described.iter().map(|attribute| {
            vec![format!("`{}`", text(attribute, "name")), text(attribute, "type"), text(attribute, "description")]
        });
        table(out, &["attribute", "type", "what it is"], rows);
    }
}

/// What one line says of the traits.
type Says = fn(&Traits) -> String;

/// What the traits say, a column for each way.
fn abilities(out: &mut String, entry: &Entry, ways: &[(&Subject, &Report)]) -> Result<(), BuildError> {
    if ways.is_empty() {
        return Ok(());
    }
    let mut built = Vec::new();
    for (subject, _) in ways {
        built.push((subject.way, subject.build()?.connector.traits().clone()));
    }
    let said: [(&str, Says); 11] = [
        ("serves", |traits| kind(traits.kind).to_owned()),
        ("a new person", |traits| {
            match (traits.kind, traits.invites) {
                (Kind::Group, _) => "is matched to an account that is there",
                (_, true) => "is invited",
                (_, false) => "has an account at once",
            }
            .to_owned()
        }),
        ("`active = false`", |traits| {
            match (traits.kind, traits.suspend) {
                (Kind::Group, _) => "takes the person out of the groups",
                (_, Suspend::Native) => "suspends",
                (_, Suspend::Removes) => "removes from the organisation",
            }
            .to_owned()
        }),
        ("attributes written later", |traits| {
            if traits.writable.is_empty() { "none".to_owned() } else { traits.writable.join(", ") }
        }),
        ("roles", |traits| {
            let role = |role: &connector_sdk::RoleTrait| {
                format!("`{}`{}", role.value, if role.privileged { " (privileged)" } else { "" })
            };
            if traits.roles.is_empty() {
                "none".to_owned()
            } else {
                traits.roles.iter().map(role).collect::<Vec<_>>().join(", ")
            }
        }),
        ("role of who asks for none", |traits| {
            traits.default_role.map_or_else(|| "the target's".to_owned(), |role| format!("`{role}`"))
        }),
        ("members per call", |traits| traits.members_per_call.to_string()),
        ("an invited person in groups", |traits| yes(traits.pending_members.any())),
        ("tells verified addresses", |traits| yes(traits.verified_emails)),
        ("a creation whose answer was lost", |traits| {
            match traits.repeats.create {
                _ if traits.kind == Kind::Group => "none is made",
                Repeatable::Idempotent => "is repeated",
                Repeatable::Verifiable => "is looked for first",
                Repeatable::Neither => "waits for a person",
            }
            .to_owned()
        }),
        ("budgets", |traits| {
            traits
                .buckets
                .iter()
                .map(|bucket| format!("`{}`", bucket.name))
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
                .join(", ")
        }),
    ];
    out.push_str("## What it does\n\n");
    let mut heads = vec![""];
    heads.extend(built.iter().map(|(way, _)| if way.is_empty() { entry.name } else { way }));
    let rows = said.iter().map(|(what, says)| {
        std::iter::once((*what).to_owned()).chain(built.iter().map(|(_, traits)| says(traits))).collect()
    });
    table(out, &heads, rows);
    Ok(())
}

/// What the kit saw, in a sentence for each way.
fn contract(out: &mut String, entry: &Entry, ways: &[(&Subject, &Report)]) {
    out.push_str("## The contract\n\n");
    for (subject, report) in ways {
        let _ = writeln!(
            out,
            "- {}: {} promises kept, {} broken, {} that do not apply. [Each of them](README.md#the-contract)",
            subject.title(),
            report.passed.len(),
            report.failed.len(),
            report.skipped.len()
        );
        if !report.unmade.is_empty() {
            let _ = writeln!(out, "  Calls that no case of the kit makes: {}.", report.unmade.join(", "));
        }
    }
    if let Some((_, tests)) = PLAYED_FOR_REAL.iter().find(|(name, _)| *name == entry.name) {
        let what = if entry.name == BY_HAND { "a desk in memory" } else { "the real thing, which its tests start" };
        let _ = writeln!(out, "The kit is played over it against {what}: `{tests}`.");
    }
    out.push('\n');
}

/// A connector's own README as a section: its headings go below those of the page, its title goes.
fn closing(text: &str) -> String {
    let level = |line: &str| line.bytes().take_while(|byte| *byte == b'#').count();
    let top = text.lines().skip(1).filter(|line| line.starts_with('#')).map(level).min().unwrap_or(1);
    let mut out = String::new();
    let mut code = false;
    for (at, line) in text.lines().enumerate() {
        code ^= line.trim_start().starts_with("```");
        if at == 0 && line.starts_with("# ") {
            continue;
        }
        if line.starts_with('#') && !code {
            let marks = "#".repeat((level(line).saturating_sub(top) + 3).clamp(3, 6));
            let _ = writeln!(out, "{marks} {}", line.trim_start_matches('#').trim());
        } else {
            let _ = writeln!(out, "{line}");
        }
    }
    out.trim().to_owned()
}

fn catalogue(entries: &[Entry], played: &[(Subject, Report)]) -> String {
    let mut out = format!("# Connectors\n\n{MARK}\n\n");
    out.push_str(
        "A connector speaks one target's API. Each has a page, made of what it declares. A new one: [writing.md](writing.md).\n\n## The catalogue\n\n",
    );
    let lines = entries.iter().map(|entry| {
        let needs =
            entry.settings.iter().filter(|setting| setting.required).map(|setting| format!("`{}`", setting.name));
        vec![
            format!("[{}]({}.md)", entry.title, entry.name),
            format!("`{}`", entry.name),
            kind(entry.kind).to_owned(),
            needs.collect::<Vec<_>>().join(", "),
            entry.about.summary.to_owned(),
        ]
    });
    table(&mut out, &["target", "connector", "serves", "must be given", ""], lines);
    out.push_str("## The contract\n\nWhat every connector promises, each line played against a simulator of the target made from the vendor's documents. A number says why a line does not apply.\n\n");
    let titles: Vec<String> = played.iter().map(|(subject, _)| subject.title()).collect();
    let mut heads = vec!["promise"];
    heads.extend(titles.iter().map(String::as_str));
    let all: Vec<Vec<Verdict>> =
        played.iter().map(|(_, report)| rows(report).into_iter().map(|row| row.verdict).collect()).collect();
    let mut reasons: Vec<String> = Vec::new();
    let lines: Vec<Vec<String>> = kit::promises()
        .iter()
        .enumerate()
        .map(|(at, (name, _))| {
            let cells = all.iter().map(|column| match column.get(at) {
                Some(Verdict::Kept) => "kept".to_owned(),
                Some(Verdict::Skipped(why)) => {
                    let number = reasons.iter().position(|known| known == why).unwrap_or_else(|| {
                        reasons.push(why.clone());
                        reasons.len() - 1
                    });
                    format!("({})", number + 1)
                }
                Some(Verdict::Broken(_)) | None => "**broken**".to_owned(),
            });
            std::iter::once(sentence(name)).chain(cells).collect()
        })
        .collect();
    table(&mut out, &heads, lines);
    for (at, why) in reasons.iter().enumerate() {
        let _ = writeln!(out, "({}) {why}  ", at + 1);
    }
    for (name, tests) in PLAYED_FOR_REAL {
        let (target, what) = match *name {
            BY_HAND => ("people", format!("a desk in memory, in `{tests}`")),
            _ => ("no simulator", format!("the real thing, which `{tests}` starts")),
        };
        let _ = writeln!(
            out,
            "\n`{name}` is not in this table, for its target is {target}: the kit is played over it against {what}."
        );
    }
    out.trim_end().to_owned() + "\n"
}
