//! A desk in memory, as `connector_sdk::Desk` describes it, and the clerk behind it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use connector_sdk::kit::World;
use connector_sdk::{
    Account, AccountRef, AccountStatus, Act, Call, Desk, Entry, Fault, FaultKind, Member, Page, PageToken, Person,
    RemoteGroup, RemoteId, Reply, Retry, Step, Task, Told, Transport, Work,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// The catalogue's entry.
pub(crate) fn entry() -> Entry {
    connectors::builtin().into_iter().find(|entry| entry.name == "manual").expect("manual is built in")
}

/// Rows of a page: fewer than the kit loads.
const PAGE: usize = 100;

/// What the clerk does with a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clerk {
    Quick,
    Out,
    Refuses,
}

#[derive(Default)]
struct Files {
    /// Numbered as they came, so that a listing goes by number.
    accounts: Vec<(usize, Account)>,
    groups: Vec<(usize, RemoteGroup)>,
    members: Vec<(String, String)>,
    tasks: Vec<Task>,
    next: usize,
}

/// A desk, as the world of the contract kit and as the way to it.
pub(crate) struct Office {
    files: Mutex<Files>,
    clerk: Mutex<Clerk>,
}

fn id_of(at: &AccountRef) -> &str {
    match at {
        AccountRef::Account { id, .. } => id.as_str(),
        AccountRef::Invite { id, .. } => id.as_str(),
    }
}

fn same(one: Option<&str>, other: Option<&str>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one.to_lowercase() == other.to_lowercase())
}

fn is(account: &Account, id: &str) -> bool {
    account.remote_id.as_ref().is_some_and(|known| known.as_str() == id)
}

fn page<T: Clone>(all: &[(usize, T)], token: Option<&PageToken>) -> Page<T> {
    let after: usize = token.map_or(0, |token| token.0.parse().unwrap());
    let rest: Vec<&(usize, T)> = all.iter().filter(|(number, _)| *number > after).collect();
    let mut page = Page::last(rest.iter().take(PAGE).map(|(_, one)| one.clone()).collect());
    if rest.len() > PAGE {
        page.next = Some(PageToken(rest[PAGE - 1].0.to_string()));
    }
    page
}

fn not_found() -> Fault {
    Fault::new(FaultKind::NotFound, "That is not on record.")
}

