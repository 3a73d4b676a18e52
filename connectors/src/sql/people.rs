//! People, as rows.

use async_trait::async_trait;
use connector_sdk::{
    Account, AccountChange, AccountRef, AccountStatus, Accounts, Created, Cx, Evidence, Fault, FaultKind, Found, Page,
    PageToken, Person, RemoteId, Removed, Retry, Updated,
};
use std::sync::Arc;

use super::client::{Client, Mode, Tx};
use super::failure::{Class, Failure};
use super::ops::{Ops, UserOps};
use super::values::{Params, Row, Value};

/// People of one database.
pub(super) struct People {
    pub(super) client: Arc<Client>,
}

const OBJECT: &str = "people";

/// Whether two names are the same without regard to case.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// An account, from a row.
fn account(row: &Row) -> Result<Account, Failure> {
    let mut account = Account::active(RemoteId::new(row.needed("id")?));
    account.login = Some(row.needed("user_name")?);
    account.email = row.text("email").filter(|text| !text.is_empty());
    account.display_name = row.text("display_name").filter(|text| !text.is_empty());
    account.role = row.text("role").filter(|text| !text.is_empty());
    // Without a column everybody who is there has access; NULL is no yes.
    let active = !row.0.contains_key("active") || row.flag("active")?.unwrap_or(false);
    account.status = if active { AccountStatus::Active } else { AccountStatus::Suspended };
    account.protected = row.flag("protected")?.unwrap_or(false);
    Ok(account)
}

/// Why a row is believed to be the person's; `None` where it is not, however the database compares.
fn evidence(row: &Row, who: &Person) -> Option<Evidence> {
    let is = |name: &str, text: Option<&str>| matches!((row.text(name), text), (Some(one), Some(other)) if same(&one, other));
    let external = who.text_at("externalId").filter(|id| !id.is_empty());
    if is("user_name", Some(&who.user_name)) || external.is_some() && row.text("external_id").as_deref() == external {
        Some(Evidence::Login)
    } else if is("email", who.email.as_deref()) {
        Some(Evidence::Email)
    } else {
        None
    }
}

fn id_of(at: &AccountRef) -> Option<&RemoteId> {
    match at {
        AccountRef::Account { id, .. } => Some(id),
        // Nobody is invited here.
        AccountRef::Invite { .. } => None,
    }
}

/// The ids of a page, which have to go on from page to page.
pub(super) fn next_page(
    last: Option<String>,
    full: bool,
    page: Option<&PageToken>,
    list: &str,
) -> Result<Option<PageToken>, Failure> {
    match last.filter(|_| full) {
        None => Ok(None),
        Some(last) if page.is_some_and(|page| page.0 == last) => Err(Failure::Odd(format!(
            "The statement {list} gives the same page again: it has to order by the id and begin after :after."
        ))),
        Some(last) => Ok(Some(PageToken(last))),
    }
}

impl People {
    /// What is known of a person, as parameters.
    fn params(&self, ops: &UserOps, who: &Person) -> Params {
        let text = |path: &str| Value::from(who.text_at(path).filter(|text| !text.is_empty()));
        let mut params = ops.fixed.clone();
        params.set("user_name", Value::from(who.user_name.as_str()));
        params.set("email", Value::from(who.email.as_deref()));
        params.set("display_name", Value::from(who.display_name.as_deref()));
        params.set("given_name", text("name.givenName"));
        params.set("family_name", text("name.familyName"));
        params.set("external_id", text("externalId"));
        let role = who.role.as_deref().or(self.client.mapping.roles.default.as_deref());
        params.set("role", Value::from(role));
        for (name, path) in &self.client.mapping.parameters {
            params.set(name, text(path));
        }
        params
    }

    fn limit(&self) -> (usize, Value) {
        let limit = self.client.settings.page_size;
        (limit as usize, Value::Number(i64::from(limit)))
    }

    /// The row of an id, if it is there.
    async fn row(&self, tx: &mut Tx<'_>, ops: &UserOps, id: &RemoteId) -> Result<Option<Account>, Failure> {
        let params = ops.fixed.clone().with("id", id.as_str());
        let ran = match tx.few(&ops.get, &params).await {
            // What cannot be an id of this table is none.
            Err(failure) if failure.class() == Some(Class::Value) => return Ok(None),
            ran => ran?,
        };
        match ran.rows.as_slice() {
            [] => Ok(None),
            [row] => account(row).map(Some),
            _ => Err(Failure::Odd("users.get gives more than one row for an id.".to_owned())),
        }
    }

    /// The row of an id that may be changed.
    async fn touchable(&self, tx: &mut Tx<'_>, ops: &UserOps, id: &RemoteId) -> Result<Option<Account>, Failure> {
        match self.row(tx, ops, id).await? {
            Some(account) if account.protected => Err(Fault::new(
                FaultKind::Protected,
                "The row is marked as protected in the database, so it is not touched. Take the mark away, or the person out of the assignment.",
            )
            .into()),
            found => Ok(found),
        }
    }

