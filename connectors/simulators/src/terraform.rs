//! A simulated organisation of HCP Terraform: memberships, teams and their members by the API v2.
//!
//! Sources: developer.hashicorp.com/terraform/cloud-docs/api-docs (organization-memberships, teams, team-members,
//! organizations, rate limiting) and HashiCorp's client go-tfe. Where those are silent the choice is named at the place.
//! The organisation is `acme`; its creator `owner@acme.example` is in the team `owners` and stays out of `/_sim/state`.
//!
//! Knobs of `POST /_sim/set`: `token` (`"valid"` or `"revoked"`), `seats` (people who may be in the organisation besides
//! the owner, invited ones counted; null for no bound), `team_needed` (whether an invitation has to name a team, which
//! the documents say; HashiCorp's own client is tested without), `free` (the plan has no teams but `owners`),
//! `read_only` (the token may change nothing: every change is a 404, as for what is not there).

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::knobs;
use crate::rest::{self, Answer, Refused, number, parameter, set};
use crate::{Accept, Limits, Offer, Target};

/// The token. A constant: a simulator that takes another's place on its port is the same organisation.
const TOKEN: &str = "simulated.atlasv1.OrganizationTokenOfAcme";
const ORGANIZATION: &str = "acme";
const EXTERNAL_ID: &str = "org-SimulatedAcme0001";
const OWNER: &str = "owner@acme.example";
const OWNERS: &str = "owners";
/// The team that everybody may be invited into.
const EVERYONE: &str = "everyone";
/// Calls a second per user of a token (the page on rate limiting).
const PER_SECOND: u32 = 30;
/// Items of a page where none are asked for, and the most (the page on pagination).
const USUAL: usize = 20;
const MOST: usize = 100;
const MEDIA: &str = "application/vnd.api+json";

/// A simulated organisation.
#[derive(Debug)]
pub struct Terraform {
    limits: Limits,
    valid: bool,
    seats: Option<usize>,
    team_needed: bool,
    free: bool,
    read_only: bool,
    next: u32,
    people: Vec<Person>,
    teams: Vec<Team>,
    window: Option<(Timestamp, u32)>,
}

#[derive(Debug)]
struct Person {
    /// The membership's id.
    id: String,
    user: String,
    email: String,
    /// Chosen with the account, so none while invited.
    username: Option<String>,
}

#[derive(Debug)]
struct Team {
    id: String,
    name: String,
    /// Ids of memberships.
    members: Vec<String>,
}

fn refused(status: u16, title: &str, detail: Option<&str>, pointer: Option<&str>) -> Refused {
    let mut error = json!({ "status": status.to_string(), "title": title });
    if let Some(detail) = detail {
        error["detail"] = detail.into();
    }
    if let Some(pointer) = pointer {
        error["source"] = json!({ "pointer": pointer });
    }
    Refused::new(status, json!({ "errors": [error] }))
}

fn not_found() -> Refused {
    refused(404, "not found", None, None)
}

fn invalid(detail: &str, pointer: &str) -> Refused {
    refused(422, "invalid attribute", Some(detail), Some(pointer))
}

fn resource(kind: &str, id: &str) -> Value {
    json!({ "type": kind, "id": id })
}

impl Person {
    fn status(&self) -> &'static str {
        if self.username.is_some() { "active" } else { "invited" }
    }

    fn user(&self) -> Value {
        json!({
            "id": self.user,
            "type": "users",
            "attributes": {
                "username": self.username,
                "is-service-account": false,
                "email": self.email,
                "two-factor": { "enabled": false, "verified": false },
            },
            "links": { "self": format!("/api/v2/users/{}", self.user) },
        })
    }
}

impl Terraform {
    /// An organisation with nobody in it but its owner, and the teams `owners` and `everyone`.
    pub fn new(limits: Limits) -> Self {
        let mut organisation = Self {
            limits,
            valid: true,
            seats: None,
            team_needed: true,
            free: false,
            read_only: false,
            next: 0,
            people: Vec::new(),
            teams: Vec::new(),
            window: None,
        };
        let owner = organisation.person(OWNER, Some("acme-owner"));
        let owners = organisation.team(OWNERS);
        organisation.teams[owners].members.push(owner);
        organisation.team(EVERYONE);
        organisation
    }

    fn id(&mut self, prefix: &str) -> String {
        self.next += 1;
        format!("{prefix}-Sim{:012}", self.next)
    }

