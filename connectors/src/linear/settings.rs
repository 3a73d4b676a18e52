//! What an instance of this connector is told.

use connector_sdk::{Class, Describe, Pace, Setting, SettingKind};
use serde::Deserialize;

/// The GraphQL API's address at the vendor.
const API_URL: &str = "https://api.linear.app/graphql";

/// A role that may be given without asking for power over others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefaultRole {
    /// An ordinary member.
    #[default]
    User,
    /// Sees only the teams it is in.
    Guest,
}

impl DefaultRole {
    /// Its word in the API (`UserRoleType`).
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Guest => "guest",
        }
    }
}

/// The settings of one instance; [`Describe`] says what each means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The workspace's URL key.
    pub workspace: String,
    /// The GraphQL API.
    #[serde(default = "api_url")]
    pub graphql_url: String,
    /// The role of people who ask for none.
    #[serde(default)]
    pub default_role: DefaultRole,
    /// Where the pace comes from.
    #[serde(default)]
    pub pace: Pace,
}

fn api_url() -> String {
    API_URL.to_owned()
}

impl Describe for Settings {
    fn describe() -> Vec<Setting> {
        vec![
            Setting::new("workspace", "Workspace", "The workspace's URL key, as in linear.app/KEY.")
                .class(Class::Identity)
                .required(),
            Setting::new(
                "token",
                "API key",
                "A personal API key (lin_api_…) of a workspace admin or owner, made for the gateway's own user under Settings, Security & access. An OAuth access token of such a user serves as well.",
            )
            .class(Class::Credential)
            .required(),
            Setting::new("graphql_url", "GraphQL address", "Where the GraphQL API is served.")
                .kind(SettingKind::Url)
                .class(Class::Identity)
                .default(API_URL),
            Setting::new("default_role", "Default role", "The role of people who ask for none.")
                .kind(SettingKind::choice(&["user", "guest"]))
                .default("user"),
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
