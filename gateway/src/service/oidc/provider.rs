//! The provider itself: what it says of itself (OpenID Connect Discovery 1.0), its keys, and the exchange of a code.
//!
//! The provider is the operator's word: whoever it is decides who may sign in. So it may lie in a private network, unlike a
//! target, of which an admin types the address. All that it names has to be https; only where the provider itself is on this
//! very machine may it be plain http.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jsonwebtoken::jwk::Jwk;
use secrecy::ExposeSecret;
use serde_json::{Map, Value};
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::Refusal;
use super::token::{self, Bad, Expected};
use crate::clock::Clock;
use crate::config::{self, is_local};
use crate::transport::Http;

/// How long what a provider says of itself is taken for true, in microseconds.
const FRESH: i64 = 3_600_000_000;
/// Keys are read again for a token of an unknown one, but no sooner than so long after the last time.
const PAUSE: i64 = 30_000_000;
/// The longest answer of a provider, in bytes.
pub(super) const MAX_ANSWER: usize = 1 << 20;
/// The longest time that one of its answers may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);

/// What a provider said of itself.
struct Known {
    authorization: Url,
    token: Url,
    userinfo: Option<Url>,
    jwks: Url,
    /// Whether the secret goes into the header, not into the body.
    basic: bool,
    /// Whether its answers say that they are its own (RFC 9207).
    says_issuer: bool,
    /// How it is told to let people choose an account.
    choose: Option<&'static str>,
    keys: Vec<Jwk>,
    at: i64,
    keys_at: i64,
}

pub(super) struct Provider {
    settings: config::Oidc,
    http: Http,
    clock: Clock,
    known: RwLock<Option<Arc<Known>>>,
}

/// What a sign-in begins with.
pub(super) struct Ask<'a> {
    pub(super) redirect_uri: &'a str,
    pub(super) state: &'a str,
    pub(super) nonce: &'a str,
    pub(super) challenge: &'a str,
    /// Whether people are to choose an account though they are signed in there.
    pub(super) choose: bool,
}

impl Provider {
    pub(super) fn new(settings: config::Oidc, http: Http, clock: Clock) -> Self {
        Self { settings, http, clock, known: RwLock::default() }
    }

    /// Where people are sent.
    pub(super) async fn authorization(&self, ask: &Ask<'_>) -> Result<Url, Refusal> {
        let known = self.known().await?;
        let mut url = known.authorization.clone();
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", ask.redirect_uri)
            .append_pair("scope", &self.settings.scopes)
            .append_pair("state", ask.state)
            .append_pair("nonce", ask.nonce)
            .append_pair("code_challenge", ask.challenge)
            .append_pair("code_challenge_method", "S256");
        if let Some(choose) = known.choose.filter(|_| ask.choose) {
            query.append_pair("prompt", choose);
        }
        drop(query);
        Ok(url)
    }

    /// Whether an answer is this provider's, as far as it says so (RFC 9207).
    pub(super) async fn is_own(&self, issuer: Option<&str>) -> Result<bool, Refusal> {
        match issuer {
            Some(issuer) => Ok(issuer == self.settings.issuer),
            None => Ok(!self.known().await?.says_issuer),
        }
    }

    /// Exchanges a code for an ID token; the claims of it, and an access token for the userinfo endpoint.
    pub(super) async fn exchange(
        &self,
        code: &str,
        verifier: &str,
        redirect_uri: &str,
        nonce: &str,
    ) -> Result<(Map<String, Value>, Option<String>), Refusal> {
        let known = self.known().await?;
        let (headers, form) = self.exchange_form(code, verifier, redirect_uri, known.basic)?;
        let (status, said) = self.ask("token endpoint", Method::POST, &known.token, headers, form).await?;
        if status != StatusCode::OK {
            return Err(refused(status, &said));
        }
        let token = said["id_token"].as_str().ok_or_else(|| {
            Refusal::Settings("the token endpoint sent no ID token: is the client one of OpenID Connect?".to_owned())
        })?;
        let claims = self.claims(known, token, nonce).await?;
        Ok((claims, said["access_token"].as_str().map(str::to_owned)))
    }

