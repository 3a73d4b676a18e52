//! Teams and their members.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    AccountRef, Cx, Effect, Fault, FaultKind, GroupChange, GroupCreated, GroupUpdated, GroupWant, Groups, Member,
    Membership, Page, PageToken, RemoteGroup, RemoteId, Removed, Repeat,
};
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::client::{Answer, Client, MOST_PAGES};
use crate::shared::answer::Refused;
use crate::shared::{endless, held_id, remote_id, shown_all_the_same, taken_out};

/// The longest handle (the vendor's description of `TeamCreateAttributes.handle`).
const LONGEST_HANDLE: usize = 195;

/// Teams of one organisation.
pub(super) struct Teams {
    /// The way there.
    pub(super) client: Arc<Client>,
}

#[derive(Deserialize)]
struct Team {
    id: String,
    attributes: Attributes,
}

#[derive(Deserialize)]
struct Attributes {
    name: String,
    handle: String,
    is_managed: Option<bool>,
}

#[derive(Deserialize)]
struct One {
    data: Team,
}

#[derive(Deserialize)]
struct UserTeam {
    #[serde(default)]
    attributes: Of,
    relationships: Related,
}

#[derive(Default, Deserialize)]
struct Of {
    role: Option<String>,
    provisioned_by: Option<String>,
}

#[derive(Deserialize)]
struct Related {
    user: RelatedUser,
}

#[derive(Deserialize)]
struct RelatedUser {
    data: Identified,
}

#[derive(Deserialize)]
struct Identified {
    id: String,
}

impl Team {
    fn group(self) -> Result<RemoteGroup, Fault> {
        let mut group = RemoteGroup::new(remote_id("Datadog", &self.id)?, self.attributes.name);
        group.slug = Some(self.attributes.handle);
        group.protected = self.attributes.is_managed == Some(true);
        Ok(group)
    }
}

/// The handle of a name: lower case, every run of other characters one dash.
fn handle(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if c.is_alphanumeric() {
            // Handles are ASCII; a name in another script still gets one that is its own.
            out.push_str(&format!("{:x}", u32::from(c)));
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
        if out.len() >= LONGEST_HANDLE {
            break;
        }
    }
    out.truncate(LONGEST_HANDLE);
    let cut = out.trim_end_matches('-').len();
    out.truncate(cut);
    if out.is_empty() { "team".to_owned() } else { out }
}

fn no_team() -> Fault {
    Fault::new(FaultKind::NotFound, "The team is not there any more at Datadog.")
}

impl Teams {
    async fn team(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
        let call = self.client.call("get team", Method::GET, &["team", held_id("Datadog", id.as_str())?]);
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => success.json::<One>()?.data.group().map(Some),
            Answer::No(refusal) if refusal.absent() => Ok(None),
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn add(&self, cx: &Cx<'_>, id: &RemoteId, who: &AccountRef) -> Result<Membership, Fault> {
        let (team, person) = (held_id("Datadog", id.as_str())?, super::person(who)?);
        let body = json!({ "data": {
            "type": "team_memberships",
            "attributes": { "role": null },
            "relationships": { "user": { "data": { "type": "users", "id": person } } },
        }});
        let call = self.client.call("add team member", Method::POST, &["team", team, "memberships"]);
        let refusal = match self.client.send(cx, call.json(&body).repeat(Repeat::Idempotent)).await? {
            Answer::Yes(success) => return success.json::<serde::de::IgnoredAny>().map(|_| Membership::Present),
            Answer::No(refusal) => refusal,
        };
        if refusal.conflict() {
            return Ok(Membership::Present);
        }
        if refusal.absent() {
            return Err(match self.team(cx, id).await? {
                None => no_team(),
                Some(_) => refusal.because(FaultKind::Refused, "Datadog does not take this user into the team."),
            });
        }
        Err(refusal.fault())
    }

    async fn take_out(&self, cx: &Cx<'_>, id: &RemoteId, who: &AccountRef) -> Result<Membership, Fault> {
        let path = ["team", held_id("Datadog", id.as_str())?, "memberships", super::person(who)?];
        let call = self.client.call("remove team member", Method::DELETE, &path);
        let refusal = match self.client.send(cx, call).await? {
            Answer::Yes(success) => return success.done().map(|()| Membership::Absent),
            Answer::No(refusal) => refusal,
        };
        if refusal.absent() {
            return match self.team(cx, id).await? {
                Some(_) => taken_out(self, cx, "Datadog", id, who).await,
                None => Err(no_team()),
            };
        }
        Err(refusal.fault())
    }

    /// The teams of that name, and those whose handle the name would have.
    async fn alike(&self, cx: &Cx<'_>, name: &str) -> Result<Vec<Team>, Fault> {
        let (wanted, handle) = (name.trim().to_lowercase(), handle(name));
        let mut found = Vec::new();
        let mut page: Option<PageToken> = None;
        for _ in 0..MOST_PAGES {
            let mut call = self.client.call("find teams", Method::GET, &["team"]);
            call.url.query_pairs_mut().append_pair("filter[keyword]", name.trim());
            let (teams, next) = self.client.numbered::<Team>(cx, call, page.as_ref()).await?.ok_or_else(no_team)?;
            found.extend(teams.into_iter().filter(|team| {
                team.attributes.name.trim().to_lowercase() == wanted || team.attributes.handle == handle
            }));
            page = next;
            if page.is_none() {
                return Ok(found);
            }
        }
        Err(endless("Datadog", MOST_PAGES))
    }
}

fn taken() -> Fault {
    Fault::new(FaultKind::NameTaken, "Another team has this name, or one whose handle is the same. Rename one of them.")
}

#[async_trait]
impl Groups for Teams {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<RemoteGroup>, Fault> {
        let call = self.client.call("list teams", Method::GET, &["team"]);
        let (teams, next) = self.client.numbered::<Team>(cx, call, page).await?.ok_or_else(no_team)?;
        Ok(Page { items: teams.into_iter().map(Team::group).collect::<Result<_, _>>()?, next, complete: true })
    }

