//! A simulated Grafana server with an organisation, and a second that some users are in: users, their roles, and teams by the HTTP API.
//!
//! Sources: grafana.com/docs (admin, user, organization and team HTTP API) and Grafana's published source
//! (`pkg/api/admin_users.go`, `org_users.go`, `team.go`). The credential is that of the server admin `gateway`,
//! who stays out of `/_sim/state`.
//!
//! Habits that are easily missed: a creation answers 200 with an id alone; the refusal to disable a user who
//! came from outside is a 500; a PUT empties what it does not name; whoever makes a team is its admin; the
//! members of a team that is not there are an empty list.
//!
//! Knobs of `POST /_sim/set`: `token` (`"valid"` or `"revoked"`), `external` (addresses of users who came from
//! outside), `elsewhere` (addresses of users of the server who are in no organisation here), `both` (addresses of
//! users who are in a second organisation as well), `server_admin` (whether the credential's user is one).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::knobs;
use crate::rest::{self, Answer, Refused, number, parameter, set};
use crate::{Accept, Limits, Offer, Target};

/// Whose credential it is. Constants: a simulator that takes another's place on its port is the same server.
const OWN: &str = "gateway";
const PASSWORD: &str = "simulated-grafana-password-1";
/// The organisation.
const ORG: u64 = 1;
/// Items of a page where none are asked for.
const USUAL: usize = 1_000;
const ROLES: [&str; 4] = ["None", "Viewer", "Editor", "Admin"];

/// A simulated server.
#[derive(Debug)]
pub struct Grafana {
    limits: Limits,
    valid: bool,
    server_admin: bool,
    external: Vec<String>,
    elsewhere: Vec<String>,
    both: Vec<String>,
    next: u64,
    users: Vec<User>,
    /// Those who are in the second organisation alone.
    others: Vec<User>,
    teams: Vec<Team>,
}

#[derive(Debug)]
struct User {
    id: u64,
    login: String,
    email: String,
    name: String,
    role: String,
    disabled: bool,
}

#[derive(Debug)]
struct Team {
    id: u64,
    name: String,
    email: String,
    /// Users' ids, each with whether they are its admin.
    members: Vec<(u64, bool)>,
}

fn refused(status: u16, message: &str) -> Refused {
    Refused::new(status, json!({ "message": message }))
}

fn done(message: &str) -> Answer {
    Ok(rest::json(200, &json!({ "message": message })))
}

fn text<'a>(body: &'a Map<String, Value>, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default().trim()
}

/// A page of a list, by `perpage` and `page`.
fn page<T>(request: &Request<Bytes>, items: Vec<T>) -> (Vec<T>, usize, usize, usize) {
    let size = number(request, "perpage").filter(|size| *size > 0).unwrap_or(USUAL);
    let at = number(request, "page").unwrap_or(1).max(1);
    let total = items.len();
    (items.into_iter().skip((at - 1).saturating_mul(size)).take(size).collect(), total, at, size)
}

