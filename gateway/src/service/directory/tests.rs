//! What the store answers, against the filter itself; and which indexes answer it. On both databases.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use scim::filter::FilterLimits;
use scim::fold::fold_name;
use scim::list::{ListRequest, SortOrder};
use scim::path::AttrPath;
use scim::{Filter, Quirks};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use super::plan::{Order, Sorting, Source};
use super::*;
use crate::service::accept::{index, tally};
use crate::service::fixture::{Statements, apps, instance};
use crate::service::types::Failure;
use crate::store::{Priority, Tx, Unit};

const USERS: usize = 120;
const GROUPS: usize = 20;
const FILTERS: usize = 240;

/// One resource to be stored.
#[derive(Clone, Debug)]
struct Row {
    kind: &'static str,
    doc: Value,
    modified_at: i64,
    members: Vec<usize>,
}

/// Stores rows as the acceptance of a change does, at once.
struct Furnish(Vec<Row>);

#[async_trait]
impl Unit for Furnish {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        tx.conn.run(INSTANCE, vals![]).await?;
        for (n, row) in self.0.iter().enumerate() {
            let seq = seq_of(n);
            let doc = row.doc.as_object().unwrap();
            let name = doc[if row.kind == "User" { "userName" } else { "displayName" }].as_str().unwrap();
            tx.conn
                .run(
                    "INSERT INTO resource (seq, instance_seq, kind, id, name, name_key, name_slot, external_id, active, doc, managed, listed, version, rev, \
                     settled_rev, created_at, modified_at) VALUES ($1,1,$2,$3,$4,$5,0,$6,$7,$8,1,1,1,1,0,$9,$10)",
                    vals![
                        seq,
                        row.kind,
                        id_of(n),
                        name,
                        fold_name(name),
                        doc.get("externalId").and_then(Value::as_str).map(str::to_owned),
                        i16::from(doc.get("active") != Some(&json!(false))),
                        row.doc.to_string(),
                        seq,
                        row.modified_at
                    ],
                )
                .await?;
            index(tx, 1, seq, doc).await?;
            tally(tx, 1, row.kind, seq, 1).await?;
            for member in &row.members {
                let text = "INSERT INTO member (group_seq, user_seq, want, asserted, state) VALUES ($1,$2,$3,1,'todo')";
                // Every seventh is about to leave, and no member any more.
                tx.conn.run(text, vals![seq, seq_of(*member), i16::from(!member.is_multiple_of(7))]).await?;
            }
        }
        Ok(())
    }
}

const INSTANCE: &str = "INSERT INTO instance (seq, id, name, connector, mode, settings, policy, config_rev, driver_key, created_at) \
     VALUES (1, 'in_1', 'Acme', 'buildkite', 'paused', '{}', '{}', 1, 'k', 0)";

fn seq_of(n: usize) -> i64 {
    i64::try_from(n).unwrap() + 1
}

fn id_of(n: usize) -> String {
    format!("id-{n}")
}

const WORDS: [&str; 10] = ["a", "A", "ab", "b", "Bc", "\u{c4}b", "\u{e4}B", "", "c d", "zz"];
const TIMES: [&str; 6] = [
    "2026-01-01T00:00:00.001Z",
    "2026-01-01T00:00:00.003Z",
    "2026-01-01T01:00:00.0035+01:00",
    "2026-01-01T00:00:00.0040000001Z",
    "2025-12-31T23:00:00Z",
    "2026-01-01T00:00:00.008Z",
];
/// The instant of [`TIMES`], in microseconds.
const BEGIN: i64 = 1_767_225_600_000_000;

