//! The calls: addresses, headers, and what each status means. Nothing here knows people or teams.

use connector_sdk::{Call, Cx, Fault, FaultKind, PageToken, RemoteId, Removed, Repeat, Reply, Retry};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;
use url::Url;

use super::limits;
use crate::shared::answer::{self, Refused, Success};
use crate::shared::{bad_token, clean, context, remote_id};

/// Items per page, the most that the vendor allows.
pub(super) const PER_PAGE: usize = 100;
/// Pages that a search reads before it gives up.
pub(super) const MOST_PAGES: usize = 100;

/// Where the address stands.
const AT: &str = "the settings `site` and `api_url`";

/// The way to one organisation's API.
pub(super) struct Client {
    api: Url,
    api_key: SecretString,
    app_key: SecretString,
    own: OnceCell<RemoteId>,
}

/// What the API answers.
pub(super) type Answer = answer::Answer<Refusal>;

/// A 4xx answer.
pub(super) struct Refusal {
    /// The status.
    pub(super) status: StatusCode,
    reason: String,
    context: String,
}

impl Refusal {
    /// That the object is not there.
    pub(super) fn absent(&self) -> bool {
        matches!(self.status, StatusCode::NOT_FOUND | StatusCode::GONE)
    }

    /// That something of the kind is there already.
    pub(super) fn conflict(&self) -> bool {
        self.status == StatusCode::CONFLICT
            || (self.status == StatusCode::BAD_REQUEST
                && crate::shared::says(&self.reason, &["already exist", "duplicate"]))
    }

    /// A fault of that kind with words for the admin; the target's own are added.
    pub(super) fn because(&self, kind: FaultKind, message: &str) -> Fault {
        let message = if self.reason.is_empty() {
            message.to_owned()
        } else {
            format!("{message} Datadog says: {}", self.reason)
        };
        Fault::new(kind, message).context(self.context.clone())
    }
}

impl Refused for Refusal {
    fn fault(&self) -> Fault {
        match self.status {
            StatusCode::FORBIDDEN => self.because(
                FaultKind::Permission,
                "Datadog forbids this call. Give the application key the scopes that the connector's page names; for a team, see also who may edit its members.",
            ),
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                self.because(FaultKind::NotFound, "Datadog does not know this object.")
            }
            _ => self.because(FaultKind::Refused, "Datadog refuses this request."),
        }
    }
}

#[derive(Deserialize)]
struct Identified {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    id: String,
}

impl Client {
    /// A client of one organisation.
    pub(super) fn new(api: Url, api_key: SecretString, app_key: SecretString) -> Self {
        Self { api, api_key, app_key, own: OnceCell::new() }
    }

