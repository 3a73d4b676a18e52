//! Resource types, what a path means for them, and the registry of all of them (RFC 7643 section 6).
use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use super::{AttrType, Attribute, Schema, SchemaError, Uniqueness, common, embedded};
use crate::path::AttrPath;
use crate::urn;

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

    /// Whether this is User or Group: what targets know. A type that an admin declared lives in the directory only.
    pub fn is_core(&self) -> bool {
        self.schema.id == urn::USER || self.schema.id == urn::GROUP
    }

    /// The attribute that names a resource: `userName` of a User, `displayName` of a Group. It is the first
    /// required text of the core schema. A declared type has none: its resources are known by `id`, and what is
    /// declared unique is kept so like any other attribute.
    pub fn name_attribute(&self) -> Option<&Attribute> {
        let first =
            || self.schema.attributes.iter().find(|a| a.required && a.kind == AttrType::String && !a.multi_valued);
        if self.is_core() { first() } else { None }
    }

    /// Every attribute with the extension it belongs to; the common ones aside.
    pub fn attributes(&self) -> impl Iterator<Item = (Option<&Schema>, &Attribute)> {
        let core = self.schema.attributes.iter().map(|attr| (None, attr));
        core.chain(self.extensions.iter().flat_map(|(schema, _)| {
            let schema: &Schema = schema;
            schema.attributes.iter().map(move |attr| (Some(schema), attr))
        }))
    }

    /// The attributes and sub-attributes whose values are unique, the one that names a resource and the common ones
    /// aside: those are unique by themselves.
    pub fn unique(&self) -> impl Iterator<Item = Located<'_>> {
        self.attributes().flat_map(|(extension, attr)| {
            let whole = Located { extension, attr, sub: None, unqualified: false };
            let parts = attr.sub_attributes.iter().map(move |sub| Located { sub: Some(sub), ..whole });
            std::iter::once(whole).chain(parts).filter(|found| {
                found.leaf().uniqueness != Uniqueness::None && !self.is_name(found) && !self.is_relation(found)
            })
        })
    }

    /// Whether a document may have this key at its top, as far as it is declared today. What an admin no longer
    /// declares is kept and not shown.
    pub fn declares(&self, key: &str) -> bool {
        self.core_attribute(key).is_some() || self.extension(key).is_some()
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
    pub(super) types: Vec<ResourceType>,
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
                    schema: Arc::new(embedded(include_str!("../schemas/user.json"))),
                    extensions: vec![(Arc::new(embedded(include_str!("../schemas/enterprise_user.json"))), false)],
                    relation: None,
                },
                ResourceType {
                    id: "Group".into(),
                    name: "Group".into(),
                    endpoint: "Groups".into(),
                    description: "A set of people".into(),
                    schema: Arc::new(embedded(include_str!("../schemas/group.json"))),
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
            if self.schemas().any(|known| known.id.eq_ignore_ascii_case(&schema.id)) {
                return Err(SchemaError::Duplicate(schema.id.clone()));
            }
        }
        if self.resource_type(&resource_type.id).is_some() {
            return Err(SchemaError::Duplicate(resource_type.id));
        }
        if self.by_endpoint(&resource_type.endpoint).is_some() {
            return Err(SchemaError::Duplicate(resource_type.endpoint));
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
