//! Groups and their members, as a manifest says they are called.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    AccountRef, Cx, Effect, Fault, FaultKind, GroupChange, GroupCreated, GroupUpdated, GroupWant, Groups, Member,
    Membership, Page, PageToken, RemoteGroup, RemoteId, Removed, lists_member,
};
use minijinja::Value;
use serde_json::json;

use crate::accounts::{People, account_value};
use crate::client::Client;
use crate::expr::{Failed, Scope, from_json};
use crate::mapping::{self, asks_own};
use crate::model::OutcomeModel;
use crate::plan::{Fields, GroupsPlan};
use crate::request::Request;
use crate::rules::Answer;

/// The groups of one target.
pub(crate) struct Teams {
    pub(crate) client: Arc<Client>,
}

impl Teams {
    fn plan(&self) -> Result<&GroupsPlan, Fault> {
        self.client.plan.groups.as_ref().ok_or_else(|| Fault::new(FaultKind::Refused, "This target has no groups."))
    }

    fn scope_at(&self, id: &RemoteId) -> Scope {
        let mut scope = self.client.scope();
        scope.insert("group", from_json(&json!({ "id": id.as_str() })));
        scope
    }

    fn scope_named(&self, name: &str) -> Scope {
        let mut scope = self.client.scope();
        scope.insert("group", from_json(&json!({ "name": name })));
        scope
    }

    fn fields<'a>(&'a self, request: &'a Request) -> Result<&'a Fields, Fault> {
        Ok(request.fields.as_ref().unwrap_or(&self.plan()?.fields))
    }

    fn odd(&self, request: &Request, failed: &Failed) -> Fault {
        Fault::new(
            FaultKind::Malformed,
            format!(
                "The answer of {} could not be understood. If this goes on, its API has changed, or the manifest is wrong.",
                self.client.title()
            ),
        )
        .effect(Effect::None)
        .context(format!("{}: {}", request.call, failed.0))
    }

    async fn mapping_scope(&self, cx: &Cx<'_>, fields: &Fields) -> Result<Scope, Fault> {
        let mut scope = self.client.scope();
        if asks_own(fields)
            && let Some(own) = self.client.own(cx).await?
        {
            scope.insert("own", Value::from(own));
        }
        Ok(scope)
    }

    async fn map_all(&self, cx: &Cx<'_>, request: &Request, items: &[Value]) -> Result<Vec<RemoteGroup>, Fault> {
        let fields = self.fields(request)?;
        let scope = self.mapping_scope(cx, fields).await?;
        items
            .iter()
            .map(|item| mapping::group(fields, item, &scope).map_err(|failed| self.odd(request, &failed)))
            .collect()
    }

    fn no_list(&self, request: &Request) -> Fault {
        Fault::new(
            FaultKind::Permission,
            format!(
                "{} does not show this list to the credential. Check the settings, and that it was given access.",
                self.client.title()
            ),
        )
        .context(format!("{}: not found", request.call))
    }

    /// Groups of that name, without case.
    async fn named(&self, cx: &Cx<'_>, name: &str) -> Result<Vec<RemoteGroup>, Fault> {
        let plan = self.plan()?;
        let request = plan.find.as_ref().unwrap_or(&plan.list);
        let items = self.client.all(cx, request, &self.scope_named(name), self.fields(request)?).await?;
        let items = match items {
            Some(items) => items,
            None if plan.find.is_some() => Vec::new(),
            None => return Err(self.no_list(request)),
        };
        let wanted = name.to_lowercase();
        let mut groups = self.map_all(cx, request, &items).await?;
        groups.retain(|group| group.name.to_lowercase() == wanted);
        Ok(groups)
    }

