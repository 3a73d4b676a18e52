//! Keycloak's plug-ins that provision outwards: mitodl/keycloak-scim and suvera/keycloak-scim2-storage.
//!
//! Creates without looking, then PUT, or PATCH with `path` before `op` and booleans as texts. A group that lost its
//! last member is sent without `members`. Its import can delete at the service what it does not know
//! (`DELETE_REMOTE`), so lists must not show accounts that it did not create. Gives up after 5 s.
//! (mitodl/keycloak-scim src/main/java/sh/libre/scim/core; suvera/keycloak-scim2-storage.)
use super::Mark::{Sign as S, Used};
use super::{Dialect, Settings, Sign};
use crate::quirks::Quirk;

/// The dialect.
pub const DIALECT: Dialect = Dialect {
    name: "keycloak",
    title: "Keycloak (plug-ins)",
    recognition: "`path` before `op`, with booleans as texts; members with a relative `$ref`; groups of its own on users; `Content-Type` on GET and DELETE",
    marks: &[
        (S(Sign::PathBeforeOp), 4),
        (Used(Quirk::BooleanAsText), 1),
        (S(Sign::RelativeRef), 4),
        (S(Sign::GroupsOnUser), 3),
        (S(Sign::TypeWithoutBody), 2),
    ],
    settings: Settings { unmanaged_in_lists: false, ..Settings::DEFAULT },
};
