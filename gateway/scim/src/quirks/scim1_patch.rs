//! `PATCH {"schemas": ["urn:scim:schemas:core:1.0"], "members": [{"value": "1", "operation": "delete"}]}`.
//!
//! SCIM 1.1 patches by a part of the resource (SCIM 1.1 protocol section 3.3.2): values of a list are added, or
//! removed if their `operation` is `delete`; other attributes are replaced; `meta.attributes` names what is cleared.
//! OneLogin's older connectors change groups this way.
use serde_json::{Map, Value, json};

use super::{Kind, Quirk, Quirks, Unit};
use crate::list::lists;
use crate::resource::take;
use crate::urn;

pub(super) const UNIT: Unit = Unit {
    name: "scim1_patch",
    kind: Kind::Leniency,
    example: r#"`PATCH {"schemas": ["urn:scim:schemas:core:1.0"], "members": [{"value": "1", "operation": "delete"}]}`"#,
    meaning: "values of a list are added, or removed by `operation: delete`; the rest is replaced",
    off: "400 invalidSyntax",
    clients: &["onelogin"],
};

/// The operations of SCIM 2.0 that a body of SCIM 1.1 means; None if it is none, or the unit is off. What of it is
/// wrong is found when the operations are read.
pub(crate) fn operations(body: &mut Map<String, Value>, quirks: &mut Quirks) -> Option<Vec<Value>> {
    let marked = |value: &Value| {
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().any(|item| operation_of(item).is_some())
    };
    let old = lists(body.get("schemas"), urn::CORE_1)
        || (!body.contains_key("schemas") && body.iter().any(|(_, value)| marked(value)));
    let has_operations = body.keys().any(|key| key.eq_ignore_ascii_case("Operations"));
    if !old || has_operations || !quirks.use_(Quirk::Scim1Patch) {
        return None;
    }
    take(body, "schemas");
    let mut out = Vec::new();
    let cleared = take(body, "meta").and_then(|mut meta| meta.as_object_mut().and_then(|m| take(m, "attributes")));
    if let Some(Value::Array(names)) = cleared {
        out.extend(names.into_iter().map(|name| json!({"op": "remove", "path": name})));
    }
    for (name, value) in std::mem::take(body) {
        match value {
            Value::Array(items) => {
                let (gone, new): (Vec<Value>, Vec<Value>) =
                    items.into_iter().partition(|item| operation_of(item) == Some("delete"));
                let plain = |items: Vec<Value>| items.into_iter().map(without_operation).collect::<Vec<_>>();
                if !gone.is_empty() {
                    out.push(json!({"op": "remove", "path": name, "value": plain(gone)}));
                }
                if !new.is_empty() {
                    out.push(json!({"op": "add", "path": name, "value": plain(new)}));
                }
            }
            other => out.push(json!({"op": "replace", "value": {name: other}})),
        }
    }
    Some(out)
}

fn operation_of(item: &Value) -> Option<&str> {
    item.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case("operation"))?.1.as_str()
}

fn without_operation(mut item: Value) -> Value {
    if let Some(map) = item.as_object_mut() {
        take(map, "operation");
    }
    item
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, patch_of, stored};
    use super::*;
    use crate::urn::CORE_1;

    #[test]
    fn on_and_off() {
        let members =
            json!([{"value": "1", "operation": "delete"}, {"value": "2", "operation": "add"}, {"value": "3"}]);
        for body in [json!({"schemas": [CORE_1], "members": members}), json!({"members": members})] {
            let run = patch_of("Group", json!({"displayName": "g"}), body);
            let want = json!({"all_out": false, "want": {"1": false, "2": true, "3": true}});
            check(Quirk::Scim1Patch, run, json!({"displayName": "g", "members": want}), Err("invalidSyntax"));
        }
        let current = stored(json!({"title": "t", "nickName": "n"}));
        let body = json!({"schemas": [CORE_1], "meta": {"attributes": ["title"]}, "displayName": "D", "nickName": "m"});
        let want = stored(json!({"nickName": "m", "displayName": "D"}));
        check(Quirk::Scim1Patch, patch_of("User", current, body), want, Err("invalidSyntax"));
    }
}
