//! Operations on multi-valued attributes.
use serde_json::{Map, Value};
use std::collections::HashSet;

use super::PatchOp;
use super::apply::{Work, merged};
use crate::compare::{join_duplicates, keep_immutable_parts};
use crate::error::ScimError;
use crate::filter::{Filter, value_at};
use crate::path::PatchPath;
use crate::quirks::{filter_creates, remove_by_value};
use crate::resource::put;
use crate::schema::{Attribute, Located};
use crate::value::{self, fingerprint};

/// One operation on a list.
struct Step<'s> {
    op: PatchOp,
    attr: &'s Attribute,
    sub: Option<&'s Attribute>,
    name: &'s str,
    value: Option<&'s Value>,
}

impl Step<'_> {
    fn value(&self) -> Value {
        self.value.cloned().unwrap_or(Value::Null)
    }
}

impl Work<'_, '_> {
    pub(super) fn list(
        &mut self,
        op: PatchOp,
        found: &Located<'_>,
        path: &PatchPath,
        value: Option<&Value>,
    ) -> Result<(), ScimError> {
        let name = found.path();
        let before: Vec<Value> = match value_at(found, &self.doc) {
            Some(Value::Array(items)) => items.clone(),
            Some(one) => vec![one.clone()],
            None => Vec::new(),
        };
        let mut items = before.clone();
        let step = Step { op, attr: found.attr, sub: found.sub, name: &name, value };
        match (&path.filter, found.sub) {
            (None, None) => self.list_whole(&step, &mut items)?,
            (None, Some(sub)) => {
                let stored = self.stored(&step, sub)?;
                if items.is_empty() && stored.is_some() {
                    items.push(Value::Object(Map::new()));
                }
                for item in &mut items {
                    set_part(&step, item, sub, stored.as_ref())?;
                }
            }
            (Some(filter), _) => self.list_filtered(&step, &mut items, filter)?,
        }
        items.retain(|item| item.as_object().is_none_or(|map| !map.is_empty()));
        if items != before {
            join_duplicates(found.attr, &mut items);
            value::settle_primaries(found.attr, &before, &mut items, &name, self.quirks)?;
        }
        put(&mut self.doc, found, (!items.is_empty()).then_some(Value::Array(items)));
        Ok(())
    }

    fn stored(&mut self, step: &Step<'_>, sub: &Attribute) -> Result<Option<Value>, ScimError> {
        match step.op {
            PatchOp::Remove => Ok(None),
            _ => value::coerce(sub, step.value(), step.name, self.quirks),
        }
    }

    /// An operation on a list as a whole.
    fn list_whole(&mut self, step: &Step<'_>, items: &mut Vec<Value>) -> Result<(), ScimError> {
        match (step.op, step.value) {
            (PatchOp::Remove, None) => items.clear(),
            (PatchOp::Remove, Some(_)) => {
                remove_by_value::allow(self.quirks)?;
                let gone = value::coerce_list(step.attr, step.value(), step.name, self.quirks)?;
                remove_by_value::remove(items, &gone);
            }
            (PatchOp::Replace, _) => {
                *items = value::coerce_list(step.attr, step.value(), step.name, self.quirks)?;
            }
            (PatchOp::Add, _) => {
                let mut known: HashSet<String> = items.iter().map(fingerprint).collect();
                for item in value::coerce_list(step.attr, step.value(), step.name, self.quirks)? {
                    if known.insert(fingerprint(&item)) {
                        items.push(item);
                    }
                }
                value::check_length(items.len(), step.name)?;
            }
        }
        Ok(())
    }

    /// An operation on those elements of a list that pass a filter.
    fn list_filtered(&mut self, step: &Step<'_>, items: &mut Vec<Value>, filter: &Filter) -> Result<(), ScimError> {
        let passes = |item: &Value| filter.matches_element(step.attr, item);
        let hits: Vec<usize> = (0..items.len()).filter(|&n| passes(&items[n])).collect();
        if step.op == PatchOp::Remove {
            match step.sub {
                Some(sub) => {
                    for n in hits {
                        set_part(step, &mut items[n], sub, None)?;
                    }
                }
                None => items.retain(|item| !passes(item)),
            }
            return Ok(());
        }
        let stored = match step.sub {
            Some(sub) => self.stored(step, sub)?,
            None => value::coerce_one(step.attr, step.value(), step.name, self.quirks)?,
        };
        if hits.is_empty() {
            return self.create_element(step, items, filter, stored);
        }
        for n in hits {
            match (step.sub, &stored) {
                (Some(sub), stored) => set_part(step, &mut items[n], sub, stored.as_ref())?,
                (None, None) => items[n] = Value::Object(Map::new()),
                (None, Some(Value::Object(new))) if step.op == PatchOp::Add => {
                    if let Value::Object(old) = &items[n] {
                        let new = Value::Object(merged(old, new.clone()));
                        keep_immutable_parts(step.attr, &items[n], Some(&new), step.name)?;
                        items[n] = new;
                    }
                }
                (None, Some(new)) => items[n] = new.clone(),
            }
        }
        Ok(())
    }

    /// No element passes the filter: `noTarget`, or one that does is made.
    fn create_element(
        &mut self,
        step: &Step<'_>,
        items: &mut Vec<Value>,
        filter: &Filter,
        stored: Option<Value>,
    ) -> Result<(), ScimError> {
        let none = || ScimError::no_target(format!("{}: no value passes the filter.", step.name));
        if step.op == PatchOp::Replace && step.sub.is_none() {
            return Err(none());
        }
        let mut element = filter_creates::element(filter, step.attr, self.quirks)?.ok_or_else(none)?;
        match (step.sub, stored) {
            // Clearing what is not there needs no element.
            (_, None) => return Ok(()),
            (Some(_), Some(stored)) if stored.as_str() == Some("") => return Ok(()),
            (Some(sub), Some(stored)) => {
                element.insert(sub.name.clone(), stored);
            }
            (None, Some(Value::Object(new))) => element.extend(new),
            (None, Some(_)) => return Err(none()),
        }
        items.push(Value::Object(element));
        Ok(())
    }
}

/// Sets a part of an element, unless it may be set once and was.
fn set_part(step: &Step<'_>, item: &mut Value, sub: &Attribute, stored: Option<&Value>) -> Result<(), ScimError> {
    let old = item.clone();
    set(item, sub, stored);
    keep_immutable_parts(step.attr, &old, Some(item), step.attr.name.as_str())
}

fn set(item: &mut Value, sub: &Attribute, stored: Option<&Value>) {
    let Value::Object(map) = item else { return };
    match stored {
        Some(stored) => {
            map.insert(sub.name.clone(), stored.clone());
        }
        None => {
            map.shift_remove(&sub.name);
        }
    }
}
