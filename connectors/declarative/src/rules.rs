//! What answers mean: a manifest's rules, and what holds where none speaks.

use connector_sdk::rates::{self, Reset};
use connector_sdk::{Effect, Fault, FaultKind, Reply, Retry};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;

use crate::expr::{Expr, Scope, from_json};
use crate::model::{Dialect, KindModel, OutcomeModel};
use crate::request::Request;

/// How much of the target's own words is passed on, in characters.
const LONGEST_REASON: usize = 300;

/// A compiled rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) status: Vec<u16>,
    pub(crate) when: Option<Expr>,
    pub(crate) on: Vec<String>,
    pub(crate) verdict: Verdict,
    pub(crate) message: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) wait: Option<Wait>,
}

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fault(FaultKind),
    Outcome(OutcomeModel),
}

/// Where an answer tells how long to wait.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) header: Option<String>,
    pub(crate) body: Option<Expr>,
    pub(crate) seconds: Option<i64>,
    pub(crate) dialect: Dialect,
}

impl From<Dialect> for Reset {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::EpochSeconds => Self::EpochSeconds,
            Dialect::EpochMillis => Self::EpochMillis,
            Dialect::SecondsLeft => Self::SecondsLeft,
            Dialect::Date => Self::Date,
        }
    }
}

impl From<KindModel> for FaultKind {
    fn from(kind: KindModel) -> Self {
        match kind {
            KindModel::RateLimited => Self::RateLimited,
            KindModel::Quota => Self::Quota,
            KindModel::Unavailable => Self::Unavailable,
            KindModel::Credential => Self::Credential,
            KindModel::Permission => Self::Permission,
            KindModel::Refused => Self::Refused,
            KindModel::Incomplete => Self::Incomplete,
            KindModel::NameTaken => Self::NameTaken,
            KindModel::NotFound => Self::NotFound,
            KindModel::Protected => Self::Protected,
            KindModel::Malformed => Self::Malformed,
        }
    }
}

impl Wait {
    fn until(&self, reply: &Reply, scope: &Scope) -> Option<Timestamp> {
        let dialect = Reset::from(self.dialect);
        let header = self.header.as_deref().and_then(|name| match name {
            name if name.eq_ignore_ascii_case("retry-after") => rates::retry_after(reply),
            name => dialect.read(reply.header(name)?, reply),
        });
        let body = self.body.as_ref().and_then(|expr| {
            let value = expr.eval(scope).ok()?;
            dialect.read(&value.to_string(), reply)
        });
        let fixed = self.seconds.map(|seconds| rates::after(reply.at, seconds.min(rates::LONGEST_WAIT)));
        header.or(body).or(fixed)
    }
}

/// An answer that was judged.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A success, with its body where it has one.
    Done(Done),
    /// What was asked for is not there (404, 410, or a rule).
    Missing(Fault),
    /// What a rule makes of it.
    Outcome(OutcomeModel, Told),
}

/// A success.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) reply: Reply,
    pub(crate) body: Option<Value>,
}

/// What goes with an outcome.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) message: String,
    pub(crate) code: String,
    pub(crate) until: Option<Timestamp>,
    pub(crate) context: String,
}

impl Told {
    /// The outcome as a fault, where the operation knows it not.
    pub(crate) fn fault(self, outcome: OutcomeModel) -> Fault {
        let (kind, retry) = match outcome {
            OutcomeModel::Waiting => (FaultKind::Quota, self.until.map_or(Retry::Soon, Retry::NotBefore)),
            OutcomeModel::ActionRequired => (FaultKind::Refused, Retry::AfterOperator),
            OutcomeModel::AlreadyThere => (FaultKind::NameTaken, Retry::Never),
            OutcomeModel::AlreadyGone => (FaultKind::NotFound, Retry::Never),
            _ => (FaultKind::Refused, Retry::Never),
        };
        Fault::new(kind, self.message).retry(retry).context(self.context)
    }
}

/// The judge of one connector's answers.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    /// The target's title.
    pub(crate) title: &'a str,
    /// The common rules.
    pub(crate) rules: &'a [Rule],
    pub(crate) error_text: Option<&'a Expr>,
    /// Plain texts that must stand in no message.
    pub(crate) secrets: &'a [String],
    /// When the buckets that an answer shows as used up are full again.
    pub(crate) used_up: Option<Timestamp>,
}

