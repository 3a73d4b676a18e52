//! The targets that scimgate speaks to: a folder each, with the same files in each.
//!
//! `mod.rs` kind and connector, `settings.rs`, `client.rs` calls and what their answers mean,
//! `accounts.rs`, `groups.rs`, and a README.md with what the target needs, can and cannot do.
//!
//! Invariant: a connector holds no state but caches that can be lost, and makes no decision that
//! the engine can make.

pub mod buildkite;
pub mod github;
mod shared;

use connector_sdk::Entry;

/// Every connector that is built in, in the order of the catalogue.
pub fn builtin() -> Vec<Entry> {
    vec![Entry::of::<github::GitHub>(), Entry::of::<buildkite::Buildkite>()]
}
