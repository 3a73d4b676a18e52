//! Schemas and resource types as data (RFC 7643 sections 6 and 7).
//!
//! The core schemas are files read by the same loader as an extension that an admin declares.
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::LazyLock;

use crate::path;

mod declared;
mod registry;

pub use declared::{Declarations, DeclareError, MAX_ATTRIBUTES, MAX_SCHEMAS, extension_urn};
pub use registry::{Located, Registry, Resolved, ResourceType};

/// Type of an attribute's values (RFC 7643 section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AttrType {
    /// Text.
    #[default]
    String,
    /// True or false.
    Boolean,
    /// A number with or without a fraction.
    Decimal,
    /// A number without fraction and exponent.
    Integer,
    /// An instant, as xsd:dateTime.
    DateTime,
    /// Bytes, in base64.
    Binary,
    /// A URI, or the identifier of a resource.
    Reference,
    /// Named sub-attributes.
    Complex,
}

/// Who may change an attribute, and when (RFC 7643 section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mutability {
    /// The service alone.
    ReadOnly,
    /// The client, at any time.
    #[default]
    ReadWrite,
    /// The client, once.
    Immutable,
    /// The client, and nobody may read it.
    WriteOnly,
}

/// When an attribute is in an answer (RFC 7643 section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Returned {
    /// In every answer.
    Always,
    /// In none.
    Never,
    /// Unless the request leaves it out.
    #[default]
    Default,
    /// Only if the request asks for it.
    Request,
}

/// How far an attribute's values have to be unique (RFC 7643 section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Uniqueness {
    /// Not at all.
    #[default]
    None,
    /// Within the instance.
    Server,
    /// Everywhere.
    Global,
}

/// The written form of a text (RFC 7643 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Syntax {
    /// A language tag (RFC 5646), or a list of them as in `Accept-Language`.
    Language,
    /// Name of a time zone, as IANA's database has them.
    TimeZone,
    /// A country by its two letters (ISO 3166-1 alpha-2).
    Country,
    /// A telephone number (RFC 3966).
    Telephone,
    /// One DER certificate in base64.
    Certificate,
}

/// One attribute of a schema, in the JSON form of RFC 7643 section 7. What a file leaves out has the RFC's default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attribute {
    /// Name, in its canonical case.
    pub name: String,
    /// Type of its values.
    #[serde(rename = "type", default)]
    pub kind: AttrType,
    /// Whether it holds a list.
    #[serde(default)]
    pub multi_valued: bool,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Whether a resource must have it.
    #[serde(default)]
    pub required: bool,
    /// Whether case matters in comparisons.
    #[serde(default)]
    pub case_exact: bool,
    /// Who may change it.
    #[serde(default)]
    pub mutability: Mutability,
    /// When it is in an answer.
    #[serde(default)]
    pub returned: Returned,
    /// How far its values are unique.
    #[serde(default)]
    pub uniqueness: Uniqueness,
    /// Suggested values; others are accepted too, unless `restrict_canonical_values` says otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub canonical_values: Vec<String>,
    /// Whether a value has to be one of `canonical_values` (RFC 7643 section 7 leaves it to the service). The RFC
    /// has no member for it, so `/Schemas` does not show it.
    #[serde(default, skip_serializing)]
    pub restrict_canonical_values: bool,
    /// The written form that the RFC asks of a text; see [`crate::syntax`] for when it is insisted on.
    #[serde(default, skip_serializing)]
    pub syntax: Option<Syntax>,
    /// What a reference may point at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference_types: Vec<String>,
    /// Parts of a complex attribute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sub_attributes: Vec<Attribute>,
}

impl Attribute {
    /// The sub-attribute of this name, in any case.
    pub fn sub(&self, name: &str) -> Option<&Attribute> {
        find(&self.sub_attributes, name)
    }

    /// Whether texts compare byte by byte. References and binary always do.
    pub fn exact(&self) -> bool {
        self.case_exact || matches!(self.kind, AttrType::Binary | AttrType::Reference)
    }

    /// Whether a client may write it at all.
    pub fn writable(&self) -> bool {
        self.mutability != Mutability::ReadOnly
    }
}

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    attributes.iter().find(|a| a.name.eq_ignore_ascii_case(name))
}

/// A schema (RFC 7643 section 7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schema {
    /// Its URN.
    pub id: String,
    /// Short name.
    pub name: String,
    /// What it describes.
    #[serde(default)]
    pub description: String,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
}

