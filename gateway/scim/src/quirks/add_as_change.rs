//! `{"op": "add", "value": {"active": false}}`.
//!
//! SailPoint changes by adding without a path. RFC 7644 section 3.5.2.1 says that adding to what has a value replaces
//! it, so nothing is bent.
use super::{Kind, Quirk, Quirks, Unit};

pub(super) const UNIT: Unit = Unit {
    name: "add_as_change",
    kind: Kind::Habit,
    example: r#"`{"op": "add", "value": {"active": false}}`"#,
    meaning: "each attribute of the value is set",
    off: "RFC 7644 section 3.5.2.1 has it",
    clients: &["sailpoint"],
};

/// Notes it.
pub(crate) fn note(quirks: &mut Quirks) {
    quirks.note(Quirk::AddAsChange);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, patch};
    use super::*;
    use serde_json::json;

    #[test]
    fn taken_in_any_case() {
        let run = patch(json!({}), json!([{"op": "add", "value": {"active": false}}]));
        let want = json!({"userName": "u", "active": false});
        check(Quirk::AddAsChange, run, want.clone(), Ok(want));
    }
}
