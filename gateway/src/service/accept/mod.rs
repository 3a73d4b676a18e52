//! Accepting a change: one transaction that stores the new desired state, the operation that records
//! it, and the work that will bring the target to it. Nothing here calls a target.
//!
//! What a change costs is what it changes: a membership is a row, so adding one to a group of ten
//! thousand reads and writes one.

mod change;
mod create;
mod delete;
mod groups;
mod members;
mod record;
#[cfg(test)]
mod tests;
mod undo;

use engine::Lane;
use scim::ScimError;
use serde_json::Value;

pub(crate) use change::wake_groups;
pub(super) use change::{Body, Change};
pub(super) use create::Create;
pub(super) use delete::Delete;
pub(crate) use members::move_memberships;
pub(crate) use record::{Ends, close_operation_items, index, tally, unindex, upsert_work};
pub(super) use undo::{Retract, Revert};

use super::types::Stored;

/// What an accepted change left behind.
#[derive(Debug)]
pub(super) struct Accepted {
    /// The resource as it is now.
    pub(super) stored: Stored,
    /// The operation, if anything changed.
    pub(super) operation: Option<i64>,
    /// How many facts are to be brought to the target.
    pub(super) items: i64,
    /// In which lane.
    pub(super) lane: Lane,
    /// The resource as it was, for taking a refused change back.
    pub(super) before: Option<Stored>,
    /// Quirks applied while reading the body.
    pub(super) quirks: scim::Quirks,
    /// Groups that were changed along with a user, each with an operation of its own.
    pub(super) groups: usize,
}

/// The word that a 409 of a taken name uses.
fn taken(kind: &str, name: &str) -> ScimError {
    let what = if kind == "Group" { "displayName" } else { "userName" };
    ScimError::uniqueness(format!("{what} \"{name}\" is taken by another {kind} of this instance."))
}

/// Where a document keeps its name.
fn name_attribute(kind: &str) -> &'static str {
    if kind == "Group" { "displayName" } else { "userName" }
}

fn text<'a>(document: &'a scim::Document, attribute: &str) -> Option<&'a str> {
    document.get(attribute).and_then(Value::as_str)
}

fn is_active(document: &scim::Document) -> bool {
    document.get("active").and_then(Value::as_bool).unwrap_or(true)
}
