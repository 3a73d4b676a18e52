//! Who sits in the organisation: memberships by login, checked against the durable id, and the
//! accounts that nobody may touch.
//!
//! GitHub's writes go by login, which its owner can change and another can take. So every such
//! write comes after a look that this login is still this id (DECISIONS 3).

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use connector_sdk::{Account, AccountStatus, Cx, Effect, Evidence, Fault, FaultKind, InviteId, RemoteId};
use jiff::{SignedDuration, Timestamp};

use super::Org;
use super::auth::Auth;
use super::client::MOST_PAGES;
use super::settings::is_login;
use super::wire::{self, Invitation, Membership, User};

/// How long a look at a login, or at the owners, is believed.
const FRESH: SignedDuration = SignedDuration::from_secs(60);
/// How many looks are kept at most.
const MOST_SEEN: usize = 10_000;
/// What an [`InviteId`] begins with where GitHub showed the invitation by login only.
const BY_LOGIN: &str = "login:";

/// What sits under an id.
#[derive(Clone, Debug)]
pub(super) enum Seat {
    /// A member, or one who is invited by login.
    Here(Membership),
    /// Neither.
    Gone,
    /// The login is another account's now and the id leads nowhere.
    Other,
}

/// The credential's own account.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) id: u64,
    pub(super) login: String,
}

/// How an invitation is named.
pub(super) enum Named {
    /// By its number.
    Id(u64),
    /// By the invited login.
    Login(String),
}

/// Reads an invitation's id.
pub(super) fn named(invite: &InviteId) -> Result<Named, Fault> {
    let text = invite.as_str();
    match text.strip_prefix(BY_LOGIN) {
        Some(login) if is_login(login, 100) => Ok(Named::Login(login.to_owned())),
        None => number(text).map(Named::Id),
        Some(_) => Err(no_id()),
    }
}

/// The invitation's id where only the login is known.
pub(super) fn invite_by_login(login: &str) -> InviteId {
    InviteId::new(format!("{BY_LOGIN}{login}"))
}

/// Reads an id of GitHub's.
pub(super) fn number(text: &str) -> Result<u64, Fault> {
    text.parse().map_err(|_| no_id())
}

fn no_id() -> Fault {
    Fault::new(
        FaultKind::Refused,
        "The stored id is not one of GitHub's: its ids are numbers. The link is broken; remove it and link the account again.",
    )
}

/// A role as the traits name it.
pub(super) fn role(word: &str) -> Option<String> {
    match word.to_ascii_lowercase().as_str() {
        "admin" => Some("admin".to_owned()),
        "member" | "direct_member" => Some("member".to_owned()),
        _ => None,
    }
}

/// A pending invitation as an account.
pub(super) fn invited(invitation: &Invitation) -> Account {
    let mut account = Account::invited(InviteId::new(invitation.id.to_string()));
    account.login = invitation.login.clone();
    account.email = invitation.email.clone();
    account.role = invitation.role.as_deref().and_then(role);
    account.expires_at = invitation.expires_at();
    account
}

impl Org {
    /// The membership under a login; `None` if there is none.
    pub(super) async fn membership(&self, cx: &Cx<'_>, login: &str) -> Result<Option<Membership>, Fault> {
        self.client.object(cx, "get membership", &["orgs", &self.client.org, "memberships", login]).await
    }

    /// What sits under an id; `login` is the last one seen.
    pub(super) async fn seat(&self, cx: &Cx<'_>, id: u64, login: Option<&str>) -> Result<Seat, Fault> {
        let mut taken = false;
        let tried = login.filter(|login| is_login(login, 100));
        if let Some(login) = tried {
            match self.membership(cx, login).await? {
                Some(found) if found.user.id == id => return Ok(Seat::Here(found)),
                Some(_) => taken = true,
                None => {}
            }
        }
        let user: Option<User> = self.client.object(cx, "get user by id", &["user", &id.to_string()]).await?;
        let Some(user) = user.filter(|user| user.id == id) else {
            return Ok(if taken { Seat::Other } else { Seat::Gone });
        };
        if tried.is_some_and(|login| login.eq_ignore_ascii_case(&user.login)) {
            return Ok(if taken { Seat::Other } else { Seat::Gone });
        }
        Ok(match self.membership(cx, &user.login).await? {
            Some(found) if found.user.id == id => Seat::Here(found),
            Some(_) => Seat::Other,
            None => Seat::Gone,
        })
    }

