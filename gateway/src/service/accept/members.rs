//! Memberships: set operations on rows, never on a document.
//!
//! What a group shall have is handed to the database as one value and compared there: rows that stay as they are
//! cost a look-up in an index and never leave it, so that a PUT of fifty thousand members of which ten are new
//! reads and writes ten.

use std::collections::{BTreeMap, BTreeSet};

use engine::Lane;
use scim::patch::{Base, NetEdit};
use scim::quirks::foreign_member;
use scim::{Quirks, ScimError};
use sea_orm::QueryResult;
use serde_json::json;
use uuid::Uuid;

use super::record::{Ends, close_operation_items, upsert_work};
use crate::driver::desk;
use crate::driver::doubt;
use crate::service::events;
use crate::service::types::{Failure, Instance};
use crate::store::{Rows, Sql, StoreError, Tx};

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

/// A membership whose wish changes.
#[derive(Clone, Copy, Debug)]
struct Turn {
    user: i64,
    want: bool,
    /// What the target has, of a row that is there already.
    have: Option<Option<i16>>,
    /// The operation that waits for the row.
    open_operation: Option<i64>,
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
    let ids = |wanted: bool| -> Vec<&str> {
        let some = edit.want.iter().filter(|(id, want)| **want == wanted && !id.contains('\0'));
        some.map(|(id, _)| id.as_str()).collect()
    };
    if let Some((id, _)) = edit.want.iter().find(|(id, want)| **want && id.contains('\0')) {
        return Err(unknown(id).into());
    }
    let mut turns = Vec::new();
    let added = json!(ids(true)).to_string();
    if edit.want.values().any(|want| *want) {
        refuse_strangers(tx, instance, &added).await?;
        turns.extend(additions(tx, instance, group, &added).await?);
    }
    if edit.base == Base::Clear {
        turns.extend(all_but(tx, instance, group, &added).await?);
    } else {
        let removed = ids(false);
        if !removed.is_empty() {
            turns.extend(removals(tx, instance, group, &json!(removed).to_string()).await?);
        }
        if !edit.matching.is_empty() {
            turns.extend(matching(tx, group, &edit).await?);
        }
    }
    // Memberships of one resource are locked and written in one order.
    turns.sort_unstable_by_key(|turn| turn.user);
    turns.dedup_by_key(|turn| turn.user);
    refuse_protected(tx, instance, &turns).await?;
    settle_turns(tx, group, operation, &turns).await
}

/// A protected person is not taken out of a group that the target has them in (DECISIONS 13).
async fn refuse_protected(tx: &Tx<'_>, instance: &Instance, turns: &[Turn]) -> Result<(), Failure> {
    let leave: Vec<i64> = turns
        .iter()
        .filter(|turn| !turn.want && matches!(turn.have, Some(Some(1 | 2))))
        .map(|turn| turn.user)
        .collect();
    if leave.is_empty() {
        return Ok(());
    }
    // Without a list of the policy only the target's own word counts, which an index has.
    let which = if instance.policy.protected.is_empty() { " AND a.protected = 1" } else { "" };
    let text = format!(
        "SELECT r.name, a.protected, a.login_key, a.email_key FROM {} e CROSS JOIN resource r JOIN link l ON l.resource_seq = r.seq AND l.state = 'live' \
         JOIN account a ON a.seq = l.account_seq WHERE r.seq = CAST(e.v AS BIGINT){which}",
        tx.conn.each(1)
    );
    for row in tx.conn.all(&text, vals![json!(leave).to_string()]).await? {
        let name: String = row.at(0)?;
        let (login, email): (Option<String>, Option<String>) = (row.at(2)?, row.at(3)?);
        let names = [Some(name.as_str()), login.as_deref(), email.as_deref()];
        if row.at::<i16>(1)? == 1 || instance.policy.protects(names.into_iter().flatten()) {
            return Err(ScimError::mutability(format!(
                "\"{name}\" is protected and stays in the group: it is the gateway's own account, the target's last owner, or listed as protected. Nothing was changed."
            ))
            .into());
        }
    }
    Ok(())
}

