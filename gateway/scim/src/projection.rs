//! Which attributes an answer holds (RFC 7644 section 3.9, RFC 7643 section 2.2 `returned`).
use serde_json::{Map, Value};

use crate::error::ScimError;
use crate::path::AttrPath;
use crate::schema::{Attribute, Resolved, ResourceType, Returned, Schema, common};

/// Most names in `attributes` or `excludedAttributes`.
const MAX_NAMES: usize = 256;

/// What a request wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Projection {
    /// What is returned by default.
    #[default]
    Default,
    /// These, and what is always returned.
    Only(Vec<AttrPath>),
    /// The default without these.
    Without(Vec<AttrPath>),
}

/// A projection with its names looked up, once for a resource: a group may have very many elements.
struct View<'a> {
    mode: &'a Projection,
    names: Vec<Resolved<'a>>,
}

/// How much of an attribute a list of paths names.
#[derive(Clone, Copy, PartialEq)]
enum Named {
    No,
    Part,
    Whole,
}

/// How an answer shows a key of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Not at all.
    No,
    /// Perhaps without some of what is in it.
    Part,
    /// As it is, but for empty objects.
    Whole,
}

impl Projection {
    /// Reads the two parameters: names separated by commas. Without a name a parameter counts as absent; what is
    /// no attribute path names nothing.
    ///
    /// # Errors
    /// 400 `invalidValue` if both are given, or one names more than 256 attributes.
    pub fn from_params(attributes: Option<&str>, excluded: Option<&str>) -> Result<Self, ScimError> {
        let split = |text: Option<&str>| -> Vec<String> {
            text.map(|t| t.split(',').map(|n| n.trim().to_owned()).collect()).unwrap_or_default()
        };
        Self::from_names(&split(attributes), &split(excluded))
    }

    /// The same from lists of names, as a SearchRequest has them.
    ///
    /// # Errors
    /// As [`Self::from_params`].
    pub fn from_names(attributes: &[String], excluded: &[String]) -> Result<Self, ScimError> {
        let given = |names: &[String]| names.iter().any(|n| !n.is_empty());
        let paths = |names: &[String]| {
            if names.len() > MAX_NAMES {
                return Err(ScimError::invalid_value(format!(
                    "attributes and excludedAttributes name at most {MAX_NAMES} attributes."
                )));
            }
            Ok(names.iter().filter_map(|n| AttrPath::parse(n).ok()).collect())
        };
        match (given(attributes), given(excluded)) {
            (true, true) => {
                Err(ScimError::invalid_value("attributes and excludedAttributes exclude each other; send one of them."))
            }
            (true, false) => Ok(Self::Only(paths(attributes)?)),
            (false, true) => Ok(Self::Without(paths(excluded)?)),
            (false, false) => Ok(Self::Default),
        }
    }

    /// Whether the request names attributes at all; a PATCH then answers with a body.
    pub fn is_default(&self) -> bool {
        *self == Self::Default
    }

    /// Leaves of a resource's representation what this answer holds.
    ///
    /// A key that no schema declares stays only if `attributes` names it: a service's own additions are on request.
    pub fn apply(&self, rt: &ResourceType, resource: Map<String, Value>) -> Map<String, Value> {
        let view = self.view(rt);
        let mut out = Map::new();
        for (key, value) in resource {
            if let Some(attr) = rt.schema.attribute(&key).or_else(|| common().attribute(&key)) {
                if let Some(value) = view.attribute(None, attr, value) {
                    out.insert(key, value);
                }
            } else if let Some(schema) = rt.extension(&key) {
                let Value::Object(inner) = value else {
                    continue;
                };
                let kept: Map<String, Value> = inner
                    .into_iter()
                    .filter_map(|(name, value)| {
                        let attr = schema.attribute(&name)?;
                        Some((name, view.attribute(Some(schema), attr, value)?))
                    })
                    .collect();
                if !kept.is_empty() {
                    out.insert(key, Value::Object(kept));
                }
            } else if self.wants(rt, &key) {
                out.insert(key, value);
            }
        }
        out
    }

    /// How this answer shows a key of a resource's representation; [`Self::apply`] does what this says.
    pub fn show(&self, rt: &ResourceType, key: &str) -> Show {
        let Some(attr) = rt.schema.attribute(key).or_else(|| common().attribute(key)) else {
            return match rt.extension(key) {
                Some(_) => Show::Part,
                None if self.wants(rt, key) => Show::Whole,
                None => Show::No,
            };
        };
        let view = self.view(rt);
        match view.shows(None, attr) {
            Named::No => Show::No,
            _ if attr.sub_attributes.iter().all(|sub| view.shows_sub(None, attr, sub)) => Show::Whole,
            _ => Show::Part,
        }
    }

    /// Whether `excludedAttributes` names an attribute as a whole.
    pub fn leaves_out(&self, rt: &ResourceType, path: &str) -> bool {
        let view = self.view(rt);
        matches!(self, Self::Without(_))
            && rt
                .resolve_str(path)
                .attribute()
                .is_some_and(|found| view.named(found.extension, found.attr) == Named::Whole)
    }

