//! What runs read and write.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{Account, AccountStatus, Evidence, RemoteGroup, RemoteId};
use engine::Lane;
use engine::membership::ParkReason;
use engine::policy::AdoptGroups;
use scim::fold::{fold_name, fold_text};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::driver::late::granted_since;
use crate::driver::{AccountRow, Shared, document_of, gone, link, linked, observe, status_word};
use crate::service::accept::{index, lock_groups, tally, unindex, upsert_work};
use crate::service::types::Instance;
use crate::store::{Priority, Rows, Sql, StoreError, Tx, Unit};

/// One page of accounts or invitations. Answers how many became rows.
pub(super) struct SweepAccounts {
    pub(super) instance: Arc<Instance>,
    pub(super) run: i64,
    pub(super) accounts: Vec<Account>,
    /// When the listing began: what was linked after that is newer than the listing.
    pub(super) started: i64,
}

/// A row that is known of a listed account.
struct KnownAccount {
    row: AccountRow,
    seen_at: Option<i64>,
    seen_run: Option<i64>,
    managed: Option<bool>,
    /// Of a row that nobody manages: its document.
    document: Option<String>,
}

#[async_trait]
impl Unit for SweepAccounts {
    type Out = u64;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<u64, StoreError> {
        let known = self.known(tx).await?;
        let mut imported = 0;
        let mut same = Vec::new();
        for account in &self.accounts {
            let before = account.remote_id.as_ref().and_then(|id| known.get(id.as_str()));
            if let Some(before) = before {
                if before.seen_at.is_some_and(|at| at > self.started) && before.seen_run != Some(self.run) {
                    continue;
                }
                if is_same(before, account) {
                    same.push(before.row.seq);
                    continue;
                }
            }
            imported += u64::from(self.take(tx, account).await?);
        }
        if !same.is_empty() {
            // The usual case, and the only one that is many: nothing changed.
            let text = format!(
                "UPDATE account SET seen_run = $1, seen_at = $2 WHERE seq IN (SELECT CAST(e.v AS BIGINT) FROM {} e)",
                tx.conn.each(3)
            );
            tx.conn.run(&text, vals![self.run, tx.now, json!(same).to_string()]).await?;
        }
        Ok(imported)
    }
}

/// Whether a listed account is as it is known, and nothing is to be done for it.
fn is_same(known: &KnownAccount, account: &Account) -> bool {
    let row = &known.row;
    let settled = match known.managed {
        Some(true) => true,
        Some(false) => {
            let listed = Value::Object(document(account)).to_string();
            known.document.as_deref() == Some(listed.as_str())
        }
        None => account.protected,
    };
    settled
        && account.invite_id.is_none()
        && row.status == status_word(account.status)
        && row.protected == account.protected
        && row.expires_at == account.expires_at.map(|at| at.as_microsecond())
        && row.doc == document_of(account, Some(row))
}

impl SweepAccounts {
    /// The rows of the listed accounts, by the target's id.
    async fn known(&self, tx: &Tx<'_>) -> Result<HashMap<String, KnownAccount>, StoreError> {
        let ids: Vec<&str> =
            self.accounts.iter().filter_map(|account| account.remote_id.as_ref().map(RemoteId::as_str)).collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let text = format!(
            "SELECT {}, a.seen_at, a.seen_run, r.managed, CASE WHEN r.managed = 0 THEN r.doc END AS document FROM {} e CROSS JOIN account a \
             LEFT JOIN link l ON l.account_seq = a.seq AND l.state = 'live' LEFT JOIN resource r ON r.seq = l.resource_seq \
             WHERE a.instance_seq = $1 AND a.kind = 'User' AND a.remote_id = e.v AND a.status <> 'gone'",
            AccountRow::COLUMNS,
            tx.conn.each(2)
        );
        let rows = tx.conn.all(&text, vals![self.instance.seq, json!(ids).to_string()]).await?;
        let mut known = HashMap::with_capacity(rows.len());
        for row in &rows {
            let one = KnownAccount {
                row: AccountRow::read(row)?,
                seen_at: row.col("seen_at")?,
                seen_run: row.col("seen_run")?,
                managed: row.col::<Option<i16>>("managed")?.map(|flag| flag == 1),
                document: row.col("document")?,
            };
            if let Some(id) = one.row.remote_id.clone() {
                known.insert(id, one);
            }
        }
        Ok(known)
    }

