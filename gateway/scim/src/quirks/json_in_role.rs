//! `{"op": "Add", "path": "roles", "value": [{"value": "{\"id\":\"06b0\",\"value\":\"Admin\",\"displayName\":\"Admin\"}"}]}`.
//!
//! Entra's mapping `AppRoleAssignmentsComplex` writes a role as JSON inside the text `value`.
use serde_json::{Map, Value};

use super::{Kind, Quirk, Quirks, Unit};
use crate::json;
use crate::schema::Attribute;

pub(super) const UNIT: Unit = Unit {
    name: "json_in_role",
    kind: Kind::Leniency,
    example: r#"`"roles": [{"value": "{\"value\":\"Admin\",\"displayName\":\"Admin\"}"}]`"#,
    meaning: "the role inside: its `value`, `display` (or `displayName`), `type`, `primary`",
    off: "stored as the text it is",
    clients: &["entra"],
};

/// What JSON inside a role may cost.
const LIMITS: json::Limits = json::Limits { max_bytes: 4096, max_depth: 2, max_nodes: 64, max_string: 1024 };

/// A role, unpacked if it is packed.
pub(crate) fn unpack(attr: &Attribute, map: Map<String, Value>, quirks: &mut Quirks) -> Map<String, Value> {
    let packed = (attr.name == "roles" && attr.multi_valued)
        .then(|| map.iter().find(|(key, _)| key.eq_ignore_ascii_case("value")))
        .flatten()
        .and_then(|(_, value)| value.as_str())
        .filter(|text| text.trim_start().starts_with('{'))
        .and_then(|text| json::parse(text.as_bytes(), &LIMITS).ok());
    let Some(Value::Object(inner)) = packed else {
        return map;
    };
    if !quirks.use_(Quirk::JsonInRole) {
        return map;
    }
    let mut out = map;
    for (key, value) in inner {
        let name = match key.to_ascii_lowercase().as_str() {
            "value" => "value",
            "display" | "displayname" => "display",
            "type" => "type",
            "primary" => "primary",
            _ => continue,
        };
        out.retain(|k, _| !k.eq_ignore_ascii_case(name));
        out.insert(name.into(), value);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, patch, stored};
    use super::*;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let packed = r#"{"id":"06b0","value":"Admin","displayName":"A role"}"#;
        let run = patch(json!({}), json!([{"op": "add", "path": "roles", "value": [{"value": packed}]}]));
        let want = stored(json!({"roles": [{"value": "Admin", "display": "A role"}]}));
        check(Quirk::JsonInRole, run, want, Ok(stored(json!({"roles": [{"value": packed}]}))));
    }
}
