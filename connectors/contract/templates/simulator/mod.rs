//! A simulated @Title@: people, teams and who is in them, in memory.
//!
//! Write here what the vendor documents, never what the connector happens to send: routes, statuses, error
//! bodies, paging, limits. Say beside each where it is documented. As laid down this is a small API of no
//! vendor's:
//!
//! | call | answer |
//! |---|---|
//! | `GET /v1/me` | the token's own person |
//! | `GET /v1/people?after=&limit=`, `?email=` | `{"items": […], "next": id or null}`, oldest first, at most 100 |
//! | `POST /v1/people` `{email, name?, role?}` | 201, the person; 409 `email_taken` |
//! | `GET`, `PATCH {role?, suspended?}`, `DELETE /v1/people/{id}` | 200, the person; 204; 404 `not_found`; 403 `own_account` |
//! | `GET /v1/teams?after=&limit=`, `?name=`; `POST {name}` | likewise; 409 `name_taken` (without case) |
//! | `GET`, `PATCH {name}`, `DELETE /v1/teams/{id}` | 200, the team; 204; 404 `not_found`; 409 `name_taken` |
//! | `GET /v1/teams/{id}/members?after=&limit=` | people |
//! | `PUT`, `DELETE /v1/teams/{id}/members/{person}` | 204, also where it is so already; 404 `not_found`, or 422 `no_such_person` |
//!
//! Errors are `{"error": code, "message": words}`. 401 `bad_token`; 429 `too_many_calls` with `Retry-After`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Accept, Limits, Offer, Target};

/// The token that the simulator knows; worthless elsewhere.
const TOKEN: &str = "@name@-simulated-token-4b1f";
/// The id of the token's own person.
const OWN: u64 = 1;
/// Calls a minute, with the vendor's own limits.
const PER_MINUTE: u32 = 600;
/// Items per page at most.
const MOST: usize = 100;

#[derive(Clone, Debug)]
struct Person {
    email: String,
    name: Option<String>,
    role: String,
    suspended: bool,
}

#[derive(Clone, Debug, Default)]
struct Team {
    name: String,
    members: BTreeSet<u64>,
}

/// The simulated target.
#[derive(Debug)]
pub struct @Kind@ {
    limits: Limits,
    token_valid: bool,
    last_id: u64,
    people: BTreeMap<u64, Person>,
    teams: BTreeMap<u64, Team>,
    /// The minute that is counted, and the calls in it.
    minute: (i64, u32),
}

/// A status and a body; `None`: no body.
type Answer = (StatusCode, Option<Value>);

fn refuse(status: StatusCode, code: &str, message: &str) -> Answer {
    (status, Some(json!({ "error": code, "message": message })))
}

fn not_found() -> Answer {
    refuse(StatusCode::NOT_FOUND, "not_found", "There is no such object.")
}

