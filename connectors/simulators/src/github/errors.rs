//! Answers and refusals in GitHub's form.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

/// Where GitHub's errors point.
const DOCS: &str = "https://docs.github.com/rest";

/// What a handler answers, before the headers that every answer has.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Option<Value>,
    pub(super) headers: Vec<(&'static str, String)>,
}

/// An answer, either way: `?` ends a handler with a refusal.
pub(super) type Answer = Result<Reply, Reply>;

impl Reply {
    pub(super) fn json(status: StatusCode, body: Value) -> Self {
        Self { status, body: Some(body), headers: Vec::new() }
    }

    pub(super) fn ok(body: Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    pub(super) fn created(body: Value) -> Self {
        Self::json(StatusCode::CREATED, body)
    }

    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, body: None, headers: Vec::new() }
    }

    pub(super) fn no_content() -> Self {
        Self::empty(StatusCode::NO_CONTENT)
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A `basic-error`.
    pub(super) fn error(status: StatusCode, message: &str) -> Self {
        Self::json(status, json!({ "message": message, "documentation_url": DOCS, "status": status.as_str() }))
    }

    pub(super) fn not_found() -> Self {
        Self::error(StatusCode::NOT_FOUND, "Not Found")
    }

    pub(super) fn forbidden(message: &str) -> Self {
        Self::error(StatusCode::FORBIDDEN, message)
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        Self::error(StatusCode::UNAUTHORIZED, message)
    }

    /// A `validation-error` with one entry.
    pub(super) fn invalid(resource: &str, code: &str, field: &str, message: &str) -> Self {
        Self::refused("Validation Failed", resource, code, field, message)
    }

    /// A `validation-error` with one entry and a title of its own.
    pub(super) fn refused(title: &str, resource: &str, code: &str, field: &str, message: &str) -> Self {
        let mut entry = json!({ "resource": resource, "code": code, "field": field });
        if !message.is_empty() {
            entry["message"] = message.into();
        }
        Self::json(
            StatusCode::UNPROCESSABLE_ENTITY,
            json!({
                "message": title,
                "errors": [entry],
                "documentation_url": DOCS,
                "status": "422",
            }),
        )
    }

    pub(super) fn into_response(self) -> Response<Bytes> {
        let body = self.body.map_or_else(Bytes::new, |b| b.to_string().into());
        let json = !body.is_empty();
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if json {
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        }
        for (name, value) in self.headers {
            // All values are made here of visible ASCII, but a login in a Location came from the
            // client.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}
