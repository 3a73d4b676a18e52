//! Trying again now what waits: the work of one operation, or all of a list.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::operations::listed;
use super::{AdminError, Browse, audit};
use crate::driver::look_at_credential;
use crate::service::App;
use crate::service::types::Instance;
use crate::store::{Hint, Priority, Rows, Sql, StoreError, Tx, Unit};

/// People or groups that are tried again at once. Whoever has more does it again for the rest.
const MOST: usize = 1_000;
/// Those of one transaction.
const CHUNK: usize = 100;

impl Browse {
    /// The states of a list whose work can be tried again as a whole.
    pub const RETRIED: [&str; 3] = ["needs", "pending", "leaving"];
}

/// Open work that was found to be tried again.
struct Found {
    resources: Vec<i64>,
    /// There is more than is tried at once.
    more: bool,
}

impl App {
    /// Makes the work of an operation's resource due now.
    ///
    /// # Errors
    /// No such operation; nothing of it is open (conflict); the store's.
    pub async fn retry_operation(&self, actor: &str, id: &str) -> Result<Value, AdminError> {
        let state = self.store.write(Priority::Request, Retry { actor: actor.to_owned(), id: id.to_owned() }).await?;
        self.driver.wake();
        Ok(json!({"operation": id, "work": state}))
    }

    /// How many people or groups of a list have work that waits or needs somebody, up to a thousand, and whether there
    /// are more: those that [`App::retry_all`] tries again.
    ///
    /// # Errors
    /// The store's.
    pub async fn retryable(&self, instance: Option<&Instance>, which: &Browse) -> Result<(usize, bool), StoreError> {
        let found = self.waits(instance, which).await?;
        Ok((found.resources.len(), found.more))
    }

    /// Makes the work of the people or groups of a list due now, where it waits or needs somebody: the newest thousand.
    /// What is held stays held, and what runs is left alone. `retried` says how many it was, `more` whether there are
    /// others.
    ///
    /// # Errors
    /// The list is none whose work can be tried again as a whole, naming the field; the store's.
    pub async fn retry_all(
        &self,
        actor: &str,
        instance: Option<&Instance>,
        which: &Browse,
    ) -> Result<Value, AdminError> {
        let state = which.state.as_deref().unwrap_or_default();
        if !Browse::RETRIED.contains(&state) {
            let words = Browse::RETRIED.join(", ");
            return Err(AdminError::invalid("state", format!("must be one of {words}")));
        }
        let found = self.waits(instance, which).await?;
        let mut retried = 0;
        for chunk in found.resources.chunks(CHUNK) {
            let unit = RetryAll {
                actor: actor.to_owned(),
                // Who is searched for by name is nobody the audit has to know.
                detail: json!({"kind": which.kind, "state": state, "by_name": which.text.is_some()}),
                target: instance.map_or_else(|| "all instances".to_owned(), |instance| instance.id.clone()),
                resources: chunk.to_vec(),
            };
            retried += self.store.write(Priority::Request, unit).await?;
        }
        self.driver.wake();
        Ok(json!({"retried": retried, "more": found.more}))
    }

    /// The people or groups of a list whose work waits or needs somebody, in the order in which rows are locked.
    async fn waits(&self, instance: Option<&Instance>, which: &Browse) -> Result<Found, StoreError> {
        let (mut resources, mut before, mut more) = (Vec::new(), i64::MAX, false);
        let page = i64::try_from(MOST).unwrap_or(i64::MAX);
        loop {
            let (pick, values) = self.pick(instance, which, before, page).await?;
            let text = format!(
                "SELECT p.seq, w.state FROM ({pick}) p LEFT JOIN work w ON w.resource_seq = p.seq ORDER BY p.seq DESC"
            );
            let rows = self.store.reader().all(&text, values).await?;
            for row in &rows {
                before = row.col("seq")?;
                if matches!(row.col::<Option<String>>("state")?.as_deref(), Some("waiting" | "needs")) {
                    resources.push(before);
                }
            }
            if resources.len() > MOST {
                resources.truncate(MOST);
                more = true;
            }
            if more || rows.len() < MOST {
                resources.sort_unstable();
                return Ok(Found { resources, more });
            }
        }
    }
}

