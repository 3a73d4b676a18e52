//! Hand-over links: whoever runs the identity provider, and has no account here, sees by one the address of an instance and
//! the steps of their provider, and makes its key themselves, so that no key travels by mail.
//!
//! A link makes one key, ends by itself, and can be taken back. Looking at it uses nothing up: mail scanners and chat
//! previews do that too.

use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::QueryResult;
use serde_json::{Value, json};

use super::App;
use super::directory::time;
use super::keys::{Mint, NOBODY, NewKey};
use super::records::{AdminError, audit};
use super::types::Instance;
use crate::guides;
use crate::keys::{self, ApiKey, KeyType};
use crate::store::{Priority, Rows, Sql, StoreError, Tx, Unit};

/// How long a link lives unless it is said, in hours.
pub const USUAL_HOURS: u32 = 72;
/// The longest, in hours.
const MOST_HOURS: u32 = 14 * 24;
/// Links of an instance that may be open at once.
const MOST_OPEN: i64 = 20;
/// Links that are shown of an instance.
const SHOWN: i64 = 50;
/// How long the key lives that is made by one, in microseconds: a year.
const KEY_LIVES: i64 = 365 * 86_400 * 1_000_000;
/// How long one that ended is listed, in microseconds; the audit tells of it for as long as that is kept.
const LISTED: i64 = 180 * 86_400 * 1_000_000;
/// Columns of a row, as [`shown`] reads them.
const ROW: &str = "h.id, h.actor, h.guide, h.created_at, h.expires_at, h.opened_at, h.used_at, h.revoked_at, h.key_id FROM handover h";

/// A link to be made.
#[derive(Clone, Debug, Default)]
pub struct NewHandover {
    /// How long it lives, in hours; [`USUAL_HOURS`] unless it is said.
    pub hours: Option<u32>,
    /// The identity provider whose steps it shows, by the id of its guide.
    pub guide: Option<String>,
}

/// A link that somebody has opened.
pub struct Handover {
    /// Its public id.
    pub id: String,
    /// Whose key it makes.
    pub instance: Arc<Instance>,
    /// The guide that it shows, or empty.
    pub guide: String,
    /// What may be done with it.
    pub state: State,
    /// Until when it may be used, in microseconds.
    pub expires_at: i64,
    /// When its key was made, in microseconds.
    pub used_at: Option<i64>,
}

/// What may be done with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It makes a key.
    Open,
    /// It has made its key.
    Used,
    /// An admin took it back.
    Revoked,
    /// Its time is over.
    Ended,
}

impl State {
    /// The word that the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Used => "used",
            Self::Revoked => "revoked",
            Self::Ended => "ended",
        }
    }

    fn read(row: &QueryResult, now: i64) -> Result<Self, StoreError> {
        let is = |name: &str| row.col::<Option<i64>>(name).map(|at| at.is_some());
        Ok(match (is("used_at")?, is("revoked_at")?, row.col::<i64>("expires_at")? <= now) {
            (true, _, _) => Self::Used,
            (false, true, _) => Self::Revoked,
            (false, false, true) => Self::Ended,
            (false, false, false) => Self::Open,
        })
    }
}

fn shown(row: &QueryResult, now: i64) -> Result<Value, StoreError> {
    let when = |name: &str| row.col::<Option<i64>>(name).map(|at| at.map(time));
    Ok(json!({
        "id": row.col::<String>("id")?,
        "state": State::read(row, now)?.as_str(),
        "guide": Some(row.col::<String>("guide")?).filter(|guide| !guide.is_empty()),
        "made_by": row.col::<String>("actor")?,
        "created_at": time(row.col("created_at")?),
        "expires_at": time(row.col("expires_at")?),
        "opened_at": when("opened_at")?,
        "used_at": when("used_at")?,
        "revoked_at": when("revoked_at")?,
        "key": row.col::<Option<String>>("key_id")?,
    }))
}

