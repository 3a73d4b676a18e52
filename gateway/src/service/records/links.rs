//! Links as an admin decides them (DECISIONS 3, 5): guesses are proposed, and a person confirms or
//! rejects them, or names the account by hand.

use std::sync::Arc;

use async_trait::async_trait;
use engine::Lane;
use sea_orm::QueryResult;
use serde_json::{Value, json};

use super::{AdminError, Slice, audit, parsed, slice, time};
use crate::driver::links::{self, ByHand};
use crate::service::App;
use crate::service::accept::upsert_work;
use crate::service::types::Instance;
use crate::store::{Hint, Priority, Rows, Sql, StoreError, Tx, Unit};

/// What a link's id begins with.
const PREFIX: &str = "lk_";

fn item(row: &QueryResult) -> Result<Value, StoreError> {
    let doc = parsed(row.col("doc")?);
    let told = |name: &str| doc.get(name).cloned().unwrap_or_default();
    Ok(json!({
        "id": format!("{PREFIX}{}", row.col::<i64>("seq")?),
        "state": row.col::<String>("state")?,
        "rejected": row.col::<i16>("rejected")? == 1,
        "evidence": row.col::<String>("evidence")?,
        "resource": {
            "id": row.col::<String>("resource_id")?,
            "kind": row.col::<String>("kind")?,
            "name": row.col::<String>("name")?,
            "deleted": row.col::<Option<i64>>("deleted_at")?.is_some(),
        },
        "account": {
            "remote_id": row.col::<Option<String>>("remote_id")?,
            "invite_id": row.col::<Option<String>>("invite_id")?,
            "status": row.col::<String>("status")?,
            "login": told("login"),
            "email": told("email"),
            "name": told("name"),
            "protected": row.col::<i16>("protected")? == 1,
        },
        "opened_at": time(row.col("opened_at")?),
        "closed_at": row.col::<Option<i64>>("closed_at")?.map(time),
    }))
}

/// The columns of [`item`].
const LINK: &str = "SELECT l.seq, l.state, l.rejected, l.evidence, l.opened_at, l.closed_at, r.id AS resource_id, r.kind, r.name, r.deleted_at, \
     a.remote_id, a.invite_id, a.status, a.doc, a.protected \
     FROM link l JOIN resource r ON r.seq = l.resource_seq JOIN account a ON a.seq = l.account_seq";

impl App {
    /// The links of an instance behind row `after`, oldest first; of one state, or of one resource by
    /// SCIM id or name.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_links(
        &self,
        instance: &Instance,
        state: Option<&str>,
        resource: Option<&str>,
        after: i64,
        limit: i64,
    ) -> Result<Slice, StoreError> {
        // Of one resource, the few it has are put in order; the `+` keeps SQLite from walking through everybody's.
        let order = if resource.is_some() { "+l.seq" } else { "l.seq" };
        let mut text = format!("{LINK} WHERE r.instance_seq = $1 AND {order} > $2");
        let mut values = vals![instance.seq, after, limit + 1];
        if let Some(state) = state {
            text.push_str(" AND l.state = $4");
            values.push(state.into());
        }
        if let Some(word) = resource {
            let seqs = self.find_resources(instance, word).await?;
            if seqs.is_empty() {
                return Ok(Slice { items: Vec::new(), next: None });
            }
            // Numbers of our own, so they may stand in the text.
            let list: Vec<String> = seqs.iter().map(i64::to_string).collect();
            text.push_str(&format!(" AND l.resource_seq IN ({})", list.join(",")));
        }
        text.push_str(&format!(" ORDER BY {order} LIMIT $3"));
        let rows = self.store.reader().all(&text, values).await?;
        slice(&rows, limit, item)
    }

    /// Links a person or group, by SCIM id or name, to the account or group of that id at the target:
    /// confirms a proposed link, or says by hand what nobody guessed. The work goes on at once.
    ///
    /// # Errors
    /// No such resource, or no account of that id is known; the account belongs to another person or
    /// group, is protected, or the resource is being worked on (conflicts); the store's.
    pub async fn set_link(
        &self,
        actor: &str,
        instance: &Arc<Instance>,
        resource: &str,
        remote_id: &str,
    ) -> Result<Value, AdminError> {
        let found = self.find_resources(instance, resource).await?;
        if found.is_empty() {
            return Err(AdminError::NotFound(
                "The record of this instance knows nobody and no group of that id or name.".to_owned(),
            ));
        }
        let set = Set { instance: instance.clone(), actor: actor.to_owned(), found, remote_id: remote_id.to_owned() };
        let link = self.store.write(Priority::Request, set).await?;
        self.driver.wake();
        let row = self.store.reader().one(&format!("{LINK} WHERE l.seq = $1"), vals![link]).await?;
        Ok(row.as_ref().map(item).transpose()?.unwrap_or_default())
    }

    /// Rejects a proposed link: the account is not the resource's, and is not proposed for it again.
    ///
    /// # Errors
    /// No such link; it is not proposed (conflict); the store's.
    pub async fn reject_link(&self, actor: &str, instance: &Arc<Instance>, id: &str) -> Result<(), AdminError> {
        let seq = id.strip_prefix(PREFIX).and_then(|number| number.parse().ok()).ok_or_else(no_link)?;
        let reject = Reject { instance: instance.clone(), actor: actor.to_owned(), seq };
        self.store.write(Priority::Request, reject).await?;
        self.driver.wake();
        Ok(())
    }
}