    fn person(&mut self, email: &str, username: Option<&str>) -> String {
        let (id, user) = (self.id("ou"), self.id("user"));
        let person =
            Person { id: id.clone(), user, email: email.to_lowercase(), username: username.map(str::to_owned) };
        self.people.push(person);
        id
    }

    fn team(&mut self, name: &str) -> usize {
        let id = self.id("team");
        self.teams.push(Team { id, name: name.to_owned(), members: Vec::new() });
        self.teams.len() - 1
    }

    fn membership(&self, person: &Person) -> Value {
        let teams: Vec<Value> = self
            .teams
            .iter()
            .filter(|team| team.members.contains(&person.id))
            .map(|team| resource("teams", &team.id))
            .collect();
        json!({
            "id": person.id,
            "type": "organization-memberships",
            "attributes": { "status": person.status(), "email": person.email },
            "relationships": {
                "teams": { "data": teams },
                "user": { "data": resource("users", &person.user) },
                "organization": { "data": resource("organizations", ORGANIZATION) },
            },
        })
    }

    /// A team. Users are shown once they accepted; memberships where they are asked for, invited ones too.
    fn shown(&self, team: &Team, memberships: bool) -> Value {
        let people = || self.people.iter().filter(|person| team.members.contains(&person.id));
        let users: Vec<Value> =
            people().filter(|person| person.username.is_some()).map(|person| resource("users", &person.user)).collect();
        let mut model = json!({
            "id": team.id,
            "type": "teams",
            "attributes": {
                "name": team.name,
                "sso-team-id": null,
                "users-count": users.len(),
                "visibility": if team.name == OWNERS { "organization" } else { "secret" },
                "allow-member-token-management": true,
                "permissions": { "can-update-membership": true, "can-destroy": team.name != OWNERS },
            },
            "relationships": { "users": { "data": users }, "authentication-token": { "meta": {} } },
            "links": { "self": format!("/api/v2/teams/{}", team.id) },
        });
        if memberships {
            let all: Vec<Value> = people().map(|person| resource("organization-memberships", &person.id)).collect();
            model["relationships"]["organization-memberships"] = json!({ "data": all });
        }
        model
    }

    fn route(&mut self, request: &Request<Bytes>) -> Answer {
        if !self.valid || rest::credential(request, "Bearer") != Some(TOKEN) {
            return Err(refused(401, "unauthorized", None, None));
        }
        let path = rest::path(request, "/api/v2").ok_or_else(not_found)?;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let method = rest::method(request);
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !request.body().is_empty() && kind != Some(MEDIA) {
            return Err(refused(
                415,
                "invalid content type",
                Some("content-type must be application/vnd.api+json"),
                None,
            ));
        }
        if self.read_only && method != "GET" {
            return Err(not_found());
        }
        match (method, path.as_slice()) {
            (_, ["organizations", name, below @ ..]) if *name == ORGANIZATION => {
                self.organization(request, method, below)
            }
            ("GET", ["organization-memberships", id]) => {
                let person = self.people.iter().find(|person| person.id == *id).ok_or_else(not_found)?;
                let mut body = json!({ "data": self.membership(person) });
                if includes(request, "user") {
                    body["included"] = json!([person.user()]);
                }
                Ok(api(200, &body))
            }
            ("DELETE", ["organization-memberships", id]) => {
                let place = self.people.iter().position(|person| person.id == *id).ok_or_else(not_found)?;
                self.people.remove(place);
                for team in &mut self.teams {
                    team.members.retain(|member| member != id);
                }
                Ok(rest::empty(204))
            }
            (_, ["teams", id, below @ ..]) => self.one_team(request, method, id, below),
            _ => Err(not_found()),
        }
    }

