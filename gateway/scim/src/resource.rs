//! POST and PUT bodies (RFC 7644 sections 3.3 and 3.5.1).
//!
//! A document holds what the client wrote and may read back: canonical names, no nulls, extensions under their
//! canonical URN; not `id`, `meta`, `schemas`, `groups`, `password`, and not the relation (`members`), which is rows.
//! Values are kept byte for byte.
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::compare::{same, set_once};
use crate::error::ScimError;
use crate::path::AttrPath;
use crate::quirks::{Quirk, Quirks, explicit_nothing, read_only_ignored, scim1_urn};
use crate::schema::{AttrType, Attribute, Located, Mutability, Resolved, ResourceType, Returned, Schema};
use crate::value;

/// A resource as it is stored.
pub type Document = Map<String, Value>;

/// One element of a relation: a member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Id of the resource referred to.
    pub value: String,
    /// `type`, if given.
    pub kind: Option<String>,
    /// `display`, if given.
    pub display: Option<String>,
}

impl Reference {
    /// A reference by id alone.
    pub fn new(value: impl Into<String>) -> Self {
        Self { value: value.into(), kind: None, display: None }
    }

    /// The element as JSON, for filters.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("value".into(), json!(self.value));
        if let Some(kind) = &self.kind {
            map.insert("type".into(), json!(kind));
        }
        if let Some(display) = &self.display {
            map.insert("display".into(), json!(display));
        }
        Value::Object(map)
    }
}

/// What a POST or PUT body says.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The document to store.
    pub document: Document,
    /// The elements of the relation; None if the body says nothing of it, or the type has none.
    pub relation: Option<Vec<Reference>>,
    /// Whether a password was sent. It is not kept.
    pub password_given: bool,
    /// The `groups` of a user as the body has them, unread: read-only, unless a setting makes them more.
    pub groups: Option<Value>,
}

/// Reads a POST body. An absent `active` means true.
///
/// # Errors
/// 400, naming the attribute, if the body is not a resource of this type.
pub fn create(rt: &ResourceType, body: Value, quirks: &mut Quirks) -> Result<Parsed, ScimError> {
    let mut parsed = read(rt, body, quirks)?;
    if is_switchable(rt) && !parsed.document.contains_key("active") {
        parsed.document.insert("active".into(), Value::Bool(true));
    }
    check_document(rt, &parsed.document)?;
    Ok(parsed)
}

/// What a PUT without `active` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum AbsentActive {
    /// The account stays as it is.
    #[default]
    #[serde(rename = "keep")]
    Keep,
    /// The account is switched off: what clients in the manner of idp-scim-sync mean by it. For a dialect to choose.
    #[serde(rename = "false")]
    Off,
}

/// What a PUT without the relation (`members`) means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbsentMembers {
    /// There are none any more: what RFC 7644 section 3.5.1 says, and Pocket ID and Keycloak's plug-ins mean.
    #[default]
    Empty,
    /// They stay as they are.
    Keep,
}

/// What a PUT means by leaving out what matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Absent {
    /// `active`.
    pub active: AbsentActive,
    /// The relation.
    pub members: AbsentMembers,
}

/// Reads a PUT body against the document that it replaces; an absent `active` keeps its value.
///
/// # Errors
/// As [`replace_with`].
pub fn replace(rt: &ResourceType, current: &Document, body: Value, quirks: &mut Quirks) -> Result<Parsed, ScimError> {
    replace_with(rt, current, body, Absent::default(), quirks)
}

/// Reads a PUT body against the document that it replaces.
///
/// What the body leaves out is cleared, with exceptions: an absent `active` and an absent relation are what `absent`
/// says (most clients mean nothing by leaving `active` out, and switching people off by accident is worse), and an
/// immutable attribute stays. The relation is None if it stays.
///
/// # Errors
/// 400, naming the attribute; `mutability` if an immutable attribute differs.
pub fn replace_with(
    rt: &ResourceType,
    current: &Document,
    body: Value,
    absent: Absent,
    quirks: &mut Quirks,
) -> Result<Parsed, ScimError> {
    let mut parsed = read(rt, body, quirks)?;
    if is_switchable(rt) && !parsed.document.contains_key("active") {
        let active = match absent.active {
            AbsentActive::Keep => current.get("active").cloned().unwrap_or(Value::Bool(true)),
            AbsentActive::Off => Value::Bool(false),
        };
        parsed.document.insert("active".into(), active);
    }
    keep_immutable(&rt.schema.attributes, "", current, &mut parsed.document)?;
    for (schema, _) in &rt.extensions {
        let Some(Value::Object(before)) = current.get(&schema.id) else {
            continue;
        };
        let mut after = match parsed.document.get(&schema.id) {
            Some(Value::Object(after)) => after.clone(),
            _ => Map::new(),
        };
        keep_immutable(&schema.attributes, &format!("{}:", schema.id), before, &mut after)?;
        if !after.is_empty() {
            parsed.document.insert(schema.id.clone(), Value::Object(after));
        }
    }
    keep_undeclared(rt, current, &mut parsed.document);
    if rt.relation.is_some() && parsed.relation.is_none() && absent.members == AbsentMembers::Empty {
        parsed.relation = Some(Vec::new());
    }
    check_document(rt, &parsed.document)?;
    Ok(parsed)
}