    async fn found(&self, tx: &mut Tx<'_>, ops: &UserOps, who: &Person) -> Result<Vec<Found>, Failure> {
        let ran = tx.few(&ops.find, &self.params(ops, who)).await?;
        let mut found: Vec<Found> = Vec::new();
        for row in &ran.rows {
            if let Some(evidence) = evidence(row, who) {
                let account = account(row)?;
                if found.iter().all(|known| known.account.remote_id != account.remote_id) {
                    found.push(Found { account, evidence });
                }
            }
        }
        // Those of the name before those of the address.
        found.sort_by_key(|found| found.evidence == Evidence::Email);
        Ok(found)
    }

    /// The account of that very user name.
    async fn named(&self, tx: &mut Tx<'_>, ops: &UserOps, who: &Person) -> Result<Option<Found>, Failure> {
        let is = |found: &Found| found.account.login.as_deref().is_some_and(|login| same(login, &who.user_name));
        Ok(self.found(tx, ops, who).await?.into_iter().find(is))
    }

    /// Creates in a transaction where nobody of that name was seen.
    async fn insert(&self, tx: &mut Tx<'_>, ops: &UserOps, who: &Person) -> Result<Account, Failure> {
        let dialect = self.client.dialect;
        let mut params = self.params(ops, who);
        if ops.makes_ids {
            params.set("new_id", Value::Text(uuid::Uuid::new_v4().to_string()));
        }
        let mut revived = false;
        if let Some(revival) = &ops.revival {
            let gone = tx.few(&revival.find, &params).await?.rows;
            let gone = gone.iter().find(|row| row.text("user_name").is_some_and(|name| same(&name, &who.user_name)));
            if let Some(row) = gone {
                params.set("id", Value::Text(row.needed("id")?));
                tx.few(&revival.revive, &params).await?;
                if let Some(update) = &ops.update {
                    tx.few(&update.update(dialect, &params).map_err(Failure::Odd)?, &params).await?;
                }
                revived = true;
            }
        }
        if !revived {
            tx.few(&ops.create.insert(dialect, &params).map_err(Failure::Odd)?, &params).await?;
        }
        match self.named(tx, ops, who).await? {
            Some(found) => Ok(found.account),
            None => Err(Failure::Odd(
                "users.create was run, and users.find does not show the person. The one has to find what the other makes.".to_owned(),
            )),
        }
    }

    async fn make(&self, tx: &mut Tx<'_>, ops: &Ops, who: &Person) -> Result<Created, Failure> {
        let ops = &ops.users;
        if let Some(found) = self.named(tx, ops, who).await? {
            return Ok(Created::AlreadyThere(found));
        }
        match self.insert(tx, ops, who).await {
            Ok(account) => Ok(Created::Done(account)),
            // Somebody else made it meanwhile, or another unique column has the value.
            Err(failure) if failure.class() == Some(Class::Unique) => {
                tx.again().await?;
                match self.found(tx, ops, who).await?.into_iter().next() {
                    Some(found) => Ok(Created::AlreadyThere(found)),
                    None => Err(failure),
                }
            }
            Err(failure) => Err(failure),
        }
    }

    async fn change(
        &self,
        tx: &mut Tx<'_>,
        ops: &Ops,
        id: &RemoteId,
        change: &AccountChange,
    ) -> Result<Updated, Failure> {
        let ops = &ops.users;
        if self.touchable(tx, ops, id).await?.is_none() {
            return Ok(Updated::AlreadyGone);
        }
        let params = ops
            .fixed
            .clone()
            .with("id", id.as_str())
            .with("role", change.role.as_deref())
            .with("display_name", change.display_name.as_deref())
            .with("email", change.email.as_deref());
        if let (Some(update), false) = (&ops.update, change.is_empty()) {
            tx.few(&update.update(self.client.dialect, &params).map_err(Failure::Odd)?, &params).await?;
        }
        Ok(self.row(tx, ops, id).await?.map_or(Updated::AlreadyGone, Updated::Done))
    }

    async fn activate(&self, tx: &mut Tx<'_>, ops: &Ops, id: &RemoteId, active: bool) -> Result<Updated, Failure> {
        let ops = &ops.users;
        let Some(account) = self.touchable(tx, ops, id).await? else {
            return Ok(Updated::AlreadyGone);
        };
        let wanted = if active { AccountStatus::Active } else { AccountStatus::Suspended };
        if account.status == wanted {
            return Ok(Updated::Done(account));
        }
        let statements = if active { &ops.restore } else { &ops.suspend };
        let Some(statements) = statements else {
            return Err(Fault::new(
                FaultKind::Refused,
                "The mapping names no column that says whether a person is active.",
            )
            .into());
        };
        let params = ops.fixed.clone().with("id", id.as_str());
        let mut params = params;
        params.set("active", Value::Flag(active));
        tx.few(statements, &params).await?;
        match self.row(tx, ops, id).await? {
            None => Ok(Updated::AlreadyGone),
            Some(account) if account.status == wanted => Ok(Updated::Done(account)),
            Some(_) => Err(Failure::Odd(
                "users.set_active was run, and users.get shows the person as before. The column active has to follow."
                    .to_owned(),
            )),
        }
    }

