//! Security events (RFC 9967): what is told of a change, in the transaction that makes it.
//!
//! An event waits in a row per stream until its receiver has it. Since the row is written with the change, none is
//! lost and none tells of a change that was not committed. What was told and is then taken back (the target refused
//! it while the client waited) is told again: a creation by `prov:delete`, a change by `prov:put`. The first event may
//! be with its receiver by then, so it cannot be unsaid.
//!
//! An instance without streams pays one look at a flag.

mod later;
mod outbox;
mod signing;
mod streams;

use scim::event::{Change, Event, Kind, Payload, Signal, events_claim, subject};
use scim::patch::{Base, Changed, NetEdit, diff};
use scim::resource::schemas_of;
use scim::schema::ResourceType;
use scim::{Document, Projection, etag, urn};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::directory::{COLUMNS, stored, time};
use super::types::{Caller, Instance, Stored};
use crate::store::{Rows, Sql, StoreError, Tx};

pub(crate) use later::{TakeBack, answered};
pub(crate) use outbox::{BATCH, Stream, Verdicts};
pub use outbox::{Events, MAX_AGE, MAX_PENDING};
pub use streams::{NewStream, StreamChange};

/// An event with more members than this names `members` and leaves them to be read: groups may have very many, and
/// the event would be written once per stream (RFC 9967 section 5 advises the same).
const MOST_MEMBERS: usize = 1_000;

/// A stream, as those who write to it see it.
struct Line {
    seq: i64,
    kinds: Vec<Kind>,
    payload: Payload,
}

async fn lines(tx: &Tx<'_>, instance: &Instance) -> Result<Vec<Line>, StoreError> {
    if instance.has_streams { lines_of(tx, instance.seq).await } else { Ok(Vec::new()) }
}

async fn lines_of(tx: &Tx<'_>, instance: i64) -> Result<Vec<Line>, StoreError> {
    let rows = tx
        .conn
        .all("SELECT seq, kinds, payload FROM event_stream WHERE instance_seq = $1 ORDER BY seq", vals![instance])
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Line {
                seq: row.col("seq")?,
                kinds: kinds(&row.col::<String>("kinds")?),
                payload: payload(&row.col::<String>("payload")?),
            })
        })
        .collect()
}

/// The kinds in a stored list.
fn kinds(text: &str) -> Vec<Kind> {
    let names: Vec<String> = serde_json::from_str(text).unwrap_or_default();
    names.iter().filter_map(|name| Kind::parse(name)).collect()
}

fn payload(word: &str) -> Payload {
    if word == "full" { Payload::Full } else { Payload::Notice }
}

/// What an event is about.
struct About<'a> {
    resource: i64,
    subject: &'a Value,
    txn: &'a str,
}

/// Puts one token's events into a stream's line, if it takes any of them.
///
/// Its place is the time, or behind the last event of the same resource: writers of one resource follow one another
/// (its row is locked), so whatever clocks say, its events stand in the order of its changes.
async fn put(tx: &Tx<'_>, line: &Line, about: &About<'_>, events: Vec<Event>) -> Result<(), StoreError> {
    let taken: Vec<Event> = events.into_iter().filter(|event| line.kinds.contains(&event.kind)).collect();
    if taken.is_empty() {
        return Ok(());
    }
    tx.conn
        .run(
            "INSERT INTO event (seq, stream_seq, resource_seq, place, jti, txn, subject, events, at, refusal) VALUES ($1,$2,$3, \
             (SELECT CASE WHEN MAX(place) >= $4 THEN MAX(place) + 1 ELSE $4 END FROM event WHERE stream_seq = $2 AND resource_seq = $3), \
             $5,$6,$7,$8,$4,NULL)",
            vals![
                tx.seq()?,
                line.seq,
                about.resource,
                tx.now,
                Uuid::new_v4().simple().to_string(),
                about.txn,
                about.subject.to_string(),
                events_claim(taken).to_string(),
            ],
        )
        .await?;
    Ok(())
}

