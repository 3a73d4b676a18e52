//! What differs between the databases as SQL is written.

use serde::Deserialize;

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Dialect {
    /// PostgreSQL.
    #[serde(rename = "postgresql")]
    Postgres,
    /// MariaDB or MySQL.
    #[serde(rename = "mariadb")]
    MariaDb,
    /// SQLite.
    #[serde(rename = "sqlite")]
    Sqlite,
}

impl Dialect {
    /// Its name for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::MariaDb => "MariaDB",
            Self::Sqlite => "SQLite",
        }
    }

    /// An identifier in quotes. The text may hold anything but NUL.
    pub(super) fn quote(self, name: &str) -> String {
        match self {
            Self::Postgres | Self::Sqlite => format!("\"{}\"", name.replace('"', "\"\"")),
            Self::MariaDb => format!("`{}`", name.replace('`', "``")),
        }
    }

    /// The place of the n-th value, from 1 on.
    pub(super) fn place(self, number: usize) -> String {
        match self {
            Self::Postgres => format!("${number}"),
            Self::MariaDb | Self::Sqlite => "?".to_owned(),
        }
    }

    /// How a transaction begins; one that reads cannot write.
    pub(super) fn begin(self, writes: bool) -> &'static str {
        match (self, writes) {
            (Self::Postgres, false) => "BEGIN READ ONLY",
            (Self::Postgres, true) => "BEGIN READ WRITE",
            (Self::MariaDb, false) => "START TRANSACTION READ ONLY",
            (Self::MariaDb, true) => "START TRANSACTION READ WRITE",
            (Self::Sqlite, false) => "PRAGMA query_only = 1; BEGIN",
            // Immediate: a transaction that reads first and writes later fails at once where another
            // one wrote in between (sqlite.org/isolation.html).
            (Self::Sqlite, true) => "PRAGMA query_only = 0; BEGIN IMMEDIATE",
        }
    }
}
