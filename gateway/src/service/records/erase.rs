//! Erasing a person's data on request (DECISIONS 33). What happened stays on record, under a pseudonym; who it happened to
//! does not. Only where there is nothing left at the target that is known: the data is what access is taken away by.

use std::fmt::Write;
use std::sync::Arc;

use async_trait::async_trait;
use scim::fold::{fold_name, fold_text};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{AdminError, App, audit, parsed};
use crate::service::accept::{Delete, Ends, close_operation_items, unindex};
use crate::service::clients::Spoken;
use crate::service::types::{Caller, Failure, Instance, Precondition};
use crate::store::{Priority, Rows, Sql, StoreError, Tx, Unit};

/// Rows that one transaction rewrites at most.
const CHUNK: i64 = 200;
/// The person's row, and those of imported accounts that were found to be the person.
const ROWS: &str = "(seq = $1 OR merged_into = $1)";
/// A word of a person that is shorter than this is not looked for in texts: it would be found everywhere.
const SHORTEST: usize = 3;

impl App {
    /// Erases a person's data: of a deleted one, or of an inactive one without account, who is deleted by this.
    ///
    /// What tells of the person is rewritten first and once more behind: the person's own row, from which it is known
    /// what to look for, goes in between. So one that is cut off is whole again once it is asked for again.
    ///
    /// # Errors
    /// No such person; there is access, an account, or work left (conflict); the store's.
    pub async fn erase(&self, instance: &Arc<Instance>, actor: &str, id: &str) -> Result<Value, AdminError> {
        let erase = |dry| Erase { instance: Arc::clone(instance), actor: actor.to_owned(), id: id.to_owned(), dry };
        let known = self.store.write(Priority::Request, erase(true)).await?;
        let mut rows = self.rewrite(instance, &known).await?;
        let erased = self.store.write(Priority::Request, erase(false)).await?;
        // What was recorded meanwhile, the deletion itself among it.
        rows = rows.max(self.rewrite(instance, &erased).await?);
        self.driver.wake_for(instance);
        Ok(json!({"id": id, "pseudonym": erased.pseudonym, "records": rows}))
    }

    /// Whether a person's data may be erased now: what [`App::erase`] would refuse is refused by this.
    ///
    /// # Errors
    /// As [`App::erase`].
    pub async fn may_erase(&self, instance: &Arc<Instance>, id: &str) -> Result<(), AdminError> {
        let look = Erase { instance: Arc::clone(instance), actor: String::new(), id: id.to_owned(), dry: true };
        self.store.write(Priority::Request, look).await.map(|_| ())
    }

    /// Rewrites whatever tells of the person; answers how many records do.
    async fn rewrite(&self, instance: &Instance, erased: &Erased) -> Result<u64, AdminError> {
        let mut rows = 0;
        for table in [Told::Operations, Told::Attempts, Told::Refusals, Told::Tasks] {
            let mut after = Some(0);
            while let Some(from) = after {
                let unit = Rewrite { table, instance: instance.seq, erased: erased.clone(), after: from };
                let (changed, next) = self.store.write(Priority::Background, unit).await?;
                rows += changed;
                after = next;
            }
        }
        Ok(rows)
    }
}

/// A person whose data goes.
#[derive(Clone, Debug)]
struct Erased {
    seq: i64,
    pseudonym: String,
    /// What stands for the person in texts, folded; longest first.
    words: Vec<String>,
}

struct Erase {
    instance: Arc<Instance>,
    actor: String,
    id: String,
    /// Only looks whether the person may be erased, and what to look for.
    dry: bool,
}

