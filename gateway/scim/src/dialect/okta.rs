//! Okta: the templates of the integration network (PUT for profiles, PATCH for `active` and groups) and apps of the
//! wizard (PUT for everything).
//!
//! Sends `User-Agent: Okta SCIM Client 1.0.0`, a password and `groups: []` with every creation, and repeats `id` in
//! path-less values around each change of a group's members. Never deletes users. Reads a 404 as an empty result, but
//! only with a SCIM error. Waits 60 s. (Okta developer documentation, reference/scim/scim-20 and concepts/scim/faqs.)
use super::Mark::{Sign as S, Used};
use super::{Dialect, Settings, Sign};
use crate::quirks::Quirk;

/// The dialect.
pub const DIALECT: Dialect = Dialect {
    name: "okta",
    title: "Okta",
    recognition: "`User-Agent: Okta SCIM Client`; a creation with a password and `groups: []`; `externalId` as Okta's user ids are; `id` repeated in path-less values",
    marks: &[
        (S(Sign::OktaAgent), 10),
        (S(Sign::OktaCreate), 5),
        (S(Sign::OktaExternalId), 4),
        (Used(Quirk::ReadOnlyInPatch), 1),
    ],
    settings: Settings::DEFAULT,
};
