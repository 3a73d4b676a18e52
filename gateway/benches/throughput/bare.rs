//! What the same machine does without a gateway: one row read by key, one row inserted, over the
//! same listener, with the same pragmas, inserts sharing commits as the gateway's writes do.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use bytes::Bytes;
use gateway::server::{ServerOptions, serve};
use http::{Method, StatusCode};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::load::{Outcome, Shot, shoot};
use crate::{Options, place, spread};

/// Inserts that share a commit at most.
const GROUP: usize = 64;

type Insert = (String, oneshot::Sender<bool>);

#[derive(Clone)]
struct Rows {
    read: SqlitePool,
    write: mpsc::Sender<Insert>,
}

/// The bare server.
pub(crate) struct Server {
    address: SocketAddr,
    rows: usize,
    stop: CancellationToken,
    task: JoinHandle<()>,
    _folder: TempDir,
}

impl Server {
    /// Starts it with so many rows.
    pub(crate) async fn start(rows: usize) -> Result<Self> {
        let folder = place::folder()?;
        let options = SqliteConnectOptions::from_str(&format!("sqlite://{}", folder.path().join("bare.db").display()))?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
            .pragma("cache_size", "-16000")
            .pragma("journal_size_limit", "67108864");
        let writing = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        sqlx::query("CREATE TABLE row (id TEXT PRIMARY KEY, doc TEXT NOT NULL)").execute(&writing).await?;
        let mut tx = writing.begin().await?;
        for n in 0..rows {
            sqlx::query("INSERT INTO row (id, doc) VALUES (?, ?)")
                .bind(n.to_string())
                .bind(place::user(n).to_string())
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        let (write, inserts) = mpsc::channel(4096);
        tokio::spawn(insert(writing, inserts));
        let read = SqlitePoolOptions::new().max_connections(4).connect_with(options).await?;
        let router =
            Router::new().route("/row/{id}", get(one)).route("/row", post(add)).with_state(Rows { read, write });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, router, ServerOptions::default(), stop.clone()));
        Ok(Self { address, rows, stop, task, _folder: folder })
    }

    /// Reads one row per request.
    pub(crate) async fn reads(&self, options: &Options) -> Result<Outcome> {
        let rows = self.rows;
        let shot = move |n: usize| Shot::get(format!("/row/{}", spread(n, rows)));
        shoot(self.address, "", "none", &options.load(usize::MAX), false, shot).await.context("bare reads")
    }

    /// Inserts one row per request.
    pub(crate) async fn writes(&self, options: &Options) -> Result<Outcome> {
        let shot = |n: usize| Shot::write(Method::POST, "/row".to_owned(), &place::user(n), &[201]);
        shoot(self.address, "", "none", &options.load(usize::MAX), false, shot).await.context("bare inserts")
    }

    /// Ends it.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        // It ends when its connections are closed; nothing of it can fail that matters now.
        let _ = self.task.await;
    }
}

async fn one(State(rows): State<Rows>, Path(id): Path<String>) -> Result<impl IntoResponse, StatusCode> {
    let row = sqlx::query("SELECT doc FROM row WHERE id = ?")
        .bind(id)
        .fetch_optional(&rows.read)
        .await
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let doc: String = row.ok_or(StatusCode::NOT_FOUND)?.get("doc");
    Ok(([("content-type", "application/json")], doc))
}

async fn add(State(rows): State<Rows>, body: Bytes) -> Result<StatusCode, StatusCode> {
    // It parses what it is sent, as any server of JSON would.
    let doc: serde_json::Value = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let (reply, done) = oneshot::channel();
    rows.write.send((doc.to_string(), reply)).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    match done.await {
        Ok(true) => Ok(StatusCode::CREATED),
        _ => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Commits what waits in groups.
async fn insert(pool: SqlitePool, mut inserts: mpsc::Receiver<Insert>) {
    while let Some(first) = inserts.recv().await {
        let mut group = vec![first];
        while group.len() < GROUP {
            let Ok(more) = inserts.try_recv() else { break };
            group.push(more);
        }
        let done = commit(&pool, &group).await.is_ok();
        for (_, reply) in group {
            // A client that left needs no answer.
            let _ = reply.send(done);
        }
    }
}

async fn commit(pool: &SqlitePool, group: &[Insert]) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    for (doc, _) in group {
        sqlx::query("INSERT INTO row (id, doc) VALUES (?, ?)")
            .bind(uuid::Uuid::new_v4().to_string())
            .bind(doc)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await
}
