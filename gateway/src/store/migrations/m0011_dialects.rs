//! In which dialect a change was asked for.

use sea_orm_migration::prelude::*;

/// In which dialect a change was asked for.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

// `entra`: named by the policy. `auto:entra`: told by the client's requests. `auto`: neither.
const UP: &str = r"
ALTER TABLE operation ADD COLUMN dialect TEXT;
";
