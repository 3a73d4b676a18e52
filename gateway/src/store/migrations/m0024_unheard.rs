//! Calls whose sender died.

use sea_orm_migration::prelude::*;

/// Calls whose sender died: the target may still be at them, also where they were repeated meanwhile. They are few,
/// and every plan asks for those of its resource.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

const UP: &str = r"
CREATE INDEX attempt_unheard ON attempt (item_seq, resource_seq) WHERE state IN ('unknown','resolved') AND fault IS NULL AND calls IS NULL;
";
