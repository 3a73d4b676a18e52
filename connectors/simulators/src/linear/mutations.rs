//! The mutations.

use std::rc::Rc;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::resolve::{Obj, Out};
use super::world::{Refusal, Role, World};
use crate::graphql::plan::Plan;

/// Runs one mutation and answers its payload.
pub(super) fn mutate(world: &mut World, plan: &Plan, now: Timestamp) -> Result<Out, Refusal> {
    let id = plan.args.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let input = plan.args.get("input").cloned().unwrap_or_default();
    let (ty, fields) = match plan.def.name {
        "organizationInviteCreate" => {
            let role = role(input["role"].as_str().unwrap_or("user"))?;
            let teams = teams(world, &input)?;
            let wanted = chosen(&input)?;
            let seq = world.send(input["email"].as_str().unwrap_or_default(), role, teams, wanted, now)?;
            ("OrganizationInvitePayload", vec![("organizationInvite", Out::One(Obj::Invite(seq)))])
        }
        "organizationInviteUpdate" => {
            let teams = teams(world, &input)?;
            let seq = pending(world, &id, now)?;
            if let Some(invite) = world.invites.get_mut(&seq) {
                invite.teams = teams;
            }
            ("OrganizationInvitePayload", vec![("organizationInvite", Out::One(Obj::Invite(seq)))])
        }
        "organizationInviteDelete" => {
            let seq = world.invite(&id)?;
            if let Some(invite) = world.invites.get_mut(&seq) {
                if invite.accepted_at.is_some() {
                    return Err(Refusal::input("The invite has already been accepted."));
                }
                invite.archived_at.get_or_insert(now);
            }
            deleted(id)
        }
        "resendOrganizationInvite" => {
            pending(world, &id, now)?;
            deleted(id)
        }
        "teamCreate" => {
            let name = input["name"].as_str().unwrap_or_default();
            let seq = world.create_team(name, input["key"].as_str(), Some(world.owner), now)?;
            ("TeamPayload", vec![("team", Out::One(Obj::Team(seq)))])
        }
        "teamUpdate" => {
            let seq = world.living_team(&id)?;
            if let Some(team) = world.teams.get_mut(&seq)
                && let Some(name) = input["name"].as_str()
            {
                if name.trim().is_empty() {
                    return Err(Refusal::input("name must be between 1 and 255 characters."));
                }
                name.trim().clone_into(&mut team.name);
            }
            ("TeamPayload", vec![("team", Out::One(Obj::Team(seq)))])
        }
        "teamDelete" => {
            let seq = world.team(&id)?;
            if let Some(team) = world.teams.get_mut(&seq) {
                team.archived_at.get_or_insert(now);
            }
            deleted(id)
        }
        "teamMembershipCreate" => {
            let team = world.team(input["teamId"].as_str().unwrap_or_default())?;
            let user = world.user(input["userId"].as_str().unwrap_or_default())?;
            let owner = input["owner"].as_bool().unwrap_or(false);
            let seq = world.add_member(team, user, owner, now)?;
            ("TeamMembershipPayload", vec![("teamMembership", Out::One(Obj::Membership(team, seq)))])
        }
        "teamMembershipDelete" => {
            world.end_membership(&id)?;
            deleted(id)
        }
        "userSuspend" | "userUnsuspend" => {
            world.set_active(&id, plan.def.name == "userUnsuspend", now)?;
            ("UserAdminPayload", Vec::new())
        }
        "userChangeRole" => {
            let role = role(plan.args.get("role").and_then(Value::as_str).unwrap_or_default())?;
            let seq = world.user(&id)?;
            let owners = world.users.values().filter(|user| user.active && user.role == Role::Owner).count();
            if let Some(user) = world.users.get_mut(&seq) {
                if user.role == Role::Owner && role != Role::Owner && owners < 2 {
                    return Err(Refusal::forbidden("The last owner of a workspace cannot be demoted."));
                }
                user.role = role;
                user.updated_at = now;
            }
            ("UserAdminPayload", Vec::new())
        }
        _ => {
            let seq = world.user(&id)?;
            if let Some(user) = world.users.get_mut(&seq) {
                if let Some(name) = input["name"].as_str() {
                    name.clone_into(&mut user.name);
                }
                if let Some(name) = input["displayName"].as_str() {
                    name.clone_into(&mut user.login);
                }
                user.updated_at = now;
            }
            ("UserPayload", vec![("user", Out::One(Obj::User(seq)))])
        }
    };
    Ok(Out::One(Obj::Payload(ty, Rc::new(fields))))
}

type Fields = (&'static str, Vec<(&'static str, Out)>);

fn deleted(id: String) -> Fields {
    ("DeletePayload", vec![("entityId", Out::leaf(id))])
}

fn role(word: &str) -> Result<Role, Refusal> {
    Role::read(word).ok_or_else(|| Refusal::input("Only integrations have the role app."))
}

/// The id that a client chose for what it creates.
fn chosen(input: &Value) -> Result<Option<Uuid>, Refusal> {
    let Some(text) = input["id"].as_str() else {
        return Ok(None);
    };
    Uuid::try_parse(text).map(Some).map_err(|_| Refusal::input("id must be a UUID."))
}

fn teams(world: &World, input: &Value) -> Result<Vec<u64>, Refusal> {
    let named = input["teamIds"].as_array().into_iter().flatten().filter_map(Value::as_str);
    named.map(|id| world.living_team(id)).collect()
}

fn pending(world: &World, id: &str, now: Timestamp) -> Result<u64, Refusal> {
    let seq = world.invite(id)?;
    match world.invites.get(&seq) {
        Some(invite) if invite.pending(now) => Ok(seq),
        _ => Err(Refusal::input("The invite is no longer pending.")),
    }
}
