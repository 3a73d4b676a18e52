//! What an instance of the GitHub connector is told.

use connector_sdk::{Class, Describe, DriverKey, Pace, Secrets, Setting, SettingKind, SettingsError};
use secrecy::ExposeSecret;
use serde::Deserialize;
use url::Url;

use super::auth::{App, Auth};

/// Whether people are invited into the organisation or only put into teams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Accounts and teams: people are invited, given roles and removed.
    #[default]
    Organization,
    /// Teams only: people are matched to members of the organisation and never invited.
    TeamsOnly,
}

/// Where the connector learns whose account a GitHub account is (DECISIONS 5: GitHub itself ties
/// an accepted e-mail invitation to nobody).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// The SAML identities of the organisation's single sign-on.
    Saml,
    /// Addresses of members in the organisation's verified domains.
    VerifiedDomain,
    /// The identity provider sends the GitHub login in an attribute.
    Handle,
    /// Nothing: people stay at their invitation.
    Manual,
}

/// Who sees a team that is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TeamPrivacy {
    /// Every member of the organisation.
    #[default]
    Closed,
    /// Owners and the team's members.
    Secret,
}

impl TeamPrivacy {
    /// GitHub's word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Secret => "secret",
        }
    }
}

/// The settings of one instance.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The organisation's login.
    pub org: String,
    /// The base of the REST API.
    #[serde(default = "default_api")]
    pub api_url: String,
    /// What is managed.
    #[serde(default)]
    pub mode: Mode,
    /// The identity source; required in organisation mode.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// The SCIM attribute that holds the GitHub login.
    #[serde(default = "default_handle")]
    pub handle_attribute: String,
    /// The GitHub App's id or client id.
    #[serde(default)]
    pub app_id: Option<String>,
    /// The App's installation, if it shall not be looked up.
    #[serde(default)]
    pub installation_id: Option<u64>,
    /// Who sees new teams.
    #[serde(default)]
    pub team_privacy: TeamPrivacy,
    /// Where the pace comes from.
    #[serde(default)]
    pub pace: Pace,
}

fn default_api() -> String {
    "https://api.github.com".to_owned()
}

fn default_handle() -> String {
    "userName".to_owned()
}

impl Describe for Settings {
    fn describe() -> Vec<Setting> {
        vec![
            Setting::new("org", "Organisation", "The organisation's login, as in github.com/LOGIN.")
                .class(Class::Identity)
                .required(),
            Setting::new("api_url", "API URL", "The base of the REST API. GitHub Enterprise Server: https://HOST/api/v3.")
                .kind(SettingKind::Url)
                .class(Class::Identity)
                .default("https://api.github.com"),
            Setting::new("mode", "Mode", "organization: people are invited, given roles and removed. teams_only: people are matched to members and only their team memberships are managed.")
                .kind(SettingKind::choice(&["organization", "teams_only"]))
                .default("organization"),
            Setting::new("identity", "Identity source", "How a GitHub account is recognised as a person's: saml (SAML identities of the organisation), verified_domain (members' addresses in verified domains), handle (an attribute holds the GitHub login), manual (nothing tells: people stay at their e-mail invitation). Required in mode organization.")
                .kind(SettingKind::choice(&["saml", "verified_domain", "handle", "manual"]))
                .default("manual, in mode teams_only"),
            Setting::new("handle_attribute", "Handle attribute", "With identity handle: the SCIM attribute that holds the GitHub login, as a dotted path or a URN path.")
                .default("userName"),
            Setting::new("app_id", "GitHub App id", "The App's id or client id, if an App is used in place of a token.")
                .class(Class::Identity),
            Setting::new("installation_id", "Installation id", "The App's installation in the organisation. Looked up if not given.")
                .kind(SettingKind::Number),
            Setting::new("team_privacy", "New teams are", "closed: every member of the organisation sees them. secret: only owners and the team's members do.")
                .kind(SettingKind::choice(&["closed", "secret"]))
                .default("closed"),
            Setting::new("pace", "Pace", "documented: GitHub's published limits, corrected by what it says. headers: only what it says.")
                .kind(SettingKind::choice(&["documented", "headers"]))
                .default("documented"),
            Setting::new("token", "Token", "A personal access token of an owner: classic with admin:org, or fine-grained with the organisation permission Members: read and write.")
                .class(Class::Credential),
            Setting::new("private_key", "App private key", "The GitHub App's private key (PEM). Give this or a token.")
                .class(Class::Credential),
        ]
    }
}

