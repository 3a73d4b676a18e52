//! What differs between two documents.
use serde_json::{Map, Value};

use super::Changed;
use crate::resource::Document;

/// The attributes that differ. Single complex attributes are compared part by part, lists as a whole, and
/// extensions by their attributes.
pub fn diff(before: &Document, after: &Document) -> Vec<Changed> {
    let mut out = Vec::new();
    walk("", before, after, 0, &mut out);
    out
}

fn walk(prefix: &str, before: &Map<String, Value>, after: &Map<String, Value>, level: usize, out: &mut Vec<Changed>) {
    let fresh = after.keys().filter(|key| !before.contains_key(*key));
    for key in before.keys().chain(fresh) {
        let (old, new) = (before.get(key), after.get(key));
        if old == new {
            continue;
        }
        let path = format!("{prefix}{key}");
        // Two levels at most lie below an extension, one below an attribute of the core.
        let is_urn = level == 0 && key.contains(':');
        let parts = level == 0 || prefix.ends_with(':');
        let object = |v: Option<&Value>| v.is_none_or(Value::is_object);
        if parts && object(old) && object(new) {
            let empty = Map::new();
            let old = old.and_then(Value::as_object).unwrap_or(&empty);
            let new = new.and_then(Value::as_object).unwrap_or(&empty);
            let separator = if is_urn { ':' } else { '.' };
            walk(&format!("{path}{separator}"), old, new, level + 1, out);
        } else {
            out.push(Changed { path, before: old.cloned(), after: new.cloned() });
        }
    }
}
