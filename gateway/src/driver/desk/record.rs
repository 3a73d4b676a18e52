//! The record of a target without an API: the accounts, groups and memberships that tasks brought about, or that
//! an admin entered.

use connector_sdk::{
    Account, AccountRef, AccountStatus, Act, Fault, FaultKind, Member, Page, PageToken, RemoteGroup, RemoteId, Told,
};
use scim::fold::fold_text;
use sea_orm::QueryResult;
use uuid::Uuid;

use crate::store::{Rows, Sql, StoreError, Tx};

/// Rows of a page.
const PAGE: i64 = 500;

const ACCOUNT: &str = "SELECT a.seq, a.id, a.login, a.email, a.display_name, a.active FROM desk_account a";

fn account_of(row: &QueryResult) -> Result<Account, StoreError> {
    let mut account = Account::active(RemoteId::new(row.col::<String>("id")?));
    account.login = Some(row.col("login")?);
    account.email = row.col("email")?;
    account.display_name = row.col("display_name")?;
    if row.col::<i16>("active")? == 0 {
        account.status = AccountStatus::Suspended;
    }
    Ok(account)
}

fn group_of(row: &QueryResult) -> Result<RemoteGroup, StoreError> {
    Ok(RemoteGroup::new(RemoteId::new(row.col::<String>("id")?), row.col::<String>("name")?))
}

/// Cuts rows, of which one more than a page was asked for, into a page.
fn page<T>(rows: &[QueryResult], item: impl Fn(&QueryResult) -> Result<T, StoreError>) -> Result<Page<T>, StoreError> {
    let size = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let shown = rows.get(..size.min(rows.len())).unwrap_or_default();
    let mut page = Page::last(shown.iter().map(item).collect::<Result<_, _>>()?);
    if let (true, Some(last)) = (rows.len() > size, shown.last()) {
        page.next = Some(PageToken(last.col::<i64>("seq")?.to_string()));
    }
    Ok(page)
}

fn after(token: Option<&PageToken>) -> i64 {
    token.and_then(|token| token.0.parse().ok()).unwrap_or(0)
}

pub(super) async fn accounts(
    conn: &impl Sql,
    instance: i64,
    token: Option<&PageToken>,
) -> Result<Page<Account>, StoreError> {
    let text = format!("{ACCOUNT} WHERE a.instance_seq = $1 AND a.seq > $2 ORDER BY a.seq LIMIT $3");
    page(&conn.all(&text, vals![instance, after(token), PAGE + 1]).await?, account_of)
}

/// The accounts of that user name; if there is none, those of that address.
pub(crate) async fn find_accounts(
    conn: &impl Sql,
    instance: i64,
    user_name: &str,
    email: Option<&str>,
) -> Result<Vec<Account>, StoreError> {
    for (column, word) in [("login_key", Some(user_name)), ("email_key", email)] {
        let Some(word) = word else { continue };
        let text = format!("{ACCOUNT} WHERE a.instance_seq = $1 AND a.{column} = $2 ORDER BY a.seq LIMIT 10");
        let rows = conn.all(&text, vals![instance, fold_text(word)]).await?;
        if !rows.is_empty() {
            return rows.iter().map(account_of).collect();
        }
    }
    Ok(Vec::new())
}

pub(super) async fn account(conn: &impl Sql, instance: i64, id: &str) -> Result<Option<Account>, StoreError> {
    let row = conn.one(&format!("{ACCOUNT} WHERE a.instance_seq = $1 AND a.id = $2"), vals![instance, id]).await?;
    row.as_ref().map(account_of).transpose()
}

pub(super) async fn groups(
    conn: &impl Sql,
    instance: i64,
    token: Option<&PageToken>,
) -> Result<Page<RemoteGroup>, StoreError> {
    let text = "SELECT seq, id, name FROM desk_group WHERE instance_seq = $1 AND seq > $2 ORDER BY seq LIMIT $3";
    page(&conn.all(text, vals![instance, after(token), PAGE + 1]).await?, group_of)
}