/// Makes the work of these due now, and whatever would keep it from being done again.
async fn again(tx: &Tx<'_>, resources: &[i64], instances: &BTreeSet<i64>) -> Result<(), StoreError> {
    let these = listed(resources);
    tx.conn
        .run(
            &format!("UPDATE work SET state = 'todo', due_at = $1, need = NULL, reason = NULL, tries = 0, looks = 0, panics = 0 WHERE resource_seq IN ({these}) AND state IN ('todo','waiting','needs')"),
            vals![tx.now],
        )
        .await?;
    for resource in resources {
        // What a person refused is asked for once more.
        crate::driver::desk::withdraw(tx, *resource, false, "").await?;
    }
    for instance in instances {
        look_at_credential(tx, *instance).await?;
    }
    tx.hint(Hint::Anything);
    // A person who was invited often enough, or declined, is asked again by an admin's wish.
    tx.conn
        .run(
            &format!("UPDATE account SET invites = 0 WHERE status = 'gone' AND seq IN (SELECT account_seq FROM link WHERE resource_seq IN ({these}))"),
            vals![],
        )
        .await?;
    Ok(())
}

struct RetryAll {
    actor: String,
    target: String,
    detail: Value,
    resources: Vec<i64>,
}

#[async_trait]
impl Unit for RetryAll {
    /// How many of them there still were.
    type Out = usize;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<usize, StoreError> {
        // What was settled, held or begun since they were found is left alone.
        let text = format!(
            "SELECT resource_seq, instance_seq FROM work WHERE resource_seq IN ({}) AND state IN ('waiting','needs') ORDER BY resource_seq{}",
            listed(&self.resources),
            tx.conn.for_update()
        );
        let rows = tx.conn.all(&text, vals![]).await?;
        let mut resources = Vec::with_capacity(rows.len());
        let mut instances = BTreeSet::new();
        for row in &rows {
            resources.push(row.col("resource_seq")?);
            instances.insert(row.col("instance_seq")?);
        }
        if resources.is_empty() {
            return Ok(0);
        }
        again(tx, &resources, &instances).await?;
        let mut detail = self.detail.clone();
        detail["retried"] = resources.len().into();
        audit(tx, &self.actor, "work.retry", &self.target, &detail).await?;
        Ok(resources.len())
    }
}

struct Retry {
    actor: String,
    id: String,
}

#[async_trait]
impl Unit for Retry {
    type Out = &'static str;
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<&'static str, AdminError> {
        let row = tx
            .conn
            .one(
                "SELECT o.resource_seq, o.instance_seq, o.verb, o.state, w.state AS work_state, r.deleted_at, r.seq AS known FROM operation o \
                 LEFT JOIN work w ON w.resource_seq = o.resource_seq LEFT JOIN resource r ON r.seq = o.resource_seq WHERE o.id = $1",
                vals![self.id.as_str()],
            )
            .await?
            .ok_or_else(|| AdminError::NotFound("There is no such operation.".to_owned()))?;
        let resource: i64 = row.col("resource_seq")?;
        let state: String = row.col("state")?;
        let gone = row.col::<Option<i64>>("known")?.is_none() || row.col::<Option<i64>>("deleted_at")?.is_some();
        match row.col::<Option<String>>("work_state")?.as_deref() {
            Some("running") => return Ok("running"),
            Some("held") => {
                return Err(AdminError::Conflict(
                    "It is held until an admin allows or discards the hold; trying again would not pass it.".to_owned(),
                ));
            }
            Some(_) => {}
            None if row.col::<String>("verb")? == "create" && state == "failed" && gone => {
                return Err(AdminError::Conflict(
                    "The target refused this creation and it was taken back, so there is nothing to try again. The identity provider has to send it again.".to_owned(),
                ));
            }
            None => {
                return Err(AdminError::Conflict(format!("The operation is {state} and nothing of it is left to do.")));
            }
        }
        again(tx, &[resource], &BTreeSet::from([row.col("instance_seq")?])).await?;
        audit(tx, &self.actor, "operation.retry", &self.id, &json!({})).await?;
        Ok("todo")
    }
}
