//! Evaluating a filter on a document.
//!
//! - A condition on a list holds if it holds for one element (RFC 7644 section 3.4.2.2), `ne` included.
//! - `ne` holds for an attribute without a value; `eq null` means without a value, `ne null` with one.
//! - An attribute that nobody declared, or that is never returned, matches nothing, `ne` included.
//! - The naming attribute (`userName`) compares by [`crate::fold::fold_name`], whatever the spelling.
use serde_json::{Map, Value};
use std::cmp::Ordering;

use super::check::{boolean, value_of};
use super::{Filter, Op, Test};
use crate::datetime;
use crate::fold::{fold_name, fold_text};
use crate::schema::{AttrType, Attribute, Located, Resolved, ResourceType, Returned};

impl Filter {
    /// Whether a document passes. The document has canonical names; for conditions on `id`, `meta` or a relation
    /// it has to hold them.
    pub fn matches(&self, rt: &ResourceType, doc: &Map<String, Value>) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.matches(rt, doc)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(rt, doc)),
            Self::Not(inner) => !inner.matches(rt, doc),
            Self::Present(path) => {
                let Resolved::Attribute(found) = rt.resolve(path) else {
                    return match rt.resolve(path) {
                        Resolved::Extension(schema) => doc.get(&schema.id).is_some_and(present),
                        _ => false,
                    };
                };
                readable(&found) && values(&found, found.sub, doc).into_iter().any(present)
            }
            Self::Compare { path, op, value } => {
                let Resolved::Attribute(found) = rt.resolve(path) else {
                    return false;
                };
                if !readable(&found) {
                    return false;
                }
                let Some(leaf) = value_of(found.leaf()) else {
                    // A complex attribute without `value` knows only null.
                    let any = values(&found, found.sub, doc).into_iter().any(present);
                    return value.is_null() && ((*op == Op::Eq && !any) || (*op == Op::Ne && any));
                };
                let sub = if std::ptr::eq(leaf, found.attr) { None } else { Some(leaf) };
                let rule = if rt.is_name(&found) { Rule::Name } else { Rule::of(leaf) };
                compare_all(&values(&found, sub, doc), leaf.kind, rule, *op, value)
            }
            Self::ValuePath { attr, filter, then } => {
                let Resolved::Attribute(found) = rt.resolve(attr) else {
                    return false;
                };
                readable(&found)
                    && elements(&found, doc).iter().any(|element| {
                        filter.matches_element(found.attr, element)
                            && then.as_ref().is_none_or(|then| test_sub(&then.sub, &then.test, found.attr, element))
                    })
            }
        }
    }

    /// Whether one element of an attribute passes the filter of a value path.
    pub fn matches_element(&self, attr: &Attribute, element: &Value) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.matches_element(attr, element)),
            Self::Or(parts) => parts.iter().any(|part| part.matches_element(attr, element)),
            Self::Not(inner) => !inner.matches_element(attr, element),
            Self::Present(path) => path.is_plain() && test_sub(&path.attr, &Test::Present, attr, element),
            Self::Compare { path, op, value } => path.is_plain() && compare_sub(&path.attr, *op, value, attr, element),
            Self::ValuePath { .. } => false,
        }
    }
}

fn test_sub(name: &str, test: &Test, attr: &Attribute, element: &Value) -> bool {
    match test {
        Test::Present => match sub_value(name, attr, element) {
            Some((_, value)) => value.is_some_and(present),
            None => false,
        },
        Test::Compare(op, value) => compare_sub(name, *op, value, attr, element),
    }
}

fn compare_sub(name: &str, op: Op, wanted: &Value, attr: &Attribute, element: &Value) -> bool {
    match sub_value(name, attr, element) {
        Some((leaf, value)) => {
            let values: Vec<&Value> = value.into_iter().flat_map(spread).collect();
            compare_all(&values, leaf.kind, Rule::of(leaf), op, wanted)
        }
        None => false,
    }
}

fn sub_value<'a>(name: &str, attr: &'a Attribute, element: &'a Value) -> Option<(&'a Attribute, Option<&'a Value>)> {
    if attr.kind == AttrType::Complex {
        let sub = attr.sub(name)?;
        return Some((sub, element.get(&sub.name)));
    }
    name.eq_ignore_ascii_case("value").then_some((attr, Some(element)))
}

fn readable(found: &Located<'_>) -> bool {
    found.attr.returned != Returned::Never && found.leaf().returned != Returned::Never
}

