//! Members and invitations of the organisation.

use async_trait::async_trait;
use connector_sdk::{
    Account, AccountChange, AccountRef, Accounts, Created, Cx, Effect, Ended, Evidence, Fault, FaultKind, Followed,
    Found, InviteId, Need, Page, PageToken, Person, RemoteId, Removed, Repeat, Reply, Updated,
};
use http::Method;
use serde_json::json;

use super::Org;
use super::answers::says;
use super::invite::{accepted_meanwhile, ended};
use super::seats::{Named, Seat, evidence_of, invited, named, number, same};
use super::settings::{Identity, Mode};
use super::wire::{Invitation, Membership, User};

#[async_trait]
impl Accounts for Org {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        self.inside(cx).await?;
        if self.identity == Identity::VerifiedDomain {
            return self.list_with_addresses(cx, page).await;
        }
        let listing = self
            .client
            .org_page::<User>(
                cx,
                "list members",
                &["orgs", &self.client.org, "members"],
                // One pass over all roles: with a pass per role, a person promoted between them
                // would be in neither.
                &[("role", "all")],
                page_number(page)?,
            )
            .await?;
        let own = self.own(cx).await?;
        let owners = self.owners(cx).await?;
        let emails = if self.identity == Identity::Saml {
            let logins: Vec<&str> = listing.items.iter().map(|user| user.login.as_str()).collect();
            self.saml_addresses(cx, &logins).await?
        } else {
            Default::default()
        };
        let items = listing
            .items
            .into_iter()
            .map(|user| {
                let mut account = Account::active(RemoteId::new(user.id.to_string()));
                account.email = emails.get(&user.id).cloned();
                let role = if owners.contains(&user.id) { "admin" } else { "member" };
                account.role = Some(role.to_owned());
                account.protected = Self::untouchable(own.as_ref(), &owners, user.id);
                account.login = Some(user.login);
                account
            })
            .collect();
        Ok(Page { items, next: listing.next.map(page_token), complete: listing.complete })
    }

    async fn invitations(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        if self.settings.mode == Mode::TeamsOnly {
            return Ok(Page::last(Vec::new()));
        }
        let listing = self
            .client
            .org_page::<Invitation>(
                cx,
                "list invitations",
                &["orgs", &self.client.org, "invitations"],
                &[],
                page_number(page)?,
            )
            .await?;
        Ok(Page {
            items: listing.items.iter().map(invited).collect(),
            next: listing.next.map(page_token),
            complete: listing.complete,
        })
    }

    async fn find(&self, cx: &Cx<'_>, who: &Person) -> Result<Vec<Found>, Fault> {
        let mut found = self.accounts_of(cx, who).await?;
        if self.settings.mode == Mode::TeamsOnly {
            return Ok(found);
        }
        let login = self.handle(who);
        if login.is_none() && who.email.is_none() {
            return Ok(found);
        }
        let pending = self
            .pending(cx, |invitation| {
                login.is_some_and(|login| same(invitation.login.as_deref(), login))
                    || who.email.as_deref().is_some_and(|email| same(invitation.email.as_deref(), email))
            })
            .await?;
        found.extend(
            pending
                .iter()
                .map(|invitation| Found { account: invited(invitation), evidence: evidence_of(invitation, login) }),
        );
        Ok(found)
    }

    async fn get(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Option<Account>, Fault> {
        match at {
            AccountRef::Account { id, login } => match self.seat(cx, number(id.as_str())?, login.as_deref()).await? {
                Seat::Here(membership) if !membership.pending() => self.account(cx, &membership).await.map(Some),
                _ => Ok(None),
            },
            AccountRef::Invite { id, .. } => self.pending_invite(cx, id).await,
        }
    }

    async fn create(&self, cx: &Cx<'_>, want: &Person) -> Result<Created, Fault> {
        if self.settings.mode == Mode::TeamsOnly {
            let found = self.accounts_of(cx, want).await?;
            return Ok(match <[Found; 1]>::try_from(found) {
                Ok([found]) => Created::AlreadyThere(found),
                Err(_) => Created::ActionRequired(Need::new(
                    "not_a_member",
                    format!(
                        "{} is not known to be a member of {}, and this instance manages teams only: it invites nobody. Invite the person on GitHub, or make the identity source tell which member they are, then retry the operation.",
                        want.user_name, self.client.org
                    ),
                )),
            });
        }
        if self.identity == Identity::Handle {
            return self.create_by_login(cx, want).await;
        }
        self.create_by_email(cx, want).await
    }

    async fn update(&self, cx: &Cx<'_>, at: &AccountRef, change: &AccountChange) -> Result<Updated, Fault> {
        self.must_manage_members()?;
        let seat = match at {
            AccountRef::Account { id, login } => self.seat(cx, number(id.as_str())?, login.as_deref()).await?,
            AccountRef::Invite { id, login, .. } => {
                let Some(account) = self.pending_invite(cx, id).await? else {
                    return Ok(Updated::AlreadyGone);
                };
                let login = account.login.as_deref().or(login.as_deref());
                let wanted = change.role.as_deref().map(role_word);
                if wanted.is_none() || account.role.as_deref() == wanted {
                    return Ok(Updated::Done(account));
                }
                match login {
                    Some(login) => match self.membership(cx, login).await? {
                        Some(membership) => Seat::Here(membership),
                        None => return Ok(Updated::AlreadyGone),
                    },
                    None => {
                        return Err(Fault::new(
                            FaultKind::Refused,
                            "GitHub cannot change the role of an e-mail invitation. The role is set once the person has accepted; to have it at once, take the invitation back and invite again.",
                        ));
                    }
                }
            }
        };
        let membership = match seat {
            Seat::Here(membership) => membership,
            Seat::Gone => return Ok(Updated::AlreadyGone),
            Seat::Other => return Ok(Updated::OtherAccount),
        };
        let wanted = change.role.as_deref().map(role_word);
        let present = membership.role.as_deref();
        let Some(role) = wanted.filter(|role| present != Some(*role)) else {
            return self.account(cx, &membership).await.map(Updated::Done);
        };
        if role != "admin" && !membership.pending() {
            self.must_not_be_protected(cx, &membership).await?;
        }
        self.forget(membership.user.id);
        let name = "set role";
        let reply = self.put_membership(cx, name, &membership.user.login, role).await?;
        match reply.status.as_u16() {
            200 => {
                let after: Membership = self.client.read(name, &reply)?;
                // The write is done: a failed look must not pass for a write that was not.
                let account = self.account(cx, &after).await;
                account.map(Updated::Done).map_err(|fault| fault.effect(Effect::Unknown))
            }
            404 => Ok(Updated::AlreadyGone),
            403 | 422 if last_owner(&reply) => Err(self.protected(&membership.user.login)),
            _ => Err(self.client.refusal(name, &reply)),
        }
    }

    async fn remove(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Removed, Fault> {
        self.must_manage_members()?;
        match at {
            AccountRef::Account { id, login } => {
                let id = number(id.as_str())?;
                match self.seat(cx, id, login.as_deref()).await? {
                    Seat::Gone => Ok(Removed::AlreadyGone),
                    Seat::Other => Ok(Removed::OtherAccount),
                    Seat::Here(membership) => {
                        if !membership.pending() {
                            self.must_not_be_protected(cx, &membership).await?;
                        }
                        self.remove_membership(cx, &membership).await
                    }
                }
            }
            AccountRef::Invite { id, email, login } => match named(id)? {
                Named::Login(login) => match self.membership(cx, &login).await? {
                    Some(membership) if membership.pending() => self.remove_membership(cx, &membership).await,
                    Some(_) => Err(accepted_meanwhile()),
                    None => Ok(Removed::AlreadyGone),
                },
                Named::Id(number) => {
                    let removed = self.take_back(cx, number).await?;
                    if removed == Removed::AlreadyGone {
                        self.must_not_be_accepted(cx, email.as_deref(), login.as_deref()).await?;
                    }
                    Ok(removed)
                }
            },
        }
    }

    async fn follow(&self, cx: &Cx<'_>, invite: &InviteId, who: &Person) -> Result<Followed, Fault> {
        self.must_manage_members()?;
        match named(invite)? {
            Named::Login(login) => {
                if let Some(membership) = self.membership(cx, &login).await? {
                    let account = self.account(cx, &membership).await?;
                    return Ok(if membership.pending() {
                        Followed::Pending(account)
                    } else {
                        Followed::Accepted { account, evidence: Evidence::Login }
                    });
                }
                let failed = self.failed(cx, |one| same(one.login.as_deref(), &login)).await?;
                Ok(Followed::Ended(failed.last().map_or(Ended::Unknown, ended)))
            }
            Named::Id(number) => {
                let pending = self.pending(cx, |one| one.id == number).await?;
                if let Some(invitation) = pending.first() {
                    return Ok(Followed::Pending(invited(invitation)));
                }
                if let Some(failed) = self.failed(cx, |one| one.id == number).await?.first() {
                    return Ok(Followed::Ended(ended(failed)));
                }
                self.who_accepted(cx, who).await
            }
        }
    }
}

impl Org {
    async fn list_with_addresses(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        let page = self.members_with_addresses(cx, page.map(|token| token.0.as_str())).await?;
        let mut items = Vec::with_capacity(page.edges.len());
        for edge in page.edges {
            items.extend(self.member_account(cx, edge).await?);
        }
        Ok(Page { items, next: page.next.map(PageToken), complete: page.complete })
    }

    /// Reads a pending invitation.
    async fn pending_invite(&self, cx: &Cx<'_>, id: &InviteId) -> Result<Option<Account>, Fault> {
        match named(id)? {
            Named::Login(login) => match self.membership(cx, &login).await? {
                Some(membership) if membership.pending() => self.account(cx, &membership).await.map(Some),
                _ => Ok(None),
            },
            Named::Id(number) => {
                let found = self.pending(cx, |one| one.id == number).await?;
                Ok(found.first().map(invited))
            }
        }
    }

    pub(super) async fn put_membership(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        login: &str,
        role: &str,
    ) -> Result<Reply, Fault> {
        let call = self
            .client
            .call(name, Method::PUT, &["orgs", &self.client.org, "memberships", login])
            .repeat(Repeat::Idempotent)
            .json(&json!({ "role": role }));
        self.client.send(cx, call).await
    }

    /// Removes a member or the invitation of a login.
    async fn remove_membership(&self, cx: &Cx<'_>, membership: &Membership) -> Result<Removed, Fault> {
        let name = "remove membership";
        let login = &membership.user.login;
        self.forget(membership.user.id);
        let call = self
            .client
            .call(name, Method::DELETE, &["orgs", &self.client.org, "memberships", login])
            .repeat(Repeat::Idempotent);
        let reply = self.client.send(cx, call).await?;
        match reply.status.as_u16() {
            204 => Ok(Removed::Done),
            // Also what a credential without the right is told: believe it only after a look.
            404 => match self.membership(cx, login).await? {
                Some(still) if still.user.id == membership.user.id => Err(self.client.refusal(name, &reply)),
                _ => Ok(Removed::AlreadyGone),
            },
            403 | 422 if last_owner(&reply) => Err(self.protected(login)),
            _ => Err(self.client.refusal(name, &reply)),
        }
    }

    fn must_manage_members(&self) -> Result<(), Fault> {
        if self.settings.mode == Mode::Organization {
            return Ok(());
        }
        Err(Fault::new(
            FaultKind::Refused,
            format!(
                "This instance manages the teams of {} only (mode teams_only): it does not invite, change or remove members.",
                self.client.org
            ),
        ))
    }

    async fn must_not_be_protected(&self, cx: &Cx<'_>, membership: &Membership) -> Result<(), Fault> {
        if self.account(cx, membership).await?.protected {
            return Err(self.protected(&membership.user.login));
        }
        Ok(())
    }

    fn protected(&self, login: &str) -> Fault {
        Fault::new(
            FaultKind::Protected,
            format!(
                "{login} is the credential's own account or the last owner of {}: it is not removed and keeps its role. Make someone else an owner, or change the credential, first.",
                self.client.org
            ),
        )
    }
}

/// GitHub's word for a role in the organisation.
pub(super) fn role_word(role: &str) -> &'static str {
    if role.eq_ignore_ascii_case("admin") { "admin" } else { "member" }
}

fn last_owner(reply: &Reply) -> bool {
    says(reply, &[], &["last owner", "last admin", "only owner", "at least one owner", "at least one admin"])
}

/// The number that a page token holds.
pub(super) fn page_number(page: Option<&PageToken>) -> Result<u32, Fault> {
    match page {
        None => Ok(1),
        Some(token) => token.0.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
            Fault::new(
                FaultKind::Refused,
                "The stored place of the listing is not one of this connector's. Start the listing again.",
            )
        }),
    }
}

/// The token of a page's number.
pub(super) fn page_token(number: u32) -> PageToken {
    PageToken(number.to_string())
}
