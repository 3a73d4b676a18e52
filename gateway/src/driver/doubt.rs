//! What attempts whose outcome is not known say about the target (DECISIONS 18).

use connector_sdk::{Repeatable, Traits};
use engine::doubt::{Doubt, doubt_of};
use engine::person::PersonStep;
use jiff::Timestamp;

use super::late::LATE;
use super::run::{Subject, Verdict};
use crate::store::{Rows, Sql, StoreError, Tx};

/// Marks an attempt of which an admin said that it happened. It stays in doubt until a look has read what
/// it left behind.
pub(crate) const HAPPENED: &str = "happened";

/// What the connector declares of a step, by the word that attempts record.
pub(crate) fn repeat_of(traits: &Traits, kind: &str, step: &str) -> Repeatable {
    let repeats = &traits.repeats;
    match (kind, step) {
        ("Group", "create") => repeats.create_group,
        ("Group", "update") => repeats.update_group,
        ("Group", "remove") => repeats.remove_group,
        // No look tells whether the credential's own account left.
        ("Group", "tidy") if repeats.tidy_group == Repeatable::Verifiable => Repeatable::Neither,
        ("Group", "tidy") => repeats.tidy_group,
        (_, "add_member" | "remove_member") => repeats.change_members,
        (_, "create") => repeats.create,
        (_, "update") => repeats.update,
        (_, "suspend" | "restore") => repeats.set_active,
        (_, "remove") => repeats.remove,
        // A step of another version: whoever reads what it left behind can tell.
        _ => Repeatable::Verifiable,
    }
}

/// A write at the resource itself whose outcome is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InDoubt {
    /// The word of its step.
    pub(super) step: String,
    /// What the connector declares of it.
    pub(super) repeat: Repeatable,
    /// An admin said that it happened.
    pub(super) happened: bool,
    /// What a creation was sent with.
    pub(super) sent: Option<String>,
}

impl InDoubt {
    pub(super) fn doubt(&self) -> Doubt {
        doubt_of(self.repeat, self.happened)
    }
}

