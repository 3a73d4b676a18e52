#![doc = include_str!("README.md")]

mod client;
mod groups;
mod people;
mod policy;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector_sdk::{
    About, Accounts, Bucket, CallAbout, Connector, ConnectorKind, Cx, DriverKey, Fault, FaultKind, Groups, Kind, Pace,
    Probe, RoleTrait, Rule, Secrets, SettingsError, StepCost, Suspend, Tariff, Traits,
};
use secrecy::ExposeSecret;
use tokio::sync::Mutex;

use crate::shared::probe::{as_check, check};
use crate::shared::{address, authority, credential};
use client::Client;
use groups::Teams;
use people::People;
pub use settings::Settings;

/// The kind: what the catalogue lists.
pub struct Tailscale;

/// The roles that can be given. That of the owner is handed over, never given.
const ROLES: [RoleTrait; 6] = [
    RoleTrait { value: "member", privileged: false },
    RoleTrait { value: "auditor", privileged: false },
    RoleTrait { value: "billing-admin", privileged: true },
    RoleTrait { value: "network-admin", privileged: true },
    RoleTrait { value: "it-admin", privileged: true },
    RoleTrait { value: "admin", privileged: true },
];

/// What a token of a user begins with.
const TOKEN: &str = "tskey-api-";
/// Calls of the token.
const CALLS: &str = "calls";
/// Members that one change of the policy file takes.
const MEMBERS: usize = 100;

/// The bucket. Tailscale publishes no number.
fn buckets(pace: Pace) -> Vec<Bucket> {
    let title = "Calls of the token; Tailscale publishes no number";
    let bucket = match pace {
        Pace::Documented => Bucket::new(CALLS, title, 120, Duration::from_secs(60)),
        Pace::Headers => Bucket::unknown(CALLS, title),
    };
    vec![bucket.at_once(4)]
}

/// What the engine's steps cost, looks beforehand included.
fn costs() -> Vec<StepCost> {
    [
        ("look", 2),
        ("create", 3),
        ("update", 2),
        ("remove", 5),
        ("revoke", 2),
        ("add_member", 3),
        ("remove_member", 3),
        ("create_group", 2),
        ("update_group", 2),
        ("remove_group", 2),
    ]
    .into_iter()
    .map(|(name, calls)| StepCost::new(name, calls).charge(CALLS, calls))
    .collect()
}

impl ConnectorKind for Tailscale {
    const NAME: &'static str = "tailscale";
    const TITLE: &'static str = "Tailscale";
    const KIND: Kind = Kind::UserAndGroup;
    type Settings = Settings;

