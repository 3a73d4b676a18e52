//! Expressions and texts with expressions in them, in a sandbox.
//!
//! An expression sees the values it is given and nothing else: no files, no includes, no statements,
//! no loops, no clock. It runs on fuel, is short, and what it makes is bounded. The filters are this
//! module's own, because each of them has to be bounded too.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use connector_sdk::spelling;
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Expression, UndefinedBehavior};

use crate::known;

/// The longest source of an expression, in bytes.
const LONGEST_SOURCE: usize = 2_000;
/// What one evaluation may burn.
const FUEL: u64 = 5_000;
/// The longest text that an expression or filter may make, in bytes.
pub(crate) const LONGEST_VALUE: usize = 64 * 1024;
/// Depth and number of values that become JSON.
const DEEPEST: usize = 32;
const MOST_VALUES: usize = 20_000;

static SANDBOX: LazyLock<Environment<'static>> = LazyLock::new(sandbox);

fn sandbox() -> Environment<'static> {
    let mut env = Environment::empty();
    env.set_undefined_behavior(UndefinedBehavior::Chainable);
    env.set_fuel(Some(FUEL));
    env.add_filter("lower", |text: Value| on_text(&text, |text| text.to_lowercase()));
    env.add_filter("upper", |text: Value| on_text(&text, |text| text.to_uppercase()));
    env.add_filter("trim", |text: Value| on_text(&text, |text| text.trim().to_owned()));
    env.add_filter("slug", |text: Value| on_text(&text, slug));
    env.add_filter("spelled", |text: Value| on_text(&text, spelling::spelled));
    env.add_filter("unspelled", |text: Value| on_text(&text, spelling::plain));
    env.add_filter("prefix", |text: Value, with: String| on_text(&text, |text| format!("{with}{text}")));
    env.add_filter("suffix", |text: Value, with: String| on_text(&text, |text| format!("{text}{with}")));
    env.add_filter("strip_prefix", |text: Value, off: String| {
        on_text(&text, |text| text.strip_prefix(&off).unwrap_or(text).to_owned())
    });
    env.add_filter("strip_suffix", |text: Value, off: String| {
        on_text(&text, |text| text.strip_suffix(&off).unwrap_or(text).to_owned())
    });
    env.add_filter("replace", |text: Value, what: String, with: String| {
        if what.is_empty() {
            return Err(Error::new(ErrorKind::InvalidOperation, "replace needs a text to look for"));
        }
        let grown = text.as_str().map_or(0, |text| text.matches(&what).count().saturating_mul(with.len()));
        if grown > LONGEST_VALUE {
            return Err(too_long());
        }
        on_text(&text, |text| text.replace(&what, &with))
    });
    env.add_filter("truncate", |text: Value, most: usize| on_text(&text, |text| text.chars().take(most).collect()));
    env.add_filter("split", |text: Value, by: String| -> Result<Value, Error> {
        let Some(whole) = text.as_str() else { return Ok(text) };
        if by.is_empty() || whole.len() > LONGEST_VALUE {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "split needs a separator and a text that is not too long",
            ));
        }
        Ok(whole.split(&by).map(Value::from).collect())
    });
    env.add_filter("join", |list: Value, by: String| -> Result<Value, Error> {
        let mut text = String::new();
        for (number, item) in list.try_iter()?.enumerate() {
            if number > 0 {
                text.push_str(&by);
            }
            text.push_str(&plain(&item).ok_or_else(not_text)?);
            if text.len() > LONGEST_VALUE {
                return Err(too_long());
            }
        }
        Ok(Value::from(text))
    });
    env.add_filter("default", |value: Value, other: Value| {
        let nothing = value.is_undefined() || value.is_none() || value.as_str() == Some("");
        if nothing { other } else { value }
    });
    env.add_filter("first", |list: Value| -> Result<Value, Error> { Ok(list.try_iter()?.next().unwrap_or_default()) });
    env.add_filter("last", |list: Value| -> Result<Value, Error> { Ok(list.try_iter()?.last().unwrap_or_default()) });
    env.add_filter("words", |value: Value| -> Result<Value, Error> {
        let mut made = String::new();
        words(&value, WORDS_DEPTH, &mut made)?;
        Ok(if made.is_empty() { Value::UNDEFINED } else { Value::from(made) })
    });
    env.add_filter("length", |value: Value| value.len().unwrap_or(0));
    env.add_filter("text", |value: Value| -> Result<Value, Error> {
        if value.is_undefined() || value.is_none() {
            return Ok(Value::UNDEFINED);
        }
        Ok(Value::from(plain(&value).ok_or_else(not_text)?))
    });
    env.add_filter("number", |value: Value| -> Result<Value, Error> {
        match value.as_str() {
            Some(text) => text
                .trim()
                .parse::<i64>()
                .map(Value::from)
                .map_err(|_| Error::new(ErrorKind::InvalidOperation, "the text is no whole number")),
            None => Ok(value),
        }
    });
    env.add_filter("pluck", |list: Value, name: String| -> Result<Value, Error> {
        bounded(&list)?.iter().map(|item| item.get_attr(&name)).collect()
    });
    env.add_filter("where", |list: Value, name: String, wanted: Value| -> Result<Value, Error> {
        let mut kept = Vec::new();
        for item in bounded(&list)? {
            if item.get_attr(&name)? == wanted {
                kept.push(item);
            }
        }
        Ok(Value::from(kept))
    });
    env.add_filter("map", |value: Value, table: Value| -> Result<Value, Error> {
        let Some(key) = plain(&value) else { return Ok(Value::UNDEFINED) };
        table.get_attr(&key)
    });
    env.add_filter("unmap", |value: Value, table: Value| -> Result<Value, Error> {
        let mut keys = table.try_iter()?;
        Ok(keys.find(|key| table.get_item(key).is_ok_and(|held| held == value)).unwrap_or_default())
    });
    env.add_filter("merge", |one: Value, other: Value| -> Result<Value, Error> {
        let mut all: BTreeMap<String, Value> = BTreeMap::new();
        for map in [&one, &other] {
            if map.is_undefined() || map.is_none() {
                continue;
            }
            if map.kind() != ValueKind::Map {
                return Err(Error::new(ErrorKind::InvalidOperation, "merge needs two tables"));
            }
            for key in map.try_iter()?.take(MOST_VALUES) {
                all.insert(plain(&key).ok_or_else(not_text)?, map.get_item(&key)?);
            }
        }
        Ok(Value::from(all))
    });
    env.add_filter("wrap", |list: Value, name: String, beside: Value| -> Result<Value, Error> {
        let items = bounded(&list)?;
        // Each item gets a table of its own.
        let width = if beside.kind() == ValueKind::Map { bounded(&beside)?.len() + 1 } else { 1 };
        if items.len().saturating_mul(width) > MOST_VALUES {
            return Err(too_many());
        }
        items.into_iter().map(|item| joined(&beside, &name, item)).collect()
    });
    env.add_filter("attach", |value: Value, name: String, others: Value, path: String| {
        attached(&value, &name, &others, &path)
    });
    env.add_filter("at", |value: Value, path: String| attribute(&value, &path));
    env.add_test("defined", |value: Value| !value.is_undefined() && !value.is_none());
    env.add_test("missing", |value: Value| value.is_undefined() || value.is_none() || value.as_str() == Some(""));
    env.add_test("containing", |value: Value, part: String| {
        value.as_str().is_some_and(|text| text.to_lowercase().contains(&part.to_lowercase()))
    });
    env.add_test("starting", |value: Value, part: String| value.as_str().is_some_and(|text| text.starts_with(&part)));
    env.add_test("ending", |value: Value, part: String| value.as_str().is_some_and(|text| text.ends_with(&part)));
    env
}

