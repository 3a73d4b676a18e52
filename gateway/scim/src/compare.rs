//! Equality of values as the schema has it: `caseExact` decides about texts, order of lists and of members does not
//! count (RFC 7643 sections 2.2, 2.3.8 and 2.4).
use serde_json::{Map, Value};
use std::collections::HashMap;

use crate::datetime;
use crate::error::ScimError;
use crate::fold::fold_text;
use crate::schema::{AttrType, Attribute, Mutability};

/// A text that two values of an attribute share if and only if they are equal. Values nest twice at most.
pub fn key(attr: &Attribute, value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut parts: Vec<String> = map
                .iter()
                .map(|(name, value)| {
                    let key = attr.sub(name).map_or_else(|| value.to_string(), |sub| key(sub, value));
                    format!("{}:{key}", Value::from(name.to_ascii_lowercase()))
                })
                .collect();
            parts.sort_unstable();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(items) => {
            let mut parts: Vec<String> = items.iter().map(|item| key(attr, item)).collect();
            parts.sort_unstable();
            format!("[{}]", parts.join(","))
        }
        Value::String(text) => match attr.kind {
            AttrType::DateTime => {
                datetime::parse(text).map_or_else(|| text.clone(), |at| at.as_microsecond().to_string())
            }
            _ if attr.exact() => text.clone(),
            _ => fold_text(text),
        },
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.to_string(),
            (None, Some(float)) => float.to_string(),
            _ => number.to_string(),
        },
        plain => plain.to_string(),
    }
}

/// Whether two values of an attribute are equal.
pub(crate) fn same(attr: &Attribute, a: &Value, b: &Value) -> bool {
    a == b || key(attr, a) == key(attr, b)
}

/// Whether a stored value has the shape that a declaration gives it. What was stored under another declaration may
/// not; whether it is one of the canonical values does not count.
pub fn fits(attr: &Attribute, value: &Value) -> bool {
    match value {
        Value::Array(items) => attr.multi_valued && items.iter().all(|item| fits_one(attr, item)),
        one => !attr.multi_valued && fits_one(attr, one),
    }
}

fn fits_one(attr: &Attribute, value: &Value) -> bool {
    match (attr.kind, value) {
        (AttrType::Complex, Value::Object(map)) => {
            map.iter().all(|(name, value)| attr.sub_attributes.iter().any(|sub| sub.name == *name && fits(sub, value)))
        }
        (AttrType::String | AttrType::Reference, Value::String(_)) | (AttrType::Boolean, Value::Bool(_)) => true,
        (AttrType::DateTime, Value::String(text)) => datetime::parse(text).is_some(),
        (AttrType::Binary, Value::String(text)) => crate::value::is_base64(text),
        (AttrType::Integer, Value::Number(number)) => number.is_i64() || number.is_u64(),
        (AttrType::Decimal, Value::Number(_)) => true,
        _ => false,
    }
}

/// Joins elements that are one and the same: of a complex attribute those of one (type, value) pair, of others equal
/// values (RFC 7643 section 2.4). The first keeps its place and its spelling; what a later one says besides is taken
/// over.
pub(crate) fn join_duplicates(attr: &Attribute, items: &mut Vec<Value>) {
    if items.len() < 2 {
        return;
    }
    let mut first: HashMap<String, usize> = HashMap::with_capacity(items.len());
    let mut kept: Vec<Value> = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        let id = identity(attr, &item);
        match first.get(&id) {
            None => {
                first.insert(id, kept.len());
                kept.push(item);
            }
            Some(&at) => {
                if let (Some(Value::Object(old)), Value::Object(new)) = (kept.get_mut(at), item) {
                    for (name, value) in new {
                        if name == "primary" && old.get(&name) == Some(&Value::Bool(true)) {
                            continue;
                        }
                        if name != "value" && name != "type" {
                            old.insert(name, value);
                        }
                    }
                }
            }
        }
    }
    *items = kept;
}

fn identity(attr: &Attribute, item: &Value) -> String {
    let part =
        |map: &Map<String, Value>, name: &str| attr.sub(name).zip(map.get(name)).map(|(sub, value)| key(sub, value));
    match item {
        Value::Object(map) if attr.sub("value").is_some() => match part(map, "value") {
            Some(value) => format!("{:?}", (part(map, "type"), value)),
            None => key(attr, item),
        },
        other => key(attr, other),
    }
}

/// 400 `mutability` if an element would lose or change a part that may be set once (RFC 7643 sections 2.2 and 4.2):
/// such an element is replaced, not changed.
pub(crate) fn keep_immutable_parts(
    attr: &Attribute,
    old: &Value,
    new: Option<&Value>,
    name: &str,
) -> Result<(), ScimError> {
    for sub in attr.sub_attributes.iter().filter(|sub| sub.mutability == Mutability::Immutable) {
        let Some(before) = old.get(&sub.name) else { continue };
        if !new.and_then(|new| new.get(&sub.name)).is_some_and(|after| same(sub, before, after)) {
            return Err(set_once(&format!("{name}.{}", sub.name)));
        }
    }
    Ok(())
}

/// What a client is told that would change what may be set once.
pub(crate) fn set_once(name: &str) -> ScimError {
    ScimError::mutability(format!("{name} may be set once and has another value already."))
}