/// What expressions over an answer see besides what the request saw.
pub(crate) fn scope_of(reply: &Reply, body: Option<&Value>, scope: &Scope) -> Scope {
    let mut scope = scope.clone();
    if let Some(body) = body {
        scope.insert("body", from_json(body));
    }
    scope.insert("status", minijinja::Value::from(reply.status.as_u16()));
    let headers = reply.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    scope.insert("headers", minijinja::Value::from_pairs(headers));
    scope
}

impl Judge<'_> {
    /// What an answer means.
    ///
    /// # Errors
    /// The fault it is.
    pub(crate) fn judge(&self, request: &Request, reply: Reply, scope: &Scope) -> Result<Answer, Fault> {
        let status = reply.status;
        let empty = reply.body.trim_ascii().is_empty();
        let body: Option<Value> = if empty { None } else { serde_json::from_slice(&reply.body).ok() };
        let mut scope = scope_of(&reply, body.as_ref(), scope);
        let words = self.error_text.and_then(|expr| expr.text(&scope).ok().flatten());
        let words = self.clean(&words.unwrap_or_default());
        scope.insert("text", minijinja::Value::from(words.as_str()));
        let write = request.writes_at_all();
        let unless_read = if write { Effect::Unknown } else { Effect::None };
        let context = context(request.call, &reply);
        if let Some(rule) = self.rule(request, status, &scope) {
            return self.verdict(rule, &reply, &scope, &words, unless_read, context);
        }
        let success =
            if request.success.is_empty() { status.is_success() } else { request.success.contains(&status.as_u16()) };
        if success {
            if body.is_none() && !empty {
                return Err(self.malformed(unless_read, format!("{context}, a success that is not JSON")));
            }
            return Ok(Answer::Done(Done { reply, body }));
        }
        let title = self.title;
        let say = |kind, message: String| Fault::new(kind, said(&message, title, &words)).context(context.clone());
        Err(match status {
            StatusCode::UNAUTHORIZED => say(
                FaultKind::Credential,
                format!("{title} does not accept the credential: it was revoked or has expired. Give the instance a new one."),
            ),
            StatusCode::FORBIDDEN => say(
                FaultKind::Permission,
                format!("{title} forbids this call. Give the credential what the connector's page names under needs."),
            ),
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                return Ok(Answer::Missing(say(
                    FaultKind::NotFound,
                    format!("{title} does not know this object."),
                )));
            }
            StatusCode::TOO_MANY_REQUESTS => say(FaultKind::RateLimited, format!("{title}'s rate limit is used up."))
                .retry(Retry::NotBefore(self.not_before(None, &reply))),
            StatusCode::REQUEST_TIMEOUT => {
                say(FaultKind::Unavailable, format!("{title} did not answer in time.")).effect(unless_read)
            }
            status if status.is_server_error() => say(
                FaultKind::Unavailable,
                format!("{title} is in trouble (status {}). The gateway tries again.", status.as_u16()),
            )
            .effect(unless_read),
            status if status.is_client_error() => {
                say(FaultKind::Refused, format!("{title} refuses this request (status {}).", status.as_u16()))
            }
            status => Fault::new(
                FaultKind::Malformed,
                format!(
                    "Something at the address of {title} answered with status {}, which its API does not. Check the address in the settings.",
                    status.as_u16()
                ),
            )
            .effect(unless_read)
            .context(context),
        })
    }

    /// The first rule that matches. What says no status means no refusal of the target's door: a 5xx
    /// or a 429 has to be named.
    fn rule<'r>(&'r self, request: &'r Request, status: StatusCode, scope: &Scope) -> Option<&'r Rule> {
        request.rules.iter().chain(self.rules).find(|rule| {
            let by_status = if rule.status.is_empty() {
                !status.is_server_error() && status != StatusCode::TOO_MANY_REQUESTS
            } else {
                rule.status.contains(&status.as_u16())
            };
            by_status
                && (rule.on.is_empty() || rule.on.iter().any(|op| op == request.op))
                && rule.when.as_ref().is_none_or(|when| when.holds(scope))
        })
    }

    fn verdict(
        &self,
        rule: &Rule,
        reply: &Reply,
        scope: &Scope,
        words: &str,
        unless_read: Effect,
        context: String,
    ) -> Result<Answer, Fault> {
        let title = self.title;
        let message = match &rule.message {
            Some(message) => said(message, title, words),
            None => said(&format!("{title} refuses this request."), title, words),
        };
        let kind = match rule.verdict {
            Verdict::Outcome(outcome) => {
                let until = rule.wait.as_ref().and_then(|wait| wait.until(reply, scope));
                let code = rule.code.clone().unwrap_or_else(|| "action".to_owned());
                return Ok(Answer::Outcome(outcome, Told { message, code, until, context }));
            }
            Verdict::Fault(kind) => kind,
        };
        let fault = Fault::new(kind, message).context(context);
        let told = rule.wait.as_ref().and_then(|wait| wait.until(reply, scope));
        match kind {
            FaultKind::NotFound => Ok(Answer::Missing(fault)),
            FaultKind::RateLimited => {
                Err(fault.retry(Retry::NotBefore(self.not_before(told, reply))).effect(Effect::None))
            }
            FaultKind::Quota => Err(match told {
                Some(until) => fault.retry(Retry::NotBefore(rates::patient(reply, until))),
                None => fault,
            }),
            FaultKind::Unavailable | FaultKind::Malformed => Err(fault.effect(unless_read)),
            _ => Err(fault),
        }
    }

    /// The latest of all that an answer says of when to come again.
    fn not_before(&self, told: Option<Timestamp>, reply: &Reply) -> Timestamp {
        let latest = [told, rates::retry_after(reply), self.used_up].into_iter().flatten().max();
        latest.map_or_else(|| rates::after(reply.at, rates::USUAL_WAIT), |until| rates::patient(reply, until))
    }

    /// Until when nothing is to be sent, if an answer says so: a 429, or a common rule of that kind.
    ///
    /// Which request an answer is to is not known here, so a request's own rule is heard where it names this status and
    /// speaks of something else: a quota that is used up says nothing of other calls.
    pub(crate) fn throttled(&self, reply: &Reply, own: &[&Rule]) -> Option<Timestamp> {
        let plain = reply.status == StatusCode::TOO_MANY_REQUESTS;
        let disguises: Vec<&Rule> = self
            .rules
            .iter()
            .filter(|rule| rule.verdict == Verdict::Fault(FaultKind::RateLimited) && rule.on.is_empty())
            .filter(|rule| if rule.status.is_empty() { !plain } else { rule.status.contains(&reply.status.as_u16()) })
            .collect();
        if !plain && disguises.is_empty() {
            return None;
        }
        let body: Option<Value> = serde_json::from_slice(&reply.body).ok();
        let mut scope = scope_of(reply, body.as_ref(), &Scope::new());
        let words = self.error_text.and_then(|expr| expr.text(&scope).ok().flatten()).unwrap_or_default();
        scope.insert("text", minijinja::Value::from(words));
        let speaks = |rule: &&&Rule| {
            rule.status.contains(&reply.status.as_u16())
                && rule.verdict != Verdict::Fault(FaultKind::RateLimited)
                && rule.when.as_ref().is_some_and(|when| when.holds(&scope))
        };
        if own.iter().any(|rule| speaks(&rule)) {
            return None;
        }
        let rule = disguises.into_iter().find(|rule| rule.when.as_ref().is_none_or(|when| when.holds(&scope)));
        let told = rule.and_then(|rule| rule.wait.as_ref()?.until(reply, &scope));
        (plain || rule.is_some()).then(|| self.not_before(told, reply))
    }

    /// An answer that is not what the manifest says.
    pub(crate) fn malformed(&self, effect: Effect, context: String) -> Fault {
        Fault::new(
            FaultKind::Malformed,
            format!(
                "The answer of {} could not be understood. If this goes on, its API has changed, or the manifest is wrong.",
                self.title
            ),
        )
        .effect(effect)
        .context(context)
    }

    /// The target's own words, without secrets and control characters.
    fn clean(&self, text: &str) -> String {
        let mut text: String = text.chars().take(4_096).collect();
        for secret in self.secrets {
            text = text.replace(secret.as_str(), "[redacted]");
        }
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_REASON).collect()
    }
}

fn said(message: &str, title: &str, words: &str) -> String {
    if words.is_empty() { message.to_owned() } else { format!("{message} {title} says: {words}") }
}

/// The context of a fault: the call, the status and the target's request id.
pub(crate) fn context(call: &str, reply: &Reply) -> String {
    let request: String = reply
        .header("x-request-id")
        .unwrap_or("none")
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(64)
        .collect();
    format!("{call}: status {}, request {request}", reply.status.as_u16())
}
