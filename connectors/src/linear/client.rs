//! The calls: one address, one way to ask, and what each answer means. Nothing here knows people or teams.

use connector_sdk::{Call, Cx, Effect, Fault, FaultKind, Repeat, Reply, Retry};
use http::{Method, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;
use url::Url;

use super::limits::{self, Problem};
use crate::shared::{clean, context, says};

/// Items per page.
pub(super) const PER_PAGE: usize = 100;
/// Pages that a search reads before it gives up.
pub(super) const MOST_PAGES: usize = 200;

/// Asks whose the key is.
const OWN: &str = "query { viewer { id } }";

/// The way to one workspace.
pub(super) struct Client {
    token: SecretString,
    graphql: Url,
    own: OnceCell<String>,
}

/// An answer that is data, or a refusal that the caller may understand better.
pub(super) enum Answer<T> {
    /// `data`.
    Yes(T),
    /// An error that is neither the key's nor a limit.
    No(Refusal),
}

impl<T> Answer<T> {
    /// The data; every refusal is a fault.
    pub(super) fn success(self) -> Result<T, Fault> {
        match self {
            Self::Yes(data) => Ok(data),
            Self::No(refusal) => Err(refusal.fault()),
        }
    }
}

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// An object is not there (`Entity not found: …`).
    Absent,
    /// The input is refused: validation, a duplicate, a rule of the workspace.
    Input,
    /// A plan's quota: seats, teams.
    Usage,
    /// The plan lacks the feature.
    Plan,
    /// The key's user may not do it.
    Forbidden,
}

/// An error of the API.
pub(super) struct Refusal {
    /// What it is about.
    pub(super) why: Why,
    reason: String,
    context: String,
    /// A mutation whose answer has data beside the error may have happened.
    effect: Effect,
}

impl Refusal {
    /// Whether its words hold one of these, without case.
    pub(super) fn says(&self, words: &[&str]) -> bool {
        says(&self.reason, words)
    }

    /// A fault of that kind with words for the admin; the target's own are added.
    pub(super) fn because(&self, kind: FaultKind, message: &str) -> Fault {
        Fault::new(kind, self.words(message)).effect(self.effect).context(self.context.clone())
    }

    /// Words for the admin; the target's own are added.
    pub(super) fn words(&self, message: &str) -> String {
        if self.reason.is_empty() { message.to_owned() } else { format!("{message} Linear says: {}", self.reason) }
    }

    /// The fault it is where the caller knows no better.
    pub(super) fn fault(&self) -> Fault {
        match self.why {
            Why::Absent => self.because(FaultKind::NotFound, "Linear does not know this object."),
            Why::Input => self.because(FaultKind::Refused, "Linear refuses this request."),
            Why::Usage => self.because(FaultKind::Quota, "The workspace's plan allows no more of these."),
            Why::Plan => self.because(FaultKind::Permission, "The workspace's plan does not have this feature."),
            Why::Forbidden => self.because(
                FaultKind::Permission,
                "Linear forbids this call. The API key's user must be an admin or owner of the workspace, and the key must have the permissions Read, Write and Admin.",
            ),
        }
    }
}

impl Client {
    /// A client of one workspace.
    pub(super) fn new(token: SecretString, graphql: Url) -> Self {
        Self { token, graphql, own: OnceCell::new() }
    }

