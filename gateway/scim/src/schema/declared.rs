//! What an admin adds to the schemas of an instance, read from JSON and checked, with errors that name the place.
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;

use super::{Attribute, Registry, Resolved, ResourceType, Schema, SchemaError, common, settle};
use crate::path::{self, AttrPath};
use crate::urn;

/// Most attributes that one instance may declare, sub-attributes counted.
pub const MAX_ATTRIBUTES: usize = 500;
/// Most extensions and resource types that one instance may declare, each.
pub const MAX_SCHEMAS: usize = 50;
/// Most canonical values, or reference types, of one attribute.
const MAX_VALUES: usize = 200;
/// Longest name and longest canonical value, in bytes.
const MAX_NAME: usize = 64;
/// Longest URN, in bytes.
const MAX_URN: usize = 256;
/// Longest description, in bytes.
const MAX_TEXT: usize = 1_000;
/// Path segments with a meaning of their own (RFC 7644 section 3.2); no resource type is served there.
const RESERVED: [&str; 7] = ["Me", "Self", "Bulk", "Schemas", "ResourceTypes", "ServiceProviderConfig", "Events"];
/// URNs that are given a meaning elsewhere: messages, the core schemas, SCIM 1.1, and those of this gateway.
const RESERVED_URNS: [&str; 4] =
    ["urn:ietf:params:scim:api:", "urn:ietf:params:scim:schemas:core:", "urn:scim:", "urn:scimgate:"];

/// Why a declaration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct DeclareError {
    /// Where: `attributes[2].subAttributes[0].type`; empty for the whole.
    pub place: String,
    /// What is wrong there, and what may stand there.
    pub why: String,
}

fn wrong<T>(place: impl Into<String>, why: impl Into<String>) -> Result<T, DeclareError> {
    Err(DeclareError { place: place.into(), why: why.into() })
}

/// The URN of the extension that a connector's own attributes make of a resource type.
pub fn extension_urn(connector: &str, resource_type: &str) -> String {
    format!("urn:scimgate:params:scim:schemas:extension:{connector}:2.0:{resource_type}")
}

/// One attribute, declared for a resource type.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Single {
    resource_type: String,
    /// `core`, `enterprise` or a URN.
    schema: String,
    attribute: Attribute,
}

/// One extension of a resource type.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Extension {
    resource_type: String,
    schema: Schema,
    required: bool,
}

/// What an admin declares: attributes, extensions, resource types.
///
/// ```json
/// {"attributes": [{"resource_type": "User", "schema": "core", "name": "badge", "type": "string"}],
///  "extensions": [{"resource_type": "User", "required": false, "schema": {"id": "urn:…", "name": "…", "attributes": []}}],
///  "resource_types": [{"name": "Device", "endpoint": "Devices", "schema": {}, "extensions": []}]}
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declarations {
    attributes: Vec<Single>,
    extensions: Vec<Extension>,
    resource_types: Vec<ResourceType>,
}

impl Declarations {
    /// Reads declarations; an object without members, or null, declares nothing.
    ///
    /// # Errors
    /// What cannot be a declaration, whatever else is declared.
    pub fn read(value: &Value) -> Result<Self, DeclareError> {
        let mut reader = Reader { attributes: 0 };
        let mut out = Self::default();
        if value.is_null() {
            return Ok(out);
        }
        for (key, value) in object(value, "")? {
            match key.as_str() {
                "attributes" => {
                    for (place, item) in list(value, key, MAX_ATTRIBUTES)? {
                        out.attributes.push(reader.single(item, &place)?);
                    }
                }
                "extensions" => {
                    for (place, item) in list(value, key, MAX_SCHEMAS)? {
                        out.extensions.push(reader.extension(item, &place, true)?);
                    }
                }
                "resource_types" => {
                    for (place, item) in list(value, key, MAX_SCHEMAS)? {
                        out.resource_types.push(reader.resource_type(item, &place)?);
                    }
                }
                _ => return wrong(key, "is not known; there are: attributes, extensions, resource_types"),
            }
        }
        Ok(out)
    }

    /// Whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty() && self.extensions.is_empty() && self.resource_types.is_empty()
    }
}

