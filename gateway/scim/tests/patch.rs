//! PATCH: the RFC's semantics, and the requests that clients send.
use proptest::prelude::*;
use scim::filter::{Filter, FilterLimits};
use scim::patch::{Base, Changed, PatchRequest, Patched, RelationEdit, apply, diff, fold_edits};
use scim::resource::{Reference, schemas_of};
use scim::{Document, Quirk, Quirks, Registry, ResourceType, ScimError};
use serde_json::{Value, json};

const OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn rt(name: &str) -> ResourceType {
    Registry::core()
        .resource_type(name)
        .expect("core type")
        .clone()
}

fn doc(value: Value) -> Document {
    value.as_object().expect("object").clone()
}

fn run(
    name: &str,
    current: &Value,
    operations: Value,
    quirks: &mut Quirks,
) -> Result<Patched, ScimError> {
    let request = PatchRequest::parse(json!({"schemas": [OP], "Operations": operations}), quirks)?;
    apply(&rt(name), &doc(current.clone()), &request, quirks)
}

fn user() -> Value {
    json!({
        "userName": "u", "active": true, "displayName": "D",
        "name": {"givenName": "G", "familyName": "F"},
        "emails": [{"value": "w@x", "type": "work", "primary": true}, {"value": "h@x", "type": "home"}],
        ENTERPRISE: {"department": "d", "manager": {"value": "m1", "$ref": "https://x/Users/m1"}}
    })
}

/// Applies operations to `user()` and checks the attributes named in `want` (null: gone) and that no other changed.
#[track_caller]
fn check(operations: Value, want: Value) -> Patched {
    check_with(operations, want, &mut Quirks::lenient())
}

#[track_caller]
fn check_with(operations: Value, want: Value, quirks: &mut Quirks) -> Patched {
    let got = run("User", &user(), operations.clone(), quirks);
    assert!(got.is_ok(), "{operations}: {got:?}");
    let got = got.expect("checked just above");
    let mut expected = doc(user());
    for (key, value) in doc(want) {
        if value.is_null() {
            expected.shift_remove(&key);
        } else {
            expected.insert(key, value);
        }
    }
    assert_eq!(
        Value::Object(got.document.clone()),
        Value::Object(expected.clone()),
        "{operations}"
    );
    assert_eq!(
        got.changed.is_empty(),
        doc(user()) == expected,
        "{operations}"
    );
    got
}

#[track_caller]
fn refused(operations: Value, kind: &str) {
    refused_by(operations, kind, &mut Quirks::lenient());
}

#[track_caller]
fn refused_by(operations: Value, kind: &str, quirks: &mut Quirks) {
    let error = run("User", &user(), operations.clone(), quirks).err();
    let got = error
        .as_ref()
        .map(|e| (e.status, e.scim_type.map_or("", |t| t.as_str())));
    assert_eq!(got, Some((400, kind)), "{operations}: {error:?}");
}

