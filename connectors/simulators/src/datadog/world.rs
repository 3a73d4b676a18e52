//! What the organisation holds.

use std::collections::{BTreeMap, HashMap};

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

/// The id of something that every simulator begins with: the same in all of them, because one that
/// takes another's place on its port is the same organisation.
pub(super) fn fixed(n: u8) -> Uuid {
    uuid::Builder::from_random_bytes([n; 16]).into_uuid()
}

/// The roles that every organisation has (docs.datadoghq.com/account_management/rbac).
pub(super) const MANAGED: [&str; 3] = ["Datadog Admin Role", "Datadog Standard Role", "Datadog Read Only Role"];

/// A refusal: status and words.
#[derive(Debug, Clone)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);

impl Refusal {
    pub(super) fn bad(words: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, words.into())
    }

    pub(super) fn absent(what: &str) -> Self {
        Self(StatusCode::NOT_FOUND, format!("{what} not found"))
    }

    pub(super) fn conflict(words: impl Into<String>) -> Self {
        Self(StatusCode::CONFLICT, words.into())
    }

    pub(super) fn forbidden() -> Self {
        Self(StatusCode::FORBIDDEN, "Forbidden".to_owned())
    }
}

/// A user; disabled ones stay.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) id: Uuid,
    pub(super) email: String,
    pub(super) handle: String,
    pub(super) name: Option<String>,
    pub(super) title: Option<String>,
    pub(super) disabled: bool,
    /// Has signed in or accepted an invitation once.
    pub(super) verified: bool,
    pub(super) service: bool,
    /// Mails that are out.
    pub(super) invitations: Vec<Uuid>,
    pub(super) created_at: Timestamp,
    pub(super) modified_at: Timestamp,
}

impl User {
    pub(super) fn status(&self) -> &'static str {
        match (self.disabled, self.verified) {
            (true, _) => "Disabled",
            (false, true) => "Active",
            (false, false) => "Pending",
        }
    }
}

/// A role with its users.
#[derive(Debug, Clone)]
pub(super) struct Role {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) users: BTreeMap<u64, u64>,
    pub(super) created_at: Timestamp,
    pub(super) modified_at: Timestamp,
}

/// A team with its members: user -> (order of joining, is admin, provisioned by).
#[derive(Debug, Clone)]
pub(super) struct Team {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) handle: String,
    pub(super) description: Option<String>,
    pub(super) managed: bool,
    pub(super) members: BTreeMap<u64, Member>,
    pub(super) created_at: Timestamp,
    pub(super) modified_at: Timestamp,
}

/// A membership.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) since: u64,
    pub(super) admin: bool,
    pub(super) by: Option<&'static str>,
}

/// The organisation.
#[derive(Debug)]
pub(super) struct World {
    /// The application key's own user.
    pub(super) owner: u64,
    last_seq: u64,
    pub(super) users: BTreeMap<u64, User>,
    pub(super) user_ids: HashMap<Uuid, u64>,
    pub(super) user_handles: HashMap<String, u64>,
    pub(super) roles: BTreeMap<u64, Role>,
    pub(super) role_ids: HashMap<Uuid, u64>,
    pub(super) teams: BTreeMap<u64, Team>,
    pub(super) team_ids: HashMap<Uuid, u64>,
    pub(super) team_handles: HashMap<String, u64>,
    /// Sent invitations: user, when.
    pub(super) invitations: HashMap<Uuid, (u64, Timestamp)>,
}

impl World {
    /// An organisation that holds only the key's own service account, and the managed roles.
    pub(super) fn new() -> Self {
        let founded = Timestamp::UNIX_EPOCH;
        let mut world = Self {
            owner: 0,
            last_seq: 0,
            users: BTreeMap::new(),
            user_ids: HashMap::new(),
            user_handles: HashMap::new(),
            roles: BTreeMap::new(),
            role_ids: HashMap::new(),
            teams: BTreeMap::new(),
            team_ids: HashMap::new(),
            team_handles: HashMap::new(),
            invitations: HashMap::new(),
        };
        for (n, name) in (10..).zip(MANAGED) {
            world.add_role(fixed(n), name, founded);
        }
        world.owner = world.add_user(fixed(3), "gateway@acme.example", Some("gateway"), founded);
        if let Some(owner) = world.users.get_mut(&world.owner) {
            (owner.verified, owner.service) = (true, true);
        }
        world.put_in_role(MANAGED[0], world.owner);
        world
    }

    pub(super) fn seq(&mut self) -> u64 {
        self.last_seq += 1;
        self.last_seq
    }

    /// Adds a user whose handle is free.
    pub(super) fn add_user(&mut self, id: Uuid, email: &str, name: Option<&str>, now: Timestamp) -> u64 {
        let seq = self.seq();
        self.user_ids.insert(id, seq);
        self.user_handles.insert(email.to_lowercase(), seq);
        let user = User {
            id,
            email: email.to_owned(),
            handle: email.to_owned(),
            name: name.map(str::to_owned),
            title: None,
            disabled: false,
            verified: false,
            service: false,
            invitations: Vec::new(),
            created_at: now,
            modified_at: now,
        };
        self.users.insert(seq, user);
        seq
    }

