//! Looking for what an admin has to know of, telling it, and what follows from it by itself: a hold that
//! nobody decided in time where the policy says so, one that nothing is left in, and the rest of a
//! decision whose process died.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{HOUSEKEEPING, Shared, brake, lease};
use crate::service::alerts::{Arrived, Condition, Kind, Raise, Undelivered, headers, place};
use crate::service::desk;
use crate::service::holds::{self, Decide, Release};
use crate::service::records::AdminError;
use crate::store::{Priority, Rows, Sql, StoreError};
use crate::telemetry::names;

/// How often it is looked for what is wrong.
const LOOK: Duration = Duration::from_secs(5);
/// How often it is looked for messages to deliver.
const DELIVER: Duration = Duration::from_secs(1);
/// Looks between two clean-ups of what the brake counted.
const TIDY: u32 = 120;
/// After how long somebody who still has access is an alert, in microseconds.
const OVERDUE: i64 = 300_000_000;
/// After how long an open breaker is one.
const OUTAGE: i64 = 300_000_000;
/// Messages read at a time.
const BATCH: i64 = 64;

/// Looks until stopped, on every replica: what the store shows under [`HOUSEKEEPING`], what only this
/// replica knows (breakers) for the driver keys it drives.
pub(super) async fn watch(shared: Arc<Shared>, stop: CancellationToken) {
    let mut looks = 0_u32;
    while !stop.is_cancelled() {
        if let Some(held) = shared.held(HOUSEKEEPING) {
            if let Err(error) = keep_house(&shared, held.epoch, looks.is_multiple_of(TIDY)).await {
                tracing::warn!(%error, "alerts could not be looked for");
            }
            looks = looks.wrapping_add(1);
        }
        if let Err(error) = breakers(&shared).await {
            tracing::warn!(%error, "alerts of targets that are down could not be written");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = shared.clock.sleep(LOOK) => {}
        }
    }
}

async fn keep_house(shared: &Arc<Shared>, epoch: i64, tidy: bool) -> Result<(), StoreError> {
    overdue_holds(shared).await?;
    finish_decisions(shared).await?;
    let raise = Raise {
        conditions: conditions(shared).await?,
        kinds: Kind::ALL.into_iter().filter(|kind| *kind != Kind::BreakerOpen).collect(),
        instances: None,
    };
    raise_all(shared, HOUSEKEEPING, epoch, raise).await?;
    if tidy {
        shared.store.write(Priority::Background, brake::Tidy).await?;
    }
    Ok(())
}

async fn raise_all(shared: &Shared, name: &str, epoch: i64, raise: Raise) -> Result<(), StoreError> {
    if !raise.is_due(shared.store.reader(), shared.clock.micros()).await? {
        return Ok(());
    }
    let leased = lease::Leased { name: name.to_owned(), epoch, unit: raise };
    for told in shared.store.write(Priority::Driver, leased).await? {
        metrics::counter!(names::ALERTS_TOTAL, "kind" => told.kind.as_str()).increment(1);
        tracing::warn!(alert = told.kind.as_str(), instance = %told.instance, reminder = told.reminder, "alert");
    }
    Ok(())
}

/// Holds whose time is up, and holds that nothing is left in.
async fn overdue_holds(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let rows = shared
        .store
        .reader()
        .all("SELECT seq, id, instance_seq, opened_at FROM hold WHERE state = 'open' ORDER BY seq", vals![])
        .await?;
    for row in &rows {
        let (seq, id): (i64, String) = (row.col("seq")?, row.col("id")?);
        // Work that was written to meanwhile is asked about again, and may come back to it.
        let asked =
            shared.store.reader().one("SELECT 1 AS one FROM work WHERE hold_seq = $1 LIMIT 1", vals![seq]).await?;
        let empty = asked.is_none() && holds::count(&shared.store, seq, "open").await?["total"] == 0;
        let timeout = match shared.instances.by_seq(row.col("instance_seq")?).await? {
            Some(instance) => instance.policy.brake.limits().and_then(|limits| limits.timeout()),
            None => None,
        };
        let over = timeout
            .is_some_and(|after| row.col::<i64>("opened_at").is_ok_and(|at| at + after <= shared.clock.micros()));
        let (allow, actor, comment) = match (empty, over) {
            (true, _) => (false, "system", "Nothing is left in it: what it held was taken back."),
            (false, true) => (true, "timeout", "Nobody decided in time, and the policy is to allow it then."),
            (false, false) => continue,
        };
        let (hash, _) = holds::list_hash(shared.store.reader(), seq, "open").await?;
        let decide = Decide {
            actor: actor.to_owned(),
            id,
            allow,
            list_hash: empty.then_some(hash),
            comment: Some(comment.to_owned()),
        };
        match shared.store.write(Priority::Driver, decide).await {
            // Somebody decided it, or something was added, in the meantime.
            Ok(_) | Err(AdminError::Conflict(_)) => {}
            Err(AdminError::Store(error)) => return Err(error),
            Err(error) => tracing::warn!(%error, "a hold could not be decided"),
        }
    }
    Ok(())
}

