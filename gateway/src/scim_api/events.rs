//! Security events on the SCIM side: polls (RFC 8936), and requests that are answered later (RFC 9967).

use axum::body::Body;
use http::{HeaderName, header};
use scim::ScimError;
use scim::event::{Poll, prefers_async};
use scim::json::Limits;
use uuid::Uuid;

use super::answer::{Answer, Refusal};
use super::{Asked, body};
use crate::auth::Principal;
use crate::service::types::{Caller, Later};

/// The endpoint below which an instance's streams are polled. No resource type may have it.
pub(super) const ENDPOINT: &str = "Events";
/// The largest body of a poll: it acknowledges at most a thousand tokens.
const MAX_POLL: usize = 256 * 1024;

const SET_TXN: HeaderName = HeaderName::from_static("set-txn");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Whether a key may poll.
pub(super) fn may_poll(who: &Principal) -> Result<(), Refusal> {
    if who.polls {
        return Ok(());
    }
    Err(Refusal::from(ScimError::forbidden(
        "This key may not poll events, because who polls takes events away. An admin makes a key with the scope scim:events for their receiver.",
    ))
    .challenge("Bearer realm=\"scimgate\", error=\"insufficient_scope\", scope=\"scim:events\""))
}

/// One poll.
pub(super) async fn poll(asked: Asked<'_>, body: Body, stream: &str) -> Result<Answer, Refusal> {
    let limits = Limits { max_bytes: MAX_POLL, ..Limits::default() };
    let poll = Poll::parse(&body::read(&asked.headers, body, &limits).await?)?;
    Ok(Answer::json(asked.app.events.poll(&asked.who.instance, stream, poll).await?))
}

/// Who asks for a write, and whether the answer comes later: the client prefers that, and a stream would tell it of
/// the completion. Else the preference is ignored.
pub(super) async fn caller(asked: &Asked<'_>, method: &'static str) -> Result<Caller, Refusal> {
    let mut caller = asked.caller();
    let instance = &asked.who.instance;
    if !instance.has_streams {
        return Ok(caller);
    }
    let wanted = prefers_async(asked.headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok()));
    if wanted && asked.app.security_events(instance).await?.is_some_and(|events| events.on_request) {
        let txn = Uuid::new_v4().simple().to_string();
        caller.later = Some(Later { txn, method, base: asked.base_url() });
    }
    Ok(caller)
}

/// 202, if that was agreed upon: the request was taken, and an event tells of its completion.
pub(super) fn answer_later(caller: &Caller, location: &str) -> Option<Answer> {
    let later = caller.later.as_ref()?;
    Some(
        Answer::accepted()
            .header(SET_TXN, &later.txn)
            .header(PREFERENCE_APPLIED, "respond-async")
            .header(header::LOCATION, location),
    )
}
