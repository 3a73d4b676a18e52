//! `{"op": "replace", "path": "active", "value": "False"}`, `"roles": [{"value": "R", "primary": "True"}]`.
//!
//! A boolean is `true` or `false`, without quotes (RFC 7643 section 2.3.2). Entra quotes them in PATCH, its validator
//! in POST, Saviynt everywhere, Keycloak's plug-in in PATCH.
use serde_json::Value;

use super::{Kind, Quirk, Quirks, Unit};
use crate::filter::boolean;

pub(super) const UNIT: Unit = Unit {
    name: "boolean_as_text",
    kind: Kind::Leniency,
    example: r#"`{"op": "replace", "path": "active", "value": "False"}`"#,
    meaning: "the boolean that the text says, in any case of its letters",
    off: "400 invalidValue, in a filter 400 invalidFilter",
    clients: &["entra", "saviynt", "keycloak"],
};

/// The boolean that a value means.
pub(crate) fn read(value: &Value, quirks: &mut Quirks) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => boolean(text).filter(|_| quirks.use_(Quirk::BooleanAsText)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, filter, patch, stored, user};
    use super::*;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let run = patch(json!({}), json!([{"op": "replace", "path": "active", "value": "False"}]));
        check(Quirk::BooleanAsText, run, json!({"userName": "u", "active": false}), Err("invalidValue"));
        let role = |primary| json!({"roles": [{"value": "R", "primary": primary}]});
        check(Quirk::BooleanAsText, user(role(json!("True"))), stored(role(json!(true))), Err("invalidValue"));
        let want = json!(r#"active eq "true""#);
        check(Quirk::BooleanAsText, filter(r#"active eq "true""#), want, Err("invalidFilter"));
    }
}
