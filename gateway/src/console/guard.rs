//! What stands before every page: the session, the checks of forms, and what every answer has.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{OriginalUri, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use maud::html;
use subtle::ConstantTimeEq;
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::form::{CSRF, Sent};
use super::layout::{Frame, Page, gate, lead_on};
use super::session;
use super::trouble::Trouble;
use super::visit::{self, Seen, Theme, Visit, see};
use crate::scim_api::{REQUEST_ID, method_label, request_id, status_label};
use crate::service::App;
use crate::service::members::Role;
use crate::telemetry::names;

/// Largest form: a manifest in a text field is the largest thing that is sent.
const MAX_BODY: usize = 4 << 20;
/// Largest form of who has no session yet: a token and where to go.
const MAX_SIGN_IN: usize = 16 << 10;
/// How long a client may take to send it.
const BODY_TIME: Duration = Duration::from_secs(30);

/// What pages may load: our own files. Nothing inline, no frames, forms to ourselves only.
const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; object-src 'none'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Headers of every answer of the console.
const HEADERS: [(&str, &str); 7] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
];

/// Lets in who has a session, and draws what handlers answered.
pub(super) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = app.clock.now();
    let id = request_id(request.headers());
    let method = method_label(request.method());
    let reference = id.to_str().unwrap_or_default().to_owned();
    let mut response = answer(&app, request, next, &reference).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if session::is_secure(&app) {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(REQUEST_ID, id);
    metrics::counter!(names::HTTP_REQUESTS_TOTAL, "surface" => "console", "method" => method, "status" => status_label(response.status().as_u16())).increment(1);
    metrics::histogram!(names::HTTP_REQUEST_SECONDS, "surface" => "console")
        .record(app.clock.now().duration_since(started).as_secs_f64());
    response
}

async fn answer(app: &Arc<App>, request: Request, next: Next, reference: &str) -> Response {
    // The path below the prefix, as the routes have it.
    let path = request.uri().path().to_owned();
    if path.starts_with("/assets/") {
        return next.run(request).await;
    }
    let theme = Theme::of(request.headers());
    let safe = request.method().is_safe();
    if !safe && !is_ours(app, request.headers()) {
        return bare(
            theme,
            &Trouble::new(
                StatusCode::FORBIDDEN,
                "This form came from another site",
                "Nothing was changed. Open the console itself and try again there. If this is the console: its public URL in the \
             configuration is not the address in your browser.",
            ),
            reference,
        );
    }
    if path == "/sign-in" || path.starts_with("/sign-in/") || path.starts_with(super::handover::GUEST) {
        return match body(request, MAX_SIGN_IN).await {
            Ok((request, _)) => caught(next, request, reference).await,
            Err(trouble) => bare(theme, &trouble, reference),
        };
    }
    // Before the form is read: a stranger's is not waited for, nor kept in memory.
    // Where a form is sent to may show no page: one goes back to where the form was.
    let here = if safe { whole_path(&request) } else { came_from(request.headers()) };
    let visit = match visit(app, request.headers().clone(), here, theme).await {
        Ok(Some(visit)) => visit,
        Ok(None) => return unsigned(&request),
        Err(trouble) => return bare(theme, &trouble, reference),
    };
    let (request, sent) = match body(request, MAX_BODY).await {
        Ok(read) => read,
        Err(trouble) => return bare(theme, &trouble, reference),
    };
    let checked = match sent {
        Some(sent) => check(&visit, &path, &sent),
        None => Ok(()),
    };
    let mut request = request;
    request.extensions_mut().insert(visit.clone());
    let mut response = match checked {
        Ok(()) => caught(next, request, reference).await,
        Err(trouble) => trouble.into_response(),
    };
    let page = match (response.extensions_mut().remove::<Page>(), response.extensions_mut().remove::<Trouble>()) {
        (Some(page), _) => page,
        (None, Some(trouble)) => Page::from_trouble(&trouble, reference),
        (None, None) => return response,
    };
    let mut drawn = match Frame::read(&visit).await {
        Ok(frame) => page.draw(&visit, &frame),
        Err(error) => bare(theme, &error.into(), reference),
    };
    if visit.note.is_some() {
        let gone = format!("{}=; Path=/console; Max-Age=0; HttpOnly; SameSite=Strict", Visit::NOTE);
        if let Ok(gone) = HeaderValue::from_str(&gone) {
            drawn.headers_mut().append(header::SET_COOKIE, gone);
        }
    }
    drawn
}

/// The handler's answer; a panic becomes a page.
async fn caught(next: Next, request: Request, reference: &str) -> Response {
    AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(request_id = %reference, "a page of the console made the gateway panic");
        Trouble::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The gateway made a mistake",
            "It is in its log under the reference below. Nothing that was acknowledged before is lost.",
        )
        .into_response()
    })
}