impl Grafana {
    /// A server with nobody in it but the admin.
    pub fn new(limits: Limits) -> Self {
        let mut server = Self {
            limits,
            valid: true,
            server_admin: true,
            external: Vec::new(),
            elsewhere: Vec::new(),
            both: Vec::new(),
            next: 0,
            users: Vec::new(),
            others: Vec::new(),
            teams: Vec::new(),
        };
        server.user(OWN, "gateway@acme.example", "Gateway", "Admin");
        server
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn user(&mut self, login: &str, email: &str, name: &str, role: &str) -> u64 {
        let id = self.id();
        let (login, email, name, role) = (login.to_owned(), email.to_owned(), name.to_owned(), role.to_owned());
        self.users.push(User { id, login, email, name, role, disabled: false });
        id
    }

    fn place(&self, id: &str) -> Result<usize, Refused> {
        let id: u64 = id.parse().map_err(|_| refused(400, "id is invalid"))?;
        self.users.iter().position(|user| user.id == id).ok_or_else(|| refused(404, "user not found"))
    }

    fn team(&self, id: &str) -> Result<usize, Refused> {
        let id: u64 = id.parse().map_err(|_| refused(400, "teamId is invalid"))?;
        self.teams.iter().position(|team| team.id == id).ok_or_else(|| refused(404, "Team not found"))
    }

    /// Whether a user is of another source than the server's own.
    fn is_external(&self, user: &User) -> bool {
        self.external.iter().any(|email| email.eq_ignore_ascii_case(&user.email))
    }

    /// Whether somebody else has this login or address, here or in no organisation.
    fn taken(&self, login: &str, email: &str, own: Option<u64>) -> bool {
        let same = |one: &str, other: &str| !other.is_empty() && one.eq_ignore_ascii_case(other);
        self.elsewhere.iter().any(|one| same(one, email) || same(one, login))
            || self.users.iter().chain(&self.others).any(|user| {
                Some(user.id) != own
                    && (same(&user.login, login) || same(&user.email, email) || same(&user.login, email))
            })
    }

    fn route(&mut self, request: &Request<Bytes>) -> Answer {
        let given = rest::credential(request, "Basic").and_then(|text| STANDARD.decode(text).ok());
        let wanted = format!("{OWN}:{PASSWORD}");
        if !self.valid || given.as_deref() != Some(wanted.as_bytes()) {
            return Err(refused(401, "Invalid username or password"));
        }
        let path = rest::path(request, "/api").ok_or_else(|| refused(404, "Not found"))?;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let of_server = matches!(path.first(), Some(&("admin" | "users" | "orgs")));
        if of_server && !self.server_admin {
            return Err(refused(403, "Permission denied"));
        }
        let body = rest::body(request).unwrap_or_default();
        match (rest::method(request), path.as_slice()) {
            ("GET", ["user"]) => Ok(rest::json(
                200,
                &json!({ "id": 1, "login": OWN, "email": "gateway@acme.example", "orgId": ORG, "isGrafanaAdmin": self.server_admin }),
            )),
            ("GET", ["orgs", org]) if *org == ORG.to_string() => {
                Ok(rest::json(200, &json!({ "id": ORG, "name": "Main Org." })))
            }
            ("GET", ["orgs", _]) => Err(refused(404, "Organization not found")),
            (method, ["orgs", org, "users", below @ ..]) if *org == ORG.to_string() => {
                self.org_users(request, method, below, &body)
            }
            ("DELETE", ["org", "users", id]) => self.leave(id),
            ("GET", ["users", id, "orgs"]) => {
                let user = &self.users[self.place(id)?];
                let mut orgs = vec![json!({ "orgId": ORG, "name": "Main Org.", "role": user.role })];
                if self.is_both(user) {
                    orgs.push(json!({ "orgId": ORG + 1, "name": "Second Org.", "role": "Viewer" }));
                }
                Ok(rest::json(200, &json!(orgs)))
            }
            ("POST", ["admin", "users"]) => self.create(&body),
            (method, ["admin", "users", id, below @ ..]) => self.admin(method, id, below),
            ("PUT", ["users", id]) => self.change(id, &body),
            (method, ["teams", below @ ..]) => self.teams(request, method, below, &body),
            _ => Err(refused(404, "Not found")),
        }
    }

    fn org_users(
        &mut self,
        request: &Request<Bytes>,
        method: &str,
        below: &[&str],
        body: &Map<String, Value>,
    ) -> Answer {
        match (method, below) {
            ("GET", ["search"]) => {
                let query = parameter(request, "query").unwrap_or_default().to_lowercase();
                let has = |text: &String| text.to_lowercase().contains(&query);
                let mut users: Vec<&User> =
                    self.users.iter().filter(|user| has(&user.login) || has(&user.email) || has(&user.name)).collect();
                users.sort_by(|one, other| (&one.email, &one.login).cmp(&(&other.email, &other.login)));
                let (users, total, at, size) = page(request, users);
                let shown: Vec<Value> = users
                    .into_iter()
                    .map(|user| {
                        json!({
                            "orgId": ORG, "userId": user.id, "email": user.email, "name": user.name,
                            "login": user.login, "role": user.role, "isDisabled": user.disabled,
                            "avatarUrl": "/avatar/0", "lastSeenAtAge": "10 years",
                            "authLabels": if self.is_external(user) { vec!["OAuth"] } else { Vec::new() },
                        })
                    })
                    .collect();
                Ok(rest::json(200, &json!({ "totalCount": total, "orgUsers": shown, "page": at, "perPage": size })))
            }
            ("PATCH", [id]) => {
                let place = self.place(id)?;
                let role = text(body, "role");
                if !ROLES.contains(&role) {
                    return Err(refused(400, "Invalid role specified"));
                }
                let admins = self.users.iter().filter(|user| user.role == "Admin").count();
                if self.users[place].role == "Admin" && role != "Admin" && admins == 1 {
                    return Err(refused(400, "Cannot change role so that there is no organization admin left"));
                }
                self.users[place].role = role.to_owned();
                done("Organization user updated")
            }
            _ => Err(refused(404, "Not found")),
        }
    }

    fn is_both(&self, user: &User) -> bool {
        self.both.iter().any(|email| email.eq_ignore_ascii_case(&user.email))
    }

    /// Somebody leaves the organisation; who is in no other leaves the server (`removeOrgUserHelper` in org_users.go).
    fn leave(&mut self, id: &str) -> Answer {
        let place = self.place(id)?;
        let admins = self.users.iter().filter(|user| user.role == "Admin").count();
        if self.users[place].role == "Admin" && admins == 1 {
            return Err(refused(400, "Cannot remove last organization admin"));
        }
        let user = self.users.remove(place);
        for team in &mut self.teams {
            team.members.retain(|(id, _)| *id != user.id);
        }
        if self.is_both(&user) {
            self.others.push(user);
            return done("User removed from organization");
        }
        done("User deleted")
    }

    fn create(&mut self, body: &Map<String, Value>) -> Answer {
        let email = text(body, "email");
        let login = if text(body, "login").is_empty() { email } else { text(body, "login") };
        if login.is_empty() {
            return Err(refused(400, "Validation error, need specify either username or email"));
        }
        if text(body, "password").len() < 4 {
            return Err(refused(400, "Password is missing or too short"));
        }
        if body.get("OrgId").and_then(Value::as_u64).is_some_and(|org| org != ORG) {
            return Err(refused(400, "organization not found"));
        }
        if self.taken(login, email, None) {
            return Err(refused(412, &format!("User with email '{email}' or username '{login}' already exists")));
        }
        let id = self.user(login, email, text(body, "name"), "Viewer");
        Ok(rest::json(200, &json!({ "id": id, "message": "User created" })))
    }

    fn admin(&mut self, method: &str, id: &str, below: &[&str]) -> Answer {
        let place = self.place(id)?;
        let external = self.is_external(&self.users[place]);
        match (method, below) {
            ("POST", ["disable"]) if external => Err(refused(500, "Could not disable external user")),
            ("POST", ["enable"]) if external => Err(refused(500, "Could not enable external user")),
            ("POST", ["disable"]) => {
                self.users[place].disabled = true;
                done("User disabled")
            }
            ("POST", ["enable"]) => {
                self.users[place].disabled = false;
                done("User enabled")
            }
            ("DELETE", []) => {
                let user = self.users.remove(place);
                for team in &mut self.teams {
                    team.members.retain(|(id, _)| *id != user.id);
                }
                done("User deleted")
            }
            _ => Err(refused(404, "Not found")),
        }
    }

    fn change(&mut self, id: &str, body: &Map<String, Value>) -> Answer {
        let place = self.place(id)?;
        if self.is_external(&self.users[place]) {
            return Err(refused(403, "User info cannot be updated for external Users"));
        }
        let (login, email, name) = (text(body, "login"), text(body, "email"), text(body, "name"));
        let login = if login.is_empty() { email } else { login };
        if login.is_empty() {
            return Err(refused(400, "Validation error, need to specify either username or email"));
        }
        if self.taken(login, email, Some(self.users[place].id)) {
            return Err(refused(409, "User already exists"));
        }
        let user = &mut self.users[place];
        (user.login, user.email, user.name) = (login.to_owned(), email.to_owned(), name.to_owned());
        done("User updated")
    }

    fn shown(team: &Team) -> Value {
        json!({
            "id": team.id, "uid": format!("t{:013x}", team.id), "orgId": ORG, "name": team.name, "email": team.email,
            "memberCount": team.members.len(),
        })
    }

    /// A name that is free in the organisation.
    fn free_name(&self, body: &Map<String, Value>, own: Option<u64>) -> Result<String, Refused> {
        let name = text(body, "name");
        if name.is_empty() {
            return Err(refused(400, "bad request data"));
        }
        if self.teams.iter().any(|team| team.name.eq_ignore_ascii_case(name) && Some(team.id) != own) {
            return Err(refused(409, "Team name taken"));
        }
        Ok(name.to_owned())
    }

    fn teams(&mut self, request: &Request<Bytes>, method: &str, below: &[&str], body: &Map<String, Value>) -> Answer {
        match (method, below) {
            ("GET", ["search"]) => {
                let query = parameter(request, "query").unwrap_or_default().to_lowercase();
                let mut teams: Vec<&Team> =
                    self.teams.iter().filter(|team| team.name.to_lowercase().contains(&query)).collect();
                teams.sort_by(|one, other| one.name.cmp(&other.name));
                let (teams, total, at, size) = page(request, teams);
                let teams: Vec<Value> = teams.into_iter().map(Self::shown).collect();
                Ok(rest::json(200, &json!({ "totalCount": total, "teams": teams, "page": at, "perPage": size })))
            }
            ("POST", []) => {
                let name = self.free_name(body, None)?;
                let id = self.id();
                let email = text(body, "email").to_owned();
                let members = self.users.iter().filter(|user| user.login == OWN).map(|user| (user.id, true)).collect();
                self.teams.push(Team { id, name, email, members });
                Ok(rest::json(200, &json!({ "message": "Team created", "teamId": id, "uid": format!("t{id:013x}") })))
            }
            ("GET", [id]) => Ok(rest::json(200, &Self::shown(&self.teams[self.team(id)?]))),
            ("PUT", [id]) => {
                let place = self.team(id)?;
                let name = self.free_name(body, Some(self.teams[place].id))?;
                self.teams[place].name = name;
                self.teams[place].email = text(body, "email").to_owned();
                done("Team updated")
            }
            ("DELETE", [id]) => {
                let place = self.team(id)?;
                self.teams.remove(place);
                done("Team deleted")
            }
            ("GET", [id, "members"]) => {
                let members = self.team(id).map(|place| self.teams[place].members.as_slice()).unwrap_or_default();
                let shown: Vec<Value> = members
                    .iter()
                    .filter_map(|(member, admin)| {
                        let user = self.users.iter().find(|user| user.id == *member)?;
                        Some(json!({
                            "orgId": ORG, "teamId": id.parse::<u64>().ok(), "userId": user.id, "email": user.email,
                            "name": user.name, "login": user.login, "permission": if *admin { 4 } else { 0 },
                        }))
                    })
                    .collect();
                Ok(rest::json(200, &json!(shown)))
            }
            ("POST", [id, "members"]) => {
                let place = self.team(id)?;
                let member =
                    body.get("userId").and_then(Value::as_u64).ok_or_else(|| refused(400, "bad request data"))?;
                if !self.users.iter().any(|user| user.id == member) {
                    return Err(refused(404, "user not found"));
                }
                if self.teams[place].members.iter().any(|(one, _)| *one == member) {
                    return Err(refused(400, "User is already added to this team"));
                }
                self.teams[place].members.push((member, false));
                done("Member added to Team")
            }
            ("DELETE", [id, "members", member]) => {
                let place = self.team(id)?;
                let members = &mut self.teams[place].members;
                let before = members.len();
                members.retain(|(one, _)| one.to_string() != *member);
                if members.len() == before {
                    return Err(refused(404, "Team member not found"));
                }
                done("Team Member removed")
            }
            _ => Err(refused(404, "Not found")),
        }
    }
}

impl Target for Grafana {
    fn name(&self) -> &'static str {
        "grafana"
    }

