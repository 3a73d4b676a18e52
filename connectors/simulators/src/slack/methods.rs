//! The methods of the Web API.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{BOT, Slack, TEAM, User, UserGroup};

type Done = Result<Value, &'static str>;
type Arguments = Map<String, Value>;

/// Items of a page where none are asked for, and the most (docs.slack.dev/apis/web-api/pagination).
const DEFAULT_PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;
/// The longest handle.
const LONGEST_HANDLE: usize = 21;

fn text<'a>(arguments: &'a Arguments, name: &str) -> Option<&'a str> {
    arguments.get(name).and_then(Value::as_str)
}

fn flag(arguments: &Arguments, name: &str) -> bool {
    match arguments.get(name) {
        Some(Value::Bool(on)) => *on,
        Some(Value::String(word)) => matches!(word.as_str(), "true" | "1"),
        _ => false,
    }
}

/// The handle that a user group gets which asks for none: the vendor does not say which; it is made of
/// the name here.
fn handle_of(name: &str) -> String {
    let plain = name.to_lowercase().split_whitespace().collect::<Vec<_>>().join("-");
    plain.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.')).take(LONGEST_HANDLE).collect()
}

fn show_user(user: &User) -> Value {
    let mut profile = json!({
        "real_name": user.name, "real_name_normalized": user.name,
        "display_name": user.name, "display_name_normalized": user.name,
        "avatar_hash": "g0000000000", "title": "", "phone": "", "skype": "",
        "status_text": "", "status_emoji": "", "fields": null,
    });
    if let Some(email) = &user.email {
        profile["email"] = Value::from(email.as_str());
    }
    json!({
        "id": user.id,
        "team_id": TEAM,
        "name": user.name,
        "deleted": user.deleted,
        "real_name": user.name,
        "profile": profile,
        "is_admin": false,
        "is_owner": false,
        "is_primary_owner": false,
        "is_restricted": false,
        "is_ultra_restricted": false,
        "is_bot": user.bot,
        "is_app_user": false,
        "updated": user.updated,
    })
}

fn show_group(group: &UserGroup, users: bool) -> Value {
    let mut shown = json!({
        "id": group.id,
        "team_id": TEAM,
        "is_usergroup": true,
        "is_subteam": true,
        "name": group.name,
        "description": group.description,
        "handle": group.handle,
        "is_external": false,
        "date_create": group.created,
        "date_update": group.updated,
        "date_delete": group.deleted,
        "auto_type": null,
        "auto_provision": false,
        "enterprise_subteam_id": "",
        "created_by": BOT,
        "updated_by": BOT,
        "deleted_by": (group.deleted != 0).then_some(BOT),
        "prefs": { "channels": [], "groups": [] },
        "user_count": group.users.len(),
    });
    if users {
        shown["users"] = json!(group.users);
    }
    shown
}

impl Slack {
    pub(super) fn method(&mut self, method: &str, arguments: &Arguments, now: Timestamp) -> Done {
        if method.starts_with("usergroups.") {
            if !self.rules.paid {
                return Err("paid_teams_only");
            }
            if !self.rules.may_change && !method.ends_with(".list") {
                return Err("permission_denied");
            }
        }
        match method {
            "auth.test" => Ok(json!({
                "url": "https://acme.slack.com/", "team": "Acme", "user": "gateway", "team_id": TEAM, "user_id": BOT,
                "bot_id": "B0GATEWAY1", "is_enterprise_install": false,
            })),
            "users.list" => self.list_users(arguments, now),
            "users.info" => {
                let id = text(arguments, "user").unwrap_or_default();
                let user = self.by_id.get(id).and_then(|seq| self.users.get(seq)).ok_or("user_not_found")?;
                Ok(json!({ "user": show_user(user) }))
            }
            "users.lookupByEmail" => {
                let email = text(arguments, "email").unwrap_or_default().to_lowercase();
                let user = self.by_email.get(&email).and_then(|seq| self.users.get(seq));
                // The vendor does not find who is deactivated.
                let user = user.filter(|user| !user.deleted).ok_or("users_not_found")?;
                Ok(json!({ "user": show_user(user) }))
            }
            "usergroups.list" => {
                let disabled = flag(arguments, "include_disabled");
                let users = flag(arguments, "include_users");
                let there = self.groups.iter().filter(|group| disabled || group.deleted == 0);
                Ok(json!({ "usergroups": there.map(|group| show_group(group, users)).collect::<Vec<_>>() }))
            }
            "usergroups.create" => {
                let name = text(arguments, "name").unwrap_or_default().trim().to_owned();
                let handle = text(arguments, "handle").map_or_else(|| handle_of(&name), str::to_owned);
                let at = self.create(&name, &handle, now)?;
                Ok(json!({ "usergroup": show_group(&self.groups[at], true) }))
            }
            "usergroups.update" => self.update(arguments, now),
            "usergroups.enable" | "usergroups.disable" => {
                let at = self.place(arguments)?;
                let group = &mut self.groups[at];
                group.deleted = if method == "usergroups.enable" { 0 } else { now.as_second() };
                group.updated = now.as_second();
                Ok(json!({ "usergroup": show_group(group, true) }))
            }
            "usergroups.users.list" => {
                let at = self.place(arguments)?;
                Ok(json!({ "users": self.groups[at].users }))
            }
            "usergroups.users.update" => self.set_members(arguments, now),
            _ => Err("unknown_method"),
        }
    }

