//! Teams and their members.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    AccountRef, Cx, Fault, GroupChange, GroupCreated, GroupUpdated, GroupWant, Groups, Member, Membership, Page,
    PageToken, RemoteGroup, RemoteId, Removed,
};
use serde::Deserialize;

use super::client::{Client, to_write};

/// The teams of one target.
pub(super) struct Teams {
    /// The way there.
    pub(super) client: Arc<Client>,
}

/// A team, as the API shows one.
#[derive(Deserialize)]
struct Body {
    id: String,
    name: String,
}

impl Body {
    fn group(self) -> RemoteGroup {
        RemoteGroup::new(RemoteId::new(self.id), self.name)
    }
}

#[async_trait]
impl Groups for Teams {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<RemoteGroup>, Fault> {
        let listed: Page<Body> = self.client.page(cx, "list teams", &["teams"], page).await?;
        let items = listed.items.into_iter().map(Body::group).collect();
        Ok(Page { items, next: listed.next, complete: listed.complete })
    }

    async fn find(&self, _cx: &Cx<'_>, _name: &str) -> Result<Vec<RemoteGroup>, Fault> {
        Err(to_write("groups.rs", "find", "It finds the teams of that whole name, compared as the target compares names."))
    }

    async fn get(&self, _cx: &Cx<'_>, _id: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
        Err(to_write("groups.rs", "get", "It reads one team; None if it is not there."))
    }

    async fn create(&self, _cx: &Cx<'_>, _want: &GroupWant) -> Result<GroupCreated, Fault> {
        Err(to_write("groups.rs", "create", "One of that name that is there answers AlreadyThere and changes nothing."))
    }

    async fn update(&self, _cx: &Cx<'_>, _id: &RemoteId, _change: &GroupChange) -> Result<GroupUpdated, Fault> {
        Err(to_write("groups.rs", "update", "It renames by id; twice is once; a taken name is FaultKind::NameTaken."))
    }

    async fn remove(&self, _cx: &Cx<'_>, _id: &RemoteId) -> Result<Removed, Fault> {
        Err(to_write("groups.rs", "remove", "One that is not there answers AlreadyGone."))
    }

    async fn members(&self, _cx: &Cx<'_>, _id: &RemoteId, _page: Option<&PageToken>) -> Result<Page<Member>, Fault> {
        Err(to_write("groups.rs", "members", "One page of the members; a team that is not there is FaultKind::NotFound."))
    }

    async fn change_members(
        &self,
        _cx: &Cx<'_>,
        _id: &RemoteId,
        add: &[AccountRef],
        remove: &[AccountRef],
    ) -> Vec<Result<Membership, Fault>> {
        let unwritten = |_| Err(to_write("groups.rs", "change_members", "One answer per change, additions first: Present or Absent."));
        add.iter().chain(remove).map(unwritten).collect()
    }
}
