//! What an index can answer of a filter.
use serde_json::Value;

use super::check::{boolean, value_of};
use super::{Filter, Op};
use crate::datetime;
use crate::path::AttrPath;
use crate::schema::{AttrType, Resolved, ResourceType, Returned};
use crate::urn;

/// A condition that an index may answer. Texts are as the client wrote them; the store folds them as the comment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexTerm {
    /// `id eq`, byte by byte.
    Id(String),
    /// `userName eq` of a User or `displayName eq` of a Group; compared by [`crate::fold::fold_name`].
    Name(String),
    /// `externalId eq`, byte by byte.
    ExternalId(String),
    /// `emails.value eq` or `emails eq`; compared by [`crate::fold::fold_text`].
    Email(String),
    /// `members.value eq` or `members eq`: the id of a member, byte by byte.
    Member(String),
    /// `active eq`.
    Active(bool),
    /// `meta.lastModified gt` or `ge`.
    ModifiedAfter {
        /// Microseconds since 1970.
        micros: i64,
        /// Whether that instant itself passes.
        inclusive: bool,
    },
    /// `meta.lastModified lt` or `le`.
    ModifiedBefore {
        /// Microseconds since 1970.
        micros: i64,
        /// Whether that instant itself passes.
        inclusive: bool,
    },
    /// `eq` on any other text.
    Attr {
        /// The path in canonical case, with the URN of an extension: `name.familyName`, `roles.value`.
        path: String,
        /// The text to compare with.
        value: String,
        /// Whether case counts.
        exact: bool,
    },
}

impl Filter {
    /// Conditions that every match fulfils: those terms of the top-level conjunction that an index may answer.
    pub fn index_terms(&self, rt: &ResourceType) -> Vec<IndexTerm> {
        self.terms(rt).0
    }

    /// Whether [`Self::index_terms`] say all that the filter says. If not, candidates still have to pass
    /// [`Self::matches`].
    pub fn terms_are_whole(&self, rt: &ResourceType) -> bool {
        self.terms(rt).1
    }

    fn terms(&self, rt: &ResourceType) -> (Vec<IndexTerm>, bool) {
        let mut whole = true;
        let mut terms = Vec::new();
        for part in self.conjuncts() {
            match term(part, rt) {
                Some((term, exact)) => {
                    terms.push(term);
                    whole &= exact;
                }
                None => whole = false,
            }
        }
        (terms, whole)
    }
}

/// The term that a condition implies, and whether it is all of it.
fn term(part: &Filter, rt: &ResourceType) -> Option<(IndexTerm, bool)> {
    match part {
        Filter::Compare { path, op, value } => compare(path, *op, value, rt).map(|t| (t, true)),
        Filter::ValuePath { attr, filter, then } => {
            // `members[value eq "x"]` says what `members.value eq "x"` says; the rest implies it.
            let inner = filter.conjuncts();
            let mut found = inner.iter().filter_map(|condition| match condition {
                Filter::Compare { path, op: Op::Eq, value } if path.attr.eq_ignore_ascii_case("value") => {
                    element(attr, &path.attr, value, rt)
                }
                _ => None,
            });
            if let Some(term) = found.next() {
                return Some((term, inner.len() == 1 && then.is_none()));
            }
            match then {
                Some(then) => match &then.test {
                    super::Test::Compare(Op::Eq, value) => {
                        element(attr, &then.sub, value, rt).map(|term| (term, false))
                    }
                    _ => None,
                },
                None => None,
            }
        }
        _ => None,
    }
}

fn element(attr: &AttrPath, sub: &str, value: &Value, rt: &ResourceType) -> Option<IndexTerm> {
    let path = AttrPath { sub: Some(sub.to_owned()), ..attr.clone() };
    compare(&path, Op::Eq, value, rt)
}

fn compare(path: &AttrPath, op: Op, value: &Value, rt: &ResourceType) -> Option<IndexTerm> {
    let Resolved::Attribute(found) = rt.resolve(path) else {
        return None;
    };
    let leaf = value_of(found.leaf())?;
    if found.attr.returned == Returned::Never || leaf.returned == Returned::Never {
        return None;
    }
    let mut canonical = found.path();
    if found.sub.is_none() && found.attr.kind == AttrType::Complex {
        canonical.push_str(".value");
    }
    if canonical == "meta.lastModified" {
        let micros = datetime::parse(value.as_str()?)?.as_microsecond();
        return match op {
            Op::Gt => Some(IndexTerm::ModifiedAfter { micros, inclusive: false }),
            Op::Ge => Some(IndexTerm::ModifiedAfter { micros, inclusive: true }),
            Op::Lt => Some(IndexTerm::ModifiedBefore { micros, inclusive: false }),
            Op::Le => Some(IndexTerm::ModifiedBefore { micros, inclusive: true }),
            _ => None,
        };
    }
    if op != Op::Eq {
        return None;
    }
    if leaf.kind == AttrType::Boolean {
        let wanted = match value {
            Value::Bool(b) => *b,
            Value::String(text) => boolean(text)?,
            _ => return None,
        };
        return (canonical == "active" && rt.schema.id == urn::USER).then_some(IndexTerm::Active(wanted));
    }
    if !matches!(leaf.kind, AttrType::String | AttrType::Reference) {
        return None;
    }
    let text = value.as_str()?.to_owned();
    Some(match canonical.as_str() {
        "id" => IndexTerm::Id(text),
        "externalId" => IndexTerm::ExternalId(text),
        "emails.value" if rt.schema.id == urn::USER => IndexTerm::Email(text),
        _ if rt.is_name(&found) => IndexTerm::Name(text),
        _ if rt.is_relation(&found) && leaf.name == "value" => IndexTerm::Member(text),
        _ => IndexTerm::Attr { exact: leaf.exact(), path: canonical, value: text },
    })
}
