//! A simulated PagerDuty account: users, teams and their members by the REST API v2.
//!
//! Sources: the description in PagerDuty/api-schema and developer.pagerduty.com (pagination, errors,
//! REST API rate limits). Where those are silent the choice is named at the place. The account's
//! owner is the acting user `gateway@acme.example`, who stays out of `/_sim/state`.
//!
//! Knobs of `POST /_sim/set`: `token` (`"valid"` or `"revoked"`), `licences` (users that the account
//! may have besides the owner; null for no bound), `on_call` (addresses who cannot be deleted).

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::knobs;
use crate::rest::{self, Answer, Refused, number, parameter, set};
use crate::{Accept, Limits, Offer, Target};

/// The key. A constant: a simulator that takes another's place on its port is the same account.
const KEY: &str = "u+simulatedPagerDutyKey1";
/// The acting user.
const FROM: &str = "gateway@acme.example";
/// Calls a minute per key (developer.pagerduty.com/docs/rest-api-rate-limits).
const PER_MINUTE: u32 = 960;
/// Items of a page where none are asked for, and the most (developer.pagerduty.com/docs/pagination).
const USUAL: usize = 25;
const MOST: usize = 100;
/// The furthest that a list goes.
const FURTHEST: usize = 10_000;
const ROLES: [&str; 8] = [
    "admin",
    "limited_user",
    "observer",
    "owner",
    "read_only_user",
    "restricted_access",
    "read_only_limited_user",
    "user",
];

/// A simulated account.
#[derive(Debug)]
pub struct PagerDuty {
    limits: Limits,
    valid: bool,
    licences: Option<usize>,
    on_call: Vec<String>,
    next: u32,
    users: Vec<User>,
    teams: Vec<Team>,
    window: Option<(Timestamp, u32)>,
}

#[derive(Debug)]
struct User {
    id: String,
    name: String,
    email: String,
    role: String,
    job_title: Option<String>,
}

#[derive(Debug)]
struct Team {
    id: String,
    name: String,
    /// Users' ids with their role.
    members: Vec<(String, String)>,
}

impl User {
    fn model(&self, teams: &[Team]) -> Value {
        let teams: Vec<Value> = teams
            .iter()
            .filter(|team| team.members.iter().any(|(id, _)| *id == self.id))
            .map(|team| json!({ "id": team.id, "type": "team_reference", "summary": team.name }))
            .collect();
        json!({
            "id": self.id,
            "type": "user",
            "summary": self.name,
            "name": self.name,
            "email": self.email,
            "role": self.role,
            "job_title": self.job_title,
            "time_zone": "Etc/UTC",
            "invitation_sent": true,
            "teams": teams,
        })
    }
}

impl Team {
    fn model(&self) -> Value {
        json!({ "id": self.id, "type": "team", "summary": self.name, "name": self.name, "description": null, "parent": null })
    }
}

fn refused(status: u16, message: &str, code: u32, errors: &[&str]) -> Refused {
    Refused::new(status, json!({ "error": { "message": message, "code": code, "errors": errors } }))
}

fn invalid(error: &str) -> Refused {
    refused(400, "Invalid Input Provided", 2001, &[error])
}

fn not_found() -> Refused {
    refused(404, "Not Found", 2100, &[])
}

impl PagerDuty {
    /// An account with nobody in it but the acting user.
    pub fn new(limits: Limits) -> Self {
        let mut account = Self {
            limits,
            valid: true,
            licences: None,
            on_call: Vec::new(),
            next: 0,
            users: Vec::new(),
            teams: Vec::new(),
            window: None,
        };
        account.user("Gateway", FROM, "owner", None);
        account
    }

    fn id(&mut self) -> String {
        self.next += 1;
        format!("P{:06X}", 0x00A1_0000 + self.next)
    }

    fn user(&mut self, name: &str, email: &str, role: &str, job_title: Option<String>) {
        let id = self.id();
        self.users.push(User { id, name: name.to_owned(), email: email.to_owned(), role: role.to_owned(), job_title });
    }

