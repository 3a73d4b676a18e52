//! `{"op": "Replace", "path": "phoneNumbers[type eq \"fax\"].value", "value": "+1 555 0199"}` with no fax number yet.
//!
//! A filter that nothing passes is an error, `noTarget` (RFC 7644 section 3.5.2.3). Entra means a new element with
//! what the filter says of it: its type, or that it is primary.
use serde_json::{Map, Value};

use super::{Kind, Quirk, Quirks, Unit};
use crate::error::ScimError;
use crate::filter::{Filter, Op};
use crate::schema::Attribute;
use crate::value;

pub(super) const UNIT: Unit = Unit {
    name: "filter_creates",
    kind: Kind::Leniency,
    example: r#"`{"op": "Replace", "path": "phoneNumbers[type eq \"fax\"].value", "value": "1"}`"#,
    meaning: "an element of that type (or primary) is made, if none passes the filter",
    off: "400 noTarget",
    clients: &["entra"],
};

/// The element that a filter describes, if it is a conjunction of `type eq` and `primary eq true`, and may be made.
pub(crate) fn element(
    filter: &Filter,
    attr: &Attribute,
    quirks: &mut Quirks,
) -> Result<Option<Map<String, Value>>, ScimError> {
    let mut out = Map::new();
    for part in filter.conjuncts() {
        let Filter::Compare { path, op: Op::Eq, value } = part else {
            return Ok(None);
        };
        let Some(sub) = attr.sub(&path.attr).filter(|s| matches!(s.name.as_str(), "type" | "primary")) else {
            return Ok(None);
        };
        if let Some(stored) = value::coerce(sub, value.clone(), &sub.name, quirks)? {
            out.insert(sub.name.clone(), stored);
        }
    }
    Ok(quirks.use_(Quirk::FilterCreates).then_some(out))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, patch, stored};
    use super::*;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        for op in ["add", "replace"] {
            let path = "phoneNumbers[type eq \"fax\"].value";
            let run = patch(json!({}), json!([{"op": op, "path": path, "value": "1"}]));
            let want = stored(json!({"phoneNumbers": [{"type": "fax", "value": "1"}]}));
            check(Quirk::FilterCreates, run, want, Err("noTarget"));
        }
        // A filter on a value names what is not there: that is refused in any case.
        let run = patch(json!({}), json!([{"op": "add", "path": "emails[value eq \"a\"].type", "value": "work"}]));
        let error = run(&mut Quirks::lenient()).expect_err("nothing passes");
        assert_eq!(error.scim_type, Some(crate::ScimType::NoTarget));
    }
}
