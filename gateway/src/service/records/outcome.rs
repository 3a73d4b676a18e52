//! What an admin knows of a write whose outcome is in doubt (DECISIONS 18): it happened, it did not, or
//! look again.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::Repeatable;
use engine::doubt::{Answer, Answered, answered};
use serde_json::{Value, json};

use super::{AdminError, audit};
use crate::driver::doubt::{HAPPENED, repeat_of};
use crate::service::App;
use crate::service::types::Instance;
use crate::store::{Hint, Priority, Rows, Sql, StoreError, Tx, Unit};

impl App {
    /// Answers what became of the writes of an operation whose outcome is not known; the work goes on
    /// from there.
    ///
    /// That it happened is believed, and what it left behind is read before anything else is sent: for a
    /// creation the account or group is looked for, and where nothing shows it the work stands at
    /// `link` until somebody names it. That it did not happen makes the plan go on from what is known.
    /// Looking again starts the schedule of looks anew.
    ///
    /// # Errors
    /// No such operation; nothing of it is in doubt, it is being worked on, or no look can tell (all
    /// conflicts); the store's.
    pub async fn answer_outcome(&self, actor: &str, id: &str, answer: Answer) -> Result<Value, AdminError> {
        let row = self.store.reader().one("SELECT instance_seq FROM operation WHERE id = $1", vals![id]).await?;
        let row = row.ok_or_else(|| AdminError::NotFound("There is no such operation.".to_owned()))?;
        let instance = self.instances.by_seq(row.col("instance_seq")?).await?.ok_or_else(|| {
            AdminError::Conflict("The operation's instance was deleted: nothing of it is driven any more.".to_owned())
        })?;
        let say = Say { instance, actor: actor.to_owned(), id: id.to_owned(), answer };
        let calls = self.store.write(Priority::Request, say).await?;
        self.driver.wake();
        Ok(json!({"operation": id, "answer": answer.as_str(), "calls": calls, "work": "todo"}))
    }
}

struct Say {
    instance: Arc<Instance>,
    actor: String,
    id: String,
    answer: Answer,
}

/// A write in doubt.
struct InDoubt {
    attempt: i64,
    item: i64,
    operation: Option<i64>,
    step: String,
}

#[async_trait]
impl Unit for Say {
    type Out = usize;
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<usize, AdminError> {
        let row = tx
            .conn
            .one("SELECT seq, resource_seq FROM operation WHERE id = $1", vals![self.id.as_str()])
            .await?
            .ok_or_else(|| AdminError::NotFound("There is no such operation.".to_owned()))?;
        let (operation, resource): (i64, i64) = (row.col("seq")?, row.col("resource_seq")?);
        let kind = tx
            .conn
            .one(&format!("SELECT kind FROM resource WHERE seq = $1{}", tx.conn.for_update()), vals![resource])
            .await?
            .map(|row| row.col::<String>("kind"))
            .transpose()?;
        let state = tx
            .conn
            .one("SELECT state FROM work WHERE resource_seq = $1", vals![resource])
            .await?
            .map(|row| row.col::<String>("state"))
            .transpose()?;
        let (Some(kind), Some(state)) = (kind, state) else {
            return Err(nothing());
        };
        if state == "running" {
            return Err(AdminError::Conflict(
                "It is being worked on at this moment, perhaps looked at. Ask again in a few seconds.".to_owned(),
            ));
        }
        let mut doubts = open(tx, resource).await?;
        if doubts.iter().any(|doubt| doubt.operation == Some(operation)) {
            doubts.retain(|doubt| doubt.operation == Some(operation));
        }
        if doubts.is_empty() {
            return Err(nothing());
        }
        for doubt in &doubts {
            self.say(tx, resource, &kind, doubt).await?;
        }
        tx.conn
            .run(
                "UPDATE work SET state = 'todo', due_at = $2, need = NULL, reason = NULL, tries = 0, looks = 0, panics = 0 \
                 WHERE resource_seq = $1 AND state IN ('todo','waiting','needs')",
                vals![resource, tx.now],
            )
            .await?;
        tx.hint(Hint::Anything);
        let steps: Vec<&str> = doubts.iter().map(|doubt| doubt.step.as_str()).collect();
        let detail = json!({"answer": self.answer.as_str(), "steps": steps});
        audit(tx, &self.actor, "operation.outcome", &self.id, &detail).await?;
        Ok(doubts.len())
    }
}