    /// The item of a group, and what it is; `None` if it is not there.
    async fn read(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<(Value, RemoteGroup)>, Fault> {
        let plan = self.plan()?;
        let Some(request) = &plan.get else {
            let items = self.client.all(cx, &plan.list, &self.client.scope(), &plan.fields).await?;
            let items = items.ok_or_else(|| self.no_list(&plan.list))?;
            let groups = self.map_all(cx, &plan.list, &items).await?;
            return Ok(items.into_iter().zip(groups).find(|(_, group)| group.id == *id));
        };
        let scope = self.scope_at(id);
        let done = match self.client.send(cx, request, &scope, &[]).await? {
            Answer::Missing(_) | Answer::Outcome(OutcomeModel::AlreadyGone, _) => {
                self.client.confirm_absence(cx).await?;
                return Ok(None);
            }
            other => self.client.success(other)?,
        };
        let Some(item) = self.client.item(request, &done, &scope) else {
            return Err(self.client.malformed(request, &done.reply, "no object"));
        };
        if !self.client.counts(cx, request, &item, &scope).await? {
            return Ok(None);
        }
        let group = self.map_all(cx, request, std::slice::from_ref(&item)).await?.remove(0);
        if group.id != *id {
            return Err(self.client.malformed(request, &done.reply, "another object than was asked for"));
        }
        Ok(Some((item, group)))
    }

    /// That a group is not there, as the answer to a write has it: it is asked for itself.
    async fn absent(&self, cx: &Cx<'_>, id: &RemoteId, fault: Fault) -> Result<(), Fault> {
        self.client.confirm_absence(cx).await?;
        match self.read(cx, id).await? {
            None => Ok(()),
            Some(_) => Err(self.client.shown_all_the_same(fault)),
        }
    }

    fn gone(&self) -> Fault {
        Fault::new(FaultKind::NotFound, format!("The group is not there any more at {}.", self.client.title()))
    }

    fn stranger(&self, fault: Fault) -> Fault {
        Fault::new(
            FaultKind::Refused,
            format!("{} does not know an account whose membership shall change.", self.client.title()),
        )
        .context(fault.context)
    }

    /// What it means that somebody was not added to a group that is there, as if they were not there themselves.
    async fn not_added(&self, cx: &Cx<'_>, who: &AccountRef, fault: Fault) -> Result<Membership, Fault> {
        if self.client.plan.accounts.is_some() {
            let people = People { client: Arc::clone(&self.client) };
            if people.read(cx, who).await?.is_some() {
                return Err(self.client.shown_all_the_same(fault));
            }
        }
        Err(self.stranger(fault))
    }

    /// What it means that somebody was not taken out of a group that is there: they are in it no more, unless the target
    /// lists them all the same.
    async fn not_taken_out(
        &self,
        cx: &Cx<'_>,
        id: &RemoteId,
        who: &AccountRef,
        fault: Fault,
    ) -> Result<Membership, Fault> {
        match lists_member(self, cx, id, who).await? {
            Some(true) => Err(self.client.shown_all_the_same(fault)),
            Some(false) => Ok(Membership::Absent),
            None => Err(self.stranger(fault)),
        }
    }

    /// One call for members.
    async fn call(&self, cx: &Cx<'_>, id: &RemoteId, accounts: &[AccountRef], add: bool) -> Result<Membership, Fault> {
        let plan = self.plan()?;
        let invited = accounts.iter().any(|at| matches!(at, AccountRef::Invite { .. }));
        if invited && add && !plan.pending_members {
            return Err(Fault::new(
                FaultKind::Refused,
                format!("{} takes no invitation into a group: the person has to accept it first.", self.client.title()),
            ));
        }
        let request = if add { &plan.add } else { &plan.take_out };
        let mut scope = self.scope_at(id);
        let members: Vec<Value> = accounts.iter().map(account_value).collect();
        if let [one] = members.as_slice() {
            scope.insert("member", one.clone());
        }
        scope.insert("members", Value::from(members));
        let present = Membership::Present;
        match self.client.send(cx, request, &scope, &[]).await? {
            Answer::Done(_) => Ok(if add { present } else { Membership::Absent }),
            Answer::Outcome(OutcomeModel::Present | OutcomeModel::Done | OutcomeModel::AlreadyThere, _) if add => {
                Ok(present)
            }
            Answer::Outcome(OutcomeModel::Pending, _) if add => Ok(Membership::Pending),
            Answer::Outcome(OutcomeModel::Absent | OutcomeModel::Done | OutcomeModel::AlreadyGone, _) if !add => {
                Ok(Membership::Absent)
            }
            Answer::Outcome(OutcomeModel::Kept, told) => Ok(Membership::Kept { why: told.message }),
            // Which of the two is not there, the group or the member, or neither?
            Answer::Missing(fault) => match (self.read(cx, id).await?, accounts) {
                (None, _) => Err(self.gone().context(fault.context)),
                (Some(_), [one]) if add => self.not_added(cx, one, fault).await,
                (Some(_), [one]) => self.not_taken_out(cx, id, one, fault).await,
                // Of several, one that is not there says nothing of the others: each is asked for alone then.
                (Some(_), _) => Err(self.stranger(fault)),
            },
            other => Err(match self.client.success(other) {
                Ok(done) => self.client.malformed(request, &done.reply, "an outcome that is none of members'"),
                Err(fault) => fault,
            }),
        }
    }
}

/// Who was invited becomes a member with the acceptance.
fn pending(answer: Membership, at: &AccountRef) -> Membership {
    match (answer, at) {
        (Membership::Present, AccountRef::Invite { .. }) => Membership::Pending,
        (other, _) => other,
    }
}

#[async_trait]
impl Groups for Teams {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<RemoteGroup>, Fault> {
        let plan = self.plan()?;
        let listed = self.client.page(cx, &plan.list, &self.client.scope(), self.fields(&plan.list)?, page).await?;
        let listed = listed.ok_or_else(|| self.no_list(&plan.list))?;
        let items = self.map_all(cx, &plan.list, &listed.items).await?;
        Ok(Page { items, next: listed.next, complete: listed.complete })
    }

