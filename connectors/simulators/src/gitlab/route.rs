//! The calls of the simulated GitLab.

use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{GitLab, Group, Invitation, Membership, TOKEN, TOP};
use crate::rest::{self, Answer, Refused, number, parameter, set};

/// Items of a page where none are asked for, and the most (docs.gitlab.com/api/rest).
const USUAL: usize = 20;
const MOST: usize = 100;
const LEVELS: [u64; 8] = [0, 5, 10, 15, 20, 30, 40, 50];
const VISIBILITIES: [&str; 3] = ["private", "internal", "public"];

pub(super) fn refused(status: u16, message: &str) -> Refused {
    Refused::new(status, json!({ "message": message }))
}

pub(super) fn not_found(what: &str) -> Refused {
    refused(404, &format!("404 {what} Not Found"))
}

/// A parameter that is missing or cannot be: GitLab's API names it under `error`.
pub(super) fn invalid(error: &str) -> Refused {
    Refused::new(400, json!({ "error": error }))
}

/// A whole number, given as one or as text.
fn whole(body: &Map<String, Value>, name: &str) -> Option<u64> {
    let value = body.get(name)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

pub(super) fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    body.get(name)?.as_str().filter(|text| !text.is_empty())
}

fn level(body: &Map<String, Value>) -> Result<u64, Refused> {
    let level = whole(body, "access_level").ok_or_else(|| invalid("access_level is missing"))?;
    if LEVELS.contains(&level) { Ok(level) } else { Err(invalid("access_level does not have a valid value")) }
}

/// One page of a list, with GitLab's headers.
pub(super) fn page(request: &Request<Bytes>, items: &[Value]) -> Answer {
    let size = number(request, "per_page").unwrap_or(USUAL).clamp(1, MOST);
    let at = number(request, "page").unwrap_or(1).max(1);
    let pages = items.len().div_ceil(size).max(1);
    let shown: Vec<&Value> = items.iter().skip((at - 1).saturating_mul(size)).take(size).collect();
    let mut response = rest::json(200, &json!(shown));
    let next = if at < pages { (at + 1).to_string() } else { String::new() };
    let previous = if at > 1 { (at - 1).to_string() } else { String::new() };
    set(&mut response, "x-page", &at.to_string());
    set(&mut response, "x-per-page", &size.to_string());
    set(&mut response, "x-next-page", &next);
    set(&mut response, "x-prev-page", &previous);
    set(&mut response, "x-total", &items.len().to_string());
    set(&mut response, "x-total-pages", &pages.to_string());
    Ok(response)
}

impl GitLab {
    pub(super) fn route(&mut self, request: &Request<Bytes>, now: Timestamp) -> Answer {
        let given = request.headers().get("private-token").and_then(|value| value.to_str().ok());
        if !self.valid || given.or_else(|| rest::credential(request, "Bearer")) != Some(TOKEN) {
            return Err(refused(401, "401 Unauthorized"));
        }
        let path = rest::path(request, "/api/v4").ok_or_else(|| refused(404, "404 Not Found"))?;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match (rest::method(request), path.as_slice()) {
            ("GET", ["user"]) => {
                let own = self.own().and_then(|id| self.find_user(id));
                let own = own.ok_or_else(|| not_found("User"))?;
                Ok(rest::json(
                    200,
                    &json!({ "id": own.id, "username": own.username, "name": own.name, "state": "active" }),
                ))
            }
            ("POST", ["groups"]) => self.create_group(request, now),
            (method, ["users", below @ ..]) if self.server => self.server_users(request, method, below),
            (method, ["groups", id, below @ ..]) => {
                // A group is named by its number or by its whole path.
                let top = self.groups.first().map(|group| group.path.clone()).unwrap_or_default();
                let by_path = |group: &Group| match group.parent {
                    None => group.path == *id,
                    Some(_) => format!("{top}/{}", group.path) == *id,
                };
                let place = self.groups.iter().position(|group| group.id.to_string() == *id || by_path(group));
                let place = place.ok_or_else(|| not_found("Group"))?;
                match (method, below) {
                    (_, ["members", below @ ..]) => self.members(request, method, place, below, now),
                    (_, ["invitations", below @ ..]) => self.invitations(request, method, place, below, now),
                    _ => self.one_group(request, method, place, below, now),
                }
            }
            _ => Err(refused(404, "404 Not Found")),
        }
    }

