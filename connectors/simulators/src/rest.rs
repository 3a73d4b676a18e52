//! What simulated JSON APIs have in common: reading a request and writing an answer.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::{Map, Value};

/// A refusal: its status and the vendor's body.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

/// An answer, or a refusal in the vendor's form.
pub(crate) type Answer = Result<Response<Bytes>, Refused>;

impl Refused {
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self { status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), body }
    }

    pub(crate) fn response(&self) -> Response<Bytes> {
        json(self.status.as_u16(), &self.body)
    }
}

/// An answer with a JSON body.
pub(crate) fn json(status: u16, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer without a body.
pub(crate) fn empty(status: u16) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::NO_CONTENT);
    response
}

/// Sets a header; one that cannot be is left out.
pub(crate) fn set(response: &mut Response<Bytes>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The segments of the path below a prefix, decoded; `None` where it is not below it.
pub(crate) fn path(request: &Request<Bytes>, prefix: &str) -> Option<Vec<String>> {
    let rest = request.uri().path().strip_prefix(prefix)?;
    if !rest.is_empty() && !rest.starts_with('/') {
        return None;
    }
    Some(rest.trim_start_matches('/').split('/').map(decoded).collect())
}

/// Undoes percent-encoding.
fn decoded(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = (*first == b'%').then(|| after.get(..2)).flatten().and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A parameter of the query.
pub(crate) fn parameter(request: &Request<Bytes>, name: &str) -> Option<String> {
    let query = request.uri().query()?;
    url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// A parameter that is a whole number.
pub(crate) fn number(request: &Request<Bytes>, name: &str) -> Option<usize> {
    parameter(request, name)?.parse().ok()
}

/// The body as an object.
pub(crate) fn body(request: &Request<Bytes>) -> Option<Map<String, Value>> {
    serde_json::from_slice(request.body()).ok()
}

/// What stands after a scheme in `Authorization`.
pub(crate) fn credential<'a>(request: &'a Request<Bytes>, scheme: &str) -> Option<&'a str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (given, rest) = value.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

/// The method as text, for matching.
pub(crate) fn method(request: &Request<Bytes>) -> &str {
    match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    }
}
