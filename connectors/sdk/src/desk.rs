//! The way to a target without an API: what is asked of it becomes tasks for people, and the gateway keeps
//! the record of what they did. A connector of such a target ([`crate::Traits::by_hand`]) finds words for
//! each change and reads that record; both go through [`Desk`].

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::account::{Account, AccountChange, AccountRef, Person};
use crate::connector::{Page, PageToken};
use crate::fault::Fault;
use crate::group::{Member, RemoteGroup};
use crate::id::RemoteId;
use crate::traits::Traits;

/// What is to be true at the target once a task is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "act")]
pub enum Act {
    /// The person has an account.
    CreateAccount {
        /// The person.
        who: Box<Person>,
    },
    /// The account is as the directory wants it.
    UpdateAccount {
        /// The account.
        at: AccountRef,
        /// What changes.
        change: AccountChange,
    },
    /// The account is there, without access.
    SuspendAccount {
        /// The account.
        at: AccountRef,
    },
    /// A suspended account has access again.
    RestoreAccount {
        /// The account.
        at: AccountRef,
    },
    /// The account is not there.
    RemoveAccount {
        /// The account.
        at: AccountRef,
    },
    /// A group of that name is there.
    CreateGroup {
        /// Its name.
        name: String,
    },
    /// The group has that name.
    RenameGroup {
        /// The group.
        id: RemoteId,
        /// Its new name.
        name: String,
    },
    /// The group is not there.
    RemoveGroup {
        /// The group.
        id: RemoteId,
    },
    /// The account is a member of the group.
    AddMember {
        /// The group.
        group: RemoteId,
        /// The account.
        account: AccountRef,
    },
    /// The account is no member of the group.
    RemoveMember {
        /// The group.
        group: RemoteId,
        /// The account.
        account: AccountRef,
    },
}

impl Act {
    /// The word that the record and the API use.
    pub fn word(&self) -> &'static str {
        match self {
            Self::CreateAccount { .. } => "create_account",
            Self::UpdateAccount { .. } => "update_account",
            Self::SuspendAccount { .. } => "suspend_account",
            Self::RestoreAccount { .. } => "restore_account",
            Self::RemoveAccount { .. } => "remove_account",
            Self::CreateGroup { .. } => "create_group",
            Self::RenameGroup { .. } => "rename_group",
            Self::RemoveGroup { .. } => "remove_group",
            Self::AddMember { .. } => "add_member",
            Self::RemoveMember { .. } => "remove_member",
        }
    }

    /// Whether somebody has less access once it is done.
    pub fn takes_access(&self) -> bool {
        matches!(
            self,
            Self::SuspendAccount { .. }
                | Self::RemoveAccount { .. }
                | Self::RemoveGroup { .. }
                | Self::RemoveMember { .. }
        )
    }

    /// What tells it from another: two with the same print ask for the same, as far as what
    /// [`Traits::writable`] names goes.
    pub fn print(&self, traits: &Traits) -> String {
        let rest = match self {
            Self::CreateAccount { who } => {
                format!("{}:{}", who.user_name, traits.profile(who).unwrap_or_default())
            }
            Self::UpdateAccount { at, change } => {
                let profile = change.person.as_deref().and_then(|who| traits.profile(who)).unwrap_or_default();
                format!("{}:{profile}", at.id())
            }
            Self::SuspendAccount { at } | Self::RestoreAccount { at } | Self::RemoveAccount { at } => {
                at.id().to_owned()
            }
            Self::CreateGroup { name } => name.clone(),
            Self::RenameGroup { id, name } => format!("{id}:{name}"),
            Self::RemoveGroup { id } => id.as_str().to_owned(),
            Self::AddMember { group, account: at } | Self::RemoveMember { group, account: at } => {
                format!("{group}:{}", at.id())
            }
        };
        format!("{}:{rest}", self.word())
    }
}

/// A change that a person is asked for, with the words for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Task {
    /// What is to be true then.
    pub act: Act,
    /// One line: `Create an account for Ada Lovelace (ada@example.com) in Payroll`.
    pub title: String,
    /// The rest, in lines.
    pub detail: String,
    /// Within how many seconds it is to be done.
    pub within: u64,
    /// Who is to do it, in the words of the admin.
    pub assignee: Option<String>,
}

