//! Tasks for people, as those who do them see them: what is open, and the word that something is done.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::Act;
use engine::Lane;
use sea_orm::QueryResult;
use serde_json::{Value, json};
use uuid::Uuid;

use super::App;
use super::accept::upsert_work;
use super::directory::time;
use super::records::{AdminError, audit};
use super::types::Instance;
use crate::driver::desk::PREFIX;
use crate::driver::desk::record::{self, Entered};
use crate::store::{Hint, Priority, Rows, Sql, StoreError, Tx, Unit};

/// The connector whose target is people.
const BY_HAND: &str = "manual";
/// The longest comment, in bytes.
const MAX_COMMENT: usize = 2_000;
/// The longest name or id of an account, in characters.
const MAX_NAME: usize = 300;
/// Accounts that may be entered at a time.
const MAX_ACCOUNTS: usize = 1_000;

/// Which tasks.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// `open`, `done`, `refused` or `withdrawn`; none for all of them.
    pub state: Option<String>,
    /// Of one instance.
    pub instance: Option<i64>,
    /// Only open ones whose time is over.
    pub overdue: bool,
}

/// Where a list of tasks goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskPlace {
    /// Of open ones, behind this: whether it takes access away, when it is due, its row.
    Due(i16, i64, i64),
    /// Of others, before this row.
    Before(i64),
}

/// What became of a task.
#[derive(Clone, Debug)]
pub struct Closing {
    /// Whether it was done; else it was refused.
    pub done: bool,
    /// What there is to say. A refusal has to say why.
    pub comment: Option<String>,
    /// The id that the account or group which was made has in the application.
    pub account_id: Option<String>,
}

/// An account that the application has already.
#[derive(Clone, Debug)]
pub struct KnownAccount {
    /// Its id in the application; one is made up where there is none.
    pub id: Option<String>,
    /// The name by which people sign in.
    pub user_name: String,
    /// The address.
    pub email: Option<String>,
    /// The name shown to people.
    pub display_name: Option<String>,
    /// Whether it has access.
    pub active: bool,
}

/// The columns of [`item`].
const TASK: &str = "SELECT t.seq, t.act, t.ask, t.title, t.detail, t.assignee, t.takes, t.state, t.target_id, t.created_at, t.due_at, t.closed_at, t.closed_by, t.comment, \
     t.item_seq, i.id AS instance_id, i.name AS instance_name, r.id AS resource_id, r.kind, r.name, r.deleted_at, \
     u.id AS person_id, u.name AS person_name, o.id AS operation_id \
     FROM task t JOIN instance i ON i.seq = t.instance_seq LEFT JOIN resource r ON r.seq = t.resource_seq \
     LEFT JOIN resource u ON u.seq = t.item_seq LEFT JOIN operation o ON o.seq = t.op_seq";

fn item(row: &QueryResult, now: i64) -> Result<Value, StoreError> {
    let (state, due): (String, i64) = (row.col("state")?, row.col("due_at")?);
    let named = |id: &str, name: &str| -> Result<Value, StoreError> {
        let (id, name): (Option<String>, Option<String>) = (row.col(id)?, row.col(name)?);
        Ok(id.map_or(Value::Null, |id| json!({"id": id, "name": name})))
    };
    let resource = named("resource_id", "name")?;
    let (person, group) = match row.col::<Option<String>>("kind")?.as_deref() {
        Some("Group") => (named("person_id", "person_name")?, resource),
        _ => (resource, Value::Null),
    };
    Ok(json!({
        "id": format!("{PREFIX}{}", row.col::<i64>("seq")?),
        "instance": {"id": row.col::<String>("instance_id")?, "name": row.col::<String>("instance_name")?},
        "state": state,
        "act": row.col::<String>("act")?,
        "title": row.col::<String>("title")?,
        "detail": row.col::<String>("detail")?,
        "assignee": row.col::<Option<String>>("assignee")?,
        "takes_access": row.col::<i16>("takes")? == 1,
        "overdue": state == "open" && due < now,
        "person": person,
        "group": group,
        "account_id": row.col::<Option<String>>("target_id")?,
        "operation": row.col::<Option<String>>("operation_id")?,
        "created_at": time(row.col("created_at")?),
        "due_at": time(due),
        "closed_at": row.col::<Option<i64>>("closed_at")?.map(time),
        "closed_by": row.col::<Option<String>>("closed_by")?,
        "comment": row.col::<Option<String>>("comment")?,
    }))
}

