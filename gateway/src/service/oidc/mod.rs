//! Sign-in to the console through an OpenID Connect provider: the authorization code flow with PKCE.
//!
//! What a sign-in needs to remember is in a cookie of the browser that began it: a random text, from which `state`, `nonce`
//! and the code verifier are derived by a key of ours, so nobody who sees one of them knows another. Nothing is stored before
//! somebody is known, and the provider's tokens are not kept.
//!
//! Who is let in: a member whose person (`iss` and `sub`) is known; else one who was invited by an address that the
//! provider says is verified, and is known from then on; else somebody to whom a claim gives a role, where the operator
//! said so.

mod admit;
mod person;
mod provider;
mod token;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moka::sync::Cache;
use secrecy::SecretString;
use serde_json::json;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use url::Url;

pub(crate) use person::address;

use self::person::Person;
use self::provider::{Ask, Provider};
use super::App;
use super::members::Who;
use crate::clock::Clock;
use crate::config::Config;
use crate::keys;
use crate::store::{Priority, StoreError};
use crate::transport::{Http, HttpError, HttpOptions};

/// Where the provider sends people back to, below the public URL.
pub const CALLBACK: &str = "/console/sign-in/provider/answer";
/// How long somebody may take at the provider.
pub const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How many sign-ins may talk to the provider at once.
const AT_ONCE: usize = 16;
/// The length of the random text.
const LENGTH: usize = 43;
/// The longest code that is taken, in bytes.
const MAX_CODE: usize = 4_096;

/// Sign-in through a provider, where one is set up.
pub(crate) struct Oidc {
    provider: Provider,
    issuer: String,
    name: String,
    roles: Option<crate::config::ClaimRoles>,
    redirect_uri: String,
    busy: Semaphore,
    /// Who was refused lately: the audit tells it once in an hour.
    told: Cache<String, ()>,
}

/// Why somebody is not signed in.
#[derive(Debug)]
pub enum Refusal {
    /// The sign-in was begun elsewhere, too long ago, or has ended already.
    Expired,
    /// Too many sign in at once.
    Busy,
    /// They, or the provider, said no. The provider's word for it.
    Denied(String),
    /// The provider does not answer; why, for the log.
    Unavailable(String),
    /// The operator has to mend the settings here or there; which, for the log.
    Settings(String),
    /// What came is not what the provider owes; why, for the log.
    Untrusted(String),
    /// They are no member, and the provider does not say that their address is theirs.
    NotVerified(Option<String>),
    /// They are no member.
    Stranger(Option<String>),
    /// An Owner removed them.
    Removed,
    /// Their membership has ended.
    Ended,
    /// The store's.
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A sign-in that begins.
pub struct Begun {
    /// Where to send the browser.
    pub url: Url,
    /// What it keeps until it comes back.
    pub cookie: SecretString,
}

/// What the provider sends the browser back with.
#[derive(Debug, Default)]
pub struct Answer {
    /// Which sign-in it belongs to.
    pub state: String,
    /// The code, if it went well.
    pub code: Option<String>,
    /// Why it did not.
    pub error: Option<String>,
    /// Whose answer it is (RFC 9207).
    pub issuer: Option<String>,
}

/// A sign-in that ends.
pub struct Finished {
    /// Where the browser wanted to go.
    pub to: String,
    /// Who is signed in, or why nobody is.
    pub who: Result<Who, Refusal>,
}

/// A sign-in under way.
struct Flow {
    secret: String,
    to: String,
}

impl Oidc {
    pub(super) fn build(config: &Config, clock: &Clock) -> Result<Option<Self>, HttpError> {
        let Some(settings) = &config.oidc else { return Ok(None) };
        let options = HttpOptions {
            allow_private: true,
            call_timeout: provider::PATIENCE,
            max_answer_bytes: provider::MAX_ANSWER,
            ..HttpOptions::default()
        };
        let http = Http::new(options, clock.clone())?;
        Ok(Some(Self {
            issuer: settings.issuer.clone(),
            name: settings.name.clone(),
            roles: settings.roles.clone(),
            redirect_uri: format!("{}{CALLBACK}", config.public_url_at(config.listen)),
            provider: Provider::new(settings.clone(), http, clock.clone()),
            busy: Semaphore::new(AT_ONCE),
            told: Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(3_600)).build(),
        }))
    }

    /// What people know the provider by.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The provider's identifier.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }
}

