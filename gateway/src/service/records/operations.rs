//! Operations: the list, light, and each one whole: who asked, what for, how it was understood, what was decided, called
//! and checked, and how it ended.

use std::collections::HashMap;

use scim::fold::fold_name;
use sea_orm::{QueryResult, Value as SqlValue};
use serde_json::{Value, json};

use super::why::attempt;
use super::{App, Slice, parsed, slice, time};
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError};

/// Attempts that are shown with one operation at most.
const MOST_ATTEMPTS: i64 = 200;
/// Resources whose name begins with the text of a filter at most.
const MOST_NAMES: i64 = 100;

/// Which operations to list.
#[derive(Clone, Debug, Default)]
pub struct OperationFilter {
    /// Only in this state.
    pub state: Option<String>,
    /// Only of the resource with this SCIM id or name.
    pub resource: Option<String>,
    /// Only accepted at or after, in microseconds.
    pub since: Option<i64>,
    /// Only accepted before, in microseconds.
    pub until: Option<i64>,
    /// Only of this verb: `create`, `replace`, `patch`, `delete`, `adopt`.
    pub verb: Option<String>,
    /// Only asked by this actor: `key:ID`, a key's id or name, `admin`.
    pub actor: Option<String>,
    /// Only with this id, of the request with this id, or of a person or group whose name begins so.
    pub text: Option<String>,
}

/// The columns of an operation, with those of its resource.
pub(super) const OPERATION: &str = "o.seq, o.id, o.actor, o.key_name, o.source, o.request_id, o.verb, o.changes, o.quirks, o.state, o.items, o.open_items, o.failed_items, \
     o.parked_items, o.superseded_items, o.withdrawn_items, o.reason, o.at, o.closed_at, o.dialect, r.id AS resource_id, r.kind AS resource_kind, r.name AS resource_name";

pub(super) fn operation(row: &QueryResult) -> Result<Value, StoreError> {
    let resource = match row.col::<Option<String>>("resource_id")? {
        None => Value::Null,
        Some(id) => {
            json!({"id": id, "kind": row.col::<Option<String>>("resource_kind")?, "name": row.col::<Option<String>>("resource_name")?})
        }
    };
    let dialect: Option<String> = row.col("dialect")?;
    let recognised = dialect.as_deref().and_then(|text| text.strip_prefix("auto:"));
    let (at, closed): (i64, Option<i64>) = (row.col("at")?, row.col("closed_at")?);
    Ok(json!({
        "id": row.col::<String>("id")?,
        "resource": resource,
        "verb": row.col::<String>("verb")?,
        "state": row.col::<String>("state")?,
        "actor": row.col::<String>("actor")?,
        "key_name": row.col::<Option<String>>("key_name")?,
        "source": row.col::<Option<String>>("source")?,
        "request_id": row.col::<Option<String>>("request_id")?,
        "changes": parsed(row.col("changes")?),
        "dialect": recognised.or(dialect.as_deref()),
        "dialect_by": dialect.as_ref().map(|_| if recognised.is_some() { "requests" } else { "policy" }),
        "quirks": parsed(row.col("quirks")?),
        "items": row.col::<i64>("items")?,
        "open": row.col::<i64>("open_items")?,
        "failed": row.col::<i64>("failed_items")?,
        "parked": row.col::<i64>("parked_items")?,
        "superseded": row.col::<i64>("superseded_items")?,
        "withdrawn": row.col::<i64>("withdrawn_items")?,
        "reason": row.col::<Option<String>>("reason")?,
        "at": time(at),
        "closed_at": closed.map(time),
        "took_ms": closed.map(|closed| (closed - at).max(0) / 1_000),
    }))
}

