//! Working the operations on a copy of the document.
use serde_json::{Map, Value};

use super::{Operation, PatchOp, PatchRequest, Patched, RelationEdit, at, diff};
use crate::compare::{keep_immutable_parts, same, set_once};
use crate::error::ScimError;
use crate::filter::{Filter, Op, check_element, value_at};
use crate::path::{AttrPath, PatchPath};
use crate::quirks::{
    Quirk, Quirks, add_as_change, empty_clears, filter_on_single, path_as_key, read_only_ignored, read_only_in_patch,
    remove_by_value,
};
use crate::resource::{Document, check_patched, find, prune, put, put_sub};
use crate::schema::{Attribute, Located, Mutability, Resolved, ResourceType, Returned, Schema};
use crate::value;

/// Applies a request to a document.
///
/// # Errors
/// 400 with `noTarget`, `invalidPath`, `invalidValue` or `mutability`, naming the operation and the attribute. The
/// current document is untouched in any case.
pub fn apply(
    rt: &ResourceType,
    current: &Document,
    request: &PatchRequest,
    quirks: &mut Quirks,
) -> Result<Patched, ScimError> {
    let mut work = Work { rt, doc: current.clone(), edits: Vec::new(), password_given: false, quirks };
    for (n, operation) in request.operations.iter().enumerate() {
        work.operation(operation).map_err(|e| at(n, e))?;
        prune(rt, &mut work.doc);
    }
    super::required::keep(rt, current, &work.doc)?;
    check_patched(rt, current, &work.doc)?;
    Ok(Patched {
        changed: diff(current, &work.doc),
        document: work.doc,
        edits: work.edits,
        password_given: work.password_given,
    })
}

pub(super) struct Work<'a, 'q> {
    rt: &'a ResourceType,
    pub(super) doc: Document,
    edits: Vec<RelationEdit>,
    password_given: bool,
    pub(super) quirks: &'q mut Quirks,
}

