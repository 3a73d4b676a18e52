//! A real server, the connector built for it, and a wire between the two.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use connector_sdk::{
    AccountRef, Call, Connector, Cx, Effect, Fault, FaultKind, Person, RemoteId, Reply, Secrets, Transport,
};
use http::StatusCode;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use tests::http_client;
use tests::scim_server::ScimServer;

/// What passed: method, path with query, whether it was conditional, the status.
struct Passed {
    method: String,
    path: String,
    conditional: bool,
    status: u16,
}

/// HTTP as it is.
struct Wire {
    client: reqwest::Client,
    passed: Mutex<Vec<Passed>>,
}

#[async_trait]
impl Transport for Wire {
    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        let headers: Vec<(String, String)> = call
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().expect("a header is text").to_owned()))
            .collect();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let body = String::from_utf8(call.body.to_vec()).expect("a body is text");
        let body = Some(body).filter(|body| !body.is_empty());
        let answer = http_client::send(&self.client, call.method.clone(), call.url.as_str(), &headers, body).await;
        let answer = answer.map_err(|error| {
            Fault::new(FaultKind::Unavailable, "The server does not answer.")
                .effect(Effect::Unknown)
                .context(error.to_string())
        })?;
        let path = call.url.as_str().to_owned();
        self.passed.lock().expect("nobody panicked").push(Passed {
            method: call.method.to_string(),
            path,
            conditional: call.headers.contains_key("if-match"),
            status: answer.status,
        });
        let status = StatusCode::from_u16(answer.status).expect("it is a status");
        Ok(Reply::new(status, answer.headers, answer.text.into(), now()))
    }
}

/// A time that stands still: tokens and what was discovered hold for the whole test.
fn now() -> Timestamp {
    "2026-01-05T08:00:00Z".parse().expect("it is a time")
}

/// A server, and the connector for it.
pub(crate) struct Stage {
    pub(crate) title: String,
    pub(crate) connector: Arc<dyn Connector>,
    wire: Wire,
    // Ends with the stage.
    server: ScimServer,
}

/// A person of a document.
pub(crate) fn person(document: &Value) -> Person {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut person = Person::named(document["userName"].as_str().expect("it has a name"));
    person.email = text(&document["emails"][0]["value"]);
    person.display_name = text(&document["displayName"]);
    person.attributes = document.as_object().cloned().expect("a document is an object");
    person
}

/// The id of an account.
pub(crate) fn id(at: &AccountRef) -> &str {
    match at {
        AccountRef::Account { id, .. } => id.as_str(),
        AccountRef::Invite { id, .. } => id.as_str(),
    }
}

fn build(settings: &Value, secrets: &[(&str, &str)]) -> Arc<dyn Connector> {
    let secrets = secrets.iter().map(|(name, text)| ((*name).to_owned(), SecretString::from(*text)));
    let entry = connectors::builtin().into_iter().find(|entry| entry.name == "scim").expect("it is built in");
    entry.build(settings, &Secrets::new(secrets)).unwrap_or_else(|error| panic!("{error}"))
}

fn with(mut settings: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().into_iter().flatten() {
        settings[name] = value.clone();
    }
    settings
}

impl Stage {
    fn new(server: ScimServer, settings: &Value) -> Self {
        let secrets = server.secrets.as_object().into_iter().flatten();
        let secrets: Vec<(&str, &str)> =
            secrets.map(|(name, text)| (name.as_str(), text.as_str().expect("a secret is text"))).collect();
        let connector = build(&with(server.settings.clone(), settings), &secrets);
        let wire = Wire { client: http_client::client(), passed: Mutex::default() };
        Self { title: server.title.to_owned(), connector, wire, server }
    }

    /// scim2-server, which says that it can do what `config` holds.
    pub(crate) async fn scim2_server(test: &str, config: Option<Value>, settings: Value) -> Option<Self> {
        Some(Self::new(ScimServer::scim2_server(test, config).await?, &settings))
    }

    /// canaille.
    pub(crate) async fn canaille(test: &str) -> Option<Self> {
        Some(Self::new(ScimServer::canaille(test).await?, &json!({})))
    }

    pub(crate) fn cx(&self) -> Cx<'_> {
        Cx::new(&self.wire, now())
    }

    /// A resource by the server's own API, not by the connector.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.server.get(path).await
    }

    /// The members of a group as the connector lists them, sorted.
    pub(crate) async fn members(&self, group: &RemoteId) -> Vec<String> {
        let groups = self.connector.groups().expect("it has groups");
        let page = groups.members(&self.cx(), group, None).await;
        let page = page.unwrap_or_else(|fault| panic!("{}: {fault:?}", self.title));
        let mut ids: Vec<String> = page.items.iter().map(|member| id(&member.account).to_owned()).collect();
        ids.sort();
        ids
    }

    /// The members of a group as the server tells them, sorted; people who stand in by name are left out.
    pub(crate) async fn members_told(&self, group: &RemoteId) -> Vec<String> {
        let group = self.get(&format!("/Groups/{group}")).await;
        let members = group["members"].as_array().cloned().unwrap_or_default();
        let mut ids: Vec<String> = members
            .iter()
            .map(|member| member["value"].as_str().unwrap_or_default().to_owned())
            .filter(|value| Some(value.as_str()) != self.server.placeholder)
            .collect();
        ids.sort();
        ids
    }

    fn count(&self, which: impl Fn(&Passed) -> bool) -> usize {
        self.wire.passed.lock().expect("nobody panicked").iter().filter(|one| which(one)).count()
    }

    /// How many calls by this method were made.
    pub(crate) fn sent(&self, method: &str) -> usize {
        self.count(|one| one.method == method)
    }

    /// How many calls have this in their address.
    pub(crate) fn asked(&self, part: &str) -> usize {
        self.count(|one| one.path.contains(part))
    }

    /// How many calls by this method were conditional on a version.
    pub(crate) fn conditional(&self, method: &str) -> usize {
        self.count(|one| one.method == method && one.conditional)
    }

    /// That the server was never made to fail.
    pub(crate) fn no_malformed(&self) {
        let broken = self.count(|one| one.status >= 500);
        let passed = self.wire.passed.lock().expect("nobody panicked");
        let which: Vec<String> = passed
            .iter()
            .filter(|one| one.status >= 500)
            .map(|one| format!("{} {} {}", one.method, one.path, one.status))
            .collect();
        assert_eq!(broken, 0, "{}: {which:?}", self.title);
    }
}
