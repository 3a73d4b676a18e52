//! What happens, as it happens: server-sent events (WHATWG HTML, section 9.2) for the console.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::extract::Admin;
use super::problem::Problem;
use crate::service::App;
use crate::service::records::{Seen, Watch};

/// How often the store is looked at for one watcher.
const LOOK: Duration = Duration::from_secs(2);
/// After so long without anything new a comment is sent, so that nobody on the way takes the connection for dead.
const BEAT: Duration = Duration::from_secs(15);
/// How long one connection lasts; a browser connects again by itself and goes on where it was.
const LONGEST: Duration = Duration::from_secs(3_600);

/// One watcher's connection.
struct Watcher {
    app: Arc<App>,
    watch: Watch,
    closing: CancellationToken,
    /// When something was last sent.
    told: Timestamp,
    ends: Timestamp,
    first: bool,
    _place: OwnedSemaphorePermit,
}

/// Operations as they are accepted (`operation`) and end (`closed`); how much work there is (`work`), what runs (`runs`)
/// and is held (`holds`), whenever that changes. `Last-Event-ID` goes on behind an operation.
#[utoipa::path(get, path = "/events", tag = "record", params(("Last-Event-ID" = Option<String>, Header, description = "id of the last event that was received")), responses((status = 200, description = "server-sent events", body = String, content_type = "text/event-stream"), (status = 503, description = "too many watch already")))]
pub(super) async fn events(_: Admin, State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Problem> {
    let after = match headers.get("last-event-id").map(HeaderValue::to_str) {
        None | Some(Ok("")) => None,
        Some(Ok(text)) => Some(text.parse().map_err(|_| wrong_place())?),
        Some(Err(_)) => return Err(wrong_place()),
    };
    let place = Arc::clone(&app.watchers).try_acquire_owned().map_err(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many connections watch events already. Close one, or ask the lists.",
        )
        .header(header::RETRY_AFTER, HeaderValue::from_static("30"))
    })?;
    let watch = app.watch(after).await?;
    let now = app.clock.now();
    let watcher = Watcher {
        watch,
        closing: app.events.closing(),
        told: now,
        ends: now.checked_add(LONGEST).unwrap_or(Timestamp::MAX),
        first: true,
        _place: place,
        app,
    };
    let told = stream::unfold(watcher, |mut watcher| async move {
        let text = watcher.next().await?;
        Some((Ok::<_, std::io::Error>(text), watcher))
    });
    let mut response = Response::new(Body::from_stream(told));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

fn wrong_place() -> Problem {
    Problem::field("Last-Event-ID", "is not the id of an event")
}

impl Watcher {
    /// What is to be sent next; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let now = self.app.clock.now();
            if self.closing.is_cancelled() || now >= self.ends {
                return None;
            }
            if !self.first {
                tokio::select! {
                    () = self.closing.cancelled() => return None,
                    () = self.app.clock.sleep(LOOK) => {}
                }
            }
            self.first = false;
            let seen = match self.app.look(&mut self.watch).await {
                Ok(seen) => seen,
                Err(error) => {
                    // The watcher connects again, by when the store may be there.
                    tracing::warn!(%error, "events could not be read for a watcher");
                    return None;
                }
            };
            let now = self.app.clock.now();
            let quiet = Duration::try_from(now.duration_since(self.told)).unwrap_or(Duration::ZERO) >= BEAT;
            if !seen.is_empty() || quiet {
                self.told = now;
                return Some(text_of(&seen));
            }
        }
    }
}

fn text_of(seen: &[Seen]) -> Bytes {
    let mut text = String::new();
    for one in seen {
        if let Some(place) = one.place {
            text.push_str(&format!("id: {place}\n"));
        }
        // JSON text has no line ends of its own.
        text.push_str(&format!("event: {}\ndata: {}\n\n", one.kind, one.data));
    }
    if seen.is_empty() {
        text.push_str(": nothing new\n\n");
    }
    text.into()
}
