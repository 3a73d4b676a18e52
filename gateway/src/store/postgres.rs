//! PostgreSQL: the connections of one replica, and what is asked of the server.
//!
//! Reads, writes of requests and the driver have connections of their own: a flood of reads is shed first, and what takes
//! access away goes on when requests have used up theirs.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseConnection, SqlxPostgresConnector, TransactionTrait};
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::error::StoreError;
use super::failure::Failure;
use super::hints::Hints;
use super::sequence::Sequences;
use super::sql::{Rows, Sql};
use super::writer::Writer;
use super::{ACQUIRE_READ, ACQUIRE_WRITE, Inner, Store, migrations, stale};
use crate::clock::Clock;

/// The connections of one replica: reads, writes of requests and imports, the driver.
pub(super) const READS: u32 = 8;
pub(super) const WRITES: u32 = 6;
pub(super) const DRIVER: u32 = 4;
/// How long a session may hold locks and say nothing: less than a lease lasts, so that the locks of a replica that froze
/// are gone before another takes its work over.
const IDLE_IN_TRANSACTION: &str = "10s";

pub(super) async fn open(url: &SecretString, clock: Clock) -> Result<Store, StoreError> {
    let options: PgConnectOptions = url.expose_secret().parse()?;
    let mut options = options.options([("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION)]);
    let first = SqlxPostgresConnector::from_sqlx_postgres_pool(
        PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_WRITE).connect_with(options.clone()).await?,
    );
    if is_off(&first, "synchronous_commit").await? {
        // A commit that is only in memory when it is answered would break "2xx means stored". The setting is a
        // session's own, so the gateway's sessions have it on whatever the server's default is.
        tracing::warn!(
            "synchronous_commit is off by default at this database: scimgate turns it on for its own sessions, because it acknowledges nothing that a crash could lose"
        );
        options = options.options([("synchronous_commit", "on")]);
    }
    for (setting, consequence) in [
        ("fsync", "acknowledged changes are lost, or the database is damaged, when the server's machine crashes"),
        ("full_page_writes", "the database may be damaged when the server's machine crashes"),
    ] {
        if is_off(&first, setting).await? {
            tracing::error!(setting, "{setting} is off at the database server: {consequence}. Turn it on");
        }
    }
    migrate(&first).await?;
    first.close().await?;
    let pool = |connections, patience| connect(options.clone(), connections, patience);
    let (reader, writing, driving) =
        (pool(READS, ACQUIRE_READ), pool(WRITES, ACQUIRE_WRITE), pool(DRIVER, ACQUIRE_WRITE));
    let hints = Arc::new(Hints::default());
    let sequences = Arc::new(Sequences::shared());
    let store = Store(Arc::new(Inner {
        reader,
        driving: driving.clone(),
        writer: Writer::direct(writing, driving, sequences, clock.clone(), hints.clone()),
        clock,
        hints,
        failure: Arc::new(Failure::default()),
        listen_at: Some(url.clone()),
        file: None,
        _lock: None,
    }));
    store.ask_clock().await?;
    Ok(store)
}

fn connect(options: PgConnectOptions, connections: u32, patience: Duration) -> DatabaseConnection {
    let pool: PgPool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(patience)
        .before_acquire(|_, about| Box::pin(async move { Ok(!stale::is_stale(about.age)) }))
        .connect_lazy_with(options);
    SqlxPostgresConnector::from_sqlx_postgres_pool(pool)
}

/// Every migration that is lacking, or none. Replicas that start together migrate one after the other.
pub(super) async fn migrate(connection: &DatabaseConnection) -> Result<(), StoreError> {
    let all = connection.begin().await?;
    all.execute_unprepared("SET LOCAL idle_in_transaction_session_timeout = 0").await?;
    all.execute_unprepared("SELECT pg_advisory_xact_lock(7236540881)").await?;
    migrations::up(&all).await?;
    Ok(all.commit().await?)
}

async fn is_off(connection: &DatabaseConnection, setting: &str) -> Result<bool, StoreError> {
    let row = connection.one("SELECT current_setting($1) AS value", vals![setting]).await?;
    Ok(row.map_or(Ok(String::new()), |row| row.col::<String>("value"))? == "off")
}