/// The `schemas` of a document: the core schema, and each extension that has a value.
pub fn schemas_of(rt: &ResourceType, document: &Document) -> Vec<String> {
    let mut out = vec![rt.schema.id.clone()];
    for (schema, _) in &rt.extensions {
        let shown = |map: &Map<String, Value>| map.keys().any(|name| schema.attribute(name).is_some());
        if document.get(&schema.id).and_then(Value::as_object).is_some_and(shown) {
            out.push(schema.id.clone());
        }
    }
    out
}

/// Whether resources of this type can be switched on and off.
pub(crate) fn is_switchable(rt: &ResourceType) -> bool {
    rt.is_core() && rt.schema.attribute("active").is_some_and(|a| a.kind == AttrType::Boolean)
}

fn keep_immutable(
    attributes: &[Attribute],
    prefix: &str,
    before: &Map<String, Value>,
    after: &mut Map<String, Value>,
) -> Result<(), ScimError> {
    for attr in attributes {
        let Some(old) = before.get(&attr.name) else {
            continue;
        };
        let name = format!("{prefix}{}", attr.name);
        if attr.mutability == Mutability::Immutable {
            match after.get(&attr.name) {
                Some(new) if !same(attr, new, old) => return Err(set_once(&name)),
                _ => {
                    after.insert(attr.name.clone(), old.clone());
                }
            }
        } else if let (Value::Object(old), Some(Value::Object(new))) = (old, after.get_mut(&attr.name)) {
            keep_immutable(&attr.sub_attributes, &format!("{name}."), old, new)?;
        }
    }
    Ok(())
}

/// Takes over what is stored and no longer declared: it is not the client's to clear, and is there again when the
/// admin declares it again.
fn keep_undeclared(rt: &ResourceType, current: &Document, document: &mut Document) {
    for (key, value) in current {
        if !rt.declares(key) {
            document.insert(key.clone(), value.clone());
            continue;
        }
        let (Some(schema), Value::Object(inner)) = (rt.extension(key), value) else { continue };
        for (name, value) in inner.iter().filter(|(name, _)| schema.attribute(name).is_none()) {
            holder(document, Some(schema)).insert(name.clone(), value.clone());
        }
    }
}

/// Checks what has to hold for a document that a client sent whole: required attributes and extensions.
pub(crate) fn check_document(rt: &ResourceType, doc: &Document) -> Result<(), ScimError> {
    check_against(rt, None, doc)
}

/// The same for a document that was changed in part. What was lacking before is not for this change to bring: an
/// attribute may have been declared required since, and nobody's deactivation may fail for it.
pub(crate) fn check_patched(rt: &ResourceType, before: &Document, doc: &Document) -> Result<(), ScimError> {
    check_against(rt, Some(before), doc)
}

fn check_against(rt: &ResourceType, before: Option<&Document>, doc: &Document) -> Result<(), ScimError> {
    check_required(&rt.schema.attributes, "", before, doc, rt.relation.as_deref())?;
    let empty = Map::new();
    for (schema, required) in &rt.extensions {
        let old = before.map(|doc| doc.get(&schema.id).and_then(Value::as_object));
        match doc.get(&schema.id).and_then(Value::as_object) {
            Some(map) => {
                let old = old.map(|old| old.unwrap_or(&empty));
                check_required(&schema.attributes, &format!("{}:", schema.id), old, map, None)?;
            }
            None if *required && old.is_none_or(|old| old.is_some()) => {
                return Err(ScimError::invalid_value(format!("The extension {} is required.", schema.id)));
            }
            None => {}
        }
    }
    Ok(())
}

