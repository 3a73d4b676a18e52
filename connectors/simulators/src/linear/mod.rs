//! A simulated Linear workspace: the GraphQL API at `/graphql`.
//!
//! The workspace is `acme`. The key's own user is its owner: the API lists it, as the vendor's does,
//! and it stays out of `/_sim/state`. Behaviour follows the vendor's documentation, schema and SDK;
//! where those are silent, the choice is named at the place. Suspended users stay, with `active`
//! false; deleted invitations and teams stay as archived.
//!
//! Knobs of `POST /_sim/set`: `token` (`"valid"` or `"revoked"`), `role` of the key's user (`"owner"`,
//! `"admin"` or `"user"`), `invitation_days` (0: for ever), `seats` (active users and pending
//! invitations together, the key's own user counted; null for none), `pending_duplicate` (`"refuse"`
//! or `"again"`), `scim` (Linear's own is on), `scim_team` (a team's name: its members are SCIM's).

mod limits;
mod mutations;
mod resolve;
mod schema;
mod world;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use self::limits::Meter;
use self::resolve::Run;
use self::world::{Refusal, Role, URL_KEY, World};
use crate::knobs;
use crate::{Accept, Limits, Offer, Target, graphql};

/// The API key. A constant: a simulator that takes another's place on its port is the same workspace
/// to those who hold the key.
const KEY: &str = "lin_api_simulatedSimulatedSimulatedSimulated01";

/// A simulated Linear workspace.
#[derive(Debug)]
pub struct Linear {
    limits: Limits,
    meter: Meter,
    valid: bool,
    world: World,
}

impl Linear {
    /// A workspace with nobody in it but the key's own user. Rate limits are the vendor's with
    /// [`Limits::Real`] only.
    pub fn new(limits: Limits) -> Self {
        let real = matches!(limits, Limits::Real);
        Self { limits, meter: Meter::new(real), valid: true, world: World::new() }
    }

    /// Whether the request carries the key: a personal key stands alone in the header, and with
    /// `Bearer` before it, it is taken for an OAuth token and refused.
    fn known(&self, request: &Request<Bytes>) -> bool {
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        self.valid && given == Some(KEY)
    }

    fn answer(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        if !self.known(request) {
            return reply(
                StatusCode::UNAUTHORIZED,
                &json!({ "errors": [{
                    "message": "Authentication required, not authenticated",
                    "extensions": { "type": "authentication error", "code": "AUTHENTICATION_ERROR", "userError": true,
                        "userPresentableMessage": "You need to authenticate to access this operation." },
                }] }),
            );
        }
        let body: Map<String, Value> = match serde_json::from_slice(request.body()) {
            Ok(Value::Object(body)) => body,
            _ => return invalid(vec![json!({ "message": "POST body missing or not an object" })]),
        };
        let compiled = match graphql::prepare(&schema::SCHEMA, &body) {
            Ok(compiled) => compiled,
            Err(issues) => return invalid(issues),
        };
        let tenths = compiled.plans.iter().fold(0u64, |sum, plan| sum.saturating_add(resolve::tenths(plan)));
        let points = tenths.div_ceil(10);
        let mut response = match self.meter.take(points, now) {
            Some(refused) => refused,
            None if compiled.mutation && !matches!(self.own_role(), Role::Owner | Role::Admin) => {
                let refusal = Refusal::forbidden("You need to be an admin of this workspace.");
                reply(StatusCode::OK, &json!({ "data": null, "errors": [refusal.error()] }))
            }
            None => {
                let mut run = Run { world: &mut self.world, now };
                let done = graphql::run(&mut run, &compiled);
                let mut out = Map::new();
                // A root field that may not be null takes the whole of `data` with it.
                let void = compiled
                    .plans
                    .iter()
                    .any(|plan| plan.def.ty.ends_with('!') && done.data[plan.key.as_str()].is_null());
                out.insert("data".to_owned(), if void { Value::Null } else { done.data });
                if !done.errors.is_empty() {
                    out.insert("errors".to_owned(), Value::Array(done.errors));
                }
                reply(StatusCode::OK, &Value::Object(out))
            }
        };
        self.meter.headers(&mut response, points, now);
        response
    }

    fn own_role(&self) -> Role {
        self.world.users.get(&self.world.owner).map_or(Role::User, |user| user.role)
    }
}

/// A document that is refused before anything is run: 400.
fn invalid(mut issues: Vec<Value>) -> Response<Bytes> {
    for issue in &mut issues {
        issue["extensions"] =
            json!({ "type": "graphql error", "code": "GRAPHQL_VALIDATION_FAILED", "userError": true });
    }
    reply(StatusCode::BAD_REQUEST, &json!({ "errors": issues }))
}

