//! What a person's attributes become at the directory: templates with paths into the SCIM document.

use connector_sdk::Person;
use serde_json::{Map, Value};

/// Values that one attribute gets at most.
const MOST_VALUES: usize = 100;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// Paths, the first of which that says something counts, and whether only what stands before `@`.
    Path(Vec<String>, bool),
}

/// A text with `{path}` in it; `{a|b}` takes b where a is empty, `{path:local}` what stands before `@`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong, for the admin.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, inner) = rest.split_at(at);
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let inner = inner.strip_prefix('{').ok_or_else(|| format!("{text:?} has a }} without its {{"))?;
            let (inner, after) = inner.split_once('}').ok_or_else(|| format!("{text:?} has a {{ without its }}"))?;
            let (paths, local) = match inner.strip_suffix(":local") {
                Some(paths) => (paths, true),
                None => (inner, false),
            };
            let paths: Vec<String> = paths.split('|').map(|path| path.trim().to_owned()).collect();
            if paths.iter().any(String::is_empty) {
                return Err(format!("{text:?} names no attribute between its braces"));
            }
            pieces.push(Piece::Path(paths, local));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        if pieces.is_empty() { Err("a template is empty".to_owned()) } else { Ok(Self(pieces)) }
    }

    /// What it is for a person: all values where it is nothing but a path, else one; none where a path is empty.
    pub(super) fn values(&self, who: &Person) -> Vec<String> {
        if let [Piece::Path(paths, local)] = self.0.as_slice() {
            return shaped(paths, *local, who);
        }
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(fixed) => text.push_str(fixed),
                Piece::Path(paths, local) => match shaped(paths, *local, who).into_iter().next() {
                    Some(value) => text.push_str(&value),
                    None => return Vec::new(),
                },
            }
        }
        vec![text]
    }

    /// Its first value.
    pub(super) fn value(&self, who: &Person) -> Option<String> {
        self.values(who).into_iter().next()
    }

    /// Whether it takes an attribute first of all.
    pub(super) fn names(&self, attribute: &str) -> bool {
        self.0.iter().any(|piece| match piece {
            Piece::Text(_) => false,
            Piece::Path(paths, _) => paths.first().is_some_and(|path| path.eq_ignore_ascii_case(attribute)),
        })
    }

    /// The attributes of the document that it looks at.
    pub(super) fn sources(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .flat_map(|piece| match piece {
                Piece::Text(_) => &[][..],
                Piece::Path(paths, _) => paths.as_slice(),
            })
            .map(|path| match path.split_once('.') {
                // Not the version within a URN.
                Some((first, _)) if !path.contains(':') => first,
                _ => path.as_str(),
            })
    }
}

fn shaped(paths: &[String], local: bool, who: &Person) -> Vec<String> {
    let mut values = paths.iter().map(|path| at(who, path)).find(|values| !values.is_empty()).unwrap_or_default();
    if local {
        for value in &mut values {
            if let Some(cut) = value.find('@') {
                value.truncate(cut);
            }
        }
        values.retain(|value| !value.is_empty());
    }
    values
}

/// The values at a path that say something, each once, the primary one first.
fn at(who: &Person, path: &str) -> Vec<String> {
    let known =
        |text: Option<&str>| text.filter(|text| !text.trim().is_empty()).map(str::to_owned).into_iter().collect();
    if path.eq_ignore_ascii_case("userName") {
        return known(Some(&who.user_name));
    }
    if path.eq_ignore_ascii_case("displayName") {
        return known(who.display_name.as_deref());
    }
    // SCIM has no attribute of this name: it is the primary one of `emails`, for directories that hold one address.
    if path.eq_ignore_ascii_case("email") {
        return at(who, "emails").into_iter().take(1).collect();
    }
    let mut values: Vec<String> = Vec::new();
    if path.eq_ignore_ascii_case("emails") {
        values.extend(who.email.clone());
    }
    let (container, rest) = match path.rfind(':') {
        Some(cut) => match child(&who.attributes, &path[..cut]) {
            Some(Value::Object(inner)) => (inner, &path[cut + 1..]),
            _ => return values,
        },
        None => (&who.attributes, path),
    };
    let mut found = Vec::new();
    let names: Vec<&str> = rest.split('.').collect();
    if let Some(value) = names.first().and_then(|name| child(container, name)) {
        gather(value, &names[1..], &mut found);
    }
    for text in found {
        if values.len() < MOST_VALUES && values.iter().all(|known| !known.eq_ignore_ascii_case(&text)) {
            values.push(text);
        }
    }
    values
}

fn gather(value: &Value, names: &[&str], found: &mut Vec<String>) {
    match (value, names) {
        (Value::Array(items), _) => {
            // Lists of lists do not occur in SCIM; a list is looked into once.
            let primary = |item: &&Value| item["primary"] == true;
            let items = items.iter().filter(|item| !item.is_array());
            for item in items.clone().filter(primary).chain(items.filter(|item| !primary(item))) {
                gather(item, names, found);
            }
        }
        (Value::Object(map), [name, rest @ ..]) => {
            if let Some(inner) = child(map, name) {
                gather(inner, rest, found);
            }
        }
        (Value::Object(map), []) => {
            if let Some(text) = child(map, "value").and_then(text_of) {
                found.push(text);
            }
        }
        (value, []) => found.extend(text_of(value)),
        _ => {}
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(if *flag { "TRUE" } else { "FALSE" }.to_owned()),
        _ => None,
    }
}

fn child<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).or_else(|| map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ada() -> Person {
        let mut who = Person::named("ada@kit.example");
        who.email = Some("ada@kit.example".to_owned());
        who.display_name = Some("Ada Lovelace".to_owned());
        who.attributes = json!({
            "name": { "familyName": "Lovelace" },
            "emails": [{ "value": "other@kit.example" }, { "value": "ada@kit.example", "primary": true }],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "Engines", "costCenter": 7 },
            "nickName": "  ",
        })
        .as_object()
        .unwrap()
        .clone();
        who
    }

    #[test]
    fn templates_take_what_the_document_has() {
        for (template, want) in [
            ("{userName}", &["ada@kit.example"][..]),
            ("{userName:local}", &["ada"]),
            ("/home/{userName:local}", &["/home/ada"]),
            ("/bin/bash", &["/bin/bash"]),
            ("{emails}", &["ada@kit.example", "other@kit.example"]),
            ("{email}", &["ada@kit.example"]),
            ("{nickName|name.familyName}", &["Lovelace"]),
            ("{NAME.familyname}", &["Lovelace"]),
            ("{urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:costCenter}", &["7"]),
            ("{name.givenName} {displayName}", &[]),
        ] {
            assert_eq!(Template::read(template).unwrap().values(&ada()), want, "{template}");
        }
        for wrong in ["", "{", "}", "{a", "a}", "{}", "{a|}"] {
            assert!(Template::read(wrong).is_err(), "{wrong}");
        }
    }
}
