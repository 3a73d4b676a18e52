//! Rows of accounts and links: what the target holds, and whose it is. The only place that links.

use connector_sdk::{Account, AccountRef, AccountStatus, Evidence, InviteId, RemoteId};
use engine::Lane;
use engine::adoption::{Adoption, may_link};
use scim::fold::fold_text;
use serde_json::{Value, json};

use super::{late, links};
use crate::service::accept::{lock_groups, move_memberships, upsert_work};
use crate::service::records::audit;
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError, Tx};

/// An account row that is linked to a resource.
#[derive(Clone, Debug)]
pub(crate) struct AccountRow {
    pub(crate) seq: i64,
    pub(crate) remote_id: Option<String>,
    pub(crate) invite_id: Option<String>,
    pub(crate) status: String,
    pub(crate) protected: bool,
    pub(crate) ours: bool,
    pub(crate) doc: Value,
    pub(crate) expires_at: Option<i64>,
    pub(crate) invites: i16,
}

const COLUMNS: &str = AccountRow::COLUMNS;

impl AccountRow {
    /// The columns that [`AccountRow::read`] wants, of an `account a`.
    pub(crate) const COLUMNS: &'static str =
        "a.seq, a.remote_id, a.invite_id, a.status, a.protected, a.ours, a.doc, a.expires_at, a.invites";

    pub(crate) fn read(row: &sea_orm::QueryResult) -> Result<Self, StoreError> {
        Ok(Self {
            seq: row.col("seq")?,
            remote_id: row.col("remote_id")?,
            invite_id: row.col("invite_id")?,
            status: row.col("status")?,
            protected: row.col::<i16>("protected")? == 1,
            ours: row.col::<i16>("ours")? == 1,
            doc: serde_json::from_str(&row.col::<String>("doc")?)
                .map_err(|error| StoreError::damaged(format!("account.doc: {error}")))?,
            expires_at: row.col("expires_at")?,
            invites: row.col("invites")?,
        })
    }

    /// The account of a resource's row that it was joined to, where there is one: as [`AccountRow::read`], with the
    /// account's number as `account_seq`.
    pub(crate) fn joined(row: &sea_orm::QueryResult) -> Result<Option<Self>, StoreError> {
        let Some(seq) = row.col::<Option<i64>>("account_seq")? else { return Ok(None) };
        Ok(Some(Self {
            seq,
            remote_id: row.col("remote_id")?,
            invite_id: row.col("invite_id")?,
            status: row.col("status")?,
            protected: row.col::<Option<i16>>("protected")? == Some(1),
            ours: row.col::<Option<i16>>("ours")? == Some(1),
            doc: serde_json::from_str(&row.col::<Option<String>>("doc")?.unwrap_or_default())
                .map_err(|error| StoreError::damaged(format!("account.doc: {error}")))?,
            expires_at: row.col("expires_at")?,
            invites: row.col::<Option<i16>>("invites")?.unwrap_or(0),
        }))
    }

    /// A text of the document.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.doc.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    /// Whether the invitation was found gone and is to be followed.
    pub(crate) fn is_missing(&self) -> bool {
        self.doc.get("missing").and_then(Value::as_bool) == Some(true)
    }

    /// How calls name it.
    pub(crate) fn reference(&self) -> Option<AccountRef> {
        if self.status == "invited"
            && let Some(id) = &self.invite_id
        {
            return Some(AccountRef::Invite {
                id: InviteId::new(id),
                email: self.text("email"),
                login: self.text("login"),
            });
        }
        self.remote_id.as_ref().map(|id| AccountRef::Account { id: RemoteId::new(id), login: self.text("login") })
    }
}

/// The account that a resource is linked to.
pub(crate) async fn linked(tx: &Tx<'_>, resource: i64) -> Result<Option<AccountRow>, StoreError> {
    let row = tx
        .conn
        .one(
            &format!("SELECT {COLUMNS} FROM link l JOIN account a ON a.seq = l.account_seq WHERE l.resource_seq = $1 AND l.state = 'live'"),
            vals![resource],
        )
        .await?;
    row.as_ref().map(AccountRow::read).transpose()
}

