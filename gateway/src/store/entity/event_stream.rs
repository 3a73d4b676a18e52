//! A stream of security events.

use sea_orm::entity::prelude::*;

/// A stream of security events. Columns: the migrations say what each holds.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event_stream")]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    #[sea_orm(column_type = "Text")]
    pub id: String,
    pub instance_seq: i64,
    #[sea_orm(column_type = "Text")]
    pub name: String,
    #[sea_orm(column_type = "Text")]
    pub delivery: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub endpoint_url: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub authorization_sealed: Option<String>,
    #[sea_orm(column_type = "Text")]
    pub kinds: String,
    #[sea_orm(column_type = "Text")]
    pub payload: String,
    #[sea_orm(column_type = "Text")]
    pub audience: String,
    pub paused: i16,
    pub tries: i64,
    pub due_at: i64,
    pub delivered: i64,
    pub refused: i64,
    pub dropped: i64,
    #[sea_orm(column_type = "Text", nullable)]
    pub last_error: Option<String>,
    pub last_error_at: Option<i64>,
    pub delivered_at: Option<i64>,
    pub created_at: i64,
}

/// None: joins are written where they are used.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
