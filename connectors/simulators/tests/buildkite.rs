//! The simulated Buildkite organisation, call by call under a fixed clock.

#![allow(clippy::unwrap_used, reason = "clippy takes only the #[test] functions for tests, not what they share")]

#[path = "buildkite/access.rs"]
mod access;
#[path = "buildkite/documents.rs"]
mod documents;
#[path = "buildkite/graphql.rs"]
mod graphql;
#[path = "buildkite/limits.rs"]
mod limits;
#[path = "buildkite/parser.rs"]
mod parser;
#[path = "buildkite/rest.rs"]
mod rest;
#[path = "buildkite/rest_lists.rs"]
mod rest_lists;
#[path = "buildkite/rest_teams.rs"]
mod rest_teams;

use std::collections::HashMap;

use bytes::Bytes;
use http::{HeaderMap, Request};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulators::buildkite::Buildkite;
use simulators::{Accept, Limits, Target};

/// A simulator with its token, a clock that moves only when told, and values
/// captured from earlier replies.
struct Sim {
    target: Buildkite,
    token: String,
    now: Timestamp,
    saved: HashMap<String, String>,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Sim {
    fn new(limits: Limits) -> Self {
        let target = Buildkite::new(limits);
        let offer = target.offer("http://127.0.0.1:9");
        Self {
            token: offer.secrets["token"].as_str().unwrap().to_owned(),
            target,
            now: "2026-01-02T03:04:05Z".parse().unwrap(),
            saved: HashMap::new(),
        }
    }

    fn set(&mut self, knobs: Value) {
        self.target.set(&knobs).unwrap();
    }

    fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    fn send(&mut self, call: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
        let (method, path) = call.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:9");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Bytes::from(body)).unwrap();
        let response = self.target.handle(&request, self.now);
        let text = response.body();
        Reply {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: if text.is_empty() { Value::Null } else { serde_json::from_slice(text).unwrap() },
        }
    }

    /// A call with the token; `{}` as body means none.
    fn call(&mut self, call: &str, body: &Value) -> Reply {
        let bearer = format!("Bearer {}", self.token);
        let body = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        self.send(call, &[("authorization", &bearer)], body)
    }

    fn graphql(&mut self, query: &str, variables: &Value) -> Value {
        let body = json!({ "query": query, "variables": variables });
        let reply = self.call("POST /graphql", &body);
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body
    }

    /// Puts captured values in place of `<name>`.
    fn fill(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (name, value) in &self.saved {
            out = out.replace(&format!("<{name}>"), value);
        }
        out
    }

    fn fill_json(&self, value: &Value) -> Value {
        serde_json::from_str(&self.fill(&value.to_string())).unwrap()
    }

    fn accept(&mut self, email: Option<&str>, login: Option<&str>) -> Value {
        let which = Accept { email: email.map(str::to_owned), login: login.map(str::to_owned) };
        self.target.accept(&which, self.now)
    }

    /// Invites and accepts; answers the user's UUID.
    fn person(&mut self, email: &str) -> String {
        let made =
            self.call("POST /v2/organizations/acme/invitations", &json!({"emails": [email], "sso_mode": "required"}));
        assert_eq!(made.status, 201, "{}", made.body);
        let accepted = self.accept(Some(email), None);
        accepted["accepted"][0]["id"].as_str().unwrap().to_owned()
    }

    /// A team by REST; answers its UUID.
    fn team(&mut self, name: &str) -> String {
        let made = self.call("POST /v2/organizations/acme/teams", &team_body(name));
        assert_eq!(made.status, 201, "{}", made.body);
        let state = self.target.state();
        let groups = state["groups"].as_array().unwrap();
        let team = groups.iter().find(|team| team["name"] == name).unwrap();
        team["id"].as_str().unwrap().to_owned()
    }
}

/// A team as the vendor's page shows a create.
fn team_body(name: &str) -> Value {
    json!({
        "name": name,
        "description": "d",
        "privacy": "secret",
        "is_default_team": false,
        "default_member_role": "member",
        "members_can_create_pipelines": true,
        "members_can_create_suites": true,
        "members_can_create_registries": true,
        "members_can_destroy_registries": false,
        "members_can_destroy_packages": false,
    })
}

/// Whether `found` has all that `wanted` names. In `wanted`, `"@name"` captures
/// a text, `"~text"` is a part of one, and an array has to match whole.
fn matches(found: &Value, wanted: &Value, saved: &mut HashMap<String, String>) -> bool {
    match wanted {
        Value::String(text) if text.starts_with('@') => {
            let Some(value) = found.as_str() else {
                return false;
            };
            saved.insert(text[1..].to_owned(), value.to_owned());
            true
        }
        Value::String(text) if text.starts_with('~') => found.as_str().is_some_and(|found| found.contains(&text[1..])),
        Value::Object(fields) => {
            fields.iter().all(|(name, wanted)| found.get(name).is_some_and(|found| matches(found, wanted, saved)))
        }
        Value::Array(items) => {
            found.as_array().is_some_and(|found| found.len() == items.len())
                && items.iter().enumerate().all(|(n, wanted)| matches(&found[n], wanted, saved))
        }
        other => found == other,
    }
}

/// One call after the other: call, body, expected status, expected reply.
fn check(sim: &mut Sim, steps: &[(&str, Value, u16, Value)]) {
    for (n, (call, body, status, wanted)) in steps.iter().enumerate() {
        let call = sim.fill(call);
        let body = sim.fill_json(body);
        let wanted = sim.fill_json(wanted);
        let reply = sim.call(&call, &body);
        let mut saved = std::mem::take(&mut sim.saved);
        let fits = matches(&reply.body, &wanted, &mut saved);
        sim.saved = saved;
        assert!(
            reply.status == *status && fits,
            "step {n}: {call} {body}\nfound {} {}\nwanted {status} {wanted}",
            reply.status,
            reply.body
        );
    }
}

/// The state without ids: accounts as `login email role`, invitations as
/// e-mail, groups as `name: login,…`.
fn outline(sim: &Sim) -> Value {
    let state = sim.target.state();
    let text = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
    let list = |name: &str| state[name].as_array().unwrap().clone();
    let accounts: Vec<String> = list("accounts")
        .iter()
        .map(|a| {
            assert_eq!(a["active"], true);
            format!("{} {} {}", text(a, "login"), text(a, "email"), text(a, "role"))
        })
        .collect();
    let invitations: Vec<String> = list("invitations").iter().map(|i| text(i, "email")).collect();
    let groups: Vec<String> = list("groups")
        .iter()
        .map(|g| {
            let members: Vec<String> = g["members"].as_array().unwrap().iter().map(|m| text(m, "login")).collect();
            format!("{}: {}", text(g, "name"), members.join(","))
        })
        .collect();
    json!({ "accounts": accounts, "invitations": invitations, "groups": groups })
}
