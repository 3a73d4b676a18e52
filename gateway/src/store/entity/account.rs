//! An account, invitation or remote group at the target, as last seen.

use sea_orm::entity::prelude::*;

/// An account, invitation or remote group at the target, as last seen. Columns: the migrations say what each holds.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "account")]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    pub instance_seq: i64,
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub remote_id: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub invite_id: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub login_key: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub email_key: Option<String>,
    #[sea_orm(column_type = "Text")]
    pub status: String,
    pub protected: i16,
    pub ours: i16,
    #[sea_orm(column_type = "Text")]
    pub doc: String,
    pub expires_at: Option<i64>,
    pub invites: i16,
    pub seen_run: Option<i64>,
    pub seen_at: Option<i64>,
}

/// None: joins are written where they are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
