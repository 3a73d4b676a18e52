//! The rows that every accepted change writes: operation, work, totals, indexed attributes.

use engine::Lane;
use scim::Document;
use scim::fold::fold_text;
use scim::patch::Changed;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::service::events;
use crate::service::types::{Caller, Instance};
use crate::store::{Hint, Rows, Sql, StoreError, Tx};
use crate::telemetry::names;

/// Totals are spread over so many rows, so that replicas don't queue for one.
const SHARDS: i64 = 8;

/// An operation about to be recorded.
pub(crate) struct Record<'a> {
    /// Whose.
    pub(crate) instance: &'a Instance,
    /// The resource.
    pub(crate) resource_seq: i64,
    /// Who asked.
    pub(crate) caller: &'a Caller,
    /// `create`, `replace`, `patch`, `delete`, `adopt`.
    pub(crate) verb: &'static str,
    /// The intent it is.
    pub(crate) rev: i64,
    /// What changes, as `[{path, to}]`.
    pub(crate) changes: Value,
    /// Leniencies used.
    pub(crate) quirks: Vec<&'static str>,
    /// Facts to bring to the target.
    pub(crate) items: i64,
}

impl Record<'_> {
    /// Writes it; its row. One without items is applied at once.
    pub(crate) async fn write(self, tx: &Tx<'_>) -> Result<i64, StoreError> {
        let seq = tx.seq()?;
        let (state, closed) = if self.items == 0 { ("applied", Some(tx.now)) } else { ("open", None) };
        tx.conn
            .run(
                "INSERT INTO operation (seq, id, instance_seq, resource_seq, cause_seq, actor, request_id, verb, rev, changes, quirks, state, \
                 items, open_items, failed_items, parked_items, superseded_items, reason, at, closed_at, dialect, key_name, source) \
                 VALUES ($1,$2,$3,$4,NULL,$5,$6,$7,$8,$9,$10,$11,$12,$12,0,0,0,NULL,$13,$14,$15,(SELECT name FROM api_key WHERE key_id = $16),$17)",
                vals![
                    seq,
                    format!("op_{}", Uuid::now_v7().simple()),
                    self.instance.seq,
                    self.resource_seq,
                    self.caller.actor.as_str(),
                    self.caller.request_id.clone(),
                    self.verb,
                    self.rev,
                    self.changes.to_string(),
                    json!(self.quirks).to_string(),
                    state,
                    self.items,
                    tx.now,
                    closed,
                    self.caller.spoken.record(),
                    self.caller.actor.strip_prefix("key:").unwrap_or_default(),
                    self.caller.source(),
                ],
            )
            .await?;
        if closed.is_some() {
            closed_as("applied", 0);
        }
        Ok(seq)
    }
}

/// Counts an operation that ended, and how long it took. A transaction that the database asks to repeat counts twice:
/// these are figures for a graph, the record is what counts.
fn closed_as(outcome: &'static str, micros: i64) {
    metrics::counter!(names::OPERATIONS_CLOSED_TOTAL, "outcome" => outcome).increment(1);
    if outcome == "applied" {
        let took = std::time::Duration::from_micros(u64::try_from(micros).unwrap_or(0));
        metrics::histogram!(names::OPERATION_SECONDS).record(took.as_secs_f64());
    }
}

/// `[{path, to}]` of attribute changes. Values are kept: the record answers "what was asked"; they
/// go when the person's data is erased.
pub(crate) fn changes_of(changed: &[Changed]) -> Vec<Value> {
    changed.iter().map(|change| json!({"path": change.path, "to": change.after})).collect()
}

/// How items of an operation ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    /// At the target.
    pub(crate) applied: i64,
    /// Refused.
    pub(crate) failed: i64,
    /// Waiting without being open: memberships of people who are not there yet.
    pub(crate) parked: i64,
    /// Overwritten by a later change before they were sent.
    pub(crate) superseded: i64,
    /// Given up by an admin's decision.
    pub(crate) withdrawn: i64,
}

/// Takes ended items off an operation and closes it with the last one. An operation that is closed,
/// or gone, is left alone.
pub(crate) async fn close_operation_items(
    tx: &Tx<'_>,
    operation: i64,
    ends: Ends,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    let ended = ends.applied + ends.failed + ends.parked + ends.superseded + ends.withdrawn;
    if ended == 0 {
        return Ok(());
    }
    let left = "(CASE WHEN open_items > $2 THEN open_items - $2 ELSE 0 END)";
    let row = tx
        .conn
        .one(
            &format!(
                "UPDATE operation SET open_items = {left}, failed_items = failed_items + $3, parked_items = parked_items + $4, \
                 superseded_items = superseded_items + $5, withdrawn_items = withdrawn_items + $8, reason = COALESCE($6, reason), \
                 state = CASE WHEN {left} > 0 THEN 'open' WHEN failed_items + $3 > 0 THEN 'failed' \
                   WHEN withdrawn_items + $8 > 0 THEN 'withdrawn' \
                   WHEN superseded_items + $5 >= items THEN 'superseded' ELSE 'applied' END, \
                 closed_at = CASE WHEN {left} > 0 THEN NULL ELSE $7 END \
                 WHERE seq = $1 AND state = 'open' RETURNING state, answer_later, at"
            ),
            vals![operation, ended, ends.failed, ends.parked, ends.superseded, reason.map(str::to_owned), tx.now, ends.withdrawn],
        )
        .await?;
    let Some(row) = row else { return Ok(()) };
    let outcome = match row.col::<String>("state")?.as_str() {
        "open" => return Ok(()),
        "failed" => "failed",
        "superseded" => "superseded",
        "withdrawn" => "withdrawn",
        _ => "applied",
    };
    closed_as(outcome, tx.now - row.col::<i64>("at")?);
    if row.col::<i16>("answer_later")? == 1 { events::answered(tx, operation).await } else { Ok(()) }
}

