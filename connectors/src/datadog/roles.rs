//! Roles: as what a person has, and as what groups are where the setting says so.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use connector_sdk::{
    AccountRef, Cx, Effect, Fault, FaultKind, GroupChange, GroupCreated, GroupUpdated, GroupWant, Groups, Member,
    Membership, Page, PageToken, RemoteGroup, RemoteId, Removed, Repeat, Retry,
};
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::client::{Answer, Client, MOST_PAGES};
use crate::shared::answer::Refused;
use crate::shared::{endless, held_id, remote_id, shown_all_the_same, taken_out};

/// The roles that every organisation has (docs.datadoghq.com/account_management/rbac).
pub(super) const MANAGED: [&str; 3] = ["Datadog Admin Role", "Datadog Standard Role", "Datadog Read Only Role"];

/// The organisation's roles.
pub(super) struct Roles {
    client: Arc<Client>,
    /// Ids and names of the managed roles, once they were seen. They never change.
    managed: Mutex<Option<Vec<(String, String)>>>,
}

#[derive(Deserialize)]
struct Role {
    id: String,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Default, Deserialize)]
struct Attributes {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct One {
    data: Role,
}

#[derive(Deserialize)]
struct User {
    id: String,
}

impl Role {
    fn group(self) -> Result<RemoteGroup, Fault> {
        Ok(RemoteGroup::new(remote_id("Datadog", &self.id)?, self.attributes.name))
    }
}

fn user(id: &str) -> serde_json::Value {
    json!({ "data": { "type": "users", "id": id } })
}

impl Roles {
    /// The roles of one organisation.
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self { client, managed: Mutex::default() }
    }

    /// The roles whose name holds a text.
    async fn holding(&self, cx: &Cx<'_>, text: &str) -> Result<Vec<Role>, Fault> {
        let mut all = Vec::new();
        let mut page: Option<PageToken> = None;
        for _ in 0..MOST_PAGES {
            let mut call = self.client.call("find roles", Method::GET, &["roles"]);
            call.url.query_pairs_mut().append_pair("filter", text);
            let listed = self.client.numbered::<Role>(cx, call, page.as_ref()).await?;
            let (roles, next) = listed.ok_or_else(no_role)?;
            all.extend(roles);
            page = next;
            if page.is_none() {
                return Ok(all);
            }
        }
        Err(endless("Datadog", MOST_PAGES))
    }

    /// The id of the role of that name.
    pub(super) async fn id_of(&self, cx: &Cx<'_>, name: &str) -> Result<String, Fault> {
        if let Some((id, _)) = self.known().into_iter().flatten().find(|(_, known)| known.eq_ignore_ascii_case(name)) {
            return Ok(id);
        }
        let wanted = name.trim().to_lowercase();
        let mut found = self.holding(cx, name.trim()).await?.into_iter();
        let role = found.find(|role| role.attributes.name.trim().to_lowercase() == wanted).ok_or_else(|| {
            Fault::new(
                FaultKind::Refused,
                format!("Datadog has no role \"{name}\". Correct the role, or the setting `default_role`."),
            )
            .retry(Retry::AfterOperator)
        })?;
        held_id("Datadog", &role.id).map(str::to_owned)
    }

