//! Grants that come too late: a target may bring a removed account back when it is put into a group (GitHub invites
//! who is put into a team). Such an account is the person's again, and removed once more or looked at; where they have
//! another one by then, that comes once they have none.

use connector_sdk::{AccountRef, InviteId, RemoteId};
use engine::Lane;

use super::accounts::{self, wake_memberships};
use super::attempts::GRANTED;
use super::doubt::{self, GOES_ON};
use crate::service::accept::upsert_work;
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError, Tx};

/// The evidence of a link to an account that a late grant may have brought back. A closed one waits until the person
/// has no other account.
pub(crate) const LATE: &str = "late_grant";

/// What an attempt keeps of the account that a grant is sent to: its id alone.
pub(super) fn sent_to(at: &AccountRef) -> Option<String> {
    let bare = match at {
        AccountRef::Account { id, .. } => AccountRef::Account { id: id.clone(), login: None },
        AccountRef::Invite { id, .. } => AccountRef::Invite { id: id.clone(), email: None, login: None },
    };
    serde_json::to_string(&bare).ok()
}

/// Whether calls name an account so, or once did: an invitation may have become it.
pub(super) fn goes_by(remote: Option<&str>, invite: Option<&str>, at: &AccountRef) -> bool {
    match at {
        AccountRef::Account { id, .. } => remote == Some(RemoteId::as_str(id)),
        AccountRef::Invite { id, .. } => invite == Some(InviteId::as_str(id)),
    }
}

/// Whether that is the account that a person is linked to; `None` if they are linked to none.
pub(super) async fn is_theirs(tx: &Tx<'_>, user: i64, at: &AccountRef) -> Result<Option<bool>, StoreError> {
    let row = accounts::linked(tx, user).await?;
    Ok(row.map(|row| goes_by(row.remote_id.as_deref(), row.invite_id.as_deref(), at)))
}

/// A grant came, or may have come, to an account that is not the person's any more, and may have brought it back.
pub(super) async fn grant(
    tx: &Tx<'_>,
    instance: &Instance,
    group: i64,
    user: i64,
    at: &AccountRef,
) -> Result<(), StoreError> {
    let (column, id) = match at {
        AccountRef::Account { id, .. } => ("remote_id", id.as_str()),
        AccountRef::Invite { id, .. } => ("invite_id", id.as_str()),
    };
    let row = tx
        .conn
        .one(
            &format!(
                "SELECT a.seq, (SELECT MAX(l.resource_seq) FROM link l WHERE l.account_seq = a.seq AND l.state = 'live') AS holder FROM account a \
                 WHERE a.instance_seq = $1 AND a.kind = 'User' AND a.{column} = $2 \
                 ORDER BY CASE WHEN a.status = 'gone' THEN 1 ELSE 0 END, a.seq DESC LIMIT 1"
            ),
            vals![instance.seq, id],
        )
        .await?;
    let Some(row) = row else { return Ok(()) };
    if let Some(holder) = row.col::<Option<i64>>("holder")? {
        return given_to_another(tx, instance, group, holder).await;
    }
    let account: i64 = row.col("seq")?;
    if accounts::linked(tx, user).await?.is_none() {
        reopen(tx, instance, user, account).await?;
        // If it is back, it is a member, whatever was known of it when it went: as one who is invited may be.
        tx.conn
            .run(
                "UPDATE member SET have = 2 WHERE group_seq = $1 AND user_seq = $2 AND COALESCE(have, 0) = 0",
                vals![group, user],
            )
            .await?;
        return Ok(());
    }
    let known = "SELECT 1 AS one FROM link WHERE resource_seq = $1 AND account_seq = $2 AND evidence = $3 LIMIT 1";
    if tx.conn.one(known, vals![user, account, LATE]).await?.is_none() {
        tx.conn
            .run(
                "INSERT INTO link (seq, resource_seq, account_seq, state, evidence, opened_at, closed_at) VALUES ($1,$2,$3,'closed',$4,$5,$5)",
                vals![tx.seq()?, user, account, LATE, tx.now],
            )
            .await?;
    }
    Ok(())
}

