//! The record, as admins read it: people and groups with where they stand, operations, work, the
//! chain of causes of one resource, and what admins did.

use std::collections::HashMap;

use scim::fold::fold_name;
use sea_orm::{QueryResult, Value as SqlValue};
use serde_json::{Map, Value, json};

use super::App;
use super::directory::time;
use super::types::{Instance, MemberEntry};
use crate::store::{FromStore, Rows, Sql, StoreError, Tx};

mod activity;
mod attention;
mod browse;
mod dismiss;
mod erase;
mod export;
mod glance;
mod links;
mod live;
mod operations;
#[cfg(test)]
mod order_tests;
mod outcome;
mod pick;
mod purge;
mod rejected;
mod retry;
mod said;
mod search;
mod standing;
mod status;
mod story;
mod stranger;
#[cfg(test)]
mod tests;
mod why;

pub use activity::Span;
pub use browse::Browse;
pub use export::{Audited, Chunk, Exported, Place};
pub use glance::Glance;
pub use live::{Seen, Watch};
pub use operations::OperationFilter;
pub(crate) use purge::keep_time;
pub(crate) use rejected::shape;
pub use rejected::{Refusal, Refusals};
pub use stranger::{Kept, Stranger};

/// Why an act of an admin fails.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Input that cannot be used.
    #[error("{field}: {message}")]
    Invalid {
        /// The field, with dots.
        field: String,
        /// What is wrong and what it may be.
        message: String,
    },
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The state of things forbids it; says what to do.
    #[error("{0}")]
    Conflict(String),
    /// A manifest that cannot be used: everything that is wrong with it.
    #[error("the manifest cannot be used: {}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Manifest(Vec<declarative::Problem>),
    /// The store's trouble.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AdminError {
    /// Input that cannot be used.
    pub(crate) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), message: message.into() }
    }
}

