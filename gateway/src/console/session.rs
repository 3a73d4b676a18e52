//! Signing in and out.
//!
//! The cookie holds a random text, the store its hash. Over https its name begins with `__Host-`, so that no other host
//! and no plain page can set it; over plain http (the demonstration on loopback) that is not possible, and the name says so.
//!
//! Failed attempts are counted by address. A token of our own form is looked up in any case: it cannot be guessed, so a
//! stranger behind the same proxy locks nobody out. A token that the operator chose can, so it waits.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use maud::{Markup, html};
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::extract::Query;
use super::form::{Field, Sent};
use super::icons::{Icon, icon};
use super::layout::{gate, mark};
use super::text::span;
use super::visit::{Theme, Visit, back, cookie, see};
use crate::keys;
use crate::service::App;
use crate::service::sessions::LONGEST;
use crate::telemetry::names;

/// Failed attempts of an address without a wait.
const FREE: u32 = 5;
/// The longest wait, and for how long failures are remembered.
const LONGEST_WAIT: i64 = 15 * 60;
/// The longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 4_096;

/// Whether browsers reach the console by https alone.
pub(super) fn is_secure(app: &App) -> bool {
    app.config.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
}

fn cookie_name(app: &App) -> &'static str {
    if is_secure(app) { "__Host-scimgate" } else { "scimgate_plain_http" }
}

/// The session's text in a request's cookies.
pub(super) fn presented(app: &App, headers: &HeaderMap) -> Option<SecretString> {
    cookie(headers, cookie_name(app)).filter(|text| !text.is_empty()).map(SecretString::from)
}

/// `Set-Cookie` for a session; an empty text takes it away.
fn set_cookie(app: &App, text: &str) -> Option<HeaderValue> {
    let (name, secure) = (cookie_name(app), if is_secure(app) { "; Secure" } else { "" });
    let age = if text.is_empty() { 0 } else { LONGEST.as_secs() };
    HeaderValue::from_str(&format!("{name}={text}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}")).ok()
}

/// Adds the cookie of a new session to an answer.
pub(super) fn grant(app: &App, session: &SecretString, mut response: Response) -> Response {
    if let Some(cookie) = set_cookie(app, session.expose_secret()) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Failed attempts by address, in this process.
pub(crate) struct Attempts(Cache<IpAddr, (u32, i64)>);

impl Default for Attempts {
    fn default() -> Self {
        let kept = Duration::from_secs(LONGEST_WAIT.unsigned_abs() * 2);
        Self(Cache::builder().max_capacity(10_000).time_to_live(kept).build())
    }
}

impl Attempts {
    /// How many seconds an address has to wait.
    fn wait(&self, from: IpAddr, now: i64) -> i64 {
        let Some((failed, last)) = self.0.get(&group(from)) else { return 0 };
        if failed < FREE {
            return 0;
        }
        let wait = 30_i64.saturating_mul(1 << (failed - FREE).min(5)).min(LONGEST_WAIT);
        (last + wait - now).max(0)
    }

    fn failed(&self, from: IpAddr, now: i64) {
        let from = group(from);
        let (failed, last) = self.0.get(&from).unwrap_or((0, now));
        let failed = if now - last > LONGEST_WAIT * 2 { 0 } else { failed };
        self.0.insert(from, (failed.saturating_add(1), now));
    }

    fn succeeded(&self, from: IpAddr) {
        self.0.invalidate(&group(from));
    }
}

/// An IPv6 client has a whole network (/64) of addresses.
fn group(from: IpAddr) -> IpAddr {
    match from {
        IpAddr::V6(v6) => {
            let mut parts = v6.segments();
            parts[4..].fill(0);
            IpAddr::V6(parts.into())
        }
        v4 => v4,
    }
}

/// Where to go after signing in, and why one is here.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Next {
    next: Option<String>,
    ended: Option<String>,
}

/// The page that asks for the token.
pub(super) async fn show(State(app): State<Arc<App>>, headers: HeaderMap, Query(next): Query<Next>) -> Response {
    let said = match next.ended.as_deref() {
        Some("out") if app.oidc.is_some() => {
            Some("You are signed out here. At the provider that you signed in through you may still be signed in.")
        }
        Some("out") => Some("You are signed out."),
        Some(_) => Some("Your session has ended. Sign in again; what was not saved has to be entered again."),
        None => None,
    };
    let to = back(next.next.as_deref().unwrap_or_default());
    page(&app, &headers, &to, said, None, StatusCode::OK)
}

fn page(
    app: &App,
    headers: &HeaderMap,
    to: &str,
    said: Option<&str>,
    error: Option<&str>,
    status: StatusCode,
) -> Response {
    let field = Field::secret("token", "Admin token").hint("Begins with scg_a_, unless you chose your own.");
    let title = if error.is_some() { "Error: Sign in" } else { "Sign in" };
    let plain = !is_secure(app) && !reached_by_loopback(app, headers);
    gate(
        status,
        title,
        Theme::of(headers),
        &html! {
            div.card {
                div.inline { span.brand { (mark()) "scimgate" } }
                h1 { "Sign in" }
                @if let Some(said) = said { p.muted role="status" { (said) } }
                @if let Some(error) = error {
                    div.errors #errors tabindex="-1" role="alert" { h2 { "There is a problem" } ul { li { a href="#f-token" { (error) } } } }
                }
                @if plain {
                    div.note.warn { (icon(Icon::Warning)) div { p { "This page came over plain http: others on the network can read the token. Serve scimgate by https, and set its public URL." } } }
                }
                (super::sign_in::button(app, to))
                form.form method="post" action="/console/sign-in" novalidate {
                    input type="hidden" name="next" value=(to);
                    (field.complete("current-password").draw(error.map(|_| "Enter the token again.")))
                    button.btn.main[app.oidc.is_none()] type="submit" { "Sign in" }
                }
                (help())
            }
        },
    )
}

