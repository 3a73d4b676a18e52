//! A simulated GitHub in the test's own process, under a clock that stands still.

use bytes::Bytes;
use http::{HeaderMap, Request};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use simulators::{Clock, Limits, Simulator};

/// What a call gave.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().unwrap())
    }
}

pub(crate) struct Hub {
    pub(crate) simulator: Simulator,
    pub(crate) clock: Clock,
    /// The token in use.
    pub(crate) token: String,
}

impl Hub {
    pub(crate) fn new(limits: Limits) -> Self {
        let clock = Clock::manual("2026-03-01T12:00:00Z".parse().unwrap());
        let target = simulators::target("github", limits).unwrap();
        let simulator = Simulator::new(target, limits, clock.clone());
        let offer = simulator.offer("http://localhost");
        let token = offer["secrets"]["token"].as_str().unwrap().to_owned();
        Self { simulator, clock, token }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    /// `METHOD /path`, with these headers and no others.
    pub(crate) fn raw(&self, call: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let (method, path) = call.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = request.body(body).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let response = runtime.block_on(self.simulator.handle(request)).unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(crate) fn send(&self, call: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("user-agent", "test"), ("authorization", bearer.as_str()), ("host", "hub.test")];
        self.raw(call, &headers, body)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), &Value::Null)
    }

    /// Turns knobs.
    pub(crate) fn set(&self, what: &Value) {
        let answer = self.send("POST /_sim/set", what);
        assert_eq!(answer.status, 200, "set {what}: {answer:?}");
    }

    pub(crate) fn state(&self) -> Value {
        self.get("/_sim/state").body
    }

    /// Runs a script: call, body, expected status, and what the answer must hold at least.
    pub(crate) fn check(&self, script: &[(&str, Value, u16, Value)]) {
        for (index, (call, body, status, expected)) in script.iter().enumerate() {
            let answer = self.send(call, body);
            assert_eq!(answer.status, *status, "step {index} {call}: {answer:#?}");
            assert!(holds(&answer.body, expected), "step {index} {call}: expected {expected:#} in {:#}", answer.body);
        }
    }

    /// Every item of a listing, by its `Link` headers.
    pub(crate) fn all(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let answer = self.get(&path);
            assert_eq!(answer.status, 200, "{path}");
            items.extend(answer.body.as_array().unwrap().iter().cloned());
            next = link(&answer, "next");
        }
        items
    }
}

/// Where a relation leads, as a path.
pub(crate) fn link(answer: &Answer, rel: &str) -> Option<String> {
    let links = answer.header("link")?;
    let wanted = format!("rel=\"{rel}\"");
    let found = links.split(", ").find(|l| l.ends_with(&wanted))?;
    let url = found.split(['<', '>']).nth(1).unwrap();
    Some(url.strip_prefix("http://hub.test").unwrap().to_owned())
}

/// Whether everything expected is there: objects may hold more, lists may not. Nothing expected is
/// there always.
pub(crate) fn holds(actual: &Value, expected: &Value) -> bool {
    expected.is_null() || same(actual, expected)
}

fn same(actual: &Value, expected: &Value) -> bool {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            expected.iter().all(|(key, value)| actual.get(key).is_some_and(|a| same(a, value)))
        }
        (Value::Array(actual), Value::Array(expected)) => {
            actual.len() == expected.len() && actual.iter().zip(expected).all(|(a, e)| same(a, e))
        }
        _ => actual == expected,
    }
}
