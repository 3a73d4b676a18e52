//! The mutations, each on the id that the vendor's schema wants: an
//! organisation member by `OrganizationMember.id`, a team member by
//! `TeamMember.id`, and a new team member by `User.id`.

use std::rc::Rc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::errors::Refusal;
use super::super::ids::global;
use super::super::invitations::Batch;
use super::super::teams::TeamWant;
use super::super::world::{CAPABILITIES, OrgRole, Privacy, SsoMode, TeamRole, World};
use super::execute::{Obj, Out, Payload, edge, id_of};
use crate::graphql::plan::Plan;

/// The checked `input` of a mutation.
struct Input<'a>(&'a Map<String, Value>);

impl Input<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    fn flag(&self, name: &str) -> Option<bool> {
        self.0.get(name).and_then(Value::as_bool)
    }

    /// A required id; the schema has made sure that it is there.
    fn id(&self, name: &str) -> &str {
        self.text(name).unwrap_or_default()
    }

    fn org(&self, world: &World) -> Result<(), Refusal> {
        let org = id_of(self.id("organizationID"), "Organization", "organization")?;
        if org == world.org { Ok(()) } else { Err(Refusal::not_found("organization")) }
    }

    fn sso(&self) -> Option<SsoMode> {
        self.0.get("sso")?.get("mode")?.as_str().and_then(|mode| SsoMode::read(mode, true))
    }

    fn invitation(&self, world: &World) -> Result<u64, Refusal> {
        let what = "organization invitation";
        world.invitation(id_of(self.id("id"), "OrganizationInvitation", what)?)
    }

    fn member(&self, world: &World) -> Result<u64, Refusal> {
        let what = "organization member";
        let uuid = id_of(self.id("id"), "OrganizationMember", what)?;
        world.member_ids.get(&uuid).copied().ok_or_else(|| Refusal::not_found(what))
    }

    fn team(&self, world: &World, name: &str) -> Result<u64, Refusal> {
        world.team(id_of(self.id(name), "Team", "team")?)
    }

    fn team_member(&self, world: &World) -> Result<(u64, u64), Refusal> {
        let uuid = id_of(self.id("id"), "TeamMember", "team member")?;
        world.teams_usable()?;
        world.team_member_ids.get(&uuid).copied().ok_or_else(|| Refusal::not_found("team member"))
    }

    fn team_role(&self, name: &str) -> Option<TeamRole> {
        self.text(name).and_then(|role| TeamRole::read(role, true))
    }

    fn want(&self) -> TeamWant {
        TeamWant {
            name: self.text("name").map(str::to_owned),
            description: self.0.get("description").map(|text| text.as_str().unwrap_or_default().to_owned()),
            privacy: self.text("privacy").and_then(|privacy| Privacy::read(privacy, true)),
            is_default: self.flag("isDefaultTeam"),
            default_role: self.team_role("defaultMemberRole"),
            can: CAPABILITIES.map(|(_, name, _)| self.flag(name)),
        }
    }

    fn batch(&self) -> Result<Batch, Refusal> {
        let list = |name: &str| self.0.get(name).and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
        let teams = list("teams")
            .iter()
            .map(|team| {
                let part = |name: &str| team.get(name).and_then(Value::as_str).unwrap_or_default();
                let role = TeamRole::read(part("role"), true).unwrap_or(TeamRole::Member);
                Ok((id_of(part("id"), "Team", "team")?, role))
            })
            .collect::<Result<_, Refusal>>()?;
        Ok(Batch {
            emails: list("emails").iter().filter_map(|email| email.as_str().map(str::to_owned)).collect(),
            role: self.text("role").and_then(|role| OrgRole::read(role, true)).unwrap_or(OrgRole::Member),
            sso: self.sso(),
            teams,
        })
    }
}

/// Runs one mutation and answers its payload.
pub(super) fn mutate(world: &mut World, plan: &Plan, now: Timestamp) -> Result<Obj, Refusal> {
    let empty = Map::new();
    let input = Input(plan.args.get("input").and_then(Value::as_object).unwrap_or(&empty));
    let mut fields = apply(world, plan.def.name, &input, now)?;
    fields.push(("clientMutationId", Out::Leaf(json!(input.text("clientMutationId")))));
    Ok(Obj::Payload(Rc::new(Payload { ty: plan.def.ty, fields })))
}

