//! The connectors that an instance can be made with: those that are code, and manifests, which are data.
//!
//! What is built in is fixed. Manifests of the config folder are read at the start, uploaded ones are in the store and
//! seen by every replica as soon as they are committed: nothing about them is cached but what a text was read as, by
//! the text's digest. Each manifest has versions, and a version is one text for good. An instance holds to its version
//! until an admin moves it ([`crate::service::instances`]); so versions of the config folder are kept in the store as
//! well, where an instance finds its own after the file has changed.

mod folder;
mod manifests;
mod text;
mod tx;

use std::path::PathBuf;
use std::sync::Arc;

use connector_sdk::Entry;
use moka::sync::Cache;
use sea_orm::QueryResult;
use serde::Serialize;
use serde_json::{Value, json};

use super::instances::describe_extensions;
use crate::store::{Priority, Rows, Sql, Store, StoreError};

pub use folder::{FolderError, FromFile, read as read_folder};
pub use manifests::{ManifestText, Test, Uploaded};
pub(crate) use manifests::{build, checked, unsound};
use text::Own;
pub use text::{Format, MAX_TEXT, Problem, Text, digest_of, problems_json};
pub(crate) use tx::still_there;
use tx::{Keep, Kept};

/// How many texts are remembered as what they were read as.
const REMEMBERED: u64 = 1_000;

/// Where a connector comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// It is code of this gateway.
    BuiltIn,
    /// A manifest of the config folder.
    Config,
    /// A manifest that an admin uploaded.
    Uploaded,
}

impl Source {
    /// The word that the store and the API use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn => "built_in",
            Self::Config => "config",
            Self::Uploaded => "uploaded",
        }
    }

    fn of(word: &str) -> Self {
        if word == "config" { Self::Config } else { Self::Uploaded }
    }
}

/// A connector of the catalogue.
#[derive(Clone)]
pub struct Listed {
    /// What it is.
    pub entry: Arc<Entry>,
    /// Its version; none for one that is code.
    pub version: Option<String>,
    /// Where it comes from.
    pub source: Source,
}

impl Listed {
    /// One that is code.
    pub fn built_in(entry: Entry) -> Self {
        Self { entry: Arc::new(entry), version: None, source: Source::BuiltIn }
    }

    /// As the admin API and the shell show it.
    pub(crate) fn describe(&self) -> Value {
        let entry = &self.entry;
        let attributes: Vec<Value> =
            entry.attributes.iter().map(|(name, effect)| json!({"name": name, "description": effect})).collect();
        json!({
            "name": entry.name,
            "title": entry.title,
            "kind": entry.kind,
            "version": self.version,
            "source": self.source,
            "settings": entry.settings,
            "attributes": attributes,
            "extensions": describe_extensions(entry),
            "limits": entry.limits,
        })
    }
}

/// What a look for a connector finds: the connector, or why there is none, for the admin.
pub(crate) type Lookup = Result<Listed, String>;

/// The connectors there are.
pub struct Catalogue {
    store: Store,
    fixed: Vec<Listed>,
    /// The manifests of the config folder, in the order of their names.
    config: Vec<(PathBuf, Listed)>,
    read: Cache<String, Arc<Text>>,
}

impl Catalogue {
    /// A catalogue of these connectors and those manifests, which are put into the store.
    ///
    /// # Errors
    /// A version of the config folder has another text than it had, and an instance holds to it; the store's.
    pub async fn open(store: Store, built_in: Vec<Entry>, folder: Vec<FromFile>) -> Result<Self, FolderError> {
        let fixed = built_in.into_iter().map(Listed::built_in).collect();
        let read = Cache::builder().max_capacity(REMEMBERED).build();
        let mut config = Vec::with_capacity(folder.len());
        for file in folder {
            let FromFile { path, text } = file;
            let entry = text.entry().map_err(|problem| FolderError::file(&path, problem))?;
            let keep = Keep::new("config", Source::Config, &text);
            match store.write(Priority::Request, keep).await? {
                Kept::New | Kept::Same => {}
                Kept::Other(words) | Kept::Full(words) => {
                    return Err(FolderError::file(&path, Problem::of(&text, "version", words)));
                }
            }
            let version = Some(text.version().to_owned());
            read.insert(text.digest().to_owned(), Arc::new(text));
            config.push((path, Listed { entry, version, source: Source::Config }));
        }
        Ok(Self { store, fixed, config, read })
    }

