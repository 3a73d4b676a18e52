//! The delivery of security events by push (RFC 8935), and what belongs to it: taking back asynchronous requests that
//! the target refused, and dropping what nobody took.
//!
//! A stream's events go one after the other, each once the one before it has arrived. Every stream has a task of its
//! own while it has something to send, so a receiver that is away holds up nobody else. What was sent and not heard
//! of is sent again, under the same `jti` and `txn`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use scim::event::SetError;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{HOUSEKEEPING, Shared};
use crate::service::events::{BATCH, Stream, TakeBack, Verdicts};
use crate::store::{Priority, StoreError};
use crate::transport::Receipt;

/// How often it looks for what is due.
const LOOK: Duration = Duration::from_millis(500);
/// How often old events are dropped.
const TIDY: Duration = Duration::from_secs(60);
/// Streams that are served at once.
const MOST: usize = 64;
/// The wait after a first failure doubles with each further one, up to the longest. In microseconds.
const FIRST_WAIT: i64 = 1_000_000;
const LONGEST_WAIT: i64 = 300_000_000;

/// Delivers until stopped, under the lease [`HOUSEKEEPING`] of that epoch, so that one replica does. What is on its
/// way then is sent again by the next holder.
pub(super) async fn deliver(shared: Arc<Shared>, stop: CancellationToken, epoch: i64) {
    let mut busy: HashMap<tokio::task::Id, i64> = HashMap::new();
    let mut pushes: JoinSet<()> = JoinSet::new();
    let mut tidy_at = shared.clock.now();
    loop {
        if let Err(error) = start_due(&shared, &mut busy, &mut pushes, epoch).await {
            tracing::warn!(%error, "streams of events could not be read");
        }
        if let Err(error) = take_back(&shared).await {
            tracing::warn!(%error, "refused asynchronous requests could not be taken back");
        }
        let now = shared.clock.now();
        if now >= tidy_at {
            tidy_at = now.checked_add(TIDY).unwrap_or(Timestamp::MAX);
            if let Err(error) = shared.events.tidy().await {
                tracing::warn!(%error, "old events could not be dropped");
            }
        }
        let look = now.checked_add(LOOK).unwrap_or(Timestamp::MAX);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    pushes.shutdown().await;
                    return;
                }
                Some(ended) = pushes.join_next_with_id(), if !pushes.is_empty() => {
                    let id = match ended {
                        Ok((id, ())) => id,
                        Err(error) => {
                            tracing::error!("the delivery of a stream panicked; it goes on with the next look");
                            error.id()
                        }
                    };
                    busy.remove(&id);
                }
                () = shared.clock.sleep_until(look) => break,
            }
        }
    }
}

async fn start_due(
    shared: &Arc<Shared>,
    busy: &mut HashMap<tokio::task::Id, i64>,
    pushes: &mut JoinSet<()>,
    epoch: i64,
) -> Result<(), StoreError> {
    for stream in shared.events.due().await? {
        if busy.len() >= MOST {
            break;
        }
        if busy.values().any(|known| *known == stream) {
            continue;
        }
        let shared = shared.clone();
        let handle = pushes.spawn(async move {
            if let Err(error) = push(&shared, stream, epoch).await {
                tracing::warn!(%error, "a stream of events could not be delivered");
            }
        });
        busy.insert(handle.id(), stream);
    }
    Ok(())
}

/// What a receiver's answer means for the event.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It has arrived.
    Taken,
    /// It would be refused again.
    Refused(SetError),
    /// It is sent again.
    Again(String),
}

/// Reads an answer (RFC 8935 sections 2.2 to 2.4). Only 202 says that the event was stored; a page that greets
/// everybody with 200 has not taken it.
fn verdict(receipt: &Receipt) -> Verdict {
    let status = receipt.status.as_u16();
    if status == 202 {
        return Verdict::Taken;
    }
    let error = if status == 400 {
        serde_json::from_slice::<Value>(&receipt.body).ok().and_then(|body| SetError::parse(&body))
    } else {
        None
    };
    match error {
        Some(error) if error.is_set_up() => {
            Verdict::Again(format!("The receiver answered 400 {}: {}", error.code, error.description))
        }
        Some(error) => Verdict::Refused(error),
        None => {
            Verdict::Again(format!("The receiver answered {status}; 202 is the answer to an event that was taken."))
        }
    }
}

