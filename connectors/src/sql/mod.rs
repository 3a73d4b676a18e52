#![doc = include_str!("README.md")]

mod about;
mod client;
mod declared;
mod dialect;
mod failure;
mod mapping;
mod named;
mod ops;
mod people;
mod probe;
mod relay;
mod schema;
mod session;
mod settings;
mod tables;
mod teams;
mod values;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use connector_sdk::{
    About, Accounts, Bucket, Connector, ConnectorKind, Cx, DriverKey, Fault, Groups, Kind, Pace, Probe, Repeatable,
    Repeats, RoleTrait, Rule, Secrets, SettingsError, Suspend, Tariff, Traits, names,
};

use client::{CONNECTIONS, Client, Place};
pub use dialect::Dialect;
use mapping::{Mapping, Users};
use people::People;
pub use settings::{Settings, Tls};
use teams::Teams;

/// Members per transaction.
const MEMBERS: usize = 100;

/// The kind: what the catalogue lists.
pub struct Sql;

/// Every write looks first and writes then, in one transaction, so twice is once. A lost creation is
/// found by its user name.
fn repeats() -> Repeats {
    let mut repeats = Repeats::default();
    repeats.create = Repeatable::Verifiable;
    repeats.create_group = Repeatable::Verifiable;
    repeats
}

fn wrong<T>(field: &str, what: impl Into<String>) -> Result<T, SettingsError> {
    Err(SettingsError::new(field, what))
}

/// A setting that must be given for this database.
fn needed(field: &str, given: Option<&str>, dialect: Dialect) -> Result<String, SettingsError> {
    match given.map(str::trim).filter(|text| !text.is_empty()) {
        Some(text) if text.contains('\0') => wrong(field, "holds a NUL character"),
        Some(text) => Ok(text.to_owned()),
        None => wrong(field, format!("is required for {}", dialect.title())),
    }
}

/// A file's path below the operator's folder: names only, none of which leads upwards.
fn file(settings: &Settings) -> Result<Place, SettingsError> {
    let file = needed("file", settings.file.as_deref(), settings.database)?;
    let sound = file.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && !file.contains(['\\', '?', '#', '%', ':']);
    if !sound {
        return wrong(
            "file",
            "must be a path below the folder for targets' files, as in hr/people.db: no / at its beginning, no .. in it, none of \\ ? # % :",
        );
    }
    for (field, given) in [
        ("host", settings.host.is_some()),
        ("name", settings.name.is_some()),
        ("user", settings.user.is_some()),
        ("port", settings.port.is_some()),
    ] {
        if given {
            return wrong(field, "is not for SQLite, which has a file");
        }
    }
    Ok(Place::File(file))
}

fn server(settings: &Settings) -> Result<Place, SettingsError> {
    let dialect = settings.database;
    if settings.file.is_some() {
        return wrong("file", "is for SQLite; give host, name and user");
    }
    let host = needed("host", settings.host.as_deref(), dialect)?;
    let sound = host.len() <= 253
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':'));
    if !sound {
        return wrong("host", "must be a host name or an address, without port, user and password");
    }
    let port = match (settings.port, dialect) {
        (Some(0), _) => return wrong("port", "must be between 1 and 65535"),
        (Some(port), _) => port,
        (None, Dialect::Postgres) => 5432,
        (None, _) => 3306,
    };
    Ok(Place::Server {
        host: host.trim_end_matches('.').to_ascii_lowercase(),
        port,
        database: needed("name", settings.name.as_deref(), dialect)?,
        user: needed("user", settings.user.as_deref(), dialect)?,
    })
}

impl ConnectorKind for Sql {
    const NAME: &'static str = "sql";
    const TITLE: &'static str = "SQL database";
    const KIND: Kind = Kind::UserAndGroup;
    type Settings = Settings;

