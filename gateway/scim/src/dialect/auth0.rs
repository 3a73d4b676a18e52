//! Auth0's event stream action for outbound SCIM: users only.
//!
//! Finds a user by `externalId`, which is Auth0's user id (`auth0|65a1b2c3d4`), then sends the whole user by PUT, or by
//! a path-less PATCH that repeats `schemas`. Gives up after 1.5 s and tries once more, so an answer must not wait long
//! for the target. (auth0/docs, customize/events/send-outbound-scim.)
use super::Mark::Sign as S;
use super::{Dialect, Settings, Sign};

/// The dialect.
pub const DIALECT: Dialect = Dialect {
    name: "auth0",
    title: "Auth0",
    recognition: "`externalId` in the form `auth0|65a1b2c3d4`, in a body or a filter",
    marks: &[(S(Sign::PipedExternalId), 8), (S(Sign::SchemasInPatch), 1)],
    settings: Settings { answer_within_ms: Some(1_000), ..Settings::DEFAULT },
};
