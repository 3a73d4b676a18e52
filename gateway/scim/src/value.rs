//! Turning a value of a request into what is stored: types, canonical names, and the leniencies about shapes.
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};
use std::collections::HashSet;

use crate::compare::join_duplicates;
use crate::datetime;
use crate::error::ScimError;
use crate::fold::fold_text;
use crate::quirks::{
    self, Quirk, Quirks, boolean_as_text, empty_clears, explicit_nothing, json_in_role, list_for_single, manager_id,
    member_by_ref, not_a_uri, null_ref, single_for_list, text_for_complex, wrapped_value,
};
use crate::resource::Reference;
use crate::schema::{AttrType, Attribute, Returned};
use crate::syntax;

/// Most elements of a list that is stored in the document. Relations are rows and have no such limit.
pub(crate) const MAX_ELEMENTS: usize = 1000;

/// 400 `tooMany` if a list is longer than [`MAX_ELEMENTS`].
pub(crate) fn check_length(count: usize, name: &str) -> Result<(), ScimError> {
    if count > MAX_ELEMENTS {
        return Err(ScimError::too_many(format!("{name}: at most {MAX_ELEMENTS} values.")));
    }
    Ok(())
}

/// A text that two values share if and only if they are equal: keys in order. Elements nest twice at most.
pub(crate) fn fingerprint(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut parts: Vec<String> =
                map.iter().map(|(k, v)| format!("{}:{}", Value::from(k.as_str()), fingerprint(v))).collect();
            parts.sort_unstable();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(fingerprint).collect::<Vec<_>>().join(","))
        }
        plain => plain.to_string(),
    }
}

/// The stored form of an attribute's whole value. None: unassigned (null, `[]`, an object of nothing).
///
/// `name` is the attribute's path, for the message of an error.
pub(crate) fn coerce(
    attr: &Attribute,
    value: Value,
    name: &str,
    quirks: &mut Quirks,
) -> Result<Option<Value>, ScimError> {
    if !attr.multi_valued {
        return coerce_one(attr, value, name, quirks);
    }
    let mut items = coerce_list(attr, value, name, quirks)?;
    join_duplicates(attr, &mut items);
    settle_primaries(attr, &[], &mut items, name, quirks)?;
    Ok((!items.is_empty()).then_some(Value::Array(items)))
}

/// The stored form of the elements of a list; empty if unassigned. Primaries are left as they are.
pub(crate) fn coerce_list(
    attr: &Attribute,
    value: Value,
    name: &str,
    quirks: &mut Quirks,
) -> Result<Vec<Value>, ScimError> {
    let items = single_for_list::elements(value, name, quirks)?;
    check_length(items.len(), name)?;
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        if let Some(item) = coerce_one(attr, item, name, quirks)? {
            out.push(item);
        }
    }
    Ok(out)
}

/// The stored form of one value: of a single-valued attribute, or of one element of a list.
pub(crate) fn coerce_one(
    attr: &Attribute,
    value: Value,
    name: &str,
    quirks: &mut Quirks,
) -> Result<Option<Value>, ScimError> {
    match value {
        Value::Null => {
            null_ref::note(&attr.name, quirks);
            Ok(None)
        }
        Value::Array(items) if items.is_empty() => {
            explicit_nothing::note(quirks);
            Ok(None)
        }
        Value::Array(items) => coerce_one(attr, list_for_single::only(items, name, quirks)?, name, quirks),
        value if attr.kind == AttrType::Complex => coerce_complex(attr, value, name, quirks),
        Value::Object(map) => match wrapped_value::unwrap(map, quirks) {
            Some(inner) => coerce_one(attr, inner, name, quirks),
            None => Err(ScimError::invalid_value(format!("{name}: expected a plain value, not an object."))),
        },
        scalar => {
            let stored = coerce_scalar(attr.kind, scalar, name, quirks)?;
            if let Some(Value::String(text)) = &stored {
                check_text(attr, text, name, quirks.is_strict())?;
            }
            Ok(stored)
        }
    }
}

/// Checks a text against its form and, where the schema restricts it to them, against the canonical values.
fn check_text(attr: &Attribute, text: &str, name: &str, strict: bool) -> Result<(), ScimError> {
    if let Some(want) = syntax::fault(attr, text, strict) {
        return Err(ScimError::invalid_value(format!("{name}: expected {want}.")));
    }
    let known = |value: &String| if attr.exact() { value == text } else { fold_text(value) == fold_text(text) };
    if attr.restrict_canonical_values && !attr.canonical_values.iter().any(known) {
        return Err(ScimError::invalid_value(format!("{name}: expected one of {}.", attr.canonical_values.join(", "))));
    }
    Ok(())
}

fn coerce_scalar(kind: AttrType, value: Value, name: &str, quirks: &mut Quirks) -> Result<Option<Value>, ScimError> {
    let refuse = |want: &str| Err(ScimError::invalid_value(format!("{name}: expected {want}.")));
    if empty_clears::clears(kind, &value, quirks) {
        return Ok(None);
    }
    match kind {
        AttrType::String | AttrType::Reference if !value.is_string() => refuse("a text"),
        AttrType::Reference if !not_a_uri::allow(&value, quirks) => refuse("a URI"),
        AttrType::Boolean => match boolean_as_text::read(&value, quirks) {
            Some(flag) => Ok(Some(Value::Bool(flag))),
            None => refuse("true or false"),
        },
        AttrType::Integer if !(value.is_i64() || value.is_u64()) => {
            refuse("a whole number, without fraction and exponent")
        }
        AttrType::Decimal if !value.is_number() => refuse("a number"),
        AttrType::DateTime if value.as_str().and_then(datetime::parse).is_none() => {
            refuse("a date and time such as \"2011-05-13T04:42:34Z\"")
        }
        AttrType::Binary if !value.as_str().is_some_and(is_base64) => refuse("base64"),
        _ => Ok(Some(value)),
    }
}

