#![doc = include_str!("README.md")]

mod about;
mod accounts;
mod client;
mod groups;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector_sdk::{
    About, Accounts, Bucket, Connector, ConnectorKind, Cx, DriverKey, Fault, FaultKind, Groups, Kind, Pace, Probe,
    ProbeCheck, RoleTrait, Rule, Secrets, SettingsError, StepCost, Suspend, Tariff, Traits,
};

use accounts::People;
use client::Client;
use groups::Teams;
pub use settings::Settings;

/// The roles of people, as the API names them. `privileged` is what gives power over others.
pub(crate) const ROLES: [RoleTrait; 2] =
    [RoleTrait { value: "member", privileged: false }, RoleTrait { value: "admin", privileged: true }];

/// The bucket of all calls.
const CALLS: &str = "calls";

/// The kind: what the catalogue lists.
pub struct @Kind@;

impl ConnectorKind for @Kind@ {
    const NAME: &'static str = "@name@";
    const TITLE: &'static str = "@Title@";
    const KIND: Kind = Kind::UserAndGroup;
    type Settings = Settings;

    fn build(settings: Settings, secrets: &Secrets) -> Result<Arc<dyn Connector>, SettingsError> {
        let base = settings::address("base_url", &settings.base_url)?;
        let token = secrets.get("token").ok_or_else(|| SettingsError::new("token", "is required, under `secrets`"))?;
        // What the vendor's limits follow: instances with the same key share one budget. Here the token.
        let key = format!(
            "@name@:{}:{}",
            base.host_str().unwrap_or_default(),
            secrets.fingerprint("token").unwrap_or_default()
        );
        let mut traits = Traits::new(Self::KIND, DriverKey::new(key));
        traits.buckets = vec![match settings.pace {
            Pace::Documented => Bucket::new(CALLS, "600 calls a minute", 600, Duration::from_secs(60)),
            Pace::Headers => Bucket::unknown(CALLS, "Calls"),
        }];
        // The first rule that matches a call is its price; every call needs one.
        traits.tariff = Tariff::new([Rule::any().charge(CALLS, 1)]);
        traits.costs =
            ["create", "update", "remove", "look", "suspend", "restore", "add_member", "remove_member", "create_group"]
                .map(|step| StepCost::new(step, 1).charge(CALLS, 1))
                .to_vec();
        // `Suspend::Removes` where the target cannot suspend.
        traits.suspend = Suspend::Native;
        traits.writable = vec!["roles"];
        traits.roles = ROLES.to_vec();
        traits.default_role = Some("member");
        let client = Arc::new(Client::new(token.clone(), base));
        Ok(Arc::new(Target {
            traits,
            people: People { client: Arc::clone(&client) },
            teams: Teams { client: Arc::clone(&client) },
            client,
        }))
    }

    fn attributes() -> Vec<(&'static str, &'static str)> {
        vec![
            ("emails", "The primary address is the account's; people are found by it."),
            ("displayName", "The name of a new account. Later changes stay in the directory."),
            ("roles", "`member` or `admin` (privileged)."),
            ("active", "`false` suspends the account, `true` restores it."),
        ]
    }

    fn limits() -> Vec<&'static str> {
        vec!["600 calls a minute per token (the page of the vendor that says so)"]
    }

    fn about() -> About {
        about::about()
    }
}

/// One target, built.
struct Target {
    traits: Traits,
    client: Arc<Client>,
    people: People,
    teams: Teams,
}

#[async_trait]
impl Connector for Target {
    fn traits(&self) -> &Traits {
        &self.traits
    }

    async fn probe(&self, cx: &Cx<'_>) -> Result<Probe, Fault> {
        let check = |name: &str, ok, detail: String| ProbeCheck { name: name.to_owned(), ok, detail };
        match self.client.me(cx).await {
            Ok(me) => Ok(Probe {
                identity: Some(me.id.clone()),
                checks: vec![check("credential", true, format!("The token is {}'s.", me.email))],
            }),
            Err(fault) if matches!(fault.kind, FaultKind::Credential | FaultKind::Permission) => {
                Ok(Probe { identity: None, checks: vec![check("credential", false, fault.message)] })
            }
            Err(fault) => Err(fault),
        }
    }

    fn accounts(&self) -> Option<&dyn Accounts> {
        Some(&self.people)
    }

    fn groups(&self) -> Option<&dyn Groups> {
        Some(&self.teams)
    }

    // `read_limits` and `throttled` hear a plain 429; override them where the vendor's headers say more.
}
