//! What is too old to be kept goes (DECISIONS 33): in chunks, so that no write waits for it, and never anything that is
//! open, linked, or that somebody is still a member of. How long what is kept is the configuration's ([`Retention`]).

use async_trait::async_trait;

use crate::config::Retention;
#[cfg(test)]
use crate::store::{Priority, Store};
use crate::store::{Rows, Sql, StoreError, Tx, Unit};
use crate::telemetry::names;

/// Rows looked at by one transaction at most.
const CHUNK: i64 = 500;
/// Tombstones that one transaction purges at most: each has rows in other tables.
const TOMBSTONES: i64 = 100;
/// Rows are numbered in blocks per replica, so a row may be older than one with a lower number; not by more than this,
/// in microseconds.
const DISORDER: i64 = 24 * 3_600 * 1_000_000;

/// What is purged, in this order: what refers to others goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Attempts,
    Operations,
    History,
    Tombstones,
    Deserted,
    Rejected,
    Runs,
    Audit,
    /// Versions of manifests that an admin deleted, and that no instance holds to.
    Manifests,
    /// Tasks that people closed, or that nobody wanted any more.
    Tasks,
}

impl Kind {
    pub(crate) const ALL: [Self; 10] = [
        Self::Attempts,
        Self::Operations,
        Self::History,
        Self::Tombstones,
        Self::Deserted,
        Self::Rejected,
        Self::Runs,
        Self::Audit,
        Self::Manifests,
        Self::Tasks,
    ];

    /// The table, as the metric names it.
    pub(crate) fn table(self) -> &'static str {
        match self {
            Self::Attempts => "attempt",
            Self::Operations => "operation",
            Self::History => "history",
            Self::Tombstones | Self::Deserted => "resource",
            Self::Rejected => "rejected",
            Self::Runs => "run",
            Self::Audit => "audit",
            Self::Manifests => "manifest",
            Self::Tasks => "task",
        }
    }

    fn kept_for(self, retention: &Retention) -> i64 {
        let span = match self {
            Self::Attempts => retention.attempts,
            Self::Operations | Self::History | Self::Tasks => retention.operations,
            Self::Tombstones | Self::Deserted | Self::Manifests => retention.tombstones,
            Self::Rejected => retention.rejected,
            Self::Runs => retention.runs,
            Self::Audit => retention.audit,
        };
        i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
    }

    /// The column of a row's time and what a row must be to go, of a table `t`, for those that are walked by number.
    fn walked(self) -> Option<(&'static str, &'static str)> {
        match self {
            // What an open operation or unsettled work will look at stays, and so does the doubt whether a linked
            // invitation was taken back.
            Self::Attempts => Some((
                "started_at",
                "t.state NOT IN ('sending','unknown') AND NOT EXISTS (SELECT 1 FROM work w WHERE w.resource_seq = t.resource_seq) \
                 AND NOT EXISTS (SELECT 1 FROM operation o WHERE o.seq = t.op_seq AND o.state = 'open') \
                 AND NOT (t.step = 'remove' AND t.state = 'resolved' AND EXISTS (SELECT 1 FROM link l WHERE l.resource_seq = t.resource_seq AND l.state = 'live'))",
            )),
            // Of a living person or group the newest operation stays: it says who wanted it as it is.
            Self::Operations => Some((
                "at",
                "t.state <> 'open' AND NOT EXISTS (SELECT 1 FROM work w WHERE w.resource_seq = t.resource_seq) \
                 AND NOT EXISTS (SELECT 1 FROM async_request a WHERE a.operation_seq = t.seq) \
                 AND (EXISTS (SELECT 1 FROM operation n WHERE n.resource_seq = t.resource_seq AND n.seq > t.seq) \
                   OR NOT EXISTS (SELECT 1 FROM resource r WHERE r.seq = t.resource_seq AND r.deleted_at IS NULL))",
            )),
            // The newest status of an account is what it was at any time since.
            Self::History => Some((
                "at",
                "(t.what = 'member' OR EXISTS (SELECT 1 FROM history n WHERE n.subject_seq = t.subject_seq AND n.what = t.what AND n.seq > t.seq))",
            )),
            Self::Audit => Some(("at", "1 = 1")),
            Self::Tombstones | Self::Deserted | Self::Rejected | Self::Runs | Self::Manifests | Self::Tasks => None,
        }
    }
}

