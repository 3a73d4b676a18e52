//! The transactions of alerts and their webhooks.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{AdminError, Kind, MOST, no_webhook};
use crate::service::directory::time;
use crate::service::records::audit;
use crate::store::{Rows, Sql, StoreError, Tx, Unit};

/// The waits between two reminders: an hour, four, then a day each. In microseconds.
const REMINDERS: [i64; 3] = [3_600_000_000, 4 * 3_600_000_000, 24 * 3_600_000_000];
/// What went away and comes back within this time is the same trouble: it is not told anew.
const LULL: i64 = 15 * 60 * 1_000_000;
/// The waits between attempts to deliver (Standard Webhooks 1.0.0, "Deliverability"): 5 s, 5 min,
/// 30 min, then 2, 5, 10, 14, 20 and 24 hours.
const RETRIES: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// Something that is wrong at the moment.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(crate) kind: Kind,
    pub(crate) instance: i64,
    /// Tells two of a kind and instance apart.
    pub(crate) subject: String,
    /// Since when, in microseconds.
    pub(crate) since: i64,
    /// What a message tells besides; nothing personal.
    pub(crate) data: Value,
}

/// An alert that was told.
#[derive(Clone, Debug)]
pub(crate) struct Emitted {
    pub(crate) kind: Kind,
    pub(crate) instance: String,
    pub(crate) reminder: i64,
}

/// Compares what is wrong now with what was told, and tells what is new or has lasted.
pub(crate) struct Raise {
    /// What is wrong.
    pub(crate) conditions: Vec<Condition>,
    /// The kinds that were looked for: an alert of another kind is not this look's to end.
    pub(crate) kinds: Vec<Kind>,
    /// The instances that were looked at; none means all.
    pub(crate) instances: Option<Vec<i64>>,
}

impl Raise {
    /// Whether anything would be written: a look that finds what is known costs no write.
    pub(crate) async fn is_due(&self, conn: &impl Sql, now: i64) -> Result<bool, StoreError> {
        let known = self.known(conn).await?;
        let lasting = |condition: &Condition| {
            known.get(&key(condition)).is_some_and(|row| row.remind_at > now && row.gone_at.is_none())
        };
        let over = known.iter().any(|(key, row)| {
            !self.conditions.iter().any(|condition| self::key(condition) == *key)
                && row.gone_at.is_none_or(|gone| gone + LULL <= now)
        });
        Ok(over || !self.conditions.iter().all(lasting))
    }

    async fn known(&self, conn: &impl Sql) -> Result<HashMap<Key, Known>, StoreError> {
        let rows =
            conn.all("SELECT kind, instance_seq, subject, reminders, remind_at, gone_at FROM alert", vals![]).await?;
        let mut known = HashMap::new();
        for row in &rows {
            let key: Key = (row.col("kind")?, row.col("instance_seq")?, row.col("subject")?);
            let ours = self.kinds.iter().any(|kind| kind.as_str() == key.0)
                && self.instances.as_ref().is_none_or(|some| some.contains(&key.1));
            if ours {
                let row = Known {
                    reminders: row.col("reminders")?,
                    remind_at: row.col("remind_at")?,
                    gone_at: row.col("gone_at")?,
                };
                known.insert(key, row);
            }
        }
        Ok(known)
    }
}

type Key = (String, i64, String);

struct Known {
    reminders: i64,
    remind_at: i64,
    gone_at: Option<i64>,
}

fn key(condition: &Condition) -> Key {
    (condition.kind.as_str().to_owned(), condition.instance, condition.subject.clone())
}

/// How long until the next reminder after so many.
fn next_reminder(reminders: i64) -> i64 {
    let at = usize::try_from(reminders).unwrap_or(0).min(REMINDERS.len() - 1);
    REMINDERS[at]
}

