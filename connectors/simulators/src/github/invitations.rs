//! Invitations to the organisation: by e-mail, tied to nobody, or to a known account.

use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::errors::{Answer, Reply};
use super::people::is_email;
use super::route::one_of;
use super::{Cx, GitHub, Role, TeamRole};
use crate::{Accept, Limits};

/// An invitation fails after so long.
const LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// An organisation sends so many in 24 hours.
const QUOTA: usize = 500;
/// The quota's window.
const QUOTA_WINDOW: SignedDuration = SignedDuration::from_hours(24);

/// What the invitee will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InviteRole {
    Admin,
    DirectMember,
    BillingManager,
    /// What they were before.
    Reinstate,
}

impl InviteRole {
    pub(super) fn name(self) -> &'static str {
        match self {
            InviteRole::Admin => "admin",
            InviteRole::DirectMember => "direct_member",
            InviteRole::BillingManager => "billing_manager",
            InviteRole::Reinstate => "reinstate",
        }
    }

    pub(super) fn of(role: Role) -> Self {
        match role {
            Role::Admin => InviteRole::Admin,
            Role::Member => InviteRole::DirectMember,
        }
    }

    /// As a membership shows it while it is pending.
    pub(super) fn of_member(self) -> Role {
        match self {
            InviteRole::Admin => Role::Admin,
            InviteRole::DirectMember | InviteRole::BillingManager | InviteRole::Reinstate => Role::Member,
        }
    }
}

/// One invitation, pending or failed.
#[derive(Clone, Debug)]
pub(super) struct Invitation {
    pub(super) id: u64,
    /// The address it was sent to; then nobody knows whose account will accept it.
    pub(super) email: Option<String>,
    /// The invited account, if one was named.
    pub(super) user: Option<u64>,
    pub(super) role: InviteRole,
    pub(super) teams: BTreeMap<u64, TeamRole>,
    pub(super) created_at: Timestamp,
    /// When it failed, and why.
    pub(super) failed: Option<(Timestamp, &'static str)>,
}

/// An invitation to be made.
pub(super) struct Wanted {
    email: Option<String>,
    user: Option<u64>,
    role: InviteRole,
    pub(super) teams: BTreeMap<u64, TeamRole>,
}

impl Wanted {
    pub(super) fn user(id: u64, role: InviteRole) -> Self {
        Self { email: None, user: Some(id), role, teams: BTreeMap::new() }
    }
}

#[derive(Debug)]
pub(super) struct Invitations {
    pending: BTreeMap<u64, Invitation>,
    failed: BTreeMap<u64, Invitation>,
    by_user: HashMap<u64, u64>,
    by_email: HashMap<String, u64>,
    next_id: u64,
    /// When the latest ones were sent, for the quota.
    sent: VecDeque<Timestamp>,
}

impl Default for Invitations {
    fn default() -> Self {
        Self {
            pending: BTreeMap::new(),
            failed: BTreeMap::new(),
            by_user: HashMap::new(),
            by_email: HashMap::new(),
            next_id: 77,
            sent: VecDeque::new(),
        }
    }
}

impl Invitations {
    pub(super) fn of_user(&self, id: u64) -> Option<&Invitation> {
        self.pending.get(self.by_user.get(&id)?)
    }

    pub(super) fn of_user_mut(&mut self, id: u64) -> Option<&mut Invitation> {
        self.pending.get_mut(self.by_user.get(&id)?)
    }

    pub(super) fn of_email(&self, email: &str) -> Option<&Invitation> {
        self.pending.get(self.by_email.get(&email.to_lowercase())?)
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = &Invitation> {
        self.pending.values()
    }

    pub(super) fn get(&self, id: u64) -> Option<&Invitation> {
        self.pending.get(&id)
    }

    /// Takes a pending invitation away.
    pub(super) fn cancel(&mut self, id: u64) -> Option<Invitation> {
        let invitation = self.pending.remove(&id)?;
        if let Some(user) = invitation.user {
            self.by_user.remove(&user);
        }
        if let Some(email) = &invitation.email {
            self.by_email.remove(&email.to_lowercase());
        }
        Some(invitation)
    }

    /// A deleted team is no longer part of any invitation.
    pub(super) fn drop_team(&mut self, team: u64) {
        for invitation in self.pending.values_mut() {
            invitation.teams.remove(&team);
        }
    }

    /// Lets those fail that nobody accepted in time. They were made in the order of their ids.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some((&id, oldest)) = self.pending.first_key_value() {
            let end = oldest.created_at.saturating_add(LIFE).unwrap_or(Timestamp::MAX);
            if end > now {
                break;
            }
            if let Some(mut invitation) = self.cancel(id) {
                invitation.failed = Some((end, "Invitation expired. User did not accept this invite for 7 days."));
                self.failed.insert(id, invitation);
            }
        }
    }

    /// How many were sent in the last 24 hours.
    fn sent_lately(&mut self, now: Timestamp) -> usize {
        let since = now.saturating_sub(QUOTA_WINDOW).unwrap_or(Timestamp::MIN);
        while self.sent.front().is_some_and(|at| *at <= since) {
            self.sent.pop_front();
        }
        self.sent.len()
    }
}

