//! A change that a person was asked for.

use sea_orm::entity::prelude::*;

/// A change that a person was asked for. Columns: the migrations say what each holds.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "task")]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    pub instance_seq: i64,
    pub resource_seq: i64,
    pub item_seq: i64,
    pub op_seq: Option<i64>,
    pub rev: i64,
    #[sea_orm(column_type = "Text")]
    pub act: String,
    #[sea_orm(column_type = "Text")]
    pub ask: String,
    #[sea_orm(column_type = "Text")]
    pub title: String,
    #[sea_orm(column_type = "Text")]
    pub detail: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub assignee: Option<String>,
    pub takes: i16,
    #[sea_orm(column_type = "Text")]
    pub state: String,
    pub live: i16,
    pub heard: i16,
    #[sea_orm(column_type = "Text", nullable)]
    pub target_id: Option<String>,
    pub created_at: i64,
    pub due_at: i64,
    pub closed_at: Option<i64>,
    #[sea_orm(column_type = "Text", nullable)]
    pub closed_by: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub comment: Option<String>,
}

/// None: joins are written where they are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
