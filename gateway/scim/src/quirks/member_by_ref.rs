//! `"members": [{"$ref": "https://example.com/scim/v2/Users/2819c223"}]`.
//!
//! A member is named by its `value` (RFC 7643 section 4.2). From an address alone the id is its last segment.
use super::{Kind, Quirk, Quirks, Unit};

pub(super) const UNIT: Unit = Unit {
    name: "member_by_ref",
    kind: Kind::Leniency,
    example: r#"`"members": [{"$ref": "https://example.com/scim/v2/Users/2819c223"}]`"#,
    meaning: "the member whose id is the last segment of the address",
    off: "400 invalidValue",
    clients: &[],
};

/// The id at the end of an address.
pub(crate) fn id(address: Option<&str>, quirks: &mut Quirks) -> Option<String> {
    let last = address?.rsplit('/').next().filter(|id| !id.is_empty())?;
    quirks.use_(Quirk::MemberByRef).then(|| last.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, post};
    use super::*;
    use crate::urn::GROUP;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let members = json!([{"$ref": "https://example.com/scim/v2/Users/2819c223"}]);
        let group = post("Group", json!({"schemas": [GROUP], "displayName": "g", "members": members}));
        check(Quirk::MemberByRef, group, json!({"displayName": "g", "members": ["2819c223"]}), Err("invalidValue"));
    }
}
