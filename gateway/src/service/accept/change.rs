//! PUT and PATCH. Both read the row, work out what it shall be with the pure protocol crate, and
//! write only the difference. The first write to an account that nobody manages adopts it
//! (DECISIONS 2).

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use engine::Lane;
use engine::policy::Adopt;
use scim::fold::{fold_name, fold_text};
use scim::patch::{Base, Changed, NetEdit, PatchRequest, diff, fold_edits, replace_groups, take_groups};
use scim::resource::Absent;
use scim::schema::ResourceType;
use scim::{Document, Quirks, ScimError};
use serde_json::{Value, json};

use super::claims::claim;
use super::groups::UserSide;
use super::members::{Edited, edit_members, leave_out_foreign, members_left_out};
use super::record::{Record, changes_of, index, is_protected, tally, unindex, upsert_work};
use super::{Accepted, name_of, taken, text, type_of};
use crate::driver::look_at_credential;
use crate::service::directory::{COLUMNS, stored};
use crate::service::events::{self, Changing, Members};
use crate::service::records::audit;
use crate::service::types::{Caller, Failure, Instance, Precondition, Stored};
use crate::service::waivers;
use crate::store::{Rows, Sql, StoreError, Tx, Unit};

/// How long after a look at the target another is not worth it, in microseconds (DECISIONS 12).
const LOOK_AGAIN: i64 = 10 * 60 * 1_000_000;

/// What the client sent.
#[derive(Clone)]
pub(in crate::service) enum Body {
    /// A whole resource.
    Replace(Value),
    /// Operations.
    Patch(PatchRequest),
}

/// What a change comes to.
struct Wanted {
    document: Document,
    changed: Vec<Changed>,
    /// Of a group.
    members: NetEdit,
    /// Of a user, where the policy lets users' clients change them.
    groups: NetEdit,
}

/// Changes a resource.
pub(in crate::service) struct Change {
    pub(in crate::service) instance: Arc<Instance>,
    pub(in crate::service) caller: Caller,
    pub(in crate::service) kind: String,
    pub(in crate::service) id: String,
    pub(in crate::service) body: Body,
    pub(in crate::service) condition: Precondition,
    pub(in crate::service) quirks: Quirks,
}

