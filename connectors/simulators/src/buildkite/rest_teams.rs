//! Teams and their members in the REST API.

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::{Map, Value, json};

use super::errors::{Refusal, no_content, reply};
use super::ids::{global, parse_uuid, stamp};
use super::rest::{Api, Outcome, Query, body, ok, page, word};
use super::teams::TeamWant;
use super::world::{CAPABILITIES, Privacy, Team, TeamMember, TeamRole};

impl Api<'_> {
    /// Answers a call; `path` is what follows `/teams`.
    pub(super) fn team_route(&mut self, request: &Request<Bytes>, path: &[&str]) -> Outcome {
        match (request.method().as_str(), path) {
            ("POST", ["enable"]) => {
                self.scope("write_teams")?;
                self.world.enable_teams(self.now)?;
                Ok(no_content())
            }
            ("GET", []) => {
                self.scope("read_teams")?;
                self.world.teams_usable()?;
                self.list_teams(request)
            }
            ("POST", []) => {
                self.scope("write_teams")?;
                let asked = body(request)?;
                let want = want(&asked, true)?;
                let seq = self.world.create_team(want, [false; 5], self.now)?;
                Ok(reply(StatusCode::CREATED, &self.written(seq, asked)))
            }
            ("GET", [team]) => {
                self.scope("read_teams")?;
                let seq = self.team(team)?;
                Ok(ok(&self.team_json(seq)))
            }
            ("PATCH", [team]) => {
                self.scope("write_teams")?;
                let seq = self.team(team)?;
                let asked = body(request)?;
                self.world.update_team(seq, want(&asked, false)?)?;
                Ok(ok(&self.written(seq, asked)))
            }
            ("DELETE", [team]) => {
                self.scope("write_teams")?;
                let seq = self.team(team)?;
                self.world.delete_team(seq)?;
                Ok(no_content())
            }
            (_, [team, "members"]) => self.team_members(request, team),
            (_, [team, "members", user]) => self.team_member(request, team, user),
            _ => Err(Refusal::not_found("such resource")),
        }
    }

    fn team(&self, uuid: &str) -> Result<u64, Refusal> {
        self.world.teams_usable()?;
        let uuid = parse_uuid(uuid).ok_or_else(|| Refusal::not_found("team"))?;
        self.world.team(uuid)
    }

    fn list_teams(&self, request: &Request<Bytes>) -> Outcome {
        let world = &*self.world;
        let show = |team: &Team| self.show_team(team);
        match Query::read(request).get("user_id") {
            None => page(request, world.teams.values(), show),
            Some(user) => {
                let user = parse_uuid(user);
                let teams =
                    world.teams.values().filter(|team| user.is_some_and(|user| team.by_user.contains_key(&user)));
                page(request, teams, show)
            }
        }
    }

    /// The reply of a create or update: the documented sample repeats the
    /// request and has no id.
    fn written(&self, seq: u64, asked: Map<String, Value>) -> Value {
        if self.world.rules.create_team_returns_id { self.team_json(seq) } else { Value::Object(asked) }
    }

    fn team_json(&self, seq: u64) -> Value {
        self.world.teams.get(&seq).map_or(Value::Null, |team| self.show_team(team))
    }

    fn show_team(&self, team: &Team) -> Value {
        json!({
            "id": team.uuid,
            "graphql_id": global("Team", team.uuid),
            "name": team.name,
            "slug": team.slug,
            "description": team.description,
            "created_at": stamp(team.created_at),
            "privacy": team.privacy.rest(),
            "default": team.is_default,
            "created_by": self.person(team.created_by),
        })
    }

    fn team_members(&mut self, request: &Request<Bytes>, team: &str) -> Outcome {
        match request.method().as_str() {
            "GET" => {
                self.scope("read_teams")?;
                let seq = self.team(team)?;
                let members = self.world.teams.get(&seq).map(|team| team.members.values());
                page(request, members.into_iter().flatten(), |member| self.show_member(member))
            }
            "POST" => {
                self.scope("write_teams")?;
                let team = self.team(team)?;
                let asked = body(request)?;
                let user = asked
                    .get("user_id")
                    .and_then(Value::as_str)
                    .and_then(parse_uuid)
                    .ok_or_else(|| Refusal::invalid("User must exist"))?;
                let role = role(&asked)?;
                let seq = self.world.add_team_member(team, user, Some(role), self.now)?;
                Ok(reply(StatusCode::CREATED, &self.member_of(team, seq)))
            }
            _ => Err(Refusal::not_found("such resource")),
        }
    }

    fn team_member(&mut self, request: &Request<Bytes>, team: &str, user: &str) -> Outcome {
        let method = request.method().as_str();
        self.scope(if method == "GET" { "read_teams" } else { "write_teams" })?;
        let team = self.team(team)?;
        let user = parse_uuid(user).ok_or_else(|| Refusal::not_found("team member"))?;
        let seq = self.world.team_member(team, user)?;
        match method {
            "GET" => Ok(ok(&self.member_of(team, seq))),
            "PATCH" => {
                let role = role(&body(request)?)?;
                self.world.put_in_team(team, user, Some(role), self.now);
                Ok(ok(&self.member_of(team, seq)))
            }
            "DELETE" => {
                self.world.take_from_team(team, user);
                Ok(no_content())
            }
            _ => Err(Refusal::not_found("such resource")),
        }
    }

    fn member_of(&self, team: u64, seq: u64) -> Value {
        self.world
            .teams
            .get(&team)
            .and_then(|team| team.members.get(&seq))
            .map_or(Value::Null, |member| self.show_member(member))
    }

    fn show_member(&self, member: &TeamMember) -> Value {
        json!({
            "role": member.role.rest(),
            "created_at": stamp(member.created_at),
            "user_id": member.user,
            "user_name": self.world.users.get(&member.user).map(|user| &user.name),
        })
    }
}

/// The role of a team member, which the vendor lists as required.
fn role(asked: &Map<String, Value>) -> Result<TeamRole, Refusal> {
    word(asked, "role", |t| TeamRole::read(t, false))?.ok_or_else(|| Refusal::invalid("Role can't be blank"))
}

/// Reads a team from a body. A create needs all the fields that the vendor
/// lists as required; an update changes those that are there.
fn want(asked: &Map<String, Value>, whole: bool) -> Result<TeamWant, Refusal> {
    let text = |name: &str| match asked.get(name) {
        None => Ok(None),
        Some(Value::Null) if name == "description" => Ok(Some(String::new())),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Refusal::invalid(format!("{name} must be a string"))),
    };
    let flag = |name: &str| match asked.get(name) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(Refusal::invalid(format!("{name} must be true or false"))),
    };
    if whole {
        let required = ["name", "description", "privacy", "is_default_team", "default_member_role"];
        let capabilities = CAPABILITIES.iter().map(|(rest, _, _)| *rest);
        if let Some(missing) = required.into_iter().chain(capabilities).find(|name| !asked.contains_key(*name)) {
            return Err(Refusal::invalid(format!("{missing} is missing")));
        }
    }
    let mut can = [None; 5];
    for (slot, (name, _, _)) in can.iter_mut().zip(CAPABILITIES) {
        *slot = flag(name)?;
    }
    Ok(TeamWant {
        name: text("name")?,
        description: text("description")?,
        privacy: word(asked, "privacy", |t| Privacy::read(t, false))?,
        is_default: flag("is_default_team")?,
        default_role: word(asked, "default_member_role", |t| TeamRole::read(t, false))?,
        can,
    })
}