    /// Takes one account up that is new or has changed. Whether it became a row.
    async fn take(&self, tx: &Tx<'_>, account: &Account) -> Result<bool, StoreError> {
        if self.touched_since(tx, account).await? {
            return Ok(false);
        }
        let former = self.former(tx, account).await?;
        let row = observe(tx, &self.instance, account, None, Some(self.run)).await?;
        let tied = tx
            .conn
            .one("SELECT resource_seq FROM link WHERE account_seq = $1 AND state = 'live'", vals![row.seq])
            .await?;
        if let Some(tied) = tied {
            self.refresh(tx, tied.col("resource_seq")?, account).await?;
            return Ok(false);
        }
        if let Some(resource) = former {
            // The same account is back: it is theirs by its id, whatever is wanted of it now.
            link(tx, &self.instance, resource, &row, Evidence::SameId, true).await?;
            return Ok(false);
        }
        if account.protected {
            return Ok(false);
        }
        self.import(tx, account, &row).await
    }

    /// Whose an account was that had gone and is listed again: a person that is managed and has no
    /// other account since.
    async fn former(&self, tx: &Tx<'_>, account: &Account) -> Result<Option<i64>, StoreError> {
        let Some(remote) = &account.remote_id else { return Ok(None) };
        let row = tx
            .conn
            .one(
                "SELECT l.resource_seq FROM account a JOIN link l ON l.account_seq = a.seq JOIN resource r ON r.seq = l.resource_seq \
                 WHERE a.instance_seq = $1 AND a.kind = 'User' AND a.remote_id = $2 AND a.status = 'gone' AND r.managed = 1 AND r.deleted_at IS NULL \
                 AND NOT EXISTS (SELECT 1 FROM link n WHERE n.resource_seq = r.seq AND n.state = 'live') \
                 AND NOT EXISTS (SELECT 1 FROM account n WHERE n.instance_seq = $1 AND n.kind = 'User' AND n.remote_id = $2 AND n.status <> 'gone') \
                 AND l.seq = (SELECT MAX(k.seq) FROM link k JOIN account b ON b.seq = k.account_seq \
                   WHERE b.instance_seq = $1 AND b.kind = 'User' AND b.remote_id = $2 AND k.state = 'closed' AND k.rejected = 0)",
                vals![self.instance.seq, remote.as_str()],
            )
            .await?;
        row.map(|row| row.col("resource_seq")).transpose()
    }

    /// Whether the driver changed the account after the listing began; the listing is older then.
    async fn touched_since(&self, tx: &Tx<'_>, account: &Account) -> Result<bool, StoreError> {
        let Some(remote) = &account.remote_id else {
            // An invitation that ended since must not come back to life.
            let Some(invite) = &account.invite_id else { return Ok(false) };
            let row = tx
                .conn
                .one(
                    "SELECT 1 AS one FROM account WHERE instance_seq = $1 AND invite_id = $2 AND status = 'gone' AND seen_at > $3",
                    vals![self.instance.seq, invite.as_str(), self.started],
                )
                .await?;
            return Ok(row.is_some());
        };
        let row = tx
            .conn
            .one(
                "SELECT 1 AS one FROM account WHERE instance_seq = $1 AND kind = 'User' AND remote_id = $2 AND seen_at > $3 AND (seen_run IS NULL OR seen_run <> $4)",
                vals![self.instance.seq, remote.as_str(), self.started, self.run],
            )
            .await?;
        Ok(row.is_some())
    }

