//! Who may use the admin API and the console, and the console's sessions.

use sea_orm_migration::prelude::*;

/// Who may use the admin API and the console, and the console's sessions.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

// admin_member: a person or program with a role and a token (`hash` is the token's, `id` its public id). The token that the
// gateway was started with is no row. Rows of revoked members stay, because the audit names them.
//
// console_session: `hash` is that of the cookie's text. `member_id` is `admin` for the token that the gateway was started
// with; `stamp` then says which token that was. A session counts only while its member has the role that it began with.
const UP: &str = r"
CREATE TABLE admin_member (
  id TEXT PRIMARY KEY, seq BIGINT NOT NULL, name TEXT NOT NULL, name_key TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('viewer','admin','owner')), hash TEXT NOT NULL,
  created_at BIGINT NOT NULL, created_by TEXT NOT NULL, not_after BIGINT, revoked_at BIGINT, revoked_by TEXT, last_used_at BIGINT);
CREATE UNIQUE INDEX admin_member_name ON admin_member (name_key) WHERE revoked_at IS NULL;
CREATE TABLE console_session (
  hash TEXT PRIMARY KEY, member_id TEXT NOT NULL, role TEXT NOT NULL, stamp TEXT NOT NULL, created_at BIGINT NOT NULL,
  used_at BIGINT NOT NULL, ends_at BIGINT NOT NULL);
CREATE INDEX console_session_member ON console_session (member_id);
CREATE INDEX console_session_end ON console_session (ends_at);
";
