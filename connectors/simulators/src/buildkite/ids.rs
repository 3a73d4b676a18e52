//! Identifiers, slugs, cursors and timestamps in the vendor's forms.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use uuid::Uuid;

/// The GraphQL id of an object: base64 of `Type---uuid`.
pub(super) fn global(kind: &str, uuid: Uuid) -> String {
    STANDARD.encode(format!("{kind}---{uuid}"))
}

/// The type and UUID inside a GraphQL id; nothing for anything else.
pub(super) fn parse_global(id: &str) -> Option<(String, Uuid)> {
    if id.len() > 200 {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(id).ok()?).ok()?;
    let (kind, uuid) = text.split_once("---")?;
    Some((kind.to_owned(), parse_uuid(uuid)?))
}

/// The UUID of a GraphQL id that names an object of type `kind`.
pub(super) fn of_kind(id: &str, kind: &str) -> Option<Uuid> {
    parse_global(id).filter(|(found, _)| found == kind).map(|(_, uuid)| uuid)
}

/// A UUID in its hyphenated form, which is the only one the vendor's paths use.
pub(super) fn parse_uuid(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}

/// UTC with milliseconds, as in the vendor's documented samples.
pub(super) fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The slug of a team name: lower case, every run of other characters one dash.
pub(super) fn slug(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_alphanumeric() {
            out.extend(c.to_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    while out.ends_with('-') {
        out.pop();
    }
    out
}

/// An opaque paging cursor for a sort key and a sequence number.
pub(super) fn cursor(key: &str, seq: u64) -> String {
    STANDARD.encode(format!("{seq}:{key}"))
}

/// What [`cursor`] was made of; nothing for anything else.
pub(super) fn parse_cursor(cursor: &str) -> Option<(String, u64)> {
    let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    let (seq, key) = text.split_once(':')?;
    Some((key.to_owned(), seq.parse().ok()?))
}
