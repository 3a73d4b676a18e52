//! Which rows a page of a list shows: found by their numbers alone, so that what is long of them is read for one page only.
//!
//! Each list is walked from its newest row until the page is full. That is quick where many rows fit and slow where few do,
//! so a filter that few rows fit is led by what those few have, or is answered from an index that holds what it asks for.
//!
//! SQLite plans without knowing how many rows there are: a `+` before a column tells it not to choose an index by that
//! column, and what stands left of CROSS JOIN is walked first. PostgreSQL knows the numbers and is left to itself.

use scim::fold::fold_name;
use sea_orm::Value as SqlValue;

use super::operations::{OperationFilter, listed, narrow};
use super::{App, Browse};
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError};

#[cfg(test)]
mod tests;

/// Names, or operations of one asker, up to which a page is looked for among them.
pub(super) const FEW: i64 = 500;
/// Only instances that are there.
const OURS: &str = "IN (SELECT seq FROM instance WHERE deleted_at IS NULL)";

/// Where a walk goes.
struct Lead {
    /// What is walked.
    tables: &'static str,
    /// The column whose order is that of the list.
    key: &'static str,
    /// How the rows of `tables` belong together, and which of them count.
    condition: &'static str,
    /// The column of the instance in what is walked.
    of: &'static str,
}

/// All people or groups.
const FEED: Lead = Lead { tables: "resource r", key: "r.seq", condition: "1 = 1", of: "r.instance_seq" };

impl Browse {
    /// Whether those who were deleted are listed too: for as long as something is left to do about them.
    fn with_deleted(&self) -> bool {
        matches!(self.state.as_deref(), Some("leaving" | "pending" | "held" | "needs"))
    }

    /// A state as a condition on `resource r`.
    fn condition(&self) -> Option<&'static str> {
        let person = self.kind != "Group";
        Some(match self.state.as_deref()? {
            "leaving" => "EXISTS (SELECT 1 FROM work w WHERE w.resource_seq = r.seq AND w.lane = 0)",
            "pending" => {
                "EXISTS (SELECT 1 FROM work w WHERE w.resource_seq = r.seq AND w.state IN ('todo','running','waiting'))"
            }
            "held" if person => "EXISTS (SELECT 1 FROM work w WHERE w.resource_seq = r.seq AND w.state = 'held')",
            "held" => {
                "(EXISTS (SELECT 1 FROM work w WHERE w.resource_seq = r.seq AND w.state = 'held') \
                 OR EXISTS (SELECT 1 FROM member m WHERE m.group_seq = r.seq AND m.held = 1 AND m.state = 'todo'))"
            }
            "needs" => "EXISTS (SELECT 1 FROM work w WHERE w.resource_seq = r.seq AND w.state = 'needs')",
            "settled" => {
                "r.managed = 1 AND NOT EXISTS (SELECT 1 FROM work w WHERE w.resource_seq = r.seq) \
                 AND NOT EXISTS (SELECT 1 FROM waiver v WHERE v.resource_seq = r.seq AND v.item_seq = 0 AND v.rev = r.rev) \
                 AND NOT EXISTS (SELECT 1 FROM drift d WHERE d.instance_seq = r.instance_seq AND d.resource_seq = r.seq AND d.item_seq = 0 AND d.action = 'report' AND d.class <> 'unmanaged' \
                 AND (d.class IN ('missing','vanished')) = NOT EXISTS (SELECT 1 FROM link l JOIN account a ON a.seq = l.account_seq WHERE l.resource_seq = r.seq AND l.state = 'live' AND a.status <> 'gone'))"
            }
            "parked" if person => "EXISTS (SELECT 1 FROM member m WHERE m.user_seq = r.seq AND m.state = 'parked')",
            "parked" => "EXISTS (SELECT 1 FROM member m WHERE m.group_seq = r.seq AND m.state = 'parked')",
            "drifted" => {
                "EXISTS (SELECT 1 FROM drift d WHERE d.instance_seq = r.instance_seq AND d.resource_seq = r.seq AND d.action <> 'dismissed' AND d.class <> 'unmanaged')"
            }
            "waived" => {
                "EXISTS (SELECT 1 FROM waiver v WHERE v.resource_seq = r.seq AND v.item_seq = 0 AND v.rev = r.rev)"
            }
            "unlinked" => {
                "r.managed = 1 AND NOT EXISTS (SELECT 1 FROM link l WHERE l.resource_seq = r.seq AND l.state = 'live')"
            }
            "unmanaged" => "r.managed = 0",
            "protected" => {
                "EXISTS (SELECT 1 FROM link l JOIN account a ON a.seq = l.account_seq WHERE l.resource_seq = r.seq AND l.state = 'live' AND a.protected = 1)"
            }
            _ => return None,
        })
    }

    /// What has a row for those in a state alone, where there is such a thing.
    fn lead(&self) -> Option<Lead> {
        let work = |condition| Lead {
            tables: "work w CROSS JOIN resource r",
            key: "w.resource_seq",
            condition,
            of: "w.instance_seq",
        };
        Some(match (self.state.as_deref()?, self.kind) {
            ("leaving", _) => work("r.seq = w.resource_seq AND w.lane = 0"),
            ("pending", _) => work("r.seq = w.resource_seq AND w.state IN ('todo','running','waiting')"),
            ("held", "User") => work("r.seq = w.resource_seq AND w.state = 'held'"),
            ("needs", _) => work("r.seq = w.resource_seq AND w.state = 'needs'"),
            ("parked", "User") => Lead {
                tables: "member m CROSS JOIN resource r",
                key: "m.user_seq",
                condition: "r.seq = m.user_seq AND m.state = 'parked'",
                of: "r.instance_seq",
            },
            ("drifted", _) => Lead {
                tables: "drift d CROSS JOIN resource r",
                key: "d.resource_seq",
                condition: "r.seq = d.resource_seq AND d.action <> 'dismissed' AND d.class <> 'unmanaged'",
                of: "d.instance_seq",
            },
            ("waived", _) => Lead {
                tables: "waiver v CROSS JOIN resource r",
                key: "v.resource_seq",
                condition: "r.seq = v.resource_seq AND v.item_seq = 0 AND v.rev = r.rev",
                of: "r.instance_seq",
            },
            ("protected", _) => Lead {
                tables: "account a CROSS JOIN link l CROSS JOIN resource r",
                key: "l.resource_seq",
                condition: "a.protected = 1 AND l.account_seq = a.seq AND l.state = 'live' AND r.seq = l.resource_seq",
                of: "a.instance_seq",
            },
            _ => return None,
        })
    }
}

