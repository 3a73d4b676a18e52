//! PATCH (RFC 7644 section 3.5.2).
//!
//! [`PatchRequest::parse`] reads the message, [`apply`] works it on a copy of the document: on an error nothing has
//! happened. Changes to the relation (`members`) are not worked but collected as [`RelationEdit`]s, so a change of
//! one member never reads the others.
use serde_json::Value;

use crate::error::ScimError;
use crate::filter::Filter;
use crate::list::lists;
use crate::path::PatchPath;
use crate::quirks::{Quirk, Quirks};
use crate::resource::{Document, Reference, take};
use crate::urn;

mod apply;
mod diff;
mod edits;
mod lists;
mod required;

pub use apply::apply;
pub use diff::diff;
pub use edits::{Base, NetEdit, fold_edits};

/// Most operations in one request, unless configured.
pub const MAX_OPERATIONS: usize = 100;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchOp {
    /// Adds a value, or sets one.
    Add,
    /// Removes a value.
    Remove,
    /// Replaces a value.
    Replace,
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// What to do.
    pub op: PatchOp,
    /// To what; None: to the resource.
    pub path: Option<PatchPath>,
    /// With what. A null that was written is `Some(Null)`.
    pub value: Option<Value>,
}

/// A PATCH request.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchRequest {
    /// The operations, in order; at least one.
    pub operations: Vec<Operation>,
}

impl PatchRequest {
    /// Reads a PatchOp message with at most [`MAX_OPERATIONS`] operations.
    ///
    /// # Errors
    /// 400: `invalidSyntax` for what is no PatchOp, `invalidPath` for a path, `invalidValue` for a value that is
    /// missing, `tooMany` for too many operations.
    pub fn parse(body: Value, quirks: &mut Quirks) -> Result<Self, ScimError> {
        Self::parse_with(body, MAX_OPERATIONS, quirks)
    }

    /// The same with another limit.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_with(body: Value, max_operations: usize, quirks: &mut Quirks) -> Result<Self, ScimError> {
        let Value::Object(mut body) = body else {
            return Err(ScimError::invalid_syntax("The body is not a JSON object."));
        };
        if !lists(take(&mut body, "schemas").as_ref(), urn::PATCH_OP) {
            return Err(ScimError::invalid_syntax(format!("schemas: {} is missing.", urn::PATCH_OP)));
        }
        let Some(Value::Array(items)) = take(&mut body, "Operations") else {
            return Err(ScimError::invalid_syntax("Operations: expected a list."));
        };
        if items.is_empty() {
            return Err(ScimError::invalid_syntax("Operations: at least one is needed."));
        }
        if items.len() > max_operations {
            return Err(ScimError::too_many(format!("Operations: at most {max_operations} in one request.")));
        }
        let operations = items
            .into_iter()
            .enumerate()
            .map(|(n, item)| operation(item, quirks).map_err(|e| at(n, e)))
            .collect::<Result<_, _>>()?;
        Ok(Self { operations })
    }
}

/// Says which operation failed.
fn at(n: usize, error: ScimError) -> ScimError {
    ScimError { detail: format!("Operation {}: {}", n + 1, error.detail), ..error }
}

fn operation(item: Value, quirks: &mut Quirks) -> Result<Operation, ScimError> {
    let Value::Object(mut item) = item else {
        return Err(ScimError::invalid_syntax("expected an object."));
    };
    let op = take(&mut item, "op");
    let op = match op.as_ref().and_then(Value::as_str) {
        Some("add") => PatchOp::Add,
        Some("remove") => PatchOp::Remove,
        Some("replace") => PatchOp::Replace,
        Some(other) => match other.to_ascii_lowercase().as_str() {
            "add" if quirks.use_(Quirk::CapitalisedOp) => PatchOp::Add,
            "remove" if quirks.use_(Quirk::CapitalisedOp) => PatchOp::Remove,
            "replace" if quirks.use_(Quirk::CapitalisedOp) => PatchOp::Replace,
            _ => {
                return Err(ScimError::invalid_syntax("op: expected add, remove or replace."));
            }
        },
        None => {
            return Err(ScimError::invalid_syntax("op: expected add, remove or replace."));
        }
    };
    let path = match take(&mut item, "path") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(PatchPath::parse(&text, quirks)?),
        Some(_) => return Err(ScimError::invalid_path("path: expected a text.")),
    };
    let value = take(&mut item, "value");
    match (op, &path, &value) {
        (PatchOp::Remove, None, _) => Err(ScimError::no_target("remove needs a path.")),
        (PatchOp::Add | PatchOp::Replace, _, None) => Err(ScimError::invalid_value("add and replace need a value.")),
        (PatchOp::Add | PatchOp::Replace, None, Some(value)) if !value.is_object() => {
            Err(ScimError::invalid_value("without a path the value has to be an object of attributes."))
        }
        _ => Ok(Operation { op, path, value }),
    }
}

/// A change of the relation, in the order of the request.
#[derive(Debug, Clone, PartialEq)]
pub enum RelationEdit {
    /// These are in, whether or not they were.
    Add(Vec<Reference>),
    /// The resources of these ids are out, whether or not they were in.
    Remove(Vec<String>),
    /// All are out.
    RemoveAll,
    /// These are in, all others out.
    Replace(Vec<Reference>),
    /// Those that pass the filter are out; see [`Filter::matches_element`].
    RemoveMatching(Filter),
}

/// One attribute that changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// Its path in canonical case: `userName`, `name.givenName`, `emails`, `urn:…:User:department`.
    pub path: String,
    /// Value before; None if it had none.
    pub before: Option<Value>,
    /// Value after; None if it has none.
    pub after: Option<Value>,
}

/// What a PATCH comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Patched {
    /// The document to store.
    pub document: Document,
    /// How it differs from the one before; empty if it does not.
    pub changed: Vec<Changed>,
    /// Changes of the relation.
    pub edits: Vec<RelationEdit>,
    /// Whether a password was sent. It is not kept.
    pub password_given: bool,
}
