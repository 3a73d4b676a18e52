//! Imports and reconciliations.

use sea_orm_migration::prelude::*;

/// Imports and reconciliations.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

const UP: &str = r"
CREATE TABLE run (
  seq BIGINT PRIMARY KEY, id TEXT NOT NULL UNIQUE, instance_seq BIGINT NOT NULL, kind TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('running','done','failed')), page TEXT, complete SMALLINT NOT NULL, counts TEXT NOT NULL, error TEXT,
  started_at BIGINT NOT NULL, ended_at BIGINT);
CREATE UNIQUE INDEX run_one ON run (instance_seq) WHERE state = 'running';
CREATE INDEX run_history ON run (instance_seq, seq);
";
