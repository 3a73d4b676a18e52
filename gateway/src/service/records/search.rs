//! Finding people, groups, accounts and what happened to them, over all instances: whole ids, or the beginning of a name,
//! an address, a login. Every look-up is one of an index.

use std::collections::HashSet;

use scim::fold::{fold_name, fold_text};
use sea_orm::QueryResult;
use serde_json::{Value, json};

use super::{App, label};
use crate::store::{Rows, Sql, StoreError};

/// The columns of a resource that was found, with its instance.
const FOUND: &str =
    "r.seq, r.id, r.kind, r.name, r.active, r.managed, r.deleted_at, i.id AS instance_id, i.name AS instance_name";
/// Values that begin with a word, of which the first are shown, at most.
const MOST_VALUES: i64 = 5_000;
/// Only instances that are there.
const OURS: &str = "IN (SELECT seq FROM instance WHERE deleted_at IS NULL)";

/// What was found so far.
struct Found {
    items: Vec<Value>,
    seen: HashSet<i64>,
    most: usize,
}

impl Found {
    fn full(&self) -> bool {
        self.items.len() > self.most
    }

    fn add(&mut self, rows: &[QueryResult], by: &str) -> Result<(), StoreError> {
        for row in rows {
            if self.full() || !self.seen.insert(row.col("seq")?) {
                continue;
            }
            let kind: String = row.col("kind")?;
            let mut item = json!({
                "kind": kind,
                "id": row.col::<String>("id")?,
                "matched": by,
                "managed": row.col::<i16>("managed")? == 1,
                "deleted": row.col::<Option<i64>>("deleted_at")?.is_some(),
                "instance": {"id": row.col::<Option<String>>("instance_id")?, "name": row.col::<Option<String>>("instance_name")?},
            });
            item[label(&kind)] = json!(row.col::<String>("name")?);
            if kind == "User" {
                item["active"] = json!(row.col::<i16>("active")? == 1);
            }
            self.items.push(item);
        }
        Ok(())
    }
}

impl App {
    /// What fits a word, the likeliest first, and whether there is more than `most`.
    ///
    /// # Errors
    /// The store's.
    pub async fn search(&self, word: &str, most: usize) -> Result<(Vec<Value>, bool), StoreError> {
        let reader = self.store.reader();
        let word = word.trim();
        let (name, text) = (fold_name(word), fold_text(word));
        let limit = i64::try_from(most + 1).unwrap_or(i64::MAX);
        let mut found = Found { items: Vec::new(), seen: HashSet::new(), most };
        let from = |tables: &str, condition: &str| {
            format!("SELECT {FOUND} FROM {tables} JOIN instance i ON i.seq = r.instance_seq WHERE {condition} LIMIT $2")
        };

        let rows = reader.all(&from("resource r", "r.id = $1"), vals![word, limit]).await?;
        found.add(&rows, "id")?;
        for row in reader
            .all(
                "SELECT o.id, o.verb, o.state, i.id AS instance_id, i.name AS instance_name FROM operation o JOIN instance i ON i.seq = o.instance_seq \
                 WHERE o.id = $1 OR o.request_id = $1 ORDER BY o.seq DESC LIMIT $2",
                vals![word, limit],
            )
            .await?
        {
            let id: String = row.col("id")?;
            found.items.push(json!({
                "kind": "Operation", "matched": if id == word { "id" } else { "request_id" }, "id": id, "verb": row.col::<String>("verb")?,
                "state": row.col::<String>("state")?,
                "instance": {"id": row.col::<Option<String>>("instance_id")?, "name": row.col::<Option<String>>("instance_name")?},
            }));
        }

        let exact =
            from("resource r", &format!("r.instance_seq {OURS} AND r.kind IN ('User','Group') AND r.external_id = $1"));
        found.add(&reader.all(&exact, vals![word, limit]).await?, "externalId")?;
        let remote = from(
            "account a JOIN link l ON l.account_seq = a.seq AND l.state = 'live' JOIN resource r ON r.seq = l.resource_seq",
            &format!(
                "a.instance_seq {OURS} AND a.kind IN ('User','Group') AND a.remote_id = $1 AND a.status <> 'gone'"
            ),
        );
        found.add(&reader.all(&remote, vals![word, limit]).await?, "remote_id")?;

        let begins = |tables: &str, condition: &str, column: &str| {
            format!(
                "SELECT {FOUND} FROM {tables} JOIN instance i ON i.seq = r.instance_seq WHERE {condition} AND {column} >= $1 AND {column} < $3 \
                 ORDER BY {column} LIMIT $2"
            )
        };
        let after = |key: &str| format!("{key}{}", char::MAX);
        let named = begins(
            "resource r",
            &format!("r.instance_seq {OURS} AND r.kind IN ('User','Group') AND r.deleted_at IS NULL"),
            "r.name_key",
        );
        found.add(&reader.all(&named, vals![name.as_str(), limit, after(&name)]).await?, "name")?;
        for (path, by) in [("emails.value", "email"), ("displayName", "displayName")] {
            // The first of them by value, of so many as a word may begin; only those are looked up.
            let valued = format!(
                "SELECT {FOUND} FROM (SELECT s.resource_seq, s.value_key FROM (SELECT resource_seq, value_key FROM attr WHERE instance_seq {OURS} AND path = '{path}' \
                 AND value_key >= $1 AND value_key < $3 LIMIT {MOST_VALUES}) s ORDER BY s.value_key LIMIT $2) t CROSS JOIN resource r \
                 JOIN instance i ON i.seq = r.instance_seq WHERE r.seq = t.resource_seq ORDER BY t.value_key"
            );
            if !found.full() {
                found.add(&reader.all(&valued, vals![text.as_str(), limit, after(&text)]).await?, by)?;
            }
        }
        for (column, by) in [("a.login_key", "login"), ("a.email_key", "email")] {
            let held = begins(
                "account a JOIN link l ON l.account_seq = a.seq AND l.state = 'live' JOIN resource r ON r.seq = l.resource_seq",
                &format!("a.instance_seq {OURS} AND a.kind = 'User' AND a.status <> 'gone'"),
                column,
            );
            if !found.full() {
                found.add(&reader.all(&held, vals![text.as_str(), limit, after(&text)]).await?, by)?;
            }
        }
        let buried = begins(
            "resource r",
            &format!("r.instance_seq {OURS} AND r.kind IN ('User','Group') AND r.deleted_at IS NOT NULL"),
            "r.name_key",
        );
        if !found.full() {
            found.add(&reader.all(&buried, vals![name.as_str(), limit, after(&name)]).await?, "name")?;
        }
        let more = found.items.len() > most;
        found.items.truncate(most);
        Ok((found.items, more))
    }
}
