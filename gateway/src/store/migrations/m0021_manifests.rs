//! Manifests: connectors that are data, and the version that an instance holds to.

use sea_orm_migration::prelude::*;

/// Manifests: connectors that are data, and the version that an instance holds to.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

// manifest: one version of a connector that is a manifest. A version is one text for good: `digest` is that of `text`.
// `source` says where it came from: `uploaded`, or `config`, the folder of manifests, whose versions are kept here so
// that an instance finds the one it holds to after the file has changed. What is retired can be used by nobody new, and
// goes once its time is over.
//
// instance.connector_version: the version it holds to until an admin moves it; null for a connector that is code.
const UP: &str = r"
CREATE TABLE manifest (
  seq BIGINT PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, source TEXT NOT NULL CHECK (source IN ('config','uploaded')),
  format TEXT NOT NULL, text TEXT NOT NULL, digest TEXT NOT NULL, created_at BIGINT NOT NULL, created_by TEXT NOT NULL,
  retired_at BIGINT, retired_by TEXT);
CREATE UNIQUE INDEX manifest_version ON manifest (name, version);
CREATE INDEX manifest_retired ON manifest (retired_at) WHERE retired_at IS NOT NULL;
ALTER TABLE instance ADD COLUMN connector_version TEXT;
CREATE INDEX instance_manifest ON instance (connector, connector_version) WHERE connector_version IS NOT NULL;
";
