//! Integration instances: the cache that every request reads, and what admins do to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use connector_sdk::{Class, Connector, DriverKey, Entry, Secrets, SettingKind};
use engine::policy::{Adopt, Policy};
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::App;
use super::catalogue::{Catalogue, Lookup};
use super::queue::Queue;
use super::records::{AdminError, audit};
use super::types::{Instance, Mode};
use crate::keys::fill_random;
use crate::reconcile::RunKind;
use crate::secrets::{KeyRing, sealed_name};
use crate::store::{Priority, Rows, Sql, Store, StoreError};

mod list;
mod rotation;
mod schema;
#[cfg(test)]
mod tests;
mod tx;
mod upgrade;

use rotation::Rotation;
pub(crate) use schema::describe_extensions;
use tx::{Delete, Insert, Sealed, Update};
pub use upgrade::Upgrade;

/// How long another replica's change may go unseen.
const FRESH: Duration = Duration::from_secs(5);
/// More instances than one gateway serves at a time; the rest are read again.
const CACHED: u64 = 10_000;
const MAX_NAME: usize = 200;

const COLUMNS: &str = "seq, id, name, connector, mode, settings, policy, config_rev, driver_key, created_at, has_streams, declared, verify_since, rehearsed, connector_version";

/// A field of a credential, and what is stored of it.
type Ciphertext = (String, String);

/// The instances, ready to use.
#[derive(Clone)]
pub struct Instances {
    store: Store,
    ring: Arc<KeyRing>,
    catalogue: Arc<Catalogue>,
    fresh: Cache<i64, Arc<Instance>>,
    seqs: Cache<String, i64>,
    /// What was built last, kept past its freshness: an instance whose `config_rev` did not move
    /// keeps its connector, and with it what the connector caches.
    built: Cache<i64, Arc<Instance>>,
    queues: Cache<i64, Arc<Queue>>,
}

impl Instances {
    /// An empty cache over a store.
    pub fn new(store: Store, ring: Arc<KeyRing>, catalogue: Arc<Catalogue>) -> Self {
        let aging = || Cache::builder().max_capacity(CACHED).time_to_live(FRESH);
        Self {
            store,
            ring,
            catalogue,
            fresh: aging().build(),
            seqs: Cache::builder().max_capacity(CACHED).time_to_live(FRESH).build(),
            built: Cache::builder().max_capacity(CACHED).build(),
            queues: Cache::builder().max_capacity(CACHED).build(),
        }
    }

    /// The instance of a public id; none if there is none, or it was deleted.
    ///
    /// # Errors
    /// The store's.
    pub async fn get(&self, id: &str) -> Result<Option<Arc<Instance>>, StoreError> {
        if !is_id(id) {
            return Ok(None);
        }
        if let Some(seq) = self.seqs.get(id)
            && let Some(known) = self.fresh.get(&seq)
        {
            return Ok(Some(known));
        }
        self.load("id = $1", id.into()).await
    }

    /// The instance of a row.
    ///
    /// # Errors
    /// The store's.
    pub async fn by_seq(&self, seq: i64) -> Result<Option<Arc<Instance>>, StoreError> {
        if let Some(known) = self.fresh.get(&seq) {
            return Ok(Some(known));
        }
        self.load("seq = $1", seq.into()).await
    }

    /// Forgets an instance, so that the next look reads it again.
    pub fn invalidate(&self, seq: i64) {
        self.fresh.invalidate(&seq);
    }

    async fn load(&self, condition: &str, value: sea_orm::Value) -> Result<Option<Arc<Instance>>, StoreError> {
        let row = self
            .store
            .reader()
            .one(&format!("SELECT {COLUMNS} FROM instance WHERE {condition} AND deleted_at IS NULL"), vec![value])
            .await?;
        let Some(row) = row else { return Ok(None) };
        let seq: i64 = row.col("seq")?;
        let config_rev: i64 = row.col("config_rev")?;
        let instance =
            match self.built.get(&seq).filter(|built| built.config_rev == config_rev && built.connector.is_ok()) {
                Some(known) => known,
                None => {
                    let (name, version): (String, Option<String>) =
                        (row.col("connector")?, row.col("connector_version")?);
                    let listed = self.catalogue.of_instance(&name, version.as_deref()).await?;
                    let sealed = self.sealed(&[seq]).await?.remove(&seq).unwrap_or_default();
                    Arc::new(self.assemble(&row, listed, &sealed)?)
                }
            };
        self.keep(&instance);
        Ok(Some(instance))
    }

