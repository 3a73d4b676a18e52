//! Comparing rows of the directory with what the target was just seen to hold: people, groups by
//! their names, and what nobody pushed. Pages of rows, each read, judged and written in one transaction.

use std::sync::Arc;

use async_trait::async_trait;
use engine::Lane;
use engine::drift::{self, Action, Before, Circumstances, Difference};
use engine::person::{PersonStep, Wanted};
use sea_orm::QueryResult;
use serde_json::{Value, json};

use super::repair::{Cause, mend};
use super::table::{self, Found};
use crate::driver::{AccountRow, Facts, judge};
use crate::service::accept::upsert_work;
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError, Tx, Unit};

/// Rows per page.
const PAGE: i64 = 200;

/// What one page came to.
pub(super) struct Compared {
    /// Differences, and how many of them are being repaired.
    pub(super) found: (u64, u64),
    /// The last row, if there may be more.
    pub(super) last: Option<i64>,
}

/// Stores a page's differences.
async fn kept(
    tx: &Tx<'_>,
    instance: &Instance,
    run: i64,
    found: &[Found],
    rows: &[QueryResult],
) -> Result<Compared, StoreError> {
    table::keep(tx, instance.seq, run, found).await?;
    let last = match rows.last() {
        Some(row) if rows.len() as i64 == PAGE => Some(row.col("seq")?),
        _ => None,
    };
    Ok(Compared { found: table::tell(found), last })
}

/// The document of an account that was tied to this resource last, and whether it is waived; of a page
/// of resources. Both kinds have the same columns: the resource, its tie, its work.
const ROWS: &str = "SELECT r.seq, r.name, r.doc AS wanted_doc, r.active, r.rev, r.look_at, a.seq AS account_seq, a.remote_id, a.invite_id, a.status, a.protected, \
     a.ours, a.doc, a.expires_at, a.invites, a.seen_run, a.seen_at, w.resource_seq AS busy, v.resource_seq AS waived, \
     CASE WHEN a.seq IS NULL THEN (SELECT x.doc FROM link k JOIN account x ON x.seq = k.account_seq WHERE k.resource_seq = r.seq AND k.state = 'closed' ORDER BY k.seq DESC LIMIT 1) END AS former, \
     CASE WHEN a.seq IS NULL THEN (SELECT CAST(COALESCE(MAX(x.invites), 0) AS BIGINT) FROM link k JOIN account x ON x.seq = k.account_seq WHERE k.resource_seq = r.seq) END AS invites_sent \
     FROM resource r LEFT JOIN link l ON l.resource_seq = r.seq AND l.state = 'live' LEFT JOIN account a ON a.seq = l.account_seq \
     LEFT JOIN work w ON w.resource_seq = r.seq LEFT JOIN waiver v ON v.resource_seq = r.seq AND v.item_seq = 0 AND v.rev = r.rev \
     WHERE r.instance_seq = $1 AND r.kind = $2 AND r.managed = 1 AND r.listed = 1 AND r.deleted_at IS NULL AND r.seq > $3 ORDER BY r.seq LIMIT $4";

fn before(row: &QueryResult) -> Result<Before, StoreError> {
    let former = row.col::<Option<String>>("former")?;
    Ok(match former.and_then(|text| serde_json::from_str::<Value>(&text).ok()) {
        None => Before::Never,
        Some(doc) if doc["vanished"] == true => Before::Vanished,
        Some(_) => Before::There,
    })
}

/// Whether what is known of the account is of this run, or newer.
fn is_fresh(row: &QueryResult, run: i64, began: i64) -> Result<bool, StoreError> {
    Ok(row.col::<Option<i64>>("seen_run")? == Some(run)
        || row.col::<Option<i64>>("seen_at")?.is_some_and(|at| at >= began))
}

/// Marks are taken off with the look that they asked for.
async fn unmark(tx: &Tx<'_>, rows: &[QueryResult], began: i64) -> Result<(), StoreError> {
    let mut marked: Vec<i64> = Vec::new();
    for row in rows {
        if row.col::<Option<i64>>("look_at")?.is_some_and(|at| at <= began) {
            marked.push(row.col("seq")?);
        }
    }
    if marked.is_empty() {
        return Ok(());
    }
    let text = format!(
        "UPDATE resource SET look_at = NULL WHERE look_at <= $1 AND seq IN (SELECT CAST(e.v AS BIGINT) FROM {} e)",
        tx.conn.each(2)
    );
    tx.conn.run(&text, vals![began, json!(marked).to_string()]).await?;
    Ok(())
}

/// A page of people.
pub(super) struct People {
    pub(super) instance: Arc<Instance>,
    pub(super) run: i64,
    pub(super) id: String,
    pub(super) began: i64,
    /// Whether accounts were listed whole: else absence proves nothing.
    pub(super) complete: bool,
    pub(super) after: i64,
    /// Only this one.
    pub(super) only: Option<i64>,
}

