//! Recording what the steps of a group brought about. The only place that links groups.

use connector_sdk::{Fault, FaultKind, GroupCreated, GroupUpdated, Need, RemoteGroup, RemoteId};
use engine::doubt::ask_which;
use engine::membership::ParkReason;
use engine::policy::AdoptGroups;
use serde_json::json;

use super::members::{apply_members, apply_seen, park};
use super::{GroupCall, GroupDone, MemberChange};
use crate::driver::attempts::end_attempts;
use crate::driver::doubt::{self, not_visible};
use crate::driver::late;
use crate::driver::run::{Step, Subject, Verdict};
use crate::service::accept::{Ends, close_operation_items, tally};
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError, Tx};

/// Records what the calls brought about. A verdict ends the run; none plans again.
#[allow(clippy::too_many_arguments, reason = "a settlement is one transaction over all of it")]
pub(in crate::driver) async fn apply(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    call: &GroupCall,
    done: &GroupDone,
    attempts: &[i64],
    calls: &serde_json::Value,
    epoch: i64,
) -> Result<Option<Verdict>, StoreError> {
    if let (GroupCall::Members { changes, .. }, GroupDone::Members(answers)) = (call, done) {
        return apply_members(tx, instance, subject, changes, answers, attempts, calls).await;
    }
    let fault = match done {
        GroupDone::Found(result) => result.as_ref().err(),
        GroupDone::Read(result) => result.as_ref().err(),
        GroupDone::Seen(result) => result.as_ref().err(),
        GroupDone::Created(result) => result.as_ref().err(),
        GroupDone::Tidied(result) => result.as_ref().err(),
        GroupDone::Renamed(result) => result.as_ref().err(),
        GroupDone::Removed(result) => result.as_ref().err(),
        GroupDone::Members(_) => None,
    };
    end_attempts(tx, instance, subject, attempts, call.word(), fault, calls, epoch).await?;
    if let Some(fault) = fault {
        if fault.kind == FaultKind::NotFound && matches!(call, GroupCall::Rename { .. } | GroupCall::Tidy { .. }) {
            return missed(tx, subject, Vec::new(), fault).await.map(Some);
        }
        // The plan sees the task, and waits for it; or it is closed by now.
        return Ok((fault.kind != FaultKind::Awaiting).then(|| Verdict::Failed(Box::new(fault.clone()))));
    }
    match (call, done) {
        (_, GroupDone::Found(Ok(found))) => match of_nobody_else(tx, instance, subject, found).await?.as_slice() {
            [] => match doubt::creation_under_way(tx, subject).await? {
                Some(wait) => Ok(Some(wait)),
                None if said_to_have_happened(tx, instance, subject).await? => {
                    Ok(Some(Verdict::Need { need: ask_which(&subject.name), refused: None }))
                }
                None => doubt::resolve(tx, subject.seq, 0).await.map(|()| None),
            },
            // Found after a creation in doubt: ours, unless it was there before.
            [group] => {
                let older = is_older(tx, instance, subject, group).await?;
                let wait = doubt::creation_under_way(tx, subject).await?;
                let verdict = match (older, subject.deleted) {
                    (false, _) => tie(tx, instance, subject, group, true).await?,
                    (true, true) => None,
                    (true, false) => adopt(tx, instance, subject, group).await?,
                };
                if wait.is_some() {
                    // It may have been there before, and the creation may still come: should it be renamed or deleted
                    // before then, that would make another.
                    return Ok(wait);
                }
                doubt::resolve(tx, subject.seq, 0).await?;
                Ok(verdict)
            }
            _ => Ok(Some(Verdict::Need {
                need: Need::new(
                    "ambiguous",
                    format!(
                        "{} groups at the target are named \"{}\". Rename all but one there, or link the right one by hand.",
                        found.len(),
                        subject.name
                    ),
                ),
                refused: None,
            })),
        },
        (GroupCall::Read { account, missed, .. }, GroupDone::Read(Ok(found))) => {
            apply_read(tx, instance, subject, *account, missed, found.as_ref()).await
        }
        (GroupCall::LookMembers { changes, .. }, GroupDone::Seen(Ok(seen))) => {
            apply_seen(tx, subject, changes, seen).await.map(|()| None)
        }
        (_, GroupDone::Created(Ok(GroupCreated::Done(group)))) => tie(tx, instance, subject, group, true).await,
        (_, GroupDone::Created(Ok(GroupCreated::AlreadyThere(group)))) => adopt(tx, instance, subject, group).await,
        (GroupCall::Tidy { account, .. }, GroupDone::Tidied(Ok(()))) => {
            patch_doc(tx, *account, "tidied", json!(true)).await?;
            Ok(None)
        }
        (GroupCall::Rename { account, .. }, GroupDone::Renamed(Ok(GroupUpdated::Done(_)))) => {
            patch_doc(tx, *account, "name", json!(subject.name)).await?;
            Ok(None)
        }
        (GroupCall::Rename { account, .. }, GroupDone::Renamed(Ok(_))) => {
            close(tx, *account, true).await?;
            forget_memberships(tx, instance, subject.seq).await?;
            Ok(None)
        }
        (GroupCall::Remove { account, .. }, GroupDone::Removed(Ok(_))) => {
            close(tx, *account, true).await?;
            Ok(None)
        }
        _ => Err(StoreError::damaged("a group step whose answer does not fit")),
    }
}