/// Writes what changes.
async fn settle_turns(tx: &Tx<'_>, group: i64, operation: i64, turns: &[Turn]) -> Result<Edited, Failure> {
    let flying = if turns.iter().any(|turn| turn.have.is_some()) { flying(tx, group).await? } else { BTreeSet::new() };
    let mut edited = Edited::default();
    let mut superseded: BTreeMap<i64, i64> = BTreeMap::new();
    let (mut put, mut take, mut forget) = (Vec::new(), Vec::new(), Vec::new());
    for turn in turns {
        edited.changed += 1;
        if let Some(open) = turn.open_operation {
            *superseded.entry(open).or_default() += 1;
        }
        match (turn.want, turn.have) {
            // Taken back before the addition was sent: the target never had it.
            (false, Some(None | Some(0))) if !flying.contains(&turn.user) => {
                forget.push(turn.user);
                continue;
            }
            // Also where the target has it already: the plan knows, and sees whether the person
            // may have it.
            (true, _) => put.push(turn.user),
            (false, _) => take.push(turn.user),
        }
        edited.todo += 1;
        edited.removes |= !turn.want;
    }
    for (open, items) in superseded {
        close_operation_items(tx, open, Ends { superseded: items, ..Ends::default() }, None).await?;
    }
    if !forget.is_empty() {
        let text = format!(
            "DELETE FROM member WHERE group_seq = $1 AND user_seq IN (SELECT CAST(e.v AS BIGINT) FROM {} e)",
            tx.conn.each(2)
        );
        tx.conn.run(&text, vals![group, json!(forget).to_string()]).await?;
        desk::withdraw_items(tx, group, &json!(forget).to_string()).await?;
    }
    for (users, want) in [(put, 1_i16), (take, 0)] {
        if !users.is_empty() {
            write_rows(tx, group, operation, &users, want).await?;
        }
    }
    Ok(edited)
}

/// Empties an edit that names nobody who can be ours: every id of ours is a UUID. What could be an id is looked for, and
/// refused by name if it is not there.
pub(super) fn leave_out_foreign(want: &mut BTreeMap<String, bool>, quirks: &mut Quirks) -> Vec<String> {
    foreign_member::leave_out(want, |id| Uuid::try_parse(id).is_ok(), quirks)
}

/// What an operation says of those who were left out; at most twenty by name.
pub(super) fn members_left_out(left_out: &[String]) -> Option<serde_json::Value> {
    let named: Vec<&String> = left_out.iter().take(20).collect();
    (!named.is_empty()).then(|| json!({"path": "members", "left_out": named, "count": left_out.len()}))
}

fn unknown(id: &str) -> ScimError {
    ScimError::invalid_value(format!(
        "members: there is no User with the id {id}. Create the user first; nothing was changed."
    ))
}

/// Adding an id that is not a user of this instance is refused by name; removing one changes nothing
/// (DECISIONS 14).
async fn refuse_strangers(tx: &Tx<'_>, instance: &Instance, ids: &str) -> Result<(), Failure> {
    let text = format!(
        "SELECT e.v, r.seq FROM {} e LEFT JOIN resource r ON r.id = e.v AND r.instance_seq = $1 AND r.deleted_at IS NULL \
         WHERE r.seq IS NULL OR r.kind <> 'User' ORDER BY e.v LIMIT 1",
        tx.conn.each(2)
    );
    let Some(row) = tx.conn.one(&text, vals![instance.seq, ids]).await? else { return Ok(()) };
    let id: String = row.at(0)?;
    if row.at::<Option<i64>>(1)?.is_none() {
        return Err(unknown(&id).into());
    }
    Err(ScimError::invalid_value(format!(
        "members: {id} is a Group. Groups within groups are not supported; add its users."
    ))
    .into())
}

/// The columns of a [`Turn`]. The statements below say CROSS JOIN where SQLite has to begin with the ids and not
/// with all resources; PostgreSQL joins as it likes.
const TURN: &str = "m.have, m.state, m.op_seq";

