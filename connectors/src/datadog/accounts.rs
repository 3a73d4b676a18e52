//! People: users of the organisation.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use connector_sdk::{
    Account, AccountChange, AccountRef, AccountStatus, Accounts, Created, Cx, Effect, Evidence, Fault, FaultKind,
    Found, Page, PageToken, Person, RemoteId, Removed, Retry, Updated,
};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Answer, Client, MOST_PAGES};
use super::roles::Roles;
use super::settings::{GroupsAre, Settings};
use crate::shared::answer::Refused;
use crate::shared::{email, endless, held_id, no_address, remote_id, same_address, shown_all_the_same};

/// Why the key's own account is left alone.
const OWN: &str = "This account is the one that the gateway's application key belongs to. Disabling or changing it would end the gateway's access.";
/// The longest name (the vendor's description of `UserUpdateAttributes.name`).
const LONGEST_NAME: usize = 55;
/// The most addresses that are kept in mind as unanswered.
const MOST_UNANSWERED: usize = 10_000;

/// People of one organisation.
pub(super) struct People {
    /// The way there.
    pub(super) client: Arc<Client>,
    /// How to create people.
    pub(super) settings: Arc<Settings>,
    /// The organisation's roles.
    pub(super) roles: Arc<Roles>,
    /// Addresses whose creation or invitation was sent and has no answer yet.
    pub(super) unanswered: Mutex<BTreeSet<String>>,
}

#[derive(Deserialize)]
pub(super) struct User {
    pub(super) id: String,
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    relationships: Relationships,
}

#[derive(Default, Deserialize)]
struct Attributes {
    email: Option<String>,
    handle: Option<String>,
    name: Option<String>,
    status: Option<String>,
    disabled: Option<bool>,
    service_account: Option<bool>,
}

#[derive(Default, Deserialize)]
struct Relationships {
    #[serde(default)]
    roles: Many,
}

#[derive(Default, Deserialize)]
struct Many {
    #[serde(default)]
    data: Vec<Identified>,
}

#[derive(Deserialize)]
struct Identified {
    id: String,
}

#[derive(Deserialize)]
struct One {
    data: User,
}

impl User {
    fn disabled(&self) -> bool {
        self.attributes.disabled == Some(true)
            || self.attributes.status.as_deref().is_some_and(|status| status.eq_ignore_ascii_case("disabled"))
    }

    fn pending(&self) -> bool {
        self.attributes.status.as_deref().is_some_and(|status| status.eq_ignore_ascii_case("pending"))
    }

    /// The name people sign in with, which is the address unless it was changed since.
    fn goes_by(&self, email: &str) -> bool {
        same_address(self.attributes.email.as_deref(), email) || same_address(self.attributes.handle.as_deref(), email)
    }
}

fn user_body(id: &str, attributes: Value) -> Value {
    json!({ "data": { "type": "users", "id": id, "attributes": attributes } })
}

/// A name as Datadog takes it: without angle brackets, and no longer than it may be.
fn fitting(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '<' | '>')).take(LONGEST_NAME).collect()
}

impl People {
    async fn account(&self, cx: &Cx<'_>, user: User) -> Result<Account, Fault> {
        let own = self.client.own(cx).await?;
        let id = remote_id("Datadog", &user.id)?;
        let suspended = user.disabled();
        let mut account = Account::active(id);
        account.protected = account.remote_id.as_ref() == Some(own);
        if self.settings.groups == GroupsAre::Teams {
            let held: Vec<&str> = user.relationships.roles.data.iter().map(|role| role.id.as_str()).collect();
            account.role = self.roles.managed_of(cx, &held).await?;
        }
        account.login = user.attributes.handle;
        account.email = user.attributes.email;
        account.display_name = user.attributes.name;
        if suspended {
            account.status = AccountStatus::Suspended;
        }
        Ok(account)
    }

