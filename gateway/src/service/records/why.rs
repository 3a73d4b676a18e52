//! Why a person or group is as it is: the chain from what was asked to what the target answered.

use std::collections::HashMap;

use sea_orm::QueryResult;
use serde_json::{Value, json};

use super::operations::{OPERATION, operation};
use super::story::Hero;
use super::{DIFFERS, STANDING, parsed, places, standing, time};
use crate::service::App;
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError};

/// Most operations and attempts of one answer, newest first.
const MOST: usize = 200;
/// Most memberships of one answer.
const MOST_GROUPS: i64 = 100;

impl App {
    /// The causal chain of one resource, by SCIM id or name; none if the record knows none.
    ///
    /// # Errors
    /// The store's.
    pub async fn why(&self, instance: &Instance, word: &str) -> Result<Option<Value>, StoreError> {
        self.why_at(instance, word, None, None).await
    }

    /// The same as of a time, in microseconds; now without one. For a group, a member narrows it down to one person's
    /// membership, by SCIM id or name.
    ///
    /// # Errors
    /// The store's.
    pub async fn why_at(
        &self,
        instance: &Instance,
        word: &str,
        at: Option<i64>,
        member: Option<&str>,
    ) -> Result<Option<Value>, StoreError> {
        let Some((hero, others)) = self.hero(instance, word, at, None).await? else { return Ok(None) };
        let until = at.unwrap_or(i64::MAX);
        let reader = self.store.reader();
        let seq = hero.seq;
        let Some(row) = reader.one(&format!("SELECT {DIFFERS}, {STANDING} WHERE r.seq = $1"), vals![seq]).await? else {
            return Ok(None);
        };
        let mut resource = standing(&row)?;
        resource.insert("kind".into(), json!(hero.kind));
        resource.insert("deleted_at".into(), json!(hero.deleted_at.map(time)));

        let limit = i64::try_from(MOST + 1).unwrap_or(i64::MAX);
        let rows = reader
            .all(
                &format!("SELECT {OPERATION} FROM operation o LEFT JOIN resource r ON r.seq = o.resource_seq WHERE o.resource_seq = $1 AND o.at <= $3 ORDER BY o.seq DESC LIMIT $2"),
                vals![seq, limit, until],
            )
            .await?;
        let mut truncated = rows.len() > MOST;
        let mut by_row: HashMap<i64, usize> = HashMap::new();
        let mut operations = Vec::new();
        for row in rows.iter().take(MOST) {
            by_row.insert(row.col("seq")?, operations.len());
            let mut item = operation(row)?;
            item["attempts"] = json!([]);
            operations.push(item);
        }

        let rows = reader
            .all(
                "SELECT * FROM attempt WHERE resource_seq = $1 AND started_at <= $3 ORDER BY seq DESC LIMIT $2",
                vals![seq, limit, until],
            )
            .await?;
        truncated |= rows.len() > MOST;
        let mut loose = Vec::new();
        for row in rows.iter().take(MOST) {
            let place = row.col::<Option<i64>>("op_seq")?.and_then(|operation| by_row.get(&operation).copied());
            let list = place.and_then(|at| operations.get_mut(at)).and_then(|item| item["attempts"].as_array_mut());
            list.unwrap_or(&mut loose).push(attempt(row)?);
        }
        let memberships = if hero.kind == "User" { self.memberships(seq).await? } else { Vec::new() };
        let tasks = self.tasks_of(seq, until, limit).await?;
        let mut told = self.story(instance, &hero, until, &operations, &loose, &tasks).await?;
        if let Some(member) = member.filter(|_| hero.kind == "Group") {
            let Some((person, _)) = self.hero(instance, member, at, Some("User")).await? else { return Ok(None) };
            let membership = self.membership_then(&hero, &person, until).await?;
            told["answer"] = membership["answer"].clone();
            told["membership"] = membership;
        }
        Ok(Some(json!({
            "resource": resource,
            "at": at.map(time),
            "answer": told["answer"],
            "then": told["then"],
            "membership": told["membership"],
            "chain": told["chain"],
            "chain_left_out": told["chain_left_out"],
            "others": self.named(&others).await?,
            "operations": operations,
            "attempts": loose,
            "memberships": memberships,
            "tasks": tasks,
            "truncated": truncated,
        })))
    }