/// Base64 of either alphabet, with or without padding, in lines or not.
pub(crate) fn is_base64(text: &str) -> bool {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let plain: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    [alphabet::STANDARD, alphabet::URL_SAFE]
        .iter()
        .any(|alphabet| GeneralPurpose::new(alphabet, config).decode(&plain).is_ok())
}

fn coerce_complex(attr: &Attribute, value: Value, name: &str, quirks: &mut Quirks) -> Result<Option<Value>, ScimError> {
    let map = match value {
        Value::Object(map) => map,
        plain => text_for_complex::wrap(attr, plain, quirks)
            .ok_or_else(|| ScimError::invalid_value(format!("{name}: expected an object.")))?,
    };
    let map = json_in_role::unpack(attr, map, quirks);
    let mut out = Map::new();
    for (key, inner) in map {
        let sub = match attr.sub(&key) {
            Some(sub) => sub,
            None => match manager_id::sub(attr, &key, quirks) {
                Some(sub) => sub,
                None if quirks.use_(Quirk::UnknownIgnored) => continue,
                None => {
                    return Err(ScimError::invalid_value(format!(
                        "{name} has a sub-attribute that its schema does not have."
                    )));
                }
            },
        };
        if !sub.writable() {
            quirks::read_only_ignored::note(quirks);
            continue;
        }
        let path = format!("{name}.{}", sub.name);
        // What is never returned is checked, then dropped: secrets are not kept.
        if let Some(inner) = coerce(sub, inner, &path, quirks)?
            && sub.returned != Returned::Never
        {
            out.insert(sub.name.clone(), inner);
        }
    }
    if empty_clears::hollow(attr, &out, quirks) {
        return Ok(None);
    }
    Ok((!out.is_empty()).then_some(Value::Object(out)))
}

/// Sees to it that one element at most is primary: one that is new as primary turns the others off
/// (RFC 7644 section 3.5.2).
pub(crate) fn settle_primaries(
    attr: &Attribute,
    before: &[Value],
    items: &mut [Value],
    name: &str,
    quirks: &mut Quirks,
) -> Result<(), ScimError> {
    if attr.sub("primary").is_none() {
        return Ok(());
    }
    let primary = |v: &Value| v.get("primary") == Some(&Value::Bool(true));
    let all: Vec<usize> = (0..items.len()).filter(|&n| primary(&items[n])).collect();
    if all.len() < 2 {
        return Ok(());
    }
    let known: HashSet<String> = before.iter().map(fingerprint).collect();
    let is_fresh = |n: &usize| !known.contains(&fingerprint(&items[*n]));
    let fresh: Vec<usize> = all.iter().copied().filter(is_fresh).collect();
    if fresh.len() != 1 && !quirks.use_(Quirk::TwoPrimaries) {
        return Err(ScimError::invalid_value(format!("{name}: more than one value is primary; at most one may be.")));
    }
    let keep = fresh.first().or(all.first()).copied();
    for n in all {
        if Some(n) != keep
            && let Some(map) = items[n].as_object_mut()
        {
            map.insert("primary".into(), Value::Bool(false));
        }
    }
    Ok(())
}

/// The elements of a relation, each once.
pub(crate) fn references(name: &str, value: Value, quirks: &mut Quirks) -> Result<Vec<Reference>, ScimError> {
    let items = single_for_list::elements(value, name, quirks)?;
    let mut seen = HashSet::with_capacity(items.len());
    let mut out = Vec::with_capacity(items.len());
    for item in items {
        let Some(reference) = reference(name, item, quirks)? else {
            continue;
        };
        if seen.insert(reference.value.clone()) {
            out.push(reference);
        }
    }
    Ok(out)
}

fn reference(name: &str, item: Value, quirks: &mut Quirks) -> Result<Option<Reference>, ScimError> {
    let no_value = || ScimError::invalid_value(format!("{name}: every element needs the id of a resource in 'value'."));
    let map = match item {
        Value::Null => return Ok(None),
        Value::Object(map) => map,
        Value::String(value) if text_for_complex::member(&value, quirks) => {
            return Ok(Some(Reference { value, kind: None, display: None }));
        }
        _ => return Err(no_value()),
    };
    let (mut value, mut kind, mut display, mut address) = (None, None, None, None);
    for (key, inner) in map {
        let slot = match key.to_ascii_lowercase().as_str() {
            "value" => &mut value,
            "type" => &mut kind,
            "display" => &mut display,
            "$ref" => &mut address,
            _ if quirks.use_(Quirk::UnknownIgnored) => continue,
            _ => {
                return Err(ScimError::invalid_value(format!(
                    "{name} has a sub-attribute that its schema does not have."
                )));
            }
        };
        match inner {
            Value::String(text) => *slot = Some(text),
            Value::Null => null_ref::note(&key, quirks),
            _ => {
                return Err(ScimError::invalid_value(format!("{name}: value, type, display and $ref are texts.")));
            }
        }
    }
    let value = value.or_else(|| member_by_ref::id(address.as_deref(), quirks));
    let value = value.filter(|v| !v.is_empty()).ok_or_else(no_value)?;
    Ok(Some(Reference { value, kind, display }))
}
