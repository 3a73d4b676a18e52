//! Memberships: set operations on rows, never on a document.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use engine::Lane;
use scim::ScimError;
use scim::patch::{Base, NetEdit};
use sea_orm::Value;
use serde_json::json;

use super::record::{Ends, close_operation_items, upsert_work};
use crate::service::events;
use crate::service::types::{Failure, Instance};
use crate::store::{Rows, Sql, StoreError, Tx};

/// Ids or rows per statement.
const CHUNK: usize = 400;

/// What an edit of members did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Edited {
    /// Rows whose wish changed.
    pub(super) changed: i64,
    /// Of these, rows that the target has to follow.
    pub(super) todo: i64,
    /// Whether anybody loses a membership.
    pub(super) removes: bool,
}

/// One row as it is.
#[derive(Clone, Copy, Debug)]
struct Row {
    want: bool,
    have: Option<i16>,
    open_operation: Option<i64>,
    flying: bool,
    refused: bool,
}

/// Brings the wanted members of a group to what an edit says. The caller records the operation and
/// counts `todo` into it.
pub(super) async fn edit_members(
    tx: &Tx<'_>,
    instance: &Instance,
    group: i64,
    operation: i64,
    edit: NetEdit,
) -> Result<Edited, Failure> {
    let mut wanted = resolve(tx, instance, &edit.want).await?;
    if edit.base == Base::Clear {
        for row in tx
            .conn
            .all("SELECT user_seq FROM member WHERE group_seq = $1 AND (want = 1 OR state = 'refused')", vals![group])
            .await?
        {
            wanted.entry(row.col("user_seq")?).or_insert(false);
        }
    }
    if !edit.matching.is_empty() {
        remove_matching(tx, group, &edit, &mut wanted).await?;
    }
    let rows = current(tx, group, wanted.keys().copied().collect()).await?;
    let mut edited = Edited::default();
    let mut superseded: BTreeMap<i64, i64> = BTreeMap::new();
    let mut writes: Vec<(i64, bool)> = Vec::new();
    let mut forget: Vec<i64> = Vec::new();
    for (&user, &want) in &wanted {
        let row = rows.get(&user);
        // What the target refused is tried again when it is asked for again (DECISIONS 10).
        if row.map_or(!want, |row| row.want == want && !row.refused) {
            continue;
        }
        edited.changed += 1;
        if let Some(open) = row.and_then(|row| row.open_operation) {
            *superseded.entry(open).or_default() += 1;
        }
        match (want, row) {
            // Taken back before the addition was sent: the target never had it.
            (false, Some(Row { have: None | Some(0), flying: false, .. })) => forget.push(user),
            _ => {
                // Also where the target has it already: the plan knows, and sees whether the person
                // may have it.
                writes.push((user, want));
                edited.todo += 1;
                edited.removes |= !want;
            }
        }
    }
    for (open, items) in superseded {
        close_operation_items(tx, open, Ends { superseded: items, ..Ends::default() }, None).await?;
    }
    for chunk in forget.chunks(CHUNK) {
        let mut values = vals![group];
        values.extend(chunk.iter().map(|user| Value::from(*user)));
        tx.conn
            .run(
                &format!("DELETE FROM member WHERE group_seq = $1 AND user_seq IN ({})", places(2, chunk.len())),
                values,
            )
            .await?;
    }
    for chunk in writes.chunks(CHUNK / 4) {
        write_rows(tx, group, operation, chunk).await?;
    }
    Ok(edited)
}