/// Purges one chunk of one table.
pub(crate) struct Purge {
    pub(crate) kind: Kind,
    pub(crate) retention: Retention,
    /// Behind which row it goes on: its time (of tombstones) and its number.
    pub(crate) after: (i64, i64),
}

/// What one chunk came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Purged {
    /// Rows that went.
    pub(crate) rows: u64,
    /// Where the next chunk begins; none at the end.
    pub(crate) next: Option<(i64, i64)>,
}

#[async_trait]
impl Unit for Purge {
    type Out = Purged;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Purged, StoreError> {
        let before = tx.now.saturating_sub(self.kind.kept_for(&self.retention));
        match (self.kind, self.kind.walked()) {
            (_, Some((time, may_go))) => self.walk(tx, before, time, may_go).await,
            (Kind::Tombstones, _) => self.tombstones(tx, before).await,
            (Kind::Deserted, _) => deserted(tx, before).await,
            (Kind::Runs, _) => {
                // The newest run of a kind that ended stays: it says when the target was last compared.
                let may_go = "t.state <> 'running' AND t.ended_at < $1 AND EXISTS (SELECT 1 FROM run n WHERE n.instance_seq = t.instance_seq \
                     AND n.kind = t.kind AND n.state = t.state AND n.seq > t.seq)";
                self.some(tx, before, may_go).await
            }
            (Kind::Manifests, _) => {
                let may_go = "t.retired_at < $1 AND NOT EXISTS (SELECT 1 FROM instance i WHERE i.connector = t.name \
                     AND i.connector_version = t.version AND i.deleted_at IS NULL)";
                self.some(tx, before, may_go).await
            }
            (Kind::Tasks, _) => self.some(tx, before, "(t.live = 0 OR (t.state = 'refused' AND NOT EXISTS (SELECT 1 FROM work w WHERE w.resource_seq = t.resource_seq))) AND t.closed_at < $1").await,
            _ => self.some(tx, before, "t.last_at < $1").await,
        }
    }
}

impl Purge {
    /// Of the next rows by number, those that are old and may go.
    async fn walk(&self, tx: &Tx<'_>, before: i64, time: &str, may_go: &str) -> Result<Purged, StoreError> {
        let table = self.kind.table();
        let after = self.after.1;
        let text = format!("SELECT seq, {time} AS at FROM {table} WHERE seq > $1 ORDER BY seq LIMIT {CHUNK}");
        let rows = tx.conn.all(&text, vals![after]).await?;
        let mut old = false;
        let mut nearly = false;
        for row in &rows {
            let at: i64 = row.col("at")?;
            old |= at < before;
            nearly |= at < before.saturating_add(DISORDER);
        }
        let Some(last) = rows.last() else { return Ok(Purged::default()) };
        let last: i64 = last.col("seq")?;
        let whole = rows.len() == usize::try_from(CHUNK).unwrap_or(usize::MAX);
        let mut purged = Purged { rows: 0, next: (whole && nearly).then_some((0, last)) };
        if old {
            let text =
                format!("DELETE FROM {table} AS t WHERE t.seq > $1 AND t.seq <= $2 AND t.{time} < $3 AND {may_go}");
            purged.rows = tx.conn.run(&text, vals![after, last, before]).await?;
        }
        Ok(purged)
    }

    /// So many as go, as long as there are any.
    async fn some(&self, tx: &Tx<'_>, before: i64, may_go: &str) -> Result<Purged, StoreError> {
        let table = self.kind.table();
        let text = format!(
            "DELETE FROM {table} WHERE seq IN (SELECT t.seq FROM {table} t WHERE {may_go} ORDER BY t.seq LIMIT {CHUNK})"
        );
        let rows = tx.conn.run(&text, vals![before]).await?;
        Ok(Purged { rows, next: (rows > 0).then_some((0, 0)) })
    }

