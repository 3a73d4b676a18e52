//! How one server differs from the RFCs, as data.

use serde::Deserialize;

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

/// What a removal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// DELETE.
    Delete,
    /// `active` false, because DELETE cannot be undone there.
    Suspend,
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
    pub(crate) removal: Removal,
    pub(crate) passed: Passed,
    /// Attributes that are sent although `passed` is `Core`, beside which no other is; empty: no such list.
    pub(crate) only: &'static [&'static str],
    /// Whether `roles` and `entitlements` are sent as they stand.
    pub(crate) send_roles: bool,
    /// Whether the role is the first of `roles`, one of the traits' (GitHub).
    pub(crate) role: bool,
    /// Attributes that a creation must have, given where the person lacks them.
    pub(crate) required: &'static [&'static str],
    pub(crate) patch: Tri,
    pub(crate) filter: Tri,
    pub(crate) path_filters: bool,
    pub(crate) patch_without_path: bool,
    pub(crate) groups: bool,
    /// What groups are asked for by beside their name: GitHub wants an externalId of each.
    pub(crate) group_external_id: bool,
    pub(crate) look_before_create: bool,
    /// Whether an account begins as an invitation that nothing in SCIM shows as accepted.
    pub(crate) placeholder: Option<String>,
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
            removal: Removal::Delete,
            passed: Passed::Declared,
            only: &[],
            send_roles: false,
            role: false,
            required: &[],
            patch: Tri::Auto,
            filter: Tri::Auto,
            path_filters: true,
            patch_without_path: false,
            groups: true,
            group_external_id: false,
            look_before_create: false,
            placeholder: None,
            content: Content::Scim,
            members_per_patch: 100,
            page_size: 100,
            scan_limit: 10_000,
            user_name_from: None,
        }
    }
}
