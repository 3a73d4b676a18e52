//! Reading the directory. Nothing here touches the target: what is answered is what is wanted.

use std::collections::HashMap;
use std::time::Duration;

use moka::sync::Cache;
use scim::filter::IndexTerm;
use scim::fold::{fold_name, fold_text};
use scim::list::{ListRequest, SortOrder};
use scim::schema::ResourceType;
use scim::{Document, Filter, ScimError};
use sea_orm::{QueryResult, Value};
use serde_json::{Map, json};

use super::App;
use super::types::{Failure, Instance, MemberEntry, Stored};
use crate::store::{Rows, Sql, StoreError};

/// Resources in one answer at most; announced in the ServiceProviderConfig.
pub const MAX_PAGE: u64 = 1_000;
/// Resources in one answer when the client names no number.
pub const DEFAULT_PAGE: u64 = 100;
/// Rows that a filter without an index looks at (DECISIONS 30).
const SCAN_ROWS: usize = 50_000;
/// How long it may look.
const SCAN_TIME: Duration = Duration::from_millis(2_000);

/// The columns of a [`Stored`].
pub(crate) const COLUMNS: &str =
    "r.seq, r.id, r.kind, r.name, r.active, r.doc, r.managed, r.version, r.rev, r.created_at, r.modified_at";

/// What a query found.
#[derive(Debug)]
pub struct Found {
    /// How many match in all.
    pub total: u64,
    /// The page.
    pub items: Vec<Stored>,
}

/// Where index walkers go on: (instance, kind, next startIndex) -> the last row of the page before
/// it. A walker then never misses or repeats a row that stays, and deep pages cost what the first does.
#[derive(Clone)]
pub struct Walks(Cache<(i64, String, u64), i64>);

impl Default for Walks {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(600)).build())
    }
}

/// Reads a [`Stored`].
pub(crate) fn stored(row: &QueryResult) -> Result<Stored, StoreError> {
    // By position, in the order of COLUMNS: lists read a hundred of these per request.
    let doc: String = row.at(5)?;
    Ok(Stored {
        seq: row.at(0)?,
        id: row.at(1)?,
        kind: row.at(2)?,
        name: row.at(3)?,
        active: row.at::<i16>(4)? == 1,
        doc: serde_json::from_str(&doc).map_err(|error| StoreError::damaged(format!("resource.doc: {error}")))?,
        managed: row.at::<i16>(6)? == 1,
        version: row.at(7)?,
        rev: row.at(8)?,
        created_at: row.at(9)?,
        modified_at: row.at(10)?,
    })
}

impl App {
    /// One resource by its id, or none. An account that nobody manages is seen by id unless the
    /// policy is to adopt none.
    ///
    /// # Errors
    /// The store's.
    pub async fn read(&self, instance: &Instance, rt: &ResourceType, id: &str) -> Result<Option<Stored>, StoreError> {
        let row = self
            .store
            .reader()
            .one(
                &format!("SELECT {COLUMNS} FROM resource r WHERE r.id = $1 AND r.instance_seq = $2 AND r.kind = $3 AND r.deleted_at IS NULL"),
                vals![id, instance.seq, rt.name.as_str()],
            )
            .await?;
        let found = row.as_ref().map(stored).transpose()?;
        Ok(found.filter(|item| item.managed || instance.adopts(&rt.name)))
    }

