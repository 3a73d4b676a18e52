//! Sessions of the console. The browser holds a random text in a cookie; the store holds its hash. A session ends when it
//! is signed out, not used for two hours, twelve hours old, or when its member is removed, expires or changes role.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::App;
use super::members::{FIRST, Who, role_of};
use super::records::audit;
use crate::keys;
use crate::store::{Priority, Rows, Sql, StoreError, Tx, Unit};

/// How long a session lives without being used.
pub const IDLE: Duration = Duration::from_secs(2 * 3_600);
/// How long it lives at most.
pub const LONGEST: Duration = Duration::from_secs(12 * 3_600);
/// The use of a session is recorded at most so often, in microseconds.
const TOUCH: i64 = 60_000_000;
/// The length of the cookie's text.
const LENGTH: usize = 43;

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

impl App {
    /// Begins a session; the answer is the text for the cookie. `by` says in the audit how they signed in.
    ///
    /// # Errors
    /// The store's.
    pub async fn begin_session(&self, who: &Who, by: &'static str) -> Result<SecretString, StoreError> {
        let text = keys::random_text(LENGTH);
        let unit = Begin { who: who.clone(), hash: self.keys.hash(&text), stamp: self.stamp(who), by };
        self.store.write(Priority::Request, unit).await?;
        Ok(SecretString::from(text))
    }

    /// Whose session a cookie's text is, if it is one that lives. `used`: that keeps it alive.
    ///
    /// # Errors
    /// The store's.
    pub async fn session(&self, text: &SecretString, used: bool) -> Result<Option<Who>, StoreError> {
        let text = text.expose_secret();
        if text.len() != LENGTH {
            return Ok(None);
        }
        let (hash, now) = (self.keys.hash(text), self.clock.micros());
        let row = self
            .store
            .reader()
            .one(
                "SELECT s.member_id, s.role, s.stamp, s.used_at, m.name, m.role AS now_role, m.revoked_at, m.not_after, m.issuer FROM console_session s \
                 LEFT JOIN admin_member m ON m.id = s.member_id WHERE s.hash = $1 AND s.ends_at > $2 AND s.used_at > $3",
                vals![hash.as_str(), now, now - micros(IDLE)],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let id: String = row.col("member_id")?;
        let role = role_of(&row.col::<String>("role")?)?;
        let who = if id == FIRST {
            Who::first()
        } else {
            let (Some(name), Some(now_role)) =
                (row.col::<Option<String>>("name")?, row.col::<Option<String>>("now_role")?)
            else {
                return Ok(None);
            };
            let gone = row.col::<Option<i64>>("revoked_at")?.is_some()
                || row.col::<Option<i64>>("not_after")?.is_some_and(|end| end <= now);
            // Who came through a provider that is not the one of the settings any more comes through the one that is.
            let elsewhere = row
                .col::<Option<String>>("issuer")?
                .is_some_and(|issuer| self.oidc.as_ref().is_none_or(|oidc| oidc.issuer() != issuer));
            if gone || elsewhere || role_of(&now_role)? != role {
                return Ok(None);
            }
            Who { id, name, role }
        };
        if row.col::<String>("stamp")? != self.stamp(&who) {
            return Ok(None);
        }
        if used && now - row.col::<i64>("used_at")? >= TOUCH {
            // Where nothing can be written, one still has to be able to look at what is wrong.
            if let Err(error) = self.store.write(Priority::Request, Touch { hash, at: now }).await {
                tracing::debug!(%error, "the use of a session was not recorded");
            }
        }
        Ok(Some(who))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// The store's.
    pub async fn end_session(&self, who: &Who, text: &SecretString) -> Result<(), StoreError> {
        let unit = End { who: who.clone(), hash: self.keys.hash(text.expose_secret()) };
        self.store.write(Priority::Request, unit).await
    }

    /// What the forms of a session carry, so that no other site can send them.
    pub fn form_token(&self, text: &SecretString) -> String {
        self.keys.hash(&format!("form {}", text.expose_secret()))
    }

    /// Which token the gateway was started with, for its sessions: they end with it. Empty for others.
    fn stamp(&self, who: &Who) -> String {
        match self.admin_hash() {
            Some(hash) if who.id == FIRST => {
                Sha256::digest(hash).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
            }
            _ => String::new(),
        }
    }
}

struct Begin {
    who: Who,
    hash: String,
    stamp: String,
    by: &'static str,
}

#[async_trait]
impl Unit for Begin {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        tx.conn.run("DELETE FROM console_session WHERE ends_at <= $1", vals![tx.now]).await?;
        tx.conn
            .run(
                "INSERT INTO console_session (hash, member_id, role, stamp, created_at, used_at, ends_at) VALUES ($1,$2,$3,$4,$5,$5,$6)",
                vals![
                    self.hash.as_str(),
                    self.who.id.as_str(),
                    self.who.role.as_str(),
                    self.stamp.as_str(),
                    tx.now,
                    tx.now + micros(LONGEST)
                ],
            )
            .await?;
        if self.who.id != FIRST {
            let text = "UPDATE admin_member SET last_used_at = $2 WHERE id = $1";
            tx.conn.run(text, vals![self.who.id.as_str(), tx.now]).await?;
        }
        audit(tx, &self.who.actor(), "session.begin", &self.who.name, &json!({"by": self.by})).await
    }
}

struct Touch {
    hash: String,
    at: i64,
}

#[async_trait]
impl Unit for Touch {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let text = "UPDATE console_session SET used_at = $2 WHERE hash = $1 AND used_at < $2";
        tx.conn.run(text, vals![self.hash.as_str(), self.at]).await?;
        Ok(())
    }
}

struct End {
    who: Who,
    hash: String,
}

#[async_trait]
impl Unit for End {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let ended = tx.conn.run("DELETE FROM console_session WHERE hash = $1", vals![self.hash.as_str()]).await?;
        if ended > 0 {
            audit(tx, &self.who.actor(), "session.end", &self.who.name, &json!({})).await?;
        }
        Ok(())
    }
}