/// Required attributes; with `before`, only where something changed.
fn check_required(
    attributes: &[Attribute],
    prefix: &str,
    before: Option<&Map<String, Value>>,
    map: &Map<String, Value>,
    relation: Option<&str>,
) -> Result<(), ScimError> {
    for attr in attributes {
        if relation == Some(attr.name.as_str()) || !attr.writable() || attr.returned == Returned::Never {
            continue;
        }
        let found = map.get(&attr.name);
        if before.is_some_and(|before| before.get(&attr.name) == found) {
            continue;
        }
        let name = format!("{prefix}{}", attr.name);
        let Some(found) = found else {
            if attr.required {
                return Err(ScimError::invalid_value(format!("{name} is required.")));
            }
            continue;
        };
        if attr.required && found.as_str().is_some_and(|text| text.trim().is_empty()) {
            return Err(ScimError::invalid_value(format!("{name} is required and must not be empty.")));
        }
        let elements = match found {
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        for element in elements.iter().filter_map(Value::as_object) {
            check_required(&attr.sub_attributes, &format!("{name}."), None, element, None)?;
        }
    }
    Ok(())
}

/// The attributes and sub-attributes that are returned on request only and that a POST or PUT body gives; see
/// [`add_written`].
pub fn on_request_in(rt: &ResourceType, body: &Value) -> Vec<String> {
    let mut out = Vec::new();
    // What the service fills in itself was not written by anybody.
    let on_request = |attr: &Attribute| attr.returned == Returned::Request && attr.writable();
    let wanted = |attr: &Attribute| on_request(attr) || attr.sub_attributes.iter().any(on_request);
    if !rt.attributes().any(|(_, attr)| wanted(attr)) {
        return out;
    }
    let mut name = |path: &str| match rt.resolve_str(path) {
        Resolved::Attribute(found) if wanted(found.attr) => {
            out.push(Located { sub: None, ..found }.path());
        }
        Resolved::Extension(schema) => {
            out.extend(
                schema.attributes.iter().filter(|attr| wanted(attr)).map(|attr| format!("{}:{}", schema.id, attr.name)),
            );
        }
        _ => {}
    };
    let Some(body) = body.as_object() else { return out };
    let operations =
        body.iter().find(|(key, _)| key.eq_ignore_ascii_case("Operations")).and_then(|(_, list)| list.as_array());
    match operations {
        None => body.keys().for_each(|key| name(key)),
        Some(operations) => {
            for operation in operations.iter().filter_map(Value::as_object) {
                let part = |word: &str| {
                    operation.iter().find(|(key, _)| key.eq_ignore_ascii_case(word)).map(|(_, value)| value)
                };
                match (part("path").and_then(Value::as_str), part("value")) {
                    (Some(path), _) => name(path.split('[').next().unwrap_or_default()),
                    (None, Some(Value::Object(value))) => value.keys().for_each(|key| name(key)),
                    _ => {}
                }
            }
        }
    }
    out
}

/// Puts what a request wrote into its answer where it is returned on request only (RFC 7643 section 7: such an
/// attribute is in the answer to a POST, PUT or PATCH that gave it). `written` is what [`on_request_in`] found.
pub fn add_written(rt: &ResourceType, written: &[String], document: &Document, answer: &mut Map<String, Value>) {
    for path in written {
        let Some(found) = rt.resolve_str(path).attribute() else { continue };
        let stored = match found.extension {
            Some(schema) => document.get(&schema.id).and_then(|inner| inner.get(&found.attr.name)),
            None => document.get(&found.attr.name),
        };
        // Whoever wrote beside it: what is never returned is not (RFC 7643 section 7).
        if let Some(stored) = stored.filter(|_| found.attr.returned != Returned::Never) {
            let mut stored = stored.clone();
            let elements = match &mut stored {
                Value::Array(items) => items.as_mut_slice(),
                one => std::slice::from_mut(one),
            };
            for element in elements.iter_mut().filter_map(Value::as_object_mut) {
                element.retain(|name, _| found.attr.sub(name).is_none_or(|sub| sub.returned != Returned::Never));
            }
            put(answer, &found, Some(stored));
        }
    }
}

fn read(rt: &ResourceType, body: Value, quirks: &mut Quirks) -> Result<Parsed, ScimError> {
    let Value::Object(mut body) = body else {
        return Err(ScimError::invalid_syntax("The body is not a JSON object."));
    };
    let listed = take(&mut body, "schemas");
    let listed = read_schemas(rt, listed, quirks)?;
    let mut reader = Reader {
        rt,
        listed,
        parsed: Parsed { document: Map::new(), relation: None, password_given: false, groups: None },
        quirks,
    };
    for (key, value) in body {
        reader.key(&key, value)?;
    }
    let mut parsed = reader.parsed;
    prune(rt, &mut parsed.document);
    Ok(parsed)
}

/// Takes an entry out by its name in any case.
pub(crate) fn take(map: &mut Map<String, Value>, name: &str) -> Option<Value> {
    let key = map.keys().find(|k| k.eq_ignore_ascii_case(name))?.clone();
    map.shift_remove(&key)
}

/// Drops extensions without a value.
pub(crate) fn prune(rt: &ResourceType, doc: &mut Document) {
    for (schema, _) in &rt.extensions {
        if doc.get(&schema.id).is_some_and(|v| v.as_object().is_none_or(Map::is_empty)) {
            doc.shift_remove(&schema.id);
        }
    }
}

/// Finds what a path names, SCIM 1.1 URNs included; an extension's attribute without URN only if leniency allows.
pub(crate) fn find<'a>(rt: &'a ResourceType, path: &AttrPath, quirks: &mut Quirks) -> Resolved<'a> {
    let renamed = path
        .urn
        .as_deref()
        .and_then(|u| scim1_urn::modern(u, &rt.schema.id, quirks))
        .map(|urn| AttrPath { urn: Some(urn), ..path.clone() });
    match rt.resolve(renamed.as_ref().unwrap_or(path)) {
        Resolved::Attribute(found) if found.unqualified && !quirks.use_(Quirk::UnqualifiedExtension) => {
            Resolved::Unknown
        }
        other => other,
    }
}

