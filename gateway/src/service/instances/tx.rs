//! The transactions of instances.

use std::sync::Arc;

use async_trait::async_trait;
use engine::Lane;
use serde_json::{Value, json};

use super::rotation::Rotation;
use super::schema::Redeclared;
use super::{AdminError, Instance, Mode, audit};
use crate::service::catalogue::still_there;
use crate::store::{Hint, Rows, Sql, StoreError, Tx, Unit};

/// A sealed credential.
#[derive(Clone)]
pub(super) struct Sealed {
    pub(super) field: String,
    pub(super) ciphertext: String,
    pub(super) kek: String,
}

async fn store_sealed(tx: &Tx<'_>, instance: i64, sealed: &[Sealed]) -> Result<(), StoreError> {
    for item in sealed {
        tx.conn
            .run(
                "INSERT INTO sealed (instance_seq, field, ciphertext, kek) VALUES ($1,$2,$3,$4) \
                 ON CONFLICT (instance_seq, field) DO UPDATE SET ciphertext = excluded.ciphertext, kek = excluded.kek",
                vals![instance, item.field.as_str(), item.ciphertext.as_str(), item.kek.as_str()],
            )
            .await?;
    }
    Ok(())
}

/// Makes an instance; its row.
pub(super) struct Insert {
    pub(super) actor: String,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) connector: String,
    /// The version of a connector that is a manifest.
    pub(super) version: Option<String>,
    pub(super) mode: Mode,
    pub(super) settings: Value,
    pub(super) policy: Value,
    pub(super) declared: Value,
    pub(super) driver_key: String,
    pub(super) sealed: Vec<Sealed>,
}

#[async_trait]
impl Unit for Insert {
    type Out = i64;
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<i64, AdminError> {
        if let Some(version) = &self.version {
            still_there(tx, &self.connector, version).await?;
        }
        let seq = tx.seq()?;
        tx.hint(Hint::Leases);
        tx.conn
            .run(
                "INSERT INTO instance (seq, id, name, connector, mode, settings, policy, config_rev, driver_key, created_at, deleted_at, declared, rehearsed, connector_version) \
                 VALUES ($1,$2,$3,$4,$5,$6,$7,1,$8,$9,NULL,$10,$11,$12)",
                vals![
                    seq,
                    self.id.as_str(),
                    self.name.as_str(),
                    self.connector.as_str(),
                    self.mode.as_str(),
                    self.settings.to_string(),
                    self.policy.to_string(),
                    self.driver_key.as_str(),
                    tx.now,
                    self.declared.to_string(),
                    i16::from(self.mode == Mode::Rehearse),
                    self.version.clone()
                ],
            )
            .await?;
        store_sealed(tx, seq, &self.sealed).await?;
        let detail =
            json!({"name": self.name, "connector": self.connector, "version": self.version, "mode": self.mode});
        audit(tx, &self.actor, "instance.create", &self.id, &detail).await?;
        Ok(seq)
    }
}

/// Whether an account is linked to an instance.
pub(super) const LINKED: &str = "SELECT 1 AS one FROM resource r JOIN link l ON l.resource_seq = r.seq WHERE r.instance_seq = $1 AND l.state = 'live' LIMIT 1";

/// What may not change once one is.
pub(super) fn linked(setting: &str) -> AdminError {
    AdminError::Conflict(format!(
        "{setting} says which target this instance is, and accounts of that target are linked to it already. Make a new instance for the other target."
    ))
}

/// Changes an instance.
pub(super) struct Update {
    pub(super) actor: String,
    pub(super) old: Arc<Instance>,
    pub(super) name: String,
    pub(super) mode: Mode,
    pub(super) settings: Value,
    pub(super) policy: Value,
    /// What it declares from now on, if that changes.
    pub(super) declared: Option<Redeclared>,
    /// Whether lists show unmanaged rows from now on, if that changes.
    pub(super) listed: Option<bool>,
    pub(super) driver_key: String,
    /// Changed settings that say which target it is.
    pub(super) identity: Vec<&'static str>,
    /// What became of the credential.
    pub(super) rotation: Rotation,
    pub(super) sealed: Vec<Sealed>,
    pub(super) dropped: Vec<String>,
    /// Enabling carries out a plan: the last operation that it knew of.
    pub(super) planned: Option<i64>,
    /// Another version of its manifest that it holds to from now on.
    pub(super) version: Option<String>,
}