impl App {
    /// Begins a sign-in that is to lead to the path `to`. `choose`: the provider lets people choose an account, though they
    /// are signed in there.
    ///
    /// # Errors
    /// The provider does not answer, or is not what the settings say.
    pub async fn begin_sign_in(&self, to: &str, choose: bool) -> Result<Begun, Refusal> {
        let oidc = self.oidc.as_ref().ok_or_else(not_set)?;
        let _turn = oidc.busy.try_acquire().map_err(|_| Refusal::Busy)?;
        let secret = keys::random_text(LENGTH);
        let (state, nonce) = (self.derived("state", &secret), self.derived("nonce", &secret));
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(self.derived("verifier", &secret)));
        let redirect_uri = oidc.redirect_uri.as_str();
        let ask = Ask { redirect_uri, state: &state, nonce: &nonce, challenge: &challenge, choose };
        let url = oidc.provider.authorization(&ask).await.inspect_err(tell)?;
        let open = format!("{}.{secret}.{}", self.clock.now().as_second(), URL_SAFE_NO_PAD.encode(to));
        let cookie = SecretString::from(format!("{open}.{}", self.derived("cookie", &open)));
        Ok(Begun { url, cookie })
    }

    /// Ends a sign-in: `kept` is what the browser kept.
    pub async fn finish_sign_in(&self, answer: &Answer, kept: Option<&str>) -> Finished {
        let Some(flow) = kept.and_then(|kept| self.flow(kept)) else {
            return Finished { to: String::new(), who: Err(Refusal::Expired) };
        };
        let who = self.signed_in(answer, &flow).await.inspect_err(tell);
        Finished { to: flow.to, who }
    }

    async fn signed_in(&self, answer: &Answer, flow: &Flow) -> Result<Who, Refusal> {
        let oidc = self.oidc.as_ref().ok_or_else(not_set)?;
        let ours: bool = self.derived("state", &flow.secret).as_bytes().ct_eq(answer.state.as_bytes()).into();
        if !ours {
            return Err(Refusal::Expired);
        }
        let _turn = oidc.busy.try_acquire().map_err(|_| Refusal::Busy)?;
        if !oidc.provider.is_own(answer.issuer.as_deref()).await? {
            return Err(Refusal::Untrusted("the answer does not say that it is the provider's own".to_owned()));
        }
        if let Some(error) = &answer.error {
            return Err(match error.as_str() {
                "temporarily_unavailable" | "server_error" => Refusal::Unavailable(provider::shortened(error)),
                "unauthorized_client" | "invalid_scope" | "unsupported_response_type" | "invalid_request" => {
                    Refusal::Settings(format!("the provider answered {}", provider::shortened(error)))
                }
                _ => Refusal::Denied(provider::shortened(error)),
            });
        }
        let code =
            answer.code.as_deref().filter(|code| (1..=MAX_CODE).contains(&code.len())).ok_or(Refusal::Expired)?;
        let (verifier, nonce) = (self.derived("verifier", &flow.secret), self.derived("nonce", &flow.secret));
        let (claims, access) = oidc.provider.exchange(code, &verifier, &oidc.redirect_uri, &nonce).await?;
        let subject = claims.get("sub").and_then(|sub| sub.as_str()).unwrap_or_default();
        let info = match access.filter(|_| Person::lacks(&claims, oidc.roles.as_ref())) {
            Some(access) => oidc.provider.userinfo(&access, subject).await?,
            None => serde_json::Map::new(),
        };
        let person = Person::read(&claims, &info, oidc.roles.as_ref());
        self.admitted(oidc, person).await
    }

    /// Lets somebody in whom the provider knows, if they are a member or become one.
    async fn admitted(&self, oidc: &Oidc, person: Person) -> Result<Who, Refusal> {
        let unit = admit::Admit { issuer: oidc.issuer.clone(), person: person.clone() };
        let refusal = match self.store.write(Priority::Request, unit).await? {
            admit::Outcome::In(who) => {
                self.members.forget(&who.id);
                return Ok(who);
            }
            admit::Outcome::Stranger if person.verified => Refusal::Stranger(person.email.clone()),
            admit::Outcome::Stranger => Refusal::NotVerified(person.email.clone()),
            admit::Outcome::Removed => Refusal::Removed,
            admit::Outcome::Ended => Refusal::Ended,
        };
        if oidc.told.get(&person.subject).is_none() {
            oidc.told.insert(person.subject.clone(), ());
            let detail = json!({
                "issuer": oidc.issuer, "subject": person.subject, "email": person.email, "why": word(&refusal),
            });
            self.store.write(Priority::Request, admit::Refused { name: person.name, detail }).await?;
        }
        Err(refusal)
    }

    /// What belongs to a sign-in and to nothing else. Another provider in the settings makes another text.
    fn derived(&self, what: &str, secret: &str) -> String {
        let issuer = self.oidc.as_ref().map_or("", |oidc| oidc.issuer.as_str());
        self.keys.hash(&format!("sign-in {what} {issuer} {secret}"))
    }

    fn flow(&self, kept: &str) -> Option<Flow> {
        let (open, seal) = kept.rsplit_once('.')?;
        let genuine: bool = self.derived("cookie", open).as_bytes().ct_eq(seal.as_bytes()).into();
        if !genuine {
            return None;
        }
        let mut parts = open.split('.');
        let (begun, secret, to) = (parts.next()?, parts.next()?, parts.next()?);
        let age = self.clock.now().as_second() - begun.parse::<i64>().ok()?;
        let in_time = u64::try_from(age).is_ok_and(|age| age <= PATIENCE.as_secs());
        let to = String::from_utf8(URL_SAFE_NO_PAD.decode(to).ok()?).ok()?;
        in_time.then(|| Flow { secret: secret.to_owned(), to })
    }
}

fn not_set() -> Refusal {
    Refusal::Settings("no provider is set up".to_owned())
}

fn word(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NotVerified(_) => "address not verified",
        Refusal::Stranger(_) => "not a member",
        Refusal::Removed => "removed",
        Refusal::Ended => "ended",
        _ => "",
    }
}

/// Tells the log what an operator has to know.
fn tell(refusal: &Refusal) {
    match refusal {
        Refusal::Unavailable(why) => tracing::warn!(%why, "the provider of identities does not answer"),
        Refusal::Settings(why) => {
            tracing::error!(%why, "sign-in through the provider of identities is not set up as it should be");
        }
        Refusal::Untrusted(why) => tracing::warn!(%why, "a sign-in through the provider of identities was refused"),
        Refusal::Denied(why) => tracing::info!(%why, "a sign-in was refused at the provider of identities"),
        Refusal::Store(error) => tracing::error!(%error, "a sign-in met trouble of the store"),
        _ => {}
    }
}
