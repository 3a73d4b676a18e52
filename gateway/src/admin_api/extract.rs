//! What handlers take: the admin, path, query and body, with problems for what is wrong in them.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode};
use scim::json::Limits;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::problem::Problem;
use crate::service::members::{Role, Who};
use crate::service::records::Slice;

/// Largest body of an admin request.
const MAX_BODY: usize = 1 << 20;
/// How long a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Items of a page when the client names no number, and at most.
const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 500;

/// The admin who asks. Only the guard makes one, so a route that forgot the guard answers nobody.
#[derive(Clone, Debug)]
pub(super) struct Admin {
    /// How the record names them.
    pub(super) actor: String,
    /// Who it is.
    pub(super) who: Who,
}

impl Admin {
    pub(super) fn new(who: Who) -> Self {
        Self { actor: who.actor(), who }
    }

    /// Refuses a Viewer a method that changes something.
    pub(super) fn may(self, method: &Method) -> Result<Self, Problem> {
        if !method.is_safe() {
            self.require(Role::Admin)?;
        }
        Ok(self)
    }

    /// Refuses who has a lesser role.
    pub(super) fn require(&self, role: Role) -> Result<(), Problem> {
        if self.who.role >= role {
            return Ok(());
        }
        let own = self.who.role;
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            format!(
                "This needs the role {role}, and this token has the role {own}. Ask an Owner, or use another token."
            ),
        ))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            Problem::new(
                StatusCode::UNAUTHORIZED,
                "Send the admin token in the Authorization header, as a bearer token.",
            )
        })
    }
}

/// Segments of the path.
pub(super) struct Path<T>(pub(super) T);

/// The query.
pub(super) struct Query<T>(pub(super) T);

/// No database knows a text with a NUL in it, so nothing of that name is here.
fn refuse_nul(text: &str) -> Result<(), Problem> {
    if text.contains("%00") { Err(Problem::not_found("Nothing has a name with a NUL in it.")) } else { Ok(()) }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        refuse_nul(parts.uri.path())?;
        let axum::extract::Path(found) = axum::extract::Path::from_request_parts(parts, state).await?;
        Ok(Self(found))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        refuse_nul(parts.uri.query().unwrap_or_default())?;
        let axum::extract::Query(found) = axum::extract::Query::from_request_parts(parts, state).await?;
        Ok(Self(found))
    }
}

/// A JSON body that must be there.
pub(super) struct Body<T>(pub(super) T);

/// A JSON body that may be left out.
pub(super) struct MaybeBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        match read(request).await? {
            Some(body) => Ok(Self(body)),
            None => Err(Problem::new(StatusCode::BAD_REQUEST, "The request needs a JSON body.")),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for MaybeBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        Ok(Self(read(request).await?.unwrap_or_default()))
    }
}

/// A body that is text.
pub(super) async fn text_body(request: Request) -> Result<String, Problem> {
    let bytes = bytes_of(request).await?;
    String::from_utf8(bytes.into()).map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "The body is not UTF-8."))
}

async fn bytes_of(request: Request) -> Result<Bytes, Problem> {
    let too_large =
        || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("The body is larger than {MAX_BODY} bytes."));
    match tokio::time::timeout(BODY_TIME, axum::body::to_bytes(request.into_body(), MAX_BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("The body did not arrive within {} seconds.", BODY_TIME.as_secs()),
        )),
    }
}

async fn read<T: DeserializeOwned>(request: Request) -> Result<Option<T>, Problem> {
    let kind = request.headers().get(http::header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?").to_owned());
    let bytes = bytes_of(request).await?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    if let Some(kind) = kind {
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.is_empty() && !essence.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body's Content-Type is not application/json.",
            ));
        }
    }
    let value = scim::json::parse(&bytes, &Limits { max_bytes: MAX_BODY, ..Limits::default() }).map_err(|error| {
        Problem::new(StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST), error.detail)
    })?;
    serde_path_to_error::deserialize(value)
        .map(Some)
        .map_err(|error| wrong_field(&error.path().to_string(), &error.inner().to_string()))
}

