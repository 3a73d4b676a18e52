//! Reading the directory. Nothing here touches the target: what is answered is what is wanted.

pub mod cursor;
mod plan;
mod query;
mod relation;
#[cfg(test)]
mod tests;

use scim::Document;
use scim::schema::ResourceType;
use sea_orm::QueryResult;
use serde_json::{Map, json};

use super::App;
use super::types::{Instance, Stored};
use crate::store::{Rows, Sql, StoreError};

pub use cursor::{CURSOR_TIMEOUT, Mark, Position};
pub use query::{Found, Start, Walks};
pub use relation::MEMBERS_CHUNK;

/// Resources in one answer at most; announced in the ServiceProviderConfig.
pub const MAX_PAGE: u64 = 1_000;
/// Resources in one answer when the client names no number.
pub const DEFAULT_PAGE: u64 = 100;

/// The columns of a [`Stored`] and a [`Listed`].
pub(crate) const COLUMNS: &str =
    "r.seq, r.id, r.kind, r.name, r.active, r.doc, r.managed, r.version, r.rev, r.created_at, r.modified_at";

/// Reads a [`Stored`].
pub(crate) fn stored(row: &QueryResult) -> Result<Stored, StoreError> {
    let item = Listed::read(row)?;
    Ok(Stored {
        kind: row.at(2)?,
        rev: row.at(8)?,
        doc: item.document()?,
        seq: item.seq,
        id: item.id,
        name: item.name,
        active: item.active,
        managed: item.managed,
        version: item.version,
        created_at: item.created_at,
        modified_at: item.modified_at,
    })
}

/// A resource as lists hold it: its document is text still, since most are shown as they are.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its row.
    pub seq: i64,
    /// Its SCIM id.
    pub id: String,
    /// `userName` or `displayName`.
    pub name: String,
    /// Whether a User is active.
    pub active: bool,
    /// Its attributes, as JSON.
    pub doc: String,
    /// Whether the identity provider manages it.
    pub managed: bool,
    /// The ETag's number.
    pub version: i64,
    /// Microseconds.
    pub created_at: i64,
    /// Microseconds.
    pub modified_at: i64,
}

impl TryFrom<Stored> for Listed {
    type Error = StoreError;

    fn try_from(item: Stored) -> Result<Self, StoreError> {
        Ok(Self {
            doc: serde_json::to_string(&item.doc).map_err(|error| StoreError::Other(error.to_string()))?,
            seq: item.seq,
            id: item.id,
            name: item.name,
            active: item.active,
            managed: item.managed,
            version: item.version,
            created_at: item.created_at,
            modified_at: item.modified_at,
        })
    }
}

impl Listed {
    /// Reads one, by position, in the order of [`COLUMNS`]: lists read a hundred of these per request.
    fn read(row: &QueryResult) -> Result<Self, StoreError> {
        Ok(Self {
            seq: row.at(0)?,
            id: row.at(1)?,
            name: row.at(3)?,
            active: row.at::<i16>(4)? == 1,
            doc: row.at(5)?,
            managed: row.at::<i16>(6)? == 1,
            version: row.at(7)?,
            created_at: row.at(9)?,
            modified_at: row.at(10)?,
        })
    }

    /// Its attributes.
    ///
    /// # Errors
    /// A damaged row.
    pub fn document(&self) -> Result<Document, StoreError> {
        serde_json::from_str(&self.doc).map_err(|error| StoreError::damaged(format!("resource.doc: {error}")))
    }

    /// Its attributes with what the store keeps beside them, for filters and sorting.
    fn whole(&self, rt: &ResourceType) -> Result<Document, StoreError> {
        let mut document = self.document()?;
        document.insert("id".to_owned(), json!(self.id));
        document.insert(
            "meta".to_owned(),
            json!({"resourceType": rt.name, "created": time(self.created_at), "lastModified": time(self.modified_at), "version": scim::etag::format(u64::try_from(self.version).unwrap_or(0))}),
        );
        Ok(document)
    }
}

impl App {
    /// One resource by its id, or none. An account that nobody manages is seen by id unless the
    /// policy is to adopt none.
    ///
    /// # Errors
    /// The store's.
    pub async fn read(&self, instance: &Instance, rt: &ResourceType, id: &str) -> Result<Option<Listed>, StoreError> {
        let row = self
            .store
            .reader()
            .one(
                &format!("SELECT {COLUMNS} FROM resource r WHERE r.id = $1 AND r.instance_seq = $2 AND r.kind = $3 AND r.deleted_at IS NULL"),
                vals![id, instance.seq, rt.name.as_str()],
            )
            .await?;
        let found = row.as_ref().map(Listed::read).transpose()?;
        Ok(found.filter(|item| item.managed || instance.adopts(&rt.name)))
    }

    /// How far a resource is from what is wanted: the body of the sync-status extension.
    ///
    /// # Errors
    /// The store's.
    pub async fn sync_of(&self, kind: &str, item: &Listed) -> Result<serde_json::Value, StoreError> {
        let reader = self.store.reader();
        let work =
            reader.one("SELECT state, need, reason, due_at FROM work WHERE resource_seq = $1", vals![item.seq]).await?;
        let mut status = Map::new();
        match work {
            None => {
                status.insert("state".into(), json!(if item.managed { "settled" } else { "unmanaged" }));
            }
            Some(row) => {
                status.insert("state".into(), json!(row.col::<String>("state")?));
                if let Some(reason) = row.col::<Option<String>>("reason")?.or(row.col::<Option<String>>("need")?) {
                    status.insert("reason".into(), json!(reason));
                }
            }
        }
        let column = if kind == "Group" { "group_seq" } else { "user_seq" };
        let parked = reader
            .one(
                &format!("SELECT COUNT(*) AS n FROM member WHERE {column} = $1 AND state = 'parked' AND want = 1"),
                vals![item.seq],
            )
            .await?
            .map_or(Ok(0), |row| row.col::<i64>("n"))?;
        status.insert("parkedMemberships".into(), json!(parked));
        Ok(serde_json::Value::Object(status))
    }
}

/// `$1,$2,…`
fn placeholders(n: usize) -> String {
    (1..=n).map(|place| format!("${place}")).collect::<Vec<_>>().join(",")
}

/// RFC 3339 of a stored time, to the millisecond.
pub fn time(micros: i64) -> String {
    let at = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}