fn too_long() -> Error {
    Error::new(ErrorKind::InvalidOperation, "the text would be too long")
}

fn too_many() -> Error {
    Error::new(ErrorKind::InvalidOperation, "the list has too many values")
}

/// The values of a list or the names of a table. One that is too long is an error: half a list must not pass for it.
fn bounded(list: &Value) -> Result<Vec<Value>, Error> {
    let values: Vec<Value> = list.try_iter()?.take(MOST_VALUES + 1).collect();
    if values.len() > MOST_VALUES { Err(too_many()) } else { Ok(values) }
}

fn not_text() -> Error {
    Error::new(ErrorKind::InvalidOperation, "a text, number or flag is needed")
}

/// A filter on a text; nothing stays nothing.
fn on_text(value: &Value, with: impl Fn(&str) -> String) -> Result<Value, Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(Value::UNDEFINED);
    }
    let text = plain(value).ok_or_else(not_text)?;
    if text.len() > LONGEST_VALUE {
        return Err(too_long());
    }
    let made = with(&text);
    if made.len() > LONGEST_VALUE { Err(too_long()) } else { Ok(Value::from(made)) }
}

/// How deep the filter `words` looks.
const WORDS_DEPTH: usize = 6;

/// Every text of a value, one after the other: `{"email": ["is taken"]}` is `email: is taken`.
fn words(value: &Value, depth: usize, made: &mut String) -> Result<(), Error> {
    if made.len() > LONGEST_VALUE || depth == 0 {
        return Err(too_long());
    }
    match value.kind() {
        ValueKind::Map => {
            for key in value.try_iter()?.take(MOST_VALUES) {
                let mut inner = String::new();
                words(&value.get_item(&key)?, depth - 1, &mut inner)?;
                if !inner.is_empty() {
                    let key = plain(&key).ok_or_else(not_text)?;
                    let gap = if made.is_empty() { "" } else { "; " };
                    made.push_str(&format!("{gap}{key}: {inner}"));
                }
            }
        }
        ValueKind::Seq | ValueKind::Iterable => {
            for item in value.try_iter()?.take(MOST_VALUES) {
                let mut inner = String::new();
                words(&item, depth - 1, &mut inner)?;
                if !inner.is_empty() {
                    let gap = if made.is_empty() { "" } else { ", " };
                    made.push_str(&format!("{gap}{inner}"));
                }
            }
        }
        _ => made.push_str(&plain(value).unwrap_or_default()),
    }
    Ok(())
}