fn users() -> impl Strategy<Value = Vec<Row>> {
    let word = || select(&WORDS[..]);
    let some = || prop::option::of(word());
    let emails = prop::collection::vec((word(), select(&["work", "home"][..]), any::<bool>()), 0..3);
    let one =
        (word(), (some(), some(), some(), some()), emails, any::<bool>(), 0_i64..10_000, prop::option::of(0_i64..3));
    prop::collection::vec(one, USERS).prop_map(|all| {
        let user = |(n, (word, (external, display, family, department), emails, active, at, level)): (usize, _)| {
            let (word, external, display, family, department): (
                &str,
                Option<&str>,
                Option<&str>,
                Option<&str>,
                Option<&str>,
            ) = (word, external, display, family, department);
            let emails: Vec<(&str, &str, bool)> = emails;
            let level: Option<i64> = level;
            let mut doc = json!({"userName": format!("{word}{n}"), "active": active});
            let mut put = |path: &str, value: Option<Value>| {
                if let Some(value) = value {
                    doc[path] = value;
                }
            };
            put("externalId", external.map(|v| json!(v)));
            put("displayName", display.map(|v| json!(v)));
            put("name", family.map(|v| json!({"familyName": v})));
            put("title", level.map(|v| json!(format!("level {v}"))));
            put(
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
                department.map(|v| json!({"department": v})),
            );
            if !emails.is_empty() {
                doc["emails"] = emails
                    .iter()
                    .map(|(value, kind, primary)| json!({"value": value, "type": kind, "primary": primary}))
                    .collect();
            }
            Row { kind: "User", doc, modified_at: BEGIN + at, members: Vec::new() }
        };
        all.into_iter().enumerate().map(user).collect()
    })
}

/// Name, external id, members and last change of a group.
type Drawn = (&'static str, Option<&'static str>, std::collections::BTreeSet<usize>, i64);

fn groups() -> impl Strategy<Value = Vec<Row>> {
    let members = prop::collection::btree_set(0..USERS, 0..12);
    let one = (select(&WORDS[..]), prop::option::of(select(&WORDS[..])), members, 0_i64..10_000);
    prop::collection::vec(one, GROUPS).prop_map(|all| {
        let group = |(n, (word, external, members, at)): (usize, Drawn)| {
            let mut doc = json!({"displayName": format!("{word}{n}")});
            if let Some(external) = external {
                doc["externalId"] = json!(external);
            }
            Row { kind: "Group", doc, modified_at: BEGIN + at, members: members.into_iter().collect() }
        };
        all.into_iter().enumerate().map(group).collect()
    })
}

