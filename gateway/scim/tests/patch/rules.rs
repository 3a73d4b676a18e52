//! What each operation does, and what is refused.

use scim::Quirks;
use scim::patch::PatchRequest;
use scim::resource::schemas_of;
use serde_json::{Value, json};

use crate::{ENTERPRISE, OP, check, check_with, refused, refused_by, rt, run, user};

#[test]
fn the_message() {
    let parse = |body: Value, kind: Option<&str>| {
        let got = PatchRequest::parse(body.clone(), &mut Quirks::lenient());
        assert_eq!(got.err().and_then(|e| e.scim_type).map(|t| t.as_str()), kind, "{body}");
    };
    let one = json!({"op": "add", "path": "title", "value": "t"});
    parse(json!({"schemas": [OP], "Operations": [one]}), None);
    parse(json!({"Schemas": [OP.to_uppercase()], "operations": [{"OP": "Add", "PATH": "TITLE", "VALUE": "t"}]}), None);
    parse(json!([]), Some("invalidSyntax"));
    parse(json!({"Operations": [one]}), Some("invalidSyntax"));
    parse(json!({"schemas": ["urn:x:y"], "Operations": [one]}), Some("invalidSyntax"));
    parse(json!({"schemas": [OP]}), Some("invalidSyntax"));
    parse(json!({"schemas": [OP], "Operations": []}), Some("invalidSyntax"));
    parse(json!({"schemas": [OP], "Operations": [1]}), Some("invalidSyntax"));
    parse(json!({"schemas": [OP], "Operations": vec![one; 101]}), Some("tooMany"));
    let op = |op: Value, kind: Option<&str>| parse(json!({"schemas": [OP], "Operations": [op]}), kind);
    op(json!({"op": "move", "path": "title", "value": "t"}), Some("invalidSyntax"));
    op(json!({"path": "title", "value": "t"}), Some("invalidSyntax"));
    op(json!({"op": "add", "path": "title"}), Some("invalidValue"));
    op(json!({"op": "replace"}), Some("invalidValue"));
    op(json!({"op": "replace", "value": "x"}), Some("invalidValue"));
    op(json!({"op": "remove"}), Some("noTarget"));
    op(json!({"op": "remove", "path": null}), Some("noTarget"));
    op(json!({"op": "add", "path": "", "value": 1}), Some("invalidPath"));
    op(json!({"op": "add", "path": "a[", "value": 1}), Some("invalidPath"));
    op(json!({"op": "add", "path": 5, "value": 1}), Some("invalidPath"));
    op(json!({"op": "add", "path": "a".repeat(513), "value": 1}), Some("invalidPath"));
    let capital = json!({"schemas": [OP], "Operations": [{"op": "Add", "path": "title", "value": "t"}]});
    assert!(PatchRequest::parse(capital, &mut Quirks::strict()).is_err());
}

#[test]
fn add() {
    let strict = &mut Quirks::strict();
    check_with(json!([{"op": "add", "path": "title", "value": "T"}]), json!({"title": "T"}), strict);
    check_with(json!([{"op": "add", "path": "displayName", "value": "E"}]), json!({"displayName": "E"}), strict);
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
    let same = json!([{"op": "add", "path": "emails", "value": [{"type": "home", "value": "h@x"}]}]);
    check_with(same, json!({}), strict);
    let primary = json!([{"op": "add", "path": "emails", "value": [{"value": "o@x", "primary": true}]}]);
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
    check_with(json!([{"op": "replace", "path": "title", "value": "T"}]), json!({"title": "T"}), strict);
    check_with(json!([{"op": "replace", "path": "displayName", "value": null}]), json!({"displayName": null}), strict);
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
    check_with(json!([{"op": "replace", "path": "emails", "value": []}]), json!({"emails": null}), strict);
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
    check_with(json!([{"op": "replace", "path": "displayName", "value": "D"}]), json!({}), strict);
    for path in [
        "emails[type eq \"none\"]",
        "emails[value eq \"none\"].type",
        "emails[type ne \"work\" and type ne \"home\"].value",
    ] {
        refused(json!([{"op": "replace", "path": path, "value": {"value": "x"}}]), "noTarget");
    }
    refused_by(json!([{"op": "replace", "path": "emails[type eq \"fax\"].value", "value": "x"}]), "noTarget", strict);
}

