//! Moving an instance to another version of its manifest.
//!
//! It is checked as a change of settings is: the settings have to fit the new version, and what says which target it is
//! cannot move once accounts are linked. A version that leads to another target, or counts under another driver key,
//! demands the credentials again: or whoever may upload a manifest could send credentials, which he may not read, to a
//! server of his own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use connector_sdk::{Class, Connector, DriverKey, Entry, Secrets};
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::schema::{Redeclared, registry};
use super::{AdminError, App, Instance, InstanceChange, Rotation, Update, check_policy, merge, merge_secrets};
use crate::store::{Priority, Sql, StoreError};

/// To which version an instance is moved, and what changes with it.
#[derive(Default)]
pub struct Upgrade {
    /// The version.
    pub version: String,
    /// Settings to change with it; null takes one away.
    pub settings: Option<Map<String, Value>>,
    /// Credentials to change with it.
    pub secrets: BTreeMap<String, Option<SecretString>>,
    /// Whether it is only shown what would change.
    pub dry_run: bool,
    /// Whether a new credential is taken although it could not be found out that it is as good as the old one.
    pub force: bool,
}

/// What a change of the driver key is called in a refusal.
const MOVED: &str = "The driver key of the new version";

impl App {
    /// Moves an instance to another version of its manifest: newer or older. What changes by it; with `dry_run` only
    /// that.
    ///
    /// # Errors
    /// A version that is not there, settings that do not fit it, naming the field; a change that links forbid, or that
    /// another change overtook (conflict); the store's.
    pub async fn upgrade_instance(
        self: &Arc<Self>,
        actor: &str,
        old: &Arc<Instance>,
        upgrade: Upgrade,
    ) -> Result<(Arc<Instance>, Value), AdminError> {
        let Some(from) = &old.connector_version else {
            return Err(AdminError::Conflict(format!(
                "The connector {} is built in: it has no versions beside that of the gateway.",
                old.connector_name
            )));
        };
        if *from == upgrade.version {
            return Ok((Arc::clone(old), json!({"from": from, "to": from})));
        }
        let listed = self.catalogue.for_new(&old.connector_name, Some(&upgrade.version)).await?;
        let listed = listed.map_err(|words| AdminError::invalid("version", words))?;
        let entry = &*listed.entry;
        // The version before may be unusable, which is a reason to move.
        let before = self.catalogue.of_instance(&old.connector_name, Some(from)).await?.ok();
        let mut settings = old.settings.clone();
        if let Some(patch) = &upgrade.settings {
            merge(&mut settings, patch);
        }
        let stored = self.instances.open_secrets(old.seq, &old.id, &old.connector_name).await?;
        let kept = stored.clone().ok();
        let secrets = merge_secrets(entry, stored, &upgrade.secrets)?;
        let change = InstanceChange { secrets: upgrade.secrets, force: upgrade.force, ..InstanceChange::default() };
        let mut identity = self.check_targets(entry, old, &settings, &secrets, &change)?;
        if let Some(before) = &before {
            identity.extend(no_longer_identity(&before.entry, entry));
        }
        let connector =
            entry.build(&settings, &secrets).map_err(|error| AdminError::invalid(error.field, error.message))?;
        let driver_key = connector.traits().driver_key.clone();
        // A new credential alone may have another driver key, too; that is no move.
        let own = match &kept {
            Some(kept) if !change.secrets.is_empty() => key_under(entry, &settings, kept),
            _ => Some(driver_key.clone()),
        };
        let moved = own.as_ref() != Some(&old.driver_key);
        let known = self.catalogue.origins(&old.connector_name, from, &old.settings).await?.unwrap_or_default();
        let called = self.catalogue.origins(&old.connector_name, &upgrade.version, &settings).await?;
        let elsewhere = moved || called.is_none_or(|called| !called.is_subset(&known));
        if elsewhere && let Some(missing) = secrets.names().find(|name| !change.secrets.contains_key(*name)) {
            return Err(AdminError::invalid(
                missing,
                "must be given again, under `secrets`: the new version calls another target, or counts its limits otherwise",
            ));
        }
        if moved {
            identity.push(MOVED);
        }
        check_policy(&old.policy, &*connector)?;
        let to = registry(Some(entry), &old.declared)?;
        let changes = json!({
            "from": from,
            "to": upgrade.version,
            "settings": settings_changes(before.as_ref().map(|listed| &*listed.entry), entry),
            "traits": traits_changes(old, &*connector),
            "driver_key": (driver_key != old.driver_key).then(|| json!({"from": old.driver_key, "to": driver_key})),
            "schemas": to != *old.registry,
        });
        // Before anything is sent to another target; looked at again where it is stored.
        if let Some(setting) = identity.first()
            && self.is_linked(old.seq).await?
        {
            return Err(super::tx::linked(setting));
        }
        if upgrade.dry_run {
            return Ok((Arc::clone(old), changes));
        }
        let mut sealed = Vec::new();
        let mut dropped = Vec::new();
        for (field, secret) in &change.secrets {
            match secret {
                Some(secret) => sealed.push(self.seal(&old.id, &old.connector_name, field, secret)),
                None => dropped.push(field.clone()),
            }
        }
        let declared = (to != *old.registry).then(|| Redeclared {
            from: Arc::clone(&old.registry),
            to: Arc::new(to),
            declared: old.declared.clone(),
        });
        let rotation = match change.secrets.is_empty() {
            true => Rotation::None,
            false => self.rotate(old, old.mode, connector, &change).await?,
        };
        let update = Update {
            actor: actor.to_owned(),
            old: Arc::clone(old),
            name: old.name.clone(),
            mode: old.mode,
            settings,
            policy: json!(old.policy),
            declared,
            listed: None,
            driver_key: driver_key.as_str().to_owned(),
            identity,
            rotation,
            sealed,
            dropped,
            planned: None,
            version: Some(upgrade.version),
        };
        self.store.write(Priority::Request, update).await?;
        self.instances.invalidate(old.seq);
        let instance = self.instances.by_seq(old.seq).await?;
        let instance = instance.ok_or_else(|| AdminError::NotFound("The instance was deleted.".to_owned()))?;
        self.driver.wake();
        Ok((instance, changes))
    }

