//! The calls: one way to ask, and what each answer means. Slack answers nearly everything with status
//! 200, and says in `ok` and `error` how it went. Nothing here knows people or groups.

use connector_sdk::{Call, Cx, Effect, Fault, FaultKind, Repeat, Retry};
use http::{Method, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::limits;
use crate::shared::{clean, context};

/// What the token lost.
const DEAD: [&str; 6] =
    ["not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired", "org_login_required"];
/// What it may not.
const FORBIDDEN: [&str; 11] = [
    "missing_scope",
    "no_permission",
    "permission_denied",
    "not_allowed_token_type",
    "user_is_bot",
    "user_is_restricted",
    "team_added_to_org",
    "access_denied",
    "ekm_access_denied",
    "two_factor_setup_required",
    "enterprise_is_restricted",
];
/// What the plan lacks.
const PLAN: [&str; 3] = ["paid_teams_only", "plan_upgrade_required", "upgrade_required"];
/// What is Slack's own trouble.
const TROUBLE: [&str; 4] = ["fatal_error", "internal_error", "service_unavailable", "request_timeout"];

/// The way to one workspace.
pub(super) struct Client {
    token: SecretString,
    api: Url,
}

/// An answer that is a success, or a refusal that the caller may understand better.
pub(super) enum Answer<T> {
    /// `ok` is true.
    Yes(T),
    /// An error that is neither the token's, a limit, nor Slack's own.
    No(Refusal),
}

impl<T> Answer<T> {
    /// The success; every refusal is a fault.
    pub(super) fn success(self) -> Result<T, Fault> {
        match self {
            Self::Yes(body) => Ok(body),
            Self::No(refusal) => Err(refusal.fault()),
        }
    }
}

/// `ok` is false.
pub(super) struct Refusal {
    /// Slack's word: `name_already_exists`.
    pub(super) code: String,
    context: String,
}

impl Refusal {
    /// Whether it is one of these.
    pub(super) fn is(&self, codes: &[&str]) -> bool {
        codes.contains(&self.code.as_str())
    }

    /// A fault of that kind with words for the admin; Slack's own word is added.
    pub(super) fn because(&self, kind: FaultKind, message: &str) -> Fault {
        Fault::new(kind, format!("{message} Slack says: {}", self.code)).context(self.context.clone())
    }

    /// The fault it is where the caller knows no better.
    pub(super) fn fault(&self) -> Fault {
        self.because(FaultKind::Refused, "Slack refuses this request.")
    }
}

impl Client {
    /// A client of one workspace.
    pub(super) fn new(token: SecretString, api: Url) -> Self {
        Self { token, api }
    }

    /// Reads.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        cx: &Cx<'_>,
        method: (&'static str, &'static str, u32),
        query: &[(&str, &str)],
    ) -> Result<Answer<T>, Fault> {
        let mut call = self.call(method, Method::GET);
        if !query.is_empty() {
            call.url.query_pairs_mut().extend_pairs(query);
        }
        self.send(cx, call).await
    }

    /// Writes.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        cx: &Cx<'_>,
        method: (&'static str, &'static str, u32),
        repeat: Repeat,
        body: &Value,
    ) -> Result<Answer<T>, Fault> {
        let call = self.call(method, Method::POST).repeat(repeat).json(body);
        // Without the charset Slack warns in every answer.
        self.send(cx, call.header(header::CONTENT_TYPE, "application/json; charset=utf-8")).await
    }

    fn call(&self, (name, path, _): (&'static str, &'static str, u32), method: Method) -> Call {
        let mut url = self.api.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(path);
        }
        Call::new(name, method, url)
            .authorization(&format!("Bearer {}", self.token.expose_secret()))
            .header(header::ACCEPT, "application/json")
    }

    async fn send<T: DeserializeOwned>(&self, cx: &Cx<'_>, call: Call) -> Result<Answer<T>, Fault> {
        #[derive(Deserialize)]
        struct Envelope {
            ok: bool,
            #[serde(default)]
            error: String,
        }
        let name = call.name;
        let unless_read = if call.repeat == Repeat::Read { Effect::None } else { Effect::Unknown };
        let reply = cx.send(call).await?;
        let whole = context(name, &reply);
        if let Some(until) = limits::throttled(&reply) {
            return Err(Fault::new(FaultKind::RateLimited, "Slack's rate limit of this method is used up.")
                .retry(Retry::NotBefore(until))
                .context(whole));
        }
        let status = reply.status;
        if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
            return Err(trouble(unless_read).context(whole));
        }
        if status == StatusCode::UNAUTHORIZED {
            return Err(dead().context(whole));
        }
        let strange = |effect| {
            Fault::new(
                FaultKind::Malformed,
                format!(
                    "Something at the address answered with status {}, which is not Slack's Web API. Check the setting `api_url`.",
                    status.as_u16()
                ),
            )
            .effect(effect)
        };
        if !status.is_success() {
            let effect = if status.is_client_error() { Effect::None } else { unless_read };
            return Err(strange(effect).context(whole));
        }
        let Ok(envelope) = serde_json::from_slice::<Envelope>(&reply.body) else {
            return Err(strange(unless_read).context(whole));
        };
        if envelope.ok {
            return reply.json().map(Answer::Yes).map_err(|fault| fault.effect(unless_read).context(whole));
        }
        let code = clean(&envelope.error, [&self.token]);
        let is = |codes: &[&str]| codes.contains(&code.as_str());
        if is(&DEAD) {
            return Err(dead().context(format!("{whole}, {code}")));
        }
        if is(&TROUBLE) {
            return Err(trouble(unless_read).context(format!("{whole}, {code}")));
        }
        let refusal = Refusal { context: whole, code };
        if refusal.is(&PLAN) {
            return Err(refusal
                .because(FaultKind::Permission, "The workspace's plan has no user groups. They need a paid plan."));
        }
        if refusal.is(&FORBIDDEN) {
            return Err(refusal.because(
                FaultKind::Permission,
                "Slack forbids this call. Give the app the scopes that the connector's page names, and let it change user groups (Workspace settings, Permissions), or use an admin's token.",
            ));
        }
        Ok(Answer::No(refusal))
    }
}

fn dead() -> Fault {
    Fault::new(
        FaultKind::Credential,
        "Slack does not accept the token: it was revoked, has expired, or the app was removed. Give the instance a new token.",
    )
}

fn trouble(effect: Effect) -> Fault {
    Fault::new(FaultKind::Unavailable, "Slack is in trouble. The gateway tries again.").effect(effect)
}