    /// What is left of the minute: units and seconds.
    fn left(&mut self, now: Timestamp) -> (u32, i64) {
        let (opened, used) = match self.window {
            Some((opened, used)) if now.duration_since(opened) < SignedDuration::from_secs(60) => (opened, used + 1),
            _ => (now, 1),
        };
        self.window = Some((opened, used));
        let seconds = 60 - now.duration_since(opened).as_secs();
        (PER_MINUTE.saturating_sub(used), seconds.max(1))
    }

    fn route(&mut self, request: &Request<Bytes>) -> Answer {
        if !self.valid || rest::credential(request, "Token") != Some(format!("token={KEY}").as_str()) {
            return Err(refused(401, "Unauthorized", 2006, &[]));
        }
        let path = rest::path(request, "").ok_or_else(not_found)?;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match (rest::method(request), path.as_slice()) {
            ("GET", ["users"]) => {
                let query = parameter(request, "query").unwrap_or_default().to_lowercase();
                let mut users: Vec<&User> = self
                    .users
                    .iter()
                    .filter(|user| {
                        user.name.to_lowercase().contains(&query) || user.email.to_lowercase().contains(&query)
                    })
                    .collect();
                users.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
                page(request, "users", users.into_iter().map(|user| user.model(&self.teams)).collect())
            }
            ("POST", ["users"]) => self.create_user(request),
            ("GET", ["users", id]) => {
                let user = self.users.iter().find(|user| user.id == *id).ok_or_else(not_found)?;
                Ok(rest::json(200, &json!({ "user": user.model(&self.teams) })))
            }
            ("PUT", ["users", id]) => self.change_user(request, id),
            ("DELETE", ["users", id]) => {
                let place = self.users.iter().position(|user| user.id == *id).ok_or_else(not_found)?;
                if self.on_call.contains(&self.users[place].email) {
                    return Err(invalid("User is on an escalation policy or schedule"));
                }
                self.users.remove(place);
                for team in &mut self.teams {
                    team.members.retain(|(member, _)| member != id);
                }
                Ok(rest::empty(204))
            }
            ("GET", ["teams"]) => {
                let query = parameter(request, "query").unwrap_or_default().to_lowercase();
                let mut teams: Vec<&Team> =
                    self.teams.iter().filter(|team| team.name.to_lowercase().contains(&query)).collect();
                teams.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
                page(request, "teams", teams.into_iter().map(Team::model).collect())
            }
            ("POST", ["teams"]) => {
                let name = self.team_name(request, None)?;
                let id = self.id();
                let team = Team { id, name, members: Vec::new() };
                let model = team.model();
                self.teams.push(team);
                Ok(rest::json(201, &json!({ "team": model })))
            }
            (method, ["teams", id, below @ ..]) => self.team(request, method, id, below),
            _ => Err(not_found()),
        }
    }

    fn create_user(&mut self, request: &Request<Bytes>) -> Answer {
        let from = request.headers().get("from").and_then(|value| value.to_str().ok());
        if !self.users.iter().any(|user| Some(user.email.as_str()) == from) {
            return Err(refused(400, "Requester User Not Found", 1008, &[]));
        }
        let given = object(request, "user")?;
        let text = |name: &str| given.get(name).and_then(Value::as_str).map(str::to_owned);
        let name = text("name").filter(|name| !name.is_empty()).ok_or_else(|| invalid("Name can't be blank"))?;
        let email = text("email").filter(|email| email.contains('@')).ok_or_else(|| invalid("Email is invalid"))?;
        let role = text("role").unwrap_or_else(|| "user".to_owned());
        if !ROLES.contains(&role.as_str()) {
            return Err(invalid("Role is not included in the list"));
        }
        if self.users.iter().any(|user| user.email.eq_ignore_ascii_case(&email)) {
            return Err(invalid("Email has already been taken"));
        }
        if self.licences.is_some_and(|most| self.users.len() > most) {
            return Err(refused(402, "Payment Required", 2012, &["No license is available"]));
        }
        self.user(&name, &email, &role, text("job_title"));
        let made = self.users.last().map(|user| user.model(&self.teams)).unwrap_or_default();
        Ok(rest::json(201, &json!({ "user": made })))
    }

