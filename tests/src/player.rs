//! Sequences of clients that live in `tests/clients`, played against an instance.
//!
//! A file is the way of one client: its steps in the form of the recorded sequences (method, path, query, headers, body,
//! what is expected, what is kept, and a look that proves the effect), what the directory and the target hold in the
//! end. [`Play::fails`] has every miss, so that one run tells all.

use std::path::Path;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Map, Value};

use crate::env::workspace;
use crate::http_client::{self, Answer};
use crate::scim::Scim;

/// A client's file.
#[derive(Clone, Debug)]
pub struct Client {
    /// The file's name without its end.
    pub name: String,
    /// The whole file.
    pub file: Value,
}

/// A play under way.
#[derive(Debug)]
pub struct Play<'a> {
    scim: &'a Scim,
    http: reqwest::Client,
    held: Map<String, Value>,
    /// What missed, a line each.
    pub fails: Vec<String>,
    /// Answered steps.
    pub steps: usize,
}

impl Client {
    /// Every client, by name.
    ///
    /// # Panics
    /// If a file cannot be read, is no JSON, or has no steps.
    pub fn all() -> Vec<Self> {
        let folder = workspace().join("tests/clients");
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut all: Vec<_> =
            entries.map(|entry| Self::read(&entry.expect("a folder can be read to its end").path())).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let client = Self { name, file };
        assert!(!client.steps().is_empty(), "{} has no steps", path.display());
        client
    }

    /// Its steps.
    pub fn steps(&self) -> &[Value] {
        self.file["steps"].as_array().map_or(&[], Vec::as_slice)
    }

    /// The longest that it waits for an answer.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.file["within_ms"].as_u64().unwrap_or(20_000))
    }
}

impl<'a> Play<'a> {
    /// Begins with nothing kept but the base URL and the key.
    pub fn new(scim: &'a Scim) -> Self {
        let mut held = Map::new();
        held.insert("baseUrl".to_owned(), scim.base.clone().into());
        held.insert("token".to_owned(), scim.key.clone().into());
        Self { scim, http: http_client::client(), held, fails: Vec::new(), steps: 0 }
    }

    /// Sends one step, compares its answer, keeps what it says, and looks at its effect.
    pub async fn step(&mut self, step: &Value, patience: Duration) {
        let name = step["name"].as_str().unwrap_or("a step without a name").to_owned();
        let before = self.fails.len();
        self.exchange(&name, step, &step["expect"], patience).await;
        if self.fails.len() == before && step["verify"].is_object() {
            let look = &step["verify"];
            self.exchange(&format!("{name}, its effect"), look, look, patience).await;
        }
        self.steps += 1;
    }

    async fn exchange(&mut self, name: &str, step: &Value, expect: &Value, patience: Duration) {
        let start = Instant::now();
        let answer = self.send(step).await;
        let took = start.elapsed();
        let mut fail = |what: String| self.fails.push(format!("{name}: {what}"));
        if took > patience {
            fail(format!("answered after {took:?}, the client waits {patience:?}"));
        }
        let statuses = expect["status"].as_array().cloned().unwrap_or_default();
        if !statuses.contains(&answer.status.into()) {
            fail(format!("{} instead of {statuses:?}: {}", answer.status, answer.text));
            return;
        }
        for (header, wanted) in expect["header_has"].as_object().into_iter().flatten() {
            let found = answer.header(header).map_or(Value::Null, Value::from);
            if !self.same(Some(&found), wanted) {
                self.fails.push(format!("{name}: the header {header} is {found}, wanted {wanted}"));
            }
        }
        let body: Value = serde_json::from_str(&answer.text).unwrap_or_default();
        for (pointer, wanted) in expect["body_has"].as_object().into_iter().flatten() {
            let found = body.pointer(pointer);
            if !self.same(found, wanted) {
                self.fails.push(format!("{name}: {pointer} is {found:?}, wanted {wanted}: {}", answer.text));
            }
        }
        for pointer in expect["body_absent"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if body.pointer(pointer).is_some() {
                self.fails.push(format!("{name}: {pointer} is there: {}", answer.text));
            }
        }
        for (key, pointer) in step["save"].as_object().into_iter().flatten() {
            match pointer.as_str().and_then(|pointer| body.pointer(pointer)) {
                Some(value) => drop(self.held.insert(key.clone(), value.clone())),
                None => self.fails.push(format!("{name}: nothing to keep at {pointer}: {}", answer.text)),
            }
        }
    }

    async fn send(&self, step: &Value) -> Answer {
        let mut url = format!("{}{}", self.scim.base, self.fill(step["path"].as_str().unwrap_or_default()));
        if let Some(raw) = step["raw_query"].as_str() {
            url = format!("{url}?{}", self.fill(raw));
        } else if let Some(query) = step["query"].as_object() {
            let mut pairs = url::form_urlencoded::Serializer::new(String::new());
            for (name, value) in query {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                pairs.append_pair(name, &self.fill(&text));
            }
            // `+` for a space has steps of its own.
            url = format!("{url}?{}", pairs.finish().replace('+', "%20"));
        }
        let body = match &step["body"] {
            Value::Null => None,
            Value::String(text) => Some(self.fill(text)),
            other => Some(self.fill(&other.to_string())),
        };
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, value) in step["headers"].as_object().into_iter().flatten() {
            headers.push((name.to_lowercase(), self.fill(value.as_str().unwrap_or_default())));
        }
        let mut default = |name: &str, value: String| {
            if !headers.iter().any(|(known, _)| known == name) {
                headers.push((name.to_owned(), value));
            }
        };
        default("authorization", format!("Bearer {}", self.scim.key));
        if body.is_some() {
            default("content-type", "application/scim+json".to_owned());
        }
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let method = Method::from_bytes(step["method"].as_str().unwrap_or("GET").as_bytes())
            .unwrap_or_else(|error| panic!("the method of {step}: {error}"));
        http_client::send(&self.http, method, &url, &headers, body)
            .await
            .unwrap_or_else(|error| panic!("no answer to {url}: {error}"))
    }

    fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.held {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text = text.replace(&format!("{{{{{name}}}}}"), &value);
        }
        text
    }

    /// Whether a value is what a file wants: itself, `{"type": …}`, `{"count": n}` of a list, or `{"has": text}`.
    fn same(&self, found: Option<&Value>, wanted: &Value) -> bool {
        let Some(found) = found else { return false };
        if let Some(wanted) = wanted.as_object().filter(|wanted| wanted.len() == 1) {
            if let Some(kind) = wanted.get("type").and_then(Value::as_str) {
                return match kind {
                    "string" => found.is_string(),
                    "integer" => found.is_u64(),
                    "boolean" => found.is_boolean(),
                    "array" => found.is_array(),
                    "object" => found.is_object(),
                    other => panic!("no type {other}"),
                };
            }
            if let Some(count) = wanted.get("count") {
                return found.as_array().map(Vec::len) == count.as_u64().and_then(|n| usize::try_from(n).ok());
            }
            if let Some(part) = wanted.get("has").and_then(Value::as_str) {
                return found.as_str().is_some_and(|text| text.contains(&self.fill(part)));
            }
        }
        match wanted {
            Value::String(text) => found.as_str() == Some(self.fill(text).as_str()),
            other => found == other,
        }
    }
}
