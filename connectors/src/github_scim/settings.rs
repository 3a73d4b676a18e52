//! The settings of both kinds.

use connector_sdk::{Class, Describe, Pace, Setting, SettingKind, SettingsError};
use serde::Deserialize;

const API_URL: &str = "https://api.github.com";

fn api_url() -> String {
    API_URL.to_owned()
}

/// The settings of an organisation; [`Describe`] says what each means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrgSettings {
    /// The organisation's login.
    pub org: String,
    /// The REST API.
    #[serde(default = "api_url")]
    pub api_url: String,
    /// Where the pace comes from.
    #[serde(default)]
    pub pace: Pace,
}

/// The settings of an enterprise; [`Describe`] says what each means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmuSettings {
    /// The enterprise's slug.
    pub enterprise: String,
    /// The REST API.
    #[serde(default = "api_url")]
    pub api_url: String,
    /// Whether a removal deletes, which GitHub cannot undo.
    #[serde(default)]
    pub delete: bool,
    /// Where the pace comes from.
    #[serde(default)]
    pub pace: Pace,
}

/// A login or slug that can stand in a path.
///
/// # Errors
/// Names the field.
pub(super) fn slug(field: &str, text: &str) -> Result<String, SettingsError> {
    let sound = !text.is_empty()
        && text.len() <= 100
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if sound {
        return Ok(text.to_owned());
    }
    Err(SettingsError::new(field, "must be letters, digits and dashes, as in the address of its page"))
}

fn address() -> Setting {
    Setting::new(
        "api_url",
        "API address",
        "Where the REST API is served. With data residency: https://api.SUBDOMAIN.ghe.com.",
    )
    .kind(SettingKind::Url)
    .class(Class::Identity)
    .default(API_URL)
}

fn pace() -> Setting {
    Setting::new(
        "pace",
        "Pace",
        "documented: the vendor's published limits, corrected by what the target says. headers: only what the target says.",
    )
    .kind(SettingKind::choice(&["documented", "headers"]))
    .default("documented")
}

impl Describe for OrgSettings {
    fn describe() -> Vec<Setting> {
        vec![
            Setting::new("org", "Organisation", "The organisation's login, as in github.com/LOGIN.").class(Class::Identity).required(),
            Setting::new("token", "Token", "A token of an owner: classic with the scope admin:org, authorised for the organisation's single sign-on, or fine-grained with Members: read and write.")
                .class(Class::Credential)
                .required(),
            address(),
            pace(),
        ]
    }
}

impl Describe for EmuSettings {
    fn describe() -> Vec<Setting> {
        vec![
            Setting::new("enterprise", "Enterprise", "The enterprise's slug, as in github.com/enterprises/SLUG.").class(Class::Identity).required(),
            Setting::new("token", "Token", "A classic token of the enterprise's setup user with the scope scim:enterprise.")
                .class(Class::Credential)
                .required(),
            address(),
            Setting::new("delete", "Delete for good", "Whether the account of a person whom the directory deletes is deleted. GitHub cannot undo that: login, address and all that belongs to the account are gone. Without it the account is suspended.")
                .kind(SettingKind::Flag)
                .default("false"),
            pace(),
        ]
    }
}