impl GitHub {
    pub(super) fn invitations_list(&self, cx: &Cx<'_>) -> Answer {
        self.owner_reads(cx)?;
        let role = cx.param("role").unwrap_or("all");
        let source = cx.param("invitation_source").unwrap_or("all");
        let pending: Vec<&Invitation> = self
            .invitations
            .pending
            .values()
            .filter(|i| role == "all" || i.role.name() == role)
            // None comes from SCIM.
            .filter(|_| matches!(source, "all" | "member"))
            .collect();
        self.list(cx, pending, |i| Some(self.invitation(&cx.base, i)))
    }

    pub(super) fn failed_invitations(&self, cx: &Cx<'_>) -> Answer {
        self.owner_reads(cx)?;
        let failed = self.invitations.failed.values().collect();
        self.list(cx, failed, |i: &&Invitation| Some(self.invitation(&cx.base, i)))
    }

    pub(super) fn invitation_teams(&self, cx: &Cx<'_>, id: &str) -> Answer {
        self.owner_reads(cx)?;
        let invitation = id.parse().ok().and_then(|id| self.invitations.get(id));
        let invitation = invitation.ok_or_else(Reply::not_found)?;
        let teams = invitation.teams.keys().copied().collect();
        self.list(cx, teams, |id| Some(self.team(&cx.base, self.teams.get(*id)?)))
    }

    pub(super) fn invitation_delete(&mut self, cx: &Cx<'_>, id: &str) -> Answer {
        self.owner_writes(cx, true)?;
        let id = id.parse().map_err(|_| Reply::not_found())?;
        let gone = self.invitations.cancel(id);
        gone.map(|_| Reply::no_content()).ok_or_else(Reply::not_found)
    }

    pub(super) fn invitation_create(&mut self, cx: &Cx<'_>) -> Answer {
        self.owner_writes(cx, true)?;
        let wanted = self.wanted(cx)?;
        let id = self.invite(cx, wanted)?;
        let made = self.invitations.get(id).ok_or_else(Reply::not_found)?;
        Ok(Reply::created(self.invitation(&cx.base, made)))
    }

    fn wanted(&self, cx: &Cx<'_>) -> Result<Wanted, Reply> {
        let body = cx.object()?;
        let role = one_of(
            body.get("role"),
            "direct_member",
            &["admin", "direct_member", "billing_manager", "reinstate"],
            "OrganizationInvitation",
            "role",
        )?;
        let role = match role {
            "admin" => InviteRole::Admin,
            "billing_manager" => InviteRole::BillingManager,
            "reinstate" => InviteRole::Reinstate,
            _ => InviteRole::DirectMember,
        };
        let teams = self.wanted_teams(body.get("team_ids"))?;
        let given = |key| body.get(key).filter(|v| !v.is_null());
        let (email, user) = match (given("email"), given("invitee_id")) {
            (Some(email), None) => {
                let email = email.as_str().filter(|e| is_email(e));
                let email = email.ok_or_else(|| refused("Email is not a valid address"))?;
                (Some(email.to_owned()), None)
            }
            (None, Some(id)) => {
                let id = id.as_u64().filter(|id| self.people.get(*id).is_some());
                let id = id.ok_or_else(|| refused("Invitee could not be found"))?;
                (None, Some(id))
            }
            _ => {
                return Err(refused("Exactly one of `email` and `invitee_id` must be given"));
            }
        };
        Ok(Wanted { email, user, role, teams })
    }

    fn wanted_teams(&self, ids: Option<&Value>) -> Result<BTreeMap<u64, TeamRole>, Reply> {
        let ids = match ids {
            None | Some(Value::Null) => return Ok(BTreeMap::new()),
            Some(Value::Array(ids)) => ids,
            Some(_) => return Err(refused("`team_ids` must be a list of numbers")),
        };
        ids.iter()
            .map(|id| {
                let id = id.as_u64().filter(|id| self.teams.get(*id).is_some());
                id.map(|id| (id, TeamRole::Member))
                    .ok_or_else(|| refused("`team_ids` names a team that could not be found"))
            })
            .collect()
    }

    /// Makes an invitation, if quota, seats and the invitee's standing allow.
    pub(super) fn invite(&mut self, cx: &Cx<'_>, wanted: Wanted) -> Result<u64, Reply> {
        let of_email = |email: &String| self.people.with_email(email);
        let account = wanted.user.or_else(|| wanted.email.as_ref().and_then(of_email));
        if account.is_some_and(|id| self.members.contains_key(&id)) {
            return Err(refused("Invitee is already a part of this organization"));
        }
        let by_email = wanted.email.as_deref();
        if by_email.is_some_and(|e| self.invitations.of_email(e).is_some())
            || account.is_some_and(|id| self.invitations.of_user(id).is_some())
        {
            return Err(refused("Invitee was already invited to this organization"));
        }
        if wanted.role == InviteRole::Reinstate && !account.is_some_and(|id| self.former.contains_key(&id)) {
            return Err(refused("Invitee was never a member of this organization and cannot be reinstated"));
        }
        if self.limits == Limits::Real && self.invitations.sent_lately(cx.now) >= QUOTA {
            return Err(refused("Over invitation rate limit"));
        }
        let taken = self.members.len() + self.invitations.pending.len();
        if self.knobs.seats.is_some_and(|seats| taken >= seats) {
            return Err(Reply::refused(
                "You must purchase at least one more seat to add this user as a member.",
                "Organization",
                "no_seat",
                "user",
                "",
            ));
        }
        Ok(self.invitations.add(wanted, cx.now))
    }

