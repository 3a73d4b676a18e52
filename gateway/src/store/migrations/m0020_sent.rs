//! What a creation was sent with.

use sea_orm_migration::prelude::*;

/// What a creation was sent with. `attempt.sent` holds the person, or the group's name, while the outcome is
/// open; it is gone once that is known.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

const UP: &str = r"
ALTER TABLE attempt ADD COLUMN sent TEXT;
";
