//! The users of a simulated GitLab server, as its administrator keeps them.
//!
//! Sources: docs.gitlab.com/api/users and api/user_moderation. A user who is blocked already is blocked again
//! with a 201 and no word, and so is one unblocked who was not.

use bytes::Bytes;
use http::Request;
use serde_json::{Map, Value, json};

use super::route::{invalid, not_found, page, refused, text};
use super::{GitLab, OWN, User};
use crate::rest::{self, Answer, Refused, parameter};

impl GitLab {
    pub(super) fn server_users(&mut self, request: &Request<Bytes>, method: &str, below: &[&str]) -> Answer {
        match (method, below) {
            ("GET", []) => {
                // Names and usernames in part, addresses as a whole.
                let search = parameter(request, "search").unwrap_or_default().to_lowercase();
                let has = |user: &&User| {
                    [&user.username, &user.name].into_iter().any(|text| text.to_lowercase().contains(&search))
                        || user.email.eq_ignore_ascii_case(&search)
                };
                let mut users: Vec<&User> = self.users.iter().filter(has).collect();
                users.sort_by_key(|user| std::cmp::Reverse(user.id));
                page(request, &users.into_iter().map(User::full).collect::<Vec<_>>())
            }
            ("POST", []) => self.create_user(request),
            (method, [id, below @ ..]) => {
                let id: u64 = id.parse().map_err(|_| invalid("id is invalid"))?;
                let place = self.users.iter().position(|user| user.id == id).ok_or_else(|| not_found("User"))?;
                self.one_user(request, method, place, below)
            }
            _ => Err(refused(405, "405 Method Not Allowed")),
        }
    }

    /// Whether somebody else has this address, or this name of a namespace.
    fn taken(&self, email: Option<&str>, username: Option<&str>, own: Option<u64>) -> Result<(), Refused> {
        let mut others = self.users.iter().filter(|user| Some(user.id) != own);
        if email.is_some_and(|email| others.clone().any(|user| user.email.eq_ignore_ascii_case(email))) {
            return Err(refused(409, "Email has already been taken"));
        }
        if username.is_some_and(|name| others.any(|user| user.username.eq_ignore_ascii_case(name))) {
            return Err(refused(409, "Username has already been taken"));
        }
        Ok(())
    }

    fn create_user(&mut self, request: &Request<Bytes>) -> Answer {
        let body: Map<String, Value> = rest::body(request).unwrap_or_default();
        let email = text(&body, "email").ok_or_else(|| invalid("email is missing"))?;
        let name = text(&body, "name").ok_or_else(|| invalid("name is missing"))?;
        let username = text(&body, "username").ok_or_else(|| invalid("username is missing"))?;
        let password = ["password", "reset_password", "force_random_password"];
        if !password.iter().any(|field| body.get(*field).is_some_and(|value| *value != false)) {
            return Err(invalid(
                "password, reset_password, force_random_password are missing, at least one parameter must be provided",
            ));
        }
        let sound = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if !username.chars().all(sound) || username.starts_with('-') {
            let why = "can contain only letters, digits, '_', '-' and '.'. Cannot start with '-'";
            return Err(Refused::new(400, json!({ "message": { "username": [why] } })));
        }
        self.taken(Some(email), Some(username), None)?;
        if self.seats.is_some_and(|most| self.users.len() > most) {
            return Err(refused(400, "No seats available."));
        }
        let id = self.user(username, email);
        let uid = text(&body, "extern_uid").filter(|_| text(&body, "provider").is_some());
        let user = self.users.iter_mut().find(|user| user.id == id).ok_or_else(|| not_found("User"))?;
        user.name = name.to_owned();
        user.extern_uid = uid.map(str::to_owned);
        Ok(rest::json(201, &user.full()))
    }

    fn one_user(&mut self, request: &Request<Bytes>, method: &str, place: usize, below: &[&str]) -> Answer {
        let (id, email) = (self.users[place].id, self.users[place].email.clone());
        let own = self.users[place].username == OWN;
        let ldap = self.ldap.iter().any(|one| one.eq_ignore_ascii_case(&email));
        match (method, below) {
            ("GET", []) => Ok(rest::json(200, &self.users[place].full())),
            ("PUT", []) => {
                let body = rest::body(request).unwrap_or_default();
                self.taken(text(&body, "email"), text(&body, "username"), Some(id))?;
                let user = &mut self.users[place];
                if let Some(email) = text(&body, "email") {
                    user.email = email.to_owned();
                }
                if let Some(name) = text(&body, "name") {
                    user.name = name.to_owned();
                }
                if let Some(admin) = body.get("admin").and_then(Value::as_bool) {
                    user.admin = admin;
                }
                Ok(rest::json(200, &user.full()))
            }
            ("POST", ["block" | "unblock"]) if ldap => {
                Err(refused(403, "403 Forbidden - LDAP blocked users cannot be modified by the API"))
            }
            ("POST", ["block"]) if own => {
                Err(refused(403, "403 Forbidden - The API initiating user cannot be blocked by the API"))
            }
            ("POST", [verb @ ("block" | "unblock")]) => {
                let before = std::mem::replace(&mut self.users[place].blocked, *verb == "block");
                let changed = before != self.users[place].blocked;
                Ok(rest::json(201, &if changed { json!(true) } else { Value::Null }))
            }
            ("DELETE", []) => {
                let alone = |group: &super::Group| {
                    let mut owners = group.members.iter().filter(|member| member.level == 50);
                    owners.next().is_some_and(|member| member.user == id) && owners.next().is_none()
                };
                if self.groups.iter().any(alone) {
                    return Err(refused(409, "User cannot be removed while is the sole-owner of a group"));
                }
                self.users.remove(place);
                for group in &mut self.groups {
                    group.members.retain(|member| member.user != id);
                }
                Ok(rest::empty(204))
            }
            _ => Err(refused(405, "405 Method Not Allowed")),
        }
    }
}

impl User {
    /// A user as an administrator sees one.
    fn full(&self) -> Value {
        json!({
            "id": self.id,
            "username": self.username,
            "name": self.name,
            "email": self.email,
            "confirmed_at": "2026-01-01T00:00:00.000Z",
            "state": if self.blocked { "blocked" } else { "active" },
            "is_admin": self.admin,
            "bot": false,
            "identities": self.extern_uid.iter().map(|uid| json!({ "provider": "saml", "extern_uid": uid })).collect::<Vec<_>>(),
        })
    }
}