impl App {
    /// The operations of an instance before row `before`, newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_operations(
        &self,
        instance: &Instance,
        filter: &OperationFilter,
        before: i64,
        limit: i64,
    ) -> Result<Slice, StoreError> {
        let Some((pick, values)) = self.pick_operations(Some(instance), filter, before, limit + 1).await? else {
            return Ok(Slice { items: Vec::new(), next: None });
        };
        let text = format!(
            "SELECT {OPERATION} FROM ({pick}) p CROSS JOIN operation o LEFT JOIN resource r ON r.seq = o.resource_seq WHERE o.seq = p.seq ORDER BY o.seq DESC"
        );
        let rows = self.store.reader().all(&text, values).await?;
        slice(&rows, limit, operation)
    }

    /// The operations of all instances before row `before`, newest first, each with its instance. `resource` of the
    /// filter is not looked at: names are an instance's own.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_all_operations(
        &self,
        filter: &OperationFilter,
        before: i64,
        limit: i64,
    ) -> Result<Slice, StoreError> {
        let Some((pick, values)) = self.pick_operations(None, filter, before, limit + 1).await? else {
            return Ok(Slice { items: Vec::new(), next: None });
        };
        let text = format!(
            "SELECT {OPERATION}, i.id AS instance_id, i.name AS instance_name FROM ({pick}) p CROSS JOIN operation o JOIN instance i ON i.seq = o.instance_seq \
             LEFT JOIN resource r ON r.seq = o.resource_seq WHERE o.seq = p.seq ORDER BY o.seq DESC"
        );
        let rows = self.store.reader().all(&text, values).await?;
        slice(&rows, limit, |row| {
            let mut item = operation(row)?;
            item["instance"] = json!(row.col::<String>("instance_id")?);
            item["instance_name"] = json!(row.col::<String>("instance_name")?);
            Ok(item)
        })
    }

    /// A filter as a condition on `operation o`; none if nothing can fit.
    pub(super) async fn condition(
        &self,
        instance: &Instance,
        filter: &OperationFilter,
    ) -> Result<Option<(String, Vec<SqlValue>)>, StoreError> {
        let mut text = "o.instance_seq = $1".to_owned();
        let mut values = vals![instance.seq];
        narrow(filter, &mut text, &mut values);
        if let Some(resource) = &filter.resource {
            let seqs = self.find_resources(instance, resource).await?;
            if seqs.is_empty() {
                return Ok(None);
            }
            text.push_str(&format!(" AND o.resource_seq IN ({})", listed(&seqs)));
        }
        if let Some(word) = &filter.text {
            let seqs = self.named_so(instance, word).await?;
            one_of(word, &seqs, &mut text, &mut values);
        }
        Ok(Some((text, values)))
    }

    /// People and groups, deleted ones too, whose name begins with a text.
    pub(super) async fn named_so(&self, instance: &Instance, text: &str) -> Result<Vec<i64>, StoreError> {
        self.begun_so("= $1", instance.seq, text).await
    }

    /// The same, of every instance.
    pub(super) async fn named_anywhere(&self, text: &str) -> Result<Vec<i64>, StoreError> {
        self.begun_so("IN (SELECT seq FROM instance WHERE deleted_at IS NULL AND seq >= $1)", 0, text).await
    }

    async fn begun_so(&self, whose: &str, instance: i64, text: &str) -> Result<Vec<i64>, StoreError> {
        let from = fold_name(text);
        let to = format!("{from}{}", char::MAX);
        let text = format!(
            "SELECT seq FROM resource WHERE instance_seq {whose} AND kind IN ('User','Group') AND name_key >= $2 AND name_key < $3 AND deleted_at IS NULL \
             UNION ALL SELECT seq FROM resource WHERE instance_seq {whose} AND kind IN ('User','Group') AND name_key >= $2 AND name_key < $3 AND deleted_at IS NOT NULL \
             LIMIT $4"
        );
        let rows = self.store.reader().all(&text, vals![instance, from, to, MOST_NAMES]).await?;
        rows.iter().map(|row| row.col("seq")).collect()
    }

    /// One operation by its id, whole: with the attempts that were made for it and what followed.
    ///
    /// # Errors
    /// The store's.
    pub async fn operation(&self, id: &str) -> Result<Option<Value>, StoreError> {
        Ok(self.operations_whole(&[id.to_owned()]).await?.pop())
    }

    /// Operations by their ids, each whole, newest first; those that are not known are left out. Two statements, however
    /// many they are.
    ///
    /// # Errors
    /// The store's.
    pub async fn operations_whole(&self, ids: &[String]) -> Result<Vec<Value>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let reader = self.store.reader();
        let text = format!(
            "SELECT {OPERATION}, i.id AS instance_id, i.name AS instance_name, c.id AS cause_id, \
             CASE WHEN o.superseded_items > 0 THEN (SELECT x.id FROM operation x WHERE x.resource_seq = o.resource_seq AND x.seq > o.seq ORDER BY x.seq LIMIT 1) END AS later_id, \
             w.state AS work_state, w.lane AS work_lane, w.due_at AS work_due, w.need AS work_need, w.reason AS work_reason, w.tries AS work_tries, w.since AS work_since, \
             h.id AS hold_id, h.opened_at AS held_at FROM operation o \
             LEFT JOIN resource r ON r.seq = o.resource_seq LEFT JOIN instance i ON i.seq = o.instance_seq LEFT JOIN operation c ON c.seq = o.cause_seq \
             LEFT JOIN work w ON w.resource_seq = o.resource_seq AND o.state = 'open' LEFT JOIN hold h ON h.seq = w.hold_seq AND w.state = 'held' \
             WHERE o.id IN {} ORDER BY o.seq DESC",
            reader.each(1)
        );
        let rows = reader.all(&text, vals![json!(ids).to_string()]).await?;
        let seqs: Vec<i64> = rows.iter().map(|row| row.col("seq")).collect::<Result<_, _>>()?;
        let mut attempts = self.attempts_of(&seqs).await?;
        let mut whole = Vec::with_capacity(rows.len());
        for (row, seq) in rows.iter().zip(seqs) {
            let (sent, looks) = attempts.remove(&seq).unwrap_or_default();
            let mut item = operation(row)?;
            item["instance"] = json!(row.col::<Option<String>>("instance_id")?);
            item["instance_name"] = json!(row.col::<Option<String>>("instance_name")?);
            item["decision"] = decision(row, &sent)?;
            item["attempts"] = Value::Array(sent);
            item["verification"] = Value::Array(looks);
            item["cause"] = json!(row.col::<Option<String>>("cause_id")?);
            whole.push(item);
        }
        Ok(whole)
    }

    /// What was sent for operations, oldest first, and the looks at the target beside it, by the operation's row. What a
    /// later change of the same resource sent is among them while the operation was open: changes are brought to the target
    /// together.
    async fn attempts_of(&self, operations: &[i64]) -> Result<HashMap<i64, (Vec<Value>, Vec<Value>)>, StoreError> {
        let mut found: HashMap<i64, (Vec<Value>, Vec<Value>)> = HashMap::new();
        if operations.is_empty() {
            return Ok(found);
        }
        // Chosen by their numbers first: what is shown of an attempt is long, and a large group's change has many.
        let text = format!(
            "WITH beside AS MATERIALIZED (SELECT seq, resource_seq, op_seq, started_at FROM attempt WHERE item_seq = 0 \
             AND resource_seq IN (SELECT resource_seq FROM operation WHERE seq IN ({of}))) \
             SELECT t.*, u.id AS item_id, u.name AS item_name, f.id AS for_id, s.of_seq FROM ( \
             SELECT x.of_seq, x.seq, ROW_NUMBER() OVER (PARTITION BY x.of_seq ORDER BY x.seq) AS nth FROM ( \
             SELECT a.op_seq AS of_seq, a.seq FROM attempt a WHERE a.op_seq IN ({of}) \
             UNION ALL SELECT o.seq, b.seq FROM operation o JOIN beside b ON b.resource_seq = o.resource_seq AND (b.op_seq IS NULL OR b.op_seq <> o.seq) \
             AND b.started_at >= o.at AND (o.closed_at IS NULL OR b.started_at <= o.closed_at) WHERE o.seq IN ({of})) x) s \
             JOIN attempt t ON t.seq = s.seq LEFT JOIN resource u ON u.seq = t.item_seq AND t.item_seq > 0 LEFT JOIN operation f ON f.seq = t.op_seq \
             WHERE s.nth <= $1 ORDER BY s.of_seq, s.seq",
            of = listed(operations)
        );
        for row in &self.store.reader().all(&text, vals![MOST_ATTEMPTS]).await? {
            let mut item = attempt(row)?;
            if let Some(id) = row.col::<Option<String>>("item_id")? {
                item["member"] = json!({"id": id, "userName": row.col::<Option<String>>("item_name")?});
            }
            let of: i64 = row.col("of_seq")?;
            let (sent, looks) = found.entry(of).or_default();
            match row.col::<Option<i64>>("op_seq")? {
                None => looks.push(item),
                Some(own) => {
                    if own != of {
                        item["sent_for"] = json!(row.col::<Option<String>>("for_id")?);
                    }
                    sent.push(item);
                }
            }
        }
        Ok(found)
    }
}

