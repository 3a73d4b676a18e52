//! What an instance of this connector is told.

use connector_sdk::{Class, Describe, Pace, Setting, SettingKind};
use serde::Deserialize;

/// The settings of one instance; [`Describe`] says what each means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the API is.
    #[serde(default = "api_url")]
    pub api_url: String,
    /// The tailnet; `-` is the token's own.
    #[serde(default = "tailnet")]
    pub tailnet: String,
    /// The role of new people.
    #[serde(default = "default_role")]
    pub default_role: String,
    /// Whether groups are kept in the policy file.
    #[serde(default)]
    pub policy_groups: bool,
    /// Where the pace comes from.
    #[serde(default)]
    pub pace: Pace,
}

fn api_url() -> String {
    "https://api.tailscale.com".to_owned()
}

fn tailnet() -> String {
    "-".to_owned()
}

fn default_role() -> String {
    "member".to_owned()
}

impl Describe for Settings {
    fn describe() -> Vec<Setting> {
        vec![
            Setting::new(
                "tailnet",
                "Tailnet",
                "The tailnet's name, as in the general settings (example.com), or - for that of the token.",
            )
            .class(Class::Identity)
            .default("-"),
            Setting::new("api_url", "API address", "Where the API is served, if that is not https://api.tailscale.com.")
                .kind(SettingKind::Url)
                .class(Class::Identity)
                .default("https://api.tailscale.com"),
            Setting::new(
                "api_key",
                "API access token",
                "A token (tskey-api-…) of a user of the gateway's own who is an Admin. OAuth clients may not invite.",
            )
            .class(Class::Credential)
            .required(),
            Setting::new("default_role", "Role of new people", "The role that people are invited with.")
                .kind(SettingKind::choice(&["member", "auditor", "billing-admin", "network-admin", "it-admin", "admin"]))
                .default("member"),
            Setting::new(
                "policy_groups",
                "Groups in the policy file",
                "Keeps pushed groups in the tailnet policy file, under groups. Leave it off where the file is kept in a repository.",
            )
            .kind(SettingKind::Flag)
            .class(Class::Identity)
            .default("false"),
            Setting::new(
                "pace",
                "Pace",
                "documented: a pace that is known to be safe, corrected by what the target says. headers: only what the target says.",
            )
            .kind(SettingKind::choice(&["documented", "headers"]))
            .default("documented"),
        ]
    }
}
