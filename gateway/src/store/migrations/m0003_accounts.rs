//! What the target holds, and the links between it and the directory.

use sea_orm_migration::prelude::*;

/// What the target holds, and the links between it and the directory.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

const UP: &str = r"
CREATE TABLE account (
  seq BIGINT PRIMARY KEY, instance_seq BIGINT NOT NULL, kind TEXT NOT NULL, remote_id TEXT, invite_id TEXT,
  login_key TEXT, email_key TEXT, status TEXT NOT NULL CHECK (status IN ('invited','active','suspended','gone')),
  protected SMALLINT NOT NULL, ours SMALLINT NOT NULL, doc TEXT NOT NULL, expires_at BIGINT, invites SMALLINT NOT NULL,
  seen_run BIGINT, seen_at BIGINT, CHECK (remote_id IS NOT NULL OR invite_id IS NOT NULL));
CREATE UNIQUE INDEX account_remote ON account (instance_seq, kind, remote_id) WHERE remote_id IS NOT NULL AND status <> 'gone';
CREATE UNIQUE INDEX account_invite ON account (instance_seq, invite_id) WHERE invite_id IS NOT NULL;
CREATE INDEX account_email ON account (instance_seq, kind, email_key);
CREATE INDEX account_login ON account (instance_seq, kind, login_key);
CREATE INDEX account_sweep ON account (instance_seq, kind, seen_run);
CREATE INDEX account_invited ON account (instance_seq) WHERE status = 'invited';
CREATE TABLE link (
  seq BIGINT PRIMARY KEY, resource_seq BIGINT NOT NULL REFERENCES resource(seq), account_seq BIGINT NOT NULL REFERENCES account(seq),
  state TEXT NOT NULL CHECK (state IN ('proposed','live','closed')), evidence TEXT NOT NULL, opened_at BIGINT NOT NULL, closed_at BIGINT);
CREATE UNIQUE INDEX link_resource ON link (resource_seq) WHERE state = 'live';
CREATE UNIQUE INDEX link_account ON link (account_seq) WHERE state = 'live';
";
