//! `{"op": "Add", "path": "manager", "value": …}`, `filter=manager eq "2819"`.
//!
//! An attribute of an extension is named with the extension's URN (RFC 7644 section 3.10). Entra writes `manager`.
use super::{Kind, Unit};

pub(super) const UNIT: Unit = Unit {
    name: "unqualified_extension",
    kind: Kind::Leniency,
    example: "`filter=manager eq \"2819\"`",
    meaning: "the attribute of the extension, if the core schema has none of that name",
    off: "an attribute nobody declared: a filter on it is 400 invalidFilter, else see `unknown_ignored`",
    clients: &["entra"],
};

#[cfg(test)]
mod tests {
    use super::super::Quirk;
    use super::super::testing::{check, filter, patch, stored};
    use crate::urn::ENTERPRISE_USER;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let run = patch(json!({}), json!([{"op": "add", "path": "department", "value": "D"}]));
        let want = stored(json!({ENTERPRISE_USER: {"department": "D"}}));
        check(Quirk::UnqualifiedExtension, run, want, Ok(stored(json!({}))));
        let want = json!("manager eq \"2819\"");
        check(Quirk::UnqualifiedExtension, filter("manager eq \"2819\""), want, Err("invalidFilter"));
    }
}
