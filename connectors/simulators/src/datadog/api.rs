//! The calls of the API.

use std::collections::HashMap;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{Member, Refusal, World, stamp};
use super::{Rules, no_content, reply};

type Answer = Result<Response<Bytes>, Refusal>;

/// One call being answered.
pub(super) struct Api<'w> {
    pub(super) world: &'w mut World,
    pub(super) rules: &'w Rules,
    pub(super) now: Timestamp,
}

/// Page size where none is asked for, and the most.
const DEFAULT_PAGE: usize = 10;
const LARGEST_PAGE: usize = 100;

fn ok(data: Value) -> Answer {
    Ok(reply(StatusCode::OK, &json!({ "data": data })))
}

fn created(data: Value) -> Answer {
    Ok(reply(StatusCode::CREATED, &json!({ "data": data })))
}

fn body(request: &Request<Bytes>) -> Result<Value, Refusal> {
    let body: Value = serde_json::from_slice(request.body()).map_err(|_| Refusal::bad("Invalid JSON"))?;
    if body["data"].is_null() { Err(Refusal::bad("Missing data")) } else { Ok(body["data"].clone()) }
}

fn typed(data: &Value, ty: &str) -> Result<(), Refusal> {
    if data["type"] == ty { Ok(()) } else { Err(Refusal::bad(format!("Invalid type, expected {ty}"))) }
}

/// The parameters of a query.
struct Query(HashMap<String, String>);

impl Query {
    fn of(request: &Request<Bytes>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number(&self, name: &str, default: usize) -> Result<usize, Refusal> {
        match self.get(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| Refusal::bad(format!("Invalid {name}"))),
        }
    }

    /// One page of what was found, with the counts.
    fn page<T>(&self, found: Vec<T>) -> Result<(Vec<T>, usize), Refusal> {
        let size = self.number("page[size]", DEFAULT_PAGE)?;
        if size == 0 || size > LARGEST_PAGE {
            return Err(Refusal::bad(format!("page[size] must be between 1 and {LARGEST_PAGE}")));
        }
        let number = self.number("page[number]", 0)?;
        let total = found.len();
        Ok((found.into_iter().skip(number.saturating_mul(size)).take(size).collect(), total))
    }
}

fn listed(data: Vec<Value>, total: usize, filtered: usize) -> Answer {
    let page = json!({ "total_count": total, "total_filtered_count": filtered });
    Ok(reply(StatusCode::OK, &json!({ "data": data, "meta": { "page": page } })))
}

/// Teams count offsets, and link.
fn listed_teams(data: Vec<Value>, query: &Query, total: usize) -> Answer {
    let size = query.number("page[size]", DEFAULT_PAGE)?;
    let offset = query.number("page[number]", 0)?.saturating_mul(size);
    let pagination = json!({ "type": "number_size", "offset": offset, "limit": size, "total": total });
    Ok(reply(StatusCode::OK, &json!({ "data": data, "meta": { "pagination": pagination } })))
}

