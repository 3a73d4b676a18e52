//! Which rows a query looks at, through which index, and in which order.

use scim::Filter;
use scim::filter::IndexTerm;
use scim::fold::{fold_name, fold_text};
use scim::list::SortOrder;
use scim::path::AttrPath;
use scim::schema::ResourceType;
use scim::urn;
use sea_orm::Value;

use super::COLUMNS;
use crate::service::types::Instance;

/// How much a source may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// What an equality finds; any order is cheap.
    Few,
    /// A good part of everything; only the order of its index is cheap.
    Wide,
    /// Everything that lists show.
    All,
}

/// The columns that a walk goes by, each with an index of that order. Each is an order without ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Order {
    /// As created.
    Created,
    /// By folded name.
    Name,
    /// By last change. Who changes while being walked comes again, with the new state.
    Modified,
}

impl Order {
    /// The column that orders before the tie is broken.
    fn column(self) -> Option<&'static str> {
        match self {
            Self::Created => None,
            Self::Name => Some("r.name_key"),
            Self::Modified => Some("r.modified_at"),
        }
    }

    /// The order that an index has of an attribute.
    pub(super) fn of(rt: &ResourceType, path: &AttrPath) -> Option<Self> {
        let found = rt.resolve(path).attribute()?;
        if rt.is_name(&found) {
            return Some(Self::Name);
        }
        (found.extension.is_none() && found.path() == "meta.lastModified").then_some(Self::Modified)
    }
}

/// Where candidates come from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    from: &'static str,
    /// The column of `r.seq` whose index is walked.
    seq: &'static str,
    condition: String,
    values: Vec<Value>,
    pub(super) reach: Reach,
    /// The order that its index has.
    pub(super) order: Order,
    /// Whether it holds what matches and nothing else.
    pub(super) decided: bool,
}

/// A resource's seen rows: those that look-ups find, or those that lists show.
const LISTED: &str = "r.listed = 1";

impl Source {
    /// Everything that lists show.
    pub(super) fn all(instance: &Instance, rt: &ResourceType, decided: bool) -> Self {
        Self {
            from: "resource r",
            seq: "r.seq",
            condition: LISTED.to_owned(),
            values: vals![instance.seq, rt.name.as_str()],
            reach: Reach::All,
            order: Order::Created,
            decided,
        }
    }

    /// The most selective index that the filter allows.
    pub(super) fn choose(instance: &Instance, rt: &ResourceType, filter: Option<&Filter>) -> Self {
        let Some(filter) = filter else { return Self::all(instance, rt, true) };
        let terms = filter.index_terms(rt);
        let whole = filter.terms_are_whole(rt);
        let best = terms.iter().filter(|term| rank(rt, term) < UNINDEXED).min_by_key(|term| rank(rt, term));
        let choice = filter.index_choice(rt).filter(|(choice, _)| {
            let rank = choice.first().map_or(UNINDEXED, |term| rank(rt, term));
            rank <= LAST_LOOK_UP && best.is_none_or(|best| self::rank(rt, best) > rank)
        });
        if let Some((choice, whole)) = choice {
            return Self::look_up(instance, rt, &choice, whole);
        }
        match best {
            None => Self::all(instance, rt, whole && terms.is_empty()),
            Some(best) if rank(rt, best) <= LAST_LOOK_UP => {
                Self::look_up(instance, rt, std::slice::from_ref(best), whole && terms.len() == 1)
            }
            Some(best) => Self::range(instance, rt, best, &terms, whole),
        }
    }

