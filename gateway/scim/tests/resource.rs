//! POST and PUT bodies.
use scim::resource::{Absent, AbsentActive, Parsed, Reference, create, replace, replace_with, schemas_of};
use scim::{Document, Quirk, Quirks, Registry, ResourceType, ScimError};
use serde_json::{Value, json};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn rt(name: &str) -> ResourceType {
    Registry::core().resource_type(name).expect("core type").clone()
}

/// A User body with `schemas` and `userName` added.
fn user(rest: Value) -> Value {
    let mut body = json!({"schemas": [USER, ENTERPRISE], "userName": "u"});
    let rest = rest.as_object().expect("object").clone();
    body.as_object_mut().expect("object").extend(rest);
    body
}

fn post(name: &str, body: Value, quirks: &mut Quirks) -> Result<Parsed, ScimError> {
    create(&rt(name), body, quirks)
}

#[track_caller]
fn refused(got: Result<Parsed, ScimError>, kind: &str) {
    let error = got.expect_err("is refused");
    assert_eq!((error.status, error.scim_type.map_or("", |t| t.as_str())), (400, kind), "{error}");
}

/// Posts a User; the stored attributes besides userName and active, and the quirks used.
#[track_caller]
fn check(rest: Value, want: Value, quirks_used: &[Quirk]) {
    let mut quirks = Quirks::lenient();
    let mut doc = post("User", user(rest.clone()), &mut quirks).expect("accepted").document;
    assert_eq!(doc.shift_remove("userName"), Some(json!("u")));
    assert_eq!(doc.shift_remove("active"), Some(json!(true)));
    assert_eq!(Value::Object(doc), want, "{rest}");
    let used: Vec<Quirk> = quirks.applied().collect();
    let mut expected = quirks_used.to_vec();
    expected.sort();
    assert_eq!(used, expected, "{rest}");
}

#[test]
fn values_are_kept_byte_for_byte_under_canonical_names() {
    check(
        json!({"USERTYPE": "A", "Name": {"FAMILYNAME": " O\u{301}x "}, "phoneNumbers": [{"Value": "+1 (555) 0100", "TYPE": "Work"}]}),
        json!({"userType": "A", "name": {"familyName": " O\u{301}x "}, "phoneNumbers": [{"value": "+1 (555) 0100", "type": "Work"}]}),
        &[],
    );
    check(json!({ENTERPRISE.to_uppercase(): {"DEPARTMENT": "R&D"}}), json!({ENTERPRISE: {"department": "R&D"}}), &[]);
}

#[test]
fn leniencies() {
    check(json!({"title": null, "emails": [], "name": {}, "addresses": null}), json!({}), &[Quirk::ExplicitNothing]);
    check(
        json!({"id": "x", "meta": {"resourceType": "User"}, "groups": [{"value": "g"}]}),
        json!({}),
        &[Quirk::ReadOnlyIgnored],
    );
    check(
        json!({"emails": {"value": "a@example.com", "primary": "True"}}),
        json!({"emails": [{"value": "a@example.com", "primary": true}]}),
        &[Quirk::SingleForList, Quirk::BooleanAsText],
    );
    check(json!({"roles": ["admin"]}), json!({"roles": [{"value": "admin"}]}), &[Quirk::TextForComplex]);
    check(json!({"title": {"value": "Dr"}}), json!({"title": "Dr"}), &[Quirk::WrappedValue]);
    check(json!({"favourite": {"deep": [1]}}), json!({}), &[Quirk::UnknownIgnored]);
    check(json!({"name": {"petName": "x"}}), json!({}), &[Quirk::UnknownIgnored]);
    check(json!({"department": "D"}), json!({ENTERPRISE: {"department": "D"}}), &[Quirk::UnqualifiedExtension]);
    for (manager, quirk) in [
        (json!("m"), Quirk::TextForComplex),
        (json!([{"value": "m"}]), Quirk::ListForSingle),
        (json!({"managerId": "m"}), Quirk::ManagerId),
        (json!({"value": "m", "displayName": "Boss"}), Quirk::ReadOnlyIgnored),
        (json!({"value": "m", "$ref": null}), Quirk::NullRef),
    ] {
        check(json!({ENTERPRISE: {"manager": manager}}), json!({ENTERPRISE: {"manager": {"value": "m"}}}), &[quirk]);
    }
    check(
        json!({ENTERPRISE: {"department": "R&D", "manager": {"managerId": "", "displayName": " "}}}),
        json!({ENTERPRISE: {"department": "R&D"}}),
        &[Quirk::ManagerId, Quirk::ReadOnlyIgnored, Quirk::EmptyClears],
    );
    check(
        json!({"roles": [{"value": "{\"id\":\"06b0\",\"value\":\"Admin\",\"displayName\":\"The Admin\"}", "primary": "False"}]}),
        json!({"roles": [{"primary": false, "value": "Admin", "display": "The Admin"}]}),
        &[Quirk::JsonInRole, Quirk::BooleanAsText],
    );
    check(json!({"roles": [{"value": "{not json"}]}), json!({"roles": [{"value": "{not json"}]}), &[]);
    check(
        json!({"emails": [{"value": "a", "primary": true}, {"value": "b", "primary": true}]}),
        json!({"emails": [{"value": "a", "primary": true}, {"value": "b", "primary": false}]}),
        &[Quirk::TwoPrimaries],
    );
    check(
        json!({"schemas": [USER, "http://schemas.microsoft.com/2006/11/X"], "title": "t"}),
        json!({"title": "t"}),
        &[Quirk::ForeignSchema],
    );
    check(json!({"schemas": ["urn:scim:schemas:core:1.0"]}), json!({}), &[Quirk::Scim1Urn]);
    check(
        json!({"schemas": [USER], ENTERPRISE: {"division": "d"}}),
        json!({ENTERPRISE: {"division": "d"}}),
        &[Quirk::UnlistedExtension],
    );
    check(
        json!({"name.givenName": "G", format!("{ENTERPRISE}:division"): "d"}),
        json!({"name": {"givenName": "G"}, ENTERPRISE: {"division": "d"}}),
        &[Quirk::PathAsKey],
    );
    check(json!({"emails": [null, {}]}), json!({}), &[Quirk::ExplicitNothing]);
}

