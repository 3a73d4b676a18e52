//! One simulated target with everything around it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Value, json};

use crate::calls::{self, Calls};
use crate::faults::{Effect, Faults};
use crate::limits::Bucket;
use crate::{Clock, Limits, Target, control};

/// The connection was closed without an answer, by a fault on order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection was dropped by a fault on order")
    }
}

impl std::error::Error for Dropped {}

/// A simulated target with its ledger, faults, limit and clock. Clones are the same simulator.
#[derive(Clone)]
pub struct Simulator {
    inner: Arc<Mutex<Inner>>,
    clock: Clock,
}

pub(crate) struct Inner {
    pub(crate) target: Box<dyn Target>,
    pub(crate) faults: Faults,
    pub(crate) calls: Calls,
    bucket: Option<Bucket>,
}

impl Simulator {
    /// Puts `target` under these limits and this clock.
    pub fn new(target: Box<dyn Target>, limits: Limits, clock: Clock) -> Self {
        let bucket = match limits {
            Limits::PerSecond(n) => Some(Bucket::new(n)),
            Limits::None | Limits::Real => None,
        };
        let inner = Inner { target, faults: Faults::default(), calls: Calls::default(), bucket };
        Self { inner: Arc::new(Mutex::new(inner)), clock }
    }

    /// The line that `scimgate simulate` prints when it is ready.
    pub fn offer(&self, base_url: &str) -> Value {
        let inner = self.lock();
        let offer = inner.target.offer(base_url);
        json!({
            "target": inner.target.name(),
            "base_url": base_url,
            "connector": offer.connector,
            "settings": offer.settings,
            "secrets": offer.secrets,
        })
    }

    /// Answers one request, of the target's API or of the control API, exactly as over a socket.
    ///
    /// # Errors
    /// [`Dropped`] when a fault closes the connection.
    pub async fn handle(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Dropped> {
        if control::owns(request.uri().path()) {
            return Ok(control::answer(&mut self.lock(), &self.clock, &request));
        }
        let mut response = self.strike(request).await?;
        // By this clock and not by the machine's: the target's times are told by it.
        if let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&self.clock.now())
            && let Ok(date) = HeaderValue::try_from(date)
        {
            response.headers_mut().entry(http::header::DATE).or_insert(date);
        }
        Ok(response)
    }

    /// One call of the target's API, or what a fault makes of it.
    async fn strike(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Dropped> {
        let (n, effect) = {
            let mut inner = self.lock();
            let uri = request.uri();
            let path = uri.path_and_query().map_or("/", |p| p.as_str());
            let asked = uri.path().ends_with("/graphql").then(|| calls::graphql(request.body())).flatten();
            let n = inner.calls.arrive(request.method().as_str(), path, asked, self.clock.now());
            (n, inner.faults.strike(request.method(), uri))
        };
        match effect {
            None => Ok(self.work(n, &request)),
            Some(Effect::Answer(answer)) => {
                self.lock().calls.answered(n, answer.status().as_u16());
                Ok(*answer)
            }
            Some(Effect::DropBefore) => Err(Dropped),
            Some(Effect::DropAfter) => {
                self.work(n, &request);
                Err(Dropped)
            }
            Some(Effect::Delay(delay)) => {
                // A task of its own: a slow target still does the work when its client has left.
                let this = self.clone();
                let slow = tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    this.work(n, &request)
                });
                slow.await.map_err(|_| Dropped)
            }
        }
    }

    fn work(&self, n: u64, request: &Request<Bytes>) -> Response<Bytes> {
        let now = self.clock.now();
        let mut inner = self.lock();
        let allowed = inner.bucket.as_mut().map_or(Ok(()), |b| b.take(now));
        let response = match allowed {
            Ok(()) => inner.target.handle(request, now),
            Err(wait) => inner.target.too_many(wait, now),
        };
        inner.calls.answered(n, response.status().as_u16());
        response
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
