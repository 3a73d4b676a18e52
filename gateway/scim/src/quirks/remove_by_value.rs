//! `{"op": "Remove", "path": "members", "value": [{"value": "1"}]}`.
//!
//! `remove` takes no value; whom to remove is said by a filter, and without one all are meant (RFC 7644 section
//! 3.5.2.2). Entra without its flag, JumpCloud, authentik and ssosync name them in `value`. That a value is there says
//! who is meant: those and no others, and an empty list means nobody.
use std::collections::HashSet;

use serde_json::Value;

use super::{Kind, Quirk, Quirks, Unit};
use crate::error::ScimError;
use crate::value::fingerprint;

pub(super) const UNIT: Unit = Unit {
    name: "remove_by_value",
    kind: Kind::Leniency,
    example: r#"`{"op": "Remove", "path": "members", "value": [{"value": "1"}]}`"#,
    meaning: "the values listed are removed, never all; an empty list removes none",
    off: "400 invalidSyntax",
    clients: &["entra", "jumpcloud", "authentik", "aws_style"],
};

/// Asks for it.
///
/// # Errors
/// 400 `invalidSyntax` if it is off.
pub(crate) fn allow(quirks: &mut Quirks) -> Result<(), ScimError> {
    if quirks.use_(Quirk::RemoveByValue) {
        return Ok(());
    }
    Err(ScimError::invalid_syntax("remove takes no value; name the values by a filter."))
}

/// Takes out of `items` what `gone` lists: by `value`, else by all of the element.
pub(crate) fn remove(items: &mut Vec<Value>, gone: &[Value]) {
    let gone: HashSet<String> = gone.iter().map(identity).collect();
    items.retain(|item| !gone.contains(&identity(item)) && !gone.contains(&fingerprint(item)));
}

fn identity(item: &Value) -> String {
    fingerprint(item.get("value").unwrap_or(item))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, patch, patch_group, stored};
    use super::*;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let members = |ids: Value| patch_group(json!([{"op": "remove", "path": "members", "value": ids}]));
        let want = json!({"displayName": "g", "members": {"all_out": false, "want": {"1": false}}});
        check(Quirk::RemoveByValue, members(json!([{"value": "1"}])), want, Err("invalidSyntax"));
        check(Quirk::RemoveByValue, members(json!([])), json!({"displayName": "g"}), Err("invalidSyntax"));
        let emails = json!({"emails": [{"value": "a"}, {"value": "b", "type": "work"}]});
        let run = patch(emails, json!([{"op": "remove", "path": "emails", "value": [{"value": "b"}]}]));
        check(Quirk::RemoveByValue, run, stored(json!({"emails": [{"value": "a"}]})), Err("invalidSyntax"));
    }
}