/// Who is to be a member and is not yet. What the target refused is tried again when it is asked for
/// again (DECISIONS 10).
async fn additions(tx: &Tx<'_>, instance: &Instance, group: i64, ids: &str) -> Result<Vec<Turn>, StoreError> {
    let text = format!(
        "SELECT r.seq, {TURN} FROM {} e CROSS JOIN resource r LEFT JOIN member m ON m.group_seq = $3 AND m.user_seq = r.seq \
         WHERE r.id = e.v AND r.instance_seq = $1 AND r.deleted_at IS NULL AND (m.user_seq IS NULL OR m.want = 0 OR m.state = 'refused')",
        tx.conn.each(2)
    );
    turns(&tx.conn.all(&text, vals![instance.seq, ids, group]).await?, true)
}

/// Who of these ids is a member and is not to be.
async fn removals(tx: &Tx<'_>, instance: &Instance, group: i64, ids: &str) -> Result<Vec<Turn>, StoreError> {
    let text = format!(
        "SELECT r.seq, {TURN} FROM {} e CROSS JOIN resource r CROSS JOIN member m WHERE r.id = e.v AND r.instance_seq = $1 \
         AND r.deleted_at IS NULL AND m.group_seq = $3 AND m.user_seq = r.seq AND (m.want = 1 OR m.state = 'refused')",
        tx.conn.each(2)
    );
    turns(&tx.conn.all(&text, vals![instance.seq, ids, group]).await?, false)
}

/// Who is a member and none of these ids.
async fn all_but(tx: &Tx<'_>, instance: &Instance, group: i64, ids: &str) -> Result<Vec<Turn>, StoreError> {
    let text = format!(
        "SELECT m.user_seq, {TURN} FROM member m WHERE m.group_seq = $3 AND (m.want = 1 OR m.state = 'refused') AND m.user_seq NOT IN \
         (SELECT r.seq FROM {} e CROSS JOIN resource r WHERE r.id = e.v AND r.instance_seq = $1 AND r.deleted_at IS NULL)",
        tx.conn.each(2)
    );
    turns(&tx.conn.all(&text, vals![instance.seq, ids, group]).await?, false)
}

/// Who is a member and passes one of the filters, but for those that the edit names.
async fn matching(tx: &Tx<'_>, group: i64, edit: &NetEdit) -> Result<Vec<Turn>, Failure> {
    let core = scim::Registry::core();
    let Some(attribute) = core.group().and_then(|rt| rt.schema.attribute("members")) else {
        return Ok(Vec::new());
    };
    let text = format!(
        "SELECT m.user_seq, {TURN}, u.id, u.name FROM member m JOIN resource u ON u.seq = m.user_seq WHERE m.group_seq = $1 AND m.want = 1"
    );
    let mut passing = Vec::new();
    for row in tx.conn.all(&text, vals![group]).await? {
        let id: String = row.at(4)?;
        let element = json!({"value": id, "display": row.at::<String>(5)?, "type": "User"});
        if !edit.want.contains_key(&id)
            && edit.matching.iter().any(|filter| filter.matches_element(attribute, &element))
        {
            passing.push(row);
        }
    }
    Ok(turns(&passing, false)?)
}

fn turns(rows: &[QueryResult], want: bool) -> Result<Vec<Turn>, StoreError> {
    let read = |row: &QueryResult| {
        // A row that is not there has no state.
        let state: Option<String> = row.at(2)?;
        let have: Option<i16> = row.at(1)?;
        Ok(Turn {
            user: row.at(0)?,
            want,
            have: state.as_ref().map(|_| have),
            open_operation: if state.as_deref() == Some("todo") { row.at(3)? } else { None },
        })
    };
    rows.iter().map(read).collect()
}

/// The users of a group's attempts whose outcome is open, and of tasks that somebody did and nobody heard of yet.
async fn flying(tx: &Tx<'_>, group: i64) -> Result<BTreeSet<i64>, StoreError> {
    let text = "SELECT item_seq FROM attempt WHERE resource_seq = $1 AND state IN ('sending','unknown') \
         UNION SELECT item_seq FROM task WHERE resource_seq = $1 AND live = 1 AND heard = 0 AND state = 'done'";
    tx.conn.all(text, vals![group]).await?.iter().map(|row| row.at(0)).collect()
}