/// Filters as clients write them; the attributes that have an index more often than the others.
fn filter(kind: &'static str) -> impl Strategy<Value = String> {
    let word = || select(&WORDS[..]).prop_map(|word| json!(word).to_string());
    let any_op = || select(&["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "EQ"][..]);
    let text = |names: Vec<&'static str>| {
        (select(names), any_op(), word()).prop_map(|(name, op, word)| format!("{name} {op} {word}"))
    };
    let equal = |names: Vec<&'static str>| (select(names), word()).prop_map(|(name, word)| format!("{name} eq {word}"));
    let name = if kind == "User" { "userName" } else { "displayName" };
    let named = (0..USERS, select(&WORDS[..]), select(&["eq", "sw", "ne"][..]))
        .prop_map(move |(n, word, op)| format!("{name} {op} {}", json!(format!("{word}{n}"))));
    let ids =
        (0..USERS + GROUPS, select(&["eq", "ne", "eq"][..])).prop_map(|(n, op)| format!("id {op} \"{}\"", id_of(n)));
    let time = (select(&["gt", "ge", "lt", "le", "eq", "ne"][..]), select(&TIMES[..]))
        .prop_map(|(op, at)| format!("meta.lastModified {op} \"{at}\""));
    let present = |names: Vec<&'static str>| select(names).prop_map(|name| format!("{name} pr"));
    let leaf = if kind == "User" {
        let relation = (USERS..USERS + GROUPS, select(&["eq", "ne"][..]))
            .prop_map(|(n, op)| format!("groups.value {op} \"{}\"", id_of(n)));
        let active = (select(&["eq", "ne"][..]), any::<bool>()).prop_map(|(op, b)| format!("active {op} {b}"));
        let inner = (select(&["work", "home"][..]), word())
            .prop_map(|(kind, word)| format!("emails[type eq \"{kind}\" and value eq {word}]"));
        let sub = (select(&["work", "home"][..]), any_op(), word())
            .prop_map(|(kind, op, word)| format!("emails[type eq \"{kind}\"].value {op} {word}"));
        prop_oneof![
            3 => named, 2 => ids, 3 => time, 2 => relation, 3 => active, 2 => inner, 2 => sub,
            3 => equal(vec!["externalId", "emails.value", "emails", "displayName"]),
            3 => text(vec!["userName", "externalId", "displayName", "emails.value", "name.familyName", "title",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "nickName"]),
            1 => present(vec!["userName", "id", "title", "emails", "groups", "name.familyName", "nonsense"]),
        ]
        .boxed()
    } else {
        let member =
            (0..USERS, select(&["eq", "ne"][..])).prop_map(|(n, op)| format!("members.value {op} \"{}\"", id_of(n)));
        let inner = (0..USERS).prop_map(|n| format!("members[value eq \"{}\" and type eq \"User\"]", id_of(n)));
        prop_oneof![
            3 => named, 2 => ids, 3 => time, 4 => member, 2 => inner,
            3 => text(vec!["displayName", "externalId", "members.display"]),
            1 => present(vec!["members", "externalId", "displayName"]),
        ]
        .boxed()
    };
    let same = (select(vec!["externalId", "emails.value", "displayName"]), prop::collection::vec(word(), 2..4))
        .prop_map(|(name, words)| {
            let parts: Vec<String> = words.iter().map(|word| format!("{name} eq {word}")).collect();
            format!("({})", parts.join(" or "))
        });
    prop_oneof![8 => leaf, 1 => same].prop_recursive(3, 8, 3, |inner| {
        let some = prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            3 => some.clone().prop_map(|parts| format!("({})", parts.join(" and "))),
            2 => some.prop_map(|parts| format!("({})", parts.join(" or "))),
            1 => inner.prop_map(|part| format!("not ({part})")),
        ]
    })
}

fn sorts(kind: &'static str) -> impl Strategy<Value = Option<(&'static str, SortOrder)>> {
    let names = if kind == "User" {
        vec![
            "userName",
            "meta.lastModified",
            "displayName",
            "active",
            "emails",
            "name.familyName",
            "meta.created",
            "title",
        ]
    } else {
        vec!["displayName", "meta.lastModified", "externalId", "id"]
    };
    prop::option::of((select(names), select(vec![SortOrder::Ascending, SortOrder::Descending])))
}

fn draw<T: std::fmt::Debug>(runner: &mut TestRunner, strategy: impl Strategy<Value = T>) -> T {
    strategy.new_tree(runner).unwrap().current()
}

/// What there is, as the filter sees it.
struct Oracle {
    rows: Vec<Row>,
    kind: &'static str,
    documents: Vec<(usize, Document)>,
}

impl Oracle {
    fn of(rows: &[Row], kind: &'static str) -> Self {
        let is_member = |member: &usize| !member.is_multiple_of(7);
        let mut groups: HashMap<usize, Vec<Value>> = HashMap::new();
        for (n, row) in rows.iter().enumerate() {
            for member in row.members.iter().filter(|member| is_member(member)) {
                let group = json!({"value": id_of(n), "display": row.doc["displayName"], "type": "direct"});
                groups.entry(*member).or_default().push(group);
            }
        }
        let rt = if kind == "User" { "userName" } else { "displayName" };
        let document = |(n, row): (usize, &Row)| {
            let mut document = row.doc.as_object().unwrap().clone();
            let meta = json!({"resourceType": kind, "created": time(seq_of(n)), "lastModified": time(row.modified_at)});
            document.insert("meta".to_owned(), meta);
            document.insert("id".to_owned(), json!(id_of(n)));
            if kind == "Group" {
                let element =
                    |m: &usize| json!({"value": id_of(*m), "display": rows[*m].doc["userName"], "type": "User"});
                let members: Vec<Value> = row.members.iter().filter(|m| is_member(m)).map(element).collect();
                document.insert("members".to_owned(), members.into());
            } else if let Some(groups) = groups.get(&n) {
                document.insert("groups".to_owned(), groups.clone().into());
            }
            assert!(document.contains_key(rt));
            (n, document)
        };
        let documents = rows.iter().enumerate().filter(|(_, row)| row.kind == kind).map(document).collect();
        Self { rows: rows.to_vec(), kind, documents }
    }

