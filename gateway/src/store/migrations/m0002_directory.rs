//! The directory: Users, Groups, memberships, indexed attributes, totals.

use sea_orm_migration::prelude::*;

/// The directory: Users, Groups, memberships, indexed attributes, totals.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

const UP: &str = r"
CREATE TABLE resource (
  seq BIGINT PRIMARY KEY, instance_seq BIGINT NOT NULL REFERENCES instance(seq), kind TEXT NOT NULL,
  id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, name_key TEXT NOT NULL, name_slot BIGINT NOT NULL,
  external_id TEXT, active SMALLINT NOT NULL, doc TEXT NOT NULL, managed SMALLINT NOT NULL, listed SMALLINT NOT NULL,
  version BIGINT NOT NULL, rev BIGINT NOT NULL, settled_rev BIGINT NOT NULL,
  created_at BIGINT NOT NULL, modified_at BIGINT NOT NULL, deleted_at BIGINT, merged_into BIGINT, look_at BIGINT,
  CHECK ((managed = 1) = (name_slot = 0)));
CREATE UNIQUE INDEX resource_name ON resource (instance_seq, kind, name_key, name_slot) WHERE deleted_at IS NULL;
CREATE INDEX resource_tombstone ON resource (instance_seq, kind, name_key) WHERE deleted_at IS NOT NULL;
CREATE INDEX resource_page ON resource (instance_seq, kind, seq) WHERE deleted_at IS NULL AND listed = 1;
CREATE INDEX resource_modified ON resource (instance_seq, kind, modified_at, seq) WHERE deleted_at IS NULL;
CREATE INDEX resource_external ON resource (instance_seq, kind, external_id);
CREATE INDEX resource_purge ON resource (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE TABLE attr (
  instance_seq BIGINT NOT NULL, path TEXT NOT NULL, value_key TEXT NOT NULL, resource_seq BIGINT NOT NULL,
  PRIMARY KEY (instance_seq, path, value_key, resource_seq));
CREATE INDEX attr_resource ON attr (resource_seq);
CREATE TABLE tally (
  instance_seq BIGINT NOT NULL, kind TEXT NOT NULL, shard SMALLINT NOT NULL, n BIGINT NOT NULL,
  PRIMARY KEY (instance_seq, kind, shard));
CREATE TABLE member (
  group_seq BIGINT NOT NULL, user_seq BIGINT NOT NULL, want SMALLINT NOT NULL, have SMALLINT, asserted SMALLINT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('settled','todo','parked','refused')), reason TEXT, op_seq BIGINT, have_at BIGINT,
  PRIMARY KEY (group_seq, user_seq), CHECK (state NOT IN ('parked','refused') OR reason IS NOT NULL));
CREATE INDEX member_user ON member (user_seq, group_seq);
CREATE INDEX member_todo ON member (group_seq, want, user_seq) WHERE state = 'todo';
";
