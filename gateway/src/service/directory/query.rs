//! Answering lists and filters.
//!
//! Three ways, the cheapest that can answer: a **walk** along an index that holds just what matches; a **scan** in
//! the order of an index, each document tried by the filter itself; and a **sort** by keys made of the documents.
//! What tries documents looks at so many and no more.

use std::collections::HashMap;
use std::time::Duration;

use moka::sync::Cache;
use scim::fold::fold_name;
use scim::list::ListRequest;
use scim::schema::ResourceType;
use scim::sort::Key;
use scim::{Document, Filter, ScimError};
use sea_orm::Value;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::cursor::{Position, query_of};
use super::plan::{Order, Reach, Sorting, Source};
use super::relation::Named;
use super::{COLUMNS, Listed, placeholders};
use crate::service::App;
use crate::service::types::{Failure, Instance};
use crate::store::{Rows, Sql, StoreError};

/// Documents that one request tries at most (DECISIONS 30).
const SCAN_ROWS: usize = 50_000;
/// The same for one page of a walk by cursor, which goes on from where it stopped.
const SCAN_PAGE: usize = 10_000;
/// How long it may try.
const SCAN_TIME: Duration = Duration::from_millis(2_000);
/// Documents read at a time.
const BATCH: u64 = 500;
/// What is counted, or sorted by the database, without a second thought.
const CHEAP: u64 = 10_000;

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// At a 1-based place.
    Index(u64),
    /// Behind a resource, or at the beginning.
    After(Option<Position>),
}

/// What a query found.
#[derive(Debug, Default)]
pub struct Found {
    /// How many match in all; none where a walk by cursor would have to look at too much for it.
    pub total: Option<u64>,
    /// The page.
    pub items: Vec<Listed>,
    /// For each of them, where the walk goes on behind it; only for walks by cursor.
    pub marks: Vec<Position>,
    /// Where the walk goes on, if it does. A page may be empty and yet not the last, where little matches.
    pub next: Option<Position>,
}

/// A query by its instance, resource type, and digest of filter and sorting.
type QueryKey = (i64, String, [u8; 32]);

/// What is remembered of queries for those who page by index.
#[derive(Clone)]
pub struct Walks {
    /// The next startIndex -> the end of the page before it. A walker then never misses or repeats a row that
    /// stays, and deep pages cost what the first does.
    ends: Cache<(QueryKey, u64), Position>,
    /// Large totals, which take a while to count: they may be half a minute old.
    totals: Cache<QueryKey, u64>,
}

impl Default for Walks {
    fn default() -> Self {
        Self {
            ends: Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(600)).build(),
            totals: Cache::builder().max_capacity(1_000).time_to_live(Duration::from_secs(30)).build(),
        }
    }
}

impl App {
    /// One page of what matches.
    ///
    /// # Errors
    /// A filter or sorting that cannot be answered, or the store's.
    pub async fn query(
        &self,
        instance: &Instance,
        rt: &ResourceType,
        request: &ListRequest,
        start: &Start,
        count: u64,
    ) -> Result<Found, Failure> {
        if let Some(path) = &request.sort_by
            && rt.resolve(path).attribute().is_none()
        {
            return Err(ScimError::invalid_path(format!(
                "sortBy names {}, which {} does not have",
                path.attr, rt.name
            ))
            .into());
        }
        let filter = request.filter.as_ref();
        if let Some(filter) = filter {
            scim::filter::check(filter, rt)?;
        }
        let mut source = Source::choose(instance, rt, filter);
        let sorting = Sorting::asked(rt, request.sort_by.as_ref(), request.sort_order)
            .unwrap_or(Sorting::Index(source.order, false));
        if let Sorting::Index(order, _) = &sorting
            && *order != source.order
            && source.reach == Reach::Wide
            && self.count(&source, Some(CHEAP)).await? > CHEAP
        {
            source = Source::all(instance, rt, false);
        }
        let digest = Sha256::digest(query_of(request)).into();
        let query = Query { app: self, instance, rt, filter, source, key: (instance.seq, rt.name.clone(), digest) };
        Ok(match sorting {
            Sorting::Index(order, descending) if query.source.decided => {
                query.walk(order, descending, start, count).await?
            }
            Sorting::Index(order, descending) => query.scan(order, descending, start, count).await?,
            Sorting::Keys(path, descending) => {
                let key = |document: &Document| scim::sort::key(rt, &path, document);
                query.sort(key, descending, start, count).await?
            }
        })
    }