    /// As [`Org::seat`], believing a look of the last minute: for bursts of team changes.
    pub(super) async fn recent_seat(&self, cx: &Cx<'_>, id: u64, login: Option<&str>) -> Result<Seat, Fault> {
        {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((at, seat)) = seen.get(&id)
                && fresh(*at, cx.now)
            {
                return Ok(Seat::Here(seat.clone()));
            }
        }
        let seat = self.seat(cx, id, login).await?;
        if let Seat::Here(membership) = &seat {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.len() >= MOST_SEEN {
                seen.retain(|_, (at, _)| fresh(*at, cx.now));
                if seen.len() >= MOST_SEEN {
                    seen.clear();
                }
            }
            seen.insert(id, (cx.now, membership.clone()));
        }
        Ok(seat)
    }

    /// Forgets what was seen of an account that is about to change.
    pub(super) fn forget(&self, id: u64) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        *self.owners.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The credential's own account; an App has none.
    pub(super) async fn own(&self, cx: &Cx<'_>) -> Result<Option<Own>, Fault> {
        if matches!(self.client.auth, Auth::App(_)) {
            return Ok(None);
        }
        if let Some(own) = self.own.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(Some(own));
        }
        self.own_now(cx).await.map(Some)
    }

    /// The token's own account, as it is called now.
    pub(super) async fn own_now(&self, cx: &Cx<'_>) -> Result<Own, Fault> {
        let user: User = self
            .client
            .object(cx, "get own account", &["user"])
            .await?
            .ok_or_else(|| self.client.hidden("get own account"))?;
        let own = Own { id: user.id, login: user.login };
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = Some(own.clone());
        Ok(own)
    }

    /// The role of the token's own account, `None` for an App. GitHub shows one who is no member
    /// only the public members, without a word: such a listing would look as if all had left.
    pub(super) async fn inside(&self, cx: &Cx<'_>) -> Result<Option<String>, Fault> {
        let Some(own) = self.own(cx).await? else {
            return Ok(None);
        };
        match self.recent_seat(cx, own.id, Some(&own.login)).await? {
            Seat::Here(seat) if !seat.pending() => Ok(seat.role),
            _ => Err(Fault::new(
                FaultKind::Permission,
                format!(
                    "The token's user {} is not a member of {}, so GitHub hides its members and teams. Use an owner's token.",
                    own.login, self.client.org
                ),
            )
            .context("get membership: the credential is outside the organisation")),
        }
    }

    /// Whether the credential sees secret teams that it is not in: an owner's and an App's do.
    pub(super) async fn sees_all(&self, cx: &Cx<'_>) -> Result<bool, Fault> {
        Ok(self.inside(cx).await?.is_none_or(|role| role == "admin"))
    }

    /// The ids of the organisation's owners, at most a minute old.
    pub(super) async fn owners(&self, cx: &Cx<'_>) -> Result<Arc<BTreeSet<u64>>, Fault> {
        {
            let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((at, owners)) = owners.as_ref()
                && fresh(*at, cx.now)
            {
                return Ok(Arc::clone(owners));
            }
        }
        let mut ids = BTreeSet::new();
        let mut page = Some(1);
        while let Some(number) = page.take() {
            let listing = self
                .client
                .org_page::<User>(
                    cx,
                    "list owners",
                    &["orgs", &self.client.org, "members"],
                    &[("role", "admin")],
                    number,
                )
                .await?;
            ids.extend(listing.items.iter().map(|user| user.id));
            page = self.follow_on(listing.next)?;
        }
        let owners = Arc::new(ids);
        *self.owners.lock().unwrap_or_else(PoisonError::into_inner) = Some((cx.now, Arc::clone(&owners)));
        Ok(owners)
    }

    /// The next page of a look-up, within bounds.
    pub(super) fn follow_on(&self, next: Option<u32>) -> Result<Option<u32>, Fault> {
        match next {
            Some(number) if number > MOST_PAGES => Err(Fault::new(
                FaultKind::Malformed,
                "GitHub's list does not end; the look-up was given up after 100,000 entries.",
            )
            .effect(Effect::None)),
            next => Ok(next),
        }
    }

    /// Whether an account must never be removed or lose its role, given the owners.
    pub(super) fn untouchable(own: Option<&Own>, owners: &BTreeSet<u64>, id: u64) -> bool {
        own.is_some_and(|own| own.id == id) || (owners.len() == 1 && owners.contains(&id))
    }

    /// A membership as an account.
    pub(super) async fn account(&self, cx: &Cx<'_>, membership: &Membership) -> Result<Account, Fault> {
        let user = &membership.user;
        let role = membership.role.as_deref().and_then(role);
        if membership.pending() {
            let mut account = Account::invited(invite_by_login(&user.login));
            account.login = Some(user.login.clone());
            account.role = role;
            return Ok(account);
        }
        let own = self.own(cx).await?;
        let owners = if role.as_deref() == Some("admin") { self.owners(cx).await? } else { Arc::default() };
        let mut account = Account::active(RemoteId::new(user.id.to_string()));
        account.status = AccountStatus::Active;
        account.login = Some(user.login.clone());
        account.role = role;
        account.protected = Self::untouchable(own.as_ref(), &owners, user.id);
        Ok(account)
    }

    /// The pending invitations that match, all of them.
    pub(super) async fn pending(
        &self,
        cx: &Cx<'_>,
        wanted: impl Fn(&Invitation) -> bool + Send + Sync,
    ) -> Result<Vec<Invitation>, Fault> {
        self.invitations_in(cx, "list invitations", "invitations", wanted).await
    }

    /// The failed invitations that match.
    pub(super) async fn failed(
        &self,
        cx: &Cx<'_>,
        wanted: impl Fn(&Invitation) -> bool + Send + Sync,
    ) -> Result<Vec<Invitation>, Fault> {
        self.invitations_in(cx, "list failed invitations", "failed_invitations", wanted).await
    }

    async fn invitations_in(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        list: &str,
        wanted: impl Fn(&Invitation) -> bool + Send + Sync,
    ) -> Result<Vec<Invitation>, Fault> {
        let mut found = Vec::new();
        let mut page = Some(1);
        while let Some(number) = page.take() {
            let listing =
                self.client.org_page::<Invitation>(cx, name, &["orgs", &self.client.org, list], &[], number).await?;
            if !listing.complete {
                return Err(self.left_out(name));
            }
            found.extend(listing.items.into_iter().filter(&wanted));
            page = self.follow_on(listing.next)?;
        }
        Ok(found)
    }

    /// The fault for a look-up whose answer GitHub calls partial: absence can't be told from it.
    pub(super) fn left_out(&self, name: &'static str) -> Fault {
        Fault::new(
            FaultKind::Credential,
            format!(
                "GitHub left results out because the token is not authorised for the single sign-on of {}. Authorise it: Settings, Developer settings, Personal access tokens, Configure SSO.",
                self.client.org
            ),
        )
        .context(format!("{name}: partial results"))
    }

    /// The invitation of a login as the list shows it, else as the membership does.
    pub(super) async fn invitation_of(&self, cx: &Cx<'_>, membership: &wire::Membership) -> Result<Account, Fault> {
        let login = &membership.user.login;
        let listed = self.pending(cx, |invitation| same(invitation.login.as_deref(), login)).await?;
        match listed.first() {
            Some(invitation) => Ok(invited(invitation)),
            None => self.account(cx, membership).await,
        }
    }
}

/// Whether a text is there and equal, letter case aside.
pub(super) fn same(text: Option<&str>, other: &str) -> bool {
    text.is_some_and(|text| text.eq_ignore_ascii_case(other))
}

/// The weakest evidence that an invitation is this person's.
pub(super) fn evidence_of(invitation: &Invitation, login: Option<&str>) -> Evidence {
    match login {
        Some(login) if same(invitation.login.as_deref(), login) => Evidence::Login,
        _ => Evidence::Email,
    }
}

fn fresh(at: Timestamp, now: Timestamp) -> bool {
    at <= now && now.duration_since(at) < FRESH
}