    /// A call below `/api/v2`.
    pub(super) fn call(&self, name: &'static str, method: Method, path: &[&str]) -> Call {
        let mut url = self.api.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v2"]).extend(path);
        }
        let repeat = match method {
            Method::GET => Repeat::Read,
            Method::PATCH | Method::DELETE => Repeat::Idempotent,
            _ => Repeat::Verifiable,
        };
        let mut call = Call::new(name, method, url).repeat(repeat).header(header::ACCEPT, "application/json");
        for (name, key) in [("dd-api-key", &self.api_key), ("dd-application-key", &self.app_key)] {
            if let Ok(mut value) = HeaderValue::from_str(key.expose_secret()) {
                value.set_sensitive(true);
                call.headers.insert(HeaderName::from_static(name), value);
            }
        }
        call
    }

    /// Sends a call. A 403 can mean the keys or a permission: a look at the own user, which every
    /// living key may have, tells which.
    ///
    /// # Errors
    /// Dead keys `Credential`; 429 `RateLimited`; 5xx `Unavailable`, its effect unknown if the call
    /// writes; what is neither success nor error `Malformed`.
    pub(super) async fn send(&self, cx: &Cx<'_>, call: Call) -> Result<Answer, Fault> {
        let answer = self.once(cx, call).await?;
        if let Answer::No(refusal) = &answer
            && refusal.status == StatusCode::FORBIDDEN
        {
            let look = self.call("get own user", Method::GET, &["current_user"]);
            if let Answer::No(own) = self.once(cx, look).await?
                && own.status == StatusCode::FORBIDDEN
            {
                return Err(dead().context(own.context));
            }
        }
        Ok(answer)
    }

    /// Deletes an object of that kind, which is at that path.
    ///
    /// # Errors
    /// As [`Client::send`]; `Refused` where the target does not delete it.
    pub(super) async fn remove(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        kind: &'static str,
        path: &[&str],
    ) -> Result<Removed, Fault> {
        match self.send(cx, self.call(name, Method::DELETE, path)).await? {
            Answer::Yes(success) => success.done().map(|()| Removed::Done),
            Answer::No(refusal) if refusal.absent() => Ok(Removed::AlreadyGone),
            Answer::No(refusal) => {
                Err(refusal.because(FaultKind::Refused, &format!("Datadog does not delete this {kind}.")))
            }
        }
    }

    async fn once(&self, cx: &Cx<'_>, call: Call) -> Result<Answer, Fault> {
        let name = call.name;
        let write = call.repeat != Repeat::Read;
        let reply = cx.send(call).await?;
        let status = reply.status;
        if status.is_success() {
            return Ok(Answer::Yes(Success::new(reply, name, write)));
        }
        let context = context(name, &reply);
        Err(match status {
            StatusCode::UNAUTHORIZED => dead(),
            StatusCode::TOO_MANY_REQUESTS => Fault::new(FaultKind::RateLimited, "Datadog's rate limit is used up.")
                .retry(Retry::NotBefore(limits::not_before(&reply))),
            StatusCode::REQUEST_TIMEOUT => answer::trouble("Datadog", AT, status, write),
            status if status.is_client_error() => {
                return Ok(Answer::No(Refusal { status, reason: self.reason(&reply), context }));
            }
            status => answer::trouble("Datadog", AT, status, write),
        }
        .context(context))
    }

    /// The target's own words: `{"errors":["…"]}`, or JSON:API's objects with a `detail`.
    fn reason(&self, reply: &Reply) -> String {
        #[derive(Deserialize)]
        struct Body {
            errors: Vec<Value>,
        }
        let told = serde_json::from_slice::<Body>(&reply.body).map(|body| body.errors).unwrap_or_default();
        let words: Vec<&str> = told
            .iter()
            .filter_map(|one| one.as_str().or_else(|| one["detail"].as_str()).or_else(|| one["title"].as_str()))
            .collect();
        clean(&words.join("; "), [&self.api_key, &self.app_key])
    }

    /// The id of the application key's own user, remembered.
    pub(super) async fn own(&self, cx: &Cx<'_>) -> Result<&RemoteId, Fault> {
        self.own
            .get_or_try_init(|| async {
                let call = self.call("get own user", Method::GET, &["current_user"]);
                let body: Identified = match self.once(cx, call).await? {
                    Answer::Yes(success) => success.json()?,
                    Answer::No(refusal) if refusal.status == StatusCode::FORBIDDEN => {
                        return Err(dead().context(refusal.context));
                    }
                    Answer::No(refusal) => return Err(refusal.fault()),
                };
                remote_id("Datadog", &body.data.id)
            })
            .await
    }

    /// One page of a listing by numbers, the first is 0; `None` where its parent is not there.
    ///
    /// A full page has a next. The page after the last is empty.
    pub(super) async fn numbered<T: DeserializeOwned>(
        &self,
        cx: &Cx<'_>,
        mut call: Call,
        page: Option<&PageToken>,
    ) -> Result<Option<(Vec<T>, Option<PageToken>)>, Fault> {
        #[derive(Deserialize)]
        struct Body<T> {
            data: Vec<T>,
        }
        let number: u32 = match page {
            None => 0,
            Some(PageToken(text)) => text.parse().map_err(|_| bad_token("page number"))?,
        };
        call.url
            .query_pairs_mut()
            .append_pair("page[size]", &PER_PAGE.to_string())
            .append_pair("page[number]", &number.to_string());
        let success = match self.send(cx, call).await? {
            Answer::Yes(success) => success,
            Answer::No(refusal) if refusal.absent() => return Ok(None),
            Answer::No(refusal) => return Err(refusal.fault()),
        };
        let Body { data } = success.json()?;
        let next = (data.len() >= PER_PAGE).then(|| PageToken((number + 1).to_string()));
        Ok(Some((data, next)))
    }
}

fn dead() -> Fault {
    Fault::new(
        FaultKind::Credential,
        "Datadog does not accept the keys: the API key or the application key was revoked, or the site is another one. Give the instance new keys.",
    )
}
