//! The record: operations, attempts, audit. No foreign keys: it outlives what it tells of.

use sea_orm_migration::prelude::*;

/// The record: operations, attempts, audit. No foreign keys: it outlives what it tells of.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

const UP: &str = r"
CREATE TABLE operation (
  seq BIGINT PRIMARY KEY, id TEXT NOT NULL UNIQUE, instance_seq BIGINT NOT NULL, resource_seq BIGINT NOT NULL, cause_seq BIGINT,
  actor TEXT NOT NULL, request_id TEXT, verb TEXT NOT NULL, rev BIGINT NOT NULL, changes TEXT NOT NULL, quirks TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open','applied','failed','superseded','withdrawn')),
  items BIGINT NOT NULL, open_items BIGINT NOT NULL, failed_items BIGINT NOT NULL, parked_items BIGINT NOT NULL, superseded_items BIGINT NOT NULL,
  reason TEXT, at BIGINT NOT NULL, closed_at BIGINT, CHECK ((state = 'open') = (closed_at IS NULL)));
CREATE INDEX operation_resource ON operation (resource_seq, seq);
CREATE INDEX operation_feed ON operation (instance_seq, seq);
CREATE INDEX operation_open ON operation (resource_seq, rev) WHERE state = 'open';
CREATE TABLE attempt (
  seq BIGINT PRIMARY KEY, instance_seq BIGINT NOT NULL, resource_seq BIGINT NOT NULL, item_seq BIGINT NOT NULL, op_seq BIGINT,
  step TEXT NOT NULL, marker TEXT, epoch BIGINT NOT NULL, config_rev BIGINT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('sending','done','refused','not_sent','unknown','resolved')),
  fault TEXT, calls TEXT, started_at BIGINT NOT NULL, ended_at BIGINT);
CREATE UNIQUE INDEX attempt_in_flight ON attempt (resource_seq, item_seq) WHERE state IN ('sending','unknown');
CREATE INDEX attempt_history ON attempt (resource_seq, seq);
CREATE TABLE waiver (resource_seq BIGINT NOT NULL, item_seq BIGINT NOT NULL, rev BIGINT NOT NULL, why TEXT NOT NULL, PRIMARY KEY (resource_seq, item_seq));
CREATE TABLE audit (seq BIGINT PRIMARY KEY, actor TEXT NOT NULL, act TEXT NOT NULL, target TEXT NOT NULL, detail TEXT NOT NULL, at BIGINT NOT NULL);
";
