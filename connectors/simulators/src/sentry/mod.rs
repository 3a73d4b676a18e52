//! A simulated Sentry organisation: members, invitations and teams by the API version 0.
//!
//! Sources: docs.sentry.io/api (organizations, teams, pagination, rate limits) and Sentry's published source
//! (`core/endpoints/organization_member_*.py`, `organization_teams.py`, `team_*.py`, `ratelimits/utils.py`).
//! The token is that of the owner `gateway@acme.example`, who stays out of `/_sim/state`.
//!
//! Habits that are easily missed: an invitation is a member whose time is over after thirty days and who then
//! stands in the way of the next; a change of a role that names no teams takes the member out of all of them;
//! a path without its last slash is not answered; whoever makes a team is in it; the next page is always
//! linked, with `results="false"` at the end.
//!
//! Knobs of `POST /_sim/set`: `token` (`"valid"` or `"revoked"`), `scopes` (what the token may do), `managed`
//! (addresses and names of teams that Sentry's SCIM keeps), `invites` (false where the plan lets nobody be
//! invited).

mod route;

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::knobs;
use crate::rest::{self, Refused, set};
use crate::{Accept, Limits, Offer, Target};

/// The token. A constant: a simulator that takes another's place on its port is the same organisation.
const TOKEN: &str = "sntryu_simulatedToken0001";
/// Whose token it is.
const OWN: &str = "gateway@acme.example";
/// The organisation's slug.
const ORGANISATION: &str = "acme";
/// Calls a second per caller and endpoint (organization_member_index.py).
const PER_SECOND: u32 = 40;
/// Invitations a day (ratelimits/utils.py).
const INVITATIONS_PER_DAY: usize = 100;
/// How long an invitation lives (models/organizationmember.py, INVITE_DAYS_VALID).
const INVITATION_DAYS: i64 = 30;
/// What the token of an owner may do.
const SCOPES: [&str; 6] = ["org:read", "member:read", "member:write", "member:admin", "team:read", "team:admin"];

/// A simulated organisation.
#[derive(Debug)]
pub struct Sentry {
    limits: Limits,
    valid: bool,
    scopes: Vec<String>,
    managed: Vec<String>,
    may_invite: bool,
    next: u64,
    members: Vec<Member>,
    teams: Vec<Team>,
    invited: Vec<Timestamp>,
    window: Option<(i64, String, u32)>,
}

/// A member, or an invitation: the same thing before and after.
#[derive(Debug)]
struct Member {
    id: u64,
    email: String,
    name: Option<String>,
    role: String,
    /// The account, once there is one.
    user: Option<u64>,
    /// When an invitation's time is over.
    expires: Option<Timestamp>,
    since: Timestamp,
}

#[derive(Debug)]
struct Team {
    id: u64,
    slug: String,
    name: String,
    /// Members' ids, each with the role within the team.
    members: Vec<(u64, Option<String>)>,
}

