//! The brake: what was counted, what is held; and alerts.

use sea_orm_migration::prelude::*;

/// The brake: what was counted, what is held; and alerts.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

// hold: `why` is the count that tripped the brake, as JSON. What an open hold holds is not copied: it is the rows of
// work that are held by it and the memberships that are (`held` = 1), so whatever overwrites those leaves the hold by
// itself. hold_item is the list as it was decided.
//
// member.hold_seq: the hold that holds the removal, or once did; with `held` = 0 of an allowed one it may be sent.
//
// brake: one row per instance (or group) and effect, locked while one more is counted: `used` is the number of rows in
// brake_person, `size` the largest number of accounts (members) seen within the window. So one more costs what it
// changes, however large the directory and however many were counted.
//
// alert: what is wrong now, so that it is told once, and again at growing intervals. alert_message: what is still to be
// delivered to a webhook.
const UP: &str = r"
ALTER TABLE hold ADD COLUMN why TEXT NOT NULL DEFAULT '{}';
ALTER TABLE hold ADD COLUMN reminders BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hold ADD COLUMN comment TEXT;
CREATE UNIQUE INDEX hold_open ON hold (instance_seq) WHERE state = 'open';
CREATE TABLE hold_item (
  hold_seq BIGINT NOT NULL REFERENCES hold(seq), resource_seq BIGINT NOT NULL, item_seq BIGINT NOT NULL, effect TEXT NOT NULL, rev BIGINT NOT NULL,
  PRIMARY KEY (hold_seq, resource_seq, item_seq));
ALTER TABLE member ADD COLUMN hold_seq BIGINT;
ALTER TABLE member ADD COLUMN held SMALLINT NOT NULL DEFAULT 0;
DROP INDEX member_todo;
CREATE INDEX member_todo ON member (group_seq, held, want, user_seq) WHERE state = 'todo';
CREATE INDEX member_held ON member (hold_seq, group_seq, user_seq) WHERE held = 1;
CREATE INDEX work_held ON work (hold_seq, resource_seq) WHERE hold_seq IS NOT NULL;
CREATE INDEX work_needs ON work (instance_seq, need) WHERE state = 'needs';
CREATE INDEX account_size ON account (instance_seq, kind) WHERE status <> 'gone';
ALTER TABLE operation ADD COLUMN withdrawn_items BIGINT NOT NULL DEFAULT 0;
CREATE TABLE brake (
  scope_seq BIGINT NOT NULL, effect TEXT NOT NULL, used BIGINT NOT NULL, size BIGINT NOT NULL, sized_at BIGINT NOT NULL,
  counted_at BIGINT NOT NULL, touched_at BIGINT NOT NULL, PRIMARY KEY (scope_seq, effect));
CREATE TABLE brake_person (
  scope_seq BIGINT NOT NULL, effect TEXT NOT NULL, person_seq BIGINT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (scope_seq, effect, person_seq));
CREATE INDEX brake_person_age ON brake_person (scope_seq, effect, at);
CREATE TABLE alert (
  kind TEXT NOT NULL, instance_seq BIGINT NOT NULL, subject TEXT NOT NULL, since BIGINT NOT NULL, reminders BIGINT NOT NULL, remind_at BIGINT NOT NULL,
  gone_at BIGINT, PRIMARY KEY (kind, instance_seq, subject));
CREATE TABLE alert_webhook (
  seq BIGINT PRIMARY KEY, id TEXT NOT NULL UNIQUE, url TEXT NOT NULL, kinds TEXT NOT NULL, secret_sealed TEXT NOT NULL,
  delivered BIGINT NOT NULL, dropped BIGINT NOT NULL, last_error TEXT, last_error_at BIGINT, delivered_at BIGINT, disabled_at BIGINT, created_at BIGINT NOT NULL);
CREATE TABLE alert_message (
  seq BIGINT PRIMARY KEY, id TEXT NOT NULL UNIQUE, webhook_seq BIGINT NOT NULL, body TEXT NOT NULL, tries BIGINT NOT NULL, due_at BIGINT NOT NULL, at BIGINT NOT NULL);
CREATE INDEX alert_message_due ON alert_message (due_at);
CREATE INDEX alert_message_webhook ON alert_message (webhook_seq);
";
