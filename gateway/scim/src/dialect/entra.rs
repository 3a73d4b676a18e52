//! Microsoft Entra ID, with and without the flag `aadOptscim062020`, and its SCIM validator.
//!
//! Looks up by a filter before it creates, `+` for blanks. Changes users by PATCH, with capitalised operations and
//! booleans as texts unless the flag is set, with paths as keys if it is. Sets the manager by a PATCH of its own, as a
//! plain text, and wants an object in the answer. Creates groups without members and reads them with
//! `excludedAttributes=members`; for a PATCH of a group it prefers 204. Probes with a random GUID and wants an empty
//! list, never 404. (Microsoft Learn, use-scim-to-provision-users-and-groups;
//! application-provisioning-config-problem-scim-compatibility.)
use super::Mark::{Sign as S, Used};
use super::{Dialect, GroupPatchAnswer, Settings, Sign};
use crate::quirks::Quirk;

/// The dialect.
pub const DIALECT: Dialect = Dialect {
    name: "entra",
    title: "Microsoft Entra ID",
    recognition: "its flag in the query; capitalised operations; a look-up by a random GUID; `excludedAttributes=members`; paths as keys; a filter on `id` and `members` or `manager`; Microsoft's schema URI",
    marks: &[
        (S(Sign::EntraFlag), 10),
        (S(Sign::MicrosoftSchema), 10),
        (Used(Quirk::CapitalisedOp), 6),
        (S(Sign::GuidProbe), 3),
        (S(Sign::WithoutMembers), 3),
        (S(Sign::MemberQuestion), 4),
        (Used(Quirk::PathAsKey), 4),
        (Used(Quirk::FilterCreates), 2),
        (Used(Quirk::JsonInRole), 5),
        (Used(Quirk::PlusForSpace), 1),
    ],
    settings: Settings { group_patch: GroupPatchAnswer::Empty, ..Settings::DEFAULT },
};
