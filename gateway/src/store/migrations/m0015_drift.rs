//! Where targets differ from what was asserted, and what rehearsing instances have shown.

use sea_orm_migration::prelude::*;

/// Where targets differ from what was asserted, and what rehearsing instances have shown.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

// drift: one row per difference. resource_seq: the person or group, 0 if there is none; item_seq: of a membership the
// user's row, 0 if there is none; account_seq: the account, 0 if none is known; remote: the target's id of a member
// nobody knows. last_run: the run that saw it last. op_seq: the operation that repairs it.
// instance.rehearsed: it has been rehearsing since it was last enabled, so enabling it asks for its plan's digest.
const UP: &str = r"
ALTER TABLE instance ADD COLUMN rehearsed SMALLINT NOT NULL DEFAULT 0;
UPDATE instance SET rehearsed = 1 WHERE mode = 'rehearse';
CREATE TABLE drift (
  seq BIGINT PRIMARY KEY, id TEXT NOT NULL UNIQUE, instance_seq BIGINT NOT NULL,
  class TEXT NOT NULL CHECK (class IN ('missing','vanished','changed','renamed','extra','unmanaged')),
  resource_seq BIGINT NOT NULL, item_seq BIGINT NOT NULL, account_seq BIGINT NOT NULL, remote TEXT NOT NULL,
  detail TEXT NOT NULL, action TEXT NOT NULL CHECK (action IN ('report','repair','dismissed')),
  access TEXT NOT NULL CHECK (access IN ('less','more','same')), mendable SMALLINT NOT NULL, op_seq BIGINT,
  first_seen BIGINT NOT NULL, last_seen BIGINT NOT NULL, last_run BIGINT NOT NULL);
CREATE UNIQUE INDEX drift_what ON drift (instance_seq, resource_seq, item_seq, account_seq, class, remote);
CREATE INDEX drift_page ON drift (instance_seq, seq);
CREATE INDEX drift_class ON drift (instance_seq, class, seq);
CREATE INDEX account_returned ON account (instance_seq, kind, remote_id) WHERE status = 'gone';
CREATE INDEX link_past ON link (resource_seq, seq);
CREATE INDEX link_past_account ON link (account_seq, seq);
";