#[async_trait]
impl Unit for Erase {
    type Out = Erased;
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Erased, AdminError> {
        let row = tx
            .conn
            .one(
                &format!(
                    "SELECT seq, kind, name, active, managed, deleted_at, erased_at FROM resource WHERE instance_seq = $1 AND id = $2{}",
                    tx.conn.for_update()
                ),
                vals![self.instance.seq, self.id.as_str()],
            )
            .await?
            .ok_or_else(|| {
                AdminError::NotFound("This instance knows nobody with that SCIM id. Names are not taken: an id is one person's for ever.".to_owned())
            })?;
        let seq: i64 = row.col("seq")?;
        let name: String = row.col("name")?;
        let kind: String = row.col("kind")?;
        let deleted = row.col::<Option<i64>>("deleted_at")?.is_some();
        if kind != "User" {
            return Err(AdminError::Conflict("Only a person's data is erased; this is no User.".to_owned()));
        }
        self.is_without_access(tx, seq, deleted, row.col::<i16>("active")? == 1).await?;
        let again = row.col::<Option<i64>>("erased_at")?.is_some();
        let pseudonym = if again { name.clone() } else { pseudonym_of(&self.id) };
        let words = self.words(tx, seq).await?;
        if self.dry {
            return Ok(Erased { seq, pseudonym, words });
        }
        if !deleted {
            self.delete(tx, seq).await?;
        }
        let text = format!(
            "UPDATE resource SET doc = '{{}}', name = $2, name_key = $3, external_id = NULL, active = 0, listed = 0, erased_at = COALESCE(erased_at, $4) WHERE {ROWS} RETURNING seq"
        );
        let rows = tx.conn.all(&text, vals![seq, pseudonym.as_str(), fold_name(&pseudonym), tx.now]).await?;
        for row in &rows {
            let seq: i64 = row.col("seq")?;
            unindex(tx, seq).await?;
            tx.conn.run("DELETE FROM claim WHERE resource_seq = $1", vals![seq]).await?;
        }
        tx.conn.run("UPDATE attempt SET sent = NULL WHERE resource_seq = $1", vals![seq]).await?;
        tx.conn
            .run(
                "DELETE FROM drift WHERE resource_seq = $1 OR item_seq = $1 OR account_seq IN (SELECT account_seq FROM link WHERE resource_seq = $1)",
                vals![seq],
            )
            .await?;
        tx.conn.run("UPDATE waiver SET why = '' WHERE resource_seq = $1 OR item_seq = $1", vals![seq]).await?;
        // Accounts that were linked and are gone; one that somebody else is linked to by now is that person's.
        tx.conn
            .run(
                "UPDATE account SET doc = '{}', login_key = NULL, email_key = NULL WHERE seq IN (SELECT account_seq FROM link WHERE resource_seq = $1) \
                 AND NOT EXISTS (SELECT 1 FROM link l WHERE l.account_seq = account.seq AND l.state <> 'closed')",
                vals![seq],
            )
            .await?;
        // What waits to be told of the person holds the data, too.
        tx.conn
            .run(
                "DELETE FROM event WHERE resource_seq = $1 AND stream_seq IN (SELECT seq FROM event_stream WHERE instance_seq = $2)",
                vals![seq, self.instance.seq],
            )
            .await?;
        if !again {
            audit(
                tx,
                &self.actor,
                "resource.erase",
                &self.id,
                &json!({"instance": self.instance.id, "pseudonym": pseudonym}),
            )
            .await?;
        }
        for row in tx.conn.all("SELECT seq, detail FROM audit WHERE target = $1", vals![self.id.as_str()]).await? {
            let told: String = row.col("detail")?;
            let detail = redacted_json(&told, &words, &pseudonym);
            if detail != told {
                tx.conn
                    .run("UPDATE audit SET detail = $2 WHERE seq = $1", vals![row.col::<i64>("seq")?, detail])
                    .await?;
            }
        }
        Ok(Erased { seq, pseudonym, words })
    }
}

impl Erase {
    /// Refuses where access, an account or work is left: taking them away needs the data.
    async fn is_without_access(&self, tx: &Tx<'_>, seq: i64, deleted: bool, active: bool) -> Result<(), AdminError> {
        let conflict = |words: &str| Err(AdminError::Conflict(words.to_owned()));
        if !deleted && active {
            return conflict(
                "The person is active in the directory. Deactivate or delete them in the identity provider first; their access is taken away by their data.",
            );
        }
        let left = tx
            .conn
            .one(
                "SELECT (SELECT COUNT(*) FROM link WHERE resource_seq = $1 AND state <> 'closed') AS links, \
                 (SELECT COUNT(*) FROM work WHERE resource_seq = $1) AS work, \
                 (SELECT COUNT(*) FROM operation WHERE resource_seq = $1 AND state = 'open') AS open, \
                 (SELECT COUNT(*) FROM attempt WHERE resource_seq = $1 AND state IN ('sending','unknown')) AS doubts, \
                 (SELECT COUNT(*) FROM member WHERE user_seq = $1 AND have <> 0) AS members",
                vals![seq],
            )
            .await?
            .ok_or_else(|| StoreError::damaged("no counts"))?;
        if left.col::<i64>("work")? > 0 || left.col::<i64>("open")? > 0 {
            return conflict("Changes of this person are not at the target yet. Ask again once they are.");
        }
        if left.col::<i64>("doubts")? > 0 {
            return conflict(
                "What became of a call for this person is not known. Delete the person in the identity provider, so that it is looked for, and ask again.",
            );
        }
        if left.col::<i64>("links")? > 0 || left.col::<i64>("members")? > 0 {
            return conflict(
                "The person still has an account or memberships at the target. Delete the person in the identity provider, so that these are removed, and ask again.",
            );
        }
        Ok(())
    }

