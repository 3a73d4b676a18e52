//! First contact that fails: calls to the address of an instance that no key let in. Whoever sets an identity provider up
//! sees by them why nothing comes. One row per instance is kept, the newest call with a count, so that strangers cost
//! nothing; and it is written beside the request's path, so that the answer tells nobody whether an instance is there.
//!
//! What is kept: when, from which address, and what was wrong with the key. Of the key itself no more than its public id,
//! and that only where it is one of this instance.

use std::collections::HashMap;
use std::net::IpAddr;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::rejected::PAUSE;
use super::{App, time};
use crate::service::types::Instance;
use crate::store::{Priority, Rows, Sql, Store, StoreError, Tx, Unit};

/// What makes the row of strangers' calls one, beside the instance.
pub(super) const DIGEST: &str = "stranger";
/// Longest id of an instance that is looked for, in bytes.
const LONGEST_ID: usize = 64;

/// What was sent where a key should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing.
    Nothing,
    /// A text that is no key of scimgate.
    NoKey,
    /// A token of the admin API.
    AdminToken,
    /// A key with this public id.
    Key(String),
}

/// A call that no key let in.
#[derive(Clone, Debug)]
pub struct Stranger {
    /// The id in the URL, whether there is such an instance or not.
    pub instance: String,
    /// What was sent where a key should be.
    pub sent: Kept,
    /// The method.
    pub method: &'static str,
    /// The status that was answered.
    pub status: u16,
    /// From where it came.
    pub from: Option<IpAddr>,
    /// The request's id.
    pub request_id: Option<String>,
    /// When, in microseconds.
    pub at: i64,
}

/// Writes what comes, together what came in one second. It ends with the sender.
pub(super) async fn write(store: Store, mut calls: mpsc::Receiver<Stranger>, ending: CancellationToken) {
    let mut batch = Vec::new();
    while calls.recv_many(&mut batch, 64).await > 0 {
        let mut latest: HashMap<String, (Stranger, i64, i64)> = HashMap::new();
        for call in batch.drain(..).filter(|call| call.instance.len() <= LONGEST_ID) {
            let first = call.at;
            let (last, n, _) = latest.entry(call.instance.clone()).or_insert_with(|| (call.clone(), 0, first));
            *n += 1;
            *last = call;
        }
        let mut rows = Vec::new();
        for (call, n, first) in latest.into_values() {
            match judged(&store, &call).await {
                Ok(Some((instance, key, detail))) => rows.push(Row { instance, key, detail, call, n, first }),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "a call without a key could not be put on record"),
            }
        }
        rows.sort_by_key(|row| row.instance);
        if !rows.is_empty()
            && let Err(error) = store.write(Priority::Background, Keep(rows)).await
        {
            tracing::warn!(%error, "calls without a key could not be put on record");
        }
        tokio::select! {
            () = ending.cancelled() => {}
            () = store.clock().sleep(PAUSE) => {}
        }
    }
}

/// The row of the instance, the id of its key that was meant, and what was wrong; none if there is no such instance.
async fn judged(store: &Store, call: &Stranger) -> Result<Option<(i64, String, String)>, StoreError> {
    let reader = store.reader();
    let row = reader
        .one("SELECT seq FROM instance WHERE id = $1 AND deleted_at IS NULL", vals![call.instance.as_str()])
        .await?;
    let Some(row) = row else { return Ok(None) };
    let instance: i64 = row.col("seq")?;
    let (mut key, mut detail) = (String::new(), "What was sent is not a key of scimgate.".to_owned());
    match &call.sent {
        Kept::Nothing => detail = "No key was sent.".to_owned(),
        Kept::NoKey => {}
        Kept::AdminToken => {
            detail = "A token of the admin API was sent, where a key of this instance is needed.".to_owned();
        }
        Kept::Key(id) => {
            let found = reader
                .one("SELECT instance_seq, not_after FROM api_key WHERE key_id = $1", vals![id.as_str()])
                .await?
                .map(|row| Ok::<_, StoreError>((row.col::<i64>("instance_seq")?, row.col::<Option<i64>>("not_after")?)))
                .transpose()?;
            detail = match found {
                None => "The key is unknown here: it was revoked long ago, or another gateway made it.".to_owned(),
                Some((owner, _)) if owner != instance => "The key belongs to another instance.".to_owned(),
                Some((_, Some(end))) if end <= call.at => {
                    key.clone_from(id);
                    format!("The key was revoked or ran out, {}.", time(end))
                }
                Some(_) => {
                    key.clone_from(id);
                    "The key is not whole: a part of it was lost or changed when it was copied.".to_owned()
                }
            };
        }
    }
    Ok(Some((instance, key, detail)))
}

struct Row {
    instance: i64,
    key: String,
    detail: String,
    call: Stranger,
    n: i64,
    first: i64,
}

struct Keep(Vec<Row>);

#[async_trait]
impl Unit for Keep {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        for row in &self.0 {
            tx.conn
                .run(
                    "INSERT INTO rejected (seq, instance_seq, digest, key_id, method, path, status, scim_type, detail, request_id, shape, origin, n, first_at, last_at) \
                     VALUES ($1,$2,$3,$4,$5,'',$6,NULL,$7,$8,NULL,$9,$10,$11,$12) ON CONFLICT (instance_seq, digest) DO UPDATE SET \
                     key_id = excluded.key_id, method = excluded.method, status = excluded.status, detail = excluded.detail, \
                     request_id = excluded.request_id, origin = excluded.origin, n = rejected.n + excluded.n, last_at = excluded.last_at",
                    vals![
                        tx.seq()?,
                        row.instance,
                        DIGEST,
                        row.key.as_str(),
                        row.call.method,
                        i16::try_from(row.call.status).unwrap_or(0),
                        row.detail.as_str(),
                        row.call.request_id.clone(),
                        row.call.from.map(|from| from.to_string()),
                        row.n,
                        row.first,
                        row.call.at
                    ],
                )
                .await?;
        }
        Ok(())
    }
}

impl App {
    /// The newest call to an instance's address that no key let in, and how many there were; none if there was none
    /// within the time that refused requests are kept.
    ///
    /// # Errors
    /// The store's.
    pub async fn stranger(&self, instance: &Instance) -> Result<Option<Value>, StoreError> {
        let row = self
            .store
            .reader()
            .one(
                "SELECT j.key_id, k.name, j.detail, j.origin, j.request_id, j.n, j.first_at, j.last_at FROM rejected j \
                 LEFT JOIN api_key k ON k.key_id = j.key_id WHERE j.instance_seq = $1 AND j.digest = $2",
                vals![instance.seq, DIGEST],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(json!({
            "key": Some(row.col::<String>("key_id")?).filter(|key| !key.is_empty()),
            "key_name": row.col::<Option<String>>("name")?,
            "detail": row.col::<String>("detail")?,
            "origin": row.col::<Option<String>>("origin")?,
            "request_id": row.col::<Option<String>>("request_id")?,
            "count": row.col::<i64>("n")?,
            "first_at": time(row.col("first_at")?),
            "last_at": time(row.col("last_at")?),
        })))
    }
}
