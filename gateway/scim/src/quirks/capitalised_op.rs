//! `{"op": "Add", "path": "nickName", "value": "Ally"}`.
//!
//! RFC 7644 section 3.5.2 names the operations in lower case. Entra sends `Add`, `Replace` and `Remove` unless its
//! tenant URL carries the flag `aadOptscim062020`.
use super::{Kind, Quirk, Quirks, Unit};
use crate::patch::PatchOp;

pub(super) const UNIT: Unit = Unit {
    name: "capitalised_op",
    kind: Kind::Leniency,
    example: r#"`{"op": "Add", "path": "nickName", "value": "Ally"}`"#,
    meaning: "the operation in lower case",
    off: "400 invalidSyntax",
    clients: &["entra"],
};

/// The operation of a word.
pub(crate) fn read(word: &str, quirks: &mut Quirks) -> Option<PatchOp> {
    let exact = |word: &str| match word {
        "add" => Some(PatchOp::Add),
        "remove" => Some(PatchOp::Remove),
        "replace" => Some(PatchOp::Replace),
        _ => None,
    };
    exact(word).or_else(|| exact(&word.to_ascii_lowercase()).filter(|_| quirks.use_(Quirk::CapitalisedOp)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, patch, stored};
    use super::*;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        for (op, want) in [("Add", json!({"nickName": "A"})), ("REPLACE", json!({"nickName": "A"}))] {
            let run = patch(json!({}), json!([{"op": op, "path": "nickName", "value": "A"}]));
            check(Quirk::CapitalisedOp, run, stored(want), Err("invalidSyntax"));
        }
        let run = patch(json!({"title": "t"}), json!([{"op": "Remove", "path": "title"}]));
        check(Quirk::CapitalisedOp, run, stored(json!({})), Err("invalidSyntax"));
    }
}
