//! People: users of the workspace and invitations to it.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    Account, AccountChange, AccountRef, AccountStatus, Accounts, Created, Cx, Effect, Ended, Evidence, Fault,
    FaultKind, Followed, Found, InviteId, Need, Page, PageToken, Person, RemoteId, Removed, Repeat, Retry, Updated,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Answer, Client, MOST_PAGES, PER_PAGE, Refusal, Why};
use super::settings::Settings;
use crate::shared::{email, endless, held_id, invite_id, no_address, remote_id, same_address};

/// What is asked of a user.
macro_rules! user {
    () => {
        "{ id name email active admin owner guest app isMe }"
    };
}
/// What is asked of an invitation.
macro_rules! invite {
    () => {
        concat!("{ id email role expiresAt acceptedAt archivedAt invitee ", user!(), " }")
    };
}
/// What is asked of many: without who accepted, which would double the price.
macro_rules! pending {
    () => {
        "{ id email role expiresAt acceptedAt archivedAt }"
    };
}
const LIST: &str = concat!(
    "query($first: Int!, $after: String) { users(first: $first, after: $after, includeDisabled: true) { nodes ",
    user!(),
    " pageInfo { hasNextPage endCursor } } }"
);
const LIST_INVITES: &str = concat!(
    "query($first: Int!, $after: String) { organizationInvites(first: $first, after: $after) { nodes ",
    pending!(),
    " pageInfo { hasNextPage endCursor } } }"
);
/// Both kinds at once: one request instead of two.
const FIND: &str = concat!(
    "query($email: String!, $first: Int!) { users(filter: { email: { eqIgnoreCase: $email } }, first: 5, includeDisabled: true) { nodes ",
    user!(),
    " } organizationInvites(first: $first) { nodes ",
    pending!(),
    " pageInfo { hasNextPage endCursor } } }"
);
const GET: &str = concat!("query($id: String!) { user(id: $id) ", user!(), " }");
const GET_INVITE: &str = concat!("query($id: String!) { organizationInvite(id: $id) ", invite!(), " }");
const INVITE: &str = concat!(
    "mutation($input: OrganizationInviteCreateInput!) { organizationInviteCreate(input: $input) { success organizationInvite ",
    invite!(),
    " } }"
);
const REVOKE: &str = "mutation($id: String!) { organizationInviteDelete(id: $id) { success } }";
const SUSPEND: &str = "mutation($id: String!) { userSuspend(id: $id) { success } }";
const RESTORE: &str = "mutation($id: String!) { userUnsuspend(id: $id) { success } }";
const CHANGE_ROLE: &str =
    "mutation($id: String!, $role: UserRoleType!) { userChangeRole(id: $id, role: $role) { success } }";
const RENAME: &str =
    "mutation($id: String!, $input: UserUpdateInput!) { userUpdate(id: $id, input: $input) { success } }";

/// Why the key's own account is left alone.
const OWN: &str = "This account is the one that the gateway's API key belongs to. Suspending or changing it would end the gateway's access.";