    async fn count(&self, source: &Source, most: Option<u64>) -> Result<u64, StoreError> {
        let row = self.store.reader().one(&source.count(most), source.values()).await?;
        let n: i64 = row.map_or(Ok(0), |row| row.col("n"))?;
        Ok(u64::try_from(n).unwrap_or(0))
    }

    /// How many resources of a type lists show.
    async fn tally(&self, instance: &Instance, rt: &ResourceType) -> Result<u64, StoreError> {
        let text = "SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) AS n FROM tally WHERE instance_seq = $1 AND kind = $2";
        let row = self.store.reader().one(text, vals![instance.seq, rt.name.as_str()]).await?;
        let n: i64 = row.map_or(Ok(0), |row| row.col("n"))?;
        Ok(u64::try_from(n).unwrap_or(0))
    }
}

struct Query<'a> {
    app: &'a App,
    instance: &'a Instance,
    rt: &'a ResourceType,
    filter: Option<&'a Filter>,
    source: Source,
    key: QueryKey,
}

impl Query<'_> {
    /// Along an index that holds what matches and nothing else.
    async fn walk(&self, order: Order, descending: bool, start: &Start, count: u64) -> Result<Found, Failure> {
        let mut total = None;
        let (after, skip) = match start {
            Start::After(position) => (position.clone(), 0),
            Start::Index(1) => (None, 0),
            Start::Index(place) => {
                let all = self.total().await?;
                total = Some(all);
                match self.app.walks.ends.get(&(self.key.clone(), *place)) {
                    // Also beyond the total, where others were deleted since the walk began.
                    Some(position) => (Some(position), 0),
                    None if *place > all => return Ok(Found { total, ..Found::default() }),
                    None => (None, place - 1),
                }
            }
        };
        // One more than wanted tells whether there is more.
        let mut items = self.rows(order, descending, after.as_ref(), count + 1, skip).await?;
        let more = items.len() as u64 > count;
        items.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        let total = match start {
            _ if !more && after.is_none() && skip == 0 => Some(items.len() as u64),
            Start::Index(_) => Some(match total {
                Some(total) => total,
                None => self.total().await?,
            }),
            Start::After(_) if self.source.reach == Reach::All => Some(self.total().await?),
            Start::After(_) => Some(self.app.count(&self.source, Some(CHEAP)).await?).filter(|n| *n <= CHEAP),
        };
        let mut found = Found { total, ..Found::default() };
        match start {
            Start::Index(place) => {
                if let Some(last) = items.last() {
                    let next = (self.key.clone(), place + items.len() as u64);
                    self.app.walks.ends.insert(next, position(order, last));
                }
            }
            Start::After(_) => {
                found.marks = items.iter().map(|item| position(order, item)).collect();
                found.next = found.marks.last().filter(|_| more).cloned();
            }
        }
        found.items = items;
        Ok(found)
    }

    /// How many match, where the source decides.
    async fn total(&self) -> Result<u64, StoreError> {
        if self.source.reach == Reach::All {
            return self.app.tally(self.instance, self.rt).await;
        }
        if let Some(known) = self.app.walks.totals.get(&self.key) {
            return Ok(known);
        }
        let total = self.app.count(&self.source, None).await?;
        if total > CHEAP {
            self.app.walks.totals.insert(self.key.clone(), total);
        }
        Ok(total)
    }

    /// In the order of an index, each document tried.
    async fn scan(&self, order: Order, descending: bool, start: &Start, count: u64) -> Result<Found, Failure> {
        let (mut after, skip, most) = match start {
            Start::Index(place) => (None, place - 1, SCAN_ROWS),
            Start::After(position) => (position.clone(), 0, SCAN_PAGE),
        };
        let by_cursor = matches!(start, Start::After(_));
        let from_the_beginning = after.is_none();
        let mut found = Found::default();
        let mut total = 0_u64;
        let mut effort = Effort::begin(self.app, most);
        loop {
            let batch = self.rows(order, descending, after.as_ref(), BATCH, 0).await?;
            let full = batch.len() as u64 == BATCH;
            after = batch.last().map(|last| position(order, last)).or(after);
            for (item, _) in self.passing(batch, &mut effort).await? {
                total += 1;
                if by_cursor && found.items.len() as u64 == count {
                    found.next = found.marks.last().cloned();
                    return Ok(found);
                }
                if total > skip && (found.items.len() as u64) < count {
                    if by_cursor {
                        found.marks.push(position(order, &item));
                    }
                    found.items.push(item);
                }
            }
            if !full {
                found.total = (from_the_beginning || !by_cursor).then_some(total);
                return Ok(found);
            }
            if effort.is_spent() {
                if !by_cursor {
                    return Err(too_many().into());
                }
                found.next = after;
                return Ok(found);
            }
        }
    }

    /// By keys made of the documents. Keys are held for all that match, documents for the page.
    async fn sort(
        &self,
        key: impl Fn(&Document) -> Key,
        descending: bool,
        start: &Start,
        count: u64,
    ) -> Result<Found, Failure> {
        let mut keys: Vec<(Key, i64)> = Vec::new();
        let mut effort = Effort::begin(self.app, SCAN_ROWS);
        let mut after = None;
        loop {
            let batch = self.rows(self.source.order, false, after.as_ref(), BATCH, 0).await?;
            let full = batch.len() as u64 == BATCH;
            after = batch.last().map(|last| position(self.source.order, last)).or(after);
            let passing = self.passing(batch, &mut effort).await?;
            keys.extend(passing.iter().map(|(item, document)| (key(document), item.seq)));
            if !full {
                break;
            }
            if effort.is_spent() {
                return Err(too_many().into());
            }
        }
        keys.sort_unstable();
        if descending {
            keys.reverse();
        }
        let from = match start {
            Start::Index(place) => usize::try_from(place - 1).unwrap_or(usize::MAX),
            Start::After(None) => 0,
            Start::After(Some(position)) => keys.partition_point(|(key, tie)| {
                let order = (key, *tie).cmp(&(&position.key, position.tie));
                if descending { order.is_ge() } else { order.is_le() }
            }),
        };
        let total = Some(keys.len() as u64);
        let take = usize::try_from(count).unwrap_or(usize::MAX);
        let more = keys.len().saturating_sub(from) > take;
        let page: Vec<(Key, i64)> = keys.into_iter().skip(from).take(take).collect();
        let seqs: Vec<i64> = page.iter().map(|(_, seq)| *seq).collect();
        let mut rows = self.app.listed(&seqs).await?;
        let mut found = Found { total, ..Found::default() };
        let by_cursor = matches!(start, Start::After(_));
        for (key, seq) in page {
            let mark = Position { key, tie: seq };
            found.next = (by_cursor && more).then(|| mark.clone());
            // One that was deleted in between is not there any more.
            if let Some(item) = rows.remove(&seq) {
                found.items.push(item);
                if by_cursor {
                    found.marks.push(mark);
                }
            }
        }
        Ok(found)
    }

    async fn rows(
        &self,
        order: Order,
        descending: bool,
        after: Option<&Position>,
        limit: u64,
        skip: u64,
    ) -> Result<Vec<Listed>, StoreError> {
        let mut values = self.source.values();
        if let Some(position) = after {
            match (&position.key, order) {
                (Key::Text(text), Order::Name) => values.push(text.as_str().into()),
                (Key::Integer(number), Order::Modified) => values.push((*number).into()),
                (Key::Absent, Order::Created) => {}
                _ => return Err(StoreError::Other("a position of another order".to_owned())),
            }
            values.push(position.tie.into());
        }
        let text = self.source.rows(order, descending, after.is_some(), limit, skip);
        self.app.store.reader().all(&text, values).await?.iter().map(Listed::read).collect()
    }

    /// Those that pass the filter, with their documents.
    async fn passing(
        &self,
        batch: Vec<Listed>,
        effort: &mut Effort<'_>,
    ) -> Result<Vec<(Listed, Document)>, StoreError> {
        effort.looked += batch.len();
        let seqs: Vec<i64> = batch.iter().map(|item| item.seq).collect();
        let filter = self.filter.filter(|_| !self.source.decided);
        let members = match filter {
            Some(filter) => Named::by(filter, self.rt),
            None => Named::None,
        };
        let mut groups = match filter {
            Some(filter) if shows_groups(self.rt) && mentions(filter, "groups") => self.app.groups_of(&seqs).await?,
            _ => HashMap::new(),
        };
        let mut passing = Vec::new();
        for item in batch {
            let mut document = item.whole(self.rt)?;
            let Some(filter) = filter else {
                passing.push((item, document));
                continue;
            };
            if let Some(relation) = &self.rt.relation
                && let Some(list) = self.app.named_members(item.seq, &members).await?
            {
                effort.looked += list.len();
                document.insert(relation.clone(), list.into());
            }
            if let Some(groups) = groups.remove(&item.seq) {
                let list = groups.iter().map(|g| json!({"value": g.id, "display": g.display, "type": "direct"}));
                document.insert("groups".to_owned(), list.collect());
            }
            self.put_addresses(filter, &item.id, &mut document);
            if filter.matches(self.rt, &document) {
                passing.push((item, document));
            }
        }
        Ok(passing)
    }

    /// Puts in what a filter may ask and no row holds: `schemas`, `meta.location`, and every `$ref`.
    fn put_addresses(&self, filter: &Filter, id: &str, document: &mut Document) {
        let base = self.app.scim_base_url(&self.instance.id);
        if mentions(filter, "schemas") {
            let schemas = scim::resource::schemas_of(self.rt, document);
            document.insert("schemas".to_owned(), schemas.into());
        }
        if mentions(filter, "meta")
            && let Some(meta) = document.get_mut("meta").and_then(serde_json::Value::as_object_mut)
        {
            meta.insert("location".to_owned(), format!("{base}/{}/{id}", self.rt.endpoint).into());
        }
        for (name, endpoint) in [("members", "Users"), ("groups", "Groups")] {
            if !mentions(filter, name) {
                continue;
            }
            let elements = document.get_mut(name).and_then(serde_json::Value::as_array_mut).into_iter().flatten();
            for element in elements.filter_map(serde_json::Value::as_object_mut) {
                let address = element
                    .get("value")
                    .and_then(serde_json::Value::as_str)
                    .map(|id| format!("{base}/{endpoint}/{id}"));
                element.extend(address.map(|address| ("$ref".to_owned(), address.into())));
            }
        }
    }
}