    fn build(settings: Settings, secrets: &Secrets) -> Result<Arc<dyn Connector>, SettingsError> {
        let dialect = settings.database;
        let password = secrets.get("password").cloned();
        let place = match dialect {
            Dialect::Sqlite => file(&settings)?,
            _ => server(&settings)?,
        };
        match (&place, &password) {
            (Place::File(_), Some(_)) => return wrong("password", "is not for SQLite"),
            (Place::Server { .. }, None) => return wrong("password", "is required, under `secrets`"),
            _ => {}
        }
        if !(1..=5000).contains(&settings.page_size) {
            return wrong("page_size", "must be between 1 and 5000");
        }
        if !(1..=20).contains(&settings.connections) {
            return wrong("connections", "must be between 1 and 20");
        }
        let mapping = Mapping::read(dialect, &settings.mapping)?;
        let key = match &place {
            Place::Server { host, port, database, .. } => format!("sql:{}:{host}:{port}:{database}", dialect.title()),
            Place::File(file) => format!("sql:{}:{file}", dialect.title()),
        };
        let kind = if mapping.groups.is_some() { Kind::UserAndGroup } else { Kind::User };
        let mut traits = Traits::new(kind, DriverKey::new(key));
        traits.speaks_http = false;
        traits.own_account = false;
        let charged = settings.pace == Pace::Documented;
        if charged {
            let most = settings.connections;
            traits.buckets = vec![
                Bucket::new(
                    CONNECTIONS,
                    "Transactions at once, as the setting connections says",
                    100_000,
                    Duration::from_secs(1),
                )
                .at_once(most),
            ];
        }
        traits.tariff = Tariff::new([Rule::any()]);
        traits.repeats = repeats();
        traits.members_per_call = MEMBERS;
        traits.suspend = match &mapping.users {
            Users::Table(map) if map.active.is_some() || map.deactivated_at.is_some() || map.status.is_some() => {
                Suspend::Native
            }
            Users::Declared(declared) if declared.set_active.is_some() => Suspend::Native,
            _ => Suspend::Removes,
        };
        traits.writable = writable(&mapping);
        let full = |_| SettingsError::new("mapping", "has more roles than this gateway can keep");
        for role in &mapping.roles.values {
            let value = names::keep(role).map_err(full)?;
            traits.roles.push(RoleTrait { value, privileged: mapping.roles.privileged.contains(role) });
        }
        traits.default_role = mapping.roles.default.as_deref().map(names::keep).transpose().map_err(full)?;
        let has_groups = mapping.groups.is_some();
        let client = Arc::new(Client {
            dialect,
            place,
            mapping,
            settings,
            password,
            charged,
            idle: Mutex::new(Vec::new()),
            learned: Mutex::new(HashMap::new()),
            ops: Mutex::new(None),
        });
        Ok(Arc::new(Database {
            traits,
            people: People { client: Arc::clone(&client) },
            teams: has_groups.then(|| Teams { client: Arc::clone(&client) }),
            client,
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

/// The SCIM attributes that an update writes.
fn writable(mapping: &Mapping) -> Vec<&'static str> {
    let mut writable = Vec::new();
    let (role, name, email) = match &mapping.users {
        Users::Table(map) => (map.role.is_some(), map.display_name.is_some(), map.email.is_some()),
        Users::Declared(declared) => {
            let takes = |wanted: &str| {
                declared.update.iter().flatten().flat_map(|statement| statement.names()).any(|name| name == wanted)
            };
            (takes("role"), takes("display_name"), takes("email"))
        }
    };
    if role && !mapping.roles.values.is_empty() {
        writable.push("roles");
    }
    if name {
        writable.push("displayName");
    }
    if email {
        writable.push("emails");
    }
    writable
}

/// One database, built.
struct Database {
    traits: Traits,
    client: Arc<Client>,
    people: People,
    teams: Option<Teams>,
}

#[async_trait]
impl Connector for Database {
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
        self.teams.as_ref().map(|teams| teams as &dyn Groups)
    }
}