    fn keep(&self, instance: &Arc<Instance>) {
        self.built.insert(instance.seq, Arc::clone(instance));
        self.seqs.insert(instance.id.clone(), instance.seq);
        self.fresh.insert(instance.seq, Arc::clone(instance));
    }

    fn assemble(
        &self,
        row: &sea_orm::QueryResult,
        listed: Lookup,
        sealed: &[Ciphertext],
    ) -> Result<Instance, StoreError> {
        let seq: i64 = row.col("seq")?;
        let id: String = row.col("id")?;
        let connector_name: String = row.col("connector")?;
        let connector_version: Option<String> = row.col("connector_version")?;
        let entry = listed.as_ref().map(|listed| &*listed.entry);
        let mode: String = row.col("mode")?;
        let settings: Value = read_json(row, "settings")?;
        let declared = read_json(row, "declared")?;
        let (registry, schema_problem) = schema::usable(entry.ok(), &declared);
        if let Some(words) = &schema_problem {
            tracing::error!(instance = %id, problem = %words, "the declared schemas cannot be used");
        }
        let policy = Policy::parse(&read_json(row, "policy")?)
            .map_err(|(field, why)| StoreError::damaged(format!("instance.policy.{field}: {why}")))?;
        let connector = match entry {
            Err(words) => Err(words.clone()),
            Ok(entry) => match self.open(&id, &connector_name, sealed) {
                Err(words) => Err(words),
                Ok(secrets) => entry
                    .build(&settings, &secrets)
                    .map_err(|error| format!("The settings cannot be used any more: {error}")),
            },
        };
        if let Err(words) = &connector {
            tracing::error!(instance = %id, problem = %words, "an instance has no working connector");
        }
        Ok(Instance {
            seq,
            id,
            name: row.col("name")?,
            connector_name,
            connector_version,
            mode: Mode::parse(&mode).ok_or_else(|| StoreError::damaged(format!("instance.mode: {mode}")))?,
            settings,
            policy,
            config_rev: row.col("config_rev")?,
            driver_key: DriverKey::new(row.col::<String>("driver_key")?),
            created_at: row.col("created_at")?,
            verifying_since: row.col("verify_since")?,
            has_streams: row.col::<i16>("has_streams")? == 1,
            rehearsed: row.col::<i16>("rehearsed")? == 1,
            declared,
            registry,
            schema_problem,
            queue: self.queues.get_with(seq, Arc::default),
            connector,
        })
    }

    /// The credentials of an instance, or why they cannot be opened.
    async fn open_secrets(&self, seq: i64, id: &str, connector: &str) -> Result<Result<Secrets, String>, StoreError> {
        let sealed = self.sealed(&[seq]).await?.remove(&seq).unwrap_or_default();
        Ok(self.open(id, connector, &sealed))
    }

    fn open(&self, id: &str, connector: &str, sealed: &[Ciphertext]) -> Result<Secrets, String> {
        let mut opened = Vec::with_capacity(sealed.len());
        for (field, sealed) in sealed {
            let plain = self.ring.open(&sealed_name(id, connector, field), sealed);
            let plain = plain.map_err(|error| format!("{field}: {error}"))?;
            let text = std::str::from_utf8(&plain)
                .map_err(|_| format!("{field}: the stored credential is not text. Enter it again."))?;
            opened.push((field.clone(), SecretString::from(text.to_owned())));
        }
        Ok(Secrets::new(opened))
    }
}

fn read_json(row: &sea_orm::QueryResult, column: &str) -> Result<Value, StoreError> {
    serde_json::from_str(&row.col::<String>(column)?)
        .map_err(|error| StoreError::damaged(format!("instance.{column}: {error}")))
}

