//! Trying again now what waits.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{AdminError, audit};
use crate::driver::look_at_credential;
use crate::service::App;
use crate::store::{Hint, Priority, Rows, Sql, Tx, Unit};

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
        tx.conn
            .run(
                "UPDATE work SET state = 'todo', due_at = $2, need = NULL, reason = NULL, tries = 0, looks = 0, panics = 0 WHERE resource_seq = $1 AND state IN ('todo','waiting','needs')",
                vals![resource, tx.now],
            )
            .await?;
        // What a person refused is asked for once more.
        crate::driver::desk::withdraw(tx, resource, false, "").await?;
        look_at_credential(tx, row.col("instance_seq")?).await?;
        tx.hint(Hint::Anything);
        // A person who was invited often enough, or declined, is asked again by an admin's wish.
        tx.conn
            .run(
                "UPDATE account SET invites = 0 WHERE status = 'gone' AND seq IN (SELECT account_seq FROM link WHERE resource_seq = $1)",
                vals![resource],
            )
            .await?;
        audit(tx, &self.actor, "operation.retry", &self.id, &json!({})).await?;
        Ok("todo")
    }
}
