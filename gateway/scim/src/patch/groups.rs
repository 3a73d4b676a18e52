//! A user's `groups`, where clients may change memberships by them (SailPoint's `updateGroupsViaUsers`).
//!
//! RFC 7643 section 4.1.2 has `groups` read-only, so this is for a setting to turn on. What operations ask of `groups`
//! is taken out of the request before the rest is applied, and becomes edits like those of a group's members.
use serde_json::Value;

use super::apply::ids;
use super::{PatchOp, PatchRequest, RelationEdit, at};
use crate::error::ScimError;
use crate::path::PatchPath;
use crate::quirks::{Quirks, remove_by_value};
use crate::resource::take;
use crate::urn;
use crate::value;

const GROUPS: &str = "groups";

/// The groups that a POST or PUT body names, as an edit.
///
/// # Errors
/// 400 `invalidValue` if it is no list of references.
pub fn replace_groups(value: Value, quirks: &mut Quirks) -> Result<RelationEdit, ScimError> {
    value::references(GROUPS, value, quirks).map(RelationEdit::Replace)
}

/// Takes the changes of `groups` out of a request, in order.
///
/// # Errors
/// 400, naming the operation.
pub fn take_groups(request: &mut PatchRequest, quirks: &mut Quirks) -> Result<Vec<RelationEdit>, ScimError> {
    let mut edits = Vec::new();
    let mut rest = Vec::with_capacity(request.operations.len());
    for (n, mut operation) in std::mem::take(&mut request.operations).into_iter().enumerate() {
        let edit = match (&operation.path, &mut operation.value) {
            (Some(path), value) if is_groups(path) => Some(edit(operation.op, path, value.take(), quirks)),
            (None, Some(Value::Object(map))) => {
                let path = PatchPath { attr: crate::AttrPath::name(GROUPS), filter: None, sub: None };
                take(map, GROUPS).map(|value| edit(operation.op, &path, Some(value), quirks))
            }
            _ => None,
        };
        let emptied = edit.is_some()
            && (operation.path.is_some()
                || operation.value.as_ref().and_then(Value::as_object).is_some_and(|m| m.is_empty()));
        if let Some(edit) = edit {
            edits.extend(edit.map_err(|error| at(n, error))?);
        }
        if !emptied {
            rest.push(operation);
        }
    }
    request.operations = rest;
    Ok(edits)
}

fn is_groups(path: &PatchPath) -> bool {
    path.attr.attr.eq_ignore_ascii_case(GROUPS)
        && path.attr.urn.as_deref().is_none_or(|urn| urn.eq_ignore_ascii_case(urn::USER))
}

fn edit(
    op: PatchOp,
    path: &PatchPath,
    value: Option<Value>,
    quirks: &mut Quirks,
) -> Result<Option<RelationEdit>, ScimError> {
    if path.attr.sub.is_some() || path.sub.is_some() || (path.filter.is_some() && op != PatchOp::Remove) {
        return Err(ScimError::mutability("groups: an element cannot be changed, only added and removed."));
    }
    let mut list = |value| value::references(GROUPS, value, quirks);
    Ok(Some(match (op, &path.filter, value) {
        (PatchOp::Add, _, value) => RelationEdit::Add(list(value.unwrap_or(Value::Null))?),
        (PatchOp::Replace, _, value) => RelationEdit::Replace(list(value.unwrap_or(Value::Null))?),
        (PatchOp::Remove, Some(filter), _) => match ids(filter) {
            Some(ids) => RelationEdit::Remove(ids),
            None => RelationEdit::RemoveMatching(filter.clone()),
        },
        (PatchOp::Remove, None, None) => RelationEdit::RemoveAll,
        (PatchOp::Remove, None, Some(value)) => {
            remove_by_value::allow(quirks)?;
            let list = value::references(GROUPS, value, quirks)?;
            RelationEdit::Remove(list.into_iter().map(|one| one.value).collect())
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::{Base, fold_edits};
    use serde_json::json;

    /// `want`: whether all go, who comes and goes; and how many operations are left.
    #[track_caller]
    fn check(operations: Value, clears: bool, want: &[(&str, bool)], left: usize) {
        let mut quirks = Quirks::lenient();
        let body = json!({"schemas": [urn::PATCH_OP], "Operations": operations});
        let mut request = PatchRequest::parse(body, &mut quirks).expect("a message");
        let edits = take_groups(&mut request, &mut quirks).expect("edits");
        let net = fold_edits(&edits);
        let got: Vec<(&str, bool)> = net.want.iter().map(|(id, into)| (id.as_str(), *into)).collect();
        assert_eq!((net.base == Base::Clear, got.as_slice(), request.operations.len()), (clears, want, left));
    }

    #[test]
    fn operations_on_groups_become_edits() {
        check(json!([{"op": "add", "path": "groups", "value": [{"value": "g"}]}]), false, &[("g", true)], 0);
        let both = json!([{"op": "replace", "value": {"title": "t", "Groups": [{"value": "g"}]}}]);
        check(both, true, &[("g", true)], 1);
        check(json!([{"op": "add", "value": {"groups": "g"}}]), false, &[("g", true)], 0);
        check(json!([{"op": "remove", "path": "groups[value eq \"g\"]"}]), false, &[("g", false)], 0);
        check(json!([{"op": "remove", "path": "groups", "value": [{"value": "g"}]}]), false, &[("g", false)], 0);
        check(json!([{"op": "remove", "path": "groups"}, {"op": "remove", "path": "title"}]), true, &[], 1);
        check(json!([{"op": "replace", "path": "title", "value": "t"}]), false, &[], 1);
    }

    #[test]
    fn an_element_is_not_changed() {
        for path in ["groups.display", "groups[value eq \"g\"].display"] {
            let body =
                json!({"schemas": [urn::PATCH_OP], "Operations": [{"op": "replace", "path": path, "value": "x"}]});
            let mut request = PatchRequest::parse(body, &mut Quirks::lenient()).expect("a message");
            let error = take_groups(&mut request, &mut Quirks::lenient()).expect_err("an element");
            assert_eq!(error.scim_type, Some(crate::ScimType::Mutability), "{path}");
        }
    }
}
