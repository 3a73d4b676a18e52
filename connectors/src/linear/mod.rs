#![doc = include_str!("README.md")]

mod accounts;
mod client;
mod groups;
mod limits;
mod probe;
mod settings;

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    About, Accounts, CallAbout, Connector, ConnectorKind, Cx, DriverKey, Fault, Groups, Kind, Probe, Reading, Removal,
    Reply, RoleTrait, Secrets, SettingsError, Suspend, Traits,
};
use jiff::Timestamp;

use crate::shared::{address, authority, credential};
use accounts::People;
use client::Client;
use groups::Teams;
pub use settings::{DefaultRole, Settings};

/// The roles of users, as the API names them (`UserRoleType`; `app` is no person's).
const ROLES: [RoleTrait; 4] = [
    RoleTrait { value: "user", privileged: false },
    RoleTrait { value: "guest", privileged: false },
    RoleTrait { value: "admin", privileged: true },
    RoleTrait { value: "owner", privileged: true },
];

/// The kind: what the catalogue lists.
pub struct Linear;

impl ConnectorKind for Linear {
    const NAME: &'static str = "linear";
    const TITLE: &'static str = "Linear";
    const KIND: Kind = Kind::UserAndGroup;
    type Settings = Settings;

    fn build(settings: Settings, secrets: &Secrets) -> Result<Arc<dyn Connector>, SettingsError> {
        let key = settings.workspace.as_str();
        let sound = !key.is_empty()
            && key.len() <= 100
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !sound {
            return Err(SettingsError::new(
                "workspace",
                "must be the workspace's URL key: letters, digits and dashes, as in linear.app/KEY",
            ));
        }
        let graphql = address("graphql_url", &settings.graphql_url)?;
        let token = credential(secrets, "token")?;
        // The limits are a user's. Which user's key it is is not known here, so all keys of a workspace
        // share one budget: never more than Linear allows.
        let key = format!("linear:{}:{}", authority(&graphql), key.to_ascii_lowercase());
        let mut traits = Traits::new(Kind::UserAndGroup, DriverKey::new(key));
        traits.buckets = limits::buckets(settings.pace);
        traits.tariff = limits::tariff();
        traits.costs = limits::costs();
        traits.suspend = Suspend::Native;
        traits.removal = Removal::Suspended;
        traits.invites = true;
        traits.writable = vec!["roles", "displayName"];
        traits.roles = ROLES.to_vec();
        traits.default_role = Some(settings.default_role.word());
        // The user who creates a team becomes its owner.
        traits.tidy_created_groups = true;
        let client = Arc::new(Client::new(token.clone(), graphql));
        let settings = Arc::new(settings);
        Ok(Arc::new(Workspace {
            traits,
            people: People { client: Arc::clone(&client), settings: Arc::clone(&settings) },
            teams: Teams { client: Arc::clone(&client) },
            client,
            settings,
        }))
    }

    fn attributes() -> Vec<(&'static str, &'static str)> {
        vec![
            (
                "emails",
                "The primary address (else a userName that is one) is invited, and users are found by it. Linear's API cannot change it.",
            ),
            ("displayName", "The full name. It is written once the invitation was accepted."),
            ("roles", "The workspace role: `user`, `guest`, `admin` or `owner` (the last two privileged)."),
            ("active", "false suspends the user, or takes the invitation back; true restores the user."),
        ]
    }

