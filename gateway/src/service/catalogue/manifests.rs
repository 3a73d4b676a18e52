//! What admins do with manifests.

use std::collections::BTreeMap;
use std::sync::Arc;

use connector_sdk::{Class, Entry, Secrets, SettingKind};
use declarative::Sample;
use sea_orm::QueryResult;
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::text::{Format, Own, Problem, Text, problems_json};
use super::tx::{Keep, Kept, Retire};
use super::{COLUMNS, Source};
use crate::driver::trial::{self, Report};
use crate::service::App;
use crate::service::directory::time;
use crate::service::records::AdminError;
use crate::store::{Priority, Rows, Sql, StoreError};

/// A manifest as it is given: its text, or the name of one that is there.
#[derive(Clone, Debug, Default)]
pub struct ManifestText {
    /// The text.
    pub text: Option<String>,
    /// How it is written; guessed where nothing is said.
    pub format: Option<Format>,
    /// In place of a text: the name of a manifest of the catalogue.
    pub name: Option<String>,
    /// With a name: the version; the one that a new instance gets where nothing is said.
    pub version: Option<String>,
}

/// What became of an upload.
pub struct Uploaded {
    /// False where the same version with the same text was there.
    pub new: bool,
    /// The version, as [`App::manifest_version`] shows it, without its text.
    pub shown: Value,
}

/// How a manifest is tried at its target.
pub struct Test {
    /// Which.
    pub manifest: ManifestText,
    /// Settings of the connector.
    pub settings: Value,
    /// Its credentials.
    pub secrets: BTreeMap<String, SecretString>,
    /// Whether a person and a group are made and taken away again.
    pub allow_writes: bool,
    /// SCIM attributes that the person shall have.
    pub person: Map<String, Value>,
}

impl App {
    /// Reads a manifest that was given.
    ///
    /// # Errors
    /// Everything that is wrong with it; there is none of that name.
    pub async fn read_manifest(&self, given: ManifestText) -> Result<Arc<Text>, AdminError> {
        match (given.text, given.name) {
            (Some(_), Some(_)) => {
                Err(AdminError::invalid("name", "is for a manifest that is there; this one has a text"))
            }
            (Some(text), None) => {
                // A text is read within bounds, but they are not those of a task that others wait for.
                let read = tokio::task::spawn_blocking(move || {
                    let format = given.format.unwrap_or_else(|| Format::guess(&text));
                    Text::read(&text, format)
                });
                match read.await {
                    Ok(Ok(text)) => Ok(Arc::new(text)),
                    Ok(Err(problems)) => Err(AdminError::Manifest(problems)),
                    Err(error) => {
                        tracing::error!(%error, "reading a manifest made the gateway panic");
                        Err(AdminError::invalid(
                            "text",
                            "could not be read: the gateway made a mistake, which is in its log",
                        ))
                    }
                }
            }
            (None, Some(name)) => {
                let row = self.manifest_row(&name, given.version.as_deref()).await?;
                let read = self.catalogue.text_of(&row).await?;
                read.map_err(|words| {
                    AdminError::Conflict(format!("It cannot be used by this version of scimgate: {words}"))
                })
            }
            (None, None) => Err(AdminError::invalid(
                "text",
                "is missing; give the manifest's text, or the name of one that is there",
            )),
        }
    }

    /// The row of a version, or of the version that a new instance gets.
    async fn manifest_row(&self, name: &str, version: Option<&str>) -> Result<QueryResult, AdminError> {
        let nothing = || AdminError::NotFound("There is no such manifest, or no such version of it.".to_owned());
        let version = match version {
            Some(version) => version.to_owned(),
            None => {
                let found = self.catalogue.for_new(name, None).await?.map_err(|_| nothing())?;
                found.version.ok_or_else(|| {
                    AdminError::NotFound(format!("The connector {name} is built in; it has no manifest."))
                })?
            }
        };
        self.catalogue.version(name, &version).await?.ok_or_else(nothing)
    }

