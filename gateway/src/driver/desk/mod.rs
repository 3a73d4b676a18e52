//! Tasks for people, as the driver sees them: what it asks for stands on the desk until somebody closes it.
//!
//! Two rules keep the desk and the plan together, both in the transactions that plan. What was answered and not heard
//! is heard first, whatever is wanted now: somebody did it. And an open task is what the plan asks for now, or it is
//! withdrawn: nobody is left to do what nobody wants any more. That no change is asked for twice is the database's
//! (`task_live`).

mod ask;
pub(crate) mod record;

use std::sync::Arc;

use connector_sdk::{Act, Fault, FaultKind, Need};
use jiff::Timestamp;
use sea_orm::QueryResult;

use super::attempts::Attempted;
use super::group::{GroupCall, GroupDone, MemberChange};
use super::person::PersonCall;
use super::run::{Done, Job, Step, Subject, Verdict};
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError, Tx};

pub(super) use ask::Counter;

/// What a task's id begins with.
pub(crate) const PREFIX: &str = "tk_";
/// The word that work stands at while a person is asked.
pub(super) const PERSON: &str = "person";
/// How often open tasks are looked at though nobody closed one, in microseconds: as what needs a person.
const LOOK: i64 = 3_600_000_000;
/// Answers about memberships that are heard at a time.
const BATCH: i64 = 8;
/// Why a task is not wanted any more.
pub(crate) const OVERTAKEN: &str = "A later change overtook it.";

/// Whether people do what is asked of an instance's target.
pub(super) fn is_by_hand(instance: &Instance) -> bool {
    instance.connector.as_ref().is_ok_and(|connector| connector.traits().by_hand)
}

/// What a step asks for, of the resource itself.
fn act_of(step: &Step) -> Option<Act> {
    Some(match step {
        Step::Person(call) => match call.as_ref() {
            PersonCall::Create { who } => Act::CreateAccount { who: Box::new(who.clone()) },
            PersonCall::Update { at, change } => Act::UpdateAccount { at: at.clone(), change: change.clone() },
            PersonCall::SetActive { at, active: true } => Act::RestoreAccount { at: at.clone() },
            PersonCall::SetActive { at, active: false } => Act::SuspendAccount { at: at.clone() },
            PersonCall::Remove { at } => Act::RemoveAccount { at: at.clone() },
            PersonCall::Look { .. } | PersonCall::Match { .. } | PersonCall::Follow { .. } => return None,
        },
        Step::Group(call) => match call.as_ref() {
            GroupCall::Create { want } => Act::CreateGroup { name: want.name.clone() },
            GroupCall::Rename { id, name, .. } => Act::RenameGroup { id: id.clone(), name: name.clone() },
            GroupCall::Remove { id, .. } => Act::RemoveGroup { id: id.clone() },
            _ => return None,
        },
    })
}

fn read_act(row: &QueryResult) -> Result<Act, StoreError> {
    serde_json::from_str(&row.col::<String>("ask")?).map_err(|error| StoreError::damaged(format!("task.ask: {error}")))
}

/// Before a plan: answers the step whose end somebody told, for it to be heard first. Where nothing is to be heard,
/// withdraws tasks of memberships that are not wanted so any more.
pub(super) async fn before(tx: &Tx<'_>, instance: &Instance, subject: &Subject) -> Result<Option<Verdict>, StoreError> {
    if !is_by_hand(instance) {
        return Ok(None);
    }
    let rows = tx
        .conn
        .all(
            "SELECT seq, item_seq, op_seq, ask FROM task WHERE resource_seq = $1 AND live = 1 AND heard = 0 AND state <> 'open' ORDER BY item_seq LIMIT $2",
            vals![subject.seq, BATCH],
        )
        .await?;
    let mut changes = Vec::new();
    let mut group = None;
    for row in &rows {
        let (user, operation, act) = (row.col::<i64>("item_seq")?, row.col("op_seq")?, read_act(row)?);
        match act {
            Act::AddMember { group: id, account } => {
                group = Some(id);
                changes.push(MemberChange { user, account, add: true, operation });
            }
            Act::RemoveMember { group: id, account } => {
                group = Some(id);
                changes.push(MemberChange { user, account, add: false, operation });
            }
            act => {
                let Some(step) = step_of(tx, subject, act).await? else {
                    retire(tx, row.col("seq")?).await?;
                    continue;
                };
                let word = match &step {
                    Step::Person(call) => call.word(),
                    Step::Group(call) => call.word(),
                };
                let attempted = Attempted { item: 0, step: word, operation, sent: None };
                return Ok(Some(Verdict::Call(step, vec![attempted])));
            }
        }
    }
    if let Some(id) = group {
        let attempts = changes
            .iter()
            .map(|change| Attempted {
                item: change.user,
                step: if change.add { "add_member" } else { "remove_member" },
                operation: change.operation,
                sent: super::late::sent_to(&change.account).filter(|_| change.add),
            })
            .collect();
        return Ok(Some(Verdict::Call(Step::Group(Box::new(GroupCall::Members { id, changes })), attempts)));
    }
    if subject.kind == "Group" {
        withdraw_members(tx, subject).await?;
    }
    Ok(None)
}

