//! The store: one schema on SQLite and PostgreSQL.
//!
//! Reads go to a pool and see every commit. Writes are [`Unit`]s: on SQLite one writer runs them,
//! each in a savepoint, and commits them in groups, so that one `fsync` serves many requests; on
//! PostgreSQL each runs in a transaction of its own and is repeated when the database asks for it
//! (serialisation failure, deadlock). A unit's answer comes after its commit, never before.
//!
//! Invariant: nothing outside this folder knows which database it is.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{DatabaseConnection, DatabaseTransaction, DbBackend};
use secrecy::SecretString;

use crate::clock::{Clock, Mark};
use crate::config::Database;

#[macro_use]
mod sql;
pub mod backup;
pub mod entity;
mod error;
mod failure;
mod hints;
mod migrations;
mod postgres;
mod sequence;
mod settings;
mod sqlite;
mod stale;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

pub use error::{FromStore, StoreError};
pub(crate) use hints::Hint;
pub(crate) use sql::{Rows, Sql};
pub use writer::{Priority, Tx, Unit};

use failure::Failure;
use hints::Hints;
use writer::Writer;

/// How long a read waits for a connection before its client is told to come back.
const ACQUIRE_READ: Duration = Duration::from_secs(2);
/// The same of a write, and of the driver.
const ACQUIRE_WRITE: Duration = Duration::from_secs(5);

/// The store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    reader: DatabaseConnection,
    /// For the driver's reads: not used up by those of requests.
    driving: DatabaseConnection,
    writer: Writer,
    clock: Clock,
    hints: Arc<Hints>,
    failure: Arc<Failure>,
    /// Where other replicas' hints are heard: the URL of a PostgreSQL database.
    listen_at: Option<SecretString>,
    /// The file of an embedded database.
    file: Option<PathBuf>,
    /// Held as long as the store: a second process on the same SQLite file is refused.
    _lock: Option<std::fs::File>,
}

impl Store {
    /// Opens a database and brings its schema up to date, in one transaction: killed in the midst of it, the next start
    /// begins where this one did.
    ///
    /// # Errors
    /// The database cannot be reached, another process has the SQLite file, or a migration fails.
    pub async fn open(database: &Database, clock: Clock) -> Result<Self, StoreError> {
        match database {
            Database::Sqlite(path) => sqlite::open(path, clock).await,
            Database::Postgres(url) => postgres::open(url, clock).await,
        }
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

    /// The connection for reads.
    pub(crate) fn reader(&self) -> &DatabaseConnection {
        &self.0.reader
    }

    /// The connection for the driver's reads: it goes on where requests have used up theirs.
    pub(crate) fn driving(&self) -> &DatabaseConnection {
        &self.0.driving
    }

    /// Waits until the file of an embedded database fails, and tells how; for ever if it does not. Nothing is written
    /// any more then, and the process has to end.
    pub async fn failed(&self) -> String {
        self.0.failure.happened().await
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

    /// Whether the database answers, and may be written.
    ///
    /// # Errors
    /// It does not, or its file failed.
    pub async fn ping(&self) -> Result<(), StoreError> {
        if let Some(words) = self.0.failure.words() {
            return Err(StoreError::Fatal(words.to_owned()));
        }
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