    /// The ids that match, in the order that is promised.
    fn answer(&self, rt: &ResourceType, request: &ListRequest, order: Order) -> Vec<String> {
        let passes = |document: &Document| request.filter.as_ref().is_none_or(|filter| filter.matches(rt, document));
        let mut found: Vec<&(usize, Document)> =
            self.documents.iter().filter(|(_, document)| passes(document)).collect();
        let asked = Sorting::asked(rt, request.sort_by.as_ref(), request.sort_order);
        let name = |n: usize| {
            fold_name(self.rows[n].doc[if self.kind == "User" { "userName" } else { "displayName" }].as_str().unwrap())
        };
        let by = |order: Order, a: usize, b: usize| match order {
            Order::Created => a.cmp(&b),
            Order::Name => name(a).cmp(&name(b)),
            Order::Modified => (self.rows[a].modified_at, a).cmp(&(self.rows[b].modified_at, b)),
        };
        let descending = request.sort_order == SortOrder::Descending && asked.is_some();
        found.sort_by(|(a, x), (b, y)| match &asked {
            Some(Sorting::Keys(path, _)) => scim::sort::compare(rt, path, x, y).then(a.cmp(b)),
            Some(Sorting::Index(order, _)) => by(*order, *a, *b),
            None => by(order, *a, *b),
        });
        if descending {
            found.reverse();
        }
        found.iter().map(|(n, _)| id_of(*n)).collect()
    }
}

async fn pages(
    app: &App,
    instance: &Instance,
    rt: &ResourceType,
    request: &ListRequest,
    size: u64,
) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::new();
    loop {
        let start = Start::Index(ids.len() as u64 + 1);
        let found = app.query(instance, rt, request, &start, size).await?;
        if found.items.is_empty() {
            assert_eq!(found.total, Some(ids.len() as u64));
            return Ok(ids);
        }
        ids.extend(found.items.into_iter().map(|item| item.id));
    }
}

async fn walk(
    app: &App,
    instance: &Instance,
    rt: &ResourceType,
    request: &ListRequest,
    size: u64,
) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::new();
    let mut after = None;
    loop {
        let found = app.query(instance, rt, request, &Start::After(after), size).await?;
        assert!(found.items.len() as u64 <= size && found.marks.len() == found.items.len());
        ids.extend(found.items.into_iter().map(|item| item.id));
        after = found.next;
        if after.is_none() {
            return Ok(ids);
        }
    }
}