    fn build(settings: Settings, secrets: &Secrets) -> Result<Arc<dyn Connector>, SettingsError> {
        let tailnet = settings.tailnet.trim().to_owned();
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'@' | b'_');
        if tailnet.is_empty() || tailnet.len() > 200 || tailnet.starts_with('.') || !tailnet.bytes().all(sound) {
            return Err(SettingsError::new("tailnet", "must be the tailnet's name, such as example.com, or -"));
        }
        let Some(role) = ROLES.iter().map(|role| role.value).find(|role| *role == settings.default_role) else {
            return Err(SettingsError::new("default_role", "must be a role that can be given, such as member"));
        };
        let api = address("api_url", &settings.api_url)?;
        let token = credential(secrets, "api_key")?;
        let kind = if settings.policy_groups { Kind::UserAndGroup } else { Kind::User };
        let fingerprint = secrets.fingerprint("api_key").unwrap_or_default();
        let key = format!("tailscale:{}:{fingerprint}", authority(&api));
        let mut traits = Traits::new(kind, DriverKey::new(key));
        traits.buckets = buckets(settings.pace);
        traits.tariff = Tariff::new([Rule::any().charge(CALLS, 1)]);
        traits.costs = costs();
        traits.suspend = Suspend::Native;
        traits.invites = true;
        // One that ran out is gone, as one that was accepted or taken back is.
        traits.invitations_end = false;
        traits.writable = vec!["roles"];
        traits.roles = ROLES.to_vec();
        traits.default_role = Some(role);
        traits.members_per_call = MEMBERS;
        let of_user = token.expose_secret().starts_with(TOKEN);
        let client = Arc::new(Client::new(api, tailnet, token.clone()));
        let settings = Arc::new(settings);
        let teams = || Arc::new(Teams { client: Arc::clone(&client), writing: Mutex::new(()) });
        let teams = settings.policy_groups.then(teams);
        Ok(Arc::new(Tailnet {
            traits,
            of_user,
            people: People { client: Arc::clone(&client), settings, teams: teams.clone() },
            teams,
            client,
        }))
    }

    fn attributes() -> Vec<(&'static str, &'static str)> {
        vec![
            (
                "emails",
                "The primary address (else a userName that is one) is invited, and users are found by it. A later change is not written: it is the name of their sign-in.",
            ),
            (
                "roles",
                "`member`, `auditor`, and privileged `billing-admin`, `network-admin`, `it-admin` and `admin`. The owner's is never given.",
            ),
            ("active", "false suspends the user, true restores, and approves whoever waits for that."),
        ]
    }

    fn limits() -> Vec<&'static str> {
        vec![
            "Tailscale publishes no number (tailscale.com/api); the gateway keeps to 120 calls a minute. A mail can be sent again once a minute.",
        ]
    }

    fn about() -> About {
        let call = |name, method, path, purpose| CallAbout { name, method, path, purpose };
        About {
            summary: "Invites people into a tailnet, suspends, restores, approves and deletes its users, and gives roles. Groups are entries of the tailnet policy file, where that is switched on: the file is changed in place, with its comments.",
            needs: vec![
                "An API access token (Settings, Keys) of a user of the gateway's own who is an Admin. OAuth clients are refused invitations.",
                "Somebody who makes a new token before its end: it lives 90 days at most.",
                "For groups: `policy_groups` on, and a policy file that is kept in Tailscale, not in a repository.",
                "A seat per user who is active.",
            ],
            cannot: vec![
                "Change a name or address: they are those of the sign-in.",
                "Tell who accepted an invitation with another sign-in: that is said to be unclear, and somebody links the account. The same holds for one that ran out, after 30 days.",
                "Put an invited person into a group: that waits until they are a user.",
                "Delete a user without their devices.",
                "Rename a group's key: rules are written against it. A new name stands in a comment above the entry.",
                "Delete a group that a rule of the policy file still names: the work waits until somebody takes it out.",
                "Change the groups that Tailscale's own provisioning brings: they are not in the file.",
            ],
            calls: vec![
                call("get key", "GET", "/api/v2/tailnet/{tailnet}/keys/{key}", "whose the token is"),
                call(
                    "list users",
                    "GET",
                    "/api/v2/tailnet/{tailnet}/users",
                    "import, reconcile, and who has an address",
                ),
                call("get user", "GET", "/api/v2/users/{user}", "one user"),
                call("list invitations", "GET", "/api/v2/tailnet/{tailnet}/user-invites", "open invitations"),
                call("invite", "POST", "/api/v2/tailnet/{tailnet}/user-invites", "invites by mail, with a role"),
                call("revoke invitation", "DELETE", "/api/v2/user-invites/{invitation}", "takes an invitation back"),
                call("change role", "POST", "/api/v2/users/{user}/role", "gives a role"),
                call("suspend user", "POST", "/api/v2/users/{user}/suspend", "`active` false"),
                call("restore user", "POST", "/api/v2/users/{user}/restore", "`active` true"),
                call("approve user", "POST", "/api/v2/users/{user}/approve", "`active` true of one who waits for it"),
                call("delete user", "POST", "/api/v2/users/{user}/delete", "deletion, with the user's devices"),
                call("get policy file", "GET", "/api/v2/tailnet/{tailnet}/acl", "groups and their members, as HuJSON"),
                call("set policy file", "POST", "/api/v2/tailnet/{tailnet}/acl", "changes groups, with If-Match"),
            ],
            unverified: vec![
                "What a second invitation of an address answers; it is looked before.",
                "The words of a refusal for want of seats, and of one to touch the owner.",
                "Whether an accepted invitation can still be read; only the list of open ones is used.",
                "Which characters a group's key may hold, and whether one may be empty; keys are made of letters, digits and dashes.",
                "The numbers of the limits.",
            ],
            sources: vec![
                "https://tailscale.com/api",
                "https://tailscale.com/kb/1271/invite-any-user",
                "https://tailscale.com/kb/1337/policy-syntax",
                "https://github.com/tailscale/tailscale-client-go-v2 (policyfile.go: HuJSON, ETag, If-Match; keys.go: whose a key is)",
                "https://github.com/tailscale/hujson",
            ],
        }
    }
}

/// One tailnet, built.
struct Tailnet {
    traits: Traits,
    /// Whether the token is of the form of a user's.
    of_user: bool,
    client: Arc<Client>,
    people: People,
    teams: Option<Arc<Teams>>,
}

#[async_trait]
impl Connector for Tailnet {
    fn traits(&self) -> &Traits {
        &self.traits
    }

    async fn probe(&self, cx: &Cx<'_>) -> Result<Probe, Fault> {
        let mut probe = Probe { identity: None, checks: Vec::new() };
        match self.client.users(cx, "list users").await {
            Ok(users) => {
                probe.checks.push(check("credential", true, format!("The tailnet has {} users.", users.len())));
            }
            Err(fault) => {
                probe.checks.push(as_check("credential", fault)?);
                return Ok(probe);
            }
        }
        probe.identity = self.client.own(cx).await?.map(str::to_owned);
        let (ok, detail) = match (&probe.identity, self.of_user) {
            (Some(own), _) => (true, format!("The token belongs to the user {own}, who is left alone.")),
            (None, true) => {
                (true, "Tailscale does not say whose the token is; the owner alone is left alone.".to_owned())
            }
            (None, false) => {
                (false, "This is no API access token of a user (tskey-api-…), and no other may invite.".to_owned())
            }
        };
        probe.checks.push(check("a user's token", ok, detail));
        if let Some(teams) = &self.teams {
            probe.checks.push(match teams.list(cx, None).await {
                Ok(page) => check("policy file", true, format!("It has {} groups.", page.items.len())),
                Err(fault) if fault.kind == FaultKind::Malformed => check("policy file", false, fault.message),
                Err(fault) => as_check("policy file", fault)?,
            });
        }
        Ok(probe)
    }

    fn accounts(&self) -> Option<&dyn Accounts> {
        Some(&self.people)
    }

    fn groups(&self) -> Option<&dyn Groups> {
        self.teams.as_deref().map(|teams| teams as &dyn Groups)
    }
}
