//! Resolves planned fields against the organisation.

use std::rc::Rc;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::errors::Refusal;
use super::super::ids::{cursor, global, of_kind, parse_global, parse_uuid, stamp};
use super::super::world::{CAPABILITIES, InviteState, ORG_SLUG, SsoMode, TeamRole, World};
use super::connections::list;
use super::page::{Order, Page, page};
use super::{avatar, mutations};
use crate::graphql::plan::{Compiled, Plan};
use crate::graphql::{self, Resolver};

/// An object that fields are asked of.
#[derive(Clone)]
pub(super) enum Obj {
    Query,
    Viewer,
    Organization,
    OrganizationSso,
    User(Uuid),
    Avatar(Uuid),
    Member(u64),
    MemberSso(SsoMode),
    Invitation(u64),
    InvitationSso(SsoMode),
    /// Invitation, position of the assignment.
    Assignment(u64, usize),
    Team(u64),
    /// Team, membership.
    TeamMember(u64, u64),
    Page(Rc<Page>),
    Edge(String, Box<Obj>),
    PageInfo(Rc<Page>),
    Payload(Rc<Payload>),
}

/// What a mutation answers.
pub(super) struct Payload {
    pub(super) ty: &'static str,
    pub(super) fields: Vec<(&'static str, Out)>,
}

/// The value of a field before its selections are resolved.
pub(super) type Out = graphql::Out<Obj>;

fn time(at: Option<Timestamp>) -> Out {
    Out::Leaf(json!(at.map(stamp)))
}

impl Obj {
    fn type_name(&self) -> String {
        let name = match self {
            Self::Query => "Query",
            Self::Viewer => "Viewer",
            Self::Organization => "Organization",
            Self::OrganizationSso => "OrganizationSSO",
            Self::User(_) => "User",
            Self::Avatar(_) => "Avatar",
            Self::Member(_) => "OrganizationMember",
            Self::MemberSso(_) => "OrganizationMemberSSO",
            Self::Invitation(_) => "OrganizationInvitation",
            Self::InvitationSso(_) => "OrganizationInvitationSSOType",
            Self::Assignment(..) => "OrganizationInvitationTeamAssignment",
            Self::Team(_) => "Team",
            Self::TeamMember(..) => "TeamMember",
            Self::Page(page) => return format!("{}Connection", page.node),
            Self::Edge(_, node) => return format!("{}Edge", node.type_name()),
            Self::PageInfo(_) => "PageInfo",
            Self::Payload(payload) => payload.ty,
        };
        name.to_owned()
    }
}

/// Runs a document: its data, its errors and its actual complexity.
pub(super) fn run(world: &mut World, compiled: &Compiled, now: Timestamp) -> graphql::Done {
    graphql::run(&mut Run { world, now }, compiled)
}

/// One document being run.
pub(super) struct Run<'w> {
    pub(super) world: &'w mut World,
    now: Timestamp,
}

impl Resolver for Run<'_> {
    type Obj = Obj;

    fn type_name(&self, obj: &Obj) -> String {
        obj.type_name()
    }

    fn root(&mut self, plan: &Plan, mutation: bool) -> Result<Out, Value> {
        if mutation {
            return mutations::mutate(self.world, plan, self.now).map(Out::One).map_err(told);
        }
        self.field(&Obj::Query, plan)
    }

    fn field(&mut self, obj: &Obj, plan: &Plan) -> Result<Out, Value> {
        self.resolve(obj, plan).map_err(told)
    }
}

fn told(refusal: Refusal) -> Value {
    json!({ "message": refusal.message })
}

