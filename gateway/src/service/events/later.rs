//! Requests that are answered 202 and completed by an event (RFC 9967 section 2.5.1).
//!
//! The request is remembered with its operation; whatever closes the operation writes the completion in the same
//! transaction. What the target refuses for good is taken back as it would be while a client waits, by the process
//! that drives.

use async_trait::async_trait;
use scim::ScimError;
use scim::event::{Event, Response};
use serde_json::{Value, json};

use super::super::accept::{Retract, Revert};
use super::super::instances::Instances;
use super::{About, COLUMNS, lines_of, put, resource_type, stored, subject_of, tag};
use crate::service::types::{Caller, Instance, Stored};
use crate::store::{Rows, Sql, Store, StoreError, Tx, Unit};

/// Refused requests looked at in one round.
const ROUND: i64 = 50;

/// Remembers an asynchronous request, or completes it at once if there is nothing to wait for.
pub(super) async fn begin(
    tx: &Tx<'_>,
    instance: &Instance,
    caller: &Caller,
    operation: Option<i64>,
    after: &Stored,
    before: Option<&Stored>,
) -> Result<(), StoreError> {
    let Some(later) = &caller.later else { return Ok(()) };
    let rt = resource_type(instance, &after.kind)?;
    let location = format!("{}/{}/{}", later.base, rt.endpoint, after.id);
    let subject = subject_of(rt, after);
    let Some(operation) = operation else {
        // Nothing changed, so there is nothing that could fail.
        let response = Response {
            method: later.method.to_owned(),
            bulk_id: None,
            location: Some(location),
            version: Some(tag(after.version)),
            outcome: Ok(200),
        };
        return tell(tx, instance.seq, after.seq, &subject, &later.txn, &response).await;
    };
    // What a refusal brings back. Somebody's leaving stays wanted, and so does a deletion.
    let before = before
        .filter(|before| later.method != "DELETE" && before.managed && (after.active || !before.active))
        .map(|before| json!({"doc": before.doc, "name": before.name, "active": before.active}).to_string());
    tx.conn
        .run(
            "INSERT INTO async_request (operation_seq, instance_seq, resource_seq, txn, method, location, subject, before, refused_as) \
             VALUES ($1,$2,$3,$4,$5,$6,$7,$8,NULL)",
            vals![
                operation,
                instance.seq,
                after.seq,
                later.txn.as_str(),
                later.method,
                location,
                subject.to_string(),
                before
            ],
        )
        .await?;
    let row =
        tx.conn.one("UPDATE operation SET answer_later = 1 WHERE seq = $1 RETURNING state", vals![operation]).await?;
    match row {
        Some(row) if row.col::<String>("state")? != "open" => answered(tx, operation).await,
        _ => Ok(()),
    }
}

/// An operation that somebody waits for is closed: its completion is told.
pub(crate) async fn answered(tx: &Tx<'_>, operation: i64) -> Result<(), StoreError> {
    let row = tx
        .conn
        .one(
            "SELECT a.instance_seq, a.resource_seq, a.txn, a.method, a.location, a.subject, a.refused_as, o.state, o.reason, r.version \
             FROM async_request a JOIN operation o ON o.seq = a.operation_seq JOIN resource r ON r.seq = a.resource_seq WHERE a.operation_seq = $1",
            vals![operation],
        )
        .await?;
    let Some(row) = row else { return Ok(()) };
    let method: String = row.col("method")?;
    let location: String = row.col("location")?;
    let failed = row.col::<String>("state")? == "failed";
    let response = if failed {
        let detail = row
            .col::<Option<String>>("reason")?
            .unwrap_or_else(|| "The target refused a part of the request.".to_owned());
        let error = match row.col::<Option<String>>("refused_as")?.as_deref() {
            Some("uniqueness") => ScimError::uniqueness(detail),
            _ => ScimError::invalid_value(detail),
        };
        let location = (method != "POST").then_some(location);
        Response { method, bulk_id: None, location, version: None, outcome: Err(error) }
    } else {
        let status = match method.as_str() {
            "POST" => 201,
            "DELETE" => 204,
            _ => 200,
        };
        let version = if status == 204 { None } else { Some(tag(row.col("version")?)) };
        Response { method, bulk_id: None, location: Some(location), version, outcome: Ok(status) }
    };
    let subject: Value = serde_json::from_str(&row.col::<String>("subject")?).unwrap_or_default();
    let (instance, resource) = (row.col("instance_seq")?, row.col("resource_seq")?);
    tell(tx, instance, resource, &subject, &row.col::<String>("txn")?, &response).await?;
    tx.conn.run("DELETE FROM async_request WHERE operation_seq = $1", vals![operation]).await?;
    Ok(())
}

