//! A target of prepared answers, and short words for what the tests of the GitHub connector need.

#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test file uses its part")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails fails its test")]

pub use std::sync::{Arc, Mutex};

pub use async_trait::async_trait;
pub use bytes::Bytes;
pub use connector_sdk::{
    AccountChange, AccountRef, Call, Connector, ConnectorKind, Created, Cx, Describe, DriverKey, Effect, Ended,
    Evidence, Fault, FaultKind, Followed, GroupChange, GroupCreated, GroupUpdated, GroupWant, InviteId, Kind,
    Membership, PageToken, Person, RemoteId, Removed, Reply, Retry, Secrets, SettingsError, Transport, Updated,
};
pub use connectors::github::{GitHub, Settings};
pub use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
pub use jiff::{SignedDuration, Timestamp};
pub use secrecy::SecretString;
pub use serde_json::{Value, json};

pub const NOW: i64 = 1_767_225_600;

pub fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

pub fn after(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

/// One prepared answer: for `METHOD path?query` beginning with `at`.
#[derive(Clone)]
pub struct Answer {
    at: String,
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    /// How often it is given; then the next that fits.
    times: usize,
}

pub fn on(at: &str, status: u16, body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    Answer { at: at.to_owned(), status, headers: Vec::new(), body, times: usize::MAX }
}

impl Answer {
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn once(mut self) -> Self {
        self.times = 1;
        self
    }
}

/// A target that gives prepared answers and remembers what it was asked.
#[derive(Default)]
pub struct Fake {
    pub answers: Mutex<Vec<Answer>>,
    pub calls: Mutex<Vec<Call>>,
}

impl Fake {
    pub fn new(answers: Vec<Answer>) -> Self {
        Self { answers: Mutex::new(answers), calls: Mutex::default() }
    }

    pub fn asked(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls.iter().map(line).collect()
    }

    pub fn writes(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|call| call.repeat != connector_sdk::Repeat::Read).map(line).collect()
    }

    pub fn body(&self, n: usize) -> Value {
        serde_json::from_slice(&self.calls.lock().unwrap()[n].body).unwrap()
    }
}

pub fn line(call: &Call) -> String {
    let query = call.url.query().map(|q| format!("?{q}")).unwrap_or_default();
    format!("{} {}{query}", call.method, call.url.path())
}

#[async_trait]
impl Transport for Fake {
    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        let line = line(&call);
        let text = format!("{line} {}", String::from_utf8_lossy(&call.body));
        self.calls.lock().unwrap().push(call);
        let mut answers = self.answers.lock().unwrap();
        let found = answers
            .iter_mut()
            .find(|answer| answer.times > 0 && text.starts_with(&answer.at))
            .unwrap_or_else(|| panic!("no answer for {text}"));
        found.times -= 1;
        let mut headers = HeaderMap::new();
        for (name, value) in &found.headers {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        Ok(Reply::new(StatusCode::from_u16(found.status).unwrap(), headers, Bytes::from(found.body.clone()), now()))
    }
}

/// A transport whose calls never come back.
pub struct Lost;

#[async_trait]
impl Transport for Lost {
    async fn send(&self, _: Call) -> Result<Reply, Fault> {
        Err(Fault::new(FaultKind::Timeout, "no answer"))
    }
}

pub fn try_build(settings: Value, secrets: &[(&str, &str)]) -> Result<Arc<dyn Connector>, SettingsError> {
    let secrets =
        Secrets::new(secrets.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from((*value).to_owned()))));
    connector_sdk::settings::check(&Settings::describe(), &settings, &secrets)?;
    let settings: Settings = connector_sdk::settings::read(&settings)?;
    GitHub::build(settings, &secrets)
}

pub fn build(extra: Value) -> Arc<dyn Connector> {
    let mut settings = json!({ "org": "acme" });
    for (key, value) in extra.as_object().unwrap() {
        settings[key] = value.clone();
    }
    try_build(settings, &[("token", "ghp_secret")]).unwrap()
}

pub fn by(identity: &str) -> Arc<dyn Connector> {
    build(json!({ "identity": identity }))
}

pub fn person(user_name: &str, email: Option<&str>) -> Person {
    let mut person = Person::named(user_name);
    person.email = email.map(str::to_owned);
    person
}

pub fn account(id: &str, login: &str) -> AccountRef {
    AccountRef::Account { id: RemoteId::new(id), login: Some(login.to_owned()) }
}

pub fn invite(id: &str) -> AccountRef {
    AccountRef::Invite { id: InviteId::new(id), email: Some("ada@corp.example".to_owned()), login: None }
}

pub fn membership(id: u64, login: &str, state: &str, role: &str) -> Value {
    json!({"url": "x", "state": state, "role": role, "user": {"id": id, "login": login}})
}

pub fn invitation(id: u64, login: Option<&str>, email: Option<&str>) -> Value {
    json!({"id": id, "login": login, "email": email, "role": "direct_member", "created_at": "2026-01-01T00:00:00Z", "failed_at": null, "failed_reason": null})
}

pub fn own() -> Answer {
    on("GET /user ", 200, json!({"id": 1, "login": "bot"}))
}

pub fn owners() -> Answer {
    on("GET /orgs/acme/members?role=admin", 200, json!([{"id": 1, "login": "bot"}, {"id": 2, "login": "boss"}]))
}

pub fn inside() -> Answer {
    on("GET /orgs/acme/memberships/bot ", 200, membership(1, "bot", "active", "admin"))
}

pub fn org() -> Answer {
    on("GET /orgs/acme ", 200, json!({"id": 4242, "login": "acme"}))
}

pub fn invalid(code: &str, field: &str, message: &str) -> Value {
    json!({"message": "Validation Failed", "errors": [{"resource": "X", "code": code, "field": field, "message": message}]})
}