/// The step that asked for an act; none where the group that it is about is not linked any more.
async fn step_of(tx: &Tx<'_>, subject: &Subject, act: Act) -> Result<Option<Step>, StoreError> {
    let person = |call| Some(Step::Person(Box::new(call)));
    let account = async || -> Result<Option<i64>, StoreError> {
        let row = tx
            .conn
            .one("SELECT account_seq FROM link WHERE resource_seq = $1 AND state = 'live'", vals![subject.seq])
            .await?;
        row.map(|row| row.col("account_seq")).transpose()
    };
    Ok(match act {
        Act::CreateAccount { who } => person(PersonCall::Create { who: *who }),
        Act::UpdateAccount { at, change } => person(PersonCall::Update { at, change }),
        Act::SuspendAccount { at } => person(PersonCall::SetActive { at, active: false }),
        Act::RestoreAccount { at } => person(PersonCall::SetActive { at, active: true }),
        Act::RemoveAccount { at } => person(PersonCall::Remove { at }),
        Act::CreateGroup { name } => {
            let want = connector_sdk::GroupWant::named(name);
            Some(Step::Group(Box::new(GroupCall::Create { want })))
        }
        Act::RenameGroup { id, name } => {
            account().await?.map(|account| Step::Group(Box::new(GroupCall::Rename { id, account, name })))
        }
        Act::RemoveGroup { id } => {
            account().await?.map(|account| Step::Group(Box::new(GroupCall::Remove { id, account })))
        }
        Act::AddMember { .. } | Act::RemoveMember { .. } => None,
    })
}

/// Tasks of memberships whose wish is another now, or whose account or group is not the one any more.
async fn withdraw_members(tx: &Tx<'_>, subject: &Subject) -> Result<(), StoreError> {
    tx.conn
        .run(
            "UPDATE task SET state = 'withdrawn', live = 0, closed_at = $2, comment = $3 WHERE resource_seq = $1 AND item_seq <> 0 AND live = 1 AND state = 'open' AND NOT EXISTS ( \
             SELECT 1 FROM member m JOIN resource u ON u.seq = m.user_seq JOIN resource g ON g.seq = m.group_seq \
             JOIN link l ON l.resource_seq = u.seq AND l.state = 'live' JOIN account a ON a.seq = l.account_seq \
             WHERE m.group_seq = $1 AND m.user_seq = task.item_seq AND m.state = 'todo' AND m.held = 0 AND a.remote_id = task.target_id \
             AND g.deleted_at IS NULL AND g.managed = 1 \
             AND (task.act = 'add_member') = (m.want = 1 AND u.active = 1 AND u.deleted_at IS NULL))",
            vals![subject.seq, tx.now, OVERTAKEN],
        )
        .await?;
    Ok(())
}

