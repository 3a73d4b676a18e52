//! The settings of one instance, and the dialect that they make of a server.

use connector_sdk::{Class, Describe, Secrets, Setting, SettingKind, SettingsError};
use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::auth::{Auth, ClientCredentials};
use super::dialect::{Content, Deprovision, Dialect, Passed, Tri};

/// Extra headers that one instance may have.
const MOST_HEADERS: usize = 20;

/// How calls are authorised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthKind {
    /// `Authorization: Bearer`, with the secret `token`.
    #[default]
    Bearer,
    /// User name and password (RFC 7617).
    Basic,
    /// A header of its own, with the secret `token`.
    Header,
    /// A token by OAuth 2.0 client credentials (RFC 6749 section 4.4).
    Oauth2,
}

/// The settings; [`Describe`] says what each means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the server's SCIM API is.
    pub base_url: String,
    /// How calls are authorised.
    #[serde(default)]
    pub auth: AuthKind,
    /// The user name of `basic`.
    pub auth_user: Option<String>,
    /// The header of `header`.
    pub auth_header: Option<String>,
    /// Where `oauth2` gets its tokens.
    pub token_url: Option<String>,
    /// The client of `oauth2`.
    pub client_id: Option<String>,
    /// What `oauth2` asks for.
    pub token_scope: Option<String>,
    /// Sent with every call, a line each.
    pub headers: Option<String>,
    /// The attribute that becomes the server's `userName`.
    pub user_name_from: Option<String>,
    /// What a deactivation does.
    #[serde(default)]
    pub deprovision: Deprovision,
    /// Which attributes are sent.
    #[serde(default)]
    pub attributes: Passed,
    /// Whether `roles` and `entitlements` are sent.
    #[serde(default)]
    pub send_roles: bool,
    /// Whether the server can PATCH.
    #[serde(default)]
    pub patch: Tri,
    /// Whether the server can filter.
    #[serde(default)]
    pub filter: Tri,
    /// Whether a path may hold a filter.
    #[serde(default = "yes")]
    pub path_filters: bool,
    /// Whether an operation without a path is what the server understands.
    #[serde(default)]
    pub patch_without_path: bool,
    /// Whether groups are served.
    #[serde(default = "yes")]
    pub groups: bool,
    /// Whether a person is looked for before each creation.
    #[serde(default)]
    pub look_before_create: bool,
    /// The account that stands in groups which may not be empty.
    pub placeholder_member: Option<String>,
    /// The media type of bodies.
    #[serde(default)]
    pub content_type: Content,
    /// Members per PATCH.
    #[serde(default = "members")]
    pub max_members_per_patch: u32,
    /// Resources per page; 0 asks for no size.
    #[serde(default = "page")]
    pub page_size: u32,
    /// Resources that a search without a filter reads at most.
    #[serde(default = "scan")]
    pub scan_limit: u32,
    /// Calls a minute; absent: no limit but what the server says.
    pub calls_per_minute: Option<u32>,
}

fn yes() -> bool {
    true
}
fn members() -> u32 {
    100
}
fn page() -> u32 {
    100
}
fn scan() -> u32 {
    10_000
}

/// What settings and secrets make.
pub(super) struct Checked {
    pub(super) base: Url,
    pub(super) auth: Auth,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) dialect: Dialect,
    /// Tells one credential from another without telling it.
    pub(super) fingerprint: String,
}

/// Checks the settings against each other.
///
/// # Errors
/// Names the field.
pub(super) fn check(settings: &Settings, secrets: &Secrets) -> Result<Checked, SettingsError> {
    let base = base_url("base_url", &settings.base_url)?;
    let auth = auth(settings, secrets)?;
    let headers = headers(settings.headers.as_deref().unwrap_or_default())?;
    let fingerprint = match &settings.auth {
        AuthKind::Bearer | AuthKind::Header => secrets.fingerprint("token"),
        AuthKind::Basic => settings.auth_user.clone(),
        AuthKind::Oauth2 => settings.client_id.clone(),
    };
    if settings.max_members_per_patch == 0 {
        return Err(SettingsError::new("max_members_per_patch", "must be at least 1"));
    }
    if settings.page_size > 10_000 {
        return Err(SettingsError::new("page_size", "must be from 0 (no size is asked for) to 10000"));
    }
    if settings.calls_per_minute == Some(0) {
        return Err(SettingsError::new("calls_per_minute", "must be at least 1; leave it out for no limit"));
    }
    if settings.user_name_from.as_deref().is_some_and(|from| from.trim().is_empty()) {
        return Err(SettingsError::new("user_name_from", "is empty; leave it out for `userName`"));
    }
    let mut dialect = Dialect::plain();
    dialect.deprovision = settings.deprovision;
    dialect.passed = settings.attributes;
    dialect.send_roles = settings.send_roles;
    dialect.patch = settings.patch;
    dialect.filter = settings.filter;
    dialect.path_filters = settings.path_filters;
    dialect.patch_without_path = settings.patch_without_path;
    dialect.groups = settings.groups;
    dialect.look_before_create = settings.look_before_create;
    dialect.placeholder.clone_from(&settings.placeholder_member);
    dialect.content = settings.content_type;
    dialect.members_per_patch = settings.max_members_per_patch as usize;
    dialect.page_size = settings.page_size as usize;
    dialect.scan_limit = settings.scan_limit as usize;
    dialect.user_name_from = settings.user_name_from.clone().filter(|from| !from.eq_ignore_ascii_case("userName"));
    Ok(Checked { base, auth, headers, dialect, fingerprint: fingerprint.unwrap_or_default() })
}