impl Api<'_> {
    pub(super) fn route(&mut self, request: &Request<Bytes>, path: &[&str]) -> Answer {
        let method = request.method().as_str();
        match (method, path) {
            ("GET", ["current_user"]) => ok(self.world.show_user(self.world.owner)),
            ("GET", ["users"]) => self.list_users(&Query::of(request)),
            ("POST", ["users"]) => self.create_user(&body(request)?),
            ("GET", ["users", id]) => ok(self.world.show_user(self.world.user(id)?)),
            ("PATCH", ["users", id]) => self.update_user(id, &body(request)?),
            ("DELETE", ["users", id]) => self.disable_user(id),
            ("DELETE", ["users", id, "invitations"]) => self.cancel(id),
            ("POST", ["user_invitations"]) => self.invite(&body(request)?),
            ("GET", ["user_invitations", id]) => self.invitation(id),
            ("GET", ["roles"]) => self.list_roles(&Query::of(request)),
            ("POST", ["roles"]) => self.create_role(&body(request)?),
            ("GET", ["roles", id]) => ok(self.world.show_role(self.world.role(id)?)),
            ("PATCH", ["roles", id]) => self.rename_role(id, &body(request)?),
            ("DELETE", ["roles", id]) => self.delete_role(id),
            ("GET", ["roles", id, "users"]) => self.role_users(id, &Query::of(request)),
            ("POST" | "DELETE", ["roles", id, "users"]) => self.change_role(id, &body(request)?, method == "POST"),
            (_, ["team", ..]) => self.teams(request, path),
            _ => Err(Refusal::absent("Resource")),
        }
    }

    fn list_users(&self, query: &Query) -> Answer {
        let text = query.get("filter").map(str::to_lowercase);
        let status: Option<Vec<&str>> = query.get("filter[status]").map(|all| all.split(',').map(str::trim).collect());
        let world = &self.world;
        let holds = |value: &str, text: &str| value.to_lowercase().contains(text);
        let mut found: Vec<(&u64, &super::world::User)> = world
            .users
            .iter()
            .filter(|(_, user)| {
                text.as_deref().is_none_or(|text| {
                    holds(&user.email, text)
                        || holds(&user.handle, text)
                        || user.name.as_deref().is_some_and(|name| holds(name, text))
                })
            })
            .filter(|(_, user)| status.as_ref().is_none_or(|some| some.contains(&user.status())))
            .filter(|(_, user)| !(self.rules.hide_unverified && user.disabled && !user.verified))
            .collect();
        // Ascending by name, which is what the description says of the order.
        found.sort_by(|a, b| (&a.1.name, a.0).cmp(&(&b.1.name, b.0)));
        let filtered = found.len();
        let (page, _) = query.page(found)?;
        let shown = page.into_iter().map(|(seq, _)| world.show_user(*seq)).collect();
        listed(shown, world.users.len(), filtered)
    }

    fn create_user(&mut self, data: &Value) -> Answer {
        typed(data, "users")?;
        let email = data["attributes"]["email"].as_str().unwrap_or_default().trim().to_owned();
        let sound = email.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'));
        if !sound {
            return Err(Refusal::bad("Invalid email"));
        }
        let name = data["attributes"]["name"].as_str();
        sound_name(name)?;
        let mut roles = Vec::new();
        for role in data["relationships"]["roles"]["data"].as_array().into_iter().flatten() {
            let id = role["id"].as_str().unwrap_or_default();
            roles.push(self.world.role(id).map_err(|_| Refusal::bad(format!("Role {id} does not exist")))?);
        }
        if self.world.user_handles.contains_key(&email.to_lowercase()) {
            let words = format!("User with handle {email} already exists");
            return Err(if self.rules.duplicate_conflicts { Refusal::conflict(words) } else { Refusal::bad(words) });
        }
        let seq = self.world.add_user(Uuid::new_v4(), &email, name, self.now);
        if let (Some(user), Some(title)) = (self.world.users.get_mut(&seq), data["attributes"]["title"].as_str()) {
            user.title = Some(title.to_owned());
        }
        for role in roles {
            let since = self.world.seq();
            if let Some(role) = self.world.roles.get_mut(&role) {
                role.users.insert(seq, since);
            }
        }
        created(self.world.show_user(seq))
    }

    fn update_user(&mut self, id: &str, data: &Value) -> Answer {
        typed(data, "users")?;
        let seq = self.world.user(id)?;
        if data["id"] != id {
            return Err(Refusal(StatusCode::UNPROCESSABLE_ENTITY, "The ids differ".to_owned()));
        }
        let attributes = &data["attributes"];
        sound_name(attributes["name"].as_str())?;
        if attributes["disabled"] == true && seq == self.world.owner {
            return Err(Refusal::bad("You cannot disable yourself"));
        }
        let now = self.now;
        if let Some(user) = self.world.users.get_mut(&seq) {
            if let Some(name) = attributes["name"].as_str() {
                user.name = Some(name.to_owned());
            }
            if let Some(email) = attributes["email"].as_str() {
                email.clone_into(&mut user.email);
            }
            if let Some(title) = attributes.get("title") {
                user.title = title.as_str().map(str::to_owned);
            }
            if let Some(disabled) = attributes["disabled"].as_bool() {
                user.disabled = disabled;
            }
            user.modified_at = now;
        }
        ok(self.world.show_user(seq))
    }

    fn disable_user(&mut self, id: &str) -> Answer {
        let seq = self.world.user(id)?;
        if seq == self.world.owner {
            return Err(Refusal::bad("You cannot disable yourself"));
        }
        let now = self.now;
        let user = self.world.users.get_mut(&seq).ok_or_else(|| Refusal::absent("User"))?;
        if user.disabled {
            // As users of the API report it (Terraform provider, pull request 752).
            return Err(Refusal::absent("User"));
        }
        (user.disabled, user.modified_at) = (true, now);
        Ok(no_content())
    }

    fn cancel(&mut self, id: &str) -> Answer {
        let seq = self.world.user(id)?;
        let gone = self.world.users.get_mut(&seq).map(|user| std::mem::take(&mut user.invitations));
        for id in gone.into_iter().flatten() {
            self.world.invitations.remove(&id);
        }
        Ok(Response::new(Bytes::new()))
    }

    fn invite(&mut self, data: &Value) -> Answer {
        let wanted = data.as_array().ok_or_else(|| Refusal::bad("data must be an array"))?;
        let mut users = Vec::with_capacity(wanted.len());
        for one in wanted {
            typed(one, "user_invitations")?;
            let user = &one["relationships"]["user"]["data"];
            typed(user, "users")?;
            let seq =
                self.world.user(user["id"].as_str().unwrap_or_default()).map_err(|_| Refusal::bad("Unknown user"))?;
            if self.world.users.get(&seq).is_some_and(|user| user.disabled) {
                return Err(Refusal::bad("The user is disabled"));
            }
            users.push(seq);
        }
        let mut sent = Vec::with_capacity(users.len());
        for seq in users {
            let id = Uuid::new_v4();
            self.world.invitations.insert(id, (seq, self.now));
            if let Some(user) = self.world.users.get_mut(&seq) {
                user.invitations.push(id);
            }
            sent.push(self.show_invitation(id));
        }
        created(Value::Array(sent))
    }

    fn invitation(&self, id: &str) -> Answer {
        let known = Uuid::try_parse(id).ok().filter(|id| self.world.invitations.contains_key(id));
        ok(self.show_invitation(known.ok_or_else(|| Refusal::absent("Invitation"))?))
    }

    fn show_invitation(&self, id: Uuid) -> Value {
        let Some((user, at)) = self.world.invitations.get(&id) else {
            return Value::Null;
        };
        let user = self.world.users.get(user).map(|user| user.id);
        // How long one lives is not documented; seven days is this simulator's choice.
        let end = at.saturating_add(SignedDuration::from_hours(7 * 24)).unwrap_or(Timestamp::MAX);
        json!({
            "type": "user_invitations",
            "id": id,
            "attributes": {
                "uuid": id, "created_at": stamp(*at), "expires_at": stamp(end), "invite_type": "openid_invite",
            },
            "relationships": { "user": { "data": { "type": "users", "id": user } } },
        })
    }

    fn list_roles(&self, query: &Query) -> Answer {
        let text = query.get("filter").map(str::to_lowercase);
        let all = self.world.roles.iter();
        let mut found: Vec<_> =
            all.filter(|(_, role)| text.as_ref().is_none_or(|text| role.name.to_lowercase().contains(text))).collect();
        found.sort_by(|a, b| (&a.1.name, a.0).cmp(&(&b.1.name, b.0)));
        let filtered = found.len();
        let (page, _) = query.page(found)?;
        let shown = page.into_iter().map(|(seq, _)| self.world.show_role(*seq)).collect();
        listed(shown, self.world.roles.len(), filtered)
    }

    fn create_role(&mut self, data: &Value) -> Answer {
        let name = data["attributes"]["name"].as_str().unwrap_or_default().trim();
        if name.is_empty() {
            return Err(Refusal::bad("Missing name"));
        }
        let seq = self.world.add_role(Uuid::new_v4(), name, self.now);
        ok(self.world.show_role(seq))
    }

    fn rename_role(&mut self, id: &str, data: &Value) -> Answer {
        typed(data, "roles")?;
        let seq = self.world.role(id)?;
        let now = self.now;
        if let (Some(role), Some(name)) = (self.world.roles.get_mut(&seq), data["attributes"]["name"].as_str()) {
            if super::world::MANAGED.contains(&role.name.as_str()) {
                return Err(Refusal::bad("Managed roles cannot be modified"));
            }
            (role.name, role.modified_at) = (name.to_owned(), now);
        }
        ok(self.world.show_role(seq))
    }

    fn delete_role(&mut self, id: &str) -> Answer {
        let seq = self.world.role(id)?;
        if self.world.roles.get(&seq).is_some_and(|role| super::world::MANAGED.contains(&role.name.as_str())) {
            return Err(Refusal::forbidden());
        }
        if let Some(role) = self.world.roles.remove(&seq) {
            self.world.role_ids.remove(&role.id);
        }
        Ok(no_content())
    }

    fn role_users(&self, id: &str, query: &Query) -> Answer {
        let role = self.world.roles.get(&self.world.role(id)?).ok_or_else(|| Refusal::absent("Role"))?;
        let mut found: Vec<(u64, u64)> = role.users.iter().map(|(user, since)| (*since, *user)).collect();
        found.sort_unstable();
        let total = found.len();
        let (page, _) = query.page(found)?;
        listed(page.into_iter().map(|(_, user)| self.world.show_user(user)).collect(), total, total)
    }

    fn change_role(&mut self, id: &str, data: &Value, give: bool) -> Answer {
        typed(data, "users")?;
        let seq = self.world.role(id)?;
        let user = self.world.user(data["id"].as_str().unwrap_or_default())?;
        let since = self.world.seq();
        if let Some(role) = self.world.roles.get_mut(&seq) {
            if give {
                role.users.entry(user).or_insert(since);
            } else {
                role.users.remove(&user);
            }
        }
        let users: Vec<u64> =
            self.world.roles.get(&seq).into_iter().flat_map(|role| role.users.keys().copied()).collect();
        let total = users.len();
        let shown = users.into_iter().take(DEFAULT_PAGE).map(|user| self.world.show_user(user)).collect();
        listed(shown, total, total)
    }

    fn teams(&mut self, request: &Request<Bytes>, path: &[&str]) -> Answer {
        let query = Query::of(request);
        match (request.method(), path) {
            (&Method::GET, ["team"]) => {
                let text = query.get("filter[keyword]").map(str::to_lowercase);
                let all = self.world.teams.iter();
                let mut found: Vec<_> = all
                    .filter(|(_, team)| {
                        text.as_ref()
                            .is_none_or(|text| team.name.to_lowercase().contains(text) || team.handle.contains(text))
                    })
                    .collect();
                found.sort_by(|a, b| (&a.1.name, a.0).cmp(&(&b.1.name, b.0)));
                let (page, total) = query.page(found)?;
                listed_teams(page.into_iter().map(|(seq, _)| self.world.show_team(*seq)).collect(), &query, total)
            }
            (&Method::POST, ["team"]) => {
                let data = body(request)?;
                typed(&data, "team")?;
                let text = |name: &str| data["attributes"][name].as_str().unwrap_or_default();
                let seq = self.world.add_team(text("name"), text("handle"), self.now)?;
                created(self.world.show_team(seq))
            }
            (&Method::GET, ["team", id]) => ok(self.world.show_team(self.world.team(id)?)),
            (&Method::PATCH, ["team", id]) => self.update_team(id, &body(request)?),
            (&Method::DELETE, ["team", id]) => {
                let seq = self.world.team(id)?;
                if let Some(team) = self.world.teams.remove(&seq) {
                    self.world.team_ids.remove(&team.id);
                    self.world.team_handles.remove(&team.handle);
                }
                Ok(no_content())
            }
            (&Method::GET, ["team", id, "memberships"]) => {
                let seq = self.world.team(id)?;
                let team = self.world.teams.get(&seq).ok_or_else(|| Refusal::absent("Team"))?;
                let mut found: Vec<(u64, u64)> = team.members.iter().map(|(user, it)| (it.since, *user)).collect();
                found.sort_unstable();
                let (page, total) = query.page(found)?;
                let shown = page.into_iter().map(|(_, user)| self.world.show_member(seq, user)).collect();
                listed_teams(shown, &query, total)
            }
            (&Method::POST, ["team", id, "memberships"]) => self.join(id, &body(request)?),
            (&Method::DELETE, ["team", id, "memberships", user]) => {
                let (seq, user) = (self.world.team(id)?, self.world.user(user)?);
                let team = self.world.teams.get_mut(&seq).ok_or_else(|| Refusal::absent("Team"))?;
                if team.members.get(&user).is_some_and(|member| member.by.is_some()) {
                    return Err(Refusal::forbidden());
                }
                team.members.remove(&user).map(|_| no_content()).ok_or_else(|| Refusal::absent("Membership"))
            }
            _ => Err(Refusal::absent("Resource")),
        }
    }

    fn update_team(&mut self, id: &str, data: &Value) -> Answer {
        typed(data, "team")?;
        let seq = self.world.team(id)?;
        let (Some(name), Some(handle)) = (data["attributes"]["name"].as_str(), data["attributes"]["handle"].as_str())
        else {
            return Err(Refusal::bad("name and handle are required"));
        };
        if self.world.team_handles.get(handle).is_some_and(|other| *other != seq) {
            return Err(Refusal::conflict("Team with this handle already exists"));
        }
        let now = self.now;
        if let Some(team) = self.world.teams.get_mut(&seq) {
            self.world.team_handles.remove(&team.handle);
            (team.name, team.handle, team.modified_at) = (name.to_owned(), handle.to_owned(), now);
            self.world.team_handles.insert(handle.to_owned(), seq);
        }
        ok(self.world.show_team(seq))
    }

    fn join(&mut self, id: &str, data: &Value) -> Answer {
        typed(data, "team_memberships")?;
        let seq = self.world.team(id)?;
        let user = self.world.user(data["relationships"]["user"]["data"]["id"].as_str().unwrap_or_default())?;
        let since = self.world.seq();
        let team = self.world.teams.get_mut(&seq).ok_or_else(|| Refusal::absent("Team"))?;
        if team.managed {
            return Err(Refusal::forbidden());
        }
        if team.members.contains_key(&user) {
            return Err(Refusal::conflict("User is already a member of this team"));
        }
        let admin = data["attributes"]["role"] == "admin";
        team.members.insert(user, Member { since, admin, by: None });
        ok(self.world.show_member(seq, user))
    }
}

/// At most 55 characters, without angle brackets (the description of `UserUpdateAttributes.name`).
fn sound_name(name: Option<&str>) -> Result<(), Refusal> {
    match name {
        Some(name) if name.chars().count() > 55 || name.contains(['<', '>']) => Err(Refusal::bad("Invalid name")),
        _ => Ok(()),
    }
}