/// People of one workspace.
pub(super) struct People {
    /// The way there.
    pub(super) client: Arc<Client>,
    /// How to invite.
    pub(super) settings: Arc<Settings>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    id: String,
    name: Option<String>,
    email: Option<String>,
    active: bool,
    admin: bool,
    owner: bool,
    guest: bool,
    app: bool,
    is_me: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invite {
    id: String,
    email: String,
    role: String,
    expires_at: Option<Timestamp>,
    accepted_at: Option<Timestamp>,
    archived_at: Option<Timestamp>,
    #[serde(default)]
    invitee: Option<User>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Nodes<T> {
    pub(super) nodes: Vec<T>,
    pub(super) page_info: PageInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

impl PageInfo {
    /// Where the listing goes on; a cursor that stands still ends it as a fault.
    pub(super) fn next(self, page: Option<&PageToken>) -> Result<Option<PageToken>, Fault> {
        if !self.has_next_page {
            return Ok(None);
        }
        let moved = self.end_cursor.filter(|cursor| page.is_none_or(|page| page.0 != *cursor));
        moved.map(|cursor| Some(PageToken(cursor))).ok_or_else(|| endless("Linear", 1))
    }
}

/// `{ success }` of a mutation.
#[derive(Deserialize)]
pub(super) struct Payload {
    success: bool,
}

impl Payload {
    /// That it says so. `false` without an error is documented for nothing: what happened is open.
    pub(super) fn done(&self, call: &str) -> Result<(), Fault> {
        if self.success {
            return Ok(());
        }
        Err(Fault::new(FaultKind::Malformed, "Linear answered without an error that the change was no success.")
            .context(format!("{call}: success is false")))
    }
}

impl User {
    fn account(self) -> Result<Account, Fault> {
        let mut account = Account::active(remote_id("Linear", &self.id)?);
        account.email = self.email;
        account.display_name = self.name;
        let role = match (self.owner, self.admin, self.guest) {
            (true, _, _) => "owner",
            (_, true, _) => "admin",
            (_, _, true) => "guest",
            _ => "user",
        };
        account.role = Some(role.to_owned());
        account.protected = self.is_me;
        if !self.active {
            account.status = AccountStatus::Suspended;
        }
        Ok(account)
    }
}

impl Invite {
    fn expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    fn pending(&self, now: Timestamp) -> bool {
        self.accepted_at.is_none() && self.archived_at.is_none() && !self.expired(now)
    }

    fn account(&self) -> Result<Account, Fault> {
        let mut account = Account::invited(invite_id("Linear", &self.id)?);
        account.email = Some(self.email.clone());
        account.role = Some(self.role.clone());
        account.expires_at = self.expires_at;
        Ok(account)
    }
}

impl People {
    async fn user(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<Account>, Fault> {
        #[derive(Deserialize)]
        struct Data {
            user: User,
        }
        let variables = json!({ "id": held_id("Linear", id.as_str())? });
        match self.client.ask::<Data>(cx, "get user", Repeat::Read, GET, variables).await? {
            Answer::Yes(data) => data.user.account().map(Some),
            Answer::No(refusal) if refusal.why == Why::Absent => Ok(None),
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn invite(&self, cx: &Cx<'_>, id: &InviteId) -> Result<Option<Invite>, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            organization_invite: Invite,
        }
        let variables = json!({ "id": held_id("Linear", id.as_str())? });
        match self.client.ask::<Data>(cx, "get invitation", Repeat::Read, GET_INVITE, variables).await? {
            Answer::Yes(data) => Ok(Some(data.organization_invite)),
            Answer::No(refusal) if refusal.why == Why::Absent => Ok(None),
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn invites(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Nodes<Invite>, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            organization_invites: Nodes<Invite>,
        }
        let variables = json!({ "first": PER_PAGE, "after": page.map(|page| &page.0) });
        let asked = self.client.ask::<Data>(cx, "list invitations", Repeat::Read, LIST_INVITES, variables).await?;
        Ok(asked.success()?.organization_invites)
    }

    /// The user with that address, or else the pending invitations to it.
    async fn by_email(&self, cx: &Cx<'_>, email: &str) -> Result<Vec<Found>, Fault> {
        #[derive(Deserialize)]
        struct Users {
            nodes: Vec<User>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            users: Users,
            organization_invites: Nodes<Invite>,
        }
        let variables = json!({ "email": email, "first": PER_PAGE });
        let asked = self.client.ask::<Data>(cx, "find by e-mail", Repeat::Read, FIND, variables).await?;
        let data = asked.success()?;
        let mut found = Vec::new();
        // The filter is the target's; whose account it is must not rest on it alone.
        for user in data.users.nodes.into_iter().filter(|user| same_address(user.email.as_deref(), email)) {
            found.push(Found { account: user.account()?, evidence: Evidence::Email });
        }
        let mut listed = data.organization_invites;
        let mut page: Option<PageToken> = None;
        for _ in 0..MOST_PAGES {
            for invite in listed.nodes.iter().filter(|one| one.pending(cx.now) && same_address(Some(&one.email), email))
            {
                found.push(Found { account: invite.account()?, evidence: Evidence::Email });
            }
            // Who is a user has no use for an invitation.
            if !found.is_empty() {
                return Ok(found);
            }
            page = listed.page_info.next(page.as_ref())?;
            if page.is_none() {
                return Ok(found);
            }
            listed = self.invites(cx, page.as_ref()).await?;
        }
        Err(endless("Linear", MOST_PAGES))
    }

    /// What a refused invitation means.
    async fn not_invited(&self, cx: &Cx<'_>, refusal: Refusal, email: &str) -> Result<Created, Fault> {
        match refusal.why {
            Why::Usage => Ok(Created::ActionRequired(Need::new(
                "seat",
                refusal.words(
                    "The workspace's plan has no seat left. Add seats in Linear or suspend somebody, then retry.",
                ),
            ))),
            Why::Plan => Ok(Created::ActionRequired(Need::new(
                "plan",
                refusal.words("The workspace's plan does not allow this invitation."),
            ))),
            // Somebody may have been quicker.
            Why::Input => match self.by_email(cx, email).await?.into_iter().next() {
                Some(found) => Ok(Created::AlreadyThere(found)),
                None => Err(refusal.because(FaultKind::Refused, "Linear refuses the invitation.")),
            },
            Why::Absent => Err(refusal
                .because(FaultKind::Refused, "A team that the invitation names is not there any more.")
                .retry(Retry::Soon)),
            Why::Forbidden => Err(refusal.fault()),
        }
    }

    /// What a refused change of a user means.
    fn not_changed(refusal: &Refusal) -> Fault {
        if refusal.why == Why::Usage {
            return refusal
                .because(FaultKind::Quota, "The workspace's plan has no seat left for this person.")
                .retry(Retry::AfterOperator);
        }
        if refusal.says(&["scim", "identity provider"]) {
            return refusal
                .because(
                    FaultKind::Protected,
                    "Linear's own SCIM manages this account, so it is left alone. Turn one of the two off.",
                )
                .retry(Retry::AfterOperator);
        }
        if refusal.says(&["last admin", "last owner", "only admin", "only owner", "at least one"]) {
            return refusal.because(FaultKind::Protected, "This is the workspace's last admin or owner.");
        }
        refusal.fault()
    }

    /// One mutation of a user; `None` where the user is not there.
    async fn change(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        document: &str,
        variables: Value,
    ) -> Result<Option<()>, Fault> {
        #[derive(Deserialize)]
        struct Data {
            #[serde(alias = "userSuspend", alias = "userUnsuspend", alias = "userChangeRole", alias = "userUpdate")]
            payload: Payload,
        }
        match self.client.ask::<Data>(cx, name, Repeat::Idempotent, document, variables).await? {
            Answer::Yes(data) => data.payload.done(name).map(Some),
            Answer::No(refusal) if refusal.why == Why::Absent => Ok(None),
            Answer::No(refusal) => Err(Self::not_changed(&refusal)),
        }
    }

    async fn revoke(&self, cx: &Cx<'_>, id: &InviteId) -> Result<Removed, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            organization_invite_delete: Payload,
        }
        // What the deletion of an accepted invitation does is not documented, so it is not tried.
        match self.invite(cx, id).await? {
            None => return Ok(Removed::AlreadyGone),
            Some(invite) if invite.archived_at.is_some() => return Ok(Removed::AlreadyGone),
            Some(invite) if invite.accepted_at.is_some() => return Err(accepted_meanwhile()),
            Some(_) => {}
        }
        let variables = json!({ "id": held_id("Linear", id.as_str())? });
        match self.client.ask::<Data>(cx, "revoke invitation", Repeat::Idempotent, REVOKE, variables).await? {
            Answer::Yes(data) => data.organization_invite_delete.done("revoke invitation").map(|()| Removed::Done),
            Answer::No(refusal) if refusal.why == Why::Absent => Ok(Removed::AlreadyGone),
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }
}

fn accepted_meanwhile() -> Fault {
    Fault::new(
        FaultKind::NotFound,
        "The invitation was accepted meanwhile, so there is a user now instead of an invitation.",
    )
    .retry(Retry::Soon)
}

/// A role of Linear's.
fn known_role(role: &str) -> Result<&'static str, Fault> {
    super::ROLES.iter().map(|known| known.value).find(|known| role.eq_ignore_ascii_case(known)).ok_or_else(|| {
        Fault::new(
            FaultKind::Refused,
            "Linear has only the roles `user`, `guest`, `admin` and `owner`. Correct the role in the identity provider.",
        )
    })
}

#[async_trait]
impl Accounts for People {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        #[derive(Deserialize)]
        struct Data {
            users: Nodes<User>,
        }
        let variables = json!({ "first": PER_PAGE, "after": page.map(|page| &page.0) });
        let asked = self.client.ask::<Data>(cx, "list users", Repeat::Read, LIST, variables).await?;
        let Nodes { nodes, page_info } = asked.success()?.users;
        // An app is nobody's account, but for the one that the credential may be.
        let people = nodes.into_iter().filter(|user| !user.app || user.is_me);
        Ok(Page {
            items: people.map(User::account).collect::<Result<_, _>>()?,
            next: page_info.next(page)?,
            complete: true,
        })
    }

    async fn invitations(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        let Nodes { nodes, page_info } = self.invites(cx, page).await?;
        let pending = nodes.iter().filter(|invite| invite.pending(cx.now));
        Ok(Page {
            items: pending.map(Invite::account).collect::<Result<_, _>>()?,
            next: page_info.next(page)?,
            complete: true,
        })
    }

    async fn find(&self, cx: &Cx<'_>, who: &Person) -> Result<Vec<Found>, Fault> {
        match email(who) {
            Some(email) => self.by_email(cx, &email).await,
            None => Ok(Vec::new()),
        }
    }

    async fn get(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Option<Account>, Fault> {
        match at {
            AccountRef::Account { id, .. } => self.user(cx, id).await,
            AccountRef::Invite { id, .. } => match self.invite(cx, id).await? {
                Some(invite) if invite.pending(cx.now) => invite.account().map(Some),
                _ => Ok(None),
            },
        }
    }

    async fn create(&self, cx: &Cx<'_>, want: &Person) -> Result<Created, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            organization_invite_create: Sent,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Sent {
            organization_invite: Invite,
        }
        let email = email(want).ok_or_else(|| no_address("Linear", want))?;
        let role = match want.role.as_deref() {
            None => self.settings.default_role.word(),
            Some(role) => known_role(role)?,
        };
        // Whether Linear refuses a second invitation is not documented, so it is looked first.
        if let Some(found) = self.by_email(cx, &email).await?.into_iter().next() {
            return Ok(Created::AlreadyThere(found));
        }
        let mut input = json!({ "email": email, "role": role });
        if !want.groups.is_empty() {
            let mut teams = Vec::with_capacity(want.groups.len());
            for id in &want.groups {
                let id = held_id("Linear", id.as_str())?;
                if !teams.contains(&id) {
                    teams.push(id);
                }
            }
            input["teamIds"] = json!(teams);
        }
        let variables = json!({ "input": input });
        match self.client.ask::<Data>(cx, "invite", Repeat::Verifiable, INVITE, variables).await? {
            Answer::Yes(data) => {
                let account = data.organization_invite_create.organization_invite.account();
                account.map(Created::Invited).map_err(|fault| fault.effect(Effect::Unknown))
            }
            Answer::No(refusal) => self.not_invited(cx, refusal, &email).await,
        }
    }

    async fn update(&self, cx: &Cx<'_>, at: &AccountRef, change: &AccountChange) -> Result<Updated, Fault> {
        let role = change.role.as_deref().map(known_role).transpose()?;
        let id = match at {
            AccountRef::Account { id, .. } => id,
            AccountRef::Invite { id, .. } => {
                return match self.invite(cx, id).await? {
                    Some(invite) if invite.accepted_at.is_some() => Err(accepted_meanwhile()),
                    Some(invite) if invite.pending(cx.now) => {
                        if role.is_none_or(|role| invite.role == role) {
                            return invite.account().map(Updated::Done);
                        }
                        Err(Fault::new(
                            FaultKind::Refused,
                            "Linear cannot change the role of a pending invitation. It is changed when the invitation was accepted.",
                        )
                        .retry(Retry::Soon))
                    }
                    _ => Ok(Updated::AlreadyGone),
                };
            }
        };
        let own = self.client.own(cx).await? == id.as_str();
        if own && !change.is_empty() {
            return Err(Fault::new(FaultKind::Protected, OWN));
        }
        let key = held_id("Linear", id.as_str())?;
        if let Some(role) = role {
            let variables = json!({ "id": key, "role": role });
            if self.change(cx, "change role", CHANGE_ROLE, variables).await?.is_none() {
                return Ok(Updated::AlreadyGone);
            }
        }
        if let Some(name) = &change.display_name {
            let variables = json!({ "id": key, "input": { "name": name } });
            if self.change(cx, "rename user", RENAME, variables).await?.is_none() {
                return Ok(Updated::AlreadyGone);
            }
        }
        Ok(self.user(cx, id).await?.map_or(Updated::AlreadyGone, Updated::Done))
    }

    async fn set_active(&self, cx: &Cx<'_>, at: &AccountRef, active: bool) -> Result<Updated, Fault> {
        let AccountRef::Account { id, .. } = at else {
            return Err(Fault::new(FaultKind::Refused, "An invitation cannot be suspended; it is taken back instead."));
        };
        let Some(mut account) = self.user(cx, id).await? else {
            return Ok(Updated::AlreadyGone);
        };
        let (status, name, document) = if active {
            (AccountStatus::Active, "unsuspend user", RESTORE)
        } else {
            (AccountStatus::Suspended, "suspend user", SUSPEND)
        };
        if account.status == status {
            return Ok(Updated::Done(account));
        }
        if account.protected {
            return Err(Fault::new(FaultKind::Protected, OWN));
        }
        if self.change(cx, name, document, json!({ "id": id.as_str() })).await?.is_none() {
            return Ok(Updated::AlreadyGone);
        }
        account.status = status;
        Ok(Updated::Done(account))
    }

    async fn remove(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Removed, Fault> {
        let id = match at {
            AccountRef::Account { id, .. } => id,
            AccountRef::Invite { id, .. } => return self.revoke(cx, id).await,
        };
        match self.user(cx, id).await? {
            None => return Ok(Removed::AlreadyGone),
            Some(account) if account.protected => return Err(Fault::new(FaultKind::Protected, OWN)),
            Some(account) if account.status == AccountStatus::Suspended => return Ok(Removed::AlreadyGone),
            Some(_) => {}
        }
        let done = self.change(cx, "suspend user", SUSPEND, json!({ "id": id.as_str() })).await?;
        Ok(if done.is_some() { Removed::Done } else { Removed::AlreadyGone })
    }

    async fn follow(&self, cx: &Cx<'_>, invite: &InviteId, _who: &Person) -> Result<Followed, Fault> {
        let Some(invite) = self.invite(cx, invite).await? else {
            return Ok(Followed::Ended(Ended::Unknown));
        };
        if invite.pending(cx.now) {
            return invite.account().map(Followed::Pending);
        }
        if invite.accepted_at.is_some() {
            return match invite.invitee {
                Some(user) => Ok(Followed::Accepted { account: user.account()?, evidence: Evidence::SameId }),
                None => Ok(Followed::Unclear(Need::new(
                    "identity",
                    "The invitation was accepted, but Linear does not say by whom. Link the account by hand, then retry the operation.",
                ))),
            };
        }
        Ok(Followed::Ended(if invite.archived_at.is_some() { Ended::Revoked } else { Ended::Expired }))
    }
}
