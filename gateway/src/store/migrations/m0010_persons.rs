//! Keys that belong to a person, and keys with a limit of their own.

use sea_orm_migration::prelude::*;

/// Keys that belong to a person, and keys with a limit of their own.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

// person: the SCIM id of the User that /Me is; not a reference, because the User may go and the key
// then answers 404. rate_limit: such as 50/s; NULL has the limit of the configuration.
const UP: &str = r"
ALTER TABLE api_key ADD COLUMN person TEXT;
ALTER TABLE api_key ADD COLUMN rate_limit TEXT;
";
