//! PATCH (RFC 7644 section 3.5.2).

use serde_json::{Map, Value};

use super::document::{Refusal, child, key, merge};
use super::filter::{Filter, path};

/// Where an operation is done.
struct Place {
    steps: Vec<String>,
    /// Which entries of the list at `steps`.
    filter: Option<Filter>,
    /// A part of those entries.
    sub: Option<String>,
}

fn place(text: &str) -> Result<Place, Refusal> {
    let wrong = || Refusal::bad("invalidPath", format!("{text:?} is no path"));
    let Some(open) = text.find('[') else {
        return Ok(Place { steps: path(text).ok_or_else(wrong)?, filter: None, sub: None });
    };
    let close = text.rfind(']').filter(|close| *close > open).ok_or_else(wrong)?;
    let filter = Filter::parse(&text[open + 1..close])
        .ok_or_else(|| Refusal::bad("invalidFilter", format!("{text:?} holds no filter")))?;
    let sub = match &text[close + 1..] {
        "" => None,
        rest => Some(rest.strip_prefix('.').filter(|sub| !sub.is_empty()).ok_or_else(wrong)?.to_owned()),
    };
    Ok(Place { steps: path(&text[..open]).ok_or_else(wrong)?, filter: Some(filter), sub })
}

/// What a server does not do of PATCH.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Whether paths may hold filters.
    pub(super) path_filters: bool,
    /// Members that one request may hold.
    pub(super) members: Option<usize>,
}

/// Does the operations of a message on a copy; the caller keeps it if all went well.
pub(super) fn apply(doc: &mut Map<String, Value>, message: &Value, limits: Limits) -> Result<(), Refusal> {
    let operations = message["Operations"]
        .as_array()
        .or_else(|| message["operations"].as_array())
        .filter(|operations| !operations.is_empty())
        .ok_or_else(|| Refusal::bad("invalidSyntax", "Operations are missing"))?;
    if let Some(most) = limits.members {
        let count = |operation: &Value| match &operation["value"] {
            Value::Array(items) => items.len(),
            Value::Object(map) => map.get("members").and_then(Value::as_array).map_or(1, Vec::len),
            _ => 1,
        };
        if operations.iter().map(count).sum::<usize>() > most {
            return Err(Refusal::new(413, None, format!("at most {most} members may be changed by one request")));
        }
    }
    for operation in operations {
        let op = operation["op"].as_str().unwrap_or_default().to_ascii_lowercase();
        let value = &operation["value"];
        match operation["path"].as_str() {
            None if op == "remove" => return Err(Refusal::bad("noTarget", "remove needs a path")),
            None => match value {
                Value::Object(map) => merge(doc, map, op == "add"),
                _ => return Err(Refusal::bad("invalidValue", "without a path, the value is an object")),
            },
            Some(text) => {
                let place = place(text)?;
                if place.filter.is_some() && !limits.path_filters {
                    return Err(Refusal::bad("invalidPath", "filters in paths are not supported"));
                }
                match op.as_str() {
                    "add" | "replace" => put(doc, &place, value, op == "add")?,
                    "remove" => take(doc, &place, value),
                    _ => return Err(Refusal::bad("invalidSyntax", format!("there is no operation {op:?}"))),
                }
            }
        }
    }
    Ok(())
}

/// The map that holds the last step, made where it is missing.
fn holder<'a>(doc: &'a mut Map<String, Value>, steps: &[String]) -> Option<(&'a mut Map<String, Value>, String)> {
    let (last, before) = steps.split_last()?;
    let mut at = doc;
    for step in before {
        let name = key(at, step);
        at = at.entry(name).or_insert_with(|| Value::Object(Map::new())).as_object_mut()?;
    }
    let last = key(at, last);
    Some((at, last))
}

fn put(doc: &mut Map<String, Value>, place: &Place, value: &Value, add: bool) -> Result<(), Refusal> {
    let (map, name) = holder(doc, &place.steps).ok_or_else(|| Refusal::bad("invalidPath", "the path leads nowhere"))?;
    let Some(filter) = &place.filter else {
        let mut one = Map::new();
        one.insert(name, value.clone());
        merge(map, &one, add);
        return Ok(());
    };
    let entries = map.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    let entries = entries.as_array_mut().ok_or_else(|| Refusal::bad("invalidPath", "a filter is for lists"))?;
    let mut hit = false;
    for entry in entries.iter_mut().filter_map(Value::as_object_mut).filter(|entry| filter.matches(entry)) {
        hit = true;
        match (&place.sub, value) {
            (Some(sub), value) => {
                let name = key(entry, sub);
                entry.insert(name, value.clone());
            }
            (None, Value::Object(new)) => *entry = new.clone(),
            (None, _) => return Err(Refusal::bad("invalidValue", "an entry is an object")),
        }
    }
    if hit { Ok(()) } else { Err(Refusal::bad("noTarget", "no entry is meant by the filter")) }
}

/// Nothing to remove is no error.
fn take(doc: &mut Map<String, Value>, place: &Place, value: &Value) {
    let Some((map, name)) = holder(doc, &place.steps) else { return };
    let Some(Value::Array(entries)) = map.get_mut(&name) else {
        if place.filter.is_none() {
            map.remove(&name);
        }
        return;
    };
    match (&place.filter, value.as_array().filter(|items| !items.is_empty())) {
        (Some(filter), _) => match &place.sub {
            None => entries.retain(|entry| !entry.as_object().is_some_and(|entry| filter.matches(entry))),
            Some(sub) => {
                for entry in entries.iter_mut().filter_map(Value::as_object_mut).filter(|entry| filter.matches(entry)) {
                    let name = key(entry, sub);
                    entry.remove(&name);
                }
            }
        },
        // Not of the RFC, and what many clients send: the entries to remove as a value.
        (None, Some(gone)) => entries.retain(|entry| {
            let value = |entry: &Value| entry.as_object().and_then(|map| child(map, "value")).cloned();
            !gone.iter().any(|one| one == entry || (value(one).is_some() && value(one) == value(entry)))
        }),
        (None, None) => entries.clear(),
    }
    if map.get(&name).and_then(Value::as_array).is_some_and(Vec::is_empty) {
        map.remove(&name);
    }
}
