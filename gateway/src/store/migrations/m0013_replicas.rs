//! Several replicas: who lives, and leases by driver key.

use sea_orm_migration::prelude::*;

/// Several replicas: who lives, and leases by driver key. Epochs come from a counter, so that no two
/// leases ever have the same one.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

const UP: &str = r"
CREATE TABLE replica (id TEXT PRIMARY KEY, started_at BIGINT NOT NULL, until_at BIGINT NOT NULL);
INSERT INTO counter (name, next) SELECT 'epoch', COALESCE(MAX(epoch), 0) + 1 FROM lease;
";
