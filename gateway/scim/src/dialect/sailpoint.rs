//! SailPoint Identity Security Cloud and IdentityIQ.
//!
//! Reads all of discovery first, by lower-case paths and short names too. Changes by adding without a path. Aggregates
//! by pages, with filters such as `username sw "A"`, and wants `schemas` on every element. With its option
//! `updateGroupsViaUsers` it writes `groups` on users: set `groups_via_users` for that.
//! (documentation.sailpoint.com, connectors/scim_2_0.)
use super::Mark::{Sign as S, Used};
use super::{Dialect, Settings, Sign};
use crate::quirks::Quirk;

/// The dialect.
pub const DIALECT: Dialect = Dialect {
    name: "sailpoint",
    title: "SailPoint (Identity Security Cloud, IdentityIQ)",
    recognition: "a path-less add; lower-case paths; schemas by their short names; filters with `sw`",
    marks: &[
        (Used(Quirk::AddAsChange), 5),
        (Used(Quirk::RouteCase), 3),
        (Used(Quirk::ShortSchemaId), 3),
        (S(Sign::StartsWith), 2),
    ],
    settings: Settings::DEFAULT,
};
