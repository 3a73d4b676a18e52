//! What a REST target's answer is: a success, a refusal that the caller may understand better, or a fault.

use connector_sdk::{Effect, Fault, FaultKind, Reply};
use http::StatusCode;
use jiff::Timestamp;
use serde::de::{DeserializeOwned, IgnoredAny};

/// An answer that is no fault yet.
pub(crate) enum Answer<R> {
    /// 2xx.
    Yes(Success),
    /// A 4xx that speaks neither of the credential nor of limits.
    No(R),
}

/// A 4xx answer of one target.
pub(crate) trait Refused {
    /// The fault it is where the caller knows no better.
    fn fault(&self) -> Fault;
}

impl<R: Refused> Answer<R> {
    /// The success; every refusal is a fault.
    pub(crate) fn success(self) -> Result<Success, Fault> {
        match self {
            Self::Yes(success) => Ok(success),
            Self::No(refusal) => Err(refusal.fault()),
        }
    }
}

/// A 2xx answer.
pub(crate) struct Success {
    /// What came.
    pub(crate) reply: Reply,
    call: &'static str,
    write: bool,
}

impl Success {
    /// The answer of a call, which may have written.
    pub(crate) fn new(reply: Reply, call: &'static str, write: bool) -> Self {
        Self { reply, call, write }
    }

    /// Whether the answer has no body, as 204 has none.
    pub(crate) fn is_empty(&self) -> bool {
        self.reply.status == StatusCode::NO_CONTENT || self.reply.body.trim_ascii().is_empty()
    }

    /// The body as JSON; what is not is `Malformed`, without effect if the call only read.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        self.reply.json().map_err(|fault| {
            let context = format!("{}: {}", self.call, fault.context);
            fault.effect(self.effect()).context(context)
        })
    }

    /// That the answer is one of the API's: empty, or JSON. A page of a proxy must not pass for it.
    pub(crate) fn done(&self) -> Result<(), Fault> {
        if self.is_empty() { Ok(()) } else { self.json::<IgnoredAny>().map(|_| ()) }
    }

    /// When the target sent it, by the target's own clock; `None` where it does not say.
    pub(crate) fn date(&self) -> Option<Timestamp> {
        self.reply.date()
    }

    /// What is known of the effect if the answer turns out to be no answer.
    pub(crate) fn effect(&self) -> Effect {
        unheard(self.write)
    }

    /// The call's name.
    pub(crate) fn call(&self) -> &'static str {
        self.call
    }
}

/// The effect of a call whose answer tells nothing.
pub(crate) fn unheard(write: bool) -> Effect {
    if write { Effect::Unknown } else { Effect::None }
}

/// The fault of a status that is neither success nor a refusal: 408, 5xx, and what no API answers. `at` names the
/// settings that hold the address, as `Check …` goes on.
pub(crate) fn trouble(target: &str, at: &str, status: StatusCode, write: bool) -> Fault {
    let code = status.as_u16();
    let (kind, words) = match status {
        StatusCode::REQUEST_TIMEOUT => (FaultKind::Unavailable, format!("{target} did not answer in time.")),
        status if status.is_server_error() => {
            (FaultKind::Unavailable, format!("{target} is in trouble (status {code}). The gateway tries again."))
        }
        _ => (
            FaultKind::Malformed,
            format!(
                "Something at the address answered with status {code}, which is no answer of {target}'s API. Check {at}."
            ),
        ),
    };
    Fault::new(kind, words).effect(unheard(write))
}