/// Lower case letters and digits, everything else one dash.
fn slug(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for c in text.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() {
            made.push(c);
        } else if !made.ends_with('-') && !made.is_empty() {
            made.push('-');
        }
    }
    made.trim_end_matches('-').to_owned()
}

/// A table with one more field.
fn joined(table: &Value, name: &str, value: Value) -> Result<Value, Error> {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    if table.kind() == ValueKind::Map {
        for key in table.try_iter()?.take(MOST_VALUES) {
            all.insert(plain(&key).ok_or_else(not_text)?, table.get_item(&key)?);
        }
    }
    all.insert(name.to_owned(), value);
    Ok(Value::from(all))
}

/// Objects, each with the one of `others` beside it whose `id` stands at a path of the object; those that have none as
/// they are.
fn attached(value: &Value, name: &str, others: &Value, path: &str) -> Result<Value, Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(Value::UNDEFINED);
    }
    let mut by_id: BTreeMap<String, Value> = BTreeMap::new();
    if matches!(others.kind(), ValueKind::Seq | ValueKind::Iterable) {
        for other in bounded(others)? {
            if let Some(id) = other.get_attr("id").ok().as_ref().and_then(plain) {
                by_id.insert(id, other);
            }
        }
    }
    let one = |item: &Value| -> Result<Value, Error> {
        let mut at = item.clone();
        for step in path.split('.') {
            at = if at.kind() == ValueKind::Map { at.get_attr(step)? } else { Value::UNDEFINED };
        }
        match plain(&at).and_then(|id| by_id.get(&id)) {
            Some(other) => joined(item, name, other.clone()),
            None => Ok(item.clone()),
        }
    };
    match value.kind() {
        ValueKind::Map => one(value),
        _ => bounded(value)?.iter().map(one).collect(),
    }
}

/// The value at a dotted or URN path of a SCIM document, names without case.
fn attribute(document: &Value, path: &str) -> Result<Value, Error> {
    let child = |value: &Value, name: &str| -> Value {
        let Ok(mut keys) = value.try_iter() else { return Value::UNDEFINED };
        keys.find(|key| key.as_str().is_some_and(|key| key.eq_ignore_ascii_case(name)))
            .and_then(|key| value.get_item(&key).ok())
            .unwrap_or_default()
    };
    let (mut at, rest) = match path.rfind(':') {
        Some(cut) if path.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:")) => {
            (child(document, &path[..cut]), &path[cut + 1..])
        }
        _ => (document.clone(), path),
    };
    for name in rest.split('.') {
        if at.kind() != ValueKind::Map {
            return Ok(Value::UNDEFINED);
        }
        at = child(&at, name);
    }
    Ok(at)
}

/// A text, whole number or flag as text; nothing else has one.
pub(crate) fn plain(value: &Value) -> Option<String> {
    match value.kind() {
        ValueKind::String => value.as_str().map(str::to_owned),
        ValueKind::Bool => Some(value.is_true().to_string()),
        ValueKind::Number if value.is_integer() => Some(value.to_string()),
        _ => None,
    }
}

/// The values that an expression sees.
pub(crate) type Scope = BTreeMap<&'static str, Value>;

