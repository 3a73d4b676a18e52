//! A simulated Cloudflare account: its members by the API v4.
//!
//! Sources: developers.cloudflare.com/api (account members, roles), the page on limits, and issues of Cloudflare's
//! Terraform provider for refusals. Where those are silent the choice is named at the place. The account's owner
//! `owner@acme.example` stays out of `/_sim/state`.
//!
//! Knobs of `POST /_sim/set`: `token` (`"valid"`, `"revoked"`, or `"garbled"`: the form of the header is refused),
//! `direct_add` (whether people may be added without an invitation: Enterprise), `rejected` (an address whose invitation
//! was rejected).

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::knobs;
use crate::rest::{self, Answer, Refused, number, parameter, set};
use crate::{Accept, Limits, Offer, Target};

/// The token. A constant: a simulator that takes another's place on its port is the same account.
const TOKEN: &str = "simulated_Cloudflare_Token_0123456789abcd";
const ACCOUNT: &str = "01a7362d577a6c3019a474fd6f485823";
const ROLE: &str = "3536bcfad5faccb999b47003c79917fb";
const OWNER: &str = "owner@acme.example";
/// Calls in a window, its length, and how long every call is refused then (the page on limits).
const CALLS: u32 = 1200;
const SECONDS: i64 = 300;
/// Items of a page where none are asked for, the least and the most (the API's description of the listing).
const USUAL: usize = 20;
const LEAST: usize = 5;
const MOST: usize = 50;

/// Whether the token is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Valid,
    Revoked,
    Garbled,
}

/// A simulated account.
#[derive(Debug)]
pub struct Cloudflare {
    limits: Limits,
    token: Token,
    direct_add: bool,
    next: u64,
    members: Vec<Member>,
    window: Option<(Timestamp, u32)>,
    blocked: Option<Timestamp>,
}

#[derive(Debug)]
struct Member {
    id: String,
    user: String,
    email: String,
    status: &'static str,
}

fn refused(status: u16, code: u32, message: &str) -> Refused {
    let errors = json!([{ "code": code, "message": message }]);
    Refused::new(status, json!({ "result": null, "success": false, "errors": errors, "messages": [] }))
}

fn not_found() -> Refused {
    refused(404, 1003, "Member not found")
}

fn done(result: &Value) -> Response<Bytes> {
    rest::json(200, &json!({ "result": result, "success": true, "errors": [], "messages": [] }))
}

impl Member {
    fn model(&self) -> Value {
        json!({
            "id": self.id,
            "email": self.email,
            "status": self.status,
            "user": {
                "id": self.user,
                "email": self.email,
                "first_name": null,
                "last_name": null,
                "two_factor_authentication_enabled": false,
            },
            "roles": [role()],
            "policies": [],
        })
    }
}

fn role() -> Value {
    json!({
        "id": ROLE,
        "name": "Minimal Account Access",
        "description": "Can view account, and nothing else",
        "permissions": { "organization": { "read": true, "edit": false } },
    })
}

impl Cloudflare {
    /// An account with nobody in it but its owner.
    pub fn new(limits: Limits) -> Self {
        let mut account = Self {
            limits,
            token: Token::Valid,
            direct_add: false,
            next: 0,
            members: Vec::new(),
            window: None,
            blocked: None,
        };
        account.member(OWNER, "accepted");
        account
    }

    fn id(&mut self) -> String {
        self.next += 1;
        format!("{:032x}", 0x4536_bcfa_d5fa_ccb1_11b4_7003_0000_0000_u128 + u128::from(self.next))
    }

    fn member(&mut self, email: &str, status: &'static str) -> usize {
        let (id, user) = (self.id(), self.id());
        self.members.push(Member { id, user, email: email.to_lowercase(), status });
        self.members.len() - 1
    }