#[test]
fn the_message() {
    let parse = |body: Value, kind: Option<&str>| {
        let got = PatchRequest::parse(body.clone(), &mut Quirks::lenient());
        assert_eq!(
            got.err().and_then(|e| e.scim_type).map(|t| t.as_str()),
            kind,
            "{body}"
        );
    };
    let one = json!({"op": "add", "path": "title", "value": "t"});
    parse(json!({"schemas": [OP], "Operations": [one]}), None);
    parse(
        json!({"Schemas": [OP.to_uppercase()], "operations": [{"OP": "Add", "PATH": "TITLE", "VALUE": "t"}]}),
        None,
    );
    parse(json!([]), Some("invalidSyntax"));
    parse(json!({"Operations": [one]}), Some("invalidSyntax"));
    parse(
        json!({"schemas": ["urn:x:y"], "Operations": [one]}),
        Some("invalidSyntax"),
    );
    parse(json!({"schemas": [OP]}), Some("invalidSyntax"));
    parse(
        json!({"schemas": [OP], "Operations": []}),
        Some("invalidSyntax"),
    );
    parse(
        json!({"schemas": [OP], "Operations": [1]}),
        Some("invalidSyntax"),
    );
    parse(
        json!({"schemas": [OP], "Operations": vec![one; 101]}),
        Some("tooMany"),
    );
    let op =
        |op: Value, kind: Option<&str>| parse(json!({"schemas": [OP], "Operations": [op]}), kind);
    op(
        json!({"op": "move", "path": "title", "value": "t"}),
        Some("invalidSyntax"),
    );
    op(
        json!({"path": "title", "value": "t"}),
        Some("invalidSyntax"),
    );
    op(json!({"op": "add", "path": "title"}), Some("invalidValue"));
    op(json!({"op": "replace"}), Some("invalidValue"));
    op(json!({"op": "replace", "value": "x"}), Some("invalidValue"));
    op(json!({"op": "remove"}), Some("noTarget"));
    op(json!({"op": "remove", "path": null}), Some("noTarget"));
    op(
        json!({"op": "add", "path": "", "value": 1}),
        Some("invalidPath"),
    );
    op(
        json!({"op": "add", "path": "a[", "value": 1}),
        Some("invalidPath"),
    );
    op(
        json!({"op": "add", "path": 5, "value": 1}),
        Some("invalidPath"),
    );
    op(
        json!({"op": "add", "path": "a".repeat(513), "value": 1}),
        Some("invalidPath"),
    );
    let capital =
        json!({"schemas": [OP], "Operations": [{"op": "Add", "path": "title", "value": "t"}]});
    assert!(PatchRequest::parse(capital, &mut Quirks::strict()).is_err());
}

#[test]
fn add() {
    let strict = &mut Quirks::strict();
    check_with(
        json!([{"op": "add", "path": "title", "value": "T"}]),
        json!({"title": "T"}),
        strict,
    );
    check_with(
        json!([{"op": "add", "path": "displayName", "value": "E"}]),
        json!({"displayName": "E"}),
        strict,
    );
    check_with(
        json!([{"op": "add", "path": "name", "value": {"givenName": "H"}}]),
        json!({"name": {"givenName": "H", "familyName": "F"}}),
        strict,
    );
    check_with(
        json!([{"op": "add", "value": {"name": {"middleName": "M"}, "nickName": "N"}}]),
        json!({"name": {"givenName": "G", "familyName": "F", "middleName": "M"}, "nickName": "N"}),
        strict,
    );
    check_with(
        json!([{"op": "add", "path": "emails", "value": [{"value": "o@x", "type": "other"}]}]),
        json!({"emails": [{"value": "w@x", "type": "work", "primary": true}, {"value": "h@x", "type": "home"}, {"value": "o@x", "type": "other"}]}),
        strict,
    );
    let same =
        json!([{"op": "add", "path": "emails", "value": [{"type": "home", "value": "h@x"}]}]);
    check_with(same, json!({}), strict);
    let primary =
        json!([{"op": "add", "path": "emails", "value": [{"value": "o@x", "primary": true}]}]);
    check_with(
        primary,
        json!({"emails": [{"value": "w@x", "type": "work", "primary": false}, {"value": "h@x", "type": "home"}, {"value": "o@x", "primary": true}]}),
        strict,
    );
    check_with(
        json!([{"op": "add", "path": format!("{ENTERPRISE}:division"), "value": "v"}]),
        json!({ENTERPRISE: {"department": "d", "manager": {"value": "m1", "$ref": "https://x/Users/m1"}, "division": "v"}}),
        strict,
    );
    check_with(
        json!([{"op": "add", "path": ENTERPRISE, "value": {"division": "v"}}]),
        json!({ENTERPRISE: {"department": "d", "manager": {"value": "m1", "$ref": "https://x/Users/m1"}, "division": "v"}}),
        strict,
    );
}

