//! Every request of a manifest, rendered offline with sample data.

use std::sync::Arc;

use connector_sdk::{AccountRef, InviteId, Person, RemoteId, Secrets};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::accounts::{People, account_value};
use crate::auth::{Ready, TOKEN_CALL};
use crate::build;
use crate::client::Client;
use crate::expr::{Scope, from_json};
use crate::plan::Plan;
use crate::request::Request;

/// What stands for a secret.
const HIDDEN: &str = "***";

/// Whom and what a preview speaks of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sample {
    /// The person.
    pub person: Person,
    /// The id of their account at the target.
    pub account_id: String,
    /// Their login at the target.
    pub account_login: String,
    /// The id of a pending invitation.
    pub invite_id: String,
    /// The name of the group.
    pub group_name: String,
    /// The id of the group at the target.
    pub group_id: String,
    /// What the target shows of the object that is changed, for requests that send it back whole.
    pub item: Value,
}

impl Default for Sample {
    fn default() -> Self {
        let mut person = Person::named("ada@example.com");
        person.email = Some("ada@example.com".to_owned());
        person.display_name = Some("Ada Lovelace".to_owned());
        if let Value::Object(attributes) =
            json!({ "userName": "ada@example.com", "name": { "givenName": "Ada", "familyName": "Lovelace" } })
        {
            person.attributes = attributes;
        }
        Self {
            person,
            account_id: "1001".to_owned(),
            account_login: "ada".to_owned(),
            invite_id: "2001".to_owned(),
            group_name: "Platform".to_owned(),
            group_id: "3001".to_owned(),
            item: json!({}),
        }
    }
}

/// One request as it would be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// The operation in the manifest: `accounts.create`.
    pub operation: String,
    /// The call's name in attempts and metrics: `create account`.
    pub call: String,
    /// Whether it writes.
    pub writes: bool,
    /// The method.
    pub method: String,
    /// The whole URL; secrets are `***`.
    pub url: String,
    /// The headers; secrets are `***`.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: Option<String>,
    /// Why it could not be rendered with this sample, where it could not.
    pub problem: Option<String>,
    /// What it will hold beside what is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Rendered {
    fn failed(operation: &str, call: &str, problem: String) -> Self {
        Self {
            operation: operation.to_owned(),
            call: call.to_owned(),
            writes: false,
            method: String::new(),
            url: String::new(),
            headers: Vec::new(),
            body: None,
            problem: Some(problem),
            note: None,
        }
    }
}

/// Renders every request.
pub(crate) fn preview(plan: &Arc<Plan>, settings: &Value, sample: &Sample) -> Vec<Rendered> {
    let secrets = plan.model.secrets.iter().map(|secret| (secret.name.clone(), SecretString::from(HIDDEN)));
    let client = match build::client(plan, settings, &Secrets::new(secrets)) {
        Ok(client) => Arc::new(client),
        Err(error) => return vec![Rendered::failed("settings", "", error.to_string())],
    };
    let mut all = Vec::new();
    for ready in &client.auth {
        if let Ready::Oauth2(oauth) = ready {
            all.push(Rendered {
                method: "POST".to_owned(),
                url: oauth.url.to_string(),
                body: Some("grant_type=client_credentials".to_owned()),
                problem: None,
                ..Rendered::failed("auth", TOKEN_CALL, String::new())
            });
        }
    }
    let people = People { client: Arc::clone(&client) };
    for request in plan.requests() {
        all.push(render(&client, &people, request, sample));
    }
    all
}

/// What a request sees of the sample.
fn scope(client: &Client, people: &People, request: &Request, sample: &Sample) -> Result<Scope, String> {
    let mut scope = if client.plan.accounts.is_some() && request.op.starts_with("accounts.") {
        people.scope_for(&sample.person).map_err(|fault| fault.message)?
    } else {
        client.scope()
    };
    let account =
        AccountRef::Account { id: RemoteId::new(sample.account_id.clone()), login: Some(sample.account_login.clone()) };
    let invite = AccountRef::Invite {
        id: InviteId::new(sample.invite_id.clone()),
        email: sample.person.email.clone(),
        login: None,
    };
    scope.insert("account", account_value(if request.op == "accounts.revoke" { &invite } else { &account }));
    scope.insert("random", minijinja::Value::from(HIDDEN));
    scope.insert("member", account_value(&account));
    scope.insert("members", minijinja::Value::from(vec![account_value(&account)]));
    scope.insert("group", from_json(&json!({ "id": sample.group_id, "name": sample.group_name })));
    let change = if request.op.starts_with("groups.") {
        json!({ "name": format!("{} (renamed)", sample.group_name) })
    } else {
        json!({
            "role": client.plan.model.roles.first().map(|role| role.value.clone()),
            "display_name": sample.person.display_name,
            "email": sample.person.email,
        })
    };
    scope.insert("change", from_json(&change));
    scope.insert("current", from_json(&sample.item));
    Ok(scope)
}

fn render(client: &Client, people: &People, request: &Request, sample: &Sample) -> Rendered {
    let made = scope(client, people, request, sample).and_then(|scope| {
        let more = request.paging.as_ref().map(|paging| paging.parameters(None)).unwrap_or_default();
        client.call(request, &scope, &more).map_err(|fault| fault.message)
    });
    let mut call = match made {
        Ok(call) => call,
        Err(problem) => {
            return Rendered {
                writes: request.writes_at_all(),
                method: request.method.to_string(),
                ..Rendered::failed(request.op, request.call, problem)
            };
        }
    };
    let mut headers: Vec<(String, String)> = call
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    for ready in &client.auth {
        match ready {
            Ready::Header { name, .. } => headers.push((name.to_string(), HIDDEN.to_owned())),
            Ready::Oauth2(_) => headers.push(("authorization".to_owned(), HIDDEN.to_owned())),
            Ready::Query { parameter, .. } => {
                call.url.query_pairs_mut().append_pair(parameter, HIDDEN);
            }
        }
    }
    let partial = request.read_first && sample.item.as_object().is_some_and(serde_json::Map::is_empty);
    let body = (!call.body.is_empty()).then(|| String::from_utf8_lossy(&call.body).into_owned());
    Rendered {
        operation: request.op.to_owned(),
        call: request.call.to_owned(),
        writes: request.writes_at_all(),
        method: call.method.to_string(),
        url: call.url.to_string(),
        headers,
        body,
        problem: None,
        note: partial.then(|| {
            "What it takes from `current` is left out: give `item` in the sample, the object as the target shows it.".to_owned()
        }),
    }
}
