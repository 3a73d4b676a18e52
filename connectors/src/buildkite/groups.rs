//! Teams and their members.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    AccountRef, Cx, Effect, Fault, FaultKind, GroupChange, GroupCreated, GroupUpdated, GroupWant, Groups, Member,
    Membership, Page, PageToken, RemoteGroup, RemoteId, Removed, Repeat, Retry,
};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::client::{Answer, Client, MOST_PAGES, Refusal};
use super::ids;
use super::settings::Settings;
use crate::shared::answer::Refused;

/// Creates a team. REST's answer to a creation is documented without an id, and a second call to
/// find it by name could fail when the team is there already; GraphQL names the id in the answer
/// to the one write.
const CREATE: &str =
    "mutation($input: TeamCreateInput!) { teamCreate(input: $input) { teamEdge { node { id uuid name slug } } } }";

/// Teams of one organisation.
pub(super) struct Teams {
    /// The way there.
    pub(super) client: Arc<Client>,
    /// How to create teams and add people.
    pub(super) settings: Arc<Settings>,
}

#[derive(Deserialize)]
struct TeamBody {
    id: String,
    name: String,
    slug: Option<String>,
}

/// A change's answer, documented as an echo: it may lack everything but what was sent.
#[derive(Deserialize)]
struct TeamEcho {
    name: Option<String>,
    slug: Option<String>,
}

#[derive(Deserialize)]
struct TeamMemberBody {
    user_id: String,
    role: Option<String>,
}

impl TeamBody {
    fn group(self) -> Result<RemoteGroup, Fault> {
        let mut group = RemoteGroup::new(ids::remote(&self.id)?, self.name);
        group.slug = self.slug;
        Ok(group)
    }
}

