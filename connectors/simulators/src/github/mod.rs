//! A simulated github.com with one organisation, `acme`: REST and GraphQL, as far as provisioning
//! people and teams needs them. What it knows of GitHub it has from the vendor's OpenAPI
//! description, GraphQL schema and documentation.

mod app_auth;
mod errors;
mod gate;
mod graphql;
mod invitations;
mod knobs;
mod limits;
mod members;
mod paging;
mod people;
mod render;
mod route;
mod team_members;
mod teams;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Accept, Limits, Offer, Target};
use errors::Reply;

/// The organisation's login.
pub(super) const ORG: &str = "acme";
/// The organisation's id.
pub(super) const ORG_ID: u64 = 4242;
/// The login of the account that the personal access token belongs to.
const ME: &str = "acme-scim-bot";
/// The personal access token (classic, scope `admin:org`).
const TOKEN: &str = "ghp_simulatedSimulatedSimulatedSimulated1";

/// Someone's role in the organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Admin,
    Member,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Member => "member",
        }
    }
}

/// Someone's role in a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TeamRole {
    Maintainer,
    Member,
}

impl TeamRole {
    fn name(self) -> &'static str {
        match self {
            TeamRole::Maintainer => "maintainer",
            TeamRole::Member => "member",
        }
    }
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// The account, by its personal access token.
    Account,
    /// An installation of the app; with or without leave to write members.
    Installation { writes: bool },
    /// The app itself, by a signed JWT.
    App,
}

/// What single sign-on does to the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sso {
    Authorized,
    Required,
    Partial,
}

/// One call.
pub(super) struct Cx<'a> {
    method: &'a Method,
    /// As sent, for links.
    path: &'a str,
    query: Vec<(String, String)>,
    body: &'a Bytes,
    /// Scheme and host that the client spoke to.
    base: String,
    /// In whole seconds, as GitHub shows times.
    now: Timestamp,
    caller: Caller,
}

impl Cx<'_> {
    fn param(&self, key: &str) -> Option<&str> {
        let found = self.query.iter().find(|(k, _)| k == key);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as an object; an empty one is `{}`.
    fn object(&self) -> Result<serde_json::Map<String, Value>, Reply> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(serde_json::Map::new());
        }
        match serde_json::from_slice(self.body) {
            Ok(Value::Object(map)) => Ok(map),
            Ok(_) => Err(Reply::error(StatusCode::BAD_REQUEST, "Body should be a JSON object")),
            Err(_) => Err(Reply::error(StatusCode::BAD_REQUEST, "Problems parsing JSON")),
        }
    }
}

/// The simulated GitHub.
#[derive(Debug)]
pub struct GitHub {
    limits: Limits,
    meter: limits::Meter,
    people: people::People,
    /// The account of the personal access token.
    me: u64,
    members: BTreeMap<u64, Role>,
    /// Members removed a moment ago, still listed until then.
    leaving: BTreeMap<u64, Timestamp>,
    former: BTreeMap<u64, members::Former>,
    identities: members::Identities,
    invitations: invitations::Invitations,
    teams: teams::Teams,
    auth: app_auth::Auth,
    knobs: knobs::Knobs,
    /// How many calls came, for the request ids.
    calls: u64,
}

impl GitHub {
    /// An organisation with nobody in it but the credential's own account.
    pub fn new(limits: Limits) -> Self {
        let founded = Timestamp::UNIX_EPOCH;
        let mut people = people::People::new();
        let me = people.add(ME, founded);
        Self {
            limits,
            meter: limits::Meter::default(),
            people,
            me,
            members: BTreeMap::from([(me, Role::Admin)]),
            leaving: BTreeMap::new(),
            former: BTreeMap::new(),
            identities: members::Identities::default(),
            invitations: invitations::Invitations::default(),
            teams: teams::Teams::default(),
            auth: app_auth::Auth::default(),
            knobs: knobs::Knobs::default(),
            calls: 0,
        }
    }

    /// The offer with a GitHub App in place of the personal access token.
    pub fn offer_app(&self, base_url: &str) -> Offer {
        let mut settings = self.settings(base_url);
        settings["app_id"] = app_auth::APP_ID.to_string().into();
        Offer { connector: "github", settings, secrets: json!({ "private_key": app_auth::PRIVATE_KEY }) }
    }

    fn settings(&self, base_url: &str) -> Value {
        json!({
            "org": ORG,
            "api_url": base_url,
            "mode": "organization",
            "identity": "saml",
            "pace": self.limits.pace(),
        })
    }
}

impl Target for GitHub {
    fn name(&self) -> &'static str {
        "github"
    }

    fn offer(&self, base_url: &str) -> Offer {
        if self.knobs.offers_app {
            return self.offer_app(base_url);
        }
        Offer { connector: "github", settings: self.settings(base_url), secrets: json!({ "token": TOKEN }) }
    }

    fn handle(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        self.serve(request, now)
    }

    fn state(&self) -> Value {
        self.snapshot()
    }

    fn accept(&mut self, which: &Accept, now: Timestamp) -> Value {
        self.accept_invitations(which, now)
    }

    fn load(&mut self, accounts: usize, groups: usize, now: Timestamp) {
        self.fill(accounts, groups, now);
    }

    fn set(&mut self, what: &Value) -> Result<(), String> {
        self.turn(what)
    }

    fn too_many(&self, wait: Duration, _now: Timestamp) -> Response<Bytes> {
        limits::secondary(StatusCode::TOO_MANY_REQUESTS, Some(wait)).into_response()
    }
}
