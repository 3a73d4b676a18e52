//! What holds for PATCH whatever the values are, with every leniency off.
use proptest::prelude::*;
use scim::Quirks;
use scim::resource::{create, replace};
use serde_json::{Map, Value, json};

use crate::{ENTERPRISE, doc, rt, run, user};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

fn patched(current: &Value, operations: Value) -> Value {
    let got = run("User", current, operations.clone(), &mut Quirks::strict());
    assert!(got.is_ok(), "{operations}: {got:?}");
    Value::Object(got.expect("checked just above").document)
}

/// Attributes and values that fit them; paths with and without URN and case.
fn any_set() -> impl Strategy<Value = (String, Value)> {
    let word = "[a-z]{1,3}";
    let email = (word, "work|home|other").prop_map(|(value, kind)| json!({"value": value, "type": kind}));
    prop_oneof![
        ("title|nickName|displayName|externalId|TITLE", word).prop_map(|(name, text)| (name, json!(text))),
        ("(name|NAME)\\.(givenName|middleName|familyname)", word).prop_map(|(name, text)| (name, json!(text))),
        ("department|division|costCenter", word).prop_map(|(name, text)| (format!("{ENTERPRISE}:{name}"), json!(text))),
        word.prop_map(|text| (format!("{USER}:title"), json!(text))),
        prop::collection::vec(email, 1..4).prop_map(|emails| ("emails".to_owned(), json!(emails))),
        any::<bool>().prop_map(|active| ("active".to_owned(), json!(active))),
    ]
}

/// What a path names in a document.
fn at<'d>(document: &'d Value, path: &str) -> &'d Value {
    let (schema, rest) = match path.rsplit_once(':') {
        Some((USER, rest)) => (document, rest),
        Some((urn, rest)) => (&document[urn], rest),
        None => (document, path),
    };
    let find = |object: &'d Value, name: &str| {
        let found = object.as_object().and_then(|map| map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)));
        found.map_or(&Value::Null, |(_, value)| value)
    };
    rest.split('.').fold(schema, find)
}

fn distinct(list: &Value) -> Vec<&Value> {
    let mut seen: Vec<&Value> = Vec::new();
    for item in list.as_array().into_iter().flatten() {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

proptest! {
    #[test]
    fn what_is_replaced_can_be_read((path, value) in any_set()) {
        let after = patched(&user(), json!([{"op": "replace", "path": path, "value": value}]));
        let got = at(&after, &path);
        if value.is_array() {
            prop_assert_eq!(distinct(got), distinct(&value));
        } else {
            prop_assert_eq!(got, &value);
        }
        // Nothing else has changed: what was there is put back, and all is as it was.
        let before = at(&user(), &path).clone();
        let undo = if before.is_null() { json!({"op": "remove", "path": path}) } else { json!({"op": "replace", "path": path, "value": before}) };
        prop_assert_eq!(patched(&after, json!([undo])), user());
    }

    #[test]
    fn what_is_added_is_there_with_what_was((path, value) in any_set()) {
        let after = patched(&user(), json!([{"op": "add", "path": path, "value": value}]));
        let got = at(&after, &path);
        if value.is_array() {
            for item in distinct(&value).into_iter().chain(distinct(at(&user(), &path))) {
                let has = |one: &Value| one["value"] == item["value"] && one["type"] == item["type"];
                prop_assert_eq!(got.as_array().expect("a list").iter().filter(|one| has(one)).count(), 1);
            }
        } else {
            prop_assert_eq!(got, &value);
        }
        prop_assert_eq!(patched(&after, json!([{"op": "add", "path": path, "value": value}])), after);
    }

    /// An attribute named in the path is one named in the value.
    #[test]
    fn a_path_says_what_a_key_says((path, value) in any_set(), op in "add|replace") {
        prop_assume!(!path.contains('.') && !path.contains(':'));
        let by_path = patched(&user(), json!([{"op": op, "path": path, "value": value}]));
        let by_key = patched(&user(), json!([{"op": op, "value": {path: value}}]));
        prop_assert_eq!(by_path, by_key);
    }

    /// Two operations in one request are two requests.
    #[test]
    fn operations_follow_one_another(a in any_set(), b in any_set(), ops in "(add|replace) (add|replace)") {
        let (first, second) = ops.split_once(' ').expect("two words");
        let one = json!({"op": first, "path": a.0, "value": a.1});
        let two = json!({"op": second, "path": b.0, "value": b.1});
        let after_one = patched(&user(), json!([one]));
        prop_assert_eq!(patched(&user(), json!([one, two])), patched(&after_one, json!([two])));
    }

    /// A PATCH that replaces every attribute is a PUT.
    #[test]
    fn replacing_everything_is_a_put(sets in prop::collection::vec(any_set(), 0..5)) {
        let mut made = json!({"userName": "u", "active": true});
        for (path, value) in &sets {
            made = patched(&made, json!([{"op": "replace", "path": path, "value": value}]));
        }
        let mut put = made.as_object().expect("an object").clone();
        let mut schemas = vec![USER];
        if put.contains_key(ENTERPRISE) {
            schemas.push(ENTERPRISE);
        }
        put.insert("schemas".into(), json!(schemas));
        let body = Value::Object(put);
        let by_put = replace(&rt("User"), &doc(user()), body.clone(), &mut Quirks::strict()).expect("a user").document;
        prop_assert_eq!(Value::Object(by_put.clone()), made);
        let by_post = create(&rt("User"), body, &mut Quirks::strict()).expect("a user").document;
        prop_assert_eq!(by_post, by_put);
    }

    /// Whatever cannot be done leaves nothing behind, wherever in the request it stands.
    #[test]
    fn one_bad_operation_undoes_all(sets in prop::collection::vec(any_set(), 0..4), place in 0_usize..4, bad in 0_usize..6) {
        let bad = [
            json!({"op": "replace", "path": "id", "value": "x"}),
            json!({"op": "remove", "path": "userName"}),
            json!({"op": "replace", "path": "emails[type eq \"none\"]", "value": {"value": "x"}}),
            json!({"op": "add", "path": "active", "value": "maybe"}),
            json!({"op": "add", "path": "emails[", "value": "x"}),
            json!({"op": "remove"}),
        ][bad].clone();
        let mut all: Vec<Value> = sets.iter().map(|(path, value)| json!({"op": "add", "path": path, "value": value})).collect();
        all.insert(place.min(all.len()), bad);
        prop_assert!(run("User", &user(), json!(all), &mut Quirks::strict()).is_err());
    }

    /// An element is found by its value and removed; what else there is stays.
    #[test]
    fn removing_what_was_added_leaves_what_was(value in "[a-z]{4}") {
        let added = patched(&user(), json!([{"op": "add", "path": "ims", "value": [{"value": value}, {"value": "keep"}]}]));
        let removed = patched(&added, json!([{"op": "remove", "path": format!("ims[value eq \"{}\"]", value.to_uppercase())}]));
        let left: Map<String, Value> = doc(removed).into_iter().filter(|(name, _)| name != "ims").collect();
        prop_assert_eq!(Value::Object(left), user());
    }
}
