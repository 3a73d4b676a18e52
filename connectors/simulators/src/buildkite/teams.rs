//! Teams and their members.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use uuid::Uuid;

use super::errors::Refusal;
use super::ids::slug;
use super::world::{Capabilities, Privacy, Team, TeamMember, TeamRole, World};

/// Teams per organisation (Buildkite documentation, platform limits).
const TEAM_QUOTA: usize = 250;
/// The longest team name taken here; the vendor documents none.
const NAME_LENGTH: usize = 255;

/// What a team shall be; absent parts stay as they are, or take the default.
#[derive(Debug, Default)]
pub(super) struct TeamWant {
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    pub(super) privacy: Option<Privacy>,
    pub(super) is_default: Option<bool>,
    pub(super) default_role: Option<TeamRole>,
    pub(super) can: [Option<bool>; 5],
}

impl World {
    /// Makes a team.
    pub(super) fn create_team(&mut self, want: TeamWant, can: Capabilities, now: Timestamp) -> Result<u64, Refusal> {
        self.teams_usable()?;
        let name = want.name.unwrap_or_default();
        let team_slug = self.free_slug(&name, None)?;
        if self.rules.quotas && self.teams.len() >= TEAM_QUOTA {
            return Err(Refusal::invalid(format!("This organization can have at most {TEAM_QUOTA} teams")));
        }
        let mut capabilities = can;
        for (slot, wanted) in capabilities.iter_mut().zip(want.can) {
            *slot = wanted.unwrap_or(*slot);
        }
        let seq = self.seq();
        let uuid = Uuid::new_v4();
        self.team_ids.insert(uuid, seq);
        self.team_slugs.insert(team_slug.clone(), seq);
        self.teams.insert(
            seq,
            Team {
                uuid,
                name,
                slug: team_slug,
                description: want.description.unwrap_or_default(),
                privacy: want.privacy.unwrap_or(Privacy::Visible),
                is_default: want.is_default.unwrap_or(false),
                default_role: want.default_role.unwrap_or(TeamRole::Member),
                can: capabilities,
                created_at: now,
                created_by: self.owner,
                members: BTreeMap::new(),
                by_user: HashMap::new(),
            },
        );
        Ok(seq)
    }

    /// Changes a team. A rename moves the slug with the name.
    pub(super) fn update_team(&mut self, seq: u64, want: TeamWant) -> Result<(), Refusal> {
        self.teams_usable()?;
        let renamed = match &want.name {
            Some(name) => Some((name.clone(), self.free_slug(name, Some(seq))?)),
            None => None,
        };
        let team = self.teams.get_mut(&seq).ok_or_else(|| Refusal::not_found("team"))?;
        if let Some((name, new)) = renamed {
            self.team_slugs.remove(&team.slug);
            self.team_slugs.insert(new.clone(), seq);
            team.name = name;
            team.slug = new;
        }
        if let Some(description) = want.description {
            team.description = description;
        }
        team.privacy = want.privacy.unwrap_or(team.privacy);
        team.is_default = want.is_default.unwrap_or(team.is_default);
        team.default_role = want.default_role.unwrap_or(team.default_role);
        for (slot, wanted) in team.can.iter_mut().zip(want.can) {
            *slot = wanted.unwrap_or(*slot);
        }
        Ok(())
    }

    fn free_slug(&self, name: &str, own: Option<u64>) -> Result<String, Refusal> {
        if name.trim().is_empty() {
            return Err(Refusal::invalid("Name can't be blank"));
        }
        if name.chars().count() > NAME_LENGTH {
            return Err(Refusal::invalid(format!("Name is too long (maximum is {NAME_LENGTH} characters)")));
        }
        let wanted = slug(name);
        if wanted.is_empty() {
            return Err(Refusal::invalid("Slug can't be blank"));
        }
        match self.team_slugs.get(&wanted) {
            Some(seq) if Some(*seq) != own => Err(Refusal::invalid("Name has already been taken")),
            _ => Ok(wanted),
        }
    }