/// An expression that could not be evaluated. Its text speaks of the expression, never of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed(pub(crate) String);

impl Failed {
    fn of(error: &Error) -> Self {
        Self(match error.kind() {
            ErrorKind::OutOfFuel => "the expression takes too long".to_owned(),
            kind => format!("the expression failed ({kind})"),
        })
    }
}

/// One compiled expression.
pub(crate) struct Expr {
    source: String,
    compiled: Expression<'static, 'static>,
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{ {} }}}}", self.source)
    }
}

impl Expr {
    /// Compiles an expression that may use these names.
    pub(crate) fn new(source: &str, names: &[&str]) -> Result<Self, String> {
        if source.len() > LONGEST_SOURCE {
            return Err(format!("is an expression of more than {LONGEST_SOURCE} bytes"));
        }
        if outside_of_quotes(source).any(|c| c == '*') {
            return Err("multiplies, which expressions may not do (`*`)".to_owned());
        }
        let compiled = SANDBOX.compile_expression_owned(source.to_owned()).map_err(|error| {
            if source.trim_start().starts_with("{{") {
                return "is an expression as a whole: write it without the double braces".to_owned();
            }
            format!("is no expression: {}", error.detail().map_or_else(|| error.kind().to_string(), str::to_owned))
        })?;
        for used in compiled.undeclared_variables(false) {
            if !names.contains(&used.as_str()) {
                if used == "current" {
                    return Err("uses `current`, which is there in changes that say `read_first = true`".to_owned());
                }
                return Err(format!("uses `{used}`; there is {}", names.join(", ")));
            }
        }
        if let Some(wrong) = compiled.undeclared_variables(true).iter().find_map(|path| known::wrong(path)) {
            return Err(wrong);
        }
        // Filters and tests are looked up when they run; a trial run finds those that are not there.
        let unknown = compiled.eval(Value::from(Scope::new())).err();
        if let Some(error) = unknown
            && matches!(error.kind(), ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction)
        {
            let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            return Err(format!("uses what is not there: {detail}"));
        }
        Ok(Self { source: source.to_owned(), compiled })
    }

    /// Whether it uses that name.
    pub(crate) fn uses(&self, name: &str) -> bool {
        self.compiled.undeclared_variables(false).contains(name)
    }

    /// Its value.
    pub(crate) fn eval(&self, scope: &Scope) -> Result<Value, Failed> {
        let value = self.compiled.eval(Value::from_pairs(scope.iter().map(|(name, value)| (*name, value.clone()))));
        let value = value.map_err(|error| Failed::of(&error))?;
        if value.as_str().is_some_and(|text| text.len() > LONGEST_VALUE) {
            return Err(Failed("the expression's text is too long".to_owned()));
        }
        Ok(value)
    }

    /// Its value as text; `None` for nothing and for an empty text.
    pub(crate) fn text(&self, scope: &Scope) -> Result<Option<String>, Failed> {
        let value = self.eval(scope)?;
        if value.is_undefined() || value.is_none() {
            return Ok(None);
        }
        let text =
            plain(&value).ok_or_else(|| Failed(format!("`{}` is neither text nor a whole number", self.source)))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// Whether it holds. What fails does not hold.
    pub(crate) fn holds(&self, scope: &Scope) -> bool {
        self.eval(scope).is_ok_and(|value| value.is_true())
    }
}

fn outside_of_quotes(source: &str) -> impl Iterator<Item = char> + '_ {
    let mut quote = None;
    let mut escaped = false;
    source.chars().filter(move |c| match quote {
        Some(_) if escaped => {
            escaped = false;
            false
        }
        Some(_) if *c == '\\' => {
            escaped = true;
            false
        }
        Some(open) => {
            if *c == open {
                quote = None;
            }
            false
        }
        None => {
            if matches!(*c, '"' | '\'') {
                quote = Some(*c);
            }
            true
        }
    })
}

/// A text with expressions in it: `ada-{{ person.user_name }}`.
#[derive(Debug)]
pub(crate) struct Text(Vec<Part>);

#[derive(Debug)]
enum Part {
    Fixed(String),
    Made(Expr),
}

