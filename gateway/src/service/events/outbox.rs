//! Delivery: what waits in a stream's line, as signed tokens, and what becomes of them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use scim::ScimError;
use scim::event::{Poll, SetError, Token, VERIFICATION};
use sea_orm::QueryResult;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::signing::Signer;
use crate::clock::Clock;
use crate::secrets::KeyRing;
use crate::service::types::{Failure, Instance};
use crate::store::{Priority, Rows, Sql, Store, StoreError, Tx, Unit};

/// An event that nobody took for so long is dropped.
pub const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Beyond so many that wait in one stream, the oldest are dropped.
pub const MAX_PENDING: i64 = 100_000;
/// Refused events that are kept for the admin, per stream.
const KEPT_REFUSALS: i64 = 100;
/// Rows that one clean-up of a stream drops at most: it shares the writer with requests.
const DROPPED_AT_ONCE: i64 = 10_000;
/// How long a poll without `returnImmediately` waits for the first event.
const POLL_WAIT: Duration = Duration::from_secs(25);
/// How often it looks.
const POLL_LOOK: Duration = Duration::from_millis(500);
/// Polls that wait at once in this process; more are answered at once.
const POLLS: usize = 256;
/// Tokens that a push reads ahead.
pub(crate) const BATCH: u64 = 16;

const COLUMNS: &str = "s.seq, s.id, s.delivery, s.endpoint_url, s.authorization_sealed, s.audience, s.paused, s.tries, i.id AS instance_id";

/// A stream, as its delivery sees it.
pub(crate) struct Stream {
    pub(crate) seq: i64,
    pub(crate) id: String,
    pub(crate) instance_id: String,
    pub(crate) endpoint_url: Option<String>,
    pub(crate) paused: bool,
    /// Deliveries that failed in a row.
    pub(crate) tries: i64,
    sealed: Option<String>,
    audience: String,
}

fn read(row: &QueryResult) -> Result<Stream, StoreError> {
    Ok(Stream {
        seq: row.col("seq")?,
        id: row.col("id")?,
        instance_id: row.col("instance_id")?,
        endpoint_url: row.col("endpoint_url")?,
        paused: row.col::<i16>("paused")? == 1,
        tries: row.col("tries")?,
        sealed: row.col("authorization_sealed")?,
        audience: row.col("audience")?,
    })
}

/// One token on its way.
pub(crate) struct Waiting {
    pub(crate) jti: String,
    /// The signed token.
    pub(crate) token: String,
}

/// What became of tokens.
#[derive(Default)]
pub(crate) struct Verdicts {
    /// They arrived.
    pub(crate) taken: Vec<String>,
    /// They were refused for good.
    pub(crate) refused: Vec<(String, SetError)>,
}

/// The delivery of security events.
pub struct Events {
    store: Store,
    clock: Clock,
    ring: Arc<KeyRing>,
    signer: Signer,
    public_url: String,
    polls: Semaphore,
    closing: CancellationToken,
}

impl Events {
    /// Over a store; `public_url` is where clients reach the gateway, without a slash at its end.
    pub fn new(store: Store, ring: Arc<KeyRing>, public_url: String) -> Self {
        Self {
            clock: store.clock().clone(),
            signer: Signer::new(store.clone(), ring.clone()),
            store,
            ring,
            public_url,
            polls: Semaphore::new(POLLS),
            closing: CancellationToken::new(),
        }
    }

    /// The gateway ends: polls that wait are answered, so that nobody waits for them.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// The public key of the tokens' signatures, as a JWK set.
    ///
    /// # Errors
    /// The store's.
    pub async fn keys(&self) -> Result<Value, StoreError> {
        self.signer.published().await
    }

    /// The place of a stream's authorization, for its sealing.
    pub(super) fn place(instance_id: &str, stream_id: &str) -> String {
        format!("instance/{instance_id}/event_stream/{stream_id}/authorization")
    }

