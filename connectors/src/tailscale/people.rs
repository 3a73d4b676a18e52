//! People: users of the tailnet and invitations to it.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    Account, AccountChange, AccountRef, AccountStatus, Accounts, Created, Cx, Effect, Evidence, Fault, FaultKind,
    Followed, Found, InviteId, Need, Page, PageToken, Person, RemoteId, Removed, Repeat, Retry, Updated,
};
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::client::{Answer, Client, Refusal};
use super::groups::Teams;
use super::settings::Settings;
use crate::shared::answer::Refused;
use crate::shared::{email, held_id, invite_id, no_address, remote_id, same_address};

/// Why two accounts are left alone.
const LEFT_ALONE: &str =
    "This account is the one that the gateway's token belongs to, or the tailnet's owner, so it is left alone.";

/// What is said where a write is answered as if its object were not there.
const SHOWN: &str = "Tailscale answers as if this were not there, and shows it all the same. The token has to belong to a user who is an Admin.";

/// People of one tailnet.
pub(super) struct People {
    /// The way there.
    pub(super) client: Arc<Client>,
    /// How to invite.
    pub(super) settings: Arc<Settings>,
    /// The groups, where they are kept in the policy file: who is deleted leaves them too.
    pub(super) teams: Option<Arc<Teams>>,
}

/// A user, as the API shows them.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct User {
    pub(super) id: String,
    /// The name of their sign-in, an address nearly always.
    pub(super) login_name: String,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    role: String,
    #[serde(default)]
    status: String,
}

#[derive(Clone, Deserialize)]
struct Invite {
    id: String,
    #[serde(default)]
    role: String,
    /// Empty or null for a link that nobody was mailed.
    #[serde(default)]
    email: Option<String>,
}

impl User {
    fn account(self, own: Option<&str>) -> Result<Account, Fault> {
        let mut account = Account::active(remote_id("Tailscale", &self.id)?);
        account.protected = self.role == "owner" || own == Some(self.id.as_str());
        account.email = Some(self.login_name.clone());
        account.login = Some(self.login_name);
        account.display_name = self.display_name.filter(|name| !name.is_empty());
        account.role = Some(self.role);
        // Who waits for approval has no access yet, and is let in by restoring.
        if matches!(self.status.as_str(), "suspended" | "needs-approval") {
            account.status = AccountStatus::Suspended;
        }
        Ok(account)
    }
}

impl Invite {
    fn account(&self) -> Result<Account, Fault> {
        let mut account = Account::invited(invite_id("Tailscale", &self.id)?);
        account.email = self.email.clone();
        account.role = Some(self.role.clone());
        Ok(account)
    }
}

/// A role that may be given.
fn known_role(role: &str) -> Result<&'static str, Fault> {
    super::ROLES.iter().map(|known| known.value).find(|known| role.eq_ignore_ascii_case(known)).ok_or_else(|| {
        Fault::new(
            FaultKind::Refused,
            "Tailscale gives only the roles `member`, `auditor`, `billing-admin`, `network-admin`, `it-admin` and `admin`. Correct the role in the identity provider.",
        )
    })
}

fn accepted_meanwhile() -> Fault {
    Fault::new(
        FaultKind::NotFound,
        "The invitation was accepted meanwhile, so there is a user now instead of an invitation.",
    )
    .retry(Retry::Soon)
}

impl People {
    async fn accounts(&self, cx: &Cx<'_>, name: &'static str) -> Result<Vec<Account>, Fault> {
        let own = self.client.own(cx).await?;
        self.client.users(cx, name).await?.into_iter().map(|user| user.account(own)).collect()
    }