/// The bounds of the names that begin with a text.
fn begins(text: &str) -> [SqlValue; 2] {
    let from = fold_name(text);
    let to = format!("{from}{}", char::MAX);
    [from.into(), to.into()]
}

/// Who asked, in the words of the indexes that are for that alone: under the name as it stands, as the id of a key, as its
/// name.
const ASKED: [&str; 3] = ["actor = $name", "actor = $key", "key_name = $name"];

/// What [`ASKED`] compares with.
fn called_so(asker: &str) -> [SqlValue; 2] {
    [asker.into(), format!("key:{asker}").into()]
}

/// A text with [`ASKED`] in it, where its values stand at a place and the next one.
fn placed(text: &str, first: usize) -> String {
    text.replace("$name", &format!("${first}")).replace("$key", &format!("${}", first + 1))
}

impl App {
    /// Keeps SQLite from choosing an index by the column that follows.
    pub(super) fn aside(&self) -> &'static str {
        if self.store.is_shared() { "" } else { "+" }
    }

    /// A statement for the numbers of the people or groups of a page, newest first, and its values.
    pub(super) async fn pick(
        &self,
        instance: Option<&Instance>,
        which: &Browse,
        before: i64,
        limit: i64,
    ) -> Result<(String, Vec<SqlValue>), StoreError> {
        let aside = self.aside();
        let mut values: Vec<SqlValue> = vals![which.kind, before, limit];
        let named = match &which.text {
            Some(text) if !which.with_deleted() => self.few_named(instance, which.kind, text, FEW).await?,
            _ => false,
        };
        let lead = which.lead().filter(|_| !named).unwrap_or(FEED);
        // By name, the order of the list is of no use; everywhere else it leads.
        let (by_name, in_order) = if named { ("", aside) } else { (aside, "") };
        let key = lead.key;
        let whose = match instance {
            Some(instance) => {
                values.push(instance.seq.into());
                format!("{} = ${}", lead.of, values.len())
            }
            None => format!("r.instance_seq {OURS}"),
        };
        // Differences of one instance are in the order of the list already.
        let how = if instance.is_some() && lead.of == "d.instance_seq" { "" } else { by_name };
        let mut rest = String::new();
        if let Some(text) = &which.text {
            values.extend(begins(text));
            let last = values.len();
            rest.push_str(&format!(" AND r.name_key >= ${} AND r.name_key < ${last}", last - 1));
        }
        if let Some(active) = which.active {
            rest.push_str(if active { " AND r.active = 1" } else { " AND r.active = 0" });
        }
        if let Some(state) = which.condition().filter(|_| lead.tables == FEED.tables) {
            rest.push_str(" AND ");
            rest.push_str(state);
        }
        // In the words of the index that is for lists alone.
        let here = " AND r.deleted_at IS NULL AND r.seq > 0";
        if lead.tables == FEED.tables && which.with_deleted() {
            // That index holds nobody who was deleted: they are found by what is kept of them, and put in order afterwards.
            let one = |order: &str, whose: &str, so: &str| {
                format!(
                    "SELECT * FROM (SELECT r.seq AS seq FROM resource r WHERE r.kind = $1 AND {order}r.seq < $2 AND {whose}{so}{rest} ORDER BY {order}r.seq DESC LIMIT $3)"
                )
            };
            let here = one("", &format!("{how}{whose}"), here);
            let gone = one(aside, &whose, " AND r.deleted_at IS NOT NULL AND r.name_key >= ''");
            let text = format!("SELECT seq FROM ({here} here UNION ALL {gone} gone) found ORDER BY seq DESC LIMIT $3");
            return Ok((text, values));
        }
        let here = if which.with_deleted() { "" } else { here };
        // A person has several parked memberships, and several differences.
        let distinct = if matches!(lead.key, "m.user_seq" | "d.resource_seq") { "DISTINCT " } else { "" };
        let text = format!(
            "SELECT {distinct}{key} AS seq FROM {} WHERE r.kind = $1 AND {in_order}{key} < $2 AND {} AND {how}{whose}{here}{rest} ORDER BY {in_order}{key} DESC LIMIT $3",
            lead.tables, lead.condition
        );
        Ok((text, values))
    }

    /// Whether so few names begin so, `most` of them, that the page is looked for among them.
    pub(super) async fn few_named(
        &self,
        instance: Option<&Instance>,
        kind: &str,
        text: &str,
        most: i64,
    ) -> Result<bool, StoreError> {
        let [from, to] = begins(text);
        let mut values = vals![kind, most + 1];
        values.extend([from, to]);
        let whose = match instance {
            None => OURS.to_owned(),
            Some(instance) => {
                values.push(instance.seq.into());
                "= $5".to_owned()
            }
        };
        let text = format!(
            "SELECT COUNT(*) AS n FROM (SELECT 1 AS one FROM resource WHERE instance_seq {whose} AND kind = $1 AND name_key >= $3 AND name_key < $4 \
             AND deleted_at IS NULL LIMIT $2) AS few"
        );
        let row = self.store.reader().one(&text, values).await?;
        Ok(row.map_or(Ok(0), |row| row.col::<i64>("n"))? <= most)
    }

    /// Whether so few operations were asked for by this that a page is looked for among them.
    async fn few_asked(&self, asker: &str) -> Result<bool, StoreError> {
        let by = ASKED.map(|so| format!("SELECT 1 AS one FROM operation WHERE seq > 0 AND {so}")).join(" UNION ALL ");
        let text = format!("SELECT COUNT(*) AS n FROM ({} LIMIT $3) AS few", placed(&by, 1));
        let mut values = called_so(asker).to_vec();
        values.push((FEW + 1).into());
        let row = self.store.reader().one(&text, values).await?;
        Ok(row.map_or(Ok(0), |row| row.col::<i64>("n"))? <= FEW)
    }

    /// The statement of a page of what was asked for by one, who asked for much: under each of the names, the newest.
    fn pick_asked(
        &self,
        instance: Option<&Instance>,
        filter: &OperationFilter,
        mut values: Vec<SqlValue>,
    ) -> (String, Vec<SqlValue>) {
        let aside = self.aside();
        // The instance, if there is one, was pushed last.
        let whose = instance.map_or_else(|| OURS.to_owned(), |_| format!("= ${}", values.len()));
        let mut state = String::new();
        narrow(&OperationFilter { actor: None, ..filter.clone() }, &mut state, &mut values);
        values.extend(called_so(filter.actor.as_deref().unwrap_or_default()));
        let by = ASKED.map(|so| {
            format!(
                "SELECT * FROM (SELECT o.seq AS seq FROM operation o WHERE o.seq > 0 AND {so} AND o.seq < $1 AND {aside}o.instance_seq {whose}{state} ORDER BY o.seq DESC LIMIT $2) latest"
            )
        });
        let by = placed(&by.join(" UNION "), values.len() - 1);
        (format!("SELECT seq FROM ({by}) asked ORDER BY seq DESC LIMIT $2"), values)
    }

    /// A statement for the numbers of the operations of a page, newest first, and its values; none if nothing can fit.
    pub(super) async fn pick_operations(
        &self,
        instance: Option<&Instance>,
        filter: &OperationFilter,
        before: i64,
        limit: i64,
    ) -> Result<Option<(String, Vec<SqlValue>)>, StoreError> {
        let aside = self.aside();
        let mut values: Vec<SqlValue> = vals![before, limit];
        let mut condition = String::new();
        if let (Some(instance), Some(resource)) = (instance, &filter.resource) {
            let seqs = self.find_resources(instance, resource).await?;
            if seqs.is_empty() {
                return Ok(None);
            }
            condition.push_str(&format!(" AND o.resource_seq IN ({})", listed(&seqs)));
        }
        if let Some(word) = &filter.text {
            let seqs = match instance {
                Some(instance) => self.named_so(instance, word).await?,
                None => self.named_anywhere(word).await?,
            };
            values.push(word.as_str().into());
            let place = values.len();
            let also = if seqs.is_empty() {
                String::new()
            } else {
                format!(" UNION SELECT seq FROM operation WHERE resource_seq IN ({})", listed(&seqs))
            };
            condition.push_str(&format!(
                " AND o.seq IN (SELECT seq FROM operation WHERE id = ${place} UNION SELECT seq FROM operation WHERE request_id = ${place}{also})"
            ));
        }
        let few = match &filter.actor {
            Some(asker) => self.few_asked(asker).await?,
            None => false,
        };
        if let Some(asker) = filter.actor.as_ref().filter(|_| few) {
            values.extend(called_so(asker));
            let by = ASKED.map(|so| format!("SELECT seq FROM operation WHERE seq > 0 AND {so}")).join(" UNION ");
            condition.push_str(&format!(" AND o.seq IN ({})", placed(&by, values.len() - 1)));
        }
        let unapplied = filter.state.as_deref().is_some_and(|state| state != "applied");
        let found = !condition.is_empty();
        // What was found by a look-up, and what did not simply come through of all instances, is put in order afterwards.
        let in_order = if found || (unapplied && instance.is_none()) { aside } else { "" };
        // What an index of the whole log has is asked of it; only the bare list is an instance's own.
        let log = filter.verb.is_some() || filter.since.is_some() || filter.until.is_some();
        let led = log && !found && !unapplied;
        let whose = if found || (instance.is_none() && !unapplied) { aside } else { "" };
        match instance {
            Some(instance) => {
                values.push(instance.seq.into());
                condition.push_str(&format!(" AND {whose}o.instance_seq = ${}", values.len()));
            }
            None => condition.push_str(&format!(" AND {whose}o.instance_seq {OURS}")),
        }
        if filter.actor.is_some() && !found && !unapplied && !log {
            return Ok(Some(self.pick_asked(instance, filter, values)));
        }
        narrow(filter, &mut condition, &mut values);
        if led {
            // The index is walked by itself, and a row is looked at only if what the index has of it fits.
            let mut first = String::new();
            let only = OperationFilter {
                verb: filter.verb.clone(),
                since: filter.since,
                until: filter.until,
                ..OperationFilter::default()
            };
            narrow(&only, &mut first, &mut values);
            let first = first.replace("o.", "n.");
            let mine = instance.map_or_else(String::new, |_| format!(" AND {aside}n.instance_seq = $3"));
            let text = format!(
                "SELECT n.seq AS seq FROM operation n CROSS JOIN operation o WHERE n.seq < $1{mine}{first} AND o.seq = n.seq{condition} ORDER BY n.seq DESC LIMIT $2"
            );
            return Ok(Some((text, values)));
        }
        let text = format!(
            "SELECT o.seq AS seq FROM operation o WHERE {in_order}o.seq < $1{condition} ORDER BY {in_order}o.seq DESC LIMIT $2"
        );
        Ok(Some((text, values)))
    }
}
