//! How calls are authorised. Secrets stand here and in what is sent, nowhere else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use connector_sdk::{Call, Cx, Fault, FaultKind, Repeat, Retry};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use crate::client::Client;

/// Seconds before its end at which a token is no longer used.
const MARGIN: i64 = 60;
/// What a token lives that says nothing of its end, in seconds.
const USUAL_LIFE: i64 = 300;
/// The longest that a token is kept, in seconds.
const LONGEST_LIFE: i64 = 86_400;
/// The name of the call that asks for a token.
pub(crate) const TOKEN_CALL: &str = "get token";

/// A call that is authorised.
pub(crate) struct Authorized {
    pub(crate) call: Call,
    /// Whether it bears a token that was made before, so that a 401 may just mean its end.
    pub(crate) renewable: bool,
}

/// One way of authorising, with its secret.
pub(crate) enum Ready {
    Header { name: HeaderName, value: SecretString },
    Query { parameter: String, value: SecretString },
    Oauth2(Box<Oauth2>),
}

/// The client credentials grant (RFC 6749, section 4.4).
pub(crate) struct Oauth2 {
    pub(crate) url: Url,
    pub(crate) client: String,
    pub(crate) secret: SecretString,
    pub(crate) in_body: bool,
    pub(crate) parameters: Vec<(String, String)>,
    /// Held across the call that asks for a token, so that a burst of calls asks for one.
    pub(crate) held: Mutex<Option<(SecretString, Timestamp)>>,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_in: Option<serde_json::Value>,
}

impl Ready {
    /// Basic (RFC 7617).
    pub(crate) fn basic(username: &str, password: &str) -> Self {
        let value = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
        Self::Header { name: http::header::AUTHORIZATION, value: SecretString::from(value) }
    }

    /// Adds it to a call; whether it may be made anew.
    pub(crate) async fn apply(&self, client: &Client, cx: &Cx<'_>, call: &mut Call, anew: bool) -> Result<bool, Fault> {
        match self {
            Self::Header { name, value } => {
                call.headers.insert(name.clone(), sensitive(value.expose_secret()));
                Ok(false)
            }
            Self::Query { parameter, value } => {
                call.url.query_pairs_mut().append_pair(parameter, value.expose_secret());
                Ok(false)
            }
            Self::Oauth2(oauth) => {
                let (token, renewable) = oauth.token(client, cx, anew).await?;
                let value = format!("Bearer {}", token.expose_secret());
                call.headers.insert(http::header::AUTHORIZATION, sensitive(&value));
                Ok(renewable)
            }
        }
    }
}

fn sensitive(text: &str) -> HeaderValue {
    // What cannot be a header was refused when the connector was built; a token is checked where it comes.
    let mut value = HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

impl Oauth2 {
    async fn token(&self, client: &Client, cx: &Cx<'_>, anew: bool) -> Result<(SecretString, bool), Fault> {
        let mut held = self.held.lock().await;
        if let Some((token, until)) = held.as_ref()
            && *until > cx.now
            && !anew
        {
            return Ok((token.clone(), true));
        }
        *held = None;
        let (token, seconds) = self.ask(client, cx).await?;
        let until = cx.now.checked_add(SignedDuration::from_secs((seconds - MARGIN).max(1))).unwrap_or(Timestamp::MAX);
        *held = Some((token.clone(), until));
        Ok((token, false))
    }

    /// The body of the request for a token (RFC 6749, section 4.4.2).
    fn form(&self) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        for (name, value) in &self.parameters {
            form.append_pair(name, value);
        }
        if self.in_body {
            form.append_pair("client_id", &self.client).append_pair("client_secret", self.secret.expose_secret());
        }
        form.finish()
    }

    async fn ask(&self, client: &Client, cx: &Cx<'_>) -> Result<(SecretString, i64), Fault> {
        let mut call = Call::new(TOKEN_CALL, Method::POST, self.url.clone())
            .repeat(Repeat::Read)
            .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(http::header::ACCEPT, "application/json");
        call.body = self.form().into();
        if !self.in_body {
            // RFC 6749, section 2.3.1: both are form-encoded first.
            let part = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let both = format!("{}:{}", part(&self.client), part(self.secret.expose_secret()));
            call.headers.insert(http::header::AUTHORIZATION, sensitive(&format!("Basic {}", STANDARD.encode(both))));
        }
        let reply = cx.send(call).await?;
        let title = client.title();
        let context = crate::rules::context(TOKEN_CALL, &reply);
        if reply.status.is_success() {
            let token: Token = serde_json::from_slice(&reply.body).map_err(|_| {
                Fault::new(
                    FaultKind::Malformed,
                    format!("The answer of {title} to the request for a token could not be understood."),
                )
                .effect(connector_sdk::Effect::None)
                .context(context.clone())
            })?;
            if token.access_token.is_empty() || !token.access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(Fault::new(FaultKind::Malformed, format!("{title} gave a token that cannot be one."))
                    .effect(connector_sdk::Effect::None)
                    .context(context));
            }
            let told = match token.expires_in {
                Some(serde_json::Value::Number(number)) => number.as_i64(),
                Some(serde_json::Value::String(text)) => text.parse().ok(),
                _ => None,
            };
            let seconds = told.unwrap_or(USUAL_LIFE).clamp(1, LONGEST_LIFE);
            return Ok((SecretString::from(token.access_token), seconds));
        }
        Err(match reply.status {
            StatusCode::TOO_MANY_REQUESTS => {
                let until = client
                    .throttled(&reply)
                    .unwrap_or_else(|| connector_sdk::rates::after(reply.at, connector_sdk::rates::USUAL_WAIT));
                Fault::new(FaultKind::RateLimited, format!("{title}'s limit for tokens is used up."))
                    .retry(Retry::NotBefore(until))
            }
            // RFC 6749, section 5.2: `invalid_client` is a 400 or a 401.
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Fault::new(
                FaultKind::Credential,
                format!("{title} gives no token for the client's credential: it was revoked, has expired, or lacks a scope. Give the instance a new one."),
            ),
            status => Fault::new(
                FaultKind::Unavailable,
                format!("{title} gives no token now (status {}). The gateway tries again.", status.as_u16()),
            ),
        }
        .context(context))
    }
}
