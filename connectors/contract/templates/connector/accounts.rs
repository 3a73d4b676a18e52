//! People.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    Account, AccountChange, AccountRef, AccountStatus, Accounts, Created, Cx, Fault, Found, Page, PageToken, Person,
    RemoteId, Removed, Updated,
};
use serde::Deserialize;

use super::client::{Client, to_write};

/// The people of one target.
pub(super) struct People {
    /// The way there.
    pub(super) client: Arc<Client>,
}

/// A person, as the API shows one.
#[derive(Deserialize)]
struct Body {
    id: String,
    email: String,
    name: Option<String>,
    role: String,
    suspended: bool,
}

impl Body {
    /// An account; `own` is the id of the token's own, which must never be touched.
    fn account(self, own: &str) -> Account {
        let mut account = Account::active(RemoteId::new(self.id.as_str()));
        account.protected = self.id == own;
        account.email = Some(self.email);
        account.display_name = self.name;
        account.role = Some(self.role);
        if self.suspended {
            account.status = AccountStatus::Suspended;
        }
        account
    }
}

#[async_trait]
impl Accounts for People {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        let own = self.client.me(cx).await?.id.as_str();
        let listed: Page<Body> = self.client.page(cx, "list people", &["people"], page).await?;
        let items = listed.items.into_iter().map(|body| body.account(own)).collect();
        Ok(Page { items, next: listed.next, complete: listed.complete })
    }

    async fn find(&self, _cx: &Cx<'_>, _who: &Person) -> Result<Vec<Found>, Fault> {
        Err(to_write("accounts.rs", "find", "It looks for the accounts that may be this person's, each with its evidence; it guesses nothing."))
    }

    async fn get(&self, _cx: &Cx<'_>, _at: &AccountRef) -> Result<Option<Account>, Fault> {
        Err(to_write("accounts.rs", "get", "It reads one account; None if it is not there."))
    }

    async fn create(&self, _cx: &Cx<'_>, _want: &Person) -> Result<Created, Fault> {
        Err(to_write("accounts.rs", "create", "Creating one who is there answers AlreadyThere and changes nothing; a lost answer makes no duplicate."))
    }

    async fn update(&self, _cx: &Cx<'_>, _at: &AccountRef, _change: &AccountChange) -> Result<Updated, Fault> {
        Err(to_write("accounts.rs", "update", "It changes the role; doing it twice is the same as once."))
    }

    async fn set_active(&self, _cx: &Cx<'_>, _at: &AccountRef, _active: bool) -> Result<Updated, Fault> {
        Err(to_write("accounts.rs", "set_active", "It suspends or restores; doing it twice is the same as once."))
    }

    async fn remove(&self, _cx: &Cx<'_>, _at: &AccountRef) -> Result<Removed, Fault> {
        Err(to_write("accounts.rs", "remove", "Removing one who is not there answers AlreadyGone; a protected account is FaultKind::Protected."))
    }
}
