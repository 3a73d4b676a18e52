//! Settings of the gateway itself: flags before environment before file before defaults. This is
//! the one place that knows their names, their defaults and their bounds.

mod oidc;
pub mod variables;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::BoolishValueParser;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use thiserror::Error;
use toml::de::DeTable;
use url::Url;

use crate::inbound::{BadRate, Rate};
pub(crate) use oidc::is_local;
pub use oidc::{ClaimRoles, Oidc};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What the command line and the environment say; also the form of the file. Everything is
/// optional: what is not said here falls to the next source.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// The config file (TOML)
    #[arg(long, env = "SCIMGATE_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:8080]
    #[arg(long, env = "SCIMGATE_LISTEN", value_name = "IP:PORT")]
    pub listen: Option<String>,
    /// URL under which clients reach the gateway [default: http:// and the address listened on]
    #[arg(long, env = "SCIMGATE_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Directory of the SQLite database and the key file [default: ./scimgate-data]
    #[arg(long, env = "SCIMGATE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// sqlite://PATH or postgres://… [default: scimgate.db in the data directory]
    #[arg(long, env = "SCIMGATE_DATABASE_URL", value_name = "URL", hide_env_values = true, value_parser = secret)]
    pub database_url: Option<SecretString>,
    /// Token of the admin API [default: generated at the first start and shown once]
    #[arg(long, env = "SCIMGATE_ADMIN_TOKEN", value_name = "TOKEN", hide_env_values = true, value_parser = secret)]
    pub admin_token: Option<SecretString>,
    /// Base64 of 32 bytes that seal the targets' credentials; several, comma-separated: the first seals [default: the file master.key in the data directory; required with PostgreSQL]
    #[arg(long, env = "SCIMGATE_MASTER_KEY", value_name = "KEY", hide_env_values = true, value_parser = secret)]
    pub master_key: Option<SecretString>,
    /// Issuer of the OpenID Connect provider that people sign in to the console through [default: none; tokens only]
    #[arg(long, env = "SCIMGATE_OIDC_ISSUER", value_name = "URL")]
    pub oidc_issuer: Option<String>,
    /// What the gateway is called at that provider
    #[arg(long, env = "SCIMGATE_OIDC_CLIENT_ID", value_name = "ID")]
    pub oidc_client_id: Option<String>,
    /// The gateway's secret at that provider [default: none; a public client with PKCE]
    #[arg(long, env = "SCIMGATE_OIDC_CLIENT_SECRET", value_name = "SECRET", hide_env_values = true, value_parser = secret)]
    pub oidc_client_secret: Option<SecretString>,
    /// What people know that provider by, such as Okta [default: the issuer's host]
    #[arg(long, env = "SCIMGATE_OIDC_NAME", value_name = "NAME")]
    pub oidc_name: Option<String>,
    /// Scopes to ask it for, separated by blanks [default: openid profile email]
    #[arg(long, env = "SCIMGATE_OIDC_SCOPES", value_name = "SCOPES")]
    pub oidc_scopes: Option<String>,
    /// The claim that gives people roles without an invitation, such as groups [default: none]
    #[arg(long, env = "SCIMGATE_OIDC_ROLE_CLAIM", value_name = "CLAIM")]
    pub oidc_role_claim: Option<String>,
    /// Which value of that claim gives which role: platform-team=admin; helpdesk=viewer
    #[arg(long, env = "SCIMGATE_OIDC_ROLES", value_name = "VALUE=ROLE; ...")]
    pub oidc_roles: Option<String>,
    /// Let targets have private addresses, and plain http
    #[arg(long, env = "SCIMGATE_ALLOW_PRIVATE_TARGETS", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    pub allow_private_targets: Option<bool>,
    /// Folder of manifests: connectors that are TOML or YAML files; read at the start
    #[arg(long, env = "SCIMGATE_MANIFESTS_DIR", value_name = "DIR")]
    pub manifests_dir: Option<PathBuf>,
    /// Folder below which files are targets (SQLite databases) [default: none]
    #[arg(long, env = "SCIMGATE_TARGET_FILES", value_name = "DIR")]
    pub target_files: Option<PathBuf>,
    /// Most connections open at once [default: 10000]
    #[arg(long, env = "SCIMGATE_MAX_CONNECTIONS", value_name = "N")]
    pub max_connections: Option<u64>,
    /// Seconds a client may take to send a request's header [default: 10]
    #[arg(long, env = "SCIMGATE_HEADER_TIMEOUT_SECONDS", value_name = "SECONDS")]
    pub header_timeout_seconds: Option<u64>,
    /// Largest body of a request for a user, in bytes [default: 1048576]
    #[arg(long, env = "SCIMGATE_BODY_LIMIT_USER_BYTES", value_name = "BYTES")]
    pub body_limit_user_bytes: Option<u64>,
    /// Largest body of a request for a group or of a bulk request, in bytes [default: 16777216]
    #[arg(long, env = "SCIMGATE_BODY_LIMIT_GROUP_BYTES", value_name = "BYTES")]
    pub body_limit_group_bytes: Option<u64>,
    /// Most operations in one bulk request [default: 1000]
    #[arg(long, env = "SCIMGATE_BULK_MAX_OPERATIONS", value_name = "N")]
    pub bulk_max_operations: Option<u64>,
    /// Most SCIM requests per API key, such as 50/s, 600/m or 10000/h [default: no limit]
    #[arg(long, env = "SCIMGATE_INBOUND_PER_KEY", value_name = "N/UNIT")]
    pub inbound_per_key: Option<String>,
    /// What to log: a level, or directives such as info,gateway=debug [default: info]
    #[arg(long, env = "SCIMGATE_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// How log lines look [default: text]
    #[arg(long, env = "SCIMGATE_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Seconds one call of a target may take [default: 8]
    #[arg(long, env = "SCIMGATE_CALL_TIMEOUT_SECONDS", value_name = "SECONDS")]
    pub call_timeout_seconds: Option<u64>,
    /// Seconds between two looks at a pending invitation [default: 60]
    #[arg(long, env = "SCIMGATE_INVITATION_LOOK_SECONDS", value_name = "SECONDS")]
    pub invitation_look_seconds: Option<u64>,
    /// Days that operations that ended are kept [default: 400]
    #[arg(long, env = "SCIMGATE_RETENTION_OPERATIONS_DAYS", value_name = "DAYS")]
    pub retention_operations_days: Option<u64>,
    /// Days that attempts at targets are kept [default: 30]
    #[arg(long, env = "SCIMGATE_RETENTION_ATTEMPTS_DAYS", value_name = "DAYS")]
    pub retention_attempts_days: Option<u64>,
    /// Days that deleted people and groups are kept [default: 90]
    #[arg(long, env = "SCIMGATE_RETENTION_TOMBSTONES_DAYS", value_name = "DAYS")]
    pub retention_tombstones_days: Option<u64>,
    /// Days that refused requests are kept [default: 14]
    #[arg(long, env = "SCIMGATE_RETENTION_REJECTED_DAYS", value_name = "DAYS")]
    pub retention_rejected_days: Option<u64>,
    /// Days that runs that ended are kept [default: 90]
    #[arg(long, env = "SCIMGATE_RETENTION_RUNS_DAYS", value_name = "DAYS")]
    pub retention_runs_days: Option<u64>,
    /// Days that admins' acts are kept [default: 2555]
    #[arg(long, env = "SCIMGATE_RETENTION_AUDIT_DAYS", value_name = "DAYS")]
    pub retention_audit_days: Option<u64>,
    /// Print one JSON line on standard output when ready
    #[arg(long, env = "SCIMGATE_READY_JSON", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    #[serde(skip)]
    pub ready_json: Option<bool>,
}

