//! An integration instance.

use sea_orm::entity::prelude::*;

/// An integration instance. Columns: the migrations say what each holds.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "instance")]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    #[sea_orm(column_type = "Text")]
    pub id: String,
    #[sea_orm(column_type = "Text")]
    pub name: String,
    #[sea_orm(column_type = "Text")]
    pub connector: String,
    #[sea_orm(column_type = "Text")]
    pub mode: String,
    #[sea_orm(column_type = "Text")]
    pub settings: String,
    #[sea_orm(column_type = "Text")]
    pub policy: String,
    pub config_rev: i64,
    #[sea_orm(column_type = "Text")]
    pub driver_key: String,
    pub created_at: i64,
    pub deleted_at: Option<i64>,
    #[sea_orm(column_type = "Text")]
    pub declared: String,
    pub has_streams: i16,
    pub rehearsed: i16,
    pub verify_since: Option<i64>,
    #[sea_orm(column_type = "Text", nullable)]
    pub identity: Option<String>,
    pub degraded_since: Option<i64>,
    #[sea_orm(column_type = "Text", nullable)]
    pub degraded_why: Option<String>,
    pub look_at: Option<i64>,
    #[sea_orm(column_type = "Text", nullable)]
    pub connector_version: Option<String>,
}

/// None: joins are written where they are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
