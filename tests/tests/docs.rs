//! The pages for people lead nowhere that is not there.

#![expect(clippy::panic, reason = "a test reports by failing")]

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use tests::workspace;

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every page, by its path from the root.
fn pages() -> Vec<PathBuf> {
    let root = workspace();
    let mut found: Vec<_> = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(PathBuf::from).into();
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(root.join(&folder)).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        for entry in entries {
            let path = folder.join(entry.expect("a folder can be read to its end").file_name());
            if root.join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// A page without code, in which brackets are no links.
fn prose(text: &str) -> String {
    let outside: Vec<_> = text.split("```").step_by(2).collect();
    outside.join("").lines().flat_map(|line| line.split('`').step_by(2).chain(["\n"])).collect()
}

/// Where its links lead.
fn links(text: &str) -> Vec<String> {
    let text = prose(text);
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(to, _)| to.to_owned())).collect()
}

/// The names that its headings are linked to by: small letters, hyphens for blanks, no other signs.
fn anchors(text: &str) -> BTreeSet<String> {
    let heading = |line: &str| line.starts_with('#').then(|| line.trim_start_matches('#').trim().to_owned());
    let name = |text: String| -> String {
        let keep = |c: char| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        };
        text.chars().filter_map(keep).flat_map(char::to_lowercase).collect()
    };
    text.lines().filter_map(heading).map(name).collect()
}

/// `docs/idp/../needs.md` is `docs/needs.md`; none if it leads out of the root.
fn resolved(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => out.pop().then_some(())?,
            _ => {}
        }
    }
    Some(out)
}

/// What is wrong with a link of a page.
fn wrong(page: &Path, to: &str) -> Option<String> {
    if to.starts_with("https://") {
        return None;
    }
    if to.contains(':') {
        return Some("links are https or relative".to_owned());
    }
    let (file, anchor) = to.split_once('#').map_or((to, None), |(file, anchor)| (file, Some(anchor)));
    let file = if file.is_empty() { page.to_owned() } else { page.parent().unwrap_or(page).join(file) };
    let Some(file) = resolved(&file) else { return Some("it leads out of the source".to_owned()) };
    let path = workspace().join(&file);
    if !path.exists() {
        return Some(format!("there is no {}", file.display()));
    }
    let anchor = anchor.filter(|_| file.extension().is_some_and(|kind| kind == "md"))?;
    (!anchors(&read(&path)).contains(anchor)).then(|| format!("{} has no heading {anchor}", file.display()))
}

#[test]
fn every_link_of_every_page_leads_somewhere() {
    let mut bad = Vec::new();
    let mut seen = 0;
    for page in pages() {
        for to in links(&read(&workspace().join(&page))) {
            seen += 1;
            if let Some(problem) = wrong(&page, &to) {
                bad.push(format!("{}: ({to}): {problem}", page.display()));
            }
        }
    }
    assert_eq!(bad, [] as [String; 0]);
    assert!(seen > 100, "only {seen} links were found");
}

#[test]
fn a_link_that_leads_nowhere_is_seen() {
    let page = Path::new("docs/README.md");
    for (to, good) in [
        ("needs.md", true),
        ("../README.md#try-it", true),
        ("connectors", true),
        ("#documentation", true),
        ("https://example.com", true),
        ("no-such-page.md", false),
        ("needs.md#no-such-heading", false),
        ("#no-such-heading", false),
        ("../../elsewhere.md", false),
        ("http://example.com", false),
        ("javascript:alert", false),
    ] {
        assert_eq!(wrong(page, to).is_none(), good, "{to}");
    }
    let text = "a [b](c.md) `[x](y)` [`d`](e.md#f)\n```\n[g](h)\n```\n[i](j)";
    assert_eq!(links(text), ["c.md", "e.md#f", "j"]);
}

#[test]
fn every_picture_is_on_the_page_of_the_console_and_all_of_them_are_small() {
    let page = read(&workspace().join("docs/console.md"));
    let mut size = 0;
    for entry in std::fs::read_dir(workspace().join("docs/screenshots")).expect("there are pictures") {
        let entry = entry.expect("a folder can be read to its end");
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(page.contains(&format!("(screenshots/{name})")), "docs/console.md does not show {name}");
        size += entry.metadata().expect("a picture is a file").len();
    }
    assert!(size < 3 << 20, "the pictures have {size} bytes");
}
