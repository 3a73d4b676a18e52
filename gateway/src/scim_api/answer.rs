//! Answers and refusals as HTTP.

use axum::body::{Body, HttpBody};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use scim::quirks::accept_json;
use scim::{Quirks, ScimError};
use serde_json::Value;

use crate::service::types::Failure;
use crate::store::StoreError;

const SCIM_JSON: HeaderValue = HeaderValue::from_static("application/scim+json");
const PLAIN_JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Seconds after which a client should come back when the store has trouble.
const STORE_RETRY: u32 = 5;

/// A good answer.
pub(super) struct Answer {
    status: StatusCode,
    body: Option<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    pub(super) fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body: Some(body), headers: Vec::new() }
    }

    pub(super) fn created(body: Value) -> Self {
        Self { status: StatusCode::CREATED, ..Self::ok(body) }
    }

    pub(super) fn empty() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None, headers: Vec::new() }
    }

    pub(super) fn not_modified() -> Self {
        Self { status: StatusCode::NOT_MODIFIED, ..Self::empty() }
    }

    /// Sets a header; a value that cannot be one is left out.
    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    pub(super) fn into_response(self, plain: bool) -> Response {
        let mut response = match self.body {
            None => Response::new(Body::empty()),
            Some(body) => json_response(&body, plain),
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

    pub(super) fn into_response(self, plain: bool) -> Response {
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
            Failure::Scim(error) => {
                let unavailable = error.status == 503;
                let refusal = Self::from(error);
                if unavailable { refusal.retry_after(STORE_RETRY) } else { refusal }
            }
            Failure::Store(error) => {
                tracing::error!(%error, "a SCIM request met trouble of the store");
                Self::from(ScimError::unavailable(
                    "scimgate cannot reach its database at the moment. Nothing was lost; try again.",
                ))
                .retry_after(STORE_RETRY)
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
    let mut response = Response::new(Body::from(serde_json::to_vec(body).unwrap_or_default()));
    response.headers_mut().insert(header::CONTENT_TYPE, if plain { PLAIN_JSON } else { SCIM_JSON });
    response
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