    /// Deletes one who is inactive, as the identity provider would. There is nothing at the target to be brought along.
    async fn delete(&self, tx: &Tx<'_>, seq: i64) -> Result<(), AdminError> {
        let mut delete = Delete {
            instance: Arc::clone(&self.instance),
            caller: Caller {
                actor: self.actor.clone(),
                request_id: None,
                spoken: Spoken::named(&self.instance.policy),
                wait_until: None,
                later: None,
                own: false,
            },
            kind: "User".to_owned(),
            id: self.id.clone(),
            condition: Precondition::None,
        };
        let accepted = delete.run(tx).await.map_err(|failure| match failure {
            Failure::Scim(error) => AdminError::Conflict(error.detail),
            Failure::Store(error) => AdminError::Store(error),
        })?;
        tx.conn.run("DELETE FROM work WHERE resource_seq = $1", vals![seq]).await?;
        crate::driver::desk::withdraw(tx, seq, true, crate::driver::desk::OVERTAKEN).await?;
        tx.conn.run("UPDATE resource SET settled_rev = rev WHERE seq = $1", vals![seq]).await?;
        if let Some(operation) = accepted.operation {
            close_operation_items(tx, operation, Ends { applied: accepted.items, ..Ends::default() }, None).await?;
        }
        Ok(())
    }

    /// What stands for the person in texts: names, addresses, logins; those of imported rows that became this one, too.
    async fn words(&self, tx: &Tx<'_>, seq: i64) -> Result<Vec<String>, StoreError> {
        let mut words: Vec<String> = Vec::new();
        let rows =
            tx.conn.all(&format!("SELECT name, doc, external_id FROM resource WHERE {ROWS}"), vals![seq]).await?;
        for row in &rows {
            words.push(row.col("name")?);
            words.extend(row.col::<Option<String>>("external_id")?);
            let doc: Value = parsed(row.col("doc")?);
            for (list, field) in [("emails", "value"), ("phoneNumbers", "value")] {
                words.extend(
                    doc[list].as_array().into_iter().flatten().filter_map(|one| one[field].as_str()).map(str::to_owned),
                );
            }
            for text in [&doc["displayName"], &doc["nickName"], &doc["name"]["formatted"]] {
                words.extend(text.as_str().map(str::to_owned));
            }
            if let (Some(given), Some(family)) = (doc["name"]["givenName"].as_str(), doc["name"]["familyName"].as_str())
            {
                words.push(format!("{given} {family}"));
            }
        }
        let accounts = tx
            .conn
            .all(
                "SELECT a.doc FROM account a JOIN link l ON l.account_seq = a.seq WHERE l.resource_seq = $1",
                vals![seq],
            )
            .await?;
        for row in &accounts {
            let account = parsed(row.col("doc")?);
            for field in ["login", "email", "display_name"] {
                words.extend(account[field].as_str().map(str::to_owned));
            }
        }
        // Paths of calls hold them percent-encoded.
        let encoded: Vec<String> =
            words.iter().map(|word| url::form_urlencoded::byte_serialize(word.as_bytes()).collect()).collect();
        words.extend(encoded);
        let mut words: Vec<String> =
            words.iter().map(|word| fold_text(word)).filter(|word| word.chars().count() >= SHORTEST).collect();
        words.sort_by(|a, b| (b.len(), a).cmp(&(a.len(), b)));
        words.dedup();
        Ok(words)
    }
}