/// An address without query, fragment and credentials.
///
/// # Errors
/// Names the field.
pub(super) fn base_url(field: &str, text: &str) -> Result<Url, SettingsError> {
    let url = Url::parse(text).map_err(|_| SettingsError::new(field, "must be an http or https URL"))?;
    if url.query().is_some() || url.fragment().is_some() || url.cannot_be_a_base() {
        return Err(SettingsError::new(field, "must end with the path of the API: no query and no fragment"));
    }
    Ok(url)
}

fn secret<'a>(secrets: &'a Secrets, name: &str, why: &str) -> Result<&'a SecretString, SettingsError> {
    let secret = secrets
        .get(name)
        .ok_or_else(|| SettingsError::new(name, format!("is required, under `secrets`, for auth `{why}`")))?;
    if HeaderValue::from_str(secret.expose_secret()).is_err() {
        return Err(SettingsError::new(name, "holds characters that a header cannot have; copy it again"));
    }
    Ok(secret)
}

fn given<'a>(value: Option<&'a str>, name: &str, why: &str) -> Result<&'a str, SettingsError> {
    value
        .filter(|text| !text.trim().is_empty())
        .ok_or_else(|| SettingsError::new(name, format!("is required for auth `{why}`")))
}

fn auth(settings: &Settings, secrets: &Secrets) -> Result<Auth, SettingsError> {
    Ok(match settings.auth {
        AuthKind::Bearer => Auth::Bearer(secret(secrets, "token", "bearer")?.clone()),
        AuthKind::Basic => {
            let user = given(settings.auth_user.as_deref(), "auth_user", "basic")?;
            if user.contains(':') {
                return Err(SettingsError::new("auth_user", "holds a colon, which RFC 7617 does not allow"));
            }
            Auth::Basic { user: user.to_owned(), password: secret(secrets, "password", "basic")?.clone() }
        }
        AuthKind::Header => {
            let name = given(settings.auth_header.as_deref(), "auth_header", "header")?;
            let name = HeaderName::try_from(name.trim())
                .map_err(|_| SettingsError::new("auth_header", "is not a header's name"))?;
            Auth::Header { name, value: secret(secrets, "token", "header")?.clone() }
        }
        AuthKind::Oauth2 => Auth::Client(Box::new(ClientCredentials::new(
            base_url("token_url", given(settings.token_url.as_deref(), "token_url", "oauth2")?)?,
            given(settings.client_id.as_deref(), "client_id", "oauth2")?.to_owned(),
            secret(secrets, "client_secret", "oauth2")?.clone(),
            settings.token_scope.clone(),
        ))),
    })
}

/// Headers from `name: value` lines.
fn headers(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, SettingsError> {
    const OURS: [&str; 8] = [
        "authorization",
        "accept",
        "content-type",
        "content-length",
        "host",
        "if-match",
        "connection",
        "transfer-encoding",
    ];
    let wrong = |line: usize, what: &str| SettingsError::new("headers", format!("line {line}: {what}"));
    let mut all = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| wrong(at + 1, "must be `name: value`"))?;
        let name =
            HeaderName::try_from(name.trim()).map_err(|_| wrong(at + 1, "what stands before the colon is no name"))?;
        if OURS.contains(&name.as_str()) {
            return Err(wrong(at + 1, "this header is set by the connector; use `auth` for credentials"));
        }
        let value = HeaderValue::from_str(value.trim())
            .map_err(|_| wrong(at + 1, "the value holds characters that a header cannot have"))?;
        all.push((name, value));
    }
    if all.len() > MOST_HEADERS {
        return Err(SettingsError::new("headers", format!("at most {MOST_HEADERS} lines are allowed")));
    }
    Ok(all)
}