    /// People accept. The answer names who did, and who could not.
    pub(super) fn accept_invitations(&mut self, which: &Accept, now: Timestamp) -> Value {
        self.settle(now);
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let named = which.login.as_deref().and_then(|l| self.people.known(l));
        let chosen: Vec<u64> = match (&which.email, &which.login) {
            (None, None) => self.invitations.pending.keys().copied().collect(),
            (Some(email), _) => self.invitations.of_email(email).map(|i| i.id).into_iter().collect(),
            (None, Some(_)) => named.and_then(|id| self.invitations.of_user(id)).map(|i| i.id).into_iter().collect(),
        };
        let mut accepted = Vec::new();
        let mut refused = Vec::new();
        for id in chosen {
            match self.accept_one(id, which.login.as_deref(), now) {
                Ok(value) => accepted.push(value),
                Err(why) => refused.push(json!({ "id": id.to_string(), "why": why })),
            }
        }
        json!({ "accepted": accepted, "refused": refused })
    }

    fn accept_one(&mut self, id: u64, login: Option<&str>, now: Timestamp) -> Result<Value, &'static str> {
        let invitation = self.invitations.get(id).ok_or("it is gone")?.clone();
        let person = match (invitation.user, &invitation.email) {
            (Some(user), _) => user,
            (None, Some(email)) => self.accepting(email, login, now)?,
            (None, None) => return Err("it is for nobody"),
        };
        if self.members.contains_key(&person) {
            return Err("that account is already a member");
        }
        self.invitations.cancel(id);
        // The same account may have been invited by its login as well.
        if let Some(other) = self.invitations.of_user(person).map(|i| i.id) {
            self.invitations.cancel(other);
        }
        if let Some(email) = &invitation.email {
            self.people.verify(person, email);
        }
        if invitation.role != InviteRole::BillingManager {
            self.join(person, &invitation);
        }
        let found = self.people.get(person).ok_or("it is for nobody")?;
        Ok(json!({
            "id": found.id.to_string(),
            "login": found.login,
            "email": found.emails.first(),
        }))
    }

    /// The account that accepts an e-mail invitation: the one asked for, else the one that has the
    /// address, else one named after it.
    fn accepting(&mut self, email: &str, login: Option<&str>, now: Timestamp) -> Result<u64, &'static str> {
        if let Some(login) = login {
            if !super::people::is_login(login) {
                return Err("that is no valid login");
            }
            return Ok(self.people.add(login, now));
        }
        if let Some(id) = self.people.with_email(email) {
            return Ok(id);
        }
        let namesake = self.people.known(&super::people::login_of(email));
        let unused = namesake.filter(|id| {
            let bare = self.people.get(*id).is_some_and(|p| p.emails.is_empty());
            let invited = self.invitations.of_user(*id).is_some();
            bare && !invited && *id != self.me && !self.members.contains_key(id)
        });
        Ok(unused.unwrap_or_else(|| {
            let login = self.people.free_login(email);
            self.people.add(&login, now)
        }))
    }

    fn join(&mut self, person: u64, invitation: &Invitation) {
        let former = self.former.remove(&person);
        let reinstated = former.filter(|_| invitation.role == InviteRole::Reinstate);
        let role = reinstated.as_ref().map_or(invitation.role.of_member(), |former| former.role);
        let before = reinstated.map(|former| former.teams).unwrap_or_default();
        for (&team, &role) in before.iter().chain(&invitation.teams) {
            if let Some(team) = self.teams.get_mut(team) {
                team.members.insert(person, role);
            }
        }
        self.become_member(person, role);
        // To sign in, the account goes through the identity provider.
        let found = self.people.get(person);
        let name_id = invitation.email.clone().or_else(|| found.and_then(|p| p.emails.first().cloned()));
        if let Some(name_id) = name_id {
            self.sign_in(person, &name_id);
        }
    }
}

impl Invitations {
    fn add(&mut self, wanted: Wanted, now: Timestamp) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.sent.push_back(now);
        if let Some(user) = wanted.user {
            self.by_user.insert(user, id);
        }
        if let Some(email) = &wanted.email {
            self.by_email.insert(email.to_lowercase(), id);
        }
        self.pending.insert(
            id,
            Invitation {
                id,
                email: wanted.email,
                user: wanted.user,
                role: wanted.role,
                teams: wanted.teams,
                created_at: now,
                failed: None,
            },
        );
        id
    }
}

fn refused(message: &str) -> Reply {
    Reply::invalid("OrganizationInvitation", "unprocessable", "data", message)
}
