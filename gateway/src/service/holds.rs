//! Holds: what the brake keeps back until an admin decides (DECISIONS 24).
//!
//! An instance has one open hold at most. What is in it is not a copy: it is the work that is held by
//! it and the memberships that are, so a change of the identity provider that takes a loss back leaves
//! the hold by itself. The list as it was decided is kept.

mod tx;

use sea_orm::QueryResult;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::App;
use super::directory::time;
use super::records::{AdminError, Slice};
use super::types::Instance;
use crate::store::{Priority, Rows, Sql, Store, StoreError};

pub(crate) use tx::{Decide, Release, withdraw_all};

/// Longest comment, in bytes.
const MAX_COMMENT: usize = 2_000;

/// What an open hold holds: (resource, item, effect, rev).
const OPEN: &str = "SELECT w.resource_seq AS resource_seq, CAST(0 AS BIGINT) AS item_seq, w.need AS effect, w.rev AS rev \
     FROM work w WHERE w.hold_seq = $1 AND w.state = 'held' \
     UNION ALL SELECT m.group_seq, m.user_seq, 'remove_member', COALESCE(m.op_seq, 0) FROM member m WHERE m.hold_seq = $1 AND m.held = 1 AND m.state = 'todo'";
/// What a decided hold held.
const DECIDED: &str = "SELECT resource_seq, item_seq, effect, rev FROM hold_item WHERE hold_seq = $1";

/// The list of a hold in that state.
fn items_of(state: &str) -> &'static str {
    if state == "open" { OPEN } else { DECIDED }
}

/// The hash of a hold's list, which a decision names: over its items in order, each with its revision.
pub(crate) async fn list_hash(conn: &impl Sql, hold: i64, state: &str) -> Result<(String, usize), StoreError> {
    let text = format!(
        "SELECT resource_seq, item_seq, effect, rev FROM ({}) i ORDER BY resource_seq, item_seq",
        items_of(state)
    );
    let rows = conn.all(&text, vals![hold]).await?;
    let mut hash = Sha256::new();
    for row in &rows {
        let (resource, item, rev): (i64, i64, i64) = (row.at(0)?, row.at(1)?, row.at(3)?);
        hash.update(format!("{resource}:{item}:{}:{rev}\n", row.at::<String>(2)?));
    }
    let digest = hash.finalize();
    Ok((digest.iter().map(|byte| format!("{byte:02x}")).collect(), rows.len()))
}

/// How many items a hold has, by effect.
pub(crate) async fn count(store: &Store, hold: i64, state: &str) -> Result<Value, StoreError> {
    let text = format!("SELECT effect, COUNT(*) AS n FROM ({}) i GROUP BY effect", items_of(state));
    let (mut total, mut counts) = (0, serde_json::Map::new());
    for row in store.reader().all(&text, vals![hold]).await? {
        let n: i64 = row.col("n")?;
        total += n;
        counts.insert(row.col("effect")?, json!(n));
    }
    counts.insert("total".into(), json!(total));
    Ok(Value::Object(counts))
}

const HOLD: &str = "SELECT h.seq, h.id, h.state, h.opened_at, h.remind_at, h.reminders, h.decided_by, h.decided_at, h.comment, h.why, \
     i.id AS instance_id, i.name AS instance_name, i.seq AS instance_seq, i.deleted_at FROM hold h JOIN instance i ON i.seq = h.instance_seq";

fn no_hold() -> AdminError {
    AdminError::NotFound("There is no such hold.".to_owned())
}

