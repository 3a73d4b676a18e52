//! `docs/scim-conformance.md` is held to these tests: every item of the checklist has its row, every test it names
//! exists and begins with the item's number, and no test is missing from it.

use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../../docs/scim-conformance.md");
const SOURCES: [&str; 11] = [
    include_str!("bulk.rs"),
    include_str!("crud.rs"),
    include_str!("cursor.rs"),
    include_str!("further.rs"),
    include_str!("patch.rs"),
    include_str!("patch_values.rs"),
    include_str!("query.rs"),
    include_str!("query_filters.rs"),
    include_str!("schema.rs"),
    include_str!("schema_characteristics.rs"),
    include_str!("versions_discovery_errors.rs"),
];
const TRANSPORT: &str = include_str!("transport.rs");

/// Where the tests of the events (items 170 to 180) are.
const EVENTS: [&str; 5] = [
    include_str!("../api/events/mod.rs"),
    include_str!("../api/events/delivery.rs"),
    include_str!("../engine/events.rs"),
    include_str!("../../scim/src/event.rs"),
    include_str!("../../../tests/tests/crash/events.rs"),
];

/// Items A to H and J of the checklist; I (170 to 180), the events, has tests elsewhere.
fn items() -> impl Iterator<Item = u32> {
    (1..=169).chain(181..=190)
}

/// Every test here, with the numbers that its name begins with.
fn tests() -> BTreeMap<String, BTreeSet<u32>> {
    let mut all = BTreeMap::new();
    for source in SOURCES.iter().chain([&TRANSPORT]) {
        let mut lines = source.lines().peekable();
        while let Some(line) = lines.next() {
            if line != "#[tokio::test]" {
                continue;
            }
            let name =
                lines.peek().and_then(|next| next.strip_prefix("async fn ")).and_then(|rest| rest.split('(').next());
            let name = name.unwrap_or_else(|| panic!("no function behind {line}")).to_owned();
            let numbers: BTreeSet<u32> = name.split('_').map_while(number).collect();
            assert!(!numbers.is_empty(), "{name} tells no number");
            assert!(all.insert(name.clone(), numbers).is_none(), "{name} is there twice");
        }
    }
    all
}

/// `c067` as 67.
fn number(part: &str) -> Option<u32> {
    let digits = part.strip_prefix('c').filter(|digits| digits.len() == 3)?;
    digits.parse().ok()
}

/// The rows of the page: the number, and the names of tests in it.
fn rows() -> BTreeMap<u32, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    for line in PAGE.lines() {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let Some(Ok(item)) = cells.next().map(str::parse::<u32>) else { continue };
        let words = cells.nth(1).unwrap_or_default().split('`');
        let named = words.skip(1).step_by(2).map(str::to_owned).collect();
        assert!(all.insert(item, named).is_none(), "{item} has two rows");
    }
    all
}

#[test]
fn every_item_has_its_row_and_its_tests() {
    let (rows, tests) = (rows(), tests());
    for item in items() {
        let row = rows.get(&item).unwrap_or_else(|| panic!("{item} has no row"));
        let holds: BTreeSet<String> =
            tests.iter().filter(|(_, numbers)| numbers.contains(&item)).map(|(name, _)| name.clone()).collect();
        assert_eq!(row, &holds, "item {item}");
        // TLS is the deployment's: nothing in process can show it.
        assert!(!holds.is_empty() || item == 66, "{item} has no test");
    }
    let known: BTreeSet<u32> = items().collect();
    for (name, numbers) in &tests {
        assert!(numbers.is_subset(&known), "{name} tells a number that is no item");
    }
}

#[test]
fn the_page_has_a_row_for_every_event_item_too() {
    let rows = rows();
    for item in 170..=180 {
        let row = rows.get(&item).unwrap_or_else(|| panic!("{item} has no row"));
        for name in row {
            let function = format!("fn {name}()");
            assert!(EVENTS.iter().any(|source| source.contains(&function)), "{item}: there is no test {name}");
        }
    }
}
