//! Groups: each change is asked for, and reads answer from the record.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    AccountRef, Act, Cx, Fault, GroupChange, GroupCreated, GroupUpdated, GroupWant, Groups, Member, Membership, Page,
    PageToken, RemoteGroup, RemoteId, Removed, Told,
};

use super::client::{Client, unfit};

pub(super) struct Teams {
    pub(super) client: Arc<Client>,
}

impl Teams {
    async fn member(&self, cx: &Cx<'_>, act: Act) -> Result<Membership, Fault> {
        match self.client.ask(cx, act).await? {
            Told::Member(true) => Ok(Membership::Present),
            Told::Member(false) => Ok(Membership::Absent),
            told => Err(unfit(&told)),
        }
    }
}

#[async_trait]
impl Groups for Teams {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<RemoteGroup>, Fault> {
        let desk = cx.desk()?;
        self.client.read(cx, "list groups", desk.groups(page)).await
    }

    async fn find(&self, cx: &Cx<'_>, name: &str) -> Result<Vec<RemoteGroup>, Fault> {
        let desk = cx.desk()?;
        self.client.read(cx, "find group", desk.find_groups(name)).await
    }

    async fn get(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
        let desk = cx.desk()?;
        self.client.read(cx, "get group", desk.group(id)).await
    }

    async fn create(&self, cx: &Cx<'_>, want: &GroupWant) -> Result<GroupCreated, Fault> {
        match self.client.ask(cx, Act::CreateGroup { name: want.name.clone() }).await? {
            Told::Group { group, now: true } => Ok(GroupCreated::Done(group)),
            Told::Group { group, now: false } => Ok(GroupCreated::AlreadyThere(group)),
            told => Err(unfit(&told)),
        }
    }

    async fn update(&self, cx: &Cx<'_>, id: &RemoteId, change: &GroupChange) -> Result<GroupUpdated, Fault> {
        let Some(name) = change.name.clone() else {
            let known = self.get(cx, id).await?;
            return Ok(known.map_or(GroupUpdated::AlreadyGone, GroupUpdated::Done));
        };
        match self.client.ask(cx, Act::RenameGroup { id: id.clone(), name }).await? {
            Told::Group { group, .. } => Ok(GroupUpdated::Done(group)),
            Told::Gone { .. } => Ok(GroupUpdated::AlreadyGone),
            told => Err(unfit(&told)),
        }
    }

    async fn remove(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Removed, Fault> {
        match self.client.ask(cx, Act::RemoveGroup { id: id.clone() }).await? {
            Told::Gone { now: true } => Ok(Removed::Done),
            Told::Gone { now: false } => Ok(Removed::AlreadyGone),
            told => Err(unfit(&told)),
        }
    }

    async fn members(&self, cx: &Cx<'_>, id: &RemoteId, page: Option<&PageToken>) -> Result<Page<Member>, Fault> {
        let desk = cx.desk()?;
        self.client.read(cx, "list members", desk.members(id, page)).await
    }

    async fn change_members(
        &self,
        cx: &Cx<'_>,
        id: &RemoteId,
        add: &[AccountRef],
        remove: &[AccountRef],
    ) -> Vec<Result<Membership, Fault>> {
        let mut answers = Vec::with_capacity(add.len() + remove.len());
        for account in add {
            let act = Act::AddMember { group: id.clone(), account: account.clone() };
            answers.push(self.member(cx, act).await);
        }
        for account in remove {
            let act = Act::RemoveMember { group: id.clone(), account: account.clone() };
            answers.push(self.member(cx, act).await);
        }
        answers
    }
}