/// What was decided: the steps that were taken, what the work of the resource waits for, and what took the place of an
/// operation that was superseded.
fn decision(row: &QueryResult, attempts: &[Value]) -> Result<Value, StoreError> {
    let mut steps: Vec<&str> = Vec::new();
    for step in attempts.iter().filter_map(|attempt| attempt["step"].as_str()) {
        if !steps.contains(&step) {
            steps.push(step);
        }
    }
    let work = match row.col::<Option<String>>("work_state")? {
        None => Value::Null,
        Some(state) => json!({
            "state": state,
            "lane": engine::Lane::from_number(row.col("work_lane")?),
            "due_at": time(row.col("work_due")?),
            "need": row.col::<Option<String>>("work_need")?,
            "reason": row.col::<Option<String>>("work_reason")?,
            "tries": row.col::<i64>("work_tries")?,
            "since": time(row.col("work_since")?),
            "hold": row.col::<Option<String>>("hold_id")?,
            "held_at": row.col::<Option<i64>>("held_at")?.map(time),
        }),
    };
    Ok(json!({"steps": steps, "work": work, "superseded_by": row.col::<Option<String>>("later_id")?}))
}

/// Adds what of a filter is about the operation itself.
pub(super) fn narrow(filter: &OperationFilter, text: &mut String, values: &mut Vec<SqlValue>) {
    let mut also = |condition: &str, value: SqlValue| {
        values.push(value);
        text.push_str(" AND ");
        text.push_str(&condition.replace('?', &format!("${}", values.len())));
    };
    if let Some(state) = &filter.state {
        // Said in the text as well, so that the index of those that did not come through serves.
        also(
            if state == "applied" { "o.state = ?" } else { "o.state <> 'applied' AND o.state = ?" },
            state.as_str().into(),
        );
    }
    if let Some(since) = filter.since {
        also("o.at >= ?", since.into());
    }
    if let Some(until) = filter.until {
        also("o.at < ?", until.into());
    }
    if let Some(verb) = &filter.verb {
        also("o.verb = ?", verb.as_str().into());
    }
    if let Some(actor) = &filter.actor {
        also("(o.actor = ? OR o.actor = 'key:' || ? OR o.key_name = ?)", actor.as_str().into());
    }
}

/// Adds that an operation has this id, is of the request with this id, or of one of these resources.
fn one_of(word: &str, seqs: &[i64], text: &mut String, values: &mut Vec<SqlValue>) {
    values.push(word.into());
    let place = values.len();
    let also = if seqs.is_empty() { String::new() } else { format!(" OR o.resource_seq IN ({})", listed(seqs)) };
    text.push_str(&format!(" AND (o.id = ${place} OR o.request_id = ${place}{also})"));
}

/// Numbers of our own, which may stand in a statement's text.
pub(super) fn listed(seqs: &[i64]) -> String {
    seqs.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
}
