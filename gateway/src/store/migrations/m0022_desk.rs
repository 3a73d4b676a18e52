//! Targets without an API: tasks for people, and the record of what they did.

use sea_orm_migration::prelude::*;

/// Targets without an API: tasks for people, and the record of what they did.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

// task: a change that a person was asked for. item_seq: of a membership the person's row, else 0. rev: the revision of
// the resource for which it was asked. act: the word; ask: the whole, as JSON. takes: it takes access away. live: it
// bears on what the driver does; there is one per item at most, so that no change is asked for twice at a time. heard:
// the driver knows how it ended; a refusal that was heard stands while live. target_id: the account that it is about, or
// that was made by it.
//
// desk_account, desk_group, desk_member: what is at such a target, as far as tasks and admins tell. *_key: folded.
const UP: &str = r"
CREATE TABLE task (
  seq BIGINT PRIMARY KEY, instance_seq BIGINT NOT NULL, resource_seq BIGINT NOT NULL, item_seq BIGINT NOT NULL, op_seq BIGINT, rev BIGINT NOT NULL,
  act TEXT NOT NULL, ask TEXT NOT NULL, title TEXT NOT NULL, detail TEXT NOT NULL, assignee TEXT, takes SMALLINT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open','done','refused','withdrawn')), live SMALLINT NOT NULL, heard SMALLINT NOT NULL, target_id TEXT,
  created_at BIGINT NOT NULL, due_at BIGINT NOT NULL, closed_at BIGINT, closed_by TEXT, comment TEXT,
  CHECK ((state = 'open') = (closed_at IS NULL)), CHECK (state <> 'open' OR live = 1), CHECK (state <> 'withdrawn' OR live = 0));
CREATE UNIQUE INDEX task_live ON task (resource_seq, item_seq) WHERE live = 1;
CREATE INDEX task_open ON task (takes, due_at, seq) WHERE state = 'open';
CREATE INDEX task_feed ON task (instance_seq, seq);
CREATE INDEX task_resource ON task (resource_seq, seq);
CREATE INDEX task_item ON task (item_seq, seq) WHERE item_seq > 0;
CREATE TABLE desk_account (
  seq BIGINT PRIMARY KEY, instance_seq BIGINT NOT NULL, id TEXT NOT NULL, login TEXT NOT NULL, login_key TEXT NOT NULL, email TEXT, email_key TEXT,
  display_name TEXT, active SMALLINT NOT NULL);
CREATE UNIQUE INDEX desk_account_id ON desk_account (instance_seq, id);
CREATE INDEX desk_account_login ON desk_account (instance_seq, login_key);
CREATE INDEX desk_account_email ON desk_account (instance_seq, email_key);
CREATE TABLE desk_group (seq BIGINT PRIMARY KEY, instance_seq BIGINT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, name_key TEXT NOT NULL);
CREATE UNIQUE INDEX desk_group_id ON desk_group (instance_seq, id);
CREATE INDEX desk_group_name ON desk_group (instance_seq, name_key);
CREATE TABLE desk_member (group_seq BIGINT NOT NULL, account_seq BIGINT NOT NULL, PRIMARY KEY (group_seq, account_seq));
CREATE INDEX desk_member_account ON desk_member (account_seq);
";
