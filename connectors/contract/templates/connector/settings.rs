//! What an instance of this connector is told.

use connector_sdk::{Class, Describe, Pace, Setting, SettingKind, SettingsError};
use serde::Deserialize;
use url::Url;

/// The API's address at the vendor.
const BASE_URL: &str = "https://api.@name@.example";

/// The settings of one instance; [`Describe`] says what each means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the API is.
    #[serde(default = "base_url")]
    pub base_url: String,
    /// Where the pace comes from.
    #[serde(default)]
    pub pace: Pace,
}

fn base_url() -> String {
    BASE_URL.to_owned()
}

impl Describe for Settings {
    fn describe() -> Vec<Setting> {
        vec![
            Setting::new("base_url", "Address", "Where the API is served.")
                .kind(SettingKind::Url)
                .class(Class::Identity)
                .default(BASE_URL),
            Setting::new("token", "API token", "A token of an admin. Its own account is never touched.")
                .class(Class::Credential)
                .required(),
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

/// An address that paths can be put behind.
pub(super) fn address(field: &str, text: &str) -> Result<Url, SettingsError> {
    match Url::parse(text) {
        Ok(url) if url.host_str().is_some() && url.query().is_none() && url.fragment().is_none() => Ok(url),
        _ => Err(SettingsError::new(field, "must be an http or https URL without query and fragment")),
    }
}
