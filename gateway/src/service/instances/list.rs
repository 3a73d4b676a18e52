//! Lists of instances. Which there are, and whether one was changed, is asked for by one statement a chunk; what is known
//! already is not read again, and what is not is read by two statements, however many there are.

use std::collections::HashMap;
use std::sync::Arc;

use sea_orm::Value as SqlValue;
use serde_json::json;

use super::{COLUMNS, Ciphertext, Instances};
use crate::service::App;
use crate::service::catalogue::Lookup;
use crate::service::types::{Instance, Mode};
use crate::store::{Rows, Sql, StoreError};

/// Instances that are asked for at once, where all are.
const CHUNK: i64 = 1_000;

impl Instances {
    /// Every instance whose target is read: enabled or rehearsing, oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn all_reading(&self) -> Result<Vec<Arc<Instance>>, StoreError> {
        self.every("AND mode IN ('enabled','rehearse')").await
    }

    /// Every instance in the mode `enabled`, oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn all_enabled(&self) -> Result<Vec<Arc<Instance>>, StoreError> {
        let mut all = self.every("AND mode = 'enabled'").await?;
        // One that was read behind the list may be in another mode by then.
        all.retain(|instance| instance.mode == Mode::Enabled);
        Ok(all)
    }

    /// Every instance, oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn all(&self) -> Result<Vec<Arc<Instance>>, StoreError> {
        self.every("").await
    }

    /// Up to `limit` instances behind row `after`, oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn page(&self, after: i64, limit: i64) -> Result<Vec<Arc<Instance>>, StoreError> {
        self.some("", vals![after, limit]).await
    }

    /// Up to `limit` other instances with the driver key of one, oldest first: with the same target and credential. Those that
    /// are enabled alone, if `enabled`.
    ///
    /// # Errors
    /// The store's.
    pub async fn sharing(
        &self,
        instance: &Instance,
        enabled: bool,
        limit: i64,
    ) -> Result<Vec<Arc<Instance>>, StoreError> {
        let only = if enabled { " AND mode = 'enabled'" } else { "" };
        let condition = format!("AND driver_key = $3 AND seq <> $4{only}");
        self.some(&condition, vals![0_i64, limit, instance.driver_key.as_str(), instance.seq]).await
    }

    async fn every(&self, condition: &str) -> Result<Vec<Arc<Instance>>, StoreError> {
        let mut all: Vec<Arc<Instance>> = Vec::new();
        loop {
            let after = all.last().map_or(0, |last| last.seq);
            let chunk = self.some(condition, vals![after, CHUNK]).await?;
            let whole = i64::try_from(chunk.len()).is_ok_and(|read| read >= CHUNK);
            all.extend(chunk);
            if !whole {
                return Ok(all);
            }
        }
    }

    /// Those behind row $1, $2 at most, that a condition leaves.
    async fn some(&self, condition: &str, values: Vec<SqlValue>) -> Result<Vec<Arc<Instance>>, StoreError> {
        let text = format!(
            "SELECT seq, config_rev FROM instance WHERE deleted_at IS NULL AND seq > $1 {condition} ORDER BY seq LIMIT $2"
        );
        let rows = self.store.reader().all(&text, values).await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let seq: i64 = row.col("seq")?;
            found.push((seq, self.known(seq, row.col("config_rev")?)));
        }
        let lacking: Vec<i64> = found.iter().filter(|(_, known)| known.is_none()).map(|(seq, _)| *seq).collect();
        let mut read = self.read(&lacking).await?;
        Ok(found.into_iter().filter_map(|(seq, known)| known.or_else(|| read.remove(&seq))).collect())
    }

    /// What is known of an instance, if it is of this revision. One whose connector cannot be used is looked at anew after a
    /// while: what it lacks may be there by then.
    fn known(&self, seq: i64, config_rev: i64) -> Option<Arc<Instance>> {
        let built = self.built.get(&seq).filter(|one| one.connector.is_ok());
        built.or_else(|| self.fresh.get(&seq)).filter(|one| one.config_rev == config_rev)
    }

    /// Instances by their rows; one that was deleted in between is left out.
    async fn read(&self, seqs: &[i64]) -> Result<HashMap<i64, Arc<Instance>>, StoreError> {
        let mut all = HashMap::with_capacity(seqs.len());
        if seqs.is_empty() {
            return Ok(all);
        }
        let reader = self.store.reader();
        let list = json!(seqs.iter().map(i64::to_string).collect::<Vec<_>>()).to_string();
        let these = format!("IN (SELECT CAST(e.v AS BIGINT) FROM {} e)", reader.each(1));
        let text = format!("SELECT {COLUMNS} FROM instance WHERE seq {these} AND deleted_at IS NULL");
        let rows = reader.all(&text, vals![list]).await?;
        let mut sealed = self.sealed(seqs).await?;
        let mut listed: HashMap<(String, Option<String>), Lookup> = HashMap::new();
        for row in &rows {
            let seq: i64 = row.col("seq")?;
            let of: (String, Option<String>) = (row.col("connector")?, row.col("connector_version")?);
            let entry = match listed.get(&of) {
                Some(known) => known.clone(),
                None => {
                    let found = self.catalogue.of_instance(&of.0, of.1.as_deref()).await?;
                    listed.entry(of).or_insert(found).clone()
                }
            };
            let own = sealed.remove(&seq).unwrap_or_default();
            let instance = Arc::new(self.assemble(row, entry, &own)?);
            self.keep(&instance);
            all.insert(seq, instance);
        }
        Ok(all)
    }

    /// The credentials of instances as they are stored, by row of the instance.
    pub(super) async fn sealed(&self, seqs: &[i64]) -> Result<HashMap<i64, Vec<Ciphertext>>, StoreError> {
        let reader = self.store.reader();
        let list = json!(seqs.iter().map(i64::to_string).collect::<Vec<_>>()).to_string();
        let text = format!(
            "SELECT instance_seq, field, ciphertext FROM sealed WHERE instance_seq IN (SELECT CAST(e.v AS BIGINT) FROM {} e) ORDER BY instance_seq, field",
            reader.each(1)
        );
        let mut all: HashMap<i64, Vec<Ciphertext>> = HashMap::new();
        for row in &reader.all(&text, vals![list]).await? {
            all.entry(row.col("instance_seq")?).or_default().push((row.col("field")?, row.col("ciphertext")?));
        }
        Ok(all)
    }
}

impl App {
    /// The names of the credentials that instances have, by row of the instance.
    ///
    /// # Errors
    /// The store's.
    pub async fn secret_names_of(&self, seqs: &[i64]) -> Result<HashMap<i64, Vec<String>>, StoreError> {
        let sealed = self.instances.sealed(seqs).await?;
        Ok(sealed.into_iter().map(|(seq, all)| (seq, all.into_iter().map(|(field, _)| field).collect())).collect())
    }
}
