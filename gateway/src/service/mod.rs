//! What the gateway can do, as functions. The SCIM side and the admin API both call these, so
//! each can do what the other can, under the same rules.

pub(crate) mod accept;
pub(crate) mod alerts;
pub mod catalogue;
pub mod clients;
pub mod desk;
pub mod directory;
pub mod events;
#[cfg(test)]
mod fixture;
pub mod handovers;
pub(crate) mod holds;
pub mod instances;
pub mod keys;
pub mod members;
pub mod oidc;
pub mod plan;
pub(crate) mod probe;
pub mod queue;
pub mod records;
pub(crate) mod restore;
pub(crate) mod rotate;
pub mod sessions;
pub mod types;
pub(crate) mod waiting;
pub(crate) mod waivers;
pub mod write;

use std::path::Path;
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{Config, ConfigError, Overrides};
use crate::driver;
use crate::inbound::Inbound;
use crate::secrets::{KeyRing, KeyRingError, SealError};
use crate::store::{Priority, Store, StoreError};
use crate::transport::{Http, HttpError, HttpOptions};

/// Connections that watch events at once.
const WATCHERS: usize = 32;

/// The gateway, assembled.
pub struct App {
    /// The store.
    pub store: Store,
    /// The clock.
    pub clock: Clock,
    /// The settings.
    pub config: Arc<Config>,
    /// The keys that seal credentials.
    pub ring: Arc<KeyRing>,
    /// The connectors there are.
    pub catalogue: Arc<catalogue::Catalogue>,
    /// The instances, cached.
    pub instances: instances::Instances,
    /// The API keys, cached.
    pub keys: keys::KeyCache,
    /// Who may use the admin API and the console, cached.
    pub(crate) members: members::MemberCache,
    /// Sign-in to the console through a provider, where one is set up.
    pub(crate) oidc: Option<oidc::Oidc>,
    /// Failed attempts to sign in to the console.
    pub(crate) attempts: crate::console::session::Attempts,
    /// The driver.
    pub driver: driver::Handle,
    /// The limits on what clients send.
    pub inbound: Inbound,
    /// The delivery of security events.
    pub events: Arc<events::Events>,
    /// Which clients speak behind the keys.
    pub clients: clients::Clients,
    /// Where refused requests are put on record.
    pub refusals: records::Refusals,
    /// How many more may watch events at once.
    pub(crate) watchers: Arc<tokio::sync::Semaphore>,
    pub(crate) walks: directory::Walks,
    pub(crate) twins: write::Twins,
    pub(crate) plans: plan::Plans,
    pub(crate) probes: probe::Probes,
}