impl FromStore for AdminError {
    fn store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

/// Records what an admin did, in the transaction that does it. `detail` holds no secret.
pub(crate) async fn audit(tx: &Tx<'_>, actor: &str, act: &str, target: &str, detail: &Value) -> Result<(), StoreError> {
    tx.conn
        .run(
            "INSERT INTO audit (seq, actor, act, target, detail, at) VALUES ($1,$2,$3,$4,$5,$6)",
            vals![tx.seq()?, actor, act, target, detail.to_string(), tx.now],
        )
        .await?;
    Ok(())
}

/// A page of a list: items, and behind which row the next page begins.
#[derive(Debug)]
pub struct Slice {
    /// The items.
    pub items: Vec<Value>,
    /// Where the next page begins; none at the end.
    pub next: Option<i64>,
}

/// Cuts rows, of which one more than `limit` was asked for, into a page.
pub(crate) fn slice(
    rows: &[QueryResult],
    limit: i64,
    item: impl Fn(&QueryResult) -> Result<Value, StoreError>,
) -> Result<Slice, StoreError> {
    let size = usize::try_from(limit).unwrap_or(0);
    let shown = rows.get(..size.min(rows.len())).unwrap_or_default();
    let next = match (rows.len() > size, shown.last()) {
        (true, Some(last)) => Some(last.col("seq")?),
        _ => None,
    };
    Ok(Slice { items: shown.iter().map(item).collect::<Result<_, _>>()?, next })
}

/// JSON of a column; a text that is none stays a text.
fn parsed(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// The live link of a resource, from the columns of its account.
fn link(row: &QueryResult) -> Result<Value, StoreError> {
    let Some(status) = row.col::<Option<String>>("status")? else {
        return Ok(Value::Null);
    };
    let doc: Value = row.col::<Option<String>>("account_doc")?.map(parsed).unwrap_or_default();
    let mut link = Map::new();
    link.insert("status".into(), json!(status));
    if let Some(id) = row.col::<Option<String>>("remote_id")? {
        link.insert("remote_id".into(), json!(id));
    }
    for (name, column) in [("login", "login_key"), ("email", "email_key")] {
        let shown = doc.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(text) = shown.or(row.col(column)?) {
            link.insert(name.into(), json!(text));
        }
    }
    Ok(Value::Object(link))
}

/// `sync`, `drift` and `reason`, from the columns of a resource's work.
fn sync(row: &QueryResult, managed: bool, item: &mut Map<String, Value>) -> Result<(), StoreError> {
    let state: Option<String> = row.col("work_state")?;
    let waived: Option<String> = row.col("waived")?;
    let differs: Option<String> = row.col("differs")?;
    let settled = match (managed, &waived) {
        (false, _) => "unmanaged",
        (true, Some(_)) => "waived",
        (true, None) if differs.is_some() => "drifted",
        (true, None) => "settled",
    };
    if let Some(class) = &differs {
        item.insert("drift".into(), json!(class));
    }
    item.insert("sync".into(), json!(state.as_deref().unwrap_or(settled)));
    if let Some(reason) = row.col::<Option<String>>("work_reason")?.or(row.col("work_need")?).or(waived) {
        item.insert("reason".into(), json!(reason));
    }
    Ok(())
}

/// The class of what differs at the target, of `resource r` with `account a`. A comparison is as old as it is: who has an account
/// again since is not missing, and who has none any more differs in nothing else. Of several the last by name is told. The
/// class is made a text of its own (`|| ''`), or SQLite would walk the index of classes for the largest, for each row anew.
const DIFFERS: &str = "(SELECT MAX(d.class || '') FROM drift d WHERE d.instance_seq = r.instance_seq AND d.resource_seq = r.seq AND d.item_seq = 0 AND d.action = 'report' AND d.class <> 'unmanaged' \
     AND (d.class IN ('missing','vanished')) = (COALESCE(a.status, 'gone') = 'gone')) AS differs";
/// The columns of a resource with its link and work, behind [`DIFFERS`].
const STANDING: &str = "r.seq, r.id, r.kind, r.name, r.active, r.managed, r.external_id, r.deleted_at, a.status, a.remote_id, a.login_key, a.email_key, \
     a.doc AS account_doc, w.state AS work_state, w.need AS work_need, w.reason AS work_reason, v.why AS waived \
     FROM resource r LEFT JOIN link l ON l.resource_seq = r.seq AND l.state = 'live' \
     LEFT JOIN account a ON a.seq = l.account_seq LEFT JOIN work w ON w.resource_seq = r.seq \
     LEFT JOIN waiver v ON v.resource_seq = r.seq AND v.item_seq = 0 AND v.rev = r.rev";

/// People and groups of an instance by SCIM id, then by name, then deleted ones. Each is asked for by itself: of an OR, SQLite
/// would read the whole instance.
const CALLED: &str = "SELECT seq FROM (SELECT seq, 0 AS place FROM resource WHERE id = $2 AND instance_seq = $1 \
     UNION ALL SELECT seq, 1 AS place FROM resource WHERE instance_seq = $1 AND kind IN ('User','Group') AND name_key = $3 AND deleted_at IS NULL AND id <> $2 \
     UNION ALL SELECT seq, 2 AS place FROM resource WHERE instance_seq = $1 AND kind IN ('User','Group') AND name_key = $3 AND deleted_at IS NOT NULL AND id <> $2) found \
     ORDER BY place, seq DESC LIMIT 100";
/// Living people, likewise.
const PEOPLE_CALLED: &str = "SELECT seq FROM (SELECT seq, 0 AS place FROM resource WHERE id = $2 AND instance_seq = $1 AND kind = 'User' AND deleted_at IS NULL \
     UNION ALL SELECT seq, 1 AS place FROM resource WHERE instance_seq = $1 AND kind = 'User' AND name_key = $3 AND deleted_at IS NULL AND id <> $2) found \
     ORDER BY place, seq DESC LIMIT 2";
/// What one member did before a row, newest first.
const DID: &str =
    "SELECT seq, actor, act, target, detail, at FROM audit WHERE seq < $1 AND actor = $3 ORDER BY seq DESC LIMIT $2";

/// Under which word a resource's name is shown.
fn label(kind: &str) -> &'static str {
    match kind {
        "User" => "userName",
        "Group" => "displayName",
        _ => "name",
    }
}

fn standing(row: &QueryResult) -> Result<Map<String, Value>, StoreError> {
    let user = row.col::<String>("kind")? == "User";
    let managed = row.col::<i16>("managed")? == 1;
    let mut item = Map::new();
    item.insert("id".into(), json!(row.col::<String>("id")?));
    item.insert(label(&row.col::<String>("kind")?).into(), json!(row.col::<String>("name")?));
    if user {
        item.insert("active".into(), json!(row.col::<i16>("active")? == 1));
    }
    item.insert("managed".into(), json!(managed));
    item.insert("externalId".into(), json!(row.col::<Option<String>>("external_id")?));
    item.insert("link".into(), link(row)?);
    sync(row, managed, &mut item)?;
    Ok(item)
}

impl App {
    /// The users of an instance behind row `after`, oldest first, with where each stands.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_users(&self, instance: &Instance, after: i64, limit: i64) -> Result<Slice, StoreError> {
        let rows = self.standing_rows(instance, "User", after, limit).await?;
        slice(&rows, limit, |row| Ok(Value::Object(standing(row)?)))
    }