fn no_task() -> AdminError {
    AdminError::NotFound("There is no such task.".to_owned())
}

fn seq_of(id: &str) -> Result<i64, AdminError> {
    id.strip_prefix(PREFIX).and_then(|number| number.parse().ok()).ok_or_else(no_task)
}

impl App {
    /// A page of tasks. Open ones: those that take access away first, then by due date. Others: newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_tasks(
        &self,
        filter: &TaskFilter,
        place: Option<TaskPlace>,
        limit: i64,
    ) -> Result<(Vec<Value>, Option<TaskPlace>), StoreError> {
        let now = self.clock.micros();
        let open = filter.overdue || filter.state.as_deref() == Some("open");
        let mut text = "SELECT t.seq FROM task t WHERE 1 = 1".to_owned();
        let mut values = vals![limit + 1];
        let mut add = |text: &mut String, condition: &str, value: sea_orm::Value| {
            values.push(value);
            text.push_str(&condition.replace('?', &format!("${}", values.len())));
        };
        if let Some(instance) = filter.instance {
            add(&mut text, " AND t.instance_seq = ?", instance.into());
        }
        if open {
            // In the text: only so is the index of open tasks used.
            text.push_str(" AND t.state = 'open'");
        } else if let Some(state) = &filter.state {
            add(&mut text, " AND t.state = ?", state.as_str().into());
        }
        if filter.overdue {
            add(&mut text, " AND t.due_at < ?", now.into());
        }
        match place {
            Some(TaskPlace::Due(takes, due, seq)) if open => {
                // Numbers of our own, so they may stand in the text.
                text.push_str(&format!(
                    " AND (t.takes < {takes} OR (t.takes = {takes} AND (t.due_at > {due} OR (t.due_at = {due} AND t.seq > {seq}))))"
                ));
            }
            Some(TaskPlace::Before(seq)) if !open => add(&mut text, " AND t.seq < ?", seq.into()),
            _ => {}
        }
        let order = if open { "ORDER BY t.takes DESC, t.due_at, t.seq" } else { "ORDER BY t.seq DESC" };
        // What is shown beside a task is looked up for those of the page alone.
        let text = format!("{TASK} WHERE t.seq IN ({text} {order} LIMIT $1) {order}");
        let rows = self.store.reader().all(&text, values).await?;
        let size = usize::try_from(limit).unwrap_or(0);
        let shown = rows.get(..size.min(rows.len())).unwrap_or_default();
        let items = shown.iter().map(|row| item(row, now)).collect::<Result<Vec<Value>, _>>()?;
        let next = match shown.last().filter(|_| rows.len() > size) {
            Some(last) if open => Some(TaskPlace::Due(last.col("takes")?, last.col("due_at")?, last.col("seq")?)),
            Some(last) => Some(TaskPlace::Before(last.col("seq")?)),
            None => None,
        };
        Ok((items, next))
    }

    /// How many tasks are open; none where no instance has a target that people work at, and no task was ever open.
    ///
    /// # Errors
    /// The store's.
    pub async fn count_open_tasks(&self) -> Result<Option<i64>, StoreError> {
        let text = "SELECT (SELECT COUNT(*) FROM task WHERE state = 'open') AS n, \
             CASE WHEN EXISTS (SELECT 1 FROM instance WHERE connector = $1 AND deleted_at IS NULL) OR EXISTS (SELECT 1 FROM task) THEN 1 ELSE 0 END AS there";
        let Some(row) = self.store.reader().one(text, vals![BY_HAND]).await? else { return Ok(None) };
        Ok(if row.col::<i32>("there")? == 1 { Some(row.col("n")?) } else { None })
    }

    /// One task.
    ///
    /// # Errors
    /// No such task; the store's.
    pub async fn task(&self, id: &str) -> Result<Value, AdminError> {
        let row = self.store.reader().one(&format!("{TASK} WHERE t.seq = $1"), vals![seq_of(id)?]).await?;
        Ok(item(&row.ok_or_else(no_task)?, self.clock.micros())?)
    }

    /// The tasks about a person or group, newest first.
    pub(super) async fn tasks_of(&self, resource: i64, until: i64, limit: i64) -> Result<Vec<Value>, StoreError> {
        let text = format!(
            "{TASK} WHERE (t.resource_seq = $1 OR (t.item_seq = $1 AND t.item_seq > 0)) AND t.created_at <= $2 ORDER BY t.seq DESC LIMIT $3"
        );
        let rows = self.store.reader().all(&text, vals![resource, until, limit]).await?;
        rows.iter().map(|row| item(row, self.clock.micros())).collect()
    }

    /// Closes a task: what was asked for is on record as done, or is refused. The work that waits for it goes on at once.
    ///
    /// # Errors
    /// No such task; it is closed or not wanted any more (conflict); a comment or an id that cannot be; the store's.
    pub async fn close_task(&self, actor: &str, id: &str, mut closing: Closing) -> Result<Value, AdminError> {
        let seq = seq_of(id)?;
        for text in [&mut closing.comment, &mut closing.account_id] {
            *text = text.take().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        }
        if closing.comment.as_ref().is_some_and(|text| text.len() > MAX_COMMENT) {
            return Err(AdminError::invalid("comment", format!("must have at most {MAX_COMMENT} bytes")));
        }
        if !closing.done && closing.comment.is_none() {
            return Err(AdminError::invalid("comment", "is missing: whoever asked has to know why it is refused"));
        }
        if let Some(id) = &closing.account_id {
            is_name("account_id", id)?;
        }
        let row = self.store.reader().one("SELECT instance_seq FROM task WHERE seq = $1", vals![seq]).await?;
        let row = row.ok_or_else(no_task)?;
        let instance = self.instances.by_seq(row.col("instance_seq")?).await?;
        let close = Close { instance, actor: actor.to_owned(), seq, id: id.to_owned(), closing };
        if let Some(instance) = self.store.write(Priority::Request, close).await? {
            self.driver.wake_for(&instance);
        }
        self.task(id).await
    }

    /// Enters accounts that the application has already, so that nobody is asked to make them. What is on record under
    /// the same id stays as it is. Answers how many are new.
    ///
    /// # Errors
    /// The instance's target has an API; an account that cannot be (names the field); the store's.
    pub async fn enter_accounts(
        &self,
        actor: &str,
        instance: &Arc<Instance>,
        mut accounts: Vec<KnownAccount>,
    ) -> Result<Value, AdminError> {
        if !instance.connector.as_ref().is_ok_and(|connector| connector.traits().by_hand) {
            return Err(AdminError::Conflict(
                "This target has an API: its accounts are read there. Start an import instead.".to_owned(),
            ));
        }
        if accounts.is_empty() || accounts.len() > MAX_ACCOUNTS {
            return Err(AdminError::invalid("accounts", format!("must be 1 to {MAX_ACCOUNTS} accounts")));
        }
        for (at, one) in accounts.iter_mut().enumerate() {
            one.user_name = one.user_name.trim().to_owned();
            is_name(&format!("accounts.{at}.user_name"), &one.user_name)?;
            for (field, text) in [("id", &one.id), ("email", &one.email), ("display_name", &one.display_name)] {
                if let Some(text) = text {
                    is_name(&format!("accounts.{at}.{field}"), text)?;
                }
            }
        }
        let listed = accounts.len();
        let enter = Enter { instance: instance.clone(), actor: actor.to_owned(), accounts };
        let entered = self.store.write(Priority::Request, enter).await?;
        Ok(json!({"entered": entered, "known": listed - entered}))
    }
}