/// Why the gateway does not start; each is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be used.
    #[error("the database cannot be used: {0}")]
    Store(#[from] StoreError),
    /// There is no master key, or not the right one.
    #[error(transparent)]
    KeyRing(#[from] KeyRingError),
    /// The master key does not open what an earlier one sealed.
    #[error(
        "the master key is not the one this database was set up with. {0} Or give the one that it was set up with, as SCIMGATE_MASTER_KEY or as the file master.key."
    )]
    WrongKey(SealError),
    /// Manifests of the config folder cannot be used.
    #[error(transparent)]
    Manifests(#[from] catalogue::FolderError),
    /// The HTTP client cannot be made.
    #[error(transparent)]
    Http(#[from] HttpError),
}

impl App {
    /// Assembles the gateway. Nothing is driven and nothing listens yet.
    ///
    /// # Errors
    /// Anything without which the gateway must not start.
    pub async fn build(config: Config, clock: Clock) -> Result<Arc<Self>, StartError> {
        Self::with_connectors(config, clock, connectors::builtin()).await
    }

    /// The same with other connectors than the built-in ones.
    ///
    /// # Errors
    /// As [`App::build`].
    pub async fn with_connectors(
        config: Config,
        clock: Clock,
        catalogue: Vec<connector_sdk::Entry>,
    ) -> Result<Arc<Self>, StartError> {
        let ring = Arc::new(KeyRing::load(config.master_key.as_ref(), &config.data_dir, &config.database)?);
        let folder = match &config.manifests_dir {
            None => Vec::new(),
            Some(folder) => {
                let built_in: Vec<&str> = catalogue.iter().map(|entry| entry.name).collect();
                catalogue::read_folder(folder, &built_in)?
            }
        };
        let store = Store::open(&config.database, clock.clone()).await?;
        check_key(&store, &ring).await?;
        restore::make_due(&store).await?;
        if let Some(instances) = restore::notice(&store).await? {
            tracing::warn!(
                instances,
                "this database was restored from a copy: its instances are paused. Let the identity providers push everything again, then set their mode to enabled; the accounts at each target are looked at before anything is changed there"
            );
        }
        let http = Http::new(
            HttpOptions {
                allow_private: config.allow_private_targets,
                call_timeout: config.call_timeout,
                files: config.target_files.clone(),
                ..HttpOptions::default()
            },
            clock.clone(),
        )?;
        let catalogue = Arc::new(catalogue::Catalogue::open(store.clone(), catalogue, folder).await?);
        let instances = instances::Instances::new(store.clone(), ring.clone(), catalogue.clone());
        let keys = keys::KeyCache::new(store.clone(), keys::peppers(&store, &ring).await?);
        let public_url = config.public_url_at(config.listen);
        let events = Arc::new(events::Events::new(store.clone(), ring.clone(), public_url));
        let driver = driver::Handle::new(store.clone(), instances.clone(), http, &config, events.clone());
        let oidc = oidc::Oidc::build(&config, &clock)?;
        let inbound = Inbound::new(clock.clone(), config.inbound_per_key);
        Ok(Arc::new(Self {
            store,
            clock,
            config: Arc::new(config),
            ring,
            catalogue,
            instances,
            keys,
            members: members::MemberCache::default(),
            oidc,
            attempts: crate::console::session::Attempts::default(),
            driver,
            inbound,
            events,
            clients: clients::Clients::default(),
            refusals: records::Refusals::default(),
            watchers: Arc::new(tokio::sync::Semaphore::new(WATCHERS)),
            walks: directory::Walks::default(),
            twins: write::Twins::default(),
            plans: plan::plans(),
            probes: probe::Probes::default(),
        }))
    }

    /// The SCIM base URL of an instance, without a slash at its end.
    pub fn scim_base_url(&self, instance_id: &str) -> String {
        format!("{}/i/{instance_id}/scim/v2", self.config.public_url_at(self.config.listen))
    }

    /// A gateway on SQLite in a folder, with private targets allowed and a fixed admin token
    /// (`admin-token-for-tests`), for tests that hold the router in process.
    ///
    /// # Errors
    /// As [`App::build`].
    pub async fn for_tests(folder: &Path, clock: Clock) -> Result<Arc<Self>, StartError> {
        let overrides = Overrides {
            data_dir: Some(folder.to_owned()),
            admin_token: Some("admin-token-for-tests".to_owned().into()),
            allow_private_targets: Some(true),
            ..Overrides::default()
        };
        Self::build(Config::load(overrides)?, clock).await
    }
}

/// Seals everything in the store anew: under the ring's first key, opened with any of them. No gateway may run on the
/// database. How many secrets it was.
///
/// # Errors
/// A replica lives; something does not open, and then nothing was changed; the store's.
pub async fn rotate_secrets(store: &Store, ring: Arc<KeyRing>) -> Result<usize, StoreError> {
    store.write(Priority::Background, rotate::Rotate { to: ring }).await
}

/// Notes that a database was restored by its own means; the next start acts on it.
///
/// # Errors
/// A replica lives; the store's.
pub async fn mark_restored(store: &Store) -> Result<(), StoreError> {
    store.write(Priority::Background, restore::Mark).await
}

/// Compares the master key with the one that this database was set up with, and remembers it at the
/// first start: half of the instances broken in silence would be worse than no start.
async fn check_key(store: &Store, ring: &KeyRing) -> Result<(), StartError> {
    let sealed = store.keep_setting(rotate::KEY_CHECK, ring.seal_check()).await?;
    ring.open_check(&sealed).map_err(StartError::WrongKey)
}