    /// Whom a word means: the likeliest that was there at the time, and the rest.
    async fn hero(
        &self,
        instance: &Instance,
        word: &str,
        at: Option<i64>,
        kind: Option<&str>,
    ) -> Result<Option<(Hero, Vec<i64>)>, StoreError> {
        let seqs = self.find_resources(instance, word).await?;
        let mut first = None;
        for &seq in &seqs {
            let row = self
                .store
                .reader()
                .one(
                    "SELECT id, kind, name, managed, active, created_at, deleted_at FROM resource WHERE seq = $1",
                    vals![seq],
                )
                .await?;
            let Some(row) = row else { continue };
            let hero = Hero {
                seq,
                id: row.col("id")?,
                kind: row.col("kind")?,
                name: row.col("name")?,
                managed: row.col::<i16>("managed")? == 1,
                active: row.col::<i16>("active")? == 1,
                created_at: row.col("created_at")?,
                deleted_at: row.col("deleted_at")?,
            };
            if kind.is_some_and(|kind| kind != hero.kind) {
                continue;
            }
            let there = at.is_none_or(|at| hero.created_at <= at && hero.deleted_at.is_none_or(|deleted| deleted > at));
            if there || hero.id == word {
                first = Some(hero);
                break;
            }
            first.get_or_insert(hero);
        }
        Ok(first.map(|hero| {
            let others = seqs.into_iter().filter(|seq| *seq != hero.seq).collect();
            (hero, others)
        }))
    }

    /// A person's memberships, each with what was last tried for it.
    async fn memberships(&self, user: i64) -> Result<Vec<Value>, StoreError> {
        let reader = self.store.reader();
        let rows = reader
            .all(
                "SELECT m.group_seq, m.want, m.have, m.state, m.reason, g.id, g.name, o.id AS operation_id, h.id AS hold_id FROM member m JOIN resource g ON g.seq = m.group_seq \
                 LEFT JOIN operation o ON o.seq = m.op_seq LEFT JOIN hold h ON h.seq = m.hold_seq AND m.held = 1 AND m.state = 'todo' AND h.state = 'open' \
                 WHERE m.user_seq = $1 ORDER BY m.group_seq LIMIT $2",
                vals![user, MOST_GROUPS],
            )
            .await?;
        // The last attempt of each, by one statement however many there are.
        let tried = reader
            .all(
                "SELECT * FROM attempt WHERE seq IN (SELECT (SELECT MAX(t.seq) FROM attempt t WHERE t.resource_seq = m.group_seq AND t.item_seq = m.user_seq) \
                 FROM (SELECT group_seq, user_seq FROM member WHERE user_seq = $1 ORDER BY group_seq LIMIT $2) m)",
                vals![user, MOST_GROUPS],
            )
            .await?;
        let mut last: HashMap<i64, Value> = HashMap::new();
        for row in &tried {
            last.insert(row.col("resource_seq")?, attempt(row)?);
        }
        let mut memberships = Vec::with_capacity(rows.len());
        for row in &rows {
            let tried = last.remove(&row.col::<i64>("group_seq")?);
            let have = match row.col::<Option<i16>>("have")? {
                None => "unknown",
                Some(0) => "no",
                Some(1) => "yes",
                Some(_) => "pending",
            };
            memberships.push(json!({
                "group": {"id": row.col::<String>("id")?, "displayName": row.col::<String>("name")?},
                "wanted": row.col::<i16>("want")? == 1,
                "at_target": have,
                "state": row.col::<String>("state")?,
                "reason": row.col::<Option<String>>("reason")?,
                "operation": row.col::<Option<String>>("operation_id")?,
                "hold": row.col::<Option<String>>("hold_id")?,
                "last_attempt": tried,
            }));
        }
        Ok(memberships)
    }

    /// Other rows of the same name: a group beside a person, deleted ones.
    async fn named(&self, seqs: &[i64]) -> Result<Vec<Value>, StoreError> {
        if seqs.is_empty() {
            return Ok(Vec::new());
        }
        let text = format!(
            "SELECT id, kind, name, deleted_at FROM resource WHERE seq IN ({}) ORDER BY seq DESC",
            places(seqs.len())
        );
        let rows = self.store.reader().all(&text, seqs.iter().map(|seq| sea_orm::Value::from(*seq)).collect()).await?;
        rows.iter()
            .map(|row| {
                Ok(json!({
                    "id": row.col::<String>("id")?,
                    "kind": row.col::<String>("kind")?,
                    "name": row.col::<String>("name")?,
                    "deleted_at": row.col::<Option<i64>>("deleted_at")?.map(time),
                }))
            })
            .collect()
    }
}

pub(super) fn attempt(row: &QueryResult) -> Result<Value, StoreError> {
    let fault: Value = row.col::<Option<String>>("fault")?.map(parsed).unwrap_or_default();
    Ok(json!({
        "step": row.col::<String>("step")?,
        "state": row.col::<String>("state")?,
        "fault": fault.get("kind").cloned(),
        "message": fault.get("message").cloned(),
        "calls": row.col::<Option<String>>("calls")?.map(parsed),
        "started_at": time(row.col("started_at")?),
        "ended_at": row.col::<Option<i64>>("ended_at")?.map(time),
    }))
}
