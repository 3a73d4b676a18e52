//! A simulated Buildkite organisation: the REST API under `/v2` and the
//! GraphQL API at `/graphql` (also `/v1`), over one state.
//!
//! The organisation is `acme`. The credential's own account is a machine user
//! and an administrator: the API lists it, as the vendor's does, and it stays
//! out of `/_sim/state`. Behaviour follows the vendor's documentation and
//! schema; where those are silent, the choice is named at the place.
//!
//! Knobs of `POST /_sim/set`: `token` (`"valid"` or `"revoked"`), `scopes` (the
//! token's scopes), `sso`, `pending_duplicate` (`"refuse"` or `"resend"`),
//! `invitation_days`, `users_limit` (members and pending invitations together,
//! the credential's own account counted; null for none),
//! `teams_enabled`, `plan_teams`, `everyone` (true makes the team `Everyone`),
//! `create_team_returns_id`, `machine_admin_counts`; and what people do by hand: `leave` (a
//! member's address), `join_team` and `leave_team` (`email` and the team's name as `team`).

mod errors;
mod graphql;
mod ids;
mod invitations;
mod limits;
mod members;
mod rest;
mod rest_teams;
mod teams;
mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, header};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use self::errors::Refusal;
use self::limits::Meter;
use self::teams::TeamWant;
use self::world::{ORG_SLUG, OrgRole, Rules, SsoMode, World};
use crate::{Accept, Limits, Offer, Target};

/// The scope that opens the whole GraphQL API.
const GRAPHQL_SCOPE: &str = "graphql";

/// The API access token. A constant: a simulator that takes another's place on its port is the same
/// organisation to those who hold the token.
const TOKEN: &str = "bkua_simulatedSimulatedSimulatedSimulated01";

/// The scopes of the offered token.
const SCOPES: [&str; 9] = [
    "read_accounts",
    "read_user",
    "read_organizations",
    "write_organizations",
    "read_organization_invitations",
    "write_organization_invitations",
    "read_teams",
    "write_teams",
    GRAPHQL_SCOPE,
];

/// A simulated Buildkite organisation.
#[derive(Debug)]
pub struct Buildkite {
    limits: Limits,
    meter: Meter,
    token: Token,
    world: World,
}

/// The one API access token.
#[derive(Debug)]
struct Token {
    secret: String,
    uuid: Uuid,
    valid: bool,
    scopes: BTreeSet<String>,
}

impl Buildkite {
    /// An organisation with nobody in it but the credential's own account.
    /// Quotas and rate limits are the vendor's with [`Limits::Real`] only.
    pub fn new(limits: Limits) -> Self {
        let real = matches!(limits, Limits::Real);
        Self {
            limits,
            meter: Meter::new(real),
            token: Token {
                secret: TOKEN.to_owned(),
                uuid: world::fixed(1),
                valid: true,
                scopes: SCOPES.map(str::to_owned).into(),
            },
            world: World::new(real),
        }
    }

    /// Whether the request carries the token. Only Bearer counts.
    fn authenticate(&self, request: &Request<Bytes>) -> Result<(), Refusal> {
        let given = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        if self.token.valid && given == Some(self.token.secret.as_str()) {
            Ok(())
        } else {
            Err(Refusal::unauthorized())
        }
    }

    fn rest(&mut self, request: &Request<Bytes>, path: &[&str], now: Timestamp) -> Response<Bytes> {
        if let Err(refusal) = self.authenticate(request) {
            return refusal.rest();
        }
        let mut response = match self.meter.take_rest(now) {
            Some(response) => response,
            None => {
                let mut api = rest::Api { world: &mut self.world, meter: &mut self.meter, token: &self.token, now };
                api.route(request, path).unwrap_or_else(|refusal| refusal.rest())
            }
        };
        self.meter.rest_headers(&mut response, now);
        response
    }

    fn graphql(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        if let Err(refusal) = self.authenticate(request) {
            return refusal.graphql();
        }
        if !self.token.scopes.contains(GRAPHQL_SCOPE) {
            return Refusal::forbidden("This API access token doesn't have GraphQL API access").graphql();
        }
        let (mut response, complexity) = match self.meter.check_graphql(now) {
            Some(response) => (response, None),
            None => {
                let cap = self.meter.enforced().then_some(limits::QUERY_COMPLEXITY);
                let answer = graphql::answer(&mut self.world, request, cap, now);
                self.meter.spend_graphql(answer.complexity.map_or(0, |(_, actual)| actual));
                (answer.response, answer.complexity)
            }
        };
        self.meter.graphql_headers(&mut response, complexity, now);
        response
    }
}

