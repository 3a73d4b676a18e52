//! People: entries below the branch of people.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    Account, AccountChange, AccountRef, AccountStatus, Accounts, Created, Cx, Evidence, Fault, FaultKind, Found, Page,
    PageToken, Person, RemoteId, Removed, Repeat, Updated,
};

use super::client::Client;
use super::dn;
use super::filter::Filter;
use super::groups;
use super::message::{Attributes, Change, Entry, Request, Values, code};
use super::settings::NewPassword;
use super::shape::{Locking, People};

/// The bit of `userAccountControl` that disables an account (learn.microsoft.com, "UserAccountControl property flags").
const ACCOUNT_DISABLED: u32 = 2;
/// `userAccountControl` of an ordinary account.
const NORMAL_ACCOUNT: u32 = 512;
/// The longest `sAMAccountName` of a person (MS-ADTS, section 3.1.1.6; learn.microsoft.com, "SAM-Account-Name attribute").
const LONGEST_SAM: usize = 20;

/// The people of a directory.
pub(super) struct Directory {
    pub(super) client: Arc<Client>,
}

impl Directory {
    fn people(&self) -> &People {
        &self.client.shape.people
    }

    /// An entry as the engine knows accounts.
    pub(super) fn account(&self, entry: &Entry) -> Result<Account, Fault> {
        account(&self.client, entry)
    }

