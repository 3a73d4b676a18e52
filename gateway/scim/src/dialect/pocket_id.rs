//! Pocket ID.
//!
//! Lists everything hourly by pages of 1000, matches by `externalId`, and deletes what it does not know; so lists must
//! not show accounts that it did not create. PUT for users and groups, answered with a body; an empty group is sent
//! without `members`. (pocket-id/pocket-id backend/internal/scimsync.)
use super::Mark::Sign as S;
use super::{Dialect, Settings, Sign};

/// The dialect.
pub const DIALECT: Dialect = Dialect {
    name: "pocket_id",
    title: "Pocket ID",
    recognition: "lists by `count=1000&startIndex=1`, with bodies that begin with `externalId`",
    marks: &[(S(Sign::PocketPage), 3), (S(Sign::ExternalIdFirst), 2)],
    settings: Settings { unmanaged_in_lists: false, ..Settings::DEFAULT },
};
