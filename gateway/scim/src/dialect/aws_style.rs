//! The synchronisers written for AWS IAM Identity Center: awslabs/ssosync and slashdevops/idp-scim-sync.
//!
//! Both are Go programs, where an empty field is left out: idp-scim-sync sends a user without `active` to switch the
//! user off. That means the opposite to other clients, so it is only done if this dialect was named, never by a guess.
//! Group creations carry `members: null`, or an empty `id` and `meta`; up to 100 members per PATCH, by lists of values.
//! (awslabs/ssosync internal/aws/client.go; slashdevops/idp-scim-sync pkg/aws/scim.go.)
use super::Mark::{Sign as S, Used};
use super::{Dialect, Settings, Sign};
use crate::quirks::Quirk;
use crate::resource::AbsentActive;

/// The dialect.
pub const DIALECT: Dialect = Dialect {
    name: "aws_style",
    title: "AWS-style synchronisers (ssosync, idp-scim-sync)",
    recognition: "a group with an empty `id` and `meta`; addresses with a type and nothing else; a filter on `members.value`; `members: null` in a creation; `Accept: application/json` alone",
    marks: &[
        (S(Sign::EmptyIdAndMeta), 5),
        (S(Sign::AddressOfTypeOnly), 4),
        (S(Sign::MemberValueFilter), 3),
        (S(Sign::MembersNullCreate), 4),
        (Used(Quirk::AcceptJson), 2),
        (Used(Quirk::PlusForSpace), 1),
    ],
    settings: Settings { put_without_active: AbsentActive::Off, ..Settings::DEFAULT },
};
