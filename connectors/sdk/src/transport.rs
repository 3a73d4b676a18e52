//! How a connector calls its target. The gateway's transport stands behind [`Transport`]: trace,
//! deadline, breaker, budget, redaction, address guard. A connector sees only [`Cx::send`] and, where
//! the target speaks another protocol than HTTP, [`Cx::perform`].

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::desk::Desk;
use crate::fault::{Effect, Fault, FaultKind};
use crate::limits::Charge;

/// What repeating a call may do, declared per call (DECISIONS 19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeat {
    /// It reads.
    Read,
    /// It writes, and twice is the same as once.
    Idempotent,
    /// Twice may be a duplicate, but a look tells whether it happened.
    Verifiable,
}

/// What a GraphQL operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Graphql {
    /// It reads.
    Query,
    /// It writes.
    Mutation,
}

/// One HTTP call of a target's API.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Call {
    /// Its stable name in attempts, metrics and the connector's page: `invite`, `list members`.
    pub name: &'static str,
    /// The method.
    pub method: Method,
    /// The whole URL. Build it with [`url::Url::path_segments_mut`], so that ids are encoded.
    pub url: Url,
    /// Headers, the credential among them (mark it sensitive).
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// What it costs beside what the connector's tariff says ([`crate::Tariff`]).
    pub charges: Vec<Charge>,
    /// What it is in GraphQL, if it is that.
    pub graphql: Option<Graphql>,
    /// What repeating it may do.
    pub repeat: Repeat,
}

impl Call {
    /// A call that, unless it is a GET, is verifiable.
    pub fn new(name: &'static str, method: Method, url: Url) -> Self {
        let repeat = if method == Method::GET { Repeat::Read } else { Repeat::Verifiable };
        Self {
            name,
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            charges: Vec::new(),
            graphql: None,
            repeat,
        }
    }

    /// Adds a header; a value that HTTP forbids is left out (the target will say what it misses).
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Adds `Authorization` with a value that is never logged.
    pub fn authorization(mut self, value: &str) -> Self {
        if let Ok(mut value) = HeaderValue::from_str(value) {
            value.set_sensitive(true);
            self.headers.insert(http::header::AUTHORIZATION, value);
        }
        self
    }

    /// Sets a JSON body.
    pub fn json(mut self, body: &serde_json::Value) -> Self {
        self.body = Bytes::from(body.to_string());
        self.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self
    }

    /// Makes it a GraphQL operation: the body asks for the document with these variables.
    pub fn graphql(mut self, document: &str, variables: serde_json::Value) -> Self {
        self.graphql = Some(crate::tariff::kind_of(document));
        self.json(&serde_json::json!({ "query": document, "variables": variables }))
    }

    /// Adds a cost that the tariff cannot know.
    pub fn charge(mut self, bucket: &'static str, units: u32) -> Self {
        self.charges.push(Charge { bucket, units });
        self
    }

    /// Sets what repeating it may do.
    pub fn repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }
}

/// The target's answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most as long as the gateway's cap for answers.
    pub body: Bytes,
    /// When it came.
    pub at: Timestamp,
}

impl Reply {
    /// An answer.
    pub fn new(status: StatusCode, headers: HeaderMap, body: Bytes, at: Timestamp) -> Self {
        Self { status, headers, body, at }
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON. An answer that is not what the API documents is [`FaultKind::Malformed`],
    /// its effect unknown if the status was a success.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let effect = if self.status.is_success() { Effect::Unknown } else { Effect::None };
            Fault::new(
                FaultKind::Malformed,
                "The target's answer could not be understood. If this goes on, its API has changed.",
            )
            .effect(effect)
            .context(format!(
                "status {} body of {} bytes: {} at column {}",
                self.status,
                self.body.len(),
                category(&error),
                error.column()
            ))
        })
    }
}

fn category(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Io => "i/o",
        serde_json::error::Category::Syntax => "syntax",
        serde_json::error::Category::Data => "unexpected shape",
        serde_json::error::Category::Eof => "cut short",
    }
}

/// One step of a protocol that is not HTTP: an LDAP operation, an SQL transaction. The connector
/// owns the connection; the transport stands around the step as it stands around a [`Call`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// Its stable name in attempts, metrics and the connector's page: `add entry`.
    pub name: &'static str,
    /// The protocol: `LDAP`, `SQL`.
    pub protocol: &'static str,
    /// The target's host and port, as the admin gave them; no user and no password.
    pub host: String,
    /// What it is done to, in words that hold no personal data: `inetOrgPerson`, `table users`.
    pub object: String,
    /// What it costs.
    pub charges: Vec<Charge>,
    /// What repeating it may do.
    pub repeat: Repeat,
}

impl Step {
    /// A step that costs nothing.
    pub fn new(name: &'static str, protocol: &'static str, host: impl Into<String>, repeat: Repeat) -> Self {
        Self { name, protocol, host: host.into(), object: String::new(), charges: Vec::new(), repeat }
    }