    fn member(&self, member: &Membership) -> Value {
        let Some(user) = self.find_user(member.user) else { return Value::Null };
        let mut shown = json!({
            "id": user.id,
            "username": user.username,
            "name": user.name,
            "state": "active",
            "avatar_url": null,
            "web_url": format!("https://gitlab.example/{}", user.username),
            "created_at": member.since.to_string(),
            "expires_at": null,
            "access_level": member.level,
            "group_saml_identity": user.extern_uid.as_ref().map(|uid| {
                json!({ "extern_uid": uid, "provider": "group_saml", "saml_provider_id": 10 })
            }),
        });
        if self.enterprise {
            shown["email"] = user.email.as_str().into();
        }
        shown
    }

    fn members(
        &mut self,
        request: &Request<Bytes>,
        method: &str,
        place: usize,
        below: &[&str],
        now: Timestamp,
    ) -> Answer {
        let id = |text: &str| text.parse::<u64>().map_err(|_| invalid("user_id is invalid"));
        match (method, below) {
            ("GET", []) => {
                // Name and username in part; an address only where its owner made it public, and nobody has here.
                let query = parameter(request, "query").unwrap_or_default().to_lowercase();
                let named = |member: &&Membership| {
                    self.find_user(member.user).is_some_and(|user| {
                        [&user.username, &user.name].into_iter().any(|text| text.to_lowercase().contains(&query))
                    })
                };
                let members = self.groups[place].members.iter().filter(named);
                page(request, &members.map(|member| self.member(member)).collect::<Vec<_>>())
            }
            ("GET", [user]) => {
                let user = id(user)?;
                let member = self.groups[place].members.iter().find(|member| member.user == user);
                Ok(rest::json(200, &self.member(member.ok_or_else(|| refused(404, "404 Not found"))?)))
            }
            ("POST", []) => {
                let body = rest::body(request).ok_or_else(|| invalid("user_id, username are missing"))?;
                let level = level(&body)?;
                let user = self.named(&body)?;
                if self.groups[place].members.iter().any(|member| member.user == user) {
                    return Err(refused(409, "Member already exists"));
                }
                if let Some(above) = self.inherited(place, user)
                    && level < above
                {
                    let role = match above {
                        50 => "Owner",
                        40 => "Maintainer",
                        30 => "Developer",
                        20 => "Reporter",
                        _ => "Guest",
                    };
                    let why = format!("should be greater than or equal to {role} inherited membership from group Acme");
                    return Err(Refused::new(400, json!({ "message": { "access_level": [why] } })));
                }
                if place == 0 && self.full() {
                    return Err(refused(400, "There are not enough available seats for this many users."));
                }
                self.join(place, user, level, now);
                let member = self.groups[place].members.last().map(|member| self.member(member));
                Ok(rest::json(201, &member.unwrap_or_default()))
            }
            ("PUT", [user]) => {
                let user = id(user)?;
                let level = level(&rest::body(request).unwrap_or_default())?;
                let member = self.groups[place].members.iter_mut().find(|member| member.user == user);
                member.ok_or_else(|| refused(404, "404 Not found"))?.level = level;
                let member = self.groups[place].members.iter().find(|member| member.user == user);
                Ok(rest::json(200, &member.map(|member| self.member(member)).unwrap_or_default()))
            }
            ("DELETE", [user]) => {
                let user = id(user)?;
                let members = &self.groups[place].members;
                let member = members.iter().find(|member| member.user == user);
                let member = member.ok_or_else(|| refused(404, "404 Not found"))?;
                let owners = members.iter().filter(|member| member.level == 50).count();
                if member.level == 50 && owners == 1 && place == 0 {
                    return Err(refused(403, "403 Forbidden"));
                }
                if !self.may_remove(now) {
                    let again = "This endpoint has been requested too many times. Try again later.";
                    return Err(Refused::new(429, json!({ "message": { "error": again } })));
                }
                let here = self.groups[place].id;
                let below = parameter(request, "skip_subresources").as_deref() != Some("true");
                for group in &mut self.groups {
                    if group.id == here || (below && group.parent == Some(here)) {
                        group.members.retain(|member| member.user != user);
                    }
                }
                Ok(rest::empty(204))
            }
            _ => Err(refused(405, "405 Method Not Allowed")),
        }
    }

    /// The account that a body names by its number or username.
    fn named(&mut self, body: &Map<String, Value>) -> Result<u64, Refused> {
        if let Some(id) = whole(body, "user_id") {
            return self.find_user(id).map(|user| user.id).ok_or_else(|| not_found("User"));
        }
        let username = text(body, "username").ok_or_else(|| invalid("user_id, username are missing"))?;
        let there = self.users.iter().any(|user| user.username.eq_ignore_ascii_case(username));
        if !there && !self.usernames {
            return Err(not_found("User"));
        }
        let email = format!("{username}@kit.example");
        Ok(self.user(username, &email))
    }

