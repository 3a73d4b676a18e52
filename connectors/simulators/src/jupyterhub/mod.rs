//! A simulated JupyterHub: the users and groups of its REST API under `/hub/api`.
//!
//! Behaviour is that of JupyterHub 6.1.1 as it was observed over HTTP and read in its source
//! (`apihandlers/users.py`, `groups.py`, `base.py`): names are keys, the call for several users checks
//! and lowers names and the call for one does not, lists are bare arrays unless the pagination media
//! type is asked for, and a token that is not known is a 403.
//!
//! The token is that of the user `scim-admin`, an admin. In `/_sim/state` a group's `name` is its
//! property `displayName` where somebody put one, else its key.
//!
//! Knobs of `POST /_sim/set`: `token` (`"valid"` or `"revoked"`), `scopes` (the token's scopes).

mod route;

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::knobs;
use crate::rest::{Refused, set};
use crate::{Accept, Limits, Offer, Target};

/// The token. A constant: a simulator that takes another's place on its port is the same hub to those
/// who hold the token.
const TOKEN: &str = "simulated-jupyterhub-token-0001";
/// Whose token it is.
const OWN: &str = "scim-admin";
/// What the token may do, as `GET /user` lists it.
const SCOPES: [&str; 9] = [
    "admin:groups",
    "admin:users",
    "delete:groups",
    "delete:users",
    "groups",
    "list:groups",
    "list:users",
    "read:groups",
    "read:users",
];

/// A simulated hub.
#[derive(Debug)]
pub struct JupyterHub {
    limits: Limits,
    valid: bool,
    scopes: Vec<String>,
    users: Vec<User>,
    groups: Vec<Group>,
}

/// A user: the name is the key.
#[derive(Debug)]
struct User {
    name: String,
    admin: bool,
    created: Timestamp,
}

/// A group: the name is the key.
#[derive(Debug)]
struct Group {
    name: String,
    /// Names of users.
    users: Vec<String>,
    properties: Map<String, Value>,
}

impl JupyterHub {
    /// A hub with nobody in it but the token's own user.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            valid: true,
            scopes: SCOPES.map(str::to_owned).to_vec(),
            users: vec![User { name: OWN.to_owned(), admin: true, created: Timestamp::UNIX_EPOCH }],
            groups: Vec::new(),
        }
    }

    fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    fn user_model(&self, user: &User) -> Value {
        let groups: Vec<&str> = self
            .groups
            .iter()
            .filter(|group| group.users.contains(&user.name))
            .map(|group| group.name.as_str())
            .collect();
        json!({
            "server": null,
            "name": user.name,
            "kind": "user",
            "created": user.created.to_string(),
            "pending": null,
            "admin": user.admin,
            "last_activity": null,
            "auth_state": null,
            "roles": if user.admin { vec!["user", "admin"] } else { vec!["user"] },
            "groups": groups,
            "user_info": null,
        })
    }
}

fn group_model(group: &Group) -> Value {
    json!({
        "roles": [],
        "users": group.users,
        "name": group.name,
        "kind": "group",
        "properties": group.properties,
    })
}

/// A refusal in the hub's form.
fn refusal(status: u16, message: Option<&str>) -> Refused {
    Refused::new(status, json!({ "status": status, "message": message }))
}

impl Target for JupyterHub {
    fn name(&self) -> &'static str {
        "jupyterhub"
    }

    fn offer(&self, base_url: &str) -> Offer {
        Offer {
            connector: "jupyterhub",
            settings: json!({
                "url": format!("{}/hub/api", base_url.trim_end_matches('/')),
                "pace": self.limits.pace(),
            }),
            secrets: json!({ "token": TOKEN }),
        }
    }

    fn handle(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        route::handle(self, request, now).unwrap_or_else(|refused| refused.response())
    }

    fn state(&self) -> Value {
        let accounts: Vec<Value> = self
            .users
            .iter()
            .filter(|user| user.name != OWN)
            .map(|user| {
                let role = if user.admin { "admin" } else { "user" };
                json!({ "id": user.name, "login": user.name, "email": null, "active": true, "role": role })
            })
            .collect();
        let groups: Vec<Value> = self
            .groups
            .iter()
            .map(|group| {
                let members: Vec<Value> = group
                    .users
                    .iter()
                    .filter(|name| *name != OWN)
                    .map(|name| json!({ "id": name, "login": name, "email": null }))
                    .collect();
                let name = group.properties.get("displayName").and_then(Value::as_str).unwrap_or(&group.name);
                json!({ "id": group.name, "name": name, "members": members })
            })
            .collect();
        json!({ "accounts": accounts, "invitations": [], "groups": groups })
    }

    fn accept(&mut self, _: &Accept, _: Timestamp) -> Value {
        json!({ "accepted": [] })
    }

    fn load(&mut self, accounts: usize, groups: usize, now: Timestamp) {
        for n in 0..accounts {
            let name = format!("load{n:04}");
            if self.user(&name).is_none() {
                self.users.push(User { name, admin: false, created: now });
            }
        }
        for n in 0..groups {
            let name = format!("Load group {n:04}");
            if self.groups.iter().all(|group| group.name != name) {
                self.groups.push(Group { name, users: Vec::new(), properties: Map::new() });
            }
        }
    }

    fn set(&mut self, what: &Value) -> Result<(), String> {
        let (mut valid, mut scopes) = (self.valid, self.scopes.clone());
        for knob in knobs::each(what)? {
            match knob.name {
                "token" => valid = knob.valid()?,
                "scopes" => scopes = knob.texts()?,
                _ => return knob.unknown(),
            }
        }
        (self.valid, self.scopes) = (valid, scopes);
        Ok(())
    }

    fn too_many(&self, wait: Duration, _now: Timestamp) -> Response<Bytes> {
        let mut response = refusal(429, Some("Too many requests")).response();
        set(&mut response, "retry-after", &wait.as_secs().max(1).to_string());
        response
    }
}
