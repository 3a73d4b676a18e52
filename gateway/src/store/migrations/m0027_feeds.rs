//! Lists of the console: people, groups and operations are leafed through, and counted, without being read whole.

use sea_orm_migration::prelude::*;

/// Lists of the console: people, groups and operations are leafed through, and counted, without being read whole.
#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, UP).await
    }
}

// resource_feed: the list of people or groups, newest first, of an instance or of all. It holds what most filters ask for,
// so that a filter that fits few is answered from the index alone. Its `seq > 0` is true of every row and said by lists
// alone: a planner would else take it for searches by name, too, that have a better one.
// operation_log has what the log is narrowed down by; what it has of an operation never changes. operation_unapplied has
// those that did not simply come through: few, once they are closed. The others are of rows that are rare.
const UP: &str = r"
CREATE INDEX resource_feed ON resource (kind, seq, instance_seq, active, managed) WHERE deleted_at IS NULL AND seq > 0;
CREATE INDEX operation_log ON operation (seq, instance_seq, verb, at);
CREATE INDEX operation_unapplied ON operation (instance_seq, state, seq) WHERE state <> 'applied';
CREATE INDEX member_parked_user ON member (user_seq) WHERE state = 'parked';
CREATE INDEX member_stuck ON member (group_seq, state, user_seq) WHERE state IN ('parked','refused');
CREATE INDEX member_unwanted ON member (group_seq) WHERE want = 0;
CREATE INDEX account_protected ON account (instance_seq, seq) WHERE protected = 1;
";