    /// Asks the API.
    ///
    /// # Errors
    /// A dead key `Credential`; a limit, whatever its status, `RateLimited`; 5xx `Unavailable`, its
    /// effect unknown if the call writes; what is not the API's answer `Malformed`.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        repeat: Repeat,
        document: &str,
        variables: Value,
    ) -> Result<Answer<T>, Fault> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            data: Value,
            #[serde(default)]
            errors: Vec<Problem>,
        }
        // A personal key stands alone in the header; only OAuth tokens are bearers.
        let key = self.token.expose_secret();
        let authorization = if key.starts_with("lin_api_") { key.to_owned() } else { format!("Bearer {key}") };
        let call = Call::new(name, Method::POST, self.graphql.clone())
            .repeat(repeat)
            .authorization(&authorization)
            .header(header::ACCEPT, "application/json")
            .graphql(document, variables);
        let write = repeat != Repeat::Read;
        let unless_read = if write { Effect::Unknown } else { Effect::None };
        let reply = cx.send(call).await?;
        let whole = context(name, &reply);
        if let Some(until) = limits::throttled(&reply) {
            return Err(Fault::new(FaultKind::RateLimited, "Linear's rate limit is used up.")
                .retry(Retry::NotBefore(until))
                .context(whole));
        }
        if reply.status.is_server_error() || reply.status == StatusCode::REQUEST_TIMEOUT {
            let status = reply.status.as_u16();
            return Err(Fault::new(
                FaultKind::Unavailable,
                format!("Linear is in trouble (status {status}). The gateway tries again."),
            )
            .effect(unless_read)
            .context(whole));
        }
        let body: Body = match serde_json::from_slice(&reply.body) {
            Ok(body) => body,
            Err(_) if reply.status == StatusCode::UNAUTHORIZED => return Err(dead().context(whole)),
            Err(_) => return Err(strange(&reply, unless_read).context(whole)),
        };
        if let Some(problem) = body.errors.first() {
            let partly = write && holds_something(&body.data);
            let effect = if partly { Effect::Unknown } else { Effect::None };
            return self.refusal(problem, &reply, effect, unless_read, whole).map(Answer::No);
        }
        match reply.status {
            StatusCode::UNAUTHORIZED => return Err(dead().context(whole)),
            status if status.is_success() => {}
            _ => return Err(strange(&reply, unless_read).context(whole)),
        }
        serde_json::from_value(body.data).map(Answer::Yes).map_err(|_| {
            Fault::new(
                FaultKind::Malformed,
                "Linear's answer could not be understood. If this goes on, its API has changed.",
            )
            .effect(unless_read)
            .context(format!("{whole}: data of unexpected shape"))
        })
    }

    fn refusal(
        &self,
        problem: &Problem,
        reply: &Reply,
        effect: Effect,
        unless_read: Effect,
        context: String,
    ) -> Result<Refusal, Fault> {
        if problem.is(&["authenticationerror", "unauthenticated"]) || reply.status == StatusCode::UNAUTHORIZED {
            return Err(dead().context(context));
        }
        if problem.is(&["internalerror", "internalservererror", "locktimeout", "networkerror", "bootstraperror"]) {
            return Err(Fault::new(FaultKind::Unavailable, "Linear is in trouble. The gateway tries again.")
                .effect(unless_read)
                .context(context));
        }
        let told = problem.extensions.presentable.as_deref().filter(|text| !text.trim().is_empty());
        let reason = clean(told.unwrap_or(&problem.message), [&self.token]);
        let why = if says(&problem.message, &["entity not found", "could not find referenced"])
            || problem.is(&["notfound", "entitynotfound"])
        {
            Why::Absent
        } else if problem.is(&["usagelimitexceeded"]) {
            Why::Usage
        } else if problem.is(&["featurenotaccessible"]) {
            Why::Plan
        } else if problem.is(&["forbidden"]) || reply.status == StatusCode::FORBIDDEN {
            Why::Forbidden
        } else {
            Why::Input
        };
        Ok(Refusal { why, reason, context, effect })
    }

    /// The id of the key's own user, remembered.
    pub(super) async fn own(&self, cx: &Cx<'_>) -> Result<&str, Fault> {
        #[derive(Deserialize)]
        struct Data {
            viewer: Viewer,
        }
        #[derive(Deserialize)]
        struct Viewer {
            id: String,
        }
        self.own
            .get_or_try_init(|| async {
                let asked = self.ask::<Data>(cx, "get own user", Repeat::Read, OWN, Value::Null).await?;
                Ok(asked.success()?.viewer.id)
            })
            .await
            .map(String::as_str)
    }
}

fn dead() -> Fault {
    Fault::new(
        FaultKind::Credential,
        "Linear does not accept the API key: it was revoked, has expired, or its user was suspended. Give the instance a new key.",
    )
}

fn strange(reply: &Reply, effect: Effect) -> Fault {
    Fault::new(
        FaultKind::Malformed,
        format!(
            "Something at the address answered with status {}, which is not Linear's API. Check the setting `graphql_url`.",
            reply.status.as_u16()
        ),
    )
    .effect(if reply.status.is_client_error() { Effect::None } else { effect })
}

/// Whether `data` holds anything but nulls at its top.
fn holds_something(data: &Value) -> bool {
    match data {
        Value::Null => false,
        Value::Object(fields) => fields.values().any(|value| !value.is_null()),
        _ => true,
    }
}