/// A name that fits a line.
fn is_name(field: &str, text: &str) -> Result<(), AdminError> {
    if text.trim().is_empty() || text.chars().count() > MAX_NAME || text.contains(char::is_control) {
        return Err(AdminError::invalid(field, format!("must be one line of 1 to {MAX_NAME} characters")));
    }
    Ok(())
}

struct Close {
    instance: Option<Arc<Instance>>,
    actor: String,
    seq: i64,
    id: String,
    closing: Closing,
}

#[async_trait]
impl Unit for Close {
    type Out = Option<Arc<Instance>>;
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Option<Arc<Instance>>, AdminError> {
        let row = tx.conn.one("SELECT resource_seq FROM task WHERE seq = $1", vals![self.seq]).await?;
        let resource: i64 = row.ok_or_else(no_task)?.col("resource_seq")?;
        // The resource before its tasks and work, as every writer locks them.
        let known = tx
            .conn
            .one(&format!("SELECT rev, kind FROM resource WHERE seq = $1{}", tx.conn.for_update()), vals![resource])
            .await?;
        let row = tx
            .conn
            .one(
                "SELECT t.state, t.ask, t.act, t.takes, t.closed_at, t.closed_by, t.comment, (SELECT MAX(n.seq) FROM task n WHERE n.resource_seq = t.resource_seq \
                 AND n.item_seq = t.item_seq AND n.seq > t.seq AND n.state = 'open') AS newer FROM task t WHERE t.seq = $1",
                vals![self.seq],
            )
            .await?
            .ok_or_else(no_task)?;
        let state: String = row.col("state")?;
        if state != "open" {
            return Err(closed(&row, &state)?);
        }
        let (Some(instance), Some(known)) = (self.instance.clone(), known) else {
            return Err(AdminError::Conflict("The instance of this task was deleted.".to_owned()));
        };
        let act: Act = serde_json::from_str(&row.col::<String>("ask")?)
            .map_err(|error| StoreError::damaged(format!("task.ask: {error}")))?;
        let makes = matches!(act, Act::CreateAccount { .. } | Act::CreateGroup { .. });
        let named = self.closing.account_id.as_deref();
        if named.is_some() && !(makes && self.closing.done) {
            return Err(AdminError::invalid(
                "account_id",
                "is for tasks that make an account or a group, once they are done",
            ));
        }
        let mut made = None;
        if self.closing.done {
            let Ok(id) = record::write(tx, instance.seq, &act, named).await? else {
                return Err(AdminError::Conflict(format!(
                    "Another one on record has the id \"{}\". Ids of an application are one account's or group's each.",
                    named.unwrap_or_default()
                )));
            };
            made = id;
        }
        tx.conn
            .run(
                "UPDATE task SET state = $2, heard = 0, closed_at = $3, closed_by = $4, comment = $5, target_id = COALESCE($6, target_id), rev = $7 WHERE seq = $1",
                vals![
                    self.seq,
                    if self.closing.done { "done" } else { "refused" },
                    tx.now,
                    self.actor.as_str(),
                    self.closing.comment.clone(),
                    made,
                    // What changed since the last plan was there when they decided.
                    known.col::<i64>("rev")?
                ],
            )
            .await?;
        let woken = tx
            .conn
            .run(
                "UPDATE work SET state = CASE WHEN state IN ('waiting','needs') THEN 'todo' ELSE state END, due_at = CASE WHEN state = 'running' THEN due_at ELSE $2 END, \
                 need = CASE WHEN state = 'held' THEN need ELSE NULL END, reason = CASE WHEN state = 'held' THEN reason ELSE NULL END WHERE resource_seq = $1",
                vals![resource, tx.now],
            )
            .await?;
        if woken == 0 {
            let lane = match (row.col::<i16>("takes")?, known.col::<String>("kind")?.as_str()) {
                (1, "User") => Lane::Deprovision,
                (1, _) => Lane::Removal,
                _ => Lane::Grant,
            };
            upsert_work(tx, &instance, resource, lane, known.col("rev")?, None).await?;
        }
        tx.hint(Hint::Work(instance.driver_key.as_str().to_owned()));
        let act_word = if self.closing.done { "task.done" } else { "task.refuse" };
        let detail = json!({"instance": instance.id, "act": row.col::<String>("act")?});
        audit(tx, &self.actor, act_word, &self.id, &detail).await?;
        Ok(Some(instance))
    }
}