    /// The entry of an id, in any of the branches.
    async fn entry(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<Entry>, Fault> {
        self.entry_with(cx, id, &[]).await
    }

    async fn entry_with(&self, cx: &Cx<'_>, id: &RemoteId, more: &[&str]) -> Result<Option<Entry>, Fault> {
        let shape = &self.client.shape;
        let mut wanted = shape.person_attributes();
        wanted.extend(more);
        self.client.by_id(cx, "find entry", &shape.user_bases(), &shape.people.filter, id, &wanted).await
    }

    /// The entry as it is after a write; what it was before serves where it is gone meanwhile.
    async fn updated(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Updated, Fault> {
        match self.entry(cx, id).await? {
            Some(entry) => Ok(Updated::Done(self.account(&entry)?)),
            None => Ok(Updated::AlreadyGone),
        }
    }

    async fn by_login(&self, cx: &Cx<'_>, who: &Person) -> Result<Vec<Entry>, Fault> {
        let shape = &self.client.shape;
        let filter = Filter::And(vec![shape.people.filter.clone(), Filter::equal(&shape.people.login, &who.user_name)]);
        self.client.search(cx, "find people", &shape.user_bases(), &filter, &shape.person_attributes()).await
    }

    /// Whoever has that login, as the answer to a creation.
    async fn there_already(&self, cx: &Cx<'_>, who: &Person) -> Result<Option<Created>, Fault> {
        match self.by_login(cx, who).await?.first() {
            None => Ok(None),
            Some(entry) => {
                let account = self.account(entry)?;
                Ok(Some(Created::AlreadyThere(Found { account, evidence: Evidence::Login })))
            }
        }
    }

    /// The name and attributes of a new entry, or what keeps it from being one.
    fn new_entry(&self, who: &Person) -> Result<(String, Attributes), Fault> {
        self.sound(who)?;
        let (dn, mut attributes) = self.people().entry(who).map_err(|why| {
            Fault::new(
                FaultKind::Incomplete,
                format!("No entry can be made of this record: {why}. Send what is missing, or change the setting rdn."),
            )
        })?;
        let sam = attributes.iter().find(|(name, _)| name.eq_ignore_ascii_case("sAMAccountName"));
        if let Some((_, values)) = sam
            && values.iter().any(|value| String::from_utf8_lossy(value).chars().count() > LONGEST_SAM)
        {
            return Err(Fault::new(
                FaultKind::Refused,
                format!(
                    "The sAMAccountName would be longer than {LONGEST_SAM} characters, which Active Directory does not take. Name another source in the setting attributes, such as sAMAccountName={{nickName}}."
                ),
            ));
        }
        match &self.people().locking {
            Locking::Uac => {
                attributes.push(("userAccountControl".to_owned(), vec![NORMAL_ACCOUNT.to_string().into_bytes()]));
            }
            Locking::Attribute { name, open: Some(open), .. } => {
                attributes.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
                attributes.push((name.clone(), vec![open.clone().into_bytes()]));
            }
            _ => {}
        }
        if self.people().new_password == NewPassword::Random {
            attributes.push(password(self.client.shape.directory));
        }
        Ok((dn, attributes))
    }

    fn sound(&self, who: &Person) -> Result<(), Fault> {
        if who.user_name.trim().is_empty() || who.user_name.chars().any(char::is_control) {
            return Err(Fault::new(
                FaultKind::Refused,
                "The userName is empty or holds control characters, which no directory takes. Correct it at the identity provider.",
            ));
        }
        Ok(())
    }

    /// What is to change at an entry, and its new name if it gets one: all that is filled from the person, or only
    /// from what the change names.
    fn changes(&self, entry: &Entry, change: &AccountChange) -> (Vec<Change>, Option<String>) {
        let people = self.people();
        let whole = change.person.is_some();
        let login = || Person::named(entry.text(&people.login).unwrap_or_default());
        let mut who = change.person.as_deref().cloned().unwrap_or_else(login);
        let mut touched = Vec::new();
        if let Some(name) = &change.display_name {
            who.display_name = Some(name.clone());
            touched.push("displayName");
        }
        if let Some(address) = &change.email {
            who.email = Some(address.clone());
            touched.extend(["emails", "email"]);
        }
        let (rdn_name, rdn_template) = &people.rdn;
        let mut changes = Vec::new();
        for (name, template) in &people.attributes {
            let concerns = whole || touched.iter().any(|path| template.names(path));
            if !concerns || name.eq_ignore_ascii_case(rdn_name) {
                continue;
            }
            let values: Vec<Vec<u8>> = template.values(&who).into_iter().map(String::into_bytes).collect();
            let has = entry.values(name);
            // The login is never taken away: nobody would find the entry by it again.
            let kept = values.is_empty() && name.eq_ignore_ascii_case(&people.login);
            if !kept && (has.len() != values.len() || values.iter().any(|value| !has.contains(value))) {
                changes.push(Change::Replace(name.clone(), values));
            }
        }
        let concerns = whole || touched.iter().any(|path| rdn_template.names(path));
        let rdn = concerns.then(|| rdn_template.value(&who)).flatten();
        let rdn = rdn.filter(|value| dn::rdn_value(&entry.dn, rdn_name).as_ref() != Some(value));
        (changes, rdn.map(|value| format!("{rdn_name}={}", dn::escape(&value))))
    }

    /// Renames or moves an entry, and takes its memberships along.
    async fn rename(&self, cx: &Cx<'_>, entry: &Entry, rdn: &str, parent: Option<&str>) -> Result<bool, Fault> {
        let request = Request::rename(&entry.dn, rdn, parent);
        let answer = self.client.one(cx, "rename entry", Repeat::Idempotent, "person", request).await?;
        match answer.code {
            code::SUCCESS => {}
            code::NO_SUCH_OBJECT => return Ok(false),
            code::ENTRY_EXISTS => {
                return Err(self.client.refused(
                    "rename entry",
                    &answer,
                    FaultKind::NameTaken,
                    "Another entry has the name that this one would get. Rename or remove that one.",
                ));
            }
            _ => return Err(self.client.fault("rename entry", &answer)),
        }
        let new = format!("{rdn},{}", parent.unwrap_or_else(|| dn::parent(&entry.dn)));
        groups::follow_name(&self.client, cx, &entry.dn, &new).await?;
        Ok(true)
    }

    async fn modify(&self, cx: &Cx<'_>, name: &'static str, entry: &Entry, changes: &[Change]) -> Result<(), Fault> {
        let request = Request::modify(&entry.dn, changes);
        let answer = self.client.one(cx, name, Repeat::Idempotent, "person", request).await?;
        match answer.code {
            // Gone meanwhile: the read that follows says so.
            code::SUCCESS | code::NO_SUCH_OBJECT => Ok(()),
            code::NO_SUCH_ATTRIBUTE => Err(self.client.refused(
                name,
                &answer,
                FaultKind::Unavailable,
                "The entry was changed by someone else in between; it is tried again.",
            )),
            _ => Err(self.client.fault(name, &answer)),
        }
    }
}

/// An entry as the engine knows accounts.
pub(super) fn account(client: &Client, entry: &Entry) -> Result<Account, Fault> {
    let people = &client.shape.people;
    let id = client.shape.id_of(entry).ok_or_else(|| client.no_id("read entry"))?;
    let mut account = Account::active(id);
    account.login = entry.text(&people.login).or_else(|| entry.text("sAMAccountName"));
    account.email = entry.text(&people.mail);
    account.display_name = entry.text("displayName").or_else(|| entry.text("cn"));
    account.status = if locked(people, entry) { AccountStatus::Suspended } else { AccountStatus::Active };
    account.protected = own(client, entry);
    Ok(account)
}

/// Whether an entry is locked.
fn locked(people: &People, entry: &Entry) -> bool {
    match &people.locking {
        Locking::Uac => control_of(entry).is_some_and(|control| control & ACCOUNT_DISABLED != 0),
        Locking::Attribute { name, locked, .. } => {
            entry.texts(name).iter().any(|value| value.eq_ignore_ascii_case(locked))
        }
        Locking::Move(base) => dn::within(&entry.dn, base),
        Locking::Delete => false,
    }
}

fn control_of(entry: &Entry) -> Option<u32> {
    entry.text("userAccountControl")?.trim().parse().ok()
}

/// Whether an entry is the gateway's own account.
fn own(client: &Client, entry: &Entry) -> bool {
    let bind = &client.shape.server.bind_dn;
    let who = client.who();
    if dn::same(&entry.dn, bind) || who.strip_prefix("dn:").is_some_and(|who| dn::same(&entry.dn, who)) {
        return true;
    }
    let is = |name: &str, value: &str| entry.text(name).is_some_and(|known| known.eq_ignore_ascii_case(value));
    // Active Directory answers `u:DOMAIN\name`, and takes a userPrincipalName in a bind.
    let short = who.strip_prefix("u:").and_then(|who| who.rsplit('\\').next()).unwrap_or_default();
    is("userPrincipalName", bind) || (!short.is_empty() && is("sAMAccountName", short))
}

/// A password that nobody knows.
fn password(directory: super::settings::Directory) -> (String, Values) {
    use std::fmt::Write as _;
    let mut text = String::from("aZ9-");
    for part in rand::random::<[u8; 24]>() {
        // Writing to a string does not fail.
        let _ = write!(text, "{part:02x}");
    }
    if directory == super::settings::Directory::ActiveDirectory {
        // In quotes and UTF-16LE (MS-ADTS, section 3.1.1.3.1.5.1).
        let quoted = format!("\"{text}\"");
        return ("unicodePwd".to_owned(), vec![quoted.encode_utf16().flat_map(u16::to_le_bytes).collect()]);
    }
    ("userPassword".to_owned(), vec![text.into_bytes()])
}

#[async_trait]
impl Accounts for Directory {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        let shape = &self.client.shape;
        let listed = self
            .client
            .page(cx, "list people", &shape.user_bases(), &shape.people.filter, &shape.person_attributes(), page)
            .await?;
        let items = listed.entries.iter().map(|entry| self.account(entry)).collect::<Result<_, _>>()?;
        Ok(Page { items, next: listed.next, complete: listed.complete })
    }

    async fn find(&self, cx: &Cx<'_>, who: &Person) -> Result<Vec<Found>, Fault> {
        let shape = &self.client.shape;
        let people = self.people();
        let mut any = vec![Filter::equal(&people.login, &who.user_name)];
        any.extend(who.email.as_ref().map(|address| Filter::equal(&people.mail, address)));
        let filter = Filter::And(vec![people.filter.clone(), Filter::Or(any)]);
        let entries =
            self.client.search(cx, "find people", &shape.user_bases(), &filter, &shape.person_attributes()).await?;
        let mut found = Vec::new();
        for entry in &entries {
            let account = self.account(entry)?;
            let has_login = entry.texts(&people.login).iter().any(|login| login.eq_ignore_ascii_case(&who.user_name));
            found.push(Found { account, evidence: if has_login { Evidence::Login } else { Evidence::Email } });
        }
        Ok(found)
    }

    async fn get(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Option<Account>, Fault> {
        match at {
            AccountRef::Account { id, .. } => self.entry(cx, id).await?.map(|entry| self.account(&entry)).transpose(),
            AccountRef::Invite { .. } => Ok(None),
        }
    }

    async fn create(&self, cx: &Cx<'_>, want: &Person) -> Result<Created, Fault> {
        let (dn, attributes) = self.new_entry(want)?;
        // The login need not be part of the name, and few servers keep it unique.
        if let Some(there) = self.there_already(cx, want).await? {
            return Ok(there);
        }
        let shape = &self.client.shape;
        let shown = shape.person_attributes();
        let request = Request::add(&dn, &attributes).post_read(&shown);
        let answer = self.client.one(cx, "add entry", Repeat::Verifiable, "person", request).await?;
        match answer.code {
            code::SUCCESS => {
                let entry = match answer.after.filter(|entry| shape.id_of(entry).is_some()) {
                    Some(entry) => Some(entry),
                    None => self.client.read(cx, "read entry", &dn, &shape.people.filter, &shown).await?,
                };
                match entry {
                    Some(entry) => Ok(Created::Done(self.account(&entry)?)),
                    None => Err(self.client.garbled("add entry", true)),
                }
            }
            // Success only if a look confirms it: made in between, or by a call whose answer was lost.
            code::ENTRY_EXISTS | code::CONSTRAINT => match self.there_already(cx, want).await? {
                Some(there) => Ok(there),
                None if answer.code == code::ENTRY_EXISTS => Err(self.client.refused(
                    "add entry",
                    &answer,
                    FaultKind::NameTaken,
                    "An entry of this name is there, and it is not this person's: it has another login, or is no person. Rename or remove it.",
                )),
                None => Err(self.client.fault("add entry", &answer)),
            },
            code::NO_SUCH_OBJECT => Err(self.client.refused(
                "add entry",
                &answer,
                FaultKind::Permission,
                "The branch of people is not there, or the gateway's account may not see it. Make it, or correct user_base.",
            )),
            _ => Err(self.client.fault("add entry", &answer)),
        }
    }

    async fn update(&self, cx: &Cx<'_>, at: &AccountRef, change: &AccountChange) -> Result<Updated, Fault> {
        let AccountRef::Account { id, .. } = at else {
            return Ok(Updated::AlreadyGone);
        };
        let mapped: Vec<&str> = self.people().attributes.iter().map(|(name, _)| name.as_str()).collect();
        let Some(entry) = self.entry_with(cx, id, &mapped).await? else {
            return Ok(Updated::AlreadyGone);
        };
        if own(&self.client, &entry) {
            return Err(protected());
        }
        if let Some(who) = &change.person {
            self.sound(who)?;
            let taken = self.by_login(cx, who).await?;
            if taken.iter().any(|other| self.client.shape.id_of(other).as_ref() != Some(id)) {
                return Err(Fault::new(
                    FaultKind::NameTaken,
                    "Another entry has the login that this one would get. Rename or remove that one.",
                ));
            }
            if let Some(login) = entry.text(&self.people().login) {
                groups::follow_login(&self.client, cx, &login, &who.user_name).await?;
            }
        }
        let (changes, rdn) = self.changes(&entry, change);
        if !changes.is_empty() {
            self.modify(cx, "modify entry", &entry, &changes).await?;
        }
        if let Some(rdn) = rdn {
            self.rename(cx, &entry, &rdn, None).await?;
        }
        self.updated(cx, id).await
    }

    async fn set_active(&self, cx: &Cx<'_>, at: &AccountRef, active: bool) -> Result<Updated, Fault> {
        let AccountRef::Account { id, .. } = at else {
            return Ok(Updated::AlreadyGone);
        };
        let Some(entry) = self.entry(cx, id).await? else {
            return Ok(Updated::AlreadyGone);
        };
        if !active && own(&self.client, &entry) {
            return Err(protected());
        }
        let is_active = !locked(self.people(), &entry);
        match &self.people().locking {
            Locking::Delete => return Err(Fault::new(FaultKind::Refused, "This instance deletes who is deactivated.")),
            Locking::Move(base) => {
                let place = if active { self.people().base.as_str() } else { base.as_str() };
                if is_active == active {
                    // A move whose answer was lost may have left memberships under the old name.
                    let former = if active { base.as_str() } else { self.people().base.as_str() };
                    let rdn = dn::rdn(&entry.dn);
                    groups::follow_name(&self.client, cx, &format!("{rdn},{former}"), &entry.dn).await?;
                } else {
                    self.rename(cx, &entry, dn::rdn(&entry.dn), Some(place)).await?;
                }
            }
            _ if is_active == active => return Ok(Updated::Done(self.account(&entry)?)),
            Locking::Uac => {
                let Some(now) = control_of(&entry) else {
                    return Err(Fault::new(
                        FaultKind::Permission,
                        "The entry shows no userAccountControl. Grant the gateway's account the right to read and write it.",
                    ));
                };
                let wanted = if active { now & !ACCOUNT_DISABLED } else { now | ACCOUNT_DISABLED };
                let bytes = |value: u32| vec![value.to_string().into_bytes()];
                // Both in one: whoever changed other bits meanwhile is not overwritten.
                let changes = [
                    Change::Delete("userAccountControl".to_owned(), bytes(now)),
                    Change::Add("userAccountControl".to_owned(), bytes(wanted)),
                ];
                self.modify(cx, "lock entry", &entry, &changes).await?;
            }
            Locking::Attribute { name, locked, open } => {
                let value = if active { open.as_ref() } else { Some(locked) };
                let values = value.map(|value| value.clone().into_bytes()).into_iter().collect();
                self.modify(cx, "lock entry", &entry, &[Change::Replace(name.clone(), values)]).await?;
            }
        }
        self.updated(cx, id).await
    }

    async fn remove(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Removed, Fault> {
        let AccountRef::Account { id, .. } = at else {
            return Ok(Removed::AlreadyGone);
        };
        let Some(entry) = self.entry(cx, id).await? else {
            return Ok(Removed::AlreadyGone);
        };
        if own(&self.client, &entry) {
            return Err(protected());
        }
        // Before the entry: afterwards nobody knows the name that would be left behind.
        groups::leave_all(&self.client, cx, &entry.dn, entry.text(&self.people().login).as_deref()).await?;
        let answer =
            self.client.one(cx, "delete entry", Repeat::Idempotent, "person", Request::delete(&entry.dn)).await?;
        match answer.code {
            code::SUCCESS => Ok(Removed::Done),
            code::NO_SUCH_OBJECT => match self.entry(cx, id).await? {
                None => Ok(Removed::AlreadyGone),
                // Renamed in between: the next try finds it.
                Some(_) => Err(self.client.fault("delete entry", &answer).retry(connector_sdk::Retry::Soon)),
            },
            _ => Err(self.client.fault("delete entry", &answer)),
        }
    }
}

fn protected() -> Fault {
    Fault::new(
        FaultKind::Protected,
        "This is the account that the gateway signs in with. It is never changed, locked or removed; take it out of the identity provider's assignment.",
    )
}
