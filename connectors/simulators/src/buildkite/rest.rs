//! The REST API: routes, scopes, paging, and everything but teams.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Token;
use super::errors::{Refusal, no_content, reply};
use super::ids::{cursor, global, parse_cursor, parse_uuid, stamp};
use super::invitations::Batch;
use super::limits::Meter;
use super::world::{Invitation, InviteState, Member, ORG_SLUG, OrgRole, SsoMode, TeamRole, World};

/// Page size where none is asked for, and the largest.
const PER_PAGE: usize = 30;
const PER_PAGE_MAX: usize = 100;

/// What one REST call works with.
pub(super) struct Api<'a> {
    pub(super) world: &'a mut World,
    pub(super) meter: &'a mut Meter,
    pub(super) token: &'a Token,
    pub(super) now: Timestamp,
}

/// A reply, or the refusal that becomes one.
pub(super) type Outcome = Result<Response<Bytes>, Refusal>;

impl Api<'_> {
    /// Answers a call; `path` is what follows `/v2`.
    pub(super) fn route(&mut self, request: &Request<Bytes>, path: &[&str]) -> Outcome {
        let method = request.method();
        match path {
            ["user"] if method == Method::GET => {
                self.scope("read_user")?;
                Ok(ok(&self.person(self.world.owner)))
            }
            ["access-token"] if method == Method::GET => Ok(ok(&self.access_token())),
            ["organizations"] if method == Method::GET => {
                self.scope("read_organizations")?;
                Ok(ok(&json!([self.organization(request)])))
            }
            ["organizations", slug, rest @ ..] if *slug == ORG_SLUG => self.organization_route(request, rest),
            ["organizations", ..] => Err(Refusal::not_found("organization")),
            _ => Err(Refusal::not_found("such resource")),
        }
    }

    fn organization_route(&mut self, request: &Request<Bytes>, path: &[&str]) -> Outcome {
        let method = request.method().as_str();
        match (method, path) {
            ("GET", []) => {
                self.scope("read_organizations")?;
                Ok(ok(&self.organization(request)))
            }
            ("GET", ["rate_limit"]) => {
                self.scope("read_accounts")?;
                Ok(ok(&self.meter.status(self.now)))
            }
            ("GET", ["members"]) => {
                self.scope("read_organizations")?;
                let world = &*self.world;
                let members = world.members.values();
                page(request, members, |member| self.member_json(member))
            }
            ("GET", ["members", user]) => {
                self.scope("read_organizations")?;
                let seq = self.member(user)?;
                self.member_reply(seq)
            }
            ("PATCH", ["members", user]) => {
                self.scope("write_organizations")?;
                let seq = self.member(user)?;
                let body = body(request)?;
                let role = word(&body, "role", |t| OrgRole::read(t, false))?;
                let sso = word(&body, "sso_mode", |t| SsoMode::read(t, false))?;
                self.world.change_member(seq, role, sso)?;
                self.member_reply(seq)
            }
            ("DELETE", ["members", user]) => {
                self.scope("write_organizations")?;
                let seq = self.member(user)?;
                self.world.remove_member(seq)?;
                Ok(no_content())
            }
            ("GET", ["invitations"]) => {
                self.scope("read_organization_invitations")?;
                self.list_invitations(request)
            }
            ("POST", ["invitations"]) => {
                self.scope("write_organization_invitations")?;
                let batch = batch(&body(request)?)?;
                let made = self.world.invite(&batch, self.now)?;
                let made: Vec<Value> = made
                    .iter()
                    .filter_map(|seq| self.world.invitations.get(seq))
                    .map(|invitation| self.invitation_json(request, invitation))
                    .collect();
                Ok(reply(StatusCode::CREATED, &Value::Array(made)))
            }
            ("GET", ["invitations", uuid]) => {
                self.scope("read_organization_invitations")?;
                let seq = self.invitation(uuid)?;
                match self.world.invitations.get(&seq) {
                    Some(invitation) => Ok(ok(&self.invitation_json(request, invitation))),
                    None => Err(Refusal::not_found("organization invitation")),
                }
            }
            ("DELETE", ["invitations", uuid]) => {
                self.scope("write_organization_invitations")?;
                let seq = self.invitation(uuid)?;
                self.world.revoke(seq, self.now)?;
                Ok(no_content())
            }
            (_, ["teams", rest @ ..]) => self.team_route(request, rest),
            _ => Err(Refusal::not_found("such resource")),
        }
    }

    /// Refuses where the token lacks a scope.
    pub(super) fn scope(&self, scope: &str) -> Result<(), Refusal> {
        if self.token.scopes.contains(scope) {
            Ok(())
        } else {
            Err(Refusal::forbidden(format!("Your API access token doesn't have the {scope} scope")))
        }
    }

    fn member(&self, user: &str) -> Result<u64, Refusal> {
        let user = parse_uuid(user).ok_or_else(|| Refusal::not_found("organization member"))?;
        self.world.member(user)
    }

    fn invitation(&self, uuid: &str) -> Result<u64, Refusal> {
        let uuid = parse_uuid(uuid).ok_or_else(|| Refusal::not_found("organization invitation"))?;
        self.world.invitation(uuid)
    }

    fn access_token(&self) -> Value {
        let owner = self.world.users.get(&self.world.owner);
        json!({
            "uuid": self.token.uuid,
            "scopes": self.token.scopes,
            "description": "Simulated token",
            "created_at": stamp(self.world.created_at),
            "user": {
                "name": owner.map(|user| &user.name),
                "email": owner.map(|user| &user.email),
            },
        })
    }

    fn organization(&self, request: &Request<Bytes>) -> Value {
        let url = format!("{}/v2/organizations/{ORG_SLUG}", origin(request));
        json!({
            "id": self.world.org,
            "graphql_id": global("Organization", self.world.org),
            "url": url,
            "web_url": format!("https://buildkite.com/{ORG_SLUG}"),
            "name": "Acme",
            "slug": ORG_SLUG,
            "pipelines_url": format!("{url}/pipelines"),
            "agents_url": format!("{url}/agents"),
            "emojis_url": format!("{url}/emojis"),
            "created_at": stamp(self.world.created_at),
        })
    }

    /// A user as `GET /user` and `created_by` of a team show one.
    pub(super) fn person(&self, uuid: Uuid) -> Value {
        match self.world.users.get(&uuid) {
            None => Value::Null,
            Some(user) => json!({
                "id": user.uuid,
                "graphql_id": global("User", user.uuid),
                "name": user.name,
                "email": user.email,
                "avatar_url": super::graphql::avatar(user.uuid),
                "created_at": stamp(user.created_at),
            }),
        }
    }

    fn member_reply(&self, seq: u64) -> Outcome {
        match self.world.members.get(&seq) {
            Some(member) => Ok(ok(&self.member_json(member))),
            None => Err(Refusal::not_found("organization member")),
        }
    }

    fn member_json(&self, member: &Member) -> Value {
        let user = self.world.users.get(&member.user);
        json!({
            "id": member.user,
            "name": user.map(|user| &user.name),
            "email": user.map(|user| &user.email),
            "role": member.role.rest(),
            "sso_mode": member.sso.rest(),
        })
    }

    fn invitation_json(&self, request: &Request<Bytes>, invitation: &Invitation) -> Value {
        let by = |user: Option<Uuid>| {
            user.and_then(|uuid| self.world.users.get(&uuid))
                .map(|user| json!({ "id": user.uuid, "name": user.name, "email": user.email }))
        };
        let teams: Vec<Value> = invitation
            .teams
            .iter()
            .filter_map(|assignment| {
                let team = self.world.teams.get(&assignment.team)?;
                Some(json!({
                    "id": team.uuid,
                    "graphql_id": global("Team", team.uuid),
                    "slug": team.slug,
                    "role": assignment.role.rest(),
                }))
            })
            .collect();
        let closed = |state: InviteState| {
            let here = invitation.state == state;
            (
                here.then_some(invitation.closed_at).flatten().map(stamp),
                by(here.then_some(invitation.closed_by).flatten()),
            )
        };
        let (accepted_at, accepted_by) = closed(InviteState::Accepted);
        let (revoked_at, revoked_by) = closed(InviteState::Revoked);
        let (expired_at, _) = closed(InviteState::Expired);
        json!({
            "id": invitation.uuid,
            "graphql_id": global("OrganizationInvitation", invitation.uuid),
            "url": format!(
                "{}/v2/organizations/{ORG_SLUG}/invitations/{}",
                origin(request),
                invitation.uuid
            ),
            "email": invitation.email,
            "state": invitation.state.rest(),
            "role": invitation.role.rest(),
            "sso_mode": invitation.sso.rest(),
            "teams": teams,
            "created_at": stamp(invitation.created_at),
            "created_by": by(Some(invitation.created_by)),
            "accepted_at": accepted_at,
            "accepted_by": accepted_by,
            "revoked_at": revoked_at,
            "revoked_by": revoked_by,
            "expired_at": expired_at,
        })
    }

    /// Pending invitations, newest first, by cursor.
    fn list_invitations(&self, request: &Request<Bytes>) -> Outcome {
        let asked = Query::read(request);
        let per_page = match asked.get("per_page") {
            None => PER_PAGE,
            Some(text) => text
                .parse()
                .ok()
                .filter(|n| (1..=PER_PAGE_MAX).contains(n))
                .ok_or_else(|| Refusal::bad_request("per_page must be between 1 and 100"))?,
        };
        let seq = |name: &str| -> Result<Option<u64>, Refusal> {
            match asked.get(name) {
                None => Ok(None),
                Some(text) => parse_cursor(text)
                    .map(|(_, seq)| Some(seq))
                    .ok_or_else(|| Refusal::bad_request(format!("{name} is not a valid cursor"))),
            }
        };
        let (after, before) = (seq("after")?, seq("before")?);
        if after.is_some() && before.is_some() {
            return Err(Refusal::bad_request("after and before can't be combined"));
        }
        let pending = &self.world.pending;
        let (shown, more): (Vec<u64>, bool) = match before {
            Some(before) => {
                let mut newer = pending.range(before.saturating_add(1)..);
                let mut shown: Vec<u64> = newer.by_ref().take(per_page).copied().collect();
                shown.reverse();
                (shown, true)
            }
            None => {
                let mut older = pending.range(..after.unwrap_or(u64::MAX)).rev();
                let shown = older.by_ref().take(per_page).copied().collect();
                (shown, older.next().is_some())
            }
        };
        let base = format!("{}/v2/organizations/{ORG_SLUG}/invitations?per_page={per_page}", origin(request));
        let here = match (asked.get("after"), asked.get("before")) {
            (Some(after), _) => format!("{base}&after={}", escape(after)),
            (None, Some(before)) => format!("{base}&before={}", escape(before)),
            (None, None) => base.clone(),
        };
        let next = shown.last().filter(|_| more).map(|seq| format!("{base}&after={}", escape(&cursor("", *seq))));
        let items: Vec<Value> = shown
            .iter()
            .filter_map(|seq| self.world.invitations.get(seq))
            .map(|invitation| self.invitation_json(request, invitation))
            .collect();
        let mut links = json!({ "self": here });
        let mut header = vec![format!("<{here}>; rel=\"self\"")];
        if let (Some(next), Some(links)) = (next, links.as_object_mut()) {
            header.push(format!("<{next}>; rel=\"next\""));
            links.insert("next".to_owned(), Value::String(next));
        }
        let mut response = ok(&json!({ "items": items, "links": links }));
        link_header(&mut response, &header);
        Ok(response)
    }
}