/// A group that was at the target before is taken up only where the policy says so (DECISIONS 7).
async fn adopt(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    group: &RemoteGroup,
) -> Result<Option<Verdict>, StoreError> {
    if instance.policy.adopt_groups == AdoptGroups::ByName && !group.protected {
        return tie(tx, instance, subject, group, false).await;
    }
    let need = Need::new(
        "name_taken",
        format!(
            "The target has a group named \"{}\" already, and this instance does not adopt existing groups. Rename one of them, or set the policy adopt_groups to by_name, or link that group by hand.",
            subject.name
        ),
    );
    Ok(Some(Verdict::Need { need, refused: Some(FaultKind::NameTaken) }))
}

/// The groups of a name that may be the one that a creation in doubt made: not those that other groups of the
/// directory have at the target.
async fn of_nobody_else(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    found: &[RemoteGroup],
) -> Result<Vec<RemoteGroup>, StoreError> {
    let mut left = Vec::with_capacity(found.len());
    for group in found {
        let held = tx
            .conn
            .one(
                "SELECT 1 AS one FROM account a JOIN link l ON l.account_seq = a.seq AND l.state = 'live' JOIN resource r ON r.seq = l.resource_seq \
                 WHERE a.instance_seq = $1 AND a.kind = 'Group' AND a.remote_id = $2 AND a.status <> 'gone' AND r.seq <> $3 AND r.managed = 1",
                vals![instance.seq, group.id.as_str(), subject.seq],
            )
            .await?;
        if held.is_none() {
            left.push(group.clone());
        }
    }
    Ok(left)
}

/// Whether a group found after a creation in doubt was known before it was sent: then the call was
/// refused, and nobody heard of it.
async fn is_older(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    group: &RemoteGroup,
) -> Result<bool, StoreError> {
    let known = tx
        .conn
        .one(
            "SELECT 1 AS one FROM account a WHERE a.instance_seq = $1 AND a.kind = 'Group' AND a.remote_id = $2 AND a.status <> 'gone' AND a.ours = 0 \
             AND a.seq < (SELECT MIN(t.seq) FROM attempt t WHERE t.resource_seq = $3 AND t.item_seq = 0 AND t.step = 'create' AND t.state = 'unknown')",
            vals![instance.seq, group.id.as_str(), subject.seq],
        )
        .await?;
    Ok(group.protected || known.is_some())
}

/// Whether an admin said that the creation in doubt happened.
async fn said_to_have_happened(tx: &Tx<'_>, instance: &Instance, subject: &Subject) -> Result<bool, StoreError> {
    let Ok(connector) = &instance.connector else {
        return Ok(false);
    };
    let doubt = doubt::of_resource(tx, connector.traits(), &subject.kind, subject.seq).await?;
    Ok(doubt.is_some_and(|doubt| doubt.happened))
}

