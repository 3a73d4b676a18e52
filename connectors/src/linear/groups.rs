//! Teams and their members.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    AccountRef, Cx, Effect, Fault, FaultKind, GroupChange, GroupCreated, GroupUpdated, GroupWant, Groups, Member,
    Membership, Page, PageToken, RemoteGroup, RemoteId, Removed, Repeat, Retry,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::accounts::{Nodes, Payload};
use super::client::{Answer, Client, PER_PAGE, Refusal, Why};
use crate::shared::{held_id, remote_id};

/// What is asked of a team.
macro_rules! team {
    () => {
        "{ id name key scimManaged archivedAt }"
    };
}
/// Teams that may be changed, and not `teams`: that leaves out private ones the key's user is not in.
const LIST: &str = concat!(
    "query($first: Int!, $after: String) { administrableTeams(first: $first, after: $after) { nodes ",
    team!(),
    " pageInfo { hasNextPage endCursor } } }"
);
const FIND: &str = concat!(
    "query($name: String!) { administrableTeams(filter: { name: { eqIgnoreCase: $name } }, first: 10) { nodes ",
    team!(),
    " } }"
);
const GET: &str = concat!("query($id: String!) { team(id: $id) ", team!(), " }");
const GET_AND_FIND: &str = concat!(
    "query($id: String!, $name: String!) { team(id: $id) ",
    team!(),
    " administrableTeams(filter: { name: { eqIgnoreCase: $name } }, first: 10) { nodes ",
    team!(),
    " } }"
);
const CREATE: &str =
    concat!("mutation($input: TeamCreateInput!) { teamCreate(input: $input) { success team ", team!(), " } }");
const RENAME: &str = concat!(
    "mutation($id: String!, $input: TeamUpdateInput!) { teamUpdate(id: $id, input: $input) { success team ",
    team!(),
    " } }"
);
const DELETE: &str = "mutation($id: String!) { teamDelete(id: $id) { success } }";
const MEMBERS: &str = "query($id: String!, $first: Int!, $after: String) { team(id: $id) { archivedAt memberships(first: $first, after: $after) { nodes { owner user { id app isMe } } pageInfo { hasNextPage endCursor } } } }";
const MEMBER: &str =
    "query($id: String!, $user: String!) { team(id: $id) { archivedAt membership(userId: $user) { id } } }";
const ADD: &str = "mutation($input: TeamMembershipCreateInput!) { teamMembershipCreate(input: $input) { success } }";
const TAKE_OUT: &str = "mutation($id: String!) { teamMembershipDelete(id: $id) { success } }";

