//! Resources as answers show them, as JSON text.
//!
//! A stored document is shown as it is stored wherever the request leaves nothing out of it, so it is not read into
//! a tree and written again. Members are rows; a group of more than
//! [`MEMBERS_CHUNK`](crate::service::directory::MEMBERS_CHUNK) is written out as they are
//! read, so it takes no more memory than a small one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use scim::projection::Show;
use scim::resource::add_written;
use scim::schema::ResourceType;
use scim::{Document, Projection, etag};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::references;
use crate::service::App;
use crate::service::directory::{Listed, time};
use crate::service::types::{Instance, MemberEntry};
use crate::store::StoreError;

/// The extension that says how far a resource is from what is wanted; answered on request only.
pub const SYNC_URN: &str = "urn:scimgate:params:scim:schemas:extension:2.0:Sync";
/// Memberships in one list at most: a list of huge groups ends early rather than run for minutes.
const MOST_MEMBERS: i64 = 100_000;

/// Renders resources of one type for one request.
pub(super) struct Renderer<'a> {
    pub(super) app: &'a Arc<App>,
    pub(super) instance: &'a Instance,
    pub(super) rt: &'a ResourceType,
    /// The SCIM base URL.
    pub(super) base: &'a str,
    pub(super) projection: &'a Projection,
    /// Attributes that are shown on request only, and that the request wrote (RFC 7643 section 2.4).
    given: Vec<String>,
    /// How keys are shown, once it is known.
    shows: Mutex<HashMap<String, Show>>,
    /// What is shown of a member and of a group of a user; None: nothing.
    members: Option<Reference>,
    groups: Option<Reference>,
}

/// What is shown of a reference.
#[derive(Clone, Copy)]
struct Reference {
    value: bool,
    reference: bool,
    display: bool,
    kind: bool,
    /// Where what it names is served, and the word in `type`.
    endpoint: &'static str,
    word: &'static str,
}

/// What a resource is shown with.
#[derive(Default)]
struct Beside {
    /// The document with its references filled in, if it has any.
    filled: Option<Document>,
    members: Option<Vec<MemberEntry>>,
    groups: Vec<MemberEntry>,
    sync: Option<Value>,
}

/// A part of a body.
enum Part {
    /// Text that is there.
    Text(Vec<u8>),
    /// The members of a group behind one, read while they are sent.
    Members { group: i64, after: i64, shown: Reference },
}

/// A body being put together: parts, and text behind them.
#[derive(Default)]
pub(super) struct Parts {
    before: VecDeque<Part>,
    text: Vec<u8>,
}

impl Parts {
    /// Adds text.
    pub(super) fn push(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
    }

    /// Adds members that are read later.
    fn push_members(&mut self, group: i64, after: i64, shown: Reference) {
        self.before.push_back(Part::Text(std::mem::take(&mut self.text)));
        self.before.push_back(Part::Members { group, after, shown });
    }

    /// Puts text before everything.
    pub(super) fn push_front(&mut self, mut text: Vec<u8>) {
        if self.before.is_empty() {
            text.append(&mut self.text);
            self.text = text;
        } else {
            self.before.push_front(Part::Text(text));
        }
    }

    /// The body of an answer. One that is all there has a length; else it is sent as it is read.
    pub(super) fn into_body(self, app: &Arc<App>, base: &str) -> Body {
        if self.before.is_empty() {
            return self.text.into();
        }
        let mut parts = self.before;
        parts.push_back(Part::Text(self.text));
        let state = (parts, Arc::clone(app), base.to_owned());
        Body::from_stream(stream::try_unfold(state, |(mut parts, app, base)| async move {
            let text = match parts.pop_front() {
                None => return Ok(None),
                Some(Part::Text(text)) => text,
                Some(Part::Members { group, after, shown }) => {
                    let (members, rest) = app.members_after(group, after).await.inspect_err(|error| {
                        tracing::error!(%error, "the members of a group could not be read to their end");
                    })?;
                    if let Some(after) = rest {
                        parts.push_front(Part::Members { group, after, shown });
                    }
                    let mut text = Vec::with_capacity(members.len() * 256);
                    if !members.is_empty() {
                        text.push(b',');
                        shown.write(&mut text, &base, &members);
                    }
                    text
                }
            };
            Ok::<_, StoreError>(Some((Bytes::from(text), (parts, app, base))))
        }))
    }
}

impl<'a> Renderer<'a> {
    pub(super) fn new(
        app: &'a Arc<App>,
        instance: &'a Instance,
        rt: &'a ResourceType,
        base: &'a str,
        projection: &'a Projection,
    ) -> Self {
        let relation = rt.relation.as_deref().filter(|relation| *relation == "members");
        let groups = (rt.schema.id == scim::urn::USER).then_some("groups");
        Self {
            app,
            instance,
            rt,
            base,
            projection,
            given: Vec::new(),
            shows: Mutex::default(),
            members: relation.and_then(|name| Reference::of(rt, projection, name, "Users", "User")),
            groups: groups.and_then(|name| Reference::of(rt, projection, name, "Groups", "direct")),
        }
    }

