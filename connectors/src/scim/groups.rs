//! Groups (RFC 7643 section 4.2).

use async_trait::async_trait;
use connector_sdk::{
    AccountRef, Cx, Fault, FaultKind, GroupChange, GroupCreated, GroupUpdated, GroupWant, Groups, Member, Membership,
    Page, PageToken, RemoteGroup, RemoteId, Removed,
};
use http::Method;
use serde_json::{Map, Value, json};

use super::Server;
use super::accounts::path;
use super::client::{Answer, odd};
use super::discovery::{GROUP, Offer, Served};
use super::document;
use super::listing::Search;
use crate::shared::answer::Refused;
use crate::shared::shown_all_the_same;

/// What a list of groups is asked to leave out (RFC 7644 section 3.9): members may be thousands.
const WITHOUT_MEMBERS: [(&str, &str); 1] = [("excludedAttributes", "members")];

impl Server {
    async fn group_offer(&self, cx: &Cx<'_>) -> Result<(std::sync::Arc<Offer>, Served), Fault> {
        let offer = self.discovery.offer(cx, &self.client).await?;
        match &offer.groups {
            Some(groups) => {
                let groups = groups.clone();
                Ok((offer, groups))
            }
            None => Err(Fault::new(
                FaultKind::Refused,
                format!("{} has no groups: its /ResourceTypes names none.", self.client.dialect.server),
            )),
        }
    }

    async fn groups_named(
        &self,
        cx: &Cx<'_>,
        offer: &Offer,
        served: &Served,
        name: &str,
    ) -> Result<Vec<RemoteGroup>, Fault> {
        let wanted = name.trim().to_lowercase();
        let is = |document: &Map<String, Value>| {
            let named = document::child(document, "displayName").and_then(Value::as_str);
            named.is_some_and(|named| named.trim().to_lowercase() == wanted)
        };
        let names = ("find group", "list groups");
        let search = Search { names, attribute: "displayName", value: name, query: &WITHOUT_MEMBERS };
        let found = self.client.search(cx, search, offer, served, is).await?;
        Ok(found.iter().filter_map(group).collect())
    }

    /// A group with its members. Where the answer has none, they are asked for by name: some servers show them only
    /// then.
    pub(super) async fn with_members(
        &self,
        cx: &Cx<'_>,
        offer: &Offer,
        served: &Served,
        id: &str,
    ) -> Result<Option<super::accounts::Read>, Fault> {
        let Some(mut read) = self.read(cx, "get group", offer, served, id, &[]).await? else { return Ok(None) };
        if self.client.dialect.asks_members && document::child(&read.document, "members").is_none() {
            let asked = [("attributes", "displayName,members")];
            let Some(asked) = self.read(cx, "get group", offer, served, id, &asked).await? else { return Ok(None) };
            if let Some(members) = document::child(&asked.document, "members") {
                document::set(&mut read.document, "members", members.clone());
            }
        }
        Ok(Some(read))
    }