/// Sends what waits in one stream, until nothing does, something fails, or the lease nears its end: what a replica
/// that was frozen would send then, the next holder has sent before.
async fn push(shared: &Shared, seq: i64, epoch: i64) -> Result<(), StoreError> {
    loop {
        let Some(stream) = shared.events.stream(seq).await?.filter(|stream| !stream.paused) else { return Ok(()) };
        let Some(url) = stream.endpoint_url.as_deref() else { return Ok(()) };
        let authorization = match shared.events.authorization(&stream) {
            Ok(authorization) => authorization,
            Err(words) => return fail(shared, &stream, words).await,
        };
        let waiting = shared.events.waiting(&stream, BATCH).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        for one in waiting {
            if !shared.may_call(HOUSEKEEPING, epoch) {
                return Ok(());
            }
            let sent = shared
                .http
                .post(url, "application/secevent+jwt", "application/json", authorization.as_ref(), one.token)
                .await;
            let verdicts = match sent.map(|receipt| verdict(&receipt)) {
                Ok(Verdict::Taken) => Verdicts { taken: vec![one.jti], ..Verdicts::default() },
                Ok(Verdict::Refused(error)) => Verdicts { refused: vec![(one.jti, error)], ..Verdicts::default() },
                Ok(Verdict::Again(words)) | Err(words) => return fail(shared, &stream, words).await,
            };
            shared.events.judge(seq, verdicts).await?;
        }
    }
}

async fn fail(shared: &Shared, stream: &Stream, words: String) -> Result<(), StoreError> {
    tracing::debug!(stream = %stream.id, tries = stream.tries, "an event was not taken; it is sent again");
    // What arrived since the stream was read has set its count back; one wait too long does no harm.
    let due_at = shared.clock.micros().saturating_add(wait(stream.tries, rand::random()));
    shared.events.failed(stream, due_at, words).await
}

/// How long to wait after so many failures in a row, between half and the whole of the doubled time.
fn wait(failures: i64, dice: u32) -> i64 {
    let doublings = u32::try_from(failures.clamp(0, 20)).unwrap_or(0);
    let most = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    let half = most / 2;
    half + (i64::from(dice) * half) / i64::from(u32::MAX)
}

/// Asynchronous requests that the target refused for good end as refused.
async fn take_back(shared: &Shared) -> Result<(), StoreError> {
    for unit in TakeBack::all(&shared.store, &shared.instances).await? {
        let key = unit.instance().driver_key.clone();
        if shared.store.write(Priority::Driver, unit).await? {
            shared.gauge(&key).ring();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    #[test]
    fn answers_of_receivers() {
        let check = |status: u16, body: &'static str, want: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            let receipt =
                Receipt::new(status, HeaderMap::new(), Bytes::from_static(body.as_bytes()), Timestamp::UNIX_EPOCH);
            let got = match verdict(&receipt) {
                Verdict::Taken => "taken",
                Verdict::Refused(_) => "refused",
                Verdict::Again(_) => "again",
            };
            assert_eq!(got, want, "{status} {body}");
        };
        check(202, "", "taken");
        check(200, "", "again");
        check(204, "", "again");
        check(302, "", "again");
        check(400, "", "again");
        check(400, r#"{"description":"no"}"#, "again");
        check(400, r#"{"err":"invalid_request","description":"no"}"#, "refused");
        check(400, r#"{"err":"of_our_own"}"#, "refused");
        check(400, r#"{"err":"invalid_key"}"#, "again");
        check(400, r#"{"err":"authentication_failed"}"#, "again");
        check(401, r#"{"err":"invalid_request"}"#, "again");
        check(503, "", "again");
    }

    #[test]
    fn waits_double_up_to_a_bound_and_are_spread() {
        for (failures, most) in [(0, 1), (1, 2), (5, 32), (9, 300), (1_000_000, 300)] {
            let most = most * 1_000_000;
            assert_eq!(wait(failures, u32::MAX), most, "{failures}");
            assert_eq!(wait(failures, 0), most / 2, "{failures}");
        }
    }
}
