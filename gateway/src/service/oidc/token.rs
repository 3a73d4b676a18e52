//! ID tokens (OpenID Connect Core 1.0 section 2): whether one is the provider's, for us, of now and of this sign-in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

/// The longest token, in bytes. Long lists of groups stay below it.
const MAX_TOKEN: usize = 64 * 1024;
/// How far the provider's clock may be off, in seconds.
const SKEW: i64 = 60;
/// The longest `sub` (OpenID Connect Core 1.0 section 2).
const MAX_SUBJECT: usize = 255;
/// The signatures that are taken: by a key of which we know the public half only. `none` and the HMACs are not among them,
/// whatever the token says of itself.
const SIGNATURES: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What a token has to say.
pub(super) struct Expected<'a> {
    /// Who it comes from.
    pub(super) issuer: &'a str,
    /// Whom it is for.
    pub(super) client_id: &'a str,
    /// Which sign-in it belongs to.
    pub(super) nonce: &'a str,
    /// The time, in seconds since 1970.
    pub(super) now: i64,
}

/// Why a token is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// It names a key that is not known; the provider may have made a new one since its keys were read.
    UnknownKey,
    /// Anything else, in words for the log.
    Token(&'static str),
}

/// The keys of a JWK set that can sign; those of kinds that are not known here are passed over.
pub(super) fn keys(set: &Value) -> Vec<Jwk> {
    let all = set["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter()
        .take(100)
        .filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok())
        .filter(|key| key.common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature))
        .collect()
}

/// The claims of a token that is what it has to be.
pub(super) fn verified(token: &str, keys: &[Jwk], expected: &Expected<'_>) -> Result<Map<String, Value>, Bad> {
    if token.len() > MAX_TOKEN {
        return Err(Bad::Token("it is too long"));
    }
    let claims = signed(token, keys)?;
    check(&claims, expected).map_err(Bad::Token)?;
    Ok(claims)
}

/// The claims of a token that one of the keys signed.
fn signed(token: &str, keys: &[Jwk]) -> Result<Map<String, Value>, Bad> {
    let raw = token.split('.').next().and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).unwrap_or_default();
    let raw: Value = serde_json::from_slice(&raw).map_err(|_| Bad::Token("it is no signed JWT"))?;
    // RFC 7515 section 4.1.11: what is critical and not understood makes it invalid.
    if raw.get("crit").is_some() {
        return Err(Bad::Token("it has critical extensions"));
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| Bad::Token("its algorithm is not taken"))?;
    if !SIGNATURES.contains(&header.alg) {
        return Err(Bad::Token("its algorithm is not taken"));
    }
    let fits =
        |key: &&Jwk| key.common.key_algorithm.is_none_or(|of| Algorithm::try_from(of).is_ok_and(|of| of == header.alg));
    let candidates: Vec<&Jwk> = match &header.kid {
        Some(kid) => keys.iter().filter(|key| key.common.key_id.as_deref() == Some(kid)).filter(fits).collect(),
        // Without a name it has to be the only one.
        None => keys.iter().filter(fits).collect(),
    };
    let key = match candidates.as_slice() {
        [key] => *key,
        [] => return Err(Bad::UnknownKey),
        _ => return Err(Bad::Token("it does not say which of several keys signed it")),
    };
    let key = DecodingKey::from_jwk(key).map_err(|_| Bad::Token("its key cannot be used"))?;
    // Times and audience are checked by our own clock and settings.
    let mut rules = Validation::new(header.alg);
    rules.required_spec_claims.clear();
    (rules.validate_exp, rules.validate_nbf, rules.validate_aud) = (false, false, false);
    jsonwebtoken::decode(token, &key, &rules)
        .map(|read| read.claims)
        .map_err(|_| Bad::Token("its signature is not the provider's"))
}

/// OpenID Connect Core 1.0 section 3.1.3.7.
fn check(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), &'static str> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let at = |name: &str| claims.get(name).and_then(seconds);
    if text("iss") != Some(expected.issuer) {
        return Err("it comes from another issuer");
    }
    let (ours, others) = match claims.get("aud") {
        Some(Value::String(one)) => (one == expected.client_id, false),
        Some(Value::Array(all)) => (all.iter().any(|one| one == expected.client_id), all.len() > 1),
        _ => (false, false),
    };
    if !ours {
        return Err("it is for another client");
    }
    let party = claims.get("azp");
    if party.is_some_and(|party| party != expected.client_id) || (others && party.is_none()) {
        return Err("it was given to another client");
    }
    if at("exp").is_none_or(|end| end <= expected.now - SKEW) {
        return Err("it has expired");
    }
    if at("iat").is_none_or(|made| made > expected.now + SKEW)
        || at("nbf").is_some_and(|begins| begins > expected.now + SKEW)
    {
        return Err("it is of the future: compare the clocks");
    }
    let nonce: bool = text("nonce").unwrap_or_default().as_bytes().ct_eq(expected.nonce.as_bytes()).into();
    if !nonce {
        return Err("it belongs to another sign-in");
    }
    if !text("sub").is_some_and(|subject| (1..=MAX_SUBJECT).contains(&subject.len())) {
        return Err("it names nobody");
    }
    Ok(())
}

/// A NumericDate (RFC 7519 section 2), which may have a fraction.
#[expect(clippy::cast_possible_truncation, reason = "a float becomes the nearest integer, which is what is wanted")]
fn seconds(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().map(|number| number as i64))
}