    /// The level that an account has in the group above.
    fn inherited(&self, place: usize, user: u64) -> Option<u64> {
        let above = self.groups[place].parent.and_then(|parent| self.group(parent))?;
        self.groups[above].members.iter().find(|member| member.user == user).map(|member| member.level)
    }

    /// Whether every seat is taken, open invitations left out.
    fn full(&self) -> bool {
        self.seats.is_some_and(|most| self.groups.first().is_some_and(|group| group.members.len() > most))
    }

    fn invitations(
        &mut self,
        request: &Request<Bytes>,
        method: &str,
        place: usize,
        below: &[&str],
        now: Timestamp,
    ) -> Answer {
        let shown = |one: &Invitation| {
            json!({
                "id": one.id,
                "invite_email": one.email,
                "created_at": one.since.to_string(),
                "access_level": one.level,
                "expires_at": null,
                "user_name": null,
                "created_by_name": "gateway",
            })
        };
        let at = |group: &Group, email: &str| {
            let place = group.invitations.iter().position(|one| one.email.eq_ignore_ascii_case(email));
            place.ok_or_else(|| refused(404, "404 Not Found"))
        };
        match (method, below) {
            ("GET", []) => {
                let query = parameter(request, "query").filter(|query| !query.is_empty());
                let wanted = |one: &&Invitation| query.as_ref().is_none_or(|q| one.email.eq_ignore_ascii_case(q));
                let all: Vec<Value> = self.groups[place].invitations.iter().filter(wanted).map(shown).collect();
                page(request, &all)
            }
            ("POST", []) => self.invite(request, place, now),
            ("PUT", [email]) => {
                let level = level(&rest::body(request).unwrap_or_default())?;
                let one = at(&self.groups[place], email)?;
                self.groups[place].invitations[one].level = level;
                Ok(rest::json(200, &shown(&self.groups[place].invitations[one])))
            }
            ("DELETE", [email]) => {
                let one = at(&self.groups[place], email)?;
                self.groups[place].invitations.remove(one);
                Ok(rest::empty(204))
            }
            _ => Err(refused(405, "405 Method Not Allowed")),
        }
    }

    /// An invitation by address. What is wrong with it is told with a status of success.
    fn invite(&mut self, request: &Request<Bytes>, place: usize, now: Timestamp) -> Answer {
        let body = rest::body(request).ok_or_else(|| invalid("email, user_id are missing"))?;
        let level = level(&body)?;
        let email = text(&body, "email")
            .ok_or_else(|| invalid("email, user_id are missing, exactly one parameter must be provided"))?;
        let amiss = |why: &str| Ok(rest::json(201, &json!({ "status": "error", "message": { email: why } })));
        if !email.contains('@') || email.contains(char::is_whitespace) {
            return amiss("Invite email is invalid");
        }
        if self.groups[place].invitations.iter().any(|one| one.email.eq_ignore_ascii_case(email)) {
            return amiss("Invite email has already been taken");
        }
        // An account of that address: one the simulator was told of, or one that signed up with it.
        let account = self.users.iter().find(|user| user.email.eq_ignore_ascii_case(email)).map(|user| user.id);
        if let Some(user) = account
            && self.groups[place].members.iter().any(|member| member.user == user)
        {
            return amiss("User already exists in source");
        }
        if place == 0 && self.full() {
            return amiss("There are not enough available seats for this many users.");
        }
        let account = match account {
            None if self.known.contains(&email.to_lowercase()) => {
                let username = self.username_for(email);
                Some(self.user(&username, email))
            }
            other => other,
        };
        match account {
            Some(user) => self.join(place, user, level, now),
            None => {
                let id = self.id();
                let email = email.to_owned();
                self.groups[place].invitations.push(Invitation { id, email, level, since: now });
            }
        }
        Ok(rest::json(201, &json!({ "status": "success" })))
    }

    fn shown(&self, group: &Group) -> Value {
        let top = self.groups.first().map_or("", |group| group.path.as_str());
        let full = if group.parent.is_some() { format!("{top}/{}", group.path) } else { group.path.clone() };
        json!({
            "id": group.id,
            "web_url": format!("https://gitlab.example/groups/{full}"),
            "name": group.name,
            "path": group.path,
            "full_path": full,
            "visibility": group.visibility,
            "parent_id": group.parent,
            "marked_for_deletion_on": group.marked.map(|at| at.strftime("%Y-%m-%d").to_string()),
        })
    }

