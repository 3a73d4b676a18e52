//! What admins see of differences, and what they decide: repair one now, or leave it as it is.

use std::sync::Arc;

use async_trait::async_trait;
use engine::drift::{Access, Class};
use sea_orm::QueryResult;
use serde_json::{Value, json};

use super::repair::{Cause, MendMember, mend, mend_members};
use crate::service::App;
use crate::service::directory::time;
use crate::service::records::{AdminError, Slice, audit};
use crate::service::types::Instance;
use crate::service::waivers;
use crate::store::{Priority, Rows, Sql, StoreError, Tx, Unit};

const COLUMNS: &str = "d.seq, d.id, d.class, d.resource_seq, d.item_seq, d.account_seq, d.remote, d.detail, d.action, d.access, d.mendable, \
     d.first_seen, d.last_seen, r.id AS resource_id, r.kind AS resource_kind, r.name AS resource_name, r.managed, u.id AS user_id, u.name AS user_name, \
     a.kind AS account_kind, a.remote_id, a.invite_id, a.status, a.doc AS account_doc, n.id AS run_id, o.id AS operation_id, w.state AS work_state \
     FROM drift d LEFT JOIN resource r ON r.seq = d.resource_seq LEFT JOIN resource u ON u.seq = d.item_seq AND d.item_seq <> 0 \
     LEFT JOIN account a ON a.seq = d.account_seq LEFT JOIN run n ON n.seq = d.last_run LEFT JOIN operation o ON o.seq = d.op_seq \
     LEFT JOIN work w ON w.resource_seq = d.resource_seq";

fn shown(row: &QueryResult) -> Result<Value, StoreError> {
    let json_of =
        |text: Option<String>| -> Value { text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default() };
    let resource = row.col::<Option<String>>("resource_id")?.map(|id| {
        Ok::<_, StoreError>(json!({
            "id": id,
            "kind": row.col::<Option<String>>("resource_kind")?,
            "name": row.col::<Option<String>>("resource_name")?,
            "managed": row.col::<Option<i16>>("managed")? == Some(1),
        }))
    });
    let member = row
        .col::<Option<String>>("user_id")?
        .map(|id| Ok::<_, StoreError>(json!({"id": id, "userName": row.col::<Option<String>>("user_name")?})));
    let doc = json_of(row.col("account_doc")?);
    let account = row.col::<Option<String>>("account_kind")?.map(|kind| {
        Ok::<_, StoreError>(json!({
            "kind": kind,
            "remote_id": row.col::<Option<String>>("remote_id")?,
            "invite_id": row.col::<Option<String>>("invite_id")?,
            "status": row.col::<Option<String>>("status")?,
            "login": doc["login"],
            "email": doc["email"],
            "name": doc["name"],
            "role": doc["role"],
        }))
    });
    Ok(json!({
        "id": row.col::<String>("id")?,
        "class": row.col::<String>("class")?,
        "action": row.col::<String>("action")?,
        "repair_gives": row.col::<String>("access")?,
        "repairable": row.col::<i16>("mendable")? == 1,
        "resource": resource.transpose()?,
        "member": member.transpose()?,
        "account": account.transpose()?,
        "remote": Some(row.col::<String>("remote")?).filter(|text| !text.is_empty()),
        "detail": json_of(Some(row.col("detail")?)),
        "work": row.col::<Option<String>>("work_state")?,
        "operation": row.col::<Option<String>>("operation_id")?,
        "run": row.col::<Option<String>>("run_id")?,
        "first_seen": time(row.col("first_seen")?),
        "last_seen": time(row.col("last_seen")?),
    }))
}

