//! `{"op": "replace", "value": {"id": "2819c223", "displayName": "G"}}`.
//!
//! A PATCH of a read-only attribute is an error, `mutability` (RFC 7644 section 3.5.2). Okta, Auth0 and authentik
//! repeat `id` in the value of an operation without a path; refusing it stops Okta's group push. An operation whose
//! path names such an attribute is refused in any case.
use super::{Kind, Quirk, Quirks, Unit};
use crate::error::ScimError;
use crate::schema::Located;

pub(super) const UNIT: Unit = Unit {
    name: "read_only_in_patch",
    kind: Kind::Leniency,
    example: r#"`{"op": "replace", "value": {"id": "2819c223", "displayName": "G"}}`"#,
    meaning: "read-only attributes in the value of an operation without a path are ignored",
    off: "400 mutability",
    clients: &["okta", "auth0", "authentik"],
};

/// Asks for it.
///
/// # Errors
/// 400 `mutability` if it is off.
pub(crate) fn allow(found: &Located<'_>, quirks: &mut Quirks) -> Result<(), ScimError> {
    if quirks.use_(Quirk::ReadOnlyInPatch) { Ok(()) } else { Err(refusal(found)) }
}

/// What a client is told that wants to change what only the service may.
pub(crate) fn refusal(found: &Located<'_>) -> ScimError {
    ScimError::mutability(format!("{} is set by the service.", found.path()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, patch_group};
    use super::*;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let run = patch_group(json!([{"op": "replace", "value": {"id": "2819c223", "displayName": "n"}}]));
        check(Quirk::ReadOnlyInPatch, run, json!({"displayName": "n"}), Err("mutability"));
        let error = patch_group(json!([{"op": "replace", "path": "id", "value": "1"}]))(&mut Quirks::lenient());
        assert_eq!(error.map_err(|e| e.scim_type), Err(Some(crate::ScimType::Mutability)));
    }
}
