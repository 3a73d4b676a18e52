//! What the characteristics of attributes do to values. The numbers are those of the items of RFC 7643 in
//! `docs/scim-conformance.md`.
use proptest::prelude::*;
use scim::compare::{fits, key};
use scim::patch::{PatchRequest, apply};
use scim::resource::{add_written, create, on_request_in, replace};
use scim::schema::{AttrType, Attribute, Declarations, Mutability, Returned, Uniqueness, extension_urn};
use scim::syntax::{is_reference, is_relative};
use scim::{Document, Quirks, Registry, ResourceType};
use serde_json::{Value, json};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

fn user() -> ResourceType {
    Registry::core().user().expect("core type").clone()
}

fn body(rest: Value) -> Value {
    let mut body = json!({"schemas": [USER], "userName": "u"});
    body.as_object_mut().expect("object").extend(rest.as_object().expect("object").clone());
    body
}

fn declared(attribute: Value) -> ResourceType {
    let mut attribute = attribute;
    attribute["resource_type"] = json!("User");
    let declarations = Declarations::read(&json!({"attributes": [attribute]})).expect("readable");
    Registry::core().declare(&declarations).expect("declared").user().expect("core type").clone()
}

/// The document after PATCH operations.
fn patched(rt: &ResourceType, before: &Document, operations: Value) -> Result<Document, String> {
    let mut quirks = Quirks::lenient();
    let request =
        PatchRequest::parse(json!({"schemas": [PATCH], "Operations": operations}), &mut quirks).expect("a PATCH");
    apply(rt, before, &request, &mut quirks).map(|done| done.document).map_err(|error| error.detail)
}

#[test]
fn defaults() {
    let attribute: Attribute = serde_json::from_value(json!({"name": "a"})).expect("an attribute");
    assert_eq!((attribute.kind, attribute.mutability), (AttrType::String, Mutability::ReadWrite)); // 3
    assert_eq!((attribute.returned, attribute.uniqueness), (Returned::Default, Uniqueness::None));
    assert!(!(attribute.required || attribute.case_exact || attribute.multi_valued));
    // 43: what can only be written is never returned, whatever is said of it.
    let rt = declared(json!({"name": "pin", "mutability": "writeOnly", "returned": "always"}));
    assert_eq!(rt.schema.attribute("pin").map(|a| a.returned), Some(Returned::Never));
    assert_eq!(extension_urn("github", "User"), "urn:scimgate:params:scim:schemas:extension:github:2.0:User");
}

#[test]
fn values_that_are_one_are_there_once() {
    // 12: one pair of type and value is one value; the first spelling stays, what else a later one says is taken over.
    let check = |given: Value, want: Value| {
        let parsed = create(&user(), body(json!({"emails": given.clone()})), &mut Quirks::lenient()).expect("accepted");
        assert_eq!(parsed.document["emails"], want, "{given}");
        let before = create(&user(), body(json!({})), &mut Quirks::lenient()).expect("accepted").document;
        let after =
            patched(&user(), &before, json!([{"op": "add", "path": "emails", "value": given}])).expect("accepted");
        assert_eq!(after["emails"], want, "PATCH");
        let again =
            patched(&user(), &after, json!([{"op": "add", "path": "emails", "value": want}])).expect("accepted");
        assert_eq!(again, after);
    };
    check(
        json!([{"type": "work", "value": "A@x"}, {"type": "Work", "value": "a@X", "display": "D"}]),
        json!([{"type": "work", "value": "A@x", "display": "D"}]),
    );
    check(
        json!([{"type": "work", "value": "a"}, {"type": "home", "value": "a"}, {"value": "a"}]),
        json!([{"type": "work", "value": "a"}, {"type": "home", "value": "a"}, {"value": "a"}]),
    );
    check(
        json!([{"value": "a", "primary": true}, {"value": "a", "primary": false}]),
        json!([{"value": "a", "primary": true}]),
    );
    let streets = json!({"addresses": [{"type": "work", "locality": "A"}, {"type": "work", "locality": "B"}]});
    let parsed = create(&user(), body(streets.clone()), &mut Quirks::lenient()).expect("accepted");
    assert_eq!(parsed.document["addresses"], streets["addresses"]);
}

#[test]
fn forms_are_insisted_on_in_strict_mode() {
    for (item, attributes, ok) in [
        (
            28,
            json!({"preferredLanguage": "en-US, de;q=0.5", "locale": "zh-Hant-TW", "timezone": "America/Argentina/Salta"}),
            true,
        ),
        (28, json!({"locale": "L"}), false),
        (28, json!({"preferredLanguage": "a language"}), false),
        (28, json!({"timezone": "half past nine"}), false),
        (29, json!({"phoneNumbers": [{"value": "tel:+1-201-555-0123;ext=5"}, {"value": "+1 (201) 555 0123"}]}), true),
        (29, json!({"phoneNumbers": [{"value": "call me"}]}), false),
        (29, json!({"photos": [{"value": "https://example.com/p.jpg"}]}), true),
        (29, json!({"x509Certificates": [{"value": "aGVsbG8="}]}), false),
        (8, json!({"profileUrl": "../people/ada"}), true),
        (183, json!({"addresses": [{"country": "DE"}]}), true),
        (183, json!({"addresses": [{"country": "Germany"}]}), false),
        (183, json!({"addresses": [{"country": "de"}]}), false),
    ] {
        let strict = create(&user(), body(attributes.clone()), &mut Quirks::strict());
        assert_eq!(strict.is_ok(), ok, "{item} {attributes}: {strict:?}");
        let lenient = create(&user(), body(attributes.clone()), &mut Quirks::lenient()).expect("accepted");
        for (name, value) in attributes.as_object().expect("object") {
            assert_eq!(&lenient.document[name], value, "{item}: kept byte for byte");
        }
    }
    // Certainly wrong in any mode.
    for attributes in [
        json!({"profileUrl": "not a uri"}),
        json!({"photos": [{"value": "<img>"}]}),
        json!({"x509Certificates": [{"value": "MAAwAA=="}]}),
    ] {
        assert!(create(&user(), body(attributes.clone()), &mut Quirks::lenient()).is_err(), "{attributes}");
    }
}