fn apply(
    world: &mut World,
    name: &str,
    input: &Input<'_>,
    now: Timestamp,
) -> Result<Vec<(&'static str, Out)>, Refusal> {
    let organization = || ("organization", Out::One(Obj::Organization));
    Ok(match name {
        "organizationInvitationCreate" => {
            input.org(world)?;
            let made = world.invite(&input.batch()?, now)?;
            let edges = made.into_iter().map(|seq| edge(seq, Obj::Invitation(seq))).collect();
            vec![("invitationEdges", Out::Many(edges)), organization()]
        }
        "organizationInvitationResend" => {
            let seq = input.invitation(world)?;
            world.mail_again(seq, now)?;
            vec![("organizationInvitation", Out::One(Obj::Invitation(seq)))]
        }
        "organizationInvitationRevoke" => {
            let seq = input.invitation(world)?;
            world.revoke(seq, now)?;
            let invitation = Obj::Invitation(seq);
            vec![
                ("organizationInvitation", Out::One(invitation.clone())),
                ("organizationInvitationEdge", Out::One(edge(seq, invitation))),
                organization(),
            ]
        }
        "organizationMemberUpdate" => {
            let seq = input.member(world)?;
            let role = input.text("role").and_then(|role| OrgRole::read(role, true));
            world.change_member(seq, role, input.sso())?;
            vec![("organizationMember", Out::One(Obj::Member(seq)))]
        }
        "organizationMemberDelete" => {
            let seq = input.member(world)?;
            let user = world.members.get(&seq).map(|member| member.user);
            world.remove_member(seq)?;
            vec![
                ("deletedOrganizationMemberID", Out::Leaf(json!(input.id("id")))),
                ("user", user.map_or(Out::Null, |user| Out::One(Obj::User(user)))),
                organization(),
            ]
        }
        "teamCreate" => {
            input.org(world)?;
            let can = CAPABILITIES.map(|(_, _, default)| default);
            let seq = world.create_team(input.want(), can, now)?;
            vec![("teamEdge", Out::One(edge(seq, Obj::Team(seq)))), organization()]
        }
        "teamUpdate" => {
            let seq = input.team(world, "id")?;
            world.update_team(seq, input.want())?;
            vec![("team", Out::One(Obj::Team(seq)))]
        }
        "teamDelete" => {
            let seq = input.team(world, "id")?;
            world.delete_team(seq)?;
            vec![("deletedTeamID", Out::Leaf(json!(input.id("id")))), organization()]
        }
        "teamMemberCreate" => {
            let team = input.team(world, "teamID")?;
            let user = id_of(input.id("userID"), "User", "user")?;
            let seq = world.add_team_member(team, user, input.team_role("role"), now)?;
            vec![
                ("team", Out::One(Obj::Team(team))),
                ("teamMemberEdge", Out::One(edge(seq, Obj::TeamMember(team, seq)))),
            ]
        }
        "teamMemberUpdate" => {
            let (team, seq) = input.team_member(world)?;
            if let (Some(member), Some(role)) =
                (world.teams.get_mut(&team).and_then(|team| team.members.get_mut(&seq)), input.team_role("role"))
            {
                member.role = role;
            }
            vec![("teamMember", Out::One(Obj::TeamMember(team, seq)))]
        }
        "teamMemberDelete" => {
            let (team, seq) = input.team_member(world)?;
            let member =
                world.teams.get(&team).and_then(|team| team.members.get(&seq)).map(|member| (member.user, member.uuid));
            let Some((user, uuid)) = member else {
                return Err(Refusal::not_found("team member"));
            };
            world.take_from_team(team, user);
            vec![
                ("deletedTeamMemberID", Out::Leaf(json!(global("TeamMember", uuid)))),
                ("team", Out::One(Obj::Team(team))),
            ]
        }
        _ => return Err(Refusal::bad_request("This mutation is not simulated")),
    })
}
