//! OneLogin: bodies are templates that the admin edits, in URNs of SCIM 2.0 or 1.1.
//!
//! The enterprise template has `emails` as an object and the manager as `managerId`; empty fields become empty texts.
//! Its `User-Agent` is empty. Checks the connection by a look-up of a user who cannot exist; 200 and 404 both do.
//! (developers.onelogin.com, scim/implement-scim-api and scim/define-user-schema.)
use super::Mark::{Sign as S, Used};
use super::{Dialect, Settings, Sign};
use crate::quirks::Quirk;

/// The dialect.
pub const DIALECT: Dialect = Dialect {
    name: "onelogin",
    title: "OneLogin",
    recognition: "`emails` as an object; `managerId`; URNs or a PATCH of SCIM 1.1; an empty `User-Agent`",
    marks: &[
        (Used(Quirk::SingleForList), 4),
        (Used(Quirk::ManagerId), 5),
        (Used(Quirk::Scim1Urn), 5),
        (Used(Quirk::Scim1Patch), 5),
        (S(Sign::EmptyAgent), 3),
    ],
    settings: Settings::DEFAULT,
};
