//! A simulated GitLab: one top-level group with its members, invitations and subgroups, by the REST API v4.
//! As a server of one's own ([`GitLab::server`]) it also has users, whom the token's user keeps as administrator.
//!
//! Sources: docs.gitlab.com (group members, invitations, groups, REST, rate limits of gitlab.com) and the open
//! source of GitLab (`lib/api/members.rb`, `lib/api/invitations.rb`). Where those are silent the
//! choice is named at the place. The token is that of the group's owner `gateway`, who stays out of
//! `/_sim/state`. Members are told by their SAML identity, whose name is the address they were invited by.
//!
//! Knobs of `POST /_sim/set`: `token` (`"valid"` or `"revoked"`), `known` (addresses that belong to an account
//! already: an invitation makes it a member at once), `enterprise` (whether members' addresses are shown),
//! `identities` (whether members have a SAML identity), `usernames` (whether every username belongs to an
//! account), `projects` (names of subgroups that hold one), `seats` (members the group may have besides the
//! owner; null for no bound), `ldap` (addresses of users whom LDAP has blocked).

mod route;
mod users;

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::knobs;
use crate::rest::set;
use crate::{Accept, Limits, Offer, Target};

/// The token. A constant: a simulator that takes another's place on its port is the same group.
const TOKEN: &str = "glpat-simulated-token-0001";
/// Whose token it is.
const OWN: &str = "gateway";
/// The top-level group.
const TOP: u64 = 9_970;
/// Calls a minute of a user on gitlab.com (docs.gitlab.com/user/gitlab_com).
const PER_MINUTE: u32 = 2_000;
/// Members removed a minute (docs.gitlab.com/api/group_members).
const REMOVALS_PER_MINUTE: usize = 60;

/// A simulated group on gitlab.com.
#[derive(Debug)]
pub struct GitLab {
    limits: Limits,
    /// Whether it is a server of one's own.
    server: bool,
    valid: bool,
    ldap: Vec<String>,
    known: Vec<String>,
    enterprise: bool,
    identities: bool,
    usernames: bool,
    seats: Option<usize>,
    next: u64,
    users: Vec<User>,
    groups: Vec<Group>,
    window: Option<(Timestamp, u32)>,
    removals: Vec<Timestamp>,
}

/// An account of GitLab, whether or not it is a member of the group.
#[derive(Debug)]
struct User {
    id: u64,
    username: String,
    name: String,
    email: String,
    /// The name of its SAML identity in the group.
    extern_uid: Option<String>,
    blocked: bool,
    admin: bool,
}

#[derive(Debug)]
struct Group {
    id: u64,
    parent: Option<u64>,
    name: String,
    path: String,
    visibility: String,
    marked: Option<Timestamp>,
    projects: bool,
    members: Vec<Membership>,
    invitations: Vec<Invitation>,
}

#[derive(Debug)]
struct Membership {
    user: u64,
    level: u64,
    since: Timestamp,
}

#[derive(Debug)]
struct Invitation {
    id: u64,
    email: String,
    level: u64,
    since: Timestamp,
}

impl GitLab {
    /// A group with nobody in it but its owner.
    pub fn new(limits: Limits) -> Self {
        let mut sim = Self {
            limits,
            server: false,
            valid: true,
            ldap: Vec::new(),
            known: Vec::new(),
            enterprise: false,
            identities: true,
            usernames: false,
            seats: None,
            next: 100,
            users: Vec::new(),
            groups: Vec::new(),
            window: None,
            removals: Vec::new(),
        };
        let own = sim.user(OWN, "gateway@acme.example");
        let mut top = Group::new(TOP, None, "Acme", "acme", "private");
        top.members.push(Membership { user: own, level: 50, since: Timestamp::UNIX_EPOCH });
        sim.groups.push(top);
        sim
    }

