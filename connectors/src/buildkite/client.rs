//! The calls: addresses, headers, and what each status means. Nothing here knows people or teams.

use connector_sdk::{Call, Cx, Effect, Fault, FaultKind, PageToken, RemoteId, Repeat, Reply, Retry};
use http::{Method, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;
use url::Url;

use super::{ids, limits};
use crate::shared::answer::{self, Refused, Success};
use crate::shared::{self, bad_token, context, says};

/// Items per page, the most that the vendor allows.
pub(super) const PER_PAGE: usize = 100;
/// Pages that a search reads before it gives up: 5,000 items, far above the vendor's 250 teams.
pub(super) const MOST_PAGES: usize = 50;

/// Where the addresses stand.
const AT: &str = "the settings `api_url` and `graphql_url`";

/// The way to one organisation's API.
pub(super) struct Client {
    token: SecretString,
    api: Url,
    graphql: Url,
    org: String,
    own: OnceCell<Option<RemoteId>>,
    org_id: OnceCell<String>,
}

/// What the REST API answers.
pub(super) type Answer = answer::Answer<Refusal>;

/// A 4xx answer.
pub(super) struct Refusal {
    /// The status.
    pub(super) status: StatusCode,
    /// The target's own words, bounded and without the credential; empty if it gave none.
    pub(super) reason: String,
    context: String,
}

impl Refusal {
    /// Whether its words hold one of these, without case.
    pub(super) fn says(&self, words: &[&str]) -> bool {
        says(&self.reason, words)
    }

    /// That the object is not there: a 404, or a 422 that says so.
    pub(super) fn absent(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
            || self.status == StatusCode::GONE
            || (self.status == StatusCode::UNPROCESSABLE_ENTITY && absent_in_words(&self.reason))
    }

    /// A fault of that kind with words for the admin; the target's own are added.
    pub(super) fn because(&self, kind: FaultKind, message: &str) -> Fault {
        let message = if self.reason.is_empty() {
            message.to_owned()
        } else {
            format!("{message} Buildkite says: {}", self.reason)
        };
        Fault::new(kind, message).context(self.context.clone())
    }
}

impl Refused for Refusal {
    fn fault(&self) -> Fault {
        match self.status {
            StatusCode::FORBIDDEN => self.because(
                FaultKind::Permission,
                "Buildkite forbids this call. Give the token the scopes that the connector's page names, and its user the admin role in the organisation.",
            ),
            StatusCode::NOT_FOUND | StatusCode::GONE => self.because(
                FaultKind::NotFound,
                "Buildkite does not know this object.",
            ),
            _ => self.because(FaultKind::Refused, "Buildkite refuses this request."),
        }
    }
}

/// The ways in which the target says that something is not there. Only asked of 4xx answers and
/// GraphQL errors: an error page of a 5xx can hold the same words and prove nothing.
fn absent_in_words(text: &str) -> bool {
    says(text, &["not found", "no longer exists", "does not exist", "doesn't exist"])
        || (says(text, &["no "]) && says(text, &[" found"]))
}

/// What of a numbered page was read.
pub(super) struct Numbered<T> {
    /// The items.
    pub(super) items: Vec<T>,
    /// Where the listing goes on.
    pub(super) next: Option<PageToken>,
}

impl Client {
    /// A client of one organisation.
    pub(super) fn new(token: SecretString, api: Url, graphql: Url, org: String) -> Self {
        Self { token, api, graphql, org, own: OnceCell::new(), org_id: OnceCell::new() }
    }

    /// The organisation's slug.
    pub(super) fn org(&self) -> &str {
        &self.org
    }

    /// A call of the organisation's part of the REST API.
    pub(super) fn call(&self, name: &'static str, method: Method, path: &[&str]) -> Call {
        let mut whole = vec!["organizations", self.org.as_str()];
        whole.extend_from_slice(path);
        self.top(name, method, &whole)
    }

    /// A call of the REST API.
    pub(super) fn top(&self, name: &'static str, method: Method, path: &[&str]) -> Call {
        let mut url = self.api.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let repeat = match method {
            Method::GET => Repeat::Read,
            Method::PATCH | Method::DELETE => Repeat::Idempotent,
            _ => Repeat::Verifiable,
        };
        self.signed(Call::new(name, method, url).repeat(repeat))
    }

    fn signed(&self, call: Call) -> Call {
        call.authorization(&format!("Bearer {}", self.token.expose_secret())).header(header::ACCEPT, "application/json")
    }

    /// Sends a call.
    ///
    /// # Errors
    /// 401 `Credential`; 429 `RateLimited`, not before the latest time that the answer names; 5xx
    /// `Unavailable`, its effect unknown if the call writes; an answer that is neither success nor
    /// error `Malformed`.
    pub(super) async fn send(&self, cx: &Cx<'_>, call: Call) -> Result<Answer, Fault> {
        let name = call.name;
        let write = call.repeat != Repeat::Read;
        let reply = cx.send(call).await?;
        let status = reply.status;
        if status.is_success() {
            return Ok(Answer::Yes(Success::new(reply, name, write)));
        }
        let context = context(name, &reply);
        Err(match status {
            StatusCode::UNAUTHORIZED => Fault::new(
                FaultKind::Credential,
                "Buildkite does not accept the API token: it was revoked, has expired, or its user has left. Give the instance a new token.",
            ),
            StatusCode::TOO_MANY_REQUESTS => Fault::new(
                FaultKind::RateLimited,
                "Buildkite's rate limit is used up.",
            )
            .retry(Retry::NotBefore(limits::not_before(&reply))),
            StatusCode::REQUEST_TIMEOUT => answer::trouble("Buildkite", AT, status, write),
            status if status.is_client_error() => {
                return Ok(Answer::No(Refusal {
                    status,
                    reason: self.reason(&reply),
                    context,
                }));
            }
            status => answer::trouble("Buildkite", AT, status, write),
        }
        .context(context))
    }

    /// The target's own words, without control characters and the credential.
    fn reason(&self, reply: &Reply) -> String {
        #[derive(Deserialize)]
        struct Body {
            message: Option<Value>,
        }
        let told = serde_json::from_slice::<Body>(&reply.body).ok().and_then(|body| body.message);
        match told {
            Some(Value::String(text)) => self.clean(&text),
            _ => String::new(),
        }
    }

    fn clean(&self, text: &str) -> String {
        shared::clean(text, [&self.token])
    }

    /// Asks GraphQL. Errors come with status 200, so they are told apart by their words.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        repeat: Repeat,
        query: &str,
        variables: Value,
    ) -> Result<T, Fault> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            data: Option<Value>,
            #[serde(default)]
            errors: Option<Vec<Problem>>,
        }
        #[derive(Deserialize)]
        struct Problem {
            #[serde(default)]
            message: String,
        }
        let call =
            self.signed(Call::new(name, Method::POST, self.graphql.clone()).repeat(repeat)).graphql(query, variables);
        let success = self.send(cx, call).await?.success()?;
        let body: Body = success.json()?;
        if let Some(problem) = body.errors.as_ref().and_then(|errors| errors.first()) {
            // With data beside the error, a part of a mutation may have happened.
            let partly = success.effect() == Effect::Unknown && body.data.as_ref().is_some_and(holds_something);
            let effect = if partly { Effect::Unknown } else { Effect::None };
            return Err(self
                .graphql_fault(&problem.message, &success.reply)
                .effect(effect)
                .context(context(name, &success.reply)));
        }
        let data = body.data.unwrap_or(Value::Null);
        serde_json::from_value(data).map_err(|error| {
            let effect = success.effect();
            Fault::new(
                FaultKind::Malformed,
                "Buildkite's GraphQL answer could not be understood. If this goes on, its API has changed.",
            )
            .effect(effect)
            .context(format!("{name}: GraphQL data of unexpected shape, line {}", error.line()))
        })
    }

    fn graphql_fault(&self, message: &str, reply: &Reply) -> Fault {
        let reason = self.clean(message);
        let with = |kind, words: &str| Fault::new(kind, format!("{words} Buildkite says: {reason}"));
        if says(&reason, &["max complexity", "max depth"]) {
            with(FaultKind::Refused, "Buildkite refuses the query as too complex.")
        } else if says(&reason, &["rate limit", "complexity points", "try again in"]) {
            let until =
                limits::seconds_in(&reason).map_or_else(|| limits::not_before(reply), |s| limits::later(reply, s));
            with(FaultKind::RateLimited, "Buildkite's GraphQL limit is used up.").retry(Retry::NotBefore(until))
        } else if says(&reason, &["already been taken", "already exists", "already been used"]) {
            with(FaultKind::NameTaken, "The name is taken at Buildkite.")
        } else if absent_in_words(&reason) {
            with(FaultKind::NotFound, "Buildkite does not know this object.")
        } else if says(&reason, &["permission", "permitted", "not allowed", "authoriz", "forbidden", "access"]) {
            with(
                FaultKind::Permission,
                "Buildkite forbids this call. Enable GraphQL API access for the token, and give its user the admin role.",
            )
        } else {
            with(FaultKind::Refused, "Buildkite refuses this request.")
        }
    }

    /// The id of the credential's own user, remembered; `None` where the token may not tell.
    pub(super) async fn own(&self, cx: &Cx<'_>) -> Result<Option<&RemoteId>, Fault> {
        self.own
            .get_or_try_init(|| async {
                match self.who_am_i(cx).await? {
                    Answer::Yes(success) => Ok(Some(ids::remote(&success.json::<Identified>()?.id)?)),
                    Answer::No(_) => Ok(None),
                }
            })
            .await
            .map(Option::as_ref)
    }

    /// Asks for the credential's own user.
    pub(super) async fn who_am_i(&self, cx: &Cx<'_>) -> Result<Answer, Fault> {
        self.send(cx, self.top("get own user", Method::GET, &["user"])).await
    }

    /// The organisation's GraphQL id, remembered.
    pub(super) async fn org_id(&self, cx: &Cx<'_>) -> Result<&str, Fault> {
        self.org_id.get_or_try_init(|| self.organization(cx)).await.map(String::as_str)
    }

    /// Reads the organisation and gives its GraphQL id.
    ///
    /// # Errors
    /// `Permission` where the token cannot see it.
    pub(super) async fn organization(&self, cx: &Cx<'_>) -> Result<String, Fault> {
        let call = self.call("get organization", Method::GET, &[]);
        match self.send(cx, call).await? {
            Answer::Yes(success) => {
                let org: Identified = success.json()?;
                Ok(match org.graphql_id {
                    Some(id) if !id.is_empty() => id,
                    _ => ids::graphql("Organization", &org.id),
                })
            }
            Answer::No(refusal) if refusal.absent() => Err(refusal.because(
                FaultKind::Permission,
                "The token does not see the organisation. Check the setting `org`, and that the token was given access to it.",
            )),
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    /// Confirms that a 404 speaks of the object and not of the organisation: a token that lost its
    /// organisation must not make everything look gone.
    pub(super) async fn confirm_absence(&self, cx: &Cx<'_>) -> Result<(), Fault> {
        self.organization(cx).await.map(|_| ())
    }

    /// One page of a listing that goes by numbers; `None` where its parent is not there.
    ///
    /// The vendor documents `page`, `per_page` and `Link` for lists in general but does not say
    /// which lists are paged. So a `Link` is believed; without one, a full page has a next, unless
    /// it begins like the one before: then the list is not paged and was whole.
    pub(super) async fn numbered<T: DeserializeOwned>(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        path: &[&str],
        page: Option<&PageToken>,
        id: fn(&T) -> &str,
    ) -> Result<Option<Numbered<T>>, Fault> {
        let (number, before) = match page {
            None => (1, None),
            Some(token) => page_number(token)?,
        };
        let mut call = self.call(name, Method::GET, path);
        call.url
            .query_pairs_mut()
            .append_pair("page", &number.to_string())
            .append_pair("per_page", &PER_PAGE.to_string());
        let success = match self.send(cx, call).await? {
            Answer::Yes(success) => success,
            Answer::No(refusal) if refusal.status == StatusCode::NOT_FOUND => return Ok(None),
            Answer::No(refusal) => return Err(refusal.fault()),
        };
        let items: Vec<T> = success.json()?;
        let first = items.first().map(id).unwrap_or_default().to_owned();
        if before.is_some_and(|before| before == first) {
            return Ok(Some(Numbered { items: Vec::new(), next: None }));
        }
        let more = match success.reply.header("link") {
            Some(link) => link_next(link).is_some() && !items.is_empty(),
            None => items.len() == PER_PAGE,
        };
        let next = more.then(|| PageToken(format!("{}:{first}", number + 1)));
        Ok(Some(Numbered { items, next }))
    }

    /// A fault for an organisation-wide list that answered 404.
    pub(super) fn no_such_list() -> Fault {
        Fault::new(
            FaultKind::Permission,
            "The token does not see the organisation. Check the setting `org`, and that the token was given access to it.",
        )
    }
}

/// Anything with ids.
#[derive(Deserialize)]
pub(super) struct Identified {
    /// The uuid.
    pub(super) id: String,
    /// The GraphQL id.
    pub(super) graphql_id: Option<String>,
}

/// Whether a GraphQL `data` holds anything but nulls at its top.
fn holds_something(data: &Value) -> bool {
    match data {
        Value::Null => false,
        Value::Object(fields) => fields.values().any(|value| !value.is_null()),
        _ => true,
    }
}

/// Reads `number:first id of the page before`.
fn page_number(token: &PageToken) -> Result<(u32, Option<&str>), Fault> {
    token
        .0
        .split_once(':')
        .and_then(|(number, first)| Some((number.parse().ok()?, Some(first))))
        .ok_or_else(|| bad_token("page number"))
}

/// The target of `rel="next"` in a `Link` header.
fn link_next(link: &str) -> Option<&str> {
    link.split(',').find_map(|part| {
        let (target, parameters) = part.split_once(';')?;
        let next = parameters.split(';').any(|parameter| {
            let parameter = parameter.trim();
            parameter.eq_ignore_ascii_case("rel=\"next\"") || parameter.eq_ignore_ascii_case("rel=next")
        });
        next.then(|| target.trim().trim_start_matches('<').trim_end_matches('>'))
    })
}

/// A parameter of the query of an address that the target told. Only the parameter is used: an
/// address in an answer never decides where the credential is sent.
pub(super) fn parameter(address: &str, name: &str) -> Option<String> {
    let (_, query) = address.split_once('?')?;
    url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