    /// Whether this answer holds an attribute, or a part of it, so that it has to be read at all. Also for a key
    /// that no schema declares, by its name or URN.
    pub fn wants(&self, rt: &ResourceType, path: &str) -> bool {
        let view = self.view(rt);
        match rt.resolve_str(path) {
            Resolved::Attribute(found) => match found.sub {
                None => view.shows(found.extension, found.attr) != Named::No,
                Some(sub) => {
                    view.shows(found.extension, found.attr) != Named::No
                        && view.shows_sub(found.extension, found.attr, sub)
                }
            },
            Resolved::Extension(schema) => {
                schema.attributes.iter().any(|attr| view.shows(Some(schema), attr) != Named::No)
            }
            Resolved::Core => true,
            Resolved::Unknown => match self {
                Self::Only(names) => names.iter().any(|name| {
                    let name = name.to_string();
                    let under = name
                        .get(..path.len())
                        .is_some_and(|head| head.eq_ignore_ascii_case(path) && name[path.len()..].starts_with(':'));
                    name.eq_ignore_ascii_case(path) || under
                }),
                _ => false,
            },
        }
    }

    fn view<'a>(&'a self, rt: &'a ResourceType) -> View<'a> {
        let names = match self {
            Self::Default => &[][..],
            Self::Only(names) | Self::Without(names) => names,
        };
        View { mode: self, names: names.iter().map(|name| rt.resolve(name)).collect() }
    }
}

/// Whether a value is, or a list holds, an object without members.
fn has_empty_object(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.iter().any(|item| matches!(item, Value::Object(map) if map.is_empty())),
        _ => false,
    }
}

impl View<'_> {
    fn attribute(&self, extension: Option<&Schema>, attr: &Attribute, value: Value) -> Option<Value> {
        if self.shows(extension, attr) == Named::No {
            return None;
        }
        let hidden: Vec<&str> = attr
            .sub_attributes
            .iter()
            .filter(|sub| !self.shows_sub(extension, attr, sub))
            .map(|sub| sub.name.as_str())
            .collect();
        // The usual case, and the hot one: nothing to leave out, so nothing is rebuilt.
        if hidden.is_empty() && !has_empty_object(&value) {
            return Some(value);
        }
        let trim = |value: Value| match value {
            Value::Object(map) => {
                let kept: Map<String, Value> =
                    map.into_iter().filter(|(name, _)| !hidden.iter().any(|h| h.eq_ignore_ascii_case(name))).collect();
                (!kept.is_empty()).then_some(Value::Object(kept))
            }
            plain => Some(plain),
        };
        match value {
            Value::Array(items) => {
                // An empty list is said aloud where the service says it (members of an empty group).
                let was_empty = items.is_empty();
                let kept: Vec<Value> = items.into_iter().filter_map(trim).collect();
                (was_empty || !kept.is_empty()).then_some(Value::Array(kept))
            }
            value => trim(value),
        }
    }

    fn shows(&self, extension: Option<&Schema>, attr: &Attribute) -> Named {
        match attr.returned {
            Returned::Never => return Named::No,
            Returned::Always => return Named::Whole,
            _ => {}
        }
        let on_request = attr.returned == Returned::Request;
        match self.mode {
            Projection::Default | Projection::Without(_) if on_request => Named::No,
            Projection::Default => Named::Whole,
            Projection::Only(_) => match self.named(extension, attr) {
                Named::No if attr.sub_attributes.iter().any(|s| s.returned == Returned::Always) => Named::Part,
                other => other,
            },
            Projection::Without(_) => match self.named(extension, attr) {
                Named::No => Named::Whole,
                Named::Part => Named::Part,
                Named::Whole => Named::No,
            },
        }
    }

    fn shows_sub(&self, extension: Option<&Schema>, attr: &Attribute, sub: &Attribute) -> bool {
        match sub.returned {
            Returned::Never => return false,
            Returned::Always => return true,
            _ => {}
        }
        let on_request = sub.returned == Returned::Request;
        match self.mode {
            Projection::Default => !on_request,
            Projection::Only(_) => {
                self.names_sub(extension, attr, sub)
                    || (!on_request
                        && (attr.returned == Returned::Always || self.named(extension, attr) == Named::Whole))
            }
            Projection::Without(_) => !on_request && !self.names_sub(extension, attr, sub),
        }
    }

    fn named(&self, extension: Option<&Schema>, attr: &Attribute) -> Named {
        let mut best = Named::No;
        for name in &self.names {
            match name {
                Resolved::Attribute(found) if same(extension, attr, found) => match found.sub {
                    None => return Named::Whole,
                    Some(_) => best = Named::Part,
                },
                Resolved::Extension(schema) if extension.is_some_and(|e| std::ptr::eq(e, *schema)) => {
                    return Named::Whole;
                }
                Resolved::Core if extension.is_none() => return Named::Whole,
                _ => {}
            }
        }
        best
    }

    fn names_sub(&self, extension: Option<&Schema>, attr: &Attribute, sub: &Attribute) -> bool {
        self.names.iter().any(|name| match name {
            Resolved::Attribute(found) => {
                same(extension, attr, found) && found.sub.is_some_and(|s| std::ptr::eq(s, sub))
            }
            _ => false,
        })
    }
}

/// Whether a path means this attribute: the same declaration in the same schema.
fn same(extension: Option<&Schema>, attr: &Attribute, found: &crate::schema::Located<'_>) -> bool {
    let owner = |s: Option<&Schema>| s.map(std::ptr::from_ref);
    std::ptr::eq(found.attr, attr) && owner(found.extension) == owner(extension)
}
