//! Schemas and resource types as data (RFC 7643 sections 6 and 7).
//!
//! The core schemas are files read by the same loader as an extension that an admin declares.
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use crate::path::{self, AttrPath};
use crate::urn;

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
    /// Suggested values; others are accepted too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub canonical_values: Vec<String>,
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
        let schema: Schema = serde_json::from_str(json).map_err(|e| SchemaError::Json(e.to_string()))?;
        schema.check()?;
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
        check_attributes(&attribute.sub_attributes, true)?;
    }
    Ok(())
}

/// Attributes that every resource has: `schemas`, `id`, `externalId`, `meta` (RFC 7643 section 3.1).
pub fn common() -> &'static Schema {
    static COMMON: LazyLock<Schema> = LazyLock::new(|| embedded(include_str!("schemas/common.json")));
    &COMMON
}

fn embedded(json: &str) -> Schema {
    Schema::load(json).expect("the embedded schemas are valid; a test loads each of them")
}

/// An attribute found by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located<'a> {
    /// The extension it belongs to; None for the core schema and the common attributes.
    pub extension: Option<&'a Schema>,
    /// The attribute.
    pub attr: &'a Attribute,
    /// Its sub-attribute, if the path names one.
    pub sub: Option<&'a Attribute>,
    /// Whether it was found in an extension though the path has no URN.
    pub unqualified: bool,
}

impl<'a> Located<'a> {
    /// The attribute the path ends at.
    pub fn leaf(&self) -> &'a Attribute {
        self.sub.unwrap_or(self.attr)
    }

    /// The path in canonical case, with the URN of an extension.
    pub fn path(&self) -> String {
        let mut out = String::new();
        if let Some(schema) = self.extension {
            out.push_str(&schema.id);
            out.push(':');
        }
        out.push_str(&self.attr.name);
        if let Some(sub) = self.sub {
            out.push('.');
            out.push_str(&sub.name);
        }
        out
    }
}

/// What a path means for a resource type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved<'a> {
    /// An attribute.
    Attribute(Located<'a>),
    /// The URN of an extension alone: all of it.
    Extension(&'a Schema),
    /// The URN of the core schema alone: the resource.
    Core,
    /// Nothing that was declared.
    Unknown,
}

impl<'a> Resolved<'a> {
    /// The attribute, if it is one.
    pub fn attribute(self) -> Option<Located<'a>> {
        match self {
            Self::Attribute(located) => Some(located),
            _ => None,
        }
    }
}

/// A kind of resource (RFC 7643 section 6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceType {
    /// Identifier, `User`.
    pub id: String,
    /// Name as in `meta.resourceType`, `User`.
    pub name: String,
    /// Path segment, `Users`, without slash.
    pub endpoint: String,
    /// What it is.
    pub description: String,
    /// Its core schema.
    pub schema: Arc<Schema>,
    /// Its extensions, each with whether it is required.
    pub extensions: Vec<(Arc<Schema>, bool)>,
    /// The multi-valued attribute that is stored as rows and is not in the document: `members` of a Group.
    pub relation: Option<String>,
}

impl ResourceType {
    /// Finds what a path names, in any case. An attribute of an extension is found without its URN too, if the
    /// core schema has none of that name; `unqualified` tells.
    pub fn resolve(&self, path: &AttrPath) -> Resolved<'_> {
        let Some(urn) = path.urn.as_deref() else {
            if let Some(attr) = self.core_attribute(&path.attr) {
                return with_sub(None, attr, path.sub.as_deref(), false);
            }
            for (schema, _) in &self.extensions {
                if let Some(attr) = schema.attribute(&path.attr) {
                    return with_sub(Some(schema), attr, path.sub.as_deref(), true);
                }
            }
            return Resolved::Unknown;
        };
        if urn.eq_ignore_ascii_case(&self.schema.id) {
            if path.attr.is_empty() {
                return Resolved::Core;
            }
            return match self.core_attribute(&path.attr) {
                Some(attr) => with_sub(None, attr, path.sub.as_deref(), false),
                None => Resolved::Unknown,
            };
        }
        if let Some(schema) = self.extension(urn) {
            if path.attr.is_empty() {
                return Resolved::Extension(schema);
            }
            return match schema.attribute(&path.attr) {
                Some(attr) => with_sub(Some(schema), attr, path.sub.as_deref(), false),
                None => Resolved::Unknown,
            };
        }
        // `urn:…:2.0:User` alone reads as an attribute `User` of `urn:…:2.0`, until the schemas are known.
        let whole = path.to_string();
        if whole.eq_ignore_ascii_case(&self.schema.id) {
            return Resolved::Core;
        }
        match self.extension(&whole) {
            Some(schema) => Resolved::Extension(schema),
            None => Resolved::Unknown,
        }
    }

    /// Finds what a path given as text names; Unknown also where the text is no path.
    pub fn resolve_str(&self, path: &str) -> Resolved<'_> {
        match AttrPath::parse(path) {
            Ok(path) => self.resolve(&path),
            Err(_) => Resolved::Unknown,
        }
    }

    /// The extension of this URN, in any case.
    pub fn extension(&self, urn: &str) -> Option<&Schema> {
        self.extensions.iter().map(|(schema, _)| &**schema).find(|schema| schema.id.eq_ignore_ascii_case(urn))
    }

    /// The attribute that names a resource: `userName` of a User, `displayName` of a Group. It is the first
    /// required text of the core schema.
    pub fn name_attribute(&self) -> Option<&Attribute> {
        self.schema.attributes.iter().find(|a| a.required && a.kind == AttrType::String && !a.multi_valued)
    }

    /// Whether an attribute is the one of [`Self::name_attribute`].
    pub fn is_name(&self, located: &Located<'_>) -> bool {
        located.extension.is_none()
            && located.sub.is_none()
            && self.name_attribute().is_some_and(|a| std::ptr::eq(a, located.attr))
    }

    /// Whether an attribute is stored as rows.
    pub fn is_relation(&self, located: &Located<'_>) -> bool {
        located.extension.is_none() && self.relation.as_deref().is_some_and(|r| r == located.attr.name)
    }

    fn core_attribute(&self, name: &str) -> Option<&Attribute> {
        self.schema.attribute(name).or_else(|| common().attribute(name))
    }
}