    fn limits() -> Vec<&'static str> {
        vec![
            "2,500 requests an hour per user of the key; the headers correct it (linear.app/developers/rate-limiting)",
            "250,000 complexity points an hour per user of the key; the headers correct it (linear.app/developers/rate-limiting)",
            "10,000 complexity points in one query (linear.app/developers/rate-limiting)",
        ]
    }

    fn about() -> About {
        let call = |name, path, purpose| CallAbout { name, method: "POST", path, purpose };
        About {
            summary: "Invites people into a Linear workspace by e-mail, gives them a role, suspends and restores them, and manages teams and who is in them. It speaks Linear's GraphQL API, so no plan with SCIM is needed.",
            needs: vec![
                "A personal API key (`lin_api_…`) with the permissions Read, Write and Admin, or an OAuth access token, of a user who is an admin or owner of the workspace; a user of the gateway's own is best.",
                "Linear's own SCIM provisioning turned off.",
            ],
            cannot: vec![
                "Delete a user: Linear only suspends. A deletion suspends, and whoever returns is restored with the same account.",
                "Change an address: people own theirs.",
                "Change role or teams of a pending invitation: the teams known at the time go with the invitation, all else follows its acceptance.",
                "Touch apps: their users are not listed.",
                "Create private teams: the gateway's own user leaves each team that it creates, and would no longer see a private one.",
            ],
            calls: vec![
                call(
                    "probe",
                    "viewer, organization, organizationInvites, administrableTeams",
                    "checks key, workspace, role and reads",
                ),
                call("get own user", "viewer", "to leave the key's own account alone"),
                call("list users", "users(includeDisabled: true)", "import and reconcile"),
                call("list invitations", "organizationInvites", "import and reconcile, looks by address"),
                call("find by e-mail", "users(filter), organizationInvites", "who has an address, before inviting"),
                call("get user", "user(id)", "one user"),
                call("get invitation", "organizationInvite(id)", "follows an invitation to who accepted it"),
                call("invite", "organizationInviteCreate", "invites"),
                call("revoke invitation", "organizationInviteDelete", "takes an invitation back"),
                call("suspend user", "userSuspend", "`active` false, and deletion"),
                call("unsuspend user", "userUnsuspend", "`active` true"),
                call("change role", "userChangeRole", "writes the role"),
                call("rename user", "userUpdate", "writes the name"),
                call("list teams", "administrableTeams", "import and reconcile"),
                call("find teams by name", "administrableTeams(filter)", "whether a name is there, before creating"),
                call("get team", "team(id)", "one team"),
                call("get team and namesakes", "team(id), administrableTeams(filter)", "before renaming"),
                call("create team", "teamCreate", "creates a team"),
                call("rename team", "teamUpdate", "renames a team"),
                call("delete team", "teamDelete", "deletes a team; Linear keeps it for a while"),
                call("list team members", "team(id).memberships", "who is in a team"),
                call("get team membership", "team(id).membership(userId)", "whether somebody is in a team"),
                call("add team member", "teamMembershipCreate", "adds to a team"),
                call("remove team member", "teamMembershipDelete", "takes out of a team"),
            ],
            unverified: vec![
                "The numbers of the limits: Linear's documents and other sources name 1,500 to 5,000 requests and 250,000 to 3,000,000 points an hour. The gateway begins with the cautious ones and follows the headers.",
                "Whether a second invitation of an address is refused: the connector looks first.",
                "Whether a deleted invitation can still be read, as archived: both are understood.",
                "`Team.membership` is marked as alpha in Linear's schema.",
                "Whether a team may be without members: the gateway's own user leaves those it creates.",
            ],
            sources: vec![
                "https://linear.app/developers/graphql",
                "https://linear.app/developers/rate-limiting",
                "https://linear.app/developers/pagination",
                "https://github.com/linear/linear/blob/master/packages/sdk/src/schema.graphql",
                "https://github.com/linear/linear/blob/master/packages/sdk/src/error.ts",
            ],
        }
    }
}

/// One workspace, built.
struct Workspace {
    traits: Traits,
    client: Arc<Client>,
    settings: Arc<Settings>,
    people: People,
    teams: Teams,
}

#[async_trait]
impl Connector for Workspace {
    fn traits(&self) -> &Traits {
        &self.traits
    }

    async fn probe(&self, cx: &Cx<'_>) -> Result<Probe, Fault> {
        probe::probe(&self.client, &self.settings, cx).await
    }

    fn accounts(&self) -> Option<&dyn Accounts> {
        Some(&self.people)
    }

    fn groups(&self) -> Option<&dyn Groups> {
        Some(&self.teams)
    }

    fn read_limits(&self, reply: &Reply) -> Vec<Reading> {
        limits::readings(reply)
    }

    fn throttled(&self, reply: &Reply) -> Option<Timestamp> {
        limits::throttled(reply)
    }
}