#[async_trait]
impl Unit for Raise {
    type Out = Vec<Emitted>;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Vec<Emitted>, StoreError> {
        let mut known = self.known(tx.conn).await?;
        let mut emitted = Vec::new();
        for condition in &self.conditions {
            let key = key(condition);
            let reminder = match known.remove(&key) {
                None => {
                    let new = tx
                        .conn
                        .run(
                            "INSERT INTO alert (kind, instance_seq, subject, since, reminders, remind_at, gone_at) VALUES ($1,$2,$3,$4,0,$5,NULL) ON CONFLICT DO NOTHING",
                            vals![key.0.as_str(), key.1, key.2.as_str(), condition.since, tx.now + next_reminder(0)],
                        )
                        .await?;
                    (new > 0).then_some(0)
                }
                Some(row) => {
                    let due = row.remind_at <= tx.now;
                    let reminders = row.reminders + i64::from(due);
                    let remind_at = if due { tx.now + next_reminder(reminders) } else { row.remind_at };
                    if due || row.gone_at.is_some() {
                        tx.conn
                            .run(
                                "UPDATE alert SET reminders = $4, remind_at = $5, gone_at = NULL WHERE kind = $1 AND instance_seq = $2 AND subject = $3",
                                vals![key.0.as_str(), key.1, key.2.as_str(), reminders, remind_at],
                            )
                            .await?;
                    }
                    due.then_some(reminders)
                }
            };
            if let Some(reminder) = reminder
                && let Some(told) = tell(tx, condition, reminder).await?
            {
                emitted.push(told);
            }
        }
        for (key, row) in known {
            let text = match row.gone_at {
                None => "UPDATE alert SET gone_at = $4 WHERE kind = $1 AND instance_seq = $2 AND subject = $3",
                Some(gone) if gone + LULL <= tx.now => {
                    "DELETE FROM alert WHERE kind = $1 AND instance_seq = $2 AND subject = $3 AND gone_at <= $4"
                }
                Some(_) => continue,
            };
            tx.conn.run(text, vals![key.0, key.1, key.2, tx.now]).await?;
        }
        Ok(emitted)
    }
}

/// Puts a message into the line of every webhook that wants it.
async fn tell(tx: &Tx<'_>, condition: &Condition, reminder: i64) -> Result<Option<Emitted>, StoreError> {
    let row = tx.conn.one("SELECT id, name FROM instance WHERE seq = $1", vals![condition.instance]).await?;
    let Some(row) = row else { return Ok(None) };
    let instance: String = row.col("id")?;
    let kind = match condition.kind {
        Kind::HoldOpened if reminder > 0 => Kind::HoldReminder,
        kind => kind,
    };
    if condition.kind == Kind::HoldOpened {
        tx.conn
            .run(
                "UPDATE hold SET reminders = $2, remind_at = $3 WHERE id = $1 AND state = 'open'",
                vals![condition.subject.as_str(), reminder, tx.now + next_reminder(reminder)],
            )
            .await?;
    }
    let mut data = condition.data.clone();
    data["instance"] = json!({"id": instance, "name": row.col::<String>("name")?});
    data["since"] = time(condition.since).into();
    data["reminder"] = reminder.into();
    let body = message(kind.as_str(), tx.now, &data);
    let webhooks = tx.conn.all("SELECT seq, kinds FROM alert_webhook WHERE disabled_at IS NULL", vals![]).await?;
    for row in &webhooks {
        let kinds: Vec<String> = serde_json::from_str(&row.col::<String>("kinds")?).unwrap_or_default();
        if kinds.iter().any(|wanted| wanted == kind.as_str()) {
            put(tx, row.col("seq")?, &body).await?;
        }
    }
    Ok(Some(Emitted { kind, instance, reminder }))
}

fn message(kind: &str, at: i64, data: &Value) -> String {
    let at = Timestamp::from_microsecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    json!({"type": kind, "timestamp": at.to_string(), "data": data}).to_string()
}

async fn put(tx: &Tx<'_>, webhook: i64, body: &str) -> Result<String, StoreError> {
    let id = format!("msg_{}", Uuid::now_v7().simple());
    tx.conn
        .run(
            "INSERT INTO alert_message (seq, id, webhook_seq, body, tries, due_at, at) VALUES ($1,$2,$3,$4,0,$5,$5)",
            vals![tx.seq()?, id.as_str(), webhook, body, tx.now],
        )
        .await?;
    Ok(id)
}

/// Makes a webhook.
pub(super) struct Insert {
    pub(super) actor: String,
    pub(super) id: String,
    pub(super) url: String,
    pub(super) kinds: String,
    pub(super) sealed: String,
}

#[async_trait]
impl Unit for Insert {
    type Out = ();
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), AdminError> {
        let there = tx
            .conn
            .one("SELECT COUNT(*) AS n FROM alert_webhook", vals![])
            .await?
            .map_or(Ok(0), |row| row.col::<i64>("n"))?;
        if there >= MOST {
            return Err(AdminError::Conflict(format!("There are {MOST} alert webhooks already. Delete one first.")));
        }
        tx.conn
            .run(
                "INSERT INTO alert_webhook (seq, id, url, kinds, secret_sealed, delivered, dropped, last_error, last_error_at, delivered_at, disabled_at, created_at) \
                 VALUES ($1,$2,$3,$4,$5,0,0,NULL,NULL,NULL,NULL,$6)",
                vals![tx.seq()?, self.id.as_str(), self.url.as_str(), self.kinds.as_str(), self.sealed.as_str(), tx.now],
            )
            .await?;
        // The rest of such a URL is often a secret itself.
        let origin = url::Url::parse(&self.url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        audit(tx, &self.actor, "alert_webhook.create", &self.id, &json!({"origin": origin})).await?;
        Ok(())
    }
}

