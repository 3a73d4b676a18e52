//! One membership: wanted and had.

use sea_orm::entity::prelude::*;

/// One membership: wanted and had. Columns: the migrations say what each holds.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "member")]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub group_seq: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_seq: i64,
    pub want: i16,
    pub have: Option<i16>,
    pub asserted: i16,
    #[sea_orm(column_type = "Text")]
    pub state: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub reason: Option<String>,
    pub op_seq: Option<i64>,
    pub have_at: Option<i64>,
    pub parked_at: Option<i64>,
    pub hold_seq: Option<i64>,
    pub held: i16,
}

/// None: joins are written where they are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