    fn organization(&mut self, request: &Request<Bytes>, method: &str, below: &[&str]) -> Answer {
        match (method, below) {
            ("GET", []) => Ok(api(
                200,
                &json!({ "data": {
                    "id": ORGANIZATION,
                    "type": "organizations",
                    "attributes": {
                        "external-id": EXTERNAL_ID,
                        "name": ORGANIZATION,
                        "email": OWNER,
                        "permissions": {
                            "can-update": true,
                            "can-access-via-teams": true,
                            "can-create-team": !self.free,
                            "can-manage-users": true,
                        },
                    },
                } }),
            )),
            ("GET", ["organization-memberships"]) => {
                let email = parameter(request, "filter[email]").map(|all| all.to_lowercase());
                let status = parameter(request, "filter[status]");
                let query = parameter(request, "q").map(|query| query.to_lowercase());
                let found: Vec<&Person> = self
                    .people
                    .iter()
                    .filter(|person| {
                        email.as_ref().is_none_or(|all| all.split(',').any(|one| one.trim() == person.email))
                            && status.as_ref().is_none_or(|status| status == person.status())
                            && query.as_ref().is_none_or(|query| {
                                person.email.contains(query)
                                    || person.username.as_ref().is_some_and(|name| name.to_lowercase().contains(query))
                            })
                    })
                    .collect();
                let (shown, meta) = page(request, &found)?;
                let data: Vec<Value> = shown.iter().map(|person| self.membership(person)).collect();
                let mut body = json!({ "data": data, "meta": meta });
                if includes(request, "user") {
                    body["included"] = shown.iter().map(|person| person.user()).collect();
                }
                Ok(api(200, &body))
            }
            ("POST", ["organization-memberships"]) => self.invite(request),
            ("GET", ["teams"]) => {
                let query = parameter(request, "q").map(|query| query.to_lowercase());
                let names = parameter(request, "filter[names]");
                let found: Vec<&Team> = self
                    .teams
                    .iter()
                    .filter(|team| {
                        query.as_ref().is_none_or(|query| team.name.to_lowercase().contains(query))
                            && names.as_ref().is_none_or(|all| all.split(',').any(|one| one == team.name))
                    })
                    .collect();
                let (shown, meta) = page(request, &found)?;
                let data: Vec<Value> = shown.iter().map(|team| self.shown(team, false)).collect();
                Ok(api(200, &json!({ "data": data, "meta": meta })))
            }
            ("POST", ["teams"]) => {
                if self.free {
                    return Err(not_found());
                }
                let name = self.team_name(request, None)?;
                let place = self.team(&name);
                Ok(api(201, &json!({ "data": self.shown(&self.teams[place], false) })))
            }
            _ => Err(not_found()),
        }
    }

    fn invite(&mut self, request: &Request<Bytes>) -> Answer {
        let data = data(request, "organization-memberships")?;
        let email = data["attributes"]["email"].as_str().unwrap_or_default().trim().to_lowercase();
        if !email.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty()) {
            return Err(invalid("Email is invalid", "/data/attributes/email"));
        }
        // The words of these two refusals are not documented.
        if self.people.iter().any(|person| person.email == email) {
            return Err(invalid("User has already been invited to the organization", "/data/attributes/email"));
        }
        let mut teams = Vec::new();
        for one in data["relationships"]["teams"]["data"].as_array().into_iter().flatten() {
            let known = self.teams.iter().position(|team| one["id"] == team.id.as_str() && one["type"] == "teams");
            teams.push(known.ok_or_else(not_found)?);
        }
        if self.team_needed && teams.is_empty() {
            return Err(invalid("User must be added to at least one team", "/data/relationships/teams"));
        }
        if self.seats.is_some_and(|most| self.people.len() > most) {
            return Err(refused(400, "bad request", Some("The organization has reached its user limit"), None));
        }
        let id = self.person(&email, None);
        for team in teams {
            if !self.teams[team].members.contains(&id) {
                self.teams[team].members.push(id.clone());
            }
        }
        let person = self.people.iter().find(|person| person.id == id).ok_or_else(not_found)?;
        Ok(api(201, &json!({ "data": self.membership(person), "included": [person.user()] })))
    }

    /// The name of a team in a body. Names are taken to be unique without case, which is not documented.
    fn team_name(&self, request: &Request<Bytes>, own: Option<&str>) -> Result<String, Refused> {
        let data = data(request, "teams")?;
        let name = data["attributes"]["name"].as_str().unwrap_or_default();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            return Err(invalid("Name can only include letters, numbers, -, and _", "/data/attributes/name"));
        }
        let taken = |team: &&Team| team.name.eq_ignore_ascii_case(name) && Some(team.id.as_str()) != own;
        if self.teams.iter().any(|team| taken(&team)) {
            return Err(invalid("Name has already been taken", "/data/attributes/name"));
        }
        Ok(name.to_owned())
    }

    fn one_team(&mut self, request: &Request<Bytes>, method: &str, id: &str, below: &[&str]) -> Answer {
        let place = self.teams.iter().position(|team| team.id == id).ok_or_else(not_found)?;
        match (method, below) {
            ("GET", []) => {
                let memberships = includes(request, "organization-memberships");
                let team = &self.teams[place];
                let mut body = json!({ "data": self.shown(team, memberships) });
                if memberships {
                    let people = self.people.iter().filter(|person| team.members.contains(&person.id));
                    body["included"] = people.map(|person| self.membership(person)).collect();
                }
                Ok(api(200, &body))
            }
            ("PATCH", []) => {
                let name = self.team_name(request, Some(id))?;
                // That the owners' team keeps its name and stays is this simulator's way of saying that it is special.
                if self.teams[place].name == OWNERS && name != OWNERS {
                    return Err(refused(403, "forbidden", Some("The owners team cannot be renamed"), None));
                }
                self.teams[place].name = name;
                Ok(api(200, &json!({ "data": self.shown(&self.teams[place], false) })))
            }
            ("DELETE", []) if self.teams[place].name == OWNERS => {
                Err(refused(403, "forbidden", Some("The owners team cannot be deleted"), None))
            }
            ("DELETE", []) => {
                self.teams.remove(place);
                Ok(rest::empty(204))
            }
            ("POST" | "DELETE", ["relationships", "organization-memberships"]) => {
                let body = rest::body(request);
                let listed = body.as_ref().and_then(|body| body.get("data")?.as_array());
                let listed = listed.ok_or_else(|| refused(400, "bad request", Some("data must be a list"), None))?;
                let mut ids = Vec::new();
                for one in listed {
                    let known = self.people.iter().find(|person| one["id"] == person.id.as_str());
                    if one["type"] != "organization-memberships" {
                        return Err(refused(422, "invalid attribute", Some("type is invalid"), None));
                    }
                    ids.push(known.ok_or_else(not_found)?.id.clone());
                }
                let members = &mut self.teams[place].members;
                members.retain(|member| !ids.contains(member));
                if method == "POST" {
                    members.extend(ids);
                }
                Ok(rest::empty(204))
            }
            _ => Err(not_found()),
        }
    }

    /// What is left of the second: calls and seconds.
    fn left(&mut self, now: Timestamp) -> (Option<u32>, f64) {
        let (opened, used) = match self.window {
            Some((opened, used)) if now.duration_since(opened) < SignedDuration::from_secs(1) => (opened, used + 1),
            _ => (now, 1),
        };
        self.window = Some((opened, used));
        (PER_SECOND.checked_sub(used), (1.0 - now.duration_since(opened).as_secs_f64()).max(0.001))
    }
}