#[async_trait]
impl Unit for People {
    type Out = Compared;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Compared, StoreError> {
        let limit = if self.only.is_some() { 1 } else { PAGE };
        let mut rows = tx.conn.all(ROWS, vals![self.instance.seq, "User", self.after, limit]).await?;
        if let Some(only) = self.only {
            rows.retain(|row| row.col::<i64>("seq").is_ok_and(|seq| seq == only));
        }
        let mut found = Vec::new();
        for row in &rows {
            self.judge(tx, row, &mut found).await?;
        }
        unmark(tx, &rows, self.began).await?;
        kept(tx, &self.instance, self.run, &found, &rows).await
    }
}

impl People {
    async fn judge(&self, tx: &Tx<'_>, row: &QueryResult, found: &mut Vec<Found>) -> Result<(), StoreError> {
        let Ok(connector) = &self.instance.connector else { return Ok(()) };
        if connector.accounts().is_none() {
            return Ok(());
        }
        let resource: i64 = row.col("seq")?;
        let account = AccountRow::joined(row)?;
        let repeated = row.col::<Option<i64>>("look_at")?.is_some_and(|at| at <= self.began);
        let name: String = row.col("name")?;
        let doc: scim::Document = serde_json::from_str(&row.col::<String>("wanted_doc")?)
            .map_err(|error| StoreError::damaged(format!("resource.doc: {error}")))?;
        let wanted = if row.col::<i16>("active")? == 1 { Wanted::Access } else { Wanted::NoAccess { delete: false } };
        let facts = Facts {
            name: &name,
            doc: &doc,
            wanted,
            row: account.as_ref(),
            doubt: None,
            invites_sent: row.col::<Option<i64>>("invites_sent")?.unwrap_or(0).try_into().unwrap_or(u32::MAX),
            now: tx.now,
        };
        let before = before(row)?;
        let (step, difference, detail) = judge(&self.instance, connector.as_ref(), &facts, |step, view| {
            let difference = drift::of_person(&step, view, before);
            let detail = difference.map(|difference| {
                person_detail(&step, difference, view.account.as_ref().and_then(|one| one.role.as_deref()))
            });
            (step, difference, detail)
        });
        if repeated && step != PersonStep::Settled {
            // Asked for again: the plan sees what the listing just showed (DECISIONS 12).
            upsert_work(tx, &self.instance, resource, Lane::Reconcile, row.col("rev")?, None).await?;
        }
        let known = match &account {
            Some(_) => is_fresh(row, self.run, self.began)?,
            None => self.complete,
        };
        if row.col::<Option<i64>>("busy")?.is_some() || !known {
            return Ok(());
        }
        let waived = row.col::<Option<i64>>("waived")?.is_some();
        let account_seq = account.as_ref().map_or(0, |account| account.seq);
        if let (Some(difference), Some(detail)) = (difference, detail) {
            let circumstances = Circumstances { asserted: true, waived, repeated };
            let mut one = Found {
                resource,
                item: 0,
                account: account_seq,
                remote: String::new(),
                difference,
                action: drift::action(difference, circumstances, self.instance.policy.repair),
                detail,
                operation: None,
            };
            if one.action == Action::Repair {
                let cause = Cause { actor: "reconcile".to_owned(), run: Some(self.id.clone()) };
                let words = one.detail["message"].as_str().unwrap_or_default().to_owned();
                let leaves = wanted != Wanted::Access;
                one.operation =
                    Some(mend(tx, &self.instance, resource, difference.access, leaves, &words, &cause).await?);
            }
            found.push(one);
        }
        let text = |name: &str| account.as_ref().and_then(|account| account.text(name));
        if let Some(difference) = drift::of_login(text("known_as").as_deref(), text("login").as_deref()) {
            found.push(Found {
                resource,
                item: 0,
                account: account_seq,
                remote: String::new(),
                difference,
                action: if waived { Action::Dismissed } else { Action::Report },
                detail: json!({
                    "message": "The login changed at the target. The account is followed by its id; dismiss this to accept the name.",
                    "before": text("known_as"), "now": text("login"),
                }),
                operation: None,
            });
        }
        Ok(())
    }
}

/// What an admin is told of a person who differs.
fn person_detail(step: &PersonStep, difference: Difference, role: Option<&str>) -> Value {
    let message = match step {
        PersonStep::Create if difference.class == drift::Class::Vanished => {
            "The account is gone from the target; nobody here removed it."
        }
        PersonStep::Create => "The person is wanted at the target and has no account there.",
        PersonStep::Update(change) if change.role.is_none() => {
            "What the directory has of the person was not written to the target yet."
        }
        PersonStep::Update(_) => "The role at the target is not the one that was asked for.",
        PersonStep::Suspend | PersonStep::Remove(_) if difference.access == drift::Access::Less => {
            "The account is active at the target again, and the person shall have no access."
        }
        PersonStep::Restore => "The account is suspended at the target, and the person shall have access.",
        PersonStep::Need(need) => return json!({"message": need.message, "need": need.code}),
        _ => "The account at the target is not as it was asked for.",
    };
    match step {
        PersonStep::Update(change) if change.role.is_some() => {
            json!({"message": message, "attribute": "roles", "wanted": change.role, "found": role})
        }
        _ => json!({ "message": message }),
    }
}