    /// What a push sends as its `Authorization`.
    pub(crate) fn authorization(&self, stream: &Stream) -> Result<Option<SecretString>, String> {
        let Some(sealed) = &stream.sealed else { return Ok(None) };
        let plain =
            self.ring.open(&Self::place(&stream.instance_id, &stream.id), sealed).map_err(|error| error.to_string())?;
        let text = std::str::from_utf8(&plain).map_err(|_| "The stored authorization is no text.".to_owned())?;
        Ok(Some(text.to_owned().into()))
    }

    /// Opens what was sealed at a place; the words are for the admin.
    pub(crate) fn open(&self, place: &str, sealed: &str) -> Result<zeroize::Zeroizing<Vec<u8>>, String> {
        self.ring.open(place, sealed).map_err(|error| error.to_string())
    }

    /// A stream of a row.
    pub(crate) async fn stream(&self, seq: i64) -> Result<Option<Stream>, StoreError> {
        let text = format!(
            "SELECT {COLUMNS} FROM event_stream s JOIN instance i ON i.seq = s.instance_seq WHERE s.seq = $1 AND i.deleted_at IS NULL"
        );
        self.store.reader().one(&text, vals![seq]).await?.as_ref().map(read).transpose()
    }

    /// Streams whose next event is to be pushed now.
    pub(crate) async fn due(&self) -> Result<Vec<i64>, StoreError> {
        let rows = self
            .store
            .reader()
            .all(
                "SELECT s.seq FROM event_stream s WHERE s.delivery = 'push' AND s.paused = 0 AND s.due_at <= $1 \
                 AND EXISTS (SELECT 1 FROM event e WHERE e.stream_seq = s.seq AND e.refusal IS NULL) ORDER BY s.due_at, s.seq",
                vals![self.clock.micros()],
            )
            .await?;
        rows.iter().map(|row| row.col("seq")).collect()
    }

    /// The first tokens of a stream's line.
    pub(crate) async fn waiting(&self, stream: &Stream, limit: u64) -> Result<Vec<Waiting>, StoreError> {
        let rows = self
            .store
            .reader()
            .all(
                "SELECT jti, txn, subject, events, at FROM event WHERE stream_seq = $1 AND refusal IS NULL ORDER BY place, seq LIMIT $2",
                vals![stream.seq, i64::try_from(limit).unwrap_or(i64::MAX)],
            )
            .await?;
        let issuer = format!("{}/i/{}/scim/v2", self.public_url, stream.instance_id);
        let mut all = Vec::with_capacity(rows.len());
        for row in &rows {
            let json = |column: &str| -> Result<Value, StoreError> {
                serde_json::from_str(&row.col::<String>(column)?)
                    .map_err(|error| StoreError::damaged(format!("event.{column}: {error}")))
            };
            let (jti, transaction): (String, String) = (row.col("jti")?, row.col("txn")?);
            let token = Token {
                issuer: &issuer,
                audience: &stream.audience,
                id: &jti,
                transaction: &transaction,
                at: row.col::<i64>("at")?.div_euclid(1_000_000),
                subject: &json("subject")?,
                events: &json("events")?,
            };
            let token = self.signer.sign(&token.claims()).await?;
            all.push(Waiting { jti, token });
        }
        Ok(all)
    }

    /// Records what became of tokens. What is not known (taken already, of another stream) changes nothing.
    pub(crate) async fn judge(&self, stream: i64, verdicts: Verdicts) -> Result<(), StoreError> {
        if verdicts.taken.is_empty() && verdicts.refused.is_empty() {
            return Ok(());
        }
        self.store.write(Priority::Driver, Judge { stream, verdicts }).await
    }

    /// Records that nothing could be delivered, and when it is tried again.
    pub(crate) async fn failed(&self, stream: &Stream, due_at: i64, error: String) -> Result<(), StoreError> {
        self.store.write(Priority::Driver, Failed { stream: stream.seq, due_at, error }).await
    }

