//! Choosing the next step of a group.

use std::collections::{HashMap, HashSet};

use connector_sdk::{AccountRef, Connector, GroupWant, InviteId, PendingMembers, RemoteId, Repeatable, Suspend};
use engine::doubt::{Doubt, ask};
use engine::membership::{Have, Link, MemberStep, MemberView, member_step};
use engine::policy::OnGroupDelete;
use sea_orm::QueryResult;

use super::members::{refuse, set_state};
use super::settle::close;
use super::{GroupCall, MemberChange};
use crate::driver::attempts::Attempted;
use crate::driver::brake::{self, Removal};
use crate::driver::person::can_create;
use crate::driver::run::{Step, Subject, Verdict};
use crate::driver::{desk, doubt, late};
use crate::service::accept::{Ends, close_operation_items};
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError, Tx};

/// Memberships looked at per transaction.
const LOOK: usize = 400;
/// Memberships sent per step.
const BATCH: usize = 8;
/// Why a membership of a protected account stays.
const PROTECTED: &str = "The account is protected (the credential's own, the last owner, or listed in the policy's `protected`), so it stays in the group. Change it at the target by hand, or take it off the list and ask for the removal again.";
/// Members purged per transaction after a group is gone.
const PURGE: i64 = 500;
/// How long a member waits who is just being changed, in microseconds: about as long as a transaction.
const MOMENT: i64 = 200_000;

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
    let Some(id) = row.col::<Option<String>>("remote_id")? else {
        return Ok(None);
    };
    Ok(Some(GroupRow {
        seq: row.col("seq")?,
        id: RemoteId::new(id),
        name: doc["name"].as_str().unwrap_or_default().to_owned(),
        ours: row.col::<i16>("ours")? == 1,
        tidied: doc["tidied"].as_bool() == Some(true),
    }))
}

/// Plans the next step.
pub(in crate::driver) async fn plan(
    tx: &Tx<'_>,
    instance: &Instance,
    connector: &dyn Connector,
    subject: &Subject,
) -> Result<Verdict, StoreError> {
    if connector.groups().is_none() {
        park_all(tx, subject.seq, "no_groups").await?;
        return Ok(Verdict::Settled);
    }
    let link = linked(tx, subject.seq).await?;
    let want = GroupWant::named(&subject.name);
    let doubt = doubt::of_resource(tx, connector.traits(), &subject.kind, subject.seq).await?;
    // What became of a write in doubt is found out whatever is wanted now: a deleted group must not stay.
    let asks = match (&doubt, &link) {
        (Some(doubt), None) if doubt.step == "create" => match doubt.doubt() {
            // Another creation might take what the first one made for somebody else's.
            Doubt::Look | Doubt::Repeat => {
                // By the name that it was sent with: the group may have another by now.
                let want = doubt.sent.as_ref().map_or(want, GroupWant::named);
                return Ok(Verdict::Call(Step::Group(Box::new(GroupCall::Look { want })), Vec::new()));
            }
            Doubt::Ask => true,
        },
        (Some(doubt), Some(_))
            if doubt.step == "create"
                && let Some(wait) = doubt::creation_under_way(tx, subject).await? =>
        {
            return Ok(wait);
        }
        (Some(doubt), Some(link)) => match doubt.doubt() {
            Doubt::Look => {
                if let Some(wait) = doubt::renaming_under_way(tx, subject.seq).await? {
                    return Ok(wait);
                }
                let call = GroupCall::Read { id: link.id.clone(), account: link.seq, doubt: true, missed: Vec::new() };
                return Ok(Verdict::Call(Step::Group(Box::new(call)), Vec::new()));
            }
            Doubt::Repeat => false,
            Doubt::Ask => true,
        },
        _ => false,
    };
    if asks && (link.is_none() || subject.deleted || !subject.managed) {
        return Ok(Verdict::Need { need: ask(), refused: None });
    }
    if subject.deleted || !subject.managed {
        return plan_deleted(tx, instance, subject, link).await;
    }
    let operation = latest_operation(tx, subject).await?;
    let whole = |call: GroupCall| {
        let sent = if let GroupCall::Create { want } = &call { Some(want.name.clone()) } else { None };
        let attempted = Attempted { item: 0, step: call.word(), operation, sent };
        Ok(Verdict::Call(Step::Group(Box::new(call)), vec![attempted]))
    };
    let Some(link) = link else {
        return whole(GroupCall::Create { want });
    };
    if link.ours && !link.tidied && connector.traits().tidy_created_groups && !asks {
        return whole(GroupCall::Tidy { id: link.id, account: link.seq });
    }
    // Members before the name: a name that the target refuses must not keep anybody in.
    match plan_members(tx, instance, connector, subject, &link).await? {
        Verdict::Settled if asks => Ok(Verdict::Need { need: ask(), refused: None }),
        // A name in doubt is sent again also where it is the former one once more: the target may have the other.
        Verdict::Settled if link.name != subject.name || doubt.is_some_and(|doubt| doubt.step == "update") => {
            if let Some(wait) = doubt::renaming_under_way(tx, subject.seq).await? {
                return Ok(wait);
            }
            whole(GroupCall::Rename { id: link.id, account: link.seq, name: subject.name.clone() })
        }
        // Members who wait for a person keep nobody from being asked for the name.
        Verdict::Wait { code: desk::PERSON, .. } if link.name != subject.name => {
            whole(GroupCall::Rename { id: link.id, account: link.seq, name: subject.name.clone() })
        }
        verdict => Ok(verdict),
    }
}