/// How many invitations were sent for a resource so far.
pub(crate) async fn invites_sent(tx: &Tx<'_>, resource: i64) -> Result<u32, StoreError> {
    let row = tx
        .conn
        .one(
            "SELECT CAST(COALESCE(MAX(a.invites), 0) AS BIGINT) AS n FROM link l JOIN account a ON a.seq = l.account_seq WHERE l.resource_seq = $1",
            vals![resource],
        )
        .await?;
    Ok(row.map_or(Ok(0), |row| row.col::<i64>("n"))?.try_into().unwrap_or(u32::MAX))
}

/// What is kept of an account as the target shows it. `known_as` is the login under which it was known
/// at first, so that a change of it can be told.
pub(crate) fn document_of(account: &Account, known: Option<&AccountRow>) -> Value {
    let mut doc = json!({
        "login": account.login, "email": account.email, "email_verified": account.email_verified,
        "display_name": account.display_name, "role": account.role,
    });
    if let Some(known) = known {
        // A listing that does not tell the e-mail must not make us forget the one we invited.
        for name in ["email", "login", "display_name"] {
            if doc[name].is_null() {
                doc[name] = known.doc[name].clone();
            }
        }
        if !known.doc["profile"].is_null() {
            doc["profile"] = known.doc["profile"].clone();
        }
        let first = if known.doc["known_as"].is_null() { &known.doc["login"] } else { &known.doc["known_as"] };
        if !first.is_null() && *first != doc["login"] {
            doc["known_as"] = first.clone();
        }
    }
    doc
}

/// The word that the store keeps of a status.
pub(crate) fn status_word(status: AccountStatus) -> &'static str {
    match status {
        AccountStatus::Invited => "invited",
        AccountStatus::Active => "active",
        AccountStatus::Suspended => "suspended",
    }
}

pub(super) fn evidence_word(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::SameId => "same_id",
        Evidence::SamlIdentity => "saml_identity",
        Evidence::VerifiedEmail => "verified_email",
        Evidence::Login => "login",
        Evidence::Email => "email",
    }
}

/// Finds or makes the row of an account as the target shows it, and brings it up to date.
pub(crate) async fn observe(
    tx: &Tx<'_>,
    instance: &Instance,
    account: &Account,
    ours: Option<bool>,
    run: Option<i64>,
) -> Result<AccountRow, StoreError> {
    let known = find_row(tx, instance, account).await?;
    let doc = document_of(account, known.as_ref());
    let login_key = doc["login"].as_str().map(fold_text);
    let email_key = doc["email"].as_str().map(fold_text);
    let remote = account.remote_id.as_ref().map(|id| id.as_str().to_owned());
    let invite = account.invite_id.as_ref().map(|id| id.as_str().to_owned());
    let expires = account.expires_at.map(|at| at.as_microsecond());
    let seq = match &known {
        Some(known) => {
            tx.conn
                .run(
                    "UPDATE account SET remote_id = COALESCE($2, remote_id), invite_id = COALESCE($3, invite_id), login_key = $4, email_key = $5, status = $6, \
                     protected = $7, doc = $8, expires_at = $9, ours = CASE WHEN $10 >= 0 THEN $10 ELSE ours END, seen_run = COALESCE($11, seen_run), seen_at = $12 WHERE seq = $1",
                    vals![
                        known.seq,
                        remote,
                        invite,
                        login_key,
                        email_key,
                        status_word(account.status),
                        i16::from(account.protected),
                        doc.to_string(),
                        expires,
                        ours.map_or(-1_i16, i16::from),
                        run,
                        tx.now
                    ],
                )
                .await?;
            known.seq
        }
        None => {
            let seq = tx.seq()?;
            tx.conn
                .run(
                    "INSERT INTO account (seq, instance_seq, kind, remote_id, invite_id, login_key, email_key, status, protected, ours, doc, expires_at, invites, seen_run, seen_at) \
                     VALUES ($1,$2,'User',$3,$4,$5,$6,$7,$8,$9,$10,$11,0,$12,$13)",
                    vals![
                        seq,
                        instance.seq,
                        remote,
                        invite,
                        login_key,
                        email_key,
                        status_word(account.status),
                        i16::from(account.protected),
                        i16::from(ours.unwrap_or(false)),
                        doc.to_string(),
                        expires,
                        run,
                        tx.now
                    ],
                )
                .await?;
            seq
        }
    };
    by_seq(tx, seq).await
}