/// Checks `schemas` and returns the known ones of it, in canonical case.
fn read_schemas(rt: &ResourceType, listed: Option<Value>, quirks: &mut Quirks) -> Result<Vec<String>, ScimError> {
    let refuse = |why: &str| ScimError::invalid_value(format!("schemas: {why}."));
    let Some(Value::Array(items)) = listed else {
        return Err(refuse(&format!("expected a list that holds {}", rt.schema.id)));
    };
    let mut out: Vec<String> = Vec::new();
    let mut core = false;
    for item in &items {
        let text = item.as_str().ok_or_else(|| refuse("expected texts"))?;
        let renamed = scim1_urn::modern(text, &rt.schema.id, quirks);
        let text = renamed.as_deref().unwrap_or(text);
        let known = if text.eq_ignore_ascii_case(&rt.schema.id) {
            core = true;
            Some(&rt.schema.id)
        } else {
            rt.extension(text).map(|s| &s.id)
        };
        match known {
            Some(id) if out.contains(id) && renamed.is_none() => {
                return Err(refuse("a schema is listed twice"));
            }
            Some(id) => out.push(id.clone()),
            None if quirks.use_(Quirk::ForeignSchema) => {}
            None => {
                return Err(refuse("a schema is listed that this resource type does not have"));
            }
        }
    }
    if core { Ok(out) } else { Err(refuse(&format!("{} is missing", rt.schema.id))) }
}

struct Reader<'a, 'q> {
    rt: &'a ResourceType,
    listed: Vec<String>,
    parsed: Parsed,
    quirks: &'q mut Quirks,
}