    fn offer(&self, base_url: &str) -> Offer {
        Offer {
            connector: "grafana",
            settings: json!({
                "url": format!("{}/api", base_url.trim_end_matches('/')),
                "username": OWN,
                "pace": self.limits.pace(),
            }),
            secrets: json!({ "password": PASSWORD }),
        }
    }

    fn handle(&mut self, request: &Request<Bytes>, _: Timestamp) -> Response<Bytes> {
        self.route(request).unwrap_or_else(|refused| refused.response())
    }

    fn state(&self) -> Value {
        let others = || self.users.iter().filter(|user| user.login != OWN);
        let accounts: Vec<Value> = others()
            .map(|user| {
                json!({
                    "id": user.id, "login": user.login, "email": user.email, "name": user.name, "role": user.role,
                    "active": !user.disabled,
                })
            })
            .collect();
        let groups: Vec<Value> = self
            .teams
            .iter()
            .map(|team| {
                let members: Vec<Value> = team
                    .members
                    .iter()
                    .filter_map(|(id, _)| others().find(|user| user.id == *id))
                    .map(|user| json!({ "id": user.id, "login": user.login, "email": user.email }))
                    .collect();
                json!({ "id": team.id, "name": team.name, "email": team.email, "members": members })
            })
            .collect();
        let others: Vec<&str> = self.others.iter().map(|user| user.login.as_str()).collect();
        json!({ "accounts": accounts, "invitations": [], "groups": groups, "second_organisation_alone": others })
    }

