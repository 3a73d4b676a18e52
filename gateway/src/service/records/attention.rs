//! What needs a person, over all instances: the leavers who still have access first, then by age. Like causes are one
//! item with a count: twelve people without a seat are one thing to do.

use std::collections::HashMap;

use connector_sdk::DriverKey;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{App, label, time};
use crate::service::desk::overdue;
use crate::service::types::Mode;
use crate::store::{Rows, Sql, StoreError};

/// After so long a deprovision that is not settled needs somebody (R5), in microseconds.
const LATE: i64 = 5 * 60 * 1_000_000;
/// Keys that end within this time are told of, in microseconds.
const ENDS_SOON: i64 = 14 * 24 * 3_600 * 1_000_000;
/// Items of one sort that are read at most.
const MOST: i64 = 200;

/// One thing that needs a person.
struct Item {
    /// Lower goes first.
    rank: u8,
    since: i64,
    shown: Value,
}

impl App {
    /// What needs a person, most urgent first.
    ///
    /// # Errors
    /// The store's.
    pub async fn attention(&self) -> Result<Vec<Value>, StoreError> {
        let now = self.clock.micros();
        let mut items = Vec::new();
        self.attend_stuck(now, &mut items).await?;
        self.attend_tasks(now, &mut items).await?;
        self.attend_held(&mut items).await?;
        self.attend_failed_runs(&mut items).await?;
        self.attend_ending_keys(now, &mut items).await?;
        self.attend_vanished(&mut items).await?;
        let down: HashMap<DriverKey, Timestamp> = self.driver.opened_since().into_iter().collect();
        for instance in self.instances.all().await? {
            if let Some(since) = down.get(&instance.driver_key).filter(|_| instance.mode == Mode::Enabled) {
                items.push(Item {
                    rank: 1,
                    since: since.as_microsecond(),
                    shown: json!({
                        "kind": "target", "code": "unavailable", "count": 1,
                        "message": "The target does not answer. What was accepted waits and goes out once it does; it is tried again by itself.",
                        "instance": {"id": instance.id, "name": instance.name},
                        "act": {"method": "POST", "href": format!("/admin/v1/instances/{}/probe", instance.id)},
                    }),
                });
            }
            if let Err(why) = &instance.connector {
                items.push(Item {
                    rank: 1,
                    since: instance.created_at,
                    shown: json!({
                        "kind": "connector", "code": "connector", "message": why, "count": 1,
                        "instance": {"id": instance.id, "name": instance.name},
                        "act": {"method": "PATCH", "href": format!("/admin/v1/instances/{}", instance.id)},
                    }),
                });
            }
        }
        items.sort_by_key(|item| (item.rank, item.since));
        Ok(items
            .into_iter()
            .map(|item| {
                let mut shown = item.shown;
                shown["since"] = json!(time(item.since));
                shown["age_seconds"] = json!((now - item.since).max(0) / 1_000_000);
                shown
            })
            .collect())
    }

