//! The text of a manifest as a tree, with the line of every field.
//!
//! TOML tells where each value stands. YAML's reader does not, so its lines are found by reading the
//! block structure once more; within flow style (`{…}`, `[…]`) a field has the line it is opened on.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::Format;
use crate::problem::Problem;

/// The longest text of a manifest, in bytes.
pub(crate) const LONGEST_TEXT: usize = 256 * 1024;

/// The most brackets and braces that a YAML text opens: its reader takes time by the square of how deep they lie.
const MOST_BRACKETS: usize = 5_000;

/// A manifest's tree and where its fields stand.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: Value,
    lines: BTreeMap<String, u32>,
}

impl Tree {
    /// Reads a text.
    pub(crate) fn read(text: &str, format: Format) -> Result<Self, Problem> {
        if text.len() > LONGEST_TEXT {
            return Err(Problem::at("", format!("is longer than {LONGEST_TEXT} bytes")));
        }
        match format {
            Format::Toml => toml(text),
            Format::Yaml => yaml(text),
        }
    }

    /// The line of a field, or of the nearest one around it.
    pub(crate) fn line(&self, field: &str) -> Option<u32> {
        let mut at = field;
        loop {
            if let Some(line) = self.lines.get(at) {
                return Some(*line);
            }
            at = &at[..at.rfind(['.', '['])?];
        }
    }

    /// The problem with its line.
    pub(crate) fn place(&self, mut problem: Problem) -> Problem {
        problem.line = problem.line.or_else(|| self.line(&problem.field));
        problem
    }
}

/// Joins a path and a name.
pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Where lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(breaks).collect())
    }

    fn at(&self, offset: usize) -> u32 {
        u32::try_from(self.0.partition_point(|start| *start <= offset)).unwrap_or(u32::MAX)
    }
}

fn toml(text: &str) -> Result<Tree, Problem> {
    let lines = Lines::of(text);
    let table = DeTable::parse(text).map_err(|error| Problem {
        line: error.span().map(|span| lines.at(span.start)),
        field: String::new(),
        message: format!("is not TOML: {}", error.message()),
    })?;
    let mut places = BTreeMap::new();
    let root = toml_table(table.get_ref(), "", &lines, &mut places)?;
    Ok(Tree { root, lines: places })
}

fn toml_table(
    table: &DeTable<'_>,
    path: &str,
    lines: &Lines,
    places: &mut BTreeMap<String, u32>,
) -> Result<Value, Problem> {
    let mut map = Map::new();
    for (key, value) in table {
        let field = join(path, key.get_ref());
        places.insert(field.clone(), lines.at(key.span().start));
        let value = toml_value(value, &field, lines, places)?;
        map.insert(key.get_ref().clone().into_owned(), value);
    }
    Ok(Value::Object(map))
}

/// The depth is bounded by TOML's own reader.
fn toml_value(
    value: &Spanned<DeValue<'_>>,
    path: &str,
    lines: &Lines,
    places: &mut BTreeMap<String, u32>,
) -> Result<Value, Problem> {
    let line = lines.at(value.span().start);
    let wrong = |what: &str| Problem { line: Some(line), field: path.to_owned(), message: what.to_owned() };
    Ok(match value.get_ref() {
        DeValue::String(text) => Value::String(text.clone().into_owned()),
        DeValue::Integer(number) => Value::Number(
            i64::from_str_radix(&number.as_str().replace('_', ""), number.radix())
                .map_err(|_| wrong("is a number too great"))?
                .into(),
        ),
        DeValue::Float(number) => number
            .as_str()
            .replace('_', "")
            .parse()
            .ok()
            .and_then(Number::from_f64)
            .map(Value::Number)
            .ok_or_else(|| wrong("is not a number that can be used"))?,
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(items) => {
            let mut list = Vec::with_capacity(items.len());
            for (number, item) in items.iter().enumerate() {
                let field = format!("{path}[{number}]");
                places.insert(field.clone(), lines.at(item.span().start));
                list.push(toml_value(item, &field, lines, places)?);
            }
            Value::Array(list)
        }
        DeValue::Table(table) => toml_table(table, path, lines, places)?,
    })
}

fn yaml(text: &str) -> Result<Tree, Problem> {
    // Those in quotes count as well: telling them apart is the reader's.
    let mut opened = text.bytes().enumerate().filter(|(_, byte)| matches!(byte, b'[' | b'{'));
    if let Some((at, _)) = opened.nth(MOST_BRACKETS) {
        let message = format!("opens more than {MOST_BRACKETS} brackets and braces");
        return Err(Problem { line: Some(Lines::of(text).at(at)), field: String::new(), message });
    }
    let root = serde_norway::from_str::<Value>(text).map_err(|error| Problem {
        line: error.location().and_then(|at| u32::try_from(at.line()).ok()),
        field: String::new(),
        message: format!("is not YAML: {error}"),
    })?;
    Ok(Tree { root, lines: yaml_lines(text) })
}