/// The account is somebody else's by now, who is a member because of a grant that was not theirs: unless they are
/// wanted there, they are taken out.
async fn given_to_another(tx: &Tx<'_>, instance: &Instance, group: i64, user: i64) -> Result<(), StoreError> {
    let live = tx
        .conn
        .one("SELECT rev FROM resource WHERE seq = $1 AND deleted_at IS NULL AND managed = 1", vals![group])
        .await?;
    let Some(live) = live else { return Ok(()) };
    tx.conn
        .run(
            "INSERT INTO member (group_seq, user_seq, want, have, asserted, state, reason, op_seq, have_at) VALUES ($1,$2,0,1,0,'todo',NULL,NULL,$3) \
             ON CONFLICT (group_seq, user_seq) DO UPDATE SET have = 1, have_at = excluded.have_at, state = 'todo', reason = NULL WHERE member.want = 0",
            vals![group, user, tx.now],
        )
        .await?;
    upsert_work(tx, instance, group, Lane::Removal, live.col("rev")?, None).await
}

/// An account that a late grant may have brought back, of a person who has no other.
pub(super) async fn returned(tx: &Tx<'_>, user: i64) -> Result<Option<i64>, StoreError> {
    let row = tx
        .conn
        .one(
            "SELECT l.account_seq FROM link l JOIN account a ON a.seq = l.account_seq \
             WHERE l.resource_seq = $1 AND l.state = 'closed' AND l.evidence = $2 AND l.rejected = 0 \
             AND NOT EXISTS (SELECT 1 FROM link o WHERE o.account_seq = a.seq AND o.state = 'live') \
             AND NOT EXISTS (SELECT 1 FROM account b WHERE b.instance_seq = a.instance_seq AND b.kind = 'User' AND b.remote_id = a.remote_id AND b.status <> 'gone' AND b.seq <> a.seq) \
             ORDER BY l.seq DESC LIMIT 1",
            vals![user, LATE],
        )
        .await?;
    row.map(|row| row.col("account_seq")).transpose()
}

/// Whether the account that a person is linked to may have been brought back by a late grant, or not, and nobody has
/// looked since.
pub(super) async fn may_be_back(tx: &Tx<'_>, user: i64) -> Result<bool, StoreError> {
    let text = "SELECT 1 AS one FROM link WHERE resource_seq = $1 AND state = 'live' AND evidence = $2";
    Ok(tx.conn.one(text, vals![user, LATE]).await?.is_some())
}

/// An account that may be back is taken as the person's again, so that their own work removes it once more, or looks
/// whether who shall have access after all has it.
pub(super) async fn reopen(tx: &Tx<'_>, instance: &Instance, user: i64, account: i64) -> Result<(), StoreError> {
    over(tx, account).await?;
    tx.conn
        .run(
            "UPDATE account SET status = CASE WHEN remote_id IS NULL THEN 'invited' ELSE 'active' END WHERE seq = $1",
            vals![account],
        )
        .await?;
    tx.conn
        .run(
            "INSERT INTO link (seq, resource_seq, account_seq, state, evidence, opened_at, closed_at) VALUES ($1,$2,$3,'live',$4,$5,NULL)",
            vals![tx.seq()?, user, account, LATE, tx.now],
        )
        .await?;
    let row = tx
        .conn
        .one("SELECT rev, active, managed, deleted_at FROM resource WHERE seq = $1", vals![user])
        .await?
        .ok_or_else(|| StoreError::damaged("a membership without its person"))?;
    let wanted = row.col::<i16>("active")? == 1
        && row.col::<i16>("managed")? == 1
        && row.col::<Option<i64>>("deleted_at")?.is_none();
    // Also of a leaver: should they come back before they are removed, they are looked at.
    doubt_removal(tx, user).await?;
    let lane = match wanted {
        true => {
            wake_memberships(tx, instance, user).await?;
            Lane::Grant
        }
        false => Lane::Deprovision,
    };
    upsert_work(tx, instance, user, lane, row.col("rev")?, None).await
}

