//! The calls: addresses, headers, and what each status means (RFC 7644 section 3.12).

use connector_sdk::{Call, Cx, Effect, Fault, FaultKind, Repeat, Reply, Retry, rates};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::auth::Auth;
use super::dialect::{Content, Dialect};
use crate::shared::answer::{self, Refused, Success};

/// How much of the server's own words is passed on.
const LONGEST_REASON: usize = 300;

/// The way to one server.
pub(crate) struct Client {
    pub(crate) base: Url,
    pub(crate) auth: Auth,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) dialect: Dialect,
    /// When an answer means "too many calls", until when to wait; `None` for every other answer.
    pub(crate) throttled: fn(&Reply) -> Option<Timestamp>,
}

/// An answer that is JSON and yet not what was asked for.
pub(super) fn odd(success: &Success, what: &str) -> Fault {
    Fault::new(FaultKind::Malformed, "The server's answer is not what SCIM 2.0 (RFC 7644) says. If this goes on, look at the settings, or report it to whoever runs the server.")
        .effect(success.effect())
        .context(format!("{}: {what}", success.call()))
}

/// What the server answers.
pub(super) type Answer = answer::Answer<Refusal>;

/// A 4xx answer, or a 501.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// `scimType` (RFC 7644 section 3.12), in lower case.
    pub(super) scim_type: String,
    /// The server's own words, bounded and without the credential.
    pub(super) reason: String,
    /// Whether the body is something else than JSON: a page of a proxy.
    foreign: bool,
    server: &'static str,
    context: String,
}

impl Refusal {
    /// That the name is taken.
    pub(super) fn taken(&self) -> bool {
        self.status == StatusCode::CONFLICT || (self.status.is_client_error() && self.scim_type == "uniqueness")
    }

    /// That the object is not there.
    pub(super) fn absent(&self) -> bool {
        matches!(self.status, StatusCode::NOT_FOUND | StatusCode::GONE) && !self.foreign
    }

    /// That the server does not know this kind of call.
    pub(super) fn unsupported(&self) -> bool {
        matches!(self.status, StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED)
    }

    /// A fault of that kind with words for the admin; the server's own are added.
    pub(super) fn because(&self, kind: FaultKind, message: &str) -> Fault {
        let message = match self.reason.is_empty() {
            true => message.to_owned(),
            false => format!("{message} It says: {}", self.reason),
        };
        Fault::new(kind, message).context(self.context.clone())
    }
}

impl Refused for Refusal {
    fn fault(&self) -> Fault {
        let server = self.server;
        match self.status {
            _ if self.foreign && self.status == StatusCode::NOT_FOUND => self
                .because(FaultKind::Malformed, "What answers at the address is not a SCIM server. Check `base_url`.")
                .effect(Effect::None),
            _ if self.taken() => self.because(FaultKind::NameTaken, &format!("{server} says that this is taken.")),
            StatusCode::FORBIDDEN => self.because(
                FaultKind::Permission,
                &format!("{server} forbids this call. Give the credential the rights that the connector's page names."),
            ),
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                self.because(FaultKind::NotFound, &format!("{server} does not know this object."))
            }
            StatusCode::PRECONDITION_FAILED => self
                .because(
                    FaultKind::Unavailable,
                    "The resource changed while it was being written. The gateway tries again.",
                )
                .retry(Retry::Soon),
            StatusCode::PAYLOAD_TOO_LARGE => self.because(
                FaultKind::Refused,
                &format!("{server} says that the request is too large. Lower `max_members_per_patch`."),
            ),
            StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED => {
                self.because(FaultKind::Refused, &format!("{server} does not offer this operation."))
            }
            _ => self.because(FaultKind::Refused, &format!("{server} refuses this request.")),
        }
    }
}