#[test]
fn replace() {
    let strict = &mut Quirks::strict();
    check_with(
        json!([{"op": "replace", "path": "title", "value": "T"}]),
        json!({"title": "T"}),
        strict,
    );
    check_with(
        json!([{"op": "replace", "path": "displayName", "value": null}]),
        json!({"displayName": null}),
        strict,
    );
    check_with(
        json!([{"op": "replace", "path": "name.givenName", "value": "H"}]),
        json!({"name": {"givenName": "H", "familyName": "F"}}),
        strict,
    );
    check_with(
        json!([{"op": "replace", "path": "emails", "value": [{"value": "n@x"}]}]),
        json!({"emails": [{"value": "n@x"}]}),
        strict,
    );
    check_with(
        json!([{"op": "replace", "path": "emails", "value": []}]),
        json!({"emails": null}),
        strict,
    );
    check_with(
        json!([{"op": "replace", "path": "emails[type eq \"work\"].value", "value": "n@x"}]),
        json!({"emails": [{"value": "n@x", "type": "work", "primary": true}, {"value": "h@x", "type": "home"}]}),
        strict,
    );
    check_with(
        json!([{"op": "replace", "path": "emails[type eq \"home\"]", "value": {"value": "n@x", "type": "other"}}]),
        json!({"emails": [{"value": "w@x", "type": "work", "primary": true}, {"value": "n@x", "type": "other"}]}),
        strict,
    );
    check_with(
        json!([{"op": "replace", "path": "emails[type eq \"home\"].primary", "value": true}]),
        json!({"emails": [{"value": "w@x", "type": "work", "primary": false}, {"value": "h@x", "type": "home", "primary": true}]}),
        strict,
    );
    check_with(
        json!([{"op": "replace", "value": {"userName": "v", "emails": [{"value": "n@x"}]}}]),
        json!({"userName": "v", "emails": [{"value": "n@x"}]}),
        strict,
    );
    check_with(
        json!([{"op": "replace", "path": "displayName", "value": "D"}]),
        json!({}),
        strict,
    );
    for path in [
        "emails[type eq \"none\"]",
        "emails[value eq \"none\"].type",
        "emails[type ne \"work\" and type ne \"home\"].value",
    ] {
        refused(
            json!([{"op": "replace", "path": path, "value": {"value": "x"}}]),
            "noTarget",
        );
    }
    refused_by(
        json!([{"op": "replace", "path": "emails[type eq \"fax\"].value", "value": "x"}]),
        "noTarget",
        strict,
    );
}

#[test]
fn remove() {
    let strict = &mut Quirks::strict();
    check_with(
        json!([{"op": "remove", "path": "displayName"}]),
        json!({"displayName": null}),
        strict,
    );
    check_with(
        json!([{"op": "remove", "path": "title"}]),
        json!({}),
        strict,
    );
    check_with(
        json!([{"op": "remove", "path": "name.givenName"}]),
        json!({"name": {"familyName": "F"}}),
        strict,
    );
    check_with(
        json!([{"op": "remove", "path": "name.givenName"}, {"op": "remove", "path": "name.familyName"}]),
        json!({"name": null}),
        strict,
    );
    check_with(
        json!([{"op": "remove", "path": "emails[type eq \"home\"]"}]),
        json!({"emails": [{"value": "w@x", "type": "work", "primary": true}]}),
        strict,
    );
    check_with(
        json!([{"op": "remove", "path": "emails[value pr]"}]),
        json!({"emails": null}),
        strict,
    );
    check_with(
        json!([{"op": "remove", "path": "emails[type eq \"none\"]"}]),
        json!({}),
        strict,
    );
    check_with(
        json!([{"op": "remove", "path": "emails"}]),
        json!({"emails": null}),
        strict,
    );
    check_with(
        json!([{"op": "remove", "path": "emails[type eq \"work\"].primary"}]),
        json!({"emails": [{"value": "w@x", "type": "work"}, {"value": "h@x", "type": "home"}]}),
        strict,
    );
    let got = check_with(
        json!([{"op": "remove", "path": ENTERPRISE}]),
        json!({ENTERPRISE: null}),
        strict,
    );
    assert_eq!(schemas_of(&rt("User"), &got.document).len(), 1);
    check(
        json!([{"op": "remove", "path": "manager[value eq \"m1\"]"}]),
        json!({ENTERPRISE: {"department": "d"}}),
    );
    check(
        json!([{"op": "remove", "path": "manager[value eq \"m2\"]"}]),
        json!({}),
    );
    check(
        json!([{"op": "remove", "path": "emails", "value": [{"value": "h@x"}]}]),
        json!({"emails": [{"value": "w@x", "type": "work", "primary": true}]}),
    );
    check(
        json!([{"op": "remove", "path": "emails", "value": []}]),
        json!({}),
    );
    check(json!([{"op": "remove", "path": "active"}]), json!({}));
    check(
        json!([{"op": "replace", "path": "active", "value": null}]),
        json!({}),
    );
}

