//! The load client: keep-alive connections that each send the next request when the answer is there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// How much load.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Connections.
    pub(crate) connections: usize,
    /// Requests at most.
    pub(crate) requests: usize,
    /// Time at most.
    pub(crate) bound: Option<Duration>,
}

/// One request.
#[derive(Clone)]
pub(crate) struct Shot {
    method: Method,
    path: String,
    body: Bytes,
    statuses: &'static [u16],
}

impl Shot {
    /// A GET that answers 200.
    pub(crate) fn get(path: String) -> Self {
        Self { method: Method::GET, path, body: Bytes::new(), statuses: &[200] }
    }

    /// A request with a body that answers one of these.
    pub(crate) fn write(method: Method, path: String, body: &Value, statuses: &'static [u16]) -> Self {
        Self { method, path, body: Bytes::from(body.to_string()), statuses }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Latencies, sorted.
    latencies: Vec<Duration>,
    elapsed: Duration,
    /// Bodies by the number of the request, where they were asked for.
    pub(crate) bodies: BTreeMap<usize, Bytes>,
}

impl Outcome {
    /// Requests answered.
    pub(crate) fn requests(&self) -> usize {
        self.latencies.len()
    }

    /// Requests a second.
    pub(crate) fn rate(&self) -> f64 {
        self.requests() as f64 / self.elapsed.as_secs_f64()
    }

    /// A percentile of the latency, in milliseconds.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let at = (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
    }
}

/// Shoots at a server; `prefix` goes before every path. Answers that were not expected end it.
pub(crate) async fn shoot(
    address: SocketAddr,
    prefix: &str,
    key: &str,
    load: &Load,
    keep_bodies: bool,
    shot: impl Fn(usize) -> Shot + Send + Sync + 'static,
) -> Result<Outcome> {
    let (next, shot) = (Arc::new(AtomicUsize::new(0)), Arc::new(shot));
    let started = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..load.connections {
        let (next, shot, load) = (Arc::clone(&next), Arc::clone(&shot), load.clone());
        let (prefix, bearer) = (prefix.to_owned(), format!("Bearer {key}"));
        tasks.push(tokio::spawn(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            let (mut latencies, mut bodies) = (Vec::new(), Vec::new());
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= load.requests || load.bound.is_some_and(|bound| started.elapsed() >= bound) {
                    return Ok((latencies, bodies));
                }
                let Shot { method, path, body, statuses } = shot(n);
                let mut request = Request::builder()
                    .method(method)
                    .uri(format!("{prefix}{path}"))
                    .header(header::HOST, "bench")
                    .header(header::AUTHORIZATION, &bearer);
                if !body.is_empty() {
                    request = request.header(header::CONTENT_TYPE, "application/scim+json");
                }
                let began = Instant::now();
                let answer = sender.send_request(request.body(Full::new(body))?).await.context("no answer")?;
                let status = answer.status().as_u16();
                let body = answer.into_body().collect().await?.to_bytes();
                latencies.push(began.elapsed());
                if !statuses.contains(&status) {
                    bail!("{path}: expected {statuses:?}, found {status}: {}", String::from_utf8_lossy(&body));
                }
                if keep_bodies {
                    bodies.push((n, body));
                }
            }
        }));
    }
    let (mut latencies, mut bodies) = (Vec::new(), BTreeMap::new());
    for task in tasks {
        let (some, more) = task.await??;
        latencies.extend(some);
        bodies.extend(more);
    }
    let elapsed = started.elapsed();
    latencies.sort_unstable();
    Ok(Outcome { latencies, elapsed, bodies })
}