impl Files {
    fn number(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    fn account(&mut self, id: &str) -> Option<&mut Account> {
        self.accounts.iter_mut().map(|(_, one)| one).find(|one| is(one, id))
    }

    fn group(&mut self, id: &RemoteId) -> Option<&mut RemoteGroup> {
        self.groups.iter_mut().map(|(_, one)| one).find(|one| one.id == *id)
    }

    fn enter(&mut self, who: &Person) -> Account {
        let number = self.number();
        let mut account = Account::active(RemoteId::new(format!("a{number}")));
        account.login = Some(who.user_name.clone());
        account.email = who.email.clone();
        account.display_name = who.display_name.clone();
        self.accounts.push((number, account.clone()));
        account
    }

    fn find(&self, user_name: &str, email: Option<&str>) -> Vec<Account> {
        let by = |fits: &dyn Fn(&Account) -> bool| -> Vec<Account> {
            self.accounts.iter().map(|(_, one)| one).filter(|one| fits(one)).cloned().collect()
        };
        let named = by(&|one| same(one.login.as_deref(), Some(user_name)));
        if named.is_empty() { by(&|one| same(one.email.as_deref(), email)) } else { named }
    }

    /// What is so already.
    fn told(&mut self, act: &Act) -> Option<Result<Told, Fault>> {
        let mut with = |at: &AccountRef, so: &dyn Fn(&Account) -> bool| match self.account(id_of(at)) {
            None => Some(Ok(Told::Gone { now: false })),
            Some(account) => so(account).then(|| Ok(Told::Account { account: account.clone(), now: false })),
        };
        match act {
            Act::CreateAccount { who } => {
                let known = self.find(&who.user_name, who.email.as_deref()).into_iter().next();
                known.map(|account| Ok(Told::Account { account, now: false }))
            }
            Act::UpdateAccount { at, .. } => with(at, &|_| false),
            Act::SuspendAccount { at } => with(at, &|account| account.status == AccountStatus::Suspended),
            Act::RestoreAccount { at } => with(at, &|account| account.status == AccountStatus::Active),
            Act::RemoveAccount { at } => self.account(id_of(at)).is_none().then_some(Ok(Told::Gone { now: false })),
            Act::CreateGroup { name } => {
                let known = self.groups.iter().map(|(_, one)| one).find(|one| same(Some(&one.name), Some(name)));
                known.map(|group| Ok(Told::Group { group: group.clone(), now: false }))
            }
            Act::RenameGroup { id, name } => match self.group(id).cloned() {
                Some(_) if self.groups.iter().any(|(_, one)| one.id != *id && same(Some(&one.name), Some(name))) => {
                    Some(Err(Fault::new(FaultKind::NameTaken, "Another group has that name.")))
                }
                None => Some(Ok(Told::Gone { now: false })),
                Some(group) => (group.name == *name).then_some(Ok(Told::Group { group, now: false })),
            },
            Act::RemoveGroup { id } => self.group(id).is_none().then_some(Ok(Told::Gone { now: false })),
            Act::AddMember { group, account } | Act::RemoveMember { group, account } => {
                let add = matches!(act, Act::AddMember { .. });
                if self.group(group).is_none() || (add && self.account(id_of(account)).is_none()) {
                    return Some(Err(not_found()));
                }
                let pair = (group.as_str().to_owned(), id_of(account).to_owned());
                (self.members.contains(&pair) == add).then_some(Ok(Told::Member(add)))
            }
        }
    }

    fn carry_out(&mut self, act: &Act) -> Told {
        match act {
            Act::CreateAccount { who } => Told::Account { account: self.enter(who), now: true },
            Act::UpdateAccount { at, change } => {
                let account = self.account(id_of(at)).unwrap();
                if let Some(who) = &change.person {
                    account.login = Some(who.user_name.clone());
                    account.email = who.email.clone();
                    account.display_name = who.display_name.clone();
                }
                account.email = change.email.clone().or(account.email.take());
                account.display_name = change.display_name.clone().or(account.display_name.take());
                Told::Account { account: account.clone(), now: true }
            }
            Act::SuspendAccount { at } | Act::RestoreAccount { at } => {
                let account = self.account(id_of(at)).unwrap();
                account.status = match act {
                    Act::SuspendAccount { .. } => AccountStatus::Suspended,
                    _ => AccountStatus::Active,
                };
                Told::Account { account: account.clone(), now: true }
            }
            Act::RemoveAccount { at } => {
                self.accounts.retain(|(_, one)| !is(one, id_of(at)));
                self.members.retain(|(_, account)| account != id_of(at));
                Told::Gone { now: true }
            }
            Act::CreateGroup { name } => {
                let number = self.number();
                let group = RemoteGroup::new(RemoteId::new(format!("g{number}")), name.clone());
                self.groups.push((number, group.clone()));
                Told::Group { group, now: true }
            }
            Act::RenameGroup { id, name } => {
                let group = self.group(id).unwrap();
                group.name.clone_from(name);
                Told::Group { group: group.clone(), now: true }
            }
            Act::RemoveGroup { id } => {
                self.groups.retain(|(_, one)| one.id != *id);
                self.members.retain(|(group, _)| group != id.as_str());
                Told::Gone { now: true }
            }
            Act::AddMember { group, account } => {
                self.members.push((group.as_str().to_owned(), id_of(account).to_owned()));
                Told::Member(true)
            }
            Act::RemoveMember { group, account } => {
                let pair = (group.as_str().to_owned(), id_of(account).to_owned());
                self.members.retain(|one| *one != pair);
                Told::Member(false)
            }
        }
    }
}

impl Office {
    pub(crate) fn new(clerk: Clerk) -> Self {
        Self { files: Mutex::default(), clerk: Mutex::new(clerk) }
    }

    pub(crate) fn time(&self) -> Timestamp {
        "2026-01-02T03:04:05Z".parse().expect("a time")
    }

    pub(crate) fn hire(&self, clerk: Clerk) {
        *self.clerk.lock().unwrap_or_else(PoisonError::into_inner) = clerk;
    }

