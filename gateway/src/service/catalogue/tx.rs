//! The transactions of manifests.

use async_trait::async_trait;
use serde_json::json;

use super::{Source, Text};
use crate::service::records::{AdminError, audit};
use crate::store::{Rows, Sql, StoreError, Tx, Unit};

/// Versions that are kept at once, all manifests together: each is read and listed.
const MOST: i64 = 1_000;
/// Instances that a refusal names.
const NAMED: i64 = 5;

/// Keeps a version of a manifest.
pub(super) struct Keep {
    actor: String,
    source: Source,
    name: String,
    version: String,
    format: &'static str,
    text: String,
    digest: String,
}

/// What became of a version that was to be kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is new.
    New,
    /// It is there with this text.
    Same,
    /// It is there with another text; for the admin.
    Other(String),
    /// There are too many; for the admin.
    Full(String),
}

impl Keep {
    pub(super) fn new(actor: &str, source: Source, text: &Text) -> Self {
        Self {
            actor: actor.to_owned(),
            source,
            name: text.name().to_owned(),
            version: text.version().to_owned(),
            format: text.format().as_str(),
            text: text.text().to_owned(),
            digest: text.digest().to_owned(),
        }
    }

    async fn audit(&self, tx: &Tx<'_>, act: &str) -> Result<(), StoreError> {
        let detail = json!({"version": self.version, "digest": self.digest, "source": self.source});
        audit(tx, &self.actor, act, &self.name, &detail).await
    }
}

#[async_trait]
impl Unit for Keep {
    type Out = Kept;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Kept, StoreError> {
        let (name, version) = (self.name.as_str(), self.version.as_str());
        let found = format!(
            "SELECT seq, digest, source, retired_at FROM manifest WHERE name = $1 AND version = $2{}",
            tx.conn.for_update()
        );
        let Some(row) = tx.conn.one(&found, vals![name, version]).await? else {
            let count = "SELECT COUNT(*) AS n FROM manifest WHERE retired_at IS NULL";
            let living = tx.conn.one(count, vals![]).await?.map_or(Ok(0), |row| row.col::<i64>("n"))?;
            if living >= MOST {
                return Ok(Kept::Full(format!(
                    "There are {living} versions of manifests already, and no more are kept. Delete versions that no instance uses."
                )));
            }
            let added = tx
                .conn
                .run(
                    "INSERT INTO manifest (seq, name, version, source, format, text, digest, created_at, created_by) \
                     VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9) ON CONFLICT (name, version) DO NOTHING",
                    vals![
                        tx.seq()?,
                        name,
                        version,
                        self.source.as_str(),
                        self.format,
                        self.text.as_str(),
                        self.digest.as_str(),
                        tx.now,
                        self.actor.as_str()
                    ],
                )
                .await?;
            if added == 0 {
                return Err(StoreError::Busy("another replica keeps the same version at this moment".to_owned()));
            }
            self.audit(tx, "manifest.upload").await?;
            return Ok(Kept::New);
        };
        let seq: i64 = row.col("seq")?;
        if row.col::<String>("digest")? == self.digest {
            if row.col::<Option<i64>>("retired_at")?.is_some() {
                let back = "UPDATE manifest SET retired_at = NULL, retired_by = NULL, source = $2 WHERE seq = $1";
                tx.conn.run(back, vals![seq, self.source.as_str()]).await?;
                self.audit(tx, "manifest.upload").await?;
            }
            return Ok(Kept::Same);
        }
        // A file is edited where it lies; while nobody holds to what it was, that is no other version.
        let users = users(tx, name, Some(version)).await?;
        if self.source == Source::Config && row.col::<String>("source")? == "config" && users.is_empty() {
            tx.conn
                .run(
                    "UPDATE manifest SET text = $2, format = $3, digest = $4, created_at = $5, retired_at = NULL, retired_by = NULL WHERE seq = $1",
                    vals![seq, self.text.as_str(), self.format, self.digest.as_str(), tx.now],
                )
                .await?;
            self.audit(tx, "manifest.upload").await?;
            return Ok(Kept::New);
        }
        let held = match users.as_slice() {
            [] => String::new(),
            some => format!(", and instances hold to that ({})", some.join(", ")),
        };
        Ok(Kept::Other(format!(
            "version {version} of {name} was stored before with another text{held}. Give the changed manifest another version."
        )))
    }
}

/// Takes versions of a manifest away: they can be used by nobody new.
pub(super) struct Retire {
    pub(super) actor: String,
    pub(super) name: String,
    /// One, or all.
    pub(super) version: Option<String>,
}

#[async_trait]
impl Unit for Retire {
    type Out = ();
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), AdminError> {
        let (name, version) = (self.name.as_str(), self.version.as_deref());
        // First, so that whoever makes an instance of it at this moment waits, or has come before.
        let gone = tx
            .conn
            .run(
                "UPDATE manifest SET retired_at = $3, retired_by = $4 WHERE name = $1 AND (version = $2 OR $2 IS NULL) AND retired_at IS NULL",
                vals![name, version.map(str::to_owned), tx.now, self.actor.as_str()],
            )
            .await?;
        if gone == 0 {
            return Err(AdminError::NotFound("There is no such manifest, or no such version of it.".to_owned()));
        }
        let users = users(tx, name, version).await?;
        if !users.is_empty() {
            return Err(AdminError::Conflict(format!(
                "It is in use by {}. Move those instances to another version, or delete them.",
                users.join(", ")
            )));
        }
        audit(tx, &self.actor, "manifest.delete", name, &json!({"version": version, "versions": gone})).await?;
        Ok(())
    }
}

/// The first few instances that hold to a version of a manifest, or to any.
async fn users(tx: &Tx<'_>, name: &str, version: Option<&str>) -> Result<Vec<String>, StoreError> {
    let rows = tx
        .conn
        .all(
            &format!(
                "SELECT id, name FROM instance WHERE connector = $1 AND connector_version IS NOT NULL AND (connector_version = $2 OR $2 IS NULL) \
                 AND deleted_at IS NULL ORDER BY seq LIMIT {NAMED}"
            ),
            vals![name, version.map(str::to_owned)],
        )
        .await?;
    rows.iter().map(|row| Ok(format!("{} ({})", row.col::<String>("name")?, row.col::<String>("id")?))).collect()
}

/// Makes sure that a version is there until this transaction ends.
pub(crate) async fn still_there(tx: &Tx<'_>, name: &str, version: &str) -> Result<(), AdminError> {
    let text = format!(
        "SELECT 1 AS one FROM manifest WHERE name = $1 AND version = $2 AND retired_at IS NULL{}",
        tx.conn.for_update()
    );
    match tx.conn.one(&text, vals![name, version]).await? {
        Some(_) => Ok(()),
        None => Err(AdminError::Conflict(format!(
            "Version {version} of {name} was deleted in between. Choose another version."
        ))),
    }
}
