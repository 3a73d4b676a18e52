//! POST.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use engine::Lane;
use scim::fold::fold_text;
use scim::patch::{Base, NetEdit, fold_edits, replace_groups};
use scim::resource::Parsed;
use scim::{Document, Quirks, ScimError};
use serde_json::{Value, json};
use uuid::Uuid;

use super::claims::claim;
use super::groups::UserSide;
use super::members::{edit_members, inherit_members, move_memberships};
use super::record::{Ends, Record, close_operation_items, index, tally, upsert_work};
use super::{Accepted, is_active, name_of, taken, text, type_of};
use crate::driver::desk;
use crate::driver::doubt;
use crate::driver::late::LATE;
use crate::service::events;
use crate::service::types::{Caller, Failure, Instance, Stored};
use crate::store::{Rows, Sql, StoreError, Tx, Unit};

/// Creates a resource.
pub(in crate::service) struct Create {
    pub(in crate::service) instance: Arc<Instance>,
    pub(in crate::service) caller: Caller,
    pub(in crate::service) kind: String,
    pub(in crate::service) parsed: Parsed,
    pub(in crate::service) quirks: Quirks,
}

#[async_trait]
impl Unit for Create {
    type Out = Accepted;
    type Err = Failure;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Accepted, Failure> {
        let groups = self.joined()?;
        let document = &self.parsed.document;
        let rt = type_of(&self.instance, &self.kind)?;
        // What targets know is brought to them; a declared type lives in the directory alone.
        let driven = rt.is_core();
        let id = Uuid::new_v4().to_string();
        let Some((name, name_key)) = name_of(rt, document, &id) else {
            let what = rt.name_attribute().map_or("id", |attr| attr.name.as_str());
            return Err(ScimError::invalid_value(format!("{what} is required.")).into());
        };
        if driven && self.is_taken(tx, &name_key).await? {
            return Err(taken(rt, &name).into());
        }
        if driven {
            self.instance.queue.admit(Lane::Grant, self.instance.most_open_work())?;
        }
        let seq = tx.seq()?;
        let active = is_active(document);
        let stored = Stored {
            seq,
            id,
            kind: self.kind.clone(),
            doc: document.clone(),
            name,
            active,
            managed: true,
            version: 1,
            rev: 1,
            created_at: tx.now,
            modified_at: tx.now,
        };
        let text_of_document = serde_json::to_string(document).map_err(|error| StoreError::Other(error.to_string()))?;
        tx.conn
            .run(
                "INSERT INTO resource (seq, instance_seq, kind, id, name, name_key, name_slot, external_id, active, doc, managed, listed, \
                 version, rev, settled_rev, created_at, modified_at, deleted_at, merged_into, look_at) \
                 VALUES ($1,$2,$3,$4,$5,$6,0,$7,$8,$9,1,1,1,1,$11,$10,$10,NULL,NULL,NULL)",
                vals![
                    seq,
                    self.instance.seq,
                    self.kind.as_str(),
                    stored.id.as_str(),
                    stored.name.as_str(),
                    name_key.as_str(),
                    text(document, "externalId").map(str::to_owned),
                    i16::from(active),
                    text_of_document,
                    tx.now,
                    i64::from(!driven)
                ],
            )
            .await
            .map_err(|error| match error {
                StoreError::Unique(_) => Failure::Scim(taken(rt, &stored.name)),
                other => Failure::Store(other),
            })?;
        claim(tx, self.instance.seq, rt, seq, None, document).await?;
        index(tx, self.instance.seq, seq, document).await?;
        tally(tx, self.instance.seq, &self.kind, seq, 1).await?;
        let after = if driven { self.take_over(tx, seq, &name_key).await? } else { None };

        let mut changes: Vec<Value> = document.iter().map(|(path, value)| json!({"path": path, "to": value})).collect();
        let quirks = self.quirks.clone();
        let members: BTreeMap<String, bool> =
            self.parsed.relation.iter().flatten().map(|member| (member.value.clone(), true)).collect();
        if !members.is_empty() {
            changes.push(json!({"path": "members", "add": members.len()}));
        }
        let operation = Record {
            instance: &self.instance,
            resource_seq: seq,
            caller: &self.caller,
            verb: "create",
            rev: 1,
            changes: changes.into(),
            quirks: quirks.applied().map(scim::Quirk::name).collect(),
            items: i64::from(driven),
        }
        .write(tx)
        .await?;
        let lane = self.instance.queue.lane(Lane::Grant);
        if !driven {
            events::created(tx, &self.instance, &self.caller, &stored, operation).await?;
            return Ok(Accepted {
                stored,
                operation: Some(operation),
                items: 0,
                lane,
                before: None,
                quirks,
                groups: 0,
            });
        }
        let edit = NetEdit { base: Base::Keep, want: members, matching: Vec::new() };
        let edited = edit_members(tx, &self.instance, seq, operation, edit).await?;
        if edited.todo > 0 {
            tx.conn
                .run(
                    "UPDATE operation SET items = items + $2, open_items = open_items + $2 WHERE seq = $1",
                    vals![operation, edited.todo],
                )
                .await?;
        }
        upsert_work(tx, &self.instance, seq, lane, 1, after).await?;
        if let Some(twin) = after {
            tx.conn
                .run(
                    "UPDATE work SET state = 'waiting', need = 'twin', reason = 'The removal of a deleted one of this name has to end first, and it needs somebody.' \
                     WHERE resource_seq = $1 AND EXISTS (SELECT 1 FROM work b WHERE b.resource_seq = $2 AND b.state IN ('needs','held'))",
                    vals![seq, twin],
                )
                .await?;
        }
        let side = UserSide { instance: &self.instance, caller: &self.caller, user: seq, id: &stored.id };
        side.lock(tx, &groups).await?;
        let groups = side.edit(tx, &groups).await?;
        events::created(tx, &self.instance, &self.caller, &stored, operation).await?;
        Ok(Accepted { stored, operation: Some(operation), items: 1 + edited.todo, lane, before: None, quirks, groups })
    }
}

