//! Errors of the admin API: problem details (RFC 9457).

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::service::catalogue::problems_json;
use crate::service::records::AdminError;
use crate::store::StoreError;

/// One problem: what happened and what to do about it.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
    field: Option<String>,
    errors: Vec<Value>,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), field: None, errors: Vec::new(), header: None }
    }

    /// 400 that names the field.
    pub(crate) fn field(field: impl Into<String>, message: &str) -> Self {
        let field = field.into();
        Self { detail: format!("{field}: {message}"), field: Some(field), ..Self::new(StatusCode::BAD_REQUEST, "") }
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, what)
    }

    /// Everything that is wrong, where that is more than one thing.
    pub(crate) fn errors(mut self, errors: Vec<Value>) -> Self {
        self.errors = errors;
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some(Box::new((name, value)));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = Map::new();
        body.insert("type".into(), json!("about:blank"));
        body.insert("title".into(), json!(self.status.canonical_reason().unwrap_or("Error")));
        body.insert("status".into(), json!(self.status.as_u16()));
        body.insert("detail".into(), json!(self.detail));
        if let Some(field) = self.field {
            body.insert("field".into(), json!(field));
        }
        if !self.errors.is_empty() {
            body.insert("errors".into(), json!(self.errors));
        }
        let mut response = Response::new(Body::from(Value::Object(body).to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(header) = self.header {
            let (name, value) = *header;
            headers.insert(name, value);
        }
        response
    }
}

impl From<AdminError> for Problem {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Invalid { field, message } => Self::field(field, &message),
            AdminError::NotFound(what) => Self::not_found(&what),
            AdminError::Conflict(why) => Self::new(StatusCode::CONFLICT, why),
            AdminError::Manifest(problems) => {
                let detail = match problems.as_slice() {
                    [one] => format!("The manifest cannot be used: {one}"),
                    several => format!("The manifest cannot be used; {} things are wrong with it.", several.len()),
                };
                Self::new(StatusCode::BAD_REQUEST, detail).errors(problems_json(&problems))
            }
            AdminError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "an admin request met trouble of the store");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "scimgate cannot reach its database at the moment. Nothing was lost; try again.",
        )
        .header(header::RETRY_AFTER, HeaderValue::from_static("5"))
    }
}

impl From<PathRejection> for Problem {
    fn from(_: PathRejection) -> Self {
        Self::not_found("There is nothing here: the path is not readable text.")
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, rejection.body_text())
    }
}
