//! Memberships in the organisation.

use jiff::Timestamp;
use uuid::Uuid;

use super::errors::Refusal;
use super::world::{Member, OrgRole, SsoMode, World};

impl World {
    /// Makes a person a member and adds them to every default team. Somebody
    /// who is a member already stays as they are.
    pub(super) fn join(
        &mut self,
        user: Uuid,
        role: OrgRole,
        sso: SsoMode,
        created_by: Option<Uuid>,
        now: Timestamp,
    ) -> u64 {
        if let Some(seq) = self.member_of_user.get(&user) {
            return *seq;
        }
        let seq = self.seq();
        let uuid = Uuid::new_v4();
        self.member_of_user.insert(user, seq);
        self.member_ids.insert(uuid, seq);
        self.members.insert(seq, Member { uuid, user, role, sso, created_at: now, created_by });
        let defaults: Vec<u64> = self.teams.iter().filter(|(_, team)| team.is_default).map(|(seq, _)| *seq).collect();
        for team in defaults {
            self.put_in_team(team, user, None, now);
        }
        seq
    }

    /// The membership of a user, by the user's UUID.
    pub(super) fn member(&self, user: Uuid) -> Result<u64, Refusal> {
        self.member_of_user.get(&user).copied().ok_or_else(|| Refusal::not_found("organization member"))
    }

    /// Changes a membership; never the credential's own.
    pub(super) fn change_member(
        &mut self,
        seq: u64,
        role: Option<OrgRole>,
        sso: Option<SsoMode>,
    ) -> Result<(), Refusal> {
        let user = self.other_member(seq, "You cannot update your own membership")?;
        if role.is_none() && sso.is_none() {
            return Err(Refusal::invalid("At least one of role or sso_mode is required"));
        }
        if role == Some(OrgRole::Member) {
            self.keep_an_admin(user)?;
        }
        if let Some(member) = self.members.get_mut(&seq) {
            member.role = role.unwrap_or(member.role);
            member.sso = sso.unwrap_or(member.sso);
        }
        Ok(())
    }

    /// Ends a membership and all team memberships with it; the account stays.
    pub(super) fn remove_member(&mut self, seq: u64) -> Result<(), Refusal> {
        let user = self.other_member(seq, "You cannot remove yourself from the organization")?;
        self.keep_an_admin(user)?;
        if let Some(member) = self.members.remove(&seq) {
            self.member_ids.remove(&member.uuid);
        }
        self.member_of_user.remove(&user);
        let teams: Vec<u64> = self.teams.keys().copied().collect();
        for team in teams {
            self.take_from_team(team, user);
        }
        Ok(())
    }

    fn other_member(&self, seq: u64, own: &str) -> Result<Uuid, Refusal> {
        let member = self.members.get(&seq).ok_or_else(|| Refusal::not_found("organization member"))?;
        if member.user == self.owner {
            return Err(Refusal::forbidden(own));
        }
        Ok(member.user)
    }

    /// Refuses where `user` is the last administrator.
    fn keep_an_admin(&self, user: Uuid) -> Result<(), Refusal> {
        let is_admin = self
            .member_of_user
            .get(&user)
            .and_then(|seq| self.members.get(seq))
            .is_some_and(|member| member.role == OrgRole::Admin);
        let another = self.members.values().any(|member| {
            member.role == OrgRole::Admin
                && member.user != user
                && (self.rules.machine_admin_counts || member.user != self.owner)
        });
        if is_admin && !another {
            return Err(Refusal::unprocessable("The organization must have at least one administrator"));
        }
        Ok(())
    }
}