#[async_trait]
impl Unit for Update {
    type Out = ();
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), AdminError> {
        let seq = self.old.seq;
        if let Some(setting) = self.identity.first()
            && tx.conn.one(LINKED, vals![seq]).await?.is_some()
        {
            return Err(linked(setting));
        }
        let changed = tx
            .conn
            .run(
                "UPDATE instance SET name = $3, mode = $4, settings = $5, policy = $6, driver_key = $7, config_rev = config_rev + 1 \
                 WHERE seq = $1 AND config_rev = $2 AND deleted_at IS NULL",
                vals![
                    seq,
                    self.old.config_rev,
                    self.name.as_str(),
                    self.mode.as_str(),
                    self.settings.to_string(),
                    self.policy.to_string(),
                    self.driver_key.as_str()
                ],
            )
            .await?;
        if changed == 0 {
            return Err(AdminError::Conflict(
                "The instance was changed by someone else in between. Read it again and repeat the change.".to_owned(),
            ));
        }
        if let Some(version) = &self.version {
            still_there(tx, &self.old.connector_name, version).await?;
            tx.conn
                .run("UPDATE instance SET connector_version = $2 WHERE seq = $1", vals![seq, version.as_str()])
                .await?;
        }
        self.leave_rehearsal(tx, seq).await?;
        if let Some(redeclared) = &self.declared {
            redeclared.store(tx, seq).await?;
        }
        store_sealed(tx, seq, &self.sealed).await?;
        for field in &self.dropped {
            tx.conn
                .run("DELETE FROM sealed WHERE instance_seq = $1 AND field = $2", vals![seq, field.as_str()])
                .await?;
        }
        self.rotation.store(tx, seq, self.old.driver_key.as_str(), &self.driver_key).await?;
        // An attempt of an older configuration plans again, and what waited for a person may go on now.
        tx.conn
            .run(
                "UPDATE work SET driver_key = $2 WHERE instance_seq = $1 AND driver_key <> $2",
                vals![seq, self.driver_key.as_str()],
            )
            .await?;
        tx.conn
            .run(
                "UPDATE work SET state = 'todo', due_at = $2, need = NULL, reason = NULL, tries = 0, looks = 0, panics = 0 WHERE instance_seq = $1 AND state IN ('needs','waiting')",
                vals![seq, tx.now],
            )
            .await?;
        if let Some(listed) = self.listed {
            list_unmanaged(tx, seq, listed).await?;
        }
        tx.hint(Hint::Instance(seq));
        tx.hint(Hint::Leases);
        let detail = self.detail();
        let act = if self.version.is_some() { "instance.upgrade" } else { "instance.update" };
        audit(tx, &self.actor, act, &self.old.id, &detail).await?;
        Ok(())
    }
}

impl Update {
    /// Notes that the instance rehearses, or carries out what it rehearsed: then what gives something goes
    /// to the lane of long backlogs, so that what people ask for from now on does not queue behind it.
    async fn leave_rehearsal(&self, tx: &Tx<'_>, seq: i64) -> Result<(), AdminError> {
        let rehearsed = match self.mode {
            Mode::Rehearse => 1_i16,
            Mode::Enabled => 0,
            _ => return Ok(()),
        };
        tx.conn.run("UPDATE instance SET rehearsed = $2 WHERE seq = $1", vals![seq, rehearsed]).await?;
        let Some(planned) = self.planned else { return Ok(()) };
        let newer = tx
            .conn
            .one("SELECT 1 AS one FROM operation WHERE instance_seq = $1 AND seq > $2 LIMIT 1", vals![seq, planned])
            .await?;
        if newer.is_some() {
            return Err(AdminError::Conflict(crate::service::plan::STALE.to_owned()));
        }
        tx.conn
            .run(
                "UPDATE work SET lane = $2 WHERE instance_seq = $1 AND lane = $3",
                vals![seq, Lane::Bulk.number(), Lane::Grant.number()],
            )
            .await?;
        Ok(())
    }