#[test]
fn refusals_change_nothing() {
    refused(
        json!([{"op": "remove", "path": "userName"}]),
        "invalidValue",
    );
    refused(
        json!([{"op": "replace", "path": "userName", "value": ""}]),
        "invalidValue",
    );
    refused(
        json!([{"op": "replace", "path": "userName", "value": 5}]),
        "invalidValue",
    );
    refused(
        json!([{"op": "replace", "path": "id", "value": "x"}]),
        "mutability",
    );
    refused(json!([{"op": "remove", "path": "meta"}]), "mutability");
    refused(
        json!([{"op": "replace", "path": "meta.created", "value": "x"}]),
        "mutability",
    );
    refused(
        json!([{"op": "add", "path": "groups", "value": [{"value": "g"}]}]),
        "mutability",
    );
    refused(
        json!([{"op": "remove", "path": "groups[value eq \"g\"]"}]),
        "mutability",
    );
    refused(
        json!([{"op": "replace", "path": "manager.displayName", "value": "x"}]),
        "mutability",
    );
    refused(
        json!([{"op": "add", "path": "emails[primary gt true].value", "value": "x"}]),
        "invalidFilter",
    );
    refused(
        json!([{"op": "add", "path": "emails", "value": [{"value": 5}]}]),
        "invalidValue",
    );
    refused(
        json!([{"op": "replace", "path": "displayName", "value": "X"}, {"op": "add", "path": "active", "value": "maybe"}]),
        "invalidValue",
    );
    let strict = &mut Quirks::strict();
    refused_by(
        json!([{"op": "add", "path": "favourite", "value": 1}]),
        "invalidPath",
        strict,
    );
    refused_by(
        json!([{"op": "add", "path": "name.petName", "value": "x"}]),
        "invalidPath",
        strict,
    );
    refused_by(
        json!([{"op": "add", "path": "emails[type eq \"work\"].petName", "value": "x"}]),
        "invalidPath",
        strict,
    );
    refused_by(
        json!([{"op": "add", "value": {"id": "x"}}]),
        "mutability",
        strict,
    );
    refused_by(
        json!([{"op": "remove", "path": "emails", "value": [{"value": "h@x"}]}]),
        "invalidSyntax",
        strict,
    );
    refused_by(
        json!([{"op": "add", "path": "emails", "value": [{"value": "a", "primary": true}, {"value": "b", "primary": true}]}]),
        "invalidValue",
        strict,
    );
}

#[test]
fn operations_see_those_before_them() {
    check(
        json!([
            {"op": "add", "path": "ims", "value": [{"value": "a", "type": "xmpp"}]},
            {"op": "replace", "path": "ims[type eq \"xmpp\"].value", "value": "b"},
            {"op": "replace", "path": "displayName", "value": "X"},
            {"op": "replace", "path": "displayName", "value": "D"}
        ]),
        json!({"ims": [{"value": "b", "type": "xmpp"}]}),
    );
    // A required attribute may be away between two operations; the end counts.
    check(
        json!([{"op": "remove", "path": "userName"}, {"op": "add", "path": "userName", "value": "v"}]),
        json!({"userName": "v"}),
    );
}

