//! The schema, one migration per file, the same text for SQLite and PostgreSQL.
//!
//! Times are i64 microseconds, flags 0 or 1, JSON is TEXT. `seq` is assigned by the gateway in
//! blocks from `counter`, so that no dialect's identity columns are needed. `*_key` columns hold
//! names folded in Rust, never by the database's collation (DECISIONS 6).

use std::collections::HashSet;

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseTransaction;

use super::error::StoreError;
use super::sql::{Rows, Sql};

mod m0001_instances;
mod m0002_directory;
mod m0003_accounts;
mod m0004_operations;
mod m0005_work;
mod m0006_runs;
mod m0007_waiting;
mod m0008_queries;
mod m0009_schemas;
mod m0010_persons;
mod m0011_dialects;
mod m0012_events;
mod m0013_replicas;
mod m0014_outcomes;
mod m0015_drift;
mod m0016_brake;
mod m0017_budgets;
mod m0018_records;
mod m0019_restore;
mod m0020_sent;
mod m0021_manifests;
mod m0022_desk;
mod m0023_members;
mod m0024_unheard;
mod m0025_persons_at_a_provider;
mod m0026_seen;
mod m0027_feeds;
mod m0028_askers;
mod m0029_handovers;

/// Every migration, oldest first.
pub(super) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_instances::Migration),
            Box::new(m0002_directory::Migration),
            Box::new(m0003_accounts::Migration),
            Box::new(m0004_operations::Migration),
            Box::new(m0005_work::Migration),
            Box::new(m0006_runs::Migration),
            Box::new(m0007_waiting::Migration),
            Box::new(m0008_queries::Migration),
            Box::new(m0009_schemas::Migration),
            Box::new(m0010_persons::Migration),
            Box::new(m0011_dialects::Migration),
            Box::new(m0012_events::Migration),
            Box::new(m0013_replicas::Migration),
            Box::new(m0014_outcomes::Migration),
            Box::new(m0015_drift::Migration),
            Box::new(m0016_brake::Migration),
            Box::new(m0017_budgets::Migration),
            Box::new(m0018_records::Migration),
            Box::new(m0019_restore::Migration),
            Box::new(m0020_sent::Migration),
            Box::new(m0021_manifests::Migration),
            Box::new(m0022_desk::Migration),
            Box::new(m0023_members::Migration),
            Box::new(m0024_unheard::Migration),
            Box::new(m0025_persons_at_a_provider::Migration),
            Box::new(m0026_seen::Migration),
            Box::new(m0027_feeds::Migration),
            Box::new(m0028_askers::Migration),
            Box::new(m0029_handovers::Migration),
        ]
    }
}

/// Runs statements separated by `;` at line ends.
async fn run(manager: &SchemaManager<'_>, statements: &str) -> Result<(), DbErr> {
    for statement in statements.split(";\n").map(str::trim).filter(|text| !text.is_empty()) {
        manager.get_connection().execute_unprepared(statement).await?;
    }
    Ok(())
}

/// Carries out every migration that is lacking, within a transaction. A database that a newer version has brought up to
/// date is left as it is: while replicas are upgraded one by one, one of the version before may be started again.
pub(super) async fn up(all: &DatabaseTransaction) -> Result<(), StoreError> {
    Migrator::install(all).await?;
    let rows = all.all("SELECT version FROM seaql_migrations", vals![]).await?;
    let applied: HashSet<String> = rows.iter().map(|row| row.col("version")).collect::<Result<_, _>>()?;
    let known: HashSet<String> = Migrator::migrations().iter().map(|one| one.name().to_owned()).collect();
    if known.is_subset(&applied) && applied.len() > known.len() {
        tracing::warn!("the database's schema is of a newer version of scimgate; upgrade this replica, too");
        return Ok(());
    }
    Migrator::up(all, None).await?;
    let steps = known.difference(&applied).count();
    if steps > 0 {
        tracing::info!(steps, new = applied.is_empty(), "the database's schema was brought up to date");
    }
    Ok(())
}