/// Reads the body of `POST /invitations`.
fn batch(body: &Map<String, Value>) -> Result<Batch, Refusal> {
    let emails = body
        .get("emails")
        .and_then(Value::as_array)
        .and_then(|list| list.iter().map(|email| email.as_str().map(str::to_owned)).collect::<Option<Vec<String>>>())
        .ok_or_else(|| Refusal::invalid("Emails must be an array of strings"))?;
    let teams = match body.get("teams") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list
            .iter()
            .map(|entry| {
                let id = entry.get("id").and_then(Value::as_str).and_then(parse_uuid);
                let role = entry.get("role").and_then(Value::as_str).and_then(|text| TeamRole::read(text, false));
                id.zip(role).ok_or_else(|| Refusal::invalid("Teams must each have a valid id and role"))
            })
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(Refusal::invalid("Teams must be an array")),
    };
    Ok(Batch {
        emails,
        role: word(body, "role", |t| OrgRole::read(t, false))?.unwrap_or(OrgRole::Member),
        sso: word(body, "sso_mode", |t| SsoMode::read(t, false))?,
        teams,
    })
}

/// An optional field that takes one of a few words; another is a 422.
pub(super) fn word<T>(
    body: &Map<String, Value>,
    name: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Refusal> {
    match body.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_str()
            .and_then(read)
            .map(Some)
            .ok_or_else(|| Refusal::invalid(format!("{name} is not included in the list"))),
    }
}