    /// A row that nobody manages follows the target; a managed one is never overwritten (DECISIONS 1).
    async fn refresh(&self, tx: &Tx<'_>, resource: i64, account: &Account) -> Result<(), StoreError> {
        let row = tx.conn.one("SELECT managed, deleted_at, doc FROM resource WHERE seq = $1", vals![resource]).await?;
        let Some(row) = row else { return Ok(()) };
        if row.col::<i16>("managed")? == 1 || row.col::<Option<i64>>("deleted_at")?.is_some() {
            return Ok(());
        }
        let document = Value::Object(document(account));
        let text = document.to_string();
        if row.col::<String>("doc")? != text {
            let name = document["userName"].as_str().unwrap_or_default();
            tx.conn
                .run(
                    "UPDATE resource SET name = $2, name_key = $3, doc = $4, active = $5, version = version + 1, modified_at = $6 WHERE seq = $1",
                    vals![resource, name, fold_name(name), document.to_string(), i16::from(account.status != AccountStatus::Suspended), tx.now],
                )
                .await?;
            unindex(tx, resource).await?;
            if let Some(document) = document.as_object() {
                index(tx, self.instance.seq, resource, document).await?;
            }
        }
        Ok(())
    }

    async fn import(&self, tx: &Tx<'_>, account: &Account, row: &AccountRow) -> Result<bool, StoreError> {
        let document = document(account);
        let Some(name) = document.get("userName").and_then(Value::as_str).map(str::to_owned) else {
            return Ok(false);
        };
        let name_key = fold_name(&name);
        let managed = tx
            .conn
            .one(
                "SELECT r.seq, r.rev FROM resource r WHERE r.instance_seq = $1 AND r.kind = 'User' AND r.name_key = $2 AND r.deleted_at IS NULL AND r.managed = 1",
                vals![self.instance.seq, name_key.as_str()],
            )
            .await?;
        if let Some(managed) = managed {
            // Somebody of that name is wanted and not tied to anything: the driver finds out whether
            // this account is theirs, under the policy.
            let resource: i64 = managed.col("seq")?;
            if linked(tx, resource).await?.is_none() {
                upsert_work(tx, &self.instance, resource, Lane::Reconcile, managed.col("rev")?, None).await?;
            }
            return Ok(false);
        }
        let seq = tx.seq()?;
        let listed = self.instance.policy.list_unmanaged;
        tx.conn
            .run(
                "INSERT INTO resource (seq, instance_seq, kind, id, name, name_key, name_slot, external_id, active, doc, managed, listed, version, rev, settled_rev, \
                 created_at, modified_at, deleted_at, merged_into, look_at) VALUES ($1,$2,'User',$3,$4,$5,$1,NULL,$6,$7,0,$8,1,0,0,$9,$9,NULL,NULL,NULL)",
                vals![
                    seq,
                    self.instance.seq,
                    Uuid::new_v4().to_string(),
                    name,
                    name_key,
                    i16::from(account.status != AccountStatus::Suspended),
                    Value::Object(document.clone()).to_string(),
                    i16::from(listed),
                    tx.now
                ],
            )
            .await?;
        index(tx, self.instance.seq, seq, &document).await?;
        if listed {
            tally(tx, self.instance.seq, "User", seq, 1).await?;
        }
        tx.conn
            .run(
                "INSERT INTO link (seq, resource_seq, account_seq, state, evidence, opened_at, closed_at) VALUES ($1,$2,$3,'live','import',$4,NULL)",
                vals![tx.seq()?, seq, row.seq, tx.now],
            )
            .await?;
        Ok(true)
    }
}

/// The document of an imported account: its userName is its e-mail where the target tells it, else
/// its login.
fn document(account: &Account) -> Map<String, Value> {
    let mut document = Map::new();
    if let Some(name) = account.email.as_ref().or(account.login.as_ref()) {
        document.insert("userName".to_owned(), json!(name));
    }
    if let Some(name) = &account.display_name {
        document.insert("displayName".to_owned(), json!(name));
    }
    if let Some(email) = &account.email {
        document.insert("emails".to_owned(), json!([{"value": email, "type": "work", "primary": true}]));
    }
    document.insert("active".to_owned(), json!(account.status != AccountStatus::Suspended));
    document
}

/// One page of groups. They become rows only where the policy lets them be adopted: a pushed
/// "Owners" must not inherit that team's rights (DECISIONS 7).
pub(super) struct SweepGroups {
    pub(super) instance: Arc<Instance>,
    pub(super) run: i64,
    pub(super) groups: Vec<RemoteGroup>,
}