    fn list_users(&self, arguments: &Arguments, now: Timestamp) -> Done {
        let size = match text(arguments, "limit") {
            None => DEFAULT_PAGE,
            Some(number) => number.parse().map_err(|_| "invalid_limit")?,
        };
        let after = match text(arguments, "cursor").filter(|cursor| !cursor.is_empty()) {
            None => 0,
            Some(cursor) => cursor.strip_prefix("user:").and_then(|n| n.parse().ok()).ok_or("invalid_cursor")?,
        };
        let mut rest = self.users.range(after + 1..);
        let page: Vec<(&u64, &User)> = rest.by_ref().take(size.clamp(1, LARGEST_PAGE)).collect();
        let cursor = match (page.last(), rest.next()) {
            (Some((seq, _)), Some(_)) => format!("user:{seq}"),
            _ => String::new(),
        };
        let members: Vec<Value> = page.into_iter().map(|(_, user)| show_user(user)).collect();
        Ok(json!({
            "members": members, "cache_ts": now.as_second(), "response_metadata": { "next_cursor": cursor },
        }))
    }

    /// The place of the user group that a call names.
    fn place(&self, arguments: &Arguments) -> Result<usize, &'static str> {
        let id = text(arguments, "usergroup").unwrap_or_default();
        self.groups.iter().position(|group| group.id == id).ok_or("no_such_subteam")
    }

    fn free(&self, name: &str, handle: &str, but: Option<usize>) -> Result<(), &'static str> {
        let others = || self.groups.iter().enumerate().filter(|(at, _)| Some(*at) != but).map(|(_, group)| group);
        // A disabled one keeps its name and handle.
        if others().any(|group| group.name.eq_ignore_ascii_case(name)) {
            return Err("name_already_exists");
        }
        let user = || self.users.values().any(|user| user.name == handle);
        if others().any(|group| group.handle == handle) || user() {
            return Err("handle_already_exists");
        }
        Ok(())
    }

    /// Adds an enabled user group without members.
    pub(super) fn create(&mut self, name: &str, handle: &str, now: Timestamp) -> Result<usize, &'static str> {
        if name.is_empty() {
            return Err("invalid_name");
        }
        self.free(name, handle, None)?;
        let id = format!("S{:010}", self.next());
        let at = now.as_second();
        self.groups.push(UserGroup {
            id,
            name: name.to_owned(),
            handle: handle.to_owned(),
            description: String::new(),
            users: Vec::new(),
            created: at,
            updated: at,
            deleted: 0,
        });
        Ok(self.groups.len() - 1)
    }

    fn update(&mut self, arguments: &Arguments, now: Timestamp) -> Done {
        let at = self.place(arguments)?;
        let old = &self.groups[at];
        // The vendor does not say whether a disabled one may be changed; here it may not.
        if old.deleted != 0 {
            return Err("subteam_disabled");
        }
        let name = text(arguments, "name").unwrap_or(&old.name).to_owned();
        let handle = text(arguments, "handle").unwrap_or(&old.handle).to_owned();
        self.free(&name, &handle, Some(at))?;
        let group = &mut self.groups[at];
        (group.name, group.handle, group.updated) = (name, handle, now.as_second());
        if let Some(description) = text(arguments, "description") {
            description.clone_into(&mut group.description);
        }
        Ok(json!({ "usergroup": show_group(group, true) }))
    }

    fn set_members(&mut self, arguments: &Arguments, now: Timestamp) -> Done {
        let at = self.place(arguments)?;
        let named = text(arguments, "users").unwrap_or_default();
        let users: Vec<String> =
            named.split(',').map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect();
        if users.is_empty() {
            return Err("no_users_provided");
        }
        if self.groups[at].deleted != 0 {
            return Err("subteam_disabled");
        }
        let active = |id: &String| {
            self.by_id.get(id).and_then(|seq| self.users.get(seq)).is_some_and(|user| !user.deleted && !user.bot)
        };
        if !users.iter().all(active) {
            return Err("invalid_users");
        }
        let group = &mut self.groups[at];
        group.users.clear();
        for user in users {
            if !group.users.contains(&user) {
                group.users.push(user);
            }
        }
        group.updated = now.as_second();
        Ok(json!({ "usergroup": show_group(group, true) }))
    }
}