    /// A server of one's own, with nobody in it but its administrator.
    pub fn server(limits: Limits) -> Self {
        let mut sim = Self { server: true, ..Self::new(limits) };
        sim.users.iter_mut().for_each(|user| user.admin = true);
        sim
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// An account of that username, made where there is none.
    fn user(&mut self, username: &str, email: &str) -> u64 {
        if let Some(user) = self.users.iter().find(|user| user.username.eq_ignore_ascii_case(username)) {
            return user.id;
        }
        let id = self.id();
        self.users.push(User {
            id,
            username: username.to_owned(),
            name: username.to_owned(),
            email: email.to_owned(),
            extern_uid: None,
            blocked: false,
            admin: false,
        });
        id
    }

    fn find_user(&self, id: u64) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    fn group(&self, id: u64) -> Option<usize> {
        self.groups.iter().position(|group| group.id == id)
    }

    /// A free username made of an address, as GitLab offers one to who signs up.
    fn username_for(&self, email: &str) -> String {
        let local: String = email.split('@').next().unwrap_or_default().chars().map(allowed).collect();
        let taken = |name: &str| self.users.iter().any(|user| user.username.eq_ignore_ascii_case(name));
        let mut name = local.clone();
        let mut n = 0;
        while taken(&name) {
            n += 1;
            name = format!("{local}{n}");
        }
        name
    }

    /// Makes an account a member, with what its invitation gave it.
    fn join(&mut self, place: usize, user: u64, level: u64, now: Timestamp) {
        let group = &mut self.groups[place];
        if !group.members.iter().any(|member| member.user == user) {
            group.members.push(Membership { user, level, since: now });
        }
    }

    /// What is left of the minute: units and the second in which it ends.
    fn left(&mut self, now: Timestamp) -> (Option<u32>, i64) {
        let (opened, used) = match self.window {
            Some((opened, used)) if now.duration_since(opened) < SignedDuration::from_secs(60) => (opened, used + 1),
            _ => (now, 1),
        };
        self.window = Some((opened, used));
        (PER_MINUTE.checked_sub(used), opened.as_second() + 60)
    }

    /// Whether a member may be removed in this minute.
    fn may_remove(&mut self, now: Timestamp) -> bool {
        if self.limits != Limits::Real {
            return true;
        }
        self.removals.retain(|at| now.duration_since(*at) < SignedDuration::from_secs(60));
        let may = self.removals.len() < REMOVALS_PER_MINUTE;
        if may {
            self.removals.push(now);
        }
        may
    }

    fn own(&self) -> Option<u64> {
        self.users.iter().find(|user| user.username == OWN).map(|user| user.id)
    }
}

impl Group {
    fn new(id: u64, parent: Option<u64>, name: &str, path: &str, visibility: &str) -> Self {
        Self {
            id,
            parent,
            name: name.to_owned(),
            path: path.to_owned(),
            visibility: visibility.to_owned(),
            marked: None,
            projects: false,
            members: Vec::new(),
            invitations: Vec::new(),
        }
    }
}

/// What a username may hold.
fn allowed(c: char) -> char {
    if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' }
}

/// GitLab's answer to haste: a line of text.
fn retry_later() -> Response<Bytes> {
    let mut response = crate::rest::empty(429);
    *response.body_mut() = Bytes::from_static(b"Retry later\n");
    set(&mut response, header::CONTENT_TYPE.as_str(), "text/plain");
    response
}

impl Target for GitLab {
    fn name(&self) -> &'static str {
        if self.server { "gitlab_server" } else { "gitlab" }
    }

    fn offer(&self, base_url: &str) -> Offer {
        Offer {
            connector: self.name(),
            settings: json!({
                "url": format!("{}/api/v4", base_url.trim_end_matches('/')),
                "group": TOP,
                "pace": self.limits.pace(),
            }),
            secrets: json!({ "token": TOKEN }),
        }
    }

    fn handle(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        if self.limits != Limits::Real {
            return self.route(request, now).unwrap_or_else(|refused| refused.response());
        }
        let (left, ends) = self.left(now);
        let mut response = match left {
            Some(_) => self.route(request, now).unwrap_or_else(|refused| refused.response()),
            None => retry_later(),
        };
        set(&mut response, "ratelimit-limit", &PER_MINUTE.to_string());
        set(&mut response, "ratelimit-name", "throttle_authenticated_api");
        set(&mut response, "ratelimit-observed", &self.window.map_or(0, |(_, used)| used).to_string());
        set(&mut response, "ratelimit-remaining", &left.unwrap_or_default().to_string());
        set(&mut response, "ratelimit-reset", &ends.to_string());
        if left.is_none() {
            set(&mut response, "retry-after", &(ends - now.as_second()).max(1).to_string());
        }
        response
    }