    /// The members of a group, as the directory wants them, oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn members_of(&self, group_seq: i64) -> Result<Vec<MemberEntry>, StoreError> {
        let rows = self
            .store
            .reader()
            .all(
                "SELECT u.id, u.name FROM member m JOIN resource u ON u.seq = m.user_seq \
                 WHERE m.group_seq = $1 AND m.want = 1 AND u.deleted_at IS NULL ORDER BY m.user_seq",
                vals![group_seq],
            )
            .await?;
        rows.iter().map(entry).collect()
    }

    /// The groups of users, by row of the user.
    ///
    /// # Errors
    /// The store's.
    pub async fn groups_of(&self, user_seqs: &[i64]) -> Result<HashMap<i64, Vec<MemberEntry>>, StoreError> {
        let mut groups: HashMap<i64, Vec<MemberEntry>> = HashMap::new();
        for chunk in user_seqs.chunks(500) {
            let places: Vec<String> = (1..=chunk.len()).map(|n| format!("${n}")).collect();
            let rows = self
                .store
                .reader()
                .all(
                    &format!(
                        "SELECT m.user_seq, g.id, g.name FROM member m JOIN resource g ON g.seq = m.group_seq \
                         WHERE m.user_seq IN ({}) AND m.want = 1 AND g.deleted_at IS NULL ORDER BY m.group_seq",
                        places.join(",")
                    ),
                    chunk.iter().map(|seq| Value::from(*seq)).collect(),
                )
                .await?;
            for row in &rows {
                groups.entry(row.col("user_seq")?).or_default().push(entry(row)?);
            }
        }
        Ok(groups)
    }

    /// Lists and filters.
    ///
    /// # Errors
    /// A filter that cannot be answered, or the store's.
    pub async fn query(&self, instance: &Instance, rt: &ResourceType, request: &ListRequest) -> Result<Found, Failure> {
        let count = request.count.unwrap_or(DEFAULT_PAGE).min(MAX_PAGE);
        if let Some(path) = &request.sort_by
            && rt.resolve(path).attribute().is_none()
        {
            return Err(ScimError::invalid_path(format!(
                "sortBy names {}, which {} does not have",
                path.attr, rt.name
            ))
            .into());
        }
        if let Some(filter) = &request.filter {
            scim::filter::check(filter, rt)?;
        } else if request.sort_by.is_none() {
            return Ok(self.page(instance, rt, request.start_index, count).await?);
        }
        let mut items = self.matching(instance, rt, request.filter.as_ref()).await?;
        if let Some(path) = &request.sort_by {
            let mut keyed: Vec<(Document, Stored)> = items.into_iter().map(|item| (whole(&item), item)).collect();
            keyed.sort_by(|(a, _), (b, _)| {
                let order = scim::sort::compare(rt, path, a, b);
                if request.sort_order == SortOrder::Descending { order.reverse() } else { order }
            });
            items = keyed.into_iter().map(|(_, item)| item).collect();
        }
        let total = items.len() as u64;
        let skip = usize::try_from(request.start_index.saturating_sub(1)).unwrap_or(usize::MAX);
        let take = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(Found { total, items: items.into_iter().skip(skip).take(take).collect() })
    }

    /// One page of everything that lists show, by seek.
    async fn page(&self, instance: &Instance, rt: &ResourceType, start: u64, count: u64) -> Result<Found, StoreError> {
        let reader = self.store.reader();
        let total: i64 = reader
            .one(
                "SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) AS n FROM tally WHERE instance_seq = $1 AND kind = $2",
                vals![instance.seq, rt.name.as_str()],
            )
            .await?
            .map_or(Ok(0), |row| row.col("n"))?;
        let total = u64::try_from(total).unwrap_or(0);
        if count == 0 || start > total {
            return Ok(Found { total, items: Vec::new() });
        }
        let known = self.walks.0.get(&(instance.seq, rt.name.clone(), start));
        let (after, skip) = match known {
            _ if start == 1 => (0, 0),
            Some(last) => (last, 0),
            None => (0, i64::try_from(start - 1).unwrap_or(i64::MAX)),
        };
        let rows = reader
            .all(
                &format!(
                    "SELECT {COLUMNS} FROM resource r WHERE r.instance_seq = $1 AND r.kind = $2 AND r.deleted_at IS NULL AND r.listed = 1 \
                     AND r.seq > $3 ORDER BY r.seq LIMIT $4 OFFSET $5"
                ),
                vals![instance.seq, rt.name.as_str(), after, i64::try_from(count).unwrap_or(i64::MAX), skip],
            )
            .await?;
        let items: Vec<Stored> = rows.iter().map(stored).collect::<Result<_, _>>()?;
        if let Some(last) = items.last() {
            self.walks.0.insert((instance.seq, rt.name.clone(), start + items.len() as u64), last.seq);
        }
        Ok(Found { total, items })
    }

    /// Everything that matches, oldest first. The best index picks candidates, the filter decides.
    async fn matching(
        &self,
        instance: &Instance,
        rt: &ResourceType,
        filter: Option<&Filter>,
    ) -> Result<Vec<Stored>, Failure> {
        let terms = filter.map(|filter| filter.index_terms(rt)).unwrap_or_default();
        let decided =
            filter.is_none_or(|filter| filter.terms_are_whole(rt) && terms.len() == 1 && is_indexed(&terms[0]));
        let source = Source::choose(instance, rt, &terms);
        let started = self.clock.now();
        let (members, groups) =
            filter.map_or((false, false), |filter| (mentions(filter, "members"), mentions(filter, "groups")));
        let mut items = Vec::new();
        let mut after = 0_i64;
        let mut looked = 0;
        loop {
            let rows = self.store.reader().all(&source.text, source.values(after)).await?;
            let full = rows.len() == source.batch;
            looked += rows.len();
            for row in &rows {
                let item = stored(row)?;
                after = item.seq;
                if decided {
                    items.push(item);
                    continue;
                }
                let Some(filter) = filter else { continue };
                let mut document = whole(&item);
                if members && rt.relation.as_deref() == Some("members") {
                    let list = self.member_values(&terms, &item).await?;
                    document.insert("members".to_owned(), list);
                }
                if groups && item.kind == "User" {
                    let list = self.groups_of(&[item.seq]).await?.remove(&item.seq).unwrap_or_default();
                    document.insert(
                        "groups".to_owned(),
                        list.iter().map(|group| json!({"value": group.id, "display": group.display})).collect(),
                    );
                }
                if filter.matches(rt, &document) {
                    items.push(item);
                }
            }
            if !full {
                return Ok(items);
            }
            let spent = Duration::try_from(self.clock.now().duration_since(started)).unwrap_or(Duration::ZERO);
            if !source.indexed && (looked >= SCAN_ROWS || spent >= SCAN_TIME) {
                return Err(ScimError::too_many(
                    "This filter would look at too many resources. Filter on userName, externalId, id, displayName, emails.value, \
                     members.value, active or meta.lastModified.",
                )
                .into());
            }
        }
    }

    /// The members a filter may look at: only those it names where it names them, so that "is X in
    /// this group" does not read the other members.
    async fn member_values(&self, terms: &[IndexTerm], group: &Stored) -> Result<serde_json::Value, StoreError> {
        let named: Vec<&String> =
            terms.iter().filter_map(|term| if let IndexTerm::Member(id) = term { Some(id) } else { None }).collect();
        if named.is_empty() {
            let members = self.members_of(group.seq).await?;
            return Ok(members.iter().map(|member| json!({"value": member.id, "display": member.display})).collect());
        }
        let mut list = Vec::new();
        for id in named {
            let row = self
                .store
                .reader()
                .one(
                    "SELECT u.id, u.name FROM resource u JOIN member m ON m.user_seq = u.seq \
                     WHERE u.id = $1 AND m.group_seq = $2 AND m.want = 1 AND u.deleted_at IS NULL",
                    vals![id.as_str(), group.seq],
                )
                .await?;
            if let Some(row) = row {
                let member = entry(&row)?;
                list.push(json!({"value": member.id, "display": member.display}));
            }
        }
        Ok(list.into())
    }

    /// How far a resource is from what is wanted: the body of the sync-status extension.
    ///
    /// # Errors
    /// The store's.
    pub async fn sync_of(&self, item: &Stored) -> Result<serde_json::Value, StoreError> {
        let reader = self.store.reader();
        let work =
            reader.one("SELECT state, need, reason, due_at FROM work WHERE resource_seq = $1", vals![item.seq]).await?;
        let mut status = Map::new();
        match work {
            None => {
                status.insert("state".into(), json!(if item.managed { "settled" } else { "unmanaged" }));
            }
            Some(row) => {
                status.insert("state".into(), json!(row.col::<String>("state")?));
                if let Some(reason) = row.col::<Option<String>>("reason")?.or(row.col::<Option<String>>("need")?) {
                    status.insert("reason".into(), json!(reason));
                }
            }
        }
        let column = if item.kind == "Group" { "group_seq" } else { "user_seq" };
        let parked = reader
            .one(
                &format!("SELECT COUNT(*) AS n FROM member WHERE {column} = $1 AND state = 'parked' AND want = 1"),
                vals![item.seq],
            )
            .await?
            .map_or(Ok(0), |row| row.col::<i64>("n"))?;
        status.insert("parkedMemberships".into(), json!(parked));
        Ok(serde_json::Value::Object(status))
    }
}