impl Run<'_> {
    fn resolve(&self, obj: &Obj, plan: &Plan) -> Result<Out, Refusal> {
        let name = plan.def.name;
        match obj {
            Obj::Query => self.query(plan),
            Obj::Viewer => self.viewer(plan),
            Obj::Organization => self.organization(plan),
            Obj::OrganizationSso => Ok(Out::leaf(self.world.rules.sso)),
            Obj::User(uuid) => Ok(self.user(*uuid, name)),
            Obj::Avatar(uuid) => Ok(Out::leaf(avatar(*uuid))),
            Obj::Member(seq) => self.member(*seq, plan),
            Obj::MemberSso(mode) | Obj::InvitationSso(mode) => Ok(Out::leaf(mode.graphql())),
            Obj::Invitation(seq) => self.invitation(*seq, plan),
            Obj::Assignment(seq, at) => Ok(self.assignment(*seq, *at, name)),
            Obj::Team(seq) => self.team(*seq, plan),
            Obj::TeamMember(team, seq) => Ok(self.team_member(*team, *seq, name)),
            Obj::Page(page) => Ok(match name {
                "count" => Out::leaf(page.total),
                "edges" => Out::Many(
                    page.edges.iter().map(|(cursor, node)| Obj::Edge(cursor.clone(), Box::new(node.clone()))).collect(),
                ),
                _ => Out::One(Obj::PageInfo(Rc::clone(page))),
            }),
            Obj::Edge(cursor, node) => Ok(match name {
                "cursor" => Out::leaf(cursor.clone()),
                _ => Out::One((**node).clone()),
            }),
            Obj::PageInfo(page) => Ok(match name {
                "hasNextPage" => Out::leaf(page.after),
                "hasPreviousPage" => Out::leaf(page.before),
                "startCursor" => Out::Leaf(json!(page.edges.first().map(|(cursor, _)| cursor))),
                _ => Out::Leaf(json!(page.edges.last().map(|(cursor, _)| cursor))),
            }),
            Obj::Payload(payload) => {
                Ok(payload.fields.iter().find(|(field, _)| *field == name).map_or(Out::Null, |(_, out)| out.clone()))
            }
        }
    }

    fn query(&self, plan: &Plan) -> Result<Out, Refusal> {
        let text = |name: &str| plan.args.get(name).and_then(Value::as_str);
        // The slugs of members, invitations and teams begin with the organisation's.
        let slug = || {
            text("slug").and_then(|slug| slug.split_once('/')).filter(|(org, _)| *org == ORG_SLUG).map(|(_, rest)| rest)
        };
        let uuid = || slug().and_then(parse_uuid);
        let found = match plan.def.name {
            "viewer" => Some(Obj::Viewer),
            "organization" => {
                let ours = match (text("slug"), text("uuid").map(parse_uuid)) {
                    (None, None) => {
                        return Err(Refusal::bad_request("One of the arguments slug and uuid is required"));
                    }
                    (slug, uuid) => {
                        slug.is_none_or(|slug| slug == ORG_SLUG) && uuid.is_none_or(|uuid| uuid == Some(self.world.org))
                    }
                };
                ours.then_some(Obj::Organization)
            }
            "organizationInvitation" => {
                uuid().and_then(|uuid| self.world.invitation_ids.get(&uuid)).map(|seq| Obj::Invitation(*seq))
            }
            "organizationMember" => {
                uuid().and_then(|uuid| self.world.member_ids.get(&uuid)).map(|seq| Obj::Member(*seq))
            }
            "team" if self.world.teams_usable().is_ok() => {
                slug().and_then(|slug| self.world.team_slugs.get(slug)).map(|seq| Obj::Team(*seq))
            }
            "node" => text("id").and_then(|id| self.node(id)),
            _ => None,
        };
        Ok(Out::maybe(found))
    }

    fn node(&self, id: &str) -> Option<Obj> {
        let (kind, uuid) = parse_global(id)?;
        let world = &*self.world;
        match kind.as_str() {
            "Organization" => (uuid == world.org).then_some(Obj::Organization),
            "Viewer" => (uuid == world.viewer).then_some(Obj::Viewer),
            "User" => world.users.get(&uuid).map(|user| Obj::User(user.uuid)),
            "OrganizationMember" => world.member_ids.get(&uuid).map(|seq| Obj::Member(*seq)),
            "OrganizationInvitation" => world.invitation_ids.get(&uuid).map(|seq| Obj::Invitation(*seq)),
            "Team" => world.team_ids.get(&uuid).map(|seq| Obj::Team(*seq)),
            "TeamMember" => world.team_member_ids.get(&uuid).map(|(team, seq)| Obj::TeamMember(*team, *seq)),
            _ => None,
        }
    }

    fn viewer(&self, plan: &Plan) -> Result<Out, Refusal> {
        Ok(match plan.def.name {
            "id" => Out::leaf(global("Viewer", self.world.viewer)),
            "user" => Out::One(Obj::User(self.world.owner)),
            _ => {
                let only = vec![(String::new(), 1, Obj::Organization)];
                Out::One(page("Organization", only, Order::Newest, plan)?)
            }
        })
    }

    fn user(&self, uuid: Uuid, name: &str) -> Out {
        let Some(user) = self.world.users.get(&uuid) else {
            return Out::Null;
        };
        match name {
            "avatar" => Out::One(Obj::Avatar(uuid)),
            // A machine user is a person's account to the vendor; bots are apps.
            "bot" => Out::leaf(false),
            "email" => Out::leaf(user.email.as_str()),
            "hasPassword" => Out::leaf(!user.machine),
            "id" => Out::leaf(global("User", uuid)),
            "machineUser" => Out::leaf(user.machine),
            "name" => Out::leaf(user.name.as_str()),
            _ => Out::leaf(uuid.to_string()),
        }
    }

    fn organization(&self, plan: &Plan) -> Result<Out, Refusal> {
        let world = &*self.world;
        Ok(match plan.def.name {
            "id" => Out::leaf(global("Organization", world.org)),
            "isTeamsEnabled" => Out::leaf(world.teams_usable().is_ok()),
            "name" => Out::leaf("Acme"),
            "public" => Out::leaf(false),
            "slug" => Out::leaf(ORG_SLUG),
            "sso" => Out::One(Obj::OrganizationSso),
            "uuid" => Out::leaf(world.org.to_string()),
            "members" => self.members(plan)?,
            "invitations" => self.invitations(plan)?,
            _ => self.teams(plan)?,
        })
    }

    fn member(&self, seq: u64, plan: &Plan) -> Result<Out, Refusal> {
        let Some(member) = self.world.members.get(&seq) else {
            return Ok(Out::Null);
        };
        Ok(match plan.def.name {
            "complimentary" => Out::leaf(false),
            "createdAt" => time(Some(member.created_at)),
            "createdBy" => Out::maybe(member.created_by.map(Obj::User)),
            "id" => Out::leaf(global("OrganizationMember", member.uuid)),
            "lastSeenAt" => Out::Null,
            "organization" => Out::One(Obj::Organization),
            "role" => Out::leaf(member.role.graphql()),
            "sso" => Out::One(Obj::MemberSso(member.sso)),
            "user" => Out::One(Obj::User(member.user)),
            "uuid" => Out::leaf(member.uuid.to_string()),
            _ => {
                let by_name = plan.args.get("order").and_then(Value::as_str) == Some("NAME");
                let found = self
                    .world
                    .teams
                    .iter()
                    .filter_map(|(team, it)| {
                        let seq = it.by_user.get(&member.user)?;
                        let key = if by_name { it.name.to_lowercase() } else { String::new() };
                        Some((key, *seq, Obj::TeamMember(*team, *seq)))
                    })
                    .collect();
                let order = if by_name { Order::Key } else { Order::Newest };
                Out::One(page("TeamMember", found, order, plan)?)
            }
        })
    }

    fn invitation(&self, seq: u64, plan: &Plan) -> Result<Out, Refusal> {
        let Some(invitation) = self.world.invitations.get(&seq) else {
            return Ok(Out::Null);
        };
        let closed = |state: InviteState| time(invitation.closed_at.filter(|_| invitation.state == state));
        let closer = |state: InviteState| {
            let by = invitation.closed_by.filter(|_| invitation.state == state);
            Out::maybe(by.map(Obj::User))
        };
        Ok(match plan.def.name {
            "acceptedAt" => closed(InviteState::Accepted),
            "acceptedBy" => closer(InviteState::Accepted),
            "createdAt" => time(Some(invitation.created_at)),
            "createdBy" => Out::One(Obj::User(invitation.created_by)),
            "email" => Out::leaf(invitation.email.as_str()),
            "expiredAt" => closed(InviteState::Expired),
            "id" => Out::leaf(global("OrganizationInvitation", invitation.uuid)),
            "organization" => Out::One(Obj::Organization),
            "revokedAt" => closed(InviteState::Revoked),
            "revokedBy" => closer(InviteState::Revoked),
            "role" => Out::leaf(invitation.role.graphql()),
            "slug" => Out::leaf(format!("{ORG_SLUG}/{}", invitation.uuid)),
            "sso" => Out::One(Obj::InvitationSso(invitation.sso)),
            "state" => Out::leaf(invitation.state.graphql()),
            "uuid" => Out::leaf(invitation.uuid.to_string()),
            _ => {
                let found = (0..invitation.teams.len())
                    .zip(1..)
                    .map(|(at, n)| (String::new(), n, Obj::Assignment(seq, at)))
                    .collect();
                let kind = "OrganizationInvitationTeamAssignment";
                Out::One(page(kind, found, Order::Key, plan)?)
            }
        })
    }

    fn assignment(&self, seq: u64, at: usize, name: &str) -> Out {
        let assignment = self.world.invitations.get(&seq).and_then(|invitation| invitation.teams.get(at));
        match (assignment, name) {
            (None, _) => Out::Null,
            (Some(it), "id") => Out::leaf(global("OrganizationInvitationTeamAssignment", it.id)),
            (Some(it), "role") => Out::leaf(it.role.graphql()),
            (Some(it), _) => Out::One(Obj::Team(it.team)),
        }
    }

    fn team(&self, seq: u64, plan: &Plan) -> Result<Out, Refusal> {
        let Some(team) = self.world.teams.get(&seq) else {
            return Ok(Out::Null);
        };
        Ok(match plan.def.name {
            "createdAt" => time(Some(team.created_at)),
            "createdBy" => Out::One(Obj::User(team.created_by)),
            "defaultMemberRole" => Out::leaf(team.default_role.graphql()),
            "description" => Out::leaf(team.description.as_str()),
            "id" => Out::leaf(global("Team", team.uuid)),
            "isDefaultTeam" => Out::leaf(team.is_default),
            "name" => Out::leaf(team.name.as_str()),
            "organization" => Out::One(Obj::Organization),
            "privacy" => Out::leaf(team.privacy.graphql()),
            "slug" => Out::leaf(team.slug.as_str()),
            "uuid" => Out::leaf(team.uuid.to_string()),
            "members" => {
                let text = |name: &str| plan.args.get(name).and_then(Value::as_str);
                let roles = list(plan, "role", |text| TeamRole::read(text, true));
                let by_name = text("order") == Some("NAME");
                let found = team
                    .members
                    .iter()
                    .filter(|(_, it)| {
                        roles.as_ref().is_none_or(|roles| roles.contains(&it.role))
                            && self.matches(it.user, text("search"))
                    })
                    .map(|(member, it)| {
                        let key = if by_name { self.member_name(it.user) } else { String::new() };
                        (key, *member, Obj::TeamMember(seq, *member))
                    })
                    .collect();
                let order = if by_name { Order::Key } else { Order::Newest };
                Out::One(page("TeamMember", found, order, plan)?)
            }
            capability => {
                let at = CAPABILITIES.iter().position(|(_, name, _)| *name == capability);
                Out::leaf(at.and_then(|at| team.can.get(at)).copied().unwrap_or(false))
            }
        })
    }

    fn team_member(&self, team_seq: u64, seq: u64, name: &str) -> Out {
        let member = self.world.teams.get(&team_seq).and_then(|team| team.members.get(&seq));
        let Some(member) = member else {
            return Out::Null;
        };
        match name {
            "createdAt" => time(Some(member.created_at)),
            "createdBy" => Out::Null,
            "id" => Out::leaf(global("TeamMember", member.uuid)),
            "organizationMember" => {
                Out::maybe(self.world.member_of_user.get(&member.user).map(|seq| Obj::Member(*seq)))
            }
            "role" => Out::leaf(member.role.graphql()),
            "team" => Out::One(Obj::Team(team_seq)),
            "user" => Out::One(Obj::User(member.user)),
            _ => Out::leaf(member.uuid.to_string()),
        }
    }
}

/// The edge of a newly made or changed object.
pub(super) fn edge(seq: u64, node: Obj) -> Obj {
    Obj::Edge(cursor("", seq), Box::new(node))
}

/// The UUID in a GraphQL id of type `kind`, or the refusal that names `what`.
pub(super) fn id_of(text: &str, kind: &str, what: &str) -> Result<Uuid, Refusal> {
    of_kind(text, kind).ok_or_else(|| Refusal::not_found(what))
}
