//! The calls of the simulated Sentry.

use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Member, ORGANISATION, OWN, Sentry, TOKEN, Team};
use crate::rest::{self, Answer, Refused, number, parameter, set};

/// Items of a page where none are asked for, and the most (docs.sentry.io/api/pagination).
const MOST: usize = 100;
const ROLES: [&str; 5] = ["billing", "member", "admin", "manager", "owner"];
const MANAGED_USER: &str = "This user is managed through your organization's identity provider.";
const MANAGED_TEAM: &str = "This team is managed through your organization's identity provider.";

fn refused(status: u16, detail: &str) -> Refused {
    Refused::new(status, json!({ "detail": detail }))
}

/// A field that is not as it should be.
fn invalid(field: &str, why: &str) -> Refused {
    Refused::new(400, json!({ field: [why] }))
}

fn not_found() -> Refused {
    refused(404, "The requested resource does not exist")
}

fn forbidden() -> Refused {
    refused(403, "You do not have permission to perform this action.")
}

/// One page of a list: the next one is always linked.
fn page(request: &Request<Bytes>, items: Vec<Value>) -> Answer {
    let size = number(request, "per_page").unwrap_or(MOST);
    if size == 0 || size > MOST {
        return Err(refused(400, "Invalid per_page value. Must be between 1 and 100."));
    }
    let at = match parameter(request, "cursor") {
        None => 0,
        Some(cursor) => {
            let parts: Vec<Option<usize>> = cursor.split(':').map(|part| part.parse().ok()).collect();
            match parts.as_slice() {
                [Some(_), Some(at), Some(_)] => *at,
                _ => return Err(refused(400, "Invalid cursor parameter.")),
            }
        }
    };
    let from = at.saturating_mul(size);
    let more = from.saturating_add(size) < items.len();
    let shown: Vec<Value> = items.into_iter().skip(from).take(size).collect();
    let mut response = rest::json(200, &Value::from(shown));
    let link = |rel: &str, page: usize, back: u8, results: bool| {
        let path = request.uri().path();
        let cursor = format!("{size}:{page}:{back}");
        format!(
            "<https://sentry.example{path}?&cursor={cursor}>; rel=\"{rel}\"; results=\"{results}\"; cursor=\"{cursor}\""
        )
    };
    let links = [link("previous", at.saturating_sub(1), 1, at > 0), link("next", at + 1, 0, more)].join(", ");
    set(&mut response, "link", &links);
    Ok(response)
}

fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    body.get(name)?.as_str().filter(|text| !text.is_empty())
}

impl Sentry {
    pub(super) fn route(&mut self, request: &Request<Bytes>, now: Timestamp) -> Answer {
        if !self.valid || rest::credential(request, "Bearer") != Some(TOKEN) {
            return Err(refused(401, "Invalid token"));
        }
        let path = rest::path(request, "/api/0").ok_or_else(not_found)?;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        // Without the last slash there is a redirect, by which a body is lost.
        let Some((&"", path)) = path.split_last() else { return Ok(rest::empty(301)) };
        let (kind, rest_of) = path.split_first().ok_or_else(not_found)?;
        let (organisation, below) = rest_of.split_first().ok_or_else(not_found)?;
        if *organisation != ORGANISATION {
            return Err(not_found());
        }
        match (*kind, rest::method(request), below) {
            ("organizations", "GET", []) => {
                Ok(rest::json(200, &json!({ "id": "1", "slug": ORGANISATION, "name": "Acme", "access": self.scopes })))
            }
            ("organizations", "GET", ["members"]) => {
                self.needs("member:read")?;
                let query = parameter(request, "query").unwrap_or_default();
                let wanted = |member: &&Member| match query.split_once(':') {
                    Some(("email", email)) => member.email.eq_ignore_ascii_case(email),
                    Some(_) => false,
                    None => query.is_empty() || member.email.contains(&query),
                };
                page(request, self.members.iter().filter(wanted).map(|member| self.shown(member, now)).collect())
            }
            ("organizations", "POST", ["members"]) => self.invite(request, now),
            ("organizations", method, ["members", id]) => self.one(request, method, id, now),
            ("organizations", method, ["members", id, "teams", team]) => self.membership(method, id, team),
            ("organizations", "GET", ["teams"]) => {
                let mut teams: Vec<&Team> = self.teams.iter().collect();
                teams.sort_by(|one, other| one.slug.cmp(&other.slug));
                page(request, teams.into_iter().map(|team| self.team(team)).collect())
            }
            ("organizations", "POST", ["teams"]) => self.create_team(request),
            ("teams", method, [team, below @ ..]) => self.one_team(request, method, team, below, now),
            _ => Err(not_found()),
        }
    }