    /// Keeps a manifest. The same text again is the same version.
    ///
    /// # Errors
    /// Everything that is wrong with it; a name that is taken, a version that has another text (conflict).
    pub async fn upload_manifest(&self, actor: &str, given: ManifestText) -> Result<Uploaded, AdminError> {
        if given.text.is_none() {
            return Err(AdminError::invalid("text", "is missing"));
        }
        let text = self.read_manifest(given).await?;
        let name = text.name();
        if self.catalogue.is_built_in(name) {
            return Err(AdminError::Conflict(format!(
                "{name} is a connector that is built in. Give the manifest another name."
            )));
        }
        if let Some((path, _)) = self.catalogue.file_of(name) {
            return Err(AdminError::Conflict(format!(
                "{name} is a manifest of the config folder ({}). Change it there, or give this one another name.",
                path.file_name().unwrap_or_default().to_string_lossy()
            )));
        }
        text.entry().map_err(|problem| AdminError::Manifest(vec![problem]))?;
        let new = match self.store.write(Priority::Request, Keep::new(actor, Source::Uploaded, &text)).await? {
            Kept::New => true,
            Kept::Same => false,
            Kept::Other(words) | Kept::Full(words) => return Err(AdminError::Conflict(words)),
        };
        let row = self.manifest_row(name, Some(text.version())).await?;
        self.catalogue.remember(&text);
        Ok(Uploaded { new, shown: self.shown_version(&row, false).await? })
    }

