//! A small SCIM 2.0 server (RFC 7643, RFC 7644): people, groups, filters, PATCH, bulk, ETags, index and cursor paging,
//! discovery. It lies under `/scim/v2`.
//!
//! Knobs of `POST /_sim/set`: `token` (`"valid"` or `"revoked"`); what it offers: `patch`, `filter`, `bulk` (operations,
//! 0 for none), `etag`, `cursor`, `discovery`, `path_filters`, `page_cap`, `members_cap` (members that one PATCH may
//! change, null for no bound); and what servers do otherwise than others: `patch_told` (false: it says that it can PATCH
//! though it cannot), `filter_ignored` (a filter that is not supported is passed over), `patch_204`, `hide_members`
//! (members are shown only where `attributes` names them), `group_ignores_members`, `unique_groups`, `text_booleans`,
//! `schemas` (false: answers have none), `plain_json`, `conflict` (false: a taken user name is a 500), `header` (a header
//! that every call must have: `name` and `value`).

mod discovery;
mod document;
mod filter;
mod github;
mod patch;
mod render;
mod route;
mod rules;
mod world;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use self::document::{Refusal, reply};
use self::rules::Rules;
use self::world::{Kind, World};
use crate::{Accept, Limits, Offer, Target};

/// The bearer token. A constant: a simulator that takes another's place on its port is the same server to those who
/// hold the token.
const TOKEN: &str = "simulated-scim-token-0123456789abcdef";

/// Whose server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flavour {
    /// Nobody's: a server of the RFCs.
    Plain,
    /// GitHub's, for an organisation with SAML single sign-on.
    GithubOrg,
    /// GitHub's, for an enterprise with managed users.
    GithubEmu,
}

impl Flavour {
    /// Where the API lies.
    fn prefix(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &["scim", "v2"],
            Self::GithubOrg => &["scim", "v2", "organizations", "acme"],
            Self::GithubEmu => &["scim", "v2", "enterprises", "acme"],
        }
    }
}

/// A simulated SCIM server.
#[derive(Debug)]
pub struct Scim {
    flavour: Flavour,
    rules: Rules,
    world: World,
}

impl Scim {
    /// A server with nobody in it. SCIM knows no limits of a vendor's, so [`Limits::Real`] enforces none.
    pub fn new(_limits: Limits) -> Self {
        Self { flavour: Flavour::Plain, rules: Rules::default(), world: World::default() }
    }

    /// GitHub's SCIM API of the organisation `acme` (docs.github.com/en/enterprise-cloud@latest/rest/scim/scim): no
    /// groups, one `eq` a filter, and `active` false deletes. Its rate limits are those of the whole REST API and are
    /// not enforced here; a rate on order is answered as GitHub does.
    pub fn github_organisation(_limits: Limits) -> Self {
        Self { flavour: Flavour::GithubOrg, rules: github::rules(), world: World::default() }
    }

    /// GitHub's SCIM API of the enterprise `acme` with managed users
    /// (docs.github.com/en/enterprise-cloud@latest/rest/enterprise-admin/scim).
    pub fn github_enterprise(_limits: Limits) -> Self {
        Self { flavour: Flavour::GithubEmu, rules: github::rules(), world: World::default() }
    }

    fn authenticate(&self, request: &Request<Bytes>) -> Result<(), Refusal> {
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.split_once(' '));
        let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        if self.flavour != Flavour::Plain && !request.headers().contains_key(header::USER_AGENT) {
            return Err(Refusal::new(
                403,
                None,
                "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
            ));
        }
        if !self.rules.token_valid || given != Some(TOKEN) {
            return Err(Refusal::new(
                401,
                None,
                "Authorization failure. The authorization header is invalid or missing.",
            ));
        }
        match &self.rules.header {
            Some((name, value))
                if request.headers().get(name.as_str()).and_then(|given| given.to_str().ok()) != Some(value) =>
            {
                Err(Refusal::new(403, None, format!("the header {name} is missing")))
            }
            _ => Ok(()),
        }
    }
}

