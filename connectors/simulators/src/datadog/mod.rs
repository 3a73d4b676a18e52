//! A simulated Datadog organisation: users, invitations, roles and teams under `/api/v2`.
//!
//! The application key belongs to a service account: the API lists it, as the vendor's does, and it
//! stays out of `/_sim/state`. Behaviour follows the vendor's OpenAPI description; where that is
//! silent, the choice is named at the place. Disabled users stay. `/_sim/accept` is the first sign-in
//! of pending users; there are no invitations that are not users.
//!
//! Knobs of `POST /_sim/set`: `token` (`"valid"` or `"revoked"`), `forbid` (a list of paths below
//! `/api/v2` that the key lacks the permission for), `duplicate` (`400` as described, or `409` as users
//! of the API report, for a second user of an address), `hide_unverified` (users who were disabled
//! before they signed in are not listed), `saml_member` (`email` and `team`: a membership by SAML mapping),
//! `managed_team` (a team's name).

mod api;
mod world;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use self::api::Api;
use self::world::{MANAGED, Member, Refusal, World};
use crate::knobs;
use crate::{Accept, Limits, Offer, Target};

/// The keys. Constants: a simulator that takes another's place on its port is the same organisation to
/// those who hold them.
const API_KEY: &str = "5157a11a7ed5157a11a7ed5157a11a7e";
const APP_KEY: &str = "ddapp_simulatedSimulatedSimulated0123456";

/// Calls in a window of [`SECONDS`] with [`Limits::Real`]. The vendor publishes no number; this is the
/// simulator's.
const CALLS: u64 = 600;
/// The length of a window.
const SECONDS: i64 = 60;

/// What knobs decide.
#[derive(Debug, Clone, Default)]
struct Rules {
    forbid: Vec<String>,
    duplicate_conflicts: bool,
    hide_unverified: bool,
}

/// A simulated Datadog organisation.
#[derive(Debug)]
pub struct Datadog {
    limits: Limits,
    valid: bool,
    rules: Rules,
    window: Option<(Timestamp, u64)>,
    world: World,
}