/// Checklist 86, 91 to 95, 98 to 101, 106: the store's answer is the filter's, in the same order, by index and by
/// cursor, on both databases.
#[tokio::test(flavor = "multi_thread")]
async fn the_store_answers_as_the_filter_does() {
    let mut runner = TestRunner::deterministic();
    let mut rows = draw(&mut runner, users());
    rows.extend(draw(&mut runner, groups()));
    let mut requests = Vec::new();
    for n in 0..FILTERS {
        let kind = if n % 3 == 0 { "Group" } else { "User" };
        let text = draw(&mut runner, prop::option::weighted(0.95, filter(kind)));
        let sort = draw(&mut runner, sorts(kind));
        let parse = |text: &String| Filter::parse(text, &FilterLimits::default(), &mut Quirks::lenient()).unwrap();
        let request = ListRequest {
            filter: text.as_ref().map(parse),
            sort_by: sort.map(|(path, _)| AttrPath::parse(path).unwrap()),
            sort_order: sort.map_or(SortOrder::Ascending, |(_, order)| order),
            ..ListRequest::default()
        };
        requests.push((kind, text, request));
    }
    let instance = instance(1);
    for (app, _folder) in apps().await {
        app.store.write(Priority::Request, Furnish(rows.clone())).await.unwrap();
        let oracles = [Oracle::of(&rows, "User"), Oracle::of(&rows, "Group")];
        let mut matches = BTreeMap::new();
        for (kind, text, request) in &requests {
            let rt = instance.registry.resource_type(kind).unwrap();
            let oracle = &oracles[usize::from(*kind == "Group")];
            let order = Source::choose(&instance, rt, request.filter.as_ref()).order;
            match pages(&app, &instance, rt, request, 50).await {
                Err(Failure::Scim(error)) => {
                    // Some operators make no sense for some attributes; that is said before anything is read.
                    assert_eq!(error.status, 400, "{text:?}");
                    *matches.entry("refused").or_insert(0) += 1;
                }
                Err(other) => panic!("{text:?}: {other}"),
                Ok(ids) => {
                    let wanted = oracle.answer(rt, request, order);
                    assert_eq!(ids, wanted, "{text:?} {request:?}");
                    let walked = walk(&app, &instance, rt, request, 9).await.unwrap();
                    assert_eq!(walked, wanted, "by cursor: {text:?} {request:?}");
                    *matches.entry(if wanted.is_empty() { "none" } else { "some" }).or_insert(0) += 1;
                }
            }
        }
        // The generator must not have drifted into filters that say nothing.
        assert!(matches.get("some").is_some_and(|n| *n > FILTERS / 3), "{matches:?}");
    }
}

