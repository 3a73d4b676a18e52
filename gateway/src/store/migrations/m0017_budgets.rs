//! Budgets: who an instance's credential speaks for, whether it is dead, and what the driver chooses by.

use sea_orm_migration::prelude::*;

/// Budgets: who an instance's credential speaks for, whether it is dead, and what the driver chooses by.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

// `identity`: whom the credential speaks for, as the last probe that succeeded says. `degraded_since`:
// since when the target does not accept the credential; `look_at`: when that is looked at again.
const UP: &str = r"
ALTER TABLE instance ADD COLUMN identity TEXT;
ALTER TABLE instance ADD COLUMN degraded_since BIGINT;
ALTER TABLE instance ADD COLUMN degraded_why TEXT;
ALTER TABLE instance ADD COLUMN look_at BIGINT;
CREATE INDEX instance_driver_key ON instance (driver_key) WHERE deleted_at IS NULL;
CREATE INDEX work_fair ON work (instance_seq, lane, due_at) WHERE state IN ('todo','waiting','needs');
";
