//! What an instance of this connector is told.

use connector_sdk::{Class, Describe, Pace, Setting, SettingKind};
use serde::Deserialize;

/// What a SCIM group is at Datadog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupsAre {
    /// A team.
    #[default]
    Teams,
    /// A role: membership is permission.
    Roles,
}

/// The settings of one instance; [`Describe`] says what each means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The site: `datadoghq.com`, `datadoghq.eu`, ….
    #[serde(default = "site")]
    pub site: String,
    /// The API, where it is not `https://api.SITE`.
    pub api_url: Option<String>,
    /// What groups are.
    #[serde(default)]
    pub groups: GroupsAre,
    /// The name of the role that new people get.
    #[serde(default = "default_role")]
    pub default_role: String,
    /// Whether new people get a mail.
    #[serde(default = "yes")]
    pub send_invitations: bool,
    /// Where the pace comes from.
    #[serde(default)]
    pub pace: Pace,
}

fn site() -> String {
    "datadoghq.com".to_owned()
}

fn default_role() -> String {
    "Datadog Standard Role".to_owned()
}

fn yes() -> bool {
    true
}

impl Describe for Settings {
    fn describe() -> Vec<Setting> {
        vec![
            Setting::new(
                "site",
                "Site",
                "The Datadog site of the organisation, as in its address: datadoghq.com, us3.datadoghq.com, us5.datadoghq.com, datadoghq.eu, ap1.datadoghq.com, ap2.datadoghq.com, uk1.datadoghq.com, ddog-gov.com or us2.ddog-gov.com.",
            )
            .class(Class::Identity)
            .default("datadoghq.com"),
            Setting::new(
                "api_url",
                "API address",
                "Where the API is served, if that is not https://api.SITE (a proxy).",
            )
            .kind(SettingKind::Url)
            .class(Class::Identity)
            .default("https://api.SITE"),
            Setting::new("api_key", "API key", "An API key of the organisation (Organization Settings, API Keys).")
                .class(Class::Credential)
                .required(),
            Setting::new(
                "app_key",
                "Application key",
                "An application key of a service account or of a user of the gateway's own, with the scopes user_access_invite, user_access_manage, user_access_read, teams_read and teams_manage.",
            )
            .class(Class::Credential)
            .required(),
            Setting::new(
                "groups",
                "Groups are",
                "teams: a SCIM group is a Datadog team. roles: a SCIM group is a Datadog role, so that membership gives permissions; the attribute roles is then not written.",
            )
            .kind(SettingKind::choice(&["teams", "roles"]))
            .class(Class::Identity)
            .default("teams"),
            Setting::new(
                "default_role",
                "Role of new people",
                "The name of the role that new people get. Datadog lets nobody in who has no role.",
            )
            .default("Datadog Standard Role"),
            Setting::new(
                "send_invitations",
                "Invite by mail",
                "Whether Datadog mails new people an invitation. Turn it off where everybody signs in by SAML.",
            )
            .kind(SettingKind::Flag)
            .default("true"),
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