impl Registry {
    /// Adds what an admin declares: resource types first, then extensions, then single attributes.
    ///
    /// # Errors
    /// A name, an endpoint or a URN that is taken, or a resource type that is not there.
    pub fn declare(mut self, declarations: &Declarations) -> Result<Registry, DeclareError> {
        for (n, rt) in declarations.resource_types.iter().enumerate() {
            let place = format!("resource_types[{n}]");
            if self.schemas().any(|known| known.id.eq_ignore_ascii_case(&rt.schema.id)) {
                return wrong(format!("{place}.schema.id"), "is the URN of another schema already");
            }
            if self.resource_type(&rt.name).is_some() {
                return wrong(format!("{place}.name"), "is the name of another resource type already");
            }
            if self.by_endpoint(&rt.endpoint).is_some() {
                return wrong(format!("{place}.endpoint"), "is the endpoint of another resource type already");
            }
            self = self.with_resource_type(rt.clone()).or_else(|error| wrong(&place, error.to_string()))?;
        }
        for (n, extension) in declarations.extensions.iter().enumerate() {
            let place = format!("extensions[{n}]");
            self.extend(&extension.resource_type, &extension.schema, extension.required, &place)?;
        }
        for (n, single) in declarations.attributes.iter().enumerate() {
            self.add(single, &format!("attributes[{n}]"))?;
        }
        self.check_urns()?;
        Ok(self)
    }

    fn extend(
        &mut self,
        resource_type: &str,
        schema: &Schema,
        required: bool,
        place: &str,
    ) -> Result<(), DeclareError> {
        if self.schemas().any(|known| known.id.eq_ignore_ascii_case(&schema.id)) {
            return wrong(format!("{place}.schema.id"), "is the URN of another schema already");
        }
        let rt = self.of(resource_type, place)?;
        rt.extensions.push((Arc::new(schema.clone()), required));
        Ok(())
    }

    fn of(&mut self, name: &str, place: &str) -> Result<&mut ResourceType, DeclareError> {
        let names: Vec<String> = self.types.iter().map(|rt| rt.name.clone()).collect();
        match self.types.iter_mut().find(|rt| rt.name.eq_ignore_ascii_case(name)) {
            Some(rt) => Ok(rt),
            None => wrong(
                format!("{place}.resource_type"),
                format!("is no resource type of this instance; there are: {}", names.join(", ")),
            ),
        }
    }

    fn add(&mut self, single: &Single, place: &str) -> Result<(), DeclareError> {
        let name = &single.attribute.name;
        let rt = self.of(&single.resource_type, place)?;
        let core = single.schema.eq_ignore_ascii_case("core") || single.schema.eq_ignore_ascii_case(&rt.schema.id);
        if core {
            let there = rt.declares(name) || rt.attributes().any(|(_, known)| known.name.eq_ignore_ascii_case(name));
            if there {
                return wrong(
                    format!("{place}.name"),
                    format!("{} has an attribute {name} already, in its core schema or in an extension", rt.name),
                );
            }
            Arc::make_mut(&mut rt.schema).attributes.push(single.attribute.clone());
            return Ok(());
        }
        let urn = if single.schema.eq_ignore_ascii_case("enterprise") { urn::ENTERPRISE_USER } else { &single.schema };
        if let Some((schema, _)) = rt.extensions.iter_mut().find(|(schema, _)| schema.id.eq_ignore_ascii_case(urn)) {
            if schema.attribute(name).is_some() {
                return wrong(format!("{place}.name"), format!("{} has an attribute {name} already", schema.id));
            }
            Arc::make_mut(schema).attributes.push(single.attribute.clone());
            return Ok(());
        }
        if single.schema.eq_ignore_ascii_case("enterprise") {
            return wrong(format!("{place}.schema"), format!("{} has no enterprise extension", rt.name));
        }
        let kind = rt.name.clone();
        check_urn(&single.schema, &format!("{place}.schema"))?;
        let schema = Schema {
            id: single.schema.clone(),
            name: short_name(&single.schema),
            description: String::new(),
            attributes: vec![single.attribute.clone()],
        };
        if self.schemas().any(|known| known.id.eq_ignore_ascii_case(&schema.id)) {
            return wrong(format!("{place}.schema"), format!("is the URN of a schema that {kind} does not have"));
        }
        self.of(&single.resource_type, place)?.extensions.push((Arc::new(schema), false));
        Ok(())
    }