/// A JSON answer.
fn reply(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

impl Target for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn offer(&self, base_url: &str) -> Offer {
        let base = base_url.trim_end_matches('/');
        Offer {
            connector: "linear",
            settings: json!({
                "workspace": URL_KEY,
                "graphql_url": format!("{base}/graphql"),
                "pace": self.limits.pace(),
            }),
            secrets: json!({ "token": KEY }),
        }
    }

    fn handle(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/graphql") => self.answer(request, now),
            _ => reply(StatusCode::NOT_FOUND, &json!({ "error": "Not found" })),
        }
    }

    fn state(&self) -> Value {
        let world = &self.world;
        let person = |seq: &u64| (*seq != world.owner).then(|| world.users.get(seq)).flatten();
        let accounts: Vec<Value> = world
            .users
            .keys()
            .filter_map(person)
            .map(|user| {
                json!({
                    "id": user.id,
                    "login": user.login,
                    "email": user.email,
                    "name": user.name,
                    "active": user.active,
                    "role": user.role.word(),
                })
            })
            .collect();
        // Whether one has expired only a call of the API knows: the clock is the caller's.
        let open = world.invites.values().filter(|invite| invite.accepted_at.is_none() && invite.archived_at.is_none());
        let invitations: Vec<Value> =
            open.map(|invite| json!({ "id": invite.id, "email": invite.email, "login": null })).collect();
        let living = world.teams.values().filter(|team| team.archived_at.is_none());
        let groups: Vec<Value> = living
            .map(|team| {
                let members: Vec<Value> = team
                    .members
                    .values()
                    .filter_map(|member| person(&member.user))
                    .map(|user| json!({ "id": user.id, "login": user.login, "email": user.email }))
                    .collect();
                json!({ "id": team.id, "name": team.name, "members": members })
            })
            .collect();
        json!({ "accounts": accounts, "invitations": invitations, "groups": groups })
    }

    fn accept(&mut self, which: &Accept, now: Timestamp) -> Value {
        let world = &mut self.world;
        let wanted = which.email.as_deref().map(str::to_lowercase);
        let chosen: Vec<u64> = world
            .invites
            .iter()
            .filter(|(_, invite)| invite.pending(now))
            .filter(|(_, invite)| wanted.as_ref().is_none_or(|email| invite.email.to_lowercase() == *email))
            .map(|(seq, _)| *seq)
            .collect();
        let mut accepted = Vec::with_capacity(chosen.len());
        for seq in chosen {
            let user = world.accept(seq, which.login.as_deref(), now).and_then(|user| world.users.get(&user));
            if let (Some(user), Some(invite)) = (user, world.invites.get(&seq)) {
                accepted.push(json!({
                    "invitation": invite.id, "email": invite.email, "id": user.id, "login": user.login,
                }));
            }
        }
        json!({ "accepted": accepted })
    }

    fn load(&mut self, accounts: usize, groups: usize, now: Timestamp) {
        for n in 0..accounts {
            let login = format!("load{n:04}");
            self.world.join(&format!("{login}@example.com"), &login, Role::User, now);
        }
        for n in 0..groups {
            let name = format!("Load group {n:04}");
            if self.world.teams.values().all(|team| team.name != name) {
                // The name is sound and the key is chosen free.
                let _ = self.world.create_team(&name, Some(&format!("LG{n}")), None, now);
            }
        }
    }

    fn set(&mut self, what: &Value) -> Result<(), String> {
        let (mut valid, mut rules, mut role) = (self.valid, self.world.rules.clone(), self.own_role());
        let mut scim_team = None;
        for knob in knobs::each(what)? {
            match knob.name {
                "token" => valid = knob.valid()?,
                "role" => role = knob.value.as_str().and_then(Role::read).ok_or_else(|| knob.wrong("a role"))?,
                "pending_duplicate" => rules.invite_twice = knob.choice("refuse", "again")?,
                "invitation_days" => {
                    let days = knob.value.as_i64().filter(|days| (0..=36_500).contains(days));
                    rules.invitation_days = days.ok_or_else(|| knob.wrong("a number of days from 0 to 36500"))?;
                }
                "seats" => rules.seats = knob.most()?,
                "scim" => rules.scim = knob.flag()?,
                "scim_team" => scim_team = Some(knob.text()?),
                _ => return knob.unknown(),
            }
        }
        if let Some(name) = scim_team {
            let team = self.world.teams.values_mut().find(|team| team.name == name);
            team.ok_or_else(|| format!("there is no team {name:?}"))?.scim_managed = true;
        }
        (self.valid, self.world.rules) = (valid, rules);
        let owner = self.world.owner;
        if let Some(user) = self.world.users.get_mut(&owner) {
            user.role = role;
        }
        Ok(())
    }

    fn too_many(&self, wait: Duration, now: Timestamp) -> Response<Bytes> {
        let per_second = match self.limits {
            Limits::PerSecond(n) => n,
            Limits::None | Limits::Real => 1,
        };
        limits::paced(per_second, wait, now)
    }
}