/// Why a schema or resource type cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The text is not a schema in JSON.
    #[error("not a schema: {0}")]
    Json(String),
    /// The identifier is not a URN.
    #[error("the schema id {0:?} is not a URN (urn:…:Name)")]
    Id(String),
    /// A name outside RFC 7643 section 2.1.
    #[error("{0:?} is not an attribute name: a letter, then letters, digits, - or _")]
    Name(String),
    /// Two things of one name.
    #[error("{0:?} is there twice (case does not count)")]
    Duplicate(String),
    /// Sub-attributes where none belong, or none where some do.
    #[error("attribute {0:?}: a complex attribute has sub-attributes, which are not complex; others have none")]
    Shape(String),
    /// Characteristics that contradict each other.
    #[error("attribute {0:?}: {1}")]
    Rule(String, &'static str),
    /// No resource type of that name.
    #[error("there is no resource type {0:?}")]
    NoResourceType(String),
}

impl Schema {
    /// Reads and checks a schema.
    ///
    /// # Errors
    /// A name outside the RFC's grammar, a duplicate, or nesting deeper than complex attributes allow.
    pub fn load(json: &str) -> Result<Schema, SchemaError> {
        let mut schema: Schema = serde_json::from_str(json).map_err(|e| SchemaError::Json(e.to_string()))?;
        schema.check()?;
        schema.attributes.iter_mut().for_each(settle);
        Ok(schema)
    }

    /// The attribute of this name, in any case.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        find(&self.attributes, name)
    }

    fn check(&self) -> Result<(), SchemaError> {
        let urn = self.id.get(..4).is_some_and(|p| p.eq_ignore_ascii_case("urn:"))
            && self.id.len() > 4
            && path::is_uri(&self.id)
            && !self.id.ends_with(':');
        if !urn {
            return Err(SchemaError::Id(self.id.clone()));
        }
        if self.name.trim().is_empty() {
            return Err(SchemaError::Name(self.name.clone()));
        }
        check_attributes(&self.attributes, false)
    }
}

fn check_attributes(attributes: &[Attribute], nested: bool) -> Result<(), SchemaError> {
    let mut seen = HashSet::new();
    for attribute in attributes {
        let name = &attribute.name;
        if !(path::is_name(name) && (nested || name != "$ref")) {
            return Err(SchemaError::Name(name.clone()));
        }
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(SchemaError::Duplicate(name.clone()));
        }
        let complex = attribute.kind == AttrType::Complex;
        if complex == attribute.sub_attributes.is_empty() || (complex && nested) {
            return Err(SchemaError::Shape(name.clone()));
        }
        check_rules(attribute)?;
        check_attributes(&attribute.sub_attributes, true)?;
    }
    Ok(())
}

/// Refuses what could not be kept, so that nothing is announced that the service does not do.
fn check_rules(attribute: &Attribute) -> Result<(), SchemaError> {
    let rule = |why| Err(SchemaError::Rule(attribute.name.clone(), why));
    let kept = attribute.returned != Returned::Never && attribute.mutability != Mutability::WriteOnly;
    let unique = attribute.uniqueness != Uniqueness::None;
    if unique && matches!(attribute.kind, AttrType::Complex | AttrType::Boolean) {
        return rule("complex and boolean attributes cannot be unique; a sub-attribute can");
    }
    if unique && !kept {
        return rule("what is never returned is not kept, so it cannot be unique");
    }
    if attribute.required && !kept {
        return rule("what is never returned is not kept, so it cannot be required");
    }
    if !attribute.canonical_values.is_empty() && attribute.kind != AttrType::String {
        return rule("only an attribute of type string has canonicalValues");
    }
    if attribute.restrict_canonical_values && attribute.canonical_values.is_empty() {
        return rule("restrictCanonicalValues needs canonicalValues to restrict it to");
    }
    if !attribute.reference_types.is_empty() && attribute.kind != AttrType::Reference {
        return rule("only an attribute of type reference has referenceTypes");
    }
    Ok(())
}

/// What can only be written is never returned, whatever is said of it (RFC 7643 section 7).
fn settle(attribute: &mut Attribute) {
    if attribute.mutability == Mutability::WriteOnly {
        attribute.returned = Returned::Never;
    }
    attribute.sub_attributes.iter_mut().for_each(settle);
}

/// Attributes that every resource has: `schemas`, `id`, `externalId`, `meta` (RFC 7643 section 3.1).
pub fn common() -> &'static Schema {
    static COMMON: LazyLock<Schema> = LazyLock::new(|| embedded(include_str!("schemas/common.json")));
    &COMMON
}

fn embedded(json: &str) -> Schema {
    Schema::load(json).expect("the embedded schemas are valid; a test loads each of them")
}
