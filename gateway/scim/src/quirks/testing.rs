//! How units are tested: the offending request, with the unit on and with it off.
use serde_json::{Value, json};

use super::{Quirk, QuirkSet, Quirks};
use crate::error::ScimError;
use crate::filter::{Filter, FilterLimits, check_with};
use crate::patch::{Base, PatchRequest, apply, fold_edits};
use crate::resource::{self, Document, Parsed};
use crate::schema::{Registry, ResourceType};
use crate::urn;

/// The manager attribute as a path.
pub(super) const MANAGER: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager";

/// Runs a request with all units on, then with this one off. `off` is what is taken then, or the `scimType`.
#[track_caller]
pub(super) fn check(
    quirk: Quirk,
    run: impl Fn(&mut Quirks) -> Result<Value, ScimError>,
    on: Value,
    off: Result<Value, &str>,
) {
    let mut lenient = Quirks::lenient();
    assert_eq!(run(&mut lenient), Ok(on), "{} on", quirk.name());
    assert!(lenient.used(quirk), "{} is recorded: {lenient:?}", quirk.name());
    let mut without = Quirks::without(QuirkSet::from_iter([quirk]));
    let got = run(&mut without);
    let got = got.map_err(|e| e.scim_type.map_or_else(|| e.status.to_string(), |kind| kind.to_string()));
    assert_eq!(got.as_ref().map_err(String::as_str), off.as_ref().map_err(|kind| *kind), "{} off", quirk.name());
    assert_eq!(without.used(quirk), !quirk.is_leniency(), "{} off: {without:?}", quirk.name());
}

pub(super) fn rt(kind: &str) -> ResourceType {
    Registry::core().resource_type(kind).expect("a core type").clone()
}

/// POST: the document, with `members` if the body has some.
pub(super) fn post(kind: &'static str, body: Value) -> impl Fn(&mut Quirks) -> Result<Value, ScimError> {
    move |quirks| resource::create(&rt(kind), body.clone(), quirks).map(shown)
}

/// POST of a user with these attributes besides `userName`.
pub(super) fn user(attributes: Value) -> impl Fn(&mut Quirks) -> Result<Value, ScimError> {
    let mut body = json!({"schemas": [urn::USER, urn::ENTERPRISE_USER], "userName": "u"});
    merge(&mut body, attributes);
    post("User", body)
}

/// What a POST of a user stores: its name, that it is active, and these.
pub(super) fn stored(attributes: Value) -> Value {
    let mut out = json!({"userName": "u", "active": true});
    merge(&mut out, attributes);
    out
}

fn merge(into: &mut Value, from: Value) {
    let into = into.as_object_mut().expect("an object");
    into.extend(from.as_object().expect("an object").clone());
}

fn shown(parsed: Parsed) -> Value {
    let mut out = parsed.document;
    if let Some(members) = parsed.relation {
        out.insert("members".into(), members.iter().map(|m| json!(m.value)).collect());
    }
    Value::Object(out)
}

/// PATCH of a user `{userName: u, active: true}` and these attributes.
pub(super) fn patch(attributes: Value, operations: Value) -> impl Fn(&mut Quirks) -> Result<Value, ScimError> {
    patch_of("User", stored(attributes), json!({"schemas": [urn::PATCH_OP], "Operations": operations}))
}

/// PATCH of a group: what becomes of its name and members.
pub(super) fn patch_group(operations: Value) -> impl Fn(&mut Quirks) -> Result<Value, ScimError> {
    patch_of("Group", json!({"displayName": "g"}), json!({"schemas": [urn::PATCH_OP], "Operations": operations}))
}

pub(super) fn patch_of(
    kind: &'static str,
    current: Value,
    body: Value,
) -> impl Fn(&mut Quirks) -> Result<Value, ScimError> {
    move |quirks| {
        let request = PatchRequest::parse(body.clone(), quirks)?;
        let current: Document = current.as_object().expect("an object").clone();
        let patched = apply(&rt(kind), &current, &request, quirks)?;
        let mut out = patched.document;
        let net = fold_edits(&patched.edits);
        if !net.is_empty() {
            out.insert("members".into(), json!({"all_out": net.base == Base::Clear, "want": net.want}));
        }
        Ok(Value::Object(out))
    }
}

/// A filter, read and checked, in canonical form.
pub(super) fn filter(text: &'static str) -> impl Fn(&mut Quirks) -> Result<Value, ScimError> {
    move |quirks| {
        let filter = Filter::parse(text, &FilterLimits::default(), quirks)?;
        check_with(&filter, &rt("User"), quirks)?;
        Ok(json!(filter.to_string()))
    }
}
