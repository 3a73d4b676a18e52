//! The way to a target: everything that stands between a connector and the network, in one place.
//!
//! | layer | why |
//! |---|---|
//! | trace | every call has a span, a metric and a record, whatever becomes of it |
//! | address guard | a URL that may not be called costs no budget (names are checked again where they are resolved) |
//! | deadline | a call that cannot start in time is given back, so that its worker is free |
//! | breaker | a target that is down is not hammered, and others' time is not lost on it |
//! | budget | the target's limits hold before it has to say so, better lanes first |
//! | fence | a replica that lost the lease while it waited sends nothing |
//! | concurrency | the permit is held until the answer's last byte |
//! | reqwest | one client: TLS, connections, time-out, no redirects, no proxy, bounded answers |
//! | observer | what the answer's headers say corrects the budget |
//! | redaction | no header, body, query or URL goes into a log, record, fault or metric |
//!
//! Nothing here repeats a call or waits after a refusal: that is the driver's, who writes down
//! what happened first.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use connector_sdk::{
    Call, Charge, Connector, Desk, Effect, Fault, FaultKind, Repeat, Reply, Retry, Step, Transport, Work,
};
use engine::Lane;
use jiff::Timestamp;
use thiserror::Error as ThisError;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::clock::Clock;
use crate::limits::{Budget, Pass, Permit};
use crate::telemetry::names;

mod ask;
mod guard;
mod post;
mod record;
#[cfg(test)]
mod tests;

use guard::{GuardedResolver, Lookup, allowed, system_lookup};
pub use guard::{Refusal, check_url, public};
pub(crate) use post::Receipt;
pub use record::{CallRecord, Recorder};

/// Settings of the HTTP client.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Whether targets may have private addresses and plain http.
    pub allow_private: bool,
    /// The longest that one call may take, from sending to the end of its answer.
    pub call_timeout: Duration,
    /// The longest that connecting may take, at most three quarters of the call's time.
    pub connect_timeout: Duration,
    /// The longest answer, in bytes.
    pub max_answer_bytes: usize,
    /// What we call ourselves.
    pub user_agent: String,
    /// The folder below which files are targets; `None`: no file is.
    pub files: Option<PathBuf>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            allow_private: false,
            call_timeout: Duration::from_secs(8),
            connect_timeout: Duration::from_secs(5),
            max_answer_bytes: 10 * 1024 * 1024,
            user_agent: concat!("scimgate/", env!("CARGO_PKG_VERSION")).to_owned(),
            files: None,
        }
    }
}

/// The client could not be made.
#[derive(Debug, ThisError)]
#[error(
    "The HTTP client could not be set up: {0}. Are the system's CA certificates installed (package ca-certificates)?"
)]
pub struct HttpError(String);

/// The one HTTP client of this process. Cheap to clone.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
    lookup: Lookup,
    options: Arc<HttpOptions>,
    clock: Clock,
}

impl Http {
    /// Sets the client up.
    ///
    /// # Errors
    /// The TLS library cannot find its certificates.
    pub fn new(options: HttpOptions, clock: Clock) -> Result<Self, HttpError> {
        Self::with_lookup(options, clock, system_lookup())
    }

    fn with_lookup(options: HttpOptions, clock: Clock, lookup: Lookup) -> Result<Self, HttpError> {
        let resolver = GuardedResolver { lookup: lookup.clone(), allow_private: options.allow_private };
        let client = reqwest::Client::builder()
            .tls_backend_rustls()
            .https_only(!options.allow_private)
            .dns_resolver(Arc::new(resolver))
            // A redirect would carry the credential to where the target, or who sits in it, likes.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            // Repeating is the driver's, who looks first.
            .retry(reqwest::retry::never())
            .user_agent(&options.user_agent)
            // Shorter than the call's, so that failing to connect is known as such: nothing was sent.
            .connect_timeout(options.connect_timeout.min(options.call_timeout * 3 / 4))
            .timeout(options.call_timeout)
            .tcp_nodelay(true)
            // Below the idle time of usual load balancers: a connection they are closing loses calls.
            .pool_idle_timeout(Duration::from_secs(30))
            // All calls of a host share one HTTP/2 connection; one that hangs must be found out.
            .http2_keep_alive_interval(Duration::from_secs(10))
            .http2_keep_alive_timeout(Duration::from_secs(5))
            .build()
            .map_err(|error| HttpError(causes(&error)))?;
        Ok(Self { client, lookup, options: Arc::new(options), clock })
    }

