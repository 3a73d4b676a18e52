//! A target that plays given answers, and one that passes calls on to a simulator and writes them down.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use connector_sdk::{Call, Connector, Created, Cx, Fault, Person, Reply, Secrets, Transport};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use simulators::Limits;

use crate::support::{self, Sim};

pub(crate) fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().expect("it is a time")
}

/// One answer: status, headers, body.
pub(crate) type Answer = (u16, Vec<(&'static str, String)>, Value);

/// Plays answers one after the other; the last repeats.
pub(crate) struct Played {
    answers: Mutex<VecDeque<Answer>>,
    calls: Mutex<Vec<&'static str>>,
}

impl Played {
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { answers: Mutex::new(answers.into_iter().collect()), calls: Mutex::default() }
    }

    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().expect("no test panics with it").clone()
    }
}

#[async_trait]
impl Transport for Played {
    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        self.calls.lock().expect("no test panics with it").push(call.name);
        let mut answers = self.answers.lock().expect("no test panics with it");
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Ok(reply(answer.expect("there is an answer")))
    }
}

pub(crate) fn reply((status, headers, body): Answer) -> Reply {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_str(&value).expect("a header"));
    }
    Reply::new(StatusCode::from_u16(status).expect("a status"), map, Bytes::from(body.to_string()), now())
}

/// A connector of that name with these settings; every credential is `secret-NAME`.
pub(crate) fn built(name: &str, settings: Value, secrets: &[(&str, &str)]) -> Arc<dyn Connector> {
    let entry = connectors::builtin().into_iter().find(|entry| entry.name == name).expect("it is built in");
    let secrets = Secrets::new(secrets.iter().map(|(name, text)| ((*name).to_owned(), SecretString::from(*text))));
    entry.build(&settings, &secrets).expect("the settings are sound")
}

/// A simulator, the connector for it, and the names of the calls that pass.
pub(crate) struct Stage {
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) sim: Arc<Sim>,
    calls: Mutex<Vec<&'static str>>,
}

impl Stage {
    pub(crate) fn new(target: &str, limits: Limits, settings: Value) -> Self {
        let built = support::build(target, limits, &settings, false, |_| Vec::new());
        Self { connector: built.connector, sim: built.sim, calls: Mutex::default() }
    }

    pub(crate) fn cx(&self) -> Cx<'_> {
        Cx::new(self, self.sim.clock.now())
    }

    pub(crate) async fn set(&self, knobs: Value) {
        self.control("POST", "/_sim/set", knobs).await;
    }

    pub(crate) async fn control(&self, method: &str, path: &str, body: Value) -> Value {
        use connector_sdk::kit::World as _;
        self.sim.control(method, path, body).await.expect("the control API takes it")
    }

    pub(crate) async fn state(&self) -> Value {
        self.control("GET", "/_sim/state", Value::Null).await
    }

    /// The names of the calls since the last time.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.calls.lock().expect("no test panics with it"))
    }

    pub(crate) async fn create(&self, who: &Person) -> Result<Created, Fault> {
        self.connector.accounts().expect("it has people").create(&self.cx(), who).await
    }
}

#[async_trait]
impl Transport for Stage {
    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        self.calls.lock().expect("no test panics with it").push(call.name);
        self.sim.send(call).await
    }
}

pub(crate) fn person(email: &str) -> Person {
    let mut person = Person::named(email);
    person.email = Some(email.to_owned());
    person
}

/// A person and her accepted account.
pub(crate) async fn accepted(stage: &Stage, email: &str) -> connector_sdk::AccountRef {
    let who = person(email);
    stage.create(&who).await.expect("she is invited");
    stage.control("POST", "/_sim/accept", json!({ "email": email })).await;
    let found = stage.connector.accounts().expect("it has people").find(&stage.cx(), &who).await.expect("it answers");
    found.first().and_then(|found| found.account.reference()).expect("she is there")
}