/// Filters that have to be answered through an index, with the index on each database.
const INDEXED: [(&str, &str, &str, &str); 12] = [
    ("User", r#"id eq "x77""#, "sqlite_autoindex_resource_2", "resource_id_key"),
    ("User", r#"userName eq "U77""#, "resource_name", "resource_name"),
    ("User", r#"userName sw "u77""#, "resource_name", "resource_name"),
    ("User", r#"externalId eq "e77""#, "resource_external", "resource_external"),
    ("User", r#"displayName eq "D77""#, "sqlite_autoindex_attr_1", "attr_pkey"),
    ("User", r#"emails.value eq "m77""#, "sqlite_autoindex_attr_1", "attr_pkey"),
    ("User", r#"emails[type eq "work" and value eq "m77"]"#, "sqlite_autoindex_attr_1", "attr_pkey"),
    ("User", r#"userName eq "a" or userName eq "b""#, "resource_name", "resource_name"),
    ("User", "active eq false", "resource_active", "resource_active"),
    ("User", r#"meta.lastModified gt "1970-01-01T00:00:19.900Z""#, "resource_modified", "resource_modified"),
    ("Group", r#"displayName eq "G3""#, "resource_name", "resource_name"),
    ("Group", r#"members.value eq "x77""#, "member_user", "member_user"),
];

/// Twenty thousand users, made by the database itself; one in a hundred is inactive. A group has them all.
const MANY: &[&str] = &[
    INSTANCE,
    "INSERT INTO resource (seq, instance_seq, kind, id, name, name_key, name_slot, external_id, active, doc, managed, listed, version, rev, settled_rev, created_at, modified_at) \
     SELECT i, 1, 'User', 'x' || i, 'u' || i, 'u' || i, 0, 'e' || i, CASE WHEN i % 100 = 0 THEN 0 ELSE 1 END, '{}', 1, 1, 1, 1, 0, i, i * 1000 \
     FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n) s",
    "INSERT INTO attr SELECT 1, 'emails.value', 'm' || seq, seq FROM resource",
    "INSERT INTO attr SELECT 1, 'displayName', 'd' || seq, seq FROM resource",
    "INSERT INTO resource (seq, instance_seq, kind, id, name, name_key, name_slot, active, doc, managed, listed, version, rev, settled_rev, created_at, modified_at) \
     SELECT 30000 + i, 1, 'Group', 'g' || i, 'g' || i, 'g' || i, 0, 1, '{}', 1, 1, 1, 1, 0, i, i \
     FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) SELECT i FROM n) s",
    "INSERT INTO member (group_seq, user_seq, want, asserted, state) SELECT 30001, seq, 1, 1, 'todo' FROM resource WHERE kind = 'User'",
];

fn statements(texts: &[&str]) -> Statements {
    Statements(texts.iter().map(|text| (*text).to_owned()).collect())
}

async fn explain(app: &App, text: &str, values: Vec<sea_orm::Value>) -> String {
    let word = if app.store.is_shared() { "EXPLAIN " } else { "EXPLAIN QUERY PLAN " };
    let place = if app.store.is_shared() { 0 } else { 3 };
    let rows = app.store.reader().all(&format!("{word}{text}"), values).await.unwrap();
    rows.iter().map(|row| row.at::<String>(place).unwrap()).collect::<Vec<_>>().join("\n")
}

/// Checklist 98 and RFC 9865 at scale: what clients filter by is found through an index, and a page behind a
/// position is reached through it too, without sorting and without reading what comes before.
#[tokio::test(flavor = "multi_thread")]
async fn filters_and_walks_use_their_indexes() {
    let instance = instance(1);
    for (app, _folder) in apps().await {
        app.store.write(Priority::Request, statements(MANY)).await.unwrap();
        app.store.reader().execute_unprepared("ANALYZE").await.ok();
        let shared = app.store.is_shared();
        let check = async |what: &str, text: &str, values: Vec<sea_orm::Value>, index: &str, walks: bool| {
            let plan = explain(&app, text, values).await;
            assert!(plan.contains(index), "{what}: {index} is not used:\n{plan}\n{text}");
            let whole = if shared { plan.contains("Seq Scan") } else { plan.contains("SCAN r") };
            assert!(!whole, "{what}: reads the whole table:\n{plan}");
            let sorted = if shared {
                plan.contains("Sort") && !plan.contains("Presorted")
            } else {
                plan.contains("TEMP B-TREE")
            };
            assert!(!walks || !sorted, "{what}: sorts:\n{plan}\n{text}");
        };
        for (kind, text, sqlite, postgres) in INDEXED {
            let rt = instance.registry.resource_type(kind).unwrap();
            let filter = Filter::parse(text, &FilterLimits::default(), &mut Quirks::strict()).unwrap();
            let source = Source::choose(&instance, rt, Some(&filter));
            let index = if shared { postgres } else { sqlite };
            let walks = !matches!(source.reach, super::plan::Reach::Few);
            for behind in [false, true] {
                let mut values = source.values();
                if behind {
                    match source.order {
                        Order::Name => values.push("u771".into()),
                        Order::Modified => values.push(19_950_000_i64.into()),
                        Order::Created => {}
                    }
                    values.push(70_i64.into());
                }
                check(text, &source.rows(source.order, false, behind, 101, 0), values, index, walks).await;
            }
            check(text, &source.count(None), source.values(), index, false).await;
        }
        let rt = instance.registry.user().unwrap();
        let all = Source::all(&instance, rt, true);
        for (order, index, key) in [
            // With one instance in the table PostgreSQL may take the primary key as well: it has the same order.
            (Order::Created, if shared { "resource_p" } else { "resource_page" }, None),
            (Order::Name, "resource_name", Some(sea_orm::Value::from("u5"))),
            (Order::Modified, "resource_modified", Some(sea_orm::Value::from(500_i64))),
        ] {
            for (behind, descending) in [(false, false), (true, false), (false, true), (true, true)] {
                let mut values = all.values();
                if behind {
                    values.extend(key.clone());
                    values.push(10_000_i64.into());
                }
                let text = all.rows(order, descending, behind, 101, 0);
                check(&format!("{order:?}"), &text, values, index, true).await;
            }
        }
    }
}

/// A filter that no index answers is refused beyond its bound where pages go by index, and goes on page by page by
/// cursor; checklist 115, 158.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_index_answers_is_bounded() {
    let instance = instance(1);
    let (app, _folder) = apps().await.remove(0);
    app.store.write(Priority::Request, statements(MANY)).await.unwrap();
    let more = "INSERT INTO resource (seq, instance_seq, kind, id, name, name_key, name_slot, external_id, active, doc, managed, listed, version, rev, settled_rev, created_at, modified_at) \
        SELECT 100000 + i, 1, 'User', 'y' || i, 'v' || i, 'v' || i, 0, NULL, 1, '{\"title\":\"late\"}', 1, 1, 1, 1, 0, i, i \
        FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000) SELECT i FROM n) s";
    app.store.write(Priority::Request, statements(&[more])).await.unwrap();
    let rt = instance.registry.user().unwrap();
    let filter = Filter::parse(r#"title eq "late""#, &FilterLimits::default(), &mut Quirks::strict()).unwrap();
    let request = ListRequest { filter: Some(filter), ..ListRequest::default() };
    let refused = app.query(&instance, rt, &request, &Start::Index(1), 10).await;
    assert!(
        matches!(&refused, Err(Failure::Scim(error)) if error.scim_type == Some(scim::ScimType::TooMany)),
        "{refused:?}"
    );
    let (mut after, mut seen, mut empty) = (None, 0, 0);
    loop {
        let found = app.query(&instance, rt, &request, &Start::After(after), 1_000).await.unwrap();
        seen += found.items.len();
        empty += usize::from(found.items.is_empty());
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, 40_000);
    assert!(empty > 0, "the first twenty thousand match nothing");
}

#[test]
fn cursors_open_for_their_own_query_and_time() {
    let ring = |text: &str| crate::secrets::KeyRing::from_text(&text.to_owned().into()).unwrap();
    let (first, second) =
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
    let old = ring(first);
    let mark =
        Mark { kind: "User".into(), after: Some(Position { key: scim::sort::Key::Text("Zo\u{eb}".into()), tie: 7 }) };
    let request = ListRequest::default();
    let own = cursor::binding("in_1", "Users", &request);
    let sealed = cursor::seal(&old, &own, mark.clone(), 1_000);
    assert!(sealed.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)), "{sealed}");
    assert_eq!(cursor::open(&old, &own, &sealed, 1_000).unwrap(), mark);
    // A key that was rotated still opens what it sealed.
    assert_eq!(cursor::open(&ring(&format!("{second},{first}")), &own, &sealed, 1_000).unwrap(), mark);
    let kind = |ring: &crate::secrets::KeyRing, binding: &str, text: &str, now: i64| {
        cursor::open(ring, binding, text, now).unwrap_err().scim_type.unwrap()
    };
    let day = i64::try_from(CURSOR_TIMEOUT).unwrap();
    assert!(cursor::open(&old, &own, &sealed, 1_000 + day).is_ok());
    assert_eq!(kind(&old, &own, &sealed, 1_001 + day), scim::ScimType::ExpiredCursor);
    assert_eq!(kind(&ring(second), &own, &sealed, 1_000), scim::ScimType::InvalidCursor);
    let sorted = ListRequest { sort_by: Some(AttrPath::name("title")), ..ListRequest::default() };
    for other in [
        cursor::binding("in_2", "Users", &request),
        cursor::binding("in_1", "Groups", &request),
        cursor::binding("in_1", "Users", &sorted),
    ] {
        assert_eq!(kind(&old, &other, &sealed, 1_000), scim::ScimType::InvalidCursor);
    }
    for forged in ["x", "====", &sealed[1..], &format!("{sealed}A"), &"A".repeat(100_000)] {
        assert_eq!(kind(&old, &own, forged, 1_000), scim::ScimType::InvalidCursor);
    }
}