impl<'a> Work<'a, '_> {
    fn operation(&mut self, operation: &Operation) -> Result<(), ScimError> {
        match &operation.path {
            Some(path) => self.at_path(operation.op, path, operation.value.as_ref()),
            None => match &operation.value {
                Some(Value::Object(map)) => self.whole(operation.op, map),
                _ => Err(ScimError::invalid_value("without a path the value has to be an object of attributes.")),
            },
        }
    }

    /// An operation on the resource: its value is an object of attributes, or of paths.
    fn whole(&mut self, op: PatchOp, map: &Map<String, Value>) -> Result<(), ScimError> {
        if op == PatchOp::Add {
            add_as_change::note(self.quirks);
        }
        for (key, value) in map {
            if key.eq_ignore_ascii_case("schemas") {
                read_only_ignored::note(self.quirks);
                continue;
            }
            let path = if key.contains('[') {
                path_as_key::filtered(key, self.quirks)
            } else {
                AttrPath::read(key).map(|attr| PatchPath { attr, filter: None, sub: None })
            };
            let Some(path) = path else {
                self.unknown()?;
                continue;
            };
            match find(self.rt, &path.attr, self.quirks) {
                Resolved::Attribute(found) if !found.attr.writable() || !found.leaf().writable() => {
                    read_only_in_patch::allow(&found, self.quirks)?;
                }
                Resolved::Attribute(found) => {
                    let plain = path.attr.urn.is_none() && path.attr.sub.is_none();
                    if plain || path.filter.is_some() || self.quirks.use_(Quirk::PathAsKey) {
                        self.attribute(op, &found, &path, Some(value))?;
                    } else {
                        self.unknown()?;
                    }
                }
                Resolved::Extension(schema) => self.extension(op, schema, Some(value))?,
                Resolved::Core | Resolved::Unknown => self.unknown()?,
            }
        }
        Ok(())
    }

    fn at_path(&mut self, op: PatchOp, path: &PatchPath, value: Option<&Value>) -> Result<(), ScimError> {
        match find(self.rt, &path.attr, self.quirks) {
            Resolved::Attribute(found) => {
                if found.attr.name == "schemas" && found.extension.is_none() {
                    // It follows from the values; setting it says nothing.
                    read_only_ignored::note(self.quirks);
                    return Ok(());
                }
                if !found.attr.writable() || !found.leaf().writable() {
                    return Err(read_only_in_patch::refusal(&found));
                }
                self.attribute(op, &found, path, value)
            }
            Resolved::Extension(schema) if path.filter.is_none() => self.extension(op, schema, value),
            Resolved::Core if path.filter.is_none() => match value {
                Some(Value::Object(map)) if op != PatchOp::Remove => self.whole(op, map),
                _ => Err(ScimError::no_target("the path names the whole resource.")),
            },
            _ if self.quirks.use_(Quirk::UnknownIgnored) => Ok(()),
            _ => Err(ScimError::invalid_path("the path names an attribute that the schemas do not have.")),
        }
    }

    fn unknown(&mut self) -> Result<(), ScimError> {
        if self.quirks.use_(Quirk::UnknownIgnored) {
            return Ok(());
        }
        Err(ScimError::invalid_path("the value has an attribute that the schemas do not have."))
    }

    fn extension(&mut self, op: PatchOp, schema: &'a Schema, value: Option<&Value>) -> Result<(), ScimError> {
        let each = |attr| Located { extension: Some(schema), attr, sub: None, unqualified: false };
        let nothing = matches!(value, Some(Value::Null));
        if op == PatchOp::Remove || nothing {
            for attr in schema.attributes.iter().filter(|a| a.writable()) {
                self.attribute(PatchOp::Remove, &each(attr), &plain_path(attr), None)?;
            }
            return Ok(());
        }
        let Some(Value::Object(map)) = value else {
            return Err(ScimError::invalid_value(format!("{}: expected an object.", schema.id)));
        };
        for (key, value) in map {
            match schema.attribute(key) {
                Some(attr) if attr.writable() => {
                    self.attribute(op, &each(attr), &plain_path(attr), Some(value))?;
                }
                Some(attr) => read_only_in_patch::allow(&each(attr), self.quirks)?,
                None => self.unknown()?,
            }
        }
        Ok(())
    }

    fn attribute(
        &mut self,
        op: PatchOp,
        found: &Located<'_>,
        path: &PatchPath,
        value: Option<&Value>,
    ) -> Result<(), ScimError> {
        let found = &with_filter_sub(found, path, self.quirks)?;
        let Some(found) = found else { return Ok(()) };
        if !found.leaf().writable() {
            return Err(read_only_in_patch::refusal(found));
        }
        if let Some(filter) = &path.filter {
            check_element(filter, found.attr, self.quirks)?;
        }
        if self.rt.is_relation(found) {
            return self.relation(op, found, path, value);
        }
        if found.attr.returned == Returned::Never || found.leaf().returned == Returned::Never {
            if op != PatchOp::Remove {
                let value = value.cloned().unwrap_or(Value::Null);
                self.password_given |= value::coerce(found.leaf(), value, &found.path(), self.quirks)?.is_some();
            }
            return Ok(());
        }
        let before = value_at(found, &self.doc).cloned();
        if found.attr.multi_valued {
            self.list(op, found, path, value)?;
        } else {
            self.single(op, found, path, value)?;
        }
        self.keep_immutable(found, before.as_ref())
    }

    /// What may be set once must be what it was, if it was.
    fn keep_immutable(&mut self, found: &Located<'_>, before: Option<&Value>) -> Result<(), ScimError> {
        let Some(before) = before else { return Ok(()) };
        let after = value_at(found, &self.doc);
        if found.attr.mutability == Mutability::Immutable {
            if !after.is_some_and(|after| same(found.attr, before, after)) {
                return Err(set_once(&Located { sub: None, ..*found }.path()));
            }
            // Equal is not always spelled alike.
            put(&mut self.doc, found, Some(before.clone()));
            return Ok(());
        }
        // A list's elements are looked at where they are changed: as a whole they may be replaced.
        if found.attr.multi_valued || after.is_none() {
            return Ok(());
        }
        keep_immutable_parts(found.attr, before, after, &found.attr.name)
    }

    fn single(
        &mut self,
        op: PatchOp,
        found: &Located<'_>,
        path: &PatchPath,
        value: Option<&Value>,
    ) -> Result<(), ScimError> {
        if let Some(filter) = &path.filter {
            filter_on_single::allow(&found.path(), self.quirks)?;
            let hit = value_at(found, &self.doc).is_some_and(|v| filter.matches_element(found.attr, v));
            if !hit && op == PatchOp::Remove {
                return Ok(());
            }
            if !hit {
                return Err(ScimError::no_target(format!("{}: no value passes the filter.", found.path())));
            }
        }
        let name = found.path();
        if let Some(sub) = found.sub {
            let stored = match op {
                PatchOp::Remove => None,
                _ => value::coerce(sub, value.cloned().unwrap_or(Value::Null), &name, self.quirks)?,
            };
            if empty_clears::leaves_nothing(found.attr, sub, stored.as_ref(), self.quirks) {
                put(&mut self.doc, found, None);
                return Ok(());
            }
            put_sub(&mut self.doc, found, sub, stored);
            return Ok(());
        }
        if op == PatchOp::Remove {
            put(&mut self.doc, found, None);
            return Ok(());
        }
        let stored = value::coerce(found.attr, value.cloned().unwrap_or(Value::Null), &name, self.quirks)?;
        let stored = match (value_at(found, &self.doc), stored) {
            (Some(Value::Object(old)), Some(Value::Object(new))) => Some(Value::Object(merged(old, new))),
            (_, stored) => stored,
        };
        put(&mut self.doc, found, stored);
        Ok(())
    }

    fn relation(
        &mut self,
        op: PatchOp,
        found: &Located<'_>,
        path: &PatchPath,
        value: Option<&Value>,
    ) -> Result<(), ScimError> {
        let name = found.attr.name.as_str();
        if found.sub.is_some() || (path.filter.is_some() && op != PatchOp::Remove) {
            return Err(ScimError::mutability(format!(
                "{name}: an element cannot be changed, only added and removed."
            )));
        }
        let edit = match (op, &path.filter, value) {
            (PatchOp::Add, _, value) => {
                let list = value::references(name, value.cloned().unwrap_or(Value::Null), self.quirks)?;
                if list.is_empty() {
                    return Ok(());
                }
                RelationEdit::Add(list)
            }
            (PatchOp::Replace, _, value) => {
                RelationEdit::Replace(value::references(name, value.cloned().unwrap_or(Value::Null), self.quirks)?)
            }
            (PatchOp::Remove, Some(filter), _) => match ids(filter) {
                Some(ids) => RelationEdit::Remove(ids),
                None => RelationEdit::RemoveMatching(filter.clone()),
            },
            (PatchOp::Remove, None, None) => RelationEdit::RemoveAll,
            (PatchOp::Remove, None, Some(value)) => {
                // That a value is there says who is meant, so an empty list means nobody.
                remove_by_value::allow(self.quirks)?;
                let list = value::references(name, value.clone(), self.quirks)?;
                if list.is_empty() {
                    return Ok(());
                }
                RelationEdit::Remove(list.into_iter().map(|r| r.value).collect())
            }
        };
        self.edits.push(edit);
        Ok(())
    }
}