/// Keeps what of a person was last written to an account ([`connector_sdk::Traits::profile`]).
pub(super) async fn keep_profile(tx: &Tx<'_>, row: &AccountRow, profile: &str) -> Result<(), StoreError> {
    let mut doc = row.doc.clone();
    doc["profile"] = Value::from(profile);
    tx.conn.run("UPDATE account SET doc = $2 WHERE seq = $1", vals![row.seq, doc.to_string()]).await?;
    Ok(())
}

/// The row of an account: by its immutable id, else by its invitation.
async fn find_row(tx: &Tx<'_>, instance: &Instance, account: &Account) -> Result<Option<AccountRow>, StoreError> {
    if let Some(remote) = &account.remote_id {
        let row = tx
            .conn
            .one(
                &format!("SELECT {COLUMNS} FROM account a WHERE a.instance_seq = $1 AND a.kind = 'User' AND a.remote_id = $2 AND a.status <> 'gone'"),
                vals![instance.seq, remote.as_str()],
            )
            .await?;
        if let Some(row) = row {
            return Ok(Some(AccountRow::read(&row)?));
        }
    }
    if let Some(invite) = &account.invite_id {
        let row = tx
            .conn
            .one(
                &format!("SELECT {COLUMNS} FROM account a WHERE a.instance_seq = $1 AND a.invite_id = $2"),
                vals![instance.seq, invite.as_str()],
            )
            .await?;
        if let Some(row) = row {
            return Ok(Some(AccountRow::read(&row)?));
        }
    }
    Ok(None)
}

async fn by_seq(tx: &Tx<'_>, seq: i64) -> Result<AccountRow, StoreError> {
    let row = tx.conn.one(&format!("SELECT {COLUMNS} FROM account a WHERE a.seq = $1"), vals![seq]).await?;
    AccountRow::read(&row.ok_or_else(|| StoreError::damaged("account"))?)
}

/// What linking came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Linked {
    /// It is linked, now or already.
    Yes,
    /// It may not be: a person has to decide.
    No(connector_sdk::Need),
    /// It is still that of somebody deleted, whose removal is on its way: their row and name.
    Leaving(i64, String),
}

