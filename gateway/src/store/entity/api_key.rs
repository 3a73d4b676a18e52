//! An API key of an instance; only its HMAC is kept.

use sea_orm::entity::prelude::*;

/// An API key of an instance; only its HMAC is kept. Columns: the migrations say what each holds.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_key")]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    #[sea_orm(column_type = "Text")]
    pub key_id: String,
    #[sea_orm(column_type = "Text")]
    pub name: String,
    pub instance_seq: i64,
    #[sea_orm(column_type = "Text")]
    pub hash: String,
    #[sea_orm(column_type = "Text")]
    pub scopes: String,
    pub created_at: i64,
    pub not_after: Option<i64>,
    pub last_used_at: Option<i64>,
    #[sea_orm(column_type = "Text", nullable)]
    pub person: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub rate_limit: Option<String>,
}

/// None: joins are written where they are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