/// The transaction's name: what `Set-Txn` said, else the operation's id.
async fn transaction(tx: &Tx<'_>, caller: &Caller, operation: i64) -> Result<String, StoreError> {
    if let Some(later) = &caller.later {
        return Ok(later.txn.clone());
    }
    let row = tx.conn.one("SELECT id FROM operation WHERE seq = $1", vals![operation]).await?;
    row.ok_or_else(|| StoreError::damaged("operation of an event"))?.col("id")
}

fn resource_type<'a>(instance: &'a Instance, kind: &str) -> Result<&'a ResourceType, StoreError> {
    instance.registry.resource_type(kind).ok_or_else(|| StoreError::damaged(format!("resource type {kind}")))
}

fn subject_of(rt: &ResourceType, item: &Stored) -> Value {
    subject(&rt.endpoint, &item.id, item.doc.get("externalId").and_then(Value::as_str))
}

fn tag(version: i64) -> String {
    etag::format(u64::try_from(version).unwrap_or(0))
}

/// A resource was created.
pub(crate) async fn created(
    tx: &Tx<'_>,
    instance: &Instance,
    caller: &Caller,
    item: &Stored,
    operation: i64,
) -> Result<(), StoreError> {
    let lines = lines(tx, instance).await?;
    if !lines.is_empty() {
        let rt = resource_type(instance, &item.kind)?;
        let subject = subject_of(rt, item);
        let txn = transaction(tx, caller, operation).await?;
        let about = About { resource: item.seq, subject: &subject, txn: &txn };
        let whole = Whole::read(tx, rt, item, &lines).await?;
        for line in &lines {
            put(tx, line, &about, vec![whole.event(Change::Create, line.payload, item, whole.names())]).await?;
        }
    }
    later::begin(tx, instance, caller, Some(operation), item, None).await
}

/// What a request does to the members of a group.
#[derive(Debug)]
pub(crate) enum Members {
    /// Nothing, or nobody listens.
    Same,
    /// These operations of a PATCH.
    Edits(Vec<Value>),
    /// More than an event holds.
    Many,
}

impl Members {
    /// What an edit does, kept only where a stream may tell it.
    pub(crate) fn of(instance: &Instance, edit: &NetEdit) -> Self {
        if !instance.has_streams || edit.is_empty() {
            return Self::Same;
        }
        if edit.want.len() > MOST_MEMBERS || !edit.matching.is_empty() {
            return Self::Many;
        }
        let (add, remove): (Vec<_>, Vec<_>) = edit.want.iter().partition(|(_, wanted)| **wanted);
        let values: Vec<Value> = add.into_iter().map(|(id, _)| member(id)).collect();
        if edit.base == Base::Clear {
            return Self::Edits(vec![json!({"op": "replace", "path": "members", "value": values})]);
        }
        let mut operations = Vec::new();
        if !values.is_empty() {
            operations.push(json!({"op": "add", "path": "members", "value": values}));
        }
        operations.extend(remove.into_iter().map(|(id, _)| without(id)));
        Self::Edits(operations)
    }
}

fn member(id: &str) -> Value {
    json!({"value": id, "$ref": format!("/Users/{id}"), "type": "User"})
}

fn without(id: &str) -> Value {
    let quoted = Value::from(id).to_string();
    json!({"op": "remove", "path": format!("members[value eq {quoted}]")})
}

/// A change of a resource by PUT or PATCH.
pub(crate) struct Changing<'a> {
    /// As it was.
    pub(crate) before: &'a Stored,
    /// As it is.
    pub(crate) after: &'a Stored,
    /// Whether it came as a whole.
    pub(crate) whole: bool,
    /// The attributes that changed.
    pub(crate) changed: &'a [Changed],
    /// What happened to the members.
    pub(crate) members: Members,
    /// The operation that records it.
    pub(crate) operation: Option<i64>,
}

