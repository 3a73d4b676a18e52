//! A difference between a target and what was asserted.

use sea_orm::entity::prelude::*;

/// A difference between a target and what was asserted. Columns: the migrations say what each holds.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "drift")]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    #[sea_orm(column_type = "Text")]
    pub id: String,
    pub instance_seq: i64,
    #[sea_orm(column_type = "Text")]
    pub class: String,
    pub resource_seq: i64,
    pub item_seq: i64,
    pub account_seq: i64,
    #[sea_orm(column_type = "Text")]
    pub remote: String,
    #[sea_orm(column_type = "Text")]
    pub detail: String,
    #[sea_orm(column_type = "Text")]
    pub action: String,
    #[sea_orm(column_type = "Text")]
    pub access: String,
    pub mendable: i16,
    pub op_seq: Option<i64>,
    pub first_seen: i64,
    pub last_seen: i64,
    pub last_run: i64,
}

/// None: joins are written where they are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
