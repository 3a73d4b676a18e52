//! The SCIM side: `/i/{instance}/scim/v2`.
//!
//! One handler takes every path below `/i/` and reads it itself: what decides who may go where and
//! what decides where it goes are the same code, so no spelling of a path gets past the key
//! (CVE-2026-32130 was a path that the router read one way and the guard another).

mod answer;
mod body;
mod bulk;
mod condition;
mod dialect;
mod discovery;
mod events;
mod fields;
mod me;
mod path;
mod query;
mod references;
mod render;
mod resources;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::routing::any;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use scim::quirks::extra_slashes;
use scim::{Quirks, ScimError};
use uuid::Uuid;

use crate::auth::{self, Denied, Principal};
use crate::inbound::Standing;
use crate::service::keys::Scope;
use crate::service::types::{Caller, Failure, Instance, Mode};
use crate::service::{App, records};
use crate::telemetry::names;

use answer::Refusal;
pub use render::SYNC_URN;

/// The header that carries a request's id, in and out.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Seconds after which a client of a disabled instance should come back (DECISIONS 15).
const DISABLED_RETRY: u32 = 300;

/// The routes of the SCIM side. It has no fallback of its own; what is not below `/i/` is not its.
pub fn router(app: Arc<App>) -> Router {
    Router::new().route("/i", any(handle)).route("/i/", any(handle)).route("/i/{*rest}", any(handle)).with_state(app)
}

/// The id of a request: the client's, if it is a plain short word, else a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let plain = |value: &&HeaderValue| {
        !value.is_empty()
            && value.len() <= 128
            && value.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte))
    };
    headers.get(REQUEST_ID).filter(plain).cloned().unwrap_or_else(|| {
        let id = Uuid::new_v4().simple().to_string();
        HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("none"))
    })
}

/// A method as a metric's label: clients can send any word.
pub(crate) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

async fn handle(State(app): State<Arc<App>>, request: Request) -> Response {
    let started = app.clock.now();
    let method = request.method().clone();
    let id = request_id(request.headers());
    let plain = answer::wants_plain_json(request.headers(), &mut Quirks::default());
    let path = request.uri().path().to_owned();
    let mut known = Known::default();
    let (work, shape) = body::SHAPE
        .scope(RefCell::default(), async {
            let work = AssertUnwindSafe(serve(&app, request, &id, &mut known)).catch_unwind().await;
            (work, body::SHAPE.with(RefCell::take))
        })
        .await;
    let Known { standing, asker } = known;
    let outcome = work.unwrap_or_else(|_| {
        tracing::error!(request_id = ?id, "a request made the gateway panic");
        Err(Refusal::from(ScimError::internal(
            "The gateway made a mistake; it is in its log under the id in x-request-id.",
        )))
    });
    if let (Err(refusal), Some((instance, key_id))) = (&outcome, asker) {
        record_refusal(&app, refusal, &instance, key_id, (&method, &path, &id), shape);
    }
    let mut response = match outcome {
        Ok(answer) => answer.into_response(plain),
        Err(refusal) => refusal.into_response(plain),
    };
    if method == Method::HEAD {
        response = answer::without_body(response);
    }
    let headers = response.headers_mut();
    if let Some(standing) = standing {
        answer::tell_limits(headers, &standing);
    }
    headers.insert(REQUEST_ID, id);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let label = method_label(&method);
    metrics::counter!(names::HTTP_REQUESTS_TOTAL, "surface" => "scim", "method" => label, "status" => status_label(response.status().as_u16())).increment(1);
    metrics::histogram!(names::HTTP_REQUEST_SECONDS, "surface" => "scim")
        .record(app.clock.now().duration_since(started).as_secs_f64());
    response
}

/// What became known of a request before it was answered.
#[derive(Default)]
struct Known {
    /// Where its key stands.
    standing: Option<Standing>,
    /// Whose key it is, and which.
    asker: Option<(Arc<Instance>, String)>,
}

