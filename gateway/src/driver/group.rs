//! A group at the target: the group itself first, then its memberships, removals before additions.

use std::collections::HashMap;

use connector_sdk::{
    AccountRef, Connector, Cx, Fault, FaultKind, GroupChange, GroupCreated, GroupUpdated, GroupWant, InviteId, Membership, Need, RemoteGroup, RemoteId,
    Removed, Suspend,
};
use engine::membership::{Have, Link, MemberStep, MemberView, ParkReason, member_step};
use engine::policy::{AdoptGroups, OnGroupDelete};
use sea_orm::QueryResult;
use serde_json::json;

use super::person::can_create;
use super::run::{Attempted, Step, Subject, Verdict, attempt_state, end_attempts};
use crate::service::accept::{Ends, close_operation_items};
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError, Tx};

/// Memberships looked at per transaction.
const LOOK: usize = 400;
/// Memberships sent per step.
const BATCH: usize = 8;
/// Members purged per transaction after a group is gone.
const PURGE: i64 = 500;

/// A step, with what the calls need.
#[derive(Clone, Debug)]
pub(super) enum GroupCall {
    /// Look for a group whose creation is in doubt.
    Look { want: GroupWant },
    Create { want: GroupWant },
    /// The credential's own account leaves a group we made.
    Tidy { id: RemoteId, account: i64 },
    Rename { id: RemoteId, account: i64, name: String },
    Remove { id: RemoteId, account: i64 },
    Members { id: RemoteId, changes: Vec<MemberChange> },
}

/// One membership to change.
#[derive(Clone, Debug)]
pub(super) struct MemberChange {
    pub(super) user: i64,
    pub(super) account: AccountRef,
    pub(super) add: bool,
    pub(super) operation: Option<i64>,
}

/// What the calls answered.
pub(super) enum GroupDone {
    Found(Result<Vec<RemoteGroup>, Fault>),
    Created(Result<GroupCreated, Fault>),
    Tidied(Result<(), Fault>),
    Renamed(Result<GroupUpdated, Fault>),
    Removed(Result<Removed, Fault>),
    Members(Vec<Result<Membership, Fault>>),
}

impl GroupCall {
    fn word(&self) -> &'static str {
        match self {
            Self::Look { .. } => "look",
            Self::Create { .. } => "create",
            Self::Tidy { .. } => "tidy",
            Self::Rename { .. } => "update",
            Self::Remove { .. } => "remove",
            Self::Members { .. } => "members",
        }
    }

    /// Carries it out.
    pub(super) async fn send(&self, connector: &dyn Connector, cx: &Cx<'_>) -> GroupDone {
        let Some(groups) = connector.groups() else {
            return GroupDone::Tidied(Err(Fault::new(FaultKind::Refused, "This target has no groups.")));
        };
        match self {
            Self::Look { want } => GroupDone::Found(groups.find(cx, &want.name).await),
            Self::Create { want } => GroupDone::Created(groups.create(cx, want).await),
            Self::Tidy { id, .. } => GroupDone::Tidied(groups.tidy(cx, id).await),
            Self::Rename { id, name, .. } => {
                let mut change = GroupChange::default();
                change.name = Some(name.clone());
                GroupDone::Renamed(groups.update(cx, id, &change).await)
            }
            Self::Remove { id, .. } => GroupDone::Removed(groups.remove(cx, id).await),
            Self::Members { id, changes } => {
                let per_call = connector.traits().members_per_call.max(1);
                let mut answers = Vec::with_capacity(changes.len());
                for chunk in changes.chunks(per_call) {
                    let pick = |add: bool| chunk.iter().filter(|change| change.add == add).map(|change| change.account.clone()).collect::<Vec<_>>();
                    let (add, remove) = (pick(true), pick(false));
                    let mut given = groups.change_members(cx, id, &add, &remove).await.into_iter();
                    let adds: Vec<_> = given.by_ref().take(add.len()).collect();
                    let (mut adds, mut removes) = (adds.into_iter(), given);
                    for change in chunk {
                        let answer = if change.add { adds.next() } else { removes.next() };
                        answers.push(answer.unwrap_or_else(|| {
                            Err(Fault::new(FaultKind::Malformed, "The connector did not say what became of a membership.").context("missing member outcome"))
                        }));
                    }
                    // What stops the target stops the rest of the batch: it was not sent.
                    let stopped = answers.iter().rev().take(chunk.len()).find_map(|answer| answer.as_ref().err().filter(|fault| fault.stops_the_target()));
                    if let Some(fault) = stopped.cloned() {
                        let unsent = Fault::new(FaultKind::NotSent, fault.message.clone()).retry(fault.retry);
                        answers.resize_with(changes.len(), || Err(unsent.clone()));
                        break;
                    }
                }
                GroupDone::Members(answers)
            }
        }
    }
}

