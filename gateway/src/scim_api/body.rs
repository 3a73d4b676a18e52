//! Reading a request's body within its bounds.

use std::cell::RefCell;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use scim::ScimError;
use scim::json::Limits;
use serde_json::Value;

use super::answer::Refusal;
use crate::service::records::shape;

tokio::task_local! {
    /// What the body of the request in hand held, without its values; for the record of a refusal.
    pub(super) static SHAPE: RefCell<Option<String>>;
}

/// How long a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Reads and parses a body. The limit holds while it is read, whatever its length is said to be.
pub(super) async fn read(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Value, Refusal> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(ScimError::unsupported_media("The body has a Content-Encoding. Send it plain.").into());
    }
    check_type(headers)?;
    if body.size_hint().lower() > limits.max_bytes as u64 {
        return Err(too_large(limits));
    }
    let read = tokio::time::timeout(BODY_TIME, Limited::new(body, limits.max_bytes).collect()).await;
    let bytes: Bytes = match read {
        Ok(Ok(whole)) => whole.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large(limits)),
        Ok(Err(_)) => return Err(ScimError::invalid_syntax("The body broke off.").into()),
        Err(_) => {
            let error = ScimError {
                status: 408,
                scim_type: None,
                detail: format!("The body did not arrive within {} seconds.", BODY_TIME.as_secs()),
            };
            return Err(close(error.into()));
        }
    };
    let value = scim::json::parse(&bytes, limits)?;
    // In case the request is refused. Nobody asks for it where there is no such slot (tests of single handlers).
    let _ = SHAPE.try_with(|slot| slot.replace(Some(shape(&value))));
    Ok(value)
}

fn too_large(limits: &Limits) -> Refusal {
    close(
        ScimError::too_large(format!(
            "The body is larger than {} bytes. Send fewer members at a time, or raise the limit in scimgate.",
            limits.max_bytes
        ))
        .into(),
    )
}

/// What is left of the body is not read, so the connection is of no more use.
fn close(refusal: Refusal) -> Refusal {
    refusal.header(header::CONNECTION, HeaderValue::from_static("close"))
}

/// JSON under either name, with any parameters, or without a name.
fn check_type(headers: &HeaderMap) -> Result<(), ScimError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let kind = value.to_str().unwrap_or("?").split(';').next().unwrap_or_default().trim();
    if kind.is_empty()
        || kind.eq_ignore_ascii_case("application/scim+json")
        || kind.eq_ignore_ascii_case("application/json")
    {
        return Ok(());
    }
    Err(ScimError::unsupported_media("The body's Content-Type is not application/scim+json or application/json."))
}