    /// The addresses of a host that a connector with connections of its own may connect to.
    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Fault> {
        let unreachable = |why: &str| {
            Fault::new(FaultKind::Unavailable, format!("{host} could not be reached: its name could not be looked up."))
                .context(format!("look-up: {why}"))
        };
        let within = self.options.connect_timeout.min(self.options.call_timeout * 3 / 4);
        let found = tokio::select! {
            biased;
            found = (self.lookup)(host.to_owned()) => found.map_err(|error| unreachable(&error.to_string()))?,
            () = self.clock.sleep(within) => return Err(unreachable("no answer in time")),
        };
        let mut allowed = allowed(found, self.options.allow_private).map_err(|why| refused("connect", host, why))?;
        if allowed.is_empty() {
            return Err(unreachable("no address"));
        }
        allowed.iter_mut().for_each(|address| address.set_port(port));
        Ok(allowed)
    }

    /// The longest that one call may take.
    pub fn call_timeout(&self) -> Duration {
        self.options.call_timeout
    }
}

/// The transport of one attempt: which connector's calls, in which lane, until when.
pub struct Wire {
    http: Http,
    connector: Arc<dyn Connector>,
    budget: Arc<Budget>,
    lane: Lane,
    give_up_at: Timestamp,
    record: Arc<Recorder>,
    fence: Option<Box<dyn Fn() -> bool + Send + Sync>>,
    stop: CancellationToken,
    asked: bool,
    desk: Option<Box<dyn Desk>>,
}

impl Wire {
    /// A transport. No call starts after `give_up_at`.
    pub fn new(
        http: Http,
        connector: Arc<dyn Connector>,
        budget: Arc<Budget>,
        lane: Lane,
        give_up_at: Timestamp,
        record: Arc<Recorder>,
    ) -> Self {
        Self {
            http,
            connector,
            budget,
            lane,
            give_up_at,
            record,
            fence: None,
            stop: CancellationToken::new(),
            asked: false,
            desk: None,
        }
    }

    /// Calls go out though the breaker is open: a person asks whether the target is there.
    #[must_use]
    pub fn asked(mut self) -> Self {
        self.asked = true;
        self
    }

    /// Asks before each call, after its wait for the budget, whether it may still be sent.
    #[must_use]
    pub fn fenced(mut self, fence: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.fence = Some(Box::new(fence));
        self
    }

    /// Leads to a desk, for a target that has no API.
    #[must_use]
    pub fn at(mut self, desk: impl Desk + 'static) -> Self {
        self.desk = Some(Box::new(desk));
        self
    }

    /// Once this is cancelled no call waits for its budget any more.
    #[must_use]
    pub fn until(mut self, stop: CancellationToken) -> Self {
        self.stop = stop;
        self
    }

    /// The layers around one call, outermost first. What was learned on the way is left in `sent`.
    async fn through(&self, call: &Call, sent: &mut Sent) -> Result<Reply, Fault> {
        // address guard
        check_url(&call.url, self.http.options.allow_private).map_err(|why| refused(call.name, &sent.host, why))?;
        let charges = self.connector.traits().tariff.charges(call);
        let (pass, permit) = self.admit(call.name, &charges, &sent.host).await?;
        // reqwest
        let started = self.http.clock.now();
        sent.started = Some(started);
        let result = self.exchange(call, sent, permit).await;
        self.returned(pass, sent, result.as_ref().map(|reply| reply.status.is_server_error()));
        // observer
        if let Ok(reply) = &result {
            self.budget.observe(&self.connector.read_limits(reply));
            // Whoever asked: "too many" stops the whole driver key (DECISIONS 25).
            if let Some(until) = self.connector.throttled(reply) {
                self.budget.push_back(until);
            }
        }
        result
    }