#[expect(clippy::unnecessary_wraps, reason = "clap wants a Result")]
fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

/// The keys of the file.
const KEYS: [&str; 32] = [
    "listen",
    "public_url",
    "data_dir",
    "database_url",
    "admin_token",
    "master_key",
    "oidc_issuer",
    "oidc_client_id",
    "oidc_client_secret",
    "oidc_name",
    "oidc_scopes",
    "oidc_role_claim",
    "oidc_roles",
    "allow_private_targets",
    "manifests_dir",
    "target_files",
    "max_connections",
    "header_timeout_seconds",
    "body_limit_user_bytes",
    "body_limit_group_bytes",
    "bulk_max_operations",
    "inbound_per_key",
    "log",
    "log_format",
    "call_timeout_seconds",
    "invitation_look_seconds",
    "retention_operations_days",
    "retention_attempts_days",
    "retention_tombstones_days",
    "retention_rejected_days",
    "retention_runs_days",
    "retention_audit_days",
];

const MAX_FILE: u64 = 1024 * 1024;

/// Why the settings cannot be used. The text is for the operator.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: the config file cannot be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A line of the file is wrong.
    #[error("{} line {line}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A setting has a value that it cannot have.
    #[error(
        "{setting}: {problem}. It is set by {}, {} or {setting} in the config file.",
        flag(setting),
        variable(setting)
    )]
    Value {
        /// Its name, as in the file.
        setting: &'static str,
        /// What is wrong.
        problem: String,
    },
}