#[async_trait]
impl Unit for Change {
    type Out = Accepted;
    type Err = Failure;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Accepted, Failure> {
        let before = find(tx, &self.instance, &self.kind, &self.id).await?;
        if !self.condition.holds(before.version) {
            return Err(ScimError::precondition_failed(format!(
                "{} {} is not at the version that the request asks for. Read it again.",
                self.kind, self.id
            ))
            .into());
        }
        let rt = type_of(&self.instance, &self.kind)?;
        let mut quirks = self.quirks.clone();
        let Wanted { document, changed, members: mut edit, groups } = self.work_out(rt, &before, &mut quirks)?;
        let lone = matches!(&self.body, Body::Patch(request) if request.operations.len() == 1);
        let left_out =
            if lone && edit.base == Base::Keep { leave_out_foreign(&mut edit.want, &mut quirks) } else { Vec::new() };
        let adopts = !before.managed;
        if adopts {
            self.may_adopt(tx, &before).await?;
            let detail = json!({"instance": self.instance.id, "evidence": "write"});
            audit(tx, &self.caller.actor, "account.adopt", &before.id, &detail).await?;
        }
        let (name, name_key) =
            name_of(rt, &document, &before.id).unwrap_or_else(|| (before.name.clone(), fold_name(&before.name)));
        let renamed = rt.is_core() && (adopts || name_key != fold_name(&before.name));
        if renamed && self.is_taken(tx, &before, &name_key).await? {
            return Err(taken(rt, &name).into());
        }
        // Nobody is switched on or off by removing `active`: unassigned, it means what it was.
        let active = document.get("active").and_then(Value::as_bool).unwrap_or(before.active);
        if rt.is_core()
            && before.active
            && !active
            && is_protected(tx, &self.instance, before.seq, &before.name).await?
        {
            return Err(protected(&before.name).into());
        }

        // The operation's number is needed by the member rows; nothing is written if nothing changes.
        let mut after = before.clone();
        after.rev += 1;
        let operation = if changed.is_empty() && !adopts && edit.is_empty() {
            None
        } else {
            Some(
                Record {
                    instance: &self.instance,
                    resource_seq: before.seq,
                    caller: &self.caller,
                    verb: if adopts { "adopt" } else { self.verb() },
                    rev: after.rev,
                    changes: changes_of(&changed).into(),
                    quirks: quirks.applied().map(scim::Quirk::name).collect(),
                    items: i64::from(rt.is_core()),
                }
                .write(tx)
                .await?,
            )
        };
        let members = Members::of(&self.instance, &edit);
        let edited = match operation {
            Some(operation) => edit_members(tx, &self.instance, before.seq, operation, edit).await?,
            None => Edited::default(),
        };
        if changed.is_empty() && !adopts && edited.changed == 0 {
            if let Some(operation) = operation {
                tx.conn.run("DELETE FROM operation WHERE seq = $1", vals![operation]).await?;
            }
            if rt.is_core() {
                self.mark_for_a_look(tx, &before).await?;
            }
            self.record_left_out(tx, &before, &left_out, &quirks).await?;
            self.tell(tx, &before, &before, &changed, Members::Same, None).await?;
            let groups = self.edit_groups(tx, &before, &groups).await?;
            return Ok(Accepted {
                stored: before,
                operation: None,
                items: 0,
                lane: Lane::Grant,
                before: None,
                quirks,
                groups,
            });
        }
        after.doc = document;
        after.name = name;
        after.active = active;
        after.managed = true;
        after.version += 1;
        after.modified_at = tx.now.max(before.modified_at + 1);
        self.store(tx, rt, &before, &after, &name_key, adopts).await?;

        // One item for the resource itself, settled with its revision, and one per membership; none
        // where the directory is all there is.
        let items = if rt.is_core() { 1 + edited.todo } else { 0 };
        if let Some(operation) = operation {
            self.complete_record(tx, operation, &changed, edited, items).await?;
        }
        let lane = self.instance.queue.lane(lane_of(&before, &after, edited));
        if rt.is_core() && !has_work(tx, before.seq).await? {
            self.instance.queue.admit(lane, self.instance.most_open_work())?;
        }
        let groups = self.edit_groups(tx, &before, &groups).await?;
        if self.kind == "User" && before.active != active {
            wake_groups(tx, &self.instance, before.seq, active).await?;
        }
        if rt.is_core() {
            upsert_work(tx, &self.instance, before.seq, lane, after.rev, None).await?;
        }
        let members = if edited.changed > 0 { members } else { Members::Same };
        self.tell(tx, &before, &after, &changed, members, operation).await?;
        Ok(Accepted { stored: after, operation, items, lane, before: Some(before), quirks, groups })
    }
}

