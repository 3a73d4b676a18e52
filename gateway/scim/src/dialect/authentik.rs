//! authentik's SCIM provider.
//!
//! Creates without looking and adopts after a 409. Users by PUT, groups by PATCH: members by lists of values, the rest
//! by a path-less replace of the whole group with `schemas` and `id`. Forgets a user and creates it again after a 404.
//! Stores answers and compares them with the next body, so values must come back unchanged; of a group it wants
//! `members` even if there are none. Sends a `Content-Type` with every request.
//! (goauthentik/authentik, authentik/providers/scim/clients.)
use super::Mark::{Sign as S, Used};
use super::{Dialect, Settings, Sign};
use crate::quirks::Quirk;

/// The dialect.
pub const DIALECT: Dialect = Dialect {
    name: "authentik",
    title: "authentik",
    recognition: "`Content-Type` on GET and DELETE; e-mail addresses of type `other`; `schemas` repeated in a path-less PATCH; `+` in queries",
    marks: &[
        (S(Sign::TypeWithoutBody), 3),
        (S(Sign::EmailTypeOther), 3),
        (S(Sign::SchemasInPatch), 2),
        (Used(Quirk::PlusForSpace), 1),
        (Used(Quirk::RemoveByValue), 1),
    ],
    settings: Settings::DEFAULT,
};
