//! `{"op": "Add", "path": "manager", "value": [{"$ref": "…/Users/2", "value": "2"}]}`.
//!
//! A single-valued attribute has one value, not a list of one (RFC 7643 section 2.4). Microsoft's older sample for the
//! manager has a list.
use serde_json::Value;

use super::{Kind, Quirk, Quirks, Unit};
use crate::error::ScimError;

pub(super) const UNIT: Unit = Unit {
    name: "list_for_single",
    kind: Kind::Leniency,
    example: r#"`{"op": "Add", "path": "manager", "value": [{"value": "2"}]}`"#,
    meaning: "the one value of the list; a list of several is refused",
    off: "400 invalidValue",
    clients: &["entra"],
};

/// The one value of a list that is not empty.
pub(crate) fn only(mut items: Vec<Value>, name: &str, quirks: &mut Quirks) -> Result<Value, ScimError> {
    if items.len() > 1 || !quirks.use_(Quirk::ListForSingle) {
        return Err(ScimError::invalid_value(format!("{name}: expected one value, not a list.")));
    }
    Ok(items.pop().unwrap_or(Value::Null))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{MANAGER, check, patch, stored, user};
    use super::*;
    use crate::urn::ENTERPRISE_USER;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let run = patch(json!({}), json!([{"op": "add", "path": MANAGER, "value": [{"value": "2"}]}]));
        let want = stored(json!({ENTERPRISE_USER: {"manager": {"value": "2"}}}));
        check(Quirk::ListForSingle, run, want, Err("invalidValue"));
        let want = stored(json!({"title": "Dr"}));
        check(Quirk::ListForSingle, user(json!({"title": ["Dr"]})), want, Err("invalidValue"));
        let error = user(json!({"title": ["Dr", "Prof"]}))(&mut Quirks::lenient()).expect_err("two titles");
        assert_eq!(error.status, 400);
    }
}
