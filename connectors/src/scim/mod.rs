#![doc = include_str!("README.md")]

pub(crate) mod about;
mod accounts;
mod auth;
pub(crate) mod client;
pub(crate) mod dialect;
mod discovery;
mod document;
mod groups;
mod limits;
mod listing;
mod members;
mod probe;
mod settings;

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    About, Accounts, Connector, ConnectorKind, Cx, DriverKey, Fault, Groups, Kind, Probe, Reading, Reply, Secrets,
    SettingsError, Suspend, Traits,
};
use jiff::Timestamp;
use url::Url;

use client::{Client, too_many};
use dialect::{Deprovision, Dialect, Tri};
use discovery::Discovery;
pub use settings::Settings;

/// The kind: what the catalogue lists.
pub struct Scim;

/// One server.
pub(crate) struct Server {
    client: Client,
    discovery: Discovery,
    traits: Traits,
    readings: fn(&Reply) -> Vec<Reading>,
}

impl Server {
    /// A server that is spoken to in this dialect.
    pub(crate) fn new(client: Client, traits: Traits, readings: fn(&Reply) -> Vec<Reading>) -> Self {
        Self { client, discovery: Discovery::default(), traits, readings }
    }
}

/// What a dialect says of the traits.
pub(crate) fn traits(dialect: &Dialect, driver_key: DriverKey) -> Traits {
    let kind = if dialect.groups { Kind::UserAndGroup } else { Kind::User };
    let mut traits = Traits::new(kind, driver_key);
    traits.suspend = match dialect.deprovision {
        Deprovision::ActiveFalse => Suspend::Native,
        Deprovision::Delete => Suspend::Removes,
    };
    traits.writable = vec!["*"];
    traits.members_per_call = dialect.members_per_patch;
    // Everything but a creation names its resource and says what shall be: twice is once.
    traits
}

/// Where an address and a credential meet, in one text.
pub(crate) fn driver_key(kind: &str, base: &Url, fingerprint: &str) -> DriverKey {
    DriverKey::new(format!(
        "{kind}:{}:{}:{}:{fingerprint}",
        base.host_str().unwrap_or_default(),
        base.port_or_known_default().unwrap_or_default(),
        base.path().trim_end_matches('/'),
    ))
}

impl ConnectorKind for Scim {
    const NAME: &'static str = "scim";
    const TITLE: &'static str = "SCIM 2.0 server";
    const KIND: Kind = Kind::UserAndGroup;
    type Settings = Settings;

    fn build(settings: Settings, secrets: &Secrets) -> Result<Arc<dyn Connector>, SettingsError> {
        let checked = settings::check(&settings, secrets)?;
        let mut traits = traits(&checked.dialect, driver_key("scim", &checked.base, &checked.fingerprint));
        traits.buckets = limits::buckets(settings.calls_per_minute);
        traits.tariff = limits::tariff();
        traits.costs = limits::costs(settings.patch != Tri::No);
        let client = Client {
            base: checked.base,
            auth: checked.auth,
            headers: checked.headers,
            dialect: checked.dialect,
            throttled: too_many,
        };
        Ok(Arc::new(Server::new(client, traits, limits::readings)))
    }

    fn attributes() -> Vec<(&'static str, &'static str)> {
        vec![
            ("userName", "The server's userName, unless `user_name_from` names another attribute for it."),
            ("active", "false sets `active` to false, or deletes the account where `deprovision` says so."),
            (
                "every other attribute, extensions included",
                "Sent where the server's /Schemas declares it and lets it be written; `attributes` says otherwise.",
            ),
            ("roles, entitlements", "Sent only where `send_roles` says so."),
            ("displayName", "Of a group: its name."),
            ("members", "The members of a group, by the server's own ids."),
        ]
    }

    fn limits() -> Vec<&'static str> {
        vec![
            "SCIM names no limits: a 429 with Retry-After is kept to, rate limit headers are read, and `calls_per_minute` sets a pace (RFC 7644 section 3.12, RFC 6585 section 4)",
            "Members per PATCH: `max_members_per_patch`",
        ]
    }

    fn about() -> About {
        about::about()
    }
}

#[async_trait]
impl Connector for Server {
    fn traits(&self) -> &Traits {
        &self.traits
    }

    async fn probe(&self, cx: &Cx<'_>) -> Result<Probe, Fault> {
        self.look(cx).await
    }

    fn accounts(&self) -> Option<&dyn Accounts> {
        Some(self)
    }

    fn groups(&self) -> Option<&dyn Groups> {
        self.client.dialect.groups.then_some(self as &dyn Groups)
    }

    fn read_limits(&self, reply: &Reply) -> Vec<Reading> {
        (self.readings)(reply)
    }

    fn throttled(&self, reply: &Reply) -> Option<Timestamp> {
        (self.client.throttled)(reply)
    }
}
