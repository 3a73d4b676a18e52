//! `"members": [{"value": "1", "$ref": null}]`.
//!
//! Entra sends an address of null with every member. Null is unassigned (RFC 7643 section 2.5).
use super::{Kind, Quirk, Quirks, Unit, explicit_nothing};

pub(super) const UNIT: Unit = Unit {
    name: "null_ref",
    kind: Kind::Habit,
    example: r#"`"members": [{"value": "1", "$ref": null}]`"#,
    meaning: "no address",
    off: "RFC 7643 section 2.5 has it",
    clients: &["entra"],
};

/// Notes a null of an attribute of this name: an address, or anything else.
pub(crate) fn note(name: &str, quirks: &mut Quirks) {
    if name.eq_ignore_ascii_case("$ref") { quirks.note(Quirk::NullRef) } else { explicit_nothing::note(quirks) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, patch_group};
    use super::*;
    use serde_json::json;

    #[test]
    fn taken_in_any_case() {
        let run = patch_group(json!([{"op": "add", "path": "members", "value": [{"value": "1", "$ref": null}]}]));
        let want = json!({"displayName": "g", "members": {"all_out": false, "want": {"1": true}}});
        check(Quirk::NullRef, run, want.clone(), Ok(want));
    }
}
