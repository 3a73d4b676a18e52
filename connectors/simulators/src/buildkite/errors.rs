//! Refusals and the bodies that carry them.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::{Value, json};

/// A request that the vendor would refuse. REST sends the status with
/// `{"message": …}`; GraphQL sends the message in `errors` with status 200.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// 400: the request cannot be read.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 401: no token, or one that is not valid.
    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Authentication required. Please supply a valid API Access Token")
    }

    /// 403: the token or its person may not do this.
    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 404: `No {what} found`.
    pub(super) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("No {what} found"))
    }

    /// 422 in the form of a failed validation.
    pub(super) fn invalid(reason: impl AsRef<str>) -> Self {
        Self::unprocessable(format!("Validation failed: {}", reason.as_ref()))
    }

    /// 422 with the message as it stands.
    pub(super) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// The reply of the REST API.
    pub(super) fn rest(&self) -> Response<Bytes> {
        reply(self.status, &json!({ "message": self.message }))
    }

    /// The reply of the GraphQL API where nothing was executed.
    pub(super) fn graphql(&self) -> Response<Bytes> {
        reply(self.status, &json!({ "errors": [{ "message": self.message }] }))
    }
}

/// A JSON reply.
pub(super) fn reply(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// 204 without a body.
pub(super) fn no_content() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