    /// That every URN, read as a path, means its own schema: `urn:x:y` with an attribute `z` and an extension
    /// `urn:x:y:z` could not be told apart.
    fn check_urns(&self) -> Result<(), DeclareError> {
        for rt in &self.types {
            for (schema, _) in &rt.extensions {
                if !matches!(rt.resolve_str(&schema.id), Resolved::Extension(found) if found.id == schema.id) {
                    return wrong(
                        "",
                        format!("{} also reads as an attribute of another schema; choose another URN", schema.id),
                    );
                }
            }
        }
        Ok(())
    }
}

/// `Badge` of `urn:…:extension:Badge:2.0:User`, `Users` of `urn:acme:Users`.
fn short_name(urn: &str) -> String {
    let parts: Vec<&str> = urn.split(':').collect();
    let version = |part: &&str| part.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let at = match parts.iter().rposition(version) {
        Some(at) if at > 1 => at - 1,
        _ => parts.len() - 1,
    };
    parts[at].to_owned()
}

fn object<'v>(value: &'v Value, place: &str) -> Result<&'v Map<String, Value>, DeclareError> {
    match value {
        Value::Object(map) => Ok(map),
        _ => wrong(place, "must be an object"),
    }
}

/// The items of a list with their places.
fn list<'v>(value: &'v Value, place: &str, most: usize) -> Result<Vec<(String, &'v Value)>, DeclareError> {
    match value {
        Value::Array(items) if items.len() <= most => {
            Ok(items.iter().enumerate().map(|(n, item)| (format!("{place}[{n}]"), item)).collect())
        }
        Value::Array(_) => wrong(place, format!("holds at most {most} entries")),
        _ => wrong(place, "must be a list"),
    }
}

fn plain<T: DeserializeOwned>(value: &Value, place: String) -> Result<T, DeclareError> {
    serde_json::from_value(value.clone()).or_else(|error| wrong(place, error.to_string()))
}

fn text(value: &Value, place: String, most: usize) -> Result<String, DeclareError> {
    match value.as_str() {
        Some(text) if text.len() <= most && !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => wrong(place, format!("must be a text of at most {most} bytes without control characters")),
    }
}

fn texts(value: &Value, place: String) -> Result<Vec<String>, DeclareError> {
    list(value, &place, MAX_VALUES)?.into_iter().map(|(place, item)| text(item, place, MAX_URN)).collect()
}

fn needed<T>(value: Option<T>, place: &str, name: &str) -> Result<T, DeclareError> {
    value.ok_or_else(|| DeclareError { place: format!("{place}.{name}"), why: "is required".to_owned() })
}

fn check_urn(urn: &str, place: &str) -> Result<(), DeclareError> {
    if urn.len() > MAX_URN {
        return wrong(place, format!("must be at most {MAX_URN} bytes"));
    }
    if let Some(taken) =
        RESERVED_URNS.iter().find(|taken| urn.get(..taken.len()).is_some_and(|head| head.eq_ignore_ascii_case(taken)))
    {
        return wrong(place, format!("URNs that begin with {taken} have a meaning of their own; choose another"));
    }
    let readable = urn.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("urn:"))
        && AttrPath::parse(urn).is_ok()
        && AttrPath::parse(&format!("{urn}:a")).is_ok();
    if !readable {
        return wrong(
            place,
            "must be core, enterprise or a URN such as urn:example:params:scim:schemas:extension:badge:2.0:User",
        );
    }
    Ok(())
}

/// Reads, and counts attributes.
struct Reader {
    attributes: usize,
}

