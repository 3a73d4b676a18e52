//! A security event that waits to be delivered, or that its receiver refused.

use sea_orm::entity::prelude::*;

/// A security event that waits to be delivered, or that its receiver refused. Columns: the migrations say what each holds.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    pub stream_seq: i64,
    pub resource_seq: i64,
    pub place: i64,
    #[sea_orm(column_type = "Text")]
    pub jti: String,
    #[sea_orm(column_type = "Text")]
    pub txn: String,
    #[sea_orm(column_type = "Text")]
    pub subject: String,
    #[sea_orm(column_type = "Text")]
    pub events: String,
    pub at: i64,
    #[sea_orm(column_type = "Text", nullable)]
    pub refusal: Option<String>,
}

/// None: joins are written where they are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