/// The request body, which has to be a JSON object; an empty one is `{}`.
pub(super) fn body(request: &Request<Bytes>) -> Result<Map<String, Value>, Refusal> {
    if request.body().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(request.body()) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Refusal::bad_request("The request body must be a JSON object")),
        Err(_) => Err(Refusal::bad_request("The request body is not valid JSON")),
    }
}

/// 200 with a body.
pub(super) fn ok(body: &Value) -> Response<Bytes> {
    reply(StatusCode::OK, body)
}

/// Scheme and host as the caller used them, so that links lead back here.
fn origin(request: &Request<Bytes>) -> String {
    let host = request
        .uri()
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| request.headers().get(header::HOST).and_then(|host| host.to_str().ok()));
    match host {
        Some(host) => format!("{}://{host}", request.uri().scheme_str().unwrap_or("http")),
        None => "https://api.buildkite.com".to_owned(),
    }
}

/// The query string, decoded; the last of several values counts.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn read(request: &Request<Bytes>) -> Self {
        let text = request.uri().query().unwrap_or_default();
        Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

fn escape(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// One page by number, with `first`, `prev`, `next` and `last` in the Link header.
pub(super) fn page<'a, T: 'a>(
    request: &Request<Bytes>,
    items: impl Iterator<Item = &'a T>,
    show: impl Fn(&T) -> Value,
) -> Outcome {
    let asked = Query::read(request);
    let number = |name: &str, default: usize| {
        asked.get(name).and_then(|text| text.parse::<usize>().ok()).filter(|n| *n > 0).unwrap_or(default)
    };
    let at = number("page", 1);
    let per_page = number("per_page", PER_PAGE).min(PER_PAGE_MAX);
    let all: Vec<&T> = items.collect();
    let last = all.len().div_ceil(per_page).max(1);
    let start = (at - 1).saturating_mul(per_page).min(all.len());
    let end = start.saturating_add(per_page).min(all.len());
    let shown: Vec<Value> = all.get(start..end).unwrap_or_default().iter().map(|i| show(i)).collect();
    let others: Vec<(String, String)> =
        asked.0.iter().filter(|(key, _)| key != "page" && key != "per_page").cloned().collect();
    let link = |n: usize, rel: &str| {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&others)
            .append_pair("page", &n.to_string())
            .append_pair("per_page", &per_page.to_string())
            .finish();
        format!("<{}{}?{query}>; rel=\"{rel}\"", origin(request), request.uri().path())
    };
    let mut links = Vec::new();
    if at > 1 {
        links.push(link(1, "first"));
        links.push(link((at - 1).min(last), "prev"));
    }
    if at < last {
        links.push(link(at + 1, "next"));
        links.push(link(last, "last"));
    }
    let mut response = ok(&Value::Array(shown));
    link_header(&mut response, &links);
    Ok(response)
}

fn link_header(response: &mut Response<Bytes>, links: &[String]) {
    if links.is_empty() {
        return;
    }
    if let Ok(value) = HeaderValue::try_from(links.join(", ")) {
        response.headers_mut().insert(header::LINK, value);
    }
}