impl Create {
    /// The groups that a new user comes into, where the policy lets users' clients say that.
    ///
    /// They are copied: the database may ask for the whole creation again.
    fn joined(&mut self) -> Result<NetEdit, ScimError> {
        let given = self.parsed.groups.clone().filter(|_| self.kind == "User");
        match given.filter(|_| self.instance.policy.settings().groups_via_users) {
            Some(given) => Ok(fold_edits(&[replace_groups(given, &mut self.quirks)?])),
            None => Ok(NetEdit::default()),
        }
    }

    /// Whether a live row has the name. An account that nobody manages yet counts: the client is
    /// told 409, looks it up and adopts it (DECISIONS 2).
    async fn is_taken(&self, tx: &Tx<'_>, name_key: &str) -> Result<bool, StoreError> {
        let row = tx
            .conn
            .one(
                "SELECT seq FROM resource WHERE instance_seq = $1 AND kind = $2 AND name_key = $3 AND deleted_at IS NULL LIMIT 1",
                vals![self.instance.seq, self.kind.as_str(), name_key],
            )
            .await?;
        Ok(row.is_some())
    }

    /// Delete and create again (DECISIONS 4): a deleted twin's link goes to the new row and its
    /// unfinished work ends, unless a call of it is in flight; then the new work waits for it, and
    /// that row is the answer. Clients fill externalId with anything (DECISIONS 6), so by it alone a
    /// twin is only one that shares an address; another's removal must go on.
    async fn take_over(&self, tx: &Tx<'_>, new_seq: i64, name_key: &str) -> Result<Option<i64>, StoreError> {
        let external = text(&self.parsed.document, "externalId").map(str::to_owned);
        let twins = "SELECT seq FROM resource WHERE instance_seq = $1 AND kind = $2 AND name_key = $3 AND deleted_at IS NOT NULL \
                   UNION SELECT seq FROM resource WHERE instance_seq = $1 AND kind = $2 AND external_id = $4 AND deleted_at IS NOT NULL";
        let lock = tx.conn.for_update();
        if !lock.is_empty() {
            // Before their work is looked at, and by a statement of its own: a removal that begins at this moment, or
            // a task that is closed, has ended, or waits for this.
            let text = format!("SELECT seq FROM resource WHERE seq IN ({twins}) AND managed = 1 ORDER BY seq{lock}");
            let values = vals![self.instance.seq, self.kind.as_str(), name_key, external.clone()];
            tx.conn.all(&text, values).await?;
        }
        let rows = tx
            .conn
            .all(
                &format!("SELECT r.seq, r.name_key, r.doc, w.state, l.seq AS link, (SELECT COUNT(*) FROM attempt a WHERE a.resource_seq = r.seq AND a.state IN ('sending','unknown')) \
                 + (SELECT COUNT(*) FROM task k WHERE k.resource_seq = r.seq AND k.live = 1 AND k.heard = 0 AND k.state = 'done') AS flying \
                 FROM resource r LEFT JOIN work w ON w.resource_seq = r.seq LEFT JOIN link l ON l.resource_seq = r.seq AND l.state = 'live' \
                 WHERE r.seq IN ({twins}) \
                 AND r.managed = 1 \
                 AND (w.resource_seq IS NOT NULL OR l.seq IS NOT NULL) \
                 ORDER BY r.seq DESC"),
                vals![self.instance.seq, self.kind.as_str(), name_key, external],
            )
            .await?;
        let mut after = None;
        let mut linked = false;
        for row in &rows {
            let old: i64 = row.col("seq")?;
            if row.col::<String>("name_key")? != name_key
                && !share_an_address(&self.parsed.document, &row.col::<String>("doc")?)
            {
                continue;
            }
            let state: Option<String> = row.col("state")?;
            if state.as_deref() == Some("running") || row.col::<i64>("flying")? > 0 {
                after = after.or(Some(old));
                continue;
            }
            // One account for one row: what else is to be removed is removed.
            let has_link = row.col::<Option<i64>>("link")?.is_some();
            if after.is_some() || (has_link && linked) || (!has_link && self.kind == "Group") {
                continue;
            }
            tx.conn.run("DELETE FROM work WHERE resource_seq = $1", vals![old]).await?;
            desk::withdraw(tx, old, true, desk::OVERTAKEN).await?;
            let open = tx
                .conn
                .all("SELECT seq, open_items FROM operation WHERE resource_seq = $1 AND state = 'open'", vals![old])
                .await?;
            for operation in &open {
                let ends = Ends { superseded: operation.col("open_items")?, ..Ends::default() };
                close_operation_items(
                    tx,
                    operation.col("seq")?,
                    ends,
                    Some("created again before the deletion reached the target"),
                )
                .await?;
            }
            // Also of accounts that a late grant may have brought back.
            tx.conn
                .run(
                    "UPDATE link SET resource_seq = $2 WHERE resource_seq = $1 AND evidence = $3",
                    vals![old, new_seq, LATE],
                )
                .await?;
            if has_link {
                tx.conn
                    .run(
                        "UPDATE link SET resource_seq = $2 WHERE resource_seq = $1 AND state = 'live'",
                        vals![old, new_seq],
                    )
                    .await?;
                linked = true;
                doubt::hand_over(tx, old, new_seq).await?;
                if self.kind == "Group" {
                    inherit_members(tx, old, new_seq).await?;
                } else {
                    move_memberships(tx, &self.instance, old, new_seq, true).await?;
                }
            }
        }
        Ok(after)
    }
}

/// Whether a document names one of the addresses of a stored one.
fn share_an_address(new: &Document, stored: &str) -> bool {
    let addresses = |document: &Document| -> Vec<String> {
        let emails = document.get("emails").and_then(Value::as_array);
        emails.into_iter().flatten().filter_map(|email| email["value"].as_str()).map(fold_text).collect()
    };
    let old: Document = serde_json::from_str(stored).unwrap_or_default();
    let old = addresses(&old);
    addresses(new).iter().any(|address| old.contains(address))
}
