//! What the workspace holds, and what its rules are.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

/// The id of something that every simulator begins with: the same in all of them, because one that
/// takes another's place on its port is the same workspace.
pub(super) fn fixed(n: u8) -> Uuid {
    uuid::Builder::from_random_bytes([n; 16]).into_uuid()
}

/// The workspace's URL key.
pub(super) const URL_KEY: &str = "acme";

/// Role in the workspace (`UserRoleType`, without `app`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Owner,
    Admin,
    User,
    Guest,
}

impl Role {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::User => "user",
            Self::Guest => "guest",
        }
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        [Self::Owner, Self::Admin, Self::User, Self::Guest].into_iter().find(|role| role.word() == text)
    }
}

/// A refusal as the vendor's SDK tells kinds apart (packages/sdk/src/error.ts): the type, and the words.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    kind: &'static str,
    code: &'static str,
    message: String,
}

impl Refusal {
    /// `Entity not found: User`.
    pub(super) fn absent(what: &str) -> Self {
        Self {
            kind: "invalid input",
            code: "INPUT_ERROR",
            message: format!("Entity not found: {what} - Could not find referenced {what}."),
        }
    }

    /// The input is wrong.
    pub(super) fn input(message: impl Into<String>) -> Self {
        Self { kind: "invalid input", code: "INPUT_ERROR", message: message.into() }
    }

    /// A plan's quota.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { kind: "usage limit exceeded", code: "USAGE_LIMIT_EXCEEDED", message: message.into() }
    }

    /// The key's user may not.
    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self { kind: "forbidden", code: "FORBIDDEN", message: message.into() }
    }

    /// The member of `errors`.
    pub(super) fn error(&self) -> Value {
        json!({
            "message": self.message,
            "extensions": {
                "type": self.kind,
                "code": self.code,
                "userError": true,
                "userPresentableMessage": self.message,
            },
        })
    }
}

/// A user; suspended ones stay.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) login: String,
    pub(super) email: String,
    pub(super) active: bool,
    pub(super) role: Role,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

/// An invitation in any state.
#[derive(Debug, Clone)]
pub(super) struct Invite {
    pub(super) id: Uuid,
    pub(super) email: String,
    pub(super) role: Role,
    pub(super) teams: Vec<u64>,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) accepted_at: Option<Timestamp>,
    pub(super) archived_at: Option<Timestamp>,
    pub(super) invitee: Option<u64>,
}

impl Invite {
    pub(super) fn pending(&self, now: Timestamp) -> bool {
        self.accepted_at.is_none() && self.archived_at.is_none() && self.expires_at.is_none_or(|end| end > now)
    }
}

/// A team; a deleted one stays, archived.
#[derive(Debug, Clone)]
pub(super) struct Team {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) key: String,
    pub(super) scim_managed: bool,
    pub(super) created_at: Timestamp,
    pub(super) archived_at: Option<Timestamp>,
    /// By sequence number.
    pub(super) members: BTreeMap<u64, Membership>,
    /// User -> membership.
    pub(super) by_user: HashMap<u64, u64>,
}

/// A user in a team.
#[derive(Debug, Clone)]
pub(super) struct Membership {
    pub(super) id: Uuid,
    pub(super) user: u64,
    pub(super) owner: bool,
    pub(super) created_at: Timestamp,
}

/// What plan and settings decide; changed by the knobs.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// Days until an invitation expires; 0: never. The vendor documents that it may, not when; 30 is
    /// this simulator's choice.
    pub(super) invitation_days: i64,
    /// The most active users and pending invitations together.
    pub(super) seats: Option<usize>,
    /// A pending address can be invited again. The vendor does not document it.
    pub(super) invite_twice: bool,
    /// Linear's own SCIM is on.
    pub(super) scim: bool,
}

/// The workspace.
#[derive(Debug)]
pub(super) struct World {
    pub(super) organization: Uuid,
    /// The key's own user.
    pub(super) owner: u64,
    pub(super) rules: Rules,
    last_seq: u64,
    pub(super) users: BTreeMap<u64, User>,
    pub(super) user_ids: HashMap<Uuid, u64>,
    pub(super) user_emails: HashMap<String, u64>,
    pub(super) invites: BTreeMap<u64, Invite>,
    pub(super) invite_ids: HashMap<Uuid, u64>,
    pub(super) teams: BTreeMap<u64, Team>,
    pub(super) team_ids: HashMap<Uuid, u64>,
    pub(super) membership_ids: HashMap<Uuid, (u64, u64)>,
}

