//! The credential.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use connector_sdk::{Call, Cx, Effect, Fault, FaultKind, Repeat, Reply, Retry, rates};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

/// How calls are authorised.
pub(crate) enum Auth {
    /// RFC 6750.
    Bearer(SecretString),
    /// RFC 7617.
    Basic {
        /// The user's name.
        user: String,
        /// The password.
        password: SecretString,
    },
    /// A header of its own.
    Header {
        /// Its name.
        name: HeaderName,
        /// Its value.
        value: SecretString,
    },
    /// RFC 6749 section 4.4.
    Client(Box<ClientCredentials>),
}

/// A client of an authorisation server, and the token that it holds.
pub(crate) struct ClientCredentials {
    token_url: Url,
    id: String,
    secret: SecretString,
    scope: Option<String>,
    /// Held across the call that gets a token, so that a burst of calls gets one.
    held: Mutex<Option<(SecretString, Timestamp)>>,
}

impl ClientCredentials {
    pub(super) fn new(token_url: Url, id: String, secret: SecretString, scope: Option<String>) -> Self {
        Self { token_url, id, secret, scope, held: Mutex::default() }
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default)]
    expires_in: Option<i64>,
}

/// What a call was signed with.
pub(super) struct Signed {
    pub(super) call: Call,
    /// The token, where it was held already, so that a 401 may just mean that it ended early.
    pub(super) held: Option<SecretString>,
}

fn basic(user: &str, password: &SecretString) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose_secret())))
}

impl Auth {
    /// Signs a call.
    ///
    /// # Errors
    /// As [`ClientCredentials`]' authorisation server says: a refused client is `Credential`.
    pub(super) async fn sign(&self, cx: &Cx<'_>, mut call: Call) -> Result<Signed, Fault> {
        Ok(match self {
            Self::Bearer(token) => Signed { call: bearer(call, token), held: None },
            Self::Basic { user, password } => Signed { call: call.authorization(&basic(user, password)), held: None },
            Self::Header { name, value } => {
                if let Ok(mut value) = HeaderValue::from_str(value.expose_secret()) {
                    value.set_sensitive(true);
                    call.headers.insert(name.clone(), value);
                }
                Signed { call, held: None }
            }
            Self::Client(client) => {
                let (token, held) = client.token(cx).await?;
                Signed { call: bearer(call, &token), held: held.then_some(token) }
            }
        })
    }

    /// Forgets a token that the server refused.
    pub(super) async fn forget(&self, dead: &SecretString) {
        if let Self::Client(client) = self {
            let mut held = client.held.lock().await;
            if held.as_ref().is_some_and(|(token, _)| token.expose_secret() == dead.expose_secret()) {
                *held = None;
            }
        }
    }

    /// A text without any secret of this credential.
    pub(super) fn redact(&self, text: &str) -> String {
        let secrets: Vec<String> = match self {
            Self::Bearer(secret) | Self::Header { value: secret, .. } => vec![secret.expose_secret().to_owned()],
            Self::Basic { user, password } => {
                let whole = basic(user, password);
                vec![password.expose_secret().to_owned(), whole.trim_start_matches("Basic ").to_owned()]
            }
            Self::Client(client) => {
                let held = client.held.try_lock().ok().and_then(|held| held.as_ref().map(|(token, _)| token.clone()));
                let secret = client.secret.expose_secret().to_owned();
                std::iter::once(secret).chain(held.map(|token| token.expose_secret().to_owned())).collect()
            }
        };
        secrets
            .iter()
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "[redacted]"))
    }
}

fn bearer(call: Call, token: &SecretString) -> Call {
    call.authorization(&format!("Bearer {}", token.expose_secret()))
}

impl ClientCredentials {
    /// A token, and whether it was held already.
    async fn token(&self, cx: &Cx<'_>) -> Result<(SecretString, bool), Fault> {
        let mut held = self.held.lock().await;
        if let Some((token, ends)) = &*held
            && cx.now < *ends
        {
            return Ok((token.clone(), true));
        }
        let mut form = "grant_type=client_credentials".to_owned();
        if let Some(scope) = &self.scope {
            form.push_str("&scope=");
            form.push_str(&encoded(scope));
        }
        let mut call = Call::new("get token", Method::POST, self.token_url.clone())
            .repeat(Repeat::Idempotent)
            .authorization(&basic(&encoded(&self.id), &SecretString::from(encoded(self.secret.expose_secret()))))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        call.body = form.into();
        let reply = cx.send(call).await?;
        let granted = granted(&reply)?;
        // A minute before its end it is renewed: answers take time.
        let seconds = granted.expires_in.unwrap_or(300).clamp(0, 86_400);
        let ends = reply.at + SignedDuration::from_secs((seconds - 60).max(seconds / 2));
        let token = SecretString::from(granted.access_token);
        *held = Some((token.clone(), ends));
        Ok((token, false))
    }
}

/// Client id and secret stand form-encoded in the header (RFC 6749 section 2.3.1).
fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn granted(reply: &Reply) -> Result<Granted, Fault> {
    let context = format!("get token: status {}", reply.status);
    match reply.status {
        status if status.is_success() => {
            let granted: Granted =
                reply.json().map_err(|fault| fault.effect(Effect::None).context("get token: no token in the answer"))?;
            if HeaderValue::from_str(&granted.access_token).is_err() || granted.access_token.is_empty() {
                return Err(Fault::new(FaultKind::Malformed, "The authorisation server's token cannot be one.")
                    .effect(Effect::None)
                    .context(context));
            }
            Ok(granted)
        }
        StatusCode::TOO_MANY_REQUESTS => {
            let until = rates::retry_after(reply).unwrap_or_else(|| rates::after(reply.at, rates::USUAL_WAIT));
            Err(Fault::new(FaultKind::RateLimited, "The authorisation server gives no more tokens for now.")
                .retry(Retry::NotBefore(until))
                .context(context))
        }
        status if status.is_server_error() => {
            Err(Fault::new(FaultKind::Unavailable, "The authorisation server is in trouble. The gateway tries again.")
                .context(context))
        }
        _ => Err(Fault::new(
            FaultKind::Credential,
            "The authorisation server refuses the client. Check client_id, the client secret, token_scope and token_url.",
        )
        .context(context)),
    }
}
