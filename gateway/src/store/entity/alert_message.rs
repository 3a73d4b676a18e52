//! An alert that is still to be delivered to a webhook.

use sea_orm::entity::prelude::*;

/// An alert that is still to be delivered to a webhook. Columns: the migrations say what each holds.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_message")]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    #[sea_orm(column_type = "Text")]
    pub id: String,
    pub webhook_seq: i64,
    #[sea_orm(column_type = "Text")]
    pub body: String,
    pub tries: i64,
    pub due_at: i64,
    pub at: i64,
}

/// None: joins are written where they are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
