//! How one server differs from the RFCs, as data.

use connector_sdk::Removal;
use serde::Deserialize;

use super::discovery::Attributes;

/// What `active = false` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deprovision {
    /// The account is kept, without access.
    #[default]
    ActiveFalse,
    /// The account is deleted.
    Delete,
}

/// Which attributes of a person are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Passed {
    /// Those that the server's /Schemas declares.
    #[default]
    Declared,
    /// Those of RFC 7643's User.
    Core,
    /// All.
    All,
}

/// A feature that the server tells of, or the admin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tri {
    /// As the server says; where it does not, it is there.
    #[default]
    Auto,
    /// It is there.
    Yes,
    /// It is not.
    No,
}

impl Tri {
    /// What holds, by what the server says.
    pub(super) fn settle(self, told: Option<bool>) -> bool {
        match self {
            Self::Auto => told.unwrap_or(true),
            Self::Yes => true,
            Self::No => false,
        }
    }
}

/// What a member's `value` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberValue {
    /// The id of the person, as RFC 7643 section 4.2 says.
    #[default]
    Id,
    /// The person's userName.
    UserName,
}

/// The media type of bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// `application/scim+json` (RFC 7644 section 8.1).
    #[default]
    Scim,
    /// `application/json`.
    Json,
}

/// How a server differs.
#[derive(Clone, Debug)]
pub(crate) struct Dialect {
    /// The server, for people: `The SCIM server`, `GitHub`.
    pub(crate) server: &'static str,
    /// Whether it is asked what it can do (/ServiceProviderConfig, /ResourceTypes, /Schemas).
    pub(crate) discovery: bool,
    pub(crate) deprovision: Deprovision,
    /// Where DELETE cannot be undone, a removal suspends.
    pub(crate) removal: Removal,
    pub(crate) passed: Passed,
    /// What is declared of people and of groups, where the server does not say.
    pub(crate) declared: Option<fn() -> (Attributes, Attributes)>,
    /// Whether PUT is given declared attributes alone: neither `id` nor what else an answer shows.
    pub(crate) bare_put: bool,
    /// Whether `roles` and `entitlements` are sent as they stand.
    pub(crate) send_roles: bool,
    /// Whether the role is the first of `roles`, one of the traits' (GitHub).
    pub(crate) role: bool,
    pub(crate) patch: Tri,
    pub(crate) filter: Tri,
    pub(crate) path_filters: bool,
    pub(crate) patch_without_path: bool,
    pub(crate) groups: bool,
    /// Whether members that are not shown are asked for by name.
    pub(crate) asks_members: bool,
    pub(crate) look_before_create: bool,
    /// The member that stands in every group made here: as members' values are written.
    pub(crate) placeholder: Option<String>,
    pub(crate) member_value: MemberValue,
    pub(crate) content: Content,
    pub(crate) members_per_patch: usize,
    pub(crate) page_size: usize,
    pub(crate) scan_limit: usize,
    pub(crate) user_name_from: Option<String>,
}

impl Dialect {
    /// A server that keeps to the RFCs.
    pub(crate) fn plain() -> Self {
        Self {
            server: "The SCIM server",
            discovery: true,
            deprovision: Deprovision::ActiveFalse,
            removal: Removal::Gone,
            passed: Passed::Declared,
            declared: None,
            bare_put: false,
            send_roles: false,
            role: false,
            patch: Tri::Auto,
            filter: Tri::Auto,
            path_filters: true,
            patch_without_path: false,
            groups: true,
            asks_members: true,
            look_before_create: false,
            placeholder: None,
            member_value: MemberValue::Id,
            content: Content::Scim,
            members_per_patch: 100,
            page_size: 100,
            scan_limit: 10_000,
            user_name_from: None,
        }
    }
}