fn flag(setting: &str) -> String {
    format!("--{}", setting.replace('_', "-"))
}

fn variable(setting: &str) -> String {
    format!("SCIMGATE_{}", setting.to_uppercase())
}

/// Where the directory is kept.
#[derive(Clone)]
pub enum Database {
    /// The embedded database, in this file.
    Sqlite(PathBuf),
    /// PostgreSQL, by this URL (which may hold a password).
    Postgres(SecretString),
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.write_str("Postgres(..)"),
        }
    }
}

impl Database {
    /// Whether it is the embedded one: one process, a key file will do.
    pub fn embedded(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Whether it is an embedded one that was never started: its file does not exist. Where that
    /// cannot be told, it counts as existing.
    pub fn is_new(&self) -> bool {
        match self {
            Self::Sqlite(path) => matches!(path.try_exists(), Ok(false)),
            Self::Postgres(_) => false,
        }
    }

    /// Its URL.
    pub fn url(&self) -> SecretString {
        match self {
            Self::Sqlite(path) => {
                let path = path.display().to_string();
                let path = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
                SecretString::from(format!("sqlite://{path}?mode=rwc"))
            }
            Self::Postgres(url) => url.clone(),
        }
    }

    fn parse(url: &SecretString) -> Result<Self, String> {
        let text = url.expose_secret();
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            // The parser's own words may quote the URL, and with it the password.
            Url::parse(text).map_err(|_| "it is not a valid URL".to_owned())?;
            return Ok(Self::Postgres(url.clone()));
        }
        let Some(path) = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")) else {
            return Err("it must begin with sqlite:// or postgres://".to_owned());
        };
        let path = path.split('?').next().unwrap_or_default();
        if path.is_empty() || path == ":memory:" {
            return Err("sqlite needs the path of a file".to_owned());
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }
}

