//! A target that answers by a function, and a connector of a manifest for it.

#![allow(dead_code, reason = "each test uses its part")]

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use connector_sdk::{Call, Connector, Cx, Fault, Reply, Secrets, Transport};
use declarative::Manifest;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

/// What answers the n-th call.
type Answers = dyn Fn(&Call, usize) -> Reply + Send + Sync;

/// A target that answers by a function.
pub(crate) struct Scripted {
    answers: Box<Answers>,
    sent: AtomicUsize,
    now: Timestamp,
}

impl Scripted {
    pub(crate) fn new(answers: impl Fn(&Call, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self { answers: Box::new(answers), sent: AtomicUsize::new(0), now: now() }
    }

    pub(crate) fn cx(&self) -> Cx<'_> {
        Cx::new(self, self.now)
    }

    /// The same, later.
    pub(crate) fn later(&mut self, seconds: i64) {
        self.now = self.now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
    }

    pub(crate) fn count(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Transport for Scripted {
    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        Ok((self.answers)(&call, self.sent.fetch_add(1, Ordering::SeqCst)))
    }
}

pub(crate) fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

/// An answer with a JSON body and perhaps a `Link`.
pub(crate) fn reply(status: u16, body: &Value, link: Option<&str>) -> Reply {
    let mut headers = HeaderMap::new();
    if let Some(link) = link {
        headers.insert("link", HeaderValue::from_str(link).unwrap());
    }
    with(status, headers, &body.to_string())
}

/// An answer.
pub(crate) fn with(status: u16, headers: HeaderMap, body: &str) -> Reply {
    Reply::new(StatusCode::from_u16(status).unwrap(), headers, Bytes::from(body.to_owned()), now())
}

/// The connector of a manifest, with a token.
pub(crate) fn built(manifest: &Manifest, settings: &Value) -> Arc<dyn Connector> {
    let secrets = Secrets::new([("token".to_owned(), SecretString::from("sesame-sesame"))]);
    manifest.entry().unwrap().build(settings, &secrets).unwrap()
}

/// Runs a future that never waits for anything outside.
pub(crate) fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
