//! Signing in through a provider (OpenID Connect): the way there, the way back, and a page for each way that it can fail.
//!
//! The way there begins with a link: the policy of the pages lets forms go to ourselves only, redirections included. Back
//! comes a navigation from another site, so the cookie of a sign-in under way is `SameSite=Lax`; the session's own is
//! `Strict` and would be withheld from a redirection, so the answer is a page that leads on.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use maud::{Markup, html};
use secrecy::ExposeSecret;
use url::form_urlencoded::{byte_serialize, parse};

use super::layout::{gate, lead_on, mark};
use super::session;
use super::text::name;
use super::visit::{Theme, back, cookie, see};
use crate::service::App;
use crate::service::oidc::{Answer, PATIENCE, Refusal};
use crate::telemetry::names;

/// Where the way there begins.
const BEGIN: &str = "/console/sign-in/provider";

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/sign-in/provider", get(begin)).route("/sign-in/provider/answer", get(finish))
}

fn begin_link(to: &str, choose: bool) -> String {
    let to: String = byte_serialize(to.as_bytes()).collect();
    format!("{BEGIN}?next={to}{}", if choose { "&choose=1" } else { "" })
}

/// The button of the page that asks for the token; nothing where no provider is set up.
pub(super) fn button(app: &App, to: &str) -> Markup {
    html! {
        @if let Some(oidc) = &app.oidc {
            a.btn.main href=(begin_link(to, false)) { "Continue with " (name(oidc.name())) }
            p.muted.small { "Or sign in with a token:" }
        }
    }
}

fn cookie_name(app: &App) -> &'static str {
    if session::is_secure(app) { "__Host-scimgate_sign_in" } else { "scimgate_sign_in_plain_http" }
}