/// The settings of a gateway, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Under which URL clients reach it, without a slash at the end; see [`Config::public_url_at`].
    pub public_url: Option<String>,
    /// The directory of the database and the key file.
    pub data_dir: PathBuf,
    /// The database.
    pub database: Database,
    /// The admin token that the operator chose.
    pub admin_token: Option<SecretString>,
    /// The master keys that the operator gave.
    pub master_key: Option<SecretString>,
    /// The provider that people sign in to the console through.
    pub oidc: Option<Oidc>,
    /// Whether targets may have private addresses and plain http.
    pub allow_private_targets: bool,
    /// The folder of manifests.
    pub manifests_dir: Option<PathBuf>,
    /// The folder below which files are targets; without one no file is.
    pub target_files: Option<PathBuf>,
    /// Most connections open at once.
    pub max_connections: usize,
    /// How long a client may take to send a header.
    pub header_timeout: Duration,
    /// Largest body of a request for a user, in bytes.
    pub body_limit_user: usize,
    /// Largest body of a request for a group or of a bulk request, in bytes.
    pub body_limit_group: usize,
    /// Most operations in one bulk request.
    pub bulk_max_operations: usize,
    /// Most requests of the SCIM side per API key; a key may have a limit of its own.
    pub inbound_per_key: Option<Rate>,
    /// The log filter.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// How long one call of a target may take.
    pub call_timeout: Duration,
    /// The time between two looks at a pending invitation.
    pub invitation_look: Duration,
    /// How long what is kept.
    pub retention: Retention,
    /// Whether to print a JSON line when ready.
    pub ready_json: bool,
}

/// How long what is kept (DECISIONS 33).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Operations that ended, and what was known of the target at any time.
    pub operations: Duration,
    /// Attempts.
    pub attempts: Duration,
    /// Deleted people and groups.
    pub tombstones: Duration,
    /// Refused requests.
    pub rejected: Duration,
    /// Runs that ended.
    pub runs: Duration,
    /// What admins did.
    pub audit: Duration,
}

impl Config {
    /// Reads the file that `overrides` names, if it names one, and checks everything.
    ///
    /// # Errors
    /// [`ConfigError`], which names the line or the setting.
    pub fn load(overrides: Overrides) -> Result<Self, ConfigError> {
        let file = match &overrides.config {
            Some(path) => read_file(path)?,
            None => Overrides::default(),
        };
        Self::check(overrides.or(file))
    }

    fn check(said: Overrides) -> Result<Self, ConfigError> {
        let oidc = oidc::check(&said)?;
        let listen = said.listen.as_deref().unwrap_or("127.0.0.1:8080");
        let listen = listen.parse().map_err(|_| {
            value("listen", format!("{listen:?} is not an address and port such as 127.0.0.1:8080 or [::]:8080"))
        })?;
        let data_dir = said.data_dir.unwrap_or_else(|| PathBuf::from("./scimgate-data"));
        if data_dir.as_os_str().is_empty() {
            return Err(value("data_dir", "it is empty"));
        }
        let database = match &said.database_url {
            Some(url) => Database::parse(url).map_err(|problem| value("database_url", problem))?,
            None => Database::Sqlite(data_dir.join("scimgate.db")),
        };
        for (setting, secret) in [("admin_token", &said.admin_token), ("master_key", &said.master_key)] {
            if secret.as_ref().is_some_and(|text| text.expose_secret().trim().is_empty()) {
                return Err(value(setting, "it is empty. Leave it out, or give it a value"));
            }
        }
        let log = said.log.unwrap_or_else(|| "info".to_owned());
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&log) {
            return Err(value("log", format!("{log:?} is not a log filter ({error})")));
        }
        Ok(Self {
            listen,
            oidc,
            public_url: said.public_url.as_deref().map(public_url).transpose()?,
            data_dir,
            database,
            admin_token: said.admin_token,
            master_key: said.master_key,
            allow_private_targets: said.allow_private_targets.unwrap_or(false),
            manifests_dir: said.manifests_dir.filter(|folder| !folder.as_os_str().is_empty()),
            target_files: said.target_files,
            max_connections: size("max_connections", said.max_connections, 10_000, 1, 1_000_000)?,
            header_timeout: seconds("header_timeout_seconds", said.header_timeout_seconds, 10, 1, 300)?,
            body_limit_user: size("body_limit_user_bytes", said.body_limit_user_bytes, 1 << 20, 1 << 10, 1 << 30)?,
            body_limit_group: size("body_limit_group_bytes", said.body_limit_group_bytes, 16 << 20, 1 << 10, 1 << 30)?,
            bulk_max_operations: size("bulk_max_operations", said.bulk_max_operations, 1_000, 1, 10_000)?,
            inbound_per_key: match said.inbound_per_key.as_deref() {
                None | Some("") => None,
                Some(text) => {
                    Some(text.parse().map_err(|problem: BadRate| value("inbound_per_key", problem.to_string()))?)
                }
            },
            log,
            log_format: said.log_format.unwrap_or_default(),
            // A call is only sent while the driver's lease (15 s, renewed every 3 s) lasts longer.
            call_timeout: seconds("call_timeout_seconds", said.call_timeout_seconds, 8, 1, 10)?,
            invitation_look: seconds("invitation_look_seconds", said.invitation_look_seconds, 60, 1, 86_400)?,
            retention: Retention {
                operations: days("retention_operations_days", said.retention_operations_days, 400)?,
                attempts: days("retention_attempts_days", said.retention_attempts_days, 30)?,
                tombstones: days("retention_tombstones_days", said.retention_tombstones_days, 90)?,
                rejected: days("retention_rejected_days", said.retention_rejected_days, 14)?,
                runs: days("retention_runs_days", said.retention_runs_days, 90)?,
                audit: days("retention_audit_days", said.retention_audit_days, 2_555)?,
            },
            ready_json: said.ready_json.unwrap_or(false),
        })
    }

    /// The URL under which clients reach the gateway that listens on `local`.
    pub fn public_url_at(&self, local: SocketAddr) -> String {
        self.public_url.clone().unwrap_or_else(|| format!("http://{local}"))
    }
}

