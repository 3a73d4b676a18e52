use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use scim::dialect::Dialect;

use super::inline::{Inline, Target, inlines};
use super::values::names;
use super::{Block, FILES, Guide, Item, Part, Values, all, by_id, read};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn values() -> Values {
    Values::new("https://gw.example.com/i/in_1/scim/v2", Some("scg_i_1"), "GitHub acme", "in_1")
}

/// A guide with these lines as its steps.
fn with_steps(steps: &str) -> String {
    let mut text = "+++\nid = \"a\"\ntitle = \"A\"\nchecked = \"never\"\norder = 1\n+++\n\n# A\n".to_owned();
    for part in Part::ALL {
        let body = if part == Part::Steps { steps } else { "Text." };
        text.push_str(&format!("\n## {}\n\n{body}\n", part.heading()));
    }
    text
}

fn steps(text: &str) -> Result<Vec<Block>, String> {
    let guide = Guide::parse(&with_steps(text)).map_err(|error| error.to_string())?;
    Ok(guide.part(Part::Steps, &values()))
}

fn every_inline(guide: &Guide, values: &Values) -> Vec<Inline> {
    let of_item = |item: Item| [vec![item.text], item.below].concat().concat();
    let parts = guide.parts(values).into_iter().flat_map(|(_, blocks)| blocks);
    guide
        .intro(values)
        .into_iter()
        .chain(parts)
        .flat_map(|block| match block {
            Block::Paragraph(text) => text,
            Block::Steps(items) | Block::Bullets(items) => items.into_iter().flat_map(of_item).collect(),
            Block::Table { head, rows } => [vec![head], rows].concat().concat().concat(),
            Block::Heading { .. } | Block::Code { .. } => Vec::new(),
        })
        .collect()
}

/// The headings of a page, as they are linked to.
fn anchors(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix('#'))
        .map(|line| read::anchor(line.trim_start_matches('#').trim()))
        .collect()
}

#[test]
fn every_guide_keeps_to_the_rules_and_every_file_is_one() {
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(docs().join("idp")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(id) = name.strip_suffix(".md")
            && id != "README"
        {
            files.insert(id.to_owned());
        }
    }
    let known: BTreeSet<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(files, known, "docs/idp and the list in guides.rs");
    let mut orders = BTreeSet::new();
    let list = std::fs::read_to_string(docs().join("idp/README.md")).unwrap();
    for (name, text) in FILES {
        let guide = Guide::parse(text).unwrap_or_else(|error| panic!("docs/idp/{name}.md {error}"));
        assert_eq!(&guide.id, name);
        assert!(orders.insert(guide.order), "{name}: another guide has its order");
        if let Some(dialect) = &guide.dialect {
            assert!(
                Dialect::by_name(dialect).is_some_and(|dialect| !dialect.is_auto()),
                "{name}: no dialect {dialect}"
            );
        }
        let row = format!("| [{}]({name}.md) | {} |", guide.title, guide.checked);
        assert!(list.contains(&row), "docs/idp/README.md lacks the row {row}");
    }
    assert_eq!(all().len(), FILES.len());
    assert!(all().windows(2).all(|pair| pair[0].order < pair[1].order));
    assert_eq!(by_id("entra").map(|guide| guide.title.as_str()), Some("Microsoft Entra ID"));
    assert_eq!(by_id("no such"), None);
}

#[test]
fn every_guide_says_where_the_values_go() {
    for guide in all() {
        let steps = guide.part(Part::Steps, &values());
        let text = format!("{steps:?}");
        for value in ["https://gw.example.com/i/in_1/scim/v2", "scg_i_1"] {
            assert!(text.contains(value), "{}: its steps do not say where {value} goes", guide.id);
        }
        assert!(steps.iter().any(|block| matches!(block, Block::Steps(items) if items.len() > 1)), "{}", guide.id);
        let trouble = guide.part(Part::Trouble, &values());
        let reasons = trouble.iter().any(|block| matches!(block, Block::Bullets(items) if items.len() >= 3));
        assert!(reasons, "{}: three usual reasons", guide.id);
        for rendered in [format!("{:?}{:?}", guide.intro(&values()), guide.parts(&values())), guide.markdown(&values())]
        {
            assert_eq!(names(&rendered).next(), None, "{}: something is not filled in", guide.id);
        }
    }
}