/// A resource was changed. One that nobody managed before joins the feed.
pub(crate) async fn changed(
    tx: &Tx<'_>,
    instance: &Instance,
    caller: &Caller,
    change: Changing<'_>,
) -> Result<(), StoreError> {
    let lines = lines(tx, instance).await?;
    let (before, after) = (change.before, change.after);
    if let (Some(operation), false) = (change.operation, lines.is_empty()) {
        let rt = resource_type(instance, &after.kind)?;
        let subject = subject_of(rt, after);
        let txn = transaction(tx, caller, operation).await?;
        let about = About { resource: after.seq, subject: &subject, txn: &txn };
        let mut names: Vec<String> = change.changed.iter().map(|one| one.path.clone()).collect();
        if !matches!(change.members, Members::Same) {
            names.push("members".to_owned());
        }
        let mut signals = Vec::new();
        if !before.managed {
            signals.push(Signal::Add);
        }
        signals.extend(access(before, after));
        let whole = if change.whole { Some(Whole::read(tx, rt, after, &lines).await?) } else { None };
        for line in &lines {
            let told = match &whole {
                Some(whole) => whole.event(Change::Put, line.payload, after, names.clone()),
                None => patched(rt, line.payload, &change, &names),
            };
            let mut events = vec![told];
            events.extend(signals.iter().map(|signal| Event::signal(*signal)));
            put(tx, line, &about, events).await?;
        }
    }
    later::begin(tx, instance, caller, change.operation, after, Some(before)).await
}

/// Whether a person's access begins or ends by a change.
fn access(before: &Stored, after: &Stored) -> Option<Signal> {
    match (before.active, after.active) {
        _ if after.kind != "User" => None,
        (false, true) => Some(Signal::Activate),
        (true, false) => Some(Signal::Deactivate),
        _ => None,
    }
}

/// A PATCH, as the operations that lead from what was shown before to what is shown now.
fn patched(rt: &ResourceType, payload: Payload, change: &Changing<'_>, names: &[String]) -> Event {
    let version = tag(change.after.version);
    let notice = || Event::notice(Change::Patch, names, &version);
    let edits = match (&change.members, payload) {
        (_, Payload::Notice) | (Members::Many, _) => return notice(),
        (Members::Same, _) => &[][..],
        (Members::Edits(edits), _) => edits,
    };
    let shown = |document: &Document| Projection::Default.apply(rt, document.clone());
    let mut operations: Vec<Value> = diff(&shown(&change.before.doc), &shown(&change.after.doc))
        .into_iter()
        .map(|one| match one.after {
            Some(value) => json!({"op": "replace", "path": one.path, "value": value}),
            None => json!({"op": "remove", "path": one.path}),
        })
        .collect();
    operations.extend(edits.iter().cloned());
    if operations.is_empty() {
        return notice();
    }
    let mut data = Map::new();
    data.insert("schemas".into(), json!([urn::PATCH_OP]));
    data.insert("Operations".into(), operations.into());
    Event::full(Change::Patch, data, &version)
}

/// A resource as an answer would show it by default, for those streams that want data.
struct Whole {
    /// None if no stream wants it, or it has too many members.
    data: Option<Map<String, Value>>,
    names: Vec<String>,
}

impl Whole {
    async fn read(tx: &Tx<'_>, rt: &ResourceType, item: &Stored, lines: &[Line]) -> Result<Self, StoreError> {
        let members = match rt.relation.as_deref() {
            Some(_) => {
                let rows = tx
                    .conn
                    .all(
                        "SELECT u.id FROM member m JOIN resource u ON u.seq = m.user_seq WHERE m.group_seq = $1 AND m.want = 1 ORDER BY u.seq LIMIT $2",
                        vals![item.seq, i64::try_from(MOST_MEMBERS + 1).unwrap_or(i64::MAX)],
                    )
                    .await?;
                Some(rows.iter().map(|row| row.col("id")).collect::<Result<Vec<String>, _>>()?)
            }
            None => None,
        };
        let mut names = vec!["id".to_owned()];
        for (name, value) in &item.doc {
            match value.as_object().filter(|_| name.contains(':')) {
                Some(extension) => names.extend(extension.keys().map(|inner| format!("{name}:{inner}"))),
                None => names.push(name.clone()),
            }
        }
        if members.as_ref().is_some_and(|members| !members.is_empty()) {
            names.push("members".to_owned());
        }
        let wanted = lines.iter().any(|line| line.payload == Payload::Full);
        let fits = members.as_ref().is_none_or(|members| members.len() <= MOST_MEMBERS);
        let data = (wanted && fits).then(|| {
            let mut out = Map::new();
            out.insert("schemas".into(), schemas_of(rt, &item.doc).into());
            out.insert("id".into(), item.id.as_str().into());
            out.extend(item.doc.clone());
            if let Some(members) = members {
                out.insert("members".into(), members.iter().map(|id| member(id)).collect());
            }
            out.insert(
                "meta".into(),
                json!({
                    "resourceType": rt.name,
                    "created": time(item.created_at),
                    "lastModified": time(item.modified_at),
                    "version": tag(item.version),
                }),
            );
            Projection::Default.apply(rt, out)
        });
        Ok(Self { data, names })
    }

