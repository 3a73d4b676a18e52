//! Many edits of a relation, as one.
use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::RelationEdit;
use crate::filter::Filter;
use crate::resource::Reference;
use crate::schema::{Attribute, Registry};

/// What the edits start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Base {
    /// The elements as they are.
    #[default]
    Keep,
    /// None: whoever is not wanted is out.
    Clear,
}

/// The sum of edits. To apply it: start from `base`; drop of it what passes a filter of `matching`; then put in or
/// take out what `want` says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NetEdit {
    /// What to start from.
    pub base: Base,
    /// By id: in (true) or out (false). The last edit counts.
    pub want: BTreeMap<String, bool>,
    /// Filters on elements that were there before; they do not touch ids in `want`.
    pub matching: Vec<Filter>,
}

impl NetEdit {
    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.base == Base::Keep && self.want.is_empty() && self.matching.is_empty()
    }
}

/// Sums up edits, in order.
///
/// A filter that follows an add is tried on the added reference as the request wrote it (`value`, `type`,
/// `display`): the other elements' stored form is not known here.
pub fn fold_edits(edits: &[RelationEdit]) -> NetEdit {
    let mut net = NetEdit::default();
    let mut added: BTreeMap<&str, &Reference> = BTreeMap::new();
    for edit in edits {
        match edit {
            RelationEdit::Add(references) => put(references, &mut net, &mut added),
            RelationEdit::Remove(ids) => {
                for id in ids {
                    net.want.insert(id.clone(), false);
                    added.remove(id.as_str());
                }
            }
            RelationEdit::RemoveAll => {
                net = NetEdit { base: Base::Clear, ..NetEdit::default() };
                added.clear();
            }
            RelationEdit::Replace(references) => {
                net = NetEdit { base: Base::Clear, ..NetEdit::default() };
                added.clear();
                put(references, &mut net, &mut added);
            }
            RelationEdit::RemoveMatching(filter) => {
                added.retain(|id, reference| {
                    let out = filter.matches_element(members(), &reference.to_json());
                    if out {
                        net.want.insert((*id).to_owned(), false);
                    }
                    !out
                });
                if net.base == Base::Keep {
                    net.matching.push(filter.clone());
                }
            }
        }
    }
    net
}

fn put<'e>(references: &'e [Reference], net: &mut NetEdit, added: &mut BTreeMap<&'e str, &'e Reference>) {
    for reference in references {
        net.want.insert(reference.value.clone(), true);
        added.insert(&reference.value, reference);
    }
}

/// The shape of a relation's elements.
fn members() -> &'static Attribute {
    static MEMBERS: LazyLock<Attribute> = LazyLock::new(|| {
        let registry = Registry::core();
        let found = registry.group().and_then(|g| g.schema.attribute("members")).cloned();
        found.expect("the embedded Group schema has members; a test loads it")
    });
    &MEMBERS
}