    async fn find(&self, cx: &Cx<'_>, name: &str) -> Result<Vec<RemoteGroup>, Fault> {
        self.named(cx, name).await
    }

    async fn get(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
        Ok(self.read(cx, id).await?.map(|(_, group)| group))
    }

    async fn create(&self, cx: &Cx<'_>, want: &GroupWant) -> Result<GroupCreated, Fault> {
        let request = &self.plan()?.create;
        if request.look_first
            && let Some(there) = self.named(cx, &want.name).await?.into_iter().next()
        {
            return Ok(GroupCreated::AlreadyThere(there));
        }
        let scope = self.scope_named(&want.name);
        let done = match self.client.send(cx, request, &scope, &[]).await? {
            Answer::Outcome(OutcomeModel::AlreadyThere, told) => {
                return match self.named(cx, &want.name).await?.into_iter().next() {
                    Some(there) => Ok(GroupCreated::AlreadyThere(there)),
                    None => Err(Fault::new(FaultKind::NameTaken, told.message).context(told.context)),
                };
            }
            other => self.client.success(other)?,
        };
        if let Some(expr) = &request.created_id {
            let answer = crate::rules::scope_of(&done.reply, done.body.as_ref(), &scope);
            let id = expr.text(&answer).ok().flatten();
            let id = id.ok_or_else(|| self.client.malformed(request, &done.reply, "no id of what was created"))?;
            let read = self.read(cx, &RemoteId::new(id)).await.map_err(|fault| fault.effect(Effect::Unknown))?;
            let group = read.map(|(_, group)| group);
            return group
                .map(GroupCreated::Done)
                .ok_or_else(|| self.client.malformed(request, &done.reply, "what was created is not there"));
        }
        let item = self.client.item(request, &done, &scope);
        let mapped = match item {
            Some(item) => self.map_all(cx, request, &[item]).await.ok().and_then(|groups| groups.into_iter().next()),
            None => None,
        };
        let found = match mapped {
            Some(group) => Some(group),
            None => {
                let found = self.named(cx, &want.name).await.map_err(|fault| fault.effect(Effect::Unknown))?;
                found.into_iter().next()
            }
        };
        found
            .map(GroupCreated::Done)
            .ok_or_else(|| self.client.malformed(request, &done.reply, "what was created is not there"))
    }