#[test]
fn entra() {
    let manager = |value: Value| json!({ENTERPRISE: {"department": "d", "manager": value}});
    let path = format!("{ENTERPRISE}:manager");
    check(
        json!([{"op": "Add", "path": path, "value": "m2"}]),
        manager(json!({"value": "m2"})),
    );
    check(
        json!([{"op": "Add", "path": "manager", "value": [{"$ref": "https://x/Users/m2", "value": "m2"}]}]),
        manager(json!({"value": "m2", "$ref": "https://x/Users/m2"})),
    );
    for nothing in [
        json!(""),
        json!({"value": ""}),
        json!(null),
        json!([]),
        json!({"value": null}),
    ] {
        check(
            json!([{"op": "Replace", "path": path, "value": nothing}]),
            json!({ENTERPRISE: {"department": "d"}}),
        );
    }
    check(
        json!([{"op": "Replace", "path": format!("{path}.value"), "value": ""}]),
        json!({ENTERPRISE: {"department": "d"}}),
    );
    check(
        json!([{"op": "Replace", "path": "active", "value": "False"}]),
        json!({"active": false}),
    );
    check(
        json!([{"op": "Replace", "path": "active", "value": {"value": "True"}}]),
        json!({}),
    );
    check(
        json!([
            {"op": "Add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "+1 555 0100"},
            {"op": "Replace", "path": "phoneNumbers[type eq \"fax\"].value", "value": "+1 555 0199"},
            {"op": "Add", "path": "addresses[type eq \"work\"].streetAddress", "value": "1 Example St"},
            {"op": "Add", "path": "roles[primary eq \"True\"].display", "value": "R"}
        ]),
        json!({
            "phoneNumbers": [{"type": "mobile", "value": "+1 555 0100"}, {"type": "fax", "value": "+1 555 0199"}],
            "addresses": [{"type": "work", "streetAddress": "1 Example St"}],
            "roles": [{"primary": true, "display": "R"}]
        }),
    );
    check(
        json!([{"op": "Add", "path": "roles", "value": [{"value": "{\"id\":\"06b0\",\"value\":\"Admin\",\"displayName\":\"Admin\"}"}]}]),
        json!({"roles": [{"value": "Admin", "display": "Admin"}]}),
    );
    check(
        json!([{"op": "replace", "value": {
            "displayName": "E", "name.givenName": "H", format!("{ENTERPRISE}:employeeNumber"): "2002",
            "emails[type eq \"work\"].value": "n@x"
        }}]),
        json!({
            "displayName": "E", "name": {"givenName": "H", "familyName": "F"},
            ENTERPRISE: {"department": "d", "manager": {"value": "m1", "$ref": "https://x/Users/m1"}, "employeeNumber": "2002"},
            "emails": [{"value": "n@x", "type": "work", "primary": true}, {"value": "h@x", "type": "home"}]
        }),
    );
    let mut quirks = Quirks::lenient();
    let custom =
        "urn:ietf:params:scim:schemas:extension:CustomExtensionName:2.0:User:CustomAttribute";
    check_with(
        json!([{"op": "Add", "path": custom, "value": "701984"}]),
        json!({}),
        &mut quirks,
    );
    assert_eq!(
        quirks.applied().collect::<Vec<_>>(),
        [Quirk::CapitalisedOp, Quirk::UnknownIgnored]
    );
}

#[test]
fn okta_and_sailpoint() {
    check(
        json!([{"op": "replace", "value": {"active": false}}]),
        json!({"active": false}),
    );
    let got = check(
        json!([{"op": "replace", "value": {"password": "3mz050nq", "id": "x", "schemas": []}}]),
        json!({}),
    );
    assert!(got.password_given && !format!("{got:?}").contains("3mz050nq"));
    let mut quirks = Quirks::lenient();
    check_with(
        json!([{"op": "add", "value": {"active": false}}]),
        json!({"active": false}),
        &mut quirks,
    );
    assert!(quirks.used(Quirk::AddAsChange));
}

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
    check(
        json!([{"op": "add", "path": "members", "value": {"value": "a"}}]),
        &[RelationEdit::Add(one())],
    );
    check(json!([{"op": "add", "path": "members", "value": []}]), &[]);
    check(
        json!([{"op": "Remove", "path": "members", "value": [{"$ref": null, "value": "a"}]}]),
        &[RelationEdit::Remove(vec!["a".into()])],
    );
    check(
        json!([{"op": "remove", "path": "members[value eq \"a\"]"}]),
        &[RelationEdit::Remove(vec!["a".into()])],
    );
    check(
        json!([{"op": "remove", "path": "members[value eq \"a\" or VALUE eq \"b\"]"}]),
        &[RelationEdit::Remove(vec!["a".into(), "b".into()])],
    );
    check(
        json!([{"op": "remove", "path": "members"}]),
        &[RelationEdit::RemoveAll],
    );
    check(
        json!([{"op": "remove", "path": "members", "value": []}]),
        &[],
    );
    check(
        json!([{"op": "remove", "path": "members", "value": null}]),
        &[],
    );
    check(
        json!([{"op": "replace", "path": "members", "value": []}]),
        &[RelationEdit::Replace(vec![])],
    );
    check(
        json!([{"op": "replace", "path": "members", "value": null}]),
        &[RelationEdit::Replace(vec![])],
    );
    check(
        json!([{"op": "replace", "value": {"members": [{"value": "a"}], "id": "x", "displayName": "g"}}]),
        &[RelationEdit::Replace(one())],
    );
    check(
        json!([{"op": "remove", "path": "members[value eq \"a\"]"}, {"op": "add", "path": "members", "value": [{"value": "a"}]}]),
        &[
            RelationEdit::Remove(vec!["a".into()]),
            RelationEdit::Add(one()),
        ],
    );
    let filter = Filter::parse(
        "display sw \"a\"",
        &FilterLimits::default(),
        &mut Quirks::strict(),
    )
    .expect("parses");
    check(
        json!([{"op": "remove", "path": "members[display sw \"a\"]"}]),
        &[RelationEdit::RemoveMatching(filter)],
    );
    for (op, kind) in [
        (
            json!({"op": "replace", "path": "members[value eq \"a\"].display", "value": "x"}),
            "mutability",
        ),
        (
            json!({"op": "replace", "path": "members.value", "value": "x"}),
            "mutability",
        ),
        (
            json!({"op": "add", "path": "members", "value": [{"display": "x"}]}),
            "invalidValue",
        ),
        (
            json!({"op": "remove", "path": "members", "value": [{}]}),
            "invalidValue",
        ),
        (
            json!({"op": "remove", "path": "displayName"}),
            "invalidValue",
        ),
    ] {
        let got = run(
            "Group",
            &json!({"displayName": "g"}),
            json!([op]),
            &mut Quirks::lenient(),
        );
        assert_eq!(
            got.err().and_then(|e| e.scim_type).map(|t| t.as_str()),
            Some(kind),
            "{op}"
        );
    }
}

