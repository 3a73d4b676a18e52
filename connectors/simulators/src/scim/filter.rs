//! Filters (RFC 7644 section 3.4.2.2): comparisons, `pr`, `and`, `or`, `not` and parentheses.

use serde_json::{Map, Value};

use super::document::child;

/// How deep parentheses may go.
const DEEPEST: usize = 10;

/// A filter as it was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    Is { path: Vec<String>, op: String, value: Value },
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
}

impl Filter {
    /// Reads a filter; `None` for what is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let words = words(text)?;
        let mut at = 0;
        let filter = any(&words, &mut at, 0)?;
        (at == words.len()).then_some(filter)
    }

    /// Whether a document, or an entry of a list, is meant.
    pub(super) fn matches(&self, doc: &Map<String, Value>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.matches(doc)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(doc)),
            Self::Not(part) => !part.matches(doc),
            Self::Is { path, op, value } => {
                let mut found = Vec::new();
                values(doc, path, &mut found);
                if op == "pr" {
                    return !found.is_empty();
                }
                let hit = found.iter().any(|has| compare(has, if op == "ne" { "eq" } else { op }, value));
                if op == "ne" { !hit } else { hit }
            }
        }
    }
}

/// The words of a filter: brackets, texts with their quotes, and what stands between blanks.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&c) = chars.peek() {
        match c {
            ' ' => {
                chars.next();
            }
            '(' | ')' => {
                words.push(c.to_string());
                chars.next();
            }
            '"' => {
                let mut word = String::from(c);
                chars.next();
                loop {
                    let c = chars.next()?;
                    word.push(c);
                    match c {
                        '\\' => word.push(chars.next()?),
                        '"' => break,
                        _ => {}
                    }
                }
                words.push(word);
            }
            _ => {
                let mut word = String::new();
                while let Some(&c) = chars.peek() {
                    if matches!(c, ' ' | '(' | ')' | '"') {
                        break;
                    }
                    word.push(c);
                    chars.next();
                }
                words.push(word);
            }
        }
    }
    (words.len() <= 200).then_some(words)
}

fn any(words: &[String], at: &mut usize, depth: usize) -> Option<Filter> {
    let mut parts = vec![all(words, at, depth)?];
    while words.get(*at).is_some_and(|word| word.eq_ignore_ascii_case("or")) {
        *at += 1;
        parts.push(all(words, at, depth)?);
    }
    Some(if parts.len() == 1 { parts.remove(0) } else { Filter::Any(parts) })
}

fn all(words: &[String], at: &mut usize, depth: usize) -> Option<Filter> {
    let mut parts = vec![one(words, at, depth)?];
    while words.get(*at).is_some_and(|word| word.eq_ignore_ascii_case("and")) {
        *at += 1;
        parts.push(one(words, at, depth)?);
    }
    Some(if parts.len() == 1 { parts.remove(0) } else { Filter::All(parts) })
}

fn one(words: &[String], at: &mut usize, depth: usize) -> Option<Filter> {
    let word = words.get(*at)?;
    *at += 1;
    if word.eq_ignore_ascii_case("not") {
        return one(words, at, depth + 1).map(|part| Filter::Not(Box::new(part)));
    }
    if word == "(" {
        if depth >= DEEPEST {
            return None;
        }
        let inner = any(words, at, depth + 1)?;
        *at += 1;
        return (words.get(*at - 1)? == ")").then_some(inner);
    }
    let path = path(word)?;
    let op = words.get(*at)?.to_ascii_lowercase();
    *at += 1;
    if op == "pr" {
        return Some(Filter::Is { path, op, value: Value::Null });
    }
    if !["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"].contains(&op.as_str()) {
        return None;
    }
    let value = serde_json::from_str(words.get(*at)?).ok()?;
    *at += 1;
    Some(Filter::Is { path, op, value })
}

/// The steps of an attribute path: the schema's URN is left out where it is the core's.
pub(super) fn path(text: &str) -> Option<Vec<String>> {
    let sound = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "$_-.".contains(c));
    let (urn, rest) = match text.rfind(':') {
        Some(cut) => (Some(&text[..cut]), &text[cut + 1..]),
        None => (None, text),
    };
    if !sound(rest) {
        return None;
    }
    let mut steps: Vec<String> = Vec::new();
    if let Some(urn) = urn.filter(|urn| !urn.to_ascii_lowercase().contains(":core:2.0:")) {
        steps.push(urn.to_owned());
    }
    steps.extend(rest.split('.').map(str::to_owned));
    steps.iter().all(|step| !step.is_empty()).then_some(steps)
}

/// The values at a path. A path that ends at a list of complex entries means their `value`.
fn values<'a>(doc: &'a Map<String, Value>, path: &[String], found: &mut Vec<&'a Value>) {
    let Some((first, rest)) = path.split_first() else { return };
    let Some(value) = child(doc, first) else { return };
    let entries = match value {
        Value::Array(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    for entry in entries {
        match (entry, rest) {
            (Value::Object(map), []) => found.extend(child(map, "value")),
            (Value::Object(map), rest) => values(map, rest, found),
            (Value::Null, _) => {}
            (plain, []) => found.push(plain),
            _ => {}
        }
    }
}

fn compare(has: &Value, op: &str, wanted: &Value) -> bool {
    let (Some(has), Some(wanted)) = (has.as_str(), wanted.as_str()) else {
        return op == "eq" && has == wanted;
    };
    // No attribute here is caseExact but ids, which are in lower case.
    let (has, wanted) = (has.to_lowercase(), wanted.to_lowercase());
    match op {
        "eq" => has == wanted,
        "co" => has.contains(&wanted),
        "sw" => has.starts_with(&wanted),
        "ew" => has.ends_with(&wanted),
        "gt" => has > wanted,
        "ge" => has >= wanted,
        "lt" => has < wanted,
        "le" => has <= wanted,
        _ => false,
    }
}