#[async_trait]
impl Unit for SweepGroups {
    type Out = u64;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<u64, StoreError> {
        let mut imported = 0;
        for group in &self.groups {
            let known = tx
                .conn
                .one(
                    "SELECT a.seq, a.doc, (SELECT COUNT(*) FROM link l WHERE l.account_seq = a.seq AND l.state = 'live') AS links FROM account a \
                     WHERE a.instance_seq = $1 AND a.kind = 'Group' AND a.remote_id = $2 AND a.status <> 'gone'",
                    vals![self.instance.seq, group.id.as_str()],
                )
                .await?;
            let account = match &known {
                Some(row) => {
                    let mut doc: Value = serde_json::from_str(&row.col::<String>("doc")?).unwrap_or_default();
                    doc["name"] = json!(group.name);
                    doc["slug"] = json!(group.slug);
                    let account: i64 = row.col("seq")?;
                    tx.conn
                        .run(
                            "UPDATE account SET doc = $2, seen_run = $3, seen_at = $4, login_key = $5 WHERE seq = $1",
                            vals![account, doc.to_string(), self.run, tx.now, fold_text(&group.name)],
                        )
                        .await?;
                    if row.col::<i64>("links")? > 0 {
                        continue;
                    }
                    account
                }
                None => {
                    let account = tx.seq()?;
                    tx.conn
                        .run(
                            "INSERT INTO account (seq, instance_seq, kind, remote_id, invite_id, login_key, email_key, status, protected, ours, doc, expires_at, invites, seen_run, seen_at) \
                             VALUES ($1,$2,'Group',$3,NULL,$8,NULL,'active',$4,0,$5,NULL,0,$6,$7)",
                            vals![
                                account,
                                self.instance.seq,
                                group.id.as_str(),
                                i16::from(group.protected),
                                json!({"name": group.name, "slug": group.slug}).to_string(),
                                self.run,
                                tx.now,
                                fold_text(&group.name)
                            ],
                        )
                        .await?;
                    account
                }
            };
            if self.instance.policy.adopt_groups == AdoptGroups::ByName && !group.protected {
                imported += u64::from(self.import(tx, group, account).await?);
            }
        }
        Ok(imported)
    }
}

impl SweepGroups {
    async fn import(&self, tx: &Tx<'_>, group: &RemoteGroup, account: i64) -> Result<bool, StoreError> {
        let name_key = fold_name(&group.name);
        let taken = tx
            .conn
            .one(
                "SELECT seq FROM resource WHERE instance_seq = $1 AND kind = 'Group' AND name_key = $2 AND deleted_at IS NULL LIMIT 1",
                vals![self.instance.seq, name_key.as_str()],
            )
            .await?;
        if taken.is_some() {
            return Ok(false);
        }
        let seq = tx.seq()?;
        let listed = self.instance.policy.list_unmanaged;
        tx.conn
            .run(
                "INSERT INTO resource (seq, instance_seq, kind, id, name, name_key, name_slot, external_id, active, doc, managed, listed, version, rev, settled_rev, \
                 created_at, modified_at, deleted_at, merged_into, look_at) VALUES ($1,$2,'Group',$3,$4,$5,$1,NULL,1,$6,0,$7,1,0,0,$8,$8,NULL,NULL,NULL)",
                vals![
                    seq,
                    self.instance.seq,
                    Uuid::new_v4().to_string(),
                    group.name.as_str(),
                    name_key,
                    json!({"displayName": group.name}).to_string(),
                    i16::from(listed),
                    tx.now
                ],
            )
            .await?;
        if listed {
            tally(tx, self.instance.seq, "Group", seq, 1).await?;
        }
        tx.conn
            .run(
                "INSERT INTO link (seq, resource_seq, account_seq, state, evidence, opened_at, closed_at) VALUES ($1,$2,$3,'live','import',$4,NULL)",
                vals![tx.seq()?, seq, account, tx.now],
            )
            .await?;
        Ok(true)
    }
}

/// Rows read at a time.
const UNSEEN: i64 = 200;

