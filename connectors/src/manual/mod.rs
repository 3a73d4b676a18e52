//! An application without any API: what is asked of it becomes tasks for people.
//!
//! The connector finds the words and reads the record; the desk, which is the gateway's, keeps tasks and record
//! ([`connector_sdk::Desk`]).

mod about;
mod accounts;
mod client;
mod groups;
mod settings;
mod words;

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    About, Accounts, Connector, ConnectorKind, Cx, DriverKey, Fault, Groups, Kind, Probe, ProbeCheck, Repeatable,
    Repeats, Rule, Secrets, SettingsError, Suspend, Tariff, Traits,
};

use accounts::People;
use client::Client;
use groups::Teams;
pub use settings::{Deactivate, Profile, Settings};

/// What steps name as their protocol and host: the gateway's own desk.
const PROTOCOL: &str = "desk";
const HOST: &str = "desk";

/// The kind.
pub struct Manual;

impl ConnectorKind for Manual {
    const NAME: &'static str = "manual";
    const TITLE: &'static str = "Manual (tasks for people)";
    const KIND: Kind = Kind::UserAndGroup;
    type Settings = Settings;

    fn build(settings: Settings, _: &Secrets) -> Result<Arc<dyn Connector>, SettingsError> {
        settings.check()?;
        let kind = if settings.groups { Kind::UserAndGroup } else { Kind::User };
        // One for all: no target's limits are followed, and the record is told apart by instance.
        let mut traits = Traits::new(kind, DriverKey::new(HOST));
        traits.by_hand = true;
        traits.speaks_http = false;
        traits.own_account = false;
        traits.tariff = Tariff::new([Rule::any()]);
        traits.suspend = match settings.deactivate {
            Deactivate::Remove => Suspend::Removes,
            Deactivate::Suspend => Suspend::Native,
        };
        traits.writable = match settings.profile {
            Profile::Basic => vec!["userName", "emails", "displayName", "name", "title"],
            Profile::All => vec!["*"],
            Profile::None => Vec::new(),
        };
        // Asking once more is asking once: the desk tells tasks apart.
        let mut repeats = Repeats::default();
        repeats.create = Repeatable::Idempotent;
        repeats.create_group = Repeatable::Idempotent;
        traits.repeats = repeats;
        let teams = settings.groups;
        let client = Arc::new(Client { settings });
        Ok(Arc::new(ByHand {
            traits,
            people: People { client: Arc::clone(&client) },
            teams: teams.then(|| Teams { client: Arc::clone(&client) }),
        }))
    }

    fn attributes() -> Vec<(&'static str, &'static str)> {
        about::attributes()
    }

    fn limits() -> Vec<&'static str> {
        about::limits()
    }

    fn about() -> About {
        about::about()
    }
}

/// One application, built.
struct ByHand {
    traits: Traits,
    people: People,
    teams: Option<Teams>,
}

#[async_trait]
impl Connector for ByHand {
    fn traits(&self) -> &Traits {
        &self.traits
    }

    async fn probe(&self, cx: &Cx<'_>) -> Result<Probe, Fault> {
        let desk = cx.desk()?;
        self.people.client.read(cx, "list accounts", desk.accounts(None)).await?;
        let detail = "There is no credential: tasks are laid on the desk, and people close them.".to_owned();
        let app = self.people.client.settings.app.trim().to_owned();
        Ok(Probe { identity: Some(app), checks: vec![ProbeCheck { name: "desk".to_owned(), ok: true, detail }] })
    }

    fn accounts(&self) -> Option<&dyn Accounts> {
        Some(&self.people)
    }

    fn groups(&self) -> Option<&dyn Groups> {
        self.teams.as_ref().map(|teams| teams as &dyn Groups)
    }
}
