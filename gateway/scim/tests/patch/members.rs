//! Members: edits of a relation instead of a list.

use scim::filter::{Filter, FilterLimits};
use scim::patch::{Base, PatchRequest, RelationEdit, apply, fold_edits};
use scim::resource::Reference;
use scim::{Quirks, ScimType};
use serde_json::{Value, json};

use crate::{OP, doc, rt, run};

#[test]
fn members() {
    let check = |operations: Value, want: &[RelationEdit]| {
        let group = json!({"displayName": "g"});
        let got = run("Group", &group, operations.clone(), &mut Quirks::lenient());
        let got = got.unwrap_or_else(|e| panic!("{operations}: {e}"));
        assert_eq!(got.edits, want, "{operations}");
        assert_eq!(Value::Object(got.document), group);
    };
    let one = || vec![Reference::new("a")];
    check(
        json!([{"op": "Add", "path": "members", "value": [{"$ref": null, "value": "a"}]}]),
        &[RelationEdit::Add(one())],
    );
    check(json!([{"op": "add", "path": "members", "value": {"value": "a"}}]), &[RelationEdit::Add(one())]);
    check(json!([{"op": "add", "path": "members", "value": []}]), &[]);
    check(
        json!([{"op": "Remove", "path": "members", "value": [{"$ref": null, "value": "a"}]}]),
        &[RelationEdit::Remove(vec!["a".into()])],
    );
    check(json!([{"op": "remove", "path": "members[value eq \"a\"]"}]), &[RelationEdit::Remove(vec!["a".into()])]);
    check(
        json!([{"op": "remove", "path": "members[value eq \"a\" or VALUE eq \"b\"]"}]),
        &[RelationEdit::Remove(vec!["a".into(), "b".into()])],
    );
    check(json!([{"op": "remove", "path": "members"}]), &[RelationEdit::RemoveAll]);
    check(json!([{"op": "remove", "path": "members", "value": []}]), &[]);
    check(json!([{"op": "remove", "path": "members", "value": null}]), &[]);
    check(json!([{"op": "replace", "path": "members", "value": []}]), &[RelationEdit::Replace(vec![])]);
    check(json!([{"op": "replace", "path": "members", "value": null}]), &[RelationEdit::Replace(vec![])]);
    check(
        json!([{"op": "replace", "value": {"members": [{"value": "a"}], "id": "x", "displayName": "g"}}]),
        &[RelationEdit::Replace(one())],
    );
    check(
        json!([{"op": "remove", "path": "members[value eq \"a\"]"}, {"op": "add", "path": "members", "value": [{"value": "a"}]}]),
        &[RelationEdit::Remove(vec!["a".into()]), RelationEdit::Add(one())],
    );
    let filter = Filter::parse("display sw \"a\"", &FilterLimits::default(), &mut Quirks::strict()).expect("parses");
    check(json!([{"op": "remove", "path": "members[display sw \"a\"]"}]), &[RelationEdit::RemoveMatching(filter)]);
    for (op, kind) in [
        (json!({"op": "replace", "path": "members[value eq \"a\"].display", "value": "x"}), "mutability"),
        (json!({"op": "replace", "path": "members.value", "value": "x"}), "mutability"),
        (json!({"op": "add", "path": "members", "value": [{"display": "x"}]}), "invalidValue"),
        (json!({"op": "remove", "path": "members", "value": [{}]}), "invalidValue"),
        (json!({"op": "remove", "path": "displayName"}), "mutability"),
    ] {
        let got = run("Group", &json!({"displayName": "g"}), json!([op]), &mut Quirks::lenient());
        assert_eq!(got.err().and_then(|e| e.scim_type).map(|t| t.as_str()), Some(kind), "{op}");
    }
}

#[test]
fn edits_add_up() {
    let refs = |ids: &[&str]| ids.iter().map(|id| Reference::new(*id)).collect::<Vec<_>>();
    let filter = |text: &str| Filter::parse(text, &FilterLimits::default(), &mut Quirks::strict()).expect("parses");
    let check = |edits: &[RelationEdit], base: Base, want: &[(&str, bool)], matching: usize| {
        let net = fold_edits(edits);
        let got: Vec<(&str, bool)> = net.want.iter().map(|(id, on)| (id.as_str(), *on)).collect();
        assert_eq!((net.base, got.as_slice(), net.matching.len()), (base, want, matching), "{edits:?}");
    };
    use RelationEdit::{Add, Remove, RemoveAll, RemoveMatching, Replace};
    check(&[], Base::Keep, &[], 0);
    check(&[Add(refs(&["a"])), Remove(vec!["a".into()])], Base::Keep, &[("a", false)], 0);
    check(&[Remove(vec!["a".into()]), Add(refs(&["a", "b"]))], Base::Keep, &[("a", true), ("b", true)], 0);
    check(&[Add(refs(&["a"])), RemoveAll, Add(refs(&["b"]))], Base::Clear, &[("b", true)], 0);
    check(&[Add(refs(&["a"])), Replace(refs(&["b"]))], Base::Clear, &[("b", true)], 0);
    check(&[Replace(refs(&["a", "b"])), Remove(vec!["a".into()])], Base::Clear, &[("a", false), ("b", true)], 0);
    check(&[RemoveMatching(filter("value sw \"a\"")), Add(refs(&["a1"]))], Base::Keep, &[("a1", true)], 1);
    check(
        &[Add(refs(&["a1", "b1"])), RemoveMatching(filter("value sw \"a\""))],
        Base::Keep,
        &[("a1", false), ("b1", true)],
        1,
    );
    check(&[RemoveMatching(filter("value pr")), RemoveAll], Base::Clear, &[], 0);
    assert!(fold_edits(&[]).is_empty() && !fold_edits(&[RemoveAll]).is_empty());
}

#[test]
fn ten_thousand_members_in_one_request_cost_little() {
    let list: Vec<Value> = (0..10_000).map(|n| json!({"value": format!("id-{n}")})).collect();
    let got = run(
        "Group",
        &json!({"displayName": "g"}),
        json!([{"op": "add", "path": "members", "value": list}]),
        &mut Quirks::lenient(),
    );
    assert_eq!(fold_edits(&got.expect("accepted").edits).want.len(), 10_000);
}

#[test]
fn members_may_leave_one_operation_each() {
    let of = |n: usize, path: fn(usize) -> String| -> Vec<Value> {
        (0..n).map(|id| json!({"op": "remove", "path": path(id)})).collect()
    };
    let parsed = |operations: Vec<Value>| {
        let body = json!({"schemas": [OP], "Operations": operations});
        PatchRequest::parse(body, &mut Quirks::strict()).map_err(|error| error.scim_type)
    };
    let request = parsed(of(5_000, |id| format!("members[value eq \"u{id}\"]"))).expect("within the bound");
    let patched =
        apply(&rt("Group"), &doc(json!({"displayName": "G"})), &request, &mut Quirks::strict()).expect("it applies");
    assert_eq!(fold_edits(&patched.edits).want.len(), 5_000);
    let refused = Some(Some(ScimType::TooMany));
    assert_eq!(parsed(of(10_001, |id| format!("members[value eq \"u{id}\"]"))).err(), refused);
    assert_eq!(parsed(of(101, |id| format!("members[display co \"u{id}\"]"))).err(), refused);
    assert_eq!(parsed(of(101, |_| "title".to_owned())).err(), refused);
}