impl Change {
    fn verb(&self) -> &'static str {
        match self.body {
            Body::Replace(_) => "replace",
            Body::Patch(_) => "patch",
        }
    }

    /// Tells those who listen.
    async fn tell(
        &self,
        tx: &Tx<'_>,
        before: &Stored,
        after: &Stored,
        changed: &[Changed],
        members: Members,
        operation: Option<i64>,
    ) -> Result<(), StoreError> {
        let whole = matches!(self.body, Body::Replace(_));
        let change = Changing { before, after, whole, changed, members, operation };
        events::changed(tx, &self.instance, &self.caller, change).await
    }

    /// A request that changed nothing but named members whom nobody knows is on record, or they would be lost
    /// without a trace.
    async fn record_left_out(
        &self,
        tx: &Tx<'_>,
        before: &Stored,
        left_out: &[String],
        quirks: &Quirks,
    ) -> Result<(), StoreError> {
        let Some(change) = members_left_out(left_out) else { return Ok(()) };
        let record = Record {
            instance: &self.instance,
            resource_seq: before.seq,
            caller: &self.caller,
            verb: self.verb(),
            rev: before.rev,
            changes: json!([change]),
            quirks: quirks.applied().map(scim::Quirk::name).collect(),
            items: 0,
        };
        record.write(tx).await.map(|_| ())
    }

    /// Changes the groups of a user, where the policy lets users' clients do that.
    async fn edit_groups(&self, tx: &Tx<'_>, user: &Stored, edit: &NetEdit) -> Result<usize, Failure> {
        if edit.is_empty() {
            return Ok(0);
        }
        let side = UserSide { instance: &self.instance, caller: &self.caller, user: user.seq, id: &user.id };
        side.lock(tx, edit).await?;
        side.edit(tx, edit).await
    }

    fn work_out(&self, rt: &ResourceType, before: &Stored, quirks: &mut Quirks) -> Result<Wanted, Failure> {
        let settings = self.instance.policy.settings();
        // Nobody comes into a group by a key of their own.
        let via_users = self.kind == "User" && settings.groups_via_users && !self.caller.own;
        Ok(match &self.body {
            Body::Replace(body) => {
                let mut current = before.doc.clone();
                if rt.schema.attribute("active").is_some() {
                    current.entry("active").or_insert(Value::Bool(before.active));
                }
                let absent = Absent { active: settings.put_without_active, members: settings.put_without_members };
                let parsed = scim::resource::replace_with(rt, &current, body.clone(), absent, quirks)?;
                // A user without `groups` says nothing of them: nobody loses access by a key that was left out.
                let groups = match parsed.groups.filter(|_| via_users) {
                    Some(given) => fold_edits(&[replace_groups(given, quirks)?]),
                    None => NetEdit::default(),
                };
                let changed = diff(&before.doc, &parsed.document);
                let members = match parsed.relation {
                    Some(members) => NetEdit {
                        base: Base::Clear,
                        want: members.into_iter().map(|member| (member.value, true)).collect(),
                        matching: Vec::new(),
                    },
                    None => NetEdit { base: Base::Keep, want: Default::default(), matching: Vec::new() },
                };
                Wanted { document: parsed.document, changed, members, groups }
            }
            Body::Patch(request) => {
                let mut request = Cow::Borrowed(request);
                let groups =
                    if via_users { fold_edits(&take_groups(request.to_mut(), quirks)?) } else { NetEdit::default() };
                let patched = scim::patch::apply(rt, &before.doc, &request, quirks)?;
                let members = fold_edits(&patched.edits);
                Wanted { document: patched.document, changed: patched.changed, members, groups }
            }
        })
    }

    async fn may_adopt(&self, tx: &Tx<'_>, before: &Stored) -> Result<(), Failure> {
        let refuse = |why: &str| {
            Failure::Scim(ScimError::uniqueness(format!(
                "\"{}\" exists at the target and is not managed through this gateway: {why}",
                before.name
            )))
        };
        if self.kind == "Group" {
            // What the policy does not adopt was not found (see `find`); by_name is the only other word.
            return Ok(());
        }
        match self.instance.policy.adopt {
            Adopt::Never => Err(refuse("the policy of this instance is to adopt no existing accounts.")),
            Adopt::ByUserName => Ok(()),
            Adopt::ByVerifiedEmail => {
                let row = tx
                    .conn
                    .one(
                        "SELECT a.doc FROM link l JOIN account a ON a.seq = l.account_seq WHERE l.resource_seq = $1 AND l.state = 'live'",
                        vals![before.seq],
                    )
                    .await?;
                let account: Value = match row {
                    Some(row) => serde_json::from_str(&row.col::<String>("doc")?).unwrap_or_default(),
                    None => Value::Null,
                };
                let verified = account["email_verified"].as_bool() == Some(true)
                    && account["email"].as_str().is_some_and(|email| fold_text(email) == fold_text(&before.name));
                if verified {
                    Ok(())
                } else {
                    Err(refuse("its address is not known to be verified, which the policy of this instance asks for."))
                }
            }
        }
    }

    async fn is_taken(&self, tx: &Tx<'_>, before: &Stored, name_key: &str) -> Result<bool, StoreError> {
        let row = tx
            .conn
            .one(
                "SELECT seq FROM resource WHERE instance_seq = $1 AND kind = $2 AND name_key = $3 AND deleted_at IS NULL AND managed = 1 AND seq <> $4 LIMIT 1",
                vals![self.instance.seq, self.kind.as_str(), name_key, before.seq],
            )
            .await?;
        Ok(row.is_some())
    }

    /// Repeating what is already wanted changes nothing, but is how admins ask for a look: the next
    /// reconcile looks at this resource first (DECISIONS 12).
    async fn mark_for_a_look(&self, tx: &Tx<'_>, before: &Stored) -> Result<(), StoreError> {
        tx.conn
            .run(
                "UPDATE resource SET look_at = $2 WHERE seq = $1 AND (look_at IS NULL OR look_at < $3)",
                vals![before.seq, tx.now, tx.now - LOOK_AGAIN],
            )
            .await?;
        // What an admin decided to leave as it is was asked for again (DECISIONS 24).
        if waivers::lift(tx, before.seq, before.rev).await? {
            let lane = if before.active { Lane::Grant } else { Lane::Deprovision };
            upsert_work(tx, &self.instance, before.seq, lane, before.rev, None).await?;
        }
        if !before.active {
            for (group, rev) in waivers::lift_memberships(tx, before.seq).await? {
                upsert_work(tx, &self.instance, group, Lane::Removal, rev, None).await?;
            }
        }
        // What waits for a person to act is tried at once: the client's push is such an act.
        let taken_up = tx
            .conn
            .run(
                "UPDATE work SET state = 'todo', due_at = $2, need = NULL, reason = NULL, tries = 0, looks = 0, panics = 0 WHERE resource_seq = $1 AND state = 'needs'",
                vals![before.seq, tx.now],
            )
            .await?;
        if taken_up > 0 {
            look_at_credential(tx, self.instance.seq).await?;
        }
        Ok(())
    }

    async fn store(
        &self,
        tx: &Tx<'_>,
        rt: &ResourceType,
        before: &Stored,
        after: &Stored,
        name_key: &str,
        adopts: bool,
    ) -> Result<(), Failure> {
        let document = serde_json::to_string(&after.doc).map_err(|error| StoreError::Other(error.to_string()))?;
        let listed = if adopts {
            tx.conn
                .one("SELECT listed FROM resource WHERE seq = $1", vals![before.seq])
                .await?
                .map_or(Ok(1), |row| row.col::<i16>("listed"))?
        } else {
            1
        };
        let held = before.managed.then_some(&before.doc);
        claim(tx, self.instance.seq, rt, before.seq, held, &after.doc).await?;
        tx.conn
            .run(
                "UPDATE resource SET name = $2, name_key = $3, name_slot = 0, external_id = $4, active = $5, doc = $6, managed = 1, listed = 1, \
                 version = $7, rev = $8, modified_at = $9, settled_rev = CASE WHEN $10 = 1 THEN settled_rev ELSE $8 END WHERE seq = $1",
                vals![
                    before.seq,
                    after.name.as_str(),
                    name_key,
                    text(&after.doc, "externalId").map(str::to_owned),
                    i16::from(after.active),
                    document,
                    after.version,
                    after.rev,
                    after.modified_at,
                    i64::from(rt.is_core())
                ],
            )
            .await
            .map_err(|error| match error {
                StoreError::Unique(_) => Failure::Scim(taken(rt, &after.name)),
                other => Failure::Store(other),
            })?;
        if listed == 0 {
            tally(tx, self.instance.seq, &self.kind, before.seq, 1).await?;
        }
        if ["emails", "displayName"].iter().any(|name| before.doc.get(*name) != after.doc.get(*name)) {
            unindex(tx, before.seq).await?;
            index(tx, self.instance.seq, before.seq, &after.doc).await?;
        }
        Ok(())
    }

    async fn complete_record(
        &self,
        tx: &Tx<'_>,
        operation: i64,
        changed: &[Changed],
        edited: Edited,
        items: i64,
    ) -> Result<(), StoreError> {
        let mut changes = changes_of(changed);
        if edited.changed > 0 {
            changes.push(json!({"path": "members", "changed": edited.changed}));
        }
        let (state, closed) = if items == 0 { ("applied", Some(tx.now)) } else { ("open", None) };
        tx.conn
            .run(
                "UPDATE operation SET changes = $2, items = $3, open_items = $3, state = $4, closed_at = $5 WHERE seq = $1",
                vals![operation, Value::from(changes).to_string(), items, state, closed],
            )
            .await?;
        Ok(())
    }
}