/// What a group's plan comes to where no membership is left that nobody was asked for.
pub(super) async fn after_members(tx: &Tx<'_>, subject: &Subject) -> Result<Option<Verdict>, StoreError> {
    let row = tx
        .conn
        .one(
            "SELECT COUNT(*) AS n, MIN(due_at) AS due FROM task WHERE resource_seq = $1 AND item_seq <> 0 AND live = 1 AND state = 'open'",
            vals![subject.seq],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let count: i64 = row.col("n")?;
    if count == 0 {
        return Ok(None);
    }
    let due: i64 = row.col::<Option<i64>>("due")?.unwrap_or(tx.now);
    let tasks = if count == 1 { "a task is".to_owned() } else { format!("{count} tasks are") };
    let reason = format!("Waiting for a person: {tasks} open for members, due {}.", time(due));
    Ok(Some(waits(tx, reason)))
}

fn waits(tx: &Tx<'_>, reason: String) -> Verdict {
    Verdict::Wait { code: PERSON, reason, until: moment(tx.now.saturating_add(LOOK)) }
}

fn moment(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn time(micros: i64) -> String {
    crate::service::directory::time(micros)
}

/// What a task that is open is told of.
fn asked(seq: i64, title: &str, due: i64) -> String {
    format!("Waiting for a person: {title} (task {PREFIX}{seq}, due {}).", time(due))
}

/// After a plan: what the plan asks for and a person was asked for already is waited for; a task for anything else is
/// withdrawn. Says as well whether the verdict only hears what somebody did, which no brake can undo.
pub(super) async fn align(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    verdict: Verdict,
) -> Result<(Verdict, bool), StoreError> {
    let Ok(connector) = &instance.connector else { return Ok((verdict, false)) };
    let traits = connector.traits();
    if !traits.by_hand {
        return Ok((verdict, false));
    }
    let row = tx
        .conn
        .one(
            "SELECT seq, rev, ask, title, state, heard, due_at, closed_by, comment FROM task WHERE resource_seq = $1 AND item_seq = 0 AND live = 1",
            vals![subject.seq],
        )
        .await?;
    let Some(row) = row else { return Ok((verdict, false)) };
    let (seq, state): (i64, String) = (row.col("seq")?, row.col("state")?);
    if state != "open" && row.col::<i16>("heard")? == 0 {
        return Ok((verdict, true));
    }
    let known = read_act(&row)?;
    let wanted = match &verdict {
        Verdict::Call(step, _) => match act_of(step) {
            Some(act) => Some(act),
            // A group's members come before its name: the task for the name stands if the name is still wanted.
            None => match (step, &known) {
                (Step::Group(call), Act::RenameGroup { name, .. })
                    if matches!(call.as_ref(), GroupCall::Members { .. }) && *name != subject.name =>
                {
                    None
                }
                // A look decides nothing yet.
                _ => return Ok((verdict, false)),
            },
        },
        Verdict::Wait { code: PERSON, .. } => match &known {
            Act::RenameGroup { name, .. } if *name == subject.name => return Ok((verdict, false)),
            _ => None,
        },
        Verdict::Settled | Verdict::Need { .. } | Verdict::Held(_) => None,
        Verdict::Wait { .. } | Verdict::Failed(_) => return Ok((verdict, false)),
    };
    let same = wanted.is_some_and(|act| act.print(traits) == known.print(traits));
    if same && state == "open" {
        // Whoever refuses it from now on refuses what is wanted now.
        tx.conn.run("UPDATE task SET rev = $2 WHERE seq = $1 AND rev < $2", vals![seq, subject.rev]).await?;
        let reason = asked(seq, &row.col::<String>("title")?, row.col("due_at")?);
        return Ok((waits(tx, reason), false));
    }
    if same && row.col::<i64>("rev")? == subject.rev {
        let message = refusal(row.col("closed_by")?, row.col("comment")?);
        return Ok((Verdict::Need { need: Need::new("refused", message), refused: None }, false));
    }
    let settled = matches!(verdict, Verdict::Need { .. }) && state == "refused";
    if !settled {
        retire(tx, seq).await?;
    }
    Ok((verdict, false))
}

/// What a refusal is told by.
fn refusal(by: Option<String>, comment: Option<String>) -> String {
    format!(
        "{} refused the task: {}",
        by.as_deref().unwrap_or("Somebody"),
        comment.as_deref().unwrap_or("no reason given")
    )
}

/// Ends what a task has to say: an open one is withdrawn.
async fn retire(tx: &Tx<'_>, seq: i64) -> Result<(), StoreError> {
    tx.conn
        .run(
            "UPDATE task SET live = 0, comment = CASE WHEN state = 'open' THEN $3 ELSE comment END, closed_at = CASE WHEN state = 'open' THEN $2 ELSE closed_at END, \
             state = CASE WHEN state = 'open' THEN 'withdrawn' ELSE state END WHERE seq = $1",
            vals![seq, tx.now, OVERTAKEN],
        )
        .await?;
    Ok(())
}

/// Withdraws what is asked for of a resource, and forgets refusals: nothing is left to do, or an admin asks anew.
pub(crate) async fn withdraw(tx: &Tx<'_>, resource: i64, open: bool, why: &str) -> Result<(), StoreError> {
    tx.conn
        .run("UPDATE task SET live = 0 WHERE resource_seq = $1 AND live = 1 AND state = 'refused'", vals![resource])
        .await?;
    if open {
        tx.conn
            .run(
                "UPDATE task SET state = 'withdrawn', live = 0, closed_at = $2, comment = $3 WHERE resource_seq = $1 AND live = 1 AND state = 'open'",
                vals![resource, tx.now, why],
            )
            .await?;
    }
    Ok(())
}

/// Withdraws what was asked for of memberships that were taken back; `users` is a JSON list of rows.
pub(crate) async fn withdraw_items(tx: &Tx<'_>, group: i64, users: &str) -> Result<(), StoreError> {
    let text = format!(
        "UPDATE task SET state = 'withdrawn', live = 0, closed_at = $3, comment = $4 WHERE resource_seq = $1 AND live = 1 AND state = 'open' \
         AND item_seq IN (SELECT CAST(e.v AS BIGINT) FROM {} e)",
        tx.conn.each(2)
    );
    tx.conn.run(&text, vals![group, users, tx.now, OVERTAKEN]).await?;
    Ok(())
}

/// A person's account becomes another person's: so does what somebody did about its membership and nobody heard yet.
pub(crate) async fn hand_over_member(tx: &Tx<'_>, group: i64, from: i64, to: i64) -> Result<(), StoreError> {
    tx.conn
        .run(
            "UPDATE task SET item_seq = $3 WHERE resource_seq = $1 AND item_seq = $2 AND live = 1 AND heard = 0 AND state <> 'open' \
             AND NOT EXISTS (SELECT 1 FROM task o WHERE o.resource_seq = $1 AND o.item_seq = $3 AND o.live = 1)",
            vals![group, from, to],
        )
        .await?;
    Ok(())
}

/// A step was settled: the answers in it have been heard.
pub(super) async fn heard(tx: &Tx<'_>, job: &Job, done: &Done) -> Result<(), StoreError> {
    let told = |fault: Option<&Fault>| {
        fault.is_none_or(|fault| matches!(fault.kind, FaultKind::Refused | FaultKind::NotFound))
    };
    let mut items = Vec::new();
    match (&job.step, done) {
        (step @ Step::Person(_), Done::Person(result)) if act_of(step).is_some() && told(result.as_ref().err()) => {
            items.push(0);
        }
        (Step::Group(call), Done::Group(GroupDone::Members(answers))) => {
            if let GroupCall::Members { changes, .. } = call.as_ref() {
                let ended = changes.iter().zip(answers).filter(|(_, answer)| told(answer.as_ref().err()));
                items.extend(ended.map(|(change, _)| change.user));
            }
        }
        (step @ Step::Group(_), Done::Group(done)) if act_of(step).is_some() && told(done.fault().as_ref()) => {
            items.push(0);
        }
        _ => {}
    }
    for item in items {
        // A refusal stands until something else is wanted; of a membership its own row says so.
        tx.conn
            .run(
                "UPDATE task SET heard = 1, live = CASE WHEN state = 'refused' AND item_seq = 0 THEN 1 ELSE 0 END \
                 WHERE resource_seq = $1 AND item_seq = $2 AND live = 1 AND state <> 'open' AND heard = 0",
                vals![job.subject.seq, item],
            )
            .await?;
    }
    Ok(())
}

/// A way to the desk for what only reads.
pub(super) fn reading(store: &crate::store::Store, instance: i64) -> Counter {
    Counter::new(store.clone(), instance, None)
}

/// A way to the desk for a step that is sent.
pub(super) fn asking(
    store: &crate::store::Store,
    instance: &Arc<Instance>,
    lease: (String, i64),
    job: &Job,
) -> Counter {
    Counter::new(store.clone(), instance.seq, Some(ask::Asker::new(instance.clone(), lease, job.clone())))
}
