//! `docs/dialects.md` has every unit and every dialect as the code has them, and no others.
use scim::Quirk;
use scim::dialect::Dialect;
use scim::quirks::Kind;

/// The rows of a section's table, head aside.
fn rows(page: &str, section: &str) -> Vec<String> {
    page.lines()
        .skip_while(|line| *line != format!("## {section}"))
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| `"))
        .map(str::to_owned)
        .collect()
}

fn names(list: &[&str]) -> String {
    if list.is_empty() { "-".to_owned() } else { list.join(", ") }
}

#[test]
fn the_page_of_dialects_is_what_the_code_has() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/dialects.md");
    let page = std::fs::read_to_string(path).expect("docs/dialects.md");
    for (section, kind) in [("Leniencies", Kind::Leniency), ("Habits", Kind::Habit)] {
        let units = Quirk::ALL.into_iter().map(Quirk::unit).filter(|unit| unit.kind == kind);
        let want: Vec<String> = units
            .map(|unit| {
                let (name, clients) = (unit.name, names(unit.clients));
                format!("| `{name}` | {} | {} | {} | {clients} |", unit.example, unit.meaning, unit.off)
            })
            .collect();
        assert_eq!(rows(&page, section), want, "{section} have to be:\n{}\n", want.join("\n"));
    }
    let want: Vec<String> = Dialect::ALL
        .iter()
        .map(|dialect| {
            let differences = dialect.settings.differences();
            let differences = if differences.is_empty() { "-".to_owned() } else { differences.join("; ") };
            format!("| `{}` | {} | {} | {differences} |", dialect.name, dialect.title, dialect.recognition)
        })
        .collect();
    assert_eq!(rows(&page, "Dialects"), want, "Dialects have to be:\n{}\n", want.join("\n"));
}
