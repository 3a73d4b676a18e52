//! What an instance of this connector is told.

use connector_sdk::{Class, Describe, Pace, Setting, SettingKind};
use serde::Deserialize;

/// The REST API's address at the vendor.
const API_URL: &str = "https://api.buildkite.com/v2";
/// The GraphQL API's address at the vendor.
const GRAPHQL_URL: &str = "https://graphql.buildkite.com/v1";

/// Whether an invited person must sign in by SSO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SsoMode {
    /// Only by SSO.
    Required,
    /// By SSO or by password.
    Optional,
}

impl SsoMode {
    /// Its word in the REST API.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
        }
    }
}

/// Who sees a team that the gateway creates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TeamPrivacy {
    /// Every member of the organisation.
    #[default]
    Visible,
    /// Its members and the organisation's admins.
    Secret,
}

impl TeamPrivacy {
    /// Its word in the GraphQL API (`TeamPrivacy`).
    pub(super) fn graphql(self) -> &'static str {
        match self {
            Self::Visible => "VISIBLE",
            Self::Secret => "SECRET",
        }
    }
}

/// The role of a member of the organisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrgRole {
    /// An ordinary member.
    #[default]
    Member,
    /// Power over the whole organisation.
    Admin,
}

impl OrgRole {
    /// Its word in the REST API.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }
}

/// The role of a member of a team.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TeamRole {
    /// An ordinary member.
    #[default]
    Member,
    /// Manages the team's members and pipelines.
    Maintainer,
}

impl TeamRole {
    /// Its word in the REST API.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Maintainer => "maintainer",
        }
    }
}

/// The settings of one instance; [`Describe`] says what each means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The organisation's slug.
    pub org: String,
    /// The REST API.
    #[serde(default = "api_url")]
    pub api_url: String,
    /// The GraphQL API.
    #[serde(default = "graphql_url")]
    pub graphql_url: String,
    /// Sent with invitations where given.
    pub sso_mode: Option<SsoMode>,
    /// Who sees a team that the gateway creates.
    #[serde(default)]
    pub team_privacy: TeamPrivacy,
    /// The role of people who ask for none.
    #[serde(default)]
    pub default_role: OrgRole,
    /// The role in a team of those who are added to it.
    #[serde(default)]
    pub team_member_role: TeamRole,
    /// Where the pace comes from.
    #[serde(default)]
    pub pace: Pace,
}

fn api_url() -> String {
    API_URL.to_owned()
}

fn graphql_url() -> String {
    GRAPHQL_URL.to_owned()
}

impl Describe for Settings {
    fn describe() -> Vec<Setting> {
        vec![
            Setting::new(
                "org",
                "Organisation",
                "The organisation's slug, as in buildkite.com/SLUG.",
            )
            .class(Class::Identity)
            .required(),
            Setting::new(
                "token",
                "API access token",
                "A token of a machine user who is an admin of the organisation, with GraphQL access and the scopes read_user, read_organizations, write_organizations, read_organization_invitations, write_organization_invitations, read_teams and write_teams. It dies when that user is removed.",
            )
            .class(Class::Credential)
            .required(),
            Setting::new("api_url", "REST address", "Where the REST API is served.")
                .kind(SettingKind::Url)
                .class(Class::Identity)
                .default(API_URL),
            Setting::new(
                "graphql_url",
                "GraphQL address",
                "Where the GraphQL API is served.",
            )
            .kind(SettingKind::Url)
            .class(Class::Identity)
            .default(GRAPHQL_URL),
            Setting::new(
                "sso_mode",
                "SSO of invited people",
                "Whether invited people must sign in by SSO. Buildkite demands a value where the organisation has SSO enabled.",
            )
            .kind(SettingKind::choice(&["required", "optional"]))
            .default("not sent"),
            Setting::new(
                "team_privacy",
                "Privacy of new teams",
                "Whether teams that the gateway creates are visible to every member, or secret.",
            )
            .kind(SettingKind::choice(&["visible", "secret"]))
            .default("visible"),
            Setting::new(
                "default_role",
                "Default role",
                "The organisation role of people who ask for none.",
            )
            .kind(SettingKind::choice(&["member", "admin"]))
            .default("member"),
            Setting::new(
                "team_member_role",
                "Role in teams",
                "The team role of people who are added to a team.",
            )
            .kind(SettingKind::choice(&["member", "maintainer"]))
            .default("member"),
            Setting::new(
                "pace",
                "Pace",
                "documented: the vendor's published limits, corrected by what the target says. headers: only what the target says.",
            )
            .kind(SettingKind::choice(&["documented", "headers"]))
            .default("documented"),
        ]
    }
}
