//! What the server holds: people and groups as documents.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::discovery::{ENTERPRISE, GROUP, USER};
use super::document::{Refusal, child};

/// The two kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    User,
    Group,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }

    pub(super) fn schema(self) -> &'static str {
        match self {
            Self::User => USER,
            Self::Group => GROUP,
        }
    }
}

/// One resource.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) doc: Map<String, Value>,
    pub(super) version: u64,
    pub(super) created: Timestamp,
    pub(super) modified: Timestamp,
}

impl Stored {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        child(&self.doc, name).and_then(Value::as_str)
    }

    /// The ids of a group's members.
    pub(super) fn members(&self) -> impl Iterator<Item = &str> {
        child(&self.doc, "members").and_then(Value::as_array).into_iter().flatten().filter_map(|m| m["value"].as_str())
    }

    pub(super) fn active(&self) -> bool {
        child(&self.doc, "active").and_then(Value::as_bool).unwrap_or(true)
    }
}

/// Everything, in the order in which it was made.
#[derive(Debug, Default)]
pub(super) struct World {
    seq: u64,
    users: BTreeMap<u64, Stored>,
    groups: BTreeMap<u64, Stored>,
    by_id: HashMap<(Kind, String), u64>,
    /// userName in lower case.
    by_name: HashMap<String, u64>,
}

impl World {
    pub(super) fn all(&self, kind: Kind) -> &BTreeMap<u64, Stored> {
        match kind {
            Kind::User => &self.users,
            Kind::Group => &self.groups,
        }
    }

    fn all_mut(&mut self, kind: Kind) -> &mut BTreeMap<u64, Stored> {
        match kind {
            Kind::User => &mut self.users,
            Kind::Group => &mut self.groups,
        }
    }

    pub(super) fn seq_of(&self, kind: Kind, id: &str) -> Result<u64, Refusal> {
        self.by_id
            .get(&(kind, id.to_owned()))
            .copied()
            .ok_or_else(|| Refusal::missing(&format!("{} {id}", kind.name())))
    }

    pub(super) fn get(&self, kind: Kind, id: &str) -> Result<&Stored, Refusal> {
        let seq = self.seq_of(kind, id)?;
        self.all(kind).get(&seq).ok_or_else(|| Refusal::missing(id))
    }

    /// What of a body is kept, checked.
    pub(super) fn read(
        &self,
        kind: Kind,
        body: &Map<String, Value>,
        own: Option<u64>,
        unique_groups: bool,
    ) -> Result<Map<String, Value>, Refusal> {
        let mut doc = Map::new();
        for (name, value) in body {
            let known = match kind {
                Kind::User => !["id", "meta", "schemas", "groups", "password"].contains(&name.as_str()),
                Kind::Group => ["displayName", "externalId", "members"].iter().any(|n| n.eq_ignore_ascii_case(name)),
            };
            let urn = name.to_ascii_lowercase().starts_with("urn:");
            let kept = known && (!urn || name.eq_ignore_ascii_case(ENTERPRISE)) && !value.is_null();
            if kept && value.as_array().is_none_or(|items| !items.is_empty()) {
                doc.insert(name.clone(), value.clone());
            }
        }
        let required = if kind == Kind::User { "userName" } else { "displayName" };
        let name = child(&doc, required).and_then(Value::as_str).filter(|name| !name.trim().is_empty());
        let name = name.ok_or_else(|| Refusal::bad("invalidValue", format!("{required} is required")))?.to_owned();
        match kind {
            Kind::User => {
                if self.by_name.get(&name.to_lowercase()).is_some_and(|seq| Some(*seq) != own) {
                    return Err(Refusal::new(409, Some("uniqueness"), format!("userName {name:?} is taken")));
                }
                let active = match child(&doc, "active") {
                    None => true,
                    Some(Value::Bool(active)) => *active,
                    // Entra writes it as text.
                    Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => true,
                    Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => false,
                    Some(_) => return Err(Refusal::bad("invalidValue", "active is a boolean")),
                };
                doc.insert(super::document::key(&doc, "active"), Value::Bool(active));
            }
            Kind::Group => {
                let twin = |(seq, group): (&u64, &Stored)| {
                    Some(*seq) != own
                        && group.text("displayName").is_some_and(|known| known.eq_ignore_ascii_case(&name))
                };
                if unique_groups && self.groups.iter().any(twin) {
                    return Err(Refusal::new(409, Some("uniqueness"), format!("displayName {name:?} is taken")));
                }
                let members = child(&doc, "members").cloned().unwrap_or(Value::Null);
                let mut kept: Vec<Value> = Vec::new();
                for member in members.as_array().into_iter().flatten() {
                    let id = member["value"].as_str().unwrap_or_default();
                    self.get(Kind::User, id)
                        .map_err(|_| Refusal::bad("invalidValue", format!("there is no user {id:?}")))?;
                    if !kept.iter().any(|has| has["value"] == member["value"]) {
                        kept.push(json!({ "value": id, "type": "User" }));
                    }
                }
                let key = super::document::key(&doc, "members");
                doc.remove(&key);
                if !kept.is_empty() {
                    doc.insert("members".to_owned(), Value::Array(kept));
                }
            }
        }
        Ok(doc)
    }