fn api(status: u16, body: &Value) -> Response<Bytes> {
    let mut response = rest::json(status, body);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/vnd.api+json; charset=utf-8"));
    response
}

fn too_many() -> Refused {
    refused(429, "Too many requests", Some("You have exceeded the API's rate limit."), None)
}

fn includes(request: &Request<Bytes>, what: &str) -> bool {
    parameter(request, "include").is_some_and(|all| all.split(',').any(|one| one == what))
}

/// The `data` of a body, which must be of that type.
fn data(request: &Request<Bytes>, kind: &str) -> Result<Value, Refused> {
    let body = rest::body(request).ok_or_else(|| refused(400, "bad request", Some("The body is no JSON"), None))?;
    match body.get("data") {
        Some(data) if data["type"] == kind => Ok(data.clone()),
        _ => Err(refused(422, "invalid attribute", Some("data is missing or of another type"), Some("/data"))),
    }
}

/// A page of what was found, and its `meta`.
fn page<'a, T>(request: &Request<Bytes>, found: &[&'a T]) -> Result<(Vec<&'a T>, Value), Refused> {
    let size = number(request, "page[size]").unwrap_or(USUAL).clamp(1, MOST);
    let page = number(request, "page[number]").unwrap_or(1).max(1);
    let pages = found.len().div_ceil(size).max(1);
    let shown: Vec<&T> = found.iter().skip((page - 1).saturating_mul(size)).take(size).copied().collect();
    let meta = json!({ "pagination": {
        "current-page": page,
        "page-size": size,
        "prev-page": if page > 1 { Some(page - 1) } else { None },
        "next-page": if page < pages { Some(page + 1) } else { None },
        "total-pages": pages,
        "total-count": found.len(),
    } });
    Ok((shown, meta))
}

