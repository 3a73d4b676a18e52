//! People: each change is asked for, and reads answer from the record.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    Account, AccountChange, AccountRef, Accounts, Act, Created, Cx, Evidence, Fault, Found, Page, PageToken, Person,
    Removed, Told, Updated,
};

use super::client::{Client, unfit};

pub(super) struct People {
    pub(super) client: Arc<Client>,
}

/// Why an account on record is believed to be a person's.
fn found(account: Account, who: &Person) -> Found {
    let same = |login: &str| login.to_lowercase() == who.user_name.to_lowercase();
    let evidence = if account.login.as_deref().is_some_and(same) { Evidence::Login } else { Evidence::Email };
    Found { account, evidence }
}

impl People {
    async fn change(&self, cx: &Cx<'_>, act: Act) -> Result<Updated, Fault> {
        match self.client.ask(cx, act).await? {
            Told::Account { account, .. } => Ok(Updated::Done(account)),
            Told::Gone { .. } => Ok(Updated::AlreadyGone),
            told => Err(unfit(&told)),
        }
    }
}

#[async_trait]
impl Accounts for People {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        let desk = cx.desk()?;
        self.client.read(cx, "list accounts", desk.accounts(page)).await
    }

    async fn find(&self, cx: &Cx<'_>, who: &Person) -> Result<Vec<Found>, Fault> {
        let desk = cx.desk()?;
        let known =
            self.client.read(cx, "find account", desk.find_accounts(&who.user_name, who.email.as_deref())).await?;
        Ok(known.into_iter().map(|account| found(account, who)).collect())
    }

    async fn get(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Option<Account>, Fault> {
        let AccountRef::Account { id, .. } = at else {
            return Ok(None);
        };
        let desk = cx.desk()?;
        self.client.read(cx, "get account", desk.account(id)).await
    }

    async fn create(&self, cx: &Cx<'_>, want: &Person) -> Result<Created, Fault> {
        match self.client.ask(cx, Act::CreateAccount { who: Box::new(want.clone()) }).await? {
            Told::Account { account, now: true } => Ok(Created::Done(account)),
            Told::Account { account, now: false } => Ok(Created::AlreadyThere(found(account, want))),
            told => Err(unfit(&told)),
        }
    }

    async fn update(&self, cx: &Cx<'_>, at: &AccountRef, change: &AccountChange) -> Result<Updated, Fault> {
        self.change(cx, Act::UpdateAccount { at: at.clone(), change: change.clone() }).await
    }

    async fn set_active(&self, cx: &Cx<'_>, at: &AccountRef, active: bool) -> Result<Updated, Fault> {
        let at = at.clone();
        let act = if active { Act::RestoreAccount { at } } else { Act::SuspendAccount { at } };
        self.change(cx, act).await
    }

    async fn remove(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Removed, Fault> {
        match self.client.ask(cx, Act::RemoveAccount { at: at.clone() }).await? {
            Told::Gone { now: true } => Ok(Removed::Done),
            Told::Gone { now: false } => Ok(Removed::AlreadyGone),
            told => Err(unfit(&told)),
        }
    }
}