    async fn is_linked(&self, seq: i64) -> Result<bool, StoreError> {
        Ok(self.store.reader().one(super::tx::LINKED, vals![seq]).await?.is_some())
    }
}

/// The driver key of a version with these credentials, where it can be built with them.
fn key_under(entry: &Entry, settings: &Value, secrets: &Secrets) -> Option<DriverKey> {
    entry.build(settings, secrets).ok().map(|connector| connector.traits().driver_key.clone())
}

/// Settings that said which target it is, and in the new version do not.
fn no_longer_identity(before: &Entry, after: &Entry) -> Vec<&'static str> {
    let says = |entry: &Entry, name: &str| {
        entry.settings.iter().any(|setting| setting.name == name && setting.class == Class::Identity)
    };
    before
        .settings
        .iter()
        .filter(|setting| setting.class == Class::Identity && !says(after, setting.name))
        .map(|setting| setting.name)
        .collect()
}

/// Which settings and credentials come, go, or become required.
fn settings_changes(before: Option<&Entry>, after: &Entry) -> Value {
    let names = |entry: &Entry| -> BTreeSet<&'static str> { entry.settings.iter().map(|one| one.name).collect() };
    let (old, new) = (before.map(names).unwrap_or_default(), names(after));
    let required = |entry: &Entry, name: &str| entry.settings.iter().any(|one| one.name == name && one.required);
    let newly: Vec<_> = new
        .iter()
        .filter(|name| required(after, name) && !before.is_some_and(|before| required(before, name)))
        .collect();
    json!({
        "added": new.difference(&old).collect::<Vec<_>>(),
        "removed": old.difference(&new).collect::<Vec<_>>(),
        "newly_required": newly,
    })
}

/// What the connector can do from now on, where that differs.
fn traits_changes(old: &Instance, after: &dyn Connector) -> Value {
    let fields = |connector: &dyn Connector| match json!(connector.traits()) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let before = old.connector.as_ref().map(|connector| fields(&**connector)).unwrap_or_default();
    let changed: Map<String, Value> = fields(after)
        .into_iter()
        .filter(|(name, value)| name != "driver_key" && before.get(name) != Some(value))
        .map(|(name, value)| {
            let from = before.get(&name).cloned().unwrap_or(Value::Null);
            (name, json!({"from": from, "to": value}))
        })
        .collect();
    Value::Object(changed)
}