impl App {
    /// Makes a link. The answer holds its address, which is shown this once.
    ///
    /// # Errors
    /// Input that cannot be used, naming the field; a conflict beyond twenty open ones; the store's.
    pub async fn make_handover(&self, actor: &str, instance: &Instance, new: NewHandover) -> Result<Value, AdminError> {
        let hours = new.hours.unwrap_or(USUAL_HOURS);
        if !(1..=MOST_HOURS).contains(&hours) {
            return Err(AdminError::invalid("hours", format!("must be from 1 to {MOST_HOURS}")));
        }
        let guide = new.guide.unwrap_or_default();
        if !guide.is_empty() && guides::by_id(&guide).is_none() {
            return Err(AdminError::invalid("guide", "must be the id of a guide of docs/idp, such as \"entra\""));
        }
        let token = ApiKey::generate(KeyType::Handover);
        let make = Make {
            actor: actor.to_owned(),
            instance_seq: instance.seq,
            instance_id: instance.id.clone(),
            id: token.key_id.clone(),
            hash: self.keys.hash(token.expose()),
            guide,
            lives: i64::from(hours) * 3_600_000_000,
        };
        let mut made = self.store.write(Priority::Request, make).await?;
        let base = self.config.public_url_at(self.config.listen);
        made["url"] = format!("{base}/console/hand-over/{}", token.expose()).into();
        Ok(made)
    }

    /// The links of an instance, the newest fifty, without their addresses.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_handovers(&self, instance: &Instance) -> Result<Vec<Value>, StoreError> {
        let text = format!("SELECT {ROW} WHERE h.instance_seq = $1 ORDER BY h.created_at DESC, h.id LIMIT {SHOWN}");
        let rows = self.store.reader().all(&text, vals![instance.seq]).await?;
        rows.iter().map(|row| shown(row, self.clock.micros())).collect()
    }

    /// Takes a link back. A key that was made by it lives on.
    ///
    /// # Errors
    /// No such link; one that is over already (conflict); the store's.
    pub async fn revoke_handover(&self, actor: &str, instance: &Instance, id: &str) -> Result<(), AdminError> {
        let revoke = TakeBack {
            actor: actor.to_owned(),
            instance_seq: instance.seq,
            instance_id: instance.id.clone(),
            id: id.to_owned(),
        };
        self.store.write(Priority::Request, revoke).await
    }

    /// The link of a text, if it is one of ours and its instance is there. That it was looked at is noted once.
    ///
    /// # Errors
    /// The store's.
    pub async fn handover(&self, presented: &str) -> Result<Option<Handover>, StoreError> {
        let Some(parsed) = keys::parse(presented).filter(|parsed| parsed.kind == KeyType::Handover) else {
            return Ok(None);
        };
        let text = format!(
            "SELECT h.hash, i.id AS instance_id, {ROW} JOIN instance i ON i.seq = h.instance_seq WHERE h.id = $1 AND i.deleted_at IS NULL"
        );
        let row = self.store.reader().one(&text, vals![parsed.key_id]).await?;
        let hash = row.as_ref().map_or(Ok(NOBODY.to_owned()), |row| row.col::<String>("hash"))?;
        let right = self.keys.matches(presented, &hash);
        let Some(row) = row.filter(|_| right) else { return Ok(None) };
        let Some(instance) = self.instances.get(&row.col::<String>("instance_id")?).await? else { return Ok(None) };
        let id: String = row.col("id")?;
        if row.col::<Option<i64>>("opened_at")?.is_none() {
            self.store.write(Priority::Background, Opened { id: id.clone() }).await?;
        }
        Ok(Some(Handover {
            id,
            instance,
            guide: row.col("guide")?,
            state: State::read(&row, self.clock.micros())?,
            expires_at: row.col("expires_at")?,
            used_at: row.col("used_at")?,
        }))
    }

    /// Makes the key of a link, which is used up by it. The answer holds the key's text, which is shown this once.
    ///
    /// # Errors
    /// A name that cannot be used; a link that is used, taken back or over (conflict); the store's.
    pub async fn use_handover(&self, link: &Handover, name: Option<String>) -> Result<Value, AdminError> {
        let ends = self.clock.micros() + KEY_LIVES;
        let new = NewKey { name, expires_at: Some(ends), ..NewKey::default() };
        let actor = format!("handover:{}", link.id);
        let (mint, made) = self.prepare_key(&actor, &link.instance, new).await?;
        self.store.write(Priority::Request, Use { id: link.id.clone(), mint }).await?;
        Ok(made.answer(self.clock.micros()))
    }
}

