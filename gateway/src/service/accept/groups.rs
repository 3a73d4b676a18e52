//! Memberships changed from the user's side, where the policy has `groups_via_users`: each group is changed as if the
//! client had sent a PATCH of its members, in the same transaction, with an operation of its own.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use scim::patch::{Base, NetEdit, Operation, PatchOp, PatchRequest};
use scim::{AttrPath, PatchPath, ScimError};
use serde_json::json;

use super::change::{Body, Change};
use crate::service::types::{Caller, Failure, Instance, Precondition};
use crate::store::{Rows, Sql, StoreError, Tx, Unit};

/// A user whose groups are edited.
pub(super) struct UserSide<'a> {
    pub(super) instance: &'a Arc<Instance>,
    pub(super) caller: &'a Caller,
    /// The user's row.
    pub(super) user: i64,
    /// The user's SCIM id.
    pub(super) id: &'a str,
}

impl UserSide<'_> {
    /// Locks every group that the edit or the user's own change may touch, in one order: two users with the same
    /// groups would wait for each other.
    pub(super) async fn lock(&self, tx: &Tx<'_>, edit: &NetEdit) -> Result<(), StoreError> {
        let lock = tx.conn.for_update();
        if edit.is_empty() || lock.is_empty() {
            return Ok(());
        }
        tx.conn
            .all(
                &format!(
                    "SELECT seq FROM resource WHERE instance_seq = $2 AND kind = 'Group' AND deleted_at IS NULL \
                     AND (seq IN (SELECT group_seq FROM member WHERE user_seq = $1) OR id IN (SELECT e.v FROM {} e)) ORDER BY seq{lock}",
                    tx.conn.each(3)
                ),
                vals![self.user, self.instance.seq, ids_of(edit)],
            )
            .await?;
        Ok(())
    }

    /// Does it; how many groups changed. A group that is named to be in and does not exist is refused; one that is
    /// named to be out and does not exist is out.
    pub(super) async fn edit(&self, tx: &Tx<'_>, edit: &NetEdit) -> Result<usize, Failure> {
        let mut changed = 0;
        for (group, into) in self.resolve(tx, edit).await? {
            let member = json!([{"value": self.id}]);
            let op = if into { PatchOp::Add } else { PatchOp::Remove };
            let path = PatchPath { attr: AttrPath::name("members"), filter: None, sub: None };
            let mut change = Change {
                instance: Arc::clone(self.instance),
                // The request is the user's: its completion is told once, and not by each group.
                caller: Caller { later: None, ..self.caller.clone() },
                kind: "Group".to_owned(),
                id: group,
                body: Body::Patch(PatchRequest {
                    operations: vec![Operation { op, path: Some(path), value: Some(member) }],
                }),
                condition: Precondition::None,
                quirks: Default::default(),
            };
            let accepted = change.run(tx).await?;
            changed += usize::from(accepted.operation.is_some());
        }
        Ok(changed)
    }

    /// The groups to be changed, in the order of their rows, each with whether the user shall be in.
    async fn resolve(&self, tx: &Tx<'_>, edit: &NetEdit) -> Result<Vec<(String, bool)>, Failure> {
        let mut rows: BTreeMap<i64, (String, bool)> = BTreeMap::new();
        let named = tx
            .conn
            .all(
                &format!(
                    "SELECT r.seq, r.id FROM {} e JOIN resource r ON r.id = e.v AND r.instance_seq = $1 AND r.kind = 'Group' AND r.deleted_at IS NULL",
                    tx.conn.each(2)
                ),
                vals![self.instance.seq, ids_of(edit)],
            )
            .await?;
        for row in &named {
            let id: String = row.col("id")?;
            let into = edit.want.get(&id).copied().unwrap_or_default();
            rows.insert(row.col("seq")?, (id, into));
        }
        let found: HashSet<&str> = rows.values().map(|(id, _)| id.as_str()).collect();
        if let Some((id, _)) = edit.want.iter().find(|(id, into)| **into && !found.contains(id.as_str())) {
            return Err(ScimError::invalid_value(format!(
                "groups: there is no Group with the id {id}. Create the group first; nothing was changed."
            ))
            .into());
        }
        if edit.base == Base::Clear || !edit.matching.is_empty() {
            let core = scim::Registry::core();
            let shape = core.user().and_then(|rt| rt.schema.attribute("groups"));
            let now = tx
                .conn
                .all(
                    "SELECT g.seq, g.id, g.name FROM member m JOIN resource g ON g.seq = m.group_seq \
                     WHERE m.user_seq = $1 AND m.want = 1 AND g.deleted_at IS NULL",
                    vals![self.user],
                )
                .await?;
            for row in &now {
                let id: String = row.col("id")?;
                let element = json!({"value": id, "display": row.col::<String>("name")?, "type": "direct"});
                let out = edit.base == Base::Clear
                    || shape.is_some_and(|shape| edit.matching.iter().any(|f| f.matches_element(shape, &element)));
                if out {
                    rows.entry(row.col("seq")?).or_insert((id, false));
                }
            }
        }
        Ok(rows.into_values().collect())
    }
}

/// The groups that an edit names, as one value. What PostgreSQL cannot hold as text is nobody's id.
fn ids_of(edit: &NetEdit) -> String {
    json!(edit.want.keys().filter(|id| !id.contains('\0')).collect::<Vec<_>>()).to_string()
}
