//! Recording what became of memberships.

use connector_sdk::{Effect, Fault, FaultKind, Membership};
use engine::membership::ParkReason;

use super::MemberChange;
use super::settle::missed;
use crate::driver::attempts::end_attempt;
use crate::driver::run::{Subject, Verdict};
use crate::driver::{doubt, late};
use crate::service::accept::{Ends, close_operation_items};
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError, Tx};

/// Records what became of each membership of a batch. Permanent refusals stay with their row; a
/// fault that passes makes the whole group wait, its rows still to do.
pub(super) async fn apply_members(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    changes: &[MemberChange],
    answers: &[Result<Membership, Fault>],
    attempts: &[i64],
    calls: &serde_json::Value,
) -> Result<Option<Verdict>, StoreError> {
    let mut verdict = None;
    let mut missing: Option<(Vec<MemberChange>, Fault)> = None;
    for ((change, answer), attempt) in changes.iter().zip(answers).zip(attempts) {
        let change = &now_of(tx, change, *attempt).await?;
        let fault = answer.as_ref().err();
        if change.add && fault.is_none_or(|fault| fault.effect == Effect::Unknown) {
            late::note_grant(tx, change.user).await?;
        }
        end_attempt(tx, *attempt, fault, calls).await?;
        match answer {
            Ok(membership) => apply_member(tx, instance, subject, change, membership).await?,
            Err(fault) if fault.kind == FaultKind::NotFound && !change.add => {
                // The group, or the account, is not there any more: nor is the membership.
                doubt::resolve(tx, subject.seq, change.user).await?;
                apply_member(tx, instance, subject, change, &Membership::Absent).await?;
            }
            Err(fault) if fault.kind == FaultKind::NotFound => {
                missing.get_or_insert_with(|| (Vec::new(), fault.clone())).0.push(change.clone());
            }
            Err(fault) if fault.retry == connector_sdk::Retry::Never => {
                refuse(tx, subject, change, &fault.message).await?;
            }
            Err(fault) => {
                // To the end of the line: what keeps failing must not keep the rest from its turn.
                tx.conn
                    .run(
                        "UPDATE member SET have_at = $3 WHERE group_seq = $1 AND user_seq = $2",
                        vals![subject.seq, change.user, tx.now],
                    )
                    .await?;
                if fault.kind != FaultKind::Awaiting {
                    verdict = Some(Verdict::Failed(Box::new(fault.clone())));
                }
            }
        }
    }
    match (verdict, missing) {
        (None, Some((changes, fault))) => missed(tx, subject, changes, &fault).await.map(Some),
        (verdict, _) => Ok(verdict),
    }
}

/// A change as it stands now: who was created again meanwhile has the account, and what was on its way to it.
async fn now_of(tx: &Tx<'_>, change: &MemberChange, attempt: i64) -> Result<MemberChange, StoreError> {
    let row = tx.conn.one("SELECT item_seq FROM attempt WHERE seq = $1", vals![attempt]).await?;
    let user = row.map_or(Ok(change.user), |row| row.col("item_seq"))?;
    Ok(MemberChange { user, ..change.clone() })
}

/// What a look at memberships in doubt showed. The rows stay to do: the plan compares what is there with
/// what is wanted now.
pub(super) async fn apply_seen(
    tx: &Tx<'_>,
    subject: &Subject,
    changes: &[MemberChange],
    seen: &[Membership],
) -> Result<(), StoreError> {
    for (change, membership) in changes.iter().zip(seen) {
        doubt::resolve(tx, subject.seq, change.user).await?;
        let have: i16 = match membership {
            Membership::Present => 1,
            Membership::Pending => 2,
            _ => 0,
        };
        tx.conn
            .run(
                "UPDATE member SET have = $3, have_at = $4 WHERE group_seq = $1 AND user_seq = $2",
                vals![subject.seq, change.user, have, tx.now],
            )
            .await?;
    }
    Ok(())
}