/// Puts the refusal of a known client's request on record.
fn record_refusal(
    app: &Arc<App>,
    refusal: &Refusal,
    instance: &Instance,
    key_id: String,
    (method, path, id): (&Method, &str, &HeaderValue),
    shape: Option<String>,
) {
    let error = refusal.error();
    if !(400..500).contains(&error.status) {
        return;
    }
    // Below a base URL that was given twice, the rest would look as it should: then the whole path says what was asked.
    let base = format!("/i/{}/scim/v2", instance.id);
    let below = path.strip_prefix(base.as_str()).filter(|rest| !rest.contains("/scim/v2")).unwrap_or(path);
    app.refusals.push(
        &app.store,
        records::Refusal {
            instance_seq: instance.seq,
            key_id,
            method: method_label(method),
            path: below.to_owned(),
            status: error.status,
            scim_type: error.scim_type.map(|kind| kind.as_str().to_owned()),
            detail: error.detail.clone(),
            request_id: id.to_str().ok().map(str::to_owned),
            shape,
            at: app.clock.micros(),
        },
    );
}

/// Puts a call on record that no key let in, for whoever sets the identity provider up.
fn record_stranger(app: &App, denied: &Denied, instance: &str, parts: &http::request::Parts, id: &HeaderValue) {
    let (sent, status) = match denied {
        Denied::Absent => (records::Kept::Nothing, 401),
        Denied::Wrong => (auth::meant(&parts.headers), 401),
        Denied::Twice | Denied::Malformed => (records::Kept::NoKey, 400),
        Denied::Store(_) => return,
    };
    let from = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    app.refusals.push_stranger(
        &app.store,
        records::Stranger {
            instance: instance.chars().take(80).collect(),
            sent,
            method: method_label(&parts.method),
            status,
            from,
            request_id: id.to_str().ok().map(str::to_owned),
            at: app.clock.micros(),
        },
    );
}

/// A status as a label, without an allocation for the common ones.
pub(crate) fn status_label(status: u16) -> std::borrow::Cow<'static, str> {
    match status {
        200 => "200".into(),
        201 => "201".into(),
        204 => "204".into(),
        304 => "304".into(),
        400 => "400".into(),
        401 => "401".into(),
        404 => "404".into(),
        409 => "409".into(),
        429 => "429".into(),
        503 => "503".into(),
        other => other.to_string().into(),
    }
}

/// One request, authenticated.
struct Asked<'a> {
    app: &'a Arc<App>,
    who: Principal,
    method: Method,
    headers: HeaderMap,
    query: Vec<(String, String)>,
    request_id: &'a HeaderValue,
    /// What the instance allows, with what the head of the request used of it.
    quirks: Quirks,
}

impl Asked<'_> {
    fn base_url(&self) -> String {
        self.app.scim_base_url(&self.who.instance.id)
    }

    fn caller(&self) -> Caller {
        Caller {
            actor: format!("key:{}", self.who.key_id),
            request_id: self.request_id.to_str().ok().map(str::to_owned),
            wait_until: None,
            later: None,
            spoken: self.spoken(),
            own: self.who.person.is_some(),
        }
    }

    fn is_get(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }
}

