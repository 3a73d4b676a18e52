//! People: who is in the workspace. Slack's Web API below the Business+ plan only shows them.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    Account, AccountChange, AccountRef, AccountStatus, Accounts, Created, Cx, Evidence, Fault, FaultKind, Found, Page,
    PageToken, Person, Removed, Updated,
};
use serde::Deserialize;

use super::client::{Answer, Client};
use super::limits::{FIND_USER, GET_USER, LIST_USERS};
use crate::shared::{email, held_id, remote_id, same_address};

/// People of one workspace.
pub(super) struct People {
    /// The way there.
    pub(super) client: Arc<Client>,
}

#[derive(Deserialize)]
struct User {
    id: String,
    name: Option<String>,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    is_bot: bool,
    #[serde(default)]
    is_app_user: bool,
    #[serde(default)]
    is_owner: bool,
    #[serde(default)]
    is_admin: bool,
    #[serde(default)]
    is_restricted: bool,
    #[serde(default)]
    profile: Profile,
}

#[derive(Default, Deserialize)]
struct Profile {
    email: Option<String>,
    real_name: Option<String>,
}

#[derive(Deserialize)]
struct One {
    user: User,
}

impl User {
    /// Slackbot says of itself that it is no bot.
    fn person(&self) -> bool {
        !self.is_bot && !self.is_app_user && self.id != "USLACKBOT"
    }

    fn account(self) -> Result<Account, Fault> {
        let mut account = Account::active(remote_id("Slack", &self.id)?);
        account.login = self.name;
        account.email = self.profile.email;
        account.display_name = self.profile.real_name;
        let role = match (self.is_owner, self.is_admin, self.is_restricted) {
            (true, _, _) => "owner",
            (_, true, _) => "admin",
            (_, _, true) => "guest",
            _ => "member",
        };
        account.role = Some(role.to_owned());
        if self.deleted {
            account.status = AccountStatus::Suspended;
        }
        Ok(account)
    }
}

/// What this way to Slack cannot do.
fn not_here() -> Fault {
    Fault::new(
        FaultKind::Refused,
        "This connector manages user groups only: Slack's Web API creates and deactivates nobody. With the Business+ or Enterprise plan, use the connector `scim` with Slack's SCIM API instead.",
    )
}

#[async_trait]
impl Accounts for People {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        #[derive(Deserialize)]
        struct Body {
            members: Vec<User>,
            #[serde(default)]
            response_metadata: Metadata,
        }
        #[derive(Default, Deserialize)]
        struct Metadata {
            #[serde(default)]
            next_cursor: String,
        }
        let mut query = vec![("limit", "200")];
        query.extend(page.map(|PageToken(cursor)| ("cursor", cursor.as_str())));
        let body: Body = self.client.get(cx, LIST_USERS, &query).await?.success()?;
        let cursor = body.response_metadata.next_cursor;
        if !cursor.is_empty() && page.is_some_and(|page| page.0 == cursor) {
            return Err(crate::shared::endless("Slack", 1));
        }
        let people = body.members.into_iter().filter(User::person);
        Ok(Page {
            items: people.map(User::account).collect::<Result<_, _>>()?,
            next: (!cursor.is_empty()).then_some(PageToken(cursor)),
            complete: true,
        })
    }

    async fn find(&self, cx: &Cx<'_>, who: &Person) -> Result<Vec<Found>, Fault> {
        let Some(email) = email(who) else {
            return Ok(Vec::new());
        };
        match self.client.get::<One>(cx, FIND_USER, &[("email", &email)]).await? {
            // Whose account it is must not rest on the target's search alone.
            Answer::Yes(One { user }) if user.person() && same_address(user.profile.email.as_deref(), &email) => {
                Ok(vec![Found { account: user.account()?, evidence: Evidence::Email }])
            }
            Answer::Yes(_) => Ok(Vec::new()),
            Answer::No(refusal) if refusal.is(&["users_not_found", "user_not_found"]) => Ok(Vec::new()),
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn get(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Option<Account>, Fault> {
        let AccountRef::Account { id, .. } = at else {
            return Ok(None);
        };
        match self.client.get::<One>(cx, GET_USER, &[("user", held_id("Slack", id.as_str())?)]).await? {
            Answer::Yes(One { user }) => user.account().map(Some),
            Answer::No(refusal) if refusal.is(&["user_not_found", "user_not_visible", "users_not_found"]) => Ok(None),
            Answer::No(refusal) => Err(refusal.fault()),
        }
    }

    async fn create(&self, _cx: &Cx<'_>, _want: &Person) -> Result<Created, Fault> {
        Err(not_here())
    }

    async fn update(&self, _cx: &Cx<'_>, _at: &AccountRef, _change: &AccountChange) -> Result<Updated, Fault> {
        Err(not_here())
    }

    async fn remove(&self, _cx: &Cx<'_>, _at: &AccountRef) -> Result<Removed, Fault> {
        Err(not_here())
    }
}
