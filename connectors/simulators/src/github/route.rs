//! Which handler answers a path.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::errors::{Answer, Reply};
use super::gate::VERSIONS;
use super::paging::page;
use super::{Caller, Cx, GitHub, ORG, ORG_ID, Sso, render};

impl GitHub {
    pub(super) fn route(&mut self, cx: &Cx<'_>) -> Answer {
        let decoded: Vec<String> =
            cx.path.trim_matches('/').split('/').map(decode).collect::<Option<_>>().ok_or_else(Reply::not_found)?;
        let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
        if cx.caller == Caller::App {
            return self.route_app(cx, &segments);
        }
        match (cx.method, segments.as_slice()) {
            (&Method::POST, ["graphql"]) => Ok(self.graphql(cx)),
            (&Method::GET, ["versions"]) => Ok(Reply::ok(json!(VERSIONS))),
            (&Method::GET, ["rate_limit"]) => Ok(Reply::ok(self.meter.overview(cx.now))),
            (&Method::GET, ["user"]) => self.user_self(cx),
            (&Method::GET, ["user", "memberships", "orgs", org]) if is_org(org) => self.membership_self(cx),
            (&Method::GET, ["user", id]) => self.user_by_id(cx, id),
            (&Method::GET, ["users", login]) => self.user_by_login(cx, login),
            (_, ["orgs", org, rest @ ..]) if is_org(org) => self.route_org(cx, rest),
            (_, ["organizations", id, "team", team, rest @ ..]) if is_org_id(id) => {
                let team = self.team_by_id(team)?;
                self.route_team(cx, team, rest)
            }
            (_, ["organizations", id, rest @ ..]) if is_org_id(id) => self.route_org(cx, rest),
            (_, ["teams", team, rest @ ..]) => {
                let team = self.team_by_id(team)?;
                self.route_team(cx, team, rest)
            }
            _ => Err(Reply::not_found()),
        }
    }

    fn route_org(&mut self, cx: &Cx<'_>, rest: &[&str]) -> Answer {
        match (cx.method, rest) {
            (&Method::GET, []) => Ok(Reply::ok(render::organization_full(&cx.base))),
            (&Method::GET, ["members"]) => self.members_list(cx),
            (&Method::GET, ["members", login]) => self.member_check(cx, login),
            (&Method::DELETE, ["members", login]) => self.member_remove(cx, login),
            // Nobody makes their membership public here.
            (&Method::GET, ["public_members"]) => Ok(Reply::ok(json!([]))),
            (&Method::GET, ["memberships", login]) => self.membership_get(cx, login),
            (&Method::PUT, ["memberships", login]) => self.membership_put(cx, login),
            (&Method::DELETE, ["memberships", login]) => self.membership_delete(cx, login),
            (&Method::GET, ["invitations"]) => self.invitations_list(cx),
            (&Method::POST, ["invitations"]) => self.invitation_create(cx),
            (&Method::DELETE, ["invitations", id]) => self.invitation_delete(cx, id),
            (&Method::GET, ["invitations", id, "teams"]) => self.invitation_teams(cx, id),
            (&Method::GET, ["failed_invitations"]) => self.failed_invitations(cx),
            (&Method::GET, ["teams"]) => self.teams_list(cx),
            (&Method::POST, ["teams"]) => self.team_create(cx),
            // An app's business, with its JWT.
            (&Method::GET, ["installation"]) => Err(Reply::unauthorized("A JSON web token could not be decoded")),
            (_, ["teams", slug, rest @ ..]) => {
                let team = self.teams.with_slug(slug).ok_or_else(Reply::not_found)?;
                self.route_team(cx, team, rest)
            }
            _ => Err(Reply::not_found()),
        }
    }

    fn route_team(&mut self, cx: &Cx<'_>, team: u64, rest: &[&str]) -> Answer {
        self.member_reads(cx)?;
        match (cx.method, rest) {
            (&Method::GET, []) => self.team_get(cx, team),
            (&Method::PATCH, []) => self.team_update(cx, team),
            (&Method::DELETE, []) => self.team_delete(cx, team),
            (&Method::GET, ["teams"]) => self.team_children(cx, team),
            (&Method::GET, ["members"]) => self.team_members(cx, team),
            (&Method::GET, ["invitations"]) => self.team_invitations(cx, team),
            (&Method::GET, ["memberships", login]) => self.team_membership_get(cx, team, login),
            (&Method::PUT, ["memberships", login]) => self.team_membership_put(cx, team, login),
            (&Method::DELETE, ["memberships", login]) => self.team_membership_delete(cx, team, login),
            _ => Err(Reply::not_found()),
        }
    }

