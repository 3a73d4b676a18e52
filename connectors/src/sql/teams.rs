//! Groups and their members, as rows.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    AccountRef, Cx, Fault, FaultKind, GroupChange, GroupCreated, GroupUpdated, GroupWant, Groups, Member, Membership,
    Page, PageToken, RemoteGroup, RemoteId, Removed,
};

use super::client::{Client, Mode, Tx};
use super::failure::{Class, Failure};
use super::ops::{GroupOps, Ops};
use super::people::{next_page, same};
use super::values::{Params, Row, Value};

/// Groups of one database.
pub(super) struct Teams {
    pub(super) client: Arc<Client>,
}

const OBJECT: &str = "groups";
const MEMBERS: &str = "members";

fn group(row: &Row) -> Result<RemoteGroup, Failure> {
    let mut group = RemoteGroup::new(RemoteId::new(row.needed("id")?), row.needed("name")?);
    group.protected = row.flag("protected")?.unwrap_or(false);
    Ok(group)
}

fn ops_of(ops: &Ops) -> Result<&GroupOps, Failure> {
    ops.groups.as_ref().ok_or_else(|| Failure::Fault(Fault::new(FaultKind::Refused, "The mapping has no groups.")))
}

fn absent() -> Fault {
    Fault::new(FaultKind::NotFound, "The group is not in the database any more.")
}

fn protected() -> Fault {
    Fault::new(FaultKind::Protected, "The group is marked as protected in the database, so it is not touched.")
}

impl Teams {
    async fn row(&self, tx: &mut Tx<'_>, ops: &GroupOps, id: &RemoteId) -> Result<Option<RemoteGroup>, Failure> {
        let ran = match tx.few(&ops.get, &ops.fixed.clone().with("id", id.as_str())).await {
            Err(failure) if failure.class() == Some(Class::Value) => return Ok(None),
            ran => ran?,
        };
        match ran.rows.as_slice() {
            [] => Ok(None),
            [row] => group(row).map(Some),
            _ => Err(Failure::Odd("groups.get gives more than one row for an id.".to_owned())),
        }
    }

    async fn named(&self, tx: &mut Tx<'_>, ops: &GroupOps, name: &str) -> Result<Vec<RemoteGroup>, Failure> {
        let rows = tx.few(&ops.find, &ops.fixed.clone().with("name", name)).await?.rows;
        let mut found: Vec<RemoteGroup> = Vec::new();
        for row in &rows {
            let group = group(row)?;
            if same(&group.name, name) && found.iter().all(|known| known.id != group.id) {
                found.push(group);
            }
        }
        Ok(found)
    }

    async fn make(&self, tx: &mut Tx<'_>, ops: &Ops, want: &GroupWant) -> Result<GroupCreated, Failure> {
        let ops = ops_of(ops)?;
        if let Some(there) = self.named(tx, ops, &want.name).await?.into_iter().next() {
            return Ok(GroupCreated::AlreadyThere(there));
        }
        let mut params = ops.fixed.clone().with("name", want.name.as_str());
        if ops.makes_ids {
            params.set("new_id", Value::Text(uuid::Uuid::new_v4().to_string()));
        }
        let statements = ops.create.insert(self.client.dialect, &params).map_err(Failure::Odd)?;
        match tx.few(&statements, &params).await {
            Ok(_) => {}
            Err(failure) if failure.class() == Some(Class::Unique) => {
                tx.again().await?;
                return match self.named(tx, ops, &want.name).await?.into_iter().next() {
                    Some(there) => Ok(GroupCreated::AlreadyThere(there)),
                    None => Err(failure),
                };
            }
            Err(failure) => return Err(failure),
        }
        match self.named(tx, ops, &want.name).await?.into_iter().next() {
            Some(group) => Ok(GroupCreated::Done(group)),
            None => Err(Failure::Odd(
                "groups.create was run, and groups.find does not show the group. The one has to find what the other makes.".to_owned(),
            )),
        }
    }

    async fn rename(
        &self,
        tx: &mut Tx<'_>,
        ops: &Ops,
        id: &RemoteId,
        change: &GroupChange,
    ) -> Result<GroupUpdated, Failure> {
        let ops = ops_of(ops)?;
        let Some(known) = self.row(tx, ops, id).await? else { return Ok(GroupUpdated::AlreadyGone) };
        let Some(name) = change.name.as_deref().filter(|name| *name != known.name) else {
            return Ok(GroupUpdated::Done(known));
        };
        if known.protected {
            return Err(protected().into());
        }
        if self.named(tx, ops, name).await?.iter().any(|other| other.id != *id) {
            return Err(Fault::new(
                FaultKind::NameTaken,
                format!("Another group is named {name} in the database. Rename the one or the other."),
            )
            .into());
        }
        tx.few(&ops.rename, &ops.fixed.clone().with("id", id.as_str()).with("name", name)).await?;
        Ok(self.row(tx, ops, id).await?.map_or(GroupUpdated::AlreadyGone, GroupUpdated::Done))
    }