async fn serve(
    app: &Arc<App>,
    request: Request,
    id: &HeaderValue,
    known: &mut Known,
) -> Result<answer::Answer, Refusal> {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    // Tokens in URLs end up in logs: such a one is not taken, and beside another it is refused
    // (RFC 6750 sections 2.3 and 3.1).
    if parts.headers.contains_key(header::AUTHORIZATION)
        && query.contains("access_token")
        && path::query(query, &mut Quirks::lenient())
            .is_ok_and(|pairs| pairs.iter().any(|(name, _)| name == "access_token"))
    {
        return Err(denied_to(Denied::Twice));
    }
    let route = path::segments(parts.uri.path());
    // The first segment is `i`, or we would not be here; without a second one there is no instance.
    let instance = route.get(1).and_then(Option::as_deref).unwrap_or_default();
    let who = match auth::scim(app, &parts.headers, instance).await {
        Ok(who) => who,
        Err(denied) => {
            metrics::counter!(names::REJECTED_REQUESTS_TOTAL, "reason" => "credentials").increment(1);
            record_stranger(app, &denied, instance, &parts, id);
            return Err(denied_to(denied));
        }
    };
    known.asker = Some((Arc::clone(&who.instance), who.key_id.clone()));
    known.standing = app.inbound.count(&who.key_id, who.rate_limit);
    if let Some(seconds) = known.standing.and_then(|standing| standing.retry_in) {
        metrics::counter!(names::REJECTED_REQUESTS_TOTAL, "reason" => "rate").increment(1);
        return Err(answer::too_many(seconds));
    }
    if who.instance.mode == Mode::Disabled {
        let error = ScimError::unavailable(
            "This integration instance is switched off in scimgate. An admin can enable or pause it there; nothing was changed.",
        );
        return Err(Refusal::from(error).retry_after(DISABLED_RETRY));
    }
    let mut quirks = who.instance.policy.quirks();
    dialect::form_allowed(who.form, &mut quirks)?;
    if !extra_slashes::allow(parts.uri.path(), &mut quirks) {
        return Err(no_endpoint());
    }
    let segments: Option<Vec<&str>> = route.iter().map(Option::as_deref).collect();
    let segments = segments.ok_or_else(no_endpoint)?;
    let of = Arc::clone(&who.instance);
    let rest = path::endpoint(&segments, &of.registry, &mut quirks).ok_or_else(no_endpoint)?;
    let searches = rest.last().is_some_and(|last| last.eq_ignore_ascii_case(".search"));
    let options = parts.method == Method::OPTIONS;
    let reads = parts.method == Method::GET
        || parts.method == Method::HEAD
        || options
        || (parts.method == Method::POST && searches);
    let beyond = match who.scope {
        Scope::Full => None,
        Scope::Read if reads => None,
        Scope::Read => Some("This key may only read (scope scim:read). Make a key with the scope scim for writes."),
        Scope::Me if rest.first().is_some_and(|word| for_persons(word)) => None,
        Scope::Me => Some("This key belongs to a person (scope me): it opens /Me and nothing else."),
        Scope::Events => Some("This key may only poll security events (scope scim:events)."),
    };
    if let [word, _] = rest.as_slice()
        && word.eq_ignore_ascii_case(events::ENDPOINT)
    {
        events::may_poll(&who)?;
    } else if let Some(words) = beyond {
        return Err(Refusal::from(ScimError::forbidden(words))
            .challenge("Bearer realm=\"scimgate\", error=\"insufficient_scope\", scope=\"scim\""));
    }
    answer::wants_plain_json(&parts.headers, &mut quirks);
    let query = path::query(query, &mut quirks)?;
    let asked = Asked { app, who, method: parts.method, headers: parts.headers, query, request_id: id, quirks };
    asked.learn_head();
    match dispatch(asked, body, &rest).await {
        // What OPTIONS asks is what a wrong verb is told.
        Err(refusal) if options => refusal.allowed().map_or_else(Err, Ok),
        other => other,
    }
}

/// What the key of a person opens besides `/Me`: what the instance says of itself.
fn for_persons(word: &str) -> bool {
    ["Me", "ServiceProviderConfig", "ResourceTypes", "Schemas"].iter().any(|name| name.eq_ignore_ascii_case(word))
}

