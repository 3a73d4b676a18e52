//! Teams: names, slugs, parents.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::errors::{Answer, Reply};
use super::{Caller, Cx, GitHub, Role, TeamRole};

/// The longest name, in bytes.
const MAX_NAME: usize = 255;

/// One team.
#[derive(Clone, Debug)]
pub(super) struct Team {
    /// For ever.
    pub(super) id: u64,
    pub(super) name: String,
    /// Follows the name.
    pub(super) slug: String,
    pub(super) description: Option<String>,
    pub(super) privacy: &'static str,
    pub(super) notification_setting: &'static str,
    pub(super) permission: &'static str,
    pub(super) parent: Option<u64>,
    /// Direct members; those of child teams are inherited.
    pub(super) members: BTreeMap<u64, TeamRole>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    /// Until then its member listing says 404.
    pub(super) unseen_until: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Teams {
    by_id: BTreeMap<u64, Team>,
    by_slug: HashMap<String, u64>,
    next_id: u64,
}

impl Default for Teams {
    fn default() -> Self {
        Self { by_id: BTreeMap::new(), by_slug: HashMap::new(), next_id: 12 }
    }
}

impl Teams {
    pub(super) fn get(&self, id: u64) -> Option<&Team> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Team> {
        self.by_id.get_mut(&id)
    }

    pub(super) fn with_slug(&self, slug: &str) -> Option<u64> {
        self.by_slug.get(&slug.to_ascii_lowercase()).copied()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Team> {
        self.by_id.values()
    }

    /// A team and all teams below it. A parent is never one's own descendant.
    pub(super) fn family(&self, id: u64) -> Vec<u64> {
        let mut family = vec![id];
        let mut next = 0;
        while let Some(&parent) = family.get(next) {
            next += 1;
            let children = self.by_id.values().filter(|t| t.parent == Some(parent));
            family.extend(children.map(|t| t.id));
        }
        family
    }

    /// Someone left the organisation: the teams they were in.
    pub(super) fn drop_person(&mut self, person: u64) -> BTreeMap<u64, TeamRole> {
        let teams = self.by_id.values_mut();
        teams.filter_map(|team| team.members.remove(&person).map(|role| (team.id, role))).collect()
    }

    /// Someone became an owner: they maintain the teams they are in.
    pub(super) fn promote(&mut self, person: u64) {
        for team in self.by_id.values_mut() {
            if let Some(role) = team.members.get_mut(&person) {
                *role = TeamRole::Maintainer;
            }
        }
    }

    /// A new, empty team of a name that is free.
    pub(super) fn add(&mut self, name: &str, now: Timestamp) -> &mut Team {
        let id = self.next_id;
        self.next_id += 1;
        let slug = slug(name, id);
        self.by_slug.insert(slug.clone(), id);
        self.by_id.entry(id).or_insert(Team {
            id,
            name: name.to_owned(),
            slug,
            description: None,
            privacy: "secret",
            notification_setting: "notifications_enabled",
            permission: "pull",
            parent: None,
            members: BTreeMap::new(),
            created_at: now,
            updated_at: now,
            unseen_until: None,
        })
    }

    /// Gives a team another name, and with it another slug.
    pub(super) fn rename(&mut self, id: u64, name: &str) {
        let Some(team) = self.by_id.get_mut(&id) else {
            return;
        };
        self.by_slug.remove(&team.slug);
        name.clone_into(&mut team.name);
        team.slug = slug(name, id);
        self.by_slug.insert(team.slug.clone(), id);
    }

    fn remove(&mut self, id: u64) {
        if let Some(team) = self.by_id.remove(&id) {
            self.by_slug.remove(&team.slug);
        }
    }
}

/// The slug of a name: lower case, everything but letters, digits and underscores a hyphen. A name
/// with nothing of those takes the team's number.
fn slug(name: &str, id: u64) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { format!("team-{id}") } else { slug.to_owned() }
}

fn invalid(code: &str, field: &str, message: &str) -> Reply {
    Reply::invalid("Team", code, field, message)
}

/// What a body says of a team's parent.
enum Parent {
    Unsaid,
    Is(Option<u64>),
}

impl GitHub {
    pub(super) fn team_by_id(&self, id: &str) -> Result<u64, Reply> {
        id.parse().ok().filter(|id| self.teams.get(*id).is_some()).ok_or_else(Reply::not_found)
    }

