//! Exchanging the master key, while no gateway runs: everything that is sealed is opened with the old keys and sealed
//! with the new one, in one transaction.
//!
//! The hashes of API keys are made with a pepper that is derived from a master key, and keys cannot be hashed anew
//! without their text. So the peppers of the old keys are kept, sealed under the new one.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::zeroize::Zeroizing;
use serde_json::json;

use super::alerts;
use super::events::Events;
use super::keys::{PEPPER, PEPPERS, kept_peppers};
use super::records::audit;
use crate::secrets::{KeyRing, SealError, sealed_name};
use crate::store::{Rows, Sql, StoreError, Tx, Unit};

/// The row of `setting` that tells a wrong master key.
pub(crate) const KEY_CHECK: &str = "key_check";

/// Seals everything under the first key of `to`; `to` opens all that is stored. How many secrets were sealed anew.
pub(crate) struct Rotate {
    pub(crate) to: Arc<KeyRing>,
}

/// A sealed value, where it stands and what it is sealed for.
struct Place {
    /// For people.
    what: String,
    /// Its associated data.
    name: String,
    sealed: String,
    update: &'static str,
    key: Vec<sea_orm::Value>,
}

#[async_trait]
impl Unit for Rotate {
    type Out = usize;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<usize, StoreError> {
        tx.require_alone().await?;
        let check = setting(tx, KEY_CHECK).await?;
        if let Some(check) = &check {
            self.to.open_check(check).map_err(|error| StoreError::Config(error.to_string()))?;
        }
        let mut sealed = 0;
        for place in places(tx).await? {
            let refused =
                |error: SealError| StoreError::Config(format!("{}: {error} Nothing was changed.", place.what));
            let plain = self.to.open(&place.name, &place.sealed).map_err(refused)?;
            let mut values = vals![self.to.seal(&place.name, &plain), self.to.active_id()];
            values.extend(place.key);
            tx.conn.run(place.update, values).await?;
            sealed += 1;
        }
        let peppers = match setting(tx, PEPPERS).await? {
            Some(kept) => kept_peppers(&self.to, &kept)?,
            // The ring's first key is the new one: nothing was hashed under it yet, unless it was in use already.
            None => self.to.derive_each(PEPPER),
        };
        let plain: Zeroizing<Vec<u8>> = Zeroizing::new(peppers.concat());
        keep(tx, PEPPERS, self.to.seal(PEPPERS, &plain)).await?;
        if check.is_some() {
            keep(tx, KEY_CHECK, self.to.seal_check()).await?;
        }
        audit(tx, "command line", "secrets.rotate", "database", &json!({"sealed": sealed, "key": self.to.active_id()}))
            .await?;
        Ok(sealed)
    }
}

/// Everything that is sealed, the key check and the peppers aside.
async fn places(tx: &Tx<'_>) -> Result<Vec<Place>, StoreError> {
    let mut places = Vec::new();
    let rows = tx
        .conn
        .all(
            "SELECT s.instance_seq, s.field, s.ciphertext, i.id, i.connector, i.name FROM sealed s JOIN instance i ON i.seq = s.instance_seq \
             ORDER BY s.instance_seq, s.field",
            vals![],
        )
        .await?;
    for row in &rows {
        let (id, field): (String, String) = (row.col("id")?, row.col("field")?);
        places.push(Place {
            what: format!("{field} of the instance {id}"),
            name: sealed_name(&id, &row.col::<String>("connector")?, &field),
            sealed: row.col("ciphertext")?,
            update: "UPDATE sealed SET ciphertext = $1, kek = $2 WHERE instance_seq = $3 AND field = $4",
            key: vals![row.col::<i64>("instance_seq")?, field],
        });
    }
    let rows = tx
        .conn
        .all(
            "SELECT s.seq, s.id, s.authorization_sealed, i.id AS instance FROM event_stream s JOIN instance i ON i.seq = s.instance_seq \
             WHERE s.authorization_sealed IS NOT NULL ORDER BY s.seq",
            vals![],
        )
        .await?;
    for row in &rows {
        let (instance, stream): (String, String) = (row.col("instance")?, row.col("id")?);
        places.push(Place {
            what: format!("the authorization of the event stream {stream}"),
            name: Events::place(&instance, &stream),
            sealed: row.col("authorization_sealed")?,
            update: "UPDATE event_stream SET authorization_sealed = $1 WHERE seq = $3 AND $2 <> ''",
            key: vals![row.col::<i64>("seq")?],
        });
    }
    let rows = tx.conn.all("SELECT seq, id, secret_sealed FROM alert_webhook ORDER BY seq", vals![]).await?;
    for row in &rows {
        let id: String = row.col("id")?;
        places.push(Place {
            what: format!("the secret of the alert webhook {id}"),
            name: alerts::place(&id),
            sealed: row.col("secret_sealed")?,
            update: "UPDATE alert_webhook SET secret_sealed = $1 WHERE seq = $3 AND $2 <> ''",
            key: vals![row.col::<i64>("seq")?],
        });
    }
    // A setting that is sealed is sealed for its own name.
    let rows = tx
        .conn
        .all(
            "SELECT name, value FROM setting WHERE value LIKE 'v1.________.%' AND name <> $1 AND name <> $2 ORDER BY name",
            vals![KEY_CHECK, PEPPERS],
        )
        .await?;
    for row in &rows {
        let name: String = row.col("name")?;
        places.push(Place {
            what: format!("the setting {name}"),
            name: name.clone(),
            sealed: row.col("value")?,
            update: "UPDATE setting SET value = $1 WHERE name = $3 AND $2 <> ''",
            key: vals![name],
        });
    }
    Ok(places)
}

async fn setting(tx: &Tx<'_>, name: &str) -> Result<Option<String>, StoreError> {
    let row = tx.conn.one("SELECT value FROM setting WHERE name = $1", vals![name]).await?;
    row.map(|row| row.col("value")).transpose()
}

async fn keep(tx: &Tx<'_>, name: &str, value: String) -> Result<(), StoreError> {
    tx.conn
        .run(
            "INSERT INTO setting (name, value) VALUES ($1,$2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            vals![name, value],
        )
        .await?;
    Ok(())
}