async fn tell(
    tx: &Tx<'_>,
    instance: i64,
    resource: i64,
    subject: &Value,
    txn: &str,
    response: &Response,
) -> Result<(), StoreError> {
    let about = About { resource, subject, txn };
    for line in lines_of(tx, instance).await? {
        put(tx, &line, &about, vec![Event::response(response)]).await?;
    }
    Ok(())
}

/// Takes a refused asynchronous request back, so that it ends as it would have with a client that waits.
pub(crate) struct TakeBack {
    instance: std::sync::Arc<Instance>,
    operation: i64,
    resource: i64,
    rev: i64,
    creates: bool,
    before: Option<Value>,
    kind: &'static str,
    reason: String,
}

impl TakeBack {
    /// Those that stand refused.
    pub(crate) async fn all(store: &Store, instances: &Instances) -> Result<Vec<Self>, StoreError> {
        let rows = store
            .reader()
            .all(
                "SELECT a.operation_seq, a.instance_seq, a.resource_seq, a.method, a.before, o.rev, w.need, w.reason FROM async_request a \
                 JOIN operation o ON o.seq = a.operation_seq JOIN work w ON w.resource_seq = a.resource_seq \
                 WHERE a.refused_as IS NULL AND o.state = 'open' AND w.state = 'needs' AND w.rev = o.rev \
                 AND w.need IN ('name_taken','conflict','adopt','refused','not_found') \
                 AND (a.method = 'POST' OR a.before IS NOT NULL) ORDER BY a.operation_seq LIMIT $1",
                vals![ROUND],
            )
            .await?;
        let mut all = Vec::with_capacity(rows.len());
        for row in &rows {
            let Some(instance) = instances.by_seq(row.col("instance_seq")?).await? else { continue };
            let need: String = row.col("need")?;
            let before: Option<String> = row.col("before")?;
            all.push(Self {
                instance,
                operation: row.col("operation_seq")?,
                resource: row.col("resource_seq")?,
                rev: row.col("rev")?,
                creates: row.col::<String>("method")? == "POST",
                before: before.and_then(|text| serde_json::from_str(&text).ok()),
                kind: if matches!(need.as_str(), "refused" | "not_found") { "invalidValue" } else { "uniqueness" },
                reason: row.col::<Option<String>>("reason")?.unwrap_or_default(),
            });
        }
        Ok(all)
    }

    /// Whose it is.
    pub(crate) fn instance(&self) -> &Instance {
        &self.instance
    }
}

#[async_trait]
impl Unit for TakeBack {
    /// Whether it was taken back; else something changed meanwhile, and the operation ends by that.
    type Out = bool;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<bool, StoreError> {
        let text = format!(
            "SELECT {COLUMNS} FROM resource r WHERE r.seq = $1 AND r.deleted_at IS NULL{}",
            tx.conn.for_update()
        );
        let item = tx.conn.one(&text, vals![self.resource]).await?.as_ref().map(stored).transpose()?;
        let Some(item) = item.filter(|item| item.rev == self.rev) else { return Ok(false) };
        tx.conn
            .run("UPDATE async_request SET refused_as = $2 WHERE operation_seq = $1", vals![self.operation, self.kind])
            .await?;
        let done = if self.creates {
            let mut unit = Retract { instance: self.instance.clone(), stored: item, reason: self.reason.clone() };
            unit.run(tx).await?
        } else {
            let Some(before) = self.before.as_ref().and_then(|saved| former(saved, &item)) else { return Ok(false) };
            let mut unit =
                Revert { instance: self.instance.clone(), before, rev: self.rev, reason: self.reason.clone() };
            unit.run(tx).await?
        };
        Ok(done)
    }
}

/// A resource as it was before the request.
fn former(saved: &Value, item: &Stored) -> Option<Stored> {
    Some(Stored {
        doc: saved["doc"].as_object()?.clone(),
        name: saved["name"].as_str()?.to_owned(),
        active: saved["active"].as_bool()?,
        managed: true,
        ..item.clone()
    })
}
