//! Requests of known clients that were refused. They are put on record beside the request's path: through a channel that
//! drops what it cannot hold, by one task that writes once a second at most, one row per sort of refusal with a count.
//! So a client that sends the same mistake a thousand times a second costs a counter.
//!
//! What is kept: who, when, method, path without its query, the answer, and of the body its shape: which attributes it
//! had and of which type, no value. Path and answer may hold the id or name that is needed to find the person; they go
//! after the time that the configuration says, and with the person's data where that is erased.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::stranger::{self, Stranger};
use super::{App, parsed, time};
use crate::service::types::Instance;
use crate::store::{Priority, Rows, Sql, Store, StoreError, Tx, Unit};
use crate::telemetry::names;

/// Refusals that wait to be written at most.
const QUEUE: usize = 512;
/// Calls of strangers that wait at most.
const STRANGERS: usize = 64;
/// How often they are written at most.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// Sorts of refusals that are kept of one instance; the longest unseen go first.
const MOST: i64 = 1_000;
/// Characters that are kept of a path and of a detail.
const LONGEST_PATH: usize = 300;
const LONGEST_DETAIL: usize = 500;
/// Names that the shape of a body shows, and how deep it goes.
const SHAPE_NAMES: usize = 60;
const SHAPE_DEPTH: usize = 4;

/// A request that was refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Of which instance.
    pub instance_seq: i64,
    /// The key that asked.
    pub key_id: String,
    /// The method.
    pub method: &'static str,
    /// The path below the base URL, without the query; the whole one where it holds the base URL's end twice.
    pub path: String,
    /// The status that was answered.
    pub status: u16,
    /// The SCIM error's type.
    pub scim_type: Option<String>,
    /// What the client was told.
    pub detail: String,
    /// The request's id.
    pub request_id: Option<String>,
    /// What the body held, without its values.
    pub shape: Option<String>,
    /// When, in microseconds.
    pub at: i64,
}

impl Refusal {
    /// What makes refusals one sort.
    fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let status = self.status.to_string();
        let parts =
            [&self.key_id, self.method, &self.path, &status, self.scim_type.as_deref().unwrap_or(""), &self.detail];
        for part in parts {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The way to the record of refusals. Once it is dropped what waits is written, and nothing holds the store any more.
#[derive(Debug, Default)]
pub struct Refusals(OnceLock<Ways>);

/// Known clients and strangers wait apart, so that no stranger takes a client's place.
#[derive(Debug)]
struct Ways {
    known: mpsc::Sender<Refusal>,
    strangers: mpsc::Sender<Stranger>,
    _ending: DropGuard,
}

impl Refusals {
    fn ways(&self, store: &Store) -> &Ways {
        self.0.get_or_init(|| {
            let (known, refusals) = mpsc::channel(QUEUE);
            let (strangers, calls) = mpsc::channel(STRANGERS);
            let ending = CancellationToken::new();
            tokio::spawn(write(store.clone(), refusals, ending.clone()));
            tokio::spawn(stranger::write(store.clone(), calls, ending.clone()));
            Ways { known, strangers, _ending: ending.drop_guard() }
        })
    }

    /// Hands a refusal over to be recorded; it is dropped, and counted, where too many wait already.
    pub fn push(&self, store: &Store, mut refusal: Refusal) {
        refusal.path = cut(&refusal.path, LONGEST_PATH);
        refusal.detail = cut(&refusal.detail, LONGEST_DETAIL);
        if self.ways(store).known.try_send(refusal).is_err() {
            metrics::counter!(names::REFUSALS_DROPPED_TOTAL).increment(1);
        }
    }

    /// Hands over a call that no key let in. Where many wait already it is dropped: the newest one of an instance is all
    /// that is kept.
    pub fn push_stranger(&self, store: &Store, stranger: Stranger) {
        let _ = self.ways(store).strangers.try_send(stranger);
    }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().filter(|character| *character != '\0').take(most).collect()
}

/// Writes what comes, together what came in one second. It ends with the sender.
async fn write(store: Store, mut receiver: mpsc::Receiver<Refusal>, ending: CancellationToken) {
    let mut batch = Vec::with_capacity(QUEUE);
    while receiver.recv_many(&mut batch, QUEUE).await > 0 {
        let mut sorts: HashMap<(i64, String), (Refusal, i64, i64)> = HashMap::new();
        for refusal in batch.drain(..) {
            let key = (refusal.instance_seq, refusal.digest());
            let first = refusal.at;
            let (latest, n, _) = sorts.entry(key).or_insert_with(|| (refusal.clone(), 0, first));
            *n += 1;
            *latest = refusal;
        }
        let mut sorts: Vec<_> =
            sorts.into_iter().map(|((_, digest), (last, n, first))| (digest, last, n, first)).collect();
        // In one order on every replica: two that write the same rows would wait for each other.
        sorts.sort_by(|a, b| (a.1.instance_seq, &a.0).cmp(&(b.1.instance_seq, &b.0)));
        if let Err(error) = store.write(Priority::Background, Keep(sorts)).await {
            tracing::warn!(%error, "refused requests could not be put on record");
        }
        tokio::select! {
            () = ending.cancelled() => {}
            () = store.clock().sleep(PAUSE) => {}
        }
    }
}

/// Sorts with their latest refusal, how many there were and when the first was.
struct Keep(Vec<(String, Refusal, i64, i64)>);

#[async_trait]
impl Unit for Keep {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let mut instances: Vec<i64> = Vec::new();
        for (digest, last, n, first) in &self.0 {
            tx.conn
                .run(
                    "INSERT INTO rejected (seq, instance_seq, digest, key_id, method, path, status, scim_type, detail, request_id, shape, n, first_at, last_at) \
                     VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14) ON CONFLICT (instance_seq, digest) DO UPDATE SET \
                     n = rejected.n + excluded.n, last_at = CASE WHEN excluded.last_at > rejected.last_at THEN excluded.last_at ELSE rejected.last_at END, \
                     request_id = excluded.request_id, shape = excluded.shape",
                    vals![
                        tx.seq()?,
                        last.instance_seq,
                        digest.as_str(),
                        last.key_id.as_str(),
                        last.method,
                        last.path.as_str(),
                        i16::try_from(last.status).unwrap_or(0),
                        last.scim_type.clone(),
                        last.detail.as_str(),
                        last.request_id.clone(),
                        last.shape.clone(),
                        *n,
                        *first,
                        last.at
                    ],
                )
                .await?;
            if !instances.contains(&last.instance_seq) {
                instances.push(last.instance_seq);
            }
        }
        for instance in instances {
            tx.conn
                .run(
                    "DELETE FROM rejected WHERE seq IN (SELECT seq FROM rejected WHERE instance_seq = $1 ORDER BY last_at DESC, seq DESC LIMIT $2 OFFSET $3)",
                    vals![instance, i64::try_from(QUEUE).unwrap_or(i64::MAX), MOST],
                )
                .await?;
        }
        Ok(())
    }
}

/// What a body holds, without its values: names, and of which type each is.
pub(crate) fn shape(body: &Value) -> String {
    let mut left = SHAPE_NAMES;
    shaped(body, SHAPE_DEPTH, &mut left).to_string()
}

fn shaped(value: &Value, depth: usize, left: &mut usize) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("boolean"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("text"),
        Value::Array(items) => match items.first() {
            Some(first) if depth > 0 => json!([shaped(first, depth - 1, left), items.len()]),
            _ => json!(["", items.len()]),
        },
        Value::Object(_) if depth == 0 => json!("object"),
        Value::Object(fields) => {
            let mut shown = Map::new();
            for (name, value) in fields {
                if *left == 0 {
                    shown.insert("...".to_owned(), json!(fields.len()));
                    break;
                }
                *left -= 1;
                // Names of attributes only: what a client puts where a name should be may be anybody's data.
                let plain = name.len() <= 120
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"$._:-".contains(&byte));
                shown.insert(if plain { name.clone() } else { "?".to_owned() }, shaped(value, depth - 1, left));
            }
            Value::Object(shown)
        }
    }
}

