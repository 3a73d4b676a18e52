//! Repairs: what differs becomes an operation and ordinary work, so that it goes the one way that
//! everything goes, and `why` tells of it.

use std::sync::Arc;

use engine::Lane;
use engine::drift::Access;
use serde_json::{Value, json};

use crate::service::accept::{Record, upsert_work};
use crate::service::clients::Spoken;
use crate::service::types::{Caller, Instance};
use crate::store::{Rows, Sql, StoreError, Tx};

/// Names of members that an operation lists; more are counted.
const NAMED: usize = 20;

/// Who repairs, and why.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    /// `reconcile`, or the admin who asked for it.
    pub(super) actor: String,
    /// The run that found it.
    pub(super) run: Option<String>,
}

/// A membership to mend.
#[derive(Clone, Debug)]
pub(super) struct MendMember {
    /// The user's row.
    pub(super) user: i64,
    /// The user's name.
    pub(super) name: String,
    /// Who shall be a member again; else who shall be none.
    pub(super) add: bool,
    /// The membership waits for an invitation.
    pub(super) pending: bool,
}

/// The lane of a repair: who loses something goes before who gains (DECISIONS 26).
fn lane(access: Access, leaves: bool) -> Lane {
    match (access, leaves) {
        (Access::Less, true) => Lane::Deprovision,
        (Access::Less, false) => Lane::Removal,
        _ => Lane::Reconcile,
    }
}

/// Has a person or group brought to what is wanted. `leaves`: they lose the account. Its operation.
pub(super) async fn mend(
    tx: &Tx<'_>,
    instance: &Arc<Instance>,
    resource: i64,
    access: Access,
    leaves: bool,
    words: &str,
    cause: &Cause,
) -> Result<i64, StoreError> {
    let rev = next_rev(tx, resource).await?;
    let changes = json!([{"path": "account", "repair": words}]);
    let operation = record(tx, instance, resource, rev, changes, 1, words, cause).await?;
    upsert_work(tx, instance, resource, lane(access, leaves), rev, None).await?;
    Ok(operation)
}

/// Has memberships of a group brought to what is wanted. Their operation.
pub(super) async fn mend_members(
    tx: &Tx<'_>,
    instance: &Arc<Instance>,
    group: i64,
    members: &[MendMember],
    cause: &Cause,
) -> Result<i64, StoreError> {
    let rev = next_rev(tx, group).await?;
    let named = |add: bool| -> Vec<&str> {
        members.iter().filter(|one| one.add == add).take(NAMED).map(|one| one.name.as_str()).collect()
    };
    let count = |add: bool| members.iter().filter(|one| one.add == add).count();
    let (added, removed) = (count(true), count(false));
    let mut changes = Vec::new();
    if removed > 0 {
        changes
            .push(json!({"path": "members", "repair": "taken out again", "changed": removed, "names": named(false)}));
    }
    if added > 0 {
        changes.push(json!({"path": "members", "repair": "put in again", "changed": added, "names": named(true)}));
    }
    let words = match (removed, added) {
        (_, 0) => "The group had members at the target that nobody asked for.",
        (0, _) => "Members were missing from the group at the target.",
        _ => "The group had other members at the target than were asked for.",
    };
    let items = 1 + i64::try_from(members.len()).unwrap_or(i64::MAX - 1);
    let operation = record(tx, instance, group, rev, Value::from(changes), items, words, cause).await?;
    for member in members {
        let text = if member.add {
            "UPDATE member SET have = 0, state = 'todo', reason = NULL, op_seq = $3 WHERE group_seq = $1 AND user_seq = $2 AND $4 >= 0"
        } else {
            "INSERT INTO member (group_seq, user_seq, want, have, asserted, state, reason, op_seq, have_at) VALUES ($1,$2,0,$4,0,'todo',NULL,$3,NULL) \
             ON CONFLICT (group_seq, user_seq) DO UPDATE SET have = excluded.have, state = 'todo', reason = NULL, op_seq = excluded.op_seq"
        };
        let have: i16 = if member.pending { 2 } else { 1 };
        tx.conn.run(text, vals![group, member.user, operation, have]).await?;
    }
    let access = if removed > 0 { Access::Less } else { Access::More };
    upsert_work(tx, instance, group, lane(access, false), rev, None).await?;
    Ok(operation)
}

/// A repair is an intent of its own, so that its operation closes when the target agrees with it.
async fn next_rev(tx: &Tx<'_>, resource: i64) -> Result<i64, StoreError> {
    let row = tx
        .conn
        .one("UPDATE resource SET rev = rev + 1 WHERE seq = $1 RETURNING rev", vals![resource])
        .await?
        .ok_or_else(|| StoreError::damaged("a repair without a resource"))?;
    row.col("rev")
}

#[allow(clippy::too_many_arguments, reason = "one row's columns")]
async fn record(
    tx: &Tx<'_>,
    instance: &Arc<Instance>,
    resource: i64,
    rev: i64,
    changes: Value,
    items: i64,
    words: &str,
    cause: &Cause,
) -> Result<i64, StoreError> {
    // What it defends: the last thing that was asked of this resource.
    let before = tx
        .conn
        .one(
            "SELECT MAX(seq) AS seq FROM operation WHERE resource_seq = $1 AND verb <> 'repair' AND state IN ('open','applied')",
            vals![resource],
        )
        .await?
        .map_or(Ok(None), |row| row.col::<Option<i64>>("seq"))?;
    let caller = Caller {
        actor: cause.actor.clone(),
        request_id: cause.run.clone(),
        spoken: Spoken::named(&instance.policy),
        wait_until: None,
        later: None,
        own: false,
    };
    let record = Record {
        instance,
        resource_seq: resource,
        caller: &caller,
        verb: "repair",
        rev,
        changes,
        quirks: Vec::new(),
        items,
    };
    let operation = record.write(tx).await?;
    tx.conn
        .run("UPDATE operation SET cause_seq = $2, reason = $3 WHERE seq = $1", vals![operation, before, words])
        .await?;
    Ok(operation)
}
