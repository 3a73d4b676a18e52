//! Whether a filter makes sense for a resource type.
use serde_json::Value;

use super::{Filter, Op, Test};
use crate::datetime;
use crate::error::ScimError;
use crate::path::AttrPath;
use crate::quirks::{Quirk, Quirks, boolean_as_text, complex_compared};
use crate::schema::{AttrType, Attribute, Located, Resolved, ResourceType, Returned};

/// Checks a filter's types, with all leniencies. An attribute that nobody declared is no error: it matches nothing.
///
/// # Errors
/// 400 `invalidFilter`, naming the attribute.
pub fn check(filter: &Filter, rt: &ResourceType) -> Result<(), ScimError> {
    check_with(filter, rt, &mut Quirks::lenient())
}

/// Checks a filter's types, with the leniencies that `quirks` allows.
///
/// # Errors
/// 400 `invalidFilter`, naming the attribute.
pub fn check_with(filter: &Filter, rt: &ResourceType, quirks: &mut Quirks) -> Result<(), ScimError> {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().try_for_each(|part| check_with(part, rt, quirks)),
        Filter::Not(inner) => check_with(inner, rt, quirks),
        Filter::Present(path) => locate(path, rt, quirks).map(|_| ()),
        Filter::Compare { path, op, value } => match locate(path, rt, quirks)? {
            Some(found) => {
                complex_compared::note(found.leaf(), quirks);
                compare(&found.path(), value_of(found.leaf()), *op, value, quirks)
            }
            None => Ok(()),
        },
        Filter::ValuePath { attr, filter, then } => {
            let Some(found) = locate(attr, rt, quirks)? else {
                return Ok(());
            };
            check_element(filter, found.attr, quirks)?;
            match then {
                Some(then) => check_sub(&then.sub, &then.test, found.attr, quirks),
                None => Ok(()),
            }
        }
    }
}

/// Checks the filter inside a value path against the sub-attributes.
///
/// # Errors
/// 400 `invalidFilter`, naming the attribute.
pub(crate) fn check_element(filter: &Filter, attr: &Attribute, quirks: &mut Quirks) -> Result<(), ScimError> {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().try_for_each(|part| check_element(part, attr, quirks)),
        Filter::Not(inner) => check_element(inner, attr, quirks),
        // There are no parts of parts, so a longer path names nothing.
        Filter::Present(path) | Filter::Compare { path, .. } if !path.is_plain() => Ok(()),
        Filter::Present(path) => check_sub(&path.attr, &Test::Present, attr, quirks),
        Filter::Compare { path, op, value } => check_sub(&path.attr, &Test::Compare(*op, value.clone()), attr, quirks),
        Filter::ValuePath { .. } => Err(ScimError::invalid_filter("Value paths do not nest.")),
    }
}

fn check_sub(sub: &str, test: &Test, attr: &Attribute, quirks: &mut Quirks) -> Result<(), ScimError> {
    let found = if attr.kind == AttrType::Complex {
        attr.sub(sub)
    } else {
        // A plain list has no sub-attributes; `value` means the element.
        sub.eq_ignore_ascii_case("value").then_some(attr)
    };
    match (found, test) {
        (Some(found), Test::Compare(op, value)) => {
            compare(&format!("{}.{}", attr.name, found.name), Some(found), *op, value, quirks)
        }
        _ => Ok(()),
    }
}

fn locate<'a>(path: &AttrPath, rt: &'a ResourceType, quirks: &mut Quirks) -> Result<Option<Located<'a>>, ScimError> {
    let Resolved::Attribute(found) = rt.resolve(path) else {
        return Ok(None);
    };
    if found.unqualified && !quirks.use_(Quirk::UnqualifiedExtension) {
        return Err(ScimError::invalid_filter(format!("{} is named without the URN of its extension.", path.attr)));
    }
    if found.attr.returned == Returned::Never || found.leaf().returned == Returned::Never {
        return Err(ScimError::invalid_filter(format!("{} cannot be used in a filter.", found.path())));
    }
    Ok(Some(found))
}

/// The attribute that is compared: of a complex one its `value`.
pub(super) fn value_of(attr: &Attribute) -> Option<&Attribute> {
    if attr.kind == AttrType::Complex { attr.sub("value") } else { Some(attr) }
}

fn compare(name: &str, attr: Option<&Attribute>, op: Op, value: &Value, quirks: &mut Quirks) -> Result<(), ScimError> {
    let refuse = |why: &str| Err(ScimError::invalid_filter(format!("{name}: {why}.")));
    let Some(attr) = attr else {
        return match value {
            Value::Null => Ok(()),
            _ => refuse("a complex attribute is compared by one of its sub-attributes"),
        };
    };
    if value.is_null() {
        return match op {
            Op::Eq | Op::Ne => Ok(()),
            _ => refuse("null has no order and no parts"),
        };
    }
    match attr.kind {
        AttrType::Boolean => {
            if !matches!(op, Op::Eq | Op::Ne) {
                return refuse("a boolean is compared by eq and ne only");
            }
            match boolean_as_text::read(value, quirks) {
                Some(_) => Ok(()),
                None => refuse("expected true or false"),
            }
        }
        AttrType::Integer | AttrType::Decimal if op.is_textual() => refuse("a number is not compared by co, sw or ew"),
        AttrType::Integer | AttrType::Decimal => match value {
            Value::Number(_) => Ok(()),
            _ => refuse("expected a number"),
        },
        AttrType::DateTime if op.is_textual() => match value {
            Value::String(_) => Ok(()),
            _ => refuse("expected a text in quotes"),
        },
        AttrType::DateTime => match value {
            Value::String(text) if datetime::parse(text).is_some() => Ok(()),
            _ => refuse("expected a date and time such as \"2011-05-13T04:42:34Z\""),
        },
        AttrType::Binary if op.is_ordering() => refuse("binary data has no order"),
        AttrType::String | AttrType::Reference | AttrType::Binary => match value {
            Value::String(_) => Ok(()),
            _ => refuse("expected a text in quotes"),
        },
        AttrType::Complex => refuse("a complex attribute is compared by one of its sub-attributes"),
    }
}

/// `True`, `false` and the like, in any case.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}
