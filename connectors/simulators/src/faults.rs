//! Faults on order (`POST /_sim/faults`).

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

/// The longest delay: longer than any client waits.
const MAX_DELAY_MS: u64 = 600_000;

/// What a fault does to the call that it strikes.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// Answers this and does no work.
    Answer(Box<Response<Bytes>>),
    /// Waits, then handles the call as usual.
    Delay(Duration),
    /// Closes the connection and does no work.
    DropBefore,
    /// Does the work and closes the connection without an answer.
    DropAfter,
}

#[derive(Clone, Debug)]
pub(crate) struct Fault {
    method: Option<Method>,
    path: Option<Regex>,
    left: u64,
    effect: Effect,
    /// As it was ordered, for `GET /_sim/faults`.
    ordered: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ordered {
    #[serde(default, rename = "match")]
    matches: Matches,
    #[serde(default = "once")]
    times: u64,
    #[serde(rename = "do")]
    does: Does,
}

fn once() -> u64 {
    1
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Matches {
    method: Option<String>,
    path: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Does {
    status: Option<u16>,
    headers: Option<serde_json::Map<String, Value>>,
    body: Option<Value>,
    delay_ms: Option<u64>,
    drop: Option<String>,
}

/// Reads a list of faults.
///
/// # Errors
/// A text that says which one is wrong, and how.
pub(crate) fn parse(body: &[u8]) -> Result<Vec<Fault>, String> {
    let list: Vec<Value> =
        serde_json::from_slice(body).map_err(|e| format!("the body must be a JSON list of faults: {e}"))?;
    list.into_iter().enumerate().map(|(i, value)| one(value).map_err(|e| format!("fault {i}: {e}"))).collect()
}

fn one(ordered: Value) -> Result<Fault, String> {
    let Ordered { matches, times, does } = serde_json::from_value(ordered.clone()).map_err(|e| e.to_string())?;
    if times == 0 {
        return Err("`times` must be at least 1".to_owned());
    }
    let method = matches
        .method
        .map(|m| Method::from_bytes(m.to_ascii_uppercase().as_bytes()))
        .transpose()
        .map_err(|_| "`match.method` is not an HTTP method".to_owned())?;
    let path = matches.path.map(|p| Regex::new(&p)).transpose().map_err(|e| format!("`match.path`: {e}"))?;
    Ok(Fault { method, path, left: times, effect: effect(does)?, ordered })
}

fn effect(does: Does) -> Result<Effect, String> {
    match does {
        Does { status: Some(status), headers, body, delay_ms: None, drop: None } => {
            answer(status, headers.unwrap_or_default(), body).map(|r| Effect::Answer(Box::new(r)))
        }
        Does { status: None, headers: None, body: None, delay_ms: Some(ms), drop: None } if ms <= MAX_DELAY_MS => {
            Ok(Effect::Delay(Duration::from_millis(ms)))
        }
        Does { delay_ms: Some(ms), .. } if ms > MAX_DELAY_MS => Err(format!("`do.delay_ms` is at most {MAX_DELAY_MS}")),
        Does { status: None, headers: None, body: None, delay_ms: None, drop: Some(when) } => match when.as_str() {
            "before" => Ok(Effect::DropBefore),
            "after" => Ok(Effect::DropAfter),
            _ => Err("`do.drop` is \"before\" or \"after\"".to_owned()),
        },
        _ => Err("`do` must be one of {\"status\",\"headers\"?,\"body\"?}, {\"delay_ms\"}, {\"drop\"}".to_owned()),
    }
}

fn answer(
    status: u16,
    headers: serde_json::Map<String, Value>,
    body: Option<Value>,
) -> Result<Response<Bytes>, String> {
    let status = StatusCode::from_u16(status)
        .ok()
        // A 1xx is not a final answer.
        .filter(|s| s.as_u16() >= 200)
        .ok_or("`do.status` must be from 200 to 999")?;
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let text = match value {
            Value::String(text) => text,
            Value::Number(n) => n.to_string(),
            _ => return Err(format!("`do.headers.{name}` must be a text or a number")),
        };
        let name = HeaderName::try_from(name).map_err(|_| "`do.headers` has a bad name")?;
        let value = HeaderValue::try_from(text).map_err(|_| format!("`do.headers.{name}` is no header value"))?;
        map.append(name, value);
    }
    let (body, json) = match body {
        None | Some(Value::Null) => (Bytes::new(), false),
        Some(Value::String(text)) => (Bytes::from(text), false),
        Some(value) => (Bytes::from(value.to_string()), true),
    };
    if json && !map.contains_key(http::header::CONTENT_TYPE) {
        map.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    }
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = map;
    Ok(response)
}

#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, more: Vec<Fault>) {
        self.0.extend(more);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// How many wait for their call.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The waiting ones as ordered, `times` being what is left.
    pub(crate) fn list(&self) -> Vec<Value> {
        self.0
            .iter()
            .map(|fault| {
                let mut value = fault.ordered.clone();
                value["times"] = fault.left.into();
                value
            })
            .collect()
    }

    /// The first one that matches this call, used up by one. A path pattern may mean the path
    /// alone or the path with its query.
    pub(crate) fn strike(&mut self, method: &Method, uri: &http::Uri) -> Option<Effect> {
        let whole = uri.path_and_query().map_or("/", |p| p.as_str());
        let index = self.0.iter().position(|fault| {
            fault.method.as_ref().is_none_or(|m| m == method)
                && fault.path.as_ref().is_none_or(|p| p.is_match(uri.path()) || p.is_match(whole))
        })?;
        let fault = self.0.get_mut(index)?;
        let effect = fault.effect.clone();
        fault.left -= 1;
        if fault.left == 0 {
            self.0.remove(index);
        }
        Some(effect)
    }
}