/// Accounts behind row `after` that were known before a run and that it did not see.
pub(super) async fn unseen_accounts(
    shared: &Shared,
    instance: &Instance,
    run: i64,
    began: i64,
    after: i64,
) -> Result<Vec<AccountRow>, StoreError> {
    let text = format!(
        "SELECT {} FROM account a WHERE a.instance_seq = $1 AND a.kind = 'User' AND a.status IN ('active','suspended') \
         AND (a.seen_run IS NULL OR a.seen_run <> $2) AND (a.seen_at IS NULL OR a.seen_at < $3) AND a.seq > $4 ORDER BY a.seq LIMIT $5",
        AccountRow::COLUMNS
    );
    let rows = shared.store.reader().all(&text, vals![instance.seq, run, began, after, UNSEEN]).await?;
    rows.iter().map(AccountRow::read).collect()
}

/// Groups behind row `after` that were known before a run and that it did not see: their rows and ids.
pub(super) async fn unseen_groups(
    shared: &Shared,
    instance: &Instance,
    run: i64,
    began: i64,
    after: i64,
) -> Result<Vec<(i64, String)>, StoreError> {
    let rows = shared
        .store
        .reader()
        .all(
            "SELECT seq, remote_id FROM account WHERE instance_seq = $1 AND kind = 'Group' AND status = 'active' AND remote_id IS NOT NULL \
             AND (seen_run IS NULL OR seen_run <> $2) AND (seen_at IS NULL OR seen_at < $3) AND seq > $4 ORDER BY seq LIMIT $5",
            vals![instance.seq, run, began, after, UNSEEN],
        )
        .await?;
    rows.iter().map(|row| Ok((row.col("seq")?, row.col("remote_id")?))).collect()
}

/// Notes of an account that it went by itself.
async fn note_vanished(tx: &Tx<'_>, account: i64) -> Result<(), StoreError> {
    let row = tx.conn.one("SELECT doc FROM account WHERE seq = $1", vals![account]).await?;
    let Some(row) = row else { return Ok(()) };
    let mut doc: Value = serde_json::from_str(&row.col::<String>("doc")?).unwrap_or_default();
    doc["vanished"] = json!(true);
    tx.conn.run("UPDATE account SET doc = $2 WHERE seq = $1", vals![account, doc.to_string()]).await?;
    Ok(())
}

/// An account that is not at the target any more. A row that nobody managed goes with it; a managed
/// one stays, without a link, and is reported: giving access back is for the identity provider or an
/// admin to ask (DECISIONS 23).
pub(super) struct Vanished {
    pub(super) account: i64,
    /// When the target was asked, in microseconds. What was heard of the account since outweighs that it was gone.
    pub(super) asked: i64,
}

#[async_trait]
impl Unit for Vanished {
    /// Whether it is taken as gone.
    type Out = bool;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<bool, StoreError> {
        let held = tx
            .conn
            .one("SELECT resource_seq FROM link WHERE account_seq = $1 AND state = 'live'", vals![self.account])
            .await?;
        if let Some(row) = held {
            // As a run of the person does, so that what such a run, or one of a group, heard meanwhile is seen here.
            let person: i64 = row.col("resource_seq")?;
            let text = format!("SELECT seq FROM resource WHERE seq = $1{}", tx.conn.for_update());
            tx.conn.one(&text, vals![person]).await?;
            lock_groups(tx, person).await?;
            if granted_since(tx, person, self.asked).await? {
                return Ok(false);
            }
        }
        let seen = tx.conn.one("SELECT seen_at FROM account WHERE seq = $1", vals![self.account]).await?;
        if seen.map_or(Ok(None), |row| row.col::<Option<i64>>("seen_at"))?.is_some_and(|at| at >= self.asked) {
            return Ok(false);
        }
        note_vanished(tx, self.account).await?;
        let holder = tx
            .conn
            .one(
                "SELECT r.seq, r.managed, r.listed, r.deleted_at, r.instance_seq FROM link l JOIN resource r ON r.seq = l.resource_seq WHERE l.account_seq = $1 AND l.state = 'live'",
                vals![self.account],
            )
            .await?;
        match holder {
            Some(row) => {
                let resource: i64 = row.col("seq")?;
                gone(tx, resource, self.account).await?;
                if row.col::<i16>("managed")? == 0 && row.col::<Option<i64>>("deleted_at")?.is_none() {
                    tx.conn.run("UPDATE resource SET deleted_at = $2 WHERE seq = $1", vals![resource, tx.now]).await?;
                    tx.conn.run("DELETE FROM attr WHERE resource_seq = $1", vals![resource]).await?;
                    if row.col::<i16>("listed")? == 1 {
                        tally(tx, row.col("instance_seq")?, "User", resource, -1).await?;
                    }
                }
            }
            None => {
                tx.conn
                    .run("UPDATE account SET status = 'gone', seen_at = $2 WHERE seq = $1", vals![self.account, tx.now])
                    .await?;
            }
        }
        Ok(true)
    }
}