#[test]
fn edits_add_up() {
    let refs = |ids: &[&str]| ids.iter().map(|id| Reference::new(*id)).collect::<Vec<_>>();
    let filter = |text: &str| {
        Filter::parse(text, &FilterLimits::default(), &mut Quirks::strict()).expect("parses")
    };
    let check = |edits: &[RelationEdit], base: Base, want: &[(&str, bool)], matching: usize| {
        let net = fold_edits(edits);
        let got: Vec<(&str, bool)> = net.want.iter().map(|(id, on)| (id.as_str(), *on)).collect();
        assert_eq!(
            (net.base, got.as_slice(), net.matching.len()),
            (base, want, matching),
            "{edits:?}"
        );
    };
    use RelationEdit::{Add, Remove, RemoveAll, RemoveMatching, Replace};
    check(&[], Base::Keep, &[], 0);
    check(
        &[Add(refs(&["a"])), Remove(vec!["a".into()])],
        Base::Keep,
        &[("a", false)],
        0,
    );
    check(
        &[Remove(vec!["a".into()]), Add(refs(&["a", "b"]))],
        Base::Keep,
        &[("a", true), ("b", true)],
        0,
    );
    check(
        &[Add(refs(&["a"])), RemoveAll, Add(refs(&["b"]))],
        Base::Clear,
        &[("b", true)],
        0,
    );
    check(
        &[Add(refs(&["a"])), Replace(refs(&["b"]))],
        Base::Clear,
        &[("b", true)],
        0,
    );
    check(
        &[Replace(refs(&["a", "b"])), Remove(vec!["a".into()])],
        Base::Clear,
        &[("a", false), ("b", true)],
        0,
    );
    check(
        &[RemoveMatching(filter("value sw \"a\"")), Add(refs(&["a1"]))],
        Base::Keep,
        &[("a1", true)],
        1,
    );
    check(
        &[
            Add(refs(&["a1", "b1"])),
            RemoveMatching(filter("value sw \"a\"")),
        ],
        Base::Keep,
        &[("a1", false), ("b1", true)],
        1,
    );
    check(
        &[RemoveMatching(filter("value pr")), RemoveAll],
        Base::Clear,
        &[],
        0,
    );
    assert!(fold_edits(&[]).is_empty() && !fold_edits(&[RemoveAll]).is_empty());
}