#[test]
fn strict_refuses_what_leniency_takes() {
    for rest in [
        json!({"emails": {"value": "a"}}),
        json!({"active": "True"}),
        json!({"roles": ["admin"]}),
        json!({"title": {"value": "Dr"}}),
        json!({"favourite": 1}),
        json!({"name": {"petName": "x"}}),
        json!({"department": "D"}),
        json!({"name.givenName": "G"}),
        json!({"schemas": [USER, "urn:x:y"]}),
        json!({"schemas": ["urn:scim:schemas:core:1.0"]}),
        json!({"schemas": [USER], ENTERPRISE: {"division": "d"}}),
        json!({ENTERPRISE: {"manager": "m"}}),
        json!({ENTERPRISE: {"manager": [{"value": "m"}]}}),
        json!({"emails": [{"value": "a", "primary": true}, {"value": "b", "primary": true}]}),
    ] {
        let mut strict = Quirks::strict();
        refused(post("User", user(rest.clone()), &mut strict), "invalidValue");
        assert!(post("User", user(rest), &mut Quirks::lenient()).is_ok());
    }
    // What the RFCs ask for is no leniency.
    let body = user(json!({"id": "x", "meta": {}, "groups": [], "emails": [], "title": null}));
    assert!(post("User", body, &mut Quirks::strict()).is_ok());
}

#[test]
fn wrong_bodies() {
    let lenient = || Quirks::lenient();
    refused(post("User", json!([]), &mut lenient()), "invalidSyntax");
    for body in [
        json!({}),
        json!({"userName": "u"}),
        json!({"schemas": [], "userName": "u"}),
        json!({"schemas": USER, "userName": "u"}),
        json!({"schemas": [1], "userName": "u"}),
        json!({"schemas": [ENTERPRISE], "userName": "u"}),
        json!({"schemas": [USER, USER], "userName": "u"}),
        json!({"schemas": [USER]}),
        json!({"schemas": [USER], "userName": ""}),
        json!({"schemas": [USER], "userName": "  "}),
        json!({"schemas": [USER], "userName": null}),
    ] {
        refused(post("User", body, &mut lenient()), "invalidValue");
    }
    for rest in [
        json!({"userName": 1}),
        json!({"userName": true}),
        json!({"userName": ["a", "b"]}),
        json!({"active": 1}),
        json!({"active": "yes"}),
        json!({"name": "x"}),
        json!({"name": [{"givenName": "a"}, {"givenName": "b"}]}),
        json!({"emails": [[{"value": "a"}, {"value": "b"}]]}),
        json!({"emails": [{"value": {"a": 1, "b": 2}}]}),
        json!({"title": {"value": {"value": "x"}}}),
        json!({"x509Certificates": [{"value": "***"}]}),
        json!({"password": 5}),
        json!({ENTERPRISE: "x"}),
        json!({"emails.value": "x"}),
    ] {
        refused(post("User", user(rest), &mut lenient()), "invalidValue");
    }
    refused(post("Group", json!({"schemas": [GROUP]}), &mut lenient()), "invalidValue");
    refused(
        post("Group", json!({"schemas": [GROUP], "displayName": "g", "members": [{"display": "x"}]}), &mut lenient()),
        "invalidValue",
    );
    refused(
        post("Group", json!({"schemas": [GROUP], "displayName": "g", "members": [1]}), &mut lenient()),
        "invalidValue",
    );
}

#[test]
fn passwords_are_seen_and_dropped() {
    let parsed = post("User", user(json!({"password": "1mz050nq"})), &mut Quirks::strict()).expect("accepted");
    assert!(parsed.password_given && !format!("{parsed:?}").contains("1mz050nq"));
    assert!(!post("User", user(json!({"password": null})), &mut Quirks::strict()).expect("accepted").password_given);
}

