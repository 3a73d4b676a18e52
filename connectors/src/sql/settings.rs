//! The settings, and what the admin is told of each.

use connector_sdk::{Class, Describe, Pace, Setting, SettingKind};
use serde::Deserialize;

use super::dialect::Dialect;

/// How the connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// By TLS, with the server's certificate and name verified.
    #[default]
    Verify,
    /// Not at all; only where the gateway's operator allows private targets.
    Off,
}

/// The settings of one database.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    /// Which database it is.
    pub database: Dialect,
    /// The server's name or address.
    pub host: Option<String>,
    /// The server's port.
    pub port: Option<u16>,
    /// The database's name on the server.
    pub name: Option<String>,
    /// Whom the gateway connects as.
    pub user: Option<String>,
    /// SQLite's file, below the folder that the operator names.
    pub file: Option<String>,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: Tls,
    /// Certificates of authorities that are trusted besides the public ones, in PEM.
    pub ca: Option<String>,
    /// Where people and groups are, or which statements reach them: TOML.
    pub mapping: String,
    /// Rows per page of a listing.
    #[serde(default = "page_size")]
    pub page_size: u32,
    /// How many connections may be open at once.
    #[serde(default = "connections")]
    pub connections: u32,
    /// Whether `connections` is a bound.
    #[serde(default)]
    pub pace: Pace,
}

fn page_size() -> u32 {
    500
}

fn connections() -> u32 {
    4
}

impl Describe for Settings {
    fn describe() -> Vec<Setting> {
        let identity = |name, title, help| Setting::new(name, title, help).class(Class::Identity);
        vec![
            identity("database", "Database", "Which database it is; mariadb stands for MySQL as well.")
                .kind(SettingKind::choice(&["postgresql", "mariadb", "sqlite"]))
                .required(),
            identity(
                "host",
                "Host",
                "The server's name or address. Not for SQLite.",
            ),
            identity("port", "Port", "The server's port.")
                .kind(SettingKind::Number)
                .default("5432 of PostgreSQL, 3306 of MariaDB"),
            identity("name", "Database name", "The name of the database on the server. Not for SQLite."),
            identity(
                "user",
                "User",
                "Whom the gateway connects as: a user of its own, with rights on the mapped tables only. Not for SQLite.",
            ),
            Setting::new("password", "Password", "The user's password. Not for SQLite.").class(Class::Credential),
            identity(
                "file",
                "File",
                "SQLite's file, by its path below the folder that the gateway's operator names with SCIMGATE_TARGET_FILES; without that folder no file can be opened.",
            ),
            Setting::new(
                "tls",
                "TLS",
                "verify: the server must offer TLS with a certificate of its host name. off: nothing is protected; only where the operator sets SCIMGATE_ALLOW_PRIVATE_TARGETS.",
            )
            .kind(SettingKind::choice(&["verify", "off"]))
            .default("verify"),
            Setting::new(
                "ca",
                "Certificate authority",
                "Certificates in PEM of authorities that are trusted besides the public ones, for servers with a certificate of the organisation's own.",
            ),
            Setting::new(
                "mapping",
                "Mapping",
                "TOML: the tables of people, groups and members with their columns, or a statement per operation. The connector's page has an example of each.",
            )
            .required(),
            Setting::new("page_size", "Rows per page", "How many rows a listing reads at a time: 1 to 5000.")
                .kind(SettingKind::Number)
                .default("500"),
            Setting::new(
                "connections",
                "Connections",
                "How many connections the gateway has open at once: 1 to 20.",
            )
            .kind(SettingKind::Number)
            .default("4"),
            Setting::new(
                "pace",
                "Pace",
                "documented: no more transactions at once than `connections` says. headers: no bound of its own; the database says when it has no connection left.",
            )
            .kind(SettingKind::choice(&["documented", "headers"]))
            .default("documented"),
        ]
    }
}