fn with_sub<'a>(
    extension: Option<&'a Schema>,
    attr: &'a Attribute,
    sub: Option<&str>,
    unqualified: bool,
) -> Resolved<'a> {
    let sub = match sub {
        None => None,
        Some(name) => match attr.sub(name) {
            Some(sub) => Some(sub),
            None => return Resolved::Unknown,
        },
    };
    Resolved::Attribute(Located { extension, attr, sub, unqualified })
}

/// The resource types and schemas that a service has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    types: Vec<ResourceType>,
}

impl Registry {
    /// User with the enterprise extension, and Group.
    pub fn core() -> Registry {
        static CORE: LazyLock<Registry> = LazyLock::new(|| Registry {
            types: vec![
                ResourceType {
                    id: "User".into(),
                    name: "User".into(),
                    endpoint: "Users".into(),
                    description: "A person's account".into(),
                    schema: Arc::new(embedded(include_str!("schemas/user.json"))),
                    extensions: vec![(Arc::new(embedded(include_str!("schemas/enterprise_user.json"))), false)],
                    relation: None,
                },
                ResourceType {
                    id: "Group".into(),
                    name: "Group".into(),
                    endpoint: "Groups".into(),
                    description: "A set of people".into(),
                    schema: Arc::new(embedded(include_str!("schemas/group.json"))),
                    extensions: Vec::new(),
                    relation: Some("members".into()),
                },
            ],
        });
        CORE.clone()
    }

    /// Adds an extension, given as JSON text, to a resource type.
    ///
    /// # Errors
    /// The schema is bad, its URN is taken, or there is no such resource type.
    pub fn with_extension(
        mut self,
        resource_type_id: &str,
        schema_json: &str,
        required: bool,
    ) -> Result<Registry, SchemaError> {
        let schema = Schema::load(schema_json)?;
        if self.schemas().any(|s| s.id.eq_ignore_ascii_case(&schema.id)) {
            return Err(SchemaError::Duplicate(schema.id));
        }
        let found = self.types.iter_mut().find(|t| t.id.eq_ignore_ascii_case(resource_type_id));
        match found {
            Some(resource_type) => {
                resource_type.extensions.push((Arc::new(schema), required));
                Ok(self)
            }
            None => Err(SchemaError::NoResourceType(resource_type_id.to_owned())),
        }
    }

    /// Adds a resource type.
    ///
    /// # Errors
    /// Its name, endpoint or schema is taken, or a schema is bad.
    pub fn with_resource_type(mut self, resource_type: ResourceType) -> Result<Registry, SchemaError> {
        for schema in
            std::iter::once(&resource_type.schema).chain(resource_type.extensions.iter().map(|(schema, _)| schema))
        {
            schema.check()?;
        }
        let taken = self.resource_type(&resource_type.id).is_some()
            || self.by_endpoint(&resource_type.endpoint).is_some()
            || self.schema(&resource_type.schema.id).is_some();
        if taken {
            return Err(SchemaError::Duplicate(resource_type.id));
        }
        self.types.push(resource_type);
        Ok(self)
    }

    /// The resource type of this id or name, in any case.
    pub fn resource_type(&self, name: &str) -> Option<&ResourceType> {
        self.types.iter().find(|t| t.id.eq_ignore_ascii_case(name) || t.name.eq_ignore_ascii_case(name))
    }

    /// The resource type served at this path segment, `Users`, in any case.
    pub fn by_endpoint(&self, endpoint: &str) -> Option<&ResourceType> {
        let endpoint = endpoint.trim_matches('/');
        self.types.iter().find(|t| t.endpoint.eq_ignore_ascii_case(endpoint))
    }

    /// The schema of this URN or short name (`User`, `Group`, `EnterpriseUser`), in any case.
    pub fn schema(&self, id: &str) -> Option<&Schema> {
        self.schemas()
            .find(|s| s.id.eq_ignore_ascii_case(id))
            .or_else(|| self.schemas().find(|s| s.name.eq_ignore_ascii_case(id)))
    }

    /// All resource types.
    pub fn resource_types(&self) -> impl Iterator<Item = &ResourceType> {
        self.types.iter()
    }

    /// All schemas, each once: core schemas with their extensions behind them.
    pub fn schemas(&self) -> impl Iterator<Item = &Schema> {
        let mut seen: HashSet<&str> = HashSet::new();
        self.types
            .iter()
            .flat_map(|t| std::iter::once(&*t.schema).chain(t.extensions.iter().map(|(s, _)| &**s)))
            .filter(move |s| seen.insert(s.id.as_str()))
    }

    /// The core User type.
    pub fn user(&self) -> Option<&ResourceType> {
        self.types.iter().find(|t| t.schema.id == urn::USER)
    }

    /// The core Group type.
    pub fn group(&self) -> Option<&ResourceType> {
        self.types.iter().find(|t| t.schema.id == urn::GROUP)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::core()
    }
}
