//! User groups and their members.
//!
//! Slack deletes no user group and refuses to empty one: both are said by disabling it. So a disabled
//! user group is an **empty** one, and a removed one is disabled and bears a mark in its name, which
//! also frees the name and the handle for a new one.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    AccountRef, Cx, Effect, Fault, FaultKind, GroupChange, GroupCreated, GroupUpdated, GroupWant, Groups, Member,
    Membership, Page, PageToken, RemoteGroup, RemoteId, Removed, Repeat, Retry,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::limits::{CREATE, DISABLE, ENABLE, LIST, MEMBERS, UPDATE};
use crate::shared::{held_id, remote_id};

/// How much of a removed user group's name is kept before the mark.
const KEPT: usize = 40;

/// User groups of one workspace.
pub(super) struct UserGroups {
    /// The way there.
    pub(super) client: Arc<Client>,
}

#[derive(Clone, Deserialize)]
struct UserGroup {
    id: String,
    name: String,
    handle: Option<String>,
    /// 0, or when it was disabled.
    #[serde(default)]
    date_delete: i64,
    #[serde(default)]
    is_external: bool,
    /// `owner` or `admin` for Slack's own groups of those.
    #[serde(default)]
    auto_type: Option<String>,
    #[serde(default)]
    users: Vec<String>,
}

#[derive(Deserialize)]
struct One {
    usergroup: UserGroup,
}

impl UserGroup {
    fn disabled(&self) -> bool {
        self.date_delete != 0
    }

    fn mark(&self) -> String {
        format!(" (removed {})", self.id)
    }

    /// Whether it counts as gone.
    fn removed(&self) -> bool {
        self.name.ends_with(&self.mark())
    }

    fn members(&self) -> &[String] {
        if self.disabled() { &[] } else { &self.users }
    }

    fn group(&self) -> Result<RemoteGroup, Fault> {
        let mut group = RemoteGroup::new(remote_id("Slack", &self.id)?, self.name.clone());
        group.slug.clone_from(&self.handle);
        group.protected = self.is_external || self.auto_type.is_some();
        Ok(group)
    }
}

fn no_group() -> Fault {
    Fault::new(FaultKind::NotFound, "The user group is not there any more at Slack.")
}

fn taken() -> Fault {
    Fault::new(
        FaultKind::NameTaken,
        "Another user group has this name, or its handle is taken by a user group, a channel or a person. Rename one of them.",
    )
}

impl UserGroups {
    /// All that are not removed. Slack has no way to read one.
    async fn all(&self, cx: &Cx<'_>) -> Result<Vec<UserGroup>, Fault> {
        #[derive(Deserialize)]
        struct Body {
            usergroups: Vec<UserGroup>,
        }
        let query = [("include_disabled", "true"), ("include_users", "true")];
        Ok(self.client.get::<Body>(cx, LIST, &query).await?.success()?.usergroups)
    }

