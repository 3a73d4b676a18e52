//! The store: one schema on SQLite and PostgreSQL.
//!
//! Reads go to a pool and see every commit. Writes are [`Unit`]s: on SQLite one writer runs them,
//! each in a savepoint, and commits them in groups, so that one `fsync` serves many requests; on
//! PostgreSQL each runs in a transaction of its own and is repeated when the database asks for it
//! (serialisation failure, deadlock). A unit's answer comes after its commit, never before.
//!
//! Invariant: nothing outside this folder knows which database it is.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, SqlxPostgresConnector, SqlxSqliteConnector,
};
use sea_orm_migration::MigratorTrait;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::clock::{Clock, Mark};
use crate::config::Database;

#[macro_use]
mod sql;
pub mod entity;
mod error;
mod hints;
mod migrations;
mod sequence;
mod settings;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

pub use error::{FromStore, StoreError};
pub(crate) use hints::Hint;
pub(crate) use sql::{Rows, Sql};
pub use writer::{Priority, Tx, Unit};

use hints::Hints;
use sequence::Sequences;
use writer::Writer;

/// How many connections read SQLite beside the writer.
const SQLITE_READERS: u32 = 4;
/// The PostgreSQL pool of one replica.
const POSTGRES_POOL: u32 = 16;
/// How long a request waits for a connection before it is told to come back.
const ACQUIRE: Duration = Duration::from_secs(5);
/// How long a PostgreSQL session may hold locks and say nothing: less than a lease lasts, so that the
/// locks of a replica that froze are gone before another takes its work over.
const IDLE_IN_TRANSACTION: &str = "10s";

/// The store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    reader: DatabaseConnection,
    writer: Writer,
    clock: Clock,
    hints: Arc<Hints>,
    /// Where other replicas' hints are heard: the URL of a PostgreSQL database.
    listen_at: Option<SecretString>,
    /// Held as long as the store: a second process on the same SQLite file is refused.
    _lock: Option<std::fs::File>,
}

impl Store {
    /// Opens a database and brings its schema up to date.
    ///
    /// # Errors
    /// The database cannot be reached, another process has the SQLite file, or a migration fails.
    pub async fn open(database: &Database, clock: Clock) -> Result<Self, StoreError> {
        match database {
            Database::Sqlite(path) => Self::open_sqlite(path, clock).await,
            Database::Postgres(url) => Self::open_postgres(url, clock).await,
        }
    }

    async fn open_sqlite(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| {
                StoreError::Config(format!("the data folder {} cannot be made: {error}", folder.display()))
            })?;
        }
        let lock = lock_beside(path)?;
        make_private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .statement_cache_capacity(256)
            .pragma("cache_size", "-16000")
            .pragma("journal_size_limit", "67108864");
        let writing = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .connect_with(options.clone())
            .await?;
        let writing = SqlxSqliteConnector::from_sqlx_sqlite_pool(writing);
        migrations::Migrator::up(&writing, None).await?;
        let reading = SqlitePoolOptions::new()
            .max_connections(SQLITE_READERS)
            .min_connections(1)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .connect_with(options.pragma("query_only", "1"))
            .await?;
        let reading = SqlxSqliteConnector::from_sqlx_sqlite_pool(reading);
        Ok(Self::assemble(reading, writing, clock, Some(lock), None))
    }

    async fn open_postgres(url: &SecretString, clock: Clock) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url.expose_secret().parse()?;
        let options = options.options([("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION)]);
        let pool =
            PgPoolOptions::new().max_connections(POSTGRES_POOL).acquire_timeout(ACQUIRE).connect_with(options).await?;
        let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
        // Replicas that start together migrate one after the other.
        let guard = sea_orm::TransactionTrait::begin(&connection).await?;
        guard.execute_unprepared("SET LOCAL idle_in_transaction_session_timeout = 0").await?;
        guard.execute_unprepared("SELECT pg_advisory_xact_lock(7236540881)").await?;
        migrations::Migrator::up(&connection, None).await?;
        guard.commit().await?;
        let store = Self::assemble(connection.clone(), connection, clock, None, Some(url.clone()));
        store.ask_clock().await?;
        Ok(store)
    }

    /// Asks the database for its time and follows it: replicas whose hosts disagree about the time
    /// agree by this about what is due and whose lease lasts. Nothing on an embedded database.
    async fn ask_clock(&self) -> Result<(), StoreError> {
        let asked = self.clock().mark();
        let row = self.reader().one(&format!("SELECT {} AS now", self.reader().clock_or("0")), vals![]).await?;
        if self.is_shared()
            && let Some(row) = row
        {
            self.follow_clock(row.col("now")?, asked);
        }
        Ok(())
    }

    /// Follows the database's clock, which said `now` when asked at `asked`.
    pub(crate) fn follow_clock(&self, now: i64, asked: Mark) {
        if let Ok(said) = jiff::Timestamp::from_microsecond(now)
            && self.is_shared()
        {
            self.clock().follow(said, asked);
        }
    }

    fn assemble(
        reader: DatabaseConnection,
        writing: DatabaseConnection,
        clock: Clock,
        lock: Option<std::fs::File>,
        listen_at: Option<SecretString>,
    ) -> Self {
        let hints = Arc::new(Hints::default());
        let sequences = Arc::new(Sequences::default());
        let writer = match writing.get_database_backend() {
            DbBackend::Sqlite => Writer::grouping(writing, sequences, clock.clone()),
            _ => Writer::direct(writing, sequences, clock.clone(), hints.clone()),
        };
        Self(Arc::new(Inner { reader, writer, clock, hints, listen_at, _lock: lock }))
    }

    /// The connection for reads.
    pub(crate) fn reader(&self) -> &DatabaseConnection {
        &self.0.reader
    }

    /// The clock that stamps rows.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Whether the store is shared between replicas.
    pub fn is_shared(&self) -> bool {
        self.0.reader.get_database_backend() == DbBackend::Postgres
    }

    /// Runs a unit and answers once it is committed; on an error nothing of it is kept.
    ///
    /// # Errors
    /// The unit's own, or the store's.
    pub async fn write<U: Unit>(&self, priority: Priority, unit: U) -> Result<U::Out, U::Err> {
        self.0.writer.write(priority, unit).await
    }

    /// Closes the store: what was handed in is finished, the connections end, and the lock of an
    /// embedded database is free once the last clone is dropped.
    pub async fn close(self) {
        // The last write queued before this one has been committed when this returns.
        let _ = self.write(Priority::Background, Nothing).await;
        if let Err(error) = self.reader().clone().close().await {
            tracing::debug!(%error, "a connection did not close cleanly");
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.reader().one("SELECT 1 AS one", vals![]).await?;
        Ok(())
    }
}

/// Does nothing; its answer says that what was queued before it is done.
struct Nothing;

#[async_trait::async_trait]
impl Unit for Nothing {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, _: &Tx<'_>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Makes the file of a SQLite database if there is none. It holds people's data, and SQLite gives its
/// companion files the same mode.
fn make_private(path: &Path) -> Result<(), StoreError> {
    private()
        .open(path)
        .map(drop)
        .map_err(|error| StoreError::Config(format!("the database file {} cannot be opened: {error}", path.display())))
}

/// Opens for writing; what is made belongs to this user alone.
fn private() -> std::fs::OpenOptions {
    let mut options = std::fs::File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    options
}

/// Takes the lock file beside a SQLite database. The operating system frees it when the process
/// dies, however it dies, so the next one need not wait (DECISIONS 19).
fn lock_beside(path: &Path) -> Result<std::fs::File, StoreError> {
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
