//! Documents, what is wrong with them, and how refusals look (RFC 7644 section 3.12).

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};

/// A request that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) scim_type: Option<&'static str>,
    pub(super) detail: String,
}

impl Refusal {
    pub(super) fn new(status: u16, scim_type: Option<&'static str>, detail: impl Into<String>) -> Self {
        Self { status, scim_type, detail: detail.into() }
    }

    pub(super) fn bad(scim_type: &'static str, detail: impl Into<String>) -> Self {
        Self::new(400, Some(scim_type), detail)
    }

    pub(super) fn missing(what: &str) -> Self {
        Self::new(404, None, format!("{what} was not found"))
    }

    pub(super) fn body(&self) -> Value {
        let mut body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": self.status.to_string(),
            "detail": self.detail,
        });
        if let Some(scim_type) = self.scim_type {
            body["scimType"] = Value::from(scim_type);
        }
        body
    }
}

/// A JSON answer.
pub(super) fn reply(status: u16, body: &Value, plain: bool) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if plain { "application/json; charset=utf-8" } else { "application/scim+json" };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// 204.
pub(super) fn no_content() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A value by its name, in any case.
pub(super) fn child<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).or_else(|| map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

/// The name under which a value is there, else the one it is asked for by.
pub(super) fn key(map: &Map<String, Value>, name: &str) -> String {
    map.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned().unwrap_or_else(|| name.to_owned())
}

/// Puts values into a document: objects are merged; a list is replaced, or added to.
pub(super) fn merge(doc: &mut Map<String, Value>, values: &Map<String, Value>, add: bool) {
    for (name, value) in values {
        // `name.givenName` and `urn:…:User:title` as names of a value without a path: some clients send them.
        let steps = super::filter::path(name).unwrap_or_else(|| vec![name.clone()]);
        let Some((last, before)) = steps.split_last() else { continue };
        let mut at = &mut *doc;
        for step in before {
            let name = key(at, step);
            let next = at.entry(name).or_insert_with(|| Value::Object(Map::new()));
            if !next.is_object() {
                *next = Value::Object(Map::new());
            }
            match next.as_object_mut() {
                Some(map) => at = map,
                None => return,
            }
        }
        let name = key(at, last);
        match (at.get_mut(&name), value) {
            (_, Value::Null) => {
                at.remove(&name);
            }
            (Some(Value::Object(there)), Value::Object(new)) => merge(there, new, add),
            (Some(Value::Array(there)), new) if add => {
                let new = new.as_array().cloned().unwrap_or_else(|| vec![new.clone()]);
                for one in new {
                    let value = |entry: &Value| entry.get("value").cloned();
                    if !there.iter().any(|has| *has == one || (value(has).is_some() && value(has) == value(&one))) {
                        there.push(one);
                    }
                }
            }
            (_, new) => {
                at.insert(name, new.clone());
            }
        }
    }
}
