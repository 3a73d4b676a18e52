//! What an admin declares of schemas, and the values that have to be unique.

use sea_orm_migration::prelude::*;

/// What an admin declares of schemas, and the values that have to be unique.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

// declared: the declarations as JSON. claim: one row per unique value of a living resource that is managed; names
// (userName, displayName) have their own index in resource. value_key is folded in Rust, and hashed where it is long.
const UP: &str = r"
ALTER TABLE instance ADD COLUMN declared TEXT NOT NULL DEFAULT '{}';
CREATE TABLE claim (
  instance_seq BIGINT NOT NULL, kind TEXT NOT NULL, path TEXT NOT NULL, value_key TEXT NOT NULL, resource_seq BIGINT NOT NULL,
  PRIMARY KEY (instance_seq, kind, path, value_key));
CREATE INDEX claim_resource ON claim (resource_seq);
";
