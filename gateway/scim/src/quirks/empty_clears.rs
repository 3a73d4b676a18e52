//! `{"op": "Replace", "path": "urn:…:enterprise:2.0:User:manager", "value": ""}` or `{"value": ""}`.
//!
//! Unassigned is null or left out (RFC 7643 section 2.5); an empty text is a value. Entra's validator clears the
//! manager by an empty text, and OneLogin's templates leave one where a field has nothing to say.
use serde_json::{Map, Value};

use super::{Kind, Quirk, Quirks, Unit};
use crate::schema::{AttrType, Attribute};

pub(super) const UNIT: Unit = Unit {
    name: "empty_clears",
    kind: Kind::Leniency,
    example: r#"`{"op": "Replace", "path": "urn:…:enterprise:2.0:User:manager", "value": ""}`"#,
    meaning: "no value: the attribute is cleared. An empty text of a plain text attribute stays a text",
    off: "taken as the text it is: stored where a text may stand, else 400 invalidValue",
    clients: &["entra", "onelogin"],
};

/// Whether an empty text where something else than a text belongs clears.
pub(crate) fn clears(kind: AttrType, value: &Value, quirks: &mut Quirks) -> bool {
    kind != AttrType::String && value.as_str() == Some("") && quirks.use_(Quirk::EmptyClears)
}

/// Whether a single complex value has an empty `value`, and so says nothing.
pub(crate) fn hollow(attr: &Attribute, map: &Map<String, Value>, quirks: &mut Quirks) -> bool {
    let empty = map.get("value").is_some_and(|v| v.as_str() == Some(""));
    !attr.multi_valued && empty && quirks.use_(Quirk::EmptyClears)
}

/// Whether setting the `value` of a single complex attribute to this leaves nothing of it.
pub(crate) fn leaves_nothing(attr: &Attribute, sub: &Attribute, stored: Option<&Value>, quirks: &mut Quirks) -> bool {
    attr.kind == AttrType::Complex
        && sub.name == "value"
        && stored.is_none_or(|v| v.as_str() == Some("") && quirks.use_(Quirk::EmptyClears))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{MANAGER, check, patch, stored, user};
    use super::*;
    use crate::urn::ENTERPRISE_USER;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let manager = |id: &str| json!({ENTERPRISE_USER: {"manager": {"value": id}}});
        let by_letter = stored(manager(""));
        for value in [json!(""), json!({"value": ""})] {
            let run = patch(manager("2"), json!([{"op": "replace", "path": MANAGER, "value": value}]));
            check(Quirk::EmptyClears, run, stored(json!({})), Ok(by_letter.clone()));
        }
        let path = format!("{MANAGER}.value");
        let run = patch(manager("2"), json!([{"op": "replace", "path": path, "value": ""}]));
        check(Quirk::EmptyClears, run, stored(json!({})), Ok(by_letter.clone()));
        check(Quirk::EmptyClears, user(manager("")), stored(json!({})), Ok(by_letter));
        let role = json!({"roles": [{"value": "R", "primary": ""}]});
        check(Quirk::EmptyClears, user(role), stored(json!({"roles": [{"value": "R"}]})), Err("invalidValue"));
        // A text may be empty.
        let title = user(json!({"title": ""}))(&mut Quirks::lenient());
        assert_eq!(title, Ok(stored(json!({"title": ""}))));
    }
}