#[test]
fn every_link_of_a_guide_leads_somewhere() {
    let mut seen = 0;
    for guide in all() {
        for inline in every_inline(guide, &values()) {
            let Inline::Link { to, .. } = inline else { continue };
            seen += 1;
            let (file, anchor) = match &to {
                Target::Web(_) => continue,
                Target::Guide(id) => (format!("idp/{id}.md"), None),
                Target::Anchor(anchor) => (format!("idp/{}.md", guide.id), Some(anchor.as_str())),
                Target::Page(page) => match page.split_once('#') {
                    None => (page.clone(), None),
                    Some((page, anchor)) => (page.to_owned(), Some(anchor)),
                },
            };
            let text = std::fs::read_to_string(docs().join(&file));
            let text = text.unwrap_or_else(|error| panic!("{} links to docs/{file}: {error}", guide.id));
            if let Some(anchor) = anchor {
                assert!(anchors(&text).contains(anchor), "{} links to docs/{file}#{anchor}", guide.id);
            }
        }
    }
    assert!(seen > 20, "only {seen} links were found");
}

#[test]
fn a_guide_becomes_blocks() {
    let text = "\
Do **this** first, with `{key}` and `code`,
see [Okta](okta.md).

1. Open **A > B**
   and wait.
   - **URL**: `{base_url}/Users`
   - **Name**: `{instance_name}`,
     the same for all

2. Done.

### By hand

| a | b |
|---|---|
| `x` | |

```sh
curl {base_url}
  # {key}
```

- One
- [Two](../needs.md#words)";
    let text_of = |text: &str| Inline::Text(text.to_owned());
    let value = |text: &str| Inline::Value { text: text.to_owned(), complete: true };
    let base = "https://gw.example.com/i/in_1/scim/v2";
    let want = vec![
        Block::Paragraph(vec![
            text_of("Do "),
            Inline::Strong("this".to_owned()),
            text_of(" first, with "),
            value("scg_i_1"),
            text_of(" and "),
            Inline::Code("code".to_owned()),
            text_of(", see "),
            Inline::Link { text: "Okta".to_owned(), to: Target::Guide("okta".to_owned()) },
            text_of("."),
        ]),
        Block::Steps(vec![
            Item {
                text: vec![text_of("Open "), Inline::Strong("A > B".to_owned()), text_of(" and wait.")],
                below: vec![
                    vec![Inline::Strong("URL".to_owned()), text_of(": "), value(&format!("{base}/Users"))],
                    vec![
                        Inline::Strong("Name".to_owned()),
                        text_of(": "),
                        value("GitHub acme"),
                        text_of(", the same for all"),
                    ],
                ],
            },
            Item { text: vec![text_of("Done.")], below: Vec::new() },
        ]),
        Block::Heading { anchor: "by-hand".to_owned(), text: "By hand".to_owned() },
        Block::Table {
            head: vec![vec![text_of("a")], vec![text_of("b")]],
            rows: vec![vec![vec![Inline::Code("x".to_owned())], Vec::new()]],
        },
        Block::Code { language: "sh".to_owned(), text: format!("curl {base}\n  # scg_i_1"), complete: true },
        Block::Bullets(vec![
            Item { text: vec![text_of("One")], below: Vec::new() },
            Item {
                text: vec![Inline::Link { text: "Two".to_owned(), to: Target::Page("needs.md#words".to_owned()) }],
                below: Vec::new(),
            },
        ]),
    ];
    assert_eq!(steps(text), Ok(want));
}

#[test]
fn what_is_not_in_the_subset_is_refused_with_its_line() {
    for (text, problem) in [
        ("A <b>tag</b>", "'<' outside of code"),
        ("an *emphasis*", "'*' outside of code"),
        ("snake_case", "'_' outside of code"),
        ("![picture](x.png)", "links are https or relative|another guide is NAME.md|images"),
        ("a `code", "` has no end"),
        ("a **strong", "** has no end"),
        ("[a](javascript:alert)", "links are https or relative"),
        ("[a](http://example.com)", "links are https or relative"),
        ("[a](../../README.md)", "leads out of docs"),
        ("[a](b/c.md)", "another guide is NAME.md"),
        ("`{keys}`", "{keys} is nothing that is filled in"),
        ("```\n{password}\n```", "{password} is nothing that is filled in"),
        ("2. two", "a line may not begin like this"),
        ("1. one\n3. three", "a line may not begin like this"),
        ("# again", "a line may not begin like this"),
        ("> quoted", "a line may not begin like this"),
        ("* star", "a line may not begin like this"),
        ("---", "a line may not begin like this"),
        ("    indented", "is indented otherwise"),
        ("1. one\n  two blanks", "is indented by 3"),
        ("| a |\n| b |", "|---| for each column"),
        ("| a |\n|---|\n| b | c |", "2 cells, where the head has 1"),
        ("```\nno end", "``` has no end"),
        ("## Other part", "the parts of a guide are"),
    ] {
        let got = steps(text).expect_err(text);
        assert!(problem.split('|').any(|one| got.contains(one)) || got.contains(problem), "{text:?}: {got}");
        let line: usize = got.trim_start_matches("line ").split(':').next().unwrap().parse().unwrap();
        assert!(line >= 13, "{text:?}: {got}");
    }
    for (text, problem) in [
        ("no front matter", "begins with a line +++"),
        ("+++\nid = \"a\"\n", "no line +++ ends"),
        ("+++\nid = \"a\"\n+++\n", "missing field"),
        ("+++\nid = \"a\"\ntitle = \"A\"\nchecked = \"x\"\norder = 1\ncolour = 2\n+++\n", "unknown field"),
        ("+++\nid = \"a\"\ntitle = \"A\"\nchecked = \"x\"\norder = 1\n+++\n# B\n", "the first line after +++ is"),
        ("+++\nid = \"a\"\ntitle = \"A\"\nchecked = \"x\"\norder = 1\n+++\n# A\n", "there is no part"),
        ("+++\nid = \"a/b\"\ntitle = \"A\"\nchecked = \"x\"\norder = 1\n+++\n# A\n", "id has other signs"),
    ] {
        let got = Guide::parse(text).expect_err(text).to_string();
        assert!(got.contains(problem), "{text:?}: {got}");
    }
}

#[test]
fn an_unknown_key_is_asked_for_in_its_place_and_not_to_be_copied() {
    let unknown = Values::new("https://gw", None, "acme", "in_1");
    let guide = Guide::parse(&with_steps("`Bearer {key}` at `{base_url}`\n\n```\n{key}\n```")).unwrap();
    let blocks = guide.part(Part::Steps, &unknown);
    let Block::Paragraph(text) = &blocks[0] else { panic!("{blocks:?}") };
    assert_eq!(text[0], Inline::Value { text: "Bearer <your key>".to_owned(), complete: false });
    assert_eq!(text[2], Inline::Value { text: "https://gw".to_owned(), complete: true });
    assert!(matches!(&blocks[1], Block::Code { complete: false, .. }));
    assert!(guide.markdown(&unknown).contains("`Bearer <your key>` at `https://gw`"));
}

/// A name of an instance is anybody's text, and people paste what a guide shows into a shell.
#[test]
fn a_name_that_a_shell_would_act_on_is_replaced_by_the_id() {
    for (name, shown) in [
        ("GitHub acme", "GitHub acme"),
        ("<img onerror=x>", "<img onerror=x>"),
        ("a\"; rm -rf ~; \"", "in_1"),
        ("$(id)", "in_1"),
        ("`id`", "in_1"),
        ("a\nb", "in_1"),
        ("a\u{202e}b", "in_1"),
        ("{key}", "in_1"),
        ("", "in_1"),
    ] {
        let values = Values::new("https://gw", Some("secret"), name, "in_1");
        assert_eq!(values.fill("\"{instance_name}\""), (format!("\"{shown}\""), true), "{name:?}");
    }
    // What was filled in is not looked through again.
    let values = Values::new("https://gw/{key}", Some("{base_url}"), "acme", "in_1");
    assert_eq!(values.fill("{base_url} {key}").0, "https://gw/{key} {base_url}");
}

proptest! {
    #[test]
    fn reading_never_panics(text in "(\\+\\+\\+\n|id = \"a\"\n|# A\n|## Steps\n|[-|`*\\[\\]() {}a-z1.#\n]|\\PC){0,200}") {
        let _ = Guide::parse(&text);
        let _ = steps(&text);
        let _ = inlines(&text);
        let _ = values().fill(&text);
    }
}