    /// The manifests behind a name, by name, and whether there are more.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_manifests(&self, after: &str, limit: usize) -> Result<(Vec<Value>, bool), StoreError> {
        let mut items = Vec::new();
        let mut more = false;
        for listed in self.catalogue.all().await? {
            let Some(version) = listed.version.as_deref().filter(|_| listed.entry.name > after) else { continue };
            if items.len() == limit {
                more = true;
                break;
            }
            let name = listed.entry.name;
            let counts = "SELECT (SELECT COUNT(*) FROM manifest WHERE name = $1 AND retired_at IS NULL) AS versions, \
                 (SELECT COUNT(*) FROM instance WHERE connector = $1 AND connector_version IS NOT NULL AND deleted_at IS NULL) AS instances, \
                 (SELECT created_at FROM manifest WHERE name = $1 AND version = $2) AS created_at";
            let counts = self.store.reader().one(counts, vals![name, version]).await?;
            let Some(counts) = counts else { continue };
            items.push(json!({
                "name": name,
                "title": listed.entry.title,
                "kind": listed.entry.kind,
                "source": listed.source,
                "version": version,
                "versions": counts.col::<i64>("versions")?,
                "instances": counts.col::<i64>("instances")?,
                "created_at": counts.col::<Option<i64>>("created_at")?.map(time),
            }));
        }
        Ok((items, more))
    }

    /// A manifest: its versions, and who holds to which.
    ///
    /// # Errors
    /// There is none of that name; the store's.
    pub async fn manifest(&self, name: &str) -> Result<Value, AdminError> {
        let text = format!("SELECT {COLUMNS} FROM manifest WHERE name = $1 ORDER BY created_at DESC, seq DESC");
        let rows = self.store.reader().all(&text, vals![name]).await?;
        if rows.is_empty() {
            return Err(AdminError::NotFound("There is no such manifest.".to_owned()));
        }
        let current = self.catalogue.for_new(name, None).await?.ok().filter(|one| one.version.is_some());
        let mut versions = Vec::with_capacity(rows.len());
        for row in &rows {
            versions.push(self.shown_version(row, false).await?);
        }
        Ok(json!({
            "name": name,
            "title": current.as_ref().map(|one| one.entry.title),
            "kind": current.as_ref().map(|one| one.entry.kind),
            "source": current.as_ref().map(|one| one.source),
            "version": current.as_ref().and_then(|one| one.version.as_deref()),
            "versions": versions,
        }))
    }

    /// One version with its text and what it describes.
    ///
    /// # Errors
    /// There is none; the store's.
    pub async fn manifest_version(&self, name: &str, version: &str) -> Result<Value, AdminError> {
        let row = self.manifest_row(name, Some(version)).await?;
        Ok(self.shown_version(&row, true).await?)
    }

    /// A version; `whole` is with its text and what it describes.
    async fn shown_version(&self, row: &QueryResult, whole: bool) -> Result<Value, StoreError> {
        let (name, version): (String, String) = (row.col("name")?, row.col("version")?);
        let users = "SELECT id, name, mode FROM instance WHERE connector = $1 AND connector_version = $2 AND deleted_at IS NULL ORDER BY seq LIMIT 500";
        let users = self.store.reader().all(users, vals![name.as_str(), version.as_str()]).await?;
        let count =
            "SELECT COUNT(*) AS n FROM instance WHERE connector = $1 AND connector_version = $2 AND deleted_at IS NULL";
        let count = self.store.reader().one(count, vals![name.as_str(), version.as_str()]).await?;
        let count = count.map_or(Ok(0), |row| row.col::<i64>("n"))?;
        let mut instances = Vec::with_capacity(users.len());
        for user in &users {
            instances.push(json!({
                "id": user.col::<String>("id")?,
                "name": user.col::<String>("name")?,
                "mode": user.col::<String>("mode")?,
            }));
        }
        let mut shown = json!({
            "name": name,
            "version": version,
            "source": row.col::<String>("source")?,
            "format": row.col::<String>("format")?,
            "digest": row.col::<String>("digest")?,
            "created_at": time(row.col("created_at")?),
            "created_by": row.col::<String>("created_by")?,
            "retired_at": row.col::<Option<i64>>("retired_at")?.map(time),
            "retired_by": row.col::<Option<String>>("retired_by")?,
            "instances": instances,
            "instance_count": count,
        });
        if whole {
            shown["text"] = json!(self.catalogue.stored_text(row.col("seq")?).await?.0);
            match self.catalogue.of_row(row).await? {
                Ok(listed) => {
                    shown["connector"] = listed.describe();
                    shown["about"] = json!(listed.entry.about);
                    shown["problem"] = Value::Null;
                }
                Err(words) => shown["problem"] = json!(words),
            }
        }
        Ok(shown)
    }

    /// Takes a version of a manifest away, or all of them.
    ///
    /// # Errors
    /// There is none; an instance holds to it, or it lies in the config folder (conflict); the store's.
    pub async fn delete_manifest(&self, actor: &str, name: &str, version: Option<&str>) -> Result<(), AdminError> {
        if let Some((path, listed)) = self.catalogue.file_of(name)
            && version.is_none_or(|version| listed.version.as_deref() == Some(version))
        {
            return Err(AdminError::Conflict(format!(
                "It lies in the config folder: take the file {} away and start the gateway again.",
                path.file_name().unwrap_or_default().to_string_lossy()
            )));
        }
        let retire = Retire { actor: actor.to_owned(), name: name.to_owned(), version: version.map(str::to_owned) };
        self.store.write(Priority::Request, retire).await
    }

    /// What a manifest would be, and what is wrong with it. Nothing is stored.
    ///
    /// # Errors
    /// No text was given.
    pub async fn check_manifest(&self, given: ManifestText) -> Result<Value, AdminError> {
        let text = match self.read_manifest(given).await {
            Ok(text) => text,
            Err(AdminError::Manifest(problems)) => return Ok(unsound(&problems)),
            Err(error) => return Err(error),
        };
        let name = text.name();
        if self.catalogue.is_built_in(name) {
            let words = format!("{name} is built in; choose another name");
            return Ok(unsound(&[Problem::of(&text, "name", words)]));
        }
        Ok(checked(&text))
    }

    /// Every request of a manifest, rendered without sending anything.
    ///
    /// # Errors
    /// Everything that is wrong with the manifest.
    pub async fn preview_manifest(
        &self,
        given: ManifestText,
        settings: &Value,
        sample: &Sample,
    ) -> Result<Value, AdminError> {
        let text = self.read_manifest(given).await?;
        let entry = text.entry().map_err(|problem| AdminError::Manifest(vec![problem]))?;
        Ok(json!({
            "name": text.name(),
            "version": text.version(),
            "requests": text.manifest().preview(&filled(&entry, settings), sample),
        }))
    }

    /// Tries a manifest at its target, by the ordinary way there.
    ///
    /// # Errors
    /// Everything that is wrong with the manifest; settings that it cannot use; the store's.
    pub async fn test_manifest(&self, actor: &str, test: Test) -> Result<Report, AdminError> {
        let text = self.read_manifest(test.manifest).await?;
        let entry = text.entry().map_err(|problem| AdminError::Manifest(vec![problem]))?;
        let connector = build(&entry, &test.settings, test.secrets)?;
        let plan = trial::Plan { allow_writes: test.allow_writes, person: test.person, label: trial::label() };
        tracing::info!(actor, manifest = text.name(), version = text.version(), writes = plan.allow_writes, label = %plan.label, "a manifest is tried at its target");
        if plan.allow_writes {
            let tried = Tried {
                actor: actor.to_owned(),
                name: text.name().to_owned(),
                digest: text.digest().to_owned(),
                label: plan.label.clone(),
            };
            self.store.write(Priority::Request, tried).await?;
        }
        Ok(self.driver.try_out(connector, plan).await?)
    }
}