    /// What equalities find.
    fn look_up(instance: &Instance, rt: &ResourceType, terms: &[IndexTerm], decided: bool) -> Self {
        // An account that nobody manages is found by those who know it, where the policy adopts.
        let seen = if instance.adopts(&rt.name) { "" } else { " AND r.managed = 1" };
        let mut source = Self {
            reach: Reach::Few,
            ..Self::all(instance, rt, decided && !terms.iter().any(|term| is_loose(rt, term)))
        };
        let first = source.values.len() + 1;
        source.values.extend(terms.iter().filter_map(key_of));
        let keys: Vec<String> = (first..=source.values.len()).map(|n| format!("${n}")).collect();
        let keys = keys.join(",");
        let one = terms.len() == 1;
        // CROSS JOIN: SQLite keeps the order of the tables as written, the selective one first. To PostgreSQL it is
        // a join like any other.
        let (from, seq, condition) = match terms.first() {
            Some(IndexTerm::Id(_)) => ("resource r", "r.seq", format!("r.id IN ({keys})")),
            Some(IndexTerm::Name(_)) => ("resource r", "r.seq", format!("r.name_key IN ({keys})")),
            Some(IndexTerm::ExternalId(_)) => ("resource r", "r.seq", format!("r.external_id IN ({keys})")),
            Some(IndexTerm::Member(_)) if one => (
                "resource u CROSS JOIN member m CROSS JOIN resource r",
                "m.group_seq",
                format!(
                    "u.id = {keys} AND m.user_seq = u.seq AND r.seq = m.group_seq AND u.deleted_at IS NULL AND m.want = 1"
                ),
            ),
            Some(IndexTerm::Member(_)) => (
                "resource r",
                "r.seq",
                format!(
                    "r.seq IN (SELECT m.group_seq FROM resource u JOIN member m ON m.user_seq = u.seq \
                     WHERE u.id IN ({keys}) AND u.deleted_at IS NULL AND m.want = 1)"
                ),
            ),
            Some(IndexTerm::Attr { path, .. }) if path == GROUPS && one => (
                "resource g CROSS JOIN member m CROSS JOIN resource r",
                "m.user_seq",
                format!(
                    "g.id = {keys} AND m.group_seq = g.seq AND r.seq = m.user_seq AND g.deleted_at IS NULL AND m.want = 1"
                ),
            ),
            Some(IndexTerm::Attr { path, .. }) if path == GROUPS => (
                "resource r",
                "r.seq",
                format!(
                    "r.seq IN (SELECT m.user_seq FROM resource g JOIN member m ON m.group_seq = g.seq \
                     WHERE g.id IN ({keys}) AND g.deleted_at IS NULL AND m.want = 1)"
                ),
            ),
            Some(term) if one => (
                "attr a CROSS JOIN resource r",
                "a.resource_seq",
                format!(
                    "a.instance_seq = $1 AND a.path = '{}' AND a.value_key = {keys} AND r.seq = a.resource_seq",
                    kept_as(term)
                ),
            ),
            Some(term) => (
                "resource r",
                "r.seq",
                format!(
                    "r.seq IN (SELECT a.resource_seq FROM attr a WHERE a.instance_seq = $1 AND a.path = '{}' AND a.value_key IN ({keys}))",
                    kept_as(term)
                ),
            ),
            None => ("resource r", "r.seq", "1 = 0".to_owned()),
        };
        (source.from, source.seq, source.condition) = (from, seq, format!("{condition}{seen}"));
        source
    }

    /// What a range of an index holds.
    fn range(instance: &Instance, rt: &ResourceType, best: &IndexTerm, terms: &[IndexTerm], whole: bool) -> Self {
        let mut source = Self { reach: Reach::Wide, ..Self::all(instance, rt, false) };
        let mut used = 0;
        let mut add = |condition: &str, value: Value| {
            source.values.push(value);
            source.condition = format!("{} AND {condition} ${}", source.condition, source.values.len());
        };
        match best {
            IndexTerm::NamePrefix(prefix) => {
                let low = fold_name(prefix);
                if let Some(high) = after_prefix(&low) {
                    add("r.name_key <", high.into());
                }
                add("r.name_key >=", low.into());
                source.order = Order::Name;
                used = 1;
            }
            IndexTerm::Active(active) => {
                add("r.active =", i16::from(*active).into());
                used = 1;
            }
            _ => {
                // Clients see milliseconds, so it is in these that times compare.
                for term in terms {
                    match *term {
                        IndexTerm::ModifiedAfter { micros, inclusive: true } => {
                            add("r.modified_at >=", up(micros).into())
                        }
                        IndexTerm::ModifiedAfter { micros, inclusive: false } => {
                            add("r.modified_at >=", down(micros).saturating_add(MILLI).into());
                        }
                        IndexTerm::ModifiedBefore { micros, inclusive: true } => {
                            add("r.modified_at <", down(micros).saturating_add(MILLI).into());
                        }
                        IndexTerm::ModifiedBefore { micros, inclusive: false } => {
                            add("r.modified_at <", up(micros).into())
                        }
                        _ => continue,
                    }
                    used += 1;
                }
                source.order = Order::Modified;
            }
        }
        source.decided = whole && used == terms.len();
        source
    }

    /// Rows behind a position, in an order: `$` places for the key (where the order has one) and the tie stand at
    /// the end of the values that [`Self::values`] gives.
    pub(super) fn rows(&self, order: Order, descending: bool, after: bool, limit: u64, skip: u64) -> String {
        let (compare, direction) = if descending { ("<", " DESC") } else { (">", "") };
        let tie = match order {
            // Managed names are unique and have slot 0; the others' is their own.
            Order::Name => "r.name_slot",
            Order::Created => self.seq,
            Order::Modified => "r.seq",
        };
        let place = self.values.len() + 1;
        let (behind, by) = match order.column() {
            None => (format!(" AND {tie} {compare} ${place}"), format!("{tie}{direction}")),
            Some(column) => (
                format!(" AND ({column}, {tie}) {compare} (${place}, ${})", place + 1),
                format!("{column}{direction}, {tie}{direction}"),
            ),
        };
        let behind = if after { behind } else { String::new() };
        let skip = if skip > 0 { format!(" OFFSET {skip}") } else { String::new() };
        format!("SELECT {COLUMNS} FROM {}{behind} ORDER BY {by} LIMIT {limit}{skip}", self.body())
    }

