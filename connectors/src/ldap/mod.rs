#![doc = include_str!("README.md")]

mod about;
mod accounts;
mod ber;
mod client;
mod conn;
mod dn;
mod filter;
mod groups;
mod members;
mod message;
mod probe;
mod settings;
mod shape;
mod template;

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    About, Accounts, Connector, ConnectorKind, Cx, DriverKey, Fault, Groups, Kind, Probe, Repeatable, Repeats, Secrets,
    SettingsError, Suspend, Traits, names,
};

use client::Client;
pub use settings::{Directory, GroupClass, Lock, NewPassword, Settings};
use shape::{Locking, Shape};

/// Members that change in one modification.
const MEMBERS_PER_CALL: usize = 50;

/// The kind: what the catalogue lists.
pub struct Ldap;

/// Names are unique below a parent, so an addition that is repeated is refused and looked at. All else states
/// what shall be, or is confirmed by a read where the server says that it was so already.
fn repeats() -> Repeats {
    let mut repeats = Repeats::default();
    repeats.create = Repeatable::Verifiable;
    repeats.update = Repeatable::Idempotent;
    repeats.set_active = Repeatable::Idempotent;
    repeats.remove = Repeatable::Idempotent;
    repeats.create_group = Repeatable::Verifiable;
    repeats.update_group = Repeatable::Idempotent;
    repeats.remove_group = Repeatable::Idempotent;
    repeats.change_members = Repeatable::Idempotent;
    repeats
}

/// The attributes of a person that reach the directory, by the settings.
fn writable(shape: &Shape) -> Result<Vec<&'static str>, SettingsError> {
    let people = &shape.people;
    let templates = people.attributes.iter().map(|(_, template)| template).chain([&people.rdn.1]);
    let mut names: Vec<&str> = vec!["userName"];
    for source in templates.flat_map(|template| template.sources()) {
        // `email` is the primary one of the addresses.
        let source = if source.eq_ignore_ascii_case("email") { "emails" } else { source };
        let own = connector_sdk::account::NOT_WRITTEN.iter().any(|name| name.eq_ignore_ascii_case(source));
        if !own && names.iter().all(|name| !name.eq_ignore_ascii_case(source)) {
            names.push(source);
        }
    }
    names::keep_all(names).map_err(|full| SettingsError::new("attributes", full.to_string()))
}

impl ConnectorKind for Ldap {
    const NAME: &'static str = "ldap";
    const TITLE: &'static str = "LDAP and Active Directory";
    const KIND: Kind = Kind::UserAndGroup;
    type Settings = Settings;

    fn build(settings: Settings, secrets: &Secrets) -> Result<Arc<dyn Connector>, SettingsError> {
        let shape = Arc::new(Shape::new(&settings)?);
        let password =
            secrets.get("password").ok_or_else(|| SettingsError::new("password", "is required, under `secrets`"))?;
        let server = &shape.server;
        let key = DriverKey::new(format!("ldap:{}:{}", server.host, server.port));
        let kind = if shape.groups.is_some() { Kind::UserAndGroup } else { Kind::User };
        let mut traits = Traits::new(kind, key);
        traits.buckets = client::buckets();
        traits.costs = about::costs();
        traits.suspend = if shape.people.locking == Locking::Delete { Suspend::Removes } else { Suspend::Native };
        traits.writable = writable(&shape)?;
        traits.members_per_call = MEMBERS_PER_CALL;
        traits.repeats = repeats();
        traits.speaks_http = false;
        traits.own_account = shape.user_bases().iter().any(|base| dn::within(&server.bind_dn, base));
        let client = Arc::new(Client::new(shape, password.clone()));
        Ok(Arc::new(Tree {
            traits,
            people: accounts::Directory { client: Arc::clone(&client) },
            groups: client.shape.groups.is_some().then(|| groups::Branch { client: Arc::clone(&client) }),
            client,
        }))
    }

    fn attributes() -> Vec<(&'static str, &'static str)> {
        vec![
            (
                "userName",
                "The login (uid; on Active Directory userPrincipalName, and sAMAccountName from what stands before @), and usually the entry's name: where it changes the entry is renamed, and its memberships follow.",
            ),
            ("displayName", "displayName and cn. Where it is missing the name's parts serve, then the userName."),
            (
                "emails",
                "mail; the primary one first. On Active Directory the primary one only. People are found by it.",
            ),
            (
                "name.familyName",
                "sn. Required by the usual classes: where it is missing the display name serves, then the userName.",
            ),
            ("name.givenName", "givenName."),
            ("externalId", "employeeNumber."),
            ("title", "title."),
            ("userType", "employeeType."),
            ("preferredLanguage", "preferredLanguage; not on Active Directory."),
            ("active", "As the setting lock says."),
        ]
    }

    fn limits() -> Vec<&'static str> {
        vec![
            "No server publishes a rate. Eight operations are under way at once at most.",
            "OpenLDAP shows 500 entries to who is not the administrator, unless limits say otherwise (slapd.conf(5), sizelimit)",
            "Active Directory gives 1,000 entries a page and 1,500 members a part (learn.microsoft.com, LDAP policies MaxPageSize and MaxValRange)",
        ]
    }

    fn about() -> About {
        about::about()
    }
}

/// One directory, built.
struct Tree {
    traits: Traits,
    client: Arc<Client>,
    people: accounts::Directory,
    groups: Option<groups::Branch>,
}

#[async_trait]
impl Connector for Tree {
    fn traits(&self) -> &Traits {
        &self.traits
    }

    async fn probe(&self, cx: &Cx<'_>) -> Result<Probe, Fault> {
        probe::probe(&self.client, cx).await
    }

    fn accounts(&self) -> Option<&dyn Accounts> {
        Some(&self.people)
    }

    fn groups(&self) -> Option<&dyn Groups> {
        self.groups.as_ref().map(|groups| groups as &dyn Groups)
    }
}
