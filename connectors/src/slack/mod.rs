#![doc = include_str!("README.md")]

mod accounts;
mod client;
mod groups;
mod limits;
mod settings;

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    About, Accounts, CallAbout, Connector, ConnectorKind, Cx, DriverKey, Fault, Groups, Kind, Probe, Reply, Secrets,
    SettingsError, Traits,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::shared::probe::{as_check, check};
use crate::shared::{address, authority, credential};
use accounts::People;
use client::{Answer, Client};
use groups::UserGroups;
pub use settings::Settings;

/// The kind: what the catalogue lists.
pub struct Slack;

impl ConnectorKind for Slack {
    const NAME: &'static str = "slack";
    const TITLE: &'static str = "Slack user groups";
    const KIND: Kind = Kind::Group;
    type Settings = Settings;

    fn build(settings: Settings, secrets: &Secrets) -> Result<Arc<dyn Connector>, SettingsError> {
        let team = settings.team_id.as_str();
        let sound = team.len() > 2
            && team.len() <= 20
            && team.starts_with(['T', 'E'])
            && team.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if !sound {
            return Err(SettingsError::new("team_id", "must be a workspace's id: T and capital letters and digits"));
        }
        let api = address("api_url", &settings.api_url)?;
        let token = credential(secrets, "token")?;
        let mut traits = Traits::new(Kind::Group, DriverKey::new(format!("slack:{}:{team}", authority(&api))));
        traits.buckets = limits::buckets(settings.pace);
        traits.tariff = limits::tariff();
        traits.costs = limits::costs();
        // The whole list is written each time, so many changes cost one call.
        traits.members_per_call = 100;
        let client = Arc::new(Client::new(token.clone(), api));
        Ok(Arc::new(Workspace {
            traits,
            team: settings.team_id,
            people: People { client: Arc::clone(&client) },
            groups: UserGroups { client: Arc::clone(&client) },
            client,
        }))
    }

    fn attributes() -> Vec<(&'static str, &'static str)> {
        vec![
            (
                "emails",
                "The primary address (else a userName that is one) is what a person is found by in the workspace.",
            ),
            ("groups", "User groups; a person is put in once they are in the workspace."),
            ("displayName", "Of a group: the user group's name. Of a person: stays in the directory."),
            ("active", "Stays in the directory; a person who is deactivated leaves the user groups."),
        ]
    }

    fn limits() -> Vec<&'static str> {
        vec![
            "20 calls a minute of each method of user groups and of users.list, per app and workspace (docs.slack.dev/apis/web-api/rate-limits, tier 2)",
            "50 calls a minute of users.lookupByEmail (tier 3), 100 of users.info (tier 4)",
            "A 429 says in Retry-After when to go on; there are no other headers",
        ]
    }

    fn about() -> About {
        let call = |name, method, path, purpose| CallAbout { name, method, path, purpose };
        About {
            summary: "Manages the user groups of a Slack workspace (@platform) and who is in them, on plans that have no SCIM. People are found by their address; it creates and deactivates nobody.",
            needs: vec![
                "A paid plan: the free one has no user groups.",
                "A bot token (`xoxb-…`) with the scopes `users:read`, `users:read.email`, `usergroups:read` and `usergroups:write`, of an app that may change user groups (Workspace settings, Permissions), or an admin's user token (`xoxp-…`).",
            ],
            cannot: vec![
                "Create, invite, change or deactivate people: Slack offers that by SCIM (Business+ and Enterprise) alone. With such a plan, use the connector `scim` with Slack's SCIM API.",
                "Delete a user group: it is disabled, and renamed to `NAME (removed ID)`, which frees name and handle.",
                "Empty a user group: Slack refuses that, so taking out the last member disables it; adding somebody enables it again.",
                "Set a handle: Slack makes one of the name.",
                "Change the members of Slack's own groups of owners and admins, and of another workspace's.",
            ],
            calls: vec![
                call("get own user", "GET", "/api/auth.test", "checks the token and the workspace"),
                call("list users", "GET", "/api/users.list", "import and reconcile"),
                call("find user by e-mail", "GET", "/api/users.lookupByEmail", "who has an address"),
                call("get user", "GET", "/api/users.info", "one person"),
                call(
                    "list user groups",
                    "GET",
                    "/api/usergroups.list",
                    "all user groups with their members; there is no way to read one",
                ),
                call("create user group", "POST", "/api/usergroups.create", "creates a user group"),
                call("rename user group", "POST", "/api/usergroups.update", "renames, and marks a removed one"),
                call("enable user group", "POST", "/api/usergroups.enable", "before somebody is added to an empty one"),
                call("disable user group", "POST", "/api/usergroups.disable", "empties or removes a user group"),
                call(
                    "set user group members",
                    "POST",
                    "/api/usergroups.users.update",
                    "writes the whole list of members",
                ),
            ],
            unverified: vec![
                "Whether a disabled user group can be renamed or given members: it is enabled first.",
                "How long a user group's name may be: a removed one keeps 40 characters before its mark.",
                "Which handle Slack gives to a user group that asks for none.",
                "What Slack answers where one of many new members is unknown or deactivated: then each is added alone.",
            ],
            sources: vec![
                "https://docs.slack.dev/apis/web-api/rate-limits",
                "https://docs.slack.dev/reference/methods/usergroups.users.update",
                "https://docs.slack.dev/reference/methods/usergroups.disable",
                "https://docs.slack.dev/reference/methods/users.lookupByEmail",
                "https://github.com/slackapi/slack-api-specs",
            ],
        }
    }
}

/// One workspace, built.
struct Workspace {
    traits: Traits,
    team: String,
    client: Arc<Client>,
    people: People,
    groups: UserGroups,
}

#[derive(Deserialize)]
struct Who {
    user_id: String,
    user: String,
    team: String,
    team_id: String,
}

#[async_trait]
impl Connector for Workspace {
    fn traits(&self) -> &Traits {
        &self.traits
    }

    async fn probe(&self, cx: &Cx<'_>) -> Result<Probe, Fault> {
        let mut probe = Probe { identity: None, checks: Vec::new() };
        let who: Who = match self.client.get(cx, limits::WHO, &[]).await.and_then(Answer::success) {
            Ok(who) => who,
            Err(fault) => {
                probe.checks.push(as_check("credential", fault)?);
                return Ok(probe);
            }
        };
        probe.checks.push(check("credential", true, format!("The token belongs to {} ({}).", who.user, who.user_id)));
        probe.identity = Some(who.user_id);
        let ours = who.team_id == self.team;
        let detail = if ours {
            format!("The token is for the workspace {}.", who.team)
        } else {
            format!("The token is for the workspace {}, the setting `team_id` says {}.", who.team_id, self.team)
        };
        probe.checks.push(check("workspace", ours, detail));
        let reads = [
            ("people: read", limits::LIST_USERS, &[("limit", "1")][..]),
            ("user groups: read", limits::LIST, &[("include_disabled", "true")][..]),
        ];
        for (name, method, query) in reads {
            probe.checks.push(match self.client.get::<Value>(cx, method, query).await.and_then(Answer::success) {
                Ok(_) => check(name, true, "Listed."),
                Err(fault) => as_check(name, fault)?,
            });
        }
        Ok(probe)
    }

    fn accounts(&self) -> Option<&dyn Accounts> {
        Some(&self.people)
    }

    fn groups(&self) -> Option<&dyn Groups> {
        Some(&self.groups)
    }

    fn throttled(&self, reply: &Reply) -> Option<Timestamp> {
        limits::throttled(reply)
    }
}
