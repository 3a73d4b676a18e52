//! One definition per setting, many uses: validation, the console's form, the reference page,
//! redaction, and the rule of what may change once links exist (DECISIONS 28).

use std::borrow::Cow;
use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What kind of value a setting takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum SettingKind {
    /// Text.
    Text,
    /// An http or https URL.
    Url,
    /// true or false.
    Flag,
    /// A whole number.
    Number,
    /// One of these.
    Choice {
        /// The values.
        values: Cow<'static, [&'static str]>,
    },
}

impl SettingKind {
    /// One of these.
    pub const fn choice(values: &'static [&'static str]) -> Self {
        Self::Choice { values: Cow::Borrowed(values) }
    }
}

/// What changing a setting means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Says which target it is; immutable once a link exists.
    Identity,
    /// A credential: write-only, sealed at rest, never shown.
    Credential,
    /// Anything else.
    Tuning,
}

/// One setting of a connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Setting {
    /// Its name in `settings`, or in `secrets` for a credential.
    pub name: &'static str,
    /// Its label.
    pub title: &'static str,
    /// What it does, for the admin.
    pub help: &'static str,
    /// What it takes.
    #[serde(flatten)]
    pub kind: SettingKind,
    /// What changing it means.
    pub class: Class,
    /// Whether it must be given.
    pub required: bool,
    /// Its value when not given, in words.
    pub default: Option<&'static str>,
}

impl Setting {
    /// An optional tuning setting that takes text.
    pub const fn new(name: &'static str, title: &'static str, help: &'static str) -> Self {
        Self { name, title, help, kind: SettingKind::Text, class: Class::Tuning, required: false, default: None }
    }

    /// Sets what it takes.
    pub fn kind(mut self, kind: SettingKind) -> Self {
        self.kind = kind;
        self
    }

    /// Sets what changing it means.
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Makes it required.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Says its value when not given.
    pub fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }
}

/// Settings that can say what they are.
pub trait Describe {
    /// Every setting, credentials included, in the order of the form.
    fn describe() -> Vec<Setting>;
}

/// The credentials of an instance, by name. Prints nothing.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<String, SecretString>);

impl Secrets {
    /// Credentials by name.
    pub fn new(items: impl IntoIterator<Item = (String, SecretString)>) -> Self {
        Self(items.into_iter().collect())
    }

    /// One credential.
    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.0.get(name)
    }

    /// The names that are there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Sixteen hex digits that tell one credential from another without telling it: for
    /// [`crate::DriverKey`]s, so that instances with the same token share a budget.
    pub fn fingerprint(&self, name: &str) -> Option<String> {
        let digest = Sha256::digest(self.0.get(name)?.expose_secret().as_bytes());
        Some(digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// Settings that cannot be used; says which and why, for the admin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct SettingsError {
    /// The setting's name.
    pub field: String,
    /// What is wrong and what to give.
    pub message: String,
}

impl SettingsError {
    /// What is wrong with a field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// Checks settings and credentials against their descriptions.
///
/// # Errors
/// Unknown names, missing required ones, values of the wrong kind; each names the field.
pub fn check(described: &[Setting], settings: &Value, secrets: &Secrets) -> Result<(), SettingsError> {
    let given = settings.as_object().ok_or_else(|| SettingsError::new("settings", "must be an object"))?;
    for name in given.keys() {
        match described.iter().find(|setting| setting.name == name) {
            None => {
                return Err(SettingsError::new(name, "is not a setting of this connector"));
            }
            Some(setting) if setting.class == Class::Credential => {
                return Err(SettingsError::new(name, "is a credential: give it under `secrets`"));
            }
            Some(_) => {}
        }
    }
    for name in secrets.names() {
        if !described.iter().any(|setting| setting.name == name && setting.class == Class::Credential) {
            return Err(SettingsError::new(name, "is not a credential of this connector"));
        }
    }
    for setting in described {
        if setting.class == Class::Credential {
            match secrets.get(setting.name) {
                None if setting.required => {
                    return Err(SettingsError::new(setting.name, "is required, under `secrets`"));
                }
                Some(secret) if secret.expose_secret().trim().is_empty() => {
                    return Err(SettingsError::new(setting.name, "is empty"));
                }
                _ => {}
            }
            continue;
        }
        match given.get(setting.name) {
            None | Some(Value::Null) if setting.required => {
                return Err(SettingsError::new(setting.name, "is required"));
            }
            None | Some(Value::Null) => {}
            Some(value) => fits(setting, value)?,
        }
    }
    Ok(())
}

/// Reads settings that were checked; a null counts as not given.
///
/// # Errors
/// Values that contradict the type; names the field.
pub fn read<T: DeserializeOwned>(settings: &Value) -> Result<T, SettingsError> {
    let given: Value = settings
        .as_object()
        .ok_or_else(|| SettingsError::new("settings", "must be an object"))?
        .iter()
        .filter(|(_, v)| !v.is_null())
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    serde_path_to_error::deserialize(given)
        .map_err(|error| SettingsError::new(error.path().to_string(), error.inner().to_string()))
}

fn fits(setting: &Setting, value: &Value) -> Result<(), SettingsError> {
    let wrong = |what: String| Err(SettingsError::new(setting.name, what));
    match (&setting.kind, value) {
        (SettingKind::Text, Value::String(_)) | (SettingKind::Flag, Value::Bool(_)) => Ok(()),
        (SettingKind::Number, value) if value.is_i64() || value.is_u64() => Ok(()),
        (SettingKind::Url, Value::String(text)) => match url::Url::parse(text) {
            Ok(url)
                if matches!(url.scheme(), "http" | "https")
                    && url.host().is_some()
                    && url.username().is_empty()
                    && url.password().is_none() =>
            {
                Ok(())
            }
            _ => wrong("must be an http or https URL without user and password".to_owned()),
        },
        (SettingKind::Choice { values }, Value::String(text)) if values.contains(&text.as_str()) => Ok(()),
        (SettingKind::Choice { values }, _) => wrong(format!("must be one of: {}", values.join(", "))),
        (SettingKind::Text, _) => wrong("must be text".to_owned()),
        (SettingKind::Url, _) => wrong("must be a URL".to_owned()),
        (SettingKind::Flag, _) => wrong("must be true or false".to_owned()),
        (SettingKind::Number, _) => wrong("must be a whole number".to_owned()),
    }
}