    async fn user(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<(String, Account)>, Fault> {
        let id = held_id("Tailscale", id.as_str())?;
        let own = self.client.own(cx).await?;
        match self.client.send(cx, self.client.call("get user", Method::GET, &["users", id])).await? {
            Answer::Yes(success) => {
                let user: User = success.json()?;
                let status = user.status.clone();
                user.account(own).map(|account| Some((status, account)))
            }
            Answer::No(refusal) if refusal.absent() => {
                // A tailnet that is not seen any more must not make everybody look gone.
                self.client.users(cx, "list users").await?;
                Ok(None)
            }
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    /// The open invitations that were mailed to somebody. One that was accepted, taken back or not used for 30 days is
    /// none of them.
    async fn invites(&self, cx: &Cx<'_>) -> Result<Vec<Invite>, Fault> {
        let call = self.client.tailnet("list invitations", Method::GET, &["user-invites"]);
        let all: Vec<Invite> = self.client.send(cx, call).await?.success()?.json()?;
        Ok(all.into_iter().filter(|invite| invite.email.as_ref().is_some_and(|email| !email.is_empty())).collect())
    }

    async fn invite(&self, cx: &Cx<'_>, id: &InviteId) -> Result<Option<Invite>, Fault> {
        Ok(self.invites(cx).await?.into_iter().find(|invite| invite.id == id.as_str()))
    }

    /// The user with that address, or else the open invitations to it.
    async fn by_email(&self, cx: &Cx<'_>, email: &str) -> Result<Vec<Found>, Fault> {
        let users = self.accounts(cx, "list users").await?.into_iter();
        let mut found: Vec<Found> = users
            .filter(|account| same_address(account.email.as_deref(), email))
            .map(|account| Found { account, evidence: Evidence::Email })
            .collect();
        if found.is_empty() {
            for invite in self.invites(cx).await?.iter().filter(|invite| same_address(invite.email.as_deref(), email)) {
                found.push(Found { account: invite.account()?, evidence: Evidence::Email });
            }
        }
        Ok(found)
    }

    /// What a 404 for a user's verb means: `None` where the user is not there; one who is shown all the same may not be
    /// touched by this token.
    async fn missing(&self, cx: &Cx<'_>, id: &RemoteId, refusal: &Refusal) -> Result<Option<()>, Fault> {
        match self.user(cx, id).await? {
            None => Ok(None),
            Some(_) => Err(refusal.because(FaultKind::Permission, SHOWN)),
        }
    }

    /// One verb of a user; `None` where the user is not there.
    async fn verb(&self, cx: &Cx<'_>, name: &'static str, id: &RemoteId, verb: &str) -> Result<Option<()>, Fault> {
        let call = self.client.call(name, Method::POST, &["users", id.as_str(), verb]).repeat(Repeat::Idempotent);
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => success.done().map(Some),
            Answer::No(refusal) if refusal.absent() => self.missing(cx, id, &refusal).await,
            Answer::No(refusal) if refusal.says(&["yourself", "own user", "your own", "tailnet owner"]) => {
                Err(refusal.because(FaultKind::Protected, LEFT_ALONE))
            }
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn revoke(&self, cx: &Cx<'_>, id: &InviteId, email: Option<&str>) -> Result<Removed, Fault> {
        let key = held_id("Tailscale", id.as_str())?;
        if self.invite(cx, id).await?.is_none() {
            let Some(email) = email.map(str::to_lowercase) else { return Ok(Removed::AlreadyGone) };
            let joined = self.accounts(cx, "list users").await?;
            if joined.iter().any(|account| same_address(account.email.as_deref(), &email)) {
                return Err(accepted_meanwhile());
            }
            return Ok(Removed::AlreadyGone);
        }
        let call = self.client.call("revoke invitation", Method::DELETE, &["user-invites", key]);
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => success.done().map(|()| Removed::Done),
            Answer::No(refusal) if refusal.absent() => match self.invite(cx, id).await? {
                None => Ok(Removed::AlreadyGone),
                Some(_) => Err(refusal.because(FaultKind::Permission, SHOWN)),
            },
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    /// Takes somebody who is deleted out of the groups of the policy file.
    async fn forget(&self, cx: &Cx<'_>, login: Option<&str>) -> Result<(), Fault> {
        let Some((teams, login)) = self.teams.as_ref().zip(login.filter(|login| !login.trim().is_empty())) else {
            return Ok(());
        };
        teams.forget(cx, login).await.map_err(|mut fault| {
            fault.message =
                format!("The user is deleted, and stands in groups of the policy file yet. {}", fault.message);
            fault
        })
    }
}

#[async_trait]
impl Accounts for People {
    async fn list(&self, cx: &Cx<'_>, _page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        self.accounts(cx, "list users").await.map(Page::last)
    }

    async fn invitations(&self, cx: &Cx<'_>, _page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        self.invites(cx).await?.iter().map(Invite::account).collect::<Result<_, _>>().map(Page::last)
    }

    async fn find(&self, cx: &Cx<'_>, who: &Person) -> Result<Vec<Found>, Fault> {
        match email(who) {
            Some(email) => self.by_email(cx, &email).await,
            None => Ok(Vec::new()),
        }
    }

    async fn get(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Option<Account>, Fault> {
        match at {
            AccountRef::Account { id, .. } => Ok(self.user(cx, id).await?.map(|(_, account)| account)),
            AccountRef::Invite { id, .. } => self.invite(cx, id).await?.map(|invite| invite.account()).transpose(),
        }
    }

    async fn create(&self, cx: &Cx<'_>, want: &Person) -> Result<Created, Fault> {
        let email = email(want).ok_or_else(|| no_address("Tailscale", want))?;
        let role = known_role(want.role.as_deref().unwrap_or(&self.settings.default_role))?;
        // Whether Tailscale refuses a second invitation is not documented, so it is looked first.
        if let Some(found) = self.by_email(cx, &email).await?.into_iter().next() {
            return Ok(Created::AlreadyThere(found));
        }
        let call = self.client.tailnet("invite", Method::POST, &["user-invites"]);
        let call = call.json(&json!([{ "role": role, "email": email }]));
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => {
                let sent: Vec<Invite> = success.json()?;
                let sent = sent.into_iter().find(|invite| same_address(invite.email.as_deref(), &email));
                let sent = sent.ok_or_else(|| {
                    Fault::new(FaultKind::Malformed, "Tailscale's answer to the invitation does not show it.")
                        .effect(Effect::Unknown)
                })?;
                sent.account().map(Created::Invited).map_err(|fault| fault.effect(Effect::Unknown))
            }
            Answer::No(refusal) if refusal.says(&["seat", "billing", "user limit", "maximum number of users"]) => {
                let need = refusal.because(FaultKind::Quota, "The tailnet's plan has no seat left for this person.");
                Ok(Created::ActionRequired(Need::new("seat", need.message)))
            }
            Answer::No(refusal) if refusal.says(&["already"]) => {
                // Somebody may have been quicker.
                match self.by_email(cx, &email).await?.into_iter().next() {
                    Some(found) => Ok(Created::AlreadyThere(found)),
                    None => Err(refusal.because(FaultKind::Refused, "Tailscale refuses the invitation.")),
                }
            }
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn update(&self, cx: &Cx<'_>, at: &AccountRef, change: &AccountChange) -> Result<Updated, Fault> {
        let role = change.role.as_deref().map(known_role).transpose()?;
        let id = match at {
            AccountRef::Account { id, .. } => id,
            AccountRef::Invite { id, .. } => {
                return match self.invite(cx, id).await? {
                    Some(invite) if role.is_none_or(|role| invite.role == role) => {
                        invite.account().map(Updated::Done)
                    }
                    Some(_) => Err(Fault::new(
                        FaultKind::Refused,
                        "Tailscale cannot change the role of a pending invitation. It is changed when the invitation was accepted.",
                    )
                    .retry(Retry::Soon)),
                    None => Ok(Updated::AlreadyGone),
                };
            }
        };
        let Some((_, mut account)) = self.user(cx, id).await? else { return Ok(Updated::AlreadyGone) };
        let Some(role) = role.filter(|role| account.role.as_deref() != Some(role)) else {
            return Ok(Updated::Done(account));
        };
        if account.protected {
            return Err(Fault::new(FaultKind::Protected, LEFT_ALONE));
        }
        let call = self.client.call("change role", Method::POST, &["users", id.as_str(), "role"]);
        let call = call.repeat(Repeat::Idempotent).json(&json!({ "role": role }));
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => success.done()?,
            Answer::No(refusal) if refusal.absent() => {
                self.missing(cx, id, &refusal).await?;
                return Ok(Updated::AlreadyGone);
            }
            Answer::No(refusal) => return Err(refusal.fault()),
        }
        account.role = Some(role.to_owned());
        Ok(Updated::Done(account))
    }

    async fn set_active(&self, cx: &Cx<'_>, at: &AccountRef, active: bool) -> Result<Updated, Fault> {
        let AccountRef::Account { id, .. } = at else {
            return Err(Fault::new(FaultKind::Refused, "An invitation cannot be suspended; it is taken back instead."));
        };
        let Some((shown, mut account)) = self.user(cx, id).await? else { return Ok(Updated::AlreadyGone) };
        let status = if active { AccountStatus::Active } else { AccountStatus::Suspended };
        if account.status == status {
            return Ok(Updated::Done(account));
        }
        if account.protected {
            return Err(Fault::new(FaultKind::Protected, LEFT_ALONE));
        }
        let (name, verb) = match (active, shown.as_str()) {
            (true, "needs-approval") => ("approve user", "approve"),
            (true, _) => ("restore user", "restore"),
            (false, _) => ("suspend user", "suspend"),
        };
        if self.verb(cx, name, id, verb).await?.is_none() {
            return Ok(Updated::AlreadyGone);
        }
        account.status = status;
        Ok(Updated::Done(account))
    }

    async fn remove(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Removed, Fault> {
        let (id, last) = match at {
            AccountRef::Account { id, login } => (id, login),
            AccountRef::Invite { id, email, .. } => return self.revoke(cx, id, email.as_deref()).await,
        };
        let (login, removed) = match self.user(cx, id).await? {
            None => (last.clone(), Removed::AlreadyGone),
            Some((_, account)) if account.protected => return Err(Fault::new(FaultKind::Protected, LEFT_ALONE)),
            Some((_, account)) => match self.verb(cx, "delete user", id, "delete").await? {
                Some(()) => (account.login, Removed::Done),
                None => (account.login, Removed::AlreadyGone),
            },
        };
        // Elsewhere a deletion takes memberships along; here the address would stay in the file.
        self.forget(cx, login.as_deref()).await?;
        Ok(removed)
    }

    async fn follow(&self, cx: &Cx<'_>, invite: &InviteId, who: &Person) -> Result<Followed, Fault> {
        if let Some(invite) = self.invite(cx, invite).await? {
            return invite.account().map(Followed::Pending);
        }
        if let Some(email) = email(who) {
            let users = self.accounts(cx, "list users").await?;
            let mut theirs = users.into_iter().filter(|account| same_address(account.email.as_deref(), &email));
            if let Some(account) = theirs.next() {
                return Ok(Followed::Accepted { account, evidence: Evidence::Email });
            }
        }
        Ok(Followed::Unclear(Need::new(
            "identity",
            "The invitation is gone and no user has its address: it ran out, was taken back, or somebody accepted it with another sign-in. Link the account, or invite the person again.",
        )))
    }
}