fn reply((status, body): Answer) -> Response<Bytes> {
    let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

impl @Kind@ {
    /// One with nobody but the token's own person.
    pub fn new(limits: Limits) -> Self {
        let own = Person {
            email: "admin@@name@.example".to_owned(),
            name: Some("Admin".to_owned()),
            role: "admin".to_owned(),
            suspended: false,
        };
        Self {
            limits,
            token_valid: true,
            last_id: OWN,
            people: BTreeMap::from([(OWN, own)]),
            teams: BTreeMap::new(),
            minute: (0, 0),
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn shown(&self, id: u64) -> Option<Value> {
        let person = self.people.get(&id)?;
        Some(json!({
            "id": id.to_string(),
            "email": person.email,
            "name": person.name,
            "role": person.role,
            "suspended": person.suspended,
        }))
    }

    fn team(&self, id: u64) -> Option<Value> {
        self.teams.get(&id).map(|team| json!({ "id": id.to_string(), "name": team.name }))
    }

    fn answer(&mut self, request: &Request<Bytes>) -> Answer {
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned().collect();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        let id = |text: &str| text.parse::<u64>().unwrap_or(0);
        let method = request.method();
        match path.as_slice() {
            ["v1", "me"] if method == Method::GET => (StatusCode::OK, self.shown(OWN)),
            ["v1", "people"] if method == Method::GET => {
                let email = query.get("email").map(|text| text.to_lowercase());
                let of = |person: &Person| email.as_ref().is_none_or(|email| person.email.to_lowercase() == *email);
                let ids: Vec<u64> = self.people.iter().filter(|(_, person)| of(person)).map(|(id, _)| *id).collect();
                page(&query, &ids, |id| self.shown(id))
            }
            ["v1", "people"] if method == Method::POST => self.create_person(&body),
            ["v1", "people", person] => self.person(method, id(person), &body),
            ["v1", "teams"] if method == Method::GET => {
                let name = query.get("name").map(|text| text.to_lowercase());
                let of = |team: &Team| name.as_ref().is_none_or(|name| team.name.to_lowercase() == *name);
                let ids: Vec<u64> = self.teams.iter().filter(|(_, team)| of(team)).map(|(id, _)| *id).collect();
                page(&query, &ids, |id| self.team(id))
            }
            ["v1", "teams"] if method == Method::POST => match self.free_name(&body, None) {
                Ok(name) => {
                    let id = self.next_id();
                    self.teams.insert(id, Team { name, members: BTreeSet::new() });
                    (StatusCode::CREATED, self.team(id))
                }
                Err(refusal) => refusal,
            },
            ["v1", "teams", team] => self.one_team(method, id(team), &body),
            ["v1", "teams", team, "members"] if method == Method::GET => match self.teams.get(&id(team)) {
                Some(team) => {
                    let ids: Vec<u64> = team.members.iter().copied().collect();
                    page(&query, &ids, |id| self.shown(id))
                }
                None => not_found(),
            },
            ["v1", "teams", team, "members", person] => {
                let person = id(person);
                let known = self.people.contains_key(&person);
                let Some(team) = self.teams.get_mut(&id(team)) else { return not_found() };
                match *method {
                    Method::PUT if !known => {
                        refuse(StatusCode::UNPROCESSABLE_ENTITY, "no_such_person", "There is no such person.")
                    }
                    Method::PUT => {
                        team.members.insert(person);
                        (StatusCode::NO_CONTENT, None)
                    }
                    Method::DELETE => {
                        team.members.remove(&person);
                        (StatusCode::NO_CONTENT, None)
                    }
                    _ => not_found(),
                }
            }
            _ => not_found(),
        }
    }

    fn create_person(&mut self, body: &Value) -> Answer {
        let Some(email) = body["email"].as_str().filter(|email| email.contains('@')) else {
            return refuse(StatusCode::UNPROCESSABLE_ENTITY, "bad_email", "An email is needed.");
        };
        if self.people.values().any(|person| person.email.eq_ignore_ascii_case(email)) {
            return refuse(StatusCode::CONFLICT, "email_taken", "Somebody has this address.");
        }
        let role = body["role"].as_str().unwrap_or("member");
        if !["member", "admin"].contains(&role) {
            return refuse(StatusCode::UNPROCESSABLE_ENTITY, "bad_role", "Roles are member and admin.");
        }
        let name = body["name"].as_str().map(str::to_owned);
        let person = Person { email: email.to_owned(), name, role: role.to_owned(), suspended: false };
        let id = self.next_id();
        self.people.insert(id, person);
        (StatusCode::CREATED, self.shown(id))
    }

    fn person(&mut self, method: &Method, id: u64, body: &Value) -> Answer {
        let Some(person) = self.people.get_mut(&id) else { return not_found() };
        if *method != Method::GET && id == OWN {
            return refuse(StatusCode::FORBIDDEN, "own_account", "A token cannot change its own account.");
        }
        match *method {
            Method::GET => {}
            Method::PATCH => {
                match body["role"].as_str() {
                    Some(role @ ("member" | "admin")) => person.role = role.to_owned(),
                    Some(_) => {
                        return refuse(StatusCode::UNPROCESSABLE_ENTITY, "bad_role", "Roles are member and admin.");
                    }
                    None => {}
                }
                if let Some(suspended) = body["suspended"].as_bool() {
                    person.suspended = suspended;
                }
            }
            Method::DELETE => {
                self.people.remove(&id);
                for team in self.teams.values_mut() {
                    team.members.remove(&id);
                }
                return (StatusCode::NO_CONTENT, None);
            }
            _ => return not_found(),
        }
        (StatusCode::OK, self.shown(id))
    }

    fn one_team(&mut self, method: &Method, id: u64, body: &Value) -> Answer {
        if !self.teams.contains_key(&id) {
            return not_found();
        }
        match *method {
            Method::GET => {}
            Method::PATCH => match self.free_name(body, Some(id)) {
                Ok(name) => {
                    if let Some(team) = self.teams.get_mut(&id) {
                        team.name = name;
                    }
                }
                Err(refusal) => return refusal,
            },
            Method::DELETE => {
                self.teams.remove(&id);
                return (StatusCode::NO_CONTENT, None);
            }
            _ => return not_found(),
        }
        (StatusCode::OK, self.team(id))
    }

    /// The name that a body asks for, if no other team has it.
    fn free_name(&self, body: &Value, own: Option<u64>) -> Result<String, Answer> {
        let Some(name) = body["name"].as_str().filter(|name| !name.is_empty()) else {
            return Err(refuse(StatusCode::UNPROCESSABLE_ENTITY, "bad_name", "A name is needed."));
        };
        let taken = |(id, team): (&u64, &Team)| own != Some(*id) && team.name.to_lowercase() == name.to_lowercase();
        if self.teams.iter().any(taken) {
            return Err(refuse(StatusCode::CONFLICT, "name_taken", "Another team has this name."));
        }
        Ok(name.to_owned())
    }
}

/// One page of a list in the order of the ids.
fn page(query: &BTreeMap<String, String>, ids: &[u64], show: impl Fn(u64) -> Option<Value>) -> Answer {
    let after: u64 = query.get("after").and_then(|text| text.parse().ok()).unwrap_or(0);
    let limit = query.get("limit").and_then(|text| text.parse().ok()).unwrap_or(MOST).clamp(1, MOST);
    let mut rest = ids.iter().copied().filter(|id| *id > after);
    let shown: Vec<u64> = rest.by_ref().take(limit).collect();
    let next = rest.next().and_then(|_| shown.last()).map(u64::to_string);
    let items: Vec<Value> = shown.into_iter().filter_map(show).collect();
    (StatusCode::OK, Some(json!({ "items": items, "next": next })))
}

impl Target for @Kind@ {
    fn name(&self) -> &'static str {
        "@name@"
    }

    fn offer(&self, base_url: &str) -> Offer {
        Offer {
            connector: "@name@",
            settings: json!({ "base_url": base_url, "pace": self.limits.pace() }),
            secrets: json!({ "token": TOKEN }),
        }
    }

    fn handle(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        if self.limits == Limits::Real {
            let minute = now.as_second().div_euclid(60);
            let counted = if self.minute.0 == minute { self.minute.1 } else { 0 };
            if counted >= PER_MINUTE {
                let left = 60 - now.as_second().rem_euclid(60);
                return self.too_many(Duration::from_secs(u64::try_from(left).unwrap_or(60)), now);
            }
            self.minute = (minute, counted + 1);
        }
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if !self.token_valid || given.and_then(|value| value.strip_prefix("Bearer ")) != Some(TOKEN) {
            return reply(refuse(StatusCode::UNAUTHORIZED, "bad_token", "The token is not valid."));
        }
        reply(self.answer(request))
    }

    fn state(&self) -> Value {
        let person = |id: u64| {
            let person = self.people.get(&id).filter(|_| id != OWN)?;
            Some(json!({
                "id": id.to_string(),
                "login": person.email,
                "email": person.email,
                "active": !person.suspended,
                "role": person.role,
            }))
        };
        let groups = self.teams.iter().map(|(id, team)| {
            let members: Vec<Value> = team.members.iter().copied().filter_map(person).collect();
            json!({ "id": id.to_string(), "name": team.name, "members": members })
        });
        json!({
            "accounts": self.people.keys().copied().filter_map(person).collect::<Vec<_>>(),
            "invitations": [],
            "groups": groups.collect::<Vec<_>>(),
        })
    }

    fn accept(&mut self, _which: &Accept, _now: Timestamp) -> Value {
        // This target invites nobody.
        json!({ "accepted": [] })
    }

    fn load(&mut self, accounts: usize, groups: usize, _now: Timestamp) {
        for n in 0..accounts {
            self.create_person(&json!({ "email": format!("load{n:04}@example.com") }));
        }
        for n in 0..groups {
            if let Ok(name) = self.free_name(&json!({ "name": format!("Load group {n:04}") }), None) {
                let id = self.next_id();
                self.teams.insert(id, Team { name, members: BTreeSet::new() });
            }
        }
    }

    fn set(&mut self, what: &Value) -> Result<(), String> {
        match what.as_object().map(|knobs| knobs.iter().collect::<Vec<_>>()).as_deref() {
            Some([(key, value)]) if key.as_str() == "token" && (*value == "revoked" || *value == "valid") => {
                self.token_valid = *value == "valid";
                Ok(())
            }
            _ => Err("there is one knob: {\"token\": \"valid\" or \"revoked\"}".to_owned()),
        }
    }

    fn too_many(&self, wait: Duration, _now: Timestamp) -> Response<Bytes> {
        let mut response = reply(refuse(StatusCode::TOO_MANY_REQUESTS, "too_many_calls", "Too many calls."));
        response.headers_mut().insert(header::RETRY_AFTER, http::HeaderValue::from(wait.as_secs().max(1)));
        response
    }
}
