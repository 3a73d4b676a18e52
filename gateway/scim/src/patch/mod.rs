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
use crate::quirks::{Quirks, capitalised_op, scim1_patch};
use crate::resource::{Document, Reference, take};
use crate::urn;

mod apply;
mod diff;
mod edits;
mod groups;
mod lists;
mod required;

pub use apply::apply;
pub use diff::diff;
pub use edits::{Base, NetEdit, fold_edits};
pub use groups::{replace_groups, take_groups};

/// Most operations in one request, unless configured.
pub const MAX_OPERATIONS: usize = 100;
/// The most operations in one request that name members by id: Okta and Entra send one for each member that leaves.
pub const MAX_MEMBER_OPERATIONS: usize = 10_000;

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
    /// Reads a PatchOp message with at most [`MAX_OPERATIONS`] operations, and [`MAX_MEMBER_OPERATIONS`] on members.
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
        let items = match scim1_patch::operations(&mut body, quirks) {
            Some(items) => items,
            None => {
                if !lists(take(&mut body, "schemas").as_ref(), urn::PATCH_OP) {
                    return Err(ScimError::invalid_syntax(format!("schemas: {} is missing.", urn::PATCH_OP)));
                }
                let Some(Value::Array(items)) = take(&mut body, "Operations") else {
                    return Err(ScimError::invalid_syntax("Operations: expected a list."));
                };
                items
            }
        };
        if items.is_empty() {
            return Err(ScimError::invalid_syntax("Operations: at least one is needed."));
        }
        if items.len() > MAX_MEMBER_OPERATIONS.max(max_operations) {
            return Err(many(MAX_MEMBER_OPERATIONS));
        }
        let operations: Vec<Operation> = items
            .into_iter()
            .enumerate()
            .map(|(n, item)| operation(item, quirks).map_err(|e| at(n, e)))
            .collect::<Result<_, _>>()?;
        if operations.iter().filter(|operation| !names_members(operation)).count() > max_operations {
            return Err(many(max_operations));
        }
        Ok(Self { operations })
    }
}

fn many(max: usize) -> ScimError {
    ScimError::too_many(format!("Operations: at most {max} in one request."))
}

/// Whether an operation names members by id: it works on no document, so it costs what it names.
fn names_members(operation: &Operation) -> bool {
    operation.path.as_ref().is_some_and(|path| {
        path.attr.attr.eq_ignore_ascii_case("members")
            && path.filter.as_ref().is_none_or(|filter| apply::ids(filter).is_some())
    })
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
    let op = op.as_ref().and_then(Value::as_str).and_then(|word| capitalised_op::read(word, quirks));
    let op = op.ok_or_else(|| ScimError::invalid_syntax("op: expected add, remove or replace."))?;
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