impl Teams {
    async fn team(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
        let path = ["teams", ids::in_path(id.as_str())?];
        let call = self.client.call("get team", Method::GET, &path);
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => success.json::<TeamBody>()?.group().map(Some),
            Answer::No(refusal) if refusal.status == StatusCode::NOT_FOUND => {
                self.client.confirm_absence(cx).await?;
                Ok(None)
            }
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    /// Whether a person is in a team; a team that is not there is `NotFound`.
    async fn in_team(&self, cx: &Cx<'_>, team: &str, user: &str) -> Result<bool, Fault> {
        let path = ["teams", team, "members", user];
        let call = self.client.call("get team member", Method::GET, &path);
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => Ok(success.json::<TeamMemberBody>()?.user_id == user),
            Answer::No(refusal) if refusal.status == StatusCode::NOT_FOUND => {
                match self.team(cx, &RemoteId::new(team)).await? {
                    Some(_) => Ok(false),
                    None => Err(no_team()),
                }
            }
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn add(&self, cx: &Cx<'_>, id: &RemoteId, who: &AccountRef) -> Result<Membership, Fault> {
        let (team, user) = (ids::in_path(id.as_str())?, person(who)?);
        // The vendor's page has the trailing slash.
        let path = ["teams", team, "members", ""];
        let call = self
            .client
            .call("add team member", Method::POST, &path)
            .json(&json!({ "user_id": user, "role": self.settings.team_member_role.word() }))
            .repeat(Repeat::Idempotent);
        let refusal = match self.client.send(cx, call).await? {
            Answer::Yes(success) => {
                let body: TeamMemberBody = success.json()?;
                if body.user_id == user {
                    return Ok(Membership::Present);
                }
                return Err(Fault::new(
                    FaultKind::Malformed,
                    "Buildkite answered for another person than the one who was added.",
                )
                .context("add team member: user_id differs"));
            }
            Answer::No(refusal) => refusal,
        };
        let already = refusal.status == StatusCode::UNPROCESSABLE_ENTITY && refusal.says(&["already", "been taken"]);
        if !already && !refusal.absent() {
            return Err(refusal.fault());
        }
        if self.in_team(cx, team, user).await? {
            return Ok(Membership::Present);
        }
        Err(not_a_member(&refusal))
    }

    async fn take_out(&self, cx: &Cx<'_>, id: &RemoteId, who: &AccountRef) -> Result<Membership, Fault> {
        let (team, user) = (ids::in_path(id.as_str())?, person(who)?);
        let path = ["teams", team, "members", user];
        let call = self.client.call("remove team member", Method::DELETE, &path);
        let refusal = match self.client.send(cx, call).await? {
            Answer::Yes(success) => return success.done().map(|()| Membership::Absent),
            Answer::No(refusal) => refusal,
        };
        if refusal.absent() && !self.in_team(cx, team, user).await? {
            return Ok(Membership::Absent);
        }
        Err(refusal.fault())
    }

    /// What a taken name means: a team of that name, or one whose slug is the same.
    async fn taken(&self, cx: &Cx<'_>, name: &str, fault: Fault) -> Result<GroupCreated, Fault> {
        match self.find(cx, name).await?.into_iter().next() {
            Some(group) => Ok(GroupCreated::AlreadyThere(group)),
            None => Err(fault),
        }
    }
}

fn no_team() -> Fault {
    Fault::new(FaultKind::NotFound, "The team is not there any more at Buildkite.")
}

fn not_a_member(refusal: &Refusal) -> Fault {
    refusal
        .because(FaultKind::Refused, "Only members of the organisation can be in a team, and this person is none.")
        .retry(Retry::Soon)
}

/// The user's id of a person who can be in a team.
fn person(who: &AccountRef) -> Result<&str, Fault> {
    match who {
        AccountRef::Account { id, .. } => ids::in_path(id.as_str()),
        AccountRef::Invite { .. } => Err(Fault::new(
            FaultKind::Refused,
            "An invited person can be in a team only after accepting the invitation.",
        )
        .retry(Retry::Soon)),
    }
}

#[async_trait]
impl Groups for Teams {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<RemoteGroup>, Fault> {
        let listed = self
            .client
            .numbered::<TeamBody>(cx, "list teams", &["teams"], page, |body| &body.id)
            .await?
            .ok_or_else(Client::no_such_list)?;
        Ok(Page {
            items: listed.items.into_iter().map(TeamBody::group).collect::<Result<_, _>>()?,
            next: listed.next,
            complete: true,
        })
    }

    async fn find(&self, cx: &Cx<'_>, name: &str) -> Result<Vec<RemoteGroup>, Fault> {
        let wanted = name.trim().to_lowercase();
        let mut found: Vec<RemoteGroup> = Vec::new();
        let mut page: Option<PageToken> = None;
        for _ in 0..MOST_PAGES {
            let listed = self.list(cx, page.as_ref()).await?;
            for group in listed.items {
                // A team that moved to a later page while we read is seen twice.
                if group.name.trim().to_lowercase() == wanted && found.iter().all(|seen| seen.id != group.id) {
                    found.push(group);
                }
            }
            page = listed.next;
            if page.is_none() {
                return Ok(found);
            }
        }
        Err(Fault::new(
            FaultKind::Malformed,
            "Buildkite's list of teams does not end. If this goes on, its API has changed.",
        )
        .effect(Effect::None)
        .context(format!("more than {MOST_PAGES} pages of teams")))
    }

    async fn get(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
        self.team(cx, id).await
    }

    async fn create(&self, cx: &Cx<'_>, want: &GroupWant) -> Result<GroupCreated, Fault> {
        #[derive(Deserialize)]
        struct Data {
            #[serde(rename = "teamCreate")]
            payload: Option<Payload>,
        }
        #[derive(Deserialize)]
        struct Payload {
            #[serde(rename = "teamEdge")]
            edge: Edge,
        }
        #[derive(Deserialize)]
        struct Edge {
            node: Option<Node>,
        }
        #[derive(Deserialize)]
        struct Node {
            id: Option<String>,
            uuid: Option<String>,
            name: String,
            slug: Option<String>,
        }
        let input = json!({ "input": {
            "organizationID": self.client.org_id(cx).await?,
            "name": want.name,
            "privacy": self.settings.team_privacy.graphql(),
            "isDefaultTeam": false,
            "defaultMemberRole": "MEMBER",
        }});
        let asked = self.client.ask::<Data>(cx, "create team", Repeat::Verifiable, CREATE, input).await;
        let data = match asked {
            Ok(data) => data,
            Err(fault) if fault.kind == FaultKind::NameTaken => {
                return self.taken(cx, &want.name, fault).await;
            }
            Err(fault) => return Err(fault),
        };
        let node = data.payload.and_then(|payload| payload.edge.node);
        let told = node.and_then(|node| {
            let uuid = node.uuid.or_else(|| ids::uuid("Team", node.id.as_deref()?))?;
            Some(TeamBody { id: uuid, name: node.name, slug: node.slug })
        });
        match told {
            Some(body) => body.group().map(GroupCreated::Done).map_err(|fault| fault.effect(Effect::Unknown)),
            None => Err(Fault::new(FaultKind::Malformed, "Buildkite's answer does not name the team that it created.")
                .context("create team: no id in the answer")),
        }
    }

    async fn update(&self, cx: &Cx<'_>, id: &RemoteId, change: &GroupChange) -> Result<GroupUpdated, Fault> {
        let Some(name) = &change.name else {
            return Ok(match self.team(cx, id).await? {
                Some(group) => GroupUpdated::Done(group),
                None => GroupUpdated::AlreadyGone,
            });
        };
        // REST changes what is sent and nothing else. GraphQL's teamUpdate would demand privacy
        // and default role too, and reset what another admin has set.
        let path = ["teams", ids::in_path(id.as_str())?];
        let call = self.client.call("rename team", Method::PATCH, &path).json(&json!({ "name": name }));
        let refusal = match self.client.send(cx, call).await? {
            Answer::Yes(success) => {
                let echo: TeamEcho = success.json()?;
                let mut group = RemoteGroup::new(id.clone(), echo.name.unwrap_or_else(|| name.clone()));
                group.slug = echo.slug;
                return Ok(GroupUpdated::Done(group));
            }
            Answer::No(refusal) => refusal,
        };
        if refusal.absent() {
            return match self.team(cx, id).await? {
                None => Ok(GroupUpdated::AlreadyGone),
                Some(_) => Err(refusal.fault()),
            };
        }
        if refusal.status == StatusCode::UNPROCESSABLE_ENTITY
            && refusal.says(&["taken", "already exists", "already been used"])
        {
            return Err(refusal.because(
                FaultKind::NameTaken,
                "Another team has this name, or one whose slug is the same. Rename one of them.",
            ));
        }
        Err(refusal.fault())
    }

    async fn remove(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Removed, Fault> {
        let path = ["teams", ids::in_path(id.as_str())?];
        let call = self.client.call("delete team", Method::DELETE, &path);
        let refusal = match self.client.send(cx, call).await? {
            Answer::Yes(success) => return success.done().map(|()| Removed::Done),
            Answer::No(refusal) => refusal,
        };
        if refusal.absent() && self.team(cx, id).await?.is_none() {
            return Ok(Removed::AlreadyGone);
        }
        Err(refusal.because(FaultKind::Refused, "Buildkite does not delete this team."))
    }

    async fn members(&self, cx: &Cx<'_>, id: &RemoteId, page: Option<&PageToken>) -> Result<Page<Member>, Fault> {
        let path = ["teams", ids::in_path(id.as_str())?, "members"];
        let listed =
            self.client.numbered::<TeamMemberBody>(cx, "list team members", &path, page, |body| &body.user_id).await?;
        let Some(listed) = listed else {
            self.client.confirm_absence(cx).await?;
            return Err(no_team());
        };
        let member = |body: TeamMemberBody| -> Result<Member, Fault> {
            let mut member = Member::of(AccountRef::Account { id: ids::remote(&body.user_id)?, login: None });
            member.role = body.role;
            Ok(member)
        };
        Ok(Page {
            items: listed.items.into_iter().map(member).collect::<Result<_, _>>()?,
            next: listed.next,
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