/// Builds a connector for a trial.
///
/// # Errors
/// Names the setting or credential that cannot be used.
pub(crate) fn build(
    entry: &Entry,
    settings: &Value,
    secrets: BTreeMap<String, SecretString>,
) -> Result<Arc<dyn connector_sdk::Connector>, AdminError> {
    entry.build(settings, &Secrets::new(secrets)).map_err(|error| AdminError::invalid(error.field, error.message))
}

/// Settings with something in place of those that are required and lacking, so that requests can be rendered.
pub(crate) fn filled(entry: &Entry, settings: &Value) -> Value {
    let mut whole = settings.as_object().cloned().unwrap_or_default();
    for setting in entry.settings.iter().filter(|one| one.required && one.class != Class::Credential) {
        whole.entry(setting.name).or_insert_with(|| match &setting.kind {
            SettingKind::Url => json!("https://target.example.com"),
            SettingKind::Text => json!(setting.name),
            SettingKind::Number => json!(1),
            SettingKind::Flag => json!(false),
            SettingKind::Choice { values } => json!(values.first()),
        });
    }
    Value::Object(whole)
}

/// What a check of a sound manifest says.
pub(crate) fn checked(text: &Text) -> Value {
    let entry = match text.entry() {
        Ok(entry) => entry,
        Err(problem) => return unsound(&[problem]),
    };
    let settings = filled(&entry, &json!({}));
    let secrets = entry.settings.iter().filter(|one| one.class == Class::Credential);
    let secrets = secrets.map(|one| (one.name.to_owned(), SecretString::from("sample")));
    let built = entry.build(&settings, &Secrets::new(secrets)).ok();
    let mut traits = built.map(|connector| json!(connector.traits())).unwrap_or_default();
    if let Some(traits) = traits.as_object_mut() {
        traits.remove("driver_key");
    }
    let operations: Vec<Value> = text
        .manifest()
        .preview(&settings, &Sample::default())
        .into_iter()
        .map(|one| json!({"operation": one.operation, "call": one.call, "method": one.method, "writes": one.writes}))
        .collect();
    json!({
        "ok": true,
        "errors": [],
        "name": text.name(),
        "title": entry.title,
        "version": text.version(),
        "kind": entry.kind,
        "digest": text.digest(),
        "operations": operations,
        "capabilities": traits,
        "settings": entry.settings,
        "cannot": entry.about.cannot,
        "limits": entry.limits,
    })
}

/// What a check of one that is not says.
pub(crate) fn unsound(problems: &[Problem]) -> Value {
    json!({"ok": false, "errors": problems_json(problems)})
}

/// Puts on record that a manifest was tried with writes.
struct Tried {
    actor: String,
    name: String,
    digest: String,
    label: String,
}

#[async_trait::async_trait]
impl crate::store::Unit for Tried {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &crate::store::Tx<'_>) -> Result<(), StoreError> {
        let detail = json!({"digest": self.digest, "label": self.label});
        crate::service::records::audit(tx, &self.actor, "manifest.test", &self.name, &detail).await
    }
}