/// The settings, checked as a whole.
pub(super) struct Checked {
    /// The organisation's login.
    pub(super) org: String,
    /// The REST base, without a trailing slash.
    pub(super) api: Url,
    /// The GraphQL endpoint.
    pub(super) graphql: Url,
    /// The identity source.
    pub(super) identity: Identity,
    /// The credential.
    pub(super) auth: Auth,
    /// What the limits follow.
    pub(super) driver_key: DriverKey,
}

/// Checks what no single field can tell.
pub(super) fn check(settings: &Settings, secrets: &Secrets) -> Result<Checked, SettingsError> {
    let org = settings.org.trim().to_owned();
    if !is_login(&org, 100) {
        return Err(SettingsError::new(
            "org",
            "must be the organisation's login, as in github.com/LOGIN, not its display name or a URL",
        ));
    }
    let mut api = Url::parse(settings.api_url.trim())
        .ok()
        .filter(|url| url.host().is_some())
        .ok_or_else(|| SettingsError::new("api_url", "must be an http or https URL"))?;
    api.set_query(None);
    api.set_fragment(None);
    let path = api.path().trim_end_matches('/').to_owned();
    api.set_path(&path);
    let mut graphql = api.clone();
    // GitHub Enterprise Server serves GraphQL beside, not below, its REST base.
    match path.strip_suffix("/v3") {
        Some(base) if base.ends_with("/api") => graphql.set_path(&format!("{base}/graphql")),
        _ => graphql.set_path(&format!("{path}/graphql")),
    }
    let identity = match (settings.identity, settings.mode) {
        (Some(identity), _) => identity,
        (None, Mode::TeamsOnly) => Identity::Manual,
        (None, Mode::Organization) => {
            return Err(SettingsError::new(
                "identity",
                "is required in mode organization: GitHub does not say who accepted an e-mail invitation. Choose saml, verified_domain, handle or manual",
            ));
        }
    };
    if settings.handle_attribute.trim().is_empty() {
        return Err(SettingsError::new("handle_attribute", "must name a SCIM attribute, as userName"));
    }
    let host = api.host_str().unwrap_or_default().to_ascii_lowercase();
    let port = api.port_or_known_default().unwrap_or_default();
    let app_id = settings.app_id.as_deref().map(str::trim).filter(|id| !id.is_empty());
    let (auth, who) = match (secrets.get("token"), secrets.get("private_key")) {
        (Some(_), Some(_)) => {
            return Err(SettingsError::new("private_key", "give either a token or an App's private key, not both"));
        }
        (None, None) => {
            return Err(SettingsError::new(
                "token",
                "is required under `secrets`, or `private_key` with the setting `app_id`",
            ));
        }
        (Some(token), None) => {
            if app_id.is_some() {
                return Err(SettingsError::new(
                    "app_id",
                    "belongs to a GitHub App: give its `private_key` in place of a token",
                ));
            }
            let token = token.expose_secret().trim();
            if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(SettingsError::new("token", "has characters that no GitHub token has; copy it again"));
            }
            (Auth::token(token), secrets.fingerprint("token").unwrap_or_default())
        }
        (None, Some(key)) => {
            let id = app_id.ok_or_else(|| SettingsError::new("app_id", "is required with an App's private key"))?;
            let app = App::new(id, settings.installation_id, key.expose_secret())?;
            // An installation has its own budget; one App has one installation per organisation.
            (Auth::App(Box::new(app)), format!("app:{id}:{}", org.to_ascii_lowercase()))
        }
    };
    Ok(Checked { org, api, graphql, identity, auth, driver_key: DriverKey::new(format!("github:{host}:{port}:{who}")) })
}

/// Whether a text can be a login: letters, digits, hyphens, and the underscore of managed users'
/// short codes.
pub(super) fn is_login(text: &str, longest: usize) -> bool {
    !text.is_empty()
        && text.len() <= longest
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
