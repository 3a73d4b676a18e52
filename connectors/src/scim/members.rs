//! Who is in a group: by PATCH, by one bulk request where a PATCH of several is refused, or by writing the whole.

use std::collections::BTreeSet;

use connector_sdk::{AccountRef, Cx, Fault, FaultKind, Membership, RemoteId, Repeat};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::Server;
use super::accounts::PATCH;
use super::client::{Answer, Refusal, odd};
use super::dialect::MemberValue;
use super::discovery::{Offer, Served};
use super::document;
use super::groups::no_group;
use crate::shared::answer::Refused;
use crate::shared::shown_all_the_same;

/// What a bulk request is (RFC 7644 section 3.7).
const BULK: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";

/// One change of one member.
#[derive(Clone)]
struct Change {
    /// The member's value.
    id: String,
    add: bool,
}

impl Change {
    fn done(&self) -> Membership {
        if self.add { Membership::Present } else { Membership::Absent }
    }
}

impl Server {
    /// The values of a group's members, without nested groups and the placeholder.
    pub(super) fn members_of(&self, document: &Map<String, Value>) -> Vec<String> {
        let members = document::child(document, "members").and_then(Value::as_array);
        let mut seen = BTreeSet::new();
        members
            .into_iter()
            .flatten()
            .filter(|member| !is_group(member))
            .filter_map(member_id)
            .filter(|value| !self.stands_in(value) && seen.insert(value.clone()))
            .collect()
    }

    /// What an account is called among members.
    async fn value_of(&self, cx: &Cx<'_>, offer: &Offer, at: &AccountRef) -> Result<String, Fault> {
        let id = at.id();
        if self.client.dialect.member_value == MemberValue::Id {
            return Ok(id.to_owned());
        }
        let read = self.read(cx, "get user", offer, &offer.users, id, &[]).await?;
        let account = read.and_then(|read| document::account(&read.document));
        account.and_then(|account| account.login).ok_or_else(|| {
            Fault::new(
                FaultKind::Refused,
                "The person is not there any more at the server, so their memberships cannot be changed.",
            )
        })
    }

    /// The ids of those whom members' values name, and whether all could be told.
    pub(super) async fn ids_of(
        &self,
        cx: &Cx<'_>,
        offer: &Offer,
        values: Vec<String>,
    ) -> Result<(Vec<RemoteId>, bool), Fault> {
        if self.client.dialect.member_value == MemberValue::Id {
            return Ok((values.into_iter().map(RemoteId::new).collect(), true));
        }
        let wanted: BTreeSet<String> = values.iter().map(|value| scim::fold::fold_text(value)).collect();
        let mut ids = Vec::new();
        let mut page = None;
        let mut read = 0;
        while !wanted.is_empty() && ids.len() < wanted.len() && read <= self.client.dialect.scan_limit {
            let listed = self.client.page(cx, "list users", offer, &offer.users, &[], page.as_ref()).await?;
            read += listed.items.len();
            let accounts = listed.items.iter().filter_map(document::account);
            let named = accounts.filter(|account| {
                account.login.as_deref().is_some_and(|login| wanted.contains(&scim::fold::fold_text(login)))
            });
            ids.extend(named.filter_map(|account| account.remote_id));
            page = listed.next;
            if page.is_none() {
                break;
            }
        }
        let all = ids.len() == wanted.len();
        Ok((ids, all))
    }

