//! From where refused requests came, and when operations ended.

use sea_orm_migration::prelude::*;

/// From where refused requests came, and when operations ended.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

// rejected.origin: the address a call came from, of calls that no key let in. operation_closed counts what ended in a
// span of time without reading the operations.
const UP: &str = r"
ALTER TABLE rejected ADD COLUMN origin TEXT;
CREATE INDEX operation_closed ON operation (closed_at, state, instance_seq) WHERE closed_at IS NOT NULL;
";