/// The problem of a body that has not the form it must. serde's words quote values, and a value
/// may be a credential, so only names and what was expected are kept.
fn wrong_field(path: &str, words: &str) -> Problem {
    let named = words.split('`').nth(1).unwrap_or_default();
    let join = |name: &str| {
        if path == "." || path.is_empty() || path == name { name.to_owned() } else { format!("{path}.{name}") }
    };
    if words.starts_with("unknown field") {
        let expected = words.split_once("expected ").map_or("", |(_, rest)| rest);
        let field = if path.ends_with(named) { path.to_owned() } else { join(named) };
        return Problem::field(field, &format!("is not a field of this request; there are: {expected}"));
    }
    if words.starts_with("missing field") {
        return Problem::field(join(named), "is missing");
    }
    let field = if path == "." { "body" } else { path };
    match words.rsplit_once("expected ") {
        Some((_, expected)) => Problem::field(field, &format!("must be {expected}")),
        None => Problem::field(field, "has not the form it must have"),
    }
}

/// Where a list begins and how much of it is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// `next` of the page before.
    pub(super) cursor: Option<String>,
    /// Items of a page, 50 by default and at most 500.
    pub(super) limit: Option<i64>,
}

/// How many items a page is to have.
pub(super) fn limit(asked: Option<i64>) -> Result<i64, Problem> {
    match asked {
        None => Ok(DEFAULT_LIMIT),
        Some(number) if number >= 1 => Ok(number.min(MAX_LIMIT)),
        Some(_) => Err(Problem::field("limit", &format!("must be from 1 to {MAX_LIMIT}"))),
    }
}

/// The text in a cursor.
pub(super) fn opened(cursor: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(cursor) = cursor.filter(|text| !text.is_empty()) else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    bytes.map(Some).ok_or_else(wrong_cursor)
}

/// The row in a cursor, or where a list begins without one.
pub(super) fn row_of(cursor: Option<&str>, start: i64) -> Result<i64, Problem> {
    opened(cursor)?.map_or(Ok(start), |text| text.parse().map_err(|_| wrong_cursor()))
}

fn wrong_cursor() -> Problem {
    Problem::field("cursor", "is not one that a list gave; begin without it")
}

/// A cursor that holds a text.
pub(super) fn sealed(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A list's answer.
pub(super) fn listed(slice: Slice) -> Value {
    json!({"items": slice.items, "next": slice.next.map(|row| sealed(&row.to_string()))})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only read by the deserializer")]
    struct Form {
        name: String,
        #[serde(default)]
        secrets: std::collections::BTreeMap<String, secrecy::SecretString>,
        #[serde(default)]
        inner: Inner,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    #[allow(dead_code, reason = "only read by the deserializer")]
    struct Inner {
        n: i64,
    }

    fn check(body: &str, want: &str) {
        let value: Value = serde_json::from_str(body).unwrap();
        let error = serde_path_to_error::deserialize::<_, Form>(value).unwrap_err();
        let problem = wrong_field(&error.path().to_string(), &error.inner().to_string());
        let text = format!("{problem:?}");
        assert!(text.contains(want), "{body}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_wrong_field_is_named_and_no_value_is_repeated() {
        check(r#"{}"#, "field: Some(\"name\")");
        check(r#"{"name":"a","naem":1}"#, "field: Some(\"naem\")");
        check(r#"{"name":"a","inner":{"m":1}}"#, "field: Some(\"inner.m\")");
        check(r#"{"name":"a","inner":{"n":"hunter2"}}"#, "field: Some(\"inner.n\")");
        check(r#"{"name":"a","secrets":"hunter2"}"#, "field: Some(\"secrets\")");
        check(r#"{"name":["hunter2"]}"#, "field: Some(\"name\")");
        check(r#""hunter2""#, "field: Some(\"body\")");
    }
}
