//! Calls of a target's API as they went over the boundary, for the checkers of vendors' schemas.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use connector_sdk::{Call, Fault, Reply, Transport};
use serde_json::Value;

/// One call with its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The call's name, as the connector gave it; empty where nobody did.
    pub name: String,
    /// The method.
    pub method: String,
    /// The path below the API's base URL, with its query.
    pub path: String,
    /// The request's body; null if it had none.
    pub request: Value,
    /// The answer's status.
    pub status: u16,
    /// The answer's body; null if it had none, text if it was no JSON.
    pub reply: Value,
}

/// A transport that writes down what passes through it.
pub struct Recorder<T> {
    inner: T,
    base_paths: Vec<String>,
    seen: Arc<Mutex<Vec<Exchange>>>,
}

impl<T> Recorder<T> {
    /// Records what goes to `inner`. A path of `base_paths` at the front of a call's path is left
    /// out of the record; the longest goes first.
    pub fn new(inner: T, base_paths: &[&str]) -> Self {
        let mut base_paths: Vec<_> = base_paths
            .iter()
            .map(|path| path.trim_end_matches('/').to_owned())
            .filter(|path| !path.is_empty())
            .collect();
        base_paths.sort_by_key(|path| std::cmp::Reverse(path.len()));
        Self { inner, base_paths, seen: Arc::default() }
    }

    /// What passed so far.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn path(&self, call: &Call) -> String {
        let path = call.url.path();
        let path = self.base_paths.iter().find_map(|base| path.strip_prefix(base.as_str())).unwrap_or(path);
        match call.url.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        }
    }
}

#[async_trait]
impl<T: Transport> Transport for Recorder<T> {
    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        let name = call.name.to_owned();
        let method = call.method.to_string();
        let path = self.path(&call);
        let request = body(&call.body);
        let answer = self.inner.send(call).await;
        if let Ok(reply) = &answer {
            let exchange =
                Exchange { name, method, path, request, status: reply.status.as_u16(), reply: body(&reply.body) };
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
        }
        answer
    }
}

fn body(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}