    /// What the token endpoint is sent: RFC 6749 section 4.1.3 with the verifier of RFC 7636.
    fn exchange_form(
        &self,
        code: &str,
        verifier: &str,
        redirect_uri: &str,
        basic: bool,
    ) -> Result<(HeaderMap, String), Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("code_verifier", verifier);
        let client_id = self.settings.client_id.as_str();
        match &self.settings.client_secret {
            Some(secret) if basic => {
                // RFC 6749 section 2.3.1: both are escaped as in a form before they are joined.
                let escaped = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", escaped(client_id), escaped(secret.expose_secret()));
                let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair)))
                    .map_err(|_| Refusal::Settings("the client's secret cannot be sent".to_owned()))?;
                value.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, value);
            }
            Some(secret) => {
                form.append_pair("client_id", client_id).append_pair("client_secret", secret.expose_secret());
            }
            None => {
                form.append_pair("client_id", client_id);
            }
        }
        Ok((headers, form.finish()))
    }

    /// The claims of a token. Where its key is not known the provider's keys are read once more.
    async fn claims(&self, known: Arc<Known>, token: &str, nonce: &str) -> Result<Map<String, Value>, Refusal> {
        let now = self.clock.now().as_second();
        let (issuer, client_id) = (self.settings.issuer.as_str(), self.settings.client_id.as_str());
        let expected = Expected { issuer, client_id, nonce, now };
        let untrusted = |why: &str| Refusal::Untrusted(format!("the ID token is not taken: {why}"));
        match token::verified(token, &known.keys, &expected) {
            Ok(claims) => Ok(claims),
            Err(Bad::Token(why)) => Err(untrusted(why)),
            Err(Bad::UnknownKey) if self.clock.micros() - known.keys_at < PAUSE => {
                Err(untrusted("no key of the provider has signed it"))
            }
            Err(Bad::UnknownKey) => {
                let keys = self.keys(&known.jwks).await?;
                let read = token::verified(token, &keys, &expected);
                let keys_at = self.clock.micros();
                self.remember(Known {
                    authorization: known.authorization.clone(),
                    token: known.token.clone(),
                    userinfo: known.userinfo.clone(),
                    jwks: known.jwks.clone(),
                    keys,
                    keys_at,
                    ..*known
                });
                read.map_err(|bad| match bad {
                    Bad::UnknownKey => untrusted("no key of the provider has signed it"),
                    Bad::Token(why) => untrusted(why),
                })
            }
        }
    }

    /// What the provider says of who has this access token; nothing where it has no such place, or says it otherwise than
    /// in JSON.
    pub(super) async fn userinfo(&self, access: &str, subject: &str) -> Result<Map<String, Value>, Refusal> {
        let known = self.known().await?;
        let Some(url) = &known.userinfo else { return Ok(Map::new()) };
        let mut headers = HeaderMap::new();
        let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {access}")) else { return Ok(Map::new()) };
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
        let (status, said) = self.ask("userinfo endpoint", Method::GET, url, headers, String::new()).await?;
        match said {
            // Core section 5.3.2: whose claims they are has to be compared.
            Value::Object(claims) if status == StatusCode::OK => {
                if claims.get("sub").and_then(Value::as_str) == Some(subject) {
                    Ok(claims)
                } else {
                    Err(Refusal::Untrusted("the userinfo endpoint speaks of somebody else".to_owned()))
                }
            }
            _ => {
                tracing::debug!(%status, "the userinfo endpoint told nothing that can be read");
                Ok(Map::new())
            }
        }
    }

    async fn known(&self) -> Result<Arc<Known>, Refusal> {
        let kept = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = kept.filter(|known| self.clock.micros() - known.at < FRESH) {
            return Ok(known);
        }
        let at = self.clock.micros();
        let issuer = &self.settings.issuer;
        let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let place = Url::parse(&place).map_err(|_| Refusal::Settings("oidc_issuer is no URL".to_owned()))?;
        let said = self.get("discovery document", &place).await?;
        // Discovery section 4.3: else somebody else could speak for the issuer.
        if said["issuer"] != issuer.as_str() {
            return Err(Refusal::Settings(format!(
                "the provider calls itself {}, which is not oidc_issuer to the letter",
                said["issuer"].as_str().map_or("nothing".to_owned(), shortened)
            )));
        }
        let local = is_local(&place);
        let url = |name: &'static str| {
            let url = said[name].as_str().and_then(|text| Url::parse(text).ok());
            url.filter(|url| url.scheme() == "https" || (local && is_local(url)))
        };
        let needed = |name: &'static str| {
            let lacking = || Refusal::Settings(format!("the provider's {name} is not there, or is not https"));
            url(name).ok_or_else(lacking)
        };
        let list = |name: &str| said[name].as_array();
        let jwks = needed("jwks_uri")?;
        let keys = self.keys(&jwks).await?;
        let can_choose = |prompt: &str| match list("prompt_values_supported") {
            Some(all) => all.iter().any(|one| one == prompt),
            None => prompt == "select_account",
        };
        Ok(self.remember(Known {
            authorization: needed("authorization_endpoint")?,
            token: needed("token_endpoint")?,
            userinfo: url("userinfo_endpoint"),
            jwks,
            // Discovery section 3: where nothing is said it is the header.
            basic: list("token_endpoint_auth_methods_supported")
                .is_none_or(|all| all.iter().any(|one| one == "client_secret_basic")),
            says_issuer: said["authorization_response_iss_parameter_supported"] == true,
            choose: ["select_account", "login"].into_iter().find(|prompt| can_choose(prompt)),
            keys,
            at,
            keys_at: at,
        }))
    }

    fn remember(&self, known: Known) -> Arc<Known> {
        let known = Arc::new(known);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&known));
        known
    }

    async fn keys(&self, jwks: &Url) -> Result<Vec<Jwk>, Refusal> {
        Ok(token::keys(&self.get("keys", jwks).await?))
    }

    async fn get(&self, what: &'static str, url: &Url) -> Result<Value, Refusal> {
        let (status, said) = self.ask(what, Method::GET, url, HeaderMap::new(), String::new()).await?;
        if status == StatusCode::OK && said.is_object() {
            return Ok(said);
        }
        let why = format!("{what}: it answered {status}, and nothing that can be read");
        Err(if status.is_client_error() { Refusal::Settings(why) } else { Refusal::Unavailable(why) })
    }

    async fn ask(
        &self,
        what: &'static str,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
        body: String,
    ) -> Result<(StatusCode, Value), Refusal> {
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let reply = self
            .http
            .ask(method, url.clone(), headers, Bytes::from(body))
            .await
            .map_err(|why| Refusal::Unavailable(format!("{what}: {why}")))?;
        if reply.status.is_server_error() {
            return Err(Refusal::Unavailable(format!("{what}: it answered {}", reply.status)));
        }
        Ok((reply.status, serde_json::from_slice(&reply.body).unwrap_or_default()))
    }
}

/// What a refusal of the token endpoint (RFC 6749 section 5.2) means for whoever signs in.
fn refused(status: StatusCode, said: &Value) -> Refusal {
    match said["error"].as_str() {
        // The code was used, or has run out.
        Some("invalid_grant") => Refusal::Expired,
        Some("temporarily_unavailable" | "server_error") => Refusal::Unavailable("token endpoint".to_owned()),
        other => Refusal::Settings(format!(
            "the token endpoint answered {status}, {}",
            other.map_or("without a reason".to_owned(), shortened)
        )),
    }
}

/// Text of a provider for the log.
pub(super) fn shortened(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(200).collect()
}