    /// A name that may be given in the group above: GitLab allows letters, digits, emoji, `_`, `.`, dashes,
    /// parentheses and spaces, and refuses one that is there, marked for deletion or not.
    fn name_of(&self, name: &str, own: Option<u64>) -> Result<String, Refused> {
        let sound = |c: char| c.is_alphanumeric() || !c.is_ascii() || "_.-+() ".contains(c);
        if !name.chars().all(sound) {
            let why =
                "can contain only letters, digits, emojis, &#39;_&#39;, &#39;.&#39;, &#39;+&#39;, dashes, or spaces.";
            return Err(Refused::new(400, json!({ "message": { "name": [why] } })));
        }
        let taken = |group: &&Group| group.name == name && group.parent == Some(TOP) && Some(group.id) != own;
        if self.groups.iter().any(|group| taken(&group)) {
            return Err(Refused::new(400, json!({ "message": { "name": ["has already been taken"] } })));
        }
        Ok(name.to_owned())
    }

    fn create_group(&mut self, request: &Request<Bytes>, now: Timestamp) -> Answer {
        let body = rest::body(request).ok_or_else(|| invalid("name is missing, path is missing"))?;
        let name = text(&body, "name").ok_or_else(|| invalid("name is missing"))?;
        let path = text(&body, "path").ok_or_else(|| invalid("path is missing"))?;
        if whole(&body, "parent_id") != Some(TOP) {
            return Err(refused(403, "403 Forbidden"));
        }
        let visibility = text(&body, "visibility").unwrap_or("private");
        if !VISIBILITIES.contains(&visibility) {
            return Err(invalid("visibility does not have a valid value"));
        }
        let sound = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if !path.chars().all(sound) || path.starts_with('-') || path.ends_with('.') {
            return Err(refused(
                400,
                "Failed to save group {:path=>[\"can contain only letters, digits, '_', '-' and '.'\"]}",
            ));
        }
        let taken = |group: &Group| group.path.eq_ignore_ascii_case(path) && group.parent == Some(TOP);
        if self.groups.iter().any(taken) {
            return Err(refused(400, "Failed to save group {:path=>[\"has already been taken\"]}"));
        }
        let name = self.name_of(name, None)?;
        let id = self.id();
        let mut group = Group::new(id, Some(TOP), &name, path, visibility);
        // Who makes a group owns it.
        group.members.extend(self.own().map(|user| Membership { user, level: 50, since: now }));
        let shown = self.shown(&group);
        self.groups.push(group);
        Ok(rest::json(201, &shown))
    }

    fn one_group(
        &mut self,
        request: &Request<Bytes>,
        method: &str,
        place: usize,
        below: &[&str],
        now: Timestamp,
    ) -> Answer {
        match (method, below) {
            ("GET", []) => Ok(rest::json(200, &self.shown(&self.groups[place]))),
            ("GET", ["subgroups"]) => {
                let here = self.groups[place].id;
                let mut all: Vec<&Group> = self.groups.iter().filter(|group| group.parent == Some(here)).collect();
                all.sort_by(|one, other| (&one.name, one.id).cmp(&(&other.name, other.id)));
                page(request, &all.into_iter().map(|group| self.shown(group)).collect::<Vec<_>>())
            }
            ("GET", ["projects"]) => {
                let projects: Vec<Value> = self.groups[place]
                    .projects
                    .then(|| json!({ "id": 1, "name": "Tools", "path": "tools" }))
                    .into_iter()
                    .collect();
                page(request, &projects)
            }
            ("PUT", []) => {
                let body = rest::body(request).unwrap_or_default();
                if let Some(name) = text(&body, "name") {
                    let name = self.name_of(name, Some(self.groups[place].id))?;
                    self.groups[place].name = name;
                }
                Ok(rest::json(200, &self.shown(&self.groups[place])))
            }
            ("DELETE", []) if self.groups[place].parent.is_none() => Err(refused(403, "403 Forbidden")),
            ("DELETE", []) => {
                if self.groups[place].marked.is_some() {
                    return Err(refused(400, "Group has been already marked for deletion"));
                }
                self.groups[place].marked = Some(now);
                Ok(rest::json(202, &json!({ "message": "202 Accepted" })))
            }
            _ => Err(refused(405, "405 Method Not Allowed")),
        }
    }
}