    fn state(&self) -> Value {
        let own = self.own();
        let person = |id: u64| self.find_user(id).filter(|user| Some(user.id) != own);
        let top = self.groups.first();
        let shown = |user: &User, role: Value| {
            json!({
                "id": user.id, "login": user.username, "email": user.email, "name": user.name,
                "active": !user.blocked, "role": role, "identity": user.extern_uid,
            })
        };
        let accounts: Vec<Value> = if self.server {
            self.users.iter().filter(|user| Some(user.id) != own).map(|user| shown(user, json!(user.admin))).collect()
        } else {
            let members = top.into_iter().flat_map(|group| &group.members);
            members.filter_map(|member| Some(shown(person(member.user)?, json!(member.level)))).collect()
        };
        let invitations: Vec<Value> = top
            .into_iter()
            .flat_map(|group| &group.invitations)
            .map(|one| json!({ "id": one.id, "email": one.email, "role": one.level }))
            .collect();
        let groups: Vec<Value> = self
            .groups
            .iter()
            .filter(|group| group.parent == Some(TOP) && group.marked.is_none())
            .map(|group| {
                let members: Vec<Value> = group
                    .members
                    .iter()
                    .filter_map(|member| person(member.user))
                    .map(|user| json!({ "id": user.id, "login": user.username, "email": user.email }))
                    .collect();
                json!({ "id": group.id, "name": group.name, "members": members })
            })
            .collect();
        json!({ "accounts": accounts, "invitations": invitations, "groups": groups })
    }

    /// Who has no account signs up for one, with the invited address. With a login it is another account that
    /// follows the link of the mail, under an address and an identity of its own.
    fn accept(&mut self, which: &Accept, now: Timestamp) -> Value {
        let wanted = |email: &str| which.email.as_ref().is_none_or(|one| one.eq_ignore_ascii_case(email));
        let mut accepted = Vec::new();
        for place in 0..self.groups.len() {
            let all = std::mem::take(&mut self.groups[place].invitations);
            let (taken, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| wanted(&one.email));
            self.groups[place].invitations = kept;
            for one in taken {
                let user = match &which.login {
                    Some(login) => self.user(login, &format!("{login}@elsewhere.example")),
                    None => {
                        let username = self.username_for(&one.email);
                        let id = self.user(&username, &one.email);
                        if self.identities
                            && let Some(user) = self.users.iter_mut().find(|user| user.id == id)
                        {
                            user.extern_uid = Some(one.email.clone());
                        }
                        id
                    }
                };
                self.join(place, user, one.level, now);
                let login = self.find_user(user).map(|user| user.username.clone());
                accepted.push(json!({ "email": one.email, "id": user, "login": login }));
            }
        }
        json!({ "accepted": accepted })
    }

    fn load(&mut self, accounts: usize, groups: usize, now: Timestamp) {
        for n in 0..accounts {
            let (login, email) = (format!("load{n:04}"), format!("load{n:04}@example.com"));
            let user = self.user(&login, &email);
            if !self.server {
                self.join(0, user, 10, now);
            }
        }
        for n in 0..groups {
            let (name, path) = (format!("Load group {n:04}"), format!("load-group-{n:04}"));
            if !self.groups.iter().any(|group| group.path == path) {
                let id = self.id();
                self.groups.push(Group::new(id, Some(TOP), &name, &path, "private"));
            }
        }
    }

    fn set(&mut self, what: &Value) -> Result<(), String> {
        let folded = |texts: Vec<String>| -> Vec<String> { texts.iter().map(|text| text.to_lowercase()).collect() };
        let (mut valid, mut enterprise, mut identities) = (self.valid, self.enterprise, self.identities);
        let (mut usernames, mut seats) = (self.usernames, self.seats);
        let (mut known, mut ldap, mut projects) = (self.known.clone(), self.ldap.clone(), None);
        for knob in knobs::each(what)? {
            match knob.name {
                "token" => valid = knob.valid()?,
                "known" => known = folded(knob.texts()?),
                "ldap" => ldap = folded(knob.texts()?),
                "projects" => projects = Some(folded(knob.texts()?)),
                "enterprise" => enterprise = knob.flag()?,
                "identities" => identities = knob.flag()?,
                "usernames" => usernames = knob.flag()?,
                "seats" => seats = knob.most()?,
                _ => return knob.unknown(),
            }
        }
        (self.valid, self.enterprise, self.identities) = (valid, enterprise, identities);
        (self.usernames, self.seats) = (usernames, seats);
        (self.known, self.ldap) = (known, ldap);
        if let Some(holding) = projects {
            for group in &mut self.groups {
                group.projects = holding.contains(&group.name.to_lowercase());
            }
        }
        Ok(())
    }

    fn too_many(&self, wait: Duration, _now: Timestamp) -> Response<Bytes> {
        let mut response = retry_later();
        set(&mut response, "retry-after", &wait.as_secs().max(1).to_string());
        response
    }
}
