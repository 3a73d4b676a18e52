//! A batch of effects that waits for an admin.

use sea_orm::entity::prelude::*;

/// A batch of effects that waits for an admin. Columns: the migrations say what each holds.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "hold")]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    #[sea_orm(column_type = "Text")]
    pub id: String,
    pub instance_seq: i64,
    #[sea_orm(column_type = "Text")]
    pub state: String,
    pub remind_at: i64,
    pub opened_at: i64,
    #[sea_orm(column_type = "Text", nullable)]
    pub decided_by: Option<String>,
    pub decided_at: Option<i64>,
    #[sea_orm(column_type = "Text")]
    pub why: String,
    pub reminders: i64,
    #[sea_orm(column_type = "Text", nullable)]
    pub comment: Option<String>,
}

/// None: joins are written where they are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