impl App {
    /// The holds before row `before`, newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_holds(&self, state: Option<&str>, before: i64, limit: i64) -> Result<Slice, StoreError> {
        self.list_holds_of(None, state, before, limit).await
    }

    /// The same, of one instance.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_holds_of(
        &self,
        instance: Option<&Instance>,
        state: Option<&str>,
        before: i64,
        limit: i64,
    ) -> Result<Slice, StoreError> {
        let condition = if state.is_some() { "h.state = $3" } else { "$3 = ''" };
        let whose = if instance.is_some() { "h.instance_seq = $4" } else { "$4 = 0" };
        let text = format!("{HOLD} WHERE h.seq < $1 AND {condition} AND {whose} ORDER BY h.seq DESC LIMIT $2");
        let seq = instance.map_or(0, |instance| instance.seq);
        let rows = self.store.reader().all(&text, vals![before, limit + 1, state.unwrap_or_default(), seq]).await?;
        let size = usize::try_from(limit).unwrap_or(0);
        let mut items = Vec::with_capacity(rows.len().min(size));
        let mut last = None;
        for row in rows.iter().take(size) {
            items.push(self.outline(row).await?);
            last = Some(row.col("seq")?);
        }
        Ok(Slice { items, next: last.filter(|_| rows.len() > size) })
    }

    /// How many holds wait for a decision.
    ///
    /// # Errors
    /// The store's.
    pub async fn count_open_holds(&self) -> Result<i64, StoreError> {
        let row = self.store.reader().one("SELECT COUNT(*) AS n FROM hold WHERE state = 'open'", vals![]).await?;
        row.map_or(Ok(0), |row| row.col("n"))
    }

    /// One hold with a page of its items, those behind `after` (resource, item), and the place of the
    /// last of them if there are more.
    ///
    /// # Errors
    /// No such hold; the store's.
    pub async fn hold(
        &self,
        id: &str,
        after: (i64, i64),
        limit: i64,
    ) -> Result<(Value, Option<(i64, i64)>), AdminError> {
        let reader = self.store.reader();
        let row = reader.one(&format!("{HOLD} WHERE h.id = $1"), vals![id]).await?.ok_or_else(no_hold)?;
        let (seq, state): (i64, String) = (row.col("seq")?, row.col("state")?);
        let mut shown = self.outline(&row).await?;
        shown["list_hash"] = json!(list_hash(reader, seq, &state).await?.0);
        let (items, next) = self.items_of(seq, &state, after, limit).await?;
        shown["items"] = items.into();
        Ok((shown, next))
    }

    /// A page of the list of a hold, as [`App::hold`] has it, without the hold.
    ///
    /// # Errors
    /// No such hold; the store's.
    pub async fn hold_items(
        &self,
        id: &str,
        after: (i64, i64),
        limit: i64,
    ) -> Result<(Vec<Value>, Option<(i64, i64)>), AdminError> {
        let row = self.store.reader().one("SELECT seq, state FROM hold WHERE id = $1", vals![id]).await?;
        let row = row.ok_or_else(no_hold)?;
        Ok(self.items_of(row.col("seq")?, &row.col::<String>("state")?, after, limit).await?)
    }

    async fn items_of(
        &self,
        hold: i64,
        state: &str,
        after: (i64, i64),
        limit: i64,
    ) -> Result<(Vec<Value>, Option<(i64, i64)>), StoreError> {
        let text = format!(
            "SELECT i.resource_seq, i.item_seq, i.effect, r.id, r.kind, r.name, r.deleted_at, u.id AS person_id, u.name AS person_name, \
             o.id AS operation_id, o.actor, o.key_name, o.at, \
             CASE WHEN i.effect = 'delete_group' THEN (SELECT COUNT(*) FROM member m WHERE m.group_seq = i.resource_seq AND m.have IN (1,2)) ELSE 1 END AS people \
             FROM ({}) i JOIN resource r ON r.seq = i.resource_seq LEFT JOIN resource u ON u.seq = i.item_seq \
             LEFT JOIN operation o ON o.seq = CASE WHEN i.item_seq = 0 THEN \
               (SELECT MAX(p.seq) FROM operation p WHERE p.resource_seq = i.resource_seq AND p.rev <= i.rev) ELSE i.rev END \
             WHERE i.resource_seq > $2 OR (i.resource_seq = $2 AND i.item_seq > $3) ORDER BY i.resource_seq, i.item_seq LIMIT $4",
            items_of(state)
        );
        let rows = self.store.reader().all(&text, vals![hold, after.0, after.1, limit + 1]).await?;
        let size = usize::try_from(limit).unwrap_or(0);
        let page = rows.get(..size.min(rows.len())).unwrap_or_default();
        let items = page.iter().map(item).collect::<Result<Vec<Value>, _>>()?;
        let next = match (rows.len() > size, page.last()) {
            (true, Some(last)) => Some((last.col("resource_seq")?, last.col("item_seq")?)),
            _ => None,
        };
        Ok((items, next))
    }

    /// Allows or discards a hold, if its list is the one that the hash names.
    ///
    /// # Errors
    /// No such hold; it is decided already, or its list is another (conflict); the store's.
    pub async fn decide_hold(
        &self,
        actor: &str,
        id: &str,
        allow: bool,
        list_hash: &str,
        comment: Option<String>,
    ) -> Result<Value, AdminError> {
        if comment.as_ref().is_some_and(|text| text.len() > MAX_COMMENT) {
            return Err(AdminError::invalid("comment", format!("must have at most {MAX_COMMENT} bytes")));
        }
        let decide = Decide {
            actor: actor.to_owned(),
            id: id.to_owned(),
            allow,
            list_hash: Some(list_hash.to_owned()),
            comment,
        };
        let decided = self.store.write(Priority::Request, decide).await?;
        // What is left if this process dies now is released by whoever keeps the house.
        if let Some(instance) = self.instances.by_seq(decided.instance).await? {
            loop {
                let release = Release { hold: decided.seq, instance: instance.clone(), allow };
                if self.store.write(Priority::Driver, release).await? == 0 {
                    break;
                }
            }
            self.driver.wake_for(&instance);
        }
        self.driver.wake();
        let (shown, _) = self.hold(id, (i64::MAX, i64::MAX), 0).await?;
        Ok(shown)
    }

    /// A hold without its list, and without the hash of it: that is over every item.
    async fn outline(&self, row: &QueryResult) -> Result<Value, StoreError> {
        let (seq, state): (i64, String) = (row.col("seq")?, row.col("state")?);
        let opened: i64 = row.col("opened_at")?;
        let mut why: Value = serde_json::from_str(&row.col::<String>("why")?).unwrap_or_default();
        if let Some(group) = why["group"].as_i64() {
            let named = self.store.reader().one("SELECT id, name FROM resource WHERE seq = $1", vals![group]).await?;
            why["group"] = match named {
                Some(row) => json!({"id": row.col::<String>("id")?, "name": row.col::<String>("name")?}),
                None => Value::Null,
            };
        }
        let open = state == "open";
        let expires = match self.instances.by_seq(row.col("instance_seq")?).await? {
            Some(instance) if open => instance.policy.brake.limits().and_then(|limits| limits.timeout()),
            _ => None,
        };
        Ok(json!({
            "id": row.col::<String>("id")?,
            "instance": {"id": row.col::<String>("instance_id")?, "name": row.col::<String>("instance_name")?},
            "state": state,
            "why": why,
            "count": count(&self.store, seq, &state).await?,
            "opened_at": time(opened),
            "reminders": row.col::<i64>("reminders")?,
            "remind_at": open.then(|| row.col("remind_at").map(time)).transpose()?,
            "allowed_at": expires.map(|after| time(opened.saturating_add(after))),
            "decided_by": row.col::<Option<String>>("decided_by")?,
            "decided_at": row.col::<Option<i64>>("decided_at")?.map(time),
            "comment": row.col::<Option<String>>("comment")?,
        }))
    }
}

fn item(row: &QueryResult) -> Result<Value, StoreError> {
    let (id, name): (String, String) = (row.col("id")?, row.col("name")?);
    let resource = json!({"id": id, "name": name, "deleted": row.col::<Option<i64>>("deleted_at")?.is_some()});
    let (person, group) = match (row.col::<String>("kind")?.as_str(), row.col::<Option<String>>("person_id")?) {
        ("Group", Some(person)) => (json!({"id": person, "name": row.col::<Option<String>>("person_name")?}), resource),
        ("Group", None) => (Value::Null, resource),
        _ => (resource, Value::Null),
    };
    let operation = match row.col::<Option<String>>("operation_id")? {
        Some(id) => {
            json!({"id": id, "actor": row.col::<Option<String>>("actor")?, "key_name": row.col::<Option<String>>("key_name")?, "at": row.col::<Option<i64>>("at")?.map(time)})
        }
        None => Value::Null,
    };
    Ok(json!({
        "effect": row.col::<String>("effect")?,
        "person": person,
        "group": group,
        "people": row.col::<i64>("people")?,
        "operation": operation,
    }))
}
