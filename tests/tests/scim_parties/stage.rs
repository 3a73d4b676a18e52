//! A real server, the connector built for it, and a wire between the two.

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use connector_sdk::{
    AccountRef, Call, Connector, Cx, Effect, Fault, FaultKind, Person, RemoteId, Reply, Secrets, Transport,
};
use http::{Method, StatusCode};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use tests::http_client;
use tests::party::{Party, free_port, program, run};

/// The token of servers that take one as they start.
const TOKEN: &str = "third-party-token";

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
    base: String,
    token: String,
    // Ends with the stage.
    _party: Party,
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
    fn new(title: &str, connector: Arc<dyn Connector>, base: String, token: String, party: Party) -> Self {
        let wire = Wire { client: http_client::client(), passed: Mutex::default() };
        Self { title: title.to_owned(), connector, wire, base, token, _party: party }
    }

    /// scim2-server, which says that it can do what `config` holds.
    pub(crate) async fn scim2_server(test: &str, config: Option<Value>, settings: Value) -> Option<Self> {
        let program = program(test, "scim2-server")?;
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let port = free_port();
        let mut args = vec!["--port".to_owned(), port.to_string(), "--bearer-token".to_owned(), TOKEN.to_owned()];
        if let Some(config) = &config {
            std::fs::write(folder.path().join("config.json"), config.to_string()).expect("it can be written");
            args.extend(["--service-provider-config".to_owned(), "config.json".to_owned()]);
        }
        let party = Party::start(&program, &args, folder, port).await;
        let base = format!("http://127.0.0.1:{port}/v2");
        let connector = build(&with(json!({ "base_url": base }), &settings), &[("token", TOKEN)]);
        Some(Self::new("scim2-server", connector, base, TOKEN.to_owned(), party))
    }

    /// canaille on a database of its own, with a client that gets its tokens by client credentials.
    pub(crate) async fn canaille(test: &str) -> Option<Self> {
        let program = program(test, "canaille")?;
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let port = free_port();
        let config = "SECRET_KEY = \"test\"\n[CANAILLE]\nNAME = \"Test\"\nDATABASE = \"sql\"\n\
                      [CANAILLE_SQL]\nDATABASE_URI = \"sqlite:///canaille.sqlite\"\n";
        std::fs::write(folder.path().join("canaille.toml"), config).expect("it can be written");
        run(&program, &["install"], folder.path()).await;
        let client = [
            "create",
            "client",
            "--client-id",
            "scimgate",
            "--client-name",
            "scimgate",
            "--client-secret",
            "third-party-secret",
            "--token-endpoint-auth-method",
            "client_secret_basic",
            "--grant-types",
            "client_credentials",
            "--scope",
            "openid",
        ];
        run(&program, &client, folder.path()).await;
        placeholder(&program, folder.path()).await;
        let party = Party::start(&program, &["run", "--bind", &format!("127.0.0.1:{port}")], folder, port).await;
        let origin = format!("http://127.0.0.1:{port}");
        let base = format!("{origin}/scim/v2");
        let settings = json!({
            "base_url": base, "auth": "oauth2", "token_url": format!("{origin}/oauth/token"),
            "client_id": "scimgate", "page_size": 0, "look_before_create": true, "patch": "no", "member_value": "user_name",
            "placeholder_member": "placeholder",
        });
        let connector = build(&settings, &[("client_secret", "third-party-secret")]);
        let token = token(&origin).await;
        Some(Self::new("canaille", connector, base, token, party))
    }

    pub(crate) fn cx(&self) -> Cx<'_> {
        Cx::new(&self.wire, now())
    }

    /// A resource by the server's own API, not by the connector.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let bearer = format!("Bearer {}", self.token);
        let url = format!("{}{path}", self.base);
        let answer = http_client::send(&self.wire.client, Method::GET, &url, &[("authorization", &bearer)], None).await;
        answer.unwrap_or_else(|error| panic!("{}: {error}", self.title)).expect(200)
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
            .filter(|value| value != "placeholder")
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

/// Makes the account that stands in canaille's groups, which may not be empty.
async fn placeholder(program: &Path, folder: &Path) {
    let args = [
        "create",
        "user",
        "--user-name",
        "placeholder",
        "--formatted-name",
        "Placeholder",
        "--family-name",
        "Placeholder",
        "--display-name",
        "Placeholder",
        "--emails",
        "placeholder@example.com",
    ];
    run(program, &args, folder).await;
}

async fn token(origin: &str) -> String {
    let client = http_client::client();
    // "scimgate:third-party-secret"
    let basic = "Basic c2NpbWdhdGU6dGhpcmQtcGFydHktc2VjcmV0";
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", basic)];
    let body = Some("grant_type=client_credentials".to_owned());
    let answer = http_client::send(&client, Method::POST, &format!("{origin}/oauth/token"), &headers, body).await;
    let answer = answer.unwrap_or_else(|error| panic!("{error}")).expect(200);
    answer["access_token"].as_str().unwrap_or_else(|| panic!("no token in {answer}")).to_owned()
}