pub(super) async fn find_groups(conn: &impl Sql, instance: i64, name: &str) -> Result<Vec<RemoteGroup>, StoreError> {
    let text = "SELECT seq, id, name FROM desk_group WHERE instance_seq = $1 AND name_key = $2 ORDER BY seq LIMIT 10";
    conn.all(text, vals![instance, fold_text(name)]).await?.iter().map(group_of).collect()
}

pub(super) async fn group(conn: &impl Sql, instance: i64, id: &str) -> Result<Option<RemoteGroup>, StoreError> {
    let text = "SELECT seq, id, name FROM desk_group WHERE instance_seq = $1 AND id = $2";
    conn.one(text, vals![instance, id]).await?.as_ref().map(group_of).transpose()
}

/// A page of a group's members; none if there is no such group.
pub(super) async fn members(
    conn: &impl Sql,
    instance: i64,
    id: &str,
    token: Option<&PageToken>,
) -> Result<Option<Page<Member>>, StoreError> {
    if group(conn, instance, id).await?.is_none() {
        return Ok(None);
    }
    let text = format!(
        "{ACCOUNT} JOIN desk_member m ON m.account_seq = a.seq JOIN desk_group g ON g.seq = m.group_seq \
         WHERE g.instance_seq = $1 AND g.id = $2 AND a.seq > $3 ORDER BY a.seq LIMIT $4"
    );
    let rows = conn.all(&text, vals![instance, id, after(token), PAGE + 1]).await?;
    let item = |row: &QueryResult| -> Result<Member, StoreError> {
        let login: String = row.col("login")?;
        let id = RemoteId::new(row.col::<String>("id")?);
        Ok(Member::of(AccountRef::Account { id, login: Some(login) }))
    };
    page(&rows, item).map(Some)
}

async fn is_member(conn: &impl Sql, instance: i64, group: &str, account: &str) -> Result<bool, StoreError> {
    let row = conn
        .one(
            "SELECT 1 AS one FROM desk_member m JOIN desk_group g ON g.seq = m.group_seq JOIN desk_account a ON a.seq = m.account_seq \
             WHERE g.instance_seq = $1 AND g.id = $2 AND a.instance_seq = $1 AND a.id = $3",
            vals![instance, group, account],
        )
        .await?;
    Ok(row.is_some())
}

/// The account that an act is about, if it is known by now.
pub(super) fn account_in(act: &Act) -> Option<&str> {
    match act {
        Act::UpdateAccount { at, .. }
        | Act::SuspendAccount { at }
        | Act::RestoreAccount { at }
        | Act::RemoveAccount { at }
        | Act::AddMember { account: at, .. }
        | Act::RemoveMember { account: at, .. } => Some(at.id()),
        Act::CreateAccount { .. } | Act::CreateGroup { .. } | Act::RenameGroup { .. } | Act::RemoveGroup { .. } => None,
    }
}