/// What a look at the linked group brought to light: whether it is there, and by which name.
async fn apply_read(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    account: i64,
    missed: &[MemberChange],
    found: Option<&RemoteGroup>,
) -> Result<Option<Verdict>, StoreError> {
    if found.is_none() && doubt::is_new(tx, subject).await? {
        return Ok(Some(doubt::not_visible(tx.now)));
    }
    doubt::resolve(tx, subject.seq, 0).await?;
    let Some(group) = found else {
        // Somebody deleted it at the target. Who asks for a change of it asks for the group.
        close(tx, account, true).await?;
        forget_memberships(tx, instance, subject.seq).await?;
        return Ok(None);
    };
    patch_doc(tx, account, "name", json!(group.name)).await?;
    for change in missed {
        // The group is there, so the account is not: the person's own look finds out.
        park(tx, subject, change, ParkReason::NoAccount.as_str()).await?;
        tx.conn.run("UPDATE resource SET look_at = $2 WHERE seq = $1", vals![change.user, tx.now]).await?;
    }
    Ok(None)
}

/// Something that a call needed is not at the target. Just made, it may only not be visible yet: then it
/// is tried again in a while. Else the group is looked at.
pub(super) async fn missed(
    tx: &Tx<'_>,
    subject: &Subject,
    changes: Vec<MemberChange>,
    fault: &Fault,
) -> Result<Verdict, StoreError> {
    let row = tx
        .conn
        .one(
            "SELECT a.seq, a.remote_id, l.opened_at FROM link l JOIN account a ON a.seq = l.account_seq WHERE l.resource_seq = $1 AND l.state = 'live'",
            vals![subject.seq],
        )
        .await?;
    let Some(row) = row else {
        return Ok(Verdict::Failed(Box::new(fault.clone())));
    };
    let mut youngest: i64 = row.col("opened_at")?;
    for change in &changes {
        let linked = tx
            .conn
            .one("SELECT MAX(opened_at) AS at FROM link WHERE resource_seq = $1 AND state = 'live'", vals![change.user])
            .await?
            .map_or(Ok(None), |row| row.col::<Option<i64>>("at"))?;
        youngest = youngest.max(linked.unwrap_or(0));
    }
    if subject.asked - youngest < doubt::NEW {
        return Ok(not_visible(tx.now));
    }
    let Some(id) = row.col::<Option<String>>("remote_id")? else {
        return Ok(Verdict::Failed(Box::new(fault.clone())));
    };
    let call = GroupCall::Read { id: RemoteId::new(id), account: row.col("seq")?, doubt: false, missed: changes };
    Ok(Verdict::Call(Step::Group(Box::new(call)), Vec::new()))
}

/// Links a group to its counterpart, unless that is another group's: then that is what the client, or
/// an admin, is told.
async fn tie(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    group: &RemoteGroup,
    ours: bool,
) -> Result<Option<Verdict>, StoreError> {
    let need = tie_group(tx, instance, subject.seq, group, ours).await?;
    Ok(need.map(|need| Verdict::Need { need, refused: Some(FaultKind::NameTaken) }))
}