impl Describe for Settings {
    fn describe() -> Vec<Setting> {
        let flag =
            |name, title, help, default| Setting::new(name, title, help).kind(SettingKind::Flag).default(default);
        let number =
            |name, title, help, default| Setting::new(name, title, help).kind(SettingKind::Number).default(default);
        let tri = SettingKind::choice(&["auto", "yes", "no"]);
        vec![
            Setting::new("base_url", "SCIM address", "Where the server's SCIM 2.0 API is: the part before /Users.")
                .kind(SettingKind::Url)
                .class(Class::Identity)
                .required(),
            Setting::new("auth", "Authorisation", "bearer: the token in `Authorization: Bearer`. basic: user name and password. header: the token in a header of its own. oauth2: a token by OAuth 2.0 client credentials.")
                .kind(SettingKind::choice(&["bearer", "basic", "header", "oauth2"]))
                .default("bearer"),
            Setting::new("token", "Token", "For auth bearer and header.").class(Class::Credential),
            Setting::new("auth_user", "User name", "For auth basic."),
            Setting::new("password", "Password", "For auth basic.").class(Class::Credential),
            Setting::new("auth_header", "Header of the token", "For auth header: its name, such as X-Api-Key."),
            Setting::new("token_url", "Token address", "For auth oauth2: where the authorisation server gives tokens.").kind(SettingKind::Url),
            Setting::new("client_id", "Client id", "For auth oauth2."),
            Setting::new("client_secret", "Client secret", "For auth oauth2.").class(Class::Credential),
            Setting::new("token_scope", "Scope", "For auth oauth2: what the token is asked to allow.").default("not sent"),
            Setting::new("headers", "Extra headers", "Sent with every call: lines of `name: value`, such as `X-Request-Origin: scimgate`. No secrets: use auth header for those."),
            Setting::new("user_name_from", "Attribute of the user name", "The attribute that becomes the server's userName: `userName`, `emails` for the address, or any other path, such as `externalId`.").default("userName"),
            Setting::new("deprovision", "Deactivation", "active_false: the account is kept with `active` false, and deleted when the directory deletes the person. delete: the account is deleted at once.")
                .kind(SettingKind::choice(&["active_false", "delete"]))
                .default("active_false"),
            Setting::new("attributes", "Attributes", "declared: what the server's /Schemas declares. core: the attributes of RFC 7643's User alone. all: whatever the directory has.")
                .kind(SettingKind::choice(&["declared", "core", "all"]))
                .default("declared"),
            flag("send_roles", "Send roles", "Whether `roles` and `entitlements` are sent. They may give power over others, and the gateway does not know which ones do.", "false"),
            Setting::new("patch", "PATCH", "auto: as the server's ServiceProviderConfig says. Where there is no PATCH, the whole resource is read, changed and written by PUT.").kind(tri.clone()).default("auto"),
            Setting::new("filter", "Filter", "auto: as the server's ServiceProviderConfig says. Where there is no filter, people and groups are found by reading the list.").kind(tri).default("auto"),
            flag("path_filters", "Filters in paths", "Whether PATCH understands `members[value eq \"…\"]`. Where not, members are removed by a value.", "true"),
            flag("patch_without_path", "PATCH without path", "Whether attributes are changed by one `replace` without a path, as GitHub's examples show.", "false"),
            flag("groups", "Groups", "Whether the server's groups are used.", "true"),
            flag("look_before_create", "Look before creating", "For servers that do not answer 409 to a user name that is taken: each creation looks first.", "false"),
            Setting::new("placeholder_member", "Placeholder member", "For servers whose groups may not be empty: the SCIM id of an account that stands in every group made here. It is not listed as a member."),
            Setting::new("content_type", "Media type", "scim: application/scim+json. json: application/json.").kind(SettingKind::choice(&["scim", "json"])).default("scim"),
            number("max_members_per_patch", "Members per PATCH", "How many members one call changes at most.", "100"),
            number("page_size", "Page size", "How many resources a page is asked to have; 0 asks for no size. The server may give fewer.", "100"),
            number("scan_limit", "Longest search", "How many resources a search without a filter reads before it gives up.", "10000"),
            number("calls_per_minute", "Calls a minute", "How many calls a minute the server is sent. Without it, only what the server says limits the pace.", "no limit"),
        ]
    }
}