/// What an act that is so already is answered; none where somebody has to do something. `made` is the id of the
/// account or group that a task for it made: then it was this task that brought it about.
pub(super) async fn told(
    conn: &impl Sql,
    instance: i64,
    act: &Act,
    done: bool,
    made: Option<&str>,
) -> Result<Option<Result<Told, Fault>>, StoreError> {
    let gone = Some(Ok(Told::Gone { now: done }));
    let one = |account: Option<Account>, so: bool| match account {
        None => Some(Ok(Told::Gone { now: false })),
        Some(account) if so || done => Some(Ok(Told::Account { account, now: done })),
        Some(_) => None,
    };
    Ok(match act {
        Act::CreateAccount { who } => {
            if let Some(made) = made
                && let Some(account) = account(conn, instance, made).await?
            {
                return Ok(Some(Ok(Told::Account { account, now: true })));
            }
            let known = find_accounts(conn, instance, &who.user_name, who.email.as_deref()).await?;
            only(known, "Several accounts on record may be this person's. Link the right one by hand.")
                .map(|one| one.map(|account| Told::Account { account, now: false }))
        }
        Act::UpdateAccount { at, change } => {
            let known = account(conn, instance, at.id()).await?;
            one(known, change.is_empty())
        }
        Act::SuspendAccount { at } => {
            let known = account(conn, instance, at.id()).await?;
            let so = known.as_ref().is_some_and(|account| account.status == AccountStatus::Suspended);
            one(known, so)
        }
        Act::RestoreAccount { at } => {
            let known = account(conn, instance, at.id()).await?;
            let so = known.as_ref().is_some_and(|account| account.status == AccountStatus::Active);
            one(known, so)
        }
        Act::RemoveAccount { at } => match account(conn, instance, at.id()).await? {
            None => gone,
            Some(_) => None,
        },
        Act::CreateGroup { name } => {
            if let Some(made) = made
                && let Some(group) = group(conn, instance, made).await?
            {
                return Ok(Some(Ok(Told::Group { group, now: true })));
            }
            let known = find_groups(conn, instance, name).await?;
            only(known, "Several groups on record have this name. Link the right one by hand.")
                .map(|one| one.map(|group| Told::Group { group, now: false }))
        }
        Act::RenameGroup { id, name } => match group(conn, instance, id.as_str()).await? {
            None => Some(Ok(Told::Gone { now: false })),
            Some(group) if !done && find_groups(conn, instance, name).await?.iter().any(|one| one.id != group.id) => {
                Some(Err(taken(name)))
            }
            Some(group) if done || group.name == *name => Some(Ok(Told::Group { group, now: done })),
            Some(_) => None,
        },
        Act::RemoveGroup { id } => match group(conn, instance, id.as_str()).await? {
            None => gone,
            Some(_) => None,
        },
        Act::AddMember { group: id, account: at } => {
            if group(conn, instance, id.as_str()).await?.is_none() {
                return Ok(Some(Err(not_found("group"))));
            }
            if account(conn, instance, at.id()).await?.is_none() {
                return Ok(Some(Err(not_found("account"))));
            }
            (done || is_member(conn, instance, id.as_str(), at.id()).await?).then_some(Ok(Told::Member(true)))
        }
        Act::RemoveMember { group: id, account: at } => {
            if group(conn, instance, id.as_str()).await?.is_none() {
                return Ok(Some(Err(not_found("group"))));
            }
            (done || !is_member(conn, instance, id.as_str(), at.id()).await?).then_some(Ok(Told::Member(false)))
        }
    })
}

fn taken(name: &str) -> Fault {
    let message = format!("Another group on record at this target is named \"{name}\". Rename one of the two.");
    Fault::new(FaultKind::NameTaken, message).context("desk")
}

/// The one that is on record. Of several none is guessed (DECISIONS 3): a person has to say which.
fn only<T>(known: Vec<T>, several: &'static str) -> Option<Result<T, Fault>> {
    if known.len() > 1 {
        return Some(Err(Fault::new(FaultKind::NameTaken, several)));
    }
    known.into_iter().next().map(Ok)
}

fn not_found(what: &str) -> Fault {
    Fault::new(FaultKind::NotFound, format!("The {what} is not on record at this target.")).context("desk")
}

/// An account to be entered.
pub(crate) struct Entered<'a> {
    pub(crate) id: &'a str,
    pub(crate) login: &'a str,
    pub(crate) email: Option<&'a str>,
    pub(crate) display_name: Option<&'a str>,
    pub(crate) active: bool,
}

/// Enters an account; false if one of that id is on record.
pub(crate) async fn enter(tx: &Tx<'_>, instance: i64, one: &Entered<'_>) -> Result<bool, StoreError> {
    let rows = tx
        .conn
        .run(
            "INSERT INTO desk_account (seq, instance_seq, id, login, login_key, email, email_key, display_name, active) \
             VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9) ON CONFLICT DO NOTHING",
            vals![
                tx.seq()?,
                instance,
                one.id,
                one.login,
                fold_text(one.login),
                one.email.map(str::to_owned),
                one.email.map(fold_text),
                one.display_name.map(str::to_owned),
                i16::from(one.active)
            ],
        )
        .await?;
    Ok(rows > 0)
}

