//! `{"op": "Add", "path": "urn:…:enterprise:2.0:User:manager", "value": "2"}`, `"members": ["1", "2"]`.
//!
//! A complex attribute is an object (RFC 7643 section 2.3.8). Entra sends the manager's id bare, and still expects an
//! object in the answer.
use serde_json::{Map, Value};

use super::{Kind, Quirk, Quirks, Unit};
use crate::schema::Attribute;

pub(super) const UNIT: Unit = Unit {
    name: "text_for_complex",
    kind: Kind::Leniency,
    example: r#"`{"op": "Add", "path": "urn:…:enterprise:2.0:User:manager", "value": "2"}`"#,
    meaning: "an object with that `value`",
    off: "400 invalidValue",
    clients: &["entra"],
};

/// The object that a plain value stands for, if the attribute has a `value`.
pub(crate) fn wrap(attr: &Attribute, plain: Value, quirks: &mut Quirks) -> Option<Map<String, Value>> {
    attr.sub("value").filter(|_| quirks.use_(Quirk::TextForComplex))?;
    Some(Map::from_iter([("value".to_owned(), plain)]))
}

/// Whether the bare id of a member is taken.
pub(crate) fn member(id: &str, quirks: &mut Quirks) -> bool {
    !id.is_empty() && quirks.use_(Quirk::TextForComplex)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{MANAGER, check, patch, post, stored};
    use super::*;
    use crate::urn::{ENTERPRISE_USER, GROUP};
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let run = patch(json!({}), json!([{"op": "add", "path": MANAGER, "value": "2"}]));
        let want = stored(json!({ENTERPRISE_USER: {"manager": {"value": "2"}}}));
        check(Quirk::TextForComplex, run, want, Err("invalidValue"));
        let group = post("Group", json!({"schemas": [GROUP], "displayName": "g", "members": ["1"]}));
        check(Quirk::TextForComplex, group, json!({"displayName": "g", "members": ["1"]}), Err("invalidValue"));
    }
}
