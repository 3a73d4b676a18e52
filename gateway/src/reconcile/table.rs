//! The table of differences: writing what a run found, and taking away what is no more.

use std::collections::HashMap;

use engine::drift::{Access, Action, Difference};
use serde_json::Value;
use uuid::Uuid;

use crate::store::{Rows, Sql, StoreError, Tx};

/// Rows per statement: thirteen values each, and SQLite takes 32,766.
const ROWS: usize = 200;

/// A difference that a run found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// The person or group; 0 if there is none.
    pub(super) resource: i64,
    /// Of a membership, the user's row; 0 if none is known.
    pub(super) item: i64,
    /// The account; 0 if none is known.
    pub(super) account: i64,
    /// The target's id of a member nobody knows.
    pub(super) remote: String,
    /// What it is.
    pub(super) difference: Difference,
    /// What is done about it.
    pub(super) action: Action,
    /// The values that differ, and words for the admin.
    pub(super) detail: Value,
    /// The operation that repairs it.
    pub(super) operation: Option<i64>,
}

/// The word that the store keeps.
fn access(access: Access) -> &'static str {
    match access {
        Access::Less => "less",
        Access::More => "more",
        Access::Same => "same",
    }
}

/// Writes what was found. What was known already keeps its id and the time it was first seen.
pub(super) async fn keep(tx: &Tx<'_>, instance: i64, run: i64, found: &[Found]) -> Result<(), StoreError> {
    for chunk in found.chunks(ROWS) {
        let mut text = String::from(
            "INSERT INTO drift (seq, id, instance_seq, class, resource_seq, item_seq, account_seq, remote, detail, action, access, mendable, op_seq, first_seen, last_seen, last_run) VALUES ",
        );
        let mut values: Vec<sea_orm::Value> = vals![instance, tx.now, run];
        for (at, one) in chunk.iter().enumerate() {
            let first = values.len() + 1;
            let places: Vec<String> = (first..first + 12).map(|place| format!("${place}")).collect();
            let (ids, rest) = places.split_at(2);
            text.push_str(if at == 0 { "(" } else { ",(" });
            text.push_str(&format!("{},$1,{},$2,$2,$3)", ids.join(","), rest.join(",")));
            values.extend(vals![
                tx.seq()?,
                format!("dr_{}", Uuid::now_v7().simple()),
                one.difference.class.as_str(),
                one.resource,
                one.item,
                one.account,
                one.remote.as_str(),
                one.detail.to_string(),
                one.action.as_str(),
                access(one.difference.access),
                i16::from(one.difference.mendable),
                one.operation
            ]);
        }
        text.push_str(
            " ON CONFLICT (instance_seq, resource_seq, item_seq, account_seq, class, remote) DO UPDATE SET detail = excluded.detail, \
             action = excluded.action, access = excluded.access, mendable = excluded.mendable, op_seq = COALESCE(excluded.op_seq, drift.op_seq), \
             last_seen = excluded.last_seen, last_run = excluded.last_run",
        );
        tx.conn.run(&text, values).await?;
    }
    Ok(())
}

/// How many were found, and how many of them are being repaired.
pub(super) fn tell(found: &[Found]) -> (u64, u64) {
    let repaired = found.iter().filter(|one| one.action == Action::Repair).count();
    (found.len() as u64, repaired as u64)
}

/// How many differences a run saw, and how many of them are being repaired.
pub(super) async fn seen(tx: &Tx<'_>, instance: i64, run: i64) -> Result<(u64, u64), StoreError> {
    let row = tx
        .conn
        .one(
            "SELECT COUNT(*) AS found, CAST(COALESCE(SUM(CASE WHEN action = 'repair' THEN 1 ELSE 0 END), 0) AS BIGINT) AS repaired \
             FROM drift WHERE instance_seq = $1 AND last_run = $2",
            vals![instance, run],
        )
        .await?;
    let Some(row) = row else { return Ok((0, 0)) };
    let count = |name: &str| Ok::<_, StoreError>(u64::try_from(row.col::<i64>(name)?).unwrap_or(0));
    Ok((count("found")?, count("repaired")?))
}

/// Takes away differences of one group's members that the run just made did not see any more.
pub(super) async fn forget_members(tx: &Tx<'_>, instance: i64, group: i64, run: i64) -> Result<(), StoreError> {
    tx.conn
        .run(
            "DELETE FROM drift WHERE instance_seq = $1 AND resource_seq = $2 AND (item_seq <> 0 OR remote <> '') AND last_run <> $3",
            vals![instance, group, run],
        )
        .await?;
    Ok(())
}

/// Takes away what a run did not see any more, where it saw everything: differences of people and what
/// nobody pushed (`accounts`), and of groups. What is being worked at stays: nobody has looked whether
/// it is mended.
pub(super) async fn forget_rest(
    tx: &Tx<'_>,
    instance: i64,
    run: i64,
    accounts: bool,
    groups: bool,
) -> Result<(), StoreError> {
    for (kind, complete) in [("User", accounts), ("Group", groups)] {
        // Where the listing was not complete, what it did show was judged all the same.
        tx.conn
            .run(
                "DELETE FROM drift WHERE instance_seq = $1 AND last_run <> $2 AND item_seq = 0 AND remote = '' \
                 AND (EXISTS (SELECT 1 FROM resource r WHERE r.seq = drift.resource_seq AND r.kind = $3) \
                   OR EXISTS (SELECT 1 FROM account a WHERE a.seq = drift.account_seq AND a.kind = $3)) \
                 AND NOT (class <> 'unmanaged' AND EXISTS (SELECT 1 FROM work w WHERE w.resource_seq = drift.resource_seq)) \
                 AND ($4 = 1 OR EXISTS (SELECT 1 FROM account s WHERE s.seq = drift.account_seq AND s.seen_run = $2))",
                vals![instance, run, kind, i64::from(complete)],
            )
            .await?;
    }
    // Members of groups that are tied to nothing any more.
    tx.conn
        .run(
            "DELETE FROM drift WHERE instance_seq = $1 AND (item_seq <> 0 OR remote <> '') AND last_run <> $2 AND NOT EXISTS \
             (SELECT 1 FROM link l JOIN resource r ON r.seq = l.resource_seq WHERE l.resource_seq = drift.resource_seq AND l.state = 'live' AND r.deleted_at IS NULL)",
            vals![instance, run],
        )
        .await?;
    Ok(())
}

/// Valid decisions to leave something as it is, of one resource's items: by item, the revision.
pub(super) async fn waivers(tx: &Tx<'_>, resource: i64) -> Result<HashMap<i64, i64>, StoreError> {
    let rows = tx.conn.all("SELECT item_seq, rev FROM waiver WHERE resource_seq = $1", vals![resource]).await?;
    rows.iter().map(|row| Ok((row.col("item_seq")?, row.col("rev")?))).collect()
}