    async fn user(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<User>, Fault> {
        let call = self.client.call("get user", Method::GET, &["users", held_id("Datadog", id.as_str())?]);
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => Ok(Some(success.json::<One>()?.data)),
            Answer::No(refusal) if refusal.absent() => Ok(None),
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    /// The users who go by that address. The filter searches names and addresses for a part.
    async fn by_email(&self, cx: &Cx<'_>, email: &str) -> Result<Vec<User>, Fault> {
        let mut found = Vec::new();
        let mut page: Option<PageToken> = None;
        for _ in 0..MOST_PAGES {
            let mut call = self.client.call("find users", Method::GET, &["users"]);
            call.url.query_pairs_mut().append_pair("filter", email);
            let (users, next) = self.client.numbered::<User>(cx, call, page.as_ref()).await?.ok_or_else(no_users)?;
            found.extend(users.into_iter().filter(|user| user.goes_by(email)));
            page = next;
            if page.is_none() {
                return Ok(found);
            }
        }
        Err(endless("Datadog", MOST_PAGES))
    }

    async fn found(&self, cx: &Cx<'_>, users: Vec<User>) -> Result<Vec<Found>, Fault> {
        let mut found = Vec::with_capacity(users.len());
        for user in users {
            found.push(Found { account: self.account(cx, user).await?, evidence: Evidence::Email });
        }
        Ok(found)
    }

    /// Mails an invitation to a user who is there.
    async fn invite(&self, cx: &Cx<'_>, id: &str) -> Result<(), Fault> {
        let user = json!({ "data": { "type": "users", "id": id } });
        let body = json!({ "data": [{ "type": "user_invitations", "relationships": { "user": user } }] });
        let call = self.client.call("send invitation", Method::POST, &["user_invitations"]).json(&body);
        // Whatever came of it: there is a user now, so that nothing happened is not so.
        let answer = self.client.send(cx, call).await.map_err(|fault| fault.effect(Effect::Unknown))?;
        let refusal = match answer {
            Answer::Yes(success) => return success.done(),
            Answer::No(refusal) => refusal,
        };
        Err(refusal
            .because(
                FaultKind::Refused,
                "Datadog created the person but sends no invitation. Send it there by hand, or turn `send_invitations` off where everybody signs in by SAML.",
            )
            .retry(Retry::AfterOperator)
            .effect(Effect::Unknown))
    }

    async fn patch(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        id: &RemoteId,
        attributes: Value,
    ) -> Result<Option<User>, Fault> {
        let key = held_id("Datadog", id.as_str())?;
        let call = self.client.call(name, Method::PATCH, &["users", key]).json(&user_body(key, attributes));
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => Ok(Some(success.json::<One>()?.data)),
            Answer::No(refusal) if refusal.absent() => match self.user(cx, id).await? {
                Some(_) => Err(shown_all_the_same("Datadog")),
                None => Ok(None),
            },
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }
}

fn no_users() -> Fault {
    Fault::new(
        FaultKind::Malformed,
        "Datadog has no list of users at this address. Check the settings `site` and `api_url`.",
    )
    .effect(Effect::None)
}

fn account_of(at: &AccountRef) -> Result<&RemoteId, Fault> {
    match at {
        AccountRef::Account { id, .. } => Ok(id),
        AccountRef::Invite { .. } => {
            Err(Fault::new(FaultKind::Refused, "Datadog's people are users from the beginning."))
        }
    }
}

#[async_trait]
impl Accounts for People {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        let own = self.client.own(cx).await?.clone();
        let call = self.client.call("list users", Method::GET, &["users"]);
        let (users, next) = self.client.numbered::<User>(cx, call, page).await?.ok_or_else(no_users)?;
        let mut items = Vec::with_capacity(users.len());
        for user in users {
            // A service account is nobody's, but for the one that the credential may be.
            if user.attributes.service_account != Some(true) || user.id == own.as_str() {
                items.push(self.account(cx, user).await?);
            }
        }
        Ok(Page { items, next, complete: true })
    }

    async fn find(&self, cx: &Cx<'_>, who: &Person) -> Result<Vec<Found>, Fault> {
        match email(who) {
            Some(email) => {
                let users = self.by_email(cx, &email).await?;
                self.found(cx, users).await
            }
            None => Ok(Vec::new()),
        }
    }

    async fn get(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Option<Account>, Fault> {
        match at {
            AccountRef::Account { id, .. } => match self.user(cx, id).await? {
                Some(user) => self.account(cx, user).await.map(Some),
                None => Ok(None),
            },
            AccountRef::Invite { .. } => Ok(None),
        }
    }

    async fn create(&self, cx: &Cx<'_>, want: &Person) -> Result<Created, Fault> {
        let email = email(want).ok_or_else(|| no_address("Datadog", want))?;
        let role = want.role.as_deref().unwrap_or(&self.settings.default_role);
        let role = self.roles.id_of(cx, role).await?;
        let mut attributes = json!({ "email": email });
        if let Some(name) = &want.display_name {
            attributes["name"] = Value::from(fitting(name));
        }
        let body = json!({ "data": {
            "type": "users",
            "attributes": attributes,
            "relationships": { "roles": { "data": [{ "type": "roles", "id": role }] } },
        }});
        // Looked first: a second creation of a user who was disabled may enable them.
        let there = self.by_email(cx, &email).await?;
        if !there.is_empty() {
            return self.is_there(cx, there, &email).await;
        }
        let call = self.client.call("create user", Method::POST, &["users"]).json(&body);
        self.unanswered(&email, true);
        let answer = match self.client.send(cx, call).await {
            Err(fault) if fault.effect == Effect::None => {
                self.unanswered(&email, false);
                return Err(fault);
            }
            other => other?,
        };
        if let Answer::No(_) = &answer {
            self.unanswered(&email, false);
        }
        let user = match answer {
            Answer::Yes(success) => success.json::<One>()?.data,
            Answer::No(refusal) if refusal.conflict() => {
                let there = self.by_email(cx, &email).await?;
                if !there.is_empty() {
                    return self.is_there(cx, there, &email).await;
                }
                return Err(refusal
                    .because(
                        FaultKind::Refused,
                        "Datadog says that this person is there already, but does not show a user with that address: the search may lag, or the user was disabled before signing in for the first time. Look in Datadog's user management.",
                    )
                    .retry(Retry::Soon));
            }
            Answer::No(refusal) => {
                return Err(refusal.because(FaultKind::Refused, "Datadog does not create this person."));
            }
        };
        let id = user.id.clone();
        let account = self.account(cx, user).await.map_err(|fault| fault.effect(Effect::Unknown))?;
        if self.settings.send_invitations {
            self.invite(cx, &id).await?;
        }
        self.unanswered(&email, false);
        Ok(Created::Done(account))
    }

    async fn update(&self, cx: &Cx<'_>, at: &AccountRef, change: &AccountChange) -> Result<Updated, Fault> {
        let id = account_of(at)?;
        let Some(mut user) = self.user(cx, id).await? else {
            return Ok(Updated::AlreadyGone);
        };
        if self.client.own(cx).await? == id && !change.is_empty() {
            return Err(Fault::new(FaultKind::Protected, OWN));
        }
        let mut attributes = json!({});
        if let Some(name) = change.display_name.as_deref().map(fitting)
            && user.attributes.name.as_deref() != Some(name.as_str())
        {
            attributes["name"] = Value::from(name);
        }
        if attributes.as_object().is_some_and(|some| !some.is_empty()) {
            match self.patch(cx, "update user", id, attributes).await? {
                Some(changed) => user = changed,
                None => return Ok(Updated::AlreadyGone),
            }
        }
        let mut account = self.account(cx, user).await?;
        if let Some(role) = &change.role
            && account.role.as_deref() != Some(role.as_str())
        {
            self.roles.give(cx, id.as_str(), role, account.role.as_deref()).await?;
            account.role = Some(role.clone());
        }
        Ok(Updated::Done(account))
    }

    async fn set_active(&self, cx: &Cx<'_>, at: &AccountRef, active: bool) -> Result<Updated, Fault> {
        let id = account_of(at)?;
        let Some(user) = self.user(cx, id).await? else {
            return Ok(Updated::AlreadyGone);
        };
        if user.disabled() != active {
            return self.account(cx, user).await.map(Updated::Done);
        }
        if self.client.own(cx).await? == id {
            return Err(Fault::new(FaultKind::Protected, OWN));
        }
        let name = if active { "enable user" } else { "disable user" };
        match self.patch(cx, name, id, json!({ "disabled": !active })).await? {
            Some(user) => self.account(cx, user).await.map(Updated::Done),
            None => Ok(Updated::AlreadyGone),
        }
    }

    async fn remove(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Removed, Fault> {
        let id = account_of(at)?;
        if self.client.own(cx).await? == id {
            return Err(Fault::new(FaultKind::Protected, OWN));
        }
        let key = held_id("Datadog", id.as_str())?;
        match self.user(cx, id).await? {
            None => return Ok(Removed::AlreadyGone),
            Some(user) if user.disabled() => return Ok(Removed::AlreadyGone),
            Some(user) if user.pending() => {
                // The mail that is out must not open the door again.
                let call = self.client.call("cancel invitations", Method::DELETE, &["users", key, "invitations"]);
                match self.client.send(cx, call).await? {
                    Answer::Yes(success) => success.done()?,
                    Answer::No(refusal) if refusal.absent() => {}
                    Answer::No(refusal) => return Err(refusal.fault()),
                }
            }
            Some(_) => {}
        }
        let call = self.client.call("remove user", Method::DELETE, &["users", key]);
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => success.done().map(|()| Removed::Done),
            // Datadog answers so for one who is disabled, too.
            Answer::No(refusal) if refusal.absent() => match self.user(cx, id).await? {
                Some(user) if !user.disabled() => Err(refusal.because(
                    FaultKind::Refused,
                    "Datadog says that this user is not there, and shows them at the same time.",
                )),
                _ => Ok(Removed::AlreadyGone),
            },
            Answer::No(refusal) if refusal.status == StatusCode::BAD_REQUEST => {
                Err(refusal.because(FaultKind::Protected, "Datadog does not disable this user."))
            }
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }
}

impl People {
    /// Keeps in mind that an answer is due, or came. What is forgotten costs a person their mail.
    fn unanswered(&self, email: &str, due: bool) {
        let mut all = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        if !due {
            all.remove(email);
        } else if all.len() < MOST_UNANSWERED {
            all.insert(email.to_owned());
        }
    }

    fn is_unanswered(&self, email: &str) -> bool {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner).contains(email)
    }

    /// Somebody is there already. If our own creation made them and its answer was lost, their
    /// invitation was never sent: it goes out now.
    async fn is_there(&self, cx: &Cx<'_>, users: Vec<User>, email: &str) -> Result<Created, Fault> {
        if self.settings.send_invitations
            && let [one] = users.as_slice()
            && one.pending()
            && !one.disabled()
            && self.is_unanswered(email)
        {
            self.invite(cx, held_id("Datadog", &one.id)?).await?;
        }
        self.unanswered(email, false);
        let found = self.found(cx, users).await?.into_iter().next();
        found.map(Created::AlreadyThere).ok_or_else(no_users)
    }
}
