//! How resources look in answers.

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use serde_json::{Map, Value, json};

use super::discovery::ENTERPRISE;
use super::document::{child, reply};
use super::rules::Rules;
use super::world::{Kind, Stored};

/// What an answer is asked to hold (RFC 7644 section 3.9).
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) attributes: Option<Vec<String>>,
    pub(super) excluded: Vec<String>,
}

impl Wanted {
    fn takes(&self, name: &str) -> bool {
        let named =
            |list: &[String]| list.iter().any(|one| one.split('.').next().unwrap_or(one).eq_ignore_ascii_case(name));
        match &self.attributes {
            Some(attributes) => named(attributes),
            None => !named(&self.excluded),
        }
    }

    /// Whether an attribute was asked for by its name.
    fn asks(&self, name: &str) -> bool {
        self.attributes.as_ref().is_some_and(|all| all.iter().any(|one| one.eq_ignore_ascii_case(name)))
    }
}

/// A version (RFC 7644 section 3.14).
pub(super) fn version(stored: &Stored) -> String {
    format!("W/\"{}\"", stored.version)
}

/// A resource. `groups` of a person are given where the answer is about that person alone.
pub(super) fn resource(
    kind: Kind,
    stored: &Stored,
    rules: &Rules,
    wanted: &Wanted,
    location: &str,
    groups: &[(&str, &str)],
) -> Value {
    let mut whole = Map::new();
    if rules.schemas {
        let mut schemas = vec![kind.schema()];
        if child(&stored.doc, ENTERPRISE).is_some() {
            schemas.push(ENTERPRISE);
        }
        whole.insert("schemas".to_owned(), json!(schemas));
    }
    whole.insert("id".to_owned(), json!(stored.id));
    for (name, value) in &stored.doc {
        let hidden = name.eq_ignore_ascii_case("members") && rules.hide_members && !wanted.asks("members");
        if wanted.takes(name) && !hidden {
            whole.insert(name.clone(), value.clone());
        }
    }
    if !groups.is_empty() && wanted.takes("groups") {
        let groups: Vec<Value> = groups.iter().map(|(id, name)| json!({ "value": id, "display": name })).collect();
        whole.insert("groups".to_owned(), Value::Array(groups));
    }
    if wanted.takes("meta") {
        let mut meta = json!({
            "resourceType": kind.name(), "created": stored.created.to_string(),
            "lastModified": stored.modified.to_string(), "location": location,
        });
        if rules.etag {
            meta["version"] = Value::from(version(stored));
        }
        whole.insert("meta".to_owned(), meta);
    }
    let mut whole = Value::Object(whole);
    if rules.text_booleans {
        as_text(&mut whole);
    }
    whole
}

/// Booleans as some servers write them.
fn as_text(value: &mut Value) {
    match value {
        Value::Bool(true) => *value = json!("True"),
        Value::Bool(false) => *value = json!("False"),
        Value::Array(items) => items.iter_mut().for_each(as_text),
        Value::Object(map) => map.values_mut().for_each(as_text),
        _ => {}
    }
}

/// An answer that is one resource.
pub(super) fn answer(status: u16, body: &Value, stored: &Stored, rules: &Rules) -> Response<Bytes> {
    let mut response = reply(status, body, rules.plain_json);
    let mut set = |name: header::HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            response.headers_mut().insert(name, value);
        }
    };
    if rules.etag {
        set(header::ETAG, &version(stored));
    }
    if let Some(location) = body["meta"]["location"].as_str().filter(|_| status == 201) {
        set(header::LOCATION, location);
    }
    response
}

/// The address of a person: the primary one, else the first.
pub(super) fn email(user: &Stored) -> Option<&str> {
    let emails = child(&user.doc, "emails")?.as_array()?;
    let email = emails.iter().find(|email| email["primary"] == true).or_else(|| emails.first())?;
    email["value"].as_str()
}

/// A person in the control API.
pub(super) fn account(user: &Stored) -> Value {
    json!({ "id": user.id, "login": user.text("userName"), "email": email(user), "active": user.active() })
}
