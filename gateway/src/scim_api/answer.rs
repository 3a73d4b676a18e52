//! Answers and refusals as HTTP.

use axum::body::{Body, HttpBody};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use scim::quirks::accept_json;
use scim::{Quirks, ScimError};
use serde_json::Value;

use crate::inbound::Standing;
use crate::service::types::Failure;
use crate::store::StoreError;

const SCIM_JSON: HeaderValue = HeaderValue::from_static("application/scim+json");
const PLAIN_JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Seconds after which a client should come back when the store has trouble.
const STORE_RETRY: u32 = 5;

/// What an answer holds: a tree, or JSON text that may be sent as it comes to be.
pub(super) enum Content {
    Tree(Value),
    Text(Body),
}

impl From<Value> for Content {
    fn from(tree: Value) -> Self {
        Self::Tree(tree)
    }
}

impl From<Body> for Content {
    fn from(text: Body) -> Self {
        Self::Text(text)
    }
}

/// A good answer.
pub(super) struct Answer {
    status: StatusCode,
    body: Option<Content>,
    /// Whether the body is no SCIM message, so that its type is `application/json` whatever is asked for.
    plain: bool,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    pub(super) fn ok(body: impl Into<Content>) -> Self {
        Self { status: StatusCode::OK, body: Some(body.into()), plain: false, headers: Vec::new() }
    }

    pub(super) fn created(body: impl Into<Content>) -> Self {
        Self { status: StatusCode::CREATED, ..Self::ok(body) }
    }

    pub(super) fn empty() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None, plain: false, headers: Vec::new() }
    }

    /// An answer that is no SCIM message.
    pub(super) fn json(body: Value) -> Self {
        Self { plain: true, ..Self::ok(body) }
    }

    /// 202 without a body.
    pub(super) fn accepted() -> Self {
        Self { status: StatusCode::ACCEPTED, ..Self::empty() }
    }

    pub(super) fn not_modified() -> Self {
        Self { status: StatusCode::NOT_MODIFIED, ..Self::empty() }
    }

    /// Sets a header; a value that cannot be one is left out.
    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.retain(|(known, _)| *known != name);
            self.headers.push((name, value));
        }
        self
    }

    pub(super) fn into_response(self, plain: bool) -> Response {
        let mut response = match self.body {
            None => Response::new(Body::empty()),
            Some(Content::Tree(tree)) => json_response(&tree, plain || self.plain),
            Some(Content::Text(text)) => text_response(text, plain || self.plain),
        };
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}

/// A refusal.
pub(super) struct Refusal {
    error: ScimError,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// What the client is told.
    pub(super) fn error(&self) -> &ScimError {
        &self.error
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn challenge(self, value: &'static str) -> Self {
        self.header(header::WWW_AUTHENTICATE, HeaderValue::from_static(value))
    }

    pub(super) fn retry_after(self, seconds: u32) -> Self {
        self.header(header::RETRY_AFTER, seconds.into())
    }

    /// What OPTIONS is answered, from what a wrong verb is told; any other refusal stays one.
    pub(super) fn allowed(mut self) -> Result<Answer, Self> {
        let allow = self.headers.iter().position(|(name, _)| *name == header::ALLOW);
        match allow.filter(|_| self.error.status == 405) {
            Some(at) => Ok(Answer { headers: vec![self.headers.swap_remove(at)], ..Answer::empty() }),
            None => Err(self),
        }
    }

    pub(super) fn into_response(mut self, plain: bool) -> Response {
        // Who is sent away for a while is told for how long, whoever did it.
        if matches!(self.error.status, 429 | 503) && !self.headers.iter().any(|(name, _)| *name == header::RETRY_AFTER)
        {
            self = self.retry_after(STORE_RETRY);
        }
        let mut response = json_response(&self.error.to_json(), plain);
        *response.status_mut() = StatusCode::from_u16(self.error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<ScimError> for Refusal {
    fn from(error: ScimError) -> Self {
        Self { error, headers: Vec::new() }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Scim(error) => Self::from(error),
            Failure::Store(error) => {
                tracing::error!(%error, "a SCIM request met trouble of the store");
                Self::from(ScimError::unavailable(
                    "scimgate cannot reach its database at the moment. Nothing was lost; try again.",
                ))
            }
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::from(Failure::Store(error))
    }
}

fn json_response(body: &Value, plain: bool) -> Response {
    // A tree of JSON values always serializes.
    text_response(Body::from(serde_json::to_vec(body).unwrap_or_default()), plain)
}

fn text_response(body: Body, plain: bool) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, if plain { PLAIN_JSON } else { SCIM_JSON });
    response
}

/// A request over its key's limit.
pub(super) fn too_many(retry_in: u64) -> Refusal {
    let detail = format!("This key has sent more requests than it may. Go on in {retry_in} s; nothing was changed.");
    Refusal::from(ScimError { status: 429, scim_type: None, detail })
        .retry_after(u32::try_from(retry_in).unwrap_or(u32::MAX))
}

/// Tells where a key stands: by the fields of draft-ietf-httpapi-ratelimit-headers, and by the names
/// that SailPoint's client reads.
pub(super) fn tell_limits(headers: &mut HeaderMap, standing: &Standing) {
    let mut tell = |name: &'static str, text: String| {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    tell("ratelimit-policy", format!("\"key\";q={};w={}", standing.limit, standing.window));
    tell("ratelimit", format!("\"key\";r={};t={}", standing.left, standing.full_in));
    tell("x-rate-limit-limit", standing.limit.to_string());
    tell("x-rate-limit-remaining", standing.left.to_string());
    tell("x-rate-limit-reset", standing.full_in.to_string());
    if let Some(seconds) = standing.retry_in {
        tell("x-rate-limit-retry-after-seconds", seconds.to_string());
    }
}

/// Whether a client takes `application/json` and says nothing of SCIM's own type or of any type.
pub(super) fn wants_plain_json(headers: &HeaderMap, quirks: &mut Quirks) -> bool {
    accept_json::wanted(headers.get_all(header::ACCEPT).iter().map(|value| value.to_str().unwrap_or_default()), quirks)
}

/// What HEAD answers: the head of what GET would (RFC 9110 section 9.3.2).
pub(super) fn without_body(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact()
        && parts.status != StatusCode::NO_CONTENT
        && parts.status != StatusCode::NOT_MODIFIED
    {
        parts.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Response::from_parts(parts, Body::empty())
}
