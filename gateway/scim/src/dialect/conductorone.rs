//! ConductorOne's baton-scim.
//!
//! Lists users and groups, grants by adding a member, revokes by rewriting the list; the last one goes by
//! `replace members` with null. The key stands in `Authorization` behind a prefix, bare, or as Basic. Needs a whole
//! number in `Retry-After`. (ConductorOne/baton-scim pkg/scim/client.go.)
use super::Mark::{Sign as S, Used};
use super::{Dialect, Settings, Sign};
use crate::quirks::Quirk;

/// The dialect.
pub const DIALECT: Dialect = Dialect {
    name: "conductorone",
    title: "ConductorOne",
    recognition: "`replace members` with null; a bare key",
    marks: &[(S(Sign::MembersNullPatch), 6), (Used(Quirk::BareKey), 1), (Used(Quirk::AcceptJson), 1)],
    settings: Settings::DEFAULT,
};