/// The same by row; what it needs, if the counterpart is another's.
pub(crate) async fn tie_group(
    tx: &Tx<'_>,
    instance: &Instance,
    resource: i64,
    group: &RemoteGroup,
    ours: bool,
) -> Result<Option<Need>, StoreError> {
    let known = tx
        .conn
        .one(
            "SELECT a.seq, l.resource_seq, l.seq AS link_seq, r.managed, r.listed, r.deleted_at, r.name AS holder_name FROM account a \
             LEFT JOIN link l ON l.account_seq = a.seq AND l.state = 'live' LEFT JOIN resource r ON r.seq = l.resource_seq \
             WHERE a.instance_seq = $1 AND a.kind = 'Group' AND a.remote_id = $2 AND a.status <> 'gone'",
            vals![instance.seq, group.id.as_str()],
        )
        .await?;
    let doc = json!({"name": group.name, "slug": group.slug}).to_string();
    let account = match &known {
        Some(row) => {
            let account: i64 = row.col("seq")?;
            if let Some(holder) = row.col::<Option<i64>>("resource_seq")?.filter(|holder| *holder != resource) {
                if row.col::<Option<i16>>("managed")? == Some(1) {
                    return Ok(Some(Need::new(
                        "conflict",
                        format!(
                            "The target's group \"{}\" is tied to another group of this instance, \"{}\".",
                            group.name,
                            row.col::<Option<String>>("holder_name")?.unwrap_or_default()
                        ),
                    )));
                }
                let link: i64 = row.col("link_seq")?;
                tx.conn
                    .run("UPDATE link SET state = 'closed', closed_at = $2 WHERE seq = $1", vals![link, tx.now])
                    .await?;
                tx.conn
                    .run("UPDATE resource SET merged_into = $2, deleted_at = COALESCE(deleted_at, $3), listed = 0 WHERE seq = $1", vals![holder, resource, tx.now])
                    .await?;
                if row.col::<Option<i16>>("listed")? == Some(1) && row.col::<Option<i64>>("deleted_at")?.is_none() {
                    tally(tx, instance.seq, "Group", holder, -1).await?;
                }
            }
            tx.conn
                .run("UPDATE account SET doc = $2, ours = CASE WHEN $3 = 1 THEN 1 ELSE ours END, seen_at = $4 WHERE seq = $1", vals![account, doc, i16::from(ours), tx.now])
                .await?;
            account
        }
        None => {
            let account = tx.seq()?;
            tx.conn
                .run(
                    "INSERT INTO account (seq, instance_seq, kind, remote_id, invite_id, login_key, email_key, status, protected, ours, doc, expires_at, invites, seen_run, seen_at) \
                     VALUES ($1,$2,'Group',$3,NULL,NULL,NULL,'active',$4,$5,$6,NULL,0,NULL,$7)",
                    vals![account, instance.seq, group.id.as_str(), i16::from(group.protected), i16::from(ours), doc, tx.now],
                )
                .await?;
            account
        }
    };
    tx.conn
        .run(
            "INSERT INTO link (seq, resource_seq, account_seq, state, evidence, opened_at, closed_at) VALUES ($1,$2,$3,'live',$4,$5,NULL) ON CONFLICT DO NOTHING",
            vals![tx.seq()?, resource, account, if ours { "same_id" } else { "name" }, tx.now],
        )
        .await?;
    // What waited for a group that was gone can go on.
    tx.conn
        .run(
            "UPDATE member SET state = 'todo', reason = NULL WHERE group_seq = $1 AND state = 'parked' AND reason = $2",
            vals![resource, ParkReason::GroupMissing.as_str()],
        )
        .await?;
    Ok(None)
}

async fn patch_doc(tx: &Tx<'_>, account: i64, name: &str, value: serde_json::Value) -> Result<(), StoreError> {
    let row = tx
        .conn
        .one("SELECT doc FROM account WHERE seq = $1", vals![account])
        .await?
        .ok_or_else(|| StoreError::damaged("account"))?;
    let mut doc: serde_json::Value = serde_json::from_str(&row.col::<String>("doc")?).unwrap_or_default();
    doc[name] = value;
    tx.conn.run("UPDATE account SET doc = $2 WHERE seq = $1", vals![account, doc.to_string()]).await?;
    Ok(())
}

pub(super) async fn close(tx: &Tx<'_>, account: i64, gone: bool) -> Result<(), StoreError> {
    if gone {
        tx.conn.run("UPDATE account SET status = 'gone', seen_at = $2 WHERE seq = $1", vals![account, tx.now]).await?;
    }
    tx.conn
        .run(
            "UPDATE link SET state = 'closed', closed_at = $2 WHERE account_seq = $1 AND state = 'live'",
            vals![account, tx.now],
        )
        .await?;
    Ok(())
}

/// The group is gone at the target and is made anew: so are its memberships.
async fn forget_memberships(tx: &Tx<'_>, instance: &Instance, group: i64) -> Result<(), StoreError> {
    // What is still on its way comes to a group that is not there, so nothing is too early.
    late::of_group(tx, instance, group).await?;
    let open = tx
        .conn
        .all("SELECT op_seq, COUNT(*) AS n FROM member WHERE group_seq = $1 AND want = 0 AND state = 'todo' AND op_seq IS NOT NULL GROUP BY op_seq", vals![group])
        .await?;
    for row in &open {
        close_operation_items(tx, row.col("op_seq")?, Ends { applied: row.col("n")?, ..Ends::default() }, None).await?;
    }
    tx.conn.run("DELETE FROM member WHERE group_seq = $1 AND want = 0", vals![group]).await?;
    tx.conn
        .run(
            "UPDATE member SET have = 0, reason = CASE WHEN state = 'todo' THEN reason END, state = 'todo' WHERE group_seq = $1 AND (state <> 'todo' OR have <> 0)",
            vals![group],
        )
        .await?;
    Ok(())
}