/// The name that stands for an erased person: always the same, however often the erasure is begun. It is made of the SCIM
/// id, which stays on record and says nothing of the person.
fn pseudonym_of(id: &str) -> String {
    let digest = Sha256::digest(id.as_bytes());
    let mut name = "erased-".to_owned();
    for byte in digest.iter().take(6) {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// A text in which nothing stands for the person any more. A text in which letters and their folded forms differ in
/// length cannot be cut safely: such a one goes as a whole if it tells of the person.
fn redacted(text: &str, words: &[String], pseudonym: &str) -> String {
    let mut text = text.to_owned();
    for word in words {
        loop {
            let folded = fold_text(&text);
            let Some(at) = folded.find(word.as_str()) else { break };
            if pseudonym.contains(word.as_str()) {
                break;
            }
            if folded.len() != text.len() || text.get(at..at + word.len()).is_none() {
                return pseudonym.to_owned();
            }
            text.replace_range(at..at + word.len(), pseudonym);
        }
    }
    text
}

/// The same of JSON: its texts only, so that its names stay what they are.
fn redacted_json(text: &str, words: &[String], pseudonym: &str) -> String {
    fn walk(value: &mut Value, words: &[String], pseudonym: &str) {
        match value {
            Value::String(text) => *text = redacted(text, words, pseudonym),
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, words, pseudonym)),
            Value::Object(fields) => fields.values_mut().for_each(|field| walk(field, words, pseudonym)),
            _ => {}
        }
    }
    // What is stored was made here or parsed under a bound of nesting; the parser has one of its own.
    match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            walk(&mut value, words, pseudonym);
            value.to_string()
        }
        Err(_) => redacted(text, words, pseudonym),
    }
}

/// Where else a person is told of.
#[derive(Clone, Copy, Debug)]
enum Told {
    Operations,
    Attempts,
    Refusals,
    Tasks,
}

/// Rewrites one chunk of what tells of a person; how many rows changed, and behind which row it goes on.
struct Rewrite {
    table: Told,
    instance: i64,
    erased: Erased,
    after: i64,
}

#[async_trait]
impl Unit for Rewrite {
    type Out = (u64, Option<i64>);
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(u64, Option<i64>), StoreError> {
        match self.table {
            Told::Operations => self.operations(tx).await,
            Told::Attempts => self.attempts(tx).await,
            Told::Refusals => self.refusals(tx).await,
            Told::Tasks => self.tasks(tx).await,
        }
    }
}

impl Rewrite {
    fn redacted(&self, text: &str) -> String {
        redacted(text, &self.erased.words, &self.erased.pseudonym)
    }

    fn redacted_json(&self, text: &str) -> String {
        redacted_json(text, &self.erased.words, &self.erased.pseudonym)
    }

    fn next(rows: &[sea_orm::QueryResult]) -> Result<Option<i64>, StoreError> {
        match rows.last() {
            Some(last) if i64::try_from(rows.len()).unwrap_or(i64::MAX) == CHUNK => Ok(Some(last.col("seq")?)),
            _ => Ok(None),
        }
    }

    /// Which attributes the person's own operations changed stays; to what does not. Reasons of operations of groups that
    /// the person was in may name them.
    async fn operations(&self, tx: &Tx<'_>) -> Result<(u64, Option<i64>), StoreError> {
        let rows = tx
            .conn
            .all(
                "SELECT o.seq, o.resource_seq, o.changes, o.reason FROM operation o WHERE o.seq > $2 AND (o.resource_seq = $1 \
                 OR o.seq IN (SELECT t.op_seq FROM attempt t WHERE t.item_seq = $1 AND t.instance_seq = $4 AND t.op_seq IS NOT NULL) \
                 OR (o.instance_seq = $4 AND o.verb = 'repair')) ORDER BY o.seq LIMIT $3",
                vals![self.erased.seq, self.after, CHUNK, self.instance],
            )
            .await?;
        for row in &rows {
            let own = row.col::<i64>("resource_seq")? == self.erased.seq;
            let changes: String = row.col("changes")?;
            let changes = if own { without_values(&changes) } else { self.redacted_json(&changes) };
            let reason = row.col::<Option<String>>("reason")?.map(|reason| self.redacted(&reason));
            tx.conn
                .run(
                    "UPDATE operation SET changes = $2, reason = $3 WHERE seq = $1",
                    vals![row.col::<i64>("seq")?, changes, reason],
                )
                .await?;
        }
        Ok((u64::try_from(rows.len()).unwrap_or(0), Self::next(&rows)?))
    }

    /// Calls and answers that name the person.
    async fn attempts(&self, tx: &Tx<'_>) -> Result<(u64, Option<i64>), StoreError> {
        let rows = tx
            .conn
            .all(
                "SELECT seq, fault, calls FROM attempt WHERE seq > $2 AND instance_seq = $4 AND (resource_seq = $1 OR item_seq = $1 \
                 OR resource_seq IN (SELECT b.resource_seq FROM attempt b WHERE b.instance_seq = $4 AND b.item_seq = $1)) ORDER BY seq LIMIT $3",
                vals![self.erased.seq, self.after, CHUNK, self.instance],
            )
            .await?;
        for row in &rows {
            let told = |column: &str| -> Result<Option<String>, StoreError> {
                Ok(row.col::<Option<String>>(column)?.map(|text| self.redacted_json(&text)))
            };
            let (fault, calls) = (told("fault")?, told("calls")?);
            tx.conn
                .run(
                    "UPDATE attempt SET fault = $2, calls = $3 WHERE seq = $1",
                    vals![row.col::<i64>("seq")?, fault, calls],
                )
                .await?;
        }
        Ok((u64::try_from(rows.len()).unwrap_or(0), Self::next(&rows)?))
    }