    /// Every attribute that the resource has.
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn event(&self, change: Change, payload: Payload, item: &Stored, names: Vec<String>) -> Event {
        match (&self.data, payload) {
            (Some(data), Payload::Full) => Event::full(change, data.clone(), &tag(item.version)),
            _ => Event::notice(change, &names, &tag(item.version)),
        }
    }
}

/// A group that a person leaves because the person is deleted.
pub(crate) struct Left {
    seq: i64,
    subject: Value,
    version: i64,
}

/// The groups that a person is about to leave by being deleted.
pub(crate) async fn leaving(tx: &Tx<'_>, instance: &Instance, user: i64) -> Result<Vec<Left>, StoreError> {
    if !instance.has_streams {
        return Ok(Vec::new());
    }
    groups(tx, instance, "r.seq IN (SELECT group_seq FROM member WHERE user_seq = $1 AND want = 1)", user).await
}

async fn groups(tx: &Tx<'_>, instance: &Instance, which: &str, key: i64) -> Result<Vec<Left>, StoreError> {
    let text = format!(
        "SELECT {COLUMNS} FROM resource r WHERE r.deleted_at IS NULL AND r.managed = 1 AND {which} ORDER BY r.seq"
    );
    let mut all = Vec::new();
    for row in &tx.conn.all(&text, vals![key]).await? {
        let group = stored(row)?;
        let rt = resource_type(instance, &group.kind)?;
        all.push(Left { seq: group.seq, subject: subject_of(rt, &group), version: group.version });
    }
    Ok(all)
}

/// A resource was deleted; a person has left `left` by it.
pub(crate) async fn deleted(
    tx: &Tx<'_>,
    instance: &Instance,
    caller: &Caller,
    item: &Stored,
    operation: i64,
    left: Vec<Left>,
) -> Result<(), StoreError> {
    let lines = lines(tx, instance).await?;
    if !lines.is_empty() {
        let rt = resource_type(instance, &item.kind)?;
        let subject = subject_of(rt, item);
        let txn = transaction(tx, caller, operation).await?;
        let about = About { resource: item.seq, subject: &subject, txn: &txn };
        for line in &lines {
            put_left(tx, line, &txn, item, &left).await?;
            put(tx, line, &about, vec![Event::signal(Signal::Delete)]).await?;
        }
    }
    later::begin(tx, instance, caller, Some(operation), item, Some(item)).await
}

async fn put_left(tx: &Tx<'_>, line: &Line, txn: &str, item: &Stored, left: &[Left]) -> Result<(), StoreError> {
    for group in left {
        let about = About { resource: group.seq, subject: &group.subject, txn };
        let version = tag(group.version + 1);
        let event = match line.payload {
            Payload::Notice => Event::notice(Change::Patch, &["members".to_owned()], &version),
            Payload::Full => {
                let mut data = Map::new();
                data.insert("schemas".into(), json!([urn::PATCH_OP]));
                data.insert("Operations".into(), json!([without(&item.id)]));
                Event::full(Change::Patch, data, &version)
            }
        };
        put(tx, line, &about, vec![event]).await?;
    }
    Ok(())
}

