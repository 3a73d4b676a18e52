//! PingFederate's SCIM connector.
//!
//! Matches by `userName`, or by the bare `emails`; finds groups by listing all of them. Users by PUT, groups by PATCH or
//! PUT. Older versions stumble over types in capitals, empty photos and unknown fields of the enterprise extension:
//! answers hold what the client wrote, and no empty lists. (docs.pingidentity.com, integrations/scim.)
use super::Mark::Used;
use super::{Dialect, Settings};
use crate::quirks::Quirk;

/// The dialect.
pub const DIALECT: Dialect = Dialect {
    name: "pingfederate",
    title: "PingFederate",
    recognition: "a filter on the bare `emails`; otherwise it speaks as PingOne does, and is named by the admin",
    marks: &[(Used(Quirk::ComplexCompared), 2)],
    settings: Settings::DEFAULT,
};
