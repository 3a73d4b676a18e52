//! Links that a person decides: what is proposed to them, and what they say (DECISIONS 3, 5).

use connector_sdk::{Account, Evidence, Need, RemoteGroup, RemoteId};

use super::accounts::{self, AccountRow, Linked};
use super::group::tie_group;
use super::run::Verdict;
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError, Tx};

/// The evidence of a link that an admin set.
const ADMIN: &str = "admin";

/// What linking by hand came to.
pub(crate) enum ByHand {
    /// It is linked; the link's row.
    Linked(i64),
    /// It may not be, and why.
    No(String),
}

/// Proposes an account for a resource, for a person to confirm.
pub(super) async fn propose(
    tx: &Tx<'_>,
    resource: i64,
    account: &AccountRow,
    evidence: Evidence,
) -> Result<(), StoreError> {
    let known = "SELECT 1 AS one FROM link WHERE resource_seq = $1 AND account_seq = $2 AND (state IN ('proposed','live') OR rejected = 1) LIMIT 1";
    if tx.conn.one(known, vals![resource, account.seq]).await?.is_some() {
        return Ok(());
    }
    tx.conn
        .run(
            "INSERT INTO link (seq, resource_seq, account_seq, state, evidence, opened_at, closed_at) VALUES ($1,$2,$3,'proposed',$4,$5,NULL)",
            vals![tx.seq()?, resource, account.seq, accounts::evidence_word(evidence), tx.now],
        )
        .await?;
    Ok(())
}

/// Ends what is still proposed for a resource.
pub(crate) async fn end_proposals(tx: &Tx<'_>, resource: i64) -> Result<(), StoreError> {
    tx.conn
        .run(
            "UPDATE link SET state = 'closed', closed_at = $2 WHERE resource_seq = $1 AND state = 'proposed'",
            vals![resource, tx.now],
        )
        .await?;
    Ok(())
}

/// Whether somebody said that this account is not the resource's.
pub(super) async fn is_rejected(
    tx: &Tx<'_>,
    instance: &Instance,
    resource: i64,
    account: &Account,
) -> Result<bool, StoreError> {
    let text = |id: Option<&str>| id.map(str::to_owned);
    let row = tx
        .conn
        .one(
            "SELECT 1 AS one FROM link l JOIN account a ON a.seq = l.account_seq WHERE l.resource_seq = $1 AND l.rejected = 1 AND a.instance_seq = $2 \
             AND (a.remote_id = $3 OR (a.remote_id IS NULL AND a.invite_id = $4)) LIMIT 1",
            vals![
                resource,
                instance.seq,
                text(account.remote_id.as_ref().map(RemoteId::as_str)),
                text(account.invite_id.as_ref().map(|id| id.as_str()))
            ],
        )
        .await?;
    Ok(row.is_some())
}

/// The account or group of that id at the target, of the resource's kind, if it is known.
pub(crate) async fn known(
    tx: &Tx<'_>,
    instance: &Instance,
    resource: i64,
    remote_id: &str,
) -> Result<Option<AccountRow>, StoreError> {
    let text = format!(
        "SELECT {} FROM account a JOIN resource r ON r.seq = $2 AND r.kind = a.kind WHERE a.instance_seq = $1 AND a.remote_id = $3 AND a.status <> 'gone'",
        AccountRow::COLUMNS
    );
    let row = tx.conn.one(&text, vals![instance.seq, resource, remote_id]).await?;
    row.as_ref().map(AccountRow::read).transpose()
}

/// Links a resource to an account or group by hand. The adoption policy is the admin's own and does not
/// bind them here; another's account and a protected one do.
pub(crate) async fn set(
    tx: &Tx<'_>,
    instance: &Instance,
    resource: i64,
    account: AccountRow,
) -> Result<ByHand, StoreError> {
    if account.protected {
        return Ok(ByHand::No(
            "The account or group is protected at the target (the credential's own, the last owner, or managed elsewhere), so it is not taken under management.".to_owned(),
        ));
    }
    let kind = tx
        .conn
        .one("SELECT kind FROM resource WHERE seq = $1", vals![resource])
        .await?
        .map_or(Ok(String::new()), |row| row.col("kind"))?;
    let before = accounts::linked(tx, resource).await?.filter(|row| row.seq != account.seq);
    let refused = if kind == "Group" {
        if before.is_some() {
            return Ok(ByHand::No(
                "The group is linked to another group at the target already. Delete it at the identity provider and push it anew to link it to this one.".to_owned(),
            ));
        }
        let name = account.text("name").unwrap_or_default();
        let group = RemoteGroup::new(RemoteId::new(account.remote_id.clone().unwrap_or_default()), name);
        tie_group(tx, instance, resource, &group, account.ours).await?
    } else {
        if let Some(before) = before.as_ref().filter(|row| row.status == "invited") {
            if !before.is_missing() {
                return Ok(ByHand::No(
                    "The person's invitation is still pending, and would stay open. Wait until it is accepted or ends, or deactivate the person, which takes it back.".to_owned(),
                ));
            }
            // It became the account that is linked now.
            tx.conn
                .run(
                    "UPDATE account SET status = 'gone', invites = 0, seen_at = $2 WHERE seq = $1",
                    vals![before.seq, tx.now],
                )
                .await?;
        }
        match accounts::link(tx, instance, resource, &account, Evidence::SameId, true).await? {
            Linked::Yes => None,
            Linked::No(need) => Some(need),
            Linked::Leaving(_, theirs) => {
                return Ok(ByHand::No(format!(
                    "The account is that of a deleted \"{theirs}\", whose removal is on its way. Wait until that has ended, or see what it needs."
                )));
            }
        }
    };
    if let Some(need) = refused {
        return Ok(ByHand::No(need.message));
    }
    end_proposals(tx, resource).await?;
    tx.conn
        .run("UPDATE link SET evidence = $2 WHERE resource_seq = $1 AND state = 'live'", vals![resource, ADMIN])
        .await?;
    // The account that a creation in doubt made is named now.
    tx.conn
        .run(
            "UPDATE attempt SET state = 'resolved', sent = NULL WHERE resource_seq = $1 AND item_seq = 0 AND state = 'unknown' AND step = 'create'",
            vals![resource],
        )
        .await?;
    let row = tx.conn.one("SELECT seq FROM link WHERE resource_seq = $1 AND state = 'live'", vals![resource]).await?;
    match row {
        Some(row) => Ok(ByHand::Linked(row.col("seq")?)),
        None => Err(StoreError::damaged("a link that was just made")),
    }
}

/// The login is another account's now: a person has to say which one is theirs.
pub(super) fn relink(name: &str) -> Verdict {
    Verdict::Need {
        need: Need::new(
            "relink",
            format!(
                "The login that \"{name}\" had at the target now belongs to another account. Nothing was changed. Link the account that is theirs by hand."
            ),
        ),
        refused: None,
    }
}