/// Whose visit it is, if there is a session.
async fn visit(app: &Arc<App>, headers: HeaderMap, here: String, theme: Theme) -> Result<Option<Visit>, Trouble> {
    let Some(text) = session::presented(app, &headers) else { return Ok(None) };
    // What the page's script asks for by itself does not keep a session alive.
    let used = !headers.contains_key("x-live");
    let Some(who) = app.session(&text, used).await? else { return Ok(None) };
    let token = app.form_token(&text);
    let note = if used { visit::note(&headers, &token) } else { None };
    Ok(Some(Visit::new(Seen {
        app: Arc::clone(app),
        who,
        now: app.clock.now(),
        theme,
        here,
        token,
        session: text,
        note,
    })))
}

fn whole_path(request: &Request) -> String {
    let uri = request.extensions().get::<OriginalUri>().map_or(request.uri(), |OriginalUri(uri)| uri);
    uri.path_and_query().map_or("/console", |path| path.as_str()).to_owned()
}

/// The page of ours that a form was sent from; Home if the browser does not tell.
fn came_from(headers: &HeaderMap) -> String {
    let referer = headers.get(header::REFERER).and_then(|value| value.to_str().ok());
    let from = referer.and_then(|text| Url::parse(text).ok());
    from.map_or_else(
        || "/console".to_owned(),
        |url| {
            let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
            visit::back(&format!("{}{query}", url.path()))
        },
    )
}

/// Sends who has no session to where one begins. A browser withholds the cookie from a link of another site, so the first
/// such page leads on to itself.
fn unsigned(request: &Request) -> Response {
    let headers = request.headers();
    let here = visit::back(&whole_path(request));
    if request.method() != Method::GET {
        return see("/console/sign-in?ended=1");
    }
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site") {
        return lead_on(&here);
    }
    let next: String = byte_serialize(here.as_bytes()).collect();
    see(&format!("/console/sign-in?next={next}"))
}

/// Whether a form was sent by a page of ours, as the browser tells it. Programs tell neither, and have no session of a
/// person that could be abused.
fn is_ours(app: &App, headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Some(origin) = origin.to_str().ok().and_then(|text| Url::parse(text).ok()) else { return false };
    let public = Url::parse(&app.config.public_url_at(app.config.listen)).ok();
    if public.is_some_and(|public| public.origin() == origin.origin()) {
        return true;
    }
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    host.and_then(|host| Url::parse(&format!("{}://{host}", origin.scheme())).ok())
        .is_some_and(|here| here.origin() == origin.origin())
}

/// Reads a form of at most `most` bytes, if the request is one.
async fn body(request: Request, most: usize) -> Result<(Request, Option<Sent>), Trouble> {
    if request.method().is_safe() {
        return Ok((request, None));
    }
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Trouble::form("The console takes forms only. Programs use the admin API, under /admin/v1."));
    }
    let (parts, body) = request.into_parts();
    let bytes: Bytes = match tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, most)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            return Err(Trouble::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "That was too much",
                format!("This form may hold {} KiB. Nothing was changed.", most >> 10),
            ));
        }
        Err(_) => return Err(Trouble::form("The form did not arrive in time. Nothing was changed; send it again.")),
    };
    let sent = Sent::parse(&bytes);
    let mut request = Request::from_parts(parts, axum::body::Body::from(bytes));
    request.extensions_mut().insert(sent.clone());
    Ok((request, Some(sent)))
}

/// Whether a form may be acted on: it is of this session, and whoever sent it may change things. Their own session and
/// theme are anybody's.
fn check(visit: &Visit, path: &str, sent: &Sent) -> Result<(), Trouble> {
    let right: bool = sent.raw(CSRF).as_bytes().ct_eq(visit.token.as_bytes()).into();
    if !right {
        return Err(Trouble::new(
            StatusCode::FORBIDDEN,
            "This form is out of date",
            "Nothing was changed. The session has changed since the page was loaded: go back, reload the page, and send it again.",
        ));
    }
    if path == "/sign-out" || path == "/theme" { Ok(()) } else { visit.require(Role::Admin) }
}

/// Trouble without a frame: who looks is not known, or the store does not answer.
fn bare(theme: Theme, trouble: &Trouble, reference: &str) -> Response {
    gate(
        trouble.status,
        &trouble.title,
        theme,
        &html! {
            div.card {
                h1 { (trouble.title) }
                p { (trouble.text) }
                p.muted.small { "Reference " span.mono { (reference) } }
                p { a href="/console" { "Go to Home" } }
            }
        },
    )
}
