//! What can go wrong, as data for the scheduler and words for the admin.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// The target asked us to slow down (429, GitHub's 403 forms, GraphQL's RATE_LIMITED).
    RateLimited,
    /// A quota that is not a rate: invitations per day, pending invitations, seats.
    Quota,
    /// The target is down, unreachable, or answered 5xx.
    Unavailable,
    /// No answer within the deadline.
    Timeout,
    /// The target's credential is dead (revoked, expired, not authorised for SSO).
    Credential,
    /// The credential lives, but lacks a permission.
    Permission,
    /// The target refuses this request for good: validation, a person who does not exist there.
    Refused,
    /// The record lacks what the target needs, such as an address to invite. It was not sent; it is
    /// kept and goes on once the client sends what is missing.
    Incomplete,
    /// A name is taken at the target.
    NameTaken,
    /// The object is not there (any more).
    NotFound,
    /// The account or group may not be touched (last owner, the credential's own account).
    Protected,
    /// The target's answer could not be understood.
    Malformed,
    /// The gateway itself refused to send the call (address not allowed, breaker open).
    NotSent,
    /// A person was asked to do it by hand and has not said yet what became of it ([`crate::Desk`]).
    Awaiting,
}

/// When trying again makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// Never: the same call will fail the same way.
    Never,
    /// Soon, by the engine's backoff.
    Soon,
    /// Not before this time; the target said so.
    NotBefore(Timestamp),
    /// After an operator did something (new credential, permission, seat).
    AfterOperator,
}

/// What is known of the call's effect at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It surely did not happen.
    None,
    /// It was sent and no usable answer came: look before repeating.
    Unknown,
}

/// A failed call. `message` is for the admin who can act on it; `context` is for the log and holds
/// neither secrets nor personal data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Fault {
    /// Why.
    pub kind: FaultKind,
    /// When to try again.
    pub retry: Retry,
    /// What may have happened.
    pub effect: Effect,
    /// For the admin: what happened, to which object, what to do.
    pub message: String,
    /// For the log: call name, status, request id.
    pub context: String,
}

impl Fault {
    /// A fault with the retry and effect that its kind usually has: rate limits, quotas and
    /// outages are tried again soon, a dead credential, a missing permission or a record that lacks
    /// something waits for the person who can act, the rest is final. A time-out's effect is unknown, all others' none.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        let retry = match kind {
            FaultKind::RateLimited
            | FaultKind::Unavailable
            | FaultKind::Timeout
            | FaultKind::Malformed
            | FaultKind::NotSent
            | FaultKind::Awaiting
            | FaultKind::Quota => Retry::Soon,
            FaultKind::Credential | FaultKind::Permission | FaultKind::Incomplete => Retry::AfterOperator,
            FaultKind::Refused | FaultKind::NameTaken | FaultKind::NotFound | FaultKind::Protected => Retry::Never,
        };
        let effect = match kind {
            FaultKind::Timeout | FaultKind::Malformed => Effect::Unknown,
            _ => Effect::None,
        };
        Self { kind, retry, effect, message: message.into(), context: String::new() }
    }

    /// Sets when to try again.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets what may have happened.
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    /// Sets the context for the log.
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.context = context.into();
        self
    }

    /// Whether it stops every call of the same driver key, not just this object's.
    pub fn stops_the_target(&self) -> bool {
        matches!(self.kind, FaultKind::RateLimited | FaultKind::Credential)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}
