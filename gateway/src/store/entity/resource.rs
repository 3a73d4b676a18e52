//! A User or Group of the directory: the desired state.

use sea_orm::entity::prelude::*;

/// A User or Group of the directory: the desired state. Columns: the migrations say what each holds.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "resource")]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    pub instance_seq: i64,
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    #[sea_orm(column_type = "Text")]
    pub id: String,
    #[sea_orm(column_type = "Text")]
    pub name: String,
    #[sea_orm(column_type = "Text")]
    pub name_key: String,
    pub name_slot: i64,
    #[sea_orm(column_type = "Text", nullable)]
    pub external_id: Option<String>,
    pub active: i16,
    #[sea_orm(column_type = "Text")]
    pub doc: String,
    pub managed: i16,
    pub listed: i16,
    pub version: i64,
    pub rev: i64,
    pub settled_rev: i64,
    pub created_at: i64,
    pub modified_at: i64,
    pub deleted_at: Option<i64>,
    pub merged_into: Option<i64>,
    pub look_at: Option<i64>,
    pub erased_at: Option<i64>,
}

/// None: joins are written where they are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
