//! Giving up what waits for a person to act.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{AdminError, audit};
use crate::service::App;
use crate::service::holds::withdraw_all;
use crate::service::waivers;
use crate::store::{Priority, Rows, Sql, Tx, Unit};

/// Why the operations end.
const DISMISSED: &str =
    "An admin dismissed it: what the target has stays as it is until the identity provider asks for this again.";

impl App {
    /// Gives up the work of an operation's resource that needs a person to act: what the target has
    /// stays as it is until the identity provider writes it again.
    ///
    /// # Errors
    /// No such operation; nothing of it needs anybody (conflict); the store's.
    pub async fn dismiss_operation(&self, actor: &str, id: &str) -> Result<Value, AdminError> {
        let ids = self.store.write(Priority::Request, Dismiss { actor: actor.to_owned(), id: id.to_owned() }).await?;
        Ok(json!({"operation": id, "state": "withdrawn", "withdrawn": ids}))
    }
}

struct Dismiss {
    actor: String,
    id: String,
}

#[async_trait]
impl Unit for Dismiss {
    type Out = Vec<String>;
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Vec<String>, AdminError> {
        let row = tx
            .conn
            .one("SELECT resource_seq, state FROM operation WHERE id = $1", vals![self.id.as_str()])
            .await?
            .ok_or_else(|| AdminError::NotFound("There is no such operation.".to_owned()))?;
        let (resource, state): (i64, String) = (row.col("resource_seq")?, row.col("state")?);
        if state != "open" {
            return Err(AdminError::Conflict(format!("The operation is {state}: there is nothing to dismiss.")));
        }
        tx.conn
            .all(&format!("SELECT seq FROM resource WHERE seq = $1{}", tx.conn.for_update()), vals![resource])
            .await?;
        let gone = tx
            .conn
            .one(
                "DELETE FROM work WHERE resource_seq = $1 AND state = 'needs' RETURNING rev, need, lane",
                vals![resource],
            )
            .await?;
        let Some(work) = gone else {
            return Err(AdminError::Conflict(
                "Nothing of it needs a person to act, so there is nothing to dismiss. Work goes on by itself, or waits for the decision of a hold.".to_owned(),
            ));
        };
        waivers::write(tx, resource, 0, work.col("rev")?, DISMISSED).await?;
        crate::driver::desk::withdraw(tx, resource, true, DISMISSED).await?;
        let ids = withdraw_all(tx, resource, DISMISSED).await?;
        let detail = json!({"need": work.col::<Option<String>>("need")?, "lane": engine::Lane::from_number(work.col("lane")?), "withdrawn": ids});
        audit(tx, &self.actor, "operation.dismiss", &self.id, &detail).await?;
        Ok(ids)
    }
}