fn plain_path(attr: &Attribute) -> PatchPath {
    PatchPath { attr: AttrPath::name(attr.name.as_str()), filter: None, sub: None }
}

/// The attribute with the sub-attribute behind the filter of its path. None: there is no such, and that is ignored.
fn with_filter_sub<'l>(
    found: &Located<'l>,
    path: &PatchPath,
    quirks: &mut Quirks,
) -> Result<Option<Located<'l>>, ScimError> {
    let Some(name) = &path.sub else {
        return Ok(Some(*found));
    };
    match found.attr.sub(name) {
        Some(sub) => Ok(Some(Located { sub: Some(sub), ..*found })),
        None if quirks.use_(Quirk::UnknownIgnored) => Ok(None),
        None => Err(ScimError::invalid_path(format!("{} has no such sub-attribute.", found.path()))),
    }
}

/// A complex value with the new parts over the old. A `$ref` that belonged to another `value` goes.
pub(super) fn merged(old: &Map<String, Value>, new: Map<String, Value>) -> Map<String, Value> {
    let mut out = old.clone();
    let moved = new.get("value").is_some_and(|v| old.get("value") != Some(v));
    if moved && !new.contains_key("$ref") {
        out.shift_remove("$ref");
    }
    out.extend(new);
    out
}

/// The ids that a filter names, if it is `value eq` or several of them joined by `or`.
pub(super) fn ids(filter: &Filter) -> Option<Vec<String>> {
    let parts = match filter {
        Filter::Or(parts) => parts.as_slice(),
        one => std::slice::from_ref(one),
    };
    parts
        .iter()
        .map(|part| match part {
            Filter::Compare { path, op: Op::Eq, value: Value::String(id) }
                if path.attr.eq_ignore_ascii_case("value") && path.sub.is_none() =>
            {
                Some(id.clone())
            }
            _ => None,
        })
        .collect()
}