    async fn create_group(
        &self,
        cx: &Cx<'_>,
        offer: &Offer,
        served: &Served,
        name: &str,
    ) -> Result<GroupCreated, Fault> {
        // A group's name need not be unique (RFC 7643 section 4.2), so no answer tells that there is one already.
        if let Some(group) = self.groups_named(cx, offer, served, name).await?.into_iter().next() {
            return Ok(GroupCreated::AlreadyThere(group));
        }
        let mut body = json!({ "schemas": [GROUP], "displayName": name });
        if served.attribute("externalId").is_some_and(|attribute| attribute.required) {
            body["externalId"] = Value::from(name);
        }
        match &self.client.dialect.placeholder {
            Some(id) => body["members"] = json!([self.member(offer, served, id)]),
            None if served.attribute("members").is_some_and(|members| members.required) => {
                return Err(Fault::new(
                    FaultKind::Refused,
                    format!(
                        "{} does not take a group without members. Make an account that stands in every group, and name its SCIM id in the setting `placeholder_member`.",
                        self.client.dialect.server
                    ),
                ));
            }
            None => {}
        }
        let path: Vec<&str> = served.endpoint.iter().map(String::as_str).collect();
        let call = self.client.call("create group", Method::POST, &path);
        match self.client.send(cx, self.client.body(call, &body)).await? {
            Answer::Yes(success) => {
                let document: Map<String, Value> = success.json()?;
                group(&document).map(GroupCreated::Done).ok_or_else(|| odd(&success, "a group without an id"))
            }
            Answer::No(refusal) if refusal.taken() => {
                match self.groups_named(cx, offer, served, name).await?.into_iter().next() {
                    Some(group) => Ok(GroupCreated::AlreadyThere(group)),
                    None => Err(refusal.fault()),
                }
            }
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn rename(
        &self,
        cx: &Cx<'_>,
        offer: &Offer,
        served: &Served,
        id: &str,
        name: &str,
    ) -> Result<GroupUpdated, Fault> {
        let Some(mut read) = self.read(cx, "get group", offer, served, id, &[]).await? else {
            return Ok(GroupUpdated::AlreadyGone);
        };
        let mut shown = group(&read.document).ok_or_else(no_id)?;
        if shown.name == name {
            return Ok(GroupUpdated::Done(shown));
        }
        if served.attribute("displayName").is_some_and(|attribute| attribute.immutable || attribute.read_only) {
            return Err(Fault::new(
                FaultKind::Refused,
                format!(
                    "{} does not let groups be renamed: its schema says so. Rename it there by hand, or make a new one.",
                    self.client.dialect.server
                ),
            ));
        }
        if self.groups_named(cx, offer, served, name).await?.iter().any(|other| other.id.as_str() != id) {
            return Err(Fault::new(FaultKind::NameTaken, "Another group has this name. Rename one of them."));
        }
        let mut answer = None;
        if offer.patch {
            let operation = match self.client.dialect.patch_without_path {
                true => json!({ "op": "replace", "value": { "displayName": name } }),
                false => json!({ "op": "replace", "path": "displayName", "value": name }),
            };
            match self.patch(cx, "rename group", served, id, &[operation]).await? {
                Answer::No(refusal) if refusal.unsupported() => {
                    self.discovery.without_patch(cx, offer).await;
                }
                other => answer = Some(other),
            }
        }
        let answer = match answer {
            Some(answer) => answer,
            None => {
                // PUT writes the whole: the members too, or they would be lost.
                read = self.with_members(cx, offer, served, id).await?.ok_or_else(no_group)?;
                document::set(&mut read.document, "displayName", Value::from(name));
                self.put(cx, "replace group", served, id, read).await?
            }
        };
        match answer {
            Answer::Yes(success) => {
                success.done()?;
                shown.name = name.to_owned();
                Ok(GroupUpdated::Done(shown))
            }
            Answer::No(refusal) if refusal.absent() => {
                self.confirm_absence(cx, offer, served).await?;
                Ok(GroupUpdated::AlreadyGone)
            }
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }
}

pub(super) fn no_group() -> Fault {
    Fault::new(FaultKind::NotFound, "The group is not there any more at the server.")
}

fn no_id() -> Fault {
    Fault::new(FaultKind::Malformed, "The server shows a group without an id.").context("get group: no id")
}

/// What an answer shows of a group; `None` where it names no id.
fn group(document: &Map<String, Value>) -> Option<RemoteGroup> {
    let name = document::child(document, "displayName").and_then(Value::as_str).unwrap_or_default();
    Some(RemoteGroup::new(RemoteId::new(document::id(document)?), name))
}

#[async_trait]
impl Groups for Server {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<RemoteGroup>, Fault> {
        let (offer, served) = self.group_offer(cx).await?;
        let listed = self.client.page(cx, "list groups", &offer, &served, &WITHOUT_MEMBERS, page).await?;
        Ok(Page {
            items: listed.items.iter().filter_map(group).collect(),
            next: listed.next,
            complete: listed.complete,
        })
    }

    async fn find(&self, cx: &Cx<'_>, name: &str) -> Result<Vec<RemoteGroup>, Fault> {
        let (offer, served) = self.group_offer(cx).await?;
        self.groups_named(cx, &offer, &served, name).await
    }

    async fn get(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
        let (offer, served) = self.group_offer(cx).await?;
        let read = self.read(cx, "get group", &offer, &served, id.as_str(), &WITHOUT_MEMBERS).await?;
        Ok(read.and_then(|read| group(&read.document)))
    }

    async fn create(&self, cx: &Cx<'_>, want: &GroupWant) -> Result<GroupCreated, Fault> {
        let (offer, served) = self.group_offer(cx).await?;
        self.create_group(cx, &offer, &served, &want.name).await
    }

    async fn update(&self, cx: &Cx<'_>, id: &RemoteId, change: &GroupChange) -> Result<GroupUpdated, Fault> {
        let (offer, served) = self.group_offer(cx).await?;
        match &change.name {
            Some(name) => self.rename(cx, &offer, &served, id.as_str(), name).await,
            None => {
                let read = self.read(cx, "get group", &offer, &served, id.as_str(), &WITHOUT_MEMBERS).await?;
                let shown = read.and_then(|read| group(&read.document));
                Ok(shown.map_or(GroupUpdated::AlreadyGone, GroupUpdated::Done))
            }
        }
    }

    async fn remove(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Removed, Fault> {
        let (offer, served) = self.group_offer(cx).await?;
        let call = self.client.call("delete group", Method::DELETE, &path(&served, id.as_str())?);
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => success.done().map(|()| Removed::Done),
            Answer::No(refusal) if refusal.absent() => {
                self.confirm_absence(cx, &offer, &served).await?;
                match self.read(cx, "get group", &offer, &served, id.as_str(), &WITHOUT_MEMBERS).await? {
                    Some(_) => Err(shown_all_the_same("The target")),
                    None => Ok(Removed::AlreadyGone),
                }
            }
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn members(&self, cx: &Cx<'_>, id: &RemoteId, page: Option<&PageToken>) -> Result<Page<Member>, Fault> {
        let _ = page; // A group holds its members: they come at once.
        let (offer, served) = self.group_offer(cx).await?;
        let read = self.with_members(cx, &offer, &served, id.as_str()).await?.ok_or_else(no_group)?;
        let (ids, complete) = self.ids_of(cx, &offer, self.members_of(&read.document)).await?;
        let members = ids.into_iter().map(|id| Member::of(AccountRef::Account { id, login: None }));
        Ok(Page { items: members.collect(), next: None, complete })
    }

    async fn change_members(
        &self,
        cx: &Cx<'_>,
        id: &RemoteId,
        add: &[AccountRef],
        remove: &[AccountRef],
    ) -> Vec<Result<Membership, Fault>> {
        match self.group_offer(cx).await {
            Ok((offer, served)) => self.change(cx, &offer, &served, id.as_str(), add, remove).await,
            Err(fault) => vec![Err(fault); add.len() + remove.len()],
        }
    }
}