    /// How many there are; counts to `most` at most.
    pub(super) fn count(&self, most: Option<u64>) -> String {
        match most {
            None => format!("SELECT COUNT(*) AS n FROM {}", self.body()),
            Some(most) => {
                format!("SELECT COUNT(*) AS n FROM (SELECT 1 AS one FROM {} LIMIT {}) c", self.body(), most + 1)
            }
        }
    }

    pub(super) fn values(&self) -> Vec<Value> {
        self.values.clone()
    }

    fn body(&self) -> String {
        format!(
            "{} WHERE r.instance_seq = $1 AND r.kind = $2 AND r.deleted_at IS NULL AND {}",
            self.from, self.condition
        )
    }
}

/// The order of a query: its own, or that of the index that is walked.
#[derive(Clone, Debug)]
pub(super) enum Sorting {
    /// Along an index.
    Index(Order, bool),
    /// By any other attribute: keys are made of the documents.
    Keys(AttrPath, bool),
}

impl Sorting {
    /// What a request asks for.
    pub(super) fn asked(rt: &ResourceType, path: Option<&AttrPath>, order: SortOrder) -> Option<Self> {
        let descending = order == SortOrder::Descending;
        path.map(|path| match Order::of(rt, path) {
            Some(order) => Self::Index(order, descending),
            None => Self::Keys(path.clone(), descending),
        })
    }
}

const LAST_LOOK_UP: u8 = 6;
const UNINDEXED: u8 = 100;
const MILLI: i64 = 1_000;
/// The path under which a User's groups are looked up.
const GROUPS: &str = "groups.value";

/// The best index first.
fn rank(rt: &ResourceType, term: &IndexTerm) -> u8 {
    match term {
        // PostgreSQL keeps no such text, and takes none.
        IndexTerm::Id(text) | IndexTerm::Name(text) | IndexTerm::ExternalId(text) | IndexTerm::Email(text)
            if text.contains('\0') =>
        {
            UNINDEXED
        }
        IndexTerm::Member(text) | IndexTerm::NamePrefix(text) | IndexTerm::Attr { value: text, .. }
            if text.contains('\0') =>
        {
            UNINDEXED
        }
        IndexTerm::Id(_) => 0,
        IndexTerm::Name(_) => 1,
        IndexTerm::ExternalId(_) => 2,
        IndexTerm::Email(_) => 3,
        IndexTerm::Attr { path, .. } if path == "displayName" => 4,
        IndexTerm::Member(_) => 5,
        IndexTerm::Attr { path, .. } if path == GROUPS && rt.schema.id == urn::USER => LAST_LOOK_UP,
        IndexTerm::NamePrefix(_) => 7,
        IndexTerm::ModifiedAfter { .. } => 8,
        IndexTerm::ModifiedBefore { .. } => 9,
        IndexTerm::Active(_) => 10,
        IndexTerm::Attr { .. } => UNINDEXED,
    }
}

/// Whether an index folds what the attribute does not.
fn is_loose(rt: &ResourceType, term: &IndexTerm) -> bool {
    match term {
        IndexTerm::Attr { path, exact, .. } => *exact && path != GROUPS,
        IndexTerm::Email(_) => rt.resolve_str("emails.value").attribute().is_none_or(|found| found.leaf().exact()),
        _ => false,
    }
}

/// The path under which the index of attributes keeps what a term looks up.
fn kept_as(term: &IndexTerm) -> &'static str {
    if matches!(term, IndexTerm::Email(_)) { "emails.value" } else { "displayName" }
}

/// What an index is looked up by.
fn key_of(term: &IndexTerm) -> Option<Value> {
    match term {
        IndexTerm::Id(text) | IndexTerm::ExternalId(text) | IndexTerm::Member(text) => Some(text.as_str().into()),
        IndexTerm::Name(text) => Some(fold_name(text).into()),
        IndexTerm::Email(text) => Some(fold_text(text).into()),
        IndexTerm::Attr { path, value, .. } if path == GROUPS => Some(value.as_str().into()),
        IndexTerm::Attr { value, .. } => Some(fold_text(value).into()),
        _ => None,
    }
}

/// The least text that is greater than all that begin with a prefix; none if there is none.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // Between the two ranges of characters there is a gap.
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

fn down(micros: i64) -> i64 {
    micros.div_euclid(MILLI).saturating_mul(MILLI)
}

fn up(micros: i64) -> i64 {
    down(micros.saturating_add(MILLI - 1))
}
