//! Conditional requests (RFC 9110 section 13, RFC 7644 section 3.14): `If-Match` and `If-None-Match`.
//!
//! Tags are compared weakly in both, because ours are weak and RFC 7644 sends them in `If-Match`.

use http::{HeaderMap, HeaderName, header};
use scim::{ScimError, etag};

use crate::service::types::Precondition;

/// The conditions of a write. `If-None-Match: *` asks that there be no such resource, so it never
/// holds for one that there is.
pub(super) fn of_write(headers: &HeaderMap) -> Precondition {
    both(read(headers, header::IF_MATCH), read(headers, header::IF_NONE_MATCH))
}

/// The condition that the `version` of a bulk operation is.
pub(super) fn of_version(version: &str) -> Precondition {
    both(Some(etag::Precondition::parse(version)), None)
}

/// What a read of a resource of this version comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// It is answered.
    Whole,
    /// The client has it already: 304.
    NotModified,
}

/// Checks the conditions of a read.
///
/// # Errors
/// 412 for an `If-Match` that does not hold.
pub(super) fn of_read(headers: &HeaderMap, version: i64) -> Result<Read, ScimError> {
    let version = u64::try_from(version).unwrap_or(0);
    if read(headers, header::IF_MATCH).is_some_and(|wanted| !wanted.matches(version)) {
        return Err(ScimError::precondition_failed("The resource does not have the version that If-Match names."));
    }
    let known = read(headers, header::IF_NONE_MATCH).is_some_and(|known| known.matches(version));
    Ok(if known { Read::NotModified } else { Read::Whole })
}

/// A header's value; several lines of one name are one list (RFC 9110 section 5.3). What is not text
/// names no version.
fn read(headers: &HeaderMap, name: HeaderName) -> Option<etag::Precondition> {
    let lines: Vec<&str> = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("")).collect();
    if lines.is_empty() { None } else { Some(etag::Precondition::parse(&lines.join(","))) }
}

fn both(wanted: Option<etag::Precondition>, unwanted: Option<etag::Precondition>) -> Precondition {
    use etag::Precondition::{Any, Tags};
    let versions = |tags: Vec<String>| -> Vec<i64> { tags.iter().filter_map(|text| text.parse().ok()).collect() };
    match (wanted, unwanted) {
        (None, None) => Precondition::None,
        (Some(Any), None) => Precondition::Exists,
        (Some(Tags(tags)), None) => Precondition::Versions(versions(tags)),
        (_, Some(Any)) => Precondition::Versions(Vec::new()),
        (None | Some(Any), Some(Tags(tags))) => Precondition::Except(versions(tags)),
        (Some(Tags(tags)), Some(Tags(others))) => {
            let others = versions(others);
            Precondition::Versions(versions(tags).into_iter().filter(|version| !others.contains(version)).collect())
        }
    }
}