impl App {
    /// The requests of an instance's clients that were refused, last seen first, before a place (time and row) of that
    /// order; and where the next page begins. Calls that no key let in are not among them ([`App::stranger`]).
    ///
    /// # Errors
    /// The store's.
    pub async fn list_rejected(
        &self,
        instance: &Instance,
        before: Option<(i64, i64)>,
        limit: i64,
    ) -> Result<(Vec<Value>, Option<(i64, i64)>), StoreError> {
        let (at, seq) = before.unwrap_or((i64::MAX, i64::MAX));
        let rows = self
            .store
            .reader()
            .all(
                "SELECT j.seq, j.key_id, k.name AS key_name, j.method, j.path, j.status, j.scim_type, j.detail, j.request_id, j.shape, j.n, j.first_at, j.last_at \
                 FROM rejected j LEFT JOIN api_key k ON k.key_id = j.key_id WHERE j.instance_seq = $1 AND j.digest <> $5 \
                 AND (j.last_at < $2 OR (j.last_at = $2 AND j.seq < $3)) ORDER BY j.last_at DESC, j.seq DESC LIMIT $4",
                vals![instance.seq, at, seq, limit + 1, stranger::DIGEST],
            )
            .await?;
        let size = usize::try_from(limit).unwrap_or(0);
        let mut items = Vec::with_capacity(rows.len().min(size));
        let mut next = None;
        for row in rows.iter().take(size) {
            let last_at: i64 = row.col("last_at")?;
            next = Some((last_at, row.col("seq")?));
            items.push(json!({
                "key": row.col::<String>("key_id")?,
                "key_name": row.col::<Option<String>>("key_name")?,
                "method": row.col::<String>("method")?,
                "path": row.col::<String>("path")?,
                "status": row.col::<i16>("status")?,
                "scimType": row.col::<Option<String>>("scim_type")?,
                "detail": row.col::<String>("detail")?,
                "request_id": row.col::<Option<String>>("request_id")?,
                "body": row.col::<Option<String>>("shape")?.map(parsed),
                "count": row.col::<i64>("n")?,
                "first_at": time(row.col("first_at")?),
                "last_at": time(last_at),
            }));
        }
        Ok((items, next.filter(|_| rows.len() > size)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_a_body_holds_no_value() {
        let body = json!({
            "schemas": ["urn:x"], "userName": "canary", "password": "canary", "active": true, "n": 4, "none": null,
            "emails": [{"value": "canary"}, {"value": "canary"}], "canary@example.com": {"a": {"b": {"c": {"d": {"canary": 1}}}}},
        });
        let shown = shape(&body);
        assert!(!shown.contains("canary"), "{shown}");
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(
            (&shown["userName"], &shown["emails"], &shown["active"]),
            (&json!("text"), &json!([{"value": "text"}, 2]), &json!("boolean"))
        );
        let wide: Map<String, Value> = (0..10_000).map(|n| (format!("a{n}"), json!({"x": [1, 2]}))).collect();
        assert!(shape(&Value::Object(wide)).len() < 4_000);
    }
}
