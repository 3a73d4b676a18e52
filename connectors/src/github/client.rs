//! The calls: URLs, headers, costs, what an answer's status means, and what its headers say of the
//! limits.
//! Sources: docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api,
//! …/best-practices-for-using-the-rest-api, …/using-pagination-in-the-rest-api.

use connector_sdk::{Call, Cx, Effect, Fault, FaultKind, Pace, Repeat, Reply, Retry, rates};
use http::Method;
use http::header::{ACCEPT, HeaderName, USER_AGENT};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::answers::{limited, partial, rate_limited, tidy, waits, words};
use super::auth::Auth;
use super::wire::GraphAnswer;

/// Objects per page; GitHub's maximum.
pub(super) const PER_PAGE: &str = "100";
/// Pages that one look-up reads at most: an answer that never ends must end here.
pub(super) const MOST_PAGES: u32 = 1000;

/// The calls of one organisation.
pub(super) struct Client {
    /// The organisation's login.
    pub(super) org: String,
    /// The REST base.
    pub(super) api: Url,
    /// The GraphQL endpoint.
    pub(super) graphql: Url,
    /// Where the pace comes from.
    pub(super) pace: Pace,
    /// The credential.
    pub(super) auth: Auth,
}

/// One page of a REST list.
pub(super) struct Listing<T> {
    /// The items.
    pub(super) items: Vec<T>,
    /// The number of the next page.
    pub(super) next: Option<u32>,
    /// False where GitHub says that it left something out.
    pub(super) complete: bool,
}

impl Client {
    /// A call of the REST API, with its headers. What it costs says the tariff (answers.rs).
    pub(super) fn call(&self, name: &'static str, method: Method, path: &[&str]) -> Call {
        let mut url = self.api.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        dressed(Call::new(name, method, url))
    }

    /// Sends a call with the credential. The answer's status is a success, a redirect, or a 4xx
    /// that depends on the call: 403 for want of a right, 404, 409, 422. All else is a fault.
    pub(super) async fn send(&self, cx: &Cx<'_>, call: Call) -> Result<Reply, Fault> {
        let unsent = |fault: Fault| fault.effect(Effect::None);
        let bearer = self.bearer(cx, None).await.map_err(unsent)?;
        let first = self.dispatch(cx, call.clone(), &bearer.token).await?;
        if first.status != 401 {
            return self.judge(&call, first);
        }
        if !bearer.renewable {
            self.forget(&bearer.token).await;
            return self.judge(&call, first);
        }
        // GitHub may revoke an installation's token before its hour is over.
        let fresh = self.bearer(cx, Some(&bearer.token)).await.map_err(unsent)?;
        let second = self.dispatch(cx, call.clone(), &fresh.token).await?;
        if second.status == 401 {
            self.forget(&fresh.token).await;
        }
        self.judge(&call, second)
    }

    /// Sends a call with a token of its own (the App's signed claim).
    pub(super) async fn send_as(&self, cx: &Cx<'_>, call: Call, token: &SecretString) -> Result<Reply, Fault> {
        let reply = self.dispatch(cx, call.clone(), token).await?;
        self.judge(&call, reply)
    }

    async fn dispatch(&self, cx: &Cx<'_>, call: Call, token: &SecretString) -> Result<Reply, Fault> {
        let reads = call.repeat == Repeat::Read;
        let call = call.authorization(&format!("Bearer {}", token.expose_secret()));
        cx.send(call).await.map_err(|fault| if reads { fault.effect(Effect::None) } else { fault })
    }

    fn judge(&self, call: &Call, reply: Reply) -> Result<Reply, Fault> {
        let status = reply.status.as_u16();
        let context = self.context(call.name, &reply);
        if let Some(until) = limited(&reply) {
            return Err(rate_limited(until, context));
        }
        match status {
            401 => Err(Fault::new(FaultKind::Credential, match &self.auth {
                Auth::Token(_) => "GitHub no longer accepts the token: it is revoked, expired or mistyped. Make a new one and give it to this instance.".to_owned(),
                Auth::App(app) => format!("GitHub does not accept the App {}. Check the app_id and that its private key was not revoked.", app.id()),
            })
            .context(context)),
            403 if reply.header("x-github-sso").is_some_and(|value| value.trim_start().starts_with("required")) => {
                Err(Fault::new(FaultKind::Credential, format!("The token is not authorised for the single sign-on of {}. On GitHub, open Settings, Developer settings, Personal access tokens, choose Configure SSO beside the token, and authorise it for the organisation.", self.org))
                    .context(context))
            }
            500.. => {
                let fault = Fault::new(FaultKind::Unavailable, format!("GitHub answered with an error of its own (status {status}). It is tried again; githubstatus.com tells of outages."))
                    .effect(if call.repeat == Repeat::Read { Effect::None } else { Effect::Unknown })
                    .context(context);
                Err(match rates::retry_after(&reply) {
                    Some(until) => fault.retry(Retry::NotBefore(until)),
                    None => fault,
                })
            }
            _ => Ok(reply),
        }
    }