/// The attribute's value in a document.
pub(crate) fn value_at<'d>(found: &Located<'_>, doc: &'d Map<String, Value>) -> Option<&'d Value> {
    match found.extension {
        Some(schema) => doc.get(&schema.id)?.get(&found.attr.name),
        None => doc.get(&found.attr.name),
    }
}

/// The elements of a list, or the one value.
fn elements<'d>(found: &Located<'_>, doc: &'d Map<String, Value>) -> Vec<&'d Value> {
    value_at(found, doc).into_iter().flat_map(spread).collect()
}

fn values<'d>(found: &Located<'_>, sub: Option<&Attribute>, doc: &'d Map<String, Value>) -> Vec<&'d Value> {
    let all = elements(found, doc);
    match sub {
        None => all,
        Some(sub) => all.into_iter().filter_map(|element| element.get(&sub.name)).flat_map(spread).collect(),
    }
}

fn spread(value: &Value) -> impl Iterator<Item = &Value> {
    match value {
        Value::Array(items) => items.iter(),
        other => std::slice::from_ref(other).iter(),
    }
}

/// Unassigned are null, empty lists, empty objects and empty text.
fn present(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => items.iter().any(present),
        Value::Object(map) => map.values().any(present),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// How texts compare.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Rule {
    Exact,
    Folded,
    Name,
}

impl Rule {
    pub(crate) fn of(attr: &Attribute) -> Self {
        if attr.exact() { Self::Exact } else { Self::Folded }
    }

    pub(crate) fn apply(self, text: &str) -> String {
        match self {
            Self::Exact => text.to_owned(),
            Self::Folded => fold_text(text),
            Self::Name => fold_name(text),
        }
    }
}

fn compare_all(values: &[&Value], kind: AttrType, rule: Rule, op: Op, wanted: &Value) -> bool {
    let mut assigned = values.iter().filter(|v| present(v)).peekable();
    if wanted.is_null() {
        return match op {
            Op::Eq => assigned.peek().is_none(),
            Op::Ne => assigned.peek().is_some(),
            _ => false,
        };
    }
    // An empty text is stored as such: `eq ""` finds it, and `ne ""` does not.
    if op == Op::Ne {
        let mut stored = values.iter().filter(|v| !v.is_null()).peekable();
        return stored.peek().is_none() || stored.any(|v| !compare_one(v, kind, rule, Op::Eq, wanted));
    }
    values.iter().any(|v| compare_one(v, kind, rule, op, wanted))
}

fn compare_one(value: &Value, kind: AttrType, rule: Rule, op: Op, wanted: &Value) -> bool {
    match kind {
        AttrType::Boolean => {
            let read = |v: &Value| match v {
                Value::Bool(b) => Some(*b),
                Value::String(text) => boolean(text),
                _ => None,
            };
            match (read(value), read(wanted)) {
                (Some(a), Some(b)) => op == Op::Eq && a == b,
                _ => false,
            }
        }
        AttrType::Integer | AttrType::Decimal => number_order(value, wanted).is_some_and(|o| ordered(o, op)),
        AttrType::DateTime if !op.is_textual() => {
            let read = |v: &Value| v.as_str().and_then(datetime::parse);
            match (read(value), read(wanted)) {
                (Some(a), Some(b)) => ordered(a.cmp(&b), op),
                _ => false,
            }
        }
        AttrType::Complex => false,
        AttrType::String | AttrType::Reference | AttrType::Binary | AttrType::DateTime => {
            let (Some(a), Some(b)) = (value.as_str(), wanted.as_str()) else {
                return false;
            };
            let (a, b) = (rule.apply(a), rule.apply(b));
            match op {
                Op::Co => a.contains(&b),
                Op::Sw => a.starts_with(&b),
                Op::Ew => a.ends_with(&b),
                _ => ordered(a.cmp(&b), op),
            }
        }
    }
}

fn number_order(a: &Value, b: &Value) -> Option<Ordering> {
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
        return Some(a.cmp(&b));
    }
    a.as_f64()?.partial_cmp(&b.as_f64()?)
}

fn ordered(order: Ordering, op: Op) -> bool {
    match op {
        Op::Eq => order.is_eq(),
        Op::Ne => order.is_ne(),
        Op::Gt => order.is_gt(),
        Op::Ge => order.is_ge(),
        Op::Lt => order.is_lt(),
        Op::Le => order.is_le(),
        Op::Co | Op::Sw | Op::Ew => false,
    }
}