impl World {
    /// A workspace that holds only the key's own user.
    pub(super) fn new() -> Self {
        let founded = Timestamp::UNIX_EPOCH;
        let mut world = Self {
            organization: fixed(2),
            owner: 0,
            rules: Rules { invitation_days: 30, seats: None, invite_twice: false, scim: false },
            last_seq: 0,
            users: BTreeMap::new(),
            user_ids: HashMap::new(),
            user_emails: HashMap::new(),
            invites: BTreeMap::new(),
            invite_ids: HashMap::new(),
            teams: BTreeMap::new(),
            team_ids: HashMap::new(),
            membership_ids: HashMap::new(),
        };
        world.owner = world.add_user(fixed(3), "gateway@acme.example", "gateway", Role::Owner, founded);
        world
    }

    fn seq(&mut self) -> u64 {
        self.last_seq += 1;
        self.last_seq
    }

    fn add_user(&mut self, id: Uuid, email: &str, login: &str, role: Role, now: Timestamp) -> u64 {
        let seq = self.seq();
        self.user_ids.insert(id, seq);
        self.user_emails.insert(email.to_lowercase(), seq);
        let (name, login, email) = (login.to_owned(), login.to_owned(), email.to_owned());
        let user = User { id, name, login, email, active: true, role, created_at: now, updated_at: now };
        self.users.insert(seq, user);
        seq
    }

    /// A user who is there, or is now.
    pub(super) fn join(&mut self, email: &str, login: &str, role: Role, now: Timestamp) -> u64 {
        match self.user_emails.get(&email.to_lowercase()) {
            Some(seq) => *seq,
            None => self.add_user(Uuid::new_v4(), email, login, role, now),
        }
    }

    pub(super) fn user(&self, id: &str) -> Result<u64, Refusal> {
        let known = Uuid::try_parse(id).ok().and_then(|id| self.user_ids.get(&id));
        known.copied().ok_or_else(|| Refusal::absent("User"))
    }

    pub(super) fn invite(&self, id: &str) -> Result<u64, Refusal> {
        let known = Uuid::try_parse(id).ok().and_then(|id| self.invite_ids.get(&id));
        known.copied().ok_or_else(|| Refusal::absent("OrganizationInvite"))
    }

    pub(super) fn team(&self, id: &str) -> Result<u64, Refusal> {
        let known = Uuid::try_parse(id).ok().and_then(|id| self.team_ids.get(&id));
        known.copied().ok_or_else(|| Refusal::absent("Team"))
    }

    /// A team that is not deleted.
    pub(super) fn living_team(&self, id: &str) -> Result<u64, Refusal> {
        let seq = self.team(id)?;
        match self.teams.get(&seq) {
            Some(team) if team.archived_at.is_none() => Ok(seq),
            _ => Err(Refusal::input("The team is archived.")),
        }
    }

    /// Sends an invitation.
    pub(super) fn send(
        &mut self,
        email: &str,
        role: Role,
        teams: Vec<u64>,
        id: Option<Uuid>,
        now: Timestamp,
    ) -> Result<u64, Refusal> {
        let email = email.trim();
        let sound = email.len() <= 254
            && email
                .split_once('@')
                .is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.') && !email.contains(' '));
        if !sound {
            return Err(Refusal::input(format!("email must be an email, {email:?} is none")));
        }
        let key = email.to_lowercase();
        if let Some(user) = self.user_emails.get(&key).and_then(|seq| self.users.get(seq)) {
            let words =
                if user.active { "is already a member of this workspace" } else { "is suspended in this workspace" };
            return Err(Refusal::input(format!("{email} {words}.")));
        }
        let pending = || self.invites.values().filter(|invite| invite.pending(now));
        if !self.rules.invite_twice && pending().any(|invite| invite.email.to_lowercase() == key) {
            return Err(Refusal::input(format!("{email} has already been invited.")));
        }
        let taken = self.users.values().filter(|user| user.active).count() + pending().count();
        if self.rules.seats.is_some_and(|seats| taken >= seats) {
            return Err(Refusal::usage("Your plan's user limit is reached. Upgrade to invite more people."));
        }
        let id = id.unwrap_or_else(Uuid::new_v4);
        if self.invite_ids.contains_key(&id) {
            return Err(Refusal::input("An invite with this id already exists."));
        }
        let seq = self.seq();
        let life = SignedDuration::from_hours(self.rules.invitation_days * 24);
        let expires_at = (self.rules.invitation_days > 0).then(|| now.saturating_add(life).unwrap_or(Timestamp::MAX));
        let invite = Invite {
            id,
            email: email.to_owned(),
            role,
            teams,
            created_at: now,
            expires_at,
            accepted_at: None,
            archived_at: None,
            invitee: None,
        };
        self.invite_ids.insert(id, seq);
        self.invites.insert(seq, invite);
        Ok(seq)
    }

