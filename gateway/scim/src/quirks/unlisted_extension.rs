//! `{"schemas": ["urn:…:core:2.0:User"], "urn:…:enterprise:2.0:User": {"department": "D"}}`.
//!
//! `schemas` has to list the schema of every value (RFC 7643 section 3). Generic clients forget the extension, and
//! Entra never lists a custom one.
use super::{Kind, Unit};

pub(super) const UNIT: Unit = Unit {
    name: "unlisted_extension",
    kind: Kind::Leniency,
    example: r#"`{"schemas": ["urn:…:core:2.0:User"], "urn:…:enterprise:2.0:User": {"department": "D"}}`"#,
    meaning: "the extension is read as if it were listed",
    off: "400 invalidValue",
    clients: &["entra"],
};

#[cfg(test)]
mod tests {
    use super::super::Quirk;
    use super::super::testing::{check, post, stored};
    use crate::urn::{ENTERPRISE_USER, USER};
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let values = json!({"department": "D"});
        let run = post("User", json!({"schemas": [USER], "userName": "u", ENTERPRISE_USER: values}));
        check(Quirk::UnlistedExtension, run, stored(json!({ENTERPRISE_USER: values})), Err("invalidValue"));
    }
}