    /// A poll of a stream of this instance (RFC 8936).
    ///
    /// # Errors
    /// 404 for a stream that is not there or is pushed; the store's.
    pub async fn poll(&self, instance: &Instance, id: &str, poll: Poll) -> Result<Value, Failure> {
        let text = format!(
            "SELECT {COLUMNS} FROM event_stream s JOIN instance i ON i.seq = s.instance_seq WHERE s.id = $1 AND s.instance_seq = $2 AND s.delivery = 'poll'"
        );
        let row = self.store.reader().one(&text, vals![id, instance.seq]).await?;
        let Some(stream) = row.as_ref().map(read).transpose()? else {
            return Err(ScimError::not_found(
                "This instance has no event stream of this id that is delivered by poll. An admin sees its streams in scimgate.",
            )
            .into());
        };
        let most = poll.max_events;
        self.judge(stream.seq, Verdicts { taken: poll.ack, refused: poll.errors }).await?;
        if most == 0 {
            return Ok(answer(Vec::new(), false));
        }
        // Without a place among those who wait, the answer comes at once; the client asks again.
        let patient = if poll.return_immediately { None } else { self.polls.try_acquire().ok() };
        let now = self.clock.now();
        let until = now.checked_add(POLL_WAIT).unwrap_or(now);
        loop {
            let paused = self.stream(stream.seq).await?.is_none_or(|stream| stream.paused);
            let mut found = if paused { Vec::new() } else { self.waiting(&stream, most + 1).await? };
            let now = self.clock.now();
            if !found.is_empty() || patient.is_none() || now >= until || self.closing.is_cancelled() {
                let size = usize::try_from(most).unwrap_or(usize::MAX);
                let more = found.len() > size;
                found.truncate(size);
                return Ok(answer(found, more));
            }
            tokio::select! {
                () = self.closing.cancelled() => {}
                () = self.clock.sleep_until(now.checked_add(POLL_LOOK).unwrap_or(until).min(until)) => {}
            }
        }
    }

    /// Drops what is too old or too much, and forgets old refusals. What was dropped is counted on the stream.
    ///
    /// # Errors
    /// The store's.
    pub async fn tidy(&self) -> Result<(), StoreError> {
        let orphans = "SELECT 1 FROM event WHERE stream_seq NOT IN (SELECT seq FROM event_stream) LIMIT 1";
        let rows = self.store.reader().all("SELECT seq FROM event_stream ORDER BY seq", vals![]).await?;
        if rows.is_empty() && self.store.reader().one(orphans, vals![]).await?.is_none() {
            return Ok(());
        }
        for row in &rows {
            let stream = row.col("seq")?;
            let dropped = self.store.write(Priority::Background, Tidy { stream }).await?;
            if dropped > 0 {
                tracing::warn!(stream, dropped, "events were dropped because nobody took them in time");
            }
        }
        self.store.write(Priority::Background, Orphans).await
    }
}

fn answer(found: Vec<Waiting>, more: bool) -> Value {
    let sets: Map<String, Value> = found.into_iter().map(|one| (one.jti, Value::String(one.token))).collect();
    json!({"sets": sets, "moreAvailable": more})
}

struct Judge {
    stream: i64,
    verdicts: Verdicts,
}

#[async_trait]
impl Unit for Judge {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let mut taken = 0;
        for jti in &self.verdicts.taken {
            taken += tx
                .conn
                .run(
                    "DELETE FROM event WHERE jti = $1 AND stream_seq = $2 AND refusal IS NULL",
                    vals![jti.as_str(), self.stream],
                )
                .await?;
        }
        let mut refused = 0;
        let mut last = None;
        for (jti, error) in &self.verdicts.refused {
            let words = json!({"err": error.code, "description": error.description, "at": tx.now});
            let hit = tx
                .conn
                .run(
                    "UPDATE event SET refusal = $3 WHERE jti = $1 AND stream_seq = $2 AND refusal IS NULL",
                    vals![jti.as_str(), self.stream, words.to_string()],
                )
                .await?;
            if hit > 0 {
                refused += hit;
                last = Some(format!("The receiver refused an event: {} {}", error.code, error.description));
            }
        }
        if taken + refused == 0 {
            return Ok(());
        }
        tx.conn
            .run(
                "UPDATE event_stream SET tries = 0, due_at = 0, delivered = delivered + $2, refused = refused + $3, \
                 delivered_at = CASE WHEN $2 > 0 THEN $5 ELSE delivered_at END, \
                 last_error = COALESCE($4, last_error), last_error_at = CASE WHEN $4 IS NULL THEN last_error_at ELSE $5 END WHERE seq = $1",
                vals![
                    self.stream,
                    i64::try_from(taken).unwrap_or(i64::MAX),
                    i64::try_from(refused).unwrap_or(i64::MAX),
                    last,
                    tx.now
                ],
            )
            .await?;
        Ok(())
    }
}