/// A deleted group is deleted at the target if we made it and the policy says so; else we let go of it.
async fn plan_deleted(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    link: Option<GroupRow>,
) -> Result<Verdict, StoreError> {
    if let Some(link) = link {
        if link.ours && instance.policy.on_group_delete == OnGroupDelete::Delete {
            let call = GroupCall::Remove { id: link.id, account: link.seq };
            let operation = latest_operation(tx, subject).await?;
            let attempted = Attempted { item: 0, step: call.word(), operation, sent: None };
            return Ok(Verdict::Call(Step::Group(Box::new(call)), vec![attempted]));
        }
        close(tx, link.seq, false).await?;
    }
    if let Some(until) = late::of_group(tx, instance, subject.seq).await? {
        return Ok(under_way(until));
    }
    let open = tx
        .conn
        .all("SELECT op_seq, COUNT(*) AS n FROM member WHERE group_seq = $1 AND state = 'todo' AND op_seq IS NOT NULL GROUP BY op_seq", vals![subject.seq])
        .await?;
    for row in &open {
        close_operation_items(tx, row.col("op_seq")?, Ends { superseded: row.col("n")?, ..Ends::default() }, None)
            .await?;
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
        return Ok(Verdict::Wait {
            code: "purge",
            reason: "Removing the memberships of a deleted group.".to_owned(),
            until: moment(tx.now),
        });
    }
    // Nobody will ever look what became of a membership of a group that is gone.
    tx.conn
        .run(
            "UPDATE attempt SET state = 'resolved', sent = NULL WHERE resource_seq = $1 AND state = 'unknown'",
            vals![subject.seq],
        )
        .await?;
    Ok(Verdict::Settled)
}

