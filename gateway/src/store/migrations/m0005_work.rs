//! What is still to be done, and who may do it: work, holds, leases, budgets.

use sea_orm_migration::prelude::*;

/// What is still to be done, and who may do it: work, holds, leases, budgets.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

const UP: &str = r"
CREATE TABLE hold (
  seq BIGINT PRIMARY KEY, id TEXT NOT NULL UNIQUE, instance_seq BIGINT NOT NULL, state TEXT NOT NULL CHECK (state IN ('open','allowed','discarded')),
  remind_at BIGINT NOT NULL, opened_at BIGINT NOT NULL, decided_by TEXT, decided_at BIGINT);
CREATE TABLE work (
  resource_seq BIGINT PRIMARY KEY REFERENCES resource(seq), instance_seq BIGINT NOT NULL, driver_key TEXT NOT NULL, lane SMALLINT NOT NULL, rev BIGINT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('todo','running','waiting','held','needs')), due_at BIGINT NOT NULL, need TEXT, reason TEXT,
  hold_seq BIGINT REFERENCES hold(seq), after_seq BIGINT, claim_rev BIGINT, claim_epoch BIGINT, tries BIGINT NOT NULL, since BIGINT NOT NULL,
  CHECK (state NOT IN ('needs','waiting') OR need IS NOT NULL), CHECK (state <> 'held' OR hold_seq IS NOT NULL), CHECK (state <> 'running' OR claim_epoch IS NOT NULL));
CREATE INDEX work_next ON work (driver_key, lane, due_at) WHERE state IN ('todo','waiting','needs');
CREATE INDEX work_running ON work (driver_key, claim_epoch) WHERE state = 'running';
CREATE INDEX work_console ON work (instance_seq, state, since);
CREATE TABLE lease (name TEXT PRIMARY KEY, owner TEXT NOT NULL, epoch BIGINT NOT NULL, until_at BIGINT NOT NULL);
CREATE TABLE bucket (
  driver_key TEXT NOT NULL, name TEXT NOT NULL, used BIGINT NOT NULL, window_ends_at BIGINT NOT NULL, blocked_until BIGINT NOT NULL,
  PRIMARY KEY (driver_key, name));
";
