//! What holds for any operations.

use proptest::prelude::*;
use scim::patch::{PatchRequest, fold_edits};
use scim::resource::schemas_of;
use scim::{Quirk, Quirks};
use serde_json::{Value, json};

use crate::{OP, doc, rt, run, user};

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
            prop::collection::vec((key.clone(), inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
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

/// Whether what `operation` writes is what it selects by: repeated, it selects something else.
fn undoes_its_filter(operation: &Value) -> bool {
    let filter = operation["path"].as_str().and_then(|path| path.split_once('[')?.1.split_once(']'));
    let Some((filter, "")) = filter else { return false };
    let written = operation["value"].to_string();
    filter.split(|c: char| !c.is_alphanumeric()).any(|word| !word.is_empty() && written.contains(word))
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
                // A new user without `active` is active; a PATCH may leave it unassigned.
                let mut want = got.document;
                if !group {
                    want.entry("active").or_insert(json!(true));
                }
                prop_assert_eq!(again.map(|p| p.document).map_err(|e| e.to_string()), Ok(want));
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
        prop_assume!(!undoes_its_filter(&operation));
        let once = run("User", &user(), json!([operation]), &mut Quirks::lenient());
        if let Ok(once) = once {
            let again = run("User", &Value::Object(once.document.clone()), json!([operation]), &mut Quirks::lenient());
            if let Ok(again) = again {
                prop_assert_eq!(again.document, once.document);
            }
        }
    }
}