#[test]
fn remove() {
    let strict = &mut Quirks::strict();
    check_with(json!([{"op": "remove", "path": "displayName"}]), json!({"displayName": null}), strict);
    check_with(json!([{"op": "remove", "path": "title"}]), json!({}), strict);
    check_with(json!([{"op": "remove", "path": "name.givenName"}]), json!({"name": {"familyName": "F"}}), strict);
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
    check_with(json!([{"op": "remove", "path": "emails[value pr]"}]), json!({"emails": null}), strict);
    check_with(json!([{"op": "remove", "path": "emails[type eq \"none\"]"}]), json!({}), strict);
    check_with(json!([{"op": "remove", "path": "emails"}]), json!({"emails": null}), strict);
    check_with(
        json!([{"op": "remove", "path": "emails[type eq \"work\"].primary"}]),
        json!({"emails": [{"value": "w@x", "type": "work"}, {"value": "h@x", "type": "home"}]}),
        strict,
    );
    let got = check_with(json!([{"op": "remove", "path": ENTERPRISE}]), json!({ENTERPRISE: null}), strict);
    assert_eq!(schemas_of(&rt("User"), &got.document).len(), 1);
    check(json!([{"op": "remove", "path": "manager[value eq \"m1\"]"}]), json!({ENTERPRISE: {"department": "d"}}));
    check(json!([{"op": "remove", "path": "manager[value eq \"m2\"]"}]), json!({}));
    check(
        json!([{"op": "remove", "path": "emails", "value": [{"value": "h@x"}]}]),
        json!({"emails": [{"value": "w@x", "type": "work", "primary": true}]}),
    );
    check(json!([{"op": "remove", "path": "emails", "value": []}]), json!({}));
    check(json!([{"op": "remove", "path": "active"}]), json!({"active": null}));
    check(json!([{"op": "replace", "path": "active", "value": null}]), json!({"active": null}));
}

#[test]
fn refusals_change_nothing() {
    refused(json!([{"op": "remove", "path": "userName"}]), "mutability");
    refused(json!([{"op": "replace", "path": "userName", "value": null}]), "mutability");
    refused(json!([{"op": "replace", "path": "userName", "value": ""}]), "invalidValue");
    refused(json!([{"op": "replace", "path": "userName", "value": 5}]), "invalidValue");
    refused(json!([{"op": "replace", "path": "id", "value": "x"}]), "mutability");
    refused(json!([{"op": "remove", "path": "meta"}]), "mutability");
    refused(json!([{"op": "replace", "path": "meta.created", "value": "x"}]), "mutability");
    refused(json!([{"op": "add", "path": "groups", "value": [{"value": "g"}]}]), "mutability");
    refused(json!([{"op": "remove", "path": "groups[value eq \"g\"]"}]), "mutability");
    refused(json!([{"op": "replace", "path": "manager.displayName", "value": "x"}]), "mutability");
    refused(json!([{"op": "add", "path": "emails[primary gt true].value", "value": "x"}]), "invalidFilter");
    refused(json!([{"op": "add", "path": "emails", "value": [{"value": 5}]}]), "invalidValue");
    refused(
        json!([{"op": "replace", "path": "displayName", "value": "X"}, {"op": "add", "path": "active", "value": "maybe"}]),
        "invalidValue",
    );
    let strict = &mut Quirks::strict();
    refused_by(json!([{"op": "add", "path": "favourite", "value": 1}]), "invalidPath", strict);
    refused_by(json!([{"op": "add", "path": "name.petName", "value": "x"}]), "invalidPath", strict);
    refused_by(json!([{"op": "add", "path": "emails[type eq \"work\"].petName", "value": "x"}]), "invalidPath", strict);
    refused_by(json!([{"op": "add", "value": {"id": "x"}}]), "mutability", strict);
    refused_by(json!([{"op": "remove", "path": "emails", "value": [{"value": "h@x"}]}]), "invalidSyntax", strict);
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
fn lists_in_the_document_are_bounded() {
    let list = |count: usize| -> Vec<Value> { (0..count).map(|n| json!({"value": format!("r{n}")})).collect() };
    let add = |count: usize| json!({"op": "add", "path": "roles", "value": list(count)});
    assert!(run("User", &user(), json!([add(1000)]), &mut Quirks::lenient()).is_ok());
    assert!(run("User", &user(), json!(vec![add(1000); 100]), &mut Quirks::lenient()).is_ok());
    refused(json!([add(1001)]), "tooMany");
    refused(json!([{"op": "add", "path": "roles", "value": ["x"]}, add(1000)]), "tooMany");
}