/// Puts on record that an act was done. `named` is the id that an account or group has at the target, where whoever
/// did it says so. Answers the id of what was made; none where that id is another's already.
pub(crate) async fn write(
    tx: &Tx<'_>,
    instance: i64,
    act: &Act,
    named: Option<&str>,
) -> Result<Result<Option<String>, ()>, StoreError> {
    let conn = tx.conn;
    let fresh = || named.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    match act {
        Act::CreateAccount { who } => {
            let id = fresh();
            let (email, name) = (who.email.as_deref(), who.display_name.as_deref());
            let one = Entered { id: &id, login: &who.user_name, email, display_name: name, active: true };
            return Ok(if enter(tx, instance, &one).await? { Ok(Some(id)) } else { Err(()) });
        }
        Act::UpdateAccount { at, change } => {
            if let Some(who) = &change.person {
                conn.run(
                    "UPDATE desk_account SET login = $3, login_key = $4, email = $5, email_key = $6, display_name = $7 WHERE instance_seq = $1 AND id = $2",
                    vals![
                        instance,
                        at.id(),
                        who.user_name.as_str(),
                        fold_text(&who.user_name),
                        who.email.clone(),
                        who.email.as_deref().map(fold_text),
                        who.display_name.clone()
                    ],
                )
                .await?;
            } else {
                conn.run(
                    "UPDATE desk_account SET email = COALESCE($3, email), email_key = COALESCE($4, email_key), display_name = COALESCE($5, display_name) WHERE instance_seq = $1 AND id = $2",
                    vals![
                        instance,
                        at.id(),
                        change.email.clone(),
                        change.email.as_deref().map(fold_text),
                        change.display_name.clone()
                    ],
                )
                .await?;
            }
        }
        Act::SuspendAccount { at } | Act::RestoreAccount { at } => {
            let active = matches!(act, Act::RestoreAccount { .. });
            conn.run(
                "UPDATE desk_account SET active = $3 WHERE instance_seq = $1 AND id = $2",
                vals![instance, at.id(), i16::from(active)],
            )
            .await?;
        }
        Act::RemoveAccount { at } => {
            let which = "SELECT seq FROM desk_account WHERE instance_seq = $1 AND id = $2";
            let text = format!("DELETE FROM desk_member WHERE account_seq IN ({which})");
            conn.run(&text, vals![instance, at.id()]).await?;
            conn.run("DELETE FROM desk_account WHERE instance_seq = $1 AND id = $2", vals![instance, at.id()]).await?;
        }
        Act::CreateGroup { name } => {
            let id = fresh();
            let rows = conn
                .run(
                    "INSERT INTO desk_group (seq, instance_seq, id, name, name_key) VALUES ($1,$2,$3,$4,$5) ON CONFLICT DO NOTHING",
                    vals![tx.seq()?, instance, id.as_str(), name.as_str(), fold_text(name)],
                )
                .await?;
            return Ok(if rows > 0 { Ok(Some(id)) } else { Err(()) });
        }
        Act::RenameGroup { id, name } => {
            conn.run(
                "UPDATE desk_group SET name = $3, name_key = $4 WHERE instance_seq = $1 AND id = $2",
                vals![instance, id.as_str(), name.as_str(), fold_text(name)],
            )
            .await?;
        }
        Act::RemoveGroup { id } => {
            let which = "SELECT seq FROM desk_group WHERE instance_seq = $1 AND id = $2";
            let text = format!("DELETE FROM desk_member WHERE group_seq IN ({which})");
            conn.run(&text, vals![instance, id.as_str()]).await?;
            conn.run("DELETE FROM desk_group WHERE instance_seq = $1 AND id = $2", vals![instance, id.as_str()])
                .await?;
        }
        Act::AddMember { group, account } => {
            conn.run(
                "INSERT INTO desk_member (group_seq, account_seq) SELECT g.seq, a.seq FROM desk_group g, desk_account a \
                 WHERE g.instance_seq = $1 AND g.id = $2 AND a.instance_seq = $1 AND a.id = $3 ON CONFLICT DO NOTHING",
                vals![instance, group.as_str(), account.id()],
            )
            .await?;
        }
        Act::RemoveMember { group, account } => {
            conn.run(
                "DELETE FROM desk_member WHERE group_seq IN (SELECT seq FROM desk_group WHERE instance_seq = $1 AND id = $2) \
                 AND account_seq IN (SELECT seq FROM desk_account WHERE instance_seq = $1 AND id = $3)",
                vals![instance, group.as_str(), account.id()],
            )
            .await?;
        }
    }
    Ok(Ok(None))
}
