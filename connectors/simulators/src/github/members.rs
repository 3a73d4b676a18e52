//! Members of the organisation, their roles and their SAML identities.

use std::collections::{BTreeMap, HashMap};

use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::errors::{Answer, Reply};
use super::invitations::{InviteRole, Wanted};
use super::route::{one_of, redirect};
use super::{Caller, Cx, GitHub, ORG, Role, TeamRole, render};

/// What someone was before they were removed; an invitation can reinstate it.
#[derive(Clone, Debug)]
pub(super) struct Former {
    pub(super) role: Role,
    pub(super) teams: BTreeMap<u64, TeamRole>,
}

/// A SAML identity of the organisation's identity provider.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) seq: u64,
    pub(super) guid: Uuid,
    pub(super) name_id: String,
    /// The account that claimed it. It stays tied when the account leaves the organisation.
    pub(super) user: u64,
}

#[derive(Debug, Default)]
pub(super) struct Identities {
    by_seq: BTreeMap<u64, Identity>,
    by_name: HashMap<String, u64>,
}

impl Identities {
    /// Ties an identity to the account that signed in with it.
    fn claim(&mut self, name_id: &str, user: u64) {
        let next = self.by_seq.last_key_value().map_or(1, |(seq, _)| seq + 1);
        let seq = *self.by_name.entry(name_id.to_lowercase()).or_insert(next);
        let identity = self.by_seq.entry(seq).or_insert_with(|| Identity {
            seq,
            // Told apart by its number, and the same in every run.
            guid: Uuid::from_u128(0x51a0_0000_0000_4000_8000_0000_0000_0000 | u128::from(seq)),
            name_id: name_id.to_owned(),
            user,
        });
        identity.user = user;
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Identity> {
        self.by_seq.values()
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Identity> {
        self.by_seq.get(&seq)
    }
}

impl GitHub {
    pub(super) fn members_list(&self, cx: &Cx<'_>) -> Answer {
        let bad = |field: &str| Reply::invalid("OrganizationMember", "invalid", field, "");
        let role = match cx.param("role").unwrap_or("all") {
            "all" => None,
            "admin" => Some(Role::Admin),
            "member" => Some(Role::Member),
            _ => return Err(bad("role")),
        };
        match cx.param("filter").unwrap_or("all") {
            "all" => {}
            // Everybody has two factors here.
            "2fa_disabled" | "2fa_insecure" => return self.list(cx, Vec::<u64>::new(), |_| None),
            _ => return Err(bad("filter")),
        }
        if self.standing(cx.caller).is_none() {
            // Public members only, and there are none.
            return self.list(cx, Vec::<u64>::new(), |_| None);
        }
        self.member_reads(cx)?;
        let chosen = |&(_, r): &(&u64, &Role)| role.is_none_or(|role| *r == role);
        let mut ids: Vec<u64> = self.members.iter().filter(chosen).map(|(id, _)| *id).collect();
        if !self.leaving.is_empty() && role != Some(Role::Admin) {
            ids.extend(self.leaving.keys().filter(|id| !self.members.contains_key(id)));
            ids.sort_unstable();
        }
        self.list(cx, ids, |id| {
            let person = self.people.get(*id)?;
            Some(render::simple_user(&cx.base, person))
        })
    }

    pub(super) fn member_check(&self, cx: &Cx<'_>, login: &str) -> Answer {
        if self.standing(cx.caller).is_none() {
            return Ok(redirect(format!("{}/orgs/{ORG}/public_members/{login}", cx.base)));
        }
        self.member_reads(cx)?;
        match self.people.known(login) {
            Some(id) if self.members.contains_key(&id) => Ok(Reply::no_content()),
            _ => Err(Reply::not_found()),
        }
    }

    pub(super) fn member_remove(&mut self, cx: &Cx<'_>, login: &str) -> Answer {
        self.owner_writes(cx, false)?;
        let id = self.people.known(login).ok_or_else(Reply::not_found)?;
        if self.members.contains_key(&id) {
            self.leave(id, cx.now)?;
        } else if self.invitations.of_user(id).is_none() {
            return Err(Reply::not_found());
        }
        // A pending invitation stays: this call is about active members only.
        Ok(Reply::no_content())
    }

    pub(super) fn membership_get(&self, cx: &Cx<'_>, login: &str) -> Answer {
        self.member_reads(cx)?;
        let id = self.people.known(login).ok_or_else(Reply::not_found)?;
        self.membership_of(cx, id)
    }

    /// The caller's own membership.
    pub(super) fn membership_self(&self, cx: &Cx<'_>) -> Answer {
        if cx.caller != Caller::Account {
            return Err(Reply::forbidden("Resource not accessible by integration"));
        }
        self.membership_of(cx, self.me)
    }

    fn membership_of(&self, cx: &Cx<'_>, id: u64) -> Answer {
        let person = self.people.get(id).ok_or_else(Reply::not_found)?;
        let (role, state) = match (self.members.get(&id), self.invitations.of_user(id)) {
            (Some(&role), _) => (role, "active"),
            (None, Some(invitation)) => (invitation.role.of_member(), "pending"),
            (None, None) => return Err(Reply::not_found()),
        };
        Ok(Reply::ok(self.membership(&cx.base, person, role, state)))
    }

    pub(super) fn membership_put(&mut self, cx: &Cx<'_>, login: &str) -> Answer {
        self.owner_writes(cx, false)?;
        let body = cx.object()?;
        let role = one_of(body.get("role"), "member", &["admin", "member"], "OrganizationMembership", "role")?;
        let role = if role == "admin" { Role::Admin } else { Role::Member };
        let id = self.people.exists(login, cx.now).ok_or_else(Reply::not_found)?;
        if self.members.contains_key(&id) {
            if role == Role::Member {
                self.keep_an_owner(id)?;
            }
            self.become_member(id, role);
        } else if let Some(invitation) = self.invitations.of_user_mut(id) {
            invitation.role = InviteRole::of(role);
        } else {
            self.invite(cx, Wanted::user(id, InviteRole::of(role)))?;
        }
        self.membership_of(cx, id)
    }

    pub(super) fn membership_delete(&mut self, cx: &Cx<'_>, login: &str) -> Answer {
        self.owner_writes(cx, false)?;
        let id = self.people.known(login).ok_or_else(Reply::not_found)?;
        if self.members.contains_key(&id) {
            self.leave(id, cx.now)?;
        } else {
            let pending = self.invitations.of_user(id).map(|i| i.id);
            let pending = pending.ok_or_else(Reply::not_found)?;
            self.invitations.cancel(pending);
        }
        Ok(Reply::no_content())
    }

    /// Refuses what would leave the organisation without an owner.
    fn keep_an_owner(&self, id: u64) -> Result<(), Reply> {
        let owner = |id| self.members.get(id) == Some(&Role::Admin);
        let others = self.members.keys().any(|other| *other != id && owner(other));
        if owner(&id) && !others {
            return Err(Reply::error(
                StatusCode::FORBIDDEN,
                "The last owner of an organization cannot be removed or demoted.",
            ));
        }
        Ok(())
    }

    /// Ends a membership, with all memberships in teams.
    fn leave(&mut self, id: u64, now: Timestamp) -> Result<(), Reply> {
        self.keep_an_owner(id)?;
        let Some(role) = self.members.remove(&id) else {
            return Ok(());
        };
        let teams = self.teams.drop_person(id);
        self.former.insert(id, Former { role, teams });
        if let Some(until) = self.knobs.lag_until(now) {
            self.leaving.insert(id, until);
        }
        Ok(())
    }

    /// Makes someone a member, or changes their role. Owners maintain every team they are in.
    pub(super) fn become_member(&mut self, id: u64, role: Role) {
        self.members.insert(id, role);
        self.leaving.remove(&id);
        if role == Role::Admin {
            self.teams.promote(id);
        }
    }

    /// A member has signed in through the identity provider.
    pub(super) fn sign_in(&mut self, id: u64, name_id: &str) {
        self.identities.claim(name_id, id);
    }

    /// Everyone's state in `GET /_sim/state`, but the credential's own account.
    pub(super) fn account_state(&self, id: u64, role: Role) -> Option<Value> {
        let person = self.people.get(id)?;
        Some(serde_json::json!({
            "id": person.id.to_string(),
            "login": person.login,
            "email": person.emails.first(),
            "active": true,
            "role": role.name(),
        }))
    }
}