    /// Shows these attributes too, which the request wrote.
    pub(super) fn with(self, given: Vec<String>) -> Self {
        Self { given, ..self }
    }

    /// Whether the answer holds the sync status; then it has no entity tag (DECISIONS 31).
    pub(super) fn shows_sync(&self) -> bool {
        matches!(self.projection, Projection::Only(_)) && self.projection.wants(self.rt, SYNC_URN)
    }

    fn show(&self, key: &str) -> Show {
        let mut shows = self.shows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shows.get(key) {
            return *known;
        }
        let show = self.projection.show(self.rt, key);
        shows.insert(key.to_owned(), show);
        show
    }

    /// One resource, with what the request wants to see of it.
    ///
    /// The body of a large group is read in pieces while it is sent, each as it is at its moment: who was a member
    /// all the time is in it once, who came or went meanwhile may be. Its entity tag is that of the beginning.
    pub(super) async fn one(&self, item: Listed) -> Result<Body, StoreError> {
        let mut parts = Parts::default();
        let groups = match self.groups {
            Some(_) => self.app.groups_of(&[item.seq]).await?.remove(&item.seq).unwrap_or_default(),
            None => Vec::new(),
        };
        let filled = references::fill(self, std::slice::from_ref(&item)).await?.remove(&item.seq);
        self.put(&mut parts, &item, filled, groups, None).await?;
        Ok(parts.into_body(self.app, self.base))
    }

    /// A page; how many resources are in it. It may hold fewer than were found, where groups have very many
    /// members; the client goes on behind what it got.
    pub(super) async fn page(&self, parts: &mut Parts, items: &[Listed]) -> Result<usize, StoreError> {
        let seqs: Vec<i64> = items.iter().map(|item| item.seq).collect();
        let mut groups = if self.groups.is_some() { self.app.groups_of(&seqs).await? } else { HashMap::new() };
        let mut members = match self.members {
            Some(_) => self.app.members_of_all(&seqs, MOST_MEMBERS).await?,
            None => None,
        };
        let mut filled = references::fill(self, items).await?;
        let mut left = MOST_MEMBERS;
        for (n, item) in items.iter().enumerate() {
            let known = members.as_mut().map(|all| all.remove(&item.seq).unwrap_or_default());
            if self.members.is_some() && known.is_none() {
                left -= self.app.count_members(item.seq, left).await?;
                if left < 0 && n > 0 {
                    return Ok(n);
                }
            }
            if n > 0 {
                parts.push(b",");
            }
            let filled = filled.remove(&item.seq);
            self.put(parts, item, filled, groups.remove(&item.seq).unwrap_or_default(), known).await?;
        }
        Ok(items.len())
    }

    /// Writes a resource; members that are not given are read.
    async fn put(
        &self,
        parts: &mut Parts,
        item: &Listed,
        filled: Option<Document>,
        groups: Vec<MemberEntry>,
        members: Option<Vec<MemberEntry>>,
    ) -> Result<(), StoreError> {
        let (members, rest) = match members {
            None if self.members.is_some() => {
                let (members, rest) = self.app.members_after(item.seq, 0).await?;
                (Some(members), rest)
            }
            members => (members, None),
        };
        let sync = if self.shows_sync() { Some(self.app.sync_of(&self.rt.name, item).await?) } else { None };
        self.document(&mut parts.text, item, &Beside { filled, members, groups, sync })?;
        if let (Some(after), Some(shown)) = (rest, self.members) {
            // The list of members goes on, and with it the resource.
            parts.text.truncate(parts.text.len().saturating_sub(2));
            parts.push_members(item.seq, after, shown);
            parts.push(b"]}");
        }
        Ok(())
    }

