//! What few rows have is found by those rows: the operations of one asker, the acts of one member, the members whom the
//! target does not have.

use sea_orm_migration::prelude::*;

/// What few rows have is found by those rows: the operations of one asker, the acts of one member, the members whom the
/// target does not have.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

// operation_actor and operation_key_name: the log of whoever asked, newest first, under the id of a key or its name. Their
// `seq > 0` is true of every row and said by that list alone: other lists narrow down by who asked, too, and have a better
// way. member_absent is empty once the target agrees: who is there is everybody less those. Its condition is written as
// nowhere else for the same reason.
const UP: &str = r"
CREATE INDEX operation_actor ON operation (actor, seq, instance_seq) WHERE seq > 0;
CREATE INDEX operation_key_name ON operation (key_name, seq, instance_seq) WHERE key_name IS NOT NULL AND seq > 0;
CREATE INDEX audit_actor ON audit (actor, seq);
CREATE INDEX member_absent ON member (group_seq, have) WHERE COALESCE(have, 0) <> 1;
";