/// Releases what decided holds still hold: the process that was at it died, or it was a time-out.
async fn finish_decisions(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let rows = shared
        .store
        .reader()
        .all(
            "SELECT h.seq, h.instance_seq, h.state FROM hold h WHERE h.state <> 'open' \
             AND (EXISTS (SELECT 1 FROM work w WHERE w.hold_seq = h.seq AND w.state = 'held') \
             OR EXISTS (SELECT 1 FROM member m WHERE m.hold_seq = h.seq AND m.held = 1))",
            vals![],
        )
        .await?;
    for row in &rows {
        let Some(instance) = shared.instances.by_seq(row.col("instance_seq")?).await? else { continue };
        let allow = row.col::<String>("state")? == "allowed";
        loop {
            let release = Release { hold: row.col("seq")?, instance: instance.clone(), allow };
            if shared.store.write(Priority::Driver, release).await? == 0 {
                break;
            }
        }
        shared.gauge(&instance.driver_key).ring();
    }
    Ok(())
}

/// What is wrong now, as the store shows it.
async fn conditions(shared: &Shared) -> Result<Vec<Condition>, StoreError> {
    let reader = shared.store.reader();
    let mut found = Vec::new();
    let holds = reader
        .all("SELECT seq, id, instance_seq, opened_at, why FROM hold WHERE state = 'open' ORDER BY seq", vals![])
        .await?;
    for row in &holds {
        let id: String = row.col("id")?;
        let why: Value = serde_json::from_str(&row.col::<String>("why")?).unwrap_or_default();
        let count = holds::count(&shared.store, row.col("seq")?, "open").await?;
        let limit = json!({"limit": why["limit"], "of": why["of"], "window_minutes": why["window_minutes"]});
        found.push(Condition {
            kind: Kind::HoldOpened,
            instance: row.col("instance_seq")?,
            data: json!({"hold": id, "count": count, "brake": limit}),
            subject: id,
            since: row.col("opened_at")?,
        });
    }
    // The lane stands in the text: only so does SQLite use the index of its rows.
    let lane = engine::Lane::Deprovision.number();
    let text = format!(
        "SELECT w.instance_seq, COUNT(*) AS n, MIN(w.since) AS since FROM work w JOIN instance i ON i.seq = w.instance_seq \
         WHERE w.lane = {lane} AND w.since < $1 AND w.state <> 'held' AND NOT (w.state = 'waiting' AND w.need = '{}') AND i.deleted_at IS NULL GROUP BY w.instance_seq",
        // A person who was asked has a time of their own: the task's.
        super::desk::PERSON
    );
    for row in &reader.all(&text, vals![shared.clock.micros() - OVERDUE]).await? {
        found.push(Condition {
            kind: Kind::DeprovisionOverdue,
            instance: row.col("instance_seq")?,
            subject: String::new(),
            since: row.col("since")?,
            data: json!({"people": row.col::<i64>("n")?}),
        });
    }
    for late in desk::overdue(reader, shared.clock.micros()).await? {
        found.push(Condition {
            kind: Kind::TaskOverdue,
            instance: late.instance,
            subject: String::new(),
            since: late.due,
            data: json!({"tasks": late.tasks, "removals": late.removals}),
        });
    }
    let needs = reader
        .all(
            "SELECT instance_seq, need, COUNT(*) AS n, MIN(since) AS since FROM work WHERE state = 'needs' GROUP BY instance_seq, need",
            vals![],
        )
        .await?;
    for row in &needs {
        let need = row.col::<Option<String>>("need")?.unwrap_or_default();
        let kind = if need == "credential" { Kind::CredentialDead } else { Kind::NeedsAppeared };
        found.push(Condition {
            kind,
            instance: row.col("instance_seq")?,
            data: json!({"need": need, "count": row.col::<i64>("n")?}),
            subject: need,
            since: row.col("since")?,
        });
    }
    let runs = reader
        .all(
            "SELECT r.id, r.kind, r.instance_seq, r.ended_at FROM instance i JOIN run r ON r.seq = \
             (SELECT MAX(s.seq) FROM run s WHERE s.instance_seq = i.seq AND s.state <> 'running' AND s.kind <> 'look') \
             WHERE i.deleted_at IS NULL AND i.mode IN ('enabled','rehearse') AND r.state = 'failed'",
            vals![],
        )
        .await?;
    for row in &runs {
        found.push(Condition {
            kind: Kind::RunFailed,
            instance: row.col("instance_seq")?,
            subject: String::new(),
            since: row.col::<Option<i64>>("ended_at")?.unwrap_or_default(),
            data: json!({"run": row.col::<String>("id")?, "kind": row.col::<String>("kind")?}),
        });
    }
    Ok(found)
}