impl Overrides {
    /// What this one does not say, the other does.
    fn or(self, other: Self) -> Self {
        Self {
            config: self.config.or(other.config),
            listen: self.listen.or(other.listen),
            public_url: self.public_url.or(other.public_url),
            data_dir: self.data_dir.or(other.data_dir),
            database_url: self.database_url.or(other.database_url),
            admin_token: self.admin_token.or(other.admin_token),
            master_key: self.master_key.or(other.master_key),
            oidc_issuer: self.oidc_issuer.or(other.oidc_issuer),
            oidc_client_id: self.oidc_client_id.or(other.oidc_client_id),
            oidc_client_secret: self.oidc_client_secret.or(other.oidc_client_secret),
            oidc_name: self.oidc_name.or(other.oidc_name),
            oidc_scopes: self.oidc_scopes.or(other.oidc_scopes),
            oidc_role_claim: self.oidc_role_claim.or(other.oidc_role_claim),
            oidc_roles: self.oidc_roles.or(other.oidc_roles),
            allow_private_targets: self.allow_private_targets.or(other.allow_private_targets),
            manifests_dir: self.manifests_dir.or(other.manifests_dir),
            target_files: self.target_files.or(other.target_files),
            max_connections: self.max_connections.or(other.max_connections),
            header_timeout_seconds: self.header_timeout_seconds.or(other.header_timeout_seconds),
            body_limit_user_bytes: self.body_limit_user_bytes.or(other.body_limit_user_bytes),
            body_limit_group_bytes: self.body_limit_group_bytes.or(other.body_limit_group_bytes),
            bulk_max_operations: self.bulk_max_operations.or(other.bulk_max_operations),
            inbound_per_key: self.inbound_per_key.or(other.inbound_per_key),
            log: self.log.or(other.log),
            log_format: self.log_format.or(other.log_format),
            call_timeout_seconds: self.call_timeout_seconds.or(other.call_timeout_seconds),
            invitation_look_seconds: self.invitation_look_seconds.or(other.invitation_look_seconds),
            retention_operations_days: self.retention_operations_days.or(other.retention_operations_days),
            retention_attempts_days: self.retention_attempts_days.or(other.retention_attempts_days),
            retention_tombstones_days: self.retention_tombstones_days.or(other.retention_tombstones_days),
            retention_rejected_days: self.retention_rejected_days.or(other.retention_rejected_days),
            retention_runs_days: self.retention_runs_days.or(other.retention_runs_days),
            retention_audit_days: self.retention_audit_days.or(other.retention_audit_days),
            ready_json: self.ready_json.or(other.ready_json),
        }
    }
}