    fn route(&mut self, request: &Request<Bytes>) -> Answer {
        match self.token {
            Token::Valid => {}
            // Both are as users of the API report them.
            Token::Revoked => return Err(refused(401, 1000, "Invalid API Token")),
            Token::Garbled => return Err(refused(400, 6003, "Invalid request headers")),
        }
        if rest::credential(request, "Bearer") != Some(TOKEN) {
            return Err(refused(403, 9109, "Invalid access token"));
        }
        let path = rest::path(request, "/client/v4").ok_or_else(not_found)?;
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let ["accounts", account, below @ ..] = path.as_slice() else {
            return Err(refused(404, 7003, "Could not route to the path, perhaps your object identifier is invalid?"));
        };
        if *account != ACCOUNT {
            return Err(refused(403, 9109, "Unauthorized to access requested resource"));
        }
        match (rest::method(request), below) {
            ("GET", ["roles", id]) if *id == ROLE => Ok(done(&role())),
            ("GET", ["roles", _]) => Err(refused(404, 1003, "Role not found")),
            ("GET", ["members"]) => {
                let status = parameter(request, "status");
                let found: Vec<&Member> = self
                    .members
                    .iter()
                    .filter(|one| status.as_ref().is_none_or(|status| status == one.status))
                    .collect();
                let size = number(request, "per_page").unwrap_or(USUAL);
                if !(LEAST..=MOST).contains(&size) {
                    return Err(refused(400, 1001, "Invalid request: per_page must be between 5 and 50"));
                }
                let page = number(request, "page").unwrap_or(1).max(1);
                let shown: Vec<Value> =
                    found.iter().skip((page - 1).saturating_mul(size)).take(size).map(|one| one.model()).collect();
                let info = json!({ "page": page, "per_page": size, "count": shown.len(), "total_count": found.len() });
                Ok(rest::json(
                    200,
                    &json!({ "result": shown, "result_info": info, "success": true, "errors": [], "messages": [] }),
                ))
            }
            ("POST", ["members"]) => self.invite(request),
            (method @ ("GET" | "DELETE"), ["members", id]) => {
                let place = self.members.iter().position(|one| one.id == *id).ok_or_else(not_found)?;
                if method == "GET" {
                    return Ok(done(&self.members[place].model()));
                }
                if self.members[place].email == OWNER {
                    return Err(refused(400, 1001, "Invalid request: the last super administrator cannot be removed"));
                }
                let gone = self.members.remove(place);
                Ok(done(&json!({ "id": gone.id })))
            }
            _ => Err(not_found()),
        }
    }

    fn invite(&mut self, request: &Request<Bytes>) -> Answer {
        let invalid = |what: &str| refused(400, 1001, &format!("Invalid request: {what}"));
        let body = rest::body(request).ok_or_else(|| invalid("the body is no JSON"))?;
        let email = body.get("email").and_then(Value::as_str).unwrap_or_default().trim();
        if !email.contains('@') || email.len() > 90 {
            return Err(invalid("email is not valid"));
        }
        let roles: Vec<&Value> = body.get("roles").and_then(Value::as_array).into_iter().flatten().collect();
        if roles.is_empty() && body.get("policies").is_none() {
            return Err(invalid("roles or policies are required"));
        }
        if roles.iter().any(|id| **id != ROLE) {
            return Err(invalid("role not found"));
        }
        let status = match body.get("status").and_then(Value::as_str) {
            None | Some("pending") => "pending",
            Some("accepted") if self.direct_add => "accepted",
            Some("accepted") => return Err(invalid("automatic verification of new members is not allowed")),
            Some(_) => return Err(invalid("status is not valid")),
        };
        // The words of this refusal are this simulator's. A rejected invitation stands in the way as well.
        if self.members.iter().any(|one| one.email.eq_ignore_ascii_case(email)) {
            return Err(refused(400, 1004, "Member already exists or is already invited"));
        }
        let place = self.member(email, status);
        Ok(done(&self.members[place].model()))
    }

    /// Counts a call; seconds to wait where it is one too many.
    fn count(&mut self, now: Timestamp) -> Option<i64> {
        if let Some(until) = self.blocked
            && until > now
        {
            return Some(until.duration_since(now).as_secs().max(1));
        }
        let (opened, used) = match self.window {
            Some((opened, used)) if now.duration_since(opened) < SignedDuration::from_secs(SECONDS) => {
                (opened, used + 1)
            }
            _ => (now, 1),
        };
        self.window = Some((opened, used));
        if used <= CALLS {
            return None;
        }
        self.blocked = now.checked_add(SignedDuration::from_secs(SECONDS)).ok();
        Some(SECONDS)
    }
}