/// The write at the resource itself whose outcome is not known.
pub(super) async fn of_resource(
    tx: &Tx<'_>,
    traits: &Traits,
    kind: &str,
    resource: i64,
) -> Result<Option<InDoubt>, StoreError> {
    let row = tx
        .conn
        .one(
            "SELECT step, marker, sent FROM attempt WHERE resource_seq = $1 AND item_seq = 0 AND state = 'unknown'",
            vals![resource],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let step: String = row.col("step")?;
    let happened = row.col::<Option<String>>("marker")?.as_deref() == Some(HAPPENED);
    let sent = row.col("sent")?;
    Ok(Some(InDoubt { repeat: repeat_of(traits, kind, &step), step, happened, sent }))
}

/// What may follow the write in doubt that a failed step was about: that write itself, or a look at it.
/// Memberships that may be neither repeated nor looked at are asked about when the rest of the group is
/// done, so they decide nothing here.
pub(super) async fn open(tx: &Tx<'_>, traits: &Traits, subject: &Subject) -> Result<Option<Repeatable>, StoreError> {
    if !subject.of_members {
        let doubt = of_resource(tx, traits, &subject.kind, subject.seq).await?;
        return Ok(doubt.map(|doubt| if doubt.happened { Repeatable::Verifiable } else { doubt.repeat }));
    }
    let repeat = traits.repeats.change_members;
    if repeat == Repeatable::Neither {
        return Ok(None);
    }
    let row = tx
        .conn
        .one(
            "SELECT 1 AS one FROM attempt WHERE resource_seq = $1 AND item_seq <> 0 AND state = 'unknown' LIMIT 1",
            vals![subject.seq],
        )
        .await?;
    Ok(row.map(|_| repeat))
}

/// The doubt about a resource's write is over.
pub(super) async fn resolve(tx: &Tx<'_>, resource: i64, item: i64) -> Result<(), StoreError> {
    tx.conn
        .run(
            "UPDATE attempt SET state = 'resolved', sent = NULL WHERE resource_seq = $1 AND item_seq = $2 AND state = 'unknown'",
            vals![resource, item],
        )
        .await?;
    Ok(())
}

/// How long the target may not show what it has just made. In microseconds.
pub(super) const NEW: i64 = 8_000_000;
/// How soon what is not visible yet is looked at again. In microseconds.
const SOON: i64 = 1_000_000;

/// The target does not show what it made a moment ago: targets that answer from copies do that.
pub(super) fn not_visible(now: i64) -> Verdict {
    Verdict::Wait {
        code: "not_visible",
        reason: "The target does not show yet what it made a moment ago. Looking again in a few seconds.".to_owned(),
        until: Timestamp::from_microsecond(now + SOON).unwrap_or(Timestamp::MAX),
    }
}

/// Whether the resource's account was made by us a moment before the target was asked for it. How late the answer
/// is read tells nothing.
pub(super) async fn is_new(tx: &Tx<'_>, subject: &Subject) -> Result<bool, StoreError> {
    let row = tx
        .conn
        .one(
            "SELECT 1 AS one FROM link l JOIN account a ON a.seq = l.account_seq WHERE l.resource_seq = $1 AND l.state = 'live' AND a.ours = 1 AND l.opened_at > $2 AND l.evidence <> $3",
            vals![subject.seq, subject.asked - NEW, LATE],
        )
        .await?;
    Ok(row.is_some())
}

/// How long the target may go on with a call whose caller died. In microseconds.
pub(crate) const GOES_ON: i64 = 9_000_000;

/// What is true of a call whose caller died: nothing was heard of its end, and the target may be at it for a while
/// longer ([`GOES_ON`]) after that was noticed (`ended_at`). That the call was repeated meanwhile, or looked at,
/// changes nothing of it. In the words of the index.
pub(crate) const UNHEARD: &str = "state IN ('unknown','resolved') AND fault IS NULL AND calls IS NULL";

/// Until when the target may still be at a creation whose caller died: a look that was sent before then and found
/// nothing does not tell that it did not happen, however late its answer is read. `None` once it is over, and where
/// the end of the call was heard of (a lost connection, a time-out).
pub(super) async fn creation_under_way(tx: &Tx<'_>, subject: &Subject) -> Result<Option<Verdict>, StoreError> {
    let ended = tx
        .conn
        .one(
            "SELECT MAX(ended_at) AS at FROM attempt WHERE resource_seq = $1 AND item_seq = 0 AND state = 'unknown' AND step = 'create' AND fault IS NULL",
            vals![subject.seq],
        )
        .await?
        .map_or(Ok(None), |row| row.col::<Option<i64>>("at"))?;
    Ok(ended
        .map(|at| at + GOES_ON)
        .filter(|until| *until > subject.asked)
        .map(|until| Verdict::Wait {
            code: "outcome_unknown",
            reason: "The gateway stopped while it was creating this, and the target may still be at it. Looking again in a few seconds.".to_owned(),
            until: Timestamp::from_microsecond(until).unwrap_or(Timestamp::MAX),
        }))
}

/// Until when a write whose caller died may still come and undo what is wanted now, also where it was repeated
/// meanwhile: a removal or a suspension of somebody who shall have access again, an update that was about other values,
/// or a restoration of a leaver. A removal undoes that too, so it waits for nothing.
pub(super) async fn contrary_under_way(
    tx: &Tx<'_>,
    resource: i64,
    access: bool,
    step: &PersonStep,
) -> Result<Option<Verdict>, StoreError> {
    if !access && matches!(step, PersonStep::Remove(_)) {
        return Ok(None);
    }
    let ended = tx
        .conn
        .one(
            &format!(
                "SELECT MAX(ended_at) AS at FROM attempt WHERE resource_seq = $1 AND item_seq = 0 AND {UNHEARD} \
                 AND ((step = 'restore' AND $2 = 0) OR (step IN ('remove','suspend','update') AND $2 = 1))"
            ),
            vals![resource, i16::from(access)],
        )
        .await?
        .map_or(Ok(None), |row| row.col::<Option<i64>>("at"))?;
    Ok(changing(ended, tx.now))
}

/// Until when another name may still come to a group, of a renaming whose caller died.
pub(super) async fn renaming_under_way(tx: &Tx<'_>, group: i64) -> Result<Option<Verdict>, StoreError> {
    let ended = tx
        .conn
        .one(
            &format!("SELECT MAX(ended_at) AS at FROM attempt WHERE resource_seq = $1 AND item_seq = 0 AND {UNHEARD} AND step = 'update'"),
            vals![group],
        )
        .await?
        .map_or(Ok(None), |row| row.col::<Option<i64>>("at"))?;
    Ok(changing(ended, tx.now))
}

/// A wait until the target cannot be at a change any more whose caller's death was noticed then.
fn changing(ended: Option<i64>, now: i64) -> Option<Verdict> {
    let until = ended.map(|at| at + GOES_ON).filter(|until| *until > now)?;
    Some(Verdict::Wait {
        code: "outcome_unknown",
        reason: "The gateway stopped while it was changing this, and the target may still be at it. Going on in a few seconds.".to_owned(),
        until: Timestamp::from_microsecond(until).unwrap_or(Timestamp::MAX),
    })
}

/// A resource's account or group becomes another resource's: so does what the target may still be at, though it was
/// repeated. What is open is none of this: then the other resource waits.
pub(crate) async fn hand_over(tx: &Tx<'_>, from: i64, to: i64) -> Result<(), StoreError> {
    let text = format!(
        "UPDATE attempt SET resource_seq = $2 WHERE resource_seq = $1 AND {UNHEARD} AND state = 'resolved' AND ended_at > $3"
    );
    tx.conn.run(&text, vals![from, to, tx.now - GOES_ON]).await?;
    Ok(())
}

/// The same of a membership, whose person's account becomes another person's.
pub(crate) async fn hand_over_member(tx: &Tx<'_>, group: i64, from: i64, to: i64) -> Result<(), StoreError> {
    let text = format!(
        "UPDATE attempt SET item_seq = $3 WHERE resource_seq = $1 AND item_seq = $2 AND {UNHEARD} AND state = 'resolved' AND ended_at > $4"
    );
    tx.conn.run(&text, vals![group, from, to, tx.now - GOES_ON]).await?;
    Ok(())
}

/// Whether the end of the linked invitation was asked for and not answered, and it was not seen since: then that it is
/// gone is our doing. Seen again, it outlived that, and who accepts it later has accepted it.
pub(super) async fn taken_back(tx: &Tx<'_>, resource: i64) -> Result<bool, StoreError> {
    let asked = tx
        .conn
        .one(
            "SELECT 1 AS one FROM attempt WHERE resource_seq = $1 AND item_seq = 0 AND step = 'remove' AND state IN ('unknown','resolved') \
             AND started_at >= (SELECT MAX(CASE WHEN a.seen_at > l.opened_at THEN a.seen_at ELSE l.opened_at END) \
             FROM link l JOIN account a ON a.seq = l.account_seq WHERE l.resource_seq = $1 AND l.state = 'live') LIMIT 1",
            vals![resource],
        )
        .await?;
    Ok(asked.is_some())
}