/// `Set-Cookie` for a sign-in under way; an empty text takes it away.
fn keep(app: &App, text: &str, response: &mut Response) {
    let secure = if session::is_secure(app) { "; Secure" } else { "" };
    let age = if text.is_empty() { 0 } else { PATIENCE.as_secs() };
    let cookie = format!("{}={text}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}", cookie_name(app));
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// A field of the query. One that is there twice is none (RFC 6749 section 3.1).
fn field(uri: &Uri, wanted: &str) -> Option<String> {
    let mut found = parse(uri.query().unwrap_or_default().as_bytes()).filter(|(key, _)| key == wanted);
    let value = found.next()?.1.into_owned();
    found.next().is_none().then_some(value).filter(|value| !value.is_empty())
}

/// Sends the browser to the provider.
async fn begin(State(app): State<Arc<App>>, uri: Uri, headers: HeaderMap) -> Response {
    let to = back(&field(&uri, "next").unwrap_or_default());
    match app.begin_sign_in(&to, field(&uri, "choose").is_some()).await {
        Ok(begun) => {
            let mut response = see(begun.url.as_str());
            keep(&app, begun.cookie.expose_secret(), &mut response);
            response
        }
        Err(refusal) => refused(&app, &headers, &refusal, &to),
    }
}

/// Takes what the provider sent the browser back with.
async fn finish(State(app): State<Arc<App>>, uri: Uri, headers: HeaderMap) -> Response {
    let answer = Answer {
        state: field(&uri, "state").unwrap_or_default(),
        code: field(&uri, "code"),
        error: field(&uri, "error"),
        issuer: field(&uri, "iss"),
    };
    let finished = app.finish_sign_in(&answer, cookie(&headers, cookie_name(&app))).await;
    let to = back(&finished.to);
    let begun = match finished.who {
        Ok(who) => app.begin_session(&who, "provider").await.map_err(Refusal::Store),
        Err(refusal) => Err(refusal),
    };
    let mut response = match begun {
        Ok(session) => session::grant(&app, &session, lead_on(&to)),
        Err(refusal) => {
            metrics::counter!(names::REJECTED_REQUESTS_TOTAL, "reason" => "console_provider").increment(1);
            refused(&app, &headers, &refusal, &to)
        }
    };
    // Whatever came of it, this sign-in is over.
    keep(&app, "", &mut response);
    response
}

/// What a page says of a sign-in that failed.
struct Words {
    status: StatusCode,
    title: String,
    text: Markup,
    /// Whether another account may fare better.
    other: bool,
}

fn words(refusal: &Refusal, provider: &str) -> Words {
    let new = |status, title: &str, text: Markup| Words { status, title: title.to_owned(), text, other: false };
    let as_whom = |email: &Option<String>| html! { @if let Some(email) = email { " as " strong { (name(email)) } } };
    let provider = name(provider);
    match refusal {
        Refusal::Expired => new(
            StatusCode::BAD_REQUEST,
            "This sign-in is over",
            html! { p { "It was begun in another browser or tab, more than 15 minutes ago, or it has ended already. Begin again." } },
        ),
        Refusal::Busy => new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Many people sign in at the moment",
            html! { p { "Try again in a few seconds." } },
        ),
        Refusal::Denied(_) => Words {
            other: true,
            ..new(
                StatusCode::FORBIDDEN,
                "The sign-in was refused",
                html! { p { (provider) " did not let you in, or you cancelled. If you should have access, ask who runs " (provider) " to assign this application to you." } },
            )
        },
        Refusal::Unavailable(_) => new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The sign-in provider does not answer",
            html! { p { (provider) " could not be reached. Try again in a moment. Sign-in with a token works meanwhile; the gateway's log has the reason." } },
        ),
        Refusal::Settings(_) => new(
            StatusCode::BAD_GATEWAY,
            "Sign-in is not set up as it should be",
            html! { p { "The gateway and " (provider) " do not agree about their settings. Who runs this gateway finds the reason in its log; \u{201c}Sign-in\u{201d} in the docs has a list of them. Sign-in with a token works meanwhile." } },
        ),
        Refusal::Untrusted(_) => new(
            StatusCode::BAD_GATEWAY,
            "The provider's answer could not be trusted",
            html! { p { "What came back from " (provider) " did not pass the checks, so nobody was signed in. Begin again; if it happens again, who runs this gateway finds the reason in its log." } },
        ),
        Refusal::NotVerified(email) => Words {
            other: true,
            ..new(
                StatusCode::FORBIDDEN,
                "You are not a member, or your address is not verified",
                html! {
                    p { "You are signed in at " (provider) (as_whom(email)) ". " (provider) " does not say that this address is verified, so an invitation to it cannot be used." }
                    p { "Have the address verified there, or ask an Owner of this gateway for a token." }
                },
            )
        },
        Refusal::Stranger(email) => Words {
            other: true,
            ..new(
                StatusCode::FORBIDDEN,
                "You are not a member here",
                html! {
                    p { "You are signed in at " (provider) (as_whom(email)) ", and nobody has given this account access to the gateway." }
                    p { "Ask an Owner to invite that address, under Settings, Members. An invitation holds for 14 days." }
                },
            )
        },
        Refusal::Removed => Words {
            other: true,
            ..new(
                StatusCode::FORBIDDEN,
                "Your access was taken away",
                html! { p { "An Owner of this gateway removed you. Ask them to invite your address if that should not be so." } },
            )
        },
        Refusal::Ended => Words {
            other: true,
            ..new(
                StatusCode::FORBIDDEN,
                "Your access has ended",
                html! { p { "It was given until a date that is over. Ask an Owner of this gateway to invite you anew." } },
            )
        },
        Refusal::Store(_) => new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The database does not answer",
            html! { p { "Nothing was lost. Try again in a moment." } },
        ),
    }
}

fn refused(app: &App, headers: &HeaderMap, refusal: &Refusal, to: &str) -> Response {
    let provider = app.oidc.as_ref().map_or("the provider", |oidc| oidc.name());
    let words = words(refusal, provider);
    gate(
        words.status,
        &format!("Error: {}", words.title),
        Theme::of(headers),
        &html! {
            div.card {
                div.inline { span.brand { (mark()) "scimgate" } }
                h1 { (words.title) }
                (words.text)
                @if app.oidc.is_some() {
                    a.btn.main href=(begin_link(to, words.other)) { @if words.other { "Use another account" } @else { "Try again" } }
                }
                p { a href="/console/sign-in" { "Sign in with a token" } }
            }
        },
    )
}
