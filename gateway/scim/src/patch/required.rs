//! What is required may be changed and not taken away (RFC 7644 section 3.5.2.2).
use serde_json::{Map, Value};

use crate::error::ScimError;
use crate::resource::Document;
use crate::schema::{Attribute, ResourceType};

/// 400 `mutability` if the operations left a required attribute or extension unassigned that was there before.
/// One that was missing all along, or is there and empty, is for the check of the whole document.
pub(super) fn keep(rt: &ResourceType, before: &Document, after: &Document) -> Result<(), ScimError> {
    attributes(&rt.schema.attributes, "", before, after)?;
    let none = Map::new();
    for (schema, required) in &rt.extensions {
        let Some(old) = before.get(&schema.id).and_then(Value::as_object) else { continue };
        match after.get(&schema.id).and_then(Value::as_object) {
            None if *required => return Err(gone(&schema.id)),
            // An extension that may be missing goes with all that it requires.
            None => {}
            Some(new) => attributes(&schema.attributes, &format!("{}:", schema.id), old, new)?,
        }
    }
    for attr in rt.schema.attributes.iter().filter(|attr| !attr.multi_valued) {
        // A complex value that is gone went as a whole; one that is there keeps the parts it must have.
        if let (Some(Value::Object(old)), Some(new)) = (before.get(&attr.name), after.get(&attr.name)) {
            attributes(&attr.sub_attributes, &format!("{}.", attr.name), old, new.as_object().unwrap_or(&none))?;
        }
    }
    Ok(())
}

fn attributes(
    declared: &[Attribute],
    prefix: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Result<(), ScimError> {
    let lost = |attr: &&Attribute| attr.required && before.contains_key(&attr.name) && !after.contains_key(&attr.name);
    match declared.iter().find(lost) {
        Some(attr) => Err(gone(&format!("{prefix}{}", attr.name))),
        None => Ok(()),
    }
}

fn gone(name: &str) -> ScimError {
    ScimError::mutability(format!("{name} is required: it can be replaced, not removed."))
}