    fn needs(&self, scope: &str) -> Result<(), Refused> {
        if self.scopes.iter().any(|one| one == scope) { Ok(()) } else { Err(forbidden()) }
    }

    /// A member as lists show one.
    fn shown(&self, member: &Member, now: Timestamp) -> Value {
        let managed = self.managed.contains(&member.email);
        json!({
            "id": member.id.to_string(),
            "email": member.email,
            "name": member.name.as_deref().unwrap_or(&member.email),
            "user": member.user.map(|id| json!({ "id": id.to_string(), "email": member.email, "isActive": true })),
            "orgRole": member.role,
            "role": member.role,
            "pending": member.user.is_none(),
            "expired": member.expires.is_some_and(|end| end <= now),
            "flags": {
                "idp:provisioned": managed, "idp:role-restricted": false, "sso:linked": false, "sso:invalid": false,
                "member-limit:restricted": false, "partnership:restricted": false,
            },
            "dateCreated": member.since.to_string(),
            "inviteStatus": "approved",
            "inviterName": OWN,
        })
    }

    /// A member as a read of one shows it, with the teams.
    fn detailed(&self, member: &Member, now: Timestamp) -> Value {
        let mut shown = self.shown(member, now);
        let of = |team: &&Team| team.members.iter().any(|(id, _)| *id == member.id);
        let teams: Vec<&Team> = self.teams.iter().filter(of).collect();
        let roles = teams.iter().map(|team| {
            let role = team.members.iter().find(|(id, _)| *id == member.id).and_then(|(_, role)| role.clone());
            json!({ "teamSlug": team.slug, "role": role })
        });
        shown["teamRoles"] = roles.collect();
        shown["teams"] = teams.iter().map(|team| team.slug.as_str()).collect();
        shown
    }

    fn place(&self, id: &str) -> Result<usize, Refused> {
        let id = if id == "me" { self.own() } else { id.parse().map_err(|_| not_found())? };
        self.members.iter().position(|member| member.id == id).ok_or_else(not_found)
    }

    fn invite(&mut self, request: &Request<Bytes>, now: Timestamp) -> Answer {
        self.needs("member:admin")?;
        if !self.may_invite {
            let why = "Your organization is not allowed to invite members";
            return Err(Refused::new(403, json!({ "organization": why })));
        }
        let body = rest::body(request).unwrap_or_default();
        let email = text(&body, "email").ok_or_else(|| invalid("email", "This field is required."))?;
        if email.chars().count() > 75 {
            return Err(invalid("email", "Ensure this field has no more than 75 characters."));
        }
        if !email.contains('@') {
            return Err(invalid("email", "Enter a valid email address."));
        }
        if let Some(there) = self.members.iter().find(|member| member.email.eq_ignore_ascii_case(email)) {
            let what = if there.user.is_none() { "has already been invited" } else { "is already a member" };
            return Err(invalid("email", &format!("The user {email} {what}")));
        }
        let role = text(&body, "orgRole").unwrap_or("member");
        if !ROLES.contains(&role) {
            return Err(invalid("orgRole", &format!("\"{role}\" is not a valid choice.")));
        }
        if !self.quota(now) {
            return Err(refused(429, "You are being rate limited for too many invitations."));
        }
        let (email, role) = (email.to_owned(), role.to_owned());
        self.member(&email, &role, now, false);
        let made = self.members.last().map(|member| self.shown(member, now)).unwrap_or_default();
        Ok(rest::json(201, &made))
    }

