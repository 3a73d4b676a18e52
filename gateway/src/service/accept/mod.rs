//! Accepting a change: one transaction that stores the new desired state, the operation that records
//! it, and the work that will bring the target to it. Nothing here calls a target.
//!
//! What a change costs is what it changes: a membership is a row, so adding one to a group of ten
//! thousand reads and writes one.

mod change;
mod claims;
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
use scim::fold::fold_name;
use scim::schema::{Attribute, ResourceType};
use serde_json::Value;

pub(super) use change::{Body, Change};
pub(crate) use change::{lock_groups, wake_groups};
pub(crate) use claims::{claims_of, own};
pub(super) use create::Create;
pub(super) use delete::Delete;
pub(crate) use members::move_memberships;
pub(crate) use record::{Ends, Record, close_operation_items, index, tally, unindex, upsert_work};
pub(super) use undo::{Retract, Revert};

use super::types::{Instance, Stored};
use crate::store::StoreError;

/// Of the text that a resource of a declared type is known by, so many characters are kept beside the document.
const LONGEST_NAME: usize = 200;

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
fn taken(rt: &ResourceType, name: &str) -> ScimError {
    let what = rt.name_attribute().map_or("id", |attr| attr.name.as_str());
    ScimError::uniqueness(format!("{what} \"{name}\" is taken by another {} of this instance.", rt.name))
}

/// The resource type of a kind.
fn type_of<'i>(instance: &'i Instance, kind: &str) -> Result<&'i ResourceType, StoreError> {
    instance.registry.resource_type(kind).ok_or_else(|| StoreError::damaged(format!("resource type {kind}")))
}

/// Under which name a document is known to people, and the key that no two living resources share. A resource of a
/// declared type has no name that is unique by itself: its key is its id.
fn name_of(rt: &ResourceType, document: &scim::Document, id: &str) -> Option<(String, String)> {
    if let Some(attr) = rt.name_attribute() {
        let name = text(document, &attr.name)?;
        return Some((name.to_owned(), fold_name(name)));
    }
    let written = |attr: &Attribute| text(document, &attr.name).filter(|name| !name.trim().is_empty());
    let named = |word: &str| rt.schema.attribute(word).and_then(written);
    let name = named("displayName")
        .or_else(|| named("name"))
        .or_else(|| rt.schema.attributes.iter().filter(|attr| attr.required).find_map(written))
        .unwrap_or(id);
    Some((name.chars().take(LONGEST_NAME).collect(), id.to_owned()))
}

fn text<'a>(document: &'a scim::Document, attribute: &str) -> Option<&'a str> {
    document.get(attribute).and_then(Value::as_str)
}

fn is_active(document: &scim::Document) -> bool {
    document.get("active").and_then(Value::as_bool).unwrap_or(true)
}
