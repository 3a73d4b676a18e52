//! One accepted change, with its outcome.

use sea_orm::entity::prelude::*;

/// One accepted change, with its outcome. Columns: the migrations say what each holds.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "operation")]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    #[sea_orm(column_type = "Text")]
    pub id: String,
    pub instance_seq: i64,
    pub resource_seq: i64,
    pub cause_seq: Option<i64>,
    #[sea_orm(column_type = "Text")]
    pub actor: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub request_id: Option<String>,
    #[sea_orm(column_type = "Text")]
    pub verb: String,
    pub rev: i64,
    #[sea_orm(column_type = "Text")]
    pub changes: String,
    #[sea_orm(column_type = "Text")]
    pub quirks: String,
    #[sea_orm(column_type = "Text")]
    pub state: String,
    pub items: i64,
    pub open_items: i64,
    pub failed_items: i64,
    pub parked_items: i64,
    pub superseded_items: i64,
    #[sea_orm(column_type = "Text", nullable)]
    pub reason: Option<String>,
    pub at: i64,
    pub closed_at: Option<i64>,
    pub answer_later: i16,
    #[sea_orm(column_type = "Text", nullable)]
    pub dialect: Option<String>,
    pub withdrawn_items: i64,
}

/// None: joins are written where they are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