    /// A member as it is written: `$ref` only where the server's schema demands it.
    pub(super) fn member(&self, offer: &Offer, served: &Served, id: &str) -> Value {
        let mut member = json!({ "value": id });
        if served.attribute("members").is_some_and(|members| members.sub.get("$ref").is_some_and(|one| one.required)) {
            let mut url = self.client.base.clone();
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.pop_if_empty().extend(offer.users.endpoint.iter().map(String::as_str)).push(id);
            }
            member["$ref"] = Value::from(url.as_str());
        }
        member
    }

    /// Adds and removes members, with one answer each.
    pub(super) async fn change(
        &self,
        cx: &Cx<'_>,
        offer: &Offer,
        served: &Served,
        group: &str,
        add: &[AccountRef],
        remove: &[AccountRef],
    ) -> Vec<Result<Membership, Fault>> {
        let mut changes = Vec::with_capacity(add.len() + remove.len());
        for (at, add) in add.iter().map(|at| (at, true)).chain(remove.iter().map(|at| (at, false))) {
            match self.value_of(cx, offer, at).await {
                Ok(id) => changes.push(Change { id, add }),
                Err(fault) => return vec![Err(fault); changes.capacity()],
            }
        }
        if changes.is_empty() {
            return Vec::new();
        }
        if !offer.patch {
            return self.change_whole(cx, offer, served, group, &changes).await;
        }
        let operations = self.member_operations(offer, served, &changes);
        let refusal = match self.patch(cx, "change members", served, group, &operations).await {
            Ok(Answer::Yes(success)) => {
                return match success.done() {
                    Ok(()) => changes.iter().map(|change| Ok(change.done())).collect(),
                    Err(fault) => vec![Err(fault); changes.len()],
                };
            }
            Ok(Answer::No(refusal)) => refusal,
            Err(fault) => return vec![Err(fault); changes.len()],
        };
        if refusal.unsupported() {
            let offer = self.discovery.without_patch(cx, offer).await;
            return self.change_whole(cx, &offer, served, group, &changes).await;
        }
        if changes.len() > 1 && matches!(refusal.status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND) {
            // One of them is at fault: each is sent for itself.
            return self.change_each(cx, offer, served, group, &changes).await;
        }
        self.refused(cx, offer, served, group, &changes, &refusal).await
    }

    /// The operations of a PATCH: one for all that are added, and one for each that is removed.
    fn member_operations(&self, offer: &Offer, served: &Served, changes: &[Change]) -> Vec<Value> {
        let added: Vec<Value> =
            changes.iter().filter(|change| change.add).map(|change| self.member(offer, served, &change.id)).collect();
        let mut operations = Vec::new();
        if !added.is_empty() {
            operations.push(json!({ "op": "add", "path": "members", "value": added }));
        }
        let removed = changes.iter().filter(|change| !change.add);
        if self.client.dialect.path_filters {
            operations.extend(removed.map(
                |change| json!({ "op": "remove", "path": format!("members[value eq {}]", Value::from(change.id.as_str())) }),
            ));
        } else {
            let gone: Vec<Value> = removed.map(|change| json!({ "value": change.id })).collect();
            if !gone.is_empty() {
                operations.push(json!({ "op": "remove", "path": "members", "value": gone }));
            }
        }
        operations
    }

    /// What a refused PATCH means: the group is gone, the member is not to be found, or it was so already.
    async fn refused(
        &self,
        cx: &Cx<'_>,
        offer: &Offer,
        served: &Served,
        group: &str,
        changes: &[Change],
        refusal: &Refusal,
    ) -> Vec<Result<Membership, Fault>> {
        if !matches!(refusal.status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::CONFLICT) {
            return vec![Err(refusal.fault()); changes.len()];
        }
        let present: BTreeSet<String> = match self.with_members(cx, offer, served, group).await {
            Ok(Some(read)) => self.members_of(&read.document).into_iter().collect(),
            Ok(None) => return vec![Err(no_group()); changes.len()],
            Err(fault) => return vec![Err(fault); changes.len()],
        };
        let answer = |change: &Change| {
            if present.contains(&change.id) == change.add {
                return Ok(change.done());
            }
            let kind = FaultKind::Refused;
            Err(refusal.because(kind, &format!("{} does not change this membership.", self.client.dialect.server)))
        };
        changes.iter().map(answer).collect()
    }

    /// Each change for itself: in one bulk request where the server takes one, else call by call.
    async fn change_each(
        &self,
        cx: &Cx<'_>,
        offer: &Offer,
        served: &Served,
        group: &str,
        changes: &[Change],
    ) -> Vec<Result<Membership, Fault>> {
        if offer.bulk >= changes.len() {
            match self.bulk(cx, offer, served, group, changes).await {
                Ok(Some(statuses)) => return self.read_bulk(cx, offer, served, group, changes, &statuses).await,
                Ok(None) => {}
                Err(fault) => return vec![Err(fault); changes.len()],
            }
        }
        let mut answers = Vec::with_capacity(changes.len());
        for change in changes {
            let operations = self.member_operations(offer, served, std::slice::from_ref(change));
            match self.patch(cx, "change members", served, group, &operations).await {
                Ok(Answer::Yes(success)) => answers.push(success.done().map(|()| change.done())),
                Ok(Answer::No(refusal)) => {
                    let one = std::slice::from_ref(change);
                    answers.extend(self.refused(cx, offer, served, group, one, &refusal).await);
                }
                Err(fault) => {
                    // Whatever stopped this one stops the rest, which were not sent.
                    let rest = changes.len() - answers.len() - 1;
                    let unsent = fault.clone().effect(connector_sdk::Effect::None);
                    answers.push(Err(fault));
                    answers.extend(std::iter::repeat_n(Err(unsent), rest));
                    return answers;
                }
            }
        }
        answers
    }

    /// Sends each change as one operation of a bulk request; answers their statuses, or `None` where the server takes
    /// none after all.
    async fn bulk(
        &self,
        cx: &Cx<'_>,
        offer: &Offer,
        served: &Served,
        group: &str,
        changes: &[Change],
    ) -> Result<Option<Vec<u16>>, Fault> {
        let path = format!("/{}/{group}", served.endpoint.join("/"));
        let operations: Vec<Value> = changes
            .iter()
            .map(|change| {
                let operations = self.member_operations(offer, served, std::slice::from_ref(change));
                json!({ "method": "PATCH", "path": path, "data": { "schemas": [PATCH], "Operations": operations } })
            })
            .collect();
        let body = json!({ "schemas": [BULK], "failOnErrors": changes.len() + 1, "Operations": operations });
        let call = self.client.call("change members in bulk", Method::POST, &["Bulk"]).repeat(Repeat::Idempotent);
        let success = match self.client.send(cx, self.client.body(call, &body)).await? {
            Answer::Yes(success) => success,
            Answer::No(_) => return Ok(None),
        };
        let answer: Value = success.json()?;
        let statuses: Vec<u16> = answer["Operations"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| {
                let status = &one["status"];
                let status = status.as_u64().or_else(|| status.as_str()?.parse().ok())?;
                u16::try_from(status).ok()
            })
            .collect();
        if statuses.len() != changes.len() {
            return Err(odd(&success, "not one result per operation"));
        }
        Ok(Some(statuses))
    }

    async fn read_bulk(
        &self,
        cx: &Cx<'_>,
        offer: &Offer,
        served: &Served,
        group: &str,
        changes: &[Change],
        statuses: &[u16],
    ) -> Vec<Result<Membership, Fault>> {
        if statuses.iter().all(|status| (200..300).contains(status)) {
            return changes.iter().map(|change| Ok(change.done())).collect();
        }
        // Of those that failed only a look tells whether it was so already.
        let present: BTreeSet<String> = match self.with_members(cx, offer, served, group).await {
            Ok(Some(read)) => self.members_of(&read.document).into_iter().collect(),
            Ok(None) => return vec![Err(no_group()); changes.len()],
            Err(fault) => return vec![Err(fault); changes.len()],
        };
        let answers = changes.iter().zip(statuses).map(|(change, status)| {
            if (200..300).contains(status) || present.contains(&change.id) == change.add {
                return Ok(change.done());
            }
            let server = self.client.dialect.server;
            let (kind, words) = match status {
                429 | 500.. => (FaultKind::Unavailable, "could not change this membership now"),
                _ => (FaultKind::Refused, "does not change this membership"),
            };
            Err(Fault::new(kind, format!("{server} {words}.")).context(format!("change members in bulk: {status}")))
        });
        answers.collect()
    }

    /// Reads the group, changes its members, and writes it whole.
    async fn change_whole(
        &self,
        cx: &Cx<'_>,
        offer: &Offer,
        served: &Served,
        group: &str,
        changes: &[Change],
    ) -> Vec<Result<Membership, Fault>> {
        match self.write_whole(cx, offer, served, group, changes).await {
            Ok(()) => changes.iter().map(|change| Ok(change.done())).collect(),
            Err(fault) => vec![Err(fault); changes.len()],
        }
    }

    async fn write_whole(
        &self,
        cx: &Cx<'_>,
        offer: &Offer,
        served: &Served,
        group: &str,
        changes: &[Change],
    ) -> Result<(), Fault> {
        let mut read = self.with_members(cx, offer, served, group).await?.ok_or_else(no_group)?;
        let members = document::child(&read.document, "members").and_then(Value::as_array).cloned().unwrap_or_default();
        let is = |member: &Value, id: &str| !is_group(member) && member_id(member).as_deref() == Some(id);
        let mut kept: Vec<Value> = members
            .iter()
            .filter(|member| !changes.iter().any(|change| !change.add && is(member, &change.id)))
            .cloned()
            .collect();
        for change in changes.iter().filter(|change| change.add) {
            if !kept.iter().any(|member| is(member, &change.id)) {
                kept.push(self.member(offer, served, &change.id));
            }
        }
        if kept == members {
            return Ok(());
        }
        document::set(&mut read.document, "members", Value::Array(kept));
        match self.put(cx, "replace group", served, group, read).await? {
            Answer::Yes(success) => success.done(),
            Answer::No(refusal) if refusal.absent() => {
                self.confirm_absence(cx, offer, served).await?;
                // It was read a moment ago: asked for once more, it is gone, or may not be written.
                Err(match self.with_members(cx, offer, served, group).await? {
                    Some(_) => shown_all_the_same("The target"),
                    None => no_group(),
                })
            }
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }
}

fn is_group(member: &Value) -> bool {
    member["type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("Group"))
}

fn member_id(member: &Value) -> Option<String> {
    match &member["value"] {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}