    /// What changed, by name; the values of mode and name only.
    fn detail(&self) -> Value {
        let names = |before: &Value, after: &Value| -> Vec<String> {
            let empty = serde_json::Map::new();
            let (before, after) = (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
            let mut names: Vec<String> = after
                .iter()
                .filter(|(name, value)| before.get(*name) != Some(*value))
                .map(|(name, _)| name.clone())
                .collect();
            names.extend(before.keys().filter(|name| !after.contains_key(*name)).cloned());
            names
        };
        let mut detail = serde_json::Map::new();
        if self.mode != self.old.mode {
            detail.insert("mode".into(), json!({"from": self.old.mode, "to": self.mode}));
        }
        if self.name != self.old.name {
            detail.insert("name".into(), json!({"from": self.old.name, "to": self.name}));
        }
        if let Some(version) = &self.version {
            detail.insert("version".into(), json!({"from": self.old.connector_version, "to": version}));
        }
        detail.insert("settings".into(), json!(names(&self.old.settings, &self.settings)));
        detail.insert("policy".into(), json!(names(&json!(self.old.policy), &self.policy)));
        if let Some(redeclared) = &self.declared {
            detail.insert("schema".into(), json!(names(&self.old.declared, &redeclared.declared)));
        }
        let secrets: Vec<&String> = self.sealed.iter().map(|item| &item.field).chain(&self.dropped).collect();
        detail.insert("secrets".into(), json!(secrets));
        if let Some(checked) = self.rotation.detail() {
            detail.insert("credential".into(), checked);
        }
        Value::Object(detail)
    }
}

/// Shows or hides the rows that nobody manages, and keeps the totals that lists show.
async fn list_unmanaged(tx: &Tx<'_>, instance: i64, listed: bool) -> Result<(), StoreError> {
    let flag = i16::from(listed);
    let rows = tx
        .conn
        .all(
            "SELECT kind, CAST(seq % 8 AS BIGINT) AS shard, COUNT(*) AS n FROM resource \
             WHERE instance_seq = $1 AND managed = 0 AND deleted_at IS NULL AND listed <> $2 GROUP BY kind, CAST(seq % 8 AS BIGINT)",
            vals![instance, flag],
        )
        .await?;
    for row in &rows {
        let n: i64 = row.col("n")?;
        let shard = i16::try_from(row.col::<i64>("shard")?).unwrap_or(0);
        tx.conn
            .run(
                "INSERT INTO tally (instance_seq, kind, shard, n) VALUES ($1,$2,$3,$4) \
                 ON CONFLICT (instance_seq, kind, shard) DO UPDATE SET n = tally.n + excluded.n",
                vals![instance, row.col::<String>("kind")?, shard, if listed { n } else { -n }],
            )
            .await?;
    }
    tx.conn
        .run("UPDATE resource SET listed = $2 WHERE instance_seq = $1 AND managed = 0 AND deleted_at IS NULL AND listed <> $2", vals![instance, flag])
        .await?;
    Ok(())
}

/// Deletes an instance; the ids of its keys.
pub(super) struct Delete {
    pub(super) actor: String,
    pub(super) seq: i64,
    pub(super) id: String,
    pub(super) force: bool,
}

#[async_trait]
impl Unit for Delete {
    type Out = Vec<String>;
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Vec<String>, AdminError> {
        let open = tx
            .conn
            .one(
                "SELECT COUNT(*) AS n FROM work WHERE instance_seq = $1 AND lane = $2",
                vals![self.seq, Lane::Deprovision.number()],
            )
            .await?
            .map_or(Ok(0), |row| row.col::<i64>("n"))?;
        if open > 0 && !self.force {
            return Err(AdminError::Conflict(format!(
                "{open} people still have to lose their access at the target. Wait until that is done, or delete with ?force=true and remove them there by hand."
            )));
        }
        let gone = tx
            .conn
            .run("UPDATE instance SET deleted_at = $2, mode = 'disabled', config_rev = config_rev + 1 WHERE seq = $1 AND deleted_at IS NULL", vals![self.seq, tx.now])
            .await?;
        if gone == 0 {
            return Err(AdminError::NotFound("There is no such instance.".to_owned()));
        }
        let keys = tx.conn.all("SELECT key_id FROM api_key WHERE instance_seq = $1", vals![self.seq]).await?;
        tx.conn
            .run(
                "UPDATE api_key SET not_after = $2 WHERE instance_seq = $1 AND (not_after IS NULL OR not_after > $2)",
                vals![self.seq, tx.now],
            )
            .await?;
        tx.conn.run("DELETE FROM sealed WHERE instance_seq = $1", vals![self.seq]).await?;
        tx.conn.run("DELETE FROM work WHERE instance_seq = $1", vals![self.seq]).await?;
        let withdrawn = tx
            .conn
            .run(
                "UPDATE operation SET state = 'withdrawn', closed_at = $2, reason = 'the instance was deleted' WHERE instance_seq = $1 AND state = 'open'",
                vals![self.seq, tx.now],
            )
            .await?;
        metrics::counter!(crate::telemetry::names::OPERATIONS_CLOSED_TOTAL, "outcome" => "withdrawn")
            .increment(withdrawn);
        // Nobody looks any more what became of calls in doubt, nor decides whose account is whose.
        tx.conn
            .run(
                "UPDATE attempt SET state = 'resolved', sent = NULL WHERE instance_seq = $1 AND state = 'unknown'",
                vals![self.seq],
            )
            .await?;
        tx.conn
            .run(
                "UPDATE link SET state = 'closed', closed_at = $2 WHERE state = 'proposed' AND resource_seq IN (SELECT seq FROM resource WHERE instance_seq = $1)",
                vals![self.seq, tx.now],
            )
            .await?;
        tx.conn
            .run(
                "UPDATE hold SET state = 'discarded', decided_by = $3, decided_at = $2, comment = 'The instance was deleted.' WHERE instance_seq = $1 AND state = 'open'",
                vals![self.seq, tx.now, self.actor.as_str()],
            )
            .await?;
        tx.conn.run("UPDATE member SET held = 0, hold_seq = NULL WHERE held = 1 AND hold_seq IN (SELECT seq FROM hold WHERE instance_seq = $1)", vals![self.seq]).await?;
        tx.conn
            .run(
                "UPDATE task SET live = 0, state = CASE WHEN state = 'open' THEN 'withdrawn' ELSE state END, comment = CASE WHEN state = 'open' THEN 'The instance was deleted.' ELSE comment END, \
                 closed_at = COALESCE(closed_at, $2) WHERE instance_seq = $1 AND live = 1",
                vals![self.seq, tx.now],
            )
            .await?;
        crate::service::events::forget(tx, self.seq).await?;
        tx.hint(Hint::Instance(self.seq));
        audit(tx, &self.actor, "instance.delete", &self.id, &json!({"force": self.force, "open_deprovisions": open}))
            .await?;
        keys.iter().map(|row| Ok(row.col("key_id")?)).collect()
    }
}