    /// The layers around one step of another protocol; the connector owns the connection.
    async fn around(&self, step: &Step, work: Work<'_>, sent: &mut Sent) -> Result<(), Fault> {
        let (pass, permit) = self.admit(step.name, &step.charges, &sent.host).await?;
        sent.started = Some(self.http.clock.now());
        let limit = self.http.options.call_timeout;
        let result = tokio::select! {
            biased;
            done = work => {
                sent.status = done.code;
                done.result
            }
            () = self.http.clock.sleep(limit) => Err(Fault::new(FaultKind::Timeout, unanswered(&sent.host, limit))
                .effect(effect(step.repeat))
                .context(format!("step {:?}: no end within {limit:?}", step.name))),
        };
        drop(permit);
        self.returned(pass, sent, result.as_ref().map(|()| false));
        if let Err(fault) = &result
            && fault.kind == FaultKind::RateLimited
            && let Retry::NotBefore(until) = fault.retry
        {
            self.budget.push_back(until);
        }
        result
    }

    /// Everything before a call: what lets it pass, and the permit that it holds until its answer is there.
    async fn admit(&self, call: &str, charges: &[Charge], host: &str) -> Result<(BreakerPass<'_>, Permit), Fault> {
        // deadline and breaker
        let pass = match self.asked {
            true => BreakerPass { budget: &self.budget, pass: Some(Pass::Asked) },
            false => {
                BreakerPass::ask(&self.budget, self.lane).map_err(|at| not_sent(call, at, on_hold(host), "breaker"))?
            }
        };
        // budget and concurrency
        let permit = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(self.stopped(call, "stopping")),
            permit = self.budget.acquire(charges, self.lane, self.give_up_at) => permit.map_err(|not| {
                not_sent(call, not.at, format!("The limits of {host} leave no room for this call yet."), not.bucket)
            })?,
        };
        // breaker, once more: it may have opened during the wait
        pass.still_closed(self.lane).map_err(|at| not_sent(call, at, on_hold(host), "breaker"))?;
        // fence
        if self.fence.as_ref().is_some_and(|may| !may()) {
            return Err(self.stopped(call, "lease"));
        }
        Ok((pass, permit))
    }

    /// Tells the breaker how it went; `Ok(true)` is an answer that says that the target is broken.
    fn returned(&self, pass: BreakerPass<'_>, sent: &mut Sent, result: Result<bool, &Fault>) {
        if let Some(started) = sent.started {
            sent.took = Duration::try_from(self.http.clock.now().duration_since(started)).unwrap_or_default();
        }
        let up = match result {
            Ok(broken) => !broken,
            Err(fault) => !matches!(fault.kind, FaultKind::Unavailable | FaultKind::Timeout),
        };
        let opened = pass.report(up);
        let open = self.budget.opened_since().is_some();
        metrics::gauge!(names::BREAKERS_OPEN_ROWS, "host" => sent.host.clone()).set(f64::from(u8::from(open)));
        if opened {
            metrics::counter!(names::BREAKER_OPENED_TOTAL, "host" => sent.host.clone()).increment(1);
            tracing::warn!(host = %sent.host, "the breaker opened: the target does not answer");
        }
    }

    fn stopped(&self, call: &str, why: &str) -> Fault {
        let message = "The gateway lost its turn to drive before this was sent; it is sent later.".to_owned();
        not_sent(call, later(self.http.clock.now()), message, why)
    }

    /// One request, one answer. The permit ends with it.
    async fn exchange(&self, call: &Call, sent: &mut Sent, permit: Permit) -> Result<Reply, Fault> {
        let request = self
            .http
            .client
            .request(call.method.clone(), call.url.clone())
            .headers(call.headers.clone())
            .body(call.body.clone());
        let mut response = request.send().await.map_err(|error| self.lost(call, &sent.host, error))?;
        let status = response.status();
        sent.status = Some(status.as_u16());
        let headers = std::mem::take(response.headers_mut());
        let body = self.body(call, &sent.host, &mut response).await?;
        drop(permit);
        Ok(Reply::new(status, headers, body, self.http.clock.now()))
    }

    async fn body(&self, call: &Call, host: &str, response: &mut reqwest::Response) -> Result<Bytes, Fault> {
        let most = self.http.options.max_answer_bytes;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(call, host, error))? {
            if body.len() + chunk.len() > most {
                return Err(Fault::new(
                    FaultKind::Malformed,
                    format!("{host} sent an answer longer than {most} bytes, which was not read to its end."),
                )
                .effect(effect(call.repeat))
                .context(format!("call {:?}: answer of {} over the cap", call.name, response.status())));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// No answer, or not all of it.
    fn lost(&self, call: &Call, host: &str, error: reqwest::Error) -> Fault {
        if let Some(why) = refusal(&error) {
            return refused(call.name, host, why);
        }
        let connecting = error.is_connect();
        let timed_out = error.is_timeout();
        let never_sent = connecting || error.is_builder();
        let error = error.without_url();
        let context = format!("call {:?}: {}", call.name, causes(&error));
        let (kind, message) = if timed_out && !connecting {
            (FaultKind::Timeout, unanswered(host, self.http.options.call_timeout))
        } else if connecting {
            (FaultKind::Unavailable, format!("{host} could not be reached: {}.", last_cause(&error)))
        } else {
            (FaultKind::Unavailable, format!("{host} closed the connection before its answer was complete."))
        };
        Fault::new(kind, message).effect(if never_sent { Effect::None } else { effect(call.repeat) }).context(context)
    }

    fn trace<T>(&self, what: What<'_>, sent: Sent, result: &Result<T, Fault>) {
        let fault = result.as_ref().err();
        let outcome = match (fault, sent.status) {
            (Some(fault), _) => kind_name(fault.kind),
            (None, Some(status)) if what.http => status_class(status),
            (None, _) => "done",
        };
        metrics::counter!(names::TARGET_CALLS_TOTAL, "host" => sent.host.clone(), "call" => what.name, "outcome" => outcome).increment(1);
        if sent.started.is_some() {
            metrics::histogram!(names::TARGET_CALL_SECONDS, "host" => sent.host.clone(), "call" => what.name)
                .record(sent.took.as_secs_f64());
        }
        let duration_ms = u64::try_from(sent.took.as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(
            status = sent.status,
            outcome,
            duration_ms,
            context = fault.map(|fault| fault.context.as_str()),
            "called"
        );
        self.record.push(CallRecord {
            name: what.name.to_owned(),
            method: what.method.to_owned(),
            host: sent.host,
            path: what.path.to_owned(),
            status: sent.status,
            duration_ms,
            started_at: sent.started.unwrap_or_else(|| self.http.clock.now()),
            fault: fault.map(|fault| fault.kind),
        });
    }

    fn span(&self, name: &str, method: &str, host: &str) -> tracing::Span {
        tracing::debug_span!("call", name, method, host, driver_key = %self.budget.key())
    }
}

#[async_trait]
impl Transport for Wire {
    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        let mut sent = Sent::to(host(&call));
        let span = self.span(call.name, call.method.as_str(), &sent.host);
        async {
            let result = self.through(&call, &mut sent).await;
            let what = What { name: call.name, method: call.method.as_str(), path: call.url.path(), http: true };
            self.trace(what, sent, &result);
            result
        }
        .instrument(span)
        .await
    }

    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Fault> {
        self.http.addresses(host, port).await
    }

    fn allows_plain(&self) -> bool {
        self.http.options.allow_private
    }

    async fn file(&self, name: &str) -> Result<PathBuf, Fault> {
        guard::file(self.http.options.files.as_deref(), name).await
    }

    fn desk(&self) -> Option<&dyn Desk> {
        self.desk.as_deref()
    }

    async fn perform(&self, step: Step, work: Work<'_>) -> Result<(), Fault> {
        let mut sent = Sent::to(step.host.clone());
        let span = self.span(step.name, step.protocol, &sent.host);
        async {
            let result = self.around(&step, work, &mut sent).await;
            let what = What { name: step.name, method: step.protocol, path: &step.object, http: false };
            self.trace(what, sent, &result);
            result
        }
        .instrument(span)
        .await
    }
}

/// What is recorded of a call or step.
struct What<'a> {
    name: &'static str,
    method: &'a str,
    path: &'a str,
    http: bool,
}

