//! Links by which somebody without an account makes the key of an instance.

use sea_orm_migration::prelude::*;

/// Links by which somebody without an account makes the key of an instance.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

// The text of a link is kept nowhere, as that of a key: hash is a keyed one. guide names the identity provider whose steps
// it shows, or is empty. opened_at is when it was first looked at; key_id the key that was made by it.
const UP: &str = r"
CREATE TABLE handover (
  id TEXT NOT NULL PRIMARY KEY,
  instance_seq BIGINT NOT NULL,
  hash TEXT NOT NULL,
  actor TEXT NOT NULL,
  guide TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  opened_at BIGINT,
  used_at BIGINT,
  revoked_at BIGINT,
  key_id TEXT
);
CREATE INDEX handover_instance ON handover (instance_seq, created_at);
";
