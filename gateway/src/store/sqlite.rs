//! The embedded database: its file, its lock, its connections and its write-ahead log.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{DatabaseConnection, SqliteTransactionMode, SqlxSqliteConnector, TransactionOptions, TransactionTrait};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

use super::error::StoreError;
use super::failure::Failure;
use super::hints::Hints;
use super::sequence::Sequences;
use super::writer::Writer;
use super::{ACQUIRE_READ, ACQUIRE_WRITE, Inner, Store, migrations};
use crate::clock::Clock;
use crate::telemetry::names;

/// How many connections read beside the writer.
const READERS: u32 = 4;
/// How many of their own the driver's reads have.
const DRIVING: u32 = 2;
/// A write-ahead log of that size is emptied and cut back once nobody reads in it, in bytes.
const TIDY: u64 = 8 << 20;
/// One of that size is told of: something reads for so long that the log cannot be emptied. In bytes.
const ALARM: u64 = 256 << 20;

pub(super) async fn open(path: &Path, clock: Clock) -> Result<Store, StoreError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| {
            StoreError::Config(format!("the data folder {} cannot be made: {error}", folder.display()))
        })?;
    }
    let lock = lock_beside(path)?;
    make_private(path)?;
    let options = options(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(256)
        .pragma("cache_size", "-16000")
        .pragma("journal_size_limit", "67108864");
    let pool = |connections| {
        SqlitePoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_WRITE).test_before_acquire(false)
    };
    let writing = SqlxSqliteConnector::from_sqlx_sqlite_pool(pool(1).connect_with(options.clone()).await?);
    migrate(&writing).await?;
    let options = options.pragma("query_only", "1");
    let reading = pool(READERS).min_connections(1).acquire_timeout(ACQUIRE_READ).connect_with(options.clone()).await?;
    let driving = pool(DRIVING).connect_lazy_with(options);
    let (sequences, failure) = (Arc::new(Sequences::default()), Arc::new(Failure::default()));
    Ok(Store(Arc::new(Inner {
        reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(reading),
        driving: SqlxSqliteConnector::from_sqlx_sqlite_pool(driving),
        writer: Writer::grouping(writing, sequences, clock.clone(), failure.clone()),
        clock,
        hints: Arc::new(Hints::default()),
        failure,
        listen_at: None,
        file: Some(path.to_owned()),
        _lock: Some(lock),
    })))
}

/// What every connection has.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).create_if_missing(false).foreign_keys(true)
}

/// Every migration that is lacking, or none: one that is killed half-way leaves nothing behind.
pub(super) async fn migrate(connection: &DatabaseConnection) -> Result<(), StoreError> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let all = connection.begin_with_options(options).await?;
    migrations::up(&all).await?;
    Ok(all.commit().await?)
}

impl Store {
    /// Looks after the write-ahead log: tells its size as a metric, and empties it where it has grown and nobody reads
    /// in it. SQLite itself empties it every 1,000 pages, but leaves the file as large as it was, and a read that goes
    /// on keeps it from being emptied at all. Nothing on PostgreSQL.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn tidy_log(&self) -> Result<(), StoreError> {
        let Some(path) = &self.0.file else { return Ok(()) };
        let log = with_suffix(path, "-wal");
        let size = || std::fs::metadata(&log).map_or(0, |file| file.len());
        if size() > TIDY {
            // No waiting for readers: that would keep the writer waiting, too.
            let mut own: SqliteConnection =
                options(path).synchronous(SqliteSynchronous::Full).busy_timeout(Duration::ZERO).connect().await?;
            // Answers "busy" where somebody reads or writes; then it is tried again next time.
            let emptied = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut own).await;
            own.close().await?;
            emptied?;
        }
        let left = size();
        metrics::gauge!(names::STORE_LOG_BYTES).set(f64::from(u32::try_from(left >> 10).unwrap_or(u32::MAX)) * 1024.0);
        if left > ALARM {
            tracing::error!(
                bytes = left,
                "the write-ahead log of the database keeps growing: something reads in it without end, such as a copy or a shell that was left open on the file"
            );
        }
        Ok(())
    }
}

/// A file's companion, as SQLite names it.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes the file of a SQLite database if there is none. It holds people's data, and SQLite gives its
/// companion files the same mode.
pub(super) fn make_private(path: &Path) -> Result<(), StoreError> {
    private()
        .open(path)
        .map(drop)
        .map_err(|error| StoreError::Config(format!("the database file {} cannot be opened: {error}", path.display())))
}

/// Opens for writing; what is made belongs to this user alone.
pub(super) fn private() -> std::fs::OpenOptions {
    let mut options = std::fs::File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    options
}

/// Takes the lock file beside a SQLite database. The operating system frees it when the process
/// dies, however it dies, so the next one need not wait (DECISIONS 19).
pub(super) fn lock_beside(path: &Path) -> Result<std::fs::File, StoreError> {
    let name: PathBuf = path.with_extension("lock");
    let file = private()
        .open(&name)
        .map_err(|error| StoreError::Config(format!("the lock file {} cannot be opened: {error}", name.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Config(format!(
            "another scimgate uses {}: stop it first, or use PostgreSQL for several replicas",
            path.display()
        ))),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(StoreError::Config(format!("{} cannot be locked: {error}", name.display())))
        }
    }
}