#[test]
fn ten_thousand_members_in_one_request_cost_little() {
    let list: Vec<Value> = (0..10_000)
        .map(|n| json!({"value": format!("id-{n}")}))
        .collect();
    let got = run(
        "Group",
        &json!({"displayName": "g"}),
        json!([{"op": "add", "path": "members", "value": list}]),
        &mut Quirks::lenient(),
    );
    assert_eq!(fold_edits(&got.expect("accepted").edits).want.len(), 10_000);
}

#[test]
fn lists_in_the_document_are_bounded() {
    let list = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|n| json!({"value": format!("r{n}")}))
            .collect()
    };
    let add = |count: usize| json!({"op": "add", "path": "roles", "value": list(count)});
    assert!(run("User", &user(), json!([add(1000)]), &mut Quirks::lenient()).is_ok());
    assert!(
        run(
            "User",
            &user(),
            json!(vec![add(1000); 100]),
            &mut Quirks::lenient()
        )
        .is_ok()
    );
    refused(json!([add(1001)]), "tooMany");
    refused(
        json!([{"op": "add", "path": "roles", "value": ["x"]}, add(1000)]),
        "tooMany",
    );
}

#[test]
fn differences_by_attribute() {
    let before = doc(user());
    let after = doc(json!({
        "userName": "u", "active": false, "name": {"givenName": "G", "familyName": "X"}, "title": "T",
        "emails": [{"value": "w@x"}], ENTERPRISE: {"manager": {"value": "m2"}}
    }));
    let changed = diff(&before, &after);
    let mut paths: Vec<&str> = changed.iter().map(|c| c.path.as_str()).collect();
    paths.sort_unstable();
    let e = |name: &str| format!("{ENTERPRISE}:{name}");
    assert_eq!(
        paths,
        [
            "active",
            "displayName",
            "emails",
            "name.familyName",
            "title",
            &e("department"),
            &e("manager.$ref"),
            &e("manager.value")
        ]
    );
    assert!(changed.contains(&Changed {
        path: "active".into(),
        before: Some(json!(true)),
        after: Some(json!(false))
    }));
    assert!(diff(&before, &before).is_empty());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i16>().prop_map(|n| json!(n)),
        "[a-zA-Z]{0,4}|True|\\{\"value\":\"x\"\\}|2011-05-13T04:42:34Z".prop_map(Value::String),
    ];
    let key = prop::sample::select(vec![
        "value",
        "type",
        "primary",
        "$ref",
        "display",
        "userName",
        "emails",
        "name",
        "name.givenName",
        "roles",
        "members",
        "active",
        "manager",
        "id",
        "emails[type eq \"work\"].value",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        "x",
    ]);
    leaf.prop_recursive(3, 16, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((key.clone(), inner), 0..4).prop_map(|pairs| Value::Object(
                pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
        ]
    })
}

