//! Members of teams.

use connector_sdk::{AccountRef, Cx, Fault, FaultKind, InviteId, Member, Membership, Page, PageToken, Repeat, Reply};
use http::Method;
use serde_json::json;

use super::Org;
use super::answers::{says, words};
use super::groups::{PENDING, TeamPath, gone};
use super::seats::{Named, Seat, named, number};
use super::settings::is_login;
use super::wire::{Invitation, TeamMembership};

impl Org {
    /// One page of the invitations that a team waits for.
    pub(super) async fn pending_members(&self, cx: &Cx<'_>, path: &TeamPath, page: u32) -> Result<Page<Member>, Fault> {
        let name = "list team invitations";
        let listing = self.client.page::<Invitation>(cx, name, &path.with(&["invitations"]), &[], page).await;
        let listing = match listing {
            Ok(Some(listing)) => listing,
            Ok(None) => return Err(self.no_team(cx, path, name).await),
            // 422: a team of the enterprise, which has no invitations of its own.
            Err(fault) if fault.kind == FaultKind::Refused => return Ok(Page::last(Vec::new())),
            Err(fault) => return Err(fault),
        };
        Ok(Page {
            items: listing
                .items
                .into_iter()
                .map(|invitation| {
                    let mut member = Member::of(AccountRef::Invite {
                        id: InviteId::new(invitation.id.to_string()),
                        email: invitation.email,
                        login: invitation.login,
                    });
                    member.pending = true;
                    member
                })
                .collect(),
            next: listing.next.map(|number| PageToken(format!("{PENDING}{number}"))),
            complete: listing.complete,
        })
    }

    pub(super) async fn add_member(&self, cx: &Cx<'_>, path: &TeamPath, who: &AccountRef) -> Result<Membership, Fault> {
        // A person outside the organisation would be invited by being put into a team.
        let login = match who {
            AccountRef::Account { id, login } => {
                let id = number(id.as_str())?;
                match self.recent_seat(cx, id, login.as_deref()).await? {
                    Seat::Here(membership) => membership.user.login,
                    Seat::Gone => return Err(self.not_here("is not a member of")),
                    Seat::Other => {
                        return Err(self.not_here("has no account any more (its login is another's now) in"));
                    }
                }
            }
            AccountRef::Invite { id, login, .. } => match invited_login(id, login.as_deref()) {
                Some(login) => match self.membership(cx, login).await? {
                    Some(membership) => membership.user.login,
                    None => return Err(self.not_here("is no longer invited to")),
                },
                None => return Err(self.by_email("put into a team")),
            },
        };
        let name = "add team member";
        let call = self
            .client
            .call(name, Method::PUT, &path.with(&["memberships", &login]))
            .repeat(Repeat::Idempotent)
            .json(&json!({ "role": "member" }));
        let reply = self.client.send(cx, call).await?;
        match reply.status.as_u16() {
            // The role in the answer is GitHub's: owners are always maintainers.
            200 => {
                let membership: TeamMembership = self.client.read(name, &reply)?;
                Ok(match membership.state.as_str() {
                    "pending" => Membership::Pending,
                    _ => Membership::Present,
                })
            }
            404 => Err(self.no_team(cx, path, name).await),
            403 => Err(self.managed_elsewhere(name, &reply)),
            422 => {
                // Older servers refuse to make an owner a mere member of a team that the owner is in.
                let there = self.in_team(cx, path, &login).await?;
                there.ok_or_else(|| self.client.refusal(name, &reply))
            }
            _ => Err(self.client.refusal(name, &reply)),
        }
    }

    pub(super) async fn remove_member(
        &self,
        cx: &Cx<'_>,
        path: &TeamPath,
        who: &AccountRef,
    ) -> Result<Membership, Fault> {
        let login = match who {
            AccountRef::Account { id, login } => {
                let id = number(id.as_str())?;
                match self.recent_seat(cx, id, login.as_deref()).await? {
                    Seat::Here(membership) => membership.user.login,
                    // Leaving the organisation ends every team membership. The team itself must
                    // still be there for that to be an answer.
                    Seat::Gone | Seat::Other => return self.absent(cx, path).await,
                }
            }
            AccountRef::Invite { id, login, .. } => match invited_login(id, login.as_deref()) {
                Some(login) => match self.membership(cx, login).await? {
                    Some(membership) => membership.user.login,
                    None => return self.absent(cx, path).await,
                },
                None => return Err(self.by_email("taken out of a team")),
            },
        };
        let name = "remove team member";
        let call =
            self.client.call(name, Method::DELETE, &path.with(&["memberships", &login])).repeat(Repeat::Idempotent);
        let reply = self.client.send(cx, call).await?;
        match reply.status.as_u16() {
            204 => Ok(Membership::Absent),
            404 => match self.in_team(cx, path, &login).await? {
                None => self.absent(cx, path).await,
                Some(_) => Ok(Membership::Kept {
                    why: format!("{login} is in the team through a child team. Take the person out of that one."),
                }),
            },
            403 => Err(self.managed_elsewhere(name, &reply)),
            _ => Err(self.client.refusal(name, &reply)),
        }
    }

    /// Whether a login is in the team, a child team's members included; `None` if not.
    async fn in_team(&self, cx: &Cx<'_>, path: &TeamPath, login: &str) -> Result<Option<Membership>, Fault> {
        let membership: Option<TeamMembership> =
            self.client.object(cx, "get team membership", &path.with(&["memberships", login])).await?;
        Ok(membership.map(|membership| match membership.state.as_str() {
            "pending" => Membership::Pending,
            _ => Membership::Present,
        }))
    }

    /// Nobody is a member, provided that the team is there.
    async fn absent(&self, cx: &Cx<'_>, path: &TeamPath) -> Result<Membership, Fault> {
        match self.team(cx, path).await? {
            Some(_) => Ok(Membership::Absent),
            None => Err(gone("remove team member")),
        }
    }

    fn not_here(&self, how: &str) -> Fault {
        Fault::new(
            FaultKind::Refused,
            format!(
                "The person {how} {}, so GitHub would have to invite first. The membership is set once the account is there; look at the person's own entry.",
                self.client.org
            ),
        )
        .context("add team member: not in the organisation")
    }

    fn by_email(&self, what: &str) -> Fault {
        Fault::new(
            FaultKind::Refused,
            format!("A person invited by e-mail to {} cannot be {what} before accepting: GitHub takes teams only in the invitation itself.", self.client.org),
        )
        .context("team member: invited by e-mail")
    }

    /// A 403 below a team: synchronised from elsewhere, or no right.
    fn managed_elsewhere(&self, name: &'static str, reply: &Reply) -> Fault {
        let parts = ["sync", "external", "identity provider", "idp", "ldap", "enterprise team"];
        if !says(reply, &[], &parts) {
            return self.client.refusal(name, reply);
        }
        Fault::new(
            FaultKind::Refused,
            format!("GitHub keeps this team's members in step with an identity provider's group, so they cannot be changed here. Disconnect the team on GitHub, or stop pushing the group. GitHub says: {}.", words(reply)),
        )
        .context(self.client.context(name, reply))
    }
}

/// The login that was invited, if it was a login.
fn invited_login<'a>(id: &'a InviteId, login: Option<&'a str>) -> Option<&'a str> {
    login.filter(|login| is_login(login, 100)).or_else(|| {
        matches!(named(id), Ok(Named::Login(_))).then(|| id.as_str().split_once(':').map(|(_, login)| login)).flatten()
    })
}