/// Whether a text can be the id of an instance: `in_` and 20 letters or digits.
pub(crate) fn is_id(text: &str) -> bool {
    text.strip_prefix("in_")
        .is_some_and(|rest| rest.len() == 20 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// A new id, 119 bits of the operating system's randomness: base URLs can't be guessed.
pub(crate) fn new_id() -> String {
    const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut id = String::from("in_");
    let mut bytes = [0_u8; 32];
    while id.len() < 23 {
        fill_random(&mut bytes);
        // Bytes of 248 and more would favour some letters.
        let fit = bytes.iter().filter(|byte| **byte < 248).take(23 - id.len());
        id.extend(fit.map(|byte| char::from(BASE62[usize::from(byte % 62)])));
    }
    id
}

/// What an admin gives to make an instance.
pub struct NewInstance {
    /// Its name for people.
    pub name: String,
    /// The connector's name.
    pub connector: String,
    /// The version of a connector that is a manifest; the newest where nothing is said.
    pub connector_version: Option<String>,
    /// The connector's settings.
    pub settings: Value,
    /// Its credentials.
    pub secrets: BTreeMap<String, SecretString>,
    /// What it does at first.
    pub mode: Mode,
    /// Its policy; null is the default.
    pub policy: Value,
    /// What it declares of schemas; null is nothing.
    pub schema: Value,
}

/// What an admin changes of an instance; what is `None` stays. Settings, credentials and policy are
/// merged (RFC 7396): a null takes a value away.
#[derive(Default)]
pub struct InstanceChange {
    /// Its name for people.
    pub name: Option<String>,
    /// What it does with what it is told.
    pub mode: Option<Mode>,
    /// Settings to change.
    pub settings: Option<Map<String, Value>>,
    /// Credentials to change.
    pub secrets: BTreeMap<String, Option<SecretString>>,
    /// Policy fields to change.
    pub policy: Option<Map<String, Value>>,
    /// Declarations to change, list by list; a null takes a list away, or all.
    pub schema: Option<Value>,
    /// The digest of the plan that enabling a rehearsing instance carries out.
    pub plan_digest: Option<String>,
    /// Whether a new credential is taken although it could not be found out that it is as good as the
    /// old one.
    pub force: bool,
}

impl App {
    /// Makes an instance; an enabled one starts its import.
    ///
    /// # Errors
    /// Input that cannot be used, naming the field; the store's.
    pub async fn create_instance(self: &Arc<Self>, actor: &str, new: NewInstance) -> Result<Arc<Instance>, AdminError> {
        self.create_instance_as(new_id(), actor, new).await
    }

    /// The same under an id that [`new_id`] made before, so that what is sent twice is made once.
    ///
    /// # Errors
    /// As above; the store's, if there is or was one with this id.
    pub(crate) async fn create_instance_as(
        self: &Arc<Self>,
        id: String,
        actor: &str,
        new: NewInstance,
    ) -> Result<Arc<Instance>, AdminError> {
        check_name(&new.name)?;
        let listed =
            self.catalogue.for_new(&new.connector, new.connector_version.as_deref()).await?.map_err(|words| {
                AdminError::invalid(
                    if new.connector_version.is_some() { "connector_version" } else { "connector" },
                    words,
                )
            })?;
        let entry = &*listed.entry;
        let policy = parse_policy(&new.policy)?;
        let secrets = Secrets::new(new.secrets.iter().map(|(name, secret)| (name.clone(), secret.clone())));
        let connector =
            entry.build(&new.settings, &secrets).map_err(|error| AdminError::invalid(error.field, error.message))?;
        check_policy(&policy, &*connector)?;
        let declared = schema::merged(&json!({}), &new.schema);
        schema::registry(Some(entry), &declared)?;
        let sealed = new.secrets.iter().map(|(field, secret)| self.seal(&id, &new.connector, field, secret)).collect();
        let seq = self
            .store
            .write(
                Priority::Request,
                Insert {
                    actor: actor.to_owned(),
                    id: id.clone(),
                    name: new.name,
                    connector: new.connector,
                    version: listed.version,
                    mode: new.mode,
                    settings: new.settings,
                    policy: json!(policy),
                    declared,
                    driver_key: connector.traits().driver_key.as_str().to_owned(),
                    sealed,
                },
            )
            .await?;
        let instance =
            self.instances.by_seq(seq).await?.ok_or_else(|| StoreError::damaged("a new instance is not there"))?;
        if matches!(instance.mode, Mode::Enabled | Mode::Rehearse) {
            self.first_import(&instance, actor).await;
        }
        Ok(instance)
    }

    /// Changes an instance.
    ///
    /// # Errors
    /// Input that cannot be used, naming the field; a change that links forbid, or that another
    /// change overtook (conflict); the store's.
    pub async fn update_instance(
        self: &Arc<Self>,
        actor: &str,
        old: &Arc<Instance>,
        change: InstanceChange,
    ) -> Result<Arc<Instance>, AdminError> {
        let listed = self.catalogue.of_instance(&old.connector_name, old.connector_version.as_deref()).await?;
        let entry = &*listed.map_err(AdminError::Conflict)?.entry;
        if let Some(name) = &change.name {
            check_name(name)?;
        }
        let mut settings = old.settings.clone();
        if let Some(patch) = &change.settings {
            merge(&mut settings, patch);
        }
        let policy = match &change.policy {
            None => old.policy.clone(),
            Some(patch) => {
                let mut whole = json!(old.policy);
                merge(&mut whole, patch);
                parse_policy(&whole)?
            }
        };
        let stored = self.instances.open_secrets(old.seq, &old.id, &old.connector_name).await?;
        let secrets = merge_secrets(entry, stored, &change.secrets)?;
        let identity = self.check_targets(entry, old, &settings, &secrets, &change)?;
        let connector =
            entry.build(&settings, &secrets).map_err(|error| AdminError::invalid(error.field, error.message))?;
        check_policy(&policy, &*connector)?;
        let mut sealed = Vec::new();
        let mut dropped = Vec::new();
        for (field, secret) in &change.secrets {
            match secret {
                Some(secret) => sealed.push(self.seal(&old.id, &old.connector_name, field, secret)),
                None => dropped.push(field.clone()),
            }
        }
        let declared = match &change.schema {
            None => None,
            Some(change) => {
                let declared = schema::merged(&old.declared, change);
                let to = schema::registry(Some(entry), &declared)?;
                Some(schema::Redeclared { from: Arc::clone(&old.registry), to: Arc::new(to), declared })
            }
        };
        let mode = change.mode.unwrap_or(old.mode);
        let planned = match mode == Mode::Enabled && old.rehearsed {
            true => {
                if settings != old.settings || json!(policy) != json!(old.policy) {
                    return Err(AdminError::Conflict(
                        "Enabling carries out a plan that was made under the present settings and policy. Change those first, read the plan again, then enable.".to_owned(),
                    ));
                }
                Some(self.check_plan(old, change.plan_digest.as_deref()).await?)
            }
            false => None,
        };
        let driver_key = connector.traits().driver_key.clone();
        // What a probe found holds on if nothing of what it asked with is another now.
        let kept = change.secrets.is_empty() && settings == old.settings;
        let rotation =
            if change.secrets.is_empty() { Rotation::None } else { self.rotate(old, mode, connector, &change).await? };
        self.store
            .write(
                Priority::Request,
                Update {
                    actor: actor.to_owned(),
                    old: Arc::clone(old),
                    name: change.name.unwrap_or_else(|| old.name.clone()),
                    mode,
                    settings,
                    listed: (policy.list_unmanaged != old.policy.list_unmanaged).then_some(policy.list_unmanaged),
                    policy: json!(policy),
                    declared,
                    driver_key: driver_key.as_str().to_owned(),
                    identity,
                    rotation,
                    sealed,
                    dropped,
                    planned,
                    version: None,
                },
            )
            .await?;
        if kept {
            self.probes.keep(old);
        }
        self.instances.invalidate(old.seq);
        let instance = self
            .instances
            .by_seq(old.seq)
            .await?
            .ok_or_else(|| AdminError::NotFound("The instance was deleted.".to_owned()))?;
        self.driver.wake();
        let reads = |mode| matches!(mode, Mode::Enabled | Mode::Rehearse);
        if reads(mode) && !reads(old.mode) && (instance.verifying_since.is_some() || !self.has_runs(old.seq).await?) {
            self.first_import(&instance, actor).await;
        }
        Ok(instance)
    }

    /// Deletes an instance: its keys die at once, its credentials are erased, what was still to be
    /// done is withdrawn. Accounts at the target stay as they are, and so does the record.
    ///
    /// # Errors
    /// A conflict while people still have to lose access at the target, unless forced; the store's.
    pub async fn delete_instance(&self, actor: &str, instance: &Instance, force: bool) -> Result<(), AdminError> {
        let keys = self
            .store
            .write(
                Priority::Request,
                Delete { actor: actor.to_owned(), seq: instance.seq, id: instance.id.clone(), force },
            )
            .await?;
        self.instances.invalidate(instance.seq);
        self.instances.built.invalidate(&instance.seq);
        for key in keys {
            self.keys.forget(&key);
        }
        self.driver.wake();
        Ok(())
    }

    /// The id of an instance, not deleted, of exactly this name.
    ///
    /// # Errors
    /// The store's.
    pub async fn instance_called(&self, name: &str) -> Result<Option<String>, StoreError> {
        let row = self
            .store
            .reader()
            .one("SELECT id FROM instance WHERE name = $1 AND deleted_at IS NULL ORDER BY seq LIMIT 1", vals![name])
            .await?;
        row.map(|row| row.col("id")).transpose()
    }

    /// The names of the credentials that an instance has.
    ///
    /// # Errors
    /// The store's.
    pub async fn secret_names(&self, seq: i64) -> Result<Vec<String>, StoreError> {
        let rows = self
            .store
            .reader()
            .all("SELECT field FROM sealed WHERE instance_seq = $1 ORDER BY field", vals![seq])
            .await?;
        rows.iter().map(|row| row.col("field")).collect()
    }

    /// What changes the target demands the credential again (or whoever may edit a URL could send
    /// the credential, which he may not read, to a server of his own). The settings changed that
    /// may not change once an account is linked.
    fn check_targets(
        &self,
        entry: &Entry,
        old: &Instance,
        settings: &Value,
        secrets: &Secrets,
        change: &InstanceChange,
    ) -> Result<Vec<&'static str>, AdminError> {
        let mut identity = Vec::new();
        for setting in &entry.settings {
            if setting.class == Class::Credential || settings.get(setting.name) == old.settings.get(setting.name) {
                continue;
            }
            if setting.class != Class::Identity && setting.kind != SettingKind::Url {
                continue;
            }
            if setting.class == Class::Identity {
                identity.push(setting.name);
            }
            if let Some(missing) = secrets.names().find(|name| !change.secrets.contains_key(*name)) {
                return Err(AdminError::invalid(
                    missing,
                    format!("must be given again, under `secrets`, in the request that changes {}", setting.name),
                ));
            }
        }
        Ok(identity)
    }

    fn seal(&self, id: &str, connector: &str, field: &str, secret: &SecretString) -> Sealed {
        Sealed {
            field: field.to_owned(),
            ciphertext: self.ring.seal(&sealed_name(id, connector, field), secret.expose_secret().as_bytes()),
            kek: self.ring.active_id().to_owned(),
        }
    }

    /// Whether an import or comparison of an instance was ever started.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn has_runs(&self, seq: i64) -> Result<bool, StoreError> {
        Ok(self
            .store
            .reader()
            .one("SELECT 1 AS one FROM run WHERE instance_seq = $1 LIMIT 1", vals![seq])
            .await?
            .is_some())
    }

    /// The instance is there and answers; an import that cannot start is repeated by the daily one.
    async fn first_import(self: &Arc<Self>, instance: &Arc<Instance>, actor: &str) {
        if let Err(error) = self.start_run(instance, RunKind::Import, actor).await {
            tracing::warn!(instance = %instance.id, %error, "the first import could not be started");
        }
    }
}

