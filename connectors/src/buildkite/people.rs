//! What stands behind the calls of accounts.rs: one member, one invitation, looks by e-mail, and what
//! refusals mean.

use std::sync::Arc;

use connector_sdk::{
    Account, Accounts, Created, Cx, Effect, Evidence, Fault, FaultKind, Found, InviteId, Need, PageToken, RemoteId,
    Removed, Repeat, Retry,
};
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::client::{Answer, Client, MOST_PAGES, Refusal};
use super::ids;
use super::settings::Settings;
use crate::shared::answer::Refused;
use crate::shared::same_address;

/// Finds members by their primary e-mail; REST has no such filter.
const FIND: &str = "query($org: ID!, $email: String!) { organization(slug: $org) { members(first: 2, email: $email) { edges { node { role user { uuid name email } } } } } }";

/// People of one organisation.
pub(super) struct People {
    /// The way there.
    pub(super) client: Arc<Client>,
    /// How to invite.
    pub(super) settings: Arc<Settings>,
}

#[derive(Deserialize)]
pub(super) struct MemberBody {
    pub(super) id: String,
    name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) role: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct InvitationBody {
    pub(super) id: String,
    pub(super) email: Option<String>,
    pub(super) state: String,
    pub(super) role: Option<String>,
    pub(super) created_at: Option<Timestamp>,
    pub(super) accepted_by: Option<UserBody>,
}

#[derive(Deserialize)]
pub(super) struct UserBody {
    pub(super) id: String,
}

impl MemberBody {
    pub(super) fn account(self, own: Option<&RemoteId>) -> Result<Account, Fault> {
        let id = ids::remote(&self.id)?;
        let protected = own == Some(&id);
        let mut account = Account::active(id);
        account.email = self.email;
        account.display_name = self.name;
        account.role = self.role.map(|role| role.to_ascii_lowercase());
        account.protected = protected;
        Ok(account)
    }
}

impl InvitationBody {
    pub(super) fn pending(&self) -> bool {
        self.state.eq_ignore_ascii_case("pending")
    }

    pub(super) fn account(&self) -> Result<Account, Fault> {
        let mut account = Account::invited(ids::invite(&self.id)?);
        account.email.clone_from(&self.email);
        account.role = self.role.as_ref().map(|role| role.to_ascii_lowercase());
        Ok(account)
    }
}

/// What a look at one invitation found.
pub(super) enum Invitation {
    There(InvitationBody),
    Absent,
}

