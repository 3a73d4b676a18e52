//! Attribute paths: `userName`, `name.familyName`, `urn:…:User:department`, `emails[type eq "work"].value`.
use std::fmt;

use crate::error::ScimError;
use crate::filter::{self, Filter, FilterLimits};
use crate::quirks::Quirks;

/// Longest path taken, in characters.
pub const MAX_PATH: usize = 512;

/// An attribute, perhaps with the URN of its schema and a sub-attribute (RFC 7644 section 3.10).
///
/// Reading a path needs no schema, so a URN alone (`urn:…:2.0:User`) may read as an attribute `User`;
/// [`crate::schema::ResourceType::resolve`] tells the two apart. `attr` is empty where the text can only be a URN.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttrPath {
    /// Schema URN in front of the name.
    pub urn: Option<String>,
    /// Attribute name, as written.
    pub attr: String,
    /// Sub-attribute name, as written.
    pub sub: Option<String>,
}

impl AttrPath {
    /// A path of one name.
    pub fn name(attr: impl Into<String>) -> Self {
        Self { urn: None, attr: attr.into(), sub: None }
    }

    /// Whether it is a name and no more.
    pub(crate) fn is_plain(&self) -> bool {
        self.urn.is_none() && self.sub.is_none()
    }

    /// Reads a path.
    ///
    /// # Errors
    /// 400 `invalidPath` if it is not one, or is longer than [`MAX_PATH`].
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        if text.len() > MAX_PATH {
            return Err(too_long());
        }
        Self::read(text).ok_or_else(|| malformed("an attribute path"))
    }

    pub(crate) fn read(text: &str) -> Option<Self> {
        let (urn, rest) = match text.rfind(':') {
            Some(at) => (Some(&text[..at]), &text[at + 1..]),
            None => (None, text),
        };
        if let Some(urn) = urn {
            let absolute = urn.find(':').is_some() || is_name(urn);
            if !absolute || !is_uri(urn) {
                return None;
            }
        }
        let (attr, sub) = match rest.split_once('.') {
            Some((attr, sub)) => (attr, Some(sub)),
            None => (rest, None),
        };
        if is_name(attr) && sub.is_none_or(is_name) {
            return Some(Self { urn: urn.map(str::to_owned), attr: attr.to_owned(), sub: sub.map(str::to_owned) });
        }
        // `urn:scim:schemas:core:1.0`: the last part is a version, so it is all URN.
        let version = rest.starts_with(|c: char| c.is_ascii_digit())
            && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            && !rest.ends_with('.');
        if urn.is_some() && version {
            return Some(Self { urn: Some(text.to_owned()), attr: String::new(), sub: None });
        }
        None
    }
}

impl fmt::Display for AttrPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(urn) = &self.urn {
            f.write_str(urn)?;
            if !self.attr.is_empty() {
                f.write_str(":")?;
            }
        }
        f.write_str(&self.attr)?;
        match &self.sub {
            Some(sub) => write!(f, ".{sub}"),
            None => Ok(()),
        }
    }
}

/// The path of a PATCH operation (RFC 7644 figure 1): an attribute, a filter on its values, a sub-attribute.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchPath {
    /// The attribute. Its own `sub` is set only if there is no filter.
    pub attr: AttrPath,
    /// Which values of the attribute.
    pub filter: Option<Filter>,
    /// The sub-attribute behind the filter.
    pub sub: Option<String>,
}

impl PatchPath {
    /// Reads a path.
    ///
    /// # Errors
    /// 400 `invalidPath` if it is not one or is too long; 400 `invalidFilter` if only its filter is wrong.
    pub fn parse(text: &str, quirks: &mut Quirks) -> Result<Self, ScimError> {
        if text.len() > MAX_PATH {
            return Err(too_long());
        }
        if text.contains('[') {
            let limits = FilterLimits::default();
            let (attr, filter, sub) = filter::parse_value_path(text, &limits, quirks)?;
            return Ok(Self { attr, filter: Some(filter), sub });
        }
        let attr = AttrPath::read(text.trim()).ok_or_else(|| malformed("a path"))?;
        Ok(Self { attr, filter: None, sub: None })
    }
}

impl fmt::Display for PatchPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.attr)?;
        if let Some(filter) = &self.filter {
            write!(f, "[{filter}]")?;
        }
        match &self.sub {
            Some(sub) => write!(f, ".{sub}"),
            None => Ok(()),
        }
    }
}

fn too_long() -> ScimError {
    ScimError::invalid_path(format!("The path is longer than {MAX_PATH} characters."))
}

fn malformed(what: &str) -> ScimError {
    ScimError::invalid_path(format!(
        "That is not {what}: expected attribute, attribute.sub, urn:…:attribute or attribute[filter].sub."
    ))
}

/// Attribute names: a letter, then letters, digits, `-`, `_` and `$` (RFC 7643 section 2.1); and `$ref`.
pub(crate) fn is_name(text: &str) -> bool {
    if text.eq_ignore_ascii_case("$ref") {
        return true;
    }
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'$'))
}

/// Characters a URI may hold (RFC 3986), brackets and parentheses aside, which filters need.
pub(crate) fn is_uri(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/?#@!$&'*+,;=%".contains(&b))
}