    /// Deleted people and groups of whom nothing is left to do, nothing is linked, and nobody is a member (DECISIONS, data
    /// model). Their SCIM ids were random and are not given again.
    async fn tombstones(&self, tx: &Tx<'_>, before: i64) -> Result<Purged, StoreError> {
        let (at, seq) = self.after;
        let rows = tx
            .conn
            .all(
                &format!(
                    "SELECT seq, deleted_at FROM resource WHERE deleted_at IS NOT NULL AND deleted_at < $1 AND (deleted_at > $2 OR (deleted_at = $2 AND seq > $3)) \
                     ORDER BY deleted_at, seq LIMIT {TOMBSTONES}{}",
                    tx.conn.for_update()
                ),
                vals![before, at, seq],
            )
            .await?;
        let Some(last) = rows.last() else { return Ok(Purged::default()) };
        let next = Some((last.col("deleted_at")?, last.col("seq")?));
        let next = next.filter(|_| rows.len() == usize::try_from(TOMBSTONES).unwrap_or(usize::MAX));
        let mut seqs: Vec<String> = Vec::with_capacity(rows.len());
        for row in &rows {
            seqs.push(row.col::<i64>("seq")?.to_string());
        }
        // Only now that they are locked: a change that takes one of them up again has come before, or waits.
        let text = format!(
            "SELECT r.seq FROM resource r WHERE r.seq IN ({}) AND NOT EXISTS (SELECT 1 FROM work w WHERE w.resource_seq = r.seq) \
             AND NOT EXISTS (SELECT 1 FROM work w WHERE w.after_seq = r.seq) \
             AND NOT EXISTS (SELECT 1 FROM link l WHERE l.resource_seq = r.seq AND l.state <> 'closed') \
             AND NOT EXISTS (SELECT 1 FROM member m WHERE m.group_seq = r.seq) AND NOT EXISTS (SELECT 1 FROM member m WHERE m.user_seq = r.seq) \
             AND NOT EXISTS (SELECT 1 FROM operation o WHERE o.resource_seq = r.seq AND o.state = 'open') \
             AND NOT EXISTS (SELECT 1 FROM task t WHERE t.resource_seq = r.seq AND t.live = 1 AND t.state <> 'refused') \
             AND NOT EXISTS (SELECT 1 FROM attempt t WHERE t.resource_seq = r.seq AND t.state IN ('sending','unknown'))",
            seqs.join(",")
        );
        let free = tx.conn.all(&text, vals![]).await?;
        if free.is_empty() {
            return Ok(Purged { rows: 0, next });
        }
        let mut gone: Vec<String> = Vec::with_capacity(free.len());
        for row in &free {
            gone.push(row.col::<i64>("seq")?.to_string());
        }
        let gone = gone.join(",");
        let accounts = tx
            .conn
            .all(&format!("SELECT DISTINCT account_seq FROM link WHERE resource_seq IN ({gone})"), vals![])
            .await?;
        forget(tx, &gone).await?;
        let mut held: Vec<String> = Vec::with_capacity(accounts.len());
        for row in &accounts {
            held.push(row.col::<i64>("account_seq")?.to_string());
        }
        if !held.is_empty() {
            let text = format!(
                "DELETE FROM account WHERE seq IN ({}) AND status = 'gone' AND NOT EXISTS (SELECT 1 FROM link l WHERE l.account_seq = account.seq)",
                held.join(",")
            );
            tx.conn.run(&text, vals![]).await?;
        }
        let rows = tx.conn.run(&format!("DELETE FROM resource WHERE seq IN ({gone})"), vals![]).await?;
        Ok(Purged { rows, next })
    }
}