impl App {
    /// Differences between an instance's target and what was asserted, behind row `after`, oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_drift(
        &self,
        instance: &Instance,
        class: Option<Class>,
        after: i64,
        limit: i64,
    ) -> Result<Slice, StoreError> {
        let condition = if class.is_some() { "d.class = $4" } else { "$4 = ''" };
        let text = format!(
            "SELECT {COLUMNS} WHERE d.instance_seq = $1 AND d.seq > $2 AND {condition} ORDER BY d.seq LIMIT $3"
        );
        let word = class.map_or("", Class::as_str);
        let rows = self.store.reader().all(&text, vals![instance.seq, after, limit + 1, word]).await?;
        let size = usize::try_from(limit).unwrap_or(0);
        let page = rows.get(..size.min(rows.len())).unwrap_or_default();
        let next = match page.last() {
            Some(last) if rows.len() > size => Some(last.col("seq")?),
            _ => None,
        };
        Ok(Slice { items: page.iter().map(shown).collect::<Result<_, _>>()?, next })
    }

    /// One difference by its id; none if the last comparison did not see it any more.
    ///
    /// # Errors
    /// The store's.
    pub async fn drift_item(&self, instance: &Instance, id: &str) -> Result<Option<Value>, StoreError> {
        let text = format!("SELECT {COLUMNS} WHERE d.instance_seq = $1 AND d.id = $2");
        let row = self.store.reader().one(&text, vals![instance.seq, id]).await?;
        row.as_ref().map(shown).transpose()
    }

    /// How many differences of each class there are, and how many of them are being repaired or left.
    ///
    /// # Errors
    /// The store's.
    pub async fn count_drift(&self, instance: &Instance) -> Result<Value, StoreError> {
        let rows = self
            .store
            .reader()
            .all(
                "SELECT class, COUNT(*) AS n FROM drift WHERE instance_seq = $1 AND action <> 'dismissed' GROUP BY class",
                vals![instance.seq],
            )
            .await?;
        let mut counts = serde_json::Map::new();
        for class in Class::ALL {
            counts.insert(class.as_str().to_owned(), json!(0));
        }
        for row in &rows {
            counts.insert(row.col("class")?, json!(row.col::<i64>("n")?));
        }
        Ok(Value::Object(counts))
    }

    /// Repairs one difference now, whatever the policy: an admin asks for it.
    ///
    /// # Errors
    /// No such difference; one that cannot be repaired from here, or is being repaired (conflict); the store's.
    pub async fn repair_drift(&self, actor: &str, instance: &Arc<Instance>, id: &str) -> Result<Value, AdminError> {
        let repair = RepairOne { actor: actor.to_owned(), instance: instance.clone(), id: id.to_owned() };
        let answer = self.store.write(Priority::Request, repair).await?;
        self.driver.wake_for(instance);
        Ok(answer)
    }

    /// Leaves one difference as it is, until the identity provider writes that fact again.
    ///
    /// # Errors
    /// No such difference; one that nothing would be done about anyway (conflict); the store's.
    pub async fn dismiss_drift(
        &self,
        actor: &str,
        instance: &Arc<Instance>,
        id: &str,
        why: &str,
    ) -> Result<Value, AdminError> {
        let dismiss =
            DismissOne { actor: actor.to_owned(), instance: instance.clone(), id: id.to_owned(), why: why.to_owned() };
        self.store.write(Priority::Request, dismiss).await
    }
}

/// A difference, as a decision needs it.
struct Row {
    seq: i64,
    class: Class,
    resource: i64,
    item: i64,
    /// The account's id at the target, where no row of the directory stands for it.
    remote: String,
    account: i64,
    access: Access,
    mendable: bool,
    message: String,
}

async fn find(tx: &Tx<'_>, instance: &Instance, id: &str) -> Result<Row, AdminError> {
    let row = tx
        .conn
        .one(
            "SELECT seq, class, resource_seq, item_seq, remote, account_seq, access, mendable, detail FROM drift WHERE instance_seq = $1 AND id = $2",
            vals![instance.seq, id],
        )
        .await?
        .ok_or_else(|| AdminError::NotFound("The instance has no such difference; perhaps a later run no longer saw it.".to_owned()))?;
    let detail: Value = serde_json::from_str(&row.col::<String>("detail")?).unwrap_or_default();
    let class = Class::parse(&row.col::<String>("class")?).ok_or_else(|| StoreError::damaged("drift.class"))?;
    Ok(Row {
        seq: row.col("seq")?,
        class,
        resource: row.col("resource_seq")?,
        item: row.col("item_seq")?,
        remote: row.col("remote")?,
        account: row.col("account_seq")?,
        access: match row.col::<String>("access")?.as_str() {
            "less" => Access::Less,
            "more" => Access::More,
            _ => Access::Same,
        },
        mendable: row.col::<i16>("mendable")? == 1,
        message: detail["message"].as_str().unwrap_or_default().to_owned(),
    })
}

/// The resource, locked, if it is managed and live.
async fn managed(tx: &Tx<'_>, resource: i64) -> Result<Option<bool>, StoreError> {
    let row = tx
        .conn
        .one(
            &format!(
                "SELECT active FROM resource WHERE seq = $1 AND managed = 1 AND deleted_at IS NULL{}",
                tx.conn.for_update()
            ),
            vals![resource],
        )
        .await?;
    row.map(|row| Ok(row.col::<i16>("active")? == 1)).transpose()
}

struct RepairOne {
    actor: String,
    instance: Arc<Instance>,
    id: String,
}