/// The members of a group changed without a request: two rows turned out to be one person.
pub(crate) async fn regrouped(tx: &Tx<'_>, instance: &Instance, group: i64) -> Result<(), StoreError> {
    let lines = lines(tx, instance).await?;
    if lines.is_empty() {
        return Ok(());
    }
    let txn = Uuid::new_v4().simple().to_string();
    for group in groups(tx, instance, "r.seq = $1", group).await? {
        let about = About { resource: group.seq, subject: &group.subject, txn: &txn };
        for line in &lines {
            let event = Event::notice(Change::Patch, &["members".to_owned()], &tag(group.version));
            put(tx, line, &about, vec![event]).await?;
        }
    }
    Ok(())
}

/// The name of a transaction that takes another back: the other's, marked.
async fn undoing(tx: &Tx<'_>, resource: i64, rev: i64) -> Result<String, StoreError> {
    let row = tx
        .conn
        .one(
            "SELECT id FROM operation WHERE resource_seq = $1 AND rev = $2 ORDER BY seq DESC LIMIT 1",
            vals![resource, rev],
        )
        .await?;
    let id: String = row.ok_or_else(|| StoreError::damaged("operation of an event"))?.col("id")?;
    Ok(format!("{id}-undone"))
}

/// A creation was taken back: it was told, so its end is told. A person has left `left` by it.
pub(crate) async fn retracted(
    tx: &Tx<'_>,
    instance: &Instance,
    item: &Stored,
    left: Vec<Left>,
) -> Result<(), StoreError> {
    let lines = lines(tx, instance).await?;
    if lines.is_empty() {
        return Ok(());
    }
    let subject = subject_of(resource_type(instance, &item.kind)?, item);
    let txn = undoing(tx, item.seq, item.rev).await?;
    let about = About { resource: item.seq, subject: &subject, txn: &txn };
    for line in &lines {
        put_left(tx, line, &txn, item, &left).await?;
        put(tx, line, &about, vec![Event::signal(Signal::Delete)]).await?;
    }
    Ok(())
}

/// A resource as it stands, for [`reverted`]; none if nobody listens.
pub(crate) async fn standing(tx: &Tx<'_>, instance: &Instance, resource: i64) -> Result<Option<Stored>, StoreError> {
    if !instance.has_streams {
        return Ok(None);
    }
    let text = format!("SELECT {COLUMNS} FROM resource r WHERE r.seq = $1");
    tx.conn.one(&text, vals![resource]).await?.as_ref().map(stored).transpose()
}

/// A change was taken back: the resource is told as the whole that it is again.
pub(crate) async fn reverted(
    tx: &Tx<'_>,
    instance: &Instance,
    refused: Option<Stored>,
    before: &Stored,
) -> Result<(), StoreError> {
    let (Some(refused), lines) = (refused, lines(tx, instance).await?) else { return Ok(()) };
    if lines.is_empty() {
        return Ok(());
    }
    let rt = resource_type(instance, &before.kind)?;
    let after = Stored { version: refused.version + 1, modified_at: tx.now, ..before.clone() };
    let names: Vec<String> = diff(&refused.doc, &after.doc).into_iter().map(|one| one.path).collect();
    let subject = subject_of(rt, &after);
    let txn = undoing(tx, after.seq, refused.rev).await?;
    let about = About { resource: after.seq, subject: &subject, txn: &txn };
    let whole = Whole::read(tx, rt, &after, &lines).await?;
    for line in &lines {
        let mut events = vec![whole.event(Change::Put, line.payload, &after, names.clone())];
        events.extend(access(&refused, &after).map(Event::signal));
        put(tx, line, &about, events).await?;
    }
    Ok(())
}

/// An instance is deleted: its streams go with it.
pub(crate) async fn forget(tx: &Tx<'_>, instance: i64) -> Result<(), StoreError> {
    for text in [
        "DELETE FROM event WHERE stream_seq IN (SELECT seq FROM event_stream WHERE instance_seq = $1)",
        "DELETE FROM event_stream WHERE instance_seq = $1",
        "DELETE FROM async_request WHERE instance_seq = $1",
    ] {
        tx.conn.run(text, vals![instance]).await?;
    }
    Ok(())
}