    fn change_user(&mut self, request: &Request<Bytes>, id: &str) -> Answer {
        let place = self.users.iter().position(|user| user.id == id).ok_or_else(not_found)?;
        let given = object(request, "user")?;
        let text = |name: &str| given.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(role) = text("role") {
            if !ROLES.contains(&role.as_str()) {
                return Err(invalid("Role is not included in the list"));
            }
            self.users[place].role = role;
        }
        if let Some(name) = text("name") {
            self.users[place].name = name;
        }
        if let Some(title) = text("job_title") {
            self.users[place].job_title = Some(title);
        }
        let model = self.users[place].model(&self.teams);
        Ok(rest::json(200, &json!({ "user": model })))
    }

    /// The name of a team in a body, which must be free. PagerDuty's words are not documented.
    fn team_name(&self, request: &Request<Bytes>, own: Option<&str>) -> Result<String, Refused> {
        let given = object(request, "team")?;
        let name = given.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| invalid("Name can't be blank"))?;
        let taken = |team: &&Team| team.name.eq_ignore_ascii_case(name) && Some(team.id.as_str()) != own;
        if self.teams.iter().any(|team| taken(&team)) {
            return Err(invalid("Name has already been taken"));
        }
        Ok(name.to_owned())
    }

    fn team(&mut self, request: &Request<Bytes>, method: &str, id: &str, below: &[&str]) -> Answer {
        let place = self.teams.iter().position(|team| team.id == id).ok_or_else(not_found)?;
        match (method, below) {
            ("GET", []) => Ok(rest::json(200, &json!({ "team": self.teams[place].model() }))),
            ("PUT", []) => {
                let name = self.team_name(request, Some(id))?;
                self.teams[place].name = name;
                Ok(rest::json(200, &json!({ "team": self.teams[place].model() })))
            }
            ("DELETE", []) => {
                self.teams.remove(place);
                Ok(rest::empty(204))
            }
            ("GET", ["members"]) => {
                let model = |(id, role): &(String, String)| {
                    let name = self.users.iter().find(|user| user.id == *id).map(|user| user.name.as_str());
                    json!({ "user": { "id": id, "type": "user_reference", "summary": name }, "role": role })
                };
                page(request, "members", self.teams[place].members.iter().map(model).collect())
            }
            ("PUT", ["users", user]) => {
                if !self.users.iter().any(|one| one.id == *user) {
                    return Err(not_found());
                }
                let role = rest::body(request).and_then(|body| body.get("role")?.as_str().map(str::to_owned));
                let role = role.unwrap_or_else(|| "manager".to_owned());
                if !["responder", "manager", "observer"].contains(&role.as_str()) {
                    return Err(invalid("Role is not included in the list"));
                }
                let members = &mut self.teams[place].members;
                members.retain(|(member, _)| member != user);
                members.push(((*user).to_owned(), role));
                Ok(rest::empty(204))
            }
            ("DELETE", ["users", user]) => {
                let members = &mut self.teams[place].members;
                let before = members.len();
                members.retain(|(member, _)| member != user);
                if members.len() == before { Err(not_found()) } else { Ok(rest::empty(204)) }
            }
            _ => Err(not_found()),
        }
    }
}

/// The object of that name in a body.
fn object(request: &Request<Bytes>, name: &str) -> Result<Map<String, Value>, Refused> {
    let body = rest::body(request).ok_or_else(|| invalid("The body is no JSON object"))?;
    body.get(name).and_then(Value::as_object).cloned().ok_or_else(|| invalid("A required object is missing"))
}

fn page(request: &Request<Bytes>, name: &str, items: Vec<Value>) -> Answer {
    let limit = number(request, "limit").unwrap_or(USUAL);
    let offset = number(request, "offset").unwrap_or(0);
    if limit > MOST || offset.saturating_add(limit) > FURTHEST {
        return Err(invalid("limit must be at most 100, and offset and limit together at most 10000"));
    }
    let more = offset.saturating_add(limit) < items.len();
    let items: Vec<Value> = items.into_iter().skip(offset).take(limit).collect();
    Ok(rest::json(200, &json!({ name: items, "limit": limit, "offset": offset, "total": null, "more": more })))
}

