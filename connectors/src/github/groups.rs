//! Teams. Calls go by the numbers of organisation and team: a slug changes with the name.

use std::sync::PoisonError;

use async_trait::async_trait;
use connector_sdk::{
    AccountRef, Cx, Effect, Fault, FaultKind, GroupChange, GroupCreated, GroupUpdated, GroupWant, Groups, Member,
    Membership, Page, PageToken, RemoteGroup, RemoteId, Removed, Repeat, Reply,
};
use http::Method;
use serde_json::json;

use super::Org as Organization;
use super::accounts::{page_number, page_token};
use super::answers::{says, words};
use super::auth::Auth;
use super::seats::{number, same};
use super::wire::{Org, Team, User};

/// What a page token of a team's pending members begins with.
pub(super) const PENDING: &str = "pending:";

#[async_trait]
impl Groups for Organization {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<RemoteGroup>, Fault> {
        let listing = self
            .client
            .org_page::<Team>(cx, "list teams", &["orgs", &self.client.org, "teams"], &[], page_number(page)?)
            .await?;
        Ok(Page {
            items: listing.items.into_iter().map(group).collect(),
            next: listing.next.map(page_token),
            complete: listing.complete && self.sees_all(cx).await?,
        })
    }

    async fn find(&self, cx: &Cx<'_>, name: &str) -> Result<Vec<RemoteGroup>, Fault> {
        let name = name.trim();
        let guess = slug(name);
        if !guess.is_empty() {
            let path = ["orgs", &self.client.org, "teams", &guess];
            let team: Option<Team> = self.client.object(cx, "get team by slug", &path).await?;
            if let Some(team) = team.filter(|team| same_name(&team.name, name)) {
                return Ok(vec![group(team)]);
            }
        }
        // GitHub does not say how it makes slugs: only the whole list tells that there is none.
        let mut found = Vec::new();
        let mut page = Some(1);
        while let Some(number) = page.take() {
            let listing = self
                .client
                .org_page::<Team>(cx, "list teams", &["orgs", &self.client.org, "teams"], &[], number)
                .await?;
            if !listing.complete {
                return Err(self.left_out("list teams"));
            }
            found.extend(listing.items.into_iter().filter(|team| same_name(&team.name, name)).map(group));
            page = self.follow_on(listing.next)?;
        }
        Ok(found)
    }

    async fn get(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
        let path = self.team_path(cx, id).await?;
        self.team(cx, &path).await.map(|team| team.map(group))
    }

    async fn create(&self, cx: &Cx<'_>, want: &GroupWant) -> Result<GroupCreated, Fault> {
        let name = "create team";
        let call = self
            .client
            .call(name, Method::POST, &["orgs", &self.client.org, "teams"])
            .json(&json!({ "name": want.name, "privacy": self.settings.team_privacy.word() }));
        let reply = self.client.send(cx, call).await?;
        match reply.status.as_u16() {
            201 => Ok(GroupCreated::Done(group(self.client.read(name, &reply)?))),
            422 if taken(&reply) => {
                let found = Groups::find(self, cx, &want.name).await?;
                match <[RemoteGroup; 1]>::try_from(found) {
                    Ok([found]) => Ok(GroupCreated::AlreadyThere(found)),
                    Err(_) => Err(self.name_taken(name, &want.name, &reply)),
                }
            }
            422 => Err(self.bad_team(name, &want.name, &reply)),
            _ => Err(self.client.refusal(name, &reply)),
        }
    }

