//! Who is in a team: directly, through a child team, or as soon as an invitation is accepted.

use std::collections::BTreeMap;

use serde_json::json;

use super::errors::{Answer, Reply};
use super::invitations::{InviteRole, Wanted};
use super::route::one_of;
use super::teams::Team;
use super::{Cx, GitHub, ORG_ID, Role, TeamRole, render};

impl GitHub {
    /// Everyone in a team and the teams below it: role, and whether it is inherited.
    pub(super) fn team_people(&self, team: &Team) -> BTreeMap<u64, (TeamRole, bool)> {
        let mut people: BTreeMap<u64, (TeamRole, bool)> = BTreeMap::new();
        for id in self.teams.family(team.id) {
            let inherited = id != team.id;
            for (&person, &role) in self.teams.get(id).iter().flat_map(|t| &t.members) {
                people.entry(person).or_insert((role, inherited));
            }
        }
        people
    }

    pub(super) fn team_members(&self, cx: &Cx<'_>, id: u64) -> Answer {
        let team = self.teams.get(id).ok_or_else(Reply::not_found)?;
        if team.unseen_until.is_some_and(|until| cx.now < until) {
            return Err(Reply::not_found());
        }
        let wanted = match cx.param("role").unwrap_or("all") {
            "all" => None,
            "member" => Some(TeamRole::Member),
            "maintainer" => Some(TeamRole::Maintainer),
            _ => return Err(Reply::invalid("TeamMember", "invalid", "role", "")),
        };
        let people = self
            .team_people(team)
            .into_iter()
            .filter(|(_, (role, _))| wanted.is_none_or(|wanted| wanted == *role))
            .collect();
        self.list(cx, people, |(id, (role, inherited))| {
            let person = self.people.get(*id)?;
            Some(render::team_member(&cx.base, person, *role, *inherited))
        })
    }

    pub(super) fn team_invitations(&self, cx: &Cx<'_>, id: u64) -> Answer {
        let pending = self.invitations.pending();
        let pending: Vec<_> = pending.filter(|i| i.teams.contains_key(&id)).collect();
        self.list(cx, pending, |i| Some(self.invitation(&cx.base, i)))
    }

    pub(super) fn team_membership_get(&self, cx: &Cx<'_>, team: u64, login: &str) -> Answer {
        let person = self.people.known(login).ok_or_else(Reply::not_found)?;
        self.team_membership_of(cx, team, person)
    }

    fn team_membership_of(&self, cx: &Cx<'_>, id: u64, person: u64) -> Answer {
        let team = self.teams.get(id).ok_or_else(Reply::not_found)?;
        let pending = self.invitations.of_user(person);
        let pending = pending.and_then(|i| i.teams.get(&id).copied());
        let direct = team.members.get(&person).copied();
        let active = direct.or_else(|| {
            let family = self.teams.family(id);
            family
                .iter()
                .any(|t| self.teams.get(*t).is_some_and(|t| t.members.contains_key(&person)))
                .then_some(TeamRole::Member)
        });
        let (role, state) = match (active, pending) {
            (Some(_), _) if self.members.get(&person) == Some(&Role::Admin) => (TeamRole::Maintainer, "active"),
            (Some(role), _) => (role, "active"),
            (None, Some(role)) => (role, "pending"),
            (None, None) => return Err(Reply::not_found()),
        };
        let login = self.people.get(person).map(|p| p.login.as_str());
        let base = &cx.base;
        Ok(Reply::ok(json!({
            "url": format!(
                "{base}/organizations/{ORG_ID}/team/{id}/memberships/{}",
                login.unwrap_or_default(),
            ),
            "role": role.name(),
            "state": state,
        })))
    }

    pub(super) fn team_membership_put(&mut self, cx: &Cx<'_>, id: u64, login: &str) -> Answer {
        self.owner_writes(cx, false)?;
        let body = cx.object()?;
        let role = one_of(body.get("role"), "member", &["member", "maintainer"], "TeamMember", "role")?;
        let role = if role == "maintainer" { TeamRole::Maintainer } else { TeamRole::Member };
        let person = self.people.exists(login, cx.now).ok_or_else(Reply::not_found)?;
        match self.members.get(&person) {
            Some(standing) => {
                // Owners maintain every team they are in, whatever was asked for.
                let role = match standing {
                    Role::Admin => TeamRole::Maintainer,
                    Role::Member => role,
                };
                let team = self.teams.get_mut(id).ok_or_else(Reply::not_found)?;
                team.members.insert(person, role);
            }
            None => match self.invitations.of_user_mut(person) {
                Some(invitation) => {
                    invitation.teams.insert(id, role);
                }
                None => {
                    let mut wanted = Wanted::user(person, InviteRole::DirectMember);
                    wanted.teams.insert(id, role);
                    self.invite(cx, wanted)?;
                }
            },
        }
        self.team_membership_of(cx, id, person)
    }

    pub(super) fn team_membership_delete(&mut self, cx: &Cx<'_>, id: u64, login: &str) -> Answer {
        self.owner_writes(cx, false)?;
        let person = self.people.known(login).ok_or_else(Reply::not_found)?;
        let team = self.teams.get_mut(id).ok_or_else(Reply::not_found)?;
        let direct = team.members.remove(&person).is_some();
        // The invitation to the organisation itself stays.
        let invitation = self.invitations.of_user_mut(person);
        let pending = invitation.is_some_and(|i| i.teams.remove(&id).is_some());
        if direct || pending { Ok(Reply::no_content()) } else { Err(Reply::not_found()) }
    }
}