    async fn update(&self, cx: &Cx<'_>, id: &RemoteId, change: &GroupChange) -> Result<GroupUpdated, Fault> {
        let request = &self.plan()?.update;
        let read = |found: Option<(Value, RemoteGroup)>| match found {
            Some((_, group)) => GroupUpdated::Done(group),
            None => GroupUpdated::AlreadyGone,
        };
        let Some(name) = &change.name else {
            return Ok(read(self.read(cx, id).await?));
        };
        if request.look_first && self.named(cx, name).await?.iter().any(|other| other.id != *id) {
            return Err(Fault::new(
                FaultKind::NameTaken,
                format!("Another group of that name is there at {} already.", self.client.title()),
            ));
        }
        let mut scope = self.client.scope();
        scope.insert("group", from_json(&json!({ "id": id.as_str(), "name": name })));
        scope.insert("change", from_json(&json!({ "name": name })));
        if request.read_first {
            match self.read(cx, id).await? {
                Some((item, _)) => scope.insert("current", item),
                None => return Ok(GroupUpdated::AlreadyGone),
            };
        }
        let done = match self.client.send(cx, request, &scope, &[]).await? {
            Answer::Missing(fault) => {
                self.absent(cx, id, fault).await?;
                return Ok(GroupUpdated::AlreadyGone);
            }
            Answer::Outcome(OutcomeModel::AlreadyGone, _) => {
                self.client.confirm_absence(cx).await?;
                return Ok(GroupUpdated::AlreadyGone);
            }
            other => self.client.success(other)?,
        };
        if request.item.is_some() {
            let item = self.client.item(request, &done, &scope);
            let item = item.ok_or_else(|| self.client.malformed(request, &done.reply, "no object"))?;
            let groups = self.map_all(cx, request, &[item]).await.map_err(|fault| fault.effect(Effect::Unknown))?;
            return Ok(groups.into_iter().next().map_or(GroupUpdated::AlreadyGone, GroupUpdated::Done));
        }
        Ok(read(self.read(cx, id).await?))
    }

    async fn remove(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Removed, Fault> {
        let request = &self.plan()?.remove;
        match self.client.send(cx, request, &self.scope_at(id), &[]).await? {
            Answer::Missing(fault) => self.absent(cx, id, fault).await.map(|()| Removed::AlreadyGone),
            Answer::Outcome(OutcomeModel::AlreadyGone, _) => {
                self.client.confirm_absence(cx).await?;
                Ok(Removed::AlreadyGone)
            }
            Answer::Outcome(OutcomeModel::Done, _) => Ok(Removed::Done),
            other => self.client.success(other).map(|_| Removed::Done),
        }
    }

    async fn members(&self, cx: &Cx<'_>, id: &RemoteId, page: Option<&PageToken>) -> Result<Page<Member>, Fault> {
        let request = &self.plan()?.members;
        let fields = self.fields(request)?;
        let listed = self.client.page(cx, request, &self.scope_at(id), fields, page).await?;
        let listed = listed.ok_or_else(|| self.gone())?;
        let scope = self.mapping_scope(cx, fields).await?;
        let mut items = Vec::with_capacity(listed.items.len());
        for item in &listed.items {
            items.push(mapping::member(fields, item, &scope).map_err(|failed| self.odd(request, &failed))?);
        }
        Ok(Page { items, next: listed.next, complete: listed.complete })
    }

    async fn change_members(
        &self,
        cx: &Cx<'_>,
        id: &RemoteId,
        add: &[AccountRef],
        remove: &[AccountRef],
    ) -> Vec<Result<Membership, Fault>> {
        let mut answers = Vec::with_capacity(add.len() + remove.len());
        for (accounts, adds) in [(add, true), (remove, false)] {
            let batch = self.plan().map_or(1, |plan| if adds { plan.add.batch } else { plan.take_out.batch });
            for portion in accounts.chunks(batch.max(1)) {
                let answer = self.call(cx, id, portion, adds).await;
                // One whom the target does not take must not keep the others out.
                if portion.len() > 1
                    && answer
                        .as_ref()
                        .is_err_and(|fault| fault.kind == FaultKind::Refused && fault.effect == Effect::None)
                {
                    for one in portion.chunks(1) {
                        answers.push(self.call(cx, id, one, adds).await.map(|answer| pending(answer, &one[0])));
                    }
                    continue;
                }
                answers.extend(portion.iter().map(|at| answer.clone().map(|answer| pending(answer, at))));
            }
        }
        answers
    }
}