    fn one(&mut self, request: &Request<Bytes>, method: &str, id: &str, now: Timestamp) -> Answer {
        let place = self.place(id)?;
        match method {
            "GET" => {
                self.needs("member:read")?;
                Ok(rest::json(200, &self.detailed(&self.members[place], now)))
            }
            "PUT" => {
                self.needs("member:admin")?;
                let body = rest::body(request).unwrap_or_default();
                let role = text(&body, "orgRole").unwrap_or(&self.members[place].role).to_owned();
                if !ROLES.contains(&role.as_str()) {
                    return Err(invalid("orgRole", &format!("\"{role}\" is not a valid choice.")));
                }
                let wanted: Vec<(String, Option<String>)> = body
                    .get("teamRoles")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(|one| {
                        Some((one["teamSlug"].as_str()?.to_owned(), one["role"].as_str().map(str::to_owned)))
                    })
                    .collect();
                if wanted.iter().any(|(slug, _)| !self.teams.iter().any(|team| team.slug == *slug)) {
                    return Err(invalid("teamRoles", "Invalid teams"));
                }
                if !wanted.is_empty() && role == "billing" {
                    let why = format!("The user with a '{role}' role cannot have team-level permissions.");
                    return Err(refused(400, &why));
                }
                if self.members[place].id == self.own() && role != self.members[place].role {
                    return Err(refused(400, "You cannot make changes to your own role."));
                }
                // Teams that are not named are left, also where none are named.
                let id = self.members[place].id;
                for team in &mut self.teams {
                    team.members.retain(|(member, _)| *member != id);
                    if let Some((_, role)) = wanted.iter().find(|(slug, _)| *slug == team.slug) {
                        team.members.push((id, role.clone()));
                    }
                }
                self.members[place].role = role;
                Ok(rest::json(200, &self.detailed(&self.members[place], now)))
            }
            "DELETE" => {
                if !self.scopes.iter().any(|scope| scope == "member:admin") {
                    return Err(refused(400, "You are missing the member:admin scope."));
                }
                let member = &self.members[place];
                let may_write = |one: &&Member| one.user.is_some() && matches!(one.role.as_str(), "owner" | "manager");
                if may_write(&member) && self.members.iter().filter(may_write).count() == 1 {
                    return Err(refused(
                        403,
                        "You cannot remove the only remaining owner or manager of the organization.",
                    ));
                }
                if self.managed.contains(&member.email) {
                    return Err(refused(403, MANAGED_USER));
                }
                let id = member.id;
                self.members.remove(place);
                for team in &mut self.teams {
                    team.members.retain(|(member, _)| *member != id);
                }
                Ok(rest::empty(204))
            }
            _ => Err(refused(405, "Method not allowed")),
        }
    }

    /// A team by its number or its slug.
    fn team_place(&self, name: &str) -> Result<usize, Refused> {
        let is = |team: &Team| team.slug == name || team.id.to_string() == name;
        self.teams.iter().position(is).ok_or_else(not_found)
    }

    fn membership(&mut self, method: &str, id: &str, team: &str) -> Answer {
        let (place, at) = (self.place(id)?, self.team_place(team)?);
        let (id, role) = (self.members[place].id, self.members[place].role.clone());
        let in_it = self.teams[at].members.iter().any(|(member, _)| *member == id);
        let managed = self.managed.contains(&self.teams[at].name);
        let elevated =
            ["org:write", "team:write", "team:admin"].iter().any(|scope| self.scopes.iter().any(|s| s == scope));
        match method {
            "POST" if role == "billing" => {
                Err(refused(403, "The user with a 'billing' role cannot have team-level permissions."))
            }
            "POST" if in_it => Ok(rest::empty(204)),
            "POST" if managed => Err(refused(403, MANAGED_TEAM)),
            // A request that an owner has to approve.
            "POST" if !elevated => Ok(rest::empty(202)),
            "POST" => {
                self.teams[at].members.push((id, None));
                Ok(rest::json(201, &self.team(&self.teams[at])))
            }
            "DELETE" if !elevated => Err(refused(400, "You do not have permission to edit that user's membership.")),
            "DELETE" if managed => Err(refused(403, MANAGED_TEAM)),
            "DELETE" => {
                self.teams[at].members.retain(|(member, _)| *member != id);
                Ok(rest::json(200, &self.team(&self.teams[at])))
            }
            _ => Err(refused(405, "Method not allowed")),
        }
    }

