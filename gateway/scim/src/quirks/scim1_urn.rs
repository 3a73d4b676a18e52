//! `"schemas": ["urn:scim:schemas:core:1.0", "urn:scim:schemas:extension:enterprise:1.0"]`.
//!
//! The URNs of SCIM 1.1. OneLogin's templates are edited by admins, and many still carry them.
use super::{Kind, Quirk, Quirks, Unit};
use crate::urn;

pub(super) const UNIT: Unit = Unit {
    name: "scim1_urn",
    kind: Kind::Leniency,
    example: r#"`"schemas": ["urn:scim:schemas:core:1.0"]`"#,
    meaning: "the schema of SCIM 2.0: the core schema of the endpoint's type, or the enterprise user",
    off: "a schema nobody declared: 400 invalidValue",
    clients: &["onelogin"],
};

/// The present name of a URN of SCIM 1.1; `core` is the core schema's of the type in question.
pub(crate) fn modern(text: &str, core: &str, quirks: &mut Quirks) -> Option<String> {
    let new = if text.eq_ignore_ascii_case(urn::CORE_1) {
        core
    } else if text.eq_ignore_ascii_case(urn::ENTERPRISE_1) {
        urn::ENTERPRISE_USER
    } else {
        return None;
    };
    quirks.use_(Quirk::Scim1Urn).then(|| new.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, post, stored};
    use super::*;
    use crate::urn::{CORE_1, ENTERPRISE_1, ENTERPRISE_USER};
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let values = json!({"department": "D"});
        let body = json!({"schemas": [CORE_1, ENTERPRISE_1], "userName": "u", ENTERPRISE_1: values});
        let want = stored(json!({ENTERPRISE_USER: values}));
        check(Quirk::Scim1Urn, post("User", body), want, Err("invalidValue"));
    }
}
