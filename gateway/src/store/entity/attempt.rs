//! One try of one step at the target, written before it is sent.

use sea_orm::entity::prelude::*;

/// One try of one step at the target, written before it is sent. Columns: the migrations say what each holds.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "attempt")]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    pub instance_seq: i64,
    pub resource_seq: i64,
    pub item_seq: i64,
    pub op_seq: Option<i64>,
    #[sea_orm(column_type = "Text")]
    pub step: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub marker: Option<String>,
    pub epoch: i64,
    pub config_rev: i64,
    #[sea_orm(column_type = "Text")]
    pub state: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub fault: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub calls: Option<String>,
    pub started_at: i64,
    pub ended_at: Option<i64>,
    #[sea_orm(column_type = "Text", nullable)]
    pub sent: Option<String>,
}

/// None: joins are written where they are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