fn nothing() -> AdminError {
    AdminError::Conflict("Nothing of this operation is in doubt: the outcome of every call is known.".to_owned())
}

async fn open(tx: &Tx<'_>, resource: i64) -> Result<Vec<InDoubt>, StoreError> {
    let rows = tx
        .conn
        .all(
            "SELECT seq, item_seq, op_seq, step FROM attempt WHERE resource_seq = $1 AND state = 'unknown' ORDER BY seq",
            vals![resource],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(InDoubt {
                attempt: row.col("seq")?,
                item: row.col("item_seq")?,
                operation: row.col("op_seq")?,
                step: row.col("step")?,
            })
        })
        .collect()
}

impl Say {
    async fn say(&self, tx: &Tx<'_>, resource: i64, kind: &str, doubt: &InDoubt) -> Result<(), AdminError> {
        // A connector that cannot be built may be again later: then a look may tell.
        let repeat = match &self.instance.connector {
            Ok(connector) => repeat_of(connector.traits(), kind, &doubt.step),
            Err(_) => Repeatable::Verifiable,
        };
        let happened = match answered(self.answer, repeat) {
            Answered::Useless => {
                return Err(AdminError::Conflict(
                    "No look tells whether this call took effect. Look at the target yourself, then answer \"happened\" or \"did_not\".".to_owned(),
                ));
            }
            Answered::Anew => {
                // Also takes back what somebody said before.
                tx.conn
                    .run(
                        "UPDATE attempt SET marker = NULL WHERE seq = $1 AND marker = $2",
                        vals![doubt.attempt, HAPPENED],
                    )
                    .await?;
                return Ok(());
            }
            Answered::Over => false,
            Answered::LookAsHappened => true,
        };
        let over = !happened || doubt.item != 0 || doubt.step == "tidy";
        let word = if happened { HAPPENED } else { "did_not" };
        tx.conn
            .run(
                "UPDATE attempt SET marker = $2, state = CASE WHEN $3 = 1 THEN 'resolved' ELSE state END, sent = CASE WHEN $3 = 1 THEN NULL ELSE sent END WHERE seq = $1",
                vals![doubt.attempt, word, i16::from(over)],
            )
            .await?;
        if doubt.item != 0 {
            let have = i16::from((doubt.step == "add_member") == happened);
            tx.conn
                .run(
                    "UPDATE member SET have = $3, have_at = $4 WHERE group_seq = $1 AND user_seq = $2",
                    vals![resource, doubt.item, have, tx.now],
                )
                .await?;
        } else if happened && doubt.step == "tidy" {
            tidied(tx, resource).await?;
        }
        Ok(())
    }
}

/// The credential's own account left the group, as somebody says: no look tells.
async fn tidied(tx: &Tx<'_>, resource: i64) -> Result<(), StoreError> {
    let row = tx
        .conn
        .one(
            "SELECT a.seq, a.doc FROM link l JOIN account a ON a.seq = l.account_seq WHERE l.resource_seq = $1 AND l.state = 'live'",
            vals![resource],
        )
        .await?;
    let Some(row) = row else { return Ok(()) };
    let mut doc: Value = serde_json::from_str(&row.col::<String>("doc")?).unwrap_or_default();
    doc["tidied"] = json!(true);
    tx.conn.run("UPDATE account SET doc = $2 WHERE seq = $1", vals![row.col::<i64>("seq")?, doc.to_string()]).await?;
    Ok(())
}