impl Target for Buildkite {
    fn name(&self) -> &'static str {
        "buildkite"
    }

    fn offer(&self, base_url: &str) -> Offer {
        let base = base_url.trim_end_matches('/');
        Offer {
            connector: "buildkite",
            settings: json!({
                "org": ORG_SLUG,
                "api_url": format!("{base}/v2"),
                "graphql_url": format!("{base}/graphql"),
                "pace": self.limits.pace(),
            }),
            secrets: json!({ "token": self.token.secret }),
        }
    }

    fn handle(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        self.world.expire(now);
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        match path.as_slice() {
            ["graphql" | "v1"] if request.method() == Method::POST => self.graphql(request, now),
            ["v2", rest @ ..] => self.rest(request, rest, now),
            _ => Refusal::not_found("such resource").rest(),
        }
    }

    fn state(&self) -> Value {
        let world = &self.world;
        let people = |user: &Uuid| (*user != world.owner).then(|| world.users.get(user)).flatten();
        let accounts: Vec<Value> = world
            .members
            .values()
            .filter_map(|member| {
                let user = people(&member.user)?;
                Some(json!({
                    "id": user.uuid,
                    "login": user.login,
                    "email": user.email,
                    "active": true,
                    "role": member.role.rest(),
                }))
            })
            .collect();
        let invitations: Vec<Value> = world
            .pending
            .iter()
            .filter_map(|seq| world.invitations.get(seq))
            .map(|invitation| json!({ "id": invitation.uuid, "email": invitation.email, "login": null }))
            .collect();
        let groups: Vec<Value> = world
            .teams
            .values()
            .map(|team| {
                let members: Vec<Value> = team
                    .members
                    .values()
                    .filter_map(|member| people(&member.user))
                    .map(|user| json!({ "id": user.uuid, "login": user.login, "email": user.email }))
                    .collect();
                json!({ "id": team.uuid, "name": team.name, "members": members })
            })
            .collect();
        json!({ "accounts": accounts, "invitations": invitations, "groups": groups })
    }

    fn accept(&mut self, which: &Accept, now: Timestamp) -> Value {
        self.world.expire(now);
        let world = &mut self.world;
        let chosen: Vec<u64> = match &which.email {
            Some(email) => world.pending_by_email.get(&email.to_lowercase()).copied().into_iter().collect(),
            None => world.pending.iter().copied().collect(),
        };
        let mut accepted = Vec::with_capacity(chosen.len());
        for seq in chosen {
            let user =
                world.accept_invitation(seq, which.login.as_deref(), now).and_then(|user| world.users.get(&user));
            let invitation = world.invitations.get(&seq);
            if let (Some(user), Some(invitation)) = (user, invitation) {
                accepted.push(json!({
                    "invitation": invitation.uuid,
                    "email": invitation.email,
                    "id": user.uuid,
                    "login": user.login,
                }));
            }
        }
        json!({ "accepted": accepted })
    }

    fn load(&mut self, accounts: usize, groups: usize, now: Timestamp) {
        let world = &mut self.world;
        for n in 0..accounts {
            let login = format!("load{n:04}");
            let user = world.user(&format!("{login}@example.com"), &login, false, now);
            world.join(user, OrgRole::Member, SsoMode::Required, None, now);
        }
        let quotas = std::mem::replace(&mut world.rules.quotas, false);
        for n in 0..groups {
            let want = TeamWant { name: Some(format!("Load group {n:04}")), ..TeamWant::default() };
            // A team of that name is there already: nothing to add.
            let _ = world.create_team(want, [true, true, true, false, false], now);
        }
        world.rules.quotas = quotas;
    }

    fn set(&mut self, what: &Value) -> Result<(), String> {
        let knobs = what.as_object().ok_or_else(|| "an object of knobs is expected".to_owned())?;
        let change = Change::read(knobs, &self.world.rules)?;
        if let Some(valid) = change.token_valid {
            self.token.valid = valid;
        }
        if let Some(scopes) = change.scopes {
            self.token.scopes = scopes;
        }
        self.world.rules = change.rules;
        self.world.next_expiry = None;
        for (email, name, joins) in &change.teams {
            self.by_hand(email, name, *joins)?;
        }
        if let Some(email) = &change.leave {
            let user = self.world.users_by_email.get(&email.to_lowercase()).copied();
            let member = user.and_then(|user| self.world.member(user).ok()).ok_or("leave: no member's address")?;
            self.world.remove_member(member).map_err(|refusal| refusal.message)?;
        }
        if change.everyone {
            self.world.make_everyone(self.world.created_at).map_err(|refusal| refusal.message)?;
        }
        Ok(())
    }

    fn too_many(&self, wait: Duration, _now: Timestamp) -> Response<Bytes> {
        let per_second = match self.limits {
            Limits::PerSecond(n) => n,
            Limits::None | Limits::Real => 1,
        };
        limits::paced_429(per_second, wait)
    }
}

