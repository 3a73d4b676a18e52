//! PATCH: the RFC's semantics, and the requests that clients send.

mod clients;
mod differences;
mod laws;
mod members;
mod properties;
mod rules;

use scim::patch::{PatchRequest, Patched, apply};
use scim::{Document, Quirks, Registry, ResourceType, ScimError};
use serde_json::{Value, json};

const OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn rt(name: &str) -> ResourceType {
    Registry::core().resource_type(name).expect("core type").clone()
}

fn doc(value: Value) -> Document {
    value.as_object().expect("object").clone()
}

fn run(name: &str, current: &Value, operations: Value, quirks: &mut Quirks) -> Result<Patched, ScimError> {
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
    assert_eq!(Value::Object(got.document.clone()), Value::Object(expected.clone()), "{operations}");
    assert_eq!(got.changed.is_empty(), doc(user()) == expected, "{operations}");
    got
}

#[track_caller]
fn refused(operations: Value, kind: &str) {
    refused_by(operations, kind, &mut Quirks::lenient());
}

#[track_caller]
fn refused_by(operations: Value, kind: &str, quirks: &mut Quirks) {
    let error = run("User", &user(), operations.clone(), quirks).err();
    let got = error.as_ref().map(|e| (e.status, e.scim_type.map_or("", |t| t.as_str())));
    assert_eq!(got, Some((400, kind)), "{operations}: {error:?}");
}
