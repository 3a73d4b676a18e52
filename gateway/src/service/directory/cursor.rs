//! Cursors (RFC 9865): where a walk goes on, sealed.
//!
//! Nothing is kept for a cursor: it holds the position itself, encrypted under a key of the key ring, so that it
//! shows nobody's name in a log, cannot be made up, and works on every replica. What it belongs to (instance,
//! endpoint, filter, sorting, attributes) is its associated data: it opens for nothing else.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use scim::list::ListRequest;
use scim::sort::Key;
use scim::{Projection, ScimError};
use serde::{Deserialize, Serialize};

use crate::keys::fill_random;
use crate::secrets::KeyRing;

/// Seconds that a cursor lives; announced in the ServiceProviderConfig.
pub const CURSOR_TIMEOUT: u64 = 24 * 60 * 60;

const NONCE: usize = 24;
/// A cursor holds one sorted value at most; more than this is not ours.
const LONGEST: usize = 64 * 1024;
const LABEL: &str = "list cursor";

/// The place behind one resource in the order of a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// What the resource is ordered by; absent where the order is that of creation.
    pub(super) key: Key,
    /// What tells resources of one key apart.
    pub(super) tie: i64,
}

/// What a cursor says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The name of the resource type to go on with.
    pub kind: String,
    /// Behind which of its resources; None: from its beginning.
    pub after: Option<Position>,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    mark: Mark,
    /// When it was made, in seconds since 1970.
    at: i64,
}

/// What a walk is about: a cursor of one does not open for another. Texts follow their lengths, so that no two
/// queries spell one text.
pub fn binding(instance: &str, endpoint: &str, request: &ListRequest) -> String {
    let names = |paths: &[scim::path::AttrPath]| paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let (mode, names) = match &request.projection {
        Projection::Default => ("default", String::new()),
        Projection::Only(paths) => ("only", names(paths)),
        Projection::Without(paths) => ("without", names(paths)),
    };
    let parts = [instance.to_owned(), endpoint.to_owned(), query_of(request), mode.to_owned(), names];
    parts.iter().map(|part| format!("{}:{part}\n", part.len())).collect()
}

/// Filter and sorting as one text.
pub(super) fn query_of(request: &ListRequest) -> String {
    let filter = request.filter.as_ref().map(ToString::to_string).unwrap_or_default();
    let sort = request.sort_by.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{filter}\n{sort}\n{:?}", request.sort_order)
}

/// Seals where a walk goes on; the text holds unreserved characters only (RFC 3986 section 2.3).
pub fn seal(ring: &KeyRing, binding: &str, mark: Mark, now: i64) -> String {
    let plain = serde_json::to_vec(&Sealed { mark, at: now }).expect("texts and numbers always serialize");
    let mut nonce = [0_u8; NONCE];
    fill_random(&mut nonce);
    let sealed = XChaCha20Poly1305::new(&ring.derive(LABEL).into())
        .encrypt(&XNonce::from(nonce), Payload { msg: &plain, aad: binding.as_bytes() })
        .expect("a value in memory is far below the cipher's 256 GiB");
    let mut blob = nonce.to_vec();
    blob.extend_from_slice(&sealed);
    URL_SAFE_NO_PAD.encode(blob)
}

/// Opens a cursor for the query that it was made for; `now` in seconds since 1970.
///
/// # Errors
/// 400 `invalidCursor`, `expiredCursor`.
pub fn open(ring: &KeyRing, binding: &str, cursor: &str, now: i64) -> Result<Mark, ScimError> {
    let plain = unseal(ring, binding, cursor).ok_or_else(|| {
        ScimError::invalid_cursor(
            "The cursor is none of this list. Send it with the filter, sorting and attributes it was given for, or begin again with an empty one.",
        )
    })?;
    if now - plain.at > i64::try_from(CURSOR_TIMEOUT).unwrap_or(i64::MAX) {
        return Err(ScimError::expired_cursor(format!(
            "The cursor is older than {} hours. Begin again with an empty one.",
            CURSOR_TIMEOUT / 3_600
        )));
    }
    Ok(plain.mark)
}

fn unseal(ring: &KeyRing, binding: &str, cursor: &str) -> Option<Sealed> {
    if cursor.len() > LONGEST {
        return None;
    }
    let blob = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (nonce, sealed) = blob.split_first_chunk::<NONCE>()?;
    let payload = || Payload { msg: sealed, aad: binding.as_bytes() };
    let plain = ring
        .derive_each(LABEL)
        .into_iter()
        .find_map(|key| XChaCha20Poly1305::new(&key.into()).decrypt(&XNonce::from(*nonce), payload()).ok())?;
    serde_json::from_slice(&plain).ok()
}