impl Target for Scim {
    fn name(&self) -> &'static str {
        match self.flavour {
            Flavour::Plain => "scim",
            Flavour::GithubOrg => "github_scim",
            Flavour::GithubEmu => "github_emu",
        }
    }

    fn offer(&self, base_url: &str) -> Offer {
        let base = base_url.trim_end_matches('/');
        let settings = match self.flavour {
            Flavour::Plain => json!({ "base_url": format!("{base}/{}", self.flavour.prefix().join("/")) }),
            Flavour::GithubOrg => json!({ "org": "acme", "api_url": base, "pace": "headers" }),
            Flavour::GithubEmu => json!({ "enterprise": "acme", "api_url": base, "pace": "headers" }),
        };
        Offer { connector: self.name(), settings, secrets: json!({ "token": TOKEN }) }
    }

    fn handle(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        let answer = match path.strip_prefix(self.flavour.prefix()) {
            Some(rest) => self.authenticate(request).and_then(|()| self.route(request, rest, now)),
            None => Err(Refusal::missing("the resource")),
        };
        let plain = self.rules.plain_json;
        answer.unwrap_or_else(|refusal| {
            let body =
                if self.flavour == Flavour::Plain { refusal.body() } else { github::refusal(self.flavour, &refusal) };
            let mut response = reply(refusal.status, &body, plain);
            if refusal.status == 401 {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        })
    }

    fn state(&self) -> Value {
        let accounts: Vec<Value> = self.world.all(Kind::User).values().map(render::account).collect();
        let groups: Vec<Value> = self
            .world
            .all(Kind::Group)
            .values()
            .map(|group| {
                let members: Vec<Value> = group
                    .members()
                    .filter_map(|id| self.world.get(Kind::User, id).ok())
                    .map(|user| json!({ "id": user.id, "login": user.text("userName"), "email": render::email(user) }))
                    .collect();
                json!({ "id": group.id, "name": group.text("displayName"), "members": members })
            })
            .collect();
        json!({ "accounts": accounts, "invitations": [], "groups": groups })
    }

    fn accept(&mut self, _which: &Accept, _now: Timestamp) -> Value {
        json!({ "accepted": [] })
    }

    fn load(&mut self, accounts: usize, groups: usize, now: Timestamp) {
        for n in 0..accounts {
            let login = format!("load{n:04}@example.com");
            let body = json!({
                "userName": login, "displayName": format!("Load {n:04}"),
                "name": { "givenName": "Load", "familyName": format!("{n:04}") },
                "emails": [{ "value": login, "type": "work", "primary": true }],
            });
            self.put(Kind::User, &body, now);
        }
        for n in 0..groups {
            let name = format!("Load group {n:04}");
            let there = |group: &world::Stored| group.text("displayName") == Some(name.as_str());
            if !self.world.all(Kind::Group).values().any(there) {
                self.put(Kind::Group, &json!({ "displayName": name }), now);
            }
        }
    }

    fn set(&mut self, what: &Value) -> Result<(), String> {
        let knobs = what.as_object().ok_or_else(|| "an object of knobs is expected".to_owned())?;
        self.rules = self.rules.turned(knobs)?;
        Ok(())
    }

    fn too_many(&self, wait: Duration, _now: Timestamp) -> Response<Bytes> {
        let refusal = Refusal::new(429, None, "Too many requests");
        let body = if self.flavour == Flavour::Plain { refusal.body() } else { github::too_many() };
        let mut response = reply(429, &body, self.rules.plain_json);
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        if let Ok(value) = HeaderValue::try_from(seconds.max(1).to_string()) {
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        response
    }
}

impl Scim {
    /// Adds what is not there yet.
    fn put(&mut self, kind: Kind, body: &Value, now: Timestamp) {
        let body: Map<String, Value> = body.as_object().cloned().unwrap_or_default();
        if let Ok(doc) = self.world.read(kind, &body, None, false) {
            self.world.add(kind, doc, now);
        }
    }
}