    /// Whether a connector of that name is code.
    pub(crate) fn is_built_in(&self, name: &str) -> bool {
        self.fixed.iter().any(|one| one.entry.name == name)
    }

    /// The file of the config folder that a name belongs to, and its version.
    pub(crate) fn file_of(&self, name: &str) -> Option<(&PathBuf, &Listed)> {
        self.config.iter().find(|(_, one)| one.entry.name == name).map(|(path, one)| (path, one))
    }

    /// Every connector that an instance can be made with: those that are code, then manifests by name, each in the
    /// version that a new instance gets. A stored manifest that cannot be used any more is left out and logged.
    ///
    /// # Errors
    /// The store's.
    pub async fn all(&self) -> Result<Vec<Listed>, StoreError> {
        let mut all = self.fixed.clone();
        all.extend(self.config.iter().map(|(_, one)| one.clone()));
        for row in self.newest_uploaded(None).await? {
            let name: String = row.col("name")?;
            match self.of_row(&row).await? {
                Ok(listed) => all.push(listed),
                Err(words) => tracing::warn!(manifest = %name, problem = %words, "a manifest cannot be used any more"),
            }
        }
        Ok(all)
    }

    /// A connector by name: in this version, or in the one that a new instance gets.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn for_new(&self, name: &str, version: Option<&str>) -> Result<Lookup, StoreError> {
        let fixed = self.fixed.iter().find(|one| one.entry.name == name);
        let own = fixed.or_else(|| self.file_of(name).map(|(_, one)| one));
        match (own, version) {
            (Some(one), None) => return Ok(Ok(one.clone())),
            (Some(one), Some(version)) if one.source == Source::BuiltIn => {
                return Ok(Err(format!("The connector \"{name}\" is built in and has no version {version:?}.")));
            }
            _ => {}
        }
        let row = match version {
            None => self.newest_uploaded(Some(name)).await?.into_iter().next(),
            Some(version) => self.version(name, version).await?.filter(|row| !is_retired(row)),
        };
        match (row, version) {
            (Some(row), _) => self.of_row(&row).await,
            (None, Some(version)) => Ok(Err(format!(
                "There is no version {version:?} of the connector \"{name}\"; GET /manifests/{name} lists those there are."
            ))),
            (None, None) => {
                let names: Vec<&str> =
                    self.fixed.iter().chain(self.config.iter().map(|(_, one)| one)).map(|one| one.entry.name).collect();
                let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
                for row in self.newest_uploaded(None).await? {
                    names.push(row.col("name")?);
                }
                Ok(Err(format!("is not a connector of this gateway; there are: {}", names.join(", "))))
            }
        }
    }

    /// The connector of an instance, in the version that it holds to.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn of_instance(&self, name: &str, version: Option<&str>) -> Result<Lookup, StoreError> {
        let Some(version) = version else {
            let found = self.fixed.iter().find(|one| one.entry.name == name).cloned();
            return Ok(
                found.ok_or_else(|| format!("This gateway has no connector \"{name}\". Run a version that has it."))
            );
        };
        if let Some((_, one)) = self.file_of(name)
            && one.version.as_deref() == Some(version)
        {
            return Ok(Ok(one.clone()));
        }
        match self.version(name, version).await? {
            Some(row) => self.of_row(&row).await,
            None => Ok(Err(format!(
                "The manifest \"{name}\" has no version {version} any more. Upload it again, or move the instance to another version."
            ))),
        }
    }

    /// The row of a version, without its text.
    pub(crate) async fn version(&self, name: &str, version: &str) -> Result<Option<QueryResult>, StoreError> {
        let text = format!("SELECT {COLUMNS} FROM manifest WHERE name = $1 AND version = $2");
        self.store.reader().one(&text, vals![name, version]).await
    }

    /// The newest version of each uploaded manifest that is not retired, by name; names of the config folder and of
    /// connectors that are code are left out.
    async fn newest_uploaded(&self, name: Option<&str>) -> Result<Vec<QueryResult>, StoreError> {
        // Numbers are given to replicas in blocks, so only among rows of one moment do they tell which is newer.
        let newest = "NOT EXISTS (SELECT 1 FROM manifest n WHERE n.name = m.name AND n.source = 'uploaded' AND n.retired_at IS NULL \
             AND (n.created_at > m.created_at OR (n.created_at = m.created_at AND n.seq > m.seq)))";
        let living = "m.source = 'uploaded' AND m.retired_at IS NULL";
        let rows = match name {
            Some(name) => {
                let text = format!("SELECT {COLUMNS} FROM manifest m WHERE m.name = $1 AND {living} AND {newest}");
                self.store.reader().all(&text, vals![name]).await?
            }
            None => {
                let text = format!("SELECT {COLUMNS} FROM manifest m WHERE {living} AND {newest} ORDER BY m.name");
                self.store.reader().all(&text, vals![]).await?
            }
        };
        let mut free = Vec::with_capacity(rows.len());
        for row in rows {
            let name: String = row.col("name")?;
            if !self.is_built_in(&name) && self.file_of(&name).is_none() {
                free.push(row);
            }
        }
        Ok(free)
    }

    /// The connector of a row.
    pub(crate) async fn of_row(&self, row: &QueryResult) -> Result<Lookup, StoreError> {
        let version: String = row.col("version")?;
        let source = Source::of(&row.col::<String>("source")?);
        let unusable =
            |problem: &str| format!("Version {version} cannot be used by this version of scimgate: {problem}");
        let entry = match self.text_of(row).await? {
            Ok(text) => text.entry().map_err(|problem| unusable(&problem.to_string())),
            Err(problem) => Err(unusable(&problem)),
        };
        Ok(entry.map(|entry| Listed { entry, version: Some(version.clone()), source }))
    }

    /// What the text of a row was read as.
    pub(crate) async fn text_of(&self, row: &QueryResult) -> Result<Result<Arc<Text>, String>, StoreError> {
        let digest: String = row.col("digest")?;
        if let Some(known) = self.read.get(&digest) {
            return Ok(Ok(known));
        }
        let (text, format) = self.stored_text(row.col("seq")?).await?;
        let Some(format) = Format::of(&format) else {
            return Ok(Err(format!("it is in the format {format:?}")));
        };
        Ok(match Text::read(&text, format) {
            Ok(text) => {
                let text = Arc::new(text);
                self.read.insert(digest, Arc::clone(&text));
                Ok(text)
            }
            Err(problems) => Err(problems.first().map_or_else(String::new, ToString::to_string)),
        })
    }

    /// Remembers what a text was read as.
    pub(crate) fn remember(&self, text: &Arc<Text>) {
        self.read.insert(text.digest().to_owned(), Arc::clone(text));
    }

    /// A stored text and its format.
    pub(crate) async fn stored_text(&self, seq: i64) -> Result<(String, String), StoreError> {
        let row = self.store.reader().one("SELECT text, format FROM manifest WHERE seq = $1", vals![seq]).await?;
        let row = row.ok_or_else(|| StoreError::Unavailable("a manifest was purged meanwhile".to_owned()))?;
        Ok((row.col("text")?, row.col("format")?))
    }
}

/// What is read of a row; the text is long.
const COLUMNS: &str = "seq, name, version, source, format, digest, created_at, created_by, retired_at, retired_by";

fn is_retired(row: &QueryResult) -> bool {
    !matches!(row.col::<Option<i64>>("retired_at"), Ok(None))
}
