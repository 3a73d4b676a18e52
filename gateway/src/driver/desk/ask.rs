//! The desk itself: what connectors of targets without an API ask and read.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    Account, Act, Desk, Fault, FaultKind, Member, Page, PageToken, RemoteGroup, RemoteId, Retry, Task, Told,
};

use super::record;
use super::{asked, moment, read_act, refusal, retire};
use crate::driver::group::GroupCall;
use crate::driver::lease::is_held;
use crate::driver::run::{Job, Step};
use crate::service::types::Instance;
use crate::store::{Priority, Rows, Sql, Store, StoreError, Tx, Unit};

/// Who asks: a run, under its lease.
pub(super) struct Asker {
    instance: Arc<Instance>,
    lease: (String, i64),
    job: Job,
}

impl Asker {
    pub(super) fn new(instance: Arc<Instance>, lease: (String, i64), job: Job) -> Self {
        Self { instance, lease, job }
    }

    /// The item that an act is about, and the operation that wants it.
    fn item(&self, act: &Act) -> Option<(i64, Option<i64>)> {
        let (Act::AddMember { account, .. } | Act::RemoveMember { account, .. }) = act else {
            return Some((0, None));
        };
        let add = matches!(act, Act::AddMember { .. });
        match &self.job.step {
            Step::Group(call) => match call.as_ref() {
                GroupCall::Members { changes, .. } => {
                    let change = changes.iter().find(|change| change.add == add && change.account == *account)?;
                    Some((change.user, change.operation))
                }
                _ => None,
            },
            Step::Person(_) => None,
        }
    }
}

/// A place at the desk.
pub(crate) struct Counter {
    store: Store,
    instance: i64,
    asker: Option<Asker>,
}

impl Counter {
    pub(super) fn new(store: Store, instance: i64, asker: Option<Asker>) -> Self {
        Self { store, instance, asker }
    }
}

fn unavailable(error: StoreError) -> Fault {
    Fault::new(FaultKind::Unavailable, "The gateway's database is not available; it is tried again.")
        .context(format!("desk: {error}"))
}

#[async_trait]
impl Desk for Counter {
    async fn ask(&self, task: Task) -> Result<Told, Fault> {
        let Some(asker) = &self.asker else {
            return Err(Fault::new(FaultKind::NotSent, "Nothing is asked of people while the target is only read."));
        };
        let Some((item, operation)) = asker.item(&task.act) else {
            return Err(Fault::new(FaultKind::Malformed, "A task for a membership that was not asked for.")
                .effect(connector_sdk::Effect::None)
                .context("desk: no such change in the step"));
        };
        let lay = Lay {
            instance: asker.instance.clone(),
            lease: asker.lease.clone(),
            resource: asker.job.subject.seq,
            rev: asker.job.subject.rev,
            item,
            operation,
            task,
        };
        self.store.write(Priority::Driver, lay).await.map_err(unavailable)?
    }

    async fn accounts(&self, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        record::accounts(self.store.reader(), self.instance, page).await.map_err(unavailable)
    }

    async fn find_accounts(&self, user_name: &str, email: Option<&str>) -> Result<Vec<Account>, Fault> {
        record::find_accounts(self.store.reader(), self.instance, user_name, email).await.map_err(unavailable)
    }

    async fn account(&self, id: &RemoteId) -> Result<Option<Account>, Fault> {
        record::account(self.store.reader(), self.instance, id.as_str()).await.map_err(unavailable)
    }

    async fn groups(&self, page: Option<&PageToken>) -> Result<Page<RemoteGroup>, Fault> {
        record::groups(self.store.reader(), self.instance, page).await.map_err(unavailable)
    }

    async fn find_groups(&self, name: &str) -> Result<Vec<RemoteGroup>, Fault> {
        record::find_groups(self.store.reader(), self.instance, name).await.map_err(unavailable)
    }

    async fn group(&self, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
        record::group(self.store.reader(), self.instance, id.as_str()).await.map_err(unavailable)
    }

    async fn members(&self, id: &RemoteId, page: Option<&PageToken>) -> Result<Page<Member>, Fault> {
        let found =
            record::members(self.store.reader(), self.instance, id.as_str(), page).await.map_err(unavailable)?;
        found.ok_or_else(|| Fault::new(FaultKind::NotFound, "The group is not on record at this target."))
    }
}