impl Reader {
    fn single(&mut self, value: &Value, place: &str) -> Result<Single, DeclareError> {
        let mut map = object(value, place)?.clone();
        let resource_type = needed(map.remove("resource_type"), place, "resource_type")?;
        let schema = map.remove("schema").unwrap_or_else(|| "core".into());
        Ok(Single {
            resource_type: text(&resource_type, format!("{place}.resource_type"), MAX_NAME)?,
            schema: text(&schema, format!("{place}.schema"), MAX_URN)?,
            attribute: self.attribute(&map, place, false)?,
        })
    }

    fn extension(&mut self, value: &Value, place: &str, typed: bool) -> Result<Extension, DeclareError> {
        let (mut resource_type, mut schema, mut required) = (None, None, false);
        for (key, value) in object(value, place)? {
            let at = format!("{place}.{key}");
            match key.as_str() {
                "resource_type" if typed => resource_type = Some(text(value, at, MAX_NAME)?),
                "schema" => schema = Some(self.schema(value, &at)?),
                "required" => required = plain(value, at)?,
                _ => return wrong(at, "is not known here; there are: resource_type, schema, required"),
            }
        }
        Ok(Extension {
            resource_type: if typed { needed(resource_type, place, "resource_type")? } else { String::new() },
            schema: needed(schema, place, "schema")?,
            required,
        })
    }

    fn schema(&mut self, value: &Value, place: &str) -> Result<Schema, DeclareError> {
        let (mut id, mut name, mut description, mut attributes) = (None, None, String::new(), Vec::new());
        for (key, value) in object(value, place)? {
            let at = format!("{place}.{key}");
            match key.as_str() {
                "id" => id = Some(text(value, at, MAX_URN)?),
                "name" => name = Some(text(value, at, MAX_NAME)?),
                "description" => description = text(value, at, MAX_TEXT)?,
                "attributes" => {
                    for (at, item) in list(value, &at, MAX_ATTRIBUTES)? {
                        attributes.push(self.attribute(object(item, &at)?, &at, false)?);
                    }
                }
                _ => return wrong(at, "is not known here; there are: id, name, description, attributes"),
            }
        }
        let id = needed(id, place, "id")?;
        check_urn(&id, &format!("{place}.id"))?;
        let name = name.unwrap_or_else(|| short_name(&id));
        if attributes.is_empty() {
            return wrong(format!("{place}.attributes"), "must hold at least one attribute");
        }
        let schema = Schema { id, name, description, attributes };
        match schema.check() {
            Ok(()) => Ok(schema),
            Err(SchemaError::Name(name)) if name == schema.name => wrong(format!("{place}.name"), "must not be empty"),
            Err(error) => wrong(format!("{place}.attributes"), error.to_string()),
        }
    }

    fn resource_type(&mut self, value: &Value, place: &str) -> Result<ResourceType, DeclareError> {
        let (mut name, mut endpoint, mut description, mut schema) = (None, None, String::new(), None);
        let mut extensions: Vec<(Arc<Schema>, bool)> = Vec::new();
        for (key, value) in object(value, place)? {
            let at = format!("{place}.{key}");
            match key.as_str() {
                "name" => name = Some(word(value, at)?),
                "endpoint" => endpoint = Some(endpoint_of(value, at)?),
                "description" => description = text(value, at, MAX_TEXT)?,
                "schema" => schema = Some(self.schema(value, &at)?),
                "extensions" => {
                    for (at, item) in list(value, &at, MAX_SCHEMAS)? {
                        let extension = self.extension(item, &at, false)?;
                        if extensions.iter().any(|(known, _)| known.id.eq_ignore_ascii_case(&extension.schema.id)) {
                            return wrong(format!("{at}.schema.id"), "is the URN of another schema already");
                        }
                        extensions.push((Arc::new(extension.schema), extension.required));
                    }
                }
                _ => return wrong(at, "is not known here; there are: name, endpoint, description, schema, extensions"),
            }
        }
        let name = needed(name, place, "name")?;
        let schema = needed(schema, place, "schema")?;
        let clash = schema.attributes.iter().find(|attr| common().attribute(&attr.name).is_some());
        if let Some(attr) = clash {
            return wrong(
                format!("{place}.schema.attributes"),
                format!("every resource has {} already (RFC 7643 section 3.1)", attr.name),
            );
        }
        if extensions.iter().any(|(extension, _)| extension.id.eq_ignore_ascii_case(&schema.id)) {
            return wrong(format!("{place}.extensions"), "one has the URN of the type's own schema");
        }
        Ok(ResourceType {
            id: name.clone(),
            name,
            endpoint: needed(endpoint, place, "endpoint")?,
            description,
            schema: Arc::new(schema),
            extensions,
            relation: None,
        })
    }