#[async_trait]
impl Unit for RepairOne {
    type Out = Value;
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Value, AdminError> {
        let row = find(tx, &self.instance, &self.id).await?;
        if !row.mendable {
            return Err(AdminError::Conflict(format!(
                "This cannot be repaired from here: {} Change it at the target or the identity provider, or dismiss it.",
                row.message
            )));
        }
        let Some(active) = managed(tx, row.resource).await? else {
            return Err(AdminError::Conflict(
                "The person or group is not managed through this gateway any more. Compare with the target again."
                    .to_owned(),
            ));
        };
        let cause = Cause { actor: self.actor.clone(), run: None };
        let operation = if row.item == 0 {
            let busy = tx.conn.one("SELECT 1 AS one FROM work WHERE resource_seq = $1", vals![row.resource]).await?;
            if busy.is_some() {
                return Err(AdminError::Conflict(
                    "Work for this person or group is open already; `work` shows what it waits for.".to_owned(),
                ));
            }
            waivers::withdraw(tx, row.resource, 0).await?;
            let leaves = row.access == Access::Less && !active;
            mend(tx, &self.instance, row.resource, row.access, leaves, &row.message, &cause).await?
        } else {
            let member = self.member(tx, &row).await?;
            waivers::withdraw(tx, row.resource, row.item).await?;
            mend_members(tx, &self.instance, row.resource, &[member], &cause).await?
        };
        tx.conn
            .run("UPDATE drift SET action = 'repair', op_seq = $2 WHERE seq = $1", vals![row.seq, operation])
            .await?;
        audit(tx, &self.actor, "drift.repair", &self.instance.id, &json!({"drift": self.id, "class": row.class}))
            .await?;
        let id = tx
            .conn
            .one("SELECT id FROM operation WHERE seq = $1", vals![operation])
            .await?
            .map(|row| row.col::<String>("id"))
            .transpose()?;
        Ok(json!({"drift": self.id, "operation": id}))
    }
}

impl RepairOne {
    /// The membership to mend, if it still is as it was seen.
    async fn member(&self, tx: &Tx<'_>, row: &Row) -> Result<MendMember, AdminError> {
        let now = tx
            .conn
            .one(
                "SELECT u.name, u.active, u.deleted_at, m.want, m.state, a.status FROM resource u LEFT JOIN member m ON m.group_seq = $1 AND m.user_seq = u.seq \
                 LEFT JOIN link l ON l.resource_seq = u.seq AND l.state = 'live' LEFT JOIN account a ON a.seq = l.account_seq WHERE u.seq = $2",
                vals![row.resource, row.item],
            )
            .await?
            .ok_or_else(|| StoreError::damaged("a difference of nobody"))?;
        let add = row.class == Class::Missing;
        let state: Option<String> = now.col("state")?;
        let want = now.col::<Option<i16>>("want")? == Some(1)
            && now.col::<i16>("active")? == 1
            && now.col::<Option<i64>>("deleted_at")?.is_none();
        if state.as_deref() == Some("todo") || want != add {
            return Err(AdminError::Conflict(
                "The membership was asked for anew since the comparison, or is being worked at. Compare with the target again.".to_owned(),
            ));
        }
        let pending = now.col::<Option<String>>("status")?.as_deref() == Some("invited");
        Ok(MendMember { user: row.item, name: now.col("name")?, add, pending })
    }
}

fn nothing_stands_for_it() -> AdminError {
    AdminError::Conflict(
        "No row of the directory stands for this account, so there is nothing that the decision could be kept at. It is only reported; nothing is done about it.".to_owned(),
    )
}

struct DismissOne {
    actor: String,
    instance: Arc<Instance>,
    id: String,
    why: String,
}

#[async_trait]
impl Unit for DismissOne {
    type Out = Value;
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Value, AdminError> {
        let row = find(tx, &self.instance, &self.id).await?;
        if !row.remote.is_empty() {
            return Err(nothing_stands_for_it());
        }
        if row.class == Class::Renamed && !row.mendable {
            // The name is accepted: nothing differs any more.
            self.accept_login(tx, row.account).await?;
            tx.conn.run("DELETE FROM drift WHERE seq = $1", vals![row.seq]).await?;
        } else {
            // What the decision is bound to: a person or group by its revision, a membership by the
            // operation that last asked for it.
            let rev = if row.item == 0 {
                tx.conn.one("SELECT rev FROM resource WHERE seq = $1", vals![row.resource]).await?
            } else {
                tx.conn
                    .one(
                        "SELECT COALESCE((SELECT op_seq FROM member WHERE group_seq = $1 AND user_seq = $2), 0) AS rev FROM resource WHERE seq = $1",
                        vals![row.resource, row.item],
                    )
                    .await?
            };
            let Some(rev) = rev else {
                return Err(nothing_stands_for_it());
            };
            waivers::write(tx, row.resource, row.item, rev.col("rev")?, &self.why).await?;
            tx.conn.run("UPDATE drift SET action = 'dismissed' WHERE seq = $1", vals![row.seq]).await?;
        }
        audit(
            tx,
            &self.actor,
            "drift.dismiss",
            &self.instance.id,
            &json!({"drift": self.id, "class": row.class, "why": self.why}),
        )
        .await?;
        Ok(json!({"drift": self.id, "action": "dismissed"}))
    }
}

impl DismissOne {
    async fn accept_login(&self, tx: &Tx<'_>, account: i64) -> Result<(), StoreError> {
        let row = tx.conn.one("SELECT doc FROM account WHERE seq = $1", vals![account]).await?;
        let Some(row) = row else { return Ok(()) };
        let mut doc: Value = serde_json::from_str(&row.col::<String>("doc")?).unwrap_or_default();
        if let Some(fields) = doc.as_object_mut() {
            fields.remove("known_as");
        }
        tx.conn.run("UPDATE account SET doc = $2 WHERE seq = $1", vals![account, doc.to_string()]).await?;
        Ok(())
    }
}