/// Why a task that is not open cannot be closed.
fn closed(row: &QueryResult, state: &str) -> Result<AdminError, StoreError> {
    let at = row.col::<Option<i64>>("closed_at")?.map(time).unwrap_or_default();
    let by = row.col::<Option<String>>("closed_by")?.unwrap_or_else(|| "somebody".to_owned());
    let comment = row.col::<Option<String>>("comment")?.map(|text| format!(" ({text})")).unwrap_or_default();
    Ok(AdminError::Conflict(match (state, row.col::<Option<i64>>("newer")?) {
        ("withdrawn", Some(newer)) => format!(
            "This task was withdrawn on {at}: a later change replaced it by task {PREFIX}{newer}. If you have done it already, see that the newer one holds as well, and close that."
        ),
        ("withdrawn", None) => {
            format!("This task was withdrawn on {at}: it is not wanted any more. If you have done it already, undo it.")
        }
        ("refused", _) => {
            format!("{by} refused this task on {at}{comment}. Retry the operation to have it asked for once more.")
        }
        _ => format!("{by} closed this task as done on {at}{comment}."),
    }))
}

struct Enter {
    instance: Arc<Instance>,
    actor: String,
    accounts: Vec<KnownAccount>,
}

#[async_trait]
impl Unit for Enter {
    type Out = usize;
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<usize, AdminError> {
        let mut entered = 0;
        for one in &self.accounts {
            let made_up;
            let id = match &one.id {
                Some(id) => id.as_str(),
                // Named by nobody, it is told apart by its user name.
                None if !record::find_accounts(tx.conn, self.instance.seq, &one.user_name, None).await?.is_empty() => {
                    continue;
                }
                None => {
                    made_up = Uuid::new_v4().to_string();
                    made_up.as_str()
                }
            };
            let account = Entered {
                id,
                login: &one.user_name,
                email: one.email.as_deref(),
                display_name: one.display_name.as_deref(),
                active: one.active,
            };
            entered += usize::from(record::enter(tx, self.instance.seq, &account).await?);
        }
        let detail = json!({"entered": entered, "listed": self.accounts.len()});
        audit(tx, &self.actor, "desk.enter", &self.instance.id, &detail).await?;
        Ok(entered)
    }
}

/// Tasks whose time is over, by instance: its row, id and name, how many, how many take access away, the earliest due.
pub(crate) async fn overdue(conn: &impl Sql, now: i64) -> Result<Vec<Overdue>, StoreError> {
    let rows = conn
        .all(
            "SELECT t.instance_seq, i.id, i.name, COUNT(*) AS n, CAST(SUM(t.takes) AS BIGINT) AS removals, MIN(t.due_at) AS due FROM task t \
             JOIN instance i ON i.seq = t.instance_seq WHERE t.state = 'open' AND t.due_at < $1 AND i.deleted_at IS NULL GROUP BY t.instance_seq, i.id, i.name",
            vals![now],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Overdue {
                instance: row.col("instance_seq")?,
                id: row.col("id")?,
                name: row.col("name")?,
                tasks: row.col("n")?,
                removals: row.col("removals")?,
                due: row.col("due")?,
            })
        })
        .collect()
}

/// Overdue tasks of one instance.
pub(crate) struct Overdue {
    pub(crate) instance: i64,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) tasks: i64,
    /// Those of them that take access away.
    pub(crate) removals: i64,
    pub(crate) due: i64,
}