impl Sentry {
    /// An organisation with nobody in it but its owner.
    pub fn new(limits: Limits) -> Self {
        let mut sim = Self {
            limits,
            valid: true,
            scopes: SCOPES.iter().map(|scope| (*scope).to_owned()).collect(),
            managed: Vec::new(),
            may_invite: true,
            next: 40,
            members: Vec::new(),
            teams: Vec::new(),
            invited: Vec::new(),
            window: None,
        };
        sim.member(OWN, "owner", Timestamp::UNIX_EPOCH, true);
        sim
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A new member, joined or invited.
    fn member(&mut self, email: &str, role: &str, now: Timestamp, joined: bool) -> u64 {
        let id = self.id();
        let user = joined.then(|| self.id());
        let expires = now.checked_add(SignedDuration::from_hours(24 * INVITATION_DAYS)).ok().filter(|_| !joined);
        let name = joined.then(|| email.split('@').next().unwrap_or_default().to_owned());
        let (email, role) = (email.to_owned(), role.to_owned());
        self.members.push(Member { id, email, name, role, user, expires, since: now });
        id
    }

    fn own(&self) -> u64 {
        self.members.iter().find(|member| member.email == OWN).map_or(0, |member| member.id)
    }

    /// A slug made of a name, free in the organisation: Sentry adds to one that is taken or has digits alone.
    fn free_slug(&self, name: &str) -> String {
        let mut slug = slug(name);
        if slug.is_empty() || slug.bytes().all(|byte| byte.is_ascii_digit()) {
            slug = format!("team-{slug}");
        }
        let mut free = slug.clone();
        let mut n = 1;
        while self.teams.iter().any(|team| team.slug == free) {
            n += 1;
            free = format!("{slug}-{n}");
        }
        free
    }

    /// Calls that are left in this second for this endpoint, after one more; nothing where there was none.
    fn left(&mut self, endpoint: String, now: Timestamp) -> Option<u32> {
        let second = now.as_second();
        let used = match &self.window {
            Some((at, of, used)) if *at == second && *of == endpoint => used + 1,
            _ => 1,
        };
        self.window = Some((second, endpoint, used));
        PER_SECOND.checked_sub(used)
    }

    /// Whether one more invitation may be sent today.
    fn quota(&mut self, now: Timestamp) -> bool {
        if self.limits != Limits::Real {
            return true;
        }
        self.invited.retain(|at| now.duration_since(*at) < SignedDuration::from_hours(24));
        let may = self.invited.len() < INVITATIONS_PER_DAY;
        if may {
            self.invited.push(now);
        }
        may
    }
}

/// Lower case letters and digits, everything else a dash.
fn slug(name: &str) -> String {
    let dashed: String =
        name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    dashed.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

fn too_often(limit: u32) -> Refused {
    let why = format!("You are attempting to use this endpoint too frequently. Limit is {limit} requests in 1 seconds");
    Refused::new(429, json!({ "detail": why }))
}

fn limit_headers(response: &mut Response<Bytes>, limit: u32, left: u32, reset: i64) {
    set(response, "x-sentry-rate-limit-limit", &limit.to_string());
    set(response, "x-sentry-rate-limit-remaining", &left.to_string());
    set(response, "x-sentry-rate-limit-reset", &reset.to_string());
    set(response, "x-sentry-rate-limit-concurrentlimit", "25");
    set(response, "x-sentry-rate-limit-concurrentremaining", "24");
}

impl Target for Sentry {
    fn name(&self) -> &'static str {
        "sentry"
    }

    fn offer(&self, base_url: &str) -> Offer {
        Offer {
            connector: "sentry",
            settings: json!({
                "url": format!("{}/api/0", base_url.trim_end_matches('/')),
                "organization": ORGANISATION,
                "pace": self.limits.pace(),
            }),
            secrets: json!({ "token": TOKEN }),
        }
    }

    fn handle(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        if self.limits != Limits::Real {
            return self.route(request, now).unwrap_or_else(|refused| refused.response());
        }
        // An endpoint is a method and a path whose numbers are parameters.
        let path: String = request.uri().path().chars().filter(|c| !c.is_ascii_digit()).collect();
        let left = self.left(format!("{} {path}", rest::method(request)), now);
        let mut response = match left {
            Some(_) => self.route(request, now).unwrap_or_else(|refused| refused.response()),
            None => too_often(PER_SECOND).response(),
        };
        limit_headers(&mut response, PER_SECOND, left.unwrap_or_default(), now.as_second() + 1);
        response
    }

    fn state(&self) -> Value {
        let shown = |member: &Member| {
            json!({
                "id": member.id.to_string(), "login": member.email, "email": member.email, "active": true,
                "role": member.role,
            })
        };
        let others = || self.members.iter().filter(|member| member.email != OWN);
        let accounts: Vec<Value> = others().filter(|member| member.user.is_some()).map(shown).collect();
        let invitations: Vec<Value> = others()
            .filter(|member| member.user.is_none())
            .map(|member| json!({ "id": member.id.to_string(), "email": member.email, "role": member.role }))
            .collect();
        let groups: Vec<Value> = self
            .teams
            .iter()
            .map(|team| {
                let members: Vec<Value> = team
                    .members
                    .iter()
                    .filter_map(|(id, _)| others().find(|member| member.id == *id))
                    .map(|member| {
                        let pending = member.user.is_none();
                        json!({ "id": member.id.to_string(), "login": member.email, "email": member.email, "pending": pending })
                    })
                    .collect();
                json!({ "id": team.id.to_string(), "name": team.name, "members": members })
            })
            .collect();
        json!({ "accounts": accounts, "invitations": invitations, "groups": groups })
    }

    /// The member stays the same; with a login it is an account of another address that follows the link.
    fn accept(&mut self, which: &Accept, now: Timestamp) -> Value {
        let mut accepted = Vec::new();
        for place in 0..self.members.len() {
            let member = &self.members[place];
            let wanted = which.email.as_ref().is_none_or(|email| email.eq_ignore_ascii_case(&member.email));
            if member.user.is_some() || !wanted || member.expires.is_some_and(|end| end <= now) {
                continue;
            }
            let user = self.id();
            let member = &mut self.members[place];
            if let Some(login) = &which.login {
                member.email = format!("{login}@elsewhere.example");
            }
            member.user = Some(user);
            member.expires = None;
            member.name = Some(member.email.split('@').next().unwrap_or_default().to_owned());
            accepted.push(json!({ "id": member.id.to_string(), "email": member.email }));
        }
        json!({ "accepted": accepted })
    }

    fn load(&mut self, accounts: usize, groups: usize, now: Timestamp) {
        for n in 0..accounts {
            let email = format!("load{n:04}@example.com");
            if !self.members.iter().any(|member| member.email == email) {
                self.member(&email, "member", now, true);
            }
        }
        for n in 0..groups {
            let name = format!("Load group {n:04}");
            if !self.teams.iter().any(|team| team.name == name) {
                let (id, slug) = (self.id(), self.free_slug(&name));
                self.teams.push(Team { id, slug, name, members: Vec::new() });
            }
        }
    }

    fn set(&mut self, what: &Value) -> Result<(), String> {
        let (mut valid, mut may_invite) = (self.valid, self.may_invite);
        let (mut scopes, mut managed) = (self.scopes.clone(), self.managed.clone());
        for knob in knobs::each(what)? {
            match knob.name {
                "token" => valid = knob.valid()?,
                "scopes" => scopes = knob.texts()?,
                "managed" => managed = knob.texts()?,
                "invites" => may_invite = knob.flag()?,
                _ => return knob.unknown(),
            }
        }
        (self.valid, self.may_invite) = (valid, may_invite);
        (self.scopes, self.managed) = (scopes, managed);
        Ok(())
    }

    fn too_many(&self, wait: Duration, now: Timestamp) -> Response<Bytes> {
        let limit = match self.limits {
            Limits::PerSecond(n) => n,
            Limits::None | Limits::Real => 1,
        };
        let mut response = too_often(limit).response();
        let seconds = i64::try_from(wait.as_secs().max(1)).unwrap_or(1);
        limit_headers(&mut response, limit, 0, now.as_second() + seconds);
        response
    }
}
