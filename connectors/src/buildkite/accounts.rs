//! People: members of the organisation and invitations to it.

use async_trait::async_trait;
use connector_sdk::{
    Account, AccountChange, AccountRef, Accounts, Created, Cx, Effect, Ended, Evidence, Fault, FaultKind, Followed,
    Found, InviteId, Need, Page, PageToken, Person, Removed, Retry, Updated,
};
use http::{Method, StatusCode};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{self, Answer, Client, PER_PAGE};
use super::ids;
use super::people::{
    Invitation, InvitationBody, MemberBody, OWN, People, accepted_meanwhile, endless, known_role, unknown_state,
};
use crate::shared::{email, no_address, same_address};

/// How old an invitation may be, by the target's own clock, that was made by the call it answers.
const FRESH: SignedDuration = SignedDuration::from_secs(60);

#[derive(Deserialize)]
struct InvitationList {
    items: Vec<InvitationBody>,
    links: Option<Links>,
}

#[derive(Deserialize)]
struct Links {
    next: Option<String>,
}

#[async_trait]
impl Accounts for People {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        let own = self.client.own(cx).await?;
        let listed = self
            .client
            .numbered::<MemberBody>(cx, "list members", &["members"], page, |body| &body.id)
            .await?
            .ok_or_else(Client::no_such_list)?;
        let items = listed.items.into_iter().map(|body| body.account(own));
        Ok(Page { items: items.collect::<Result<_, _>>()?, next: listed.next, complete: true })
    }

    async fn invitations(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        let mut call = self.client.call("list invitations", Method::GET, &["invitations"]);
        call.url.query_pairs_mut().append_pair("per_page", &PER_PAGE.to_string());
        if let Some(PageToken(after)) = page {
            call.url.query_pairs_mut().append_pair("after", after);
        }
        let listed: InvitationList = self.client.send(cx, call).await?.success()?.json()?;
        let next = match listed.links.and_then(|links| links.next) {
            None => None,
            Some(address) => {
                let after = client::parameter(&address, "after")
                    .filter(|after| page.is_none_or(|page| page.0 != *after))
                    .ok_or_else(endless)?;
                Some(PageToken(after))
            }
        };
        let pending = listed.items.iter().filter(|body| body.pending());
        Ok(Page { items: pending.map(InvitationBody::account).collect::<Result<_, _>>()?, next, complete: true })
    }

    async fn find(&self, cx: &Cx<'_>, who: &Person) -> Result<Vec<Found>, Fault> {
        match email(who) {
            Some(email) => self.by_email(cx, &email).await,
            None => Ok(Vec::new()),
        }
    }

    async fn get(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Option<Account>, Fault> {
        match at {
            AccountRef::Account { id, .. } => self.member(cx, id).await,
            AccountRef::Invite { id, .. } => match self.invitation(cx, id).await? {
                Invitation::There(body) if body.pending() => body.account().map(Some),
                _ => Ok(None),
            },
        }
    }

    async fn create(&self, cx: &Cx<'_>, want: &Person) -> Result<Created, Fault> {
        let Some(email) = email(want) else {
            return Err(no_address("Buildkite", want));
        };
        let role = match want.role.as_deref() {
            None => self.settings.default_role.word(),
            Some(role) => known_role(role)?,
        };
        let mut body = json!({ "emails": [email], "role": role });
        if let Some(mode) = self.settings.sso_mode {
            body["sso_mode"] = Value::from(mode.word());
        }
        if !want.groups.is_empty() {
            let mut teams = Vec::with_capacity(want.groups.len());
            for id in &want.groups {
                let team = json!({
                    "id": ids::in_path(id.as_str())?,
                    "role": self.settings.team_member_role.word(),
                });
                // Two assignments of one team are refused.
                if !teams.contains(&team) {
                    teams.push(team);
                }
            }
            body["teams"] = Value::from(teams);
        }
        let call = self.client.call("invite", Method::POST, &["invitations"]).json(&body);
        let success = match self.client.send(cx, call).await? {
            Answer::Yes(success) => success,
            Answer::No(refusal) => return self.not_invited(cx, refusal, &email).await,
        };
        let invited: Vec<InvitationBody> = success.json()?;
        let ours = invited.iter().find(|body| same_address(body.email.as_deref(), &email));
        match ours {
            Some(body) => {
                let account = body.account().map_err(|fault| fault.effect(Effect::Unknown))?;
                // What Buildkite does with an address that is invited already is not documented.
                // Should it send the old invitation again, the answer shows an old one.
                let old = body
                    .created_at
                    .zip(success.date())
                    .is_some_and(|(created, sent)| sent.duration_since(created) > FRESH);
                Ok(if old {
                    Created::AlreadyThere(Found { account, evidence: Evidence::Email })
                } else {
                    Created::Invited(account)
                })
            }
            // Sent, and yet not told of: whether it was there before or not, a look tells.
            None => match self.by_email(cx, &email).await?.into_iter().next() {
                Some(found) => Ok(Created::AlreadyThere(found)),
                None => {
                    Err(Fault::new(FaultKind::Malformed, "Buildkite accepted the invitation but does not show it.")
                        .context("invite: the answer names no invitation to the address"))
                }
            },
        }
    }

    async fn update(&self, cx: &Cx<'_>, at: &AccountRef, change: &AccountChange) -> Result<Updated, Fault> {
        let wanted = change.role.as_deref().map(known_role).transpose()?;
        let id = match at {
            AccountRef::Account { id, .. } => id,
            AccountRef::Invite { id, .. } => {
                return match self.invitation(cx, id).await? {
                    Invitation::There(body) if body.pending() => {
                        let account = body.account()?;
                        if wanted.is_none_or(|role| account.role.as_deref() == Some(role)) {
                            return Ok(Updated::Done(account));
                        }
                        Err(Fault::new(
                            FaultKind::Refused,
                            "Buildkite cannot change the role of a pending invitation. It is changed when the invitation was accepted.",
                        )
                        .retry(Retry::Soon))
                    }
                    Invitation::There(body) if body.accepted_by.is_some() => Err(accepted_meanwhile()),
                    _ => Ok(Updated::AlreadyGone),
                };
            }
        };
        let Some(role) = wanted else {
            return Ok(match self.member(cx, id).await? {
                Some(account) => Updated::Done(account),
                None => Updated::AlreadyGone,
            });
        };
        let own = self.client.own(cx).await?;
        if own == Some(id) {
            return Err(Fault::new(FaultKind::Protected, OWN));
        }
        let path = ["members", ids::in_path(id.as_str())?];
        let call = self.client.call("update member", Method::PATCH, &path).json(&json!({ "role": role }));
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => {
                let account =
                    success.json::<MemberBody>()?.account(own).map_err(|fault| fault.effect(Effect::Unknown))?;
                Ok(Updated::Done(account))
            }
            Answer::No(refusal) if refusal.status == StatusCode::NOT_FOUND => {
                self.client.confirm_absence(cx).await?;
                Ok(Updated::AlreadyGone)
            }
            Answer::No(refusal) => Err(self.not_changed(&refusal, id, own)),
        }
    }

    async fn remove(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Removed, Fault> {
        let id = match at {
            AccountRef::Account { id, .. } => id,
            AccountRef::Invite { id, .. } => return self.revoke(cx, id).await,
        };
        let own = self.client.own(cx).await?;
        if own == Some(id) {
            return Err(Fault::new(FaultKind::Protected, OWN));
        }
        let path = ["members", ids::in_path(id.as_str())?];
        let call = self.client.call("remove member", Method::DELETE, &path);
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => success.done().map(|()| Removed::Done),
            Answer::No(refusal) if refusal.absent() => match self.member(cx, id).await? {
                None => Ok(Removed::AlreadyGone),
                Some(_) => Err(refusal.because(
                    FaultKind::Refused,
                    "Buildkite says that this member is not there, and shows it at the same time.",
                )),
            },
            Answer::No(refusal) => Err(self.not_changed(&refusal, id, own)),
        }
    }

    async fn follow(&self, cx: &Cx<'_>, invite: &InviteId, _who: &Person) -> Result<Followed, Fault> {
        let Invitation::There(body) = self.invitation(cx, invite).await? else {
            return Ok(Followed::Ended(Ended::Unknown));
        };
        match body.state.to_ascii_lowercase().as_str() {
            "pending" => body.account().map(Followed::Pending),
            "revoked" => Ok(Followed::Ended(Ended::Revoked)),
            "expired" => Ok(Followed::Ended(Ended::Expired)),
            "accepted" => {
                let Some(user) = &body.accepted_by else {
                    return Ok(Followed::Unclear(Need::new(
                        "identity",
                        "The invitation was accepted, but Buildkite does not say by whom. Give the account at Buildkite the address that the identity provider has for the person, or the other way round, then retry the operation.",
                    )));
                };
                Ok(match self.member(cx, &ids::remote(&user.id)?).await? {
                    Some(account) => Followed::Accepted { account, evidence: Evidence::SameId },
                    // Accepted, and gone again since.
                    None => Followed::Ended(Ended::Unknown),
                })
            }
            _ => Err(unknown_state()),
        }
    }
}
