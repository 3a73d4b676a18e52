//! Sorting (RFC 7644 section 3.4.2.3).
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::cmp::Ordering;

use crate::datetime;
use crate::filter::{Rule, value_at};
use crate::path::AttrPath;
use crate::schema::{AttrType, Attribute, Resolved, ResourceType, Returned};

/// What a document is sorted by. Keys of one attribute are of one kind; the order of the variants puts documents
/// without a value last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Key {
    /// False before true.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number, as bits that order as it does.
    Decimal(i64),
    /// Seconds since 1970 and nanoseconds.
    Instant(i64, i32),
    /// A text, folded as its attribute compares.
    Text(String),
    /// No value, or one that cannot be read.
    Absent,
}

/// What a document is sorted by, for an attribute. Of a list its primary element counts, else the first. An
/// attribute that nobody declared orders nothing.
pub fn key(rt: &ResourceType, path: &AttrPath, doc: &Map<String, Value>) -> Key {
    let Resolved::Attribute(found) = rt.resolve(path) else {
        return Key::Absent;
    };
    let leaf = match found.leaf() {
        leaf if leaf.kind == AttrType::Complex => match leaf.sub("value") {
            Some(value) => value,
            None => return Key::Absent,
        },
        leaf => leaf,
    };
    if found.attr.returned == Returned::Never || leaf.returned == Returned::Never {
        return Key::Absent;
    }
    let rule = if rt.is_name(&found) { Rule::Name } else { Rule::of(leaf) };
    let value = value_at(&found, doc).and_then(|v| pick(v, leaf, found.attr));
    value.and_then(|value| read(leaf, rule, value)).unwrap_or(Key::Absent)
}

/// The order of two documents by an attribute, ascending: one without a value comes last. Reverse it for a
/// descending list, where such come first.
pub fn compare(rt: &ResourceType, path: &AttrPath, a: &Map<String, Value>, b: &Map<String, Value>) -> Ordering {
    key(rt, path, a).cmp(&key(rt, path, b))
}

fn pick<'v>(value: &'v Value, leaf: &Attribute, attr: &Attribute) -> Option<&'v Value> {
    let element = match value {
        Value::Array(items) => items.iter().find(|v| v.get("primary") == Some(&Value::Bool(true))).or(items.first())?,
        one => one,
    };
    let value = if attr.kind == AttrType::Complex { element.get(&leaf.name)? } else { element };
    (!value.is_null()).then_some(value)
}

fn read(leaf: &Attribute, rule: Rule, value: &Value) -> Option<Key> {
    match leaf.kind {
        AttrType::Boolean => value.as_bool().map(Key::Boolean),
        AttrType::Integer => value.as_i64().map(Key::Integer),
        AttrType::Decimal => value.as_f64().map(|number| Key::Decimal(ordered_bits(number))),
        AttrType::DateTime => {
            let at = value.as_str().and_then(datetime::parse)?;
            Some(Key::Instant(at.as_second(), at.subsec_nanosecond()))
        }
        _ => value.as_str().map(|text| Key::Text(rule.apply(text))),
    }
}

/// The bits of a number, such that they order as numbers do: those of negative ones are turned round.
fn ordered_bits(number: f64) -> i64 {
    // Adding zero makes one of the two zeros.
    let bits = (number + 0.0).to_bits().cast_signed();
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_order_as_their_numbers(a in any::<f64>(), b in any::<f64>()) {
            if let Some(order) = a.partial_cmp(&b) {
                prop_assert_eq!(ordered_bits(a).cmp(&ordered_bits(b)), order);
            }
        }
    }
}