impl Target for Terraform {
    fn name(&self) -> &'static str {
        "terraform"
    }

    fn offer(&self, base_url: &str) -> Offer {
        let team = self.teams.iter().find(|team| team.name == EVERYONE).map(|team| team.id.as_str());
        Offer {
            connector: "terraform",
            settings: json!({
                "url": format!("{}/api/v2", base_url.trim_end_matches('/')),
                "organization": ORGANIZATION,
                "team": team,
                "protect": OWNER,
                "pace": self.limits.pace(),
            }),
            secrets: json!({ "token": TOKEN }),
        }
    }

    fn handle(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        if self.limits != Limits::Real {
            return self.route(request).unwrap_or_else(|refused| refused.response());
        }
        let (left, seconds) = self.left(now);
        let mut response = match left {
            Some(_) => self.route(request).unwrap_or_else(|refused| refused.response()),
            None => too_many().response(),
        };
        set(&mut response, "x-ratelimit-limit", &PER_SECOND.to_string());
        set(&mut response, "x-ratelimit-remaining", &left.unwrap_or(0).to_string());
        set(&mut response, "x-ratelimit-reset", &format!("{seconds:.3}"));
        response
    }

    fn state(&self) -> Value {
        let others = || self.people.iter().filter(|person| person.email != OWNER);
        let accounts: Vec<Value> = others()
            .filter(|person| person.username.is_some())
            .map(|person| json!({ "id": person.id, "login": person.username, "email": person.email, "active": true }))
            .collect();
        let invitations: Vec<Value> = others()
            .filter(|person| person.username.is_none())
            .map(|person| json!({ "id": person.id, "email": person.email }))
            .collect();
        let groups: Vec<Value> = self
            .teams
            .iter()
            .filter(|team| team.name != OWNERS && team.name != EVERYONE)
            .map(|team| {
                let members: Vec<Value> = others()
                    .filter(|person| team.members.contains(&person.id))
                    .map(|person| json!({ "id": person.id, "login": person.username, "email": person.email }))
                    .collect();
                json!({ "id": team.id, "name": team.name, "members": members })
            })
            .collect();
        json!({ "accounts": accounts, "invitations": invitations, "groups": groups })
    }

    fn accept(&mut self, which: &Accept, _: Timestamp) -> Value {
        let mut accepted = Vec::new();
        for person in self.people.iter_mut().filter(|person| person.username.is_none()) {
            if which.email.as_deref().is_some_and(|email| !email.eq_ignore_ascii_case(&person.email)) {
                continue;
            }
            let name = match &which.login {
                // Somebody else opens the link: their account is what becomes the member.
                Some(login) => {
                    person.email = format!("{login}@elsewhere.example");
                    login.clone()
                }
                None => person.email.split('@').next().unwrap_or_default().to_owned(),
            };
            accepted.push(json!({ "id": person.id, "email": person.email, "login": name }));
            person.username = Some(name);
        }
        json!({ "accepted": accepted })
    }

    fn load(&mut self, accounts: usize, groups: usize, _: Timestamp) {
        for n in 0..accounts {
            let (name, email) = (format!("load{n:04}"), format!("load{n:04}@example.com"));
            if !self.people.iter().any(|person| person.email == email) {
                self.person(&email, Some(&name));
            }
        }
        for n in 0..groups {
            let name = format!("load-group-{n:04}");
            if !self.teams.iter().any(|team| team.name == name) {
                self.team(&name);
            }
        }
    }

    fn set(&mut self, what: &Value) -> Result<(), String> {
        let (mut valid, mut seats, mut team_needed, mut free) = (self.valid, self.seats, self.team_needed, self.free);
        let mut read_only = self.read_only;
        for knob in knobs::each(what)? {
            match knob.name {
                "token" => valid = knob.valid()?,
                "seats" => seats = knob.most()?,
                "team_needed" => team_needed = knob.flag()?,
                "free" => free = knob.flag()?,
                "read_only" => read_only = knob.flag()?,
                _ => return knob.unknown(),
            }
        }
        (self.valid, self.seats, self.team_needed, self.free) = (valid, seats, team_needed, free);
        self.read_only = read_only;
        Ok(())
    }

    fn too_many(&self, wait: Duration, _now: Timestamp) -> Response<Bytes> {
        let mut response = too_many().response();
        let per_second = match self.limits {
            Limits::PerSecond(n) => n,
            Limits::None | Limits::Real => 1,
        };
        set(&mut response, "x-ratelimit-limit", &per_second.to_string());
        set(&mut response, "x-ratelimit-remaining", "0");
        set(&mut response, "x-ratelimit-reset", &format!("{:.3}", wait.as_secs_f64().max(0.001)));
        response
    }
}
