//! Resources as answers show them.

use scim::resource::schemas_of;
use scim::schema::ResourceType;
use scim::{Projection, etag};
use serde_json::{Map, Value, json};

use super::references;
use crate::service::App;
use crate::service::directory::time;
use crate::service::types::{Instance, MemberEntry, Stored};
use crate::store::StoreError;

/// The extension that says how far a resource is from what is wanted; answered on request only.
pub const SYNC_URN: &str = "urn:scimgate:params:scim:schemas:extension:2.0:Sync";
/// Memberships in one list at most: a list of huge groups ends early rather than fill the memory.
const MOST_MEMBERS: i64 = 100_000;

/// Renders resources of one type for one request.
pub(super) struct Renderer<'a> {
    pub(super) app: &'a App,
    pub(super) instance: &'a Instance,
    pub(super) rt: &'a ResourceType,
    /// The SCIM base URL.
    pub(super) base: &'a str,
    pub(super) projection: &'a Projection,
}

/// What a resource is shown with.
#[derive(Default)]
struct Beside {
    members: Option<Vec<MemberEntry>>,
    groups: Option<Vec<MemberEntry>>,
    sync: Option<Value>,
}

impl Renderer<'_> {
    /// Whether the answer holds the sync status; then it has no entity tag (DECISIONS 31).
    pub(super) fn shows_sync(&self) -> bool {
        matches!(self.projection, Projection::Only(_)) && self.projection.wants(self.rt, SYNC_URN)
    }

    fn wants_members(&self) -> bool {
        self.rt.relation.as_deref() == Some("members") && self.projection.wants(self.rt, "members")
    }

    fn wants_groups(&self) -> bool {
        self.rt.name == "User" && self.projection.wants(self.rt, "groups")
    }

    /// One resource, with what the request wants to see of it.
    pub(super) async fn one(&self, mut item: Stored) -> Result<Value, StoreError> {
        references::fill(self, std::slice::from_mut(&mut item)).await?;
        let mut beside = Beside::default();
        if self.wants_members() {
            beside.members = Some(self.app.members_of(item.seq).await?);
        }
        if self.wants_groups() {
            beside.groups = Some(self.app.groups_of(&[item.seq]).await?.remove(&item.seq).unwrap_or_default());
        }
        if self.shows_sync() {
            beside.sync = Some(self.app.sync_of(&item).await?);
        }
        Ok(self.document(item, beside))
    }

    /// A page. It may hold fewer resources than were found, where groups have very many members;
    /// the client goes on behind what it got.
    pub(super) async fn page(&self, mut items: Vec<Stored>) -> Result<Vec<Value>, StoreError> {
        references::fill(self, &mut items).await?;
        let seqs: Vec<i64> = items.iter().map(|item| item.seq).collect();
        let mut groups = if self.wants_groups() { Some(self.app.groups_of(&seqs).await?) } else { None };
        let wants_members = self.wants_members();
        let mut members = if wants_members { self.app.members_of_all(&seqs, MOST_MEMBERS).await? } else { None };
        let mut shown = Vec::with_capacity(items.len());
        let mut count = 0;
        for item in items {
            let mut beside = Beside {
                groups: groups.as_mut().map(|all| all.remove(&item.seq).unwrap_or_default()),
                ..Beside::default()
            };
            if let Some(all) = &mut members {
                beside.members = Some(all.remove(&item.seq).unwrap_or_default());
            } else if wants_members {
                let list = self.app.members_of(item.seq).await?;
                count += i64::try_from(list.len()).unwrap_or(i64::MAX);
                if count > MOST_MEMBERS && !shown.is_empty() {
                    return Ok(shown);
                }
                beside.members = Some(list);
            }
            if self.shows_sync() {
                beside.sync = Some(self.app.sync_of(&item).await?);
            }
            shown.push(self.document(item, beside));
        }
        Ok(shown)
    }

    fn document(&self, item: Stored, beside: Beside) -> Value {
        let mut schemas = schemas_of(self.rt, &item.doc);
        let mut meta = Map::with_capacity(5);
        meta.insert("resourceType".into(), Value::String(self.rt.name.clone()));
        meta.insert("created".into(), Value::String(time(item.created_at)));
        meta.insert("lastModified".into(), Value::String(time(item.modified_at)));
        meta.insert("location".into(), Value::String(location(self.base, self.rt, &item.id)));
        if beside.sync.is_none() {
            meta.insert("version".into(), Value::String(tag(item.version)));
        } else {
            schemas.push(SYNC_URN.to_owned());
        }
        let mut out = Map::with_capacity(item.doc.len() + 6);
        out.insert("schemas".into(), schemas.into());
        out.insert("id".into(), Value::String(item.id));
        // What an admin no longer declares is kept, and not shown.
        out.extend(item.doc.into_iter().filter(|(key, _)| self.rt.declares(key)));
        if let Some(members) = beside.members {
            out.insert("members".into(), self.references(members, "Users", "User"));
        }
        if let Some(groups) = beside.groups.filter(|groups| !groups.is_empty()) {
            out.insert("groups".into(), self.references(groups, "Groups", "direct"));
        }
        if let Some(sync) = beside.sync {
            out.insert(SYNC_URN.to_owned(), sync);
        }
        out.insert("meta".into(), Value::Object(meta));
        Value::Object(self.projection.apply(self.rt, out))
    }

    fn references(&self, entries: Vec<MemberEntry>, endpoint: &str, kind: &str) -> Value {
        entries.into_iter().map(|entry| json!({"value": entry.id, "$ref": format!("{}/{endpoint}/{}", self.base, entry.id), "display": entry.display, "type": kind})).collect()
    }
}

/// Where a resource is.
pub(super) fn location(base: &str, rt: &ResourceType, id: &str) -> String {
    format!("{base}/{}/{id}", rt.endpoint)
}

/// A version as an entity tag.
pub(super) fn tag(version: i64) -> String {
    etag::format(u64::try_from(version).unwrap_or(0))
}