    /// Work that needs somebody, and leavers who wait for too long whatever the reason, by instance and cause.
    async fn attend_stuck(&self, now: i64, items: &mut Vec<Item>) -> Result<(), StoreError> {
        let rows = self
            .store
            .reader()
            .all(
                "SELECT g.instance_seq, g.code, g.leaving, g.n, g.since, r.id, r.kind, r.name, w.reason, w.state, i.id AS instance_id, i.name AS instance_name, i.mode, \
                 (SELECT o.id FROM operation o WHERE o.resource_seq = r.seq AND o.state = 'open' ORDER BY o.seq DESC LIMIT 1) AS operation_id \
                 FROM (SELECT instance_seq, COALESCE(need, state) AS code, CASE WHEN lane = 0 THEN 1 ELSE 0 END AS leaving, CAST(COUNT(*) AS BIGINT) AS n, \
                   MIN(since) AS since, MIN(resource_seq) AS example FROM work WHERE state = 'needs' OR (lane = 0 AND state <> 'held' AND NOT (state = 'waiting' AND need = 'person') AND since < $1) \
                   GROUP BY instance_seq, COALESCE(need, state), CASE WHEN lane = 0 THEN 1 ELSE 0 END) g \
                 JOIN instance i ON i.seq = g.instance_seq LEFT JOIN work w ON w.resource_seq = g.example LEFT JOIN resource r ON r.seq = g.example \
                 ORDER BY g.leaving DESC, g.since LIMIT $2",
                vals![now - LATE, MOST],
            )
            .await?;
        for row in &rows {
            let code: String = row.col("code")?;
            let leaving = i64::from(row.col::<i32>("leaving")?) == 1;
            let instance: String = row.col("instance_id")?;
            let kind = match code.as_str() {
                "credential" | "permission" => "credential",
                _ if leaving => "deprovision",
                _ => "needs",
            };
            let paused = row.col::<String>("mode")? == "paused";
            let message = row.col::<Option<String>>("reason")?.unwrap_or_else(|| {
                if paused {
                    "The instance is paused: nothing is sent.".to_owned()
                } else {
                    "It waits for its turn.".to_owned()
                }
            });
            let mut example =
                json!({"id": row.col::<Option<String>>("id")?, "kind": row.col::<Option<String>>("kind")?});
            if let (Some(kind), Some(name)) = (row.col::<Option<String>>("kind")?, row.col::<Option<String>>("name")?) {
                example[label(&kind)] = json!(name);
            }
            let act = match (kind, row.col::<Option<String>>("operation_id")?) {
                ("credential", _) => json!({"method": "PATCH", "href": format!("/admin/v1/instances/{instance}")}),
                (_, Some(operation)) => {
                    json!({"method": "POST", "href": format!("/admin/v1/operations/{operation}/retry")})
                }
                _ => json!({"method": "GET", "href": format!("/admin/v1/instances/{instance}/work?state=needs")}),
            };
            items.push(Item {
                rank: match (leaving, kind) {
                    (true, _) => 0,
                    (_, "credential") => 1,
                    _ => 3,
                },
                since: row.col("since")?,
                shown: json!({
                    "kind": kind, "code": code, "state": row.col::<Option<String>>("state")?, "message": message, "count": row.col::<i64>("n")?, "deprovision": leaving,
                    "instance": {"id": instance, "name": row.col::<String>("instance_name")?}, "example": example, "act": act,
                }),
            });
        }
        Ok(())
    }

    /// Tasks that nobody did in time. Who should have lost access by one of them is a leaver like any other.
    async fn attend_tasks(&self, now: i64, items: &mut Vec<Item>) -> Result<(), StoreError> {
        for late in overdue(self.store.reader(), now).await? {
            let leaving = late.removals > 0;
            let some = if late.tasks == 1 { "A task is".to_owned() } else { format!("{} tasks are", late.tasks) };
            let removals = match late.removals {
                0 => String::new(),
                1 => " Somebody keeps access by one of them.".to_owned(),
                count => format!(" Access is kept by {count} of them."),
            };
            items.push(Item {
                rank: if leaving { 0 } else { 3 },
                since: late.due,
                shown: json!({
                    "kind": "task", "code": "person", "message": format!("{some} overdue.{removals}"), "count": late.tasks, "deprovision": leaving,
                    "instance": {"id": late.id, "name": late.name},
                    "act": {"method": "GET", "href": format!("/admin/v1/tasks?overdue=true&instance={}", late.id)},
                }),
            });
        }
        Ok(())
    }

    /// Holds that nobody has decided on.
    async fn attend_held(&self, items: &mut Vec<Item>) -> Result<(), StoreError> {
        let rows = self
            .store
            .reader()
            .all(
                "SELECT h.id, h.opened_at, i.id AS instance_id, i.name AS instance_name, CAST((SELECT COUNT(*) FROM work w WHERE w.hold_seq = h.seq AND w.state = 'held') \
                 + (SELECT COUNT(*) FROM member m WHERE m.hold_seq = h.seq AND m.held = 1) AS BIGINT) AS n \
                 FROM hold h JOIN instance i ON i.seq = h.instance_seq WHERE h.state = 'open' ORDER BY h.opened_at LIMIT $1",
                vals![MOST],
            )
            .await?;
        for row in &rows {
            let id: String = row.col("id")?;
            items.push(Item {
                rank: 2,
                since: row.col("opened_at")?,
                shown: json!({
                    "kind": "hold", "code": "held", "message": "The brake holds changes until somebody allows or discards them.",
                    "count": row.col::<i64>("n")?, "hold": id,
                    "instance": {"id": row.col::<String>("instance_id")?, "name": row.col::<String>("instance_name")?},
                    "act": {"method": "GET", "href": format!("/admin/v1/holds/{id}")},
                }),
            });
        }
        Ok(())
    }