/// Targets whose breaker has been open for minutes, of the driver keys that this replica drives.
async fn breakers(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let driven: HashMap<String, i64> = shared
        .tenures()
        .iter()
        .filter(|(name, tenure)| name.starts_with("key:") && !tenure.stop.is_cancelled())
        .map(|(name, tenure)| (name.clone(), tenure.held.epoch))
        .collect();
    if driven.is_empty() {
        return Ok(());
    }
    let mut by_lease: HashMap<String, (Vec<i64>, Vec<Condition>)> = HashMap::new();
    for instance in shared.instances.all_enabled().await? {
        let name = lease::name_of(&instance.driver_key);
        if !driven.contains_key(&name) {
            continue;
        }
        let (instances, conditions) = by_lease.entry(name).or_default();
        instances.push(instance.seq);
        let since = shared.budgets.known(&instance.driver_key).and_then(|budget| budget.opened_since());
        if let Some(since) = since.map(|since| since.as_microsecond())
            && since + OUTAGE <= shared.clock.micros()
        {
            conditions.push(Condition {
                kind: Kind::BreakerOpen,
                instance: instance.seq,
                subject: String::new(),
                since,
                data: json!({}),
            });
        }
    }
    for (name, (instances, conditions)) in by_lease {
        let raise = Raise { conditions, kinds: vec![Kind::BreakerOpen], instances: Some(instances) };
        if let Some(epoch) = driven.get(&name) {
            raise_all(shared, &name, *epoch, raise).await?;
        }
    }
    Ok(())
}

/// Delivers messages until stopped, under the lease [`HOUSEKEEPING`] of that epoch. What is on its way
/// then is sent again by the next holder, under the same id.
pub(super) async fn deliver(shared: Arc<Shared>, stop: CancellationToken, epoch: i64) {
    while !stop.is_cancelled() {
        let delivery = async {
            if let Err(error) = deliver_due(&shared, epoch).await {
                tracing::warn!(%error, "alerts could not be delivered");
            }
            shared.clock.sleep(DELIVER).await;
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = delivery => {}
        }
    }
}

/// A message that is due, with its webhook.
struct Due {
    seq: i64,
    id: String,
    webhook: i64,
    webhook_id: String,
    url: String,
    sealed: String,
    body: String,
    tries: i64,
}

async fn deliver_due(shared: &Arc<Shared>, epoch: i64) -> Result<(), StoreError> {
    let rows = shared
        .store
        .reader()
        .all(
            "SELECT m.seq, m.id, m.body, m.tries, w.seq AS webhook, w.id AS webhook_id, w.url, w.secret_sealed FROM alert_message m \
             JOIN alert_webhook w ON w.seq = m.webhook_seq WHERE m.due_at <= $1 AND w.disabled_at IS NULL ORDER BY m.due_at, m.seq LIMIT $2",
            vals![shared.clock.micros(), BATCH],
        )
        .await?;
    let mut lines: HashMap<i64, Vec<Due>> = HashMap::new();
    for row in &rows {
        let due = Due {
            seq: row.col("seq")?,
            id: row.col("id")?,
            webhook: row.col("webhook")?,
            webhook_id: row.col("webhook_id")?,
            url: row.col("url")?,
            sealed: row.col("secret_sealed")?,
            body: row.col("body")?,
            tries: row.col("tries")?,
        };
        lines.entry(due.webhook).or_default().push(due);
    }
    let sent = join_all(lines.into_values().map(|line| deliver_line(shared, line, epoch))).await;
    sent.into_iter().collect()
}

/// One webhook's messages, one after the other; a failure leaves the rest for the next look.
async fn deliver_line(shared: &Shared, line: Vec<Due>, epoch: i64) -> Result<(), StoreError> {
    for due in line {
        if !shared.may_call(HOUSEKEEPING, epoch) {
            return Ok(());
        }
        let answer = match shared.events.open(&place(&due.webhook_id), &due.sealed) {
            Ok(secret) => {
                let headers = headers(&secret, &due.id, shared.clock.now().as_second(), &due.body);
                shared.http.deliver(&due.url, "url", headers, due.body).await
            }
            Err(words) => Err(words),
        };
        let (words, asked, gone) = match answer {
            Ok(receipt) if receipt.status.is_success() => {
                shared.store.write(Priority::Driver, Arrived { message: due.seq, webhook: due.webhook }).await?;
                continue;
            }
            Ok(receipt) => {
                let asked = receipt.headers.get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
                let asked = asked.and_then(|text| text.trim().parse::<i64>().ok()).unwrap_or(0).clamp(0, 86_400);
                let words =
                    format!("The receiver answered {}; 2xx is the answer to an alert that was taken.", receipt.status);
                (words, asked * 1_000_000, receipt.status == http::StatusCode::GONE)
            }
            Err(words) => (words, 0, false),
        };
        let undelivered = Undelivered {
            message: due.seq,
            webhook: due.webhook,
            tries: due.tries,
            words,
            asked,
            dice: rand::random(),
            gone,
        };
        return shared.store.write(Priority::Driver, undelivered).await;
    }
    Ok(())
}