    fn accept(&mut self, _: &Accept, _: Timestamp) -> Value {
        json!({ "accepted": [] })
    }

    fn load(&mut self, accounts: usize, groups: usize, _: Timestamp) {
        for n in 0..accounts {
            let login = format!("load{n:04}");
            if !self.users.iter().any(|user| user.login == login) {
                self.user(&login, &format!("{login}@example.com"), &login, "Viewer");
            }
        }
        for n in 0..groups {
            let name = format!("Load group {n:04}");
            if !self.teams.iter().any(|team| team.name == name) {
                let id = self.id();
                self.teams.push(Team { id, name, email: String::new(), members: Vec::new() });
            }
        }
    }

    fn set(&mut self, what: &Value) -> Result<(), String> {
        let (mut valid, mut server_admin) = (self.valid, self.server_admin);
        let (mut external, mut elsewhere) = (self.external.clone(), self.elsewhere.clone());
        let mut both = self.both.clone();
        for knob in knobs::each(what)? {
            match knob.name {
                "token" => valid = knob.valid()?,
                "external" => external = knob.texts()?,
                "elsewhere" => elsewhere = knob.texts()?,
                "both" => both = knob.texts()?,
                "server_admin" => server_admin = knob.flag()?,
                _ => return knob.unknown(),
            }
        }
        (self.valid, self.server_admin) = (valid, server_admin);
        (self.external, self.elsewhere, self.both) = (external, elsewhere, both);
        Ok(())
    }

    /// Grafana has no limit; this is what a proxy in front of it says.
    fn too_many(&self, wait: Duration, _: Timestamp) -> Response<Bytes> {
        let mut response = refused(429, "Too many requests").response();
        set(&mut response, "retry-after", &wait.as_secs().max(1).to_string());
        response
    }
}