    /// The fault for a status that the caller has no use for.
    pub(super) fn refusal(&self, name: &'static str, reply: &Reply) -> Fault {
        let words = words(reply);
        let said = if words.is_empty() { String::new() } else { format!(" GitHub says: {words}.") };
        let fault = match reply.status.as_u16() {
            200..=299 => Fault::new(
                FaultKind::Malformed,
                format!(
                    "GitHub answered \"{name}\" in a way its API does not document. If this goes on, its API has changed."
                ),
            ),
            300..=399 => Fault::new(
                FaultKind::Permission,
                format!(
                    "GitHub sent a redirect for \"{name}\", as it does when an organisation was renamed or the credential's user is not a member of it. Check the setting org ({}) and the credential.",
                    self.org
                ),
            ),
            403 => Fault::new(
                FaultKind::Permission,
                format!(
                    "The credential may not do this in {}: {name}.{said} It must be an owner's token with admin:org (fine-grained: Members, read and write), or an App with Members: read and write.",
                    self.org
                ),
            ),
            // GitHub answers 404 where it won't tell that something is there.
            404 => Fault::new(
                FaultKind::Permission,
                format!(
                    "GitHub says not found for \"{name}\" in {}, which is also what it answers to a credential without the right to it. Check the setting org, and that the token is an owner's with admin:org (fine-grained: Members, read and write).",
                    self.org
                ),
            ),
            _ => Fault::new(FaultKind::Refused, format!("GitHub refuses this: {name}.{said}")),
        };
        fault.context(self.context(name, reply))
    }