/// What a late grant did to an account is known now.
pub(super) async fn over(tx: &Tx<'_>, account: i64) -> Result<(), StoreError> {
    tx.conn
        .run("UPDATE link SET evidence = 'same_id' WHERE account_seq = $1 AND evidence = $2", vals![account, LATE])
        .await?;
    Ok(())
}

/// Until when it is too early to say whether a grant whose caller died came to its account. `ended` is when that was
/// noticed, and there is none where the end of the call was heard of.
pub(super) fn too_early(ended: Option<i64>, now: i64) -> Option<i64> {
    ended.map(|ended| ended + GOES_ON).filter(|until| *until > now)
}

/// A group is gone, and nobody looks at its memberships any more: what grants in doubt did to accounts that are not
/// their people's any more is looked into. Until when that is too early.
pub(super) async fn of_group(tx: &Tx<'_>, instance: &Instance, group: i64) -> Result<Option<i64>, StoreError> {
    let rows = tx
        .conn
        .all(
            "SELECT item_seq, sent, CASE WHEN fault IS NULL THEN ended_at END AS ended FROM attempt \
             WHERE resource_seq = $1 AND state = 'unknown' AND step = 'add_member' AND sent IS NOT NULL ORDER BY item_seq",
            vals![group],
        )
        .await?;
    let mut later = None;
    for row in &rows {
        let (user, sent): (i64, String) = (row.col("item_seq")?, row.col("sent")?);
        let Ok(at) = serde_json::from_str(&sent) else { continue };
        if is_theirs(tx, user, &at).await? == Some(true) {
            continue;
        }
        match too_early(row.col("ended")?, tx.now) {
            Some(until) => later = later.max(Some(until)),
            None => {
                doubt::resolve(tx, group, user).await?;
                grant(tx, instance, group, user, &at).await?;
            }
        }
    }
    Ok(later)
}

/// A grant came to the target, or may have: a removal of the account that is under way may have come before
/// it, and is then no removal ([`granted_meanwhile`]).
pub(super) async fn note_grant(tx: &Tx<'_>, user: i64) -> Result<(), StoreError> {
    tx.conn
        .run(
            "UPDATE attempt SET marker = $2 WHERE resource_seq = $1 AND item_seq = 0 AND step = 'remove' AND state = 'sending'",
            vals![user, GRANTED],
        )
        .await?;
    Ok(())
}

/// Whether a grant came to the target after the account's removal was sent: it may have brought the
/// account back (GitHub invites who is put into a team), so the removal is not the end of it.
pub(super) async fn granted_meanwhile(tx: &Tx<'_>, user: i64) -> Result<bool, StoreError> {
    let row = tx
        .conn
        .one(
            "SELECT 1 AS one FROM attempt t WHERE t.seq = (SELECT MAX(seq) FROM attempt WHERE resource_seq = $1 AND item_seq = 0 AND step = 'remove') \
             AND (t.marker = $2 OR EXISTS (SELECT 1 FROM member m WHERE m.user_seq = $1 AND m.have <> 0 AND m.have_at >= t.started_at))",
            vals![user, GRANTED],
        )
        .await?;
    Ok(row.is_some())
}

/// Whether a grant came to the target after it was asked for the person's account, or may have: that the account
/// was gone by then is not the end of it.
pub(crate) async fn granted_since(tx: &Tx<'_>, user: i64, asked: i64) -> Result<bool, StoreError> {
    let row = tx
        .conn
        .one(
            "SELECT 1 AS one FROM member WHERE user_seq = $1 AND have <> 0 AND have_at >= $2 LIMIT 1",
            vals![user, asked],
        )
        .await?;
    Ok(row.is_some())
}

/// What became of a person's removal is not known any more.
pub(super) async fn doubt_removal(tx: &Tx<'_>, user: i64) -> Result<(), StoreError> {
    tx.conn
        .run(
            "UPDATE attempt SET state = 'unknown' WHERE seq = (SELECT MAX(seq) FROM attempt WHERE resource_seq = $1 AND item_seq = 0 AND step = 'remove') \
             AND NOT EXISTS (SELECT 1 FROM attempt o WHERE o.resource_seq = $1 AND o.item_seq = 0 AND o.state IN ('sending','unknown'))",
            vals![user],
        )
        .await?;
    Ok(())
}