    /// Says what it is done to.
    pub fn object(mut self, object: impl Into<String>) -> Self {
        self.object = object.into();
        self
    }

    /// Adds a cost.
    pub fn charge(mut self, bucket: &'static str, units: u32) -> Self {
        self.charges.push(Charge { bucket, units });
        self
    }
}

/// How a step ended.
#[derive(Debug)]
pub struct Stepped<T> {
    /// The protocol's own result code, for the record (LDAP: RFC 4511, section 4.1.9), where an
    /// answer came.
    pub code: Option<u16>,
    /// What came of it. `Unavailable` and `Timeout` count against the target at the breaker.
    pub result: Result<T, Fault>,
}

/// The work of a step, as the transport runs it.
pub type Work<'a> = Pin<Box<dyn Future<Output = Stepped<()>> + Send + 'a>>;

/// What carries calls. A failure to get an answer comes back as a [`Fault`] of kind `Unavailable`
/// (never reached the target: effect none; connection lost after sending: effect unknown),
/// `Timeout` or `NotSent`; any HTTP status is a [`Reply`].
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends one call.
    async fn send(&self, call: Call) -> Result<Reply, Fault>;

    /// The addresses of a host that may be connected to, for [`Transport::perform`]: looked up, and
    /// held against the address guard. Connect to one of them, never to the name again.
    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Fault> {
        let _ = (host, port);
        Err(http_only())
    }

    /// Whether a target may be spoken to without encryption, as plain http may be: only where the
    /// operator allows private targets. A connector that is told to must refuse otherwise.
    fn allows_plain(&self) -> bool {
        false
    }

    /// The path of a file on the gateway's own disk that is a target (an SQLite database): below the
    /// folder that the operator names, links followed. Without such a folder there is none.
    async fn file(&self, name: &str) -> Result<PathBuf, Fault> {
        let _ = name;
        Err(http_only())
    }

    /// The desk of a target that has no API; `None` for one that has.
    fn desk(&self) -> Option<&dyn Desk> {
        None
    }

    /// Runs one step within budget, breaker, deadline and record. Work that does not end in time is
    /// dropped and answered as `Timeout`, with the effect that the step's `repeat` says.
    async fn perform(&self, step: Step, work: Work<'_>) -> Result<(), Fault> {
        let _ = (step, work);
        Err(http_only())
    }
}

fn http_only() -> Fault {
    Fault::new(FaultKind::NotSent, "This way to the target carries HTTP only.")
        .context("a transport without addresses, files and perform")
}

/// What a connector's method is given: the way to the target and the time.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Cx<'a> {
    /// The way to the target.
    pub transport: &'a dyn Transport,
    /// The time of the gateway's clock.
    pub now: Timestamp,
}

impl<'a> Cx<'a> {
    /// A context.
    pub fn new(transport: &'a dyn Transport, now: Timestamp) -> Self {
        Self { transport, now }
    }

    /// Sends one call.
    ///
    /// # Errors
    /// As [`Transport::send`].
    pub async fn send(&self, call: Call) -> Result<Reply, Fault> {
        self.transport.send(call).await
    }

    /// The addresses of a host that may be connected to.
    ///
    /// # Errors
    /// As [`Transport::addresses`].
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Fault> {
        self.transport.addresses(host, port).await
    }

    /// Whether a target may be spoken to without encryption ([`Transport::allows_plain`]).
    pub fn allows_plain(&self) -> bool {
        self.transport.allows_plain()
    }

    /// The path of a file that may be opened as a target ([`Transport::file`]).
    ///
    /// # Errors
    /// As [`Transport::file`].
    pub async fn file(&self, name: &str) -> Result<PathBuf, Fault> {
        self.transport.file(name).await
    }

    /// The desk of a target that has no API ([`Transport::desk`]). Each use of it is the work of a step.
    ///
    /// # Errors
    /// This way to the target has none.
    pub fn desk(&self) -> Result<&'a dyn Desk, Fault> {
        self.transport.desk().ok_or_else(|| {
            Fault::new(FaultKind::NotSent, "This way to the target has no desk.").context("a transport without a desk")
        })
    }

    /// Runs one step of a protocol that is not HTTP, and answers what its work does.
    ///
    /// # Errors
    /// The work's own, and as [`Transport::perform`].
    pub async fn perform<T: Send>(
        &self,
        step: Step,
        work: impl Future<Output = Stepped<T>> + Send,
    ) -> Result<T, Fault> {
        let mut out = None;
        let slot = &mut out;
        let work = Box::pin(async move {
            let done = work.await;
            let result = done.result.map(|value| *slot = Some(value));
            Stepped { code: done.code, result }
        });
        self.transport.perform(step, work).await?;
        out.ok_or_else(|| {
            Fault::new(FaultKind::Malformed, "The step ended without a result. This is a defect of the gateway.")
                .effect(Effect::Unknown)
                .context("a transport answered a step whose work it had not run")
        })
    }
}