    /// Tasks about the person: what was asked, by whom it was done and when stays.
    async fn tasks(&self, tx: &Tx<'_>) -> Result<(u64, Option<i64>), StoreError> {
        let rows = tx
            .conn
            .all(
                "SELECT seq, title, comment, target_id FROM task WHERE seq > $2 AND (resource_seq = $1 OR (item_seq = $1 AND item_seq > 0)) AND live = 0 ORDER BY seq LIMIT $3",
                vals![self.erased.seq, self.after, CHUNK],
            )
            .await?;
        for row in &rows {
            let title = self.redacted(&row.col::<String>("title")?);
            let comment = row.col::<Option<String>>("comment")?.map(|text| self.redacted(&text));
            // An id by which the account is known there may be an address.
            let target = row.col::<Option<String>>("target_id")?.map(|text| self.redacted(&text));
            tx.conn
                .run(
                    "UPDATE task SET title = $2, comment = $3, target_id = $4, detail = '', ask = '{}' WHERE seq = $1",
                    vals![row.col::<i64>("seq")?, title, comment, target],
                )
                .await?;
        }
        Ok((u64::try_from(rows.len()).unwrap_or(0), Self::next(&rows)?))
    }

    /// Refused requests that tell of the person go.
    async fn refusals(&self, tx: &Tx<'_>) -> Result<(u64, Option<i64>), StoreError> {
        let rows = tx
            .conn
            .all(
                "SELECT seq, path, detail FROM rejected WHERE instance_seq = $1 AND seq > $2 ORDER BY seq LIMIT $3",
                vals![self.instance, self.after, CHUNK],
            )
            .await?;
        let mut gone = 0;
        for row in &rows {
            let (path, detail): (String, String) = (row.col("path")?, row.col("detail")?);
            if self.redacted(&path) != path || self.redacted(&detail) != detail {
                gone += tx.conn.run("DELETE FROM rejected WHERE seq = $1", vals![row.col::<i64>("seq")?]).await?;
            }
        }
        Ok((gone, Self::next(&rows)?))
    }
}

/// The changes of an operation: which, not to what.
fn without_values(changes: &str) -> String {
    let mut changes = parsed(changes.to_owned());
    for change in changes.as_array_mut().into_iter().flatten() {
        if let Some(fields) = change.as_object_mut()
            && fields.remove("to").is_some()
        {
            fields.insert("erased".to_owned(), json!(true));
        }
    }
    changes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_stands_for_the_person_any_more() {
        let words = ["ada.lovelace@example.com", "ada%40example.com", "ada lovelace", "ada"].map(str::to_owned);
        let check = |text: &str, want: &str| assert_eq!(redacted(text, &words, "erased-1"), want);
        check("\"Ada.Lovelace@example.com\" is protected", "\"erased-1\" is protected");
        check("/orgs/acme/ada%40example.com/x", "/orgs/acme/erased-1/x");
        check("no seat is left", "no seat is left");
        check("Ada Lovelace, Ada", "erased-1, erased-1");
        // A letter whose folded form is longer: nothing is cut in its middle.
        check("İ Ada", "erased-1");
    }

    #[test]
    fn the_names_within_json_stay() {
        let words = ["path".to_owned(), "ada".to_owned()];
        assert_eq!(redacted_json(r#"{"path":"/x/ada"}"#, &words, "erased-1"), r#"{"path":"/x/erased-1"}"#);
    }

    #[test]
    fn a_word_that_the_pseudonym_holds_does_not_go_round_and_round() {
        assert_eq!(redacted("erase me", &["erase".to_owned()], "erased-1"), "erase me");
    }

    #[test]
    fn of_changes_the_attributes_stay_and_the_values_go() {
        let changes = r#"[{"path":"title","to":"canary"},{"path":"members","changed":2}]"#;
        assert_eq!(without_values(changes), r#"[{"path":"title","erased":true},{"path":"members","changed":2}]"#);
    }
}
