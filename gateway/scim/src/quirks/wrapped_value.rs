//! `"title": {"value": "Dr"}`, `{"op": "replace", "path": "active", "value": {"value": "True"}}`.
//!
//! The value of a simple attribute is not an object (RFC 7643 section 2.3). Generic mappers wrap them.
use serde_json::{Map, Value};

use super::{Kind, Quirk, Quirks, Unit};

pub(super) const UNIT: Unit = Unit {
    name: "wrapped_value",
    kind: Kind::Leniency,
    example: r#"`"title": {"value": "Dr"}`"#,
    meaning: "the value inside",
    off: "400 invalidValue",
    clients: &[],
};

/// The value in an object that holds nothing else.
pub(crate) fn unwrap(map: Map<String, Value>, quirks: &mut Quirks) -> Option<Value> {
    let mut entries = map.into_iter();
    match (entries.next(), entries.next()) {
        (Some((key, inner)), None)
            if key.eq_ignore_ascii_case("value") && !inner.is_object() && quirks.use_(Quirk::WrappedValue) =>
        {
            Some(inner)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, patch, stored, user};
    use super::*;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let want = stored(json!({"title": "Dr"}));
        check(Quirk::WrappedValue, user(json!({"title": {"Value": "Dr"}})), want.clone(), Err("invalidValue"));
        let run = patch(json!({}), json!([{"op": "replace", "path": "title", "value": {"value": "Dr"}}]));
        check(Quirk::WrappedValue, run, want, Err("invalidValue"));
    }
}