/// Finds the rows of ids. Adding an id that is not a user of this instance is refused by name;
/// removing one changes nothing (DECISIONS 14).
async fn resolve(
    tx: &Tx<'_>,
    instance: &Instance,
    want: &BTreeMap<String, bool>,
) -> Result<BTreeMap<i64, bool>, Failure> {
    let ids: Vec<&String> = want.keys().collect();
    let mut found: HashMap<String, (i64, String)> = HashMap::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        let mut values = vals![instance.seq];
        values.extend(chunk.iter().map(|id| Value::from(id.as_str())));
        let text = format!(
            "SELECT seq, id, kind FROM resource WHERE instance_seq = $1 AND deleted_at IS NULL AND id IN ({})",
            places(2, chunk.len())
        );
        for row in tx.conn.all(&text, values).await? {
            found.insert(row.col("id")?, (row.col("seq")?, row.col("kind")?));
        }
    }
    let mut resolved = BTreeMap::new();
    for (id, &wanted) in want {
        match found.get(id) {
            Some((seq, kind)) if kind == "User" => {
                resolved.insert(*seq, wanted);
            }
            Some(_) if wanted => {
                return Err(ScimError::invalid_value(format!(
                    "members: {id} is a Group. Groups within groups are not supported; add its users."
                ))
                .into());
            }
            None if wanted => {
                return Err(ScimError::invalid_value(format!(
                    "members: there is no User with the id {id}. Create the user first; nothing was changed."
                ))
                .into());
            }
            _ => {}
        }
    }
    Ok(resolved)
}

async fn remove_matching(
    tx: &Tx<'_>,
    group: i64,
    edit: &NetEdit,
    wanted: &mut BTreeMap<i64, bool>,
) -> Result<(), Failure> {
    let core = scim::Registry::core();
    let Some(attribute) = core.group().and_then(|rt| rt.schema.attribute("members")) else {
        return Ok(());
    };
    let rows = tx
        .conn
        .all("SELECT m.user_seq, u.id, u.name FROM member m JOIN resource u ON u.seq = m.user_seq WHERE m.group_seq = $1 AND m.want = 1", vals![group])
        .await?;
    for row in &rows {
        let element = json!({"value": row.col::<String>("id")?, "display": row.col::<String>("name")?, "type": "User"});
        if edit.matching.iter().any(|filter| filter.matches_element(attribute, &element)) {
            wanted.entry(row.col("user_seq")?).or_insert(false);
        }
    }
    Ok(())
}

async fn current(tx: &Tx<'_>, group: i64, users: Vec<i64>) -> Result<HashMap<i64, Row>, StoreError> {
    let mut rows = HashMap::with_capacity(users.len());
    for chunk in users.chunks(CHUNK) {
        let mut values = vals![group];
        values.extend(chunk.iter().map(|user| Value::from(*user)));
        let text = format!(
            "SELECT user_seq, want, have, state, op_seq FROM member WHERE group_seq = $1 AND user_seq IN ({})",
            places(2, chunk.len())
        );
        for row in tx.conn.all(&text, values).await? {
            let state: String = row.col("state")?;
            rows.insert(
                row.col("user_seq")?,
                Row {
                    want: row.col::<i16>("want")? == 1,
                    have: row.col("have")?,
                    open_operation: if state == "todo" { row.col("op_seq")? } else { None },
                    flying: false,
                    refused: state == "refused",
                },
            );
        }
    }
    if rows.is_empty() {
        return Ok(rows);
    }
    let flying: BTreeSet<i64> = tx
        .conn
        .all("SELECT item_seq FROM attempt WHERE resource_seq = $1 AND state IN ('sending','unknown')", vals![group])
        .await?
        .iter()
        .map(|row| row.col("item_seq"))
        .collect::<Result<_, _>>()?;
    for (user, row) in &mut rows {
        row.flying = flying.contains(user);
    }
    Ok(rows)
}

async fn write_rows(tx: &Tx<'_>, group: i64, operation: i64, rows: &[(i64, bool)]) -> Result<(), StoreError> {
    let mut values = vals![group, operation];
    let mut tuples = Vec::with_capacity(rows.len());
    for (user, want) in rows {
        let n = values.len();
        tuples.push(format!("($1,${},${},NULL,1,'todo',NULL,$2,NULL)", n + 1, n + 2));
        values.extend(vals![*user, i16::from(*want)]);
    }
    tx.conn
        .run(
            &format!(
                "INSERT INTO member (group_seq, user_seq, want, have, asserted, state, reason, op_seq, have_at) VALUES {} \
                 ON CONFLICT (group_seq, user_seq) DO UPDATE SET want = excluded.want, asserted = 1, state = excluded.state, \
                 reason = NULL, op_seq = excluded.op_seq",
                tuples.join(",")
            ),
            values,
        )
        .await?;
    Ok(())
}