    async fn tidy(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<(), Fault> {
        // GitHub makes the user of a token a maintainer of a team it creates; an App is no user.
        if matches!(self.client.auth, Auth::App(_)) {
            return Ok(());
        }
        let path = self.team_path(cx, id).await?;
        let own = self.own_now(cx).await?;
        let name = "leave team";
        let call =
            self.client.call(name, Method::DELETE, &path.with(&["memberships", &own.login])).repeat(Repeat::Idempotent);
        let reply = self.client.send(cx, call).await?;
        match reply.status.as_u16() {
            204 | 404 => Ok(()),
            _ => Err(self.client.refusal(name, &reply)),
        }
    }

    async fn update(&self, cx: &Cx<'_>, id: &RemoteId, change: &GroupChange) -> Result<GroupUpdated, Fault> {
        let path = self.team_path(cx, id).await?;
        let Some(new) = &change.name else {
            let team = self.team(cx, &path).await?;
            return Ok(team.map_or(GroupUpdated::AlreadyGone, |team| GroupUpdated::Done(group(team))));
        };
        let name = "rename team";
        let call = self
            .client
            .call(name, Method::PATCH, &path.with(&[]))
            .repeat(Repeat::Idempotent)
            .json(&json!({ "name": new }));
        let reply = self.client.send(cx, call).await?;
        match reply.status.as_u16() {
            // Both are documented.
            200 | 201 => Ok(GroupUpdated::Done(group(self.client.read(name, &reply)?))),
            404 => match self.team(cx, &path).await? {
                None => Ok(GroupUpdated::AlreadyGone),
                Some(_) => Err(self.client.refusal(name, &reply)),
            },
            422 if taken(&reply) => Err(self.name_taken(name, new, &reply)),
            422 => Err(self.bad_team(name, new, &reply)),
            _ => Err(self.client.refusal(name, &reply)),
        }
    }

    async fn remove(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Removed, Fault> {
        let path = self.team_path(cx, id).await?;
        let children = self.client.page::<Team>(cx, "list child teams", &path.with(&["teams"]), &[], 1).await?;
        if children.is_some_and(|children| !children.items.is_empty()) {
            return Err(Fault::new(
                FaultKind::Protected,
                "The team has child teams, which GitHub would delete with it. Move them to another parent on GitHub first.",
            )
            .context("delete team: has child teams"));
        }
        let name = "delete team";
        let call = self.client.call(name, Method::DELETE, &path.with(&[])).repeat(Repeat::Idempotent);
        let reply = self.client.send(cx, call).await?;
        match reply.status.as_u16() {
            204 => Ok(Removed::Done),
            404 => match self.team(cx, &path).await? {
                None => Ok(Removed::AlreadyGone),
                Some(_) => Err(self.client.refusal(name, &reply)),
            },
            _ => Err(self.client.refusal(name, &reply)),
        }
    }

    async fn members(&self, cx: &Cx<'_>, id: &RemoteId, page: Option<&PageToken>) -> Result<Page<Member>, Fault> {
        let path = self.team_path(cx, id).await?;
        let pending = page.and_then(|token| token.0.strip_prefix(PENDING));
        if let Some(number) = pending {
            let token = PageToken(number.to_owned());
            return self.pending_members(cx, &path, page_number(Some(&token))?).await;
        }
        let name = "list team members";
        let listing = self
            .client
            .page::<User>(cx, name, &path.with(&["members"]), &[("role", "all")], page_number(page)?)
            .await?;
        let Some(listing) = listing else {
            return Err(self.no_team(cx, &path, name).await);
        };
        let next = match listing.next {
            Some(number) => page_token(number),
            None => PageToken(format!("{PENDING}1")),
        };
        Ok(Page {
            items: listing
                .items
                .into_iter()
                .map(|user| {
                    let mut member = Member::of(AccountRef::Account {
                        id: RemoteId::new(user.id.to_string()),
                        login: Some(user.login),
                    });
                    member.role = user.role;
                    member.inherited = user.inherited.unwrap_or(false);
                    member
                })
                .collect(),
            next: Some(next),
            complete: listing.complete,
        })
    }

    async fn change_members(
        &self,
        cx: &Cx<'_>,
        id: &RemoteId,
        add: &[AccountRef],
        remove: &[AccountRef],
    ) -> Vec<Result<Membership, Fault>> {
        let path = match self.team_path(cx, id).await {
            Ok(path) => path,
            Err(fault) => return vec![Err(fault); add.len() + remove.len()],
        };
        let mut outcomes = Vec::with_capacity(add.len() + remove.len());
        for who in add {
            outcomes.push(self.add_member(cx, &path, who).await);
        }
        for who in remove {
            outcomes.push(self.remove_member(cx, &path, who).await);
        }
        outcomes
    }
}

/// The path of a team by the two numbers.
pub(super) struct TeamPath {
    org: String,
    team: String,
}

impl TeamPath {
    pub(super) fn with<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let mut path = vec!["organizations", &self.org, "team", &self.team];
        path.extend(rest);
        path
    }
}

impl Organization {
    async fn team_path(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<TeamPath, Fault> {
        let team = number(id.as_str())?.to_string();
        let known = *self.org_id.lock().unwrap_or_else(PoisonError::into_inner);
        let org = match known {
            Some(org) => org,
            None => {
                let name = "get organisation";
                let org: Org = self
                    .client
                    .object(cx, name, &["orgs", &self.client.org])
                    .await?
                    .ok_or_else(|| self.client.hidden(name))?;
                if !org.login.eq_ignore_ascii_case(&self.client.org) {
                    return Err(Fault::new(
                        FaultKind::Refused,
                        format!(
                            "GitHub answers for {} with another organisation, {}. Check the setting org.",
                            self.client.org, org.login
                        ),
                    )
                    .context("get organisation: another login"));
                }
                *self.org_id.lock().unwrap_or_else(PoisonError::into_inner) = Some(org.id);
                org.id
            }
        };
        Ok(TeamPath { org: org.to_string(), team })
    }

    /// Reads a team; `None` only if the credential still sees every team, because GitHub also
    /// answers 404 to one without the right.
    pub(super) async fn team(&self, cx: &Cx<'_>, path: &TeamPath) -> Result<Option<Team>, Fault> {
        let team = self.client.object(cx, "get team", &path.with(&[])).await?;
        if team.is_none() {
            self.client.org_page::<Team>(cx, "list teams", &["orgs", &self.client.org, "teams"], &[], 1).await?;
            if !self.sees_all(cx).await? {
                return Err(Fault::new(
                    FaultKind::Permission,
                    "The team is deleted or secret: the credential is not an owner's, so GitHub does not tell which. Use an owner's credential, or make the team visible on GitHub.",
                )
                .context("get team: 404 to one who is no owner"));
            }
        }
        Ok(team)
    }

    /// The fault for a 404 below a team.
    pub(super) async fn no_team(&self, cx: &Cx<'_>, path: &TeamPath, name: &'static str) -> Fault {
        match self.team(cx, path).await {
            Ok(None) => gone(name),
            Ok(Some(_)) => self.client.hidden(name),
            Err(fault) => fault,
        }
    }

    fn name_taken(&self, name: &'static str, team: &str, reply: &Reply) -> Fault {
        Fault::new(
            FaultKind::NameTaken,
            format!("GitHub refuses the team name {team} in {}: another team has it, or the URL name that GitHub makes of it. Rename one of the two.", self.client.org),
        )
        .context(self.client.context(name, reply))
    }

    fn bad_team(&self, name: &'static str, team: &str, reply: &Reply) -> Fault {
        Fault::new(FaultKind::Refused, format!("GitHub refuses the team {team}. GitHub says: {}.", words(reply)))
            .context(self.client.context(name, reply))
    }
}

pub(super) fn gone(name: &'static str) -> Fault {
    Fault::new(FaultKind::NotFound, "The team is not there any more. Somebody deleted it on GitHub.")
        .effect(Effect::None)
        .context(format!("{name}: no such team"))
}

fn group(team: Team) -> RemoteGroup {
    let mut group = RemoteGroup::new(RemoteId::new(team.id.to_string()), team.name);
    group.slug = team.slug;
    group.protected = same(team.ownership.as_deref(), "enterprise") || team.ldap_dn.is_some();
    group
}

/// Names as GitHub tells them apart: letter case aside.
fn same_name(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.to_lowercase()
}

/// The slug that GitHub probably makes of a name: only a first guess for a look-up.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

fn taken(reply: &Reply) -> bool {
    says(reply, &["already_exists"], &["must be unique", "already exists", "already been taken"])
}