    /// The groups of an instance behind row `after`, oldest first, with where each stands.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_groups(&self, instance: &Instance, after: i64, limit: i64) -> Result<Slice, StoreError> {
        let rows = self.standing_rows(instance, "Group", after, limit).await?;
        let seqs: Vec<i64> = rows.iter().map(|row| row.col("seq")).collect::<Result<_, _>>()?;
        let mut counts: HashMap<i64, Value> = HashMap::new();
        if !seqs.is_empty() {
            let text = format!(
                "SELECT group_seq, CAST(SUM(CASE WHEN want = 1 THEN 1 ELSE 0 END) AS BIGINT) AS wanted, \
                 CAST(SUM(CASE WHEN want = 1 AND state = 'settled' THEN 1 ELSE 0 END) AS BIGINT) AS settled, \
                 CAST(SUM(CASE WHEN want = 1 AND state = 'parked' THEN 1 ELSE 0 END) AS BIGINT) AS parked \
                 FROM member WHERE group_seq IN ({}) GROUP BY group_seq",
                places(seqs.len())
            );
            for row in self.store.reader().all(&text, seqs.iter().map(|seq| SqlValue::from(*seq)).collect()).await? {
                let count = json!({"wanted": row.col::<i64>("wanted")?, "settled": row.col::<i64>("settled")?, "parked": row.col::<i64>("parked")?});
                counts.insert(row.col("group_seq")?, count);
            }
        }
        slice(&rows, limit, |row| {
            let mut item = standing(row)?;
            let none = || json!({"wanted": 0, "settled": 0, "parked": 0});
            item.insert("members".into(), counts.get(&row.col("seq")?).cloned().unwrap_or_else(none));
            Ok(Value::Object(item))
        })
    }

    async fn standing_rows(
        &self,
        instance: &Instance,
        kind: &str,
        after: i64,
        limit: i64,
    ) -> Result<Vec<QueryResult>, StoreError> {
        let text = format!(
            "SELECT {DIFFERS}, {STANDING} WHERE r.instance_seq = $1 AND r.kind = $2 AND r.deleted_at IS NULL AND r.seq > $3 ORDER BY r.seq LIMIT $4"
        );
        self.store.reader().all(&text, vals![instance.seq, kind, after, limit + 1]).await
    }

    /// The work of an instance behind row `after`, by age of the resource.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_work(
        &self,
        instance: &Instance,
        state: Option<&str>,
        after: i64,
        limit: i64,
    ) -> Result<Slice, StoreError> {
        let condition = if state.is_some() { "w.state = $4" } else { "$4 = ''" };
        let text = format!(
            "SELECT w.resource_seq AS seq, w.state, w.lane, w.due_at, w.need, w.reason, w.tries, w.since, r.id, r.kind, r.name, r.deleted_at \
             FROM work w JOIN resource r ON r.seq = w.resource_seq WHERE w.instance_seq = $1 AND w.resource_seq > $2 AND {condition} ORDER BY w.resource_seq LIMIT $3"
        );
        let rows =
            self.store.reader().all(&text, vals![instance.seq, after, limit + 1, state.unwrap_or_default()]).await?;
        slice(&rows, limit, |row| {
            Ok(json!({
                "resource": {"id": row.col::<String>("id")?, "kind": row.col::<String>("kind")?, "name": row.col::<String>("name")?, "deleted": row.col::<Option<i64>>("deleted_at")?.is_some()},
                "state": row.col::<String>("state")?,
                "lane": engine::Lane::from_number(row.col("lane")?),
                "due_at": time(row.col("due_at")?),
                "need": row.col::<Option<String>>("need")?,
                "reason": row.col::<Option<String>>("reason")?,
                "tries": row.col::<i64>("tries")?,
                "since": time(row.col("since")?),
            }))
        })
    }

    /// What members did, before row `before`, newest first; all of them, or one.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_audit(&self, before: i64, limit: i64, actor: Option<&str>) -> Result<Slice, StoreError> {
        let everybody = "SELECT seq, actor, act, target, detail, at FROM audit WHERE seq < $1 AND $3 = '' ORDER BY seq DESC LIMIT $2";
        let text = if actor.is_some() { DID } else { everybody };
        let rows = self.store.reader().all(text, vals![before, limit + 1, actor.unwrap_or_default()]).await?;
        slice(&rows, limit, |row| {
            Ok(json!({
                "actor": row.col::<String>("actor")?,
                "act": row.col::<String>("act")?,
                "target": row.col::<String>("target")?,
                "detail": parsed(row.col("detail")?),
                "at": time(row.col("at")?),
            }))
        })
    }

    /// The rows of a SCIM id or name, the likeliest first: by id, then live ones, then newest.
    async fn find_resources(&self, instance: &Instance, word: &str) -> Result<Vec<i64>, StoreError> {
        let rows = self.store.reader().all(CALLED, vals![instance.seq, word, fold_name(word)]).await?;
        rows.iter().map(|row| row.col("seq")).collect()
    }

    /// The living people of a SCIM id or user name, the likeliest first.
    pub(crate) async fn people_called(&self, instance: &Instance, word: &str) -> Result<Vec<i64>, StoreError> {
        let rows = self.store.reader().all(PEOPLE_CALLED, vals![instance.seq, word, fold_name(word)]).await?;
        rows.iter().map(|row| row.col("seq")).collect()
    }

    /// Whether a group has more members than `many`.
    ///
    /// # Errors
    /// The store's.
    pub async fn has_more_members(&self, group_seq: i64, many: i64) -> Result<bool, StoreError> {
        let row = self
            .store
            .reader()
            .one(
                "SELECT user_seq FROM member WHERE group_seq = $1 AND want = 1 LIMIT 1 OFFSET $2",
                vals![group_seq, many],
            )
            .await?;
        Ok(row.is_some())
    }

    /// How many members a group has; one more than `most` stands for any number above it.
    ///
    /// # Errors
    /// The store's.
    pub async fn count_members(&self, group_seq: i64, most: i64) -> Result<i64, StoreError> {
        let text =
            "SELECT COUNT(*) AS n FROM (SELECT 1 AS one FROM member WHERE group_seq = $1 AND want = 1 LIMIT $2) m";
        let row = self.store.reader().one(text, vals![group_seq, most.max(0) + 1]).await?;
        row.map_or(Ok(0), |row| row.col("n"))
    }

    /// The members of several groups, by row of the group; none if there are more than `most` in
    /// all, so that one answer cannot fill the memory.
    ///
    /// # Errors
    /// The store's.
    pub async fn members_of_all(
        &self,
        group_seqs: &[i64],
        most: i64,
    ) -> Result<Option<HashMap<i64, Vec<MemberEntry>>>, StoreError> {
        let mut members: HashMap<i64, Vec<MemberEntry>> = HashMap::new();
        let mut left = most;
        for chunk in group_seqs.chunks(500) {
            let text = format!(
                "SELECT m.group_seq, u.id, u.name FROM member m JOIN resource u ON u.seq = m.user_seq \
                 WHERE m.group_seq IN ({}) AND m.want = 1 AND u.deleted_at IS NULL ORDER BY m.group_seq, m.user_seq LIMIT {}",
                places(chunk.len()),
                left + 1
            );
            let rows = self.store.reader().all(&text, chunk.iter().map(|seq| SqlValue::from(*seq)).collect()).await?;
            left -= i64::try_from(rows.len()).unwrap_or(i64::MAX);
            if left < 0 {
                return Ok(None);
            }
            for row in &rows {
                members
                    .entry(row.col("group_seq")?)
                    .or_default()
                    .push(MemberEntry { id: row.col("id")?, display: row.col("name")? });
            }
        }
        Ok(Some(members))
    }
}

/// `$1,$2,…`
fn places(n: usize) -> String {
    (1..=n).map(|place| format!("${place}")).collect::<Vec<_>>().join(",")
}