/// A live row, locked.
pub(super) async fn find(tx: &Tx<'_>, instance: &Instance, kind: &str, id: &str) -> Result<Stored, Failure> {
    let row = tx
        .conn
        .one(
            &format!(
                "SELECT {COLUMNS} FROM resource r WHERE r.id = $1 AND r.instance_seq = $2 AND r.kind = $3 AND r.deleted_at IS NULL{}",
                tx.conn.for_update()
            ),
            vals![id, instance.seq, kind],
        )
        .await?;
    let item = row.as_ref().map(stored).transpose()?;
    match item {
        Some(item) if item.managed || instance.adopts(kind) => Ok(item),
        Some(item) => Err(ScimError::uniqueness(format!(
            "\"{}\" exists at the target, and the policy of this instance is to adopt no existing accounts.",
            item.name
        ))
        .into()),
        None => Err(ScimError::not_found(format!("There is no {kind} with the id {id}.")).into()),
    }
}

/// What a client is told that would take a protected account's access.
pub(super) fn protected(name: &str) -> ScimError {
    ScimError::mutability(format!(
        "\"{name}\" is protected and keeps its access: it is the gateway's own account, the target's last owner, or listed as protected."
    ))
}

/// Whether something is still to be done for a resource: then one more change of it takes no more room.
async fn has_work(tx: &Tx<'_>, resource: i64) -> Result<bool, StoreError> {
    let row = tx.conn.one("SELECT 1 AS one FROM work WHERE resource_seq = $1", vals![resource]).await?;
    Ok(row.is_some())
}