impl People {
    pub(super) async fn member(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<Account>, Fault> {
        let path = ["members", ids::in_path(id.as_str())?];
        let call = self.client.call("get member", Method::GET, &path);
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => {
                let own = self.client.own(cx).await?;
                success.json::<MemberBody>()?.account(own).map(Some)
            }
            Answer::No(refusal) if refusal.status == StatusCode::NOT_FOUND => {
                self.client.confirm_absence(cx).await?;
                Ok(None)
            }
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    pub(super) async fn invitation(&self, cx: &Cx<'_>, id: &InviteId) -> Result<Invitation, Fault> {
        let path = ["invitations", ids::in_path(id.as_str())?];
        let call = self.client.call("get invitation", Method::GET, &path);
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => success.json().map(Invitation::There),
            Answer::No(refusal) if refusal.status == StatusCode::NOT_FOUND => {
                self.client.confirm_absence(cx).await?;
                Ok(Invitation::Absent)
            }
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    /// The members with that primary e-mail.
    async fn members_by_email(&self, cx: &Cx<'_>, email: &str) -> Result<Vec<Found>, Fault> {
        #[derive(Deserialize)]
        struct Data {
            organization: Option<Organization>,
        }
        #[derive(Deserialize)]
        struct Organization {
            members: Option<Members>,
        }
        #[derive(Deserialize)]
        struct Members {
            edges: Option<Vec<Option<Edge>>>,
        }
        #[derive(Deserialize)]
        struct Edge {
            node: Option<Node>,
        }
        #[derive(Deserialize)]
        struct Node {
            role: Option<String>,
            user: User,
        }
        #[derive(Deserialize)]
        struct User {
            uuid: String,
            name: Option<String>,
            email: Option<String>,
        }
        let variables = json!({ "org": self.client.org(), "email": email });
        let data: Data = self.client.ask(cx, "find member by e-mail", Repeat::Read, FIND, variables).await?;
        let Some(organization) = data.organization else {
            return Err(Client::no_such_list());
        };
        let edges = organization.members.and_then(|members| members.edges);
        let nodes = edges.into_iter().flatten().flatten().filter_map(|edge| edge.node);
        let mut found = Vec::new();
        let own = self.client.own(cx).await?;
        for node in nodes {
            // The filter is the target's; whose account it is must not rest on it alone.
            if !same_address(node.user.email.as_deref(), email) {
                continue;
            }
            let body = MemberBody { id: node.user.uuid, name: node.user.name, email: node.user.email, role: node.role };
            found.push(Found { account: body.account(own)?, evidence: Evidence::Email });
        }
        Ok(found)
    }

    /// The pending invitations to that address.
    async fn invitations_by_email(&self, cx: &Cx<'_>, email: &str) -> Result<Vec<Found>, Fault> {
        let mut found = Vec::new();
        let mut page: Option<PageToken> = None;
        for _ in 0..MOST_PAGES {
            let listed = self.invitations(cx, page.as_ref()).await?;
            found.extend(
                listed
                    .items
                    .into_iter()
                    .filter(|account| same_address(account.email.as_deref(), email))
                    .map(|account| Found { account, evidence: Evidence::Email }),
            );
            page = listed.next;
            if page.is_none() {
                return Ok(found);
            }
        }
        Err(endless())
    }

    pub(super) async fn by_email(&self, cx: &Cx<'_>, email: &str) -> Result<Vec<Found>, Fault> {
        let mut found = self.members_by_email(cx, email).await?;
        found.extend(self.invitations_by_email(cx, email).await?);
        Ok(found)
    }

    /// What a refused invitation means. The reasons are told apart by their words, and what they
    /// claim of other objects is read again before it counts.
    pub(super) async fn not_invited(&self, cx: &Cx<'_>, refusal: Refusal, email: &str) -> Result<Created, Fault> {
        if refusal.status == StatusCode::NOT_FOUND {
            self.client.confirm_absence(cx).await?;
            return Err(refusal.fault());
        }
        if refusal.status != StatusCode::UNPROCESSABLE_ENTITY {
            return Err(refusal.fault());
        }
        // "Already" is also how a used-up quota may be worded: only what a look shows counts.
        let claimed = refusal.says(&["already", "has been invited", "been taken"]);
        if claimed && let Some(found) = self.by_email(cx, email).await?.into_iter().next() {
            return Ok(Created::AlreadyThere(found));
        }
        if refusal.says(&["user limit", "seat", "member limit", "number of users", "upgrade"]) {
            return Ok(Created::ActionRequired(Need::new(
                "seat",
                format!(
                    "The organisation has no seat left at Buildkite. Add seats to its plan or remove members. Buildkite says: {}",
                    refusal.reason
                ),
            )));
        }
        if refusal.says(&["quota", "pending invitations", "invitation limit", "too many"]) {
            return Ok(Created::Waiting {
                reason: format!(
                    "The organisation's quota of pending invitations is used up (20 by default). It goes on when invitations are accepted or revoked. Buildkite says: {}",
                    refusal.reason
                ),
                until: None,
            });
        }
        if refusal.says(&["sso"]) {
            return Ok(Created::ActionRequired(Need::new(
                "sso_mode",
                format!(
                    "The organisation has SSO enabled, so Buildkite wants to know whether invited people must use it. Set `sso_mode` of this instance. Buildkite says: {}",
                    refusal.reason
                ),
            )));
        }
        if refusal.says(&["team"]) && refusal.absent() {
            return Err(refusal
                .because(FaultKind::Refused, "A team that the invitation names is not there any more at Buildkite.")
                .retry(Retry::Soon));
        }
        if claimed {
            return Err(refusal
                .because(
                    FaultKind::Refused,
                    "Buildkite says that this person is there already, but shows neither a member nor an invitation with that address.",
                )
                .retry(Retry::Soon));
        }
        Err(refusal.because(FaultKind::Refused, "Buildkite refuses the invitation."))
    }

    /// What a refused change or removal of a member means.
    pub(super) fn not_changed(&self, refusal: &Refusal, id: &RemoteId, own: Option<&RemoteId>) -> Fault {
        let last_admin = refusal.status == StatusCode::UNPROCESSABLE_ENTITY && refusal.says(&["admin", "owner"]);
        let oneself =
            refusal.status == StatusCode::FORBIDDEN && (own == Some(id) || refusal.says(&["yourself", "your own"]));
        if oneself {
            refusal.because(FaultKind::Protected, OWN)
        } else if last_admin {
            refusal.because(
                FaultKind::Protected,
                "This member is the organisation's last admin. Make somebody else admin first.",
            )
        } else {
            refusal.fault()
        }
    }
}

/// Why the credential's own account is left alone.
pub(super) const OWN: &str = "This account is the one that the gateway's token belongs to. Removing or changing it would end the gateway's access.";

pub(super) fn endless() -> Fault {
    crate::shared::endless("Buildkite", MOST_PAGES)
}

pub(super) fn accepted_meanwhile() -> Fault {
    Fault::new(
        FaultKind::NotFound,
        "The invitation was accepted meanwhile, so there is a member now instead of an invitation.",
    )
    .retry(Retry::Soon)
}

pub(super) fn unknown_state() -> Fault {
    Fault::new(
        FaultKind::Malformed,
        "The invitation is in a state that this connector does not know. If this goes on, Buildkite's API has changed.",
    )
    .effect(Effect::None)
}

impl People {
    /// Takes an invitation back. One that was accepted is no removal: there is a member now.
    pub(super) async fn revoke(&self, cx: &Cx<'_>, id: &InviteId) -> Result<Removed, Fault> {
        let path = ["invitations", ids::in_path(id.as_str())?];
        let call = self.client.call("revoke invitation", Method::DELETE, &path);
        let refusal = match self.client.send(cx, call).await? {
            Answer::Yes(success) => return success.done().map(|()| Removed::Done),
            Answer::No(refusal) => refusal,
        };
        if refusal.status != StatusCode::UNPROCESSABLE_ENTITY && refusal.status != StatusCode::NOT_FOUND {
            return Err(refusal.fault());
        }
        match self.invitation(cx, id).await? {
            Invitation::Absent => Ok(Removed::AlreadyGone),
            Invitation::There(body) => match body.state.to_ascii_lowercase().as_str() {
                "revoked" | "expired" => Ok(Removed::AlreadyGone),
                "accepted" => Err(accepted_meanwhile()),
                "pending" => Err(refusal.because(FaultKind::Refused, "Buildkite does not take this invitation back.")),
                _ => Err(unknown_state()),
            },
        }
    }
}

/// A role of Buildkite's.
pub(super) fn known_role(role: &str) -> Result<&'static str, Fault> {
    super::ROLES.iter().map(|known| known.value).find(|known| role.eq_ignore_ascii_case(known)).ok_or_else(|| {
        Fault::new(
            FaultKind::Refused,
            "Buildkite has only the roles `member` and `admin`. Correct the role in the identity provider.",
        )
    })
}