fn entry(row: &QueryResult) -> Result<MemberEntry, StoreError> {
    Ok(MemberEntry { id: row.col("id")?, display: row.col("name")? })
}

/// The document with what the store keeps beside it, for filters and sorting.
fn whole(item: &Stored) -> Document {
    let mut document = item.doc.clone();
    document.insert("id".to_owned(), json!(item.id));
    document.insert(
        "meta".to_owned(),
        json!({"resourceType": item.kind, "created": time(item.created_at), "lastModified": time(item.modified_at), "version": scim::etag::format(u64::try_from(item.version).unwrap_or(0))}),
    );
    document
}

/// RFC 3339 of a stored time, to the millisecond.
pub fn time(micros: i64) -> String {
    let at = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

fn is_indexed(term: &IndexTerm) -> bool {
    matches!(
        term,
        IndexTerm::Id(_) | IndexTerm::Name(_) | IndexTerm::ExternalId(_) | IndexTerm::Email(_) | IndexTerm::Member(_)
    )
}

fn mentions(filter: &Filter, attribute: &str) -> bool {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().any(|part| mentions(part, attribute)),
        Filter::Not(inner) => mentions(inner, attribute),
        Filter::Compare { path, .. } | Filter::Present(path) => path.attr.eq_ignore_ascii_case(attribute),
        Filter::ValuePath { attr, .. } => attr.attr.eq_ignore_ascii_case(attribute),
    }
}

