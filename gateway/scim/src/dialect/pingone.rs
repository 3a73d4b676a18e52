//! PingOne's provisioning.
//!
//! PUT for users and groups, no PATCH. If one of two mapped addresses has no value, both are sent with the other's, and
//! both as primary. Cannot clear an attribute. (docs.pingidentity.com, p1_scim_provisioning_limitations.)
use super::Mark::Used;
use super::{Dialect, Settings};
use crate::quirks::Quirk;

/// The dialect.
pub const DIALECT: Dialect = Dialect {
    name: "pingone",
    title: "PingOne",
    recognition: "two primary addresses; a filter on the bare `emails`",
    marks: &[(Used(Quirk::TwoPrimaries), 5), (Used(Quirk::ComplexCompared), 2)],
    settings: Settings::DEFAULT,
};