/// What became of a call on its way.
struct Sent {
    host: String,
    started: Option<Timestamp>,
    status: Option<u16>,
    took: Duration,
}

impl Sent {
    fn to(host: String) -> Self {
        Self { host, started: None, status: None, took: Duration::ZERO }
    }
}

/// A pass of the breaker that finds its way back, even when nobody waits for the call any more.
struct BreakerPass<'a> {
    budget: &'a Budget,
    pass: Option<Pass>,
}

impl<'a> BreakerPass<'a> {
    fn ask(budget: &'a Budget, lane: Lane) -> Result<Self, Timestamp> {
        budget.ask_breaker(lane).map(|pass| Self { budget, pass: Some(pass) })
    }

    fn still_closed(&self, lane: Lane) -> Result<(), Timestamp> {
        self.pass.as_ref().map_or(Ok(()), |pass| self.budget.still_closed(pass, lane))
    }

    fn report(mut self, up: bool) -> bool {
        self.pass.take().is_some_and(|pass| self.budget.report_to_breaker(pass, up, rand::random()))
    }
}

impl Drop for BreakerPass<'_> {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.budget.abandon_breaker(pass);
        }
    }
}

fn host(call: &Call) -> String {
    let name = call.url.host_str().unwrap_or("?");
    match call.url.port() {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    }
}