impl<'a> Reader<'a, '_> {
    fn key(&mut self, key: &str, value: Value) -> Result<(), ScimError> {
        let Some(path) = AttrPath::read(key) else {
            return self.unknown();
        };
        match find(self.rt, &path, self.quirks) {
            Resolved::Attribute(found) => {
                let plain = path.urn.is_none() && path.sub.is_none();
                if !plain && !self.quirks.use_(Quirk::PathAsKey) {
                    return self.unknown();
                }
                self.attribute(found, value)
            }
            Resolved::Extension(schema) => self.extension(schema, value),
            Resolved::Core => {
                let Value::Object(map) = value else {
                    return Err(ScimError::invalid_value(format!("{}: expected an object.", self.rt.schema.id)));
                };
                if !self.quirks.use_(Quirk::PathAsKey) {
                    return self.unknown();
                }
                for (key, value) in map {
                    match self.rt.schema.attribute(&key) {
                        Some(attr) => {
                            self.attribute(Located { extension: None, attr, sub: None, unqualified: false }, value)?
                        }
                        None => self.unknown()?,
                    }
                }
                Ok(())
            }
            Resolved::Unknown => self.unknown(),
        }
    }

    fn extension(&mut self, schema: &'a Schema, value: Value) -> Result<(), ScimError> {
        let map = match value {
            Value::Null => {
                explicit_nothing::note(self.quirks);
                return Ok(());
            }
            Value::Object(map) => map,
            _ => {
                return Err(ScimError::invalid_value(format!("{}: expected an object.", schema.id)));
            }
        };
        if !self.listed.contains(&schema.id) && !self.quirks.use_(Quirk::UnlistedExtension) {
            return Err(ScimError::invalid_value(format!("schemas: {} has values but is not listed.", schema.id)));
        }
        for (key, value) in map {
            match schema.attribute(&key) {
                Some(attr) => {
                    self.attribute(Located { extension: Some(schema), attr, sub: None, unqualified: false }, value)?
                }
                None => self.unknown()?,
            }
        }
        Ok(())
    }

    fn attribute(&mut self, found: Located<'_>, input: Value) -> Result<(), ScimError> {
        if !found.attr.writable() || !found.leaf().writable() {
            // Ignored by RFC 7644 section 3.3, so strict does not refuse it either.
            read_only_ignored::note(self.quirks);
            if found.attr.name == "groups" && found.extension.is_none() && found.sub.is_none() {
                self.parsed.groups = Some(input);
            }
            return Ok(());
        }
        let name = found.path();
        if self.rt.is_relation(&found) {
            if found.sub.is_some() {
                return Err(ScimError::invalid_value(format!("{name}: set the whole elements instead.")));
            }
            self.parsed.relation = Some(value::references(&name, input, self.quirks)?);
            return Ok(());
        }
        if found.attr.returned == Returned::Never || found.leaf().returned == Returned::Never {
            // Checked for its type, then dropped: secrets are not kept.
            self.parsed.password_given |= value::coerce(found.leaf(), input, &name, self.quirks)?.is_some();
            return Ok(());
        }
        let document = &mut self.parsed.document;
        match found.sub {
            None => {
                let stored = value::coerce(found.attr, input, &name, self.quirks)?;
                put(document, &found, stored);
            }
            Some(sub) => {
                if found.attr.multi_valued {
                    return Err(ScimError::invalid_value(format!("{name}: set the whole elements instead.")));
                }
                let stored = value::coerce(sub, input, &name, self.quirks)?;
                put_sub(document, &found, sub, stored);
            }
        }
        Ok(())
    }

    fn unknown(&mut self) -> Result<(), ScimError> {
        if self.quirks.use_(Quirk::UnknownIgnored) {
            return Ok(());
        }
        Err(ScimError::invalid_value("The body has an attribute that the schemas do not have."))
    }
}

/// The object that holds an attribute: the document, or one of its extensions, made if it is not there.
pub(crate) fn holder<'d>(doc: &'d mut Document, extension: Option<&Schema>) -> &'d mut Map<String, Value> {
    let Some(schema) = extension else {
        return doc;
    };
    let slot = doc.entry(schema.id.clone()).or_insert(Value::Null);
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut().expect("it was made an object just above")
}

/// Sets or clears an attribute.
pub(crate) fn put(doc: &mut Document, found: &Located<'_>, stored: Option<Value>) {
    let map = holder(doc, found.extension);
    match stored {
        Some(stored) => {
            map.insert(found.attr.name.clone(), stored);
        }
        None => {
            map.shift_remove(&found.attr.name);
        }
    }
}

/// Sets or clears a sub-attribute of a single complex attribute.
pub(crate) fn put_sub(doc: &mut Document, found: &Located<'_>, sub: &Attribute, stored: Option<Value>) {
    let map = holder(doc, found.extension);
    let mut inner = match map.get_mut(&found.attr.name) {
        Some(Value::Object(inner)) => std::mem::take(inner),
        _ => Map::new(),
    };
    match stored {
        Some(stored) => {
            inner.insert(sub.name.clone(), stored);
        }
        None => {
            inner.shift_remove(&sub.name);
        }
    }
    if inner.is_empty() {
        map.shift_remove(&found.attr.name);
    } else {
        map.insert(found.attr.name.clone(), Value::Object(inner));
    }
}