/// A person's account becomes another row's: so do the memberships, or what the target has would be
/// nobody's any more. With `at_target` only those that the target has or may have.
pub(crate) async fn move_memberships(
    tx: &Tx<'_>,
    instance: &Instance,
    from: i64,
    to: i64,
    at_target: bool,
) -> Result<(), StoreError> {
    let which = if at_target {
        "AND (m.have <> 0 OR EXISTS (SELECT 1 FROM attempt t WHERE t.resource_seq = m.group_seq AND t.item_seq = m.user_seq AND t.state IN ('sending','unknown')))"
    } else {
        ""
    };
    let rows = tx
        .conn
        .all(
            &format!(
                "SELECT m.group_seq, m.want, m.have, m.state, m.op_seq, g.rev, o.user_seq AS other FROM member m JOIN resource g ON g.seq = m.group_seq \
                 LEFT JOIN member o ON o.group_seq = m.group_seq AND o.user_seq = $2 WHERE m.user_seq = $1 {which} ORDER BY m.group_seq"
            ),
            vals![from, to],
        )
        .await?;
    for row in &rows {
        let group: i64 = row.col("group_seq")?;
        let want: i16 = row.col("want")?;
        if row.col::<Option<i64>>("other")?.is_none() {
            tx.conn
                .run(
                    "UPDATE member SET user_seq = $3, state = 'todo', reason = NULL WHERE group_seq = $1 AND user_seq = $2",
                    vals![group, from, to],
                )
                .await?;
        } else {
            tx.conn
                .run(
                    "UPDATE member SET want = CASE WHEN $3 = 1 THEN 1 ELSE want END, have = CASE WHEN have <> 0 THEN have ELSE $4 END, \
                     state = 'todo', reason = NULL WHERE group_seq = $1 AND user_seq = $2",
                    vals![group, to, want, row.col::<Option<i16>>("have")?],
                )
                .await?;
            tx.conn.run("DELETE FROM member WHERE group_seq = $1 AND user_seq = $2", vals![group, from]).await?;
            if row.col::<String>("state")? == "todo"
                && let Some(operation) = row.col::<Option<i64>>("op_seq")?
            {
                close_operation_items(tx, operation, Ends { superseded: 1, ..Ends::default() }, None).await?;
            }
        }
        if want == 1 {
            tx.conn
                .run("UPDATE resource SET version = version + 1, modified_at = $2 WHERE seq = $1", vals![group, tx.now])
                .await?;
            events::regrouped(tx, instance, group).await?;
        }
        let lane = if want == 1 { Lane::Grant } else { Lane::Removal };
        upsert_work(tx, instance, group, lane, row.col("rev")?, None).await?;
    }
    Ok(())
}

/// A deleted group's counterpart becomes another group's: who is in it there, and is not asked for
/// again, is taken out.
pub(super) async fn inherit_members(tx: &Tx<'_>, from: i64, to: i64) -> Result<(), StoreError> {
    tx.conn
        .run(
            "UPDATE member SET group_seq = $2, want = 0, state = 'todo', reason = NULL, op_seq = NULL WHERE group_seq = $1 AND (have <> 0 \
             OR EXISTS (SELECT 1 FROM attempt t WHERE t.resource_seq = $1 AND t.item_seq = member.user_seq AND t.state IN ('sending','unknown')))",
            vals![from, to],
        )
        .await?;
    tx.conn.run("DELETE FROM member WHERE group_seq = $1", vals![from]).await?;
    Ok(())
}

fn places(first: usize, count: usize) -> String {
    (first..first + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(",")
}
