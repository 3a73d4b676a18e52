//! What an instance of this connector is told.

use connector_sdk::{Class, Describe, Pace, Setting, SettingKind};
use serde::Deserialize;

/// The Web API's address at the vendor.
const API_URL: &str = "https://slack.com/api";

/// The settings of one instance; [`Describe`] says what each means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The workspace's id.
    pub team_id: String,
    /// The Web API.
    #[serde(default = "api_url")]
    pub api_url: String,
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
            Setting::new("team_id", "Workspace", "The workspace's id, T and letters and digits, as in app.slack.com/client/T….")
                .class(Class::Identity)
                .required(),
            Setting::new(
                "token",
                "Token",
                "A bot token (xoxb-…) of an app installed in the workspace, with the scopes users:read, users:read.email, usergroups:read and usergroups:write. Where only admins may change user groups, a user token (xoxp-…) of an admin.",
            )
            .class(Class::Credential)
            .required(),
            Setting::new("api_url", "API address", "Where the Web API is served; https://slack-gov.com/api for GovSlack.")
                .kind(SettingKind::Url)
                .class(Class::Identity)
                .default(API_URL),
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
