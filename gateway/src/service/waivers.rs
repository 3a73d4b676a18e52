//! Waivers: decisions of an admin to leave something as it is at the target. A waiver is bound to the
//! revision of what it was decided about and is void once the identity provider writes that again
//! (DECISIONS 24).
//!
//! `item` is 0 for a person or group as a whole, whose revision is `resource.rev`; else the row of a
//! member, whose revision is the operation that asked for the membership's present wish.

use crate::store::{Rows, Sql, StoreError, Tx};

/// Writes a waiver; `why` is shown to admins.
pub(crate) async fn write(tx: &Tx<'_>, resource: i64, item: i64, rev: i64, why: &str) -> Result<(), StoreError> {
    tx.conn
        .run(
            "INSERT INTO waiver (resource_seq, item_seq, rev, why) VALUES ($1,$2,$3,$4) \
             ON CONFLICT (resource_seq, item_seq) DO UPDATE SET rev = excluded.rev, why = excluded.why",
            vals![resource, item, rev, why],
        )
        .await?;
    Ok(())
}

/// Whether a waiver of this revision stands: then nothing is sent and nothing repaired.
pub(crate) async fn stands(tx: &Tx<'_>, resource: i64, item: i64, rev: i64) -> Result<bool, StoreError> {
    let found = tx
        .conn
        .one(
            "SELECT 1 AS one FROM waiver WHERE resource_seq = $1 AND item_seq = $2 AND rev = $3",
            vals![resource, item, rev],
        )
        .await?;
    Ok(found.is_some())
}

/// The identity provider asks for the same again: the waiver of the person or group ends. Answers
/// whether one of this revision stood.
pub(crate) async fn lift(tx: &Tx<'_>, resource: i64, rev: i64) -> Result<bool, StoreError> {
    let lifted = tx
        .conn
        .run("DELETE FROM waiver WHERE resource_seq = $1 AND item_seq = 0 AND rev = $2", vals![resource, rev])
        .await?;
    Ok(lifted > 0)
}

/// The waiver of a person, a group or a membership ends, whatever its revision: an admin decided anew.
pub(crate) async fn withdraw(tx: &Tx<'_>, resource: i64, item: i64) -> Result<(), StoreError> {
    tx.conn.run("DELETE FROM waiver WHERE resource_seq = $1 AND item_seq = $2", vals![resource, item]).await?;
    Ok(())
}

/// The identity provider says again that an inactive person has no access: what was decided about their memberships
/// ends, and these are to be worked at. Answers the groups, with their revisions.
pub(crate) async fn lift_memberships(tx: &Tx<'_>, user: i64) -> Result<Vec<(i64, i64)>, StoreError> {
    let rows = tx
        .conn
        .all(
            "SELECT m.group_seq, g.rev FROM member m JOIN resource g ON g.seq = m.group_seq \
             JOIN waiver w ON w.resource_seq = m.group_seq AND w.item_seq = m.user_seq AND w.rev = COALESCE(m.op_seq, 0) \
             WHERE m.user_seq = $1 AND m.state = 'refused' ORDER BY m.group_seq",
            vals![user],
        )
        .await?;
    let mut groups = Vec::with_capacity(rows.len());
    for row in &rows {
        let group: i64 = row.col("group_seq")?;
        withdraw(tx, group, user).await?;
        tx.conn
            .run(
                "UPDATE member SET state = 'todo', reason = NULL WHERE group_seq = $1 AND user_seq = $2 AND state = 'refused'",
                vals![group, user],
            )
            .await?;
        groups.push((group, row.col("rev")?));
    }
    Ok(groups)
}
