//! A simulated Slack workspace: the part of the Web API under `/api` that concerns people and user
//! groups.
//!
//! Everything is answered with status 200, and `ok` says how it went; only a rate limit is a 429. The
//! token is a bot's: the bot and Slackbot are listed, as the vendor lists them, and stay out of
//! `/_sim/state`, which shows a disabled user group without members, because it reaches nobody. There
//! are no invitations. Behaviour follows the vendor's Swagger description and method pages; where those
//! are silent, the choice is named at the place.
//!
//! Knobs of `POST /_sim/set`: `token` (`"valid"` or `"revoked"`), `plan` (`"pro"` or `"free"`), `may_change`
//! (whether the app may change user groups), `deactivate` (an address).

mod methods;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::knobs;
use crate::{Accept, Limits, Offer, Target};

/// The bot token. A constant: a simulator that takes another's place on its port is the same workspace
/// to those who hold the token.
const TOKEN: &str = "xoxb-0000000000-simulatedSimulatedSimulated";
/// The workspace.
const TEAM: &str = "T0ACME0001";
/// The bot's own user.
const BOT: &str = "U0GATEWAY1";

/// Somebody in the workspace.
#[derive(Debug, Clone)]
struct User {
    id: String,
    name: String,
    email: Option<String>,
    deleted: bool,
    bot: bool,
    updated: i64,
}

/// A user group; a disabled one stays, with its members.
#[derive(Debug, Clone)]
struct UserGroup {
    id: String,
    name: String,
    handle: String,
    description: String,
    users: Vec<String>,
    created: i64,
    updated: i64,
    /// 0 while it is enabled.
    deleted: i64,
}

/// What knobs decide.
#[derive(Debug, Clone)]
struct Rules {
    valid: bool,
    paid: bool,
    may_change: bool,
}

/// A simulated Slack workspace.
#[derive(Debug)]
pub struct Slack {
    limits: Limits,
    rules: Rules,
    last: u64,
    users: BTreeMap<u64, User>,
    by_id: HashMap<String, u64>,
    by_email: HashMap<String, u64>,
    groups: Vec<UserGroup>,
    /// Method -> window and calls in it, with [`Limits::Real`].
    windows: HashMap<String, (Timestamp, u32)>,
}

/// Calls a minute of a method, by its tier (docs.slack.dev/apis/web-api/rate-limits).
fn tier(method: &str) -> u32 {
    match method {
        "users.lookupByEmail" => 50,
        "users.info" | "auth.test" => 100,
        _ => 20,
    }
}

fn reply(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn limited(seconds: i64) -> Response<Bytes> {
    let mut response = reply(StatusCode::TOO_MANY_REQUESTS, &json!({ "ok": false, "error": "ratelimited" }));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    response
}

impl Slack {
    /// A workspace with nobody in it but the bot and Slackbot. Rate limits are the vendor's with
    /// [`Limits::Real`] only.
    pub fn new(limits: Limits) -> Self {
        let mut slack = Self {
            limits,
            rules: Rules { valid: true, paid: true, may_change: true },
            last: 0,
            users: BTreeMap::new(),
            by_id: HashMap::new(),
            by_email: HashMap::new(),
            groups: Vec::new(),
            windows: HashMap::new(),
        };
        slack.join(BOT, "gateway", None, true, Timestamp::UNIX_EPOCH);
        // Slackbot says that it is no bot.
        slack.join("USLACKBOT", "slackbot", None, false, Timestamp::UNIX_EPOCH);
        slack
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn join(&mut self, id: &str, name: &str, email: Option<&str>, bot: bool, now: Timestamp) {
        let seq = self.next();
        let (id, name, email) = (id.to_owned(), name.to_owned(), email.map(str::to_owned));
        self.by_id.insert(id.clone(), seq);
        if let Some(email) = &email {
            self.by_email.insert(email.to_lowercase(), seq);
        }
        self.users.insert(seq, User { id, name, email, deleted: false, bot, updated: now.as_second() });
    }

    fn answer(&mut self, request: &Request<Bytes>, method: &str, now: Timestamp) -> Response<Bytes> {
        if let Limits::Real = self.limits {
            let (opened, used) = match self.windows.get(method) {
                Some((opened, used)) if now.duration_since(*opened) < SignedDuration::from_secs(60) => (*opened, *used),
                _ => (now, 0),
            };
            if used >= tier(method) {
                return limited(60 - now.duration_since(opened).as_secs());
            }
            self.windows.insert(method.to_owned(), (opened, used + 1));
        }
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let known = given.and_then(|value| value.strip_prefix("Bearer ")) == Some(TOKEN);
        let done = match (given, known, self.rules.valid) {
            (None, ..) => Err("not_authed"),
            (_, true, true) => arguments(request).and_then(|arguments| self.method(method, &arguments, now)),
            (_, true, false) => Err("token_revoked"),
            _ => Err("invalid_auth"),
        };
        match done {
            Ok(mut body) => {
                body["ok"] = Value::Bool(true);
                reply(StatusCode::OK, &body)
            }
            Err(error) => reply(StatusCode::OK, &json!({ "ok": false, "error": error })),
        }
    }
}

/// The arguments of a call: of its query, its form, or its JSON.
fn arguments(request: &Request<Bytes>) -> Result<Map<String, Value>, &'static str> {
    let pairs = |text: &[u8]| -> Map<String, Value> {
        url::form_urlencoded::parse(text)
            .map(|(key, value)| (key.into_owned(), Value::from(value.into_owned())))
            .collect()
    };
    let mut all = pairs(request.uri().query().unwrap_or_default().as_bytes());
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/json") {
        match serde_json::from_slice(request.body()) {
            Ok(Value::Object(more)) => all.extend(more),
            Ok(_) => return Err("json_not_object"),
            Err(_) => return Err("invalid_json"),
        }
    } else {
        all.extend(pairs(request.body()));
    }
    Ok(all)
}

