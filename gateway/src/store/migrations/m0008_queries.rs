//! Indexes for what clients filter and sort by, each with the order that a walk goes on in.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, Statement};

/// Indexes for what clients filter and sort by, each with the order that a walk goes on in.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Postgres {
            // Folded names are sorted and cut into ranges byte by byte, as SQLite does by itself.
            super::run(manager, BYTES).await?;
        }
        super::run(manager, UP).await?;
        index_display_names(manager).await
    }
}

const BYTES: &str = r#"
ALTER TABLE resource ALTER COLUMN name_key TYPE TEXT COLLATE "C";
ALTER TABLE attr ALTER COLUMN value_key TYPE TEXT COLLATE "C";
"#;

const UP: &str = r"
DROP INDEX resource_external;
CREATE INDEX resource_external ON resource (instance_seq, kind, external_id, seq);
DROP INDEX resource_modified;
CREATE INDEX resource_modified ON resource (instance_seq, kind, modified_at, seq) WHERE deleted_at IS NULL AND listed = 1;
CREATE INDEX resource_active ON resource (instance_seq, kind, active, seq) WHERE deleted_at IS NULL AND listed = 1;
";

/// Rows read at a time.
const BATCH: usize = 1_000;

/// Writes the indexed display names of the users there are.
async fn index_display_names(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let backend = manager.get_database_backend();
    let mut after = 0_i64;
    loop {
        let text = format!(
            "SELECT seq, instance_seq, doc FROM resource WHERE seq > $1 AND kind = 'User' AND deleted_at IS NULL ORDER BY seq LIMIT {BATCH}"
        );
        let rows = connection.query_all_raw(Statement::from_sql_and_values(backend, text, [after.into()])).await?;
        for row in &rows {
            after = row.try_get("", "seq")?;
            let doc: String = row.try_get("", "doc")?;
            let doc: serde_json::Value = serde_json::from_str(&doc).unwrap_or_default();
            let Some(name) = doc.get("displayName").and_then(serde_json::Value::as_str) else { continue };
            let instance: i64 = row.try_get("", "instance_seq")?;
            let statement = Statement::from_sql_and_values(
                backend,
                "INSERT INTO attr (instance_seq, path, value_key, resource_seq) VALUES ($1,'displayName',$2,$3) ON CONFLICT DO NOTHING",
                [instance.into(), scim::fold::fold_text(name).into(), after.into()],
            );
            connection.execute_raw(statement).await?;
        }
        if rows.len() < BATCH {
            return Ok(());
        }
    }
}
