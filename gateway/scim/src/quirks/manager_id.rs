//! `"manager": {"managerId": "2", "displayName": " "}`.
//!
//! SCIM 1.1 called the `value` of a manager `managerId`. OneLogin's templates still do.
use super::{Kind, Quirk, Quirks, Unit};
use crate::schema::Attribute;

pub(super) const UNIT: Unit = Unit {
    name: "manager_id",
    kind: Kind::Leniency,
    example: r#"`"manager": {"managerId": "2"}`"#,
    meaning: "the `value` of the manager",
    off: "a sub-attribute nobody declared: see `unknown_ignored`",
    clients: &["onelogin"],
};

/// The sub-attribute that the old name means.
pub(crate) fn sub<'a>(attr: &'a Attribute, key: &str, quirks: &mut Quirks) -> Option<&'a Attribute> {
    let old = attr.name == "manager" && key.eq_ignore_ascii_case("managerId");
    attr.sub("value").filter(|_| old && quirks.use_(Quirk::ManagerId))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, stored, user};
    use super::*;
    use crate::urn::ENTERPRISE_USER;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let run = user(json!({ENTERPRISE_USER: {"manager": {"managerId": "2"}}}));
        let want = stored(json!({ENTERPRISE_USER: {"manager": {"value": "2"}}}));
        check(Quirk::ManagerId, run, want, Ok(stored(json!({}))));
    }
}