    fn route_app(&mut self, cx: &Cx<'_>, segments: &[&str]) -> Answer {
        match (cx.method, segments) {
            (&Method::GET, ["app"]) => Ok(self.auth.describe(cx)),
            (&Method::GET, ["app", "installations"]) => self.auth.installations(cx),
            (&Method::GET, ["app", "installations", id]) => self.auth.installation_get(cx, id),
            (&Method::POST, ["app", "installations", id, "access_tokens"]) => self.auth.token_create(cx, id),
            (&Method::GET, ["orgs", org, "installation"]) if is_org(org) => {
                self.auth.installation_get(cx, &super::app_auth::INSTALLATION.to_string())
            }
            (&Method::GET, ["orgs", _, "installation"]) => Err(Reply::not_found()),
            _ => Err(Reply::unauthorized("A JSON web token is not accepted here: use an installation access token")),
        }
    }

    /// A listing: one page of `items`, rendered; half of them if the token is authorised for only
    /// some organisations.
    pub(super) fn list<T>(&self, cx: &Cx<'_>, mut items: Vec<T>, render: impl Fn(&T) -> Option<Value>) -> Answer {
        let partial = self.knobs.sso == Sso::Partial && cx.caller == Caller::Account;
        if partial {
            let mut seen = 0;
            items.retain(|_| {
                seen += 1;
                seen % 2 == 1
            });
        }
        let (items, links) = page(cx, &items);
        let mut reply = Reply::ok(items.iter().filter_map(render).collect());
        if let Some(links) = links {
            reply = reply.with("link", links);
        }
        if partial {
            reply = reply.with("x-github-sso", format!("partial-results; organizations={ORG_ID}"));
        }
        Ok(reply)
    }

    fn user_self(&self, cx: &Cx<'_>) -> Answer {
        if let Caller::Installation { .. } = cx.caller {
            return Err(Reply::forbidden("Resource not accessible by integration"));
        }
        let me = self.people.get(self.me).ok_or_else(Reply::not_found)?;
        Ok(Reply::ok(render::private_user(&cx.base, me)))
    }

    fn user_by_id(&self, cx: &Cx<'_>, id: &str) -> Answer {
        let id = id.parse().map_err(|_| Reply::not_found())?;
        let person = self.people.get(id).ok_or_else(Reply::not_found)?;
        Ok(Reply::ok(render::public_user(&cx.base, person)))
    }

    fn user_by_login(&mut self, cx: &Cx<'_>, login: &str) -> Answer {
        let id = self.people.exists(login, cx.now);
        let person = id.and_then(|id| self.people.get(id));
        let person = person.ok_or_else(Reply::not_found)?;
        Ok(Reply::ok(render::public_user(&cx.base, person)))
    }
}

fn is_org(login: &str) -> bool {
    login.eq_ignore_ascii_case(ORG)
}

fn is_org_id(id: &str) -> bool {
    id.parse() == Ok(ORG_ID)
}

/// One path segment without its percent signs; `None` if they are malformed.
fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// A role out of a body, or the refusal that GitHub gives.
pub(super) fn one_of<'v>(
    value: Option<&'v Value>,
    default: &'static str,
    allowed: &[&str],
    resource: &str,
    field: &str,
) -> Result<&'v str, Reply> {
    match value {
        None | Some(Value::Null) => Ok(default),
        Some(Value::String(text)) if allowed.contains(&text.as_str()) => Ok(text),
        Some(_) => {
            Err(Reply::invalid(resource, "invalid", field, &format!("{field} is not one of {}", allowed.join(", "))))
        }
    }
}

/// `StatusCode::FOUND` with where to go.
pub(super) fn redirect(to: String) -> Reply {
    Reply::empty(StatusCode::FOUND).with("location", to)
}