/// A JSON answer.
fn reply(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// 204 without a body.
fn no_content() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn refuse(refusal: &Refusal) -> Response<Bytes> {
    reply(refusal.0, &json!({ "errors": [refusal.1] }))
}

fn limit_headers(response: &mut Response<Bytes>, limit: u64, remaining: u64, reset: i64) {
    for (name, value) in [
        ("x-ratelimit-limit", limit.to_string()),
        ("x-ratelimit-period", SECONDS.to_string()),
        ("x-ratelimit-remaining", remaining.to_string()),
        ("x-ratelimit-reset", reset.to_string()),
        ("x-ratelimit-name", "user_management".to_owned()),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
}

impl Datadog {
    /// An organisation with nobody in it but the key's own account.
    pub fn new(limits: Limits) -> Self {
        Self { limits, valid: true, rules: Rules::default(), window: None, world: World::new() }
    }

    fn known(&self, request: &Request<Bytes>) -> bool {
        let is =
            |name: &str, key: &str| request.headers().get(name).is_some_and(|value| value.as_bytes() == key.as_bytes());
        self.valid && is("dd-api-key", API_KEY) && is("dd-application-key", APP_KEY)
    }

    fn answer(&mut self, request: &Request<Bytes>, path: &[&str], now: Timestamp) -> Response<Bytes> {
        // The vendor answers 403 to dead keys and to a missing permission alike.
        if !self.known(request) || self.rules.forbid.iter().any(|part| path.first() == Some(&part.as_str())) {
            return refuse(&Refusal::forbidden());
        }
        let Limits::Real = self.limits else {
            return self.route(request, path, now);
        };
        let (opened, used) = match self.window {
            Some((opened, used)) if now.duration_since(opened) < SignedDuration::from_secs(SECONDS) => (opened, used),
            _ => (now, 0),
        };
        let left = SECONDS - now.duration_since(opened).as_secs();
        let mut response = if used >= CALLS {
            refuse(&Refusal(StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded".to_owned()))
        } else {
            self.route(request, path, now)
        };
        self.window = Some((opened, used + 1));
        limit_headers(&mut response, CALLS, CALLS.saturating_sub(used + 1), left);
        response
    }

    fn route(&mut self, request: &Request<Bytes>, path: &[&str], now: Timestamp) -> Response<Bytes> {
        let mut api = Api { world: &mut self.world, rules: &self.rules, now };
        api.route(request, path).unwrap_or_else(|refusal| refuse(&refusal))
    }
}

impl Target for Datadog {
    fn name(&self) -> &'static str {
        "datadog"
    }

    fn offer(&self, base_url: &str) -> Offer {
        Offer {
            connector: "datadog",
            settings: json!({
                "api_url": base_url.trim_end_matches('/'),
                "pace": self.limits.pace(),
            }),
            secrets: json!({ "api_key": API_KEY, "app_key": APP_KEY }),
        }
    }

    fn handle(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        match path.as_slice() {
            ["api", "v2", rest @ ..] => self.answer(request, rest, now),
            _ => refuse(&Refusal::absent("Resource")),
        }
    }

    fn state(&self) -> Value {
        let world = &self.world;
        let person = |seq: &u64| (*seq != world.owner).then(|| world.users.get(seq)).flatten();
        let role = |seq: u64| {
            MANAGED
                .into_iter()
                .find(|name| world.roles.values().any(|role| role.name == *name && role.users.contains_key(&seq)))
        };
        let accounts: Vec<Value> = world
            .users
            .keys()
            .filter_map(|seq| Some((seq, person(seq)?)))
            .map(|(seq, user)| {
                json!({
                    "id": user.id,
                    "login": user.handle,
                    "email": user.email,
                    "name": user.name,
                    "active": !user.disabled,
                    "status": user.status(),
                    "role": role(*seq),
                    "mails": user.invitations.len(),
                })
            })
            .collect();
        let shown = |users: Vec<&u64>| -> Vec<Value> {
            let people = users.into_iter().filter_map(person);
            people.map(|user| json!({ "id": user.id, "login": user.handle, "email": user.email })).collect()
        };
        let teams = world.teams.values().map(|team| (team.id, &team.name, shown(team.members.keys().collect())));
        let custom = world.roles.values().filter(|role| !MANAGED.contains(&role.name.as_str()));
        let roles = custom.map(|role| (role.id, &role.name, shown(role.users.keys().collect())));
        let groups: Vec<Value> = teams
            .chain(roles)
            .map(|(id, name, members)| json!({ "id": id, "name": name, "members": members }))
            .collect();
        json!({ "accounts": accounts, "invitations": [], "groups": groups })
    }

    fn accept(&mut self, which: &Accept, now: Timestamp) -> Value {
        let wanted = which.email.as_deref().map(str::to_lowercase);
        let mut accepted = Vec::new();
        for user in self.world.users.values_mut() {
            let meant = wanted.as_ref().is_none_or(|email| user.handle.to_lowercase() == *email);
            if meant && !user.disabled && !user.verified {
                (user.verified, user.modified_at) = (true, now);
                accepted.push(json!({ "email": user.email, "id": user.id, "login": user.handle }));
            }
        }
        json!({ "accepted": accepted })
    }

    fn load(&mut self, accounts: usize, groups: usize, now: Timestamp) {
        for n in 0..accounts {
            let name = format!("load{n:04}");
            let email = format!("{name}@example.com");
            if self.world.user_handles.contains_key(&email) {
                continue;
            }
            let seq = self.world.add_user(uuid::Uuid::new_v4(), &email, Some(&name), now);
            if let Some(user) = self.world.users.get_mut(&seq) {
                user.verified = true;
            }
            self.world.put_in_role(MANAGED[1], seq);
        }
        for n in 0..groups {
            // A team of that handle is there already: nothing to add.
            let _ = self.world.add_team(&format!("Load group {n:04}"), &format!("load-group-{n:04}"), now);
            let name = format!("Load role {n:04}");
            if self.world.roles.values().all(|role| role.name != name) {
                self.world.add_role(uuid::Uuid::new_v4(), &name, now);
            }
        }
    }

    fn set(&mut self, what: &Value) -> Result<(), String> {
        let (mut valid, mut rules) = (self.valid, self.rules.clone());
        let (mut saml, mut managed) = (None, None);
        for knob in knobs::each(what)? {
            match knob.name {
                "token" => valid = knob.valid()?,
                "forbid" => rules.forbid = knob.texts()?,
                "duplicate" => {
                    rules.duplicate_conflicts = match knob.value.as_u64() {
                        Some(400) => false,
                        Some(409) => true,
                        _ => return Err(knob.wrong("400 or 409")),
                    }
                }
                "hide_unverified" => rules.hide_unverified = knob.flag()?,
                "saml_member" => match (knob.value["email"].as_str(), knob.value["team"].as_str()) {
                    (Some(email), Some(team)) => saml = Some((email.to_lowercase(), team.to_owned())),
                    _ => return Err(knob.wrong("an object of `email` and `team`")),
                },
                "managed_team" => managed = Some(knob.text()?),
                _ => return knob.unknown(),
            }
        }
        let since = self.world.seq();
        if let Some((email, name)) = saml {
            let user = self.world.user_handles.get(&email).copied().ok_or("saml_member: no such address")?;
            let team =
                self.world.teams.values_mut().find(|team| team.name == name).ok_or("saml_member: no such team")?;
            team.members.insert(user, Member { since, admin: false, by: Some("saml_mapping") });
        }
        if let Some(name) = managed {
            let team = self.world.teams.values_mut().find(|team| team.name == name);
            team.ok_or_else(|| format!("there is no team {name:?}"))?.managed = true;
        }
        (self.valid, self.rules) = (valid, rules);
        Ok(())
    }

    fn too_many(&self, wait: Duration, _now: Timestamp) -> Response<Bytes> {
        let limit = match self.limits {
            Limits::PerSecond(n) => u64::from(n),
            Limits::None | Limits::Real => 1,
        };
        let mut response = refuse(&Refusal(StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded".to_owned()));
        let seconds = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX - 1) + i64::from(wait.subsec_nanos() > 0);
        limit_headers(&mut response, limit, 0, seconds.max(1));
        response
    }
}