fn over() -> AdminError {
    AdminError::Conflict(
        "The link is used, taken back, or its time is over. Whoever sent it can make another.".to_owned(),
    )
}

struct Make {
    actor: String,
    instance_seq: i64,
    instance_id: String,
    id: String,
    hash: String,
    guide: String,
    /// In microseconds.
    lives: i64,
}

#[async_trait]
impl Unit for Make {
    type Out = Value;
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Value, AdminError> {
        let old = "DELETE FROM handover WHERE instance_seq = $1 AND expires_at < $2";
        tx.conn.run(old, vals![self.instance_seq, tx.now - LISTED]).await?;
        let open = "SELECT COUNT(*) AS n FROM handover WHERE instance_seq = $1 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $2";
        let open = tx.conn.one(open, vals![self.instance_seq, tx.now]).await?;
        if open.map_or(Ok(0), |row| row.col::<i64>("n"))? >= MOST_OPEN {
            return Err(AdminError::Conflict(format!(
                "{MOST_OPEN} hand-over links of this instance are open. Take one back first."
            )));
        }
        tx.conn
            .run(
                "INSERT INTO handover (id, instance_seq, hash, actor, guide, created_at, expires_at) VALUES ($1,$2,$3,$4,$5,$6,$7)",
                vals![self.id.as_str(), self.instance_seq, self.hash.as_str(), self.actor.as_str(), self.guide.as_str(), tx.now, tx.now + self.lives],
            )
            .await?;
        let detail = json!({"handover": self.id, "expires_at": time(tx.now + self.lives)});
        audit(tx, &self.actor, "handover.create", &self.instance_id, &detail).await?;
        let row = tx.conn.one(&format!("SELECT {ROW} WHERE h.id = $1"), vals![self.id.as_str()]).await?;
        Ok(shown(&row.ok_or_else(|| StoreError::damaged("handover"))?, tx.now)?)
    }
}

struct TakeBack {
    actor: String,
    instance_seq: i64,
    instance_id: String,
    id: String,
}

#[async_trait]
impl Unit for TakeBack {
    type Out = ();
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), AdminError> {
        let taken = tx
            .conn
            .run(
                "UPDATE handover SET revoked_at = $3 WHERE id = $1 AND instance_seq = $2 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $3",
                vals![self.id.as_str(), self.instance_seq, tx.now],
            )
            .await?;
        if taken == 0 {
            let known = "SELECT 1 AS one FROM handover WHERE id = $1 AND instance_seq = $2";
            return Err(match tx.conn.one(known, vals![self.id.as_str(), self.instance_seq]).await? {
                Some(_) => AdminError::Conflict("The link is used or over already.".to_owned()),
                None => AdminError::NotFound("The instance has no such hand-over link.".to_owned()),
            });
        }
        audit(tx, &self.actor, "handover.revoke", &self.instance_id, &json!({"handover": self.id})).await?;
        Ok(())
    }
}

struct Opened {
    id: String,
}

#[async_trait]
impl Unit for Opened {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let first = "UPDATE handover SET opened_at = $2 WHERE id = $1 AND opened_at IS NULL";
        tx.conn.run(first, vals![self.id.as_str(), tx.now]).await.map(drop)
    }
}

struct Use {
    id: String,
    mint: Mint,
}

#[async_trait]
impl Unit for Use {
    type Out = ();
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), AdminError> {
        let used = tx
            .conn
            .run(
                "UPDATE handover SET used_at = $2, key_id = $3 WHERE id = $1 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $2",
                vals![self.id.as_str(), tx.now, self.mint.key_id()],
            )
            .await?;
        if used == 0 {
            return Err(over());
        }
        self.mint.run(tx).await.map(drop)
    }
}
