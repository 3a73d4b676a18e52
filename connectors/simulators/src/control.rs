//! The control API under `/_sim` (DESIGN section 5): never counted, limited or faulted.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::Inner;
use crate::{Accept, Clock, faults};

/// Accounts or groups that one `load` may add.
const MAX_LOAD: usize = 1_000_000;
/// The furthest that one `clock` call may go: ten years, in seconds.
const MAX_ADVANCE: i64 = 315_360_000;

/// Whether a path belongs to the control API.
pub(crate) fn owns(path: &str) -> bool {
    path == "/_sim" || path.starts_with("/_sim/")
}

pub(crate) fn answer(inner: &mut Inner, clock: &Clock, request: &Request<Bytes>) -> Response<Bytes> {
    match dispatch(inner, clock, request) {
        Ok(value) => {
            let mut response = Response::new(Bytes::from(value.to_string()));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err((status, text)) => {
            let mut response = Response::new(Bytes::from(text + "\n"));
            *response.status_mut() = status;
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            response
        }
    }
}

type Answer = Result<Value, (StatusCode, String)>;

fn bad(text: impl Into<String>) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, text.into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Load {
    #[serde(default)]
    accounts: usize,
    #[serde(default)]
    groups: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_seconds: i64,
}

fn dispatch(inner: &mut Inner, clock: &Clock, request: &Request<Bytes>) -> Answer {
    let path = request.uri().path().trim_end_matches('/');
    let body = request.body();
    let now = clock.now();
    match (request.method(), path) {
        (&Method::GET, "/_sim/state") => Ok(inner.target.state()),
        (&Method::GET, "/_sim/calls") => {
            let after = after(request.uri().query().unwrap_or_default())?;
            Ok(json!(inner.calls.after(after).collect::<Vec<_>>()))
        }
        (&Method::GET, "/_sim/faults") => Ok(json!(inner.faults.list())),
        (&Method::POST, "/_sim/faults") => {
            let more = faults::parse(body).map_err(bad)?;
            inner.faults.add(more);
            Ok(json!({ "waiting": inner.faults.len() }))
        }
        (&Method::DELETE, "/_sim/faults") => {
            inner.faults.clear();
            Ok(json!({ "waiting": 0 }))
        }
        (&Method::POST, "/_sim/accept") => {
            let which: Accept = parse(body, true)?;
            Ok(inner.target.accept(&which, now))
        }
        (&Method::POST, "/_sim/load") => {
            let load: Load = parse(body, false)?;
            if load.accounts > MAX_LOAD || load.groups > MAX_LOAD {
                return Err(bad(format!("load at most {MAX_LOAD} of each")));
            }
            inner.target.load(load.accounts, load.groups, now);
            Ok(json!({ "accounts": load.accounts, "groups": load.groups }))
        }
        (&Method::POST, "/_sim/set") => {
            let what: Value = parse(body, false)?;
            inner.target.set(&what).map_err(bad)?;
            Ok(json!({}))
        }
        (&Method::POST, "/_sim/clock") => {
            let Advance { advance_seconds } = parse(body, false)?;
            if !(0..=MAX_ADVANCE).contains(&advance_seconds) {
                return Err(bad(format!("`advance_seconds` must be from 0 to {MAX_ADVANCE}: time only goes forward")));
            }
            clock.advance(SignedDuration::from_secs(advance_seconds));
            Ok(json!({ "now": clock.now() }))
        }
        (
            _,
            "/_sim/state" | "/_sim/calls" | "/_sim/faults" | "/_sim/accept" | "/_sim/load" | "/_sim/set"
            | "/_sim/clock",
        ) => Err((
            StatusCode::METHOD_NOT_ALLOWED,
            "GET state, calls and faults; POST faults, accept, load, set and clock; DELETE faults".to_owned(),
        )),
        _ => Err((
            StatusCode::NOT_FOUND,
            "the control API has state, calls, faults, accept, load, set and clock".to_owned(),
        )),
    }
}

fn parse<T: for<'de> Deserialize<'de>>(body: &Bytes, may_be_empty: bool) -> Result<T, (StatusCode, String)> {
    let text: &[u8] = if may_be_empty && body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    serde_json::from_slice(text).map_err(|e| bad(format!("the body is wrong: {e}")))
}

/// `?after=N` of the calls.
fn after(query: &str) -> Result<u64, (StatusCode, String)> {
    let mut after = 0;
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        after = match key.as_ref() {
            "after" => value.parse().map_err(|_| bad("`after` must be the number of a call"))?,
            other => {
                return Err(bad(format!("unknown parameter `{other}`: there is `after`")));
            }
        };
    }
    Ok(after)
}
