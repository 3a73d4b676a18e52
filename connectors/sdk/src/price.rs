//! What the steps of a plan cost, so that how long a push takes can be told before it is sent.

use serde::{Deserialize, Serialize};

/// One thing that a plan asks of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Look at an account, or for one.
    Look,
    /// Create or invite a person.
    Create,
    /// Change an account.
    Update,
    /// Suspend or restore an account.
    SetActive,
    /// Remove an account.
    Remove,
    /// Take an invitation back.
    Revoke,
    /// Create a group.
    CreateGroup,
    /// Make a created group ready ([`crate::Groups::tidy`]).
    TidyGroup,
    /// Rename a group.
    RenameGroup,
    /// Delete a group.
    RemoveGroup,
    /// Add a member.
    AddMember,
    /// Remove a member.
    RemoveMember,
}

impl Act {
    /// Every act.
    pub const ALL: [Self; 12] = [
        Self::Look,
        Self::Create,
        Self::Update,
        Self::SetActive,
        Self::Remove,
        Self::Revoke,
        Self::CreateGroup,
        Self::TidyGroup,
        Self::RenameGroup,
        Self::RemoveGroup,
        Self::AddMember,
        Self::RemoveMember,
    ];
}