fn lane_of(before: &Stored, after: &Stored, edited: Edited) -> Lane {
    if before.active && !after.active {
        Lane::Deprovision
    } else if edited.removes {
        Lane::Removal
    } else {
        Lane::Grant
    }
}

/// Locks the groups of a person, as a run of each does: what is read of their memberships and accounts after this
/// is as every run that has ended left it, and every run that has not begins after this transaction. Whoever changes a
/// person's access or link does this before reading; else neither would see what the other writes.
pub(crate) async fn lock_groups(tx: &Tx<'_>, user: i64) -> Result<(), StoreError> {
    let lock = tx.conn.for_update();
    if !lock.is_empty() {
        let text = format!(
            "SELECT seq FROM resource WHERE seq IN (SELECT group_seq FROM member WHERE user_seq = $1) ORDER BY seq{lock}"
        );
        tx.conn.all(&text, vals![user]).await?;
    }
    Ok(())
}

/// A person's access changed: rows of theirs that have to follow are made to-do, and the groups get
/// work. `want` survives deactivation (DECISIONS 20).
pub(crate) async fn wake_groups(tx: &Tx<'_>, instance: &Instance, user: i64, gains: bool) -> Result<(), StoreError> {
    lock_groups(tx, user).await?;
    // On a gain, parked rows may go on and refused ones are tried again; on a loss, rows that the
    // target has must be looked at, for targets where leaving the organisation does not take the
    // memberships along.
    let (which, lane) = if gains {
        // A removal that the brake holds because the person had no access is not wanted any more.
        let freed = tx
            .conn
            .run(
                "UPDATE member SET held = 0, hold_seq = NULL WHERE user_seq = $1 AND held = 1 AND want = 1",
                vals![user],
            )
            .await?;
        if freed > 0 {
            wake_freed(tx, instance, user).await?;
        }
        // So is a removal that was left to the account's own, which is not removed any more.
        ("((state IN ('parked','refused') AND want = 1) OR (state = 'settled' AND want = 0))", Lane::Grant)
    } else {
        ("state = 'settled' AND have IS NOT NULL AND have <> 0", Lane::Removal)
    };
    // What somebody is asked to give by hand is not wanted any more, either: its group looks at it at once.
    let asked = if gains {
        ""
    } else {
        " UNION SELECT resource_seq FROM task WHERE item_seq = $1 AND item_seq > 0 AND live = 1 AND state = 'open'"
    };
    let text = format!("SELECT group_seq FROM member WHERE user_seq = $1 AND {which}{asked} ORDER BY group_seq");
    let groups = tx.conn.all(&text, vals![user]).await?;
    if groups.is_empty() {
        return Ok(());
    }
    tx.conn
        .run(
            &format!("UPDATE member SET state = 'todo', reason = NULL, op_seq = NULL WHERE user_seq = $1 AND {which}"),
            vals![user],
        )
        .await?;
    for row in &groups {
        let group: i64 = row.col("group_seq")?;
        let rev = tx
            .conn
            .one("SELECT rev FROM resource WHERE seq = $1", vals![group])
            .await?
            .map_or(Ok(0), |row| row.col::<i64>("rev"))?;
        upsert_work(tx, instance, group, lane, rev, None).await?;
    }
    Ok(())
}

/// Groups of which a membership of a person is to do get work.
async fn wake_freed(tx: &Tx<'_>, instance: &Instance, user: i64) -> Result<(), StoreError> {
    let text = "SELECT g.seq, g.rev FROM member m JOIN resource g ON g.seq = m.group_seq WHERE m.user_seq = $1 AND m.state = 'todo' ORDER BY g.seq";
    for row in tx.conn.all(text, vals![user]).await? {
        upsert_work(tx, instance, row.col("seq")?, Lane::Grant, row.col("rev")?, None).await?;
    }
    Ok(())
}