impl Target for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }

    fn offer(&self, base_url: &str) -> Offer {
        let base = base_url.trim_end_matches('/');
        Offer {
            connector: "slack",
            settings: json!({ "team_id": TEAM, "api_url": format!("{base}/api"), "pace": self.limits.pace() }),
            secrets: json!({ "token": TOKEN }),
        }
    }

    fn handle(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        let path = request.uri().path().to_owned();
        match path.strip_prefix("/api/") {
            Some(method) => self.answer(request, method, now),
            None => reply(StatusCode::NOT_FOUND, &json!({ "ok": false, "error": "not_found" })),
        }
    }

    fn state(&self) -> Value {
        let person = |id: &String| {
            let user = self.by_id.get(id).and_then(|seq| self.users.get(seq))?;
            Some(json!({ "id": user.id, "login": user.name, "email": user.email }))
        };
        let people = self.users.values().filter(|user| !user.bot && user.id != "USLACKBOT");
        let accounts: Vec<Value> = people
            .map(|user| {
                json!({
                    "id": user.id, "login": user.name, "email": user.email, "active": !user.deleted, "role": "member",
                })
            })
            .collect();
        let groups: Vec<Value> = self
            .groups
            .iter()
            .map(|group| {
                let reached = if group.deleted == 0 { group.users.as_slice() } else { &[] };
                let members: Vec<Value> = reached.iter().filter_map(person).collect();
                json!({ "id": group.id, "name": group.name, "enabled": group.deleted == 0, "members": members })
            })
            .collect();
        json!({ "accounts": accounts, "invitations": [], "groups": groups })
    }

    fn accept(&mut self, _which: &Accept, _now: Timestamp) -> Value {
        json!({ "accepted": [] })
    }

    fn load(&mut self, accounts: usize, groups: usize, now: Timestamp) {
        for n in 0..accounts {
            let name = format!("load{n:04}");
            let email = format!("{name}@example.com");
            if !self.by_email.contains_key(&email) {
                self.join(&format!("U0LOAD{n:07}"), &name, Some(&email), false, now);
            }
        }
        for n in 0..groups {
            // A user group of that name is there already: nothing to add.
            let _ = self.create(&format!("Load group {n:04}"), &format!("load-group-{n:04}"), now);
        }
    }

    fn set(&mut self, what: &Value) -> Result<(), String> {
        let mut rules = self.rules.clone();
        let mut leaves = None;
        for knob in knobs::each(what)? {
            match knob.name {
                "token" => rules.valid = knob.valid()?,
                "plan" => rules.paid = knob.choice("free", "pro")?,
                "may_change" => rules.may_change = knob.flag()?,
                "deactivate" => leaves = Some(knob.text()?.to_lowercase()),
                _ => return knob.unknown(),
            }
        }
        if let Some(email) = leaves {
            let user = self.by_email.get(&email).and_then(|seq| self.users.get_mut(seq));
            let user = user.ok_or_else(|| format!("deactivate: nobody has the address {email}"))?;
            user.deleted = true;
            // Who is deactivated leaves the user groups; they stay as they are, even without anybody.
            for group in &mut self.groups {
                group.users.retain(|id| *id != user.id);
            }
        }
        self.rules = rules;
        Ok(())
    }

    fn too_many(&self, wait: Duration, _now: Timestamp) -> Response<Bytes> {
        limited(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX - 1) + i64::from(wait.subsec_nanos() > 0))
    }
}