    fn attribute(&mut self, map: &Map<String, Value>, place: &str, nested: bool) -> Result<Attribute, DeclareError> {
        self.attributes += 1;
        if self.attributes > MAX_ATTRIBUTES {
            return wrong(
                place,
                format!("at most {MAX_ATTRIBUTES} attributes may be declared, sub-attributes counted"),
            );
        }
        let mut out: Attribute =
            serde_json::from_value(serde_json::json!({"name": ""})).or_else(|error| wrong(place, error.to_string()))?;
        for (key, value) in map {
            let at = format!("{place}.{key}");
            match key.as_str() {
                "name" => out.name = text(value, at, MAX_NAME)?,
                "type" => out.kind = plain(value, at)?,
                "multiValued" => out.multi_valued = plain(value, at)?,
                "description" => out.description = text(value, at, MAX_TEXT)?,
                "required" => out.required = plain(value, at)?,
                "caseExact" => out.case_exact = plain(value, at)?,
                "mutability" => out.mutability = plain(value, at)?,
                "returned" => out.returned = plain(value, at)?,
                "uniqueness" => out.uniqueness = plain(value, at)?,
                "canonicalValues" => out.canonical_values = texts(value, at)?,
                "restrictCanonicalValues" => out.restrict_canonical_values = plain(value, at)?,
                "referenceTypes" => out.reference_types = texts(value, at)?,
                "subAttributes" if !nested => {
                    for (at, item) in list(value, &at, MAX_ATTRIBUTES)? {
                        out.sub_attributes.push(self.attribute(object(item, &at)?, &at, true)?);
                    }
                }
                "subAttributes" => return wrong(at, "a sub-attribute has none of its own"),
                _ => {
                    return wrong(
                        at,
                        "is not a characteristic of an attribute (RFC 7643 section 7); there are: name, type, multiValued, description, required, caseExact, \
                         mutability, returned, uniqueness, canonicalValues, restrictCanonicalValues, referenceTypes, subAttributes",
                    );
                }
            }
        }
        if out.name.is_empty() {
            return wrong(format!("{place}.name"), "is required");
        }
        super::check_attributes(std::slice::from_ref(&out), nested).or_else(|error| match error {
            SchemaError::Name(ref name) if *name == out.name => wrong(format!("{place}.name"), error.to_string()),
            error => wrong(place, error.to_string()),
        })?;
        settle(&mut out);
        Ok(out)
    }
}

/// A name as attributes have it.
fn word(value: &Value, place: String) -> Result<String, DeclareError> {
    let name = text(value, place.clone(), MAX_NAME)?;
    let taken = ["Schema", "ResourceType", "ServiceProviderConfig"];
    if !path::is_name(&name) || name.starts_with('$') {
        return wrong(place, "must be a letter, then letters, digits, - or _");
    }
    if taken.iter().any(|word| word.eq_ignore_ascii_case(&name)) {
        return wrong(place, "has a meaning of its own in SCIM; choose another");
    }
    Ok(name)
}

/// A path segment; a slash before it, as in RFC 7643 section 6, does not count.
fn endpoint_of(value: &Value, place: String) -> Result<String, DeclareError> {
    let endpoint = text(value, place.clone(), MAX_NAME)?;
    let endpoint = endpoint.strip_prefix('/').unwrap_or(&endpoint);
    if !path::is_name(endpoint) || endpoint.starts_with('$') {
        return wrong(place, "must be one path segment: a letter, then letters, digits, - or _");
    }
    if RESERVED.iter().any(|word| word.eq_ignore_ascii_case(endpoint)) {
        return wrong(place, "is an endpoint of SCIM itself; choose another");
    }
    Ok(endpoint.to_owned())
}
