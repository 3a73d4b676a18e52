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
    /// The embedded database cannot be read or written any more: an I/O error, or a damaged file. What the operating
    /// system still holds of earlier writes is not known then, so nothing more is written by this process.
    #[error("the database file failed: {0}")]
    Fatal(String),
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
        matches!(self, Self::Busy(_) | Self::Unavailable(_) | Self::Fatal(_) | Self::Config(_))
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        if let Some(SqlErr::UniqueConstraintViolation(what)) = error.sql_err() {
            return Self::Unique(what);
        }
        let text = error.to_string();
        match &error {
            DbErr::Exec(RuntimeErr::SqlxError(inner)) | DbErr::Query(RuntimeErr::SqlxError(inner)) => {
                Self::from_sqlx(inner, text)
            }
            DbErr::Conn(RuntimeErr::SqlxError(inner)) => match Self::from_sqlx(inner, text) {
                Self::Other(text) => Self::Unavailable(text),
                known => known,
            },
            DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => Self::Unavailable(text),
            _ => Self::Other(text),
        }
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
            sqlx::Error::Database(inner) => match inner.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
                Some(_) => Self::of_sqlite(inner.code().and_then(|code| code.parse().ok()).unwrap_or(0), text),
                None => Self::of_postgres(inner.code().as_deref().unwrap_or_default(), text),
            },
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_)
            | sqlx::Error::Tls(_) => Self::Unavailable(text),
            _ => Self::Other(text),
        }
    }

    /// By SQLSTATE (PostgreSQL's manual, appendix A).
    fn of_postgres(code: &str, text: String) -> Self {
        // "cached plan must not change result type": another version changed the schema under a prepared statement.
        if code == "0A000" && text.contains("cached plan") {
            super::stale::seen();
            return Self::Busy(text);
        }
        match code {
            // serialization_failure, deadlock_detected, lock_not_available.
            "40001" | "40P01" | "55P03" => Self::Busy(text),
            // The server went into recovery or became a standby: read_only_sql_transaction.
            "25006" | "25P03" => Self::Unavailable(text),
            // Connection, resources, operator, system.
            code if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => Self::Unavailable(text),
            _ => Self::Other(text),
        }
    }

    /// By extended result code (sqlite.org/rescode.html); its low byte is the primary one.
    fn of_sqlite(code: u32, text: String) -> Self {
        match (code & 0xff, code >> 8) {
            // busy, locked, and a snapshot that is too old.
            (5 | 6, _) => Self::Busy(text),
            // Full, cannot open (mostly: no descriptors left), no memory.
            (13 | 14 | 7, _) => Self::Unavailable(text),
            // I/O errors that come of a full disk, of too little memory or of locks, and leave what was written as it
            // is: NOMEM, ACCESS, CHECKRESERVEDLOCK, LOCK, SHMOPEN, SHMSIZE, SHMLOCK, SHMMAP, GETTEMPPATH.
            (10, 12..=15 | 18..=21 | 25) => Self::Unavailable(text),
            // Every other I/O error, a damaged file, and one that is no database.
            (10 | 11 | 26, _) => Self::Fatal(text),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_passes_and_a_broken_one_does_not() {
        let kind = |code| match StoreError::of_sqlite(code, String::new()) {
            StoreError::Busy(_) => "busy",
            StoreError::Unavailable(_) => "unavailable",
            StoreError::Fatal(_) => "fatal",
            _ => "other",
        };
        // SQLITE_BUSY, BUSY_SNAPSHOT, LOCKED; FULL, CANTOPEN, NOMEM, IOERR_SHMSIZE, IOERR_LOCK.
        for (codes, expected) in [
            (&[5, 517, 6][..], "busy"),
            (&[13, 14, 7, 4874, 3850], "unavailable"),
            // IOERR, IOERR_READ, _SHORT_READ, _WRITE, _FSYNC, _DIR_FSYNC, CORRUPT, CORRUPT_INDEX, NOTADB.
            (&[10, 266, 522, 778, 1034, 1290, 11, 779, 26], "fatal"),
            (&[1, 19, 787], "other"),
        ] {
            for code in codes {
                assert_eq!(kind(*code), expected, "{code}");
            }
        }
    }
}
