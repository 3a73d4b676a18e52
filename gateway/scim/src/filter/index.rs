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
    /// `userName sw` of a User or `displayName sw` of a Group; compared by [`crate::fold::fold_name`].
    NamePrefix(String),
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
        /// Microseconds since 1970, rounded down.
        micros: i64,
        /// Whether that instant itself passes.
        inclusive: bool,
    },
    /// `meta.lastModified lt` or `le`.
    ModifiedBefore {
        /// Microseconds since 1970, rounded up.
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

    /// The terms of which each match fulfils one, where a part of the top-level conjunction is an `or` of
    /// equalities on one attribute; and whether they are all that the filter says.
    pub fn index_choice(&self, rt: &ResourceType) -> Option<(Vec<IndexTerm>, bool)> {
        let parts = self.conjuncts();
        parts.iter().find_map(|part| {
            let Filter::Or(choices) = part else { return None };
            let found: Vec<(IndexTerm, bool)> = choices.iter().map(|one| term(one, rt)).collect::<Option<_>>()?;
            let first = std::mem::discriminant(&found.first()?.0);
            let same = found.iter().all(|(one, _)| std::mem::discriminant(one) == first);
            let whole = parts.len() == 1 && found.iter().all(|(_, whole)| *whole);
            same.then(|| (found.into_iter().map(|(one, _)| one).collect(), whole))
        })
    }

    fn terms(&self, rt: &ResourceType) -> (Vec<IndexTerm>, bool) {
        let mut whole = true;
        let mut terms = Vec::new();
        for part in self.conjuncts().iter().filter(|part| !always(part, rt)) {
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

/// Whether every resource fulfils a condition: `userName pr`, `id pr`.
fn always(part: &Filter, rt: &ResourceType) -> bool {
    let Filter::Present(path) = part else { return false };
    let Resolved::Attribute(found) = rt.resolve(path) else { return false };
    rt.is_name(&found) || (found.extension.is_none() && found.sub.is_none() && found.attr.name == "id")
}

/// The term that a condition implies, and whether it is all of it.
fn term(part: &Filter, rt: &ResourceType) -> Option<(IndexTerm, bool)> {
    match part {
        Filter::Compare { path, op, value } => compare(path, *op, value, rt).map(|t| (t, !is_finer(value, rt, path))),
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

/// Whether a time is finer than a microsecond, so that a term says less than the condition.
fn is_finer(value: &Value, rt: &ResourceType, path: &AttrPath) -> bool {
    let of_time = rt.resolve(path).attribute().is_some_and(|found| found.leaf().kind == AttrType::DateTime);
    of_time && value.as_str().and_then(datetime::parse).is_some_and(|at| at.subsec_nanosecond() % 1_000 != 0)
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
        let nanos = datetime::parse(value.as_str()?)?.as_nanosecond();
        let (down, up) = (i64::try_from(nanos.div_euclid(1_000)).ok()?, nanos.rem_euclid(1_000) > 0);
        let micros = match op {
            Op::Lt | Op::Le => down + i64::from(up),
            _ => down,
        };
        return match op {
            Op::Gt => Some(IndexTerm::ModifiedAfter { micros, inclusive: false }),
            Op::Ge => Some(IndexTerm::ModifiedAfter { micros, inclusive: true }),
            Op::Lt => Some(IndexTerm::ModifiedBefore { micros, inclusive: false }),
            Op::Le => Some(IndexTerm::ModifiedBefore { micros, inclusive: true }),
            _ => None,
        };
    }
    if op == Op::Sw && rt.is_name(&found) {
        return value.as_str().map(|text| IndexTerm::NamePrefix(text.to_owned()));
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