    /// Instances whose newest run failed.
    async fn attend_failed_runs(&self, items: &mut Vec<Item>) -> Result<(), StoreError> {
        let rows = self
            .store
            .reader()
            .all(
                "SELECT u.id, u.kind, u.error, u.started_at, u.ended_at, i.id AS instance_id, i.name AS instance_name FROM instance i \
                 JOIN run u ON u.seq = (SELECT MAX(seq) FROM run WHERE instance_seq = i.seq AND kind <> 'look') WHERE i.deleted_at IS NULL AND u.state = 'failed' LIMIT $1",
                vals![MOST],
            )
            .await?;
        for row in &rows {
            let instance: String = row.col("instance_id")?;
            let kind: String = row.col("kind")?;
            items.push(Item {
                rank: 4,
                since: row.col::<Option<i64>>("ended_at")?.unwrap_or(row.col("started_at")?),
                shown: json!({
                    "kind": "run", "code": kind, "message": row.col::<Option<String>>("error")?.unwrap_or_default(), "count": 1, "run": row.col::<String>("id")?,
                    "instance": {"id": instance, "name": row.col::<String>("instance_name")?},
                    "act": {"method": "POST", "href": format!("/admin/v1/instances/{instance}/{kind}")},
                }),
            });
        }
        Ok(())
    }

    /// Accounts that somebody removed at the target. They are not given back by themselves.
    async fn attend_vanished(&self, items: &mut Vec<Item>) -> Result<(), StoreError> {
        let rows = self
            .store
            .reader()
            .all(
                "SELECT g.n, g.since, r.id, r.kind, r.name, i.id AS instance_id, i.name AS instance_name FROM (SELECT d.instance_seq, CAST(COUNT(*) AS BIGINT) AS n, \
                 MIN(d.first_seen) AS since, MIN(d.resource_seq) AS example FROM drift d JOIN resource r ON r.seq = d.resource_seq \
                 LEFT JOIN link l ON l.resource_seq = r.seq AND l.state = 'live' LEFT JOIN work w ON w.resource_seq = r.seq \
                 WHERE d.class = 'vanished' AND d.item_seq = 0 AND d.action = 'report' AND l.seq IS NULL AND w.resource_seq IS NULL GROUP BY d.instance_seq) g \
                 JOIN instance i ON i.seq = g.instance_seq JOIN resource r ON r.seq = g.example WHERE i.deleted_at IS NULL ORDER BY g.since LIMIT $1",
                vals![MOST],
            )
            .await?;
        for row in &rows {
            let (instance, kind): (String, String) = (row.col("instance_id")?, row.col("kind")?);
            let mut example = json!({"id": row.col::<String>("id")?, "kind": kind});
            example[label(&kind)] = json!(row.col::<String>("name")?);
            items.push(Item {
                rank: 3,
                since: row.col("since")?,
                shown: json!({
                    "kind": "drift", "code": "vanished", "count": row.col::<i64>("n")?, "example": example,
                    "message": "Somebody removed them at the target. Repair the difference to give the access back, or dismiss it.",
                    "instance": {"id": instance, "name": row.col::<String>("instance_name")?},
                    "act": {"method": "GET", "href": format!("/admin/v1/instances/{instance}/drift?class=vanished")},
                }),
            });
        }
        Ok(())
    }

    /// Keys in use that end soon.
    async fn attend_ending_keys(&self, now: i64, items: &mut Vec<Item>) -> Result<(), StoreError> {
        let rows = self
            .store
            .reader()
            .all(
                "SELECT k.key_id, k.name, k.not_after, k.created_at, i.id AS instance_id, i.name AS instance_name FROM api_key k JOIN instance i ON i.seq = k.instance_seq \
                 WHERE i.deleted_at IS NULL AND k.not_after > $1 AND k.not_after < $2 AND k.last_used_at IS NOT NULL ORDER BY k.not_after LIMIT $3",
                vals![now, now + ENDS_SOON, MOST],
            )
            .await?;
        for row in &rows {
            let (instance, key): (String, String) = (row.col("instance_id")?, row.col("key_id")?);
            let (ends, made): (i64, i64) = (row.col("not_after")?, row.col("created_at")?);
            items.push(Item {
                rank: 5,
                // Since it was to be told of: a key that was made or cut short later, since then.
                since: (ends - ENDS_SOON).max(made).min(now),
                shown: json!({
                    "kind": "key", "code": "key_ends", "count": 1, "key": key, "ends_at": time(ends),
                    "message": format!("The key \"{}\" ends on {}.", row.col::<String>("name")?, time(ends)),
                    "instance": {"id": instance, "name": row.col::<String>("instance_name")?},
                    "act": {"method": "POST", "href": format!("/admin/v1/instances/{instance}/keys/{key}/rotate")},
                }),
            });
        }
        Ok(())
    }
}