impl Text {
    /// Reads a text; expressions may use these names.
    pub(crate) fn new(source: &str, names: &[&str]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = source;
        while let Some(start) = rest.find("{{") {
            if start > 0 {
                parts.push(Part::Fixed(rest[..start].to_owned()));
            }
            let inner = &rest[start + 2..];
            let end = end_of(inner).ok_or("has `{{` without `}}`")?;
            parts.push(Part::Made(Expr::new(inner[..end].trim(), names)?));
            rest = &inner[end + 2..];
        }
        if rest.contains("{%") || rest.contains("{#") {
            return Err("has a statement or comment (`{%`, `{#`); only expressions are allowed".to_owned());
        }
        if parts.is_empty() && known::meant(rest) {
            let text = rest.trim();
            return Err(format!("is the text `{text}` itself; for its value write `{{{{ {text} }}}}`"));
        }
        if !rest.is_empty() {
            parts.push(Part::Fixed(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// The text, where it has no expression.
    pub(crate) fn fixed(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Fixed(text)] => Some(text),
            _ => None,
        }
    }

    /// What its first expression is about: `account.id`.
    pub(crate) fn subject(&self) -> String {
        let made = self.0.iter().find_map(|part| match part {
            Part::Made(expr) => Some(expr.source.as_str()),
            Part::Fixed(_) => None,
        });
        let word = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
        made.unwrap_or_default().chars().take_while(word).collect()
    }

    /// The expression, where the text is nothing else.
    pub(crate) fn only(&self) -> Option<&Expr> {
        match self.0.as_slice() {
            [Part::Made(expr)] => Some(expr),
            _ => None,
        }
    }

    /// The text with each expression's value put in as `encode` makes it; `None` if one of them is
    /// nothing or empty.
    pub(crate) fn render(&self, scope: &Scope, encode: impl Fn(&str) -> String) -> Result<Option<String>, Failed> {
        let mut made = String::new();
        for part in &self.0 {
            match part {
                Part::Fixed(text) => made.push_str(text),
                Part::Made(expr) => match expr.text(scope)? {
                    Some(text) => made.push_str(&encode(&text)),
                    None => return Ok(None),
                },
            }
            if made.len() > LONGEST_VALUE {
                return Err(Failed("the text is too long".to_owned()));
            }
        }
        Ok(Some(made))
    }
}

/// Where an expression ends, quotes respected.
fn end_of(inner: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None if inner[at..].starts_with("}}") => return Some(at),
            None => {}
        }
    }
    None
}

/// A JSON value as expressions see it.
pub(crate) fn from_json(value: &serde_json::Value) -> Value {
    Value::from(minijinja::value::Serde(value))
}

/// A value as JSON; `None` where it is nothing. Bounded in depth and number.
pub(crate) fn json(value: &Value) -> Result<Option<serde_json::Value>, Failed> {
    let mut left = MOST_VALUES;
    to_json(value, DEEPEST, &mut left)
}