fn no_link() -> AdminError {
    AdminError::NotFound("This instance has no such link.".to_owned())
}

struct Set {
    instance: Arc<Instance>,
    actor: String,
    /// Rows of the resource, the likeliest first.
    found: Vec<i64>,
    remote_id: String,
}

#[async_trait]
impl Unit for Set {
    type Out = i64;
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<i64, AdminError> {
        // A person and a group may share a name: the account says which of the two is meant.
        for resource in &self.found {
            let Some(account) = links::known(tx, &self.instance, *resource, &self.remote_id).await? else {
                continue;
            };
            let row = tx
                .conn
                .one(
                    &format!(
                        "SELECT id, kind, rev, active, managed, deleted_at FROM resource WHERE seq = $1{}",
                        tx.conn.for_update()
                    ),
                    vals![*resource],
                )
                .await?
                .ok_or_else(|| StoreError::damaged("resource"))?;
            if row.col::<i16>("managed")? == 0 {
                return Err(AdminError::Conflict(
                    "Nobody manages this row: it shows an account as the target has it. Link the person or group that the identity provider sent.".to_owned(),
                ));
            }
            let running = "SELECT 1 AS one FROM work WHERE resource_seq = $1 AND state = 'running'";
            if tx.conn.one(running, vals![*resource]).await?.is_some() {
                return Err(AdminError::Conflict(
                    "It is being worked on at this moment. Ask again in a few seconds.".to_owned(),
                ));
            }
            let link = match links::set(tx, &self.instance, *resource, account).await? {
                ByHand::Linked(link) => link,
                ByHand::No(why) => return Err(AdminError::Conflict(why)),
            };
            let leaves = row.col::<i16>("active")? == 0 || row.col::<Option<i64>>("deleted_at")?.is_some();
            let lane = match (leaves, row.col::<String>("kind")?.as_str()) {
                (true, "User") => Lane::Deprovision,
                (true, _) => Lane::Removal,
                (false, _) => Lane::Grant,
            };
            upsert_work(tx, &self.instance, *resource, lane, row.col("rev")?, None).await?;
            let detail = json!({"resource": row.col::<String>("id")?, "remote_id": self.remote_id});
            audit(tx, &self.actor, "link.set", &self.instance.id, &detail).await?;
            return Ok(link);
        }
        Err(AdminError::NotFound(
            "The gateway knows no account or group of that id at this target. Start an import, so that it is listed, then link it.".to_owned(),
        ))
    }
}

struct Reject {
    instance: Arc<Instance>,
    actor: String,
    seq: i64,
}

#[async_trait]
impl Unit for Reject {
    type Out = ();
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), AdminError> {
        let row = tx
            .conn
            .one(
                "SELECT l.state, l.resource_seq, r.id FROM link l JOIN resource r ON r.seq = l.resource_seq WHERE l.seq = $1 AND r.instance_seq = $2",
                vals![self.seq, self.instance.seq],
            )
            .await?
            .ok_or_else(no_link)?;
        // The resource before its work and links, as every writer locks them.
        let resource: i64 = row.col("resource_seq")?;
        tx.conn
            .one(&format!("SELECT seq FROM resource WHERE seq = $1{}", tx.conn.for_update()), vals![resource])
            .await?;
        match row.col::<String>("state")?.as_str() {
            "proposed" => {}
            "live" => {
                return Err(AdminError::Conflict(
                    "This link is in force, not proposed. Link the right account instead; that ends this one."
                        .to_owned(),
                ));
            }
            _ => return Err(AdminError::Conflict("This link has ended already.".to_owned())),
        }
        tx.conn
            .run(
                "UPDATE link SET state = 'closed', closed_at = $2, rejected = 1 WHERE seq = $1 AND state = 'proposed'",
                vals![self.seq, tx.now],
            )
            .await?;
        // What needed this decision goes on without the account.
        tx.conn
            .run(
                "UPDATE work SET state = 'todo', due_at = $2, need = NULL, reason = NULL, tries = 0, looks = 0, panics = 0 WHERE resource_seq = $1 AND state = 'needs'",
                vals![resource, tx.now],
            )
            .await?;
        tx.hint(Hint::Anything);
        let detail = json!({"resource": row.col::<String>("id")?, "link": format!("{PREFIX}{}", self.seq)});
        audit(tx, &self.actor, "link.reject", &self.instance.id, &detail).await?;
        Ok(())
    }
}