/// One open block of YAML.
struct Block {
    indent: usize,
    path: String,
    /// How many items a sequence has had.
    items: Option<usize>,
}

/// The lines of a YAML text's keys, as far as its block structure tells them. A line within a block
/// scalar may be taken for a key; that only adds places which no field has.
fn yaml_lines(text: &str) -> BTreeMap<String, u32> {
    let mut places = BTreeMap::new();
    let mut open: Vec<Block> = Vec::new();
    for (number, line) in (1_u32..).zip(text.lines()) {
        let mut rest = line.trim_start_matches(' ');
        let mut indent = line.len() - rest.len();
        if rest.is_empty() || rest.starts_with('#') || rest.starts_with("---") || open.len() > 64 {
            continue;
        }
        // `- - key:` opens several blocks on one line.
        for _ in 0..8 {
            let Some(item) = rest.strip_prefix("- ").or_else(|| (rest == "-").then_some("")) else {
                break;
            };
            close(&mut open, indent, true);
            let parent = open.last().map(|block| block.path.clone()).unwrap_or_default();
            let count = match open.last_mut() {
                Some(Block { indent: at, items: Some(items), .. }) if *at == indent => {
                    *items += 1;
                    *items
                }
                _ => {
                    open.push(Block { indent, path: parent, items: Some(0) });
                    0
                }
            };
            let list = open.last().map(|block| block.path.clone()).unwrap_or_default();
            let path = format!("{list}[{count}]");
            places.insert(path.clone(), number);
            let trimmed = item.trim_start_matches(' ');
            indent += rest.len() - trimmed.len();
            rest = trimmed;
            open.push(Block { indent, path, items: None });
        }
        let Some((key, _)) = rest.split_once(':') else {
            continue;
        };
        let key = key.trim().trim_matches(['"', '\'']);
        if key.is_empty() || key.len() > 200 {
            continue;
        }
        close(&mut open, indent, false);
        let parent = open.last().map(|block| block.path.as_str()).unwrap_or_default();
        let path = join(parent, key);
        places.insert(path.clone(), number);
        open.push(Block { indent: indent + 1, path, items: None });
    }
    places
}

/// Closes the blocks that a line of that indentation ends.
fn close(open: &mut Vec<Block>, indent: usize, item: bool) {
    while let Some(block) = open.last() {
        // An item may stand at the indentation of the key that holds its list.
        let ends = if block.items.is_some() {
            block.indent > indent || (block.indent == indent && !item)
        } else if item {
            block.indent > indent + 1
        } else {
            block.indent > indent
        };
        if !ends {
            break;
        }
        open.pop();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn toml_and_yaml_are_one_tree_with_lines() {
        let toml = "name = 'x'\n\n[accounts.create]\nmethod = \"POST\"\nsuccess = [200,\n 201]\n\n[[errors]]\nstatus = [400]\n[[errors]]\nkind = 'refused'\n";
        let yaml = "name: x\n\naccounts:\n  create:\n    method: POST\n    success:\n      - 200\n      - 201\nerrors:\n- status: [400]\n- kind: refused\n";
        let one = Tree::read(toml, Format::Toml).unwrap();
        let other = Tree::read(yaml, Format::Yaml).unwrap();
        assert_eq!(one.root, other.root);
        for (field, in_toml, in_yaml) in [
            ("name", 1, 1),
            ("accounts.create.method", 4, 5),
            ("accounts.create.success[1]", 6, 8),
            ("accounts.create.nothing", 3, 4),
            ("errors[0].status", 9, 10),
            ("errors[1].kind", 11, 11),
        ] {
            assert_eq!(one.line(field), Some(in_toml), "TOML {field}");
            assert_eq!(other.line(field), Some(in_yaml), "YAML {field}");
        }
    }

    #[test]
    fn what_is_neither_names_its_line() {
        assert_eq!(Tree::read("a = 1\nb = \n", Format::Toml).unwrap_err().line, Some(2));
        assert_eq!(Tree::read("a: 1\nb: [1\n", Format::Yaml).unwrap_err().line, Some(3));
        assert!(Tree::read(&"a".repeat(LONGEST_TEXT + 1), Format::Yaml).is_err());
        let deep = format!("a: 1\nb: {}", "[\"]\",".repeat(50_000));
        assert_eq!(Tree::read(&deep, Format::Yaml).unwrap_err().line, Some(2));
    }

    /// Fifty thousand nested lists kept the reader of YAML busy for most of a minute.
    #[test]
    fn deep_texts_are_refused_at_once() {
        for open in ["[", "{a: ", "- ", "? ", "[\"]\","] {
            let began = std::time::Instant::now();
            let text = open.repeat(LONGEST_TEXT / open.len());
            assert!(Tree::read(&text, Format::Yaml).is_err(), "{open}");
            assert!(began.elapsed().as_secs() < 10, "{open}: {:?}", began.elapsed());
        }
    }
}
