//! `"emails": {"value": "a@example.com", "type": "work", "primary": true}`.
//!
//! A multi-valued attribute is an array (RFC 7643 section 2.4). OneLogin's template for the enterprise user has one
//! object.
use serde_json::Value;

use super::{Kind, Quirk, Quirks, Unit, explicit_nothing};
use crate::error::ScimError;

pub(super) const UNIT: Unit = Unit {
    name: "single_for_list",
    kind: Kind::Leniency,
    example: r#"`"emails": {"value": "a@example.com"}`"#,
    meaning: "a list of that one value",
    off: "400 invalidValue",
    clients: &["onelogin"],
};

/// The elements of what stands where a list belongs.
pub(crate) fn elements(value: Value, name: &str, quirks: &mut Quirks) -> Result<Vec<Value>, ScimError> {
    let items = match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items,
        one if quirks.use_(Quirk::SingleForList) => vec![one],
        _ => return Err(ScimError::invalid_value(format!("{name}: expected a list."))),
    };
    if items.is_empty() {
        explicit_nothing::note(quirks);
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, post, stored, user};
    use super::*;
    use crate::urn::GROUP;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let email = json!({"value": "a@example.com", "type": "work", "primary": true});
        let want = stored(json!({"emails": [email]}));
        check(Quirk::SingleForList, user(json!({"emails": email})), want, Err("invalidValue"));
        let group = post("Group", json!({"schemas": [GROUP], "displayName": "g", "members": {"value": "1"}}));
        check(Quirk::SingleForList, group, json!({"displayName": "g", "members": ["1"]}), Err("invalidValue"));
    }
}
