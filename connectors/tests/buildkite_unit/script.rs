//! A scripted target, and what its answers look like.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use connector_sdk::{AccountRef, Call, Connector, Entry, Fault, InviteId, Person, RemoteId, Reply, Secrets, Transport};
use connectors::buildkite::Buildkite;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};

pub(crate) const TOKEN: &str = "bkua_0123456789abcdef";
pub(crate) const OWN: &str = "0190aaaa-0000-4000-8000-00000000000f";
pub(crate) const ADA: &str = "0190aaaa-0000-4000-8000-000000000001";
pub(crate) const INVITE: &str = "0190bbbb-0000-4000-8000-000000000002";
pub(crate) const TEAM: &str = "0190cccc-0000-4000-8000-000000000003";

/// One scripted answer.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: String,
}

pub(crate) fn answer(status: u16, body: Value) -> Answer {
    let body = match body {
        Value::Null => String::new(),
        other => other.to_string(),
    };
    Answer { status, headers: Vec::new(), body }
}

/// Plays answers to `METHOD path` in turn; the last of a kind repeats. Everything else is a 404.
#[derive(Default)]
pub(crate) struct Script {
    answers: Mutex<Vec<(String, VecDeque<Answer>)>>,
    calls: Mutex<Vec<(String, Value)>>,
}

impl Script {
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls.iter().map(|(what, _)| what.clone()).collect()
    }

    pub(crate) fn body_of(&self, what: &str) -> Value {
        let calls = self.calls.lock().unwrap();
        let found = calls.iter().find(|(known, _)| known == what);
        found.map(|(_, body)| body.clone()).unwrap_or_default()
    }
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        let path = call.url.path().replace("/v2/organizations/acme", "");
        let what = format!("{} {}", call.method, path);
        assert_eq!(call.headers["authorization"].to_str().unwrap(), format!("Bearer {TOKEN}"));
        assert!(!format!("{call:?}").contains(TOKEN));
        let body = serde_json::from_slice(&call.body).unwrap_or_default();
        self.calls.lock().unwrap().push((what.clone(), body));
        let mut answers = self.answers.lock().unwrap();
        let scripted = answers.iter_mut().find(|(known, _)| *known == what);
        let answer = match scripted {
            Some((_, queue)) if queue.len() > 1 => queue.pop_front().unwrap(),
            Some((_, queue)) => queue.front().unwrap().clone(),
            None => answer(404, json!({ "message": "No such resource found" })),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in answer.headers {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Ok(Reply::new(StatusCode::from_u16(answer.status).unwrap(), headers, Bytes::from(answer.body), now()))
    }
}

pub(crate) fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

pub(crate) fn connector_of(settings: Value) -> Arc<dyn Connector> {
    let secrets = Secrets::new([("token".to_owned(), SecretString::from(TOKEN))]);
    Entry::of::<Buildkite>().build(&settings, &secrets).unwrap()
}

/// A connector and a target that knows the organisation and the credential's own user, plus what
/// is given.
pub(crate) fn stage(answers: Vec<(&str, Vec<Answer>)>) -> (Arc<dyn Connector>, Script) {
    let mut all: Vec<(String, VecDeque<Answer>)> =
        answers.into_iter().map(|(what, list)| (what.to_owned(), list.into())).collect();
    let org = answer(200, json!({ "id": "01", "graphql_id": "T3Jn", "slug": "acme" }));
    let own = answer(200, json!({ "id": OWN, "name": "Robot", "email": "robot@corp.example" }));
    for (what, one) in [("GET ", org), ("GET /v2/user", own)] {
        if all.iter().all(|(known, _)| known != what) {
            all.push((what.to_owned(), [one].into()));
        }
    }
    let script = Script { answers: Mutex::new(all), ..Script::default() };
    (connector_of(json!({ "org": "acme" })), script)
}

pub(crate) fn ada() -> Person {
    let mut person = Person::named("Ada@Corp.example");
    person.email = Some("Ada@Corp.example".to_owned());
    person
}

pub(crate) fn member(id: &str) -> AccountRef {
    AccountRef::Account { id: RemoteId::new(id), login: None }
}

pub(crate) fn invited() -> AccountRef {
    AccountRef::Invite { id: InviteId::new(INVITE), email: None, login: None }
}

pub(crate) fn member_body(role: &str) -> Value {
    json!({ "id": ADA, "name": "Ada", "email": "ada@corp.example", "role": role, "sso_mode": "required" })
}

pub(crate) fn invitation(state: &str) -> Value {
    json!({ "id": INVITE, "email": "ada@corp.example", "state": state, "role": "member", "teams": [],
        "accepted_by": if state == "accepted" { json!({ "id": ADA, "name": "Ada", "email": "other@home.example" }) } else { Value::Null } })
}

pub(crate) fn pending(items: Vec<Value>) -> Answer {
    answer(200, json!({ "items": items, "links": { "self": "https://x" } }))
}

pub(crate) fn found_members(nodes: Vec<Value>) -> Answer {
    let edges: Vec<Value> = nodes.into_iter().map(|node| json!({ "node": node })).collect();
    answer(200, json!({ "data": { "organization": { "members": { "edges": edges } } } }))
}

pub(crate) fn node(email: &str) -> Value {
    json!({ "role": "MEMBER", "user": { "uuid": ADA, "name": "Ada", "email": email } })
}

pub(crate) const GRAPHQL: &str = "POST /v1";

pub(crate) fn refused(message: &str) -> Answer {
    answer(422, json!({ "message": message }))
}
