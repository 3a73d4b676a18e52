//! Restored databases: instances whose links are looked at before anything is sent.

use sea_orm_migration::prelude::*;

/// Restored databases: instances whose links are looked at before anything is sent.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

const UP: &str = r"
ALTER TABLE instance ADD COLUMN verify_since BIGINT;
";