    async fn take_out(&self, tx: &mut Tx<'_>, ops: &Ops, id: &RemoteId) -> Result<Removed, Failure> {
        let ops = ops_of(ops)?;
        match self.row(tx, ops, id).await? {
            None => return Ok(Removed::AlreadyGone),
            Some(group) if group.protected => return Err(protected().into()),
            Some(_) => {}
        }
        tx.few(&ops.remove, &ops.fixed.clone().with("id", id.as_str())).await?;
        match self.row(tx, ops, id).await? {
            None => Ok(Removed::Done),
            Some(_) => Err(Failure::Odd(
                "groups.remove was run, and groups.get still shows the group. The one has to hide what the other removes.".to_owned(),
            )),
        }
    }

    fn paged(&self, fixed: &Params, page: Option<&PageToken>) -> (usize, Params) {
        let limit = self.client.settings.page_size;
        let mut params = fixed.clone();
        params.set("limit", Value::Number(i64::from(limit)));
        params.set("after", Value::from(page.map(|page| page.0.as_str())));
        (limit as usize, params)
    }

    async fn page(&self, tx: &mut Tx<'_>, ops: &Ops, page: Option<&PageToken>) -> Result<Page<RemoteGroup>, Failure> {
        let ops = ops_of(ops)?;
        let (most, params) = self.paged(&ops.fixed, page);
        let statements = if page.is_some() { &ops.list_next } else { &ops.list };
        let rows = tx.all(statements, &params, most).await?.rows;
        let items = rows.iter().map(group).collect::<Result<Vec<_>, _>>()?;
        let last = items.last().map(|group| group.id.as_str().to_owned());
        let next = next_page(last, items.len() >= most, page, "groups.list")?;
        Ok(Page { items, next, complete: true })
    }

    async fn members_page(
        &self,
        tx: &mut Tx<'_>,
        ops: &Ops,
        id: &RemoteId,
        page: Option<&PageToken>,
    ) -> Result<Page<Member>, Failure> {
        let ops = ops_of(ops)?;
        if self.row(tx, ops, id).await?.is_none() {
            return Err(absent().into());
        }
        let (most, params) = self.paged(&ops.fixed, page);
        let statements = if page.is_some() { &ops.members_next } else { &ops.members };
        let rows = tx.all(statements, &params.with("group_id", id.as_str()), most).await?.rows;
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            let id = RemoteId::new(row.needed("user_id")?);
            items.push(Member::of(AccountRef::Account { id, login: row.text("user_name") }));
        }
        let last = items.last().map(|member| member.account.id().to_owned());
        let next = next_page(last, items.len() >= most, page, "groups.members")?;
        Ok(Page { items, next, complete: true })
    }

    /// Adds or removes one member.
    async fn one(
        &self,
        tx: &mut Tx<'_>,
        ops: &GroupOps,
        id: &RemoteId,
        who: &str,
        add: bool,
    ) -> Result<Membership, Failure> {
        let params = ops.fixed.clone().with("group_id", id.as_str()).with("user_id", who);
        if !add {
            tx.few(&ops.remove_member, &params).await?;
            return Ok(Membership::Absent);
        }
        let changed = match tx.few(&ops.add_member, &params).await {
            Ok(ran) => ran.changed,
            Err(failure) => return Err(failure),
        };
        if let (0, Some(member)) = (changed, &ops.member)
            && tx.few(member, &params).await?.rows.is_empty()
        {
            return Err(Fault::new(
                FaultKind::NotFound,
                "The person is not in the database any more, so they cannot be a member.",
            )
            .into());
        }
        Ok(Membership::Present)
    }

    /// Changes members, each on its own where `apart`: then one that is refused leaves the others alone.
    async fn each(
        &self,
        tx: &mut Tx<'_>,
        ops: &GroupOps,
        id: &RemoteId,
        changes: &[(&str, bool)],
        apart: bool,
    ) -> Result<Vec<Result<Membership, Fault>>, Failure> {
        let mut answers = Vec::with_capacity(changes.len());
        for (who, add) in changes {
            if apart {
                tx.mark().await?;
            }
            let answer = match self.one(tx, ops, id, who, *add).await {
                Ok(membership) => Ok(membership),
                Err(Failure::Fault(fault)) => Err(fault),
                Err(failure) => match failure.class() {
                    Some(Class::Unique | Class::Reference | Class::Missing | Class::Value | Class::Other) if apart => {
                        tx.back(true).await?;
                        answers.push(self.refused(failure, *add));
                        continue;
                    }
                    _ => return Err(failure),
                },
            };
            if apart {
                tx.back(false).await?;
            }
            answers.push(answer);
        }
        Ok(answers)
    }

    /// A membership that the database refused.
    fn refused(&self, failure: Failure, add: bool) -> Result<Membership, Fault> {
        match failure.class() {
            // It is there already.
            Some(Class::Unique) if add => Ok(Membership::Present),
            Some(Class::Reference) if add => Err(Fault::new(
                FaultKind::NotFound,
                "The person is not in the database any more, so they cannot be a member.",
            )),
            _ => Err(failure.fault("change members", &self.client.host())),
        }
    }

    async fn change(
        &self,
        tx: &mut Tx<'_>,
        ops: &Ops,
        id: &RemoteId,
        changes: &[(&str, bool)],
    ) -> Result<Vec<Result<Membership, Fault>>, Failure> {
        let ops = ops_of(ops)?;
        match self.row(tx, ops, id).await? {
            None => return Err(absent().into()),
            Some(group) if group.protected => return Err(protected().into()),
            Some(_) => {}
        }
        match self.each(tx, ops, id, changes, false).await {
            Err(Failure::Refused(refusal)) if refusal.class != Class::Again => {
                tx.again().await?;
                self.each(tx, ops, id, changes, true).await
            }
            done => done,
        }
    }
}

