//! What a hold held when it was decided.

use sea_orm::entity::prelude::*;

/// What a hold held when it was decided. Columns: the migrations say what each holds.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "hold_item")]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub hold_seq: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub resource_seq: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_seq: i64,
    #[sea_orm(column_type = "Text")]
    pub effect: String,
    pub rev: i64,
}

/// None: joins are written where they are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
