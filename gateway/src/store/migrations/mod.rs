//! The schema, one migration per file, the same text for SQLite and PostgreSQL.
//!
//! Times are i64 microseconds, flags 0 or 1, JSON is TEXT. `seq` is assigned by the gateway in
//! blocks from `counter`, so that no dialect's identity columns are needed. `*_key` columns hold
//! names folded in Rust, never by the database's collation (DECISIONS 6).

use sea_orm_migration::prelude::*;

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
