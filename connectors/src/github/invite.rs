//! Inviting people, and what becomes of an invitation.

use connector_sdk::{
    Accounts, Created, Cx, Effect, Ended, Evidence, Fault, FaultKind, Followed, Found, Need, Person, Removed, Repeat,
    Reply, Retry,
};
use http::Method;
use jiff::SignedDuration;
use serde_json::json;

use super::Org;
use super::accounts::role_word;
use super::answers::{says, words};
use super::seats::{invited, number};
use super::settings::{Identity, is_login};
use super::wire::{Invitation, Membership, User};

impl Org {
    pub(super) async fn create_by_login(&self, cx: &Cx<'_>, want: &Person) -> Result<Created, Fault> {
        let Some(login) = self.handle(want) else {
            return Err(Fault::new(
                FaultKind::Incomplete,
                format!(
                    "{} has no usable GitHub login in the attribute {}. Send the login there (letters, digits and hyphens, at most 39), or choose another identity source.",
                    want.user_name, self.settings.handle_attribute
                ),
            ));
        };
        if let Some(membership) = self.membership(cx, login).await? {
            return self.there_by_login(cx, &membership).await;
        }
        let role = want.role.as_deref().map_or("member", role_word);
        let name = "invite by login";
        let reply = self.put_membership(cx, name, login, role).await?;
        match reply.status.as_u16() {
            200 => {
                let membership: Membership = self.client.read(name, &reply)?;
                self.forget(membership.user.id);
                // The invitation is sent; a failed look at its number must not turn that into a
                // failure. The login names it as well.
                if membership.pending() {
                    let account = match self.invitation_of(cx, &membership).await {
                        Ok(account) => account,
                        Err(_) => self.account(cx, &membership).await?,
                    };
                    return Ok(Created::Invited(account));
                }
                let account = self.account(cx, &membership).await;
                account.map(Created::Done).map_err(|fault| fault.effect(Effect::Unknown))
            }
            404 => {
                let user: Option<User> = self.client.object(cx, "get user", &["users", login]).await?;
                Err(match user {
                    Some(_) => self.client.refusal(name, &reply),
                    None => Fault::new(
                        FaultKind::Refused,
                        format!(
                            "GitHub has no account {login}. Correct the attribute {} of {}.",
                            self.settings.handle_attribute, want.user_name
                        ),
                    )
                    .context(self.client.context(name, &reply)),
                })
            }
            _ => self.not_invited(cx, name, want, &reply).await,
        }
    }

    async fn there_by_login(&self, cx: &Cx<'_>, membership: &Membership) -> Result<Created, Fault> {
        let account = if membership.pending() {
            self.invitation_of(cx, membership).await?
        } else {
            self.account(cx, membership).await?
        };
        Ok(Created::AlreadyThere(Found { account, evidence: Evidence::Login }))
    }

    pub(super) async fn create_by_email(&self, cx: &Cx<'_>, want: &Person) -> Result<Created, Fault> {
        let Some(email) = want.email.as_deref().map(str::trim).filter(|email| email.contains('@')) else {
            return Err(Fault::new(
                FaultKind::Incomplete,
                format!(
                    "{} has no e-mail address, and GitHub invites by address. Send the attribute emails, or a userName that is an address.",
                    want.user_name
                ),
            ));
        };
        let role = match want.role.as_deref().map(role_word) {
            Some("admin") => "admin",
            _ => "direct_member",
        };
        let teams = want.groups.iter().map(|id| number(id.as_str())).collect::<Result<Vec<u64>, Fault>>()?;
        let mut body = json!({ "email": email, "role": role });
        if !teams.is_empty() {
            // The only way into a team before the acceptance, and it takes no second seat.
            body["team_ids"] = json!(teams);
        }
        let name = "invite by e-mail";
        let call = self.client.call(name, Method::POST, &["orgs", &self.client.org, "invitations"]).json(&body);
        let reply = self.client.send(cx, call).await?;
        if reply.status == 201 {
            let invitation: Invitation = self.client.read(name, &reply)?;
            let mut account = invited(&invitation);
            account.email.get_or_insert_with(|| email.to_owned());
            return Ok(Created::Invited(account));
        }
        self.not_invited(cx, name, want, &reply).await
    }

