//! The transactions of event streams.

use async_trait::async_trait;
use serde_json::json;

use super::super::outbox::verify;
use super::{AdminError, Form, MOST, audit, no_stream};
use crate::store::{Hint, Rows, Sql, Tx, Unit};

/// Makes a stream.
pub(super) struct Insert {
    pub(super) actor: String,
    pub(super) instance: i64,
    pub(super) instance_id: String,
    pub(super) id: String,
    pub(super) form: Form,
}

#[async_trait]
impl Unit for Insert {
    type Out = ();
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), AdminError> {
        // First, so that of two who make the ninth stream at once one waits for the other.
        let there = tx
            .conn
            .run(
                "UPDATE instance SET has_streams = 1, config_rev = config_rev + 1 WHERE seq = $1 AND deleted_at IS NULL",
                vals![self.instance],
            )
            .await?;
        if there == 0 {
            return Err(AdminError::NotFound("There is no such instance.".to_owned()));
        }
        tx.hint(Hint::Instance(self.instance));
        let count = tx
            .conn
            .one("SELECT COUNT(*) AS n FROM event_stream WHERE instance_seq = $1", vals![self.instance])
            .await?
            .map_or(Ok(0), |row| row.col::<i64>("n"))?;
        if count >= MOST {
            return Err(AdminError::Conflict(format!(
                "An instance has at most {MOST} event streams. Delete one first."
            )));
        }
        let form = &self.form;
        tx.conn
            .run(
                "INSERT INTO event_stream (seq, id, instance_seq, name, delivery, endpoint_url, authorization_sealed, kinds, payload, audience, \
                 paused, tries, due_at, delivered, refused, dropped, last_error, last_error_at, delivered_at, created_at) \
                 VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,0,0,0,0,0,0,NULL,NULL,NULL,$11)",
                vals![
                    tx.seq()?,
                    self.id.as_str(),
                    self.instance,
                    form.name.as_str(),
                    if form.endpoint_url.is_some() { "push" } else { "poll" },
                    form.endpoint_url.clone(),
                    form.sealed.clone(),
                    form.kinds.as_str(),
                    form.payload.as_str(),
                    form.audience.as_str(),
                    tx.now
                ],
            )
            .await?;
        let detail = json!({"name": form.name, "endpoint_url": form.endpoint_url, "payload": form.payload});
        audit(tx, &self.actor, "event_stream.create", &format!("{}/{}", self.instance_id, self.id), &detail).await?;
        Ok(())
    }
}

/// Changes a stream, and may put a verification event into its line.
pub(super) struct Update {
    pub(super) actor: String,
    pub(super) seq: i64,
    pub(super) id: String,
    pub(super) target: String,
    pub(super) form: Form,
    pub(super) fields: Vec<&'static str>,
    pub(super) verify: bool,
}

#[async_trait]
impl Unit for Update {
    /// Id and state of a verification event.
    type Out = Option<(String, String)>;
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Option<(String, String)>, AdminError> {
        let form = &self.form;
        let hit = tx
            .conn
            .run(
                "UPDATE event_stream SET name = $2, endpoint_url = $3, authorization_sealed = $4, kinds = $5, payload = $6, audience = $7, \
                 paused = $8, tries = 0, due_at = 0 WHERE seq = $1",
                vals![
                    self.seq,
                    form.name.as_str(),
                    form.endpoint_url.clone(),
                    form.sealed.clone(),
                    form.kinds.as_str(),
                    form.payload.as_str(),
                    form.audience.as_str(),
                    i16::from(form.paused)
                ],
            )
            .await?;
        if hit == 0 {
            return Err(no_stream());
        }
        if !self.fields.is_empty() {
            let detail = json!({"fields": self.fields, "paused": form.paused, "endpoint_url": form.endpoint_url});
            audit(tx, &self.actor, "event_stream.update", &self.target, &detail).await?;
        }
        if !self.verify {
            return Ok(None);
        }
        audit(tx, &self.actor, "event_stream.verify", &self.target, &json!({})).await?;
        Ok(Some(verify(tx, self.seq, &self.id).await?))
    }
}

/// Deletes a stream with what waits in it.
pub(super) struct Delete {
    pub(super) actor: String,
    pub(super) instance: i64,
    pub(super) instance_id: String,
    pub(super) id: String,
}

#[async_trait]
impl Unit for Delete {
    type Out = ();
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), AdminError> {
        let row = tx
            .conn
            .one(
                "SELECT seq FROM event_stream WHERE id = $1 AND instance_seq = $2",
                vals![self.id.as_str(), self.instance],
            )
            .await?
            .ok_or_else(no_stream)?;
        let seq: i64 = row.col("seq")?;
        tx.conn.run("UPDATE instance SET config_rev = config_rev + 1 WHERE seq = $1", vals![self.instance]).await?;
        let dropped = tx.conn.run("DELETE FROM event WHERE stream_seq = $1", vals![seq]).await?;
        tx.conn.run("DELETE FROM event_stream WHERE seq = $1", vals![seq]).await?;
        tx.conn
            .run(
                "UPDATE instance SET has_streams = CASE WHEN EXISTS (SELECT 1 FROM event_stream WHERE instance_seq = $1) THEN 1 ELSE 0 END WHERE seq = $1",
                vals![self.instance],
            )
            .await?;
        tx.hint(Hint::Instance(self.instance));
        let detail = json!({"events_dropped": dropped});
        audit(tx, &self.actor, "event_stream.delete", &format!("{}/{}", self.instance_id, self.id), &detail).await?;
        Ok(())
    }
}