    pub(crate) fn tasks(&self) -> Vec<Task> {
        self.files().tasks.clone()
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Desk for Office {
    async fn ask(&self, task: Task) -> Result<Told, Fault> {
        let clerk = *self.clerk.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files = self.files();
        if let Some(told) = files.told(&task.act) {
            return told;
        }
        match clerk {
            Clerk::Quick => Ok(files.carry_out(&task.act)),
            Clerk::Out => {
                let due = self.time() + SignedDuration::from_secs(i64::try_from(task.within).unwrap());
                if files.tasks.iter().all(|one| one.act != task.act) {
                    files.tasks.push(task);
                }
                Err(Fault::new(FaultKind::Awaiting, "Nobody is at the desk.").retry(Retry::NotBefore(due)))
            }
            Clerk::Refuses => Err(Fault::new(FaultKind::Refused, "The clerk refused: there is no such thing here")),
        }
    }

    async fn accounts(&self, token: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        Ok(page(&self.files().accounts, token))
    }

    async fn find_accounts(&self, user_name: &str, email: Option<&str>) -> Result<Vec<Account>, Fault> {
        Ok(self.files().find(user_name, email))
    }

    async fn account(&self, id: &RemoteId) -> Result<Option<Account>, Fault> {
        Ok(self.files().account(id.as_str()).cloned())
    }

    async fn groups(&self, token: Option<&PageToken>) -> Result<Page<RemoteGroup>, Fault> {
        Ok(page(&self.files().groups, token))
    }

    async fn find_groups(&self, name: &str) -> Result<Vec<RemoteGroup>, Fault> {
        let files = self.files();
        Ok(files.groups.iter().map(|(_, one)| one).filter(|one| same(Some(&one.name), Some(name))).cloned().collect())
    }

    async fn group(&self, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
        Ok(self.files().group(id).cloned())
    }

    async fn members(&self, id: &RemoteId, token: Option<&PageToken>) -> Result<Page<Member>, Fault> {
        let mut files = self.files();
        files.group(id).ok_or_else(not_found)?;
        let of: Vec<(usize, Member)> = files
            .accounts
            .iter()
            .filter(|(_, one)| files.members.iter().any(|(group, account)| group == id.as_str() && is(one, account)))
            .map(|(number, one)| (*number, Member::of(one.reference().unwrap())))
            .collect();
        Ok(page(&of, token))
    }
}

#[async_trait]
impl Transport for Office {
    async fn send(&self, _: Call) -> Result<Reply, Fault> {
        Err(Fault::new(FaultKind::NotSent, "People speak no HTTP."))
    }

    fn desk(&self) -> Option<&dyn Desk> {
        Some(self)
    }

    async fn perform(&self, _: Step, work: Work<'_>) -> Result<(), Fault> {
        work.await.result
    }
}

#[async_trait]
impl World for Office {
    async fn control(&self, method: &str, path: &str, body: Value) -> Result<Value, String> {
        let mut files = self.files();
        match (method, path) {
            ("GET", "/_sim/state") => {
                let accounts: Vec<Value> = files
                    .accounts
                    .iter()
                    .map(|(_, one)| {
                        json!({"id": one.remote_id, "login": one.login, "email": one.email, "active": one.status == AccountStatus::Active, "role": null})
                    })
                    .collect();
                let groups: Vec<Value> = files
                    .groups
                    .iter()
                    .map(|(_, group)| {
                        let of = files.members.iter().filter(|(id, _)| id == group.id.as_str());
                        let members: Vec<Value> = of.map(|(_, account)| json!({"id": account})).collect();
                        json!({"id": group.id, "name": group.name, "members": members})
                    })
                    .collect();
                Ok(json!({"accounts": accounts, "invitations": [], "groups": groups}))
            }
            ("POST", "/_sim/load") => {
                for n in 0..body["accounts"].as_u64().unwrap_or(0) {
                    let mut who = Person::named(format!("load{n:04}@example.com"));
                    who.email = Some(who.user_name.clone());
                    files.enter(&who);
                }
                for n in 0..body["groups"].as_u64().unwrap_or(0) {
                    files.carry_out(&Act::CreateGroup { name: format!("load{n:04}") });
                }
                Ok(json!({}))
            }
            other => Err(format!("a desk has no {other:?}")),
        }
    }

    fn now(&self) -> Timestamp {
        self.time()
    }

    async fn revoke_credential(&self) -> Result<(), String> {
        Err("a desk has no credential".to_owned())
    }
}
