//! `"schemas": ["urn:…:core:2.0:Group", "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"]`.
//!
//! `schemas` lists what the resource type has (RFC 7643 section 3). Entra adds a URI of its own.
use super::{Kind, Unit};

pub(super) const UNIT: Unit = Unit {
    name: "foreign_schema",
    kind: Kind::Leniency,
    example: r#"`"schemas": ["urn:…:core:2.0:Group", "http://schemas.microsoft.com/…/ADSCIM/2.0/Group"]`"#,
    meaning: "the URI is ignored",
    off: "400 invalidValue",
    clients: &["entra"],
};

#[cfg(test)]
mod tests {
    use super::super::Quirk;
    use super::super::testing::{check, post};
    use crate::urn::GROUP;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let foreign = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group";
        let group = post("Group", json!({"schemas": [GROUP, foreign], "displayName": "g"}));
        check(Quirk::ForeignSchema, group, json!({"displayName": "g"}), Err("invalidValue"));
    }
}
