//! Sorting (RFC 7644 section 3.4.2.3).
use serde_json::{Map, Value};
use std::cmp::Ordering;

use crate::datetime;
use crate::filter::{Rule, number_order, value_at};
use crate::path::AttrPath;
use crate::schema::{AttrType, Attribute, Resolved, ResourceType, Returned};

/// The order of two documents by an attribute, ascending: one without a value comes last. Reverse it for a
/// descending list, where such come first.
///
/// Of a list its primary element counts, else the first. An attribute that nobody declared, or that cannot be
/// read, orders nothing.
pub fn compare(rt: &ResourceType, path: &AttrPath, a: &Map<String, Value>, b: &Map<String, Value>) -> Ordering {
    let Resolved::Attribute(found) = rt.resolve(path) else {
        return Ordering::Equal;
    };
    let leaf = match found.leaf() {
        leaf if leaf.kind == AttrType::Complex => match leaf.sub("value") {
            Some(value) => value,
            None => return Ordering::Equal,
        },
        leaf => leaf,
    };
    if found.attr.returned == Returned::Never || leaf.returned == Returned::Never {
        return Ordering::Equal;
    }
    let rule = if rt.is_name(&found) { Rule::Name } else { Rule::of(leaf) };
    let key = |doc| value_at(&found, doc).and_then(|v| pick(v, leaf, found.attr));
    match (key(a), key(b)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => order(leaf, rule, a, b),
    }
}

fn pick<'v>(value: &'v Value, leaf: &Attribute, attr: &Attribute) -> Option<&'v Value> {
    let element = match value {
        Value::Array(items) => items.iter().find(|v| v.get("primary") == Some(&Value::Bool(true))).or(items.first())?,
        one => one,
    };
    let value = if attr.kind == AttrType::Complex { element.get(&leaf.name)? } else { element };
    (!value.is_null()).then_some(value)
}

fn order(leaf: &Attribute, rule: Rule, a: &Value, b: &Value) -> Ordering {
    match leaf.kind {
        AttrType::Boolean => a.as_bool().cmp(&b.as_bool()),
        AttrType::Integer | AttrType::Decimal => number_order(a, b).unwrap_or(Ordering::Equal),
        AttrType::DateTime => {
            let read = |v: &Value| v.as_str().and_then(datetime::parse);
            read(a).cmp(&read(b))
        }
        _ => {
            let read = |v: &Value| v.as_str().map(|text| rule.apply(text));
            read(a).cmp(&read(b))
        }
    }
}
