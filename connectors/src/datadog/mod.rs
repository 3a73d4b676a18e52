#![doc = include_str!("README.md")]

mod accounts;
mod client;
mod groups;
mod limits;
mod probe;
mod roles;
mod settings;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use connector_sdk::{
    About, AccountRef, Accounts, CallAbout, Connector, ConnectorKind, Cx, DriverKey, Fault, FaultKind, Groups, Kind,
    Probe, Reading, Removal, Repeatable, Reply, RoleTrait, Secrets, SettingsError, Suspend, Traits,
};
use jiff::Timestamp;

use crate::shared::{address, authority, credential, held_id};
use accounts::People;
use client::Client;
use groups::Teams;
use roles::{MANAGED, Roles};
pub use settings::{GroupsAre, Settings};

/// The kind: what the catalogue lists.
pub struct Datadog;

/// The user's id of a person who can be in a group.
fn person(who: &AccountRef) -> Result<&str, Fault> {
    match who {
        AccountRef::Account { id, .. } => held_id("Datadog", id.as_str()),
        AccountRef::Invite { .. } => {
            Err(Fault::new(FaultKind::Refused, "Datadog's people are users from the beginning."))
        }
    }
}

impl ConnectorKind for Datadog {
    const NAME: &'static str = "datadog";
    const TITLE: &'static str = "Datadog";
    const KIND: Kind = Kind::UserAndGroup;
    type Settings = Settings;

    fn build(settings: Settings, secrets: &Secrets) -> Result<Arc<dyn Connector>, SettingsError> {
        let site = settings.site.trim().to_ascii_lowercase();
        let sound = site.contains('.')
            && site.len() <= 100
            && site.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
        if !sound {
            return Err(SettingsError::new("site", "must be a Datadog site, such as datadoghq.com or datadoghq.eu"));
        }
        if settings.default_role.trim().is_empty() {
            return Err(SettingsError::new("default_role", "must be the name of a role: who has none is not let in"));
        }
        let api = match &settings.api_url {
            Some(given) => address("api_url", given)?,
            None => address("site", &format!("https://api.{site}"))?,
        };
        let api_key = credential(secrets, "api_key")?;
        let app_key = credential(secrets, "app_key")?;
        // Limits are the organisation's, and an API key is one organisation's. Which organisation it
        // is is not known here, so its keys are told apart.
        let fingerprint = secrets.fingerprint("api_key").unwrap_or_default();
        let key = format!("datadog:{}:{fingerprint}", authority(&api));
        let mut traits = Traits::new(Kind::UserAndGroup, DriverKey::new(key));
        traits.buckets = limits::buckets(settings.pace);
        traits.tariff = limits::tariff();
        traits.costs = limits::costs();
        traits.suspend = Suspend::Native;
        traits.removal = Removal::Suspended;
        traits.writable = vec!["displayName"];
        // A lost creation lost its invitation as well: only the creation itself sends it again.
        traits.repeats.create = Repeatable::Idempotent;
        if settings.groups == GroupsAre::Teams {
            traits.writable.push("roles");
            let role = |value| RoleTrait { value, privileged: value == MANAGED[0] };
            traits.roles = MANAGED.map(role).to_vec();
            traits.default_role = MANAGED.into_iter().find(|name| name.eq_ignore_ascii_case(&settings.default_role));
        }
        let client = Arc::new(Client::new(api, api_key.clone(), app_key.clone()));
        let roles = Arc::new(Roles::new(Arc::clone(&client)));
        let settings = Arc::new(settings);
        Ok(Arc::new(Organization {
            traits,
            people: People {
                client: Arc::clone(&client),
                settings: Arc::clone(&settings),
                roles: Arc::clone(&roles),
                unanswered: Mutex::default(),
            },
            teams: Teams { client: Arc::clone(&client) },
            roles,
            client,
            settings,
        }))
    }

    fn attributes() -> Vec<(&'static str, &'static str)> {
        vec![
            (
                "emails",
                "The primary address (else a userName that is one) is what the user is created with and found by. A change is not written: it is the name that people sign in with.",
            ),
            ("displayName", "The user's name, at most 55 characters, without angle brackets."),
            (
                "roles",
                "With groups as teams: `Datadog Admin Role` (privileged), `Datadog Standard Role` or `Datadog Read Only Role`. With groups as roles it is not written.",
            ),
            ("active", "false disables the user, true enables."),
        ]
    }