impl Target for PagerDuty {
    fn name(&self) -> &'static str {
        "pagerduty"
    }

    fn offer(&self, base_url: &str) -> Offer {
        Offer {
            connector: "pagerduty",
            settings: json!({
                "url": base_url.trim_end_matches('/'),
                "from": FROM,
                "pace": self.limits.pace(),
            }),
            secrets: json!({ "api_key": KEY }),
        }
    }

    fn handle(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        if self.limits != Limits::Real {
            return self.route(request).unwrap_or_else(|refused| refused.response());
        }
        let before = self.window;
        let (left, seconds) = self.left(now);
        let spent = before.is_some_and(|(opened, used)| {
            used >= PER_MINUTE && now.duration_since(opened) < SignedDuration::from_secs(60)
        });
        let mut response = if spent {
            refused(429, "Rate Limit Exceeded", 2020, &[]).response()
        } else {
            self.route(request).unwrap_or_else(|refused| refused.response())
        };
        set(&mut response, "ratelimit-limit", &PER_MINUTE.to_string());
        set(&mut response, "ratelimit-remaining", &left.to_string());
        set(&mut response, "ratelimit-reset", &seconds.to_string());
        response
    }

    fn state(&self) -> Value {
        let accounts: Vec<Value> = self
            .users
            .iter()
            .filter(|user| user.email != FROM)
            .map(|user| {
                json!({ "id": user.id, "login": user.email, "email": user.email, "active": true, "role": user.role })
            })
            .collect();
        let groups: Vec<Value> = self
            .teams
            .iter()
            .map(|team| {
                let members: Vec<Value> = team
                    .members
                    .iter()
                    .filter_map(|(id, _)| self.users.iter().find(|user| user.id == *id))
                    .filter(|user| user.email != FROM)
                    .map(|user| json!({ "id": user.id, "login": user.email, "email": user.email }))
                    .collect();
                json!({ "id": team.id, "name": team.name, "members": members })
            })
            .collect();
        json!({ "accounts": accounts, "invitations": [], "groups": groups })
    }

    fn accept(&mut self, _: &Accept, _: Timestamp) -> Value {
        json!({ "accepted": [] })
    }

    fn load(&mut self, accounts: usize, groups: usize, _: Timestamp) {
        for n in 0..accounts {
            let email = format!("load{n:04}@example.com");
            if !self.users.iter().any(|user| user.email == email) {
                self.user(&format!("load{n:04}"), &email, "limited_user", None);
            }
        }
        for n in 0..groups {
            let name = format!("Load group {n:04}");
            if !self.teams.iter().any(|team| team.name == name) {
                let id = self.id();
                self.teams.push(Team { id, name, members: Vec::new() });
            }
        }
    }

    fn set(&mut self, what: &Value) -> Result<(), String> {
        let (mut valid, mut licences, mut on_call) = (self.valid, self.licences, self.on_call.clone());
        for knob in knobs::each(what)? {
            match knob.name {
                "token" => valid = knob.valid()?,
                "licences" => licences = knob.most()?,
                "on_call" => on_call = knob.texts()?,
                _ => return knob.unknown(),
            }
        }
        (self.valid, self.licences, self.on_call) = (valid, licences, on_call);
        Ok(())
    }

    fn too_many(&self, wait: Duration, _now: Timestamp) -> Response<Bytes> {
        let mut response = refused(429, "Rate Limit Exceeded", 2020, &[]).response();
        let per_second = match self.limits {
            Limits::PerSecond(n) => n,
            Limits::None | Limits::Real => 1,
        };
        set(&mut response, "ratelimit-limit", &per_second.to_string());
        set(&mut response, "ratelimit-remaining", "0");
        set(&mut response, "ratelimit-reset", &wait.as_secs().max(1).to_string());
        response
    }
}