impl Client {
    /// A call of a path below the base, of ids that are encoded.
    pub(super) fn call(&self, name: &'static str, method: Method, path: &[&str]) -> Call {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let repeat = match method {
            Method::GET => Repeat::Read,
            Method::POST => Repeat::Verifiable,
            _ => Repeat::Idempotent,
        };
        Call::new(name, method, url).repeat(repeat)
    }

    /// Sets the body, in the media type that the server wants.
    pub(super) fn body(&self, call: Call, body: &Value) -> Call {
        let call = call.json(body);
        match self.dialect.content {
            Content::Scim => call.header(header::CONTENT_TYPE, "application/scim+json"),
            Content::Json => call,
        }
    }

    /// Sends a call. A token that was held and is refused is exchanged for a new one, once.
    ///
    /// # Errors
    /// 401 `Credential`; a rate limit `RateLimited`; 5xx `Unavailable`, its effect unknown if the call writes; what is
    /// neither success nor error `Malformed`.
    pub(super) async fn send(&self, cx: &Cx<'_>, call: Call) -> Result<Answer, Fault> {
        let name = call.name;
        let write = call.repeat != Repeat::Read;
        let mut call = call;
        for (name, value) in &self.headers {
            call.headers.insert(name.clone(), value.clone());
        }
        let accept = match self.dialect.content {
            Content::Scim => "application/scim+json, application/json",
            Content::Json => "application/json",
        };
        if !call.headers.contains_key(header::ACCEPT) {
            call = call.header(header::ACCEPT, accept);
        }
        let signed = self.auth.sign(cx, call.clone()).await?;
        let mut reply = cx.send(signed.call).await?;
        if reply.status == StatusCode::UNAUTHORIZED
            && let Some(dead) = signed.held
        {
            self.auth.forget(&dead).await;
            let signed = self.auth.sign(cx, call).await?;
            reply = cx.send(signed.call).await?;
        }
        self.judge(name, write, reply)
    }

    fn judge(&self, name: &'static str, write: bool, reply: Reply) -> Result<Answer, Fault> {
        let status = reply.status;
        if status.is_success() {
            return Ok(Answer::Yes(Success::new(reply, name, write)));
        }
        let server = self.dialect.server;
        let context = format!("{name}: status {status}");
        if let Some(until) = (self.throttled)(&reply) {
            return Err(Fault::new(
                FaultKind::RateLimited,
                format!("{server} asks for fewer calls. They go on when the wait is over; nothing is lost."),
            )
            .retry(Retry::NotBefore(until))
            .context(context));
        }
        Err(match status {
            StatusCode::UNAUTHORIZED => Fault::new(
                FaultKind::Credential,
                format!("{server} does not accept the credential: it was revoked, has expired, or is for something else. Give the instance a new one."),
            ),
            StatusCode::REQUEST_TIMEOUT => answer::trouble(server, "`base_url`", status, write),
            status if status.is_client_error() || status == StatusCode::NOT_IMPLEMENTED => {
                return Ok(Answer::No(self.refusal(&reply, context)));
            }
            status => answer::trouble(server, "`base_url`", status, write),
        }
        .context(context))
    }

    fn refusal(&self, reply: &Reply, context: String) -> Refusal {
        /// RFC 7644 section 3.12; others say `message`, or `errors`.
        #[derive(Default, Deserialize)]
        struct Body {
            #[serde(default, rename = "scimType")]
            scim_type: Option<Value>,
            #[serde(default)]
            detail: Option<Value>,
            #[serde(default)]
            message: Option<Value>,
        }
        let parsed = serde_json::from_slice::<Value>(&reply.body).ok();
        let foreign = parsed.is_none() && !reply.body.trim_ascii().is_empty();
        let body: Body = parsed.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
        let text = |value: Option<Value>| value.as_ref().and_then(Value::as_str).map(str::to_owned);
        let scim_type = text(body.scim_type).unwrap_or_default();
        let reason = text(body.detail).or_else(|| text(body.message)).unwrap_or_default();
        Refusal {
            status: reply.status,
            reason: self.clean(&reason),
            context: format!("{context} {}", self.clean(&scim_type)),
            scim_type: scim_type.to_ascii_lowercase(),
            foreign,
            server: self.dialect.server,
        }
    }

    /// The server's words, without control characters and the credential.
    fn clean(&self, text: &str) -> String {
        let text: String = text.chars().take(4 * LONGEST_REASON).collect();
        self.auth.redact(&text).chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_REASON).collect()
    }
}

/// The usual "too many calls" (RFC 6585 section 4): 429, and a 503 that says when to come back.
pub(crate) fn too_many(reply: &Reply) -> Option<Timestamp> {
    match reply.status {
        StatusCode::TOO_MANY_REQUESTS => {
            Some(rates::retry_after(reply).unwrap_or_else(|| rates::after(reply.at, rates::USUAL_WAIT)))
        }
        StatusCode::SERVICE_UNAVAILABLE => rates::retry_after(reply),
        _ => None,
    }
}