#[test]
fn members() {
    let group = |members: Value| {
        let body = json!({"schemas": [GROUP], "displayName": "g", "members": members});
        post("Group", body, &mut Quirks::lenient()).expect("accepted").relation
    };
    assert_eq!(group(json!([])), Some(vec![]));
    assert_eq!(group(json!(null)), Some(vec![]));
    assert_eq!(
        group(
            json!([{"value": "a", "display": "A", "type": "User", "$ref": null}, {"VALUE": "a"}, "b", {"$ref": "https://x/Users/c"}, null])
        ),
        Some(vec![
            Reference { value: "a".into(), kind: Some("User".into()), display: Some("A".into()) },
            Reference::new("b"),
            Reference::new("c"),
        ])
    );
    let none = post("Group", json!({"schemas": [GROUP], "displayName": "g"}), &mut Quirks::strict()).expect("accepted");
    assert_eq!(none.relation, None);
    assert!(none.document.get("active").is_none());
}

#[test]
fn put_clears_what_it_leaves_out_but_active() {
    let put = |name: &str, current: Value, body: Value| {
        let current = current.as_object().expect("object").clone();
        replace(&rt(name), &current, body, &mut Quirks::lenient()).expect("accepted")
    };
    let current = json!({"userName": "u", "title": "t", "active": false, ENTERPRISE: {"department": "d"}});
    let got = put("User", current.clone(), user(json!({"id": "other", "nickName": "n"})));
    assert_eq!(Value::Object(got.document), json!({"userName": "u", "nickName": "n", "active": false}));
    assert_eq!(got.relation, None);
    assert_eq!(put("User", current.clone(), user(json!({"active": null}))).document["active"], false);
    assert_eq!(put("User", current, user(json!({"active": true}))).document["active"], true);
    let before = json!({"userName": "u", "active": true}).as_object().expect("object").clone();
    let off = replace_with(
        &rt("User"),
        &before,
        user(json!({})),
        Absent { active: AbsentActive::Off, ..Absent::default() },
        &mut Quirks::lenient(),
    );
    assert_eq!(off.expect("accepted").document["active"], false);
    // Pocket ID and Keycloak mean "none" by a group without members.
    let got = put("Group", json!({"displayName": "a"}), json!({"schemas": [GROUP], "displayName": "b"}));
    assert_eq!(got.relation, Some(vec![]));
}

#[test]
fn immutable_and_required_extensions() {
    let json_schema = r#"{"id":"urn:example:badge:1.0:User","name":"Badge","attributes":[
        {"name":"number","mutability":"immutable","required":true},
        {"name":"issued","type":"dateTime"},{"name":"level","type":"integer"},{"name":"rate","type":"decimal"}]}"#;
    let urn = "urn:example:badge:1.0:User";
    let registry = Registry::core().with_extension("User", json_schema, true).expect("loads");
    let rt = registry.user().expect("user").clone();
    let body = |badge: Value| json!({"schemas": [USER, urn], "userName": "u", urn: badge});
    let post = |badge: Value| create(&rt, body(badge), &mut Quirks::strict());
    refused(post(json!({})), "invalidValue");
    refused(post(json!({"level": 1})), "invalidValue");
    refused(create(&rt, json!({"schemas": [USER], "userName": "u"}), &mut Quirks::lenient()), "invalidValue");
    for bad in [
        json!({"level": 1.0}),
        json!({"level": "1"}),
        json!({"rate": "x"}),
        json!({"issued": "2011-05-13"}),
        json!({"issued": 5}),
    ] {
        let mut badge = json!({"number": "7"});
        badge.as_object_mut().expect("object").extend(bad.as_object().expect("object").clone());
        refused(post(badge), "invalidValue");
    }
    let ok = post(json!({"number": "7", "level": 3, "rate": 1.5, "issued": "2011-05-13T04:42:34Z"})).expect("accepted");
    assert_eq!(schemas_of(&rt, &ok.document), [USER, urn]);
    let put = |badge: Value| replace(&rt, &ok.document, body(badge), &mut Quirks::strict());
    assert!(put(json!({"number": "7"})).is_ok());
    refused(put(json!({"number": "8"})), "mutability");
    let kept = put(json!({"level": 4})).expect("keeps the number");
    assert_eq!(kept.document[urn], json!({"level": 4, "number": "7"}));
}

#[test]
fn schemas_follow_the_values() {
    let with: Document = json!({"userName": "u", ENTERPRISE: {"department": "d"}}).as_object().expect("object").clone();
    assert_eq!(schemas_of(&rt("User"), &with), [USER, ENTERPRISE]);
    let without: Document = json!({"userName": "u"}).as_object().expect("object").clone();
    assert_eq!(schemas_of(&rt("User"), &without), [USER]);
}
