//! `{"op": "Add", "path": "urn:…:extension:CustomExtensionName:2.0:User:CustomAttribute", "value": "701984"}`.
//!
//! An attribute that no schema has is refused by the letter: a PATCH by `invalidPath`, a body by `invalidValue`.
//! Mappings of Entra and Okta send attributes that nobody declared at the gateway. An admin who wants them kept
//! declares them.
use super::{Kind, Unit};

pub(super) const UNIT: Unit = Unit {
    name: "unknown_ignored",
    kind: Kind::Leniency,
    example: r#"`{"op": "Add", "path": "urn:…:CustomExtensionName:2.0:User:CustomAttribute", "value": "701984"}`"#,
    meaning: "the attribute is ignored",
    off: "400 invalidPath in a PATCH, 400 invalidValue in a body",
    clients: &["entra", "okta", "onelogin", "keycloak"],
};

#[cfg(test)]
mod tests {
    use super::super::Quirk;
    use super::super::testing::{check, patch, stored, user};
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let want = stored(json!({}));
        let custom = "urn:ietf:params:scim:schemas:extension:CustomExtensionName:2.0:User:CustomAttribute";
        let run = patch(json!({}), json!([{"op": "add", "path": custom, "value": "701984"}]));
        check(Quirk::UnknownIgnored, run, want.clone(), Err("invalidPath"));
        let run = patch(json!({}), json!([{"op": "add", "value": {"shoeSize": 9}}]));
        check(Quirk::UnknownIgnored, run, want.clone(), Err("invalidPath"));
        check(Quirk::UnknownIgnored, user(json!({"shoeSize": 9})), want.clone(), Err("invalidValue"));
        let name = user(json!({"name": {"maiden": "M"}}));
        check(Quirk::UnknownIgnored, name, want, Err("invalidValue"));
    }
}
