//! The calls: addresses, headers, and what each status means. Nothing here knows people or teams.

use connector_sdk::{Call, Cx, Effect, Fault, FaultKind, Page, PageToken, Repeat, Reply, Retry, rates};
use http::{Method, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;
use url::Url;

/// Items per page, the most that the vendor allows.
const PER_PAGE: &str = "100";
/// How much of the target's own words is passed on.
const LONGEST_REASON: usize = 300;

/// The way to the API.
pub(super) struct Client {
    token: SecretString,
    base: Url,
    me: OnceCell<Me>,
}

/// The token's own account.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Me {
    /// Its id.
    pub(super) id: String,
    /// Its address.
    pub(super) email: String,
}

/// An answer that is a success, or a refusal that the caller may understand better.
pub(super) enum Answer {
    /// 2xx.
    Yes(Success),
    /// 403, 404, 409, 422 and the other 4xx that are neither 401 nor 429.
    No(Refusal),
}

impl Answer {
    /// The success; every refusal is a fault.
    pub(super) fn success(self) -> Result<Success, Fault> {
        match self {
            Self::Yes(success) => Ok(success),
            Self::No(refusal) => Err(refusal.fault()),
        }
    }
}

/// A 2xx answer.
pub(super) struct Success {
    reply: Reply,
    write: bool,
}

impl Success {
    /// The body as JSON; what is not is `Malformed`, without effect if the call only read.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        self.reply.json().map_err(|fault| if self.write { fault } else { fault.effect(Effect::None) })
    }

    /// That the answer is the empty one of a removal. A page of a proxy with status 200 must not pass for it.
    pub(super) fn nothing(&self) -> Result<(), Fault> {
        if self.reply.status == StatusCode::NO_CONTENT {
            return Ok(());
        }
        Err(Fault::new(FaultKind::Malformed, "@Title@ did not answer as documented. If this goes on, its API has changed."))
    }
}

/// A 4xx answer.
pub(super) struct Refusal {
    status: StatusCode,
    code: String,
    reason: String,
    context: String,
}

impl Refusal {
    /// Whether the API gave this code: `{"error": code}`. A page of a proxy has none.
    pub(super) fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// A fault of that kind with words for the admin; the target's own are added.
    pub(super) fn because(&self, kind: FaultKind, message: &str) -> Fault {
        let said = if self.reason.is_empty() { String::new() } else { format!(" @Title@ says: {}", self.reason) };
        Fault::new(kind, format!("{message}{said}")).context(self.context.clone())
    }

    /// The fault it is where the caller knows no better.
    pub(super) fn fault(&self) -> Fault {
        match self.status {
            StatusCode::FORBIDDEN => self.because(FaultKind::Permission, "@Title@ forbids this call. Use an admin's token."),
            StatusCode::NOT_FOUND => self.because(FaultKind::NotFound, "@Title@ does not know this object."),
            _ => self.because(FaultKind::Refused, "@Title@ refuses this request."),
        }
    }
}

impl Client {
    /// A client.
    pub(super) fn new(token: SecretString, base: Url) -> Self {
        Self { token, base, me: OnceCell::new() }
    }

    /// A call below `/v1`; each part of the path is encoded, so an id can never reshape it.
    pub(super) fn call(&self, name: &'static str, method: Method, path: &[&str]) -> Call {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        let repeat = match method {
            Method::GET => Repeat::Read,
            Method::PUT | Method::PATCH | Method::DELETE => Repeat::Idempotent,
            _ => Repeat::Verifiable,
        };
        Call::new(name, method, url)
            .repeat(repeat)
            .authorization(&format!("Bearer {}", self.token.expose_secret()))
            .header(header::ACCEPT, "application/json")
    }

    /// Sends a call.
    ///
    /// # Errors
    /// 401 `Credential`; 429 `RateLimited`; 5xx `Unavailable`, its effect unknown if the call writes; an
    /// answer that is neither success nor error `Malformed`.
    pub(super) async fn send(&self, cx: &Cx<'_>, call: Call) -> Result<Answer, Fault> {
        let (name, write) = (call.name, call.repeat != Repeat::Read);
        let reply = cx.send(call).await?;
        let status = reply.status;
        if status.is_success() {
            return Ok(Answer::Yes(Success { reply, write }));
        }
        let context = format!("{name}: status {}", status.as_u16());
        let unless_read = if write { Effect::Unknown } else { Effect::None };
        let fault = match status {
            StatusCode::UNAUTHORIZED => {
                Fault::new(FaultKind::Credential, "@Title@ does not accept the token. Give the instance a new one.")
            }
            StatusCode::TOO_MANY_REQUESTS => {
                let until = rates::retry_after(&reply).unwrap_or_else(|| rates::after(reply.at, rates::USUAL_WAIT));
                Fault::new(FaultKind::RateLimited, "@Title@'s rate limit is used up.").retry(Retry::NotBefore(until))
            }
            _ if status.is_server_error() => Fault::new(
                FaultKind::Unavailable,
                format!("@Title@ is in trouble (status {}). The gateway tries again.", status.as_u16()),
            )
            .effect(unless_read),
            _ if status.is_client_error() => return Ok(Answer::No(self.refusal(&reply, context))),
            _ => Fault::new(
                FaultKind::Malformed,
                format!("Something at the address answered with status {}. Check the setting `base_url`.", status.as_u16()),
            )
            .effect(unless_read),
        };
        Err(fault.context(context))
    }

    /// The target's own words, bounded, without control characters and the credential.
    fn refusal(&self, reply: &Reply, context: String) -> Refusal {
        #[derive(Default, Deserialize)]
        struct Body {
            #[serde(default)]
            error: String,
            #[serde(default)]
            message: String,
        }
        let body: Body = serde_json::from_slice(&reply.body).unwrap_or_default();
        let reason = body.message.replace(self.token.expose_secret(), "[redacted]");
        let reason = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_REASON).collect();
        Refusal { status: reply.status, code: body.error, reason, context }
    }

    /// One page of a list: `{"items": […], "next": cursor or null}`.
    pub(super) async fn page<T: DeserializeOwned>(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        path: &[&str],
        page: Option<&PageToken>,
    ) -> Result<Page<T>, Fault> {
        #[derive(Deserialize)]
        struct Listed<T> {
            items: Vec<T>,
            next: Option<String>,
        }
        let mut call = self.call(name, Method::GET, path);
        call.url.query_pairs_mut().append_pair("limit", PER_PAGE);
        if let Some(PageToken(after)) = page {
            call.url.query_pairs_mut().append_pair("after", after);
        }
        let listed: Listed<T> = self.send(cx, call).await?.success()?.json()?;
        Ok(Page { items: listed.items, next: listed.next.map(PageToken), complete: true })
    }

    /// The items of a list that have this value.
    pub(super) async fn with<T: DeserializeOwned>(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        path: &[&str],
        field: &str,
        value: &str,
    ) -> Result<Vec<T>, Fault> {
        #[derive(Deserialize)]
        struct Listed<T> {
            items: Vec<T>,
        }
        let mut call = self.call(name, Method::GET, path);
        call.url.query_pairs_mut().append_pair(field, value);
        let listed: Listed<T> = self.send(cx, call).await?.success()?.json()?;
        Ok(listed.items)
    }

    /// The token's own account, remembered.
    pub(super) async fn me(&self, cx: &Cx<'_>) -> Result<&Me, Fault> {
        let ask = || async {
            let call = self.call("get own account", Method::GET, &["me"]);
            self.send(cx, call).await?.success()?.json()
        };
        self.me.get_or_try_init(ask).await
    }
}
@unwritten@
