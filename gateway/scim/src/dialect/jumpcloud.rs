//! JumpCloud's custom SCIM integrations.
//!
//! Activation creates, changes and deletes a test user and a test group. Users by PUT (`"emails": null` in the small
//! one), groups by PATCH: renamed without a path, members removed by a list of values, additions repeated. Wants `id`
//! as a text. (jumpcloud.com/support, custom SCIM identity management.)
use super::Mark::{Sign as S, Used};
use super::{Dialect, Settings, Sign};
use crate::quirks::Quirk;

/// The dialect.
pub const DIALECT: Dialect = Dialect {
    name: "jumpcloud",
    title: "JumpCloud",
    recognition: "`externalId` of 24 hexadecimal digits; telephone numbers as `tel:` URIs; members removed by value",
    marks: &[(S(Sign::HexExternalId), 4), (S(Sign::TelUri), 2), (Used(Quirk::RemoveByValue), 1)],
    settings: Settings::DEFAULT,
};
