//! Writes in doubt, runs that break, and links for a person to decide.

use sea_orm_migration::prelude::*;

/// Writes in doubt, runs that break, and links for a person to decide. `work.looks` counts looks at a
/// write in doubt that told nothing, `work.panics` runs in a row that broke; `link.rejected` is 1 where
/// a person said that the account is not the resource's, so that it is not proposed again;
/// `member.parked_at` is since when a membership has been parked.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

const UP: &str = r"
ALTER TABLE work ADD COLUMN looks BIGINT NOT NULL DEFAULT 0;
ALTER TABLE work ADD COLUMN panics BIGINT NOT NULL DEFAULT 0;
ALTER TABLE link ADD COLUMN rejected SMALLINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX link_proposed ON link (resource_seq, account_seq) WHERE state = 'proposed';
CREATE INDEX link_history ON link (resource_seq, seq);
CREATE INDEX link_accounts ON link (account_seq, seq);
CREATE INDEX work_after ON work (after_seq) WHERE after_seq IS NOT NULL;
ALTER TABLE member ADD COLUMN parked_at BIGINT;
CREATE INDEX member_parked_at ON member (parked_at) WHERE state = 'parked';
";