    /// The resource as text. Its members are the last that stands in it.
    fn document(&self, out: &mut Vec<u8>, item: &Listed, beside: &Beside) -> Result<(), StoreError> {
        let damaged = |error| StoreError::damaged(format!("resource.doc: {error}"));
        let Fields(fields) = serde_json::from_str(&item.doc).map_err(damaged)?;
        let mut object = Object::begin(out);
        if self.show("schemas") != Show::No {
            let mut schemas = vec![self.rt.schema.id.as_str()];
            let filled = |urn: &str| fields.iter().any(|(key, value)| key == urn && !is_empty(value.get()));
            schemas.extend(self.rt.extensions.iter().map(|(schema, _)| schema.id.as_str()).filter(|urn| filled(urn)));
            schemas.extend(beside.sync.as_ref().map(|_| SYNC_URN));
            object.value("schemas", &schemas);
        }
        if self.show("id") != Show::No {
            object.value("id", &item.id);
        }
        // What an admin no longer declares is kept, and not shown.
        let declared = fields.iter().filter(|(key, _)| self.rt.declares(key));
        match &beside.filled {
            None if self.given.is_empty() => {
                for (key, value) in declared {
                    match self.show(key) {
                        Show::No => {}
                        Show::Whole if !value.get().contains("{}") => object.raw(key, value.get()),
                        _ => {
                            let value: Value = serde_json::from_str(value.get()).map_err(damaged)?;
                            let one = Map::from_iter([(key.clone().into_owned(), value)]);
                            object.all(&self.projection.apply(self.rt, one));
                        }
                    }
                }
            }
            filled => {
                let mut document = match filled {
                    Some(filled) => filled.clone(),
                    None => serde_json::from_str(&item.doc).map_err(damaged)?,
                };
                document.retain(|key, _| self.rt.declares(key));
                let mut shown = self.projection.apply(self.rt, document.clone());
                add_written(self.rt, &self.given, &document, &mut shown);
                object.all(&shown);
            }
        }
        if let Some(shown) = self.groups
            && !beside.groups.is_empty()
        {
            object.list("groups", |out| shown.write(out, self.base, &beside.groups));
        }
        if let Some(sync) = &beside.sync {
            object.value(SYNC_URN, sync);
        }
        self.meta(&mut object, item, beside.sync.is_none());
        if let (Some(shown), Some(members)) = (self.members, &beside.members) {
            object.list("members", |out| shown.write(out, self.base, members));
        }
        object.end();
        Ok(())
    }

    fn meta(&self, object: &mut Object<'_>, item: &Listed, tagged: bool) {
        let show = self.show("meta");
        if show == Show::No {
            return;
        }
        let mut meta = Map::with_capacity(5);
        meta.insert("resourceType".into(), Value::String(self.rt.name.clone()));
        meta.insert("created".into(), Value::String(time(item.created_at)));
        meta.insert("lastModified".into(), Value::String(time(item.modified_at)));
        meta.insert("location".into(), Value::String(location(self.base, self.rt, &item.id)));
        if tagged {
            meta.insert("version".into(), Value::String(tag(item.version)));
        }
        if show == Show::Whole {
            object.value("meta", &meta);
            return;
        }
        let one = Map::from_iter([("meta".to_owned(), Value::Object(meta))]);
        object.all(&self.projection.apply(self.rt, one));
    }
}

impl Reference {
    /// What a request wants to see of an attribute's references.
    fn of(
        rt: &ResourceType,
        projection: &Projection,
        name: &str,
        endpoint: &'static str,
        word: &'static str,
    ) -> Option<Self> {
        let sample = json!({name: [{"value": "-", "$ref": "-", "display": "-", "type": "-"}]});
        let Value::Object(sample) = sample else { return None };
        let shown = projection.apply(rt, sample);
        let element = shown.get(name)?.get(0)?;
        let has = |sub: &str| element.get(sub).is_some();
        Some(Self {
            value: has("value"),
            reference: has("$ref"),
            display: has("display"),
            kind: has("type"),
            endpoint,
            word,
        })
    }

    /// Writes references, with commas between them.
    fn write(self, out: &mut Vec<u8>, base: &str, entries: &[MemberEntry]) {
        for (n, entry) in entries.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            let mut object = Object::begin(out);
            if self.value {
                object.value("value", &entry.id);
            }
            if self.reference {
                object.value("$ref", &format_args!("{base}/{}/{}", self.endpoint, entry.id));
            }
            if self.display {
                object.value("display", &entry.display);
            }
            if self.kind {
                object.value("type", self.word);
            }
            object.end();
        }
    }
}

/// An object being written.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Object<'o> {
    fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        put_json(self.out, key);
        self.out.push(b':');
    }

    fn value<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        self.key(key);
        put_json(self.out, value);
    }

    fn raw(&mut self, key: &str, text: &str) {
        self.key(key);
        self.out.extend_from_slice(text.as_bytes());
    }

    fn all(&mut self, entries: &Map<String, Value>) {
        for (key, value) in entries {
            self.value(key, value);
        }
    }

    fn list(&mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.key(key);
        self.out.push(b'[');
        write(self.out);
        self.out.push(b']');
    }

    fn end(self) {
        self.out.push(b'}');
    }
}

/// Appends JSON.
pub(super) fn put_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("texts, numbers and trees of them always serialize into memory");
}

/// Whether JSON text is an object without members.
fn is_empty(text: &str) -> bool {
    text.strip_prefix('{').is_some_and(|rest| rest.trim_start() == "}")
}

/// Where a resource is.
pub(super) fn location(base: &str, rt: &ResourceType, id: &str) -> String {
    format!("{base}/{}/{id}", rt.endpoint)
}

/// A version as an entity tag.
pub(super) fn tag(version: i64) -> String {
    etag::format(u64::try_from(version).unwrap_or(0))
}