/// Makes sure that work for a resource is waiting: one row per resource, the best lane kept, one
/// that runs kept running (it finds the new revision when it ends), any other due at once, also one
/// that was held or needed a person (DECISIONS 10). `hold_seq` stays: what is in an open hold stays
/// with it if it is still a loss, and what was allowed is not asked about twice.
///
/// This is [`engine::coalesce::upsert`] as one statement, so that nobody reads before they write; a
/// test plays the same changes through both and holds the two together.
pub(crate) async fn upsert_work(
    tx: &Tx<'_>,
    instance: &Instance,
    resource_seq: i64,
    lane: Lane,
    rev: i64,
    after: Option<i64>,
) -> Result<(), StoreError> {
    let lane = instance.queue.lane(lane);
    instance.queue.added(lane);
    tx.conn
        .run(
            "INSERT INTO work (resource_seq, instance_seq, driver_key, lane, rev, state, due_at, need, reason, hold_seq, after_seq, \
             claim_rev, claim_epoch, tries, since) VALUES ($1,$2,COALESCE((SELECT i.driver_key FROM instance i WHERE i.seq = $2), $3),$4,$5,'todo',$6,NULL,NULL,NULL,$7,NULL,NULL,0,$6) \
             ON CONFLICT (resource_seq) DO UPDATE SET \
             driver_key = excluded.driver_key, \
             lane = CASE WHEN excluded.lane < work.lane THEN excluded.lane ELSE work.lane END, \
             rev = CASE WHEN excluded.rev > work.rev THEN excluded.rev ELSE work.rev END, \
             state = CASE WHEN work.state = 'running' THEN 'running' ELSE 'todo' END, \
             due_at = CASE WHEN work.state = 'running' THEN work.due_at ELSE excluded.due_at END, \
             need = NULL, reason = NULL, \
             after_seq = COALESCE(excluded.after_seq, work.after_seq), tries = 0, looks = 0, panics = 0",
            vals![resource_seq, instance.seq, instance.driver_key.as_str(), lane.number(), rev, tx.now, after],
        )
        .await?;
    tx.hint(Hint::Work(instance.driver_key.as_str().to_owned()));
    Ok(())
}

/// Adds to the total that lists show.
pub(crate) async fn tally(
    tx: &Tx<'_>,
    instance_seq: i64,
    kind: &str,
    resource_seq: i64,
    by: i64,
) -> Result<(), StoreError> {
    tx.conn
        .run(
            "INSERT INTO tally (instance_seq, kind, shard, n) VALUES ($1,$2,$3,$4) \
             ON CONFLICT (instance_seq, kind, shard) DO UPDATE SET n = tally.n + excluded.n",
            vals![instance_seq, kind, i16::try_from(resource_seq % SHARDS).unwrap_or(0), by],
        )
        .await?;
    Ok(())
}

/// Writes the indexed attributes of a document: the e-mail addresses and the display name.
pub(crate) async fn index(
    tx: &Tx<'_>,
    instance_seq: i64,
    resource_seq: i64,
    document: &Document,
) -> Result<(), StoreError> {
    let emails = document.get("emails").and_then(Value::as_array).into_iter().flatten();
    let emails = emails.filter_map(|email| email.get("value").and_then(Value::as_str));
    let mut keys: Vec<(&str, String)> = emails.map(|email| ("emails.value", fold_text(email))).collect();
    keys.extend(document.get("displayName").and_then(Value::as_str).map(|name| ("displayName", fold_text(name))));
    keys.sort();
    keys.dedup();
    for (path, key) in keys {
        tx.conn
            .run(
                "INSERT INTO attr (instance_seq, path, value_key, resource_seq) VALUES ($1,$2,$3,$4) ON CONFLICT DO NOTHING",
                vals![instance_seq, path, key, resource_seq],
            )
            .await?;
    }
    Ok(())
}

/// Takes the indexed attributes of a resource away.
pub(crate) async fn unindex(tx: &Tx<'_>, resource_seq: i64) -> Result<(), StoreError> {
    tx.conn.run("DELETE FROM attr WHERE resource_seq = $1", vals![resource_seq]).await?;
    Ok(())
}

/// Whether the account behind a resource may not lose access: it is the credential's own or the
/// last owner, as the target says, or the policy lists it.
pub(crate) async fn is_protected(
    tx: &Tx<'_>,
    instance: &Instance,
    resource_seq: i64,
    name: &str,
) -> Result<bool, StoreError> {
    let row = tx
        .conn
        .one(
            "SELECT a.protected, a.login_key, a.email_key FROM link l JOIN account a ON a.seq = l.account_seq \
             WHERE l.resource_seq = $1 AND l.state = 'live'",
            vals![resource_seq],
        )
        .await?;
    let listed =
        |candidate: &str| instance.policy.protected.iter().any(|entry| fold_text(entry) == fold_text(candidate));
    let Some(row) = row else {
        return Ok(listed(name));
    };
    let login: Option<String> = row.col("login_key")?;
    let email: Option<String> = row.col("email_key")?;
    Ok(row.col::<i16>("protected")? == 1
        || listed(name)
        || login.as_deref().is_some_and(listed)
        || email.as_deref().is_some_and(listed))
}