fn value(setting: &'static str, problem: impl Into<String>) -> ConfigError {
    ConfigError::Value { setting, problem: problem.into() }
}

fn number(setting: &'static str, said: Option<u64>, default: u64, least: u64, most: u64) -> Result<u64, ConfigError> {
    let number = said.unwrap_or(default);
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(value(setting, format!("{number} is not between {least} and {most}")))
    }
}

fn seconds(
    setting: &'static str,
    said: Option<u64>,
    default: u64,
    least: u64,
    most: u64,
) -> Result<Duration, ConfigError> {
    number(setting, said, default, least, most).map(Duration::from_secs)
}

fn days(setting: &'static str, said: Option<u64>, default: u64) -> Result<Duration, ConfigError> {
    number(setting, said, default, 1, 36_500).map(|days| Duration::from_secs(days * 86_400))
}

fn size(setting: &'static str, said: Option<u64>, default: u64, least: u64, most: u64) -> Result<usize, ConfigError> {
    let number = number(setting, said, default, least, most)?;
    usize::try_from(number).map_err(|_| value(setting, format!("{number} is too much for this machine")))
}

fn public_url(text: &str) -> Result<String, ConfigError> {
    let refused = |problem: &str| value("public_url", format!("{text:?} {problem}"));
    let url = Url::parse(text).map_err(|_| refused("is not a URL such as https://scim.example.com"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(refused("must begin with https:// or http://"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused("must have neither ? nor #"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(value("public_url", "it must not hold a user name or password"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn read_file(path: &Path) -> Result<Overrides, ConfigError> {
    let unreadable = |error| ConfigError::Unreadable { path: path.to_owned(), error };
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_FILE {
        return Err(ConfigError::File {
            path: path.to_owned(),
            line: 1,
            problem: "the file is larger than 1 MiB".to_owned(),
        });
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    parse_file(&text).map_err(|(line, problem)| ConfigError::File { path: path.to_owned(), line, problem })
}

fn parse_file(text: &str) -> Result<Overrides, (usize, String)> {
    // Only the parser's message, never its excerpt: the line may hold a secret.
    let failed = |error: toml::de::Error| {
        let line = line_of(text, error.span().map_or(0, |span| span.start));
        (line, error.message().to_owned())
    };
    let table = DeTable::parse(text).map_err(failed)?;
    let mut unknown: Vec<(usize, &str)> = table
        .get_ref()
        .keys()
        .filter(|key| !KEYS.contains(&key.get_ref().as_ref()))
        .map(|key| (key.span().start, key.get_ref().as_ref()))
        .collect();
    unknown.sort_unstable();
    if let Some((at, key)) = unknown.first() {
        let hint = nearest(key, KEYS.iter().copied()).map_or_else(
            || format!("The settings are: {}.", KEYS.join(", ")),
            |known| format!("Did you mean {known}?"),
        );
        return Err((line_of(text, *at), format!("there is no setting {key:?}. {hint}")));
    }
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let (line, message) = failed(error);
        let key = table
            .get_ref()
            .iter()
            .find(|(key, value)| (line_of(text, key.span().start)..=line_of(text, value.span().end)).contains(&line))
            .map_or("", |(key, _)| key.get_ref().as_ref());
        let secret = ["admin_token", "master_key", "database_url", "oidc_client_secret"].contains(&key);
        (line, if secret { format!("{key}: it must be a text in quotes") } else { format!("{key}: {message}") })
    })
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The one of some names that is at most three edits away, and not another word altogether.
pub(crate) fn nearest<'a>(key: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if key.len() > 64 {
        return None;
    }
    let (edits, known) = names.map(|known| (edits(key, known), known)).min()?;
    (edits <= 3 && edits < known.len()).then_some(known)
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