    fn limits() -> Vec<&'static str> {
        vec![
            "Limits are an organisation's, per endpoint; answers tell them in X-RateLimit-* (docs.datadoghq.com/api/latest/rate-limits). No number is published for users and teams: the gateway begins with 300 calls a minute.",
        ]
    }

    fn about() -> About {
        let call = |name, method, path, purpose| CallAbout { name, method, path, purpose };
        About {
            summary: "Creates users in a Datadog organisation and mails them an invitation, gives them one of Datadog's roles, disables and enables them, and manages teams or roles and who is in them.",
            needs: vec![
                "An API key of the organisation.",
                "An application key with the scopes `user_access_invite`, `user_access_manage`, `user_access_read`, `teams_read` and `teams_manage`, best of a service account of the gateway's own.",
                "For groups as roles: custom roles enabled in the organisation.",
            ],
            cannot: vec![
                "Delete a user: Datadog disables and keeps them for ever. A deletion disables, and whoever returns is enabled with the same user.",
                "Change an address: it is the name that people sign in with.",
                "Follow an invitation: a user is there from the creation on, as pending until the first sign-in, and counts as having access.",
                "Send a lost invitation again after a restart: where the answer to a creation was lost and the gateway ended before it tried again, the person is there without a mail. Send it in Datadog, or let them sign in by SAML.",
                "Write custom roles as a person's attribute: let groups be roles for that.",
                "Take out of a team whom Datadog's SAML mapping put there.",
            ],
            calls: vec![
                call("probe", "GET", "/api/v2/users", "checks that users can be read"),
                call("probe", "GET", "/api/v2/team", "checks that teams can be read"),
                call("probe", "GET", "/api/v2/roles", "checks that roles can be read, where groups are roles"),
                call(
                    "get own user",
                    "GET",
                    "/api/v2/current_user",
                    "whose the key is; tells dead keys from a missing permission",
                ),
                call("list users", "GET", "/api/v2/users", "import and reconcile"),
                call("find users", "GET", "/api/v2/users", "who has an address"),
                call("get user", "GET", "/api/v2/users/{user_id}", "one user"),
                call("create user", "POST", "/api/v2/users", "creates a user with a role"),
                call("send invitation", "POST", "/api/v2/user_invitations", "mails the invitation"),
                call(
                    "cancel invitations",
                    "DELETE",
                    "/api/v2/users/{user_id}/invitations",
                    "before a user who never signed in is disabled",
                ),
                call("update user", "PATCH", "/api/v2/users/{user_id}", "writes the name"),
                call("disable user", "PATCH", "/api/v2/users/{user_id}", "`active` false"),
                call("enable user", "PATCH", "/api/v2/users/{user_id}", "`active` true"),
                call("remove user", "DELETE", "/api/v2/users/{user_id}", "deletion, which disables"),
                call("find roles", "GET", "/api/v2/roles", "the id of a role's name"),
                call("list roles", "GET", "/api/v2/roles", "import and reconcile of roles"),
                call("get role", "GET", "/api/v2/roles/{role_id}", "one role"),
                call("create role", "POST", "/api/v2/roles", "creates a role"),
                call("rename role", "PATCH", "/api/v2/roles/{role_id}", "renames a role"),
                call("delete role", "DELETE", "/api/v2/roles/{role_id}", "deletes a role"),
                call("list role's users", "GET", "/api/v2/roles/{role_id}/users", "who has a role"),
                call("give role", "POST", "/api/v2/roles/{role_id}/users", "gives a role"),
                call("take role", "DELETE", "/api/v2/roles/{role_id}/users", "takes a role"),
                call("list teams", "GET", "/api/v2/team", "import and reconcile"),
                call("find teams", "GET", "/api/v2/team", "whether a name is there"),
                call("get team", "GET", "/api/v2/team/{team_id}", "one team"),
                call("create team", "POST", "/api/v2/team", "creates a team; its handle is made of the name"),
                call("rename team", "PATCH", "/api/v2/team/{team_id}", "renames a team; its handle stays"),
                call("delete team", "DELETE", "/api/v2/team/{team_id}", "deletes a team"),
                call("list team members", "GET", "/api/v2/team/{team_id}/memberships", "who is in a team"),
                call("add team member", "POST", "/api/v2/team/{team_id}/memberships", "adds to a team"),
                call(
                    "remove team member",
                    "DELETE",
                    "/api/v2/team/{team_id}/memberships/{user_id}",
                    "takes out of a team",
                ),
            ],
            unverified: vec![
                "What a second creation of an address answers: the description names 400, users of the API report 409. Both are understood.",
                "A user who was disabled before the first sign-in is reported to be missing in searches (Terraform provider, issue 1056): the creation then fails with words that say so.",
                "How long the search for users lags behind a creation.",
                "The numbers of the limits on users, roles and teams.",
            ],
            sources: vec![
                "https://docs.datadoghq.com/api/latest/users/",
                "https://docs.datadoghq.com/api/latest/roles/",
                "https://docs.datadoghq.com/api/latest/teams/",
                "https://docs.datadoghq.com/api/latest/rate-limits/",
                "https://docs.datadoghq.com/account_management/rbac/",
                "https://github.com/DataDog/terraform-provider-datadog/issues/1056",
            ],
        }
    }
}

/// One organisation, built.
struct Organization {
    traits: Traits,
    client: Arc<Client>,
    settings: Arc<Settings>,
    people: People,
    teams: Teams,
    roles: Arc<Roles>,
}

#[async_trait]
impl Connector for Organization {
    fn traits(&self) -> &Traits {
        &self.traits
    }

    async fn probe(&self, cx: &Cx<'_>) -> Result<Probe, Fault> {
        probe::probe(&self.client, &self.roles, &self.settings, cx).await
    }

    fn accounts(&self) -> Option<&dyn Accounts> {
        Some(&self.people)
    }

    fn groups(&self) -> Option<&dyn Groups> {
        match self.settings.groups {
            GroupsAre::Teams => Some(&self.teams),
            GroupsAre::Roles => Some(self.roles.as_ref()),
        }
    }

    fn read_limits(&self, reply: &Reply) -> Vec<Reading> {
        limits::readings(reply)
    }

    fn throttled(&self, reply: &Reply) -> Option<Timestamp> {
        (reply.status == http::StatusCode::TOO_MANY_REQUESTS).then(|| limits::not_before(reply))
    }
}