impl Buildkite {
    /// Puts a member into a team, or takes one out, as an admin with a browser would.
    fn by_hand(&mut self, email: &str, name: &str, joins: bool) -> Result<(), String> {
        let user = self.world.users_by_email.get(&email.to_lowercase()).copied().ok_or("no such address")?;
        let found = self.world.teams.iter().find(|(_, team)| team.name == name).map(|(seq, _)| *seq);
        let team = found.ok_or_else(|| format!("there is no team {name:?}"))?;
        if joins {
            self.world.add_team_member(team, user, None, self.world.created_at).map_err(|refusal| refusal.message)?;
        } else if !self.world.take_from_team(team, user) {
            return Err(format!("the person is not in {name:?}"));
        }
        Ok(())
    }
}

/// The knobs of one `POST /_sim/set`, read whole before any of them turns.
struct Change {
    token_valid: Option<bool>,
    scopes: Option<BTreeSet<String>>,
    rules: Rules,
    everyone: bool,
    /// Who is put into a team by hand, or taken out: address, name of the team.
    teams: Vec<(String, String, bool)>,
    /// The address of a member who leaves.
    leave: Option<String>,
}

impl Change {
    fn read(knobs: &Map<String, Value>, rules: &Rules) -> Result<Self, String> {
        let mut change = Self {
            token_valid: None,
            scopes: None,
            rules: rules.clone(),
            everyone: false,
            teams: Vec::new(),
            leave: None,
        };
        for (name, value) in knobs {
            change.knob(name, value)?;
        }
        let usable = change.rules.plan_teams && change.rules.teams_enabled;
        if change.everyone && !usable {
            return Err("everyone: teams are not enabled".to_owned());
        }
        Ok(change)
    }

    fn knob(&mut self, name: &str, value: &Value) -> Result<(), String> {
        let wrong = |wanted: &str| format!("{name}: {wanted} is expected");
        let flag = || value.as_bool().ok_or_else(|| wrong("true or false"));
        let choice = |off: &str, on: &str| match value.as_str() {
            Some(text) if text == off => Ok(false),
            Some(text) if text == on => Ok(true),
            _ => Err(wrong(&format!("{off:?} or {on:?}"))),
        };
        match name {
            "token" => self.token_valid = Some(choice("revoked", "valid")?),
            "scopes" => {
                let names = value.as_array().ok_or_else(|| wrong("an array of scopes"))?;
                let scopes: Option<BTreeSet<String>> =
                    names.iter().map(|scope| scope.as_str().map(str::to_owned)).collect();
                self.scopes = Some(scopes.ok_or_else(|| wrong("an array of scopes"))?);
            }
            "sso" => self.rules.sso = flag()?,
            "pending_duplicate" => self.rules.resend_pending = choice("refuse", "resend")?,
            "invitation_days" => {
                self.rules.invitation_days = value
                    .as_i64()
                    .filter(|days| (0..=36_500).contains(days))
                    .ok_or_else(|| wrong("a number of days from 0 to 36500"))?;
            }
            "users_limit" => {
                self.rules.users_limit = match value {
                    Value::Null => None,
                    other => Some(other.as_u64().ok_or_else(|| wrong("a whole number or null"))?),
                };
            }
            "teams_enabled" => self.rules.teams_enabled = flag()?,
            "plan_teams" => self.rules.plan_teams = flag()?,
            "everyone" => self.everyone = flag()?,
            "leave" => self.leave = Some(value.as_str().ok_or_else(|| wrong("an address"))?.to_owned()),
            "join_team" | "leave_team" => {
                let (Some(email), Some(team)) = (value["email"].as_str(), value["team"].as_str()) else {
                    return Err(wrong("an object of `email` and `team`"));
                };
                self.teams.push((email.to_owned(), team.to_owned(), name == "join_team"));
            }
            "create_team_returns_id" => self.rules.create_team_returns_id = flag()?,
            "machine_admin_counts" => self.rules.machine_admin_counts = flag()?,
            _ => return Err(format!("there is no knob {name:?}")),
        }
        Ok(())
    }
}