    fn known(&self) -> Option<Vec<(String, String)>> {
        self.managed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn managed(&self, cx: &Cx<'_>) -> Result<Vec<(String, String)>, Fault> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let all = self.holding(cx, "Datadog ").await?;
        let managed: Vec<(String, String)> = all
            .into_iter()
            .filter(|role| MANAGED.contains(&role.attributes.name.as_str()))
            .map(|role| (role.id, role.attributes.name))
            .collect();
        if managed.len() == MANAGED.len() {
            *self.managed.lock().unwrap_or_else(PoisonError::into_inner) = Some(managed.clone());
        }
        Ok(managed)
    }

    /// The mightiest managed role among those that somebody holds.
    pub(super) async fn managed_of(&self, cx: &Cx<'_>, held: &[&str]) -> Result<Option<String>, Fault> {
        if held.is_empty() {
            return Ok(None);
        }
        let managed = self.managed(cx).await?;
        let has = |name: &&str| managed.iter().any(|(id, known)| known == name && held.contains(&id.as_str()));
        Ok(MANAGED.into_iter().find(|name| has(name)).map(str::to_owned))
    }

    /// Gives a person a managed role, and takes the one they had. Doing it twice is the same as once.
    pub(super) async fn give(&self, cx: &Cx<'_>, id: &str, role: &str, had: Option<&str>) -> Result<(), Fault> {
        if !MANAGED.iter().any(|known| known.eq_ignore_ascii_case(role)) {
            return Err(Fault::new(
                FaultKind::Refused,
                format!(
                    "Only the roles {} are written for a person. Correct the role in the identity provider, or let groups be roles.",
                    MANAGED.join(", ")
                ),
            ));
        }
        let wanted = self.id_of(cx, role).await?;
        let put = self.client.call("give role", Method::POST, &["roles", &wanted, "users"]).repeat(Repeat::Idempotent);
        match self.client.send(cx, put.json(&user(id))).await? {
            Answer::Yes(success) => success.done()?,
            Answer::No(refusal) if refusal.conflict() => {}
            Answer::No(refusal) => return Err(refusal.fault()),
        }
        let managed = self.managed(cx).await?;
        for (other, name) in managed {
            // The others go, mightiest first: a person has one of them.
            if other != wanted && had.is_some_and(|had| had == name) {
                self.take(cx, &other, id).await?;
            }
        }
        Ok(())
    }

    async fn take(&self, cx: &Cx<'_>, role: &str, id: &str) -> Result<Membership, Fault> {
        let call = self.client.call("take role", Method::DELETE, &["roles", role, "users"]).json(&user(id));
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => success.json::<serde::de::IgnoredAny>().map(|_| Membership::Absent),
            Answer::No(refusal) if refusal.absent() => match self.role(cx, &RemoteId::new(role)).await? {
                Some(_) => {
                    let who = AccountRef::Account { id: RemoteId::new(id), login: None };
                    taken_out(self, cx, "Datadog", &RemoteId::new(role), &who).await
                }
                None => Err(no_role()),
            },
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn role(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
        let call = self.client.call("get role", Method::GET, &["roles", held_id("Datadog", id.as_str())?]);
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => success.json::<One>()?.data.group().map(Some),
            Answer::No(refusal) if refusal.absent() => Ok(None),
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn add(&self, cx: &Cx<'_>, id: &RemoteId, who: &AccountRef) -> Result<Membership, Fault> {
        let (role, person) = (held_id("Datadog", id.as_str())?, super::person(who)?);
        let call = self.client.call("give role", Method::POST, &["roles", role, "users"]).repeat(Repeat::Idempotent);
        match self.client.send(cx, call.json(&user(person))).await? {
            Answer::Yes(success) => success.json::<serde::de::IgnoredAny>().map(|_| Membership::Present),
            Answer::No(refusal) if refusal.conflict() => Ok(Membership::Present),
            Answer::No(refusal) if refusal.absent() => match self.role(cx, id).await? {
                Some(_) => Err(refusal.because(FaultKind::Refused, "Datadog does not know this user.")),
                None => Err(no_role()),
            },
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }
}

fn no_role() -> Fault {
    Fault::new(FaultKind::NotFound, "The role is not there any more at Datadog.")
}

#[async_trait]
impl Groups for Roles {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<RemoteGroup>, Fault> {
        let call = self.client.call("list roles", Method::GET, &["roles"]);
        let (roles, next) = self.client.numbered::<Role>(cx, call, page).await?.ok_or_else(no_role)?;
        let items = roles.into_iter().map(Role::group).collect::<Result<_, _>>()?;
        Ok(Page { items, next, complete: true })
    }

    async fn find(&self, cx: &Cx<'_>, name: &str) -> Result<Vec<RemoteGroup>, Fault> {
        let wanted = name.trim().to_lowercase();
        let all = self.holding(cx, name.trim()).await?;
        let same = all.into_iter().filter(|role| role.attributes.name.trim().to_lowercase() == wanted);
        same.map(Role::group).collect()
    }

    async fn get(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
        self.role(cx, id).await
    }

    async fn create(&self, cx: &Cx<'_>, want: &GroupWant) -> Result<GroupCreated, Fault> {
        // A role's name is not unique at Datadog, so it is looked first.
        if let Some(role) = self.find(cx, &want.name).await?.into_iter().next() {
            return Ok(GroupCreated::AlreadyThere(role));
        }
        let body = json!({ "data": { "type": "roles", "attributes": { "name": want.name } } });
        let call = self.client.call("create role", Method::POST, &["roles"]).json(&body);
        let role = self.client.send(cx, call).await?.success()?.json::<One>()?.data;
        role.group().map(GroupCreated::Done).map_err(|fault| fault.effect(Effect::Unknown))
    }

    async fn update(&self, cx: &Cx<'_>, id: &RemoteId, change: &GroupChange) -> Result<GroupUpdated, Fault> {
        let Some(role) = self.role(cx, id).await? else {
            return Ok(GroupUpdated::AlreadyGone);
        };
        let Some(name) = change.name.as_ref().filter(|name| **name != role.name) else {
            return Ok(GroupUpdated::Done(role));
        };
        if self.find(cx, name).await?.iter().any(|other| other.id != *id) {
            return Err(Fault::new(FaultKind::NameTaken, "Another role has this name. Rename one of them."));
        }
        let key = id.as_str();
        let body = json!({ "data": { "type": "roles", "id": key, "attributes": { "name": name } } });
        let call = self.client.call("rename role", Method::PATCH, &["roles", key]).json(&body);
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => success.json::<One>()?.data.group().map(GroupUpdated::Done),
            Answer::No(refusal) if refusal.absent() => Ok(GroupUpdated::AlreadyGone),
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn remove(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Removed, Fault> {
        let path = ["roles", held_id("Datadog", id.as_str())?];
        let removed = self.client.remove(cx, "delete role", "role", &path).await?;
        if removed == Removed::AlreadyGone && self.role(cx, id).await?.is_some() {
            return Err(shown_all_the_same("Datadog"));
        }
        Ok(removed)
    }

    async fn members(&self, cx: &Cx<'_>, id: &RemoteId, page: Option<&PageToken>) -> Result<Page<Member>, Fault> {
        let path = ["roles", held_id("Datadog", id.as_str())?, "users"];
        let call = self.client.call("list role's users", Method::GET, &path);
        let (users, next) = self.client.numbered::<User>(cx, call, page).await?.ok_or_else(no_role)?;
        let member = |user: User| -> Result<Member, Fault> {
            Ok(Member::of(AccountRef::Account { id: remote_id("Datadog", &user.id)?, login: None }))
        };
        Ok(Page { items: users.into_iter().map(member).collect::<Result<_, _>>()?, next, complete: true })
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
            answers.push(match (held_id("Datadog", id.as_str()), super::person(who)) {
                (Ok(role), Ok(person)) => self.take(cx, role, person).await,
                (Err(fault), _) | (_, Err(fault)) => Err(fault),
            });
        }
        answers
    }
}
