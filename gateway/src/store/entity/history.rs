//! What was known of an account, a membership or work at a time.

use sea_orm::entity::prelude::*;

/// What was known of an account, a membership or work at a time. Columns: the migrations say what each holds.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "history")]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    pub instance_seq: i64,
    #[sea_orm(column_type = "Text")]
    pub what: String,
    pub subject_seq: i64,
    pub item_seq: i64,
    #[sea_orm(column_type = "Text")]
    pub value: String,
    pub at: i64,
}

/// None: joins are written where they are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