    /// Adds a resource that was read.
    pub(super) fn add(&mut self, kind: Kind, doc: Map<String, Value>, now: Timestamp) -> String {
        self.seq += 1;
        let seq = self.seq;
        let id = Uuid::new_v4().to_string();
        if kind == Kind::User
            && let Some(name) = child(&doc, "userName").and_then(Value::as_str)
        {
            self.by_name.insert(name.to_lowercase(), seq);
        }
        self.by_id.insert((kind, id.clone()), seq);
        let stored = Stored { id: id.clone(), doc, version: 1, created: now, modified: now };
        self.all_mut(kind).insert(seq, stored);
        id
    }

    /// Puts another document in a resource's place, if it is another.
    pub(super) fn change(&mut self, kind: Kind, seq: u64, doc: Map<String, Value>, now: Timestamp) {
        let new = child(&doc, "userName").and_then(Value::as_str).map(str::to_lowercase);
        let Some(stored) = self.all_mut(kind).get_mut(&seq) else { return };
        if stored.doc == doc {
            return;
        }
        let old = stored.text("userName").map(str::to_lowercase);
        stored.doc = doc;
        stored.version += 1;
        stored.modified = now;
        if kind == Kind::User {
            if let Some(old) = old {
                self.by_name.remove(&old);
            }
            if let Some(new) = new {
                self.by_name.insert(new, seq);
            }
        }
    }

    /// Removes a resource, and a person from every group.
    pub(super) fn remove(&mut self, kind: Kind, id: &str, now: Timestamp) -> Result<(), Refusal> {
        let seq = self.seq_of(kind, id)?;
        self.by_id.remove(&(kind, id.to_owned()));
        let gone = self.all_mut(kind).remove(&seq);
        if kind == Kind::User {
            if let Some(name) = gone.as_ref().and_then(|gone| gone.text("userName")) {
                self.by_name.remove(&name.to_lowercase());
            }
            for group in self.groups.values_mut() {
                if group.members().any(|member| member == id)
                    && let Some(Value::Array(members)) = group.doc.get_mut("members")
                {
                    members.retain(|member| member["value"] != id);
                    if members.is_empty() {
                        group.doc.remove("members");
                    }
                    group.version += 1;
                    group.modified = now;
                }
            }
        }
        Ok(())
    }

    /// The groups of a person: id and name.
    pub(super) fn groups_of(&self, id: &str) -> Vec<(&str, &str)> {
        let of = self.groups.values().filter(|group| group.members().any(|member| member == id));
        of.map(|group| (group.id.as_str(), group.text("displayName").unwrap_or_default())).collect()
    }
}
