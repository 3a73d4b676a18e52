//! What attempts whose outcome is not known say about the target (DECISIONS 18).

use jiff::Timestamp;

use super::run::Verdict;
use crate::store::{Rows, Sql, StoreError, Tx};

/// How long the target may go on with a call whose caller died. In microseconds.
const GOES_ON: i64 = 9_000_000;

/// Until when the target may still be at a creation whose caller died: a look that finds nothing
/// before then does not tell that it did not happen. `None` once it is over, and where the end of
/// the call was heard of (a lost connection, a time-out).
pub(super) async fn creation_under_way(tx: &Tx<'_>, resource: i64) -> Result<Option<Verdict>, StoreError> {
    let ended = tx
        .conn
        .one(
            "SELECT MAX(ended_at) AS at FROM attempt WHERE resource_seq = $1 AND item_seq = 0 AND state = 'unknown' AND step = 'create' AND fault IS NULL",
            vals![resource],
        )
        .await?
        .map_or(Ok(None), |row| row.col::<Option<i64>>("at"))?;
    Ok(ended
        .map(|at| at + GOES_ON)
        .filter(|until| *until > tx.now)
        .map(|until| Verdict::Wait {
            code: "outcome_unknown",
            reason: "The gateway stopped while it was creating this, and the target may still be at it. Looking again in a few seconds.".to_owned(),
            until: Timestamp::from_microsecond(until).unwrap_or(Timestamp::MAX),
        }))
}

/// Whether the end of the linked invitation was asked for and not answered: then that it is gone is
/// our doing.
pub(super) async fn taken_back(tx: &Tx<'_>, resource: i64) -> Result<bool, StoreError> {
    let asked = tx
        .conn
        .one(
            "SELECT 1 AS one FROM attempt WHERE resource_seq = $1 AND item_seq = 0 AND step = 'remove' AND state IN ('unknown','resolved') \
             AND started_at >= (SELECT MAX(opened_at) FROM link WHERE resource_seq = $1 AND state = 'live') LIMIT 1",
            vals![resource],
        )
        .await?;
    Ok(asked.is_some())
}