/// Drops what tells of resources that go: `gone` lists their rows.
async fn forget(tx: &Tx<'_>, gone: &str) -> Result<(), StoreError> {
    for table in ["attr", "claim", "waiver", "drift", "link"] {
        tx.conn.run(&format!("DELETE FROM {table} WHERE resource_seq IN ({gone})"), vals![]).await?;
    }
    for table in ["waiver", "drift"] {
        tx.conn.run(&format!("DELETE FROM {table} WHERE item_seq IN ({gone})"), vals![]).await?;
    }
    Ok(())
}

/// The people, groups and accounts of instances that were deleted: nobody asks for them any more, and nothing is done
/// for them. The instance's own row stays, for the record.
async fn deserted(tx: &Tx<'_>, before: i64) -> Result<Purged, StoreError> {
    let of = "SELECT i.seq FROM instance i WHERE i.deleted_at IS NOT NULL AND i.deleted_at < $1";
    let text = format!(
        "SELECT r.seq FROM resource r WHERE r.instance_seq IN ({of}) ORDER BY r.instance_seq LIMIT {TOMBSTONES}"
    );
    let rows = tx.conn.all(&text, vals![before]).await?;
    if rows.is_empty() {
        // Accounts last: links referred to them.
        let text = format!(
            "DELETE FROM account WHERE seq IN (SELECT a.seq FROM account a WHERE a.instance_seq IN ({of}) LIMIT {CHUNK})"
        );
        let rows = tx.conn.run(&text, vals![before]).await? + desk(tx, of, before).await?;
        return Ok(Purged { rows, next: (rows > 0).then_some((0, 0)) });
    }
    let mut gone: Vec<String> = Vec::with_capacity(rows.len());
    for row in &rows {
        gone.push(row.col::<i64>("seq")?.to_string());
    }
    let gone = gone.join(",");
    forget(tx, &gone).await?;
    for (table, column) in
        [("member", "group_seq"), ("member", "user_seq"), ("work", "resource_seq"), ("attempt", "resource_seq")]
    {
        tx.conn.run(&format!("DELETE FROM {table} WHERE {column} IN ({gone})"), vals![]).await?;
    }
    let rows = tx.conn.run(&format!("DELETE FROM resource WHERE seq IN ({gone})"), vals![]).await?;
    Ok(Purged { rows, next: Some((0, 0)) })
}

/// What is on record of targets without an API. Tasks go in their own time.
async fn desk(tx: &Tx<'_>, of: &str, before: i64) -> Result<u64, StoreError> {
    let mut gone = 0;
    for (member, table) in [("account_seq", "desk_account"), ("group_seq", "desk_group")] {
        let rows = format!("SELECT d.seq FROM {table} d WHERE d.instance_seq IN ({of}) ORDER BY d.seq LIMIT {CHUNK}");
        tx.conn.run(&format!("DELETE FROM desk_member WHERE {member} IN ({rows})"), vals![before]).await?;
        gone += tx.conn.run(&format!("DELETE FROM {table} WHERE seq IN ({rows})"), vals![before]).await?;
    }
    Ok(gone)
}

/// Purges everything whose time is over; `write` runs a chunk and says no once it is not this replica's to do.
pub(crate) async fn keep_time<F>(retention: &Retention, mut write: impl FnMut(Purge) -> F) -> Result<u64, StoreError>
where
    F: Future<Output = Result<Purged, StoreError>>,
{
    let mut all = 0;
    for kind in Kind::ALL {
        let mut after = Some((i64::MIN, 0));
        while let Some(from) = after {
            let purged = write(Purge { kind, retention: *retention, after: from }).await?;
            metrics::counter!(names::PURGED_TOTAL, "table" => kind.table()).increment(purged.rows);
            all += purged.rows;
            after = purged.next;
        }
    }
    Ok(all)
}

/// Purges without a lease: where this process is known to be the only one that does.
#[cfg(test)]
pub(super) async fn purge(store: &Store, retention: &Retention) -> u64 {
    keep_time(retention, |unit| store.write(Priority::Background, unit)).await.unwrap()
}