/// Links a resource to an account, if the evidence and the policy allow it and the account is
/// nobody else's. An unmanaged twin gives its link up and disappears into this row (DECISIONS 3).
pub(crate) async fn link(
    tx: &Tx<'_>,
    instance: &Instance,
    resource: i64,
    account: &AccountRow,
    evidence: Evidence,
    ours: bool,
) -> Result<Linked, StoreError> {
    let holder = tx
        .conn
        .one(
            "SELECT l.seq, l.resource_seq, r.managed, r.listed, r.kind, r.name, r.deleted_at FROM link l JOIN resource r ON r.seq = l.resource_seq WHERE l.account_seq = $1 AND l.state = 'live'",
            vals![account.seq],
        )
        .await?;
    let mut twin = None;
    let mut other = false;
    if let Some(row) = &holder {
        let held_by: i64 = row.col("resource_seq")?;
        if held_by == resource {
            return Ok(Linked::Yes);
        }
        if row.col::<i16>("managed")? == 0 {
            twin = Some((
                row.col::<i64>("seq")?,
                held_by,
                row.col::<i16>("listed")? == 1 && row.col::<Option<i64>>("deleted_at")?.is_none(),
                row.col::<String>("kind")?,
            ));
        } else {
            other = !is_abandoned(tx, held_by).await?;
        }
    }
    match may_link(evidence, &instance.policy, account.protected, other, ours) {
        Adoption::Link => {}
        Adoption::Conflict(mut need) => {
            if let Some(row) = &holder {
                let (theirs, name): (String, String) = (row.col("name")?, name_of(tx, resource).await?.1);
                let leaver: i64 = row.col("resource_seq")?;
                if row.col::<Option<i64>>("deleted_at")?.is_some() && has_work(tx, leaver).await? {
                    return Ok(Linked::Leaving(leaver, theirs));
                }
                need.message = format!("\"{name}\" and \"{theirs}\" mean one account. {}", need.message);
            }
            return Ok(Linked::No(need));
        }
        Adoption::Refused(mut need) => {
            // A guess that the policy does not take is a person's to confirm.
            if need.code == "adopt" {
                links::propose(tx, resource, account, evidence).await?;
                need.message.push_str(" Or confirm the link that is proposed now.");
            }
            return Ok(Linked::No(need));
        }
    }
    if !ours {
        let (id, _) = name_of(tx, resource).await?;
        audit(
            tx,
            "driver",
            "account.adopt",
            &id,
            &json!({"instance": instance.id, "evidence": evidence_word(evidence)}),
        )
        .await?;
    }
    if let Some((link, twin, listed, kind)) = twin {
        tx.conn.run("UPDATE link SET state = 'closed', closed_at = $2 WHERE seq = $1", vals![link, tx.now]).await?;
        tx.conn
            .run("UPDATE resource SET merged_into = $2, deleted_at = COALESCE(deleted_at, $3), listed = 0 WHERE seq = $1", vals![twin, resource, tx.now])
            .await?;
        if listed {
            crate::service::accept::tally(tx, instance.seq, &kind, twin, -1).await?;
        }
        move_memberships(tx, instance, twin, resource, false).await?;
    } else if let Some(row) = &holder {
        tx.conn
            .run(
                "UPDATE link SET state = 'closed', closed_at = $2 WHERE seq = $1",
                vals![row.col::<i64>("seq")?, tx.now],
            )
            .await?;
    }
    let replaced = tx
        .conn
        .run(
            "UPDATE link SET state = 'closed', closed_at = $2 WHERE resource_seq = $1 AND state = 'live'",
            vals![resource, tx.now],
        )
        .await?;
    if replaced > 0 {
        grant_anew(tx, instance, resource).await?;
    }
    tx.conn
        .run(
            "UPDATE link SET state = 'closed', closed_at = $3 WHERE state = 'proposed' AND (resource_seq = $1 OR account_seq = $2)",
            vals![resource, account.seq, tx.now],
        )
        .await?;
    tx.conn
        .run(
            "INSERT INTO link (seq, resource_seq, account_seq, state, evidence, opened_at, closed_at) VALUES ($1,$2,$3,'live',$4,$5,NULL)",
            vals![tx.seq()?, resource, account.seq, evidence_word(evidence), tx.now],
        )
        .await?;
    if account.status != "invited" {
        wake_memberships(tx, instance, resource).await?;
    }
    Ok(Linked::Yes)
}

/// The id and the name of a resource.
async fn name_of(tx: &Tx<'_>, resource: i64) -> Result<(String, String), StoreError> {
    let row = tx.conn.one("SELECT id, name FROM resource WHERE seq = $1", vals![resource]).await?;
    let row = row.ok_or_else(|| StoreError::damaged("a link without a resource"))?;
    Ok((row.col("id")?, row.col("name")?))
}

/// Whether a row is deleted and nothing of it is left to do at the target: where a target is given
/// memberships only, such a row keeps its link, and the account may be somebody's again.
async fn is_abandoned(tx: &Tx<'_>, resource: i64) -> Result<bool, StoreError> {
    let row = tx
        .conn
        .one(
            "SELECT 1 AS one FROM resource r WHERE r.seq = $1 AND r.deleted_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM work w WHERE w.resource_seq = r.seq) \
             AND NOT EXISTS (SELECT 1 FROM member m WHERE m.user_seq = r.seq)",
            vals![resource],
        )
        .await?;
    Ok(row.is_some())
}