async fn dispatch(asked: Asked<'_>, body: Body, rest: &[&str]) -> Result<answer::Answer, Refusal> {
    let is = |word: &str, name: &str| word.eq_ignore_ascii_case(name);
    let get = asked.is_get();
    let post = asked.method == Method::POST;
    match rest {
        [] if get => query::list_all(asked).await,
        [] => Err(wrong_verb("GET, HEAD")),
        [word] if is(word, ".search") && post => query::search_all(asked, body).await,
        [word] if is(word, ".search") => Err(wrong_verb("POST")),
        [word] if is(word, "me") => me::serve(asked, body).await,
        [word] if is(word, "bulk") && post => bulk::serve(asked, body).await,
        [word] if is(word, "bulk") => Err(wrong_verb("POST")),
        [word, which @ ..] if is(word, "ServiceProviderConfig") && which.is_empty() => {
            discovery::guard(&asked, get)?;
            discovery::config(&asked).await
        }
        [word, which @ ..] if is(word, "ResourceTypes") && which.len() <= 1 => {
            discovery::guard(&asked, get)?;
            discovery::resource_types(&asked, which.first().copied())
        }
        [word, which @ ..] if is(word, "Schemas") && which.len() <= 1 => {
            discovery::guard(&asked, get)?;
            discovery::schemas(&asked, which.first().copied())
        }
        [word, stream] if is(word, events::ENDPOINT) && post => events::poll(asked, body, stream).await,
        [word, _] if is(word, events::ENDPOINT) => Err(wrong_verb("POST")),
        [endpoint, which @ ..] if which.len() <= 1 => {
            let instance = Arc::clone(&asked.who.instance);
            let Some(rt) = instance.registry.by_endpoint(endpoint) else { return Err(no_endpoint()) };
            match which.first().copied() {
                None if get => query::list(asked, rt).await,
                None if post => resources::create(asked, body, rt).await,
                None => Err(wrong_verb("GET, HEAD, POST")),
                Some(word) if is(word, ".search") && post => query::search(asked, body, rt).await,
                Some(word) if is(word, ".search") => Err(wrong_verb("POST")),
                Some(id) => match asked.method {
                    Method::GET | Method::HEAD => resources::read(asked, rt, id).await,
                    Method::PUT => resources::replace(asked, body, rt, id).await,
                    Method::PATCH => resources::patch(asked, body, rt, id).await,
                    Method::DELETE => resources::delete(asked, rt, id).await,
                    _ => Err(wrong_verb("GET, HEAD, PUT, PATCH, DELETE")),
                },
            }
        }
        _ => Err(no_endpoint()),
    }
}

fn no_endpoint() -> Refusal {
    ScimError::not_found(
        "There is no such SCIM endpoint. Those there are stand in /ResourceTypes; the base URL ends in /scim/v2.",
    )
    .into()
}

fn wrong_verb(allow: &'static str) -> Refusal {
    Refusal::from(ScimError::method_not_allowed(format!("This endpoint takes {allow}."))).header(
        header::ALLOW,
        HeaderValue::try_from(format!("{allow}, OPTIONS")).unwrap_or_else(|_| HeaderValue::from_static(allow)),
    )
}

fn denied_to(denied: Denied) -> Refusal {
    match denied {
        Denied::Absent => Refusal::from(ScimError::unauthorized(
            "Send a key of this instance in the Authorization header, as a bearer token.",
        ))
        .challenge("Bearer realm=\"scimgate\""),
        Denied::Wrong => Refusal::from(ScimError::unauthorized(
            "The key is not valid for this URL. Check both in the identity provider; an admin can make a new key.",
        ))
        .challenge("Bearer realm=\"scimgate\", error=\"invalid_token\""),
        Denied::Twice => {
            let error = ScimError {
                status: 400,
                scim_type: None,
                detail: "The request carries credentials more than once. Send one Authorization header, and no token in the URL.".to_owned(),
            };
            Refusal::from(error).challenge("Bearer realm=\"scimgate\", error=\"invalid_request\"")
        }
        Denied::Malformed => {
            let detail = "What follows Bearer in the Authorization header is not one token.".to_owned();
            Refusal::from(ScimError { status: 400, scim_type: None, detail })
                .challenge("Bearer realm=\"scimgate\", error=\"invalid_request\"")
        }
        Denied::Store(error) => Refusal::from(Failure::Store(error)),
    }
}