struct Failed {
    stream: i64,
    due_at: i64,
    error: String,
}

#[async_trait]
impl Unit for Failed {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        tx.conn
            .run(
                "UPDATE event_stream SET tries = tries + 1, due_at = $2, last_error = $3, last_error_at = $4 WHERE seq = $1",
                vals![self.stream, self.due_at, self.error.as_str(), tx.now],
            )
            .await?;
        Ok(())
    }
}

struct Tidy {
    stream: i64,
}

#[async_trait]
impl Unit for Tidy {
    /// How many that waited were dropped.
    type Out = i64;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<i64, StoreError> {
        let oldest = tx.now - i64::try_from(MAX_AGE.as_micros()).unwrap_or(i64::MAX);
        let mut dropped = tx
            .conn
            .run(
                "DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE stream_seq = $1 AND at < $2 AND refusal IS NULL ORDER BY at LIMIT $3)",
                vals![self.stream, oldest, DROPPED_AT_ONCE],
            )
            .await?;
        let waits = tx
            .conn
            .one("SELECT COUNT(*) AS n FROM event WHERE stream_seq = $1 AND refusal IS NULL", vals![self.stream])
            .await?
            .map_or(Ok(0), |row| row.col::<i64>("n"))?;
        if waits > MAX_PENDING {
            dropped += tx
                .conn
                .run(
                    "DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE stream_seq = $1 AND refusal IS NULL ORDER BY place, seq LIMIT $2)",
                    vals![self.stream, (waits - MAX_PENDING).min(DROPPED_AT_ONCE)],
                )
                .await?;
        }
        tx.conn
            .run(
                "DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE stream_seq = $1 AND refusal IS NOT NULL ORDER BY place DESC, seq DESC LIMIT $3 OFFSET $2)",
                vals![self.stream, KEPT_REFUSALS, DROPPED_AT_ONCE],
            )
            .await?;
        let dropped = i64::try_from(dropped).unwrap_or(i64::MAX);
        if dropped > 0 {
            tx.conn
                .run("UPDATE event_stream SET dropped = dropped + $2 WHERE seq = $1", vals![self.stream, dropped])
                .await?;
        }
        Ok(dropped)
    }
}

/// Removes events of streams that are gone.
struct Orphans;

#[async_trait]
impl Unit for Orphans {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        tx.conn.run("DELETE FROM event WHERE stream_seq NOT IN (SELECT seq FROM event_stream)", vals![]).await?;
        Ok(())
    }
}

/// Puts an event into a stream's line that says nothing but `state`, which is answered.
pub(super) async fn verify(tx: &Tx<'_>, stream: i64, stream_id: &str) -> Result<(String, String), StoreError> {
    let (jti, state) = (Uuid::new_v4().simple().to_string(), Uuid::new_v4().simple().to_string());
    let subject = json!({"format": "opaque", "id": stream_id});
    let events = json!({VERIFICATION: {"state": state}});
    tx.conn
        .run(
            "INSERT INTO event (seq, stream_seq, resource_seq, place, jti, txn, subject, events, at, refusal) VALUES ($1,$2,0,$3,$4,$5,$6,$7,$3,NULL)",
            vals![tx.seq()?, stream, tx.now, jti.as_str(), state.as_str(), subject.to_string(), events.to_string()],
        )
        .await?;
    Ok((jti, state))
}
