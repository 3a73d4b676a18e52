//! What is counted for the metrics, at hand without reading whole tables.

use sea_orm_migration::prelude::*;

/// What is counted for the metrics, at hand without reading whole tables.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

const UP: &str = r"
CREATE INDEX work_deprovision ON work (instance_seq, since) WHERE lane = 0;
CREATE INDEX member_parked ON member (group_seq) WHERE state = 'parked';
";
