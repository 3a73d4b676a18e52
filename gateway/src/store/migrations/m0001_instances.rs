//! Instances, their sealed credentials and their keys.

use sea_orm_migration::prelude::*;

/// Instances, their sealed credentials and their keys.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

const UP: &str = r"
CREATE TABLE counter (name TEXT PRIMARY KEY, next BIGINT NOT NULL);
INSERT INTO counter (name, next) VALUES ('seq', 1);
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE instance (
  seq BIGINT PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, connector TEXT NOT NULL,
  mode TEXT NOT NULL CHECK (mode IN ('disabled','rehearse','enabled','paused')),
  settings TEXT NOT NULL, policy TEXT NOT NULL, config_rev BIGINT NOT NULL, driver_key TEXT NOT NULL,
  created_at BIGINT NOT NULL, deleted_at BIGINT);
CREATE TABLE sealed (
  instance_seq BIGINT NOT NULL REFERENCES instance(seq), field TEXT NOT NULL, ciphertext TEXT NOT NULL, kek TEXT NOT NULL,
  PRIMARY KEY (instance_seq, field));
CREATE TABLE api_key (
  key_id TEXT PRIMARY KEY, name TEXT NOT NULL, instance_seq BIGINT NOT NULL REFERENCES instance(seq),
  hash TEXT NOT NULL, scopes TEXT NOT NULL, created_at BIGINT NOT NULL, not_after BIGINT, last_used_at BIGINT);
CREATE INDEX api_key_instance ON api_key (instance_seq);
";
