//! A person whose loss the brake has counted.

use sea_orm::entity::prelude::*;

/// A person whose loss the brake has counted. Columns: the migrations say what each holds.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "brake_person")]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub scope_seq: i64,
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub effect: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub person_seq: i64,
    pub at: i64,
}

/// None: joins are written where they are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
