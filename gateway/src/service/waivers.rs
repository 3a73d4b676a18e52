//! Waivers: decisions of an admin to leave something as it is at the target. A waiver is bound to the
//! revision of what it was decided about and is void once the identity provider writes that again
//! (DECISIONS 24).
//!
//! `item` is 0 for a person or group as a whole, whose revision is `resource.rev`; else the row of a
//! member, whose revision is the operation that asked for the membership's present wish.

use crate::store::{Sql, StoreError, Tx};

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