impl App {
    /// Rows by their numbers.
    async fn listed(&self, seqs: &[i64]) -> Result<HashMap<i64, Listed>, StoreError> {
        let mut found = HashMap::with_capacity(seqs.len());
        for chunk in seqs.chunks(500) {
            let text = format!(
                "SELECT {COLUMNS} FROM resource r WHERE r.seq IN ({}) AND r.deleted_at IS NULL",
                placeholders(chunk.len())
            );
            let rows = self.store.reader().all(&text, chunk.iter().map(|seq| Value::from(*seq)).collect()).await?;
            for row in &rows {
                let item = Listed::read(row)?;
                found.insert(item.seq, item);
            }
        }
        Ok(found)
    }
}

/// Where a walk goes on behind a resource.
fn position(order: Order, item: &Listed) -> Position {
    match order {
        Order::Created => Position { key: Key::Absent, tie: item.seq },
        Order::Modified => Position { key: Key::Integer(item.modified_at), tie: item.seq },
        Order::Name => Position { key: Key::Text(fold_name(&item.name)), tie: if item.managed { 0 } else { item.seq } },
    }
}

/// What was looked at, and for how long.
struct Effort<'a> {
    app: &'a App,
    began: jiff::Timestamp,
    looked: usize,
    most: usize,
}

impl<'a> Effort<'a> {
    fn begin(app: &'a App, most: usize) -> Self {
        Self { app, began: app.clock.now(), looked: 0, most }
    }

    fn is_spent(&self) -> bool {
        let spent = Duration::try_from(self.app.clock.now().duration_since(self.began)).unwrap_or(Duration::ZERO);
        self.looked >= self.most || spent >= SCAN_TIME
    }
}

fn too_many() -> ScimError {
    ScimError::too_many(
        "This filter or sorting would look at too many resources. Filter on userName, externalId, id, displayName, emails.value, \
         members.value, active or meta.lastModified, sort by userName or meta.lastModified, or page by cursor.",
    )
}

fn shows_groups(rt: &ResourceType) -> bool {
    rt.schema.id == scim::urn::USER
}

fn mentions(filter: &Filter, attribute: &str) -> bool {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().any(|part| mentions(part, attribute)),
        Filter::Not(inner) => mentions(inner, attribute),
        Filter::Compare { path, .. } | Filter::Present(path) => path.attr.eq_ignore_ascii_case(attribute),
        Filter::ValuePath { attr, .. } => attr.attr.eq_ignore_ascii_case(attribute),
    }
}