    fn sees(&self, cx: &Cx<'_>, team: &Team) -> bool {
        team.privacy != "secret" || self.standing(cx.caller) == Some(Role::Admin) || team.members.contains_key(&self.me)
    }

    pub(super) fn teams_list(&self, cx: &Cx<'_>) -> Answer {
        self.member_reads(cx)?;
        let teams = self.teams.all().filter(|t| self.sees(cx, t)).collect();
        self.list(cx, teams, |team: &&Team| Some(self.team(&cx.base, team)))
    }

    pub(super) fn team_children(&self, cx: &Cx<'_>, id: u64) -> Answer {
        let children = self.teams.all().filter(|t| t.parent == Some(id)).collect();
        self.list(cx, children, |team: &&Team| Some(self.team(&cx.base, team)))
    }

    pub(super) fn team_get(&self, cx: &Cx<'_>, id: u64) -> Answer {
        let team = self.teams.get(id).filter(|t| self.sees(cx, t));
        let team = team.ok_or_else(Reply::not_found)?;
        Ok(Reply::ok(self.team_full(&cx.base, team)))
    }

    pub(super) fn team_create(&mut self, cx: &Cx<'_>) -> Answer {
        self.owner_writes(cx, false)?;
        let body = cx.object()?;
        let name = match body.get("name") {
            Some(Value::String(name)) => self.team_name(name, None)?,
            None | Some(Value::Null) => return Err(invalid("missing_field", "name", "")),
            Some(_) => return Err(invalid("invalid", "name", "name must be a text")),
        };
        let parent = match self.wanted_parent(&body)? {
            Parent::Is(parent) => parent,
            Parent::Unsaid => None,
        };
        let default = if parent.is_some() { "closed" } else { "secret" };
        let privacy = privacy(&body)?.unwrap_or(default);
        if parent.is_some() && privacy == "secret" {
            return Err(invalid("invalid", "privacy", "A child team cannot be secret"));
        }
        let maintainers = self.maintainers(body.get("maintainers"))?;
        let description = description(&body)?.flatten();
        let notification = notification(&body)?.unwrap_or("notifications_enabled");
        let permission = permission(&body)?.unwrap_or("pull");
        let unseen_until = self.knobs.lag_until(cx.now);
        let (me, is_account) = (self.me, cx.caller == Caller::Account);
        let team = self.teams.add(&name, cx.now);
        team.parent = parent;
        team.privacy = privacy;
        team.description = description;
        team.notification_setting = notification;
        team.permission = permission;
        team.unseen_until = unseen_until;
        for maintainer in maintainers {
            team.members.insert(maintainer, TeamRole::Maintainer);
        }
        if is_account {
            // An account that makes a team maintains it, asked or not; an app does not.
            team.members.insert(me, TeamRole::Maintainer);
        }
        let team = team.clone();
        Ok(Reply::created(self.team_full(&cx.base, &team)))
    }

    pub(super) fn team_update(&mut self, cx: &Cx<'_>, id: u64) -> Answer {
        self.owner_writes(cx, false)?;
        let body = cx.object()?;
        let name = match body.get("name") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(self.team_name(name, Some(id))?),
            Some(_) => return Err(invalid("invalid", "name", "name must be a text")),
        };
        let parent = self.wanted_parent(&body)?;
        if let Parent::Is(Some(parent)) = parent
            && self.teams.family(id).contains(&parent)
        {
            return Err(invalid("invalid", "parent_team_id", "A team cannot be below itself"));
        }
        let (privacy, description) = (privacy(&body)?, description(&body)?);
        let nested = match parent {
            Parent::Is(parent) => parent.is_some(),
            Parent::Unsaid => self.teams.get(id).is_some_and(|t| t.parent.is_some()),
        } || self.teams.family(id).len() > 1;
        if privacy == Some("secret") && nested {
            return Err(invalid("invalid", "privacy", "A parent or child team cannot be secret"));
        }
        let (notification, permission) = (notification(&body)?, permission(&body)?);
        if let Some(name) = name {
            self.teams.rename(id, &name);
        }
        let team = self.teams.get_mut(id).ok_or_else(Reply::not_found)?;
        if let Parent::Is(parent) = parent {
            team.parent = parent;
            if parent.is_some() {
                team.privacy = "closed";
            }
        }
        if let Some(privacy) = privacy {
            team.privacy = privacy;
        }
        if let Some(description) = description {
            team.description = description;
        }
        if let Some(notification) = notification {
            team.notification_setting = notification;
        }
        if let Some(permission) = permission {
            team.permission = permission;
        }
        team.updated_at = cx.now;
        let team = team.clone();
        Ok(Reply::ok(self.team_full(&cx.base, &team)))
    }