/// A group that is not at the target any more. What is wanted of its members waits until the group is
/// made anew, which is for the identity provider or an admin to ask.
pub(super) struct VanishedGroup {
    pub(super) account: i64,
}

#[async_trait]
impl Unit for VanishedGroup {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        note_vanished(tx, self.account).await?;
        let holder = tx
            .conn
            .one(
                "SELECT r.seq, r.managed, r.listed, r.deleted_at, r.instance_seq FROM link l JOIN resource r ON r.seq = l.resource_seq WHERE l.account_seq = $1 AND l.state = 'live'",
                vals![self.account],
            )
            .await?;
        tx.conn
            .run("UPDATE account SET status = 'gone', seen_at = $2 WHERE seq = $1", vals![self.account, tx.now])
            .await?;
        let Some(row) = holder else { return Ok(()) };
        tx.conn
            .run(
                "UPDATE link SET state = 'closed', closed_at = $2 WHERE account_seq = $1 AND state = 'live'",
                vals![self.account, tx.now],
            )
            .await?;
        let resource: i64 = row.col("seq")?;
        tx.conn
            .run(
                "UPDATE member SET have = 0, have_at = $2, state = 'parked', reason = $3, parked_at = $2 WHERE group_seq = $1 AND want = 1 AND state = 'settled'",
                vals![resource, tx.now, ParkReason::GroupMissing.as_str()],
            )
            .await?;
        if row.col::<i16>("managed")? == 0 && row.col::<Option<i64>>("deleted_at")?.is_none() {
            tx.conn.run("UPDATE resource SET deleted_at = $2 WHERE seq = $1", vals![resource, tx.now]).await?;
            if row.col::<i16>("listed")? == 1 {
                tally(tx, row.col("instance_seq")?, "Group", resource, -1).await?;
            }
        }
        Ok(())
    }
}

/// Where people come to the target by other means, those without an account are looked for again.
pub(super) async fn rematch(shared: &Shared, instance: &Arc<Instance>) -> Result<(), StoreError> {
    struct Rematch(Arc<Instance>, i64);

    #[async_trait]
    impl Unit for Rematch {
        type Out = Option<i64>;
        type Err = StoreError;

        async fn run(&mut self, tx: &Tx<'_>) -> Result<Option<i64>, StoreError> {
            let rows = tx
                .conn
                .all(
                    "SELECT r.seq, r.rev FROM resource r WHERE r.instance_seq = $1 AND r.kind = 'User' AND r.deleted_at IS NULL \
                     AND r.managed = 1 AND r.active = 1 AND r.seq > $2 \
                     AND NOT EXISTS (SELECT 1 FROM link l WHERE l.resource_seq = r.seq AND l.state = 'live') \
                     AND NOT EXISTS (SELECT 1 FROM waiver v WHERE v.resource_seq = r.seq AND v.item_seq = 0 AND v.rev = r.rev) \
                     ORDER BY r.seq LIMIT 200",
                    vals![self.0.seq, self.1],
                )
                .await?;
            let mut last = None;
            for row in &rows {
                let resource = row.col("seq")?;
                upsert_work(tx, &self.0, resource, Lane::Reconcile, row.col("rev")?, None).await?;
                last = Some(resource);
            }
            Ok(last)
        }
    }

    let mut after = Some(0);
    while let Some(last) = after {
        after = shared.write_leased(instance, Priority::Background, Rematch(instance.clone(), last)).await?;
    }
    Ok(())
}