fn moment(micros: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

async fn latest_operation(tx: &Tx<'_>, subject: &Subject) -> Result<Option<i64>, StoreError> {
    tx.conn
        .one(
            "SELECT MAX(seq) AS seq FROM operation WHERE resource_seq = $1 AND state = 'open' AND rev <= $2",
            vals![subject.seq, subject.rev],
        )
        .await?
        .map_or(Ok(None), |row| row.col("seq"))
}

/// One membership with what its next step depends on.
pub(in crate::driver) struct MemberRow {
    user: i64,
    name: String,
    want: bool,
    pub(in crate::driver) view: MemberView,
    account: Option<AccountRef>,
    operation: Option<i64>,
    /// What may follow the change that is in doubt.
    doubt: Option<Repeatable>,
    login: Option<String>,
    email: Option<String>,
    /// Whether the target says that the account must not be touched.
    protected: bool,
    /// The state of the hold that the membership is or was in.
    hold: Option<String>,
}

async fn plan_members(
    tx: &Tx<'_>,
    instance: &Instance,
    connector: &dyn Connector,
    subject: &Subject,
    link: &GroupRow,
) -> Result<Verdict, StoreError> {
    let traits = connector.traits();
    let takes = traits.suspend == Suspend::Removes && can_create(connector);
    let repeat = traits.repeats.change_members;
    // What has to be looked at or asked about comes behind what can be sent.
    let order = if repeat == Repeatable::Idempotent { "m.want" } else { "doubts, m.want" };
    // Whoever a person was asked for is waited for; the others go on.
    let unasked = if traits.by_hand {
        " AND NOT EXISTS (SELECT 1 FROM task t WHERE t.resource_seq = m.group_seq AND t.item_seq = m.user_seq AND t.live = 1 AND t.state = 'open')"
    } else {
        ""
    };
    // Both conditions on the state, as the index of open attempts has them: a group's history may be long.
    let doubts =
        "t.resource_seq = $1 AND t.item_seq = m.user_seq AND t.state IN ('sending','unknown') AND t.state = 'unknown'";
    let unheard = format!("resource_seq = $1 AND item_seq = m.user_seq AND {}", doubt::UNHEARD);
    let (mut still, mut moving) = (HashSet::new(), HashSet::new());
    loop {
        let rows = tx
            .conn
            .all(
                &format!("SELECT m.user_seq, m.want, m.have, m.op_seq, u.name, u.active, u.managed, u.deleted_at, a.status, a.remote_id, a.invite_id, a.doc, a.ours, a.protected, h.state AS hold_state, \
                 (SELECT COUNT(*) FROM attempt t WHERE {doubts}) AS doubts, \
                 (SELECT MAX(t.sent) FROM attempt t WHERE {doubts} AND t.step = 'add_member') AS granted_to, \
                 (SELECT MAX(ended_at) FROM attempt WHERE {unheard} AND step = 'add_member') AS adding, \
                 (SELECT MAX(ended_at) FROM attempt WHERE {unheard} AND step = 'remove_member') AS removing \
                 FROM member m JOIN resource u ON u.seq = m.user_seq \
                 LEFT JOIN link l ON l.resource_seq = u.seq AND l.state = 'live' LEFT JOIN account a ON a.seq = l.account_seq LEFT JOIN hold h ON h.seq = m.hold_seq \
                 WHERE m.group_seq = $1 AND m.state = 'todo' AND m.held = 0{unasked} ORDER BY {order}, m.have_at NULLS FIRST, m.user_seq LIMIT $2"),
                vals![subject.seq, i64::try_from(LOOK).unwrap_or(1)],
            )
            .await?;
        if rows.is_empty() {
            let waits = if traits.by_hand { desk::after_members(tx, subject).await? } else { None };
            return Ok(waits.unwrap_or(Verdict::Settled));
        }
        let mut members = Vec::with_capacity(rows.len());
        for row in &rows {
            let member = read_member(row, takes, traits.pending_members, repeat)?;
            members.push((row, late_grant(row)?, member));
        }
        // Whatever brings a membership to rest is decided of people who stand still.
        let resting: Vec<i64> = members
            .iter()
            .filter(|(_, late, member)| late.is_some() || rests(&member_step(&member.view)))
            .map(|(_, _, member)| member.user)
            .filter(|user| !still.contains(user) && !moving.contains(user))
            .collect();
        if !resting.is_empty() {
            let free = hold_still(tx, resting.iter().copied()).await?;
            moving.extend(resting.into_iter().filter(|user| !free.contains(user)));
            still.extend(free);
            // Read before they stood still, unless there is one writer.
            if !tx.conn.for_what_is_free().is_empty() {
                continue;
            }
        }
        let mut ends: HashMap<i64, Ends> = HashMap::new();
        let (mut removals, mut additions) = (Vec::new(), Vec::new());
        let mut looks = Vec::new();
        let mut unknown = None;
        let mut later: Option<i64> = None;
        let mut moves = false;
        let mut again = false;
        for (row, late, member) in members {
            if moving.contains(&member.user) {
                moves = true;
                continue;
            }
            let count = |ends: &mut HashMap<i64, Ends>, add: Ends| {
                if let Some(operation) = member.operation {
                    let sum = ends.entry(operation).or_default();
                    sum.applied += add.applied;
                    sum.parked += add.parked;
                }
            };
            let step = member_step(&member.view);
            // The contrary call of a gateway that died, should the target still be at it, would undo this step
            // behind our back. A grant is contrary to everything but another one to the same account.
            let contrary = if step == MemberStep::Add && late.is_none() { "removing" } else { "adding" };
            if let Some(until) = late::too_early(row.col(contrary)?, tx.now) {
                later = Some(later.map_or(until, |later| later.min(until)));
                continue;
            }
            if let Some(at) = late {
                // It may have brought an account back that is not the person's any more.
                doubt::resolve(tx, subject.seq, member.user).await?;
                late::grant(tx, instance, subject.seq, member.user, &at).await?;
                again = true;
                continue;
            }
            match step {
                MemberStep::Add | MemberStep::Remove => {
                    let Some(account) = member.account else { continue };
                    let add = step == MemberStep::Add;
                    let change = MemberChange { user: member.user, account, add, operation: member.operation };
                    let names = [Some(member.name.as_str()), member.login.as_deref(), member.email.as_deref()];
                    match member.doubt {
                        Some(Repeatable::Verifiable) => looks.push(change),
                        Some(Repeatable::Neither) => unknown = Some(member.name),
                        None | Some(Repeatable::Idempotent) if add => additions.push(change),
                        None | Some(Repeatable::Idempotent)
                            if member.protected || instance.policy.protects(names.into_iter().flatten()) =>
                        {
                            refuse(tx, subject, &change, PROTECTED).await?;
                        }
                        None | Some(Repeatable::Idempotent) => {
                            let names = [Some(member.name), member.login, member.email];
                            removals.push(Removal { change, names, hold: member.hold });
                        }
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
                    tx.conn
                        .run(
                            "DELETE FROM member WHERE group_seq = $1 AND user_seq = $2",
                            vals![subject.seq, member.user],
                        )
                        .await?;
                    count(&mut ends, Ends { applied: 1, ..Ends::default() });
                }
            }
        }
        for (operation, ends) in ends {
            close_operation_items(tx, operation, ends, None).await?;
        }
        if again {
            continue;
        }
        let (mut changes, held) = brake::removals(tx, instance, subject, removals, BATCH).await?;
        let room = BATCH - changes.len();
        changes.extend(additions.into_iter().take(room));
        if changes.is_empty() && held > LOOK / 2 {
            // The rest in another transaction, so that none is long (DECISIONS 32).
            return Ok(Verdict::Wait {
                code: "brake",
                reason: "The brake is holding removals of members.".to_owned(),
                until: moment(tx.now),
            });
        }
        if !changes.is_empty() {
            let attempts = changes
                .iter()
                .map(|change| Attempted {
                    item: change.user,
                    step: if change.add { "add_member" } else { "remove_member" },
                    operation: change.operation,
                    sent: late::sent_to(&change.account).filter(|_| change.add),
                })
                .collect();
            return Ok(Verdict::Call(
                Step::Group(Box::new(GroupCall::Members { id: link.id.clone(), changes })),
                attempts,
            ));
        }
        if !looks.is_empty() {
            let call = GroupCall::LookMembers { id: link.id.clone(), changes: looks };
            return Ok(Verdict::Call(Step::Group(Box::new(call)), Vec::new()));
        }
        if moves {
            return Ok(being_changed(tx.now.saturating_add(MOMENT)));
        }
        if let Some(until) = later {
            return Ok(under_way(until));
        }
        if let Some(name) = unknown {
            let mut need = ask();
            need.message = format!("The membership of \"{name}\" in \"{}\": {}", subject.name, need.message);
            return Ok(Verdict::Need { need, refused: None });
        }
    }
}

/// Of these people, those whose row no other transaction is changing; until this one ends, none can. What is read
/// of them after this holds, and whoever changes them next finds the membership as it is left here. Without it, a link
/// that is made at the same moment finds nothing to wake, and this nothing linked.
async fn hold_still(tx: &Tx<'_>, users: impl Iterator<Item = i64>) -> Result<HashSet<i64>, StoreError> {
    let lock = tx.conn.for_what_is_free();
    if lock.is_empty() {
        return Ok(users.collect());
    }
    let users: Vec<String> = users.map(|user| user.to_string()).collect();
    if users.is_empty() {
        return Ok(HashSet::new());
    }
    let text = format!(
        "SELECT seq FROM resource WHERE seq IN (SELECT CAST(v AS BIGINT) FROM {} AS u) ORDER BY seq{lock}",
        tx.conn.each(1),
    );
    let rows = tx.conn.all(&text, vals![serde_json::json!(users).to_string()]).await?;
    rows.iter().map(|row| row.col("seq")).collect()
}

/// A call of a gateway that died may still come.
fn under_way(until: i64) -> Verdict {
    Verdict::Wait {
        code: "outcome_unknown",
        reason: "The gateway stopped while it was changing a membership, and the target may still be at it. Going on in a few seconds.".to_owned(),
        until: moment(until),
    }
}

/// Another transaction is at a member's own row.
fn being_changed(until: i64) -> Verdict {
    Verdict::Wait {
        code: "member",
        reason: "A member of the group is just being changed. Going on at once.".to_owned(),
        until: moment(until),
    }
}

/// Whether a step leaves a membership with nothing to do until somebody wakes it.
fn rests(step: &MemberStep) -> bool {
    match step {
        MemberStep::Add | MemberStep::Remove => false,
        MemberStep::Park(_) | MemberStep::Settled | MemberStep::Forget => true,
    }
}

/// The account that a grant in doubt was sent to, if it is not the person's any more.
fn late_grant(row: &QueryResult) -> Result<Option<AccountRef>, StoreError> {
    let sent: Option<String> = row.col("granted_to")?;
    let (remote, invite): (Option<String>, Option<String>) = (row.col("remote_id")?, row.col("invite_id")?);
    let at: Option<AccountRef> = sent.and_then(|sent| serde_json::from_str(&sent).ok());
    Ok(at.filter(|at| !late::goes_by(remote.as_deref(), invite.as_deref(), at)))
}

/// Reads a membership. `takes`: an account's removal takes its memberships along.
pub(in crate::driver) fn read_member(
    row: &QueryResult,
    takes: bool,
    pending_members: PendingMembers,
    repeat: Repeatable,
) -> Result<MemberRow, StoreError> {
    let status: Option<String> = row.col("status")?;
    let doc: serde_json::Value =
        row.col::<Option<String>>("doc")?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let login = doc["login"].as_str().map(str::to_owned);
    let remote: Option<String> = row.col("remote_id")?;
    let invite: Option<String> = row.col("invite_id")?;
    let (link, account) = match (status.as_deref(), remote, invite) {
        (Some("invited"), _, Some(invite)) => {
            let pending = AccountRef::Invite {
                id: InviteId::new(invite),
                email: doc["email"].as_str().map(str::to_owned),
                login: login.clone(),
            };
            (Link::Invited, Some(pending))
        }
        (Some("active"), Some(remote), _) => {
            (Link::Active, Some(AccountRef::Account { id: RemoteId::new(remote), login: login.clone() }))
        }
        (Some("suspended"), Some(remote), _) => {
            (Link::Suspended, Some(AccountRef::Account { id: RemoteId::new(remote), login: login.clone() }))
        }
        _ => (Link::None, None),
    };
    let has_login = login.is_some();
    let live = row.col::<Option<i64>>("deleted_at")?.is_none();
    let managed = row.col::<i16>("managed")? == 1;
    let user_wanted = live && row.col::<i16>("active")? == 1;
    let want = row.col::<i16>("want")? == 1;
    let in_doubt = row.col::<i64>("doubts")? > 0;
    Ok(MemberRow {
        user: row.col("user_seq")?,
        name: row.col("name")?,
        doubt: in_doubt.then_some(repeat),
        want,
        view: MemberView {
            want,
            have: match row.col::<Option<i16>>("have")? {
                _ if in_doubt => Have::Unknown,
                None => Have::Unknown,
                Some(0) => Have::No,
                Some(2) => Have::Pending,
                Some(_) => Have::Yes,
            },
            user_wanted,
            link,
            // Only accounts that this directory manages lose their account with their access.
            removal_takes_memberships: takes && managed && !user_wanted,
            pending_members: pending_members.takes(has_login),
            group_ready: true,
        },
        account,
        operation: row.col("op_seq")?,
        login,
        email: doc["email"].as_str().map(str::to_owned),
        protected: row.col::<Option<i16>>("protected")? == Some(1),
        hold: row.col("hold_state")?,
    })
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
        .run(
            "UPDATE member SET state = 'parked', reason = $2, op_seq = NULL, parked_at = $3 WHERE group_seq = $1 AND state = 'todo'",
            vals![group, reason, tx.now],
        )
        .await?;
    Ok(())
}
