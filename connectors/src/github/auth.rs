//! The credential: a personal access token, or a GitHub App that trades a signed claim for a token
//! of one hour.
//! Source: docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app

use connector_sdk::{Cx, Fault, FaultKind, SettingsError};
use http::Method;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::client::Client;

/// How calls are authorised.
pub(super) enum Auth {
    /// A personal access token.
    Token(SecretString),
    /// A GitHub App.
    App(Box<App>),
}

impl Auth {
    /// A personal access token.
    pub(super) fn token(text: &str) -> Self {
        Self::Token(SecretString::from(text.to_owned()))
    }
}

/// A GitHub App and the token it holds.
pub(super) struct App {
    id: String,
    key: EncodingKey,
    /// Held across the call that makes a token, so that a burst of calls makes one.
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    installation: Option<u64>,
    token: Option<(SecretString, Timestamp)>,
}

/// A token for one call.
pub(super) struct Bearer {
    /// The token.
    pub(super) token: SecretString,
    /// Whether it was made before this call, so that a 401 may just mean that it was revoked.
    pub(super) renewable: bool,
}

#[derive(Serialize)]
struct Claims<'a> {
    iat: i64,
    exp: i64,
    iss: &'a str,
}

#[derive(Deserialize)]
struct Installation {
    id: u64,
}

#[derive(Deserialize)]
struct Minted {
    token: String,
    expires_at: Timestamp,
}

impl App {
    /// An App with its private key in PEM form.
    pub(super) fn new(id: &str, installation: Option<u64>, pem: &str) -> Result<Self, SettingsError> {
        // Keys pasted from an environment file have their line ends written out.
        let pem = pem.trim().replace("\\n", "\n");
        let key = EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_| {
            SettingsError::new(
                "private_key",
                "is not an RSA private key in PEM form, as GitHub lets you download it for an App",
            )
        })?;
        let app = Self { id: id.to_owned(), key, held: Mutex::new(Held { installation, token: None }) };
        // A key that is PEM but no key shows only when it signs.
        app.claim(Timestamp::UNIX_EPOCH)
            .map_err(|_| SettingsError::new("private_key", "cannot sign: it is not a usable RSA key"))?;
        Ok(app)
    }

    /// The App's id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// A signed claim to be the App. Backdated a minute for clocks that differ, and below GitHub's
    /// ten minutes.
    fn claim(&self, now: Timestamp) -> Result<String, Fault> {
        let now = now.as_second();
        let claims = Claims { iat: now - 60, exp: now + 540, iss: &self.id };
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key).map_err(|_| {
            Fault::new(
                FaultKind::Credential,
                "The GitHub App's private key cannot sign. Give the key that GitHub generated for this App.",
            )
            .context("app: signing failed")
        })
    }
}

impl Client {
    /// The token for one call. `dead` is a token that GitHub just refused: it is not given again.
    pub(super) async fn bearer(&self, cx: &Cx<'_>, dead: Option<&SecretString>) -> Result<Bearer, Fault> {
        let app = match &self.auth {
            Auth::Token(token) => {
                return Ok(Bearer { token: token.clone(), renewable: false });
            }
            Auth::App(app) => app,
        };
        let mut held = app.held.lock().await;
        if let (Some((token, _)), Some(dead)) = (&held.token, dead)
            && token.expose_secret() == dead.expose_secret()
        {
            held.token = None;
        }
        if let Some((token, ends)) = &held.token
            && cx.now + SignedDuration::from_secs(60) < *ends
        {
            return Ok(Bearer { token: token.clone(), renewable: dead.is_none() });
        }
        let claim = SecretString::from(app.claim(cx.now)?);
        let installation = match held.installation {
            Some(id) => id,
            None => {
                let id = self.installation(cx, &claim).await?;
                held.installation = Some(id);
                id
            }
        };
        let minted = self.mint(cx, &claim, installation).await?;
        let token = SecretString::from(minted.token);
        held.token = Some((token.clone(), minted.expires_at));
        Ok(Bearer { token, renewable: false })
    }

    /// Forgets a token that GitHub refused although it was new.
    pub(super) async fn forget(&self, dead: &SecretString) {
        if let Auth::App(app) = &self.auth {
            let mut held = app.held.lock().await;
            if held.token.as_ref().is_some_and(|(token, _)| token.expose_secret() == dead.expose_secret()) {
                held.token = None;
            }
        }
    }

    async fn installation(&self, cx: &Cx<'_>, claim: &SecretString) -> Result<u64, Fault> {
        let call = self.call("find installation", Method::GET, &["orgs", &self.org, "installation"]);
        let reply = self.send_as(cx, call, claim).await?;
        match reply.status.as_u16() {
            200 => Ok(self.read::<Installation>("find installation", &reply)?.id),
            404 => Err(Fault::new(
                FaultKind::Permission,
                format!(
                    "The GitHub App is not installed in the organisation {}. Install it there, with the organisation permission Members: read and write.",
                    self.org
                ),
            )
            .context(self.context("find installation", &reply))),
            _ => Err(self.refusal("find installation", &reply)),
        }
    }

    async fn mint(&self, cx: &Cx<'_>, claim: &SecretString, installation: u64) -> Result<Minted, Fault> {
        let name = "make installation token";
        let call = self
            .call(name, Method::POST, &["app", "installations", &installation.to_string(), "access_tokens"])
            .repeat(connector_sdk::Repeat::Idempotent);
        let reply = self.send_as(cx, call, claim).await?;
        match reply.status.as_u16() {
            201 => self.read::<Minted>(name, &reply),
            403 => Err(Fault::new(
                FaultKind::Credential,
                "The GitHub App's installation is suspended or may not make tokens. Look at the organisation's settings, under GitHub Apps.",
            )
            .context(self.context(name, &reply))),
            404 => Err(Fault::new(
                FaultKind::Credential,
                "The GitHub App has no such installation. Check installation_id, or leave it out to have it looked up.",
            )
            .context(self.context(name, &reply))),
            422 => Err(Fault::new(
                FaultKind::Permission,
                "GitHub refuses a token with the App's permissions. An owner must approve the permission Members: read and write for the installation.",
            )
            .context(self.context(name, &reply))),
            _ => Err(self.refusal(name, &reply)),
        }
    }
}