    /// What a refused invitation means.
    async fn not_invited(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        want: &Person,
        reply: &Reply,
    ) -> Result<Created, Fault> {
        let org = &self.client.org;
        if reply.status != 422 {
            return Err(self.client.refusal(name, reply));
        }
        if says(reply, &["no_seat"], &["purchase at least one more seat"]) {
            return Ok(Created::ActionRequired(Need::new(
                "seat",
                format!(
                    "{org} has no free seat on GitHub. Buy a seat or remove someone; pending invitations take a seat each."
                ),
            )));
        }
        if says(reply, &[], &["invitation rate limit"]) {
            return Ok(Created::Waiting {
                reason: format!(
                    "{org} has used up GitHub's invitations for 24 hours (500; 50 for free organisations in their first month). The invitation is sent when there are some again."
                ),
                // GitHub does not say when the day began: look every hour.
                until: cx.now.checked_add(SignedDuration::from_hours(1)).ok(),
            });
        }
        let part = says(reply, &[], &["already a part of", "already a member"]);
        if !part
            && !says(reply, &["already_exists"], &["already been invited", "already invited", "pending invitation"])
        {
            let said = words(reply);
            return Err(Fault::new(
                FaultKind::Refused,
                format!("GitHub does not invite {} into {org}. GitHub says: {said}.", want.user_name),
            )
            .context(self.client.context(name, reply)));
        }
        // GitHub says that the person is there: only what a look shows counts.
        let found = Accounts::find(self, cx, want).await?;
        let mut found = found.into_iter().filter(|one| !part || one.account.remote_id.is_some());
        Ok(match (found.next(), found.next()) {
            (Some(found), None) => Created::AlreadyThere(found),
            (None, _) if !part => {
                return Err(Fault::new(
                    FaultKind::Unavailable,
                    format!("GitHub says that {} is invited already, but lists no such invitation yet. It is looked at again.", want.user_name),
                )
                .context(self.client.context(name, reply)));
            }
            _ => Created::ActionRequired(Need::new(
                "identity",
                format!(
                    "GitHub says that {} is in {org} already, but the identity source does not tell which account it is. Make the identity source tell (the person's name and address there and at the identity provider have to agree; `identity: manual` tells nothing), then retry the operation.",
                    want.user_name
                ),
            )),
        })
    }

    /// Takes an invitation back by its number.
    pub(super) async fn take_back(&self, cx: &Cx<'_>, id: u64) -> Result<Removed, Fault> {
        let name = "cancel invitation";
        let call = self
            .client
            .call(name, Method::DELETE, &["orgs", &self.client.org, "invitations", &id.to_string()])
            .repeat(Repeat::Idempotent);
        let reply = self.client.send(cx, call).await?;
        match reply.status.as_u16() {
            204 => Ok(Removed::Done),
            404 | 422 => {
                let pending = self.pending(cx, |one| one.id == id).await?;
                if pending.is_empty() { Ok(Removed::AlreadyGone) } else { Err(self.client.refusal(name, &reply)) }
            }
            _ => Err(self.client.refusal(name, &reply)),
        }
    }

    /// An invitation that is gone because somebody accepted it is no removal: there is a member now.
    pub(super) async fn must_not_be_accepted(
        &self,
        cx: &Cx<'_>,
        email: Option<&str>,
        login: Option<&str>,
    ) -> Result<(), Fault> {
        if let Some(login) = login.filter(|login| is_login(login, 100))
            && let Some(membership) = self.membership(cx, login).await?
            && !membership.pending()
        {
            return Err(accepted_meanwhile());
        }
        let Some(email) = email else {
            return Ok(());
        };
        let mut who = Person::named(email);
        who.email = Some(email.to_owned());
        if self.accounts_of(cx, &who).await?.is_empty() {
            return Ok(());
        }
        Err(accepted_meanwhile())
    }

    /// Who accepted an invitation that is neither pending nor failed.
    pub(super) async fn who_accepted(&self, cx: &Cx<'_>, who: &Person) -> Result<Followed, Fault> {
        let found = self.accounts_of(cx, who).await?;
        let several = found.len() > 1;
        if let Ok([found]) = <[Found; 1]>::try_from(found) {
            return Ok(Followed::Accepted { account: found.account, evidence: found.evidence });
        }
        // A login that is not a member says for sure that nobody accepted; the other sources only
        // say that they do not know the person yet.
        if self.identity == Identity::Handle && !several && self.handle(who).is_some() {
            return Ok(Followed::Ended(Ended::Unknown));
        }
        let why = match self.identity {
            _ if several => "several accounts match".to_owned(),
            Identity::Saml => "no SAML identity of an active member has the person's name or address yet; it appears when the person signs in through single sign-on".to_owned(),
            Identity::VerifiedDomain => "no member shows the address among those in verified domains".to_owned(),
            Identity::Handle => format!("the attribute {} holds no GitHub login", self.settings.handle_attribute),
            Identity::Manual => "with `identity: manual` nothing tells it".to_owned(),
        };
        Ok(Followed::Unclear(Need::new(
            "identity",
            format!(
                "The invitation of {} is neither pending nor failed, so it was accepted or taken back, but which account accepted cannot be told: {why}. Correct that at GitHub or at the identity provider and retry the operation, or remove the person at GitHub.",
                who.user_name
            ),
        )))
    }
}

/// The fault of taking back an invitation that has become a membership.
pub(super) fn accepted_meanwhile() -> Fault {
    Fault::new(
        FaultKind::NotFound,
        "The invitation was accepted meanwhile, so there is a member now instead of an invitation. It is followed to its account, which is removed then.",
    )
    .retry(Retry::Soon)
    .context("cancel invitation: accepted")
}

/// How a failed invitation ended, from GitHub's words.
pub(super) fn ended(failed: &Invitation) -> Ended {
    let reason = failed.failed_reason.as_deref().unwrap_or_default().to_ascii_lowercase();
    let any = |parts: &[&str]| parts.iter().any(|part| reason.contains(part));
    if any(&["expire"]) {
        Ended::Expired
    } else if any(&["declin", "reject"]) {
        Ended::Declined
    } else if any(&["cancel", "revok", "rescind"]) {
        Ended::Revoked
    } else {
        Ended::Unknown
    }
}