impl Task {
    /// A task for nobody in particular.
    pub fn new(act: Act, title: impl Into<String>, detail: impl Into<String>, within: u64) -> Self {
        Self { act, title: title.into(), detail: detail.into(), within, assignee: None }
    }

    /// Says who is to do it.
    pub fn assignee(mut self, who: Option<String>) -> Self {
        self.assignee = who;
        self
    }
}

/// What the desk says of a task.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The account, as it is now.
    Account {
        /// The account.
        account: Account,
        /// Whether the task brought it about; else it was there, or so, before.
        now: bool,
    },
    /// The group, as it is now.
    Group {
        /// The group.
        group: RemoteGroup,
        /// Whether the task brought it about; else it was there before.
        now: bool,
    },
    /// What the task is about is gone.
    Gone {
        /// Whether the task brought that about; else it was gone before.
        now: bool,
    },
    /// Whether the account is a member now.
    Member(bool),
}

/// A desk: people do what is asked, and it is on record here. Everything is of one instance.
///
/// Reads answer from the record. They are complete: what is listed is all that was ever done by a task or
/// entered by an admin, and not undone.
#[async_trait]
pub trait Desk: Send + Sync {
    /// Asks for a change, or says what became of it.
    ///
    /// - What is so already is answered at once, and nobody is asked: an account of that user name or address, a
    ///   group of that name (without regard to case), an account or group that is gone.
    /// - Asked again with the same print, it is the same task.
    /// - Until somebody closed it, the answer is [`crate::FaultKind::Awaiting`]; one that was refused is
    ///   [`crate::FaultKind::Refused`] with the comment of who refused it; a group that is not there is
    ///   [`crate::FaultKind::NotFound`] for its members; another group's name is [`crate::FaultKind::NameTaken`].
    async fn ask(&self, task: Task) -> Result<Told, Fault>;

    /// One page of the accounts.
    async fn accounts(&self, page: Option<&PageToken>) -> Result<Page<Account>, Fault>;

    /// The accounts of that user name, or else of that address, without regard to case.
    async fn find_accounts(&self, user_name: &str, email: Option<&str>) -> Result<Vec<Account>, Fault>;

    /// One account.
    async fn account(&self, id: &RemoteId) -> Result<Option<Account>, Fault>;

    /// One page of the groups.
    async fn groups(&self, page: Option<&PageToken>) -> Result<Page<RemoteGroup>, Fault>;

    /// The groups of that name, without regard to case.
    async fn find_groups(&self, name: &str) -> Result<Vec<RemoteGroup>, Fault>;

    /// One group.
    async fn group(&self, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault>;

    /// One page of a group's members; a group that is not there is [`crate::FaultKind::NotFound`].
    async fn members(&self, id: &RemoteId, page: Option<&PageToken>) -> Result<Page<Member>, Fault>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::DriverKey;
    use crate::traits::Kind;

    #[test]
    fn a_print_changes_with_what_is_written_and_with_nothing_else() {
        let mut traits = Traits::new(Kind::UserAndGroup, DriverKey::new("k"));
        traits.writable = vec!["displayName"];
        let print = |name: &str, title: &str| {
            let mut who = Person::named("ada");
            who.display_name = Some(name.to_owned());
            who.attributes.insert("title".to_owned(), title.into());
            Act::CreateAccount { who: Box::new(who) }.print(&traits)
        };
        assert_eq!(print("Ada", "a"), print("Ada", "b"));
        assert_ne!(print("Ada", "a"), print("Ada L", "a"));
        let at = |login: &str| AccountRef::Account { id: RemoteId::new("7"), login: Some(login.to_owned()) };
        let removal = |login: &str| Act::RemoveAccount { at: at(login) };
        assert_eq!(removal("ada").print(&traits), removal("lovelace").print(&traits));
        assert_ne!(removal("ada").print(&traits), Act::SuspendAccount { at: at("ada") }.print(&traits));
    }
}