    async fn take_out(&self, tx: &mut Tx<'_>, ops: &Ops, id: &RemoteId) -> Result<Removed, Failure> {
        let ops = &ops.users;
        if self.touchable(tx, ops, id).await?.is_none() {
            return Ok(Removed::AlreadyGone);
        }
        tx.few(&ops.remove, &ops.fixed.clone().with("id", id.as_str())).await?;
        match self.row(tx, ops, id).await? {
            None => Ok(Removed::Done),
            Some(_) => Err(Failure::Odd(
                "users.remove was run, and users.get still shows the person. The one has to hide what the other removes.".to_owned(),
            )),
        }
    }

    async fn page(&self, tx: &mut Tx<'_>, ops: &Ops, page: Option<&PageToken>) -> Result<Page<Account>, Failure> {
        let ops = &ops.users;
        let (most, limit) = self.limit();
        let mut params = ops.fixed.clone();
        params.set("limit", limit);
        params.set("after", Value::from(page.map(|page| page.0.as_str())));
        let statements = if page.is_some() { &ops.list_next } else { &ops.list };
        let rows = tx.all(statements, &params, most).await?.rows;
        let items = rows.iter().map(account).collect::<Result<Vec<_>, _>>()?;
        let last = items.last().and_then(|account| account.remote_id.as_ref()).map(|id| id.as_str().to_owned());
        let next = next_page(last, items.len() >= most, page, "users.list")?;
        Ok(Page { items, next, complete: true })
    }
}

#[async_trait]
impl Accounts for People {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        let ops = &*self.client.ops(cx).await?;
        self.client
            .within(cx, "list users", OBJECT, Mode::Read, |mut tx| async move {
                let listed = self.page(&mut tx, ops, page).await;
                (tx, listed)
            })
            .await
    }

    async fn find(&self, cx: &Cx<'_>, who: &Person) -> Result<Vec<Found>, Fault> {
        let ops = &*self.client.ops(cx).await?;
        self.client
            .within(cx, "find user", OBJECT, Mode::Read, |mut tx| async move {
                let found = self.found(&mut tx, &ops.users, who).await;
                (tx, found)
            })
            .await
    }

    async fn get(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Option<Account>, Fault> {
        let Some(id) = id_of(at) else { return Ok(None) };
        let ops = &*self.client.ops(cx).await?;
        self.client
            .within(cx, "get user", OBJECT, Mode::Read, |mut tx| async move {
                let row = self.row(&mut tx, &ops.users, id).await;
                (tx, row)
            })
            .await
    }

    async fn create(&self, cx: &Cx<'_>, want: &Person) -> Result<Created, Fault> {
        known_role(&self.client, want.role.as_deref())?;
        let ops = &*self.client.ops(cx).await?;
        self.client
            .within(cx, "create user", OBJECT, Mode::Write, |mut tx| async move {
                let created = self.make(&mut tx, ops, want).await;
                (tx, created)
            })
            .await
    }

    async fn update(&self, cx: &Cx<'_>, at: &AccountRef, change: &AccountChange) -> Result<Updated, Fault> {
        let Some(id) = id_of(at) else { return Ok(Updated::AlreadyGone) };
        known_role(&self.client, change.role.as_deref())?;
        let ops = &*self.client.ops(cx).await?;
        self.client
            .within(cx, "update user", OBJECT, Mode::Write, |mut tx| async move {
                let updated = self.change(&mut tx, ops, id, change).await;
                (tx, updated)
            })
            .await
    }

    async fn set_active(&self, cx: &Cx<'_>, at: &AccountRef, active: bool) -> Result<Updated, Fault> {
        let Some(id) = id_of(at) else { return Ok(Updated::AlreadyGone) };
        let ops = &*self.client.ops(cx).await?;
        self.client
            .within(
                cx,
                if active { "restore user" } else { "suspend user" },
                OBJECT,
                Mode::Write,
                |mut tx| async move {
                    let updated = self.activate(&mut tx, ops, id, active).await;
                    (tx, updated)
                },
            )
            .await
    }

    async fn remove(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Removed, Fault> {
        let Some(id) = id_of(at) else { return Ok(Removed::AlreadyGone) };
        let ops = &*self.client.ops(cx).await?;
        self.client
            .within(cx, "remove user", OBJECT, Mode::Write, |mut tx| async move {
                let removed = self.take_out(&mut tx, ops, id).await;
                (tx, removed)
            })
            .await
    }
}

/// A role has to be one that the mapping knows.
fn known_role(client: &Client, role: Option<&str>) -> Result<(), Fault> {
    match role {
        Some(role) if !client.mapping.roles.values.iter().any(|known| known == role) => Err(Fault::new(
            FaultKind::Refused,
            format!("The mapping knows no role {role}. Add it to values in [roles], or assign another."),
        )
        .retry(Retry::AfterOperator)),
        _ => Ok(()),
    }
}
