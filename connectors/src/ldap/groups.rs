//! Groups: entries below the branch of groups, and who is in them.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    AccountRef, Cx, Fault, FaultKind, GroupChange, GroupCreated, GroupUpdated, GroupWant, Groups, Member, Membership,
    Page, PageToken, RemoteGroup, RemoteId, Removed, Repeat, Retry,
};

use super::client::Client;
use super::dn;
use super::filter::Filter;
use super::members;
use super::message::{Attributes, Change, Entry, Request, code};
use super::settings::{Directory, GroupClass};
use super::shape;

/// A global security group (MS-ADTS, section 2.2.12): 2 and the highest bit.
const GLOBAL_SECURITY: &str = "-2147483646";
/// What no `sAMAccountName` may hold (learn.microsoft.com, "SAM-Account-Name attribute").
const NOT_IN_SAM: &[char] = &['"', '/', '\\', '[', ']', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@'];
/// Rounds in which groups are left; each takes what the server shows at once.
const MOST_ROUNDS: usize = 200;
/// Pages of groups whose numbers are read.
const MOST_PAGES: usize = 200;

/// The groups of a directory.
pub(super) struct Branch {
    pub(super) client: Arc<Client>,
}

/// The settings of groups. Only built where there are some.
pub(super) fn shape_of(client: &Client) -> Result<&shape::Groups, Fault> {
    client.shape.groups.as_ref().ok_or_else(|| Fault::new(FaultKind::Refused, "This instance serves no groups."))
}

/// The attributes that are read of groups.
fn attributes(client: &Client) -> Vec<&str> {
    vec![client.shape.id.0.as_str(), "cn", "sAMAccountName"]
}

pub(super) async fn by_id(client: &Client, cx: &Cx<'_>, id: &RemoteId, more: &[&str]) -> Result<Option<Entry>, Fault> {
    let groups = shape_of(client)?;
    let mut wanted = attributes(client);
    wanted.extend(more);
    client.by_id(cx, "find group entry", &[&groups.base], &groups.filter, id, &wanted).await
}

fn name_of(entry: &Entry) -> String {
    dn::rdn_value(&entry.dn, "cn").or_else(|| entry.text("cn")).unwrap_or_default()
}

fn group(client: &Client, entry: &Entry) -> Result<RemoteGroup, Fault> {
    let id = client.shape.id_of(entry).ok_or_else(|| client.no_id("read group"))?;
    Ok(RemoteGroup::new(id, name_of(entry)))
}

/// The changes that take members out of a group, or put others in.
fn member_changes(groups: &shape::Groups, add: &[Vec<u8>], remove: &[Vec<u8>]) -> Vec<Change> {
    let mut changes = Vec::new();
    if !add.is_empty() {
        changes.push(Change::Add(groups.member.to_owned(), add.to_vec()));
    }
    if !remove.is_empty() {
        changes.push(Change::Delete(groups.member.to_owned(), remove.to_vec()));
    }
    changes
}

/// Changes members of one group entry, with a placeholder where nobody would be left. The answer's
/// code is the server's last word.
pub(super) async fn change(
    client: &Client,
    cx: &Cx<'_>,
    name: &'static str,
    dn: &str,
    add: &[Vec<u8>],
    remove: &[Vec<u8>],
) -> Result<super::message::Answer, Fault> {
    let groups = shape_of(client)?;
    let request = |add: &[Vec<u8>]| Request::modify(dn, &member_changes(groups, add, remove)).permissive();
    let answer = client.one(cx, name, Repeat::Idempotent, "group", request(add)).await?;
    match &groups.placeholder {
        Some(placeholder) if answer.code == code::OBJECT_CLASS && !remove.is_empty() => {
            let mut with = add.to_vec();
            with.push(placeholder.clone().into_bytes());
            client.one(cx, name, Repeat::Idempotent, "group", request(&with)).await
        }
        _ => Ok(answer),
    }
}

/// The groups that hold this member, as many as the server shows at once.
async fn holding(client: &Client, cx: &Cx<'_>, member: &str) -> Result<Vec<Entry>, Fault> {
    let groups = shape_of(client)?;
    let filter = Filter::And(vec![groups.filter.clone(), Filter::equal(groups.member, member)]);
    let listed = client.page(cx, "find groups of member", &[&groups.base], &filter, &["cn"], None).await?;
    Ok(listed.entries)
}

/// Takes a person out of every group. Where the server does that by itself, there is nothing left to do later.
pub(super) async fn leave_all(client: &Client, cx: &Cx<'_>, dn: &str, login: Option<&str>) -> Result<(), Fault> {
    replace_all(client, cx, dn, login, None).await
}

/// Puts the new name of an entry in place of the old one in every group. Some servers do that by themselves.
pub(super) async fn follow_name(client: &Client, cx: &Cx<'_>, old: &str, new: &str) -> Result<(), Fault> {
    if dn::same(old, new) { Ok(()) } else { replace_all(client, cx, old, None, Some(new)).await }
}

/// Puts a new login in place of the old one where groups name their members by it.
pub(super) async fn follow_login(client: &Client, cx: &Cx<'_>, old: &str, new: &str) -> Result<(), Fault> {
    match &client.shape.groups {
        Some(groups) if groups.class == GroupClass::PosixGroup && old != new => {
            exchange(client, cx, old, Some(new)).await
        }
        _ => Ok(()),
    }
}

async fn replace_all(
    client: &Client,
    cx: &Cx<'_>,
    old: &str,
    login: Option<&str>,
    new: Option<&str>,
) -> Result<(), Fault> {
    let Some(groups) = &client.shape.groups else {
        return Ok(());
    };
    let old = match groups.class {
        // Named by login, which a new name of the entry does not change.
        GroupClass::PosixGroup => match (login, new) {
            (Some(login), None) => login,
            _ => return Ok(()),
        },
        _ => old,
    };
    exchange(client, cx, old, new).await
}

/// Takes a member value out of every group, and puts another in its place.
async fn exchange(client: &Client, cx: &Cx<'_>, old: &str, new: Option<&str>) -> Result<(), Fault> {
    let add: Vec<Vec<u8>> = new.map(|new| new.as_bytes().to_vec()).into_iter().collect();
    for _ in 0..MOST_ROUNDS {
        let held = holding(client, cx, old).await?;
        if held.is_empty() {
            return Ok(());
        }
        for entry in held {
            let answer = change(client, cx, "change memberships", &entry.dn, &add, &[old.as_bytes().to_vec()]).await?;
            match answer.code {
                // Gone, or done by the server meanwhile: the next look tells.
                code::SUCCESS | code::NO_SUCH_OBJECT | code::NO_SUCH_ATTRIBUTE => {}
                code::VALUE_EXISTS => {
                    let answer =
                        change(client, cx, "change memberships", &entry.dn, &[], &[old.as_bytes().to_vec()]).await?;
                    if answer.code != code::SUCCESS {
                        return Err(client.fault("change memberships", &answer));
                    }
                }
                _ => return Err(client.fault("change memberships", &answer)),
            }
        }
    }
    Err(Fault::new(FaultKind::Unavailable, "A person's memberships do not end: what is taken out is there again.")
        .retry(Retry::Soon)
        .context("change memberships: no end"))
}

impl Branch {
    fn groups(&self) -> Result<&shape::Groups, Fault> {
        shape_of(&self.client)
    }

    async fn by_name(&self, cx: &Cx<'_>, name: &str) -> Result<Vec<Entry>, Fault> {
        let groups = self.groups()?;
        let filter = Filter::And(vec![groups.filter.clone(), Filter::equal("cn", name)]);
        self.client.search(cx, "find groups", &[&groups.base], &filter, &attributes(&self.client)).await
    }

    /// The number of a new group: after the largest in use.
    async fn next_number(&self, cx: &Cx<'_>) -> Result<u32, Fault> {
        let groups = self.groups()?;
        let mut largest = groups.gid_min.saturating_sub(1);
        let mut token = None;
        for _ in 0..MOST_PAGES {
            let listed = self
                .client
                .page(cx, "list group numbers", &[&groups.base], &groups.filter, &["gidNumber"], token.as_ref())
                .await?;
            if !listed.complete {
                return Err(Fault::new(
                    FaultKind::Quota,
                    "Not all groups are shown, so no free gidNumber can be told. Raise the server's size limit for the gateway's account.",
                )
                .retry(Retry::AfterOperator));
            }
            let numbers = listed.entries.iter().filter_map(|entry| entry.text("gidNumber")?.trim().parse().ok());
            largest = numbers.fold(largest, u32::max);
            token = listed.next;
            if token.is_none() {
                return largest.checked_add(1).ok_or_else(|| {
                    Fault::new(FaultKind::Quota, "There is no gidNumber left.").retry(Retry::AfterOperator)
                });
            }
        }
        Err(Fault::new(FaultKind::Quota, "There are too many groups to tell a free gidNumber.")
            .retry(Retry::AfterOperator))
    }

    fn new_entry(&self, groups: &shape::Groups, name: &str, number: Option<u32>) -> Attributes {
        let one = |name: &str, value: &str| (name.to_owned(), vec![value.as_bytes().to_vec()]);
        let class = match groups.class {
            GroupClass::GroupOfNames => "groupOfNames",
            GroupClass::GroupOfUniqueNames => "groupOfUniqueNames",
            GroupClass::PosixGroup => "posixGroup",
            GroupClass::Group => "group",
        };
        let mut all =
            vec![("objectClass".to_owned(), vec![b"top".to_vec(), class.as_bytes().to_vec()]), one("cn", name)];
        all.extend(groups.placeholder.as_deref().map(|placeholder| one(groups.member, placeholder)));
        all.extend(number.map(|number| one("gidNumber", &number.to_string())));
        if groups.class == GroupClass::Group {
            all.push(one("groupType", GLOBAL_SECURITY));
            all.extend(sam(name).map(|name| one("sAMAccountName", name)));
        }
        all
    }

    async fn add(&self, cx: &Cx<'_>, name: &str) -> Result<GroupCreated, Fault> {
        let groups = self.groups()?;
        let _numbering;
        let number = if groups.class == GroupClass::PosixGroup {
            _numbering = self.client.numbering.lock().await;
            Some(self.next_number(cx).await?)
        } else {
            None
        };
        let dn = format!("cn={},{}", dn::escape(name), groups.base);
        let shown = attributes(&self.client);
        let request = Request::add(&dn, &self.new_entry(groups, name, number)).post_read(&shown);
        let answer = self.client.one(cx, "add group", Repeat::Verifiable, "group", request).await?;
        match answer.code {
            code::SUCCESS => {
                let entry = match answer.after.filter(|entry| self.client.shape.id_of(entry).is_some()) {
                    Some(entry) => Some(entry),
                    None => self.client.read(cx, "read group", &dn, &groups.filter, &shown).await?,
                };
                match entry {
                    Some(entry) => Ok(GroupCreated::Done(group(&self.client, &entry)?)),
                    None => Err(self.client.garbled("add group", true)),
                }
            }
            // Success only if a look confirms it.
            code::ENTRY_EXISTS | code::CONSTRAINT => match self.by_name(cx, name).await?.first() {
                Some(there) => Ok(GroupCreated::AlreadyThere(group(&self.client, there)?)),
                None if answer.code == code::ENTRY_EXISTS => Err(taken(&self.client, "add group", &answer)),
                None => Err(self.client.fault("add group", &answer)),
            },
            code::NO_SUCH_OBJECT => Err(self.client.refused(
                "add group",
                &answer,
                FaultKind::Permission,
                "The branch of groups is not there, or the gateway's account may not see it. Make it, or correct group_base.",
            )),
            _ => Err(self.client.fault("add group", &answer)),
        }
    }

    /// Active Directory has a second name, by which a group is known to Windows.
    async fn second_name(&self, cx: &Cx<'_>, entry: &Entry, name: &str) -> Result<(), Fault> {
        let wanted = sam(name).filter(|_| self.groups().is_ok_and(|groups| groups.class == GroupClass::Group));
        let Some(wanted) = wanted.filter(|wanted| entry.text("sAMAccountName").as_deref() != Some(*wanted)) else {
            return Ok(());
        };
        let change = Change::Replace("sAMAccountName".to_owned(), vec![wanted.as_bytes().to_vec()]);
        let request = Request::modify(&entry.dn, &[change]);
        let answer = self.client.one(cx, "modify group", Repeat::Idempotent, "group", request).await?;
        match answer.code {
            code::SUCCESS | code::NO_SUCH_OBJECT => Ok(()),
            code::ENTRY_EXISTS | code::CONSTRAINT => Err(taken(&self.client, "modify group", &answer)),
            _ => Err(self.client.fault("modify group", &answer)),
        }
    }
}

/// The second name of a group, where it can have the same one.
fn sam(name: &str) -> Option<&str> {
    (name.chars().count() <= 256 && !name.contains(NOT_IN_SAM) && !name.ends_with('.')).then_some(name)
}

fn taken(client: &Client, name: &str, answer: &super::message::Answer) -> Fault {
    client.refused(
        name,
        answer,
        FaultKind::NameTaken,
        "Another entry has this name. Rename or remove that one, or choose another name.",
    )
}

#[async_trait]
impl Groups for Branch {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<RemoteGroup>, Fault> {
        let groups = self.groups()?;
        let client = &self.client;
        let listed = client.page(cx, "list groups", &[&groups.base], &groups.filter, &attributes(client), page).await?;
        let items = listed.entries.iter().map(|entry| group(client, entry)).collect::<Result<_, _>>()?;
        Ok(Page { items, next: listed.next, complete: listed.complete })
    }

    async fn find(&self, cx: &Cx<'_>, name: &str) -> Result<Vec<RemoteGroup>, Fault> {
        self.by_name(cx, name).await?.iter().map(|entry| group(&self.client, entry)).collect()
    }

    async fn get(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
        by_id(&self.client, cx, id, &[]).await?.map(|entry| group(&self.client, &entry)).transpose()
    }

    async fn create(&self, cx: &Cx<'_>, want: &GroupWant) -> Result<GroupCreated, Fault> {
        let name = want.name.trim();
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Fault::new(
                FaultKind::Refused,
                "The group's name is empty or holds control characters, which no directory takes. Correct it at the identity provider.",
            ));
        }
        match self.by_name(cx, name).await?.first() {
            Some(there) => Ok(GroupCreated::AlreadyThere(group(&self.client, there)?)),
            None => self.add(cx, name).await,
        }
    }

    async fn update(&self, cx: &Cx<'_>, id: &RemoteId, change: &GroupChange) -> Result<GroupUpdated, Fault> {
        let Some(entry) = by_id(&self.client, cx, id, &[]).await? else {
            return Ok(GroupUpdated::AlreadyGone);
        };
        let Some(name) = change.name.as_deref().map(str::trim) else {
            return Ok(GroupUpdated::Done(group(&self.client, &entry)?));
        };
        if name_of(&entry) != name {
            for other in self.by_name(cx, name).await? {
                if self.client.shape.id_of(&other).as_ref() != Some(id) {
                    return Err(Fault::new(
                        FaultKind::NameTaken,
                        "Another group has this name. Rename or remove that one, or choose another name.",
                    ));
                }
            }
            let request = Request::rename(&entry.dn, &format!("cn={}", dn::escape(name)), None);
            let answer = self.client.one(cx, "rename group", Repeat::Idempotent, "group", request).await?;
            match answer.code {
                code::SUCCESS => {}
                code::NO_SUCH_OBJECT => return Ok(GroupUpdated::AlreadyGone),
                code::ENTRY_EXISTS => return Err(taken(&self.client, "rename group", &answer)),
                _ => return Err(self.client.fault("rename group", &answer)),
            }
        }
        let Some(entry) = by_id(&self.client, cx, id, &[]).await? else {
            return Ok(GroupUpdated::AlreadyGone);
        };
        self.second_name(cx, &entry, name).await?;
        Ok(GroupUpdated::Done(group(&self.client, &entry)?))
    }

    async fn remove(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Removed, Fault> {
        let Some(entry) = by_id(&self.client, cx, id, &[]).await? else {
            return Ok(Removed::AlreadyGone);
        };
        let answer =
            self.client.one(cx, "delete group", Repeat::Idempotent, "group", Request::delete(&entry.dn)).await?;
        match answer.code {
            code::SUCCESS => Ok(Removed::Done),
            code::NO_SUCH_OBJECT => match by_id(&self.client, cx, id, &[]).await? {
                None => Ok(Removed::AlreadyGone),
                Some(_) => Err(self.client.fault("delete group", &answer).retry(Retry::Soon)),
            },
            _ => Err(self.client.fault("delete group", &answer)),
        }
    }

    async fn members(&self, cx: &Cx<'_>, id: &RemoteId, page: Option<&PageToken>) -> Result<Page<Member>, Fault> {
        members::list(&self.client, cx, id, page).await
    }

    async fn change_members(
        &self,
        cx: &Cx<'_>,
        id: &RemoteId,
        add: &[AccountRef],
        remove: &[AccountRef],
    ) -> Vec<Result<Membership, Fault>> {
        members::change(&self.client, cx, id, add, remove).await
    }
}

/// Whether the kind of server can hold groups of that class at all, for the words of a probe.
pub(super) fn fits(directory: Directory, class: GroupClass) -> bool {
    (directory == Directory::ActiveDirectory) == (class == GroupClass::Group)
}