/// Teams of one workspace.
pub(super) struct Teams {
    /// The way there.
    pub(super) client: Arc<Client>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Team {
    id: String,
    name: String,
    key: Option<String>,
    scim_managed: bool,
    archived_at: Option<Timestamp>,
}

impl Team {
    fn group(self) -> Result<RemoteGroup, Fault> {
        let mut group = RemoteGroup::new(remote_id("Linear", &self.id)?, self.name);
        group.slug = self.key;
        group.protected = self.scim_managed;
        Ok(group)
    }
}

#[derive(Deserialize)]
struct Few {
    nodes: Vec<Team>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Changed {
    #[serde(alias = "teamCreate", alias = "teamUpdate")]
    payload: WithTeam,
}

#[derive(Deserialize)]
struct WithTeam {
    team: Option<Team>,
}

fn no_team() -> Fault {
    Fault::new(FaultKind::NotFound, "The team is not there any more at Linear.")
}

/// The teams of that name among those that a filter of the target let through.
fn named(teams: Vec<Team>, name: &str) -> Result<Vec<RemoteGroup>, Fault> {
    let wanted = name.trim().to_lowercase();
    let same = |team: &Team| team.archived_at.is_none() && team.name.trim().to_lowercase() == wanted;
    teams.into_iter().filter(same).map(Team::group).collect()
}

/// The user's id of a person who can be in a team.
fn person(who: &AccountRef) -> Result<&str, Fault> {
    match who {
        AccountRef::Account { id, .. } => held_id("Linear", id.as_str()),
        AccountRef::Invite { .. } => Err(Fault::new(
            FaultKind::Refused,
            "An invited person can be in a team only after accepting the invitation.",
        )
        .retry(Retry::Soon)),
    }
}

impl Teams {
    async fn team(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
        #[derive(Deserialize)]
        struct Data {
            team: Team,
        }
        let variables = json!({ "id": held_id("Linear", id.as_str())? });
        match self.client.ask::<Data>(cx, "get team", Repeat::Read, GET, variables).await? {
            // A deleted team is archived until its data is gone.
            Answer::Yes(data) if data.team.archived_at.is_some() => Ok(None),
            Answer::Yes(data) => data.team.group().map(Some),
            Answer::No(refusal) if refusal.why == Why::Absent => Ok(None),
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    /// The id of a person's membership; a team that is not there is `NotFound`.
    async fn membership(&self, cx: &Cx<'_>, team: &str, user: &str) -> Result<Option<String>, Fault> {
        #[derive(Deserialize)]
        struct Data {
            team: Within,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Within {
            archived_at: Option<Timestamp>,
            membership: Option<Identified>,
        }
        #[derive(Deserialize)]
        struct Identified {
            id: String,
        }
        let variables = json!({ "id": team, "user": user });
        match self.client.ask::<Data>(cx, "get team membership", Repeat::Read, MEMBER, variables).await? {
            Answer::Yes(data) if data.team.archived_at.is_some() => Err(no_team()),
            Answer::Yes(data) => Ok(data.team.membership.map(|membership| membership.id)),
            // The team or the person: a look at the team tells.
            Answer::No(refusal) if refusal.why == Why::Absent => match self.team(cx, &RemoteId::new(team)).await? {
                Some(_) => Ok(None),
                None => Err(no_team()),
            },
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn add(&self, cx: &Cx<'_>, id: &RemoteId, who: &AccountRef) -> Result<Membership, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            team_membership_create: Payload,
        }
        let (team, user) = (held_id("Linear", id.as_str())?, person(who)?);
        let variables = json!({ "input": { "teamId": team, "userId": user } });
        let asked = self.client.ask::<Data>(cx, "add team member", Repeat::Idempotent, ADD, variables).await?;
        let refusal = match asked {
            Answer::Yes(data) => {
                return data.team_membership_create.done("add team member").map(|()| Membership::Present);
            }
            Answer::No(refusal) => refusal,
        };
        if !matches!(refusal.why, Why::Input | Why::Absent) {
            return Err(refusal.fault());
        }
        if self.membership(cx, team, user).await?.is_some() {
            return Ok(Membership::Present);
        }
        Err(not_a_member(&refusal))
    }

    async fn take_out(&self, cx: &Cx<'_>, id: &RemoteId, who: &AccountRef) -> Result<Membership, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            team_membership_delete: Payload,
        }
        let (team, user) = (held_id("Linear", id.as_str())?, person(who)?);
        let Some(membership) = self.membership(cx, team, user).await? else {
            return Ok(Membership::Absent);
        };
        let variables = json!({ "id": membership });
        match self.client.ask::<Data>(cx, "remove team member", Repeat::Idempotent, TAKE_OUT, variables).await? {
            Answer::Yes(data) => data.team_membership_delete.done("remove team member").map(|()| Membership::Absent),
            Answer::No(refusal) if refusal.why == Why::Absent => Ok(Membership::Absent),
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }
}

fn not_a_member(refusal: &Refusal) -> Fault {
    refusal
        .because(FaultKind::Refused, "Only active users of the workspace can be in a team, and this person is none.")
        .retry(Retry::Soon)
}

#[async_trait]
impl Groups for Teams {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<RemoteGroup>, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            administrable_teams: Nodes<Team>,
        }
        let variables = json!({ "first": PER_PAGE, "after": page.map(|page| &page.0) });
        let asked = self.client.ask::<Data>(cx, "list teams", Repeat::Read, LIST, variables).await?;
        let Nodes { nodes, page_info } = asked.success()?.administrable_teams;
        let living = nodes.into_iter().filter(|team| team.archived_at.is_none());
        Ok(Page {
            items: living.map(Team::group).collect::<Result<_, _>>()?,
            next: page_info.next(page)?,
            complete: true,
        })
    }

    async fn find(&self, cx: &Cx<'_>, name: &str) -> Result<Vec<RemoteGroup>, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            administrable_teams: Few,
        }
        let variables = json!({ "name": name.trim() });
        let asked = self.client.ask::<Data>(cx, "find teams by name", Repeat::Read, FIND, variables).await?;
        named(asked.success()?.administrable_teams.nodes, name)
    }

    async fn get(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
        self.team(cx, id).await
    }

    async fn create(&self, cx: &Cx<'_>, want: &GroupWant) -> Result<GroupCreated, Fault> {
        // Two teams may have one name at Linear; only keys are unique, and it chooses them itself.
        if let Some(group) = self.find(cx, &want.name).await?.into_iter().next() {
            return Ok(GroupCreated::AlreadyThere(group));
        }
        let variables = json!({ "input": { "name": want.name } });
        match self.client.ask::<Changed>(cx, "create team", Repeat::Verifiable, CREATE, variables).await? {
            Answer::Yes(Changed { payload: WithTeam { team: Some(team) } }) => {
                team.group().map(GroupCreated::Done).map_err(|fault| fault.effect(Effect::Unknown))
            }
            Answer::Yes(_) => {
                Err(Fault::new(FaultKind::Malformed, "Linear's answer does not name the team that it created.")
                    .context("create team: no team in the answer"))
            }
            Answer::No(refusal) if refusal.says(&["key"]) && refusal.says(&["taken", "unique", "already"]) => {
                Err(refusal.because(FaultKind::NameTaken, "The key that Linear makes of this name is taken."))
            }
            Answer::No(refusal) if refusal.why == Why::Usage => Err(refusal
                .because(FaultKind::Quota, "The workspace's plan allows no more teams.")
                .retry(Retry::AfterOperator)),
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn tidy(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<(), Fault> {
        let own = self.client.own(cx).await?.to_owned();
        let own = AccountRef::Account { id: RemoteId::new(own), login: None };
        self.take_out(cx, id, &own).await.map(|_| ())
    }

    async fn update(&self, cx: &Cx<'_>, id: &RemoteId, change: &GroupChange) -> Result<GroupUpdated, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            team: Team,
            administrable_teams: Few,
        }
        let Some(name) = &change.name else {
            return Ok(self.team(cx, id).await?.map_or(GroupUpdated::AlreadyGone, GroupUpdated::Done));
        };
        let key = held_id("Linear", id.as_str())?;
        let variables = json!({ "id": key, "name": name.trim() });
        let asked =
            self.client.ask::<Data>(cx, "get team and namesakes", Repeat::Read, GET_AND_FIND, variables).await?;
        let data = match asked {
            Answer::Yes(data) if data.team.archived_at.is_some() => return Ok(GroupUpdated::AlreadyGone),
            Answer::Yes(data) => data,
            Answer::No(refusal) if refusal.why == Why::Absent => return Ok(GroupUpdated::AlreadyGone),
            Answer::No(refusal) => return Err(refusal.fault()),
        };
        if named(data.administrable_teams.nodes, name)?.iter().any(|other| other.id != *id) {
            return Err(Fault::new(FaultKind::NameTaken, "Another team has this name. Rename one of them."));
        }
        if data.team.name == *name {
            return data.team.group().map(GroupUpdated::Done);
        }
        let variables = json!({ "id": key, "input": { "name": name } });
        match self.client.ask::<Changed>(cx, "rename team", Repeat::Idempotent, RENAME, variables).await? {
            Answer::Yes(Changed { payload: WithTeam { team: Some(team) } }) => {
                team.group().map(GroupUpdated::Done).map_err(|fault| fault.effect(Effect::Unknown))
            }
            Answer::Yes(_) => {
                Err(Fault::new(FaultKind::Malformed, "Linear's answer does not show the team that it renamed.")
                    .context("rename team: no team in the answer"))
            }
            Answer::No(refusal) if refusal.why == Why::Absent => Ok(GroupUpdated::AlreadyGone),
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn remove(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Removed, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            team_delete: Payload,
        }
        if self.team(cx, id).await?.is_none() {
            return Ok(Removed::AlreadyGone);
        }
        let variables = json!({ "id": id.as_str() });
        match self.client.ask::<Data>(cx, "delete team", Repeat::Idempotent, DELETE, variables).await? {
            Answer::Yes(data) => data.team_delete.done("delete team").map(|()| Removed::Done),
            Answer::No(refusal) if refusal.why == Why::Absent => Ok(Removed::AlreadyGone),
            Answer::No(refusal) => Err(refusal.because(FaultKind::Refused, "Linear does not delete this team.")),
        }
    }

    async fn members(&self, cx: &Cx<'_>, id: &RemoteId, page: Option<&PageToken>) -> Result<Page<Member>, Fault> {
        #[derive(Deserialize)]
        struct Data {
            team: Within,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Within {
            archived_at: Option<Timestamp>,
            memberships: Nodes<Node>,
        }
        #[derive(Deserialize)]
        struct Node {
            owner: bool,
            user: Who,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Who {
            id: String,
            app: bool,
            is_me: bool,
        }
        let variables = json!({
            "id": held_id("Linear", id.as_str())?, "first": PER_PAGE, "after": page.map(|page| &page.0),
        });
        let asked = self.client.ask::<Data>(cx, "list team members", Repeat::Read, MEMBERS, variables).await?;
        let within = match asked {
            Answer::Yes(data) if data.team.archived_at.is_some() => return Err(no_team()),
            Answer::Yes(data) => data.team.memberships,
            Answer::No(refusal) if refusal.why == Why::Absent => return Err(no_team()),
            Answer::No(refusal) => return Err(refusal.fault()),
        };
        let people = within.nodes.into_iter().filter(|node| !node.user.app || node.user.is_me);
        let member = |node: Node| -> Result<Member, Fault> {
            let id = remote_id("Linear", &node.user.id)?;
            let mut member = Member::of(AccountRef::Account { id, login: None });
            member.role = node.owner.then(|| "owner".to_owned());
            Ok(member)
        };
        Ok(Page {
            items: people.map(member).collect::<Result<_, _>>()?,
            next: within.page_info.next(page)?,
            complete: true,
        })
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
