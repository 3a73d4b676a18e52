//! SCIM errors: what a client is told (RFC 7644 section 3.12).
use serde_json::{Map, Value, json};
use std::fmt;

use crate::urn;

/// The `scimType` keyword of an error (RFC 7644 table 9, RFC 9865 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScimType {
    /// The filter is malformed, or compares what cannot be compared.
    InvalidFilter,
    /// More results, operations or values than the server takes at once.
    TooMany,
    /// A value that has to be unique is taken.
    Uniqueness,
    /// The attribute may not be changed in this way.
    Mutability,
    /// The body is not well formed, or not the message that was expected.
    InvalidSyntax,
    /// The `path` of a PATCH operation is malformed.
    InvalidPath,
    /// The `path` names nothing to work on.
    NoTarget,
    /// A value is missing, or does not have the attribute's type.
    InvalidValue,
    /// The protocol version is not served.
    InvalidVers,
    /// The request puts sensitive data where it may be logged.
    Sensitive,
    /// The cursor is unknown (RFC 9865).
    InvalidCursor,
    /// The cursor is too old (RFC 9865).
    ExpiredCursor,
    /// The page size changed to one the server refuses (RFC 9865).
    InvalidCount,
}

impl ScimType {
    /// The keyword as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidFilter => "invalidFilter",
            Self::TooMany => "tooMany",
            Self::Uniqueness => "uniqueness",
            Self::Mutability => "mutability",
            Self::InvalidSyntax => "invalidSyntax",
            Self::InvalidPath => "invalidPath",
            Self::NoTarget => "noTarget",
            Self::InvalidValue => "invalidValue",
            Self::InvalidVers => "invalidVers",
            Self::Sensitive => "sensitive",
            Self::InvalidCursor => "invalidCursor",
            Self::ExpiredCursor => "expiredCursor",
            Self::InvalidCount => "invalidCount",
        }
    }
}

impl fmt::Display for ScimType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An answer that refuses a request: HTTP status, keyword, and a sentence for the person who runs the client.
///
/// `detail` names attributes and limits. It never repeats a value of the request, so it may be logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScimError {
    /// HTTP status code.
    pub status: u16,
    /// Keyword; only set where RFC 7644 gives one.
    pub scim_type: Option<ScimType>,
    /// What happened and what to do about it.
    pub detail: String,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $status:literal, $kind:expr;)*) => {
        impl ScimError {
            $($(#[$doc])*
            pub fn $name(detail: impl Into<String>) -> Self {
                Self { status: $status, scim_type: $kind, detail: detail.into() }
            })*
        }
    };
}

constructors! {
    /// 400 `invalidFilter`.
    invalid_filter => 400, Some(ScimType::InvalidFilter);
    /// 400 `invalidSyntax`.
    invalid_syntax => 400, Some(ScimType::InvalidSyntax);
    /// 400 `invalidPath`.
    invalid_path => 400, Some(ScimType::InvalidPath);
    /// 400 `invalidValue`.
    invalid_value => 400, Some(ScimType::InvalidValue);
    /// 400 `noTarget`.
    no_target => 400, Some(ScimType::NoTarget);
    /// 400 `mutability`.
    mutability => 400, Some(ScimType::Mutability);
    /// 400 `tooMany`.
    too_many => 400, Some(ScimType::TooMany);
    /// 400 `invalidVers`.
    invalid_version => 400, Some(ScimType::InvalidVers);
    /// 400 `invalidCursor`.
    invalid_cursor => 400, Some(ScimType::InvalidCursor);
    /// 400 `expiredCursor`.
    expired_cursor => 400, Some(ScimType::ExpiredCursor);
    /// 400 `invalidCount`.
    invalid_count => 400, Some(ScimType::InvalidCount);
    /// 401: no or bad credentials.
    unauthorized => 401, None;
    /// 403: the credentials do not reach that far.
    forbidden => 403, None;
    /// 404: no such resource.
    not_found => 404, None;
    /// 405: the endpoint does not have this verb.
    method_not_allowed => 405, None;
    /// 409 `uniqueness`.
    uniqueness => 409, Some(ScimType::Uniqueness);
    /// 412: `If-Match` does not hold.
    precondition_failed => 412, None;
    /// 413: the body is larger than the limit.
    too_large => 413, None;
    /// 415: the body's media type is not one of ours.
    unsupported_media => 415, None;
    /// 500: our own trouble.
    internal => 500, None;
    /// 501: a part of the protocol that is not there.
    not_implemented => 501, None;
    /// 503: try again later.
    unavailable => 503, None;
}

impl ScimError {
    /// The Error message (RFC 7644 section 3.12): `status` is a string there.
    pub fn to_json(&self) -> Value {
        let mut body = Map::new();
        body.insert("schemas".into(), json!([urn::ERROR]));
        body.insert("status".into(), Value::String(self.status.to_string()));
        if let Some(kind) = self.scim_type {
            body.insert("scimType".into(), Value::String(kind.as_str().into()));
        }
        body.insert("detail".into(), Value::String(self.detail.clone()));
        Value::Object(body)
    }
}

impl fmt::Display for ScimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scim_type {
            Some(kind) => write!(f, "{} {}: {}", self.status, kind, self.detail),
            None => write!(f, "{}: {}", self.status, self.detail),
        }
    }
}

impl std::error::Error for ScimError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_a_string_and_scim_type_only_when_set() {
        assert_eq!(
            ScimError::uniqueness("taken").to_json(),
            json!({"schemas": [urn::ERROR], "status": "409", "scimType": "uniqueness", "detail": "taken"})
        );
        assert_eq!(
            ScimError::not_found("gone").to_json(),
            json!({"schemas": [urn::ERROR], "status": "404", "detail": "gone"})
        );
    }
}