/// What is known of a call that was sent and not answered.
fn effect(repeat: Repeat) -> Effect {
    match repeat {
        Repeat::Read => Effect::None,
        Repeat::Idempotent | Repeat::Verifiable => Effect::Unknown,
    }
}

fn refused(call: &str, host: &str, why: Refusal) -> Fault {
    Fault::new(
        FaultKind::NotSent,
        format!("{host} may not be called: {why}. Change the instance's URL; for targets in a private network, or reached by plain http, the operator sets SCIMGATE_ALLOW_PRIVATE_TARGETS."),
    )
    .retry(Retry::AfterOperator)
    .context(format!("call {call:?}: address refused ({why:?})"))
}

/// Kept back by ourselves. Not `RateLimited`: the target said nothing, and calls of other buckets
/// may go on.
fn not_sent(call: &str, at: Timestamp, message: String, why: &str) -> Fault {
    Fault::new(FaultKind::NotSent, message)
        .retry(Retry::NotBefore(at))
        .context(format!("call {call:?}: kept back until {at} ({why})"))
}

fn unanswered(host: &str, limit: Duration) -> String {
    format!("{host} did not answer within {} seconds.", limit.as_secs_f32())
}

fn on_hold(host: &str) -> String {
    format!("{host} has not been answering; calls of it are on hold until it does.")
}

fn later(now: Timestamp) -> Timestamp {
    now.checked_add(Duration::from_secs(1)).unwrap_or(Timestamp::MAX)
}

/// A refusal by the resolver, which reqwest wraps in its own errors.
fn refusal(error: &reqwest::Error) -> Option<Refusal> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return Some(*refusal);
        }
        source = cause.source();
    }
    None
}

/// An error and its causes in one line, bounded.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source.filter(|_| text.len() < 400) {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn last_cause(error: &dyn Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string().chars().take(200).collect()
}

fn status_class(status: u16) -> &'static str {
    match status {
        429 => "429",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500..600 => "5xx",
        _ => "other",
    }
}

fn kind_name(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Unavailable => "unavailable",
        FaultKind::Timeout => "timeout",
        FaultKind::Malformed => "malformed",
        FaultKind::NotSent => "not_sent",
        _ => "fault",
    }
}
