//! Attempts: what was or may have been sent. They are written down before the call, and ended with what
//! it answered.

use connector_sdk::{Effect, Fault, FaultKind};
use serde_json::Value;

use super::run::Subject;
use crate::service::types::Instance;
use crate::store::{Sql, StoreError, Tx};

/// Marks an attempt that repeats a call whose outcome was in doubt.
const DOUBT: &str = "doubt";

/// Marks a removal during which a grant came to the target: unless it succeeds, it stays in doubt.
pub(super) const GRANTED: &str = "granted";

/// An attempt to write down before it is sent.
pub(super) struct Attempted {
    pub(super) item: i64,
    pub(super) step: &'static str,
    pub(super) operation: Option<i64>,
    /// What a creation is sent with: should its answer be lost, it is looked for by this, whatever the
    /// resource is called by then. Of a member's grant, the account that it is sent to.
    pub(super) sent: Option<String>,
}

/// Writes attempts down before they are sent; their rows. A doubt about a call that may be repeated ends
/// with its repetition, if that succeeds.
pub(super) async fn begin_attempts(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    planned: Vec<Attempted>,
    epoch: i64,
) -> Result<Vec<i64>, StoreError> {
    let mut attempts = Vec::with_capacity(planned.len());
    for attempt in planned {
        let doubts = tx
            .conn
            .run(
                "UPDATE attempt SET state = 'resolved', sent = NULL WHERE resource_seq = $1 AND item_seq = $2 AND state = 'unknown'",
                vals![subject.seq, attempt.item],
            )
            .await?;
        let seq = tx.seq()?;
        tx.conn
            .run(
                "INSERT INTO attempt (seq, instance_seq, resource_seq, item_seq, op_seq, step, marker, epoch, config_rev, state, fault, calls, started_at, ended_at, sent) \
                 VALUES ($1,$2,$3,$4,$5,$6,$10,$7,$8,'sending',NULL,NULL,$9,NULL,$11)",
                vals![seq, instance.seq, subject.seq, attempt.item, attempt.operation, attempt.step, epoch, instance.config_rev, tx.now, (doubts > 0).then_some(DOUBT), attempt.sent],
            )
            .await?;
        attempts.push(seq);
    }
    Ok(attempts)
}

/// Ends attempts in flight, or records a read after the fact.
#[allow(clippy::too_many_arguments, reason = "one row's columns")]
pub(super) async fn end_attempts(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    attempts: &[i64],
    step: &'static str,
    fault: Option<&Fault>,
    calls: &Value,
    epoch: i64,
) -> Result<(), StoreError> {
    let state = attempt_state(fault);
    let text = fault.map(|fault| serde_json::to_string(fault).unwrap_or_default());
    if attempts.is_empty() {
        // A read was not written ahead. In doubt it leaves no doubt of its own.
        let state = if state == "unknown" { "not_sent" } else { state };
        tx.conn
            .run(
                "INSERT INTO attempt (seq, instance_seq, resource_seq, item_seq, op_seq, step, marker, epoch, config_rev, state, fault, calls, started_at, ended_at) \
                 VALUES ($1,$2,$3,0,NULL,$4,NULL,$5,$6,$7,$8,$9,$10,$10)",
                vals![tx.seq()?, instance.seq, subject.seq, step, epoch, instance.config_rev, state, text, calls.to_string(), tx.now],
            )
            .await?;
        return Ok(());
    }
    for attempt in attempts {
        end_attempt(tx, *attempt, fault, calls).await?;
    }
    Ok(())
}

/// Ends one attempt in flight. One that repeated a call in doubt and did not succeed leaves the doubt.
pub(super) async fn end_attempt(
    tx: &Tx<'_>,
    attempt: i64,
    fault: Option<&Fault>,
    calls: &Value,
) -> Result<(), StoreError> {
    let text = fault.map(|fault| serde_json::to_string(fault).unwrap_or_default());
    tx.conn
        .run(
            "UPDATE attempt SET state = CASE WHEN marker IN ($6, $7) AND $2 <> 'done' THEN 'unknown' ELSE $2 END, fault = $3, calls = $4, ended_at = $5, \
             sent = CASE WHEN $2 = 'unknown' OR (marker = $6 AND $2 <> 'done') THEN sent ELSE NULL END WHERE seq = $1",
            vals![attempt, attempt_state(fault), text, calls.to_string(), tx.now, DOUBT, GRANTED],
        )
        .await?;
    Ok(())
}

/// The state of an attempt that ended so.
pub(super) fn attempt_state(fault: Option<&Fault>) -> &'static str {
    match fault {
        None => "done",
        Some(fault) if fault.effect == Effect::Unknown => "unknown",
        Some(fault)
            if matches!(
                fault.kind,
                FaultKind::NotSent | FaultKind::RateLimited | FaultKind::Unavailable | FaultKind::Awaiting
            ) =>
        {
            "not_sent"
        }
        Some(_) => "refused",
    }
}
