//! What can go wrong in the store.

use sea_orm::{DbErr, RuntimeErr, SqlErr};

/// A store error. Its text is for the log; clients are told that the gateway is unavailable.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database settings cannot be used; the text is for the operator.
    #[error("{0}")]
    Config(String),
    /// A unique index refused the row; the names of index or columns, as the database tells them.
    #[error("unique: {0}")]
    Unique(String),
    /// The database asks to try the transaction again.
    #[error("busy: {0}")]
    Busy(String),
    /// The database cannot be reached, is full, or is shutting down.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// Anything else: a defect, or a damaged row.
    #[error("database: {0}")]
    Other(String),
}

impl StoreError {
    /// A row that does not hold what it must.
    pub(crate) fn damaged(what: impl std::fmt::Display) -> Self {
        Self::Other(format!("damaged row: {what}"))
    }

    /// Whether trying again helps: the database is away or asks for it. Anything else is a defect or a
    /// damaged row.
    pub(crate) fn passes(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Unavailable(_) | Self::Config(_))
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        if let Some(SqlErr::UniqueConstraintViolation(what)) = error.sql_err() {
            return Self::Unique(what);
        }
        let text = error.to_string();
        match &error {
            DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => return Self::Unavailable(text),
            DbErr::Exec(RuntimeErr::SqlxError(inner)) | DbErr::Query(RuntimeErr::SqlxError(inner)) => {
                return Self::from_sqlx(inner, text);
            }
            _ => {}
        }
        Self::Other(text)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let text = error.to_string();
        Self::from_sqlx(&error, text)
    }
}

impl StoreError {
    fn from_sqlx(error: &sqlx::Error, text: String) -> Self {
        match error {
            sqlx::Error::Database(inner) => {
                let code = inner.code().unwrap_or_default();
                match code.as_ref() {
                    // PostgreSQL: serialization_failure, deadlock_detected, lock_not_available. SQLite: busy, locked, busy_snapshot.
                    "40001" | "40P01" | "55P03" | "5" | "6" | "517" => Self::Busy(text),
                    // PostgreSQL classes 08, 53, 57: connection, resources, operator. SQLite: full, io errors, cannot open.
                    code if code.starts_with("08") || code.starts_with("53") || code.starts_with("57") => {
                        Self::Unavailable(text)
                    }
                    "13" | "10" | "14" | "778" | "1034" => Self::Unavailable(text),
                    _ => Self::Other(text),
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Tls(_) => Self::Unavailable(text),
            _ => Self::Other(text),
        }
    }
}

/// Errors of units: they can hold the store's.
pub trait FromStore: From<StoreError> {
    /// The store's error in it, if it is one.
    fn store(&self) -> Option<&StoreError>;
}

impl FromStore for StoreError {
    fn store(&self) -> Option<&StoreError> {
        Some(self)
    }
}
