//! Filters (RFC 7644 section 3.4.2.2): reading, checking against a schema, evaluating, and what an index can do.
//!
//! Reading has budgets that act on the tokens, so the recursion of the parser, of evaluation and of dropping the
//! tree is bounded by [`FilterLimits::max_depth`] before any tree exists.
use serde_json::Value;
use std::fmt;

use crate::error::ScimError;
use crate::path::AttrPath;
use crate::quirks::Quirks;

mod check;
mod eval;
mod index;
mod lexer;
mod parser;

pub(crate) use check::{boolean, check_element};
pub use check::{check, check_with};
pub(crate) use eval::{Rule, value_at};
pub use index::IndexTerm;

/// What a filter may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterLimits {
    /// Characters in all.
    pub max_chars: usize,
    /// Parentheses and brackets inside one another. Values above 64 count as 64.
    pub max_depth: usize,
    /// Comparisons in all.
    pub max_clauses: usize,
    /// Characters of one value.
    pub max_value: usize,
}

impl Default for FilterLimits {
    fn default() -> Self {
        Self { max_chars: 4096, max_depth: 20, max_clauses: 64, max_value: 1024 }
    }
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Contains.
    Co,
    /// Starts with.
    Sw,
    /// Ends with.
    Ew,
    /// Greater than.
    Gt,
    /// Greater than or equal.
    Ge,
    /// Less than.
    Lt,
    /// Less than or equal.
    Le,
}

impl Op {
    /// The operator as written in a filter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Co => "co",
            Self::Sw => "sw",
            Self::Ew => "ew",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Lt => "lt",
            Self::Le => "le",
        }
    }

    fn read(word: &str) -> Option<Self> {
        [Self::Eq, Self::Ne, Self::Co, Self::Sw, Self::Ew, Self::Gt, Self::Ge, Self::Lt, Self::Le]
            .into_iter()
            .find(|op| op.as_str().eq_ignore_ascii_case(word))
    }

    /// Whether it asks for an order.
    pub fn is_ordering(self) -> bool {
        matches!(self, Self::Gt | Self::Ge | Self::Lt | Self::Le)
    }

    /// Whether it looks inside a text.
    pub fn is_textual(self) -> bool {
        matches!(self, Self::Co | Self::Sw | Self::Ew)
    }
}

/// What is asked of one attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// `pr`.
    Present,
    /// An operator and a value: a text, a number, a boolean or null.
    Compare(Op, Value),
}

/// What follows a value path: `emails[type eq "work"].value eq "x"`.
#[derive(Debug, Clone, PartialEq)]
pub struct Then {
    /// The sub-attribute.
    pub sub: String,
    /// What is asked of it.
    pub test: Test,
}

/// A filter. `And` and `Or` are flat: neither holds its own kind, and each has two parts or more.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of these.
    And(Vec<Filter>),
    /// One of these.
    Or(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// An attribute compared with a value.
    Compare {
        /// The attribute.
        path: AttrPath,
        /// The operator.
        op: Op,
        /// A text, a number, a boolean or null.
        value: Value,
    },
    /// An attribute has a value.
    Present(AttrPath),
    /// One element of an attribute passes a filter of its own.
    ValuePath {
        /// The attribute.
        attr: AttrPath,
        /// The filter on sub-attributes.
        filter: Box<Filter>,
        /// What is asked of the elements that pass.
        then: Option<Then>,
    },
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// 400 `invalidFilter`: not a filter, or over a limit.
    pub fn parse(text: &str, limits: &FilterLimits, quirks: &mut Quirks) -> Result<Filter, ScimError> {
        parser::parse(text, limits, quirks)
    }

    /// The conditions of which all must hold: the parts of an `And`, else the filter itself.
    pub fn conjuncts(&self) -> &[Filter] {
        match self {
            Self::And(parts) => parts,
            other => std::slice::from_ref(other),
        }
    }

    /// All of these, flat. None for an empty list.
    pub fn all(parts: Vec<Filter>) -> Option<Filter> {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Self::And(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        if flat.len() > 1 { Some(Self::And(flat)) } else { flat.pop() }
    }

    /// One of these, flat. None for an empty list.
    pub fn any(parts: Vec<Filter>) -> Option<Filter> {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Self::Or(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        if flat.len() > 1 { Some(Self::Or(flat)) } else { flat.pop() }
    }
}

/// Reads `attr[filter]` or `attr[filter].sub`, the form of PATCH paths.
pub(crate) fn parse_value_path(
    text: &str,
    limits: &FilterLimits,
    quirks: &mut Quirks,
) -> Result<(AttrPath, Filter, Option<String>), ScimError> {
    parser::parse_value_path(text, limits, quirks)
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(parts) => list(f, parts, " and ", |p| matches!(p, Self::Or(_))),
            Self::Or(parts) => list(f, parts, " or ", |_| false),
            Self::Not(inner) => write!(f, "not ({inner})"),
            Self::Compare { path, op, value } => write!(f, "{path} {} {value}", op.as_str()),
            Self::Present(path) => write!(f, "{path} pr"),
            Self::ValuePath { attr, filter, then } => {
                write!(f, "{attr}[{filter}]")?;
                match then {
                    None => Ok(()),
                    Some(Then { sub, test: Test::Present }) => write!(f, ".{sub} pr"),
                    Some(Then { sub, test: Test::Compare(op, value) }) => {
                        write!(f, ".{sub} {} {value}", op.as_str())
                    }
                }
            }
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, parts: &[Filter], between: &str, grouped: fn(&Filter) -> bool) -> fmt::Result {
    for (n, part) in parts.iter().enumerate() {
        if n > 0 {
            f.write_str(between)?;
        }
        if grouped(part) {
            write!(f, "({part})")?;
        } else {
            write!(f, "{part}")?;
        }
    }
    Ok(())
}