/// A page of groups, compared by name and tie.
pub(super) struct GroupNames {
    pub(super) instance: Arc<Instance>,
    pub(super) run: i64,
    pub(super) id: String,
    pub(super) began: i64,
    pub(super) complete: bool,
    pub(super) after: i64,
}

#[async_trait]
impl Unit for GroupNames {
    type Out = Compared;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Compared, StoreError> {
        let rows = tx.conn.all(ROWS, vals![self.instance.seq, "Group", self.after, PAGE]).await?;
        let mut found = Vec::new();
        let mut unmarked = Vec::new();
        for row in rows.iter() {
            self.judge(tx, row, &mut found).await?;
            // Those that are tied keep their mark until their members have been read.
            if row.col::<Option<i64>>("account_seq")?.is_none() {
                unmarked.push(row.col::<i64>("seq")?);
            }
        }
        for resource in unmarked {
            tx.conn
                .run("UPDATE resource SET look_at = NULL WHERE seq = $1 AND look_at <= $2", vals![resource, self.began])
                .await?;
        }
        kept(tx, &self.instance, self.run, &found, &rows).await
    }
}

impl GroupNames {
    async fn judge(&self, tx: &Tx<'_>, row: &QueryResult, found: &mut Vec<Found>) -> Result<(), StoreError> {
        let Ok(connector) = &self.instance.connector else { return Ok(()) };
        let account = AccountRow::joined(row)?;
        let known = match &account {
            Some(_) => is_fresh(row, self.run, self.began)?,
            None => self.complete,
        };
        if connector.groups().is_none() || row.col::<Option<i64>>("busy")?.is_some() || !known {
            return Ok(());
        }
        let name: String = row.col("name")?;
        let seen = account.as_ref().and_then(|account| account.text("name"));
        let Some(difference) = drift::of_group(&name, seen.as_deref(), before(row)?) else { return Ok(()) };
        let resource: i64 = row.col("seq")?;
        let circumstances = Circumstances {
            asserted: true,
            waived: row.col::<Option<i64>>("waived")?.is_some(),
            repeated: row.col::<Option<i64>>("look_at")?.is_some_and(|at| at <= self.began),
        };
        let message = match seen {
            Some(_) => "The group has another name at the target.",
            None => "The group is gone from the target; nobody here removed it.",
        };
        let mut one = Found {
            resource,
            item: 0,
            account: account.as_ref().map_or(0, |account| account.seq),
            remote: String::new(),
            difference,
            action: drift::action(difference, circumstances, self.instance.policy.repair),
            detail: json!({"message": message, "wanted": name, "found": seen}),
            operation: None,
        };
        if one.action == Action::Repair {
            let cause = Cause { actor: "reconcile".to_owned(), run: Some(self.id.clone()) };
            one.operation = Some(mend(tx, &self.instance, resource, difference.access, false, message, &cause).await?);
        }
        found.push(one);
        Ok(())
    }
}

/// A page of accounts and groups that nobody pushed.
pub(super) struct Strangers {
    pub(super) instance: Arc<Instance>,
    pub(super) run: i64,
    pub(super) after: i64,
}

#[async_trait]
impl Unit for Strangers {
    type Out = Compared;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Compared, StoreError> {
        let rows = tx
            .conn
            .all(
                "SELECT a.seq, a.kind, r.seq AS resource_seq, v.resource_seq AS waived FROM account a \
                 LEFT JOIN link l ON l.account_seq = a.seq AND l.state = 'live' LEFT JOIN resource r ON r.seq = l.resource_seq \
                 LEFT JOIN waiver v ON v.resource_seq = r.seq AND v.item_seq = 0 AND v.rev = r.rev \
                 WHERE a.instance_seq = $1 AND a.status <> 'gone' AND a.protected = 0 AND (r.seq IS NULL OR r.managed = 0) AND a.seq > $2 ORDER BY a.seq LIMIT $3",
                vals![self.instance.seq, self.after, PAGE],
            )
            .await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let message = match row.col::<String>("kind")?.as_str() {
                "Group" => "A group at the target that nobody pushed.",
                _ => "An account at the target that nobody pushed.",
            };
            let waived = row.col::<Option<i64>>("waived")?.is_some();
            let circumstances = Circumstances { waived, ..Circumstances::default() };
            found.push(Found {
                resource: row.col::<Option<i64>>("resource_seq")?.unwrap_or(0),
                item: 0,
                account: row.col("seq")?,
                remote: String::new(),
                difference: drift::UNMANAGED,
                action: drift::action(drift::UNMANAGED, circumstances, self.instance.policy.repair),
                detail: json!({ "message": message }),
                operation: None,
            });
        }
        kept(tx, &self.instance, self.run, &found, &rows).await
    }
}
