//! Names that come from data.
//!
//! Buckets, calls, roles and settings are named by `&'static str`, because nearly all connectors are
//! code. One that is made of data (a manifest) gets its names here: each text is kept once, for as
//! long as the process lives, and there is a bound on how much is kept.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The most that all kept names take together, in bytes.
pub const MOST_BYTES: usize = 8 * 1024 * 1024;

/// There is no room for more names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this process keeps too many names of manifests; restart it, and look who uploads so many")]
pub struct Full;

struct Kept {
    names: BTreeSet<&'static str>,
    bytes: usize,
}

static KEPT: Mutex<Kept> = Mutex::new(Kept { names: BTreeSet::new(), bytes: 0 });

/// Keeps a name. The same text is kept once.
///
/// # Errors
/// [`Full`], once [`MOST_BYTES`] are kept.
pub fn keep(name: &str) -> Result<&'static str, Full> {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept.names.get(name) {
        return Ok(known);
    }
    if kept.bytes + name.len() > MOST_BYTES {
        return Err(Full);
    }
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    kept.bytes += name.len();
    kept.names.insert(name);
    Ok(name)
}

/// Keeps a list of names, in their order. Lists are not shared: keep one for as long as what it belongs to.
///
/// # Errors
/// [`Full`].
pub fn keep_all<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Vec<&'static str>, Full> {
    names.into_iter().map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_kept_once() {
        let one = keep("a bucket").unwrap();
        let other = keep(&String::from("a bucket")).unwrap();
        assert!(std::ptr::eq(one, other));
        assert_eq!(keep_all(["a bucket", "b"]).unwrap(), ["a bucket", "b"]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(keep(&"x".repeat(MOST_BYTES + 1)), Err(Full));
    }
}