#[async_trait]
impl Groups for Teams {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<RemoteGroup>, Fault> {
        let ops = &*self.client.ops(cx).await?;
        self.client
            .within(cx, "list groups", OBJECT, Mode::Read, |mut tx| async move {
                let listed = self.page(&mut tx, ops, page).await;
                (tx, listed)
            })
            .await
    }

    async fn find(&self, cx: &Cx<'_>, name: &str) -> Result<Vec<RemoteGroup>, Fault> {
        let ops = &*self.client.ops(cx).await?;
        self.client
            .within(cx, "find group", OBJECT, Mode::Read, |mut tx| async move {
                let found = match ops_of(ops) {
                    Ok(ops) => self.named(&mut tx, ops, name).await,
                    Err(failure) => Err(failure),
                };
                (tx, found)
            })
            .await
    }

    async fn get(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
        let ops = &*self.client.ops(cx).await?;
        self.client
            .within(cx, "get group", OBJECT, Mode::Read, |mut tx| async move {
                let row = match ops_of(ops) {
                    Ok(ops) => self.row(&mut tx, ops, id).await,
                    Err(failure) => Err(failure),
                };
                (tx, row)
            })
            .await
    }

    async fn create(&self, cx: &Cx<'_>, want: &GroupWant) -> Result<GroupCreated, Fault> {
        let ops = &*self.client.ops(cx).await?;
        self.client
            .within(cx, "create group", OBJECT, Mode::Write, |mut tx| async move {
                let created = self.make(&mut tx, ops, want).await;
                (tx, created)
            })
            .await
    }

    async fn update(&self, cx: &Cx<'_>, id: &RemoteId, change: &GroupChange) -> Result<GroupUpdated, Fault> {
        let ops = &*self.client.ops(cx).await?;
        self.client
            .within(cx, "rename group", OBJECT, Mode::Write, |mut tx| async move {
                let renamed = self.rename(&mut tx, ops, id, change).await;
                (tx, renamed)
            })
            .await
    }

    async fn remove(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Removed, Fault> {
        let ops = &*self.client.ops(cx).await?;
        self.client
            .within(cx, "remove group", OBJECT, Mode::Write, |mut tx| async move {
                let removed = self.take_out(&mut tx, ops, id).await;
                (tx, removed)
            })
            .await
    }

    async fn members(&self, cx: &Cx<'_>, id: &RemoteId, page: Option<&PageToken>) -> Result<Page<Member>, Fault> {
        let ops = &*self.client.ops(cx).await?;
        self.client
            .within(cx, "list members", MEMBERS, Mode::Read, |mut tx| async move {
                let listed = self.members_page(&mut tx, ops, id, page).await;
                (tx, listed)
            })
            .await
    }

    async fn change_members(
        &self,
        cx: &Cx<'_>,
        id: &RemoteId,
        add: &[AccountRef],
        remove: &[AccountRef],
    ) -> Vec<Result<Membership, Fault>> {
        let changes: Vec<(&str, bool)> =
            add.iter().map(|at| (at.id(), true)).chain(remove.iter().map(|at| (at.id(), false))).collect();
        let changes = changes.as_slice();
        let all = async {
            let ops = &*self.client.ops(cx).await?;
            self.client
                .within(cx, "change members", MEMBERS, Mode::Write, |mut tx| async move {
                    let changed = self.change(&mut tx, ops, id, changes).await;
                    (tx, changed)
                })
                .await
        };
        match all.await {
            Ok(answers) => answers,
            Err(fault) => changes.iter().map(|_| Err(fault.clone())).collect(),
        }
    }
}