fn any_operation() -> impl Strategy<Value = Value> {
    let path = prop::sample::select(vec![
        "userName",
        "name",
        "name.givenName",
        "emails",
        "emails.value",
        "emails[type eq \"work\"]",
        "emails[type eq \"work\"].value",
        "emails[not (value pr)].primary",
        "manager",
        "manager.value",
        "manager[value eq \"m\"]",
        "members",
        "members[value eq \"a\"]",
        "members[display co \"a\"]",
        "active",
        "roles",
        "roles[primary eq \"True\"].value",
        "id",
        "password",
        "x",
        "displayName",
        "externalId",
        "schemas",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        "urn:ietf:params:scim:schemas:core:2.0:User",
        "userName[value eq \"u\"]",
        "x509Certificates[type eq \"a\"].value",
    ]);
    let op = prop::sample::select(vec!["add", "remove", "replace", "Add"]);
    (op, prop::option::of(path), prop::option::of(any_json())).prop_map(|(op, path, value)| {
        let mut out = json!({"op": op});
        if let Some(path) = path {
            out["path"] = json!(path);
        }
        if let Some(value) = value {
            out["value"] = value;
        }
        out
    })
}

proptest! {
    #[test]
    fn any_operations_give_a_valid_document_or_an_error(
        operations in prop::collection::vec(any_operation(), 1..6),
        group in any::<bool>(),
        strict in any::<bool>(),
    ) {
        let name = if group { "Group" } else { "User" };
        let current = if group { json!({"displayName": "g"}) } else { user() };
        let mut quirks = Quirks::new(strict);
        match run(name, &current, Value::Array(operations), &mut quirks) {
            Ok(got) => {
                prop_assert!(!got.document.contains_key("members") && !got.document.contains_key("id"));
                prop_assert!(!got.document.contains_key("password") && !got.document.contains_key("schemas"));
                prop_assert_eq!(got.changed.is_empty(), got.document == doc(current));
                // What is stored is a resource that a PUT would take as it is.
                let mut body = Value::Object(got.document.clone());
                body["schemas"] = json!(schemas_of(&rt(name), &got.document));
                let again = scim::resource::create(&rt(name), body, &mut Quirks::strict());
                prop_assert_eq!(again.map(|p| p.document).map_err(|e| e.to_string()), Ok(got.document));
                let _ = fold_edits(&got.edits);
            }
            Err(e) => prop_assert_eq!(e.status, 400),
        }
        prop_assert!(!strict || quirks.applied().all(|q| matches!(
            q, Quirk::ExplicitNothing | Quirk::ReadOnlyIgnored | Quirk::NullRef | Quirk::AddAsChange)));
    }

    #[test]
    fn reading_any_message_never_panics(body in any_json()) {
        let _ = PatchRequest::parse(body.clone(), &mut Quirks::lenient());
        let _ = PatchRequest::parse(json!({"schemas": [OP], "Operations": [body]}), &mut Quirks::lenient());
    }

    #[test]
    fn an_operation_repeated_changes_nothing_more(operation in any_operation()) {
        let once = run("User", &user(), json!([operation]), &mut Quirks::lenient());
        if let Ok(once) = once {
            let again = run("User", &Value::Object(once.document.clone()), json!([operation]), &mut Quirks::lenient());
            if let Ok(again) = again {
                prop_assert_eq!(again.document, once.document);
            }
        }
    }
}