    /// The invited person accepts, as a user of the invited address, or as another one.
    pub(super) fn accept(&mut self, seq: u64, login: Option<&str>, now: Timestamp) -> Option<u64> {
        let invite = self.invites.get(&seq).filter(|invite| invite.pending(now))?.clone();
        let local = invite.email.split('@').next().unwrap_or_default().to_owned();
        let user = match login {
            Some(other) if other != local => self.join(&format!("{other}@elsewhere.example"), other, invite.role, now),
            _ => self.join(&invite.email, &local, invite.role, now),
        };
        for team in &invite.teams {
            // A team may have been deleted meanwhile.
            let _ = self.add_member(*team, user, false, now);
        }
        if let Some(invite) = self.invites.get_mut(&seq) {
            invite.accepted_at = Some(now);
            invite.invitee = Some(user);
        }
        Some(user)
    }

    /// Creates a team; who creates it is its owner.
    pub(super) fn create_team(
        &mut self,
        name: &str,
        key: Option<&str>,
        creator: Option<u64>,
        now: Timestamp,
    ) -> Result<u64, Refusal> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 255 {
            return Err(Refusal::input("name must be between 1 and 255 characters."));
        }
        let taken = |key: &str| self.teams.values().any(|team| team.key.eq_ignore_ascii_case(key));
        let key = match key {
            Some(key) if taken(key) => return Err(Refusal::input("The team key is already taken.")),
            Some(key) => key.to_uppercase(),
            None => {
                let letters: String = name.chars().filter(char::is_ascii_alphabetic).take(3).collect();
                let stem = if letters.is_empty() { "T".to_owned() } else { letters.to_uppercase() };
                let n = self.teams.len();
                if taken(&stem) { format!("{stem}{n}") } else { stem }
            }
        };
        let (id, seq) = (Uuid::new_v4(), self.seq());
        let team = Team {
            id,
            name: name.to_owned(),
            key,
            scim_managed: false,
            created_at: now,
            archived_at: None,
            members: BTreeMap::new(),
            by_user: HashMap::new(),
        };
        self.teams.insert(seq, team);
        self.team_ids.insert(id, seq);
        if let Some(creator) = creator {
            self.add_member(seq, creator, true, now)?;
        }
        Ok(seq)
    }

    /// Adds a user to a team.
    pub(super) fn add_member(&mut self, team: u64, user: u64, owner: bool, now: Timestamp) -> Result<u64, Refusal> {
        let active = self.users.get(&user).is_some_and(|user| user.active);
        let (id, seq) = (Uuid::new_v4(), self.seq());
        let within = self.teams.get_mut(&team).ok_or_else(|| Refusal::absent("Team"))?;
        if within.archived_at.is_some() {
            return Err(Refusal::input("The team is archived."));
        }
        if !active {
            return Err(Refusal::input("The user is suspended."));
        }
        if within.by_user.contains_key(&user) {
            return Err(Refusal::input("User is already a member of the team."));
        }
        within.by_user.insert(user, seq);
        within.members.insert(seq, Membership { id, user, owner, created_at: now });
        self.membership_ids.insert(id, (team, seq));
        Ok(seq)
    }

    /// Ends a membership.
    pub(super) fn end_membership(&mut self, id: &str) -> Result<(), Refusal> {
        let absent = || Refusal::absent("TeamMembership");
        let id = Uuid::try_parse(id).map_err(|_| absent())?;
        let (team, seq) = self.membership_ids.remove(&id).ok_or_else(absent)?;
        if let Some(team) = self.teams.get_mut(&team)
            && let Some(member) = team.members.remove(&seq)
        {
            team.by_user.remove(&member.user);
        }
        Ok(())
    }

    /// Suspends or restores a user.
    pub(super) fn set_active(&mut self, id: &str, active: bool, now: Timestamp) -> Result<(), Refusal> {
        let seq = self.user(id)?;
        if seq == self.owner && !active {
            return Err(Refusal::forbidden("You cannot suspend yourself."));
        }
        let taken = self.users.values().filter(|user| user.active).count();
        let seats = self.rules.seats;
        let user = self.users.get_mut(&seq).ok_or_else(|| Refusal::absent("User"))?;
        if active && !user.active && seats.is_some_and(|seats| taken >= seats) {
            return Err(Refusal::usage("Your plan's user limit is reached."));
        }
        user.active = active;
        user.updated_at = now;
        Ok(())
    }
}