fn help() -> Markup {
    html! {
        details.more {
            summary { "Where is the token?" }
            div.tight.small.muted {
                p { "At its first start the gateway made one and printed it, once, on the terminal or in its log. " code { "scimgate demo" } " prints it each time." }
                p { "Where " code { "SCIMGATE_ADMIN_TOKEN" } " or " code { "admin_token" } " is set, that is the token. To replace a lost one, set it and start the gateway again." }
                p { "Members have tokens of their own, which an Owner makes under Settings." }
            }
        }
    }
}

fn reached_by_loopback(app: &App, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // An IPv6 address has colons of its own, within its brackets.
    let host = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(host, _)| host),
    };
    let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    local || (host.is_empty() && app.config.listen.ip().is_loopback())
}

/// Takes the token.
pub(super) async fn submit(State(app): State<Arc<App>>, request: Request) -> Response {
    let from = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::from([127, 0, 0, 1]), |ConnectInfo(peer)| peer.ip());
    let headers = request.headers().clone();
    let sent = request.extensions().get::<Sent>().cloned().unwrap_or_default();
    let to = back(sent.text("next"));
    let now = app.clock.now().as_second();
    let token = sent.text("token");
    let ours = keys::parse(token).is_some();
    let wait = app.attempts.wait(from, now);
    if wait > 0 && !ours {
        let words = format!("Too many failed attempts. Wait {} and try again.", span(wait));
        let mut response = page(&app, &headers, &to, None, Some(&words), StatusCode::TOO_MANY_REQUESTS);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
        return response;
    }
    if token.is_empty() {
        let words = "Enter the admin token.";
        return page(&app, &headers, &to, None, Some(words), StatusCode::UNPROCESSABLE_ENTITY);
    }
    let who = if token.len() > MAX_TOKEN { Ok(None) } else { app.verify_member(token).await };
    let begun = match who {
        Ok(Some(who)) => app.begin_session(&who, "token").await.map(Some),
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    match begun {
        Ok(Some(session)) => {
            app.attempts.succeeded(from);
            grant(&app, &session, see(&to))
        }
        Ok(None) => {
            app.attempts.failed(from, now);
            metrics::counter!(names::REJECTED_REQUESTS_TOTAL, "reason" => "console_credentials").increment(1);
            tracing::warn!(%from, "a sign-in to the console failed");
            let words = match keys::parse(token).map(|key| key.kind) {
                Some(keys::KeyType::Instance) => {
                    "That is the key of an instance, for an identity provider. The console needs an admin token; those begin with scg_a_."
                }
                _ => {
                    "That token was not accepted. It is what SCIMGATE_ADMIN_TOKEN was set to; where it was not set, the one that the first start printed, which begins with scg_a_; or one that an Owner made for you."
                }
            };
            page(&app, &headers, &to, None, Some(words), StatusCode::UNPROCESSABLE_ENTITY)
        }
        Err(error) => {
            tracing::error!(%error, "a sign-in met trouble of the store");
            let words = "The database does not answer. Try again in a moment.";
            page(&app, &headers, &to, None, Some(words), StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

/// Ends the session.
pub(super) async fn sign_out(visit: Visit) -> Result<Response, super::trouble::Trouble> {
    visit.app.end_session(&visit.who, &visit.session).await?;
    let mut response = see("/console/sign-in?ended=out");
    if let Some(cookie) = set_cookie(&visit.app, "") {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Chooses the colours.
pub(super) async fn theme(visit: Visit, sent: Sent) -> Response {
    let chosen = Theme::ALL.into_iter().find(|theme| theme.as_str() == sent.text("theme")).unwrap_or_default();
    let mut response = see(&back(sent.text("back")));
    let secure = if is_secure(&visit.app) { "; Secure" } else { "" };
    let age = if chosen == Theme::System { 0 } else { 365 * 24 * 3_600 };
    let text =
        format!("{}={}; Path=/console; Max-Age={age}; HttpOnly; SameSite=Lax{secure}", Theme::COOKIE, chosen.as_str());
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_with_failures_and_end() {
        let (attempts, from) = (Attempts::default(), IpAddr::from([192, 0, 2, 1]));
        let mut waits = Vec::new();
        let mut now = 1_000_000;
        for _ in 0..12 {
            attempts.failed(from, now);
            waits.push(attempts.wait(from, now));
            now += waits.last().unwrap();
            assert_eq!(attempts.wait(from, now), 0);
        }
        assert_eq!(waits, [0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900, 900]);
        assert_eq!(attempts.wait(IpAddr::from([192, 0, 2, 2]), now), 0, "another address");
        attempts.failed(from, now + 3_600);
        assert_eq!(attempts.wait(from, now + 3_600), 0, "an old failure is forgotten");
        attempts.succeeded(from);
        let (a, b): (IpAddr, IpAddr) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        (0..5).for_each(|_| attempts.failed(a, now));
        assert_eq!(attempts.wait(b, now), 30, "a network of IPv6 is one");
    }
}
