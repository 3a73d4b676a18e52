//! Values that have to be unique (RFC 7643 section 2.2), beside the names: one row each, so that the database decides
//! between two writers. Rows of accounts that nobody manages claim nothing (DECISIONS 6).

use std::fmt::Write as _;

use scim::resource::Document;
use scim::schema::ResourceType;
use scim::{ScimError, compare};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::service::types::Failure;
use crate::store::{Rows, Sql, StoreError, Tx};

/// Keys longer than this many bytes are hashed: an index takes no rows of any length.
const LONG: usize = 200;

/// One unique value of a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    /// The attribute's path in canonical case.
    pub(crate) path: String,
    /// What two equal values share.
    key: String,
    /// The value as it was written, for the client.
    shown: String,
}

/// The unique values of a document, in one order everywhere: two writers with the same values do not wait for each
/// other in a ring.
pub(crate) fn claims_of(rt: &ResourceType, doc: &Document) -> Vec<Claim> {
    let mut claims = Vec::new();
    for found in rt.unique() {
        let whole = match found.extension {
            Some(schema) => doc.get(&schema.id).and_then(|inner| inner.get(&found.attr.name)),
            None => doc.get(&found.attr.name),
        };
        let Some(whole) = whole else { continue };
        for element in spread(whole) {
            let value = match found.sub {
                Some(sub) => element.get(&sub.name),
                None => Some(element),
            };
            for value in value.into_iter().flat_map(spread) {
                // An empty text is nobody's.
                if value.is_null() || value.as_str() == Some("") {
                    continue;
                }
                let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                claims.push(Claim { path: found.path(), key: short(compare::key(found.leaf(), value)), shown });
            }
        }
    }
    claims.sort();
    claims.dedup_by(|a, b| a.path == b.path && a.key == b.key);
    claims
}

fn spread(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        one => std::slice::from_ref(one),
    }
}

fn short(key: String) -> String {
    if key.len() <= LONG {
        return key;
    }
    let mut out = String::from("sha256:");
    for byte in Sha256::digest(key.as_bytes()) {
        // Writing to a text does not fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// Takes the unique values of a document for a resource, and gives those of the document before it back.
///
/// # Errors
/// 409 `uniqueness`, naming the attribute, if another resource has one.
pub(super) async fn claim(
    tx: &Tx<'_>,
    instance: i64,
    rt: &ResourceType,
    resource: i64,
    before: Option<&Document>,
    after: &Document,
) -> Result<(), Failure> {
    let wanted = claims_of(rt, after);
    for old in before.map(|doc| claims_of(rt, doc)).unwrap_or_default() {
        if !wanted.iter().any(|new| new.path == old.path && new.key == old.key) {
            tx.conn
                .run(
                    "DELETE FROM claim WHERE instance_seq = $1 AND kind = $2 AND path = $3 AND value_key = $4 AND resource_seq = $5",
                    vals![instance, rt.name.as_str(), old.path, old.key, resource],
                )
                .await?;
        }
    }
    for new in &wanted {
        if own(tx, instance, rt, resource, new).await?.is_some() {
            return Err(ScimError::uniqueness(format!(
                "{} \"{}\" is taken by another {} of this instance.",
                new.path, new.shown, rt.name
            ))
            .into());
        }
    }
    Ok(())
}

/// Takes one value for a resource; the id of the other that has it, if one has. A claim that a deleted resource left
/// behind passes on.
pub(crate) async fn own(
    tx: &Tx<'_>,
    instance: i64,
    rt: &ResourceType,
    resource: i64,
    claim: &Claim,
) -> Result<Option<String>, StoreError> {
    let taken = tx
        .conn
        .run(
            "INSERT INTO claim (instance_seq, kind, path, value_key, resource_seq) VALUES ($1,$2,$3,$4,$5) ON CONFLICT DO NOTHING",
            vals![instance, rt.name.as_str(), claim.path.as_str(), claim.key.as_str(), resource],
        )
        .await?;
    if taken > 0 {
        return Ok(None);
    }
    if let Some(holder) = holder(tx, instance, rt, resource, claim).await? {
        return Ok(Some(holder));
    }
    // What was seen of the holder is looked at again with the row in hand: it may be gone, or another's by now.
    let ours = tx
        .conn
        .run(
            "UPDATE claim SET resource_seq = $5 WHERE instance_seq = $1 AND kind = $2 AND path = $3 AND value_key = $4 \
             AND NOT EXISTS (SELECT 1 FROM resource r WHERE r.seq = claim.resource_seq AND r.seq <> $5 AND r.deleted_at IS NULL)",
            vals![instance, rt.name.as_str(), claim.path.as_str(), claim.key.as_str(), resource],
        )
        .await?;
    if ours == 0 {
        return Err(StoreError::Busy("a unique value changed hands while it was taken".to_owned()));
    }
    Ok(None)
}

async fn holder(
    tx: &Tx<'_>,
    instance: i64,
    rt: &ResourceType,
    resource: i64,
    claim: &Claim,
) -> Result<Option<String>, StoreError> {
    tx.conn
        .one(
            "SELECT r.id FROM claim c JOIN resource r ON r.seq = c.resource_seq \
             WHERE c.instance_seq = $1 AND c.kind = $2 AND c.path = $3 AND c.value_key = $4 AND c.resource_seq <> $5 AND r.deleted_at IS NULL",
            vals![instance, rt.name.as_str(), claim.path.as_str(), claim.key.as_str(), resource],
        )
        .await?
        .map(|row| row.col("id"))
        .transpose()
}

/// Whether another resource has a unique value of a document.
pub(super) async fn is_claimed(
    tx: &Tx<'_>,
    instance: i64,
    rt: &ResourceType,
    resource: i64,
    doc: &Document,
) -> Result<bool, StoreError> {
    for claim in claims_of(rt, doc) {
        if holder(tx, instance, rt, resource, &claim).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives every unique value of a resource back.
pub(super) async fn disclaim(tx: &Tx<'_>, resource: i64) -> Result<(), StoreError> {
    tx.conn.run("DELETE FROM claim WHERE resource_seq = $1", vals![resource]).await?;
    Ok(())
}