async fn write_rows(tx: &Tx<'_>, group: i64, operation: i64, users: &[i64], want: i16) -> Result<(), StoreError> {
    let text = format!(
        "INSERT INTO member (group_seq, user_seq, want, have, asserted, state, reason, op_seq, have_at) \
         SELECT CAST($1 AS BIGINT), CAST(e.v AS BIGINT), CAST($3 AS SMALLINT), NULL, 1, 'todo', NULL, CAST($4 AS BIGINT), NULL FROM {} e WHERE 1 = 1 \
         ON CONFLICT (group_seq, user_seq) DO UPDATE SET want = excluded.want, asserted = 1, state = excluded.state, \
         reason = NULL, op_seq = excluded.op_seq, held = 0",
        tx.conn.each(2)
    );
    tx.conn.run(&text, vals![group, json!(users).to_string(), want, operation]).await?;
    // Whoever decided to leave these as they were decided about an older wish.
    let text = format!(
        "DELETE FROM waiver WHERE resource_seq = $1 AND item_seq IN (SELECT CAST(e.v AS BIGINT) FROM {} e)",
        tx.conn.each(2)
    );
    tx.conn.run(&text, vals![group, json!(users).to_string()]).await?;
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
    let flies = "EXISTS (SELECT 1 FROM attempt t WHERE t.resource_seq = m.group_seq AND t.item_seq = m.user_seq AND t.state IN ('sending','unknown')) \
        OR EXISTS (SELECT 1 FROM task t WHERE t.resource_seq = m.group_seq AND t.item_seq = m.user_seq AND t.live = 1 AND t.heard = 0 AND t.state = 'done')";
    let which = if at_target { format!("AND (m.have <> 0 OR {flies})") } else { String::new() };
    let rows = tx
        .conn
        .all(
            &format!(
                "SELECT m.group_seq, m.want, CASE WHEN ({flies}) AND m.have = 0 THEN NULL ELSE m.have END AS have, m.state, m.op_seq, g.rev, o.user_seq AS other FROM member m JOIN resource g ON g.seq = m.group_seq \
                 LEFT JOIN member o ON o.group_seq = m.group_seq AND o.user_seq = $2 WHERE m.user_seq = $1 {which} ORDER BY m.group_seq"
            ),
            vals![from, to],
        )
        .await?;
    for row in &rows {
        let group: i64 = row.col("group_seq")?;
        let want: i16 = row.col("want")?;
        // What is on its way is the account's, and so the new row's: until it is told, what the target has is
        // unknown. What is being taken out is there until it is told to be gone: should the call be refused,
        // nothing but this row knows of it.
        tx.conn
            .run(
                "UPDATE attempt SET item_seq = $3 WHERE resource_seq = $1 AND item_seq = $2 AND state IN ('sending','unknown') \
                 AND NOT EXISTS (SELECT 1 FROM attempt o WHERE o.resource_seq = $1 AND o.item_seq = $3 AND o.state IN ('sending','unknown'))",
                vals![group, from, to],
            )
            .await?;
        doubt::hand_over_member(tx, group, from, to).await?;
        desk::hand_over_member(tx, group, from, to).await?;
        let have: Option<i16> = row.col("have")?;
        if row.col::<Option<i64>>("other")?.is_none() {
            tx.conn
                .run(
                    "UPDATE member SET user_seq = $3, have = $4, state = 'todo', reason = NULL, held = 0 WHERE group_seq = $1 AND user_seq = $2",
                    vals![group, from, to, have],
                )
                .await?;
        } else {
            tx.conn
                .run(
                    "UPDATE member SET want = CASE WHEN $3 = 1 THEN 1 ELSE want END, held = 0, have = CASE WHEN have <> 0 THEN have ELSE $4 END, \
                     state = 'todo', reason = NULL WHERE group_seq = $1 AND user_seq = $2",
                    vals![group, to, want, have],
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
