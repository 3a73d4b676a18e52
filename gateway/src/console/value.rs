//! Reading what services answer as JSON.

use serde_json::Value;

/// A text; empty if there is none.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// A whole number; 0 if there is none.
pub(super) fn int(value: &Value, field: &str) -> i64 {
    value[field].as_i64().unwrap_or(0)
}

/// The items of a list; none if it is no list.
pub(super) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map(Vec::as_slice).unwrap_or_default()
}
