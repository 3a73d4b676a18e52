//! What is still to be done for one resource.

use sea_orm::entity::prelude::*;

/// What is still to be done for one resource. Columns: the migrations say what each holds.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "work")]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub resource_seq: i64,
    pub instance_seq: i64,
    #[sea_orm(column_type = "Text")]
    pub driver_key: String,
    pub lane: i16,
    pub rev: i64,
    #[sea_orm(column_type = "Text")]
    pub state: String,
    pub due_at: i64,
    #[sea_orm(column_type = "Text", nullable)]
    pub need: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub reason: Option<String>,
    pub hold_seq: Option<i64>,
    pub after_seq: Option<i64>,
    pub claim_rev: Option<i64>,
    pub claim_epoch: Option<i64>,
    pub tries: i64,
    pub since: i64,
    pub looks: i64,
    pub panics: i64,
}

/// None: joins are written where they are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