    /// What the log is told of an answer.
    pub(super) fn context(&self, name: &str, reply: &Reply) -> String {
        let id: String = reply
            .header("x-github-request-id")
            .unwrap_or("-")
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, ':' | '-'))
            .take(64)
            .collect();
        format!("{name}: status {}, request {id}", reply.status.as_u16())
    }

    /// Reads an answer's body.
    pub(super) fn read<T: DeserializeOwned>(&self, name: &'static str, reply: &Reply) -> Result<T, Fault> {
        reply.json().map_err(|fault| {
            let context = format!("{}; {}", self.context(name, reply), fault.context);
            fault.context(context)
        })
    }

    /// Reads one object; `None` if GitHub says 404.
    pub(super) async fn object<T: DeserializeOwned>(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        path: &[&str],
    ) -> Result<Option<T>, Fault> {
        let call = self.call(name, Method::GET, path);
        let reply = self.send(cx, call).await?;
        match reply.status.as_u16() {
            200 => self.read(name, &reply).map(Some).map_err(|fault| fault.effect(Effect::None)),
            404 => Ok(None),
            _ => Err(self.refusal(name, &reply)),
        }
    }

    /// Reads one page of a list; `None` if GitHub says 404.
    pub(super) async fn page<T: DeserializeOwned>(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        path: &[&str],
        query: &[(&str, &str)],
        page: u32,
    ) -> Result<Option<Listing<T>>, Fault> {
        let mut call = self.call(name, Method::GET, path);
        call.url
            .query_pairs_mut()
            .extend_pairs(query)
            .append_pair("per_page", PER_PAGE)
            .append_pair("page", &page.to_string());
        let reply = self.send(cx, call).await?;
        match reply.status.as_u16() {
            200 => Ok(Some(Listing {
                items: self.read(name, &reply).map_err(|fault| fault.effect(Effect::None))?,
                next: self.next(name, &reply, page)?,
                complete: !partial(&reply),
            })),
            404 => Ok(None),
            _ => Err(self.refusal(name, &reply)),
        }
    }

    /// Reads one page of a list that must be there.
    pub(super) async fn org_page<T: DeserializeOwned>(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        path: &[&str],
        query: &[(&str, &str)],
        page: u32,
    ) -> Result<Listing<T>, Fault> {
        self.page(cx, name, path, query, page).await?.ok_or_else(|| self.hidden(name))
    }

    /// The fault for a 404 where something must be there.
    pub(super) fn hidden(&self, name: &'static str) -> Fault {
        let reply =
            Reply::new(http::StatusCode::NOT_FOUND, http::HeaderMap::new(), bytes::Bytes::new(), Timestamp::UNIX_EPOCH);
        self.refusal(name, &reply)
    }

    /// The number of the next page, from `Link: <…>; rel="next"`. Only a link to the same origin
    /// that leads on is followed.
    fn next(&self, name: &'static str, reply: &Reply, page: u32) -> Result<Option<u32>, Fault> {
        let Some(target) = reply.header("link").and_then(|link| {
            link.split(',')
                .find(|part| part.contains("rel=\"next\""))
                .and_then(|part| part.split_once('<')?.1.split_once('>'))
                .map(|(target, _)| target)
        }) else {
            return Ok(None);
        };
        Url::parse(target)
            .ok()
            .filter(|url| url.origin() == self.api.origin())
            .and_then(|url| {
                let (_, number) = url.query_pairs().find(|(key, _)| key == "page")?;
                number.parse::<u32>().ok()
            })
            .filter(|next| *next > page)
            .map(Some)
            .ok_or_else(|| {
                Fault::new(
                    FaultKind::Malformed,
                    "GitHub's list goes on at a place that cannot be followed. If this goes on, its API has changed or a proxy rewrites its answers.",
                )
                .effect(Effect::None)
                .context(format!("{}; unusable next link", self.context(name, reply)))
            })
    }

    /// Sends a GraphQL query and reads its `data`.
    pub(super) async fn query<T: DeserializeOwned>(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        query: &str,
        variables: Value,
    ) -> Result<(T, bool), Fault> {
        let call =
            dressed(Call::new(name, Method::POST, self.graphql.clone())).repeat(Repeat::Read).graphql(query, variables);
        let reply = self.send(cx, call).await?;
        if reply.status != 200 {
            return Err(self.refusal(name, &reply));
        }
        let answer: GraphAnswer = self.read(name, &reply).map_err(|fault| fault.effect(Effect::None))?;
        if let Some(error) = answer.errors.first() {
            let kind = error.kind.as_deref().unwrap_or_default();
            let context = self.context(name, &reply);
            return Err(match kind {
                "RATE_LIMITED" | "RATE_LIMIT" => {
                    rate_limited(waits(&reply).unwrap_or_else(|| rates::after(reply.at, rates::USUAL_WAIT)), context)
                }
                "FORBIDDEN" | "INSUFFICIENT_SCOPES" | "NOT_FOUND" => Fault::new(
                    FaultKind::Permission,
                    format!(
                        "GitHub refuses the query \"{name}\" in {}. GitHub says: {}. The credential must be an owner's, with admin:org, and authorised for single sign-on.",
                        self.org,
                        tidy(&error.message)
                    ),
                )
                .context(context),
                _ => Fault::new(
                    FaultKind::Unavailable,
                    format!(
                        "GitHub could not answer the query \"{name}\". GitHub says: {}. It is tried again.",
                        tidy(&error.message)
                    ),
                )
                .context(context),
            });
        }
        let data = answer.data.unwrap_or(Value::Null);
        let data = serde_json::from_value(data).map_err(|_| {
            Fault::new(
                FaultKind::Malformed,
                "GitHub's answer could not be understood. If this goes on, its API has changed.",
            )
            .effect(Effect::None)
            .context(format!("{}; unexpected shape", self.context(name, &reply)))
        })?;
        Ok((data, !partial(&reply)))
    }
}

/// The headers that every call has.
fn dressed(call: Call) -> Call {
    call.header(ACCEPT, "application/vnd.github+json")
        .header(HeaderName::from_static("x-github-api-version"), "2022-11-28")
        // GitHub answers 403 to a call without one.
        .header(USER_AGENT, concat!("scimgate/", env!("CARGO_PKG_VERSION")))
}