fn check_name(name: &str) -> Result<(), AdminError> {
    if name.trim().is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(AdminError::invalid(
            "name",
            format!("must be 1 to {MAX_NAME} bytes of text without control characters"),
        ));
    }
    Ok(())
}

fn parse_policy(value: &Value) -> Result<Policy, AdminError> {
    Policy::parse(value).map_err(|(field, why)| {
        let field = if field == "policy" { field } else { format!("policy.{field}") };
        AdminError::invalid(field, why)
    })
}

fn check_policy(policy: &Policy, connector: &dyn Connector) -> Result<(), AdminError> {
    if policy.list_unmanaged && !policy.settings().unmanaged_in_lists {
        return Err(AdminError::invalid(
            "policy.list_unmanaged",
            format!(
                "must be false with the dialect {}: that client deletes what it finds in lists and does not know",
                policy.dialect
            ),
        ));
    }
    if policy.adopt == Adopt::ByVerifiedEmail && !connector.traits().verified_emails {
        return Err(AdminError::invalid(
            "policy.adopt",
            "by_verified_email needs a target that tells verified addresses; this connector does not",
        ));
    }
    Ok(())
}

/// RFC 7396, one level deep: settings and policies hold no nested objects that are merged.
fn merge(whole: &mut Value, patch: &Map<String, Value>) {
    let Some(fields) = whole.as_object_mut() else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            fields.insert(name.clone(), value.clone());
        }
    }
}

/// The stored credentials with the given ones over them. What cannot be opened must be given again.
fn merge_secrets(
    entry: &Entry,
    stored: Result<Secrets, String>,
    given: &BTreeMap<String, Option<SecretString>>,
) -> Result<Secrets, AdminError> {
    let mut merged: BTreeMap<String, SecretString> = BTreeMap::new();
    match stored {
        Ok(stored) => {
            for name in stored.names() {
                merged.extend(stored.get(name).map(|secret| (name.to_owned(), secret.clone())));
            }
        }
        Err(words) => {
            let lacking = entry.settings.iter().find(|setting| {
                setting.class == Class::Credential && setting.required && !given.contains_key(setting.name)
            });
            if let Some(setting) = lacking {
                return Err(AdminError::invalid(
                    setting.name,
                    format!("must be given again, under `secrets`: {words}"),
                ));
            }
        }
    }
    for (name, secret) in given {
        match secret {
            Some(secret) => merged.insert(name.clone(), secret.clone()),
            None => merged.remove(name),
        };
    }
    Ok(Secrets::new(merged))
}
