//! A decision to leave something as it is.

use sea_orm::entity::prelude::*;

/// A decision to leave something as it is. Columns: the migrations say what each holds.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "waiver")]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub resource_seq: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_seq: i64,
    pub rev: i64,
    #[sea_orm(column_type = "Text")]
    pub why: String,
}

/// None: joins are written where they are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