    async fn one(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<UserGroup>, Fault> {
        held_id("Slack", id.as_str())?;
        Ok(self.all(cx).await?.into_iter().find(|group| group.id == id.as_str()))
    }

    async fn named(&self, cx: &Cx<'_>, name: &str) -> Result<Vec<UserGroup>, Fault> {
        let wanted = name.trim().to_lowercase();
        let mut all = self.all(cx).await?;
        all.retain(|group| !group.removed() && group.name.trim().to_lowercase() == wanted);
        Ok(all)
    }

    async fn write(
        &self,
        cx: &Cx<'_>,
        method: (&'static str, &'static str, u32),
        body: Value,
    ) -> Result<Answer<UserGroup>, Fault> {
        Ok(match self.client.post::<One>(cx, method, Repeat::Idempotent, &body).await? {
            Answer::Yes(One { usergroup }) => Answer::Yes(usergroup),
            Answer::No(refusal) => Answer::No(refusal),
        })
    }

    /// Brings a disabled one back. One that is enabled stays so.
    async fn enable(&self, cx: &Cx<'_>, id: &str) -> Result<(), Fault> {
        match self.write(cx, ENABLE, json!({ "usergroup": id })).await? {
            Answer::Yes(_) => Ok(()),
            Answer::No(refusal) if refusal.is(&["already_enabled"]) => Ok(()),
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn disable(&self, cx: &Cx<'_>, id: &str) -> Result<(), Fault> {
        match self.write(cx, DISABLE, json!({ "usergroup": id })).await? {
            Answer::Yes(_) => Ok(()),
            Answer::No(refusal) if refusal.is(&["already_disabled"]) => Ok(()),
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    /// Changes name or handle. Whether Slack lets a disabled one be changed is not documented, so it is
    /// brought back for as long as that takes.
    async fn edit(&self, cx: &Cx<'_>, group: &UserGroup, fields: Value) -> Result<UserGroup, Fault> {
        let mut body = fields;
        body["usergroup"] = Value::from(group.id.as_str());
        if group.disabled() {
            self.enable(cx, &group.id).await?;
        }
        let edited = match self.write(cx, UPDATE, body).await? {
            Answer::Yes(edited) => Ok(edited),
            Answer::No(refusal) if refusal.is(&["name_already_exists", "handle_already_exists"]) => Err(taken()),
            Answer::No(refusal) => Err(refusal.fault()),
        };
        if group.disabled() {
            self.disable(cx, &group.id).await?;
        }
        edited
    }

    /// Makes these the members, and nobody else.
    async fn set(&self, cx: &Cx<'_>, group: &UserGroup, users: &[String]) -> Result<(), Fault> {
        if users.is_empty() {
            // Slack refuses an empty list; who is in a disabled one is in none.
            return self.disable(cx, &group.id).await;
        }
        if group.disabled() {
            self.enable(cx, &group.id).await?;
        }
        let body = json!({ "usergroup": group.id, "users": users.join(",") });
        match self.write(cx, MEMBERS, body).await? {
            Answer::Yes(_) => Ok(()),
            Answer::No(refusal)
                if refusal.is(&["invalid_users", "user_not_found", "users_not_found", "user_is_deactivated"]) =>
            {
                Err(refusal
                    .because(FaultKind::Refused, "Only active people of the workspace can be in a user group.")
                    .retry(Retry::Soon))
            }
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    /// Reads, changes and writes the list of members; the engine does one change of a group at a time.
    async fn change(&self, cx: &Cx<'_>, id: &RemoteId, add: &[&str], remove: &[&str]) -> Result<(), Fault> {
        let group = self.one(cx, id).await?.filter(|group| !group.removed()).ok_or_else(no_group)?;
        let mut users = group.members().to_vec();
        users.retain(|user| !remove.contains(&user.as_str()));
        for user in add {
            if !users.iter().any(|known| known == user) {
                users.push((*user).to_owned());
            }
        }
        if users == group.members() { Ok(()) } else { self.set(cx, &group, &users).await }
    }
}

/// The user's id of a person who can be in a group.
fn person(who: &AccountRef) -> Result<&str, Fault> {
    match who {
        AccountRef::Account { id, .. } => held_id("Slack", id.as_str()),
        AccountRef::Invite { .. } => {
            Err(Fault::new(FaultKind::Refused, "An invited person can be in a user group only after joining.")
                .retry(Retry::Soon))
        }
    }
}

#[async_trait]
impl Groups for UserGroups {
    async fn list(&self, cx: &Cx<'_>, _page: Option<&PageToken>) -> Result<Page<RemoteGroup>, Fault> {
        let all = self.all(cx).await?;
        let there = all.iter().filter(|group| !group.removed());
        Ok(Page::last(there.map(UserGroup::group).collect::<Result<_, _>>()?))
    }

    async fn find(&self, cx: &Cx<'_>, name: &str) -> Result<Vec<RemoteGroup>, Fault> {
        self.named(cx, name).await?.iter().map(UserGroup::group).collect()
    }

    async fn get(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
        self.one(cx, id).await?.filter(|group| !group.removed()).map(|group| group.group()).transpose()
    }

    async fn create(&self, cx: &Cx<'_>, want: &GroupWant) -> Result<GroupCreated, Fault> {
        if let Some(group) = self.named(cx, &want.name).await?.first() {
            return group.group().map(GroupCreated::AlreadyThere);
        }
        let body = json!({ "name": want.name });
        match self.client.post::<One>(cx, CREATE, Repeat::Verifiable, &body).await? {
            Answer::Yes(One { usergroup }) => {
                usergroup.group().map(GroupCreated::Done).map_err(|fault| fault.effect(Effect::Unknown))
            }
            Answer::No(refusal) if refusal.is(&["name_already_exists", "handle_already_exists"]) => {
                match self.named(cx, &want.name).await?.first() {
                    Some(group) => group.group().map(GroupCreated::AlreadyThere),
                    None => Err(taken()),
                }
            }
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn update(&self, cx: &Cx<'_>, id: &RemoteId, change: &GroupChange) -> Result<GroupUpdated, Fault> {
        let all = self.all(cx).await?;
        let Some(group) = all.iter().find(|group| group.id == id.as_str() && !group.removed()) else {
            return Ok(GroupUpdated::AlreadyGone);
        };
        let Some(name) = change.name.as_ref().filter(|name| **name != group.name) else {
            return group.group().map(GroupUpdated::Done);
        };
        let wanted = name.trim().to_lowercase();
        let other = |one: &&UserGroup| one.id != group.id && !one.removed() && one.name.trim().to_lowercase() == wanted;
        if all.iter().any(|one| other(&one)) {
            return Err(taken());
        }
        self.edit(cx, group, json!({ "name": name })).await?.group().map(GroupUpdated::Done)
    }

    async fn remove(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Removed, Fault> {
        let Some(group) = self.one(cx, id).await? else {
            return Ok(Removed::AlreadyGone);
        };
        if group.removed() {
            // The mark was set and the rest was lost.
            if !group.disabled() {
                self.disable(cx, &group.id).await?;
            }
            return Ok(Removed::AlreadyGone);
        }
        let kept: String = group.name.chars().take(KEPT).collect();
        let name = format!("{kept}{}", group.mark());
        let handle = format!("removed-{}", group.id.to_lowercase());
        self.edit(cx, &group, json!({ "name": name, "handle": handle })).await?;
        if !group.disabled() {
            self.disable(cx, &group.id).await?;
        }
        Ok(Removed::Done)
    }

    async fn members(&self, cx: &Cx<'_>, id: &RemoteId, _page: Option<&PageToken>) -> Result<Page<Member>, Fault> {
        let group = self.one(cx, id).await?.filter(|group| !group.removed()).ok_or_else(no_group)?;
        let member = |user: &String| -> Result<Member, Fault> {
            Ok(Member::of(AccountRef::Account { id: remote_id("Slack", user)?, login: None }))
        };
        Ok(Page::last(group.members().iter().map(member).collect::<Result<_, _>>()?))
    }

    async fn change_members(
        &self,
        cx: &Cx<'_>,
        id: &RemoteId,
        add: &[AccountRef],
        remove: &[AccountRef],
    ) -> Vec<Result<Membership, Fault>> {
        let wishes: Vec<(bool, Result<&str, Fault>)> =
            add.iter().map(|who| (true, person(who))).chain(remove.iter().map(|who| (false, person(who)))).collect();
        let sound = |wanted: bool| -> Vec<&str> {
            let some = wishes.iter().filter(|(add, _)| *add == wanted);
            some.filter_map(|(_, user)| user.as_ref().ok().copied()).collect()
        };
        let (adding, removing) = (sound(true), sound(false));
        let whole = self.change(cx, id, &adding, &removing).await;
        // One whom Slack refuses must not keep out the others: then each goes alone.
        let alone = adding.len() + removing.len() > 1
            && whole.as_ref().is_err_and(|fault| fault.kind == FaultKind::Refused && fault.effect == Effect::None);
        let mut answers = Vec::with_capacity(wishes.len());
        for (add, user) in &wishes {
            let done = match user {
                Err(fault) => Err(fault.clone()),
                Ok(user) if alone && *add => self.change(cx, id, &[user], &[]).await,
                Ok(user) if alone => self.change(cx, id, &[], &[user]).await,
                Ok(_) => whole.clone(),
            };
            answers.push(done.map(|()| if *add { Membership::Present } else { Membership::Absent }));
        }
        answers
    }
}