/// The code and words are as users of the API report them.
fn slow(seconds: i64) -> Response<Bytes> {
    let mut response = refused(429, 971, "Please wait and consider throttling your request speed").response();
    set(&mut response, "retry-after", &seconds.max(1).to_string());
    response
}

impl Target for Cloudflare {
    fn name(&self) -> &'static str {
        "cloudflare"
    }

    fn offer(&self, base_url: &str) -> Offer {
        Offer {
            connector: "cloudflare",
            settings: json!({
                "url": format!("{}/client/v4", base_url.trim_end_matches('/')),
                "account": ACCOUNT,
                "role": ROLE,
                "protect": OWNER,
                "pace": self.limits.pace(),
            }),
            secrets: json!({ "token": TOKEN }),
        }
    }

    fn handle(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        if self.limits != Limits::Real {
            return self.route(request).unwrap_or_else(|refused| refused.response());
        }
        let mut response = match self.count(now) {
            Some(seconds) => slow(seconds),
            None => self.route(request).unwrap_or_else(|refused| refused.response()),
        };
        let (opened, used) = self.window.unwrap_or((now, 0));
        let left = (SECONDS - now.duration_since(opened).as_secs()).max(0);
        set(&mut response, "ratelimit", &format!("\"default\";r={};t={left}", CALLS.saturating_sub(used)));
        set(&mut response, "ratelimit-policy", &format!("\"default\";q={CALLS};w={SECONDS}"));
        response
    }

    fn state(&self) -> Value {
        let others = || self.members.iter().filter(|one| one.email != OWNER);
        let accounts: Vec<Value> = others()
            .filter(|one| one.status == "accepted")
            .map(|one| json!({ "id": one.id, "login": one.email, "email": one.email, "active": true }))
            .collect();
        let invitations: Vec<Value> = others()
            .filter(|one| one.status == "pending")
            .map(|one| json!({ "id": one.id, "email": one.email }))
            .collect();
        json!({ "accounts": accounts, "invitations": invitations, "groups": [] })
    }

    fn accept(&mut self, which: &Accept, _: Timestamp) -> Value {
        let mut accepted = Vec::new();
        for one in self.members.iter_mut().filter(|one| one.status == "pending") {
            if which.email.as_deref().is_some_and(|email| !email.eq_ignore_ascii_case(&one.email)) {
                continue;
            }
            // An invitation is the address's: whoever accepts it does so with that login.
            one.status = "accepted";
            accepted.push(json!({ "id": one.id, "email": one.email, "login": one.email }));
        }
        json!({ "accepted": accepted })
    }

    fn load(&mut self, accounts: usize, _groups: usize, _: Timestamp) {
        for n in 0..accounts {
            let email = format!("load{n:04}@example.com");
            if !self.members.iter().any(|one| one.email == email) {
                self.member(&email, "accepted");
            }
        }
    }

    fn set(&mut self, what: &Value) -> Result<(), String> {
        let (mut token, mut direct_add, mut rejected) = (self.token, self.direct_add, None);
        for knob in knobs::each(what)? {
            match (knob.name, knob.value) {
                ("token", Value::String(text)) if text == "valid" => token = Token::Valid,
                ("token", Value::String(text)) if text == "revoked" => token = Token::Revoked,
                ("token", Value::String(text)) if text == "garbled" => token = Token::Garbled,
                ("direct_add", _) => direct_add = knob.flag()?,
                ("rejected", Value::String(email)) => {
                    let place = self.members.iter().position(|one| one.email.eq_ignore_ascii_case(email));
                    rejected = Some(place.ok_or_else(|| "rejected: no such address".to_owned())?);
                }
                _ => return knob.unknown(),
            }
        }
        (self.token, self.direct_add) = (token, direct_add);
        if let Some(place) = rejected {
            self.members[place].status = "rejected";
        }
        Ok(())
    }

    fn too_many(&self, wait: Duration, _now: Timestamp) -> Response<Bytes> {
        slow(i64::try_from(wait.as_secs()).unwrap_or(SECONDS).saturating_add(i64::from(wait.subsec_nanos() > 0)))
    }
}