    fn team(&self, team: &Team) -> Value {
        json!({
            "id": team.id.to_string(),
            "slug": team.slug,
            "name": team.name,
            "memberCount": team.members.len(),
            "flags": { "idp:provisioned": self.managed.contains(&team.name) },
        })
    }

    fn create_team(&mut self, request: &Request<Bytes>) -> Answer {
        self.needs("team:admin")?;
        let body = rest::body(request).unwrap_or_default();
        let given = text(&body, "slug").map(str::to_owned);
        let name = text(&body, "name").map(str::to_owned).or_else(|| given.clone());
        let name = name.ok_or_else(|| invalid("non_field_errors", "Name or slug is required"))?;
        if name.chars().count() > 64 {
            return Err(invalid("name", "Ensure this field has no more than 64 characters."));
        }
        let slug = match given {
            Some(slug) if self.teams.iter().any(|team| team.slug == slug) => {
                let why = "A team with this slug already exists.";
                return Err(Refused::new(409, json!({ "non_field_errors": [why], "detail": why })));
            }
            Some(slug) => sound(slug)?,
            None => self.free_slug(&name),
        };
        let id = self.id();
        let members = vec![(self.own(), None)];
        self.teams.push(Team { id, slug, name, members });
        let made = self.teams.last().map(|team| self.team(team)).unwrap_or_default();
        Ok(rest::json(201, &made))
    }

    fn one_team(
        &mut self,
        request: &Request<Bytes>,
        method: &str,
        name: &str,
        below: &[&str],
        now: Timestamp,
    ) -> Answer {
        let at = self.team_place(name)?;
        match (method, below) {
            ("GET", []) => Ok(rest::json(200, &self.team(&self.teams[at]))),
            ("PUT", []) => {
                self.needs("team:admin")?;
                if self.managed.contains(&self.teams[at].name) {
                    return Err(refused(403, MANAGED_TEAM));
                }
                let body = rest::body(request).unwrap_or_default();
                if let Some(slug) = text(&body, "slug") {
                    let id = self.teams[at].id;
                    if self.teams.iter().any(|team| team.slug == slug && team.id != id) {
                        return Err(invalid("slug", &format!("The slug \"{slug}\" is already in use.")));
                    }
                    self.teams[at].slug = sound(slug.to_owned())?;
                }
                if let Some(name) = text(&body, "name") {
                    self.teams[at].name = name.to_owned();
                }
                Ok(rest::json(200, &self.team(&self.teams[at])))
            }
            ("DELETE", []) => {
                self.needs("team:admin")?;
                if self.managed.contains(&self.teams[at].name) {
                    return Err(refused(403, MANAGED_TEAM));
                }
                self.teams.remove(at);
                Ok(rest::empty(204))
            }
            // Invitations are told too, which the documentation denies and the source has.
            ("GET", ["members"]) => {
                let team = &self.teams[at];
                let shown = team.members.iter().filter_map(|(id, role)| {
                    let member = self.members.iter().find(|member| member.id == *id)?;
                    let mut shown = self.shown(member, now);
                    shown["teamRole"] = json!(role);
                    shown["teamSlug"] = json!(team.slug);
                    Some(shown)
                });
                page(request, shown.collect())
            }
            _ => Err(refused(405, "Method not allowed")),
        }
    }
}

/// A slug that may be given: lower case letters, digits, dashes and underscores, not digits alone.
fn sound(slug: String) -> Result<String, Refused> {
    let kept = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if slug.chars().all(kept) && !slug.bytes().all(|byte| byte.is_ascii_digit()) && slug.len() <= 50 {
        return Ok(slug);
    }
    let why = "Enter a valid slug consisting of lowercase letters, numbers, underscores or hyphens. It cannot be entirely numeric.";
    Err(invalid("slug", why))
}
