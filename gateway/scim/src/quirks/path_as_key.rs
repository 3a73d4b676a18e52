//! `{"op": "replace", "value": {"name.givenName": "A", "urn:…:enterprise:2.0:User:department": "B"}}`.
//!
//! The value of an operation without a path is an object of attributes (RFC 7644 section 3.5.2.1), an extension's
//! within an object of their own. Entra sends paths as keys when its flag `aadOptscim062020` is set.
use super::{Kind, Quirk, Quirks, Unit};
use crate::path::PatchPath;

pub(super) const UNIT: Unit = Unit {
    name: "path_as_key",
    kind: Kind::Leniency,
    example: r#"`{"op": "replace", "value": {"name.givenName": "A"}}`"#,
    meaning: "the value of the attribute at that path",
    off: "an attribute nobody declared: see `unknown_ignored`",
    clients: &["entra"],
};

/// A key with a filter, as a path: `emails[type eq "work"].value`.
pub(crate) fn filtered(key: &str, quirks: &mut Quirks) -> Option<PatchPath> {
    PatchPath::parse(key, quirks).ok().filter(|_| quirks.use_(Quirk::PathAsKey))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, patch, stored};
    use super::*;
    use crate::urn::ENTERPRISE_USER;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let department = format!("{ENTERPRISE_USER}:department");
        for (key, want) in [
            ("name.givenName", json!({"name": {"givenName": "A"}})),
            (department.as_str(), json!({ENTERPRISE_USER: {"department": "A"}})),
            ("emails[type eq \"work\"].value", json!({"emails": [{"type": "work", "value": "A"}]})),
        ] {
            let run = patch(json!({}), json!([{"op": "replace", "value": {key: "A"}}]));
            // By the letter the key is an attribute nobody declared, and that is a unit of its own.
            check(Quirk::PathAsKey, run, stored(want), Ok(stored(json!({}))));
        }
    }
}
