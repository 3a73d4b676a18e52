//! `"emails": null`, `"roles": []`, `"members": null`.
//!
//! Entra, JumpCloud, Okta, ssosync and ConductorOne say aloud that an attribute has no value. RFC 7643 section 2.5 has
//! it so: null and an empty list are unassigned.
use super::{Kind, Quirk, Quirks, Unit};

pub(super) const UNIT: Unit = Unit {
    name: "explicit_nothing",
    kind: Kind::Habit,
    example: r#"`"emails": null, "roles": []`"#,
    meaning: "no value",
    off: "RFC 7643 section 2.5 has it",
    clients: &["entra", "okta", "jumpcloud", "keycloak", "aws_style", "conductorone"],
};

/// Notes it.
pub(crate) fn note(quirks: &mut Quirks) {
    quirks.note(Quirk::ExplicitNothing);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, patch_group, post, stored, user};
    use super::*;
    use crate::urn::GROUP;
    use serde_json::json;

    #[test]
    fn taken_in_any_case() {
        let want = stored(json!({}));
        check(Quirk::ExplicitNothing, user(json!({"emails": null, "roles": []})), want.clone(), Ok(want));
        let group = post("Group", json!({"schemas": [GROUP], "displayName": "g", "members": null}));
        let want = json!({"displayName": "g", "members": []});
        check(Quirk::ExplicitNothing, group, want.clone(), Ok(want));
        let run = patch_group(json!([{"op": "replace", "path": "members", "value": null}]));
        let want = json!({"displayName": "g", "members": {"all_out": true, "want": {}}});
        check(Quirk::ExplicitNothing, run, want.clone(), Ok(want));
    }
}
