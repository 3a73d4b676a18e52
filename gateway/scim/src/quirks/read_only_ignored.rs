//! `{"id": "", "meta": {}, "groups": [], "displayName": "G"}` in the body of a POST or PUT.
//!
//! Okta, Entra, Auth0, authentik, Keycloak's plug-ins and idp-scim-sync send back what only the service may set, or
//! nothing in its place. RFC 7644 sections 3.3 and 3.5.1 have it ignored.
use super::{Kind, Quirk, Quirks, Unit};

pub(super) const UNIT: Unit = Unit {
    name: "read_only_ignored",
    kind: Kind::Habit,
    example: r#"`{"id": "", "meta": {}, "groups": [], "displayName": "G"}`"#,
    meaning: "read-only attributes of a POST or PUT are ignored",
    off: "RFC 7644 sections 3.3 and 3.5.1 have it",
    clients: &["entra", "okta", "authentik", "keycloak", "aws_style", "jumpcloud"],
};

/// Notes it.
pub(crate) fn note(quirks: &mut Quirks) {
    quirks.note(Quirk::ReadOnlyIgnored);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, post, stored, user};
    use super::*;
    use crate::urn::GROUP;
    use serde_json::json;

    #[test]
    fn taken_in_any_case() {
        let group = post("Group", json!({"id": "", "meta": {}, "schemas": [GROUP], "displayName": "g"}));
        let want = json!({"displayName": "g"});
        check(Quirk::ReadOnlyIgnored, group, want.clone(), Ok(want));
        let run = user(json!({"id": "1", "groups": [{"value": "kc-group", "type": "direct"}]}));
        check(Quirk::ReadOnlyIgnored, run, stored(json!({})), Ok(stored(json!({}))));
    }
}