    /// Adds a role.
    pub(super) fn add_role(&mut self, id: Uuid, name: &str, now: Timestamp) -> u64 {
        let seq = self.seq();
        self.role_ids.insert(id, seq);
        let users = BTreeMap::new();
        self.roles.insert(seq, Role { id, name: name.to_owned(), users, created_at: now, modified_at: now });
        seq
    }

    /// Puts a user into the role of that name.
    pub(super) fn put_in_role(&mut self, name: &str, user: u64) {
        let since = self.seq();
        if let Some(role) = self.roles.values_mut().find(|role| role.name == name) {
            role.users.entry(user).or_insert(since);
        }
    }

    pub(super) fn user(&self, id: &str) -> Result<u64, Refusal> {
        let known = Uuid::try_parse(id).ok().and_then(|id| self.user_ids.get(&id));
        known.copied().ok_or_else(|| Refusal::absent("User"))
    }

    pub(super) fn role(&self, id: &str) -> Result<u64, Refusal> {
        let known = Uuid::try_parse(id).ok().and_then(|id| self.role_ids.get(&id));
        known.copied().ok_or_else(|| Refusal::absent("Role"))
    }

    pub(super) fn team(&self, id: &str) -> Result<u64, Refusal> {
        let known = Uuid::try_parse(id).ok().and_then(|id| self.team_ids.get(&id));
        known.copied().ok_or_else(|| Refusal::absent("Team"))
    }

    /// Creates a team.
    pub(super) fn add_team(&mut self, name: &str, handle: &str, now: Timestamp) -> Result<u64, Refusal> {
        let sound = !handle.is_empty()
            && handle.len() <= 195
            && handle.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if name.trim().is_empty() || name.chars().count() > 200 || !sound {
            return Err(Refusal::bad("Invalid name or handle"));
        }
        if self.team_handles.contains_key(handle) {
            return Err(Refusal::conflict("Team with this handle already exists"));
        }
        let (id, seq) = (Uuid::new_v4(), self.seq());
        let team = Team {
            id,
            name: name.to_owned(),
            handle: handle.to_owned(),
            description: None,
            managed: false,
            members: BTreeMap::new(),
            created_at: now,
            modified_at: now,
        };
        self.teams.insert(seq, team);
        self.team_ids.insert(id, seq);
        self.team_handles.insert(handle.to_owned(), seq);
        Ok(seq)
    }

    /// A user as the API shows one.
    pub(super) fn show_user(&self, seq: u64) -> Value {
        let Some(user) = self.users.get(&seq) else {
            return Value::Null;
        };
        let roles: Vec<Value> = self
            .roles
            .values()
            .filter(|role| role.users.contains_key(&seq))
            .map(|role| json!({ "type": "roles", "id": role.id }))
            .collect();
        json!({
            "type": "users",
            "id": user.id,
            "attributes": {
                "uuid": user.id,
                "name": user.name,
                "handle": user.handle,
                "created_at": stamp(user.created_at),
                "modified_at": stamp(user.modified_at),
                "email": user.email,
                "icon": "https://secure.gravatar.com/avatar/00000000000000000000000000000000",
                "title": user.title,
                "verified": user.verified,
                "service_account": user.service,
                "disabled": user.disabled,
                "status": user.status(),
                "mfa_enabled": false,
                "last_login_time": null,
            },
            "relationships": {
                "roles": { "data": roles },
                "org": { "data": { "type": "orgs", "id": fixed(2) } },
            },
        })
    }

    /// A role as the API shows one.
    pub(super) fn show_role(&self, seq: u64) -> Value {
        let Some(role) = self.roles.get(&seq) else {
            return Value::Null;
        };
        json!({
            "type": "roles",
            "id": role.id,
            "attributes": {
                "name": role.name,
                "created_at": stamp(role.created_at),
                "modified_at": stamp(role.modified_at),
                "user_count": role.users.len(),
            },
            "relationships": { "permissions": { "data": [] } },
        })
    }

    /// A team as the API shows one.
    pub(super) fn show_team(&self, seq: u64) -> Value {
        let Some(team) = self.teams.get(&seq) else {
            return Value::Null;
        };
        json!({
            "type": "team",
            "id": team.id,
            "attributes": {
                "name": team.name,
                "handle": team.handle,
                "description": team.description,
                "summary": null,
                "avatar": null,
                "banner": null,
                "hidden_modules": [],
                "visible_modules": [],
                "is_managed": team.managed,
                "link_count": 0,
                "user_count": team.members.len(),
                "created_at": stamp(team.created_at),
                "modified_at": stamp(team.modified_at),
            },
            "relationships": {},
        })
    }

    /// A membership as the API shows one.
    pub(super) fn show_member(&self, team: u64, user: u64) -> Value {
        let (Some(team), Some(person)) = (self.teams.get(&team), self.users.get(&user)) else {
            return Value::Null;
        };
        let Some(member) = team.members.get(&user) else {
            return Value::Null;
        };
        json!({
            "type": "team_memberships",
            "id": format!("TeamMembership-{}-{user}", team.id),
            "attributes": {
                "role": member.admin.then_some("admin"),
                "provisioned_by": member.by,
                "provisioned_by_id": null,
            },
            "relationships": {
                "user": { "data": { "type": "users", "id": person.id } },
                "team": { "data": { "type": "team", "id": team.id } },
            },
        })
    }
}

/// A time as the vendor writes it.
pub(super) fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}