/// The link of a group, as its account row tells.
struct GroupRow {
    seq: i64,
    id: RemoteId,
    name: String,
    ours: bool,
    tidied: bool,
}

async fn linked(tx: &Tx<'_>, resource: i64) -> Result<Option<GroupRow>, StoreError> {
    let row = tx
        .conn
        .one(
            "SELECT a.seq, a.remote_id, a.ours, a.doc FROM link l JOIN account a ON a.seq = l.account_seq WHERE l.resource_seq = $1 AND l.state = 'live'",
            vals![resource],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let doc: serde_json::Value = serde_json::from_str(&row.col::<String>("doc")?).unwrap_or_default();
    let Some(id) = row.col::<Option<String>>("remote_id")? else { return Ok(None) };
    Ok(Some(GroupRow {
        seq: row.col("seq")?,
        id: RemoteId::new(id),
        name: doc["name"].as_str().unwrap_or_default().to_owned(),
        ours: row.col::<i16>("ours")? == 1,
        tidied: doc["tidied"].as_bool() == Some(true),
    }))
}

/// Plans the next step.
pub(super) async fn plan(tx: &Tx<'_>, instance: &Instance, connector: &dyn Connector, subject: &Subject) -> Result<Verdict, StoreError> {
    if connector.groups().is_none() {
        park_all(tx, subject.seq, "no_groups").await?;
        return Ok(Verdict::Settled);
    }
    let link = linked(tx, subject.seq).await?;
    let want = GroupWant::named(&subject.name);
    if subject.deleted || !subject.managed {
        return plan_deleted(tx, instance, subject, link).await;
    }
    let operation = latest_operation(tx, subject).await?;
    let whole = |call: GroupCall| {
        let attempted = Attempted { item: 0, step: call.word(), operation };
        Ok(Verdict::Call(Step::Group(Box::new(call)), vec![attempted]))
    };
    let Some(link) = link else {
        let doubt = tx
            .conn
            .one("SELECT 1 AS one FROM attempt WHERE resource_seq = $1 AND item_seq = 0 AND state = 'unknown' AND step = 'create'", vals![subject.seq])
            .await?;
        if doubt.is_some() {
            return Ok(Verdict::Call(Step::Group(Box::new(GroupCall::Look { want })), Vec::new()));
        }
        return whole(GroupCall::Create { want });
    };
    if link.ours && !link.tidied && connector.traits().tidy_created_groups {
        return whole(GroupCall::Tidy { id: link.id, account: link.seq });
    }
    if link.name != subject.name {
        return whole(GroupCall::Rename { id: link.id, account: link.seq, name: subject.name.clone() });
    }
    plan_members(tx, connector, subject, &link).await
}

/// A deleted group is deleted at the target if we made it and the policy says so; else we let go of it.
async fn plan_deleted(tx: &Tx<'_>, instance: &Instance, subject: &Subject, link: Option<GroupRow>) -> Result<Verdict, StoreError> {
    if let Some(link) = link {
        if link.ours && instance.policy.on_group_delete == OnGroupDelete::Delete {
            let call = GroupCall::Remove { id: link.id, account: link.seq };
            let operation = latest_operation(tx, subject).await?;
            let attempted = Attempted { item: 0, step: call.word(), operation };
            return Ok(Verdict::Call(Step::Group(Box::new(call)), vec![attempted]));
        }
        close(tx, link.seq, false).await?;
    }
    let open = tx
        .conn
        .all("SELECT op_seq, COUNT(*) AS n FROM member WHERE group_seq = $1 AND state = 'todo' AND op_seq IS NOT NULL GROUP BY op_seq", vals![subject.seq])
        .await?;
    for row in &open {
        close_operation_items(tx, row.col("op_seq")?, Ends { superseded: row.col("n")?, ..Ends::default() }, None).await?;
    }
    tx.conn
        .run(
            "DELETE FROM member WHERE group_seq = $1 AND user_seq IN (SELECT user_seq FROM member WHERE group_seq = $1 LIMIT $2)",
            vals![subject.seq, PURGE],
        )
        .await?;
    let left = tx.conn.one("SELECT 1 AS one FROM member WHERE group_seq = $1 LIMIT 1", vals![subject.seq]).await?;
    if left.is_some() {
        // The rest goes in chunks, so that no transaction is long (DECISIONS 32).
        tx.conn.run("UPDATE member SET op_seq = NULL WHERE group_seq = $1", vals![subject.seq]).await?;
        return Ok(Verdict::Wait { code: "purge", reason: "Removing the memberships of a deleted group.".to_owned(), until: moment(tx.now) });
    }
    Ok(Verdict::Settled)
}

fn moment(micros: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

async fn latest_operation(tx: &Tx<'_>, subject: &Subject) -> Result<Option<i64>, StoreError> {
    tx.conn
        .one("SELECT MAX(seq) AS seq FROM operation WHERE resource_seq = $1 AND state = 'open' AND rev <= $2", vals![subject.seq, subject.rev])
        .await?
        .map_or(Ok(None), |row| row.col("seq"))
}

/// One membership with what its next step depends on.
struct MemberRow {
    user: i64,
    want: bool,
    view: MemberView,
    account: Option<AccountRef>,
    operation: Option<i64>,
}

async fn plan_members(tx: &Tx<'_>, connector: &dyn Connector, subject: &Subject, link: &GroupRow) -> Result<Verdict, StoreError> {
    let traits = connector.traits();
    let takes = traits.suspend == Suspend::Removes && can_create(connector);
    loop {
        let rows = tx
            .conn
            .all(
                "SELECT m.user_seq, m.want, m.have, m.op_seq, u.active, u.managed, u.deleted_at, a.status, a.remote_id, a.invite_id, a.doc, a.ours \
                 FROM member m JOIN resource u ON u.seq = m.user_seq \
                 LEFT JOIN link l ON l.resource_seq = u.seq AND l.state = 'live' LEFT JOIN account a ON a.seq = l.account_seq \
                 WHERE m.group_seq = $1 AND m.state = 'todo' ORDER BY m.want, m.user_seq LIMIT $2",
                vals![subject.seq, i64::try_from(LOOK).unwrap_or(1)],
            )
            .await?;
        if rows.is_empty() {
            return Ok(Verdict::Settled);
        }
        let mut ends: HashMap<i64, Ends> = HashMap::new();
        let mut changes = Vec::new();
        for row in &rows {
            let member = read_member(row, takes, traits.pending_members)?;
            let count = |ends: &mut HashMap<i64, Ends>, add: Ends| {
                if let Some(operation) = member.operation {
                    let sum = ends.entry(operation).or_default();
                    sum.applied += add.applied;
                    sum.parked += add.parked;
                }
            };
            match member_step(&member.view) {
                MemberStep::Add | MemberStep::Remove => {
                    if changes.len() < BATCH
                        && let Some(account) = member.account
                    {
                        let add = member_step(&member.view) == MemberStep::Add;
                        changes.push(MemberChange { user: member.user, account, add, operation: member.operation });
                    }
                }
                MemberStep::Park(reason) => {
                    set_state(tx, subject.seq, member.user, "parked", Some(reason.as_str())).await?;
                    count(&mut ends, Ends { parked: 1, ..Ends::default() });
                }
                MemberStep::Settled if member.want || member.view.removal_takes_memberships => {
                    set_state(tx, subject.seq, member.user, "settled", None).await?;
                    count(&mut ends, Ends { applied: 1, ..Ends::default() });
                }
                MemberStep::Settled | MemberStep::Forget => {
                    tx.conn.run("DELETE FROM member WHERE group_seq = $1 AND user_seq = $2", vals![subject.seq, member.user]).await?;
                    count(&mut ends, Ends { applied: 1, ..Ends::default() });
                }
            }
        }
        for (operation, ends) in ends {
            close_operation_items(tx, operation, ends, None).await?;
        }
        if !changes.is_empty() {
            let attempts = changes
                .iter()
                .map(|change| Attempted { item: change.user, step: if change.add { "add_member" } else { "remove_member" }, operation: change.operation })
                .collect();
            return Ok(Verdict::Call(Step::Group(Box::new(GroupCall::Members { id: link.id.clone(), changes })), attempts));
        }
    }
}

fn read_member(row: &QueryResult, takes: bool, pending_members: bool) -> Result<MemberRow, StoreError> {
    let status: Option<String> = row.col("status")?;
    let doc: serde_json::Value = row.col::<Option<String>>("doc")?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let login = doc["login"].as_str().map(str::to_owned);
    let remote: Option<String> = row.col("remote_id")?;
    let invite: Option<String> = row.col("invite_id")?;
    let (link, account) = match (status.as_deref(), remote, invite) {
        (Some("invited"), _, Some(invite)) => {
            let pending = AccountRef::Invite { id: InviteId::new(invite), email: doc["email"].as_str().map(str::to_owned), login: login.clone() };
            (Link::Invited, Some(pending))
        }
        (Some("active"), Some(remote), _) => (Link::Active, Some(AccountRef::Account { id: RemoteId::new(remote), login: login.clone() })),
        (Some("suspended"), Some(remote), _) => (Link::Suspended, Some(AccountRef::Account { id: RemoteId::new(remote), login: login.clone() })),
        _ => (Link::None, None),
    };
    let live = row.col::<Option<i64>>("deleted_at")?.is_none();
    let managed = row.col::<i16>("managed")? == 1;
    let user_wanted = live && row.col::<i16>("active")? == 1;
    let want = row.col::<i16>("want")? == 1;
    Ok(MemberRow {
        user: row.col("user_seq")?,
        want,
        view: MemberView {
            want,
            have: match row.col::<Option<i16>>("have")? {
                None => Have::Unknown,
                Some(0) => Have::No,
                Some(2) => Have::Pending,
                Some(_) => Have::Yes,
            },
            user_wanted,
            link,
            // Only accounts that this directory manages lose their account with their access.
            removal_takes_memberships: takes && managed && !user_wanted,
            // A login can be made a member while its invitation pends; an address cannot.
            pending_members: pending_members && login.is_some(),
            group_ready: true,
        },
        account,
        operation: row.col("op_seq")?,
    })
}

async fn set_state(tx: &Tx<'_>, group: i64, user: i64, state: &str, reason: Option<&str>) -> Result<(), StoreError> {
    tx.conn
        .run(
            "UPDATE member SET state = $3, reason = $4, op_seq = CASE WHEN $3 = 'todo' THEN op_seq ELSE NULL END WHERE group_seq = $1 AND user_seq = $2",
            vals![group, user, state, reason.map(str::to_owned)],
        )
        .await?;
    Ok(())
}

async fn park_all(tx: &Tx<'_>, group: i64, reason: &str) -> Result<(), StoreError> {
    let open = tx
        .conn
        .all("SELECT op_seq, COUNT(*) AS n FROM member WHERE group_seq = $1 AND state = 'todo' AND op_seq IS NOT NULL GROUP BY op_seq", vals![group])
        .await?;
    for row in &open {
        close_operation_items(tx, row.col("op_seq")?, Ends { parked: row.col("n")?, ..Ends::default() }, None).await?;
    }
    tx.conn
        .run("UPDATE member SET state = 'parked', reason = $2, op_seq = NULL WHERE group_seq = $1 AND state = 'todo'", vals![group, reason])
        .await?;
    Ok(())
}

/// Records what the calls brought about. A verdict ends the run; none plans again.
#[allow(clippy::too_many_arguments, reason = "a settlement is one transaction over all of it")]
pub(super) async fn apply(
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
        return apply_members(tx, subject, changes, answers, attempts, calls).await;
    }
    let fault = match done {
        GroupDone::Found(result) => result.as_ref().err(),
        GroupDone::Created(result) => result.as_ref().err(),
        GroupDone::Tidied(result) => result.as_ref().err(),
        GroupDone::Renamed(result) => result.as_ref().err(),
        GroupDone::Removed(result) => result.as_ref().err(),
        GroupDone::Members(_) => None,
    };
    end_attempts(tx, instance, subject, attempts, call.word(), fault, calls, epoch).await?;
    if let Some(fault) = fault {
        return Ok(Some(Verdict::Failed(fault.clone())));
    }
    match (call, done) {
        (_, GroupDone::Found(Ok(found))) => match found.as_slice() {
            [] => resolve_doubt(tx, subject).await.map(|()| None),
            // Found after a creation in doubt: the target would have refused a second of that name.
            [group] => {
                resolve_doubt(tx, subject).await?;
                tie(tx, instance, subject, group, true).await
            }
            _ => Ok(Some(Verdict::Need {
                need: Need::new("ambiguous", format!("{} groups at the target are named \"{}\". Rename all but one there.", found.len(), subject.name)),
                refused: None,
            })),
        },
        (_, GroupDone::Created(Ok(GroupCreated::Done(group)))) => tie(tx, instance, subject, group, true).await,
        (_, GroupDone::Created(Ok(GroupCreated::AlreadyThere(group)))) => {
            if instance.policy.adopt_groups == AdoptGroups::ByName && !group.protected {
                return tie(tx, instance, subject, group, false).await;
            }
            let need = Need::new(
                "name_taken",
                format!(
                    "The target has a group named \"{}\" already, and this instance does not adopt existing groups. Rename one of them, or set the policy adopt_groups to by_name.",
                    subject.name
                ),
            );
            Ok(Some(Verdict::Need { need, refused: Some(FaultKind::NameTaken) }))
        }
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
            forget_memberships(tx, subject.seq).await?;
            Ok(None)
        }
        (GroupCall::Remove { account, .. }, GroupDone::Removed(Ok(_))) => {
            close(tx, *account, true).await?;
            Ok(None)
        }
        _ => Err(StoreError::damaged("a group step whose answer does not fit")),
    }
}