/// Deletes a webhook with what waits for it.
pub(super) struct Delete {
    pub(super) actor: String,
    pub(super) id: String,
}

#[async_trait]
impl Unit for Delete {
    type Out = ();
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), AdminError> {
        let gone = tx
            .conn
            .one("DELETE FROM alert_webhook WHERE id = $1 RETURNING seq", vals![self.id.as_str()])
            .await?
            .ok_or_else(no_webhook)?;
        let dropped =
            tx.conn.run("DELETE FROM alert_message WHERE webhook_seq = $1", vals![gone.col::<i64>("seq")?]).await?;
        audit(tx, &self.actor, "alert_webhook.delete", &self.id, &json!({"messages_dropped": dropped})).await?;
        Ok(())
    }
}

/// Puts a message into the line that only tries the webhook out.
pub(super) struct Test {
    pub(super) actor: String,
    pub(super) id: String,
}

#[async_trait]
impl Unit for Test {
    type Out = String;
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<String, AdminError> {
        let row = tx
            .conn
            .one("UPDATE alert_webhook SET disabled_at = NULL WHERE id = $1 RETURNING seq", vals![self.id.as_str()])
            .await?
            .ok_or_else(no_webhook)?;
        let body = message("test", tx.now, &json!({"webhook": self.id}));
        let id = put(tx, row.col("seq")?, &body).await?;
        audit(tx, &self.actor, "alert_webhook.test", &self.id, &json!({})).await?;
        Ok(id)
    }
}

/// A message was taken.
pub(crate) struct Arrived {
    pub(crate) message: i64,
    pub(crate) webhook: i64,
}

#[async_trait]
impl Unit for Arrived {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let gone = tx.conn.run("DELETE FROM alert_message WHERE seq = $1", vals![self.message]).await?;
        tx.conn
            .run(
                "UPDATE alert_webhook SET delivered = delivered + $2, delivered_at = $3, last_error = NULL, last_error_at = NULL WHERE seq = $1",
                vals![self.webhook, i64::try_from(gone).unwrap_or(0), tx.now],
            )
            .await?;
        Ok(())
    }
}

/// A message was not taken: it is sent again, or dropped after three days.
pub(crate) struct Undelivered {
    pub(crate) message: i64,
    pub(crate) webhook: i64,
    /// How often it failed before.
    pub(crate) tries: i64,
    pub(crate) words: String,
    /// How long the receiver asks to be left alone, in microseconds.
    pub(crate) asked: i64,
    /// From 0 to 1: spreads the attempts.
    pub(crate) dice: f64,
    /// The receiver said that it is gone for good (410).
    pub(crate) gone: bool,
}

#[async_trait]
impl Unit for Undelivered {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let wait = usize::try_from(self.tries).ok().and_then(|at| RETRIES.get(at));
        let dropped = if self.gone {
            tx.conn
                .run("UPDATE alert_webhook SET disabled_at = $2 WHERE seq = $1", vals![self.webhook, tx.now])
                .await?;
            tx.conn.run("DELETE FROM alert_message WHERE webhook_seq = $1", vals![self.webhook]).await?
        } else if let Some(seconds) = wait {
            #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a tenth of a wait")]
            let spread = (*seconds as f64 * 100_000.0 * self.dice.clamp(0.0, 1.0)) as i64;
            let due = tx.now + (seconds * 1_000_000 + spread).max(self.asked);
            tx.conn
                .run("UPDATE alert_message SET tries = tries + 1, due_at = $2 WHERE seq = $1", vals![self.message, due])
                .await?;
            0
        } else {
            tx.conn.run("DELETE FROM alert_message WHERE seq = $1", vals![self.message]).await?
        };
        tx.conn
            .run(
                "UPDATE alert_webhook SET last_error = $2, last_error_at = $3, dropped = dropped + $4 WHERE seq = $1",
                vals![self.webhook, self.words.as_str(), tx.now, i64::try_from(dropped).unwrap_or(0)],
            )
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reminders_grow_to_a_day() {
        let hours: Vec<i64> = (0..5).map(|n| next_reminder(n) / 3_600_000_000).collect();
        assert_eq!(hours, [1, 4, 24, 24, 24]);
    }
}