fn to_json(value: &Value, depth: usize, left: &mut usize) -> Result<Option<serde_json::Value>, Failed> {
    if depth == 0 || *left == 0 {
        return Err(Failed("the value is too large".to_owned()));
    }
    *left -= 1;
    Ok(Some(match value.kind() {
        ValueKind::Undefined => return Ok(None),
        ValueKind::None => serde_json::Value::Null,
        ValueKind::Bool => value.is_true().into(),
        ValueKind::String => value.as_str().unwrap_or_default().into(),
        ValueKind::Number => {
            serde_json::to_value(value).map_err(|_| Failed("the number cannot be written as JSON".to_owned()))?
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let mut list = Vec::new();
            for item in value.try_iter().map_err(|error| Failed::of(&error))? {
                list.extend(to_json(&item, depth - 1, left)?);
            }
            list.into()
        }
        ValueKind::Map => {
            let mut map = serde_json::Map::new();
            for key in value.try_iter().map_err(|error| Failed::of(&error))? {
                let name = plain(&key).ok_or_else(|| Failed("the value has a name that is no text".to_owned()))?;
                let item = value.get_item(&key).map_err(|error| Failed::of(&error))?;
                if let Some(item) = to_json(&item, depth - 1, left)? {
                    map.insert(name, item);
                }
            }
            map.into()
        }
        _ => return Err(Failed("the value cannot be written as JSON".to_owned())),
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use serde_json::json;

    use super::*;

    fn eval(source: &str) -> Result<serde_json::Value, String> {
        let scope = Scope::from([(
            "x",
            from_json(&json!({
                "name": " Ada L ", "roles": ["a", "b"], "none": null, "n": 7, "f": 1.5,
                "teams": [{ "id": 1, "k": true }, { "id": 2, "k": false }],
                "URN:Ext": { "Login": "al" },
                "map": { "admin": "owner" },
            })),
        )]);
        let value = Expr::new(source, &["x"])?.eval(&scope).map_err(|failed| failed.0)?;
        Ok(json(&value).map_err(|failed| failed.0)?.unwrap_or(json!("nothing")))
    }

    #[test]
    fn expressions_transform() {
        for (source, want) in [
            ("x.name | trim | lower", json!("ada l")),
            ("x.name | slug", json!("ada-l")),
            ("x.roles | join(',')", json!("a,b")),
            ("'a/b' | split('/') | last", json!("b")),
            ("{'email': ['is taken', 'is odd'], 'n': {}} | words", json!("email: is taken, is odd")),
            ("'plain' | words ~ (x.nothing | words | default('!'))", json!("plain!")),
            ("x.none.deeper.still | default('d')", json!("d")),
            ("x.nothing | lower", json!("nothing")),
            ("x.n | text | prefix('#')", json!("#7")),
            ("x.teams | pluck('id')", json!([1, 2])),
            ("x.teams | where('k', true) | pluck('id')", json!([1])),
            ("x | at('urn:ext:login')", json!("al")),
            ("'R&D EU' | spelled", json!("R_x26_D__EU")),
            ("'R_x26_D__EU' | unspelled", json!("R&D EU")),
            (
                "x.roles | wrap('id', {'type': 'role'})",
                json!([{ "id": "a", "type": "role" }, { "id": "b", "type": "role" }]),
            ),
            (
                "[{'of': {'id': '2'}}, {}] | attach('team', x.teams, 'of.id') | pluck('team') | first",
                json!({ "id": 2, "k": false }),
            ),
            ("{'of': 9} | attach('team', x.teams, 'of')", json!({ "of": 9 })),
            ("{'of': 9} | attach('team', x.nothing, 'of.id')", json!({ "of": 9 })),
            ("'admin' | map(x.map)", json!("owner")),
            ("'owner' | unmap(x.map)", json!("admin")),
            ("x.name is containing('ADA') and x.none is not defined", json!(true)),
            ("'b' in x.roles", json!(true)),
            ("x.n > 3 and x.n + 1 == 8", json!(true)),
        ] {
            assert_eq!(eval(source), Ok(want), "{source}");
        }
    }

    #[test]
    fn the_sandbox_has_walls() {
        for source in [
            "y.name",
            "x.name | shout",
            "x is shiny",
            "range(10)",
            "'x' * 100000000",
            "x.name | replace('', 'aa')",
            "include('/etc/passwd')",
            "x.",
            "{% for %}",
        ] {
            assert!(eval(source).is_err(), "{source}");
        }
        let long = format!("x.name{}", " ~ x.name".repeat(3_000));
        assert!(Expr::new(&long, &["x"]).is_err());
        assert!(Text::new("{% include 'x' %}", &[]).is_err());
        assert!(Text::new("{{ x", &["x"]).is_err());
    }

    #[test]
    fn a_list_that_is_too_long_was_cut_off_without_a_word() {
        let teams: Vec<serde_json::Value> = (0..=MOST_VALUES).map(|n| json!({ "id": n })).collect();
        let scope = Scope::from([("x", from_json(&json!({ "long": teams, "some": [1, 2] })))]);
        for source in ["x.long | pluck('id')", "x.long | where('id', 1)", "x.long | attach('a', x.some, 'id')"] {
            assert!(Expr::new(source, &["x"]).unwrap().eval(&scope).is_err(), "{source}");
        }
        // A list and a table, each within the bound, whose product is not.
        let scope = Scope::from([(
            "x",
            from_json(&json!({
                "list": vec![0; MOST_VALUES / 10],
                "table": (0..20).map(|n| (format!("k{n}"), json!(n))).collect::<serde_json::Map<_, _>>(),
            })),
        )]);
        assert!(Expr::new("x.list | wrap('id', x.table)", &["x"]).unwrap().eval(&scope).is_err());
    }

    #[test]
    fn a_text_needs_all_its_values() {
        let text = Text::new("a-{{ x | default('}}') }}-b", &["x"]).unwrap();
        let with = |value: Value| text.render(&Scope::from([("x", value)]), str::to_owned).unwrap();
        assert_eq!(with(Value::from("1")), Some("a-1-b".to_owned()));
        assert_eq!(with(Value::UNDEFINED), Some("a-}}-b".to_owned()));
        let text = Text::new("a-{{ x }}", &["x"]).unwrap();
        assert_eq!(text.render(&Scope::new(), str::to_owned), Ok(None));
    }
}