async fn resolve_doubt(tx: &Tx<'_>, subject: &Subject) -> Result<(), StoreError> {
    tx.conn
        .run("UPDATE attempt SET state = 'resolved' WHERE resource_seq = $1 AND item_seq = 0 AND state = 'unknown'", vals![subject.seq])
        .await?;
    Ok(())
}

/// Links a group to its counterpart, unless that is another group's.
async fn tie(tx: &Tx<'_>, instance: &Instance, subject: &Subject, group: &RemoteGroup, ours: bool) -> Result<Option<Verdict>, StoreError> {
    let known = tx
        .conn
        .one(
            "SELECT a.seq, l.resource_seq, l.seq AS link_seq, r.managed, r.listed, r.deleted_at FROM account a \
             LEFT JOIN link l ON l.account_seq = a.seq AND l.state = 'live' LEFT JOIN resource r ON r.seq = l.resource_seq \
             WHERE a.instance_seq = $1 AND a.kind = 'Group' AND a.remote_id = $2 AND a.status <> 'gone'",
            vals![instance.seq, group.id.as_str()],
        )
        .await?;
    let doc = json!({"name": group.name, "slug": group.slug}).to_string();
    let account = match &known {
        Some(row) => {
            let account: i64 = row.col("seq")?;
            if let Some(holder) = row.col::<Option<i64>>("resource_seq")?.filter(|holder| *holder != subject.seq) {
                if row.col::<Option<i16>>("managed")? == Some(1) {
                    let need = Need::new("conflict", format!("The target's group \"{}\" is tied to another group of this instance.", group.name));
                    return Ok(Some(Verdict::Need { need, refused: Some(FaultKind::NameTaken) }));
                }
                let link: i64 = row.col("link_seq")?;
                tx.conn.run("UPDATE link SET state = 'closed', closed_at = $2 WHERE seq = $1", vals![link, tx.now]).await?;
                tx.conn
                    .run("UPDATE resource SET merged_into = $2, deleted_at = COALESCE(deleted_at, $3), listed = 0 WHERE seq = $1", vals![holder, subject.seq, tx.now])
                    .await?;
                if row.col::<Option<i16>>("listed")? == Some(1) && row.col::<Option<i64>>("deleted_at")?.is_none() {
                    crate::service::accept::tally(tx, instance.seq, "Group", holder, -1).await?;
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
            vals![tx.seq()?, subject.seq, account, if ours { "same_id" } else { "name" }, tx.now],
        )
        .await?;
    Ok(None)
}

async fn patch_doc(tx: &Tx<'_>, account: i64, name: &str, value: serde_json::Value) -> Result<(), StoreError> {
    let row = tx.conn.one("SELECT doc FROM account WHERE seq = $1", vals![account]).await?.ok_or_else(|| StoreError::damaged("account"))?;
    let mut doc: serde_json::Value = serde_json::from_str(&row.col::<String>("doc")?).unwrap_or_default();
    doc[name] = value;
    tx.conn.run("UPDATE account SET doc = $2 WHERE seq = $1", vals![account, doc.to_string()]).await?;
    Ok(())
}

async fn close(tx: &Tx<'_>, account: i64, gone: bool) -> Result<(), StoreError> {
    if gone {
        tx.conn.run("UPDATE account SET status = 'gone', seen_at = $2 WHERE seq = $1", vals![account, tx.now]).await?;
    }
    tx.conn
        .run("UPDATE link SET state = 'closed', closed_at = $2 WHERE account_seq = $1 AND state = 'live'", vals![account, tx.now])
        .await?;
    Ok(())
}

/// The group is gone at the target and is made anew: so are its memberships.
async fn forget_memberships(tx: &Tx<'_>, group: i64) -> Result<(), StoreError> {
    tx.conn.run("DELETE FROM member WHERE group_seq = $1 AND want = 0", vals![group]).await?;
    tx.conn
        .run("UPDATE member SET have = 0, state = 'todo', reason = NULL WHERE group_seq = $1 AND state <> 'todo'", vals![group])
        .await?;
    Ok(())
}

/// Records what became of each membership of a batch. Permanent refusals stay with their row; a
/// fault that passes makes the whole group wait, its rows still to do.
async fn apply_members(
    tx: &Tx<'_>,
    subject: &Subject,
    changes: &[MemberChange],
    answers: &[Result<Membership, Fault>],
    attempts: &[i64],
    calls: &serde_json::Value,
) -> Result<Option<Verdict>, StoreError> {
    let mut verdict = None;
    for ((change, answer), attempt) in changes.iter().zip(answers).zip(attempts) {
        let fault = answer.as_ref().err();
        tx.conn
            .run(
                "UPDATE attempt SET state = $2, fault = $3, calls = $4, ended_at = $5 WHERE seq = $1",
                vals![*attempt, attempt_state(fault), fault.map(|fault| serde_json::to_string(fault).unwrap_or_default()), calls.to_string(), tx.now],
            )
            .await?;
        match answer {
            Ok(membership) => apply_member(tx, subject, change, membership).await?,
            Err(fault) if fault.kind == FaultKind::NotFound => {
                // The group, or the account, is not there any more. Which one, the next look tells.
                lose_group(tx, subject, change, fault).await?;
            }
            Err(fault) if fault.retry == connector_sdk::Retry::Never => {
                refuse(tx, subject, change, &fault.message).await?;
            }
            Err(fault) => verdict = Some(Verdict::Failed(fault.clone())),
        }
    }
    Ok(verdict)
}

async fn apply_member(tx: &Tx<'_>, subject: &Subject, change: &MemberChange, membership: &Membership) -> Result<(), StoreError> {
    let have: i16 = match membership {
        Membership::Present => 1,
        Membership::Pending => 2,
        Membership::Kept { .. } => i16::from(!change.add),
        _ => 0,
    };
    let row = tx.conn.one("SELECT want, op_seq FROM member WHERE group_seq = $1 AND user_seq = $2", vals![subject.seq, change.user]).await?;
    let Some(row) = row else { return Ok(()) };
    let want = row.col::<i16>("want")? == 1;
    let operation: Option<i64> = row.col("op_seq")?;
    tx.conn
        .run("UPDATE member SET have = $3, have_at = $4 WHERE group_seq = $1 AND user_seq = $2", vals![subject.seq, change.user, have, tx.now])
        .await?;
    if want != change.add {
        // Changed while the call was under way: the row is still to do.
        return Ok(());
    }
    if let Membership::Kept { why } = membership {
        refuse(tx, subject, change, why).await?;
        return Ok(());
    }
    match (want, have) {
        (true, 2) => set_state(tx, subject.seq, change.user, "parked", Some(ParkReason::Invited.as_str())).await?,
        (true, _) => set_state(tx, subject.seq, change.user, "settled", None).await?,
        (false, _) => {
            tx.conn.run("DELETE FROM member WHERE group_seq = $1 AND user_seq = $2", vals![subject.seq, change.user]).await?;
        }
    }
    if let Some(operation) = operation {
        let ends = if have == 2 { Ends { parked: 1, ..Ends::default() } } else { Ends { applied: 1, ..Ends::default() } };
        close_operation_items(tx, operation, ends, None).await?;
    }
    Ok(())
}

/// A membership call found the group or the account missing: a removal is done, an addition waits.
async fn lose_group(tx: &Tx<'_>, subject: &Subject, change: &MemberChange, fault: &Fault) -> Result<(), StoreError> {
    if change.add {
        set_parked(tx, subject, change, &fault.message).await
    } else {
        apply_member(tx, subject, change, &Membership::Absent).await
    }
}

async fn set_parked(tx: &Tx<'_>, subject: &Subject, change: &MemberChange, reason: &str) -> Result<(), StoreError> {
    let row = tx.conn.one("SELECT op_seq FROM member WHERE group_seq = $1 AND user_seq = $2", vals![subject.seq, change.user]).await?;
    let operation = row.map(|row| row.col::<Option<i64>>("op_seq")).transpose()?.flatten();
    set_state(tx, subject.seq, change.user, "parked", Some(reason)).await?;
    if let Some(operation) = operation {
        close_operation_items(tx, operation, Ends { parked: 1, ..Ends::default() }, Some(reason)).await?;
    }
    Ok(())
}

async fn refuse(tx: &Tx<'_>, subject: &Subject, change: &MemberChange, reason: &str) -> Result<(), StoreError> {
    let row = tx.conn.one("SELECT op_seq FROM member WHERE group_seq = $1 AND user_seq = $2", vals![subject.seq, change.user]).await?;
    let operation = row.map(|row| row.col::<Option<i64>>("op_seq")).transpose()?.flatten();
    set_state(tx, subject.seq, change.user, "refused", Some(reason)).await?;
    if let Some(operation) = operation {
        close_operation_items(tx, operation, Ends { failed: 1, ..Ends::default() }, Some(reason)).await?;
    }
    Ok(())
}

impl GroupDone {
    /// The fault in it that says most about the target.
    pub(super) fn fault(&self) -> Option<Fault> {
        match self {
            Self::Found(result) => result.as_ref().err().cloned(),
            Self::Created(result) => result.as_ref().err().cloned(),
            Self::Tidied(result) => result.as_ref().err().cloned(),
            Self::Renamed(result) => result.as_ref().err().cloned(),
            Self::Removed(result) => result.as_ref().err().cloned(),
            Self::Members(answers) => {
                let mut faults = answers.iter().filter_map(|answer| answer.as_ref().err());
                let first = faults.clone().next();
                faults.find(|fault| fault.stops_the_target()).or(first).cloned()
            }
        }
    }
}

impl GroupCall {
    /// The answer of a step that was not sent.
    pub(super) fn undone(&self, fault: Fault) -> GroupDone {
        match self {
            Self::Look { .. } => GroupDone::Found(Err(fault)),
            Self::Create { .. } => GroupDone::Created(Err(fault)),
            Self::Tidy { .. } => GroupDone::Tidied(Err(fault)),
            Self::Rename { .. } => GroupDone::Renamed(Err(fault)),
            Self::Remove { .. } => GroupDone::Removed(Err(fault)),
            Self::Members { changes, .. } => GroupDone::Members(changes.iter().map(|_| Err(fault.clone())).collect()),
        }
    }
}