/// Where candidates come from.
struct Source {
    text: String,
    fixed: Vec<Value>,
    batch: usize,
    indexed: bool,
}

impl Source {
    /// The most selective index that the filter's necessary terms allow.
    fn choose(instance: &Instance, rt: &ResourceType, terms: &[IndexTerm]) -> Self {
        let seen = if instance.adopts(&rt.name) { "" } else { " AND r.managed = 1" };
        let rank = |term: &IndexTerm| match term {
            IndexTerm::Id(_) => 0,
            IndexTerm::Name(_) => 1,
            IndexTerm::ExternalId(_) => 2,
            IndexTerm::Email(_) => 3,
            IndexTerm::Member(_) => 4,
            IndexTerm::ModifiedAfter { .. } => 5,
            _ => 9,
        };
        let base = vals![instance.seq, rt.name.as_str()];
        let best = terms.iter().min_by_key(|term| rank(term));
        let (from, condition, value, indexed) = match best {
            Some(IndexTerm::Id(id)) => ("resource r", format!("r.id = $3{seen}"), Some(Value::from(id.as_str())), true),
            Some(IndexTerm::Name(name)) => {
                ("resource r", format!("r.name_key = $3{seen}"), Some(Value::from(fold_name(name))), true)
            }
            Some(IndexTerm::ExternalId(id)) => {
                ("resource r", format!("r.external_id = $3{seen}"), Some(Value::from(id.as_str())), true)
            }
            Some(IndexTerm::Email(email)) => (
                "attr a JOIN resource r ON r.seq = a.resource_seq",
                format!("a.instance_seq = $1 AND a.path = 'emails.value' AND a.value_key = $3{seen}"),
                Some(Value::from(fold_text(email))),
                true,
            ),
            Some(IndexTerm::Member(id)) => (
                "resource u JOIN member m ON m.user_seq = u.seq JOIN resource r ON r.seq = m.group_seq",
                format!("u.id = $3 AND u.deleted_at IS NULL AND m.want = 1{seen}"),
                Some(Value::from(id.as_str())),
                true,
            ),
            Some(IndexTerm::ModifiedAfter { micros, .. }) => {
                ("resource r", "r.modified_at >= $3 AND r.listed = 1".to_owned(), Some(Value::from(*micros)), false)
            }
            Some(IndexTerm::Active(active)) => (
                "resource r",
                "r.active = $3 AND r.listed = 1".to_owned(),
                Some(Value::from(i16::from(*active))),
                false,
            ),
            _ => ("resource r", "r.listed = 1".to_owned(), None, false),
        };
        let mut fixed = base;
        fixed.extend(value);
        let place = fixed.len() + 1;
        let batch = 1_000;
        let text = format!(
            "SELECT {COLUMNS} FROM {from} WHERE r.instance_seq = $1 AND r.kind = $2 AND r.deleted_at IS NULL AND {condition} \
             AND r.seq > ${place} ORDER BY r.seq LIMIT {batch}"
        );
        Self { text, fixed, batch, indexed }
    }

    fn values(&self, after: i64) -> Vec<Value> {
        let mut values = self.fixed.clone();
        values.push(after.into());
        values
    }
}