/// Lays a task on the desk, or answers what became of it.
struct Lay {
    instance: Arc<Instance>,
    lease: (String, i64),
    resource: i64,
    rev: i64,
    item: i64,
    operation: Option<i64>,
    task: Task,
}

#[async_trait]
impl Unit for Lay {
    type Out = Result<Told, Fault>;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Result<Told, Fault>, StoreError> {
        let Ok(connector) = &self.instance.connector else {
            return Ok(Err(Fault::new(FaultKind::NotSent, "The connector of this instance cannot be used.")));
        };
        let traits = connector.traits();
        let (lease, epoch) = &self.lease;
        // The resource first, as everywhere: whoever closes a task locks it, too.
        tx.conn
            .all(&format!("SELECT seq FROM resource WHERE seq = $1{}", tx.conn.for_update()), vals![self.resource])
            .await?;
        if !is_held(tx, lease, *epoch).await? {
            return Ok(Err(Fault::new(FaultKind::NotSent, "Another replica drives this now.")));
        }
        let live = tx
            .conn
            .one(
                "SELECT seq, rev, ask, title, state, due_at, target_id, closed_by, comment FROM task WHERE resource_seq = $1 AND item_seq = $2 AND live = 1",
                vals![self.resource, self.item],
            )
            .await?;
        let act = &self.task.act;
        if let Some(row) = &live {
            let same = read_act(row)?.print(traits) == act.print(traits);
            let seq: i64 = row.col("seq")?;
            match (same, row.col::<String>("state")?.as_str()) {
                (true, "open") => {
                    // Whoever refuses it from now on refuses what is wanted now.
                    tx.conn.run("UPDATE task SET rev = $2 WHERE seq = $1 AND rev < $2", vals![seq, self.rev]).await?;
                    return Ok(Err(awaiting(
                        row.col("due_at")?,
                        &asked(seq, &row.col::<String>("title")?, row.col("due_at")?),
                    )));
                }
                (true, "done") => {
                    let made: Option<String> = row.col("target_id")?;
                    let told = record::told(tx.conn, self.instance.seq, act, true, made.as_deref()).await?;
                    return Ok(told.unwrap_or(Ok(Told::Gone { now: true })));
                }
                (true, "refused") if row.col::<i64>("rev")? == self.rev || self.item != 0 => {
                    return Ok(Err(Fault::new(
                        FaultKind::Refused,
                        refusal(row.col("closed_by")?, row.col("comment")?),
                    )));
                }
                _ => retire(tx, seq).await?,
            }
        }
        if let Some(told) = record::told(tx.conn, self.instance.seq, act, false, None).await? {
            return Ok(told);
        }
        let operation = match self.operation {
            Some(operation) => Some(operation),
            None => tx
                .conn
                .one(
                    "SELECT MAX(seq) AS seq FROM operation WHERE resource_seq = $1 AND state = 'open' AND rev <= $2",
                    vals![self.resource, self.rev],
                )
                .await?
                .map_or(Ok(None), |row| row.col("seq"))?,
        };
        let seq = tx.seq()?;
        let within = i64::try_from(self.task.within).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let due = tx.now.saturating_add(within);
        let ask = serde_json::to_string(act).map_err(|error| StoreError::damaged(format!("a task: {error}")))?;
        tx.conn
            .run(
                "INSERT INTO task (seq, instance_seq, resource_seq, item_seq, op_seq, rev, act, ask, title, detail, assignee, takes, state, live, heard, target_id, created_at, due_at) \
                 VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,'open',1,0,$13,$14,$15)",
                vals![
                    seq,
                    self.instance.seq,
                    self.resource,
                    self.item,
                    operation,
                    self.rev,
                    act.word(),
                    ask,
                    self.task.title.as_str(),
                    self.task.detail.as_str(),
                    self.task.assignee.clone(),
                    i16::from(act.takes_access()),
                    record::account_in(act).map(str::to_owned),
                    tx.now,
                    due
                ],
            )
            .await?;
        Ok(Err(awaiting(due, &asked(seq, &self.task.title, due))))
    }
}

fn awaiting(due: i64, message: &str) -> Fault {
    Fault::new(FaultKind::Awaiting, message).retry(Retry::NotBefore(moment(due)))
}
