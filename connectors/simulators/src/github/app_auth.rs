//! A GitHub App: its JWT, its installation and the tokens of it.

use std::collections::BTreeMap;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Value, json};

use super::errors::{Answer, Reply};
use super::{Cx, render};

/// The app's id.
pub(super) const APP_ID: u64 = 31337;
/// Its other name, just as good as an issuer.
const CLIENT_ID: &str = "Iv23liSimulated00001";
/// Its slug.
pub(super) const SLUG: &str = "acme-scim";
/// Its one installation.
pub(super) const INSTALLATION: u64 = 555;
/// The app's private key, made for this simulator: it opens nothing else.
pub(super) const PRIVATE_KEY: &str = include_str!("app_key.pem");
const PUBLIC_KEY: &str = include_str!("app_key.pub.pem");
/// How far ahead a JWT may expire, in seconds.
const MAX_AHEAD: f64 = 600.0;
/// How far a client's clock may be ahead, in seconds.
const SKEW: f64 = 60.0;
/// An installation token lives so long.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(1);

#[derive(Debug, Default)]
pub(super) struct Auth {
    /// Tokens by their text: when they end, and whether they may write.
    tokens: BTreeMap<String, (Timestamp, bool)>,
    made: u64,
    /// The installation is suspended.
    pub(super) suspended: bool,
}

#[derive(Deserialize)]
struct Claims {
    iat: Option<Value>,
    exp: Option<Value>,
    iss: Option<Value>,
}

impl Auth {
    /// Whether a token is an installation's, still alive; and whether it may write.
    pub(super) fn installation(&mut self, token: &str, now: Timestamp) -> Option<bool> {
        self.tokens.retain(|_, (end, _)| now < *end);
        self.tokens.get(token).filter(|_| !self.suspended).map(|(_, writes)| *writes)
    }

    /// Checks the app's JWT: RS256 by its key, `iss`, `iat`, `exp`.
    pub(super) fn app(&self, jwt: &str, now: Timestamp) -> Result<(), Reply> {
        let undecodable = || Reply::unauthorized("A JSON web token could not be decoded");
        let key = DecodingKey::from_rsa_pem(PUBLIC_KEY.as_bytes()).map_err(|_| undecodable())?;
        let mut validation = Validation::new(Algorithm::RS256);
        // By the simulator's clock, below.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let Claims { iat, exp, iss } =
            jsonwebtoken::decode::<Claims>(jwt, &key, &validation).map_err(|_| undecodable())?.claims;
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
        let now = now.as_second() as f64;
        let exp = exp.as_ref().and_then(Value::as_f64).filter(|exp| *exp > now);
        let exp = exp.ok_or_else(|| {
            Reply::unauthorized(
                "'Expiration time' claim ('exp') must be a numeric value representing the future \
                 time at which the assertion expires",
            )
        })?;
        if exp > now + MAX_AHEAD {
            return Err(Reply::unauthorized("'Expiration time' claim ('exp') is too far in the future"));
        }
        let issued = iat.as_ref().and_then(Value::as_f64);
        if issued.is_none_or(|iat| iat > now + SKEW) {
            return Err(Reply::unauthorized(
                "'Issued at' claim ('iat') must be an Integer representing the time that the \
                 assertion was issued",
            ));
        }
        let known = match &iss {
            Some(Value::String(text)) => *text == APP_ID.to_string() || text == CLIENT_ID,
            Some(Value::Number(number)) => number.as_u64() == Some(APP_ID),
            _ => false,
        };
        if known { Ok(()) } else { Err(Reply::error(StatusCode::NOT_FOUND, "Integration not found")) }
    }

    pub(super) fn describe(&self, cx: &Cx<'_>) -> Reply {
        Reply::ok(render::app(&cx.base, APP_ID, CLIENT_ID, &granted()))
    }

    fn shown(&self, cx: &Cx<'_>) -> Value {
        render::installation(&cx.base, INSTALLATION, APP_ID, &granted(), self.suspended)
    }

    pub(super) fn installations(&self, cx: &Cx<'_>) -> Answer {
        Ok(Reply::ok(json!([self.shown(cx)])))
    }

    pub(super) fn installation_get(&self, cx: &Cx<'_>, id: &str) -> Answer {
        if id.parse() == Ok(INSTALLATION) { Ok(Reply::ok(self.shown(cx))) } else { Err(Reply::not_found()) }
    }

    pub(super) fn token_create(&mut self, cx: &Cx<'_>, id: &str) -> Answer {
        if id.parse() != Ok(INSTALLATION) {
            return Err(Reply::not_found());
        }
        if self.suspended {
            return Err(Reply::forbidden("This installation has been suspended"));
        }
        let body = cx.object()?;
        let permissions = match body.get("permissions") {
            None | Some(Value::Null) => granted(),
            Some(wanted) => narrowed(wanted)?,
        };
        let writes = permissions["members"] == "write";
        let end = cx.now.saturating_add(TOKEN_LIFE).unwrap_or(Timestamp::MAX);
        self.made += 1;
        let token = format!("ghs_simulated{:027}", self.made);
        self.tokens.insert(token.clone(), (end, writes));
        Ok(Reply::created(json!({
            "token": token,
            "expires_at": end,
            "permissions": permissions,
            "repository_selection": "all",
        })))
    }
}

/// What the organisation granted the app.
fn granted() -> Value {
    json!({ "members": "write", "metadata": "read" })
}

/// A part of what was granted.
fn narrowed(wanted: &Value) -> Result<Value, Reply> {
    let refused = || {
        Reply::invalid(
            "Installation",
            "invalid",
            "permissions",
            "The permissions requested are not granted to this installation.",
        )
    };
    let wanted = wanted.as_object().ok_or_else(refused)?;
    let within = wanted.iter().all(|(name, level)| {
        matches!((name.as_str(), level.as_str()), ("members", Some("read" | "write")) | ("metadata", Some("read")))
    });
    if within { Ok(Value::Object(wanted.clone())) } else { Err(refused()) }
}