#[test]
fn references() {
    for (text, valid, relative) in [
        ("https://example.com/a?b#c", true, false),
        ("urn:x:y", true, false),
        ("../Users/1", true, true),
        ("Users/1:2", true, true),
        ("#a", true, true),
        ("https://b\u{fc}cher.example/", true, false),
        ("a b", false, true),
        ("a\nb", false, true),
        ("{x}", false, true),
    ] {
        assert_eq!((is_reference(text), is_relative(text)), (valid, relative), "{text:?}");
    }
}

#[test]
fn what_is_set_once_keeps_its_first_spelling() {
    for (rest, equal, other) in [
        (json!({}), json!("x"), json!("y")),
        (json!({"multiValued": true}), json!(["b", "a"]), json!(["a"])),
        (json!({"type": "dateTime"}), json!("2026-01-01T02:00:00+02:00"), json!("2026-01-01T02:00:00Z")),
        (json!({"type": "decimal"}), json!(2), json!(2.5)),
    ] {
        let mut attribute = json!({"name": "origin", "mutability": "immutable"});
        attribute.as_object_mut().expect("object").extend(rest.as_object().expect("object").clone());
        let rt = declared(attribute);
        let first = match rest["type"].as_str() {
            Some("dateTime") => json!("2026-01-01T00:00:00Z"),
            Some(_) => json!(2.0),
            None if rest["multiValued"] == true => json!(["A", "b"]),
            None => json!("X"),
        };
        let before = create(&rt, body(json!({"origin": first})), &mut Quirks::lenient()).expect("accepted").document;
        let put = |value: &Value| replace(&rt, &before, body(json!({"origin": value})), &mut Quirks::lenient());
        let step = |value: &Value| patched(&rt, &before, json!([{"op": "replace", "path": "origin", "value": value}]));
        assert_eq!(put(&equal).expect("the same").document["origin"], first, "42");
        assert_eq!(step(&equal).expect("the same")["origin"], first, "42");
        assert!(put(&other).is_err() && step(&other).is_err(), "42 {other}");
    }
}

#[test]
fn what_a_request_wrote_is_in_its_answer() {
    let rt = declared(json!({"name": "remark", "returned": "request", "schema": "urn:x:y:2.0:User"}));
    let urn = "urn:x:y:2.0:User";
    let path = format!("{urn}:remark");
    for (request, found) in [
        (body(json!({urn: {"remark": "r"}})), true),
        (body(json!({"REMARK": "r"})), true),
        (body(json!({"title": "r"})), false),
        (json!({"Operations": [{"op": "add", "path": path, "value": "r"}]}), true),
        (json!({"operations": [{"op": "add", "value": {"title": "r", path.clone(): "r"}}]}), true),
        (json!({"Operations": [{"op": "add", "path": "title", "value": "remark"}, 7]}), false),
        (json!([]), false),
    ] {
        let written = on_request_in(&rt, &request);
        assert_eq!(!written.is_empty(), found, "46 {request}");
        let document = json!({urn: {"remark": "r"}});
        let mut answer = Document::new();
        add_written(&rt, &written, document.as_object().expect("object"), &mut answer);
        assert_eq!(answer.contains_key(urn), found);
    }
    assert!(on_request_in(&user(), &body(json!({"title": "t"}))).is_empty());
}

proptest! {
    /// 10, 48: order and, where it does not count, case make no difference; shape does.
    #[test]
    fn equality_is_the_schemas(a in "[a-c]{1,3}", b in "[a-c]{1,3}", n in 0_u8..3) {
        let emails = user().schema.attribute("emails").cloned().expect("emails");
        let one = json!([{"value": a, "type": "work"}, {"type": b, "primary": true}]);
        let two = json!([{"primary": true, "type": b.to_uppercase()}, {"type": "WORK", "value": a.to_uppercase()}]);
        prop_assert_eq!(key(&emails, &one), key(&emails, &two));
        prop_assert!(fits(&emails, &one) && !fits(&emails, &one[0]));
        let other = json!([{"value": format!("{a}{n}"), "type": "work"}, {"type": b, "primary": true}]);
        prop_assert!(key(&emails, &one) != key(&emails, &other));
    }

    /// Reading declarations never panics, and what is read can be declared or is refused.
    #[test]
    fn declarations_never_panic(name in "\\PC{0,12}", urn in "(urn:[a-z:.0-9]{0,12}|core|enterprise|\\PC{0,8})", kind in "[a-z]{0,8}") {
        let text = json!({"attributes": [{"resource_type": "User", "schema": urn, "name": name, "type": kind}],
            "resource_types": [{"name": name, "endpoint": kind, "schema": {"id": urn, "attributes": [{"name": name}]}}]});
        if let Ok(declarations) = Declarations::read(&text) {
            let _ = Registry::core().declare(&declarations);
        }
    }
}