async fn apply_member(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    change: &MemberChange,
    membership: &Membership,
) -> Result<(), StoreError> {
    let have: i16 = match membership {
        Membership::Present => 1,
        Membership::Pending => 2,
        Membership::Kept { .. } => i16::from(!change.add),
        _ => 0,
    };
    let row = tx
        .conn
        .one(
            "SELECT m.want, m.op_seq, u.active, u.deleted_at FROM member m JOIN resource u ON u.seq = m.user_seq WHERE m.group_seq = $1 AND m.user_seq = $2",
            vals![subject.seq, change.user],
        )
        .await?;
    let Some(row) = row else { return Ok(()) };
    let want = row.col::<i16>("want")? == 1;
    let operation: Option<i64> = row.col("op_seq")?;
    let theirs = match change.add && have != 0 {
        true => late::is_theirs(tx, change.user, &change.account).await?,
        false => Some(true),
    };
    if theirs == Some(false) {
        // Another account has taken its place meanwhile, and is no member yet: the row is still to do.
        return late::grant(tx, instance, subject.seq, change.user, &change.account).await;
    }
    tx.conn
        .run(
            "UPDATE member SET have = $3, have_at = $4 WHERE group_seq = $1 AND user_seq = $2",
            vals![subject.seq, change.user, have, tx.now],
        )
        .await?;
    let user_wanted = row.col::<i16>("active")? == 1 && row.col::<Option<i64>>("deleted_at")?.is_none();
    if theirs.is_none() {
        late::grant(tx, instance, subject.seq, change.user, &change.account).await?;
    }
    // Before the wish is compared: a removal for a person without access has `want` as well, and what the
    // target keeps would be asked for again at once, without end.
    if let Membership::Kept { why } = membership
        && (want && user_wanted) == change.add
    {
        return refuse(tx, subject, change, why).await;
    }
    if want != change.add || (want && !user_wanted) {
        // The wish, or the person's access, changed while the call was under way: the row is still
        // to do, and the next plan takes back what was just given.
        return Ok(());
    }
    match (want, have) {
        (true, 2) => set_state(tx, subject.seq, change.user, "parked", Some(ParkReason::Invited.as_str())).await?,
        (true, _) => set_state(tx, subject.seq, change.user, "settled", None).await?,
        (false, _) => {
            tx.conn
                .run("DELETE FROM member WHERE group_seq = $1 AND user_seq = $2", vals![subject.seq, change.user])
                .await?;
        }
    }
    if let Some(operation) = operation {
        let ends =
            if have == 2 { Ends { parked: 1, ..Ends::default() } } else { Ends { applied: 1, ..Ends::default() } };
        close_operation_items(tx, operation, ends, None).await?;
    }
    Ok(())
}

/// Parks a membership, and closes its operation's item as such.
pub(super) async fn park(
    tx: &Tx<'_>,
    subject: &Subject,
    change: &MemberChange,
    reason: &str,
) -> Result<(), StoreError> {
    let row = tx
        .conn
        .one("SELECT op_seq FROM member WHERE group_seq = $1 AND user_seq = $2", vals![subject.seq, change.user])
        .await?;
    let operation = row.map(|row| row.col::<Option<i64>>("op_seq")).transpose()?.flatten();
    set_state(tx, subject.seq, change.user, "parked", Some(reason)).await?;
    if let Some(operation) = operation {
        close_operation_items(tx, operation, Ends { parked: 1, ..Ends::default() }, Some(reason)).await?;
    }
    Ok(())
}

pub(super) async fn refuse(
    tx: &Tx<'_>,
    subject: &Subject,
    change: &MemberChange,
    reason: &str,
) -> Result<(), StoreError> {
    let row = tx
        .conn
        .one("SELECT op_seq FROM member WHERE group_seq = $1 AND user_seq = $2", vals![subject.seq, change.user])
        .await?;
    let operation = row.map(|row| row.col::<Option<i64>>("op_seq")).transpose()?.flatten();
    set_state(tx, subject.seq, change.user, "refused", Some(reason)).await?;
    if let Some(operation) = operation {
        close_operation_items(tx, operation, Ends { failed: 1, ..Ends::default() }, Some(reason)).await?;
    }
    Ok(())
}

pub(super) async fn set_state(
    tx: &Tx<'_>,
    group: i64,
    user: i64,
    state: &str,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    tx.conn
        .run(
            "UPDATE member SET state = $3, reason = $4, held = 0, hold_seq = NULL, op_seq = CASE WHEN $3 = 'todo' THEN op_seq ELSE NULL END, \
             parked_at = CASE WHEN $3 <> 'parked' THEN NULL WHEN state = 'parked' THEN parked_at ELSE $5 END WHERE group_seq = $1 AND user_seq = $2",
            vals![group, user, state, reason.map(str::to_owned), tx.now],
        )
        .await?;
    Ok(())
}