    pub(super) fn team_delete(&mut self, cx: &Cx<'_>, id: u64) -> Answer {
        self.owner_writes(cx, false)?;
        self.drop_team(id);
        Ok(Reply::no_content())
    }

    /// Deletes a team and those below it.
    pub(super) fn drop_team(&mut self, id: u64) {
        for id in self.teams.family(id) {
            self.teams.remove(id);
            self.invitations.drop_team(id);
        }
    }

    /// A name that no other team has, nor its slug.
    fn team_name(&self, name: &str, own: Option<u64>) -> Result<String, Reply> {
        let name = name.trim();
        if name.is_empty() {
            return Err(invalid("missing_field", "name", ""));
        }
        if name.len() > MAX_NAME {
            return Err(invalid("invalid", "name", "name is too long"));
        }
        let other = self.teams.with_slug(&slug(name, own.unwrap_or(0)));
        let same = self.teams.all().any(|t| Some(t.id) != own && t.name.to_lowercase() == name.to_lowercase());
        if same || other.is_some_and(|other| Some(other) != own) {
            return Err(invalid("already_exists", "name", "Name must be unique for this org"));
        }
        Ok(name.to_owned())
    }

    fn wanted_parent(&self, body: &Map<String, Value>) -> Result<Parent, Reply> {
        let missing = |field| invalid("invalid", field, "The parent team could not be found");
        let parent = match (body.get("parent_team_id"), body.get("parent_team_slug")) {
            (Some(Value::Null), _) | (None, Some(Value::Null)) => return Ok(Parent::Is(None)),
            (Some(id), _) => id.as_u64().and_then(|id| self.teams.get(id)).ok_or_else(|| missing("parent_team_id"))?,
            (None, Some(slug)) => slug
                .as_str()
                .and_then(|slug| self.teams.with_slug(slug))
                .and_then(|id| self.teams.get(id))
                .ok_or_else(|| missing("parent_team_slug"))?,
            (None, None) => return Ok(Parent::Unsaid),
        };
        if parent.privacy == "secret" {
            return Err(invalid("invalid", "parent_team_id", "A secret team cannot be a parent"));
        }
        Ok(Parent::Is(Some(parent.id)))
    }

    fn maintainers(&self, logins: Option<&Value>) -> Result<Vec<u64>, Reply> {
        let bad = || invalid("unprocessable", "maintainers", "maintainers must be members of the organization");
        let logins = match logins {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(logins)) => logins,
            Some(_) => return Err(bad()),
        };
        logins
            .iter()
            .map(|login| {
                login
                    .as_str()
                    .and_then(|login| self.people.known(login))
                    .filter(|id| self.members.contains_key(id))
                    .ok_or_else(bad)
            })
            .collect()
    }
}

/// One of a few words, if it is said.
fn word(body: &Map<String, Value>, field: &str, words: &[&'static str]) -> Result<Option<&'static str>, Reply> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => words.iter().find(|word| value == **word).map(|word| Some(*word)).ok_or_else(|| {
            let message = format!("{field} must be one of {}", words.join(", "));
            invalid("invalid", field, &message)
        }),
    }
}

fn privacy(body: &Map<String, Value>) -> Result<Option<&'static str>, Reply> {
    word(body, "privacy", &["secret", "closed"])
}

fn notification(body: &Map<String, Value>) -> Result<Option<&'static str>, Reply> {
    word(body, "notification_setting", &["notifications_enabled", "notifications_disabled"])
}

fn permission(body: &Map<String, Value>) -> Result<Option<&'static str>, Reply> {
    word(body, "permission", &["pull", "push", "admin"])
}

/// Said or not; and if said, a text or nothing.
fn description(body: &Map<String, Value>) -> Result<Option<Option<String>>, Reply> {
    match body.get("description") {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(Value::String(text)) => Ok(Some(Some(text.clone()))),
        Some(_) => Err(invalid("invalid", "description", "description must be a text")),
    }
}