    /// Removes a team; invitations lose their assignments to it.
    pub(super) fn delete_team(&mut self, seq: u64) -> Result<(), Refusal> {
        self.teams_usable()?;
        let team = self.teams.remove(&seq).ok_or_else(|| Refusal::not_found("team"))?;
        self.team_ids.remove(&team.uuid);
        self.team_slugs.remove(&team.slug);
        for member in team.members.values() {
            self.team_member_ids.remove(&member.uuid);
        }
        for invitation in self.invitations.values_mut() {
            invitation.teams.retain(|assignment| assignment.team != seq);
        }
        Ok(())
    }

    /// The team with this UUID.
    pub(super) fn team(&self, uuid: Uuid) -> Result<u64, Refusal> {
        self.teams_usable()?;
        self.team_ids.get(&uuid).copied().ok_or_else(|| Refusal::not_found("team"))
    }

    /// Switches teams on; the first time that makes the team `Everyone` with
    /// all members.
    pub(super) fn enable_teams(&mut self, now: Timestamp) -> Result<(), Refusal> {
        if !self.rules.plan_teams {
            return Err(super::world::plan_without_teams());
        }
        if !self.rules.teams_enabled {
            self.rules.teams_enabled = true;
            self.make_everyone(now)?;
        }
        Ok(())
    }

    /// Makes the default team `Everyone` with all members, where it is not there.
    pub(super) fn make_everyone(&mut self, now: Timestamp) -> Result<(), Refusal> {
        if self.team_slugs.contains_key("everyone") {
            return Ok(());
        }
        let want = TeamWant { name: Some("Everyone".to_owned()), is_default: Some(true), ..TeamWant::default() };
        // The vendor makes this team by itself, whatever the quota says.
        let quotas = std::mem::replace(&mut self.rules.quotas, false);
        let team = self.create_team(want, [true, true, true, false, false], now);
        self.rules.quotas = quotas;
        let team = team?;
        let users: Vec<Uuid> = self.members.values().map(|m| m.user).collect();
        for user in users {
            self.put_in_team(team, user, None, now);
        }
        Ok(())
    }

    /// Adds a member of the organisation to a team, with the team's default
    /// role where none is named.
    pub(super) fn add_team_member(
        &mut self,
        team: u64,
        user: Uuid,
        role: Option<TeamRole>,
        now: Timestamp,
    ) -> Result<u64, Refusal> {
        if !self.users.contains_key(&user) {
            return Err(Refusal::invalid("User must exist"));
        }
        if !self.member_of_user.contains_key(&user) {
            return Err(Refusal::invalid("User must be a member of the organization"));
        }
        if self.teams.get(&team).is_some_and(|t| t.by_user.contains_key(&user)) {
            return Err(Refusal::invalid("This user has already been added to this team"));
        }
        self.put_in_team(team, user, role, now).ok_or_else(|| Refusal::not_found("team"))
    }

    /// Puts somebody in a team; who is there already takes the named role.
    pub(super) fn put_in_team(&mut self, team: u64, user: Uuid, role: Option<TeamRole>, now: Timestamp) -> Option<u64> {
        let seq = self.seq();
        let team_seq = team;
        let team = self.teams.get_mut(&team)?;
        if let Some(present) = team.by_user.get(&user) {
            if let (Some(member), Some(role)) = (team.members.get_mut(present), role) {
                member.role = role;
            }
            return Some(*present);
        }
        let uuid = Uuid::new_v4();
        team.by_user.insert(user, seq);
        team.members.insert(seq, TeamMember { uuid, user, role: role.unwrap_or(team.default_role), created_at: now });
        self.team_member_ids.insert(uuid, (team_seq, seq));
        Some(seq)
    }

    /// The membership of a user in a team.
    pub(super) fn team_member(&self, team: u64, user: Uuid) -> Result<u64, Refusal> {
        self.teams
            .get(&team)
            .and_then(|t| t.by_user.get(&user))
            .copied()
            .ok_or_else(|| Refusal::not_found("team member"))
    }

    /// Takes somebody out of a team; whether they were in it.
    pub(super) fn take_from_team(&mut self, team: u64, user: Uuid) -> bool {
        let Some(team) = self.teams.get_mut(&team) else {
            return false;
        };
        let Some(seq) = team.by_user.remove(&user) else {
            return false;
        };
        if let Some(member) = team.members.remove(&seq) {
            self.team_member_ids.remove(&member.uuid);
        }
        true
    }
}