/// A person's account is there: parked memberships may go on, refused ones are tried anew, and ones
/// that an invitation carried are looked at (DECISIONS 20).
pub(crate) async fn wake_memberships(tx: &Tx<'_>, instance: &Instance, user: i64) -> Result<(), StoreError> {
    lock_groups(tx, user).await?;
    let which = "((state IN ('parked','refused') AND want = 1) OR have = 2)";
    let groups = tx
        .conn
        .all(&format!("SELECT m.group_seq, r.rev FROM member m JOIN resource r ON r.seq = m.group_seq WHERE m.user_seq = $1 AND {which} ORDER BY m.group_seq"), vals![user])
        .await?;
    if groups.is_empty() {
        return Ok(());
    }
    tx.conn
        .run(&format!("UPDATE member SET state = 'todo', reason = NULL WHERE user_seq = $1 AND {which}"), vals![user])
        .await?;
    for row in &groups {
        upsert_work(tx, instance, row.col("group_seq")?, Lane::Grant, row.col("rev")?, None).await?;
    }
    Ok(())
}

/// Another account takes the place of the linked one: what that was a member of, this is not.
async fn grant_anew(tx: &Tx<'_>, instance: &Instance, user: i64) -> Result<(), StoreError> {
    lock_groups(tx, user).await?;
    let which = "want = 1 AND (have IS NULL OR have <> 0)";
    let groups = tx
        .conn
        .all(&format!("SELECT m.group_seq, r.rev FROM member m JOIN resource r ON r.seq = m.group_seq WHERE m.user_seq = $1 AND {which} ORDER BY m.group_seq"), vals![user])
        .await?;
    tx.conn
        .run(
            &format!("UPDATE member SET have = 0, have_at = $2, state = 'todo', reason = NULL WHERE user_seq = $1 AND {which}"),
            vals![user, tx.now],
        )
        .await?;
    for row in &groups {
        upsert_work(tx, instance, row.col("group_seq")?, Lane::Grant, row.col("rev")?, None).await?;
    }
    Ok(())
}

/// The account is gone: its link ends and its memberships with it; what is still wanted is parked.
pub(crate) async fn gone(tx: &Tx<'_>, resource: i64, account: i64) -> Result<(), StoreError> {
    lock_groups(tx, resource).await?;
    tx.conn.run("UPDATE account SET status = 'gone', seen_at = $2 WHERE seq = $1", vals![account, tx.now]).await?;
    tx.conn
        .run(
            "UPDATE link SET state = 'closed', closed_at = $2 WHERE account_seq = $1 AND state = 'live'",
            vals![account, tx.now],
        )
        .await?;
    late::over(tx, account).await?;
    tx.conn.run("DELETE FROM member WHERE user_seq = $1 AND want = 0 AND state <> 'todo'", vals![resource]).await?;
    tx.conn
        .run(
            "UPDATE member SET have = 0, have_at = $2, state = CASE WHEN state = 'settled' THEN 'parked' ELSE state END, \
             reason = CASE WHEN state = 'settled' THEN 'no_account' ELSE reason END, \
             parked_at = CASE WHEN state = 'settled' THEN $2 ELSE parked_at END WHERE user_seq = $1",
            vals![resource, tx.now],
        )
        .await?;
    Ok(())
}

async fn has_work(tx: &Tx<'_>, resource: i64) -> Result<bool, StoreError> {
    let row = tx.conn.one("SELECT 1 AS one FROM work WHERE resource_seq = $1", vals![resource]).await?;
    Ok(row.is_some())
}

/// Whether an account went, as somebody's work found or brought about, after the target was asked for what shows it
/// there: then that is out of date.
pub(super) async fn went_since(
    tx: &Tx<'_>,
    instance: &Instance,
    account: &Account,
    asked: i64,
) -> Result<bool, StoreError> {
    let Some(remote) = &account.remote_id else { return Ok(false) };
    let row = tx
        .conn
        .one(
            "SELECT 1 AS one FROM account WHERE instance_seq = $1 AND kind = 'User' AND remote_id = $2 AND status = 'gone' AND seen_at >= $3 LIMIT 1",
            vals![instance.seq, remote.as_str(), asked],
        )
        .await?;
    Ok(row.is_some())
}

/// Notes that an invitation is not where it was, so that the next plan follows it.
pub(crate) async fn mark_missing(tx: &Tx<'_>, account: &AccountRow, missing: bool) -> Result<(), StoreError> {
    let mut doc = account.doc.clone();
    doc["missing"] = json!(missing);
    tx.conn.run("UPDATE account SET doc = $2 WHERE seq = $1", vals![account.seq, doc.to_string()]).await?;
    Ok(())
}