    async fn find(&self, cx: &Cx<'_>, name: &str) -> Result<Vec<RemoteGroup>, Fault> {
        let wanted = name.trim().to_lowercase();
        let same = self.alike(cx, name).await?.into_iter();
        same.filter(|team| team.attributes.name.trim().to_lowercase() == wanted).map(Team::group).collect()
    }

    async fn get(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
        self.team(cx, id).await
    }

    async fn create(&self, cx: &Cx<'_>, want: &GroupWant) -> Result<GroupCreated, Fault> {
        if let Some(group) = self.find(cx, &want.name).await?.into_iter().next() {
            return Ok(GroupCreated::AlreadyThere(group));
        }
        let attributes = json!({ "name": want.name, "handle": handle(&want.name) });
        let body = json!({ "data": { "type": "team", "attributes": attributes } });
        let call = self.client.call("create team", Method::POST, &["team"]).json(&body);
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => {
                let made = success.json::<One>()?.data.group().map(GroupCreated::Done);
                made.map_err(|fault| fault.effect(Effect::Unknown))
            }
            Answer::No(refusal) if refusal.conflict() => match self.find(cx, &want.name).await?.into_iter().next() {
                Some(group) => Ok(GroupCreated::AlreadyThere(group)),
                None => Err(taken()),
            },
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn update(&self, cx: &Cx<'_>, id: &RemoteId, change: &GroupChange) -> Result<GroupUpdated, Fault> {
        let Some(group) = self.team(cx, id).await? else {
            return Ok(GroupUpdated::AlreadyGone);
        };
        let Some(name) = change.name.as_ref().filter(|name| **name != group.name) else {
            return Ok(GroupUpdated::Done(group));
        };
        if self.find(cx, name).await?.iter().any(|other| other.id != *id) {
            return Err(taken());
        }
        // The handle stands in links and notifications (@team-…), so it stays.
        let attributes = json!({ "name": name, "handle": group.slug });
        let body = json!({ "data": { "type": "team", "attributes": attributes } });
        let call = self.client.call("rename team", Method::PATCH, &["team", id.as_str()]).json(&body);
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => success.json::<One>()?.data.group().map(GroupUpdated::Done),
            Answer::No(refusal) if refusal.absent() => Ok(GroupUpdated::AlreadyGone),
            Answer::No(refusal) if refusal.conflict() => Err(taken()),
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn remove(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Removed, Fault> {
        let path = ["team", held_id("Datadog", id.as_str())?];
        let removed = self.client.remove(cx, "delete team", "team", &path).await?;
        if removed == Removed::AlreadyGone && self.team(cx, id).await?.is_some() {
            return Err(shown_all_the_same("Datadog"));
        }
        Ok(removed)
    }

    async fn members(&self, cx: &Cx<'_>, id: &RemoteId, page: Option<&PageToken>) -> Result<Page<Member>, Fault> {
        let path = ["team", held_id("Datadog", id.as_str())?, "memberships"];
        let call = self.client.call("list team members", Method::GET, &path);
        let (listed, next) = self.client.numbered::<UserTeam>(cx, call, page).await?.ok_or_else(no_team)?;
        let member = |one: UserTeam| -> Result<Member, Fault> {
            let id = remote_id("Datadog", &one.relationships.user.data.id)?;
            let mut member = Member::of(AccountRef::Account { id, login: None });
            member.role = one.attributes.role;
            // What SAML gives, SAML takes.
            member.inherited = one.attributes.provisioned_by.as_deref() == Some("saml_mapping");
            Ok(member)
        };
        Ok(Page { items: listed.into_iter().map(member).collect::<Result<_, _>>()?, next, complete: true })
    }

    async fn change_members(
        &self,
        cx: &Cx<'_>,
        id: &RemoteId,
        add: &[AccountRef],
        remove: &[AccountRef],
    ) -> Vec<Result<Membership, Fault>> {
        let mut answers = Vec::with_capacity(add.len() + remove.len());
        for who in add {
            answers.push(self.add(cx, id, who).await);
        }
        for who in remove {
            answers.push(self.take_out(cx, id, who).await);
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_ascii_and_not_too_long() {
        for (name, want) in [
            ("Platform Eng", "platform-eng"),
            ("  Tools & Ops! ", "tools-ops"),
            ("café", "cafe9"),
            ("!!!", "team"),
            ("開発", "958b767a"),
        ] {
            assert_eq!(handle(name), want, "{name}");
        }
        assert!(handle(&"x-".repeat(300)).len() <= LONGEST_HANDLE);
    }
}
