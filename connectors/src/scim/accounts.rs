//! People (RFC 7643 section 4.1).

use async_trait::async_trait;
use connector_sdk::{
    Account, AccountChange, AccountRef, AccountStatus, Accounts, Created, Cx, Evidence, Fault, FaultKind, Found, Page,
    PageToken, Person, RemoteId, Removal, Removed, Updated,
};
use http::{Method, header};
use serde_json::{Map, Value, json};

use super::Server;
use super::client::{Answer, odd};
use super::dialect::MemberValue;
use super::discovery::{Offer, Served};
use super::document::{self, Wanted};
use super::listing::Search;
use crate::shared::answer::Refused;
use crate::shared::answer::Success;
use crate::shared::shown_all_the_same;

/// What PATCH messages are (RFC 7644 section 3.5.2).
pub(super) const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// A resource as it was read, for writing it back.
pub(super) struct Read {
    pub(super) document: Map<String, Value>,
    /// What it is conditional on, where the server has versions (RFC 7644 section 3.14).
    pub(super) etag: Option<String>,
}

impl Server {
    /// One resource; `None` if it is not there.
    pub(super) async fn read(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        offer: &Offer,
        served: &Served,
        id: &str,
        query: &[(&str, &str)],
    ) -> Result<Option<Read>, Fault> {
        let mut call = self.client.call(name, Method::GET, &path(served, id)?);
        if !query.is_empty() {
            call.url.query_pairs_mut().extend_pairs(query);
        }
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => {
                let document: Map<String, Value> = success.json()?;
                if document::id(&document).is_none() {
                    return Err(odd(&success, "a resource without an id"));
                }
                let version = document::child(&document, "meta").and_then(|meta| meta["version"].as_str());
                let etag = success.reply.header(header::ETAG.as_str()).or(version).map(str::to_owned);
                Ok(Some(Read { document, etag: etag.filter(|_| offer.etag) }))
            }
            Answer::No(refusal) if refusal.absent() => {
                self.confirm_absence(cx, offer, served).await?;
                Ok(None)
            }
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    /// That a 404 speaks of the resource and not of the address: where the list is gone too, nothing is known.
    pub(super) async fn confirm_absence(&self, cx: &Cx<'_>, offer: &Offer, served: &Served) -> Result<(), Fault> {
        let name = if std::ptr::eq(served, &offer.users) { "list users" } else { "list groups" };
        self.client.peek(cx, name, served).await
    }

    /// Writes a whole resource, if it is still as it was read.
    pub(super) async fn put(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        served: &Served,
        id: &str,
        read: Read,
    ) -> Result<Answer, Fault> {
        let mut document = read.document;
        // The server's own; some refuse what it sends back to them.
        document.retain(|name, _| !["meta", "groups"].iter().any(|own| own.eq_ignore_ascii_case(name)));
        strip(&mut document, served, self.client.dialect.bare_put);
        let call = self.client.call(name, Method::PUT, &path(served, id)?);
        let mut call = self.client.body(call, &Value::Object(document));
        if let Some(etag) = read.etag {
            call = call.header(header::IF_MATCH, &etag);
        }
        self.client.send(cx, call).await
    }

    /// Sends operations of a PATCH.
    pub(super) async fn patch(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        served: &Served,
        id: &str,
        operations: &[Value],
    ) -> Result<Answer, Fault> {
        let call = self.client.call(name, Method::PATCH, &path(served, id)?);
        let body = json!({ "schemas": [PATCH], "Operations": operations });
        self.client.send(cx, self.client.body(call, &body)).await
    }

    /// The operations that set attributes.
    fn operations(&self, wanted: &[Wanted]) -> Vec<Value> {
        if self.client.dialect.patch_without_path {
            let mut value = Map::new();
            for one in wanted {
                one.put(&mut value);
            }
            return vec![json!({ "op": "replace", "value": value })];
        }
        wanted.iter().map(|one| json!({ "op": "replace", "path": one.path(), "value": one.value })).collect()
    }

    /// What a write's answer shows, else what a read does: 204 has nothing to show, and some answers hold a part only.
    async fn shown(
        &self,
        cx: &Cx<'_>,
        offer: &Offer,
        id: &str,
        success: &Success,
        active: Option<bool>,
    ) -> Result<Updated, Fault> {
        if !success.is_empty() {
            let document: Map<String, Value> = success.json()?;
            if let Some(account) = document::account(&document)
                && (active.is_none() || document::active(&document) == active)
            {
                return Ok(Updated::Done(account));
            }
        }
        let Some(read) = self.read(cx, "get user", offer, &offer.users, id, &[]).await? else {
            return Ok(Updated::AlreadyGone);
        };
        let account = document::account(&read.document).ok_or_else(|| odd(success, "a person without an id"))?;
        if let Some(wanted) = active
            && document::active(&read.document).unwrap_or(wanted) != wanted
        {
            return Err(Fault::new(
                FaultKind::Refused,
                format!("{} answered that `active` was set, and still shows it as it was.", self.client.dialect.server),
            )
            .context("set active: not as asked"));
        }
        Ok(Updated::Done(account))
    }

    /// Sets attributes: those that are not as wanted, by PATCH or by writing the whole.
    async fn write(
        &self,
        cx: &Cx<'_>,
        id: &str,
        name: &'static str,
        wanted: Vec<Wanted>,
        active: Option<bool>,
    ) -> Result<Updated, Fault> {
        let mut offer = self.discovery.offer(cx, &self.client).await?;
        // `active` alone is one operation; what else differs is seen by reading first.
        let mut read = None;
        let mut changes = wanted;
        if active.is_none() || !offer.patch {
            let Some(found) = self.read(cx, "get user", &offer, &offer.users, id, &[]).await? else {
                return Ok(Updated::AlreadyGone);
            };
            changes.retain(|one| !one.holds(&found.document) && !one.immutable);
            if changes.is_empty() {
                let account = document::account(&found.document);
                return account.map(Updated::Done).ok_or_else(malformed);
            }
            read = Some(found);
        }
        if offer.patch {
            let answer = self.patch(cx, name, &offer.users, id, &self.operations(&changes)).await?;
            match answer {
                Answer::Yes(success) => return self.shown(cx, &offer, id, &success, active).await,
                Answer::No(refusal) if refusal.unsupported() => {
                    offer = self.discovery.without_patch(cx, &offer).await;
                }
                Answer::No(refusal) if refusal.absent() => return self.not_changed(cx, &offer, id).await,
                Answer::No(refusal) => return Err(refusal.fault()),
            }
        }
        let mut read = match read {
            Some(read) => read,
            None => match self.read(cx, "get user", &offer, &offer.users, id, &[]).await? {
                Some(read) => read,
                None => return Ok(Updated::AlreadyGone),
            },
        };
        for one in &changes {
            one.put(&mut read.document);
            if let (Some(urn), Some(Value::Array(schemas))) = (&one.extension, read.document.get_mut("schemas"))
                && !schemas.iter().any(|known| known.as_str().is_some_and(|known| known.eq_ignore_ascii_case(urn)))
            {
                schemas.push(Value::from(urn.clone()));
            }
        }
        document::fill(&mut read.document, &offer.users);
        match self.put(cx, "replace user", &offer.users, id, read).await? {
            Answer::Yes(success) => self.shown(cx, &offer, id, &success, active).await,
            Answer::No(refusal) if refusal.absent() => self.not_changed(cx, &offer, id).await,
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    /// What a 404 for a change means: the user is gone, unless the server shows them all the same.
    async fn not_changed(&self, cx: &Cx<'_>, offer: &Offer, id: &str) -> Result<Updated, Fault> {
        self.confirm_absence(cx, offer, &offer.users).await?;
        match self.read(cx, "get user", offer, &offer.users, id, &[]).await? {
            Some(_) => Err(shown_all_the_same("The target")),
            None => Ok(Updated::AlreadyGone),
        }
    }

    async fn find_named(&self, cx: &Cx<'_>, offer: &Offer, name: &str) -> Result<Vec<Found>, Fault> {
        let wanted = scim::fold::fold_text(name);
        let is = |document: &Map<String, Value>| {
            let named = document::child(document, "userName").and_then(Value::as_str);
            named.is_some_and(|named| scim::fold::fold_text(named) == wanted)
        };
        let search = Search { names: ("find user", "list users"), attribute: "userName", value: name, query: &[] };
        let found = self.client.search(cx, search, offer, &offer.users, is).await?;
        let found = found.iter().filter_map(document::account);
        Ok(found.map(|account| Found { account, evidence: Evidence::Login }).collect())
    }

    /// Sets `active`.
    async fn activate(&self, cx: &Cx<'_>, id: &str, active: bool) -> Result<Updated, Fault> {
        let name = if active { "restore user" } else { "suspend user" };
        let wanted =
            Wanted { extension: None, name: "active".to_owned(), value: Value::Bool(active), immutable: false };
        self.write(cx, id, name, vec![wanted], Some(active)).await
    }
}

/// Leaves out what the server declares as its own; of a bare document, everything that is not declared.
fn strip(document: &mut Map<String, Value>, served: &Served, bare: bool) {
    document.retain(|name, _| match served.attribute(name) {
        Some(attribute) => !attribute.read_only,
        None => !bare || name.eq_ignore_ascii_case("schemas"),
    });
}

fn malformed() -> Fault {
    Fault::new(FaultKind::Malformed, "The server shows a person without an id.").context("get user: no id")
}

/// The path of a resource.
///
/// # Errors
/// `Malformed` for an id that would be another path.
pub(super) fn path<'a>(served: &'a Served, id: &'a str) -> Result<Vec<&'a str>, Fault> {
    if id.is_empty() || id == "." || id == ".." || id.len() > 500 {
        return Err(Fault::new(FaultKind::NotFound, "The server cannot have a resource of this id.")
            .context("an id that is no path segment"));
    }
    Ok(served.endpoint.iter().map(String::as_str).chain([id]).collect())
}

#[async_trait]
impl Accounts for Server {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        let offer = self.discovery.offer(cx, &self.client).await?;
        let listed = self.client.page(cx, "list users", &offer, &offer.users, &[], page).await?;
        let items = listed.items.iter().filter_map(document::account);
        let items = items.filter(|account| !self.is_placeholder(account));
        Ok(Page { items: items.collect(), next: listed.next, complete: listed.complete })
    }

    async fn find(&self, cx: &Cx<'_>, who: &Person) -> Result<Vec<Found>, Fault> {
        let name = document::user_name(&self.client.dialect, who)?;
        let offer = self.discovery.offer(cx, &self.client).await?;
        self.find_named(cx, &offer, &name).await
    }

    async fn get(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Option<Account>, Fault> {
        let offer = self.discovery.offer(cx, &self.client).await?;
        let read = self.read(cx, "get user", &offer, &offer.users, at.id(), &[]).await?;
        Ok(read.and_then(|read| document::account(&read.document)))
    }

    async fn create(&self, cx: &Cx<'_>, want: &Person) -> Result<Created, Fault> {
        let offer = self.discovery.offer(cx, &self.client).await?;
        let name = document::user_name(&self.client.dialect, want)?;
        let body = document::creation(&self.client.dialect, &offer.users, want)?;
        if self.client.dialect.look_before_create
            && let Some(found) = self.find_named(cx, &offer, &name).await?.into_iter().next()
        {
            return Ok(Created::AlreadyThere(found));
        }
        let path: Vec<&str> = offer.users.endpoint.iter().map(String::as_str).collect();
        let call = self.client.call("create user", Method::POST, &path);
        match self.client.send(cx, self.client.body(call, &Value::Object(body))).await? {
            Answer::Yes(success) => self.created(&success).map(Created::Done),
            Answer::No(refusal) if refusal.taken() => {
                match self.find_named(cx, &offer, &name).await?.into_iter().next() {
                    Some(found) => Ok(Created::AlreadyThere(found)),
                    // Something else than the user name: an address, an externalId.
                    None => Err(refusal.because(
                        FaultKind::NameTaken,
                        &format!(
                            "{} says that something of this person is taken by another.",
                            self.client.dialect.server
                        ),
                    )),
                }
            }
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn update(&self, cx: &Cx<'_>, at: &AccountRef, change: &AccountChange) -> Result<Updated, Fault> {
        let offer = self.discovery.offer(cx, &self.client).await?;
        let mut wanted = match &change.person {
            Some(person) => document::wanted(&self.client.dialect, &offer.users, person)?,
            None => document::told(&self.client.dialect, &offer.users, change),
        };
        if self.client.dialect.role
            && let Some(role) = &change.role
        {
            let value = json!([{ "value": role, "primary": true }]);
            wanted.push(Wanted { extension: None, name: "roles".to_owned(), value, immutable: false });
        }
        self.write(cx, at.id(), "update user", wanted, None).await
    }

    async fn set_active(&self, cx: &Cx<'_>, at: &AccountRef, active: bool) -> Result<Updated, Fault> {
        self.activate(cx, at.id(), active).await
    }

    async fn remove(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Removed, Fault> {
        let offer = self.discovery.offer(cx, &self.client).await?;
        let id = at.id();
        if self.stands_in(id) {
            return Err(Fault::new(
                FaultKind::Protected,
                "This account stands in the groups that may not be empty (`placeholder_member`); it is not removed.",
            ));
        }
        if self.client.dialect.removal == Removal::Suspended {
            let Some(read) = self.read(cx, "get user", &offer, &offer.users, id, &[]).await? else {
                return Ok(Removed::AlreadyGone);
            };
            if document::account(&read.document).is_some_and(|account| account.status == AccountStatus::Suspended) {
                return Ok(Removed::AlreadyGone);
            }
            return match self.activate(cx, id, false).await? {
                Updated::Done(_) => Ok(Removed::Done),
                _ => Ok(Removed::AlreadyGone),
            };
        }
        let call = self.client.call("delete user", Method::DELETE, &path(&offer.users, id)?);
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => success.done().map(|()| Removed::Done),
            Answer::No(refusal) if refusal.absent() => {
                self.confirm_absence(cx, &offer, &offer.users).await?;
                let read = self.read(cx, "get user", &offer, &offer.users, id, &[]).await?;
                let shown = read.and_then(|read| document::account(&read.document));
                // Some servers keep who was deleted, as suspended.
                if shown.is_some_and(|account| account.status == AccountStatus::Active) {
                    return Err(shown_all_the_same("The target"));
                }
                Ok(Removed::AlreadyGone)
            }
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }
}

impl Server {
    /// The account of a creation's answer; a Location names it where the body does not (RFC 7644 section 3.3).
    fn created(&self, success: &Success) -> Result<Account, Fault> {
        if !success.is_empty()
            && let Some(account) = document::account(&success.json()?)
        {
            return Ok(account);
        }
        let location = success.reply.header(header::LOCATION.as_str()).unwrap_or_default();
        let id = location.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/').rsplit('/').next();
        match id.filter(|id| !id.is_empty() && success.is_empty()) {
            Some(id) => Ok(Account::active(RemoteId::new(id))),
            None => Err(odd(success, "a creation without an id")),
        }
    }

    /// Whether a member's value is the placeholder's.
    pub(super) fn stands_in(&self, value: &str) -> bool {
        self.client.dialect.placeholder.as_deref() == Some(value)
    }

    fn is_placeholder(&self, account: &Account) -> bool {
        let value = match self.client.dialect.member_value {
            MemberValue::Id => account.remote_id.as_ref().map(RemoteId::as_str),
            MemberValue::UserName => account.login.as_deref(),
        };
        value.is_some_and(|value| self.stands_in(value))
    }
}
